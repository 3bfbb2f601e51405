"""The record of a space of trained networks: losses of all of them, and the information of those that fit."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from genbounds.numerics.estimates import Estimate
from genbounds.rare_events.counting import counted_tail
from genbounds.rare_events.curves import TailCurve

__all__ = ["TrainedNetworks"]

_LOSSES = ("train_loss", "train_error", "test_loss", "test_error")


@dataclass(frozen=True, eq=False)
class TrainedNetworks:
    """Networks that were trained alike from different random weights, and which of them came to fit.

    Parameters
    ----------
    train_loss, train_error, test_loss, test_error : ndarray, shape (networks,)
        Mean loss and share of errors of each at its last step. Errors are NaN for targets that are no classes, losses
        of a network that diverged are NaN or infinite.
    fits : ndarray of bool, shape (networks,)
        Which of them reached the condition.
    epochs : ndarray of int, shape (networks,)
        After how many epochs each ended.
    seeds : ndarray of int, shape (networks,)
        Seed of the initial weights, and of the order of examples, of each.
    condition : {"loss", "error"}
        What had to come down on the training examples.
    level : float
        To this, at the end of an epoch.
    law : str
        The law of those that fit, in a sentence.
    provenance : mapping
        JSON: data, settings, tasks, versions.

    Raises
    ------
    ValueError
        If shapes differ.
    """

    train_loss: NDArray[np.float64]
    train_error: NDArray[np.float64]
    test_loss: NDArray[np.float64]
    test_error: NDArray[np.float64]
    fits: NDArray[np.bool_]
    epochs: NDArray[np.int64]
    seeds: NDArray[np.int64]
    condition: Literal["loss", "error"]
    level: float
    law: str
    provenance: Mapping[str, Any]

    def __post_init__(self) -> None:
        for name in _LOSSES:
            object.__setattr__(self, name, np.array(getattr(self, name), dtype=np.float64))
        object.__setattr__(self, "fits", np.array(self.fits, dtype=bool))
        for name in ("epochs", "seeds"):
            object.__setattr__(self, name, np.array(getattr(self, name), dtype=np.int64))
        shapes = {np.shape(getattr(self, name)) for name in (*_LOSSES, "fits", "epochs", "seeds")}
        if len(shapes) != 1 or len(next(iter(shapes))) != 1:
            raise ValueError(f"losses must be one number for each network, got shapes {sorted(shapes)}.")

    def share_that_fits(self, level: float = 0.95) -> Estimate:
        """Estimate how often training reaches the condition.

        Parameters
        ----------
        level : float
            Confidence of the interval, in (0, 1).

        Returns
        -------
        Estimate
            The share with Clopper and Pearson's interval.
        """
        curve = counted_tail(~self.fits, [0.0], confidence=level)
        number, share = len(self.fits), float(self.fits.mean())
        return Estimate(
            value=share,
            standard_error=float(np.sqrt(share * (1.0 - share) / number)),
            interval=(float(np.exp(-curve.high[0])), float(np.exp(-curve.low[0]))),
            level=level,
            n=number,
            method="share of independent trainings, interval by Clopper and Pearson",
        )

    def information(
        self, levels: Any, loss: Literal["loss", "error"] = "error", *, confidence: float = 0.95
    ) -> TailCurve:
        """Return -ln P(test loss <= level) for networks that fit, by counting.

        What is drawn here are networks that training came to, not networks that a prior conditions on the data:
        training prefers some of those that fit. It is another law, with another information.

        Parameters
        ----------
        levels : array_like, shape (k,)
            Thresholds, strictly increasing, chosen without looking at the losses.
        loss : {"loss", "error"}
            The mean test loss, or the share of test errors.
        confidence : float
            Of the interval at each level by itself, in (0, 1).

        Returns
        -------
        TailCurve
            With the counts. Networks that did not fit are left out, and their number is among the warnings.

        Raises
        ------
        ValueError
            If no network fits, or the loss is not known.
        """
        if loss not in {"loss", "error"}:
            raise ValueError(f"loss must be 'loss' or 'error', got {loss!r}. Name one of them.")
        number, reached = len(self.fits), int(self.fits.sum())
        if not reached:
            raise ValueError(
                f"some network must fit, got none of {number} to a train {self.condition} of at most {self.level:g}. "
                "Train for more epochs, or raise the level."
            )
        values = (self.test_error if loss == "error" else self.test_loss)[self.fits]
        if np.isnan(values).all():
            raise ValueError("loss must be 'loss' where targets are no classes, got 'error'. Pass loss='loss'.")
        # A network may fit and still have no loss on the test examples: that is not a small one.
        curve = counted_tail(np.where(np.isnan(values), np.inf, values), levels, confidence=confidence)
        left_out = (
            f"{number - reached} of {number} networks did not come to fit and are left out: this is the information of "
            "those that did, whose share is an estimate of its own."
        )
        return replace(curve, warnings=curve.warnings if reached == number else (left_out, *curve.warnings))

    def to_json(self) -> dict[str, Any]:
        """Return the record as JSON carries it.

        Returns
        -------
        dict
            Its fields; losses that are not finite are written as text ("inf", "nan"), which ``float`` reads.
        """
        content = {field.name: getattr(self, field.name) for field in fields(self)}
        for name in _LOSSES:
            content[name] = [value if np.isfinite(value) else str(value) for value in content[name].tolist()]
        for name in ("fits", "epochs", "seeds"):
            content[name] = content[name].tolist()
        return content | {"provenance": dict(self.provenance)}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "TrainedNetworks":
        """Read a record back.

        Parameters
        ----------
        content : dict
            What `to_json` returned.

        Returns
        -------
        TrainedNetworks
            The record, bit for bit.
        """
        return cls(**content | {name: np.array([float(value) for value in content[name]]) for name in _LOSSES})
