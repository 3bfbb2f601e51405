"""Random functions whose residuals are jointly Gaussian: the information of a small mean square loss is exact."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genbounds.rare_events.curves import TailCurve
from genbounds.rare_events.quadratic.forms import QuadraticForm
from genbounds.rare_events.quadratic.tails import quadratic_tail

__all__ = ["GaussianHypotheses"]


@dataclass(frozen=True, eq=False)
class GaussianHypotheses:
    """The law of the residuals of a random function on some examples: independent Gaussian columns of one covariance.

    The loss is ``offset`` plus the mean square of all residuals, over examples and outputs.

    Parameters
    ----------
    mean : ndarray, shape (n, k)
        Mean of the residuals (prediction minus target), for n examples and k outputs. Outputs that depend on each other
        are one long column.
    factor : ndarray, shape (n, r)
        A with A A^T the covariance of each column.
    resolution : float
        Standard deviation of the residual vector along a direction up to which it is rounding, and counts as 0.
    squared : bool
        Whether the rounding is one of the covariance, by the square of `resolution`, and not of the factor.
    mean_error : float
        Distance by which rounding may move the mean residuals, as one vector.
    offset : float
        Loss that no function removes, at least 0.
    condition : str
        What the functions are known to satisfy.
    warnings : tuple of str
        What a reader has to know before quoting the values.

    Examples
    --------
    >>> space = GaussianHypotheses(mean=np.array([[2.0], [1.0]]), factor=np.array([[1.0], [0.0]]), resolution=1e-12)
    >>> space.floor, space.mean_loss  # ((2 + z)^2 + 1) / 2
    (0.5, 3.0)
    """

    mean: NDArray[np.float64]
    factor: NDArray[np.float64]
    resolution: float
    squared: bool = False
    mean_error: float = 0.0
    offset: float = 0.0
    condition: str = "prior"
    warnings: tuple[str, ...] = ()

    @cached_property
    def form(self) -> QuadraticForm:
        """The loss as a quadratic form of independent standard normal variables.

        Returns
        -------
        QuadraticForm
            A term for each direction above `resolution` and each output; its offset holds the floor.
        """
        form = QuadraticForm.from_factor(self.mean, self.factor, resolution=self.resolution)
        open_ = replace(form.rounding, mean=form.rounding.mean + self.mean_error / np.sqrt(self.mean.size))
        if self.squared:
            of_factor = max(self.factor.shape) * 2.0**-52 * np.sqrt(form.weights.max(initial=0.0))
            open_ = replace(open_, covariance=open_.factor**2, factor=of_factor)
        return replace(form, offset=form.offset + self.offset, rounding=open_)

    @property
    def floor(self) -> float:
        """The loss below which there is no function: its information is infinite.

        Returns
        -------
        float
            ``offset`` and the part of the mean residuals along which nothing varies.
        """
        return self.form.offset

    @property
    def mean_loss(self) -> float:
        """The loss of a random function of the space, on average.

        Returns
        -------
        float
            Its mean.
        """
        return float(self.form.mean)

    def information(self, levels: ArrayLike) -> TailCurve:
        """Return -ln P(loss <= level | condition), in nats.

        Parameters
        ----------
        levels : array_like, shape (k,)
            Levels of the loss, strictly increasing.

        Returns
        -------
        TailCurve
            Exact, up to what its method says; infinite below the floor. Low and high take in rounding of the
            covariance, to first order, and of the mean; where they leave a level open it is NaN.

        Raises
        ------
        ValueError
            If levels are not finite or do not increase.

        Examples
        --------
        >>> space = GaussianHypotheses(np.array([[0.0]]), np.array([[1.0]]), 1e-12)  # P(z^2 <= 1) = 0.6827
        >>> space.information([1.0]).nats.round(4).tolist()
        [0.3817]
        """
        curve = quadratic_tail(self.form, levels)
        return replace(
            curve, method=f"{curve.method}; condition: {self.condition}", warnings=(*curve.warnings, *self.warnings)
        )
