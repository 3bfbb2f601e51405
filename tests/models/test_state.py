"""State dictionaries: fingerprints, atomic files, and a strict fit."""

import os

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import nn

from genbounds.models.state import CheckpointError, apply_state, require_finite, save_state, state_sha256

DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.uint8, torch.bool]


@st.composite
def states(draw):
    names = draw(st.lists(st.text("abc.", min_size=1, max_size=4), min_size=1, max_size=5, unique=True))
    state = {}
    for name in names:
        shape = draw(st.lists(st.integers(0, 3), max_size=3))
        values = torch.randint(0, 100, shape, generator=torch.Generator().manual_seed(draw(st.integers(0, 9))))
        state[name] = values.to(draw(st.sampled_from(DTYPES)))
    return state


@given(states(), st.randoms())
def test_fingerprint_ignores_order_and_layout(tmp_path_factory, state, random):
    names = list(state)
    random.shuffle(names)
    shuffled = {name: state[name] for name in names}
    transposed = {name: t.mT.contiguous().mT if t.ndim > 1 else t.clone() for name, t in shuffled.items()}
    assert state_sha256(transposed) == state_sha256(state)
    path = tmp_path_factory.mktemp("state") / "s.safetensors"
    save_state(state, path)
    assert state_sha256(load_file(path)) == state_sha256(state)


def test_fingerprint_sees_every_change():
    base = {"a": torch.tensor([1.0, 2.0]), "b": torch.zeros(2, 3)}
    changes = [
        {**base, "a": torch.tensor([1.0, 2.0000002])},
        {**base, "a": torch.tensor([1.0, 2.0]).double()},
        {**base, "a": torch.tensor([[1.0, 2.0]])},
        {**base, "b": torch.zeros(3, 2)},
        {**base, "b": -torch.zeros(2, 3)},
        {"a": base["a"], "c": base["b"]},
        {"a": base["a"]},
        {"a": base["b"], "b": base["a"]},
        {},
    ]
    prints = [state_sha256(state) for state in [base, *changes]]
    assert len(set(prints)) == len(prints)
    assert all(len(text) == 64 for text in prints)


def test_fingerprint_is_of_values_not_views():
    wide = torch.arange(12.0).reshape(3, 4)
    assert state_sha256({"w": wide[:, 1:3]}) == state_sha256({"w": wide[:, 1:3].clone()})
    turning = torch.complex(torch.arange(3.0), torch.ones(3))
    assert state_sha256({"w": turning.conj()}) == state_sha256({"w": turning.conj().resolve_conj()})


def test_save_writes_shared_tensors_and_replaces(tmp_path):
    weight = torch.arange(6.0).reshape(2, 3)
    path = tmp_path / "deep" / "state.safetensors"
    save_state({"one": weight}, path)
    save_state({"one": weight, "tied": weight, "row": weight[1], "view": weight.T}, path)
    loaded = load_file(path)
    assert torch.equal(loaded["tied"], weight)
    assert torch.equal(loaded["row"], weight[1])
    assert torch.equal(loaded["view"], weight.T)
    assert os.listdir(path.parent) == ["state.safetensors"]


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "state.safetensors"
    save_state({"a": torch.ones(2)}, path)
    before = path.read_bytes()

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", killed)
    with pytest.raises(KeyboardInterrupt):
        save_state({"a": torch.zeros(2)}, path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["state.safetensors"]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.complex64])
def test_nan_is_named(dtype):
    bad = torch.zeros(2, 3)
    bad[1, 2] = float("nan")
    with pytest.raises(CheckpointError, match=r"'layer.weight' must be finite, got 1 of 6.*index \[1, 2\]"):
        require_finite({"ok": torch.ones(2), "layer.weight": bad.to(dtype)})


@pytest.mark.parametrize("value", [float("inf"), float("-inf")])
def test_infinite_weights_are_named(value):
    with pytest.raises(CheckpointError, match="must be finite"):
        require_finite({"w": torch.tensor([1.0, value])})


def test_an_attention_mask_may_be_infinite():
    require_finite({"mask": nn.Transformer.generate_square_subsequent_mask(4), "count": torch.tensor(3)})
    with pytest.raises(CheckpointError, match="must be finite"):
        require_finite({"mask": torch.full((2,), float("-inf"))})


def net():
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


def test_apply_fills_everything():
    source, target = net(), net()
    apply_state(target, source.state_dict())
    assert state_sha256(source.state_dict()) == state_sha256(target.state_dict())


def test_dtype_is_the_models_unless_asked():
    state = net().double().state_dict()
    model = net().half()
    apply_state(model, state)
    assert model[0].weight.dtype == torch.float16
    assert torch.equal(model[0].weight, state["0.weight"].half())
    apply_state(model, state, dtype=torch.float64)
    assert model[0].weight.dtype == torch.float64
    assert torch.equal(model[0].weight, state["0.weight"])
    assert model[1].num_batches_tracked.dtype == torch.int64


def test_all_misfits_in_one_error_and_no_change():
    model = net()
    before = state_sha256(model.state_dict())
    state = dict(net().state_dict())
    state["0.weigth"] = state.pop("0.weight")
    state["2.weight"] = torch.zeros(5, 4)
    state["2.bias"] = torch.tensor([0, 1])
    with pytest.raises(CheckpointError) as caught:
        apply_state(model, state)
    message = str(caught.value)
    assert "missing (1): 0.weight (nearest: 0.weigth)" in message
    assert "unexpected (1): 0.weigth (nearest: 0.weight)" in message
    assert "2.weight has shape (5, 4), the model wants (2, 4)" in message
    assert "2.bias is torch.int64, the model wants torch.float32" in message
    assert state_sha256(model.state_dict()) == before


def test_long_lists_are_cut():
    big = nn.Sequential(*(nn.Linear(1, 1) for _ in range(10)))
    with pytest.raises(CheckpointError, match=r"missing \(20\): .*; and 12 more"):
        apply_state(big, {})


def test_the_prefix_that_would_match_is_named():
    wrapped = {f"model.{name}": value for name, value in net().state_dict().items()}
    with pytest.raises(CheckpointError, match=r"Load the checkpoint with prefix='model\.'"):
        apply_state(net(), {**wrapped, "loss.weight": torch.ones(2)})
    with pytest.raises(CheckpointError, match=r"own names begin with 'module\.'"):
        apply_state(nn.ModuleDict({"module": net()}), net().state_dict())
    with pytest.raises(CheckpointError, match="check the factory"):
        apply_state(net(), {"model.0.weight": torch.zeros(4, 3)})


def test_values_beyond_the_models_range():
    with pytest.raises(CheckpointError, match=r"weight has values beyond the range of torch\.float16"):
        apply_state(nn.Linear(1, 1).half(), {"weight": torch.tensor([[1e6]]), "bias": torch.zeros(1)})
    with pytest.raises(CheckpointError, match=r"beyond the range of torch\.float16"):
        apply_state(nn.Linear(1, 1), {"weight": torch.tensor([[1e6]]), "bias": torch.zeros(1)}, dtype=torch.float16)


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.head = nn.Embedding(5, 3), nn.Linear(3, 5, bias=False)
        self.head.weight = self.embed.weight


def test_tied_names_may_be_given_once_but_must_agree():
    value = torch.randn(5, 3)
    for state in ({"embed.weight": value}, {"head.weight": value}, {"embed.weight": value, "head.weight": value + 0}):
        model = Tied()
        apply_state(model, state)
        assert torch.equal(model.embed.weight, value)
        assert model.head.weight is model.embed.weight
    with pytest.raises(CheckpointError, match=r"head.weight differs from embed.weight, the model ties them"):
        apply_state(Tied(), {"embed.weight": value, "head.weight": value + 1})


@pytest.mark.filterwarnings("ignore:Lazy modules")  # older torch calls them experimental
def test_lazy_modules_take_their_shape_from_the_state():
    model = nn.LazyLinear(2)
    apply_state(model, nn.Linear(3, 2).state_dict())
    assert model.weight.shape == (2, 3)


def test_a_model_without_data_is_refused():
    """Copying to the meta device succeeds and keeps nothing."""
    with pytest.raises(CheckpointError, match=r"weight is on the meta device"):
        apply_state(nn.Linear(2, 3, device="meta"), nn.Linear(2, 3).state_dict())
