r"""Bounds by what the output tells about the one example, of n + 1, that it was not trained on.

A supersample is n + 1 examples z~; U is uniform on their places; W is what the algorithm makes of the n that are left
when z~_U is taken out. L_train is the average loss of W on those n, L_ghost its loss on z~_U, and I(W;U) the mutual
information for the one supersample given, in nats. Averages are over U and the algorithm's randomness. With independent
examples and an algorithm that sees nothing of z~_U, the averages over supersamples of E L_train and E L_ghost are E L_S
and E L_mu. The information of the n + 1 predictions, or of the n + 1 losses, may take the place of I(W;U), and is never
larger.

All n + 1 trainings are enough to know every law that enters, for an algorithm without randomness of its own.
"""

import numpy as np
from numpy.typing import ArrayLike

from genbounds.numerics import Float64, count, leave_one_out_upper, nonnegative, round_up
from genbounds.theorems import Assumption, theorem
from genbounds.theorems.quantities import SUPERSAMPLE_GAP, SUPERSAMPLE_RISK

__all__ = ["haghifam_leave_one_out", "sharp_leave_one_out"]

_AVERAGES = "the example left out and the algorithm's randomness, for any one supersample"
_CONDITIONS = (
    Assumption.LEFT_OUT_UNIFORMLY,
    Assumption.LOSS_IN_UNIT_INTERVAL,
    Assumption.INFORMATION_NOT_ESTIMATED,
)


@theorem(
    statement=r"\left|\mathbb{E}[L_{\mathrm{ghost}}-L_{\mathrm{train}}]\right| \le "
    r"\frac{n+1}{n}\sqrt{\frac{I(W;U)}{2}}",
    formula="|E[L_ghost - L_train]| <= (1 + 1/n) sqrt( I(W;U) / 2 )",
    predictor="algorithm average",
    kind="expectation",
    averages_over=_AVERAGES,
    quantity=SUPERSAMPLE_GAP,
    assumes=_CONDITIONS,
    reference="Haghifam2022",
    locator="square-root bound by leave-one-out conditional mutual information, for each supersample",
)
def haghifam_leave_one_out(loo_cmi: ArrayLike, n: ArrayLike) -> Float64:
    """Bound the gap by what the output tells about which example was left out (leave-one-out CMI).

    For every supersample of n + 1 examples and every algorithm, on average over the example left out and the
    algorithm's randomness: |E[L_ghost - L_train]| <= (1 + 1/n) sqrt(I(W;U) / 2).

    Parameters
    ----------
    loo_cmi : array_like
        I(W;U) in nats for the supersample given, or an upper bound of it, in [0, inf]; ln(n + 1) at most.
    n : array_like of int
        Examples trained on, at least 1.

    Returns
    -------
    float64 or ndarray
        Upper bound on |E[L_ghost - L_train]|, rounded up; 1 where the formula exceeds 1.

    Raises
    ------
    ValueError
        If an argument is NaN or outside its range.

    Notes
    -----
    Proof: with losses l_0, ..., l_n on the supersample, L_ghost - L_train is (1 + 1/n) l_U less their sum over n. For U
    independent of W its mean is 0 and its range at most 1 + 1/n; Hoeffding's lemma, Donsker and Varadhan. At n = 1 it
    is `steinke_zakynthinou`.

    Nothing is gained by more examples unless the information falls: for losses that are right on half of the places
    the bound is nearly attained at any n. `sharp_leave_one_out` knows the train risk and is never above it plus this.

    Examples
    --------
    >>> f"{haghifam_leave_one_out(0.08, 4):.12f}"  # 1.25 * 0.2
    '0.250000000000'
    """
    information, n = nonnegative("loo_cmi", loo_cmi), count("n", n)
    return np.minimum(round_up((n + 1) / n * (np.sqrt(information) / np.sqrt(2)), 12), 1.0)


@theorem(
    statement=r"\max\{\mathrm{kl}(b\|m),\,b\ln\tfrac bm+na\ln\tfrac am,\,"
    r"(1-b)\ln\tfrac{1-b}{1-m}+n(1-a)\ln\tfrac{1-a}{1-m}\} \le I(W;U),\quad "
    r"m=\tfrac{b+na}{n+1},\ a=\mathbb{E}L_{\mathrm{train}},\ b=\mathbb{E}L_{\mathrm{ghost}}",
    formula="max(kl(b || m), b ln(b/m) + n a ln(a/m), (1-b) ln((1-b)/(1-m)) + n (1-a) ln((1-a)/(1-m))) <= I(W;U), "
    "m = (b + n a) / (n + 1), a = E L_train, b = E L_ghost",
    predictor="algorithm average",
    kind="expectation",
    averages_over=_AVERAGES,
    restates="For a 0-1 loss without training errors and with the information of the n + 1 losses it is the risk on "
    "the example left out itself, if all places are alike.",
    quantity=SUPERSAMPLE_RISK,
    assumes=_CONDITIONS,
    reference="Haghifam2022",
    locator="leave-one-out conditional mutual information, with relative entropies and for any train risk",
)
def sharp_leave_one_out(train_risk: ArrayLike, loo_cmi: ArrayLike, n: ArrayLike) -> Float64:
    """Bound the risk by what the train risk and the information about the example left out allow.

    For every supersample of n + 1 examples and every algorithm, on average over the example left out and the
    algorithm's randomness, with a = E L_train, b = E L_ghost and m = (b + n a) / (n + 1): none of kl(b || m),
    b ln(b / m) + n a ln(a / m) and (1 - b) ln((1 - b) / (1 - m)) + n (1 - a) ln((1 - a) / (1 - m)) exceeds I(W;U); the
    result is the largest b that this allows.

    Parameters
    ----------
    train_risk : array_like
        E L_train for the supersample given, or an upper bound of it, in [0, 1].
    loo_cmi : array_like
        I(W;U) in nats for the supersample given, or an upper bound of it, in [0, inf]; ln(n + 1) at most.
    n : array_like of int
        Examples trained on, at least 1.

    Returns
    -------
    float64 or ndarray
        Upper bound on E L_ghost, rounded up, in [train_risk, 1].

    Raises
    ------
    ValueError
        If an argument is NaN or outside its range.

    Notes
    -----
    Proof, by Donsker and Varadhan for (W, U) each time. Let l_j be the losses. For U independent of W, E exp(t l_U) is
    at most 1 - M + M exp(t) with M the average loss, by convexity; the best t gives kl(b || m), as for
    `hellstrom_durisi_kl`. Second, let exp(s) + n exp(t) = n + 1. The mean of exp(s l_U + t (sum of the others)) is
    convex in the losses; where k of them are 1 and the others 0 it is k q^(k-1) - (k - 1) q^k with q = exp(t), and that
    is at most 1 for every q >= 0. So s b + n t a <= I(W;U), and the largest left side is b ln(b / m) + n a ln(a / m).
    Third, the same with 1 minus the losses.

    At train risk 0 the bound is I(W;U) / ln(n + 1), the published form for interpolating algorithms. At n = 1 the
    second and third are those of `sharp_ld_cmi`, and the first is never above them.

    Examples
    --------
    >>> f"{sharp_leave_one_out(0.0, np.log(10) / 4, 9):.10f}"
    '0.2500000000'
    >>> f"{sharp_leave_one_out(0.1, 0.1, 9):.6f} {0.1 + haghifam_leave_one_out(0.1, 9):.6f}"
    '0.284537 0.348452'
    """
    return leave_one_out_upper(train_risk, nonnegative("loo_cmi", loo_cmi), n)
