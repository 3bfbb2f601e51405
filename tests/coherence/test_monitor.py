"""The monitor changes nothing in a training, and goes on where it stopped."""

import json
import random

import numpy as np
import pytest
import torch
from torch import nn

from genbounds.coherence import CoherenceMonitor, measure, read_series
from genbounds.coherence.training import monitor as monitor_module
from genbounds.coherence.training import repeated

LOSS = nn.functional.cross_entropy


@pytest.fixture
def data():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(40, 6, generator=generator)
    return x, (x[:, 0] > 0).long() + (x[:, 1] > 0.5).long()


def network():
    torch.manual_seed(7)
    return nn.Sequential(nn.Linear(6, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Dropout(0.3), nn.Linear(12, 3))


def train(model, data, epochs, after=lambda epoch, step: None):
    """A plain loop that draws from every global generator; `after` is called at each epoch and each step."""
    torch.manual_seed(1)
    np.random.seed(2)  # noqa: NPY002
    random.seed(3)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    step = 0
    for epoch in range(epochs + 1):
        model.train()
        model[1].eval() if epoch % 2 else None  # frozen statistics: a mode of a module's own
        after(epoch, step)
        for batch in torch.randperm(40).split(10):
            noise = np.random.standard_normal() + random.random()  # noqa: NPY002
            optimizer.zero_grad()
            (LOSS(model(data[0][batch]), data[1][batch]) * (1 + 0.1 * noise)).backward()
            optimizer.step()
            step += 1
            after(None, step)
    return model, optimizer


class Dataset(torch.utils.data.Dataset):
    """Items that draw from the global generators, as augmentation does."""

    def __init__(self, data):
        self.data = data

    def __len__(self):
        return len(self.data[0])

    def __getitem__(self, index):
        torch.rand(1), np.random.rand(), random.random()  # noqa: NPY002
        return self.data[0][index], self.data[1][index]


def bits(thing):
    if isinstance(thing, torch.Tensor):
        return thing.detach().numpy().tobytes()
    if isinstance(thing, dict):
        return {name: bits(value) for name, value in thing.items()}
    return [bits(value) for value in thing] if isinstance(thing, list | tuple) else thing


@pytest.mark.parametrize("kind", [tuple, Dataset])
def test_a_training_with_it_ends_with_the_same_bits(data, kind):
    plain, optimizer = train(network(), data, 3)
    states = (torch.get_rng_state(), np.random.get_state()[1], random.getstate())  # noqa: NPY002
    watched = network()
    monitor = CoherenceMonitor(watched, LOSS, kind(data), every=1, null_draws=3)
    modes = []

    def after(epoch, step):
        before = [module.training for module in watched.modules()]
        gradients = [None if p.grad is None else p.grad.clone() for p in watched.parameters()]
        monitor.epoch(epoch) if epoch is not None else monitor.step(step)
        assert [module.training for module in watched.modules()] == before
        for parameter, gradient in zip(watched.parameters(), gradients, strict=True):
            assert parameter.requires_grad
            assert (parameter.grad is None) == (gradient is None)
            assert gradient is None or torch.equal(parameter.grad, gradient)
        modes.append(tuple(before))

    _, other = train(watched, data, 3, after)
    assert len(set(modes)) == 2
    assert bits(dict(plain.state_dict())) == bits(dict(watched.state_dict()))
    assert bits(optimizer.state_dict()) == bits(other.state_dict())
    assert torch.equal(states[0], torch.get_rng_state())
    assert np.array_equal(states[1], np.random.get_state()[1])  # noqa: NPY002
    assert states[2] == random.getstate()


def test_without_the_guard_the_bits_would_differ(data, monkeypatch):
    """The test of the test: a monitor that leaves generators where the data brought them changes the training."""
    import contextlib

    plain, _ = train(network(), data, 2)
    monkeypatch.setattr(monitor_module, "untouched", lambda model: contextlib.nullcontext())
    watched = network()
    monitor = CoherenceMonitor(watched, LOSS, Dataset(data))
    train(watched, data, 2, lambda epoch, step: (monitor.epoch(epoch), watched.train()) if epoch is not None else None)
    assert bits(dict(plain.state_dict())) != bits(dict(watched.state_dict()))


def test_it_measures_the_model_as_it_is_in_evaluation(data, tmp_path):
    model = network()
    monitor = CoherenceMonitor(model, LOSS, data, every=2, path=tmp_path / "coherence.jsonl", interval=False)
    assert monitor.epoch(1) is None
    found = monitor.epoch(4, step=16)
    model.eval()
    assert found == measure(model, LOSS, data, interval=False)
    assert monitor.series.points[0].epoch == 4
    assert monitor.series.points[0].step == 16
    assert read_series(tmp_path / "coherence.jsonl") == monitor.series


def test_after_an_error_the_modes_are_back(data):
    def failing(outputs, targets):
        raise ArithmeticError

    model = network()
    with pytest.raises(ArithmeticError):
        CoherenceMonitor(model, failing, data).step(0)
    assert all(module.training for module in model.modules())


def test_it_goes_on_where_it_stopped(data, tmp_path, monkeypatch):
    path, calls = tmp_path / "coherence.jsonl", []
    monkeypatch.setattr(repeated, "measure", lambda *args, **kwargs: calls.append(1) or measure(*args, **kwargs))

    def run(epochs, options=None):
        model = network()
        monitor = CoherenceMonitor(model, LOSS, data, path=path, **(options or {"interval": False}))
        train(model, data, epochs, lambda epoch, step: monitor.epoch(epoch, step) if epoch is not None else None)
        return monitor.series

    first = run(2)
    assert len(calls) == 3
    with path.open("ab") as file:  # killed while it wrote
        file.write(
            b'{"weights": "0a',
        )
    second = run(4)
    assert len(calls) == 5
    assert second.points[:3] == first.points
    assert second.axis == ("epoch", (0, 1, 2, 3, 4))
    assert [point.step for point in second.points] == [0, 4, 8, 12, 16]
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert [line["epoch"] for line in lines] == [0, 1, 2, 3, 4]
    assert len(run(4, {"interval": True}).points) == 5  # other settings: measured again, and told apart
    assert len(calls) == 10
    data[0][0] += 1
    run(0)
    assert len(calls) == 11


def test_a_moment_that_was_measured_twice_counts_last(data, tmp_path):
    """A training resumed before its last measurement may come by the same step with other weights."""
    model = network()
    monitor = CoherenceMonitor(model, LOSS, data, path=tmp_path / "c.jsonl", interval=False)
    monitor.step(0)
    monitor.step(10)
    with torch.no_grad():
        model[0].weight += 1
    last = monitor.step(10)
    assert [point.step for point in monitor.series.points] == [0, 10]
    assert monitor.series.points[1].record == last


def test_a_file_of_something_else_is_refused(data, tmp_path):
    for content in ('{"loss": 1}\n', "epoch,loss\n1,2\n", "[]\n"):
        (tmp_path / "other.jsonl").write_text(content, encoding="utf-8")
        with pytest.raises(ValueError, match="path must be a file with one measurement on each line"):
            CoherenceMonitor(network(), LOSS, data, path=tmp_path / "other.jsonl")
    with pytest.raises(FileNotFoundError):
        read_series(tmp_path / "none.jsonl")


@pytest.mark.parametrize("every", [0, 1.5])
def test_what_cannot_be(data, every):
    with pytest.raises(ValueError, match="every must be a whole number of at least 1"):
        CoherenceMonitor(network(), LOSS, data, every=every)


def test_what_loggers_get(data):
    monitor = CoherenceMonitor(network(), LOSS, data, interval=False)
    record = monitor.step(0)
    assert monitor.subject == "coherence"
    assert record.flat()["m_coherence"] == record.m_coherence
    told = monitor.scalars(record)
    assert told["coherence/alpha"] == record.alpha
    assert all(type(value) is float and np.isfinite(value) for value in told.values())
