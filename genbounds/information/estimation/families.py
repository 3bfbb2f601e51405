"""A family of bounds as a record: rows, what was measured, and how all of it grows with the number of trainings."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from genbounds.information.estimation.limits import Design
from genbounds.numerics.estimates import Estimate, UpperLimit

__all__ = ["Family", "Growth", "Row"]


@dataclass(frozen=True)
class Row:
    """One bound of the family.

    Attributes
    ----------
    theorem : str
        Name in the catalogue.
    bounds : str
        ``"gap"`` or ``"risk"``.
    information : str
        The theorem's argument that carries the information.
    estimate : Estimate
        The theorem at plug-in values: no bound.
    floor : Estimate
        The same with masks permuted among trainings, the train risk as it is; the interval is that of its mean.
    limit : UpperLimit
        The theorem at upper limits: a bound for the supersamples given.
    population : UpperLimit
        The same carried over to the distribution of supersamples, if they were drawn independently.
    share : float or None
        Mutual information that train and ghost error rate alone amount to, as a share of that used (plug-in values): at
        1 the row restates the two error rates. None where that used is 0, or of another sense.
    averages_over, restates : str
        What the theorem says of itself.
    ghost_losses : bool
        Whether it uses losses on ghosts.
    """

    theorem: str
    bounds: str
    information: str
    estimate: Estimate
    floor: Estimate
    limit: UpperLimit
    population: UpperLimit
    share: float | None
    averages_over: str
    restates: str
    ghost_losses: bool


@dataclass(frozen=True)
class Growth:
    """The family from the first trainings on each supersample; each limit holds on its own, not all sizes at once.

    Attributes
    ----------
    trainings : tuple of int
        Numbers of trainings on each supersample, increasing.
    gap : tuple of float
        Measured gap at each.
    estimates, limits, floors : mapping of str to tuple of float
        By theorem.
    """

    trainings: tuple[int, ...]
    gap: tuple[float, ...]
    estimates: Mapping[str, tuple[float, ...]]
    limits: Mapping[str, tuple[float, ...]]
    floors: Mapping[str, tuple[float, ...]]


@dataclass(frozen=True)
class Family:
    """All bounds that one record of masks, predictions and losses supports, and what was measured.

    Attributes
    ----------
    rows : tuple of Row
        One for each theorem; bounds on the gap first. With probability at least 1 - delta all limits hold at once, so
        that the smallest of them is a bound.
    train_risk, ghost_risk, gap : Estimate
        Measured, with intervals over supersamples and trainings.
    ghost_risk_limit, gap_limit : UpperLimit
        Limits from the losses on ghosts alone, each at delta by itself: what the test error says without any theorem.
    growth : Growth
        The same from fewer trainings.
    supersamples, trainings, n : int
        How many supersamples, trainings on each, and pairs in each.
    delta : float
        Probability with which any limit of `rows` may fail.
    design : str
        How masks were drawn: checked for ``"pairs"``, taken from the caller for ``"independent"``.
    seed : int
        Seed of resampling and permutations.
    """

    rows: tuple[Row, ...]
    train_risk: Estimate
    ghost_risk: Estimate
    gap: Estimate
    ghost_risk_limit: UpperLimit
    gap_limit: UpperLimit
    growth: Growth
    supersamples: int
    trainings: int
    n: int
    delta: float
    design: Design
    seed: int

    def __getitem__(self, theorem: str) -> Row:
        """Return the row of one theorem, by its full name or the part after the dot."""
        found = [row for row in self.rows if theorem in {row.theorem, row.theorem.rpartition(".")[2]}]
        if not found:
            names = ", ".join(row.theorem.rpartition(".")[2] for row in self.rows)
            raise KeyError(f"theorem must be one of the family, got {theorem!r}. Choose among {names}.")
        return found[0]

    def tightest(self, bounds: str) -> Row:
        """Return the row with the smallest certified limit.

        Parameters
        ----------
        bounds : str
            ``"gap"`` or ``"risk"``.

        Returns
        -------
        Row
            Its limit is a bound: all of them hold at once.
        """
        return min((row for row in self.rows if row.bounds == bounds), key=lambda row: float(row.limit))

    def to_json(self) -> dict[str, Any]:
        """Return the family as JSON carries it.

        Returns
        -------
        dict
            Nested lists, dictionaries and numbers.
        """
        return _jsonable(asdict(self))


def _jsonable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _jsonable(inner) for key, inner in value.items()}
    if isinstance(value, tuple | list):
        return [_jsonable(inner) for inner in value]
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value
