r"""Annealed importance sampling of the probability that a loss is small: unbiased, with gradients.

The path goes from N(0, I) to laws pi_t proportional to ``N(0, I) exp(-b_t . U)``, U the energies, with inverse
temperatures b_0 = 0, b_1, ..., b_T [Neal2001]_. A run is a population of N chains that starts from independent draws.
Step t multiplies chain i's weight by ``exp(-(b_t - b_{t-1}) . U(z_i))``, where the population may then be resampled
[DelMoralEtAl2006]_, and moves z_i by a transition K_t that leaves pi_t invariant
(`genbounds.rare_events.markov_chains.hamiltonian`). With

    ``X_t(f) = (1 / N) sum_i w_i f(z_i)``        after step t,

and F the past before it, ``E[X_t(f) | F] = X_{t-1}(Q_t f)``, ``(Q_t f)(z) = exp(-(b_t - b_{t-1}) . U(z)) (K_t f)(z)``:
resampling gives chain i on average ``w_i N / sum w`` descendants of weight ``sum w / N`` each, whenever the past calls
for it. Let ``g_t = N(0, I) exp(-b_t . U)``, not normalised. As K_t leaves it invariant, the integral of
``g_{t-1} Q_t f`` is that of ``g_t f``. By induction ``E X_t(f)`` is the integral of ``g_t f``, and with
``f = exp(b_t . U) 1{loss <= level}``

    ``E X_t(f) = P(loss <= level)``        exactly, for every t, N and however badly the chains mix,

and so for every average over t with fixed weights. What is adapted would break this if it looked at the chains that are
reported: temperatures, steps and the weights of the average come from a pilot on a stream of its own. Before the
logarithm the estimate is unbiased and not negative, so Markov's inequality makes an upper limit of the information of
it, at any number of chains (`TailCurve.upper_limit`). An estimate above 1 is reported as 1, which is on the safe side.

The error comes from the spread over independent runs (`genbounds.rare_events.averages.independent_runs`). A region that
all of them miss shows in neither: too much information, in a short interval, is how annealing fails.
"""

import math

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from genbounds.models.randomness import stream
from genbounds.numerics.checks import confidence as inside_unit
from genbounds.numerics.checks import count, finite
from genbounds.rare_events.averages.independent_runs import Account, conditional_from_runs, curve_from_runs
from genbounds.rare_events.curves import ConditionalTail, TailCurve
from genbounds.rare_events.markov_chains.hamiltonian import Energy
from genbounds.rare_events.tempering.populations import ACCEPTED, Populations, Schedule, Task

__all__ = ["annealed_importance"]


def annealed_importance(
    loss: Energy,
    dimension: int,
    levels: ArrayLike,
    *,
    energy: Energy | None = None,
    condition: tuple[Energy, float] | None = None,
    condition_energy: Energy | None = None,
    chains: int = 32,
    runs: int = 8,
    leapfrog: int = 32,
    overlap: float = 0.98,
    temperatures: int = 3000,
    confidence: float = 0.95,
    seed: int = 0,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float64,
    progress: bool = False,
) -> TailCurve | ConditionalTail:
    """Estimate the information -ln P(loss <= level) of a loss of Gaussian latent variables by annealing.

    Parameters
    ----------
    loss : callable
        ``loss(z)``: latent points (chains, d) to one loss each, (chains,).
    dimension : int
        d; z ~ N(0, I_d).
    levels : array_like, shape (k,)
        Levels of the loss, finite and increasing.
    energy : callable, optional
        What drives the chains, of the same form as the loss and differentiable; by default the loss. For a 0-1 loss a
        smooth relative of it, such as the cross-entropy.
    condition : (callable, float), optional
        Another loss, of the same z, and a level for it: asked is then what the levels take beyond that condition.
    condition_energy : callable, optional
        What drives the chains towards the condition; by default its loss.
    chains : int
        Chains in each run, N >= 2. All runs, and the pilot, move together: losses are called with chains * runs points.
    runs : int
        Independent runs, >= 2.
    leapfrog : int
        Gradients for a move, at most: a number from 1 to this one is drawn for each.
    overlap : float
        Share of the chains that stay effective from one temperature to the next, in (0, 1): nearer to 1 there are more
        temperatures.
    temperatures : int
        How many there may be. What the pilot cannot reach by them is not resolved.
    confidence : float
        Of the intervals, in (0, 1).
    seed : int
        Seed of all runs.
    device, dtype : torch.device or str, torch.dtype
        Where and in what type latent points are made; weights are float64.
    progress : bool
        Show a bar over temperatures on a terminal.

    Returns
    -------
    TailCurve or ConditionalTail
        Information in nats, with the interval by the spread of the runs. A level that no run attained is not resolved:
        NaN, with the interval from what the last attained level shows to infinity. Condition and joint are unbiased
        before the logarithm, what lies between them is not.

    Raises
    ------
    ValueError
        If an argument is out of range, a loss is NaN or of another shape, or an energy has no gradient.

    Notes
    -----
    There are about ``L / sqrt(1 / overlap - 1)`` temperatures, L the thermodynamic length of the path, which for a
    mean of d squares is ``sqrt(d / 2)`` times the logarithm of the last inverse temperature. Each costs about
    ``leapfrog / 2`` gradients for each chain, twice with the pilot.

    Examples
    --------
    The mean of ten squares of standard normals, of which P(mean <= 0.01) is exp(-19.81):

    >>> curve = annealed_importance(lambda z: (z**2).mean(1), 10, [0.01, 0.1])
    >>> bool(abs(curve.nats[0] - 19.81) < 3 * curve.standard_error[0] < 1.5)
    True
    """
    wanted = np.atleast_1d(finite("levels", levels, "A level is a threshold of the loss."))
    if wanted.ndim != 1 or not wanted.size or (np.diff(wanted) <= 0).any():
        raise ValueError(f"levels must be a list that increases, got {levels!r}. Sort them, each once.")
    count("dimension", dimension)
    count("chains", chains, 2, "They are weighed against each other.")
    count("runs", runs, 2, "The error is how far independent runs lie apart.")
    count("leapfrog", leapfrog)
    count("temperatures", temperatures)
    inside_unit("confidence", confidence, "It is the confidence of each interval, such as 0.95.")
    inside_unit("overlap", overlap, "It is the share of the chains that a step leaves effective, such as 0.98.")
    drive = loss if energy is None else energy
    if condition is None:
        task = Task((drive,), (loss,), math.inf, wanted)
    else:
        limit = float(finite("condition", condition[1], "Its second part is a level of its loss."))
        first = condition[0] if condition_energy is None else condition_energy
        task = Task((first, drive), (condition[0], loss), limit, wanted)
    populations = Populations(task, dimension, runs, chains, leapfrog, torch.device(device), dtype, progress)
    schedule = populations.pilot(stream(seed, "annealing pilot", device=device), overlap, temperatures)
    logs = populations.anneal(stream(seed, "annealing", device=device), schedule)
    account = Account(
        float(confidence),
        f"annealed importance sampling, {len(schedule.rungs) - 1} temperatures of a pilot, {runs} runs of {chains} "
        f"chains and at most {leapfrog} gradients a move",
        populations.evaluations,
        True,
        _warnings(schedule, logs),
    )
    # Only where all runs say the same, as they do where no chain was above a level: one more chain would have been.
    least = np.full_like(logs, 1 / (chains * (chains + 1)))
    if condition is None:
        return curve_from_runs(wanted, logs, least, account)
    met, both = logs[:, :1], logs[:, 1:]
    # A run without the condition counts as one without the levels: rarely less than the truth, never more on average.
    tails = np.where(np.isfinite(met) & np.isfinite(both), both - np.where(np.isfinite(met), met, 0.0), -math.inf)
    return conditional_from_runs(task.limit, wanted, (met, least[:, :1]), (tails, least[:, 1:]), account)


def _warnings(schedule: Schedule, logs: NDArray[np.float64]) -> tuple[str, ...]:
    """Say what the reader of a curve has to know about the runs behind it."""
    said = []
    if schedule.acceptance < ACCEPTED / 2:
        said.append(
            f"moves are accepted with probability {schedule.acceptance:.2f} on average: chains hardly mix. Take fewer "
            "gradients a move."
        )
    if not schedule.reached:
        said.append(
            f"the pilot did not bring its chains to the lowest level in {len(schedule.rungs) - 1} temperatures. Allow "
            "more, or a lower overlap."
        )
    attained = np.atleast_1d(np.isfinite(logs).all(axis=0))
    if attained.any() and (widest := float(logs[:, attained].std(axis=0, ddof=1).max())) > 1:
        said.append(
            f"runs differ by {widest:.1f} nats (standard deviation): the estimate leans on the best of them, and is "
            "likely too high an information. Take more chains or more overlap."
        )
    if missed := int((~attained).sum()):
        said.append(f"at {missed} of {len(attained)} levels some run saw no loss that small.")
    return tuple(said)
