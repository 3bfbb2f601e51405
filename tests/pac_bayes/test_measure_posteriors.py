"""Posteriors made of a measure: density ratios against enumeration, and the bound attacked in an exact world."""

import math
from itertools import product

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genbounds.pac_bayes import rivasplata
from genbounds.pac_bayes.measure_posteriors import log_ratio_limit, log_ratio_of_candidates

numbers = st.floats(-40, 40)


def pairs(least=1, most=6):
    return st.lists(st.tuples(numbers, numbers), min_size=least, max_size=most).map(lambda rows: np.array(rows).T)


def exact(mu, omega):
    """Return probabilities and log ratios in arbitrary precision."""
    with mpmath.workdps(60):
        q, p = ([mpmath.exp(-mpmath.mpf(float(x))) for x in values] for values in (mu, omega))
        total_q, total_p = sum(q), sum(p)
        return (
            [x / total_q for x in q],
            [x / total_p for x in p],
            [mpmath.log((a / total_q) / (b / total_p)) for a, b in zip(q, p, strict=True)],
        )


@given(pairs())
def test_log_ratios_are_those_of_the_probabilities_and_never_below(values):
    mu, omega = values
    probabilities, ratios = log_ratio_of_candidates(mu, omega)
    posterior, prior, truth = exact(mu, omega)
    np.testing.assert_allclose(probabilities, [float(x) for x in posterior], rtol=1e-11)
    for found, wanted, p, chance in zip(ratios, truth, prior, probabilities, strict=True):
        assert found >= wanted
        assert found == pytest.approx(float(wanted), rel=1e-10, abs=1e-9)
        assert found >= math.log(chance) - float(mpmath.log(p))  # of the floats that are drawn from, too
        assert found <= -float(mpmath.log(p)) + 1e-9


@settings(max_examples=60, deadline=None)
@given(pairs(2, 4), st.sampled_from([0.02, 0.1, 0.5]), st.integers(1, 3))
def test_the_limit_fails_with_probability_delta_at_most_by_enumeration(values, delta, draws):
    mu, omega = values
    _, prior, truth = exact(mu, omega)
    failed = 0.0
    for chosen in product(range(len(mu)), repeat=draws):
        chance = math.prod(float(prior[k]) for k in chosen)
        limit = log_ratio_limit(mu[0], omega[0], mu[list(chosen)], omega[list(chosen)], delta)
        failed += chance * (limit.value < truth[0] * (1 - mpmath.mpf(10) ** -12))
    assert failed <= delta * (1 + 1e-9)


def test_markov_is_attained():
    """One draw of the prior in a hundred has a huge density: the limit then fails, with all of delta."""
    mu, omega = np.array([0.0, 50.0]), np.array([-math.log(0.05), -math.log(0.95)])
    _, _, truth = exact(mu, omega)
    fails = log_ratio_limit(mu[0], omega[0], mu[:1], omega[:1], 0.0501)
    holds = log_ratio_limit(mu[0], omega[0], mu[:1], omega[:1], 0.0499)
    assert fails.value < float(truth[0]) + 1e-9
    assert holds.value > float(truth[0])


def fails(empirical, log_ratio, n, delta, risk):
    """Say whether the bound is below the risk, or there is none: a refusal is in the event of probability delta."""
    try:
        return rivasplata(empirical, log_ratio, n, delta) < risk
    except ValueError:
        return True


@pytest.mark.parametrize("candidates", [True, False])
@pytest.mark.parametrize("temper", [0.5, 4.0, 30.0])
def test_the_bound_on_the_network_drawn_holds_in_a_world_of_all_labellings(candidates, temper):
    """Three points, every labelling a hypothesis, four examples: all samples, draws and draws of the prior counted.

    The measure is chosen to mislead: it rewards errors on the points that the sample lacks.
    """
    delta, points, n = 0.4, 3, 4
    share = delta if candidates else delta / 2
    hypotheses = np.array(list(product((0, 1), repeat=points)))  # 1: errs there
    risks = hypotheses.mean(1)
    omega = np.zeros(len(hypotheses))
    failed, total = 0.0, 0.0
    for sample in product(range(points), repeat=n):
        chance = points**-n
        seen = np.isin(np.arange(points), sample)
        mu = temper * (hypotheses[:, list(sample)].mean(1) - hypotheses[:, ~seen].sum(1))
        probabilities, ratios = log_ratio_of_candidates(mu, omega)
        empirical = hypotheses[:, list(sample)].mean(1)
        for h, drawn in enumerate(probabilities):
            if candidates:
                failed += chance * drawn * fails(empirical[h], ratios[h], n, share, risks[h])
                total += chance * drawn
                continue
            for other in range(len(hypotheses)):
                limit = log_ratio_limit(mu[h], omega[h], [mu[other]], [omega[other]], share)
                failed += chance * drawn / len(hypotheses) * fails(empirical[h], limit, n, share, risks[h])
                total += chance * drawn / len(hypotheses)
    assert total == pytest.approx(1)
    assert failed <= delta


def test_where_the_measure_misleads_the_price_is_what_keeps_the_bound_valid():
    """Sixty-four points, all labellings: a measure that rewards errors on whatever the sample lacks, by tau each.

    Its Gibbs posterior is a product: right on a seen point and wrong on an unseen one with probability
    1 / (1 + e^-tau). Without the log ratio the bound fails nearly always.
    """
    rng, points, tau, delta, tries = np.random.default_rng(0), 64, 8.0, 0.1, 400
    failures = {"limit": 0, "exact": 0, "left out": 0}
    follows = 1 / (1 + math.exp(-tau))
    for _ in range(tries):
        sample = rng.integers(0, points, points)
        seen = np.isin(np.arange(points), sample)
        wanted = ~seen  # 1: errs
        h = np.where(rng.random(points) < follows, wanted, ~wanted)
        risk, empirical = h.mean(), h[sample].mean()

        def measure(labels, wanted=wanted):
            return tau * float((labels != wanted).sum())

        others = [rng.integers(0, 2, points).astype(bool) for _ in range(3)]
        limit = log_ratio_limit(measure(h), 0.0, [measure(other) for other in others], [0.0] * 3, delta / 2)
        kept = int((h == wanted).sum())
        ratio = points * math.log(2) + kept * math.log(follows) + (points - kept) * math.log(1 - follows)
        assert (
            limit.value >= ratio
        )  # one in twenty may fail; three draws of that prior never see what the posterior does
        failures["limit"] += fails(empirical, limit, points, delta / 2, risk)
        failures["exact"] += fails(empirical, ratio, points, delta, risk)
        failures["left out"] += fails(empirical, 0.0, points, delta, risk)
    assert failures["limit"] <= failures["exact"] <= delta * tries
    assert failures["left out"] > 0.9 * tries


def test_gaussians_have_the_known_ratio():
    """Measure |w - c|^2 / (2 s^2), reference |w|^2 / (2 s^2): N(c, s^2) against N(0, s^2)."""
    rng = np.random.default_rng(0)
    centre, w = 0.7, 0.9
    prior = rng.standard_normal(200_000)
    limit = log_ratio_limit((w - centre) ** 2 / 2, w**2 / 2, (prior - centre) ** 2 / 2, prior**2 / 2, 0.05)
    truth = w * centre - centre**2 / 2
    assert limit.value - math.log(20) == pytest.approx(truth, abs=0.02)
    assert limit.delta == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((math.nan, 0.0, [0.0], [0.0], 0.1), "measure"),
        ((0.0, 0.0, [], [], 0.1), "at least once"),
        ((0.0, 0.0, [0.0], [0.0, 1.0], 0.1), "one number for each draw"),
        ((0.0, 0.0, [0.0], [0.0], 0.0), "delta"),
    ],
)
def test_bad_numbers_are_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        log_ratio_limit(*arguments)


def test_numbers_beyond_float64_are_refused():
    with pytest.raises(ValueError, match="too large"):
        log_ratio_of_candidates([1e308, -1e308], [0.0, 0.0])
    with pytest.raises(ValueError, match="too large"):
        log_ratio_limit(0.0, 0.0, [-1e308], [1e308], 0.05)


def test_candidates_need_both_numbers():
    with pytest.raises(ValueError, match="one number for each network"):
        log_ratio_of_candidates([0.0, 1.0], [0.0])
