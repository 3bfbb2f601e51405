"""A bound on the gap by chaining: information at each scale of the hypotheses, weighed by the size of the scale.

`genbounds.information.xu_raginsky` counts all bits of the output alike. Bits that move the loss by little can matter
little: describe W from coarse to fine, and let each step pay with its own length.
"""

import numpy as np
from numpy.typing import ArrayLike

from genbounds.information.mutual_information import AVERAGES
from genbounds.numerics import Float64, count, nonnegative, round_up
from genbounds.theorems import Assumption, theorem
from genbounds.theorems.quantities import GAP

__all__ = ["asadi"]


@theorem(
    statement=r"\left|\mathbb{E}[L_\mu(W)-L_S(W)]\right| \le \sqrt{\frac2n}\,\sum_{k=1}^{K} a_k\sqrt{I([W]_k;S)}",
    formula="|E[L_mu(W) - L_S(W)]| <= sqrt(2 / n) sum_k a_k sqrt( I([W]_k; S) )",
    predictor="algorithm average",
    kind="expectation",
    quantity=GAP,
    averages_over=AVERAGES,
    assumes=(Assumption.IID, Assumption.CHAIN_OF_PARTITIONS, Assumption.INFORMATION_NOT_ESTIMATED),
    reference="AsadiAbbeVerdu2018",
    locator="Theorem 2, for any nested partitions",
)
def asadi(scale_information: ArrayLike, scale_diameters: ArrayLike, n: ArrayLike) -> Float64:
    """Bound the expected gap by the information about the cell of the output at each scale (chained information).

    Let d be a metric on the hypotheses such that l(v, Z) - l(w, Z), less its mean, is sub-Gaussian with parameter
    d(v, w): half the range of the difference will do, and rho |v - w| for a loss that is rho-Lipschitz in w. Let the
    hypotheses be one cell at scale 0, be cut finer at each scale 1, ..., K, single hypotheses at scale K, with a
    representative for each cell; [W]_k is the cell of W at scale k. For every distribution of the data and every
    algorithm, on average over n independent examples and the algorithm's randomness:
    |E[L_mu(W) - L_S(W)]| <= sqrt(2 / n) sum_k a_k sqrt(I([W]_k; S)).

    Parameters
    ----------
    scale_information : array_like, shape (..., K)
        I([W]_k; S) in nats at scales 1, ..., K or upper bounds of it, in [0, inf]; the last is I(S;W).
    scale_diameters : array_like, shape (..., K)
        a_k: how far at most the representative of a cell of scale k is from that of the cell of scale k - 1 around it,
        in the metric d, in [0, inf). The diameter of the cells of scale k - 1 will do if representatives are members of
        their cells. At scale K the representative is W itself.
    n : array_like of int, shape (...)
        Examples in a sample, at least 1.

    Returns
    -------
    float64 or ndarray, shape (...)
        Upper bound on |E[L_mu(W) - L_S(W)]|, rounded up; not capped, as the loss may be unbounded.

    Raises
    ------
    ValueError
        If an argument is NaN or outside its range, or the two lists are empty or of different lengths.

    Notes
    -----
    Proof: with w_k the representative of [W]_k and G(w) = L_mu(w) - L_S(w), G(W) is G(w_0) plus the sum over k of
    G(w_k) - G(w_(k-1)). w_0 is fixed, so E G(w_0) = 0. The pair (w_k, w_(k-1)) is a function of [W]_k, because the
    partitions are nested; each difference is sub-Gaussian with parameter d(w_k, w_(k-1)) / sqrt(n) <= a_k / sqrt(n), so
    Donsker and Varadhan, as for `xu_raginsky`, bound its mean by (a_k / sqrt(n)) sqrt(2 I([W]_k; S)).

    Difference from the paper: there the cells of scale k lie in balls of radius 2^-k around their representatives, so
    that a_k = 2^-k + 2^-(k-1) = 3 * 2^-k, which gives 3 sqrt(2) sum_k 2^-k sqrt(I([W]_k; S)) for a process with
    increments of parameter d (here d / sqrt(n)), and k runs to infinity. Here any nested partitions will do, and the
    last must be into single hypotheses; without end if the process is separable.

    With one scale and a representative at half the range it is `xu_raginsky`. It is below it where the fine scales hold
    most of the information: in the example, by a factor of about 3/4 sqrt(K).

    Examples
    --------
    A grid of 2^16 numbers in [0, 1], a loss that is 1-Lipschitz, and k ln 2 nats at scale k, cells being halved at each
    scale with representatives in the middle: the one of scale k is 2^-(k+1) from that of scale k - 1.

    >>> k = np.arange(1, 17)
    >>> f"{asadi(k * np.log(2), 2.0 ** -(k + 1), 100):.4f}"
    '0.0793'
    >>> f"{np.sqrt(2 * 0.5**2 * 16 * np.log(2) / 100):.4f}"  # all of the information at the range of the loss
    '0.2355'
    """
    information = nonnegative("scale_information", scale_information, "Pass I([W]_k; S) in nats.")
    diameters = nonnegative("scale_diameters", scale_diameters, "Pass distances.")
    shape = np.broadcast_shapes(information.shape, diameters.shape)
    if not shape or information.shape[-1:] != diameters.shape[-1:] or shape[-1] == 0:
        raise ValueError(
            "scale_information must be a list with one entry of scale_diameters each, got shapes "
            f"{information.shape} and {diameters.shape}. Give both at every scale."
        )
    with np.errstate(over="ignore", invalid="ignore"):  # to infinity, an upper bound; 0 times infinity is 0 here
        links = np.where((information > 0) & (diameters > 0), diameters * np.sqrt(information), 0.0)
        return round_up(links.sum(axis=-1) * np.sqrt(2 / count("n", n)), 12 + shape[-1])
