r"""Upper limits, exact in finite samples, for the information that trainings on a supersample give about its mask.

The experiment: for given supersamples, trainings on masks; for training j and pair i of examples, U_ij says which
column was trained on and V_ij is a symbol, such as the two predictions or the two losses. Wanted: upper limits for
I_i = I(V_i; U_i), a divergence of the laws p_i0 and p_i1 of V_i given U_i = 0 and 1, that hold with
probability at least 1 - delta over masks and trainings. Estimates are no limits: where no flip was seen, the
plug-in is 0 with an interval of length 0.

Designs. ``"pairs"``: masks come as U, 1 - U, U', 1 - U', ... with U, U', ... independent and uniform, one pair after
the other. For each i every pair holds one training with U_i = 0, and given that, its other entries are uniform. So the
draws of V_i given 0 are independent, one a pair of trainings, and so are those given 1; a draw of one kind may depend
on its partner of the other. ``"independent"``: all masks are independent and uniform; given their entries at i, all
draws are independent. Masks that are balanced in another way are neither: given U_i, trainings would depend on one
another. The trainings' own randomness must be independent from pair to pair (from training to training).

What the masks show of this is checked: that they come in pairs, and that none is repeated where chance would not. Not
what a record cannot show: that masks were uniform and drawn before the trainings, that trainings depend on the mask
only through the examples it names and not on one another, that all trainings were kept, in the order of their masks,
and their number settled beforehand.

Two ways, both used:

* Couplings. The two trainings of a pair couple p_i0 and p_i1, so that q_i = P(they differ at i) >= TV(p_i0, p_i1), and
  I_i <= ln 2 TV. The share of examples at which a pair of trainings differs is a number in [0, 1] with mean the average
  of q_i, independent from pair to pair *whatever ties the examples of one training together*. A limit by betting for
  that average, and concavity, cover every example at once: nothing is paid for their number. It cannot see that what
  flips at random tells nothing.
* Boxes, in `genbounds.information.estimation.boxes`: Clopper-Pearson limits for each probability p_iu(v), and the
  worst laws that they allow. They tend to the truth as trainings grow, and pay a union over examples and symbols.

The first third of the pairs sorts the examples into those where no pair differed and the others; both sets get a limit
for their average q_i from the remaining pairs. Where boxes say less information in a set, they replace it.
"""

import math
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genbounds.information.estimation.boxes import box_limits, log_level
from genbounds.information.estimation.coin_divergences import COIN_DIVERGENCES
from genbounds.numerics.betting import betting_upper
from genbounds.numerics.binary_kl import kl_upper
from genbounds.numerics.checks import confidence, count, unit_interval
from genbounds.numerics.estimates import UpperLimit
from genbounds.numerics.rounding import round_up

__all__ = [
    "Design",
    "check_masks",
    "coupling_limit",
    "information_limits",
    "mean_limit",
    "population_gap_limit",
    "population_risk_limit",
    "units",
]

#: Masks that repeat though chance does so with a probability below 2^-40 are copies.
_CERTAIN = 40

#: How masks were drawn; see the module.
Design: TypeAlias = Literal["pairs", "independent"]


def check_masks(masks: ArrayLike, design: Design = "pairs") -> NDArray[np.int8]:
    """Return masks, checked.

    Parameters
    ----------
    masks : array_like of int or bool, shape (supersamples, trainings, n)
        Which column of each pair of examples was trained on, 0 or 1.
    design : str
        How they were drawn.

    Returns
    -------
    ndarray of int8
        The masks.

    Raises
    ------
    ValueError
        If a mask is not binary, the shape is another, the design is not the one named, or masks of so many pairs repeat
        that they cannot have been drawn independently.
    """
    table = np.asarray(masks)
    if table.ndim != 3 or 0 in table.shape or table.dtype.kind not in "biuf" or not np.isin(table, (0, 1)).all():
        raise ValueError(
            f"masks must be zeros and ones of shape (supersamples, trainings, n), got shape {table.shape} and dtype "
            f"{table.dtype}. A 1 says that column 1 of the pair was trained on."
        )
    if design not in {"pairs", "independent"}:
        raise ValueError(f"design must be 'pairs' or 'independent', got {design!r}. Say how the masks were drawn.")
    table = table.astype(np.int8)
    n = table.shape[2]
    if design == "pairs" and (table.shape[1] % 2 or np.any(table[:, ::2] + table[:, 1::2] != 1)):
        raise ValueError(
            "masks must be pairs U, 1 - U, one after the other, for the design 'pairs', got others. "
            "Pass design='independent' if every mask was drawn independently."
        )
    drawn = table[:, ::2].reshape(-1, n) if design == "pairs" else table.reshape(-1, n)
    # A mask and its complement split the pairs in the same way.
    different = len(np.unique(np.packbits(drawn ^ drawn[:, :1], axis=1), axis=0))
    if different < len(drawn) and n - 1 >= 2 * math.log2(len(drawn)) + _CERTAIN:
        raise ValueError(
            "masks must be drawn anew for every pair of trainings and every supersample, got one twice, which chance "
            "does not explain. Drop trainings that repeat others, and give each supersample masks of its own."
        )
    return table


def units(values: NDArray[np.float64], design: Design) -> NDArray[np.float64]:
    """Return averages over what is independent: over the pairs of trainings, or the trainings themselves.

    Parameters
    ----------
    values : ndarray, shape (supersamples, trainings, ...)
        One value a training.
    design : str
        How the masks were drawn.

    Returns
    -------
    ndarray, shape (supersamples, pairs or trainings, ...)
        Independent along the first two axes.
    """
    return (values[:, ::2] + values[:, 1::2]) / 2 if design == "pairs" else values


def mean_limit(values: ArrayLike, delta: float, design: Design = "pairs") -> UpperLimit:
    """Limit the expected value of a number in [0, 1] for given supersamples, such as the loss on what was trained on.

    Parameters
    ----------
    values : array_like, shape (supersamples, trainings)
        One number in [0, 1] for each training, such as its average loss.
    delta : float
        Probability with which the limit may fail, in (0, 1).
    design : str
        How the masks were drawn.

    Returns
    -------
    UpperLimit
        For the expectation over masks and trainings, averaged over these supersamples.

    Raises
    ------
    ValueError
        If a value is outside [0, 1].

    Examples
    --------
    No loss in five pairs of trainings, of which a single bet would conclude 1 - 0.05^(1/5) = 0.451:

    >>> round(float(mean_limit(np.zeros((1, 10)), 0.05)), 3)
    0.536
    """
    level = log_level(float(confidence("delta", delta)))
    observed = units(unit_interval("values", values), design)
    limit = betting_upper(np.minimum(round_up(observed, 2), 1.0).ravel(), level)
    return UpperLimit(limit, delta, "betting on independent trainings")


def _differ(symbols: NDArray[np.int64], masks: NDArray[np.int8]) -> NDArray[np.bool_]:
    """Return where the two trainings of a pair had different masks and showed different symbols."""
    return (symbols[:, ::2] != symbols[:, 1::2]) & (masks[:, ::2] != masks[:, 1::2])


def coupling_limit(
    symbols: NDArray[np.int64],
    masks: NDArray[np.int8],
    where: NDArray[np.bool_],
    delta: float,
    design: Design,
    rare: bool,
) -> float:
    """Limit the average probability that two coupled trainings differ, over chosen examples.

    Parameters
    ----------
    symbols : ndarray of int, shape (supersamples, trainings, n)
        What was seen of each example in each training.
    masks : ndarray of int8, same shape
        Masks, checked.
    where : ndarray of bool, shape (supersamples, n)
        The examples, chosen without looking at these trainings; at least one.
    delta : float
        Probability with which the limit may fail.
    design : str
        How the masks were drawn.
    rare : bool
        Whether to expect few differences, as judged without looking at these trainings: Chernoff's limit is the
        smaller one there, betting adapts to how little the share of differing examples varies.

    Returns
    -------
    float
        Upper limit, rounded up, in [0, 1]. It is at least the average total variation between the laws of the symbols
        given the two values of the mask.

    Notes
    -----
    Of two independent masks only the examples at which they differ couple the two laws; those are half of all on
    average, and what is counted is half of the average probability.
    """
    pairs = symbols.shape[1] // 2
    if not pairs:
        return 1.0
    differ = _differ(symbols[:, : 2 * pairs], masks[:, : 2 * pairs])
    sizes = where.sum(axis=1)
    largest = int(sizes.max())  # one denominator for all supersamples, so that all pairs weigh the same
    seen = (differ & where[:, None]).sum(axis=2) / largest
    shares, level = np.minimum(round_up(seen, 1), 1.0).ravel(), log_level(delta)
    if rare:
        mean = np.minimum(round_up(shares.mean(), 64), 1.0)  # a pairwise sum
        limit = kl_upper(mean, round_up(-level / shares.size, 1))
    else:
        limit = betting_upper(shares, level)
    scale = (1 if design == "pairs" else 2) * largest * len(sizes) / sizes.sum()
    return min(float(round_up(limit * scale, 3)), 1.0)


def symbol_counts(symbols: NDArray[np.int64], masks: NDArray[np.int8], kinds: int) -> NDArray[np.int64]:
    """Return how often each symbol was seen of each example, given each value of its mask.

    Parameters
    ----------
    symbols : ndarray of int, shape (supersamples, trainings, n)
        Symbols, from 0 to kinds - 1.
    masks : ndarray of int8, same shape
        Masks.
    kinds : int
        Number of symbols.

    Returns
    -------
    ndarray of int64, shape (supersamples, n, 2, kinds)
        Counts.
    """
    supersamples, _, n = symbols.shape
    place = np.arange(supersamples * n).reshape(supersamples, 1, n)
    code = (place * 2 + masks) * kinds + symbols
    return np.bincount(code.ravel(), minlength=supersamples * n * 2 * kinds).reshape(supersamples, n, 2, kinds)


def information_limits(
    symbols: ArrayLike,
    masks: ArrayLike,
    delta: float,
    kinds: int,
    design: Design = "pairs",
    divergence: str = "mutual",
) -> UpperLimit:
    """Limit the information that what is seen of each example gives about its entry of the mask, all examples at once.

    With probability at least 1 - delta over masks and trainings, the supersamples being given: every average of
    increasing concave functions of the true information, such as (1/n) sum_i sqrt(2 I_i) or (1/n) sum_i I_i, is at most
    the same average of the limits. So they stand for the truth in every theorem that depends on them through such
    averages, with all supersamples as one of supersamples * n examples.

    Parameters
    ----------
    symbols : array_like of int, shape (supersamples, trainings, n)
        What was seen of each example in each training, as numbers from 0 to kinds - 1.
    masks : array_like of int, same shape
        Which column of each pair of examples was trained on.
    delta : float
        Probability with which the limits may fail, in (0, 1).
    kinds : int
        Symbols that can occur, fixed before looking.
    design : str
        How the masks were drawn: ``"pairs"`` or ``"independent"``; see the module.
    divergence : str
        Sense of information: a key of `genbounds.information.estimation.coin_divergences.COIN_DIVERGENCES`. The limits
        of all senses hold at once.

    Returns
    -------
    UpperLimit
        Shape (supersamples, n); mutual information in nats, at most ln 2. Not each entry lies above its own truth: the
        average does.

    Raises
    ------
    ValueError
        If shapes do not match, a symbol is not among the kinds, or the masks are not of the design.

    Notes
    -----
    A set of examples whose average probability to differ is at most q has, for a concave f that increases, an average
    f(I_i) <= f(ln 2 q); another divergence has its largest value in place of ln 2. A quarter of delta is for the boxes,
    of all examples. Half is for the set where the first third of the pairs never differed and a quarter for the other
    set, or three quarters for the only one.

    Examples
    --------
    Predictions that never flip, of 75 examples in each of five supersamples:

    >>> masks = np.random.default_rng(0).integers(0, 2, (5, 150, 75))
    >>> masks = np.stack([masks, 1 - masks], axis=2).reshape(5, 300, 75)
    >>> limits = information_limits(np.zeros_like(masks), masks, 0.05, kinds=4)
    >>> round(float(np.sqrt(2 * limits.value).mean()), 3)  # the truth may be 0
    0.095
    """
    table = check_masks(masks, design)
    seen, total, largest = np.asarray(symbols), int(count("kinds", kinds)), COIN_DIVERGENCES[divergence].largest
    if seen.shape != table.shape or seen.dtype.kind not in "biu" or np.any((seen < 0) | (seen >= total)):
        raise ValueError(
            f"symbols must be whole numbers from 0 to {total - 1} in the masks' shape {table.shape}, got shape "
            f"{seen.shape} and dtype {seen.dtype}. Number what was seen."
        )
    seen = seen.astype(np.int64)
    budget = float(confidence("delta", delta))
    pilot = 2 * (table.shape[1] // 6)
    steady = np.logical_not(_differ(seen[:, :pilot], table[:, :pilot]).any(axis=1))
    sets = [where for where in (steady, ~steady) if where.any()]
    shares = (0.5, 0.25) if len(sets) == 2 else (0.75,)
    limits = np.array(box_limits(symbol_counts(seen, table, total), budget / 4, divergence))
    for where, share in zip(sets, shares, strict=True):
        q = coupling_limit(seen[:, pilot:], table[:, pilot:], where, budget * share, design, rare=where is steady)
        coupled = min(float(round_up(q * largest, 1)), largest)
        if math.sqrt(coupled) < np.sqrt(limits[where]).mean():
            limits[where] = coupled
    return UpperLimit(
        limits, delta, "pairs of trainings as couplings, or Clopper-Pearson limits where they are smaller"
    )


def population_risk_limit(limit: UpperLimit, supersamples: int, delta: float) -> UpperLimit:
    """Carry an upper limit of the risk on given supersamples over to the population.

    Parameters
    ----------
    limit : UpperLimit
        For the average over k supersamples of E L_ghost given each, in [0, 1].
    supersamples : int
        k, drawn independently.
    delta : float
        Further probability to fail, over the draw of the supersamples.

    Returns
    -------
    UpperLimit
        For E L_mu; vacuous unless k is large: without errors 1 - delta^(1/k).

    Examples
    --------
    >>> round(float(population_risk_limit(UpperLimit(0.0, 0.05, ""), 5, 0.05)), 3)
    0.451
    """
    budget = float(round_up(-log_level(delta) / count("supersamples", supersamples), 2))
    value = kl_upper(unit_interval("limit", limit), budget)
    return UpperLimit(value, limit.delta + delta, f"{limit.method}; Chernoff over {supersamples} supersamples")


def population_gap_limit(limit: UpperLimit, supersamples: int, delta: float) -> UpperLimit:
    """Carry an upper limit of the gap on given supersamples over to the population.

    Parameters
    ----------
    limit : UpperLimit
        For the absolute value of the average over k supersamples of E[L_ghost - L_train] given each, in [0, 1].
    supersamples : int
        k, drawn independently.
    delta : float
        Further probability to fail, over the draw of the supersamples, half of it for each sign.

    Returns
    -------
    UpperLimit
        For abs(E[L_mu - L_S]); vacuous unless k is large.

    Examples
    --------
    >>> [round(float(population_gap_limit(UpperLimit(0.05, 0.05, ""), k, 0.05)), 3) for k in (5, 1000)]
    [0.895, 0.135]
    """
    budget = float(round_up(-log_level(delta / 2) / count("supersamples", supersamples), 2))
    middle = round_up((1 + unit_interval("limit", limit)) / 2, 2)
    value = np.minimum(round_up(2 * (kl_upper(np.minimum(middle, 1.0), budget) - 0.5), 2), 1.0)
    return UpperLimit(value, limit.delta + delta, f"{limit.method}; Chernoff over {supersamples} supersamples")
