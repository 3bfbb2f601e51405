"""A training with checkpoints to look at: real handwritten digits, the network of the demonstration."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from genbounds.models.data import load_data
from genbounds.models.randomness import stream
from genbounds.models.state import save_state
from genbounds.workflow.demo import network

__all__ = ["DigitsTraining", "train_digits"]

#: Epochs after which the weights are saved.
EPOCHS = (0, 1, 2, 3, 5, 8, 12, 20, 30, 50)
#: Training examples; the other digits are the second set.
EXAMPLES = 1000
_BATCH, _STEP_SIZE = 50, 0.1


@dataclass(frozen=True)
class DigitsTraining:
    """Checkpoints of a training, and its data.

    Attributes
    ----------
    checkpoints : tuple of Path
        In order.
    train, test : tuple of Tensor
        Inputs and classes.
    """

    checkpoints: tuple[Path, ...]
    train: tuple[Tensor, Tensor]
    test: tuple[Tensor, Tensor]


def train_digits(folder: str | Path, *, seed: int = 0, epochs: tuple[int, ...] = EPOCHS) -> DigitsTraining:
    """Train on 1,000 of scikit-learn's handwritten digits by stochastic gradient descent, and save checkpoints.

    Parameters
    ----------
    folder : str or Path
        Where the checkpoints go, as ``epoch=2-step=40.safetensors``; those of the same seed are the same.
    seed : int
        Seed of everything.
    epochs : tuple of int
        Epochs after which the weights are saved, increasing.

    Returns
    -------
    DigitsTraining
        What there is to measure.
    """
    digits = load_data("digits")
    order = torch.randperm(len(digits), generator=stream(seed, "digits"))
    ((_, inputs, targets),) = digits.batches(order, len(order))
    train, test = (inputs[:EXAMPLES], targets[:EXAMPLES]), (inputs[EXAMPLES:], targets[EXAMPLES:])
    with torch.random.fork_rng([]):  # initial weights and dropout draw from the global generator
        torch.manual_seed(seed)
        model = network()
        optimizer = torch.optim.SGD(model.parameters(), lr=_STEP_SIZE)
        saved, steps = [], 0
        for epoch in range(max(epochs) + 1):
            if epoch in epochs:
                saved.append(Path(folder) / f"epoch={epoch}-step={steps}.safetensors")
                save_state(model.state_dict(), saved[-1])
            for batch in torch.randperm(EXAMPLES, generator=stream(seed, "batches", epoch)).split(_BATCH):
                optimizer.zero_grad()
                nn.functional.cross_entropy(model(train[0][batch]), train[1][batch]).backward()
                optimizer.step()
                steps += 1
    return DigitsTraining(tuple(saved), train, test)
