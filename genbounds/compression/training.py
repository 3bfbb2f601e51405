"""Training of coordinates: first as real numbers, then with the few values of a codebook."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from genbounds.compression.masks import largest
from genbounds.compression.parametrisations import Parametrisation
from genbounds.compression.quantisation import Codebook, k_means, uniform
from genbounds.models.examples import Data
from genbounds.models.progress import track
from genbounds.models.randomness import stream
from genbounds.numerics import count, nonnegative

__all__ = ["CODEBOOKS", "CompressionTraining", "quantise", "train_coordinates"]

#: How the values of the coordinates are found.
CODEBOOKS = ("uniform", "k-means", "learned")


@dataclass(frozen=True)
class CompressionTraining:
    """How coordinates are trained and quantised: Adam, linear warm-up, cosine decay, twice.

    None of this is in the message: whatever it leads to, the network that the message decodes to is paid for.

    Parameters
    ----------
    epochs, quantised_epochs : int
        Passes over the data with real coordinates, and with quantised ones.
    batch_size : int
        Examples per step.
    learning_rate : float
        Peak rate of Adam: in units of the coordinates, and then of the distance between two levels.
    levels : int
        Values that a coordinate may take, at least 2; odd for equal steps.
    codebook : {"uniform", "k-means", "learned"}
        Equal steps of a power of two; the clusters of the trained coordinates; or these, trained on.
    penalty : float
        Weight of the coordinates' magnitudes, in steps, in the loss: zeros are cheap to write. Of the order of
        (bits per step) / n.
    kept : float
        Part of the coordinates that is not pruned before quantisation, in (0, 1].

    Raises
    ------
    ValueError
        If a number is impossible.
    """

    epochs: int = 3
    quantised_epochs: int = 27
    batch_size: int = 128
    learning_rate: float = 0.05
    levels: int = 3
    codebook: str = "uniform"
    penalty: float = 4e-4
    kept: float = 1.0

    def __post_init__(self) -> None:
        count("epochs", self.epochs, minimum=0)
        count("quantised_epochs", self.quantised_epochs, minimum=0)
        count("batch_size", self.batch_size)
        count("levels", self.levels, minimum=2)
        nonnegative("learning_rate", self.learning_rate)
        nonnegative("penalty", self.penalty)
        largest([0.0], self.kept)
        if self.codebook not in CODEBOOKS:
            raise ValueError(f"codebook must be one of {', '.join(CODEBOOKS)}, got {self.codebook!r}. Pick one.")
        if self.codebook == "uniform":
            uniform([0.0], self.levels)


def _steps(
    data: Data,
    indices: NDArray[np.int64],
    settings: CompressionTraining,
    stage: str,
    epochs: int,
    optimizer: torch.optim.Optimizer,
    *,
    seed: int,
    device: torch.device | str,
    dtype: torch.dtype,
    progress: bool,
) -> Iterator[tuple[float, Tensor, Tensor]]:
    """Yield how much of the training is done, inputs and targets of each step, with the rates set for it."""
    peaks = [group["lr"] for group in optimizer.param_groups]
    total = epochs * math.ceil(len(indices) / settings.batch_size)
    warm, step = max(1, total // 20), 0
    for epoch in track(range(epochs), stage, total=epochs, progress=progress):
        order = indices[torch.randperm(len(indices), generator=stream(seed, f"{stage} order", epoch)).numpy()]
        for _, inputs, targets in data.batches(order, settings.batch_size, device=device, dtype=dtype):
            decay = 0.5 * (1 + math.cos(math.pi * step / total))
            for group, peak in zip(optimizer.param_groups, peaks, strict=True):
                group["lr"] = peak * decay * min(1.0, (step + 1) / warm)
            yield step / total, inputs, targets
            step += 1


def _loss(
    model: nn.Module,
    parametrisation: Parametrisation,
    coordinates: Tensor,
    inputs: Tensor,
    targets: Tensor,
    dtype: torch.dtype,
) -> Tensor:
    # Coordinates are never narrower than float32, whatever the model computes in; inputs may be tokens.
    weights = {name: value.to(dtype) for name, value in parametrisation.weights(coordinates).items()}
    return F.cross_entropy(functional_call(model, weights, (inputs,)), targets)


def _update(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    if not math.isfinite(loss.item()):
        raise ValueError(f"the training loss must stay finite, got {loss.item()}. Lower the rate.")
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def train_coordinates(
    model: nn.Module,
    parametrisation: Parametrisation,
    data: Data,
    indices: NDArray[np.int64],
    settings: CompressionTraining,
    *,
    seed: int,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    progress: bool = False,
) -> Tensor:
    """Train real coordinates by cross-entropy on the examples `indices`.

    Parameters
    ----------
    model : nn.Module
        Classifier in evaluation mode, on `device` and in `dtype`; left as it is.
    parametrisation : Parametrisation
        From coordinates to weights.
    data : Data
        Where the examples are.
    indices : ndarray of int64
        Examples to train on.
    settings : CompressionTraining
        Epochs and rate.
    seed : int
        Seed of the order of the examples.
    device, dtype : torch.device or str, torch.dtype
        Where and in what type the model is evaluated.
    progress : bool
        Show a bar on a terminal.

    Returns
    -------
    Tensor, shape (dimension,)
        The coordinates.

    Raises
    ------
    ValueError
        If the loss stops being finite.
    """
    coordinates = parametrisation.initial.to(
        device, torch.promote_types(dtype, torch.float32), copy=True
    ).requires_grad_()
    optimizer = torch.optim.Adam([coordinates], lr=settings.learning_rate)
    how: dict[str, Any] = {"seed": seed, "device": device, "dtype": dtype, "progress": progress}
    for _, inputs, targets in _steps(data, indices, settings, "training", settings.epochs, optimizer, **how):
        _update(optimizer, _loss(model, parametrisation, coordinates, inputs, targets, dtype))
    return coordinates.detach()


def quantise(
    model: nn.Module,
    parametrisation: Parametrisation,
    coordinates: Tensor,
    data: Data,
    indices: NDArray[np.int64],
    settings: CompressionTraining,
    *,
    seed: int,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    progress: bool = False,
) -> tuple[Codebook, NDArray[np.int64]]:
    """Find a codebook for trained coordinates, and train on with the quantised network.

    The network is always evaluated with quantised coordinates; the gradient passes straight through the rounding to
    the real ones behind them, and for a learned codebook also to its levels (Bengio et al. 2013).

    Parameters
    ----------
    model : nn.Module
        Classifier in evaluation mode, on `device` and in `dtype`; left as it is.
    parametrisation : Parametrisation
        From coordinates to weights.
    coordinates : Tensor, shape (dimension,)
        What `train_coordinates` returned.
    data : Data
        Where the examples are.
    indices : ndarray of int64
        Examples to train on.
    settings : CompressionTraining
        Codebook, penalty and epochs.
    seed : int
        Seed of the order of the examples.
    device, dtype : torch.device or str, torch.dtype
        Where and in what type the model is evaluated.
    progress : bool
        Show a bar on a terminal.

    Returns
    -------
    codebook : Codebook
        The values.
    symbols : ndarray of int64, shape (dimension,)
        The level of each coordinate.

    Raises
    ------
    ValueError
        If the loss stops being finite.
    """
    values = coordinates.double().cpu().numpy()
    kept = largest(values, settings.kept)
    fit = uniform if settings.codebook == "uniform" else k_means
    codebook = fit(values[kept], settings.levels)
    learned, pruned = settings.codebook == "learned", not kept.all()
    step = float(np.diff(codebook.levels).mean()) if codebook.levels.size > 1 else 1.0
    behind = coordinates.clone().requires_grad_()
    levels = torch.from_numpy(codebook.levels).to(coordinates).requires_grad_(learned)
    mask = torch.from_numpy(kept).to(coordinates.device)
    groups = [{"params": [behind], "lr": settings.learning_rate * step}]
    if learned:  # a level moves all of its coordinates at once: slowly
        groups.append({"params": [levels], "lr": 0.01 * settings.learning_rate * step})
    optimizer = torch.optim.Adam(groups)

    def snapped() -> Tensor:
        """Return the quantised coordinates, with the gradient of the real ones."""
        ordered = levels.sort().values if learned else levels
        symbols = torch.bucketize(behind.detach(), (ordered[1:] + ordered[:-1]).detach() / 2, right=True)
        chosen = ordered[symbols]
        return torch.where(mask, behind + (chosen - behind).detach() + (chosen - chosen.detach()), 0)

    how: dict[str, Any] = {"seed": seed, "device": device, "dtype": dtype, "progress": progress}
    epochs = settings.quantised_epochs
    for done, inputs, targets in _steps(data, indices, settings, "quantising", epochs, optimizer, **how):
        loss = _loss(model, parametrisation, snapped(), inputs, targets, dtype)
        # The price of magnitude comes in over the first third, so that the network is not emptied at once.
        price = settings.penalty * min(1.0, 3 * done) / step
        _update(optimizer, loss + price * (behind * mask).abs().sum())
        with torch.no_grad():  # farther out than this a coordinate would take long to come back
            behind.clamp_(levels.min() - 0.4 * step, levels.max() + 0.4 * step)
    if learned:
        codebook = Codebook.rounded(levels.detach().double().cpu())
    found = codebook.levels[codebook.nearest(behind.detach().double().cpu())] * kept
    if pruned:
        codebook = Codebook.rounded(np.append(codebook.levels, 0.0))
    return codebook, codebook.nearest(found)
