"""Everything that runs a network: checkpoints, factories, data, splits and the guards around them.

The names below load their module, and with it torch, at their first use only.
"""

from genbounds.lazy import lazy

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
__getattr__, __dir__ = lazy(__name__, _HOME)
