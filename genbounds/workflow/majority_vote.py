"""What a certificate for the majority vote over a posterior counts, claims and estimates."""

import dataclasses
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch.func import functional_call
from torch.nn.functional import one_hot

from genbounds.certificates import Comparison, Estimate, Ledger, Union, state
from genbounds.models.passes import block_size, predict
from genbounds.models.randomness import draw_weights, normal_noise, stream
from genbounds.models.splits import Roles
from genbounds.pac_bayes.low_rank import Gaussian
from genbounds.pac_bayes.posteriors import DiagonalGaussian
from genbounds.theorems import Assumption
from genbounds.workflow.composition import HEADLINE, error_estimate, gibbs_argument
from genbounds.workflow.evaluation import MONTE_CARLO, SCHEMES, Evaluation
from genbounds.workflow.gibbs import Fitted, Gibbs, estimates_on_test

__all__ = ["BOTH", "VOTERS", "MajorityVote", "tandem_errors"]

_FIRST_ORDER, _TANDEM = "pac_bayes.first_order", "pac_bayes.tandem"

#: Both theorems, the smaller value after the fact, their union paid.
BOTH = "both"

#: Draws that vote on the test data: an estimate of the vote over all of Q.
VOTERS = 25


class MajorityVote(Gibbs):
    """The vote of all networks, weighted by Q."""

    default: ClassVar[str] = _FIRST_ORDER

    def rehearse(self) -> None:
        """Refuse what no certificate can be made of before any training.

        Raises
        ------
        ValueError
            If there is no such theorem about votes, or it needs other draws, or a share of delta is impossible.
        """
        if self.theorem not in (_FIRST_ORDER, _TANDEM, BOTH):
            raise ValueError(
                f"theorem must be {_FIRST_ORDER}, {_TANDEM} or {BOTH} for the majority vote, got {self.theorem!r}."
            )
        if self.theorem != _FIRST_ORDER and self.scheme != SCHEMES[0]:
            raise ValueError(f"scheme must be {SCHEMES[0]!r} where two draws meet each example, got {self.scheme!r}.")
        for theorem in self._theorems:
            self._claimed_by(theorem, [0] * self.passes, 0.0, 1, dict.fromkeys(Assumption, "unknown"))

    @property
    def _theorems(self) -> tuple[str, ...]:
        return (_FIRST_ORDER, _TANDEM) if self.theorem == BOTH else (self.theorem,)

    def check(self, posterior: Gaussian) -> None:
        """Refuse a posterior that pairs of draws cannot be had from.

        Parameters
        ----------
        posterior : DiagonalGaussian or LowRankGaussian
            Q.

        Raises
        ------
        ValueError
            If it has a low-rank part and the theorem needs pairs.
        """
        if self.theorem != _FIRST_ORDER:
            _product(posterior)

    def argument(self, fitted: Fitted) -> dict[str, Any]:
        """Count errors of draws, or of pairs of draws, and state the smaller bound.

        Parameters
        ----------
        fitted : Fitted
            Posterior, prior, sample.

        Returns
        -------
        dict
            ``claims``, ``ledger`` and ``headline``.
        """
        return self._arguments(fitted)[0]

    def _arguments(self, fitted: Fitted) -> list[dict[str, Any]]:
        """Return the argument of each theorem, the smallest value first."""
        found = []
        for theorem in self._theorems:
            errors = tandem_errors(fitted, self.passes) if theorem == _TANDEM else self._errors(fitted)
            found.append(self._claimed_by(theorem, errors, fitted.kl, fitted.candidates, fitted.statuses))
        return sorted(found, key=lambda argument: argument["claims"][-1].value)

    def _claimed_by(self, theorem: str, errors: list[int], kl: float, candidates: Any, statuses: Any) -> dict[str, Any]:
        claims, ledger = gibbs_argument(
            _TANDEM if theorem == _TANDEM else Gibbs.default,
            errors,
            self.n,
            kl,
            scheme=self.scheme,
            delta=self.delta,
            monte_carlo_share=self.monte_carlo_share,
            candidates=candidates,
            statuses=statuses,
            unions=(Union("theorem", len(self._theorems)),) if len(self._theorems) > 1 else (),
        )
        if theorem == _FIRST_ORDER:  # twice the Gibbs risk, which becomes a claim to rest on
            limit, gibbs = claims[0], dataclasses.replace(claims[1], id="gibbs-risk")
            claims = (limit, gibbs, state(_FIRST_ORDER, HEADLINE, {"gibbs_risk": gibbs}, assumptions=statuses))
            bound, *others = ledger.entries
            ledger = Ledger(self.delta, (dataclasses.replace(bound, claim=gibbs.id), *others))
        return {"claims": claims, "ledger": ledger, "headline": HEADLINE}

    def comparisons(self, fitted: Fitted) -> tuple[Comparison, ...]:
        """State the larger of two bounds that were paid for.

        Parameters
        ----------
        fitted : Fitted
            Posterior, prior, sample.

        Returns
        -------
        tuple of Comparison
            None where one theorem was chosen in advance.
        """
        _, *others = self._arguments(fitted)
        what = "The other theorem on the same posterior; the union over both is paid on both sides."
        return tuple(Comparison(id=other["claims"][-1].theorem, what=what, **other) for other in others)

    def estimates(self, fitted: Fitted, roles: Roles) -> tuple[Estimate, ...]:
        """Estimate errors on test data: of a vote of several draws, and of the Gibbs predictor beside it.

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
        run = fitted.evaluation
        errors = int(run.store.once("vote, test", lambda: _vote_errors(run, fitted.posterior, test)))
        what = f"Error of the vote of {VOTERS} draws of Q, for that of all of Q, on test data."
        return (
            error_estimate("test error", what, errors, len(test)),
            *estimates_on_test(run, fitted.posterior, roles, gibbs="Gibbs test error"),
        )


def _product(posterior: Gaussian) -> DiagonalGaussian:
    if not isinstance(posterior, DiagonalGaussian):
        raise ValueError(
            f"posterior must be a DiagonalGaussian for pairs of draws, got a {type(posterior).__name__}. Take the "
            f"theorem {_FIRST_ORDER}, or its diagonal part."
        )
    return posterior


def tandem_errors(fitted: Fitted, passes: int) -> list[int]:
    """Count on how many examples of the bound's sample two fresh draws of a posterior both err.

    Parameters
    ----------
    fitted : Fitted
        Posterior and sample.
    passes : int
        How many passes over it.

    Returns
    -------
    list of int
        Such examples: those of all passes first, then zeros, one number for each pass in all.
    """
    posterior = _product(fitted.posterior)
    how: dict[str, Any] = {"passes": passes, "stage": MONTE_CARLO}
    counts = fitted.evaluation.pair_counts(fitted.name, posterior, posterior, fitted.bound, **how)
    return [counts.n11] + [0] * (passes - 1)  # the binomial limit looks at their sum and their number


@torch.no_grad()
def _vote_errors(run: Evaluation, posterior: Gaussian, indices: NDArray[np.int64]) -> int:
    """Count the errors of the vote of several networks, each drawn once for all examples."""
    law, size = posterior.law(run.device, run.dtype), block_size(run.data, indices)
    drawn = [
        draw_weights(noise=normal_noise(stream(run.seed, "vote", number, device=run.device), run.dtype), **law)
        for number in range(VOTERS)
    ]
    errors = 0
    for index, inputs, targets in run.data.batches(indices, size, device=run.device, dtype=run.dtype):
        scores = [functional_call(run.model, weights, (inputs,)) for weights in drawn]
        votes = sum(one_hot(predict(each, index), each.shape[1]) for each in scores)
        errors += int((torch.as_tensor(votes).argmax(1) != targets).sum())
    return errors
