r"""What kernel ridge regression risks: exactly, at the inputs it was trained on, and the form of a published bound.

With y = f* + e, e of mean 0 and variance sigma^2, independent, S = H (H + lambda I)^-1 and the fit S y (of the least
sum of squares plus lambda times the squared norm), bias I - S = lambda (H + lambda I)^-1 and

    E ||S y - f*||^2 / n = (lambda^2 / n) f*^T (H + lambda I)^-2 f*  +  (sigma^2 / n) Tr S^2.

That is the risk at the n inputs (fixed design), on average over the noise: no bound, and nothing about new inputs. As
s / (s + lambda) <= 1, Tr S in place of Tr S^2 gives an upper end.

**The published bound** [LiFanZhou2025]_ (its Theorem 4.1) has the same shape: with probability at least 1 - delta

    E (F(x) - f*(x))^2 <= C_1 (lambda^2 / n) y^T (H + lambda I)^-2 y
                          + C_2 [(sigma^2 / n) Tr H (H + lambda I)^-1 + sigma^2 ln(1 / delta) / n]

at a *new* input x. C_1 and C_2 are not given, its proof replaces the new input by the average over the training
inputs, and the noisy y stands where f* belongs. No number follows from it. Nor can any C_1 and C_2 make it true for all
routings and ridges. Let x be uniform on K inputs, each routed to an expert of its own, with kernels K_j(x, x) = 1,
sigma = 0 and f* = 1. Then H has a block of ones for each input that was drawn, and the right side is at most
C_1 lambda^2 / (1 + lambda)^2, as small as one likes. But Theta(x, x') = 0 for x that is not among the n < K training
inputs: F(x) = 0 there, and the left side is at least 1 - n / K.
"""

from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genbounds.numerics.checks import Float64, confidence, finite, nonnegative, positive
from genbounds.pathways.kernels.effective_dimensions import semidefinite

__all__ = ["FixedDesignRisk", "PublishedBound", "fixed_design_risk", "published_bound"]


@dataclass(frozen=True, eq=False)
class FixedDesignRisk:
    """Mean squared error of kernel ridge regression at its training inputs, exact, for one ridge or several.

    Attributes
    ----------
    ridge : float or ndarray
        lambda.
    bias : float or ndarray
        Of the fit without noise, squared and averaged over the inputs.
    variance : float or ndarray
        What the noise adds.
    effective_dimension : float or ndarray
        Tr S.
    upper : float or ndarray
        Bias plus (sigma^2 / n) Tr S: at least the total.
    """

    ridge: Float64
    bias: Float64
    variance: Float64
    effective_dimension: Float64
    upper: Float64

    @property
    def total(self) -> Float64:
        """Bias plus variance."""
        return self.bias + self.variance


def fixed_design_risk(kernel: ArrayLike, target: ArrayLike, noise: float, ridge: ArrayLike) -> FixedDesignRisk:
    """Return the exact risk of kernel ridge regression at its training inputs.

    Parameters
    ----------
    kernel : array_like, shape (n, n)
        H on the training inputs, symmetric and positive semidefinite.
    target : array_like, shape (n,)
        f* at them, without noise.
    noise : float
        Standard deviation sigma of the labels' noise, non-negative.
    ridge : array_like
        lambda, positive: it is added to the kernel, not to the kernel over n.

    Returns
    -------
    FixedDesignRisk
        In the units of the target squared; arrays if several ridges are given.

    Raises
    ------
    ValueError
        If shapes do not fit, the kernel is not positive semidefinite, or a number is out of range.

    Examples
    --------
    >>> risk = fixed_design_risk(np.eye(2), [1.0, 1.0], noise=1.0, ridge=1.0)
    >>> float(risk.bias), float(risk.variance), float(risk.total), float(risk.upper)
    (0.25, 0.25, 0.5, 0.75)
    """
    bias, kept = _shrinkage(kernel, target, "target", ridge)
    variance = _variance(noise)
    n = kept.shape[-1]
    dimension = kept.sum(axis=-1)[()]
    return FixedDesignRisk(
        np.asarray(ridge, np.float64)[()],
        bias,
        variance / n * np.square(kept).sum(axis=-1)[()],
        dimension,
        bias + variance / n * dimension,
    )


@dataclass(frozen=True, eq=False)
class PublishedBound:
    """The terms of the published bound, which its source multiplies by constants that it does not give: no number.

    Attributes
    ----------
    bias_term : float
        (lambda^2 / n) y^T (H + lambda I)^-2 y, to be multiplied by C_1.
    variance_term : float
        (sigma^2 / n) Tr H (H + lambda I)^-1, to be multiplied by C_2.
    noise_term : float
        sigma^2 ln(1 / delta) / n, to be multiplied by C_2.

    Examples
    --------
    >>> form = published_bound(np.eye(2), [1.0, 1.0], noise=1.0, ridge=1.0, delta=0.05)
    >>> form.bias_term, form.variance_term, round(form.noise_term, 4)
    (0.25, 0.5, 1.4979)
    >>> float(form)
    Traceback (most recent call last):
    ...
    ValueError: the published bound must not be made a number, ...
    """

    bias_term: float
    variance_term: float
    noise_term: float

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise ValueError(
            "the published bound must not be made a number, got a form with unspecified constants C_1 and C_2. Its "
            "proof puts training inputs where new ones belong, and its bias takes noisy labels for the target. Read "
            "its terms, or take fixed_design_risk, which is exact at the training inputs."
        )

    __float__ = __int__ = __complex__ = __round__ = __array__ = _refuse
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _refuse
    __lt__ = __le__ = __gt__ = __ge__ = _refuse
    total = property(_refuse)


def published_bound(kernel: ArrayLike, labels: ArrayLike, noise: float, ridge: float, delta: float) -> PublishedBound:
    """Return the terms of the published bound on the risk of a mixture with fixed gates, and no total.

    Parameters
    ----------
    kernel : array_like, shape (n, n)
        H, the routing kernel on the training inputs.
    labels : array_like, shape (n,)
        y, with noise, as the source has it.
    noise : float
        Standard deviation sigma of the labels' noise, non-negative.
    ridge : float
        lambda, positive.
    delta : float
        Probability with which the source lets the bound fail, in (0, 1).

    Returns
    -------
    PublishedBound
        Three terms; whatever asks for their total raises.

    Raises
    ------
    ValueError
        If shapes do not fit, the kernel is not positive semidefinite, or a number is out of range.
    """
    bias, kept = _shrinkage(kernel, labels, "labels", float(ridge))
    share = _variance(noise) / kept.shape[-1]
    chance = float(confidence("delta", delta))
    return PublishedBound(float(bias), float(share * kept.sum()), float(-share * np.log(chance)))


def _shrinkage(
    kernel: ArrayLike, values: ArrayLike, name: str, ridge: ArrayLike
) -> tuple[Float64, NDArray[np.float64]]:
    """Return (lambda^2 / n) v^T (H + lambda I)^-2 v, and the eigenvalues of S along the last axis."""
    penalty = positive("ridge", ridge)[..., None]
    eigenvalues, vectors = semidefinite(kernel)
    along = finite(name, values)
    if along.shape != eigenvalues.shape:
        raise ValueError(
            f"{name} must be one number for each of the {len(eigenvalues)} inputs of the kernel, got shape "
            f"{along.shape}. Give them in the order of its rows."
        )
    lost = penalty / (eigenvalues + penalty)
    bias = np.square(lost * (vectors.T @ along)).mean(axis=-1)[()]
    return bias, eigenvalues / (eigenvalues + penalty)


def _variance(noise: float) -> float:
    """Return the square of a standard deviation."""
    return float(nonnegative("noise", finite("noise", noise))) ** 2
