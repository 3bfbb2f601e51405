import math

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mpf

from genbounds.information import path_information
from genbounds.information.paths import signal_to_noise
from genbounds.worlds import LangevinQuadratic, NoisyBits

numbers = st.floats(1e-6, 1e6)


@st.composite
def paths(draw):
    steps = draw(st.integers(1, 6))
    return tuple(np.array([draw(numbers) for _ in range(steps)]) for _ in range(3))


@given(paths(), st.integers(1, 10**6))
def test_information_encloses_the_formula(path, dimension):
    value = path_information(*path, dimension)
    with mpmath.workdps(60):
        exact = mpmath.fsum(
            mpf(dimension) / 2 * mpmath.log1p(mpf(eta) ** 2 * mpf(m) / (mpf(s) ** 2 * dimension))
            for m, eta, s in zip(*map(np.ndarray.tolist, path), strict=True)
        )
        assert exact <= mpf(float(value)) <= exact * (1 + mpf("1e-13"))


@given(paths(), st.integers(1, 1000))
def test_orderings_and_limits(path, dimension):
    """Below the linear form, growing to it with the dimension; growing in moments and steps, falling in noise."""
    value = path_information(*path, dimension)
    linear = signal_to_noise(*path).sum() / 2
    assert value <= linear * (1 + 1e-12)
    assert value <= path_information(*path, dimension + 1) * (1 + 1e-12)
    moments, steps, scales = path
    ratios = np.square(steps / scales) * moments
    assert value >= (linear - np.square(ratios).sum() / (4 * dimension)) * (1 - 1e-12)  # x - ln(1 + x) <= x^2 / 2
    assert value <= path_information(2 * moments, steps, scales, dimension)
    assert value >= path_information(moments, steps, 2 * scales, dimension)
    assert value >= path_information(moments[:-1], steps[:-1], scales[:-1], dimension) * (1 - 1e-12) or len(steps) == 1
    # Only eta / s counts.
    assert path_information(moments, 4 * steps, 4 * scales, dimension) == value


@pytest.mark.parametrize("batch", [None, 5, 1])
def test_equality_for_gaussian_gradients(batch):
    """Quadratic loss on Gaussian examples: with posterior variances the sum is the information in the path."""
    world = LangevinQuadratic(3, 10, 1.3, step=0.05, inverse_temperature=50.0, steps=30, batch=batch)
    value = path_information(world.gradient_spreads, world.step_sizes, world.noise_scales, world.dimension)
    assert value == pytest.approx(world.trajectory_information, rel=1e-12)
    assert value >= world.mutual_information


def test_above_the_exact_information_of_noisy_bits():
    for n, curvature in ((1, 0.0), (3, 1.0), (5, 0.3)):
        world = NoisyBits.full_batch(n, (0.3, 0.2, 0.4), (0.5, 0.4, 0.6), curvature)
        value = path_information(world.gradient_spreads, world.step_sizes, world.noise_scales, 1)
        assert world.mutual_information <= value <= 1.5 * world.mutual_information + 0.2


def test_no_noise_no_steps_and_what_underflows():
    assert path_information([1.0], [0.1], [0.0], 3) == math.inf
    assert path_information([0.0], [0.1], [0.0], 3) < 1e-300
    assert path_information([1.0], [0.0], [0.0], 3) < 1e-300
    assert path_information([math.inf], [0.0], [1.0], 3) < 1e-300
    assert path_information([math.inf], [0.1], [1.0], 3) == math.inf
    assert path_information([1e-300], [1e-150], [1e150], 1) > 0


def test_shapes():
    assert isinstance(path_information([1.0, 2.0], 0.1, 0.2, 3), float)
    assert path_information(np.ones((4, 1, 7)), np.full(7, 0.1), 0.2, [3, 5]).shape == (4, 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([-1.0], [0.1], [0.1], 1), "gradient_spreads must be non-negative"),
        (([math.nan], [0.1], [0.1], 1), "gradient_spreads must be a number"),
        (([1.0], [-0.1], [0.1], 1), "step_sizes must be non-negative"),
        (([1.0], [math.inf], [0.1], 1), "step_sizes must be finite"),
        (([1.0], [0.1], [math.inf], 1), "noise_scales must be finite"),
        (([1.0], [0.1], [0.1], 0), "dimension must be a whole number of at least 1"),
    ],
)
def test_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        path_information(*arguments)
