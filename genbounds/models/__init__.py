"""Everything that runs a network: checkpoints, factories, data, splits and the guards around them.

The names below load their module, and with it torch, at their first use only.
"""

from importlib import import_module
from typing import Any

_HOME = {
    "Checkpoint": "checkpoint",
    "CheckpointError": "state",
    "Data": "examples",
    "DataError": "examples",
    "FactoryError": "factory",
    "ModelError": "guards",
    "PerExampleGradients": "per_example.engine",
    "Roles": "splits",
    "SingleTokens": "per_example.language_models",
    "StochasticData": "guards",
    "apply_state": "state",
    "build_model": "factory",
    "causal_language_model": "hugging_face",
    "load_checkpoint": "checkpoint",
    "load_data": "data",
    "load_exported": "exported",
    "load_factory": "factory",
    "next_token_loss": "per_example.language_models",
    "repeated_examples": "splits",
    "save_state": "state",
    "state_sha256": "state",
    "text_classifier": "hugging_face",
    "tokenise": "hugging_face",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    """Import the module that holds `name`, once it is asked for.

    Parameters
    ----------
    name : str
        A name of the table above.

    Returns
    -------
    object
        What the module calls by that name.

    Raises
    ------
    AttributeError
        If the table does not have it.
    """
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}.")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    """List the public names.

    Returns
    -------
    list of str
        The table above.
    """
    return sorted(_HOME)
