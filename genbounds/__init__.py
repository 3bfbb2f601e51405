"""What can be proved, and what can be measured, about a trained network's error on data it has not seen.

``import genbounds`` loads nothing heavy: every name below is imported when it is first used.

>>> import genbounds
>>> bound = genbounds.pac_bayes.maurer(risk=0.02, kl=40.0, n=30_000, delta=0.025)
>>> print(f"{bound:.6f}")
0.029127
"""

import importlib
from typing import TYPE_CHECKING, Any

from genbounds.version import __version__

if TYPE_CHECKING:
    from genbounds import (
        certificates,
        coherence,
        compression,
        inductive_bias,
        information,
        measures,
        models,
        numerics,
        pac_bayes,
        pathways,
        prompts,
        rare_events,
        report,
        sweeps,
        theorems,
        workflow,
        worlds,
    )
    from genbounds.certificates import Certificate, verify
    from genbounds.workflow import certify, load_predictor

__all__ = [
    "Certificate",
    "__version__",
    "certificates",
    "certify",
    "coherence",
    "compression",
    "inductive_bias",
    "information",
    "load_predictor",
    "measures",
    "models",
    "numerics",
    "pac_bayes",
    "pathways",
    "prompts",
    "rare_events",
    "report",
    "sweeps",
    "theorems",
    "verify",
    "workflow",
    "worlds",
]

#: Where each public function or class lives; everything else in ``__all__`` is a room (a subpackage).
_HOMES = {
    "Certificate": "genbounds.certificates",
    "verify": "genbounds.certificates",
    "certify": "genbounds.workflow",
    "load_predictor": "genbounds.workflow",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(importlib.import_module(_HOMES[name]), name)
    elif name in __all__:
        value = importlib.import_module(f"genbounds.{name}")
    else:
        raise AttributeError(f"module 'genbounds' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
