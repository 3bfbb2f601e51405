"""Many networks of a Gaussian prior at once: against networks that are built and run one by one."""

import math
from copy import deepcopy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional as F

from genbounds.inductive_bias import networks
from genbounds.inductive_bias.networks import NetworkPrior
from genbounds.models.blocks import Block
from genbounds.models.guards import ModelError

DOUBLE = torch.float64


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(7, 8)
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.head = nn.Linear(8, 7, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, tokens):
        return self.head(self.layer(self.embedding(tokens)).mean(1))


def relu_network():
    return nn.Sequential(nn.Linear(3, 6), nn.ReLU(), nn.Linear(6, 3))


def convolution():
    layers = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.ConvTranspose2d(4, 2, 3, 2, groups=2), nn.Flatten()
    return nn.Sequential(*layers, nn.Linear(2 * 13 * 13, 3))


def worlds():
    torch.manual_seed(0)
    tokens = torch.randint(0, 7, (6, 5))
    classes = torch.arange(7) % 3
    x = torch.randn(7, 3, dtype=DOUBLE)
    images = torch.randn(7, 1, 8, 8, dtype=DOUBLE)
    return {
        "relu": (relu_network(), F.cross_entropy, x, classes),
        "squares": (relu_network(), lambda a, b: F.mse_loss(a, b, reduction="none").mean(1), x, x.flip(0)),
        "convolution": (convolution().eval(), F.cross_entropy, images, classes),
        "attention, tied": (Tied().eval(), F.cross_entropy, tokens, tokens[:, 0]),
    }


WORLDS = worlds()


def one_by_one(prior, model, z):
    """Yield the networks themselves, with their weights loaded."""
    for row in range(len(z)):
        own = deepcopy(model).double()
        values = {name: weight[row] for name, weight in prior.weights(z).items()}
        own.load_state_dict(own.state_dict() | values)
        if isinstance(own, Tied):
            own.head.weight = own.embedding.weight
        yield own


@pytest.mark.parametrize("name", WORLDS)
def test_against_networks_one_by_one(name):
    model, loss, inputs, targets = WORLDS[name]
    prior = NetworkPrior(model, dtype=DOUBLE)
    z = torch.randn(4, prior.dimension, dtype=DOUBLE, requires_grad=True)
    mean = prior.loss(loss, (inputs, targets), batch_size=3)
    batch, values = prior.outputs(z, inputs), mean(z)
    (slope,) = torch.autograd.grad(values @ torch.arange(4.0, dtype=DOUBLE), z)
    assert values.dtype == DOUBLE
    for row, network in enumerate(one_by_one(prior, model, z.detach())):
        outputs = network(inputs)
        torch.testing.assert_close(batch[row], outputs)
        value = loss(outputs, targets).mean()
        torch.testing.assert_close(values[row], value)
        value.backward()
        weights = dict(network.named_parameters())
        own = torch.cat([(prior.scales[key] * weights[key].grad).flatten() for key in prior.names])
        torch.testing.assert_close(slope[row], row * own)
    torch.testing.assert_close(mean(z.detach()), values.detach())
    if not targets.is_floating_point():
        wrong = (batch.argmax(2) != targets).double().mean(1)
        assert torch.equal(prior.errors((inputs, targets), batch_size=3)(z), wrong)


@pytest.mark.parametrize("limit", ["_ROOM", "_KEPT"])
def test_neither_chunks_nor_streams_matter(limit, monkeypatch):
    model, loss, inputs, targets = WORLDS["relu"]
    prior = NetworkPrior(model, dtype=DOUBLE)
    z = torch.randn(5, prior.dimension, dtype=DOUBLE, requires_grad=True)
    whole = prior.loss(loss, (inputs, targets))(z)
    monkeypatch.setattr(networks, limit, 1)
    cut = prior.loss(loss, (inputs, targets), batch_size=2)
    if limit == "_ROOM":
        assert cut._chains == 1
    else:
        assert cut._read is None
    torch.testing.assert_close(cut(z), whole)
    torch.testing.assert_close(*(torch.autograd.grad(value.sum(), z)[0] for value in (cut(z), whole)))


def test_no_graph_of_the_data_set_is_held():
    model, loss, inputs, targets = WORLDS["relu"]
    prior = NetworkPrior(model, dtype=DOUBLE)
    z = torch.randn(2, prior.dimension, dtype=DOUBLE, requires_grad=True)
    value = prior.loss(loss, (inputs, targets), batch_size=2)(z)
    # What is left for the backward pass is the gradient alone, whatever the examples.
    assert [saved.shape for saved in value.grad_fn.saved_tensors] == [z.shape]
    (slope,) = torch.autograd.grad((value**2).sum(), z, create_graph=True)
    with pytest.raises(RuntimeError, match="not have been used in the graph"):  # refused, not taken for zero
        torch.autograd.grad(slope.sum(), z)


def test_the_variances_are_one_over_the_fan_in():
    prior = NetworkPrior(convolution().eval())
    wanted = {
        "0.weight": 1 / 3,
        "0.bias": 1 / 3,
        "1.weight": 1.0,
        "1.bias": 1.0,
        # Each group has 2 channels; an output of stride 2 meets 9 / 4 of the kernel's entries on average.
        "3.weight": (2 * 9 / 4) ** -0.5,
        "3.bias": (2 * 9 / 4) ** -0.5,
        "5.weight": 338**-0.5,
        "5.bias": 338**-0.5,
    }
    assert prior.scales == pytest.approx(wanted)
    tied = NetworkPrior(Tied().eval())
    assert "head.weight" not in tied.names
    assert tied.scales["embedding.weight"] == 1
    assert tied.scales["layer.self_attn.in_proj_bias"] == pytest.approx(8**-0.5)
    assert tied.scales["layer.linear2.bias"] == 0.25
    for layer in (nn.LayerNorm((3, 8, 8)), nn.RMSNorm((4, 5)), nn.GroupNorm(2, 4)):
        assert set(NetworkPrior(layer).scales.values()) == {1.0}
    normed = NetworkPrior(nn.utils.parametrizations.weight_norm(nn.Linear(4, 3)))
    assert normed.scales["bias"] == 0.5
    recurrent = NetworkPrior(nn.GRU(9, 4))
    assert recurrent.scales["bias_ih_l0"] == pytest.approx(1 / 3)
    assert recurrent.scales["bias_hh_l0"] == 0.5


def test_outputs_have_the_variance_that_the_prior_says():
    # Linear: (|x|^2 + 1) / fan-in. One hidden layer of ReLUs: half of it on average over the weights, plus the bias.
    x = torch.tensor([[1.0, -2.0, 0.5]], dtype=DOUBLE)
    squares = (float((x**2).sum()) + 1) / 3
    z = torch.randn(200_000, 45, dtype=DOUBLE, generator=torch.Generator().manual_seed(0))
    variances = NetworkPrior(relu_network(), dtype=DOUBLE).outputs(z, x).var(0)
    torch.testing.assert_close(variances, torch.full((1, 3), squares / 2 + 1 / 6, dtype=DOUBLE), rtol=0.02, atol=0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_that_of_the_network_and_not_of_the_mean(dtype):
    """Averaged in half precision, losses would be rounded to a few hundred different values."""
    torch.manual_seed(5)
    model, x, y = relu_network(), torch.randn(300, 3), torch.randn(300, 3)
    prior = NetworkPrior(model, dtype=dtype)
    z = torch.randn(20, prior.dimension, dtype=DOUBLE)
    outputs = prior.outputs(z, x.to(dtype))
    wanted = ((outputs.double() - y.to(dtype).double()) ** 2).mean((1, 2))
    found = prior.loss(F.mse_loss, (x, y), batch_size=64)(z)
    assert found.numpy() == pytest.approx(wanted.numpy(), rel=1e-6)
    whole = NetworkPrior(model, dtype=DOUBLE).loss(F.mse_loss, (x, y))(z)
    assert found.numpy() == pytest.approx(whole.numpy(), rel=20 * torch.finfo(dtype).eps)


def test_scales_that_are_given():
    model = relu_network()
    assert set(NetworkPrior(model, 0.3).scales.values()) == {0.3}
    prior = NetworkPrior(model, {"2.bias": 2.0})
    assert prior.scales["2.bias"] == 2.0
    assert prior.scales["2.weight"] == pytest.approx(6**-0.5)
    z = torch.ones(1, prior.dimension)
    assert prior.weights(z)["2.bias"].unique().tolist() == [2.0]
    with pytest.raises(ValueError, match="scales must name parameters of the model, got 'nothing'"):
        NetworkPrior(model, {"nothing": 1.0})
    for bad in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="must be"):
            NetworkPrior(model, bad)
        with pytest.raises(ValueError, match=r"scales\['2.bias'\]"):
            NetworkPrior(model, {"2.bias": bad})


def test_what_is_frozen_keeps_its_value():
    model = relu_network()
    model[0].weight.requires_grad_(False)
    prior = NetworkPrior(model)
    assert prior.names == ("0.bias", "2.weight", "2.bias")
    x, z = torch.randn(5, 3), torch.randn(2, prior.dimension)
    hidden = (x @ model[0].weight.T + prior.weights(z)["0.bias"][0]).relu()
    expected = hidden @ prior.weights(z)["2.weight"][0].T + prior.weights(z)["2.bias"][0]
    torch.testing.assert_close(prior.outputs(z, x)[0], expected)
    with pytest.raises(ModelError, match="must have parameters that require a gradient"):
        NetworkPrior(model.requires_grad_(False))


def test_inputs_by_keyword():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(2, 1), nn.Linear(3, 1)

        def forward(self, left, right):
            return self.a(left) * self.b(right)

    prior = NetworkPrior(Two(), dtype=DOUBLE)
    inputs = {"left": torch.randn(5, 2, dtype=DOUBLE), "right": torch.randn(5, 3, dtype=DOUBLE)}
    y, z = torch.randn(5, 1, dtype=DOUBLE), torch.randn(3, 7, dtype=DOUBLE)
    mean = prior.loss(F.mse_loss, (inputs, y), batch_size=2)(z)
    torch.testing.assert_close(mean, ((prior.outputs(z, inputs) - y) ** 2).mean((1, 2)))


def test_the_users_model_is_left_alone():
    model, loss, inputs, targets = WORLDS["relu"]
    model = deepcopy(model)
    model[0].weight.grad = torch.ones_like(model[0].weight)
    before = deepcopy(model.state_dict())
    torch.manual_seed(3)
    state, fast = torch.get_rng_state(), torch.backends.mha.get_fastpath_enabled()
    prior = NetworkPrior(model, dtype=DOUBLE)
    z = torch.ones(2, prior.dimension, requires_grad=True)
    prior.loss(loss, (inputs, targets))(z).sum().backward()
    prior.errors((inputs, targets))(z)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.backends.mha.get_fastpath_enabled() == fast
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(value.requires_grad and value.dtype == torch.float32 for value in model.parameters())
    assert model[0].weight.grad.unique().tolist() == [1.0]
    assert model[2].weight.grad is None
    assert not any(module._forward_hooks for module in model.modules())
    model[0].weight.data.zero_()  # what the user does later is not the prior's
    model.train()
    torch.testing.assert_close(prior.outputs(z, inputs), NetworkPrior(relu_network(), dtype=DOUBLE).outputs(z, inputs))


@pytest.mark.parametrize(
    "model", [nn.Sequential(nn.BatchNorm1d(3)), nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.5))], ids=["batch", "drop"]
)
def test_what_is_no_function_of_one_example_is_refused(model):
    with pytest.raises(ModelError, match="evaluation mode"):
        NetworkPrior(model.train())
    NetworkPrior(model.eval())


def test_errors_of_one_output_and_of_broken_networks():
    model = nn.Linear(1, 1, bias=False)
    prior = NetworkPrior(model, 1.0, dtype=DOUBLE)
    x, y = torch.tensor([[1.0], [2.0], [-1.0], [0.0]]), torch.tensor([1, 1, 1, 0])
    errors = prior.errors((x, y))(torch.tensor([[1.0], [-1.0], [math.inf], [math.nan]]))
    assert errors.tolist() == [0.25, 0.5, 1.0, 1.0]
    with pytest.raises(ModelError, match="targets must be classes from 0 to 1, got 0 to 2"):
        prior.errors((x, 2 * y))(torch.ones(1, 1))
    with pytest.raises(ModelError, match="targets that are classes"):
        prior.errors((x, x))(torch.ones(1, 1))


def test_wrong_shapes_are_named():
    prior = NetworkPrior(relu_network())
    with pytest.raises(ValueError, match=r"z must have shape \(chains, 45\), got \(2, 44\)"):
        prior.weights(torch.ones(2, 44))
    data = torch.randn(5, 3), torch.randn(5, 3)
    with pytest.raises(ModelError, match="one value per example"):
        prior.loss(lambda a, b: (a - b) ** 2, data)(torch.ones(2, 45))
    with pytest.raises(ModelError, match="Divide a sum by the number of examples"):
        prior.loss(nn.MSELoss(reduction="sum"), data)
    sequence = NetworkPrior(nn.GRU(3, 2))
    with pytest.raises(ModelError, match="got a tuple"):
        sequence.outputs(torch.ones(1, sequence.dimension), torch.ones(4, 1, 3))


def test_the_prior_says_what_it_is():
    text = str(NetworkPrior(relu_network(), {"2.bias": 2.0}))
    assert text == (
        "Gaussian prior over the 45 weights of Sequential: independent, of mean 0 and standard deviation 0.577 "
        "(0.weight, 0.bias), 0.408 (2.weight), 2 (2.bias)."
    )


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru, self.head = nn.GRU(3, 4, batch_first=True), nn.Linear(4, 2)

    def forward(self, x):
        return self.head(self.gru(x)[0][:, -1])


def test_what_cannot_run_many_at_once_runs_one_by_one():
    model = Recurrent()
    prior = NetworkPrior(model, dtype=DOUBLE)
    x, y = torch.randn(5, 6, 3, dtype=DOUBLE), torch.arange(5) % 2
    z = torch.randn(3, prior.dimension, dtype=DOUBLE, requires_grad=True)
    values = prior.loss(F.cross_entropy, (x, y), batch_size=2)(z)
    (slope,) = torch.autograd.grad(values[1], z)
    assert prior._one_by_one
    assert not slope[[0, 2]].any()
    for row, network in enumerate(one_by_one(prior, model, z.detach())):
        torch.testing.assert_close(values[row], F.cross_entropy(network(x), y))
    weights = {name: part[1].detach().requires_grad_() for name, part in prior.weights(z).items()}
    F.cross_entropy(torch.func.functional_call(model.double(), weights, (x,)), y).backward()
    own = torch.cat([(prior.scales[name] * weights[name].grad).flatten() for name in prior.names])
    torch.testing.assert_close(slope[1], own)


@pytest.mark.parametrize("kind", [relu_network, Recurrent])
def test_a_batch_of_its_own_for_each_network(kind):
    prior = NetworkPrior(kind(), dtype=DOUBLE)
    z = torch.randn(4, prior.dimension, dtype=DOUBLE)
    batches = torch.randn(4, 5, *(() if kind is relu_network else (6,)), 3, dtype=DOUBLE)
    found = prior.outputs(z, batches, own=True)
    for row in range(4):
        torch.testing.assert_close(found[row], prior.outputs(z[row : row + 1], batches[row])[0])


def test_weights_and_points_are_each_others_inverse():
    model = Tied().double().eval()
    prior = NetworkPrior(model, {"layer.norm1.bias": 0.2}, dtype=DOUBLE)
    z = torch.randn(2, prior.dimension, dtype=DOUBLE)
    own = {name: weight[1] for name, weight in prior.weights(z).items()}
    torch.testing.assert_close(prior.latent(own), z[1])
    for name, weight in prior.weights(prior.latent()[None]).items():
        torch.testing.assert_close(weight[0], model.get_parameter(name).detach())
    with pytest.raises(ValueError, match=r"weights must hold 'embedding\.weight'"):
        prior.latent({})


def test_everything_stays_on_one_device(monkeypatch):
    # Fake CUDA tensors raise as soon as two devices meet. They can be neither copied nor looked at: the model is put in
    # by hand, and the data are.
    prior = NetworkPrior(relu_network())
    prior.device = torch.device("cuda:0")
    with FakeTensorMode(), torch.no_grad():
        for module in (prior._model[0], prior._model[2]):
            for name, value in list(module.named_parameters()):
                setattr(module, name, nn.Parameter(torch.empty(value.shape, device="cuda:0")))
        inputs, targets = torch.empty(5, 3, device="cuda:0"), torch.zeros(5, dtype=torch.long, device="cuda:0")
        blocks = SimpleNamespace(number=10, read=lambda number: Block(number, np.arange(5), inputs, targets))
        monkeypatch.setattr(networks, "Blocks", lambda *_, **__: blocks)
        monkeypatch.setattr(NetworkPrior, "_check_average", lambda *_: None)
        mean = prior.loss(F.cross_entropy, None, batch_size=5)
        assert mean(torch.empty(4, prior.dimension, device="cuda:0")).device.type == "cuda"
        assert mean(torch.empty(4, prior.dimension)).device.type == "cpu"
        assert mean(torch.empty(4, prior.dimension)).dtype == DOUBLE
