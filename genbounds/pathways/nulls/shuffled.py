r"""Shuffled layers: what of a distance comes from samples that keep together from layer to layer.

In each layer by itself, the lists of experts are exchanged at random among the samples whose lists have the same length
in that layer. The hypothesis under which shuffled paths are as likely as the observed ones, so that p-values are exact,
is: *given all lengths, the lists of a layer are exchangeable among samples with lists of one length there,
independently of the other layers and of the groups.* Lengths are kept because they set the level of an edit distance,
and samples with long lists in one layer have long ones in others: a shuffle across lengths would take that for
structure of routes. A sample whose length nobody shares does not move in that layer; `ShuffledNull.movable` is the
share that can.

**The mean of a layer sum does not move.** For ``D(i, j) = sum_l D_l(x_l(i), x_l(j))``, the mean of D_l over all pairs
is a function of the multiset of the lists of layer l. A permutation of samples in layer l permutes the pairs among
themselves and leaves that multiset as it is. So the mean over all pairs of the layer sum is the same for every shuffle,
stratified or not, for every rule by which paths were made (for top-1 paths it is a load-balance index, see
`genbounds.pathways.nulls.load_balance`). Its z-score would be 0/0: it is refused with that reason, and never reported
as 0. What does move:

* the mean of a distance that is no sum over layers (the edit distance of concatenated lists, Jaccard's, normalised
  ones);
* the **variance over pairs**: shuffles put ``sum_l Var D_l`` in place of ``Var D`` on average, exactly so for one
  stratum, so a large one says that pairs close in one layer are close in others;
* the mean **within groups**: small, if samples of a group share lists in some layers.

Structure across layers without any link to groups makes the mean within groups vary more than shuffles show, so a large
z there is evidence against the whole hypothesis, not for the groups; for the groups the permutation of labels is the
test.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from genbounds.pathways.distances.matrix import distances_of_pairs
from genbounds.pathways.distances.measures import Metric
from genbounds.pathways.distances.normalisation import Normalisation
from genbounds.pathways.nulls.distance_sums import countable, sum_within
from genbounds.pathways.nulls.load_balance import first_experts, load_balance
from genbounds.pathways.nulls.pair_design import draw_pairs
from genbounds.pathways.paths import Paths

__all__ = ["ShuffledNull", "ShuffledStatistic", "shuffled_null", "shuffled_paths"]

#: Parts of a statistic below which a difference is rounding.
_TIE = 1e-12
#: Pairs of each panel: all that there are, up to this number.
_PANEL = 20_000

LAYER_SUM = (
    "not defined: the mean over all pairs of a sum over layers is the same for every shuffle of the layers, so it says "
    "nothing about routes across layers"
)
LOAD_BALANCE = (
    "not defined: the mean distance of top-1 paths is a load-balance index, the same for every shuffle of the layers"
)
ONE_LAYER = (
    "not defined: shuffling the samples of a single layer renames them, which changes nothing over all pairs of them"
)
UNMOVED = "not defined: no shuffle changed it"
NOT_DRAWN = "not asked for: no shuffles were drawn"
NO_GROUPS = "not defined: no pair of samples is of one group"


@dataclass(frozen=True)
class ShuffledStatistic:
    """A statistic of the paths, beside what it is for shuffled ones.

    Attributes
    ----------
    observed : float
        On the pairs on which shuffled paths were measured too.
    null_mean, null_sd : float
        Mean and standard deviation over shuffles; NaN where it is not defined.
    p_value : float
        Two-sided, twice the smaller of ``(1 + #{shuffles at least as large}) / (1 + shuffles)`` and its mirror, at most
        1: a p-value for any number of shuffles ([PhipsonSmyth2010]_). NaN where it is not defined.
    reason : str
        Why it is not defined, if it is not.
    """

    observed: float
    null_mean: float
    null_sd: float
    p_value: float
    reason: str = ""

    @property
    def z(self) -> float:
        """``(observed - null_mean) / null_sd``; its law need not be normal. NaN where all shuffles gave the same."""
        return (self.observed - self.null_mean) / self.null_sd if self.null_sd else math.nan

    @property
    def ratio(self) -> float:
        """``observed / null_mean``; NaN where either is not defined or nothing differs."""
        return self.observed / self.null_mean if self.null_mean else math.nan


@dataclass(frozen=True)
class ShuffledNull:
    """Statistics under shuffled layers.

    Attributes
    ----------
    mean, variance : ShuffledStatistic
        Mean distance and variance of the distance over pairs.
    within : ShuffledStatistic
        Mean distance within groups.
    movable : float
        Share of lists, over samples and layers, whose length another sample shares in that layer.
    shuffles : int
        How many were drawn.
    pairs, within_pairs : int
        Pairs that were measured, all or drawn once for the observed and all shuffled paths.
    """

    mean: ShuffledStatistic
    variance: ShuffledStatistic
    within: ShuffledStatistic
    movable: float
    shuffles: int
    pairs: int
    within_pairs: int


def movable_share(paths: Paths) -> float:
    """Return the share of lists whose length another sample shares in that layer."""
    counts = [np.bincount(lengths)[lengths] for lengths in paths.lengths.T]
    return float(np.mean(np.array(counts) > 1))


def shuffled_paths(paths: Paths, generator: np.random.Generator) -> Paths:
    """Exchange the lists of each layer at random among samples with lists of the same length there.

    Parameters
    ----------
    paths : Paths
        Of n samples.
    generator : numpy.random.Generator
        Source of the shuffles.

    Returns
    -------
    Paths
        With the same lengths, and in each layer the same lists. Ties stay with the place, not with the list.
    """
    symbols = np.empty_like(paths.symbols)
    for layer, lengths in enumerate(paths.lengths.T):
        order = np.lexsort((generator.random(len(paths)), lengths))
        symbols[np.argsort(lengths, kind="stable"), layer] = paths.symbols[order, layer]
    return replace(paths, symbols=symbols)


def shuffled_null(
    paths: Paths,
    codes: NDArray[np.int64],
    *,
    metric: Metric = "layers",
    normalise: Normalisation | None = None,
    shuffles: int = 99,
    seed: int = 0,
) -> ShuffledNull:
    """Compare mean and variance of a distance, and its mean within groups, with those of shuffled layers.

    Parameters
    ----------
    paths : Paths
        Of at least two samples.
    codes : ndarray of int, shape (n,)
        Group of each sample, from 0; all different where there are none.
    metric, normalise : str, str or None
        The distance.
    shuffles : int
        How many to draw, at least 0. The smallest p-value is ``2 / (1 + shuffles)``.
    seed : int
        Of the shuffles and of the pairs.

    Returns
    -------
    ShuffledNull
        Of all pairs for top-1 paths; else of up to 20,000 pairs, and up to 20,000 within groups, drawn once.
    """
    generator = np.random.default_rng([seed, 2])
    anywhere = draw_pairs(np.zeros(len(paths), np.int64), _PANEL, generator)
    inside = draw_pairs(codes, _PANEL, generator)
    counted = countable(paths, metric, normalise)
    groups = np.bincount(codes)
    same_pairs = int(groups @ (groups - 1)) // 2

    def statistics(some: Paths) -> tuple[float, float, float]:
        if counted:
            balance, alike = load_balance(some), sum_within(first_experts(some), codes, some.experts)
            return balance.mean, balance.variance, alike / same_pairs if same_pairs else math.nan
        distances = distances_of_pairs(some, *anywhere, metric=metric, normalise=normalise).astype(np.float64)
        close = distances_of_pairs(some, *inside, metric=metric, normalise=normalise) if len(inside[0]) else np.nan
        return float(distances.mean()), float(distances.var()), float(np.mean(close))

    observed = statistics(paths)
    found = np.array([statistics(shuffled_paths(paths, generator)) for _ in range(shuffles)]).reshape(-1, 3)
    single = ONE_LAYER if paths.layers == 1 else ""
    reasons = [_unmoved_mean(paths, metric, normalise) or single, single, "" if len(inside[0]) else NO_GROUPS]
    mean, variance, within = (_compared(*part) for part in zip(observed, found.T, reasons, strict=True))
    measured, inner = len(anywhere[0]), len(inside[0])
    if counted:
        measured, inner = len(paths) * (len(paths) - 1) // 2, same_pairs
    return ShuffledNull(mean, variance, within, movable_share(paths), shuffles, measured, inner)


def _unmoved_mean(paths: Paths, metric: Metric, normalise: Normalisation | None) -> str:
    """Return why shuffles cannot change the mean over all pairs, or nothing."""
    top_one = bool((paths.lengths == 1).all())
    sum_of_layers = metric in ("layers", "hamming") or (metric == "concatenated" and top_one)
    # Divided by lengths that all samples share, a sum of layers is one still.
    divided_alike = normalise == "max" and bool((paths.lengths == paths.lengths[0]).all())
    if not sum_of_layers or not (normalise is None or divided_alike):
        return ""
    return LOAD_BALANCE if top_one else LAYER_SUM


def _compared(observed: float, shuffled: NDArray[np.float64], reason: str) -> ShuffledStatistic:
    """Put a statistic beside its values for shuffled paths."""
    near = _TIE * abs(observed)
    if not reason and not len(shuffled):
        reason = NOT_DRAWN
    if not reason and (abs(shuffled - observed) <= near).all():
        reason = UNMOVED
    if reason:
        return ShuffledStatistic(observed, math.nan, math.nan, math.nan, reason)
    fewer = min((shuffled >= observed - near).sum(), (shuffled <= observed + near).sum())
    p_value = min(1.0, 2 * (1 + int(fewer)) / (1 + len(shuffled)))
    spread = float(shuffled.std(ddof=1)) if len(shuffled) > 1 else math.nan
    return ShuffledStatistic(observed, float(shuffled.mean()), 0.0 if spread <= near else spread, p_value)
