"""Where twins are entered, and what several of them need."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from genbounds.certificates.errors import CertificateError

if TYPE_CHECKING:
    from flint import arb

__all__ = ["TWINS", "binomial", "kl", "kl_inverse", "kl_upper", "log_xi", "on_grid", "twin"]

#: From a theorem's name to its twin.
TWINS: dict[str, Callable[..., "arb"]] = {}


def twin(theorem: str) -> Callable[[Callable[..., "arb"]], Callable[..., "arb"]]:
    """Enter a function into `TWINS`.

    Parameters
    ----------
    theorem : str
        Name of the theorem in the catalogue.

    Returns
    -------
    callable
        A decorator that returns the function unchanged.
    """

    def enter(function: Callable[..., "arb"]) -> Callable[..., "arb"]:
        TWINS[theorem] = function
        return function

    return enter


def kl(q: "arb", p: "arb") -> "arb":
    """Return the relative entropy between coins; 0 ln 0 = 0.

    Parameters
    ----------
    q, p : arb
        Probabilities, p strictly between 0 and 1.

    Returns
    -------
    arb
        kl(q || p) in nats.
    """
    errs = q * (q / p).log() if q > 0 else q * 0
    spares = (1 - q) * ((1 - q) / (1 - p)).log() if q < 1 else q * 0
    return errs + spares


def kl_inverse(value: "arb", risk: "arb", c: "arb") -> "arb":
    """Return the excess of `value` over kl+(risk, c): above `risk`, kl(risk || value) - c has its sign.

    Parameters
    ----------
    value : arb
        What is claimed to be at least kl+(risk, c), below 1.
    risk : arb
        In [0, 1].
    c : arb
        Budget in nats.

    Returns
    -------
    arb
        At least 0 if and only if the value is at least the inverse.
    """
    if value < risk or risk >= 1:
        return value - 1
    return kl(risk, value) - c


def kl_upper(q: "arb", c: "arb") -> "arb":
    """Return a ball around kl+(q, c), for bounds that are sums of inverses.

    Parameters
    ----------
    q : arb
        In [0, 1].
    c : arb
        Budget in nats, at least 0.

    Returns
    -------
    arb
        Cut until the working precision, or the radius of q or c, leaves a place undecided.
    """
    low, high = q.upper() * 1, q * 0 + 1
    if q >= 1 or q.contains(1):
        return q.union(high)
    while True:
        # Not in halves: an inverse such as 1/2 is never decided at itself, and would be met at once.
        middle = ((6 * low + 5 * high) / 11).mid()
        if not low < middle < high:
            break
        excess = kl(q, middle) - c
        if excess > 0:
            high = middle
        elif excess < 0:
            low = middle
        else:
            break
    return q.union(low).union(high) if low <= q.upper() else low.union(high)


def log_xi(n: "arb") -> "arb":
    """Return ln xi(n), the constant of the PAC-Bayes-kl theorem.

    Parameters
    ----------
    n : arb
        A whole number, at least 1.

    Returns
    -------
    arb
        In nats.
    """
    # Expanding the incomplete gamma function, e^n n^-n Gamma(n + 1, n) = sum_k n! / ((n - k)! n^k), which equals
    # xi(n); the logarithm is taken before the huge factors meet.
    return n.gamma_upper(n + 1).log() + n - n * n.log()


def binomial(value: "arb", errors: "arb", n: "arb", log_level: "arb") -> "arb":
    """Return the excess of `value` over max{p : P[Bin(n, p) <= errors] >= level}: where the tail is below the level.

    Parameters
    ----------
    value : arb
        What is claimed to be at least the maximum, below 1.
    errors, n : arb
        Whole numbers.
    log_level : arb
        Logarithm of the level, at most 0.

    Returns
    -------
    arb
        At least 0 if and only if the value is at least the maximum.

    Raises
    ------
    CertificateError
        If there are more errors than trials.
    """
    if errors > n:
        raise CertificateError("inputs.errors", "must be at most the number of trials.")
    if errors == n:
        return value - 1
    if value <= 0:
        return value - 1
    return log_level.exp() - (1 - value).beta_lower(n - errors, errors + 1, regularized=True)


def on_grid(parameter: Any, excess: Callable[["arb", "arb"], "arb"]) -> "arb":
    """Return the excess of a value over the smallest bound on a grid, or over that at one fixed parameter.

    Parameters
    ----------
    parameter : arb or list of tuple of arb
        The fixed value, or (candidate, share of delta) pairs.
    excess : callable
        From a candidate and its share to the excess over its bound.

    Returns
    -------
    arb
        The largest excess.
    """
    if not isinstance(parameter, list):
        return excess(parameter, parameter * 0 + 1)
    best, *rest = (excess(candidate, share) for candidate, share in parameter)
    for other in rest:
        best = best.max(other)
    return best
