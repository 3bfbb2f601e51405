"""What a certificate for one drawn network counts, claims, estimates and saves.

The network is drawn once, from a random stream of its own under the run's seed: the seed was fixed before the posterior
was trained, so there is nothing to draw again. Its errors on the bound's sample are counted exactly.
"""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor

from genbounds.certificates import Certificate, Comparison, Estimate, Finding, Ledger, LedgerEntry, share, split, state
from genbounds.models.checkpoint import load_checkpoint
from genbounds.models.splits import Roles
from genbounds.models.state import save_state, state_sha256
from genbounds.pac_bayes.draws import draw_network, log_ratio
from genbounds.pac_bayes.low_rank import Gaussian
from genbounds.pac_bayes.posteriors import DiagonalGaussian
from genbounds.theorems import Assumption, get
from genbounds.workflow.composition import HEADLINE, error_estimate, scale_unions
from genbounds.workflow.gibbs import Fitted, Gibbs, estimates_on_test
from genbounds.workflow.predictor import DRAWN

__all__ = ["SINGLE_DRAW", "SingleDraw", "redraw"]

#: Name of the random stream of the draw.
SINGLE_DRAW = "single draw"


class SingleDraw(Gibbs):
    """One network, drawn from Q once and then kept. Scheme and passes are those of the Gibbs comparison beside it."""

    default: ClassVar[str] = "pac_bayes.rivasplata"

    def rehearse(self) -> None:
        """Refuse what no certificate can be made of before any training.

        Raises
        ------
        ValueError
            If the theorem takes other numbers, or delta or the share of the comparison's draws is impossible.
        """
        record = get(self.theorem)
        if record.predictor != "single draw" or record.arguments != ("risk", "log_ratio", "n", "delta"):
            raise ValueError(
                f"theorem must be about one drawn network and take risk, log_ratio, n and delta, got {self.theorem!r}. "
                "Choose pac_bayes.rivasplata."
            )
        self._claimed_once(0, 0.0, 1, dict.fromkeys(Assumption, "unknown"))
        self._beside.rehearse()

    @property
    def _beside(self) -> Gibbs:
        return Gibbs(Gibbs.default, self.n, self.delta, self.monte_carlo_share, self.scheme, self.passes)

    def check(self, posterior: Gaussian) -> None:
        """Refuse a posterior whose density is not a product.

        Parameters
        ----------
        posterior : DiagonalGaussian or LowRankGaussian
            Q.

        Raises
        ------
        ValueError
            If it has a low-rank part.
        """
        _product(posterior)

    def argument(self, fitted: Fitted) -> dict[str, Any]:
        """Draw the network, count its errors on the bound's sample and state the bound.

        Parameters
        ----------
        fitted : Fitted
            Posterior, prior, sample.

        Returns
        -------
        dict
            ``claims``, ``ledger`` and ``headline``.
        """
        weights, ratio = _drawn(fitted)
        errors = fitted.evaluation.errors(f"drawn from the {fitted.name}, bound sample", weights, fitted.bound)
        return self._claimed_once(errors, ratio, fitted.candidates, fitted.statuses)

    def _claimed_once(
        self, errors: int, ratio: float, candidates: int | Mapping[str, int], statuses: Mapping[Assumption, str]
    ) -> dict[str, Any]:
        unions = scale_unions(candidates)
        (budget,) = split(self.delta, [1])
        each = share(budget, math.prod(union.candidates for union in unions))
        # A quotient may have been rounded down: step to the next float.
        risk = min(math.nextafter(errors / self.n, 1.0), 1.0) if errors else 0.0
        inputs = {"risk": risk, "log_ratio": ratio, "n": self.n, "delta": each}
        claim = state(self.theorem, HEADLINE, inputs, assumptions=statuses)
        ledger = Ledger(self.delta, (LedgerEntry(HEADLINE, budget, unions),))
        return {"claims": (claim,), "ledger": ledger, "headline": HEADLINE}

    def draws(self, fitted: Fitted) -> dict[str, Any]:
        """Return what the certificate says of the draw, and of those of the Gibbs comparison.

        Parameters
        ----------
        fitted : Fitted
            Posterior, prior, sample.

        Returns
        -------
        dict
            The table ``draws``.
        """
        weights, ratio = _drawn(fitted)
        return {
            "scheme": "single",
            "count": 1,
            "seed": fitted.evaluation.seed,
            "stream": SINGLE_DRAW,
            "sha256": state_sha256(weights),
            "log_ratio": ratio,
            "comparisons": self._beside.draws(fitted),
        }

    def comparisons(self, fitted: Fitted) -> tuple[Comparison, ...]:
        """State the Gibbs bound of the same posterior beside it.

        Parameters
        ----------
        fitted : Fitted
            Posterior, prior, sample.

        Returns
        -------
        tuple of Comparison
            One, ``gibbs``.
        """
        what = (
            "The Gibbs predictor of the same posterior, at the same confidence. It rests on another event: the smaller "
            "of the two numbers is not a bound at this confidence."
        )
        return (Comparison(id="gibbs", what=what, **self._beside.argument(fitted)),)

    def estimates(self, fitted: Fitted, roles: Roles) -> tuple[Estimate, ...]:
        """Estimate errors on test data: of the network that was drawn, and of the Gibbs predictor beside it.

        Parameters
        ----------
        fitted : Fitted
            Posterior, prior, sample.
        roles : Roles
            Where ``test`` is, if there is any.

        Returns
        -------
        tuple of Estimate
            Three, or none without test data.
        """
        test = roles.indices("test")
        if not len(test):
            return ()
        errors = fitted.evaluation.errors("drawn network, test", _drawn(fitted)[0], test)
        return (
            error_estimate("test error", "Error of the drawn network on test data.", errors, len(test)),
            *estimates_on_test(fitted.evaluation, fitted.posterior, roles, gibbs="Gibbs test error"),
        )

    def save(self, fitted: Fitted, folder: Path) -> None:
        """Write the network beside its certificate.

        Parameters
        ----------
        fitted : Fitted
            Posterior, prior, sample.
        folder : Path
            Folder of the certificate.
        """
        save_state(_drawn(fitted)[0], folder / DRAWN)


def _product(posterior: Gaussian) -> DiagonalGaussian:
    if not isinstance(posterior, DiagonalGaussian):
        raise ValueError(
            f"posterior must be a DiagonalGaussian for a single draw, got a {type(posterior).__name__}: the ratio of "
            "its densities is not known coordinate by coordinate. Take its diagonal part."
        )
    return posterior


def _drawn(fitted: Fitted) -> tuple[dict[str, Tensor], float]:
    """Draw the network, the same one each time, and return it with its log ratio."""
    posterior, run = _product(fitted.posterior), fitted.evaluation
    weights = draw_network(posterior, run.dtype, seed=run.seed, stage=SINGLE_DRAW)
    return weights, log_ratio(posterior, fitted.prior, weights)


def redraw(certificate: Certificate, folder: Path, fitted: Fitted, place: str) -> Iterator[Finding]:
    """Draw a certificate's network again and measure it.

    Parameters
    ----------
    certificate : Certificate
        A certificate whose draws are ``single``.
    folder : Path
        Where its files are.
    fitted : Fitted
        Posterior and prior of those files, and the bound's sample.
    place : str
        What is another than it was, for the sentence about the errors.

    Yields
    ------
    Finding
        Whether the draw is the certificate's, and its log ratio and errors at most what is stated.
    """
    draws, stated = certificate.draws or {}, certificate.basis[-1].inputs
    weights, ratio = _drawn(fitted)
    digest = state_sha256(weights)
    same = draws.get("stream") == SINGLE_DRAW and digest == draws.get("sha256")
    sentence = "the seed draws the certificate's network." if same else "the seed draws another network."
    yield Finding("draw", same, sentence)
    kept = folder / DRAWN
    same = kept.exists() and state_sha256(load_checkpoint(kept).state) == digest
    yield Finding("file: drawn", same, "it is the network that was drawn." if same else "another network.")
    holds = ratio <= stated["log_ratio"]
    yield Finding("log ratio", holds, f"measured {ratio!r} nats, stated {stated['log_ratio']!r}.")
    errors = fitted.evaluation.errors("drawn network, bound sample", weights, fitted.bound)
    claimed = math.floor(stated["risk"] * len(fitted.bound))
    yield Finding("error count", errors <= claimed, f"measured {errors:,} errors, stated {claimed:,}{place}.")
