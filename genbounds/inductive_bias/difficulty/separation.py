"""How near classes come to each other: the smallest distance of a data set, and what it would be in a larger one."""

import math
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genbounds.inductive_bias.difficulty.extremes import UpperTail, moment_tail
from genbounds.inductive_bias.difficulty.neighbours import nearest, table
from genbounds.numerics import confidence, count
from genbounds.numerics.estimates import Estimate

__all__ = ["class_separation", "extrapolated_separation", "largest_norm"]

#: Numbers in a block of differences.
_NUMBERS = 2**22
#: Pairs that are kept for resampling, in multiples of those that count.
_KEPT = 8


def class_separation(points: ArrayLike, labels: ArrayLike) -> tuple[float, tuple[int, int]]:
    """Find the smallest distance between two points of different classes, over all pairs, streamed.

    That of a sample is never below that of the population, and falls as the sample grows.

    Parameters
    ----------
    points : array_like, shape (n, ...)
        One point a row; further axes are flattened.
    labels : array_like, shape (n,)
        Classes, at least two.

    Returns
    -------
    distance : float
        Euclidean.
    pair : tuple of int
        The two points.

    Raises
    ------
    ValueError
        If there is one class, shapes do not fit, or a number is not finite.

    Examples
    --------
    >>> class_separation([[0.0], [1.0], [1.5], [4.0]], [0, 0, 1, 0])
    (0.5, (1, 2))
    """
    array, classes = _labelled(points, labels)
    order = np.argsort(classes, kind="stable")
    array, ends = array[order], np.cumsum(np.bincount(classes)).tolist()
    best, pair = math.inf, (0, 0)
    for start, end in zip([0, *ends[:-2]], ends[:-1], strict=True):
        distances, indices = nearest(array[start:end], array[end:], 1)
        place = int(np.argmin(distances))
        if distances[place, 0] < best:
            best = float(distances[place, 0])
            pair = (int(order[start + place]), int(order[end + indices[place, 0]]))
    return best, (min(pair), max(pair))


def extrapolated_separation(
    points: ArrayLike,
    labels: ArrayLike,
    *,
    among: float | None = None,
    pairs: int = 4_000_000,
    top: int = 2000,
    seed: int = 0,
    replicates: int = 200,
    level: float = 0.95,
) -> Estimate:
    """Estimate the smallest distance between classes in the population, or among many pairs, by extreme values.

    Inverse distances of random pairs of different classes have an upper tail (`moment_tail`). Its end is one over the
    smallest distance in the population; a far quantile gives that among `among` pairs.

    Parameters
    ----------
    points : array_like, shape (n, ...)
        One point a row; further axes are flattened.
    labels : array_like, shape (n,)
        Classes, at least two.
    among : float, optional
        Number of pairs, at least `pairs`: the distance that one of them falls below on average is estimated. None: the
        population, infinitely many. The authors of the formula for task difficulty have ``n^2 (1 - 1 / classes)``.
    pairs : int
        Random pairs to look at; all of them where there are no more.
    top : int
        How many of the smallest distances count.
    seed : int
        Of the pairs and of the resampling.
    replicates : int
        Times that the points are resampled, at least 20, for standard error and interval: pairs that share points are
        not independent. Where hardly any do, both are on the long side.
    level : float
        Confidence of the interval, in (0, 1).

    Returns
    -------
    Estimate
        At most the smallest distance that was seen, which is certain. Its interval may begin at 0, if some resampled
        points give a tail without end. The method names the tail index and the smallest distance seen.

    Raises
    ------
    ValueError
        If the population is asked for and the tail index is not negative: distances then come as near to 0 as one
        likes, and no cut-off is high enough. If points of different classes coincide, or an argument is out of range.

    Notes
    -----
    A constant of [Dekkers1989], 1 - gamma_- in the scale, is left out in the authors' script; it is small where the
    index is near 0.
    """
    array, classes = _labelled(points, labels)
    k, drawn = int(count("top", top, 10)), int(count("pairs", pairs))
    confident, runs = float(confidence("level", level, "Such as 0.95.")), int(count("replicates", replicates, 20))
    generator = np.random.default_rng(seed)
    left, right = _pairs(classes, drawn, generator)
    n, number = len(array), len(left)
    if not k < number:
        raise ValueError(f"top must be below the number of pairs, got {k} of {number}. Take fewer, or more points.")
    if among is not None and not number <= among < math.inf:
        raise ValueError(
            f"among must be at least the {number} pairs that are looked at, and finite, got {among}. Look at fewer, or "
            "pass None for the population."
        )
    distances = _distances(array, left, right)
    kept = np.argpartition(distances, min(_KEPT * k, number - 1))[: _KEPT * k]
    left, right, near = left[kept], right[kept], distances[kept]
    smallest = float(near.min())
    if smallest == 0:
        raise ValueError(
            "points of different classes must differ, got two that coincide. Remove points with contradictory labels."
        )
    tail = moment_tail(1 / near, k, number)
    if among is None and tail.index >= 0:
        raise ValueError(
            f"inverse distances must have an end, got a tail index of {tail.index:.3f}: by it, classes come as near to "
            "each other as one likes. Ask for the smallest distance among a number of pairs (among)."
        )
    values = np.empty(runs)
    for run in range(runs):
        times = np.bincount(generator.integers(n, size=n), minlength=n)
        values[run] = _separation(moment_tail(1 / near, k, number, times[left] * times[right]), among, smallest)
    ends = np.quantile(values, [(1 - confident) / 2, (1 + confident) / 2])
    asked = "the population" if among is None else f"{among:.4g} pairs"
    return Estimate(
        _separation(tail, among, smallest),
        float(values.std(ddof=1)),
        (float(ends[0]), float(ends[1])),
        confident,
        n,
        f"smallest distance in {asked} by extreme values: {k} of {number} pairs, tail index {tail.index:.3f}, "
        f"smallest seen {smallest:.6g}; {runs} resamples of the points",
    )


def largest_norm(points: ArrayLike) -> float:
    """Return the largest Euclidean norm, the radius of the formula for task difficulty.

    Parameters
    ----------
    points : array_like, shape (n, ...)
        One point a row; further axes are flattened.

    Returns
    -------
    float
        Distance of the farthest point from the origin, wherever the points lie: as the authors of the formula have it.

    Raises
    ------
    ValueError
        If the points are no table of numbers.
    """
    array = table("points", points)
    size = max(1, _NUMBERS // array.shape[1])
    blocks = (array[start : start + size].astype(np.float64) for start in range(0, len(array), size))
    return float(max(np.sqrt(np.einsum("ij,ij->i", block, block)).max() for block in blocks))


def _labelled(points: ArrayLike, labels: ArrayLike) -> tuple[NDArray[np.generic], NDArray[np.intp]]:
    """Return the points as a table, and their classes counted from 0."""
    array, given = table("points", points), np.asarray(labels)
    if given.shape != (len(array),):
        raise ValueError(f"labels must be of shape ({len(array)},), got {given.shape}. Pass one class for each point.")
    if given.dtype.kind == "f" and np.isnan(given).any():
        raise ValueError(f"labels must name a class, got NaN {np.isnan(given).sum()} times. Drop unlabelled points.")
    names, classes = np.unique(given, return_inverse=True)
    if len(names) < 2:
        raise ValueError(f"labels must name at least two classes, got {len(names)}. One class has no separation.")
    return array, classes


def _pairs(
    classes: NDArray[np.intp], number: int, generator: np.random.Generator
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return random pairs of different classes, with replacement; all of them where there are no more."""
    n, sizes = len(classes), np.bincount(classes)
    order, starts = np.argsort(classes, kind="stable"), np.concatenate([[0], np.cumsum(sizes)])
    if (n * n - int((sizes**2).sum())) // 2 <= number:
        blocks = [(order[a:b], order[b:]) for a, b in pairwise(starts[:-1])]
        left = np.concatenate([np.repeat(these, len(others)) for these, others in blocks])
        return left, np.concatenate([np.tile(others, len(these)) for these, others in blocks])
    # A class by its share of the pairs, then two points: of it, and of the others.
    left = generator.choice(n, number, p=(n - sizes[classes]) / (n * n - (sizes**2).sum()))
    own = classes[left]
    place = generator.integers(n - sizes[own])
    return left, order[np.where(place < starts[own], place, place + sizes[own])]


def _distances(array: NDArray[np.generic], left: NDArray[np.intp], right: NDArray[np.intp]) -> NDArray[np.float64]:
    found = np.empty(len(left))
    size = max(1, _NUMBERS // array.shape[1])
    for start in range(0, len(left), size):
        part = slice(start, start + size)
        gap = array[left[part]].astype(np.float64) - array[right[part]].astype(np.float64)
        found[part] = np.sqrt(np.einsum("ij,ij->i", gap, gap))
    return found


def _separation(tail: UpperTail, among: float | None, smallest: float) -> float:
    highest = tail.end if among is None else tail.level(1 / among)
    return min(1 / highest, smallest)
