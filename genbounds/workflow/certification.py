"""From a checkpoint and its data to a certificate."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from genbounds.certificates import Certificate, Comparison
from genbounds.models.guards import ModelError, stateful_buffers
from genbounds.models.splits import Roles, in_halves
from genbounds.pac_bayes.low_rank import Gaussian
from genbounds.pac_bayes.posteriors import DiagonalGaussian
from genbounds.pac_bayes.training import NetworkTraining, PosteriorTraining
from genbounds.theorems import Assumption
from genbounds.workflow.composition import holdout_comparison
from genbounds.workflow.evaluation import SCHEMES, Evaluation
from genbounds.workflow.events import check_settings
from genbounds.workflow.gaussians import (
    PER_LAYER,
    Prior,
    choose_start,
    fit_posterior,
    learn_network,
    make_prior,
    nearest_prior,
)
from genbounds.workflow.gibbs import Fitted, Gibbs
from genbounds.workflow.inputs import Networks, State
from genbounds.workflow.majority_vote import MajorityVote
from genbounds.workflow.run import Run, gather
from genbounds.workflow.single_draw import SingleDraw

__all__ = ["COVERED", "PRIORS", "certify"]

#: Where the prior is centred.
PRIORS = ("learnt", "checkpoint", "zero", "initialisation")

#: What a certificate may be about.
COVERED: MappingProxyType[str, type[Gibbs]] = MappingProxyType({
    "gibbs": Gibbs,
    "single draw": SingleDraw,
    "majority vote": MajorityVote,
})


def certify(
    model: nn.Module | Callable[..., nn.Module] | str | Path,
    data: Any,
    *,
    checkpoint: State | None = None,
    initial: State | None = None,
    prefix: str = "",
    entry: str = "",
    trust_pickle: bool = False,
    prior: str = "learnt",
    prior_scale: float | str | None = None,
    roles: Roles | Mapping[str, ArrayLike] | None = None,
    prior_fraction: float = 0.5,
    delta: float = 0.05,
    monte_carlo_share: float = 0.2,
    predictor: str = "gibbs",
    theorem: str | None = None,
    network: NetworkTraining | None = None,
    posterior: PosteriorTraining | Gaussian | None = None,
    augment: Callable[[Tensor, torch.Generator], Tensor] | None = None,
    scheme: str = SCHEMES[0],
    passes: int = 10,
    seed: int = 0,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    out: str | Path | None = None,
    progress: bool = False,
) -> Certificate:
    """Certify the 0-1 risk of a randomised predictor around a trained network.

    A prior P is fixed without the bound's sample; a diagonal Gaussian posterior Q is trained on a PAC-Bayes bound;
    the errors of networks drawn from Q are counted; and a theorem turns the counts and KL(Q || P) into an upper limit
    on the risk of the Gibbs predictor, which draws fresh weights from Q for every prediction, of one network that is
    drawn once and then kept, or of the majority vote over Q.

    Parameters
    ----------
    model : nn.Module, callable, str or Path
        The architecture: a module, a factory, a factory's name ``package.module:callable``, or a ``.pt2`` file of
        ``torch.export``. A factory is called under `seed`, and what it builds is the initialisation.
    data : object
        Anything `genbounds.models.load_data` takes: ``"digits"``, a folder of IDX files, an ``.npz`` file, a pair of
        arrays, a Dataset, a DataLoader, ``package.module:callable``, or a `Data`.
    checkpoint : path or state dict, optional
        The trained weights. Without it, the weights of a module passed as `model` are the trained ones.
    initial : path or state dict, optional
        The weights that training started from, for the priors "learnt" and "initialisation"; by default what the
        factory builds under `seed`.
    prefix : str
        Prefix of the parameters' names in the files, such as ``model.`` in Lightning's.
    entry : str
        Entry of the files that holds the weights, where they hold several (weights, optimizer, ...).
    trust_pickle : bool
        Read files that execute code when they are read. Only for files that you made.
    prior : {"learnt", "checkpoint", "zero", "initialisation"}
        Centre of P. "learnt": a network trained here, from `initial`, on the examples with role ``prior``.
        "checkpoint": the checkpoint itself, which you thereby declare not to have seen the bound's sample.
        "zero" and "initialisation" need no data and suit a checkpoint that has seen everything.
    prior_scale : float or "per layer", optional
        Standard deviation of P, fixed before the bound's sample was looked at. By default: `network.noise` if that is
        positive; else the widest that hardly hurts on the prior's data; else chosen on a grid whose union is paid.
        "per layer", for a data-free prior: one for each layer, chosen on the product of their grids, which is paid.
    roles : Roles or mapping of str to indices, optional
        Which examples are ``prior``, ``bound`` and ``test``. By default the data's own test part, if it has one, is
        ``test``, and the rest is split at random: `prior_fraction` to ``prior`` where the prior is learnt, else all to
        ``bound``.
    prior_fraction : float
        Share of the examples given to a learnt prior by default.
    delta : float
        The whole probability that the certificate may fail, in (0, 1).
    monte_carlo_share : float
        Share of `delta` spent on the Monte Carlo step, in (0, 1).
    predictor : {"gibbs", "single draw", "majority vote"}
        What the certificate is about. "single draw": one network, drawn under `seed` after training and written to
        ``drawn.safetensors``; taking another seed because its number looked bad voids the certificate.
    theorem : str, optional
        Theorem of the headline, chosen in advance. For the Gibbs predictor one that takes (risk, kl, n, delta), by
        default ``pac_bayes.seeger_xi``; for a single draw ``pac_bayes.rivasplata``; for the majority vote
        ``pac_bayes.first_order`` (the default), ``pac_bayes.tandem``, or ``both``: the smaller, their union paid.
    network : NetworkTraining, optional
        How a learnt prior's network is trained.
    posterior : PosteriorTraining, DiagonalGaussian or LowRankGaussian, optional
        How the posterior is trained; or a posterior that is there already, such as one from
        `genbounds.pac_bayes.laplace.from_laplace`, over the parameters of the model by name. It may have seen the roles
        ``prior`` and ``bound``.
    augment : callable, optional
        ``augment(inputs, generator) -> inputs`` for training the prior's network, and nothing else.
    scheme : {"one per example", "shared"}
        Monte Carlo step: every example meets its own network (exact binomial limit), or every pass has one network
        for all examples (betting limit).
    passes : int
        Passes over the bound's sample in the Monte Carlo step.
    seed : int
        Seed of everything: same seed, same certificate.
    device, dtype : torch.device or str, torch.dtype
        Where and in what type the model is evaluated.
    out : str or Path, optional
        Folder for ``certificate.json``, ``posterior.safetensors``, ``prior.safetensors`` and the state of the run. A
        run that was killed and is started again with the same arguments, on the same machine and with the same
        versions, goes on where it stopped, to the same certificate.
    progress : bool
        Show bars on a terminal.

    Returns
    -------
    Certificate
        Its ``str()`` is the sentence that one may print; ``genbounds verify`` re-checks it without the model.

    Raises
    ------
    ValueError
        If an argument is impossible, a needed state is missing, the model's buffers may have seen the bound's sample,
        its output is not a function of the example alone, or the data changes when it is read again.
    """
    for name, value, choices in (
        ("prior", prior, PRIORS),
        ("scheme", scheme, SCHEMES),
        ("predictor", predictor, tuple(COVERED)),
    ):
        if value not in choices:
            raise ValueError(f"{name} must be one of {', '.join(choices)}, got {value!r}.")
    scale = None if prior_scale == PER_LAYER else prior_scale
    check_settings(prior_scale=scale, passes=passes, monte_carlo_share=monte_carlo_share)
    network, training = network or NetworkTraining(), posterior or PosteriorTraining()
    run = gather(
        model,
        data,
        prior=prior,
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
    networks, bound, n = run.networks, run.bound, len(run.bound)
    module = networks.module
    kind = COVERED[predictor]
    covered = kind(theorem or kind.default, n, delta, monte_carlo_share, scheme, passes)
    covered.rehearse()
    if not isinstance(training, PosteriorTraining):
        covered.check(training)
        random = {name: tuple(value.shape) for name, value in training.mean.items()}
        if random != {name: tuple(value.shape) for name, value in module.named_parameters()}:
            raise ValueError(
                f"posterior must be over the parameters of the model, by name and shape, got {', '.join(random)}. Use "
                "certify_head for one over the last layer alone."
            )
    settings: dict[str, Any] = {
        "prior": prior,
        "prior_scale": prior_scale,
        "delta": delta,
        "monte_carlo_share": monte_carlo_share,
        "predictor": predictor,
        "theorem": covered.theorem,
        "network": dataclasses.asdict(network),
        "posterior": dataclasses.asdict(training) if isinstance(training, PosteriorTraining) else training.sha256(),
        "augment": run.augmentation(augment),
        "scheme": scheme,
        "passes": passes,
    }
    folder = Path(out) if out is not None else None
    evaluation = run.open(settings, folder, progress)

    # The prior stands before anything looks at the bound's sample.
    p = make_prior(evaluation, networks, run.roles, prior, prior_scale, network, augment)
    run.check()
    _check_buffers(module, networks, prior)
    if isinstance(training, PosteriorTraining):
        start, origin = choose_start(evaluation, p, networks, bound, delta)
        q: Gaussian
        q, final_p, kl = fit_posterior(evaluation, p, start, bound, training, delta)
    else:
        q, origin = training, "given"
        final_p, kl = nearest_prior(p, q)

    prior_saw = ["prior"] if prior in ("learnt", "checkpoint") and "prior" in run.used else []
    statuses = statuses_of(p, run)
    if origin == "given":  # nobody here saw how it was made: it may know what the seed draws
        statuses[Assumption.DRAWS_INDEPENDENT] = "declared"
    fitted = Fitted(evaluation, "posterior", q, final_p, kl, bound, p.candidates, statuses)
    certificate = Certificate(
        **covered.argument(fitted),
        sample=run.sample(),
        model=run.model(q.parameters),
        prior={
            "kind": prior,
            "sha256": final_p.sha256(),
            "saw": prior_saw,
            "scale": p.described(final_p),
            "training": settings["network"] | {"augmented": augment is not None} if prior == "learnt" else None,
        },
        posterior={
            "family": "diagonal gaussian" if isinstance(q, DiagonalGaussian) else f"gaussian, diagonal + rank {q.rank}",
            "sha256": q.sha256(),
            "saw": [*prior_saw, "bound"],
            "kl": kl,
            "start": origin,
            "training": settings["posterior"] if isinstance(training, PosteriorTraining) else None,
        },
        draws=covered.draws(fitted),
        comparisons=(
            *holdout_comparisons(evaluation, networks, run.roles, p, network, augment, delta, statuses),
            Comparison(
                id="posterior = prior",
                what="The same bound for Q = P, which did not see the bound's sample: what the posterior bought.",
                **covered.argument(dataclasses.replace(fitted, name="prior", posterior=final_p, kl=0.0)),
            ),
            *covered.comparisons(fitted),
        ),
        estimates=covered.estimates(fitted, run.roles),
        notes=run.notes(),
        versions=run.versions,
    )
    if folder is not None:
        covered.save(fitted, folder)
        run.save(folder, certificate, q, final_p)
    return certificate


def _check_buffers(module: nn.Module, networks: Networks, prior: str) -> None:
    """Refuse buffers that training wrote where they may have seen the bound's sample."""
    buffers = stateful_buffers(module, networks.initial)
    if buffers and prior in ("zero", "initialisation"):
        raise ModelError(
            f"buffers must not have seen the bound's sample, got {', '.join(buffers)}, which training wrote, with the "
            f"data-free prior {prior!r}. Use the prior 'learnt' or 'checkpoint', whose buffers saw the prior's data "
            "only, or fold normalisation into the weights; if they are constants, pass the weights before training as "
            "initial."
        )


def statuses_of(p: Prior, run: Run) -> dict[Assumption, str]:
    """Say of each assumption whether the program saw to it or the user vouches for it."""
    # The user vouches for a scale that was given, and always for the state: nobody here saw the inputs prepared.
    drawn = run.networks.initial_drawn_here
    checked = {
        Assumption.LOSS_IN_UNIT_INTERVAL,
        Assumption.ZERO_ONE_LOSS,
        Assumption.DRAWS_INDEPENDENT,
        Assumption.DETERMINISTIC_EVALUATION,
    }
    if p.chosen != "fixed" and (p.kind == "zero" or (p.kind != "checkpoint" and drawn)):
        checked.add(Assumption.PRIOR_INDEPENDENT_OF_SAMPLE)
    if p.kind != "checkpoint" and drawn:  # the network that was trained here on what was held in, for comparison
        checked |= {Assumption.PREDICTOR_INDEPENDENT_OF_SAMPLE, Assumption.REFERENCE_INDEPENDENT_OF_SAMPLE}
    return run.statuses(checked)


def holdout_comparisons(
    evaluation: Evaluation,
    networks: Networks,
    roles: Roles,
    p: Prior,
    network: NetworkTraining,
    augment: Callable[[Tensor, torch.Generator], Tensor] | None,
    delta: float,
    statuses: Mapping[Assumption, str],
) -> tuple[Comparison, ...]:
    """Return what holding data out would have given: at equal confidence, from the same data."""
    bound = roles.indices("bound")
    if p.kind in ("learnt", "checkpoint"):
        errors = evaluation.errors("prior network, bound sample", p.mean, bound)
        what = "The network at the centre of the prior, which never saw the bound's sample, tested on all of it."
        return (holdout_comparison(errors, len(bound), delta, what, statuses),)
    if networks.initial is None:
        return ()
    # Nothing was held out: train a network on one half of the sample, test it on the other.
    kept, tested = in_halves(bound, evaluation.seed)
    learnt = learn_network(evaluation, networks.initial, kept, network, augment, "holdout")
    weights = {name: value.detach() for name, value in learnt.named_parameters()}
    # With its own buffers: training moved the statistics of a BatchNorm.
    errors = dataclasses.replace(evaluation, model=learnt).errors("holdout network, held-out half", weights, tested)
    what = f"A network trained on {len(kept)} examples of the bound's sample, tested on the other {len(tested)}."
    return (holdout_comparison(errors, len(tested), delta, what, statuses),)
