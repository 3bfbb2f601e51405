r"""A preconditioner from Kronecker-factored second moments of the gradients, exact in its own eigenbasis.

For a linear map (a convolution is one of patches) with inputs a_t and output gradients b_t at positions t = 1, ..., T
the gradient of an example is ``sum_t b_t a_t'``. The second moment ``E vec(g) vec(g)'``, the empirical Fisher matrix,
is taken for ``A (x) B`` [MartensGrosse2015] with

    ``A = average over examples and positions of a a'``,    ``B = average over examples of sum_t b_t b_t'``,

as if positions were independent ("expand" [Eschenhagen2023]; for one position, the usual one). With eigenvalues
``lam_k``, ``mu_l`` and eigenvectors of A and B, ``P = (A (x) B + damping I)^-1`` is diagonal in the products of
eigenvectors: the weight of component ``(l, k)`` is ``1 / (lam_k mu_l + damping)``, and no damping has to be split
between the factors. It is a fraction of the mean eigenvalue ``tr A tr B / (d_in d_out)`` of the parameter, so that P of
a parameter scales as the inverse of its squared gradients.

Other parameters (biases, gains of normalisations, embeddings, tied or reused ones that are no sum over positions, what
has no rule) have a diagonal ``P = 1 / (E g_j^2 + damping)``. A factor too large to decompose is replaced by its
diagonal. A parameter whose gradient is 0 for all examples that P is fitted on has P = 0: it has no scale.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from genbounds.coherence.passes import GradientPasses, gradient_passes
from genbounds.models.guards import ModelError
from genbounds.models.per_example.factored.convolutions import ConvolutionGradients
from genbounds.models.per_example.factored.gradients import ExampleGradients, runs
from genbounds.models.per_example.factored.outer_products import OuterGradients
from genbounds.models.per_example.factored.rows import RowGradients
from genbounds.models.per_example.factored.sums import SumOfGradients
from genbounds.models.sums import CompensatedSum
from genbounds.numerics.checks import count, positive

__all__ = ["Preconditioner", "fit_preconditioner"]

#: Entries of gradients or patches that are written out at once, in float64.
_ENTRIES = 2**22


@dataclass(frozen=True)
class _Side:
    """Eigenvalues and eigenvectors of one factor of each of G groups; no vectors where only the diagonal was kept."""

    values: Tensor
    vectors: Tensor | None

    def rotated(self, rows: Tensor) -> Tensor:
        """Return coordinates in the eigenbasis, of rows of shape (..., G, n, d)."""
        return rows.double() if self.vectors is None else rows.double() @ self.vectors

    def restored(self, rows: Tensor) -> Tensor:
        """Undo `rotated`."""
        return rows if self.vectors is None else rows @ self.vectors.mT


@dataclass(frozen=True)
class _Kronecker:
    """P of a linear map's weight; `weights` has shape (G, d_out, d_in)."""

    inputs: _Side
    outputs: _Side
    weights: Tensor

    @property
    def form(self) -> str:
        groups, d_out, d_in = self.weights.shape
        sides = [
            f"{size}{' (diagonal)' if side.vectors is None else ''}"
            for size, side in ((d_out, self.outputs), (d_in, self.inputs))
        ]
        return f"kronecker {' x '.join(sides)}" + (f" in {groups} groups" if groups > 1 else "")

    def apply(self, vector: Tensor) -> Tensor:
        matrix = vector.double().reshape(self.weights.shape)
        rotated = self.outputs.rotated(self.inputs.rotated(matrix).mT).mT * self.weights
        return self.outputs.restored(self.inputs.restored(rotated).mT).mT.reshape(vector.shape)

    def squared_norms(self, gradients: ExampleGradients) -> Tensor:
        found = []
        for part in _as_outer(gradients):
            a, b = self.inputs.rotated(part.inputs), self.outputs.rotated(part.outputs)
            if a.shape[2] == 1:
                squares = b.square() @ self.weights * a.square()
                found.append(squares.flatten(1).sum(dim=1))
            else:
                for rows in runs(len(part), max(1, _ENTRIES // self.weights.numel())):
                    squares = (b[rows].mT @ a[rows]).square() * self.weights
                    found.append(squares.flatten(1).sum(dim=1))
        return torch.cat(found)


@dataclass(frozen=True)
class _Diagonal:
    """P of any other parameter; `weights` has its shape."""

    weights: Tensor
    form: str = "diagonal"

    def apply(self, vector: Tensor) -> Tensor:
        return vector.double() * self.weights

    def squared_norms(self, gradients: ExampleGradients) -> Tensor:
        if isinstance(gradients, RowGradients):  # positions with the same row of the parameter have the same weights
            roots = self.weights.sqrt()[gradients.ids]
            return RowGradients(gradients.ids, gradients.outputs.double() * roots, gradients.shape).squared_norms()
        squared = torch.zeros(len(gradients), dtype=torch.float64, device=self.weights.device)
        for rows, coordinates, values in gradients.pieces():
            squared[rows] += values.double().square() @ self.weights.flatten()[coordinates]
        return squared


class Preconditioner:
    """A positive semi-definite matrix P, block-diagonal over parameters; `fit_preconditioner` makes it.

    Parameters
    ----------
    blocks : mapping of str to _Kronecker or _Diagonal
        The block of each parameter.
    damping : float
        Fraction of the mean eigenvalue that was added to each block's before inversion.
    m : int
        Examples it was fitted on.

    Attributes
    ----------
    forms : dict of str to str
        What each block is, such as ``"kronecker 64 x 32"`` (outputs, inputs) or ``"diagonal"``.
    """

    def __init__(self, blocks: Mapping[str, _Kronecker | _Diagonal], damping: float, m: int) -> None:
        self._blocks, self.damping, self.m = dict(blocks), damping, m
        self.forms = {name: block.form for name, block in self._blocks.items()}

    def apply(self, vectors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return ``P v``.

        Parameters
        ----------
        vectors : mapping of str to Tensor
            One for each parameter, of its shape.

        Returns
        -------
        dict of str to Tensor
            In float64.
        """
        return {name: self._blocks[name].apply(vector) for name, vector in vectors.items()}

    def squared_norms(self, name: str, gradients: ExampleGradients) -> Tensor:
        """Return ``g_i' P g_i`` for one parameter, without writing out more than a few gradients at a time.

        Parameters
        ----------
        name : str
            The parameter.
        gradients : ExampleGradients
            B gradients.

        Returns
        -------
        Tensor, shape (B,)
            Float64.
        """
        return self._blocks[name].squared_norms(gradients)


def fit_preconditioner(
    model: nn.Module,
    loss: Callable[..., Tensor],
    data: Any,
    *,
    damping: float = 0.1,
    largest_factor: int = 4096,
    parameters: Collection[str] | None = None,
    indices: ArrayLike | None = None,
    batch_size: int = 256,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
    progress: bool = False,
) -> Preconditioner:
    """Fit P in one pass over a data set.

    Parameters
    ----------
    model : torch.nn.Module
        In evaluation mode; a function of one example.
    loss : callable
        ``loss(outputs, targets)``: the average over the examples of a batch, or one value for each, no regulariser.
    data : object
        What `genbounds.models.blocks.Blocks` takes: other examples than those to be measured, where the result should
        say something about the population.
    damping : float
        Fraction of a parameter's mean eigenvalue that is added to all, > 0; 0.1 as for influence functions
        [Grosse2023]. The larger, the nearer P is to a multiple of the identity for each parameter.
    largest_factor : int
        Factors with more rows keep their diagonal only.
    parameters : collection of str, optional
        Names of the parameters; by default all that require a gradient.
    indices : array_like of int, optional
        Examples to fit on; all by default.
    batch_size : int
        Examples in a block.
    device : torch.device or str, optional
        Where to measure; by default where the model is.
    dtype : torch.dtype, optional
        Floating dtype to run the model in; by default its own. P is float64.
    progress : bool
        Whether to draw a bar on a terminal.

    Returns
    -------
    Preconditioner
        The same on all processes of ``torch.distributed``.

    Raises
    ------
    ModelError
        If the model is not in evaluation mode, or no function of one example, or has no parameters to measure.
    ValueError
        If a setting is out of range.
    """
    share = float(positive("damping", damping, "It is a fraction of the mean eigenvalue, such as 0.1."))
    largest = int(count("largest_factor", largest_factor))
    passes = gradient_passes(
        model,
        loss,
        data,
        parameters=parameters,
        indices=indices,
        batch_size=batch_size,
        device=device,
        dtype=dtype,
        progress=progress,
    )
    sizes = _sizes(passes)
    like = {}
    for name, value in passes.parameters().items():
        if name in sizes:
            groups, d_out, d_in = sizes[name]
            for side, size in (("a", d_in), ("b", d_out)):
                shape = (groups, size, size) if size <= largest else (groups, size)
                like[f"{name} {side}"] = torch.zeros(shape, dtype=torch.float64, device=value.device)
        else:
            like[name] = value
    sums, positions = CompensatedSum(like), CompensatedSum({name: torch.zeros(()) for name in sizes})

    def take_in(name: str, _: slice, gradients: ExampleGradients) -> None:
        if name not in sizes:
            sums.add({name: gradients.squares_total()})
            return
        for part in _as_outer(gradients):
            for side, rows in (("a", part.inputs), ("b", part.outputs)):
                flat = rows.double().transpose(0, 1).flatten(1, 2)
                full = like[f"{name} {side}"].ndim == 3
                sums.add({f"{name} {side}": flat.mT @ flat if full else flat.square().sum(dim=1)})
            positions.add({name: torch.tensor(float(part.inputs.shape[0] * part.inputs.shape[2]))})

    for block in passes.tracked("second moments of gradients"):
        passes.engine.visit(block.inputs, block.targets, take_in)
    found, number, m = sums.value(), positions.value(), passes.blocks.number
    blocks: dict[str, _Kronecker | _Diagonal] = {}
    for name in passes.engine.names:
        if name in sizes:
            sides = _side(found[f"{name} a"] / float(number[name])), _side(found[f"{name} b"] / m)
            eigenvalues = sides[1].values[:, :, None] * sides[0].values[:, None, :]
            blocks[name] = _Kronecker(*sides, _inverse(eigenvalues, share))
        else:
            blocks[name] = _Diagonal(_inverse(found[name] / m, share))
    return Preconditioner(blocks, share, m)


def _sizes(passes: GradientPasses) -> dict[str, tuple[int, int, int]]:
    """Return (G, d_out, d_in) of the parameters of linear maps, as the first block shows them."""
    sizes: dict[str, tuple[int, int, int]] = {}

    def look(name: str, _: slice, gradients: ExampleGradients) -> None:
        kind = _single(gradients)
        if isinstance(kind, ConvolutionGradients):
            kind = kind.unfolded(slice(0, 1))
        if isinstance(kind, OuterGradients):
            sizes[name] = kind.inputs.shape[1], kind.outputs.shape[3], kind.inputs.shape[3]

    first = passes.blocks.read(0)  # on every process, so that all agree, also one that has no block of its own
    passes.engine.visit(first.inputs, first.targets, look)
    return sizes


def _single(gradients: ExampleGradients) -> ExampleGradients:
    if isinstance(gradients, SumOfGradients) and len(gradients.parts) == 1:
        return gradients.parts[0]
    return gradients


def _as_outer(gradients: ExampleGradients) -> Iterator[OuterGradients]:
    """Yield runs of examples as outer products."""
    kind = _single(gradients)
    if isinstance(kind, OuterGradients):
        yield kind
    elif isinstance(kind, ConvolutionGradients):
        taps = kind.groups * (kind.shape.numel() // kind.shape[0]) * kind.repeats * prod(kind.images.shape[2:])
        for rows in runs(len(kind), max(1, _ENTRIES // taps)):
            yield kind.unfolded(rows)
    else:
        raise ModelError(
            f"model must form the gradients of a parameter in the same way for all examples, got {type(kind).__name__} "
            "after outer products. Measure this parameter apart: parameters=..."
        )


def _side(moment: Tensor) -> _Side:
    if moment.ndim == 2:
        return _Side(moment, None)
    values, vectors = torch.linalg.eigh(moment)
    return _Side(values.clamp(min=0), vectors)  # a sum of squares: what is below 0 is rounding


def _inverse(eigenvalues: Tensor, share: float) -> Tensor:
    mean = eigenvalues.mean()
    return 1 / (eigenvalues + share * mean) if mean > 0 else torch.zeros_like(eigenvalues)
