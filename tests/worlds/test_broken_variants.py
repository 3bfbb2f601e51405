"""The test of the tests: common mistakes, each of which some world must expose, beside its correct form."""

import math
from dataclasses import replace

import numpy as np
import pytest

from genbounds.numerics import binomial_lower, kl_upper
from genbounds.pac_bayes import (
    catoni,
    clopper_pearson,
    maurer,
    mcallester,
    monte_carlo_betting,
    monte_carlo_binomial,
    monte_carlo_kl,
    occam_binomial,
    occam_kl,
    quadratic,
    seeger_xi,
    test_set_kl,
    thiemann,
    tolstikhin,
)
from genbounds.theorems import Grid, catalogue
from genbounds.worlds import (
    FiniteWorld,
    adversarial_posteriors,
    attack,
    coins,
    composed_attack,
    fresh_draws_attack,
    gibbs_attack,
    hypothesis_attack,
    kl_divergence,
    lone_predictor,
    poisson_binomial_law,
    shared_draws_attack,
    shattered_points,
)

GIBBS = {
    "catoni": lambda risk, kl, n, delta: catoni(risk, kl, n, delta, 2.0),
    "maurer": maurer,
    "mcallester": mcallester,
    "quadratic": quadratic,
    "seeger_xi": seeger_xi,
    "thiemann": lambda risk, kl, n, delta: thiemann(risk, kl, n, delta, 0.3),
    "tolstikhin": tolstikhin,
}
every_gibbs_bound = pytest.mark.parametrize("bound", GIBBS.values(), ids=GIBBS)


def on_counts(bound):
    """Let a bound on error counts take rates."""
    return lambda risk, *rest: bound(np.rint(np.asarray(risk) * rest[-2]), *rest)


# n counted twice: an example used twice is one example.


@pytest.mark.parametrize(
    ("bound", "rate"),
    [
        (lambda risk, kl, n, delta: catoni(risk, kl, n, delta, 30.0), 0.0),
        (maurer, 0.04),
        (mcallester, 0.5),
        (quadratic, 0.04),
        (seeger_xi, 0.04),
        (lambda *numbers: np.min([thiemann(*numbers, lam) for lam in (0.025, 0.05, 0.1, 0.2)], axis=0), 0.04),
        (tolstikhin, 0.04),
    ],
    ids=GIBBS,
)
def test_doubled_n(bound, rate):
    """Where each bound is sharp, for a sample so large and a delta so small that its constants do not hide it."""
    n, delta = 40_000, 1e-15

    def broken(risk, kl, n, delta):
        return bound(risk, kl, 2 * n, delta)

    world = lone_predictor(float(broken(rate, 0.0, n, delta)) + 1e-9)  # fails at every rate of errors up to this one
    found = gibbs_attack(broken, world, n, delta)
    assert found.failure > 2 * delta
    assert not found.survived
    assert gibbs_attack(bound, world, n, delta).survived


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("clopper_pearson", lambda errors, n, delta: clopper_pearson(2 * errors, 2 * n, delta)),
        ("test_set_kl", lambda risk, n, delta: test_set_kl(risk, 2 * n, delta)),
        ("occam_binomial", lambda errors, code_length, n, delta: occam_binomial(2 * errors, code_length, 2 * n, delta)),
        ("occam_kl", lambda risk, code_length, n, delta: occam_kl(risk, code_length, 2 * n, delta)),
        ("monte_carlo_binomial", lambda errors, draws, delta: monte_carlo_binomial(2 * errors, 2 * draws, delta)),
        ("monte_carlo_kl", lambda risk, draws, delta: monte_carlo_kl(risk, 2 * draws, delta)),
        ("monte_carlo_betting", lambda values, delta: monte_carlo_betting(np.repeat(values, 2, axis=-1), delta)),
    ],
)
def test_doubled_counts(name, broken):
    attacks = attack(replace(catalogue()[f"pac_bayes.{name}"], function=broken), 0.05)
    assert max(found.failure for found in attacks) > 0.1


# A prior, a predictor or a code that saw the sample.


@pytest.mark.parametrize("bound", [maurer, seeger_xi, GIBBS["catoni"]], ids=["maurer", "seeger_xi", "catoni"])
def test_a_prior_that_saw_the_sample(bound):
    """P = Q = the empirical risk minimiser: no KL at all, and what was memorised goes for learnt."""
    world = shattered_points(7)
    found = gibbs_attack(lambda risk, kl, n, delta: bound(risk, 0 * kl, n, delta), world, 7, 0.05)
    assert found.failure > 0.07
    assert gibbs_attack(bound, world, 7, 0.05).survived


@pytest.mark.parametrize("bound", [on_counts(clopper_pearson), test_set_kl], ids=["binomial", "kl"])
def test_a_predictor_selected_on_its_test_set(bound):
    """The best of three coins, tested on the data that selected it; three tests at delta / 3 are in order."""
    world, n, delta = coins([0.27, 0.27, 0.27]), 10, 0.05
    found = hypothesis_attack(lambda risk, _, n, delta: bound(risk, n, delta), world, n, delta)
    assert found.failure == pytest.approx(1 - (1 - 0.73**10) ** 3)  # no error on one of them
    assert not found.survived
    assert hypothesis_attack(lambda risk, _, n, delta: bound(risk, n, delta / 3), world, n, delta).survived


@pytest.mark.parametrize("bound", [on_counts(occam_binomial), occam_kl], ids=["binomial", "kl"])
def test_a_code_that_breaks_krafts_inequality(bound):
    """Codes of half the length: their weights add up to more than 1."""
    world, n, delta = shattered_points(6), 6, 0.15
    found = hypothesis_attack(lambda risk, length, n, delta: bound(risk, length / 2, n, delta), world, n, delta)
    assert not found.survived
    assert hypothesis_attack(bound, world, n, delta).survived


# delta counted once over a union.


def test_the_best_of_many_priors_at_full_delta():
    """Twenty priors, each on one way to err on half of the points, chosen after the fact: ln 20 nats are due."""
    world, n, delta = shattered_points(6), 6, 0.1
    half = np.flatnonzero(world.losses.sum(axis=1) == 3)
    priors = np.full((20, 64), 0.001 / 63)
    priors[np.arange(20), half] = 0.999
    assert not gibbs_attack(maurer, world, n, delta, priors).survived
    paid = gibbs_attack(lambda risk, kl, n, delta: maurer(risk, kl + math.log(20), n, delta), world, n, delta, priors)
    assert paid.survived


def test_the_best_of_many_bounds_at_full_delta():
    """Two kinds of evidence about one risk, the smaller number quoted: two deltas are due."""
    n, delta = 10, 0.05
    world = coins([0.27, 0.27])  # the same predictor on two independent halves of the data

    def smaller(risk, _, n, delta):
        return np.broadcast_to(np.min(clopper_pearson(np.rint(risk * n), n, delta), axis=1, keepdims=True), risk.shape)

    assert hypothesis_attack(smaller, world, n, delta).failure == pytest.approx(1 - (1 - 0.73**10) ** 2)
    assert hypothesis_attack(lambda *numbers: smaller(*numbers[:3], numbers[3] / 2), world, n, delta).survived


def test_catoni_with_C_optimised_after_the_fact():
    """Three memorisers, one example, delta = 0.95: the unpaid minimum over C fails on every sample.

    It equals the kl bound without ln(2 sqrt(n)): that is a floor for this kind of proof, and no theorem.
    """
    world = FiniteWorld([0.65, 0.175, 0.175], 1 - np.eye(3), [0.62, 0.19, 0.19], name="three memorisers")
    n, delta, values = 1, 0.95, 2.0 ** np.arange(-6, 5)

    def unpaid(risk, kl, n, delta):
        return np.min([catoni(risk, kl, n, delta, C) for C in values], axis=0)

    found = gibbs_attack(unpaid, world, n, delta)
    assert found.failure == pytest.approx(1.0)
    assert not found.survived
    assert gibbs_attack(lambda *numbers: catoni(*numbers, Grid(values)), world, n, delta).survived
    for C in values:
        assert gibbs_attack(lambda *numbers, C=C: catoni(*numbers, C), world, n, delta).survived


# The Monte-Carlo step.


@every_gibbs_bound
def test_no_monte_carlo_step(bound):
    """One draw that happens to be good, taken for the posterior: half good, half bad, and the truth is in between."""
    world = FiniteWorld([1.0], [[0.0], [1.0]])
    kl, n, delta = 0.0, 1000, 0.05
    found = shared_draws_attack(
        lambda values, delta: bound(values.mean(axis=1), kl, n, delta), world.prior, world.risks, 1, delta
    )
    assert found.failure == 0.5
    for limit in (
        lambda values, delta: monte_carlo_kl(values.mean(axis=1), values.shape[1], delta),
        monte_carlo_betting,
    ):
        paid = shared_draws_attack(
            lambda values, delta, limit=limit: bound(limit(values, delta), kl, n, delta),
            world.prior,
            world.risks,
            1,
            delta,
        )
        assert paid.survived


@pytest.mark.parametrize("limit", [clopper_pearson, monte_carlo_binomial])
def test_the_average_of_draws_taken_for_the_gibbs_risk(limit):
    """Even with one fresh draw per example, errors / draws is below the empirical Gibbs risk half of the time."""
    means = np.full(12, 0.3)
    assert fresh_draws_attack(lambda k, m, delta: k / m, means, 0.05).failure > 0.4
    assert fresh_draws_attack(limit, means, 0.05).survived


def test_drawing_until_the_limit_looks_good():
    """The smallest of the limits after 1, ..., 60 draws, each at delta: a confidence sequence it is not."""
    p, delta, most = 0.3, 0.05, 60
    alive, failure = np.array([1.0]), 0.0
    for m in range(1, most + 1):
        alive = np.convolve(alive, [1 - p, p])
        failed = monte_carlo_binomial(np.arange(m + 1), m, delta) < p
        failure += alive[failed].sum()
        alive[failed] = 0.0
    assert failure > 2 * delta
    assert (
        poisson_binomial_law(np.full(most, p))[monte_carlo_binomial(np.arange(most + 1), most, delta) < p].sum()
        <= delta
    )


def test_a_certificate_that_forgets_the_delta_of_its_draws():
    """Bound and limit at delta each, claimed to fail with delta in all: the sum is what is spent."""
    world = FiniteWorld([0.5, 0.5], [[1.0, 1.0], [0.0, 0.0]], [0.95, 0.05])
    n, delta = 6, 0.2
    found = composed_attack(lambda risk, *_: risk, monte_carlo_binomial, world, n, (0.0, delta))
    assert found.failure > 0.1  # all of it from the draws: this world has no sampling error at all
    assert composed_attack(maurer, monte_carlo_binomial, world, n, (delta / 2, delta / 2)).survived


# The wrong side, the wrong predictor, a missing term.


def test_the_lower_limit_taken_for_the_upper():
    wrong = replace(
        catalogue()["pac_bayes.clopper_pearson"],
        function=lambda errors, n, delta: binomial_lower(errors, n, math.log(delta)),
    )
    world, n, delta = lone_predictor(0.3), 20, 0.05
    found = hypothesis_attack(lambda risk, _, n, delta: on_counts(wrong.function)(risk, n, delta), world, n, delta)
    assert found.failure > 0.9


def test_delta_on_the_wrong_side():
    """A quantile at 1 - delta for one at delta."""
    theorem = catalogue()["pac_bayes.clopper_pearson"]
    wrong = replace(theorem, function=lambda errors, n, delta: clopper_pearson(errors, n, 1 - delta))
    assert not all(found.survived for found in attack(wrong, 0.05))


def test_the_posterior_mean_is_not_covered():
    """Two predictors with weights +1 and -1 never err; their mean has weight 0 and always does."""
    world = FiniteWorld([0.5, 0.5], [[0.0, 0.0], [0.0, 0.0], [1.0, 1.0]], [0.49, 0.49, 0.02])
    posterior, n, delta = np.array([0.5, 0.5, 0.0]), 100, 0.05
    certificate = maurer(0.0, kl_divergence(posterior, world.prior), n, delta)
    assert posterior @ world.risks <= certificate < 0.07
    assert world.risks[2] == 1.0  # the risk of the posterior mean, on every sample


@pytest.mark.parametrize("drop", ["delta", "n", "kl"])
def test_a_missing_term(drop):
    """Each of the three terms is needed: without ln(1 / delta), without ln(2 sqrt(n)), without KL."""
    keep = {"delta": 1.0, "n": 1.0, "kl": 1.0} | {drop: 0.0}

    def broken(risk, kl, n, delta):
        return kl_upper(
            risk, (keep["kl"] * kl + keep["n"] * np.log(2 * np.sqrt(n)) - keep["delta"] * np.log(delta)) / n
        )

    memorisers = FiniteWorld([0.65, 0.175, 0.175], 1 - np.eye(3), [0.62, 0.19, 0.19])
    world, n, delta = {
        "delta": (lone_predictor(0.95), 1, 0.01),
        "n": (memorisers, 1, 0.95),
        "kl": (shattered_points(7), 7, 0.05),
    }[drop]
    assert not gibbs_attack(broken, world, n, delta).survived
    assert gibbs_attack(maurer, world, n, delta).survived


def test_the_adversary_is_needed():
    """The family contains more than a learner would choose: with the prior alone the broken bounds look fine."""
    world = shattered_points(7)
    counts, weights = world.samples(7)
    empirical = world.empirical_risks(counts)
    prior_only = maurer(empirical @ world.prior, 0.0, 14, 0.05) < world.risks @ world.prior
    assert weights[prior_only].sum() == 0
    assert adversarial_posteriors(world.prior, world.risks, empirical[:2], 7).shape[1] > 128
