"""Certificates for networks of which only the last layer is random: fixed features, and no Monte Carlo step."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from genbounds.certificates import Certificate, Comparison, Ledger, LedgerEntry, share, state
from genbounds.models.linear_heads import exact_gibbs_risk, extract_features, find_head
from genbounds.models.splits import Roles
from genbounds.models.state import save_state, state_sha256
from genbounds.pac_bayes.low_rank import Gaussian, LowRankGaussian
from genbounds.pac_bayes.posteriors import DiagonalGaussian
from genbounds.pac_bayes.training import NetworkTraining, PosteriorTraining
from genbounds.theorems import Assumption
from genbounds.workflow.certification import holdout_comparisons, statuses_of
from genbounds.workflow.composition import HEADLINE, scale_unions
from genbounds.workflow.evaluation import Evaluation
from genbounds.workflow.events import check_settings
from genbounds.workflow.gaussians import Prior, choose_start, fit_posterior, learn_network, make_prior, nearest_prior
from genbounds.workflow.gibbs import estimates_on_test
from genbounds.workflow.inputs import Networks, State
from genbounds.workflow.run import gather

__all__ = ["HEAD_PRIORS", "certify_head"]

#: Where the features come from, and with them the centre of the head's prior.
HEAD_PRIORS = ("learnt", "checkpoint", "initialisation")


def certify_head(
    model: nn.Module | Callable[..., nn.Module] | str | Path,
    data: Any,
    *,
    checkpoint: State | None = None,
    initial: State | None = None,
    prefix: str = "",
    entry: str = "",
    trust_pickle: bool = False,
    prior: str = "learnt",
    prior_scale: float | None = None,
    roles: Roles | Mapping[str, ArrayLike] | None = None,
    prior_fraction: float = 0.5,
    delta: float = 0.05,
    theorem: str = "pac_bayes.seeger_xi",
    network: NetworkTraining | None = None,
    posterior: PosteriorTraining | Gaussian | None = None,
    augment: Callable[[Tensor, torch.Generator], Tensor] | None = None,
    seed: int = 0,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    out: str | Path | None = None,
    progress: bool = False,
) -> Certificate:
    """Certify the 0-1 risk of a network whose last linear layer is drawn from a posterior, the rest being fixed.

    The features, which the rest computes, are fixed without the bound's sample; so is a prior over the last layer.
    Given the features the scores are Gaussian, and the Gibbs risk on the sample is a number: nothing is drawn, and all
    of delta goes to the bound.

    Parameters
    ----------
    model, data, checkpoint, initial, prefix, entry, trust_pickle
        As in `certify`. The model ends in an ``nn.Linear``.
    prior : {"learnt", "checkpoint", "initialisation"}
        Where the features come from. "learnt": a network trained here on the examples with role ``prior``; the prior's
        centre is its last layer. "checkpoint": the checkpoint, which you thereby declare not to have seen the bound's
        sample; likewise. "initialisation": the untrained network (random features); the prior's centre is zero, and
        all examples may have the role ``bound``.
    prior_scale : float, optional
        Standard deviation of the prior, fixed before the bound's sample was looked at. By default the widest that
        hardly hurts on the prior's data; without such data chosen on a grid whose union is paid.
    roles, prior_fraction
        As in `certify`.
    delta : float
        The whole probability that the certificate may fail, in (0, 1).
    theorem : str
        A PAC-Bayes theorem of the catalogue that takes (risk, kl, n, delta).
    network : NetworkTraining, optional
        How a learnt network, or the head on random features from which the posterior starts, is trained.
    posterior : PosteriorTraining, DiagonalGaussian or LowRankGaussian, optional
        How the posterior is trained; or a posterior that is there already, such as a last-layer Laplace approximation
        (`genbounds.pac_bayes.laplace.from_laplace`), over the parameters of the last layer by their names in the model.
    augment, seed, device, dtype, progress
        As in `certify`.
    out : str or Path, optional
        As in `certify`; ``features.safetensors`` holds what is fixed.

    Returns
    -------
    Certificate
        With the draw scheme ``exact``.

    Raises
    ------
    ValueError
        As `certify`; or if the model does not end in a linear layer, or the posterior is over other parameters.
    """
    if prior not in HEAD_PRIORS:
        raise ValueError(f"prior must be one of {', '.join(HEAD_PRIORS)}, got {prior!r}.")
    check_settings(prior_scale=prior_scale)
    network, training = network or NetworkTraining(), posterior or PosteriorTraining()
    run = gather(
        model,
        data,
        prior=prior,
        needs="checkpoint" if prior == "checkpoint" else "learnt",
        checkpoint=checkpoint,
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
    source, networks, bound, n = run.source, run.networks, run.bound, len(run.bound)
    # What no certificate can be made of is refused before any training.
    rehearsed = {"risk": 0.0, "kl": 0.0, "n": n, "delta": delta}
    state(theorem, HEADLINE, rehearsed, assumptions=dict.fromkeys(Assumption, "unknown"))
    module = networks.module
    if prior == "initialisation":
        module.load_state_dict(networks.start)
    settings: dict[str, Any] = {
        "random": "head",
        "prior": prior,
        "prior_scale": prior_scale,
        "delta": delta,
        "theorem": theorem,
        "network": dataclasses.asdict(network),
        "posterior": dataclasses.asdict(training) if isinstance(training, PosteriorTraining) else training.sha256(),
        "augment": run.augmentation(augment),
    }
    folder = Path(out) if out is not None else None
    evaluation = run.open(settings, folder, progress)
    store = evaluation.store
    if prior == "learnt":
        learnt = learn_network(evaluation, networks.start, run.roles.indices("prior"), network, augment, "network")
        module.load_state_dict(learnt.state_dict())
        run.check()
    name = find_head(module, next(source.batches(bound[:4], 4, device=device, dtype=dtype))[1])
    whole = {key: value.detach().cpu().clone() for key, value in module.named_parameters()}

    # From here on the network is its last layer, and the data its features.
    features = extract_features(module, name, source, device=device, dtype=dtype, progress=progress)
    classes = len(whole[f"{_dotted(name)}weight"])
    layer = nn.Linear(features.inputs.shape[1], classes, f"{_dotted(name)}bias" in whole).to(device, dtype)
    layer.load_state_dict({key: whole[_dotted(name) + key] for key, _ in layer.named_parameters()})
    on_features = Evaluation(layer.eval(), features, store, seed, device, dtype, progress)
    kind, trained = "checkpoint", {key: value.detach().cpu().clone() for key, value in layer.state_dict().items()}
    if prior == "initialisation":
        blank = {key: torch.zeros_like(value) for key, value in trained.items()}
        fitted = learn_network(on_features, blank, bound, network, None, "head")
        kind, trained = "zero", {key: value.cpu() for key, value in fitted.state_dict().items()}
    head = Networks(layer, networks.name, trained, None, False)
    p = make_prior(on_features, head, run.roles, kind, prior_scale, network, None)
    if isinstance(training, PosteriorTraining):
        start, _ = choose_start(on_features, p, head, bound, delta)
        q: Gaussian
        q, final_p, kl = fit_posterior(on_features, p, start, bound, training, delta)
    else:
        q = _renamed(training, lambda key: key.removeprefix(_dotted(name)))
        wanted = {key: tuple(value.shape) for key, value in p.mean.items()}
        if {key: tuple(value.shape) for key, value in q.mean.items()} != wanted:
            names = ", ".join(f"{_dotted(name)}{key} {shape}" for key, shape in wanted.items())
            raise ValueError(f"posterior must be over {names}, got {', '.join(training.mean)}. Take the last layer's.")
        final_p, kl = nearest_prior(p, q)
    statuses = statuses_of(dataclasses.replace(p, kind=prior), run)
    unions = scale_unions(p.candidates)

    def argument(what: str, gaussian: Gaussian, kl: float) -> dict[str, Any]:
        # In float64 the law is the one whose divergence is counted: nothing is rounded.
        risk = store.once(
            f"{what}, exact", lambda: exact_gibbs_risk(gaussian.law("cpu", torch.float64), features, bound)
        )
        each = share(delta, unions[0].candidates if unions else 1)
        claim = state(theorem, HEADLINE, {"risk": risk, "kl": kl, "n": n, "delta": each}, assumptions=statuses)
        ledger = Ledger(delta, (LedgerEntry(HEADLINE, delta, unions),))
        return {"claims": (claim,), "ledger": ledger, "headline": HEADLINE}

    fixed = {key: value.detach().cpu() for key, value in module.state_dict().items() if _dotted(name) + "weight" != key}
    fixed.pop(_dotted(name) + "bias", None)
    saw = ["prior"] if prior != "initialisation" and "prior" in run.used else []
    certificate = Certificate(
        **argument("posterior", q, kl),
        sample=run.sample(),
        model=run.model(q.parameters) | {"features_sha256": state_sha256(fixed), "random": name},
        prior={
            "kind": prior,
            "sha256": _renamed(final_p, lambda key: _dotted(name) + key).sha256(),
            "saw": saw,
            "scale": p.described(final_p),
            "training": settings["network"] | {"augmented": augment is not None} if prior == "learnt" else None,
        },
        posterior={
            "family": "diagonal gaussian" if isinstance(q, DiagonalGaussian) else f"gaussian, diagonal + rank {q.rank}",
            "sha256": _renamed(q, lambda key: _dotted(name) + key).sha256(),
            "saw": [*saw, "bound"],
            "kl": kl,
            "training": settings["posterior"] if isinstance(training, PosteriorTraining) else None,
        },
        draws={"scheme": "exact"},
        comparisons=(
            *holdout_comparisons(
                evaluation, networks, run.roles, Prior(prior, whole, (1.0,), "fixed"), network, augment, delta, statuses
            ),
            Comparison(
                id="posterior = prior",
                what="The same bound for Q = P, which did not see the bound's sample: what the posterior bought.",
                **argument("prior", final_p, 0.0),
            ),
        ),
        estimates=estimates_on_test(on_features, q, run.roles),
        notes=(
            *run.notes(),
            "Only the last layer is random; its scores are taken as computed without rounding from the features.",
        ),
        versions=run.versions,
    )
    if folder is not None:
        _renamed(q, lambda key: _dotted(name) + key).save(folder / "posterior.safetensors")
        _renamed(final_p, lambda key: _dotted(name) + key).save(folder / "prior.safetensors")
        save_state(fixed, folder / "features.safetensors")
        certificate.save(folder / "certificate.json")
    return certificate


def _dotted(name: str) -> str:
    return f"{name}." if name else ""


def _renamed(gaussian: Gaussian, rename: Callable[[str], str]) -> Gaussian:
    """Return the same Gaussian with its parameters named otherwise: within the layer, or within the network."""
    mean, scale = ({rename(key): value for key, value in part.items()} for part in (gaussian.mean, gaussian.scale))
    if isinstance(gaussian, DiagonalGaussian):
        return DiagonalGaussian(mean, scale)
    return LowRankGaussian(mean, scale, {rename(key): value for key, value in gaussian.factor.items()})
