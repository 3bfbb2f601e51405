"""Coherence along the checkpoints of a training."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from genbounds.coherence.training.repeated import RepeatedMeasurement
from genbounds.coherence.training.series_records import CoherenceSeries, Measured
from genbounds.models.blocks import Blocks
from genbounds.models.guards import ModelError, infer_device_and_dtype
from genbounds.models.per_example.evaluation import forward
from genbounds.models.training.series import moments_of_training

__all__ = ["coherence_series"]


def coherence_series(
    model: nn.Module | Callable[..., Any] | str,
    checkpoints: Sequence[str | Path],
    loss: Callable[..., Tensor],
    data: Any,
    *,
    prefix: str = "",
    entry: str = "",
    trust_pickle: bool = False,
    path: str | Path | None = None,
    progress: bool = False,
    **options: Any,
) -> CoherenceSeries:
    """Measure coherence at each checkpoint of a training.

    Parameters
    ----------
    model : torch.nn.Module, callable or str
        What builds the network, as `genbounds.models.build_model` takes it. A module is used as it is and left with the
        weights of the last checkpoint, in evaluation mode.
    checkpoints : sequence of str or Path
        Files, in the order given, or folders; epochs and steps are read from names or files, see
        `genbounds.models.training.series.moments_of_training`.
    loss, data
        As for `genbounds.coherence.measurement.measure`.
    prefix : str
        Prefix of the weights' names in the files, such as ``model.`` in Lightning's.
    entry : str
        Entry of the files that holds the weights, where it is not ``state_dict``.
    trust_pickle : bool
        Read files that run code when they are read. Only for files whose maker you trust.
    path : str or Path, optional
        File of JSON lines that keeps what was measured; what it holds is not measured again.
    progress : bool
        Whether to draw a bar on a terminal.
    **options : object
        As for `measure`: ``second``, ``null_draws``, ``batch_size``, ``device``, ``dtype``, ``seed``, ...

    Returns
    -------
    CoherenceSeries
        One point for each checkpoint, in their order.

    Raises
    ------
    FileNotFoundError
        If a checkpoint does not exist.
    CheckpointError
        If one is damaged, holds NaN or does not fit the network; its name is said.
    ModelError
        If network and loss do not run on the examples.

    Examples
    --------
    >>> import tempfile, torch
    >>> from genbounds.models import save_state
    >>> x, y = torch.eye(3), torch.tensor([0, 1, 1])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for epoch in (0, 2, 10):
    ...         save_state({"weight": torch.full((2, 3), epoch / 10)}, f"{folder}/epoch={epoch}.safetensors")
    ...     build = lambda: nn.Linear(3, 2, bias=False)
    ...     series = coherence_series(build, [folder], nn.functional.cross_entropy, (x, y), interval=False)
    >>> series.axis
    ('epoch', (0, 2, 10))
    """
    measurement = RepeatedMeasurement(loss, data, path=path, **options)
    points: list[Measured] = []
    bar = "coherence" if progress else ""
    for moment in moments_of_training(
        model, checkpoints, prefix=prefix, entry=entry, trust_pickle=trust_pickle, progress=bar
    ):
        if not points:
            for name, examples in {"data": data, "second": options.get("second")}.items():
                if examples is not None:
                    _check_fit(moment.network, loss, name, examples)
        points.append(measurement.at(moment.network, moment.name, epoch=moment.epoch, step=moment.step))
    return CoherenceSeries(tuple(points))


def _check_fit(network: nn.Module, loss: Callable[..., Tensor], name: str, examples: Any) -> None:
    """Say so in a sentence where network, loss and examples were not made for each other: by trying one example."""
    device, dtype = infer_device_and_dtype(network)
    first = Blocks(examples, 1, device=device, dtype=dtype).read(0)
    try:
        with torch.no_grad():
            loss(forward(network, first.inputs), first.targets)
    except Exception as error:
        raise ModelError(
            f"model and loss must run on the examples of {name}, got {type(error).__name__} for the first one: "
            f"{error}. Check that they belong together."
        ) from error
