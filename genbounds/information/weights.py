r"""The weight of the truth: the prior mass of the models near the true law, far below what draws would ever hit.

`genbounds.information.feder_ball` bounds the regret of a Bayes mixture by n e + ln(1 / pi(D <= e)), D(t) = KL(P ||
p_t), for every radius e. The costs ln(1 / pi(D <= e)) are the information of the rare event that a model drawn from the
prior lies in the ball:

* for a linear model with Gaussian prior and noise D is a quadratic form of the prior's variables, and
  `genbounds.rare_events.quadratic_tail` gives the costs exactly;
* for a network D is the mean over inputs of the divergence of its labels' law from the teacher's, and two samplers
  estimate the costs (`ball_weight`).

An estimate may not stand in the theorem. But both samplers estimate the prior mass without bias, so that a limit holds
by Markov's inequality however far off the estimate is, and with it a bound on the regret (`regret_limit`).
"""

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from genbounds.information.universality import feder_ball
from genbounds.numerics.checks import confidence as inside_unit
from genbounds.numerics.checks import finite, nonnegative, positive
from genbounds.numerics.estimates import UpperLimit
from genbounds.rare_events.agreement import Agreement
from genbounds.rare_events.curves import TailCurve
from genbounds.rare_events.quadratic.forms import QuadraticForm
from genbounds.rare_events.sampling import sampled_tail
from genbounds.rare_events.splitting.stages import LatentLoss

__all__ = ["ball_weight", "label_divergence", "linear_divergence", "regret_limit"]


def linear_divergence(
    second_moment: ArrayLike, truth: ArrayLike, prior_factor: ArrayLike, noise: float
) -> QuadraticForm:
    """Return the law, under the prior, of a linear model's divergence from the true one.

    Labels are x . t* plus normal noise, models are vectors t with the prior N(0, A A^T), and
    D(t) = E (x . (t - t*))^2 / (2 noise^2). Its tail is the weight of the truth:
    ``quadratic_tail(linear_divergence(...), radii)``.

    Parameters
    ----------
    second_moment : array_like, shape (d, d)
        E x x^T over the inputs, or X^T X / n over a fixed list of them.
    truth : array_like, shape (d,)
        t*.
    prior_factor : array_like, shape (d, k)
        A: models are A z with z ~ N(0, I).
    noise : float
        Standard deviation of the labels around x . t*, positive.

    Returns
    -------
    QuadraticForm
        D as a form in the prior's variables. Its offset is the divergence that no model of the prior removes.

    Raises
    ------
    ValueError
        If a number is out of range, the matrix is no second moment, or shapes differ.

    Examples
    --------
    One weight with the prior N(0, 1), whose truth is 0: D = t^2 / 2.

    >>> linear_divergence([[1.0]], [0.0], [[1.0]], 1.0).weights.round(12).tolist()
    [0.5]
    """
    moment, target, factor = (
        finite("second_moment", second_moment),
        finite("truth", truth),
        finite("prior_factor", prior_factor),
    )
    if moment.shape != (len(target), len(target)) or factor.ndim != 2 or len(factor) != len(target):
        raise ValueError(
            f"second_moment, truth and prior_factor must have shapes (d, d), (d,) and (d, k), got {moment.shape}, "
            f"{target.shape} and {factor.shape}. Pass E x x^T, t* and A of one dimension."
        )
    values, axes = np.linalg.eigh((moment + moment.T) / 2)
    if values[0] < -1e-12 * values[-1]:
        raise ValueError(
            f"second_moment must have no negative eigenvalue, got {values[0]!r}. It is an average of x x^T."
        )
    root = np.sqrt(np.maximum(values, 0.0))[:, None] * axes.T / float(positive("noise", noise))
    return QuadraticForm.from_factor(-root @ target, root @ factor, output_weights=0.5)


def label_divergence(outputs: Tensor, probabilities: Tensor) -> Tensor:
    """Return KL(teacher's law of the label || network's) for each example: a loss for `NetworkPrior.loss`.

    Its mean over a list of inputs is the divergence for inputs drawn from that list, exactly.

    Parameters
    ----------
    outputs : Tensor, shape (n, classes)
        Logits of a network.
    probabilities : Tensor, shape (n, classes)
        The teacher's probabilities of the labels, non-negative; each row is divided by its sum, which frees it of what
        rounding to a narrower type adds. A single one in each row: labels without noise.

    Returns
    -------
    Tensor, shape (n,)
        Divergences in nats, float64.

    Examples
    --------
    >>> label_divergence(torch.zeros(1, 2), torch.tensor([[1.0, 0.0]])).tolist()
    [0.6931471805599453]
    """
    law = probabilities.double()
    law = law / law.sum(dim=1, keepdim=True)
    return (torch.xlogy(law, law) - law * torch.log_softmax(outputs.double(), dim=1)).sum(dim=1)


def ball_weight(
    divergence: LatentLoss,
    dimension: int,
    radii: ArrayLike,
    *,
    annealing: Mapping[str, Any] | None = None,
    subset: Mapping[str, Any] | None = None,
    confidence: float = 0.95,
    seed: int = 0,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float64,
    progress: bool = False,
) -> Agreement:
    """Estimate the costs -ln pi(D <= radius) by annealing and by subset simulation, and say whether they agree.

    Parameters
    ----------
    divergence : callable
        ``divergence(z)``: points (chains, d) of the prior's whitened space to D in nats for each, differentiable; for a
        network ``NetworkPrior.loss(label_divergence, (inputs, probabilities))``.
    dimension : int
        d; z ~ N(0, I_d).
    radii : array_like, shape (k,)
        Radii in nats, non-negative and increasing.
    annealing, subset : mapping, optional
        Settings of `annealed_importance` and of `subset_simulation`.
    confidence, seed, device, dtype, progress
        As in `genbounds.rare_events.sampled_tail`.

    Returns
    -------
    Agreement
        Both curves; `combined` is what they say together.

    Raises
    ------
    ValueError
        If a radius is negative, or an argument of a sampler is out of range.

    Examples
    --------
    Three weights of a linear model, all of which matter alike: D = |z|^2 / 2.

    >>> from genbounds.rare_events import QuadraticForm, quadratic_tail
    >>> exact = quadratic_tail(QuadraticForm([0.5] * 3, 0.0), [1e-4]).nats
    >>> both = ball_weight(lambda z: z.square().sum(1) / 2, 3, [1e-4])
    >>> both.flag, bool(both.combined.low <= exact <= both.combined.high)
    (False, True)
    """
    both = sampled_tail(
        divergence,
        dimension,
        nonnegative("radii", radii, "A divergence is never below zero."),
        annealing=annealing,
        subset=subset,
        confidence=confidence,
        seed=seed,
        device=device,
        dtype=dtype,
        progress=progress,
    )
    return cast(Agreement, both)


def regret_limit(weights: TailCurve | Agreement, n: ArrayLike, delta: float) -> UpperLimit:
    """Bound the regret of the Bayes mixture by the weight of balls that were sampled, or are known.

    Parameters
    ----------
    weights : TailCurve or Agreement
        Costs by radius. Two curves share `delta`, and the lower limit of each ball counts; that they agree is not
        needed.
    n : array_like of int, shape (...)
        Examples; for any number of them at once, and the best radius for each.
    delta : float
        Probability over the samplers' draws, not over the examples, with which any of the bounds may fail, in (0, 1).

    Returns
    -------
    UpperLimit
        In nats for each n; what it bounds is `feder_ball`'s regret, on average over n independent examples.

    Raises
    ------
    ValueError
        If an argument is out of range, or a curve gives no limit.

    Examples
    --------
    >>> from genbounds.rare_events import QuadraticForm, quadratic_tail
    >>> exact = quadratic_tail(QuadraticForm([0.5] * 3, 0.0), np.geomspace(1e-4, 1, 30))
    >>> regret_limit(exact, [10, 1000], 0.05).value.round(2).tolist()
    [4.72, 11.56]
    """
    curves = (weights.first, weights.second) if isinstance(weights, Agreement) else (weights,)
    share = float(inside_unit("delta", delta)) / len(curves)
    limits = [curve.upper_limit(share) for curve in curves]
    costs = np.min([np.asarray(limit) for limit in limits], axis=0)
    method = f"feder_ball with costs by {' and '.join(sorted({limit.method for limit in limits}))}"
    return UpperLimit(feder_ball(curves[0].levels, costs, n), delta, method)
