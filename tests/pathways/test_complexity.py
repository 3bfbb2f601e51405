"""Erraticness: the published formula, its ranges, what it must and must not depend on, and its interval."""

import itertools
import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from genbounds.pathways import Erraticness, erraticness, layer_cosines
from genbounds.pathways.complexity import median_interval
from genbounds.pathways.routing import RoutedLayer, Routing


def layer(gates, router, number=0, gate="softmax"):
    n, experts = np.shape(gates)
    return RoutedLayer(
        f"layers.{number}",
        number,
        gate,
        np.asarray(gates, np.float32),
        np.zeros((n, experts), np.int64),
        np.zeros(n),
        np.zeros(n, np.int64),
        router=None if router is None else np.asarray(router),
    )


def routing(gates, routers, **options):
    layers = tuple(layer(g, w, number, **options) for number, (g, w) in enumerate(zip(gates, routers, strict=True)))
    return Routing(layers, np.ones(len(gates[0]), np.int64))


def random_routing(seed=0, n=8, layers=4, experts=5, width=3, *, shift=0.0, **options):
    rng = np.random.default_rng(seed)
    gates = rng.dirichlet(np.ones(experts), (layers, n))
    return routing(gates, shift + rng.standard_normal((layers, experts, width)), **options)


def changed(record, change):
    return replace(record, layers=tuple(change(number, each) for number, each in enumerate(record.layers)))


def from_cosines(cosines):
    cosines = np.array(cosines, np.float64)
    names = tuple("abcdefgh"[: cosines.shape[1] + 1])
    return Erraticness(cosines, False, names, ("softmax",) * len(names), 0.95)


@pytest.mark.parametrize("centred", [False, True])
def test_the_formula_term_by_term(centred):
    record = random_routing(shift=1.0)
    found = erraticness(record, centred=centred)
    said = found.flat()["centred_consistency_median" if centred else "consistency_median"]
    assert said == np.median(found.consistency[found.valid])
    for sample in range(len(record)):
        vectors = []
        for each in record.layers:
            rows = [each.router[k].astype(float) for k in range(each.experts)]
            middle = sum(rows) / len(rows) if centred else np.zeros(3)
            vectors.append(sum(float(each.mean_gates[sample, k]) * (rows[k] - middle) for k in range(each.experts)))
        cosines = [
            float(one @ two) / math.sqrt(float(one @ one) * float(two @ two))
            for one, two in itertools.pairwise(vectors)
        ]
        assert found.cosines[sample].tolist() == pytest.approx(cosines, abs=1e-12)
        assert found.mean_cosine[sample] == pytest.approx(sum(cosines) / 3, abs=1e-12)
        if max(cosines) > 0:
            expected = 1 - sum(cosine / (max(cosines) + 1e-8) for cosine in cosines) / 3
            assert found.erraticness[sample] == pytest.approx(expected, rel=1e-9)
            assert found.consistency[sample] == pytest.approx(1 - expected, rel=1e-9, abs=1e-12)
        else:
            assert not found.valid[sample]
            assert math.isnan(found.erraticness[sample])


@settings(deadline=None, max_examples=200)
@given(st.lists(st.floats(1e-12, 1.0), min_size=2, max_size=6))
def test_the_range_for_positive_cosines(cosines):
    value, size = float(from_cosines([cosines]).erraticness[0]), len(cosines)
    rest = 1e-8 / (max(cosines) + 1e-8)
    assert rest - 1e-12 <= value <= (size - 1) / size + rest / size + 1e-12


def test_the_ends_of_the_range():
    found = from_cosines([[0.3, 0.3, 0.3], [0.9, 1e-13, 1e-13], [1e-6, -0.9, -0.9], [-0.1, -0.9, -0.9], [0, 0, -1]])
    assert found.erraticness[0] == pytest.approx(0, abs=1e-7)
    assert found.erraticness[1] == pytest.approx(2 / 3, abs=1e-7)
    assert found.erraticness[2] > 5e5  # no limit
    assert found.valid.tolist() == [True, True, True, False, False]
    assert found.invalid_share == pytest.approx(0.4)
    assert found.median == pytest.approx(2 / 3, abs=1e-7)
    assert found.mean > 1e5


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000))
def test_centred_values_ignore_what_softmax_does_not_see(seed):
    record = random_routing(seed)
    rng = np.random.default_rng(seed + 1)
    moved = changed(record, lambda _, each: replace(each, router=each.router + 3 * rng.standard_normal(3)))
    assert layer_cosines(moved, centred=True) == pytest.approx(layer_cosines(record, centred=True), abs=1e-10)
    assert np.abs(layer_cosines(moved) - layer_cosines(record)).max() > 1e-3


def test_the_published_score_is_no_function_of_the_network():
    """Any sign of the mean cosine for the same network; the centred one stands still."""
    record = random_routing(3)
    direction = np.array([50.0, 0.0, 0.0])
    along = changed(record, lambda _, each: replace(each, router=each.router + direction))
    across = changed(record, lambda number, each: replace(each, router=each.router + (-1) ** number * direction))
    assert erraticness(along).average_cosine > 0.95
    assert erraticness(across).average_cosine < -0.95
    assert erraticness(across).invalid_share == 1
    centred = [erraticness(each, centred=True).average_cosine for each in (record, along, across)]
    assert np.ptp(centred) < 1e-10


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_names_of_experts_rotations_and_scales_do_not_matter(seed, centred):
    record, rng = random_routing(seed), np.random.default_rng(seed)
    rotation = np.linalg.qr(rng.standard_normal((3, 3)))[0]

    def renamed(_, each):
        order = rng.permutation(each.experts)
        return replace(each, mean_gates=each.mean_gates[:, order], router=each.router[order])

    for change in (
        renamed,
        lambda _, each: replace(each, router=each.router @ rotation),
        lambda number, each: replace(each, router=each.router * 10.0 ** (3 * number - 4)),
    ):
        found = layer_cosines(changed(record, change), centred=centred)
        assert found == pytest.approx(layer_cosines(record, centred=centred), abs=1e-12)
    # A rotation of one layer alone is another network.
    one = changed(record, lambda number, each: replace(each, router=each.router @ rotation) if not number else each)
    assert np.abs(layer_cosines(one, centred=centred) - layer_cosines(record, centred=centred)).max() > 1e-3


@pytest.mark.parametrize("experts", [3, 5, 7, 60])  # 1 / experts is no float32
def test_equal_gates_have_no_centred_direction(experts):
    gates = np.full((3, 2, experts), 1 / experts)
    gates[:, 1] = np.random.default_rng(0).dirichlet(np.ones(experts), 3)
    record = routing(gates, np.random.default_rng(1).standard_normal((3, experts, 4)))
    found = erraticness(record, centred=True)
    assert np.isnan(found.cosines[0]).all()
    assert not np.isnan(found.cosines[1]).any()
    assert not found.valid[0]
    assert not np.isnan(erraticness(record).cosines).any()
    noisy = routing(
        gates * (1 + 1e-8 * np.random.default_rng(2).standard_normal(gates.shape)),
        [each.router for each in record.layers],
    )
    assert np.isnan(layer_cosines(noisy, centred=True)[0]).all()


def test_raw_vectors_that_cancel_have_no_direction():
    router = np.array([[1.0, 2.0], [-1.0, -2.0]], np.float32)
    found = layer_cosines(routing(np.full((3, 1, 2), 0.5), [router] * 3))
    assert np.isnan(found).all()


def test_all_samples_invalid():
    found = from_cosines([[-0.5, -0.1], [math.nan, 0.5]])
    assert found.invalid_share == 1
    assert math.isnan(found.median)
    assert math.isnan(found.mean)
    assert found.average_cosine == pytest.approx(-0.3)
    assert found.flat() == {"erraticness_invalid_share": 1.0, "mean_cosine": pytest.approx(-0.3)}
    assert "100.0% of the samples" in found.summary()


def test_the_interval_of_the_median_reaches_its_level_where_it_can_exactly():
    assert median_interval(np.array([3.0, 1.0]), 0.5) == (1.0, 3.0)  # 1 - 2 / 4


@pytest.mark.parametrize(("m", "level"), [(5, 0.95), (6, 0.95), (25, 0.95), (40, 0.8), (101, 0.99)])
def test_the_interval_of_the_median(m, level):
    low, high = median_interval(np.arange(m, dtype=float), level)
    if m < 6:
        assert (low, high) == (-math.inf, math.inf)
        return
    r = int(low) + 1
    assert high == m - r
    assert 2 * stats.binom.cdf(r - 1, m, 0.5) <= 1 - level < 2 * stats.binom.cdf(r, m, 0.5)
    rng = np.random.default_rng(m)
    covered = 0
    for _ in range(4000):
        one, two = median_interval(rng.standard_cauchy(m), level)
        covered += one <= 0 <= two
    exact = 1 - 2 * stats.binom.cdf(r - 1, m, 0.5)
    assert covered / 4000 == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / 4000))


def test_notes_follow_the_gates_and_the_version():
    record, logistic = random_routing(shift=2.0), random_routing(shift=2.0, gate="sigmoid")
    assert "Not a function of the network" in str(erraticness(record))
    assert erraticness(record, centred=True).notes() == () or "valid" in erraticness(record, centred=True).notes()[0]
    assert "Logistic gates" in str(erraticness(logistic, centred=True))
    assert "Not a function" not in str(erraticness(logistic))


@pytest.mark.parametrize("centred", [False, True])
def test_json_and_back(centred):
    gates = np.random.default_rng(0).dirichlet(np.ones(4), (4, 9))
    gates[1, 0] = 0.25
    found = erraticness(routing(gates, np.random.default_rng(1).standard_normal((4, 4, 2))), centred=centred, level=0.9)
    values = json.loads(json.dumps(found.to_json(), allow_nan=False))
    again = Erraticness.from_json(values)
    assert np.array_equal(again.cosines, found.cosines, equal_nan=True)
    assert again.to_json() == found.to_json()
    assert again.summary() == found.summary()
    flat = found.flat()
    assert all(name.startswith("centred_") == centred for name in flat)
    assert flat[("centred_" if centred else "") + "erraticness_median"] == found.median
    with pytest.raises(ValueError, match="must be a record of erraticness"):
        Erraticness.from_json({})


def test_what_is_refused():
    with pytest.raises(ValueError, match="at least three layers, got 2"):
        erraticness(random_routing(layers=2))
    with pytest.raises(ValueError, match="at least three layers, got 1"):
        erraticness(random_routing(layers=1))
    with pytest.raises(ValueError, match="at least two layers, got 1"):
        layer_cosines(random_routing(layers=1))
    assert layer_cosines(random_routing(layers=2)).shape == (8, 1)
    record = random_routing()
    none = changed(record, lambda number, each: replace(each, router=None) if number == 1 else each)
    with pytest.raises(ValueError, match=r"routers must be linear.*layers\.1"):
        erraticness(none)
    wide = changed(record, lambda number, each: replace(each, router=np.ones((5, 4))) if number == 1 else each)
    with pytest.raises(ValueError, match="of one width"):
        erraticness(wide)
    infinite = changed(record, lambda _, each: replace(each, router=each.router * np.inf))
    with pytest.raises(ValueError, match="must be finite"):
        erraticness(infinite)
    with pytest.raises(ValueError, match="level must be strictly between"):
        erraticness(record, level=1.0)
