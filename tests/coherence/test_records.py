"""The record: derived numbers, tables, and the way through JSON and back."""

import json
import math
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genbounds.coherence.alpha import coherence, unbiased
from genbounds.coherence.layer_records import LayerCoherence
from genbounds.coherence.records import Coherence
from genbounds.coherence.relations import norm_test, one_step_ratio

POSITIVE = st.floats(1e-12, 1e12)
MAYBE = st.none() | st.floats(0, 1)


@st.composite
def numbers(draw, m):
    moment = draw(POSITIVE)
    return {
        "m": m,
        "parameters": draw(st.integers(1, 10**9)),
        "squared_mean": moment * draw(st.floats(0, 1)),
        "second_moment": moment,
        "standard_error": draw(MAYBE),
        "level": 0.95,
        "p_value": draw(MAYBE),
        "pair_square": draw(st.none() | POSITIVE),
    }


@st.composite
def records(draw):
    m = draw(st.integers(2, 10**6))
    return Coherence(
        **draw(numbers(m)),
        layers=tuple(
            LayerCoherence(**draw(numbers(m)), name=name, fraction=draw(MAYBE))
            for name in draw(st.lists(st.text(max_size=5), max_size=3, unique=True))
        ),
        loss=draw(st.floats(-1e6, 1e6)),
        zero_gradients=draw(st.integers(0, m)),
        effective_examples=draw(st.none() | st.floats(1, m)),
        norm_quantiles=tuple(draw(st.lists(POSITIVE, min_size=9, max_size=9))),
        null_draws=draw(st.integers(0, 99)),
        routes={"weight": "product"},
        second=None,
        provenance={"data": "tensors", "versions": {"torch": "2"}},
    )


def record(**changes):
    own = {
        "m": 100,
        "parameters": 7,
        "squared_mean": 0.5,
        "second_moment": 10.0,
        "standard_error": 0.01,
        "level": 0.95,
        "p_value": 0.05,
        "pair_square": 2.0,
    }
    layers = (
        LayerCoherence(**own | {"squared_mean": 0.3, "second_moment": 4.0}, name="", fraction=0.4),
        LayerCoherence(**own | {"squared_mean": 0.2, "second_moment": 6.0}, name="head", fraction=0.6),
    )
    rest = {
        "layers": layers,
        "loss": 0.7,
        "zero_gradients": 3,
        "effective_examples": 80.0,
        "norm_quantiles": tuple(range(9)),
        "null_draws": 19,
        "routes": {"weight": "product"},
        "second": None,
        "provenance": {"data": "tensors"},
    }
    return Coherence(**own | rest | changes)


@given(records())
def test_the_way_through_json_is_exact(found):
    text = json.dumps(found.to_json(), allow_nan=False)
    again = Coherence.from_json(json.loads(text))
    assert again == found
    assert json.dumps(again.to_json(), allow_nan=False) == text
    assert hash(again) == hash(found)


@given(records())
def test_derived_numbers(found):
    for _, group in found.groups():
        signal, noise = unbiased(group.squared_mean, group.second_moment, group.m)
        assert (group.signal, group.noise) == (signal, noise)
        assert group.alpha == coherence(signal, noise)
        assert group.m_coherence * group.diversity == pytest.approx(1) or group.m_coherence < 1e-300
        low, high = group.interval
        if group.standard_error is None:
            assert math.isnan(low)
            assert math.isnan(high)
        else:
            assert low <= group.alpha <= high
        assert group.one_step_ratio(1) == pytest.approx(group.alpha, rel=1e-12)
        assert group.norm_test(8) == norm_test(group.alpha, 8)
        if group.pair_square is None:
            assert math.isnan(group.approximate_p_value)
        else:
            assert 0 <= group.approximate_p_value <= 1
    flat = found.flat()
    assert all(math.isfinite(value) for value in flat.values())
    assert flat["alpha"] == found.alpha
    json.dumps(flat, allow_nan=False)
    assert str(found)


def test_numbers_by_hand():
    found = record()
    assert found.plug_in_alpha == 0.05
    assert found.m_coherence == pytest.approx(5)
    assert found.alpha == pytest.approx((5 - 1) / 99)
    assert found.diversity == pytest.approx(0.2)
    assert found.noise_scale == pytest.approx(99 / 4 - 1)
    assert found.one_step_ratio(50) == one_step_ratio(found.alpha, 50)
    assert found.interval == pytest.approx((found.alpha - 0.0195996, found.alpha + 0.0195996), abs=1e-7)
    assert [label for label, _ in found.groups()] == ["all", "(root)", "head"]
    assert found.flat()["head/m_coherence"] == pytest.approx(100 / 30)
    assert found.fraction == 1.0


def test_table():
    pandas = pytest.importorskip("pandas")
    table = record(p_value=None, standard_error=None).to_frame()
    assert isinstance(table, pandas.DataFrame)
    assert list(table.index) == ["all", "(root)", "head"]
    assert table.loc["all", "plug_in_alpha"] == 0.05
    assert table["fraction"].tolist() == [1.0, 0.4, 0.6]
    assert table["parameters"].dtype.kind == "i"
    assert math.isnan(table.loc["all", "p_value"])
    assert math.isnan(table.loc["all", "alpha_low"])
    assert table.loc["head", "standard_error"] == 0.01
    assert all(kind.kind == "f" for kind in table.drop(columns="parameters").dtypes)


def test_table_without_pandas(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"needs pandas. Run: pip install 'genbounds\[frame\]'"):
        record().to_frame()


def test_words():
    text = str(record())
    assert "coherence of the gradients of 100 examples (95% intervals, nominal)" in text
    assert "Compare early; even at equal training loss" in text
    assert "changes when layers are rescaled" in text
    assert "m-coherence below 1" not in text
    assert "head" in text
    assert "share 60.0%" in text
    assert "m-coherence below 1: the gradients cancel" in str(record(squared_mean=0.05))


def test_few_examples_that_carry_most_are_told():
    told = "Few examples carry most"
    assert told not in str(record())
    assert told in str(record(effective_examples=29.0))
    assert told not in str(record(effective_examples=29.0, standard_error=None))
    assert told not in str(record(effective_examples=None))


def test_other_json_is_refused():
    with pytest.raises(ValueError, match="values must be a record of coherence"):
        Coherence.from_json({"format": "genbounds supersamples 1"})


def test_records_that_contradict_themselves_are_refused():
    values = record().to_json() | {"squared_mean": 11.0}
    with pytest.raises(ValueError, match="squared_mean must be at most second_moment"):
        _ = Coherence.from_json(values).alpha
