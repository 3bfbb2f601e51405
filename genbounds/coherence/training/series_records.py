"""Coherence along a training: the record of each checkpoint, where it stands, and what follows for all of them."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genbounds.coherence.records import Coherence
from genbounds.coherence.training.stability import StabilityDiagnostic, hold, stability_by_coherence, stability_by_noise
from genbounds.models.training import measured
from genbounds.models.training.journal import read_journal

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["CoherenceSeries", "Measured", "read_series"]

_FORMAT = "genbounds coherence series 1"


@dataclass(frozen=True)
class Measured(measured.Measured[Coherence]):
    """Coherence at one moment of a training."""

    kind = Coherence


@dataclass(frozen=True)
class CoherenceSeries:
    """Coherence at several moments of a training, in their order.

    Attributes
    ----------
    points : tuple of Measured
        At least one.

    Raises
    ------
    ValueError
        If there is none.
    """

    points: tuple[Measured, ...]

    def __post_init__(self) -> None:
        if not self.points:
            raise ValueError("points must be at least one measurement, got none. Name the checkpoints to measure.")

    @property
    def axis(self) -> tuple[str, tuple[int, ...]]:
        """What the points are told apart by, and the number of each: epochs, else steps, else their order from 1."""
        return measured.axis(self.points)

    def stability(
        self, step_size: float, *, smoothness: float, lipschitz: float, convex: bool = False, n: int | None = None
    ) -> tuple[StabilityDiagnostic, StabilityDiagnostic]:
        """Evaluate the stability bound along the series: diagnostics, see `genbounds.coherence.training.stability`.

        Between two checkpoints the values of the earlier one are kept.

        Parameters
        ----------
        step_size : float
            eta of all steps.
        smoothness, lipschitz : float
            beta and L, as claimed for every example's loss.
        convex : bool
            Whether every example's loss is claimed to be convex.
        n : int, optional
            Training examples; as many as were measured, if left out.

        Returns
        -------
        tuple of StabilityDiagnostic
            By coherence, and by noise.

        Raises
        ------
        ValueError
            If the steps are not known from 0 on, or a measured gradient is longer than L.
        """
        steps = [point.step for point in self.points if point.step is not None]
        if len(steps) < max(len(self.points), 2):
            raise ValueError(
                f"steps must be known for two checkpoints or more, got {steps} for {len(self.points)}. Put them into "
                "the names, such as epoch=2-step=60.pt."
            )
        longest = max(point.record.norm_quantiles[-1] for point in self.points)
        if longest > lipschitz:
            raise ValueError(
                f"lipschitz must be at least the length of every gradient, got {lipschitz:.6g}; one of {longest:.6g} "
                "was measured. The claim is refuted: raise it."
            )
        records = [point.record for point in self.points]
        # Where no example has a gradient there is no spread, whatever coherence would mean there.
        alphas = [1.0 if math.isnan(record.alpha) else record.alpha for record in records]
        noises = [record.noise for record in records]
        examples = records[0].m if n is None else n

        def along(form: Callable[..., StabilityDiagnostic], values: Sequence[float]) -> StabilityDiagnostic:
            held = hold(values, steps, steps[-1])
            return form(held, step_size, n=examples, lipschitz=lipschitz, smoothness=smoothness, convex=convex)

        return along(stability_by_coherence, alphas), along(stability_by_noise, noises)

    def to_frame(self) -> "DataFrame":
        """Return the numbers as a table, one row for each checkpoint and layer.

        Returns
        -------
        pandas.DataFrame
            Indexed by checkpoint and layer; "all" is the whole network.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        frames = [
            point.record.to_frame().assign(epoch=point.epoch, step=point.step, loss=point.record.loss)
            for point in self.points
        ]
        from pandas import concat

        return concat(frames, keys=[point.name for point in self.points], names=["checkpoint"])

    def to_json(self) -> dict[str, Any]:
        """Return the series as JSON carries it.

        Returns
        -------
        dict
            Through `from_json` an equal object again.
        """
        return {"format": _FORMAT, "points": [point.to_json() for point in self.points]}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "CoherenceSeries":
        """Read what `to_json` wrote.

        Parameters
        ----------
        values : mapping
            What `to_json` returned, through a file or not.

        Returns
        -------
        CoherenceSeries
            Equal to the one written.

        Raises
        ------
        ValueError
            If it is something else.
        """
        if values.get("format") != _FORMAT:
            raise ValueError(
                f"values must be a series of coherence ({_FORMAT!r}), got format {values.get('format')!r}. "
                "Pass what CoherenceSeries.to_json returned."
            )
        return cls(tuple(Measured.from_json(point) for point in values["points"]))


def read_series(path: str | Path) -> CoherenceSeries:
    """Read what a monitor or `coherence_series` wrote while it measured.

    Parameters
    ----------
    path : str or Path
        File of JSON lines.

    Returns
    -------
    CoherenceSeries
        Its measurements; if they were made with several settings (of data, loss, options or version), those with the
        settings of the last one.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it holds something else, or nothing.
    """
    lines = read_journal(path)
    return journalled_series(line for line in lines if line["settings"] == lines[-1]["settings"])


def journalled_series(lines: Iterable[Mapping[str, Any]]) -> CoherenceSeries:
    """Return measurements as a series: a moment that was measured twice, as after a resumed training, counts last.

    Parameters
    ----------
    lines : iterable of mapping
        Lines of a journal, in the order in which they were written.

    Returns
    -------
    CoherenceSeries
        By steps where all are known, else by epochs where all are, else as written.
    """
    return CoherenceSeries(measured.in_order(map(Measured.from_json, lines)))
