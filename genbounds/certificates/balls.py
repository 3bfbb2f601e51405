"""Ball arithmetic, to decide whether a printed value is provably at least what a theorem gives.

Floats are exact dyadic numbers, so an input enters as it stands in the certificate. A ball that contains 0 decides
nothing, and the precision is doubled until it does not.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from math import inf, isfinite
from typing import Any

from genbounds.certificates.claim import LISTS
from genbounds.certificates.errors import CertificateError, shown
from genbounds.certificates.twins import TWINS

__all__ = ["is_above", "slack"]

#: Bits to start with, and bits at which to give up (only a value equal to the bound gets there).
PRECISIONS = (128, 256, 512, 1024, 4096)


def _flint() -> Any:
    try:
        import flint
    except ImportError as error:
        raise ImportError("verifying needs the package python-flint. Run: pip install python-flint") from error
    return flint


def _whole(least: int) -> tuple[Callable[[float], bool], str]:
    # From 2^53 on a float does not count any more.
    return lambda x: least <= x < 2**53 and x == int(x), f"a whole number of at least {least} and below 2^53"


#: What each argument must be, by its name, which means the same in every theorem.
_RANGES: dict[str, tuple[Callable[[float], bool], str]] = {
    "risk": (lambda x: 0 <= x <= 1, "in [0, 1]"),
    "gibbs_risk": (lambda x: 0 <= x <= 1, "in [0, 1]"),
    "tandem_risk": (lambda x: 0 <= x <= 1, "in [0, 1]"),
    "agreement": (lambda x: 0 <= x <= 1, "in [0, 1]"),
    "subsample_risk": (lambda x: 0 <= x <= 1, "in [0, 1]"),
    "values": (lambda x: 0 <= x <= 1, "in [0, 1]"),
    "previous": (lambda x: 0 <= x <= 1, "in [0, 1]"),
    "reference": (lambda x: 0 <= x <= 1, "in [0, 1]"),
    "gamma": (lambda x: 0 <= x <= 1, "in [0, 1]"),
    "frequency_0": (lambda x: 0 <= x <= 1, "in [0, 1]"),
    "frequency_1": (lambda x: 0 <= x <= 1, "in [0, 1]"),
    "frequency_2": (lambda x: 0 <= x <= 1, "in [0, 1]"),
    "frequency_3": (lambda x: 0 <= x <= 1, "in [0, 1]"),
    "frequencies": (lambda x: 0 <= x <= 1, "in [0, 1]"),
    "variance": (lambda x: 0 <= x <= 1, "in [0, 1]"),
    "second_moment": (lambda x: 0 <= x <= 1, "in [0, 1]"),
    "excess_above": (lambda x: 0 <= x <= 1, "in [0, 1]"),
    "shortfall_below": (lambda x: 0 <= x <= 1, "in [0, 1]"),
    "mu": (lambda x: 0 < x < 1, "strictly between 0 and 1"),
    "weights": (lambda x: 0 < x < inf, "positive and finite"),
    "weight_sum": (lambda x: 0 < x < inf, "positive and finite"),
    "weight_squares": (lambda x: 0 < x < inf, "positive and finite"),
    "kl": (lambda x: x >= 0, "at least 0"),
    "kl_forward": (lambda x: x >= 0, "at least 0"),
    "kl_backward": (lambda x: x >= 0, "at least 0"),
    "code_length": (lambda x: x >= 0, "at least 0"),
    "renyi": (lambda x: x >= 0, "at least 0"),
    "mutual_information": (lambda x: x >= 0, "at least 0"),
    "leakage": (lambda x: x >= 0, "at least 0"),
    "information": (lambda x: x >= 0, "at least 0"),
    "train_risk": (lambda x: 0 <= x <= 1, "in [0, 1]"),
    "supersample_kl": (lambda x: x >= 0, "at least 0"),
    "sibson": (lambda x: x >= 0, "at least 0"),
    "alpha": (lambda x: 1 < x < inf, "above 1 and finite"),
    "delta": (lambda x: 0 < x < 1, "strictly between 0 and 1"),
    "margin_risk": (lambda x: 0 <= x <= 1, "in [0, 1]"),
    "spectral_norms": (lambda x: 0 < x < inf, "positive and finite"),
    "frobenius_norms": (lambda x: 0 < x < inf, "positive and finite"),
    "row_norm_sums": (lambda x: 0 < x < inf, "positive and finite"),
    "layer_norms": (lambda x: 0 < x < inf, "positive and finite"),
    "classes": _whole(2),
    "margin": (lambda x: 0 < x < inf, "positive and finite"),
    "input_norm": (lambda x: 0 < x < inf, "positive and finite"),
    "width": _whole(1),
    "lam": (lambda x: 0 < x < 2, "strictly between 0 and 2"),
    "C": (lambda x: x > 0, "positive"),
    "b": (lambda x: x > 0, "positive"),
    "n": _whole(1),
    "draws": _whole(1),
    "documents": _whole(1),
    "subsample": _whole(1),
    "tokens": _whole(1),
    "errors": _whole(0),
}


def _ball(arb: Any, name: str, value: Any) -> Any:
    holds, wanted = _RANGES.get(name, (isfinite, "a finite number"))
    if not isinstance(value, int | float) or not holds(value):
        raise CertificateError(f"inputs.{name}", f"must be {wanted}, got {shown(value)}.")
    return arb(value)


def _balls(arb: Any, name: str, value: Any) -> Any:
    """Turn an input into balls: one or a list; (value, how often) pairs for draws; (candidate, share) for a grid."""
    if name == "values" and isinstance(value, list):
        return [(_ball(arb, name, entry), times) for entry, times in Counter(value).items()]
    if name in LISTS and isinstance(value, list):
        return [_ball(arb, name, entry) for entry in value]
    if isinstance(value, Mapping) and "grid" in value:
        weights = [_ball(arb, "weights", weight) for weight in value["weights"]]
        total = sum(weights, arb(0))
        return [(_ball(arb, name, c), weight / total) for c, weight in zip(value["grid"], weights, strict=True)]
    return _ball(arb, name, value)


def is_above(theorem: str, inputs: Mapping[str, Any], value: float) -> bool | None:
    """Tell whether a value is provably at least what a theorem gives.

    Parameters
    ----------
    theorem : str
        Name in `TWINS`.
    inputs : mapping
        The theorem's arguments as in a `Claim`, references replaced by values.
    value : float
        Printed value.

    Returns
    -------
    bool or None
        True if it is at least the bound, False if it is below, None if 4096 bits did not decide.

    Raises
    ------
    CertificateError
        If an input is out of its range, or the theorem has no twin.
    ImportError
        If python-flint is not installed.
    """
    flint = _flint()
    if theorem not in TWINS:
        raise CertificateError(
            "theorem", f"{theorem} has no twin in ball arithmetic, so its values cannot be verified."
        )
    for precision in PRECISIONS:
        with flint.ctx.workprec(precision):
            balls = {name: _balls(flint.arb, name, given) for name, given in inputs.items()}
            if value >= max(inputs.get("levels", [1])):  # a bound on an average of losses in [0, 1], or of these levels
                return True
            excess = TWINS[theorem](flint.arb(value), **balls)
            if excess >= 0:
                return True
            if excess < 0:
                return False
    return None


def slack(theorem: str, inputs: Mapping[str, Any], value: float) -> float:
    """Tell by how much a value that is above the bound could be lowered.

    Parameters
    ----------
    theorem : str
        Name in `TWINS`.
    inputs : mapping
        As for `is_above`.
    value : float
        A printed value that is at least the bound.

    Returns
    -------
    float
        The smallest of 1e-12, 1e-9, 1e-6, 1e-3, 1e-2, 1e-1 such that the value lowered by this part of itself
        is not above the bound any more; 1 if there is none.
    """
    for part in (1e-12, 1e-9, 1e-6, 1e-3, 1e-2, 1e-1):
        if not is_above(theorem, inputs, value - part * abs(value)):
            return part
    return 1.0
