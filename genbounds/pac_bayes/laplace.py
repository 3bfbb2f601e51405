"""A Laplace approximation of laplace-torch as posterior Q.

Whoever has one has that package (extra ``laplace``): nothing of it is imported here, the object's attributes suffice.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from genbounds.pac_bayes.low_rank import Gaussian, LowRankGaussian
from genbounds.pac_bayes.posteriors import DiagonalGaussian

__all__ = ["from_laplace"]

#: Parameters up to which a dense covariance is decomposed: its factor has as many numbers as the covariance.
MOST_DENSE = 8192


def from_laplace(la: Any) -> Gaussian:
    r"""Return the Gaussian of a fitted Laplace approximation, over the parameters of its model by name.

    It becomes Q as it is. A posterior may depend in any way on the examples with the roles ``prior`` and ``bound``, so
    that its prior precision and temperature may be tuned on them; the prior P of a certificate is another matter.

    Parameters
    ----------
    la : laplace.ParametricLaplace
        Fitted, over all weights (for `genbounds.workflow.certify`) or the last layer (for
        `genbounds.workflow.certify_head`). A diagonal precision gives a diagonal Gaussian. Full, Kronecker-factored and
        low-rank precisions are inverted where there are at most 8192 parameters: such a covariance is not diagonal
        plus low rank (a low-rank *precision* takes variance away from its directions), so that the factor has full
        rank. The result holds these numbers in the dtype of the weights, and is the Gaussian whose KL is counted.

    Returns
    -------
    DiagonalGaussian or LowRankGaussian
        N(mean, precision^-1).

    Raises
    ------
    ValueError
        If the approximation is not fitted, is over a part of the parameters that has no names of its own, is dense
        over more parameters, or its precision is not positive definite.

    Notes
    -----
    With the precision V diag(p) V^T the scale of all parameters is s = (2 max p)^(-1/2), and the factor
    V diag(1/p - s^2)^(1/2): orthogonal columns, for which the divergence is known to the last digits.
    """
    mean, precision = getattr(la, "mean", None), getattr(la, "posterior_precision", None)
    if not isinstance(mean, Tensor) or precision is None or getattr(la, "H", None) is None:
        raise ValueError("la must be a fitted parametric Laplace approximation of laplace-torch. Call its fit first.")
    parameters = _parameters(la.model)
    count = sum(value.numel() for value in parameters.values())
    if mean.numel() != count:
        raise ValueError(
            f"la must be over all parameters or those of the last layer, {count} of them, got {mean.numel()}: a "
            "subnetwork, or frozen parameters. Fit it with subset_of_weights 'all' or 'last_layer'."
        )
    centre = _split(mean.detach(), parameters)
    if isinstance(precision, Tensor) and precision.ndim == 1:
        if not bool((precision > 0).all()):
            raise ValueError(f"the precision of la must be positive, got {float(precision.min())}. Raise its prior's.")
        return DiagonalGaussian(centre, _split(precision.detach().double().rsqrt(), parameters))
    if count > MOST_DENSE:
        raise ValueError(
            f"the precision of la must be diagonal for {count} parameters: its inverse would be a dense matrix of more "
            f"than {MOST_DENSE} rows. Use hessian_structure 'diag', or subset_of_weights 'last_layer'."
        )
    values, vectors = torch.linalg.eigh(_dense(precision))
    if not float(values[0]) > 0:
        raise ValueError(f"the precision of la must be positive definite, got eigenvalue {float(values[0])}.")
    variance = 0.5 / values[-1]
    columns = vectors * (1.0 / values - variance).sqrt()
    scale = {name: variance.sqrt().to(value.dtype).cpu() for name, value in parameters.items()}
    return LowRankGaussian(centre, scale, _split(columns.T, parameters))


def _parameters(model: Any) -> dict[str, Tensor]:
    """Return the parameters that the approximation is over, by their names in the user's model, in its order."""
    if type(model).__name__ != "FeatureExtractor":  # in which laplace-torch wraps the model for its last layer
        return {name: value for name, value in model.named_parameters() if value.requires_grad}
    wrapped, layer = model.model, model.last_layer
    prefix = next(f"{name}." if name else "" for name, part in wrapped.named_modules() if part is layer)
    return {prefix + name: value for name, value in layer.named_parameters()}


def _split(flat: Tensor, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Cut the last axis as ``parameters_to_vector`` joined it, on the CPU and in the parameters' dtypes."""
    pieces = flat.cpu().split([value.numel() for value in parameters.values()], dim=-1)
    return {
        name: piece.reshape(*flat.shape[:-1], *value.shape).to(value.dtype).clone()
        for (name, value), piece in zip(parameters.items(), pieces, strict=True)
    }


def _dense(precision: Any) -> Tensor:
    if isinstance(precision, tuple):  # ((eigenvectors, eigenvalues), prior precision)
        (vectors, values), diagonal = precision
        dense = (vectors * values) @ vectors.T + torch.diag(diagonal)
    else:
        dense = precision if isinstance(precision, Tensor) else precision.to_matrix()
    dense = dense.detach().double()
    return (dense + dense.T) / 2
