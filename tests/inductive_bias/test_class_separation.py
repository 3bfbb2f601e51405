"""Smallest distances by brute force; tails of laws with known index and end; coverage where the gap is known."""

import math

import numpy as np
import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st

from genbounds.inductive_bias.difficulty import (
    UpperTail,
    class_separation,
    extrapolated_separation,
    largest_norm,
    moment_tail,
)
from genbounds.inductive_bias.difficulty import separation as separation_module


def between(rng, n, columns, gap):
    """Two cubes that face each other across a gap."""
    points, labels = rng.random((n, columns)), rng.integers(2, size=n)
    points[:, 0] += labels * (1 + gap)
    return points, labels


@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(2, 60),
    columns=st.sampled_from([1, 3, 20]),
    classes=st.integers(2, 5),
    dtype=st.sampled_from([np.float64, np.float32, np.uint8]),
)
def test_smallest_distance_is_that_of_brute_force(seed, n, columns, classes, dtype):
    rng = np.random.default_rng(seed)
    points = (rng.random((n, columns)) * 255).astype(dtype)
    labels = rng.permutation(np.concatenate([[0, 1], rng.integers(classes, size=n - 2)]))
    distances = np.sqrt(((points[:, None].astype(float) - points[None].astype(float)) ** 2).sum(axis=-1))
    distances[labels[:, None] == labels] = np.inf
    found, (i, j) = class_separation(points, labels * 7 - 3)
    assert found == pytest.approx(distances.min(), rel=1e-14)
    assert i < j
    assert distances[i, j] == pytest.approx(found, rel=1e-14)
    assert largest_norm(points) == pytest.approx(np.linalg.norm(points.astype(float), axis=1).max(), rel=1e-14)


def test_smallest_distance_of_pictures_and_of_words():
    pictures = np.zeros((4, 2, 3))
    pictures[1, 0, 0], pictures[2, 1, 2], pictures[3, 0, 1] = 1, 3, 10
    assert class_separation(pictures, ["cat", "cat", "dog", "dog"]) == (3.0, (0, 2))


#: draw, gamma, end
LAWS = {
    "uniform": (lambda rng, n: rng.random(n), -1.0, 1.0),
    "triangular": (lambda rng, n: rng.beta(1, 2, n), -0.5, 1.0),
    "beta": (lambda rng, n: rng.beta(2, 4, n), -0.25, 1.0),
    "exponential": (lambda rng, n: 1 + rng.exponential(size=n), 0.0, math.inf),
    "Pareto": (lambda rng, n: 1 + rng.pareto(2, n), 0.5, math.inf),
}


def end_variance(gamma):
    """Of the end in units of scale^2 / k (verified below)."""
    return (
        (1 - gamma) ** 2
        * (1 - 3 * gamma + 4 * gamma**2)
        / (gamma**4 * (1 - 2 * gamma) * (1 - 3 * gamma) * (1 - 4 * gamma))
    )


def test_the_estimator_follows_from_the_moments_of_the_generalised_pareto_law():
    """With exact moments it returns gamma, a and the end; the delta method gives the variance of its end."""
    gamma, first, second = sympy.symbols("gamma M1 M2", negative=True)
    moments = [
        sympy.factorial(j) / sympy.prod([1 - i * gamma for i in range(1, j + 1)]) for j in range(5)
    ]  # E Y^j, Y = (U^-gamma - 1) / gamma
    value, draws = -0.4, (np.random.default_rng(0).random(10**6) ** 0.4 - 1) / -0.4
    for j in (1, 2, 4):
        assert np.mean(draws**j) == pytest.approx(float(moments[j].subs(gamma, value)), rel=0.01)
    negative = 1 - 1 / (2 * (1 - first**2 / second))
    exact = {first: moments[1], second: moments[2]}
    assert sympy.simplify(negative.subs(exact) - gamma) == 0
    assert sympy.simplify((first * (1 - negative)).subs(exact)) == 1
    end = -first * (1 - negative) / negative
    slopes = [sympy.diff(end, moment).subs(exact) for moment in (first, second)]
    covariance = [[moments[i + j] - moments[i] * moments[j] for j in (1, 2)] for i in (1, 2)]
    variance = sum(slopes[i] * slopes[j] * covariance[i][j] for i in (0, 1) for j in (0, 1))
    assert sympy.simplify(variance - end_variance(gamma)) == 0


@pytest.mark.parametrize("name", LAWS)
def test_laws_with_a_known_tail(name):
    draw, gamma, end = LAWS[name]
    rng, n, k = np.random.default_rng(4), 200_000, 800
    tails = [moment_tail(draw(rng, n), k, n) for _ in range(60)]
    index = np.array([tail.index for tail in tails])
    assert index.mean() == pytest.approx(gamma, abs=0.035)
    assert index.std() < 0.12
    if gamma < 0:
        ends, scale = np.array([tail.end for tail in tails]), np.mean([tail.scale for tail in tails])
        expected = scale * math.sqrt(end_variance(gamma) / k)
        assert abs(ends.mean() - end) < 0.5 * expected
        assert 0.7 < ends.std() / expected < 1.4
    far = np.array([tail.level(1e-6) for tail in tails])
    truth = {
        "uniform": 1 - 1e-6,
        "triangular": 1 - 1e-3,
        "exponential": 1 + math.log(1e6),
        "Pareto": 1e3,
    }
    if name in truth:
        assert np.median(far) == pytest.approx(truth[name], rel=0.06)


def test_a_scale_without_its_factor_misses_far_levels():
    """1 - gamma_- left out of the scale, as in the authors' script."""
    rng, n, k = np.random.default_rng(4), 200_000, 800
    tails = [moment_tail(rng.random(n), k, n) for _ in range(20)]
    wrong = [UpperTail(t.index, t.threshold, t.scale / (1 - t.index), t.share).end for t in tails]
    assert abs(np.mean(wrong) - 1) > 20 * abs(np.mean([t.end for t in tails]) - 1)


def test_weights_count_values_as_often_as_they_say():
    rng = np.random.default_rng(1)
    values, weights = 1 + rng.random(500), rng.integers(3, size=500)
    k = int(np.sort(weights[np.argsort(values)[::-1]][:0]).sum()) + int(weights[np.argsort(values)[-80:]].sum())
    weighted = moment_tail(values, k, 1000, weights)
    repeated = moment_tail(np.repeat(values, weights), k, 1000)
    for name in ("index", "threshold", "scale", "share"):
        assert getattr(weighted, name) == pytest.approx(getattr(repeated, name), rel=1e-12)


@given(st.floats(0.01, 100), st.integers(0, 2**32 - 1))
def test_a_tail_in_other_units(unit, seed):
    values = 1 + np.random.default_rng(seed).random(300)
    one, other = moment_tail(values, 50, 300), moment_tail(unit * values, 50, 300)
    assert other.index == pytest.approx(one.index, rel=1e-9)
    assert other.level(1e-3) == pytest.approx(unit * one.level(1e-3), rel=1e-9)
    assert one.level(one.share) == pytest.approx(one.threshold, rel=1e-12)
    assert one.level(1e-3) <= one.level(1e-6) <= one.end


def test_a_tail_of_index_zero_is_exponential():
    assert UpperTail(0.0, 2.0, 0.5, 0.01).level(1e-4) == pytest.approx(2 + 0.5 * math.log(100), rel=1e-14)
    assert UpperTail(1e-12, 2.0, 0.5, 0.01).level(1e-4) == pytest.approx(2 + 0.5 * math.log(100), rel=1e-9)


def test_pairs_are_uniform_over_pairs_of_different_classes():
    classes = np.array([0] * 2 + [1] * 3 + [2] * 7)[np.random.default_rng(0).permutation(12)]
    every = separation_module._pairs(classes, 10**6, np.random.default_rng(0))
    allowed = {(i, j) for i in range(12) for j in range(i) if classes[i] != classes[j]}
    assert {(max(pair), min(pair)) for pair in zip(*every, strict=True)} == allowed
    assert len(every[0]) == len(allowed) == 41
    left, right = separation_module._pairs(np.tile(classes, 200), 410_000, np.random.default_rng(1))
    assert (np.tile(classes, 200)[left] != np.tile(classes, 200)[right]).all()
    counts = np.bincount(12 * np.maximum(left % 12, right % 12) + np.minimum(left % 12, right % 12), minlength=144)
    folded = np.array([counts[12 * i + j] for i, j in allowed])
    assert folded.sum() == 410_000
    chi = ((folded - 10_000) ** 2 / 10_000).sum()
    assert chi < 80  # 40 degrees of freedom


@pytest.mark.parametrize(("columns", "n", "top"), [(1, 2000, 1000), (2, 2000, 500)])
def test_the_gap_of_a_population_is_covered(columns, n, top):
    """Near a corner of the law of distances; the smallest one of the sample is above the gap every time."""
    rng, runs, hits, smallest = np.random.default_rng(3), 25, 0, []
    for run in range(runs):
        points, labels = between(rng, n, columns, 0.3)
        found = extrapolated_separation(points, labels, pairs=200_000, top=top, seed=run, replicates=60)
        hits += found.interval[0] <= 0.3 <= found.interval[1]
        smallest.append(class_separation(points, labels)[0])
        assert found.value == pytest.approx(0.3, abs=0.08)
    assert hits >= 0.8 * runs
    assert min(smallest) > 0.3


def test_the_smallest_distance_of_a_data_set_is_foretold():
    """Among as many pairs as there are, from a twentieth of them."""
    rng, hits = np.random.default_rng(8), 0
    for run in range(20):
        points, labels = between(rng, 3000, 3, 0.1)
        pairs = int((labels == 0).sum() * (labels == 1).sum())
        found = extrapolated_separation(
            points, labels, among=pairs, pairs=pairs // 20, top=500, seed=run, replicates=60
        )
        hits += found.interval[0] <= class_separation(points, labels)[0] <= found.interval[1]
    assert hits >= 16


def test_a_tail_without_end_is_refused_and_a_number_of_pairs_is_not():
    """Classes that overlap on a line: distances are uniform near 0, their inverses have tail index 1."""
    rng = np.random.default_rng(0)
    points, labels = rng.random((3000, 1)), rng.integers(2, size=3000)
    with pytest.raises(ValueError, match=r"must have an end, got a tail index of (0\.9|1\.0)"):
        extrapolated_separation(points, labels, pairs=200_000, top=500)
    near = extrapolated_separation(points, labels, pairs=200_000, among=1e6, top=500).value
    far = extrapolated_separation(points, labels, pairs=200_000, among=1e9, top=500).value
    assert 1e-7 < near < 5e-6  # 2 distances of a million are below 1e-6
    assert far < near / 100


@pytest.mark.parametrize("place", [0, 17, 39])
def test_the_farthest_point_in_whatever_block(place, monkeypatch):
    monkeypatch.setattr(separation_module, "_NUMBERS", 21)
    points = np.random.default_rng(0).random((40, 3)).astype(np.float32)
    points[place] = [2.0, 3.0, 6.0]
    assert separation_module.largest_norm(points) == 7.0


def test_seeds_and_units():
    points, labels = between(np.random.default_rng(0), 1000, 2, 0.2)
    settings = {"pairs": 50_000, "top": 200, "replicates": 30}
    one = extrapolated_separation(points, labels, **settings)
    assert one == extrapolated_separation(points, labels, **settings)
    assert one != extrapolated_separation(points, labels, **settings, seed=1)
    other = extrapolated_separation(8 * points, labels, **settings)
    assert other.value == pytest.approx(8 * one.value, rel=1e-9)
    assert other.interval == pytest.approx([8 * end for end in one.interval], rel=1e-9)
    assert "tail index" in one.method


@pytest.mark.parametrize(
    ("points", "labels", "settings", "message"),
    [
        (np.ones((4, 2)), [0, 0, 0], {}, "labels must be of shape"),
        (np.ones((4, 2)), [0, 0, 0, 0], {}, "labels must name at least two classes"),
        (np.ones((40, 2)), [0, 1] * 20, {"top": 50}, "points of different classes must differ"),
        (np.ones((4, 2)), [0, 1, 0, 1], {}, "top must be below the number of pairs, got 2000 of 4"),
        (np.ones((4, 2)), [0, 1, 0, 1], {"top": 5}, "top must be a whole number of at least 10"),
        (np.arange(80.0).reshape(40, 2), [0, 1] * 20, {"top": 50, "among": 10.0}, "among must be at least the 400"),
        (np.arange(80.0).reshape(40, 2), [0, 1] * 20, {"top": 50, "among": np.nan}, "among must be at least the 400"),
        (np.arange(80.0).reshape(40, 2), [0, 1] * 20, {"top": 50, "among": np.inf}, "or pass None for the population"),
        (np.ones((4, 2)), [0, 1, np.nan, 1], {}, "labels must name a class, got NaN 1 times"),
        (np.arange(80.0).reshape(40, 2), [0, 1] * 20, {"replicates": 3}, "replicates must be"),
        (np.arange(80.0).reshape(40, 2), [0, 1] * 20, {"level": 1.0}, "level must be"),
    ],
)
def test_what_has_no_separation_is_refused(points, labels, settings, message):
    with pytest.raises(ValueError, match=message):
        extrapolated_separation(points, labels, **settings)


def test_what_has_no_tail_is_refused():
    with pytest.raises(ValueError, match="must count more than k"):
        moment_tail([1.0, 2.0, 3.0], 3, 3)
    with pytest.raises(ValueError, match="must count more than k"):
        moment_tail([1.0, 2.0, 3.0], 2, 2)
    with pytest.raises(ValueError, match="must differ"):
        moment_tail([2.0, 2.0, 2.0, 1.0], 2, 4)
    with pytest.raises(ValueError, match="largest must be positive"):
        moment_tail([2.0, 0.0, 1.0], 2, 4)
    with pytest.raises(ValueError, match="probability must be at most"):
        UpperTail(0.1, 1.0, 1.0, 0.01).level(0.5)
    for finder in (class_separation, extrapolated_separation):
        with pytest.raises(ValueError, match="points must be real numbers"):
            finder(np.ones(5), [0, 1, 0, 1, 0])
