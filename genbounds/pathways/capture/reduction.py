"""One call of a router becomes a row of sums for each sample, on the device and without waiting for it."""

from typing import NamedTuple

import torch
from torch import Tensor

from genbounds.pathways.capture.routers import Gate, RouterCall

__all__ = ["PER_SAMPLE", "Reduced", "gates_of", "largest_first", "reduce_call"]

#: Columns of a table after gates and counts: entropy, ties, tokens that are not finite, experts taken twice.
PER_SAMPLE = 4
#: How far a row may be from summing to 1 and still be probabilities, where the dtype's rounding is not coarser.
_SUM = 1e-3


class Reduced(NamedTuple):
    """Sums over the tokens that count, of one call of a router with K experts.

    Attributes
    ----------
    table : Tensor of float64, shape (B, 2 K + 4)
        For each sample: gates, counts of executed experts, entropy, ties, tokens with NaN or infinity, tokens that have
        an expert twice.
    pairs : Tensor of float64, shape (K, K)
        For how many tokens two experts were executed together.
    probabilities : Tensor of bool, shape ()
        Whether the logits were probabilities.
    """

    table: Tensor
    pairs: Tensor
    probabilities: Tensor


def gates_of(logits: Tensor, gate: Gate, counted: Tensor | None, *, known: bool = False) -> tuple[Tensor, Tensor]:
    """Return vectors of gates, and whether the logits turned out to be probabilities.

    Parameters
    ----------
    logits : Tensor, shape (N, K)
        Scores.
    gate : {"softmax", "sigmoid", "probabilities"}
        How gates come from them. Where softmax is said, but all rows that count are in [0, 1] and sum to 1 within 1e-3
        (2^-7 in bfloat16, whose rounding moves sums by half of that), they are taken for probabilities.
    counted : Tensor of bool, shape (N,), or None
        Which rows count.
    known : bool
        Whether softmax is certain: then logits are never taken for probabilities.

    Returns
    -------
    gates : Tensor, shape (N, K)
        In float32 or better; rows sum to 1.
    probabilities : Tensor of bool, shape ()
        Whether the logits were probabilities.
    """
    tolerance = max(_SUM, torch.finfo(logits.dtype).eps)
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    if gate == "sigmoid":
        scores = logits.sigmoid()
        return scores / scores.sum(dim=1, keepdim=True), torch.zeros((), dtype=torch.bool, device=logits.device)
    sums = logits.sum(dim=1, keepdim=True)
    rows = (logits.amin(dim=1) >= 0) & (logits.amax(dim=1) <= 1) & ((sums.squeeze(1) - 1).abs() <= tolerance)
    probabilities = (rows if counted is None else rows | counted.logical_not()).all()
    if gate == "probabilities":
        return logits / sums, probabilities
    probabilities = probabilities & (not known)
    return torch.where(probabilities, logits / sums, logits.softmax(dim=1)), probabilities


def reduce_call(call: RouterCall, gate: Gate, counted: Tensor | None, rows: int) -> tuple[Reduced, Tensor]:
    """Sum over the tokens of each sample.

    Parameters
    ----------
    call : RouterCall
        Of N = B R tokens, those of a sample one after the other.
    gate : {"softmax", "sigmoid", "probabilities"}
        How gates come from logits.
    counted : Tensor of bool, shape (B, R), or None
        Which tokens count; None for all.
    rows : int
        Samples, B.

    Returns
    -------
    Reduced
        The sums.
    gates : Tensor, shape (N, K)
        Of all tokens.
    """
    flat = None if counted is None else counted.reshape(-1)
    gates, probabilities = gates_of(call.logits, gate, flat, known=call.gate is not None)
    selected = call.selected.long()
    taken, place = selected >= 0, selected.clamp(min=0)
    executed = torch.zeros_like(gates).scatter_add_(1, place, taken.to(gates.dtype))
    chosen = gates.gather(1, place)
    # An expert with the gate of an executed one that was not executed itself.
    others = gates.masked_fill(executed > 0, -1.0)
    tied = ((others.unsqueeze(1) == chosen.unsqueeze(2)) & taken.unsqueeze(2)).flatten(1).any(dim=1)
    finite = [part.isfinite().all(dim=1) for part in (call.logits, call.weights, gates)]
    strange = (finite[0] & finite[1] & finite[2]).logical_not()
    columns = [torch.special.entr(gates).sum(dim=1), tied, strange, (executed > 1).any(dim=1)]
    table = torch.cat([gates, executed, torch.stack([column.to(gates.dtype) for column in columns], dim=1)], dim=1)
    if flat is not None:
        table = table.masked_fill(flat.logical_not().unsqueeze(1), 0.0)  # not a product: padding may hold NaN
    experts = gates.shape[1]
    counts = table.narrow(1, experts, experts).float()
    with torch.autocast(counts.device.type, enabled=False):
        pairs = (counts.T @ counts).double()  # zeros and ones: exact below 2^24 tokens
    return Reduced(table.reshape(rows, -1, table.shape[1]).sum(dim=1, dtype=torch.float64), pairs, probabilities), gates


def largest_first(call: RouterCall) -> tuple[Tensor, Tensor]:
    """Order the executed experts of each token by their weight.

    Parameters
    ----------
    call : RouterCall
        Of N tokens.

    Returns
    -------
    selected : Tensor of int16, shape (N, k)
        Executed experts, -1 last; equal weights stay in the router's order.
    weights : Tensor of float32, shape (N, k)
        Theirs.
    """
    weights, order = call.weights.masked_fill(call.selected < 0, -torch.inf).sort(dim=1, descending=True, stable=True)
    selected = call.selected.gather(1, order)
    return selected.short(), weights.masked_fill(selected < 0, 0.0).float()
