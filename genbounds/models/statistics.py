r"""Statistics of losses that variance-aware bounds need: one pass, nothing kept of single examples.

A loss in [0, 1] is rounded *up* to a multiple of 2^-24, the resolution of float32 below 1. What a pass sums are then
whole numbers: they depend neither on the order nor on the size of the batches nor on the device, nothing cancels in the
variance, and no error of summation needs a margin. All statistics are about the loss so rounded, which is nowhere below
the one passed in: a bound on its risk bounds the other's. Ratios are rounded up to float64 at the very end.

Which statistic serves which bound: `mean` and `variance` tolstikhin_seldin, `mean` and `second_moment`
unexpected_bernstein, `frequencies` split_kl_discrete and coin_betting. They are those of one network. For a posterior
they are averages over draws: shared draws give one number each, of which monte_carlo_betting makes an upper limit
(every statistic here lies in [0, 1]), and for the variance of the 0-1 loss there are fresh draws with
`count_split_pairs_fresh_draws`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from math import inf, nextafter
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call

from genbounds.models.examples import Data
from genbounds.models.passes import block_size, predict
from genbounds.models.progress import track
from genbounds.models.randomness import PerExampleForward, draw_weights, normal_noise, stream

__all__ = ["Loss", "LossStatistics", "count_split_pairs_fresh_draws", "loss_statistics", "loss_statistics_shared_draw"]

#: From scores, shape (batch, classes), and targets, shape (batch,), to losses in [0, 1], shape (batch,).
Loss: TypeAlias = Callable[[Tensor, Tensor], Tensor]

#: Losses are multiples of 1 / _SCALE. Squares of a batch of up to 2^15 examples add up to less than 2^63.
_SCALE = 2**24


@dataclass(frozen=True)
class LossStatistics:
    """What the losses of one network on n examples are like. Each float is rounded up.

    Parameters
    ----------
    examples : int
        n.
    errors : int
        Examples whose predicted class is wrong, whatever the loss is.
    mean : float
        Average loss.
    variance : float
        Unbiased empirical variance, the sum of (l_i - l_j)^2 over pairs i < j divided by n (n - 1).
    second_moment : float
        Average squared loss.
    frequencies : tuple of float
        For levels b_0 < ... < b_K, the shares of losses above b_0, ..., b_(K-1): for a loss with these values, how
        often it is at least b_1, ..., b_K.
    """

    examples: int
    errors: int
    mean: float
    variance: float
    second_moment: float
    frequencies: tuple[float, ...]


def _up(value: Fraction) -> float:
    nearest = float(value)
    return nextafter(nearest, inf) if Fraction(nearest) < value else nearest


def _whole(losses: Tensor, count: int) -> NDArray[np.int64]:
    """Return losses times 2^24, rounded up; float64 holds every product exactly."""
    values = losses.detach().cpu().double().numpy()
    if values.shape != (count,) or not ((values >= 0) & (values <= 1)).all():
        raise ValueError(
            f"loss must return {count} numbers in [0, 1], one an example, got shape {values.shape} and values from "
            f"{values.min(initial=inf)} to {values.max(initial=-inf)}. Bound the loss and divide by its largest value."
        )
    return np.ceil(values * _SCALE).astype(np.int64)


@torch.no_grad()
def loss_statistics(
    model: nn.Module,
    data: Data,
    indices: NDArray[np.int64],
    *,
    weights: Mapping[str, Tensor] | None = None,
    loss: Loss | None = None,
    levels: Sequence[float] = (),
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    progress: bool = False,
) -> LossStatistics:
    """Measure mean, variance, second moment and levels of the losses of one network on the examples `indices`.

    Parameters
    ----------
    model : nn.Module
        Classifier in evaluation mode.
    data : Data
        Where the examples are.
    indices : ndarray of int64
        Which examples, at least two.
    weights : mapping of str to Tensor, optional
        Parameters to evaluate with instead of the model's own.
    loss : callable, optional
        ``loss(scores, targets)``, in [0, 1]; the 0-1 loss by default.
    levels : sequence of float
        b_0 < ... < b_K, fixed before looking, with no loss above b_K; none by default.
    device, dtype : torch.device or str, torch.dtype
        Where and in what type the model is evaluated.
    progress : bool
        Show a bar on a terminal.

    Returns
    -------
    LossStatistics
        Statistics of the loss rounded up to a multiple of 2^-24.

    Raises
    ------
    ValueError
        If there are fewer than two examples, levels do not increase, or a loss is not in [0, 1] or above all levels.
    """
    n = len(indices)
    if n < 2:
        raise ValueError(f"indices must name at least two examples, got {n}. A variance needs two.")
    if any(high <= low for low, high in pairwise(levels)):
        raise ValueError(f"levels must increase, got {list(levels)}. Sort them and leave out what is there twice.")
    forward = model if weights is None else lambda inputs: functional_call(model, dict(weights), (inputs,))
    size = block_size(data, indices)
    batches = data.batches(indices, size, device=device, dtype=dtype)
    marks = np.array(levels, np.float64) * _SCALE
    errors, total, squares, above = 0, 0, 0, np.zeros(len(marks), np.int64)
    for index, inputs, targets in track(batches, "evaluating", total=-(-n // size), progress=progress):
        scores = forward(inputs)
        wrong = predict(scores, index) != targets
        whole = _whole(wrong if loss is None else loss(scores, targets), len(targets))
        errors += int(wrong.sum())
        total += int(whole.sum())
        squares += int((whole * whole).sum())
        above += (whole[:, None] > marks).sum(axis=0)
    if len(marks) and above[-1]:
        raise ValueError(
            f"levels must end with the largest possible loss, got {list(levels)}, and {above[-1]} losses are above. "
            "A loss in float32 is not always the float64 of the same name: round the last level up."
        )
    return LossStatistics(
        examples=n,
        errors=errors,
        mean=_up(Fraction(total, n * _SCALE)),
        variance=_up(Fraction(n * squares - total**2, n * (n - 1) * _SCALE**2)),
        second_moment=_up(Fraction(squares, n * _SCALE**2)),
        frequencies=tuple(_up(Fraction(int(count), n)) for count in above[:-1]),
    )


def loss_statistics_shared_draw(
    model: nn.Module,
    mean: Mapping[str, Tensor],
    scale: Mapping[str, Tensor],
    data: Data,
    indices: NDArray[np.int64],
    *,
    number: int,
    seed: int,
    stage: str = "",
    factor: Mapping[str, Tensor] | None = None,
    loss: Loss | None = None,
    levels: Sequence[float] = (),
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    progress: bool = False,
) -> LossStatistics:
    """Measure the losses of one network drawn from N(mean, diag(scale^2)), the draw of `count_errors_shared_draw`.

    Parameters
    ----------
    model : nn.Module
        Classifier in evaluation mode.
    mean, scale : mapping of str to Tensor
        The Gaussian, on `device` and in `dtype`.
    data : Data
        Where the examples are.
    indices : ndarray of int64
        Which examples, at least two.
    number : int
        Number of the pass: passes 0, 1, 2, ... of one seed and stage are independent.
    seed : int
        Seed of all draws.
    stage : str
        What the draws are for: other stages have other streams.
    factor : mapping of str to Tensor, optional
        U, if the covariance is diag(scale^2) + U U^T; the columns along a first axis.
    loss : callable, optional
        ``loss(scores, targets)``, in [0, 1]; the 0-1 loss by default.
    levels : sequence of float
        b_0 < ... < b_K, fixed before looking, with no loss above b_K; none by default.
    device, dtype : torch.device or str, torch.dtype
        Where and in what type the model is evaluated.
    progress : bool
        Show a bar on a terminal.

    Returns
    -------
    LossStatistics
        Statistics of that network's losses.
    """
    noise = normal_noise(stream(seed, f"{stage}, shared draws", number, device=device), dtype)
    drawn = draw_weights(mean, scale, noise, factor)
    return loss_statistics(
        model, data, indices, weights=drawn, loss=loss, levels=levels, device=device, dtype=dtype, progress=progress
    )


class _OnPairs(nn.Module):
    """A model whose examples are pairs of examples: both meet the same weights."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, pairs: Tensor) -> Tensor:
        return self.model(pairs.flatten(0, 1)).unflatten(0, (-1, 2))


def _on_pairs(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"model.{name}": value for name, value in weights.items()}


@torch.no_grad()
def count_split_pairs_fresh_draws(
    model: nn.Module,
    mean: Mapping[str, Tensor],
    scale: Mapping[str, Tensor],
    data: Data,
    indices: NDArray[np.int64],
    *,
    number: int,
    seed: int,
    stage: str = "",
    factor: Mapping[str, Tensor] | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    progress: bool = False,
) -> int:
    """Count how often a fresh draw errs on an example and not on its partner: the variance of the 0-1 loss.

    The examples are paired as they come, (z_1, z_2), (z_3, z_4), ..., a last odd one left out. Each of the
    2 floor(n/2) examples meets a draw of its own, and that draw is evaluated on its partner too. For a pair with losses
    l and l' of one predictor, E_Q l (1 - l') and E_Q l' (1 - l) add up to E_Q (l - l')^2. So the counts of one pass are
    independent Bernoulli variables, one an example, whose probabilities average to that of (l - l')^2 / 2 over pairs
    and Q, the unbiased empirical variance on fixed pairs: pass the count, with 2 floor(n/2) draws a pass, to
    ``pac_bayes.monte_carlo_binomial`` for an upper limit of it. (One draw for a pair, and the question whether its two
    losses differ, would have twice that mean.)

    Parameters
    ----------
    model : nn.Module
        Classifier in evaluation mode.
    mean, scale : mapping of str to Tensor
        The Gaussian, on `device` and in `dtype`.
    data : Data
        Where the examples are.
    indices : ndarray of int64
        Which examples, at least two, in an order that was fixed without looking at them.
    number : int
        Number of the pass: passes 0, 1, 2, ... of one seed and stage are independent.
    seed : int
        Seed of all passes.
    stage : str
        What the passes are for: other stages have other streams.
    factor : mapping of str to Tensor, optional
        U, if the covariance is diag(scale^2) + U U^T; the columns along a first axis.
    device, dtype : torch.device or str, torch.dtype
        Where and in what type the model is evaluated.
    progress : bool
        Show a bar on a terminal.

    Returns
    -------
    int
        Examples on which their draw errs, though it does not on their partner.

    Raises
    ------
    ValueError
        If there are fewer than two examples.

    Notes
    -----
    Both examples must meet the same weights, not only weights of the same law: pre-activations that are sampled for
    each example by itself would not do. Real weights are drawn, in chunks that fit the memory.
    """
    paired = indices[: len(indices) // 2 * 2]
    if not len(paired):
        raise ValueError(f"indices must name at least two examples, got {len(indices)}. A pair needs two.")
    mean, scale = _on_pairs(mean), _on_pairs(scale)
    factor = factor and _on_pairs(factor)
    size = max(2, block_size(data, paired) // 2 * 2)
    probe = next(data.batches(paired[:2], 2, device=device, dtype=dtype))[1]
    forward = PerExampleForward(_OnPairs(model), probe[None])
    batches = enumerate(data.batches(paired, size, device=device, dtype=dtype))
    total, count = -(-len(paired) // size), 0
    for place, (index, inputs, targets) in track(batches, "drawing weights", total=total, progress=progress):
        noise = normal_noise(stream(seed, f"{stage}, pairs", number * total + place, device=device), dtype)
        partner = torch.arange(len(index)) ^ 1
        scores = forward(mean, scale, torch.stack([inputs, inputs[partner]], 1), noise, factor)
        both = torch.stack([index, index[partner]], 1)
        predicted = predict(scores.flatten(0, 1), both.flatten()).view(-1, 2)
        count += int(((predicted[:, 0] != targets) & (predicted[:, 1] == targets[partner])).sum())
    return count
