"""A network with the weights of one checkpoint after the other."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from genbounds.models.checkpoint import apply_state, load_checkpoint
from genbounds.models.factory import build_model
from genbounds.models.progress import track
from genbounds.models.state import CheckpointError
from genbounds.models.training.checkpoint_files import checkpoint_paths, position_in_name

__all__ = ["Moment", "moments_of_training"]


@dataclass(frozen=True)
class Moment:
    """A network as it was at one moment of its training.

    Attributes
    ----------
    name : str
        Of the checkpoint's file.
    epoch, step : int or None
        How many epochs and steps had been taken, as far as it is known.
    network : torch.nn.Module
        With the weights of the checkpoint, in evaluation mode, until the next one is asked for.
    """

    name: str
    epoch: int | None
    step: int | None
    network: nn.Module


def moments_of_training(
    model: nn.Module | Callable[..., Any] | str,
    checkpoints: Sequence[str | Path],
    *,
    prefix: str = "",
    entry: str = "",
    trust_pickle: bool = False,
    progress: str = "",
) -> Iterator[Moment]:
    """Fill one network with the weights of each checkpoint in turn.

    Parameters
    ----------
    model : torch.nn.Module, callable or str
        What builds the network, as `genbounds.models.build_model` takes it. A module is used as it is and left with the
        weights of the last checkpoint, in evaluation mode.
    checkpoints : sequence of str or Path
        Files, in the order given, or folders (`genbounds.models.training.checkpoint_files.checkpoint_paths`). How many
        epochs and steps had been taken is read from the name, as in ``epoch=2-step=60.pt``, or from an entry ``epoch``,
        ``step`` or ``global_step`` beside the weights; what it says is taken as it is (Lightning's first epoch is 0).
    prefix : str
        Prefix of the weights' names in the files, such as ``model.`` in Lightning's.
    entry : str
        Entry of the files that holds the weights, where it is not ``state_dict``.
    trust_pickle : bool
        Read files that run code when they are read. Only for files whose maker you trust.
    progress : str
        What a bar on a terminal says; without it there is none.

    Yields
    ------
    Moment
        One for each checkpoint, in their order.

    Raises
    ------
    FileNotFoundError
        If a checkpoint does not exist.
    CheckpointError
        If one is damaged, holds NaN or does not fit the network; its name is said.
    """
    files = checkpoint_paths(checkpoints)
    network = build_model(model)
    for file in track(files, progress, total=len(files), progress=bool(progress)):
        checkpoint = load_checkpoint(file, prefix=prefix, entry=entry, trust_pickle=trust_pickle)
        try:
            apply_state(network, checkpoint.state)
        except CheckpointError as error:
            raise CheckpointError(f"checkpoint {file.name}: {error}") from error
        epoch, step = position_in_name(file.name)
        epoch = _number(checkpoint.metadata, "epoch") if epoch is None else epoch
        step = _number(checkpoint.metadata, "step", "global_step") if step is None else step
        yield Moment(file.name, epoch, step, network.eval())


def _number(metadata: Mapping[str, Any], *names: str) -> int | None:
    """Return the first whole number kept beside the weights under one of these names."""
    return next((metadata[name] for name in names if type(metadata.get(name)) is int), None)
