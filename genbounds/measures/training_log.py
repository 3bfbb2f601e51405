"""Measures of how a network was trained, from the log of its training."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike

from genbounds.measures.records import Measure, Refusal
from genbounds.numerics.checks import finite, nonnegative

__all__ = ["training_log_measures"]


def training_log_measures(
    steps: ArrayLike,
    losses: ArrayLike,
    *,
    gradient_variances: ArrayLike | None = None,
    levels: tuple[float, float] = (0.1, 0.01),
) -> tuple[Measure | Refusal, ...]:
    """Read optimisation speed and gradient noise, eqs. 62 to 65 of [Jiang2020]_, off the log of a training.

    Parameters
    ----------
    steps : array_like, shape (T,)
        Steps of the optimiser at which something was logged, rising.
    losses : array_like, shape (T,)
        Mean training cross-entropy there, in nats.
    gradient_variances : array_like, shape (T,), optional
        Variance of the gradient over minibatches there, summed over the weights; the first entry is taken for the end
        of the first epoch, the last one for the end of the training.
    levels : tuple of float
        Losses that mark the two stretches, the larger first.

    Returns
    -------
    tuple of Measure or Refusal
        ``steps_to_first_level`` (eq. 62), the first logged step at which the loss is at most the larger level;
        ``steps_between_levels`` (63), logged steps from there to the smaller one; ``gradient_noise_first`` (64) and
        ``gradient_noise_last`` (65). Steps are as fine as the log. A level that was not reached is refused.

    Raises
    ------
    ValueError
        If shapes differ, steps do not rise, or a number is not finite.

    Examples
    --------
    >>> found = training_log_measures([0, 10, 20, 30], [2.3, 0.4, 0.08, 0.009])
    >>> [(each.name, each.value) for each in found[:2]]
    [('steps_to_first_level', 20.0), ('steps_between_levels', 10.0)]
    """
    at, loss = finite("steps", steps), nonnegative("losses", losses)
    if at.ndim != 1 or at.shape != loss.shape or not len(at):
        raise ValueError(f"steps and losses must be of one length, got {at.shape} and {loss.shape}. Log both.")
    if (np.diff(at) <= 0).any():
        raise ValueError("steps must rise from entry to entry, got one that does not. Sort the log by step.")
    if not levels[0] > levels[1] > 0:
        raise ValueError(f"levels must be two positive losses, the larger first, got {levels}. Swap them.")
    reached = [float(at[np.argmax(loss <= level)]) if (loss <= level).any() else None for level in levels]
    first, second = reached
    unmet = [f"the loss was never logged at or below {level:g}" for level in levels]
    found: list[Measure | Refusal] = [
        Refusal("steps_to_first_level", unmet[0]) if first is None else Measure("steps_to_first_level", first, "62"),
        Refusal("steps_between_levels", unmet[1])
        if first is None or second is None
        else Measure("steps_between_levels", second - first, "63"),
    ]
    names = (("gradient_noise_first", "64"), ("gradient_noise_last", "65"))
    return (*found, *_noise(names, at.shape, gradient_variances))


def _noise(
    names: Iterable[tuple[str, str]], shape: tuple[int, ...], variances: ArrayLike | None
) -> tuple[Measure | Refusal, ...]:
    if variances is None:
        return tuple(Refusal(name, "it needs gradient_variances in the log") for name, _ in names)
    values = nonnegative("gradient_variances", variances)
    if values.shape != shape:
        raise ValueError(f"gradient_variances must have shape {shape}, got {values.shape}. Log them with the losses.")
    return tuple(
        Measure(name, float(values[place]), equation) for place, (name, equation) in zip((0, -1), names, strict=True)
    )
