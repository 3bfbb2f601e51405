"""The record of grokking measures of one moment of a network that adds remainders."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from genbounds.numerics.restoring import restored
from genbounds.numerics.unevenness import gini
from genbounds.pathways.grokking.fourier import frequency_norms, key_frequencies, top_share
from genbounds.pathways.grokking.progress import (
    SplitLoss,
    addition_loss,
    excluded_losses,
    excluded_part,
    restricted_part,
)
from genbounds.pathways.grokking.weights import effective_rank, stable_rank, weight_norm

__all__ = ["GrokkingMeasures", "grokking_measures"]

_FORMAT = "genbounds grokking 1"


@dataclass(frozen=True)
class GrokkingMeasures:
    """What the weights and logits of a network say about how it adds a and b mod p.

    Attributes
    ----------
    modulus : int
        p.
    frequencies : tuple of int
        Key frequencies behind the restricted and the excluded loss.
    loss, restricted, excluded : SplitLoss
        Cross-entropy in nats: of the logits, with only the waves of the key frequencies left, and without these. Nanda
        et al. (2023) show the restricted loss of all pairs and the excluded loss of the training pairs.
    single_excluded : tuple of float
        Training loss without frequency 1, 2, ... alone.
    gini, top_share : float
        Of the norms of the embedding's frequencies: Gini coefficient, and share of the power of the five largest.
    readout_gini : float or None
        Gini coefficient of the map from neurons to answers, if it was given.
    weight_norm : float
        Euclidean norm of the weights that were given.
    effective_rank, stable_rank : float
        Of the embedding.
    """

    modulus: int
    frequencies: tuple[int, ...]
    loss: SplitLoss
    restricted: SplitLoss
    excluded: SplitLoss
    single_excluded: tuple[float, ...]
    gini: float
    top_share: float
    readout_gini: float | None
    weight_norm: float
    effective_rank: float
    stable_rank: float

    @property
    def max_excluded(self) -> float:
        """The largest training loss without one frequency: an excluded loss that needs no key frequencies."""
        return max(self.single_excluded)

    def flat(self) -> dict[str, float]:
        """Return all scalars under one level of names, as loggers take them.

        Returns
        -------
        dict of str to float
            Losses as ``restricted/all`` and so on; without what was not given.
        """
        found: dict[str, float] = {"frequencies": float(len(self.frequencies)), "max_excluded": self.max_excluded}
        for name in ("loss", "restricted", "excluded"):
            found |= {f"{name}/{side}": value for side, value in asdict(getattr(self, name)).items()}
        for name in ("gini", "top_share", "readout_gini", "weight_norm", "effective_rank", "stable_rank"):
            value = getattr(self, name)
            if value is not None:
                found[name] = value
        return found

    def to_json(self) -> dict[str, Any]:
        """Return the record as JSON carries it.

        Returns
        -------
        dict
            Of plain numbers, lists and dicts.
        """
        return {"format": _FORMAT, **asdict(self)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "GrokkingMeasures":
        """Restore what `to_json` returned, through a file or not.

        Parameters
        ----------
        values : mapping
            The record.

        Returns
        -------
        GrokkingMeasures
            Equal to the one written.

        Raises
        ------
        ValueError
            If it is something else.
        """
        if values.get("format") != _FORMAT:
            raise ValueError(f"format must be {_FORMAT!r}, got {values.get('format')!r}. Pass what to_json returned.")
        return restored(cls, values)


def grokking_measures(
    logits: ArrayLike,
    trained: ArrayLike,
    weights: Mapping[str, ArrayLike],
    *,
    embedding: str = "embedding",
    readout: ArrayLike | None = None,
    frequencies: Sequence[int] | None = None,
) -> GrokkingMeasures:
    """Measure a network that adds remainders.

    Parameters
    ----------
    logits : array_like, shape (p, p, p)
        Over a, b and the answer c; p odd, at least 5.
    trained : array_like of bool, shape (p, p) or (p^2,)
        Which pairs were trained on; some, not all.
    weights : mapping of str to array_like
        All weights by name, as arrays.
    embedding : str
        Name of the one of shape (p, d) whose row x is the embedding of the remainder x.
    readout : array_like, shape (p, neurons), optional
        A map from neurons to answers.
    frequencies : sequence of int, optional
        Key frequencies; by default those of the embedding by `key_frequencies`. Along a training pass those of the last
        network, as Nanda et al. (2023) do: else the losses of two moments leave out different things. They are then
        known only after the end.

    Returns
    -------
    GrokkingMeasures
        The record.

    Raises
    ------
    ValueError
        If shapes disagree or a number is not finite.
    """
    if embedding not in weights or np.shape(weights[embedding])[:1] != np.shape(logits)[:1]:
        raise ValueError(
            f"embedding must name weights with a row for each of {np.shape(logits)[0]} remainders, got {embedding!r} "
            f"among {', '.join(weights)}. Name the right one."
        )
    vectors = weights[embedding]
    norms = frequency_norms(vectors)
    keys = key_frequencies(vectors) if frequencies is None else tuple(int(k) for k in frequencies)
    return GrokkingMeasures(
        modulus=len(np.asarray(vectors)),
        frequencies=keys,
        loss=addition_loss(logits, trained),
        restricted=addition_loss(restricted_part(logits, keys), trained),
        excluded=addition_loss(excluded_part(logits, keys), trained),
        single_excluded=tuple(excluded_losses(logits, trained).tolist()),
        gini=gini(norms),
        top_share=top_share(norms),
        readout_gini=None if readout is None else gini(frequency_norms(readout)),
        weight_norm=weight_norm(weights),
        effective_rank=effective_rank(vectors),
        stable_rank=stable_rank(vectors),
    )
