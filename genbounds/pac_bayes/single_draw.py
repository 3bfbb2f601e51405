"""Disintegrated PAC-Bayes bounds: the risk of one predictor h, drawn once from the posterior Q and then kept.

Notation as in `genbounds.pac_bayes.gibbs`; log_ratio = ln (dQ/dP)(h), the log density ratio at the predictor that was
drawn. The probability 1 - delta is over the sample and the draw together, and belongs to one draw: drawing again until
the number looks good voids it.

The ratio must be that of the predictor as it is stored. Weights rounded to float32 are a draw of the *rounded*
Gaussian: with P rounded likewise, the ratio of the two probabilities of a box of weights is at most the largest ratio
of the densities in it, which `genbounds.numerics.log_ratio_diagonal` bounds. What remains is named by
``Assumption.IDEAL_RANDOMNESS``: that a draw in float64, before it is rounded, stands for an ideal one.

The ratio may be negative. A draw whose right-hand side is negative lies in the event of probability delta that a
theorem excludes, for no relative entropy is negative: it is refused, and no certificate can be issued.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genbounds.numerics import (
    Float64,
    confidence,
    count,
    kl_upper,
    log_xi,
    nonnegative,
    round_up,
    unit_interval,
)
from genbounds.pac_bayes.complexity import GIBBS
from genbounds.theorems import Assumption, Fixed, Grid, theorem

__all__ = ["blanchard_fleuret", "catoni_single_draw", "rivasplata", "viallard"]

_ASSUMES = (
    *GIBBS,
    Assumption.DRAWS_INDEPENDENT,
    Assumption.DRAWS_FIXED_BEFORE_LOOKING,
    Assumption.IDEAL_RANDOMNESS,
    Assumption.DETERMINISTIC_EVALUATION,
)
_B = Fixed("b", 0.0, np.inf, "A large b pays ln(b + 1) once, a small one pays a share 1 / b of the log ratio more.")
_C = Fixed("C", 0.0, np.inf, "Inverse temperature: how strongly errors count against the complexity term.")
_UNIT = np.finfo(np.float64).eps


def _finite_below(log_ratio: ArrayLike) -> NDArray[np.float64]:
    """Return the log ratio as float64; a predictor that was drawn has a positive density."""
    array = np.asarray(log_ratio)
    if array.dtype.kind not in "biuf" or not np.all(array.astype(np.float64) > -np.inf):
        raise ValueError(
            f"log_ratio must be a real number above -infinity, got {log_ratio!r}. It is ln(dQ/dP), in nats, at the "
            "predictor that was drawn."
        )
    return array.astype(np.float64)


def _sum_above(first: Float64, *others: Float64) -> Float64:
    """Return a sum of terms of either sign, each with a relative error below five units, rounded up."""
    total, size = first, np.abs(first)
    for term in others:
        total, size = total + term, size + np.abs(term)
    return total + 8 * _UNIT * size


def _refuse_negative(total: Float64, log_ratio: ArrayLike) -> None:
    """Raise if the draw lies in the event that the theorem excludes."""
    if np.any(total < 0):
        worst = float(np.min(np.asarray(log_ratio)))
        raise ValueError(
            f"log_ratio must be large enough for a right-hand side of at least 0, got {worst!r}. The draw lies in the "
            "event of probability delta that the theorem excludes, and no certificate can be issued for it: take a "
            "smaller delta that was fixed in advance, or bound the Gibbs risk."
        )


def _cheapest(function: Any, values: Grid, *arguments: ArrayLike) -> Float64:
    """Apply a theorem to each candidate of a grid at its cost in nats and return the smallest result."""
    pairs = zip(values.values, values.costs, strict=True)
    return np.minimum.reduce([function(*arguments, value, cost) for value, cost in pairs])


@theorem(
    statement=r"R(h) \le \mathrm{kl}^{+}\!\left(r(h),\ \frac{\ln\frac{dQ}{dP}(h)+\ln(\xi(n)/\delta)}{n}\right),"
    r"\quad h\sim Q",
    formula="R(h) <= kl+( r(h), [ln(dQ/dP)(h) + ln(xi(n) / delta)] / n ), one h drawn from Q",
    predictor="single draw",
    uniform_over="ways to choose a posterior",
    assumes=_ASSUMES,
    reference="Rivasplata2020",
    locator="basic inequality for stochastic kernels, for one draw, at n kl(r || R); xi as in Germain2015",
)
def rivasplata(risk: ArrayLike, log_ratio: ArrayLike, n: ArrayLike, delta: ArrayLike) -> Float64:
    """Bound the risk of one predictor drawn from the posterior, by the density ratio at that predictor.

    For every distribution of the data, every prior P fixed before the sample and every way to choose a posterior Q
    (absolutely continuous with respect to P) on the sample: with probability at least 1 - delta over n independent
    examples and one draw h of Q, kl(r(h) || R(h)) <= (ln(dQ/dP)(h) + ln(xi(n) / delta)) / n.

    Parameters
    ----------
    risk : array_like
        Empirical risk r(h) of the predictor drawn, on the n examples, in [0, 1]; rounded up
        (``round_up(errors / n, 1)``).
    log_ratio : array_like
        ln(dQ/dP)(h) in nats at that predictor, or an upper bound of it: any real number.
    n : array_like of int
        Examples in the bound's own sample, at least 1; never those that shaped P.
    delta : array_like
        Probability with which the bound may fail, in (0, 1).

    Returns
    -------
    float64 or ndarray
        Upper bound on R(h), rounded up, in [risk, 1].

    Raises
    ------
    ValueError
        If an argument is NaN or outside its range, or the right-hand side is negative.

    Notes
    -----
    Proof: the expectation over the sample and the draw of exp(n kl(r(h) || R(h)) - ln(dQ/dP)(h)) is at most that over
    the sample of the integral of exp(n kl(r(h) || R(h))) over P, where the density has cancelled; P does not depend on
    the sample, so it is the mean over P of the moment of `seeger_xi`, at most xi(n). Markov's inequality over the
    sample and the draw together. No convexity and no change of measure: nothing is averaged over Q.

    Difference from the paper: xi(n) for their 2 sqrt(n), which it never exceeds.

    On average over the draw the log ratio is KL(Q || P), so the bound is about `seeger_xi` without a Monte Carlo step
    and with the spread of the log ratio instead. For candidates of the prior each gets its share of delta: the prior
    may then be chosen among them after the sample and even after the draw.

    Not covered: any other draw of Q, the best of several draws, the mean of Q, the Gibbs risk.

    Examples
    --------
    xi(1) = 2: without errors, and with a ratio of 1, one example gives 1 - delta / 2; a ratio of 1/2 gives 1 - delta.

    >>> f"{rivasplata(0.0, 0.0, 1, 0.05):.12f}", f"{rivasplata(0.0, -np.log(2), 1, 0.05):.12f}"
    ('0.975000000000', '0.950000000000')
    """
    log_ratio, n = _finite_below(log_ratio), count("n", n)
    total = _sum_above(log_ratio, log_xi(n), -np.log(confidence("delta", delta)))
    _refuse_negative(total, log_ratio)
    return kl_upper(unit_interval("risk", risk), round_up(total / n, 1))


@theorem(
    statement=r"R(h) \le \mathrm{kl}^{+}\!\left(r(h),\ \frac{D_{2}(Q\|P)+\ln(\xi(n)/\delta^{2})}{n}\right),"
    r"\quad h\sim Q",
    formula="R(h) <= kl+( r(h), [D_2(Q||P) + ln(xi(n) / delta^2)] / n ), one h drawn from Q",
    predictor="single draw",
    uniform_over="ways to choose a posterior",
    assumes=_ASSUMES,
    reference="Viallard2024",
    locator="general disintegrated bound at order 2, with one Markov inequality in place of two",
)
def viallard(risk: ArrayLike, renyi: ArrayLike, n: ArrayLike, delta: ArrayLike) -> Float64:
    """Bound the risk of one predictor drawn from the posterior, by the Rényi divergence of order 2.

    For every distribution of the data, every prior P fixed before the sample and every way to choose a posterior Q on
    the sample: with probability at least 1 - delta over n independent examples and one draw h of Q,
    kl(r(h) || R(h)) <= (D_2(Q || P) + ln(xi(n) / delta^2)) / n.

    Parameters
    ----------
    risk : array_like
        Empirical risk r(h) of the predictor drawn, on the n examples, in [0, 1]; rounded up
        (``round_up(errors / n, 1)``).
    renyi : array_like
        D_2(Q || P) = ln E_P (dQ/dP)^2 in nats or an upper bound of it, in [0, inf]; |w - v|^2 / sigma^2 for Gaussians
        around w and v with the same scale sigma.
    n : array_like of int
        Examples in the bound's own sample, at least 1; never those that shaped P.
    delta : array_like
        Probability with which the bound may fail, in (0, 1).

    Returns
    -------
    float64 or ndarray
        Upper bound on R(h), rounded up, in [risk, 1].

    Raises
    ------
    ValueError
        If an argument is NaN or outside its range.

    Notes
    -----
    Proof: with g(h) = exp(n kl(r(h) || R(h))), Cauchy's and Schwarz's inequality gives E_Q g^(1/2) =
    E_P (dQ/dP) g^(1/2) <= exp(D_2 / 2) (E_P g)^(1/2). So the expectation over the sample and the draw of
    g^(1/2) exp(-D_2 / 2) is at most that of (E_P g)^(1/2), which is at most xi(n)^(1/2) by Jensen's inequality and the
    moment of `seeger_xi`. Markov's inequality, once, over sample and draw. With Hölder's inequality the same gives
    D_alpha(Q || P) + ln(xi(n) / delta^(alpha / (alpha - 1))) for every order alpha > 1.

    Difference from the paper: there Markov's inequality is applied to the draw and to the sample apart, at delta / 2
    each, which gives ln(2 sqrt(n) * 8 / delta^3) in place of ln(xi(n) / delta^2): ln(8 / delta) nats more, at least.

    D_2 is never below KL(Q || P), and twice it for Gaussians of one scale, so `rivasplata` is below this bound for
    most draws; but this number does not depend on the draw except through its empirical risk.
    Not covered: what is not covered by `rivasplata`.

    Examples
    --------
    xi(1) = 2: without errors and with Q = P, one example gives 1 - delta^2 / 2:

    >>> f"{viallard(0.0, 0.0, 1, 0.2):.12f}"
    '0.980000000000'
    """
    renyi, n = nonnegative("renyi", renyi, "A divergence below zero is round-off or a bug."), count("n", n)
    with np.errstate(over="ignore"):  # to infinity, an upper bound
        c = round_up((renyi + log_xi(n) - 2 * np.log(confidence("delta", delta))) / n, 7)
    return kl_upper(unit_interval("risk", risk), c)


@theorem(
    statement=r"R(h) \le \mathrm{kl}^{+}\!\left(r(h),\ \frac{\frac{b+1}{b}\left(\ln\frac{dQ}{dP}(h)\right)_{+}"
    r"+\ln((b+1)/\delta)}{n}\right),\quad h\sim Q",
    formula="R(h) <= kl+( r(h), [(1 + 1/b) max(0, ln(dQ/dP)(h)) + ln((b + 1) / delta)] / n ), one h drawn from Q",
    predictor="single draw",
    uniform_over="ways to choose a posterior",
    assumes=(*_ASSUMES, Assumption.PARAMETER_FIXED_BEFORE_SAMPLE),
    reference="BlanchardFleuret2007",
    locator="Occam's hammer for a randomised predictor, with Chernoff's bound for each predictor",
    parameters=(_B,),
)
def blanchard_fleuret(
    risk: ArrayLike, log_ratio: ArrayLike, n: ArrayLike, delta: ArrayLike, b: ArrayLike | Grid
) -> Float64:
    """Bound the risk of one predictor drawn from the posterior by a randomised union bound (Occam's hammer).

    For every distribution of the data, every prior P and every b > 0, both fixed before the sample, and every way to
    choose a posterior Q (absolutely continuous with respect to P) on the sample: with probability at least 1 - delta
    over n independent examples and one draw h of Q, r(h) >= R(h) or
    kl(r(h) || R(h)) <= ((1 + 1/b) max(0, ln(dQ/dP)(h)) + ln((b + 1) / delta)) / n.

    Parameters
    ----------
    risk : array_like
        Empirical risk r(h) of the predictor drawn, on the n examples, in [0, 1]; rounded up
        (``round_up(errors / n, 1)``).
    log_ratio : array_like
        ln(dQ/dP)(h) in nats at that predictor, or an upper bound of it: any real number.
    n : array_like of int
        Examples in the bound's own sample, at least 1; never those that shaped P.
    delta : array_like
        Probability with which the bound may fail, in (0, 1). For a Grid: of all its candidates together.
    b : array_like or Grid
        Fixed, in (0, inf). A Grid fixed before the sample is a choice: each candidate is tried at its share of delta.

    Returns
    -------
    float64 or ndarray
        Upper bound on R(h), rounded up, in [risk, 1].

    Raises
    ------
    ValueError
        If an argument is NaN or outside its range.

    Notes
    -----
    Proof: for each fixed h let p(h) = exp(-n kl(r(h) || R(h))) where r(h) < R(h), else 1; by Chernoff's bound
    P[p(h) <= x] <= x. The bound fails where p(h) <= delta beta(u), u = (dP/dQ)(h) and
    beta(u) = min(u, 1)^(1 + 1/b) / (b + 1). For a given p(h) the density dQ/dP at which it fails is at most
    1 / beta^-1(p(h) / delta), and nothing fails where p(h) > delta / (b + 1). So the probability of a failure, which is
    the expectation over the sample and over P of the density where it fails, is at most the expectation of that
    decreasing function of p(h): at most its integral from 0 to 1, which is delta times the integral of d beta(u) / u,
    and that is 1.

    Difference from the paper: beta belongs to their prior u^(1/b) on (0, 1); Viallard et al. (2024) take b = n. One
    sided, so a single predictor needs no ln(2 sqrt(n)): with a ratio next to 1 and a small b it is below `rivasplata`.
    Never refused: a negative log ratio counts as 0. Not covered: what is not covered by `rivasplata`.

    Examples
    --------
    Without errors, with a ratio of 1 and b = 1, one example gives 1 - delta / 2:

    >>> f"{blanchard_fleuret(0.0, 0.0, 1, 0.05, 1.0):.12f}"
    '0.975000000000'
    """
    if isinstance(b, Grid):
        return _cheapest(_blanchard_fleuret, b, risk, log_ratio, n, delta)
    return _blanchard_fleuret(risk, log_ratio, n, delta, b, 0.0)


def _blanchard_fleuret(
    risk: ArrayLike, log_ratio: ArrayLike, n: ArrayLike, delta: ArrayLike, b: ArrayLike, cost: float
) -> Float64:
    b, ratio = _B.check(b), np.maximum(_finite_below(log_ratio), 0.0)
    with np.errstate(over="ignore", invalid="ignore"):  # to infinity, an upper bound; nothing of a ratio of 0
        share = np.where(ratio > 0, (1 + 1 / b) * ratio, 0.0)
        total = share + np.log1p(b) - np.log(confidence("delta", delta)) + cost
    return kl_upper(unit_interval("risk", risk), round_up(total / count("n", n), 8))


@theorem(
    statement=r"R(h) \le \frac{1-\exp\!\left(-C\,r(h)-\frac{\ln\frac{dQ}{dP}(h)+\ln(1/\delta)}{n}\right)}{1-e^{-C}},"
    r"\quad h\sim Q",
    formula="R(h) <= [1 - exp(-C r(h) - [ln(dQ/dP)(h) + ln(1 / delta)] / n)] / (1 - exp(-C)), one h drawn from Q",
    predictor="single draw",
    uniform_over="ways to choose a posterior",
    assumes=(*_ASSUMES, Assumption.PARAMETER_FIXED_BEFORE_SAMPLE),
    reference="Catoni2007",
    locator="Theorem 1.2.7",
    parameters=(_C,),
)
def catoni_single_draw(
    risk: ArrayLike, log_ratio: ArrayLike, n: ArrayLike, delta: ArrayLike, C: ArrayLike | Grid
) -> Float64:
    """Bound the risk of one predictor drawn from the posterior, at an inverse temperature fixed before the sample.

    For every distribution of the data, every prior P and every C > 0, both fixed before the sample, and every way to
    choose a posterior Q (absolutely continuous with respect to P) on the sample: with probability at least 1 - delta
    over n independent examples and one draw h of Q,
    R(h) <= (1 - exp(-C r(h) - (ln(dQ/dP)(h) + ln(1 / delta)) / n)) / (1 - exp(-C)).

    Parameters
    ----------
    risk : array_like
        Empirical risk r(h) of the predictor drawn, on the n examples, in [0, 1]; rounded up
        (``round_up(errors / n, 1)``).
    log_ratio : array_like
        ln(dQ/dP)(h) in nats at that predictor, or an upper bound of it: any real number.
    n : array_like of int
        Examples in the bound's own sample, at least 1; never those that shaped P.
    delta : array_like
        Probability with which the bound may fail, in (0, 1). For a Grid: of all its candidates together.
    C : array_like or Grid
        Fixed, in (0, inf). A Grid fixed before the sample is a choice: each candidate is tried at its share of delta.

    Returns
    -------
    float64 or ndarray
        Upper bound on R(h), rounded up; 1 where the formula exceeds 1, as no risk does.

    Raises
    ------
    ValueError
        If an argument is NaN or outside its range, or the numerator is negative.

    Notes
    -----
    Proof: the moment of `catoni`, E_S exp(-n [C r(h) + ln(1 - R(h) (1 - exp(-C)))]) <= 1 for every fixed h, in the
    place of xi(n) in the proof of `rivasplata`. Solving for R(h) gives the formula.

    At its best C, which may not be chosen after the fact, the bound is kl+(r(h), (log ratio + ln(1 / delta)) / n),
    below `rivasplata` by ln xi(n) nats. Not covered: what is not covered by `rivasplata`.

    Examples
    --------
    Without errors and with a ratio of 1 the numerator is 1 - delta^(1/n); at C = ln 2 the denominator is 1/2:

    >>> f"{catoni_single_draw(0.0, 0.0, 1, 0.8, np.log(2)):.12f}"
    '0.400000000000'

    A ratio below delta leaves nothing to certify:

    >>> catoni_single_draw(0.0, -1.0, 1, 0.8, np.log(2))
    Traceback (most recent call last):
        ...
    ValueError: log_ratio must be large enough for a right-hand side of at least 0, got -1.0. ...
    """
    if isinstance(C, Grid):
        return _cheapest(_catoni_single_draw, C, risk, log_ratio, n, delta)
    return _catoni_single_draw(risk, log_ratio, n, delta, C, 0.0)


def _catoni_single_draw(
    risk: ArrayLike, log_ratio: ArrayLike, n: ArrayLike, delta: ArrayLike, C: ArrayLike, cost: float
) -> Float64:
    C, log_ratio, n = _C.check(C), _finite_below(log_ratio), count("n", n)
    errs = C * unit_interval("risk", risk)
    exponent = _sum_above(errs, log_ratio / n, -np.log(confidence("delta", delta)) / n, cost / n)
    _refuse_negative(exponent, log_ratio)
    with np.errstate(over="ignore"):  # a C next to 0 overflows to infinity, which is capped at 1
        return np.minimum(round_up(np.expm1(-exponent) / np.expm1(-C), 10), 1.0)
