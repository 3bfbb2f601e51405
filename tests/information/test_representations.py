import numpy as np
import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional as F

from genbounds.information.representations.layer_chain import layer_chain, representations
from genbounds.models import load_data
from genbounds.models.guards import ModelError

INPUTS = torch.randn(1500, 1, 4, 4, generator=torch.Generator().manual_seed(0))
DATA = load_data((INPUTS, torch.arange(1500) % 3))


def convolution():
    torch.manual_seed(1)
    body = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(inplace=True))
    return nn.Sequential(body, nn.AvgPool2d(2), nn.Flatten(), nn.Linear(8, 3)).eval()


def test_representations_are_what_the_layers_give():
    model, indices = convolution(), np.arange(1499, -1, -1)  # two blocks
    ordered = INPUTS[torch.from_numpy(indices)]
    with torch.no_grad():
        assert torch.equal(representations(model, None, DATA, indices), ordered.flatten(1).double())
        body = representations(model, model[0], DATA, indices)
        torch.testing.assert_close(body, model[0](ordered).flatten(1).double())
        torch.testing.assert_close(representations(model, model[3], DATA, indices), model(ordered).double())
    assert body.shape == (1500, 32)
    assert body.dtype == torch.float64
    assert not model[0]._forward_hooks


def test_a_later_layer_that_works_in_place_changes_nothing():
    model = convolution().double()
    kept = representations(model, model[0][0], DATA, np.arange(20), dtype=torch.float64)
    assert kept.min() < 0


def test_chain_follows_the_pass_not_the_definition():
    class Backwards(nn.Module):
        def __init__(self):
            super().__init__()
            self.unused = nn.Linear(5, 5)
            self.last = nn.Linear(4, 3)
            self.first = nn.Linear(16, 4)

        def forward(self, inputs):
            return self.last(self.first(inputs.flatten(1)))

    chain = layer_chain(Backwards(), INPUTS[:3])
    assert [(name, shape) for name, (_, shape) in chain.items()] == [("first", (16,)), ("last", (4,))]


def test_larger_and_smaller_layers():
    model = convolution()
    assert list(layer_chain(model, INPUTS[:2])) == ["0", "1", "2", "3"]
    assert list(layer_chain(model, INPUTS[:2], ["0.0", "0.1", "1", "3"])) == ["0.0", "0.1", "1", "3"]
    assert list(layer_chain(nn.Linear(4, 2), torch.ones(2, 4))) == [""]


class Functional(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(16, 16), nn.Linear(16, 3)

    def forward(self, inputs):
        return self.last(F.relu(self.first(inputs.flatten(1))))


class Residual(Functional):
    def forward(self, inputs):
        flat = inputs.flatten(1)
        return self.last(flat + self.first(flat))


class Tail(Functional):
    def forward(self, inputs):
        return self.last(self.first(inputs.flatten(1))).softmax(1)


class Twice(Functional):
    def forward(self, inputs):
        return self.last(self.first(self.first(inputs.flatten(1))))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Functional(), "got something else than first in last"),
        (Residual(), "a residual sum"),
        (Tail(), "must end in the model's output, got another tensor after last"),
        (Twice(), "each called once"),
    ],
)
def test_networks_that_are_no_chain_are_refused(model, message):
    with pytest.raises(ModelError, match=message):
        layer_chain(model, INPUTS[:3])
    assert list(layer_chain(nn.Sequential(model), INPUTS[:3])) == ["0"]  # a larger layer around it is one


def test_unknown_names_are_refused():
    with pytest.raises(ModelError, match=r"got \['5'\]"):
        layer_chain(convolution(), INPUTS[:2], ["0", "5"])
    with pytest.raises(ModelError, match="must be names of modules"):
        layer_chain(convolution(), INPUTS[:2], [])


def test_representations_stay_where_the_model_is():
    """A GPU whose tensors have no data: devices and dtypes are followed, values are not."""
    place = torch.device("cuda", 0)
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(8, 3)).eval()
    with FakeTensorMode(allow_non_fake_inputs=True):
        for layer in (model[0], model[2]):
            for name, parameter in list(layer.named_parameters()):
                setattr(layer, name, nn.Parameter(torch.empty(parameter.shape, device=place)))
        held = representations(model, model[0], DATA, np.arange(7), device=place)
        assert (held.device, held.dtype, tuple(held.shape)) == (place, torch.float64, (7, 8))
        inputs = representations(model, None, DATA, np.arange(7), device=place, dtype=torch.float16)
        assert (inputs.device, tuple(inputs.shape)) == (place, (7, 16))
