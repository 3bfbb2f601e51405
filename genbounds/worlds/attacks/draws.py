"""Attacks on limits from draws of a posterior."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genbounds.worlds.attacks.registry import Bound, attacks
from genbounds.worlds.attacks.targets import just_above
from genbounds.worlds.failures import Attack, fresh_draws_attack, shared_draws_attack


def _means(limit: float, m: int) -> Iterator[NDArray[np.float64]]:
    """Yield laws of m draws whose average mean is just above `limit`: equal, and as unequal as can be."""
    mean = just_above(limit)
    if mean >= 1:
        return
    yield np.full(m, mean)
    # Some draws always err, the others share what is left; or they never err, and the others take it all.
    for certain in range(1, int(mean * m) + 1):
        yield np.r_[np.ones(certain), np.full(m - certain, (mean * m - certain) / (m - certain))]
    for certain in range(1, int(m - mean * m) + 1):
        yield np.r_[np.zeros(certain), np.full(m - certain, min(mean * m / (m - certain), 1.0))]


@attacks("errors", "draws", "delta")
def _attack_draws(limit: Bound, delta: float) -> Iterator[Attack]:
    for m in (1, 2, 5, 12):
        for value in np.unique(limit(np.arange(m + 1), m, delta)):
            for means in _means(float(value), m):
                yield fresh_draws_attack(limit, means, delta)


@attacks("risk", "draws", "delta")
def _attack_draw_rates(limit: Bound, delta: float) -> Iterator[Attack]:
    yield from _attack_draws(lambda errors, draws, delta: limit(np.asarray(errors) / draws, draws, delta), delta)
    yield from _shared(lambda values, delta: limit(np.minimum(values.mean(axis=1), 1.0), values.shape[1], delta), delta)


@attacks("values", "delta")
def _attack_values(limit: Bound, delta: float) -> Iterator[Attack]:
    def from_errors(errors: ArrayLike, draws: int, delta: float) -> Any:
        return limit((np.arange(draws) < np.asarray(errors)[:, None]).astype(np.float64), delta)

    yield from _attack_draws(from_errors, delta)
    yield from _shared(limit, delta)


def _shared(limit: Bound, delta: float) -> Iterator[Attack]:
    """Yield attacks with predictors shared by the sample: nearly equal risks, and a rare bad predictor."""
    for m in (1, 3, 10):
        yield shared_draws_attack(limit, [0.25, 0.5, 0.25], [0.1, 0.11, 0.12], m, delta)
        yield shared_draws_attack(limit, [0.5, 0.3, 0.2], [0.0, 0.4, 1.0], m, delta)
        for rare in (delta ** (1 / m), delta / m, 0.5):
            yield shared_draws_attack(limit, [1 - rare, rare], [0.05, 1.0], m, delta)
            yield shared_draws_attack(limit, [rare, 1 - rare], [0.0, 0.9], m, delta)
