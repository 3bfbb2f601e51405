"""The demonstration: real handwritten digits, a small network, one certificate for each number of examples."""

from pathlib import Path

import numpy as np
from torch import nn

from genbounds.certificates import Certificate
from genbounds.models.data import load_data
from genbounds.pac_bayes.training import NetworkTraining, PosteriorTraining
from genbounds.workflow.parts import certify_parts

__all__ = ["EXAMPLES", "NETWORK", "demonstrate", "network"]

#: Training examples: one half shapes the prior, the bound rests on the other. The rest of the digits is test data.
EXAMPLES = 1500

#: Parts of them that are certified too, for the curve.
PARTS = (1 / 15, 2 / 15, 4 / 15, 8 / 15)

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
    out: str | Path, *, examples: int = EXAMPLES, delta: float = 0.05, seed: int = 0, progress: bool = False
) -> list[Certificate]:
    """Certify the network on scikit-learn's 1,797 handwritten digits, and on growing parts of them.

    Parameters
    ----------
    out : str or Path
        Folder of the certificate; those of the parts go to folders inside it.
    examples : int
        Training examples, from 150 to 1,700; the other digits are test data.
    delta : float
        Probability with which each certificate may fail.
    seed : int
        Seed of everything.
    progress : bool
        Show bars on a terminal.

    Returns
    -------
    list of Certificate
        For the parts, and for the whole last.

    Raises
    ------
    ValueError
        If the number of examples is out of range.
    """
    if not 150 <= examples <= 1700:
        raise ValueError(f"examples must be from 150 to 1700, got {examples}. The other digits are kept for testing.")
    digits = load_data("digits")
    order = np.random.default_rng(seed).permutation(len(digits))
    return certify_parts(
        NETWORK,
        digits,
        PARTS,
        roles={"prior": order[: examples // 2], "bound": order[examples // 2 : examples], "test": order[examples:]},
        delta=delta,
        network=NetworkTraining(epochs=200, batch_size=32, noise=0.03),
        posterior=PosteriorTraining(epochs=20, batch_size=64),
        seed=seed,
        out=Path(out),
        progress=progress,
    )
