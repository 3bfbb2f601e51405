"""The record of draws from a posterior over weights: their losses, and the information of the posterior."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from genbounds.numerics import checks
from genbounds.numerics.estimates import Estimate
from genbounds.rare_events.curves import TailCurve
from genbounds.rare_events.markov_chains.effective_samples import chain_tail, effective_samples, split_r_hat

__all__ = ["PosteriorSamples"]

_LOSSES = ("train_loss", "train_error", "test_loss", "test_error")
#: Above this split R-hat of the train loss, chains disagree; below this acceptance a chain hardly moves.
_R_HAT, _ACCEPTANCE = 1.01, 0.3


@dataclass(frozen=True, eq=False)
class PosteriorSamples:
    """Losses of networks along Markov chains over their weights.

    Parameters
    ----------
    train_loss, train_error, test_loss, test_error : ndarray, shape (chains, draws)
        Mean loss and share of errors of each draw. Errors are NaN for targets that are no classes.
    equipartition : ndarray, shape (chains, draws)
        z . grad U / d of each draw, of mean 1 under the posterior.
    acceptance : ndarray, shape (chains,)
        Average probability with which moves of each chain were accepted; 1 without correction.
    step : float
        Step of every move that was recorded.
    law : str
        The law that was sampled, in a sentence.
    method : str
        How.
    corrected : bool
        Whether the chains have exactly this law in the long run.
    provenance : mapping
        JSON: prior, data, settings, versions.

    Raises
    ------
    ValueError
        If shapes differ.
    """

    train_loss: NDArray[np.float64]
    train_error: NDArray[np.float64]
    test_loss: NDArray[np.float64]
    test_error: NDArray[np.float64]
    equipartition: NDArray[np.float64]
    acceptance: NDArray[np.float64]
    step: float
    law: str
    method: str
    corrected: bool
    provenance: Mapping[str, Any]

    def __post_init__(self) -> None:
        for name in (*_LOSSES, "equipartition", "acceptance"):
            object.__setattr__(self, name, np.array(getattr(self, name), dtype=np.float64))
        shapes = {np.shape(getattr(self, name)) for name in (*_LOSSES, "equipartition")}
        if len(shapes) != 1 or len(self.train_loss.shape) != 2 or len(self.acceptance) != len(self.train_loss):
            raise ValueError(f"losses must be one number for each draw of each chain, got shapes {sorted(shapes)}.")

    @property
    def warnings(self) -> tuple[str, ...]:
        """What speaks against taking the draws for the posterior.

        Returns
        -------
        tuple of str
            Empty if nothing was noticed, which is no proof.
        """
        said = []
        if not self.corrected:
            balance = self.balance()
            said.append(
                f"Langevin steps are not corrected: their law is not the posterior, but wider. In a direction of "
                f"curvature a the variance is too large by 1 / (1 - {self.step:.3g} a / 4), and by more with batches. "
                f"z . grad U / d is {balance.value:.3f} +- {balance.standard_error:.3f}; 1 is right."
            )
        agreement = split_r_hat(self.train_loss)
        if agreement > _R_HAT:
            said.append(
                f"Chains disagree on the train loss: split R-hat is {agreement:.3f}, above {_R_HAT}. They have not "
                "found the same region, or have not arrived."
            )
        if self.acceptance.min() < _ACCEPTANCE:
            said.append(
                f"A chain accepts only {self.acceptance.min():.2f} of its moves. Give it a longer warm-up, in which "
                "the step is adapted."
            )
        return tuple(said)

    def balance(self, level: float = 0.95) -> Estimate:
        """Estimate the mean of z . grad U / d, which is 1 under the posterior.

        Parameters
        ----------
        level : float
            Nominal confidence of the interval, in (0, 1).

        Returns
        -------
        Estimate
            The average over draws. A value beyond its error from 1 shows bias, of uncorrected steps or of chains that
            have not arrived; a value of 1 shows nothing.
        """
        reach = ndtri((1.0 + float(checks.confidence("level", level))) / 2.0)
        value, worth = float(self.equipartition.mean()), effective_samples(self.equipartition)
        error = float(self.equipartition.std(ddof=1) / np.sqrt(worth))
        return Estimate(
            value=value,
            standard_error=error,
            interval=(value - reach * error, value + reach * error),
            level=level,
            n=int(worth),
            method="average along the chains, normal interval by their effective sample size",
        )

    def information(
        self, levels: Any, loss: Literal["loss", "error"] = "error", *, confidence: float = 0.95
    ) -> TailCurve:
        """Estimate -ln P(test loss <= level) under the posterior.

        The posterior weighs each network by its likelihood. That is another law than the prior conditioned on a train
        loss below a level, in which all networks that fit count alike, and the two have different informations: for
        the latter take `subset_simulation` or `annealed_importance` with a condition.

        Parameters
        ----------
        levels : array_like, shape (k,)
            Thresholds, strictly increasing.
        loss : {"loss", "error"}
            The mean test loss, or the share of test errors.
        confidence : float
            Nominal, of the interval at each level by itself, in (0, 1).

        Returns
        -------
        TailCurve
            By `chain_tail`, with the warnings of the chains; NaN where the share is below one effective draw.

        Raises
        ------
        ValueError
            If the loss is not known.
        """
        if loss not in {"loss", "error"}:
            raise ValueError(f"loss must be 'loss' or 'error', got {loss!r}. Name one of them.")
        values = self.test_error if loss == "error" else self.test_loss
        if np.isnan(values).all():
            raise ValueError("loss must be 'loss' where targets are no classes, got 'error'. Pass loss='loss'.")
        curve = chain_tail(values, levels, method=self.method, confidence=confidence)
        return replace(curve, warnings=(*self.warnings, *curve.warnings))

    def to_json(self) -> dict[str, Any]:
        """Return the record as JSON carries it.

        Returns
        -------
        dict
            Its fields; numbers that are not finite are written as text ("inf", "nan").
        """
        content = {field.name: getattr(self, field.name) for field in fields(self)}
        for name in _LOSSES:
            rows = content[name].tolist()
            content[name] = [[value if np.isfinite(value) else str(value) for value in row] for row in rows]
        for name in ("equipartition", "acceptance"):
            content[name] = content[name].tolist()
        return content | {"provenance": dict(self.provenance)}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "PosteriorSamples":
        """Read a record back.

        Parameters
        ----------
        content : dict
            What `to_json` returned.

        Returns
        -------
        PosteriorSamples
            The record, bit for bit.
        """
        # NumPy reads "nan" and "inf" as numbers where it is told the type.
        return cls(**content | {name: np.array(content[name], dtype=np.float64) for name in _LOSSES})
