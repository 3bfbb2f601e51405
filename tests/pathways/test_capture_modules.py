"""Recording of any module: positions, refusals, devices, what else is measured."""

import numpy as np
import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from genbounds.models.guards import ModelError
from genbounds.pathways.capture.measurement import capture_routing
from genbounds.pathways.capture.recorder import RoutingRecorder, record_routing
from genbounds.pathways.capture.routers import Router, RouterCall


class Gate(nn.Module):
    def __init__(self, d=6, experts=4, probabilities=False):
        super().__init__()
        self.weight, self.probabilities = nn.Parameter(torch.randn(experts, d)), probabilities

    def forward(self, x):
        logits = x @ self.weight.T
        weights, selected = logits.softmax(-1).topk(2)
        return (logits.softmax(-1) if self.probabilities else logits), weights, selected


class Network(nn.Module):
    """Token ids (B, T) in; the second router sees all tokens or the last one alone."""

    def __init__(self, last=(False, False), **settings):
        super().__init__()
        torch.manual_seed(0)
        self.embedding, self.last = nn.Embedding(20, 6), last
        self.routers = nn.ModuleList([Gate(**settings), Gate(**settings)])
        self.head = nn.Linear(6, 20)

    def forward(self, ids, attention_mask=None):
        x = self.embedding(ids)
        for router, last in zip(self.routers, self.last, strict=True):
            x = x[:, -1:] if last else x
            x = x + router(x.reshape(-1, 6))[1].sum(1).reshape(*x.shape[:2], 1)
        return self.head(x)


IDS = torch.arange(12).reshape(3, 4)


def capture(model, data=IDS, **settings):
    return capture_routing(model.eval(), data, **{"routers": "routers.*", "keep": "gates"} | settings)


def test_positions_are_those_of_the_samples_own_tokens():
    model, mask = Network(), torch.tensor([[1, 1, 1, 1], [0, 0, 1, 1], [1, 1, 0, 0]])
    whole = capture(model, {"ids": IDS, "attention_mask": mask})
    assert whole.lengths.tolist() == [4, 2, 2]
    last = capture(model, {"ids": IDS, "attention_mask": mask}, positions="last")
    ends = np.cumsum(whole.lengths) - 1
    np.testing.assert_array_equal(last.layers[1].gates, whole.layers[1].gates[ends])
    np.testing.assert_array_equal(last.token_ids, [3, 7, 9])
    both = capture(model, {"ids": IDS, "attention_mask": mask}, positions=[0, -1])
    np.testing.assert_array_equal(both.token_ids, [0, 3, 6, 7, 8, 9])
    with pytest.raises(ValueError, match=r"different tokens at \[2\], got 0 of sample 1"):
        capture(model, {"ids": IDS, "attention_mask": mask}, positions=[2])
    with pytest.raises(ValueError, match="at least one token, got 0 of sample 0"):
        capture(model, {"ids": IDS, "attention_mask": 0 * mask})


def test_routers_of_the_last_position_alone():
    one = capture(Network(last=(True, False)))
    assert one.lengths.tolist() == [1, 1, 1]
    with pytest.raises(ModelError, match=r"same positions, got 4 in routers.0, 1 in routers.1"):
        capture(Network(last=(False, True)))
    mixed, plain = (capture(Network(last=last), positions="last") for last in ((False, True), (False, False)))
    np.testing.assert_allclose(mixed.layers[1].gates, plain.layers[1].gates, atol=1e-6)


def test_next_token_is_cross_entropy_over_tokens_that_count():
    model, mask = Network(), torch.tensor([[1, 1, 1, 1], [0, 1, 1, 1], [1, 1, 1, 0]])
    found = capture(model, {"ids": IDS, "attention_mask": mask}, evaluate="next_token").values
    with torch.no_grad():
        said = model(IDS).log_softmax(-1)
    for row, (start, stop) in enumerate([(0, 3), (1, 3), (0, 2)]):
        mean = -np.mean([float(said[row, t, IDS[row, t + 1]]) for t in range(start, stop)])
        assert found["loss"][row] == pytest.approx(mean, abs=1e-6)
        right = [int(said[row, t].argmax()) == int(IDS[row, t + 1]) for t in range(start, stop)]
        assert found["correct"][row] == pytest.approx(np.mean(right))


def test_a_sample_without_a_next_token_is_refused_beside_others():
    mask = torch.tensor([[1, 1, 1, 1], [0, 0, 0, 1], [1, 1, 1, 0]])
    with pytest.raises(ValueError, match="at least two tokens for next_token"):
        capture(Network(), {"ids": IDS, "attention_mask": mask}, evaluate="next_token")


def test_targets_reach_the_users_evaluation():
    data, seen = ({"ids": IDS}, torch.arange(3)), []
    routing = capture(Network(), data, evaluate=lambda out, _, y: seen.append(y) or {"y": y.float()}, batch_size=2)
    np.testing.assert_array_equal(routing.values["y"], [0, 1, 2])
    assert (
        capture(Network(), evaluate=lambda out, _, y: {"none": torch.tensor([y is None] * len(out))})
        .values["none"]
        .all()
    )
    with pytest.raises(ValueError, match=r"tensor of shape \(3,\) for y"):
        capture(Network(), evaluate=lambda *_: {"y": torch.zeros(2)})


def test_probabilities_that_pose_as_logits_are_recognised():
    logits, found = capture(Network()), capture(Network(probabilities=True))
    assert {layer.gate for layer in found.layers} == {"probabilities"}
    np.testing.assert_allclose(found.layers[0].gates, logits.layers[0].gates, atol=1e-6)
    np.testing.assert_allclose(found.layers[0].entropy, logits.layers[0].entropy, atol=1e-5)
    (said,) = found.warnings
    assert "2 routers (routers.0, routers.1) returned probabilities where logits are usual" in said
    assert logits.warnings == ()


@pytest.mark.parametrize("experts", [2, 64])
def test_probabilities_are_recognised_in_bfloat16_whose_rounding_moves_their_sums(experts):
    logits, found = (Network(experts=experts, probabilities=each).bfloat16() for each in (False, True))
    many = torch.arange(400).reshape(100, 4) % 20
    plain, taken = capture(logits, many), capture(found, many)
    assert np.abs(taken.layers[0].gates - plain.layers[0].gates).max() < 0.01
    assert taken.layers[0].gate == "probabilities"


class Fixed(nn.Module):
    """Scores come in as they are."""

    def __init__(self):
        super().__init__()
        self.router, self.weight = nn.Identity(), nn.Parameter(torch.zeros(1))

    def forward(self, x):
        return self.router(x)


def test_what_read_says_of_gates_holds_and_is_checked():
    model, scores = Fixed().eval(), torch.tensor([[0.25, 0.75], [3.0, -1.0]])

    def said(gate):
        return capture_routing(
            model,
            scores,
            batch_size=1,
            routers="router",
            read=lambda _, __, output: RouterCall(output, *output.topk(1), gate=gate),
        )

    gates = said("softmax").layers[0].mean_gates
    np.testing.assert_allclose(gates[0, 0], 1 / (1 + np.exp(0.5)), rtol=1e-6)  # logits that look like probabilities
    with pytest.raises(ModelError, match="got probabilities in 1 of 2 calls"):
        said(None)
    with pytest.raises(ModelError, match="got probabilities in 1 of 2 calls"):
        said("probabilities")


def test_calls_under_inference_mode_and_outside_are_one_record():
    model = Network().eval()
    with record_routing(model, routers="routers.*") as recorder:
        with torch.inference_mode():
            model(IDS)
        model(IDS)
    np.testing.assert_array_equal(recorder.routing().layers[0].counts[:3], recorder.routing().layers[0].counts[3:])
    assert recorder.routing().layers[0].pair_counts.sum() == 2 * 12 * 4


def test_replicas_of_data_parallel_are_refused():
    model = Network().eval()
    with record_routing(model, routers="routers.*"), pytest.raises(ModelError, match="got a replica of Network"):
        model._replicate_for_data_parallel()(IDS)


def test_what_is_not_finite_is_refused_by_name_but_not_in_padding():
    model = Network()
    with torch.no_grad():
        model.embedding.weight[7] = torch.nan
    with pytest.raises(ModelError, match=r"routers.0 must give finite .* 1 of 3 samples, the first being sample 1"):
        capture(model)
    mask = torch.ones_like(IDS)
    mask[1, 3] = 0
    assert np.isfinite(capture(model, {"ids": IDS, "attention_mask": mask}).layers[1].mean_gates).all()


def test_no_call_is_no_record():
    model = Network()
    with record_routing(model, routers="routers.*") as recorder:
        pass
    with pytest.raises(ModelError, match=r"got no call of routers.0, routers.1"):
        recorder.routing()
    model.idle = Gate()
    with pytest.raises(ModelError, match=r"got no call of idle"):
        capture(model, routers=["routers.*", "idle"])
    assert not model._forward_hooks
    assert not model.routers[0]._forward_hooks


def test_rows_that_fit_no_sample_are_refused():
    class Subset(Network):
        def forward(self, ids):
            return self.routers[0](self.embedding(ids).reshape(-1, 6)[:6])

    with pytest.raises(ModelError, match=r"order of the 3 samples of 4 positions"):
        capture(Subset(), routers="routers.0")
    with pytest.raises(ModelError, match="training mode"):
        capture_routing(Network(), IDS, routers="routers.*")
    shared = Network()
    shared.routers[1] = shared.routers[0]
    with pytest.raises(ModelError, match=r"second call of routers.0"):
        capture(shared, routers="routers.0")


def test_rows_of_images_come_from_the_router():
    class Images(nn.Module):
        def __init__(self):
            super().__init__()
            self.gate = nn.Linear(6, 4)

        def forward(self, images):
            return self.gate(images.reshape(-1, 6)).sum()

    routing = capture_routing(Images().eval(), torch.randn(5, 2, 3, 6), routers="gate", top_k=1)
    assert routing.lengths.tolist() == [6] * 5
    assert "largest k" in routing.warnings[0]


def test_autocast_does_not_round_counts():
    model = Network().eval()
    with record_routing(model, routers="routers.*") as recorder, torch.autocast("cpu", torch.bfloat16):
        model(IDS.repeat(700, 10))
    layer = recorder.routing().layers[0]
    np.testing.assert_array_equal(layer.pair_counts.diagonal(), layer.counts.sum(0))


def test_everything_stays_on_one_device(monkeypatch):
    taken = []
    monkeypatch.setattr(Router, "gate_of", lambda *_: ("softmax", True))
    monkeypatch.setattr(RoutingRecorder, "_put", lambda self, now, whole: taken.append((now, whole)))
    with FakeTensorMode(), torch.no_grad():
        model = Network()
        for module in model.modules():
            for name, value in list(module.named_parameters(recurse=False)):
                setattr(module, name, nn.Parameter(torch.empty(value.shape, device="cuda:0")))
        with record_routing(model, routers="routers.*", keep="gates", positions=[0, -1]):
            ids = torch.zeros(3, 4, dtype=torch.long, device="cuda:0")
            model(ids, attention_mask=torch.ones_like(ids))
    ((now, whole),) = taken
    assert whole.device.type == "cpu"
    assert all(reduced.table.device.type == "cuda" for reduced in now.reduced.values())
    assert all(part.device.type == "cuda" for parts in now.tokens.values() for part in parts)
