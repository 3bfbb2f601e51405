"""Every theorem of the catalogue is attacked; with exact failure probabilities it must survive, at several deltas."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from genbounds.theorems import Fixed, catalogue
from genbounds.worlds import WORLDS, attack, gibbs_attack
from genbounds.worlds.attacks.draws import _means
from genbounds.worlds.attacks.targets import lone_predictors

HIGH_PROBABILITY = [theorem for theorem in catalogue().values() if theorem.kind == "high probability"]
ON_AVERAGE = [theorem for theorem in catalogue().values() if theorem.kind == "expectation"]
every_theorem = pytest.mark.parametrize("theorem", HIGH_PROBABILITY, ids=lambda theorem: theorem.name)
every_average = pytest.mark.parametrize("theorem", ON_AVERAGE, ids=lambda theorem: theorem.name)
attacks_at_5_percent = cache(lambda theorem: attack(theorem, 0.05))

#: Theorems that can be sharp: in some world they fail with almost exactly the probability they allow themselves.
SHARP = {
    "pac_bayes.catoni",
    "pac_bayes.catoni_single_draw",
    "pac_bayes.clopper_pearson",
    "pac_bayes.monte_carlo_betting",
    "pac_bayes.monte_carlo_binomial",
    "pac_bayes.monte_carlo_kl",
    "pac_bayes.occam_binomial",
    "pac_bayes.occam_kl",
    "pac_bayes.realisable",
    "pac_bayes.realisable_draw",
    "pac_bayes.test_set_kl",
    "pac_bayes.token_level_kl",
}


@every_theorem
def test_every_theorem_is_attacked_and_survives(theorem):
    for attacks in (attacks_at_5_percent(theorem), attack(theorem, 0.4), attack(theorem, 1e-6)):
        assert len(attacks) >= 5
        assert [found for found in attacks if not found.survived] == []


@every_theorem
def test_the_attacks_are_not_harmless(theorem):
    """The worst world brings a theorem as close to its delta as its proof leaves room for."""
    worst = max(found.failure for found in attacks_at_5_percent(theorem))
    if theorem.name in SHARP:
        assert 0.05 * (1 - 1e-6) < worst <= 0.05 * (1 + 1e-11)
    elif theorem.name in ("pac_bayes.maurer", "pac_bayes.seeger_xi"):
        assert worst == pytest.approx(0.025, rel=1e-6)  # one example: ln(2 / delta), and no error has half of delta
    elif theorem.name == "pac_bayes.bartlett_spectral":
        assert worst == 0  # where this bound is below 1 it fails with probability e^-1000 and less, no float
    elif "delta" not in theorem.arguments:
        assert worst == min(found.slack for found in attacks_at_5_percent(theorem)) == 0  # certain, and attained
    else:
        assert worst > 0


@every_average
def test_every_bound_on_average_is_attacked_and_survives(theorem):
    attacks = attacks_at_5_percent(theorem)
    assert len(attacks) >= 4
    assert [found for found in attacks if not found.survived] == []


@every_average
def test_some_problem_brings_a_bound_on_average_close_to_the_truth(theorem):
    """Half of a constant would be noticed, and 1 / sqrt(2) of it too."""
    assert 1 - 1e-9 <= min(found.ratio for found in attacks_at_5_percent(theorem)) < np.sqrt(2)


@every_theorem
def test_slack_is_a_loss_not_a_gain(theorem):
    """A bound that holds lies above the truth on average, and not absurdly so."""
    for found in attacks_at_5_percent(theorem):
        assert -0.05 <= found.slack <= 1


@pytest.mark.parametrize("delta", [0.05, 0.4, 1e-6])
def test_a_slightly_small_bound_fails_for_a_large_sample_too(delta):
    """Just above a bound of 1e-3 the truth still counts as missed: no world is blind to the outcome without errors."""
    theorem = catalogue()["pac_bayes.seeger_xi"]
    for n in (1, 20, 300, 10_000):
        (world, *_) = lone_predictors(lambda errors, n, delta: theorem.function(errors / n, 0, n, delta), n, delta)
        assert gibbs_attack(theorem.function, world, n, delta).failure == pytest.approx((1 - world.risks[0]) ** n)


def test_unequal_draws_are_spread_over_many_and_few():
    laws = list(_means(0.1, 12))
    assert {int((law == 0).sum()) for law in laws} == set(range(11))
    for law in laws:
        assert law.mean() == pytest.approx(0.1, rel=1e-8)
        assert law.max() <= 1


def test_a_theorem_without_a_world_is_refused():
    theorem = catalogue()["pac_bayes.maurer"]

    def strange(risk, sharpness, n, delta):
        return risk

    with pytest.raises(ValueError, match=r"theorem must have arguments that a world can attack, got .*sharpness"):
        attack(replace(theorem, function=strange), 0.05)
    assert ("risk", "kl", "n", "delta") in WORLDS


def test_every_combination_of_several_parameters_is_tried():
    theorem = catalogue()["pac_bayes.catoni"]
    tried = []

    def two(risk, kl, n, delta, C, D):
        tried.append((C, D))
        return theorem.function(risk, kl, n, delta, C)

    attack(replace(theorem, function=two, parameters=(*theorem.parameters, Fixed("D", 0.0, 1.0, "?"))), 0.05)
    assert len({(str(C), str(D)) for C, D in tried}) == 25  # four values each, and a grid of them


def test_delta_out_of_range_is_refused():
    with pytest.raises(ValueError, match="delta must be strictly between 0 and 1"):
        attack(catalogue()["pac_bayes.maurer"], 1.0)
