"""The audit: changes keep the function for many kinds of networks, and known invariances come out as they must."""

import json
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional as F

from genbounds.cli.app import main
from genbounds.measures import audit, find_chains, layer_spectra, weight_layers
from genbounds.measures.invariance.transformations import TRANSFORMATIONS
from genbounds.models.data import load_data
from genbounds.models.guards import ModelError
from genbounds.models.state import save_state


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.first, self.first_norm = nn.Conv2d(4, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6)
        self.second, self.second_norm = nn.Conv2d(6, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        x = F.relu(self.norm(self.stem(x)))
        inner = self.second_norm(self.second(F.relu(self.first_norm(self.first(x)))))
        return self.head(F.adaptive_avg_pool2d(F.relu(x + inner), 1).flatten(1))


class Looking(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(36, 3)

    def forward(self, x):
        return self.layer(x.flatten(1) if x.sum() > 0 else x.flatten(1) * 2)


class Viewing(nn.Module):
    """Its code fixes the number of its units."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 4, 3), nn.Linear(64, 3)

    def forward(self, x):
        return self.second(torch.relu(self.first(x)).view(-1, 64))


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second, self.head = nn.Linear(36, 36), nn.Linear(36, 36), nn.Linear(36, 3)
        self.second.weight = self.first.weight

    def forward(self, x):
        return self.head(torch.relu(self.second(torch.relu(self.first(x.flatten(1))))))


def plain(act=nn.ReLU, bias=True):
    layers = [nn.Linear(one, two, bias=bias) for one, two in ((36, 20), (20, 12), (12, 3))]
    return nn.Sequential(nn.Flatten(), layers[0], act(), layers[1], act(), layers[2])


def convolutional():
    return nn.Sequential(
        *(nn.Conv2d(1, 5, 3, bias=False), nn.BatchNorm2d(5), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(5, 4, 2), nn.LeakyReLU(), nn.Flatten(), nn.Dropout(), nn.Linear(4, 3)),
    )


def flattened():
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 8), nn.BatchNorm1d(8), nn.Linear(8, 3)
    )


NETWORKS = {
    "plain": plain,
    "smooth": lambda: plain(nn.GELU),
    "convolutional": convolutional,
    "flattened": flattened,
    "residual": Residual,
    "viewing": Viewing,
    "tied": Tied,
    "looking": Looking,
}
#: What is not applicable, by network: everything else must be made.
MISSING = {
    "plain": {"batch norm folded"},
    "smooth": {"batch norm folded", "layers rescaled", "neurons rescaled"},
    "convolutional": set(),
    "flattened": set(),
    "residual": set(),
    "viewing": {"batch norm folded", "dead units added"},
    "tied": set(TRANSFORMATIONS),
    "looking": set(TRANSFORMATIONS),
}


def trained_like(build, seed=0):
    """Return a network whose batch normalisations have seen data, and whose gains are not all one."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = build().double()
        with torch.no_grad():
            for layer in model.modules():
                if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
                    layer.weight.uniform_(0.5, 2)
                    layer.bias.normal_()
            model.train()
            for _ in range(3):
                model(torch.randn(50, 1, 6, 6).double())
    return model.eval()


def images(n=40, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, 1, 6, 6, generator=generator, dtype=torch.float64), torch.arange(n) % 3


def function(model, inputs, targets):
    return {"loss": float(F.cross_entropy(model(inputs).detach(), targets))}


@pytest.mark.parametrize("name", NETWORKS)
def test_changes_keep_the_function_and_what_cannot_be_made_is_named(name):
    model, data = trained_like(NETWORKS[name]), load_data(images())
    state = {key: value.clone() for key, value in model.state_dict().items()}
    found = audit(model, data, function)
    refused = {trial.name for trial in found.trials if trial.reason}
    assert refused - {"another seed", "another batch size"} == MISSING[name]
    for trial in found.trials:
        assert trial.reason or trial.difference <= 1e-9 or trial.name == "float32"
    assert found.moved("loss") == ()
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize("name", ["plain", "convolutional", "flattened", "residual"])
def test_changes_do_change_the_weights(name):
    model = trained_like(NETWORKS[name])
    for change, transform in TRANSFORMATIONS.items():
        if change in MISSING[name]:
            continue
        other = trained_like(NETWORKS[name])
        transform(other, find_chains(other), np.random.default_rng(0))
        same = other.state_dict().keys() == model.state_dict().keys() and all(
            one.shape == two.shape and torch.equal(one, two)
            for one, two in zip(model.state_dict().values(), other.state_dict().values(), strict=True)
        )
        assert not same, change


def test_powers_of_two_change_no_bit():
    model, (x, _) = trained_like(plain), images()
    for name in ("layers rescaled", "neurons rescaled", "units permuted"):
        other = trained_like(plain)
        TRANSFORMATIONS[name](other, find_chains(other), np.random.default_rng(1))
        same = torch.equal(model(x), other(x))
        assert same or name == "units permuted"


RESCALED, PADDED = "neurons rescaled", "dead units added"


def test_known_invariances_of_the_packages_measures():
    found = audit(trained_like(lambda: plain(bias=False)), load_data(images()))
    for name in ("path_norm", "fisher_rao", "fisher_rao_true", "margin", "cross_entropy", "adaptive_worst_sharpness"):
        assert found.moved(name) == (), name
    assert found.moved("log_prod_of_fro") == (RESCALED, PADDED)  # whole layers: c and 1/c cancel
    assert found.moved("log_prod_of_spec") == (RESCALED, PADDED)
    assert found.moved("fro_over_spec") == (RESCALED, PADDED)
    assert found.moved("parameter_norm") == ("layers rescaled", RESCALED, PADDED)
    assert found.moved("parameters") == (PADDED,)
    assert "layers rescaled" in found.moved("worst_sharpness")


def test_the_exponent_of_a_random_network_becomes_an_ideal_one():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(250, 1500), nn.ReLU(), nn.Linear(1500, 250), nn.ReLU(), nn.Linear(250, 4))
        data = load_data((torch.randn(30, 250), torch.arange(30) % 4))

    def exponents(network, *_):
        spectra = layer_spectra(weight_layers(network), simulations=9)
        return {f"alpha of {each.name}": each.power_law.alpha for each in spectra if each.power_law is not None}

    found = audit(model.eval(), data, exponents)
    rows = {(each.measure, each.trial): each for each in found.changes}
    for layer in ("0", "2"):
        row = rows[f"alpha of {layer}.weight", RESCALED]
        assert row.before > 5
        assert row.after < 3
        assert row.moved
        assert not rows[f"alpha of {layer}.weight", "units permuted"].moved
    assert next(trial for trial in found.trials if trial.name == RESCALED).difference <= 1e-12


def test_a_measure_that_depends_on_seed_or_batches_is_found_out():
    model, data = trained_like(plain), load_data(images())

    def drawn(network, inputs, targets, seed=0):
        return float(np.random.default_rng(seed).random())

    def first_batch(network, inputs, targets, batch_size=16):
        return float(network(inputs[:batch_size]).detach().square().mean())

    assert audit(model, data, drawn).moved("measure") == ("another seed",)
    assert audit(model, data, first_batch).moved("measure") == ("examples in another order", "another batch size")


def test_a_measure_that_is_refused_after_a_change_has_moved():
    def only_narrow(network, inputs, targets):
        width = len(network[1].weight)
        return {"always": 1.0} | ({"narrow": 1.0} if width == 20 else {})

    found = audit(trained_like(plain), load_data(images()), only_narrow)
    (change,) = [each for each in found.changes if each.measure == "narrow" and each.trial == PADDED]
    assert change.moved
    assert math.isnan(change.after)
    assert json.dumps(found.to_json(), allow_nan=False)


@pytest.mark.parametrize("wrong", ["text", None, {"a": math.nan}])
def test_a_measure_without_a_number_is_refused(wrong):
    with pytest.raises(ModelError, match="the measure must return"):
        audit(trained_like(plain), load_data(images()), lambda *_: wrong)


def test_training_mode_is_refused():
    with pytest.raises(ModelError, match="evaluation mode"):
        audit(trained_like(plain).train(), load_data(images()), function)


def test_the_command_prints_a_table_for_a_measure_of_the_users_own(tmp_path, capsys):
    net = tmp_path / "net.py"
    net.write_text(
        "from torch import nn\n"
        "def build():\n    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))\n"
        "def mine(model, inputs, targets):\n"
        "    return {'sum of weights': float(model[1].weight.detach().abs().sum())}\n",
        encoding="utf-8",
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))
    save_state(model.state_dict(), tmp_path / "weights.safetensors")
    common = ["audit", str(tmp_path / "weights.safetensors"), "--model", f"{net}:build", "--data", "digits"]
    common += ["--out", str(tmp_path / "audit.json")]
    assert main([*common, "--measure", f"{net}:mine"]) == 0
    printed = capsys.readouterr().out
    assert "sum of weights" in printed
    assert "Not tried: batch norm folded" in printed
    content = json.loads((tmp_path / "audit.json").read_text(encoding="utf-8"))
    assert {each["trial"] for each in content["changes"] if each["moved"]} == {
        "layers rescaled",
        "neurons rescaled",
        "dead units added",
    }
    assert main([*common, "--json"]) == 0
    assert any(each["measure"] == "path_norm" for each in json.loads(capsys.readouterr().out)["changes"])


@pytest.mark.parametrize("name", ["plain", "convolutional", "flattened", "residual"])
def test_changes_are_made_on_the_device_of_the_weights(name):
    """Tensors without data on a CUDA device refuse to meet those of the CPU."""
    with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
        for change, transform in TRANSFORMATIONS.items():
            if change in MISSING[name]:
                continue
            model = NETWORKS[name]().eval()
            for layer in model.modules():
                for own, value in layer._parameters.items():
                    if value is not None:
                        layer._parameters[own] = nn.Parameter(torch.empty(value.shape, device="cuda"))
                for own, value in layer._buffers.items():
                    if value is not None:
                        layer._buffers[own] = torch.empty(value.shape, dtype=value.dtype, device="cuda")
            transform(model, find_chains(model), np.random.default_rng(0))
            outputs = model(torch.empty(5, 1, 6, 6, device="cuda"))
            assert (outputs.device.type, tuple(outputs.shape)) == ("cuda", (5, 3))
            assert all(value.device.type == "cuda" for value in model.state_dict().values())


def test_the_default_measures_follow_a_folded_normalisation():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = nn.Linear(36, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3)
    found = audit(nn.Sequential(nn.Flatten(), *layers).eval(), load_data(images()))
    made = {trial.name for trial in found.trials if not trial.reason}
    assert {"batch norm folded", "neurons rescaled"} <= made
    assert "batch norm folded" not in found.moved("cross_entropy")
    assert "batch norm folded" in found.moved("log_prod_of_spec")


class Masked(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(36, 3)
        self.register_buffer("mask", torch.tensor([0.0, 0.0, -torch.inf]))

    def forward(self, x):
        return self.layer(x.flatten(1)) + self.mask


class Constant(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(36, 3)
        self.factor = torch.eye(3)  # no buffer: it stays in float32

    def forward(self, x):
        return self.layer(x.flatten(1)) @ self.factor


@pytest.mark.parametrize(("build", "words"), [(Masked, "outputs must be finite"), (Constant, "must run in float64")])
def test_networks_whose_function_cannot_be_compared_are_refused(build, words):
    with pytest.raises(ModelError, match=words):
        audit(build().eval(), load_data(images()), function)


def test_a_number_that_is_zero_but_for_rounding_has_not_moved():
    def centred(network, inputs, targets):
        scores = network(inputs).detach()
        return float((scores - scores.mean(0)).mean())

    assert audit(trained_like(plain), load_data(images()), centred).moved("measure") == ()


def test_a_layer_of_zeros_is_audited():
    model = trained_like(plain)
    with torch.no_grad():
        model[5].weight.zero_()
    found = audit(model, load_data(images()))
    assert "stable_rank of 5.weight" not in {each.measure for each in found.changes}
