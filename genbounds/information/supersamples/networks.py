"""Small networks for supersample experiments, and a name for each that a task can carry."""

from torch import nn

__all__ = ["convolutional", "mlp"]


def mlp(inputs: int = 64, classes: int = 2, hidden: int = 64) -> nn.Module:
    """Build a fully connected network with one hidden layer.

    Parameters
    ----------
    inputs : int
        Numbers in an input, whatever its shape.
    classes : int
        Number of classes.
    hidden : int
        Units of the hidden layer.

    Returns
    -------
    nn.Module
        With ReLU between its two layers; 64-64-2 has 4,290 weights.
    """
    return nn.Sequential(nn.Flatten(), nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, classes))


def convolutional(classes: int = 2, channels: int = 8) -> nn.Module:
    """Build a small convolutional network for images of 28 x 28.

    Parameters
    ----------
    classes : int
        Number of classes.
    channels : int
        Channels of the first convolution; the second has twice as many.

    Returns
    -------
    nn.Module
        Means over 2 x 2 pixels, two 3 x 3 convolutions of stride 2 with ReLU, one linear layer; 1,762 weights.
    """
    return nn.Sequential(
        nn.AvgPool2d(2),
        nn.Conv2d(1, channels, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(channels, 2 * channels, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(2 * channels * 4 * 4, classes),
    )
