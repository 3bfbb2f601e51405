r"""The least committed law of sets of k experts with given loads: what "independent" means when k are always chosen.

Experts of one token can never be independent: exactly k are chosen, so that one that is taken leaves fewer places. Of
all laws over sets of k of K experts with the probabilities pi_i that expert i is in the set, the one of largest entropy
is ``P(S) ~ prod_{i in S} w_i`` [ChenDempsterLiu1994] (it is also the law of K independent coins given that k show
heads). With uniform loads it is the uniform law over sets, where ``P(j | i) = (k - 1)/(K - 1)``.

With e_d for the elementary symmetric polynomial of degree d, ``pi_i = w_i e_{k-1}(w without i) / e_k(w)`` and ``pi_ij =
w_i w_j e_{k-2}(w without i, j) / e_k(w)``. The weights are found by Newton's method on ln w, the gradient of the convex
function ``ln e_k(w) - sum pi_i ln w_i``, whose Hessian is the covariance ``pi_ij - pi_i pi_j``.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genbounds.numerics.checks import count, unit_interval

__all__ = ["joint_inclusion"]

Floats = NDArray[np.float64]

#: By how much the probabilities of inclusion may be missed, and how many steps Newton's method gets.
_ACCURACY, _STEPS = 1e-11, 200


def joint_inclusion(inclusion: ArrayLike, k: int) -> Floats:
    """Return how often two experts are chosen together under the law of largest entropy.

    Parameters
    ----------
    inclusion : array_like, shape (K,)
        pi_i, the probability that expert i is among the k: in [0, 1], of sum k. Of 0 and 1 are allowed.
    k : int
        Experts of a token, at least 1.

    Returns
    -------
    ndarray, shape (K, K)
        pi_ij, symmetric, with pi_i on the diagonal. Off it rows sum to ``(k - 1) pi_i``.

    Raises
    ------
    ValueError
        If the probabilities do not sum to k, or no weights were found.

    Examples
    --------
    >>> joint_inclusion([0.5, 0.5, 0.5, 0.5], 2).round(4)[0].tolist()  # one of six sets
    [0.5, 0.1667, 0.1667, 0.1667]
    """
    wanted, size = unit_interval("inclusion", inclusion, "Divide counts by tokens."), int(count("k", k))
    if wanted.ndim != 1 or abs(wanted.sum() - size) > 1e-9 * size:
        raise ValueError(
            f"inclusion must sum to k = {size}, got {wanted.sum()!r}. Pass each expert's share of the tokens."
        )
    free = (wanted > 0) & (wanted < 1)
    always = wanted == 1
    joint = np.outer(wanted, wanted)  # with an expert that is always there, or never, nothing else can depend on it
    if free.any():
        joint[np.ix_(free, free)] = _joint(wanted[free], size - int(always.sum()))
    np.fill_diagonal(joint, wanted)
    return joint


def _joint(wanted: Floats, k: int) -> Floats:
    """Return the joint probabilities for probabilities strictly between 0 and 1, by damped Newton steps."""
    logs = np.log(wanted / (1 - wanted))  # those of independent coins: right up to terms of order 1 / variance
    joint, gap, step = _inclusion(logs, k), np.inf, np.zeros_like(logs)
    for _ in range(_STEPS):
        single = np.diag(joint)
        gap = np.abs(single - wanted).max()
        if gap <= _ACCURACY:
            return joint
        # Adding a constant to ln w changes no law: the Hessian is singular in that one direction.
        hessian = joint - np.outer(single, single) + 1 / len(wanted)
        step = np.linalg.solve(hessian, wanted - single)
        size = min(1.0, 4.0 / np.abs(step).max())
        while True:
            trial = _inclusion(logs + size * step, k)
            if np.abs(np.diag(trial) - wanted).max() < gap or size < 1e-6:
                break
            size /= 2
        logs, joint = logs + size * step, trial
    raise ValueError(
        f"inclusion must leave room for weights, got {wanted.tolist()} (missed by {gap:.2g}). Count more tokens."
    )


def _inclusion(logs: Floats, k: int) -> Floats:
    """Return pi_ij of weights exp(logs), with pi_i on the diagonal."""
    weights = np.exp(logs - logs.max())
    rows = np.where(np.eye(len(weights), dtype=bool), 0.0, weights)
    single = weights * _leaving_one_out(weights[None], k - 1)[0]
    total = single.sum() / k  # Euler: sum_i w_i e_{k-1}(w without i) = k e_k(w)
    joint = np.outer(weights, weights) * _leaving_one_out(rows, k - 2) if k > 1 else np.zeros_like(rows)
    np.fill_diagonal(joint, single)
    return joint / total


def _leaving_one_out(weights: Floats, degree: int) -> Floats:
    """Return e_degree of each row of weights (rows, K) without each entry: sums of positive terms, nothing cancels."""
    before, after = _polynomials(weights, degree), _polynomials(weights[:, ::-1], degree)[:, ::-1]
    # before[:, j] has the entries 0..j-1, after[:, j + 1] those from j + 1 on.
    return np.einsum("rjd,rjd->rj", before[:, :-1], after[:, 1:, ::-1])


def _polynomials(weights: Floats, degree: int) -> Floats:
    """Return e_0..e_degree of the first 0..K entries of each row, of shape (rows, K + 1, degree + 1)."""
    rows, size = weights.shape
    found = np.zeros((rows, size + 1, degree + 1))
    found[:, 0, 0] = 1.0
    for place in range(size):
        found[:, place + 1] = found[:, place]
        found[:, place + 1, 1:] += weights[:, [place]] * found[:, place, :-1]
    return found
