r"""The gap of the Gibbs algorithm: exact, by its symmetrised information, and bounded by its temperature alone.

The algorithm draws its output w from the law with density proportional to pi(w) exp(-gamma L_S(w)), where L_S is the
average loss on the n examples S and the prior pi does not depend on them. gamma multiplies an average: where an
exponent is beta times a sum of losses, as for a Bayesian posterior, gamma = n beta.

The identity. The logarithm of dP_{S,W} / d(P_S x P_W) is -gamma L_S(w) plus a function of S alone plus one of w alone.
Subtract its expectation under the product from the one under the joint law: the two functions drop out, and
I(S;W) + KL(P_S x P_W || P_{S,W}) = gamma E[L_mu(W) - L_S(W)].
"""

import numpy as np
from numpy.typing import ArrayLike

from genbounds.numerics import Float64, count, nonnegative, round_up
from genbounds.numerics.checks import positive
from genbounds.theorems import Assumption, theorem
from genbounds.theorems.quantities import GAP

__all__ = ["aminian", "gibbs_gap", "gibbs_gap_sub_gaussian"]

_AVERAGES = "samples and the algorithm's draw"


@theorem(
    statement=r"\mathbb{E}[L_\mu(W)-L_S(W)] = \frac{I(S;W) + \mathrm{KL}(P_S\otimes P_W\,\|\,P_{S,W})}{\gamma}",
    formula="E[L_mu(W) - L_S(W)] = [I(S;W) + KL(P_S x P_W || P_SW)] / gamma",
    predictor="algorithm average",
    kind="expectation",
    quantity=GAP,
    averages_over=_AVERAGES,
    assumes=(Assumption.INDEPENDENT_SAMPLE, Assumption.GIBBS_ALGORITHM, Assumption.INFORMATION_NOT_ESTIMATED),
    reference="Aminian2021",
    locator="Theorem 1",
    restates="an identity: the number is the gap itself, and whoever knows the information knows the gap",
)
def aminian(symmetrised_information: ArrayLike, inverse_temperature: ArrayLike) -> Float64:
    """Return the expected gap of the Gibbs algorithm, which is its symmetrised information over gamma.

    For every distribution of the data, every loss and every prior, on average over n independent examples and the
    algorithm's draw: E[L_mu(W) - L_S(W)] = (I(S;W) + KL(P_S x P_W || P_{S,W})) / gamma.

    Parameters
    ----------
    symmetrised_information : array_like
        I(S;W) plus the lautum information KL(P_S x P_W || P_{S,W}), nats, or an upper bound of it, in [0, inf].
    inverse_temperature : array_like
        gamma, positive and finite; it multiplies the average loss.

    Returns
    -------
    float64 or ndarray
        The gap, which is never negative, rounded up.

    Raises
    ------
    ValueError
        If an argument is NaN or outside its range.

    Notes
    -----
    Proof: see the module. The expectations have to be finite, otherwise nothing is asked of the loss.

    It checks a sampler rather than bounds anything: a chain that targets the Gibbs law has a gap and an information
    that agree up to gamma, whatever the data.

    Examples
    --------
    One fair bit z, two predictions, 0-1 loss, gamma = ln 3: the prediction is z with probability 3/4. The gap is
    1/2 - 1/4, and both relative entropies between joint law and product are known:

    >>> information = np.log(2) + 0.75 * np.log(0.75) + 0.25 * np.log(0.25)
    >>> lautum = np.log(0.5) - 0.5 * np.log(0.75) - 0.5 * np.log(0.25)
    >>> f"{aminian(information + lautum, np.log(3)):.12f}"
    '0.250000000000'
    """
    information = nonnegative("symmetrised_information", symmetrised_information, "Pass nats.")
    with np.errstate(over="ignore"):  # to infinity, an upper bound
        return round_up(information / positive("inverse_temperature", inverse_temperature), 1)


@theorem(
    statement=r"0 \le \mathbb{E}[L_\mu(W)-L_S(W)] \le \tanh\frac{\gamma}{4n}",
    formula="0 <= E[L_mu(W) - L_S(W)] <= tanh( gamma / (4n) )",
    predictor="algorithm average",
    kind="expectation",
    quantity=GAP,
    averages_over=_AVERAGES,
    assumes=(Assumption.IID, Assumption.LOSS_IN_UNIT_INTERVAL, Assumption.GIBBS_ALGORITHM),
    reference="Raginsky2016",
    locator="bound for the Gibbs algorithm, gamma / (2n); derived anew in the notes, with Theorem 1 of Aminian2021",
)
def gibbs_gap(inverse_temperature: ArrayLike, n: ArrayLike) -> Float64:
    """Bound the expected gap of the Gibbs algorithm by its temperature alone, for losses in [0, 1].

    For every distribution of the data, every loss in [0, 1] and every prior, on average over n independent examples and
    the algorithm's draw: E[L_mu(W) - L_S(W)] <= tanh(gamma / (4n)), which is below gamma / (4n) and below 1.

    Parameters
    ----------
    inverse_temperature : array_like
        gamma, positive and finite; it multiplies the average loss.
    n : array_like of int
        Examples in a sample, at least 1.

    Returns
    -------
    float64 or ndarray
        Upper bound on the gap, rounded up, at most 1.

    Raises
    ------
    ValueError
        If an argument is NaN or outside its range.

    Notes
    -----
    Proof: give all examples but Z_i. On Z_i alone the algorithm is again a Gibbs algorithm, with inverse temperature
    b = gamma / n and a prior that the other examples have tilted. Let J be the law of (W, Z_i), M the product of its
    marginals, v their total variation, and g = E_M l - E_J l the part of the gap that is due to Z_i. By the identity
    b g = KL(J || M) + KL(M || J), hence g >= 0. For an event with probabilities q + v under J and q under M, data
    processing bounds the right side from below by v (logit(q + v) - logit(q)); that is least where the two lie
    symmetrically about 1/2, so b g >= 2 v ln((1 + v) / (1 - v)). As g <= v for a loss in [0, 1], and the right side
    grows with v, b >= 4 artanh(g): g <= tanh(b / 4), whatever the other examples. The gap is the average over them
    and over i.

    Difference from the paper: gamma / (2n) there, from I(S;W) alone or from stability. The relative entropy in the
    other direction, which is dropped there, is worth a factor of 2 for one example. Of the whole sample it is not: see
    `genbounds.information.lautum`. Hence the examples one by one.

    Attained for n = 1: k equally likely points, as many predictions, of which each is right about one point,
    gamma = 2 ln(k - 1). Attained for all n as collisions vanish: predictions right about each of many points
    independently with probability 1 / (1 + exp(gamma / (2n))) under the prior.

    Examples
    --------
    Three points, gamma = 2 ln 2: the output is right about the point seen with probability 4/6, about another one with
    1/3.

    >>> f"{gibbs_gap(2 * np.log(2), 1):.12f}"
    '0.333333333333'
    """
    exponent = positive("inverse_temperature", inverse_temperature) / (4 * count("n", n))
    return np.minimum(round_up(np.tanh(exponent), 6), 1.0)


@theorem(
    statement=r"0 \le \mathbb{E}[L_\mu(W)-L_S(W)] \le \frac{2\sigma^2\gamma}{n}",
    formula="0 <= E[L_mu(W) - L_S(W)] <= 2 sigma^2 gamma / n",
    predictor="algorithm average",
    kind="expectation",
    quantity=GAP,
    averages_over=_AVERAGES,
    assumes=(Assumption.IID, Assumption.LOSS_SUB_GAUSSIAN, Assumption.GIBBS_ALGORITHM),
    reference="Aminian2021",
    locator="Theorem 2, with C_E = 0",
)
def gibbs_gap_sub_gaussian(inverse_temperature: ArrayLike, n: ArrayLike, sigma: ArrayLike) -> Float64:
    """Bound the expected gap of the Gibbs algorithm by its temperature alone, for sub-Gaussian losses.

    For every distribution of the data and every prior, on average over n independent examples and the algorithm's draw:
    E[L_mu(W) - L_S(W)] <= 2 sigma^2 gamma / n.

    Parameters
    ----------
    inverse_temperature : array_like
        gamma, positive and finite; it multiplies the average loss.
    n : array_like of int
        Examples in a sample, at least 1.
    sigma : array_like
        Sub-Gaussian parameter of the loss, positive; the lower tail is enough.

    Returns
    -------
    float64 or ndarray
        Upper bound on the gap, rounded up.

    Raises
    ------
    ValueError
        If an argument is NaN or outside its range.

    Notes
    -----
    Proof: the gap g is not negative by the identity of `aminian`, which also gives I(S;W) <= gamma g. With
    g <= sqrt(2 sigma^2 I(S;W) / n) for every algorithm, g^2 <= 2 sigma^2 gamma g / n. As in `xu_raginsky` sigma may be
    that of every predictor, or of the output and an independent example; g is the risk less the empirical risk, so
    that only losses far below their mean have to be rare.

    For a loss in [0, 1] sigma = 1/2 gives gamma / (2n), twice what `gibbs_gap` gives.

    Examples
    --------
    >>> f"{gibbs_gap_sub_gaussian(3.0, 100, 0.5):.12f}"  # 3 / 200
    '0.015000000000'
    """
    scale = positive("sigma", sigma)
    with np.errstate(over="ignore"):  # to infinity, an upper bound
        return round_up(scale * positive("inverse_temperature", inverse_temperature) * (2 * scale) / count("n", n), 4)
