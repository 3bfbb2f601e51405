"""Prompts as hypotheses: what a prompt costs under a prior fixed before the sample, and what it is worth.

A language model is a distribution over token sequences that never saw the task's sample: its -ln P(prompt) is a code
length, and an Occam bound holds for every prompt at once, however it was found (after Akinwande et al. 2024).

The names below load their module, and with it torch, at their first use only.
"""

from importlib import import_module
from typing import Any

_HOME = {
    "Found": "search",
    "LanguageModelPrior": "language_model",
    "PromptClassifier": "classifier",
    "PromptForm": "form",
    "TextEncoder": "encoder",
    "greedy_search": "search",
    "uniform_code_length": "code_lengths",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}.")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(_HOME)
