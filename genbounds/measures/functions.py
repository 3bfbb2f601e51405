"""Measures as functions of a network and its sample: the package's own, and a user's."""

import copy
import inspect
import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, TypeAlias

from torch import Tensor, nn

from genbounds.measures.measurement import measure_network
from genbounds.measures.sharpness.moves import worst_sharpness
from genbounds.models.data import load_data
from genbounds.models.guards import ModelError, infer_device_and_dtype

__all__ = ["MeasureFunction", "evaluate_measure", "own_measures"]

#: ``function(model, inputs, targets)`` gives one number, or several by name.
MeasureFunction: TypeAlias = Callable[..., float | Mapping[str, float]]


def own_measures(model: nn.Module, inputs: Tensor, targets: Tensor, seed: int = 0) -> dict[str, float]:
    """Compute what `measure_network` does, with the spectra's numbers and the worst sharpness by name.

    Parameters
    ----------
    model : nn.Module
        Classifier in evaluation mode.
    inputs, targets : Tensor
        Examples, in the model's dtype and on its device.
    seed : int
        Seed of everything drawn.

    Returns
    -------
    dict of str to float
        What applies.

    Examples
    --------
    >>> import torch
    >>> found = own_measures(nn.Linear(2, 2).eval(), torch.eye(2), torch.arange(2))
    >>> found["fro_over_spec"] <= 2
    True
    """
    data = load_data((inputs, targets))
    found = measure_network(model, data=data, seed=seed)
    values = {each.name: each.value for each in found}
    for layer in found.layers:
        if layer.largest > 0:
            values[f"stable_rank of {layer.name}"] = layer.stable_rank
        if layer.power_law is not None:
            values[f"alpha of {layer.name}"] = layer.power_law.alpha
    device, dtype = infer_device_and_dtype(model)
    for name, radius in (("worst_sharpness", 0.05), ("adaptive_worst_sharpness", 0.5)):
        adaptive = name.startswith("adaptive")
        with suppress(ModelError):  # moves that the weights do not allow
            values[name] = worst_sharpness(
                model, data, radius=radius, adaptive=adaptive, device=device, dtype=dtype, seed=seed
            )
    return values


def evaluate_measure(
    measure: MeasureFunction, model: nn.Module, inputs: Tensor, targets: Tensor, options: Mapping[str, int]
) -> dict[str, float]:
    """Evaluate a measure on a copy of a network, as it may leave gradients or hooks behind.

    Parameters
    ----------
    measure : callable
        The function.
    model : nn.Module
        The network.
    inputs, targets : Tensor
        Examples, in the model's dtype and on its device.
    options : mapping of str to int
        ``seed`` and ``batch_size``: passed if the function takes them.

    Returns
    -------
    dict of str to float
        Numbers by name; a single one is called "measure".

    Raises
    ------
    ModelError
        If it returns something else, or NaN.

    Examples
    --------
    >>> import torch
    >>> evaluate_measure(lambda model, x, y: len(x), nn.Linear(1, 1), torch.ones(3, 1), torch.ones(3), {})
    {'measure': 3.0}
    """
    takes = inspect.signature(measure).parameters
    given = {name: value for name, value in options.items() if name in takes}
    found = measure(copy.deepcopy(model), inputs, targets, **given)
    named: Mapping[str, Any] = found if isinstance(found, Mapping) else {"measure": found}
    try:
        values = {str(name): float(value) for name, value in named.items()}
    except (TypeError, ValueError) as error:
        raise ModelError(f"the measure must return a number, or numbers by name, got {found!r}. Unpack it.") from error
    wrong = [name for name, value in values.items() if math.isnan(value)]
    if wrong:
        raise ModelError(f"the measure must return numbers, got NaN for {wrong[0]}. Leave out what does not apply.")
    return values
