"""Strategies for hypothesis: random worlds and inputs, to hunt for counterexamples to bounds, your own included.

>>> from hypothesis import find, settings
>>> world = find(finite_worlds(), lambda world: world.risks.min() > 0.6, settings=settings(database=None))
>>> bool(world.risks.min() > 0.6)
True
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from genbounds.worlds.finite import FiniteWorld

try:
    from hypothesis import strategies as st
except ImportError as error:
    raise ImportError(
        "genbounds.worlds.strategies needs hypothesis, which is not installed. "
        "Install it with: pip install 'genbounds[test]'."
    ) from error

__all__ = ["bernoulli_means", "distributions", "finite_worlds", "gibbs_inputs"]


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
