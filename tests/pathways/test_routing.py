"""The record of routing: what it refuses, selection of samples, and its file."""

from dataclasses import fields, replace

import numpy as np
import pytest

from genbounds.pathways.routing import RoutedLayer, Routing, count_pairs, read_routing


def random_layer(rng, lengths, experts=5, k=2, *, name="layers.0.gate", number=0, tokens=True):
    total = int(lengths.sum())
    gates = rng.dirichlet(np.ones(experts), total).astype(np.float32)
    selected = np.argsort(-gates, axis=1)[:, :k].astype(np.int16)
    owner = np.repeat(np.arange(len(lengths)), lengths)
    counts, mean, entropy = np.zeros((len(lengths), experts), np.int64), np.zeros((len(lengths), experts)), []
    for sample in range(len(lengths)):
        mine = owner == sample
        counts[sample] = np.bincount(selected[mine].ravel(), minlength=experts)
        mean[sample] = gates[mine].mean(axis=0, dtype=np.float64)
        entropy.append(-(gates[mine] * np.log(gates[mine])).sum(axis=1).mean())
    return RoutedLayer(
        name,
        number,
        "softmax",
        mean.astype(np.float32),
        counts,
        np.array(entropy, np.float64),
        np.zeros(len(lengths), np.int64),
        count_pairs(selected, experts),
        router=rng.standard_normal((experts, 3)).astype(np.float32),
        selected=selected if tokens else None,
        weights=np.take_along_axis(gates, selected.astype(np.intp), 1) if tokens else None,
        gates=gates if tokens else None,
    )


def random_routing(seed=0, lengths=(3, 1, 4), layers=3, *, tokens=True):
    rng, lengths = np.random.default_rng(seed), np.array(lengths)
    return Routing(
        tuple(random_layer(rng, lengths, name=f"layers.{i}.gate", number=i, tokens=tokens) for i in range(layers)),
        lengths,
        token_ids=rng.integers(0, 50, lengths.sum()).astype(np.int32) if tokens else None,
        values={"loss": rng.random(len(lengths))},
        name="step=20",
        step=20,
        provenance={"model": "Tiny"},
        warnings=("a warning",),
    )


def assert_same(one, two):
    for each in fields(one):
        mine, other = getattr(one, each.name), getattr(two, each.name)
        if each.name == "layers":
            for layer, again in zip(mine, other, strict=True):
                assert_same(layer, again)
        elif each.name == "values":
            assert mine.keys() == other.keys()
            assert all((mine[name] == other[name]).all() for name in mine)
        elif isinstance(mine, np.ndarray):
            assert mine.dtype == other.dtype
            assert (mine == other).all()
        else:
            assert mine == other, each.name


@pytest.mark.parametrize("tokens", [True, False])
def test_a_file_gives_the_same_record_again(tmp_path, tokens):
    routing = random_routing(tokens=tokens)
    routing.save(tmp_path / "folder" / "routing.npz")
    assert_same(routing, read_routing(tmp_path / "folder" / "routing.npz"))


def test_other_files_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"path must end in \.npz, got 'routing.json'"):
        random_routing().save(tmp_path / "routing.json")
    with pytest.raises(FileNotFoundError):
        read_routing(tmp_path / "none.npz")
    (tmp_path / "text.npz").write_text("no archive")
    np.savez(tmp_path / "other.npz", x=np.zeros(3))
    np.savez(tmp_path / "pickle.npz", x=np.array([{}], dtype=object))
    whole = tmp_path / "whole.npz"
    random_routing().save(whole)
    (tmp_path / "cut.npz").write_bytes(whole.read_bytes()[:-200])
    for name in ("text", "other", "pickle", "cut"):
        with pytest.raises(ValueError, match=f"path must be a routing that save wrote, got {name}.npz"):
            read_routing(tmp_path / f"{name}.npz")


def test_samples_are_selected_with_their_tokens():
    routing = random_routing(lengths=(3, 1, 4, 2))
    chosen = routing.of_samples([2, 0])
    assert chosen.lengths.tolist() == [4, 3]
    tokens = [4, 5, 6, 7, 0, 1, 2]
    assert (chosen.token_ids == routing.token_ids[tokens]).all()
    assert (chosen.values["loss"] == routing.values["loss"][[2, 0]]).all()
    for mine, whole in zip(chosen.layers, routing.layers, strict=True):
        assert (mine.gates == whole.gates[tokens]).all()
        assert (mine.mean_gates == whole.mean_gates[[2, 0]]).all()
        assert (np.diag(mine.pair_counts) == mine.counts.sum(axis=0)).all()
    assert_same(routing.of_samples(routing.values["loss"] >= 0), routing)
    without = random_routing(tokens=False).of_samples([1])
    assert without.layers[0].pair_counts is None


def test_pairs_are_counted_as_by_hand():
    rng = np.random.default_rng(1)
    selected = np.stack([rng.permutation(6)[:3] for _ in range(40)]).astype(np.int16)
    selected[[3, 5], 2], selected[7] = -1, -1
    by_hand = np.zeros((6, 6), np.int64)
    for row in selected:
        for one in row[row >= 0]:
            for two in row[row >= 0]:
                by_hand[one, two] += 1
    assert (count_pairs(selected, 6) == by_hand).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mean_gates": np.full((3, 5), 0.3, np.float32)}, "mean_gates must be probabilities in each row"),
        ({"mean_gates": np.full((3, 5), np.nan, np.float32)}, "mean_gates must be probabilities in each row"),
        ({"mean_gates": np.zeros((3, 0), np.float32)}, "mean_gates must be a row for each sample"),
        ({"entropy": np.full(3, 1.7)}, r"entropy must be in \[0, ln 5\], got 1.7 to 1.7"),
        ({"entropy": np.full(3, np.nan)}, r"entropy must be in \[0, ln 5\]"),
        ({"entropy": np.ones(4)}, r"entropy must be of shape \(3,\)"),
        ({"counts": np.zeros((3, 4), np.int64)}, r"counts must be of shape \(3, 5\)"),
        ({"router": np.zeros((4, 3), np.float32)}, r"router must be of shape \(5, None\)"),
        ({"weights": None}, "selected and weights must be given together"),
        ({"selected": np.full((8, 2), 5, np.int16)}, r"selected must be in \[-1, 5\), got 5 to 5"),
        ({"gates": np.full((8, 4), 0.25, np.float32)}, "gates must be of 5 columns"),
        ({"gates": np.full((7, 5), 0.2, np.float32)}, "selected, weights and gates must be of two dimensions"),
    ],
)
def test_a_layer_that_cannot_be_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        replace(random_routing().layers[0], **change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layers": ()}, "layers must be at least one, got none"),
        ({"lengths": np.array([3, 0, 5])}, "lengths must be at least 1"),
        ({"lengths": np.array([8])}, "3 for 1 in layer layers.0.gate"),
        ({"lengths": np.array([3, 1, 5])}, "8 for 9 in tokens of layer layers.0.gate"),
        ({"token_ids": np.zeros(3, np.int32)}, "3 for 8 in token_ids"),
        ({"values": {"loss": np.zeros(2)}}, "2 for 3 in values of loss"),
    ],
)
def test_parts_that_disagree_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        replace(random_routing(), **change)


def test_arrays_cannot_be_changed():
    with pytest.raises(ValueError, match="read-only"):
        random_routing().layers[0].mean_gates[0, 0] = 1
