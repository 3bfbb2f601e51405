"""What is known of one router so far, and the record that it becomes."""

from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genbounds.models.guards import ModelError
from genbounds.pathways.capture.reduction import PER_SAMPLE
from genbounds.pathways.capture.routers import Gate, Router, linear_part
from genbounds.pathways.routing import RoutedLayer

__all__ = ["HeardRouter", "warnings_of"]


@dataclass(eq=False)
class HeardRouter:
    """A router and what it said in all passes but for the sums of samples.

    Attributes
    ----------
    router : Router
        The router.
    experts : int
        Its experts, K.
    gate : {"softmax", "sigmoid", "probabilities"}
        How gates come from its logits.
    explained : bool
        Whether its weights are proportional to these gates.
    seen : bool
        Whether executed experts were seen.
    kind : torch.dtype
        Of its logits.
    pairs : Tensor of float64, shape (K, K)
        For how many tokens two experts were executed together.
    probable, calls : int
        How many calls looked like probabilities, and how many there were.
    selected, weights, gates : list of Tensor
        Of the tokens of each pass, if they are kept.
    """

    router: Router
    experts: int
    gate: Gate
    explained: bool
    seen: bool
    kind: torch.dtype
    pairs: Tensor = field(init=False)
    probable: int = 0
    calls: int = 0
    selected: list[Tensor] = field(default_factory=list)
    weights: list[Tensor] = field(default_factory=list)
    gates: list[Tensor] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.pairs = torch.zeros(self.experts, self.experts, dtype=torch.float64)

    @property
    def width(self) -> int:
        """Columns of its table of sums."""
        return 2 * self.experts + PER_SAMPLE

    def routed(
        self, number: int, table: NDArray[np.float64], lengths: NDArray[np.float64], order: Tensor | None
    ) -> RoutedLayer:
        """Turn sums into the record of a layer.

        Parameters
        ----------
        number : int
            Of the layer.
        table : ndarray, shape (n, 2 K + 4)
            Sums over the tokens of each sample, from `genbounds.pathways.capture.reduction`.
        lengths : ndarray, shape (n,)
            Tokens of each sample.
        order : Tensor of int64, shape (tokens,), or None
            Puts kept tokens into the order of the samples.

        Returns
        -------
        RoutedLayer
            With the weights of the router as they are now.

        Raises
        ------
        ModelError
            If some calls gave probabilities and some did not, or none did where the user said so.
        """
        experts = self.experts
        some = self.probable or self.gate == "probabilities"
        if self.gate != "sigmoid" and some and self.probable < self.calls:
            raise ModelError(
                f"a router must return logits or probabilities, got probabilities in {self.probable} of {self.calls} "
                f"calls of {self.router.name}. Say which by read."
            )
        weight, bias = linear_part(self.router.module, experts)
        by_token = {
            name: None if order is None or not parts else torch.cat(parts)[order].numpy()
            for name, parts in (("selected", self.selected), ("weights", self.weights), ("gates", self.gates))
        }
        return RoutedLayer(
            self.router.name,
            number,
            "probabilities" if self.probable and self.gate == "softmax" else self.gate,
            (table[:, :experts] / lengths[:, None]).astype(np.float32),
            table[:, experts : 2 * experts].astype(np.int64),
            table[:, 2 * experts] / lengths,
            table[:, 2 * experts + 1].astype(np.int64),
            self.pairs.numpy().astype(np.int64),
            router=None if weight is None else weight.float().cpu().numpy().copy(),
            bias=None if bias is None else bias.float().cpu().numpy().copy(),
            **by_token,
        )


def warnings_of(layers: Collection[HeardRouter]) -> tuple[str, ...]:
    """Say what makes the record of some routers worth less than it looks.

    Parameters
    ----------
    layers : collection of HeardRouter
        The routers.

    Returns
    -------
    tuple of str
        A sentence for each reason.
    """
    found = {
        "{} returned probabilities where logits are usual (transformers 5.0 to 5.5 did): gates are these.": [
            layer for layer in layers if layer.gate == "softmax" and layer.probable == layer.calls
        ],
        "{} have weights that are multiples neither of softmax nor of logistic gates: how gates were meant is not "
        "known, softmax of the logits was taken.": [
            layer for layer in layers if not (layer.explained or layer.probable)
        ],
        "{} returned logits alone: executed experts and weights are those of the largest k, as the block is "
        "expected to take them, not as it was seen to.": [layer for layer in layers if not layer.seen],
    }
    return tuple(text.format(_listed(which)) for text, which in found.items() if which)


def _listed(layers: list[HeardRouter]) -> str:
    names = [layer.router.name for layer in layers]
    return f"{len(names)} routers ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"
