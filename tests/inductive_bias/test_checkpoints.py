"""Linearised networks and last layers: against linear models, Jacobians written out, and wide networks."""

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call, jacrev

from genbounds.inductive_bias.gaussian.checkpoints import last_layer_hypotheses, ntk_hypotheses
from genbounds.inductive_bias.gaussian.network_kernels import tangent_kernel
from genbounds.inductive_bias.gaussian.spaces import kernel_hypotheses, linear_hypotheses
from genbounds.inductive_bias.gaussian.tangent import tangent_space
from genbounds.models.guards import ModelError


def normal(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def network(seed=0, outputs=3):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(4, 7), nn.Tanh(), nn.Linear(7, outputs)).double().eval()


def convolutional():
    with torch.random.fork_rng():
        torch.manual_seed(1)
        layers = [nn.Conv2d(1, 3, 3, padding=1), nn.GroupNorm(1, 3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 2)]
        return nn.Sequential(*layers).double().eval()


def jacobian(model, x):
    """All derivatives of all outputs, written out: (n, k, P), with the parameters in order."""
    weights = {name: value.detach() for name, value in model.named_parameters()}
    rows = jacrev(lambda w: functional_call(model, w, (x,)))(weights)
    return torch.cat([part.flatten(2) for part in rows.values()], dim=2)


@pytest.mark.parametrize("batch_size", [2, 5, 64])
def test_the_covariance_is_that_of_the_jacobian(batch_size):
    model, x, y = network(), normal(0, 8, 4), normal(1, 8, 3)
    space = tangent_space(model, (x[:5], y[:5]), (x[5:], y[5:]), scale=0.3, batch_size=batch_size)
    rows = jacobian(model, x).flatten(0, 1)
    np.testing.assert_allclose(space.covariance, 0.09 * (rows @ rows.T).numpy(), rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(space.outputs, model(x).detach().numpy(), rtol=1e-12)
    assert (space.targets == y.numpy()).all()


def test_a_convolutional_network_with_normalisation():
    model, x, y = convolutional(), normal(2, 5, 1, 4, 4), torch.tensor([0, 1, 1, 0, 1])
    space = tangent_space(model, (x, y), scale=1.0, batch_size=2)
    rows = jacobian(model, x).flatten(0, 1)
    np.testing.assert_allclose(space.covariance, (rows @ rows.T).numpy(), rtol=1e-9, atol=1e-12)
    assert space.targets.tolist() == np.eye(2)[y].tolist()


def test_each_parameter_has_its_scale():
    model, x, y = network(), normal(0, 4, 4), normal(1, 4, 3)
    sizes = {name: value.numel() for name, value in model.named_parameters()}
    scales = {name: 0.1 * (number + 1) for number, name in enumerate(sizes)}
    space = tangent_space(model, (x, y), scale=scales)
    rows = jacobian(model, x).flatten(0, 1) * torch.cat([
        torch.full((sizes[n],), s, dtype=torch.float64) for n, s in scales.items()
    ])
    np.testing.assert_allclose(space.covariance, (rows @ rows.T).numpy(), rtol=1e-10, atol=1e-14)


def test_the_linearisation_of_a_linear_model_is_the_model():
    """f_0 + x . w with w ~ N(0, s^2 I), conditioned: the weights are drawn around those of the checkpoint."""
    model = nn.Linear(5, 1, bias=False).double().eval()
    x, y = normal(0, 9, 5), normal(1, 9, 1)
    found = ntk_hypotheses(model, (x[3:], y[3:]), train=(x[:3], y[:3]), scale=0.7)
    moved = (y - model(x).detach()).numpy()
    expected = linear_hypotheses(x.numpy(), moved, scale=0.7, given=[0, 1, 2])
    np.testing.assert_allclose(found.mean, expected.mean, atol=1e-8)
    levels = expected.mean_loss * np.array([1e-3, 0.1, 1.0])
    np.testing.assert_allclose(found.information(levels).nats, expected.information(levels).nats, rtol=1e-5)


def test_the_outputs_of_a_linear_model_are_independent():
    """One dense column of all outputs here, blocks of one covariance there."""
    model = nn.Linear(4, 3).double().eval()
    x, y = normal(0, 9, 4), normal(1, 9, 3)
    found = ntk_hypotheses(model, (x[2:], y[2:]), train=(x[:2], y[:2]), scale=1.0, noise=0.2)
    rows = torch.cat([x, torch.ones(9, 1).double()], dim=1).numpy()
    expected = linear_hypotheses(rows, (y - model(x).detach()).numpy(), given=[0, 1], noise=0.2)
    levels = expected.floor + (expected.mean_loss - expected.floor) * np.array([0.01, 0.1, 1.0])
    np.testing.assert_allclose(found.information(levels).nats, expected.information(levels).nats, rtol=1e-5)
    assert found.floor == pytest.approx(expected.floor, rel=1e-6)


@pytest.mark.parametrize("classes", [True, False])
def test_the_last_layer_is_a_linear_model_on_the_features(classes):
    model, x = network(), normal(0, 12, 4)
    y = torch.arange(12) % 3 if classes else normal(1, 12, 3)
    found = last_layer_hypotheses(model, (x[4:], y[4:]), train=(x[:4], y[:4]), scale=0.5, batch_size=3)
    features = torch.cat([model[:2](x), torch.ones(12, 1)], dim=1).detach().numpy()
    rows = np.eye(3)[y] if classes else y.numpy()
    expected = linear_hypotheses(features, rows, scale=0.5, given=np.arange(4))
    levels = expected.floor + (expected.mean_loss - expected.floor) * np.array([0.01, 0.1, 1.0])
    np.testing.assert_allclose(found.information(levels).nats, expected.information(levels).nats, rtol=1e-9)
    assert found.mean.shape == (8, 3)


class HeadByKeyword(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(4, 5).double(), nn.Linear(5, 2, bias=False).double()

    def forward(self, x):
        return self.head(input=torch.tanh(self.body(x)))


def test_a_last_layer_without_bias_that_is_called_by_keyword():
    model, x, y = HeadByKeyword().eval(), normal(0, 7, 4), normal(1, 7, 2)
    found = last_layer_hypotheses(model, (x[2:], y[2:]), train=(x[:2], y[:2]), scale=0.5)
    features = torch.tanh(model.body(x)).detach().numpy()
    expected = linear_hypotheses(features, y.numpy(), scale=0.5, given=[0, 1])
    np.testing.assert_allclose(found.mean, expected.mean, rtol=1e-9)
    assert found.mean_loss == pytest.approx(expected.mean_loss, rel=1e-12)


def test_the_last_layer_is_the_linearisation_in_its_weights_alone():
    """Of a checkpoint whose last layer is 0, with the other parameters held."""
    model, x, y = network(), normal(0, 10, 4), normal(1, 10, 3)
    nn.init.zeros_(model[2].weight), nn.init.zeros_(model[2].bias)
    sets = {"train": (x[:3], y[:3]), "scale": 0.4}
    whole = ntk_hypotheses(model, (x[3:], y[3:]), parameters=["2.weight", "2.bias"], **sets)
    last = last_layer_hypotheses(model, (x[3:], y[3:]), **sets)
    levels = last.floor + (last.mean_loss - last.floor) * np.array([0.1, 0.5])
    np.testing.assert_allclose(whole.information(levels).nats, last.information(levels).nats, rtol=1e-5)


def test_without_training_examples_the_law_is_the_prior():
    model, x, y = network(), normal(0, 6, 4), normal(1, 6, 3)
    space = ntk_hypotheses(model, (x, y), scale=0.2)
    rows = 0.2 * jacobian(model, x).flatten(0, 1).numpy()
    assert space.condition == "prior"
    mean = (model(x).detach() - y).numpy().ravel()
    np.testing.assert_allclose(space.mean[:, 0], mean, rtol=1e-12)
    assert space.mean_loss == pytest.approx((np.square(mean).sum() + np.square(rows).sum()) / 18, rel=1e-9)
    assert last_layer_hypotheses(model, (x, y), scale=0.2).condition == "prior"


def test_losses_of_linearised_networks_are_those_drawn():
    """Monte Carlo over the weights of the linearisation, without a covariance."""
    model, x, y = network(outputs=2), normal(0, 5, 4), normal(1, 5, 2)
    rows = jacobian(model, x).detach()
    moves = 0.5 * torch.randn(100_000, rows.shape[2], generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    losses = (model(x).detach() + torch.einsum("nkp,sp->snk", rows, moves) - y).square().mean(dim=(1, 2)).numpy()
    space = ntk_hypotheses(model, (x, y), scale=0.5)
    for share in (0.3, 0.7, 1.0):
        level = share * space.mean_loss
        p = math.exp(-space.information([level]).nats[0])
        assert abs((losses <= level).mean() - p) < 4 * math.sqrt(p * (1 - p) / len(losses))


def test_a_wide_network_has_the_kernel_of_the_limit():
    """With parameters as the kernel takes them: N(0, 1), scaled where they are used."""
    width, depth = 1500, 2
    generator = torch.Generator().manual_seed(0)
    layers = [nn.Linear(4, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1)]
    model = nn.Sequential(*layers).double().eval()
    scales = {}
    with torch.no_grad():
        for number in (0, 2, 4):
            layer = model[number]
            scales |= {f"{number}.weight": math.sqrt(2 / layer.in_features), f"{number}.bias": math.sqrt(0.1)}
            for name, value in layer.named_parameters():
                value.copy_(
                    torch.randn(value.shape, generator=generator, dtype=torch.float64) * scales[f"{number}.{name}"]
                )
    x = normal(3, 4, 4)
    space = tangent_space(model, (x, torch.zeros(4, 1)), scale=scales)
    limit = tangent_kernel(x.numpy(), depth=depth, bias_variance=0.1)
    np.testing.assert_allclose(space.covariance, limit, rtol=8 / math.sqrt(width), atol=0.1)


def test_targets_of_another_task_need_no_second_pass():
    model, x, y = network(), normal(0, 7, 4), normal(1, 7, 3)
    space = tangent_space(model, (x, y), scale=0.3)
    shuffled = y[[0, 1, 3, 2, 6, 5, 4]]
    again = kernel_hypotheses(space.covariance, (shuffled.numpy() - space.outputs).ravel(), given=np.arange(6))
    direct = ntk_hypotheses(model, (x[2:], shuffled[2:]), train=(x[:2], shuffled[:2]), scale=0.3)
    np.testing.assert_allclose(again.mean, direct.mean, atol=1e-9)


def test_a_model_in_float32_is_measured_in_float64_and_left_alone():
    model, x, y = network().float(), normal(0, 5, 4).float(), normal(1, 5, 3).float()
    model[0].bias.requires_grad_(False)
    model[2].weight.grad = torch.ones_like(model[2].weight)
    before = copy.deepcopy(model.state_dict())
    state = torch.get_rng_state()
    space = ntk_hypotheses(model, (x[2:], y[2:]), train=(x[:2], y[:2]), scale=1.0)
    last_layer_hypotheses(model, (x[2:], y[2:]), train=(x[:2], y[:2]), scale=1.0)
    wide = copy.deepcopy(model).double()
    same = ntk_hypotheses(wide, (x[2:].double(), y[2:].double()), train=(x[:2].double(), y[:2].double()), scale=1.0)
    np.testing.assert_allclose(space.mean, same.mean, rtol=1e-12)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert (model[2].weight.grad == 1).all()
    assert not model[0].bias.requires_grad
    assert not model[2]._forward_pre_hooks
    assert torch.equal(torch.get_rng_state(), state)


class Named(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 2).double()

    def forward(self, values):
        return self.layer(values)


def test_inputs_by_keyword():
    model = Named().eval()
    x, y = normal(0, 5, 4), normal(1, 5, 2)
    space = tangent_space(model, ({"values": x}, y), scale=1.0, batch_size=2)
    rows = torch.cat([x, torch.ones(5, 1)], dim=1)
    np.testing.assert_allclose(space.covariance, np.kron((rows @ rows.T).numpy(), np.eye(2)), atol=1e-12)
    with pytest.raises(ModelError, match="model must take one tensor"):
        last_layer_hypotheses(model, ({"values": x}, y), scale=1.0)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda m, x, y: ntk_hypotheses(m.train(), (x, y), scale=1.0), ModelError, "evaluation mode"),
        (lambda m, x, y: ntk_hypotheses(m, (x, y), scale=0.0), ValueError, "scale must be positive"),
        (
            lambda m, x, y: ntk_hypotheses(m, (x, y), scale={"0.weight": 1.0}),
            ValueError,
            "scale must name the parameters",
        ),
        (lambda m, x, y: ntk_hypotheses(m, (x, y[:, :2]), scale=1.0), ValueError, "a number for each of the 3 outputs"),
        (
            lambda m, x, y: ntk_hypotheses(m, (x, torch.full((6,), 3)), scale=1.0),
            ValueError,
            "classes from 0 to 2, got 3",
        ),
        (lambda m, x, y: ntk_hypotheses(m, (x, y), train=(x, y), scale=1.0, noise=-1), ValueError, "noise must be"),
        (
            lambda m, x, y: ntk_hypotheses(nn.Sequential(m, nn.Unflatten(1, (3, 1))).eval(), (x, y), scale=1.0),
            ModelError,
            "one row of outputs per example",
        ),
        (
            lambda m, x, y: last_layer_hypotheses(nn.Sequential(m, nn.Tanh()).eval(), (x, y), scale=1.0),
            ModelError,
            "end in one nn.Linear",
        ),
        (lambda m, x, y: last_layer_hypotheses(m, (x, y), scale=-1.0), ValueError, "scale must be positive"),
    ],
)
def test_what_has_no_law_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call(network(), normal(0, 6, 4), normal(1, 6, 3))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_device_the_law_is_the_same():
    model, x, y = convolutional(), normal(2, 7, 1, 4, 4), torch.tensor([0, 1, 1, 0, 1, 0, 0])
    sets = {"train": (x[:3], y[:3]), "scale": 0.5}
    for build in (ntk_hypotheses, last_layer_hypotheses):
        here, there = build(model, (x[3:], y[3:]), **sets), build(model, (x[3:], y[3:]), device="cuda", **sets)
        np.testing.assert_allclose(there.mean, here.mean, atol=1e-8)
        assert there.mean_loss == pytest.approx(here.mean_loss, rel=1e-9)
