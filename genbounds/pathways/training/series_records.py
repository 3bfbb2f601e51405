"""Pathways along a training: the record of each moment, where it stands, and how the metrics go with accuracy."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from genbounds.models.training.journal import read_journal
from genbounds.models.training.measured import Measured, axis, in_order
from genbounds.numerics.restoring import restored
from genbounds.pathways.memorised import memorisation_times, share_before_last
from genbounds.pathways.metrics import pathway_metrics
from genbounds.pathways.metrics_records import HEADLINES, PathwayMetrics
from genbounds.pathways.routing import Routing
from genbounds.pathways.training.correlations import Correlation, correlation

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = [
    "MeasuredPathways",
    "Memorised",
    "PathwaySeries",
    "journalled_series",
    "read_pathway_series",
    "series_of",
]

_FORMAT = "genbounds pathway series 1"
#: Tolerance about the final loss, in nats, as published.
_DELTA = 0.05


@dataclass(frozen=True)
class MeasuredPathways(Measured[PathwayMetrics]):
    """Pathway metrics at one moment of a training."""

    kind = PathwayMetrics


@dataclass(frozen=True)
class Memorised:
    """Since which checkpoint each sample is memorised; see `genbounds.pathways.memorised` for what that says.

    Attributes
    ----------
    epsilon, delta : float
        Largest loss of a memorised sample, and largest distance from its last loss, in nats.
    times : tuple of int
        Index of the checkpoint of each sample; -1 for none. `genbounds.pathways.memorised_groups` groups by it.
    share_before_last : float
        Share of samples that were memorised before the last checkpoint.
    """

    epsilon: float
    delta: float
    times: tuple[int, ...]
    share_before_last: float


@dataclass(frozen=True)
class PathwaySeries:
    """Pathway metrics at several moments of a training, in their order.

    Attributes
    ----------
    points : tuple of MeasuredPathways
        At least one.
    memorised : Memorised or None
        Where losses of the same samples were captured at all moments, and a threshold was given.

    Raises
    ------
    ValueError
        If there is no point.
    """

    points: tuple[MeasuredPathways, ...]
    memorised: Memorised | None = None

    def __post_init__(self) -> None:
        if not self.points:
            raise ValueError("points must be at least one measurement, got none. Name the checkpoints to measure.")

    @property
    def axis(self) -> tuple[str, tuple[int, ...]]:
        """What the points are told apart by, and the number of each: epochs, else steps, else their order from 1."""
        return axis(self.points)

    def correlations(self, of: str = "correct") -> dict[str, Correlation]:
        """Correlate each metric with accuracy (or loss) over the points, with what that is worth.

        Parameters
        ----------
        of : str
            Which of the captured values.

        Returns
        -------
        dict of str to Correlation
            For each of `genbounds.pathways.metrics_records.HEADLINES`, in their order, that is defined at three points
            or more: over those points, partial given the number on the axis and router entropy (of entropy itself:
            given the axis alone). Print `genbounds.pathways.training.correlations.CAVEATS` beside them.

        Raises
        ------
        ValueError
            If there are fewer than three points, or the value was not captured at all of them.
        """
        known = [point.record.flat() for point in self.points]
        if len(known) < 3:
            raise ValueError(
                f"points must be at least 3 for a correlation, got {len(known)}. Measure more checkpoints."
            )
        means = [{value.name for value in point.record.values} for point in self.points]
        if not all(of in names for names in means):
            common = sorted(set.intersection(*means))
            raise ValueError(
                f"of must be a value that was captured at all points, got {of!r} where there is "
                f"{', '.join(common) or 'none'}. Capture it by evaluate."
            )
        unit, numbers = self.axis
        found = {}
        for name in HEADLINES:
            places = [place for place, values in enumerate(known) if name in values and of in values]
            if len(places) < 3:
                continue
            covariates: dict[str, list[float]] = {unit: [float(numbers[place]) for place in places]}
            if name != "router_entropy":
                covariates["router_entropy"] = [known[place]["router_entropy"] for place in places]
            found[name] = correlation(
                [known[place][name] for place in places], [known[place][of] for place in places], covariates
            )
        return found

    def to_frame(self) -> "DataFrame":
        """Return the numbers as a table, one row for each point.

        Returns
        -------
        pandas.DataFrame
            Indexed by name; columns ``epoch``, ``step`` and all of `PathwayMetrics.flat`, NaN where not defined.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        try:
            from pandas import DataFrame, Index
        except ImportError as error:
            raise ImportError("PathwaySeries.to_frame needs pandas. Run: pip install 'genbounds[frame]'") from error
        rows = [{"epoch": point.epoch, "step": point.step, **point.record.flat()} for point in self.points]
        return DataFrame(rows, index=Index([point.name for point in self.points], name="checkpoint"))

    def to_json(self) -> dict[str, Any]:
        """Return the series as JSON carries it.

        Returns
        -------
        dict
            Through `from_json` the same again.
        """
        memorised = None
        if self.memorised is not None:
            memorised = asdict(self.memorised) | {"times": list(self.memorised.times)}
        return {"format": _FORMAT, "points": [point.to_json() for point in self.points], "memorised": memorised}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "PathwaySeries":
        """Read what `to_json` wrote.

        Parameters
        ----------
        values : mapping
            What `to_json` returned, through a file or not.

        Returns
        -------
        PathwaySeries
            The same again.

        Raises
        ------
        ValueError
            If it is something else.
        """
        if values.get("format") != _FORMAT:
            raise ValueError(
                f"values must be a series of pathway metrics ({_FORMAT!r}), got format {values.get('format')!r}. "
                "Pass what PathwaySeries.to_json returned."
            )
        memorised = values.get("memorised")
        return cls(
            tuple(MeasuredPathways.from_json(point) for point in values["points"]),
            None if memorised is None else restored(Memorised, memorised),
        )


def series_of(
    routings: Sequence[Routing], *, groups: ArrayLike | None = None, epsilon: ArrayLike | None = None, **options: Any
) -> PathwaySeries:
    """Measure a series from what was captured, without a model.

    Parameters
    ----------
    routings : sequence of Routing
        Of one model on the same samples, in the order of training, such as `read_routing` gave them.
    groups : array_like, shape (n,), optional
        A label for each sample.
    epsilon : array_like, shape () or (n,), optional
        Largest loss of a memorised sample, in nats; for each sample, where thresholds are those of domains
        (`genbounds.pathways.threshold_for_share`). Without it samples are not grouped by when they were memorised.
    **options : object
        As for `genbounds.pathways.metrics.pathway_metrics`, but ``last``.

    Returns
    -------
    PathwaySeries
        One point for each. Saturation is that against the last one, where all were captured with the experts of their
        tokens.

    Raises
    ------
    ValueError
        If there is none, or `epsilon` is given and not all have a loss for the same number of samples.
    """
    kept = all(layer.selected is not None for routing in routings for layer in routing.layers)
    last = routings[-1] if routings and kept else None
    points = tuple(
        MeasuredPathways(
            routing.name, routing.epoch, routing.step, pathway_metrics(routing, groups=groups, last=last, **options)
        )
        for routing in routings
    )
    return PathwaySeries(points, None if epsilon is None else _memorised(routings, epsilon))


def _memorised(routings: Sequence[Routing], epsilon: ArrayLike) -> Memorised:
    if any("loss" not in routing.values for routing in routings) or len({len(routing) for routing in routings}) > 1:
        raise ValueError(
            "routings must all have the loss of the same samples to say which are memorised, got some without. "
            "Capture it by evaluate, or leave out epsilon."
        )
    times = memorisation_times([routing.values["loss"] for routing in routings], epsilon, _DELTA)
    limit = float(np.max(epsilon))
    return Memorised(limit, _DELTA, tuple(times.tolist()), share_before_last(times, len(routings)))


def read_pathway_series(path: str | Path) -> PathwaySeries:
    """Read a series from the file that a monitor writes, or from what `PathwaySeries.to_json` returned.

    Parameters
    ----------
    path : str or Path
        File of JSON lines, or of JSON.

    Returns
    -------
    PathwaySeries
        Of a monitor's file, if measurements were made with several settings (of data, options or version), those with
        the settings of the last one.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it holds something else, or nothing.
    """
    try:
        values = json.loads(Path(path).read_bytes())
    except ValueError:
        values = None
    if isinstance(values, dict) and "format" in values:
        return PathwaySeries.from_json(values)
    lines = read_journal(path)
    if not lines:
        raise ValueError(
            f"path must be a file with a measurement on each line, or of a series, got neither in {Path(path).name}. "
            "Was it cut off? Measure again."
        )
    return journalled_series(line for line in lines if line["settings"] == lines[-1]["settings"])


def journalled_series(lines: Iterable[Mapping[str, Any]]) -> PathwaySeries:
    """Return the lines of a journal as a series.

    Parameters
    ----------
    lines : iterable of mapping
        In the order in which they were written.

    Returns
    -------
    PathwaySeries
        In the order of training; a moment that was measured twice counts last.
    """
    return PathwaySeries(in_order(map(MeasuredPathways.from_json, lines)))
