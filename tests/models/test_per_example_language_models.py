"""Hugging Face language models, per sequence and per token, against a loop of plain autograd."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from genbounds.models.blocks import Blocks
from genbounds.models.per_example.engine import PerExampleGradients
from genbounds.models.per_example.language_models import IGNORED, SingleTokens, next_token_loss

B, T, VOCABULARY = 4, 6, 11

SMALL = {"vocab_size": VOCABULARY, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2}
DECODER = SMALL | {"intermediate_size": 12, "num_key_value_heads": 1, "max_position_embeddings": 16}


def model_of(kind: str) -> nn.Module:
    transformers = pytest.importorskip("transformers")
    name, settings = {
        "llama": ("LlamaForCausalLM", DECODER),
        "llama, tied": ("LlamaForCausalLM", DECODER | {"tie_word_embeddings": True}),
        "mistral": ("MistralForCausalLM", DECODER | {"sliding_window": 4}),
        "qwen2": ("Qwen2ForCausalLM", DECODER | {"tie_word_embeddings": True}),
        "gemma": ("GemmaForCausalLM", DECODER | {"head_dim": 4}),
        "gpt2": (
            "GPT2LMHeadModel",
            {"vocab_size": VOCABULARY, "n_embd": 8, "n_layer": 2, "n_head": 2, "n_positions": 16},
        ),
        "gpt-neox": ("GPTNeoXForCausalLM", SMALL | {"intermediate_size": 12, "max_position_embeddings": 16}),
        "bert": ("BertForSequenceClassification", SMALL | {"intermediate_size": 12, "num_labels": 3}),
        "t5": (
            "T5ForConditionalGeneration",
            {"vocab_size": VOCABULARY, "d_model": 8, "d_kv": 4, "d_ff": 12, "num_layers": 2, "num_heads": 2},
        ),
    }[kind]
    cls = getattr(transformers, name)
    torch.manual_seed(0)
    model = cls(cls.config_class(**settings)).double().eval()
    generator = torch.Generator().manual_seed(1)
    for value in model.parameters():
        value.data.copy_(torch.randn(value.shape, dtype=torch.float64, generator=generator) / value.shape[-1] ** 0.5)
    return model


def sequences() -> dict[str, Tensor]:
    """Return sequences of several lengths, padded on the right."""
    generator = torch.Generator().manual_seed(2)
    ids = torch.randint(1, VOCABULARY, (B, T), generator=generator)
    mask = torch.arange(T) < torch.tensor([6, 4, 3, 5])[:, None]
    return {"input_ids": ids * mask, "attention_mask": mask.long(), "labels": ids.where(mask, IGNORED)}


def check(model: nn.Module, loss: Any, inputs: dict[str, Any], targets: Tensor) -> PerExampleGradients:
    engine = PerExampleGradients(model, loss)
    found = engine.squared_norms(inputs, targets)
    parameters = dict(model.named_parameters())
    for i in range(len(targets)):
        one = {name: part[i : i + 1] if isinstance(part, Tensor) else part for name, part in inputs.items()}
        value = loss(model(**one), targets[i : i + 1]).sum()
        gradients = torch.autograd.grad(value, list(parameters.values()), allow_unused=True, materialize_grads=True)
        assert float(found.losses[i]) == pytest.approx(value.item(), rel=1e-9)
        truth = torch.stack([gradient.square().sum() for gradient in gradients])
        torch.testing.assert_close(found.squared[i], truth, rtol=TOLERANCE, atol=TOLERANCE * float(truth.sum()))
    return engine


#: Some models compute their normalisation in float32, whatever their weights are.
TOLERANCE = 1e-6


@pytest.mark.parametrize("kind", ["llama", "llama, tied", "mistral", "qwen2", "gemma", "gpt2", "gpt-neox"])
def test_causal_model_by_sequence(kind: str) -> None:
    batch = sequences()
    labels = batch.pop("labels")
    engine = check(model_of(kind), next_token_loss, batch | {"use_cache": False}, labels)
    assert not {name: route for name, route in engine.routes.items() if route.startswith(("vmap", "loop"))}


def test_classifier() -> None:
    batch = sequences()
    del batch["labels"]

    def loss(outputs: Any, targets: Tensor) -> Tensor:
        return functional.cross_entropy(outputs.logits, targets)

    engine = check(model_of("bert"), loss, batch, torch.arange(B) % 3)
    assert not {name: route for name, route in engine.routes.items() if route.startswith(("vmap", "loop"))}


def test_encoder_and_decoder() -> None:
    batch = sequences()
    labels = batch.pop("labels")

    def loss(outputs: Any, targets: Tensor) -> Tensor:
        return next_token_loss(outputs, targets)

    batch |= {"decoder_input_ids": batch["input_ids"], "use_cache": False}
    engine = check(model_of("t5"), loss, batch, labels)
    assert not {name: route for name, route in engine.routes.items() if route.startswith(("vmap", "loop"))}


def test_single_tokens_add_up_to_their_sequence() -> None:
    model, batch = model_of("gpt2"), sequences()
    tokens = SingleTokens(batch)
    assert len(tokens) == int((batch["labels"][:, 1:] != IGNORED).sum())
    engine = PerExampleGradients(model, lambda outputs, labels: next_token_loss(outputs, labels, average=False))
    parts: dict[str, list[Tensor]] = {name: [] for name in engine.names}
    losses = []
    for block in Blocks(tokens, 5):
        found = engine.squared_norms(block.inputs, block.targets)
        losses.append(found.losses)
        engine.visit(block.inputs, block.targets, lambda name, rows, g: parts[name].append(g.dense(slice(0, len(g)))))
    labels = batch.pop("labels")
    outputs = model(**batch)
    each = functional.cross_entropy(outputs.logits[:, :-1].mT, labels[:, 1:], reduction="none")
    sequence, position = tokens.places.T
    torch.testing.assert_close(torch.cat(losses), each[sequence, position - 1].detach(), rtol=1e-9, atol=0)
    for name, value in model.named_parameters():
        by_token = torch.cat(parts[name])
        for k in (0, 7):
            (truth,) = torch.autograd.grad(each[sequence[k], position[k] - 1], [value], retain_graph=True)
            torch.testing.assert_close(by_token[k], truth, rtol=1e-9, atol=1e-10)
        (whole,) = torch.autograd.grad(next_token_loss(outputs, labels, average=False)[1], [value], retain_graph=True)
        torch.testing.assert_close(by_token[sequence == 1].sum(0), whole, rtol=1e-9, atol=1e-10)


def test_loss_of_sequences_against_sums_by_hand() -> None:
    logits = torch.randn(B, T, VOCABULARY, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    labels = sequences()["labels"]
    by_hand = []
    for i in range(B):
        terms = [-logits[i, t].log_softmax(0)[labels[i, t + 1]] for t in range(T - 1) if labels[i, t + 1] != IGNORED]
        by_hand.append(sum(terms))
    total = torch.stack(by_hand)
    torch.testing.assert_close(next_token_loss(logits, labels, average=False), total)
    torch.testing.assert_close(next_token_loss(logits, labels), total / (labels[:, 1:] != IGNORED).sum(1))
    assert next_token_loss(logits.bfloat16(), labels).dtype == torch.float32


def test_nothing_to_predict() -> None:
    with pytest.raises(ValueError, match="labels must hold tokens to predict"):
        SingleTokens({"input_ids": torch.zeros(2, 1), "labels": torch.zeros(2, 1)})
