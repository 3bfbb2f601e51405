r"""At which temperatures of a path a probability is best estimated, from a pilot's chains.

With ``g_t = N(0, I) exp(-b_t . U)`` of mass Z_t the estimate of P(A) at rung t averages ``f = exp(b_t . U) 1_A`` over
pi_t = g_t / Z_t, and its relative second moment is

    ``E f^2 / (E f)^2 = Z_t E[exp(b_t . U) | A] / P(A)``.

Chains at rung t themselves cannot tell: the part of A with large energies, where f is largest, is what they do not see,
and f looks the tamer the colder the rung. Chains of other rungs see it. So the expectation given A is taken by chains
of every rung that has enough of them in A, each weighted back to N(0, I), and the largest counts.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

__all__ = ["rung_weights"]

#: Chains in A, by their effective number, with which a rung has a say; and how many rungs are asked.
_ENOUGH, _ASKED = 8.0, 32


def rung_weights(
    coldness: NDArray[np.float64],
    energies: NDArray[np.float64],
    met: NDArray[np.bool_],
    log_masses: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return with what weight each rung is to enter the estimate of the probability of each criterion.

    Parameters
    ----------
    coldness : ndarray, shape (T, m)
        Inverse temperatures b_t.
    energies : ndarray, shape (T, m, B)
        Energies of the chains at each rung.
    met : ndarray of bool, shape (T, K, B)
        Which chains meet which criterion.
    log_masses : ndarray, shape (T,)
        Estimates of ln Z_t.

    Returns
    -------
    ndarray, shape (K, T)
        Inverse second moments where they are at least half the largest, else 0; rows sum to 1. A criterion that no
        chain met is looked for at the last rung.
    """
    weights = np.zeros((met.shape[1], len(coldness)))
    for row in range(met.shape[1]):
        inside = [np.where(met[rung, row], _tilts(coldness[rung], energies[rung]), -np.inf) for rung in range(len(met))]
        effective = np.array([_effective(logs) for logs in inside])
        if not effective.any():
            weights[row, -1] = 1.0
            continue
        able = np.flatnonzero(effective >= min(_ENOUGH, effective.max()))
        asked = able[np.unique(np.linspace(0, len(able) - 1, min(_ASKED, len(able))).astype(int))]
        given = []
        for rung in asked:
            seen = met[rung, row]
            back = inside[rung][seen] - logsumexp(inside[rung])
            given.append(logsumexp(back + _tilts(coldness, energies[rung][:, seen]), axis=-1))
        gain = -(log_masses + np.max(given, axis=0))
        relative = np.exp(gain - gain.max())
        weights[row] = np.where(relative >= 0.5, relative, 0.0)
    return weights / weights.sum(axis=1, keepdims=True)


def _tilts(coldness: NDArray[np.float64], energies: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return b . U over the chains, where an energy that is not in use counts 0 even if it is infinite."""
    b = coldness[..., None]
    return np.asarray(np.sum(np.where(b > 0, b, 0.0) * np.where(b > 0, energies, 0.0), axis=-2))


def _effective(logs: NDArray[np.float64]) -> float:
    """Return (sum w)^2 / sum w^2; 0 if all are 0."""
    total = logsumexp(logs)
    return 0.0 if total == -np.inf else float(np.exp(2 * total - logsumexp(2 * logs)))
