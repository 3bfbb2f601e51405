"""Transport between representations: against assignment, through layers, and on a network that reads real digits."""

import json
import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment, linprog
from torch import nn

from genbounds.information.representations.funnels import analyse_layers, transport_cost
from genbounds.models import load_data
from genbounds.models.guards import ModelError


@given(st.integers(1, 30), st.integers(0, 2**32 - 1))
@settings(max_examples=20)
def test_transport_of_equally_many_points_is_an_assignment(size, seed):
    costs = np.random.default_rng(seed).random((size, size))
    rows, columns = linear_sum_assignment(costs)
    assert transport_cost(costs) == pytest.approx(costs[rows, columns].mean(), abs=1e-12)


def test_transport_of_unequal_numbers_is_a_linear_program():
    costs = np.random.default_rng(1).random((3, 5))
    marginals = [np.kron(np.eye(3), np.ones(5)), np.kron(np.ones(3), np.eye(5))]
    program = linprog(costs.ravel(), A_eq=np.vstack(marginals), b_eq=np.repeat([1 / 3, 1 / 5], [3, 5]))
    assert transport_cost(costs) == pytest.approx(program.fun, abs=1e-10)


def network(seed=0, scale=1.0):
    torch.manual_seed(seed)
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(64, 16),
        nn.Tanh(),
        nn.Linear(16, 10),
    )
    with torch.no_grad():
        for parameter in net.parameters():
            parameter *= scale
    return net.eval()


DIGITS = load_data("digits")
TRAIN, TEST = np.arange(0, 900), np.arange(900, 1797)


@pytest.fixture(scope="module")
def memorised():
    """A network that has learnt 240 digits by heart, two in five of them with random labels."""
    generator = np.random.default_rng(0)
    labels = DIGITS.targets.clone()
    wrong = torch.from_numpy(generator.random(len(labels)) < 0.4)
    labels[wrong] = torch.from_numpy(generator.integers(0, 10, int(wrong.sum())))
    net, train = network(), TRAIN[:240]
    inputs, targets = DIGITS.inputs[train].float(), labels[train]
    optimiser = torch.optim.Adam(net.parameters(), lr=0.01)
    for _ in range(250):
        optimiser.zero_grad()
        nn.functional.cross_entropy(net.train()(inputs), targets).backward()
        optimiser.step()
    return net.eval(), load_data((DIGITS.inputs.float(), labels)), train


@pytest.mark.parametrize("relabelled", [False, True])
@pytest.mark.parametrize(("loss", "middle", "gap"), [("ramp", 0.5, 0.4), ("cross-entropy", -20.0, 2.0)])
def test_constants_of_the_losses_are_attained(loss, middle, gap, relabelled):
    """All training examples are one point, all test examples another, or one point with two labels."""
    net = nn.Linear(2, 2, bias=False, dtype=torch.float64).eval()
    net.weight.data.copy_(torch.eye(2))
    scores = [[middle + gap / 2, 0.0]] * 6 + [[middle, gap / 2]] * 3
    if relabelled:
        scores = [[2.0, 0.0]] * 9
        gap = 1.0 if loss == "ramp" else 2.0
    labels = torch.tensor([0] * 6 + [int(relabelled)] * 3)
    data = load_data((torch.tensor(scores, dtype=torch.float64), labels))
    analysis = analyse_layers(net, data, range(6), range(6, 9), loss=loss, replicates=19)
    assert analysis.gap == pytest.approx(gap, rel=1e-6)
    for layer in analysis.layers:
        assert layer.limit == pytest.approx(gap, rel=1e-6)
    assert analysis.holds


@pytest.mark.parametrize(("loss", "margin"), [("ramp", 1.0), ("ramp", 20.0), ("cross-entropy", 1.0)])
def test_every_limit_covers_the_gap_of_a_network_that_memorised(memorised, loss, margin):
    net, data, train = memorised
    analysis = analyse_layers(net, data, train, TEST, loss=loss, margin=margin, size=100, replicates=19)
    assert analysis.gap > 0.15
    assert analysis.holds
    limits = np.array([layer.limit for layer in analysis.layers])
    # A coupling pushed through a layer costs no more.
    assert np.all(np.diff(limits) <= 1e-6 * limits[:-1])
    assert limits[-1] == pytest.approx(analysis.output_lipschitz * analysis.layers[-1].distance, rel=1e-12)
    assert analysis.layers[-1].remaining_lipschitz == 1
    constants = np.array([layer.remaining_lipschitz for layer in analysis.layers])
    distances = np.array([layer.distance for layer in analysis.layers])
    # The published form, with the larger of 1 and the constant, is never below the one with the constant in the cost.
    assert np.all(limits <= analysis.output_lipschitz * np.maximum(1, constants) * distances * (1 + 1e-9))
    assert [layer.dimension for layer in analysis.layers] == [64, 256, 256, 64, 64, 16, 16, 10]


def test_losses_are_those_of_the_examples_compared(memorised):
    """With all test examples and half of the training examples in it, by hand."""
    net, data, train = memorised
    test = TEST[:120]
    analysis = analyse_layers(net, data, train, test, size=10**6, replicates=19, loss="cross-entropy")
    with torch.no_grad():
        outputs = net(data.inputs[torch.from_numpy(test)])
    expected = nn.functional.cross_entropy(outputs.double(), data.targets[torch.from_numpy(test)])
    assert analysis.size == 120
    assert analysis.test_loss == pytest.approx(float(expected), rel=1e-6)


def test_a_shift_is_seen_at_every_layer_and_a_narrow_one_is_a_matter_of_units():
    """Test inputs moved by 1; the layers multiply distances by 1/10 and by 100: beyond sampling, and a scale."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(2, 2), nn.Identity(), nn.Linear(2, 2)).eval()
    with torch.no_grad():
        net[0].weight.copy_(0.1 * torch.eye(2))
        net[2].weight.copy_(100 * torch.eye(2))
    points = torch.randn(150, 2) + torch.tensor([1.0, 0.0]) * (torch.arange(150) >= 100)[:, None]
    data = load_data((points, torch.arange(150) % 2))
    found = analyse_layers(net, data, np.arange(100), np.arange(100, 150), size=50, margin=1e-3)
    assert [layer.p_value for layer in found.layers] == [0.025] * 4
    assert all(layer.distance > 1.5 * layer.floor for layer in found.layers)
    assert (found.funnel, found.verdict, found.funnel_p_value) == ("0", "scale", 0.025)
    limits = [layer.limit for layer in found.layers]
    assert limits == pytest.approx([limits[-1]] * 4, rel=1e-6)  # multiples of the identity lose nothing


def test_an_untrained_network_is_at_the_floor():
    """Nothing was learnt: a minimum at an inner layer is one of units and of the floor, which relabelling shows."""
    found = analyse_layers(network(scale=0.5), DIGITS, TRAIN, TRAIN + 897, size=60)
    assert all(layer.distance == pytest.approx(layer.floor, rel=0.1) for layer in found.layers)
    loud = network()
    with torch.no_grad():
        loud[6].weight *= 100
    found = analyse_layers(loud, DIGITS, TRAIN, TRAIN + 897, size=60)
    assert found.funnel != "6"
    assert found.verdict == "sampling"
    assert "not a funnel" in found.sentence


def test_relabelling_is_a_valid_test():
    """Training and test examples of one law, many times: p-values at most 1/10 come up about that often, no more."""
    net = nn.Sequential(nn.Linear(3, 2)).eval()
    ranks = []
    for seed in range(40):
        torch.manual_seed(seed)
        data = load_data((torch.randn(60, 3), torch.arange(60) % 2))
        found = analyse_layers(net, data, np.arange(40), np.arange(40, 60), size=10, replicates=19, seed=seed)
        ranks.append([*(layer.p_value for layer in found.layers), found.funnel_p_value])
    assert np.all(np.mean(np.array(ranks) <= 0.1, axis=0) <= 0.225)  # 9 of 40 at probability 1/10: below 1 in 50
    assert np.all(np.mean(np.array(ranks) <= 0.5, axis=0) >= 0.2)


def test_a_constant_declared_too_small_is_caught():
    class Louder(nn.Module):
        def forward(self, inputs):
            return 1000 * inputs

    points = torch.tensor([[1.0, 0.0]] * 10 + [[0.0, 1.0]] * 10) / 100
    data = load_data((points, torch.zeros(20, dtype=torch.int64)))
    arguments = (nn.Sequential(Louder()).eval(), data, np.arange(10), np.arange(10, 20))
    with pytest.raises(ModelError, match=r"Declare one, or math\.inf"):
        analyse_layers(*arguments)
    assert not analyse_layers(*arguments, lipschitz={"0": 1.0}).holds
    assert analyse_layers(*arguments, lipschitz={"0": 1000.0}).holds
    endless = analyse_layers(*arguments, lipschitz={"0": math.inf})
    assert endless.layers[0].limit == math.inf
    assert endless.holds
    json.dumps(endless.to_json(), allow_nan=False)


def test_same_seed_same_result_whatever_the_copy(memorised):
    net, data, train = memorised
    once = analyse_layers(net, data, train, TEST, size=40, replicates=19, seed=3)
    assert once == analyse_layers(net, data, train, TEST, size=40, replicates=19, seed=3)
    assert once != analyse_layers(net, data, train, TEST, size=40, replicates=19, seed=4)
    double = analyse_layers(net, data, train, TEST, size=40, replicates=19, seed=3, dtype=torch.float64)
    assert [layer.distance for layer in double.layers] == pytest.approx(
        [layer.distance for layer in once.layers], rel=1e-4
    )
    assert next(net.parameters()).dtype == torch.float32


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"loss": "zero-one"}, "loss must be one of"),
        ({"margin": 0.0}, "margin must be positive"),
        ({"replicates": 18}, "replicates must be at least 19"),
        ({"size": 1}, "size must be at least 2"),
    ],
)
def test_ranges(options, message):
    with pytest.raises(ValueError, match=message):
        analyse_layers(network(), DIGITS, TRAIN, TEST, **options)


def test_noise_and_tokens_are_refused():
    noisy = nn.Sequential(nn.Flatten(), nn.Dropout(), nn.Linear(64, 10))
    with pytest.raises(ModelError, match="must be in evaluation mode"):
        analyse_layers(noisy, DIGITS, TRAIN, TEST)
    assert analyse_layers(noisy.eval(), DIGITS, TRAIN, TEST, size=10, replicates=19).holds
    tokens = load_data((torch.ones(50, 4, dtype=torch.int64), torch.arange(50) % 2))
    with pytest.raises(ModelError, match="inputs must be real numbers"):
        analyse_layers(nn.Embedding(3, 2).eval(), tokens, np.arange(30), np.arange(30, 50))


def test_a_missing_transport_package_is_named():
    code = (
        "import sys; sys.modules['ot'] = None; import numpy as np\n"
        "from genbounds.information.representations.funnels import transport_cost\ntransport_cost(np.ones((2, 2)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "needs POT. Run: pip install 'genbounds[transport]'" in done.stderr
