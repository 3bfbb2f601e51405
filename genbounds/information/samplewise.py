r"""Bounds by what can be seen of each pair of a supersample: the output, predictions, losses, a difference of losses.

Notation as in `genbounds.information.conditional`, for one supersample given. On pair i let

    F_i = (prediction on z~_{i,0}, prediction on z~_{i,1}),    Lam_i = (loss there, loss there),
    dL_i = loss on z~_{i,1} minus loss on z~_{i,0}.

Each is a function of the one before, and F_i of the output W, so that by the data-processing inequality

    I(W;U_i) >= I(F_i;U_i) >= I(Lam_i;U_i) >= I(dL_i;U_i),

and the bounds below are in that order: the last is the least. They have one proof. As (-1)^U_i dL_i is ghost loss less
train loss, E[L_ghost - L_train] is the average of E (-1)^U_i dL_i, which would be 0 if U_i were independent of dL_i.
For a variable in [-1, 1] of mean 0, Donsker and Varadhan give |E (-1)^U_i dL_i| <= sqrt(2 I(dL_i;U_i)). What
`genbounds.information.f_information` does with the same numbers is never larger.

In nats, with n pairs, n ln 2 >= I(W;U) >= I(W;U_1) + ... + I(W;U_n). The first two need no labels of ghosts; the others
use the losses on ghosts, of which an average is the very risk that is bounded.
"""

from numpy.typing import ArrayLike

from genbounds.information.conditional import CONDITIONS, EACH_SUPERSAMPLE, root_mean
from genbounds.numerics import Float64
from genbounds.theorems import theorem
from genbounds.theorems.quantities import SUPERSAMPLE_GAP

__all__ = ["haghifam_individual", "harutyunyan", "hellstrom_durisi", "wang_mao_differences"]


@theorem(
    statement=r"\left|\mathbb{E}[L_{\mathrm{ghost}}-L_{\mathrm{train}}]\right| \le "
    r"\frac1n\sum_{i=1}^{n}\sqrt{2\,I(W;U_i)}",
    formula="|E[L_ghost - L_train]| <= (1/n) sum_i sqrt( 2 I(W;U_i) )",
    predictor="algorithm average",
    kind="expectation",
    averages_over=EACH_SUPERSAMPLE,
    quantity=SUPERSAMPLE_GAP,
    assumes=CONDITIONS,
    reference="Haghifam2020",
    locator="random subsets of one index, for each supersample",
)
def haghifam_individual(individual_cmi: ArrayLike) -> Float64:
    """Bound the gap by what the output tells about each coin of the mask by itself (individual CMI).

    For every supersample of n pairs and every algorithm, on average over the mask and the algorithm's randomness:
    |E[L_ghost - L_train]| <= (1/n) sum_i sqrt(2 I(W;U_i)).

    Parameters
    ----------
    individual_cmi : array_like, shape (..., n)
        I(W;U_i) in nats for the supersample given, or an upper bound of it, in [0, inf]; ln 2 at most.

    Returns
    -------
    float64 or ndarray, shape (...)
        Upper bound on |E[L_ghost - L_train]|, rounded up; 1 where the formula exceeds 1.

    Raises
    ------
    ValueError
        If an information is NaN or negative, or there is no last axis.

    Notes
    -----
    The proof is the module's. Never above `steinke_zakynthinou` for the same supersample: independent coins obey
    I(W;U_1) + ... + I(W;U_n) <= I(W;U), and the root is concave.

    With pair i given and the others averaged over, I(W;U_i) is smaller on average (Rodríguez-Gálvez and others, 2021;
    Zhou and others, 2022); the average over supersamples of this bound with that information bounds E[L_mu - L_S] too.
    Never below `harutyunyan`.

    Examples
    --------
    One of four pairs is told apart for certain. (The gap is 1/4 at most: see `wang_mao_variance`.)

    >>> import math
    >>> f"{haghifam_individual([math.log(2), 0, 0, 0]):.10f}"  # sqrt(2 ln 2) / 4
    '0.2943525056'
    """
    return root_mean("individual_cmi", individual_cmi)


@theorem(
    statement=r"\left|\mathbb{E}[L_{\mathrm{ghost}}-L_{\mathrm{train}}]\right| \le "
    r"\frac1n\sum_{i=1}^{n}\sqrt{2\,I(F_i;U_i)}",
    formula="|E[L_ghost - L_train]| <= (1/n) sum_i sqrt( 2 I(F_i;U_i) )",
    predictor="algorithm average",
    kind="expectation",
    averages_over=EACH_SUPERSAMPLE,
    quantity=SUPERSAMPLE_GAP,
    assumes=CONDITIONS,
    reference="Harutyunyan2021",
    locator="Theorem 3.1 with subsets of one index, for each supersample",
)
def harutyunyan(f_cmi: ArrayLike) -> Float64:
    """Bound the gap by what the two predictions on each pair tell about its coin (functional CMI).

    For every supersample of n pairs and every algorithm, on average over the mask and the algorithm's randomness:
    |E[L_ghost - L_train]| <= (1/n) sum_i sqrt(2 I(F_i;U_i)).

    Parameters
    ----------
    f_cmi : array_like, shape (..., n)
        I(F_i;U_i) in nats for the supersample given, or an upper bound of it, in [0, inf]; ln 2 at most. F_i is the
        pair of predictions on pair i, whatever the loss makes use of.

    Returns
    -------
    float64 or ndarray, shape (...)
        Upper bound on |E[L_ghost - L_train]|, rounded up; 1 where the formula exceeds 1.

    Raises
    ------
    ValueError
        If an information is NaN or negative, or there is no last axis.

    Notes
    -----
    The proof is the module's. Labels of ghosts do not enter. A plug-in estimate from runs is no upper bound of the
    information, and its root is biased downwards where predictions flip rarely.

    Never below `hellstrom_durisi`. On the mean square of the gap, which the paper bounds by 8 (I + 2) / n with the
    information I of all n pairs of predictions together: `steinke_zakynthinou_squared` with that I is smaller.

    Examples
    --------
    >>> f"{harutyunyan([0.02, 0.08]):.12f}"  # (0.2 + 0.4) / 2
    '0.300000000000'
    """
    return root_mean("f_cmi", f_cmi)


@theorem(
    statement=r"\left|\mathbb{E}[L_{\mathrm{ghost}}-L_{\mathrm{train}}]\right| \le "
    r"\frac1n\sum_{i=1}^{n}\sqrt{2\,I(\Lambda_i;U_i)}",
    formula="|E[L_ghost - L_train]| <= (1/n) sum_i sqrt( 2 I(Lam_i;U_i) )",
    predictor="algorithm average",
    kind="expectation",
    averages_over=EACH_SUPERSAMPLE,
    ghost_losses=True,
    quantity=SUPERSAMPLE_GAP,
    assumes=CONDITIONS,
    reference="HellstromDurisi2022",
    locator="square-root bound by samplewise evaluated CMI, for each supersample",
)
def hellstrom_durisi(e_cmi: ArrayLike) -> Float64:
    """Bound the gap by what the two losses on each pair tell about its coin (evaluated CMI).

    For every supersample of n pairs and every algorithm, on average over the mask and the algorithm's randomness:
    |E[L_ghost - L_train]| <= (1/n) sum_i sqrt(2 I(Lam_i;U_i)).

    Parameters
    ----------
    e_cmi : array_like, shape (..., n)
        I(Lam_i;U_i) in nats for the supersample given, or an upper bound of it, in [0, inf]; ln 2 at most. Lam_i is the
        pair of losses on pair i.

    Returns
    -------
    float64 or ndarray, shape (...)
        Upper bound on |E[L_ghost - L_train]|, rounded up; 1 where the formula exceeds 1.

    Raises
    ------
    ValueError
        If an information is NaN or negative, or there is no last axis.

    Notes
    -----
    The proof is the module's. Equal to `harutyunyan` for two classes and 0-1 loss. Never below `wang_mao_differences`.
    At small risk `hellstrom_durisi_kl` and `sharp_ld_cmi` are far below the train risk plus this gap.

    Examples
    --------
    >>> f"{hellstrom_durisi([0.02, 0.08]):.12f}"  # (0.2 + 0.4) / 2
    '0.300000000000'
    """
    return root_mean("e_cmi", e_cmi)


@theorem(
    statement=r"\left|\mathbb{E}[L_{\mathrm{ghost}}-L_{\mathrm{train}}]\right| \le "
    r"\frac1n\sum_{i=1}^{n}\sqrt{2\,I(\Delta L_i;U_i)}",
    formula="|E[L_ghost - L_train]| <= (1/n) sum_i sqrt( 2 I(dL_i;U_i) )",
    predictor="algorithm average",
    kind="expectation",
    averages_over=EACH_SUPERSAMPLE,
    ghost_losses=True,
    quantity=SUPERSAMPLE_GAP,
    assumes=CONDITIONS,
    reference="WangMao2023",
    locator="square-root bound by the loss difference, for each supersample",
)
def wang_mao_differences(ld_cmi: ArrayLike) -> Float64:
    """Bound the gap by what the difference of the two losses on each pair tells about its coin.

    For every supersample of n pairs and every algorithm, on average over the mask and the algorithm's randomness:
    |E[L_ghost - L_train]| <= (1/n) sum_i sqrt(2 I(dL_i;U_i)).

    Parameters
    ----------
    ld_cmi : array_like, shape (..., n)
        I(dL_i;U_i) in nats for the supersample given, or an upper bound of it, in [0, inf]; ln 2 at most. dL_i is the
        loss on the second example of pair i minus that on the first.

    Returns
    -------
    float64 or ndarray, shape (...)
        Upper bound on |E[L_ghost - L_train]|, rounded up; 1 where the formula exceeds 1.

    Raises
    ------
    ValueError
        If an information is NaN or negative, or there is no last axis.

    Notes
    -----
    The proof is the module's. `wang_mao_variance` multiplies each term by the root of E dL_i^2 at least.

    Examples
    --------
    >>> f"{wang_mao_differences([0.02, 0.08]):.12f}"  # (0.2 + 0.4) / 2
    '0.300000000000'
    """
    return root_mean("ld_cmi", ld_cmi)
