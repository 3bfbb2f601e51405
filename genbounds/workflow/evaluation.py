"""One run's model, data and bookkeeping, and the error counts that its certificate rests on."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from genbounds.models.examples import Data
from genbounds.models.pairs import PairCounts, count_pairs
from genbounds.models.passes import count_errors, count_errors_fresh_draws, count_errors_shared_draw
from genbounds.pac_bayes.low_rank import Gaussian
from genbounds.pac_bayes.posteriors import DiagonalGaussian
from genbounds.workflow.store import Store

__all__ = ["MONTE_CARLO", "SCHEMES", "Evaluation"]

#: Name of the random streams of the Monte Carlo step. Posterior and prior are judged by the same ones, so that their
#: difference is not one of luck; nothing is chosen by them.
MONTE_CARLO = "Monte Carlo step"

#: How the Gibbs risk of a sample is estimated: every example meets its own network, or a network meets all examples.
SCHEMES = ("one per example", "shared")


@dataclass(frozen=True)
class Evaluation:
    """Counts errors of networks and of Gaussians over networks, remembering what was counted.

    Parameters
    ----------
    model : nn.Module
        Classifier in evaluation mode, on `device` and in `dtype`; its parameters are replaced, its buffers used.
    data : Data
        Where the examples are.
    store : Store
        Where finished counts are kept.
    seed : int
        Seed of all draws.
    device, dtype : torch.device or str, torch.dtype
        Where and in what type the model is evaluated.
    progress : bool
        Show bars on a terminal.
    """

    model: nn.Module
    data: Data
    store: Store
    seed: int
    device: torch.device | str
    dtype: torch.dtype
    progress: bool

    def errors(self, name: str, weights: Mapping[str, Tensor], indices: NDArray[np.int64]) -> int:
        """Count the errors of one network.

        Parameters
        ----------
        name : str
            What the count is called in the store.
        weights : mapping of str to Tensor
            Its parameters.
        indices : ndarray of int64
            Examples.

        Returns
        -------
        int
            Number of errors.
        """
        own = {key: value.to(self.device, self.dtype) for key, value in weights.items()}
        return int(
            self.store.once(name, lambda: count_errors(self.model, self.data, indices, weights=own, **self._how))
        )

    def gibbs_errors(
        self,
        name: str,
        gaussian: Gaussian,
        indices: NDArray[np.int64],
        *,
        passes: int,
        scheme: str = SCHEMES[0],
        stage: str = "",
    ) -> list[int]:
        """Count the errors of networks drawn from a Gaussian, pass by pass.

        Parameters
        ----------
        name : str
            What the counts are called in the store.
        gaussian : DiagonalGaussian or LowRankGaussian
            Where the networks are drawn from.
        indices : ndarray of int64
            Examples.
        passes : int
            How many passes over them: fixed before any of them is looked at.
        scheme : {"one per example", "shared"}
            Whether each example meets a fresh network, or each pass has one network.
        stage : str
            Name of the random streams; by default that of the counts. Counts that choose a Gaussian must have other
            streams than those that it is judged by.

        Returns
        -------
        list of int
            Errors of each pass.
        """
        count = partial(
            count_errors_fresh_draws if scheme == SCHEMES[0] else count_errors_shared_draw,
            self.model,
            data=self.data,
            indices=indices,
            seed=self.seed,
            stage=stage or name,
            **gaussian.law(self.device, self.dtype),
            **self._how,
        )
        return [
            int(self.store.once(f"{name}, {scheme}, pass {number}", partial(count, number=number)))
            for number in range(passes)
        ]

    def pair_counts(
        self,
        name: str,
        first: DiagonalGaussian,
        second: DiagonalGaussian | Mapping[str, Tensor],
        indices: NDArray[np.int64],
        *,
        passes: int,
        stage: str = "",
    ) -> PairCounts:
        """Count who errs, of a fresh draw of one Gaussian and one of another or a given network, for each example.

        Parameters
        ----------
        name : str
            What the counts are called in the store.
        first : DiagonalGaussian
            Where the first predictor is drawn from.
        second : DiagonalGaussian, or mapping of str to Tensor
            Where the second one is drawn from, or its weights.
        indices : ndarray of int64
            Examples.
        passes : int
            How many passes over them: fixed before any of them is looked at.
        stage : str
            Name of the random streams; by default that of the counts.

        Returns
        -------
        PairCounts
            Of all passes together.
        """
        other: Any = (
            second.to(self.device, self.dtype)
            if isinstance(second, DiagonalGaussian)
            else {key: value.to(self.device, self.dtype) for key, value in second.items()}
        )
        pair = (first.to(self.device, self.dtype), other)
        how: dict[str, Any] = {"seed": self.seed, "stage": stage or name, **self._how}
        counted = [
            self.store.once(
                f"{name}, pairs, pass {number}",
                partial(count_pairs, self.model, *pair, self.data, indices, number=number, **how),
            )
            for number in range(passes)
        ]
        return PairCounts(*(sum(column) for column in zip(*counted, strict=True)))

    @property
    def _how(self) -> dict[str, Any]:
        return {"device": self.device, "dtype": self.dtype, "progress": self.progress}
