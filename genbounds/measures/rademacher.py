"""Empirical Rademacher complexity: how well a class of functions follows random signs on given inputs.

For linear functions it is known up to a mean; for networks training finds a function and not the best one, so that
what is computed is an estimate of a lower limit. Neither is a bound on any risk.
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.stats import t as student_t
from torch import Tensor, nn

from genbounds.models.ensembles import EnsembleTraining, one_thread, train_ensemble
from genbounds.models.randomness import stream
from genbounds.numerics.checks import count, finite, positive
from genbounds.numerics.estimates import Estimate

__all__ = ["linear_rademacher", "network_rademacher"]


def linear_rademacher(
    inputs: ArrayLike, radius: float, generator: np.random.Generator, *, draws: int = 1000
) -> tuple[Estimate, tuple[float, float]]:
    """Estimate the complexity of x -> <w, x> with |w| <= B on given inputs, and enclose it.

    Parameters
    ----------
    inputs : array_like, shape (n, p)
        The inputs.
    radius : float
        B, positive.
    generator : numpy.random.Generator
        Source of the signs.
    draws : int
        Draws of the signs, at least 2.

    Returns
    -------
    estimate : Estimate
        Of (B / n) E |sum_i s_i x_i|, with its standard error over the draws.
    enclosure : tuple of float
        (B / n) |X|_F / sqrt 2 and (B / n) |X|_F, between which it lies: the inequalities of Khintchine and Kahane, with
        Szarek's constant [LatalaOleszkiewicz1994]_, and of Jensen.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Examples
    --------
    >>> estimate, (low, high) = linear_rademacher(np.eye(4), 1.0, np.random.default_rng(0))
    >>> round(estimate.value, 6), high  # orthogonal inputs: no sign matters
    (0.5, 0.5)
    """
    x = finite("inputs", inputs)
    if x.ndim != 2 or not x.size:
        raise ValueError(f"inputs must have shape (n, p), got {x.shape}. Flatten images.")
    scale, number = float(positive("radius", radius)) / len(x), int(count("draws", draws, minimum=2))
    norms = []
    for _ in range(number):
        signs = generator.integers(0, 2, len(x)) * 2 - 1
        norms.append(scale * float(np.linalg.norm(signs @ x)))
    whole = scale * float(np.linalg.norm(x))
    return _estimate(norms, "mean over draws of the signs, Student's interval"), (whole / 2**0.5, whole)


def network_rademacher(
    build: Callable[[], nn.Module],
    inputs: Tensor,
    *,
    training: EnsembleTraining | None = None,
    draws: int = 10,
    seed: int = 0,
) -> Estimate:
    """Estimate a lower limit of the complexity of a network's signs: train it on random labels, several at once.

    Parameters
    ----------
    build : callable
        Returns a fresh network with two outputs, which treats each example by itself and draws nothing while it runs.
    inputs : Tensor, shape (n, ...)
        The inputs, on the device and in the dtype of the training.
    training : EnsembleTraining, optional
        How each is trained.
    draws : int
        Draws of the labels, at least 2: a network each.
    seed : int
        Seed of labels, weights and batches.

    Returns
    -------
    Estimate
        Mean over the draws of (1/n) sum_i s_i sign f(x_i), which is 1 minus twice the training error: what training
        reached, not the supremum. The class may do better, never worse on average; the interval is that of the mean.

    Raises
    ------
    ValueError
        If an argument is out of range, or the network cannot be trained so.

    Examples
    --------
    >>> found = network_rademacher(lambda: nn.Linear(1, 2), torch.ones(40, 1), draws=3)
    >>> found.n, -1 <= found.value <= 1
    (3, True)
    """
    number, n = int(count("draws", draws, minimum=2)), len(inputs)
    labels = torch.randint(0, 2, (number, n), generator=stream(seed, "signs")).to(inputs.device)
    members = torch.arange(number * n, device=inputs.device).view(number, n)
    seeds = [stream(seed, "network", draw).initial_seed() for draw in range(number)]
    pool = inputs.repeat(number, *[1] * (inputs.ndim - 1))
    with one_thread():
        trained = train_ensemble(build, pool, labels.flatten(), members, seeds, training or EnsembleTraining(), 2)
        wrong = trained(inputs).argmax(2) != labels
    values = (1 - 2 * wrong.double().mean(1)).tolist()
    return _estimate(values, "networks trained on random labels: of a lower limit")


def _estimate(values: list[float], method: str) -> Estimate:
    mean, error = float(np.mean(values)), float(np.std(values, ddof=1)) / len(values) ** 0.5
    reach = float(student_t.ppf(0.975, len(values) - 1)) * error
    return Estimate(mean, error, (mean - reach, mean + reach), 0.95, len(values), method)
