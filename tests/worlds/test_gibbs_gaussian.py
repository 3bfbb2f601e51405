"""The Gaussian Gibbs world against its definition, its identity, and trainings."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad

from genbounds.worlds import GibbsGaussian

worlds = st.builds(
    GibbsGaussian,
    st.integers(1, 5),
    st.integers(1, 50),
    st.floats(0.01, 100.0),
    prior_scale=st.floats(0.01, 100.0),
    inverse_temperature=st.floats(1e-3, 1e3),
)


@given(worlds)
def test_the_gap_is_the_symmetrised_information(world):
    assert world.gap * world.inverse_temperature == pytest.approx(world.symmetrised_information, rel=1e-12)
    both = world.mutual_information + world.lautum
    assert world.symmetrised_information == pytest.approx(both, rel=1e-10)


def test_the_posterior_is_prior_times_exponential():
    """Its mean and variance by integration, for one sample in one dimension."""
    world = GibbsGaussian(1, 3, 1.0, prior_scale=0.8, inverse_temperature=1.7)
    sample = np.array([0.3, -1.1, 2.0])

    def density(w):
        return math.exp(-(w**2) / (2 * 0.8**2) - 1.7 * np.square(w - sample).mean())

    mass, first, second = (quad(lambda w, k=k: w**k * density(w), -9, 9, epsabs=1e-14)[0] for k in range(3))
    mean = first / mass
    assert mean == pytest.approx(world.weights @ sample, rel=1e-9)
    assert second / mass - mean**2 == pytest.approx(world.noise_variance, rel=1e-9)


def test_figures():
    world = GibbsGaussian(3, 12, 1.1, prior_scale=2.0, inverse_temperature=5.0)
    assert world.gap == pytest.approx(0.59024, abs=5e-6)
    assert world.mutual_information == pytest.approx(1.0275, abs=5e-5)
    assert world.lautum == pytest.approx(1.9237, abs=5e-5)
    gaps = world.simulate(np.random.default_rng(5), 40_000)
    assert abs(gaps.mean() - world.gap) < 4 * gaps.std() / math.sqrt(len(gaps))


def test_hot_and_cold():
    """No gap without heat's inverse; the sample mean, shrunk by nothing, when it is large."""
    hot = GibbsGaussian(2, 5, 1.0, prior_scale=1.0, inverse_temperature=1e-9)
    assert hot.gap < 1e-8
    cold = GibbsGaussian(2, 5, 1.0, prior_scale=1.0, inverse_temperature=1e9)
    assert cold.gap == pytest.approx(2 * 2 / 5, rel=1e-8)


@pytest.mark.parametrize("name", ["prior_scale", "inverse_temperature"])
def test_parameters_out_of_range(name):
    with pytest.raises(ValueError, match=f"{name} must be positive and finite, got 0.0"):
        GibbsGaussian(
            **({"dimension": 1, "n": 2, "scale": 1.0, "prior_scale": 1.0, "inverse_temperature": 1.0} | {name: 0.0})
        )
