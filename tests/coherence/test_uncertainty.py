"""Standard errors of coherence: coverage by enumerating every sample of small worlds, and the degenerate case."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import gammaln

from genbounds.coherence.alpha import unbiased
from genbounds.coherence.null import pair_square
from genbounds.coherence.uncertainty import influence, interval, standard_error

#: Finite populations of equally likely gradients.
LENGTHS = np.array([[1.0, 0.2], [3.0, 0.0], [0.1, 0.8]])
ANGLES = np.array([[1.0, 0.0], [0.6, 0.8], [-0.6, 0.8]])
CENTRED = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])


def truth(population):
    return (population.mean(0) ** 2).sum() / (population**2).sum(1).mean()


def every_sample(population, m):
    """All samples of m up to order: probabilities (N,), inner products and squared norms (m, N), pair squares (N,)."""
    k = len(population)
    bars = np.array(list(itertools.combinations(range(m + k - 1), k - 1)))
    ends = np.concatenate([-np.ones((len(bars), 1), int), bars, np.full((len(bars), 1), m + k - 1)], axis=1)
    counts = np.diff(ends, axis=1) - 1
    chance = np.exp(gammaln(m + 1) - gammaln(counts + 1).sum(1) - m * math.log(k))
    who = np.array([np.repeat(np.arange(k), row) for row in counts]).T
    gram = population @ population.T
    norms = np.diag(gram)
    along = counts @ gram / m
    squares = np.einsum("ni,ij,nj->n", counts, gram**2, counts) - counts @ norms**2
    return chance, np.take_along_axis(along.T, who, axis=0), norms[who], squares / (m * (m - 1))


def estimates(along, norms):
    m = len(along)
    signal, _ = unbiased(np.minimum(along.mean(0), norms.mean(0)), norms.mean(0), m)
    return signal / norms.mean(0)


def covered(chance, alpha, estimate, error, level=0.95):
    low, high = interval(estimate, error, level)
    return chance[(low <= alpha) & (alpha <= high)].sum()


@pytest.mark.parametrize("population", [LENGTHS, ANGLES])
@pytest.mark.parametrize("corrected", [False, True])
def test_exact_coverage(population, corrected):
    chance, along, norms, squares = every_sample(population, 120)
    assert chance.sum() == pytest.approx(1, abs=1e-12)
    estimate = estimates(along, norms)
    error = standard_error(along, norms, squares if corrected else None)
    for level in (0.8, 0.95):
        assert covered(chance, truth(population), estimate, error, level) == pytest.approx(level, abs=0.02)
    spread = math.sqrt(chance @ estimate**2 - (chance @ estimate) ** 2)
    assert math.sqrt(chance @ error**2) == pytest.approx(spread, rel=0.05)


def test_a_broken_error_is_caught():
    """Without the second term, for lengths that differ, or without the factor 2 of a U-statistic."""
    chance, along, norms, _ = every_sample(LENGTHS, 120)
    m, moment, estimate = 120, norms.mean(0), estimates(along, norms)
    p = (m * along - norms) / (m - 1)
    right = covered(chance, truth(LENGTHS), estimate, standard_error(along, norms))
    for broken in (2 * p / moment, (p - estimate * norms) / moment):
        error = broken.std(axis=0, ddof=1) / math.sqrt(m)
        assert abs(covered(chance, truth(LENGTHS), estimate, error) - 0.95) > abs(right - 0.95) + 0.02


def test_variance_of_the_signal_is_what_the_docstring_says():
    """Exactly, over all samples: from zeta_1 = G'CG and zeta_2 = tr C^2 + 2 G'CG."""
    for population, m in itertools.product((LENGTHS, ANGLES, CENTRED), (5, 9)):
        mean, cov = population.mean(0), np.cov(population.T, bias=True)
        first = mean @ cov @ mean
        second = np.trace(cov @ cov) + 2 * first
        chance, along, norms, _ = every_sample(population, m)
        signal = (m * along.mean(0) - norms.mean(0)) / (m - 1)
        expected = (4 * (m - 2) * first + 2 * second) / (m * (m - 1))
        assert chance @ signal**2 - (chance @ signal) ** 2 == pytest.approx(expected, rel=1e-10)


def test_near_zero_the_variance_is_doubled():
    """Exactly in two dimensions, where the covariance of few directions lets pair squares mend only part of it."""
    chance, along, norms, squares = every_sample(CENTRED, 30)
    variance = chance @ estimates(along, norms) ** 2
    assert chance @ standard_error(along, norms) ** 2 / variance == pytest.approx(2, rel=0.05)
    assert 1 < chance @ standard_error(along, norms, squares) ** 2 / variance < 1.5


def test_coverage_where_there_is_no_signal():
    """Gaussian gradients in 60 dimensions: too much without pair squares, nominal with them."""
    generator = np.random.default_rng(5)
    m, runs = 100, 600
    hits, shown, errors = np.zeros(2), [], np.zeros((runs, 2))
    for run in range(runs):
        g = generator.normal(size=(m, 60))
        along, norms = g @ g.mean(0), (g**2).sum(1)
        flipped = ((generator.choice([-1.0, 1.0], (40, m)) @ g) ** 2).sum(1)
        for number, square in enumerate((None, pair_square(flipped, norms.sum(), m))):
            errors[run, number] = standard_error(along, norms, square)
            low, high = interval(estimates(along, norms), errors[run, number])
            hits[number] += low <= 0 <= high
        shown.append(estimates(along, norms))
    plain, corrected = hits / runs
    assert plain > 0.975
    assert corrected == pytest.approx(0.95, abs=0.03)
    np.testing.assert_allclose((errors**2).mean(0) / np.var(shown), [2, 1], rtol=0.2)


@given(st.integers(0, 10_000), st.integers(50, 90))
def test_influence_is_what_leaving_out_shows(seed, m):
    generator = np.random.default_rng(seed)
    g = generator.normal(0.5, 1.0, (m, 4)) * generator.uniform(0.5, 2, (m, 1))
    psi = influence(g @ g.mean(0), (g**2).sum(1))

    def alpha(vectors):
        along, norms = vectors @ vectors.mean(0), (vectors**2).sum(1)
        return estimates(along[:, None], norms[:, None])[0]

    left_out = np.array([(m - 1) * (alpha(g) - alpha(np.delete(g, i, axis=0))) for i in range(m)])
    assert psi.mean() == pytest.approx(0, abs=1e-12)
    np.testing.assert_allclose(psi, left_out, atol=12 * np.abs(psi).max() / m)


@given(st.integers(0, 10_000), st.sampled_from([1e-60, 1e-3, 7.0, 1e60]))
def test_scale_does_not_matter(seed, scale):
    g = np.random.default_rng(seed).normal(0.2, 1.0, (12, 3))

    def error(vectors):
        squares = ((vectors @ vectors.T) ** 2).sum() / 132
        return standard_error(vectors @ vectors.mean(0), (vectors**2).sum(1), squares)

    assert error(g * scale) == pytest.approx(error(g), rel=1e-6)


def test_layers_side_by_side():
    g = np.random.default_rng(0).normal(0.3, 1.0, (20, 3, 2))
    along, norms = (g * g.mean(0)).sum(2), (g**2).sum(2)
    norms[:, 1] = along[:, 1] = 0  # a layer without gradient
    errors = standard_error(along, norms, [1.0, 0.0, 2.0])
    assert math.isnan(errors[1])
    for layer, square in ((0, 1.0), (2, 2.0)):
        assert errors[layer] == pytest.approx(standard_error(along[:, layer], norms[:, layer], square), rel=1e-12)


def test_equal_gradients_have_no_error():
    along = norms = np.full(6, 2.0)
    assert influence(along, norms).tolist() == [0] * 6
    assert standard_error(along, norms) == standard_error(along, norms, 4.0) == 0


def test_interval_is_not_cut_off():
    low, high = interval(-0.001, 0.01)
    assert low < 0 < high
    assert high - low == pytest.approx(2 * 1.959963984540054 * 0.01, rel=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: standard_error(np.ones(6), np.ones(7)), "dots and squared_norms must have the same shape"),
        (lambda: influence(1.0, 1.0), "dots and squared_norms must have the same shape"),
        (lambda: standard_error(np.ones(4), np.ones(4)), "dots must hold at least 5 examples, got 4"),
        (lambda: standard_error(np.ones(6), -np.ones(6)), "squared_norms must be non-negative"),
        (lambda: standard_error(np.full(6, math.inf), np.ones(6)), "dots must be finite"),
        (lambda: standard_error(np.ones(6), np.ones(6), -1.0), "pair_square must be non-negative"),
        (lambda: interval(0.1, 0.1, 1.0), "level must be strictly between 0 and 1"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def overlaps(m, i, j):
    """Pairs {i, k} and {j, n} of different examples: how many share one of them, and how many are the same."""
    shared = [len({i, k} & {j, n}) for k in range(m) for n in range(m) if k != i and n != j]
    return np.array([shared.count(1), shared.count(2)])


@pytest.mark.parametrize("m", [5, 6, 11])
def test_what_is_taken_off_by_counting_pairs_that_share_examples(m):
    """Coefficients of Var E[g.g' | g] and Var g.g' counted, the two variances solved for, the difference taken."""
    of_spread = (overlaps(m, 0, 0) - overlaps(m, 0, 1)) / (m - 1) ** 2
    of_signal = sum(overlaps(m, i, j) for i in range(m) for j in range(m)) / (m * (m - 1)) ** 2
    regimes = set()
    for seed in range(60):
        generator = np.random.default_rng(seed)
        g = generator.normal(size=(m, 1 + seed % 5)) + (seed % 3)
        products = g @ g.T
        moment = products.trace() / m
        p = np.array([(products[i].sum() - products[i, i]) / (m - 1) for i in range(m)])
        square = (np.square(products).sum() - np.square(np.diagonal(products)).sum()) / (m * (m - 1))
        plain = standard_error(g @ g.mean(0), np.diagonal(products)) ** 2
        found = standard_error(g @ g.mean(0), np.diagonal(products), square) ** 2
        same = (square - p.mean() ** 2) / moment**2
        spread = np.var(p, ddof=1) / moment**2
        one = (spread - of_spread[1] * same) / of_spread[0]
        excess = 4 * spread / m - (of_signal[0] * one + of_signal[1] * same)
        expected = plain - min(max(excess, 0), plain / 2)
        assert found == pytest.approx(expected, rel=1e-9)
        regimes.add(int(excess > 0) + int(excess > plain / 2))
    assert regimes == {0, 1, 2}


def test_coverage_where_few_examples_carry_the_squared_norm():
    """The module's numbers for 100 examples in 20 dimensions: normal noise, Student's t, lengths with a Pareto tail."""
    generator, runs, m, d = np.random.default_rng(11), 1000, 100, 20
    lengths = generator.pareto(2.5, (runs, m, 1))
    noises = {
        0.95: (generator.normal(size=(runs, m, d)), 1.0),
        0.80: (generator.standard_t(3, (runs, m, d)) / math.sqrt(3), 1.0),
        0.51: (generator.normal(size=(runs, m, d)) * lengths, 8 / 3),  # E length^2 = 2 / ((a - 1)(a - 2))
    }
    for expected, (noise, variance) in noises.items():
        gradients = noise + 5.0 * np.eye(1, d)
        norms = (gradients**2).sum(2).T
        mean = gradients.mean(1)
        signal, spread = unbiased((mean**2).sum(1), norms.mean(0), m)
        error = standard_error(np.einsum("rmd,rd->mr", gradients, mean), norms)
        low, high = interval(signal / (signal + spread), error)
        truth = 25 / (25 + d * variance)
        assert np.mean((low <= truth) & (truth <= high)) == pytest.approx(expected, abs=0.05)
