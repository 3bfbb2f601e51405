r"""Bounds on the risk that fall to the order 1/n where the train risk does, by what losses tell of each pair.

Notation as in `genbounds.information.samplewise`, for one supersample given; I is the mean over the n pairs of the
information in question. All rest on one inequality. For a coin that is independent of the losses a and b on a pair, and
real numbers s and t,

    E exp(s ghost + t train) = (exp(s b + t a) + exp(s a + t b)) / 2,

which is convex in (a, b) and so at most 1 on the unit square if it is at the corners: if exp(s) + exp(t) <= 2, because
then s + t <= 0. By Donsker and Varadhan, s E L_ghost + t E L_train <= I for all such s and t at once, none of which
looks at a sample: what is free here may be chosen to make the number smallest. Both E L_train and I may be those of one
supersample or their averages over supersamples; the bound is on E L_ghost or on E L_mu.

The largest value of s b + t a under that condition is M(a, b) of `genbounds.numerics.risk_pairs`, so that
`sharp_ld_cmi` is what all of these linear bounds amount to together.
"""

import numpy as np
from numpy.typing import ArrayLike

from genbounds.information.conditional import CONDITIONS, EACH_SUPERSAMPLE
from genbounds.numerics import Float64, kl_upper, mean_up, nonnegative, risk_pair_upper, round_up, unit_interval
from genbounds.theorems import Free, theorem
from genbounds.theorems.quantities import SUPERSAMPLE_RISK

__all__ = ["hellstrom_durisi_kl", "hellstrom_durisi_linear", "sharp_ld_cmi"]

_GAMMA1 = Free("gamma1", 0.0, float(np.log(2)), "Weighs the information against the train risk.")


def kl_root(train_risk: ArrayLike, information: Float64) -> Float64:
    """Return the largest b <= 1 with kl(a || (a + b) / 2) <= information, rounded up.

    Parameters
    ----------
    train_risk : array_like
        a, in [0, 1].
    information : float64 or ndarray
        Nats.

    Returns
    -------
    float64 or ndarray
        In [a, 1].
    """
    train_risk = unit_interval("train_risk", train_risk)
    # kl(a || m) increases in m from a on, and m is at most (1 + a) / 2: no other root is larger.
    return np.minimum(round_up(2 * kl_upper(train_risk, information) - train_risk, 1), 1.0)


@np.errstate(over="ignore", divide="ignore")  # to infinity, an upper bound
def linear_bound(train_risk: ArrayLike, rate: Float64, information: Float64, price: Float64) -> Float64:
    """Return c a + information / price with the least c such that exp(rate) + exp(-c rate) <= 2, rounded up.

    Parameters
    ----------
    train_risk : array_like
        a, in [0, 1].
    rate : float64 or ndarray
        In (0, ln 2).
    information : float64 or ndarray
        Nats.
    price : float64 or ndarray
        Positive.

    Returns
    -------
    float64 or ndarray
        At most 1.
    """
    train_risk = unit_interval("train_risk", train_risk)
    grown = np.minimum(round_up(np.expm1(rate), 4), 1.0)  # c = -ln(1 - (exp(rate) - 1)) / rate
    weight = round_up(-np.log1p(-grown) / rate, 5)
    weighted = np.multiply(
        weight, train_risk, out=np.zeros(np.broadcast(weight, train_risk).shape), where=train_risk > 0
    )
    return np.minimum(round_up(weighted + information / price, 3), 1.0)


@theorem(
    statement=r"\mathrm{kl}\!\left(\mathbb{E}L_{\mathrm{train}}\,\middle\|\,"
    r"\tfrac12\mathbb{E}[L_{\mathrm{train}}+L_{\mathrm{ghost}}]\right) \le \frac1n\sum_{i=1}^{n} I(\Lambda_i;U_i)",
    formula="kl( E L_train || (E L_train + E L_ghost) / 2 ) <= (1/n) sum_i I(Lam_i;U_i)",
    predictor="algorithm average",
    kind="expectation",
    averages_over=EACH_SUPERSAMPLE,
    ghost_losses=True,
    quantity=SUPERSAMPLE_RISK,
    assumes=CONDITIONS,
    reference="HellstromDurisi2022",
    locator="Theorem 5 (binary KL), for each supersample",
)
def hellstrom_durisi_kl(train_risk: ArrayLike, e_cmi: ArrayLike) -> Float64:
    """Bound the risk by inverting the binary relative entropy (binary-KL bound).

    For every supersample of n pairs and every algorithm, on average over the mask and the algorithm's randomness:
    kl(E L_train || (E L_train + E L_ghost) / 2) <= (1/n) sum_i I(Lam_i;U_i); the result is the largest E L_ghost that
    this allows.

    Parameters
    ----------
    train_risk : array_like, shape (...)
        E L_train for the supersample given, or an upper bound of it, in [0, 1].
    e_cmi : array_like, shape (..., n)
        I(Lam_i;U_i) in nats for the supersample given, or an upper bound of it such as I(F_i;U_i), in [0, inf].

    Returns
    -------
    float64 or ndarray, shape (...)
        Upper bound on E L_ghost, rounded up, in [train_risk, 1]: min(1, 2 kl+(E L_train, I) - E L_train).

    Raises
    ------
    ValueError
        If an argument is NaN or outside its range.

    Notes
    -----
    Proof: for a coin that is independent of the losses a and b on a pair, E exp(t train) <= 1 - m + m exp(t) with
    m = (a + b) / 2, by convexity. Donsker and Varadhan, and m -> ln(1 - m + m exp(t)) being concave, give
    t E L_train - ln(1 - M + M exp(t)) <= I with M = E[L_train + L_ghost] / 2; the best t makes the left side the
    relative entropy. It is jointly convex: averages over supersamples may be passed.

    Never above the train risk plus sqrt(2 I), by Pinsker's inequality. Never below `sharp_ld_cmi`, which is what those
    numbers allow at most.

    Examples
    --------
    Without errors in training, 2 (1 - exp(-I)):

    >>> f"{hellstrom_durisi_kl(0.0, [0.0, 0.2]):.6f}"
    '0.190325'
    """
    return kl_root(train_risk, mean_up(nonnegative("e_cmi", e_cmi), 0))


@theorem(
    statement=r"\mathbb{E}L_{\mathrm{ghost}} \le \gamma_2\,\mathbb{E}L_{\mathrm{train}}+"
    r"\frac{1}{\gamma_1 n}\sum_{i=1}^{n} I(\Lambda_i;U_i),\quad \gamma_2=\frac{-\ln(2-e^{\gamma_1})}{\gamma_1}",
    formula="E L_ghost <= gamma2 E L_train + (1/n) sum_i I(Lam_i;U_i) / gamma1, gamma2 = -ln(2 - exp(gamma1)) / gamma1",
    predictor="algorithm average",
    kind="expectation",
    averages_over=EACH_SUPERSAMPLE,
    ghost_losses=True,
    quantity=SUPERSAMPLE_RISK,
    uniform_over="gamma1",
    assumes=CONDITIONS,
    reference="HellstromDurisi2022",
    locator="linear bound, for each supersample and with the least gamma2 of its proof",
    parameters=(_GAMMA1,),
)
def hellstrom_durisi_linear(train_risk: ArrayLike, e_cmi: ArrayLike, gamma1: ArrayLike) -> Float64:
    """Bound the risk by a multiple of the train risk and of the information.

    For every supersample of n pairs, every algorithm and every gamma1 in (0, ln 2), on average over the mask and the
    algorithm's randomness: E L_ghost <= gamma2 E L_train + (1/n) sum_i I(Lam_i;U_i) / gamma1 with
    gamma2 = -ln(2 - exp(gamma1)) / gamma1.

    Parameters
    ----------
    train_risk : array_like, shape (...)
        E L_train for the supersample given, or an upper bound of it, in [0, 1].
    e_cmi : array_like, shape (..., n)
        I(Lam_i;U_i) in nats for the supersample given, or an upper bound of it, in [0, inf].
    gamma1 : array_like, shape (...)
        Free, in (0, ln 2).

    Returns
    -------
    float64 or ndarray, shape (...)
        Upper bound on E L_ghost, rounded up; 1 where the formula exceeds 1.

    Raises
    ------
    ValueError
        If an argument is NaN or outside its range.

    Notes
    -----
    Proof: the module's inequality with s = gamma1 and t = -gamma1 gamma2.

    Difference from the paper: there gamma1 <= 0.36534 and gamma1 (1 - gamma2) + (exp(gamma1) - 1 - gamma1)
    (1 + gamma2^2) <= 0, because exp is replaced by a parabola; at gamma1 = 0.36534 this gives gamma2 = 2.414 in place
    of 1.592. As gamma1 tends to ln 2 the bound tends to that of `steinke_zakynthinou_interpolation`. At its best gamma1
    it is `sharp_ld_cmi` with this information, as long as train risk and bound add up to 1 at most.

    Examples
    --------
    gamma1 is the logarithm of the golden ratio where gamma2 is 2:

    >>> f"{hellstrom_durisi_linear(0.05, [0.01, 0.03], np.log((1 + 5**0.5) / 2)):.10f}"  # 0.1 + 0.02 / 0.4812
    '0.1415617384'
    """
    gamma1 = _GAMMA1.check(gamma1)
    return linear_bound(train_risk, gamma1, mean_up(nonnegative("e_cmi", e_cmi), 0), gamma1)


@theorem(
    statement=r"\max\{M(a,b),\,M(1-a,1-b)\} \le \frac1n\sum_{i=1}^{n} I(\Delta L_i;U_i),\quad "
    r"M(a,b)=a\ln\tfrac{2a}{a+b}+b\ln\tfrac{2b}{a+b},\ a=\mathbb{E}L_{\mathrm{train}},\ b=\mathbb{E}L_{\mathrm{ghost}}",
    formula="max(M(a, b), M(1-a, 1-b)) <= (1/n) sum_i I(dL_i;U_i), M(a, b) = a ln(2a/(a+b)) + b ln(2b/(a+b)), "
    "a = E L_train, b = E L_ghost",
    predictor="algorithm average",
    kind="expectation",
    averages_over=EACH_SUPERSAMPLE,
    ghost_losses=True,
    quantity=SUPERSAMPLE_RISK,
    assumes=CONDITIONS,
    reference="WangMao2023",
    locator="loss differences, with every linear bound at once",
    restates="For a 0-1 loss it is the risk itself where all pairs are alike, swapping their examples changes nothing, "
    "and no predictor errs on both.",
)
def sharp_ld_cmi(train_risk: ArrayLike, ld_cmi: ArrayLike) -> Float64:
    """Bound the risk by the largest value that train risk and information about the mask allow.

    For every supersample of n pairs and every algorithm, on average over the mask and the algorithm's randomness, with
    a = E L_train, b = E L_ghost and M(a, b) = a ln(2a / (a + b)) + b ln(2b / (a + b)): neither M(a, b) nor
    M(1 - a, 1 - b) exceeds (1/n) sum_i I(dL_i;U_i); the result is the largest b that this allows.

    Parameters
    ----------
    train_risk : array_like, shape (...)
        E L_train for the supersample given, or an upper bound of it, in [0, 1].
    ld_cmi : array_like, shape (..., n)
        I(dL_i;U_i) in nats for the supersample given, or an upper bound of it, in [0, inf]; ln 2 at most.

    Returns
    -------
    float64 or ndarray, shape (...)
        Upper bound on E L_ghost, rounded up, in [train_risk, 1].

    Raises
    ------
    ValueError
        If an argument is NaN or outside its range.

    Notes
    -----
    Proof: let exp(s) + exp(t) <= 2 with s >= 0 >= t, and e = ghost - train. Then s ghost + t train is at most s e where
    e >= 0 and -t e where e < 0, since s + t <= 0: a function of dL_i and U_i. For a coin that is independent of dL_i
    the mean of its exponential is (exp(s |dL_i|) + exp(t |dL_i|)) / 2, convex in |dL_i| and at most 1 at both ends. By
    Donsker and Varadhan s b + t a <= (1/n) sum_i I(dL_i;U_i); the largest left side is M(a, b). The same with 1 minus
    the losses gives M(1 - a, 1 - b), which is the larger one where a + b > 1.

    Nothing smaller follows from those two numbers: for one pair of examples, a 0-1 loss and any b in [a, 1], errors on
    one example of the pair, and on both or none, can be drawn so that I(dL_1;U_1) is that maximum. So the bound is
    never above those by linear combinations, by the binary relative entropy or by sqrt(2 I) that use as much: it is
    b = I / ln 2 at a = 0, and a + I + sqrt(I^2 + 4 a I) at most. Averages over supersamples may be passed.

    Examples
    --------
    Errors on a quarter of the ghosts and no other tell a quarter of the mask:

    >>> f"{sharp_ld_cmi(0.0, [np.log(2), 0.0, 0.0, 0.0]):.10f}"
    '0.2500000000'
    >>> f"{sharp_ld_cmi(0.05, [0.02]):.6f} {hellstrom_durisi_kl(0.05, [0.02]):.6f}"
    '0.134259 0.161500'
    """
    return risk_pair_upper(train_risk, mean_up(nonnegative("ld_cmi", ld_cmi), 0))
