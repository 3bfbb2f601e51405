"""Capture on every family that transformers ships, against routing computed by hand from hidden states."""

import importlib.util
import re
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.checkpoint import checkpoint

pytest.importorskip("transformers")
from genbounds.models.guards import ModelError
from genbounds.models.hugging_face import TextModel
from genbounds.pathways.capture.measurement import capture_routing
from genbounds.pathways.capture.recorder import record_routing

spec = importlib.util.spec_from_file_location("moe_families", Path(__file__).parent / "moe_families.py")
moe = importlib.util.module_from_spec(spec)
spec.loader.exec_module(moe)
CAUSAL = [family for family in moe.FAMILIES if family != "SwitchTransformers"]


@pytest.fixture(scope="module")
def models():
    return {family: moe.build(family) for family in moe.FAMILIES}


def chosen_of(family):
    return "encoder.*.router" if family == "SwitchTransformers" else None


def capture(family, model, inputs, **settings):
    return capture_routing(model, inputs, routers=chosen_of(family), **{"keep": "gates"} | settings)


def hidden_states(model, names, inputs):
    """Return what enters each block of a router."""
    seen, handles = {}, []
    for name in names:
        block = model.get_submodule(name.rpartition(".")[0])
        handles.append(
            block.register_forward_pre_hook(lambda _, args, name=name: seen.__setitem__(name, args[0].detach().clone()))
        )
    with torch.no_grad():
        model(**inputs)
    for handle in handles:
        handle.remove()
    return seen


def assert_equal(one, two, tokens=True):
    for mine, other in zip(one.layers, two.layers, strict=True):
        np.testing.assert_allclose(mine.mean_gates, other.mean_gates, atol=1e-5)
        np.testing.assert_array_equal(mine.counts, other.counts)
        np.testing.assert_allclose(mine.entropy, other.entropy, atol=1e-5)
        if tokens:
            np.testing.assert_array_equal(mine.selected, other.selected)
            np.testing.assert_allclose(mine.weights, other.weights, atol=1e-5)
            np.testing.assert_allclose(mine.gates, other.gates, atol=1e-5)


@pytest.mark.parametrize("family", moe.FAMILIES)
def test_capture_is_the_routing_of_the_published_definition(models, family):
    settings, names = moe.FAMILIES[family]
    model, inputs = models[family], moe.inputs_of(family)
    routing = capture(family, model, inputs)
    assert [layer.name for layer in routing.layers] == names
    assert [layer.number for layer in routing.layers] == [int(re.search(r"\d+", name)[0]) for name in names]
    for name, hidden in hidden_states(model, names, inputs).items():
        layer = routing.layers[names.index(name)]
        router = model.get_submodule(name)
        with torch.no_grad():
            gates, selected, weights = moe.routed_by_hand(family, router, hidden, settings)
        assert layer.gate == ("sigmoid" if family == "DeepseekV3" else "softmax")
        np.testing.assert_allclose(layer.gates, gates, atol=1e-5)
        np.testing.assert_array_equal(layer.selected, selected)
        np.testing.assert_allclose(layer.weights, weights, atol=1e-5)
        experts, (rows, columns) = gates.shape[1], hidden.shape[:2]
        np.testing.assert_allclose(layer.mean_gates, gates.reshape(rows, columns, -1).mean(1), atol=1e-5)
        np.testing.assert_allclose(layer.entropy, moe.entropy(gates).reshape(rows, columns).mean(1), atol=1e-5)
        counts = [np.bincount(row[row >= 0], minlength=experts) for row in selected.reshape(rows, -1).numpy()]
        np.testing.assert_array_equal(layer.counts, counts)
        matrix = next(value for value in router.parameters() if value.ndim == 2)
        np.testing.assert_array_equal(layer.router, matrix.detach())
        assert not layer.ties.any()
    assert routing.warnings == ()
    assert (layer.bias is not None) == (family in ("GptOss", "DeepseekV3"))
    assert set(routing.provenance) >= {"model", "torch", "transformers", "genbounds", "device", "dtype"}


def test_the_routes_of_deepseek_v3_are_not_those_of_its_largest_logits(models):
    routing = capture("DeepseekV3", models["DeepseekV3"], moe.inputs_of("DeepseekV3"))
    largest = np.sort(np.argsort(-routing.layers[0].gates, axis=1)[:, :3], axis=1)
    assert (largest != np.sort(routing.layers[0].selected, axis=1)).any(axis=1).mean() > 0.1


def test_switch_drops_tokens_beyond_the_capacity_and_has_a_decoder(models):
    model, inputs = models["SwitchTransformers"], moe.inputs_of("SwitchTransformers")
    layer = capture("SwitchTransformers", model, inputs).layers[0]
    assert (layer.selected == -1).any()
    assert (layer.weights[layer.selected == -1] == 0).all()
    assert layer.counts.sum() == (layer.selected >= 0).sum()
    decoder = capture_routing(model, inputs, routers="decoder.*.router", keep="routes")
    assert [each.number for each in decoder.layers] == [1, 3]
    np.testing.assert_array_equal(decoder.token_ids, inputs["decoder_input_ids"].flatten())
    with pytest.raises(ValueError, match="got those of an encoder and a decoder"):
        capture_routing(model, inputs)


def test_routers_of_attention_are_captured_on_request(models):
    inputs = moe.inputs_of("JetMoe")
    routing = capture_routing(models["JetMoe"], inputs, routers="*self_attention.experts.router", keep="gates")
    assert [layer.number for layer in routing.layers] == [0, 1, 2]
    layer = routing.layers[0]
    np.testing.assert_array_equal(np.argsort(-layer.gates, axis=1)[:, :2], layer.selected)


@pytest.mark.parametrize("family", CAUSAL)
def test_padding_on_either_side_does_not_count(models, family):
    model, lengths = models[family], (8, 5, 3)
    ids = moe.inputs_of(family)["input_ids"]
    alone = [capture(family, model, {"input_ids": ids[row : row + 1, :length]}) for row, length in enumerate(lengths)]
    for left in (False, True):
        padded, mask = torch.zeros_like(ids), torch.zeros_like(ids)
        for row, length in enumerate(lengths):
            place = slice(8 - length, 8) if left else slice(0, length)
            padded[row, place], mask[row, place] = ids[row, :length], 1
        routing = capture(family, model, {"input_ids": padded, "attention_mask": mask})
        assert routing.lengths.tolist() == list(lengths)
        for row, one in enumerate(alone):
            mine = routing.of_samples([row])
            np.testing.assert_array_equal(mine.token_ids, one.token_ids)
            assert_equal(mine, one)


@pytest.mark.parametrize("family", moe.FAMILIES)
def test_batches_of_any_size_give_the_same_record(models, family):
    inputs = moe.inputs_of(family)
    whole, halves, single = (capture(family, models[family], inputs, batch_size=size) for size in (3, 2, 1))
    assert_equal(whole, halves)
    assert_equal(whole, single)
    for one, two in zip(whole.layers, single.layers, strict=True):
        np.testing.assert_array_equal(one.pair_counts, two.pair_counts)


@pytest.mark.parametrize("family", CAUSAL)
def test_generation_is_a_pass_over_what_was_generated(models, family):
    model, ids = models[family], moe.inputs_of(family)["input_ids"]
    mask = torch.ones_like(ids)
    ids[1, :3], mask[1, :3] = 0, 0
    with record_routing(model, keep="gates") as recorder:
        whole = model.generate(ids, attention_mask=mask, max_new_tokens=4, do_sample=False)
    generated = recorder.routing()
    assert generated.lengths.tolist() == [11, 8, 11]  # the last token is never an input
    assert generated.warnings[-1].startswith("Several samples were decoded together")
    with record_routing(model) as recorder:
        model.generate(ids[:1], max_new_tokens=2, do_sample=False)
    assert recorder.routing().warnings == ()
    mask = torch.cat([mask, torch.ones(3, 3, dtype=torch.long)], dim=1)
    plain = capture(family, model, {"input_ids": whole[:, :-1], "attention_mask": mask})
    np.testing.assert_array_equal(generated.token_ids, plain.token_ids)
    assert_equal(generated, plain)


def hooks_of(model):
    return [(*module._forward_hooks, *module._forward_pre_hooks) for module in model.modules()]


@pytest.mark.parametrize("family", CAUSAL)
def test_checkpointed_training_counts_once(family):
    model, inputs = moe.build(family, attention_dropout=0.0), moe.inputs_of(family)
    plain = capture(family, model, inputs)
    if model.supports_gradient_checkpointing:
        newer = getattr(model, "activation_checkpointing_enable", None)
        (newer or model.gradient_checkpointing_enable)()
    else:
        for layer in model.model.layers:
            layer.forward = partial(checkpoint, layer.forward, use_reentrant=False)
    model.train()
    if family == "Phimoe":  # samples its experts in training
        for layer in model.model.layers:
            layer.mlp.router.eval()
    calls, before = [], hooks_of(model)
    handle = model.get_submodule(moe.FAMILIES[family][1][0]).register_forward_hook(lambda *_: calls.append(0))
    with record_routing(model, keep="gates") as recorder:
        model(**inputs, labels=inputs["input_ids"], use_cache=False).loss.backward()
    handle.remove()
    assert len(calls) == 2  # the layer was computed again
    trained = recorder.routing()
    assert model.model.layers[-1].input_layernorm.weight.grad is not None
    assert trained.lengths.tolist() == [8, 8, 8]
    assert_equal(trained, plain)
    assert "training mode" in trained.warnings[-1]
    assert hooks_of(model) == before


@pytest.mark.parametrize("family", moe.FAMILIES)
def test_bf16_executes_what_it_says_and_counts_ties(family):
    model, inputs = moe.build(family, torch.bfloat16), moe.inputs_of(family, rows=8)
    routing = capture(family, model, inputs)
    assert routing.provenance["dtype"] == "bfloat16"
    for layer in routing.layers:
        executed = layer.selected[:, :, None] == np.arange(layer.experts)
        of_executed = np.take_along_axis(layer.gates, np.maximum(layer.selected, 0).astype(int), 1)
        same = (layer.gates[:, None, :] == of_executed[:, :, None]) & ~executed.any(1)[:, None, :]
        tied = (same & (layer.selected >= 0)[:, :, None]).any((1, 2))
        np.testing.assert_array_equal(layer.ties, tied.reshape(8, -1).sum(1))
        np.testing.assert_allclose(layer.gates.sum(1), 1, atol=1e-5)


@pytest.mark.parametrize("kernel", ["eager", "batched_mm", "grouped_mm"])
@pytest.mark.parametrize("family", ["Olmoe", "DeepseekV3", "GptOss"])
def test_every_kernel_of_experts_gives_the_same_routes(models, family, kernel):
    model = moe.build(family)
    model.set_experts_implementation(kernel)
    inputs = moe.inputs_of(family)
    assert_equal(capture(family, model, inputs), capture(family, models[family], inputs))


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"num_beams": 2}, "got reorder_cache of the cache"), ({"use_cache": False}, "with a token more")],
)
def test_generation_that_mixes_rows_or_repeats_tokens_is_refused(models, settings, message):
    model, ids = models["Olmoe"], moe.inputs_of("Olmoe")["input_ids"]
    with pytest.raises(ModelError, match=message), record_routing(model):
        model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=4, do_sample=False, **settings)
    assert not any(hooks for hooks in hooks_of(model))


def test_generation_cannot_be_joined_in_the_middle(models):
    model, ids = models["Olmoe"], moe.inputs_of("Olmoe")["input_ids"]
    with torch.no_grad():
        cache = model(ids).past_key_values
        with record_routing(model) as recorder, pytest.raises(ModelError, match="must go on with the 0 samples"):
            model(ids[:, :1], past_key_values=cache)
        with record_routing(model, positions="last"), pytest.raises(ModelError, match="positions must be 'all'"):
            model(ids[:, :1], past_key_values=cache)
    assert recorder.number == 0
    assert "reorder_cache" not in vars(cache)


def test_a_mask_of_another_form_is_refused(models):
    ids = moe.inputs_of("Olmoe")["input_ids"]
    for mask in (torch.ones(3, 1, 8, 8, dtype=torch.bool), torch.ones(3, 8)):
        with pytest.raises(ModelError, match="attention_mask must be integers or booleans"):
            capture_routing(models["Olmoe"], {"input_ids": ids, "attention_mask": mask})


def test_a_mask_made_inside_a_wrapper_is_seen(models):
    ids = moe.inputs_of("Olmoe")["input_ids"]
    ids[1, 5:] = 0
    routing = capture_routing(TextModel(models["Olmoe"], 0).eval(), ids, evaluate="next_token")
    assert routing.lengths.tolist() == [8, 5, 8]
    alone = capture_routing(models["Olmoe"], ids[1:2, :5], evaluate="next_token")
    np.testing.assert_allclose(routing.layers[2].mean_gates[1], alone.layers[2].mean_gates[0], atol=1e-6)
    assert routing.values["loss"][1] == pytest.approx(alone.values["loss"][0], abs=1e-5)


def test_another_dtype_is_measured_on_a_copy(models):
    inputs = moe.inputs_of("Olmoe")
    half = capture("Olmoe", models["Olmoe"], inputs, dtype=torch.bfloat16)
    assert half.provenance["dtype"] == "bfloat16"
    assert models["Olmoe"].dtype == torch.float32
    np.testing.assert_allclose(
        half.layers[0].mean_gates, capture_routing(models["Olmoe"], inputs).layers[0].mean_gates, atol=0.02
    )
