"""Populations of chains that are led from N(0, I) to small energies, by temperatures that a pilot has chosen."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genbounds.models.progress import track
from genbounds.rare_events.markov_chains.hamiltonian import Energy, Points, evaluate, transition
from genbounds.rare_events.tempering.rung_weights import rung_weights

__all__ = ["ACCEPTED", "Populations", "Schedule", "Task"]

#: Share of moves accepted that the pilot steers to, and of its chains within a criterion that it drives no further.
ACCEPTED, _WITHIN = 0.8, 0.75


@dataclass(frozen=True)
class Task:
    """What is asked.

    Parameters
    ----------
    energies : tuple of callable
        What drives the chains: that of the condition first, if there is one.
    losses : tuple of callable
        What each of them stands for; the same object where the loss is its own energy.
    limit : float
        Level of the condition.
    levels : ndarray, shape (k,)
        Levels of the last loss, increasing.
    """

    energies: tuple[Energy, ...]
    losses: tuple[Energy, ...]
    limit: float
    levels: NDArray[np.float64]


@dataclass(frozen=True)
class Rung:
    """A temperature.

    Parameters
    ----------
    coldness : Tensor, shape (m,)
        Inverse temperatures of the first m energies, the others being at 0.
    step : float
        Angle of a step at it.
    """

    coldness: Tensor
    step: float


@dataclass(frozen=True)
class Schedule:
    """What a pilot fixes for the runs.

    Parameters
    ----------
    rungs : list of Rung
        The path, from inverse temperatures 0.
    weights : ndarray, shape (criteria, rungs)
        With what weight the estimate at each rung enters that of each criterion; rows sum to 1.
    reached : bool
        Whether three in four of the pilot's chains came to the lowest level.
    acceptance : float
        Share of the pilot's moves that were accepted.
    """

    rungs: list[Rung]
    weights: NDArray[np.float64]
    reached: bool
    acceptance: float


class Populations:
    """Independent populations of chains, evaluated together.

    Parameters
    ----------
    task : Task
        What is asked. Its criteria are the condition, if there is one, and each level (with the condition).
    dimension : int
        d.
    runs, chains : int
        Number of populations, and of chains in each.
    leapfrog : int
        Most gradients for a move.
    device, dtype : torch.device, torch.dtype
        Of the chains.
    progress : bool
        Whether to draw a bar.

    Attributes
    ----------
    evaluations : int
        Points at which a loss or an energy was evaluated so far.
    """

    def __init__(
        self,
        task: Task,
        dimension: int,
        runs: int,
        chains: int,
        leapfrog: int,
        device: torch.device,
        dtype: torch.dtype,
        progress: bool,
    ) -> None:
        self._shape, self._dimension, self._leapfrog = (runs, chains), dimension, leapfrog
        self._device, self._dtype, self._progress = device, dtype, progress
        self.evaluations = 0
        self._limit, self._levels = task.limit, torch.as_tensor(task.levels, device=device)[:, None]
        self._energies = [self._counted(energy) for energy in task.energies]
        self._losses = [self._counted(loss) for loss in task.losses]
        self._own = [loss is energy for loss, energy in zip(task.losses, task.energies, strict=True)]

    def pilot(self, generator: torch.Generator, overlap: float, temperatures: int) -> Schedule:
        """Choose temperatures and steps with chains of its own, and see where each criterion is estimated best.

        Parameters
        ----------
        generator : torch.Generator
            Its stream.
        overlap : float
            Share of the chains that stay effective from one temperature to the next.
        temperatures : int
            How many there may be.

        Returns
        -------
        Schedule
            The choice.
        """
        points, coldness = self._start(generator), torch.zeros(1, dtype=torch.float64, device=self._device)
        largest = step = math.pi / self._leapfrog
        rungs, accepted, mass = [Rung(coldness, step)], [], 0.0
        seen = [self._seen(points)]
        masses = [mass]
        for _ in track(range(temperatures), "annealing, pilot", total=temperatures, progress=self._progress):
            raised = self._missed(seen[-1][1])
            if raised is None:
                break
            if raised == len(coldness):
                points = evaluate(self._energies, points.z)
                coldness = torch.cat([coldness, torch.zeros_like(coldness)])
            rise = _rise(points.energies[raised], overlap)
            if rise is None:
                break
            coldness = coldness.clone()
            coldness[raised] += rise
            logs = -rise * points.energies[raised][None]
            mass += float(torch.logsumexp(logs, 1)) - math.log(logs.shape[1])
            points = points.take(_offspring(logs, generator)[0])
            for _ in range(20):
                points, chance = self._move(points, Rung(coldness, step), generator)
                share = float(chance.mean())
                if share > ACCEPTED / 2:
                    break
                step /= 2
            rungs.append(Rung(coldness, step))
            seen.append(self._seen(points))
            masses.append(mass)
            accepted.append(share)
            step = min(largest, step * math.exp(share - ACCEPTED))
        both = len(self._energies)
        path = np.array([np.append(rung.coldness.cpu().numpy(), np.zeros(both))[:both] for rung in rungs])
        energies, met = np.array([one for one, _ in seen]), np.array([one for _, one in seen])
        weights = rung_weights(path, energies, met, np.array(masses))
        if both > 1:
            # The condition alone: before the second energy draws chains from where that is infinite, say.
            alone = int((path[:, 1] == 0).sum())
            weights[0] = 0.0
            weights[0, :alone] = rung_weights(path[:alone], energies[:alone], met[:alone, :1], np.array(masses[:alone]))
        reached = self._missed(seen[-1][1]) is None
        return Schedule(rungs, weights, reached, float(np.mean(accepted or [1.0])))

    def anneal(self, generator: torch.Generator, schedule: Schedule) -> NDArray[np.float64]:
        """Lead the populations down a schedule.

        Parameters
        ----------
        generator : torch.Generator
            Their stream, which is not the pilot's.
        schedule : Schedule
            Of a pilot.

        Returns
        -------
        ndarray, shape (runs, criteria)
            ln of each population's estimate of the probability that each criterion is met; -inf where it is zero.
        """
        points, before = self._start(generator), schedule.rungs[0].coldness
        logs = torch.zeros(self._shape, dtype=torch.float64, device=self._device)
        total = torch.full((len(schedule.weights), len(logs)), -math.inf, dtype=torch.float64, device=self._device)
        rungs = track(enumerate(schedule.rungs), "annealing", total=len(schedule.rungs), progress=self._progress)
        for number, rung in rungs:
            if number:
                if len(rung.coldness) > len(before):
                    points = evaluate(self._energies, points.z)
                    before = torch.cat([before, torch.zeros_like(before)])
                logs = logs - _product(rung.coldness - before, points.energies).reshape(self._shape)
                logs, points = _resampled(logs, points, generator)
                points, _ = self._move(points, rung, generator)
                before = rung.coldness
            weights = torch.as_tensor(schedule.weights[:, number], device=self._device)
            if weights.any():
                tilt = _tilt(rung.coldness, points, self._criteria(points)).reshape(len(weights), *self._shape)
                mean = torch.logsumexp(logs + tilt, dim=2) - math.log(self._shape[1])
                term = torch.where(weights[:, None] > 0, mean + weights.log()[:, None], -math.inf)
                total = torch.logaddexp(total, term)
        return np.asarray(total.T.cpu().numpy())

    def _counted(self, function: Energy) -> Energy:
        def counted(z: Tensor) -> Tensor:
            self.evaluations += len(z)
            return function(z)

        return counted

    def _start(self, generator: torch.Generator) -> Points:
        shape = self._shape[0] * self._shape[1], self._dimension
        points = evaluate(
            self._energies[:1], torch.randn(shape, generator=generator, device=self._device, dtype=self._dtype)
        )
        if points.energies.isnan().any():
            raise ValueError("energy must be a number or infinity, got NaN at a draw from N(0, I). Take a wider dtype.")
        return points

    def _move(self, points: Points, rung: Rung, generator: torch.Generator) -> tuple[Points, Tensor]:
        energies = self._energies[: len(rung.coldness)]
        return transition(points, energies, rung.coldness, rung.step, self._leapfrog, generator)

    def _seen(self, points: Points) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Return all energies of the chains, (m, B), in use or not, and which criteria they meet, (criteria, B)."""
        with torch.no_grad():
            further = [energy(points.z).double() for energy in self._energies[len(points.energies) :]]
        energies = torch.cat([points.energies, *(one[None] for one in further)])
        return energies.cpu().numpy(), self._criteria(points).cpu().numpy()

    def _missed(self, met: NDArray[np.bool_]) -> int | None:
        """Return which energy has to be lowered: the condition's first, then that of the lowest level within it."""
        share = met.mean(axis=1)
        return next((number for number in range(len(self._energies)) if share[number] < _WITHIN), None)

    def _criteria(self, points: Points) -> Tensor:
        """Return which chains meet each criterion, of shape (criteria, B)."""
        values = []
        for number, loss in enumerate(self._losses):
            if self._own[number] and number < len(points.energies):
                values.append(points.energies[number])
                continue
            with torch.no_grad():
                value = loss(points.z)
            if value.shape != points.z.shape[:1] or value.isnan().any():
                raise ValueError(
                    f"loss must be a number or infinity for each of {len(points.z)} latent points, got shape "
                    f"{tuple(value.shape)} or NaN. Average over examples, not over points, in a wider dtype."
                )
            values.append(value.double())
        met = values[-1] <= self._levels
        if len(values) > 1:
            within = (values[0] <= self._limit)[None]
            met = torch.cat([within, met & within])
        if (met[-len(self._levels) :] & points.energies.isinf().any(0)).any() or (
            met[0] & points.energies[0].isinf()
        ).any():
            raise ValueError(
                "energy must be finite where the loss is at or below a level, got infinity, from where no chain would "
                "come back. Use a wider dtype, or an energy that follows the loss."
            )
        return met


def _product(coldness: Tensor, energies: Tensor) -> Tensor:
    """Return b . U, where an energy whose b is 0 counts nothing even if it is infinite."""
    return torch.where(coldness[:, None] > 0, coldness[:, None] * energies, 0.0).sum(0)


def _tilt(coldness: Tensor, points: Points, met: Tensor) -> Tensor:
    """Return ln of exp(b . U) where a criterion is met, of 0 elsewhere: what turns weights at b back into N(0, I)."""
    return torch.where(met, _product(coldness, points.energies), -math.inf)


def _effective(logs: Tensor) -> NDArray[np.float64]:
    """Return (sum w)^2 / sum w^2 along the last axis; 0 if all are 0."""
    ratio = 2 * torch.logsumexp(logs, -1) - torch.logsumexp(2 * logs, -1)
    return np.asarray(ratio.exp().nan_to_num(0.0).cpu().numpy())


def _rise(energy: Tensor, overlap: float) -> float | None:
    """Return by how much an inverse temperature may rise while a share of the chains stays effective."""
    above = energy.cpu() - float(energy.min())
    spread = float(above.nan_to_num(0.0, posinf=0.0).max())  # NaN: all infinite
    if not spread:
        return None
    # At the low end all chains of finite energy are effective, at the high end only the lowest, with its ties.
    low, high = math.log(1e-12 / spread), math.log(1e6 / spread)
    for _ in range(60):
        middle = (low + high) / 2
        enough = float(_effective(-math.exp(middle) * above)) > overlap * len(above)
        low, high = (middle, high) if enough else (low, middle)
    return math.exp(low)


def _resampled(logs: Tensor, points: Points, generator: torch.Generator) -> tuple[Tensor, Points]:
    """Resample the populations of which less than half is effective."""
    runs, chains = logs.shape
    few = torch.as_tensor(_effective(logs) < chains / 2, device=logs.device) & logs.isfinite().any(1)
    if not few.any():
        return logs, points
    numbers = torch.arange(chains, device=logs.device)
    chosen = torch.where(few[:, None], _offspring(logs, generator), numbers)
    first = chains * torch.arange(runs, device=logs.device)[:, None]
    mean = torch.logsumexp(logs, 1, keepdim=True) - math.log(chains)
    return torch.where(few[:, None], mean, logs), points.take((first + chosen).flatten())


def _offspring(logs: Tensor, generator: torch.Generator) -> Tensor:
    """Choose ancestors in each row with probability proportional to their weights, by systematic resampling."""
    runs, chains = logs.shape
    edges = torch.softmax(logs, dim=1).cumsum(1)
    shift = torch.rand(runs, 1, generator=generator, device=logs.device, dtype=torch.float64)
    places = (torch.arange(chains, device=logs.device) + shift) / chains * edges[:, -1:]
    return torch.searchsorted(edges, places, right=True).clamp(max=chains - 1)
