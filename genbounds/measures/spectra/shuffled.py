"""The spectrum that a matrix would have if its entries stood anywhere: entries permuted at random."""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import wasserstein_distance
from torch import Tensor

from genbounds.measures.spectra.shuffled_record import ShuffledSpectrum
from genbounds.numerics.checks import count

__all__ = ["shuffled_spectrum"]


def shuffled_spectrum(
    matrix: Tensor, eigenvalues: NDArray[np.float64], generator: np.random.Generator, *, shuffles: int = 2
) -> ShuffledSpectrum:
    """Permute the entries of a matrix and compare spectra.

    Parameters
    ----------
    matrix : Tensor, shape (rows, columns)
        W, float64.
    eigenvalues : ndarray, shape (min(rows, columns),)
        Of W^T W.
    generator : numpy.random.Generator
        Source of the permutations.
    shuffles : int
        How many, at least 2.

    Returns
    -------
    ShuffledSpectrum
        Means and spreads.

    Raises
    ------
    ValueError
        If there are fewer than 2 permutations, or W is all zeros.

    Examples
    --------
    >>> matrix = torch.outer(torch.arange(40.0), torch.ones(30)).double()
    >>> values = torch.linalg.svdvals(matrix).square().numpy()
    >>> found = shuffled_spectrum(matrix, values, np.random.default_rng(0))
    >>> bool(found.largest < values.max()), found.distance > 0.1
    (True, True)
    """
    number = int(count("shuffles", shuffles, minimum=2))
    mean = float(np.mean(eigenvalues))
    if mean == 0:
        raise ValueError("matrix must hold something, got zeros. There is nothing to permute.")
    flat = matrix.flatten()
    largest, distances = [], []
    for _ in range(number):
        order = torch.from_numpy(generator.permutation(len(flat))).to(flat.device)
        moved = flat[order].view_as(matrix)
        gram = moved @ moved.T if moved.shape[0] <= moved.shape[1] else moved.T @ moved
        values = torch.linalg.eigvalsh(gram).cpu().numpy()
        largest.append(float(values[-1]))
        distances.append(float(wasserstein_distance(eigenvalues, values)) / mean)
    return ShuffledSpectrum(
        float(np.mean(largest)),
        float(np.std(largest, ddof=1)),
        float(np.mean(distances)),
        float(np.std(distances, ddof=1)),
    )
