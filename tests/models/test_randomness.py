"""Weights drawn per example: exact against one `functional_call` an example, or in law against closed forms."""

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import functional_call
from torch.nn import functional as F
from torch.nn.utils import parametrizations, prune, spectral_norm

from genbounds.models.randomness import PerExampleForward, draw_weights, normal_noise, stream


class Recorder:
    """A noise source that keeps what it gave."""

    def __init__(self, seed=0, dtype=torch.float64):
        self.given, self._noise = [], normal_noise(torch.Generator().manual_seed(seed), dtype)

    def __call__(self, *shape):
        self.given.append(self._noise(*shape))
        return self.given[-1]


def gaussian(model, seed=0):
    generator = torch.Generator().manual_seed(seed)
    mean = {name: value.detach().clone() for name, value in model.named_parameters()}
    scale = {name: 0.1 + 0.2 * torch.rand(v.shape, generator=generator, dtype=v.dtype) for name, v in mean.items()}
    return mean, scale


REAL_DRAWS = {
    "conv": (nn.Conv2d(3, 4, 3), (3, 7, 7)),
    "conv-stride-groups": (nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2, bias=False), (4, 7, 7)),
    "conv-dilation": (nn.Conv2d(3, 4, 3, dilation=2, padding="same"), (3, 8, 8)),
    "conv-reflect": (nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect"), (3, 7, 7)),
    "conv-circular": (nn.Conv1d(3, 4, 5, padding=2, padding_mode="circular"), (3, 9)),
    "conv1d": (nn.Conv1d(2, 5, 4, stride=3), (2, 13)),
    "conv3d": (nn.Conv3d(2, 3, 2), (2, 4, 4, 4)),
    "linear-positions": (nn.Linear(5, 4), (6, 5)),
    "linear-positions-2d": (nn.Linear(5, 4, bias=False), (2, 3, 5)),
    "layer-norm": (nn.LayerNorm(6), (4, 6)),
    "layer-norm-2d": (nn.LayerNorm((4, 6), bias=False), (3, 4, 6)),
    "group-norm": (nn.GroupNorm(2, 4), (4, 5, 5)),
    "batch-norm": (nn.BatchNorm2d(4), (4, 5, 5)),
    "batch-norm-flat": (nn.BatchNorm1d(4), (4,)),
}


@pytest.mark.parametrize("name", REAL_DRAWS)
def test_real_draws_are_one_functional_call_an_example(name):
    layer, shape = REAL_DRAWS[name]
    torch.manual_seed(1)
    model = nn.Sequential(layer, nn.Tanh()).double().eval()
    if isinstance(layer, nn.modules.batchnorm._BatchNorm):
        layer.running_mean.normal_()
        layer.running_var.uniform_(0.5, 2)
    inputs = torch.randn(7, *shape, dtype=torch.float64)
    mean, scale = gaussian(model)
    noise = Recorder()
    forward = PerExampleForward(model, inputs)
    assert forward.rules == {"0": "real draws"}
    outputs = forward(mean, scale, inputs, noise)
    for row in range(7):
        own = {key: mean[key] + scale[key] * drawn[row] for key, drawn in zip(mean, noise.given, strict=True)}
        truth = functional_call(model, own, (inputs[row : row + 1],))[0]
        torch.testing.assert_close(outputs[row], truth, rtol=1e-10, atol=1e-10)


def test_pre_activations_have_the_law_of_real_draws():
    # Given the input, W x + b has independent Gaussian entries of known mean and variance: check all first and second
    # moments of 40,000 draws, each within 5 standard errors.
    torch.manual_seed(0)
    layer = nn.Linear(6, 3).double()
    mean, scale = gaussian(layer)
    x = torch.randn(1, 6, dtype=torch.float64)
    draws = 40_000
    forward = PerExampleForward(layer, x.expand(5, -1))
    assert forward.rules == {"": "pre-activations"}
    z = forward(mean, scale, x.expand(draws, -1), normal_noise(stream(1, "test"), torch.float64)).detach()
    expected = F.linear(x, mean["weight"], mean["bias"])[0]
    variance = (x.square() @ scale["weight"].square().T + scale["bias"].square())[0]
    assert ((z.mean(0) - expected).abs() < 5 * (variance / draws).sqrt()).all()
    centred = (z - expected) / variance.sqrt()
    covariance = centred.T @ centred / draws
    error = torch.full((3, 3), (1 / draws) ** 0.5) + torch.eye(3) * ((2 / draws) ** 0.5 - (1 / draws) ** 0.5)
    assert ((covariance - torch.eye(3)).abs() < 5 * error).all()


def test_deep_network_has_the_law_of_real_draws():
    # The probability of class 0 under pre-activation sampling and under whole-network draws, 20,000 of each.
    torch.manual_seed(3)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)).eval()
    mean, scale = gaussian(model)
    x = torch.randn(1, 4)
    draws = 20_000
    forward = PerExampleForward(model, x)
    with torch.no_grad():
        noise = normal_noise(stream(0, "a"), torch.float32)
        ours = (forward(mean, scale, x.expand(draws, -1), noise).argmax(1) == 0).double().mean()
        forward._layers = None  # the route of last resort: real draws of all weights
        noise = normal_noise(stream(0, "b"), torch.float32)
        truth = (forward(mean, scale, x.expand(draws, -1), noise).argmax(1) == 0).double().mean()
    assert 0.02 < truth < 0.98
    assert abs(ours - truth) < 5 * (2 * truth * (1 - truth) / draws) ** 0.5


class Tied(nn.Module):
    """The second layer is the transpose of the first, used behind the modules' back."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 4)

    def forward(self, x):
        return F.linear(torch.tanh(self.first(x)), self.first.weight.T)


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x):
        return self.layer(torch.tanh(self.layer(x)))


class Bare(nn.Module):
    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(4))

    def forward(self, x):
        return x * self.gain


class BatchBehind(nn.Module):
    """The layer sees the positions of all examples as its batch."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 3)

    def forward(self, x):
        return self.layer(x.reshape(-1, 2)).reshape(len(x), -1)


def shared_parameter():
    first, second = nn.Linear(4, 4), nn.Linear(4, 4)
    second.weight = first.weight
    return nn.Sequential(first, nn.Tanh(), second)


class ByKeyword(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x):
        return self.layer(input=x)


class OfList(nn.Module):
    """A holder of parameters that is called on no tensor."""

    def __init__(self):
        super().__init__()
        self.inner = Sum()

    def forward(self, x):
        return self.inner([x, x.square()])


class Sum(Bare):
    def forward(self, terms):
        return sum(terms) * self.gain


def pruned():
    layer = nn.Linear(4, 4)
    prune.l1_unstructured(layer, "weight", amount=0.5)
    return nn.Sequential(layer, nn.Tanh())


def weight_normed():
    return nn.Sequential(parametrizations.weight_norm(nn.Linear(4, 4)), nn.Tanh())


def spectrally_normed():
    return nn.Sequential(spectral_norm(nn.Linear(4, 4)), nn.Tanh())


def columns(mean, rank=2, seed=3):
    generator = torch.Generator().manual_seed(seed)
    return {n: 0.3 * torch.randn(rank, *v.shape, generator=generator, dtype=v.dtype) for n, v in mean.items()}


def moved(mean, factor, coefficients):
    return {name: value + torch.einsum("r,r...->...", coefficients, factor[name]) for name, value in mean.items()}


FACTORED = {
    name: REAL_DRAWS[name] for name in ("conv-stride-groups", "linear-positions", "layer-norm-2d", "batch-norm")
}


@pytest.mark.parametrize("name", FACTORED)
def test_low_rank_real_draws_are_one_functional_call_an_example(name):
    layer, shape = FACTORED[name]
    torch.manual_seed(1)
    model = nn.Sequential(layer, nn.Tanh()).double().eval()
    inputs = torch.randn(5, *shape, dtype=torch.float64)
    mean, scale = gaussian(model)
    factor, noise = columns(mean), Recorder()
    outputs = PerExampleForward(model, inputs)(mean, scale, inputs, noise, factor)
    coefficients, *given = noise.given
    assert coefficients.shape == (5, 2)
    for row in range(5):
        centre = moved(mean, factor, coefficients[row])
        own = {key: centre[key] + scale[key] * drawn[row] for key, drawn in zip(mean, given, strict=True)}
        torch.testing.assert_close(outputs[row], functional_call(model, own, (inputs[row : row + 1],))[0])


@pytest.mark.parametrize("bias", [True, False])
def test_low_rank_pre_activations_have_the_law_of_real_draws(bias):
    # Given the coefficients a draw is diagonal around a moved mean: compare with the rule for that, row by row.
    model = nn.Linear(4, 3, bias=bias).double().eval()
    inputs = torch.randn(6, 4, dtype=torch.float64)
    mean, scale = gaussian(model)
    factor, noise = columns(mean), Recorder()
    forward = PerExampleForward(model, inputs)
    assert forward.rules == {"": "pre-activations"}
    outputs = forward(mean, scale, inputs, noise, factor)
    coefficients, own = noise.given
    for row in range(6):
        centre = moved(mean, factor, coefficients[row])
        variance = inputs[row].square() @ scale["weight"].square().T + (scale["bias"].square() if bias else 0)
        exact = F.linear(inputs[row], centre["weight"], centre.get("bias")) + variance.sqrt() * own[row]
        torch.testing.assert_close(outputs[row], exact)


def test_the_covariance_of_low_rank_draws():
    # All entries of diag(s^2) + U U^T, cross-covariances of weight and bias included, by the moments of many draws.
    model = nn.Linear(2, 2).double().eval()
    mean, scale = gaussian(model)
    factor = columns(mean, rank=1)
    inputs = torch.tensor([[1.5, -0.5]], dtype=torch.float64).expand(200_000, 2)
    outputs = PerExampleForward(model, inputs[:5])(mean, scale, inputs, Recorder(), factor)
    x = inputs[0]
    moves = F.linear(x, factor["weight"][0], factor["bias"][0])
    exact = torch.outer(moves, moves) + torch.diag(x.square() @ scale["weight"].square().T + scale["bias"].square())
    torch.testing.assert_close(torch.cov(outputs.T), exact, rtol=0.02, atol=0.005)
    noise = Recorder(seed=1)
    drawn = [draw_weights(mean, scale, noise, factor) for _ in range(20_000)]
    real = torch.stack([F.linear(x, own["weight"], own["bias"]) for own in drawn])
    torch.testing.assert_close(torch.cov(real.T), exact, rtol=0.05, atol=0.01)


def test_low_rank_draws_without_a_rule_and_in_pieces(monkeypatch):
    torch.manual_seed(0)
    model = Bare().double().eval()
    inputs = torch.randn(6, 4, dtype=torch.float64)
    mean, scale = gaussian(model)
    factor, noise = columns(mean), Recorder()
    forward = PerExampleForward(model, inputs)
    assert forward.rules == {"": "vmap"}
    monkeypatch.setattr("genbounds.models.randomness._DRAW_BYTES", 2 * forward._drawn * 8)
    outputs = forward(mean, scale, inputs, noise, factor)
    per_piece = 1 + len(mean)
    assert len(noise.given) == 3 * per_piece
    for row in range(6):
        coefficients, *given = noise.given[row // 2 * per_piece :][:per_piece]
        centre = moved(mean, factor, coefficients[row % 2])
        own = {key: centre[key] + scale[key] * drawn[row % 2] for key, drawn in zip(mean, given, strict=True)}
        torch.testing.assert_close(outputs[row], functional_call(model, own, (inputs[row : row + 1],))[0])


UNKNOWN = [
    *(Tied, Twice, Bare, BatchBehind, shared_parameter, nn.PReLU, ByKeyword, OfList),
    *(pruned, weight_normed, spectrally_normed),
]


@pytest.mark.filterwarnings("ignore:There is a performance drop:UserWarning")
@pytest.mark.parametrize("make", UNKNOWN)
def test_what_has_no_rule_gets_real_draws_of_all_weights(make):
    torch.manual_seed(0)
    model = make().double().eval()
    inputs = torch.randn(6, 4, dtype=torch.float64)
    mean, scale = gaussian(model)
    forward = PerExampleForward(model, inputs)
    assert forward.rules == {"": "vmap"}
    noise = Recorder()
    outputs = forward(mean, scale, inputs, noise)
    for row in range(6):
        own = {key: mean[key] + scale[key] * drawn[row] for key, drawn in zip(mean, noise.given, strict=True)}
        torch.testing.assert_close(outputs[row], functional_call(model, own, (inputs[row : row + 1],))[0])


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell, self.head = nn.LSTM(2, 3, batch_first=True), nn.Linear(3, 2)

    def forward(self, x):
        return self.head(self.cell(x.reshape(len(x), -1, 2))[0][:, -1])


class Looking(Bare):
    def forward(self, x):
        return x * self.gain if x.sum() > 0 else -x * self.gain


@pytest.mark.parametrize("make", [Recurrent, Looking])
def test_what_vmap_cannot_take_is_called_one_by_one(make):
    torch.manual_seed(0)
    model = make().double().eval()
    inputs = torch.randn(6, 4, dtype=torch.float64)
    mean, scale = gaussian(model)
    forward = PerExampleForward(model, inputs)
    assert forward.rules == {"": "one by one"}
    noise = Recorder()
    outputs = forward(mean, scale, inputs, noise)
    for row in range(6):
        own = {key: mean[key] + scale[key] * drawn[row] for key, drawn in zip(mean, noise.given, strict=True)}
        torch.testing.assert_close(outputs[row], functional_call(model, own, (inputs[row : row + 1],))[0])


class Adaptive(nn.Module):
    """Runs its layer again where an input is large."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x):
        z = self.layer(x)
        return self.layer(z) if x.max() > 10 else z


def test_a_layer_that_runs_again_is_refused():
    model = Adaptive().eval()
    mean, scale = gaussian(model)
    forward = PerExampleForward(model, torch.ones(5, 4))
    with pytest.raises(ValueError, match="'layer' must run once per pass"):
        forward(mean, scale, torch.full((2, 4), 11.0), Recorder(dtype=torch.float32))


def test_narrow_types_are_rounded_once():
    # Pre-activations in bfloat16 are the rounded real ones: no rounded variance, no rounded noise.
    layer = nn.Linear(6, 400, bias=False, dtype=torch.bfloat16)
    mean, scale = gaussian(layer)
    x = torch.randn(5, 6).bfloat16()
    forward = PerExampleForward(layer, x)
    assert forward.rules == {"": "pre-activations"}
    noise = Recorder(dtype=torch.float32)
    z = forward(mean, scale, x, noise)
    deviation = (x.double().square() @ scale["weight"].double().square().T).sqrt()
    exact = x.double() @ mean["weight"].double().T + deviation * noise.given[0].double()
    assert z.dtype == torch.bfloat16
    assert (z != exact.bfloat16()).double().mean() < 1e-3  # exact ties aside
    assert normal_noise(stream(0, "a"), torch.bfloat16)(3).dtype == torch.float32
    drawn = draw_weights(mean, scale, noise)["weight"]
    assert torch.equal(drawn, (mean["weight"].float() + scale["weight"].float() * noise.given[1]).bfloat16())


def test_gradients_are_finite_where_an_input_is_zero():
    layer = nn.Linear(4, 3, bias=False)
    mean, scale = gaussian(layer)
    scale["weight"].requires_grad_(True)
    inputs = torch.ones(5, 4)
    inputs[2] = 0
    PerExampleForward(layer, inputs)(mean, scale, inputs, Recorder(dtype=torch.float32)).square().sum().backward()
    assert torch.isfinite(scale["weight"].grad).all()


def test_long_batches_are_cut_and_stay_in_order(monkeypatch):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(8, 3)).eval()
    inputs = torch.randn(11, 1, 4, 4)
    mean, _ = gaussian(model)
    still = {name: torch.zeros_like(value) for name, value in mean.items()}
    monkeypatch.setattr("genbounds.models.randomness._DRAW_BYTES", 4 * 20 * 4)
    shapes = []

    def noise(*shape):
        shapes.append(shape[0])
        return torch.zeros(shape)

    torch.testing.assert_close(PerExampleForward(model, inputs)(mean, still, inputs, noise), model(inputs))
    assert max(shapes) == 4


def test_the_model_is_left_as_it_was():
    model = nn.Sequential(nn.Linear(4, 3)).eval()
    before = model(torch.ones(1, 4))
    mean, scale = gaussian(model)
    PerExampleForward(model, torch.ones(5, 4))(mean, scale, torch.ones(5, 4), Recorder(dtype=torch.float32))
    assert "forward" not in vars(model[0])
    assert torch.equal(model(torch.ones(1, 4)), before)


def test_gradients_reach_means_and_scales():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(8, 3)).eval()
    mean, scale = gaussian(model)
    for value in (*mean.values(), *scale.values()):
        value.requires_grad_(True)
    inputs = torch.randn(5, 1, 4, 4)
    PerExampleForward(model, inputs)(mean, scale, inputs, Recorder(dtype=torch.float32)).square().sum().backward()
    for value in (*mean.values(), *scale.values()):
        assert value.grad is not None
        assert value.grad.abs().sum() > 0


def test_streams_are_functions_of_their_place():
    def first(*place, **names):
        return torch.rand(4, generator=stream(*place, **names))

    assert torch.equal(first(1, "a", 2), first(1, "a", 2))
    others = [first(1, "a", 2), first(1, "a", 3), first(1, "b", 2), first(2, "a", 2)]
    assert len({tuple(other.tolist()) for other in others}) == 4
    torch.manual_seed(0)
    state = torch.get_rng_state()
    first(5, "x")
    assert torch.equal(torch.get_rng_state(), state)


def test_one_draw_for_all():
    mean, scale = {"w": torch.ones(3), "b": torch.zeros(2)}, {"w": torch.full((3,), 0.5), "b": torch.tensor(2.0)}
    noise = Recorder(dtype=torch.float32)
    drawn = draw_weights(mean, scale, noise)
    assert torch.equal(drawn["w"], 1 + 0.5 * noise.given[0])
    assert torch.equal(drawn["b"], 2 * noise.given[1])


@pytest.mark.parametrize(
    ("model", "shape"),
    [(nn.Linear(4, 3), (4,)), (nn.Conv1d(2, 3, 2), (2, 4)), (Bare(), (4,))],
    ids=["linear", "conv", "bare"],
)
def test_everything_stays_on_one_device(model, shape):
    # Fake CUDA tensors raise as soon as two devices meet. The self-check reads values, which they do not have.
    with FakeTensorMode(), torch.no_grad():
        for name, value in list(model.named_parameters()):
            setattr(model, name, nn.Parameter(torch.empty(value.shape, device="cuda")))
        inputs = torch.empty(5, *shape, device="cuda")
        mean = {name: value.detach() for name, value in model.named_parameters()}
        scale = {name: torch.ones_like(value) for name, value in mean.items()}
        forward = PerExampleForward.__new__(PerExampleForward)
        forward.model, forward._drawn, forward._vmap = model, 1, True
        forward._layers = forward._find_rules(inputs)
        factor = {name: torch.ones((2, *value.shape), device="cuda") for name, value in mean.items()}
        for columns in (None, factor):
            outputs = forward(mean, scale, inputs, lambda *shape: torch.empty(shape, device="cuda"), columns)
            assert outputs.device.type == "cuda"
            assert len(outputs) == 5
