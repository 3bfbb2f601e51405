"""Curvature of the training loss at a network's weights: trace, ends and density of the spectrum of its Hessian."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from genbounds.models.blocks import Blocks
from genbounds.models.examples import Data
from genbounds.models.guards import check_evaluation_mode
from genbounds.models.head_hessians import HeadFeatures, HeadHessian
from genbounds.models.linear_heads import find_head
from genbounds.models.mean_loss import MeanLoss
from genbounds.models.passes import block_size
from genbounds.models.per_example.evaluation import Loss
from genbounds.numerics.estimates import Estimate
from genbounds.numerics.lanczos import ExtremeEigenvalues, extreme_eigenvalues
from genbounds.numerics.spectral_density import SpectralDensity, spectral_density
from genbounds.numerics.traces import hutch_plus_plus, hutchinson, xtrace

__all__ = ["Curvature", "HeadCurvature", "curvature", "head_curvature"]

_TRACES = {"hutchinson": hutchinson, "hutch++": hutch_plus_plus, "xtrace": xtrace}


@dataclass(frozen=True)
class Curvature:
    """What products with a matrix of second derivatives say about its spectrum.

    Attributes
    ----------
    parameters : int
        Rows of the matrix.
    trace : Estimate
        Sum of the eigenvalues, with its standard error.
    ends : ExtremeEigenvalues
        Smallest and largest eigenvalue, with residuals and limits.
    density : SpectralDensity or None
        Quadratures of the whole spectrum, if they were asked for.
    """

    parameters: int
    trace: Estimate
    ends: ExtremeEigenvalues
    density: SpectralDensity | None

    def to_json(self) -> dict[str, Any]:
        """Return the record as JSON carries it.

        Returns
        -------
        dict
            Fields; limits that are infinite become None.
        """
        limits = [end if np.isfinite(end) else None for end in self.ends.limits]
        return asdict(self) | {"trace": self.trace.to_json(), "ends": asdict(self.ends) | {"limits": limits}}


@dataclass(frozen=True)
class HeadCurvature:
    """Second derivatives of the mean cross-entropy in the weights of a classifier's last layer, its bias left out.

    Attributes
    ----------
    trace : float
        Mean of (1 - |p|^2) |x|^2 over the examples, x the features and p the softmax: exact.
    largest : ExtremeEigenvalues
        Ends of the spectrum; the smallest eigenvalue is 0.
    relative_flatness : float
        kappa = sum_st <w_s, w_t> tr H_st over pairs of rows of the layer [Petzka2021]_: the mean of
        |x|^2 (sum_c G_cc p_c - p^T G p), G = W W^T. It is the same when features are multiplied by a number and the
        layer divided by it.
    """

    trace: float
    largest: ExtremeEigenvalues
    relative_flatness: float


def curvature(
    model: nn.Module,
    data: Data,
    *,
    matrix: Literal["hessian", "gauss-newton"] = "hessian",
    trace: Literal["hutchinson", "hutch++", "xtrace"] = "hutch++",
    probes: int = 30,
    density: bool = False,
    loss: Loss = F.cross_entropy,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
    progress: bool = False,
) -> Curvature:
    """Estimate trace and ends, and on request the density, of the spectrum of the loss's second derivatives.

    Parameters
    ----------
    model : nn.Module
        A fixed function of one example, in evaluation mode, on the device and in the dtype. All its parameters count.
    data : Data
        The training examples.
    matrix : {"hessian", "gauss-newton"}
        Of the mean loss, or of its linearisation (`MeanLoss`), which has no negative eigenvalues for convex losses.
        With ReLU the Hessian is that of the smooth piece.
    trace : {"hutchinson", "hutch++", "xtrace"}
        Which estimator (`genbounds.numerics.traces`).
    probes : int
        Products for the trace; all vectors of one stage share a pass.
    density : bool
        Run five further Lanczos iterations of forty products.
    loss : callable
        ``loss(outputs, targets)``.
    device, dtype : torch.device or str, torch.dtype
        Where and in what type the model is evaluated. In float32 products carry relative errors of 1e-6 or so, which
        is where residuals and limits stop to mean anything.
    seed : int
        Seed of all vectors.
    progress : bool
        Show a bar on a terminal for each pass.

    Returns
    -------
    Curvature
        The record. Lanczos iterations hold up to 300 vectors of as many float64 numbers as there are parameters.

    Raises
    ------
    ModelError
        If the model is not in evaluation mode, or its loss has no second derivatives.

    Examples
    --------
    >>> from genbounds.models.data import load_data
    >>> data = load_data((torch.eye(2), torch.arange(2)))
    >>> found = curvature(nn.Linear(2, 2).eval(), data)
    >>> found.parameters, found.trace.value > 0
    (6, True)
    """
    check_evaluation_mode(model)
    blocks = Blocks(data, block_size(data, np.arange(len(data))), device=device, dtype=dtype)
    names = [name for name, _ in model.named_parameters()]
    mean = MeanLoss(model, loss, blocks, parameters=names, progress=progress)
    multiply = mean.hessian if matrix == "hessian" else mean.gauss_newton

    def products(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        return _array(multiply(torch.from_numpy(vectors).to(device)))

    def product(vector: NDArray[np.float64]) -> NDArray[np.float64]:
        return products(vector[None])[0]

    generators = [np.random.default_rng((seed, stage)) for stage in range(3)]
    found = _TRACES[trace](products, mean.size, generators[0], probes=probes)
    ends = extreme_eigenvalues(product, mean.size, generators[1])
    spectrum = spectral_density(product, mean.size, generators[2]) if density else None
    return Curvature(mean.size, found, ends, spectrum)


def head_curvature(
    model: nn.Module,
    data: Data,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
    progress: bool = False,
) -> HeadCurvature:
    """Compute the curvature of a classifier's last linear layer in closed form, from one pass for its features.

    Parameters
    ----------
    model : nn.Module
        Classifier in evaluation mode that ends in one linear layer, on the device and in the dtype.
    data : Data
        The training examples; their features are held on the CPU.
    device, dtype : torch.device or str, torch.dtype
        Where and in what type the model is evaluated; what follows is float64.
    seed : int
        Seed of the Lanczos iterations' start.
    progress : bool
        Show a bar on a terminal.

    Returns
    -------
    HeadCurvature
        Trace, ends and relative flatness.

    Raises
    ------
    ModelError
        If the model is not in evaluation mode, or does not end in a linear layer of its own.

    Notes
    -----
    For z = W x + b the Hessian of the cross-entropy in W is (diag p - p p^T) (x) x x^T. How it differs between two data
    sets, and what that says about transfer, is `genbounds.coherence.hessian_alignment`.

    Examples
    --------
    >>> from genbounds.models.data import load_data
    >>> layer = nn.Linear(2, 2, bias=False).eval()
    >>> _ = nn.init.eye_(layer.weight)
    >>> found = head_curvature(layer, load_data((torch.zeros(1, 2) + 1, torch.zeros(1, dtype=torch.int64))))
    >>> round(found.trace, 6), round(found.relative_flatness, 6)
    (1.0, 1.0)
    """
    check_evaluation_mode(model)
    size = block_size(data, np.arange(len(data)))
    blocks = Blocks(data, size, device=device, dtype=dtype)
    ((_, example, _),) = data.batches([0], 1, device=device, dtype=dtype)
    name = find_head(model, example)
    head: Any = model.get_submodule(name)
    weight = head.weight.detach().double().cpu()
    # With the bias as an offset of the outputs and not a weight, features alone are differentiated.
    offset = torch.zeros(len(weight), dtype=torch.float64) if head.bias is None else head.bias.detach().double().cpu()
    features = list(HeadFeatures(model, name, blocks, progress=progress))
    gram = weight @ weight.T
    trace, flatness, number = 0.0, 0.0, 0
    for x, _ in features:
        p = (x.double() @ weight.T + offset).softmax(1)
        squares = x.double().square().sum(1)
        trace += float(((1 - p.square().sum(1)) * squares).sum())
        flatness += float(((p @ gram.diag() - ((p @ gram) * p).sum(1)) * squares).sum())
        number += len(x)
    hessian = HeadHessian(features, weight, offset)
    rows, columns = hessian.shape

    def product(vector: NDArray[np.float64]) -> NDArray[np.float64]:
        # The block of the weights alone: the bias is held still.
        full = torch.zeros(rows, columns, dtype=torch.float64)
        full[:, :-1] = torch.from_numpy(vector).view(rows, columns - 1)
        return _array(hessian.product(full)[:, :-1].flatten())

    ends = extreme_eigenvalues(product, rows * (columns - 1), np.random.default_rng(seed))
    return HeadCurvature(trace / number, ends, flatness / number)


def _array(values: Tensor) -> NDArray[np.float64]:
    return np.asarray(values.cpu().numpy(), dtype=np.float64)
