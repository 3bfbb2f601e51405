"""The nearest-neighbour estimator: closed forms, invariance, and what it refuses."""

import math
import sys

import numpy as np
import pytest
from scipy.special import ndtr

from genbounds.information import nearest_neighbours

pytest.importorskip("sklearn")


def additive(noise, rng, n):
    x = rng.random(n)
    return x, x + rng.uniform(-noise, noise, n)


@pytest.mark.parametrize(("noise", "truth"), [(0.1, 0.1 - math.log(0.2)), (0.75, 1 / 3)])
def test_additive_noise(noise, truth):
    estimate = nearest_neighbours(*additive(noise, np.random.default_rng(0), 3000), seed=0)
    assert estimate.value == pytest.approx(truth, abs=0.05)
    assert 0 < estimate.standard_error < 0.1
    assert estimate.n == 3000


def test_gaussian_vectors_of_three_dimensions():
    rng = np.random.default_rng(1)
    x = rng.standard_normal((3000, 3))
    y = 0.5 * x + math.sqrt(0.75) * rng.standard_normal((3000, 3))
    assert nearest_neighbours(x, y, seed=0).value == pytest.approx(-1.5 * math.log(0.75), abs=0.1)


def test_a_change_of_scale_of_one_variable_changes_little():
    rng = np.random.default_rng(2)
    x = rng.standard_normal(2000)
    y = 0.75 * x + math.sqrt(1 - 0.75**2) * rng.standard_normal(2000)
    plain, mapped = nearest_neighbours(x, y, seed=0), nearest_neighbours(ndtr(x), np.arcsinh(y), seed=0)
    assert plain.value == pytest.approx(0.413339, abs=0.06)
    assert mapped.value == pytest.approx(plain.value, abs=0.05)


def test_the_seed_moves_the_groups_only():
    x, y = additive(0.5, np.random.default_rng(3), 300)
    first, again, other = (nearest_neighbours(x, y, seed=seed) for seed in (0, 0, 1))
    assert first == again
    assert first.value == other.value
    assert first.standard_error != other.standard_error


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.ones(50), "continuous, got a constant column"),
        (np.arange(50) // 2, "continuous, got repeated values"),
        (np.random.default_rng(0).random((50, 4)), "at most 3 dimensions, got 4"),
        (np.arange(49.0), "must have 49 rows"),
        (np.full(50, np.nan), "finite observations"),
    ],
)
def test_what_cannot_be_estimated_is_refused(x, message):
    with pytest.raises(ValueError, match=message):
        nearest_neighbours(x, np.random.default_rng(1).random(50), seed=0)


def test_too_few_observations_are_refused():
    with pytest.raises(ValueError, match="at least 10 rows"):
        nearest_neighbours(np.arange(6.0), np.arange(6.0) ** 2, seed=0)


def test_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.neighbors", None)
    with pytest.raises(ImportError, match=r"genbounds\[digits\]"):
        nearest_neighbours(np.arange(50.0), np.arange(50.0) ** 2, seed=0)
