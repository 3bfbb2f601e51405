r"""Agreement of the average gradients of two sets of examples, such as training and test data.

With average gradients ``gbar_A`` and ``gbar_B`` of m_A and m_B examples, at the same weights:

* plug-in cosine ``gbar_A . gbar_B / (||gbar_A|| ||gbar_B||)``. Noise lengthens both averages, never the expected inner
  product: it is too small in size, by ``sqrt(S_A S_B / ((S_A + V_A / m_A) (S_B + V_B / m_B)))`` or so;
* corrected cosine, over ``sqrt(S_A S_B)`` with the unbiased signals ``S = (m ||gbar||^2 - mean ||g||^2) / (m - 1)``. It
  may leave [-1, 1], and is not defined where a signal is estimated at 0 or below;
* to first order a small step ``-eta gbar_A`` lowers the loss of B by ``eta gbar_A . gbar_B`` and that of A by
  ``eta ||gbar_A||^2``: the ratio of both says how much of the gain on A is gained on B.

Standard errors of cosines are by the jackknife, each example of either set left out in turn. This needs two numbers per
example beside its squared norm, ``g_i . gbar_A`` and ``g_i . gbar_B``, from which the averages without it follow. They
take both sets for independent draws at weights that do not depend on them; where A was trained on, they say what
drawing such examples again would show at these weights. The error of the step's effect takes A and the step as they
are, and B as drawn.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genbounds.coherence.alpha import ROUNDING, unbiased
from genbounds.coherence.jackknife import Jackknifed, jackknife
from genbounds.numerics.checks import confidence, finite, nonnegative
from genbounds.numerics.restoring import number_or_none, restored

__all__ = ["Alignment", "LayerAlignment", "alignment_from_dots"]


@dataclass(frozen=True)
class LayerAlignment:
    """Agreement of two average gradients with respect to one layer's own parameters, or all parameters.

    Parameters
    ----------
    name : str
        The layer; ``""`` for the root module's own, and for all together.
    m : tuple of int
        Examples of the first and the second set.
    product : float
        ``gbar_A . gbar_B``: by how much a step ``-gbar_A`` lowers the second set's loss, to first order and for each
        unit of step size.
    squared_means : tuple of float
        ``||gbar_A||^2`` and ``||gbar_B||^2``.
    second_moments : tuple of float
        Averages of ``||g_i||^2``.
    product_error : float
        Standard error of `product` for the step taken and a second set drawn afresh.
    plug_in_error, cosine_error : float or None
        Standard errors of the two cosines; None where one of them is not defined, with all examples or without one.
    level : float
        Nominal confidence of the intervals.
    """

    name: str
    m: tuple[int, int]
    product: float
    squared_means: tuple[float, float]
    second_moments: tuple[float, float]
    product_error: float
    plug_in_error: float | None
    cosine_error: float | None
    level: float

    @property
    def plug_in(self) -> Jackknifed:
        """Cosine of the two averages as they are; NaN where one is 0."""
        value = float(_cosine(np.float64(self.product), *map(np.float64, self.squared_means)))
        return Jackknifed(value, _or_nan(self.plug_in_error), self.level)

    @property
    def signals(self) -> tuple[float, float]:
        """Unbiased estimates of the two squared lengths ``||G||^2``; may be negative."""
        pairs = zip(self.squared_means, self.second_moments, self.m, strict=True)
        one, two = (float(unbiased(mean, moment, m)[0]) for mean, moment, m in pairs)
        return one, two

    @property
    def cosine(self) -> Jackknifed:
        """Cosine of the two expected gradients, corrected for noise; NaN where a signal is not above 0."""
        value = float(_cosine(np.float64(self.product), *map(np.float64, self.signals)))
        return Jackknifed(value, _or_nan(self.cosine_error), self.level)

    @property
    def transfer(self) -> Jackknifed:
        """First-order gain on the second set over that on the first, for a small step along the first's gradient.

        NaN where the first's average gradient is 0.
        """
        own = self.squared_means[0]
        if own == 0:
            return Jackknifed(math.nan, math.nan, self.level)
        return Jackknifed(self.product / own, self.product_error / own, self.level)


@dataclass(frozen=True)
class Alignment:
    """Agreement of the average gradients of two sets of examples; estimates.

    Parameters
    ----------
    total : LayerAlignment
        All measured parameters together.
    layers : tuple of LayerAlignment
        In order of definition; their products and squared lengths add up to those of the total.
    """

    total: LayerAlignment
    layers: tuple[LayerAlignment, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON carries them, with what is derived from them for readers.

        Returns
        -------
        dict
            What is not defined is None.
        """
        return {"total": _to_json(self.total), "layers": [_to_json(layer) for layer in self.layers]}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Alignment":
        """Read what `to_json` wrote.

        Parameters
        ----------
        values : mapping
            What `to_json` returned, through a file or not.

        Returns
        -------
        Alignment
            Equal to the one written.
        """
        return restored(cls, values)

    def __str__(self) -> str:
        one, two = self.total.m
        lines = [f"average gradients of {one:,} and {two:,} examples ({self.total.level:.0%} intervals, nominal)"]
        for label, layer in (("all", self.total), *((layer.name or "(root)", layer) for layer in self.layers)):
            lines.append(
                f"  {label}   cosine {layer.cosine}   plug-in {layer.plug_in.value:.4g}   "
                f"gain on the second set for one on the first {layer.transfer}"
            )
        return "\n".join(lines)


def alignment_from_dots(
    names: Sequence[str],
    first: tuple[ArrayLike, ArrayLike, ArrayLike],
    second: tuple[ArrayLike, ArrayLike, ArrayLike],
    level: float = 0.95,
) -> Alignment:
    """Put together what the examples of two sets showed.

    Parameters
    ----------
    names : sequence of str
        Layers.
    first, second : tuple of three array_like, shape (m, layers)
        For each example of a set, at least three: ``||g_i||^2``, the inner product with the average gradient of its
        own set, and that with the average gradient of the other set.
    level : float
        Nominal confidence of the intervals, in (0, 1).

    Returns
    -------
    Alignment
        For each layer, and for all together.

    Raises
    ------
    ValueError
        If shapes do not fit, a set has fewer than three examples, or a number is out of range.

    Examples
    --------
    >>> g, h = np.array([[1.0, 0], [3.0, 0], [2.0, 0]]), np.array([[1.0, 1], [1.0, 1], [1.0, 1]])
    >>> a, b = g.mean(0), h.mean(0)
    >>> sets = ((g**2).sum(1), g @ a, g @ b), ((h**2).sum(1), h @ b, h @ a)
    >>> found = alignment_from_dots(["w"], *(tuple(part[:, None] for part in one) for one in sets))
    >>> round(found.total.plug_in.value, 6), found.total.transfer.value
    (0.707107, 0.5)
    """
    chance = float(confidence("level", level))
    one, two = _checked("first", first, len(names)), _checked("second", second, len(names))
    layers = [
        _layer(name, tuple(part[:, k] for part in one), tuple(part[:, k] for part in two), chance)
        for k, name in enumerate(names)
    ]
    total = _layer("", tuple(part.sum(axis=1) for part in one), tuple(part.sum(axis=1) for part in two), chance)
    return Alignment(total, tuple(layers))


#: Squared norms and the two inner products of the examples of a set.
_Set = tuple[NDArray[np.float64], ...]


def _checked(name: str, arrays: tuple[ArrayLike, ArrayLike, ArrayLike], layers: int) -> _Set:
    norms = nonnegative(f"{name} squared norms", finite(f"{name} squared norms", arrays[0]))
    own, other = (finite(f"{name} inner products", part) for part in arrays[1:])
    if norms.ndim != 2 or norms.shape[1] != layers or len(norms) < 3 or not norms.shape == own.shape == other.shape:
        raise ValueError(
            f"{name} must hold three arrays of shape (m, {layers}) with m of 3 or more, got shapes {norms.shape}, "
            f"{own.shape} and {other.shape}. Put examples first, layers second."
        )
    return norms, own, other


def _layer(name: str, first: _Set, second: _Set, level: float) -> LayerAlignment:
    (norms_a, own_a, across), (norms_b, own_b, back) = first, second
    product = float(across.mean())
    means, moments = (_squared_mean(own_a), _squared_mean(own_b)), (float(norms_a.mean()), float(norms_b.mean()))
    numbers = len(norms_a), len(norms_b)
    without = [_left_out(norms_a, own_a, across), _left_out(norms_b, own_b, back)]
    signals = [unbiased(means[k], moments[k], numbers[k])[0] for k in (0, 1)]
    plug_in_error, cosine_error = (
        number_or_none(
            jackknife(
                math.nan,  # the value is derived where it is asked for
                _cosine(without[0][0], without[0][kind], np.float64(lengths[1])),
                _cosine(without[1][0], np.float64(lengths[0]), without[1][kind]),
            ).standard_error
        )
        for kind, lengths in ((1, means), (2, signals))
    )
    return LayerAlignment(
        name=name,
        m=numbers,
        product=product,
        squared_means=means,
        second_moments=moments,
        product_error=float(back.std(ddof=1)) / math.sqrt(numbers[1]),
        plug_in_error=plug_in_error,
        cosine_error=cosine_error,
        level=level,
    )


def _squared_mean(own: NDArray[np.float64]) -> float:
    """Return ``||gbar||^2``; 0 where inner products of both signs cancel to less, as they do at an optimum."""
    mean = float(own.mean())
    return 0.0 if -ROUNDING * float(np.abs(own).mean()) <= mean < 0 else mean


def _left_out(norms: NDArray[np.float64], own: NDArray[np.float64], other: NDArray[np.float64]) -> _Set:
    """Return product, squared length of the average and unbiased signal without each example."""
    m = len(norms)
    product = (m * other.mean() - other) / (m - 1)
    squared_mean = (m**2 * own.mean() - 2 * m * own + norms) / (m - 1) ** 2
    moment = (norms.sum() - norms) / (m - 1)
    return product, squared_mean, ((m - 1) * squared_mean - moment) / (m - 2)


def _cosine(product: Any, one: Any, two: Any) -> NDArray[np.float64]:
    """Return product over the root of both squared lengths; NaN unless both are positive."""
    product, one, two = np.broadcast_arrays(product, one, two)
    defined = (one > 0) & (two > 0)
    lengths = np.sqrt(one, where=defined, out=np.ones(one.shape)) * np.sqrt(two, where=defined, out=np.ones(two.shape))
    return np.where(defined, product / lengths, np.nan)


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value


def _to_json(layer: LayerAlignment) -> dict[str, Any]:
    values = {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(layer).items()}
    derived = {"plug_in": layer.plug_in, "cosine": layer.cosine, "transfer": layer.transfer}
    return values | {"derived": {key: value.to_json() for key, value in derived.items()}}
