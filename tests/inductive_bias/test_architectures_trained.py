"""Trained networks side by side: the same counts as network by network, on any executor and after a break."""

from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest
import torch
from scipy.stats import beta

from genbounds.inductive_bias import Architecture, compare_trained, known_networks, trained_networks
from genbounds.inductive_bias.architectures.draws import Draws
from genbounds.inductive_bias.samples import training
from genbounds.models.data import load_data
from genbounds.models.ensembles import EnsembleTraining
from genbounds.sweeps import Store

pytest.importorskip("sklearn")

HOW = EnsembleTraining(epochs=100, batch_size=10, learning_rate=0.02)
LEVELS = [0.3, 0.4, 0.5, 0.7]
KNOWN = known_networks((1, 8, 8), 10)
TRIED = {name: KNOWN[name] for name in ("mlp", "cnn")}


def compared(data="digits", **changes):
    settings = {"train": 15, "test": 100, "levels": LEVELS, "draws": 2, "number": 12, "dtype": "float64"}
    return compare_trained(data, TRIED, **settings | {"trainings": dict.fromkeys(TRIED, HOW)} | changes)


@pytest.fixture(scope="module")
def wanted():
    return compared()


def test_the_counts_are_those_of_each_space_by_itself(wanted):
    assert wanted.task == "digits, 15 training and 100 test examples, drawn 2 times"
    draws = Draws(load_data("digits"), 15, 100, 2, 0)
    seeds = []
    for draw, (inputs, targets) in enumerate(draws):
        for name, network in TRIED.items():
            found = trained_networks(
                (inputs[:15], targets[:15]),
                (inputs[15:], targets[15:]),
                network=network.factory,
                arguments=network.arguments,
                networks=12,
                training=HOW,
                seed=draws.seed_of(draw),
                dtype="float64",
            )
            curve = wanted.curves[name][draw]
            kept = found.test_error[found.fits]
            assert curve.samples == len(kept) > 5
            assert curve.counts.tolist() == [int((kept <= level).sum()) for level in LEVELS]
            low = np.exp(-curve.high[-1])
            assert low == pytest.approx(beta.ppf(0.025, curve.counts[-1], curve.samples - curve.counts[-1] + 1), 1e-6)
        seeds.append(found.seeds.tolist())
    assert not set(seeds[0]) & set(seeds[1])  # another draw, other initial weights


def test_every_executor_gives_the_same_numbers(wanted):
    with ThreadPoolExecutor(2) as executor:
        assert compared(executor=executor).to_json() == wanted.to_json()
    torch.manual_seed(99)
    before = torch.get_rng_state()
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as executor:
        assert compared(executor=executor).to_json() == wanted.to_json()
    assert torch.get_rng_state().equal(before)


def test_a_break_changes_nothing(wanted, tmp_path, monkeypatch):
    store, function, calls = Store(tmp_path), training.train_until, []

    def breaks(**arguments):
        calls.append(arguments["network"])
        if len(calls) == 3:
            raise KeyboardInterrupt
        return function(**arguments)

    monkeypatch.setattr(training, "train_until", breaks)
    with pytest.raises(KeyboardInterrupt):
        compared(store=store)
    assert compared(store=store).to_json() == wanted.to_json()
    assert len(calls) == 3 + 2  # both architectures of the second draw


def test_networks_that_do_not_fit_are_said():
    short = {"mlp": EnsembleTraining(epochs=10, batch_size=10, learning_rate=0.02), "cnn": HOW}
    found = compared(trainings=short, number=20, draws=1).averages["mlp"]
    assert 0 < found.samples < 20
    assert found.warnings[0].startswith(f"{20 - found.samples} of 20 networks did not come to fit")
    none = dict.fromkeys(TRIED, EnsembleTraining(epochs=1, batch_size=15, learning_rate=1e-6))
    with pytest.raises(ValueError, match="some network must fit"):
        compared(trainings=none)


def test_random_labels_take_more():
    """The order that has to come out: nobody generalises to labels that say nothing."""
    digits = load_data("digits")
    labels = torch.randint(0, 10, (len(digits),), generator=torch.Generator().manual_seed(3))
    real, random = compared(draws=1, levels=[0.6]), compared((digits.inputs, labels), draws=1, levels=[0.6])
    assert real.averages["mlp"].high[0] < random.averages["mlp"].low[0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"levels": [0.5, 0.4]}, "levels must be a list that increases"),
        ({"train": 1797}, "train and test must be at most 1797 together"),
        ({"seed": -1}, "seed must be"),
        ({"dtype": "float16"}, "dtype must be float32 or float64"),
        ({"number": 0}, "networks must be"),
    ],
)
def test_refusals(changes, message):
    with pytest.raises(ValueError, match=message):
        compared(**changes)


def test_names():
    assert [*known_networks((2, 5), 3)] == ["mlp"]
    assert [*known_networks((1, 7, 7), 3)] == ["mlp"]
    for side in (8, 14, 28):
        for small in (False, True):
            for network in known_networks((1, side, side), 4, small=small).values():
                model = network_of(network)
                assert model(torch.zeros(2, 1, side, side)).shape == (2, 4)
    small = known_networks((1, 8, 8), 10, small=True).values()
    assert max(sum(part.numel() for part in network_of(network).parameters()) for network in small) < 700


def network_of(network: Architecture):
    from genbounds.models.factory import build_model

    return build_model(network.factory, network.arguments)
