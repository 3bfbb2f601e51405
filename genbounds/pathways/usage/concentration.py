r"""How many different paths the units take, of those that they could.

A path is the first expert of every layer (`genbounds.pathways.usage.cross_layer.first_experts`), of a token or of a
sample: one of prod K. Its entropy is estimated from N paths, most of which may occur once; the plug-in is then far too
small, never above ln N. Chao and Shen's estimate [ChaoShen2003] weighs by how likely a path was to be seen, with the
share of paths that occur once for what was missed; it takes units for independent draws, which the tokens of a sample
are not, so that it too is small then.

The null leaves each layer as it is and exchanges samples of equal length in each layer by itself, so that experts of
different layers of one sample stand together no more. Fewer or more unevenly used paths than that mean that layers go
together, beyond what position explains. The loads of single layers concentrate paths as well; the null keeps them.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genbounds.numerics.checks import count
from genbounds.pathways.routing import Routing
from genbounds.pathways.usage.clusters import entropy, jackknife_error
from genbounds.pathways.usage.cross_layer import Units, first_experts
from genbounds.pathways.usage.pairings import against, movable_share, reordering
from genbounds.pathways.usage.records import UsageRecord

__all__ = ["PathConcentration", "chao_shen_entropy", "path_concentration"]


@dataclass(frozen=True)
class PathConcentration(UsageRecord):
    """How many different paths were taken, and how evenly.

    Attributes
    ----------
    units : {"tokens", "samples"}
        Whose paths.
    samples, paths : int
        Samples, and paths that they took: tokens or samples.
    distinct : int
        Different ones among them.
    log_possible : float
        ``ln prod K``.
    coverage : float
        Different paths over possible ones.
    most_frequent : float
        Share of the most frequent path.
    path_entropy, path_entropy_error : float
        Plug-in entropy of the path in nats, and its standard error over samples.
    effective_paths : float
        ``exp(path_entropy)``.
    chao_shen : float
        Chao and Shen's estimate of the entropy in nats; NaN where every path occurs once.
    permutations : int
        Draws of the null.
    movable : float
        Share of the units that the null could move.
    null_distinct, null_distinct_deviation, distinct_z, distinct_p_value : float
        Different paths under the null, and those seen against it; few count.
    null_entropy, null_entropy_deviation, entropy_z, entropy_p_value : float
        The same for the plug-in entropy; small values count.
    """

    units: str
    samples: int
    paths: int
    distinct: int
    log_possible: float
    coverage: float
    most_frequent: float
    path_entropy: float
    path_entropy_error: float
    effective_paths: float
    chao_shen: float
    permutations: int
    movable: float
    null_distinct: float
    null_distinct_deviation: float
    distinct_z: float
    distinct_p_value: float
    null_entropy: float
    null_entropy_deviation: float
    entropy_z: float
    entropy_p_value: float


def chao_shen_entropy(counts: ArrayLike) -> float:
    """Estimate an entropy from counts of independent draws, unseen symbols included [ChaoShen2003].

    With ``C = 1 - f_1/N`` for f_1 symbols seen once, and ``p = C n_s / N``, it is
    ``-sum p ln p / (1 - (1 - p)^N)``: Horvitz and Thompson's estimate of a sum over symbols.

    Parameters
    ----------
    counts : array_like of int, shape (symbols,)
        How often each symbol was seen.

    Returns
    -------
    float
        In nats; NaN where every symbol was seen once, which says nothing about how many there are.

    Raises
    ------
    ValueError
        If a count is no whole number, or nothing was seen.

    Examples
    --------
    >>> round(chao_shen_entropy([500, 500]), 6)
    0.693147
    """
    seen = count("counts", counts, 0)
    seen = seen[seen > 0]
    if not len(seen):
        raise ValueError("counts must be above 0 somewhere, got none. Count at least one symbol.")
    total = seen.sum()
    covered = (total - (seen == 1).sum()) / total
    if covered == 0:
        return math.nan
    p = covered * seen / total
    with np.errstate(divide="ignore"):  # p = 1 where there is one symbol: it is sure to be seen
        unseen = np.exp(total * np.log1p(-p))
    return float(-(p * np.log(p) / (1 - unseen)).sum())


def path_concentration(
    routing: Routing, *, units: Units = "tokens", permutations: int = 99, seed: int = 0
) -> PathConcentration:
    """Measure how many different paths are taken, and how evenly.

    Parameters
    ----------
    routing : Routing
        What was captured; for tokens with ``keep="routes"``.
    units : {"tokens", "samples"}
        Whose paths.
    permutations : int
        Draws of the null.
    seed : int
        Of the permutations.

    Returns
    -------
    PathConcentration
        Numbers of the paths seen, estimates of the entropy, and the null.

    Raises
    ------
    ValueError
        If tokens are asked for and were not kept, or no two samples have the same length.
    """
    experts, lengths = first_experts(routing, units)
    sizes = [layer.experts + 1 for layer in routing.layers]  # with one for a token that had none
    movable, draw = movable_share(lengths, "samples"), reordering(lengths, "samples")
    rng = np.random.default_rng(int(count("seed", seed, 0)))
    codes = _codes(experts, sizes)
    _, counts = np.unique(codes, return_counts=True)
    n, ones = len(lengths), np.ones(len(codes), np.int64)
    value, left_out = entropy(np.repeat(np.arange(n), lengths), codes, ones, n)
    drawn = np.empty((int(count("permutations", permutations)), 2))
    for row in drawn:
        moved = np.stack([experts[draw(rng), place] for place in range(experts.shape[1])], axis=1)
        _, under_null = np.unique(_codes(moved, sizes), return_counts=True)
        row[:] = len(under_null), _plug_in(under_null)
    possible = sum(math.log(layer.experts) for layer in routing.layers)
    return PathConcentration(
        units,
        n,
        len(codes),
        len(counts),
        possible,
        math.exp(math.log(len(counts)) - possible),
        float(counts.max() / len(codes)),
        value,
        float(jackknife_error(left_out)),
        math.exp(value),
        chao_shen_entropy(counts),
        len(drawn),
        movable,
        *against(len(counts), drawn[:, 0], small=True),
        *against(_plug_in(counts), drawn[:, 1], small=True),
    )


def _codes(experts: NDArray[np.int64], sizes: list[int]) -> NDArray[np.int64]:
    """Return a number for each row, the same for the same rows only."""
    codes, largest = np.zeros(len(experts), np.int64), 1
    for column, size in zip(experts.T, sizes, strict=True):
        if largest * size >= 2**62:  # number those that occur anew, before they outgrow 64 bits
            _, codes = np.unique(codes, return_inverse=True)
            largest = int(codes.max()) + 1
        codes, largest = codes * size + column + 1, largest * size
    return codes


def _plug_in(counts: NDArray[np.int64]) -> float:
    """Return the entropy of counts."""
    shares = counts / counts.sum()
    return float(-(shares * np.log(shares)).sum())
