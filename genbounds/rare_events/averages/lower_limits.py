"""A lower limit for the expectation of positive terms without any trust in their tail: Markov's inequality and bets.

Terms of mean m are drawn independently, m in (0, inf), and nothing else is known. Each of two sums is an e-value, of
expectation 1 at the true m: (average of x_i) / m, and the average over bets g of prod_i (1 + g (x_i / m - 1)), whose
factors are not negative for g in [0, 1]. Both fall in m, and by Markov's inequality each reaches 2 / delta with
probability at most delta / 2. So the larger of the two values of m at which they do is a limit. The first is never more
than ln(2 / delta) below the logarithm of the average; the second comes close to it if the terms hardly differ.
"""

import math

import numpy as np
from numpy.typing import ArrayLike

from genbounds.numerics import betting_upper
from genbounds.numerics.checks import confidence

__all__ = ["log_mean_lower_limit"]


def log_mean_lower_limit(log_terms: ArrayLike, delta: float) -> float:
    """Return a lower limit of ln E[x] from independent terms x >= 0 that are known by their logarithms.

    Parameters
    ----------
    log_terms : array_like, shape (n,)
        Logarithms of independent terms with one expectation, n >= 1 fixed before looking; -infinity for a 0.
    delta : float
        Probability with which the limit may be above ln E[x], in (0, 1): for every n and every law of the terms.

    Returns
    -------
    float
        The limit, at least ln(average of x) - ln(2 / delta); -infinity if all terms are 0.

    Raises
    ------
    ValueError
        If there is no term, one is NaN or infinitely large, or delta is outside (0, 1).

    Notes
    -----
    The limit scales with the terms, so that they may be divided by the largest of them, which makes the second e-value
    that of `genbounds.numerics.betting_upper` for 1 - x. Difference from there: no upper bound of the terms is needed,
    for it is a lower limit that is looked for.

    Examples
    --------
    One term is worth Markov's inequality, many equal ones are believed:

    >>> [round(math.exp(log_mean_lower_limit(np.zeros(n), 0.1)), 3) for n in (1, 10, 1000)]
    [0.05, 0.678, 0.995]
    """
    logs = np.asarray(log_terms, dtype=np.float64)
    if logs.ndim != 1 or not len(logs) or np.isnan(logs).any() or (logs == np.inf).any():
        raise ValueError(
            f"log_terms must be a list of numbers below infinity, got shape {logs.shape}, largest "
            f"{logs.max(initial=-np.inf)}. Look for the overflow upstream."
        )
    log_level = math.log(float(confidence("delta", delta)) / 2)
    largest = float(logs.max())
    if largest == -math.inf:
        return -math.inf
    scaled = np.exp(logs - largest)
    lost = float(betting_upper(np.minimum(np.nextafter(1 - scaled, 2), 1.0), log_level))
    by_bets = math.log1p(-lost) if lost < 1 else -math.inf
    return largest + max(by_bets, math.log(scaled.mean()) + log_level)
