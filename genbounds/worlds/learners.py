"""Learning algorithms as tables: the law of the output for every ordered sample.

A learner is a function ``learner(world, samples)``: from a world and samples of shape (m, n), whose entries number the
world's points, to the probabilities with which it puts out each hypothesis, shape (m, h). What it may see of the
world is up to it; theorems care only about what it does with the sample.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genbounds.numerics.checks import nonnegative, unit_interval
from genbounds.worlds.finite import FiniteWorld
from genbounds.worlds.posteriors import gibbs_posteriors

#: From a world and samples of shape (m, n) to laws of the output, shape (m, h).
Learner: TypeAlias = Callable[[FiniteWorld, NDArray[np.int64]], NDArray[np.float64]]

__all__ = [
    "Gibbs",
    "Learner",
    "blurred",
    "constant",
    "distinct_output_laws",
    "erm",
    "first_erm",
    "gap_seeking",
    "memoriser",
    "output_laws",
    "sample_numbers",
    "sample_risks",
    "tabulated",
]

#: Empirical risks that differ by less are taken for equal: their sums are rounded.
_TIE = 1e-12


def sample_risks(world: FiniteWorld, samples: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the empirical risk of each hypothesis on ordered samples.

    Parameters
    ----------
    world : FiniteWorld
        The world.
    samples : ndarray of int64, shape (..., n)
        Numbers of points.

    Returns
    -------
    ndarray, shape (..., h)
        Average losses, at most 1.
    """
    return np.moveaxis(world.losses[:, samples].mean(axis=-1), 0, -1)


def sample_numbers(world: FiniteWorld, samples: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the number of each ordered sample in lexicographic order: its points as digits in base k.

    Parameters
    ----------
    world : FiniteWorld
        The world, with k points.
    samples : ndarray of int64, shape (..., n)
        Numbers of points.

    Returns
    -------
    ndarray of int64, shape (...)
        From 0 to k^n - 1.
    """
    return samples @ len(world.probabilities) ** np.arange(samples.shape[-1])[::-1]


def output_laws(world: FiniteWorld, learner: Learner, samples: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return what a learner does with samples, checked.

    Parameters
    ----------
    world : FiniteWorld
        The world.
    learner : callable
        The learner.
    samples : ndarray of int64, shape (m, n)
        Numbers of points.

    Returns
    -------
    ndarray, shape (m, h)
        One distribution over the hypotheses a row.

    Raises
    ------
    ValueError
        If the learner returns anything else.
    """
    laws = unit_interval("learner's output", learner(world, samples), "Return probabilities.")
    wanted = (len(samples), len(world.prior))
    if laws.shape != wanted or np.any(np.abs(laws.sum(axis=1) - 1) > 1e-12):
        raise ValueError(
            f"learner's output must be rows of shape {wanted} that add up to 1, got shape {laws.shape}"
            f"{f' and sums from {laws.sum(axis=1).min()!r}' if laws.shape == wanted else ''}. "
            "Return one distribution over the hypotheses a sample."
        )
    return laws


def distinct_output_laws(world: FiniteWorld, learner: Learner, samples: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return what a learner does with samples many of which are equal; it is asked about each different one once.

    Parameters
    ----------
    world : FiniteWorld
        The world.
    learner : callable
        The learner.
    samples : ndarray of int64, shape (..., n)
        Numbers of points.

    Returns
    -------
    ndarray, shape (..., h)
        Distributions over the hypotheses.
    """
    _, first, which = np.unique(sample_numbers(world, samples), return_index=True, return_inverse=True)
    laws = output_laws(world, learner, samples.reshape(-1, samples.shape[-1])[first])
    return laws[which.reshape(samples.shape[:-1])]


def erm(world: FiniteWorld, samples: NDArray[np.int64]) -> NDArray[np.float64]:
    """Minimise the empirical risk; draw one of the minimisers uniformly.

    Parameters
    ----------
    world : FiniteWorld
        The world.
    samples : ndarray of int64, shape (m, n)
        Numbers of points.

    Returns
    -------
    ndarray, shape (m, h)
        Laws of the output.
    """
    risks = sample_risks(world, samples)
    minimal = risks <= risks.min(axis=1, keepdims=True) + _TIE
    return minimal / minimal.sum(axis=1, keepdims=True)


def first_erm(world: FiniteWorld, samples: NDArray[np.int64]) -> NDArray[np.float64]:
    """Minimise the empirical risk; take the first of the minimisers.

    Parameters
    ----------
    world : FiniteWorld
        The world.
    samples : ndarray of int64, shape (m, n)
        Numbers of points.

    Returns
    -------
    ndarray, shape (m, h)
        Laws of the output.
    """
    return np.eye(len(world.prior))[np.argmax(erm(world, samples) > 0, axis=1)]


def memoriser(world: FiniteWorld, samples: NDArray[np.int64]) -> NDArray[np.float64]:
    """Put out the number of the ordered sample, modulo the number of hypotheses, whatever the losses.

    With k^n hypotheses or more the output is the sample.

    Parameters
    ----------
    world : FiniteWorld
        The world.
    samples : ndarray of int64, shape (m, n)
        Numbers of points.

    Returns
    -------
    ndarray, shape (m, h)
        Laws of the output.
    """
    hypotheses = len(world.prior)
    return np.eye(hypotheses)[sample_numbers(world, samples) % hypotheses]


@dataclass(frozen=True)
class Gibbs:
    """The Gibbs algorithm: probabilities proportional to prior * exp(-inverse_temperature * empirical risk).

    Parameters
    ----------
    inverse_temperature : float
        What multiplies the *mean* loss on the sample, at least 0 and finite. The prior is the world's.
    """

    inverse_temperature: float

    def __post_init__(self) -> None:
        if not np.isfinite(nonnegative("inverse_temperature", self.inverse_temperature)):
            raise ValueError("inverse_temperature must be finite, got inf. Use erm for its limit.")

    def __call__(self, world: FiniteWorld, samples: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the laws of the output, shape (m, h), for samples of shape (m, n)."""
        return gibbs_posteriors(world.prior, sample_risks(world, samples), [self.inverse_temperature])[:, 0]


def gap_seeking(strength: float) -> Learner:
    """Return the learner that prefers hypotheses whose empirical risk is far off their risk, which it knows.

    Its probabilities are proportional to prior * exp(strength * n * (risk - empirical risk)^2). Among algorithms with
    as much information, next to none has a larger mean squared gap.

    Parameters
    ----------
    strength : float
        At least 0 and finite; at 0 nothing is learnt.

    Returns
    -------
    callable
        A learner.
    """

    def learner(world: FiniteWorld, samples: NDArray[np.int64]) -> NDArray[np.float64]:
        squares = samples.shape[-1] * (world.risks - sample_risks(world, samples)) ** 2
        return gibbs_posteriors(world.prior, -squares, [strength])[:, 0]

    return learner


def constant(law: ArrayLike) -> Learner:
    """Return the learner that draws from the same law whatever the sample.

    Parameters
    ----------
    law : array_like, shape (h,)
        Probabilities of the hypotheses.

    Returns
    -------
    callable
        A learner that learns nothing.
    """
    row = unit_interval("law", law, "Pass probabilities.")
    return lambda _, samples: np.tile(row, (len(samples), 1))


def tabulated(table: ArrayLike) -> Learner:
    """Return the learner that a table describes.

    Parameters
    ----------
    table : array_like, shape (k^n, h)
        Law of the output for every ordered sample, in lexicographic order.

    Returns
    -------
    callable
        A learner for samples of n examples.
    """
    rows = unit_interval("table", table, "Pass probabilities.")

    def learner(world: FiniteWorld, samples: NDArray[np.int64]) -> NDArray[np.float64]:
        wanted = len(world.probabilities) ** samples.shape[-1]
        if len(rows) != wanted:
            raise ValueError(f"table must have {wanted} rows, got {len(rows)}. Give one an ordered sample.")
        return rows[sample_numbers(world, samples)]

    return learner


def blurred(learner: Learner, rate: float) -> Learner:
    """Return a learner whose output is replaced, with some probability, by a draw from the world's prior.

    Parameters
    ----------
    learner : callable
        A learner.
    rate : float
        Probability of the replacement, in [0, 1]: at 1 nothing is learnt.

    Returns
    -------
    callable
        A learner.
    """
    share = unit_interval("rate", rate, "It is a probability.")
    return lambda world, samples: (1 - share) * learner(world, samples) + share * world.prior
