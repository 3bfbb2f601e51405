"""A series measures each checkpoint once, as a measurement by hand does, and knows where each one stands."""

import dataclasses
import json
import math
import os
import subprocess
import sys
from functools import partial

import pytest
import torch
from torch import nn

from genbounds.coherence import CoherenceSeries, Measured, coherence_series, measure, read_series
from genbounds.coherence.training import repeated
from genbounds.coherence.training.repeated import RepeatedMeasurement
from genbounds.models import CheckpointError, save_state

LOSS = nn.functional.cross_entropy


def smoothed(outputs, targets):
    return LOSS(outputs, targets, label_smoothing=0.1)


def network():
    return nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Dropout(0.5), nn.Linear(7, 3))


@pytest.fixture
def data():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(30, 5, generator=generator)
    return x, (x[:, 0] > 0).long() + (x[:, 1] > 0.5).long()


@pytest.fixture
def folder(tmp_path):
    """Checkpoints at epochs 0, 2 and 10."""
    torch.manual_seed(0)
    model = network()
    for epoch in (0, 2, 10):
        save_state(model.state_dict(), tmp_path / "weights" / f"epoch={epoch}-step={5 * epoch}.safetensors")
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += 0.3 * torch.randn_like(parameter)
    return tmp_path / "weights"


@pytest.fixture
def counted(monkeypatch):
    calls = []
    monkeypatch.setattr(repeated, "measure", lambda *args, **kwargs: calls.append(1) or measure(*args, **kwargs))
    return calls


def test_each_point_is_the_measurement_of_its_checkpoint(data, folder):
    series = coherence_series(network, [folder], LOSS, data, null_draws=5)
    assert series.axis == ("epoch", (0, 2, 10))
    assert [point.step for point in series.points] == [0, 10, 50]
    for point in series.points:
        model = network().eval()
        from safetensors.torch import load_file

        model.load_state_dict(load_file(folder / point.name))
        assert point.record == measure(model, LOSS, data, null_draws=5)


def test_a_second_set_and_a_dtype(data, folder):
    other = (data[0].flip(0) + 0.1, data[1].flip(0))
    series = coherence_series(network, [folder], LOSS, data, second=other, dtype=torch.float64)
    assert {point.record.provenance["dtype"] for point in series.points} == {"float64"}
    assert all(point.record.second.total.m == (30, 30) for point in series.points)


def test_what_is_known_is_not_measured_again(data, folder, tmp_path, counted):
    path = tmp_path / "coherence.jsonl"
    run = partial(coherence_series, network, loss=LOSS, path=path)
    first = run([folder], data=data)
    assert len(counted) == 3
    assert run([folder], data=data) == first
    assert len(counted) == 3
    renamed = folder.rename(tmp_path / "elsewhere") / "epoch=10-step=50.safetensors"
    again = run([renamed.rename(renamed.with_name("last.safetensors"))], data=data)
    assert len(counted) == 3  # the same weights under another name
    assert again.points[0].record == first.points[2].record
    assert (again.points[0].name, again.points[0].epoch) == ("last.safetensors", None)
    folder = renamed.parent
    for changed in ({"seed": 1}, {"level": 0.9}, {"null_draws": 2}, {"second": data}):
        before = len(counted)
        run([folder], data=data, **changed)
        assert len(counted) == before + 3, changed
    before = len(counted)
    run([folder], data=(data[0], 2 - data[1]))
    run([folder], data=(data[0] * 2, data[1]))
    coherence_series(network, [folder], smoothed, data, path=path)
    assert len(counted) == before + 9


def test_what_was_edited_is_measured_again(data, folder, tmp_path, counted):
    """The same weights, names and data, and yet other gradients."""
    path = tmp_path / "kept.jsonl"

    def found(model, loss):
        series = coherence_series(model, [folder], loss, data, path=path)
        return [point.record.loss for point in series.points]

    def wider():
        model = network()
        model[1] = nn.ReLU()  # no weights of its own
        return model

    plain = found(network, nn.CrossEntropyLoss())
    assert found(network, nn.CrossEntropyLoss()) == plain
    assert len(counted) == 3
    smooth = found(network, nn.CrossEntropyLoss(label_smoothing=0.1))
    other = found(wider, nn.CrossEntropyLoss())
    assert len(counted) == 9
    for measured, loss, build in ((smooth, smoothed, network), (other, LOSS, wider)):
        assert measured == pytest.approx(found(build, loss), rel=1e-9)
        assert measured != plain


def test_positions_beside_the_weights(data, tmp_path):
    torch.manual_seed(0)
    for number, entries in (("b", {"epoch": 3, "global_step": 30}), ("a", {"epoch": 4, "step": 40})):
        torch.save({"state_dict": network().state_dict(), **entries}, tmp_path / f"{number}.pt")
    series = coherence_series(network, [tmp_path / "b.pt", tmp_path / "a.pt"], LOSS, data)
    assert [(point.epoch, point.step) for point in series.points] == [(3, 30), (4, 40)]
    backwards = coherence_series(network, [tmp_path], LOSS, data)
    assert backwards.axis == ("checkpoint", (1, 2))  # numbers that fall order nothing


def test_a_model_that_does_not_fit_is_refused(data, folder):
    with pytest.raises(CheckpointError):
        coherence_series(lambda: nn.Linear(5, 3), [folder], LOSS, data)


def test_through_json_and_back(data, folder, tmp_path):
    series = coherence_series(network, [folder], LOSS, data, null_draws=3, path=tmp_path / "c.jsonl")
    assert CoherenceSeries.from_json(json.loads(json.dumps(series.to_json(), allow_nan=False))) == series
    assert read_series(tmp_path / "c.jsonl") == series
    with pytest.raises(ValueError, match="values must be a series of coherence"):
        CoherenceSeries.from_json({"format": "genbounds coherence 1"})


def test_as_a_table(data, folder):
    pytest.importorskip("pandas", reason="tables need pandas")
    frame = coherence_series(network, [folder], LOSS, data).to_frame()
    assert frame.index.names == ["checkpoint", "layer"]
    assert len(frame) == 9
    row = frame.loc[("epoch=2-step=10.safetensors", "all")]
    assert (row["epoch"], row["step"]) == (2, 10)


# The stability diagnostic, on a series.


def test_stability_takes_each_checkpoints_values_until_the_next(data, folder):
    series = coherence_series(network, [folder], LOSS, data)
    by_coherence, by_noise = series.stability(0.1, smoothness=0.5, lipschitz=50.0)
    assert (by_coherence.steps, by_noise.steps, by_noise.n) == (50, 50, 30)
    spread = [math.sqrt(2 * series.points[0 if t < 10 else 1].record.noise) for t in range(50)]
    expected = 50 / 30 * sum(1.05 ** (49 - t) * 0.1 * each for t, each in enumerate(spread))
    assert by_noise.value == pytest.approx(expected, rel=1e-12)
    assert by_noise.value < by_coherence.value
    assert series.stability(0.1, smoothness=0.5, lipschitz=50.0, n=300)[1].value == pytest.approx(expected / 10)
    assert series.stability(0.1, smoothness=0.5, lipschitz=50.0, convex=True)[1].value < expected


def test_a_refuted_lipschitz_constant_is_refused(data, folder):
    series = coherence_series(network, [folder], LOSS, data)
    longest = max(point.record.norm_quantiles[-1] for point in series.points)
    assert series.stability(0.1, smoothness=0.5, lipschitz=longest)
    with pytest.raises(ValueError, match="lipschitz must be at least the length of every gradient"):
        series.stability(0.1, smoothness=0.5, lipschitz=0.99 * longest)


def test_examples_without_gradients_have_no_spread():
    """All gradients 0: coherence is not defined, and both forms are 0."""
    model = nn.Linear(2, 1, bias=False)
    nn.init.zeros_(model.weight)
    record = measure(model.eval(), nn.functional.mse_loss, (torch.ones(6, 2), torch.zeros(6, 1)))
    series = CoherenceSeries((Measured("a", 0, 0, record), Measured("b", 1, 5, record)))
    assert [each.value for each in series.stability(0.1, smoothness=1.0, lipschitz=1.0)] == [0.0, 0.0]


def test_stability_needs_steps(data, folder):
    series = coherence_series(network, [folder], LOSS, data)
    setting = {"smoothness": 0.5, "lipschitz": 50.0}
    without = CoherenceSeries(tuple(dataclasses.replace(point, step=None) for point in series.points))
    for shorter, complaint in (
        (without, "steps must be known"),
        (CoherenceSeries(series.points[:1]), "steps must be known for two checkpoints"),
        (CoherenceSeries(series.points[1:]), "Measure the initial weights too"),
    ):
        with pytest.raises(ValueError, match=complaint):
            shorter.stability(0.1, **setting)
    with pytest.raises(ValueError, match="points must be at least one"):
        CoherenceSeries(())


PROCESS = """
import os, sys, torch
from torch import nn, distributed as dist
from genbounds.coherence import CoherenceMonitor
rank = int(sys.argv[1])
dist.init_process_group("gloo", init_method="file://" + sys.argv[2], rank=rank, world_size=2)
torch.manual_seed(0)
model = nn.Linear(4, 3)
data = torch.randn(40, 4), torch.arange(40) % 3
monitor = CoherenceMonitor(model, nn.functional.cross_entropy, data, path=sys.argv[3] + str(rank), batch_size=8)
print(monitor.epoch(0).alpha, monitor.epoch(1).alpha)
dist.destroy_process_group()
"""


def test_two_processes_measure_together_and_one_writes(tmp_path):
    def start(rank):
        arguments = [
            sys.executable,
            "-c",
            PROCESS,
            str(rank),
            str(tmp_path / "store"),
            str(tmp_path / "coherence.jsonl"),
        ]
        return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})

    running = [start(rank) for rank in range(2)]
    said = [process.communicate(timeout=120)[0].strip() for process in running]
    assert [process.returncode for process in running] == [0, 0]
    torch.manual_seed(0)
    model = nn.Linear(4, 3).eval()
    data = torch.randn(40, 4), torch.arange(40) % 3
    alpha = measure(model, LOSS, data, batch_size=8).alpha
    assert said == [f"{alpha} {alpha}"] * 2
    assert [path.name for path in tmp_path.glob("coherence*")] == ["coherence.jsonl0"]
    found = read_series(tmp_path / "coherence.jsonl0")
    assert found.axis == ("epoch", (0, 1))
    alone = RepeatedMeasurement(LOSS, data, path=tmp_path / "coherence.jsonl0", batch_size=8)
    assert len(alone.series.points) == 2  # one process knows what two have measured
