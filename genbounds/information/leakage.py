r"""Bounds on the gap of the output itself, with high probability, by maximal leakage and Sibson's information.

Notation as in `genbounds.information.mutual_information`. These quantities are larger than I(S;W) and worth it: they
bound the probability of every event, so that 1 - delta costs ln(1 / delta) nats and not a factor 1 / delta. For finite
tables `genbounds.numerics.discrete_information` computes both; for private algorithms see
`genbounds.information.privacy`.

Both are properties of the algorithm. Where only some samples are possible, the maximum in the leakage runs over those.
"""

import numpy as np
from numpy.typing import ArrayLike

from genbounds.information.mutual_information import AVERAGES, BOUNDED
from genbounds.numerics import Float64, confidence, count, nonnegative, round_up
from genbounds.numerics.checks import positive
from genbounds.theorems import Assumption, Free, theorem
from genbounds.theorems.quantities import GAP, OUTPUT_GAP

__all__ = ["esposito", "issa", "issa_average"]

_ALPHA = Free("alpha", 1.0, np.inf, "A small order has less information, a large one loses less to delta.")


@theorem(
    statement=r"|L_\mu(W)-L_S(W)| \le \sqrt{\frac{\mathcal{L}(S\to W)+\ln(2/\delta)}{2n}}",
    formula="|L_mu(W) - L_S(W)| <= sqrt( [leakage + ln(2 / delta)] / (2n) )",
    predictor="single draw",
    quantity=OUTPUT_GAP,
    assumes=BOUNDED,
    reference="IssaEspositoGastpar2019",
    locator="bound by maximal leakage; EspositoGastparIssa2021",
)
def issa(leakage: ArrayLike, n: ArrayLike, delta: ArrayLike) -> Float64:
    """Bound the gap of the output by the maximal leakage from the sample to it.

    For every distribution of the data and every algorithm: with probability at least 1 - delta over n independent
    examples and the algorithm's randomness, |L_mu(W) - L_S(W)| <= sqrt((leakage + ln(2 / delta)) / (2n)) for the one
    W that came out.

    Parameters
    ----------
    leakage : array_like
        ln sum_w max_s P(w|s) in nats, the maximum being over samples of positive probability, or an upper bound of it,
        in [0, inf]. For densities, the integral of the essential supremum takes the place of the sum.
    n : array_like of int
        Examples in a sample, at least 1.
    delta : array_like
        Probability with which the bound may fail, in (0, 1).

    Returns
    -------
    float64 or ndarray
        Upper bound on |L_mu(W) - L_S(W)|, rounded up; 1 where the formula exceeds 1.

    Raises
    ------
    ValueError
        If an argument is NaN or outside its range.

    Notes
    -----
    Proof: let E_w be the samples on which w has a gap of at least eps. P(W has one) = sum_w sum_s P(s) P(w|s) 1[s in
    E_w] <= sum_w max_s P(w|s) P(E_w) <= exp(leakage) max_w P(E_w), and P(E_w) <= 2 exp(-2 n eps^2) by Hoeffding's
    inequality.

    A deterministic algorithm with K possible outputs leaks ln K: the union bound over them. The leakage does not grow
    under processing of W, and that of several outputs is at most the sum. Never below `esposito` at its best order.
    Not covered: an estimate of the leakage, which no number of runs bounds from above.

    Examples
    --------
    >>> f"{issa(np.log(50), 1000, 0.05):.10f}", f"{np.sqrt(np.log(100 / 0.05) / 2000):.10f}"
    ('0.0616477999', '0.0616477999')
    """
    leakage, delta = nonnegative("leakage", leakage, "Pass nats."), confidence("delta", delta)
    return np.minimum(round_up(np.sqrt((leakage + (np.log(2.0) - np.log(delta))) / (2 * count("n", n))), 9), 1.0)[()]


@theorem(
    statement=r"|L_\mu(W)-L_S(W)| \le \sqrt{\frac{I_\alpha(S;W)+\ln 2+\frac{\alpha}{\alpha-1}\ln(1/\delta)}{2n}}",
    formula="|L_mu(W) - L_S(W)| <= sqrt( [I_alpha(S;W) + ln 2 + alpha / (alpha - 1) ln(1 / delta)] / (2n) )",
    predictor="single draw",
    quantity=OUTPUT_GAP,
    uniform_over="orders alpha",
    assumes=BOUNDED,
    reference="EspositoGastparIssa2021",
    locator="bound by Sibson's mutual information, with Hoeffding's inequality",
    parameters=(_ALPHA,),
)
def esposito(sibson: ArrayLike, n: ArrayLike, delta: ArrayLike, alpha: ArrayLike) -> Float64:
    """Bound the gap of the output by Sibson's information of order alpha between the sample and it.

    For every distribution of the data and every algorithm: with probability at least 1 - delta over n independent
    examples and the algorithm's randomness, simultaneously for all alpha > 1, |L_mu(W) - L_S(W)| is at most
    sqrt((I_alpha(S;W) + ln 2 + alpha / (alpha - 1) ln(1 / delta)) / (2n)) for the one W that came out.

    Parameters
    ----------
    sibson : array_like
        I_alpha(S;W) = alpha / (alpha - 1) ln sum_w (sum_s P(s) P(w|s)^alpha)^(1 / alpha) in nats, or an upper bound of
        it, in [0, inf].
    n : array_like of int
        Examples in a sample, at least 1.
    delta : array_like
        Probability with which the bound may fail, in (0, 1).
    alpha : array_like
        Free, in (1, inf): the order that `sibson` has. `issa` is the limit.

    Returns
    -------
    float64 or ndarray
        Upper bound on |L_mu(W) - L_S(W)|, rounded up; 1 where the formula exceeds 1.

    Raises
    ------
    ValueError
        If an argument is NaN or outside its range.

    Notes
    -----
    Proof: with E_w as for `issa` and Hölder's inequality over samples, sum_s P(s) P(w|s) 1[s in E_w] is at most
    (sum_s P(s) P(w|s)^alpha)^(1 / alpha) P(E_w)^((alpha - 1) / alpha). The sum over w is at most
    exp((alpha - 1) / alpha (I_alpha + ln max_w P(E_w))), where P(E_w) <= 2 exp(-2 n eps^2); that is delta at the eps of
    the formula. No part of the formula depends on the sample: the smallest eps over all orders has the same failure
    probability, and may be picked after the fact.

    I_alpha grows with alpha from the mutual information at 1 to the leakage at infinity, and alpha / (alpha - 1) falls
    from infinity to 1: the best order lies between. Mind which information of order alpha is meant; Arimoto's and
    Csiszár's are others. Not covered: an estimate of it.

    Examples
    --------
    One output of two, told with certainty, has I_alpha = ln 2 at every order, and the leakage is the best:

    >>> f"{esposito(np.log(2), 1000, 0.05, 2.0):.6f}", f"{issa(np.log(2), 1000, 0.05):.6f}"
    ('0.060736', '0.046808')
    """
    sibson, delta = nonnegative("sibson", sibson, "Pass nats."), confidence("delta", delta)
    alpha = _ALPHA.check(alpha)
    cost = -(alpha / (alpha - 1)) * np.log(delta)
    return np.minimum(round_up(np.sqrt((sibson + (np.log(2.0) + cost)) / (2 * count("n", n))), 12), 1.0)[()]


@theorem(
    statement=r"\left|\mathbb{E}[L_\mu(W)-L_S(W)]\right| \le \sqrt{\frac{2\sigma^2\,\mathcal{L}(S\to W)}{n}}",
    formula="|E[L_mu(W) - L_S(W)]| <= sqrt( 2 sigma^2 leakage / n )",
    predictor="algorithm average",
    kind="expectation",
    quantity=GAP,
    averages_over=AVERAGES,
    assumes=(Assumption.IID, Assumption.LOSS_SUB_GAUSSIAN, Assumption.INFORMATION_NOT_ESTIMATED),
    reference="EspositoGastparIssa2021",
    locator="expected form: maximal leakage is at least the mutual information; XuRaginsky2017, Theorem 1",
)
def issa_average(leakage: ArrayLike, n: ArrayLike, sigma: ArrayLike) -> Float64:
    """Bound the expected gap by the maximal leakage from the sample to the output.

    For every distribution of the data and every algorithm, on average over n independent examples and the algorithm's
    randomness: |E[L_mu(W) - L_S(W)]| <= sqrt(2 sigma^2 leakage / n).

    Parameters
    ----------
    leakage : array_like
        Maximal leakage from S to W in nats, or an upper bound of it, in [0, inf].
    n : array_like of int
        Examples in a sample, at least 1.
    sigma : array_like
        Sub-Gaussian parameter of the loss, positive: 0.5 for a loss in [0, 1].

    Returns
    -------
    float64 or ndarray
        Upper bound on |E[L_mu(W) - L_S(W)]|, rounded up; not capped, as the loss may be unbounded.

    Raises
    ------
    ValueError
        If an argument is NaN or outside its range.

    Notes
    -----
    Proof: by Jensen's inequality I(S;W) = E ln(P(W|S) / P(W)) is at most ln E[P(W|S) / P(W)], which is at most
    ln E[max_s P(W|s) / P(W)] = ln sum_w max_s P(w|s). Then `xu_raginsky`.

    Never below `xu_raginsky`. Use it where the leakage is what is known, as for private algorithms.

    Examples
    --------
    >>> f"{issa_average(np.log(2), 1, 0.5):.10f}"  # sqrt(ln(2) / 2)
    '0.5887050113'
    """
    leakage = nonnegative("leakage", leakage, "Pass nats.")
    with np.errstate(over="ignore"):  # to infinity, an upper bound
        return round_up(positive("sigma", sigma) * (np.sqrt(2 * leakage) / np.sqrt(count("n", n))), 11)
