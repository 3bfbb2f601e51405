"""The demonstration: real handwritten digits, a small network, one certificate for each number of examples."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import nn

from genbounds.certificates import Certificate
from genbounds.models.data import load_data
from genbounds.pac_bayes.training import NetworkTraining, PosteriorTraining
from genbounds.workflow.certification import certify

__all__ = ["NETWORK", "SIZES", "demonstrate", "network"]

#: Training examples of each certificate: one half shapes the prior, the bound rests on the other.
SIZES = (100, 200, 400, 800, 1500)

#: Name by which `genbounds verify --model` finds the network.
NETWORK = "genbounds.workflow.demo:network"


def network() -> nn.Module:
    """Build a small fully connected network for 8 x 8 images of digits.

    Returns
    -------
    nn.Module
        Two linear layers with 300 units between them: 22,510 weights.
    """
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 300), nn.ReLU(), nn.Dropout(0.2), nn.Linear(300, 10))


def demonstrate(
    out: str | Path, *, sizes: Sequence[int] = SIZES, delta: float = 0.05, seed: int = 0, progress: bool = False
) -> list[Certificate]:
    """Certify the network on growing parts of scikit-learn's 1,797 handwritten digits.

    The digits that the largest certificate does not use are test data for all of them.

    Parameters
    ----------
    out : str or Path
        Folder of the largest certificate; the others go to ``examples-<size>`` inside it.
    sizes : sequence of int
        Training examples of each certificate, ascending, each at least 20 and at most 1,700.
    delta : float
        Probability with which each certificate may fail.
    seed : int
        Seed of everything.
    progress : bool
        Show bars on a terminal.

    Returns
    -------
    list of Certificate
        One for each size.

    Raises
    ------
    ValueError
        If a size is out of range.
    """
    digits = load_data("digits")
    if not sizes or min(sizes) < 20 or max(sizes) > 1700:
        raise ValueError(f"sizes must be numbers from 20 to 1700, got {list(sizes)}. Some digits are kept for testing.")
    order = np.random.default_rng(seed).permutation(len(digits))
    largest = max(sizes)
    certificates = []
    for size in sizes:
        roles = {"prior": order[: size // 2], "bound": order[size // 2 : size], "test": order[largest:]}
        certificates.append(
            certify(
                NETWORK,
                digits,
                roles=roles,
                delta=delta,
                network=NetworkTraining(epochs=200, batch_size=32, noise=0.03),
                posterior=PosteriorTraining(epochs=20, batch_size=64),
                seed=seed,
                out=Path(out) if size == largest else Path(out) / f"examples-{size}",
                progress=progress,
            )
        )
    return certificates
