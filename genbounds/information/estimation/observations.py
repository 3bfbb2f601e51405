"""What trainings on supersamples showed, as numbered symbols, and the plug-in informations that follow from them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genbounds.information.estimation.coin_divergences import COIN_DIVERGENCES
from genbounds.information.estimation.limits import Design, check_masks, information_limits, mean_limit
from genbounds.information.estimation.membership import membership_information, membership_limits, pooled_laws
from genbounds.numerics.checks import count, unit_interval

__all__ = ["INFORMATIONS", "Observations", "observe"]

#: Informations about each entry of the mask, by the names that theorems give them: of what is seen, in which sense.
INFORMATIONS = {
    "f_cmi": ("predictions", "mutual"),
    "e_cmi": ("losses", "mutual"),
    "ld_cmi": ("differences", "mutual"),
    "ld_hellinger": ("differences", "hellinger"),
    "ld_jensen_shannon": ("differences", "jensen_shannon"),
    "ld_chi_squared": ("differences", "chi_squared"),
}


def _shown(name: str, values: ArrayLike, masks: NDArray[np.int8]) -> NDArray[Any]:
    table = np.asarray(values)
    wanted = (*masks.shape, 2)
    if table.shape != wanted:
        raise ValueError(
            f"{name} must have shape {wanted}, two columns for each entry of the masks, got {table.shape}. "
            "Put supersamples first, then trainings, pairs and columns."
        )
    return table


def _predictions(predictions: ArrayLike, masks: NDArray[np.int8], classes: int | None) -> tuple[NDArray[np.int64], int]:
    table = _shown("predictions", predictions, masks)
    if classes is None:
        raise ValueError("classes must be given with predictions, got None. Say how many classes can be predicted.")
    total = int(count("classes", classes, minimum=2))
    if table.dtype.kind not in "biu" or np.any((table < 0) | (table >= total)):
        raise ValueError(
            f"predictions must be classes from 0 to {total - 1}, got dtype {table.dtype}"
            f"{f' from {table.min()} to {table.max()}' if table.dtype.kind in 'biu' else ''}. Number the classes."
        )
    return table.astype(np.int64), total


def _codes(losses: ArrayLike, masks: NDArray[np.int8], levels: NDArray[np.float64]) -> NDArray[np.int64]:
    table = unit_interval("losses", _shown("losses", losses, masks))
    codes = np.minimum(np.searchsorted(levels, table), len(levels) - 1)
    if np.any(levels[codes] != table):
        stray = float(table[levels[codes] != table].flat[0])
        raise ValueError(
            f"losses must be among the levels {levels.tolist()}, got {stray!r}. Pass all values that the loss can take "
            "as levels, or round it up to a few."
        )
    return codes


@dataclass(frozen=True)
class Observations:
    """Masks, losses and symbols of trainings on supersamples, checked; `observe` makes one.

    Attributes
    ----------
    masks : ndarray of int8, shape (supersamples, trainings, n)
        Which column of each pair was trained on.
    codes : ndarray of int64, shape (supersamples, trainings, n, 2)
        Losses as numbers of levels.
    levels : ndarray
        The losses that can occur, in increasing order.
    symbols : mapping of str to ndarray of int64, shape (supersamples, trainings, n)
        What is seen of each pair: ``losses``, ``differences`` and, if recorded, ``predictions``.
    kinds : mapping of str to int
        How many symbols there can be.
    design : str
        How the masks were drawn.
    """

    masks: NDArray[np.int8]
    codes: NDArray[np.int64]
    levels: NDArray[np.float64]
    symbols: Mapping[str, NDArray[np.int64]]
    kinds: Mapping[str, int]
    design: Design

    def first(self, trainings: int) -> "Observations":
        """Return what the first trainings on each supersample showed.

        Parameters
        ----------
        trainings : int
            How many, even for the design of pairs.

        Returns
        -------
        Observations
            A part of this one.
        """
        symbols = {name: table[:, :trainings] for name, table in self.symbols.items()}
        parts = (self.masks[:, :trainings], self.codes[:, :trainings])
        return Observations(*parts, self.levels, symbols, self.kinds, self.design)

    @cached_property
    def _laws(self) -> NDArray[np.float64]:
        """Joint law of a train and a ghost loss in each training, the masks as they are."""
        return pooled_laws(self.codes, self.masks, len(self.levels))

    @cached_property
    def risks(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Average loss on what was trained on and on the ghosts, shape (supersamples, trainings) each."""
        return self._laws.sum(axis=-1) @ self.levels, self._laws.sum(axis=-2) @ self.levels

    @property
    def error(self) -> float:
        """More than rounding changes any of the `risks`, or half of their difference."""
        return 4 * len(self.levels) * float(np.finfo(np.float64).eps)

    @property
    def unit(self) -> int:
        """Trainings that are drawn together."""
        return 2 if self.design == "pairs" else 1

    def _one_hot(self, name: str, masks: NDArray[np.int8], number: int) -> NDArray[np.float64]:
        """Return an indicator of (mask, symbol) for every unit and pair of one supersample, (units, n, 2 * symbols)."""
        seen = self.symbols[name][number]
        trainings, n = seen.shape
        # Symbols are numbered anew for each pair, which changes no information: few of many occur.
        place = np.arange(n)
        values, codes = np.unique(place * self.kinds[name] + seen, return_inverse=True)
        local = codes.reshape(seen.shape) - np.searchsorted(values, place * self.kinds[name])
        width = int(local.max()) + 1
        shown = np.zeros((trainings, n, 2 * width))
        np.put_along_axis(shown, (masks[number] * width + local)[:, :, None], 1.0, axis=2)
        return shown.reshape(trainings // self.unit, self.unit, n, 2 * width).sum(axis=1)

    def plug_in(self, masks: NDArray[np.int8] | None = None) -> dict[str, NDArray[np.float64]]:
        """Return the plug-in value of everything that theorems may ask for.

        Parameters
        ----------
        masks : ndarray of int8, optional
            Other masks, permuted ones, in place of those trained on.

        Returns
        -------
        dict of str to ndarray
            Informations of shape (pairs of all supersamples,) or (1,), ``squared_differences``, ``train_risk`` and
            ``ghost_risk``.
        """
        supersamples, trainings, _ = self.masks.shape
        weights = np.ones((1, supersamples, trainings // self.unit))
        told = self.replicates(np.arange(supersamples)[None], weights, masks)
        return {name: values[0] for name, values in told.items()}

    def replicates(
        self, chosen: NDArray[np.int64], weights: NDArray[np.float64], masks: NDArray[np.int8] | None = None
    ) -> dict[str, NDArray[np.float64]]:
        """Return plug-in values for samples drawn anew from what was observed.

        Parameters
        ----------
        chosen : ndarray of int, shape (replicates, supersamples)
            Supersamples of each replicate.
        weights : ndarray, shape (replicates, supersamples, pairs or trainings)
            How often each unit of trainings counts there.
        masks : ndarray of int8, optional
            Other masks in place of those trained on.

        Returns
        -------
        dict of str to ndarray
            As `plug_in`, with a first axis for the replicates.
        """
        masks = self.masks if masks is None else masks
        supersamples, _, n = masks.shape
        sought = {name: (seen, sense) for name, (seen, sense) in INFORMATIONS.items() if seen in self.symbols}
        told = {name: np.empty((*chosen.shape, n)) for name in [*sought, "squared_differences"]}
        squares = np.square(self.levels[self.codes[..., 1]] - self.levels[self.codes[..., 0]])
        for number in range(supersamples):
            where = chosen == number
            for seen in self.symbols:
                shown = self._one_hot(seen, masks, number)
                counts = (weights[where] @ shown.reshape(len(shown), -1)).reshape(-1, n, 2, shown.shape[-1] // 2)
                # A face of the coin that never came up tells nothing: both laws are taken to be the other's.
                counts = np.where(counts.any(axis=-1, keepdims=True), counts, counts[:, :, ::-1])
                laws = counts / counts.sum(axis=-1, keepdims=True)
                for name, (source, sense) in sought.items():
                    if source == seen:
                        told[name][where] = COIN_DIVERGENCES[sense].between(laws[:, :, 0], laws[:, :, 1])
            share = weights[where] / weights[where].sum(axis=-1, keepdims=True)
            told["squared_differences"][where] = share @ squares[number].reshape(-1, self.unit, n).mean(axis=1)
        informations = {name: values.reshape(len(chosen), -1) for name, values in told.items()}
        pooled = pooled_laws(self.codes, masks, len(self.levels))
        pooled = pooled.reshape(supersamples, -1, self.unit, *pooled.shape[2:]).mean(axis=2)
        law = np.einsum("bsu,bsuxy->bxy", weights, pooled[chosen]) / weights.sum(axis=(1, 2))[:, None, None]
        # A mean of levels may exceed the largest of them by a rounding.
        return {
            **membership_information(np.minimum(law, 1.0), self.levels),
            **informations,
            "train_risk": np.minimum(law.sum(axis=-1) @ self.levels, 1.0),
            "ghost_risk": np.minimum(law.sum(axis=-2) @ self.levels, 1.0),
        }

    def limits(self, delta: float) -> dict[str, NDArray[np.float64]]:
        """Return upper limits for everything that theorems may ask for, all at once.

        Parameters
        ----------
        delta : float
            Probability with which any of them may fail: equal shares for each of the `symbols`, for the pooled laws
            and for the train risk.

        Returns
        -------
        dict of str to ndarray
            As `plug_in`, from above; ``squared_differences`` of shape (1,), for their average over pairs.
        """
        share = delta / (len(self.symbols) + 2)
        train = mean_limit(np.minimum(self.risks[0] + self.error, 1.0), share, self.design)
        pooled = membership_limits(self._laws, self.levels, share, self.design)
        limits = {name: np.asarray(limit) for name, limit in pooled.items()} | {"train_risk": np.asarray(train)}
        for name, (seen, sense) in INFORMATIONS.items():
            if seen in self.symbols:
                symbols, kinds = self.symbols[seen], self.kinds[seen]
                limit = information_limits(symbols, self.masks, share, kinds, self.design, sense)
                limits[name] = np.ravel(limit)
        return limits


def observe(
    masks: ArrayLike,
    predictions: ArrayLike | None,
    losses: ArrayLike,
    *,
    classes: int | None = None,
    levels: Sequence[float] = (0.0, 1.0),
    design: Design = "pairs",
) -> Observations:
    """Check what an experiment recorded and number what was seen.

    Parameters
    ----------
    masks : array_like of int, shape (supersamples, trainings, n)
        Which column of each pair was trained on.
    predictions : array_like of int, shape (supersamples, trainings, n, 2), optional
        Predicted classes.
    losses : array_like, shape (supersamples, trainings, n, 2)
        Losses in [0, 1], all of them among `levels`.
    classes : int, optional
        Classes that can be predicted; needed with predictions.
    levels : sequence of float
        Values that the loss can take, fixed before looking.
    design : str
        How the masks were drawn: ``"pairs"`` or ``"independent"``.

    Returns
    -------
    Observations
        What theorems can be asked about.

    Raises
    ------
    ValueError
        If shapes or values do not fit, or one prediction on one example had two losses.
    """
    table = check_masks(masks, design)
    steps = np.unique(unit_interval("levels", levels))
    codes = _codes(losses, table, steps)
    both = codes[..., 0] * len(steps) + codes[..., 1]
    differences, place = np.unique((steps[None, :] - steps[:, None]).ravel(), return_inverse=True)
    symbols = {"losses": both, "differences": place[both]}
    kinds = {"losses": len(steps) ** 2, "differences": len(differences)}
    if predictions is not None:
        seen, total = _predictions(predictions, table, classes)
        ordered = np.sort(seen * len(steps) + codes, axis=1)
        same = np.diff(ordered // len(steps), axis=1) == 0
        if np.any(same & (np.diff(ordered, axis=1) != 0)):
            raise ValueError(
                "losses must be decided by the predictions, got two losses for one prediction on one example. "
                "Pass the loss of the predicted class, or no predictions."
            )
        symbols["predictions"], kinds["predictions"] = seen[..., 0] * total + seen[..., 1], total**2
    return Observations(table, codes, steps, symbols, kinds, design)
