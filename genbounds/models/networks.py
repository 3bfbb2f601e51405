"""Small networks for experiments with many trainings, and a name for each that a task can carry."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["convolutional", "mlp", "transformer"]


def mlp(inputs: int = 64, classes: int = 2, hidden: int = 64, layers: int = 1) -> nn.Module:
    """Build a fully connected network.

    Parameters
    ----------
    inputs : int
        Numbers in an input, whatever its shape.
    classes : int
        Number of classes.
    hidden : int
        Units of each hidden layer.
    layers : int
        Hidden layers, at least 1.

    Returns
    -------
    nn.Module
        With ReLU between its layers; 64-64-2 has 4,290 weights.
    """
    widths = [inputs, *[hidden] * layers]
    parts = [part for a, b in pairwise(widths) for part in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(nn.Flatten(), *parts, nn.Linear(hidden, classes))


def convolutional(classes: int = 2, channels: int = 8, side: int = 28) -> nn.Module:
    """Build a small convolutional network for square images of one channel.

    Parameters
    ----------
    classes : int
        Number of classes.
    channels : int
        Channels of the first convolution; the second has twice as many.
    side : int
        Pixels along a side, even.

    Returns
    -------
    nn.Module
        Means over 2 x 2 pixels, two 3 x 3 convolutions of stride 2 with ReLU, one linear layer; 1,762 weights for
        images of 28 x 28.
    """
    left = -(-side // 8)  # of a side, after it was halved three times, rounded up
    return nn.Sequential(
        nn.AvgPool2d(2),
        nn.Conv2d(1, channels, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(channels, 2 * channels, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(2 * channels * left * left, classes),
    )


def transformer(classes: int = 2, width: int = 16, blocks: int = 2, patch: int = 7, side: int = 28) -> nn.Module:
    """Build a small vision transformer for square images of one channel (after Dosovitskiy et al. 2021).

    Parameters
    ----------
    classes : int
        Number of classes.
    width : int
        Numbers for each patch; four heads share them, so a multiple of 4.
    blocks : int
        Blocks of attention and two-layer perceptron.
    patch : int
        Pixels along a side of a patch; it divides `side`.
    side : int
        Pixels along a side.

    Returns
    -------
    nn.Module
        Linear patches with learned positions, pre-normalised blocks, a mean over patches and one linear layer; without
        dropout; 7,682 weights as it stands.

    Raises
    ------
    ValueError
        If `patch` does not divide `side`, or 4 does not divide `width`.
    """
    if side % patch or width % 4:
        raise ValueError(
            f"patch must divide side, and 4 the width, got patch {patch}, side {side}, width {width}. Change one."
        )
    tokens = (side // patch) ** 2
    return nn.Sequential(
        nn.Conv2d(1, width, patch, stride=patch),
        nn.Flatten(2),
        _Positions(tokens, width),
        *(_Block(width) for _ in range(blocks)),
        nn.LayerNorm(width),
        _MeanOverTokens(),
        nn.Linear(width, classes),
    )


class _Positions(nn.Module):
    """Put channels last and add a learned vector to each position."""

    def __init__(self, tokens: int, width: int) -> None:
        super().__init__()
        self.positions = nn.Parameter(torch.randn(tokens, width) * width**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        return x.transpose(-1, -2) + self.positions


class _Block(nn.Module):
    """Attention and a perceptron, each on normalised input and added to it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.before_attention, self.before_perceptron = nn.LayerNorm(width), nn.LayerNorm(width)
        self.queries_keys_values, self.mixed = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.widened, self.narrowed = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        heads = self.queries_keys_values(self.before_attention(x)).unflatten(-1, (3, 4, -1)).movedim(-3, 0)
        q, k, v = heads.transpose(-2, -3)
        # Plain products: torch's fused attention has no rule for many networks at once.
        weights = (q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5).softmax(-1)
        x = x + self.mixed((weights @ v).transpose(-2, -3).flatten(-2))
        return x + self.narrowed(F.gelu(self.widened(self.before_perceptron(x))))


class _MeanOverTokens(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mean(-2)
