"""The Langevin world against its recursion, the covariance of its whole path, and published figures."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genbounds.worlds import LangevinQuadratic


def path(world):
    """Matrices of the path's mean as a function of the examples, and of its covariance given them (one coordinate)."""
    c, T = 1 - 2 * world.step, world.steps
    b = world.n if world.batch is None else world.batch
    signal, noise = np.zeros((T, world.n)), np.zeros((T, T))
    for t in range(T):
        if t:
            signal[t], noise[t] = c * signal[t - 1], c * noise[t - 1]
        start = t % (world.n // b) * b
        signal[t, start : start + b] += 2 * world.step / b
        noise[t, t] = math.sqrt(2 * world.step / world.inverse_temperature)
    return signal, noise @ noise.T


langevin = st.builds(
    lambda n, b, step, beta, steps: LangevinQuadratic(2, n * b, 0.9, step, beta, steps, batch=b),
    st.integers(1, 4),
    st.integers(1, 3),
    st.sampled_from([1e-3, 0.05, 0.4, 0.5, 0.8]),
    st.floats(0.1, 300.0),
    st.integers(1, 12),
)


@given(langevin)
def test_weights_noise_and_trajectory_are_those_of_the_recursion(world):
    signal, noise = path(world)
    assert world.weights == pytest.approx(signal[-1], rel=1e-11, abs=1e-15)
    assert world.noise_variance == pytest.approx(noise[-1, -1], rel=1e-11)
    whole = noise + world.scale**2 * signal @ signal.T
    information = np.linalg.slogdet(whole)[1] - np.linalg.slogdet(noise)[1]
    assert world.trajectory_information == pytest.approx(information, rel=1e-7, abs=1e-10)  # d / 2 = 1
    assert world.mutual_information <= world.trajectory_information * (1 + 1e-9)


@given(langevin)
def test_the_held_out_example_is_paid_for(world):
    """I(W_T; Z_i) <= I(W_T; Z_i | others) <= the relative entropy of the paths, on average over i."""
    single, given_others = world.individual_information, world.conditional_information
    assert np.all(single <= given_others * (1 + 1e-12))
    assert given_others.mean() <= world.held_out_divergence * (1 + 1e-12)


def test_the_held_out_divergence_is_that_of_the_two_paths():
    """Given the sample both paths are Gaussian with one covariance: KL is half the squared distance of their means."""
    world = LangevinQuadratic(1, 6, 1.2, step=0.2, inverse_temperature=7.0, steps=5, batch=2)
    signal, noise = path(world)
    precision, expected = np.linalg.inv(noise), []
    for i in range(world.n):
        replaced = np.eye(world.n)
        replaced[i] = 1 / (world.n - 1)
        replaced[i, i] = 0
        shift = signal @ (np.eye(world.n) - replaced)
        expected.append(world.scale**2 * np.trace(shift.T @ precision @ shift) / 2)
    assert world.held_out_divergence == pytest.approx(np.mean(expected), rel=1e-11)


def test_gradient_variances():
    world = LangevinQuadratic(3, 5, 1.2, step=0.2, inverse_temperature=7.0, steps=5)
    gradients = -2 * world.sample(np.random.default_rng(0), 20_000)  # at w = 0, and the same spread everywhere
    spread = gradients.var(axis=1, ddof=1).sum(axis=1)
    assert abs(spread.mean() - world.gradient_variances[0]) < 4 * spread.std() / math.sqrt(len(spread))


def unexplained(form, known):
    """Mean squared distance of a form in independent variables from the best linear function of known ones."""
    if len(known):
        form = form - np.linalg.lstsq(known.T, form, rcond=None)[0] @ known
    return form @ form


@settings(max_examples=15)
@given(langevin)
def test_moments_of_gradients_are_those_of_projections(world):
    """Every gradient is a linear form in the examples and the noise; the best centre is a projection."""
    n, T, b, d = world.n, world.steps, world.batch, world.dimension
    weights = np.zeros((T + 1, n + T))
    for t in range(T):
        start = t % (n // b) * b
        batch = np.zeros(n + T)
        batch[start : start + b] = world.scale / b
        single = np.zeros(n + T)
        single[start] = world.scale
        others = np.delete(np.eye(n, n + T), start, axis=0)
        gradient = 2 * (weights[t] - batch)
        assert world.gradient_spreads[t] == pytest.approx(d * unexplained(gradient, weights[1 : t + 1]), rel=1e-6)
        others_and_path = np.vstack([others, weights[1 : t + 1]])
        best = d * unexplained(2 * (weights[t] - single), others_and_path)
        assert world.centred_gradient_norms[t] == pytest.approx(best, rel=1e-6)
        plain = 4 * d * np.square(weights[t] - single).sum()
        assert world.squared_gradient_norms[t] == pytest.approx(plain, rel=1e-9)
        weights[t + 1] = weights[t] - world.step * gradient
        weights[t + 1, n + t] += world.noise_scales[t]


@given(langevin)
def test_what_steps_tell_adds_up_to_the_information_in_the_path(world):
    """The chain rule telescopes: d/2 ln(1 + eta^2 m_t / (d s_t^2)), summed, is exact for Gaussian gradients."""
    ratio = np.square(world.step_sizes / world.noise_scales) * world.gradient_spreads / world.dimension
    assert world.dimension / 2 * np.log1p(ratio).sum() == pytest.approx(world.trajectory_information, rel=1e-10)


def test_figures():
    """d = 2, n = 20, s = 1, eta = 0.05, beta = 200: what is exact stays, what bounds along the path add up grows."""
    figures = {
        1: (0.0200, 0.693, 0.693, 0.0526),
        20: (0.17568, 2.765, 3.045, 1.053),
        100: (0.19999, 2.996, 4.615, 5.263),
        1000: (0.2000, 2.996, 6.909, 52.63),
    }
    for steps, (gap, last, trajectory, held_out) in figures.items():
        world = LangevinQuadratic(2, 20, 1.0, step=0.05, inverse_temperature=200.0, steps=steps)
        assert world.gap == pytest.approx(gap, abs=6e-6)
        assert world.mutual_information == pytest.approx(last, abs=6e-4)
        assert world.trajectory_information == pytest.approx(trajectory, abs=6e-4)
        assert world.held_out_divergence == pytest.approx(held_out, rel=7e-4)
        a, v = 1 - 0.9**steps, 0.0005 * (1 - 0.9 ** (2 * steps)) / (1 - 0.81)
        assert world.weights == pytest.approx(np.full(20, a / 20), rel=1e-12)
        assert world.noise_variance == pytest.approx(v, rel=1e-12)
    assert world.conditional_information == pytest.approx(np.full(20, 0.668), abs=6e-4)


def test_one_example_has_no_others():
    assert LangevinQuadratic(1, 1, 1.0, 0.1, 1.0, 3).held_out_divergence == math.inf
