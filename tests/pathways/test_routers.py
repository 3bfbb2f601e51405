"""Finding routers in any module, and reading what a call says."""

import pytest
import torch
from torch import nn

from genbounds.models.guards import ModelError
from genbounds.pathways.capture.routers import Router, RouterCall, find_routers, layer_numbers, linear_part


class Mixture(nn.Module):
    def __init__(self, gate=None, experts=4, d=6, **settings):
        super().__init__()
        self.gate = gate or nn.Linear(d, experts, bias=False)
        self.experts = nn.ModuleList(nn.Linear(d, d) for _ in range(experts))
        for name, value in settings.items():
            setattr(self, name, value)


def network(**settings):
    return nn.ModuleDict({"layers": nn.ModuleList([Mixture(**settings), nn.Linear(6, 6), Mixture(**settings)])})


def router(module=None, **settings):
    return Router("gate", module or nn.Identity(), **{"top_k": None, "normalise": True, "reader": None} | settings)


def test_linear_gates_beside_experts_are_found():
    found = find_routers(network(top_k=2, norm_topk_prob=False))
    assert [each.name for each in found] == ["layers.0.gate", "layers.2.gate"]
    assert [(each.top_k, each.normalise) for each in found] == [(2, False)] * 2
    assert [each.name for each in find_routers(network(), "layers.2.*ate", top_k=3)] == ["layers.2.gate"]


def test_what_is_not_found_is_listed():
    with pytest.raises(
        ModelError, match=r"called blocks.*, got none in ModuleDict; these may be routers: layers.0.gate"
    ):
        find_routers(network(), "blocks.*.gate")
    with pytest.raises(ModelError, match="nothing in it looks like a router"):
        find_routers(nn.Sequential(nn.Linear(2, 2)))


@pytest.mark.parametrize("normalise", [True, False])
def test_logits_alone_take_the_largest(normalise):
    logits = torch.randn(5, 4)
    call = router(top_k=2, normalise=normalise).read((), logits)
    probabilities = logits.softmax(1)
    expected, selected = probabilities.topk(2)
    assert (call.selected == selected).all()
    assert not call.seen
    torch.testing.assert_close(call.weights, expected / expected.sum(1, keepdim=True) if normalise else expected)
    with pytest.raises(ModelError, match="Pass top_k"):
        router().read((), logits)
    with pytest.raises(ModelError, match=r"top_k must be in \[1, 4\]"):
        router(top_k=5).read((), logits)


def test_pairs_without_logits_are_completed_from_the_weights():
    gate, hidden = nn.Linear(6, 4), torch.randn(2, 5, 6)
    logits = gate(hidden).detach().flatten(0, 1)
    weights, selected = logits.softmax(1).topk(2)
    scattered = torch.zeros(10, 4).scatter(1, selected, weights)
    for output in ((selected, weights), (weights, selected), (scattered, selected)):
        call = router(gate).read((hidden,), output)
        torch.testing.assert_close(call.logits, logits)
        assert (call.selected == selected).all()
        torch.testing.assert_close(call.weights, weights)


@pytest.mark.parametrize(
    "output",
    [
        "text",
        (torch.randn(5, 4), torch.randn(5, 2), torch.randn(5, 2)),
        (torch.randn(5, 4), torch.randn(4, 2), torch.zeros(5, 2, dtype=torch.long)),
        (torch.randn(5, 4), torch.randn(5, 6), torch.zeros(5, 6, dtype=torch.long)),
    ],
)
def test_outputs_of_no_known_form_are_refused(output):
    with pytest.raises(ModelError, match="must return logits"):
        router().read((), output)


def test_a_reader_says_what_odd_routers_mean():
    def read(module, inputs, output):
        return RouterCall(output["scores"], output["scores"][:, :1], torch.zeros(5, 1, dtype=torch.long), "sigmoid")

    assert router(reader=read).read((), {"scores": torch.randn(5, 4)}).gate == "sigmoid"
    with pytest.raises(ModelError, match="read must return a RouterCall, got a int"):
        router(reader=lambda *_: 3).read((), None)


@pytest.mark.parametrize("gate", ["softmax", "sigmoid"])
@pytest.mark.parametrize("normalise", [True, False])
def test_the_kind_of_gate_is_found_from_the_weights(gate, normalise):
    logits = torch.randn(20, 5)
    scores = logits.softmax(1) if gate == "softmax" else logits.sigmoid()
    weights, selected = scores.topk(2)
    weights = 2.5 * weights / weights.sum(1, keepdim=True) if normalise else weights
    assert router().gate_of(RouterCall(logits, weights, selected)) == (gate, True)
    assert router().gate_of(RouterCall(logits, torch.rand(20, 2), selected)) == ("softmax", False)


def test_numbers_of_layers_come_from_names():
    assert layer_numbers(["model.layers.3.mlp.gate"]) == [3]
    assert layer_numbers(["gate", "other.gate"]) == [0, 1]


def test_only_a_linear_router_has_weights():
    weight, bias = linear_part(nn.Linear(6, 4), 4)
    assert weight.shape == (4, 6)
    assert bias.shape == (4,)
    assert linear_part(nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 4)), 4) == (None, None)
    assert linear_part(nn.Linear(6, 3), 4) == (None, None)


def test_a_linear_gate_whose_block_makes_its_own_weights_is_refused():
    class PhimoeSparseMoeBlock(Mixture):
        pass

    with pytest.raises(ModelError, match="Update transformers"):
        find_routers(nn.ModuleList([PhimoeSparseMoeBlock(top_k=2)]))


@pytest.mark.parametrize("gate", ["softmax", "sigmoid"])
def test_the_gate_of_a_router_of_one_expert_is_seen_in_its_weights(gate):
    torch.manual_seed(0)
    logits = torch.randn(50, 4)
    scores = logits.softmax(1) if gate == "softmax" else logits.sigmoid()
    assert router().gate_of(RouterCall(logits, *scores.topk(1))) == (gate, True)


def test_the_block_around_a_router_is_no_router():
    with pytest.raises(ModelError, match=r"got layers.0, which holds the router layers.0.gate. Name that one"):
        find_routers(network(), "layers.?", top_k=2)
    assert len(find_routers(network(), "layers.[02]", read=lambda *_: None)) == 2


def test_a_gate_that_is_none_is_refused():
    logits = torch.randn(5, 4)
    call = RouterCall(logits, *logits.topk(2), gate="soft")
    with pytest.raises(ModelError, match=r"gate must be one of .*, got 'soft'"):
        router(reader=lambda *_: call).read((), None)
