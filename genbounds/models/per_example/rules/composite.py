"""Functions written in Python that make up others: they are run again so that what they call is seen."""

from collections.abc import Callable
from types import FunctionType
from typing import Any

from genbounds.models.per_example.calls import Call, Outcome, Rule

__all__ = ["RULES"]


def _opened(call: Call) -> Outcome:
    return call.inside(_without_dispatch(call.func), *call.args, **call.kwargs), []


def _without_dispatch(func: Any) -> Callable[..., Any]:
    """Return the same function but for its first step, in which it hands itself to the mode that is on."""
    names = dict(func.__globals__)
    names |= {name: lambda *_: False for name in names if name.startswith("has_torch_function")}
    opened = FunctionType(func.__code__, names, func.__name__, func.__defaults__, func.__closure__)
    opened.__kwdefaults__ = func.__kwdefaults__
    return opened


RULES: dict[str, Rule] = {"multi_head_attention_forward": _opened}
