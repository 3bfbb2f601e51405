"""Measuring in the middle of a training without changing how it goes on."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

__all__ = ["untouched"]


@contextmanager
def untouched(model: nn.Module) -> Iterator[None]:
    """Put back, at the end of the block, the mode of every module and the state of all global random generators.

    Parameters
    ----------
    model : torch.nn.Module
        The network.

    Yields
    ------
    None
        Nothing.
    """
    modes = {module: module.training for module in model.modules()}
    devices = {parameter.device for parameter in model.parameters()}
    of_python, of_numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        with torch.random.fork_rng([device for device in devices if device.type == "cuda"]), torch.enable_grad():
            yield
    finally:
        random.setstate(of_python)
        np.random.set_state(of_numpy)  # noqa: NPY002
        for module, training in modes.items():
            module.training = training
