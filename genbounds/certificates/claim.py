"""A claim: a theorem applied to numbers. Its value is computed, never typed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from math import inf
from typing import Any

from genbounds.certificates.errors import CertificateError, at
from genbounds.certificates.fields import number, one_of, plain, table, text
from genbounds.certificates.records import keys_of
from genbounds.theorems import PREDICTORS, Assumption, Fixed, Grid, Theorem, get

__all__ = ["LISTS", "STATUSES", "Claim", "evaluate", "rests_on", "state"]

#: How an assumption stands, from best to worst: the program looked; the user says so; nobody knows; it fails.
STATUSES = ("checked", "declared", "unknown", "violated")

#: Arguments of theorems that are lists of numbers.
LISTS = (
    "values",
    "frequencies",
    "levels",
    "risks",
    "second_moments",
    "variances",
    "spectral_norms",
    "frobenius_norms",
    "row_norm_sums",
    "layer_norms",
)


@dataclass(frozen=True)
class Claim:
    """A theorem applied to numbers.

    Use `state` to make one; the constructor serves reading.

    Attributes
    ----------
    id : str
        Name within its certificate.
    theorem : str
        Name in the catalogue.
    inputs : mapping
        From the theorem's arguments to numbers. In their place may stand: a list for one of `LISTS`; for an argument
        among the theorem's `limits` ``{"claim": id}``, the value of another claim; for a parameter fixed before the
        sample ``{"grid": values, "weights": weights}``, a `Grid` whose union the theorem itself pays.
    value : float
        What the theorem gives.
    predictor : str
        Predictor covered.
    quantity : str
        What is bounded.
    loss : str
        In which loss, such as ``0-1``.
    assumptions : mapping of str to str
        From names of `Assumption` members to ``checked``, ``declared``, ``violated`` or ``unknown``.
    """

    id: str
    theorem: str
    inputs: Mapping[str, Any]
    value: float
    predictor: str
    quantity: str
    loss: str
    assumptions: Mapping[str, str]

    def __post_init__(self) -> None:
        text("id", self.id)
        text("theorem", self.theorem)
        text("quantity", self.quantity)
        text("loss", self.loss)
        one_of("predictor", self.predictor, tuple(PREDICTORS))
        object.__setattr__(self, "value", number("value", self.value))
        object.__setattr__(self, "inputs", table("inputs", self.inputs))
        _check_inputs(_record(self.theorem), self.inputs)
        object.__setattr__(self, "assumptions", table("assumptions", self.assumptions))
        for name, status in self.assumptions.items():
            if name not in Assumption.__members__:
                known = ", ".join(Assumption.__members__)
                raise CertificateError(f"assumptions.{name}", f"is not an assumption. There are {known}.")
            one_of(f"assumptions.{name}", status, STATUSES)

    @property
    def references(self) -> dict[str, str]:
        """Arguments that take the value of another claim, and the ids of those claims."""
        inputs = self.inputs.items()
        return {name: value["claim"] for name, value in inputs if isinstance(value, Mapping) and "claim" in value}

    def to_json(self) -> dict[str, Any]:
        """Return the claim as JSON carries it.

        Returns
        -------
        dict
            Its fields.
        """
        return {name: plain(name, value) for name, value in vars(self).items()}

    @classmethod
    def from_json(cls, content: Any) -> "Claim":
        """Read a claim.

        Parameters
        ----------
        content : object
            What `to_json` returned.

        Returns
        -------
        Claim
            The claim; whether its value follows from its inputs is for `verify` to say.
        """
        return cls(**keys_of(cls, content))


def _record(theorem: str) -> Theorem:
    try:
        record = get(theorem)
    except ValueError as error:
        raise CertificateError("theorem", f"is not in the catalogue: {error}") from None
    if record.kind == "expectation":
        about = f"{record.name} holds on average over {record.averages_over}: it says nothing about one run"
        raise CertificateError("theorem", f"must hold with high probability; {about}. Report its number by itself.")
    return record


def _check_inputs(record: Theorem, inputs: Mapping[str, Any]) -> None:
    """Raise unless the inputs are the theorem's arguments, each a number, or what may stand for one."""
    if set(inputs) != set(record.arguments):
        wanted, got = ", ".join(record.arguments), ", ".join(inputs) or "none"
        raise CertificateError("inputs", f"must be {wanted} for {record.name}, got {got}.")
    on_grids = {parameter.name for parameter in record.parameters if isinstance(parameter, Fixed)}
    for name, value in inputs.items():
        path = f"inputs.{name}"
        if name in LISTS:
            _check_numbers(path, value)
        elif name in on_grids and isinstance(value, Mapping) and set(value) == {"grid", "weights"}:
            _check_numbers(f"{path}.grid", value["grid"])
            _check_numbers(f"{path}.weights", value["weights"])
            if len(value["grid"]) != len(value["weights"]):
                raise CertificateError(path, "must have one weight for each value of its grid.")
        elif name in record.limits and isinstance(value, Mapping) and set(value) == {"claim"}:
            text(f"{path}.claim", value["claim"])
        else:
            number(path, value, lowest=1 if name in {"n", "draws"} else -inf)


def _check_numbers(path: str, values: Any) -> None:
    if not isinstance(values, list) or not values:
        raise CertificateError(path, "must be a list with at least one number.")
    for place, value in enumerate(values):
        number(f"{path}[{place}]", value)


def evaluate(theorem: str, inputs: Mapping[str, Any], values: Mapping[str, float]) -> float:
    """Compute what a theorem gives for the inputs of a claim.

    Parameters
    ----------
    theorem : str
        Name in the catalogue.
    inputs : mapping
        As in `Claim`.
    values : mapping of str to float
        Values of the claims that the inputs refer to.

    Returns
    -------
    float
        The theorem's number.

    Raises
    ------
    CertificateError
        If the theorem refuses them.
    """

    def resolved(value: Any) -> Any:
        if isinstance(value, Mapping):
            return values[value["claim"]] if "claim" in value else Grid(value["grid"], value["weights"])
        return value

    try:
        return float(_record(theorem).function(**{name: resolved(value) for name, value in inputs.items()}))
    except ValueError as error:
        raise CertificateError("inputs", f"are refused by {theorem}: {error}") from error


def state(
    theorem: str,
    id: str,
    inputs: Mapping[str, Any],
    *,
    assumptions: Mapping[Assumption, str],
    loss: str = "0-1",
) -> Claim:
    """State a claim: apply a theorem of the catalogue to numbers.

    Parameters
    ----------
    theorem : str
        Name in the catalogue.
    id : str
        Name of the claim within its certificate.
    inputs : mapping of str to number, array_like, Grid or Claim
        The theorem's arguments. A `Claim` stands for its value, and the new claim rests on it.
    assumptions : mapping of Assumption to str
        How each assumption of the theorem stands: ``checked``, ``declared``, ``violated`` or ``unknown``. Others
        are left out of the claim.
    loss : str
        In which loss.

    Returns
    -------
    Claim
        The claim, with the theorem's value, predictor and quantity.

    Raises
    ------
    CertificateError
        If the theorem takes other arguments, refuses these, or assumes something that is not spoken of.

    Examples
    --------
    >>> claim = state(
    ...     "pac_bayes.test_set_kl",
    ...     "holdout",
    ...     {"risk": 0.0, "n": 100, "delta": 0.05},
    ...     assumptions={
    ...         Assumption.INDEPENDENT_SAMPLE: "declared",
    ...         Assumption.LOSS_IN_UNIT_INTERVAL: "checked",
    ...         Assumption.PREDICTOR_INDEPENDENT_OF_SAMPLE: "declared",
    ...     },
    ... )
    >>> round(claim.value, 6)  # 1 - exp(-ln(20) / 100)
    0.029513
    """
    values: dict[str, float] = {}
    recorded: dict[str, Any] = {}
    for name, value in inputs.items():
        if isinstance(value, Claim):
            values[value.id] = value.value
            recorded[name] = {"claim": value.id}
        elif isinstance(value, Grid):
            recorded[name] = {"grid": list(value.values), "weights": list(value.weights)}
        else:
            recorded[name] = plain(f"inputs.{name}", value)
    with at(f"claim {id!r}"):
        record = _record(theorem)
        _check_inputs(record, recorded)
        missing = [assumption.name for assumption in record.assumes if assumption not in assumptions]
        if missing:
            raise CertificateError(
                "assumptions", f"must say how {', '.join(missing)} stands, for {record.name} rests on it."
            )
        return Claim(
            id=id,
            theorem=record.name,
            inputs=recorded,
            value=evaluate(record.name, recorded, values),
            predictor=record.predictor,
            quantity=record.quantity,
            loss=loss,
            assumptions={assumption.name: assumptions[assumption] for assumption in record.assumes},
        )


def rests_on(claims: Sequence[Claim], headline: str) -> tuple[Claim, ...]:
    """Return a claim and all claims it rests on, each after those it refers to.

    Parameters
    ----------
    claims : sequence of Claim
        All claims there are.
    headline : str
        Id of the claim in question; it comes last.

    Returns
    -------
    tuple of Claim
        The claims its value depends on, itself included.

    Raises
    ------
    CertificateError
        If an id stands for no claim or for two, or claims rest on themselves, anywhere among the claims.
    """
    places = {}
    for place, claim in enumerate(claims):
        if claim.id in places:
            raise CertificateError(
                f"claims[{place}].id", f"must be new, but {claim.id!r} is taken. Rename one of the two."
            )
        places[claim.id] = place
    if headline not in places:
        raise CertificateError("headline", f"refers to the claim {headline!r}, which does not exist.")
    for claim in claims:
        for argument, target in claim.references.items():
            if target not in places:
                raise CertificateError(
                    f"claims[{places[claim.id]}].inputs.{argument}",
                    f"of the claim {claim.id!r} refers to the claim {target!r}, which does not exist.",
                )
    try:
        order = tuple(TopologicalSorter({claim.id: claim.references.values() for claim in claims}).static_order())
    except CycleError as error:
        circle = " -> ".join(reversed(error.args[1]))
        raise CertificateError("claims", f"rest on themselves: {circle}. A value needs a start.") from None
    needed = {headline}
    for id in reversed(order):
        if id in needed:
            needed.update(claims[places[id]].references.values())
    return tuple(claims[places[id]] for id in order if id in needed)
