"""Certificates by the excess over a reference: the network that the prior was learnt around."""

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from genbounds.certificates import Certificate, Comparison, state
from genbounds.certificates.verification import Finding
from genbounds.models.pairs import PairCounts
from genbounds.models.passes import block_size
from genbounds.models.splits import Roles
from genbounds.models.state import state_sha256
from genbounds.numerics import log_xi
from genbounds.pac_bayes.posteriors import DiagonalGaussian
from genbounds.pac_bayes.recursive import REFERENCE_LOSSES
from genbounds.pac_bayes.training import Excess, NetworkTraining, PosteriorTraining, train_posterior
from genbounds.workflow.certification import holdout_comparisons, statuses_of
from genbounds.workflow.composition import HEADLINE
from genbounds.workflow.evaluation import MONTE_CARLO, SCHEMES, Evaluation
from genbounds.workflow.events import Budgets, check_settings, event_limit, plain_ledger
from genbounds.workflow.gaussians import choose_start, make_prior
from genbounds.workflow.gibbs import estimates_on_test
from genbounds.workflow.inputs import State
from genbounds.workflow.run import gather

__all__ = ["certify_excess", "excess_findings"]


def certify_excess(
    model: nn.Module | Callable[..., nn.Module] | str | Path,
    data: Any,
    *,
    initial: State | None = None,
    prefix: str = "",
    entry: str = "",
    trust_pickle: bool = False,
    prior_scale: float | None = None,
    roles: Roles | Mapping[str, ArrayLike] | None = None,
    prior_fraction: float = 0.5,
    delta: float = 0.05,
    monte_carlo_share: float = 0.2,
    network: NetworkTraining | None = None,
    posterior: PosteriorTraining | None = None,
    augment: Callable[[Tensor, torch.Generator], Tensor] | None = None,
    passes: int = 10,
    seed: int = 0,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    out: str | Path | None = None,
    progress: bool = False,
) -> Certificate:
    """Certify a Gibbs predictor by its excess over the network that its prior was learnt around.

    A network is learnt on the examples with role ``prior``; it is the centre of the prior and the reference. Its own
    risk is bounded from the bound's sample, which it never saw, with the exact binomial tail; the posterior pays its
    divergence only for how often it differs from the reference.

    Parameters
    ----------
    model, data, initial, prefix, entry, trust_pickle, prior_scale, roles, prior_fraction, network, augment
        As in `certify` with a learnt prior.
    delta : float
        The whole probability that the certificate may fail, in (0, 1). What the Monte Carlo step leaves is shared
        equally by the reference and the excess.
    monte_carlo_share : float
        Share of `delta` spent on the two Monte Carlo limits.
    posterior : PosteriorTraining, optional
        How the posterior is trained, on the excess.
    passes, seed, device, dtype, out, progress
        As in `certify`.

    Returns
    -------
    Certificate
        Headline ``pac_bayes.informed_excess``.

    Raises
    ------
    ValueError
        As `certify`.
    """
    check_settings(prior_scale=prior_scale, passes=passes, monte_carlo_share=monte_carlo_share)
    network, posterior = network or NetworkTraining(), posterior or PosteriorTraining()
    run = gather(
        model,
        data,
        prior="learnt",
        initial=initial,
        prefix=prefix,
        entry=entry,
        trust_pickle=trust_pickle,
        roles=roles,
        prior_fraction=prior_fraction,
        seed=seed,
        device=device,
        dtype=dtype,
    )
    bound, n, module = run.bound, len(run.bound), run.networks.module
    deltas = Budgets.equal(delta, monte_carlo_share, 2, 2)
    settings: dict[str, Any] = {
        "kind": "excess",
        "prior_scale": prior_scale,
        "delta": delta,
        "monte_carlo_share": monte_carlo_share,
        "network": dataclasses.asdict(network),
        "posterior": dataclasses.asdict(posterior),
        "augment": run.augmentation(augment),
        "passes": passes,
    }
    folder = Path(out) if out is not None else None
    evaluation = run.open(settings, folder, progress)
    p = make_prior(evaluation, run.networks, run.roles, "learnt", prior_scale, network, augment)
    run.check()
    reference = p.mean
    (scale,) = p.grids[""]
    prior = p.at({"": scale})
    start, origin = choose_start(evaluation, p, run.networks, bound, delta)
    q = train_posterior(
        module,
        prior,
        start,
        run.source,
        bound,
        posterior,
        log_term=float(log_xi(n)) - math.log(deltas.bounds[1] / 2),
        excess=Excess(reference, 1.0),
        seed=seed,
        device=device,
        dtype=dtype,
        resume=evaluation.store.file("posterior.pt"),
        progress=progress,
    )
    statuses = statuses_of(p, run)
    stands = evaluation.errors("prior network, bound sample", reference, bound)

    def argument(name: str, gaussian: DiagonalGaussian) -> dict[str, Any]:
        counts = evaluation.pair_counts(name, gaussian, reference, bound, passes=passes, stage=MONTE_CARLO)
        inputs = {"errors": stands, "n": n, "delta": deltas.bounds[0]}
        claims = [state("pac_bayes.clopper_pearson", "reference-risk", inputs, assumptions=statuses)]
        for j, (id, occurred) in enumerate(_events(counts).items()):
            claims.append(event_limit(id, occurred, counts.examples, deltas.limits[j], REFERENCE_LOSSES[j], statuses))
        numbers = {"kl": gaussian.kl(prior), "n": n, "delta": deltas.bounds[1]}
        standing = dict(zip(("reference", "frequency_0", "frequency_1"), claims, strict=True))
        claims.append(state("pac_bayes.informed_excess", HEADLINE, standing | numbers, assumptions=statuses))
        ledger = plain_ledger(delta, tuple(claims))
        return {"claims": tuple(claims), "ledger": ledger, "headline": HEADLINE}

    certificate = Certificate(
        **argument("posterior", q),
        sample=run.sample(),
        model=run.model(q.parameters),
        prior={
            "kind": "learnt",
            "sha256": prior.sha256(),
            "saw": ["prior"],
            "scale": p.described(prior),
            "training": settings["network"] | {"augmented": augment is not None},
        },
        posterior={
            "family": "diagonal gaussian",
            "sha256": q.sha256(),
            "saw": ["prior", "bound"],
            "kl": q.kl(prior),
            "start": origin,
            "training": settings["posterior"],
            "reference": {"saw": ["prior"], "sha256": state_sha256(reference)},
        },
        draws={
            "scheme": SCHEMES[0],
            "count": passes * n,
            "epochs": passes,
            "seed": seed,
            "block": block_size(run.source, bound),
        },
        comparisons=(
            *holdout_comparisons(evaluation, run.networks, run.roles, p, network, augment, delta, statuses),
            Comparison(
                id="posterior = prior",
                what="The same bound for Q = P, which did not see the bound's sample: what the posterior bought.",
                **argument("prior", prior),
            ),
        ),
        estimates=estimates_on_test(evaluation, q, run.roles),
        notes=run.notes(),
        versions=run.versions,
    )
    if folder is not None:
        run.save(folder, certificate, q, prior)
    return certificate


def _events(counts: PairCounts) -> dict[str, int]:
    """Return what the Monte Carlo claims count: by id, how often it occurred."""
    return {"frequency-0": counts.examples - counts.n01, "frequency-1": counts.n10}


def excess_findings(
    certificate: Certificate,
    evaluation: Evaluation,
    posterior: DiagonalGaussian,
    prior: DiagonalGaussian,
    place: str,
) -> Iterator[Finding]:
    """Measure again what a certificate by an excess rests on: the reference, its errors, and the counts.

    Parameters
    ----------
    certificate : Certificate
        Of `certify_excess`, in agreement with itself.
    evaluation : Evaluation
        The model, and the seed of the certificate's draws.
    posterior, prior : DiagonalGaussian
        Q and P, read from its folder; the centre of P is the reference.
    place : str
        What is another than it was, for the sentences.

    Yields
    ------
    Finding
        What was found.
    """
    bound, stated = certificate.sample.indices("bound"), {claim.id: claim.inputs for claim in certificate.claims}
    same = state_sha256(prior.mean) == (certificate.posterior or {})["reference"]["sha256"]
    yield Finding("reference", same, "it is the centre of the prior." if same else "another network.")
    passes = (certificate.draws or {})["epochs"]
    counts = evaluation.pair_counts("posterior", posterior, prior.mean, bound, passes=passes, stage=MONTE_CARLO)
    measured = {"reference-risk": evaluation.errors("reference", prior.mean, bound), **_events(counts)}
    for id, occurred in measured.items():
        claimed = stated[id]["errors"]
        yield Finding(id, occurred <= claimed, f"measured {occurred:,}, stated {claimed:,}{place}.")
