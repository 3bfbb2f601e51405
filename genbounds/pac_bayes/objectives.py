"""Differentiable bounds: what a posterior is trained on.

These are for training only. What is printed comes from the float64, outward-rounded theorems of `gibbs`.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F

from genbounds.numerics import kl_upper as _kl_upper

__all__ = ["OBJECTIVES", "Objective", "bounded_cross_entropy", "kl_upper", "maurer", "quadratic"]

Objective: TypeAlias = Callable[[Tensor, Tensor], Tensor]


class _KlUpper(torch.autograd.Function):
    """Forward: the certified inverse. Backward: the implicit function theorem on kl(q || p) = c."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, c: Tensor) -> Tensor:
        value = _kl_upper(q.detach().cpu().double().numpy(), c.detach().cpu().double().numpy())
        p = torch.as_tensor(value, dtype=torch.float64).to(q.device)
        ctx.save_for_backward(q, c, p)
        return p.to(q.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        q, c, p = ctx.saved_tensors
        q, gradient = q.double(), gradient.double()
        # dp/dc = p(1-p)/(p-q) and dp/dq = ln[p(1-q) / (q(1-p))] dp/dc. They are rightly infinite at c = 0, and the
        # second at q = 0, where the inverse has a vertical tangent. Where p has reached 1, both are 0.
        by_c = torch.where(p < 1, p * (1 - p) / (p - q), 0.0)
        by_q = torch.where(p < 1, (torch.logit(p) - torch.logit(q)) * by_c, 0.0)
        return (
            (gradient * by_q).sum_to_size(ctx.saved_tensors[0].shape).to(ctx.saved_tensors[0].dtype),
            (gradient * by_c).sum_to_size(c.shape).to(c.dtype),
        )


def kl_upper(q: Tensor, c: Tensor) -> Tensor:
    """Differentiable twin of `genbounds.numerics.kl_upper`.

    Parameters
    ----------
    q : Tensor
        Empirical risk, in [0, 1]; any floating dtype and device.
    c : Tensor
        Budget in nats, >= 0; broadcasts with `q`.

    Returns
    -------
    Tensor
        sup{p : kl(q || p) <= c} in the dtype of `q`, computed in float64. Its gradient is the implicit
        one; it is infinite where the inverse has a vertical tangent (q = 0 in q, c = 0 in c), and zero where the
        inverse is 1 to the last bit.
    """
    return _KlUpper.apply(q, c)


def maurer(risk: Tensor, complexity: Tensor) -> Tensor:
    """Maurer's bound as a training objective.

    Parameters
    ----------
    risk : Tensor
        Surrogate empirical risk, in [0, 1].
    complexity : Tensor
        (KL + ln(2 sqrt(n) / delta)) / n, in nats.

    Returns
    -------
    Tensor
        kl_upper(risk, complexity).
    """
    return kl_upper(risk, complexity)


def quadratic(risk: Tensor, complexity: Tensor) -> Tensor:
    """Quadratic bound of Rivasplata et al. (2019) as a training objective.

    Parameters
    ----------
    risk : Tensor
        Surrogate empirical risk, in [0, 1].
    complexity : Tensor
        (KL + ln(2 sqrt(n) / delta)) / n, in nats.

    Returns
    -------
    Tensor
        (sqrt(risk + complexity/2) + sqrt(complexity/2))^2.
    """
    return ((risk + complexity / 2).sqrt() + (complexity / 2).sqrt()).square()


OBJECTIVES: dict[str, Objective] = {"maurer": maurer, "quadratic": quadratic}


def bounded_cross_entropy(logits: Tensor, targets: Tensor, smallest_probability: float = 1e-2) -> Tensor:
    """Cross-entropy with probabilities floored, rescaled to [0, 1]: the surrogate for the 0-1 loss.

    Parameters
    ----------
    logits : Tensor, shape (batch, classes)
        Scores.
    targets : Tensor of int64, shape (batch,)
        Class indices.
    smallest_probability : float
        Floor of the probability of the true class; the loss reaches 1 there.

    Returns
    -------
    Tensor, shape (batch,)
        min(-ln p, ln(1/floor)) / ln(1/floor) per example.
    """
    ceiling = -torch.log(torch.tensor(smallest_probability, dtype=logits.dtype, device=logits.device))
    return torch.minimum(F.cross_entropy(logits, targets, reduction="none"), ceiling) / ceiling
