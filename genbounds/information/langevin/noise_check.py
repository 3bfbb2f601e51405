"""Was the noise that the weights got the noise that the bound assumes? A test of what is left of each step."""

import math

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
    * the component of r along the current gradient is N(0, 1). A gradient that was clipped or scaled shifts it.
    * so is the component along the previous step's gradient. Momentum shifts it.

    Each is a two-sided test. They may be repeated while training goes on: the k-th time they spend level / (k (k + 1)),
    level in all.

    Parameters
    ----------
    level : float
        Probability with which steps that were made as assumed are refused, in (0, 1).

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

    def __init__(self, level: float = 1e-3) -> None:
        self.level = float(confidence("level", level, "It is the probability of a false alarm, such as 0.001."))
        self.steps, self.coordinates, self.checks = 0, 0, 0
        self._squares, self._current, self._previous = 0.0, [0.0, 0], [0.0, 0]

    def add(self, squares: float, coordinates: int, current: float, previous: float) -> None:
        """Take in one step.

        Parameters
        ----------
        squares : float
            Sum of squares of the residual.
        coordinates : int
            Number of its coordinates.
        current, previous : float
            Components along the current and the previous gradient; NaN where that gradient is 0 or there is none.

        Raises
        ------
        NoiseError
            If the residual is not finite.
        """
        if not math.isfinite(squares):
            raise NoiseError(f"weights must stay finite, got a residual of {squares!r} in step {self.steps + 1}.")
        self.steps += 1
        self.coordinates += coordinates
        self._squares += squares
        for sums, component in ((self._current, current), (self._previous, previous)):
            if not math.isnan(component):
                sums[0] += component
                sums[1] += 1

    @property
    def scale(self) -> float:
        """Standard deviation of the noise found, in units of the one that was stated."""
        return math.sqrt(self._squares / self.coordinates) if self.coordinates else math.nan

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
        tail = self.level / (self.checks * (self.checks + 1)) / 6  # three tests, two sides each
        half = self.coordinates / 2
        low = math.sqrt(gammaincinv(half, tail) / half) * (1 - _TOLERANCE)
        high = math.sqrt(gammainccinv(half, tail) / half) * (1 + _TOLERANCE)
        over = f"over {self.coordinates} coordinates of {self.steps} steps, at level {self.level:g}"
        if not low <= self.scale <= high:
            raise NoiseError(
                f"noise must have the standard deviation that was stated, got {self.scale:.4g} times as much "
                f"(accepted: {low:.4g} to {high:.4g}, {over}). State what the optimiser adds, sqrt(2 step_size / "
                "inverse_temperature) for Langevin dynamics; measure once for each of its steps; use no momentum, no "
                "clipping and no scaling of the gradient."
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
