"""The mean distance between paths, measured with everything it must be read beside."""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genbounds.numerics.checks import confidence, count
from genbounds.pathways.distance_records import GroupDistances, PathwayDistance
from genbounds.pathways.distances.matrix import distances_of_pairs
from genbounds.pathways.distances.measures import Metric, distance_warnings
from genbounds.pathways.distances.normalisation import Normalisation
from genbounds.pathways.labels import label_codes
from genbounds.pathways.nulls.distance_sums import (
    SummedDistances,
    countable,
    summed_blocks,
    summed_counts,
    summed_pairs,
)
from genbounds.pathways.nulls.load_balance import load_balance
from genbounds.pathways.nulls.pair_design import draw_pairs
from genbounds.pathways.nulls.random_lists import list_weights, random_lists
from genbounds.pathways.nulls.shuffled import shuffled_null
from genbounds.pathways.paths import Paths

__all__ = ["pathway_distance"]

#: Parts of a mean distance below which a difference is rounding.
_TIE = 1e-12
#: Sets of random lists; their mean is known to a small part of the distance's own standard error.
_RANDOM_LISTS = 10
#: Pairs on which a set of random lists is measured: all that there are, up to this number.
_PANEL = 20_000
#: Share of lists that shuffles can move, and number of samples, below which the record warns.
_MOVABLE, _FEW = 0.5, 30


def pathway_distance(
    paths: Paths,
    groups: ArrayLike | None = None,
    *,
    metric: Metric = "layers",
    normalise: Normalisation | None = None,
    pairs: int | None = None,
    shuffles: int = 99,
    permutations: int = 999,
    level: float = 0.95,
    seed: int = 0,
) -> PathwayDistance:
    """Measure the mean distance between the paths of samples, with its nulls and what groups explain of it.

    The level of the mean is mostly that of the paths' lengths and of how evenly experts are used: read it beside
    `PathwayDistance.ratio` and `PathwayDistance.load_balance`. Whether related inputs share routes is in
    `GroupDistances.r_squared` and its p-value; whether samples keep together from layer to layer is in the variance
    over pairs beside that of shuffled layers. The mean of a sum over layers is the same for every shuffle of layers,
    and the record says so in place of a z-score (`genbounds.pathways.nulls.shuffled` has the proof).

    Parameters
    ----------
    paths : Paths
        Of at least two samples.
    groups : array_like, shape (n,), optional
        A label for each sample. At least two groups, one of them with two samples.
    metric : {"layers", "concatenated", "literal", "hamming", "jaccard"}
        Which distance; see `distance_blocks`.
    normalise : {"yujian_bo", "max"}, optional
        Division by length.
    pairs : int, optional
        How many pairs to draw, without replacement; by default all. Memory is linear in the samples either way. Drawn
        pairs hold few within groups where groups are many.
    shuffles : int
        Of the layers, on at most 20,000 pairs; 0 leaves out shuffles and random lists.
    permutations : int
        Of the labels; 0 leaves them out.
    level : float
        Nominal confidence of the interval, in (0, 1).
    seed : int
        Of all draws.

    Returns
    -------
    PathwayDistance
        The same for the same arguments.

    Raises
    ------
    ValueError
        If there are fewer than two samples, labels do not fit, or another argument is out of range.
    ImportError
        If the metric needs rapidfuzz: the extra ``pathways``.

    Notes
    -----
    The interval takes samples for independent draws, and is normal: standard errors come from the exact variance of a
    mean over these pairs (`genbounds.pathways.nulls.pair_sums`). Where each sample is equally far from all others on
    average, as for uniform independent top-1 routing, its law is not normal in the limit.

    Examples
    --------
    >>> symbols = np.array([0, 0, 0, 1, 1, 1], np.int16).reshape(6, 1, 1).repeat(2, axis=1)
    >>> paths = Paths(symbols, np.ones((6, 2), np.int64), (2, 2), "top 1", np.zeros(6, np.int64))
    >>> found = pathway_distance(paths, list("aaabbb"))
    >>> found.mean, found.load_balance, found.groups.within, found.groups.between, found.groups.r_squared
    (1.2, 1.2, 0.0, 2.0, 1.0)
    >>> found.shuffled.mean.reason
    'not defined: the mean distance of top-1 paths is a load-balance index, the same for every shuffle of the layers'
    """
    n = len(paths)
    if n < 2:
        raise ValueError(f"paths must be of at least two samples, got {n}. A distance needs a pair.")
    wanted = None if pairs is None else int(count("pairs", pairs))
    number, orders = int(count("shuffles", shuffles, 0)), int(count("permutations", permutations, 0))
    chance = float(confidence("level", level, "It is the nominal confidence of the interval, such as 0.95."))
    start = int(count("seed", seed, 0))
    codes = np.arange(n) if groups is None else _codes(groups, n)
    generator = np.random.default_rng([start, 0])
    permuted = np.array([generator.permutation(codes) for _ in range(0 if groups is None else orders)], dtype=np.int64)
    summed = _summed(paths, codes, permuted.reshape(-1, n), metric, normalise, wanted, start)
    null = shuffled_null(paths, codes, metric=metric, normalise=normalise, shuffles=number, seed=start)
    random = _random_means(paths, metric, normalise, start) if number else np.full(_RANDOM_LISTS, math.nan)
    sums, every = summed.sums, bool(paths.lengths.all())
    return PathwayDistance(
        metric,
        normalise,
        paths.rule,
        n,
        sums.pairs,
        sums.mean,
        sums.standard_error,
        chance,
        summed.by_layer,
        tuple(paths.lengths.mean(axis=0).tolist()),
        int((paths.ties > 0).sum()),
        load_balance(paths).mean if every else math.nan,
        float(random.mean()),
        float(random.std(ddof=1)) / math.sqrt(_RANDOM_LISTS),
        null,
        None if groups is None else _grouped(summed, codes),
        start,
        (*distance_warnings(paths, metric=metric, normalise=normalise), *_few(n, number, null.movable)),
    )


def _codes(groups: ArrayLike, n: int) -> NDArray[np.int64]:
    """Return labels as numbers from 0, checked."""
    _, codes = label_codes("groups", groups, n)
    sizes = np.bincount(codes)
    if len(sizes) < 2 or sizes.max() < 2:
        raise ValueError(
            f"groups must be at least two, one of them with two samples, got {len(sizes)} for {n} samples. "
            "Take coarser or finer labels, or none."
        )
    return codes


def _summed(
    paths: Paths,
    codes: NDArray[np.int64],
    permuted: NDArray[np.int64],
    metric: Metric,
    normalise: Normalisation | None,
    pairs: int | None,
    seed: int,
) -> SummedDistances:
    """Sum distances in the cheapest way that gives what was asked for."""
    n = len(paths)
    if pairs is not None and pairs < n * (n - 1) // 2:
        drawn = draw_pairs(np.zeros(n, np.int64), pairs, np.random.default_rng([seed, 1]))
        return summed_pairs(paths, drawn, codes, permuted, metric=metric, normalise=normalise)
    if countable(paths, metric, normalise):
        return summed_counts(paths, codes, permuted)
    return summed_blocks(paths, codes, permuted, metric=metric, normalise=normalise)


def _random_means(paths: Paths, metric: Metric, normalise: Normalisation | None, seed: int) -> NDArray[np.float64]:
    """Return the mean distance of each of several sets of random lists."""
    generator = np.random.default_rng([seed, 3])
    weights = [list_weights(paths.symbols[:, layer], experts) for layer, experts in enumerate(paths.experts)]
    drawn = draw_pairs(np.zeros(len(paths), np.int64), _PANEL, generator)
    sets = (random_lists(paths, weights, generator) for _ in range(_RANDOM_LISTS))
    return np.array([distances_of_pairs(some, *drawn, metric=metric, normalise=normalise).mean() for some in sets])


def _grouped(summed: SummedDistances, codes: NDArray[np.int64]) -> GroupDistances:
    """Return what groups explain, and how often permuted labels explain as much."""
    sums, within = summed.sums, summed.permuted_within
    # A permutation that puts no drawn pair within a group counts as extreme, which makes the p-value no smaller.
    as_close = ~(within > sums.within * (1 + _TIE))
    defined = len(within) > 0 and not math.isnan(sums.r_squared)
    return GroupDistances(
        int(codes.max()) + 1,
        sums.within,
        sums.between,
        sums.share,
        sums.r_squared,
        sums.r_squared_error,
        (1 + int(as_close.sum())) / (1 + len(within)) if defined else math.nan,
        len(within),
    )


def _few(n: int, shuffles: int, movable: float) -> tuple[str, ...]:
    """Say where intervals and shuffles are worth little."""
    found = []
    if n < _FEW:
        found.append(f"{n} samples are few for an interval that is normal in the limit only.")
    if shuffles and movable < _MOVABLE:
        found.append(
            f"Shuffled layers move {movable:.0%} of the lists only: the others share their length with no sample, and "
            "the null is close to the observed paths whatever they are."
        )
    return tuple(found)
