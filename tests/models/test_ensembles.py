"""Networks trained together are the networks trained alone."""

import threading

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from genbounds.models import ensembles
from genbounds.models.ensembles import (
    EnsembleTraining,
    epoch_orders,
    initial_network,
    one_thread,
    seeded,
    train_ensemble,
)
from genbounds.models.networks import convolutional, mlp


def alone(build, inputs, targets, members, seed, training):
    """Plain PyTorch, as anybody would write it."""
    network = initial_network(build, seed, inputs.dtype)
    if training.optimiser == "adam":
        optimiser = torch.optim.Adam(
            network.parameters(), lr=training.learning_rate, weight_decay=training.weight_decay
        )
    else:
        optimiser = torch.optim.SGD(
            network.parameters(),
            lr=training.learning_rate,
            momentum=training.momentum,
            weight_decay=training.weight_decay,
        )
    for order in epoch_orders(seed, len(members), training):
        for batch in members[order].split(training.batch_size):
            optimiser.zero_grad()
            F.cross_entropy(network(inputs[batch]), targets[batch]).backward()
            optimiser.step()
    return network.eval()


def problem(shape=(6,), classes=3, dtype=torch.float64):
    source = torch.Generator().manual_seed(0)
    inputs = torch.randn(20, *shape, generator=source, dtype=dtype)
    targets = torch.randint(classes, (20,), generator=source)
    members = torch.stack([torch.randperm(20, generator=source)[:10] for _ in range(4)])
    return inputs, targets, members


class Gated(nn.Module):
    """No Sequential, a buffer, a weight without gradient, a layer without bias."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(6, 5, bias=False)
        self.norm = nn.LayerNorm(5)
        self.last = nn.Linear(5, 3)
        self.scale = nn.Parameter(torch.rand(5), requires_grad=False)
        self.register_buffer("shift", torch.rand(5))

    def forward(self, x):
        return self.last(self.norm(self.first(x) * self.scale + self.shift).tanh())


def tied():
    layer = nn.Linear(6, 6)
    return nn.Sequential(layer, nn.Tanh(), layer, nn.Linear(6, 3))


@pytest.mark.parametrize(
    "training",
    [
        EnsembleTraining(epochs=6, batch_size=4, learning_rate=0.01),
        EnsembleTraining(epochs=6, batch_size=10, learning_rate=0.01, weight_decay=0.1),
        EnsembleTraining(epochs=6, batch_size=3, optimiser="sgd", learning_rate=0.1),
        EnsembleTraining(epochs=6, batch_size=4, optimiser="sgd", learning_rate=0.1, momentum=0.9, weight_decay=0.01),
    ],
    ids=["adam", "adam, full batch, decay", "sgd", "sgd, momentum, decay"],
)
@pytest.mark.parametrize(
    ("build", "shape"),
    [
        (lambda: mlp(6, 3, 5), (6,)),
        (lambda: nn.Sequential(nn.Linear(6, 5, bias=False), nn.GELU(), nn.Linear(5, 3)), (6,)),
        (lambda: nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Flatten(), nn.Linear(8, 3)), (2, 3)),
        (tied, (6,)),
        (Gated, (6,)),
        (lambda: nn.Sequential(nn.Conv2d(1, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(12, 3)), (1, 3, 3)),
    ],
    ids=["mlp", "no bias", "positions", "tied", "module", "convolution"],
)
def test_together_as_alone(build, shape, training):
    inputs, targets, members = problem(shape)
    seeds = [11, 12, 13, 14]
    scores = train_ensemble(build, inputs, targets, members, seeds, training, 3)(inputs)
    for row, seed in enumerate(seeds):
        wanted = alone(build, inputs, targets, members[row], seed, training)(inputs)
        torch.testing.assert_close(scores[row], wanted, rtol=1e-7, atol=1e-9)


def test_layers_give_what_mapping_gives():
    network = mlp(6, 3, 5)
    weights = {name: torch.randn(4, *weight.shape) for name, weight in network.named_parameters()}
    batch = torch.randn(4, 7, 2, 3)
    quick = ensembles._layers(network)
    torch.testing.assert_close(quick(weights, {}, batch), ensembles._mapped(network)(weights, {}, batch))
    for other in (Gated(), tied(), nn.Sequential(nn.Dropout()), nn.Sequential(nn.Flatten(2)), convolutional()):
        assert ensembles._layers(other) is None
    network[1].register_forward_hook(lambda *_: None)
    assert ensembles._layers(network) is None


def test_each_training_has_its_own_seed():
    inputs, targets, members = problem()
    training = EnsembleTraining(epochs=3, batch_size=4)
    same = members[:1].expand(3, -1)
    scores = train_ensemble(lambda: mlp(6, 3, 5), inputs, targets, same, [1, 2, 1], training, 3)(inputs)
    torch.testing.assert_close(scores[0], scores[2])
    assert not torch.allclose(scores[0], scores[1], atol=1e-3)


def test_batches_of_examples_do_not_matter(monkeypatch):
    inputs, targets, members = problem()
    predict = train_ensemble(
        lambda: mlp(6, 3, 5), inputs, targets, members, range(4), EnsembleTraining(epochs=2, batch_size=4), 3
    )
    whole = predict(inputs)
    monkeypatch.setattr(ensembles, "_CHUNK", 3)
    torch.testing.assert_close(predict(inputs), whole)


def test_orders_are_permutations():
    training = EnsembleTraining(epochs=5, batch_size=4)
    orders = list(epoch_orders(3, 9, training))
    assert len(orders) == 5
    assert all(order.sort().values.equal(torch.arange(9)) for order in orders)
    assert not orders[0].equal(orders[1])
    assert all(order.equal(torch.arange(4)) for order in epoch_orders(3, 4, training))


def test_global_state_is_left_alone():
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    threads = torch.get_num_threads()
    inputs, targets, members = problem()
    train_ensemble(lambda: mlp(6, 3, 5), inputs, targets, members, range(4), EnsembleTraining(epochs=1), 3)
    torch.testing.assert_close(torch.rand(3), wanted)
    with one_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == threads


def test_threads_do_not_disturb_each_other():
    """The global generator is lent to one thread at a time."""
    found = {}

    def draw(seed):
        with seeded(seed):
            found[seed] = [float(torch.rand(1)) for _ in range(200)]

    threads = [threading.Thread(target=draw, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed, values in found.items():
        assert values == torch.rand(200, generator=torch.Generator().manual_seed(seed)).tolist()


class Branching(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(6, 3)

    def forward(self, x):
        scores = self.layer(x)
        return scores if float(scores.detach().sum()) > -1e9 else -scores


@pytest.mark.parametrize(
    ("build", "complaint"),
    [
        (lambda: nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.Linear(5, 3)), "batch: BatchNorm1d"),
        (
            lambda: nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5, track_running_stats=False), nn.Linear(5, 3)),
            "batch: BatchNorm1d",
        ),
        (lambda: nn.Sequential(nn.Linear(6, 50), nn.Dropout(0.5), nn.Linear(50, 3)), "no dropout"),
        (Branching, "torch.func.vmap can run, got Branching"),
        (lambda: mlp(6, 2), "one score for each of 3 classes"),
        (lambda: mlp(6, 4), "one score for each of 3 classes"),
        (lambda: nn.Sequential(nn.Linear(6, 1), nn.Flatten(0)), "one score for each of 3 classes"),
    ],
    ids=[
        "batch norm",
        "batch norm without statistics",
        "dropout",
        "branching",
        "too few scores",
        "too many scores",
        "no scores",
    ],
)
def test_networks_that_cannot_be_trained_together(build, complaint):
    inputs, targets, members = problem()
    with pytest.raises(ValueError, match=complaint):
        train_ensemble(build, inputs, targets, members, range(4), EnsembleTraining(epochs=1), 3)


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"epochs": 0}, "epochs must be at least 1, got 0"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"optimiser": "lion"}, "optimiser must be 'adam' or 'sgd', got 'lion'"),
        ({"learning_rate": 0.0}, "learning_rate must be positive"),
        ({"learning_rate": float("nan")}, "learning_rate must be positive"),
        ({"momentum": 0.9}, "momentum must be 0 with adam"),
        ({"optimiser": "sgd", "momentum": 1.0}, r"momentum must be in \[0, 1\)"),
        ({"weight_decay": -1.0}, "weight_decay must be non-negative"),
    ],
)
def test_settings_out_of_range(settings, complaint):
    with pytest.raises(ValueError, match=complaint):
        EnsembleTraining(**settings)


@pytest.mark.parametrize("optimiser", ["adam", "sgd"])
def test_networks_that_leave_do_not_touch_the_others(optimiser):
    """What remains goes on as if it had been alone, with what its optimiser had gathered."""
    inputs, targets, members = problem()
    training = EnsembleTraining(
        epochs=8, batch_size=10, optimiser=optimiser, learning_rate=0.05, momentum=0.9 * (optimiser == "sgd")
    )
    seeds = [11, 12, 13, 14]
    ensemble = ensembles.Ensemble(Gated, seeds, inputs)
    optimisers = training.prepare(ensemble.trained)
    rows = torch.arange(4)
    for epoch in range(8):
        if epoch == 3:
            stay = torch.tensor([False, True, False, True])
            left = ensemble.predict(inputs, ~stay)
            ensemble.keep(stay, optimisers)
            rows = rows[stay]
        optimisers.zero_grad()
        scores = ensemble(inputs[members[rows]])
        (F.cross_entropy(scores.flatten(0, 1), targets[members[rows]].flatten(), reduction="sum") / 10).backward()
        optimisers.step()
    assert len(ensemble) == 2
    ensemble.train(False)
    for row, scores in zip([1, 3], ensemble.predict(inputs), strict=True):
        wanted = alone(Gated, inputs, targets, members[row], seeds[row], training)(inputs)
        torch.testing.assert_close(scores, wanted, rtol=1e-7, atol=1e-9)
    short = EnsembleTraining(**{**vars(training), "epochs": 3})
    for row, scores in zip([0, 2], left, strict=True):
        wanted = alone(Gated, inputs, targets, members[row], seeds[row], short)(inputs)
        torch.testing.assert_close(scores, wanted, rtol=1e-7, atol=1e-9)
