r"""A bound on the gap by the lautum information L(S;W) = KL(P_S x P_W || P_{S,W}): "mutual" read backwards.

It is the other half of the exact identity for the Gibbs algorithm. Turning the divergence round loses the sum over
examples: sqrt(L / (2n)), the mirror image of `genbounds.information.xu_raginsky`, is *not* a bound. Counterexample:
labels are fair coins, inputs never repeat. With probability e the algorithm puts out the sample's labels, else random
ones. The gap is e / 2 whatever n is; L(S;W) is below -ln(1 - e), for when S and W are independent the algorithm may
always have been in its second state. At e = 1/2 and n = 20 the mirror image says 0.132 and the gap is 0.25. (What holds
is sqrt(L(W;Z_i) / 2), example by example; but L(W;Z_1) + ... + L(W;Z_n) may exceed L(S;W).)
"""

import numpy as np
from numpy.typing import ArrayLike

from genbounds.information.mutual_information import AVERAGES, BOUNDED
from genbounds.numerics import Float64, count, nonnegative, round_up
from genbounds.theorems import theorem
from genbounds.theorems.quantities import GAP

__all__ = ["lautum_gap"]


@theorem(
    statement=r"\left|\mathbb{E}[L_\mu(W)-L_S(W)]\right| \le \frac{1-e^{-L(S;W)-r^2/(2n)}}{r(2-r)},"
    r"\quad r=\frac{2}{1+\sqrt{1+2/(n\,L(S;W))}}",
    formula="|E[L_mu(W) - L_S(W)]| <= [1 - exp(-L - r^2 / (2n))] / (r (2 - r)), r = 2 / (1 + sqrt(1 + 2 / (n L)))",
    predictor="algorithm average",
    kind="expectation",
    quantity=GAP,
    averages_over=AVERAGES,
    assumes=BOUNDED,
    reference="PalomarVerdu2008",
    locator="definition of the lautum information; the bound is derived in the notes",
)
def lautum_gap(lautum: ArrayLike, n: ArrayLike) -> Float64:
    """Bound the expected gap by the lautum information, for losses in [0, 1].

    For every distribution of the data and every algorithm, on average over n independent examples and the algorithm's
    randomness: |E[L_mu(W) - L_S(W)]| <= (1 - exp(-L - r^2 / (2n))) / (r (2 - r)) for every r in (0, 1], with
    L = KL(P_S x P_W || P_{S,W}).

    Parameters
    ----------
    lautum : array_like
        L(S;W) in nats or an upper bound of it, in [0, inf].
    n : array_like of int
        Examples in a sample, at least 1.

    Returns
    -------
    float64 or ndarray
        Upper bound on |E[L_mu(W) - L_S(W)]|, rounded up; 1 where the formula exceeds 1.

    Raises
    ------
    ValueError
        If an argument is NaN or outside its range.

    Notes
    -----
    Proof: fix w. Let X = L_S(w), with mean m under P_S and m - g under P_{S|W=w}, and l_w = KL(P_S || P_{S|W=w}), whose
    mean over P_W is L. For c in (0, 1), Donsker and Varadhan with f = ln(1 + c (X - m)) give

        l_w >= E_{P_S} ln(1 + c (X - m)) - ln(1 - c g).

    (ln(1 + y) - y) / y^2 increases in y, and y >= -c m here, so that the first term is at least
    -(ln(1 / (1 - c m)) - c m) Var(X) / m^2; with Var(X) <= m (1 - m) / n and -ln(1 - x) - x <= x^2 / (2 (1 - x)) it is
    at least -c^2 m (1 - m) / (2n (1 - c m)), and over m that is smallest at -(1 - sqrt(1 - c))^2 / (2n). With
    c = r (2 - r) this is -r^2 / (2n), hence g <= (1 - exp(-l_w - r^2 / (2n))) / (r (2 - r)). The right-hand side is
    concave in l_w, so it holds for the means over w too. For -g apply it to the loss 1 - l.

    The r of the formula is the best one for the exponential replaced by its tangent at 0; the best of all lowers the
    bound by less than 2 per cent.

    For n L much below 1 it is about sqrt(L / (2n)); for n L much above 1 about 1 - exp(-L), which the memoriser of this
    module's head attains with many classes as n grows. So the lautum information is the better one only next to
    independence: `xu_raginsky` divides by n throughout. A derivation of our own; the reference defines L(S;W).

    Examples
    --------
    The counterexample with 20 examples of 10 classes, learnt with probability 1/2: the gap is 0.45.

    >>> f"{lautum_gap(np.log(2), 20):.4f}", f"{np.sqrt(np.log(2) / 40):.4f}"  # the bound, and what is not one
    ('0.5121', '0.1316')
    """
    lautum, n = nonnegative("lautum", lautum, "Pass L(S;W) in nats."), count("n", n)
    with np.errstate(divide="ignore", over="ignore"):  # towards independence r tends to 0
        r = np.maximum(2 / (1 + np.sqrt(1 + 2 / (n * lautum))), 2.0**-500)
    return np.minimum(round_up(-np.expm1(-lautum - r * r / (2 * n)) / (r * (2 - r)), 12), 1.0)[()]
