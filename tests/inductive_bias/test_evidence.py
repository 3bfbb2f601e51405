import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal

from genbounds.inductive_bias.gaussian.network_kernels import network_kernel
from genbounds.inductive_bias.simplicity.evidence import (
    classification_information,
    classification_limit,
    regression_log_evidence,
)
from genbounds.pac_bayes.realisable import realisable, realisable_from_curve

HALF = np.full((4, 4), 0.5) + 0.5 * np.eye(4)


def exact(labels):
    """-ln P(U) of a kernel with all correlations 1/2."""
    n, k = len(labels), int(np.sum(labels))
    return -(math.lgamma(k + 1) + math.lgamma(n - k + 1) - math.lgamma(n + 2))


@pytest.mark.parametrize("labels", [[0, 0, 0, 0], [1, 0, 0, 0], [1, 0, 1, 0], [1, 1, 1, 1]])
def test_orthants_with_a_closed_form(labels):
    curve = classification_information(HALF, labels)
    assert abs(curve.nats[0] - exact(labels)) < 5 * curve.standard_error[0]
    assert curve.low[0] < curve.nats[0] < curve.high[0]
    assert (curve.levels[0], curve.samples, curve.unbiased, curve.warnings) == (0.0, 10_000, True, ())


def test_how_classes_are_written_does_not_matter():
    for labels in ([0, 1, 1, 0], [-1, 1, 1, -1], np.array([False, True, True, False])):
        assert classification_information(HALF, labels).nats == classification_information(HALF, [0, 1, 1, 0]).nats


def test_intervals_and_limits_cover():
    """Over seeds: the interval nearly as often as it says, the limits never too seldom."""
    labels, runs, delta = np.arange(30) % 3 == 0, 200, 0.2
    kernel = np.full((30, 30), 0.5) + 0.5 * np.eye(30)
    truth, hit, failed, markov = exact(labels), 0, 0, 0
    for seed in range(runs):
        curve = classification_information(kernel, labels, draws=200, seed=seed, confidence=0.9)
        hit += curve.low[0] <= truth <= curve.high[0]
        markov += curve.upper_limit(delta).value[0] < truth
        failed += classification_limit(kernel, labels, delta, draws=200, seed=seed).value < truth
    assert 0.84 * runs <= hit <= 0.97 * runs
    assert markov == 0
    assert failed <= delta * runs + 3 * math.sqrt(delta * runs)


def test_few_draws_give_a_limit_too():
    """Three draws in a hundred dimensions: no estimate, but a limit, a few nats above."""
    labels = np.arange(100) % 2
    kernel = np.full((100, 100), 0.5) + 0.5 * np.eye(100)
    limit = classification_limit(kernel, labels, 0.01, draws=3)
    assert exact(labels) < limit.value < exact(labels) + 8
    assert limit.delta == 0.01


def test_a_heavy_tail_is_said():
    """A long chain of opposite labels on points that lie ever closer: weights without a variance."""
    x = np.linspace(0, 1, 120)[:, None]
    kernel = np.exp(-((x - x.T) ** 2) / (2 * 0.05**2)) + 1e-4 * np.eye(120)
    curve = classification_information(kernel, np.random.default_rng(0).integers(0, 2, 120), draws=100)
    assert np.isnan(curve.standard_error[0])
    assert "heavy tail" in curve.warnings[0]
    assert math.isinf(curve.high[0]) or curve.high[0] > curve.nats[0]


def test_infinite_networks_find_structure_simpler_than_noise():
    """Labels by a linear rule take fewer nats than random ones, and these about one bit an example or more."""
    generator = np.random.default_rng(1)
    inputs = generator.standard_normal((60, 5))
    kernel = network_kernel(inputs, depth=2)
    rule = classification_information(kernel, inputs[:, 0] > 0)
    noise = classification_information(kernel, generator.integers(0, 2, 60))
    assert rule.high[0] < 25 < 40 < noise.low[0]


def test_the_bound_for_an_infinite_network():
    """Markov's inequality or bets: both limits give the theorem a number, the second one a smaller one."""
    inputs = np.random.default_rng(1).standard_normal((60, 5))
    kernel, labels = network_kernel(inputs, depth=2), inputs[:, 0] > 0
    by_markov = realisable_from_curve(classification_information(kernel, labels), 60, 0.04, 0.01)
    limit = classification_limit(kernel, labels, 0.01)
    by_bets = realisable(limit, 60, 0.04)
    assert classification_information(kernel, labels).nats[0] < limit.value
    assert by_bets < by_markov.value[0] < 0.5
    assert by_markov.delta == 0.05


@settings(max_examples=30)
@given(st.integers(1, 6), st.integers(1, 3), st.floats(0, 2), st.integers(0, 10**6))
def test_regression_evidence_is_a_log_density(n, outputs, noise, seed):
    generator = np.random.default_rng(seed)
    factor, targets = generator.standard_normal((n, n + 1)), generator.standard_normal((n, outputs))
    kernel = factor @ factor.T + 0.1 * np.eye(n)
    law = multivariate_normal(np.zeros(n), kernel + noise * np.eye(n))
    expected = sum(law.logpdf(column) for column in targets.T)
    assert regression_log_evidence(kernel, targets, noise) == pytest.approx(expected, rel=1e-9, abs=1e-9)
    # Of other units it is another number: no probability.
    scaled = regression_log_evidence(100 * kernel, 10 * targets, 100 * noise)
    assert scaled == pytest.approx(expected - n * outputs * math.log(10), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        (classification_information, (HALF, [0, 1, 2, 0]), "labels must be 0 and 1, or -1 and 1, got"),
        (classification_information, (HALF, [0, 1, -1, 0]), "labels must be 0 and 1, or -1 and 1"),
        (classification_information, (HALF, [0, 1]), "kernel must have a row and a column for each label, got"),
        (classification_information, (np.ones((2, 2)), [0, 1]), "covariance must be positive definite"),
        (classification_limit, (HALF, [0, 0, 1, 1], 0.0), "delta must be strictly between 0 and 1"),
        (regression_log_evidence, (HALF, [0.0, 1.0]), "kernel must have a row and a column for each target"),
        (regression_log_evidence, (np.ones((2, 2)), [0.0, 1.0]), "kernel must be positive definite with the noise"),
        (regression_log_evidence, ([[2.0, 0.5], [-0.5, 2.0]], [0.0, 1.0]), "kernel must be symmetric"),
        (regression_log_evidence, (HALF, [0.0, 1.0, 1.0, 1.0], -1.0), "noise must be non-negative"),
    ],
)
def test_bad_arguments_are_refused(function, arguments, message):
    with pytest.raises(ValueError, match=message):
        function(*arguments)
