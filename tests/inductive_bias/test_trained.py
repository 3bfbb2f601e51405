"""Spaces of trained networks: each as if trained alone, on any executor and after a break; which law is recorded."""

import json
import math
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest
import torch
from scipy.stats import binom
from torch.nn import functional as F

from genbounds.inductive_bias.samples.trained import trained_networks
from genbounds.inductive_bias.samples.trained_records import TrainedNetworks
from genbounds.models.ensembles import EnsembleTraining, epoch_orders, initial_network
from genbounds.models.networks import mlp
from genbounds.sweeps import Store, TaskError

MLP = "genbounds.models.networks:mlp"
ARGUMENTS = {"inputs": 3, "classes": 3, "hidden": 6}
TRAINING = EnsembleTraining(epochs=25, batch_size=5, learning_rate=0.05)


def examples(n, seed, classes=3):
    source = torch.Generator().manual_seed(seed)
    inputs = torch.randn(n, 3, generator=source, dtype=torch.float64)
    return inputs, inputs[:, :classes].argmax(1)


TRAIN, TEST = examples(14, 0), examples(300, 1)


def space(**changes):
    settings = {
        "network": MLP,
        "arguments": ARGUMENTS,
        "networks": 7,
        "training": TRAINING,
        "together": 3,
        "dtype": "float64",
    }
    return trained_networks(TRAIN, TEST, **settings | changes)


@pytest.fixture(scope="module")
def wanted():
    return space()


def alone(seed, training, reached, build=lambda: mlp(**ARGUMENTS), loss=F.cross_entropy, train=TRAIN, test=TEST):
    """Plain PyTorch, as anybody would write it."""
    network = initial_network(build, seed, torch.float64)
    kinds = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}
    optimiser = kinds[training.optimiser](network.parameters(), lr=training.learning_rate)
    orders = epoch_orders(seed, len(train[0]), training)
    epoch = 0
    with torch.no_grad():
        done = reached(network(train[0]), train[1])
    while not done and epoch < training.epochs:
        for batch in next(orders).split(training.batch_size):
            optimiser.zero_grad()
            loss(network(train[0][batch]), train[1][batch]).backward()
            optimiser.step()
        epoch += 1
        with torch.no_grad():
            done = reached(network(train[0]), train[1])
    with torch.no_grad():
        outputs = [network(part[0]) for part in (train, test)]
    return (
        epoch,
        bool(done),
        [float(loss(out, part[1])) for out, part in zip(outputs, (train, test), strict=True)],
        outputs,
    )


def no_errors(outputs, targets):
    return (outputs.argmax(1) == targets).all()


def test_each_network_is_as_if_it_were_alone(wanted):
    """Together, with others leaving on the way, against a loop that knows nothing of the others."""
    assert wanted.fits.sum() > 0
    assert len(set(wanted.epochs.tolist())) > 2
    for row, seed in enumerate(wanted.seeds.tolist()):
        epoch, fits, losses, outputs = alone(seed, TRAINING, no_errors)
        assert (wanted.epochs[row], wanted.fits[row]) == (epoch, fits)
        assert [wanted.train_loss[row], wanted.test_loss[row]] == pytest.approx(losses, rel=1e-8)
        errors = [
            float((out.argmax(1) != part[1]).double().mean()) for out, part in zip(outputs, (TRAIN, TEST), strict=True)
        ]
        assert [wanted.train_error[row], wanted.test_error[row]] == errors
    assert (wanted.train_error[wanted.fits] == 0).all()


def test_until_the_train_loss_is_low():
    """The condition 'train loss at most 0.3', met at the end of the first epoch that has it."""
    record = space(condition="loss", level=0.3)
    assert record.fits.any()
    assert (record.train_loss[record.fits] <= 0.3).all()
    assert (record.train_loss[~record.fits] > 0.3).all()
    assert (record.epochs[~record.fits] == TRAINING.epochs).all()
    row = int(np.flatnonzero(record.fits)[0])
    epoch, _, losses, _ = alone(record.seeds[row], TRAINING, lambda out, y: F.cross_entropy(out, y) <= 0.3)
    assert record.epochs[row] == epoch
    assert record.train_loss[row] == pytest.approx(losses[0], rel=1e-8)
    assert "train loss at most 0.3" in record.law


def plain(record):
    return record.to_json() | {"provenance": None}


def test_every_executor_gives_the_same_numbers(wanted):
    with ThreadPoolExecutor(2) as executor:
        assert plain(space(executor=executor)) == plain(wanted)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as executor:
        assert plain(space(executor=executor)) == plain(wanted)
    torch.manual_seed(99)
    before = torch.get_rng_state()
    assert plain(space()) == plain(wanted)
    assert torch.get_rng_state().equal(before)


def test_a_break_changes_nothing(wanted, tmp_path, monkeypatch):
    """Broken off after one task of three; what is there is not computed again."""
    from genbounds.inductive_bias.samples import training

    store, function, calls = Store(tmp_path), training.train_until, []

    def breaks(**arguments):
        calls.append(arguments["first"])
        if len(calls) == 2:
            raise KeyboardInterrupt
        return function(**arguments)

    monkeypatch.setattr(training, "train_until", breaks)
    with pytest.raises(KeyboardInterrupt):
        space(store=store)
    assert plain(space(store=store)) == plain(wanted)
    assert calls == [[0, 0], [0, 3], [0, 3], [0, 6]]
    more = space(store=store, networks=8)
    assert len(calls) == 5  # the last task alone, which has two networks now
    assert np.array_equal(more.seeds[:7], wanted.seeds)
    np.testing.assert_allclose(more.test_loss[:7], wanted.test_loss, rtol=1e-9)


def test_how_many_are_trained_together_does_not_matter(wanted):
    other = space(together=7)
    assert np.array_equal(other.epochs, wanted.epochs)
    np.testing.assert_allclose(other.test_loss, wanted.test_loss, rtol=1e-8)
    assert not np.array_equal(space(seed=1).test_loss, wanted.test_loss)


def test_networks_that_do_not_fit_are_counted_apart():
    record = space(networks=30, together=30, training=EnsembleTraining(epochs=4, batch_size=5, learning_rate=0.05))
    reached = int(record.fits.sum())
    assert 0 < reached < 30
    share = record.share_that_fits(0.9)
    assert (share.value, share.n) == (reached / 30, 30)
    assert binom.sf(reached - 1, 30, share.interval[0]) == pytest.approx(0.05, rel=1e-6)
    assert binom.cdf(reached, 30, share.interval[1]) == pytest.approx(0.05, rel=1e-6)
    curve = record.information([0.1, 0.3, 1.0])
    assert curve.samples == reached
    assert curve.counts.tolist() == [int((record.test_error[record.fits] <= at).sum()) for at in (0.1, 0.3, 1.0)]
    assert curve.warnings[0].startswith(f"{30 - reached} of 30 networks did not come to fit")
    none = space(training=EnsembleTraining(epochs=1, batch_size=14, learning_rate=1e-6))
    assert not none.fits.any()
    assert none.share_that_fits().interval[0] == 0.0
    with pytest.raises(ValueError, match="some network must fit, got none of 7"):
        none.information([0.5])


def test_weights_that_fit_from_the_start_are_not_trained():
    """Level 1: the law of initial weights. A symmetric network calls either class with probability 1/2."""
    inputs = torch.tensor([[1.0, 2.0, -1.0]])
    record = trained_networks(
        (inputs, torch.tensor([1])),
        (inputs, torch.tensor([0])),
        network="torch.nn:Linear",
        arguments={"in_features": 3, "out_features": 2},
        networks=400,
        level=1.0,
        together=200,
    )
    assert (record.epochs == 0).all()
    assert record.fits.all()
    curve = record.information([0.0, 1.0], confidence=0.999)
    assert curve.low[0] <= math.log(2) <= curve.high[0]
    assert curve.nats[1] == 0.0
    assert curve.warnings == ()
    assert np.array_equal(record.train_error, 1 - record.test_error)


def test_regression_by_a_named_loss():
    """Least squares by full-batch gradient descent, where the end is known: the optimum, from any start."""
    source = torch.Generator().manual_seed(2)
    inputs = torch.randn(20, 2, generator=source, dtype=torch.float64)
    targets = inputs @ torch.tensor([[1.0], [-2.0]], dtype=torch.float64) + 0.5
    record = trained_networks(
        (inputs[:12], targets[:12]),
        (inputs[12:], targets[12:]),
        network="torch.nn:Linear",
        arguments={"in_features": 2, "out_features": 1},
        networks=4,
        condition="loss",
        level=1e-12,
        loss="torch.nn.functional:mse_loss",
        training=EnsembleTraining(epochs=3000, batch_size=12, optimiser="sgd", learning_rate=0.2),
        dtype="float64",
    )
    assert record.fits.all()
    assert (record.test_loss < 1e-10).all()
    assert np.isnan(record.test_error).all()
    assert record.information([1e-10], "loss").nats.tolist() == [0.0]
    with pytest.raises(ValueError, match="targets are no classes"):
        record.information([0.5])


def test_networks_that_diverge_do_not_fit():
    record = space(networks=3, training=EnsembleTraining(epochs=30, batch_size=14, optimiser="sgd", learning_rate=1e8))
    diverged = ~np.isfinite(record.train_loss)
    assert diverged.any()
    assert not record.fits[diverged].any()
    assert (record.train_error[diverged] == 1).all()
    back = TrainedNetworks.from_json(json.loads(json.dumps(record.to_json())))
    assert np.array_equal(back.train_loss, record.train_loss, equal_nan=True)


def test_a_network_without_a_test_loss_has_no_small_one(wanted):
    broken = np.where(np.arange(7) == int(np.flatnonzero(wanted.fits)[0]), np.nan, wanted.test_loss)
    fields = {name: getattr(wanted, name) for name in TrainedNetworks.__dataclass_fields__}
    curve = TrainedNetworks(**fields | {"test_loss": broken}).information([1e9], "loss")
    assert curve.counts.tolist() == [int(wanted.fits.sum()) - 1]


def test_records_come_back(wanted):
    back = TrainedNetworks.from_json(json.loads(json.dumps(wanted.to_json())))
    assert back.to_json() == wanted.to_json()
    assert back.fits.dtype == bool
    with pytest.raises(ValueError, match="one number for each network"):
        TrainedNetworks(**wanted.to_json() | {"fits": [True]})


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"networks": 0}, "networks must be"),
        ({"together": 0}, "together must be"),
        ({"seed": -1}, "seed must be"),
        ({"condition": "accuracy"}, "condition must be"),
        ({"level": math.nan}, "level must be"),
        ({"dtype": "float16"}, "dtype must be"),
        ({"network": "genbounds.models.networks:nothing"}, "exists"),
        ({"arguments": {**ARGUMENTS, "classes": 2}}, "a score for each class, 0 to 2"),
        ({"loss": "nowhere:at_all"}, "no module 'nowhere'"),
    ],
)
def test_bad_settings_are_refused(changes, match):
    with pytest.raises((ValueError, TaskError), match=match):
        space(**changes)


LOSSES = """
from torch.nn.functional import cross_entropy, one_hot


def each(outputs, targets):
    return cross_entropy(outputs, targets, reduction="none")


def total(outputs, targets):
    return cross_entropy(outputs, targets, reduction="sum")


def table(outputs, targets):
    return (outputs - one_hot(targets, 3)) ** 2
"""


def test_losses_are_averages_or_one_value_per_example(wanted, tmp_path):
    path = tmp_path / "losses_of_this_test.py"
    path.write_text(LOSSES)
    record = space(loss=f"{path}:each")
    np.testing.assert_allclose(record.test_loss, wanted.test_loss, rtol=1e-8)
    with pytest.raises(TaskError, match=r"one value per example, got shape \(1, 3\) for 1 examples"):
        space(loss=f"{path}:table")
    with pytest.raises(TaskError, match=r"loss must be the average .* got 1\.\d+ for one example and 2\.\d+ for the"):
        space(loss=f"{path}:total")


def test_shapes_of_values_must_be_those_of_outputs():
    """(n, 1) against (n,) would be broadcast to n squared errors."""
    inputs = torch.randn(6, 3)
    with pytest.raises(TaskError, match=r"outputs of shape \(\)"):
        trained_networks(
            (inputs, torch.randn(6)),
            (inputs, torch.randn(6)),
            network="torch.nn:Linear",
            arguments={"in_features": 3, "out_features": 1},
            networks=1,
            condition="loss",
            loss="torch.nn.functional:mse_loss",
        )
    with pytest.raises(ValueError, match="Pass condition='loss'"):
        trained_networks((inputs, torch.randn(6)), (inputs, torch.randn(6)), network=MLP, networks=1)
    with pytest.raises(ValueError, match="one tensor of inputs"):
        trained_networks(({"x": inputs}, torch.ones(6, dtype=torch.int64)), (inputs, torch.ones(6)), network=MLP)
