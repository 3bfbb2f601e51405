"""Bounds on the gap for training in a random subspace, and for outputs that are quantised: information by counting.

I(S;W) is at most the entropy of W, so at most the logarithm of the number of its values and at most the expected
length, in nats, of any prefix-free code for it. That is the cheapest admissible upper bound for a network: no run has
to be repeated, and nothing is estimated. Training d numbers in a random d-dimensional subspace, and storing each of
them at one of k levels, leaves d ln k nats, whatever the number of weights.
"""

import numpy as np
from numpy.typing import ArrayLike

from genbounds.numerics import Float64, count, nonnegative, round_up
from genbounds.numerics.checks import positive
from genbounds.numerics.rounding import mean_up
from genbounds.theorems import Assumption, theorem
from genbounds.theorems.quantities import GAP

__all__ = ["nadjahi", "nadjahi_distortion", "quantised_information"]

_AVERAGES = "samples, subspaces and the algorithm's randomness"
_ASSUMES = (
    Assumption.IID,
    Assumption.LOSS_SUB_GAUSSIAN,
    Assumption.SLICE_INDEPENDENT_OF_SAMPLE,
    Assumption.INFORMATION_NOT_ESTIMATED,
)


def quantised_information(dimension: ArrayLike, levels: ArrayLike) -> Float64:
    """Return an upper bound on what an output of finitely many values can tell, dimension * ln(levels).

    Parameters
    ----------
    dimension : array_like of int
        Numbers stored, at least 0; 1 for a choice among `levels` hypotheses.
    levels : array_like of int
        Values that each can take, at least 1; a list fixed without looking at the sample.

    Returns
    -------
    float64 or ndarray
        Nats, rounded up: at least H(W), hence at least I(S;W).

    Raises
    ------
    ValueError
        If an argument is no whole number or out of range.

    Examples
    --------
    >>> f"{quantised_information(1, 1000):.6f}", f"{quantised_information(100, 4):.6f}"
    ('6.907755', '138.629436')
    """
    return round_up(count("dimension", dimension, minimum=0) * np.log(count("levels", levels)), 5)


def _sliced(name: str, information: ArrayLike, n: ArrayLike, sigma: ArrayLike) -> Float64:
    nats = nonnegative(name, information, "Pass the information given each subspace, in nats.")
    return positive("sigma", sigma) * mean_up(np.sqrt(2 * nats), 5) / np.sqrt(count("n", n))


@theorem(
    statement=r"\left|\mathbb{E}[L_\mu(W)-L_S(W)]\right| \le "
    r"\mathbb{E}_\Theta\sqrt{\frac{2\sigma^2\,I^{\Theta}(W';S)}{n}}",
    formula="|E[L_mu(W) - L_S(W)]| <= E_Theta sqrt( 2 sigma^2 I^Theta(W';S) / n )",
    predictor="algorithm average",
    kind="expectation",
    quantity=GAP,
    averages_over=_AVERAGES,
    assumes=_ASSUMES,
    reference="Nadjahi2024",
    locator="bound by disintegrated information for W = Theta W'",
)
def nadjahi(sliced_information: ArrayLike, n: ArrayLike, sigma: ArrayLike) -> Float64:
    """Bound the expected gap of an algorithm that works in a random subspace (sliced mutual information).

    For every distribution of the data and every algorithm whose output W is a function of Theta, drawn independently of
    the sample, and of coordinates W' (such as W = Theta W'), on average over n independent examples, Theta and the
    algorithm's randomness: |E[L_mu(W) - L_S(W)]| <= E_Theta sqrt(2 sigma^2 I^Theta(W';S) / n), with I^theta the
    information given Theta = theta.

    Parameters
    ----------
    sliced_information : array_like, shape (..., T)
        I^theta(W';S) in nats for each of T equally likely theta, or upper bounds of it, in [0, inf]. With T = 1 the
        bound is one for that subspace, or, by Jensen's inequality, for I(W';S|Theta).
    n : array_like of int, shape (...)
        Examples in a sample, at least 1.
    sigma : array_like, shape (...)
        Sub-Gaussian parameter of the loss, positive: 0.5 for a loss in [0, 1].

    Returns
    -------
    float64 or ndarray, shape (...)
        Upper bound on |E[L_mu(W) - L_S(W)]|, rounded up; not capped, as the loss may be unbounded.

    Raises
    ------
    ValueError
        If an argument is NaN or outside its range, or has no last axis.

    Notes
    -----
    Proof: given Theta = theta the sample has its old law, so `xu_raginsky` holds for each theta; average over theta.

    The information is at most d ln k for d coordinates with k levels each (`quantised_information`), whatever theta is:
    then T = 1 is enough, and the theorem says sqrt(2 sigma^2 d ln(k) / n). Theta may be any random number generator's
    seed, an initialisation or an order of batches. I(W;S) <= I(W';S|Theta): what is gained is that the right-hand side
    can be counted, not that it is smaller.

    Examples
    --------
    Ten coordinates of 16 levels, 10000 examples:

    >>> f"{nadjahi([quantised_information(10, 16)], 10_000, 0.5):.6f}", f"{np.sqrt(10 * np.log(16) / 20_000):.6f}"
    ('0.037233', '0.037233')
    """
    with np.errstate(over="ignore"):  # to infinity, an upper bound
        return round_up(_sliced("sliced_information", sliced_information, n, sigma), 8)


@theorem(
    statement=r"\left|\mathbb{E}[L_\mu(W)-L_S(W)]\right| \le "
    r"\mathbb{E}_\Theta\sqrt{\frac{2\sigma^2\,I^{\Theta}(\hat W;S)}{n}}+2\rho\,\mathbb{E}\,d(W,\hat W)",
    formula="|E[L_mu(W) - L_S(W)]| <= E_Theta sqrt( 2 sigma^2 I^Theta(W^;S) / n ) + 2 lipschitz E d(W, W^)",
    predictor="algorithm average",
    kind="expectation",
    quantity=GAP,
    averages_over=_AVERAGES,
    assumes=(*_ASSUMES, Assumption.LOSS_LIPSCHITZ),
    reference="Nadjahi2024",
    locator="rate-distortion bound for weights next to a random subspace",
)
def nadjahi_distortion(
    compressed_information: ArrayLike, distortion: ArrayLike, n: ArrayLike, sigma: ArrayLike, lipschitz: ArrayLike
) -> Float64:
    """Bound the expected gap of an output by that of a compressed one nearby (rate and distortion).

    For every distribution of the data, every algorithm, every loss that is Lipschitz in w for each example, and every
    W^ that is a function of the output W, of Theta, drawn independently of the sample, and of further independent
    randomness, on average over all of them: |E[L_mu(W) - L_S(W)]| is at most
    E_Theta sqrt(2 sigma^2 I^Theta(W^;S) / n) + 2 lipschitz E d(W, W^).

    Parameters
    ----------
    compressed_information : array_like, shape (..., T)
        I^theta(W^;S) in nats for each of T equally likely theta, or upper bounds of it, in [0, inf].
    distortion : array_like, shape (...)
        E d(W, W^), or an upper bound of it, in [0, inf], in the metric of `lipschitz`; the norm of W - Theta Theta^T W
        for a projection, plus the quantiser's error.
    n : array_like of int, shape (...)
        Examples in a sample, at least 1.
    sigma : array_like, shape (...)
        Sub-Gaussian parameter of the loss of W^, positive: 0.5 for a loss in [0, 1].
    lipschitz : array_like, shape (...)
        Lipschitz constant of w -> l(w, z) for every z, in [0, inf].

    Returns
    -------
    float64 or ndarray, shape (...)
        Upper bound on |E[L_mu(W) - L_S(W)]|, rounded up; not capped, as the loss may be unbounded.

    Raises
    ------
    ValueError
        If an argument is NaN or outside its range, or has no last axis.

    Notes
    -----
    Proof: W - (sample) -> W -> W^, so `nadjahi` bounds the expected gap of W^; going from W^ to W moves L_mu by at most
    lipschitz E d(W, W^), and L_S by as much in the other direction.

    W^ is never used: it may be made after training, for the proof alone. But its rule, levels and subspace included,
    has to be fixed without the sample, and the *expected* distortion is asked for, over samples too: that of one run
    bounds it only if it holds for every possible run (a quantiser's step does). The 0-1 loss is not Lipschitz: this
    needs a margin or a smooth loss.

    Examples
    --------
    >>> f"{nadjahi_distortion([quantised_information(10, 16)], 0.01, 10_000, 0.5, 1.0):.6f}"
    '0.057233'
    """
    lipschitz = nonnegative("lipschitz", lipschitz)
    distortion = nonnegative("distortion", distortion, "It is a distance.")
    with np.errstate(over="ignore", invalid="ignore"):  # to infinity, an upper bound; 0 times infinity is 0 here
        moved = np.where((lipschitz > 0) & (distortion > 0), 2 * lipschitz * distortion, 0.0)
        return round_up(_sliced("compressed_information", compressed_information, n, sigma) + moved, 10)
