"""Measures ranked by how they follow the gap over a table of runs, never without controls and a null."""

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genbounds.measures.predictiveness.conditional_information import conditional_information
from genbounds.measures.predictiveness.controls import additive_prediction, noisy_oracle, random_measure
from genbounds.measures.predictiveness.environments import coupled_environments
from genbounds.measures.predictiveness.granulated import granulated_kendall
from genbounds.measures.predictiveness.intervals import psi_interval, tau_interval
from genbounds.measures.predictiveness.kendall import tau_a
from genbounds.measures.predictiveness.nulls import permutation_null
from genbounds.measures.predictiveness.robust_regression import robust_regression
from genbounds.measures.predictiveness.runs import refuse_equal_runs, setting_codes
from genbounds.numerics.checks import finite, positive
from genbounds.numerics.restoring import number_or_none

__all__ = ["RankedMeasure", "Ranking", "rank_measures", "read_runs"]

Float64 = NDArray[np.float64]


@dataclass(frozen=True)
class RankedMeasure:
    """One measure, or one control, over all runs.

    Attributes
    ----------
    name : str
        Of the column, or of the control.
    control : bool
        Whether it is there to compare with.
    tau : float
        Kendall's tau-a with the gap; positive if larger values go with larger gaps.
    tau_interval : tuple of float
        Its bootstrap interval.
    psi : dict of str to float
        Granulated coefficient along each axis.
    psi_mean : float
        Psi, their mean.
    psi_without_size : float
        Psi without the axis of training-set sizes; equal to Psi where there is none.
    psi_interval : tuple of float
        Bootstrap interval of `psi_without_size`.
    psi_p : float
        Permutation p-value of `psi_without_size`, shuffled within equal sizes.
    information : float
        K, the least normalised conditional mutual information.
    information_null : float
        95 % quantile of K of the shuffled measure.
    sign_error_worst, sign_error_mean : float or None
        Worst and mean share of pairs of single runs that the measure orders wrongly, over pairs of configurations that
        differ in one axis; None where runs are not repeated often enough.
    robust_error : float
        Root mean square error of the best affine predictor of the gap of single runs by the measure, slope >= 0, among
        the runs with one value of one axis, at its worst.
    """

    name: str
    control: bool
    tau: float
    tau_interval: tuple[float, float]
    psi: dict[str, float]
    psi_mean: float
    psi_without_size: float
    psi_interval: tuple[float, float]
    psi_p: float
    information: float
    information_null: float
    sign_error_worst: float | None
    sign_error_mean: float | None
    robust_error: float


@dataclass(frozen=True)
class Ranking:
    """Measures and controls, the largest modulus of Psi without sizes first.

    Attributes
    ----------
    rows : tuple of RankedMeasure
        All of them.
    runs : int
        Number of runs.
    configurations : int
        Number of different settings without the repeats: what tau, Psi and K rank.
    gap : str
        Column that was to be predicted.
    size : str
        Axis of training-set sizes, "" if there is none.
    level : float
        Nominal confidence of the intervals.
    environments : int
        Pairs of configurations behind the sign errors.
    environments_left_out : int
        Pairs of configurations in which too few pairs of runs are worth counting.
    robust_baseline : float
        What `robust_error` is for a constant.
    """

    rows: tuple[RankedMeasure, ...]
    runs: int
    configurations: int
    gap: str
    size: str
    level: float
    environments: int
    environments_left_out: int
    robust_baseline: float

    def beating(self, control: str = "hyper-parameters, cross-validated") -> tuple[str, ...]:
        """Return the measures that are ahead of a control in tau, Psi without sizes and K at once.

        One of the three is not enough: along lines of few runs Psi of a cross-validated prediction is mostly noise, and
        some of many measures are above it by chance.

        Parameters
        ----------
        control : str
            Name of the control.

        Returns
        -------
        tuple of str
            Their names, often none. The lead may still be chance.

        Raises
        ------
        ValueError
            If there is no such control.
        """
        found = [row for row in self.rows if row.control and row.name == control]
        if not found:
            names = ", ".join(row.name for row in self.rows if row.control)
            raise ValueError(f"control must be one of {names}, got {control!r}. Name one.")
        (against,) = found
        return tuple(
            row.name
            for row in self.rows
            if not row.control
            and abs(row.tau) > abs(against.tau)
            and abs(row.psi_without_size) > abs(against.psi_without_size)
            and row.information > against.information
        )

    def to_json(self) -> dict[str, Any]:
        """Return the ranking as JSON carries it.

        Returns
        -------
        dict
            Its fields; a number that is not defined is None.
        """
        content = asdict(self)
        for row in content["rows"]:
            row |= {name: number_or_none(value) for name, value in row.items() if isinstance(value, float)}
            row |= {name: list(value) for name, value in row.items() if isinstance(value, tuple)}
        return content | {"rows": list(content["rows"])}


def read_runs(path: str | Path) -> dict[str, list[Any]]:
    """Read a table of runs from a CSV file with a head line.

    Parameters
    ----------
    path : str or Path
        The file.

    Returns
    -------
    dict of str to list
        Columns in their order: numbers where every cell is one, else text; an empty cell is None.

    Raises
    ------
    ValueError
        If the file holds no table, or a line has another number of cells.
    """
    with Path(path).open(newline="", encoding="utf-8-sig") as file:
        lines = [line for line in csv.reader(file) if line]
    if len(lines) < 2 or len(set(lines[0])) < len(lines[0]):
        raise ValueError(f"path must hold a head line of different names and runs below it, got {path}. Write a CSV.")
    ragged = next((number for number, line in enumerate(lines, 1) if len(line) != len(lines[0])), None)
    if ragged is not None:
        raise ValueError(
            f"every run must have {len(lines[0])} cells, got {len(lines[ragged - 1])} in run {ragged - 1}."
        )
    return {name: _column([line[place] for line in lines[1:]]) for place, name in enumerate(lines[0])}


def _column(cells: list[str]) -> list[Any]:
    try:
        return [float(cell) if cell.strip() else None for cell in cells]
    except ValueError:
        return [cell or None for cell in cells]


def rank_measures(
    table: Any,
    gap: str,
    measures: Sequence[str],
    axes: Sequence[str],
    *,
    size: str = "",
    training_loss: str = "",
    repeats: str = "",
    test_examples: int | None = None,
    seed: int = 0,
    permutations: int = 99,
    draws: int = 999,
    level: float = 0.95,
) -> Ranking:
    """Rank measures over a table of runs, beside controls.

    Parameters
    ----------
    table : mapping of str to sequence, or pandas.DataFrame
        A row for each trained network.
    gap : str
        Column of what a measure is to predict, such as test error minus training error.
    measures : sequence of str
        Columns of measures. A run whose measure is missing or not finite is refused, not left out.
    axes : sequence of str
        Columns of all that was varied; they tell the runs apart.
    size : str
        That one of the axes that is the number of training examples.
    training_loss : str
        A column to add to the controls.
    repeats : str
        That one of the axes that numbers trainings of one configuration, such as the seed. Then tau, Psi and K are of
        columns averaged over it, so that no two rows are the same evidence, and sign errors are of single runs.
    test_examples : int, optional
        Examples behind each test error: pairs whose order may be noise of the test set weigh less in the sign errors.
    seed : int
        Seed of everything drawn; all measures are shuffled alike.
    permutations : int
        Shuffled measures for each null.
    draws : int
        Bootstrap samples for each interval.
    level : float
        Nominal confidence of the intervals.

    Returns
    -------
    Ranking
        Each measure and these controls: 1/n (if there are sizes), training loss (if named), a random measure, the
        hyper-parameters in a cross-validated additive model, and the gap with noise of half its standard deviation.

    Raises
    ------
    ValueError
        If a column is missing or holds what it must not, or the axes do not tell the runs apart.

    Examples
    --------
    >>> table = {"gap": [0.1, 0.2, 0.3, 0.5] * 3, "norm": [1, 2, 4, 3] * 3, "width": [1, 2, 3, 4] * 3}
    >>> table["rate"] = [0.1] * 4 + [0.2] * 4 + [0.3] * 4
    >>> ranking = rank_measures(table, "gap", ["norm"], ["width", "rate"])
    >>> [round(row.psi["width"], 3) for row in ranking.rows if row.name == "norm"]
    [0.667]
    """
    wanted = _numbers(table, gap)
    settings = {axis: list(_named(table, axis)) for axis in axes}
    for name, axis in {"size": size, "repeats": repeats}.items():
        if axis and axis not in settings:
            raise ValueError(f"{name} must be one of the axes {', '.join(axes)}, got {axis!r}. Name it among them.")
    if repeats and (repeats == size or len(settings) == 1):
        raise ValueError(f"repeats must leave other axes beside size, got {repeats!r}. Name the column of the seed.")
    columns = {name: _numbers(table, name) for name in measures}
    if not columns or gap in columns:
        raise ValueError(f"measures must be columns other than the gap, got {', '.join(measures) or 'none'}.")
    refuse_equal_runs(setting_codes(settings, len(wanted)))
    varied = {axis: column for axis, column in settings.items() if axis != repeats}
    place = setting_codes({"configuration": list(zip(*varied.values(), strict=True))}, len(wanted))["configuration"]
    first = np.unique(place, return_index=True)[1]
    grid = {axis: [column[run] for run in first] for axis, column in varied.items()}

    def averaged(column: Float64) -> Float64:
        return np.bincount(place, column) / np.bincount(place)

    expected = averaged(wanted)
    controls: dict[str, Float64] = {}
    if size:
        controls["1/n"] = 1 / positive(size, _numbers(table, size))
    if training_loss:
        controls["training loss"] = _numbers(table, training_loss)
    source = np.random.default_rng(seed)
    controls["random"] = random_measure(len(wanted), source)
    predicted = additive_prediction(expected, grid, source, folds=min(10, len(expected)))
    controls["hyper-parameters, cross-validated"] = predicted[place]
    controls["gap with noise"] = noisy_oracle(wanted, float(wanted.std()) / 2, source)
    clash = set(columns) & set(controls)
    if clash:
        raise ValueError(f"measures must not be named as a control, got {min(clash)!r}. Rename the column.")
    within = grid[size] if size else None
    left = (size,) if size and len(grid) > 1 else ()
    environments = coupled_environments(wanted, varied, test_examples=test_examples)

    def robust(x: Float64) -> float:
        return robust_regression(x, wanted, varied, fixed=min(1, len(settings) - 1)).error

    def row(name: str, single: Float64, *, control: bool) -> RankedMeasure:
        column = averaged(single)

        def psi(x: Float64) -> float:
            return granulated_kendall(x, expected, grid).without(*left)

        def information(x: Float64) -> float:
            return conditional_information(x, expected, grid).value

        def turns() -> np.random.Generator:
            return np.random.default_rng(seed)

        def null(statistic: Any) -> Any:
            return permutation_null(statistic, column, turns(), permutations=permutations, within=within)

        along, known, inside = granulated_kendall(column, expected, grid), null(information), null(psi)
        signs = environments.sign_errors(single) if environments.kept else None
        return RankedMeasure(
            name=name,
            control=control,
            tau=tau_a(column, expected),
            tau_interval=tau_interval(column, expected, turns(), draws=draws, level=level),
            psi=along.psi,
            psi_mean=along.value,
            psi_without_size=inside.value,
            psi_interval=psi_interval(column, expected, grid, turns(), without=left, draws=draws, level=level),
            psi_p=inside.p_value,
            information=known.value,
            information_null=known.high,
            sign_error_worst=signs.worst if signs else None,
            sign_error_mean=signs.mean if signs else None,
            robust_error=robust(single),
        )

    rows = [row(name, column, control=False) for name, column in columns.items()]
    rows += [row(name, column, control=True) for name, column in controls.items()]
    rows.sort(key=lambda one: -abs(one.psi_without_size))
    return Ranking(
        rows=tuple(rows),
        runs=len(wanted),
        configurations=len(expected),
        gap=gap,
        size=size,
        level=level,
        environments=len(environments.kept),
        environments_left_out=environments.left_out,
        robust_baseline=robust(np.zeros(len(wanted))),
    )


def _named(table: Mapping[str, Any], name: str) -> Any:
    if name not in table:
        raise ValueError(f"table must have a column {name!r}, got {', '.join(map(str, table))}. Name another.")
    return table[name]


def _numbers(table: Any, name: str) -> Float64:
    values = list(_named(table, name))
    try:
        numbers = [math.nan if value is None else float(value) for value in values]
    except (TypeError, ValueError) as error:
        raise ValueError(f"column {name!r} must hold numbers, got {error}. Name another.") from error
    return finite(name, numbers, "Leave the run out yourself, and say so: a run that failed is a result.")
