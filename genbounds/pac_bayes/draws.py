"""One network drawn from a posterior and kept, with its log density ratio to the prior."""

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from genbounds.models.randomness import draw_weights, normal_noise, stream
from genbounds.numerics import log_ratio_diagonal
from genbounds.pac_bayes.posteriors import DiagonalGaussian

__all__ = ["draw_network", "log_ratio"]


def draw_network(posterior: DiagonalGaussian, dtype: torch.dtype, *, seed: int, stage: str) -> dict[str, Tensor]:
    """Draw the weights of one network, in float64 and on the CPU, and round them once to the dtype of the evaluation.

    Parameters
    ----------
    posterior : DiagonalGaussian
        Q.
    dtype : torch.dtype
        In what type the network is evaluated.
    seed : int
        Seed, fixed in advance.
    stage : str
        Name of the random stream. The same seed and stage give the same network on every device.

    Returns
    -------
    dict of str to Tensor
        The weights by name of parameter, on the CPU.
    """
    noise = normal_noise(stream(seed, stage), torch.float64)
    drawn = draw_weights(noise=noise, **posterior.law("cpu", torch.float64))
    return {name: value.to(dtype) for name, value in drawn.items()}


def log_ratio(posterior: DiagonalGaussian, prior: DiagonalGaussian, weights: Mapping[str, Tensor]) -> float:
    """Return ln(dQ/dP) in nats at a network drawn by `draw_network`, rounded up.

    The network is a draw of Q *rounded*, so the ratio is that of the two probabilities of all weights that are
    rounded to it, and is bounded by the largest ratio of the densities among them (`log_ratio_diagonal`).

    Parameters
    ----------
    posterior, prior : DiagonalGaussian
        Q and P, over parameters of the same names and shapes.
    weights : mapping of str to Tensor
        The network.

    Returns
    -------
    float
        Nats, of either sign.

    Raises
    ------
    ValueError
        If the parameters differ in name or shape.
    """
    shapes = [{name: tuple(value.shape) for name, value in of.items()} for of in (posterior.mean, prior.mean, weights)]
    if not shapes[0] == shapes[1] == shapes[2]:
        raise ValueError("prior and weights must have the parameters of the posterior, by name and shape.")
    parts = []
    for name, value in weights.items():
        limits, point = torch.finfo(value.dtype), value.double()
        mean_q, scale_q, mean_p, scale_p = (
            part[name].double().expand_as(point).reshape(-1).numpy()
            for part in (posterior.mean, posterior.scale, prior.mean, prior.scale)
        )
        x = point.reshape(-1).numpy()
        # Half a unit in the last place (a narrow type is reached by way of float32, rounded there too), the smallest
        # normal number near 0, and the rounding of mean + scale * normal.
        radius = limits.eps / 2 * (1.0 + 2.0**-12) * np.abs(x) + limits.tiny + 2.0**-51 * (np.abs(x) + np.abs(mean_q))
        parts.append(float(log_ratio_diagonal(x, radius, mean_q, scale_q, mean_p, scale_p)))
    return math.nextafter(math.fsum(parts), math.inf)
