"""Rules: how the gradients of single examples come out of calls of torch functions, one module for each subject."""

from collections.abc import Callable
from typing import Any

from genbounds.models.per_example.calls import Rule, name_of
from genbounds.models.per_example.rules import (
    broadcasting,
    composite,
    convolution,
    embedding,
    linear,
    normalisation,
    recurrent,
)
from genbounds.models.per_example.rules.broadcasting import SPREADING

__all__ = ["SPREADING", "rule_of"]

_RULES: dict[str, Rule] = {
    name: rule
    for subject in (broadcasting, composite, convolution, embedding, linear, normalisation, recurrent)
    for name, rule in subject.RULES.items()
}


def rule_of(func: Callable[..., Any]) -> Rule | None:
    """Return the rule for a torch function.

    Parameters
    ----------
    func : callable
        As a `TorchFunctionMode` receives it; a method and its in-place form have the rule of the function.

    Returns
    -------
    callable or None
        None if there is no rule.
    """
    return _RULES.get(name_of(func).strip("_"))
