"""Certificates for growing parts of the same data: the points of a bound-versus-error curve."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from genbounds.certificates import Certificate
from genbounds.models.data import load_data
from genbounds.workflow.certification import certify

__all__ = ["certify_parts"]


def certify_parts(
    model: Any, data: Any, parts: Sequence[float], *, prior: str = "learnt", seed: int = 0, **options: Any
) -> list[Certificate]:
    """Certify a network on the whole of its data and on parts of it.

    The parts are nested, and all are tested on the same test data. Each certificate holds with its own probability;
    that all of them hold at once is not claimed.

    Parameters
    ----------
    model, data : object
        As in `certify`.
    parts : sequence of float
        Parts of the bound's sample, and of the prior's where a network is learnt on it, each in (0, 1).
    prior : str
        As in `certify`.
    seed : int
        As in `certify`; it also chooses which examples are in a part.
    **options : object
        Everything else that `certify` takes. The parts' folders ``part-<fraction>`` are inside `out`.

    Returns
    -------
    list of Certificate
        For the parts in ascending order, and for the whole last.

    Raises
    ------
    ValueError
        If a part is not strictly between 0 and 1.
    """
    if not all(0 < part < 1 for part in parts):
        raise ValueError(f"parts must be strictly between 0 and 1, got {list(parts)}. The whole is always certified.")
    source, out = load_data(data), options.pop("out", None)
    whole = certify(model, source, prior=prior, seed=seed, out=out, **options)
    divided = ("prior", "bound") if prior == "learnt" else ("bound",)
    order = {
        role: np.random.default_rng(seed).permutation(whole.sample.indices(role)) if role in divided else None
        for role in whole.sample.roles
    }
    certificates = []
    for part in sorted(set(parts)):
        roles = {
            role: whole.sample.indices(role) if shuffled is None else shuffled[: max(1, round(part * len(shuffled)))]
            for role, shuffled in order.items()
        }
        folder = None if out is None else Path(out) / f"part-{part:g}"
        certificates.append(certify(model, source, prior=prior, seed=seed, out=folder, **{**options, "roles": roles}))
    return [*certificates, whole]
