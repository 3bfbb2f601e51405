"""Language models: what an example is, a sequence or a single token given those before it."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["IGNORED", "SingleTokens", "next_token_loss"]

#: Label of positions that are not to be predicted: padding, a prompt.
IGNORED = -100


def next_token_loss(outputs: Any, labels: Tensor, *, average: bool = True) -> Tensor:
    """Return one value per sequence: how badly each token is predicted from those before it.

    The average over all tokens of a batch, which training minimises, is no average over its sequences where these
    differ in length, so that a single sequence has no gradient in it. One value for each sequence has.

    Parameters
    ----------
    outputs : Tensor of shape (B, T, V), or an object with such `logits`
        What a causal language model returns; the logits at t are for token t + 1.
    labels : Tensor of int64, shape (B, T)
        The tokens themselves, with `IGNORED` (-100) where none is to be predicted; the first is never predicted.
    average : bool
        Whether to average over a sequence's tokens, or to add up.

    Returns
    -------
    Tensor, shape (B,)
        Cross-entropies in nats. NaN for the average over no token.

    Examples
    --------
    >>> even = torch.zeros(1, 3, 8)
    >>> labels = torch.tensor([[4, 2, IGNORED]])
    >>> round(next_token_loss(even, labels).item() / torch.log(torch.tensor(2.0)).item(), 6)
    3.0
    """
    logits = (outputs if isinstance(outputs, Tensor) else outputs.logits)[:, :-1]
    targets = labels[:, 1:]
    wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
    losses = functional.cross_entropy(wide.flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction="none")
    total = losses.view(targets.shape).sum(dim=1)
    return total / (targets != IGNORED).sum(dim=1) if average else total


class SingleTokens:
    """Sequences as a data set of single tokens: each example is one token to predict, given those before it.

    An example is the whole sequence with all labels but one taken out, so it holds for any model, and its gradient is
    exact; with `next_token_loss` the gradients of a sequence's tokens add up to that of the sequence. It costs one pass
    over the sequence for each of its tokens: T passes where the sequence as one example takes one.

    Parameters
    ----------
    sequences : mapping of str to Tensor
        Keyword arguments of the model, sequences along the first axis, and ``labels``, of shape (N, T), as
        `next_token_loss` takes them.

    Attributes
    ----------
    places : Tensor of int64, shape (M, 2)
        Number of the sequence and position of the predicted token, for each example.

    Raises
    ------
    ValueError
        If there is nothing to predict.

    Examples
    --------
    >>> ids = torch.tensor([[5, 6, 7], [5, 6, 0]])
    >>> tokens = SingleTokens({"input_ids": ids, "labels": torch.tensor([[5, 6, 7], [5, 6, IGNORED]])})
    >>> tokens.places.tolist()
    [[0, 1], [0, 2], [1, 1]]
    >>> tokens[1]["labels"].tolist()
    [-100, -100, 7]
    """

    def __init__(self, sequences: Mapping[str, Tensor]) -> None:
        self._sequences = dict(sequences)
        self._labels = self._sequences.pop("labels")
        self.places = (self._labels[:, 1:] != IGNORED).nonzero() + torch.tensor([0, 1], device=self._labels.device)
        if not len(self.places):
            raise ValueError(
                f"labels must hold tokens to predict, got {IGNORED} behind every first position. Set some."
            )

    def __len__(self) -> int:
        """Return the number of tokens to predict."""
        return len(self.places)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """Return one example: the sequence, and labels without all others."""
        sequence, position = self.places[index].tolist()
        labels = torch.full_like(self._labels[sequence], IGNORED)
        labels[position] = self._labels[sequence, position]
        return {name: part[sequence] for name, part in self._sequences.items()} | {"labels": labels}
