"""Constants of layers: never below a Jacobian's norm, equal to it where they claim to be."""

import math

import pytest
import torch
from torch import nn

from genbounds.models import lipschitz
from genbounds.models.guards import ModelError
from genbounds.models.lipschitz import lipschitz_constant


def jacobian_norm(layer, shape, seed=0):
    """Largest singular value of the layer's Jacobian at a random point."""
    layer = layer.double().eval()
    point = torch.randn((1, *shape), dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    jacobian = torch.autograd.functional.jacobian(layer, point)
    return float(torch.linalg.matrix_norm(jacobian.reshape(-1, math.prod(shape)), 2))


LINEAR = [
    (lambda: nn.Linear(7, 4), (7,)),
    (lambda: nn.Linear(3, 5), (4, 3)),
    (lambda: nn.Conv1d(2, 3, 3, padding=1), (2, 9)),
    (lambda: nn.Conv2d(2, 4, 3, stride=2, padding=1), (2, 6, 5)),
    (lambda: nn.Conv2d(4, 4, 3, dilation=2, groups=2, bias=False), (4, 7, 7)),
    (lambda: nn.Conv2d(1, 2, 3, padding=1, padding_mode="reflect"), (1, 5, 5)),
    (lambda: nn.ConvTranspose2d(2, 3, 3, stride=2), (2, 4, 4)),
    (lambda: nn.AvgPool2d(3, stride=2, padding=1), (2, 6, 6)),
    (lambda: nn.AdaptiveAvgPool2d(2), (3, 5, 5)),
]


@pytest.mark.parametrize(("build", "shape"), LINEAR)
def test_linear_layers(build, shape, monkeypatch):
    torch.manual_seed(3)
    layer = build()
    exact = jacobian_norm(layer, shape)
    assert lipschitz_constant(layer, shape) == pytest.approx(exact, rel=1e-10)
    monkeypatch.setattr(lipschitz, "_ENTRIES", 0)
    bound = lipschitz_constant(layer, shape)
    assert exact * (1 - 1e-12) <= bound <= 3 * exact
    before = [parameter.clone() for parameter in layer.parameters()]
    assert all(map(torch.equal, before, layer.parameters()))


def test_bound_for_large_convolutions_by_hand(monkeypatch):
    """One channel, kernel (1, 1), zero padding: rows and columns add up to at most 2, and the norm tends to 2."""
    monkeypatch.setattr(lipschitz, "_ENTRIES", 0)
    layer = nn.Conv1d(1, 1, 2, bias=False)
    layer.weight.data.fill_(1.0)
    assert lipschitz_constant(layer, (1, 50)) == pytest.approx(2.0, rel=1e-8)
    layer = nn.Conv1d(1, 1, 2, stride=2, bias=False)  # no two windows share an input
    layer.weight.data.fill_(1.0)
    assert lipschitz_constant(layer, (1, 50)) == pytest.approx(math.sqrt(2), rel=1e-8)


@pytest.mark.parametrize(
    "layer",
    [
        *(nn.ReLU(), nn.ReLU6(), nn.Hardtanh(), nn.Tanh(), nn.Softsign(), nn.LogSigmoid(), nn.CELU(0.3), nn.Sigmoid()),
        *(nn.Hardswish(), nn.SELU(), nn.SiLU(), nn.GELU(), nn.GELU("tanh"), nn.ELU(1.7), nn.ELU(0.2)),
        *(nn.LeakyReLU(0.3), nn.LeakyReLU(-2.0), nn.PReLU(init=1.4), nn.Identity()),
    ],
)
def test_activations(layer):
    points = torch.linspace(-20, 20, 800_001, dtype=torch.float64)[None, None, :]
    with torch.no_grad():
        images = layer.double()(points)
    slopes = (images.diff() / points.diff()).abs()
    constant = lipschitz_constant(layer, (1, 5))
    assert slopes.max() <= constant * (1 + 1e-9)
    assert slopes.max() >= constant * (1 - 1e-4)


def test_softmax():
    assert lipschitz_constant(nn.Softmax(1), (2,)) == 0.5
    assert jacobian_norm(nn.Softmax(1), (2,)) <= 0.5
    point = torch.zeros(1, 2, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(nn.Softmax(1), point).reshape(2, 2)
    assert float(torch.linalg.matrix_norm(jacobian, 2)) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("layer", "windows"),
    [
        (nn.MaxPool2d(2), 1),
        (nn.MaxPool2d(3, stride=2), 4),
        (nn.MaxPool2d(3, stride=1), 9),
        (nn.MaxPool2d((3, 2), stride=(1, 2)), 3),
        (nn.MaxPool2d(3, stride=2, dilation=2), 9),
        (nn.MaxPool2d(3, stride=2, dilation=3), 4),
    ],
)
def test_max_pooling(layer, windows):
    """One large pixel is the maximum of every window that it lies in: moving it moves them all."""
    assert lipschitz_constant(layer, (1, 20, 20)) == pytest.approx(math.sqrt(windows))
    moved = []
    for row in range(20):
        for column in range(20):
            image = torch.zeros(1, 1, 20, 20)
            image[0, 0, row, column] = 1.0
            moved.append(float(layer(image).norm()))
    assert max(moved) == pytest.approx(math.sqrt(windows))


def test_batch_normalisation():
    layer = nn.BatchNorm2d(3)
    layer.running_var.copy_(torch.tensor([0.25, 4.0, 1.0]))
    layer.weight.data.copy_(torch.tensor([1.0, -9.0, 2.0]))
    with pytest.raises(ModelError, match="got none for a BatchNorm2d"):  # the batch decides
        lipschitz_constant(layer, (3, 4, 4))
    layer.eval()
    assert lipschitz_constant(layer, (3, 4, 4)) == pytest.approx(jacobian_norm(layer, (3, 4, 4)), rel=1e-9)
    plain = nn.BatchNorm1d(2, affine=False).eval()
    assert lipschitz_constant(plain, (2,)) == pytest.approx(jacobian_norm(plain, (2,)), rel=1e-9)


class Shifted(nn.Module):
    """A parametrisation that is not even."""

    def forward(self, weight):
        return weight - 1


@pytest.mark.parametrize("entries", [0, 2**22])
def test_parametrised_weights_are_taken_as_they_come_out(entries, monkeypatch):
    """-1/2 throughout is made of 1/2 by one, and the norm is 3/2 in the limit of long inputs."""
    monkeypatch.setattr(lipschitz, "_ENTRIES", entries)
    layer = nn.Conv1d(1, 1, 3, bias=False)
    layer.weight.data.fill_(0.5)
    nn.utils.parametrize.register_parametrization(layer, "weight", Shifted())
    exact = jacobian_norm(layer, (1, 40))
    assert 1.49 < exact <= lipschitz_constant(layer, (1, 40)) <= 1.5 * (1 + 1e-8)
    assert "weight" in layer.parametrizations
    torch.manual_seed(0)
    for bounded in (nn.Conv2d(2, 3, 3), nn.Linear(6, 6)):
        layer = nn.utils.parametrizations.spectral_norm(bounded.double()).eval()
        shape = (2, 6, 6) if bounded.weight.ndim == 4 else (6,)
        assert jacobian_norm(layer, shape) <= lipschitz_constant(layer, shape)


@pytest.mark.parametrize(
    ("kind", "arguments", "shape"),
    [
        (nn.Linear, (3, 3), (3,)),
        (nn.Conv1d, (1, 1, 3), (1, 9)),
        (nn.MaxPool1d, (2,), (1, 8)),
        (nn.BatchNorm1d, (3,), (3,)),
        (nn.Identity, (), (3,)),
        (nn.Dropout, (), (3,)),
    ],
)
def test_a_subclass_with_a_forward_of_its_own_is_not_known(kind, arguments, shape):
    class Louder(kind):
        def forward(self, inputs):
            return 10 * super().forward(inputs)

    class Same(kind):
        pass

    assert lipschitz_constant(Same(*arguments).eval(), shape) > 0
    with pytest.raises(ModelError, match="got none for a Louder"):
        lipschitz_constant(Louder(*arguments).eval(), shape)


def test_layers_in_training_mode_are_not_known():
    """Dropout then scales what it keeps: by 2 at rate 1/2."""
    for layer, shape in ((nn.Dropout(), (3,)), (nn.BatchNorm1d(3), (3,))):
        with pytest.raises(ModelError, match="lipschitz must have a constant"):
            lipschitz_constant(layer.train(), shape)


def test_weights_at_the_ends_of_the_range():
    layer = nn.Linear(3, 3, dtype=torch.float64)
    for value in (1e-200, 1e200):
        layer.weight.data.fill_(value)
        assert lipschitz_constant(layer, (3,)) == pytest.approx(3 * value, rel=1e-12)
    for value in (math.nan, math.inf):
        layer.weight.data[0, 0] = value
        with pytest.raises(ModelError, match=r"weights must be finite, got others in head"):
            lipschitz_constant(layer, (3,), name="head")
    assert lipschitz_constant(nn.CELU(-1.0), (3,)) == math.inf  # its slope exp(-x) has no limit


def test_a_norm_is_not_below_the_one_in_exact_arithmetic():
    """Outer products of whole numbers: the norm is the product of their lengths."""
    for size in (3, 50, 400):
        first, second = torch.arange(1.0, size + 1), torch.arange(2.0, size + 2)
        layer = nn.Linear(size, size, dtype=torch.float64)
        layer.weight.data.copy_(torch.outer(first, second))
        exact = math.isqrt(int(first.double().square().sum()) * int(second.double().square().sum()) << 200) / 2**100
        assert exact < lipschitz_constant(layer, (size,)) <= exact * (1 + 1e-11)


def test_a_sequence_multiplies():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Dropout(), nn.Sequential(nn.Flatten(), nn.Linear(8, 3)))
    shape = (1, 4, 4)
    net.eval()
    parts = lipschitz_constant(net[0], shape) * lipschitz_constant(net[3][1], (8,))
    assert lipschitz_constant(net, shape) == pytest.approx(parts)
    assert jacobian_norm(net, shape) <= parts


def test_unknown_layers_are_refused_unless_declared():
    class Own(nn.Module):
        def forward(self, inputs):
            return 2 * inputs

    net = nn.Sequential(nn.Linear(2, 2), Own())
    with pytest.raises(ModelError, match=r"constant for 1, got none for a Own\. Declare"):
        lipschitz_constant(net, (2,))
    declared = lipschitz_constant(net, (2,), {"1": 2.0})
    assert declared == pytest.approx(2 * lipschitz_constant(net[0], (2,)))
    assert lipschitz_constant(net, (2,), {"1": math.inf}) == math.inf
    for layer in (nn.LayerNorm(2), nn.BatchNorm1d(2, track_running_stats=False), nn.LogSoftmax(1)):
        with pytest.raises(ModelError, match="lipschitz must have a constant for the model"):
            lipschitz_constant(layer, (2,))
    for wrong in (-1.0, math.nan):
        with pytest.raises(ModelError, match="non-negative"):
            lipschitz_constant(Own(), (2,), {"own": wrong}, "own")
