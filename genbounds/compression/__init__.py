"""Deterministic networks by their code length: quantise, encode, decode; the decoded network is what is evaluated.

The names below load their module, and with it torch where it needs it, at their first use only.
"""

from importlib import import_module
from typing import Any

_HOME = {
    "Codebook": "quantisation",
    "CompressionTraining": "training",
    "FullSpace": "parametrisations",
    "Header": "message",
    "LoRA": "adapters",
    "Message": "message",
    "Parametrisation": "parametrisations",
    "QuantisedNetwork": "message",
    "RandomSubspace": "parametrisations",
    "SubLoRA": "adapters",
    "code_length": "codes",
    "decode": "message",
    "encode": "message",
    "kraft_sum": "codes",
    "linear_weights": "adapters",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}.")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(_HOME)
