"""What measures every so many steps or epochs of a training, in any loop."""

from abc import ABC, abstractmethod
from typing import Any, Generic, Literal, Protocol, TypeVar

from torch import nn

from genbounds.models.training.untouched import untouched
from genbounds.numerics.checks import count

__all__ = ["Monitor", "Record"]


class Record(Protocol):
    """What a monitor measured."""

    def flat(self) -> dict[str, float]:
        """Return numbers for a logger.

        Returns
        -------
        dict
            Their names and values.
        """


R = TypeVar("R", bound=Record)


class Monitor(ABC, Generic[R]):
    """Measures every so many steps or epochs of a training, without changing how it goes on.

    Call `step` or `epoch` from your own loop, before the first step and after each one, or hand `lightning` or
    `hugging_face` to a trainer. The network is put into evaluation mode for the measurement and every module back into
    its own; gradients, buffers and random generators are left as they were.

    Parameters
    ----------
    model : torch.nn.Module
        The network that trains.
    every : int
        Measure at steps (epochs) that are multiples of this.

    Attributes
    ----------
    subject : str
        What is measured; names in a trainer's loggers begin with it.
    """

    subject: str

    def __init__(self, model: nn.Module, every: int) -> None:
        self.model, self.every = model, int(count("every", every))

    @abstractmethod
    def _measure(self, name: str, epoch: int | None, step: int | None) -> R:
        """Measure the network, which is in evaluation mode, and keep the record."""

    def step(self, step: int, epoch: int | None = None) -> R | None:
        """Measure if it is time to, by steps.

        Parameters
        ----------
        step : int
            Steps taken so far.
        epoch : int, optional
            Epochs taken so far, to be noted.

        Returns
        -------
        record or None
            What was measured, if this step is a multiple of `every`.
        """
        return self._at(step, f"step {step}", epoch, step)

    def epoch(self, epoch: int, step: int | None = None) -> R | None:
        """Measure if it is time to, by epochs.

        Parameters
        ----------
        epoch : int
            Epochs taken so far.
        step : int, optional
            Steps taken so far, to be noted.

        Returns
        -------
        record or None
            What was measured, if this epoch is a multiple of `every`.
        """
        return self._at(epoch, f"epoch {epoch}", epoch, step)

    def _at(self, number: int, name: str, epoch: int | None, step: int | None) -> R | None:
        if int(count("step or epoch", number, minimum=0)) % self.every:
            return None
        with untouched(self.model):
            self.model.eval()
            return self._measure(name, epoch, step)

    def lightning(self, by: Literal["epoch", "step"] = "epoch") -> Any:
        """Return a callback for a Lightning trainer.

        Parameters
        ----------
        by : {"epoch", "step"}
            What `every` counts.

        Returns
        -------
        lightning.pytorch.Callback
            It measures, and hands the numbers to the trainer's loggers, their names after the monitor's `subject` as in
            ``coherence/...``.

        Raises
        ------
        ImportError
            If neither lightning nor pytorch_lightning is installed.
        """
        from genbounds.models.training.callbacks import lightning_callback

        return lightning_callback(self, by)

    def hugging_face(self, by: Literal["epoch", "step"] = "epoch") -> Any:
        """Return a callback for a trainer of Hugging Face's transformers.

        Parameters
        ----------
        by : {"epoch", "step"}
            What `every` counts.

        Returns
        -------
        transformers.TrainerCallback
            It measures; the numbers are in the monitor's series and in its file.

        Raises
        ------
        ImportError
            If transformers is not installed.
        """
        from genbounds.models.training.callbacks import hugging_face_callback

        return hugging_face_callback(self, by)
