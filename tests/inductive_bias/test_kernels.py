"""Covariances from inputs: closed forms, definiteness, invariances."""

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genbounds.inductive_bias.gaussian.kernels import linear_kernel, polynomial_kernel, rbf_kernel


def points(seed, n=7, d=3):
    return np.random.default_rng(seed).standard_normal((n, d))


def test_rbf_is_its_formula_in_high_precision():
    x = points(0) + 1e3  # far from the origin
    kernel = rbf_kernel(x, length_scale=0.7, variance=2.5)
    for i in range(len(x)):
        for j in range(len(x)):
            distance = mpmath.fsum((mpmath.mpf(a) - mpmath.mpf(b)) ** 2 for a, b in zip(x[i], x[j], strict=True))
            assert kernel[i, j] == pytest.approx(float(2.5 * mpmath.exp(-distance / (2 * mpmath.mpf(0.7) ** 2))), 1e-9)


def test_the_diagonal_is_exact_and_the_matrix_symmetric():
    kernel = rbf_kernel(points(1, 40), length_scale=0.1, variance=3.0)
    assert (kernel.diagonal() == 3.0).all()
    assert (kernel == kernel.T).all()


@given(st.integers(0, 10**6), st.sampled_from([1e-2, 1.0, 1e2]))
@settings(deadline=None, max_examples=25)
def test_positive_semi_definite_and_invariant(seed, scale):
    x = points(seed)
    rotation = np.linalg.qr(points(seed + 1, 3, 3))[0]
    for kernel in (
        lambda x: rbf_kernel(x, length_scale=scale),
        lambda x: linear_kernel(x, weight_variance=scale, bias_variance=0.3),
        lambda x: polynomial_kernel(x, degree=3, weight_variance=0.1, bias_variance=0.3),
    ):
        k = kernel(x)
        assert np.linalg.eigvalsh(k)[0] > -1e-12 * np.abs(k).max()
        np.testing.assert_allclose(kernel(x @ rotation), k, rtol=1e-9, atol=1e-12 * np.abs(k).max())
    np.testing.assert_allclose(rbf_kernel(x + 5, length_scale=scale), rbf_kernel(x, length_scale=scale), rtol=1e-9)


def test_polynomial_kernel_is_the_law_of_random_polynomials():
    """(b + w x y)^2 = b^2 + 2 b w x y + w^2 x^2 y^2: independent coefficients of 1, x, x^2."""
    x = np.array([-1.0, 0.5, 2.0])
    monomials = np.stack([np.full(3, 0.7), np.sqrt(2 * 0.7 * 0.2) * x, 0.2 * x**2])
    found = polynomial_kernel(x[:, None], degree=2, weight_variance=0.2, bias_variance=0.7)
    np.testing.assert_allclose(found, monomials.T @ monomials, rtol=1e-14)


def test_images_are_flattened():
    x = points(2, 4, 6)
    assert (linear_kernel(x.reshape(4, 2, 3)) == linear_kernel(x)).all()


def test_inputs_far_from_zero_keep_their_digits():
    """Two clusters a million length scales apart: within each, differences are those of the inputs."""
    near = np.random.default_rng(0).integers(0, 2**20, size=(5, 3)) / 2**20
    x = np.concatenate([near, near + 2.0**20])
    k = rbf_kernel(x, length_scale=1.0)
    np.testing.assert_allclose(k[:5, :5], k[5:, 5:], rtol=1e-15)
    np.testing.assert_allclose(k[:5, :5], np.exp(-np.square(near[:, None] - near).sum(-1) / 2), rtol=1e-15)
    assert (k[:5, 5:] == 0).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: rbf_kernel([1.0, 2.0], length_scale=1.0), r"inputs must be of shape \(n, ...\), got \(2,\)"),
        (lambda: rbf_kernel([[np.nan]], length_scale=1.0), "inputs must be a number"),
        (lambda: rbf_kernel([[1.0]], length_scale=0.0), "length_scale must be positive"),
        (lambda: rbf_kernel([[1.0]], length_scale=1.0, variance=-1.0), "variance must be positive"),
        (lambda: linear_kernel([[1.0]], weight_variance=-1.0), "weight_variance must be non-negative"),
        (lambda: polynomial_kernel([[1.0]], degree=1.5), "degree must be a whole number"),
    ],
)
def test_what_makes_no_kernel_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
