r"""Bounds on the gap by how much a difference of losses depends on its coin, in several senses, and by its size.

Notation as in `genbounds.information.samplewise`, for one supersample given; on one pair let x = dL_i. Because the coin
U_i is fair, the density of the law of (x, U_i) with respect to the product of its marginals is 1 + (-1)^U_i r(x) with
-1 <= r <= 1. The part of the pair in the gap is E[(-1)^U_i x] = E[x r(x)], and every f-information is an average of an
even function of r(x):

    chi^2 = E r^2,    I = E phi(r),    H^2 = E[2 - sqrt(1 + r) - sqrt(1 - r)],    JS = E[phi(r) / 2 - phi(r / 2)]

with phi(r) = ((1 + r) ln(1 + r) + (1 - r) ln(1 - r)) / 2. E[x r(x)]^2 <= E x^2 E r^2 by Cauchy's and Schwarz's
inequality. All four functions are power series in r^2 with non-negative coefficients, so that E r^2 is at most the
value of r^2 at which the function takes its average (Jensen), and at most that average over the first coefficient.

Difference from the literature (Wang and Mao, 2024), where the variational form of an f-divergence is used: there the
bounds by I, H^2 and JS have E x^2 and a part of |gap| where E x^2 stands here, and depend on the gap that they bound.
Solved for it they are larger than these. The constant of the bound by JS is 8 in place of 16.

E x^2 is at most 1, and at most train risk plus risk for a 0-1 loss: for a small risk these are bounds of fast rate.
"""

import numpy as np
from numpy.typing import ArrayLike

from genbounds.information.conditional import CONDITIONS, EACH_SUPERSAMPLE
from genbounds.numerics import Float64, coin_bias_upper, mean_up, nonnegative
from genbounds.theorems import theorem
from genbounds.theorems.quantities import SUPERSAMPLE_GAP

__all__ = ["wang_mao_chi_squared", "wang_mao_hellinger", "wang_mao_jensen_shannon", "wang_mao_variance"]


@np.errstate(over="ignore", invalid="ignore")  # to infinity, an upper bound; 0 times infinity is 0
def _gap(squared_differences: ArrayLike, slope: Float64) -> Float64:
    """Return the mean over pairs of sqrt(E x^2) times an upper limit of sqrt(E r^2), which is known to 14 units."""
    sizes = np.sqrt(nonnegative("squared_differences", squared_differences))
    terms = sizes * slope
    return np.minimum(mean_up(np.where((sizes > 0) & (slope > 0), terms, 0.0), 20), 1.0)


@theorem(
    statement=r"\left|\mathbb{E}[L_{\mathrm{ghost}}-L_{\mathrm{train}}]\right| \le "
    r"\frac1n\sum_{i=1}^{n}\sqrt{\mathbb{E}[\Delta L_i^2]}\,\rho(I(\Delta L_i;U_i)) \le "
    r"\frac1n\sum_{i=1}^{n}\sqrt{2\,\mathbb{E}[\Delta L_i^2]\,I(\Delta L_i;U_i)},\quad "
    r"\mathrm{kl}\!\left(\tfrac{1+\rho(I)}{2}\middle\|\tfrac12\right)=I",
    formula="|E[L_ghost - L_train]| <= (1/n) sum_i sqrt(E dL_i^2) r_i <= (1/n) sum_i sqrt( 2 E[dL_i^2] I(dL_i;U_i) ), "
    "kl((1 + r_i) / 2 || 1/2) = I(dL_i;U_i)",
    predictor="algorithm average",
    kind="expectation",
    averages_over=EACH_SUPERSAMPLE,
    ghost_losses=True,
    quantity=SUPERSAMPLE_GAP,
    assumes=CONDITIONS,
    reference="WangMao2024",
    locator="Theorem 3.1 (mutual information), without the gap on the right-hand side",
)
def wang_mao_variance(squared_differences: ArrayLike, ld_cmi: ArrayLike) -> Float64:
    """Bound the gap by the size of the differences of losses and what they tell about the mask.

    For every supersample of n pairs and every algorithm, on average over the mask and the algorithm's randomness:
    |E[L_ghost - L_train]| <= (1/n) sum_i sqrt(E dL_i^2) r_i, where kl((1 + r_i) / 2 || 1/2) = I(dL_i;U_i). Each r_i is
    at most 1 and at most sqrt(2 I(dL_i;U_i)).

    Parameters
    ----------
    squared_differences : array_like, shape (..., n)
        E dL_i^2 for the supersample given, or upper bounds such as 1, in [0, inf].
    ld_cmi : array_like, shape (..., n)
        I(dL_i;U_i) in nats for the supersample given, or an upper bound such as I(F_i;U_i), in [0, inf].

    Returns
    -------
    float64 or ndarray, shape (...)
        Upper bound on |E[L_ghost - L_train]|, rounded up; 1 where the formula exceeds 1.

    Raises
    ------
    ValueError
        If an argument is NaN or negative, or there is no last axis.

    Notes
    -----
    Proof: the module's, with phi(r) = kl((1 + r) / 2 || 1/2), inverted exactly; phi(r) >= r^2 / 2 gives the root.

    Difference from the paper: sqrt(2 (E dL_i^2 + |gap_i|) I) there, and I + sqrt((I + 2 E dL_i^2) I) solved for the
    gap; neither is ever smaller. With 1 for E dL_i^2 it is at most `wang_mao_differences`, and 1 where the roots there
    are sqrt(2 ln 2) = 1.177. Attained if |dL_i| is constant.

    Examples
    --------
    A pair that is told apart for certain, by an error on its ghost, and three without errors:

    >>> f"{wang_mao_variance([1, 0, 0, 0], [np.log(2), 0, 0, 0]):.10f}"
    '0.2500000000'
    """
    return _gap(squared_differences, coin_bias_upper(nonnegative("ld_cmi", ld_cmi)))


@theorem(
    statement=r"\left|\mathbb{E}[L_{\mathrm{ghost}}-L_{\mathrm{train}}]\right| \le "
    r"\frac1n\sum_{i=1}^{n}(2-H_i^2)\sqrt{\mathbb{E}[\Delta L_i^2]\,H_i^2\,(1-H_i^2/4)} \le "
    r"\frac1n\sum_{i=1}^{n}2\sqrt{\mathbb{E}[\Delta L_i^2]\,H_i^2}",
    formula="|E[L_ghost - L_train]| <= (1/n) sum_i (2 - H_i^2) sqrt( E[dL_i^2] H_i^2 (1 - H_i^2 / 4) ) "
    "<= (1/n) sum_i 2 sqrt( E[dL_i^2] H_i^2 )",
    predictor="algorithm average",
    kind="expectation",
    averages_over=EACH_SUPERSAMPLE,
    ghost_losses=True,
    quantity=SUPERSAMPLE_GAP,
    assumes=CONDITIONS,
    reference="WangMao2024",
    locator="Theorem 3.2 (squared Hellinger information), without the gap on the right-hand side",
)
def wang_mao_hellinger(squared_differences: ArrayLike, ld_hellinger: ArrayLike) -> Float64:
    """Bound the gap by the size of the differences of losses and their squared Hellinger information about the mask.

    For every supersample of n pairs and every algorithm, on average over the mask and the algorithm's randomness:
    |E[L_ghost - L_train]| <= (1/n) sum_i (2 - H_i^2) sqrt(E[dL_i^2] H_i^2 (1 - H_i^2 / 4)), where H_i^2 is the integral
    of (sqrt(p) - sqrt(q))^2 for the law p of (dL_i, U_i) and the product q of its marginals.

    Parameters
    ----------
    squared_differences : array_like, shape (..., n)
        E dL_i^2 for the supersample given, or upper bounds such as 1, in [0, inf].
    ld_hellinger : array_like, shape (..., n)
        H_i^2 for the supersample given, or upper bounds of it, in [0, inf]; 2 - sqrt(2) at most.

    Returns
    -------
    float64 or ndarray, shape (...)
        Upper bound on |E[L_ghost - L_train]|, rounded up; 1 where the formula exceeds 1.

    Raises
    ------
    ValueError
        If an argument is NaN or negative, or there is no last axis.

    Notes
    -----
    Proof: the module's; h = 2 - sqrt(1 + r) - sqrt(1 - r) solved for r^2 is (2 - h)^2 h (1 - h / 4), at most 4h.

    Difference from the paper: sqrt((4 E dL_i^2 + 2 |gap_i|) H_i^2) there. Attained if |dL_i| is constant.

    Examples
    --------
    A pair that is told apart for certain has H^2 = 2 - sqrt(2):

    >>> f"{wang_mao_hellinger([1, 0], [2 - 2**0.5, 0]):.10f}"
    '0.5000000000'
    """
    # The largest h there is makes r^2 = 1, and so does all that is above it.
    h = np.minimum(nonnegative("ld_hellinger", ld_hellinger), 2 - np.sqrt(2))
    return _gap(squared_differences, (2 - h) * np.sqrt(h * (1 - h / 4)))


@theorem(
    statement=r"\left|\mathbb{E}[L_{\mathrm{ghost}}-L_{\mathrm{train}}]\right| \le "
    r"\frac1n\sum_{i=1}^{n}\sqrt{8\,\mathbb{E}[\Delta L_i^2]\,\mathrm{JS}_i}",
    formula="|E[L_ghost - L_train]| <= (1/n) sum_i sqrt( 8 E[dL_i^2] JS_i )",
    predictor="algorithm average",
    kind="expectation",
    averages_over=EACH_SUPERSAMPLE,
    ghost_losses=True,
    quantity=SUPERSAMPLE_GAP,
    assumes=CONDITIONS,
    reference="WangMao2024",
    locator="Theorem 3.3 (Jensen-Shannon information), without the gap on the right and with half the constant",
)
def wang_mao_jensen_shannon(squared_differences: ArrayLike, ld_jensen_shannon: ArrayLike) -> Float64:
    """Bound the gap by the size of the differences of losses and their Jensen-Shannon information about the mask.

    For every supersample of n pairs and every algorithm, on average over the mask and the algorithm's randomness:
    |E[L_ghost - L_train]| <= (1/n) sum_i sqrt(8 E[dL_i^2] JS_i), where JS_i is the mean of the relative entropies to
    their average of the law of (dL_i, U_i) and of the product of its marginals.

    Parameters
    ----------
    squared_differences : array_like, shape (..., n)
        E dL_i^2 for the supersample given, or upper bounds such as 1, in [0, inf].
    ld_jensen_shannon : array_like, shape (..., n)
        JS_i in nats for the supersample given, or upper bounds of it, in [0, inf].

    Returns
    -------
    float64 or ndarray, shape (...)
        Upper bound on |E[L_ghost - L_train]|, rounded up; 1 where the formula exceeds 1.

    Raises
    ------
    ValueError
        If an argument is NaN or negative, or there is no last axis.

    Notes
    -----
    Proof: the module's; phi(r) / 2 - phi(r / 2) = r^2 / 8 + 7 r^4 / 192 + ...

    Difference from the paper: 2 sqrt((4 E dL_i^2 + |gap_i|) JS_i) there, which is more than sqrt(2) times this bound.

    Examples
    --------
    >>> f"{wang_mao_jensen_shannon([1.0, 0.25], [0.02, 0.02]):.12f}"  # (0.4 + 0.2) / 2
    '0.300000000000'
    """
    divergence = nonnegative("ld_jensen_shannon", ld_jensen_shannon)
    with np.errstate(over="ignore"):  # to infinity, an upper bound
        return _gap(squared_differences, np.sqrt(8 * divergence))


@theorem(
    statement=r"\left|\mathbb{E}[L_{\mathrm{ghost}}-L_{\mathrm{train}}]\right| \le "
    r"\frac1n\sum_{i=1}^{n}\sqrt{\mathbb{E}[\Delta L_i^2]\,\chi^2_i}",
    formula="|E[L_ghost - L_train]| <= (1/n) sum_i sqrt( E[dL_i^2] chi^2_i )",
    predictor="algorithm average",
    kind="expectation",
    averages_over=EACH_SUPERSAMPLE,
    ghost_losses=True,
    restates="For a 0-1 loss each term is the gap on its pair, if swapping the two examples changes nothing.",
    quantity=SUPERSAMPLE_GAP,
    assumes=CONDITIONS,
    reference="WangMao2024",
    locator="conditional f-information with chi^2",
)
def wang_mao_chi_squared(squared_differences: ArrayLike, ld_chi_squared: ArrayLike) -> Float64:
    """Bound the gap by the size of the differences of losses and their chi-squared information about the mask.

    For every supersample of n pairs and every algorithm, on average over the mask and the algorithm's randomness:
    |E[L_ghost - L_train]| <= (1/n) sum_i sqrt(E[dL_i^2] chi^2_i), where chi^2_i is the chi-squared divergence of the
    law of (dL_i, U_i) from the product of its marginals.

    Parameters
    ----------
    squared_differences : array_like, shape (..., n)
        E dL_i^2 for the supersample given, or upper bounds such as 1, in [0, inf].
    ld_chi_squared : array_like, shape (..., n)
        chi^2_i for the supersample given, or upper bounds of it, in [0, inf]; 1 at most.

    Returns
    -------
    float64 or ndarray, shape (...)
        Upper bound on |E[L_ghost - L_train]|, rounded up; 1 where the formula exceeds 1.

    Raises
    ------
    ValueError
        If an argument is NaN or negative, or there is no last axis.

    Notes
    -----
    Proof: the module's, Cauchy's and Schwarz's inequality alone; never above the bounds by the other f-informations.
    For a 0-1 loss dL_i is -1, 0 or 1. If swapping the examples of the pair changes nothing, as on average over
    independent pairs, r is odd, so that it is a multiple of dL_i, and there is equality.

    Examples
    --------
    >>> f"{wang_mao_chi_squared([1.0, 0.25], [0.16, 0.16]):.12f}"  # (0.4 + 0.2) / 2
    '0.300000000000'
    """
    return _gap(squared_differences, np.sqrt(nonnegative("ld_chi_squared", ld_chi_squared)))
