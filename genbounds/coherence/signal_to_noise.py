r"""Signal-to-noise ratio of the gradient, coordinate by coordinate, in summary.

For coordinate j the ratio is ``r_j = (E g_j)^2 / Var g_j`` [Liu2020], the coordinate's own ``alpha_j / (1 - alpha_j)``.
From m examples with average ``gbar_j`` and unbiased variance ``v_j`` there are two forms, exactly 1/m apart:

* plug-in ``gbar_j^2 / v_j``, which is ``t^2 / m`` for Student's t of the hypothesis that there is no signal;
* corrected ``(gbar_j^2 - v_j / m) / v_j``, whose numerator has no bias. It keeps its sign.

Dividing by an estimated variance leaves a factor: for independent normal gradients the average of the corrected form is
``(m - 1)/(m - 3) (r_j + 1/m) - 1/m``, so by little for a hundred examples or more.

A coordinate whose gradient is 0 for all examples is *silent*, one with the same gradient for all but rounding is
*constant*: a ratio of 0/0, or an infinite one. Both are counted and left out of averages, ranks and histogram.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtr

from genbounds.numerics.checks import count, finite, nonnegative
from genbounds.numerics.restoring import number_or_none

__all__ = ["LayerSignalToNoise", "SignalToNoise", "coordinate_one_step_ratio", "summarise"]

_PROBABILITIES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
#: Bins of the plug-in ratio times m, half a decade each, and open at both ends.
_EDGES = 10.0 ** np.arange(-4, 4.5, 0.5)


@dataclass(frozen=True)
class LayerSignalToNoise:
    """Ratios of the coordinates of one layer, or of all.

    Parameters
    ----------
    name : str
        The layer; ``""`` for all.
    coordinates : int
        Parameters in it.
    silent, constant : int
        How many of them have a gradient of 0 for all examples, or the same but for rounding.
    signal, noise : float
        Unbiased ``S = sum (E g_j)^2``, which may be negative, and ``V = sum Var g_j``, over all coordinates.
    mean : float
        Average of the corrected ratio; NaN without a coordinate that varies.
    quantiles : tuple of float
        Of the corrected ratio, at `SignalToNoise.probabilities`.
    above_chance : float
        Share of the coordinates that vary whose plug-in ratio is above 1/m.
    histogram : tuple of int
        Coordinates by plug-in ratio: below the first of `SignalToNoise.edges`, between each two, above the last.
    """

    name: str
    coordinates: int
    silent: int
    constant: int
    signal: float
    noise: float
    mean: float
    quantiles: tuple[float, ...]
    above_chance: float
    histogram: tuple[int, ...]

    @property
    def coherence(self) -> float:
        """Unbiased ``S / (S + V)``: what the ratios are an account of; NaN where there is no gradient."""
        moment = self.signal + self.noise
        return self.signal / moment if moment > 0 else float("nan")


@dataclass(frozen=True)
class SignalToNoise:
    """Signal-to-noise ratios of the gradient's coordinates; estimates, from m examples.

    Parameters
    ----------
    m : int
        Examples.
    probabilities : tuple of float
        Ranks of the quantiles.
    edges : tuple of float
        Edges of the histograms, in plug-in ratio.
    layers : tuple of LayerSignalToNoise
        In order of definition.
    total : LayerSignalToNoise
        All coordinates.
    """

    m: int
    probabilities: tuple[float, ...]
    edges: tuple[float, ...]
    layers: tuple[LayerSignalToNoise, ...]
    total: LayerSignalToNoise

    @property
    def chance(self) -> float:
        """Share above 1/m to expect where nothing but normal noise is: P(abs(t) > 1), from 0.5 (m = 2) to 0.32."""
        return float(2 * stdtr(self.m - 1, -1.0))

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON carries them.

        Returns
        -------
        dict
            What is not defined is None.
        """
        return {
            "m": self.m,
            "chance": self.chance,
            "probabilities": list(self.probabilities),
            "edges": list(self.edges),
            "layers": [_plain(layer) for layer in self.layers],
            "total": _plain(self.total),
        }

    def __str__(self) -> str:
        lines = [
            f"signal-to-noise ratio of the gradient's coordinates, {self.m:,} examples (1/m is {1 / self.m:.2g}; "
            f"{self.chance:.0%} of coordinates above it by chance)"
        ]
        middle = self.probabilities.index(0.5)
        lines += [
            f"{layer.name or 'all'}: mean {layer.mean:.3g}, median {layer.quantiles[middle]:.3g}, "
            f"{layer.above_chance:.0%} above 1/m, {layer.coordinates:,} coordinates, of which {layer.silent:,} silent "
            f"and {layer.constant:,} constant"
            for layer in (*self.layers, self.total)
        ]
        return "\n".join(lines)


def summarise(
    moments: Mapping[str, tuple[ArrayLike, ArrayLike]], m: int, rounding: float = float(np.finfo(np.float64).eps)
) -> SignalToNoise:
    """Summarise the ratios of coordinates, layer by layer and in all.

    Parameters
    ----------
    moments : mapping of str to (array_like, array_like)
        For each layer, sum and sum of squares of the gradients of all m examples, coordinate by coordinate.
    m : int
        Examples, >= 2.
    rounding : float
        Relative rounding of the sums. The variance is their difference: a coordinate is constant where that is within
        32 times this of the sum of squares, and a ratio r_j carries a relative error of about ``r_j`` times this.

    Returns
    -------
    SignalToNoise
        The summary.

    Raises
    ------
    ValueError
        If an argument is out of range, or a sum is longer than its sum of squares allows.

    Examples
    --------
    >>> gradients = np.array([[1.0, 0.0, 3.0], [2.0, 0.0, 3.0], [3.0, 0.0, 3.0]])
    >>> found = summarise({"layer": (gradients.sum(0), (gradients**2).sum(0))}, 3)
    >>> (found.total.silent, found.total.constant, round(found.total.mean, 9))
    (1, 1, 3.666666667)
    """
    number = int(count("m", m, 2, "One example shows no spread."))
    slack = 32 * float(nonnegative("rounding", rounding))
    layers, all_ratios = [], []
    for name, (total, squares) in moments.items():
        layer, ratios = _layer(name, np.ravel(total), np.ravel(squares), number, slack)
        layers.append(layer)
        all_ratios.append(ratios)
    if not layers:
        raise ValueError("moments must hold a layer or more, got none. Pass sums and sums of squares by layer.")
    whole = _summary(
        "",
        np.concatenate(all_ratios),
        number,
        *(sum(getattr(layer, key) for layer in layers) for key in ("coordinates", "silent", "constant")),
        *(float(sum(getattr(layer, key) for layer in layers)) for key in ("signal", "noise")),
    )
    return SignalToNoise(number, _PROBABILITIES, tuple((_EDGES / number).tolist()), tuple(layers), whole)


def coordinate_one_step_ratio(squared_means: ArrayLike, variances: ArrayLike, n: int) -> float:
    r"""Return ``R(n) = 1 - (1/n) sum_j W_j / (r_j + 1/n)`` from the coordinates [Liu2020].

    With ``r_j = (E g_j)^2 / Var g_j`` and the weights ``W_j = E gbar_j^2 / sum_k E gbar_k^2``, where ``gbar`` is the
    average gradient of n independent examples, so that ``E gbar_j^2 = (E g_j)^2 + Var g_j / n``. Each term is then
    ``Var g_j / sum_k E gbar_k^2``, and the whole is ``S / (S + V / n) = n alpha / (1 + (n - 1) alpha)``: coordinates
    enter through S and V alone (`genbounds.coherence.relations.one_step_ratio`).

    Parameters
    ----------
    squared_means, variances : array_like, shape (d,)
        ``(E g_j)^2`` and ``Var g_j``, >= 0.
    n : int
        Examples that a step is computed from, >= 1.

    Returns
    -------
    float
        In [0, 1]; NaN where all are 0.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Examples
    --------
    >>> round(coordinate_one_step_ratio([1.0, 0.0], [1.0, 2.0], 3), 12)
    0.5
    """
    signal = nonnegative("squared_means", finite("squared_means", squared_means))
    noise = nonnegative("variances", finite("variances", variances))
    size = float(count("n", n))
    weights = signal + noise / size
    if not weights.sum() > 0:
        return float("nan")
    moving = noise > 0
    ratios = signal[moving] / noise[moving]  # a coordinate without noise is an infinite ratio: its term is 0
    return float(1 - (weights[moving] / weights.sum() / (ratios + 1 / size)).sum() / size)


def _layer(
    name: str, total: NDArray[np.float64], squares: NDArray[np.float64], m: int, slack: float
) -> tuple[LayerSignalToNoise, NDArray[np.float64]]:
    """Return the summary of a layer, and the plug-in ratios of its coordinates that vary."""
    squares = nonnegative("sums of squares", finite("sums of squares", squares))
    along = np.square(finite("sums", total)) / m
    centred = squares - along
    if (centred < -slack * squares).any():
        raise ValueError(
            f"sums must be at most what the sums of squares allow, got {total[centred < -slack * squares][0]} in "
            f"{name or 'a layer'}. Both must come from the same examples, at the same weights."
        )
    varies = centred > slack * squares
    noise = np.where(varies, centred, 0.0) / (m - 1)
    ratios = along[varies] / m / noise[varies]
    signal = float((along / m - noise / m).sum())
    silent = int((squares == 0).sum())
    constant = len(squares) - int(varies.sum()) - silent
    return _summary(name, ratios, m, len(squares), silent, constant, signal, float(noise.sum())), ratios


def _summary(
    name: str,
    ratios: NDArray[np.float64],
    m: int,
    coordinates: int,
    silent: int,
    constant: int,
    signal: float,
    noise: float,
) -> LayerSignalToNoise:
    some = len(ratios) > 0
    quantiles = np.quantile(ratios, _PROBABILITIES) if some else np.full(len(_PROBABILITIES), np.nan)
    bins = np.bincount(np.searchsorted(_EDGES, ratios * m, side="right"), minlength=len(_EDGES) + 1)
    return LayerSignalToNoise(
        name=name,
        coordinates=coordinates,
        silent=silent,
        constant=constant,
        signal=signal,
        noise=noise,
        mean=float(ratios.mean() - 1 / m) if some else float("nan"),
        quantiles=tuple((quantiles - 1 / m).tolist()),
        above_chance=float((ratios * m > 1).mean()) if some else float("nan"),
        histogram=tuple(bins.tolist()),
    )


def _plain(layer: LayerSignalToNoise) -> dict[str, Any]:
    fields = asdict(layer) | {"coherence": layer.coherence, "quantiles": list(layer.quantiles)}
    fields["histogram"] = list(layer.histogram)
    fields["quantiles"] = [number_or_none(value) for value in layer.quantiles]
    return {key: number_or_none(value) if isinstance(value, float) else value for key, value in fields.items()}
