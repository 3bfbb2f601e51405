"""A penalty for training: gradients and Hessians of a classifier's head that differ between domains."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from genbounds.models.guards import ModelError
from genbounds.models.head_hessians import LOSSES
from genbounds.numerics.checks import nonnegative

__all__ = ["hessian_gradient_penalty"]


def hessian_gradient_penalty(
    domains: Sequence[tuple[Tensor, Tensor]],
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    hessian: float = 1.0,
    gradient: float = 1.0,
    match: str = "product",
    loss: str = "cross_entropy",
) -> Tensor:
    r"""Penalise gradients and Hessians of the head that differ between domains.

    Parameters
    ----------
    domains : sequence of (Tensor, Tensor)
        Features of shape (n_e, p) and targets of a batch of each domain, at least two.
    weight : Tensor, shape (C, p)
        The head's weight.
    bias : Tensor, shape (C,), optional
        Its bias.
    hessian, gradient : float
        Non-negative factors a and b of the two terms.
    match : str
        What is compared of the Hessians: ``"product"``, their products with the domains' own gradients, or
        ``"diagonal"``, their diagonals.
    loss : str
        One of `genbounds.models.head_hessians.LOSSES`.

    Returns
    -------
    Tensor
        The penalty, a scalar to be added to the mean loss; differentiable in features, weight and bias.

    Raises
    ------
    ModelError
        If there is a single domain, or a name is not known.

    Notes
    -----
    mean_e (a |s_e - s|^2 + b |g_e - g|^2) with g_e the gradient of domain e's mean loss in the head and s_e = H_e g_e
    or diag H_e; g and s are those of the mean of the domains' losses, and no gradient is taken of them. The form is
    [Hemati2023]_'s. Both kinds of s_e are exact and cost two products with the features: neither a second
    differentiation nor random probes.

    Examples
    --------
    >>> x = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    >>> y = torch.tensor([0, 1])
    >>> weight = torch.zeros(2, 2)
    >>> float(hessian_gradient_penalty([(x, y), (x, y)], weight))
    0.0
    >>> round(float(hessian_gradient_penalty([(x, y), (x, 1 - y)], weight, hessian=0.0)), 6)
    0.25
    """
    a, b = float(nonnegative("hessian", hessian)), float(nonnegative("gradient", gradient))
    if match not in {"product", "diagonal"} or loss not in LOSSES:
        raise ModelError(
            f"match must be 'product' or 'diagonal' and loss one of {', '.join(LOSSES)}, got {match!r} and {loss!r}. "
            "Pass their names."
        )
    if len(domains) < 2:
        raise ModelError(f"domains must be at least two, got {len(domains)}. Split the batch by domain.")
    terms = []
    for features, targets in domains:
        outputs = F.linear(features, weight, bias)
        x = features if bias is None else torch.cat([features, features.new_ones(len(features), 1)], dim=1)
        terms.append((x, LOSSES[loss](outputs, targets)))
    gradients = torch.stack([first.T @ x / len(x) for x, (first, _, _) in terms])
    mean = gradients.mean(0)
    if match == "product":
        own = zip(terms, gradients, strict=True)
        compared = torch.stack([loss_at.hessian_product(x, g) / len(x) for (x, loss_at), g in own])
        whole = torch.stack([loss_at.hessian_product(x, mean) / len(x) for x, loss_at in terms]).mean(0)
    else:
        compared = torch.stack([(d - u.square()).T @ x.square() / len(x) for x, (_, d, u) in terms])
        whole = compared.mean(0)
    apart = (gradients - mean.detach()).square().sum()
    return (a * (compared - whole.detach()).square().sum() + b * apart) / len(domains)
