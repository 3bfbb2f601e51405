r"""How erratically a single sample is routed from layer to layer, with and without what the network does not fix.

Sample i has mean gates g_l(i, k) at MoE layer l, whose router has the rows v_k. With e_l = sum_k g_l(i, k) v_k and
c_l = cos(e_l, e_{l+1}) for the L - 1 pairs of consecutive layers, the published score is [LiFanZhou2025]_

    C = 1 - (1 / (L - 1)) sum_l c_l / (M + 1e-8),    M = max_l c_l.

**Sign.** The source's text says that a higher C means more erratic transitions, which is what the formula says; its
table calls the same quantity consistency, with a positive correlation with accuracy as the wish. That cannot be settled
from the text. Here C is `erraticness` and 1 - C is `consistency`, and neither has another name. The source does not say
either whether gates are averaged over a sample's tokens before e_l; here they are, as they are for its paths.

**Range.** Where all cosines are positive, the mean cosine lies between M / (L - 1) and M, so that up to the 1e-8
0 <= C < (L - 2) / (L - 1): 0 where all are equal, near the upper end where one is positive and the others vanish.
Exactly, with x = 1e-8 / (M + 1e-8), it is x <= C < (L - 2) / (L - 1) + x / (L - 1). Otherwise C has no range: for
M < -1e-8 it is at most x, which is negative; for a small positive M beside negative cosines it grows without limit. A
ratio to a largest cosine that is not positive says nothing about consistency, so a sample counts as invalid where
M <= 0 or where a cosine is not defined; it is counted, and its C is NaN. The mean over the others still follows single
samples whose M is near 0: read the median. With two layers C is 0 for every sample, and refused.

**Gauge.** Softmax does not see a constant added to all logits: W <- W + 1 c^T changes nothing in the network, and adds
c to every e_l. So C as published is no function of the network: with suitable c it takes other values for the same
outputs. Rows from which their mean over the experts is taken, v_k - vbar, make e_l invariant; that is the centred
version. Logistic (sigmoid) gates have no such freedom: there the raw version is a function of the network, and the
centred one asks the different question how the sample deviates from a sample with equal gates. Both versions ignore a
router's bias, and both change if a normalisation's gains are folded into the router. Both are invariant to the names
of experts in a layer, to a positive factor of a router's matrix at the same gates, and to a rotation that the
residual streams of all layers share.

**Zero vectors.** Equal gates make the centred e_l zero, and its cosine undefined. Gates are stored in float32: an e_l
no longer than four times what their rounding can make, 2^-22 sum_k g_k ||v_k||, counts as zero.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr

from genbounds.numerics.checks import confidence
from genbounds.numerics.restoring import number_or_none, restored
from genbounds.pathways.routing import RoutedLayer, Routing

__all__ = ["Erraticness", "erraticness", "layer_cosines", "median_interval"]

_FORMAT = "genbounds erraticness 1"
#: What the published formula adds to the largest cosine.
_EPSILON = 1e-8
#: A vector shorter than this part of the terms' lengths has the direction that rounding of float32 gates gave it.
_ROUNDING = 2.0**-22

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Erraticness:
    """How erratically each of n samples is routed through L >= 3 layers. Measurements and estimates, no bounds.

    Attributes
    ----------
    cosines : ndarray, shape (n, L - 1)
        Of the routing vectors of consecutive layers; NaN where one of them is zero.
    centred : bool
        Whether the routers' rows were centred, which removes what a softmax does not fix.
    routers : tuple of str
        Names of the layers.
    gates : tuple of str
        How each layer's gates come from its router, as in `RoutedLayer.gate`.
    level : float
        Nominal confidence of the intervals.
    """

    cosines: Floats
    centred: bool
    routers: tuple[str, ...]
    gates: tuple[str, ...]
    level: float

    def __post_init__(self) -> None:
        self.cosines.setflags(write=False)

    @property
    def valid(self) -> NDArray[np.bool_]:
        """Whether all cosines of a sample are defined and the largest is positive, shape (n,)."""
        return self.cosines.max(axis=1) > 0  # the maximum with a NaN is NaN

    @property
    def erraticness(self) -> Floats:
        """The published C, shape (n,); NaN where invalid."""
        with np.errstate(invalid="ignore", divide="ignore"):
            values = 1 - self.cosines.mean(axis=1) / (self.cosines.max(axis=1) + _EPSILON)
        return np.where(self.valid, values, math.nan)

    @property
    def consistency(self) -> Floats:
        """1 - C, shape (n,); NaN where invalid."""
        return 1 - self.erraticness

    @property
    def mean_cosine(self) -> Floats:
        """Mean over the pairs of consecutive layers, shape (n,); NaN where a cosine is not defined."""
        return self.cosines.mean(axis=1)

    @property
    def invalid_share(self) -> float:
        """Share of samples without a valid C."""
        return 1 - float(self.valid.mean())

    @property
    def median(self) -> float:
        """Median of C over the valid samples; NaN if there is none."""
        return float(np.median(self.erraticness[self.valid])) if self.valid.any() else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """Interval for the median of C among valid samples, as `median_interval` gives it."""
        return median_interval(self.erraticness[self.valid], self.level)

    @property
    def mean(self) -> float:
        """Mean of C over the valid samples, which few of them may rule; NaN if there is none."""
        return float(self.erraticness[self.valid].mean()) if self.valid.any() else math.nan

    @property
    def average_cosine(self) -> float:
        """Mean of `mean_cosine` over the samples that have one; NaN if none has."""
        return _mean_and_error(self.mean_cosine)[0]

    @property
    def average_cosine_error(self) -> float:
        """Standard error of `average_cosine` over samples; NaN below two."""
        return _mean_and_error(self.mean_cosine)[1]

    def notes(self) -> tuple[str, ...]:
        """Return what a reader must know not to misread the numbers.

        Returns
        -------
        tuple of str
            Sentences.
        """
        soft = any(gate != "sigmoid" for gate in self.gates)
        logistic = "sigmoid" in self.gates
        sentences = (
            (
                soft and not self.centred,
                "Not a function of the network: adding one vector to all rows of a softmax router leaves every output "
                "as it was and moves these numbers. Read the centred version.",
            ),
            (
                logistic and self.centred,
                "Logistic gates fix their router's mean row: here centring removes a part of the network. Read the raw "
                "version beside it.",
            ),
            (
                self.invalid_share > 0,
                f"{self.invalid_share:.1%} of the samples have no valid value: no positive cosine, or a routing vector "
                "of zero. The median and the mean are those of the others.",
            ),
        )
        return tuple(sentence for applies, sentence in sentences if applies)

    def summary(self) -> str:
        """Return the numbers in words.

        Returns
        -------
        str
            Lines: the median with its interval, the mean, invalid samples and the mean cosine, then the notes.
        """
        low, high = self.interval
        version = "centred" if self.centred else "as published"
        return "\n".join((
            f"erraticness ({version}) of {len(self.cosines):,} samples through {len(self.routers)} routers",
            f"  median {self.median:.4g} [{low:.4g}, {high:.4g}] ({self.level:.0%})   mean {self.mean:.4g}   "
            f"consistency (1 - median) {1 - self.median:.4g}   invalid {self.invalid_share:.1%}",
            f"  mean cosine {self.average_cosine:.4g} (standard error {self.average_cosine_error:.2g})",
            *self.notes(),
        ))

    __str__ = summary

    def flat(self) -> dict[str, float]:
        """Return all scalars under one level of names, as loggers take them.

        Returns
        -------
        dict of str to float
            Of the centred version, names start with ``centred_``. Without what is not defined.
        """
        prefix = "centred_" if self.centred else ""
        return {prefix + name: value for name, value in self._scalars().items() if math.isfinite(value)}

    def _scalars(self) -> dict[str, float]:
        low, high = self.interval
        return {
            "erraticness_median": self.median,
            "erraticness_median_low": low,
            "erraticness_median_high": high,
            "erraticness_mean": self.mean,
            "consistency_median": 1 - self.median,
            "erraticness_invalid_share": self.invalid_share,
            "mean_cosine": self.average_cosine,
            "mean_cosine_error": self.average_cosine_error,
        }

    def to_json(self) -> dict[str, Any]:
        """Return the record as JSON carries it.

        Returns
        -------
        dict
            The fields, and what is derived from them (for readers; `from_json` derives it again). None for what is
            not defined or infinite.
        """
        return {
            "format": _FORMAT,
            "cosines": [[number_or_none(value) for value in row] for row in self.cosines.tolist()],
            "centred": self.centred,
            "routers": list(self.routers),
            "gates": list(self.gates),
            "level": self.level,
            "derived": {name: number_or_none(value) for name, value in self._scalars().items()},
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Erraticness":
        """Read a record that `to_json` wrote.

        Parameters
        ----------
        values : mapping
            What `to_json` returned, through a file or not.

        Returns
        -------
        Erraticness
            With the same numbers.

        Raises
        ------
        ValueError
            If it is something else.
        """
        if values.get("format") != _FORMAT:
            raise ValueError(
                f"values must be a record of erraticness ({_FORMAT!r}), got format {values.get('format')!r}. "
                "Pass what Erraticness.to_json returned."
            )
        return restored(cls, values)


def erraticness(routing: Routing, *, centred: bool = False, level: float = 0.95) -> Erraticness:
    """Return how erratically each sample is routed from layer to layer.

    Parameters
    ----------
    routing : Routing
        Of at least three MoE layers, with the matrices of their routers.
    centred : bool
        Whether to take the mean row off each router, so that the result depends on the network alone where gates are
        softmax. By default the published score, which does not.
    level : float
        Nominal confidence of intervals, in (0, 1).

    Returns
    -------
    Erraticness
        For each sample, with the median beside the mean.

    Raises
    ------
    ValueError
        If there are fewer than three layers, where the score is the same for all samples, or a router has no matrix,
        or matrices are of different width.
    """
    confidence("level", level, "It is the nominal confidence of the interval, such as 0.95.")
    if len(routing.layers) < 3:
        raise ValueError(
            f"routing must have at least three layers, got {len(routing.layers)}. With two, erraticness is 0 for every "
            "sample, with one it is not defined; layer_cosines serves two."
        )
    return Erraticness(
        layer_cosines(routing, centred=centred),
        centred,
        tuple(layer.name for layer in routing.layers),
        tuple(layer.gate for layer in routing.layers),
        level,
    )


def layer_cosines(routing: Routing, *, centred: bool = False) -> Floats:
    """Return the cosine of the routing vectors of each two consecutive layers.

    Parameters
    ----------
    routing : Routing
        Of at least two MoE layers, with the matrices of their routers.
    centred : bool
        As in `erraticness`.

    Returns
    -------
    ndarray, shape (n, L - 1)
        Cosines; NaN where a routing vector is zero. Their mean over axis 1 is the mean cosine.

    Raises
    ------
    ValueError
        If there is only one layer, a router has no matrix or one that is not finite, or matrices are of different
        width.
    """
    if len(routing.layers) < 2:
        raise ValueError("routing must have at least two layers, got 1. A cosine compares two of them.")
    widths = {layer.name: layer.router.shape[1] for layer in routing.layers if layer.router is not None}
    if len(set(widths.values())) > 1:
        raise ValueError(
            f"routers must read vectors of one width, got {widths}. Leave out the layers of another stream with "
            "dataclasses.replace(routing, layers=...)."
        )
    directions = np.stack([_directions(layer, centred=centred) for layer in routing.layers], axis=1)
    return np.einsum("nld,nld->nl", directions[:, :-1], directions[:, 1:])


def median_interval(values: NDArray[np.floating[Any]], level: float = 0.95) -> tuple[float, float]:
    """Return an interval for the median of the law that values were drawn from independently.

    The r-th smallest and the r-th largest of m values enclose the median with probability at least
    1 - 2 P(Bin(m, 1/2) <= r - 1), whatever the law; r is the largest for which that is at least `level`.

    Parameters
    ----------
    values : ndarray, shape (m,)
        Independent draws from one law.
    level : float
        Confidence, in (0, 1).

    Returns
    -------
    low, high : float
        Ends; minus and plus infinity where m is too small for the level (below 6 at 95 %).

    Raises
    ------
    ValueError
        If the level is not inside (0, 1).

    Examples
    --------
    >>> median_interval(np.arange(10.0))  # 1 - 2 * 11 / 1024 = 0.979
    (1.0, 8.0)
    """
    failure = 1 - float(confidence("level", level, "It is the confidence of the interval, such as 0.95."))
    ordered = np.sort(values)
    m = len(ordered)
    below = 2 * bdtr(np.arange((m + 1) // 2), m, 0.5)  # for r = 1, 2, ...
    r = int(np.count_nonzero(below <= failure))
    return (float(ordered[r - 1]), float(ordered[m - r])) if r else (-math.inf, math.inf)


def _directions(layer: RoutedLayer, *, centred: bool) -> Floats:
    """Return the routing vectors of a layer over their lengths, shape (n, d); NaN where they are zero."""
    if layer.router is None:
        raise ValueError(
            f"routers must be linear to have a vector for each expert, got none in the layer {layer.name}. Capture it "
            "by a module with a weight, or leave the layer out."
        )
    rows = layer.router.astype(np.float64)
    if not np.isfinite(rows).all():
        raise ValueError(f"routers must be finite, got other numbers in the layer {layer.name}. Look at the training.")
    if centred:
        rows = rows - rows.mean(axis=0)
    gates = layer.mean_gates.astype(np.float64)
    vectors = gates @ rows
    lengths = np.linalg.norm(vectors, axis=1)
    zero = lengths <= _ROUNDING * (gates @ np.linalg.norm(rows, axis=1))
    return vectors / np.where(zero, math.nan, lengths)[:, None]


def _mean_and_error(values: Floats) -> tuple[float, float]:
    """Return the mean of the defined numbers and its standard error."""
    defined = values[~np.isnan(values)]
    if not defined.size:
        return math.nan, math.nan
    error = defined.std(ddof=1) / math.sqrt(len(defined)) if len(defined) > 1 else math.nan
    return float(defined.mean()), float(error)
