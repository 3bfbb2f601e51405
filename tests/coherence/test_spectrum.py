"""Spectra of Gram matrices against eigenvalues of explicit second moments, and unbiasedness by enumeration."""

import itertools
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genbounds.coherence.pairs.gram import Gram
from genbounds.coherence.pairs.spectrum import _centred_moments, _raw_moments, gram_spectrum


def gram_of(gradients, rounding=2.0**-52):
    products = gradients @ gradients.T
    return Gram((products + products.T) / 2, None, np.arange(len(gradients)), len(gradients), rounding)


@settings(deadline=None, max_examples=40)
@given(st.integers(2, 12), st.integers(1, 8), st.integers(0, 2**31))
def test_eigenvalues_are_those_of_the_second_moments(k, d, seed):
    gradients = np.random.default_rng(seed).normal(size=(k, d)) + 0.5
    found = gram_spectrum(gram_of(gradients))
    few = min(k, d)
    raw = np.linalg.eigvalsh(gradients.T @ gradients / k)[::-1]
    np.testing.assert_allclose(found.raw.eigenvalues[:few], raw[:few], atol=1e-10)
    covariance = np.linalg.eigvalsh(np.atleast_2d(np.cov(gradients, rowvar=False)))[::-1]
    np.testing.assert_allclose(found.centred.eigenvalues[:few], covariance[:few], atol=1e-10)
    mean = gradients.mean(axis=0)
    alpha = mean @ mean / np.square(gradients).sum(axis=1).mean()
    assert found.coherence == pytest.approx(alpha, rel=1e-10)
    assert found.raw.total == pytest.approx(np.square(gradients).sum(axis=1).mean(), rel=1e-12)
    assert found.coherence <= found.raw.top_share + 1e-12
    for spectrum, number in ((found.raw, k), (found.centred, k - 1)):
        ranks = (1 / spectrum.top_share, spectrum.participation_ratio, spectrum.effective_rank, min(number, d))
        assert all(low <= high + 1e-6 for low, high in itertools.pairwise(ranks))


def test_estimates_for_the_population_are_without_bias():
    """All samples with repetition from a small population, so exact expectations."""
    points = np.array([[1.0, 2.0], [-0.5, 0.0], [0.3, -1.0]])
    raw, centred = [], []
    for draw in itertools.product(range(3), repeat=5):
        products = points[list(draw)] @ points[list(draw)].T
        raw.append(_raw_moments(products))
        centred.append(_centred_moments(products))
    second = points.T @ points / 3
    covariance = np.cov(points, rowvar=False, bias=True)
    for found, matrix in ((raw, second), (centred, covariance)):
        np.testing.assert_allclose(np.mean(found, axis=0), [np.trace(matrix) ** 2, np.square(matrix).sum()], rtol=1e-12)


def test_four_point_sums_are_what_a_loop_gives():
    gradients = np.random.default_rng(5).normal(size=(7, 3))
    squared_trace, trace_of_square = [], []
    for a, b, c, d in itertools.permutations(gradients, 4):
        squared_trace.append(np.square(a - b).sum() / 2 * np.square(c - d).sum() / 2)
        trace_of_square.append(((a - b) @ (c - d)) ** 2 / 4)
    found = _centred_moments(gradients @ gradients.T)
    assert found == pytest.approx((np.mean(squared_trace), np.mean(trace_of_square)), rel=1e-10)


def test_isotropic_gradients_fill_their_space():
    gradients = np.random.default_rng(2).normal(size=(400, 30))
    found = gram_spectrum(gram_of(gradients))
    assert found.raw.population_participation_ratio == pytest.approx(30, rel=0.05)
    assert found.centred.population_participation_ratio == pytest.approx(30, rel=0.05)
    # The examples' own ratio falls short by about k / (k + d).
    assert found.raw.participation_ratio == pytest.approx(30 * 400 / 430, rel=0.02)


def test_nothing_to_see():
    found = gram_spectrum(Gram(np.zeros((5, 5)), None, np.arange(5), 5))
    assert math.isnan(found.coherence)
    assert math.isnan(found.raw.effective_rank)
    same = gram_spectrum(gram_of(np.ones((5, 3))))
    assert same.coherence == 1
    assert same.raw.effective_rank == pytest.approx(1)
    assert math.isnan(same.centred.participation_ratio)
    assert math.isnan(gram_spectrum(gram_of(np.eye(3))).centred.population_participation_ratio)
    text = json.loads(json.dumps([found.to_json(), same.to_json()], allow_nan=False))
    assert text[0]["coherence"] is None


def test_what_is_no_gram_matrix_is_refused():
    with pytest.raises(ValueError, match="no eigenvalue below 0"):
        gram_spectrum(Gram(np.array([[1.0, 2.0], [2.0, 1.0]]), None, np.arange(2), 2))
    tilted = gram_of(np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32).astype(np.float64))
    shaken = tilted.products * (1 + 1e-7 * np.random.default_rng(1).normal(size=(20, 20)))
    gram_spectrum(Gram((shaken + shaken.T) / 2, None, np.arange(20), 20, 2.0**-23))


def test_text_says_what_it_is():
    text = str(gram_spectrum(gram_of(np.eye(4))))
    assert text.startswith("spectrum of the gradients of 4 examples, coherence among them 0.25")


def test_ratios_are_those_of_any_scale_and_about_any_average():
    gradients = np.random.default_rng(3).normal(size=(40, 5))
    expected = gram_spectrum(gram_of(gradients))
    for scale in (1e-150, 1e150):
        found = gram_spectrum(gram_of(gradients * scale))
        assert found.coherence == pytest.approx(expected.coherence, rel=1e-9)
        for name in ("raw", "centred"):
            for key in ("top_share", "effective_rank", "participation_ratio", "population_participation_ratio"):
                one, other = (getattr(getattr(spectra, name), key) for spectra in (found, expected))
                assert one == pytest.approx(other, rel=1e-9), (name, key)
        assert found.raw.total == pytest.approx(expected.raw.total * scale**2, rel=1e-9)
        assert found.raw.eigenvalues[0] == pytest.approx(expected.raw.eigenvalues[0] * scale**2, rel=1e-9)
    far = gram_spectrum(gram_of(gradients + 1e5)).centred
    assert far.population_participation_ratio == pytest.approx(
        expected.centred.population_participation_ratio, rel=1e-2
    )


def test_gradients_that_are_all_the_same_have_no_spectrum_about_their_average():
    for seed in range(10):
        noise = np.random.default_rng(seed).normal(size=(7, 3))
        centred = gram_spectrum(gram_of(0.1 * (1 + 2.0**-52 * noise))).centred  # but for rounding
        assert math.isnan(centred.participation_ratio)
        assert math.isnan(centred.population_participation_ratio)


def test_what_is_below_zero_by_more_than_rounding_is_refused():
    basis = np.linalg.qr(np.random.default_rng(0).normal(size=(5, 5)))[0]
    for lowest, fine in ((-1e-16, True), (-1e-11, False)):
        products = basis * np.array([1.0, 1, 1, 1, lowest]) @ basis.T
        gram = Gram((products + products.T) / 2, None, np.arange(5), 5)
        if fine:
            assert gram_spectrum(gram).raw.total == pytest.approx(0.8)
        else:
            with pytest.raises(ValueError, match="no eigenvalue below 0"):
                gram_spectrum(gram)
