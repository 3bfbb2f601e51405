"""What a user calls: certify a checkpoint, load its predictor again, measure a certificate's numbers again.

The names below load their module, and with it torch, at their first use only.
"""

from importlib import import_module
from typing import Any

_HOME = {
    "CompressionTraining": "genbounds.compression.training",
    "NetworkTraining": "genbounds.pac_bayes.training",
    "PosteriorTraining": "genbounds.pac_bayes.training",
    "RunningCertificate": "genbounds.workflow.running_certificate",
    "certify": "genbounds.workflow.certification",
    "certify_compressed": "genbounds.workflow.compression",
    "certify_excess": "genbounds.workflow.excess",
    "certify_head": "genbounds.workflow.heads",
    "certify_parts": "genbounds.workflow.parts",
    "certify_prompt": "genbounds.workflow.prompts",
    "certify_recursive": "genbounds.workflow.recursion",
    "load_compressed": "genbounds.workflow.compression",
    "load_predictor": "genbounds.workflow.predictor",
    "load_prompts": "genbounds.workflow.prompts",
    "remeasure": "genbounds.workflow.remeasurement",
    "remeasure_prompt": "genbounds.workflow.prompts",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}.")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(_HOME)
