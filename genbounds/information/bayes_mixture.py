"""What a Gaussian prior over a network's weights would have paid for these labels, seen from around a checkpoint.

The Bayes mixture of all networks, under a prior fixed without the data, predicts each label from its input and the
examples before it. Nobody can run it. But `genbounds.information.mixture_log_loss` bounds its cumulative log-loss on
the very examples at hand by E_q[log-loss] + KL(q || prior), for every q: here Gaussians around the checkpoint's
weights. Few nats an example mean that the prior gives much mass to networks that fit: the certificate behind "flat
minima are simple".

Which width is best may be found on the same examples, for nothing: the inequality holds for all q at once. What is not
free is E_q. Every example meets networks of its own, drawn afresh (`genbounds.models.randomness`), so that one pass
gives as many independent values as there are examples. Still:

* Log-loss is not bounded, so an average over draws with its standard error is an *estimate*; no number of draws makes
  it a bound.
* With smoothing s every model's probabilities are mixed with s parts of the uniform law on C classes. These models form
  a Bayes mixture too, of the same prior, and their log-loss is at most ln(C / s). For it there is a true upper limit,
  which fails with probability at most delta over the draws, for all widths together (betting, `genbounds.numerics`).

The prior has to be fixed without the examples: around zero or around the initial weights, with a scale that was not
tuned on them. A prior around the trained weights makes the numbers small and meaningless.
"""

import math
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from genbounds.information.universality import mixture_log_loss
from genbounds.models.buffers import stateful_buffers
from genbounds.models.examples import Data
from genbounds.models.guards import ModelError, check_evaluation_mode, check_finite_outputs, check_logits
from genbounds.models.passes import block_size
from genbounds.models.progress import track
from genbounds.models.randomness import PerExampleForward, normal_noise, stream
from genbounds.numerics import betting_upper, confidence, count, kl_isotropic, round_up
from genbounds.numerics.checks import positive, unit_interval

__all__ = ["MixtureLogLoss", "bayes_mixture"]


@dataclass(frozen=True)
class MixtureLogLoss:
    """What a Gaussian of one width around a checkpoint says about the Bayes mixture's cumulative log-loss.

    Parameters
    ----------
    width : float
        Standard deviation of every weight.
    kl : float
        KL(q || prior) in nats, rounded up.
    examples : int
        Examples that were predicted.
    log_loss : float
        Estimate of E_q of the cumulative log-loss, nats.
    standard_error : float
        Its standard error, nats.
    limit : float
        Upper limit of the mixture's cumulative log-loss in nats; infinite without smoothing.
    delta : float
        Probability over the draws with which some width's limit may fail.
    """

    width: float
    kl: float
    examples: int
    log_loss: float
    standard_error: float
    limit: float
    delta: float

    @property
    def estimate(self) -> float:
        """Estimate, not a bound, of E_q[log-loss] + KL in nats, which the mixture's log-loss does not exceed."""
        return self.log_loss + self.kl

    def __str__(self) -> str:
        n = self.examples
        estimate = f"{self.estimate / n:.4f} +- {self.standard_error / n:.4f} nats an example, estimated"
        limit = f"; at most {self.limit / n:.4f} with probability {1 - self.delta:g} over the draws"
        return f"width {self.width:.3g}: {estimate}{limit if self.limit < math.inf else ''}"


def _log_losses(logits: Tensor, targets: Tensor, smoothing: float) -> Tensor:
    """Return -ln of the probability of each target, in float64, after mixing with the uniform law."""
    logs = torch.log_softmax(logits.double(), dim=1).gather(1, targets[:, None])[:, 0]
    if smoothing:
        uniform = torch.full_like(logs, math.log(smoothing / logits.shape[1]))
        logs = torch.logaddexp(logs + math.log1p(-smoothing), uniform)
    return -logs


@torch.no_grad()
def bayes_mixture(
    model: nn.Module,
    data: Data,
    indices: NDArray[np.int64],
    *,
    prior_scale: float,
    widths: Sequence[float],
    draws: int,
    seed: int,
    centre: Mapping[str, Tensor] | None = None,
    smoothing: float = 0.0,
    delta: float = 0.05,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    progress: bool = False,
) -> tuple[MixtureLogLoss, ...]:
    """Bound what the Bayes mixture of a classifier pays for the labels of the examples `indices`, width by width.

    Parameters
    ----------
    model : nn.Module
        Trained classifier in evaluation mode; all of its parameters belong to the prior. A copy of it is used.
    data : Data
        Where the examples are.
    indices : ndarray of int64
        Which examples, those of training as a rule.
    prior_scale : float
        Standard deviation of the prior, the same for all weights, positive; fixed without the examples.
    widths : sequence of float
        Standard deviations of the Gaussians around the checkpoint, positive.
    draws : int
        Passes over the examples for each width, every example with a network of its own each time; at least 2, fixed
        before looking.
    seed : int
        Seed of the draws.
    centre : mapping of str to Tensor, optional
        Centre of the prior by name of parameter, such as the initial weights; zero by default.
    smoothing : float
        Share of the uniform law in every model's prediction, in [0, 1); fixed before looking. At 0 there is no limit.
    delta : float
        Probability over the draws with which a limit may fail, for all widths together, in (0, 1).
    device, dtype : torch.device or str, torch.dtype
        Where and in what type the network is evaluated; losses are summed in float64.
    progress : bool
        Show a bar on a terminal.

    Returns
    -------
    tuple of MixtureLogLoss
        One for each width; the smallest limit is one too. The smallest *estimate* is a little optimistic, as the least
        of several.

    Raises
    ------
    ValueError
        If a number is out of range, names or shapes of the centre are not those of the parameters, or the network gives
        no finite scores.
    ModelError
        If the model is in training mode, or its buffers may hold what it saw of the data, which no prior covers.

    Examples
    --------
    Two classes told apart by the sign of one input; uniform guessing costs ln 2 = 0.693 nats an example:

    >>> import torch
    >>> from genbounds.models.examples import TensorData
    >>> x = torch.linspace(-1, 1, 200)[:, None]
    >>> data = TensorData(x, (x[:, 0] > 0).long(), "signs")
    >>> model = torch.nn.Linear(1, 2, bias=False).eval()
    >>> _ = model.weight.data.copy_(torch.tensor([[-10.0], [10.0]]))
    >>> found = bayes_mixture(
    ...     model, data, range(200), prior_scale=10.0, widths=[0.1, 1.0, 3.0], draws=10, seed=0, smoothing=0.01
    ... )
    >>> best = min(found, key=lambda each: each.limit)
    >>> best.width, best.limit / 200 < 0.2, best.estimate < best.limit
    (3.0, True, True)
    """
    draws, widths = int(count("draws", draws, minimum=2)), [float(positive("widths", width)) for width in widths]
    delta, smoothing = float(confidence("delta", delta)), float(unit_interval("smoothing", smoothing, "It is a share."))
    if not widths or smoothing == 1 or not len(indices):
        raise ValueError(
            f"widths and indices must not be empty and smoothing must be below 1, got {len(widths)} widths, "
            f"{len(indices)} examples and {smoothing!r}. Nothing can be said about models without a say."
        )
    check_evaluation_mode(model)
    if held := sorted(stateful_buffers(model)):
        raise ModelError(
            f"model must hold what it learnt in parameters, got buffers {held}. No prior covers them: use a network "
            "without running statistics."
        )
    model = deepcopy(model).to(device, dtype)
    wide = torch.promote_types(dtype, torch.float32)
    mean = {name: value.detach() for name, value in model.named_parameters()}
    prior = _vector(_centred(mean, centre))
    indices = np.asarray(indices)
    size = block_size(data, indices)
    blocks = -(-len(indices) // size)
    forward = PerExampleForward(model, next(data.batches(indices[:5], 5, device=device, dtype=dtype))[1])
    found = []
    for width in widths:
        scale = {name: torch.full_like(value, width, dtype=wide) for name, value in mean.items()}
        used = torch.tensor(width, dtype=wide).item()  # as it is drawn with, and as the divergence must be told
        losses, classes = np.empty((draws, len(indices))), 0
        for number in track(range(draws), f"width {width:g}", total=draws, progress=progress):
            batches = data.batches(indices, size, device=device, dtype=dtype)
            for block, (index, inputs, targets) in enumerate(batches):
                noise = normal_noise(stream(seed, "Bayes mixture", number * blocks + block, device=device), dtype)
                logits = forward(mean, scale, inputs, noise)
                check_logits(logits, targets)
                check_finite_outputs(logits, index)
                classes = logits.shape[1]
                losses[number, block * size : block * size + len(index)] = _log_losses(logits, targets, smoothing).cpu()
        kl = float(kl_isotropic(_vector(mean), used, prior, prior_scale))
        largest = math.log(classes / smoothing) if smoothing else math.inf
        found.append(_summary(used, kl, losses, largest, delta, len(widths)))
    return tuple(found)


def _summary(
    width: float, kl: float, losses: NDArray[np.float64], largest: float, delta: float, widths: int
) -> MixtureLogLoss:
    """Return estimate and limit from the losses of each pass on each example, none of which is above `largest`."""
    draws, examples = losses.shape
    limit = math.inf
    if largest < math.inf:
        values = np.minimum(round_up(losses.ravel() / largest, 12), 1.0)
        mean = betting_upper(values, -round_up(-np.log(delta / widths), 6))
        limit = float(mixture_log_loss(round_up(mean * largest * examples, 6), kl))
    deviation = math.sqrt(losses.var(axis=0, ddof=1).sum() / draws)
    return MixtureLogLoss(width, kl, examples, math.fsum(losses.ravel()) / draws, deviation, limit, delta)


def _centred(mean: Mapping[str, Tensor], centre: Mapping[str, Tensor] | None) -> dict[str, Tensor]:
    """Return the centre of the prior in the order and the type of the weights."""
    if centre is None:
        return {name: torch.zeros_like(value) for name, value in mean.items()}
    if centre.keys() != mean.keys() or any(centre[name].shape != value.shape for name, value in mean.items()):
        raise ValueError(
            f"centre must have the names and shapes of the model's parameters, got {sorted(centre)}. "
            "Pass the initial state of the same network, without its buffers."
        )
    return {name: centre[name].to(value) for name, value in mean.items()}


def _vector(weights: Mapping[str, Tensor]) -> NDArray[np.float64]:
    return np.concatenate([value.double().cpu().numpy().ravel() for value in weights.values()])
