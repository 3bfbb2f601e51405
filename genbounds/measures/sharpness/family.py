"""All measures of sharpness of one network, with the refusals of those that it does not allow."""

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from genbounds.measures.records import Measure, Refusal
from genbounds.measures.sharpness.forms import flatness_forms, sharpness_forms
from genbounds.measures.sharpness.moves import average_sharpness, worst_sharpness
from genbounds.measures.sharpness.radii import Radius, ascent_radius, noise_radius
from genbounds.models.examples import Data
from genbounds.models.guards import ModelError

__all__ = ["sharpness_measures"]


def sharpness_measures(
    model: nn.Module,
    data: Data,
    initial: nn.Module | Mapping[str, Tensor] | None = None,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
    progress: bool = False,
) -> Iterator[Measure | Refusal]:
    """Compute worst and average sharpness at fixed sizes, the radii, and all forms made of them.

    Parameters
    ----------
    model : nn.Module
        Classifier in evaluation mode, on the device and in the dtype.
    data : Data
        The training examples.
    initial : nn.Module or mapping of str to Tensor, optional
        The same network before training.
    device, dtype : torch.device or str, torch.dtype
        Where and in what type the model is evaluated.
    seed : int
        Seed of everything drawn.
    progress : bool
        Show a bar on a terminal for each pass.

    Yields
    ------
    Measure or Refusal
        `worst_sharpness` and `average_sharpness` of the cross-entropy, plain and adaptive; `noise_radius` and
        `ascent_radius`, plain and scaled; `flatness_forms` and `sharpness_forms`.

    Raises
    ------
    ModelError
        If initial weights are those of another network.

    Examples
    --------
    >>> from genbounds.models.data import load_data
    >>> data = load_data((torch.eye(2), torch.arange(2)))
    >>> found = list(sharpness_measures(nn.Linear(2, 2).eval(), data))
    >>> found[0].name
    'worst_sharpness'
    """
    for adaptive, name, worst, noise in ((False, "", 0.05, 0.005), (True, "adaptive_", 0.5, 0.05)):
        try:
            rise = worst_sharpness(
                model, data, radius=worst, adaptive=adaptive, device=device, dtype=dtype, seed=seed, progress=progress
            )
        except ModelError as refused:
            yield Refusal(f"{name}worst_sharpness", str(refused))
            continue
        yield Measure(f"{name}worst_sharpness", rise, f"one ascent step, rho = {worst}")
        mean = average_sharpness(
            model, data, radius=noise, adaptive=adaptive, device=device, dtype=dtype, seed=seed, progress=progress
        )
        error = float(mean.standard_error)
        yield Measure(f"{name}average_sharpness", float(mean.value), f"Gaussian noise, rho = {noise}", error)
    weights, before = _vectors(model, initial)

    def noisy(scaled: bool) -> Radius:
        return noise_radius(model, data, scaled=scaled, device=device, dtype=dtype, seed=seed, progress=progress)

    def ascended(scaled: bool) -> Radius:
        return ascent_radius(model, data, scaled=scaled, device=device, dtype=dtype, progress=progress)

    for name, search, forms in (("noise", noisy, flatness_forms), ("ascent", ascended, sharpness_forms)):
        try:
            plain, scaled = search(False), search(True)
        except ModelError as refused:
            yield Refusal(f"{name}_radius and its forms", str(refused))
            continue
        for ending, radius in (("", plain), ("_scaled", scaled)):
            low, high = radius.interval
            yield Measure(f"{name}_radius{ending}", radius.value, f"error of the search {low:.3g} to {high:.3g}")
        yield from forms(weights, len(data), plain.value, scaled.value, before)
    if before is None:
        yield Refusal("forms with initial weights", "they need the weights before training: pass initial")


def _vectors(
    model: nn.Module, initial: nn.Module | Mapping[str, Tensor] | None
) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    """Return all parameters as one vector, and the initial ones."""
    values = dict(model.named_parameters())
    if initial is None:
        return _flat(values.values()), None
    state = initial.state_dict() if isinstance(initial, nn.Module) else initial
    missing = [name for name, value in values.items() if name not in state or state[name].shape != value.shape]
    if missing:
        raise ModelError(f"initial must hold the weights of the same network, got no {missing[0]} of its shape.")
    return _flat(values.values()), _flat(state[name] for name in values)


def _flat(values: Iterable[Tensor]) -> NDArray[np.float64]:
    return np.concatenate([value.detach().double().cpu().numpy().ravel() for value in values])
