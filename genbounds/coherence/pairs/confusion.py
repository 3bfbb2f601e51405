"""Gradient confusion: the pairs of examples whose gradients oppose each other most."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from genbounds.coherence.pairs.gram import Gram

__all__ = ["Confusion", "confusion"]

#: Ranks at which inner products and cosines of pairs are reported, beside the smallest.
_PROBABILITIES = (0.001, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True)
class Confusion:
    """The pairs whose gradients oppose each other most [Sankararaman2020].

    The smallest of k (k - 1) / 2 pairs falls with k by itself: compare confusions at the same number of examples, or
    the ranks, which do not.

    Parameters
    ----------
    examples : int
        Examples with a gradient.
    smallest_product, smallest_cosine : float
        Over all pairs.
    probabilities : tuple of float
        Ranks reported.
    product_quantiles, cosine_quantiles : tuple of float
        Inner products and cosines at these ranks.
    opposed : float
        Share of pairs with a negative inner product.
    """

    examples: int
    smallest_product: float
    smallest_cosine: float
    probabilities: tuple[float, ...]
    product_quantiles: tuple[float, ...]
    cosine_quantiles: tuple[float, ...]
    opposed: float

    @property
    def eta(self) -> float:
        """Smallest eta >= 0 with ``g_i . g_j >= -eta`` for all pairs of the subsample; among more examples it grows."""
        return max(0.0, -self.smallest_product)

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON carries them.

        Returns
        -------
        dict
            Numbers and lists.
        """
        return {
            "examples": self.examples,
            "eta": self.eta,
            "smallest_product": self.smallest_product,
            "smallest_cosine": self.smallest_cosine,
            "probabilities": list(self.probabilities),
            "product_quantiles": list(self.product_quantiles),
            "cosine_quantiles": list(self.cosine_quantiles),
            "opposed": self.opposed,
        }

    def __str__(self) -> str:
        ranks = ", ".join(
            f"{p:.1%} {value:.3g}" for p, value in zip(self.probabilities, self.cosine_quantiles, strict=True)
        )
        return (
            f"gradient confusion {self.eta:.4g} over all pairs of {self.examples} examples; smallest cosine "
            f"{self.smallest_cosine:.4g}, {self.opposed:.1%} of the pairs opposed; cosines by rank: {ranks}"
        )


def confusion(gram: Gram) -> Confusion:
    """Find the pairs of examples whose gradients oppose each other most.

    Parameters
    ----------
    gram : Gram
        Inner products.

    Returns
    -------
    Confusion
        Exact for the subsample.

    Raises
    ------
    ValueError
        If fewer than two examples have a gradient.
    """
    cosines, kept = gram.directions()
    pairs = np.triu_indices(len(cosines), 1)
    angles, products = cosines[pairs], gram.products[np.ix_(kept, kept)][pairs]
    return Confusion(
        examples=len(cosines),
        smallest_product=float(products.min()),
        smallest_cosine=float(angles.min()),
        probabilities=_PROBABILITIES,
        product_quantiles=tuple(np.quantile(products, _PROBABILITIES).tolist()),
        cosine_quantiles=tuple(np.quantile(angles, _PROBABILITIES).tolist()),
        opposed=float((products < 0).mean()),
    )
