"""The evidence of a trained network under a Gaussian prior, by Laplace's approximation at its weights."""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.func import vjp, vmap
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from genbounds.inductive_bias.networks import NetworkPrior
from genbounds.inductive_bias.volume.laplace_records import LaplaceEvidence
from genbounds.models.blocks import Blocks, Inputs
from genbounds.models.guards import ModelError, check_logits, infer_device_and_dtype
from genbounds.models.mean_loss import MeanLoss
from genbounds.models.per_example.evaluation import forward, number_of, original, rows_of
from genbounds.models.progress import track
from genbounds.numerics.checks import positive

__all__ = ["laplace_evidence"]

#: Rows of a dense matrix, and numbers in all rows of Jacobians together, up to which they are kept.
_ROWS, _KEPT = 8192, 2**27
#: Numbers in the rows of Jacobians that are made at a time.
_NUMBERS = 2**23


def laplace_evidence(
    model: nn.Module,
    data: Any,
    prior: NetworkPrior,
    *,
    noise: float | None = None,
    structure: Literal["gauss-newton", "hessian", "diagonal"] = "gauss-newton",
    batch_size: int = 256,
    progress: bool = False,
) -> LaplaceEvidence:
    """Approximate ln p(D) at a network's present weights.

    Parameters
    ----------
    model : torch.nn.Module
        In evaluation mode, at the weights to expand around, which should be the mode of the posterior under `prior`.
        It is left as it was found.
    data : object
        What `genbounds.models.blocks.Blocks` takes.
    prior : NetworkPrior
        Prior over the model's weights, of the same names.
    noise : float, optional
        Standard deviation of Gaussian noise on every output: the likelihood of a regression. By default targets are
        classes, and the likelihood is that of softmax outputs.
    structure : {"gauss-newton", "hessian", "diagonal"}
        What stands for the Hessian of minus the log-likelihood: the Gauss-Newton matrix, which is positive
        semi-definite; all second derivatives; or the diagonal of the Gauss-Newton matrix, whose determinant is too
        large (Hadamard's inequality), so that the evidence comes out lower than with the whole.
    batch_size : int
        Examples in a block.
    progress : bool
        Show a bar on a terminal.

    Returns
    -------
    LaplaceEvidence
        An estimate, with the parts that it is made of.

    Raises
    ------
    ModelError
        If model and prior have different parameters, or outputs do not fit the targets.
    ValueError
        If the Hessian plus the prior's precision is not positive definite, or too large to decompose.

    Notes
    -----
    With roots R of the second derivatives of each example's loss in the outputs (C columns) the Gauss-Newton matrix
    is B B' for B with the columns J'R of all n examples. Its d eigenvalues are those of the n C by n C matrix B'B and
    zeros, so that a network of any size is exact on few data.
    """
    model = original(model)
    deviation = None if noise is None else float(positive("noise", noise))
    device, dtype = infer_device_and_dtype(model)
    blocks = Blocks(data, batch_size, device=device, dtype=dtype)
    likelihood = _softmax if deviation is None else _normal(deviation)
    mean = MeanLoss(model, likelihood, blocks, progress=progress)
    if mean.shapes != prior.shapes:
        raise ModelError(
            f"prior must be over the parameters of the model, got {list(prior.shapes)} for {list(mean.shapes)}. "
            "Build it from this model."
        )
    average, gradient = mean.value_and_gradient()
    scales = torch.cat([
        torch.full((shape.numel(),), prior.scales[name], dtype=torch.float64) for name, shape in mean.shapes.items()
    ]).to(device)
    weights = {name: value.detach() for name, value in model.named_parameters() if name in mean.shapes}
    anchor = torch.cat([weight.double().flatten() for weight in weights.values()]) / scales
    slope = scales * gradient * mean.number + anchor
    examples = track(blocks, "curvature", total=len(blocks), progress=progress)
    if structure == "diagonal":
        values, vectors = torch.zeros_like(anchor), None
        for rows in _root_rows(model, weights, scales, examples, deviation):
            values += rows.square().sum(0)
    elif structure == "gauss-newton":
        values, vectors = _gauss_newton(_root_rows(model, weights, scales, examples, deviation), mean)
    elif structure == "hessian":
        _check_rows(mean.size)
        matrix = sum(_second_derivatives(model, weights, block, likelihood) for block in examples)
        values, vectors = torch.linalg.eigh(scales[:, None] * matrix * scales)
    else:
        raise ValueError(
            f"structure must be 'gauss-newton', 'hessian' or 'diagonal', got {structure!r}. Choose one of them."
        )
    if vectors is not None:
        anchor, slope, values = _in_eigenbasis(anchor, slope, values, vectors)
    return LaplaceEvidence.from_spectrum(
        -average * mean.number, anchor.cpu().numpy(), slope.cpu().numpy(), values.cpu().numpy(), structure
    )


def _softmax(outputs: Tensor, targets: Tensor) -> Tensor:
    check_logits(outputs, targets)
    return F.cross_entropy(outputs, targets, reduction="none")


def _normal(deviation: float) -> Callable[[Tensor, Tensor], Tensor]:
    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        if outputs.shape != targets.shape:
            raise ModelError(
                f"targets must have the outputs' shape, {tuple(outputs.shape)}, got {tuple(targets.shape)}. Reshape."
            )
        residuals = ((outputs - targets) / deviation).flatten(1)
        constant = math.log(2 * math.pi * deviation**2)
        return (residuals.square() + constant).sum(dim=1) / 2

    return loss


def _root_rows(
    model: nn.Module,
    weights: Mapping[str, Tensor],
    scales: Tensor,
    blocks: Iterator[Any],
    deviation: float | None,
) -> Iterator[Tensor]:
    """Yield rows whose outer products add up to the Gauss-Newton matrix, C for each example, float64."""

    def rows(example: Inputs) -> Tensor:
        def outputs(own: dict[str, Tensor]) -> Tensor:
            batch = {k: v[None] for k, v in example.items()} if isinstance(example, Mapping) else example[None]
            return forward(model, batch, own)[0].flatten()

        out, pull = vjp(outputs, dict(weights))[:2]
        if deviation is None:
            chance = out.softmax(0)
            # (I - p 1') diag(sqrt p) is a root of diag(p) - p p'.
            root = (torch.eye(len(out), device=out.device, dtype=out.dtype) - chance[:, None]) * chance.sqrt()
        else:
            root = torch.eye(len(out), device=out.device, dtype=out.dtype) / deviation
        (pulled,) = vmap(pull)(root.T)
        return torch.cat([pulled[name].flatten(1) for name in weights], dim=1)

    with sdpa_kernel(SDPBackend.MATH):
        for block in blocks:
            first = forward(model, rows_of(block.inputs, slice(0, 1)), weights)
            at_once = max(1, _NUMBERS // (first.numel() * len(scales)))
            for start in range(0, number_of(block.inputs), at_once):
                stop = min(start + at_once, number_of(block.inputs))
                found = vmap(rows)(rows_of(block.inputs, slice(start, stop))).detach()
                yield found.flatten(0, 1).double() * scales


def _gauss_newton(rows: Iterator[Tensor], mean: MeanLoss) -> tuple[Tensor, Tensor]:
    """Return eigenvalues and eigenvectors of the Gauss-Newton matrix: all, or those that are not 0 by construction."""
    kept: list[Tensor] = []
    matrix: Tensor | None = None
    for some in rows:
        kept.append(some)
        number = sum(map(len, kept))
        if matrix is not None or number > min(mean.size, _ROWS, _KEPT // mean.size):  # the large matrix is the smaller
            _check_rows(mean.size)
            stacked = torch.cat(kept)
            matrix = stacked.T @ stacked if matrix is None else matrix + stacked.T @ stacked
            kept = []
    if matrix is not None:
        return torch.linalg.eigh(matrix)
    stacked = torch.cat(kept)
    vectors, singular, _ = torch.linalg.svd(stacked.T, full_matrices=False)
    return singular.square(), vectors


def _in_eigenbasis(anchor: Tensor, slope: Tensor, values: Tensor, vectors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Rotate; what is orthogonal to all eigenvectors has eigenvalue 0, and is put into coordinates of that length."""
    missing = len(anchor) - vectors.shape[1]
    found = []
    for vector in (anchor, slope):
        inside = vectors.T @ vector
        outside = torch.zeros(missing, dtype=vector.dtype, device=vector.device)
        if missing:
            outside[0] = (vector - vectors @ inside).norm()
        found.append(torch.cat([inside, outside]))
    return found[0], found[1], torch.cat([values, values.new_zeros(missing)])


def _second_derivatives(
    model: nn.Module, weights: Mapping[str, Tensor], block: Any, likelihood: Callable[[Tensor, Tensor], Tensor]
) -> Tensor:
    leaves = {name: weight.clone().requires_grad_() for name, weight in weights.items()}
    with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
        loss = likelihood(forward(model, block.inputs, leaves), block.targets).sum()
        slopes = torch.autograd.grad(loss, list(leaves.values()), create_graph=True, materialize_grads=True)
        flat = torch.cat([slope.flatten() for slope in slopes])
        if not flat.requires_grad:
            return torch.zeros(len(flat), len(flat), dtype=torch.float64, device=flat.device)
        rows = [
            torch.cat([
                part.double().flatten()
                for part in torch.autograd.grad(
                    entry, list(leaves.values()), retain_graph=True, allow_unused=True, materialize_grads=True
                )
            ])
            for entry in flat
        ]
    matrix = torch.stack(rows)
    return (matrix + matrix.T) / 2


def _check_rows(size: int) -> None:
    if size > _ROWS:
        raise ValueError(
            f"structure must be 'diagonal' for {size:,} weights and as many data: a dense matrix of more than {_ROWS} "
            "rows would have to be decomposed. Take fewer data for 'gauss-newton'."
        )
