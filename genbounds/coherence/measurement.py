"""Coherence of a network's gradients over a whole data set: two passes, and memory for a few copies of the parameters.

The loss is that of the examples alone. A regulariser adds the same vector c to every example's gradient and would turn
coherence into ``||G + c||^2 / (||G + c||^2 + V)``, which is near 1 for a strong one whatever the examples say: leave it
out of `loss`. (Weight decay in the optimizer is out by itself.)
"""

from collections.abc import Callable, Collection
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from genbounds.coherence.alignment import alignment_from_dots
from genbounds.coherence.kronecker_factors import Preconditioner
from genbounds.coherence.layers import layer_numbers
from genbounds.coherence.moments import coordinate_moments
from genbounds.coherence.pairs.confusion import confusion
from genbounds.coherence.pairs.gram_blocks import gram_matrix
from genbounds.coherence.pairs.spectrum import gram_spectrum
from genbounds.coherence.pairs.stiffness import stiffness
from genbounds.coherence.passes import GradientPasses, gradient_passes
from genbounds.coherence.preconditioning import preconditioned_coherence
from genbounds.coherence.records import QUANTILES, Coherence
from genbounds.models.blocks import Blocks
from genbounds.models.examples import DataError
from genbounds.models.guards import infer_device_and_dtype
from genbounds.numerics.checks import confidence, count
from genbounds.version import __version__

__all__ = ["measure"]


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
    pairs: int = 0,
    coordinates: bool = False,
    preconditioner: Preconditioner | None = None,
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
    pairs : int
        Size of a random subsample whose pairs are looked at: stiffness, confusion and the spectrum of the Gram matrix;
        none by default. The cost grows with its square (`genbounds.coherence.pairs.gram_blocks`).
    coordinates : bool
        Whether to measure signal-to-noise ratios by coordinate, in one more pass.
    preconditioner : Preconditioner, optional
        In whose geometry coherence is measured too, in two more passes: from `fit_preconditioner`, on other examples
        than these or well damped, or it is blind (`genbounds.coherence.preconditioning`). It says for itself which
        parameters are meant.
    seed : int
        Of the signs, and of the subsample for pairs.
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
    draws, subsample = int(count("null_draws", null_draws, 0)), int(count("pairs", pairs, 0))
    if subsample == 1:
        raise ValueError(
            "pairs must be 0 or at least 2, got 1. It is the number of examples whose pairs are looked at."
        )
    placed: dict[str, Any] = {"indices": indices, "device": device, "dtype": dtype, "progress": progress}
    passes = gradient_passes(
        model,
        loss,
        data,
        parameters=parameters,
        batch_size=batch_size,
        **placed,
    )
    engine, blocks = passes.engine, passes.blocks
    place, kind = infer_device_and_dtype(engine.model)
    if blocks.number < 2:
        raise DataError(f"data must hold at least two examples, got {blocks.number}. One example shows no spread.")

    losses, squared, mean = passes.norms()
    squared_mean, totals = passes.by_layer(mean, 1)[0], squared.sum(axis=1)
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
    more: dict[str, Any] = {}
    if coordinates:
        moments = coordinate_moments(model, loss, data, parameters=parameters, batch_size=batch_size, **placed)
        more["coordinates"] = moments.summary()
    if subsample:
        gram = gram_matrix(model, loss, data, examples=subsample, parameters=parameters, seed=seed, **placed)
        more |= {
            "stiffness": stiffness(gram, level=level),
            "confusion": confusion(gram),
            "spectrum": gram_spectrum(gram),
        }
    if preconditioner is not None:
        more["preconditioned"] = preconditioned_coherence(
            model, loss, data, preconditioner, batch_size=batch_size, level=level, **placed
        )
    return Coherence(
        **whole,
        layers=layers,
        loss=float(losses.mean()),
        zero_gradients=int((totals == 0).sum()),
        effective_examples=float((relative := totals / totals.max()).sum() ** 2 / (relative**2).sum())
        if totals.any()
        else None,
        norm_quantiles=tuple(np.quantile(np.sqrt(totals), QUANTILES).tolist()),
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
        **more,
    )
