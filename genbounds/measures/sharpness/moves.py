"""What moves of a given size do to the loss: the worst one, as ascent finds it, and random ones on average."""

import copy
import math

import numpy as np
import torch
from scipy.stats import t as student_t
from torch import Tensor, nn
from torch.nn import functional as F

from genbounds.models.blocks import Blocks
from genbounds.models.examples import Data
from genbounds.models.guards import ModelError, check_evaluation_mode
from genbounds.models.mean_loss import MeanLoss
from genbounds.models.passes import block_size
from genbounds.models.per_example.evaluation import Loss
from genbounds.models.randomness import stream
from genbounds.numerics.checks import count, positive
from genbounds.numerics.estimates import Estimate

__all__ = ["average_sharpness", "worst_sharpness"]


def worst_sharpness(
    model: nn.Module,
    data: Data,
    *,
    radius: float = 0.05,
    adaptive: bool = False,
    group: int | None = None,
    steps: int = 1,
    loss: Loss = F.cross_entropy,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
    progress: bool = False,
) -> float:
    r"""Return how much the mean loss grows along the worst move of a given length that ascent finds.

    Parameters
    ----------
    model : nn.Module
        A fixed function of one example, on the device and in the dtype.
    data : Data
        The examples.
    radius : float
        Euclidean length rho of the move e; of e_i / |w_i| if adaptive, which leaves weights of 0 where they are.
    adaptive : bool
        Scale moves by the modulus of the weights [Kwon2021]_: the number is then the same for all scalings of weights
        that keep the function.
    group : int, optional
        Examples that share a move: the mean over groups in the data's order, m-sharpness of [Foret2021]_. Of exact
        maxima smaller groups have the larger mean; ascent need not. By default one move for all.
    steps : int
        Ascent steps. One is the first-order move of [Foret2021]_; each further one takes the gradient where the last
        one led. At a minimum that is power iteration on the Hessian.
    loss : callable
        ``loss(outputs, targets)``.
    device, dtype : torch.device or str, torch.dtype
        Where and in what type the model is evaluated; in float32 where the type is narrower.
    seed : int
        Seed of the direction to start from where the gradient is 0.
    progress : bool
        Show a bar on a terminal for each pass.

    Returns
    -------
    float
        L(w + e) - L(w), at most the maximum over the ball: an underestimate that no number of steps can bound.

    Raises
    ------
    ValueError
        If an argument is out of range.
    ModelError
        If moves are scaled by weights that are 0 wherever the loss has a slope, or the loss overflows.

    Examples
    --------
    >>> from genbounds.models.data import load_data
    >>> model = nn.Linear(1, 2, bias=False).eval()
    >>> _ = nn.init.zeros_(model.weight)
    >>> data = load_data((torch.ones(4, 1), torch.zeros(4, dtype=torch.int64)))
    >>> rise = worst_sharpness(model, data, radius=2**0.5)
    >>> round(rise, 4)  # ln((1 + e^2) / 2)
    1.4338
    """
    check_evaluation_mode(model)
    rho, rounds = float(positive("radius", radius)), int(count("steps", steps))
    size = len(data) if group is None else int(count("group", group))
    # Narrower types round small moves away, and the loss with them.
    wide = torch.promote_types(dtype, torch.float32)
    moved = copy.deepcopy(model).to(wide).requires_grad_(True)
    start = _flat(moved)
    total = 0.0
    for number, indices in enumerate(np.split(np.arange(len(data)), range(size, len(data), size))):
        blocks = Blocks(data, block_size(data, indices), device=device, dtype=wide, indices=indices)
        mean = MeanLoss(moved, loss, blocks, progress=progress)
        before, gradient = mean.value_and_gradient()
        scale = start.abs() if adaptive else torch.ones_like(start)
        for _ in range(rounds):
            if not bool(gradient.any()):
                generator = stream(seed, "worst sharpness", number)
                gradient = torch.randn(len(start), generator=generator, dtype=torch.float64).to(start)
            # Divided by the largest entry: squares of tiny numbers would vanish.
            pulled = scale * (gradient / gradient.abs().max())
            if not bool(pulled.any()):
                raise ModelError(
                    "some weight must be other than 0 where the loss has a slope, if moves are scaled by the weights. "
                    "Take adaptive=False."
                )
            _set(moved, start + rho * scale * pulled / pulled.norm())
            after, gradient = mean.value_and_gradient()
        _set(moved, start)
        if not math.isfinite(after):
            raise ModelError(
                f"the loss must be finite after a move of length {rho}, got {after}. Take a smaller radius."
            )
        total += (after - before) * len(indices)
    return total / len(data)


def average_sharpness(
    model: nn.Module,
    data: Data,
    *,
    radius: float = 0.05,
    adaptive: bool = False,
    draws: int = 20,
    loss: Loss = F.cross_entropy,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
    progress: bool = False,
) -> Estimate:
    """Estimate how much the mean loss grows on average under Gaussian noise on the weights [Andriushchenko2023]_.

    Parameters
    ----------
    model : nn.Module
        A fixed function of one example, on the device and in the dtype.
    data : Data
        The examples.
    radius : float
        Standard deviation of the noise on every weight; rho |w_i| if adaptive.
    adaptive : bool
        Scale the noise by the modulus of the weights.
    draws : int
        Draws of the noise, at least 2, a pass each.
    loss : callable
        ``loss(outputs, targets)``.
    device, dtype : torch.device or str, torch.dtype
        Where and in what type the model is evaluated; in float32 where the type is narrower.
    seed : int
        Seed of the draws.
    progress : bool
        Show a bar on a terminal for each pass.

    Returns
    -------
    Estimate
        Of E L(w + e) - L(w), with its standard error over the draws.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Notes
    -----
    At a minimum of Hessian H it is rho^2 tr H / 2 up to fourth order; adaptive, rho^2 sum H_ii w_i^2 / 2. Either sign
    of its relation to the error has been found in practice.

    Examples
    --------
    >>> from genbounds.models.data import load_data
    >>> data = load_data((torch.ones(4, 1), torch.zeros(4, dtype=torch.int64)))
    >>> found = average_sharpness(nn.Linear(1, 2).eval(), data, draws=4)
    >>> found.n
    4
    """
    check_evaluation_mode(model)
    rho, number = float(positive("radius", radius)), int(count("draws", draws, minimum=2))
    wide = torch.promote_types(dtype, torch.float32)
    moved = copy.deepcopy(model).to(wide).requires_grad_(True)
    start = _flat(moved)
    scale = start.abs() if adaptive else torch.ones_like(start)
    blocks = Blocks(data, block_size(data, np.arange(len(data))), device=device, dtype=wide)
    mean = MeanLoss(moved, loss, blocks, progress=progress)
    before, _ = mean.value_and_gradient()
    found = []
    for draw in range(number):
        generator = stream(seed, "average sharpness", draw)
        noise = torch.randn(len(start), generator=generator, dtype=torch.float64).to(start)
        _set(moved, start + rho * scale * noise)
        found.append(mean.value_and_gradient()[0] - before)
    value, error = float(np.mean(found)), float(np.std(found, ddof=1)) / number**0.5
    reach = float(student_t.ppf(0.975, number - 1)) * error
    return Estimate(value, error, (value - reach, value + reach), 0.95, number, "mean over draws, Student's interval")


def _flat(model: nn.Module) -> Tensor:
    return torch.cat([value.detach().double().flatten() for value in model.parameters()])


@torch.no_grad()
def _set(model: nn.Module, vector: Tensor) -> None:
    sizes = [value.numel() for value in model.parameters()]
    for value, part in zip(model.parameters(), vector.split(sizes), strict=True):
        value.copy_(part.view_as(value))
