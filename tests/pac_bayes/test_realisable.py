import math
from functools import partial

import mpmath
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from genbounds.numerics.estimates import Estimate, UpperLimit
from genbounds.pac_bayes import (
    catoni,
    catoni_single_draw,
    maurer,
    occam_kl,
    realisable,
    realisable_draw,
    rivasplata,
    seeger_xi,
)
from genbounds.pac_bayes.realisable import realisable_from_curve
from genbounds.rare_events.curves import TailCurve
from genbounds.worlds import (
    FiniteWorld,
    coins,
    conditional_draw_attack,
    fitting_posteriors_attack,
    lone_predictor,
    own_regions,
    shattered_points,
)
from genbounds.worlds.enumeration import multinomial_law
from genbounds.worlds.strategies import finite_worlds

informations = st.one_of(st.just(0.0), st.floats(0, 10), st.floats(0, 1e5))
deltas = st.one_of(st.floats(1e-12, 0.999), st.sampled_from([1e-300, 1 - 2.0**-53]))
every_bound = pytest.mark.parametrize("bound", [realisable, realisable_draw])
every_attack = pytest.mark.parametrize(
    ("attack", "bound"), [(fitting_posteriors_attack, realisable), (conditional_draw_attack, realisable_draw)]
)


def curve(nats, **fields):
    """A curve of one level for each value."""
    nats = np.atleast_1d(np.asarray(nats, dtype=np.float64))
    certain = {"standard_error": np.zeros(len(nats)), "low": nats, "high": nats, "confidence": 1.0, "kind": "exact"}
    return TailCurve(**{"levels": 0.1 * np.arange(len(nats)), "nats": nats, "method": "given"} | certain | fields)


# The formula.


@every_bound
@given(information=informations, n=st.integers(1, 10**6), delta=deltas)
def test_the_formula_is_enclosed(oracle, bound, information, n, delta):
    with oracle.precision():
        exact = -mpmath.expm1(-oracle.complexity(information, n, delta))
        assert oracle.encloses(bound(information, n, delta), exact)


@given(informations, st.integers(2, 10**6), st.floats(1e-12, 0.999))
def test_orderings(information, n, delta):
    value = realisable(information, n, delta)
    assert value == realisable_draw(information, n, delta)
    np.testing.assert_allclose(value, occam_kl(0.0, information, n, delta), rtol=1e-12)
    assert value <= seeger_xi(0.0, information, n, delta) <= maurer(0.0, information, n, delta) * (1 + 1e-12)
    assert value <= rivasplata(0.0, information, n, delta)
    # What was published for sets of consistent concepts.
    mcallester_1998 = (information - math.log(delta) + 2 * math.log(n) + 1) / n
    valle_perez_2019 = -math.expm1(-(information + math.log(2 * n / delta)) / (n - 1))
    assert value <= min(mcallester_1998, 1)
    assert value <= valle_perez_2019 * (1 + 1e-12)


@given(st.floats(0, 1e4), st.integers(1, 10**5), st.floats(1e-9, 0.9))
def test_it_is_what_catonis_bounds_tend_to(information, n, delta):
    value = realisable(information, n, delta)
    for bound in (catoni, catoni_single_draw):
        np.testing.assert_allclose(bound(0.0, information, n, delta, 40.0), value, rtol=1e-12)
        assert bound(0.0, information, n, delta, 3.0) >= value * (1 - 1e-12)


@given(st.floats(0, 100), st.integers(1, 1000), st.floats(1e-3, 0.5))
def test_monotone(information, n, delta):
    value = realisable(information, n, delta)
    assert realisable(information + 1, n, delta) >= value >= realisable(information, n + 1, delta)
    assert realisable(information, n, delta / 2) >= value
    np.testing.assert_allclose(realisable(information + math.log(2), n, delta), realisable(information, n, delta / 2))


def test_by_hand():
    """A test set without errors: 1 - delta^(1/n). Nothing fits: nothing is known."""
    np.testing.assert_allclose(realisable(0.0, 10, 0.05), 1 - 0.05**0.1, rtol=1e-14)
    assert realisable(math.inf, 10**6, 0.05) == 1.0
    assert realisable(np.finfo(float).max, 1, 0.05) == 1.0
    assert isinstance(realisable(1.0, 10, 0.05), float)
    assert realisable(np.zeros((4, 1)), [1, 2], 0.05).shape == (4, 2)


@every_bound
def test_a_limit_is_an_argument_and_an_estimate_is_not(bound):
    assert bound(UpperLimit(3.0, 0.01, "counted"), 100, 0.05) == bound(3.0, 100, 0.05)
    with pytest.raises(ValueError, match="an estimate may not stand inside a bound"):
        bound(Estimate(3.0, 0.1, (2.8, 3.2), 0.95, 1000, "sampled"), 100, 0.05)


@pytest.mark.parametrize(
    ("bound", "numbers", "message"),
    [
        (realisable, (-1e-9, 10, 0.05), "kl must be non-negative, got -1e-09"),
        (realisable, (math.nan, 10, 0.05), "kl must be a number"),
        (realisable_draw, (-1e-9, 10, 0.05), "information must be non-negative, got .* P.U. is at most 1"),
        (realisable_draw, (math.nan, 10, 0.05), "information must be a number"),
        (realisable, (1.0, 0, 0.05), "n must be a whole number of at least 1"),
        (realisable_draw, (1.0, 10, 1.0), "delta must be strictly between 0 and 1"),
    ],
)
def test_bad_numbers_are_refused(bound, numbers, message):
    with pytest.raises(ValueError, match=message):
        bound(*numbers)


# Exact worlds.


@every_attack
@settings(max_examples=40)
@given(
    world=finite_worlds(max_points=4, max_hypotheses=5), n=st.integers(1, 4), delta=st.sampled_from([0.02, 0.3, 0.9])
)
def test_no_world_is_a_counterexample(attack, bound, world, n, delta):
    assert attack(bound, world, n, delta).survived


@every_attack
@pytest.mark.parametrize(("n", "predictors", "delta"), [(1, 5, 0.3), (2, 4, 0.2), (6, 2, 0.01)])
def test_every_constant_is_needed(attack, bound, n, predictors, delta):
    """Regions of (delta / N)^(1/n): some predictor fits with probability delta, and its risk is the bound."""
    share = (delta / predictors) ** (1 / n) * (1 - 1e-9)
    found = attack(bound, own_regions(predictors, share), n, delta)
    assert found.failure == pytest.approx(delta, rel=1e-6)
    assert found.survived


@every_attack
@pytest.mark.parametrize(
    "broken",
    [
        lambda bound, information, n, delta: bound(information, n + 1, delta),
        lambda bound, information, n, delta: bound(information, 2 * n, delta),
        lambda bound, information, n, delta: bound(information, n, min(2 * delta, 0.99)),
        lambda bound, information, n, delta: bound(0.9 * information, n, delta),
        lambda bound, information, n, delta: bound(0 * information, n, delta),
        lambda bound, information, n, delta: bound(information, n, delta) * 0.99,
    ],
    ids=["n + 1", "n twice", "delta twice", "information cut", "no information", "a factor"],
)
def test_broken_variants_are_caught(attack, bound, broken):
    """Worlds that are fitted a little more often than delta, with risks a little below the bound."""
    n, delta = 3, 0.05
    worlds = [lone_predictor(1 - (1.02 * delta) ** (1 / n)), own_regions(4, (1.02 * delta / 4) ** (1 / n))]
    assert all(attack(bound, world, n, delta).survived for world in worlds)
    assert not all(attack(partial(broken, bound), world, n, delta).survived for world in worlds)


@every_attack
def test_the_information_of_another_sample_is_no_information(attack, bound):
    """-ln P(U) of the sample that occurs most often: on rare samples many rare predictors, each too good, fit."""
    delta = 0.1
    losses = np.hstack([1 - np.eye(5), np.ones((5, 1))])
    world = FiniteWorld([0.6, *[0.08] * 4, 0.08], losses, [0.96, *[0.01] * 4])

    def usual(information, n, delta):
        return bound(np.full_like(np.asarray(information, dtype=float), -math.log(0.96)), n, delta)

    assert attack(usual, world, 1, delta).failure == pytest.approx(0.32)
    assert attack(bound, world, 1, delta).survived


def test_on_a_sample_that_nothing_fits_nothing_is_claimed():
    world = FiniteWorld([0.5, 0.5], [[1.0, 1.0]])
    for attack, bound in ((fitting_posteriors_attack, realisable), (conditional_draw_attack, realisable_draw)):
        found = attack(bound, world, 3, 0.05)
        assert (found.failure, found.slack) == (0.0, 0.0)


def test_the_attacks_against_a_slow_transcription():
    """Every ordered sample, every predictor, plain loops: failure of one draw from all that fit."""
    world, n, delta = coins([0.2, 0.6, 0.7]), 3, 0.4

    def small(information, n, delta):
        return realisable_draw(information, 2 * n, delta)

    failure = 0.0
    for sample in np.ndindex(*(len(world.probabilities),) * n):
        chance = math.prod(world.probabilities[point] for point in sample)
        fitting = [h for h in range(3) if all(world.losses[h, point] == 0 for point in sample)]
        worst = sorted(fitting, key=lambda h: -world.risks[h])
        failures = []
        for k in range(1, len(worst) + 1):
            mass = sum(world.prior[h] for h in worst[:k])
            value = small(-math.log(mass), n, delta)
            failures.append(sum(world.prior[h] for h in worst[:k] if world.risks[h] > value) / mass)
        failure += chance * max(failures, default=0.0)
    assert conditional_draw_attack(small, world, n, delta).failure == pytest.approx(failure, rel=1e-12)
    assert failure > 0.05


def test_attacks_weigh_in_the_prior():
    """The mass that fits is the prior's, not the number of predictors."""
    world = FiniteWorld([0.5, 0.5], [[0.0, 1.0], [0.0, 0.0]], [0.25, 0.75])
    seen = []

    def spy(information, n, delta):
        seen.append(np.asarray(information))
        return realisable_draw(information, n, delta)

    conditional_draw_attack(spy, world, 1, 0.5)
    np.testing.assert_allclose(np.exp(-seen[0]), [[1.0, 0.75], [0.25, 1.0]])


# The composition with a sampler's curve.


def test_a_certain_curve():
    limit = realisable_from_curve(curve([2.0, 1.0]), 100, 0.04, 0.01)
    np.testing.assert_array_equal(limit.value, realisable(np.array([2.0, 1.0]), 100, 0.04))
    assert limit.delta == 0.05
    assert "certain: given" in limit.method


def test_an_unbiased_curve_pays_markov():
    unknown = {"low": [0.0], "high": [math.inf], "confidence": 0.95, "kind": "estimate", "unbiased": True, "samples": 1}
    limit = realisable_from_curve(curve(5.0, standard_error=[0.3], **unknown), 100, 0.04, 0.01)
    np.testing.assert_allclose(limit.value, realisable(5 + math.log(100), 100, 0.04), rtol=1e-13)
    assert "Markov" in limit.method


def test_a_curve_without_a_limit_is_refused():
    guessed = curve(5.0, low=[4.0], high=[6.0], confidence=0.95, kind="estimate", method="a guess", samples=10)
    with pytest.raises(ValueError, match="must be certain, counted or unbiased"):
        realisable_from_curve(guessed, 100, 0.04, 0.01)


@settings(max_examples=20)
@given(
    world=st.sampled_from([own_regions(3, 0.3), shattered_points(3), coins([0.3, 0.8]), lone_predictor(0.6)]),
    draws=st.integers(1, 40),
    deltas=st.sampled_from([(0.05, 0.05), (0.3, 0.1), (0.02, 0.4)]),
)
def test_both_deltas_are_spent(world, draws, deltas):
    """Samples and counts of fitting draws, enumerated together: the claim fails with at most the sum."""
    n, (delta, sampling_delta) = 2, deltas
    counts, weights = world.samples(n)
    fits = counts @ world.losses.T == 0
    assume(fits.any())
    failure = 0.0
    for weight, inside in zip(weights, fits, strict=True):
        mass = min(world.prior[inside].sum(), 1.0)
        if mass == 0:
            continue
        risk = world.prior[inside] @ world.risks[inside] / mass
        for seen in range(draws + 1):
            spread = {"low": [0.0], "high": [math.inf], "confidence": 0.95, "kind": "estimate"}
            nats = -math.log(seen / draws) if seen else math.inf
            counted = curve(nats, counts=[seen], samples=draws, standard_error=[math.nan], **spread)
            limit = realisable_from_curve(counted, n, delta, sampling_delta)
            chance = float(multinomial_law([[seen, draws - seen]], [mass, 1 - mass])[0])
            failure += weight * chance * (limit.value[0] < risk - 1e-12)
    assert failure <= delta + sampling_delta
