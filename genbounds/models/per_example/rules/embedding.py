"""Rows of a table: embeddings, bags of them, and a parameter indexed by numbers along its first axis."""

import torch
from torch import Tensor
from torch.nn import functional

from genbounds.models.per_example.calls import Call, Outcome, Rule, Unsupported, Use, traced
from genbounds.models.per_example.factored.gradients import ExampleGradients
from genbounds.models.per_example.factored.rows import RowGradients
from genbounds.models.per_example.factored.views import ViewGradients
from genbounds.models.per_example.layouts import Layout

__all__ = ["RULES"]


def _embedding(call: Call) -> Outcome:
    if call.func is not functional.embedding:
        raise Unsupported("embedding other than torch.nn.functional's")
    ids, table, padding, max_norm, _, by_frequency = call.arguments(
        *("input", "weight", "padding_idx", "max_norm"), norm_type=2.0, scale_grad_by_freq=False
    )
    if max_norm is not None or by_frequency:
        raise Unsupported("embedding with max_norm or scale_grad_by_freq")
    return _rows(call, table, ids, padding if padding is None else padding % len(table))


def _index_select(call: Call) -> Outcome:
    table, axis, ids = call.arguments("input", "dim", "index")
    if axis:
        raise Unsupported("index_select along another axis than the first")
    return _rows(call, table, ids)


def _getitem(call: Call) -> Outcome:
    table, index = call.args
    ids = index[0] if isinstance(index, tuple) and len(index) == 1 else index
    if not isinstance(ids, Tensor) or ids.dtype in (torch.bool, torch.uint8):
        raise Unsupported("an index that is not one tensor of numbers")
    return _rows(call, table, ids)


def _bag(call: Call) -> Outcome:
    """Run sums or averages over the rows of each bag, of the same number of indices each."""
    ids, table, offsets, max_norm, _, by_frequency, mode, _, weights, _, padding = call.arguments(
        *("input", "weight", "offsets", "max_norm", "norm_type"),
        scale_grad_by_freq=False,
        mode="mean",
        sparse=False,
        per_sample_weights=None,
        include_last_offset=False,
        padding_idx=None,
    )
    if mode == "max" or not (ids.ndim == 2 and offsets is max_norm is weights is None) or by_frequency:
        raise Unsupported("embedding_bag with offsets, weights, maxima, max_norm or scale_grad_by_freq")
    if call.measured(ids):
        return None
    padding = padding if padding is None else padding % len(table)
    result = traced(call.run())
    kept = torch.ones_like(ids) if padding is None else (ids != padding).long()
    size = kept.sum(dim=1).clamp(min=1) if mode == "mean" else torch.ones_like(ids[:, 0])

    def form(layout: Layout, gradient: Tensor, number: int) -> ExampleGradients:
        rows, values = (layout.split(part, 1, number) for part in (ids, gradient / size[:, None]))
        spread = values.unsqueeze(2).expand(-1, -1, ids.shape[1], -1)
        return RowGradients(rows.flatten(1), spread.flatten(1, 2), table.shape, padding)

    return result, [Use(table, result, 1, form, saved=(ids,))]


def _rows(call: Call, table: Tensor, ids: Tensor, padding: int | None = None) -> Outcome:
    """Run what gives one row of the table for each index."""
    if not call.measured(table) or not ids.ndim:
        return None
    shape, ids = table.shape, ids % len(table)
    result = traced(call.run())

    def gradients(ids: Tensor, values: Tensor) -> ExampleGradients:
        matrix = torch.Size((len(table), shape[1:].numel()))
        part = RowGradients(ids, values.reshape(*ids.shape, matrix[1]), matrix, padding)
        return part if shape == matrix else ViewGradients(part, lambda whole: whole.reshape(matrix), shape)

    def form(layout: Layout, gradient: Tensor, number: int) -> ExampleGradients:
        return gradients(*(layout.split(values, ids.ndim, number) for values in (ids, gradient)))

    def pull(made: ExampleGradients) -> ExampleGradients:
        return gradients(ids.reshape(1, -1).expand(len(made), -1), made.dense(slice(0, len(made))))

    return result, [Use(table, result, ids.ndim, form, pull, saved=(ids,))]


RULES: dict[str, Rule] = {
    "embedding": _embedding,
    "embedding_bag": _bag,
    "index_select": _index_select,
    "getitem": _getitem,
}
