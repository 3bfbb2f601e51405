"""Coherence measured while a network trains, without changing how it trains."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from genbounds.coherence.records import Coherence
from genbounds.coherence.training.repeated import RepeatedMeasurement
from genbounds.coherence.training.series_records import CoherenceSeries
from genbounds.models.training.monitor import Monitor
from genbounds.models.training.untouched import untouched

__all__ = ["CoherenceMonitor"]


class CoherenceMonitor(Monitor[Coherence]):
    """Measures coherence every so many steps or epochs of a training.

    Call `step` or `epoch` from your own loop, before the first step and after each one, or hand `lightning` or
    `hugging_face` to a trainer. The network is put into evaluation mode for the measurement and every module back into
    its own; gradients, buffers and random generators are left as they were: a training with the monitor ends with the
    same bits as one without.

    Parameters
    ----------
    model : torch.nn.Module
        The network that trains.
    loss, data
        As for `genbounds.coherence.measurement.measure`: the loss of the examples alone, without weight decay or other
        regularisers, and a fixed set of examples without augmentation.
    every : int
        Measure at steps (epochs) that are multiples of this.
    path : str or Path, optional
        File of JSON lines, one for each measurement. A training that is resumed goes on in it, and what was measured at
        the same weights is not measured again.
    **options : object
        As for `measure`: ``parameters``, ``indices``, ``batch_size``, ``interval``, ``null_draws``, ``seed``, ...

    Examples
    --------
    >>> import torch
    >>> x, y = torch.eye(4), torch.tensor([0, 0, 1, 1])
    >>> model = nn.Linear(4, 2)
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    >>> monitor = CoherenceMonitor(model, nn.functional.cross_entropy, (x, y), every=2, interval=False)
    >>> for step in range(5):
    ...     _ = monitor.step(step)
    ...     optimizer.zero_grad()
    ...     nn.functional.cross_entropy(model(x), y).backward()
    ...     optimizer.step()
    >>> monitor.series.axis
    ('step', (0, 2, 4))
    """

    subject = "coherence"

    def __init__(
        self,
        model: nn.Module,
        loss: Callable[..., Tensor],
        data: Any,
        *,
        every: int = 1,
        path: Any = None,
        **options: Any,
    ) -> None:
        super().__init__(model, every)
        with untouched(model):
            self._measurement = RepeatedMeasurement(loss, data, path=path, **options)

    def _measure(self, name: str, epoch: int | None, step: int | None) -> Coherence:
        return self._measurement.at(self.model, name, epoch=epoch, step=step).record

    @property
    def series(self) -> CoherenceSeries:
        """What was measured so far, in this run and in those that wrote to the file before."""
        return self._measurement.series
