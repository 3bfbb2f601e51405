"""Masking on the cube by enumeration, least squares and Bayes in a context by simulation."""

import math
from itertools import combinations, product

import numpy as np
import pytest

from genbounds.worlds import MaskedCube, bayes_in_context, least_squares_excess


def kernel(world):
    """Return K over all pairs of points from its definition, by summing over augmentations."""
    d = world.dimension
    points = list(product((-1, 1), repeat=d))
    if world.block:
        size = d - world.visible
        masks = [(frozenset((place + k) % d for k in range(size)), 1 / d) for place in range(d)]
    else:
        sets = [frozenset(c) for k in range(d + 1) for c in combinations(range(d), k)]
        masks = [(hidden, world.hidden ** len(hidden) * (1 - world.hidden) ** (d - len(hidden))) for hidden in sets]
    rows = []  # an augmentation is what is hidden and what is seen
    for hidden, chance in masks:
        seen = [tuple(0 if k in hidden else x[k] for k in range(d)) for x in points]
        rows += [[chance * (each == view) for each in seen] for view in sorted(set(seen))]
    given = np.array(rows)
    return given.T @ (given / given.mean(1, keepdims=True))


@pytest.mark.parametrize(
    "world", [MaskedCube(4, 0.5), MaskedCube(4, 0.2), MaskedCube(4, 0.5, block=True), MaskedCube(5, 0.4, block=True)]
)
def test_the_kernel_has_the_stated_spectrum_and_complexity(world):
    matrix = kernel(world)
    assert np.diag(matrix) == pytest.approx(world.complexity)
    values = np.sort(np.linalg.eigvalsh(matrix))[::-1] / len(matrix)
    np.testing.assert_allclose(values, world.spectrum(), atol=1e-12)
    assert world.spectrum().sum() == pytest.approx(world.complexity)
    points = np.array(list(product((-1, 1), repeat=world.dimension)))
    for chosen in ((), (0,), (0, 1), (0, 2)):
        parity = points[:, list(chosen)].prod(1)
        np.testing.assert_allclose(matrix @ parity / len(matrix), world.eigenvalue(*chosen) * parity, atol=1e-12)


def test_hiding_in_one_piece_is_simpler():
    for d in (2, 6, 10, 14):
        assert MaskedCube(d, 0.5, block=True).complexity < MaskedCube(d, 0.5).complexity
    assert MaskedCube(8, 0.0).complexity == pytest.approx(256)
    assert MaskedCube(8, 1.0).complexity == pytest.approx(1)


@pytest.mark.parametrize(("p", "n"), [(3, 20), (10, 30)])
def test_least_squares_is_the_mean_of_simulations(p, n):
    rng = np.random.default_rng(p)
    root = rng.standard_normal((p, p))  # any covariance
    excess = []
    for _ in range(4000):
        z = rng.standard_normal((n, p))
        wrong = np.linalg.lstsq(z @ root, math.sqrt(0.7) * rng.standard_normal(n), rcond=None)[0]
        excess.append(np.sum((root @ wrong) ** 2))
    assert abs(np.mean(excess) - least_squares_excess(p, n, 0.7)) <= 4.5 * np.std(excess) / math.sqrt(4000)


@pytest.mark.parametrize("n", [2, 8, 40])
def test_bayes_is_calibrated_and_least(n):
    rng, d, noise, tries = np.random.default_rng(n), 8, 0.5, 6000
    w, x = rng.standard_normal((tries, d)), rng.standard_normal((tries, n, d))
    y = np.einsum("td,tnd->tn", w, x) + math.sqrt(noise) * rng.standard_normal((tries, n))
    query = rng.standard_normal((tries, d))
    label = np.sum(w * query, 1) + math.sqrt(noise) * rng.standard_normal(tries)
    mean, variance = bayes_in_context(x, y, query, noise)
    scores = (label - mean) ** 2 / variance
    assert abs(scores.mean() - 1) <= 4.5 * math.sqrt(2 / tries)
    for shrink in (0.9, 1.1):
        assert np.mean((label - mean) ** 2) < np.mean((label - shrink * mean) ** 2)


def test_bad_input_is_refused():
    for call in (
        lambda: MaskedCube(0, 0.5),
        lambda: MaskedCube(5, 0.5, block=True),
        lambda: MaskedCube(20, 0.5).spectrum(),
        lambda: MaskedCube(3, 1.5),
        lambda: least_squares_excess(5, 6, 1.0),
        lambda: bayes_in_context([[1.0]], [1.0], [1.0], 0.0),
    ):
        with pytest.raises(ValueError, match="must"):
            call()
