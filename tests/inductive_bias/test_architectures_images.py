"""MNIST, Fashion-MNIST and random labels, and convolutions with and without the order of pixels: small versions."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from genbounds.inductive_bias import Comparison, compare_kernels, compare_trained, known_kernels, known_networks
from genbounds.models.ensembles import EnsembleTraining
from genbounds.models.idx import read_part

DATA = Path(__file__).parents[3] / "shared" / "data"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not all((DATA / name).is_dir() for name in ("mnist", "fashion-mnist")), reason="no image data at hand"
    ),
]


@pytest.fixture(scope="module")
def tasks():
    def read(name):
        images, labels = read_part(DATA / name, "train")
        return F.avg_pool2d(torch.from_numpy(images[:4000, None]).float() / 255, 2), torch.from_numpy(labels[:4000])

    inputs, targets = read("mnist")
    order = torch.randperm(196, generator=torch.Generator().manual_seed(0))
    noise = torch.randint(0, 10, (4000,), generator=torch.Generator().manual_seed(1))
    shuffled = inputs.flatten(1)[:, order].reshape(inputs.shape)
    return {
        "MNIST": (inputs, targets),
        "Fashion-MNIST": read("fashion-mnist"),
        "random labels": (inputs, noise),
        "shuffled": (shuffled, targets),
    }


def side_by_side(results, network):
    first = next(iter(results.values()))
    curves = {name: own.curves[network] for name, own in results.items()}
    return Comparison("several", first.loss, dict.fromkeys(results, "its space"), curves)


def test_tasks_are_ordered_by_exact_information_of_wide_networks(tasks):
    tried = {"mlp": known_kernels()["mlp"]}
    results = {
        name: compare_kernels(tasks[name], tried, train=150, test=100, levels=[0.3, 0.5, 0.7], draws=4)
        for name in ("MNIST", "Fashion-MNIST", "random labels")
    }
    both = side_by_side(results, "mlp")
    assert (both.difference("Fashion-MNIST", "MNIST").low > 0).all()
    assert (both.difference("random labels", "Fashion-MNIST").low > 0).all()


def test_tasks_are_ordered_by_counting_trained_networks(tasks):
    tried = {"mlp": known_networks((1, 14, 14), 10)["mlp"]}
    results = {
        name: compare_trained(
            tasks[name],
            tried,
            train=100,
            test=300,
            levels=[0.36],
            number=25,
            trainings={"mlp": EnsembleTraining(epochs=300, batch_size=20)},
        ).averages["mlp"]
        for name in ("MNIST", "random labels")
    }
    assert results["MNIST"].high[0] < results["random labels"].low[0]


def test_what_convolutions_bring_is_lost_with_the_order_of_pixels(tasks):
    tried = {name: known_kernels()[name] for name in ("mlp", "cnn")}
    plain, mixed = (
        compare_kernels(tasks[name], tried, train=150, test=100, levels=[0.3, 0.5], draws=4)
        for name in ("MNIST", "shuffled")
    )
    assert (mixed.difference("cnn", "mlp").low > 0).all()
    lost = side_by_side({"plain": plain, "mixed": mixed}, "cnn").difference("mixed", "plain")
    assert (lost.low > 0).all()
    assert (plain.difference("cnn", "mlp").nats < 0).all()
    for one, other in zip(plain.curves["mlp"], mixed.curves["mlp"], strict=True):
        np.testing.assert_allclose(one.nats, other.nats, rtol=1e-8)
