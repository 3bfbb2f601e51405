"""Buffers: those that may carry the data are listed, constants are not."""

import pytest
import torch
from torch import nn

from genbounds.models.buffers import same_bits, stateful_buffers


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
        self.register_buffer("positions", torch.arange(5).expand(1, -1))
        self.register_buffer("mask", torch.ones(3, 3).tril().bool()[None])
        self.register_buffer("hidden", nn.Transformer.generate_square_subsequent_mask(4), persistent=False)
        self.register_buffer("table", torch.sin(torch.arange(6.0)), persistent=False)
        self.register_buffer("memory", torch.zeros(2, dtype=torch.int64))


def test_an_untrained_model_has_only_unknown_constants():
    assert set(stateful_buffers(Model())) == {"table"}
    assert stateful_buffers(Model(), fresh=dict(Model().named_buffers())) == {}


def test_running_statistics_and_memories_are_listed():
    model = Model()
    for _ in range(2):
        model.layers(torch.randn(8, 3))
    model.memory[0] = 7
    found = stateful_buffers(model, fresh=dict(Model().named_buffers()))
    assert set(found) == {"layers.1.running_mean", "layers.1.running_var", "memory"}
    assert torch.equal(found["layers.1.running_mean"], model.layers[1].running_mean)


def test_a_fresh_model_may_differ_in_dtype():
    assert stateful_buffers(Model().double(), fresh=dict(Model().double().named_buffers())) == {}


@pytest.mark.parametrize(
    ("values", "stateful"),
    [
        (torch.tensor(0.7), True),
        (torch.tensor(1.0), False),
        (torch.zeros(3, dtype=torch.complex64), False),
        (torch.full((3,), 1j), True),
        (torch.ones(3, 3).triu(), True),
        (torch.full((3, 3), 0.5).tril(), True),
        (torch.eye(3), True),
        (torch.zeros(0), False),
        (torch.ones(1, 1), False),
        (torch.tensor([[2.0]]), True),
        (torch.tensor([float("nan"), 0.0]), True),
    ],
)
def test_what_counts_as_a_constant(values, stateful):
    model = nn.Module()
    model.register_buffer("b", values)
    assert (stateful_buffers(model) == {}) != stateful


def test_same_bits():
    a = torch.tensor([1.0, float("nan"), 0.0])
    assert same_bits(a, a.clone())
    assert not same_bits(a, torch.tensor([1.0, float("nan"), -0.0]))
    assert not same_bits(a, a.double())
    assert not same_bits(a, a[:2])
    assert same_bits(torch.arange(6).reshape(2, 3).T, torch.arange(6).reshape(2, 3).T.contiguous())
    assert same_bits(torch.tensor(True), torch.tensor(True))
