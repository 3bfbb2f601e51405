"""Attacks on bounds for the majority vote of a posterior."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genbounds.worlds.attacks.registry import Bound, attacks
from genbounds.worlds.attacks.targets import just_above
from genbounds.worlds.failures import MARGIN, Attack
from genbounds.worlds.finite import FiniteWorld, coins, lone_predictor, shattered_points
from genbounds.worlds.posteriors import adversarial_posteriors
from genbounds.worlds.votes import memorised_coins_attack, vote_attack, vote_moments


def _halves(risk: float) -> FiniteWorld:
    """Return two equally likely voters, one of whom errs on a set: there W is 1/2, and nowhere else does one err."""
    return FiniteWorld([1 - risk, risk], [[0.0, 1.0], [0.0, 0.0]], name=f"one of two voters errs on {risk:.3g}")


@attacks("gibbs_risk")
def _attack_first_order(bound: Bound, delta: float) -> Iterator[Attack]:
    for world, n in (
        (_halves(0.3), 4),
        (_halves(0.9), 4),
        (lone_predictor(0.4), 4),
        (coins([0.3, 0.4, 0.45]), 4),
        (shattered_points(4), 4),
        (FiniteWorld([1.0], np.eye(3)[:, :1], [0.5, 0.3, 0.2]), 1),
    ):
        # No sample enters; the samples only make posteriors.
        empirical = world.empirical_risks(world.samples(n)[0])
        shares = np.minimum(adversarial_posteriors(world.prior, world.risks, empirical, n) @ world.losses, 1.0)
        risk, *_, vote = vote_moments(shares, world.probabilities)
        slack = float((bound(risk) - vote).min())
        yield Attack(world.name, delta, float(slack < -MARGIN), slack)


def _attack_votes(
    bound: Callable[..., Any], limit: Callable[..., Any], alone: Callable[..., Any], delta: float
) -> Iterator[Attack]:
    """Yield attacks; `alone` is the bound of (n) for voters that make no error on the sample."""
    for n in (30, 300, 3000):
        risk = just_above(alone(n))
        if risk < 1:
            for world in (_halves(risk), lone_predictor(risk)):
                yield vote_attack(bound, limit, world, n, delta)
        if risk < 4:  # both draws err on a quarter of where one of two voters errs; a lone voter errs twice at once
            yield vote_attack(bound, limit, lone_predictor(just_above(risk / 4)), n, delta)
    for world, n in ((shattered_points(4), 5), (coins([0.2, 0.3, 0.4]), 5)):
        yield vote_attack(bound, limit, world, n, delta)
    for n in (100, 10_000):
        yield memorised_coins_attack(bound, n, delta)


@attacks("tandem_risk", "kl", "n", "delta")
def _attack_tandem(bound: Bound, delta: float) -> Iterator[Attack]:
    def on_moments(_risk: ArrayLike, tandem_risk: ArrayLike, _agreement: ArrayLike, *rest: Any) -> Any:
        return bound(tandem_risk, *rest)

    yield from _attack_votes(
        on_moments, lambda _risk, tandem_risk, _agreement: 4 * tandem_risk, lambda n: bound(0.0, 0.0, n, delta), delta
    )


@attacks("risk", "agreement", "kl", "n", "delta")
def _attack_c_bound(bound: Bound, delta: float) -> Iterator[Attack]:
    def on_moments(risk: ArrayLike, _tandem_risk: ArrayLike, agreement: ArrayLike, *rest: Any) -> Any:
        return bound(risk, agreement, *rest)

    def cantelli(risk: NDArray[np.float64], tandem_risk: NDArray[np.float64], _: ArrayLike) -> NDArray[np.float64]:
        variance = np.maximum(tandem_risk - risk**2, 0.0)
        gap = np.maximum(0.5 - risk, 0.0) ** 2
        return np.where(gap > 0, variance / np.where(gap > 0, variance + gap, 1.0), 0.0)

    yield from _attack_votes(on_moments, cantelli, lambda n: bound(0.0, 1.0, 0.0, n, delta), delta)
