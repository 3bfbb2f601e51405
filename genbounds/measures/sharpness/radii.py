"""How far the weights of a classifier may be moved before its training accuracy falls by a tenth."""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genbounds.measures.margins import margins_of
from genbounds.measures.sharpness.forms import EPSILON
from genbounds.models.blocks import Blocks
from genbounds.models.examples import Data
from genbounds.models.guards import ModelError, check_evaluation_mode
from genbounds.models.mean_loss import MeanLoss
from genbounds.models.passes import block_size, count_errors
from genbounds.models.per_example.evaluation import check_fixed_function
from genbounds.models.randomness import draw_weights, normal_noise, stream
from genbounds.numerics.checks import confidence, count

__all__ = ["Radius", "ascent_radius", "noise_radius"]

#: Ends of the search: the weights of a network that survives the larger move are small against it.
_LEAST, _MOST = 1e-6, 2.0
#: Relative width of the last bracket.
_TOLERANCE = 0.01


@dataclass(frozen=True)
class Radius:
    """A size of moves at which the training error has grown by the target.

    Attributes
    ----------
    value : float
        Middle of the last bracket.
    interval : tuple of float
        From the largest size tried whose mean growth is below the target by two standard errors, to the smallest one
        that is above it by as much: the error of the search and of the draws together. An end that was not met is an
        end of the search.
    growth : float
        Mean growth of the training error at the size tried last.
    passes : int
        Passes over the data.
    """

    value: float
    interval: tuple[float, float]
    growth: float
    passes: int


def noise_radius(
    model: nn.Module,
    data: Data,
    *,
    scaled: bool = False,
    target: float = 0.1,
    draws: int = 10,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
    progress: bool = False,
) -> Radius:
    """Find the standard deviation of Gaussian noise on all weights at which the mean training error grows by a tenth.

    Parameters
    ----------
    model : nn.Module
        Classifier in evaluation mode, on the device and in the dtype.
    data : Data
        The training examples.
    scaled : bool
        Noise of variance sigma'^2 w_i^2 + 10^-6 on weight i in place of sigma^2 on every one.
    target : float
        Growth of the error, in (0, 1).
    draws : int
        Draws of the noise, the same at every size, at least 2.
    device, dtype : torch.device or str, torch.dtype
        Where and in what type the model is evaluated.
    seed : int
        Seed of the draws.
    progress : bool
        Show a bar on a terminal for each pass.

    Returns
    -------
    Radius
        sigma, found by bisection on a logarithmic scale to one percent: about ten sizes, `draws` passes each. Where
        the growth is not monotone there may be other crossings.

    Raises
    ------
    ModelError
        If the error has grown by the target at 10^-6 already, or not yet at 2.

    Notes
    -----
    All parameters are moved, biases and those of normalisation layers too.

    Examples
    --------
    >>> from genbounds.models.data import load_data
    >>> _ = torch.manual_seed(0)
    >>> x = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).repeat(50, 1)
    >>> layer = nn.Linear(2, 2, bias=False).requires_grad_(False).eval()
    >>> _ = layer.weight.copy_(torch.eye(2))
    >>> found = noise_radius(layer, load_data((x, x.argmax(1))), draws=200)
    >>> found.interval[0] < 0.5518 < found.interval[1]  # where Phi(-1 / (sqrt 2 sigma)) is 0.1
    True
    """
    check_evaluation_mode(model)
    check_fixed_function(model)
    number = int(count("draws", draws, minimum=2))
    mean = {name: value.detach() for name, value in model.named_parameters()}
    indices = np.arange(len(data))

    def errors(weights: dict[str, Tensor]) -> int:
        return count_errors(model, data, indices, weights=weights, device=device, dtype=dtype, progress=progress)

    before = errors(mean)

    def growth(size: float) -> list[float]:
        scale = {name: _scale(value, size, scaled) for name, value in mean.items()}
        found = []
        for draw in range(number):
            noise = normal_noise(stream(seed, "noise radius", draw, device=device), dtype)
            found.append((errors(draw_weights(mean, scale, noise)) - before) / len(data))
        return found

    return _bisect(growth, target, number)


def ascent_radius(
    model: nn.Module,
    data: Data,
    *,
    scaled: bool = False,
    target: float = 0.1,
    steps: int = 10,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    progress: bool = False,
) -> Radius:
    """Find the size of moves of every weight at which the worst one that ascent finds makes the error grow by a tenth.

    Parameters
    ----------
    model : nn.Module
        Classifier in evaluation mode, on the device and in the dtype.
    data : Data
        The training examples.
    scaled : bool
        Moves of at most alpha' |w_i| + 0.001 of weight i in place of alpha of every one.
    target : float
        Growth of the error, in (0, 1).
    steps : int
        Steps of ascent at each size: sign of the gradient of the mean cross-entropy of all examples (of the mean margin
        where that is 0), clipped to the box. The largest error on the way counts.
    device, dtype : torch.device or str, torch.dtype
        Where and in what type the model is evaluated.
    progress : bool
        Show a bar on a terminal for each pass.

    Returns
    -------
    Radius
        alpha. Ascent need not find the worst move, so that the upper end of its interval is at least what the
        definition asks for: more steps can only lower it.

    Raises
    ------
    ModelError
        If the error has grown by the target at 10^-6 already, or not yet at 2.

    Examples
    --------
    >>> from genbounds.models.data import load_data
    >>> x = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    >>> layer = nn.Linear(2, 2, bias=False).eval()
    >>> _ = nn.init.eye_(layer.weight)
    >>> found = ascent_radius(layer, load_data((x, x.argmax(1))))
    >>> found.interval[0] <= 0.5 <= found.interval[1]  # every weight may move by half of the gap of 1
    True
    """
    check_evaluation_mode(model)
    number = int(count("steps", steps))
    wide = torch.promote_types(dtype, torch.float32)
    moved = copy.deepcopy(model).to(wide).requires_grad_(True)
    indices = np.arange(len(data))
    blocks = Blocks(data, block_size(data, indices), device=device, dtype=wide)
    loss = MeanLoss(moved, F.cross_entropy, blocks, progress=progress)
    margin = MeanLoss(moved, _lag, blocks, progress=progress)
    start = {name: value.detach().clone() for name, value in moved.named_parameters()}
    current = dict(moved.named_parameters())

    def errors() -> int:
        return count_errors(moved, data, indices, device=device, dtype=wide, progress=progress)

    def restart() -> None:
        with torch.no_grad():
            for name, value in current.items():
                value.copy_(start[name])

    before = errors()

    def growth(size: float) -> list[float]:
        restart()
        box = {name: size * value.abs() + EPSILON if scaled else size for name, value in start.items()}
        worst = 0.0
        for _ in range(number):
            _, gradient = loss.value_and_gradient()
            if not bool(gradient.any()):  # all examples are so sure that the cross-entropy is flat
                _, gradient = margin.value_and_gradient()
            with torch.no_grad():
                for name, slope in loss.split(gradient).items():
                    # Steps of a quarter of the box reach every corner in four, and leave the others to turn back.
                    step = current[name] + 0.25 * box[name] * slope.sign().to(current[name])
                    current[name].copy_(torch.clamp(step, start[name] - box[name], start[name] + box[name]))
            worst = max(worst, (errors() - before) / len(data))
        return [worst]

    return _bisect(growth, target, 2 * number)


def _lag(scores: Tensor, targets: Tensor) -> Tensor:
    return -margins_of(scores, targets)


def _scale(value: Tensor, size: float, scaled: bool) -> Tensor:
    return (size**2 * value.square() + EPSILON**2).sqrt() if scaled else torch.full_like(value, size)


def _finite_growth(growth: Callable[[float], list[float]], size: float) -> tuple[float, float, int]:
    """Return mean growth, the size and the tries: halved while outputs overflow."""
    for tries in range(1, 21):
        try:
            return float(np.mean(growth(size))), size, tries
        except ValueError as error:
            if "finite" not in str(error):
                raise
            size /= 2
    raise ModelError(
        f"outputs must be finite after small moves, got NaN or infinity at {size:.3g}. Rescale the weights."
    )


def _bisect(growth: Callable[[float], list[float]], target: float, passes: int) -> Radius:
    """Halve a bracket of log sizes around the target, and keep what every size tried has to say."""
    goal = float(confidence("target", target, "It is a growth of the error, such as 0.1."))
    low, high = _LEAST, _MOST
    used = 1
    for size, side in ((low, "already"), (high, "not yet")):
        found, size, tried = _finite_growth(growth, size)
        used += tried * passes
        high = size if side == "not yet" else high
        if (found > goal) is (side == "already"):
            raise ModelError(
                f"the training error must grow by {goal} between moves of {_LEAST} and {_MOST}, got growth by "
                f"{found:.3g} at {size}. Rescale the weights, or choose another target."
            )
    below, above = low, high
    steps = math.ceil(math.log2(math.log(high / low) / _TOLERANCE))
    mean = math.nan
    for _ in range(steps):
        size = math.sqrt(low * high)
        sample = np.asarray(growth(size))
        used += passes
        mean = float(sample.mean())
        error = float(sample.std(ddof=1)) / math.sqrt(len(sample)) if len(sample) > 1 else 0.0
        low, high = (size, high) if mean <= goal else (low, size)
        if mean + 2 * error <= goal:
            below = max(below, size)
        elif mean - 2 * error > goal:
            above = min(above, size)
    return Radius(math.sqrt(low * high), (below, above), mean, used)
