"""Bounds on the gap of the output by information: attacked by algorithms that tell when it is large."""

import math
from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from genbounds.numerics.discrete_information import maximal_leakage
from genbounds.theorems import Free, get
from genbounds.worlds import WORLDS, FiniteWorld, attack, coins, output_gap_attack


def by_leakage(leakage, n, delta):
    return min(1.0, math.sqrt((leakage + math.log(2 / delta)) / (2 * n)))


def by_information(information, n, delta):
    """Markov's inequality on E[gap^2] <= (I + ln(2)/2) / n."""
    return min(1.0, math.sqrt((information + math.log(2) / 2) / (n * delta)))


def by_order(sibson, n, delta, alpha):
    cost = alpha / (alpha - 1) * math.log(1 / delta)
    return np.minimum(1.0, np.sqrt((sibson + math.log(2) + cost) / (2 * n)))


def by_some_orders(sibson, n, delta):
    return min(by_order(sibson(alpha), n, delta, alpha) for alpha in (1.2, 2.0, 5.0, 100.0))


@pytest.mark.parametrize("strength", [0.0, 1.0, math.inf])
def test_failure_against_every_ordered_sample(strength, monkeypatch):
    """The learner of one strength and threshold, written out: samples in order, loops, the leakage by its formula."""
    world, n, delta = coins([0.3, 0.6]), 3, 0.3
    monkeypatch.setattr("genbounds.worlds.output_gaps._STRENGTHS", (strength,))
    monkeypatch.setattr("genbounds.worlds.output_gaps._THRESHOLDS", 1)
    gap = {}
    for sample in product(range(4), repeat=n):
        empirical = [sum(world.losses[h, z] for z in sample) / n for h in range(2)]
        gap[sample] = [abs(world.risks[h] - empirical[h]) for h in range(2)]
    threshold = min(g for row in gap.values() for g in row) + 1e-9
    law = {}
    for sample, row in gap.items():
        above = [g > threshold for g in row]
        if strength == math.inf:
            weight = [float(a) for a in above] if any(above) else [1.0, 1.0]
        else:
            weight = [math.exp(strength * a) for a in above]
        law[sample] = [w / sum(weight) for w in weight]
    value = by_leakage(math.log(sum(max(row[h] for row in law.values()) for h in range(2))), n, delta) / 2
    chance = {sample: math.prod(world.probabilities[z] for z in sample) for sample in law}
    failure = sum(chance[s] * law[s][h] for s in law for h in range(2) if gap[s][h] > value)
    slack = sum(chance[s] * law[s][h] * (value - gap[s][h]) for s in law for h in range(2))

    def halved(*numbers):
        return by_leakage(*numbers) / 2

    found = output_gap_attack(halved, lambda _, laws: maximal_leakage(laws), world, n, delta)
    assert found.failure == pytest.approx(failure, abs=1e-13)
    assert found.failure > 0
    assert found.slack == pytest.approx(slack, abs=1e-13)


def test_a_secret_that_is_told_when_it_hurts():
    """One bad hypothesis in a million, put out exactly when it fails: a learner that knows nothing fails 1e-7."""
    world = FiniteWorld([0.9, 0.1], [[0.0, 1.0], [0.0, 0.0]], [1e-6, 1 - 1e-6])
    found = output_gap_attack(lambda *_: 0.5, lambda *_: 0.0, world, 1, 0.2)
    assert found.failure == pytest.approx(0.1)


@pytest.mark.parametrize("delta", [0.05, 0.4])
@pytest.mark.parametrize(
    ("name", "bound", "factor"),
    [
        ("leakage", by_leakage, 0.5),
        ("mutual_information", by_information, 0.25),
        ("sibson", by_some_orders, 0.5),
    ],
)
def test_sound_bounds_survive_and_small_constants_do_not(name, bound, factor, delta):
    sound = list(WORLDS[name, "n", "delta"](bound, delta))
    assert len({found.world for found in sound}) == len(sound) >= 10
    assert all(found.survived for found in sound)
    assert max(found.failure for found in sound) > 0
    broken = list(WORLDS[name, "n", "delta"](lambda *numbers: factor * bound(*numbers), delta))
    assert not all(found.survived for found in broken)


def test_a_theorem_gets_information_of_the_order_that_it_asks_for():
    theorem = replace(get("esposito"), function=by_order, parameters=(Free("alpha", 1.0, math.inf, "?"),))
    found = attack(theorem, 0.4)
    assert found == [each for each in found if each.survived]
    assert max(each.failure for each in found) > 0.01

    def information_left_out(sibson, n, delta, alpha):
        return by_order(0 * sibson, n, delta, 1e6)

    assert not all(each.survived for each in attack(replace(theorem, function=information_left_out), 0.05))


def test_an_algorithm_that_chooses_must_pay():
    """Without the information, Hoeffding's inequality for a single hypothesis."""
    worlds = WORLDS["leakage", "n", "delta"]
    assert not all(found.survived for found in worlds(lambda _, n, delta: by_leakage(0.0, n, delta), 0.05))
