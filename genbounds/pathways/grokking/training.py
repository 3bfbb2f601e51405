"""A training in which a small mixture of experts first memorises the sums it is shown, and later learns to add."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from genbounds.models.progress import track
from genbounds.numerics.checks import count
from genbounds.pathways.grokking.mixture import Mixture
from genbounds.pathways.grokking.modular import ModularAddition

__all__ = ["Moment", "train_mixture"]

#: The recipe. A small second-moment memory and a large decay let most seeds grok within a minute on one core, not all;
#: the fall of the rate at the end keeps them from leaving again.
RATE, BETAS, DECAY, CLIP, WARM_UP, LAST_RATE, BALANCE = 6e-3, (0.9, 0.95), 2.0, 1.0, 10, 0.05, 0.01


@dataclass(frozen=True)
class Moment:
    """How a training stood after some steps.

    Attributes
    ----------
    step : int
        Steps taken.
    train_loss, test_loss : float
        Cross-entropy of the pairs trained on, and of the others, in nats.
    train_accuracy, test_accuracy : float
        Share of right answers.
    weight_norm : float
        Euclidean norm of all weights together.
    """

    step: int
    train_loss: float
    test_loss: float
    train_accuracy: float
    test_accuracy: float
    weight_norm: float


def train_mixture(
    model: Mixture,
    task: ModularAddition,
    *,
    steps: int = 1200,
    every: int = 25,
    until: float | None = None,
    callback: Callable[[int, Mixture], object] | None = None,
    progress: bool = True,
) -> tuple[Moment, ...]:
    """Train a mixture of experts on modular addition, all training pairs in each step.

    AdamW (rate 0.006, betas 0.9 and 0.95, decay 2 on all weights), gradients clipped at norm 1, ten steps of warm-up,
    the rate falling as a cosine to 5 % at the last step; the loss is the cross-entropy and 0.01 times the balance of
    experts. Nothing is random: the same model and task give the same weights, bit for bit, on the same machine.

    Parameters
    ----------
    model : Mixture
        The network, which is trained in place, on the device of the task.
    task : ModularAddition
        The pairs.
    steps : int
        Steps of the whole schedule.
    every : int
        After how many steps to look at the network; it is also looked at before the first step and after the last.
    until : float, optional
        Stop where it was looked at and this share of test pairs was right. The test pairs then chose the moment.
    callback : callable, optional
        ``callback(step, model)``, called where the network is looked at, in evaluation mode.
    progress : bool
        Show a bar on a terminal.

    Returns
    -------
    tuple of Moment
        One for each time it was looked at.
    """
    count("steps", steps)
    count("every", every)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, betas=BETAS, weight_decay=DECAY)
    inputs, answers = task.pairs[task.trained], task.sums[task.trained]
    log = []
    for step in track(range(steps + 1), "training", total=steps + 1, progress=progress):
        if step % every == 0 or step == steps:
            model.eval()
            log.append(_moment(step, model, task))
            if callback is not None:
                callback(step, model)
            if step == steps or (until is not None and log[-1].test_accuracy >= until):
                break
        model.train()
        falling = LAST_RATE + (1 - LAST_RATE) * (1 + math.cos(math.pi * step / steps)) / 2
        for group in optimizer.param_groups:
            group["lr"] = RATE * falling * min(1.0, (step + 1) / WARM_UP)
        logits, balance = model.logits_and_balance(inputs)
        optimizer.zero_grad()
        (F.cross_entropy(logits, answers) + BALANCE * balance).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
    return tuple(log)


@torch.no_grad()
def _moment(step: int, model: Mixture, task: ModularAddition) -> Moment:
    """Look at all pairs."""
    logits = model(task.pairs).double()
    losses = F.cross_entropy(logits, task.sums, reduction="none")
    right = (logits.argmax(-1) == task.sums).double()
    squares = sum(float(value.double().square().sum()) for value in model.parameters())
    seen, unseen = task.trained, ~task.trained
    return Moment(
        step=step,
        train_loss=float(losses[seen].mean()),
        test_loss=float(losses[unseen].mean()),
        train_accuracy=float(right[seen].mean()),
        test_accuracy=float(right[unseen].mean()),
        weight_norm=math.sqrt(squares),
    )
