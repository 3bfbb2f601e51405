"""Certificates by recursion over chunks of the data: each posterior is the prior of the next."""

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import nn

from genbounds.certificates import Certificate, Claim, Comparison, Ledger, state
from genbounds.certificates.verification import Finding
from genbounds.models.pairs import PairCounts
from genbounds.models.passes import block_size
from genbounds.models.randomness import stream
from genbounds.models.splits import Roles
from genbounds.numerics import log_xi
from genbounds.pac_bayes.posteriors import DiagonalGaussian
from genbounds.pac_bayes.recursive import EXCESS_LOSSES
from genbounds.pac_bayes.training import Excess, NetworkTraining, PosteriorTraining, train_posterior
from genbounds.theorems import Assumption
from genbounds.workflow.certification import holdout_comparisons, statuses_of
from genbounds.workflow.composition import HEADLINE
from genbounds.workflow.evaluation import MONTE_CARLO, SCHEMES, Evaluation
from genbounds.workflow.events import Budgets, check_settings, event_limit, plain_ledger
from genbounds.workflow.gaussians import Prior
from genbounds.workflow.gibbs import estimates_on_test
from genbounds.workflow.inputs import State
from genbounds.workflow.run import gather

__all__ = ["STEP_TRAINING", "certify_recursive", "chunk_sizes", "step_findings"]

#: How a step of a recursion is trained by default: from its prior on, with an annealed divergence.
STEP_TRAINING = PosteriorTraining(epochs=10, learning_rate=2e-2, annealing=0.5)

#: Weight of the divergence in training a step that is to be the prior of another, by default.
_EARLIER = 0.1


def chunk_sizes(n: int, steps: int) -> tuple[int, ...]:
    """Return the geometric split: the last chunk has half of the examples, the one before a quarter, and so on.

    Parameters
    ----------
    n : int
        Examples.
    steps : int
        Number of chunks; the first two are equal.

    Returns
    -------
    tuple of int
        Sizes in order.

    Raises
    ------
    ValueError
        If a chunk would be empty.

    Examples
    --------
    >>> chunk_sizes(60_000, 4)
    (7500, 7500, 15000, 30000)
    """
    if not isinstance(steps, int) or not 1 <= steps <= n.bit_length():  # the first chunk has n / 2^(steps - 1)
        raise ValueError(
            f"steps must be at least 1 and leave examples to each, got {steps} for {n} examples. Lower it."
        )
    edges = [0, *(n // 2 ** (steps - t) for t in range(1, steps)), n]
    return tuple(high - low for low, high in pairwise(edges))


@dataclasses.dataclass(frozen=True)
class _Step:
    """A step's posterior as it was counted on its chunk and all later ones."""

    chunk: int
    n: int
    kl: float
    counts: PairCounts  # with the step before; the first step is alone, and its second predictor never errs


def certify_recursive(
    model: nn.Module | Callable[..., nn.Module] | str | Path,
    data: Any,
    *,
    steps: int = 4,
    initial: State | None = None,
    prefix: str = "",
    entry: str = "",
    trust_pickle: bool = False,
    prior_scale: float = 0.05,
    gamma: float | None = None,
    roles: Roles | Mapping[str, ArrayLike] | None = None,
    delta: float = 0.05,
    monte_carlo_share: float = 0.2,
    network: NetworkTraining | None = None,
    posterior: PosteriorTraining = STEP_TRAINING,
    earlier: PosteriorTraining | None = None,
    passes: int = 10,
    seed: int = 0,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    out: str | Path | None = None,
    progress: bool = False,
) -> Certificate:
    """Certify a Gibbs predictor that was learnt chunk by chunk, each posterior being the prior of the next.

    The first prior needs no data: it is centred at the untrained network. The posterior of chunk t is trained on chunk
    t, starting at its prior, and counted on chunk t and all later ones, at which its prior has not looked. So all
    examples train, and all count.

    Parameters
    ----------
    model, data, initial, prefix, entry, trust_pickle
        As in `certify`. What the factory builds under `seed`, or `initial`, is the centre of the first prior.
    steps : int
        Number of chunks T, at least 1. They are drawn at random; the last one has half of the examples (`chunk_sizes`).
    prior_scale : float
        Standard deviation of the first prior, fixed before the data was looked at.
    gamma : float, optional
        Weight in [0, 1] of the step before, for training and for the bound. By default the steps are trained with 1/2,
        and each bound takes the best weight, chosen afterwards: `recursive_step` holds for all of them at once.
    roles : Roles or mapping of str to indices, optional
        Which examples are ``bound`` and ``test``. By default the data's own test part, if it has one, is ``test``,
        and all the rest ``bound``.
    delta : float
        The whole probability that the certificate may fail, in (0, 1); the steps share it equally.
    monte_carlo_share : float
        Share of `delta` spent on the Monte Carlo limits: one for the first step, three for each later one.
    network : NetworkTraining, optional
        How the network of the comparison with held-out data is trained.
    posterior : PosteriorTraining
        How the last step is trained.
    earlier : PosteriorTraining, optional
        How the steps before are trained; by default as `posterior`, with a tenth of the divergence's weight.
    passes : int
        Passes over the examples of each step in the Monte Carlo step.
    seed, device, dtype, out, progress
        As in `certify`. The folder also gets the earlier steps, ``posterior-1.safetensors`` and so on.

    Returns
    -------
    Certificate
        Headline: the last step. ``posterior.steps`` has a row for each.

    Raises
    ------
    ValueError
        As `certify`; or if there are more steps than examples allow.
    """
    if gamma is not None and not 0 <= gamma <= 1:
        raise ValueError(f"gamma must be in [0, 1], got {gamma}. Leave it out for the best.")
    check_settings(prior_scale=prior_scale, passes=passes, monte_carlo_share=monte_carlo_share)
    earlier = earlier or dataclasses.replace(posterior, kl_weight=_EARLIER * posterior.kl_weight)
    run = gather(
        model,
        data,
        prior="initialisation",
        needs="learnt",
        initial=initial,
        prefix=prefix,
        entry=entry,
        trust_pickle=trust_pickle,
        roles=roles,
        seed=seed,
        device=device,
        dtype=dtype,
    )
    n, module = len(run.bound), run.networks.module
    sizes = chunk_sizes(n, steps)
    deltas = Budgets.equal(delta, monte_carlo_share, steps, 1 + 3 * (steps - 1))
    module.load_state_dict(run.networks.start)
    settings: dict[str, Any] = {
        "kind": "recursive",
        "steps": steps,
        "prior_scale": prior_scale,
        "gamma": gamma,
        "delta": delta,
        "monte_carlo_share": monte_carlo_share,
        "network": dataclasses.asdict(network or NetworkTraining()),
        "posterior": dataclasses.asdict(posterior),
        "earlier": dataclasses.asdict(earlier),
        "passes": passes,
    }
    folder = Path(out) if out is not None else None
    evaluation = run.open(settings, folder, progress)
    order = _in_chunks(run.bound, seed)
    first = DiagonalGaussian.isotropic(dict(module.named_parameters()), prior_scale)
    gaussians, found = [first], []
    for t, size in enumerate(sizes, 1):
        start = sum(sizes[: t - 1])
        later = order[start:]
        trained = train_posterior(
            module,
            gaussians[-1],
            gaussians[-1],
            run.source,
            order[start : start + size],
            posterior if t == steps else earlier,
            log_term=float(log_xi(len(later))) - math.log(deltas.bounds[t - 1] / (1 if t == 1 else 3)),
            n=len(later),
            excess=None if t == 1 else Excess(gaussians[-1], 0.5 if gamma is None else gamma),
            seed=seed,
            device=device,
            dtype=dtype,
            resume=evaluation.store.file(f"posterior-{t}.pt"),
            progress=progress,
        )
        found.append(
            _Step(
                size,
                len(later),
                trained.kl(gaussians[-1]),
                _counts(evaluation, t, trained, gaussians[-1], later, passes),
            )
        )
        gaussians.append(trained)
    q, p = gaussians[-1], Prior("initialisation", first.mean, (prior_scale,), "fixed")
    statuses = statuses_of(p, run)
    claims, ledger = _recursion(found, gamma, deltas, statuses)
    comparisons = holdout_comparisons(
        evaluation, run.networks, run.roles, p, network or NetworkTraining(), None, delta, statuses
    )
    if gamma is None and steps > 1:
        halves, same = _recursion(found, 0.5, deltas, statuses)
        what = "The same counts with the weight 1/2 for every step before, as published."
        comparisons += (Comparison("gamma = 1/2", what, halves, HEADLINE, same),)
    limits = [claim for claim in claims if "draws" in claim.inputs]
    certificate = Certificate(
        headline=HEADLINE,
        claims=claims,
        ledger=ledger,
        sample=run.sample(),
        model=run.model(q.parameters),
        prior={
            "kind": "initialisation",
            "sha256": first.sha256(),
            "saw": [],
            "scale": {"value": prior_scale, "chosen": "fixed", "candidates": 1},
        },
        posterior={
            "family": "diagonal gaussian",
            "sha256": q.sha256(),
            "saw": ["bound"],
            "kl": found[-1].kl,
            "start": "prior",
            "training": settings["posterior"],
            "training of earlier steps": settings["earlier"],
            "steps": [
                {"claim": _step(t, steps), "chunk": step.chunk, "n": step.n, "kl": step.kl, "sha256": gaussian.sha256()}
                for t, (step, gaussian) in enumerate(zip(found, gaussians[1:], strict=True), 1)
            ],
        },
        draws={
            "scheme": SCHEMES[0],
            "counts": {claim.id: claim.inputs["draws"] for claim in limits},
            "epochs": passes,
            "seed": seed,
            "block": block_size(run.source, run.bound),
        },
        comparisons=comparisons,
        estimates=estimates_on_test(evaluation, q, run.roles),
        notes=run.notes(),
        versions=run.versions,
    )
    if folder is not None:
        for t, gaussian in enumerate(gaussians[1:-1], 1):
            gaussian.save(folder / f"posterior-{t}.safetensors")
        run.save(folder, certificate, q, first)
    return certificate


def _in_chunks(indices: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Return the examples in the order in which they are cut into chunks."""
    shuffled: NDArray[np.int64] = indices[torch.randperm(len(indices), generator=stream(seed, "chunks")).numpy()]
    return shuffled


def _step(t: int, steps: int) -> str:
    return HEADLINE if t == steps else f"step-{t}"


def _counts(
    evaluation: Evaluation,
    t: int,
    own: DiagonalGaussian,
    before: DiagonalGaussian,
    indices: NDArray[np.int64],
    passes: int,
) -> PairCounts:
    """Count who errs of a draw of step t and one of the step before; the first step is counted alone."""
    stage = f"{MONTE_CARLO} {t}"
    if t > 1:
        return evaluation.pair_counts(f"step {t}", own, before, indices, passes=passes, stage=stage)
    errors = sum(evaluation.gibbs_errors("step 1", own, indices, passes=passes, stage=stage))
    return PairCounts(passes * len(indices) - errors, 0, errors, 0)


def _events(t: int, counts: PairCounts) -> dict[str, tuple[int, str]]:
    """Return what the Monte Carlo claims of step t count: by id, how often it occurred, and in words."""
    if t == 1:
        return {"step-1-errors": (counts.first, "0-1")}
    occurred = (counts.examples - counts.n01, counts.first, counts.n10)
    return {f"step-{t}-frequency-{j}": event for j, event in enumerate(zip(occurred, EXCESS_LOSSES, strict=True), 1)}


def _recursion(
    found: Sequence[_Step], gamma: float | None, deltas: Budgets, statuses: Mapping[Assumption, str]
) -> tuple[tuple[Claim, ...], Ledger]:
    """State the bounds of all steps and the limits they rest on; without gamma with the best for each step."""
    claims: list[Claim] = []
    shares = iter(deltas.limits)
    bound: Claim | None = None
    for t, (step, delta) in enumerate(zip(found, deltas.bounds, strict=True), 1):
        id, counts = _step(t, len(found)), step.counts
        numbers: dict[str, Any] = {"kl": step.kl, "n": step.n, "delta": delta}
        limits = [
            event_limit(name, occurred, counts.examples, next(shares), loss, statuses)
            for name, (occurred, loss) in _events(t, counts).items()
        ]
        if bound is None:
            bound = state("pac_bayes.seeger_xi", id, {"risk": limits[0], **numbers}, assumptions=statuses)
        else:
            numbers |= {"previous": bound} | {f"frequency_{j}": limit for j, limit in enumerate(limits, 1)}
            candidates = [
                state("pac_bayes.recursive_step", id, {"gamma": weight, **numbers}, assumptions=statuses)
                for weight in ((0.0, 1.0) if gamma is None else (gamma,))
            ]
            bound = min(candidates, key=lambda claim: claim.value)
        claims += [*limits, bound]
    return tuple(claims), plain_ledger(deltas.delta, tuple(claims))


def step_findings(certificate: Certificate, folder: Path, evaluation: Evaluation, place: str) -> Iterator[Finding]:
    """Measure again what a recursive certificate rests on: every step's Gaussian, divergence and counts.

    Parameters
    ----------
    certificate : Certificate
        Of `certify_recursive`, in agreement with itself.
    folder : Path
        Its folder.
    evaluation : Evaluation
        The model, and the seed of the certificate's draws.
    place : str
        What is another than it was, for the sentences.

    Yields
    ------
    Finding
        What was found.
    """
    rows = (certificate.posterior or {})["steps"]
    order = _in_chunks(certificate.sample.indices("bound"), evaluation.seed)
    stated = {claim.id: claim.inputs for claim in certificate.claims}
    before = DiagonalGaussian.load(folder / "prior.safetensors")
    for t, row in enumerate(rows, 1):
        name = "posterior" if t == len(rows) else f"posterior-{t}"
        own = DiagonalGaussian.load(folder / f"{name}.safetensors")
        same = own.sha256() == row["sha256"]
        yield Finding(f"file: {name}", same, "its fingerprint is the certificate's." if same else "another Gaussian.")
        kl = own.kl(before)
        yield Finding(f"{row['claim']}: KL divergence", kl <= row["kl"], f"measured {kl!r}, stated {row['kl']!r}.")
        counts = _counts(evaluation, t, own, before, order[-row["n"] :], (certificate.draws or {})["epochs"])
        for id, (occurred, _) in _events(t, counts).items():
            claimed = stated[id]["errors"]
            yield Finding(id, occurred <= claimed, f"measured {occurred:,}, stated {claimed:,}{place}.")
        before = own
