"""Posteriors over finitely many hypotheses, among them those that an adversary who knows the truth would choose."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genbounds.numerics.binary_kl import binary_kl

__all__ = ["adversarial_posteriors", "gibbs_posteriors", "kl_divergence"]

#: Inverse temperatures of a learner that minimises its empirical risk, from the prior to the minimiser itself.
_LEARNER = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0, np.inf)
#: Inverse temperatures of an adversary who knows the risks.
_ADVERSARY = (0.5, 1.0, 2.0, np.inf)


def kl_divergence(posterior: ArrayLike, prior: ArrayLike) -> NDArray[np.float64]:
    """Return KL(posterior || prior) of distributions on finitely many hypotheses, in nats.

    Parameters
    ----------
    posterior, prior : array_like, shape (..., h)
        Probabilities; broadcast against each other.

    Returns
    -------
    ndarray, shape (...)
        Divergences; infinite where the posterior charges what the prior excludes.

    Examples
    --------
    >>> float(kl_divergence([1.0, 0.0], [0.5, 0.5]).round(12))  # ln 2
    0.69314718056
    """
    posterior, prior = np.broadcast_arrays(np.asarray(posterior, np.float64), np.asarray(prior, np.float64))
    with np.errstate(divide="ignore"):
        ratio = np.log(posterior, out=np.zeros(posterior.shape), where=posterior > 0) - np.log(prior)
    terms = np.multiply(posterior, ratio, out=np.zeros(posterior.shape), where=posterior > 0)
    return np.maximum(terms.sum(axis=-1), 0.0)  # rounding may leave -1e-17 where the two agree


def gibbs_posteriors(prior: ArrayLike, energies: ArrayLike, inverse_temperatures: ArrayLike) -> NDArray[np.float64]:
    """Return the posteriors proportional to prior * exp(-beta * energy).

    They are the minimisers of the expected energy plus KL / beta. Infinity gives the prior, restricted to the
    hypotheses of least energy.

    Parameters
    ----------
    prior : array_like, shape (h,)
        Positive prior probabilities.
    energies : array_like, shape (..., h)
        Finite energies, such as n times the empirical risks.
    inverse_temperatures : array_like, shape (b,)
        beta, in [0, inf].

    Returns
    -------
    ndarray, shape (..., b, h)
        One posterior for each energy vector and inverse temperature.

    Examples
    --------
    >>> gibbs_posteriors([0.5, 0.5], [0.0, np.log(3)], [0.0, 1.0, np.inf]).round(12).tolist()
    [[0.5, 0.5], [0.75, 0.25], [1.0, 0.0]]
    """
    energies = np.asarray(energies, np.float64)[..., None, :]
    excess = energies - energies.min(axis=-1, keepdims=True)
    beta = np.asarray(inverse_temperatures, np.float64)[:, None]
    exponent = np.where(excess > 0, beta, 0.0) * excess
    weights = np.asarray(prior, np.float64) * np.exp(-exponent)
    return weights / weights.sum(axis=-1, keepdims=True)


def adversarial_posteriors(
    prior: NDArray[np.float64], risks: NDArray[np.float64], empirical: NDArray[np.float64], n: int
) -> NDArray[np.float64]:
    """Return posteriors that a theorem for "all posteriors at once" must survive, for each sample.

    They are the Gibbs posteriors of the empirical risk (from the prior to empirical risk minimisation), the same
    tilts by the true generalization gap and by n kl(r || R), which only an adversary who knows the risks can form
    and which make the change of measure tight, and every single hypothesis.

    Parameters
    ----------
    prior, risks : ndarray, shape (h,)
        Prior probabilities and true risks.
    empirical : ndarray, shape (samples, h)
        Empirical risks.
    n : int
        Examples in a sample.

    Returns
    -------
    ndarray, shape (samples, family, h)
        Posteriors.
    """
    if len(prior) == 1:
        return np.ones((len(empirical), 1, 1))
    gap = n * (empirical - risks)
    surprise = -n * np.where(empirical < risks, binary_kl(empirical, risks), 0.0)
    families = [
        gibbs_posteriors(prior, n * empirical, _LEARNER),
        gibbs_posteriors(prior, gap, _ADVERSARY),
        gibbs_posteriors(prior, surprise, _ADVERSARY),
        np.broadcast_to(np.eye(len(prior)), (len(empirical), len(prior), len(prior))),
    ]
    return np.concatenate(families, axis=1)
