import math

import numpy as np
import pytest
from scipy import stats
from scipy.special import logsumexp

from genbounds.rare_events.averages.independent_runs import Account, conditional_from_runs, curve_from_runs

ACCOUNT = Account(0.95, "a sampler", 100)
UNBIASED = Account(0.95, "a sampler", 100, unbiased=True)


def curve(logs, account=ACCOUNT, variance=0.0):
    logs = np.asarray(logs, dtype=float)
    return curve_from_runs(np.arange(logs.shape[1], dtype=float), logs, np.full(logs.shape, variance), account)


def test_the_value_is_that_of_the_average():
    logs = np.log([[0.1, 0.2], [0.3, 0.6]]) - 900.0  # far below the smallest float
    found = curve(logs)
    assert found.nats == pytest.approx(-np.log([0.2, 0.4]) + 900.0)
    spread = np.log(3) ** 2 / 2
    assert found.standard_error == pytest.approx([math.sqrt(spread / 2 + spread**2 / 2)] * 2)
    reach = stats.t.ppf(0.975, 1) * found.standard_error
    assert found.high == pytest.approx(-(logs.mean(axis=0) + spread / 2) + reach)
    assert found.kind == "estimate"
    assert not found.unbiased


@pytest.mark.parametrize(("deviation", "runs"), [(0.05, 4), (0.5, 4), (0.5, 8), (1.0, 8), (2.0, 8), (3.0, 16)])
def test_intervals_cover_where_runs_are_log_normal(deviation, runs):
    """The truth is 50 nats; each run's estimate is unbiased: ln X has mean -50 - s^2 / 2."""
    generator = np.random.default_rng(0)
    found = [curve(generator.normal(-50 - deviation**2 / 2, deviation, (runs, 1))) for _ in range(1500)]
    covered = np.mean([each.low[0] <= 50 <= each.high[0] for each in found])
    assert 0.9 <= covered <= 0.97
    if deviation <= 1:
        assert covered >= 0.93


def test_the_spread_of_the_estimates_themselves_would_not_cover():
    """What the second term is for: the delta method on X says at most 1, and one run is the average."""
    generator = np.random.default_rng(0)
    chances = np.exp(generator.normal(-(3.0**2) / 2, 3.0, (8, 4000)))
    mean = chances.mean(axis=0)
    error = chances.std(axis=0, ddof=1) / mean / math.sqrt(8)
    assert error.max() < 1.001
    assert (np.abs(np.log(mean)) <= stats.t.ppf(0.975, 7) * error).mean() < 0.75


def test_what_no_run_attained_is_not_resolved():
    found = curve([[-math.inf, -9.0, -1.0], [-math.inf, -math.inf, -1.2]])
    assert math.isnan(found.nats[0])
    assert found.nats[1] == pytest.approx(9.0 + math.log(2))
    assert np.isnan(found.standard_error).tolist() == [True, True, False]
    assert found.low.tolist() == [found.low[2]] * 3
    assert found.high[:2].tolist() == [math.inf, math.inf]
    certain = curve([[-math.inf, -9.0, -1.0], [-math.inf, -math.inf, -1.2]], UNBIASED)
    assert certain.high[1] == pytest.approx(9.0 + math.log(2) + math.log(2 / 0.05))
    assert certain.upper_limit(0.05).value[0] == math.inf


def test_runs_that_agree_to_the_last_bit_show_their_own_error():
    found = curve(np.zeros((4, 1)), variance=1e-4)
    assert found.nats.tolist() == [0.0]
    assert found.standard_error[0] == pytest.approx(math.sqrt(1e-4 / 4 + 1e-8 / 6))
    assert found.high[0] > 0


def test_markov_holds_for_unbiased_runs_of_any_law():
    """X is 1 / q with probability q, else 0: the average of two runs, and how often its limit fails."""
    generator = np.random.default_rng(1)
    for q in (0.01, 0.3, 0.9):
        hits = generator.random((2, 1500)) < q
        logs = np.where(hits, -20.0 - math.log(q), -math.inf)
        failed = [
            curve_from_runs(np.zeros(1), pair[:, None], np.zeros((2, 1)), UNBIASED).upper_limit(0.1).value[0] < 20.0
            for pair in logs.T
        ]
        assert np.mean(failed) <= 0.11


def test_the_chain_rule_is_exact_and_runs_count_by_their_condition():
    conditions, tails = np.array([[-3.0], [-5.0], [-math.inf]]), np.array([[-2.0, -1.0], [-4.0, -0.5], [-math.inf] * 2])
    found = conditional_from_runs(
        0.5, np.array([0.0, 1.0]), (conditions, np.zeros((3, 1))), (tails, np.zeros((3, 2))), UNBIASED
    )
    assert found.condition.nats + found.tail.nats == pytest.approx(found.joint.nats)
    weights = np.exp(conditions[:2] - logsumexp(conditions[:2]))
    assert found.tail.nats == pytest.approx(-np.log((weights * np.exp(tails[:2])).sum(axis=0)))
    assert (found.condition.unbiased, found.joint.unbiased, found.tail.unbiased) == (True, True, False)
    assert np.isnan(found.condition.standard_error[0])  # one run never got there
    assert np.isfinite(found.tail.standard_error).all()
    spread, number = np.array([2.0, 0.125]), 1 / (weights**2).sum()
    assert found.tail.standard_error == pytest.approx(np.sqrt(spread / number + spread**2 / 2))


def test_no_run_met_the_condition():
    nothing = np.full((3, 1), -math.inf)
    found = conditional_from_runs(0.5, np.zeros(1), (nothing, nothing * -1), (nothing, nothing * -1), UNBIASED)
    for each in (found.condition, found.tail, found.joint):
        assert math.isnan(each.nats[0])
        assert (each.low[0], each.high[0]) == (0.0, math.inf)


@pytest.mark.parametrize("spread", [0.1, 1.0])
def test_intervals_of_the_tail_cover(spread):
    """Condition 30 nats and tail 10, independent in a run."""
    generator, hits = np.random.default_rng(2), []
    for _ in range(800):
        conditions = generator.normal(-30 - spread**2 / 2, spread, (8, 1))
        tails = generator.normal(-10 - 0.3**2 / 2, 0.3, (8, 1))
        zero = np.zeros((8, 1))
        found = conditional_from_runs(0.0, np.zeros(1), (conditions, zero), (tails, zero), ACCOUNT)
        hits.append([each.low[0] <= truth <= each.high[0] for each, truth in ((found.tail, 10), (found.joint, 40))])
    assert (np.mean(hits, axis=0) > 0.92).all()
    assert (np.mean(hits, axis=0) < 0.985).all()
