"""Training of priors and posteriors: seeded, mini-batched, and resumed after a kill to the same bits.

Every random choice of epoch e comes from a stream keyed by (seed, stage, e), and the state is saved after every
epoch, so that an interrupted run that is started again ends where an uninterrupted one does.
"""

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from genbounds.models.examples import Data
from genbounds.models.progress import track
from genbounds.models.randomness import Noise, PerExampleForward, normal_noise, stream
from genbounds.models.state import state_sha256
from genbounds.numerics import count, nonnegative, unit_interval
from genbounds.pac_bayes.objectives import OBJECTIVES, bounded_cross_entropy
from genbounds.pac_bayes.posteriors import DiagonalGaussian

__all__ = ["Excess", "NetworkTraining", "PosteriorTraining", "train_network", "train_posterior"]


@dataclass(frozen=True)
class NetworkTraining:
    """How the network at the centre of a learnt prior is trained: AdamW, linear warm-up, cosine decay.

    Parameters
    ----------
    epochs, batch_size : int
        Passes over the data, and examples per step.
    learning_rate, weight_decay : float
        Peak rate and decoupled decay.
    noise : float
        Standard deviation of fresh Gaussian noise on all weights for every example; 0 trains an ordinary network. A
        network trained with the noise of its prior keeps its accuracy under it.

    Raises
    ------
    ValueError
        If a number of epochs, a batch or the noise is impossible.
    """

    epochs: int = 30
    batch_size: int = 128
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    noise: float = 0.0

    def __post_init__(self) -> None:
        count("epochs", self.epochs, minimum=0)
        count("batch_size", self.batch_size)
        nonnegative("noise", self.noise)


@dataclass(frozen=True)
class PosteriorTraining:
    """How a posterior is trained on the bound itself.

    Parameters
    ----------
    epochs, batch_size : int
        Passes over the bound sample, and examples per step.
    learning_rate : float
        Rate of Adam for the means (in units of the starting scale) and for the logarithms of the scales.
    objective : {"maurer", "quadratic"}
        Bound that is minimised, on the bounded cross-entropy.
    smallest_probability : float
        Floor of the bounded cross-entropy.
    kl_weight : float
        Weight of the divergence in the bound that is minimised. Below 1 the posterior moves further than its own bound
        would like: to be the prior of a next step.
    annealing : float
        Part of the epochs, from 0 to 1, in which that weight grows from 0: a posterior that starts at its prior first
        learns what is worth the divergence.

    Raises
    ------
    ValueError
        If a number of epochs, a batch, the objective or a weight is impossible.
    """

    epochs: int = 20
    batch_size: int = 128
    learning_rate: float = 5e-3
    objective: str = "maurer"
    smallest_probability: float = 1e-2
    kl_weight: float = 1.0
    annealing: float = 0.0

    def __post_init__(self) -> None:
        count("epochs", self.epochs, minimum=0)
        count("batch_size", self.batch_size)
        if self.objective not in OBJECTIVES:
            raise ValueError(f"objective must be one of {', '.join(OBJECTIVES)}, got {self.objective!r}. Pick one.")
        nonnegative("kl_weight", self.kl_weight)
        unit_interval("annealing", self.annealing, "It is a part of the epochs.")


@dataclass(frozen=True)
class Excess:
    """Over which predictor, drawn or given, the excess loss of a posterior is counted.

    Parameters
    ----------
    over : DiagonalGaussian, or mapping of str to Tensor
        The posterior of the step before, of which every example meets a fresh draw; or the weights of one reference
        network.
    gamma : float
        In [0, 1]. The objective is (1 - gamma) times the direct bound plus gamma times the excess, each in the form of
        `genbounds.pac_bayes.recursive.recursive_step`.
    """

    over: DiagonalGaussian | Mapping[str, Tensor]
    gamma: float

    def __post_init__(self) -> None:
        unit_interval("gamma", self.gamma, "It weighs two bounds.")

    @property
    def sha256(self) -> str:
        """Fingerprint of the predictor."""
        return self.over.sha256() if isinstance(self.over, DiagonalGaussian) else state_sha256(self.over)


def _schedule(step: int, steps: int) -> float:
    warm = max(1, steps // 20)
    return (step + 1) / warm if step < warm else 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


class _Saved:
    """State of a loop over epochs in one file, written atomically after each."""

    def __init__(self, path: Path | None, identity: str) -> None:
        self.path, self.identity = path, identity

    def load(self) -> dict[str, Any] | None:
        if self.path is None or not self.path.exists():
            return None
        saved: dict[str, Any] = torch.load(self.path, weights_only=True)
        if saved["identity"] != self.identity:
            raise ValueError(
                f"{self.path.name} belongs to a run with other settings. Choose another output folder or delete it."
            )
        return saved

    def save(self, **state: Any) -> None:
        if self.path is None:
            return
        part = self.path.with_suffix(".part")
        torch.save({"identity": self.identity, **state}, part)
        part.replace(self.path)


def train_network(
    model: nn.Module,
    data: Data,
    indices: NDArray[np.int64],
    settings: NetworkTraining,
    *,
    seed: int,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    augment: Callable[[Tensor, torch.Generator], Tensor] | None = None,
    resume: Path | None = None,
    progress: bool = False,
) -> None:
    """Train `model` in place by cross-entropy on the examples `indices`.

    Parameters
    ----------
    model : nn.Module
        Classifier; left in evaluation mode.
    data : Data
        Where the examples are.
    indices : ndarray of int64
        Examples to train on. For the mean of a prior: those with role ``prior`` and no others.
    settings : NetworkTraining
        Epochs, rates and noise.
    seed : int
        Seed of order, augmentation, dropout and noise.
    device, dtype : torch.device or str, torch.dtype
        Where and in what type the model is evaluated.
    augment : callable, optional
        ``augment(inputs, generator) -> inputs``, applied to every batch.
    resume : Path, optional
        File that holds the state after each epoch; an existing one is continued.
    progress : bool
        Show a bar on a terminal.

    Raises
    ------
    ValueError
        If `resume` belongs to other settings, noise meets BatchNorm, or the loss stops being finite.
    """
    if settings.noise and any(isinstance(layer, nn.modules.batchnorm._BatchNorm) for layer in model.modules()):
        raise ValueError(
            f"noise must be 0 for a model with BatchNorm, got {settings.noise}: with fresh weights for every example "
            "its running statistics would not be updated. Train without noise, or use GroupNorm or LayerNorm."
        )
    model.to(device, dtype)
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    saved = _Saved(resume, f"network {settings} {seed=} n={len(indices)}")
    start = 0
    if state := saved.load():
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        start = state["epoch"]
    random = PerExampleForward(model.eval(), _first(data, indices, device, dtype)) if settings.noise else None
    mean = dict(model.named_parameters())
    scale = {name: torch.full_like(value, settings.noise) for name, value in mean.items()} if settings.noise else {}
    per_epoch = math.ceil(len(indices) / settings.batch_size)
    for epoch in track(
        range(start, settings.epochs), "training the network", total=settings.epochs - start, progress=progress
    ):
        model.train()
        order = indices[torch.randperm(len(indices), generator=stream(seed, "network order", epoch)).numpy()]
        augmenting = stream(seed, "network augmentation", epoch, device=device)
        noise = normal_noise(stream(seed, "network weights", epoch, device=device), dtype)
        # Dropout can only draw from the global generator: lend it one of ours and give the user's back.
        with torch.random.fork_rng():
            torch.manual_seed(stream(seed, "network dropout", epoch).initial_seed())
            for step, (_, inputs, targets) in enumerate(
                data.batches(order, settings.batch_size, device=device, dtype=dtype), epoch * per_epoch
            ):
                for group in optimizer.param_groups:
                    group["lr"] = settings.learning_rate * _schedule(step, settings.epochs * per_epoch)
                inputs = augment(inputs, augmenting) if augment else inputs
                logits = model(inputs) if random is None else random(mean, scale, inputs, noise)
                loss = F.cross_entropy(logits, targets)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        if not math.isfinite(loss.item()):
            raise ValueError(f"the training loss must stay finite, got {loss.item()} in epoch {epoch}. Lower the rate.")
        saved.save(epoch=epoch + 1, model=model.state_dict(), optimizer=optimizer.state_dict())
    model.eval()


def train_posterior(
    model: nn.Module,
    prior: DiagonalGaussian,
    start: DiagonalGaussian,
    data: Data,
    indices: NDArray[np.int64],
    settings: PosteriorTraining,
    *,
    log_term: float,
    n: int | None = None,
    excess: Excess | None = None,
    free_prior_scales: Collection[Collection[str]] = (),
    seed: int,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    resume: Path | None = None,
    progress: bool = False,
) -> DiagonalGaussian:
    """Return a diagonal Gaussian posterior that minimises a PAC-Bayes bound on the examples `indices`.

    Every example of every batch meets its own weight draw. The bound is evaluated at a running average of the surrogate
    risk, so that its derivatives do not jump with the batch; the gradient is the batch's own.

    Parameters
    ----------
    model : nn.Module
        Classifier in evaluation mode; its own parameters are left as they are.
    prior : DiagonalGaussian
        P.
    start : DiagonalGaussian
        Where the posterior starts: around the checkpoint's weights or the prior's.
    data : Data
        Where the examples are.
    indices : ndarray of int64
        Examples to train on: the bound sample, or what of it may be looked at yet.
    settings : PosteriorTraining
        Epochs, rates and objective.
    log_term : float
        What is added to the KL in the bound, in nats: ln(2 sqrt(n) / delta) and unions.
    n : int, optional
        Examples that the bound counts; by default those of `indices`.
    excess : Excess, optional
        Train on a bound by way of another predictor, instead of the direct one.
    free_prior_scales : collection of collections of str
        Groups of parameters, all of them together, whose common prior standard deviation will be chosen afterwards on a
        paid grid, group by group: train on the KL at its best values.
    seed : int
        Seed of order and draws.
    device, dtype : torch.device or str, torch.dtype
        Where and in what type the model is evaluated.
    resume : Path, optional
        File that holds the state after each epoch; an existing one is continued.
    progress : bool
        Show a bar on a terminal.

    Returns
    -------
    DiagonalGaussian
        The trained posterior.

    Raises
    ------
    ValueError
        If `resume` belongs to other settings, or the objective stops being finite.
    """
    forward = PerExampleForward(model, _first(data, indices, device, dtype))
    prior_mean, prior_scale = prior.to(device, dtype)
    start_mean, unit = start.to(device, dtype)
    # Means move in units of the starting scale, scales in logarithms: both are of order one in the KL.
    moves = {name: torch.zeros_like(value, requires_grad=True) for name, value in start_mean.items()}
    logs = {name: torch.zeros_like(value, requires_grad=True) for name, value in start_mean.items()}
    optimizer = torch.optim.Adam([*moves.values(), *logs.values()], lr=settings.learning_rate)
    objective = OBJECTIVES[settings.objective]
    gamma = 0.0 if excess is None else excess.gamma
    other = None if excess is None else _scores_of(excess.over, model, forward, device, dtype)
    weights = torch.tensor([1.0] if excess is None else [gamma, 1 - gamma, gamma], dtype=torch.float64, device=device)

    def gaussian() -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        mean = {name: torch.addcmul(start_mean[name], unit[name], move) for name, move in moves.items()}
        return mean, {name: unit[name] * log.exp() for name, log in logs.items()}

    n = len(indices) if n is None else n
    over = "" if excess is None else f" {gamma=} {excess.sha256}"
    identity = (
        f"posterior {settings} {seed=} {n=} of {len(indices)} {log_term=} {prior.sha256()} {start.sha256()}{over}"
    )
    saved = _Saved(resume, identity)
    first, average = 0, None
    if state := saved.load():
        with torch.no_grad():
            for name in moves:
                moves[name].copy_(state["moves"][name])
                logs[name].copy_(state["logs"][name])
        optimizer.load_state_dict(state["optimizer"])
        first, average = state["epoch"], state["average"].to(device)
    per_epoch = math.ceil(len(indices) / settings.batch_size)
    annealed = max(1.0, settings.annealing * settings.epochs * per_epoch)
    for epoch in track(
        range(first, settings.epochs), "training the posterior", total=settings.epochs - first, progress=progress
    ):
        order = indices[torch.randperm(len(indices), generator=stream(seed, "posterior order", epoch)).numpy()]
        noise = normal_noise(stream(seed, "posterior weights", epoch, device=device), dtype)
        others = normal_noise(stream(seed, "weights of the step before", epoch, device=device), dtype)
        for step, (_, inputs, targets) in enumerate(
            data.batches(order, settings.batch_size, device=device, dtype=dtype), epoch * per_epoch
        ):
            for group in optimizer.param_groups:
                group["lr"] = settings.learning_rate * _schedule(step, settings.epochs * per_epoch)
            mean, scale = gaussian()
            losses = bounded_cross_entropy(forward(mean, scale, inputs, noise), targets, settings.smallest_probability)
            if other is None:
                rates = losses.mean().double()[None]
            else:
                with torch.no_grad():
                    errs = (other(inputs, others).argmax(1) != targets).to(losses.dtype)
                # The frequencies of `recursive_step`, with the surrogate for the errors of the one that is trained.
                alone = ((1 - losses) * errs).mean(), (losses * (1 - errs)).mean()
                rates = torch.stack([1 - alone[0], losses.mean(), alone[1]]).double()
            average = rates.detach() if average is None else torch.lerp(rates.detach(), average, 0.98)
            kl = _kl(mean, scale, prior_mean, prior_scale, free_prior_scales)
            weight = settings.kl_weight * min(1.0, (step + 1) / annealed)
            # The value of the running average with the gradient of the batch; away from 0, where the slope is infinite.
            bounds = objective(average.clamp_min(1e-9) + (rates - rates.detach()), (weight * kl + log_term) / n)
            loss = (weights * bounds).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        if not math.isfinite(loss.item()):
            raise ValueError(f"the objective must stay finite, got {loss.item()} in epoch {epoch}. Lower the rate.")
        saved.save(
            epoch=epoch + 1,
            moves={name: value.detach() for name, value in moves.items()},
            logs={name: value.detach() for name, value in logs.items()},
            optimizer=optimizer.state_dict(),
            average=average,
        )
    with torch.no_grad():
        mean, scale = gaussian()
    return DiagonalGaussian(
        {name: value.cpu() for name, value in mean.items()}, {name: value.cpu() for name, value in scale.items()}
    )


def _scores_of(
    over: DiagonalGaussian | Mapping[str, Tensor],
    model: nn.Module,
    forward: PerExampleForward,
    device: torch.device | str,
    dtype: torch.dtype,
) -> Callable[[Tensor, Noise], Tensor]:
    """Scores of another predictor: of a fresh draw an example, or of one network."""
    if isinstance(over, DiagonalGaussian):
        mean, scale = over.to(device, dtype)
        return lambda inputs, noise: forward(mean, scale, inputs, noise)
    own = {name: value.to(device, dtype) for name, value in over.items()}
    return lambda inputs, _: functional_call(model, own, (inputs,))


def _kl(
    mean: Mapping[str, Tensor],
    scale: Mapping[str, Tensor],
    prior_mean: Mapping[str, Tensor],
    prior_scale: Mapping[str, Tensor],
    free_prior_scales: Collection[Collection[str]],
) -> Tensor:
    """KL of diagonal Gaussians for training; with free prior scales of groups of parameters, at their minimisers."""

    def total(parts: list[Tensor]) -> Tensor:
        return torch.stack([part.sum(dtype=torch.float64) for part in parts]).sum()

    if free_prior_scales:
        logs = total([value.log() for value in scale.values()])
        halves = []
        for names in free_prior_scales:
            count = sum(mean[name].numel() for name in names)
            spread = total([scale[name].square() + (mean[name] - prior_mean[name]).square() for name in names])
            halves.append(0.5 * count * (spread / count).log())
        return torch.stack(halves).sum() - logs
    parts = []
    for name in mean:
        twice_log = 2 * (scale[name] / prior_scale[name]).log()
        shift = (mean[name] - prior_mean[name]) / prior_scale[name]
        parts.append(0.5 * (shift.square() + torch.expm1(twice_log) - twice_log))
    return total(parts)


def _first(data: Data, indices: NDArray[np.int64], device: torch.device | str, dtype: torch.dtype) -> Tensor:
    return next(data.batches(indices[:8], 8, device=device, dtype=dtype))[1]
