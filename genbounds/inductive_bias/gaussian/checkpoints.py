"""Gaussian hypothesis spaces around a network: its linearisation, and its last layer on fixed features.

Both are linear in their weights, so that the information of `genbounds.inductive_bias.gaussian.spaces` is exact for
them. It is the information of these spaces: how well the linearisation stands for the network is another question.
Everything runs in float64, as the ranks of the covariances decide about the floor. Class indices become one-hot
vectors, so that the loss is the mean over examples and outputs of squares, for classes as for numbers.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from genbounds.inductive_bias.gaussian.evaluations import evaluated, in_float64, target_rows
from genbounds.inductive_bias.gaussian.hypotheses import GaussianHypotheses
from genbounds.inductive_bias.gaussian.spaces import kernel_hypotheses, linear_hypotheses
from genbounds.inductive_bias.gaussian.tangent import tangent_space
from genbounds.models.blocks import Blocks
from genbounds.models.guards import ModelError
from genbounds.models.linear_heads import find_head
from genbounds.models.progress import track

__all__ = ["last_layer_hypotheses", "ntk_hypotheses"]


def ntk_hypotheses(
    model: nn.Module,
    data: Any,
    *,
    scale: float | Mapping[str, float],
    train: Any | None = None,
    noise: float = 0.0,
    parameters: Collection[str] | None = None,
    batch_size: int = 32,
    device: torch.device | str | None = None,
    progress: bool = False,
) -> GaussianHypotheses:
    """Return the law of the residuals of a network that is linearised at its weights: of its neural tangent kernel.

    Parameters
    ----------
    model : torch.nn.Module
        In evaluation mode; a function of one example that returns one row of outputs per example. It is left alone.
    data : object
        Examples whose loss is asked for: what `genbounds.models.blocks.Blocks` takes. Targets are class indices, or
        numbers of the shape of the outputs.
    scale, parameters, batch_size, device, progress
        As in `tangent_space`.
    train : object, optional
        Examples that the linearised networks are known to fit.
    noise : float
        Standard deviation of Gaussian noise on their targets. 0: they are fit exactly.

    Returns
    -------
    GaussianHypotheses
        Its residuals are one column of length n k, as the outputs of a network of finite width depend on each other.

    Raises
    ------
    ModelError
        If the model is not in evaluation mode, or no function of one example.
    ValueError
        If targets do not fit the outputs, a setting is out of range, or no linearised network fits the training
        examples exactly.

    Examples
    --------
    >>> model = nn.Linear(2, 1, bias=False).eval()
    >>> _ = nn.init.zeros_(model.weight)
    >>> x, y = torch.eye(2), torch.tensor([[1.0], [2.0]])
    >>> ntk_hypotheses(model, (x[1:], y[1:]), train=(x[:1], y[:1]), scale=1.0).mean_loss  # the second weight is free
    5.0
    """
    joint = tangent_space(
        model,
        *([] if train is None else [train]),
        data,
        scale=scale,
        parameters=parameters,
        batch_size=batch_size,
        device=device,
        progress=progress,
    )
    residuals, outputs = (joint.targets - joint.outputs).ravel(), joint.outputs.shape[1]
    examples = 0 if train is None else Blocks(train, 1).number
    law = kernel_hypotheses(joint.covariance, residuals, given=np.arange(examples * outputs), noise=noise)
    # Rows of the covariance are outputs of examples.
    return replace(law, condition=law.condition.replace(f"{examples * outputs} ", f"{examples} ", 1))


def last_layer_hypotheses(
    model: nn.Module,
    data: Any,
    *,
    scale: float,
    train: Any | None = None,
    noise: float = 0.0,
    batch_size: int = 256,
    device: torch.device | str | None = None,
    progress: bool = False,
) -> GaussianHypotheses:
    """Return the law of the residuals of a network whose last layer is drawn anew, w ~ N(0, scale^2 I).

    Parameters
    ----------
    model : torch.nn.Module
        In evaluation mode; ends in one ``nn.Linear``. Its features are kept, the weights of that layer are not.
    data : object
        Examples whose loss is asked for: what `genbounds.models.blocks.Blocks` takes. Targets are class indices, or
        numbers of the shape of the outputs.
    scale : float
        Prior standard deviation of each weight, and of the bias if the layer has one.
    train : object, optional
        Examples that the functions are known to fit.
    noise : float
        Standard deviation of Gaussian noise on their targets. 0: they are fit exactly.
    batch_size : int
        Examples in a block.
    device : torch.device or str, optional
        Where to compute features; by default where the model is. It must know float64.
    progress : bool
        Show a bar on a terminal.

    Returns
    -------
    GaussianHypotheses
        A column for each output: their weights are independent.

    Raises
    ------
    ModelError
        If the model is not in evaluation mode, or does not end in a linear layer.
    ValueError
        If targets do not fit the outputs, a setting is out of range, or no weights fit the training examples exactly.
    """
    measured, place = in_float64(model, device)
    sets = [Blocks(part, batch_size, device=place, dtype=torch.float64) for part in (train, data) if part is not None]
    example = sets[0].read(0).inputs
    if not isinstance(example, Tensor):
        raise ModelError("model must take one tensor, got inputs by keyword. Wrap it to take a tensor.")
    head = measured.get_submodule(find_head(measured, example))
    tasks = [(blocks, number) for blocks in sets for number in range(-(-blocks.number // batch_size))]
    features: list[Tensor] = []
    targets: list[Tensor] = []
    handle = head.register_forward_pre_hook(
        lambda _, args, named: features.append((*args, *named.values())[0].cpu()), with_kwargs=True
    )
    try:
        for blocks, number in track(tasks, "computing features", total=len(tasks), progress=progress):
            outputs, found = evaluated(measured, blocks.read(number))
            targets.append(found)
    finally:
        handle.remove()
    if head.bias is not None:
        features = [torch.cat([part, torch.ones_like(part[:, :1])], dim=1) for part in features]
    return linear_hypotheses(
        torch.cat(features).numpy(),
        target_rows(torch.cat(targets), outputs.shape[1]).numpy(),
        scale=scale,
        given=np.arange(sets[0].number if train is not None else 0),
        noise=noise,
    )
