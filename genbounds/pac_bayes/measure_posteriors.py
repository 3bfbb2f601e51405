"""A bound from any measure: the Gibbs posterior of a complexity, and what is known of its density [ViallardEtAl2024]_.

Let mu(h, S) be any number computed from a network and the sample (a norm, a sharpness, an estimate of the error), and
omega(h) any that does not see the sample. The posterior with density proportional to exp(-mu(., S)) and the prior with
density proportional to exp(-omega), against one base measure, differ at h by

    ln dQ/dP(h) = omega(h) - mu(h, S) - ln E_P exp(omega - mu(., S)).

`log_ratio_of_candidates` computes it where there are finitely many networks, `log_ratio_limit` limits it from a few
draws of the prior where the last term is out of reach. Either goes where `genbounds.pac_bayes.rivasplata` takes its
log ratio, and the bound is on the network drawn from Q. What makes the number valid is that draw: for the network that
was trained, or the one with the least measure, nothing follows.
"""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logsumexp

from genbounds.numerics import Float64, confidence
from genbounds.numerics.checks import finite
from genbounds.numerics.estimates import UpperLimit

__all__ = ["log_ratio_limit", "log_ratio_of_candidates"]


def log_ratio_of_candidates(measures: ArrayLike, references: ArrayLike) -> tuple[NDArray[np.float64], Float64]:
    """Return the posterior over finitely many networks, and its log ratio to the prior at each, rounded up.

    Parameters
    ----------
    measures : array_like, shape (M,)
        mu(h, S) of each network, times an inverse temperature fixed before the draw; it may depend on the sample.
    references : array_like, shape (M,)
        omega(h) of each, fixed before the sample; zeros for a uniform prior.

    Returns
    -------
    probabilities : ndarray, shape (M,)
        Of the posterior: draw one network from them, once.
    log_ratios : ndarray, shape (M,)
        ln dQ/dP in nats at each, for `rivasplata` with the network drawn. At most -ln P(h).

    Raises
    ------
    ValueError
        If shapes differ, or a number is not finite.

    Notes
    -----
    The networks themselves must be fixed before the sample. The ratios are those of the probabilities returned, in
    exact arithmetic; rounding is covered by a relative 10^-12 and as much in nats.

    Examples
    --------
    >>> probabilities, log_ratios = log_ratio_of_candidates([0.0, np.log(3)], [0.0, 0.0])
    >>> probabilities.round(12).tolist(), log_ratios.round(6).tolist()
    ([0.75, 0.25], [0.405465, -0.693147])
    """
    mu, omega = finite("measures", measures), finite("references", references)
    if mu.ndim != 1 or mu.shape != omega.shape or not len(mu):
        raise ValueError(
            f"measures and references must be one number for each network, got {mu.shape} and {omega.shape}."
            " Pass both for all candidates."
        )
    with np.errstate(over="ignore", invalid="ignore"):  # refused below
        posterior, prior = -mu - logsumexp(-mu), -omega - logsumexp(-omega)
    probabilities = np.exp(posterior)
    ratios = finite("the log ratios", posterior - prior, "Measures and references are too large for float64.")
    # Exponents of size e carry relative errors of a few e * 2^-53 into probabilities.
    sizes = np.abs(mu) + np.abs(omega) + np.abs(mu).max() + np.abs(omega).max() + len(mu)
    return probabilities / probabilities.sum(), ratios + 1e-12 * (1 + np.abs(ratios)) + sizes * 2.0**-46


def log_ratio_limit(
    measure: float, reference: float, prior_measures: ArrayLike, prior_references: ArrayLike, delta: float
) -> UpperLimit:
    """Limit the log ratio of the Gibbs posterior of a measure to its prior, from draws of the prior.

    Parameters
    ----------
    measure, reference : float
        mu(h, S) and omega(h) of the network h drawn from the posterior.
    prior_measures, prior_references : array_like, shape (K,)
        mu(h', S) and omega(h') of K networks drawn from the prior, given the sample independently of h, after mu was
        settled. One is enough; more make the limit steadier, at the same price.
    delta : float
        Probability with which the limit may fail, over the draws of the prior; in (0, 1). Add it to the bound's own.

    Returns
    -------
    UpperLimit
        omega(h) - mu(h, S) - ln mean_k exp(omega(h'_k) - mu(h'_k, S)) + ln(1/delta), rounded up: above ln dQ/dP(h) for
        all h at once with probability at least 1 - delta.

    Raises
    ------
    ValueError
        If a number is not finite, there is no draw, or delta is outside (0, 1).

    Notes
    -----
    Proof: the mean over k is positive and has the expectation Z = E_P exp(omega - mu(., S)); by Markov's inequality it
    exceeds Z / delta with probability at most delta; else ln Z is at least its logarithm plus ln delta.

    Difference from the paper: K draws of the prior in place of one, and delta shared out by the caller. With K = 1 and
    half of delta for each inequality the sum with the ln(1/delta) of the bound is the paper's ln(4/delta^2).

    Examples
    --------
    Equal measures and references: posterior and prior are the same, and Markov's inequality costs ln 20:

    >>> limit = log_ratio_limit(1.0, 1.0, [2.0, 3.0], [2.0, 3.0], 0.05)
    >>> round(limit.value, 6)
    2.995732
    """
    mu, omega = float(finite("measure", measure)), float(finite("reference", reference))
    theirs, before = finite("prior_measures", prior_measures), finite("prior_references", prior_references)
    if theirs.ndim != 1 or theirs.shape != before.shape or not len(theirs):
        raise ValueError(
            f"prior_measures and prior_references must be one number for each draw, got {theirs.shape} and "
            f"{before.shape}. Draw from the prior at least once."
        )
    risk = float(confidence("delta", delta))
    with np.errstate(over="ignore", invalid="ignore"):  # refused below
        mean = float(logsumexp(before - theirs)) - math.log(len(theirs))
    value = float(finite("the limit", omega - mu - mean - math.log(risk), "The numbers are too large for float64."))
    size = abs(omega) + abs(mu) + float(np.abs(theirs).max() + np.abs(before).max()) + len(theirs) - math.log(risk)
    return UpperLimit(
        value + size * 2.0**-46, risk, "Markov's inequality for the normalising constant of the posterior"
    )
