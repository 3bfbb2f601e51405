"""The prior and the posterior of a run: where they are centred, how wide they are, and what was paid for choosing."""

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from genbounds.models.splits import Roles
from genbounds.numerics import log_xi
from genbounds.pac_bayes.gibbs import seeger_xi
from genbounds.pac_bayes.low_rank import Gaussian
from genbounds.pac_bayes.posteriors import DiagonalGaussian
from genbounds.pac_bayes.priors import scale_grid, snap
from genbounds.pac_bayes.training import NetworkTraining, PosteriorTraining, train_network, train_posterior
from genbounds.workflow.evaluation import Evaluation
from genbounds.workflow.inputs import Networks

__all__ = [
    "CANDIDATE_SCALES",
    "PER_LAYER",
    "Prior",
    "choose_start",
    "fit_posterior",
    "layer_of",
    "learn_network",
    "make_prior",
    "nearest_prior",
]

Augment: TypeAlias = Callable[[Tensor, torch.Generator], Tensor]

#: Standard deviations tried where a scale has to be found: a short geometric list, fixed before any data is seen.
CANDIDATE_SCALES = (0.003, 0.01, 0.02, 0.03, 0.05, 0.1)

#: The prior scale that stands for one in each layer.
PER_LAYER = "per layer"

#: Nats that a union may cost: delta divided by e to this power is still a float.
_MOST_NATS = 600.0


@dataclass(frozen=True)
class Prior:
    """What is known of the prior before the bound's sample is looked at.

    Parameters
    ----------
    kind : str
        "learnt", "checkpoint", "zero" or "initialisation".
    mean : mapping of str to Tensor
        Its centre.
    scales : tuple of float, or mapping of str to tuple of float
        Standard deviations to choose from after seeing the sample, for all parameters at once or for each layer by
        name; a single one costs nothing.
    chosen : {"fixed", "prior data", "grid"}
        How the scale is, or will be, chosen.
    """

    kind: str
    mean: Mapping[str, Tensor]
    scales: tuple[float, ...] | Mapping[str, tuple[float, ...]]
    chosen: str

    @property
    def grids(self) -> dict[str, tuple[float, ...]]:
        """Scales to choose from by group of parameters: by layer, or one group named "" for all."""
        return dict(self.scales) if isinstance(self.scales, Mapping) else {"": self.scales}

    @property
    def groups(self) -> dict[str, list[str]]:
        """Names of the parameters that share a scale, by group."""
        if not isinstance(self.scales, Mapping):
            return {"": list(self.mean)}
        return {layer: [name for name in self.mean if layer_of(name) == layer] for layer in self.scales}

    @property
    def candidates(self) -> int | dict[str, int]:
        """How many scales there are to choose from, or how many for each layer."""
        if isinstance(self.scales, Mapping):
            return {layer: len(grid) for layer, grid in self.scales.items()}
        return len(self.scales)

    @property
    def log_candidates(self) -> float:
        """Nats that the union over all combinations costs."""
        return math.fsum(math.log(len(grid)) for grid in self.grids.values())

    @property
    def far(self) -> bool:
        """Whether the posterior is far from the centre, so that the best scale follows from the distance."""
        return self.kind in ("zero", "initialisation") and self.chosen == "grid"

    def at(self, scales: Mapping[str, float]) -> DiagonalGaussian:
        """Return the prior with some of its scales.

        Parameters
        ----------
        scales : mapping of str to float
            Standard deviation of each group.

        Returns
        -------
        DiagonalGaussian
            Around the mean, isotropic within each group.
        """
        scale_of = {name: scales[group] for group, names in self.groups.items() for name in names}
        mean = {name: value.detach().cpu().clone() for name, value in self.mean.items()}
        return DiagonalGaussian(
            mean, {name: torch.tensor(scale_of[name], dtype=value.dtype) for name, value in mean.items()}
        )

    def described(self, final: DiagonalGaussian) -> dict[str, Any]:
        """Return what a certificate says of the scale.

        Parameters
        ----------
        final : DiagonalGaussian
            The prior with the scales that were chosen.

        Returns
        -------
        dict
            ``value`` and ``candidates``, by layer where each has its own, and ``chosen``.
        """
        values = {group: float(final.scale[names[0]]) for group, names in self.groups.items()}
        return {
            "value": values if isinstance(self.scales, Mapping) else values[""],
            "chosen": self.chosen,
            "candidates": self.candidates,
        }


def layer_of(name: str) -> str:
    """Return the layer that a parameter belongs to: the module that holds it.

    Parameters
    ----------
    name : str
        Name of a parameter, such as ``features.0.weight``.

    Returns
    -------
    str
        Name of the layer, such as ``features.0``; "" at the top.
    """
    return name.rpartition(".")[0]


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
    scale: float | str | None,
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
    scale : float, "per layer" or None
        Its standard deviation, if it is given; or one for each layer, to be chosen on a grid.
    settings : NetworkTraining
        How a learnt prior's network is trained.
    augment : callable, optional
        Augmentation for it.

    Returns
    -------
    Prior
        The prior, with one scale or a grid of them.

    Raises
    ------
    ValueError
        If layers cannot have scales of their own: for another kind of prior, or where there are too many.
    """
    if scale == PER_LAYER and kind not in ("zero", "initialisation"):
        raise ValueError(
            f"prior_scale must be a number, or left out, for the prior {kind!r}, got {scale!r}: scales by layer are "
            "for the data-free priors zero and initialisation."
        )
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
    if scale == PER_LAYER:
        sizes: dict[str, int] = {}
        for name, value in own.items():
            sizes[layer_of(name)] = sizes.get(layer_of(name), 0) + value.numel()
        by_layer = Prior(kind, centre, {layer: tuple(scale_grid(d).tolist()) for layer, d in sizes.items()}, "grid")
        if by_layer.log_candidates > _MOST_NATS:
            raise ValueError(
                f"prior_scale must be one for all layers, got {scale!r} for {len(sizes)} of them: the union over all "
                f"combinations of their scales costs {by_layer.log_candidates:.0f} nats. Leave it out."
            )
        return by_layer
    if scale is not None:
        return Prior(kind, centre, (float(scale),), "fixed")
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
        for scale in CANDIDATE_SCALES if prior.far else prior.grids[""]:
            start = DiagonalGaussian.isotropic(centre, scale)
            (errors,) = evaluation.gibbs_errors(f"start at {origin}, {scale}", start, indices, passes=1)
            bound = float(
                seeger_xi(errors / n, nearest_prior(prior, start)[1], n, delta * math.exp(-prior.log_candidates))
            )
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
    """Train the posterior on the bound, and settle the prior's scales.

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
    fixed_prior = nearest_prior(prior, start)[0]
    posterior = train_posterior(
        evaluation.model,
        fixed_prior,
        start,
        evaluation.data,
        indices,
        settings,
        log_term=float(log_xi(n)) - math.log(delta) + prior.log_candidates,
        free_prior_scales=tuple(prior.groups.values()) if prior.far else (),
        seed=evaluation.seed,
        device=evaluation.device,
        dtype=evaluation.dtype,
        resume=evaluation.store.file("posterior.pt"),
        progress=evaluation.progress,
    )
    return posterior, *nearest_prior(prior, posterior)


def nearest_prior(prior: Prior, posterior: Gaussian) -> tuple[DiagonalGaussian, float]:
    """Return the prior whose scales, among those paid for, give the least KL, and that KL.

    Parameters
    ----------
    prior : Prior
        The prior, with one or several scales.
    posterior : DiagonalGaussian or LowRankGaussian
        Q.

    Returns
    -------
    prior : DiagonalGaussian
        P with its final scales.
    kl : float
        KL(Q || P) in nats, rounded up.
    """
    if prior.far:
        spread, chosen = posterior.spread(prior.mean), {}
        for group, names in prior.groups.items():
            d, own = sum(prior.mean[name].numel() for name in names), math.fsum(spread[name] for name in names)

            def cost(s: float, d: int = d, own: float = own) -> float:
                return d * math.log(s) + own / (2 * s * s)  # what a group adds to the KL, but for what no scale changes

            # Least at s^2 = own / d: only the neighbours of that value on the grid can be best.
            chosen[group] = min(snap(own / d, np.asarray(prior.grids[group])), key=cost)
        nearest = prior.at(chosen)
        return nearest, posterior.kl(nearest)
    priors = [prior.at({"": scale}) for scale in prior.grids[""]]
    kls = [posterior.kl(one) for one in priors]
    best = int(np.argmin(kls))
    return priors[best], kls[best]
