r"""Bounds by information on average over supersamples: what losses tell about a mask if the examples stay hidden.

Notation as in `genbounds.information.samplewise`, but the supersample is random too: n pairs of independent draws of
the data. Lam_i is the pair of losses on pair i, dL_i their difference, L_i^+ the loss on the pair's first example,
which is trained on if U_i = 0 and a ghost else. I(.;U_i) takes all supersamples together and is at most the average of
the same information given each of them, because the coins are independent of the supersample:

    E I(Lam_i;U_i | one supersample) >= I(Lam_i;U_i) >= I(dL_i;U_i),  and  I(Lam_i;U_i) >= I(L_i^+;U_i).

The bounds are not in that order: an average of roots may be above or below the root of a smaller information. They need
the algorithm to see nothing of the ghosts, and bound |E[L_mu(W) - L_S(W)]| directly. All use the losses on ghosts, of
which the average is the very risk that is bounded: no certificate, but they show how much of the gap is explained.
"""

from numpy.typing import ArrayLike

from genbounds.information.conditional import CONDITIONS, root_mean
from genbounds.numerics import Float64
from genbounds.theorems import Assumption, theorem
from genbounds.theorems.quantities import GAP

__all__ = ["hellstrom_durisi_averaged", "wang_mao_differences_averaged", "wang_mao_single_loss"]

#: What these bounds average over, and their conditions.
ALL_SUPERSAMPLES = "supersamples, masks and the algorithm's randomness"
AVERAGED = (Assumption.IID_SUPERSAMPLE, Assumption.GHOSTS_UNSEEN, *CONDITIONS)


@theorem(
    statement=r"\left|\mathbb{E}[L_\mu(W)-L_S(W)]\right| \le \frac1n\sum_{i=1}^{n}\sqrt{2\,I(\Lambda_i;U_i)}",
    formula="|E[L_mu(W) - L_S(W)]| <= (1/n) sum_i sqrt( 2 I(Lam_i;U_i) )",
    predictor="algorithm average",
    kind="expectation",
    averages_over=ALL_SUPERSAMPLES,
    ghost_losses=True,
    quantity=GAP,
    assumes=AVERAGED,
    reference="HellstromDurisi2022",
    locator="square-root bound by samplewise evaluated mutual information, not conditioned on the supersample",
)
def hellstrom_durisi_averaged(e_mi: ArrayLike) -> Float64:
    """Bound the expected gap by what two losses tell about which of them belongs to a training example.

    For every distribution of the data and every algorithm, on average over supersamples, masks and the algorithm's
    randomness: |E[L_mu(W) - L_S(W)]| <= (1/n) sum_i sqrt(2 I(Lam_i;U_i)).

    Parameters
    ----------
    e_mi : array_like, shape (..., n)
        I(Lam_i;U_i) in nats over all supersamples, or an upper bound of it, in [0, inf]; ln 2 at most.

    Returns
    -------
    float64 or ndarray, shape (...)
        Upper bound on |E[L_mu(W) - L_S(W)]|, rounded up; 1 where the formula exceeds 1.

    Raises
    ------
    ValueError
        If an information is NaN or negative, or there is no last axis.

    Notes
    -----
    Proof: as in `genbounds.information.samplewise`, with the law over supersamples of (Lam_i, U_i). Never below
    `wang_mao_differences_averaged`; neither above nor below the average of `hellstrom_durisi`.

    Examples
    --------
    >>> f"{hellstrom_durisi_averaged([0.02, 0.08]):.12f}"  # (0.2 + 0.4) / 2
    '0.300000000000'
    """
    return root_mean("e_mi", e_mi)


@theorem(
    statement=r"\left|\mathbb{E}[L_\mu(W)-L_S(W)]\right| \le \frac1n\sum_{i=1}^{n}\sqrt{2\,I(\Delta L_i;U_i)}",
    formula="|E[L_mu(W) - L_S(W)]| <= (1/n) sum_i sqrt( 2 I(dL_i;U_i) )",
    predictor="algorithm average",
    kind="expectation",
    averages_over=ALL_SUPERSAMPLES,
    ghost_losses=True,
    quantity=GAP,
    assumes=AVERAGED,
    reference="WangMao2023",
    locator="square-root bound by the loss difference, not conditioned on the supersample",
)
def wang_mao_differences_averaged(ld_mi: ArrayLike) -> Float64:
    """Bound the expected gap by what the difference of two losses tells about which belongs to a training example.

    For every distribution of the data and every algorithm, on average over supersamples, masks and the algorithm's
    randomness: |E[L_mu(W) - L_S(W)]| <= (1/n) sum_i sqrt(2 I(dL_i;U_i)).

    Parameters
    ----------
    ld_mi : array_like, shape (..., n)
        I(dL_i;U_i) in nats over all supersamples, or an upper bound of it, in [0, inf]; ln 2 at most.

    Returns
    -------
    float64 or ndarray, shape (...)
        Upper bound on |E[L_mu(W) - L_S(W)]|, rounded up; 1 where the formula exceeds 1.

    Raises
    ------
    ValueError
        If an information is NaN or negative, or there is no last axis.

    Notes
    -----
    Proof: as in `genbounds.information.samplewise`, with the law over supersamples of (dL_i, U_i). At small risk
    `sharp_ld_mi` is far below the train risk plus this gap.

    Examples
    --------
    >>> f"{wang_mao_differences_averaged([0.02, 0.08]):.12f}"  # (0.2 + 0.4) / 2
    '0.300000000000'
    """
    return root_mean("ld_mi", ld_mi)


@theorem(
    statement=r"\left|\mathbb{E}[L_\mu(W)-L_S(W)]\right| \le \frac1n\sum_{i=1}^{n}\sqrt{2\,I(L_i^{+};U_i)}",
    formula="|E[L_mu(W) - L_S(W)]| <= (1/n) sum_i sqrt( 2 I(L_i^+;U_i) )",
    predictor="algorithm average",
    kind="expectation",
    averages_over=ALL_SUPERSAMPLES,
    ghost_losses=True,
    quantity=GAP,
    assumes=AVERAGED,
    reference="WangMao2023",
    locator="square-root bound by a single loss, with half of its constant",
)
def wang_mao_single_loss(single_loss_mi: ArrayLike) -> Float64:
    """Bound the expected gap by what one loss tells about whether its example was trained on.

    For every distribution of the data and every algorithm, on average over supersamples, masks and the algorithm's
    randomness: |E[L_mu(W) - L_S(W)]| <= (1/n) sum_i sqrt(2 I(L_i^+;U_i)).

    Parameters
    ----------
    single_loss_mi : array_like, shape (..., n)
        I(L_i^+;U_i) in nats over all supersamples, or an upper bound of it, in [0, inf]; ln 2 at most. L_i^+ is the
        loss on the first example of pair i.

    Returns
    -------
    float64 or ndarray, shape (...)
        Upper bound on |E[L_mu(W) - L_S(W)]|, rounded up; 1 where the formula exceeds 1.

    Raises
    ------
    ValueError
        If an information is NaN or negative, or there is no last axis.

    Notes
    -----
    Proof: whether first or second, an example trained on has the same law together with W, and so has a ghost. So the
    part of pair i in the gap is E[L_i^+ | U_i = 1] - E[L_i^+ | U_i = 0] = E (-1)^U_i (1 - 2 L_i^+): for every
    distribution of the data and every algorithm, symmetric or not. The variable lies in [-1, 1] and has mean 0 if U_i
    is independent of L_i^+; Donsker and Varadhan.

    Difference from the paper: it does not centre the loss at 1/2, has (-1)^U_i 2 L_i^+ in [-2, 2], and twice this
    bound. Where all I(L_i^+;U_i) are equal, as for an algorithm that treats its examples alike, `dong` is never above
    the train risk plus this bound.

    Examples
    --------
    >>> f"{wang_mao_single_loss([0.02, 0.08]):.12f}"  # (0.2 + 0.4) / 2
    '0.300000000000'
    """
    return root_mean("single_loss_mi", single_loss_mi)
