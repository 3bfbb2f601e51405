"""Gradients that touch a few rows of a matrix: those of embeddings."""

import torch
from torch import Tensor

from genbounds.models.per_example.factored.gradients import ExampleGradients, at_least_float32, squared_norms
from genbounds.models.per_example.factored.outer_products import OuterGradients

__all__ = ["RowGradients"]


class RowGradients(ExampleGradients):
    """Gradients of an embedding: row v of example i's is the sum of b_t over the positions t that look up v.

    The (V, d) matrix of an example is never written out.

    Parameters
    ----------
    ids : Tensor of int64, shape (B, T)
        Rows looked up.
    outputs : Tensor, shape (B, T, d)
        Gradient of the example's loss at what came out.
    shape : torch.Size
        (V, d).
    padding_idx : int, optional
        Row that takes no gradient.
    """

    sparse = True

    def __init__(self, ids: Tensor, outputs: Tensor, shape: torch.Size, padding_idx: int | None = None) -> None:
        outputs = at_least_float32(outputs.detach())
        super().__init__(len(ids), shape, outputs, "rows")
        if padding_idx is not None:
            outputs = outputs.masked_fill((ids == padding_idx)[..., None], 0)
        self.ids, self.outputs = ids, outputs
        # Every row of every example once, in the order of its number i V + v.
        number = ids + torch.arange(len(ids), device=ids.device)[:, None] * self.shape[0]
        self._numbers, position = torch.unique(number, return_inverse=True)
        merged = outputs.new_zeros(len(self._numbers), self.shape[1])
        self._values = merged.index_add_(0, position.flatten(), outputs.flatten(0, 1))

    @property
    def _examples(self) -> Tensor:
        return self._numbers // self.shape[0]

    @property
    def _rows(self) -> Tensor:
        return self._numbers % self.shape[0]

    def _by_example(self, values: Tensor) -> Tensor:
        return self._zeros(len(self)).index_add_(0, self._examples, values.double())

    def dense(self, rows: slice) -> Tensor:
        """Write out whole matrices, of which one may be too large."""
        number = range(len(self))[rows]
        out = self.outputs.new_zeros(len(number), *self.shape)
        examples = torch.arange(len(number), device=self.device)[:, None].expand(-1, self.ids.shape[1])
        return out.index_put_((examples, self.ids[rows]), self.outputs[rows], accumulate=True)

    def squared_norms(self) -> Tensor:
        """Add up the rows' squared norms."""
        return self._by_example(squared_norms(self._values))

    def norms_and_total(self) -> tuple[Tensor, Tensor]:
        """Add up the rows' squared norms, and the rows."""
        total = self._values.new_zeros(self.shape).index_add_(0, self._rows, self._values)
        return self.squared_norms(), total

    def dots(self, vector: Tensor) -> Tensor:
        """Look the rows up in the vector."""
        return self._by_example((vector[self._rows].double() * self._values).sum(dim=1))

    def inner(self, other: ExampleGradients) -> Tensor:
        """Compare with the other's gradients one by one: rows that both have, or the whole of it."""
        if isinstance(other, RowGradients):
            columns = [self._by_example(self._products(self._rows, *other._example(j))) for j in range(len(other))]
        elif other.sparse:
            return other.inner(self).T
        else:
            columns = [self.dots(other.dense(slice(j, j + 1))[0]) for j in range(len(other))]
        return torch.stack(columns, dim=1)

    def cross(self, other: ExampleGradients) -> Tensor:
        """Compare with the rows of the other's gradient that are looked up."""
        if isinstance(other, RowGradients):
            return self._by_example(self._products(self._numbers, other._numbers, other._values))
        if other.sparse:
            return other.cross(self)
        return (self._looked_up(other).double() * self.outputs).flatten(1).sum(dim=1)

    def weighted_total(self, weights: Tensor) -> Tensor:
        """Add up weighted rows."""
        weights = weights.to(torch.promote_types(weights.dtype, self.dtype))
        totals = weights.new_zeros(*weights.shape[:-1], *self.shape)
        weighed = weights[..., self._examples, None] * self._values
        return totals.index_add_(-2, self._rows, weighed)

    def squares_total(self) -> Tensor:
        """Add up the squares of rows, each once an example."""
        return self._zeros(*self.shape).index_add_(0, self._rows, self._values.double().square())

    def products_total(self, other: ExampleGradients) -> Tensor:
        """Return the sum of the products with another use's gradients, coordinate by coordinate.

        Parameters
        ----------
        other : ExampleGradients
            Gradients of the same parameter that are not sparse, at the same examples.

        Returns
        -------
        Tensor, shape S
            sum_i g_i g'_i, float64.
        """
        products = self._looked_up(other).double() * self.outputs
        return self._zeros(*self.shape).index_add_(0, self.ids.flatten(), products.flatten(0, 1))

    def joined(self, other: "RowGradients") -> "RowGradients":
        """Return the gradients of two uses together.

        Parameters
        ----------
        other : RowGradients
            Another use at the same examples.

        Returns
        -------
        RowGradients
            Positions of one behind those of the other.
        """
        ids, outputs = torch.cat([self.ids, other.ids], dim=1), torch.cat([self.outputs, other.outputs], dim=1)
        return RowGradients(ids, outputs, self.shape)

    def _example(self, number: int) -> tuple[Tensor, Tensor]:
        """Return the rows of one example in ascending order, and their values."""
        bounds = torch.tensor([number, number + 1], device=self.device) * self.shape[0]
        start, stop = torch.searchsorted(self._numbers, bounds).tolist()
        return self._rows[start:stop], self._values[start:stop]

    def _products(self, wanted: Tensor, names: Tensor, values: Tensor) -> Tensor:
        """Return the inner products of own rows, called `wanted`, with those among `values` of the same name, or 0."""
        if not len(names):
            return self._zeros(len(wanted))
        place = torch.searchsorted(names, wanted).clamp(max=len(names) - 1)
        products = (values[place].double() * self._values).sum(dim=1)
        return products.where(names[place] == wanted, 0.0)

    def _looked_up(self, other: ExampleGradients) -> Tensor:
        """Return the rows of the other's gradients that are looked up here, shape (B, T, d)."""
        if isinstance(other, OuterGradients) and (factors := other.factors_of(self.shape)) is not None:
            inputs, outputs = factors
            chosen = self.ids[:, None, :].expand(-1, outputs.shape[1], -1)
            return outputs.gather(2, chosen).mT @ inputs
        parts = [other.dense(slice(i, i + 1))[0].reshape(self.shape)[ids] for i, ids in enumerate(self.ids)]
        return torch.stack(parts)
