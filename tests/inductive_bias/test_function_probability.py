import math

import numpy as np
import pytest
import torch
from scipy.stats import chisquare, spearmanr
from torch import nn

from genbounds.inductive_bias.gaussian.network_kernels import network_kernel
from genbounds.inductive_bias.networks import NetworkPrior
from genbounds.inductive_bias.simplicity.evidence import classification_information
from genbounds.inductive_bias.simplicity.function_probability import boolean_cube, function_probabilities
from genbounds.inductive_bias.simplicity.functions import count_functions
from genbounds.models.ensembles import EnsembleTraining, train_ensemble
from genbounds.models.guards import ModelError


def perceptron(dimension, bias=False):
    return NetworkPrior(nn.Linear(dimension, 1, bias=bias))


def test_the_cube():
    cube = boolean_cube(5, dtype=torch.float64)
    assert cube.shape == (32, 5)
    np.testing.assert_array_equal(cube @ 2.0 ** torch.arange(4, -1, -1, dtype=torch.float64), np.arange(32))
    with pytest.raises(ValueError, match="dimension must be from 1 to 16, got 0"):
        boolean_cube(0)
    with pytest.raises(ValueError, match="dimension must be a whole number"):
        boolean_cube(2.5)


def test_number_of_positives_of_a_perceptron_is_uniform():
    """Mingard et al. (2019): without a bias and with symmetric weights, P(t) = 2^-n for t = 0, ..., 2^n - 1."""
    found = function_probabilities(perceptron(4), boolean_cube(4), 100_000, seed=1)
    positives = found.functions.sum(axis=1)
    frequencies = np.bincount(positives, weights=found.counts, minlength=17)
    assert frequencies[16] == 0
    assert chisquare(frequencies[:16]).pvalue > 1e-3
    with_bias = function_probabilities(perceptron(4, bias=True), boolean_cube(4), 20_000)
    uneven = np.bincount(with_bias.functions.sum(axis=1), weights=with_bias.counts, minlength=17)
    assert chisquare(uneven).pvalue < 1e-9


def test_threshold_functions_of_two_bits_by_angles():
    """The plane of two weights falls into sectors: two of 90 degrees, four of 45."""
    found = function_probabilities(perceptron(2), boolean_cube(2), 40_000)
    exact = {"0000": 1 / 4, "0111": 1 / 4, "0011": 1 / 8, "0010": 1 / 8, "0101": 1 / 8, "0100": 1 / 8}
    low, high = found.intervals(0.9999)
    assert len(found.counts) == 6
    for function, at_least, at_most in zip(found.functions, low, high, strict=True):
        assert at_least < exact["".join(map(str, function))] < at_most
    assert found.missing_mass().value == 0


def test_threshold_functions_of_one_bit_with_bias():
    """Bias b and weight w of one scale: b > 0 and b + w > 0 are 45 degrees apart."""
    found = function_probabilities(perceptron(1, bias=True), boolean_cube(1), 40_000)
    exact = {(0, 0): 3 / 8, (1, 1): 3 / 8, (0, 1): 1 / 8, (1, 0): 1 / 8}
    for function, low, high in zip(found.functions, *found.intervals(0.9999), strict=True):
        assert low < exact[tuple(function.tolist())] < high


def test_a_wide_network_is_near_its_gaussian_process():
    """P(f) of a wide network by counting, and the orthant of the infinite one."""
    inputs = torch.tensor([[1.0, 0.2, -0.5], [0.3, -1.0, 0.4], [-0.7, 0.8, 1.0]])
    root = math.sqrt(2)
    net = nn.Sequential(nn.Linear(3, 256, bias=False), nn.ReLU(), nn.Linear(256, 1, bias=False))
    prior = NetworkPrior(net, {"0.weight": root / math.sqrt(3), "2.weight": root / 16})
    found = function_probabilities(prior, inputs, 10_000, batch=500)
    kernel = network_kernel(inputs.numpy(), depth=1)
    for function, low, high in zip(found.functions, *found.intervals(0.999), strict=True):
        exact = math.exp(-classification_information(kernel, function).nats[0])
        assert low - 0.01 < exact < high + 0.01


def test_classes_of_several_outputs():
    prior = NetworkPrior(nn.Linear(2, 3, bias=False))
    found = function_probabilities(prior, torch.eye(2), 9000)
    assert len(found.counts) == 9
    for low, high in zip(*found.intervals(0.9999), strict=True):
        assert low < 1 / 9 < high  # two independent rows of three equal logits


def test_a_random_network_prefers_simple_functions():
    """Most probable are the constants; the next are far simpler than functions drawn once."""
    net = nn.Sequential(nn.Linear(5, 20), nn.ReLU(), nn.Linear(20, 1))
    found = function_probabilities(NetworkPrior(net), boolean_cube(5), 10_000)
    assert {tuple(function) for function in found.functions[:2].tolist()} == {(0,) * 32, (1,) * 32}
    once = found.functions[found.counts == 1]
    assert len(once) > 300
    rare = found.bits()[found.counts == 1]
    assert found.bits(30).mean() < rare.mean() - 2 * rare.std()


def test_trained_networks_and_the_bayesian_posterior():
    """Networks trained to fit 9 of 16 points, and networks of the prior that fit them: ranks agree, shares do not.

    As found: rank correlation about 0.5 over the functions that fit, and training is far more concentrated.
    """

    def build():
        net = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 2))
        for parameter, fan_in in zip(net.parameters(), (4, 4, 16, 16), strict=True):
            nn.init.normal_(parameter, std=fan_in**-0.5)
        return net

    cube, fitted = boolean_cube(4), torch.tensor([0, 2, 3, 4, 5, 7, 10, 11, 14])
    target = ((cube[:, 0] * cube[:, 1] + cube[:, 2]) > 0).long()
    bayes = function_probabilities(NetworkPrior(build()), cube, 200_000, batch=4096).given(fitted, target[fitted])
    training = EnsembleTraining(epochs=30, batch_size=3, optimiser="sgd", learning_rate=0.1)
    predict = train_ensemble(build, cube, target, fitted.expand(300, -1), range(300), training, 2)
    trained = count_functions([predict(cube).argmax(dim=2).numpy()], "trained").given(fitted, target[fitted])
    assert trained.samples > 290
    assert (bayes.functions[:, fitted] == target[fitted].numpy()).all()
    shares = trained.of(bayes.functions) / trained.samples
    assert shares.sum() > 0.98  # nearly all that training finds, the prior does
    found = spearmanr(bayes.counts, shares)
    assert found.statistic > 0.3
    assert found.pvalue < 1e-3
    assert (shares**2).sum() > 1.3 * (bayes.probabilities**2).sum()


def test_same_seed_same_counts():
    prior, cube = perceptron(3), boolean_cube(3)
    first, again, other = (function_probabilities(prior, cube, 500, seed=seed, batch=128) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.functions, again.functions)
    np.testing.assert_array_equal(first.counts, again.counts)
    assert first.samples == other.samples == 500
    assert not np.array_equal(first.counts, other.counts)
    assert "Gaussian prior over the 3 weights" in first.source


def test_outputs_that_are_no_class_are_refused():
    class Broken(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(2, 1)

        def forward(self, x):
            return self.layer(x) / 0

    with pytest.raises(ModelError, match="model must return finite logits"):
        function_probabilities(NetworkPrior(Broken()), boolean_cube(2), 10)
    with pytest.raises(ModelError, match="model must return finite logits"):
        function_probabilities(
            NetworkPrior(nn.Sequential(nn.Linear(2, 4), nn.Unflatten(1, (2, 2)))), boolean_cube(2), 10
        )
