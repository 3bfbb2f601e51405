"""The same capture at different weights of a network, each made once and kept."""

from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch import distributed as dist

from genbounds.models.blocks import Blocks
from genbounds.models.state import state_sha256
from genbounds.models.training.journal import fingerprint
from genbounds.pathways.capture.measurement import capture_routing, with_targets
from genbounds.pathways.routing import Routing, read_routing
from genbounds.version import __version__

__all__ = ["Snapshots", "first_process", "plain"]

#: Examples of data hashed at a time; no result depends on it.
_CHUNK = 512
#: Examples whose routing tells whether the network is still the same function.
_FIRST = 8


class Snapshots:
    """Captures routing with one and the same settings, and never the same weights twice where snapshots are kept.

    Under ``torch.distributed`` each process captures everything, and the first one writes.

    Parameters
    ----------
    data : object
        As for `genbounds.pathways.capture_routing`.
    folder : str or Path, optional
        Where snapshots are kept, one file for each of the weights; without it none is.
    **options : object
        As for `capture_routing`, but ``name``, ``epoch`` and ``step``. By default the executed experts of tokens are
        kept (``keep="routes"``), which saturation needs.

    Attributes
    ----------
    settings : str
        Fingerprint of data, options and version.

    Notes
    -----
    A file is taken for this capture if weights, data, options, version and the names of functions among the options
    agree, and the routing of the first examples at these weights too: a network that was edited, or another function
    of the same name that measures something else of them, is captured again.
    """

    def __init__(self, data: Any, folder: str | Path | None = None, **options: Any) -> None:
        self.data, self.options = data, {"keep": "routes"} | options
        self.folder = None if folder is None else Path(folder)
        pair, labelled = with_targets(data)
        first = Blocks(pair, _FIRST).read(0)
        inputs = first.inputs if isinstance(first.inputs, Tensor) else dict(first.inputs)
        self._first = (inputs, first.targets) if labelled else inputs
        self.settings = fingerprint({
            "data": _data_sha256(pair),
            "options": {name: plain(value) for name, value in self.options.items() if name != "progress"},
            "version": __version__,
        })

    def weights(self, model: nn.Module) -> str:
        """Return the fingerprint of a network: of its weights, and of how it routes the first examples.

        Parameters
        ----------
        model : torch.nn.Module
            In evaluation mode.

        Returns
        -------
        str
            16 hexadecimal digits.
        """
        state = {key: value for key, value in model.state_dict().items() if isinstance(value, Tensor)}
        seen = capture_routing(model, self._first, **self.options | {"progress": False})
        parts = [layer.mean_gates for layer in seen.layers] + [layer.counts for layer in seen.layers]
        # To a few digits: another number of threads may round otherwise.
        rounded = [[f"{value:.4e}" for value in np.ravel(part).tolist()] for part in (*parts, *seen.values.values())]
        return fingerprint({"state": state_sha256(state), "first": rounded, "values": sorted(seen.values)})

    def at(
        self,
        model: nn.Module,
        name: str,
        *,
        epoch: int | None = None,
        step: int | None = None,
        weights: str | None = None,
    ) -> Routing:
        """Capture at the present weights, unless there is a snapshot of them.

        Parameters
        ----------
        model : torch.nn.Module
            In evaluation mode.
        name : str
            Of the checkpoint, or of the moment.
        epoch, step : int, optional
            How many had been taken.
        weights : str, optional
            What `weights` returned for them, if it was asked already.

        Returns
        -------
        Routing
            Under this name.
        """
        path = None
        if self.folder is not None:
            path = self.folder / f"{weights or self.weights(model)}-{self.settings}.npz"
            if path.exists():
                return replace(read_routing(path), name=name, epoch=epoch, step=step)
        routing = capture_routing(model, self.data, name=name, epoch=epoch, step=step, **self.options)
        if path is not None and first_process():
            unfinished = path.with_name(f"unfinished-{path.name}")
            routing.save(unfinished)
            unfinished.replace(path)  # all or nothing: a killed run leaves no half of a snapshot
        return routing


def first_process() -> bool:
    """Tell whether this process is the one that writes.

    Returns
    -------
    bool
        True but for the others under ``torch.distributed``.
    """
    return not (dist.is_available() and dist.is_initialized()) or dist.get_rank() == 0


def plain(value: Any) -> Any:
    """Return an option as JSON carries it: functions by their names.

    Parameters
    ----------
    value : object
        Of an option.

    Returns
    -------
    object
        Numbers, text, lists and dictionaries.
    """
    if isinstance(value, Tensor | np.ndarray | np.generic):
        return np.asarray(value).tolist()
    if isinstance(value, Mapping):
        return {str(name): plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(part) for part in (sorted(value) if isinstance(value, set | frozenset) else value)]
    if isinstance(value, torch.dtype | torch.device):
        return str(value)
    if callable(value):
        of = value if hasattr(value, "__qualname__") else type(value)
        return f"{of.__module__}.{of.__qualname__}"
    return value


def _data_sha256(pair: Any) -> str:
    """Fingerprint examples."""
    blocks = Blocks(pair, _CHUNK)
    digest = sha256()
    for number in range(-(-blocks.number // _CHUNK)):
        block = blocks.read(number)
        columns = {"inputs": block.inputs} if isinstance(block.inputs, Tensor) else block.inputs
        digest.update(state_sha256({**columns, "targets": block.targets}).encode())
    return digest.hexdigest()
