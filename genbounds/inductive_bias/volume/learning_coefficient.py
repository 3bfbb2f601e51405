r"""The local learning coefficient of a trained network: how much of the loss is lost to a small temperature.

``lambda_hat = n beta (E[L_n(w)] - L_n(w*))`` under the law proportional to
``exp(-n beta L_n(w) - gamma / 2 |w - w*|^2)`` around the weights w*, with beta = 1 / ln n [Lau2025]_. Both losses are
those of the full data: a baseline from one batch would add its own error to every chain alike, where no spread shows
it.

**It estimates a quantity at finite n**, which is not the learning coefficient that it tends to
(`genbounds.inductive_bias.volume.learning_laws`), depends on gamma, and is no probability.
"""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import stdtrit
from torch import Tensor

from genbounds.models.randomness import stream
from genbounds.numerics.checks import confidence as inside
from genbounds.numerics.checks import count, finite, positive
from genbounds.rare_events.markov_chains.effective_samples import split_r_hat
from genbounds.rare_events.markov_chains.runs import hamiltonian_chains, langevin_chains

__all__ = ["LearningCoefficient", "learning_coefficient"]

#: Acceptance below which a warning is due, and R-hat above which chains have not mixed [Vehtari2021].
_POOR, _MIXED = 0.4, 1.05

#: ``batch_loss(w, generator)``: losses of the rows of w, each on a random batch of its own.
BatchLoss = Callable[[Tensor, torch.Generator], Tensor]


@dataclass(frozen=True, eq=False)
class LearningCoefficient:
    """An estimate of the local learning coefficient.

    Attributes
    ----------
    value : float
        ``n beta`` times the mean excess loss of all draws.
    standard_error : float
        From the spread of the chains.
    low, high : float
        Interval by Student's t over the chains.
    confidence : float
        Its nominal confidence: for what the chains converge to, which without Metropolis' correction depends on the
        step.
    r_hat : float
        Of the losses (`genbounds.rare_events.split_r_hat`): far above 1 where chains differ, or drift.
    losses : ndarray, shape (chains, draws)
        Loss of the full data at every draw.
    baseline : float
        Loss of the full data at w*.
    n : int
        Examples.
    inverse_temperature : float
        beta.
    localisation : float
        gamma.
    method : str
        How the draws were made.
    step : float
        Step that they were made with.
    acceptance : float
        Mean probability of accepting a move; 1 without Metropolis' correction.
    warnings : tuple of str
        What a reader has to know before quoting the value.
    """

    value: float
    standard_error: float
    low: float
    high: float
    confidence: float
    r_hat: float
    losses: NDArray[np.float64]
    baseline: float
    n: int
    inverse_temperature: float
    localisation: float
    method: str
    step: float
    acceptance: float
    warnings: tuple[str, ...]

    @property
    def chains(self) -> NDArray[np.float64]:
        """The estimate of each chain by itself.

        Returns
        -------
        ndarray, shape (chains,)
            Their mean is the value.
        """
        return self.n * self.inverse_temperature * (self.losses.mean(axis=1) - self.baseline)

    def to_json(self) -> dict[str, Any]:
        """Return the record as JSON carries it.

        Returns
        -------
        dict
            Its fields.
        """
        return asdict(self) | {"losses": self.losses.tolist(), "warnings": list(self.warnings)}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "LearningCoefficient":
        """Read a record back.

        Parameters
        ----------
        content : dict
            What `to_json` returned.

        Returns
        -------
        LearningCoefficient
            The record, bit for bit.
        """
        arrays = {"losses": np.array(content["losses"]), "warnings": tuple(content["warnings"])}
        return cls(**content | arrays)

    def __str__(self) -> str:
        chains, draws = self.losses.shape
        return "\n".join([
            f"local learning coefficient {self.value:.4g} [{self.low:.4g}, {self.high:.4g}] ({self.confidence:.0%}, "
            f"{chains} chains of {draws} draws, {self.method}, R-hat {self.r_hat:.3f}); n = {self.n:,}, "
            f"beta = {self.inverse_temperature:.4g}, gamma = {self.localisation:g}",
            *self.warnings,
        ])


def learning_coefficient(
    loss: Callable[[Tensor], Tensor],
    anchor: Tensor,
    n: int,
    *,
    localisation: float = 1.0,
    inverse_temperature: float | None = None,
    method: Literal["hmc", "sgld"] = "hmc",
    step: float | None = None,
    steps: int = 10,
    chains: int = 8,
    draws: int = 200,
    burn_in: int = 200,
    batch_loss: BatchLoss | None = None,
    confidence: float = 0.95,
    seed: int = 0,
    progress: bool = False,
) -> LearningCoefficient:
    """Estimate the local learning coefficient of a loss at a point.

    Parameters
    ----------
    loss : callable
        Maps points (B, d) to mean losses (B,) over the full data, each by itself; differentiable:
        ``NetworkPrior(model, 1.0).loss(loss, data)``, whose whitened space with scale 1 is that of the weights.
    anchor : Tensor, shape (d,)
        w*, on whose device and in whose dtype losses are evaluated: ``NetworkPrior(model, 1.0).latent()``.
    n : int
        Examples, >= 2.
    localisation : float
        gamma, > 0. Report it with the value.
    inverse_temperature : float, optional
        beta; 1 / ln n by default.
    method : {"hmc", "sgld"}
        Hamiltonian Monte Carlo, whose Metropolis step leaves no error of the step; or Langevin steps
        [WellingTeh2011]_ without a correction, for comparison with what is published.
    step : float, optional
        Of "sgld", to be chosen: ``w' = w - step / 2 (n beta grad + gamma (w - w*)) + sqrt(step) noise``. That of "hmc"
        is adapted during burn-in.
    steps : int
        Gradient steps between two draws: of one Hamiltonian trajectory, or of Langevin's.
    chains : int
        Independent chains, >= 2, all from w*.
    draws : int
        Draws of each, >= 8.
    burn_in : int
        Draws before those, thrown away; >= 1 for "hmc".
    batch_loss : callable, optional
        For "sgld" the loss on a random batch for each row (`RandomBatches`), whose gradient is followed instead; its
        noise adds to the variance of the draws. Losses of the draws are of the full data all the same.
    confidence : float
        Of the interval, in (0, 1).
    seed : int
        Seed of all chains.
    progress : bool
        Show a bar on a terminal.

    Returns
    -------
    LearningCoefficient
        The same for the same seed.

    Raises
    ------
    ValueError
        If an argument is out of range, or a loss is not finite: the chains diverged.

    Examples
    --------
    >>> found = learning_coefficient(lambda w: w.square().sum(dim=1) / 2, torch.zeros(4, dtype=torch.float64), 1000)
    >>> bool(found.low < 4 / 2 / (1 + np.log(1000) / 1000) < found.high)
    True
    """
    examples = int(count("n", n, 2))
    gamma = float(positive("localisation", localisation))
    beta = float(
        positive("inverse_temperature", 1 / math.log(examples) if inverse_temperature is None else inverse_temperature)
    )
    number, between = int(count("chains", chains, 2)), int(count("steps", steps))
    count("draws", draws, 8, "Halves of the chains are compared.")
    chance = float(inside("confidence", confidence, "It is the nominal confidence of the interval, such as 0.95."))
    if method not in {"hmc", "sgld"}:
        raise ValueError(f"method must be 'hmc' or 'sgld', got {method!r}. Choose one of them.")
    if method == "hmc" and (batch_loss is not None or step is not None):
        raise ValueError("batch_loss and step must be None for 'hmc', which needs the full loss. Use method='sgld'.")
    if anchor.ndim != 1 or not len(anchor):
        raise ValueError(f"anchor must be a vector, got shape {tuple(anchor.shape)}. Flatten it.")
    centre, width = anchor.detach(), 1 / math.sqrt(gamma)
    with torch.no_grad():
        baseline = float(finite("loss", loss(centre[None]).double().cpu().numpy(), "It is that of the anchor.")[0])

    # In u = sqrt(gamma) (w - w*) the localisation is the standard normal law.
    def energy(u: Tensor) -> Tensor:
        return loss(centre + width * u)

    def part(u: Tensor) -> Tensor:
        return energy(u) if batch_loss is None else batch_loss(centre + width * u, generator)

    generator = stream(seed, f"learning coefficient by {method}", device=centre.device)
    start = centre.new_zeros(number, len(centre))
    setting: dict[str, Any] = {"draws": draws, "warm_up": burn_in, "generator": generator, "progress": progress}
    if method == "hmc":
        run = hamiltonian_chains(energy, examples * beta, [energy], start, leapfrog=between, **setting)
        taken = run.step
    else:
        taken = float(positive("step", math.nan if step is None else step, "The result depends on it, or use 'hmc'."))
        run = langevin_chains([part], examples * beta, [energy], start, step=gamma * taken, thin=between, **setting)
    losses = finite("loss", run.observed[..., 0], "The chains diverged: take smaller steps.")
    each = examples * beta * (losses.mean(axis=1) - baseline)
    error = float(each.std(ddof=1) / math.sqrt(number))
    reach = float(stdtrit(number - 1, (1 + chance) / 2)) * error
    value, mixing, acceptance = float(each.mean()), split_r_hat(losses), float(run.acceptance.mean())
    return LearningCoefficient(
        value=value,
        standard_error=error,
        low=value - reach,
        high=value + reach,
        confidence=chance,
        r_hat=mixing,
        losses=losses,
        baseline=baseline,
        n=examples,
        inverse_temperature=beta,
        localisation=gamma,
        method=_METHODS[method] + (", random batches" if batch_loss is not None else ""),
        step=taken,
        acceptance=acceptance,
        warnings=_warnings(value, mixing, acceptance, float((losses < baseline).mean())),
    )


_METHODS = {"hmc": "Hamiltonian Monte Carlo", "sgld": "Langevin steps without correction"}


def _warnings(value: float, mixing: float, acceptance: float, below: float) -> tuple[str, ...]:
    said = []
    if value <= 0:
        said.append(
            "the estimate is not positive: w* is no minimum of the loss around it, or chains are far too short."
        )
    elif below > 0.05:
        said.append(f"{below:.0%} of the draws have a smaller loss than w*, which is no minimum: train it further.")
    if not mixing <= _MIXED:
        said.append(
            f"chains have not mixed (R-hat {mixing:.2f}): the interval is too short. Take more draws, or steps."
        )
    if acceptance < _POOR:
        said.append(f"only {acceptance:.0%} of the moves are accepted: take a longer burn-in.")
    return tuple(said)
