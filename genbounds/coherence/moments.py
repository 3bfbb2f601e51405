"""Averages and variances of the gradient, coordinate by coordinate, in one pass and memory for a few gradients."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from genbounds.coherence.passes import gradient_passes
from genbounds.coherence.signal_to_noise import SignalToNoise, summarise
from genbounds.models.examples import DataError
from genbounds.models.per_example.factored.gradients import ExampleGradients
from genbounds.models.sums import CompensatedSum

__all__ = ["CoordinateMoments", "coordinate_moments"]


@dataclass(frozen=True)
class CoordinateMoments:
    """Sums over the gradients of m examples, coordinate by coordinate.

    Parameters
    ----------
    m : int
        Examples.
    totals, squares : dict of str to Tensor
        Sum of the gradients, and of their squares, by parameter: float64, on the device.
    layers : dict of str to str
        Name of the module that owns each parameter.
    rounding : float
        Relative rounding that a difference of the two sums shows where all gradients are the same: that of float64
        sums, or the square of that of the gradients' own entries.
    """

    m: int
    totals: dict[str, Tensor]
    squares: dict[str, Tensor]
    layers: dict[str, str]
    rounding: float

    def means(self) -> dict[str, Tensor]:
        """Return the average gradient.

        Returns
        -------
        dict of str to Tensor
            By parameter.
        """
        return {name: total / self.m for name, total in self.totals.items()}

    def variances(self) -> dict[str, Tensor]:
        """Return the unbiased variance of each coordinate.

        Returns
        -------
        dict of str to Tensor
            By parameter; where rounding leaves the difference below 0, as it came out.
        """
        return {
            name: (squares - self.totals[name].square() / self.m) / (self.m - 1)
            for name, squares in self.squares.items()
        }

    def summary(self) -> SignalToNoise:
        """Return what the ratios of the coordinates amount to, by layer and in all.

        Returns
        -------
        SignalToNoise
            Computed on the CPU, with a few numbers for each coordinate in memory.
        """
        by_layer: dict[str, list[str]] = {}
        for name, layer in self.layers.items():
            by_layer.setdefault(layer, []).append(name)

        def flat(tensors: dict[str, Tensor], names: list[str]) -> Any:
            return torch.cat([tensors[name].flatten().cpu() for name in names]).numpy()

        moments = {layer: (flat(self.totals, names), flat(self.squares, names)) for layer, names in by_layer.items()}
        return summarise(moments, self.m, self.rounding)


def coordinate_moments(
    model: nn.Module,
    loss: Callable[..., Tensor],
    data: Any,
    *,
    parameters: Collection[str] | None = None,
    indices: ArrayLike | None = None,
    batch_size: int = 256,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
    progress: bool = False,
) -> CoordinateMoments:
    """Sum gradients and their squares over a data set; ``.summary()`` has the signal-to-noise ratios.

    Within a block sums are taken in float64, and over blocks and processes with their rounding carried along, so that
    the variance, the difference of two sums, has a relative error of about ``(1 + r_j)`` times 2^-52 times the root of
    the batch size, for a signal-to-noise ratio r_j. No gradient is centred, and none is kept: 32 bytes a parameter, and
    one block.

    Parameters
    ----------
    model : torch.nn.Module
        In evaluation mode; a function of one example.
    loss : callable
        ``loss(outputs, targets)``: the average over the examples of a batch, or one value for each, no regulariser.
    data : object
        What `genbounds.models.blocks.Blocks` takes, at least two examples.
    parameters : collection of str, optional
        Names of the parameters to measure; by default all that require a gradient.
    indices : array_like of int, optional
        Examples to measure; all by default.
    batch_size : int
        Examples in a block. It changes no number but for rounding.
    device : torch.device or str, optional
        Where to measure; by default where the model is.
    dtype : torch.dtype, optional
        Floating dtype to measure in; by default the model's.
    progress : bool
        Whether to draw a bar on a terminal.

    Returns
    -------
    CoordinateMoments
        The same on all processes of ``torch.distributed``.

    Raises
    ------
    ModelError
        If the model is not in evaluation mode, or no function of one example, or has no parameters to measure.
    DataError
        If there are fewer than two examples.

    Examples
    --------
    >>> model = nn.Linear(2, 1, bias=False).eval()
    >>> x = torch.tensor([[1.0, 3.0], [3.0, 3.0], [5.0, 3.0]])
    >>> moments = coordinate_moments(model, lambda outputs, _: outputs.mean(), (x, torch.zeros(3, 1)))
    >>> moments.means()["weight"].tolist(), moments.variances()["weight"].tolist()
    ([[3.0, 3.0]], [[4.0, 0.0]])
    >>> moments.summary().total.constant
    1
    """
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
    engine, blocks = passes.engine, passes.blocks
    if blocks.number < 2:
        raise DataError(f"data must hold at least two examples, got {blocks.number}. One example shows no spread.")
    like = passes.parameters()
    totals, squares = CompensatedSum(like), CompensatedSum(like)

    def take_in(name: str, _: slice, gradients: ExampleGradients) -> None:
        ones = torch.ones(len(gradients), dtype=torch.float64, device=like[name].device)
        totals.add({name: gradients.weighted_total(ones)})
        squares.add({name: gradients.squares_total()})

    for block in passes.tracked("moments of gradients"):
        engine.visit(block.inputs, block.targets, take_in)
    entries = max(torch.finfo(value.dtype).eps for value in like.values())
    rounding = max(torch.finfo(torch.float64).eps, entries**2)
    return CoordinateMoments(blocks.number, totals.value(), squares.value(), dict(engine.layers), rounding)
