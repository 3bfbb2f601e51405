"""The failure probabilities themselves, against brute force over every ordered outcome."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genbounds.pac_bayes import clopper_pearson, maurer, monte_carlo_binomial, monte_carlo_kl, occam_kl
from genbounds.worlds import (
    Attack,
    FiniteWorld,
    adversarial_posteriors,
    composed_attack,
    fresh_draws_attack,
    gibbs_attack,
    hypothesis_attack,
    kl_divergence,
    lone_predictor,
    shared_draws_attack,
)
from genbounds.worlds.strategies import bernoulli_means, finite_worlds

N = 3


def ordered_samples(world, n):
    for sample in itertools.product(range(len(world.probabilities)), repeat=n):
        yield sample, math.prod(world.probabilities[list(sample)])


def optimistic(risk, kl, n, delta):
    """Return a number that is wrong often enough for failures to be seen."""
    return risk + 0.3 * (kl + 0.2) / n - delta


@settings(max_examples=30)
@given(finite_worlds())
def test_gibbs_attack_against_brute_force(world):
    failure = 0.0
    for sample, weight in ordered_samples(world, N):
        empirical = world.losses[:, list(sample)].mean(axis=1)
        family = adversarial_posteriors(world.prior, world.risks, empirical[None], N)[0]
        if any(
            q @ world.risks > optimistic(q @ empirical, kl_divergence(q, world.prior), N, 0.05) + 1e-12 for q in family
        ):
            failure += weight
    assert gibbs_attack(optimistic, world, N, 0.05).failure == pytest.approx(failure, abs=1e-12)


@settings(max_examples=30)
@given(finite_worlds())
def test_hypothesis_attack_against_brute_force(world):
    failure = slack = 0.0
    for sample, weight in ordered_samples(world, N):
        bounds = optimistic(world.losses[:, list(sample)].mean(axis=1), -np.log(world.prior), N, 0.05)
        failure += weight * bool(np.any(world.risks > bounds + 1e-12))
        ties = bounds <= bounds.min() + 1e-12
        slack += weight * (bounds - world.risks)[ties].mean() if np.ptp(world.risks[ties]) < 1e-12 else math.nan
    found = hypothesis_attack(optimistic, world, N, 0.05)
    assert found.failure == pytest.approx(failure, abs=1e-12)
    if not math.isnan(slack):
        assert found.slack == pytest.approx(slack, abs=1e-12)


@given(bernoulli_means(6))
def test_fresh_draws_attack_against_brute_force(means):
    def limit(errors, draws, delta):
        return (errors + 0.3) / draws - delta

    failure = 0.0
    for outcome in itertools.product((0, 1), repeat=means.size):
        weight = math.prod(p if hit else 1 - p for p, hit in zip(means, outcome, strict=True))
        failure += weight * (limit(sum(outcome), means.size, 0.05) < means.mean() - 1e-12)
    assert fresh_draws_attack(limit, means, 0.05).failure == pytest.approx(failure, abs=1e-12)


@pytest.mark.parametrize("m", [1, 2, 4])
def test_shared_draws_attack_against_brute_force(m):
    posterior, risks = np.array([0.5, 0.3, 0.2]), np.array([0.0, 0.4, 1.0])

    def limit(values, delta):
        return values.mean(axis=-1) + values.std(axis=-1) - delta

    failure = 0.0
    for draws in itertools.product(range(3), repeat=m):
        failure += math.prod(posterior[list(draws)]) * (limit(risks[list(draws)], 0.05) < posterior @ risks)
    assert shared_draws_attack(limit, posterior, risks, m, 0.05).failure == pytest.approx(failure, abs=1e-12)


@pytest.mark.parametrize("epochs", [1, 2])
def test_composed_attack_against_brute_force(epochs):
    world = FiniteWorld([0.6, 0.4], [[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], [0.5, 0.3, 0.2])
    n, deltas = 2, (0.2, 0.1)

    def bound(risk, kl, n, delta):
        return risk + 0.5 * kl / n - delta

    def limit(errors, draws, delta):
        return errors / draws + delta

    failure = 0.0
    for sample, weight in ordered_samples(world, n):
        empirical = world.losses[:, list(sample)].mean(axis=1)
        worst = 0.0
        for q in adversarial_posteriors(world.prior, world.risks, empirical[None], n)[0]:
            chance = 0.0
            for drawn in itertools.product(range(3), repeat=n * epochs):
                errors = sum(world.losses[h, x] for h, x in zip(drawn, list(sample) * epochs, strict=True))
                number = bound(limit(errors, n * epochs, deltas[1]), kl_divergence(q, world.prior), n, deltas[0])
                chance += math.prod(q[list(drawn)]) * (number < q @ world.risks - 1e-12)
            worst = max(worst, chance)
        failure += weight * worst
    found = composed_attack(bound, limit, world, n, deltas, epochs)
    assert found.failure == pytest.approx(failure, abs=1e-12)
    assert found.delta == pytest.approx(0.3)


def test_a_holdout_bound_fails_exactly_as_often_as_its_tail():
    """At risk 0.26, ten examples and delta = 0.05 only no error at all leads astray: 0.74^10."""
    world = lone_predictor(0.26)
    found = hypothesis_attack(lambda risk, _, n, delta: clopper_pearson(np.rint(risk * n), n, delta), world, 10, 0.05)
    assert found.failure == pytest.approx(0.74**10)
    assert found.survived


def test_survival_is_failing_at_most_as_often_as_allowed():
    assert Attack("", 0.05, 0.05, 0.0).survived
    assert not Attack("", 0.05, 0.0501, 0.0).survived


# Random worlds: theorems hold in all of them.


@settings(max_examples=40)
@given(finite_worlds(), st.integers(1, 6), st.floats(0.01, 0.9))
def test_maurer_holds_in_random_worlds(world, n, delta):
    assert gibbs_attack(maurer, world, n, delta).survived


@settings(max_examples=40)
@given(finite_worlds(), st.integers(1, 8), st.floats(0.01, 0.9))
def test_occam_holds_in_random_worlds(world, n, delta):
    assert hypothesis_attack(occam_kl, world, n, delta).survived


@settings(max_examples=25)
@given(finite_worlds(max_points=3, zero_one=True), st.integers(1, 4), st.floats(0.01, 0.5), st.floats(0.01, 0.4))
def test_certificates_hold_in_random_worlds(world, n, delta, delta_draws):
    """Bound and Monte-Carlo limit together fail no more often than their two deltas add up to."""
    for epochs in (1, 3):
        assert composed_attack(maurer, monte_carlo_binomial, world, n, (delta, delta_draws), epochs).survived


def test_a_certificate_spends_both_deltas():
    """One predictor and one example: the bound's delta is nearly used up, and the certificate still holds."""
    world = lone_predictor(0.9)
    found = composed_attack(maurer, lambda k, m, delta: monte_carlo_kl(k / m, m, delta), world, 1, (0.2, 0.1))
    assert found.survived
