"""Gradients of linear regression against symbolic moments, simulation and autograd."""

import itertools

import numpy as np
import pytest
import sympy
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from genbounds.worlds import GaussianRegression

COVARIANCE = np.array([[2.0, 0.5, -0.3], [0.5, 1.0, 0.2], [-0.3, 0.2, 0.7]])


def gaussian_moment(covariance, indices):
    """E x_i x_j ... of a centred Gaussian, by the sum over all pairings."""
    if not indices:
        return sympy.Integer(1)
    first, rest = indices[0], indices[1:]
    pairs = range(len(rest))
    return sum(covariance[first, rest[j]] * gaussian_moment(covariance, rest[:j] + rest[j + 1 :]) for j in pairs)


def test_moments_are_those_of_all_pairings():
    """E g_j and E g_j^2 of g_j = (u . x - e) x_j, expanded symbolically: no formula of the world enters."""
    covariance, u, s = (
        sympy.Matrix(sympy.nsimplify(sympy.Matrix(COVARIANCE))),
        sympy.Matrix([1, -2, 3]),
        sympy.Rational(1, 2),
    )
    world = GaussianRegression([1.5, -2.0, 3.5], [0.5, 0.0, 0.5], 0.5, COVARIANCE)
    for j in range(3):
        mean = sum(u[i] * gaussian_moment(covariance, (i, j)) for i in range(3))
        square = (
            sum(
                u[i] * u[k] * gaussian_moment(covariance, (i, k, j, j))
                for i, k in itertools.product(range(3), repeat=2)
            )
            + s**2 * covariance[j, j]
        )
        assert world.mean_gradient[j] == pytest.approx(float(mean), rel=1e-12)
        assert world.variances[j] == pytest.approx(float(square - mean**2), rel=1e-12)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.floats(-3, 3), min_size=1, max_size=6), st.floats(0.0, 2.0))
def test_isotropic_closed_forms(truth, s):
    d, squared = len(truth), float(np.square(truth).sum())
    if squared < 1e-6:
        return
    world = GaussianRegression(np.zeros(d), truth, s)
    assert world.coherence == pytest.approx(squared / ((d + 2) * squared + d * s**2), rel=1e-12)
    assert world.coherence == pytest.approx(1 / (d + 2 + d * s**2 / squared), rel=1e-12)
    snr = np.square(truth) / (squared + np.square(truth) + s**2)
    assert world.signal_to_noise == pytest.approx(snr, rel=1e-12)
    u = -world.truth
    general = u @ u / (d * (u @ u) + 2 * (u @ u) + s**2 * d)
    assert world.coherence == pytest.approx(general, rel=1e-12)
    assert GaussianRegression(3 * np.array(truth), truth, 0.0).coherence == pytest.approx(1 / (d + 2), rel=1e-12)
    assert GaussianRegression(truth, truth, 0.7).coherence == 0


def test_coherence_with_covariance():
    world = GaussianRegression([1.0, 0.0, -1.0], [0.0, 0.5, 0.0], 0.4, COVARIANCE)
    u = np.array([1.0, -0.5, -1.0])
    first, second = u @ COVARIANCE @ u, u @ COVARIANCE @ COVARIANCE @ u
    trace = np.trace(COVARIANCE)
    assert world.coherence == pytest.approx(second / (trace * first + 2 * second + 0.16 * trace), rel=1e-12)


def test_the_published_figures():
    """0.33332 for d = 1 and 0.14258 for d = 5 were found by simulation."""
    assert GaussianRegression([1.0], [0.0], 0.0).coherence == pytest.approx(1 / 3)
    assert GaussianRegression(np.ones(5), np.zeros(5), 0.0).coherence == pytest.approx(1 / 7)


@pytest.mark.parametrize("covariance", [None, COVARIANCE])
def test_samples_have_the_moments(covariance):
    world = GaussianRegression([1.0, 0.0, -1.0], [0.0, 0.5, 0.0], 0.4, covariance)
    drawn = world.sample(np.random.default_rng(1), 400_000)
    error = np.sqrt(world.variances / len(drawn))
    assert np.all(np.abs(drawn.mean(axis=0) - world.mean_gradient) < 4 * error)
    assert drawn.var(axis=0) == pytest.approx(world.variances, rel=0.03)


def test_random_labels():
    """Labels drawn apart from the inputs: no coherence at weights 0, all of the world's own elsewhere."""
    generator = np.random.default_rng(2)
    real = GaussianRegression(np.zeros(4), [1.0, -1.0, 0.5, 2.0], 0.3)
    inputs, labels = real.examples(generator, 200_000)
    shuffled = generator.permutation(labels)
    gradients = real.gradients(inputs, shuffled)
    alpha = np.square(gradients.mean(axis=0)).sum() / np.square(gradients).sum(axis=1).mean()
    assert alpha < 20 / len(labels)
    random = GaussianRegression(np.zeros(4), np.zeros(4), float(labels.std()))
    assert random.coherence == 0
    assert random.second_moment == pytest.approx(np.square(gradients).sum(axis=1).mean(), rel=0.02)


def test_gradients_are_those_of_autograd():
    world = GaussianRegression([1.0, 0.0, -1.0], [0.0, 0.5, 0.0], 0.4, COVARIANCE)
    inputs, labels = world.examples(np.random.default_rng(0), 6)
    expected = world.gradients(inputs, labels)
    for x, y, wanted in zip(torch.tensor(inputs), torch.tensor(labels), expected, strict=True):
        w = torch.tensor(world.weights, requires_grad=True)
        (gradient,) = torch.autograd.grad((w @ x - y) ** 2 / 2, w)
        assert gradient.numpy() == pytest.approx(wanted, rel=1e-12, abs=1e-14)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (([1.0], [1.0], 0.0), "label_noise must be positive at the true weights"),
        (([1.0], [1.0, 2.0], 0.0), "truth and covariance must fit the 1 weights"),
        (([1.0, 2.0], [1.0, 0.0], 0.0, np.eye(3)), "truth and covariance must fit the 2 weights"),
        (([1.0, 2.0], [1.0, 0.0], 0.0, [[1.0, 0.5], [0.4, 1.0]]), "covariance must be symmetric"),
        (([1.0, 2.0], [1.0, 0.0], 0.0, [[1.0, 2.0], [2.0, 1.0]]), "positive definite"),
        (([1.0], [0.0], -1.0), "label_noise must be non-negative"),
    ],
)
def test_what_cannot_be(arguments, complaint):
    with pytest.raises(ValueError, match=complaint):
        GaussianRegression(*arguments)
