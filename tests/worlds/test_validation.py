"""What attacks found, and places among theorems that met in the same worlds."""

from dataclasses import replace

import pytest

from genbounds.theorems import get
from genbounds.worlds.failures import Attack
from genbounds.worlds.validation import Finding, ranks, validate


def finding(name, slacks, **changes):
    attacks = tuple(Attack(world, 0.05, 0.01, slack) for world, slack in slacks)
    return Finding(replace(get("maurer"), name=name, **changes), attacks)


def test_a_sound_theorem_is_not_refuted_and_a_broken_one_is():
    sound = validate(get("seeger_xi"))
    assert sound.broken == ()
    assert 0 < sound.failure <= 0.05
    assert sound.worlds <= len(sound.attacks)
    assert sound.slack[0] <= sound.slack[1]

    def doubled(risk, kl, n, delta):
        return sound.theorem.function(risk, kl, 4 * n, delta)

    broken = validate(replace(sound.theorem, function=doubled))
    assert broken.broken
    assert broken.failure > 0.05


def test_places_are_means_over_the_worlds_that_are_shared():
    found = ranks([
        finding("a", [("one", 0.1), ("two", 0.3), ("alone", 0.0)]),
        finding("b", [("one", 0.2), ("two", 0.2), ("two", 0.1)]),
        finding("c", [("one", 0.1)]),
    ])
    assert found == {"a": (1.5, 3), "b": (2.0, 3), "c": (1.0, 3)}


def test_those_that_cannot_be_compared_do_not_meet():
    other = finding("other", [("one", 0.1)], predictor="majority vote")
    inputs = finding("inputs", [("one", 0.1)], function=get("occam_kl").function)
    assert ranks([finding("a", [("one", 0.1)]), other, inputs]) == {}
    averages = [
        finding(name, [("one", 0.1)], kind="expectation", averages_over="samples", function=get(like).function)
        for name, like in (("a", "maurer"), ("b", "occam_kl"))
    ]
    assert ranks(averages) == {"a": (1.0, 2), "b": (1.0, 2)}


def test_delta_is_checked():
    with pytest.raises(ValueError, match="delta must be strictly between 0 and 1"):
        validate(get("maurer"), 0.0)
