"""Stiffness against plain loops over pairs, closed forms, and coverage in a world that is known."""

import dataclasses
import itertools
import json
import math
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genbounds.coherence.pairs.gram import Gram
from genbounds.coherence.pairs.stiffness import stiffness
from genbounds.worlds.gradient_stiffness import cosine_stiffness, sign_stiffness


def gram_of(gradients, labels=None):
    products = gradients @ gradients.T
    return Gram((products + products.T) / 2, labels, np.arange(len(gradients)), len(gradients))


def slow_class_matrix(gradients, labels, score):
    classes = sorted(set(labels.tolist()))
    matrix = np.full((len(classes), len(classes)), np.nan)
    for (a, first), (b, second) in itertools.product(enumerate(classes), repeat=2):
        pairs = [
            score(gradients[i], gradients[j])
            for i, j in itertools.permutations(range(len(gradients)), 2)
            if labels[i] == first and labels[j] == second
        ]
        matrix[a, b] = np.mean(pairs) if pairs else np.nan
    return matrix


def cosine(g, h):
    return g @ h / math.sqrt((g @ g) * (h @ h))


def stratified_error(statistic, gradients, labels):
    """The jackknife in words: leave each example out, one class at a time."""
    variance = 0.0
    for label in np.unique(labels):
        without = np.array([
            statistic(np.delete(gradients, i, axis=0), np.delete(labels, i)) for i in np.flatnonzero(labels == label)
        ])
        variance += (len(without) - 1) * without.var()
    return math.sqrt(variance)


def within(gradients, labels):
    return np.diagonal(slow_class_matrix(gradients, labels, cosine)).mean()


def between(gradients, labels):
    matrix = slow_class_matrix(gradients, labels, cosine)
    return matrix[~np.eye(len(matrix), dtype=bool)].mean()


def test_class_matrix_and_errors_are_what_a_loop_over_pairs_gives():
    rng = np.random.default_rng(0)
    labels = np.array([0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 7, 7, 7])
    gradients = rng.normal(size=(14, 5)) + np.eye(8, 5)[labels]
    found = stiffness(gram_of(gradients, labels))
    for means, score in ((found.cosine, cosine), (found.sign, lambda g, h: np.sign(g @ h))):
        np.testing.assert_allclose(means.matrix, slow_class_matrix(gradients, labels, score), rtol=1e-12, atol=1e-12)
    assert found.cosine.classes == (0, 1, 2, 7)
    assert found.cosine.counts == (4, 4, 3, 3)
    for part, statistic in ((found.cosine.within, within), (found.cosine.between, between)):
        assert part.value == pytest.approx(statistic(gradients, labels), rel=1e-12)
        assert part.standard_error == pytest.approx(stratified_error(statistic, gradients, labels), rel=1e-10)
    for a, b in np.ndindex(4, 4):
        error = stratified_error(lambda g, y, a=a, b=b: slow_class_matrix(g, y, cosine)[a, b], gradients, labels)
        assert found.cosine.standard_errors[a, b] == pytest.approx(error, rel=1e-9)
    every = [cosine(g, h) for g, h in itertools.combinations(gradients, 2)]
    assert found.cosine.overall.value == pytest.approx(np.mean(every), rel=1e-12)
    without = np.array([
        np.mean([cosine(g, h) for g, h in itertools.combinations(np.delete(gradients, i, axis=0), 2)])
        for i in range(14)
    ])
    assert found.cosine.overall.standard_error == pytest.approx(math.sqrt(13 * without.var()), rel=1e-10)


def test_small_classes_have_no_number_instead_of_a_wrong_one():
    gradients = np.random.default_rng(1).normal(size=(6, 3))
    found = stiffness(gram_of(gradients, np.array([0, 0, 0, 0, 5, 9]))).cosine
    assert np.isnan(found.matrix[1, 1])
    assert not np.isnan(found.matrix[1, 2])
    assert math.isfinite(found.within.standard_error)
    assert math.isnan(found.between.standard_error)
    text = json.dumps(found.to_json(), allow_nan=False)
    assert json.loads(text)["matrix"][1][1] is None
    alone = stiffness(gram_of(gradients, np.zeros(6, dtype=np.int64))).cosine
    assert alone.between is None
    assert alone.within.value == pytest.approx(alone.overall.value)
    assert stiffness(gram_of(gradients[:2], np.array([0, 1]))).cosine.within is None


def test_examples_without_a_gradient_have_no_direction():
    gradients = np.array([[1.0, 0.0], [0.0, 0.0], [1.0, 1.0], [0.0, 0.0]])
    found = stiffness(gram_of(gradients, np.array([0, 0, 0, 1])))
    assert (found.examples, found.zero) == (2, 2)
    assert found.cosine.overall.value == pytest.approx(math.sqrt(0.5))
    assert found.cosine.classes == (0,)
    with pytest.raises(ValueError, match="two examples with a gradient or more, got 1 of 3"):
        stiffness(gram_of(gradients[[0, 1, 3]]))


def test_known_arrangements():
    simplex = np.eye(5) - 0.2
    found = stiffness(gram_of(simplex))
    assert found.cosine.overall.value == pytest.approx(-0.25)
    assert found.cosine.overall.standard_error == pytest.approx(0, abs=1e-12)


@settings(deadline=None, max_examples=40)
@given(st.integers(2, 12), st.integers(1, 6), st.integers(0, 2**31), st.floats(0.01, 100))
def test_orders_and_invariances(k, d, seed, scale):
    rng = np.random.default_rng(seed)
    gradients = rng.normal(size=(k, d))
    labels = rng.integers(0, 3, k)
    found = stiffness(gram_of(gradients, labels))
    order = rng.permutation(k)
    lengths = rng.uniform(0.5, 2, size=(k, 1)) * scale
    moved = stiffness(gram_of((gradients * lengths)[order], labels[order]))
    np.testing.assert_allclose(moved.cosine.matrix, found.cosine.matrix, atol=1e-10)
    np.testing.assert_allclose(moved.sign.matrix, found.sign.matrix, atol=1e-10)
    # Without ties: pairs that help less pairs that harm.
    opposed = np.mean([g @ h < 0 for g, h in itertools.combinations(gradients, 2)])
    assert found.sign.overall.value == pytest.approx(1 - 2 * opposed, abs=1e-12)


@pytest.mark.parametrize(("d", "noise"), [(1, 0.0), (2, 0.0), (50, 0.0), (3, 1.5)])
def test_linear_regression_has_the_stiffness_of_its_closed_form(d, noise):
    """Gradients (u . x - e) x: signs and cosines against the exact laws, four standard errors apart at most."""
    rng = np.random.default_rng(d)
    u = rng.normal(size=d)
    x = rng.normal(size=(2500, d))
    residuals = x @ u - noise * np.linalg.norm(u) * rng.normal(size=2500)
    found = stiffness(gram_of(x * residuals[:, None]))
    for mean, truth in (
        (found.cosine.overall, cosine_stiffness(d, noise)),
        (found.sign.overall, sign_stiffness(d, noise)),
    ):
        assert abs(mean.value - truth) <= 4 * mean.standard_error + 1e-12
        assert mean.standard_error < 0.02


def test_intervals_cover_and_naive_ones_do_not():
    """Examples g = c + noise: cosine stiffness is the squared length of E g/|g|, by a large sample."""
    rng = np.random.default_rng(3)
    centre = np.array([0.8, 0.0, 0.0])
    directions = centre + rng.normal(size=(4_000_000, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    truth = float(np.square(directions.mean(axis=0)).sum())
    covered = naive = 0
    trials, k = 600, 60
    for _ in range(trials):
        gradients = centre + rng.normal(size=(k, 3))
        mean = stiffness(gram_of(gradients)).cosine.overall
        low, high = mean.interval
        covered += low <= truth <= high
        values = np.array([cosine(g, h) for g, h in itertools.combinations(gradients[:12], 2)])
        # As if the pairs were independent.
        naive += abs(values.mean() - truth) <= 1.96 * values.std() / math.sqrt(len(values))
    assert 0.91 <= covered / trials <= 0.985
    assert naive / trials < 0.85


def test_text_says_what_it_is():
    found = stiffness(gram_of(np.random.default_rng(0).normal(size=(8, 3)), np.arange(8) % 2))
    assert str(found).startswith("stiffness over all pairs of 8 examples (0 more without a gradient)")
    assert "within classes" in str(found)
    json.dumps(found.to_json(), allow_nan=False)


def test_equal_where_every_number_is():
    """Also where a class has a single example, whose average is NaN."""
    gradients, labels = np.random.default_rng(0).normal(size=(7, 3)), np.array([0, 0, 0, 1, 1, 1, 2])
    found, again = (stiffness(gram_of(gradients, labels)) for _ in range(2))
    assert np.isnan(found.cosine.matrix[2, 2])
    assert found == again == pickle.loads(pickle.dumps(found))
    assert hash(found) == hash(again)
    moved = found.cosine.matrix.copy()
    moved[0, 1] += 1e-9
    assert found != dataclasses.replace(found, cosine=dataclasses.replace(found.cosine, matrix=moved))
    assert found.cosine != 1
