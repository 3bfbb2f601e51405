r"""How far training and test representations of one network are apart, layer by layer: exact optimal transport.

For one network, m training and m test examples, and every layer l, deterministically:

    |test loss - training loss| <= W1( (T_l, Y) of the training examples, (T_l, Y) of the test examples ),

both losses being averages over those examples, W1 the transport cost between the two finite sets, and the cost of
moving (t, y) to (t', y') being rho Lambda_l |t - t'| + kappa [y != y']: rho is the Lipschitz constant of the loss in
the output, kappa the most that a label can change it, Lambda_l the product of the constants of the layers after l. The
losses that two pairs have at the output differ by no more than that. It needs test inputs, so it certifies nothing: it
diagnoses. `genbounds.information.hierarchical_wasserstein` is its counterpart on average over samples.

These limits never grow from layer to layer: a coupling, pushed through a layer, costs no more. Where the plain distance
W1, without the constants, is smallest at an inner layer, that layer is called a funnel. Such a minimum may be a matter
of the units in which later layers measure, or of sampling: m points in d dimensions are about m^(-1/d) apart whatever
their laws. `analyse_layers` tells the two apart by giving the labels "training" and "test" to the same examples at
random, all layers alike.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from genbounds.information.representations.layer_analysis import LayerAnalysis, LayerTransport
from genbounds.information.representations.layer_chain import layer_chain, representations
from genbounds.models.examples import Data
from genbounds.models.guards import (
    ModelError,
    check_deterministic,
    check_evaluation_mode,
    check_finite_outputs,
    check_logits,
    infer_device_and_dtype,
)
from genbounds.models.lipschitz import lipschitz_constant
from genbounds.models.passes import block_size
from genbounds.models.progress import track

__all__ = ["analyse_layers", "transport_cost"]

#: Examples that the chain of layers is checked on.
_PROBE = 4


def transport_cost(costs: NDArray[np.float64]) -> float:
    """Return the cost of the cheapest transport between two equally weighted finite sets, by an exact linear program.

    Parameters
    ----------
    costs : ndarray, shape (m, k)
        Cost of moving each point of the one set to each point of the other, finite.

    Returns
    -------
    float
        The cost of an optimal coupling.

    Raises
    ------
    ImportError
        If POT is not installed.

    Examples
    --------
    >>> transport_cost(np.array([[0.0, 1.0], [1.0, 3.0]]))  # crosswise, 1 each; straight it is 3/2
    1.0
    """
    try:
        import ot
    except ImportError as error:
        raise ImportError(
            "genbounds.information.representations.funnels needs POT. Run: pip install 'genbounds[transport]'"
        ) from error
    rows, columns = (np.full(size, 1 / size) for size in costs.shape)
    return float(ot.emd2(rows, columns, np.ascontiguousarray(costs), numItermax=10**8))


def _ramp(outputs: Tensor, targets: Tensor, margin: float) -> tuple[Tensor, float, float]:
    """Return losses with rho and kappa: score differences are sqrt(2)-Lipschitz, and so is their smallest."""
    right = outputs.gather(1, targets[:, None])[:, 0]
    others = outputs.scatter(1, targets[:, None], -math.inf).amax(1)
    return (1 - (right - others) / margin).clamp(0, 1), math.sqrt(2) / margin, 1.0


def _cross_entropy(outputs: Tensor, targets: Tensor, _: float) -> tuple[Tensor, float, float]:
    """Return losses with rho and kappa: the gradient is softmax less one-hot; a label changes the loss by a score."""
    spread = float((outputs.amax(1) - outputs.amin(1)).max())
    return F.cross_entropy(outputs, targets, reduction="none"), math.sqrt(2), spread


_LOSSES: dict[str, Callable[[Tensor, Tensor, float], tuple[Tensor, float, float]]] = {
    "ramp": _ramp,
    "cross-entropy": _cross_entropy,
}


def _distances(points: Tensor) -> NDArray[np.float64]:
    """Return the Euclidean distances of all points; centred first, so that little cancels."""
    centred = points - points.mean(0)
    return torch.cdist(centred, centred).cpu().numpy()


def _rank(observed: float, relabelled: NDArray[np.float64]) -> float:
    """Return the share of values, the observed one among them, that are at least as large as it."""
    return (1 + int(np.count_nonzero(relabelled >= observed))) / (1 + len(relabelled))


def _halved(points: NDArray[np.int64], number: int, generator: np.random.Generator) -> list[tuple[Any, ...]]:
    """Return random halves of a set of points, as indices into a table of costs."""
    half = len(points) // 2
    orders = [generator.permutation(points) for _ in range(number)]
    return [np.ix_(order[:half], order[half:]) for order in orders]


def _compared(
    train: NDArray[np.int64], test: NDArray[np.int64], size: int, generator: np.random.Generator
) -> tuple[NDArray[np.int64], int]:
    """Draw m training examples, m test examples, and m other training examples."""
    size = min(size, len(train) // 2, len(test))
    if size < 2:
        raise ValueError(
            f"size must be at least 2, got {size} of {len(train)} training and {len(test)} test examples. Take more."
        )
    drawn = generator.choice(train, 2 * size, replace=False)
    return np.concatenate([drawn[:size], generator.choice(test, size, replace=False), drawn[size:]]), size


def analyse_layers(
    model: nn.Module,
    data: Data,
    train: ArrayLike,
    test: ArrayLike,
    *,
    layers: Sequence[str] | None = None,
    loss: str = "ramp",
    margin: float = 1.0,
    size: int = 200,
    replicates: int = 39,
    seed: int = 0,
    lipschitz: Mapping[str, float] | None = None,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
    progress: bool = False,
) -> LayerAnalysis:
    """Compare a network's representations of training and test examples, layer by layer.

    Parameters
    ----------
    model : nn.Module
        Classifier that returns one row of scores an example, in evaluation mode and so without noise.
    data : Data
        Where the examples are: see `genbounds.models.load_data`.
    train, test : array_like of int
        Indices of the training examples and of examples not trained on.
    layers : sequence of str, optional
        Names of modules that follow one another from the input to the output; by default the model's children. Nothing
        but a change of shape may happen between them.
    loss : str
        ``"ramp"``: 1 less the margin of the scores over `margin`, cut to [0, 1]; or ``"cross-entropy"``.
    margin : float
        Of the ramp, positive.
    size : int
        m, at least 2: how many training and test examples are compared; no more than the test examples and half of the
        training examples. They are drawn at random. Time grows with m^2 to m^3.
    replicates : int
        Random relabellings, and random halves of training examples for the floor; at least 19.
    seed : int
        Of all draws.
    lipschitz : mapping of str to float, optional
        Constants of layers that `genbounds.models.lipschitz.lipschitz_constant` does not know, by name.
    device, dtype : torch.device or str, torch.dtype, optional
        Where and in what type a copy of the model is evaluated; by default the model as it is.
    progress : bool
        Show a bar on a terminal.

    Returns
    -------
    LayerAnalysis
        Distances, floors and limits; the same for the same arguments.

    Raises
    ------
    ModelError
        If the model is in training mode or random, its layers are no chain, or one has no known constant.
    ValueError
        If an argument is out of range or the examples are too few.
    ImportError
        If POT is not installed.

    Notes
    -----
    Only 2m training and m test examples are read, and the representations of one layer are held at a time.

    The label cost of a distance is kappa / rho, so that rho times the distance is the limit at the output.
    """
    if loss not in _LOSSES:
        raise ValueError(f"loss must be one of {sorted(_LOSSES)}, got {loss!r}. Others need constants of their own.")
    if not 0 < margin < math.inf:
        raise ValueError(f"margin must be positive and finite, got {margin!r}. Try 1.0.")
    if replicates < 19:
        raise ValueError(f"replicates must be at least 19, got {replicates!r}. Fewer cannot give a p-value of 0.05.")
    check_evaluation_mode(model)
    place, kind = infer_device_and_dtype(model)
    if (device, dtype) != (None, None):
        place, kind = torch.device(device or place), dtype or kind
        model = deepcopy(model).to(place, kind)
    generator = np.random.default_rng(seed)
    indices, size = _compared(np.asarray(train, np.int64), np.asarray(test, np.int64), size, generator)
    _, probe, _ = next(data.batches(indices, _PROBE, device=place, dtype=kind))
    if not probe.is_floating_point():
        raise ModelError(f"inputs must be real numbers, got {probe.dtype}. Distances between tokens mean nothing here.")
    check_deterministic(model, probe)
    chain = layer_chain(model, probe, layers)
    constants = [lipschitz_constant(layer, shape, lipschitz, name) for name, (layer, shape) in chain.items()]

    def read(layer: nn.Module | None) -> Tensor:
        return representations(model, layer, data, indices, device=place, dtype=kind)

    stages: list[tuple[str, nn.Module | None]] = [
        ("input", None),
        *((name, layer) for name, (layer, _) in chain.items()),
    ]
    outputs = read(stages[-1][1])
    targets = torch.cat([batch for _, _, batch in data.batches(indices, block_size(data, indices), device=place)])
    check_logits(outputs, targets)
    check_finite_outputs(outputs, indices)
    losses, rho, kappa = _LOSSES[loss](outputs[: 2 * size], targets[: 2 * size], margin)
    differs = (targets[:, None] != targets).double().cpu().numpy()

    observed = np.ix_(np.arange(size), np.arange(size, 2 * size))
    relabelled = _halved(np.arange(2 * size), replicates, generator)
    halves = _halved(np.concatenate([np.arange(size), np.arange(2 * size, 3 * size)]), replicates, generator)
    found, null = [], np.empty((len(stages), replicates))
    for number, (name, layer) in track(list(enumerate(stages)), "transporting", total=len(stages), progress=progress):
        points = read(layer)
        # Rounded up: one product for each constant.
        rest = math.prod(constants[number:]) * (1 + len(constants[number:]) * 2.0**-52)
        apart = _distances(points)
        costs = apart + kappa / rho * differs
        null[number] = [transport_cost(costs[pair]) for pair in relabelled]
        distance = transport_cost(costs[observed])
        weighed = rho * rest * apart[observed] + kappa * differs[observed] if math.isfinite(rest) else None
        found.append(
            LayerTransport(
                name=name,
                dimension=points.shape[1],
                distance=distance,
                floor=float(np.mean([transport_cost(costs[pair]) for pair in halves])),
                p_value=_rank(distance, null[number]),
                remaining_lipschitz=rest,
                limit=math.inf if weighed is None else transport_cost(weighed),
            )
        )
    distances = np.array([layer.distance for layer in found])
    return LayerAnalysis(
        layers=tuple(found),
        loss=loss,
        train_loss=float(losses[:size].mean()),
        test_loss=float(losses[size:].mean()),
        output_lipschitz=rho,
        label_change=kappa,
        size=size,
        replicates=replicates,
        seed=seed,
        funnel=found[int(distances.argmin())].name,
        funnel_p_value=_rank(distances[-1] - distances[:-1].min(), null[-1] - null[:-1].min(axis=0)),
    )
