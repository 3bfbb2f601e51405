"""What a theorem is: a pure function of numbers, registered with its statement, conditions and reference."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from inspect import signature, unwrap
from types import MappingProxyType
from typing import Any, TypeVar

from genbounds.theorems.assumptions import Assumption
from genbounds.theorems.parameters import Parameter

__all__ = ["KINDS", "PREDICTORS", "REGISTERED", "Limit", "Theorem", "theorem"]

#: What a theorem may speak about. A bound for one of them says nothing about another.
PREDICTORS = MappingProxyType({
    "gibbs": "draw a predictor from the posterior Q afresh for every input",
    "single draw": "one predictor, drawn once from the posterior Q and then kept",
    "deterministic": "one given predictor",
    "majority vote": "the vote of all predictors, weighted by the posterior Q",
    "algorithm average": "the learning algorithm, averaged over samples and its own randomness",
})

#: In which sense a theorem's inequality holds.
KINDS = MappingProxyType({
    "high probability": "with probability at least 1 - delta over what is random in its conditions",
    "expectation": "on average",
})

#: Every theorem registered so far, by name. `genbounds.theorems.catalogue` loads the rooms first.
REGISTERED: dict[str, "Theorem"] = {}

_Function = TypeVar("_Function", bound=Callable[..., Any])


@dataclass(frozen=True)
class Limit:
    """What a claim must bound to stand for an argument of a theorem.

    Parameters
    ----------
    quantity : str
        What is bounded.
    predictor : str
        Predictor covered: a key of `PREDICTORS`.
    loss : str
        In which loss; "" for the loss of the claim that rests on it.
    """

    quantity: str
    predictor: str
    loss: str = ""


@dataclass(frozen=True)
class Theorem:
    """A theorem of the catalogue: the function that computes it and everything needed to state it.

    Parameters
    ----------
    name : str
        ``"<room>.<function>"``, such as ``"pac_bayes.maurer"``.
    function : callable
        The plain function, as written in its module.
    statement : str
        The inequality in LaTeX.
    formula : str
        The inequality in plain text, for a terminal.
    predictor : str
        Predictor covered: a key of `PREDICTORS`.
    kind : str
        Sense in which it holds: a key of `KINDS`.
    quantity : str
        What is bounded, "risk" unless it is an intermediate quantity.
    uniform_over : str
        For which choices it holds simultaneously, so that they may be made after seeing the sample; "" for none. It
        ends in "all n" where the number of examples is such a choice.
    assumes : tuple of Assumption
        What must be true of the numbers passed.
    reference : str
        Key in ``docs/references.bib``.
    locator : str
        Theorem, equation or section number there.
    parameters : tuple of Parameter
        The theorem's own parameters and when each may be chosen.
    limits : mapping of str to Limit
        Arguments that may be the value of another claim, and what that claim must bound.
    event : str
        The event on which it holds; theorems with the same one hold at once, at no cost. "" for one of its own.
    averages_over : str
        For a theorem that holds on average: over what.
    ghost_losses : bool
        Whether losses on examples that were not trained on enter, beside those that the truth is made of.
    restates : str
        When its number says no more than the error on those examples does; "" for never.
    """

    name: str
    function: Callable[..., Any]
    statement: str
    formula: str
    predictor: str
    kind: str
    quantity: str
    uniform_over: str
    assumes: tuple[Assumption, ...]
    reference: str
    locator: str
    parameters: tuple[Parameter, ...] = ()
    limits: Mapping[str, Limit] = field(default_factory=dict, hash=False)
    event: str = ""
    averages_over: str = ""
    ghost_losses: bool = False
    restates: str = ""

    @property
    def module(self) -> str:
        """Module that defines the function."""
        return self.function.__module__

    @property
    def arguments(self) -> tuple[str, ...]:
        """Names of the function's arguments, in order."""
        return tuple(signature(self.function).parameters)

    @property
    def holds_for_all_n(self) -> bool:
        """Whether it may be looked at after every example, while data arrive."""
        return "all n" in self.uniform_over

    @property
    def summary(self) -> str:
        """First line of the docstring."""
        return (self.function.__doc__ or "").strip().splitlines()[0]


def _room(module: str) -> str:
    """Return the folder that a theorem of this package lives in, or another package's own name."""
    package, *rest = module.split(".")
    return rest[0] if package == "genbounds" and rest else package


def _place(function: Callable[..., Any]) -> tuple[str, int]:
    """Return where a function is defined: the same place again is a module executed twice, not a second theorem."""
    return function.__module__, unwrap(function).__code__.co_firstlineno


def _complain(name: str, field: str, wanted: str, got: object, remedy: str) -> None:
    raise ValueError(f"{field} of theorem {name} must be {wanted}, got {got!r}. {remedy}")


def _check(record: Theorem) -> None:
    """Raise unless `record` can be stated in full."""
    for name in ("statement", "formula", "quantity", "reference", "locator"):
        text = getattr(record, name)
        if not isinstance(text, str) or not text.strip():
            _complain(record.name, name, "non-empty text", text, "A theorem that cannot be stated proves nothing.")
    for name, allowed in (("predictor", PREDICTORS), ("kind", KINDS)):
        if getattr(record, name) not in allowed:
            _complain(record.name, name, f"one of {sorted(allowed)}", getattr(record, name), "Choose one.")
    if (record.kind == "expectation") != bool(record.averages_over.strip()):
        wanted = "text for a theorem that holds on average, and for no other"
        _complain(record.name, "averages_over", wanted, record.averages_over, "Say over what, such as samples.")
    if not record.assumes or not all(isinstance(item, Assumption) for item in record.assumes):
        _complain(record.name, "assumes", "members of Assumption", record.assumes, "List every condition.")
    if not (record.function.__doc__ or "").strip():
        _complain(record.name, "docstring", "present", record.function.__doc__, "State the theorem and its conditions.")
    for parameter in record.parameters:
        if parameter.name not in record.arguments:
            _complain(record.name, "parameters", f"among {record.arguments}", parameter.name, "Name an argument.")
    for argument in record.limits:
        if argument not in record.arguments:
            _complain(record.name, "limits", f"for arguments among {record.arguments}", argument, "Name an argument.")
    known = REGISTERED.get(record.name)
    if known is not None and _place(known.function) != _place(record.function):
        place = ":".join(map(str, _place(known.function)))
        _complain(record.name, "name", "new", place, "Rename one of the two functions.")


def theorem(
    *,
    statement: str,
    formula: str,
    predictor: str,
    assumes: tuple[Assumption, ...],
    reference: str,
    locator: str,
    kind: str = "high probability",
    quantity: str = "risk",
    uniform_over: str = "",
    parameters: tuple[Parameter, ...] = (),
    limits: Mapping[str, Limit] = MappingProxyType({}),
    event: str = "",
    averages_over: str = "",
    ghost_losses: bool = False,
    restates: str = "",
) -> Callable[[_Function], _Function]:
    """Register a function as a theorem and return it unchanged.

    The function stays what it was: callable, picklable, doctested. Its name in the catalogue is
    ``"<room>.<function>"``, the room being its folder in this package, or the package's name for a function of
    another package (found through the entry-point group ``genbounds.theorems``).

    Parameters
    ----------
    statement : str
        The inequality in LaTeX.
    formula : str
        The inequality in plain text.
    predictor : str
        Predictor covered: a key of `PREDICTORS`.
    assumes : tuple of Assumption
        Every condition.
    reference : str
        Key in ``docs/references.bib``.
    locator : str
        Theorem, equation or section number there.
    kind : str
        Sense in which it holds: a key of `KINDS`.
    quantity : str
        What is bounded.
    uniform_over : str
        For which choices it holds simultaneously.
    parameters : tuple of Parameter
        The theorem's own parameters.
    limits : mapping of str to Limit
        Arguments that may be the value of another claim.
    event : str
        The event on which it holds, where other theorems share it.
    averages_over : str
        Over what a theorem of the kind "expectation" averages.
    ghost_losses : bool
        Whether losses on examples that were not trained on enter.
    restates : str
        When its number merely restates the error on those examples.

    Returns
    -------
    callable
        A decorator that returns the function it is given. It raises ValueError if the record is incomplete or its
        name is taken.
    """

    def register(function: _Function) -> _Function:
        record = Theorem(
            name=f"{_room(function.__module__)}.{function.__name__}",
            function=function,
            statement=statement,
            formula=formula,
            predictor=predictor,
            kind=kind,
            quantity=quantity,
            uniform_over=uniform_over,
            assumes=tuple(assumes),
            reference=reference,
            locator=locator,
            parameters=tuple(parameters),
            limits=dict(limits),
            event=event,
            averages_over=averages_over,
            ghost_losses=ghost_losses,
            restates=restates,
        )
        _check(record)
        REGISTERED[record.name] = record
        return function

    return register
