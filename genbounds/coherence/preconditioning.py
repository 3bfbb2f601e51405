r"""Coherence in the geometry of a preconditioner: what of a preconditioned step's effect the examples share.

For a positive definite P the step is ``-eta P gbar`` in place of ``-eta gbar``, and

    ``alpha^P = G'PG / E g'Pg``

is the coherence of the gradients ``P^(1/2) g``: all that is said about coherence holds for it, plug-in and unbiased
form, standard error, layers. For P = I it is alpha. For P the inverse of the second moment of a layer's gradients, or
of its Kronecker factors, it does not change under invertible linear maps of the layer's inputs and outputs that leave
the function as it is, while alpha does; damping takes some of that back. Rescaling of ReLU layers leaves it as it is
for any damping of `genbounds.coherence.kronecker_factors`, the total included.

**P from the same examples makes it blind.** For P the inverse of the second moment of m linearly independent gradients
themselves, ``g_i'Pg_i = m`` and ``gbar'Pgbar = 1`` whatever they are: m-coherence 1. The unbiased form and the standard
error take P for fixed. Fit P on other examples, or with a damping that leaves few of its directions to the sample.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from genbounds.coherence.kronecker_factors import Preconditioner
from genbounds.coherence.layer_records import LayerCoherence
from genbounds.coherence.layers import layer_numbers
from genbounds.coherence.passes import gradient_passes
from genbounds.coherence.preconditioned_records import PreconditionedCoherence
from genbounds.models.blocks import Block
from genbounds.models.examples import DataError
from genbounds.models.per_example.factored.gradients import ExampleGradients
from genbounds.models.sums import CompensatedSum
from genbounds.numerics.checks import confidence

__all__ = ["preconditioned_coherence"]


def preconditioned_coherence(
    model: nn.Module,
    loss: Callable[..., Tensor],
    data: Any,
    preconditioner: Preconditioner,
    *,
    indices: ArrayLike | None = None,
    batch_size: int = 256,
    level: float = 0.95,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
    progress: bool = False,
) -> PreconditionedCoherence:
    """Measure the coherence of preconditioned gradients in two passes.

    Parameters
    ----------
    model : torch.nn.Module
        The network, with the weights that P was fitted at, in evaluation mode.
    loss : callable
        ``loss(outputs, targets)``: the average over the examples of a batch, or one value for each, no regulariser.
    data : object
        What `genbounds.models.blocks.Blocks` takes, at least two examples.
    preconditioner : Preconditioner
        P, which also says which parameters are measured: `genbounds.coherence.kronecker_factors.fit_preconditioner`.
    indices : array_like of int, optional
        Examples to measure; all by default.
    batch_size : int
        Examples in a block.
    level : float
        Nominal confidence of the intervals, in (0, 1).
    device : torch.device or str, optional
        Where to measure, the same as for P; by default where the model is.
    dtype : torch.dtype, optional
        Floating dtype to run the model in; by default its own.
    progress : bool
        Whether to draw a bar on a terminal.

    Returns
    -------
    PreconditionedCoherence
        The same on all processes of ``torch.distributed``.

    Raises
    ------
    ModelError
        If the model is not in evaluation mode, or no function of one example.
    DataError
        If there are fewer than two examples.
    ValueError
        If the level is out of range.

    Examples
    --------
    Inputs along one axis a hundred times as large: plain coherence sees little else.

    >>> from genbounds.coherence.kronecker_factors import fit_preconditioner
    >>> x = torch.tensor([[100.0, 1.0], [-100.0, 1.0], [100.0, 1.0], [-100.0, 1.0]])
    >>> model, average = nn.Linear(2, 1, bias=False).eval(), lambda outputs, _: outputs.mean()
    >>> p = fit_preconditioner(model, average, (x, torch.zeros(4, 1)), damping=1e-6)
    >>> found = preconditioned_coherence(model, average, (x, torch.zeros(4, 1)), p)
    >>> round(found.total.plug_in_alpha, 2)  # plain: 0.0001
    0.5
    """
    chance = float(confidence("level", level))
    passes = gradient_passes(
        model,
        loss,
        data,
        parameters=tuple(preconditioner.forms),
        indices=indices,
        batch_size=batch_size,
        device=device,
        dtype=dtype,
        progress=progress,
    )
    if passes.blocks.number < 2:
        raise DataError(f"data must hold at least two examples, got {passes.blocks.number}. One shows no spread.")
    total = CompensatedSum(passes.parameters())

    def numbers(block: Block) -> Tensor:
        squared = torch.zeros(len(block.index), len(passes.layers), dtype=torch.float64)

        def take_in(name: str, rows: slice, gradients: ExampleGradients) -> None:
            ones = torch.ones(len(gradients), dtype=torch.float64, device=gradients.device)
            total.add({name: gradients.weighted_total(ones)})
            squared[rows, passes.column[name]] += preconditioner.squared_norms(name, gradients).cpu()

        passes.engine.visit(block.inputs, block.targets, take_in)
        return squared

    squared = passes.table("preconditioned norms", numbers, len(passes.layers))
    mean = {name: value / passes.blocks.number for name, value in total.value().items()}
    image = preconditioner.apply(mean)
    squared_mean = [0.0] * len(passes.layers)
    for name, value in mean.items():
        squared_mean[passes.column[name]] += float((value * image[name]).sum())
    (dots,) = passes.dots(image)
    whole, layers = layer_numbers(passes.layers, squared, np.array(squared_mean), dots, None, chance)
    return PreconditionedCoherence(
        LayerCoherence(**whole, name="", fraction=1.0),
        layers,
        preconditioner.damping,
        preconditioner.m,
        preconditioner.forms,
    )
