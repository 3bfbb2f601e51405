"""The record of a mean distance between paths, with everything it must be read beside."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from scipy.special import ndtri

from genbounds.numerics.restoring import number_or_none, restored
from genbounds.pathways.nulls.shuffled import ShuffledNull

__all__ = ["GroupDistances", "PathwayDistance"]

_FORMAT = "genbounds pathway distance 1"


@dataclass(frozen=True)
class GroupDistances:
    """Distances within and between groups of samples (of one answer, of one domain).

    Attributes
    ----------
    groups : int
        Number of groups.
    within, between : float
        Mean distance over pairs of one group, over pairs of two; each pair weighs the same, in large groups and small.
        NaN where no pair that was measured is between.
    share : float
        Share w of pairs within groups: ``mean = w within + (1 - w) between``.
    r_squared : float
        ``1 - within / mean``: 0 on average for labels that have nothing to do with routes, and negative as often as
        positive then. PERMANOVA's squares distances and weighs pairs by the size of their group. NaN where no two paths
        differ.
    standard_error : float
        Of `r_squared`, over samples with their labels; to first order. NaN where it is not defined.
    p_value : float
        ``(1 + #{permutations of the labels with an R^2 at least as large}) / (1 + permutations)``, exact for labels
        that are exchangeable ([PhipsonSmyth2010]_). NaN without permutations.
    permutations : int
        How many were drawn.
    """

    groups: int
    within: float
    between: float
    share: float
    r_squared: float
    standard_error: float
    p_value: float
    permutations: int


@dataclass(frozen=True)
class PathwayDistance:
    """Mean distance between the paths of different samples. An estimate, and mostly the length of paths: see `ratio`.

    Attributes
    ----------
    metric, normalise : str, str or None
        The distance.
    rule : str
        How paths were made.
    n, pairs : int
        Samples; pairs of them that were measured.
    mean : float
        Mean distance, in symbols unless normalised.
    standard_error : float
        Over samples, not over pairs; NaN for fewer than five samples, or as few pairs.
    level : float
        Nominal confidence of `interval`.
    by_layer : tuple of float or None
        Mean distance in each layer, where the distance is their sum.
    path_length : tuple of float
        Mean number of symbols in each layer; `mean_length` is their sum.
    ties : int
        Samples whose path has equal gates somewhere, ordered by number.
    load_balance : float
        Mean distance of the first experts over all pairs, exactly: an index of how evenly they are used. NaN where a
        path has no expert in some layer.
    random_mean, random_error : float
        Mean distance of random lists of the same lengths, from experts as popular as those of each layer
        (`genbounds.pathways.nulls.random_lists`), and its standard error over draws. NaN without shuffles.
    shuffled : ShuffledNull
        What shuffled layers show; where shuffles cannot change a statistic, the reason.
    groups : GroupDistances or None
        Where groups were given.
    seed : int
        Of drawn pairs, shuffles, random lists and permutations.
    warnings : tuple of str
        What makes the numbers worth less than they look.
    """

    metric: str
    normalise: str | None
    rule: str
    n: int
    pairs: int
    mean: float
    standard_error: float
    level: float
    by_layer: tuple[float, ...] | None
    path_length: tuple[float, ...]
    ties: int
    load_balance: float
    random_mean: float
    random_error: float
    shuffled: ShuffledNull
    groups: GroupDistances | None
    seed: int
    warnings: tuple[str, ...]

    @property
    def interval(self) -> tuple[float, float]:
        """Interval of the mean over fresh samples: normal, nominal, not cut off at 0."""
        reach = float(ndtri((1 + self.level) / 2)) * self.standard_error
        return self.mean - reach, self.mean + reach

    @property
    def mean_length(self) -> float:
        """Mean number of symbols of a path."""
        return math.fsum(self.path_length)

    @property
    def ratio(self) -> float:
        """``mean / random_mean``: near 1 for routes without structure; NaN where random lists do not differ.

        Random lists are fitted to the n samples at hand, so that it is somewhat above 1 then, on average by the factor
        ``n / (n - 1)`` for top-1 paths.
        """
        return self.mean / self.random_mean if self.random_mean else math.nan

    def flat(self) -> dict[str, float]:
        """Return all scalars under one level of names, as loggers take them.

        Returns
        -------
        dict of str to float
            Without what is not defined.
        """
        found = {
            "mean": self.mean,
            "standard_error": self.standard_error,
            "path_length": self.mean_length,
            "load_balance": self.load_balance,
            "random_mean": self.random_mean,
            "ratio": self.ratio,
            "movable": self.shuffled.movable,
            "ties": float(self.ties),
            "pairs": float(self.pairs),
        }
        for name in ("mean", "variance", "within"):
            part = getattr(self.shuffled, name)
            found |= {f"shuffled/{name}_z": part.z, f"shuffled/{name}_p": part.p_value}
            found |= {f"shuffled/{name}": part.null_mean, f"shuffled/{name}_sd": part.null_sd}
        found["variance"] = self.shuffled.variance.observed
        if self.groups is not None:
            for name in ("within", "between", "r_squared", "p_value"):
                found[name] = getattr(self.groups, name)
            found["r_squared_error"] = self.groups.standard_error
        if self.by_layer is not None:
            found |= {f"layer {number}/mean": mean for number, mean in enumerate(self.by_layer)}
        return {name: value for name, value in found.items() if math.isfinite(value)}

    def to_json(self) -> dict[str, Any]:
        """Return the record as JSON carries it.

        Returns
        -------
        dict
            Its fields; None for what is not defined.
        """
        plain: dict[str, Any] = _plain(asdict(self))
        return plain | {"format": _FORMAT}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "PathwayDistance":
        """Read a record that `to_json` wrote.

        Parameters
        ----------
        values : mapping
            What `to_json` returned, through a file or not.

        Returns
        -------
        PathwayDistance
            Equal to the one written, but that NaN equals nothing.

        Raises
        ------
        ValueError
            If it is something else.
        """
        if values.get("format") != _FORMAT:
            raise ValueError(
                f"values must be a record of a pathway distance ({_FORMAT!r}), got format {values.get('format')!r}. "
                "Pass what PathwayDistance.to_json returned."
            )
        return restored(cls, values)

    def __str__(self) -> str:
        low, high = self.interval
        name = self.metric if self.normalise is None else f"{self.metric}, {self.normalise}"
        lines = [
            f"pathway distance ({name}) of {self.n:,} samples, {self.pairs:,} pairs; paths: {self.rule}",
            f"  mean {self.mean:.5g} [{low:.5g}, {high:.5g}]   path length {self.mean_length:.4g}",
            f"  random lists {self.random_mean:.5g} (ratio {self.ratio:.4g})   "
            f"load balance, top 1 {self.load_balance:.5g}",
        ]
        for label in ("mean", "variance", "within"):
            part = getattr(self.shuffled, label)
            said = part.reason or (
                f"{part.observed:.5g} against {part.null_mean:.5g}   z {part.z:.3g}   p {part.p_value:.3g}"
            )
            lines.append(f"  shuffled layers, {label}: {said}")
        if self.groups is not None:
            part = self.groups
            lines.append(
                f"  {part.groups:,} groups: within {part.within:.5g}   between {part.between:.5g}   "
                f"R2 {part.r_squared:.4g} +- {part.standard_error:.2g}   p {part.p_value:.3g}"
            )
        return "\n".join([*lines, *self.warnings])


def _plain(value: Any) -> Any:
    """Return nested values as JSON carries them."""
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    return number_or_none(value) if isinstance(value, float) else value
