"""The prior and the posterior of a run: where they are centred, how wide they are, and what was paid for choosing."""

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from genbounds.models.splits import Roles
from genbounds.numerics import log_xi
from genbounds.pac_bayes.gibbs import seeger_xi
from genbounds.pac_bayes.posteriors import DiagonalGaussian
from genbounds.pac_bayes.priors import scale_grid, snap
from genbounds.pac_bayes.training import NetworkTraining, PosteriorTraining, train_network, train_posterior
from genbounds.workflow.evaluation import Evaluation
from genbounds.workflow.inputs import Networks

__all__ = ["CANDIDATE_SCALES", "Prior", "choose_start", "fit_posterior", "learn_network", "make_prior"]

Augment: TypeAlias = Callable[[Tensor, torch.Generator], Tensor]

#: Standard deviations tried where a scale has to be found: a short geometric list, fixed before any data is seen.
CANDIDATE_SCALES = (0.003, 0.01, 0.02, 0.03, 0.05, 0.1)


@dataclass(frozen=True)
class Prior:
    """What is known of the prior before the bound's sample is looked at.

    Parameters
    ----------
    kind : str
        "learnt", "checkpoint", "zero" or "initialisation".
    mean : mapping of str to Tensor
        Its centre.
    scales : tuple of float
        Standard deviations to choose from after seeing the sample; a single one costs nothing.
    chosen : {"fixed", "prior data", "grid"}
        How the scale is, or will be, chosen.
    """

    kind: str
    mean: Mapping[str, Tensor]
    scales: tuple[float, ...]
    chosen: str

    @property
    def far(self) -> bool:
        """Whether the posterior is far from the centre, so that the best scale follows from the distance."""
        return self.kind in ("zero", "initialisation") and self.chosen == "grid"

    def at(self, scale: float) -> DiagonalGaussian:
        """Return the prior with one of its scales.

        Parameters
        ----------
        scale : float
            Standard deviation.

        Returns
        -------
        DiagonalGaussian
            N(mean, scale^2 I).
        """
        return DiagonalGaussian.isotropic(self.mean, scale)


def learn_network(
    evaluation: Evaluation,
    initial: Mapping[str, Tensor],
    indices: NDArray[np.int64],
    settings: NetworkTraining,
    augment: Augment | None,
    name: str,
) -> nn.Module:
    """Train a copy of the model from its initial state on the examples `indices` alone.

    Parameters
    ----------
    evaluation : Evaluation
        The run.
    initial : mapping of str to Tensor
        State to start from: parameters and buffers.
    indices : ndarray of int64
        Examples with role ``prior``.
    settings : NetworkTraining
        How to train.
    augment : callable, optional
        Augmentation of the batches.
    name : str
        Name of the file with the state of the training.

    Returns
    -------
    nn.Module
        The trained copy, in evaluation mode.
    """
    model = copy.deepcopy(evaluation.model)
    model.load_state_dict(dict(initial))
    train_network(
        model,
        evaluation.data,
        indices,
        settings,
        seed=evaluation.seed,
        device=evaluation.device,
        dtype=evaluation.dtype,
        augment=augment,
        resume=evaluation.store.file(f"{name}.pt"),
        progress=evaluation.progress,
    )
    return model


def _scale_on_prior_data(evaluation: Evaluation, mean: Mapping[str, Tensor], indices: NDArray[np.int64]) -> float:
    """Return the widest candidate scale whose noise hardly hurts on the prior's own data.

    Wider is better, since the posterior may then move further for the same KL; "hardly" means that the errors rise
    by at most a tenth and one standard deviation of their count. The bound's sample is not looked at: nothing is paid.

    Parameters
    ----------
    evaluation : Evaluation
        The run.
    mean : mapping of str to Tensor
        Centre of the prior.
    indices : ndarray of int64
        Examples with role ``prior``.

    Returns
    -------
    float
        The scale.
    """
    still = evaluation.errors("prior network, prior data", mean, indices)
    # A count of none or one has a spread too: take that of four.
    allowed = 1.1 * still + math.sqrt(max(still, 4))
    best = CANDIDATE_SCALES[0]
    for scale in CANDIDATE_SCALES:
        gaussian = DiagonalGaussian.isotropic(mean, scale)
        (errors,) = evaluation.gibbs_errors(f"prior scale {scale}, prior data", gaussian, indices, passes=1)
        if errors > allowed:
            break
        best = scale
    return best


def make_prior(
    evaluation: Evaluation,
    networks: Networks,
    roles: Roles,
    kind: str,
    scale: float | None,
    settings: NetworkTraining,
    augment: Augment | None,
) -> Prior:
    """Fix the prior without looking at the bound's sample; leave the model with the buffers that go with it.

    Parameters
    ----------
    evaluation : Evaluation
        The run.
    networks : Networks
        Its states before and after training.
    roles : Roles
        Roles of the examples; only ``prior`` is looked at.
    kind : {"learnt", "checkpoint", "zero", "initialisation"}
        Centre of the prior.
    scale : float or None
        Its standard deviation, if it is given.
    settings : NetworkTraining
        How a learnt prior's network is trained.
    augment : callable, optional
        Augmentation for it.

    Returns
    -------
    Prior
        The prior, with one scale or a grid of them.
    """
    indices = roles.indices("prior")
    if kind == "learnt":
        learnt = learn_network(evaluation, networks.start, indices, settings, augment, "network")
        evaluation.model.load_state_dict(learnt.state_dict())
    own = {name: value.detach().cpu().clone() for name, value in evaluation.model.named_parameters()}
    centre = own
    if kind == "zero":
        centre = {name: torch.zeros_like(value) for name, value in own.items()}
    elif kind == "initialisation":
        centre = {name: networks.start[name].to(value.dtype) for name, value in own.items()}
    if scale is not None:
        return Prior(kind, centre, (scale,), "fixed")
    if kind == "learnt" and settings.noise:
        return Prior(kind, centre, (settings.noise,), "fixed")
    if kind in ("learnt", "checkpoint") and len(indices):
        return Prior(kind, centre, (_scale_on_prior_data(evaluation, centre, indices),), "prior data")
    if kind == "checkpoint":
        return Prior(kind, centre, CANDIDATE_SCALES, "grid")
    grid = scale_grid(sum(value.numel() for value in own.values()))
    return Prior(kind, centre, tuple(grid.tolist()), "grid")


def choose_start(
    evaluation: Evaluation, prior: Prior, networks: Networks, indices: NDArray[np.int64], delta: float
) -> tuple[DiagonalGaussian, str]:
    """Return the isotropic Gaussian from which a posterior is best trained: whose bound on the sample is least.

    The posterior may depend on the bound's sample in any way, so choosing its start costs nothing. Candidates are the
    checkpoint's weights and, where it is a network too, the centre of the prior.

    Parameters
    ----------
    evaluation : Evaluation
        The run.
    prior : Prior
        The prior, with one or several scales.
    networks : Networks
        The run's states.
    indices : ndarray of int64
        The bound's sample.
    delta : float
        Confidence, for the bound that candidates are compared by (without Monte Carlo step, which only the final
        count pays).

    Returns
    -------
    start : DiagonalGaussian
        The best candidate.
    origin : str
        Where it is centred: ``checkpoint`` or ``prior``.
    """
    centres = {}
    if prior.kind == "learnt":
        centres["prior"] = prior.mean
    if networks.trained is not None:
        centres["checkpoint"] = {name: networks.trained[name].to(value.dtype) for name, value in prior.mean.items()}
    n = len(indices)
    candidates = []
    for origin, centre in centres.items():
        for scale in CANDIDATE_SCALES if prior.far else prior.scales:
            start = DiagonalGaussian.isotropic(centre, scale)
            (errors,) = evaluation.gibbs_errors(f"start at {origin}, {scale}", start, indices, passes=1)
            bound = float(seeger_xi(errors / n, _nearest_prior(prior, start)[1], n, delta / len(prior.scales)))
            candidates.append((bound, start, origin))
    _, start, origin = min(candidates, key=lambda candidate: candidate[0])
    return start, origin


def fit_posterior(
    evaluation: Evaluation,
    prior: Prior,
    start: DiagonalGaussian,
    indices: NDArray[np.int64],
    settings: PosteriorTraining,
    delta: float,
) -> tuple[DiagonalGaussian, DiagonalGaussian, float]:
    """Train the posterior on the bound, and settle the prior's scale.

    Parameters
    ----------
    evaluation : Evaluation
        The run.
    prior : Prior
        The prior, with one or several scales.
    start : DiagonalGaussian
        Where the posterior starts.
    indices : ndarray of int64
        The bound's sample.
    settings : PosteriorTraining
        How to train.
    delta : float
        Part of delta that goes to the PAC-Bayes bound.

    Returns
    -------
    posterior, prior : DiagonalGaussian
        Q, and P with its final scale.
    kl : float
        KL(Q || P) in nats, rounded up.
    """
    n = len(indices)
    fixed_prior = _nearest_prior(prior, start)[0]
    posterior = train_posterior(
        evaluation.model,
        fixed_prior,
        start,
        evaluation.data,
        indices,
        settings,
        log_term=float(log_xi(n)) - math.log(delta / len(prior.scales)),
        free_prior_scale=prior.far,
        seed=evaluation.seed,
        device=evaluation.device,
        dtype=evaluation.dtype,
        resume=evaluation.store.file("posterior.pt"),
        progress=evaluation.progress,
    )
    return posterior, *_nearest_prior(prior, posterior)


def _nearest_prior(prior: Prior, posterior: DiagonalGaussian) -> tuple[DiagonalGaussian, float]:
    """Return the prior whose scale, among those paid for, gives the least KL, and that KL."""
    candidates = prior.scales
    if prior.far:
        # The best continuous variance in closed form; only its neighbours on the grid can be best.
        spread = math.fsum(
            float((posterior.scale[name].double().square().expand(value.shape)).sum())
            + float((value.double() - prior.mean[name].double()).square().sum())
            for name, value in posterior.mean.items()
        )
        candidates = snap(spread / posterior.parameters, np.asarray(prior.scales))
    priors = [prior.at(scale) for scale in candidates]
    kls = [posterior.kl(one) for one in priors]
    best = int(np.argmin(kls))
    return priors[best], kls[best]
