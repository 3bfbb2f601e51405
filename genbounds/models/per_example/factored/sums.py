"""Gradients of a parameter that is used more than once: tied, reused or unrolled."""

from collections.abc import Sequence
from itertools import combinations

import torch
from torch import Tensor

from genbounds.models.per_example.factored.gradients import DenseGradients, ExampleGradients
from genbounds.models.per_example.factored.outer_products import OuterGradients
from genbounds.models.per_example.factored.rows import RowGradients

__all__ = ["SumOfGradients"]


class SumOfGradients(ExampleGradients):
    """Sums over several uses of a parameter.

    Uses of one kind are joined to one use. Uses of disjoint slices stay apart, and so do rows of a matrix, g, and the
    rest, h: ||g + h||^2 = ||g||^2 + ||h||^2 + 2 <g, h>. What is left otherwise is written out and added.

    Parameters
    ----------
    parts : sequence of ExampleGradients
        At least one use, all at the same examples.
    """

    def __init__(self, parts: Sequence[ExampleGradients]) -> None:
        self.parts: list[ExampleGradients] = []
        for part in parts:
            for place, former in enumerate(self.parts):
                if (together := _joined(former, part)) is not None:
                    self.parts[place] = together
                    break
            else:
                self.parts.append(part)
        self.sparse = any(part.sparse for part in self.parts)
        if self.sparse and len(self.parts) > 2:
            rows, rest = ([part for part in self.parts if part.sparse is kind] for kind in (True, False))
            self.parts = [*rows, SumOfGradients(rest)]
        disjoint = all(one.is_disjoint_from(other) for one, other in combinations(self.parts, 2))
        self._apart = self.sparse or disjoint
        route = " + ".join(part.route for part in self.parts) if self._apart else "materialise"
        factor = torch.empty(0, dtype=parts[0].dtype, device=parts[0].device)
        super().__init__(len(parts[0]), parts[0].shape, factor, route)

    def dense(self, rows: slice) -> Tensor:
        """Add up the uses, written out."""
        return _sum([part.dense(rows) for part in self.parts])

    def squared_norms(self) -> Tensor:
        """Add up norms and cross terms, or write the sum out."""
        if not self._apart:
            return super().squared_norms()
        return _sum([part.squared_norms() for part in self.parts]) + self._cross_terms()

    def norms_and_total(self) -> tuple[Tensor, Tensor]:
        """Add up norms, cross terms and sums, or write everything out once."""
        if not self._apart:
            return super().norms_and_total()
        squared, totals = zip(*(part.norms_and_total() for part in self.parts), strict=True)
        return _sum(squared) + self._cross_terms(), _sum(totals)

    def dots(self, vector: Tensor) -> Tensor:
        """Add up those of the uses."""
        return _sum([part.dots(vector) for part in self.parts])

    def inner(self, other: ExampleGradients) -> Tensor:
        """Add up those of the uses, or write them out."""
        return _sum([part.inner(other) for part in self.parts]) if self._apart else super().inner(other)

    def cross(self, other: ExampleGradients) -> Tensor:
        """Add up those of the uses."""
        return _sum([part.cross(other) for part in self.parts])

    def weighted_total(self, weights: Tensor) -> Tensor:
        """Add up those of the uses."""
        return _sum([part.weighted_total(weights) for part in self.parts])

    def squares_total(self) -> Tensor:
        """Return sum_i g_i^2 + sum_i h_i^2 + 2 sum_i g_i h_i, or write the sum out."""
        if not self._apart:
            return super().squares_total()
        squares = _sum([part.squares_total() for part in self.parts])
        for rows, rest in self._pairs():
            squares += 2 * rows.products_total(rest)
        return squares

    def _pairs(self) -> list[tuple[RowGradients, ExampleGradients]]:
        """Return the rows of a matrix and the rest, if there are both."""
        rows = next((part for part in self.parts if isinstance(part, RowGradients)), None)
        return [] if rows is None else [(rows, part) for part in self.parts if part is not rows]

    def _cross_terms(self) -> Tensor:
        return _sum([self._zeros(len(self)), *(2 * rows.cross(rest) for rows, rest in self._pairs())])


def _sum(tensors: Sequence[Tensor]) -> Tensor:
    return sum(tensors[1:], start=tensors[0])


def _joined(one: ExampleGradients, other: ExampleGradients) -> ExampleGradients | None:
    """Return two uses as one; None if they have to stay apart."""
    if isinstance(one, DenseGradients) and isinstance(other, DenseGradients):
        return DenseGradients(one.values + other.values)
    if isinstance(one, RowGradients) and isinstance(other, RowGradients):
        return one.joined(other)
    if isinstance(one, OuterGradients) and isinstance(other, OuterGradients):
        return one.joined(other)
    return None
