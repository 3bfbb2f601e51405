r"""Quadratic forms of Gaussian variables: ``Q = offset + sum_i w_i (z_i + d_i)^2`` with independent z_i ~ N(0, 1).

Every mean square ``||r||^2 / n`` of a Gaussian vector r ~ N(m, S) is one: with eigenpairs (l_i, v_i) of S,

    ``w_i = l_i / n``,  ``d_i = v_i . m / sqrt(l_i)``  for l_i > 0,   ``offset = sum (v_i . m)^2 / n``  over the rest.

The offset is the *floor*: what no draw of r can take away. P(Q <= eps) is zero at and below it.

**Which eigenvalues are zero cannot be read off rounded numbers.** An eigenvalue of the size of round-off, taken for
positive, turns a floor into a huge finite shift and infinity into a large finite number; a true one, taken for zero,
does the reverse. So the decision has a stated tolerance, and what it leaves open is kept beside the form, as
`Rounding`: every matrix within the tolerance of S is as good, and curves say how far that moves them. A factor A with
S = A A^T leaves least open: its singular values are the roots of the eigenvalues, so that directions are told from zero
down to 1e-30 of the largest variance instead of 1e-14.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln

from genbounds.numerics.checks import Float64, count, finite, nonnegative, positive

__all__ = ["QuadraticForm", "Rounding"]

#: Rounding of float64, the relative distance of neighbouring numbers.
_UNIT = 2.0**-52


@dataclass(frozen=True)
class Rounding:
    """What a form computed from rounded numbers leaves open, in the units of Q.

    Attributes
    ----------
    covariance : float
        Largest eigenvalue that an error of the covariance may have.
    factor : float
        Largest singular value that an error of the factor may have.
    directions : int
        Directions that were counted as constant.
    square : float
        What they add to the offset.
    mean : float
        Length of an error that the mean of the vector may have; its square is in the units of Q.
    """

    covariance: float = 0.0
    factor: float = 0.0
    directions: int = 0
    square: float = 0.0
    mean: float = 0.0


@dataclass(frozen=True, eq=False)
class QuadraticForm:
    """The law of ``offset + sum_i w_i (z_i + d_i)^2`` for independent standard normal z_i.

    Parameters
    ----------
    weights : array_like, shape (n,)
        w_i > 0. None of them: Q is the constant `offset`.
    shifts : array_like, shape (n,) or ()
        d_i in standard deviations of z_i; zero for a central form.
    offset : float
        Constant added: the smallest value that Q can come near to.
    rounding : Rounding
        What is left open where the form was computed rather than given.

    Raises
    ------
    ValueError
        If a weight is not positive, a number is not finite, or the lengths differ.

    Examples
    --------
    >>> form = QuadraticForm([1.0, 0.5], [0.0, 2.0], 0.1)
    >>> float(form.mean), float(form.variance)
    (3.6, 6.5)
    """

    weights: NDArray[np.float64]
    shifts: NDArray[np.float64]
    offset: float = 0.0
    rounding: Rounding = Rounding()

    def __post_init__(self) -> None:
        weights = positive("weights", self.weights, "Put directions without variance into the offset.")
        shifts = finite("shifts", self.shifts)
        if weights.ndim != 1 or shifts.shape not in {(), weights.shape}:
            raise ValueError(f"weights and shifts must be lists of one length, got {weights.shape} and {shifts.shape}.")
        object.__setattr__(self, "weights", weights)
        object.__setattr__(self, "shifts", np.broadcast_to(shifts, weights.shape))
        object.__setattr__(self, "offset", float(finite("offset", self.offset)))

    @classmethod
    def from_gaussian(
        cls,
        mean: ArrayLike,
        covariance: ArrayLike,
        *,
        output_weights: ArrayLike | None = None,
        tolerance: float | None = None,
    ) -> "QuadraticForm":
        """Return the law of the mean square of r ~ N(mean, covariance).

        Parameters
        ----------
        mean : array_like, shape (n,) or (n, k)
            Mean of r, such as prediction minus label; columns are independent vectors of the same covariance.
        covariance : array_like, shape (n, n)
            Its covariance, symmetric and positive semi-definite up to the tolerance.
        output_weights : array_like, shape (n,) or (), optional
            v_j >= 0 in ``Q = sum_j v_j r_j^2``; by default one over the number of entries, which is the mean square.
        tolerance : float, optional
            Error of the covariance as a fraction of its largest eigenvalue: eigenvalues up to that count as zero. By
            default n times the rounding of float64. A covariance that is a difference of larger matrices, as after
            conditioning, carries their rounding: pass that, or pass a factor to `from_factor`.

        Returns
        -------
        QuadraticForm
            Its weights are ascending.

        Raises
        ------
        ValueError
            If shapes do not fit, the matrix is not symmetric, or it has an eigenvalue below zero by more than the
            tolerance.

        Examples
        --------
        Two outputs that always move together have a floor:

        >>> form = QuadraticForm.from_gaussian([1.0, 0.0], [[1.0, 1.0], [1.0, 1.0]])
        >>> len(form.weights), round(form.offset, 12)
        (1, 0.25)
        """
        middle, root, scale = _weighted(mean, output_weights)
        n = len(middle)
        matrix = finite("covariance", covariance)
        if matrix.shape != (n, n):
            raise ValueError(f"covariance must have shape {(n, n)}, got {matrix.shape}. One row for each output.")
        matrix = matrix * root * root[:, None]
        share = n * _UNIT if tolerance is None else float(nonnegative("tolerance", finite("tolerance", tolerance)))
        asymmetry, size = np.abs(matrix - matrix.T).max(), np.abs(matrix).max()
        if asymmetry > max(share, n * _UNIT) * size:
            raise ValueError(f"covariance must be symmetric, got a difference of {asymmetry:.3g}. Pass (S + S.T) / 2.")
        eigenvalues, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
        error = share * max(float(eigenvalues[-1]), 0.0)
        if eigenvalues[0] < -error:
            raise ValueError(
                f"covariance must be positive semi-definite, got an eigenvalue of {eigenvalues[0]:.3g} beside "
                f"{eigenvalues[-1]:.3g}. Pass a factor to from_factor, or the rounding it carries as tolerance."
            )
        kept = eigenvalues > error
        return cls._from_axes(vectors[:, kept], eigenvalues[kept], middle, covariance=error).scaled(scale)

    @classmethod
    def from_factor(
        cls,
        mean: ArrayLike,
        factor: ArrayLike,
        *,
        output_weights: ArrayLike | None = None,
        resolution: float | None = None,
    ) -> "QuadraticForm":
        """Return the law of the mean square of r = mean + factor z with standard normal z.

        Parameters
        ----------
        mean : array_like, shape (n,) or (n, k)
            Mean of r; columns are independent vectors, each with its own z.
        factor : array_like, shape (n, m)
            A, with covariance A A^T.
        output_weights : array_like, shape (n,) or (), optional
            v_j >= 0 in ``Q = sum_j v_j r_j^2``; by default one over the number of entries, which is the mean square.
        resolution : float, optional
            Error of the factor: standard deviations along a direction of r up to which it is rounding and counts as
            zero. By default max(n, m) times the rounding of float64 times the largest singular value.

        Returns
        -------
        QuadraticForm
            Its weights are descending.

        Raises
        ------
        ValueError
            If shapes do not fit or a number is not finite.
        """
        middle, root, scale = _weighted(mean, output_weights)
        matrix = finite("factor", factor)
        if matrix.ndim != 2 or len(matrix) != len(middle):
            raise ValueError(f"factor must have shape ({len(middle)}, m), got {matrix.shape}. One row for each output.")
        vectors, scales, _ = np.linalg.svd(matrix * root[:, None], full_matrices=False)
        error = max(matrix.shape) * _UNIT * float(scales.max(initial=0.0))
        if resolution is not None:
            error = max(error, float(nonnegative("resolution", finite("resolution", resolution)) * root.max()))
        kept = scales > error
        return cls._from_axes(vectors[:, kept], scales[kept] ** 2, middle, factor=error).scaled(scale)

    @classmethod
    def _from_axes(
        cls, axes: NDArray[np.float64], variances: NDArray[np.float64], mean: NDArray[np.float64], **error: float
    ) -> "QuadraticForm":
        """Return the form of the squared norm, given the directions in which it varies."""
        along = axes.T @ mean
        hidden = len(mean) - len(variances)
        rest = mean - axes @ along
        square = float((rest**2).sum()) if hidden else 0.0
        columns = mean.shape[1]
        return cls(
            np.repeat(variances, columns),
            (along / np.sqrt(variances)[:, None]).ravel(),
            square,
            Rounding(**error, directions=hidden * columns, square=square, mean=8 * _UNIT * float(np.linalg.norm(mean))),
        )

    @property
    def mean(self) -> np.float64:
        """The expectation of Q.

        Returns
        -------
        float64
            ``offset + sum w (1 + d^2)``.
        """
        return self.cumulant(1)

    @property
    def variance(self) -> np.float64:
        """The variance of Q.

        Returns
        -------
        float64
            ``2 sum w^2 (1 + 2 d^2)``.
        """
        return self.cumulant(2)

    def cumulant(self, order: int) -> np.float64:
        """Return the cumulant of an order.

        Parameters
        ----------
        order : int
            At least 1: mean, variance, third central moment, and so on.

        Returns
        -------
        float64
            ``2^(k-1) (k-1)! sum w^k (1 + k d^2)``, and the offset for k = 1.

        Raises
        ------
        ValueError
            If the order is below 1.
        """
        k = float(count("order", order))
        total = (self.weights**k * (1 + k * self.shifts**2)).sum()
        return np.exp((k - 1) * math.log(2) + gammaln(k)) * total + (self.offset if k == 1 else 0.0)

    def cumulant_generating(self, s: ArrayLike) -> tuple[Float64, Float64, Float64]:
        """Return ``K(s) = ln E exp(s Q)`` and its first two derivatives.

        Parameters
        ----------
        s : array_like
            Below ``1 / (2 max w)``, where the expectation is finite.

        Returns
        -------
        value, first, second : float or ndarray, each of the shape of s
            K, K' (the mean of Q under the tilt exp(s Q)) and K'' (its variance there).

        Raises
        ------
        ValueError
            If an s is too large.
        """
        points = finite("s", s)
        w, d2 = self.weights, self.shifts**2
        a = 1 - 2 * w * points[..., None]
        if (a <= 0).any():
            raise ValueError(f"s must be below {0.5 / w.max()}, got {points.max()}. Above it E exp(sQ) is infinite.")
        value = self.offset * points + (w * d2 * points[..., None] / a - np.log(a) / 2).sum(-1)
        first = self.offset + (w / a * (1 + d2 / a)).sum(-1)
        return value, first, (2 * (w / a) ** 2 * (1 + 2 * d2 / a)).sum(-1)

    def above(self, levels: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return levels as an array, and how far they are above the offset.

        Parameters
        ----------
        levels : array_like, shape (k,) or ()
            Thresholds of Q.

        Returns
        -------
        levels, distances : ndarray, each of shape (k,)
            Distances are negative below the offset.

        Raises
        ------
        ValueError
            If a level is not finite, or they are no list.
        """
        points = np.atleast_1d(finite("levels", levels))
        if points.ndim != 1 or not points.size:
            raise ValueError(f"levels must be a list of at least one number, got shape {points.shape}.")
        return points, points - self.offset

    def __add__(self, other: "QuadraticForm") -> "QuadraticForm":
        """Return the law of the sum of two independent forms.

        Parameters
        ----------
        other : QuadraticForm
            The second summand.

        Returns
        -------
        QuadraticForm
            Both lists of weights, offsets added.
        """
        return QuadraticForm(
            np.concatenate([self.weights, other.weights]),
            np.concatenate([self.shifts, other.shifts]),
            self.offset + other.offset,
            Rounding(
                max(self.rounding.covariance, other.rounding.covariance),
                max(self.rounding.factor, other.rounding.factor),
                self.rounding.directions + other.rounding.directions,
                self.rounding.square + other.rounding.square,
                math.hypot(self.rounding.mean, other.rounding.mean),
            ),
        )

    def scaled(self, scale: float) -> "QuadraticForm":
        """Return the law of `scale` times Q.

        Parameters
        ----------
        scale : float
            Positive.

        Returns
        -------
        QuadraticForm
            Weights and offset times `scale`.

        Raises
        ------
        ValueError
            If the scale is not positive.
        """
        by = float(positive("scale", scale))
        open_ = self.rounding
        return QuadraticForm(
            self.weights * by,
            self.shifts,
            self.offset * by,
            Rounding(
                open_.covariance * by,
                open_.factor * math.sqrt(by),
                open_.directions,
                open_.square * by,
                open_.mean * math.sqrt(by),
            ),
        )

    def draw(self, samples: int, generator: np.random.Generator) -> NDArray[np.float64]:
        """Draw independent values of Q.

        Parameters
        ----------
        samples : int
            How many.
        generator : numpy.random.Generator
            Source of randomness.

        Returns
        -------
        ndarray, shape (samples,)
            Values; memory stays bounded for any number of weights.
        """
        squares = np.empty(samples)
        block = max(1, 2**20 // max(len(self.weights), 1))
        for start in range(0, samples, block):
            part = squares[start : start + block]
            part[:] = (generator.standard_normal((len(part), len(self.weights))) + self.shifts) ** 2 @ self.weights
        return squares + self.offset


def _weighted(
    mean: ArrayLike, output_weights: ArrayLike | None
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Return columns of means, the roots of outputs' weights and a scale: Q = scale ||root * r||^2 with that mean."""
    middle = finite("mean", mean)
    if middle.ndim not in {1, 2} or not middle.size:
        raise ValueError(f"mean must be a list of outputs, or one for each column, got shape {middle.shape}.")
    columns = middle.reshape(len(middle), -1)
    if output_weights is None:
        return columns, np.ones(len(middle)), 1 / middle.size
    weights = nonnegative("output_weights", finite("output_weights", output_weights))
    root = np.sqrt(np.broadcast_to(weights, len(middle)))
    return columns * root[:, None], root, 1.0
