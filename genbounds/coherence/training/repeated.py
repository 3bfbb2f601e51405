"""The same measurement at different weights of a network, each made once."""

from collections.abc import Callable
from hashlib import sha256
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch import distributed as dist

from genbounds.coherence.measurement import measure
from genbounds.coherence.training.series_records import CoherenceSeries, Measured, journalled_series
from genbounds.models.blocks import Blocks
from genbounds.models.guards import infer_device_and_dtype
from genbounds.models.per_example.evaluation import forward
from genbounds.models.state import state_sha256
from genbounds.models.training.journal import Journal, fingerprint
from genbounds.version import __version__

__all__ = ["RepeatedMeasurement"]

#: Examples of data hashed at a time; no result depends on it.
_CHUNK = 512
#: Examples whose loss tells whether network and loss are still the same functions.
_FIRST = 8


class RepeatedMeasurement:
    """Measures coherence with one and the same settings, and never the same weights twice.

    Under ``torch.distributed`` all processes measure together, and the first one keeps the file.

    Parameters
    ----------
    loss, data
        As for `genbounds.coherence.measurement.measure`.
    path : str or Path, optional
        File of JSON lines that keeps what was measured; see `genbounds.models.training.journal.Journal`.
    **options : object
        As for `measure`.

    Notes
    -----
    A measurement in the file is taken for this one if weights, data, options, version and the loss's name agree, and
    the loss of the first examples at these weights too: a network or a loss that was edited, or has another setting, is
    measured again.
    """

    def __init__(self, loss: Callable[..., Tensor], data: Any, *, path: Any = None, **options: Any) -> None:
        self.loss, self.data, self.options = loss, data, options
        self.journal = Journal(path)
        first = Blocks(data, _FIRST).read(0)
        self._first = first.inputs, first.targets
        second = options.get("second")
        self.settings = fingerprint({
            "loss": _name(loss),
            "data": [None if examples is None else _data_sha256(examples) for examples in (data, second)],
            "options": {name: _plain(options[name]) for name in options if name not in {"second", "progress"}},
            "version": __version__,
        })

    def at(self, model: nn.Module, name: str, *, epoch: int | None = None, step: int | None = None) -> Measured:
        """Measure at the present weights, unless they are known.

        Parameters
        ----------
        model : torch.nn.Module
            In evaluation mode.
        name : str
            Of the checkpoint, or of the moment.
        epoch, step : int, optional
            How many had been taken.

        Returns
        -------
        Measured
            The measurement, under this name.
        """
        first = not _distributed() or dist.get_rank() == 0
        state = {key: value for key, value in model.state_dict().items() if isinstance(value, Tensor)}
        weights = fingerprint({"state": state_sha256(state), "first loss": self._first_loss(model)})
        known = [self.journal.find(weights, self.settings) if first else None]
        if _distributed():  # processes that disagreed on what is known would wait for each other
            dist.broadcast_object_list(known)
        if known[0] is None:
            measured = Measured(name, epoch, step, measure(model, self.loss, self.data, **self.options))
        else:
            measured = Measured.from_json(known[0] | {"name": name, "epoch": epoch, "step": step})
        line = measured.to_json() | {"weights": weights, "settings": self.settings}
        if first and line != known[0]:
            self.journal.add(line)
        return measured

    def _first_loss(self, model: nn.Module) -> str:
        """Return the loss of the first examples, to six digits."""
        device, dtype = infer_device_and_dtype(model)
        block = Blocks(self._first, _FIRST, device=device, dtype=dtype).read(0)
        with torch.no_grad():
            return f"{float(self.loss(forward(model, block.inputs), block.targets).double().mean()):.5e}"

    @property
    def series(self) -> CoherenceSeries:
        """What was measured with these settings so far, in this run and in those that wrote to the file before."""
        return journalled_series(line for line in self.journal if line["settings"] == self.settings)


def _distributed() -> bool:
    return dist.is_available() and dist.is_initialized()


def _name(loss: Callable[..., Any]) -> str:
    of = loss if hasattr(loss, "__qualname__") else type(loss)
    return f"{of.__module__}.{of.__qualname__}"


def _plain(value: Any) -> Any:
    """Return an option as JSON carries it."""
    if isinstance(value, Tensor | np.ndarray):
        return np.asarray(value).tolist()
    if isinstance(value, torch.dtype | torch.device):
        return str(value)
    return sorted(value) if isinstance(value, set | frozenset) else value


def _data_sha256(data: Any) -> str:
    """Fingerprint examples, whoever reads which."""
    blocks = Blocks(data, _CHUNK)
    digests: dict[int, str] = {}
    for block in blocks:
        columns = block.inputs if not isinstance(block.inputs, Tensor) else {"inputs": block.inputs}
        digests[block.number] = state_sha256({**columns, "targets": block.targets})
    if _distributed():
        parts: list[Any] = [None] * dist.get_world_size()
        dist.all_gather_object(parts, digests)
        digests = {number: digest for part in parts for number, digest in part.items()}
    return sha256("".join(digests[number] for number in sorted(digests)).encode()).hexdigest()
