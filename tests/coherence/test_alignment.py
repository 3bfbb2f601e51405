"""Alignment of two sets: the jackknife against leaving out by hand, closed forms, coverage, what is not defined."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genbounds.coherence.alignment import Alignment, alignment_from_dots

LAYERS = {"first": slice(0, 2), "second": slice(2, 5)}


def shown(gradients, own, other):
    """Squared norms and the two inner products, by layer."""
    parts = [
        [np.square(gradients[:, part]).sum(1), gradients[:, part] @ own[part], gradients[:, part] @ other[part]]
        for part in LAYERS.values()
    ]
    return tuple(np.stack(columns, axis=1) for columns in zip(*parts, strict=True))


def aligned(g, h, level=0.95):
    a, b = g.mean(0), h.mean(0)
    return alignment_from_dots(list(LAYERS), shown(g, a, b), shown(h, b, a), level)


def slow_cosine(g, h, *, corrected):
    a, b = g.mean(0), h.mean(0)
    lengths = [a @ a, b @ b]
    if corrected:
        lengths = [(len(x) * mean @ mean - np.square(x).sum(1).mean()) / (len(x) - 1) for x, mean in ((g, a), (h, b))]
    return a @ b / math.sqrt(lengths[0] * lengths[1]) if min(lengths) > 0 else math.nan


def slow_error(g, h, *, corrected):
    variance = 0.0
    for left, other, swap in ((g, h, False), (h, g, True)):
        values = np.array([
            slow_cosine(
                *((other, np.delete(left, i, 0)) if swap else (np.delete(left, i, 0), other)), corrected=corrected
            )
            for i in range(len(left))
        ])
        variance += (len(values) - 1) * values.var()
    return math.sqrt(variance)


@settings(deadline=None, max_examples=40)
@given(st.integers(4, 12), st.integers(4, 12), st.integers(0, 2**31), st.floats(1.5, 4))
def test_cosines_and_errors_are_those_of_leaving_out_by_hand(m, k, seed, shift):
    rng = np.random.default_rng(seed)
    g, h = rng.normal(size=(m, 5)) + shift, rng.normal(size=(k, 5)) + shift * rng.uniform(0.5, 1.5, 5)
    found = aligned(g, h)
    for name, part in (("", slice(0, 5)), *LAYERS.items()):
        layer = found.total if name == "" else next(one for one in found.layers if one.name == name)
        x, y = g[:, part], h[:, part]
        for one, corrected in ((layer.plug_in, False), (layer.cosine, True)):
            assert one.value == pytest.approx(slow_cosine(x, y, corrected=corrected), rel=1e-9, nan_ok=True)
            error = slow_error(x, y, corrected=corrected)
            assert one.standard_error == pytest.approx(error, rel=1e-6, abs=1e-9, nan_ok=True)
        assert layer.product == pytest.approx(x.mean(0) @ y.mean(0), rel=1e-9)
        gains = y @ x.mean(0)
        assert layer.product_error == pytest.approx(gains.std(ddof=1) / math.sqrt(k), rel=1e-7, abs=1e-10)
        assert layer.transfer.value == pytest.approx(gains.mean() / np.square(x.mean(0)).sum(), rel=1e-9)
    assert found.total.product == pytest.approx(sum(one.product for one in found.layers), rel=1e-9)
    text = json.dumps(found.to_json(), allow_nan=False)
    assert Alignment.from_json(json.loads(text)) == found


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**31), st.floats(0.01, 100), st.floats(0.01, 100))
def test_scale_and_order_do_not_matter(seed, one, two):
    rng = np.random.default_rng(seed)
    g, h = rng.normal(size=(8, 5)) + 2, rng.normal(size=(9, 5)) + 1
    found, scaled = aligned(g, h).total, aligned(one * g[::-1], two * h).total
    assert scaled.cosine.value == pytest.approx(found.cosine.value, rel=1e-9, nan_ok=True)
    assert scaled.transfer.value == pytest.approx(found.transfer.value * two / one, rel=1e-9)
    back = aligned(h, g).total
    assert back.plug_in.value == pytest.approx(found.plug_in.value, rel=1e-9)
    assert back.cosine.standard_error == pytest.approx(found.cosine.standard_error, rel=1e-6, nan_ok=True)


def test_a_set_with_itself_has_plug_in_cosine_one_and_corrected_above():
    g = np.random.default_rng(0).normal(size=(20, 5)) + 1
    found = aligned(g, g).total
    assert found.plug_in.value == pytest.approx(1)
    assert found.transfer.value == pytest.approx(1)
    # Not independent of itself: the shared noise is in the product too. Nothing is cut off at 1.
    assert found.cosine.value > 1


def test_where_a_signal_is_not_positive_there_is_no_corrected_cosine():
    g = np.concatenate([np.eye(5), -np.eye(5)])
    found = aligned(g + 1e-3, np.eye(5) + 1).total
    assert found.signals[0] < 0
    assert math.isnan(found.cosine.value)
    assert math.isfinite(found.plug_in.value)
    none = aligned(np.zeros((4, 5)), np.ones((4, 5)))
    assert math.isnan(none.total.plug_in.value)
    assert math.isnan(none.total.transfer.value)
    assert json.loads(json.dumps(none.to_json(), allow_nan=False))["total"]["derived"]["cosine"]["value"] is None


def test_the_correction_takes_the_bias_away_and_intervals_cover():
    """Normal gradients around two averages at a known angle."""
    rng = np.random.default_rng(1)
    a, b = np.zeros(40), np.zeros(40)
    a[0], b[:2] = 1.0, (0.6, 0.8)
    layer = {"all": slice(0, 40)}
    values, plug_ins, covered, plug_in_covered, one_set = [], [], 0, 0, 0
    trials = 500
    for _ in range(trials):
        g, h = a + rng.normal(size=(150, 40)), b + rng.normal(size=(200, 40))
        means = g.mean(0), h.mean(0)
        sets = [
            tuple(part[:, None] for part in (np.square(x).sum(1), x @ means[k], x @ means[1 - k]))
            for k, x in enumerate((g, h))
        ]
        found = alignment_from_dots(list(layer), *sets).total
        low, high = found.cosine.interval
        covered += low <= 0.6 <= high
        low, high = found.plug_in.interval
        plug_in_covered += low <= 0.6 <= high
        # As if the first set's average had no noise.
        one_set += abs(found.cosine.value - 0.6) <= 1.96 * found.product_error / math.sqrt(math.prod(found.signals))
        values.append(found.cosine.value)
        plug_ins.append(found.plug_in.value)
    error = np.std(values) / math.sqrt(trials)
    assert abs(np.mean(values) - 0.6) < 4 * error + 0.005
    # ||gbar||^2 averages 1 + 40/150 and 1 + 40/200.
    assert np.mean(plug_ins) == pytest.approx(0.6 / math.sqrt((1 + 40 / 150) * (1 + 40 / 200)), abs=0.015)
    assert 0.925 <= covered / trials <= 0.985
    assert plug_in_covered / trials < 0.88
    assert one_set / trials < 0.9


def test_what_does_not_fit_is_refused():
    good = tuple(np.ones((4, 2)) for _ in range(3))
    for bad in (
        tuple(np.ones((2, 2)) for _ in range(3)),
        tuple(np.ones((4, 3)) for _ in range(3)),
        (np.ones((4, 2)), np.ones((5, 2)), np.ones((4, 2))),
    ):
        with pytest.raises(ValueError, match="second must hold three arrays of shape"):
            alignment_from_dots(["a", "b"], good, bad)
    with pytest.raises(ValueError, match="first squared norms must be non-negative"):
        alignment_from_dots(["a", "b"], (-good[0], *good[1:]), good)
    with pytest.raises(ValueError, match="level must be"):
        alignment_from_dots(["a", "b"], good, good, 1.5)


def test_text_names_the_layers():
    text = str(aligned(np.ones((3, 5)) + np.eye(3, 5), np.ones((4, 5))))
    assert text.startswith("average gradients of 3 and 4 examples (95% intervals, nominal)")
    assert "first" in text


def test_at_an_optimum_the_average_gradient_is_rounding_of_either_sign():
    """Least squares: inner products with the average sum to a few 1e-33, below 0 for some of the problems."""
    below = 0
    for seed in range(300):
        generator = np.random.default_rng(seed)
        m = int(generator.integers(4, 30))
        x, y = generator.normal(size=(m, 3)), generator.normal(size=m)
        g = (x @ np.linalg.lstsq(x, y, rcond=None)[0] - y)[:, None] * x
        h = generator.normal(size=(7, 3))
        a, b = g.mean(0), h.mean(0)
        below += (g @ a).mean() < 0
        sets = ((g**2).sum(1), g @ a, g @ b), ((h**2).sum(1), h @ b, h @ a)
        found = alignment_from_dots(["w"], *(tuple(part[:, None] for part in one) for one in sets)).total
        assert 0 <= found.squared_means[0] < 1e-28
        assert math.isnan(found.cosine.value)
    assert below > 0
    wrong = np.ones((4, 1)), np.full((4, 1), -0.5), np.ones((4, 1))
    with pytest.raises(ValueError, match="squared_mean must be non-negative"):
        alignment_from_dots(["w"], wrong, wrong)
