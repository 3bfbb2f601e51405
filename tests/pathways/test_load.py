"""Load of experts: closed forms, orderings, the two balance losses, errors over samples."""

import importlib.util
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genbounds.pathways.usage.load import ExpertLoad, expert_load

spec = importlib.util.spec_from_file_location("usage_worlds", Path(__file__).parent / "usage_worlds.py")
worlds = importlib.util.module_from_spec(spec)
spec.loader.exec_module(worlds)
random_sets, routing_of = worlds.random_sets, worlds.routing_of


def test_even_load():
    experts = np.arange(12).reshape(6, 2) % 4
    found = expert_load(routing_of([experts], [2, 4], 4, gates=[np.full((6, 4), 0.25)]))
    layer = found.layers[0]
    assert layer.load == (0.25,) * 4
    assert (layer.executed, layer.dead_experts, layer.gini) == (2.0, 0, 0.0)
    exact = {
        "switch_balance": 1,
        "transformers_balance": 2,
        "simpson_experts": 4,
        "effective_experts": 4,
        "largest_load": 1,
        "cv_squared": 0,
        "load_entropy": math.log(4),
        "router_entropy": math.log(4),
        "relative_router_entropy": 1,
    }
    for name, value in exact.items():
        assert getattr(layer, name) == pytest.approx(value, abs=1e-7), name
    assert found.transformers_pooled_balance == pytest.approx(2)


def test_one_expert_has_everything():
    gates = np.eye(5)[np.zeros(6, int)]
    layer = expert_load(routing_of([np.zeros((6, 1), int)], [3, 3], 5, gates=[gates])).layers[0]
    assert (layer.dead_experts, layer.effective_experts, layer.simpson_experts) == (4, 1.0, 1.0)
    assert layer.switch_balance == layer.transformers_balance == layer.largest_load == 5
    assert (layer.gini, layer.cv_squared, layer.router_entropy) == (pytest.approx(0.8), 4.0, 0.0)


def test_pooled_layers_hide_imbalances_that_cancel():
    gates = [np.eye(2)[np.full(4, i)] for i in (0, 1)]
    found = expert_load(routing_of([np.full((4, 1), i) for i in (0, 1)], [4], 2, gates=gates))
    assert [layer.switch_balance for layer in found.layers] == [2.0, 2.0]
    assert found.transformers_pooled_balance == 1.0


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(2, 7), st.integers(1, 3))
def test_orderings_and_relabelling(seed, experts, k):
    rng = np.random.default_rng(seed)
    k, lengths = min(k, experts), rng.integers(1, 5, 4)
    selected = random_sets(rng, lengths.sum(), experts, k, rng.dirichlet(np.full(experts, 0.5)) + 1e-9)
    gates = rng.dirichlet(np.ones(experts), lengths.sum())
    layer = expert_load(routing_of([selected], lengths, experts, gates=[gates])).layers[0]
    f = np.bincount(selected.ravel(), minlength=experts) / selected.size
    assert 1 - 1e-9 <= layer.simpson_experts <= layer.effective_experts + 1e-9 <= experts + 1e-6
    assert layer.cv_squared == pytest.approx(np.var(f) / np.mean(f) ** 2, abs=1e-9)
    assert layer.gini == pytest.approx(np.abs(f[:, None] - f).mean() / (2 * f.mean()), abs=1e-9)
    assert layer.switch_balance == pytest.approx(experts * f @ gates.mean(axis=0), abs=1e-5)
    assert layer.transformers_balance == pytest.approx(k * layer.switch_balance)
    new = rng.permutation(experts)
    moved = expert_load(routing_of([new[selected]], lengths, experts, gates=[gates[:, np.argsort(new)]])).layers[0]
    assert np.array(moved.load)[new] == pytest.approx(np.array(layer.load))
    for name in ("load_entropy", "load_entropy_error", "gini", "switch_balance", "router_entropy"):
        assert getattr(moved, name) == pytest.approx(getattr(layer, name), abs=1e-6, nan_ok=True), name


def test_balance_is_that_of_transformers():
    torch = pytest.importorskip("torch")
    mixtral = pytest.importorskip("transformers.models.mixtral.modeling_mixtral")
    logits = torch.randn(2, 40, 6, generator=torch.Generator().manual_seed(0))
    selected = [one.topk(2).indices.numpy() for one in logits]
    gates = [one.softmax(-1).numpy() for one in logits]
    found = expert_load(routing_of(selected, [10, 30], 6, gates=gates))
    wanted = float(mixtral.load_balancing_loss_func(tuple(logits), 6, 2))
    assert found.transformers_pooled_balance == pytest.approx(wanted, rel=1e-5)
    alone = float(mixtral.load_balancing_loss_func((logits[1],), 6, 2))
    assert found.layers[1].transformers_balance == pytest.approx(alone, rel=1e-5)


def test_errors_of_equal_samples_are_those_of_a_mean_and_cover():
    rng, covered = np.random.default_rng(0), 0
    for _ in range(150):
        favourite = rng.random(40) < 0.5  # tokens of a sample share how sure the router is
        gates = np.where(np.repeat(favourite, 5)[:, None], [1.0, 0.0], [0.5, 0.5])
        layer = expert_load(routing_of([np.zeros((200, 1), int)], [5] * 40, 2, gates=[gates])).layers[0]
        entropies = np.where(favourite, 0.0, math.log(2))
        assert layer.router_entropy_error == pytest.approx(entropies.std(ddof=1) / math.sqrt(40))
        covered += abs(layer.router_entropy - math.log(2) / 2) <= 1.96 * layer.router_entropy_error
    assert 0.88 <= covered / 150 <= 0.99  # tokens counted as independent would cover 0.62


def test_the_record_survives_json_and_goes_to_loggers():
    found = expert_load(routing_of([np.array([[0, 1]] * 3)], [3], 4))
    again = ExpertLoad.from_json(json.loads(json.dumps(found.to_json(), allow_nan=False)))
    assert again.to_json() == found.to_json()
    assert math.isnan(again.router_entropy_error)  # one sample has no spread
    flat = found.flat()
    assert flat["layers.0.gate/dead_experts"] == 2.0
    assert flat["router_entropy"] == found.router_entropy
    assert "router_entropy_error" not in flat
    assert all(isinstance(value, float) and math.isfinite(value) for value in flat.values())
    with pytest.raises(ValueError, match="values must be a record of the format 'genbounds ExpertLoad 1', got None"):
        ExpertLoad.from_json({})


def test_nothing_has_no_load():
    with pytest.raises(ValueError, match="counts must be above 0 for some expert"):
        expert_load(routing_of([np.full((3, 1), -1)], [3], 2))


def test_entropies_of_routers_are_means_over_tokens_not_samples():
    rng = np.random.default_rng(20)
    gates = [rng.dirichlet(np.full(4, 0.5), 9) for _ in range(2)]
    found = expert_load(routing_of([np.zeros((9, 1), int)] * 2, [1, 6, 2], 4, gates=gates))
    tokens = [-(part * np.log(part)).sum(axis=1) for part in gates]
    for layer, part in zip(found.layers, tokens, strict=True):
        assert layer.router_entropy == pytest.approx(part.mean())
    whole, owner = np.mean(tokens, axis=0), np.repeat(np.arange(3), [1, 6, 2])
    without = [whole[owner != i].mean() for i in range(3)]
    assert found.router_entropy == pytest.approx(whole.mean())
    assert found.router_entropy_error == pytest.approx(math.sqrt(2 * np.var(without)))
