"""Stochastic gradient Langevin dynamics that adds the noise which the theorems assume, no more and no less."""

import math
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any, overload

import torch
from torch import Tensor
from torch.optim import Optimizer

from genbounds.models.randomness import Noise, normal_noise, stream
from genbounds.numerics.checks import count, nonnegative, positive

__all__ = ["Langevin", "LangevinStep", "langevin_noise_scale"]


def langevin_noise_scale(step_size: float, inverse_temperature: float) -> float:
    """Return sqrt(2 eta / beta), the standard deviation of the noise of one step of Langevin dynamics.

    Parameters
    ----------
    step_size : float
        eta, non-negative.
    inverse_temperature : float
        beta, positive. The dynamics aim at the density exp(-beta L_S(w)), with the *average* loss L_S.

    Returns
    -------
    float
        s, for each coordinate.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Examples
    --------
    >>> langevin_noise_scale(0.02, 100.0)
    0.02
    """
    eta = float(nonnegative("step_size", step_size))
    return math.sqrt(2 * eta / float(positive("inverse_temperature", inverse_temperature)))


@dataclass(frozen=True)
class LangevinStep:
    """What one step was made with.

    Parameters
    ----------
    step_size : float
        eta.
    noise_scale : float
        Standard deviation of the noise that was added to each coordinate.
    batch_size : int
        Examples in the batch, as told.
    weight_decay : float
        lambda: the step moved along the gradient plus lambda w.
    """

    step_size: float
    noise_scale: float
    batch_size: int
    weight_decay: float


def _moved(parameter: Tensor, step_size: float, noise_scale: float, weight_decay: float, noise: Noise) -> Tensor:
    """Return a parameter after one step; where no gradient arrived it is 0, and noise is due all the same."""
    drawn = noise(*parameter.shape)
    wide = parameter.to(drawn.dtype)
    drift = weight_decay * wide
    if parameter.grad is not None:
        drift = drift + parameter.grad.to(drawn.dtype)
    # One rounding to the parameter's own type, after the sum.
    return (wide - step_size * drift + noise_scale * drawn).to(parameter.dtype)


class Langevin(Optimizer):
    """Optimiser with the step w <- w - eta (g + lambda w) + s N(0, I), and nothing else.

    The noise of step t is a function of the seed and t alone (`genbounds.models.randomness.stream`), on the parameters'
    device: the global generators are neither read nor set, and a run that is resumed from `state_dict` goes on with the
    identical weights. Every coordinate gets noise, also where no gradient arrived.

    Step size and noise may follow a schedule that was fixed in advance: change ``param_groups[0]["lr"]`` and
    ``param_groups[0]["inverse_temperature"]`` or ``["noise_scale"]`` between steps, by hand or with a scheduler of
    torch. Each step records what it used.

    Parameters
    ----------
    params : iterable of Tensor
        Parameters that require gradients, all on one device and of one floating dtype.
    lr : float
        Step size eta, positive.
    seed : int
        Seed of the noise.
    inverse_temperature : float, optional
        beta: s = sqrt(2 eta / beta).
    noise_scale : float, optional
        s itself. Give one of the two.
    weight_decay : float
        lambda, non-negative. It pulls towards 0 whatever the sample is, and so tells nothing about it.

    Raises
    ------
    ValueError
        If an argument is out of range, both or neither of the two are given, there are several groups of parameters, or
        some are frozen or differ in device or dtype.

    Notes
    -----
    The sum is made in float32 at least, and rounded to the parameters' dtype once. With weights of size
    one that rounding is 6e-8 for float32: the noise is Gaussian to that precision, and is lost where s is smaller.
    bfloat16 weights round to 4e-3.

    Examples
    --------
    >>> weight = torch.zeros(3, requires_grad=True)
    >>> optimizer = Langevin([weight], lr=0.02, inverse_temperature=100.0, seed=1)
    >>> (weight - 1).square().sum().backward()
    >>> optimizer.step(batch_size=1)
    >>> optimizer.record
    [LangevinStep(step_size=0.02, noise_scale=0.02, batch_size=1, weight_decay=0.0)]
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float,
        *,
        seed: int,
        inverse_temperature: float | None = None,
        noise_scale: float | None = None,
        weight_decay: float = 0.0,
    ) -> None:
        if (inverse_temperature is None) == (noise_scale is None):
            raise ValueError(
                f"inverse_temperature or noise_scale must be given, and not both, got {inverse_temperature} and "
                f"{noise_scale}. One follows from the other by langevin_noise_scale."
            )
        defaults = {
            "lr": lr,
            "inverse_temperature": inverse_temperature,
            "noise_scale": noise_scale,
            "weight_decay": weight_decay,
        }
        self.seed = seed
        self.record: list[LangevinStep] = []
        super().__init__(params, defaults)
        self.next_step()

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Take the only group of parameters.

        Parameters
        ----------
        param_group : dict
            The group.

        Raises
        ------
        ValueError
            If there is one already, or its parameters differ in device or dtype or do not require gradients.
        """
        if self.param_groups:
            raise ValueError("params must be one group, got several. The theorems take one noise scale for each step.")
        super().add_param_group(param_group)
        parameters = self.param_groups[0]["params"]
        if not all(parameter.requires_grad for parameter in parameters):
            raise ValueError(
                "params must require gradients, got frozen ones, which noise would move. Pass those that are trained."
            )
        kinds = {(parameter.device, parameter.dtype) for parameter in parameters}
        if len(kinds) > 1 or not next(iter(kinds))[1].is_floating_point:
            shown = ", ".join(sorted(f"{dtype} on {device}" for device, dtype in kinds))
            raise ValueError(
                f"params must be of one floating dtype on one device, got {shown}. Move or cast the model."
            )

    def next_step(self) -> dict[str, float]:
        """Return what the next step will be made with, as `TrajectoryMeter.step` takes it.

        Returns
        -------
        dict
            step_size, noise_scale and weight_decay.

        Raises
        ------
        ValueError
            If a schedule has set one of them to something impossible.
        """
        group = self.param_groups[0]
        step_size = float(positive("lr", group["lr"]))
        if group["noise_scale"] is None:
            noise_scale = langevin_noise_scale(step_size, float(group["inverse_temperature"]))
        else:
            noise_scale = float(positive("noise_scale", group["noise_scale"]))
        decay = float(nonnegative("weight_decay", group["weight_decay"]))
        return {"step_size": step_size, "noise_scale": noise_scale, "weight_decay": decay}

    @overload  # type: ignore[override]
    def step(self, closure: None = None, *, batch_size: int) -> None: ...
    @overload
    def step(self, closure: Callable[[], float], *, batch_size: int) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None, *, batch_size: int) -> float | None:
        """Take one step and record it.

        Parameters
        ----------
        closure : callable, optional
            Evaluates the model again and returns the loss.
        batch_size : int
            Examples that the gradient is an average over, at least 1.

        Returns
        -------
        float or None
            What the closure returned.

        Raises
        ------
        ValueError
            If the batch size is no positive whole number, or a schedule has set something impossible.
        """
        size = int(count("batch_size", batch_size))
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        used, parameters = self.next_step(), self.param_groups[0]["params"]
        generator = stream(self.seed, "langevin noise", len(self.record), device=parameters[0].device)
        noise = normal_noise(generator, parameters[0].dtype)
        for parameter in parameters:
            parameter.copy_(_moved(parameter, noise=noise, **used))
        self.record.append(LangevinStep(batch_size=size, **used))
        return loss

    def state_dict(self) -> dict[str, Any]:
        """Return all that a resumed run needs.

        Returns
        -------
        dict
            As of any optimiser, with the seed and the record.
        """
        return {**super().state_dict(), "seed": self.seed, "record": [asdict(step) for step in self.record]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on where another run stopped.

        Parameters
        ----------
        state_dict : dict
            What `state_dict` returned.
        """
        super().load_state_dict({key: state_dict[key] for key in ("state", "param_groups")})
        self.seed = state_dict["seed"]
        self.record = [LangevinStep(**step) for step in state_dict["record"]]
