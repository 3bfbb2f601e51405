r"""Subset simulation: the probability that a loss is small, as a product of shares that are not.

With thresholds T_1 > T_2 > ... P(loss <= e) is the product of the shares P(loss < T_j | loss < T_(j-1)) and of
P(loss <= e | loss < T_J) [AuBeck2001]_. A stage is N = M P states of M chains that move within one of the sets; those
below the next threshold are the ancestors of the next stage's chains. All P states of a chain count, not the last alone
[DauChopin2022]_. Latent points have the law N(0, I), and a chain moves by

    x' = sqrt(1 - b^2) x + b xi,     xi ~ N(0, I),     accepted if x' lies in the set,

which is reversible for the Gaussian and therefore, accepted so, for the Gaussian within the set [CotterEtAl2013]_.

**Fixed thresholds** (the default) come from a pilot run, thrown away but for its thresholds, steps and the shape of
its clouds of states, after which the moves are shaped direction by direction
(`genbounds.rare_events.splitting.moves`): narrow where the set is, wide where it is. Then each run's estimate of the
probability is exactly unbiased, at any number of chains and moves, however badly they mix. Proof. Let A_0 contain A_1
contain ... be the sets, pi_j the prior within A_j, K_j a stage's move, which leaves pi_j as it is, S_j the share of
stage j - 1's states within A_j, and m_j(f) = (1/N) sum_n f(X_j^n) over stage j. Claim: E[S_1 ... S_j m_j(f)] = P(A_j)
pi_j(f) for every bounded f. For j = 0 the states are draws from the prior. Given stage j - 1, each of its states
within A_j has the same expected share of the ancestors, so that

    E[m_j(f) | stage j - 1] = average over its states in A_j of g,        g = (1/P) sum_(p=1..P) K_j^p f,

and S_j times that average is m_(j-1)(1_{A_j} g), also where no state is in A_j and both are zero. By the claim for
j - 1 the expectation is P(A_(j-1)) pi_(j-1)(1_{A_j} g) = P(A_j) pi_j(g) = P(A_j) pi_j(f), the last by invariance. With
f = 1{loss <= e} that is P(loss <= e). Only the *expected* number of offspring enters: multinomial resampling is one
way, and that all survivors have equally many, up to a remainder at random, is another one, with less noise.
Conditioning on the pilot changes nothing. So Markov's inequality turns the estimate into a limit that fails with a
chosen probability at most (`TailCurve.upper_limit`).

**Adaptive thresholds** (``unbiased=False``) are quantiles of each run's own states: there is no pilot, and no run dies
out where a threshold was set too low for it. The estimate of the probability has a bias of order 1/N. Moves keep one
width in all directions there: shaped after the states that they move they would overstate the share of these states.

**The error** comes from independent runs (`genbounds.rare_events.averages.independent_runs`). A run's own theory
[AuBeck2001]_, sum_j (1 - S_j) (1 + gamma_j) / (S_j N) for the variance of the logarithm, with gamma_j from the chains'
correlations, takes stages for independent of each other. Where chains hardly move they are not, and the runs lie
several times farther apart, which a warning says.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from genbounds.models.progress import track
from genbounds.models.randomness import stream
from genbounds.numerics.checks import confidence as inside_unit
from genbounds.numerics.checks import count, finite, positive
from genbounds.rare_events.averages.independent_runs import Account, conditional_from_runs, curve_from_runs
from genbounds.rare_events.curves import ConditionalTail, TailCurve
from genbounds.rare_events.splitting.stages import LatentLoss, Rung, Splitting

__all__ = ["subset_simulation"]

#: A chain that keeps more than this correlation with its start through the median stage hardly moves.
_FROZEN = 0.9
#: Runs that lie so many times farther apart than the stages by themselves explain remember their ancestors.
_APART = 3.0
#: Fewer survivors than this carry a stage badly.
_FEW = 10


@dataclass(frozen=True)
class _Ladder:
    """Thresholds and moves of a run: down to the condition, the first stage within it, and down from there."""

    above: Sequence[Rung] | None = None
    entry: Rung | None = None
    below: Sequence[Rung] | None = None


@dataclass(frozen=True)
class _Run:
    """Logarithms of a run's estimates and their variances, its ladder, and the engine with what it counted."""

    condition: Sequence[NDArray[np.float64]]
    tail: Sequence[NDArray[np.float64]]
    ladder: _Ladder
    engine: Splitting


@torch.no_grad()
def subset_simulation(
    loss: LatentLoss,
    dimension: int,
    levels: ArrayLike,
    *,
    condition: tuple[LatentLoss, float] | None = None,
    unbiased: bool = True,
    chains: int = 100,
    moves: int = 20,
    runs: int = 8,
    share: float = 0.1,
    deepest: float = 1000.0,
    confidence: float = 0.95,
    seed: int = 0,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float64,
    progress: bool = False,
) -> TailCurve | ConditionalTail:
    """Estimate the information -ln P(loss <= level) of a loss of Gaussian latent variables, however rare that is.

    Parameters
    ----------
    loss : callable
        ``loss(z)``: latent points (chains, d) to one loss each, (chains,), in any floating type; no gradient is needed.
        Infinity is allowed, NaN is not.
    dimension : int
        d; z ~ N(0, I_d).
    levels : array_like, shape (k,)
        Levels of the loss, finite and increasing. All are read off the same runs.
    condition : (callable, float), optional
        Another loss, of the same z, and a level for it: chains are driven there first, and the curve is that of `loss`
        within {condition <= level}. `loss` is not evaluated outside of that set.
    unbiased : bool
        Take thresholds and moves from a pilot run, one more run: the estimates of the probability (of the condition and
        of both together, for a condition) are unbiased then. Otherwise each run chooses its thresholds.
    chains : int
        Chains in each run, M >= 2; the loss is called with as many points.
    moves : int
        Moves of a chain in each stage, P. The states of a stage, chains * moves of them, are held in memory. For the
        same number of evaluations fewer and longer chains are better where they mix slowly.
    runs : int
        Independent runs, >= 2.
    share : float
        Share of the states that a threshold keeps, in (0, 1/2].
    deepest : float
        Information in nats, of loss or condition, below which chains are driven no further: what bounds the work when
        a level cannot be attained. With runs of equal length it ends at about ``deepest / ln(1 / share)`` stages.
    confidence : float
        Of the intervals, in (0, 1).
    seed : int
        Seed of all runs.
    device, dtype : torch.device or str, torch.dtype
        Where and in what type latent points are made; shares are counted in float64.
    progress : bool
        Show a bar over runs on a terminal.

    Returns
    -------
    TailCurve or ConditionalTail
        Information in nats, with the interval by the spread of the runs. A level that no run attained is not resolved:
        NaN, with the interval from what the last attained level shows to infinity. That an event is impossible no
        sampler can tell.

    Raises
    ------
    ValueError
        If an argument is out of range, or the loss returns NaN or something of another shape.

    Notes
    -----
    One chain in a region that the others miss is enough to find it, none is too few: where the set of small losses has
    several parts, compare with another sampler.

    Examples
    --------
    A half-space, P(-z <= -4) = Phi(-4), 10.36 nats:

    >>> curve = subset_simulation(lambda z: -z[:, 0], 3, [-4.0, -3.0, -1.0], chains=50)
    >>> bool(abs(curve.nats[0] - 10.36) < 3 * curve.standard_error[0] < 1.0)
    True
    """
    wanted = np.atleast_1d(finite("levels", levels, "A level is a threshold of the loss."))
    if wanted.ndim != 1 or not wanted.size or (np.diff(wanted) <= 0).any():
        raise ValueError(f"levels must be a list that increases, got {levels!r}. Sort them, each once.")
    count("dimension", dimension)
    count("chains", chains, 2, "Their spread is measured.")
    count("moves", moves)
    count("runs", runs, 2, "The error is how far independent runs lie apart.")
    positive("deepest", deepest)
    inside_unit("confidence", confidence, "It is the confidence of each interval, such as 0.95.")
    if not 0 < share <= 0.5 or share * chains * moves < 1:
        raise ValueError(
            f"share must be in (0, 1/2] and leave one of the {chains * moves} states of a stage, got {share!r}. "
            "Take 0.1, and more chains."
        )
    if condition is not None:
        finite("condition", condition[1], "Its second part is a level of its loss.")

    def run(number: int, ladder: _Ladder | None, shaped: bool = False) -> _Run:
        generator = stream(seed, "subset simulation", number, device=device)
        engine = Splitting(
            dimension, chains=chains, moves=moves, share=share, generator=generator, dtype=dtype, shaped=shaped
        )
        return _run(engine, loss, wanted, condition, deepest, ladder)

    pilot = run(runs, None, shaped=True) if unbiased else None
    numbers = track(range(runs), "subset simulation", total=runs, progress=progress)
    found = [run(number, pilot.ladder if pilot else None) for number in numbers]
    tails = np.array([each.tail[0] for each in found]), np.array([each.tail[1] for each in found])
    conditions = np.array([each.condition[0] for each in found]), np.array([each.condition[1] for each in found])
    thresholds = "thresholds of a pilot run" if unbiased else "adaptive thresholds"
    account = Account(
        float(confidence),
        f"subset simulation, {thresholds}, {runs} runs of {chains} chains and {moves} moves",
        sum(each.engine.evaluations for each in [*found, *([pilot] if pilot else [])]),
        unbiased,
        _warnings(found, conditions, tails),
    )
    if condition is None:
        return curve_from_runs(wanted, *tails, account)
    return conditional_from_runs(float(condition[1]), wanted, conditions, tails, account)


def _run(
    engine: Splitting,
    loss: LatentLoss,
    levels: NDArray[np.float64],
    condition: tuple[LatentLoss, float] | None,
    deepest: float,
    ladder: _Ladder | None,
) -> _Run:
    """Run once, down the ladder of a pilot or choosing one on the way."""
    fixed = ladder or _Ladder()
    if condition is None:
        *tail, _, rungs = engine.descend(loss, engine.draw(loss), levels, deepest, fixed.below)
        return _Run((np.zeros(1), np.zeros(1)), tail, _Ladder(below=rungs), engine)
    first, level = condition
    *reached, pool, upper = engine.descend(first, engine.draw(first), np.array([float(level)]), deepest, fixed.above)
    inside = pool.values <= level
    if not inside.any():
        nothing = np.full(len(levels), -math.inf), np.full(len(levels), math.inf)
        return _Run(reached, nothing, _Ladder(upper, [engine.prior, *upper][-1], []), engine)
    both = _within(loss, first, level)
    pool, entry = engine.enter(both, pool, inside, math.inf, fixed.entry)
    *tail, _, rungs = engine.descend(both, pool, levels, deepest, fixed.below)
    return _Run(reached, tail, _Ladder(upper, entry, rungs), engine)


def _within(loss: LatentLoss, condition: LatentLoss, level: float) -> LatentLoss:
    """Return the loss where the condition holds, and infinity elsewhere; it is not evaluated there."""

    def both(z: Tensor) -> Tensor:
        inside = condition(z) <= level
        values = torch.full((len(z),), math.inf, dtype=torch.float64, device=z.device)
        if inside.any():
            found = loss(z[inside]).double()
            values[inside] = found.clamp(max=torch.finfo(torch.float64).max)
        return values

    return both


def _warnings(
    found: Sequence[_Run],
    conditions: tuple[NDArray[np.float64], NDArray[np.float64]],
    tails: tuple[NDArray[np.float64], NDArray[np.float64]],
) -> tuple[str, ...]:
    """Say what the reader of a curve has to know about the runs behind it."""
    said = []
    stages = [stage for each in found for stage in each.engine.stages]
    if stages:
        memory, acceptance = np.median([s.memory for s in stages]), np.median([s.acceptance for s in stages])
        survivors = min(s.survivors for s in stages)
        if memory > _FROZEN or acceptance < 0.1:
            said.append(
                f"chains hardly move: they keep a correlation of {memory:.2f} with where they started in the median "
                f"stage (acceptance {acceptance:.2f}). Take more moves, or another sampler."
            )
        if survivors < _FEW:
            said.append(f"a stage began with {survivors} survivors only. Take more chains or moves.")
    logs, variances = (conditions[part] + tails[part] for part in (0, 1))
    known = np.isfinite(logs).all(axis=0)
    if known.any():
        spread, theory = logs[:, known].var(axis=0, ddof=1), variances[:, known].mean(axis=0)
        worst = int(np.argmax(spread / theory))
        if (ratio := math.sqrt(spread[worst] / theory[worst])) > _APART:
            said.append(
                f"runs lie {ratio:.1f} times as far apart as the stages by themselves explain: chains remember their "
                "ancestors. Take more moves."
            )
        if (widest := math.sqrt(spread.max())) > 1:
            said.append(
                f"runs differ by {widest:.1f} nats (standard deviation): the estimate leans on the best of them, and "
                "is likely too high an information. Take more moves or chains."
            )
    if unattained := int(np.isinf(logs).any(axis=0).sum()):
        said.append(f"at {unattained} of {logs.shape[1]} levels some run saw no loss that small.")
    return tuple(said)
