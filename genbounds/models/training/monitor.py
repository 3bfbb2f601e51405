"""What measures every so many steps or epochs of a training: in your own loop, or as a callback of others' trainers."""

from abc import ABC, abstractmethod
from importlib import import_module
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

    def scalars(self, record: R) -> dict[str, float]:
        """Return what was measured as flat numbers for a logger.

        Parameters
        ----------
        record
            What `step` or `epoch` returned.

        Returns
        -------
        dict of str to float
            Finite numbers, their names after the monitor's `subject` as in ``coherence/alpha``.
        """
        return {f"{self.subject}/{name}": value for name, value in record.flat().items()}

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
        monitor = self
        base = _trainers_class(("lightning.pytorch", "pytorch_lightning"), "Callback", "lightning")

        class LightningMonitor(base):  # type: ignore[misc, valid-type]
            """Measurements along a training by Lightning."""

            def on_train_start(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002
                self._at(trainer, trainer.current_epoch)

            def on_train_batch_end(self, trainer: Any, *_: Any, **__: Any) -> None:
                if by == "step":
                    self._at(trainer, trainer.current_epoch)

            def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002
                if by == "epoch":
                    self._at(trainer, trainer.current_epoch + 1)

            def _at(self, trainer: Any, epoch: int) -> None:
                step = trainer.global_step
                record = monitor.step(step) if by == "step" else monitor.epoch(epoch, step)
                if record is not None:
                    for logger in trainer.loggers:
                        logger.log_metrics(monitor.scalars(record), step=step)

        return LightningMonitor()

    def hugging_face(self, by: Literal["epoch", "step"] = "epoch", trainer: Any = None) -> Any:
        """Return a callback for a trainer of Hugging Face's transformers.

        Parameters
        ----------
        by : {"epoch", "step"}
            What `every` counts.
        trainer : transformers.Trainer, optional
            The trainer that it is added to, by ``trainer.add_callback``: its ``log`` then gets the numbers, and with it
            all that it reports to. A callback is not told who calls it.

        Returns
        -------
        transformers.TrainerCallback
            It measures, and the trainer's ``state.log_history`` gets the numbers, their names after the monitor's
            `subject` as in ``coherence/...``.

        Raises
        ------
        ImportError
            If transformers is not installed.
        """
        monitor = self
        base = _trainers_class(("transformers",), "TrainerCallback", "transformers")

        class HuggingFaceMonitor(base):  # type: ignore[misc, valid-type]
            """Measurements along a training by transformers' Trainer."""

            def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
                self._at(state, control)

            def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
                if by == "step":
                    self._at(state, control)

            def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
                if by == "epoch":
                    self._at(state, control)

            def _at(self, state: Any, control: Any) -> None:
                step = state.global_step
                record = monitor.step(step) if by == "step" else monitor.epoch(round(state.epoch or 0), step)
                if record is None:
                    return
                if trainer is None:
                    state.log_history.append(monitor.scalars(record) | {"epoch": state.epoch, "step": step})
                    return
                due = control.should_log
                trainer.log(monitor.scalars(record))
                control.should_log = due  # logging takes it for done, and the loss of this step would not be logged

        return HuggingFaceMonitor()


def _trainers_class(packages: tuple[str, ...], name: str, wanted: str) -> Any:
    """Import the class that a callback has to be of."""
    for package in packages:
        try:
            return getattr(import_module(package), name)
        except ModuleNotFoundError:
            continue
    raise ImportError(f"This callback needs {wanted}. Run: pip install {wanted}")
