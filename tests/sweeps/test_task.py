"""Tasks: what their identity depends on, and what they refuse."""

import hashlib
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genbounds.sweeps import Task

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text().filter(lambda name: name != "seed"), JSON, max_size=4))
def test_the_id_survives_json_and_order(arguments):
    task = Task("work:draw", arguments)
    again = dict(reversed(json.loads(json.dumps(arguments)).items()))
    assert Task("work:draw", again).id == task.id
    assert 0 <= task.seed < 2**63
    assert Task("work:draw", arguments, version=2).id != task.id
    assert Task("work:other", arguments).id != task.id


def test_the_id_is_what_the_documentation_says():
    x = np.arange(6, dtype=">i4").reshape(2, 3)
    head = json.dumps(["<i4", [2, 3]]).encode()
    content = {
        "function": "work:total",
        "version": 1,
        "arguments": {"b": [1, None], "a": "é"},
        "arrays": {"x": hashlib.sha256(head + np.arange(6, dtype="<i4").tobytes()).hexdigest()},
    }
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    task = Task("work:total", {"a": "é", "b": [1, None]}, {"x": x})
    assert task.id == hashlib.sha256(canonical.encode("ascii")).hexdigest()
    assert task.seed == int.from_bytes(bytes.fromhex(task.id)[:8]) // 2


def test_arrays_count_by_their_content():
    x = np.arange(6.0).reshape(2, 3)
    task = Task("work:total", {}, {"x": x})
    assert Task("work:total", {}, {"x": np.asfortranarray(x)}).id == task.id
    assert Task("work:total", {}, {"x": x.astype(">f8")}).id == task.id
    others = [x.astype(np.float32), x.reshape(3, 2), np.nextafter(x, 9), np.zeros(0)]
    assert len({Task("work:total", {}, {"x": other}).id for other in others} | {task.id}) == 5
    assert Task("work:total", {}, {"y": x}).id != task.id


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"function": "no_colon"}, "function must be 'package.module:callable'"),
        ({"function": "file.py:draw"}, "function must be 'package.module:callable'"),
        ({"arguments": {"a": (1, 2)}}, r"argument 'a' must be a JSON value .* got \(1, 2\)"),
        ({"arguments": {"a": {1: 2}}}, "argument 'a' must be a JSON value"),
        ({"arguments": {"a": float("nan")}}, "argument 'a' must be a JSON value"),
        ({"arguments": {"a": np.ones(2)}}, "pass arrays as arrays"),
        ({"arguments": {"a": np.int64(3)}}, "argument 'a' must be a JSON value"),
        ({"arguments": {"seed": 3}}, "none is 'seed'"),
        ({"arguments": {"a": 3}, "arrays": {"a": np.ones(2)}}, "names of arguments must differ"),
        ({"arrays": {"a": np.array(["text"])}}, "array must hold numbers"),
        ({"arrays": {"a": np.array([None])}}, "array must hold numbers"),
    ],
)
def test_refusals(arguments, complaint):
    with pytest.raises(ValueError, match=complaint):
        Task(**{"function": "work:draw", "arguments": {}} | arguments)


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("no_such_module:draw", "No module named"),
        ("sweep_work:nothing", "nothing"),
        ("sweep_work:constant", "callable, got 'sweep_work:constant', a int"),
    ],
)
def test_a_function_that_is_not_there(work, name, complaint):
    with pytest.raises(ValueError, match=complaint):
        Task(name, {}).resolve()
