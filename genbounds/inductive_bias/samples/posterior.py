"""Draws from the posterior over the weights of a network under a stated prior, and their losses on test examples."""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from genbounds.inductive_bias.networks import NetworkPrior
from genbounds.inductive_bias.samples.posterior_records import PosteriorSamples
from genbounds.models.blocks import Blocks
from genbounds.models.randomness import stream
from genbounds.numerics.checks import count, positive
from genbounds.rare_events.markov_chains.hamiltonian import Energy
from genbounds.rare_events.markov_chains.runs import hamiltonian_chains, langevin_chains
from genbounds.version import __version__

__all__ = ["posterior_samples"]


def posterior_samples(
    prior: NetworkPrior,
    loss: Callable[[Tensor, Tensor], Tensor],
    train: Any,
    test: Any,
    *,
    inverse_temperature: float = 1.0,
    method: Literal["hmc", "sgld"] = "hmc",
    step: float | None = None,
    steps: int = 10,
    chains: int = 4,
    draws: int = 1000,
    warm_up: int = 500,
    batch_size: int = 256,
    seed: int = 0,
    progress: bool = False,
) -> PosteriorSamples:
    """Sample weights from the law proportional to prior exp(-n beta (mean train loss)), and record losses.

    For a loss that is -ln of a likelihood and beta = 1 this is the posterior, with other beta a tempered one. Chains
    begin at draws from the prior.

    Parameters
    ----------
    prior : NetworkPrior
        Gaussian prior over the weights, which has not seen the data.
    loss : callable
        ``loss(outputs, targets)`` of a batch: the average over its examples, or one value for each; differentiable.
    train, test : object
        What `genbounds.models.blocks.Blocks` takes: a pair of tensors, a dataset.
    inverse_temperature : float
        beta, positive.
    method : {"hmc", "sgld"}
        Hamiltonian Monte Carlo, with the Metropolis correction, whose law is exact in the long run; or Langevin steps
        on batches, without, whose law is wider (see `genbounds.rare_events.markov_chains.runs`).
    step : float, optional
        Of Langevin steps, for "sgld", in the space where the prior is N(0, I). That of "hmc" is adapted in the warm-up.
    steps : int
        For "hmc" the largest number of gradients in a move, for "sgld" the steps from one draw to the next.
    chains, draws : int
        How many chains, >= 2, and how many draws of each are recorded, >= 8.
    warm_up : int
        Draws of each before those.
    batch_size : int
        Examples that are evaluated at a time; for "sgld" also the batches, into which the train set is cut once.
    seed : int
        Seed of everything.
    progress : bool
        Show a bar on a terminal.

    Returns
    -------
    PosteriorSamples
        Losses and errors of the draws; the same for the same seed, device and dtype.

    Raises
    ------
    ValueError
        If a number is out of range or chains diverge.
    """
    beta = float(positive("inverse_temperature", inverse_temperature))
    number, kept = int(count("chains", chains, 2)), int(count("draws", draws, 8))
    if method not in {"hmc", "sgld"}:
        raise ValueError(f"method must be 'hmc' or 'sgld', got {method!r}. Name one of them.")
    if (step is None) != (method == "hmc"):
        raise ValueError(
            f"step must be a number for 'sgld', and None for 'hmc', which adapts its own, got {step} for {method!r}. "
            "The law that Langevin steps sample depends on it."
        )
    blocks = Blocks(train, batch_size, dtype=prior.dtype)
    n = blocks.number
    whole = prior.loss(loss, train, batch_size=batch_size)
    observe = [whole, prior.loss(loss, test, batch_size=batch_size)]
    classes = not blocks.read(0).targets.is_floating_point()
    if classes:
        observe += [prior.errors(data, batch_size=batch_size) for data in (train, test)]
    generator = stream(seed, f"posterior by {method}", device=prior.device)
    start = torch.randn(number, prior.dimension, generator=generator, device=prior.device, dtype=torch.float64)
    setting: dict[str, Any] = {
        "draws": kept,
        "warm_up": warm_up,
        "generator": generator,
        "progress": progress,
    }
    if method == "hmc":
        run = hamiltonian_chains(whole, n * beta, observe, start, leapfrog=steps, **setting)
        how = f"Hamiltonian Monte Carlo, {number} chains, moves of up to {steps} steps of {run.step:.3g}"
    else:
        parts = _parts(prior, loss, blocks)
        size = float(positive("step", step if step is not None else np.nan))
        run = langevin_chains(parts, n * beta, observe, start, step=size, thin=steps, **setting)
        batches = f"on one of {len(parts)} batches" if len(parts) > 1 else "on all examples"
        how = f"Langevin steps of {size:.3g} {batches}, uncorrected, {number} chains, every {steps}th"
    observed = run.observed.transpose(2, 0, 1)
    missing = np.full_like(observed[0], np.nan)
    train_error, test_error = observed[2:] if classes else (missing, missing)
    return PosteriorSamples(
        train_loss=observed[0],
        train_error=train_error,
        test_loss=observed[1],
        test_error=test_error,
        equipartition=run.equipartition,
        acceptance=run.acceptance,
        step=run.step,
        law=f"{prior} Times exp(-n beta mean train loss), normalised, with n = {n} and beta = {beta:g}.",
        method=how,
        corrected=method == "hmc",
        provenance={
            "genbounds": __version__,
            "torch": torch.__version__,
            "prior": str(prior),
            "train": n,
            "test": Blocks(test, batch_size).number,
            "inverse temperature": beta,
            "method": method,
            "step": run.step,
            "steps": steps,
            "warm-up": warm_up,
            "batch size": batch_size,
            "seed": seed,
            "device": str(prior.device),
            "dtype": str(prior.dtype).removeprefix("torch."),
        },
    )


def _parts(prior: NetworkPrior, loss: Callable[[Tensor, Tensor], Tensor], blocks: Blocks) -> list[Energy]:
    """Return the losses of the batches, weighted so that their average is the mean loss over all examples."""
    number = -(-blocks.number // len(blocks.read(0).index))
    parts: list[Energy] = []
    for block in map(blocks.read, range(number)):
        mean = prior.loss(loss, (block.inputs, block.targets), batch_size=len(block.index))
        parts.append(_weighted(mean, number * len(block.index) / blocks.number))
    return parts


def _weighted(mean: Energy, weight: float) -> Energy:
    return lambda z: weight * mean(z)
