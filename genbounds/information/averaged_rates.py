r"""Bounds on the expected risk by information on average over supersamples, of fast rate where the train risk is small.

Notation as in `genbounds.information.averaged`, proofs as in `genbounds.information.fast_rates`, with laws over all
supersamples. The train risk is E L_S, the average over samples. For a 0-1 loss and an algorithm that treats its
examples alike, `dong` is E L_mu itself, as is `wang_mao_interpolation` at train risk 0, because the information was
measured with the losses on ghosts: such numbers restate the test error.

Left out are bounds by the variance of the training loss or its flatness: of the form
E L_mu <= E L_S + C1 E[L_S - (1 - g^2) L_S^2] + I / C2 under exp(2 C2) + exp(-2 C2 (1 + C1 g^2)) <= 2. As
L - (1 - g^2) L^2 >= g^2 L on [0, 1], they are never below `wang_mao_fast` at the same C2.
"""

import numpy as np
from numpy.typing import ArrayLike

from genbounds.information.averaged import ALL_SUPERSAMPLES, AVERAGED
from genbounds.information.fast_rates import kl_root, linear_bound
from genbounds.numerics import (
    Float64,
    jensen_shannon_upper,
    mean_up,
    nonnegative,
    risk_pair_upper,
    round_up,
    unit_interval,
)
from genbounds.theorems import Free, theorem
from genbounds.theorems.quantities import RISK

__all__ = [
    "dong",
    "hellstrom_durisi_kl_averaged",
    "sharp_ld_mi",
    "wang_mao_closed",
    "wang_mao_fast",
    "wang_mao_interpolation",
]

_C2 = Free("C2", 0.0, float(np.log(2)) / 2, "Weighs the information against the train risk.")


@theorem(
    statement=r"\mathrm{kl}\!\left(\mathbb{E}L_S\,\middle\|\,\tfrac12\mathbb{E}[L_S+L_\mu]\right) \le "
    r"\frac1n\sum_{i=1}^{n} I(\Lambda_i;U_i)",
    formula="kl( E L_S || (E L_S + E L_mu) / 2 ) <= (1/n) sum_i I(Lam_i;U_i)",
    predictor="algorithm average",
    kind="expectation",
    averages_over=ALL_SUPERSAMPLES,
    ghost_losses=True,
    quantity=RISK,
    assumes=AVERAGED,
    reference="HellstromDurisi2022",
    locator="Theorem 5 (binary KL), not conditioned on the supersample",
)
def hellstrom_durisi_kl_averaged(train_risk: ArrayLike, e_mi: ArrayLike) -> Float64:
    """Bound the expected risk by inverting the binary relative entropy, with information over all supersamples.

    For every distribution of the data and every algorithm, on average over supersamples, masks and the algorithm's
    randomness: kl(E L_S || (E L_S + E L_mu) / 2) <= (1/n) sum_i I(Lam_i;U_i); the result is the largest E L_mu that
    this allows.

    Parameters
    ----------
    train_risk : array_like, shape (...)
        E L_S(W), or an upper bound of it, in [0, 1].
    e_mi : array_like, shape (..., n)
        I(Lam_i;U_i) in nats over all supersamples, or an upper bound of it, in [0, inf]; ln 2 at most.

    Returns
    -------
    float64 or ndarray, shape (...)
        Upper bound on E L_mu(W), rounded up, in [train_risk, 1]: min(1, 2 kl+(E L_S, I) - E L_S).

    Raises
    ------
    ValueError
        If an argument is NaN or outside its range.

    Notes
    -----
    Proof: that of `hellstrom_durisi_kl`. Never above that bound at the averages over supersamples, as the information
    is not; never below `sharp_ld_mi`.

    Examples
    --------
    >>> f"{hellstrom_durisi_kl_averaged(0.1, [0.1]):.6f}"
    '0.464758'
    """
    return kl_root(train_risk, mean_up(nonnegative("e_mi", e_mi), 0))


@theorem(
    statement=r"\max\{M(a,b),\,M(1-a,1-b)\} \le \frac1n\sum_{i=1}^{n} I(\Delta L_i;U_i),\quad "
    r"M(a,b)=a\ln\tfrac{2a}{a+b}+b\ln\tfrac{2b}{a+b},\ a=\mathbb{E}L_S,\ b=\mathbb{E}L_\mu",
    formula="max(M(a, b), M(1-a, 1-b)) <= (1/n) sum_i I(dL_i;U_i), M(a, b) = a ln(2a/(a+b)) + b ln(2b/(a+b)), "
    "a = E L_S, b = E L_mu",
    predictor="algorithm average",
    kind="expectation",
    averages_over=ALL_SUPERSAMPLES,
    ghost_losses=True,
    restates="For a 0-1 loss and an algorithm that treats its examples alike it is the risk itself, unless a predictor "
    "may err on both examples of a pair: then it is larger.",
    quantity=RISK,
    assumes=AVERAGED,
    reference="WangMao2023",
    locator="loss differences, with every linear bound at once",
)
def sharp_ld_mi(train_risk: ArrayLike, ld_mi: ArrayLike) -> Float64:
    """Bound the expected risk by the largest value that train risk and information in differences of losses allow.

    For every distribution of the data and every algorithm, on average over supersamples, masks and the algorithm's
    randomness, with a = E L_S, b = E L_mu and M(a, b) = a ln(2a / (a + b)) + b ln(2b / (a + b)): neither M(a, b) nor
    M(1 - a, 1 - b) exceeds (1/n) sum_i I(dL_i;U_i); the result is the largest b that this allows.

    Parameters
    ----------
    train_risk : array_like, shape (...)
        E L_S(W), or an upper bound of it, in [0, 1].
    ld_mi : array_like, shape (..., n)
        I(dL_i;U_i) in nats over all supersamples, or an upper bound of it, in [0, inf]; ln 2 at most.

    Returns
    -------
    float64 or ndarray, shape (...)
        Upper bound on E L_mu(W), rounded up, in [train_risk, 1].

    Raises
    ------
    ValueError
        If an argument is NaN or outside its range.

    Notes
    -----
    Proof: that of `sharp_ld_cmi`. At train risk 0 it is `wang_mao_interpolation`. Never above
    `hellstrom_durisi_kl_averaged`, nor above the train risk plus sqrt(2 I).

    Examples
    --------
    >>> f"{sharp_ld_mi(0.1, [0.1]):.6f}"
    '0.407687'
    """
    return risk_pair_upper(train_risk, mean_up(nonnegative("ld_mi", ld_mi), 0))


@theorem(
    statement=r"\mathbb{E}L_\mu \le (1+C_1)\,\mathbb{E}L_S+\frac{1}{C_2 n}\sum_{i=1}^{n} I(L_i^{+};U_i),"
    r"\quad 1+C_1=\frac{-\ln(2-e^{2C_2})}{2C_2}",
    formula="E L_mu <= (1 + C1) E L_S + (1/n) sum_i I(L_i^+;U_i) / C2, 1 + C1 = -ln(2 - exp(2 C2)) / (2 C2)",
    predictor="algorithm average",
    kind="expectation",
    averages_over=ALL_SUPERSAMPLES,
    ghost_losses=True,
    quantity=RISK,
    uniform_over="C2",
    assumes=AVERAGED,
    reference="WangMao2023",
    locator="Theorem 4.3 (fast rate)",
    parameters=(_C2,),
)
def wang_mao_fast(train_risk: ArrayLike, single_loss_mi: ArrayLike, C2: ArrayLike) -> Float64:
    """Bound the expected risk by a multiple of the train risk and of the information in single losses.

    For every distribution of the data, every algorithm and every C2 in (0, ln(2) / 2), on average over supersamples,
    masks and the algorithm's randomness: E L_mu <= (1 + C1) E L_S + (1/n) sum_i I(L_i^+;U_i) / C2 with
    1 + C1 = -ln(2 - exp(2 C2)) / (2 C2).

    Parameters
    ----------
    train_risk : array_like, shape (...)
        E L_S(W), or an upper bound of it, in [0, 1].
    single_loss_mi : array_like, shape (..., n)
        I(L_i^+;U_i) in nats over all supersamples, or an upper bound of it, in [0, inf]; ln 2 at most.
    C2 : array_like, shape (...)
        Free, in (0, ln(2) / 2).

    Returns
    -------
    float64 or ndarray, shape (...)
        Upper bound on E L_mu(W), rounded up; 1 where the formula exceeds 1.

    Raises
    ------
    ValueError
        If an argument is NaN or outside its range.

    Notes
    -----
    Proof: a pair's part in E L_mu - c E L_S is E 2 L_i^+ where U_i = 1 and -E 2 c L_i^+ where U_i = 0. For a coin that
    is independent of L_i^+, the mean of the exponential of C2 times that is convex in L_i^+ and at most 1 at both ends
    if exp(2 C2) + exp(-2 c C2) <= 2. Donsker and Varadhan.

    Never below `dong`. At its best C2 it solves M(E L_S, b) = 2 I (see `sharp_ld_mi`).

    Examples
    --------
    >>> f"{wang_mao_fast(0.05, [0.01, 0.03], 0.2):.6f}"
    '0.184616'
    """
    C2 = _C2.check(C2)
    return linear_bound(train_risk, 2 * C2, mean_up(nonnegative("single_loss_mi", single_loss_mi), 0), C2)


@theorem(
    statement=r"\mathbb{E}L_\mu \le \mathbb{E}L_S+2I+2\sqrt{I^2+2I\,\mathbb{E}L_S},"
    r"\quad I=\frac1n\sum_{i=1}^{n} I(L_i^{+};U_i)",
    formula="E L_mu <= E L_S + 2 I + 2 sqrt( I^2 + 2 I E L_S ), I = (1/n) sum_i I(L_i^+;U_i)",
    predictor="algorithm average",
    kind="expectation",
    averages_over=ALL_SUPERSAMPLES,
    ghost_losses=True,
    quantity=RISK,
    assumes=AVERAGED,
    reference="WangMao2023",
    locator="corollary of the fast-rate bound, with smaller constants",
)
def wang_mao_closed(train_risk: ArrayLike, single_loss_mi: ArrayLike) -> Float64:
    """Bound the expected risk by the train risk and the information in single losses, in closed form.

    For every distribution of the data and every algorithm, on average over supersamples, masks and the algorithm's
    randomness, with I = (1/n) sum_i I(L_i^+;U_i): E L_mu <= E L_S + 2 I + 2 sqrt(I^2 + 2 I E L_S).

    Parameters
    ----------
    train_risk : array_like, shape (...)
        E L_S(W), or an upper bound of it, in [0, 1].
    single_loss_mi : array_like, shape (..., n)
        I(L_i^+;U_i) in nats over all supersamples, or an upper bound of it, in [0, inf]; ln 2 at most.

    Returns
    -------
    float64 or ndarray, shape (...)
        Upper bound on E L_mu(W), rounded up; 1 where the formula exceeds 1.

    Raises
    ------
    ValueError
        If an argument is NaN or outside its range.

    Notes
    -----
    Proof: the divergence in `dong` is at least M(a, b) / 2 >= (b - a)^2 / (4 (a + b)) for a = E L_S and b = E L_mu,
    which is a quadratic in b - a.

    Difference from the paper: E L_S + 4 I + 4 sqrt(I E L_S) there, which is never less. Never below `dong` nor, at its
    best C2, `wang_mao_fast`.

    Examples
    --------
    >>> f"{wang_mao_closed(0.0625, [0.1]):.10f}"  # 0.0625 + 0.2 + 2 sqrt(0.01 + 0.0125)
    '0.5625000000'
    """
    train_risk = unit_interval("train_risk", train_risk)
    information = np.minimum(
        mean_up(nonnegative("single_loss_mi", single_loss_mi), 0), 1.0
    )  # the bound is 1 from 1/4 on
    root = np.sqrt(information) * np.sqrt(information + 2 * train_risk)  # so that no square underflows
    return np.minimum(round_up(train_risk + 2 * information + 2 * root, 12), 1.0)


@theorem(
    statement=r"\tfrac12\mathrm{kl}(a\|m)+\tfrac12\mathrm{kl}(b\|m) \le \frac1n\sum_{i=1}^{n} I(L_i^{+};U_i),\quad "
    r"a=\mathbb{E}L_S,\ b=\mathbb{E}L_\mu,\ m=\tfrac{a+b}{2}",
    formula="kl(a || m) / 2 + kl(b || m) / 2 <= (1/n) sum_i I(L_i^+;U_i), a = E L_S, b = E L_mu, m = (a + b) / 2",
    predictor="algorithm average",
    kind="expectation",
    averages_over=ALL_SUPERSAMPLES,
    ghost_losses=True,
    restates="For a 0-1 loss and an algorithm that treats its examples alike it is the risk itself, or, if the risk is "
    "below the train risk, a number above both.",
    quantity=RISK,
    assumes=AVERAGED,
    reference="Dong2025",
    locator="Corollary 3.10 (binary Jensen-Shannon divergence)",
)
def dong(train_risk: ArrayLike, single_loss_mi: ArrayLike) -> Float64:
    """Bound the expected risk by the Jensen-Shannon divergence from the train risk.

    For every distribution of the data and every algorithm, on average over supersamples, masks and the algorithm's
    randomness, with a = E L_S, b = E L_mu and m = (a + b) / 2: kl(a || m) / 2 + kl(b || m) / 2 is at most
    (1/n) sum_i I(L_i^+;U_i); the result is the largest b that this allows.

    Parameters
    ----------
    train_risk : array_like, shape (...)
        E L_S(W), or an upper bound of it, in [0, 1].
    single_loss_mi : array_like, shape (..., n)
        I(L_i^+;U_i) in nats over all supersamples, or an upper bound of it, in [0, inf]; ln 2 at most.

    Returns
    -------
    float64 or ndarray, shape (...)
        Upper bound on E L_mu(W), rounded up, in [train_risk, 1].

    Raises
    ------
    ValueError
        If an argument is NaN or outside its range.

    Notes
    -----
    Proof: given U_i = 0 the loss L_i^+ has the law of a training loss, given U_i = 1 that of a loss on a ghost. Toss a
    coin that shows heads with probability L_i^+: by the data-processing inequality I(L_i^+;U_i) is at least what its
    toss tells about U_i, the divergence between coins E[L_i^+ | U_i = 0] and E[L_i^+ | U_i = 1], which is jointly
    convex. For a 0-1 loss the toss is the loss, and for equal terms the mean is one of them: equality. The average of
    the losses on ghosts would do as well as this number then.

    Never above the train risk plus sqrt(2 I), nor above `wang_mao_fast` at any C2 and `wang_mao_closed`.

    Examples
    --------
    >>> f"{dong(0.2, [0.01]):.6f}"
    '0.323911'
    """
    return jensen_shannon_upper(train_risk, mean_up(nonnegative("single_loss_mi", single_loss_mi), 0))


@theorem(
    statement=r"\mathbb{E}L_\mu \le \frac{1}{n\ln 2}\sum_{i=1}^{n} I(\Delta L_i;U_i)\quad\text{if }L_S=0",
    formula="E L_mu <= (1/n) sum_i I(dL_i;U_i) / ln 2 if L_S = 0",
    predictor="algorithm average",
    kind="expectation",
    averages_over=ALL_SUPERSAMPLES,
    ghost_losses=True,
    restates="For a 0-1 loss it is the risk itself: each error on a ghost tells one bit.",
    quantity=RISK,
    assumes=AVERAGED,
    reference="WangMao2023",
    locator="interpolating algorithms, loss differences",
)
def wang_mao_interpolation(train_risk: ArrayLike, ld_mi: ArrayLike) -> Float64:
    """Bound the expected risk of an algorithm without training errors by the bits that differences of losses tell.

    For every distribution of the data and every algorithm with L_S = 0, on average over supersamples, masks and the
    algorithm's randomness: E L_mu <= (1/n) sum_i I(dL_i;U_i) / ln 2.

    Parameters
    ----------
    train_risk : array_like, shape (...)
        E L_S(W), in [0, 1]; the bound is 1 unless it is 0.
    ld_mi : array_like, shape (..., n)
        I(dL_i;U_i) in nats over all supersamples, or an upper bound of it, in [0, inf]; ln 2 at most.

    Returns
    -------
    float64 or ndarray, shape (...)
        Upper bound on E L_mu(W), rounded up; 1 where the formula exceeds 1 or the train risk is positive.

    Raises
    ------
    ValueError
        If an argument is NaN or outside its range.

    Notes
    -----
    Proof: where dL_i is not 0 it tells U_i. So I(dL_i;U_i) is at least ln 2 times the probability of that, which is at
    least the expected loss on the ghost. For a 0-1 loss and pairs of independent draws, dL_i = 0 tells nothing, as it
    is equally likely for both values of U_i, and both steps are equalities.

    Examples
    --------
    >>> f"{wang_mao_interpolation(0.0, [0.25 * np.log(2)]):.10f}"
    '0.2500000000'
    """
    train_risk = unit_interval("train_risk", train_risk)
    value = round_up(mean_up(nonnegative("ld_mi", ld_mi), 0) / np.log(2.0), 6)
    return np.minimum(np.where(train_risk > 0, 1.0, value), 1.0)[()]
