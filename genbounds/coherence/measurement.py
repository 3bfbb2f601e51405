"""Coherence of a network's gradients over a whole data set: two passes, and memory for a few copies of the parameters.

The loss is that of the examples alone. A regulariser adds the same vector c to every example's gradient and would turn
coherence into ``||G + c||^2 / (||G + c||^2 + V)``, which is near 1 for a strong one whatever the examples say: leave it
out of `loss`. (Weight decay in the optimizer is out by itself.)
"""

import math
from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from genbounds.coherence.alignment import alignment_from_dots
from genbounds.coherence.alpha import layer_fractions
from genbounds.coherence.null import pair_square, sign_flip_p_value
from genbounds.coherence.passes import GradientPasses, gradient_passes
from genbounds.coherence.records import QUANTILES, Coherence, LayerCoherence
from genbounds.coherence.uncertainty import FEWEST, standard_error
from genbounds.models.blocks import Blocks
from genbounds.models.examples import DataError
from genbounds.models.guards import infer_device_and_dtype
from genbounds.numerics.checks import confidence, count
from genbounds.version import __version__

__all__ = ["layer_numbers", "measure"]


def measure(
    model: nn.Module,
    loss: Callable[..., Tensor],
    data: Any,
    *,
    second: Any = None,
    parameters: Collection[str] | None = None,
    indices: ArrayLike | None = None,
    batch_size: int = 256,
    interval: bool = True,
    level: float = 0.95,
    null_draws: int = 0,
    seed: int = 0,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
    progress: bool = False,
) -> Coherence:
    """Measure how far the gradients of single examples agree, exactly, on a whole data set.

    One pass takes each example's squared gradient norm by layer and the average gradient; a second one, for the
    standard error, the inner product of each with the average. Under ``torch.distributed`` each process takes a part of
    the examples and all return the same record as one process would.

    Parameters
    ----------
    model : torch.nn.Module
        In evaluation mode; a function of one example. It is left as it was found.
    loss : callable
        ``loss(outputs, targets)``: the average over the examples of a batch, or one value for each. Without a
        regulariser: see the module's first lines.
    data : object
        What `genbounds.models.blocks.Blocks` takes: tensors of inputs and targets, keyword arguments and targets, any
        source that `load_data` knows. At least two examples.
    second : object, optional
        A second set of examples, such as test data, of at least three: two passes over it show whether its average
        gradient points the same way (`genbounds.coherence.alignment`).
    parameters : collection of str, optional
        Names of the parameters to measure; by default those that require a gradient.
    indices : array_like of int, optional
        Examples of `data` to measure; all by default.
    batch_size : int
        Examples in a block. But for rounding, nothing depends on it except for the random signs.
    interval : bool
        Whether to make the second pass, without which there is no standard error. A second set needs it in any case.
    level : float
        Nominal confidence of the intervals, in (0, 1).
    null_draws : int
        Patterns of random signs for the test against no coherence: 19 for p-values down to 0.05. Each costs about as
        much as a backward pass, and they also narrow intervals near 0 (see `genbounds.coherence.uncertainty`). They are
        drawn in rounds that hold 2^26 parameters in all, each of one more pass.
    seed : int
        Of the signs.
    device : torch.device or str, optional
        Where to measure; by default where the model is. Elsewhere a copy of the model is measured.
    dtype : torch.dtype, optional
        Floating dtype to measure in; by default the model's. In another one a copy of the model is measured.
    progress : bool
        Whether to draw a bar on a terminal.

    Returns
    -------
    Coherence
        The record.

    Raises
    ------
    ModelError
        If the model is not in evaluation mode, or no function of one example, or has no parameters to measure.
    DataError
        If there are fewer than two examples.
    ValueError
        If a setting is out of range.

    Examples
    --------
    Four rows that share their last feature, at weight zero, where the gradients of squared errors are -2 y x:

    >>> x = torch.cat([torch.eye(4), torch.zeros(4, 1), torch.ones(4, 1)], dim=1)
    >>> model = nn.Linear(6, 1, bias=False).eval()
    >>> _ = nn.init.zeros_(model.weight)
    >>> round(measure(model, nn.functional.mse_loss, (x, torch.ones(4, 1))).plug_in_alpha, 6)
    0.625
    """
    confidence("level", level, "It is the nominal confidence of the interval, such as 0.95.")
    draws = int(count("null_draws", null_draws, 0))
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
    place, kind = infer_device_and_dtype(engine.model)
    if blocks.number < 2:
        raise DataError(f"data must hold at least two examples, got {blocks.number}. One example shows no spread.")

    losses, squared, mean = passes.norms()
    squared_mean = passes.by_layer(mean, 1)[0]
    dots = alignment = None
    if second is not None:
        others = GradientPasses(engine, Blocks(second, batch_size, device=place, dtype=kind), progress=progress)
        _, others_squared, others_mean = others.norms()
        dots, across = passes.dots(mean, others_mean)
        others_dots, back = others.dots(others_mean, mean)
        sides = (squared, dots, across), (others_squared, others_dots, back)
        alignment = alignment_from_dots(list(passes.layers), *sides, level)
    elif interval:
        (dots,) = passes.dots(mean)
    flipped = passes.flipped(draws, seed) if draws else None

    whole, layers = layer_numbers(passes.layers, squared, squared_mean, dots, flipped, level)
    return Coherence(
        **whole,
        layers=layers,
        loss=float(losses.mean()),
        zero_gradients=int((squared.sum(axis=1) == 0).sum()),
        norm_quantiles=tuple(np.quantile(np.sqrt(squared.sum(axis=1)), QUANTILES).tolist()),
        null_draws=draws,
        routes=passes.routes(),
        second=alignment,
        provenance={
            "data": blocks.name,
            "model": type(engine.model).__name__,
            "loss": getattr(loss, "__name__", type(loss).__name__),
            "device": place.type,
            "dtype": str(kind).removeprefix("torch."),
            "batch_size": int(batch_size),
            "seed": int(seed),
            "versions": {"genbounds": __version__, "torch": torch.__version__, "numpy": np.__version__},
        },
    )


def layer_numbers(
    layers: Mapping[str, int],
    squared: NDArray[np.float64],
    squared_mean: NDArray[np.float64],
    dots: NDArray[np.float64] | None,
    flipped: NDArray[np.float64] | None,
    level: float,
) -> tuple[dict[str, Any], tuple[LayerCoherence, ...]]:
    """Turn what passes over the examples found into the numbers of a record.

    Parameters
    ----------
    layers : mapping of str to int
        Number of parameters of each of the L layers.
    squared : ndarray, shape (m, L)
        Squared gradient norm of each example by layer.
    squared_mean : ndarray, shape (L,)
        Squared norm of the average gradient by layer.
    dots : ndarray, shape (m, L), or None
        Inner product of each example's gradient with the average; without it there is no standard error.
    flipped : ndarray, shape (K, L), or None
        Squared norms of sums with random signs; without them there is no p-value.
    level : float
        Nominal confidence of the intervals.

    Returns
    -------
    whole : dict
        Fields that describe all layers together.
    layers : tuple of LayerCoherence
        Each layer.
    """
    m = len(squared)
    numbers = _numbers(squared, squared_mean, dots, flipped)
    sizes = [*layers.values(), sum(layers.values())]
    columns: list[dict[str, Any]] = [
        {name: None if math.isnan(value[column]) else float(value[column]) for name, value in numbers.items()}
        | {"m": m, "parameters": size, "level": float(level)}
        for column, size in enumerate(sizes)
    ]
    fractions = layer_fractions(numbers["second_moment"][:-1])
    return columns[-1], tuple(
        LayerCoherence(**column, name=name, fraction=None if math.isnan(fraction) else float(fraction))
        for column, name, fraction in zip(columns[:-1], layers, fractions, strict=True)
    )


def _numbers(
    squared: NDArray[np.float64],
    squared_mean: NDArray[np.float64],
    dots: NDArray[np.float64] | None,
    flipped: NDArray[np.float64] | None,
) -> dict[str, NDArray[np.float64]]:
    """Return the numbers of a record by name, each with a column for every layer and a last one for all."""
    m = len(squared)
    squared, squared_mean = _with_all(squared), _with_all(squared_mean)
    found = {"squared_mean": squared_mean, "second_moment": squared.mean(axis=0)}
    found |= dict.fromkeys(("standard_error", "p_value", "pair_square"), np.full(squared_mean.shape, np.nan))
    if flipped is not None:
        flipped = _with_all(flipped)
        found["pair_square"] = np.asarray(pair_square(flipped, squared.sum(axis=0), m))
        found["p_value"] = np.asarray(sign_flip_p_value(m**2 * squared_mean, flipped))
    if dots is not None and m >= FEWEST:
        found["standard_error"] = standard_error(
            _with_all(dots), squared, None if flipped is None else found["pair_square"]
        )
    return found


def _with_all(layers: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.concatenate([layers, layers.sum(axis=-1, keepdims=True)], axis=-1)
