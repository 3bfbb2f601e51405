"""How likely a Gaussian process fits the labels: the information of the training set under an infinite network's prior.

A random function f ~ N(0, K) with the class 1 where f > 0 fits binary labels with the probability of an orthant, P(U).
It is sampled without bias, so that an upper limit of I_train = -ln P(U) holds at any number of draws, and with it the
realisable PAC-Bayes bound (`genbounds.pac_bayes.realisable`) for the process conditioned on the labels. Valle-Perez et
al. (2019) approximate P(U) by Expectation Propagation, a number without an error, and what follows from it is an
estimate of a bound. The kernel has to be fixed before the labels are seen;
`genbounds.inductive_bias.gaussian.network_kernels` has those of infinitely wide networks.

Regression targets have a density under the process, and no probability: `regression_log_evidence`.
"""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import cho_solve, cholesky

from genbounds.numerics.checks import finite, nonnegative
from genbounds.numerics.estimates import UpperLimit
from genbounds.rare_events.averages.log_means import log_mean
from genbounds.rare_events.averages.lower_limits import log_mean_lower_limit
from genbounds.rare_events.averages.orthants import orthant_log_weights
from genbounds.rare_events.curves import TailCurve

__all__ = ["classification_information", "classification_limit", "regression_log_evidence"]


def classification_information(
    kernel: ArrayLike, labels: ArrayLike, *, draws: int = 10_000, confidence: float = 0.95, seed: int = 0
) -> TailCurve:
    """Estimate -ln of the probability that the sign of a Gaussian process agrees with all labels.

    Parameters
    ----------
    kernel : array_like, shape (n, n)
        Covariance of the process at the inputs, positive definite.
    labels : array_like, shape (n,)
        Classes 0 and 1, or signs -1 and 1.
    draws : int
        Weights to average, at least 25.
    confidence : float
        Of the interval, in (0, 1): nominal.
    seed : int
        Seed of the draws.

    Returns
    -------
    TailCurve
        I_train in nats at the one level 0 of the share of errors. It is unbiased, and its `upper_limit` by Markov's
        inequality holds for certain; that of `classification_limit` is lower.

    Raises
    ------
    ValueError
        If the kernel is not positive definite, or labels are not of two classes.

    Examples
    --------
    Two inputs of correlation 1/2 and opposite labels: 1/4 - arcsin(1/2) / (2 pi) = 1/6.

    >>> curve = classification_information([[1.0, 0.5], [0.5, 1.0]], [0, 1])
    >>> round(float(np.exp(-curve.nats[0])), 3), bool(curve.low[0] < np.log(6) < curve.high[0])
    (0.167, True)
    """
    found = log_mean(_log_weights(kernel, labels, draws, seed), confidence)
    tail = "" if found.trusted else f"the weights have a heavy tail (index {found.tail:.2f}): the value may be too high"
    return TailCurve(
        levels=np.zeros(1),
        nats=np.array([-found.value]),
        standard_error=np.array([found.standard_error]),
        low=np.array([max(-found.high, 0.0)]),
        high=np.array([-found.low]),
        confidence=confidence,
        kind="estimate",
        method="Gaussian orthant by importance sampling with minimax tilting",
        samples=draws,
        unbiased=True,
        warnings=(tail,) if tail else (),
    )


def classification_limit(
    kernel: ArrayLike, labels: ArrayLike, delta: float, *, draws: int = 10_000, seed: int = 0
) -> UpperLimit:
    """Return an upper limit of -ln of the probability that the sign of a Gaussian process agrees with all labels.

    Parameters
    ----------
    kernel : array_like, shape (n, n)
        Covariance of the process at the inputs, positive definite.
    labels : array_like, shape (n,)
        Classes 0 and 1, or signs -1 and 1.
    delta : float
        Probability over the draws with which the limit may fail, in (0, 1).
    draws : int
        Number of weights, fixed before looking.
    seed : int
        Seed of the draws, fixed before looking: the best of several is no limit.

    Returns
    -------
    UpperLimit
        In nats: what `genbounds.pac_bayes.realisable` takes; its delta adds up with the theorem's.

    Raises
    ------
    ValueError
        If the kernel is not positive definite, or labels are not of two classes.

    Notes
    -----
    `genbounds.rare_events.averages.lower_limits` for the mean of the weights: valid at any number of draws, for weights
    of any law. Covered is what is random in the draws, not the rounding of their arithmetic.

    Examples
    --------
    >>> limit = classification_limit([[1.0, 0.5], [0.5, 1.0]], [0, 1], delta=0.01)
    >>> bool(np.log(6) < limit.value < np.log(6) + 0.01)
    True
    """
    lower = log_mean_lower_limit(_log_weights(kernel, labels, draws, seed), delta)
    return UpperLimit(-lower, delta, "bets on the weights of a Gaussian orthant, sampled with minimax tilting")


def regression_log_evidence(kernel: ArrayLike, targets: ArrayLike, noise: float = 0.0) -> float:
    """Return the log density ln N(y; 0, K + noise I) of regression targets under a Gaussian process.

    Parameters
    ----------
    kernel : array_like, shape (n, n)
        Covariance of the process at the inputs; with the noise positive definite.
    targets : array_like, shape (n,) or (n, k)
        Targets y; k outputs are independent processes of one kernel.
    noise : float
        Variance of the noise on each target, at least 0, in the units of the targets squared.

    Returns
    -------
    float
        Nats, of a density in the units of the targets to the power -n k: it depends on those units, may be positive,
        and is no probability. It enters no realisable bound; differences between kernels are Bayes factors.

    Raises
    ------
    ValueError
        If shapes do not match, the noise is negative, or kernel plus noise is not positive definite.

    Examples
    --------
    >>> round(regression_log_evidence([[1.0]], [0.0], noise=1.0), 6), round(-math.log(4 * math.pi) / 2, 6)
    (-1.265512, -1.265512)
    """
    matrix, y = finite("kernel", kernel), finite("targets", targets)
    y = y[:, None] if y.ndim == 1 else y
    if y.ndim != 2 or not y.size or matrix.shape != (len(y), len(y)):
        raise ValueError(f"kernel must have a row and a column for each target, got {matrix.shape} for {y.shape}.")
    if not np.allclose(matrix, matrix.T, rtol=0, atol=1e-8 * np.abs(matrix).max()):
        raise ValueError("kernel must be symmetric, got one that is not. Pass (K + K.T) / 2 if rounding is to blame.")
    matrix = matrix + float(nonnegative("noise", noise)) * np.eye(len(y))
    try:
        factor = cholesky(matrix, lower=True)
    except np.linalg.LinAlgError as error:
        raise ValueError(f"kernel must be positive definite with the noise, got noise={noise!r}. Add some.") from error
    log_determinant = 2 * np.log(np.diag(factor)).sum()
    quadratic = (y * cho_solve((factor, True), y)).sum()
    return float(-(quadratic + y.shape[1] * (log_determinant + len(y) * math.log(2 * math.pi))) / 2)


def _log_weights(kernel: ArrayLike, labels: ArrayLike, draws: int, seed: int) -> NDArray[np.float64]:
    """Return weights whose expectation is the probability that label times process is positive everywhere."""
    matrix, given = finite("kernel", kernel), finite("labels", labels)
    if given.ndim != 1 or matrix.shape != (len(given), len(given)):
        raise ValueError(f"kernel must have a row and a column for each label, got {matrix.shape} for {given.shape}.")
    if not (np.isin(given, [0, 1]).all() or np.isin(given, [-1, 1]).all()):
        raise ValueError(f"labels must be 0 and 1, or -1 and 1, got {np.unique(given)[:5]}. Encode two classes.")
    signs = np.where(given > 0, 1.0, -1.0)
    return orthant_log_weights(matrix * np.outer(signs, signs), draws, seed=seed)
