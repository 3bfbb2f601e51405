"""What can be measured on a checkpoint, in one call."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from genbounds.measures.margins import score_margins
from genbounds.measures.norms import norm_measures
from genbounds.measures.paths import path_norm
from genbounds.measures.records import Measure, Measures, Refusal
from genbounds.measures.spectra.layers import layer_spectra
from genbounds.measures.weights import weight_layers
from genbounds.models.examples import Data
from genbounds.models.guards import ModelError, infer_device_and_dtype

__all__ = ["measure_network"]


def measure_network(
    source: nn.Module | Mapping[str, Tensor],
    *,
    initial: nn.Module | Mapping[str, Tensor] | None = None,
    data: Data | None = None,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
    seed: int = 0,
    progress: bool = False,
) -> Measures:
    """Compute norms, path norm, margin and spectra; what does not apply is refused with its reason.

    Parameters
    ----------
    source : nn.Module or mapping of str to Tensor
        The network, or its bare state dict, which is enough for all that needs no data.
    initial : nn.Module or mapping of str to Tensor, optional
        The same before training, for distances.
    data : Data, optional
        Training examples, for the margin (its 10th percentile, as [Jiang2020]_ takes it) and the path
        norm. Needs a module.
    device, dtype : torch.device or str, torch.dtype
        Where and in what type the network is evaluated: by default where it is and as it is, otherwise it is moved
        there first. Norms and spectra are computed in float64 of the weights as they then are.
    seed : int
        Seed of the power laws' tests.
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
    margin = None
    if isinstance(source, nn.Module):
        source.to(device=device, dtype=dtype)
    if data is not None:
        if not isinstance(source, nn.Module):
            raise ModelError("source must be a module where data are given, got a state dict. Build the network.")
        where, kind = infer_device_and_dtype(source)
        margins = score_margins(source, data, device=where, dtype=kind, progress=progress)
        margin = float(np.quantile(margins, 0.1))
    before = None if initial is None else weight_layers(initial)
    found = norm_measures(weight_layers(source), before, margin=margin)
    paths: Measure | Refusal = Refusal(
        "path_norm", "it needs the network and its data, whose shape it takes: pass both"
    )
    if isinstance(source, nn.Module) and data is not None:
        ((_, example, _),) = data.batches([0], 1)
        paths = path_norm(source, tuple(example.shape[1:]))
    measured, refused = (
        ((*found.measured, paths), found.refused)
        if isinstance(paths, Measure)
        else (found.measured, (*found.refused, paths))
    )
    return Measures(measured, refused, layer_spectra(weight_layers(source), seed=seed))
