"""Strategies for hypothesis: random worlds and inputs, to hunt for counterexamples to bounds, your own included.

>>> from hypothesis import find, settings
>>> world = find(finite_worlds(), lambda world: world.risks.min() > 0.6, settings=settings(database=None))
>>> bool(world.risks.min() > 0.6)
True
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from genbounds.worlds.batteries.noisy_networks import random_network
from genbounds.worlds.bernoulli_universality import BernoulliUniversality
from genbounds.worlds.finite import FiniteWorld, classification
from genbounds.worlds.gaussian_mean import GaussianMean, NoisyGaussianMean
from genbounds.worlds.gibbs_gaussian import GibbsGaussian
from genbounds.worlds.langevin import LangevinQuadratic
from genbounds.worlds.learners import Gibbs, Learner, blurred, constant, erm, first_erm, memoriser, tabulated
from genbounds.worlds.linear_gaussian import LinearGaussian
from genbounds.worlds.linear_network import BinaryGaussianLinearNetwork
from genbounds.worlds.noisy_networks import NoisyNetwork
from genbounds.worlds.samples import Learning

try:
    from hypothesis import strategies as st
except ImportError as error:
    raise ImportError(
        "genbounds.worlds.strategies needs hypothesis, which is not installed. "
        "Install it with: pip install 'genbounds[test]'."
    ) from error

__all__ = [
    "bernoulli_means",
    "classification_worlds",
    "distributions",
    "finite_worlds",
    "gaussian_learners",
    "gibbs_inputs",
    "learners",
    "learnings",
    "linear_networks",
    "noisy_networks",
    "universal_coins",
]


def _positive(low: float, high: float) -> st.SearchStrategy[float]:
    """Return a strategy for numbers of every size between two positive ones."""
    return st.floats(np.log(low), np.log(high)).map(lambda log: float(np.exp(log)))


def distributions(size: int) -> st.SearchStrategy[NDArray[np.float64]]:
    """Return a strategy for positive probabilities on `size` items, even ones and very uneven ones.

    Parameters
    ----------
    size : int
        Number of items.

    Returns
    -------
    SearchStrategy of ndarray, shape (size,)
        Probabilities that add up to 1.
    """
    weights = st.lists(st.sampled_from([1, 2, 3, 10, 100]), min_size=size, max_size=size)
    return weights.map(lambda values: np.array(values) / sum(values))


@st.composite
def finite_worlds(draw: st.DrawFn, max_points: int = 4, max_hypotheses: int = 5, zero_one: bool = False) -> FiniteWorld:
    """Return a strategy for small worlds.

    Parameters
    ----------
    draw : callable
        Supplied by hypothesis.
    max_points, max_hypotheses : int
        Largest numbers of points and of hypotheses.
    zero_one : bool
        Whether losses are 0 or 1 only.

    Returns
    -------
    FiniteWorld
        A world; call the strategy without `draw`.
    """
    points = draw(st.integers(2, max_points))
    hypotheses = draw(st.integers(1, max_hypotheses))
    loss = st.sampled_from([0.0, 1.0]) if zero_one else st.sampled_from([0.0, 0.01, 0.25, 0.5, 0.9, 1.0])
    losses = draw(st.lists(loss, min_size=points * hypotheses, max_size=points * hypotheses))
    return FiniteWorld(
        probabilities=draw(distributions(points)),
        losses=np.reshape(losses, (hypotheses, points)),
        prior=draw(distributions(hypotheses)),
    )


@st.composite
def classification_worlds(draw: st.DrawFn, max_points: int = 4, labels: int = 2) -> FiniteWorld:
    """Return a strategy for small labelled problems, with noisy labels and clean ones.

    Parameters
    ----------
    draw : callable
        Supplied by hypothesis.
    max_points : int
        Largest number of points; each of them has an input, which it may share with others, and a label.
    labels : int
        Number of labels.

    Returns
    -------
    FiniteWorld
        A world with at most eight classifiers; call the strategy without `draw`.
    """
    points = draw(st.integers(2, max_points))
    inputs = draw(st.lists(st.integers(0, 2), min_size=points, max_size=points))
    answers = st.lists(st.integers(0, labels - 1), min_size=3, max_size=3)
    classifiers = draw(st.lists(answers, min_size=2, max_size=8, unique_by=tuple))
    return classification(
        probabilities=draw(distributions(points)),
        inputs=inputs,
        labels=draw(st.lists(st.integers(0, labels - 1), min_size=points, max_size=points)),
        classifiers=classifiers,
        prior=draw(distributions(len(classifiers))),
    )


@st.composite
def learners(draw: st.DrawFn, world: FiniteWorld, n: int) -> Learner:
    """Return a strategy for learners in a world, from those that learn nothing to those that tell the sample.

    Parameters
    ----------
    draw : callable
        Supplied by hypothesis.
    world : FiniteWorld
        Where they learn.
    n : int
        Examples in a sample.

    Returns
    -------
    callable
        A learner; call the strategy without `draw`.
    """
    hypotheses, samples = len(world.prior), len(world.probabilities) ** n
    rows = st.lists(st.integers(0, 4), min_size=hypotheses, max_size=hypotheses).filter(any)
    # One row for all samples or a few for them in turn: a row for each would be slow to draw and to shrink.
    tables = st.lists(rows, min_size=1, max_size=5).map(lambda table: np.resize(table, (samples, hypotheses)))
    return draw(
        st.one_of(
            st.sampled_from([erm, first_erm, memoriser]),
            distributions(hypotheses).map(constant),
            st.sampled_from([0.01, 0.5, 1.0, 5.0, 100.0]).map(Gibbs),
            st.sampled_from([0.1, 0.5, 0.9]).map(lambda rate: blurred(erm, rate)),
            tables.map(lambda table: tabulated(table / table.sum(axis=1, keepdims=True))),
        )
    )


@st.composite
def learnings(draw: st.DrawFn, max_points: int = 4, max_n: int = 3, zero_one: bool = False) -> Learning:
    """Return a strategy for learners at work, with every quantity of information exact.

    To attack a bound of your own, compare it with `gap`, or with the gaps of `genbounds.worlds.SupersampleLearning`.

    Parameters
    ----------
    draw : callable
        Supplied by hypothesis.
    max_points, max_n : int
        Largest numbers of points and of examples in a sample.
    zero_one : bool
        Whether losses are 0 or 1 only.

    Returns
    -------
    Learning
        A learner in a world; call the strategy without `draw`.

    Examples
    --------
    >>> from hypothesis import find, settings
    >>> learning = find(learnings(), lambda found: found.gap > 0.3, settings=settings(database=None))
    >>> bool(learning.mutual_information >= 2 * learning.n * learning.gap**2)
    True
    """
    world = draw(st.one_of(finite_worlds(max_points, zero_one=zero_one), classification_worlds(max_points)))
    n = draw(st.integers(1, max_n))
    return Learning(world, draw(learners(world, n)), n)


def gaussian_learners(max_dimension: int = 4, max_n: int = 40) -> st.SearchStrategy[LinearGaussian]:
    """Return a strategy for learners that average Gaussian examples: means, with noise, Langevin, Gibbs.

    Parameters
    ----------
    max_dimension, max_n : int
        Largest dimension and number of examples.

    Returns
    -------
    SearchStrategy of LinearGaussian
        Worlds with a squared loss, and an absolute one in one dimension.

    Examples
    --------
    >>> from hypothesis import find, settings
    >>> world = find(gaussian_learners(), lambda world: world.gap < 0.01, settings=settings(database=None))
    >>> bool(world.gap <= world.individual_cgf_bound)
    True
    """
    common = {"dimension": st.integers(1, max_dimension), "n": st.integers(1, max_n), "scale": _positive(0.1, 10.0)}
    noise, temperature = _positive(1e-3, 10.0), _positive(1e-2, 1e3)
    steps = {"step": st.sampled_from([1e-3, 0.05, 0.3, 0.5, 0.8]), "steps": st.integers(1, 50)}
    return st.one_of(
        st.builds(GaussianMean, **common),
        st.builds(NoisyGaussianMean, noise=noise, **common),
        st.builds(LangevinQuadratic, inverse_temperature=temperature, **steps, **common),
        st.builds(GibbsGaussian, prior_scale=noise, inverse_temperature=temperature, **common),
    )


@st.composite
def linear_networks(draw: st.DrawFn, max_dimension: int = 8, max_n: int = 40) -> BinaryGaussianLinearNetwork:
    """Return a strategy for linear networks that classify two Gaussian clouds, with one to three hidden layers.

    Parameters
    ----------
    draw : callable
        Supplied by hypothesis.
    max_dimension, max_n : int
        Largest dimension and number of examples.

    Returns
    -------
    BinaryGaussianLinearNetwork
        A network; call the strategy without `draw`.
    """
    dimension, scale = draw(st.integers(1, max_dimension)), draw(_positive(0.1, 10.0))
    widths = draw(st.lists(st.integers(1, dimension), min_size=1, max_size=3))
    signal = scale * draw(st.floats(0.0, 4.0))
    return BinaryGaussianLinearNetwork(
        dimension, draw(st.integers(2, max_n)), scale, signal, tuple(sorted(widths, reverse=True))
    )


def noisy_networks() -> st.SearchStrategy[NoisyNetwork]:
    """Return a strategy for networks of two noisy layers on finite alphabets, at work on up to three examples.

    Returns
    -------
    SearchStrategy of NoisyNetwork
        What `genbounds.worlds.random_network` makes of a seed.
    """
    return st.integers(0, 10**6).map(random_network)


def universal_coins(max_n: int = 300) -> st.SearchStrategy[BernoulliUniversality]:
    """Return a strategy for coins that are coded by the mixture of all coins.

    Parameters
    ----------
    max_n : int
        Largest number of flips.

    Returns
    -------
    SearchStrategy of BernoulliUniversality
        Fair coins and very unfair ones.
    """
    return st.builds(BernoulliUniversality, st.floats(1e-3, 1 - 1e-3), st.integers(1, max_n))


def bernoulli_means(max_draws: int = 12) -> st.SearchStrategy[NDArray[np.float64]]:
    """Return a strategy for the error probabilities of independent draws, certain ones among them.

    Parameters
    ----------
    max_draws : int
        Largest number of draws.

    Returns
    -------
    SearchStrategy of ndarray, shape (m,)
        Probabilities, with 0 and 1 as likely as anything else.
    """
    mean = st.one_of(st.sampled_from([0.0, 1.0]), st.floats(0.0, 1.0, allow_subnormal=False))
    return st.lists(mean, min_size=1, max_size=max_draws).map(np.array)


@st.composite
def gibbs_inputs(draw: st.DrawFn) -> dict[str, Any]:
    """Return a strategy for the arguments of a PAC-Bayes bound, from tiny samples to large ones.

    Parameters
    ----------
    draw : callable
        Supplied by hypothesis.

    Returns
    -------
    dict
        ``risk``, ``kl``, ``n`` and ``delta``; call the strategy without `draw`.
    """
    return {
        "risk": draw(st.one_of(st.sampled_from([0.0, 1.0]), st.floats(0.0, 1.0))),
        "kl": draw(st.one_of(st.just(0.0), st.floats(0.0, 1e-3), st.floats(0.0, 1e6))),
        "n": draw(st.one_of(st.integers(1, 20), st.integers(1, 10**5), st.sampled_from([10**6, 10**9]))),
        "delta": draw(st.one_of(st.floats(1e-12, 0.5), st.sampled_from([1e-300, 0.05, 1 - 2.0**-53]))),
    }
