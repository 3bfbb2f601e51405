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
from genbounds.measures.predictiveness.granulated import granulated_kendall
from genbounds.measures.predictiveness.intervals import tau_interval
from genbounds.measures.predictiveness.kendall import tau_a
from genbounds.measures.predictiveness.nulls import permutation_null
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
    psi_p : float
        Permutation p-value of `psi_without_size`, shuffled within equal sizes.
    information : float
        K, the least normalised conditional mutual information.
    information_null : float
        95 % quantile of K of the shuffled measure.
    """

    name: str
    control: bool
    tau: float
    tau_interval: tuple[float, float]
    psi: dict[str, float]
    psi_mean: float
    psi_without_size: float
    psi_p: float
    information: float
    information_null: float


@dataclass(frozen=True)
class Ranking:
    """Measures and controls, the largest modulus of Psi without sizes first.

    Attributes
    ----------
    rows : tuple of RankedMeasure
        All of them.
    runs : int
        Number of runs.
    gap : str
        Column that was to be predicted.
    size : str
        Axis of training-set sizes, "" if there is none.
    level : float
        Nominal confidence of the intervals.
    """

    rows: tuple[RankedMeasure, ...]
    runs: int
    gap: str
    size: str
    level: float

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
            row["tau_interval"] = list(row["tau_interval"])
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
    if size and size not in settings:
        raise ValueError(f"size must be one of the axes {', '.join(axes)}, got {size!r}. Name it among them.")
    columns = {name: _numbers(table, name) for name in measures}
    if not columns or gap in columns:
        raise ValueError(f"measures must be columns other than the gap, got {', '.join(measures) or 'none'}.")
    controls: dict[str, Float64] = {}
    if size:
        controls["1/n"] = 1 / positive(size, _numbers(table, size))
    if training_loss:
        controls["training loss"] = _numbers(table, training_loss)
    source = np.random.default_rng(seed)
    controls["random"] = random_measure(len(wanted), source)
    controls["hyper-parameters, cross-validated"] = additive_prediction(
        wanted, settings, source, folds=min(10, len(wanted))
    )
    controls["gap with noise"] = noisy_oracle(wanted, float(wanted.std()) / 2, source)
    clash = set(columns) & set(controls)
    if clash:
        raise ValueError(f"measures must not be named as a control, got {min(clash)!r}. Rename the column.")
    within = settings[size] if size else None

    def row(name: str, column: Float64, *, control: bool) -> RankedMeasure:
        def psi(x: Float64) -> float:
            found = granulated_kendall(x, wanted, settings)
            return found.without(size) if size and len(settings) > 1 else found.value

        def information(x: Float64) -> float:
            return conditional_information(x, wanted, settings).value

        def null(statistic: Any) -> Any:
            turns = np.random.default_rng(seed)
            return permutation_null(statistic, column, turns, permutations=permutations, within=within)

        along, known = granulated_kendall(column, wanted, settings), null(information)
        spread = tau_interval(column, wanted, np.random.default_rng(seed), draws=draws, level=level)
        inside = null(psi)
        return RankedMeasure(
            name, control, tau_a(column, wanted), spread, along.psi, along.value, inside.value, inside.p_value,
            known.value, known.high,
        )  # fmt: skip

    rows = [row(name, column, control=False) for name, column in columns.items()]
    rows += [row(name, column, control=True) for name, column in controls.items()]
    rows.sort(key=lambda one: -abs(one.psi_without_size))
    return Ranking(tuple(rows), len(wanted), gap, size, level)


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
