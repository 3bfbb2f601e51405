"""Rademacher complexity against enumeration, and accuracies out of distribution."""

from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from genbounds.measures import critical_complexity, linear_rademacher, network_rademacher, scylla_score
from genbounds.models.ensembles import EnsembleTraining


@pytest.mark.parametrize("seed", range(5))
def test_the_linear_complexity_is_that_of_all_signs(seed):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((9, 3))
    truth = 2.0 / 9 * np.mean([np.linalg.norm(np.array(signs) @ x) for signs in product((-1, 1), repeat=9)])
    estimate, (low, high) = linear_rademacher(x, 2.0, rng, draws=4000)
    assert low <= truth <= high
    assert abs(estimate.value - truth) <= 4.5 * estimate.standard_error


def test_its_interval_covers():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((8, 2))
    truth = np.mean([np.linalg.norm(np.array(signs) @ x) for signs in product((-1, 1), repeat=8)]) / 8
    intervals = [linear_rademacher(x, 1.0, rng, draws=100)[0].interval for _ in range(400)]
    covered = np.mean([low <= truth <= high for low, high in intervals])
    assert abs(covered - 0.95) <= 4 * (0.95 * 0.05 / 400) ** 0.5


def test_the_lower_end_is_reached_by_two_equal_inputs():
    estimate, (low, _) = linear_rademacher(np.ones((2, 1)), 1.0, np.random.default_rng(0), draws=20000)
    assert estimate.value == pytest.approx(0.5, abs=0.02)
    assert low == pytest.approx(0.5)


def thresholds(x, signs):
    """Return the best correlation of a sign with a threshold on a line, either way round."""
    order = np.argsort(x)
    sums = np.concatenate([[0], np.cumsum(signs[order])])
    return np.abs(2 * sums - sums[-1]).max() / len(x)


def test_a_trained_network_stays_below_the_class_and_near_it_where_training_is_easy():
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(10, 1, generator=generator)
    exact = np.mean([thresholds(x[:, 0].numpy(), np.array(signs)) for signs in product((-1, 1), repeat=10)])
    found = network_rademacher(lambda: nn.Linear(1, 2), x, draws=60, training=EnsembleTraining(200, 10, "adam", 0.1))
    assert found.value <= exact + 4 * found.standard_error
    assert found.value >= exact - 0.25
    wide = nn.Sequential
    rich = network_rademacher(
        lambda: wide(nn.Linear(1, 300), nn.ReLU(), nn.Linear(300, 2)),
        3 * torch.arange(4.0)[:, None] - 4.5,
        draws=5,
        training=EnsembleTraining(600, 4, "adam", 0.01),
    )
    assert rich.value == pytest.approx(1)


def test_more_examples_are_harder_to_follow():
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(200, 3, generator=generator)
    few, many = (network_rademacher(lambda: nn.Linear(3, 2), x[:n], draws=8) for n in (10, 200))
    assert few.value > many.value + 0.2
    assert network_rademacher(lambda: nn.Linear(3, 2), x[:10], draws=8) == few


@given(st.floats(0, 1), st.floats(0, 1))
def test_the_score_is_below_the_accuracy_by_the_lag(inside, outside):
    score = float(scylla_score(inside, outside))
    assert -1 <= score <= outside
    assert score == pytest.approx(outside if outside >= inside else 2 * outside - inside)


def test_the_critical_level_and_how_sure_it_is():
    rng = np.random.default_rng(0)
    clear = critical_complexity([256, 250, 100], [250, 100, 90], 256, rng)
    assert clear.level == 1
    assert clear.probabilities[1] == pytest.approx(1)
    np.testing.assert_allclose(clear.gaps, np.array([6, 150, 10]) / 256)
    close = critical_complexity([200, 202], [180, 180], 256, rng)
    assert close.level == 1
    assert 0.3 < close.probabilities[0] < 0.6
    none = critical_complexity([1, 2, 3], [4, 5, 6], 10, rng)
    assert none.gaps.tolist() == [0, 0, 0]
    flat = critical_complexity([10, 10, 10], [10, 10, 10], 10, rng)
    assert flat.probabilities.tolist() == pytest.approx([1 / 3] * 3)
    with pytest.raises(ValueError, match="one length"):
        critical_complexity([1, 2], [1, 2, 3], 10, rng)


def test_bad_input_is_refused():
    rng = np.random.default_rng(0)
    for wrong in ([5], [5, 300], [5, 2.5], [-1, 3]):
        with pytest.raises(ValueError, match="inside"):
            critical_complexity(wrong, [1] * len(wrong), 256, rng)
    with pytest.raises(ValueError, match="outside"):
        scylla_score(0.5, 1.5)
    with pytest.raises(ValueError, match="inputs"):
        linear_rademacher([1.0, 2.0], 1.0, rng)
    with pytest.raises(ValueError, match="radius"):
        linear_rademacher([[1.0]], 0.0, rng)
