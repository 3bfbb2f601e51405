"""A monitor as a callback of trainers that others wrote."""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from genbounds.models.training.monitor import Monitor

__all__ = ["hugging_face_callback", "lightning_callback"]


def lightning_callback(monitor: "Monitor[Any]", by: Literal["epoch", "step"]) -> Any:
    """Return a callback that asks the monitor before the first step, and after each epoch or step.

    Parameters
    ----------
    monitor : Monitor
        What measures.
    by : {"epoch", "step"}
        What the monitor's `every` counts.

    Returns
    -------
    lightning.pytorch.Callback
        Of whichever of the two packages is installed.

    Raises
    ------
    ImportError
        If there is neither.
    """
    base = _base(("lightning.pytorch", "pytorch_lightning"), "Callback", "lightning")

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
                scalars = {f"{monitor.subject}/{name}": value for name, value in record.flat().items()}
                for logger in trainer.loggers:
                    logger.log_metrics(scalars, step=step)

    return LightningMonitor()


def hugging_face_callback(monitor: "Monitor[Any]", by: Literal["epoch", "step"]) -> Any:
    """Return a callback that asks the monitor before the first step, and after each epoch or step.

    Parameters
    ----------
    monitor : Monitor
        What measures.
    by : {"epoch", "step"}
        What the monitor's `every` counts.

    Returns
    -------
    transformers.TrainerCallback
        The callback.

    Raises
    ------
    ImportError
        If transformers is not installed.
    """
    base = _base(("transformers",), "TrainerCallback", "transformers")

    class HuggingFaceMonitor(base):  # type: ignore[misc, valid-type]
        """Measurements along a training by transformers' Trainer."""

        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
            self._at(state)

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
            if by == "step":
                self._at(state)

        def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
            if by == "epoch":
                self._at(state)

        def _at(self, state: Any) -> None:
            if by == "step":
                monitor.step(state.global_step)
            else:
                monitor.epoch(round(state.epoch or 0), state.global_step)

    return HuggingFaceMonitor()


def _base(packages: tuple[str, ...], name: str, wanted: str) -> Any:
    """Import the class that a callback has to be of."""
    for package in packages:
        try:
            return getattr(import_module(package), name)
        except ModuleNotFoundError:
            continue
    raise ImportError(f"This callback needs {wanted}. Run: pip install {wanted}")
