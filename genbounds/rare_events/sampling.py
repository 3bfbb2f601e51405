"""One call for the probability of a small loss: two samplers that fail in different ways, and whether they agree."""

from collections.abc import Mapping
from typing import Any, cast

import torch
from numpy.typing import ArrayLike

from genbounds.rare_events.agreement import Agreement, ConditionalAgreement, agreement, conditional_agreement
from genbounds.rare_events.curves import ConditionalTail, TailCurve
from genbounds.rare_events.markov_chains.hamiltonian import Energy
from genbounds.rare_events.splitting.subset_simulation import subset_simulation
from genbounds.rare_events.tempering.annealed_importance import annealed_importance

__all__ = ["sampled_tail"]


def sampled_tail(
    loss: Energy,
    dimension: int,
    levels: ArrayLike,
    *,
    energy: Energy | None = None,
    condition: tuple[Energy, float] | None = None,
    condition_energy: Energy | None = None,
    annealing: Mapping[str, Any] | None = None,
    subset: Mapping[str, Any] | None = None,
    confidence: float = 0.95,
    seed: int = 0,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float64,
    progress: bool = False,
) -> Agreement | ConditionalAgreement:
    """Estimate the information -ln P(loss <= level) by annealing and by subset simulation, and compare.

    Parameters
    ----------
    loss : callable
        ``loss(z)``: latent points (chains, d) to one loss each, (chains,).
    dimension : int
        d; z ~ N(0, I_d).
    levels : array_like, shape (k,)
        Levels of the loss, finite and increasing.
    energy : callable, optional
        What drives annealing, differentiable; by default the loss. Subset simulation is driven by the loss itself.
    condition : (callable, float), optional
        Another loss, of the same z, and a level for it: asked is then what the levels take beyond that condition.
    condition_energy : callable, optional
        What drives annealing towards the condition; by default its loss.
    annealing, subset : mapping, optional
        Further settings of `annealed_importance` and of `subset_simulation`.
    confidence : float
        Of the intervals, in (0, 1).
    seed : int
        Of both samplers, whose streams are independent.
    device, dtype : torch.device or str, torch.dtype
        Where and in what type latent points are made.
    progress : bool
        Show bars on a terminal.

    Returns
    -------
    Agreement or ConditionalAgreement
        Annealing first, subset simulation second, and what they say together; look at `flag` before quoting a value.

    Examples
    --------
    A half-space, P(-z <= -9) = Phi(-9), 43.63 nats:

    >>> both = sampled_tail(lambda z: -z[:, 0], 3, [-9.0, -4.0], annealing={"overlap": 0.9})
    >>> both.flag, bool(both.combined.low[0] < 43.63 < both.combined.high[0])
    (False, True)
    """
    shared: dict[str, Any] = {
        "condition": condition,
        "confidence": confidence,
        "seed": seed,
        "device": device,
        "dtype": dtype,
        "progress": progress,
    }
    gradients = {"energy": energy, "condition_energy": condition_energy, **(annealing or {})}
    first = annealed_importance(loss, dimension, levels, **gradients, **shared)
    second = subset_simulation(loss, dimension, levels, **(subset or {}), **shared)
    if condition is None:
        return agreement(cast(TailCurve, first), cast(TailCurve, second))
    return conditional_agreement(cast(ConditionalTail, first), cast(ConditionalTail, second))
