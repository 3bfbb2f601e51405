r"""A bound with high probability for supersamples: priors that know the pairs, and not which of each was trained on.

Notation as in `genbounds.information.conditional`. The supersample is given and the mask U is random. The prior P may
depend on the 2n examples in any way, as long as it does not depend on U ("almost exchangeable"); the posterior Q may
depend on all. Such priors can be much closer to Q than one that knows nothing: the law of the output given the pairs
alone is one, and then KL(Q||P), averaged over masks, is I(W;U). What stands in the bound is not that average but the
divergence of the one posterior that came out, a random number.
"""

import numpy as np
from numpy.typing import ArrayLike

from genbounds.numerics import Float64, confidence, count, log_xi, nonnegative, risk_pair_upper, round_up
from genbounds.theorems import Assumption, theorem
from genbounds.theorems.quantities import GHOST_RISK

__all__ = ["almost_exchangeable"]


@theorem(
    statement=r"\max\{M(a,b),\,M(1-a,1-b)\} \le \frac{\mathrm{KL}(Q\|P)+\ln(\xi(n)/\delta)}{n},\quad "
    r"M(a,b)=a\ln\tfrac{2a}{a+b}+b\ln\tfrac{2b}{a+b},\ a=L_{\mathrm{train}}(Q),\ b=L_{\mathrm{ghost}}(Q)",
    formula="max(M(a, b), M(1-a, 1-b)) <= [KL(Q||P) + ln(xi(n) / delta)] / n, "
    "M(a, b) = a ln(2a/(a+b)) + b ln(2b/(a+b)), a = L_train(Q), b = L_ghost(Q)",
    predictor="gibbs",
    quantity=GHOST_RISK,
    uniform_over="posteriors",
    assumes=(Assumption.FAIR_MASK, Assumption.LOSS_IN_UNIT_INTERVAL, Assumption.PRIOR_INDEPENDENT_OF_MASK),
    reference="Catoni2007",
    locator="exchangeable priors of transductive learning; as HellstromDurisi2022 with another comparison of risks",
)
def almost_exchangeable(train_risk: ArrayLike, supersample_kl: ArrayLike, n: ArrayLike, delta: ArrayLike) -> Float64:
    """Bound the Gibbs risk on the ghosts by the divergence from a prior that knows the pairs but not the mask.

    For every supersample of n pairs and every prior P that does not depend on the mask: with probability at least
    1 - delta over the mask, simultaneously for every posterior Q (which may depend on mask and pairs in any way), with
    a = L_train(Q), b = L_ghost(Q) and M(a, b) = a ln(2a / (a + b)) + b ln(2b / (a + b)): neither M(a, b) nor
    M(1 - a, 1 - b) exceeds (KL(Q||P) + ln(xi(n) / delta)) / n; the result is the largest b that this allows.

    Parameters
    ----------
    train_risk : array_like
        Average loss of Q on the n examples trained on, or an upper limit of it, in [0, 1].
    supersample_kl : array_like
        KL(Q || P) in nats for this supersample and mask, or an upper bound of it, in [0, inf]. Its average over masks,
        a conditional mutual information, is something else.
    n : array_like of int
        Pairs of examples, at least 1.
    delta : array_like
        Probability with which the bound may fail, in (0, 1).

    Returns
    -------
    float64 or ndarray
        Upper bound on the average loss of Q on the n ghosts, rounded up, in [train_risk, 1].

    Raises
    ------
    ValueError
        If an argument is NaN or outside its range.

    Notes
    -----
    Proof: let D(a, b) be the maximum. For one predictor w, E exp(n D(L_train(w), L_ghost(w))) over the mask is convex
    in its losses on the pairs, so it is largest for losses of 0 and 1. Then let d of the pairs have one error. With k
    of these errors in training, n D <= d kl(k / d || 1/2), with equality where all other pairs have none or all have
    two, and k is binomial: the mean is at most xi(d) <= xi(n). Markov's inequality, the change of measure from P to Q,
    and D being jointly convex.

    Difference from the literature: there kl(a || (a + b) / 2), which is never above D(a, b), and ln(2 sqrt(n) / delta),
    which is never below ln(xi(n) / delta). Without training errors the bound is the right-hand side over ln 2, in
    place of about twice the right-hand side.

    The ghosts are the n examples that were held back, and whoever has them can look; the bound is of use where that
    was not done, or to learn how much a posterior depends on the mask. It is not a bound on the risk on new data: for
    that, add what separates the ghosts' average from its expectation.

    Examples
    --------
    A posterior that is no other than the prior, without training errors, on one pair: xi(1) = 2, ln(40) / ln 2 > 1. On
    twenty pairs:

    >>> float(almost_exchangeable(0.0, 0.0, 1, 0.05))
    1.0
    >>> f"{almost_exchangeable(0.0, 0.0, 20, 0.05):.6f}"
    '0.348791'
    """
    divergence, n = nonnegative("supersample_kl", supersample_kl), count("n", n)
    with np.errstate(over="ignore"):  # to infinity, an upper bound
        budget = round_up((divergence + log_xi(n) - np.log(confidence("delta", delta))) / n, 7)
    return risk_pair_upper(train_risk, budget)
