"""Margin bounds for a deterministic network: from the norms of its weights and its margins, no draws.

They rank networks more than they certify them: for networks in use they are vacuous by orders of magnitude, and the
certificate says so. What ranks is `spectral_complexity`, a measure: it has no value at which it stops, and proves
nothing.
"""

from math import log, sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genbounds.numerics import Float64, confidence, count, kl_upper, log_xi, nonnegative, round_up, unit_interval
from genbounds.pac_bayes.complexity import complexity
from genbounds.theorems import Assumption, theorem

__all__ = ["bartlett_spectral", "golowich_frobenius", "neyshabur_spectral", "spectral_complexity"]

_ASSUMES = (
    Assumption.IID,
    Assumption.ZERO_ONE_LOSS,
    Assumption.HOMOGENEOUS_NETWORK,
    Assumption.INPUTS_BOUNDED,
    Assumption.STATE_INDEPENDENT_OF_SAMPLE,
)
#: Margins are rounded down to a grid with this many steps for each factor e.
_STEPS = 64
#: Covers of a chain, each half as wide as the one before: more never pay.
_LEVELS = 60
#: A Gaussian matrix of unit variance with at most h rows and columns has a norm of at most 2 sqrt(h) + this with
#: probability at least 1/2.
_TAIL = sqrt(2 * log(2))


def _positive(name: str, value: ArrayLike, remedy: str) -> NDArray[np.float64]:
    array = nonnegative(name, value, remedy)
    if not np.all((array > 0) & (array < np.inf)):
        bad = array[~((array > 0) & (array < np.inf))].ravel()[0]
        raise ValueError(f"{name} must be positive and finite, got {bad}. {remedy}")
    return array


def _norms(
    spectral_norms: ArrayLike, others: ArrayLike, name: str = "frobenius_norms"
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the spectral norm of every layer, and another norm of it."""
    remedy = "A layer of zeros makes a constant network, all of whose margins are 0."
    spectral = np.atleast_1d(_positive("spectral_norms", spectral_norms, remedy))
    other = np.atleast_1d(_positive(name, others, remedy))
    if spectral.shape[-1] != other.shape[-1]:
        raise ValueError(
            f"{name} must have one entry a layer, as spectral_norms, which has {spectral.shape[-1]}, got "
            f"{other.shape[-1]}. List the layers from the input to the output in both."
        )
    return spectral, other


@np.errstate(divide="ignore", over="ignore")
def _divergence(
    spectral: NDArray[np.float64], frobenius: NDArray[np.float64], share: Float64, width: ArrayLike
) -> Float64:
    """Return the KL divergence of weights that, perturbed, use up `share` of the largest output, rounded up."""
    layers = spectral.shape[-1]
    stable_ranks = np.square(frobenius / spectral).sum(axis=-1)
    noise = 2 * np.sqrt(count("width", width)) + _TAIL
    radius = np.expm1(np.log1p(share) / layers)
    # Squares double the errors of exp, log1p, expm1 and sqrt; the sum adds one for each layer.
    return round_up(stable_ranks * np.square(noise / radius) / 2, 60 + layers)


def _log_reach(
    spectral: NDArray[np.float64], margin: ArrayLike, input_norm: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return ln(sqrt(2) B prod_i s_i / margin), by logarithms lest products overflow, and a limit of its error."""
    logs = np.log(spectral)
    reach = np.log(_positive("input_norm", input_norm, "It is a norm that no input exceeds."))
    needed = np.log(_positive("margin", margin, "At margin 0 the perturbed network decides nothing."))
    sizes = np.abs(logs).sum(axis=-1) + np.abs(reach) + np.abs(needed) + 1
    return log(2) / 2 + logs.sum(axis=-1) + reach - needed, sizes * (spectral.shape[-1] + 8) * 2.0**-52


def _step(logarithm: Float64) -> Float64:
    """Return the place on the grid exp(j / 64), j = 1, 2, ..., of a number or the next one above it."""
    return np.maximum(np.ceil(_STEPS * logarithm), 1.0)


def _price(step: Float64) -> Float64:
    """Return what the place costs: ln(j (j + 1)), for the shares 1 / (j (j + 1)) of delta add up to 1."""
    return np.log(step) + np.log1p(step)


def spectral_complexity(
    spectral_norms: ArrayLike, frobenius_norms: ArrayLike, margin: ArrayLike, input_norm: ArrayLike, width: ArrayLike
) -> Float64:
    """Return the complexity term of `neyshabur_spectral` in nats: a measure for ranking networks, not a bound.

    Parameters
    ----------
    spectral_norms : array_like, shape (..., layers)
        Largest singular value of each weight matrix.
    frobenius_norms : array_like, shape (..., layers)
        Frobenius norm of each weight matrix.
    margin : array_like
        Margin that most training examples exceed, positive.
    input_norm : array_like
        Largest Euclidean norm of an input.
    width : array_like of int
        Largest number of rows or columns of a weight matrix.

    Returns
    -------
    float64 or ndarray
        For a small margin about 2 h d^2 (2 B prod_i s_i / margin)^2 sum_i (f_i / s_i)^2, with s_i, f_i the norms, B
        the inputs' norm, h the width and d the number of layers. Without an upper end.

    Raises
    ------
    ValueError
        If an argument is not positive and finite, or the two lists of norms differ in length.

    Examples
    --------
    Scaling one layer up and another one down changes no output, and nothing here:

    >>> print(f"{spectral_complexity([2.0, 3.0], [4.0, 3.0], 1.0, 1.0, 100):.1f}")
    1329412.8
    >>> print(f"{spectral_complexity([1.0, 6.0], [2.0, 6.0], 1.0, 1.0, 100):.1f}")
    1329412.8
    """
    spectral, frobenius = _norms(spectral_norms, frobenius_norms)
    reach, error = _log_reach(spectral, margin, input_norm)
    return _divergence(spectral, frobenius, np.exp(-reach - error) / 2, width)


@theorem(
    statement=r"R(f_W) \le \mathrm{kl}^{+}\!\left(r_\gamma(f_W),\ \frac{K+d\ln 2+\ln(j(j+1))+\ln(\xi(n)/\delta)}{n}"
    r"\right),\quad K=\frac{(2\sqrt h+\sqrt{2\ln 2})^2}{2\,((1+e^{-j/64}/2)^{1/d}-1)^2}\sum_{i=1}^d"
    r"\frac{\|W_i\|_F^2}{\|W_i\|_2^2},\quad j=\max\!\Big(1,\Big\lceil 64\ln\frac{\sqrt2\,B\prod_i\|W_i\|_2}{\gamma}"
    r"\Big\rceil\Big)",
    formula="R(f) <= kl+( r_margin(f), [K + d ln 2 + ln(j (j + 1)) + ln(xi(n) / delta)] / n ), "
    "K = (2 sqrt(h) + sqrt(2 ln 2))^2 sum_i (frobenius_i / spectral_i)^2 / (2 ((1 + exp(-j/64) / 2)^(1/d) - 1)^2), "
    "j = max(1, ceil(64 ln(sqrt(2) B prod_i spectral_i / margin)))",
    predictor="deterministic",
    uniform_over="networks of d layers and width h, and margins",
    assumes=_ASSUMES,
    reference="Neyshabur2018",
    locator="Theorem 1 by Lemmas 1 and 2, every step with its constant and the steps named in the notes sharpened",
)
def neyshabur_spectral(
    margin_risk: ArrayLike,
    spectral_norms: ArrayLike,
    frobenius_norms: ArrayLike,
    margin: ArrayLike,
    input_norm: ArrayLike,
    width: ArrayLike,
    n: ArrayLike,
    delta: ArrayLike,
) -> Float64:
    """Bound the 0-1 risk of a ReLU network by its margins and the norms of its weights.

    Let f_W(x) = W_d phi(W_{d-1} ... phi(W_1 x)) give one score a class, phi acting on coordinates, 1-Lipschitz and
    positively homogeneous (ReLU, leaky ReLU). For every distribution of the data, every number of layers d, a width h
    that no W_i exceeds in rows or columns, and a norm B that no input exceeds, all fixed before the sample: with
    probability at least 1 - delta over n independent examples, simultaneously for all weights W and all margins
    gamma > 0: the formula, where r_gamma(f_W) is the share of examples whose score exceeds the best other score by
    gamma or less.

    Parameters
    ----------
    margin_risk : array_like
        Share of the n examples with a margin of at most `margin`, in [0, 1].
    spectral_norms : array_like, shape (..., layers)
        Largest singular value of each W_i or an upper limit of it, positive. For a convolution, of the matrix that
        it stands for.
    frobenius_norms : array_like, shape (..., layers)
        Frobenius norm of each W_i or an upper limit of it, positive.
    margin : array_like
        Gamma, positive; choose it after seeing the sample.
    input_norm : array_like
        B: a norm that no input of the distribution exceeds, positive.
    width : array_like of int
        h: at least the rows and the columns of every W_i.
    n : array_like of int
        Examples that `margin_risk` counts, at least 1.
    delta : array_like
        Probability with which the bound may fail, in (0, 1).

    Returns
    -------
    float64 or ndarray
        Upper bound on the risk of the network itself, rounded up, in [margin_risk, 1].

    Raises
    ------
    ValueError
        If an argument is NaN or outside its range, or the two lists of norms differ in length.

    Notes
    -----
    Proof. With V_i = W_i / s_i, s_i at least the spectral norm, f_V is f_W / prod_i s_i: the same predictions, margins
    in proportion. So let every layer have norm at most 1, and let m = gamma / (B prod_i s_i) be the margin over B. A
    margin is at most sqrt(2) times the norm of the scores, hence at most sqrt(2) B: for m >= sqrt(2) all examples
    count and there is nothing to prove.

    (1) Fix m. Perturb each V_i by U_i with |U_i| <= tau. Replacing the layers one by one, outputs move by at most
    sum_i (1 + tau)^(d-i) tau B = ((1 + tau)^d - 1) B, and margins by at most sqrt(2) times that, which is m B / 2
    for tau = (1 + m / (2 sqrt 2))^(1/d) - 1. So a network in error has, perturbed, a margin of at most m B / 2, and
    a perturbed margin of at most m B / 2 had been at most m B: R(f_V) <= R_{mB/2}(f_{V+U}) and
    r_{mB/2}(f_{V+U}) <= r_{mB}(f_V) for all such U.

    (2) Prior N(0, sigma^2) on all weights, with sigma = tau / (2 sqrt(h) + sqrt(2 ln 2)); posterior: the same law
    moved to V, conditioned on all |U_i| <= tau. For a Gaussian matrix |U_i| > sigma (sqrt(rows) + sqrt(columns) + t)
    has probability at most exp(-t^2 / 2), so the condition has probability at least 2^-d. Its set is symmetric,
    E<V, U> = 0 in it, and the divergence is exactly sum_i |V_i|_F^2 / (2 sigma^2) minus the logarithm of that
    probability: at most K + d ln 2. `seeger_xi` for the loss "margin at most m B / 2" and (1) give the formula.

    (3) The prior depends on m alone. For m_j = sqrt(2) exp(-j / 64), j = 1, 2, ..., at a share delta / (j (j + 1)),
    all hold at once; gamma is rounded down to the next m_j, where fewer examples count, not more.

    Difference from the paper, each step sharper: the divergence of the conditioned posterior is computed rather than
    doubled; the kl inverse with xi(n) replaces 4 sqrt(. / (n - 1)); a Gaussian matrix has norm 2 sqrt(h) + t
    (Davidson and Szarek 2001, Theorem II.13), not sqrt(2 h ln(4 d h)); outputs move by (1 + tau)^d - 1, not e d tau,
    with no condition on tau; rescaling to norm 1 turns the cover of the norms, d n^(1/(2d)) points, into one of the
    margin, so that this may be chosen on the sample. The paper's sigma is gamma / (42 d B b^(d-1) sqrt(h ln(4 d h)))
    for layers of norm b. At one and the same margin the divergence here is smaller by a factor of 57 at d = 1, h = 2
    and of several hundred for networks in use, and the paper multiplies its own by 16.

    Not covered: networks with biases, residual branches, attention or normalisation layers; inputs above B.

    Examples
    --------
    One layer on the line, scores (x, -x) with x = 1 or x = -1, no margin below 1.9 and no input above 1:

    >>> print(f"{neyshabur_spectral(0.0, [2**0.5], [2**0.5], 1.9, 1.0, 2, 1000, 0.05):.4f}")
    0.0457

    Three layers as they come out of training are far too large:

    >>> print(neyshabur_spectral(0.01, [4.0, 5.0, 6.0], [15.0, 18.0, 9.0], 10.0, 28.0, 784, 60_000, 0.05))
    1.0
    """
    spectral, frobenius = _norms(spectral_norms, frobenius_norms)
    layers = spectral.shape[-1]
    reach, error = _log_reach(spectral, margin, input_norm)
    step = _step(reach + error)
    divergence = _divergence(spectral, frobenius, np.exp(-step / _STEPS) / 2, width)
    paid = round_up(divergence + layers * log(2) + _price(step), 12)
    return kl_upper(unit_interval("margin_risk", margin_risk), complexity(paid, n, delta, log_xi))


@theorem(
    statement=r"R(f_W) \le r_\gamma(f_W)+\min_{J\ge 1}\Big\{\frac{15\,J\,A\sqrt{\ln(2h^2)}}{m\sqrt n}+2^{-J}\Big\}"
    r"+\sqrt{\frac{\ln\frac1\delta+\ln(j(j+1))+\sum_i\ln(k_i(k_i+1))}{2n}},\quad "
    r"A=\Big(\sum_{i=1}^d e^{k_i/96}\Big)^{3/2},\quad m=\sqrt2\,e^{-j/64},\quad "
    r"j=\max\!\Big(1,\Big\lceil64\ln\frac{\sqrt2\,B\prod_i\|W_i\|_2}{\gamma}\Big\rceil\Big),\quad "
    r"k_i=\max\!\Big(1,\Big\lceil64\ln\frac{\|W_i^T\|_{2,1}}{\|W_i\|_2}\Big\rceil\Big)",
    formula="R(f) <= r_margin(f) + min_J { 15 J A sqrt(ln(2 h^2)) / (m sqrt(n)) + 2^-J } "
    "+ sqrt( [ln(1/delta) + ln(j (j + 1)) + sum_i ln(k_i (k_i + 1))] / (2n) ), A = (sum_i exp(k_i / 96))^(3/2), "
    "m = sqrt(2) exp(-j / 64), j = max(1, ceil(64 ln(sqrt(2) B prod_i spectral_i / margin))), "
    "k_i = max(1, ceil(64 ln(row_norm_sum_i / spectral_i)))",
    predictor="deterministic",
    uniform_over="networks of d layers and width h, and margins",
    assumes=_ASSUMES,
    reference="Bartlett2017",
    locator="Theorem 1.1 by Lemma 3.2, Theorem 3.3 and Lemma A.5, with explicit constants and unions",
)
def bartlett_spectral(
    margin_risk: ArrayLike,
    spectral_norms: ArrayLike,
    row_norm_sums: ArrayLike,
    margin: ArrayLike,
    input_norm: ArrayLike,
    width: ArrayLike,
    n: ArrayLike,
    delta: ArrayLike,
) -> Float64:
    """Bound the 0-1 risk of a ReLU network by its margins and its spectral complexity (covering numbers).

    Networks, d, h and B as in `neyshabur_spectral`. For every distribution of the data and d, h and B fixed before the
    sample: with probability at least 1 - delta over n independent examples, simultaneously for all weights W and all
    margins gamma > 0: the formula.

    Parameters
    ----------
    margin_risk : array_like
        Share of the n examples with a margin of at most `margin`, in [0, 1].
    spectral_norms : array_like, shape (..., layers)
        Largest singular value of each W_i or an upper limit of it, positive.
    row_norm_sums : array_like, shape (..., layers)
        Sum of the Euclidean norms of the rows of each W_i (its incoming weights, unit by unit) or an upper limit,
        positive: the (2, 1) norm of its transpose.
    margin : array_like
        Gamma, positive; choose it after seeing the sample.
    input_norm : array_like
        B: a norm that no input of the distribution exceeds, positive.
    width : array_like of int
        h: at least the rows and the columns of every W_i.
    n : array_like of int
        Examples that `margin_risk` counts, at least 1.
    delta : array_like
        Probability with which the bound may fail, in (0, 1).

    Returns
    -------
    float64 or ndarray
        Upper bound on the risk of the network itself, rounded up; 1 where the formula exceeds 1.

    Raises
    ------
    ValueError
        If an argument is NaN or outside its range, or the two lists of norms differ in length.

    Notes
    -----
    Proof. Rescale the layers to norm at most 1 as in `neyshabur_spectral`; a_i are the row norm sums then, at least 1
    without loss, and m <= sqrt(2) is the margin over B. Fix m and the a_i. The loss is the ramp, 1 below margin 0, 0
    above m B, linear between: at least the 0-1 loss, at most the count of margins up to m B.

    (1) Maurey: for matrices A with row norm sum at most a and a data matrix X of Frobenius norm at most b, AX is a b
    times an average of +-e_i X_j^T / |X_j|, for sum_ij |A_ij| |X_j| <= a b. Some mean of k of these 2 h^2 is within
    a b / sqrt(k), so (2 h^2)^k means cover all AX at scale eps if k >= (a b / eps)^2.

    (2) Layer by layer. All hidden matrices have norm at most sqrt(n) B, which projecting a cover to that ball keeps.
    Layers of norm 1 carry errors on unchanged: they add up to sum_i eps_i. With eps_i in proportion to a_i^(2/3), and
    the ramp moving by sqrt(2) / (m B) at most, scale eps in the root mean square over the sample needs sum_i k_i with
    k_i >= x_i and sum_i x_i = 2 A^2 / (m eps)^2, A = (sum_i a_i^(2/3))^(3/2). For eps <= 1/2 all x_i are at least 4,
    so rounding up adds a quarter at most: ln N(eps) <= (5/2) A^2 ln(2 h^2) / (m eps)^2 = (D / eps)^2.

    (3) Chain 1/2 = g_0, g_1, ..., g_J, g through covers of scale 2^-(l+1). A step has length at most 3 * 2^-(l+1), and
    there are at most exp((5/4) (D 2^(l+1))^2) of them, which by Massart's lemma costs 3 sqrt(5/2) D / sqrt(n); the last
    one costs 2^-(J+1). So the Rademacher average is at most 3 sqrt(5/2) J D / sqrt(n) + 2^-(J+1), and twice that is
    the formula's middle term. Symmetrisation and the inequality of bounded differences give the rest.

    (4) Unions: m on the grid of `neyshabur_spectral`, every a_i on exp(k / 64) at a share 1 / (k (k + 1)).

    Difference from the paper: a sum over covers in place of Dudley's integral; covers are external and projected; the
    norm bound B of the inputs in place of their empirical norm, so that 3 sqrt(.) becomes sqrt(.); reference matrices
    0; unions over grids, paid.

    An additive bound of the uniform kind, above 1 for networks in use; `neyshabur_spectral` is mostly far below it,
    though the term here grows with the logarithm of the width where that one grows with the width. Not covered: what
    is not covered by `neyshabur_spectral`.

    Examples
    --------
    One layer on the line, scores (x, -x), where `neyshabur_spectral` needs a thousandth of the examples:

    >>> print(f"{bartlett_spectral(0.0, [2**0.5], [2.0], 1.9, 1.0, 2, 1_000_000, 0.05):.3f}")
    0.150
    """
    spectral, sums = _norms(spectral_norms, row_norm_sums, "row_norm_sums")
    reach, error = _log_reach(spectral, margin, input_norm)
    margin_step = _step(reach + error)
    # Logarithms of two floats and their difference: four units in the last place each.
    ratio, sizes = np.log(sums) - np.log(spectral), np.abs(np.log(sums)) + np.abs(np.log(spectral)) + 1
    steps = _step(ratio + sizes * 2.0**-48)
    n, width = count("n", n), count("width", width)
    with np.errstate(over="ignore"):  # to infinity, which is capped at 1
        spread = np.exp(steps / (1.5 * _STEPS)).sum(axis=-1) ** 1.5
        slope = 15 * spread * np.sqrt(np.log(2 * width**2) / n) * np.exp(margin_step / _STEPS) / sqrt(2)
    levels = np.arange(1, _LEVELS)
    chain = np.min(slope[..., None] * levels + 2.0**-levels, axis=-1)
    paid = _price(margin_step) + _price(steps).sum(axis=-1) - np.log(confidence("delta", delta))
    total = unit_interval("margin_risk", margin_risk) + chain + np.sqrt(paid / (2 * n))
    return np.minimum(round_up(total, 60 + 2 * spectral.shape[-1]), 1.0)


@theorem(
    statement=r"R(f_W) \le r_\gamma(f_W)+\frac{4}{m\sqrt n}\Big(1+\sqrt{2((d-1)\ln2+\ln K)}\Big)"
    r"+\sqrt{\frac{\ln\frac1\delta+\ln(j(j+1))}{2n}},\quad m=e^{-j/64},\quad "
    r"j=\max\!\Big(1,\Big\lceil64\ln\frac{B\,\|W_d^T\|_{2,1}\prod_{i<d}\|W_i\|_F}{\gamma}\Big\rceil\Big)",
    formula="R(f) <= r_margin(f) + 4 (1 + sqrt(2 ((d - 1) ln 2 + ln K))) / (m sqrt(n)) "
    "+ sqrt( [ln(1/delta) + ln(j (j + 1))] / (2n) ), m = exp(-j / 64), "
    "j = max(1, ceil(64 ln(B prod_i layer_i / margin)))",
    predictor="deterministic",
    uniform_over="networks of d layers of any width for K classes, and margins",
    assumes=_ASSUMES,
    reference="Golowich2018",
    locator="Lemma 1 and the proof of Theorem 1, for K classes and with the union over margins",
)
def golowich_frobenius(
    margin_risk: ArrayLike,
    layer_norms: ArrayLike,
    margin: ArrayLike,
    input_norm: ArrayLike,
    classes: ArrayLike,
    n: ArrayLike,
    delta: ArrayLike,
) -> Float64:
    """Bound the 0-1 risk of a ReLU network by its margins and Frobenius norms, whatever its width.

    Networks and d as in `neyshabur_spectral`. For every distribution of the data, every d, number of classes K and norm
    B that no input exceeds, fixed before the sample: with probability at least 1 - delta over n independent examples,
    simultaneously for all weights W, all widths and all margins gamma > 0: the formula.

    Parameters
    ----------
    margin_risk : array_like
        Share of the n examples with a margin of at most `margin`, in [0, 1].
    layer_norms : array_like, shape (..., layers)
        Frobenius norm of each W_i but the last, in whose place stands the sum of the Euclidean norms of its rows, or
        upper limits of them; positive. For a convolution, of the matrix that it stands for.
    margin : array_like
        Gamma, positive; choose it after seeing the sample.
    input_norm : array_like
        B: a norm that no input of the distribution exceeds, positive.
    classes : array_like of int
        K: scores of the network, at least 2.
    n : array_like of int
        Examples that `margin_risk` counts, at least 1.
    delta : array_like
        Probability with which the bound may fail, in (0, 1).

    Returns
    -------
    float64 or ndarray
        Upper bound on the risk of the network itself, rounded up; 1 where the formula exceeds 1.

    Raises
    ------
    ValueError
        If an argument is NaN or outside its range.

    Notes
    -----
    Proof. Divide every hidden layer by its Frobenius norm and the last one by the sum a of its row norms: the same
    predictions, margins in proportion. Scores are then sums a_k g_k(x) with sum_k a_k <= 1, where g_k is in the class G
    of networks with one output and layers of Frobenius norm 1; let m = gamma / (B a prod_i F_i) be the margin over B.
    No margin exceeds B: for m >= 1 all examples count and there is nothing to prove. Fix m. The loss is the ramp of
    `bartlett_spectral`: sqrt(2) / (m B)-Lipschitz in the scores.

    (1) With independent signs s_ik for every score, E sup sum_i s_i ramp_i is at most sqrt(2) times sqrt(2) / (m B)
    times E sup sum_ik s_ik a_k g_k(x_i) [Maurer2016]_, Corollary 4, which is at most E max_k Z_k with
    Z_k = sup_G |sum_i s_ik g(x_i)|.

    (2) Lemma 1 of the paper, for phi 1-Lipschitz and positively homogeneous and t > 0:
    E sup exp(t |sum_i s_i phi(W f(x_i))|) <= 2 E sup exp(t |sum_i s_i f(x_i)|) over W of norm 1 and f, as the largest
    norm is that of one row, |z| is z or -z, and by the contraction of Ledoux and Talagrand. Over the d - 1 hidden
    layers, E exp(t Z_k) <= 2^(d-1) E exp(t |sum_i s_i x_i|) <= 2^(d-1) exp(t B sqrt(n) + t^2 B^2 n / 2), by Jensen's
    inequality and bounded differences.

    (3) E max_k Z_k <= (ln K + (d - 1) ln 2) / t + B sqrt(n) + t B^2 n / 2, at the best t
    B sqrt(n) (1 + sqrt(2 ((d - 1) ln 2 + ln K))). Times 2 / (m B), divided by n, and doubled by symmetrisation: the
    formula's middle term. Bounded differences and a union over m = exp(-j / 64), as before, give the rest.

    Difference from the paper: K classes in place of one output, by a maximum in the exponent at the price of ln K;
    d - 1 factors of 2, one for each hidden layer; constants and union written out; the norm bound B of the inputs in
    place of their empirical norm.

    Free of the width; with the depth it grows like its root besides the norms. A uniform bound all the same, above 1
    for networks in use.
    Not covered: what is not covered by `neyshabur_spectral`.

    Examples
    --------
    One layer on the line, scores (x, -x):

    >>> print(f"{golowich_frobenius(0.0, [2.0], 1.9, 1.0, 2, 1_000_000, 0.05):.4f}")
    0.0110
    """
    norms = np.atleast_1d(_positive("layer_norms", layer_norms, "A layer of zeros makes a constant network."))
    reach, error = _log_reach(norms, margin, input_norm)
    step = _step(reach - log(2) / 2 + error)
    n, outputs = count("n", n), count("classes", classes, minimum=2)
    hidden = (norms.shape[-1] - 1) * log(2)
    with np.errstate(over="ignore"):  # to infinity, which is capped at 1
        average = 4 * np.exp(step / _STEPS) * (1 + np.sqrt(2 * (hidden + np.log(outputs)))) / np.sqrt(n)
    paid = _price(step) - np.log(confidence("delta", delta))
    total = unit_interval("margin_risk", margin_risk) + average + np.sqrt(paid / (2 * n))
    return np.minimum(round_up(total, 60), 1.0)
