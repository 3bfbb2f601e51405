"""Gradients of a softmax head at zero logits against enumeration, simulation and autograd."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from genbounds.worlds import FiniteGradients, SoftmaxHead

means = st.integers(2, 4).flatmap(
    lambda c: st.lists(st.lists(st.integers(-3, 3), min_size=2, max_size=2), min_size=c, max_size=c)
)


@settings(deadline=None, max_examples=60)
@given(means, st.booleans(), st.integers(0, 2**32 - 1))
def test_the_moments_are_enumerated(means, bias, seed):
    """Features mu_c +- sqrt(p) spread e_j have the Gaussian ones' mean and covariance: finitely many gradients."""
    generator = np.random.default_rng(seed)
    means = np.array(means, dtype=float)
    spreads, priors = generator.uniform(0.1, 2, len(means)), generator.dirichlet(np.ones(len(means)))
    world = SoftmaxHead(means, spreads, priors, bias)
    p = means.shape[1]
    steps = np.sqrt(p) * np.vstack([np.eye(p), -np.eye(p)])
    features = np.concatenate([mean + spread * steps for mean, spread in zip(means, spreads, strict=True)])
    labels = np.repeat(np.arange(len(means)), 2 * p)
    finite = FiniteGradients(world.gradients(features, labels), np.repeat(priors / (2 * p), 2 * p))
    assert world.mean_gradient == pytest.approx(finite.mean_gradient, rel=1e-11, abs=1e-13)
    assert world.variances == pytest.approx(finite.variances, rel=1e-9, abs=1e-12)
    # The formulas of the docstring, a bias as a feature that is always 1.
    if bias:
        means = np.hstack([means, np.ones((len(means), 1))])
    c, mean = len(means), priors @ means
    squared = priors @ (np.square(means).sum(axis=1) + p * spreads**2)
    numerator = c * (priors**2 @ np.square(means).sum(axis=1)) - mean @ mean
    assert world.coherence == pytest.approx(numerator / ((c - 1) * squared), rel=1e-10, abs=1e-13)


def test_balanced_classes():
    generator = np.random.default_rng(0)
    means = generator.standard_normal((5, 3))
    world = SoftmaxHead(means, np.full(5, 0.5))
    squared = np.square(means).sum(axis=1).mean()
    between = squared - np.square(means.mean(axis=0)).sum()
    assert world.coherence == pytest.approx(between / (4 * (squared + 3 * 0.25)), rel=1e-12)


def test_labels_without_features():
    """Independent labels have no coherence, unless some classes are frequent: then a step learns that."""
    same = np.tile([1.0, -2.0], (3, 1))
    assert SoftmaxHead(same, np.ones(3), bias=True).coherence == pytest.approx(0, abs=1e-30)
    priors = np.array([0.5, 0.3, 0.2])
    world = SoftmaxHead(same, np.ones(3), priors)
    assert world.coherence == pytest.approx((3 * (priors**2).sum() - 1) * 5 / (2 * 7), rel=1e-12)


def test_opposite_features_have_identical_gradients():
    world = SoftmaxHead([[1.0, -2.0], [-1.0, 2.0]], [0.0, 0.0])
    drawn = world.sample(np.random.default_rng(0), 10)
    assert np.ptp(drawn, axis=0) == pytest.approx(np.zeros(4))
    assert (world.coherence, world.noise) == (1.0, 0.0)


def test_samples_have_the_moments():
    world = SoftmaxHead([[1.0, 0.0], [0.0, 2.0], [-1.0, 0.5]], [0.5, 1.0, 0.2], [0.2, 0.5, 0.3], bias=True)
    drawn = world.sample(np.random.default_rng(1), 400_000)
    assert np.all(np.abs(drawn.mean(axis=0) - world.mean_gradient) < 4 * np.sqrt(world.variances / len(drawn)))
    assert drawn.var(axis=0) == pytest.approx(world.variances, rel=0.03)


@pytest.mark.parametrize("bias", [False, True])
def test_gradients_are_those_of_autograd(bias):
    world = SoftmaxHead(np.arange(12.0).reshape(4, 3), [0.5, 1.0, 0.2, 1.0], bias=bias)
    features, labels = world.examples(np.random.default_rng(0), 6)
    head = nn.Linear(3, 4, bias=bias, dtype=torch.float64)
    for parameter in head.parameters():
        nn.init.zeros_(parameter)
    for x, y, wanted in zip(
        torch.tensor(features), torch.tensor(labels), world.gradients(features, labels), strict=True
    ):
        gradients = torch.autograd.grad(nn.functional.cross_entropy(head(x), y), list(head.parameters()))
        assert torch.cat([g.ravel() for g in gradients]).numpy() == pytest.approx(wanted, rel=1e-12, abs=1e-14)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (([[1.0]], [1.0]), "means, spreads and priors must belong to the same two or more classes"),
        (([[1.0], [2.0]], [1.0]), "means, spreads and priors must belong"),
        (([[1.0], [2.0]], [1.0, 1.0], [0.5, 0.6]), "priors with sum 1"),
        (([[1.0], [2.0]], [1.0, -1.0]), "spreads must be non-negative"),
        (([[0.0], [0.0]], [0.0, 0.0]), "means must not all be 0"),
    ],
)
def test_what_cannot_be(arguments, complaint):
    with pytest.raises(ValueError, match=complaint):
        SoftmaxHead(*arguments)


def test_priors_that_nearly_add_up_are_refused():
    with pytest.raises(ValueError, match="priors with sum 1"):
        SoftmaxHead([[1.0], [2.0]], spreads=[0.0, 0.0], priors=[0.5, 0.501])
