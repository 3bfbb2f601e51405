"""Rules: how the gradients of single examples come out of the calls of torch functions, one module for each subject."""

from collections.abc import Callable
from typing import Any

from genbounds.models.per_example.calls import Rule

__all__ = ["rule_of"]

_RULES: dict[str, Rule] = {}


def rule_of(func: Callable[..., Any]) -> Rule | None:
    """Return the rule for a torch function.

    Parameters
    ----------
    func : callable
        As a `TorchFunctionMode` receives it.

    Returns
    -------
    callable or None
        None if there is no rule.
    """
    return _RULES.get(func.__name__)
