"""Weight matrices of every kind of layer: their shapes, that they act as their layer does, ties and refusals."""

import math

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from genbounds.measures import weight_layers
from genbounds.models.guards import ModelError


def shapes(source):
    return {layer.name: (layer.kind, tuple(layer.matrix.shape), layer.places) for layer in weight_layers(source)}


def test_every_kind_of_layer():
    model = nn.ModuleDict({
        "linear": nn.Linear(3, 5),
        "conv1": nn.Conv1d(2, 4, 3),
        "conv2": nn.Conv2d(2, 4, (3, 2), groups=2),
        "conv3": nn.Conv3d(2, 4, 2),
        "up": nn.ConvTranspose2d(6, 4, 3, groups=2),
        "embedding": nn.Embedding(7, 3),
        "attention": nn.MultiheadAttention(4, 2),
        "cross": nn.MultiheadAttention(4, 2, kdim=3, vdim=5),
        "lstm": nn.LSTM(3, 4, proj_size=2),
        "gru": nn.GRUCell(3, 4),
        "norm": nn.BatchNorm1d(5),
    })
    found = shapes(model)
    assert found["linear.weight"] == ("Linear", (5, 3), 1)
    assert found["conv1.weight"] == ("Conv1d", (4, 6), 3)
    assert found["conv2.weight"] == ("Conv2d", (4, 6), 6)
    assert found["conv3.weight"] == ("Conv3d", (4, 16), 8)
    assert found["up.weight"] == ("ConvTranspose2d", (4, 27), 9)
    assert found["embedding.weight"][1] == (7, 3)
    assert [found[f"attention.in_proj_weight[{k}]"][1] for k in range(3)] == [(4, 4)] * 3
    assert found["attention.out_proj.weight"][1] == (4, 4)
    assert found["cross.v_proj_weight"][1] == (4, 5)
    assert [found[f"lstm.weight_hh_l0[{k}]"][1] for k in range(4)] == [(4, 2)] * 4
    assert found["lstm.weight_hr_l0"][1] == (2, 4)
    assert [found[f"gru.weight_ih[{k}]"][1] for k in range(3)] == [(4, 3)] * 3
    assert not any(name.startswith("norm") for name in found)
    assert len(found) == 29  # 6 alone, 4 and 4 of attention, 9 and 6 of gates


def test_a_transposed_convolution_of_one_place_is_its_matrix():
    layer = nn.ConvTranspose1d(6, 4, 1, groups=2, bias=False).double()
    (found,) = weight_layers(layer)
    x = torch.randn(5, 6, 1, dtype=torch.float64)
    parts = [x[:, :3, 0] @ found.matrix[:2].T, x[:, 3:, 0] @ found.matrix[2:].T]
    torch.testing.assert_close(layer(x)[..., 0], torch.cat(parts, dim=1))


def test_a_convolution_is_its_matrix_on_patches():
    layer = nn.Conv2d(2, 3, 2, bias=False).double()
    (found,) = weight_layers(layer)
    x = torch.randn(1, 2, 4, 4, dtype=torch.float64)
    torch.testing.assert_close(found.matrix @ nn.functional.unfold(x, 2)[0], layer(x)[0].flatten(1))


def test_tied_weights_come_once_and_parametrised_ones_as_they_act():
    tied = nn.Sequential(nn.Embedding(7, 3), nn.Linear(3, 7, bias=False))
    tied[1].weight = tied[0].weight
    assert list(shapes(tied)) == ["0.weight"]
    layer = weight_norm(nn.Linear(3, 2))
    with torch.no_grad():
        layer.parametrizations.weight.original0.fill_(2.0)
    pair = nn.Sequential(layer, weight_norm(nn.Linear(3, 2)))
    found = list(weight_layers(pair))
    assert len(found) == 2
    torch.testing.assert_close(found[0].matrix, layer.weight.double())


def test_a_state_dict_gives_the_matrices_of_plain_layers():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 3))
    by_state = {name: rest for name, (_, *rest) in shapes(model.state_dict()).items()}
    assert by_state == {name: rest for name, (_, *rest) in shapes(model).items()}


def test_weights_that_are_not_finite_or_not_there_are_refused():
    layer = nn.Linear(2, 2)
    with torch.no_grad():
        layer.weight[0, 0] = math.nan
    with pytest.raises(ModelError, match="finite"):
        list(weight_layers(layer))
    with pytest.raises(ModelError, match="weight matrix"):
        list(weight_layers(nn.ReLU()))
