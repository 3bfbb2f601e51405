"""Linear regression along a training: the exact training and test error at every time, in the limit of many weights.

A student of N weights is trained by gradient flow on P examples y = <w*, x> + noise, x normal with covariance I / N
[AdvaniSaxe2020]_. With alpha = P / N fixed and N large the eigenvalues of X^T X follow the law of Marchenko and Pastur,
and both errors are integrals over it.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar

from genbounds.numerics.checks import count, nonnegative, positive

__all__ = ["GradientFlow", "GradientFlowDraw"]

#: Points of the trapezoidal rule.
_POINTS = 4001


@dataclass(frozen=True)
class GradientFlowDraw:
    """Errors of one student along its training, exactly given its data and teacher.

    Attributes
    ----------
    train_errors, test_errors : ndarray, shape (T,)
        Mean square error on its examples, and expected on new ones.
    """

    train_errors: NDArray[np.float64]
    test_errors: NDArray[np.float64]


@dataclass(frozen=True)
class GradientFlow:
    """The problem: examples per weight, and variances.

    Parameters
    ----------
    alpha : float
        Examples for each weight, P / N, positive.
    teacher : float
        Variance of each weight of the teacher, positive.
    noise : float
        Variance of the labels' noise, at least 0.
    initial : float
        Variance of each weight of the student before training, at least 0.

    Examples
    --------
    >>> world = GradientFlow(2.0, 1.0, 0.25)
    >>> round(world.test_error(1e6).item(), 6)  # noise * alpha / (alpha - 1)
    0.5
    """

    alpha: float
    teacher: float = 1.0
    noise: float = 0.25
    initial: float = 0.0

    def __post_init__(self) -> None:
        positive("alpha", self.alpha)
        positive("teacher", self.teacher)
        nonnegative("noise", self.noise)
        nonnegative("initial", self.initial)

    def average(self, function: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> NDArray[np.float64]:
        r"""Integrate a function over the positive eigenvalues of X^T X, which have mass min(1, alpha).

        Parameters
        ----------
        function : callable
            Of eigenvalues, shape (m,) to (..., m).

        Returns
        -------
        ndarray
            The integral of function(x) sqrt((x_+ - x)(x - x_-)) / (2 pi x) between x_+- = (sqrt(alpha) +- 1)^2.
        """
        # x = 1 + alpha - 2 sqrt(alpha) cos t leaves 2 alpha sin^2 t / (pi x) dt, smooth and even: trapezoids converge
        # faster than any power.
        t = np.linspace(0, math.pi, _POINTS)[1:-1]
        x = 1 + self.alpha - 2 * math.sqrt(self.alpha) * np.cos(t)
        weights = 2 * self.alpha * np.sin(t) ** 2 / (math.pi * x) * (math.pi / (_POINTS - 1))
        ends = self._end_values(function)
        return np.asarray(function(x) @ weights + ends)

    def _end_values(
        self, function: Callable[[NDArray[np.float64]], NDArray[np.float64]]
    ) -> NDArray[np.float64] | float:
        """Return what the end of the range adds where it does not vanish: alpha = 1, whose spectrum begins at 0."""
        if self.alpha != 1:
            return 0.0
        least = np.array([1e-12])
        return np.asarray(function(least)[..., 0] * (2 / math.pi) * (math.pi / (_POINTS - 1)) / 2)

    def test_error(self, time: ArrayLike) -> NDArray[np.float64]:
        """Return the mean square error on new examples at some times.

        Parameters
        ----------
        time : array_like
            Times of the flow dw/dt = X^T (y - X w), at least 0.

        Returns
        -------
        ndarray
            (teacher + initial) [int e^(-2 x t) + (1 - alpha)_+] + noise int (1 - e^(-x t))^2 / x + noise.
        """
        t = nonnegative("time", time)[..., None]
        moved, spread = self.teacher + self.initial, self.noise
        inside = self.average(lambda x: moved * np.exp(-2 * x * t) + spread * np.expm1(-x * t) ** 2 / x)
        return np.asarray(inside + moved * max(0.0, 1 - self.alpha) + spread)

    def train_error(self, time: ArrayLike) -> NDArray[np.float64]:
        """Return the mean square error on the training examples at some times.

        Parameters
        ----------
        time : array_like
            Times, at least 0.

        Returns
        -------
        ndarray
            (1 / alpha) int (x (teacher + initial) + noise) e^(-2 x t) + (1 - 1 / alpha)_+ noise.
        """
        t = nonnegative("time", time)[..., None]
        moved, spread = self.teacher + self.initial, self.noise
        inside = self.average(lambda x: (x * moved + spread) * np.exp(-2 * x * t))
        return np.asarray(inside / self.alpha + max(0.0, 1 - 1 / self.alpha) * spread)

    def ridge_error(self, penalty: ArrayLike) -> NDArray[np.float64]:
        """Return the test error of ridge regression, which minimises |y - X w|^2 + penalty |w|^2.

        Parameters
        ----------
        penalty : array_like
            Positive.

        Returns
        -------
        ndarray
            noise + int (penalty^2 teacher + x noise) / (x + penalty)^2 + (1 - alpha)_+ teacher.
        """
        g = positive("penalty", penalty)[..., None]
        inside = self.average(lambda x: (g**2 * self.teacher + x * self.noise) / (x + g) ** 2)
        return np.asarray(self.noise + inside + max(0.0, 1 - self.alpha) * self.teacher)

    @property
    def best_ridge(self) -> float:
        """Return the least test error of ridge regression, at the penalty noise / teacher.

        Returns
        -------
        float
            The error; without noise that of a vanishing penalty.
        """
        return self.ridge_error(max(self.noise / self.teacher, 1e-9)).item()

    def best_stopping(self) -> tuple[float, float]:
        """Return the time at which the test error is least, and that error.

        Returns
        -------
        tuple of float
            Time in [1e-4, 1e6], and error.
        """
        # The error is flat late in a training: a coarse scan finds the valley first.
        logs = np.linspace(math.log(1e-4), math.log(1e6), 200)
        least = int(np.argmin(self.test_error(np.exp(logs))))
        around = logs[max(least - 1, 0)], logs[min(least + 1, len(logs) - 1)]
        found = minimize_scalar(lambda log: self.test_error(math.exp(log)).item(), bounds=around, method="bounded")
        return math.exp(float(found.x)), float(found.fun)

    def draw(self, weights: int, times: ArrayLike, generator: np.random.Generator) -> GradientFlowDraw:
        """Draw data, teacher and student of finite size, and follow its training exactly.

        Parameters
        ----------
        weights : int
            N; there are round(alpha N) examples, at least 1.
        times : array_like, shape (T,)
            Times, at least 0.
        generator : numpy.random.Generator
            Source of randomness.

        Returns
        -------
        GradientFlowDraw
            Errors by the singular values of the design: no steps, no step size.
        """
        n = int(count("weights", weights))
        examples = int(count("examples", round(self.alpha * n)))
        t = nonnegative("times", times)
        left, singular, right = np.linalg.svd(generator.standard_normal((examples, n)) / math.sqrt(n))
        start = generator.normal(0, math.sqrt(self.initial), n) - generator.normal(0, math.sqrt(self.teacher), n)
        noise = generator.normal(0, math.sqrt(self.noise), examples)
        z, e = right @ start, left.T @ noise  # in the bases of the singular vectors
        rank = len(singular)
        fade = np.exp(-(singular**2) * t[:, None])
        grown = -np.expm1(-(singular**2) * t[:, None]) / singular
        student = fade * z[:rank] + grown * e[:rank]
        test = self.noise + (np.square(student).sum(1) + np.square(z[rank:]).sum()) / n
        residual = fade * (e[:rank] - singular * z[:rank])
        train = (np.square(residual).sum(1) + np.square(e[rank:]).sum()) / examples
        return GradientFlowDraw(train, test)
