"""Norms of convolutions against the matrices that they are, written out column by column."""

import math

import pytest
import torch
from torch import nn

from genbounds.measures import convolution_norm, operator_norm_measures
from genbounds.models.guards import ModelError


def written_out(layer, shape):
    """Return the matrix of a convolution without its bias."""
    size = math.prod(shape)
    with torch.no_grad():
        images = torch.eye(size, dtype=torch.float64).view(size, *shape)
        zero = layer(torch.zeros(1, *shape, dtype=torch.float64))
        return (layer(images) - zero).flatten(1).T


def seeded(build):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build().double()


LAYERS = {
    "zeros": (lambda: nn.Conv2d(2, 3, 3, padding=1), (2, 6, 5)),
    "circular": (lambda: nn.Conv2d(2, 3, 3, padding=1, padding_mode="circular"), (2, 6, 5)),
    "circular, same": (lambda: nn.Conv2d(2, 3, 5, padding="same", padding_mode="circular"), (2, 6, 5)),
    "circular, strided": (lambda: nn.Conv2d(2, 3, 3, padding=1, stride=2, padding_mode="circular"), (2, 6, 6)),
    "valid": (lambda: nn.Conv2d(2, 3, (3, 2)), (2, 6, 5)),
    "dilated": (lambda: nn.Conv1d(2, 2, 3, dilation=2, padding="same"), (2, 9)),
    "grouped": (lambda: nn.Conv2d(4, 4, 3, groups=2, padding=1), (4, 4, 4)),
    "volume": (lambda: nn.Conv3d(1, 2, 2), (1, 3, 3, 4)),
    "reflected": (lambda: nn.Conv2d(1, 2, 3, padding=1, padding_mode="reflect"), (1, 5, 5)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_it_is_the_largest_singular_value_of_the_matrix(name):
    build, shape = LAYERS[name]
    layer = seeded(build)
    truth = float(torch.linalg.svdvals(written_out(layer, shape))[0])
    found = convolution_norm(layer, shape)
    assert found.value == pytest.approx(truth, rel=1e-6)
    assert found.limit >= truth * (1 - 1e-12)
    assert found.limit <= truth * 1.02
    assert ("Fourier" in found.method) is (name in {"circular", "circular, same"})


def test_squares_of_singular_values_add_up_to_the_kernel_on_every_place():
    layer = seeded(LAYERS["circular"][0])
    singular = torch.linalg.svdvals(written_out(layer, (2, 6, 5)))
    assert float(singular.square().sum()) == pytest.approx(30 * float(layer.weight.detach().square().sum()))


def test_the_flattened_kernel_underestimates_by_the_root_of_its_places_at_most():
    layer = seeded(lambda: nn.Conv2d(4, 6, 3, padding=1))
    norm = convolution_norm(layer, (4, 12, 12)).value
    flat = float(torch.linalg.matrix_norm(layer.weight.detach().flatten(1), ord=2))
    assert flat < norm <= 3 * flat


def test_the_product_over_a_network_and_what_has_none():
    model = seeded(
        lambda: nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(32, 3))
    )
    example = torch.zeros(1, 1, 6, 6, dtype=torch.float64)
    found = operator_norm_measures(model.eval(), example)
    norms = [float(torch.linalg.svdvals(written_out(model[0], (1, 6, 6)))[0])]
    norms.append(float(torch.linalg.matrix_norm(model[4].weight.detach(), ord=2)))
    assert found.value == pytest.approx(2 * sum(math.log(norm) for norm in norms), rel=1e-6)
    attention = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True).eval()
    assert "in_proj_weight" in operator_norm_measures(attention, torch.zeros(1, 3, 4)).reason
    nn.init.zeros_(model[0].weight)
    assert "all zeros" in operator_norm_measures(model, example).reason


def test_layers_and_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ModelError, match="Conv1d"):
        convolution_norm(nn.Linear(2, 2), (2,))
    with pytest.raises(ModelError, match="channels"):
        convolution_norm(nn.Conv2d(2, 2, 3), (3, 5, 5))
