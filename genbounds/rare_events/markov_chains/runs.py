r"""Markov chains whose law is N(0, I) exp(-sharpness energy) up to a constant: corrected, or fast.

`hamiltonian_chains` refuses moves so that the law is exact for any step. `langevin_chains` refuses none, and may follow
the gradient on parts of the energy [WellingTeh2011]: with potential U(z) = |z|^2 / 2 + sharpness energy(z),

    ``z' = z - (step / 2) g + sqrt(step) N(0, I)``,        ``E g = grad U(z)``.

Its law is another one. For a Gaussian target, a direction of precision a, and g of variance c around the gradient, the
stationary variance is the solution v of ``v = (1 - step a / 2)^2 v + step + step^2 c / 4``,

    ``v = (1 / a) (1 + step c / 4) / (1 - step a / 4)``,

too large by ``1 / (1 - step a / 4)`` even for the full gradient, and infinite from a = 4 / step on.

Both report z . grad U / d, whose mean is 1 under the law that is wanted (integrate by parts) whatever U is; under
Langevin steps with the full gradient, for a Gaussian target, it is the average of ``1 / (1 - step a / 4)``.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genbounds.models.progress import track
from genbounds.numerics.checks import count, positive
from genbounds.rare_events.markov_chains.hamiltonian import Energy, evaluate, transition

__all__ = ["ChainRun", "hamiltonian_chains", "langevin_chains"]

#: Acceptance that the step is adapted to.
_TARGET = 0.8
#: Dual averaging as in [HoffmanGelman2014]: pull towards the start, early weight and decay of the average.
_PULL, _DELAY, _DECAY = 0.05, 10.0, 0.75


@dataclass(frozen=True)
class ChainRun:
    """What was seen along chains, after the warm-up.

    Parameters
    ----------
    observed : ndarray, shape (chains, draws, k)
        Values of the k functions.
    equipartition : ndarray, shape (chains, draws)
        z . g / d at each draw.
    acceptance : ndarray, shape (chains,)
        Average probability with which moves were accepted; 1 without correction.
    step : float
        Of every move after the warm-up.
    """

    observed: NDArray[np.float64]
    equipartition: NDArray[np.float64]
    acceptance: NDArray[np.float64]
    step: float


def hamiltonian_chains(
    energy: Energy,
    sharpness: float,
    observe: Sequence[Energy],
    start: Tensor,
    *,
    draws: int,
    warm_up: int,
    leapfrog: int,
    generator: torch.Generator,
    progress: bool = False,
) -> ChainRun:
    """Run chains with Metropolis correction; the step is adapted by dual averaging in the warm-up, then kept.

    Parameters
    ----------
    energy : callable
        Takes (B, d), returns (B,), differentiable.
    sharpness : float
        What it is multiplied with, >= 0.
    observe : sequence of callable
        Functions of the same kind to record; they need no gradient.
    start : Tensor, shape (B, d)
        Where chains begin, such as draws from N(0, I).
    draws : int
        Moves that are recorded, >= 1.
    warm_up : int
        Moves before those, >= 1.
    leapfrog : int
        Largest number of gradients in a move; it is drawn anew for each.
    generator : torch.Generator
        Source of randomness, on the device of the start.
    progress : bool
        Show a bar on a terminal.

    Returns
    -------
    ChainRun
        The record.

    Raises
    ------
    ValueError
        If a number is out of range.
    """
    kept, thrown, steps = int(count("draws", draws)), int(count("warm_up", warm_up)), int(count("leapfrog", leapfrog))
    cold = torch.tensor([sharpness], dtype=torch.float64, device=start.device)
    record = _Recorder(observe)
    points = evaluate([energy], start)
    first = log_step = math.log(0.1)
    short, average = 0.0, 0.0
    accepted = []
    for number in track(range(1, thrown + kept + 1), "Hamiltonian chains", total=thrown + kept, progress=progress):
        points, chance = transition(points, [energy], cold, math.exp(log_step), steps, generator)
        if number <= thrown:
            weight = 1.0 / (number + _DELAY)
            short += weight * (_TARGET - float(chance.mean()) - short)
            # An angle of pi / 2 already forgets the position.
            log_step = min(math.log(10.0) + first - math.sqrt(number) / _PULL * short, math.log(math.pi / 2))
            average += number**-_DECAY * (log_step - average)
            if number == thrown:
                log_step = average
        else:
            accepted.append(chance)
            record(points.z, points.z + sharpness * points.slopes[0])
    return record.run(torch.stack(accepted).mean(0).cpu().numpy(), math.exp(log_step))


def langevin_chains(
    parts: Sequence[Energy],
    sharpness: float,
    observe: Sequence[Energy],
    start: Tensor,
    *,
    step: float,
    draws: int,
    warm_up: int,
    thin: int,
    generator: torch.Generator,
    progress: bool = False,
) -> ChainRun:
    """Run chains of Langevin steps without correction, each along the gradient of one part of the energy at random.

    Parameters
    ----------
    parts : sequence of callable
        Functions of (B, d) to (B,), differentiable, whose average is the energy; one for the full gradient.
    sharpness : float
        What the energy is multiplied with, >= 0.
    observe : sequence of callable
        Functions of the same kind to record; they need no gradient.
    start : Tensor, shape (B, d)
        Where chains begin.
    step : float
        Positive.
    draws : int
        Draws that are recorded, >= 1.
    warm_up : int
        Draws before those, >= 0.
    thin : int
        Steps from one draw to the next, >= 1.
    generator : torch.Generator
        Source of randomness, on the device of the start.
    progress : bool
        Show a bar on a terminal.

    Returns
    -------
    ChainRun
        The record.

    Raises
    ------
    ValueError
        If a number is out of range, or a chain left for infinity.
    """
    kept, thrown = int(count("draws", draws)), int(count("warm_up", warm_up, 0))
    between, size = int(count("thin", thin)), float(positive("step", step))
    record, z = _Recorder(observe), start
    for number in track(range(thrown + kept), "Langevin chains", total=thrown + kept, progress=progress):
        for _ in range(between):
            # Each chain takes a part of its own, or they would share its noise.
            pick = torch.randint(len(parts), (len(z),), generator=generator, device=z.device)
            slope = torch.empty_like(z)
            for part in pick.unique().tolist():
                slope[pick == part] = evaluate([parts[part]], z[pick == part]).slopes[0]
            slope = z + sharpness * slope
            before = z
            noise = torch.randn(z.shape, generator=generator, device=z.device, dtype=z.dtype)
            z = z - size / 2 * slope + math.sqrt(size) * noise
        if not z.isfinite().all():
            raise ValueError(
                f"step must be below 4 / the largest curvature, got {size:g} in units of N(0, I): a chain left for "
                f"infinity at draw {number}. Take a smaller step."
            )
        if number >= thrown:
            record(before, slope)
    return record.run(np.ones(len(start)), size)


class _Recorder:
    """Keeps numbers of each draw, not the draws."""

    def __init__(self, observe: Sequence[Energy]) -> None:
        self._observe = observe
        self._values: list[Tensor] = []
        self._equipartition: list[Tensor] = []

    def __call__(self, z: Tensor, slope: Tensor) -> None:
        with torch.no_grad():
            self._values.append(torch.stack([function(z).double().cpu() for function in self._observe], dim=1))
        self._equipartition.append((z.double() * slope.double()).mean(1).cpu())

    def run(self, acceptance: NDArray[np.float64], step: float) -> ChainRun:
        observed = torch.stack(self._values, dim=1).numpy()
        return ChainRun(observed, torch.stack(self._equipartition, dim=1).numpy(), acceptance, step)
