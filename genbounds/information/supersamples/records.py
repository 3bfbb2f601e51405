"""The record of a supersample experiment: masks, predictions and losses, from which all its bounds follow."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genbounds.sweeps import ArchiveError, read_archive, write_archive

__all__ = ["Supersamples"]

_FORMAT = "genbounds supersamples 1"


@dataclass(frozen=True, eq=False)
class Supersamples:
    """What an experiment on supersamples gave: k1 supersamples of n pairs, k2 trainings on each.

    In a pair (example 0, example 1) each training sees the one that its mask names; the other is the ghost.

    A record is a report, not a proof. Its fingerprint tells a damaged file, not a forged one: who edits it can write a
    new fingerprint. What contradicts itself is refused when bounds are computed: masks of another design or used twice,
    two losses for one prediction. That trainings took place, that none was left out, and that the seeds and settings of
    its provenance are those used, only running them again tells.

    Parameters
    ----------
    masks : ndarray of int, shape (k1, k2, n)
        U: 0 or 1, the column of the example that was trained on.
    predictions : ndarray of int, shape (k1, k2, n, 2)
        Class that each trained network predicts for each example of each pair.
    losses : ndarray, shape (k1, k2, n, 2)
        Its loss there, in [0, 1].
    provenance : mapping
        JSON: data, settings, tasks with their seeds, versions.

    Raises
    ------
    ValueError
        If shapes disagree, a mask is no bit, a prediction is no integer or a loss is outside [0, 1].
    """

    masks: NDArray[np.int8]
    predictions: NDArray[np.int32]
    losses: NDArray[np.float64]
    provenance: Mapping[str, Any]

    def __post_init__(self) -> None:
        masks: NDArray[Any] = np.asarray(self.masks)
        predictions: NDArray[Any] = np.asarray(self.predictions)
        losses: NDArray[Any] = np.asarray(self.losses)
        if masks.ndim != 3 or not masks.size or predictions.shape != losses.shape or losses.shape != (*masks.shape, 2):
            raise ValueError(
                "shapes must be (k1, k2, n) for masks and (k1, k2, n, 2) for predictions and losses, got "
                f"{masks.shape}, {predictions.shape} and {losses.shape}. Put supersamples first, then trainings."
            )
        if not np.isin(masks, (0, 1)).all():
            raise ValueError("masks must be 0 or 1, the column trained on, got other values. Number columns from 0.")
        if predictions.dtype.kind not in "iu":
            raise ValueError(f"predictions must be class indices, got dtype {predictions.dtype}. Take the argmax.")
        if losses.dtype.kind not in "biuf" or not ((losses >= 0) & (losses <= 1)).all():
            raise ValueError("losses must be in [0, 1], got others. Rescale them from their declared range first.")
        object.__setattr__(self, "masks", masks.astype(np.int8))
        object.__setattr__(self, "predictions", predictions.astype(np.int32))
        object.__setattr__(self, "losses", losses.astype(np.float64))

    def save(self, path: str | Path) -> None:
        """Write the record as one .npz file, which needs neither torch nor the models to be read.

        Parameters
        ----------
        path : str or Path
            File to write; equal records give equal bytes.
        """
        arrays: dict[str, NDArray[Any]] = {
            "masks": self.masks,
            "predictions": self.predictions,
            "losses": self.losses,
        }
        write_archive(Path(path), {"format": _FORMAT, "provenance": dict(self.provenance)}, arrays)

    @classmethod
    def load(cls, path: str | Path) -> "Supersamples":
        """Read a record. Nothing is unpickled.

        Parameters
        ----------
        path : str or Path
            File that `save` wrote.

        Returns
        -------
        Supersamples
            The record.

        Raises
        ------
        ArchiveError
            If the file is another one or damaged.
        """
        values, arrays = read_archive(Path(path))
        if values.get("format") != _FORMAT or set(arrays) != {"masks", "predictions", "losses"}:
            raise ArchiveError(
                f"{Path(path).name} must be a record of supersamples, got an archive of "
                f"{', '.join(sorted(arrays)) or 'no arrays'}. Give the file that the experiment wrote."
            )
        return cls(**arrays, provenance=values["provenance"])
