"""The monitor changes nothing in a training, and goes on where it stopped."""

import json
import random

import numpy as np
import pytest
import torch
from torch import nn

from genbounds.pathways import (
    PathwayMonitor,
    capture_routing,
    pathway_metrics,
    read_pathway_series,
    read_routing,
    series_of,
)
from genbounds.pathways.grokking.mixture import Mixture
from genbounds.pathways.training import monitor as monitor_module
from genbounds.pathways.training import snapshots as snapshots_module

P = 5
PAIRS = torch.cartesian_prod(torch.arange(P), torch.arange(P))
SUMS = PAIRS.sum(dim=1) % P
LOSS = nn.functional.cross_entropy
FAST = {"groups": SUMS, "paths": "top", "metric": "hamming", "shuffles": 2, "permutations": 4}


class Network(nn.Module):
    """A mixture of experts whose inputs are dropped out at random in training."""

    def __init__(self):
        super().__init__()
        self.mixture = Mixture(P, width=8, heads=2)
        self.dropout = nn.Dropout(0.2)

    def forward(self, pairs):
        x = self.dropout(self.mixture.attend(pairs))
        for block in self.mixture.blocks:
            x, _ = block(x)
        return x @ self.mixture.unembedding.T


def answers(outputs, inputs, targets):
    return {"loss": LOSS(outputs, targets, reduction="none")}


def train(model, epochs, after=lambda epoch, step: None):
    """A plain loop that draws from every global generator; `after` is called at each epoch and each step."""
    torch.manual_seed(1)
    np.random.seed(2)  # noqa: NPY002
    random.seed(3)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    step = 0
    for epoch in range(epochs + 1):
        model.train()
        model.dropout.eval() if epoch % 2 else None  # a mode of a module's own
        after(epoch, step)
        for batch in torch.randperm(len(PAIRS)).split(10):
            noise = np.random.standard_normal() + random.random()  # noqa: NPY002
            optimizer.zero_grad()
            (LOSS(model(PAIRS[batch]), SUMS[batch]) * (1 + 0.1 * noise)).backward()
            optimizer.step()
            step += 1
            after(None, step)
    return model, optimizer


class Pairs(torch.utils.data.Dataset):
    """Items that draw from the global generators, as augmentation does."""

    def __len__(self):
        return len(PAIRS)

    def __getitem__(self, index):
        torch.rand(1), np.random.rand(), random.random()  # noqa: NPY002
        return PAIRS[index], SUMS[index]


def bits(thing):
    if isinstance(thing, torch.Tensor):
        return thing.detach().numpy().tobytes()
    if isinstance(thing, dict):
        return {name: bits(value) for name, value in thing.items()}
    return [bits(value) for value in thing] if isinstance(thing, list | tuple) else thing


def network():
    torch.manual_seed(7)
    return Network()


def watch(model, data=(PAIRS, SUMS), **options):
    return PathwayMonitor(model, data, evaluate=answers, **FAST | options)


def test_a_training_with_it_ends_with_the_same_bits(tmp_path):
    plain, optimizer = train(network(), 2)
    states = (torch.get_rng_state(), np.random.get_state()[1], random.getstate())  # noqa: NPY002
    watched = network()
    monitor = watch(watched, Pairs(), path=tmp_path / "pathways.jsonl", snapshots=tmp_path / "snapshots")
    modes = set()

    def after(epoch, step):
        before = [module.training for module in watched.modules()]
        hooks = [len(module._forward_hooks) for module in watched.modules()]
        gradients = [None if p.grad is None else p.grad.clone() for p in watched.parameters()]
        monitor.epoch(epoch) if epoch is not None else monitor.step(step)
        assert [module.training for module in watched.modules()] == before
        assert [len(module._forward_hooks) for module in watched.modules()] == hooks
        for parameter, gradient in zip(watched.parameters(), gradients, strict=True):
            assert parameter.requires_grad
            assert (parameter.grad is None) == (gradient is None)
            assert gradient is None or torch.equal(parameter.grad, gradient)
        modes.add(tuple(before))

    _, other = train(watched, 2, after)
    assert len(modes) == 2
    assert bits(dict(plain.state_dict())) == bits(dict(watched.state_dict()))
    assert bits(optimizer.state_dict()) == bits(other.state_dict())
    assert torch.equal(states[0], torch.get_rng_state())
    assert np.array_equal(states[1], np.random.get_state()[1])  # noqa: NPY002
    assert states[2] == random.getstate()


def test_without_the_guard_the_bits_would_differ(monkeypatch):
    """The test of the test: a monitor that leaves generators where the data brought them changes the training."""
    import contextlib

    plain, _ = train(network(), 1)
    monkeypatch.setattr(monitor_module, "untouched", lambda model: contextlib.nullcontext())
    watched = network()
    monitor = watch(watched, Pairs())
    train(watched, 1, lambda epoch, step: (monitor.epoch(epoch), watched.train()) if epoch is not None else None)
    assert bits(dict(plain.state_dict())) != bits(dict(watched.state_dict()))


def test_it_measures_the_model_as_it_is_in_evaluation(tmp_path):
    model = network()
    monitor = watch(model, every=2, path=tmp_path / "pathways.jsonl", snapshots=tmp_path / "snapshots")
    assert monitor.epoch(1) is None
    found = monitor.epoch(4, step=16)
    routing = capture_routing(model.eval(), (PAIRS, SUMS), evaluate=answers, keep="routes")
    expected = pathway_metrics(routing, **FAST)
    assert found.to_json() == expected.to_json()
    assert found.saturation is None
    (point,) = monitor.series.points
    assert (point.name, point.epoch, point.step) == ("epoch 4", 4, 16)
    assert read_pathway_series(tmp_path / "pathways.jsonl").to_json() == monitor.series.to_json()
    (snapshot,) = (tmp_path / "snapshots").iterdir()
    afterwards = series_of([read_routing(snapshot)], **FAST)
    assert afterwards.points[0].record.saturation.saturation == 1
    assert afterwards.points[0].record.distance.to_json() == found.distance.to_json()


def test_after_an_error_modes_are_back():
    def failing(outputs, inputs, targets):
        raise ArithmeticError

    model = network()
    with pytest.raises(ArithmeticError):
        PathwayMonitor(model, (PAIRS, SUMS), evaluate=failing).step(0)
    assert all(module.training for module in model.modules())
    assert not any(module._forward_hooks for module in model.modules())


def test_it_goes_on_where_it_stopped(tmp_path, monkeypatch):
    path, calls = tmp_path / "pathways.jsonl", []

    def counted(network, data, **options):
        if "name" in options:
            calls.append(options["name"])
        return capture_routing(network, data, **options)

    monkeypatch.setattr(snapshots_module, "capture_routing", counted)

    def run(epochs, **options):
        model = network()
        monitor = watch(model, path=path, **options)
        train(model, epochs, lambda epoch, step: monitor.epoch(epoch, step) if epoch is not None else None)
        return monitor.series

    first = run(1)
    assert len(calls) == 2
    with path.open("ab") as file:  # killed while it wrote
        file.write(b'{"weights": "0a')
    second = run(3)
    assert len(calls) == 4
    assert [point.to_json() for point in second.points[:2]] == [point.to_json() for point in first.points]
    assert second.axis == ("epoch", (0, 1, 2, 3))
    assert [point.step for point in second.points] == [0, 3, 6, 9]
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert [line["epoch"] for line in lines] == [0, 1, 2, 3]
    other = run(3, seed=5)  # other settings: measured again, and told apart
    assert len(other.points) == 4
    assert read_pathway_series(path).to_json() == other.to_json()
    assert len(calls) == 8
    run(3, snapshots=tmp_path / "snapshots")  # known, but not yet kept
    assert len(calls) == 12
    run(3, snapshots=tmp_path / "snapshots")
    assert len(calls) == 12
    assert len(path.read_text(encoding="utf-8").splitlines()) == 8


def test_a_moment_that_was_measured_twice_counts_last():
    """A training resumed before its last measurement may come by the same step with other weights."""
    model = network()
    monitor = watch(model)
    monitor.step(0)
    monitor.step(10)
    with torch.no_grad():
        model.mixture.embedding += 1
    last = monitor.step(10)
    assert [point.step for point in monitor.series.points] == [0, 10]
    assert monitor.series.points[1].record.to_json() == last.to_json()


def test_of_several_processes_one_writes(tmp_path, monkeypatch):
    def measured():
        monitor = watch(network(), path=tmp_path / "pathways.jsonl", snapshots=tmp_path / "snapshots")
        monitor.step(0)
        return monitor.series.to_json()

    for module in (monitor_module, snapshots_module):
        monkeypatch.setattr(module, "first_process", lambda: False)
    other = measured()
    assert not list(tmp_path.iterdir())
    monkeypatch.undo()
    assert measured() == other
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("every", [0, 1.5])
def test_what_cannot_be(every):
    with pytest.raises(ValueError, match="every must be a whole number of at least 1"):
        watch(network(), every=every)


def test_what_loggers_get():
    monitor = watch(network())
    record = monitor.step(0)
    assert monitor.subject == "pathways"
    assert record.flat()["top/r_squared"] == record.top.groups.r_squared
    assert all(type(value) is float for value in record.flat().values())
