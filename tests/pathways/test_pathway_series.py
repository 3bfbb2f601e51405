"""A series measures what was captured at each checkpoint, captures none twice, and needs no model for the rest."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from genbounds.models import save_state
from genbounds.models.training.measured import axis, in_order
from genbounds.models.training.series import Moment, moments_of_training
from genbounds.pathways import (
    PathwaySeries,
    capture_routing,
    memorised_groups,
    pathway_metrics,
    pathway_series,
    read_pathway_series,
    read_routing,
    series_of,
)
from genbounds.pathways.grokking.mixture import Mixture
from genbounds.pathways.metrics_records import HEADLINES
from genbounds.pathways.training import snapshots as snapshots_module
from genbounds.pathways.training.correlations import correlation

P = 5
PAIRS = torch.cartesian_prod(torch.arange(P), torch.arange(P))
SUMS = PAIRS.sum(dim=1) % P
FAST = {"paths": "top", "metric": "hamming", "shuffles": 3, "permutations": 9}


def model(seed=0, **options):
    return Mixture(P, width=8, heads=2, seed=seed, **options).eval()


def answers(outputs, inputs, targets):
    losses = nn.functional.cross_entropy(outputs, targets, reduction="none")
    return {"loss": losses, "correct": (outputs.argmax(dim=1) == targets).float()}


def halves(outputs, inputs, targets):
    return {name: values / 2 for name, values in answers(outputs, inputs, targets).items()}


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoints")
    network = model()
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.02)
    for step in range(60):
        if step % 10 == 0:
            save_state(network.state_dict(), folder / f"step={step}.safetensors")
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(PAIRS), SUMS).backward()
        optimizer.step()
    return folder


@pytest.fixture
def captured(monkeypatch):
    """How many captures of the whole data were made."""
    calls = []

    def counted(network, data, **options):
        if data is not None and options.get("name"):
            calls.append(options["name"])
        return capture_routing(network, data, **options)

    monkeypatch.setattr(snapshots_module, "capture_routing", counted)
    return calls


def moments(folder):
    return moments_of_training(model(), [folder])


def series(folder, **options):
    return pathway_series(moments(folder), (PAIRS, SUMS), groups=SUMS, evaluate=answers, **FAST | options)


def same(one, two):
    return json.dumps(one.to_json()) == json.dumps(two.to_json())


def test_each_point_is_what_capture_and_metrics_give_by_hand(checkpoints):
    found = series(checkpoints)
    routings = [
        capture_routing(moment.network, (PAIRS, SUMS), evaluate=answers, keep="routes", name=moment.name)
        for moment in moments(checkpoints)
    ]
    assert found.axis == ("step", (0, 10, 20, 30, 40, 50))
    for point, routing in zip(found.points, routings, strict=True):
        expected = pathway_metrics(routing, groups=SUMS, last=routings[-1], **FAST)
        assert point.name == routing.name
        assert same(point.record, expected)
    assert found.points[-1].record.saturation.saturation == 1
    assert found.points[0].record.saturation.saturation < 1
    losses = [point.record.flat()["loss"] for point in found.points]
    assert losses[-1] < losses[0] - 0.5


def test_snapshots_are_enough_for_other_metrics(checkpoints, tmp_path):
    found = series(checkpoints, snapshots=tmp_path)
    routings = sorted(map(read_routing, tmp_path.glob("*.npz")), key=lambda routing: routing.step)
    assert len(routings) == 6
    again = series_of(routings, groups=SUMS, **FAST)
    assert same(again, found)
    other = series_of(routings, paths="cumulative", tau=0.6, metric="jaccard", shuffles=0)
    assert other.points[0].record.distance.metric == "jaccard"
    without = [
        replace(each, layers=tuple(replace(layer, selected=None, weights=None) for layer in each.layers))
        for each in routings
    ]
    assert all(point.record.saturation is None for point in series_of(without, **FAST).points)


def test_a_killed_run_goes_on_and_nothing_is_captured_twice(checkpoints, tmp_path, captured):
    def killed():
        for number, moment in enumerate(moments(checkpoints)):
            if number == 4:
                raise KeyboardInterrupt
            yield moment

    with pytest.raises(KeyboardInterrupt):
        pathway_series(killed(), (PAIRS, SUMS), evaluate=answers, snapshots=tmp_path)
    assert len(captured) == 4
    (tmp_path / "unfinished-0.npz").write_bytes(b"half a snapshot")
    first = series(checkpoints, snapshots=tmp_path)
    assert len(captured) == 6
    assert same(series(checkpoints, snapshots=tmp_path), first)
    assert same(series(checkpoints), first)  # and the same as without a folder
    assert len(captured) == 12
    assert {path.suffix for path in tmp_path.iterdir()} == {".npz"}


def test_what_is_other_is_captured_again(checkpoints, tmp_path, captured):
    def run(data=(PAIRS, SUMS), networks=None, **options):
        before = len(captured)
        found = pathway_series(networks or moments(checkpoints), data, snapshots=tmp_path, **FAST | options)
        return len(captured) - before, found

    assert run(evaluate=answers)[0] == 6
    assert run(evaluate=answers, seed=3, capture={"progress": False})[0] == 0  # settings of metrics alone
    assert run(evaluate=halves)[0] == 6
    assert run()[0] == 6
    assert run(evaluate=answers, capture={"keep": "samples"})[0] == 6
    assert run((PAIRS, (SUMS + 1) % P), evaluate=answers)[0] == 6
    assert run((PAIRS.flip(1), SUMS), evaluate=answers)[0] == 6
    assert run(PAIRS)[0] == 6  # without targets
    edited = model()  # the same weights, and one expert executed less: nothing in names or weights says so
    for block in edited.blocks:
        block.router.executed = 1
    assert run(evaluate=answers, networks=moments_of_training(edited, [checkpoints]))[0] == 6


def test_a_snapshot_takes_the_name_it_is_asked_for(checkpoints, tmp_path, captured):
    series(checkpoints, snapshots=tmp_path)
    renamed = (Moment(f"other {each.step}", 1, None, each.network) for each in moments(checkpoints))
    found = pathway_series(renamed, (PAIRS, SUMS), evaluate=answers, snapshots=tmp_path, **FAST)
    assert len(captured) == 6
    assert [(point.name, point.epoch, point.step) for point in found.points][1] == ("other 10", 1, None)
    assert found.axis == ("checkpoint", (1, 2, 3, 4, 5, 6))


def test_correlations_are_those_of_the_points(checkpoints):
    found = series(checkpoints)
    table = found.correlations("loss")
    flat = [point.record.flat() for point in found.points]
    assert list(table) == [name for name in HEADLINES if all(name in values for values in flat)]
    steps, entropy = [0, 10, 20, 30, 40, 50], [values["router_entropy"] for values in flat]
    losses = [values["loss"] for values in flat]
    expected = correlation(
        [values["top/within"] for values in flat], losses, {"step": steps, "router_entropy": entropy}
    )
    assert table["top/within"] == expected
    assert table["router_entropy"].covariates == ("step",)
    assert all(each.points == 6 for each in table.values())
    with pytest.raises(ValueError, match="of must be a value that was captured at all points, got 'accuracy'"):
        found.correlations("accuracy")
    with pytest.raises(ValueError, match="points must be at least 3 for a correlation, got 2"):
        PathwaySeries(found.points[:2]).correlations()


def test_memorised_samples_by_their_losses(checkpoints, tmp_path):
    found = series(checkpoints, snapshots=tmp_path, epsilon=1.2)
    losses = np.stack([
        routing.values["loss"]
        for routing in sorted(map(read_routing, tmp_path.glob("*.npz")), key=lambda routing: routing.step)
    ])
    times = np.array(found.memorised.times)
    for sample, time in enumerate(times):  # the definition, sample by sample
        stays = [
            t
            for t in range(6)
            if all(losses[u, sample] <= 1.2 and abs(losses[u, sample] - losses[5, sample]) <= 0.05 for u in range(t, 6))
        ]
        assert time == min(stays, default=-1)
    assert (times == 5).any()
    assert sum(map(len, memorised_groups(times).values())) == (times >= 0).sum()
    assert series(checkpoints).memorised is None
    with pytest.raises(ValueError, match="routings must all have the loss of the same samples"):
        pathway_series(moments(checkpoints), PAIRS, epsilon=1.2, **FAST)


def test_through_json_and_files(checkpoints, tmp_path):
    found = series(checkpoints, epsilon=1.2)
    text = json.dumps(found.to_json(), allow_nan=False)
    again = PathwaySeries.from_json(json.loads(text))
    assert json.dumps(again.to_json()) == text
    assert again.memorised == found.memorised
    (tmp_path / "series.json").write_text(text, encoding="utf-8")
    assert same(read_pathway_series(tmp_path / "series.json"), found)
    with pytest.raises(ValueError, match="values must be a series of pathway metrics"):
        PathwaySeries.from_json({"format": "genbounds coherence series 1"})
    broken = json.loads(text)
    del broken["points"][0]["record"]["load"]
    with pytest.raises(ValueError, match="values must be a measurement that to_json wrote, got KeyError: 'load'"):
        PathwaySeries.from_json(broken)
    with pytest.raises(FileNotFoundError):
        read_pathway_series(tmp_path / "none.json")
    for content in ("[1]\n", text[:-100]):
        (tmp_path / "other.json").write_text(content, encoding="utf-8")
        with pytest.raises(ValueError, match="must be a"):
            read_pathway_series(tmp_path / "other.json")
        assert (tmp_path / "other.json").read_text(encoding="utf-8") == content  # reading changes no file


def test_as_a_table(checkpoints):
    pytest.importorskip("pandas", reason="tables need pandas")
    frame = series(checkpoints).to_frame()
    assert frame.index.name == "checkpoint"
    assert frame["step"].tolist() == [0, 10, 20, 30, 40, 50]
    assert frame.loc["step=50.safetensors", "saturation"] == 1


def test_nothing_to_measure():
    for empty in (lambda: series_of([]), lambda: pathway_series(iter(()), PAIRS), lambda: PathwaySeries(())):
        with pytest.raises(ValueError, match="points must be at least one measurement, got none"):
            empty()


def test_order_and_axis():
    def points(*places):
        return [Moment(name, epoch, step, nn.Identity()) for name, epoch, step in places]

    both = points(("a", 2, 20), ("b", 1, 10), ("a", 2, 20))
    assert [(each.name, each.step) for each in in_order(both)] == [("b", 10), ("a", 20)]
    assert in_order(both)[1] is both[2]  # what was measured again counts
    assert [each.name for each in in_order(points(("a", 2, None), ("b", 1, 5)))] == ["b", "a"]
    assert [each.name for each in in_order(points(("b", None, None), ("a", None, 5)))] == ["b", "a"]
    assert axis(points(("a", 1, 5), ("b", 2, 6))) == ("epoch", (1, 2))
    assert axis(points(("a", 1, 5), ("b", 1, 6))) == ("step", (5, 6))
    assert axis(points(("a", 1, 6), ("b", 1, 5))) == ("checkpoint", (1, 2))
