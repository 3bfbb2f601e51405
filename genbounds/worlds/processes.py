"""Sequences that depend on their own past: the worst process for a bound on conditional losses, found exactly."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genbounds.worlds.failures import MARGIN, Attack

__all__ = ["process_attack"]


def process_attack(bound: Callable[..., Any], tokens: int, steps: int, delta: float, *, predictors: int = 1) -> Attack:
    """Return the probability that the average conditional loss is above its bound, under the worst process.

    A token carries one coin for each predictor, which shows whether that predictor errs. The process chooses the coin's
    bias before each toss, 0, 1/steps, 2/steps, ... or 1, by all that came before, so as to make the bound fail: if the
    errors so far look few, it may stop making any. Backward induction over the errors and the biases so far finds the
    strategy with the highest probability of failure and that probability.

    Parameters
    ----------
    bound : callable
        ``bound(risk, code_length, tokens, delta)``, claimed for all coded predictors at once.
    tokens : int
        Tokens in the sequence.
    steps : int
        One less than the number of biases.
    delta : float
        Claimed failure probability.
    predictors : int
        How many there are, with code lengths ln(predictors); their coins are independent.

    Returns
    -------
    Attack
        Probability that the bound of some predictor fails; slack of one of them.
    """
    rates = np.arange(tokens + 1) / tokens
    averages = np.arange(tokens * steps + 1) / (tokens * steps)
    limits = np.asarray(bound(rates, np.log(predictors), tokens, delta))
    slack = limits[:, None] - averages
    failure = (slack < -MARGIN).astype(np.float64)
    for time in range(tokens - 1, -1, -1):
        failure, slack = _step(failure, slack, time, steps)
    chance = float(failure[0, 0])
    name = f"worst process of {tokens} tokens for {predictors} predictors, biases in steps of 1/{steps}"
    return Attack(name, delta, float(-np.expm1(predictors * np.log1p(-chance))) if chance < 1 else 1.0, slack[0, 0])


def _step(
    failure: NDArray[np.float64], slack: NDArray[np.float64], time: int, steps: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Go back by one token: from tables over (errors, sum of biases) after it to those before it."""
    wide = time * steps + 1
    best = np.full((time + 1, wide), -1.0)
    of_best = np.empty_like(best)
    for numerator in range(steps + 1):
        bias, reached = numerator / steps, slice(numerator, numerator + wide)
        chance, gap = (
            (1 - bias) * table[: time + 1, reached] + bias * table[1 : time + 2, reached] for table in (failure, slack)
        )
        better = chance > best
        np.copyto(best, chance, where=better)
        np.copyto(of_best, gap, where=better)
    return best, of_best
