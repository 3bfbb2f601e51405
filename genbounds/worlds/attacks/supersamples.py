"""Attacks on bounds that hold for all posteriors at once, given a supersample: every mask listed."""

from collections.abc import Callable, Iterator
from math import fsum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genbounds.numerics import log_xi
from genbounds.worlds.attacks.registry import Bound, attacks
from genbounds.worlds.failures import MARGIN, Attack
from genbounds.worlds.posteriors import adversarial_posteriors, kl_divergence

__all__ = ["guessed_masks", "mask_attack"]


def _masks(n: int) -> NDArray[np.int64]:
    """Return all 2^n masks: which example of each pair is trained on."""
    return np.indices((2,) * n).reshape(n, -1).T


def mask_attack(
    bound: Callable[..., Any], losses: NDArray[np.float64], prior: NDArray[np.float64], delta: float, name: str
) -> Attack:
    """Return the probability that some posterior does worse on the ghosts than its bound says.

    Parameters
    ----------
    bound : callable
        ``bound(train_risk, supersample_kl, n, delta)``, claimed to hold for all posteriors at once.
    losses : ndarray, shape (h, n, 2)
        Losses of h predictors on both examples of n pairs, in [0, 1].
    prior : ndarray, shape (h,)
        Positive prior probabilities.
    delta : float
        Claimed failure probability, over the mask.
    name : str
        For reports.

    Returns
    -------
    Attack
        Failure over all masks, the worst posterior of `adversarial_posteriors` being chosen for each; slack of the
        posterior with the smallest bound.
    """
    n = losses.shape[1]
    masks = _masks(n)
    train = np.take_along_axis(losses[None], masks[:, None, :, None], axis=3)[..., 0].mean(axis=2)
    ghost = np.take_along_axis(losses[None], 1 - masks[:, None, :, None], axis=3)[..., 0].mean(axis=2)
    posteriors = adversarial_posteriors(prior, losses.mean(axis=(1, 2)), train, n)
    train_risk = np.minimum(np.einsum("mfh,mh->mf", posteriors, train), 1.0)
    values = bound(train_risk, kl_divergence(posteriors, prior), n, delta)
    excess = values - np.einsum("mfh,mh->mf", posteriors, ghost)
    favourite = np.argmin(values, axis=1)[:, None]
    slack = np.take_along_axis(excess, favourite, axis=1).mean()
    return Attack(name, delta, fsum((excess < -MARGIN).any(axis=1)) / len(masks), float(slack))


def guessed_masks(n: int, number: int) -> NDArray[np.float64]:
    """Return the losses of predictors that err on all ghosts, and on nothing else, at one mask each.

    With equal prior probabilities one of them costs ln(number) nats. At its mask, which comes with probability 2^-n, it
    has no training errors and a ghost risk of 1: a bound below 1 fails there.

    Parameters
    ----------
    n : int
        Pairs of examples.
    number : int
        How many masks are guessed, from 1 to 2^n.

    Returns
    -------
    ndarray, shape (number, n, 2)
        Losses, 0 or 1.
    """
    masks = _masks(n)[:number]
    return np.stack([masks, 1 - masks], axis=-1).astype(np.float64)


@attacks("train_risk", "supersample_kl", "n", "delta")
def _attack_supersamples(bound: Bound, delta: float) -> Iterator[Attack]:
    for n in (1, 4, 8):
        # As many as can be fooled where the bound falls below 1, and all.
        few = max(1, int(delta * 2**n / np.exp(log_xi(n))))
        for number in sorted({1, few, min(4 * few, 2**n), 2 ** min(n, 6)}):
            prior = np.full(number, 1 / number)
            yield mask_attack(bound, guessed_masks(n, number), prior, delta, f"{number} guessed masks of {n} pairs")
    generator = np.random.default_rng(5)
    for n, kind in ((3, "graded losses"), (7, "graded losses"), (7, "0-1 losses")):
        losses, prior = generator.random((6, n, 2)), generator.dirichlet(np.ones(6))
        losses = np.round(losses) if kind == "0-1 losses" else losses
        yield mask_attack(bound, losses, prior, delta, f"six predictors with {kind} on {n} pairs")
