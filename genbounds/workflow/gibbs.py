"""What a certificate for the Gibbs predictor counts, claims and estimates; the base of those for other predictors."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from genbounds.certificates import Comparison, Estimate
from genbounds.models.passes import block_size
from genbounds.models.splits import Roles
from genbounds.pac_bayes.low_rank import Gaussian
from genbounds.pac_bayes.posteriors import DiagonalGaussian
from genbounds.theorems import Assumption, get
from genbounds.workflow.composition import HEADLINE, error_estimate, gibbs_argument
from genbounds.workflow.evaluation import MONTE_CARLO, SCHEMES, Evaluation

__all__ = ["Fitted", "Gibbs", "estimates_on_test"]


@dataclass(frozen=True)
class Fitted:
    """What stands once the posterior is trained.

    Parameters
    ----------
    evaluation : Evaluation
        The run.
    name : str
        What counts of this posterior are called in the store.
    posterior, prior : DiagonalGaussian or LowRankGaussian
        Q and P.
    kl : float
        KL(Q || P) in nats.
    bound : ndarray of int64
        The bound's sample.
    candidates : int, or mapping of str to int
        Prior scales to choose from after seeing the sample.
    statuses : mapping of Assumption to str
        How each assumption stands.
    """

    evaluation: Evaluation
    name: str
    posterior: Gaussian
    prior: DiagonalGaussian
    kl: float
    bound: NDArray[np.int64]
    candidates: int | Mapping[str, int]
    statuses: Mapping[Assumption, str]


@dataclass(frozen=True)
class Gibbs:
    """The predictor that draws fresh weights for every prediction.

    Parameters
    ----------
    theorem : str
        Theorem of the headline.
    n : int
        Examples in the bound's sample.
    delta : float
        The whole of the certificate's.
    monte_carlo_share : float
        Share of the Monte Carlo step, in (0, 1).
    scheme : {"one per example", "shared"}
        What a pass is.
    passes : int
        Passes over the bound's sample.
    """

    theorem: str
    n: int
    delta: float
    monte_carlo_share: float
    scheme: str
    passes: int

    #: Theorem of the headline where the caller names none.
    default: ClassVar[str] = "pac_bayes.seeger_xi"

    def rehearse(self) -> None:
        """State the argument once without errors: what no certificate can be made of is refused before any training.

        Raises
        ------
        ValueError
            If the theorem is about another predictor or takes other numbers, or a share of delta is impossible.
        """
        self._claimed([0] * self.passes, 0.0, 1, dict.fromkeys(Assumption, "unknown"))
        if (about := get(self.theorem).predictor) != "gibbs":
            raise ValueError(f"theorem must be about the gibbs predictor, got {self.theorem!r} about the {about}.")

    def check(self, posterior: Gaussian) -> None:
        """Refuse a posterior that cannot be treated; here none.

        Parameters
        ----------
        posterior : DiagonalGaussian or LowRankGaussian
            Q.
        """

    def argument(self, fitted: Fitted) -> dict[str, Any]:
        """Count errors on the bound's sample and state the bound.

        Parameters
        ----------
        fitted : Fitted
            Posterior, prior, sample.

        Returns
        -------
        dict
            ``claims``, ``ledger`` and ``headline`` of a certificate or a comparison.
        """
        return self._claimed(self._errors(fitted), fitted.kl, fitted.candidates, fitted.statuses)

    def _errors(self, fitted: Fitted) -> list[int]:
        how: dict[str, Any] = {"passes": self.passes, "scheme": self.scheme, "stage": MONTE_CARLO}
        return fitted.evaluation.gibbs_errors(fitted.name, fitted.posterior, fitted.bound, **how)

    def _claimed(
        self, errors: list[int], kl: float, candidates: int | Mapping[str, int], statuses: Mapping[Assumption, str]
    ) -> dict[str, Any]:
        claims, ledger = gibbs_argument(
            self.theorem,
            errors,
            self.n,
            kl,
            scheme=self.scheme,
            delta=self.delta,
            monte_carlo_share=self.monte_carlo_share,
            candidates=candidates,
            statuses=statuses,
        )
        return {"claims": claims, "ledger": ledger, "headline": HEADLINE}

    def draws(self, fitted: Fitted) -> dict[str, Any]:
        """Return what the certificate says of its draws.

        Parameters
        ----------
        fitted : Fitted
            Posterior, prior, sample.

        Returns
        -------
        dict
            The table ``draws``.
        """
        return {
            "scheme": self.scheme,
            "count": self.passes * self.n if self.scheme == SCHEMES[0] else self.passes,
            "epochs": self.passes,
            "seed": fitted.evaluation.seed,
            "block": block_size(fitted.evaluation.data, fitted.bound),
        }

    def comparisons(self, fitted: Fitted) -> tuple[Comparison, ...]:  # noqa: ARG002
        """State other bounds beside those that every certificate has.

        Parameters
        ----------
        fitted : Fitted
            Posterior, prior, sample.

        Returns
        -------
        tuple of Comparison
            Here none.
        """
        return ()

    def estimates(self, fitted: Fitted, roles: Roles) -> tuple[Estimate, ...]:
        """Estimate errors on test data.

        Parameters
        ----------
        fitted : Fitted
            Posterior, prior, sample.
        roles : Roles
            Where ``test`` is, if there is any.

        Returns
        -------
        tuple of Estimate
            That of the predictor covered is called ``test error``.
        """
        return estimates_on_test(fitted.evaluation, fitted.posterior, roles)

    def save(self, fitted: Fitted, folder: Path) -> None:
        """Write what the predictor is beside the files that every certificate has; here nothing.

        Parameters
        ----------
        fitted : Fitted
            Posterior, prior, sample.
        folder : Path
            Folder of the certificate.
        """


def estimates_on_test(
    evaluation: Evaluation, q: Gaussian, roles: Roles, *, gibbs: str = "test error"
) -> tuple[Estimate, ...]:
    """Estimate the errors of the Gibbs predictor and of the mean network on test data.

    Parameters
    ----------
    evaluation : Evaluation
        The run.
    q : DiagonalGaussian or LowRankGaussian
        Q.
    roles : Roles
        Where ``test`` is, if there is any.
    gibbs : str
        What to call the first of them.

    Returns
    -------
    tuple of Estimate
        Two, or none without test data.
    """
    test = roles.indices("test")
    if not len(test):
        return ()
    (errors,) = evaluation.gibbs_errors("test", q, test, passes=1)
    mean = evaluation.errors("mean network, test", q.mean, test)
    return (
        error_estimate(gibbs, "Error of the Gibbs predictor on test data, one draw per example.", errors, len(test)),
        error_estimate(
            "mean network's test error", "Error of the network at the centre of Q on test data.", mean, len(test)
        ),
    )
