"""What can be measured on a checkpoint, in one call."""

import copy
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from genbounds.measures.norms import norm_measures
from genbounds.measures.operator_norms import operator_norm_measures
from genbounds.measures.outputs import output_measures
from genbounds.measures.paths import path_norm
from genbounds.measures.records import Measure, Measures, Refusal
from genbounds.measures.second_order import curvature, head_curvature
from genbounds.measures.sharpness.family import sharpness_measures
from genbounds.measures.spectra.layers import layer_spectra
from genbounds.measures.weights import weight_layers
from genbounds.models.data import load_data
from genbounds.models.examples import Data
from genbounds.models.guards import ModelError, check_deterministic, check_evaluation_mode, infer_device_and_dtype

__all__ = ["measure_network"]


def measure_network(
    source: nn.Module | Mapping[str, Tensor],
    *,
    initial: nn.Module | Mapping[str, Tensor] | None = None,
    data: Any = None,
    sharpness: bool = False,
    shuffles: int = 0,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
    seed: int = 0,
    progress: bool = False,
) -> Measures:
    """Compute norms, spectra and measures of outputs and sharpness; what does not apply is refused with its reason.

    Parameters
    ----------
    source : nn.Module or mapping of str to Tensor
        The network, or its bare state dict, which is enough for all that needs no data.
    initial : nn.Module or mapping of str to Tensor, optional
        The same before training, for distances.
    data : object, optional
        Training examples, as `genbounds.models.load_data` takes them: for the margin (its 10th percentile, as
        [Jiang2020]_ takes it), the other measures of outputs and the path norm. Needs a module.
    sharpness : bool
        Compute the measures of sharpness too: several hundred passes over the data, against one for all others.
    shuffles : int
        Permutations of each matrix's entries to compare its spectrum with, none or at least 2.
    device, dtype : torch.device or str, torch.dtype
        Where and in what type the network is evaluated: by default where it is and as it is, otherwise a copy there.
        Norms and spectra are computed in float64 of the weights as they then are.
    seed : int
        Seed of everything drawn.
    progress : bool
        Show a bar on a terminal.

    Returns
    -------
    Measures
        Measures, refusals, and a spectrum for each weight matrix.

    Raises
    ------
    ModelError
        If data come without a module, or the network cannot be evaluated.

    Examples
    --------
    >>> found = measure_network({"weight": torch.eye(3)})
    >>> round(found["parameter_norm"], 6), found.layers[0].stable_rank
    (3.0, 3.0)
    """
    if device is not None or dtype is not None:
        # Copies, both of them: the caller's networks stay as they are, and distances are between equals.
        if isinstance(source, nn.Module):
            source = copy.deepcopy(source).to(device=device, dtype=dtype)
        if isinstance(initial, nn.Module):
            initial = copy.deepcopy(initial).to(device=device, dtype=dtype)
    if data is not None and not isinstance(source, nn.Module):
        raise ModelError("source must be a module where data are given, got a state dict. Build the network.")
    examples = None if data is None else load_data(data)
    of_outputs = list(_of_outputs(source, examples, initial, sharpness, seed, progress))
    margin = next((each.value for each in of_outputs if isinstance(each, Measure) and each.name == "margin"), None)
    before = None if initial is None else weight_layers(initial)
    norms = norm_measures(weight_layers(source), before, margin=margin)
    measured = [each for each in of_outputs if isinstance(each, Measure)]
    refused = [each for each in of_outputs if isinstance(each, Refusal)]
    spectra = layer_spectra(weight_layers(source), seed=seed, shuffles=shuffles)
    return Measures((*norms.measured, *measured), (*norms.refused, *refused), spectra)


def _of_outputs(
    source: nn.Module | Mapping[str, Tensor],
    data: Data | None,
    initial: nn.Module | Mapping[str, Tensor] | None,
    sharpness: bool,
    seed: int,
    progress: bool,
) -> Iterator[Measure | Refusal]:
    """Yield what needs a network and its data."""
    if data is None or not isinstance(source, nn.Module):
        for name in ("output measures", "path_norm", "log_prod_of_operator_norms", "head curvature", "sharpness"):
            yield Refusal(name, "it needs the network and its training data: pass both")
        return
    device, dtype = infer_device_and_dtype(source)
    check_evaluation_mode(source)
    check_deterministic(source, next(data.batches(range(min(3, len(data))), 3, device=device, dtype=dtype))[1])
    yield from output_measures(source, data, device=device, dtype=dtype, progress=progress)
    ((_, example, _),) = data.batches([0], 1)
    yield path_norm(source, tuple(example.shape[1:]))
    yield operator_norm_measures(source, example.to(device, dtype if example.is_floating_point() else None), seed=seed)
    yield from _of_head(source, data, device, dtype, seed, progress)
    if sharpness:
        yield from sharpness_measures(source, data, initial, device=device, dtype=dtype, seed=seed, progress=progress)
        found = curvature(source, data, device=device, dtype=dtype, seed=seed, progress=progress)
        error = float(found.trace.standard_error)
        yield Measure("hessian_trace", float(found.trace.value), found.trace.method, error)
        yield Measure("hessian_largest", found.ends.largest, f"{found.ends.steps} Lanczos steps")
    else:
        yield Refusal("sharpness", "it takes several hundred passes over the data: ask for it by sharpness=True")


def _of_head(
    model: nn.Module, data: Data, device: torch.device | str, dtype: torch.dtype, seed: int, progress: bool
) -> Iterator[Measure | Refusal]:
    try:
        found = head_curvature(model, data, device=device, dtype=dtype, seed=seed, progress=progress)
    except ModelError as error:
        yield Refusal("head curvature", str(error))
        return
    yield Measure("relative_flatness", found.relative_flatness, "last layer")
    yield Measure("head_hessian_trace", found.trace, "last layer")
    yield Measure("head_hessian_largest", found.largest.largest, f"last layer, {found.largest.steps} Lanczos steps")
