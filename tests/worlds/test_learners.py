"""Learners as tables: what each of them does with every sample."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genbounds.worlds import (
    FiniteWorld,
    Gibbs,
    blurred,
    classification,
    constant,
    erm,
    first_erm,
    gap_seeking,
    memoriser,
    tabulated,
)
from genbounds.worlds.learners import distinct_output_laws, output_laws, sample_numbers, sample_risks
from genbounds.worlds.samples import every_sample
from genbounds.worlds.strategies import classification_worlds, finite_worlds, learners

#: Two hypotheses that are right on one point each, and one that is half right on both.
WORLD = FiniteWorld([0.5, 0.5], [[0.0, 1.0], [1.0, 0.0], [0.5, 0.5]], [0.5, 0.25, 0.25])
SAMPLES = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])


def test_minimisers_of_the_empirical_risk():
    third = [1 / 3] * 3
    assert sample_risks(WORLD, SAMPLES).tolist() == [[0, 1, 0.5], [0.5] * 3, [0.5] * 3, [1, 0, 0.5]]
    assert erm(WORLD, SAMPLES).tolist() == [[1, 0, 0], third, third, [0, 1, 0]]
    assert first_erm(WORLD, SAMPLES).tolist() == [[1, 0, 0], [1, 0, 0], [1, 0, 0], [0, 1, 0]]


def test_ties_do_not_hang_on_rounding():
    """0.1 + 0.2 + 0.3 and 0.3 + 0.2 + 0.1 differ as floats."""
    world = FiniteWorld([0.2, 0.3, 0.5], [[0.1, 0.2, 0.3], [0.3, 0.2, 0.1]])
    sample = np.array([[0, 1, 2]])
    assert 0.1 + 0.2 + 0.3 != 0.3 + 0.2 + 0.1
    assert erm(world, sample).tolist() == [[0.5, 0.5]]


def test_gibbs_weighs_the_mean_loss():
    law = Gibbs(2.0)(WORLD, np.array([[0, 0, 0, 1]]))[0]
    weights = np.array([0.5, 0.25, 0.25]) * np.exp([-2 * 0.25, -2 * 0.75, -2 * 0.5])
    np.testing.assert_allclose(law, weights / weights.sum(), rtol=1e-14)
    np.testing.assert_allclose(Gibbs(0.0)(WORLD, SAMPLES), np.tile(WORLD.prior, (4, 1)), rtol=1e-15)
    np.testing.assert_allclose(Gibbs(1e6)(WORLD, SAMPLES[[0, 3]]), erm(WORLD, SAMPLES[[0, 3]]), atol=1e-100)


def test_a_gap_seeker_prefers_large_gaps_of_either_sign():
    law = gap_seeking(3.0)(WORLD, np.array([[0, 0]]))[0]
    weights = np.array([0.5, 0.25, 0.25]) * np.exp([3 * 2 * 0.25, 3 * 2 * 0.25, 0])
    np.testing.assert_allclose(law, weights / weights.sum(), rtol=1e-14)


def test_a_memoriser_tells_the_sample_as_far_as_its_class_allows():
    wide = FiniteWorld([0.5, 0.5], np.zeros((5, 2)))
    np.testing.assert_array_equal(memoriser(wide, SAMPLES), np.eye(5)[:4])
    np.testing.assert_array_equal(memoriser(WORLD, SAMPLES), np.eye(3)[[0, 1, 2, 0]])
    assert sample_numbers(WORLD, SAMPLES).tolist() == [0, 1, 2, 3]


def test_a_table_is_looked_up_by_the_ordered_sample():
    table = np.random.default_rng(0).dirichlet(np.ones(3), 4)
    np.testing.assert_array_equal(tabulated(table)(WORLD, SAMPLES[::-1]), table[::-1])
    with pytest.raises(ValueError, match="table must have 8 rows, got 4"):
        tabulated(table)(WORLD, np.zeros((1, 3), int))


def test_blurred_and_constant():
    np.testing.assert_array_equal(constant([0.2, 0.3, 0.5])(WORLD, SAMPLES), np.tile([0.2, 0.3, 0.5], (4, 1)))
    np.testing.assert_array_equal(blurred(memoriser, 1.0)(WORLD, SAMPLES), np.tile(WORLD.prior, (4, 1)))
    mixed = blurred(memoriser, 0.25)(WORLD, SAMPLES)
    np.testing.assert_allclose(mixed, 0.75 * memoriser(WORLD, SAMPLES) + 0.25 * WORLD.prior, rtol=1e-15)
    # a fair bit with reliability e comes out right with probability (1 + e) / 2
    bit = classification([0.5, 0.5], [0, 0], [0, 1])
    np.testing.assert_allclose(blurred(erm, 0.7)(bit, np.array([[0], [1]])), [[0.65, 0.35], [0.35, 0.65]])


@given(st.data(), st.one_of(finite_worlds(), classification_worlds()), st.integers(1, 2))
def test_every_learner_returns_laws(data, world, n):
    learner = data.draw(learners(world, n))
    samples, _ = every_sample(world, n)
    laws = output_laws(world, learner, samples)
    assert laws.shape == (len(samples), len(world.prior))
    again = np.concatenate([samples[::-1], samples])
    np.testing.assert_array_equal(distinct_output_laws(world, learner, again), np.concatenate([laws[::-1], laws]))


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (
            [[1.0, 0.0, 0.0]] * 3,
            r"learner's output must be rows of shape \(4, 3\) that add up to 1, got shape \(3, 3\)",
        ),
        ([[0.5, 0.4, 0.0]] * 4, "learner's output must be rows .* sums from .*0.9"),
        ([[1.5, -0.5, 0.0]] * 4, r"learner's output must be in \[0, 1\], got 1.5"),
        ([[np.nan, 0.5, 0.5]] * 4, "learner's output must be a number"),
    ],
)
def test_what_is_no_law_is_refused(output, message):
    with pytest.raises(ValueError, match=message):
        output_laws(WORLD, lambda *_: np.array(output), SAMPLES)


@pytest.mark.parametrize(("temperature", "message"), [(-1.0, "non-negative"), (np.inf, "finite"), (np.nan, "number")])
def test_temperatures_that_are_none_are_refused(temperature, message):
    with pytest.raises(ValueError, match=f"inverse_temperature must be .*{message}"):
        Gibbs(temperature)
