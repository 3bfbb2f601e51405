"""Occam bounds: the risk of one predictor that was chosen on the sample, paid for by the length of its description."""

from numpy.typing import ArrayLike

from genbounds.numerics import Float64, binomial_upper, count, kl_upper, round_up, unit_interval
from genbounds.pac_bayes.complexity import code_cost
from genbounds.theorems import Assumption, theorem

__all__ = ["occam_binomial", "occam_kl"]


@theorem(
    statement=r"R(h) \le \mathrm{kl}^{+}\!\left(r(h),\ \frac{\ln(1/P(h))+\ln(1/\delta)}{n}\right)",
    formula="R(h) <= kl+( r(h), [code_length(h) + ln(1 / delta)] / n )",
    predictor="deterministic",
    uniform_over="predictors with a code",
    assumes=(
        Assumption.IID,
        Assumption.LOSS_IN_UNIT_INTERVAL,
        Assumption.PREFIX_FREE_CODE,
        Assumption.STATE_INDEPENDENT_OF_SAMPLE,
        Assumption.DETERMINISTIC_EVALUATION,
    ),
    reference="Langford2005",
    locator="Section 4, Occam's Razor bound in its relative-entropy Chernoff form; after Blumer1987",
)
def occam_kl(risk: ArrayLike, code_length: ArrayLike, n: ArrayLike, delta: ArrayLike) -> Float64:
    """Bound the risk of a predictor chosen on the sample by its code length, for losses in [0, 1].

    For every distribution of the data and every code fixed before the sample: with probability at least 1 - delta
    over n independent examples, simultaneously for every predictor h that has a code,
    R(h) <= kl+(r(h), (code_length(h) + ln(1 / delta)) / n).

    Parameters
    ----------
    risk : array_like
        Empirical risk r(h) of the decoded predictor, in [0, 1]; rounded up (``round_up(errors / n, 1)``).
    code_length : array_like
        ln(1 / P(h)) in nats (bits times ln 2), in [0, inf], where P adds up to at most 1 over all predictors.
    n : array_like of int
        Examples in the bound's own sample, at least 1.
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
    `test_set_kl` for every h at confidence delta P(h), and a union bound. One predictor is chosen, not a posterior,
    so neither ln(2 sqrt(n)) nor a factor 2 is due: it is below `maurer` at kl = code_length.

    Difference from the literature: Blumer et al. (1987) treat predictors without errors; the square-root form used
    for compressed networks, r + sqrt((code_length + ln(1 / delta)) / (2n)), follows by Pinsker's inequality and is
    never smaller.

    The code must be prefix-free or otherwise obey Kraft's inequality. l + 2 log2 l bits for a file of l bits do not
    (their sum of 2^-length is pi^2 / 6); add log2(pi^2 / 6) bits.

    Never below `occam_binomial` for a 0-1 loss: prefer that one there. Not covered: a predictor other than the
    decoded one.

    Examples
    --------
    Without errors the bound is 1 - (delta P(h))^(1/n); with 10 bits, n = 100 and delta = 2^-10 that is 1 - 2^-0.2:

    >>> import math
    >>> f"{occam_kl(0.0, 10 * math.log(2), 100, 2.0**-10):.12f}", f"{1 - 2**-0.2:.12f}"
    ('0.129449436704', '0.129449436704')
    """
    c = round_up(code_cost(code_length, delta) / count("n", n), 1)
    return kl_upper(unit_interval("risk", risk), c)


@theorem(
    statement=r"R(h) \le \max\{p : \mathbb{P}[\mathrm{Bin}(n,p)\le k(h)] \ge \delta\,P(h)\}",
    formula="R(h) <= max{ p : P[Bin(n, p) <= errors(h)] >= delta exp(-code_length(h)) }",
    predictor="deterministic",
    uniform_over="predictors with a code",
    assumes=(
        Assumption.IID,
        Assumption.ZERO_ONE_LOSS,
        Assumption.PREFIX_FREE_CODE,
        Assumption.STATE_INDEPENDENT_OF_SAMPLE,
        Assumption.DETERMINISTIC_EVALUATION,
    ),
    reference="Langford2005",
    locator="Section 4, Occam's Razor bound",
)
def occam_binomial(errors: ArrayLike, code_length: ArrayLike, n: ArrayLike, delta: ArrayLike) -> Float64:
    """Bound the risk of a predictor chosen on the sample by its code length, with exact binomial tails.

    For every distribution of the data and every code fixed before the sample: with probability at least 1 - delta
    over n independent examples, simultaneously for every predictor h that has a code, R(h) is at most the exact
    binomial upper limit of its errors at level delta P(h).

    Parameters
    ----------
    errors : array_like of int
        Errors of the decoded predictor on the n examples, from 0 to n.
    code_length : array_like
        ln(1 / P(h)) in nats (bits times ln 2), in [0, inf], where P adds up to at most 1 over all predictors.
    n : array_like of int
        Examples in the bound's own sample, at least 1.
    delta : array_like
        Probability with which the bound may fail, in (0, 1).

    Returns
    -------
    float64 or ndarray
        Upper bound on R(h), rounded up, at most 1; at least errors / n for delta <= 1/2.

    Raises
    ------
    ValueError
        If an argument is NaN or outside its range.

    Notes
    -----
    `clopper_pearson` for every h at confidence delta P(h), and a union bound. The level is passed as a logarithm:
    code lengths of many thousand nats are no obstacle.

    Never above `occam_kl`: Chernoff's bound on the tail is replaced by the tail itself. Kraft's inequality is
    needed as there. Not covered: a predictor other than the decoded one.

    Examples
    --------
    Without errors both Occam bounds are 1 - (delta P(h))^(1/n):

    >>> import math
    >>> f"{occam_binomial(0, 10 * math.log(2), 100, 2.0**-10):.12f}"
    '0.129449436704'
    """
    return binomial_upper(count("errors", errors, minimum=0), count("n", n), -code_cost(code_length, delta))
