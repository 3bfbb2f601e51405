"""Norms against numpy and the formulas, what they are invariant to, and what they refuse."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from genbounds.measures import Measure, Measures, Refusal, norm_measures, read_measures, weight_layers
from genbounds.models.guards import ModelError


def matrices(seed, *shapes):
    rng = np.random.default_rng(seed)
    return {f"{k}": torch.tensor(rng.standard_normal(shape)) for k, shape in enumerate(shapes)}


SHAPES = (5, 3), (4, 5, 2, 3), (2, 4)


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), st.floats(0.01, 100))
def test_the_formulas(seed, margin):
    trained, initial = matrices(seed, *SHAPES), matrices(seed + 1, *SHAPES)
    found = norm_measures(weight_layers(trained), weight_layers(initial), margin=margin)
    ws, w0 = ([each.flatten(1).numpy() for each in part.values()] for part in (trained, initial))
    s, f = np.array([np.linalg.norm(w, 2) for w in ws]), np.array([np.linalg.norm(w) for w in ws])
    moved = np.array([np.linalg.norm(a - b) for a, b in zip(ws, w0, strict=True)])
    moved_spec = np.array([np.linalg.norm(a - b, 2) for a, b in zip(ws, w0, strict=True)])
    ps, pf = np.prod(s**2), np.prod(f**2)
    expected = {
        "parameters": 5 * 4 + 6 * 4 * 6 + 2 * 5,
        "log_inverse_margin": np.log(margin**-2),
        "log_spec_init_main": np.log(ps * (moved**2 / s**2).sum() / margin**2),
        "log_spec_orig_main": np.log(ps * (f**2 / s**2).sum() / margin**2),
        "log_prod_of_spec_over_margin": np.log(ps / margin**2),
        "log_prod_of_spec": np.log(ps),
        "fro_over_spec": (f**2 / s**2).sum(),
        "log_sum_of_spec_over_margin": np.log(3 * (ps / margin**2) ** (1 / 3)),
        "log_sum_of_spec": np.log(3 * ps ** (1 / 3)),
        "log_prod_of_fro_over_margin": np.log(pf / margin**2),
        "log_prod_of_fro": np.log(pf),
        "log_sum_of_fro_over_margin": np.log(3 * (pf / margin**2) ** (1 / 3)),
        "log_sum_of_fro": np.log(3 * pf ** (1 / 3)),
        "fro_dist": (moved**2).sum(),
        "dist_spec_init": (moved_spec**2).sum(),
        "parameter_norm": (f**2).sum(),
    }
    assert {each.name for each in found} == set(expected)
    assert found.refused == ()
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-9, abs=1e-9), name
    assert len({each.equation for each in found}) == len(expected)


@given(st.floats(1e-3, 1e3))
def test_moving_scale_between_layers_keeps_products_and_moves_sums(scale):
    one = matrices(3, (5, 3), (2, 5))
    two = {"0": one["0"] * scale, "1": one["1"] / scale}
    a, b = norm_measures(weight_layers(one)), norm_measures(weight_layers(two))
    for name in ("log_prod_of_fro", "log_prod_of_spec", "fro_over_spec", "log_sum_of_spec"):
        assert b[name] == pytest.approx(a[name], rel=1e-9, abs=1e-9)
    if abs(math.log(scale)) > 2:
        assert b["parameter_norm"] > 2 * a["parameter_norm"]


def test_rescaling_single_neurons_moves_even_products_though_the_function_stays():
    one = matrices(4, (5, 3), (2, 5))
    scales = torch.tensor([10.0, 0.1, 1, 3, 7], dtype=torch.float64)
    two = {"0": scales[:, None] * one["0"], "1": one["1"] / scales}
    x = torch.randn(9, 3, dtype=torch.float64)
    outputs = [(x @ each["0"].T).relu() @ each["1"].T for each in (one, two)]
    torch.testing.assert_close(*outputs)
    before, after = (norm_measures(weight_layers(each))["log_prod_of_fro"] for each in (one, two))
    assert abs(before - after) > 1


def test_deep_networks_do_not_overflow():
    layers = {str(k): 1e3 * torch.eye(4, dtype=torch.float64) for k in range(200)}
    assert norm_measures(weight_layers(layers))["log_prod_of_spec"] == pytest.approx(400 * math.log(1e3))


def test_what_is_missing_is_refused_with_its_reason():
    found = norm_measures(weight_layers(matrices(0, *SHAPES)))
    refused = {each.name: each.reason for each in found.refused}
    assert "initial" in refused["fro_dist"]
    assert "margin" in refused["log_prod_of_spec_over_margin"]
    with pytest.raises(KeyError, match="refused"):
        _ = found["fro_dist"]
    with pytest.raises(KeyError, match="not measured"):
        _ = found["nothing"]


@pytest.mark.parametrize("margin", [-1.0, 0.0])
def test_a_margin_that_is_not_positive_is_refused_and_not_squared(margin):
    found = norm_measures(weight_layers(matrices(0, *SHAPES)), margin=margin)
    refused = {each.name: each.reason for each in found.refused}
    assert "positive margin" in refused["log_inverse_margin"]
    assert found["log_prod_of_spec"]


def test_a_layer_of_zeros_and_weights_that_did_not_move():
    zeros = norm_measures(weight_layers({"a": torch.zeros(2, 2), "b": torch.eye(2)}))
    assert "zeros" in {each.name: each.reason for each in zeros.refused}["log_prod_of_spec"]
    assert zeros["parameter_norm"] == pytest.approx(2)
    same = matrices(0, *SHAPES)
    still = norm_measures(weight_layers(same), weight_layers(same), margin=1.0)
    assert still["fro_dist"] == 0
    assert "not moved" in {each.name: each.reason for each in still.refused}["log_spec_init_main"]


@pytest.mark.parametrize("other", [{"0": torch.eye(2)}, {"0": torch.eye(3), "1": torch.eye(2)}, {"1": torch.eye(3)}])
def test_another_networks_start_is_refused(other):
    with pytest.raises(ModelError, match="initial must hold"):
        norm_measures(weight_layers({"0": torch.eye(3)}), weight_layers(other))


def test_a_module_and_its_state_dict_agree():
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 2))
    assert norm_measures(weight_layers(model)) == norm_measures(weight_layers(model.state_dict()))


def test_the_record_is_read_back_and_makes_a_table(tmp_path):
    found = norm_measures(weight_layers(matrices(0, *SHAPES)), margin=2.0)
    found.save(tmp_path / "measures.json")
    assert read_measures(tmp_path / "measures.json") == found
    pytest.importorskip("pandas", reason="needs the extra frame")
    table = found.to_frame()
    assert len(table) == len(found.measured) + len(found.refused)
    (tmp_path / "measures.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ValueError, match="record of measures"):
        read_measures(tmp_path / "measures.json")
    with pytest.raises(ValueError, match="twice"):
        Measures((Measure("a", 1.0, ""),), (Refusal("a", ""),))
