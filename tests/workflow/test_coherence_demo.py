"""The training to look at: the same checkpoints for the same seed, and a network that learns."""

import pytest
import torch
from torch import nn

from genbounds.models import load_checkpoint
from genbounds.workflow.coherence_demo import train_digits
from genbounds.workflow.demo import network

pytest.importorskip("sklearn", reason="the digits are scikit-learn's")


def test_it_learns_and_is_a_function_of_its_seed(tmp_path):
    torch.manual_seed(5)
    state = torch.get_rng_state()
    one, again, other = (
        train_digits(tmp_path / str(i), seed=seed, epochs=(0, 2, 10)) for i, seed in enumerate((0, 0, 1))
    )
    assert torch.equal(torch.get_rng_state(), state)
    assert [path.name for path in one.checkpoints] == [
        *("epoch=0-step=0.safetensors", "epoch=2-step=40.safetensors", "epoch=10-step=200.safetensors")
    ]
    assert [a.read_bytes() for a in one.checkpoints] == [a.read_bytes() for a in again.checkpoints]
    assert one.checkpoints[0].read_bytes() != other.checkpoints[0].read_bytes()
    assert (len(one.train[0]), len(one.test[0])) == (1000, 797)
    model, errors = network().eval(), []
    for path in one.checkpoints:
        model.load_state_dict(load_checkpoint(path).state)
        with torch.no_grad():
            errors.append(float((model(one.test[0]).argmax(1) != one.test[1]).float().mean()))
            losses = nn.functional.cross_entropy(model(one.train[0]), one.train[1])
    assert errors[0] > 0.7
    assert errors[2] < 0.15
    assert losses < 0.6
