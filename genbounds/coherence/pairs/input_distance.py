"""Stiffness by the distance of the inputs, and the length at which it is gone."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from genbounds.coherence.jackknife import Jackknifed
from genbounds.coherence.pairs.gram import Gram
from genbounds.coherence.pairs.stiffness import mask_mean
from genbounds.numerics.checks import count, finite

__all__ = ["DistanceProfile", "distance_profile"]


@dataclass(frozen=True)
class DistanceProfile:
    """Stiffness by the distance of the inputs.

    Parameters
    ----------
    edges : tuple of float
        Ends of the bins of distance, one more than there are bins; equally many pairs in each, but for ties.
    pairs : tuple of int
        Pairs in each bin.
    distances : tuple of float
        Average distance in each bin.
    sign, cosine : tuple of Jackknifed
        Average over the pairs in each bin.
    """

    edges: tuple[float, ...]
    pairs: tuple[int, ...]
    distances: tuple[float, ...]
    sign: tuple[Jackknifed, ...]
    cosine: tuple[Jackknifed, ...]

    @property
    def critical_length(self) -> float | None:
        """Distance at which the average cosine, linear between bins, first falls to zero.

        None if it does not fall to zero, or is there from the first bin on.
        """
        places, values = self.distances, [mean.value for mean in self.cosine]
        if values[0] <= 0:
            return None
        for place, following, value, after in zip(places, places[1:], values, values[1:], strict=False):
            if after <= 0:
                return place + (following - place) * value / (value - after)
        return None

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON carries them.

        Returns
        -------
        dict
            With the critical length.
        """
        return {
            "edges": list(self.edges),
            "pairs": list(self.pairs),
            "distances": list(self.distances),
            "sign": [mean.to_json() for mean in self.sign],
            "cosine": [mean.to_json() for mean in self.cosine],
            "critical_length": self.critical_length,
        }


def distance_profile(gram: Gram, distances: ArrayLike, *, bins: int = 10, level: float = 0.95) -> DistanceProfile:
    """Average signs and cosines over pairs of examples by the distance of their inputs.

    Parameters
    ----------
    gram : Gram
        Inner products of gradients.
    distances : array_like, shape (k, k)
        Distances of the same examples' inputs, such as `genbounds.coherence.pairs.gram_blocks.input_distances` returns.
    bins : int
        Bins, >= 1; one that ties leave empty is part of the one below it.
    level : float
        Nominal confidence of the intervals, in (0, 1).

    Returns
    -------
    DistanceProfile
        Exact for the subsample; standard errors, by the jackknife over examples, are for what it was drawn from, with
        the edges as they are.

    Raises
    ------
    ValueError
        If an argument is out of range, or fewer than two examples have a gradient.
    """
    between = finite("distances", distances)
    if between.shape != gram.products.shape:
        raise ValueError(f"distances must be of shape {gram.products.shape}, got {between.shape}. Pass all pairs.")
    cosines, kept = gram.directions()
    between = between[np.ix_(kept, kept)]
    upper = between[np.triu_indices(len(between), 1)]
    edges = np.unique(np.quantile(upper, np.linspace(0, 1, int(count("bins", bins)) + 1)))
    # The last bin has its upper edge; a single value makes a single bin.
    inner = edges[1:-1]
    bin_of = np.searchsorted(inner, between, side="right")
    np.fill_diagonal(bin_of, -1)
    used = [number for number in range(len(inner) + 1) if (bin_of == number).any()]
    groups = [(bin_of == number).astype(np.float64) for number in used]
    columns = [[mask_mean(values, group, level) for group in groups] for values in (np.sign(cosines), cosines)]
    return DistanceProfile(
        (*edges[used].tolist(), float(edges[-1])),
        tuple(int(group.sum()) // 2 for group in groups),
        tuple(float((between * group).sum() / group.sum()) for group in groups),
        tuple(columns[0]),
        tuple(columns[1]),
    )
