r"""Bounds by conditional mutual information: what the output tells about which half of a supersample was trained on.

Notation, as in the papers: a supersample is n pairs of examples z~; a mask U of n fair coins decides which example of
each pair is trained on, the other being its ghost; W is what the algorithm puts out. L_train and L_ghost are the
average losses of W on the examples trained on and on the ghosts, and I(W;U) is the mutual information of W and U *for
the one supersample given*, in nats.

Every theorem whose arguments are such information holds for each supersample by itself, whatever the algorithm does
with it, even if it sees the ghosts: averages are over the mask and the algorithm's randomness. If the pairs are
independent draws of the data and the algorithm sees nothing of the ghosts, then on average over supersamples
E L_train = E L_S and E L_ghost = E L_mu, and the average of the bounds bounds E[L_mu - L_S] or E L_mu: that is the
published statement, or a smaller number. All these bounds grow with their arguments, so that an upper bound of an
information may stand for it.

Losses lie in [0, 1] where nothing else is said. For a loss in [a, b] rescale it first; a gap then is to be multiplied
by b - a, a squared gap by (b - a)^2. The number of n counts the pairs, and half of the 2n examples is never used.
"""

import numpy as np
from numpy.typing import ArrayLike

from genbounds.numerics import Float64, count, mean_up, nonnegative, round_up, unit_interval
from genbounds.theorems import Assumption, theorem
from genbounds.theorems.quantities import SUPERSAMPLE_GAP, SUPERSAMPLE_RISK, SUPERSAMPLE_SQUARED_GAP

__all__ = [
    "steinke_zakynthinou",
    "steinke_zakynthinou_interpolation",
    "steinke_zakynthinou_linear",
    "steinke_zakynthinou_squared",
    "steinke_zakynthinou_unbounded",
]

#: What bounds for one given supersample average over, and their conditions for losses in [0, 1].
EACH_SUPERSAMPLE = "masks and the algorithm's randomness, for any one supersample"
CONDITIONS = (Assumption.FAIR_MASK, Assumption.LOSS_IN_UNIT_INTERVAL, Assumption.INFORMATION_NOT_ESTIMATED)

#: ln((1 + sqrt(5)) / 2).
_LOG_GOLDEN = np.arcsinh(0.5)
_NEWTON_STEPS = 6


@np.errstate(over="ignore")  # to infinity, an upper bound
def root_mean(name: str, information: ArrayLike) -> Float64:
    """Return the mean over the last axis of sqrt(2 I), rounded up; 1 where that exceeds 1.

    Parameters
    ----------
    name : str
        The argument's name, for an error.
    information : array_like, shape (..., n)
        Nats, in [0, inf].

    Returns
    -------
    float64 or ndarray, shape (...)
        A bound on a gap of losses in [0, 1].
    """
    return np.minimum(mean_up(np.sqrt(2 * nonnegative(name, information)), 5), 1.0)


@theorem(
    statement=r"\left|\mathbb{E}[L_{\mathrm{ghost}}-L_{\mathrm{train}}]\right| \le \sqrt{\frac{2\,I(W;U)}{n}}",
    formula="|E[L_ghost - L_train]| <= sqrt( 2 I(W;U) / n )",
    predictor="algorithm average",
    kind="expectation",
    averages_over=EACH_SUPERSAMPLE,
    quantity=SUPERSAMPLE_GAP,
    assumes=CONDITIONS,
    reference="SteinkeZakynthinou2020",
    locator="Theorem 1.2 (square-root form), for each supersample",
)
def steinke_zakynthinou(cmi: ArrayLike, n: ArrayLike) -> Float64:
    """Bound the gap by the information of the output about the mask (conditional mutual information).

    For every supersample of n pairs and every algorithm, on average over the mask and the algorithm's randomness:
    |E[L_ghost - L_train]| <= sqrt(2 I(W;U) / n).

    Parameters
    ----------
    cmi : array_like
        I(W;U) in nats for the supersample given, or an upper bound of it, in [0, inf]; n ln 2 at most. The information
        of all n pairs of predictions, or of all pairs of losses together, may take its place.
    n : array_like of int
        Pairs of examples, at least 1.

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
    Proof: L_ghost - L_train is the average of (-1)^U_i times the difference of the losses on pair i. For a mask that
    is independent of W it is sub-Gaussian with parameter 1 / sqrt(n) by Hoeffding's lemma, so by Donsker and Varadhan
    t E[L_ghost - L_train] <= I(W;U) + t^2 / (2n) for every real t.

    The average over supersamples is at most the published sqrt(2 CMI / n). Never below `haghifam_individual` for the
    same supersample, by the chain rule for independent coins.

    Examples
    --------
    An algorithm that tells one pair in eight which of its examples it has seen:

    >>> f"{steinke_zakynthinou(np.log(2), 8):.10f}"  # sqrt(ln(2) / 4)
    '0.4162773056'
    """
    information = nonnegative("cmi", cmi)
    with np.errstate(over="ignore"):  # to infinity, an upper bound
        return np.minimum(round_up(np.sqrt(2 * information) / np.sqrt(count("n", n)), 9), 1.0)


@theorem(
    statement=r"\left|\mathbb{E}[L_{\mathrm{ghost}}-L_{\mathrm{train}}]\right| \le "
    r"\sqrt{\frac{2\,I(W;U)}{n}\cdot\frac1n\sum_{i=1}^{n}\Delta_i^2}",
    formula="|E[L_ghost - L_train]| <= sqrt( 2 I(W;U) / n * (1/n) sum_i Delta_i^2 )",
    predictor="algorithm average",
    kind="expectation",
    averages_over=EACH_SUPERSAMPLE,
    quantity=SUPERSAMPLE_GAP,
    assumes=(Assumption.FAIR_MASK, Assumption.LOSS_DIFFERENCES_BOUNDED, Assumption.INFORMATION_NOT_ESTIMATED),
    reference="SteinkeZakynthinou2020",
    locator="Theorem 5.1 (unbounded losses), for each supersample",
)
def steinke_zakynthinou_unbounded(cmi: ArrayLike, n: ArrayLike, squared_range: ArrayLike) -> Float64:
    """Bound the gap of a loss that differs little between two examples of a pair, whatever its size.

    For every supersample of n pairs such that no predictor's losses on pair i differ by more than Delta_i, and every
    algorithm, on average over the mask and the algorithm's randomness:
    |E[L_ghost - L_train]| <= sqrt((2 I(W;U) / n) (1/n) sum_i Delta_i^2).

    Parameters
    ----------
    cmi : array_like
        I(W;U) in nats for the supersample given, or an upper bound of it, in [0, inf].
    n : array_like of int
        Pairs of examples, at least 1.
    squared_range : array_like
        (1/n) sum_i Delta_i^2 for the supersample given, or an upper bound of it, in [0, inf].

    Returns
    -------
    float64 or ndarray
        Upper bound on |E[L_ghost - L_train]|, rounded up; not capped. Infinite where one factor is, even if the other
        is 0.

    Raises
    ------
    ValueError
        If an argument is NaN or outside its range.

    Notes
    -----
    Proof: as for `steinke_zakynthinou`; pair i adds (Delta_i / n)^2 to the square of the sub-Gaussian parameter.

    By Cauchy's and Schwarz's inequality the average over supersamples is at most the published
    sqrt((2 CMI / n) E Delta(Z, Z')^2); both averages may be passed, and the bound is then on E[L_mu - L_S].

    Examples
    --------
    Ranges of 3 and 4 on two pairs, and one bit of information:

    >>> f"{steinke_zakynthinou_unbounded(np.log(2), 2, 12.5):.10f}"  # sqrt(12.5 ln 2)
    '2.9435250563'
    """
    information, squares = nonnegative("cmi", cmi), nonnegative("squared_range", squared_range)
    with np.errstate(over="ignore", invalid="ignore"):
        value = round_up(np.sqrt(2 * information) / np.sqrt(count("n", n)) * np.sqrt(squares), 14)
    return np.where(np.isnan(value), np.inf, value)[()]


@theorem(
    statement=r"\mathbb{E}[(L_{\mathrm{ghost}}-L_{\mathrm{train}})^2] \le \frac{x}{n},"
    r"\quad x-1-\ln x=2\,I(W;U),\ x\ge1",
    formula="E[(L_ghost - L_train)^2] <= x / n, x - 1 - ln x = 2 I(W;U), x >= 1",
    predictor="algorithm average",
    kind="expectation",
    averages_over=EACH_SUPERSAMPLE,
    quantity=SUPERSAMPLE_SQUARED_GAP,
    assumes=CONDITIONS,
    reference="SteinkeZakynthinou2020",
    locator="Theorem 1.2 (mean squared gap), for each supersample and with the best constants of its proof",
)
def steinke_zakynthinou_squared(cmi: ArrayLike, n: ArrayLike) -> Float64:
    """Bound the mean squared gap by the information of the output about the mask.

    For every supersample of n pairs and every algorithm, on average over the mask and the algorithm's randomness:
    E[(L_ghost - L_train)^2] <= x / n, where x >= 1 solves x - 1 - ln x = 2 I(W;U).

    Parameters
    ----------
    cmi : array_like
        I(W;U) in nats for the supersample given, or an upper bound of it, in [0, inf]; n ln 2 at most. The information
        of all n pairs of predictions, or of all pairs of losses together, may take its place.
    n : array_like of int
        Pairs of examples, at least 1.

    Returns
    -------
    float64 or ndarray
        Upper bound on E[(L_ghost - L_train)^2], rounded up; 1 where the formula exceeds 1.

    Raises
    ------
    ValueError
        If an argument is NaN or outside its range.

    Notes
    -----
    Proof: let G be L_ghost - L_train. For a mask that is independent of W it is sub-Gaussian with parameter
    1 / sqrt(n), so that E exp(n s G^2 / 2) <= (1 - s)^(-1/2) for 0 < s < 1 (write the exponential as an average over a
    Gaussian of exp(sqrt(n s) G N)). By Donsker and Varadhan n E G^2 <= (2 I(W;U) - ln(1 - s)) / s, which is least,
    1 / (1 - s), where 1 / (1 - s) = x.

    Difference from the paper: s = 2/3 gives (3 I + (3/2) ln 3) / n, and that is the published (3 I + 2) / n with its
    constant not yet rounded up. The best s depends on I alone; x grows like 2 I + ln(2 I), and is 1 at I = 0, where the
    bound is attained. Averages over supersamples: x is concave in I, so the CMI itself may be passed.

    By Chebyshev's inequality the gap exceeds sqrt(x / (n delta)) with probability at most delta.

    Examples
    --------
    Without information, a predictor that errs on one example of each pair has a gap of mean square 1 / n:

    >>> f"{steinke_zakynthinou_squared(0.0, 10):.12f}"
    '0.100000000000'
    >>> f"{steinke_zakynthinou_squared((np.e - 2) / 2, 10):.12f}"  # x = e
    '0.271828182846'
    """
    y = 2 * np.clip(nonnegative("cmi", cmi), 1e-300, 1e150)
    # With x = 1 + d, d - ln(1 + d) is convex in d, at most d^2 / 2 and at least d^2 / (2 + 4d/3): Newton's steps come
    # down from the first d to the root, and each step from any d > 0 lands at or above it.
    least = np.sqrt(2 * y)
    d = 2 * y / 3 + np.sqrt((2 * y / 3) ** 2 + 2 * y)
    for _ in range(_NEWTON_STEPS):
        d = np.maximum((1 + d) * ((y + np.log1p(d)) / d) - 1, least)
    return np.minimum(round_up((1 + d) * ((y + np.log1p(d)) / d) / count("n", n), 10), 1.0)


@theorem(
    statement=r"\mathbb{E} L_{\mathrm{ghost}} \le 2\,\mathbb{E}L_{\mathrm{train}}+\frac{I(W;U)}{n\ln\varphi},"
    r"\quad \varphi=\tfrac{1+\sqrt5}{2}",
    formula="E L_ghost <= 2 E L_train + I(W;U) / (n ln((1 + sqrt 5) / 2))",
    predictor="algorithm average",
    kind="expectation",
    averages_over=EACH_SUPERSAMPLE,
    quantity=SUPERSAMPLE_RISK,
    assumes=CONDITIONS,
    reference="SteinkeZakynthinou2020",
    locator="Theorem 1.2 (linear form), for each supersample and with the best constant of its proof",
)
def steinke_zakynthinou_linear(train_risk: ArrayLike, cmi: ArrayLike, n: ArrayLike) -> Float64:
    """Bound the risk by twice the train risk and a term of order 1/n.

    For every supersample of n pairs and every algorithm, on average over the mask and the algorithm's randomness:
    E L_ghost <= 2 E L_train + I(W;U) / (n ln((1 + sqrt 5) / 2)).

    Parameters
    ----------
    train_risk : array_like
        E L_train for the supersample given, or an upper bound of it, in [0, 1].
    cmi : array_like
        I(W;U) in nats for the supersample given, or an upper bound of it, in [0, inf].
    n : array_like of int
        Pairs of examples, at least 1.

    Returns
    -------
    float64 or ndarray
        Upper bound on E L_ghost, rounded up; 1 where the formula exceeds 1.

    Raises
    ------
    ValueError
        If an argument is NaN or outside its range.

    Notes
    -----
    Proof: for a coin that is independent of the losses a and b on a pair, the mean of exp(t (ghost - 2 train)) is
    (exp(t (b - 2a)) + exp(t (a - 2b))) / 2. It is convex in (a, b), so at most 1 on the unit square if it is at its
    corners, which asks for exp(t) + exp(-2t) <= 2: t = ln((1 + sqrt 5) / 2), the logarithm of the golden ratio. By
    Donsker and Varadhan, n t E[L_ghost - 2 L_train] <= I(W;U).

    Difference from the paper: 1 / ln((1 + sqrt 5) / 2) = 2.078 in place of 3. Both averages over supersamples may be
    passed. `hellstrom_durisi_linear` has other weights than 2, and less information.

    Examples
    --------
    >>> f"{steinke_zakynthinou_linear(0.05, 1.0, 100):.10f}"
    '0.1207808692'
    """
    information, train_risk = nonnegative("cmi", cmi), unit_interval("train_risk", train_risk)
    with np.errstate(over="ignore"):  # to infinity, an upper bound
        return np.minimum(round_up(2 * train_risk + information / (count("n", n) * _LOG_GOLDEN), 8), 1.0)


@theorem(
    statement=r"\mathbb{E} L_{\mathrm{ghost}} \le \frac{I(W;U)}{n\ln 2}\quad\text{if }L_{\mathrm{train}}=0",
    formula="E L_ghost <= I(W;U) / (n ln 2) if L_train = 0",
    predictor="algorithm average",
    kind="expectation",
    averages_over=EACH_SUPERSAMPLE,
    quantity=SUPERSAMPLE_RISK,
    assumes=CONDITIONS,
    reference="Haghifam2021",
    locator="interpolating algorithms, for each supersample; HellstromDurisi2022",
)
def steinke_zakynthinou_interpolation(train_risk: ArrayLike, cmi: ArrayLike, n: ArrayLike) -> Float64:
    """Bound the risk of an algorithm that makes no error on what it is trained on.

    For every supersample of n pairs and every algorithm with L_train = 0, on average over the mask and the algorithm's
    randomness: E L_ghost <= I(W;U) / (n ln 2).

    Parameters
    ----------
    train_risk : array_like
        E L_train for the supersample given, in [0, 1]; the bound is 1 unless it is 0.
    cmi : array_like
        I(W;U) in nats for the supersample given, or an upper bound of it, in [0, inf].
    n : array_like of int
        Pairs of examples, at least 1.

    Returns
    -------
    float64 or ndarray
        Upper bound on E L_ghost, rounded up; 1 where the formula exceeds 1 or the train risk is positive.

    Raises
    ------
    ValueError
        If an argument is NaN or outside its range.

    Notes
    -----
    Proof: as for `steinke_zakynthinou_linear` with ghost - c train in place of ghost - 2 train: the corners ask for
    exp(t) + exp(-c t) <= 2, and t tends to ln 2 as c grows.

    The published constant of Steinke and Zakynthinou is 1.5 in place of 1 / ln 2 = 1.4427, which cannot be improved: an
    algorithm that errs on every ghost tells the whole mask, n ln 2.

    Examples
    --------
    >>> f"{steinke_zakynthinou_interpolation(0.0, np.log(2), 10):.12f}"
    '0.100000000000'
    >>> float(steinke_zakynthinou_interpolation(0.01, np.log(2), 10))
    1.0
    """
    information, train_risk = nonnegative("cmi", cmi), unit_interval("train_risk", train_risk)
    with np.errstate(over="ignore"):  # to infinity, an upper bound
        value = round_up(information / (count("n", n) * np.log(2.0)), 7)
    return np.minimum(np.where(train_risk > 0, 1.0, value), 1.0)[()]
