"""Gaussian and finite laws of gradients against mpmath, enumeration and simulation."""

import itertools
import math

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genbounds.worlds import FiniteGradients, GaussianGradients

matrices = (
    st
    .integers(2, 5)
    .flatmap(lambda k: st.lists(st.lists(st.integers(-4, 4), min_size=3, max_size=3), min_size=k, max_size=k))
    .filter(lambda rows: any(map(any, rows)))
)


def plug_in(gradients):
    """Squared norm of the mean over the mean squared norm."""
    return np.square(gradients.mean(axis=-2)).sum(axis=-1) / np.square(gradients).sum(axis=-1).mean(axis=-1)


@settings(deadline=None, max_examples=60)
@given(matrices, st.integers(1, 1000))
def test_one_number_by_many_names(rows, n):
    world = FiniteGradients(rows)
    g = np.array(rows, dtype=float)
    gram = g @ g.T
    alpha = gram.mean() / np.trace(gram) * len(g)  # independent draws may be the same gradient
    assert world.coherence == pytest.approx(alpha, rel=1e-12, abs=1e-15)
    assert world.coherence == pytest.approx(plug_in(g), rel=1e-12, abs=1e-15)
    assert world.second_moment == pytest.approx(np.square(g).sum(axis=1).mean(), rel=1e-12)
    assert world.one_step_ratio(n) == pytest.approx(n * alpha / (1 + (n - 1) * alpha), rel=1e-12, abs=1e-15)
    assert world.plug_in_mean(n) == pytest.approx(alpha + (1 - alpha) / n, rel=1e-12)
    if alpha > 1e-12:
        assert world.noise_scale == pytest.approx(1 / alpha - 1, rel=1e-9, abs=1e-12)
    parts = [slice(0, 1), slice(1, 3)]
    shares = [world.layer_share(part) for part in parts]
    weighted = sum(f * world.layer_coherence(part) for f, part in zip(shares, parts, strict=True) if f > 0)
    assert sum(shares) == pytest.approx(1, rel=1e-12)
    assert weighted == pytest.approx(alpha, rel=1e-12, abs=1e-15)
    # Liu's form of R(n), by the signal-to-noise ratio of the coordinates, is the same number.
    mean_square = np.square(world.mean_gradient) + world.variances / n
    ratio = 1 - world.variances.sum() / n / mean_square.sum()
    assert world.one_step_ratio(n) == pytest.approx(ratio, rel=1e-9, abs=1e-12)


@settings(deadline=None, max_examples=40)
@given(matrices, st.integers(1, 4))
def test_averages_of_a_finite_population(rows, size):
    """Every batch with replacement, every subset without: the two identities hold to rounding."""
    g, world = np.array(rows, dtype=float), FiniteGradients(rows)
    if not world.signal > 0:
        return
    k = min(size, len(g))
    batches = np.array([g[list(chosen)].mean(axis=0) for chosen in itertools.product(range(len(g)), repeat=k)])
    assert world.one_step_ratio(k) == pytest.approx(world.signal / np.square(batches).sum(axis=1).mean(), rel=1e-12)
    subsets = np.array([g[list(chosen)].mean(axis=0) for chosen in itertools.combinations(range(len(g)), k)])
    assert world.subset_coherence(k) == pytest.approx(world.signal / np.square(subsets).sum(axis=1).mean(), rel=1e-12)


def test_the_law_of_a_finite_population_is_that_of_all_its_samples():
    world = FiniteGradients([[1.0, 0.0], [0.5, 2.0], [-1.0, 0.3]], [0.2, 0.3, 0.5])
    values, probabilities = world.coherence_law(4)
    assert probabilities.sum() == pytest.approx(1, rel=1e-12)
    samples = list(itertools.product(range(3), repeat=4))
    weights = np.array([np.prod(np.array(world.probabilities)[list(chosen)]) for chosen in samples])
    each = np.array([plug_in(world.gradients[list(chosen)]) for chosen in samples])
    for power in (1, 2, 3):
        assert probabilities @ values**power == pytest.approx(weights @ each**power, rel=1e-12)


def test_random_signs_have_mean_one_over_m():
    """Whatever the vectors: gradients g_i with a fair sign each, all 2^m patterns."""
    g = np.random.default_rng(0).standard_normal((8, 3)) * np.arange(1, 9)[:, None]
    signs = np.array(list(itertools.product((-1, 1), repeat=8)))
    assert (8 * plug_in(signs[:, :, None] * g)).mean() == pytest.approx(1, rel=1e-12)


@pytest.mark.parametrize(("rows", "alpha"), [(np.ones((4, 3)), 1.0), (np.diag([1.0, 2.0, 5.0]), 1 / 3)])
def test_identical_and_orthogonal_gradients(rows, alpha):
    assert FiniteGradients(rows).coherence == pytest.approx(alpha, rel=1e-15)


def test_copies_simplices_and_zeros():
    copies = FiniteGradients(np.repeat(np.eye(5), 3, axis=0))
    assert copies.coherence == pytest.approx(1 / 5)
    simplex = FiniteGradients(np.eye(5) - 1 / 5)
    assert simplex.coherence == pytest.approx(0, abs=1e-30)
    some = FiniteGradients([[1.0, 2.0], [3.0, 1.0]])
    fitted = FiniteGradients([[1.0, 2.0], [3.0, 1.0], [0.0, 0.0]], [0.35, 0.35, 0.3])
    assert fitted.coherence == pytest.approx(0.7 * some.coherence, rel=1e-12)


def exact_law(value, m, size, centre):
    """Poisson mixture of Beta laws in arbitrary precision."""
    with mpmath.workdps(30):
        half, b = mpmath.mpf(centre) / 2, mpmath.mpf(m - 1) * size / 2
        terms = range(int(half + 14 * math.sqrt(half + 1) + 40))
        return float(
            mpmath.fsum(
                mpmath.exp(-half) * half**k / mpmath.factorial(k)
                * mpmath.betainc(mpmath.mpf(size) / 2 + k, b, 0, value, regularized=True)
                for k in terms
            )
        )  # fmt: skip


@pytest.mark.parametrize(("m", "size", "scale"), [(2, 1, 1.0), (5, 2, 3.0), (20, 3, 0.7), (50, 20, 8.0)])
def test_the_law_of_the_gaussian_coherence(m, size, scale):
    world = GaussianGradients(np.linspace(0.2, 1.0, size), scale)
    centre = m * world.signal / scale**2
    for value in (0.01, 0.1, 0.5, 0.9):
        expected = exact_law(value, m, size, centre)
        assert world.coherence_law(value, m) == pytest.approx(expected, rel=1e-9, abs=1e-14)
    assert world.coherence_law([0.0, 1.0], m).tolist() == [0.0, 1.0]
    # The mean is the integral of one minus the law.
    mean = mpmath.quad(lambda x: 1 - float(world.coherence_law(float(x), m)), [0, 0.05, 0.2, 1], maxdegree=8)
    assert world.mean_coherence(m) == pytest.approx(float(mean), rel=1e-6)


def test_centred_gaussian_gradients_have_a_beta_law():
    m, size = 12, 5
    world = GaussianGradients(np.zeros(size), 2.0)
    a, b = size / 2, (m - 1) * size / 2
    for value in (0.02, 0.08, 0.3):
        expected = float(mpmath.betainc(a, b, 0, value, regularized=True))
        assert world.coherence_law(value, m) == pytest.approx(expected, rel=1e-12)
    assert world.mean_coherence(m) == pytest.approx(1 / m, rel=1e-14)
    assert world.noise_scale == math.inf


def test_gaussian_samples_follow_the_law():
    """The probability integral transform of 20,000 samples, Kolmogorov's distance at its 0.1% critical value."""
    world, generator = GaussianGradients([0.5, -0.2, 0.1], 1.3), np.random.default_rng(3)
    each = plug_in(np.array([world.sample(generator, 6) for _ in range(20_000)]))
    uniform = np.sort(world.coherence_law(each, 6))
    grid = np.arange(1, len(uniform) + 1) / len(uniform)
    assert np.abs(uniform - grid).max() < 1.95 / math.sqrt(len(uniform))
    assert each.mean() == pytest.approx(float(world.mean_coherence(6)), abs=4 * each.std() / math.sqrt(len(each)))
    shrunk = GaussianGradients([0.4, -0.2, 0.1], 1.3)  # a wrong law is told apart
    assert np.abs(np.sort(shrunk.coherence_law(each, 6)) - grid).max() > 1.95 / math.sqrt(len(uniform))


def test_finite_samples_have_the_moments():
    world = FiniteGradients([[1.0, 0.0], [0.5, 2.0], [-1.0, 0.3]], [0.2, 0.3, 0.5])
    drawn = world.sample(np.random.default_rng(0), 100_000)
    assert drawn.mean(axis=0) == pytest.approx(world.mean_gradient, abs=0.02)
    assert drawn.var(axis=0) == pytest.approx(world.variances, abs=0.02)
    assert world.signal_to_noise == pytest.approx(np.square(world.mean_gradient) / world.variances)


@pytest.mark.parametrize(
    ("build", "complaint"),
    [
        (lambda: GaussianGradients([1.0], 0.0), "scale must be positive"),
        (lambda: GaussianGradients([[1.0]], 1.0), "mean must be finite numbers in 1 dimensions"),
        (lambda: GaussianGradients([math.nan], 1.0), "1 that are not finite"),
        (lambda: GaussianGradients([1.0], 1.0).coherence_law(1.5, 3), "value must be in"),
        (lambda: GaussianGradients([1.0], 1.0).coherence_law(0.5, 1), "m must be a whole number of at least 2"),
        (lambda: FiniteGradients([[0.0, 0.0]]), "gradients must not all be 0"),
        (lambda: FiniteGradients([[1.0]], [0.9]), "probabilities must be 1 numbers with sum 1"),
        (lambda: FiniteGradients([[1.0], [2.0]], [1.0, 0.0]), "probabilities must be positive"),
        (lambda: FiniteGradients([[1.0], [0.0]]).coherence_law(3), "gradients must all differ from 0"),
        (lambda: FiniteGradients([[1.0], [2.0]], [0.4, 0.6]).subset_coherence(1), "probabilities must be equal"),
        (lambda: FiniteGradients([[1.0], [2.0]]).subset_coherence(3), "size must be at most the 2 gradients"),
        (lambda: FiniteGradients([[1.0], [-1.0]]).subset_coherence(2), "size must leave averages"),
    ],
)
def test_what_cannot_be(build, complaint):
    with pytest.raises(ValueError, match=complaint):
        build()


def test_a_population_of_one_has_one_subset():
    assert float(FiniteGradients([[1.0, 2.0]]).subset_coherence(1)) == 1.0
