"""What a task of a space of trained networks does: train many at once, each until it fits, and record its losses."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.func import vmap

from genbounds.models.ensembles import DTYPES, Ensemble, EnsembleTraining, epoch_orders, one_thread
from genbounds.models.factory import build_model, load_factory
from genbounds.models.randomness import stream

__all__ = ["train_until"]

#: Examples that are evaluated at a time.
_CHUNK = 256


class _Examples:
    """Inputs, targets and a loss: its mean for every network, and the share of errors where targets are classes."""

    def __init__(
        self, inputs: NDArray[Any], targets: NDArray[Any], loss: Callable[..., Tensor], device: str, dtype: str
    ) -> None:
        columns = (torch.from_numpy(values.copy()) for values in (inputs, targets))
        self.inputs, self.targets = (
            values.to(device, DTYPES[dtype]) if values.is_floating_point() else values.to(device) for values in columns
        )
        self._loss = loss
        self.classes = not self.targets.is_floating_point()

    def losses(self, outputs: Tensor, targets: Tensor, *, own: bool) -> Tensor:
        """Return the mean loss of each network, outputs (K, b, ...); with targets of its own, or the same for all."""
        value = vmap(self._loss, in_dims=(0, 0 if own else None))(outputs, targets)
        if value.shape not in {outputs.shape[:1], outputs.shape[:2]}:
            raise ValueError(
                "loss must be the average over the batch, or one value per example, got shape "
                f"{tuple(value.shape[1:])} for {outputs.shape[1]} examples. Average over the outputs of each."
            )
        return value if value.ndim == 1 else value.mean(1)

    def measure(self, ensemble: Ensemble, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean loss and share of errors of some networks; NaN for targets that are no classes."""
        ensemble.train(False)
        loss = torch.zeros(int(rows.sum()), dtype=torch.float64, device=self.inputs.device)
        wrong = torch.zeros_like(loss)
        for inputs, targets in zip(self.inputs.split(_CHUNK), self.targets.split(_CHUNK), strict=True):
            outputs = ensemble.predict(inputs, rows).double()
            wanted = targets if self.classes else targets.double()
            loss += self.losses(outputs, wanted, own=False) * len(inputs)
            if self.classes:
                # A network that diverged has no largest score.
                wrong += (~outputs.isfinite().all(-1) | (outputs.argmax(-1) != targets)).sum(1)
            else:
                wrong += torch.nan
        ensemble.train()
        return loss / len(self.inputs), wrong / len(self.inputs)

    def check(self, ensemble: Ensemble) -> None:
        """Refuse outputs that do not belong to the targets, and a loss that is no average over examples."""
        shape = ensemble.output_shape(self.inputs)
        if self.classes:
            low, high = int(self.targets.min()), int(self.targets.max())
            fits = len(shape) == self.targets.ndim == 1 and low >= 0 and shape[0] > max(1, high)
            wanted = f"a score for each class, {min(low, 0)} to {high}"
        else:
            fits, wanted = shape == tuple(self.targets.shape[1:]), f"outputs of shape {tuple(self.targets.shape[1:])}"
        if not fits:
            raise ValueError(
                f"model must give {wanted}, as the targets of an example have it, got shape {shape}. Change its last "
                "layer, or the shape of the targets."
            )
        outputs, targets = ensemble.predict(self.inputs[:1]).double(), self.targets[:1]
        targets = targets if self.classes else targets.double()
        twice = outputs.expand(-1, 2, *shape), targets.expand(2, *targets.shape[1:])
        once, again = self.losses(outputs, targets, own=False), self.losses(*twice, own=False)
        if not torch.allclose(once, again, equal_nan=True):
            raise ValueError(
                "loss must be the average over the batch, or one value per example, got "
                f"{float(once[0]):g} for one example and {float(again[0]):g} for the same twice. Divide a sum by the "
                "number of examples."
            )


def train_until(
    *,
    train_inputs: NDArray[Any],
    train_targets: NDArray[Any],
    test_inputs: NDArray[Any],
    test_targets: NDArray[Any],
    first: Sequence[int],
    networks: int,
    network: str,
    arguments: Mapping[str, Any],
    loss: str,
    condition: str,
    level: float,
    training: Mapping[str, Any],
    device: str,
    dtype: str,
    **_: Any,
) -> dict[str, Any]:
    """Train networks until each fits; the function of a task.

    Parameters
    ----------
    train_inputs, test_inputs : ndarray, shape (n, ...)
        Examples.
    train_targets, test_targets : ndarray, shape (n,) of int, or (n, ...) of float
        Classes, or values of the shape of the outputs.
    first : sequence of int
        Seed of the space and number of the first network: what the seeds of trainings are made of, so that a training
        does not depend on which others are in its task.
    networks : int
        How many.
    network : str
        What builds a network.
    arguments : mapping
        Its keyword arguments.
    loss : str
        What is minimised: ``package.module:callable`` of outputs and targets of a batch.
    condition : {"loss", "error"}
        Which number of the training examples has to come down,
    level : float
        and to what.
    training : mapping
        Fields of `EnsembleTraining`; as many epochs at most.
    device, dtype : str
        Where, and in which type.
    **_ : object
        The task's own seed and the fingerprint of the code, which are not used.

    Returns
    -------
    dict
        Arrays of shape (networks,): ``train_loss``, ``train_error``, ``test_loss``, ``test_error``, ``epochs``,
        ``fits``, ``seeds``; and torch's version. Errors are NaN for targets that are no classes.

    Raises
    ------
    ValueError
        If network, loss and targets do not belong together.
    """
    factory, how, function = load_factory(network), EnsembleTraining(**training), load_factory(loss)
    train = _Examples(train_inputs, train_targets, function, device, dtype)
    test = _Examples(test_inputs, test_targets, function, device, dtype)
    seed, start = first
    seeds = [stream(seed, "network", start + row).initial_seed() for row in range(networks)]
    found = torch.full((5, networks), torch.nan, dtype=torch.float64)
    fits = torch.zeros(networks, dtype=torch.bool)
    with one_thread():
        ensemble = Ensemble(lambda: build_model(factory, arguments), seeds, train.inputs)
        train.check(ensemble)
        test.check(ensemble)
        optimiser = how.prepare(ensemble.trained)
        orders = [epoch_orders(each, len(train.inputs), how) for each in seeds]
        active = torch.arange(networks)
        for epoch in range(how.epochs + 1):
            now = torch.stack(train.measure(ensemble, torch.ones(len(active), dtype=torch.bool))).cpu()
            met = now[int(condition == "error")] <= level
            ended = met | (epoch == how.epochs)
            if ended.any():
                then = torch.stack(test.measure(ensemble, ended)).cpu()
                found[:, active[ended]] = torch.cat([now[:, ended], then, torch.full_like(then[:1], epoch)])
                fits[active[ended]] = met[ended]
                if ended.all():
                    break
                ensemble.keep(~ended, optimiser)
                active = active[~ended]
            order = torch.stack([next(orders[row]) for row in active.tolist()]).to(train.inputs.device)
            for batch in order.split(how.batch_size, dim=1):
                optimiser.zero_grad()
                # Each network's mean loss; their sum has each network's gradient in its own slice.
                train.losses(ensemble(train.inputs[batch]), train.targets[batch], own=True).sum().backward()
                optimiser.step()
    names = ("train_loss", "train_error", "test_loss", "test_error", "epochs")
    return {
        **{name: row.numpy() for name, row in zip(names, found, strict=True)},
        "epochs": found[4].long().numpy(),
        "fits": fits.numpy(),
        "seeds": torch.tensor(seeds).numpy(),
        "torch": torch.__version__,
    }
