"""The spectrum of every weight matrix of a network, with what can and cannot be said of it."""

from collections.abc import Iterable

import numpy as np
import torch

from genbounds.measures.records import LayerSpectrum
from genbounds.measures.spectra.marchenko_pastur import marchenko_pastur_edges
from genbounds.measures.spectra.power_law import fit_power_law
from genbounds.measures.weights import WeightLayer

__all__ = ["layer_spectra"]


def layer_spectra(
    layers: Iterable[WeightLayer], *, least: int = 50, seed: int = 0, simulations: int = 999
) -> tuple[LayerSpectrum, ...]:
    """Describe the eigenvalues of W^T W of each weight matrix.

    Parameters
    ----------
    layers : iterable of WeightLayer
        Weight matrices (`weight_layers`).
    least : int
        Fewest eigenvalues in the tail of a power law; layers with fewer get none, with the reason.
    seed : int
        Seed of the simulated tails of the test against the log-normal.
    simulations : int
        How many.

    Returns
    -------
    tuple of LayerSpectrum
        In the order of the layers.
    """
    generator = np.random.default_rng(seed)
    found = []
    for layer in layers:
        matrix = layer.matrix
        rows, columns = matrix.shape
        values = torch.linalg.svdvals(matrix).square().cpu().numpy()
        largest, total = float(values.max()), float(values.sum())
        variance = float(matrix.var(correction=0))
        edge = marchenko_pastur_edges(variance, rows, columns)[1] * max(rows, columns) if variance else 0.0
        law, reason = None, ""
        try:
            law = fit_power_law(values, generator, least=least, simulations=simulations)
        except ValueError as error:
            reason = str(error)
        stable = total / largest if largest else float("nan")
        spikes = int((values > edge).sum())
        found.append(LayerSpectrum(layer.name, layer.kind, rows, columns, largest, stable, edge, spikes, law, reason))
    return tuple(found)
