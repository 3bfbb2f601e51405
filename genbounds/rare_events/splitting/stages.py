"""One run of multilevel splitting: chains that are driven, threshold by threshold, to where a loss is small."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genbounds.rare_events.splitting.moves import Shape

__all__ = ["LatentLoss", "Pool", "Rung", "Splitting", "Stage"]

#: Latent points (chains, d) to one loss each, (chains,).
LatentLoss = Callable[[Tensor], Tensor]

#: Share of proposals that the step is steered to.
_ACCEPTANCE = 0.35


@dataclass(frozen=True)
class Pool:
    """All states that the chains went through in one stage.

    Parameters
    ----------
    states : Tensor, shape (moves, chains, d)
        The states.
    values : Tensor, shape (moves, chains)
        Their losses, float64.
    """

    states: Tensor
    values: Tensor


@dataclass(frozen=True)
class Rung:
    """One step of a ladder: the set {loss < threshold}, and how chains move within it.

    Parameters
    ----------
    threshold : float
        Infinity: the set is the one that the loss is finite in.
    step, shape : float, Shape
        Of the moves.
    """

    threshold: float
    step: float
    shape: Shape


@dataclass(frozen=True)
class Stage:
    """How the chains did in one stage.

    Parameters
    ----------
    survivors : int
        States of the stage before that lay below the threshold.
    acceptance : float
        Share of proposals that stayed within the set.
    memory : float
        Correlation between the first and the last state of a chain, over all coordinates: 0 for independent draws, 1
        for chains that do not move.
    """

    survivors: int
    acceptance: float
    memory: float


class Splitting:
    """Chains of one run, with the generator they draw from.

    Parameters
    ----------
    dimension : int
        d; latent points have the law N(0, I_d).
    chains, moves : int
        M and P; a stage has N = M P states, each of which counts.
    share : float
        Share of the states that an adaptive threshold keeps.
    generator : torch.Generator
        Stream of the run; its device is where all is done.
    dtype : torch.dtype
        Of the latent points.
    shaped : bool
        Whether moves take the shape of the stage's own survivors: for a pilot run only, whose counts are thrown away.

    Attributes
    ----------
    prior : Rung
        No threshold at all, and moves that are fresh draws.
    evaluations : int
        Points at which a loss was evaluated so far.
    stages : list of Stage
        How the stages went.
    """

    def __init__(
        self,
        dimension: int,
        *,
        chains: int,
        moves: int,
        share: float,
        generator: torch.Generator,
        dtype: torch.dtype,
        shaped: bool,
    ) -> None:
        self._dimension, self._chains, self._moves, self._share = dimension, chains, moves, share
        self._generator, self._dtype, self._shaped = generator, dtype, shaped
        self._step = 1.0
        self.prior = Rung(math.inf, 1.0, Shape(torch.ones(dimension, device=generator.device, dtype=dtype)))
        self.evaluations = 0
        self.stages: list[Stage] = []

    def draw(self, loss: LatentLoss) -> Pool:
        """Return independent draws from the prior."""
        states = [self._noise() for _ in range(self._moves)]
        return Pool(torch.stack(states), torch.stack([self._evaluate(loss, x) for x in states]))

    def enter(
        self, loss: LatentLoss, pool: Pool, inside: Tensor, threshold: float, rung: Rung | None = None
    ) -> tuple[Pool, Rung]:
        """Start from states of a pool and move within {loss < threshold}.

        Parameters
        ----------
        loss : callable
            What the set is about. Below an infinite threshold it is a new one, and is evaluated at the ancestors.
        pool : Pool
            The stage before.
        inside : Tensor of bool, shape (moves, chains)
            Its states that lie in the set; at least one.
        threshold : float
            Of the set.
        rung : Rung, optional
            Step and shape, fixed without this run; by default the step is steered from move to move.

        Returns
        -------
        pool : Pool
            The states after each move.
        rung : Rung
            With the step of the last move.
        """
        chosen = self._ancestors(inside)
        x, values = pool.states.flatten(0, 1)[chosen], pool.values.flatten()[chosen]
        if math.isinf(threshold):
            values = self._evaluate(loss, x)
        shape = rung.shape if rung else self._shape(pool.states[inside])
        first, step = x, rung.step if rung else self._step
        states, losses, accepted = [], [], 0.0
        for _ in range(self._moves):
            proposal = shape.move(x, self._noise(), step)
            at_proposal = self._evaluate(loss, proposal)
            stays = at_proposal < threshold
            x, values = torch.where(stays[:, None], proposal, x), torch.where(stays, at_proposal, values)
            states.append(x)
            losses.append(values)
            share = float(stays.double().mean())
            accepted += share / self._moves
            if not rung:
                step = min(shape.longest, step * math.exp(share - _ACCEPTANCE))
        self._step = step
        self.stages.append(Stage(int(inside.sum()), accepted, _memory(first, x)))
        return Pool(torch.stack(states), torch.stack(losses)), Rung(threshold, step, shape)

    def descend(
        self,
        loss: LatentLoss,
        pool: Pool,
        levels: NDArray[np.float64],
        deepest: float,
        ladder: Sequence[Rung] | None = None,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], Pool, list[Rung]]:
        """Follow a loss down to the lowest of `levels`.

        Each level is read off in the stage whose own threshold lies above it and the next one's does not.

        Parameters
        ----------
        loss : callable
            The loss.
        pool : Pool
            States of the set to start from, with their losses.
        levels : ndarray, shape (k,)
            Levels, increasing.
        deepest : float
            Information in nats below which no further threshold is set.
        ladder : sequence of Rung, optional
            Thresholds and moves, fixed without this run; by default they are chosen on the way.

        Returns
        -------
        log_shares : ndarray, shape (k,)
            ln of the estimated share of the first set that is at or below each level; -inf where no state of the last
            stage is.
        variances : ndarray, shape (k,)
            Their variances, as far as correlations within stages explain them.
        pool : Pool
            The last stage.
        rungs : list of Rung
            Thresholds and moves of this run.
        """
        log_shares, variances = np.full(len(levels), -math.inf), np.full(len(levels), math.inf)
        waiting, mass, variance = len(levels), 0.0, 0.0
        rungs: list[Rung] = []
        while True:
            rung = ladder[len(rungs)] if ladder and len(rungs) < len(ladder) else None
            if ladder is None and mass > -deepest:
                threshold = next_threshold(pool.values, self._share)
            else:
                threshold = rung.threshold if rung else -math.inf
            while waiting and levels[waiting - 1] >= threshold:
                waiting -= 1
                share, spread = _share(pool.values <= levels[waiting])
                if share:
                    log_shares[waiting], variances[waiting] = mass + math.log(share), variance + spread
            inside = pool.values < threshold
            share, spread = _share(inside)
            if not waiting or not share:
                return log_shares, variances, pool, rungs
            mass, variance = mass + math.log(share), variance + spread
            pool, used = self.enter(loss, pool, inside, threshold, rung)
            rungs.append(used)

    def _shape(self, survivors: Tensor) -> Shape:
        return Shape.of_states(survivors) if self._shaped else self.prior.shape

    def _noise(self) -> Tensor:
        shape, device = (self._chains, self._dimension), self._generator.device
        return torch.randn(shape, generator=self._generator, device=device, dtype=self._dtype)

    def _evaluate(self, loss: LatentLoss, x: Tensor) -> Tensor:
        values = loss(x)
        if not isinstance(values, Tensor) or values.shape != (len(x),):
            got = f"shape {tuple(values.shape)}" if isinstance(values, Tensor) else f"a {type(values).__name__}"
            raise ValueError(
                f"loss must return a tensor with one value for each latent point, got {got} for {len(x)} points. "
                "Average over examples, not over points."
            )
        self.evaluations += len(x)
        values = values.detach().double()
        if values.isnan().any():
            raise ValueError(
                f"loss must be a number, got NaN at {int(values.isnan().sum())} of {len(x)} latent points. Use a wider "
                "dtype, or return infinity where the loss is not defined."
            )
        return values

    def _ancestors(self, inside: Tensor) -> Tensor:
        """Choose one ancestor for each chain: all survivors equally often, but for a remainder drawn at random."""
        survivors = inside.flatten().nonzero()[:, 0]
        order = torch.randperm(len(survivors), generator=self._generator, device=survivors.device)
        return survivors[order].repeat(-(-self._chains // len(survivors)))[: self._chains]


def next_threshold(values: Tensor, share: float) -> float:
    """Return the threshold T that leaves about a `share` of the values strictly below it.

    Without ties these are K = share * N values, and T is the next one: given T they are independent draws from what
    lies below it wherever the values are independent, which a threshold at the K-th value itself would spoil. With ties
    the attained value whose share is nearest to that, on a logarithmic scale.

    Parameters
    ----------
    values : Tensor
        Losses of a stage.
    share : float
        Wanted share, in (0, 1).

    Returns
    -------
    float
        An attained value above the smallest one; -inf if all are equal.
    """
    ordered = values.flatten().sort().values
    wanted = min(max(1, round(share * len(ordered))), len(ordered) - 1)
    tied = ordered[wanted]
    below, upto = int((ordered < tied).sum()), int((ordered <= tied).sum())
    if upto < len(ordered) and upto * below < wanted**2:
        return float(ordered[upto])
    return float(tied) if below else -math.inf


def _share(inside: Tensor) -> tuple[float, float]:
    # The share of states inside, and its squared relative error by the spread over chains, which count as independent.
    # Where all are inside the spread shows nothing: take at least that of independent states, with one more each side.
    by_chain = inside.double().mean(dim=0)
    share, number = float(by_chain.mean()), inside.numel()
    if not share:
        return 0.0, math.inf
    smoothed = (share * number + 1) / (number + 2)
    least = (1 - smoothed) / (smoothed * number)
    return share, max(float(by_chain.var()) / (len(by_chain) * share**2), least)


def _memory(first: Tensor, last: Tensor) -> float:
    """Return the correlation of the chains' first and last states, from their distance and their spread."""
    spread = float((first.double().var(dim=0) + last.double().var(dim=0)).sum())
    moved = float((last.double() - first.double()).square().sum(dim=1).mean())
    return 1 - moved / spread if spread else 1.0
