"""The spectrum of every weight matrix of a network, with what can and cannot be said of it."""

import math
from collections.abc import Iterable

import numpy as np
import torch
from scipy.special import logsumexp

from genbounds.measures.records import LayerSpectrum
from genbounds.measures.spectra.bulk import fit_bulk
from genbounds.measures.spectra.power_law import fit_power_law
from genbounds.measures.spectra.shuffled import shuffled_spectrum
from genbounds.measures.weights import WeightLayer

__all__ = ["layer_spectra"]


def layer_spectra(
    layers: Iterable[WeightLayer], *, least: int = 50, seed: int = 0, simulations: int = 999, shuffles: int = 0
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
    shuffles : int
        Permutations of each matrix's entries to compare with, none or at least 2.

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
        law, norm, bulk, reasons = None, None, None, []
        try:
            law = fit_power_law(values, generator, least=least, simulations=simulations)
            norm = float(logsumexp(law.alpha * np.log(values[values > 0]))) / math.log(10)
        except ValueError as error:
            reasons.append(f"No power law: {error}")
        try:
            bulk = fit_bulk(values, rows, columns)
        except ValueError as error:
            reasons.append(f"No bulk: {error}")
        shuffled = shuffled_spectrum(matrix, values, generator, shuffles=shuffles) if shuffles and largest else None
        stable = total / largest if largest else float("nan")
        found.append(
            LayerSpectrum(*(
                layer.name,
                layer.kind,
                rows,
                columns,
                largest,
                stable,
                law,
                norm,
                bulk,
                shuffled,
                tuple(reasons),
            ))
        )
    return tuple(found)
