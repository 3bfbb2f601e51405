"""Networks and kernels that have a name, and how a task carries any other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

__all__ = ["Architecture", "known_kernels", "known_networks"]


@dataclass(frozen=True)
class Architecture:
    """What builds a network, or the kernel of an infinitely wide one.

    Parameters
    ----------
    factory : str
        ``package.module:callable``: of a module with random weights, or from inputs (n, ...) to covariances (n, n).
    arguments : mapping of str to object
        Its keyword arguments, JSON values.
    """

    factory: str
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        own = ", ".join(f"{name}={value!r}" for name, value in self.arguments.items())
        return f"{self.factory.rpartition(':')[2]}({own})"


def known_kernels() -> dict[str, Architecture]:
    """Return the kernels that have a name: infinitely wide networks with three hidden layers.

    Returns
    -------
    dict of str to Architecture
        ``mlp``, ``cnn`` (images only) and ``ntk`` (the tangent kernel of ``mlp``).
    """
    kernels = "genbounds.inductive_bias.gaussian.network_kernels"
    return {
        "mlp": Architecture(f"{kernels}:network_kernel", {"depth": 3}),
        "cnn": Architecture(f"{kernels}:convolutional_kernel", {"strides": [1, 2, 2]}),
        "ntk": Architecture(f"{kernels}:tangent_kernel", {"depth": 3}),
    }


def known_networks(shape: Sequence[int], classes: int, *, small: bool = False) -> dict[str, Architecture]:
    """Return the networks that have a name.

    Parameters
    ----------
    shape : sequence of int
        Shape of an input.
    classes : int
        Number of classes.
    small : bool
        Networks of some hundred weights for small images, within reach of `compare_random`. Otherwise some thousand, to
        be trained.

    Returns
    -------
    dict of str to Architecture
        ``mlp``, and for square images of one channel with an even side ``cnn`` and ``transformer``.
    """
    networks = "genbounds.models.networks"
    hidden, channels, attention = (4, 2, {"width": 4, "blocks": 1}) if small else (32, 16, {"width": 32})
    inputs = int(np.prod(shape))
    known = {"mlp": Architecture(f"{networks}:mlp", {"inputs": inputs, "classes": classes, "hidden": hidden})}
    if len(shape) == 3 and shape[0] == 1 and shape[1] == shape[2] and shape[1] % 2 == 0:
        side = int(shape[1])
        patch = 7 if side % 7 == 0 else 2
        known["cnn"] = Architecture(
            f"{networks}:convolutional", {"classes": classes, "channels": channels, "side": side}
        )
        known["transformer"] = Architecture(
            f"{networks}:transformer", {"classes": classes, "patch": patch, "side": side, **attention}
        )
    return known
