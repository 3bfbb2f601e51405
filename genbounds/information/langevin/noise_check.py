"""Was the noise that the weights got the noise that the bound assumes? A test of what is left of each step."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import gammainccinv, gammaincinv, ndtri

from genbounds.numerics.checks import confidence

__all__ = ["NoiseCheck", "NoiseError"]

#: Relative error of the standard deviation that is put down to rounding of the weights and of the gradient.
_TOLERANCE = 1e-4


class NoiseError(ValueError):
    """The steps were not made as the theorem assumes; the message says what was found and what to do."""


class NoiseCheck:
    r"""Tests that the residuals of all steps are independent standard normal variables.

    The residual of a step is r = (w_after - w_before + eta (g + lambda w_before)) / s, with the gradient g of the batch
    measured at w_before. If the step was made as assumed, r is N(0, I) whatever happened before. So exactly:

    * the sum of squares over all coordinates and steps is chi-squared. A wrong temperature shifts it: noise of standard
      deviation (1 / beta) sqrt(2 eta / beta) in place of sqrt(2 eta / beta) shrinks it by beta^2.
    * so it is over each parameter by itself. One bias without noise can tell everything, and is lost in the whole.
    * the component of r along the current gradient is N(0, 1). A gradient that was clipped or scaled shifts it.
    * so is the component along the previous step's gradient. Momentum shifts it.

    All are two-sided tests. The two components and the sums of squares spend a third each, the whole and the parameters
    one half each of that. They may be repeated while training goes on: the k-th time they spend level / (k (k + 1)),
    level in all.

    Parameters
    ----------
    level : float
        Probability with which steps that were made as assumed are refused, in (0, 1).
    names : sequence of str
        The parameters.

    Raises
    ------
    ValueError
        If the level is out of range.

    Examples
    --------
    A tenth too little noise, over 20 steps of 100 coordinates:

    >>> check = NoiseCheck()
    >>> for _ in range(20):
    ...     check.add(100 * 0.9**2, 100, 0.1, -0.2)
    >>> try:
    ...     check.raise_if_refused()
    ... except NoiseError as error:
    ...     print(str(error)[:83])
    noise must have the standard deviation that was stated, got 0.9 times as much (acce
    """

    def __init__(self, level: float = 1e-3, names: Sequence[str] = ("weight",)) -> None:
        self.level = float(confidence("level", level, "It is the probability of a false alarm, such as 0.001."))
        self.names, self.steps, self.checks = tuple(names), 0, 0
        self._squares, self._coordinates = np.zeros((2, len(self.names)))
        self._current, self._previous = [0.0, 0], [0.0, 0]

    def add(self, squares: ArrayLike, coordinates: ArrayLike, current: float, previous: float) -> None:
        """Take in one step.

        Parameters
        ----------
        squares : array_like, one for each parameter
            Sums of squares of the residual.
        coordinates : array_like of int, one for each parameter
            Numbers of its coordinates.
        current, previous : float
            Components along the current and the previous gradient; NaN where that gradient is 0 or there is none.

        Raises
        ------
        NoiseError
            If the residual is not finite.
        """
        total = float(np.sum(squares))
        if not math.isfinite(total):
            raise NoiseError(f"weights must stay finite, got a residual of {total!r} in step {self.steps + 1}.")
        self.steps += 1
        self._coordinates += np.asarray(coordinates, dtype=np.float64)
        self._squares += np.asarray(squares, dtype=np.float64)
        for sums, component in ((self._current, current), (self._previous, previous)):
            if not math.isnan(component):
                sums[0] += component
                sums[1] += 1

    @property
    def coordinates(self) -> int:
        """Coordinates of all residuals so far."""
        return int(self._coordinates.sum())

    @property
    def scale(self) -> float:
        """Standard deviation of the noise found, in units of the one that was stated."""
        return math.sqrt(self._squares.sum() / self.coordinates) if self.coordinates else math.nan

    def raise_if_refused(self) -> None:
        """Refuse steps that were not made as assumed.

        Raises
        ------
        NoiseError
            With what was found, and at which level.
        """
        if not self.steps:
            return
        self.checks += 1
        tail = self.level / (self.checks * (self.checks + 1)) / 6  # three kinds of tests, two sides each
        during = f"of {self.steps} steps, at level {self.level:g}"
        over = f"over {self.coordinates} coordinates {during}"
        parts = zip(self.names, self._squares, self._coordinates, strict=True) if len(self.names) > 1 else ()
        for name, squares, coordinates in (("", self._squares.sum(), self._coordinates.sum()), *parts):
            half, spent = coordinates / 2, tail / (2 * len(self.names) if name else min(2, len(self.names)))
            low = math.sqrt(gammaincinv(half, spent) / half) * (1 - _TOLERANCE)
            high = math.sqrt(gammainccinv(half, spent) / half) * (1 + _TOLERANCE)
            scale = math.sqrt(squares / coordinates)
            if not low <= scale <= high:
                raise NoiseError(
                    f"noise must have the standard deviation that was stated, got {scale:.4g} times as much"
                    f"{name and f' in {name}'} (accepted: {low:.4g} to {high:.4g}, over {coordinates:.0f} coordinates "
                    f"{during}). State what the optimiser adds, sqrt(2 step_size / inverse_temperature) for Langevin "
                    "dynamics; give every parameter the same noise; measure once for each of its steps; use no "
                    "momentum, no clipping and no scaling of the gradient."
                )
        for (total, number), which, cause in (
            (self._current, "current", "it was clipped or scaled, or moved along by another step size"),
            (self._previous, "previous", "momentum is at work"),
        ):
            if number and abs(total) > -ndtri(tail) * math.sqrt(number):
                raise NoiseError(
                    "steps must move along the gradient of the batch by the step size that was stated, got "
                    f"residuals with a component of {total / number:.3g} along the {which} gradient on average "
                    f"({over}): {cause}. Use plain steps."
                )
