import math

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import erf

from genbounds.information.contraction import (
    channel_contraction,
    composed_contraction,
    dropout_contraction,
    gaussian_input_contraction,
    gaussian_noise_contraction,
)


def kept(r):
    """E tanh^2(r (r + N)) in another form, 1 - exp(-r^2/2) E sech(r N), by Gauss-Legendre quadrature, 30 digits."""
    with mpmath.workdps(30):
        r = mpmath.mpf(r)
        cuts = [0, 1, 2, 4, 7, 12, 25]
        return 1 - 2 * mpmath.exp(-(r**2) / 2) * mpmath.quad(lambda x: mpmath.npdf(x) * mpmath.sech(r * x), cuts)


@given(st.one_of(st.floats(1e-4, 9.5), st.sampled_from([0.0314, 0.38, 2.0**-6, 8.999, 9.0])))
@settings(max_examples=40)
def test_gaussian_noise_against_quadrature(r):
    value, exact = gaussian_noise_contraction(2 * r, 1.0), kept(r)
    assert exact <= value
    assert float(value) <= float(exact) * (1 + 2e-14)


@given(st.floats(1e-320, 1e-5))
def test_gaussian_noise_next_to_nothing(r):
    """r^2 (1 - 2 r^2 + ...): no underflow on the way, and never below."""
    value = gaussian_noise_contraction(2 * r, 1.0)
    assert value >= mpmath.mpf(r) ** 2 * (1 - 2 * mpmath.mpf(r) ** 2)
    assert value <= r * r * (1 + 1e-13) + 1e-323


def test_gaussian_noise_published_numbers():
    r = np.array([0.1, 0.3, 0.5, 1, 2, 3])
    value = gaussian_noise_contraction(2 * r, 1.0)
    assert value.round(5).tolist() == [0.0099, 0.0829, 0.20405, 0.5504, 0.9314, 0.99585]
    dobrushin, cap = erf(r / math.sqrt(2)), -np.expm1(-(r**2))
    assert dobrushin.round(4).tolist() == [0.0797, 0.2358, 0.3829, 0.6827, 0.9545, 0.9973]
    assert np.all(value < dobrushin)
    assert np.all(value < cap)


@given(st.floats(0, 20), st.floats(0, 20))
def test_gaussian_noise_grows_with_the_ratio(a, b):
    low, high = sorted((a, b))
    assert gaussian_noise_contraction(low, 1.0) <= gaussian_noise_contraction(high, 1.0)
    assert gaussian_noise_contraction(3 * high, 3.0) == pytest.approx(gaussian_noise_contraction(high, 1.0), rel=1e-13)


def test_gaussian_noise_at_the_ends():
    diameters, scales = [0.0, 0.0, 1.0, np.inf, np.inf], [0.0, 1.0, 0.0, 0.0, 5.0]
    assert gaussian_noise_contraction(diameters, scales).tolist() == [0, 0, 1, 1, 1]
    for arguments in ((-1, 1), (1, -1), (np.nan, 1), (1, np.nan), (1, np.inf)):
        with pytest.raises(ValueError, match="must be"):
            gaussian_noise_contraction(*arguments)


@pytest.mark.parametrize("r", [0.4, 1.0, 2.5])
def test_gaussian_noise_quantised(r):
    """Cut into fine cells the noise is a finite channel, which contracts no less than its cells let through."""
    cuts = np.concatenate([[-np.inf], np.linspace(-r - 6, r + 6, 400), [np.inf]])
    inputs = np.linspace(-r, r, 5)
    mass = np.diff((1 + erf((cuts - inputs[:, None]) / math.sqrt(2))) / 2, axis=1)
    quantised = channel_contraction(mass / mass.sum(axis=1, keepdims=True))
    assert quantised <= gaussian_noise_contraction(2 * r, 1.0)
    assert quantised == pytest.approx(gaussian_noise_contraction(2 * r, 1.0), abs=2e-3)


@given(st.floats(0, 1), st.integers(1, 3))
def test_dropout_is_a_finite_channel(rate, units):
    """All 2^d masks of an input; two inputs without a 0, one with a ReLU's 0: the pair without attains the formula."""
    inputs = np.array([[1, 2, 3], [4, 5, 6], [0, 5, 1]])[:, :units]
    masks = np.array(list(np.ndindex(*(2,) * units)))
    weights = np.prod(np.where(masks == 1, 1 - rate, rate), axis=1)
    outputs, places = np.unique((inputs[:, None] * masks).reshape(-1, units), axis=0, return_inverse=True)
    channel = np.zeros((3, len(outputs)))
    np.add.at(channel, (np.repeat(np.arange(3), len(masks)), places.ravel()), np.tile(weights, 3))
    channel /= channel.sum(axis=1, keepdims=True)
    assert channel_contraction(channel) == pytest.approx(dropout_contraction(rate, units), abs=1e-13)


def test_drop_connect_is_a_finite_channel():
    """2 inputs, 2 outputs, 4 weights: 1 - rate^4, not 1 - rate^2."""
    rate, inputs, weights = 0.7, np.array([[1.0, 3.0], [2.0, 5.0]]), np.array([[0.7, 1.1], [-0.3, 0.9]])
    masks = np.array(list(np.ndindex(2, 2, 2, 2))).reshape(-1, 2, 2)
    law = np.prod(np.where(masks == 1, 1 - rate, rate), axis=(1, 2))
    given_output = np.einsum("mjk,ik->imj", masks * weights, inputs).round(9).reshape(-1, 2)
    outputs, places = np.unique(given_output, axis=0, return_inverse=True)
    channel = np.zeros((2, len(outputs)))
    np.add.at(channel, (np.repeat([0, 1], len(masks)), places.ravel()), np.tile(law, 2))
    channel /= channel.sum(axis=1, keepdims=True)
    assert channel_contraction(channel) == pytest.approx(0.7599, abs=1e-12)
    assert dropout_contraction(rate, 4) == pytest.approx(0.7599, abs=1e-14)


@given(st.floats(0, 1), st.integers(1, 10**6))
def test_dropout_is_rounded_up(rate, parts):
    with mpmath.workdps(40):
        exact = 1 - mpmath.mpf(rate) ** parts
        assert exact <= mpmath.mpf(float(dropout_contraction(rate, parts)))
        assert float(dropout_contraction(rate, parts)) <= float(exact) * (1 + 1e-14) + 1e-323


def test_gaussian_input_is_the_limit_of_small_correlations():
    """sup over U jointly Gaussian with X, of correlation c, of I(U;Y) / I(U;X) = ln(1 - c^2 rho^2) / ln(1 - c^2)."""
    for snr, squared in ((0.5, 1 / 3), (1, 0.5), (4, 0.8)):
        value = gaussian_input_contraction(snr, 1.0)
        assert value == pytest.approx(squared, rel=1e-14)
        c = np.linspace(1e-3, 0.999, 300)
        ratios = np.log1p(-(c**2) * squared) / np.log1p(-(c**2))
        assert np.all(ratios <= value)
        assert ratios.max() == pytest.approx(value, rel=1e-6)


def test_gaussian_input_is_above_the_exact_quotient():
    signal, noise = [0.0, 0.0, 3.0, 1e-300, 1e300, 1.0], [0.0, 1.0, 0.0, 1e300, 1e-300, 3.0]
    value = gaussian_input_contraction(signal, noise)
    assert value.round(12).tolist() == [0, 0, 1, 0, 1, 0.25]
    for arguments in ((-1, 1), (np.inf, 1), (1, np.inf), (np.nan, 1)):
        with pytest.raises(ValueError, match="must be"):
            gaussian_input_contraction(*arguments)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_composition_is_the_product_rounded_up(factors):
    with mpmath.workdps(400):
        exact = mpmath.fprod(mpmath.mpf(factor) for factor in factors)
        assert exact <= mpmath.mpf(float(composed_contraction(factors))) <= exact * (1 + mpmath.mpf("4e-15")) + 1e-322
    assert composed_contraction([factors, factors]).shape == (2,)


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (dropout_contraction, (1.5, 2)),
        (dropout_contraction, (0.5, 0)),
        (dropout_contraction, (0.5, 1.5)),
        (dropout_contraction, (np.nan, 1)),
        (composed_contraction, ([0.5, 1.1],)),
        (composed_contraction, ([np.nan],)),
    ],
)
def test_ranges(function, arguments):
    with pytest.raises(ValueError, match="must be"):
        function(*arguments)
