"""Pathway metrics measured while a network trains, without changing how it trains."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from numpy.typing import ArrayLike
from torch import nn

from genbounds.models.training.journal import Journal, fingerprint
from genbounds.models.training.monitor import Monitor
from genbounds.models.training.untouched import untouched
from genbounds.pathways.capture.measurement import Evaluate
from genbounds.pathways.metrics import pathway_metrics
from genbounds.pathways.metrics_records import PathwayMetrics
from genbounds.pathways.training.series_records import MeasuredPathways, PathwaySeries, journalled_series
from genbounds.pathways.training.snapshots import Snapshots, first_process, plain

__all__ = ["PathwayMonitor"]


class PathwayMonitor(Monitor[PathwayMetrics]):
    """Measures pathways every so many steps or epochs of a training.

    Call `step` or `epoch` from your own loop, before the first step and after each one, or hand `lightning` or
    `hugging_face` to a trainer. The network is put into evaluation mode for the measurement and every module back into
    its own; gradients, buffers and random generators are left as they were: a training with the monitor ends with the
    same bits as one without.

    There is no saturation in these records, as the last checkpoint is not known yet: keep `snapshots`, and
    `genbounds.pathways.series_of` measures it afterwards.

    Parameters
    ----------
    model : torch.nn.Module
        The network that trains.
    data : object
        As for `genbounds.pathways.capture_routing`: a fixed set of samples without augmentation.
    every : int
        Measure at steps (epochs) that are multiples of this.
    groups : array_like, shape (n,), optional
        A label for each sample: its answer, its domain.
    evaluate : callable or "next_token", optional
        What else to measure in the same pass, as for `capture_routing`.
    path : str or Path, optional
        File of JSON lines, one for each measurement. A training that is resumed goes on in it, and what was measured at
        the same weights is not measured again.
    snapshots : str or Path, optional
        Folder that keeps what was captured.
    capture : mapping, optional
        Other options of `capture_routing`.
    **options : object
        As for `genbounds.pathways.pathway_metrics`, but ``last``.

    Examples
    --------
    >>> import torch
    >>> from genbounds.pathways.grokking.mixture import Mixture
    >>> pairs = torch.cartesian_prod(torch.arange(5), torch.arange(5))
    >>> model = Mixture(5, width=8)
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    >>> monitor = PathwayMonitor(model, pairs, every=2, metric="hamming", paths="top", shuffles=9)
    >>> for step in range(5):
    ...     _ = monitor.step(step)
    ...     optimizer.zero_grad()
    ...     nn.functional.cross_entropy(model(pairs), pairs.sum(1) % 5).backward()
    ...     optimizer.step()
    >>> monitor.series.axis
    ('step', (0, 2, 4))
    """

    subject = "pathways"

    def __init__(
        self,
        model: nn.Module,
        data: Any,
        *,
        every: int = 1,
        groups: ArrayLike | None = None,
        evaluate: Evaluate | Literal["next_token"] | None = None,
        path: str | Path | None = None,
        snapshots: str | Path | None = None,
        capture: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(model, every)
        self.options = {"groups": groups} | options
        with untouched(model):
            self._captured = Snapshots(data, snapshots, evaluate=evaluate, **(capture or {}))
        self._journal = Journal(path if first_process() else None)
        self._settings = fingerprint({"capture": self._captured.settings, "options": plain(self.options)})

    def _measure(self, name: str, epoch: int | None, step: int | None) -> PathwayMetrics:
        weights = self._captured.weights(self.model)
        known = self._journal.find(weights, self._settings)
        if known is None:
            routing = self._captured.at(self.model, name, epoch=epoch, step=step, weights=weights)
            measured = MeasuredPathways(name, epoch, step, pathway_metrics(routing, **self.options))
        else:
            if self._captured.folder is not None:  # which may lack what the file knows
                self._captured.at(self.model, name, epoch=epoch, step=step, weights=weights)
            measured = MeasuredPathways.from_json(known | {"name": name, "epoch": epoch, "step": step})
        line = measured.to_json() | {"weights": weights, "settings": self._settings}
        if line != known:
            self._journal.add(line)
        return measured.record

    @property
    def series(self) -> PathwaySeries:
        """What was measured so far, in this run and in those that wrote to the file before."""
        return journalled_series(line for line in self._journal if line["settings"] == self._settings)
