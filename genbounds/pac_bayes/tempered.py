"""Catoni's PAC-Bayes bound on the risk of the Gibbs predictor, at an inverse temperature fixed before the sample.

Notation and rounding as in `genbounds.pac_bayes.gibbs`.
"""

import numpy as np
from numpy.typing import ArrayLike

from genbounds.numerics import Float64, round_up, unit_interval
from genbounds.pac_bayes.complexity import GIBBS, RISK, complexity, on_grid
from genbounds.theorems import Assumption, Fixed, Grid, theorem

__all__ = ["catoni"]

_C = Fixed("C", 0.0, np.inf, "Inverse temperature: how strongly errors count against the complexity term.")


@theorem(
    statement=r"R(Q) \le \frac{1-\exp\!\left(-C\,r(Q)-\frac{\mathrm{KL}(Q\|P)+\ln(1/\delta)}{n}\right)}{1-e^{-C}}",
    formula="R(Q) <= [1 - exp(-C r(Q) - [KL(Q||P) + ln(1 / delta)] / n)] / (1 - exp(-C))",
    predictor="gibbs",
    uniform_over="posteriors",
    assumes=(*GIBBS, Assumption.PARAMETER_FIXED_BEFORE_SAMPLE),
    reference="Catoni2007",
    locator="Theorem 1.2.6; Germain2009, Corollary 2.2",
    parameters=(_C,),
    limits=RISK,
)
def catoni(risk: ArrayLike, kl: ArrayLike, n: ArrayLike, delta: ArrayLike, C: ArrayLike | Grid) -> Float64:
    """Bound the Gibbs risk at an inverse temperature C that was fixed before the sample (Catoni's bound).

    For every distribution of the data, every prior P and every C > 0, both fixed before the sample: with
    probability at least 1 - delta over n independent examples, simultaneously for every posterior Q,
    R(Q) <= (1 - exp(-C r(Q) - (KL(Q || P) + ln(1 / delta)) / n)) / (1 - exp(-C)).

    Parameters
    ----------
    risk : array_like
        Empirical Gibbs risk r(Q) on the n examples or an upper limit of it, in [0, 1].
    kl : array_like
        KL(Q || P) in nats or an upper bound of it, in [0, inf].
    n : array_like of int
        Examples in the bound's own sample, at least 1; never those that shaped P.
    delta : array_like
        Probability with which the bound may fail, in (0, 1). For a Grid: of all its candidates together.
    C : array_like or Grid
        Fixed, in (0, inf). An array is one fixed value an element, not a choice among them: the smallest element of
        the result is no bound. A Grid fixed before the sample is a choice: each candidate is tried at its share of
        delta (ln(1 / share) nats, ln k for k equal shares) and the smallest result returned.

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
    E_S exp(-n [C r(h) + ln(1 - R(h) (1 - exp(-C)))]) = 1 for a 0-1 loss and every fixed h, at most 1 for losses in
    [0, 1] by convexity of exp; then Markov's inequality over S, the change of measure, and convexity. The moment is
    1 instead of 2 sqrt(n), but it belongs to one C.

    That C was not tuned on the sample cannot be seen by any program. A C optimised after the fact turns the result
    into kl+(r(Q), (KL + ln(1 / delta)) / n), the floor of this whole proof technique (Foong et al. 2021), which is
    not a bound: with three points, three predictors and one example it fails on every sample at delta = 0.95. Pass
    a Grid, or use `seeger_xi`, which needs no C.

    Difference from the paper: Catoni writes lambda = C n and Phi^{-1}; the formula is the same. The infimum over C with
    ln(2 sqrt(n) / delta) in place of ln(1 / delta) is `maurer`. Not covered: what is not covered by `maurer`.

    Examples
    --------
    Without errors and with Q = P the numerator is 1 - delta^(1/n); at C = ln 2 the denominator is 1/2:

    >>> f"{catoni(0.0, 0.0, 1, 0.8, np.log(2)):.12f}"
    '0.400000000000'

    A grid of two costs ln 2 nats, so that delta = 0.8 becomes 0.4 for each; the better one is returned:

    >>> f"{catoni(0.0, 0.0, 1, 0.8, Grid([np.log(2), np.log(4)])):.12f}"
    '0.800000000000'
    """
    if isinstance(C, Grid):
        return on_grid(lambda paid, value: catoni(risk, paid, n, delta, value), kl, C)
    C = _C.check(C)
    exponent = C * unit_interval("risk", risk) + complexity(kl, n, delta, np.zeros_like)  # a moment of 1
    with np.errstate(over="ignore"):  # a C next to 0 overflows to infinity, which is capped at 1
        return np.minimum(round_up(np.expm1(-exponent) / np.expm1(-C), 11), 1.0)
