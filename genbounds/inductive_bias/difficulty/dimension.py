r"""Intrinsic dimension from distances to nearest neighbours, in forms without bias, with an interval that was measured.

Near a point of a d-dimensional manifold where the density hardly changes, the volumes within the distances to its
neighbours, ``T_j^d``, are the first points of a Poisson process. Given the k-th, the others are uniform below it, so
that ``ln(T_k / T_j)`` are k - 1 exponential variables of rate d in some order, and their sum S is Gamma(k - 1, d):
``E S = (k - 1) / d`` and ``E 1/S = d / (k - 2)``. Hence

* **pooled**: ``d = ((k - 1) q - 1) / sum S_i`` over q points, unbiased if their S_i are independent. But for the -1 it
  averages the *inverses* of the local estimates (k - 1) / S_i of [LevinaBickel2004], as [MacKayGhahramani2005] asks;
  for k = 2 it is TwoNN [Facco2017].
* **local**: the average of (k - 2) / S_i. With k - 1 in place of k - 2, as often seen, it is too large by the factor
  (k - 1) / (k - 2): 4.5 for 4 at k = 10.

Points that are near each other share neighbours and their S_i are correlated: if all points are asked, the variance of
the sum is 1.3 to 2.3 times that of independent terms, and intervals by the gamma law alone are too short. The standard
errors here add the products of deviations over all pairs of points, each by the share of their neighbourhoods that they
have in common: on tori of 1 to 8 dimensions that gave the variance to within what could be resolved, a sixth. They say
nothing about what the model leaves out: edges, curvature, noise, a density that changes within a neighbourhood. In many
dimensions neighbourhoods are wide, and that bias is far larger than the interval.
"""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaincinv, ndtri

from genbounds.inductive_bias.difficulty.neighbours import Neighbours
from genbounds.numerics import confidence, count
from genbounds.numerics.estimates import Estimate

__all__ = ["maximum_likelihood_dimension", "mean_local_dimension", "two_nearest_neighbours"]


def two_nearest_neighbours(found: Neighbours, *, level: float = 0.95) -> Estimate:
    """Estimate the dimension from the ratio of the distances to the second and the first neighbour (TwoNN).

    ``d = (q - 1) / sum ln(r_2 / r_1)``. Of all estimators it looks at the smallest scale, where noise is felt first.

    Parameters
    ----------
    found : Neighbours
        At least two neighbours of each point.
    level : float
        Confidence of the interval, in (0, 1).

    Returns
    -------
    Estimate
        As `maximum_likelihood_dimension` with two neighbours.

    Raises
    ------
    ValueError
        As there.

    Examples
    --------
    >>> from genbounds.inductive_bias.difficulty import nearest_neighbours
    >>> points = np.random.default_rng(0).normal(size=(2000, 3)) @ np.eye(3, 8)  # three of eight dimensions
    >>> estimate = two_nearest_neighbours(nearest_neighbours(points, 2))
    >>> estimate.interval[0] < 3 < estimate.interval[1]
    True
    """
    return maximum_likelihood_dimension(found, 2, level=level)


def maximum_likelihood_dimension(found: Neighbours, k: int = 5, *, level: float = 0.95) -> Estimate:
    """Estimate the dimension from the distances to k neighbours: ``((k - 1) q - 1) / sum_i sum_j ln(T_k / T_j)``.

    Parameters
    ----------
    found : Neighbours
        At least k neighbours of each point.
    k : int
        At least 2; the authors of the formula for task difficulty have 5.
    level : float
        Confidence of the interval, in (0, 1).

    Returns
    -------
    Estimate
        Its ``n`` counts the points; the interval is that of a gamma law with as many degrees of freedom as the standard
        error shows, at most the (k - 1) q of independent terms, for which it is the exact law.

    Raises
    ------
    ValueError
        If points coincide, most have their neighbours at one distance, or k is out of range.
    """
    sums, confident = _log_ratios(found, k, 2), float(confidence("level", level, "Such as 0.95."))
    terms = (k - 1) * len(sums)
    if terms < 2:
        raise ValueError("found must hold at least two points, got one. Ask for the neighbours of more points.")
    value = (terms - 1) / sums.sum()
    # Relative variance of sum S_i, to first order that of the estimate. Neighbourhoods in common only add to that of
    # independent terms, which a few points may seem to fall short of.
    variance = max(_correlated_square(found, k, sums / sums.mean() - 1) / len(sums) ** 2, 1 / terms)
    relative, tail = math.sqrt(variance), (1 - confident) / 2
    low, high = (terms * variance / sums.sum() * gammaincinv(1 / variance, chance) for chance in (tail, 1 - tail))
    name = "TwoNN" if k == 2 else f"maximum likelihood over {k} neighbours, pooled"
    return Estimate(float(value), float(value * relative), (float(low), float(high)), confident, len(sums), name)


def mean_local_dimension(found: Neighbours, k: int = 10, *, level: float = 0.95) -> Estimate:
    """Estimate the average of the local dimensions: of ``(k - 2) / sum_j ln(T_k / T_j)`` over the points.

    Where the dimension differs from place to place this is its average, and the pooled form its harmonic mean.

    Parameters
    ----------
    found : Neighbours
        At least k neighbours of each point.
    k : int
        At least 4: below, the variance of a local estimate, ``d^2 / (k - 3)``, is infinite.
    level : float
        Confidence of the interval, in (0, 1).

    Returns
    -------
    Estimate
        With a normal interval.

    Raises
    ------
    ValueError
        If points coincide, one has all its neighbours at one distance, or k is out of range.
    """
    sums, confident = _log_ratios(found, k, 4), float(confidence("level", level, "Such as 0.95."))
    if (sums == 0).any():
        raise ValueError(
            f"found must not have all {k} neighbours of a point at one distance, got {np.sum(sums == 0)} such points. "
            "Use maximum_likelihood_dimension, or more neighbours."
        )
    local = (k - 2) / sums
    value = local.mean()
    error = math.sqrt(_correlated_square(found, k, local - value)) / len(local)
    reach = float(ndtri((1 + confident) / 2)) * error
    interval = (float(value - reach), float(value + reach))
    return Estimate(
        float(value), error, interval, confident, len(local), f"average of local estimates over {k} neighbours"
    )


def _log_ratios(found: Neighbours, k: int, fewest: int) -> NDArray[np.float64]:
    """Return ``sum_j ln(T_k / T_j)`` for each point."""
    number, held = int(count("k", k, fewest)), found.distances.shape[1]
    if number > held:
        raise ValueError(f"k must be at most the {held} neighbours that were found, got {number}. Find more of them.")
    distances = found.distances[:, :number]
    if (distances[:, 0] == 0).any():
        raise ValueError(
            f"points must be distinct, got {np.sum(distances[:, 0] == 0)} of {len(distances)} with a copy of them. "
            "Drop repeated rows, as with numpy.unique(points, axis=0)."
        )
    logs = np.log(distances)
    sums = (logs[:, -1:] - logs[:, :-1]).sum(axis=1)
    if np.median(sums) == 0:
        raise ValueError(
            "points must have neighbours at different distances, got equal ones for most of them. Points on a lattice "
            "have no dimension in this sense: use data that is not rounded so far, or more neighbours."
        )
    return sums


def _correlated_square(found: Neighbours, k: int, deviations: NDArray[np.float64]) -> float:
    """Return the variance of a sum of deviations: their products, by the share of neighbourhoods in common."""
    members = np.hstack([found.queries[:, None], found.indices[:, :k]])
    # The sum over pairs of products, times points in common, is the sum of squares over points of what they belong to.
    gathered = np.bincount(members.ravel(), np.repeat(deviations, k + 1), minlength=found.points)
    return float(gathered @ gathered) / (k + 1)
