"""Paths of samples through the layers of experts: ordered lists of experts, one for each layer.

The symbols of a path are experts *of a layer*: expert 3 of one layer and expert 3 of the next have nothing in common
but their number. Renumbering the experts of a layer changes no output of the network, and no distance between paths
that keeps layers apart.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genbounds.numerics.checks import confidence, count
from genbounds.pathways.routing import RoutedLayer, Routing

__all__ = ["Paths", "cumulative_paths", "literal_strings", "token_paths", "top_paths"]

#: Prefix sums of gates that were rounded to float32, divided by their total, are known to this part of 1.
_ROUNDING = 2.0**-23
#: Numbers of experts fit int16.
_MOST = 2**15


@dataclass(frozen=True, eq=False)
class Paths:
    """The paths of n samples (or tokens) through L layers.

    Attributes
    ----------
    symbols : ndarray of int16, shape (n, L, M)
        Numbers of experts in their order, each at most once in a layer, padded by -1.
    lengths : ndarray of int64, shape (n, L)
        How many experts a path has in each layer. 0 occurs only for tokens that the capacity of experts left out.
    experts : tuple of int
        Number of experts K of each layer.
    rule : str
        How experts were chosen.
    ties : ndarray of int64, shape (n,)
        Places in the path where the expert and the next one of that layer had equal gates, so that their order (or
        which of them belongs to the path) is arbitrary.

    Raises
    ------
    ValueError
        If shapes disagree, an expert is out of range or repeated, or padding is not where lengths say.

    Examples
    --------
    >>> paths = Paths(np.array([[[3, 1], [0, -1]]], np.int16), np.array([[2, 1]]), (4, 4), "by hand", np.array([0]))
    >>> len(paths), paths.layers, paths.total_lengths.tolist()
    (1, 2, [3])
    """

    symbols: NDArray[np.int16]
    lengths: NDArray[np.int64]
    experts: tuple[int, ...]
    rule: str
    ties: NDArray[np.int64]

    def __post_init__(self) -> None:
        for name in ("symbols", "lengths", "ties"):
            array = getattr(self, name)
            if not isinstance(array, np.ndarray) or array.dtype.kind not in "iu":
                kind = f"an array of {array.dtype}" if isinstance(array, np.ndarray) else type(array).__name__
                raise ValueError(f"{name} must be an array of integers, got {kind}. Pass numpy.asarray of it.")
            array.setflags(write=False)
        shape = self.symbols.shape
        if self.symbols.dtype != np.int16 or len(shape) != 3 or not all(shape):
            raise ValueError(
                f"symbols must be int16 of shape (samples, layers, places), got {self.symbols.dtype} of shape {shape}. "
                "Pad each list by -1."
            )
        for name, got, wanted in (
            ("lengths", self.lengths.shape, shape[:2]),
            ("experts", (len(self.experts),), shape[1:2]),
            ("ties", self.ties.shape, shape[:1]),
        ):
            if got != wanted:
                raise ValueError(
                    f"{name} must be of shape {wanted} for symbols of shape {shape}, got {got}. Align them."
                )
        if not ((self.lengths >= 0) & (self.lengths <= shape[2])).all():
            raise ValueError(
                f"lengths must be in [0, {shape[2]}], got {self.lengths.min()} to {self.lengths.max()}. Count the "
                "experts of each list."
            )
        held = np.arange(shape[2]) < self.lengths[..., None]
        if ((self.symbols >= 0) != held).any() or (self.symbols < -1).any():
            raise ValueError("symbols must be experts as far as lengths say and -1 beyond, got others. Pad by -1.")
        if (self.symbols >= np.array(self.experts)[:, None]).any():
            raise ValueError(
                f"symbols must be below the number of experts of their layer, {self.experts}, got "
                f"{self.symbols.max(axis=(0, 2)).tolist()}. Count experts from 0."
            )
        ordered = np.sort(self.symbols, axis=2)
        if ((ordered[..., 1:] == ordered[..., :-1]) & (ordered[..., 1:] >= 0)).any():
            raise ValueError("symbols must be different within a layer, got a repeated expert. Leave out repetitions.")

    def __len__(self) -> int:
        """Return the number of paths, n."""
        return len(self.symbols)

    @property
    def layers(self) -> int:
        """Number of layers, L."""
        return int(self.symbols.shape[1])

    @property
    def total_lengths(self) -> NDArray[np.int64]:
        """Number of symbols of each path, all layers together, shape (n,)."""
        return self.lengths.sum(axis=1)

    def of_samples(self, samples: ArrayLike) -> "Paths":
        """Return the paths of some samples only.

        Parameters
        ----------
        samples : array_like of int or bool
            Their positions, or a mask over all.

        Returns
        -------
        Paths
            In the order asked for.
        """
        wanted = np.arange(len(self))[np.asarray(samples)]
        return replace(self, symbols=self.symbols[wanted], lengths=self.lengths[wanted], ties=self.ties[wanted])


def top_paths(routing: Routing, k: int = 1) -> Paths:
    """Return the k experts with the largest mean gates in each layer, the largest first.

    Parameters
    ----------
    routing : Routing
        Of n samples.
    k : int
        At least 1, at most the number of experts of any layer.

    Returns
    -------
    Paths
        Of length k in every layer. Equal gates are counted in `Paths.ties` and ordered by the expert's number.

    Raises
    ------
    ValueError
        If a layer has fewer than k experts.
    """
    wanted, fewest = int(count("k", k)), min(layer.experts for layer in routing.layers)
    if wanted > fewest:
        raise ValueError(f"k must be at most the number of experts of each layer, {fewest}, got {k}. Take fewer.")
    rankings = [_ranking(layer) for layer in routing.layers]
    return _prefixes(rankings, [np.full(len(routing), wanted)] * len(rankings), f"top {wanted} by mean gate")


def cumulative_paths(routing: Routing, tau: float = 0.7) -> Paths:
    """Return the experts with the largest mean gates that together exceed a share of the routing, in each layer.

    In each layer experts are ordered by their mean gate, and the shortest prefix whose cumulative gate exceeds tau is
    kept ([LiFanZhou2025]_, section 4.1, there tau = 0.7). Its length m is in ``1 <= m <= floor(tau K) + 1``, where the
    largest value is that of uniform gates.

    Parameters
    ----------
    routing : Routing
        Of n samples.
    tau : float
        Strictly between 0 and 1.

    Returns
    -------
    Paths
        Of different lengths. Equal gates are counted in `Paths.ties` and ordered by the expert's number.

    Raises
    ------
    ValueError
        If tau is not strictly between 0 and 1.

    Notes
    -----
    Gates are divided by their total, which rounding leaves beside 1, and a cumulative gate within 2^-23 of tau counts
    as equal to it: stored gates are not known better, and rounding must not decide what exceeds. A tau closer than that
    to 1 keeps all experts.
    """
    threshold = float(confidence("tau", tau, "It is a share of the routing, such as 0.7.")) + _ROUNDING
    rankings = [_ranking(layer) for layer in routing.layers]
    lengths = []
    for _, gates in rankings:
        sums = np.cumsum(gates, axis=1)
        # The whole list is the last resort, so its own sum is not asked.
        lengths.append(1 + (sums[:, :-1] <= threshold * sums[:, -1:]).sum(axis=1))
    return _prefixes(rankings, lengths, f"cumulative mean gate above {tau:g}")


def token_paths(routing: Routing) -> Paths:
    """Return the path of every kept token: the experts that were executed for it, the largest weight first.

    Parameters
    ----------
    routing : Routing
        With the tokens' executed experts.

    Returns
    -------
    Paths
        One for each token; `Routing.sample_of_token` says whose. `Paths.ties` counts equal weights of executed experts;
        ties between an executed expert and another are counted by the capture, in `RoutedLayer.ties`.

    Raises
    ------
    ValueError
        If executed experts were not kept.
    """
    lists, ties = [], np.zeros(routing.tokens, np.int64)
    for layer in routing.layers:
        if layer.selected is None or layer.weights is None:
            raise ValueError(
                f"routing must hold the executed experts of each token, got none in the layer {layer.name}. Capture it "
                "again and keep tokens."
            )
        order = np.argsort(layer.selected < 0, axis=1, kind="stable")
        chosen = np.take_along_axis(layer.selected, order, axis=1)
        weights = np.take_along_axis(layer.weights, order, axis=1)
        ties += ((weights[:, 1:] == weights[:, :-1]) & (chosen[:, 1:] >= 0)).sum(axis=1)
        lists.append((chosen, (chosen >= 0).sum(axis=1)))
    return _padded(lists, tuple(layer.experts for layer in routing.layers), "executed for the token", ties)


def literal_strings(paths: Paths) -> list[str]:
    """Write paths as the strings of the publication: experts joined by commas, layers by hyphens.

    They name experts of different layers by the same numbers, and their edit distance counts digits and separators, so
    it changes when experts are renumbered, which changes nothing in the network. For comparisons with published numbers
    only.

    Parameters
    ----------
    paths : Paths
        Of n samples.

    Returns
    -------
    list of str
        One for each sample.

    Examples
    --------
    >>> symbols = np.array([[[3, 1, 5], [9, 1, -1]]], np.int16)
    >>> literal_strings(Paths(symbols, np.array([[3, 2]]), (10, 10), "by hand", np.array([0])))
    ['3,1,5-9,1']
    """
    return [
        "-".join(",".join(map(str, experts[:length])) for experts, length in zip(row, lengths, strict=True))
        for row, lengths in zip(paths.symbols.tolist(), paths.lengths.tolist(), strict=True)
    ]


def _ranking(layer: RoutedLayer) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return experts by descending mean gate, equal ones by their number, and the gates in that order."""
    order = np.argsort(-layer.mean_gates, axis=1, kind="stable")
    return order, np.take_along_axis(layer.mean_gates, order, axis=1).astype(np.float64)


def _prefixes(
    rankings: list[tuple[NDArray[np.intp], NDArray[np.float64]]], lengths: list[NDArray[np.int64]], rule: str
) -> Paths:
    """Cut the rankings of all layers, and count equal gates up to the cut, across it included."""
    ties = np.zeros(len(lengths[0]), np.int64)
    for (_, gates), length in zip(rankings, lengths, strict=True):
        equal = gates[:, 1:] == gates[:, :-1]
        ties += (equal & (np.arange(equal.shape[1]) < length[:, None])).sum(axis=1)
    orders = [order for order, _ in rankings]
    return _padded(list(zip(orders, lengths, strict=True)), tuple(order.shape[1] for order in orders), rule, ties)


def _padded(
    lists: list[tuple[NDArray[np.signedinteger], NDArray[np.int64]]],
    experts: tuple[int, ...],
    rule: str,
    ties: NDArray[np.int64],
) -> Paths:
    """Put ordered lists of experts, shape (n, k) with lengths (n,) for each layer, into one padded array."""
    if max(experts) > _MOST:
        raise ValueError(
            f"routing must have at most {_MOST} experts in a layer, got {max(experts)}. Leave out the layer: paths "
            "hold numbers of 16 bits."
        )
    lengths = np.stack([length for _, length in lists], axis=1)
    places = max(int(lengths.max()), 1)
    symbols = np.full((*lengths.shape, places), -1, np.int16)
    for layer, (order, length) in enumerate(lists):
        width = min(places, order.shape[1])
        held = np.arange(width) < length[:, None]
        symbols[:, layer, :width] = np.where(held, order[:, :width], -1)
    return Paths(symbols, lengths, experts, rule, ties)
