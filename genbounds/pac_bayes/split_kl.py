r"""PAC-Bayes bounds for losses with more than two values, by splitting them into parts with a kl bound each.

Notation and rounding as in `genbounds.pac_bayes.gibbs`. A kl bound is tight at the ends of a loss's range, where coins
live, and poor between: a loss that is nearly always 1/2 looks like a fair coin to it. Split at 1/2, both parts are
nearly 0. Differences of 0-1 losses, with values -1, 0 and 1, are the case that matters most.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genbounds.numerics import Float64, kl_lower, kl_upper, nonnegative, round_down, round_up, unit_interval
from genbounds.pac_bayes.complexity import GIBBS, complexity, log_xi_times
from genbounds.theorems import Assumption, Limit, theorem

__all__ = ["FREQUENCIES", "ascending", "split_kl", "split_kl_discrete"]

#: What stands for the argument `frequencies`.
FREQUENCIES = Limit("empirical frequencies of the levels on the bound sample", "gibbs")


def _above(value: Float64) -> Float64:
    """Return the next float: at or above what one operation on floats was rounded from."""
    return np.nextafter(value, np.inf)


def ascending(levels: ArrayLike) -> NDArray[np.float64]:
    """Return the levels of a loss as float64.

    Parameters
    ----------
    levels : array_like, shape (K + 1,)
        At least two finite numbers in increasing order.

    Returns
    -------
    ndarray, shape (K + 1,)
        The levels.

    Raises
    ------
    ValueError
        If there are fewer, one of them is not finite, or they do not increase.
    """
    array = np.asarray(levels)
    wrong = array.dtype.kind not in "biuf" or array.ndim != 1 or array.size < 2
    if wrong or not (np.isfinite(array).all() and (np.diff(array.astype(np.float64)) > 0).all()):
        raise ValueError(
            f"levels must be at least two finite numbers in increasing order, got {levels!r}. "
            "List the smallest and the largest value of the loss, and those between them."
        )
    return array.astype(np.float64)


def frequencies_of(frequencies: ArrayLike, levels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the frequencies of all levels but the lowest as float64.

    Parameters
    ----------
    frequencies : array_like, shape (..., K)
        In [0, 1].
    levels : ndarray, shape (K + 1,)
        From `ascending`.

    Returns
    -------
    ndarray, shape (..., K)
        The frequencies.

    Raises
    ------
    ValueError
        If they are not as many, or one of them is outside [0, 1].
    """
    array = unit_interval("frequencies", frequencies, "They are shares of the examples.")
    if array.ndim == 0 or array.shape[-1] != levels.size - 1:
        raise ValueError(
            f"frequencies must have {levels.size - 1} entries along the last axis, got shape {array.shape}. "
            "Give one for each level but the lowest."
        )
    return array


@theorem(
    statement=r"R(Q) \le \mu+(1-\mu)\,\mathrm{kl}^{+}\!\left(\frac{r^{+}(Q)}{1-\mu},c\right)"
    r"-\mu\,\mathrm{kl}^{-}\!\left(\frac{r^{-}(Q)}{\mu},c\right),"
    r"\quad c=\frac{\mathrm{KL}(Q\|P)+\ln(2\,\xi(n)/\delta)}{n}",
    formula="R(Q) <= mu + (1 - mu) kl+( r_above / (1 - mu), c ) - mu kl-( r_below / mu, c ), "
    "c = [KL(Q||P) + ln(2 xi(n) / delta)] / n",
    predictor="gibbs",
    uniform_over="posteriors",
    assumes=(*GIBBS, Assumption.PARAMETER_FIXED_BEFORE_SAMPLE),
    limits={
        "excess_above": Limit("empirical mean of the loss's excess above mu on the bound sample", "gibbs"),
        "shortfall_below": Limit("lower limit of the empirical mean of the loss's shortfall below mu", "gibbs"),
    },
    reference="WuSeldin2022",
    locator="Theorem 7 (PAC-Bayes-split-kl), for losses in [0, 1] and with xi(n)",
)
def split_kl(
    excess_above: ArrayLike, shortfall_below: ArrayLike, kl: ArrayLike, n: ArrayLike, delta: ArrayLike, mu: ArrayLike
) -> Float64:
    """Bound the Gibbs risk by a kl bound on the part of the loss above a cut and one on the part below (split-kl).

    For every distribution of the data, every prior P and every cut mu in (0, 1), both fixed before the sample: with
    probability at least 1 - delta over n independent examples, simultaneously for every posterior Q,
    R(Q) <= mu + (1 - mu) kl+(r_above / (1 - mu), c) - mu kl-(r_below / mu, c).

    Parameters
    ----------
    excess_above : array_like
        r_above, the average of E_Q max(l(h, z) - mu, 0) over the n examples, or an upper limit of it, in [0, 1 - mu].
    shortfall_below : array_like
        r_below, the average of E_Q max(mu - l(h, z), 0) over the n examples, or a *lower* limit of it, in [0, mu].
        The empirical risk is mu + r_above - r_below.
    kl : array_like
        KL(Q || P) in nats or an upper bound of it, in [0, inf].
    n : array_like of int
        Examples in the bound's own sample, at least 1; never those that shaped P.
    delta : array_like
        Probability with which the bound may fail, in (0, 1): one half for each part.
    mu : array_like
        The cut, in (0, 1), fixed before the sample. The two averages depend on it, so a choice among k cuts is a
        choice among k results, each at delta / k.

    Returns
    -------
    float64 or ndarray
        Upper bound on R(Q), rounded up; 1 where the formula exceeds 1, as no risk does.

    Raises
    ------
    ValueError
        If an argument is NaN or outside its range.

    Notes
    -----
    l = mu + max(l - mu, 0) - max(mu - l, 0), and divided by 1 - mu and by mu the two parts lie in [0, 1]. The event of
    `seeger_xi` for each of them at delta / 2 bounds the mean of the first from above and that of the second from below.

    Difference from the paper: xi(n) in place of 2 sqrt(n); the range [a, b] of the paper is [0, 1] after rescaling.

    Not covered: what is not covered by `maurer`.

    Examples
    --------
    A loss that is always 1/2, cut there: both parts are 0, and the bound is 1/2 + (1 - exp(-c)) / 2, where maurer
    would take it for a fair coin:

    >>> f"{split_kl(0.0, 0.0, 0.0, 1, 0.8, 0.5):.12f}", f"{0.5 + (1 - 0.8 / (2 * 2)) / 2:.12f}"
    ('0.900000000000', '0.900000000000')
    """
    mu = np.asarray(mu)
    if mu.dtype.kind not in "biuf" or not np.all((mu > 0) & (mu < 1)):
        raise ValueError(f"mu must be strictly between 0 and 1, got {mu!r}. Cut at a value that the loss often has.")
    mu = mu.astype(np.float64)
    above = nonnegative("excess_above", excess_above)
    below = nonnegative("shortfall_below", shortfall_below)
    for name, part, most in (("excess_above", above, 1 - mu), ("shortfall_below", below, mu)):
        if (part > most).any():
            raise ValueError(
                f"{name} must be at most the room on its side of mu={mu!r}, got {part!r}. Average the part of the loss "
                "beyond the cut, for the loss in [0, 1]."
            )
    c = complexity(kl, n, delta, lambda n: log_xi_times(2, n))
    upper = kl_upper(np.minimum(round_up(above / (1 - mu), 2), 1.0), c)  # 1 - mu is rounded too
    lower = kl_lower(np.minimum(round_down(below / mu, 1), 1.0), c)
    total = _above(mu + round_up((1 - mu) * upper, 2))
    return np.minimum(_above(total - round_down(mu * lower, 1)), 1.0)


@theorem(
    statement=r"R(Q) \le b_0+\sum_{j=1}^{K}(b_j-b_{j-1})\,\mathrm{kl}^{+}\!\left(\hat F_j(Q),"
    r"\ \frac{\mathrm{KL}(Q\|P)+\ln(K\,\xi(n)/\delta)}{n}\right)",
    formula="R(Q) <= b0 + sum_j (bj - b(j-1)) kl+( Fj, [KL(Q||P) + ln(K xi(n) / delta)] / n ), "
    "Fj = how often the loss is at least bj",
    predictor="gibbs",
    uniform_over="posteriors",
    assumes=(
        *(item for item in GIBBS if item is not Assumption.LOSS_IN_UNIT_INTERVAL),
        Assumption.LOSS_HAS_LEVELS,
    ),
    limits={"frequencies": FREQUENCIES},
    reference="Wu2024",
    locator="Theorem 4 (PAC-Bayes-split-kl for discrete random variables), with xi(n)",
)
def split_kl_discrete(
    frequencies: ArrayLike, levels: ArrayLike, kl: ArrayLike, n: ArrayLike, delta: ArrayLike
) -> Float64:
    """Bound the Gibbs risk for a loss with K + 1 values by a kl bound on each step between them (split-kl).

    For every distribution of the data and every prior P fixed before the sample: with probability at least 1 - delta
    over n independent examples, simultaneously for every posterior Q,
    R(Q) <= b_0 + sum_j (b_j - b_(j-1)) kl+(F_j, (KL(Q || P) + ln(K xi(n) / delta)) / n).

    Parameters
    ----------
    frequencies : array_like, shape (..., K)
        F_j, the average of Q[l(h, z) >= b_j] over the n examples, for j = 1, ..., K, or an upper limit of it, in
        [0, 1]. For a loss with values between the levels, count {l > b_(j-1)}: it is rounded up to the next level.
    levels : array_like, shape (K + 1,)
        b_0 < ... < b_K, fixed before the sample; the loss is never above b_K.
    kl : array_like
        KL(Q || P) in nats or an upper bound of it, in [0, inf].
    n : array_like of int
        Examples in the bound's own sample, at least 1; never those that shaped P.
    delta : array_like
        Probability with which the bound may fail, in (0, 1).

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
    l = b_0 + sum_j (b_j - b_(j-1)) [l >= b_j]. Each bracket is a 0-1 loss, whose risk `seeger_xi` bounds at delta / K.
    Only an upper bound is needed of each, unlike in `split_kl`, which pays for a lower one.

    Difference from the paper: xi(n) in place of 2 sqrt(n).

    With levels 0 and 1 it is `seeger_xi`. A level that never occurs costs the union alone, ln((K + 1) / K) nats.
    `coin_betting` takes the same numbers, pays no union and sees the steps together; this bound treats them as if all
    could be unlucky at once. Not covered: what is not covered by `maurer`.

    Examples
    --------
    A difference of two 0-1 losses that was 0 on the one example there is; xi(1) = 2:

    >>> f"{split_kl_discrete([1.0, 0.0], [-1, 0, 1], 0.0, 1, 0.8):.12f}", f"{-1 + 1 + (1 - 0.8 / (2 * 2)):.12f}"
    ('0.800000000000', '0.800000000000')
    """
    levels = ascending(levels)
    frequencies = frequencies_of(frequencies, levels)
    steps = levels.size - 1
    c = np.expand_dims(complexity(kl, n, delta, lambda n: log_xi_times(steps, n)), -1)
    parts = np.asarray(round_up(_above(np.diff(levels)) * kl_upper(frequencies, c), 1))
    total = levels[0]
    for step in range(steps):
        total = _above(total + parts[..., step])
    return np.minimum(total, levels[-1])
