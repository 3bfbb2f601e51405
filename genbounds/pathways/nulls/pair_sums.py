r"""What is kept of the distances of pairs: a few sums for each sample, and from them means with their standard errors.

**The variance of a mean over pairs.** For independent samples and a symmetric h, let ``zeta_1 = Cov(h(X, Y), h(X, Z))``
and ``zeta_2 = Var h(X, Y)``. Two pairs with one sample in common have covariance ``zeta_1``, pairs without have none
([Hoeffding1948]_). So for any set of M pairs chosen without looking at the distances, with ``d_i`` of them at sample i,

    ``Var mean h = [M zeta_2 + A zeta_1] / M^2``,       ``A = sum_i d_i (d_i - 1)``,

which is ``[4 (n - 2) zeta_1 + 2 zeta_2] / (n (n - 1))`` for all pairs. With ``R_i`` the sum of h over the pairs at
sample i, ``Q = sum h^2`` and ``T = sum h``, the averages of ``h h'`` over equal pairs, over pairs of pairs with one
sample in common and over those with none are

    ``P_2 = Q / M``,   ``P_1 = (sum_i R_i^2 - 2 Q) / A``,   ``P_0 = (T^2 - Q - sum_i R_i^2 + 2 Q) / (M^2 - M - A)``,

with expectations ``E h^2``, ``zeta_1 + (E h)^2`` and ``(E h)^2``. So ``zeta_2 = P_2 - P_0`` and ``zeta_1 = P_1 - P_0``
are estimated without bias, by one formula for all pairs and for drawn ones. Here h is taken minus its mean first,
against cancellation, which for all pairs changes nothing and for drawn ones what is of smaller order. The estimate of
``zeta_1`` is held in ``[0, zeta_2 / 2]``, where the true one must be.

**Why not a bootstrap.** Pairs share samples. A bootstrap *over pairs* takes A for 0 and is too short by a factor of
order ``sqrt n``. One *over samples*, with weights ``w_i w_j``, has the variance ``sum R_i^2 + Q = A zeta_1 + 3 M
zeta_2`` on average (for h minus its mean, over ``M^2``): right where ``A zeta_1`` is the larger part, as for all pairs
of many samples, and up to ``sqrt 3`` too long where pairs are few. The formula above has neither fault, and no draws.

**Groups.** With s = 1 for pairs of the same group, ``w`` their share, ``D_within`` and ``D_between`` the means of
distances over pairs of one and of two groups,

    ``D = w D_within + (1 - w) D_between``  exactly,        ``R^2 = 1 - D_within / D``.

All pairs within groups weigh the same, so large groups weigh by the square of their size. For labels that are permuted
at random each pair is within equally often: over all permutations ``R^2`` of all pairs is 0 on average, exactly.
PERMANOVA's ([Anderson2001]_) takes squared distances and weighs a pair by one over the size of its group; its average
over permutations is ``(G - 1) / (n - 1)`` for G groups. The standard error of ``R^2`` takes samples *with their labels*
for independent draws, and is that of its linear part, the mean over pairs of

    ``-s (h - D_within) / (w D) + D_within h / D^2``.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["PairSums"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PairSums:
    """Sums over pairs of different samples, each pair once.

    Attributes
    ----------
    degrees, same_degrees : ndarray of float64, shape (n,)
        Number of pairs at each sample; of those within a group.
    rows, same_rows : ndarray of float64, shape (n,)
        Sum of their distances.
    square, same_square : float
        Sum of squared distances over all pairs; over those within a group.
    """

    degrees: Floats
    rows: Floats
    square: float
    same_degrees: Floats
    same_rows: Floats
    same_square: float

    @property
    def pairs(self) -> int:
        """Number of pairs, M."""
        return int(self.degrees.sum()) // 2

    @property
    def mean(self) -> float:
        """Mean distance."""
        return float(self.rows.sum() / self.degrees.sum())

    @property
    def variance(self) -> float:
        """Variance of the distance over pairs."""
        return self.square / self.pairs - self.mean**2

    @property
    def share(self) -> float:
        """Share of pairs that are within a group."""
        return float(self.same_degrees.sum() / self.degrees.sum())

    @property
    def within(self) -> float:
        """Mean distance of the pairs within groups; NaN without such pairs."""
        return _ratio(self.same_rows.sum(), self.same_degrees.sum())

    @property
    def between(self) -> float:
        """Mean distance of the pairs between groups; NaN without such pairs."""
        return _ratio((self.rows - self.same_rows).sum(), (self.degrees - self.same_degrees).sum())

    @property
    def r_squared(self) -> float:
        """``1 - D_within / D``; NaN where no two paths differ, or no pair is within a group."""
        return 1 - _ratio(self.within, self.mean)

    @property
    def standard_error(self) -> float:
        """Standard error of the mean over samples; NaN where too few pairs share none, as with four of them."""
        mean, pairs = self.mean, self.pairs
        return standard_error(self.degrees, self.rows - mean * self.degrees, self.square - pairs * mean**2)

    @property
    def r_squared_error(self) -> float:
        """Standard error of ``R^2`` over samples with their labels, to first order."""
        if math.isnan(self.r_squared):
            return math.nan
        mean, within, pairs = self.mean, self.within, self.pairs
        a, b = -1 / (self.share * mean), within / mean**2
        rows = a * (self.same_rows - within * self.same_degrees) + b * (self.rows - mean * self.degrees)
        # Squares of a s (h - D_within) + b (h - D); within groups, sum (h - D_within)(h - D) = sum (h - D_within)^2.
        same = self.same_square - within**2 * self.same_degrees.sum() / 2
        square = (a**2 + 2 * a * b) * same + b**2 * (self.square - pairs * mean**2)
        return standard_error(self.degrees, rows, square)


def standard_error(degrees: Floats, rows: Floats, square: float) -> float:
    """Return the standard error of the mean over pairs of an h whose mean is 0, from its sums (see the module)."""
    pairs = degrees.sum() / 2
    touching = float((degrees * (degrees - 1)).sum())
    apart = pairs**2 - pairs - touching
    # Q / M - P_0 >= Q (1 / M - 1 / apart), as sum_i R_i^2 >= 0: with fewer pairs apart it may be 0 whatever h is.
    if apart <= pairs:
        return math.nan
    shared = float((rows**2).sum()) - 2 * square
    none = -(square + shared) / apart
    zeta_2 = square / pairs - none
    zeta_1 = min(max(shared / touching - none, 0.0), zeta_2 / 2) if touching else 0.0
    return float(math.sqrt(max(pairs * zeta_2 + touching * zeta_1, 0.0)) / pairs)


def _ratio(numerator: float, denominator: float) -> float:
    """Return a quotient, NaN over 0."""
    return float(numerator / denominator) if denominator else math.nan
