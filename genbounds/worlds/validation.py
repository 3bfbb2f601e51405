"""What all attacks on a theorem found, and how theorems that bound the same thing compare in the same worlds."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from genbounds.theorems import Theorem
from genbounds.worlds.attack import attack
from genbounds.worlds.failures import Attack

__all__ = ["Finding", "ranks", "validate"]


@dataclass(frozen=True)
class Finding:
    """What the attacks on one theorem found.

    Parameters
    ----------
    theorem : Theorem
        The theorem.
    attacks : tuple of Attack
        One for each world and choice of the theorem's own parameters.
    """

    theorem: Theorem
    attacks: tuple[Attack, ...]

    @property
    def broken(self) -> tuple[Attack, ...]:
        """Attacks that refute the theorem."""
        return tuple(found for found in self.attacks if not found.survived)

    @property
    def worlds(self) -> int:
        """Number of different worlds."""
        return len({found.world for found in self.attacks})

    @property
    def failure(self) -> float:
        """Failure probability in the worst world: at most delta, and 0 for a bound on average."""
        return max(found.failure for found in self.attacks)

    @property
    def ratio(self) -> float:
        """Smallest quotient of bound and truth, for a bound on average.

        A theorem that is too small as a whole, by a larger factor, is refuted. A factor in one of its terms may be
        wrong by more: where that quotient is reached, the term may be 0.
        """
        return min(found.ratio for found in self.attacks)

    @property
    def slack(self) -> tuple[float, float]:
        """Distance of bound and truth, averaged over what is random in a world: smallest and mean over the attacks."""
        slacks = [found.slack for found in self.attacks]
        return min(slacks), float(np.mean(slacks))


def validate(theorem: Theorem, delta: float = 0.05) -> Finding:
    """Attack a theorem in every world that applies to it.

    Parameters
    ----------
    theorem : Theorem
        Of the catalogue, or of your own: made with `genbounds.theorems.theorem`.
    delta : float
        Failure probability that it is asked for, in (0, 1); a bound on average has none.

    Returns
    -------
    Finding
        What the attacks found.

    Examples
    --------
    >>> from genbounds.theorems import get
    >>> finding = validate(get("test_set_kl"))
    >>> finding.broken, 0.049 < finding.failure <= 0.05
    ((), True)
    """
    return Finding(theorem, tuple(attack(theorem, delta)))


def ranks(findings: Iterable[Finding]) -> dict[str, tuple[float, int]]:
    """Compare theorems that bound the same thing, in the worlds that they share.

    In each world those that speak of the same quantity and predictor are ordered by their slack, at their best
    parameter; equal ones share the better place. A theorem with a delta meets those with its own arguments, because
    the adversary, and so the slack, is another one for other arguments.

    Parameters
    ----------
    findings : iterable of Finding
        What the attacks on several theorems found.

    Returns
    -------
    dict of str to tuple
        From a theorem's name to its mean place (1 is the tightest) and the number of theorems it met, itself included;
        theorems that met no other are left out.
    """
    best: dict[tuple[object, ...], dict[str, float]] = defaultdict(dict)
    for finding in findings:
        theorem = finding.theorem
        own = {parameter.name for parameter in theorem.parameters}
        inputs = None if theorem.kind == "expectation" else tuple(n for n in theorem.arguments if n not in own)
        for found in finding.attacks:
            race = best[theorem.quantity, theorem.predictor, inputs, found.world]
            race[theorem.name] = min(found.slack, race.get(theorem.name, np.inf))
    places: dict[str, list[int]] = defaultdict(list)
    met: dict[str, set[str]] = defaultdict(set)
    for race in best.values():
        for name, slack in race.items():
            if len(race) > 1:
                # A tie is what rounding cannot tell apart.
                places[name].append(1 + sum(other < slack - 1e-12 for other in race.values()))
                met[name] |= set(race)
    return {name: (float(np.mean(found)), len(met[name])) for name, found in places.items()}
