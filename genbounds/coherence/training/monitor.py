"""Coherence measured while a network trains, without changing how it trains."""

from collections.abc import Callable
from typing import Any, Literal

from torch import Tensor, nn

from genbounds.coherence.records import Coherence
from genbounds.coherence.training.repeated import RepeatedMeasurement
from genbounds.coherence.training.series_records import CoherenceSeries
from genbounds.models.training.untouched import untouched
from genbounds.numerics.checks import count

__all__ = ["CoherenceMonitor"]


class CoherenceMonitor:
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
        self.model, self.every = model, int(count("every", every))
        with untouched(model):
            self._measurement = RepeatedMeasurement(loss, data, path=path, **options)

    def step(self, step: int, epoch: int | None = None) -> Coherence | None:
        """Measure if it is time to, by steps.

        Parameters
        ----------
        step : int
            Steps taken so far.
        epoch : int, optional
            Epochs taken so far, to be noted.

        Returns
        -------
        Coherence or None
            The record, if this step is a multiple of `every`.
        """
        return self._at(step, f"step {step}", step=step, epoch=epoch)

    def epoch(self, epoch: int, step: int | None = None) -> Coherence | None:
        """Measure if it is time to, by epochs.

        Parameters
        ----------
        epoch : int
            Epochs taken so far.
        step : int, optional
            Steps taken so far, to be noted.

        Returns
        -------
        Coherence or None
            The record, if this epoch is a multiple of `every`.
        """
        return self._at(epoch, f"epoch {epoch}", step=step, epoch=epoch)

    def _at(self, number: int, name: str, *, step: int | None, epoch: int | None) -> Coherence | None:
        if int(count("step or epoch", number, minimum=0)) % self.every:
            return None
        with untouched(self.model):
            self.model.eval()
            return self._measurement.at(self.model, name, epoch=epoch, step=step).record

    @property
    def series(self) -> CoherenceSeries:
        """What was measured so far, in this run and in those that wrote to the file before."""
        return self._measurement.series

    def lightning(self, by: Literal["epoch", "step"] = "epoch") -> Any:
        """Return a callback for a Lightning trainer.

        Parameters
        ----------
        by : {"epoch", "step"}
            What `every` counts.

        Returns
        -------
        lightning.pytorch.Callback
            It measures, and hands the numbers to the trainer's loggers as ``coherence/...``.

        Raises
        ------
        ImportError
            If neither lightning nor pytorch_lightning is installed.
        """
        from genbounds.models.training.callbacks import lightning_callback

        return lightning_callback(self, by, "coherence")

    def hugging_face(self, by: Literal["epoch", "step"] = "epoch") -> Any:
        """Return a callback for a trainer of Hugging Face's transformers.

        Parameters
        ----------
        by : {"epoch", "step"}
            What `every` counts.

        Returns
        -------
        transformers.TrainerCallback
            It measures; the numbers are in `series` and in the file.

        Raises
        ------
        ImportError
            If transformers is not installed.
        """
        from genbounds.models.training.callbacks import hugging_face_callback

        return hugging_face_callback(self, by)
