r"""Bounds on the gap of a learning algorithm by the mutual information between its sample and its output.

Notation: S = (Z_1, ..., Z_n) are n independent examples, W what the algorithm puts out, L_S(W) and L_mu(W) its average
loss on S and its risk; l(w, z) the loss. All information is in nats.

One inequality is behind everything here (Donsker and Varadhan): for P = P_{S,W} and the product Q = P_S x P_W, under
which the output meets a fresh sample, E_P f <= I(S;W) + ln E_Q exp(f). Under Q the gap of every w is a sum of
independent terms, so its exponential moments are known; I(S;W) is what it costs that under P they are not independent.

These numbers are properties of the algorithm and the distribution. One run tells neither: I(S;W) is infinite for a
deterministic algorithm with continuous weights, and an estimate of it from runs is no upper bound. What is admissible
is a closed form, the expected KL(P_{W|S} || Q) to any fixed Q, which is never below I(S;W), or a description length
(`genbounds.information.slicing.quantised_information`).
"""

import numpy as np
from numpy.typing import ArrayLike

from genbounds.numerics import Float64, confidence, count, kl_lower, nonnegative, round_up
from genbounds.numerics.checks import positive
from genbounds.theorems import Assumption, theorem
from genbounds.theorems.quantities import GAP, OUTPUT_GAP, SQUARED_GAP

__all__ = ["xu_raginsky", "xu_raginsky_cgf", "xu_raginsky_square", "xu_raginsky_tail"]

#: What bounds about a sample and its output average over, and their conditions for losses in [0, 1].
AVERAGES = "samples and the algorithm's randomness"
BOUNDED = (Assumption.INDEPENDENT_SAMPLE, Assumption.LOSS_IN_UNIT_INTERVAL, Assumption.INFORMATION_NOT_ESTIMATED)
_NEWTON_STEPS = 4


@theorem(
    statement=r"\left|\mathbb{E}[L_\mu(W)-L_S(W)]\right| \le \sqrt{\frac{2\sigma^2\, I(S;W)}{n}}",
    formula="|E[L_mu(W) - L_S(W)]| <= sqrt( 2 sigma^2 I(S;W) / n )",
    predictor="algorithm average",
    kind="expectation",
    quantity=GAP,
    averages_over=AVERAGES,
    assumes=(Assumption.IID, Assumption.LOSS_SUB_GAUSSIAN, Assumption.INFORMATION_NOT_ESTIMATED),
    reference="XuRaginsky2017",
    locator="Theorem 1; RussoZou2016 for finitely many queries",
)
def xu_raginsky(mutual_information: ArrayLike, n: ArrayLike, sigma: ArrayLike) -> Float64:
    """Bound the expected gap by the mutual information between sample and output.

    For every distribution of the data and every algorithm, on average over n independent examples and the algorithm's
    randomness: |E[L_mu(W) - L_S(W)]| <= sqrt(2 sigma^2 I(S;W) / n).

    Parameters
    ----------
    mutual_information : array_like
        I(S;W) in nats or an upper bound of it, in [0, inf].
    n : array_like of int
        Examples in a sample, at least 1.
    sigma : array_like
        Sub-Gaussian parameter of the loss, positive: (b - a) / 2 for a loss in [a, b], so 0.5 for one in [0, 1].

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
    Proof: Donsker and Varadhan with f = t (L_mu(W) - L_S(W)), whose moment under the product is at most
    exp(t^2 sigma^2 / (2n)); t = sqrt(2 n I) / sigma, and the same with -t. Where sigma belongs to l(W', Z') with W'
    and Z' independent, instead of every w: `bu_zou_veeravalli` holds, I(W;Z_1) + ... + I(W;Z_n) <= I(S;W) for
    independent examples, and the root is concave. With one tail only, below the mean of the loss, the bound is one on
    E[L_mu(W) - L_S(W)].

    For a loss in [0, 1] this is sqrt(I / (2n)); texts that print sqrt(2 I / n) there lose a factor of 2.

    Never below `bu_zou_veeravalli`. Infinite for most deterministic algorithms with continuous weights. On average
    over training runs: it says nothing about the gap of one output.

    Examples
    --------
    One fair bit is learnt by heart and predicted again: the gap is 1/2, and I(S;W) = ln 2.

    >>> f"{xu_raginsky(np.log(2), 1, 0.5):.10f}"  # sqrt(ln(2) / 2)
    '0.5887050113'
    """
    information = nonnegative("mutual_information", mutual_information, "Pass I(S;W) in nats.")
    with np.errstate(over="ignore"):  # to infinity, an upper bound
        return round_up(positive("sigma", sigma) * (np.sqrt(2 * information) / np.sqrt(count("n", n))), 11)


@theorem(
    statement=r"\left|\mathbb{E}[L_\mu(W)-L_S(W)]\right| \le \min_k \frac{I(S;W)/n+\psi(\lambda_k)}{\lambda_k}",
    formula="|E[L_mu(W) - L_S(W)]| <= min_k [I(S;W) / n + cgf_k] / rate_k",
    predictor="algorithm average",
    kind="expectation",
    quantity=GAP,
    averages_over=AVERAGES,
    assumes=(Assumption.IID, Assumption.LOSS_CUMULANTS, Assumption.INFORMATION_NOT_ESTIMATED),
    reference="BuZouVeeravalli2020",
    locator="main theorem, in the form for the whole sample",
)
def xu_raginsky_cgf(mutual_information: ArrayLike, n: ArrayLike, rates: ArrayLike, cgf: ArrayLike) -> Float64:
    """Bound the expected gap by the mutual information, for a loss with any exponential moments.

    For every distribution of the data and every algorithm, on average over n independent examples and the algorithm's
    randomness: |E[L_mu(W) - L_S(W)]| <= (I(S;W) / n + psi(t)) / t for every t > 0, where psi(t) is at least
    ln E exp(t (m - l)) and ln E exp(-t (m - l)), l being the loss on a fresh example and m its mean.

    Parameters
    ----------
    mutual_information : array_like, shape (...)
        I(S;W) in nats or an upper bound of it, in [0, inf].
    n : array_like of int, shape (...)
        Examples in a sample, at least 1.
    rates : array_like, shape (K,)
        Values of t, positive. Any finite list gives a bound: the smallest result is taken.
    cgf : array_like, shape (K,)
        psi at those rates, in [0, inf]: for every w by itself, or for (W', Z') drawn independently.

    Returns
    -------
    float64 or ndarray, shape (...)
        Upper bound on |E[L_mu(W) - L_S(W)]|, rounded up.

    Raises
    ------
    ValueError
        If an argument is NaN or outside its range, or the two lists are empty or of different lengths.

    Notes
    -----
    Proof: Donsker and Varadhan with f = n t (L_mu(W) - L_S(W)), a sum of n terms with psi(t) each under the product:
    n t E[L_mu - L_S] <= I(S;W) + n psi(t). So the information is divided by n, and the rate is one for a single
    loss. If psi is one for (W', Z') drawn independently the n terms share W' and their moments do not multiply; the
    bound then follows from `bu_zou_veeravalli_cgf`, as the mean of I(W;Z_i) is at most I(S;W) / n.

    If psi is at least ln E exp(t (m - l)) alone, which only needs the lower tail of the loss, the number bounds
    E[L_mu(W) - L_S(W)] from above. psi(t) = t^2 sigma^2 / 2 gives `xu_raginsky` at the best rate. Choosing among rates
    is free: nothing here depends on the sample.

    Examples
    --------
    A fair bit, put out right with probability (1 + e) / 2: the gap is e / 2. The loss has psi(t) = ln cosh(t / 2), and
    at t = 2 artanh(e) the bound is exact:

    >>> e = 0.8
    >>> information = (1 + e) / 2 * np.log(1 + e) + (1 - e) / 2 * np.log(1 - e)
    >>> rates = np.array([1.0, 2 * np.arctanh(e)])
    >>> f"{xu_raginsky_cgf(information, 1, rates, np.log(np.cosh(rates / 2))):.12f}"
    '0.400000000000'
    """
    information = nonnegative("mutual_information", mutual_information, "Pass I(S;W) in nats.")
    return legendre(round_up(information / count("n", n), 0), rates, cgf)


def legendre(information: Float64, rates: ArrayLike, cgf: ArrayLike) -> Float64:
    """Return min_k (information + cgf_k) / rate_k, rounded up.

    Parameters
    ----------
    information : ndarray, shape (...)
        Nats, in [0, inf].
    rates : array_like, shape (K,)
        Positive.
    cgf : array_like, shape (K,)
        In [0, inf].

    Returns
    -------
    float64 or ndarray, shape (...)
        An upper bound of the inverse of the Legendre transform of the cumulant generating function.

    Raises
    ------
    ValueError
        If a number is out of range, or the two lists are empty or of different lengths.
    """
    rates, cgf = positive("rates", rates), nonnegative("cgf", cgf, "A centred variable has no negative cumulants.")
    if rates.ndim != 1 or not rates.size or rates.shape != cgf.shape:
        raise ValueError(
            f"rates must be a list with one value of cgf each, got shapes {rates.shape} and {cgf.shape}. "
            "Evaluate the cumulant generating function at every rate."
        )
    with np.errstate(over="ignore"):  # to infinity, an upper bound
        return round_up(np.min((np.asarray(information)[..., None] + cgf) / rates, axis=-1), 3)


@theorem(
    statement=r"\mathbb{E}\left[(L_\mu(W)-L_S(W))^2\right] \le \frac{u}{4n},\quad u-1-\ln u = 2\,I(S;W),\ u\ge 1",
    formula="E[(L_mu(W) - L_S(W))^2] <= u / (4n), where u >= 1 solves u - 1 - ln u = 2 I(S;W)",
    predictor="algorithm average",
    kind="expectation",
    quantity=SQUARED_GAP,
    averages_over=AVERAGES,
    assumes=BOUNDED,
    reference="XuRaginsky2017",
    locator="same change of measure as Theorem 1, applied to the square; derived in the notes",
)
def xu_raginsky_square(mutual_information: ArrayLike, n: ArrayLike) -> Float64:
    """Bound the mean squared gap by the mutual information, for losses in [0, 1].

    For every distribution of the data and every algorithm, on average over n independent examples and the algorithm's
    randomness: E[(L_mu(W) - L_S(W))^2] is at most u / (4n), where u >= 1 solves u - 1 - ln u = 2 I(S;W).

    Parameters
    ----------
    mutual_information : array_like
        I(S;W) in nats or an upper bound of it, in [0, inf].
    n : array_like of int
        Examples in a sample, at least 1.

    Returns
    -------
    float64 or ndarray
        Upper bound on E[(L_mu(W) - L_S(W))^2], rounded up; 1 where the formula exceeds 1.

    Raises
    ------
    ValueError
        If an argument is NaN or outside its range.

    Notes
    -----
    Proof: for every w the gap X is sub-Gaussian with variance proxy 1 / (4n) under the product (Hoeffding), hence
    E exp(t X^2) <= (1 - t / (2n))^(-1/2) for t < 2n: average E exp(s N X) over s N with N standard normal. Donsker and
    Varadhan with f = t X^2 give E X^2 <= (I - ln(1 - t / (2n)) / 2) / t. At t = n that is (I + ln(2) / 2) / n. The
    best t, at which 1 - t / (2n) = 1 / u, gives the formula: u / (4n) is the variance of the centred Gaussian whose
    divergence from N(0, 1 / (4n)) is I(S;W). Every step of Newton's method for u gives the bound at some t, so none of
    them has to converge.

    Attained at I = 0 by the loss of a fair coin. By Chebyshev's inequality the output's gap is at most
    sqrt(u / (4 n delta)) with probability at least 1 - delta; `xu_raginsky_tail` is tighter.

    Examples
    --------
    Without information it is the variance of the average of n fair coins:

    >>> f"{xu_raginsky_square(0.0, 25):.12f}"
    '0.010000000000'
    >>> f"{xu_raginsky_square((np.e - 2) / 2, 25):.12f}", f"{np.e / 100:.12f}"  # u = e
    ('0.027182818285', '0.027182818285')
    """
    information = nonnegative("mutual_information", mutual_information, "Pass I(S;W) in nats.")
    double = 2 * np.minimum(information, 1e100)
    excess = np.maximum(double + np.sqrt(double) * np.sqrt(double + 2), 2.0**-60)  # u - 1, from above
    for _ in range(_NEWTON_STEPS):
        step = (excess - np.log1p(excess) - double) * (1 + excess) / excess
        excess = np.maximum(excess - step, 2.0**-60)
    weight = (1 + excess) / excess  # 2n / t
    with np.errstate(over="ignore"):  # to infinity, an upper bound
        bound = (information + np.log1p(excess) / 2) * weight / (2 * count("n", n))
        return np.minimum(round_up(bound, 9), 1.0)[()]


@theorem(
    statement=r"|L_\mu(W)-L_S(W)| \le \sqrt{\frac{\ln(2/q)}{2n}},\quad q=\mathrm{kl}^{-}(\delta,\ I(S;W))",
    formula="|L_mu(W) - L_S(W)| <= sqrt( ln(2 / q) / (2n) ), q = min{ q : kl(delta || q) <= I(S;W) }",
    predictor="single draw",
    quantity=OUTPUT_GAP,
    assumes=BOUNDED,
    reference="XuRaginsky2017",
    locator="Theorem 3, by data processing in place of its proof",
)
def xu_raginsky_tail(mutual_information: ArrayLike, n: ArrayLike, delta: ArrayLike) -> Float64:
    """Bound the gap of the output itself, with high probability, by the mutual information.

    For every distribution of the data and every algorithm with information I(S;W): with probability at least 1 - delta
    over n independent examples and the algorithm's randomness, |L_mu(W) - L_S(W)| <= sqrt(ln(2 / q) / (2n)) for the
    one W that came out, where q <= delta solves kl(delta || q) = I(S;W).

    Parameters
    ----------
    mutual_information : array_like
        I(S;W) in nats or an upper bound of it, in [0, inf].
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
    Proof: let E be the event that the gap is at least eps, p its probability and q' that under the product of the laws
    of S and W, where Hoeffding's inequality holds for every w: q' <= 2 exp(-2 n eps^2) = q <= delta. Data processing
    gives kl(p || q') <= I(S;W). If p were above delta, kl(p || q') >= kl(p || q) > kl(delta || q) = I(S;W), because kl
    increases in its first argument above the second, and decreases in the second below the first: a contradiction.

    The price of a probability: ln(1 / q) is about (I + h(delta)) / delta with h the binary entropy, never more. So it
    is 1 / delta that multiplies the information, not ln(1 / delta); no bound by mutual information alone can avoid it,
    as an algorithm may keep its output a secret and with probability delta tell the whole sample. Leakage
    (`genbounds.information.issa`) is a stronger quantity and costs ln(1 / delta).

    Difference from the paper: Theorem 3 there asks for n >= (8 sigma^2 / eps^2) (I / delta + ln(2 / delta)), which for
    sigma = 1/2 is eps^2 = (2 / n) (I / delta + ln(2 / delta)). It is proved by many copies of the algorithm, and its
    eps is about twice as large: here eps^2 <= (I / delta + h(delta) / delta + ln 2) / (2n). Without information the
    bound is Hoeffding's.

    Examples
    --------
    >>> f"{xu_raginsky_tail(0.0, 1000, 0.05):.10f}", f"{np.sqrt(np.log(40) / 2000):.10f}"
    ('0.0429469408', '0.0429469408')
    >>> f"{xu_raginsky_tail(1.0, 10_000, 0.05):.4f}"
    '0.0351'
    """
    information = nonnegative("mutual_information", mutual_information, "Pass I(S;W) in nats.")
    delta = confidence("delta", delta)
    with np.errstate(divide="ignore", over="ignore"):  # to infinity, an upper bound
        near = -np.log(kl_lower(delta, information))
        # What remains of the equation for ln(1 / q) when its term -(1 - delta) ln(1 - q) is left out; q may underflow.
        far = round_up((information - delta * np.log(delta) - (1 - delta) * np.log1p(-delta)) / delta, 8)
        cost = (np.log(2.0) + np.minimum(near, far)) / (2 * count("n", n))
    return np.minimum(round_up(np.sqrt(cost), 10), 1.0)[()]
