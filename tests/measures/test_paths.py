"""The path norm against the sum over paths, against written-out convolutions, and what it is invariant to."""

from itertools import product

import numpy as np
import pytest
import torch
from torch import nn

from genbounds.measures import Refusal, path_norm


def test_it_is_the_sum_over_paths():
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Sequential(nn.Dropout(), nn.Linear(4, 2)))
    first, second = model[0].weight.detach().double().numpy(), model[2][1].weight.detach().double().numpy()
    paths = sum((first[j, i] * second[k, j]) ** 2 for i, j, k in product(range(3), range(4), range(2)))
    assert path_norm(model, (3,)).value == pytest.approx(paths, rel=1e-12)


def test_a_convolution_is_the_matrix_that_it_is():
    convolution = nn.Conv2d(2, 3, 3, stride=2, padding=1, groups=1, bias=False).double()
    head = nn.Linear(12, 2, bias=False).double()
    matrix = torch.autograd.functional.jacobian(convolution, torch.zeros(1, 2, 4, 4, dtype=torch.float64))
    written = nn.Sequential(nn.Linear(32, 12, bias=False), nn.ReLU(), head).double()
    with torch.no_grad():
        written[0].weight.copy_(matrix.reshape(12, 32))
    model = nn.Sequential(convolution, nn.ReLU(), nn.Flatten(), head)
    assert path_norm(model, (2, 4, 4)).value == pytest.approx(path_norm(written, (32,)).value, rel=1e-12)


def test_rescaling_neurons_changes_nothing():
    model = nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 3)).double()
    before = path_norm(model, (5,)).value
    scales = torch.tensor(np.random.default_rng(0).lognormal(0, 2, 7))
    with torch.no_grad():
        model[0].weight.mul_(scales[:, None])
        model[2].weight.div_(scales)
    assert path_norm(model, (5,)).value == pytest.approx(before, rel=1e-12)


@pytest.mark.parametrize(
    "layer", [nn.BatchNorm1d(4), nn.MultiheadAttention(4, 2), nn.Sigmoid(), nn.Conv1d(1, 1, 1, padding_mode="circular")]
)
def test_what_has_no_paths_is_refused_by_name(layer):
    found = path_norm(nn.Sequential(nn.Linear(4, 4), layer), (4,))
    assert isinstance(found, Refusal)
    assert type(layer).__name__ in found.reason


def test_overflow_is_an_error():
    model = nn.Sequential(*[nn.Linear(2, 2) for _ in range(20)])
    with torch.no_grad():
        for layer in model:
            layer.weight.fill_(1e30)
    with pytest.raises(ValueError, match="path_norm"):
        path_norm(model, (2,))
