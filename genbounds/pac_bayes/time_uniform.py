r"""PAC-Bayes bounds that hold for all n at once: look at them after every example, and stop when you like.

Notation and rounding as in `genbounds.pac_bayes.gibbs`; the sample is now the first n examples of a stream. The other
bounds of this package hold for one n. Looked at after every example, and quoted at the best moment, they fail with a
probability that grows with the number of looks.

All rest on non-negative supermartingales M_n(h) of mean at most 1, one for each predictor h fixed in advance. By
Ville's inequality the average E_P M_n(h) reaches 1/delta at some n with probability at most delta; while it has not,
the change of measure gives E_Q ln M_n(h) <= KL(Q || P) + ln(1/delta) for all Q.

**Coin betting.** Let x_i in [0, 1] be the losses of h and R its risk. A gambler who puts a share of the wealth on
"below R" each time multiplies it by 1 + g (R - x_i) / (1 - g R) = (1 - g x_i) / (1 - g R), 0 <= g < 1, and one who
bets on "above" by the like. With b = R (1 - g) / (1 - g R) both are x_i b / R + (1 - x_i) (1 - b) / (1 - R), of mean
1. Averaged over b ~ Beta(1/2, 1/2) the products are a martingale M_n(h). As sums of b^k (1 - b)^(n-k) with
non-negative factors, they lose against the best b, even one that is chosen afterwards and for each h by itself, a
factor of at most kt(n) (see `genbounds.numerics.log_kt`). So with probability at least 1 - delta, for all n, all Q
and all g in [0, 1) at once, after division by n,

    E_Q average ln(1 - g x_i) - E_Q ln(1 - g R(h)) <= (KL(Q || P) + ln(kt(n) / delta)) / n = c.

Both theorems follow from it by Jensen's inequality for -ln(1 - g R): `coin_betting` takes the best g, and
`coin_betting_kl` forgets everything of the losses but their mean.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genbounds.numerics import Float64, confidence, count, kl_upper, log_kt, nonnegative, round_up, unit_interval
from genbounds.pac_bayes.complexity import GIBBS, RISK, complexity
from genbounds.pac_bayes.split_kl import FREQUENCIES, ascending, frequencies_of
from genbounds.theorems import Assumption, Limit, theorem

__all__ = ["coin_betting", "coin_betting_kl", "time_uniform_hoeffding"]

_UNIFORM_OVER = "posteriors and all n"
_GOLDEN = (np.sqrt(5.0) - 1.0) / 2.0
_SECTIONS = 48
#: Bets are searched between 1 - exp(-2^-40) and 1 - exp(-36), where 1 - g is still a float with ten digits.
_LOG_BETS = (-40.0 * np.log(2.0), np.log(36.0))


@theorem(
    statement=r"R(Q) \le \mathrm{kl}^{+}\!\left(r(Q),\ \frac1n\Big[\mathrm{KL}(Q\|P)+\ln\frac{\sqrt\pi\,\Gamma(n+1)}"
    r"{\Gamma(n+\frac12)\,\delta}\Big]\right)\quad\text{for all } n",
    formula="for all n: R(Q) <= kl+( r(Q), [KL(Q||P) + ln(kt(n) / delta)] / n ), kt(n) = 4^n / C(2n, n)",
    predictor="gibbs",
    uniform_over=_UNIFORM_OVER,
    assumes=GIBBS,
    limits=RISK,
    reference="Jang2023",
    locator="Theorem 1 with its relaxation to the binary relative entropy",
)
def coin_betting_kl(risk: ArrayLike, kl: ArrayLike, n: ArrayLike, delta: ArrayLike) -> Float64:
    """Bound the Gibbs risk by inverting the binary relative entropy, for all n at once (coin betting).

    For every distribution of the data and every prior P fixed before the stream: with probability at least 1 - delta
    over a stream of independent examples, simultaneously for every n and every posterior Q,
    kl(r(Q) || R(Q)) <= (KL(Q || P) + ln(kt(n) / delta)) / n, where r(Q) is the risk on the first n examples.

    Parameters
    ----------
    risk : array_like
        Empirical Gibbs risk r(Q) on the first n examples or an upper limit of it, in [0, 1].
    kl : array_like
        KL(Q || P) in nats or an upper bound of it, in [0, inf].
    n : array_like of int
        Examples so far, at least 1; never those that shaped P.
    delta : array_like
        Probability that the bound ever fails, in (0, 1).

    Returns
    -------
    float64 or ndarray
        Upper bound on R(Q), rounded up, in [risk, 1].

    Raises
    ------
    ValueError
        If an argument is NaN or outside its range.

    Notes
    -----
    See the module for the supermartingale. ln(1 - g x) >= x ln(1 - g) for x in [0, 1] leaves
    r(Q) ln(1 - g) - ln(1 - g R(Q)) <= c, and the best g makes of the left side kl(r(Q) || R(Q)) wherever R(Q) > r(Q).

    kt(n) lies between xi(n) and 2 sqrt(n), near sqrt(pi n): to hold for all n at once costs at most ln(sqrt(2)) nats
    more than `seeger_xi`, and nothing in comparison with `maurer`, which it never exceeds. The Monte-Carlo limit of
    `risk` is another matter: each look at a new one spends a delta of its own.

    Never below `seeger_xi` nor, for the same losses, `coin_betting`. Not covered: what is not covered by `maurer`.

    Examples
    --------
    kt(1) = 2, so that no error, Q = P and one example give 1 - delta / 2; kt(2) = 8/3 gives 1 - sqrt(3 delta / 8):

    >>> f"{coin_betting_kl(0.0, 0.0, 1, 0.05):.12f}"
    '0.975000000000'
    >>> f"{coin_betting_kl(0.0, 0.0, 2, 0.06):.12f}"
    '0.850000000000'
    """
    return kl_upper(unit_interval("risk", risk), complexity(kl, n, delta, log_kt))


def _best_bet(
    frequencies: NDArray[np.float64], points: NDArray[np.float64], c: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Minimise (1 - exp(-A(g) - c)) / g over g by golden sections in ln(-ln(1 - g)), row by row, and round up."""
    # For every value v, {g : the bound is at most v} is where the wealth at v is large enough; the logarithm of the
    # wealth is concave in the share beta = -g / (1 - g v), which is monotone in g. So these are intervals.
    low, high = (np.full(len(c), end) for end in _LOG_BETS)
    left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    at_left, at_right = (_at_bet(frequencies, points, c, place) for place in (left, right))
    for _ in range(_SECTIONS):
        lower = at_left < at_right
        low, high = np.where(lower, low, left), np.where(lower, right, high)
        fresh = np.where(lower, high - _GOLDEN * (high - low), low + _GOLDEN * (high - low))
        value = _at_bet(frequencies, points, c, fresh)
        left, right = np.where(lower, fresh, right), np.where(lower, left, fresh)
        at_left, at_right = np.where(lower, value, at_right), np.where(lower, at_left, value)
    return np.minimum(at_left, at_right)


@np.errstate(over="ignore")  # a c near the largest float overflows to infinity, which is an upper bound
def _at_bet(
    frequencies: NDArray[np.float64], points: NDArray[np.float64], c: NDArray[np.float64], log_bet: Float64
) -> NDArray[np.float64]:
    """Return (1 - exp(-A(g) - c)) / g at g = 1 - exp(-exp(log_bet)), rounded up, at most 1."""
    g = -np.expm1(-np.exp(log_bet))[:, None]
    gains = -np.log1p(-g * points)
    # Four units for each logarithm, and what the rounding of g x, which is exact at x = 1, makes of it.
    product = np.where(points < 1.0, g * points / (1.0 - g * points), 0.0)
    error = 2.0**-49 * (gains + product)[:, 1:]
    averages = ((np.diff(gains, axis=1) + error) * frequencies).sum(axis=1)
    exponent = round_up(averages + c, points.size + 2)
    return np.minimum(round_up(-np.expm1(-exponent) / g[:, 0], 8), 1.0)


@theorem(
    statement=r"R(Q) \le \inf_{0<g<1}\frac1g\left[1-\exp\!\Big(-A_g(Q)-\frac1n\Big[\mathrm{KL}(Q\|P)"
    r"+\ln\frac{\sqrt\pi\,\Gamma(n+1)}{\Gamma(n+\frac12)\,\delta}\Big]\Big)\right],\quad "
    r"A_g(Q)=-\frac1n\sum_{i=1}^n\mathbb{E}_Q\ln(1-g\,\ell_i),\quad\text{for all } n,"
    r"\ \text{losses rescaled from }[b_0,b_K]",
    formula="for all n: R(Q) <= inf_g [1 - exp(-A(g) - [KL(Q||P) + ln(kt(n) / delta)] / n)] / g, A(g) the average of "
    "-ln(1 - g l), kt(n) = 4^n / C(2n, n), losses rescaled from [b0, bK] to [0, 1] and back",
    predictor="gibbs",
    uniform_over=_UNIFORM_OVER,
    assumes=(
        *(item for item in GIBBS if item is not Assumption.LOSS_IN_UNIT_INTERVAL),
        Assumption.LOSS_HAS_LEVELS,
    ),
    limits={"frequencies": FREQUENCIES},
    reference="Jang2023",
    locator="Theorem 1, with one bet for all predictors",
)
def coin_betting(frequencies: ArrayLike, levels: ArrayLike, kl: ArrayLike, n: ArrayLike, delta: ArrayLike) -> Float64:
    """Bound the Gibbs risk from how often each level of the loss occurs, for all n at once (coin betting).

    For every distribution of the data and every prior P fixed before the stream: with probability at least 1 - delta
    over a stream of independent examples, simultaneously for every n and every posterior Q, R(Q) is at most the
    smallest risk at which no gambler who bets a fixed share g of the wealth on "below", against all predictors of Q
    alike, would have earned more than exp(KL(Q || P)) kt(n) / delta.

    Parameters
    ----------
    frequencies : array_like, shape (..., K)
        F_j, the average of Q[l(h, z) > b_(j-1)] over the first n examples, for j = 1, ..., K, or an upper limit of it,
        in [0, 1]: a loss between two levels counts as the higher one. Limits that increase with j are lowered to their
        predecessors, as frequencies cannot increase.
    levels : array_like, shape (K + 1,)
        b_0 < ... < b_K, fixed before the stream; the loss lies in [b_0, b_K].
    kl : array_like
        KL(Q || P) in nats or an upper bound of it, in [0, inf].
    n : array_like of int
        Examples so far, at least 1; never those that shaped P.
    delta : array_like
        Probability that the bound ever fails, in (0, 1).

    Returns
    -------
    float64 or ndarray
        Upper bound on R(Q), rounded up, in [b_0, b_K].

    Raises
    ------
    ValueError
        If an argument is NaN or outside its range, or numbers of levels and frequencies do not match.

    Notes
    -----
    See the module for the supermartingale, with losses rescaled to x = (l - b_0) / (b_K - b_0). Solved for R(Q),

        R(Q) <= (1 - exp(-A(g) - c)) / g,  A(g) = sum_j (a_j - a_(j-1)) F_j,  a_j = -ln(1 - g x_j),

    for all g in (0, 1) at once: g is free, the best one is found here, and any other would be a bound as well. A(g)
    increases in each F_j and in each loss, so that losses may be rounded up and upper limits of the F_j passed.

    Difference from the paper: the paper's supremum over all ways to distribute a risk over the predictors of Q lets the
    gambler bet another share against each of them. It needs every predictor's own losses; where Q is a network's
    there are infinitely many. With one share for all, the frequencies averaged over Q are enough. For a Q on one
    predictor, and for any Q whose predictors have losses of like distributions, both are the same.

    It adapts to the whole distribution of the losses: in place of fixed gamma or grids it dominates
    `unexpected_bernstein` with ln(kt(n)) nats more at *every* gamma. With levels 0 and 1 it is `coin_betting_kl`; with
    more of them it is never above that bound for the losses rounded up, at the risk sum_j (b_j - b_(j-1)) F_j. More
    levels cost nothing. Not covered: what is not covered by `maurer`.

    Examples
    --------
    A loss of 1/2 on the one example there is, 0 and 1 being possible: the best bet is nearly all, g -> 1, and leaves
    R <= 1 - (1 - 1/2) delta / 2:

    >>> f"{coin_betting([1.0, 0.0], [0, 0.5, 1], 0.0, 1, 0.8):.12f}"
    '0.800000000000'
    """
    levels = ascending(levels)
    frequencies = np.minimum.accumulate(frequencies_of(frequencies, levels), axis=-1)
    c = np.asarray(complexity(kl, n, delta, log_kt))
    span = levels[-1] - levels[0]
    points = (levels - levels[0]) / span
    points = np.minimum(np.where(levels > levels[0], round_up(points, 3), 0.0), 1.0)
    shape = np.broadcast_shapes(frequencies.shape[:-1], c.shape)
    rows = np.broadcast_to(frequencies, (*shape, levels.size - 1)).reshape(-1, levels.size - 1)
    unit = _best_bet(rows, points, np.broadcast_to(c, shape).ravel()).reshape(shape)
    total = np.nextafter(levels[0] + round_up(unit * span, 2), np.inf)
    return np.minimum(total, levels[-1])[()]


@theorem(
    statement=r"R(Q) \le \frac{\sum_i\lambda_i r_i(Q)+\mathrm{KL}(Q\|P)+\ln(1/\delta)+\frac18\sum_i\lambda_i^2}"
    r"{\sum_i\lambda_i}\quad\text{for all } n,\ \text{sums over } i\le n",
    formula="for all n: R(Q) <= r_w(Q) + [KL(Q||P) + ln(1 / delta) + sum w_i^2 / 8] / sum w_i, r_w the risk weighted "
    "by w_1, ..., w_n",
    predictor="gibbs",
    uniform_over=_UNIFORM_OVER,
    assumes=(*GIBBS, Assumption.PREDICTABLE_WEIGHTS),
    limits={"risk": Limit("weighted empirical Gibbs risk on the bound sample", "gibbs")},
    reference="Chugg2023",
    locator="The supermartingale bound for bounded losses, with Hoeffding's lemma",
)
def time_uniform_hoeffding(
    risk: ArrayLike, kl: ArrayLike, n: ArrayLike, delta: ArrayLike, weight_sum: ArrayLike, weight_squares: ArrayLike
) -> Float64:
    """Bound the Gibbs risk by a weighted empirical risk plus a linear term, for all n at once (Hoeffding's lemma).

    For every distribution of the data, every prior P fixed before the stream, and every rule that fixes the weight
    w_i > 0 of an example before it is seen (from those that came before, if it likes): with probability at least
    1 - delta over a stream of independent examples, simultaneously for every n and every posterior Q,
    R(Q) <= (sum w_i r_i(Q) + KL(Q || P) + ln(1/delta) + sum w_i^2 / 8) / sum w_i.

    Parameters
    ----------
    risk : array_like
        sum w_i r_i(Q) / sum w_i with r_i(Q) = E_Q l(h, z_i), over the first n examples, or an upper limit of it, in
        [0, 1].
    kl : array_like
        KL(Q || P) in nats or an upper bound of it, in [0, inf].
    n : array_like of int
        Examples so far, at least 1; never those that shaped P.
    delta : array_like
        Probability that the bound ever fails, in (0, 1).
    weight_sum : array_like
        w_1 + ... + w_n, positive and finite; rounded down.
    weight_squares : array_like
        w_1^2 + ... + w_n^2, finite and at least weight_sum^2 / n, as for any n numbers; rounded up.

    Returns
    -------
    float64 or ndarray
        Upper bound on R(Q), rounded up; 1 where the formula exceeds 1, as no risk does.

    Raises
    ------
    ValueError
        If an argument is NaN or outside its range, or the sums are not those of n numbers.

    Notes
    -----
    By Hoeffding's lemma E exp(w (R(h) - l) - w^2 / 8) <= 1 for a loss in [0, 1], whatever the past made of w, so that
    the products over the first n examples are a supermartingale for each h; see the module.

    Weights sqrt(8 B / (i ln(i + 1))), B a guess of KL(Q || P) + ln(1 / delta), make the excess fall as
    sqrt(B ln(n) / n); equal weights sqrt(8 B / n) are best for one n. `coin_betting_kl` needs no guess, pays
    ln(kt(n)) nats for that, and profits from a small risk; this one is linear in risk and KL, which is why one trains
    on it. Not covered: what is not covered by `maurer`.

    Examples
    --------
    Weights of 1/2 for 100 examples, B = 2: 2 / 50 + 25 / (8 * 50) on top of the risk:

    >>> f"{time_uniform_hoeffding(0.1, 0.0, 100, np.exp(-2.0), 50.0, 25.0):.10f}"
    '0.2025000000'
    """
    risk, kl = unit_interval("risk", risk), nonnegative("kl", kl)
    n, total = np.broadcast_arrays(count("n", n), nonnegative("weight_sum", weight_sum))
    squares = nonnegative("weight_squares", weight_squares)
    if not np.all((total > 0) & np.isfinite(total)):
        raise ValueError(f"weight_sum must be positive and finite, got {weight_sum!r}. Weigh some example.")
    if not np.all((total * (total / n) <= squares * (1 + 1e-9)) & np.isfinite(squares)):
        raise ValueError(
            f"weight_squares must be finite and at least weight_sum^2 / n, got {weight_squares!r}. "
            "Add up the squares of all n weights."
        )
    with np.errstate(over="ignore"):  # to infinity, which is capped at 1
        excess = (kl - np.log(confidence("delta", delta)) + squares / 8) / total
        return np.minimum(round_up(risk + excess, 9), 1.0)
