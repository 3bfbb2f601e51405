"""The linear network against trained networks, integrals, series in arbitrary precision, and published figures."""

import math

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtr

from genbounds.numerics import wasserstein1_normal
from genbounds.worlds import BinaryGaussianLinearNetwork

#: The setting of the published figures: abs(mu)^2 / s^2 = 3.257, n = 10, d = 6.
PUBLISHED = BinaryGaussianLinearNetwork(6, 10, 1.5, signal=math.sqrt(7.3284))
NETWORKS = [
    PUBLISHED,
    BinaryGaussianLinearNetwork(4, 5, 0.7, signal=0.5, widths=(4, 3, 2)),
    BinaryGaussianLinearNetwork(3, 2, 1.0, signal=0.0),
    BinaryGaussianLinearNetwork(2, 20, 1.0, signal=0.3, widths=(1,)),
    BinaryGaussianLinearNetwork(30, 8, 2.0, signal=3.0),
]
every_network = pytest.mark.parametrize("network", NETWORKS, ids=str)
networks = st.builds(
    lambda d, n, s, signal, kept: BinaryGaussianLinearNetwork(d, n, s, signal * s, (d, min(d, kept))),
    st.integers(1, 8),
    st.integers(2, 60),
    st.floats(0.1, 10.0),
    st.floats(0.0, 4.0),
    st.integers(1, 8),
)


def trained(network, generator, runs):
    """Weights of trained networks and the margins of their training examples, over the coordinates that count."""
    inputs, labels = network.sample(generator, runs)
    signed = (labels[..., None] * inputs)[..., : network.ranks[-1]]
    weights = signed.mean(axis=1)
    return weights, np.einsum("rnd,rd->rn", signed, weights), signed


def close(values, truth, errors=4.5):
    assert abs(values.mean() - truth) < errors * values.std() / math.sqrt(len(values)) + 1e-12


@every_network
def test_risks_are_those_of_trained_networks(network):
    generator = np.random.default_rng(11)
    close(network.simulate(generator, 40_000), network.gap)
    weights, margins, _ = trained(network, generator, 40_000)
    close((margins < 0).mean(axis=1), network.train_risk)
    lengths = np.linalg.norm(weights, axis=1)
    close(ndtr(-network.signal * weights[:, 0] / (network.scale * lengths)), network.risk)
    fresh = network.scale * generator.standard_normal(weights.shape)
    fresh[:, 0] += network.signal
    new = (fresh * weights).sum(axis=1)
    close((new < 0).astype(float), network.risk)
    close(np.maximum(0, 1 - new) - np.maximum(0, 1 - margins).mean(axis=1), network.hinge_gap)


@every_network
def test_relative_entropies_are_those_of_gaussians_given_the_weights(network):
    """Textbook formulas with covariance matrices, averaged over weights that were drawn."""
    generator = np.random.default_rng(4)
    mean = np.zeros(network.dimension)
    mean[0] = network.signal
    drawn = mean + network.scale / math.sqrt(network.n) * generator.standard_normal((4000, network.dimension))
    shrunk, s2 = 1 - 1 / network.n, network.scale**2
    for row, r in zip(network.layer_divergences, network.ranks, strict=False):
        values = [(r * shrunk - r - r * math.log(shrunk) + np.square(v[:r] - mean[:r]).sum() / s2) / 2 for v in drawn]
        close(np.array(values), row[0])
        assert np.all(row == row[0])
    v, m = drawn[:, : network.ranks[-1]], mean[: network.ranks[-1]]
    variance = s2 * np.square(v).sum(axis=1)
    values = (shrunk - 1 - math.log(shrunk) + np.square((v * (v - m)).sum(axis=1)) / variance) / 2
    close(values, network.output_divergence)
    close(np.sqrt(values), network.output_root_divergence)
    lengths = np.linalg.norm(v, axis=1)
    spread = network.scale * lengths
    close(wasserstein1_normal(lengths**2, math.sqrt(shrunk) * spread, v @ m, spread), network.output_distance)
    moved = np.sqrt(np.square(v - m).sum(axis=1) + s2 * len(m) * (1 - math.sqrt(shrunk)) ** 2)
    close(np.maximum(1, lengths) * moved, network.input_distance)


@every_network
def test_what_is_true_of_examples_given_the_weights(network):
    """Y X given V has mean V and variance s^2 (1 - 1/n); the label is independent of both."""
    generator = np.random.default_rng(8)
    inputs, labels = network.sample(generator, 30_000)
    signed = labels[..., None] * inputs
    weights = signed.mean(axis=1)
    residual = signed[:, 0] - weights
    close(np.square(residual).mean(axis=1), network.scale**2 * (1 - 1 / network.n))
    close((residual * weights).mean(axis=1), 0)
    close(labels[:, 0] * weights[:, 0], 0)
    close(labels[:, 0] * residual[:, 0], 0)


@every_network
def test_integrals_agree_with_the_series(network):
    """The quadrature on functions whose average is known by another way."""
    n, s = network.n, network.scale
    errors = network._expect(lambda length, inner: ndtr(-length / (s * math.sqrt(1 - 1 / n))) + 0 * inner)
    assert errors == pytest.approx(network.train_risk, rel=1e-6)
    if network.ranks[-1] > 1:  # in one dimension the error on new data jumps with the sign of V
        errors = network._expect(lambda length, inner: ndtr(-inner / (s * length)))
        assert errors == pytest.approx(network.risk, rel=1e-6)
    squared = network._expect(lambda length, inner: np.square(length - inner / length) / s**2)
    assert (network._excess + squared) / 2 == pytest.approx(network.output_divergence, rel=1e-6)


@settings(max_examples=20)
@given(networks)
def test_series_in_arbitrary_precision(network):
    r, n = network.ranks[-1], network.n
    with mpmath.workdps(30):
        rate = mpmath.mpf(n) * mpmath.mpf(network.signal) ** 2 / (2 * mpmath.mpf(network.scale) ** 2)

        def poisson(k):
            return mpmath.exp(-rate + k * mpmath.log(rate) - mpmath.loggamma(k + 1)) if rate else mpmath.mpf(k == 0)

        top = int(rate + 12 * mpmath.sqrt(rate) + 40)
        inverse = sum(poisson(k) / (r + 2 * k) for k in range(top))
        q = r - 2 * rate * (r - 1) * inverse
        exact = (-mpmath.mpf(1) / n - mpmath.log(1 - mpmath.mpf(1) / n) + q / n) / 2
        assert network.output_divergence == pytest.approx(float(exact), rel=1e-9)


@given(networks)
def test_the_layers_in_order(network):
    """Relative entropy never grows from layer to layer, and bounds the gap at each; so does transport at the output."""
    divergences = network.layer_divergences[:, 0]
    assert np.all(np.diff(divergences) <= 1e-15)
    assert -1e-15 <= network.gap <= 0.5 * math.sqrt(2) * network.output_root_divergence
    assert network.output_root_divergence <= math.sqrt(divergences[-1]) * (1 + 1e-9)
    assert network.individual_information[0] == divergences[0]
    assert abs(network.hinge_gap) <= network.output_distance <= network.input_distance  # it may fall on new data


@given(networks, st.floats(1e-3, 1e3))
def test_scale_changes_no_risk_and_no_information(network, factor):
    other = BinaryGaussianLinearNetwork(
        network.dimension, network.n, factor * network.scale, factor * network.signal, network.widths
    )
    assert other.risk == pytest.approx(network.risk, rel=1e-9)
    assert other.train_risk == pytest.approx(network.train_risk, rel=1e-9)
    assert other.output_divergence == pytest.approx(network.output_divergence, rel=1e-9)


def test_limits_of_the_signal():
    n, d = 10, 6
    none = BinaryGaussianLinearNetwork(d, n, 1.0, signal=0.0)
    assert none.risk == pytest.approx(0.5, rel=1e-12)
    assert none.output_divergence == pytest.approx((-1 / n - math.log(1 - 1 / n) + d / n) / 2, rel=1e-12)
    strong = BinaryGaussianLinearNetwork(d, n, 1.0, signal=40.0)
    assert strong.output_divergence == pytest.approx(-math.log(1 - 1 / n) / 2, rel=1e-2)
    assert strong.risk < 1e-300
    # In one dimension V is right, or wrong on everything: Phi(-sqrt(n) a) (1 - 2 Phi(-a)) + Phi(-a) with a = mu / s.
    single, a = BinaryGaussianLinearNetwork(1, n, 2.0, signal=1.0), 0.5
    expected = ndtr(-math.sqrt(n) * a) * (1 - 2 * ndtr(-a)) + ndtr(-a)
    assert single.risk == pytest.approx(expected, rel=1e-12)


def test_figures():
    """To the digits published where they are exact; 0.1691, 1.544 and 0.078 were averages over draws."""
    network = PUBLISHED
    q = (2 * network.output_divergence + 1 / 10 + math.log(1 - 1 / 10)) * 1.5**2
    assert q == pytest.approx(0.3547, abs=6e-5)
    assert network.train_risk == pytest.approx(0.02575, abs=6e-6)
    assert network.risk == pytest.approx(0.04755, abs=1.2e-5)
    assert network.gap == pytest.approx(0.0218, abs=5e-5)
    bounds = 0.5 * np.sqrt(2 * network.layer_divergences[:, 0])
    assert bounds[[0, -1]] == pytest.approx([0.3975, 0.2019], abs=6e-5)
    assert 0.5 * math.sqrt(2) * network.output_root_divergence == pytest.approx(0.1691, rel=4e-3)
    assert network.output_distance == pytest.approx(1.544, rel=4e-3)
    assert network.hinge_gap == pytest.approx(0.0744, abs=5e-5)
    figures = BinaryGaussianLinearNetwork(6, 10, 1.0, signal=0.0, widths=(4, 2, 1)).layer_divergences[:, 0]
    assert figures == pytest.approx([0.3161, 0.2107, 0.1054, 0.0527, 0.0527], abs=6e-5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: BinaryGaussianLinearNetwork(0, 5, 1.0, 1.0), "dimension must be a whole number of at least 1"),
        (lambda: BinaryGaussianLinearNetwork(2, 1, 1.0, 1.0), "n must be a whole number of at least 2, got 1"),
        (lambda: BinaryGaussianLinearNetwork(2, 5, -1.0, 1.0), "scale must be positive and finite, got -1.0"),
        (lambda: BinaryGaussianLinearNetwork(2, 5, 1.0, math.inf), "signal must be finite, got inf"),
        (lambda: BinaryGaussianLinearNetwork(2, 5, 1.0, 1.0, (3,)), r"widths must not grow .* 2 on, got \(3,\)"),
        (lambda: BinaryGaussianLinearNetwork(2, 5, 1.0, 1.0, ()), r"widths must .* got \(\)"),
        (lambda: BinaryGaussianLinearNetwork(2, 5, 1.0, 1.0, (0,)), "widths must be a whole number of at least 1"),
    ],
)
def test_parameters_out_of_range(make, message):
    with pytest.raises(ValueError, match=message):
        make()
