"""How far the Hessians and gradients of a classifier's head agree between two data sets."""

import math
from dataclasses import asdict, dataclass
from decimal import ROUND_CEILING, Decimal
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch import distributed as dist

from genbounds.models.blocks import Blocks
from genbounds.models.guards import ModelError, infer_device_and_dtype
from genbounds.models.head_hessians import HeadFeatures, HeadHessian, frobenius_products
from genbounds.models.linear_heads import find_head
from genbounds.numerics.checks import nonnegative
from genbounds.numerics.lanczos import extreme_eigenvalues

__all__ = ["HessianAlignment", "compare_head_hessians", "hessian_alignment"]

#: Rows of the largest Hessians that are written out for all their eigenvalues.
_DENSE = 2000


@dataclass(frozen=True)
class HessianAlignment:
    """Agreement of two mean losses as functions of a classifier's head, at its present weights.

    Attributes
    ----------
    loss : str
        The loss, by its name in ``torch.nn.functional``.
    shape : tuple of int
        Outputs, and features with the 1 of a bias: the Hessians have as many rows as their product.
    numbers : tuple of int
        Examples in either data set.
    spectral_norm : float
        Spectral norm of the difference of the Hessians; by Lanczos iterations never above the true one, but for
        rounding.
    spectral_limit : float
        Upper limit of it, with an allowance for rounding: hardly more if all eigenvalues were computed, and otherwise
        one that holds with probability at least 1 - `delta` over the start of the iterations.
    residual : float
        Some eigenvalue of the difference lies within this distance of plus or minus `spectral_norm`.
    delta : float
        Probability with which `spectral_limit` may fail; 0 if all eigenvalues were computed.
    converged : bool
        Whether the iterations met their tolerance.
    frobenius_norms, traces, gradient_norms : tuple of float
        Of either data set's Hessian and gradient.
    frobenius_distance : float
        Frobenius norm of the difference of the Hessians; where not all eigenvalues were computed, good to about 1e-8 of
        their norms.
    frobenius_cosine : float or None
        <A, B> / (|A| |B|) of the Hessians, in [0, 1] up to rounding; none if one of them is zero.
    gradient_distance : float
        Norm of the difference of the gradients.
    gradient_cosine : float or None
        Cosine of the angle between the gradients, in [-1, 1] up to rounding; none if one of them is zero.
    third_derivatives : tuple of float
        Upper limits of either mean loss's third derivative along unit vectors.
    """

    loss: str
    shape: tuple[int, int]
    numbers: tuple[int, int]
    spectral_norm: float
    spectral_limit: float
    residual: float
    delta: float
    converged: bool
    frobenius_norms: tuple[float, float]
    frobenius_distance: float
    frobenius_cosine: float | None
    traces: tuple[float, float]
    gradient_norms: tuple[float, float]
    gradient_distance: float
    gradient_cosine: float | None
    third_derivatives: tuple[float, float]

    def transfer(self, radius: float) -> float:
        r"""Limit how differently the two mean losses can change when the head moves.

        Parameters
        ----------
        radius : float
            Largest Euclidean norm r of the change of the head's weights and bias together.

        Returns
        -------
        float
            An upper limit of |(L_a(V + D) - L_a(V)) - (L_b(V + D) - L_b(V))| over all changes D of norm at most r, with
            features as they are. It says nothing of examples outside of the two data sets.

        Notes
        -----
        Taylor's theorem for L_a - L_b along D: r |g_a - g_b| + r^2 |H_a - H_b| / 2 + r^3 (M_a + M_b) / 6, with M the
        `third_derivatives`; for the norm of the Hessians the `spectral_limit` is taken. Not rounded outward.
        """
        r = float(nonnegative("radius", radius))
        return (
            r * self.gradient_distance + r**2 * self.spectral_limit / 2 + r**3 * math.fsum(self.third_derivatives) / 6
        )

    def to_json(self) -> dict[str, Any]:
        """Return the numbers as JSON carries them.

        Returns
        -------
        dict
            By name; tuples become lists.
        """
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    def __str__(self) -> str:
        """Say the numbers in a few lines."""

        def shown(cosine: float | None) -> str:
            return "undefined" if cosine is None else f"{cosine:.4f}"

        limit = f"at most {_rounded_up(self.spectral_limit)}"
        exact = f"{limit}, by all {self.shape[0] * self.shape[1]} eigenvalues"
        found = f"{limit} but for probability {self.delta:.2g}, residual {self.residual:.2g}"
        lines = [
            f"Head of {self.shape[0]} x {self.shape[1]} weights, {self.loss}, {self.numbers[0]} and {self.numbers[1]} "
            "examples",
            f"  Hessians   spectral norm of the difference {self.spectral_norm:.6g} ({found if self.delta else exact})",
            f"             Frobenius cosine {shown(self.frobenius_cosine)}, distance {self.frobenius_distance:.4g} of "
            f"{self.frobenius_norms[0]:.4g} and {self.frobenius_norms[1]:.4g}",
            f"  gradients  cosine {shown(self.gradient_cosine)}, distance {self.gradient_distance:.4g} of "
            f"{self.gradient_norms[0]:.4g} and {self.gradient_norms[1]:.4g}",
        ]
        return "\n".join(lines + ([] if self.converged else ["  NOT CONVERGED: raise max_steps or the tolerance."]))


def compare_head_hessians(
    one: HeadHessian, other: HeadHessian, *, tolerance: float = 1e-6, max_steps: int = 300, seed: int = 0
) -> HessianAlignment:
    """Compare the Hessians of two mean losses in the weights of one head.

    Parameters
    ----------
    one, other : HeadHessian
        Of the same layer and loss, at the same weights.
    tolerance, max_steps : float, int
        Of the Lanczos iterations that larger Hessians than 2000 rows take
        (`genbounds.numerics.lanczos.extreme_eigenvalues`). Smaller ones are written out, and all eigenvalues computed.
    seed : int
        Seed of the iterations' start.

    Returns
    -------
    HessianAlignment
        What agrees and what does not.

    Raises
    ------
    ModelError
        If the two are not of one shape and loss, or one is not finite.

    Notes
    -----
    Comparing heads this way is [Hemati2023]_'s, whose claim about risks on new domains is not made here.
    """
    if (one.shape, one.loss) != (other.shape, other.loss):
        raise ModelError(
            f"the Hessians must be those of one head and loss, got {tuple(one.shape)} with {one.loss} and "
            f"{tuple(other.shape)} with {other.loss}. Pass two data sets of the same classes."
        )
    if not all(bool(torch.isfinite(part).all()) for each in (one, other) for part in (each.gradient, each.diagonal)):
        raise ModelError("features and weights must be finite, got NaN or infinity in a Hessian. Look at the network.")
    rows = one.shape.numel()
    # Of probabilities and sums; where the two nearly cancel, it is not small next to the difference.
    rounding = rows * 2.0**-50 * float(one.mean_square + other.mean_square)
    if rows <= _DENSE:
        first, second = one.dense(), other.dense()
        products = (float((first * first).sum()), float((first * second).sum()), float((second * second).sum()))
        difference = first - second
        norm = float(torch.linalg.eigvalsh(difference).abs().max())
        spectrum = (norm, norm + rounding, rounding, 0.0, True)
        distance = float(difference.norm())
    else:

        def product(vector: np.ndarray) -> np.ndarray:
            v = torch.from_numpy(vector).reshape(one.shape).to(one.gradient.device)
            return (one.product(v) - other.product(v)).flatten().cpu().numpy()

        ends = extreme_eigenvalues(
            product, rows, np.random.default_rng([seed, rows]), tolerance=tolerance, max_steps=max_steps
        )
        nearest = ends.residuals[0 if abs(ends.smallest) > abs(ends.largest) else 1]
        spectrum = (ends.norm, ends.norm_limit + rounding, nearest, ends.delta, ends.converged)
        products = frobenius_products(one, other)
        # Rounding may leave less than nothing of two equal matrices.
        distance = math.sqrt(max(0.0, products[0] - 2 * products[1] + products[2]))
    g, h = one.gradient, other.gradient
    return HessianAlignment(
        one.loss,
        (one.shape[0], one.shape[1]),
        (one.number, other.number),
        *spectrum,
        frobenius_norms=(math.sqrt(products[0]), math.sqrt(products[2])),
        frobenius_distance=distance,
        frobenius_cosine=_cosine(*products),
        traces=(float(one.trace), float(other.trace)),
        gradient_norms=(float(g.norm()), float(h.norm())),
        gradient_distance=float((g - h).norm()),
        gradient_cosine=_cosine(_inner(g, g), _inner(g, h), _inner(h, h)),
        third_derivatives=(float(one.third_derivative), float(other.third_derivative)),
    )


def hessian_alignment(
    model: nn.Module,
    data_a: Any,
    data_b: Any,
    *,
    loss: str = "cross_entropy",
    head: str | None = None,
    keep_features: bool = True,
    tolerance: float = 1e-6,
    max_steps: int = 300,
    batch_size: int = 256,
    seed: int = 0,
    progress: bool = False,
) -> HessianAlignment:
    """Compare the Hessians of a classifier's last linear layer between two data sets.

    Parameters
    ----------
    model : nn.Module
        Classifier in evaluation mode that ends in an ``nn.Linear``, on the device where it is to run.
    data_a, data_b : object
        What `genbounds.models.blocks.Blocks` takes: sources of examples, or pairs of inputs and targets.
    loss : str
        ``"cross_entropy"``, ``"mse_loss"`` (to one-hot targets, or to numbers) or
        ``"binary_cross_entropy_with_logits"``, as in ``torch.nn.functional``.
    head : str, optional
        Name of the layer. By default it is found, and refused if its output is not the model's; a name is taken at its
        word, which serves models that wrap their logits.
    keep_features : bool
        Hold the features of all examples on the CPU; otherwise the model runs again for each of the many passes.
    tolerance, max_steps, seed
        As in `compare_head_hessians`.
    batch_size : int
        Examples at a time.
    progress : bool
        Show a bar on a terminal.

    Returns
    -------
    HessianAlignment
        Features come in the model's dtype, all else is float64; the same on every process of a distributed run.

    Raises
    ------
    ModelError
        If the model is in training mode, or has no such layer.

    Examples
    --------
    >>> generator = torch.Generator().manual_seed(0)
    >>> x = torch.randn(60, 3, generator=generator)
    >>> model = nn.Linear(3, 2).eval()
    >>> y = (x[:, 0] > 0).long()
    >>> same = hessian_alignment(model, (x, y), (x, y))
    >>> same.spectral_norm, round(same.frobenius_cosine, 12), same.transfer(0.0)
    (0.0, 1.0, 0.0)
    """
    device, dtype = infer_device_and_dtype(model)
    sets = [Blocks(data, batch_size, device=device, dtype=dtype) for data in (data_a, data_b)]
    if head is None:
        # The first example once for each process, as one of a distributed run may have no block of the data.
        processes = dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1
        (first,) = Blocks(data_a, 1, device=device, dtype=dtype, indices=np.zeros(processes, dtype=np.int64))
        if not isinstance(first.inputs, Tensor):
            raise ModelError("head must be named for a model that takes keyword arguments, got None. Pass its name.")
        head = find_head(model, first.inputs)
    layer = dict(model.named_modules()).get(head)
    if not isinstance(layer, nn.Linear):
        got = "none of that name" if layer is None else f"a {type(layer).__name__}"
        raise ModelError(f"head must be the name of an nn.Linear, got {head!r}: {got}. Name the last linear layer.")
    one, other = (
        HeadHessian(
            HeadFeatures(model, head, blocks, keep=keep_features, progress=progress),
            layer.weight,
            layer.bias,
            loss=loss,
        )
        for blocks in sets
    )
    return compare_head_hessians(one, other, tolerance=tolerance, max_steps=max_steps, seed=seed)


def _rounded_up(value: float) -> str:
    """Write a limit with four digits, never below it."""
    if not 0 < value < math.inf:
        return f"{value:g}"
    exact = Decimal(value)
    unit = Decimal(1).scaleb(exact.adjusted() - 3)
    return f"{float(exact.quantize(unit, rounding=ROUND_CEILING)):.4g}"


def _inner(one: Tensor, other: Tensor) -> float:
    return float((one * other).sum())


def _cosine(first: float, mixed: float, second: float) -> float | None:
    return mixed / (math.sqrt(first) * math.sqrt(second)) if min(first, second) > 0 else None
