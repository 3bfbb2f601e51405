"""Neighbours against brute force, dimensions against known manifolds and another library, intervals by coverage."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import gammaincinv

from genbounds.inductive_bias.difficulty import (
    maximum_likelihood_dimension,
    mean_local_dimension,
    nearest_neighbours,
    two_nearest_neighbours,
)
from genbounds.inductive_bias.difficulty import neighbours as neighbours_module

ESTIMATORS = {
    "TwoNN": two_nearest_neighbours,
    "pooled": lambda found: maximum_likelihood_dimension(found, 10),
    "local": lambda found: mean_local_dimension(found, 10),
}
DATA = Path(__file__).parents[3] / "shared" / "data" / "mnist"


def world(kind, seed=0):
    rng = np.random.default_rng(seed)
    if kind == "sphere":
        x = rng.standard_normal((600, 5))
        return x / np.linalg.norm(x, axis=1, keepdims=True)
    if kind == "ball":
        x = rng.standard_normal((500, 3))
        return x / np.linalg.norm(x, axis=1, keepdims=True) * rng.random((500, 1)) ** (1 / 3)
    if kind == "subspace":
        return rng.standard_normal((400, 6)) @ rng.standard_normal((6, 40))
    return rng.standard_normal((300, 30))


def torus(rng, n, d):
    angle = rng.random((n, d)) * 2 * np.pi
    return np.hstack([np.cos(angle), np.sin(angle)])


def brute_force(points, k):
    gaps = points[:, None].astype(np.float64) - points[None].astype(np.float64)
    distances = np.sqrt((gaps**2).sum(axis=-1))
    np.fill_diagonal(distances, np.inf)
    return np.sort(distances, axis=1)[:, :k]


@pytest.mark.parametrize("columns", [1, 3, 12, 13, 40])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.uint8])
def test_neighbours_are_those_of_brute_force(columns, dtype, monkeypatch):
    """In blocks that cut the points unevenly, and blocks with fewer points than neighbours."""
    monkeypatch.setattr(neighbours_module, "_QUERIES", 37)
    monkeypatch.setattr(neighbours_module, "_POINTS", 66)
    monkeypatch.setattr(neighbours_module, "_NUMBERS", 500)
    points = (np.random.default_rng(columns).random((200, columns)) * 200).astype(dtype)
    for k in (1, 5, 70):
        found = nearest_neighbours(points, k)
        np.testing.assert_allclose(found.distances, brute_force(points, k), rtol=1e-14)
        gaps = points[found.queries][:, None].astype(float) - points[found.indices].astype(float)
        np.testing.assert_allclose(np.sqrt((gaps**2).sum(axis=-1)), found.distances, rtol=1e-14)
        assert not (found.indices == found.queries[:, None]).any()
        assert all(len(set(row)) == k for row in found.indices.tolist())


def test_cancellation_does_not_reach_the_distances():
    """Tight pairs far apart: what ||x||^2 + ||y||^2 - 2 x.y would give is noise."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((150, 50)) * 1e6
    points = np.concatenate([centres, centres + rng.standard_normal((150, 50)) * 1e-4])
    exact = brute_force(points, 3)
    np.testing.assert_allclose(nearest_neighbours(points, 3).distances, exact, rtol=1e-14)
    squares = (points**2).sum(axis=1)
    naive = squares[:, None] + squares - 2 * points @ points.T
    np.fill_diagonal(naive, np.inf)
    assert not np.allclose(np.sqrt(np.abs(naive.min(axis=1))), exact[:, 0], rtol=0.1)


def test_a_sample_of_points_asks_among_all():
    points = np.random.default_rng(0).random((300, 20))
    every, some = nearest_neighbours(points, 4), nearest_neighbours(points, 4, queries=50, seed=3)
    assert len(np.unique(some.queries)) == 50
    np.testing.assert_array_equal(some.distances, every.distances[some.queries])
    np.testing.assert_array_equal(some.queries, nearest_neighbours(points, 4, queries=50, seed=3).queries)
    assert (some.queries != nearest_neighbours(points, 4, queries=50, seed=4).queries).any()
    np.testing.assert_array_equal(nearest_neighbours(points, 4, queries=300).distances, every.distances)


@pytest.mark.parametrize("columns", [2, 20])
def test_copies_of_a_point(columns):
    points = np.zeros((6, columns))
    points[4:, 0] = [3.0, 4.0]
    found = nearest_neighbours(points, 4)
    np.testing.assert_array_equal(found.distances, brute_force(points, 4))
    assert not (found.indices == found.queries[:, None]).any()


def test_dimension_of_a_sphere_and_the_trap_of_the_wrong_normalisation():
    rng = np.random.default_rng(5)
    points = rng.standard_normal((3000, 5))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    found = nearest_neighbours(points, 10)
    values = {name: estimate(found).value for name, estimate in ESTIMATORS.items()}
    assert values["TwoNN"] == pytest.approx(4, abs=0.25)
    assert values["pooled"] == pytest.approx(4, abs=0.1)
    assert values["local"] == pytest.approx(4, abs=0.1)
    trap = values["local"] * 9 / 8
    assert trap == pytest.approx(4.49, abs=0.1)
    low, high = mean_local_dimension(found, 10).interval
    assert not low < trap < high


#: scikit-dimension 0.5.0 on `world`: TwoNN (maximum likelihood, nothing discarded), the inverse of averaged inverses
#: over 5 neighbours, and the averages of unbiased and of biased local estimates over 10.
OTHER = {
    "sphere": (3.7169149178726886, 3.9400381071015143, 3.842595652004226, 4.322920108504754),
    "ball": (2.873216497218255, 2.8735886146364313, 2.8965186790682833, 3.2585835139518187),
    "subspace": (5.992713332821234, 5.954048507116877, 5.785640287562942, 6.508845323508308),
    "noise": (24.164122555923196, 19.841123371949937, 18.27987284727329, 20.564856953182446),
}


@pytest.mark.parametrize("kind", OTHER)
def test_agrees_with_another_library(kind):
    """Where definitions agree. It averages inverses, without the -1 of the unbiased form: a factor 4q / (4q - 1)."""
    found = nearest_neighbours(world(kind), 10)
    q = found.points
    ours = (
        two_nearest_neighbours(found).value,
        maximum_likelihood_dimension(found, 5).value * 4 * q / (4 * q - 1),
        mean_local_dimension(found, 10).value,
        mean_local_dimension(found, 10).value * 9 / 8,
    )
    assert ours == pytest.approx(OTHER[kind], rel=1e-12)


@pytest.mark.parametrize("kind", OTHER)
def test_agrees_with_another_library_where_it_is_installed(kind):
    skdim = pytest.importorskip("skdim")
    points = world(kind, seed=1)
    found = nearest_neighbours(points, 10)
    q = len(points)
    other = skdim.id.TwoNN(discard_fraction=0, method="mle").fit(points).dimension_
    assert two_nearest_neighbours(found).value == pytest.approx(other, rel=1e-6)
    other = skdim.id.MLE().fit(points, n_neighbors=5, comb="mle").dimension_
    assert maximum_likelihood_dimension(found, 5).value * 4 * q / (4 * q - 1) == pytest.approx(other, rel=1e-6)
    other = skdim.id.MLE(unbiased=True).fit(points, n_neighbors=10, comb="mean").dimension_
    assert mean_local_dimension(found, 10).value == pytest.approx(other, rel=1e-6)


@given(seed=st.integers(0, 2**32 - 1), scale=st.floats(1e-3, 1e3), columns=st.sampled_from([4, 16]))
def test_scale_rotation_and_order_do_not_matter(seed, scale, columns):
    rng = np.random.default_rng(seed)
    points = rng.standard_normal((80, 3)) @ rng.standard_normal((3, columns))
    rotation = np.linalg.qr(rng.standard_normal((columns, columns)))[0]
    moved = scale * (points @ rotation)[rng.permutation(80)] + rng.standard_normal(columns)
    one, other = nearest_neighbours(points, 10), nearest_neighbours(moved, 10)
    for estimate in ESTIMATORS.values():
        first, second = estimate(one), estimate(other)
        assert first.value == pytest.approx(second.value, rel=1e-6)
        assert first.standard_error == pytest.approx(second.standard_error, rel=1e-6)


def test_two_nearest_neighbours_is_maximum_likelihood_over_two():
    found = nearest_neighbours(world("ball"), 10)
    assert two_nearest_neighbours(found).value == maximum_likelihood_dimension(found, 2).value
    ratio = np.log(found.distances[:, 1] / found.distances[:, 0])
    assert two_nearest_neighbours(found).value == pytest.approx((len(ratio) - 1) / ratio.sum(), rel=1e-12)


def exponential_world(rng, q, k, d):
    """Neighbours whose distances follow the model exactly, each point alone."""
    volumes = np.cumsum(rng.exponential(size=(q, k)), axis=1)
    members = np.arange(q * (k + 1)).reshape(q, k + 1)
    return neighbours_module.Neighbours(members[:, 0], members[:, 1:], volumes ** (1 / d), q * (k + 1))


def test_without_bias_under_the_model():
    """Small samples, where a factor of (k - 1) q / ((k - 1) q - 1) or (k - 1) / (k - 2) would be seen at once."""
    rng = np.random.default_rng(11)
    for q, k in ((5, 2), (3, 5), (4, 8)):
        runs = [exponential_world(rng, q, k, 6.0) for _ in range(8000)]
        pooled = np.array([maximum_likelihood_dimension(found, k).value for found in runs])
        error = pooled.std() / np.sqrt(len(pooled))
        assert abs(pooled.mean() - 6) < 4 * error
        assert abs(pooled.mean() * (q * (k - 1)) / (q * (k - 1) - 1) - 6) > 4 * error
        if k > 4:
            local = np.array([mean_local_dimension(found, k).value for found in runs])
            assert abs(local.mean() - 6) < 4 * local.std() / np.sqrt(len(local))


def test_the_law_is_gamma_under_the_model():
    """With terms that are independent the interval is near the exact one, of (k - 1) q degrees of freedom."""
    found = exponential_world(np.random.default_rng(2), 4000, 5, 3.0)
    estimate = maximum_likelihood_dimension(found, 5)
    exact = [estimate.value * gammaincinv(16_000, chance) / 16_000 for chance in (0.025, 0.975)]
    assert estimate.interval == pytest.approx(exact, rel=2e-3)
    assert estimate.standard_error == pytest.approx(estimate.value / np.sqrt(16_000), rel=0.1)


@pytest.mark.parametrize(("q", "k"), [(2, 2), (2, 10), (5, 3), (10, 5)])
def test_intervals_of_a_few_points_cover(q, k):
    """Few points may differ little by chance: the spread that they show is never taken for less than the model's."""
    rng, runs = np.random.default_rng(q * k), 1500
    ends = [maximum_likelihood_dimension(exponential_world(rng, q, k, 6.0), k).interval for _ in range(runs)]
    assert np.mean([low < 6 < high for low, high in ends]) >= 0.95 - 3 * math.sqrt(0.05 * 0.95 / runs)


def test_equal_neighbourhoods_have_the_spread_of_the_model():
    """Every S_i the same: the exact law of the model for sum S_i, d sum S_i of (k - 1) q degrees of freedom."""
    found = exponential_world(np.random.default_rng(0), 1, 4, 3.0)
    found = neighbours_module.Neighbours(
        np.arange(3), 3 + np.arange(12).reshape(3, 4), np.repeat(found.distances, 3, axis=0), 15
    )
    estimate = maximum_likelihood_dimension(found, 4)
    exact = [gammaincinv(9, chance) * estimate.value / 8 for chance in (0.025, 0.975)]
    assert estimate.interval == pytest.approx(exact, rel=1e-12)
    assert estimate.standard_error == pytest.approx(estimate.value / 3, rel=1e-12)


@pytest.mark.parametrize(("queries", "d"), [(None, 1), (None, 2), (200, 2)])
def test_intervals_cover(queries, d):
    """The law of independent terms, by contrast, is far too narrow where all points are asked."""
    rng, runs = np.random.default_rng(1), 600
    hits, naive = dict.fromkeys(ESTIMATORS, 0), 0
    for run in range(runs):
        found = nearest_neighbours(torus(rng, 1000, d), 10, queries=queries, seed=run)
        for name, estimate in ESTIMATORS.items():
            low, high = estimate(found).interval
            hits[name] += low < d < high
        value, terms = maximum_likelihood_dimension(found, 10).value, 9 * len(found.queries)
        naive += value * gammaincinv(terms, 0.025) / terms < d < value * gammaincinv(terms, 0.975) / terms
    assert min(hits.values()) >= 0.91 * runs
    if queries is None:
        assert naive < 0.89 * runs


def test_dimension_rises_with_noise_and_scale_tells():
    """A curve with noise: a plane when looked at closely, a curve from afar."""
    rng = np.random.default_rng(0)
    angle = rng.random(4000) * 2 * np.pi
    points = np.stack([np.cos(angle), np.sin(angle)], axis=1) + 0.01 * rng.standard_normal((4000, 2))
    found = nearest_neighbours(points, 200)
    near, far = two_nearest_neighbours(found).value, maximum_likelihood_dimension(found, 200).value
    assert near > 1.8
    assert far < 1.3


@pytest.mark.skipif(not DATA.is_dir(), reason="needs MNIST beside the repository")
def test_digits_have_a_dozen_dimensions():
    from genbounds.models import load_data

    points = load_data(DATA).inputs[:6000].numpy()
    found = nearest_neighbours(points, 10, queries=1500)
    for k in (5, 10):
        assert 11 < maximum_likelihood_dimension(found, k).value < 15
    assert 11 < two_nearest_neighbours(found).value < 15


@pytest.mark.parametrize(
    ("points", "k", "message"),
    [
        (np.zeros((3, 2)), 3, "neighbours must be below the number of points"),
        (np.zeros(5), 1, "points must be real numbers of shape"),
        (np.zeros((0, 3)), 1, "points must be real numbers of shape"),
        (np.array([["a"], ["b"]]), 1, "points must be real numbers"),
        (np.full((5, 2), np.nan), 1, "points must be finite"),
        (np.arange(10.0).reshape(5, 2) * 1e200, 1, "points must be at most 1e"),
        (np.arange(100.0).reshape(5, 20) * 1e200, 1, "points must be at most 1e"),
        (np.arange(10.0).reshape(5, 2) * 1e-200, 1, "points must be farther apart than 1e"),
        (np.arange(100.0).reshape(5, 20) * 1e-200, 1, "points must be farther apart than 1e"),
        (np.full((5, 20), np.inf), 1, "points must be finite"),
        (np.zeros((5, 2)), 0, "neighbours must be a whole number of at least 1"),
    ],
)
def test_what_has_no_neighbours_is_refused(points, k, message):
    with pytest.raises(ValueError, match=message):
        nearest_neighbours(points, k)


def test_what_has_no_dimension_is_refused():
    points = np.random.default_rng(0).random((50, 3))
    copies = np.concatenate([points, points[:1]])
    for estimate in ESTIMATORS.values():
        with pytest.raises(ValueError, match="points must be distinct, got 2 of 51"):
            estimate(nearest_neighbours(copies, 10))
    lattice = np.stack(np.meshgrid(*[np.arange(12.0)] * 2), axis=-1).reshape(-1, 2)
    with pytest.raises(ValueError, match="neighbours at different distances"):
        two_nearest_neighbours(nearest_neighbours(lattice, 2))
    star = np.concatenate([points, 50 + 5 * np.concatenate([np.eye(3), -np.eye(3), np.zeros((1, 3))])])
    with pytest.raises(ValueError, match="all 4 neighbours of a point at one distance, got 1"):
        mean_local_dimension(nearest_neighbours(star, 4), 4)
    found = nearest_neighbours(points, 5)
    with pytest.raises(ValueError, match="k must be at most the 5"):
        maximum_likelihood_dimension(found, 6)
    with pytest.raises(ValueError, match="k must be a whole number of at least 4"):
        mean_local_dimension(found, 3)
    with pytest.raises(ValueError, match="at least two points"):
        two_nearest_neighbours(nearest_neighbours(points, 2, queries=1))
    with pytest.raises(ValueError, match="level must be strictly between"):
        maximum_likelihood_dimension(found, 5, level=1.0)
