"""The twin of every theorem: the same inequality a second time, in ball arithmetic.

Nothing here is shared with `genbounds.numerics`. A twin takes the printed value and the theorem's inputs as balls and
returns a ball around the *excess*: a real number that is at least 0 if and only if the value is at least the
theorem's bound. Where the bound is the inverse of a function, the function is evaluated at the value and nothing
is inverted. Values of 1 and more never get here: no average of losses in [0, 1] is larger.
"""

from collections.abc import Callable
from math import prod
from typing import TYPE_CHECKING, Any

from genbounds.certificates.errors import CertificateError

if TYPE_CHECKING:
    from flint import arb

__all__ = ["TWINS", "twin"]

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


def _kl(q: "arb", p: "arb") -> "arb":
    """Relative entropy between coins; 0 ln 0 = 0."""
    errs = q * (q / p).log() if q > 0 else q * 0
    spares = (1 - q) * ((1 - q) / (1 - p)).log() if q < 1 else q * 0
    return errs + spares


def _kl_inverse(value: "arb", risk: "arb", c: "arb") -> "arb":
    """Excess of `value` over kl+(risk, c): above `risk`, kl(risk || value) - c has its sign."""
    if value < risk or risk >= 1:
        return value - 1
    return _kl(risk, value) - c


def _binomial(value: "arb", errors: "arb", n: "arb", log_level: "arb") -> "arb":
    """Excess of `value` over max{p : P[Bin(n, p) <= errors] >= level}: where the tail is below the level."""
    if errors > n:
        raise CertificateError("inputs.errors", "must be at most the number of trials.")
    if errors == n:
        return value - 1
    if value <= 0:
        return value - 1
    return log_level.exp() - (1 - value).beta_lower(n - errors, errors + 1, regularized=True)


def _c(kl: "arb", n: "arb", delta: "arb") -> "arb":
    """Return the budget that five bounds share, (KL + ln(2 sqrt(n) / delta)) / n."""
    return (kl + (2 * n.sqrt() / delta).log()) / n


@twin("pac_bayes.maurer")
def _maurer(value: "arb", risk: "arb", kl: "arb", n: "arb", delta: "arb") -> "arb":
    return _kl_inverse(value, risk, _c(kl, n, delta))


@twin("pac_bayes.seeger_xi")
def _seeger_xi(value: "arb", risk: "arb", kl: "arb", n: "arb", delta: "arb") -> "arb":
    # Expanding the incomplete gamma function, e^n n^-n Gamma(n + 1, n) = sum_k n! / ((n - k)! n^k), which equals
    # xi(n); the logarithm is taken before the huge factors meet.
    log_xi = n.gamma_upper(n + 1).log() + n - n * n.log()
    return _kl_inverse(value, risk, (kl + log_xi - delta.log()) / n)


@twin("pac_bayes.mcallester")
def _mcallester(value: "arb", risk: "arb", kl: "arb", n: "arb", delta: "arb") -> "arb":
    return value - (risk + (_c(kl, n, delta) / 2).sqrt())


@twin("pac_bayes.quadratic")
def _quadratic(value: "arb", risk: "arb", kl: "arb", n: "arb", delta: "arb") -> "arb":
    half = _c(kl, n, delta) / 2
    return value - ((risk + half).sqrt() + half.sqrt()) ** 2


@twin("pac_bayes.tolstikhin")
def _tolstikhin(value: "arb", risk: "arb", kl: "arb", n: "arb", delta: "arb") -> "arb":
    c = _c(kl, n, delta)
    return value - (risk + (2 * risk * c).sqrt() + 2 * c)


@twin("pac_bayes.thiemann")
def _thiemann(value: "arb", risk: "arb", kl: "arb", n: "arb", delta: "arb", lam: "arb") -> "arb":
    return value - (risk + _c(kl, n, delta) / lam) / (1 - lam / 2)


@twin("pac_bayes.catoni")
def _catoni(value: "arb", risk: "arb", kl: "arb", n: "arb", delta: "arb", C: Any) -> "arb":
    def excess(c: "arb", share: "arb") -> "arb":
        exponent = c * risk + (kl - (delta * share).log()) / n
        return value - (-exponent).expm1() / (-c).expm1()

    if not isinstance(C, list):
        return excess(C, C * 0 + 1)
    # The smallest candidate is the bound, so the largest excess counts.
    best, *rest = (excess(c, share) for c, share in C)
    for other in rest:
        best = best.max(other)
    return best


@twin("pac_bayes.clopper_pearson")
def _clopper_pearson(value: "arb", errors: "arb", n: "arb", delta: "arb") -> "arb":
    return _binomial(value, errors, n, delta.log())


@twin("pac_bayes.test_set_kl")
def _test_set_kl(value: "arb", risk: "arb", n: "arb", delta: "arb") -> "arb":
    return _kl_inverse(value, risk, -delta.log() / n)


@twin("pac_bayes.occam_kl")
def _occam_kl(value: "arb", risk: "arb", code_length: "arb", n: "arb", delta: "arb") -> "arb":
    return _kl_inverse(value, risk, (code_length - delta.log()) / n)


@twin("pac_bayes.occam_binomial")
def _occam_binomial(value: "arb", errors: "arb", code_length: "arb", n: "arb", delta: "arb") -> "arb":
    return _binomial(value, errors, n, delta.log() - code_length)


@twin("pac_bayes.monte_carlo_binomial")
def _monte_carlo_binomial(value: "arb", errors: "arb", draws: "arb", delta: "arb") -> "arb":
    return _binomial(value, errors, draws, delta.log()).min(value * draws - (errors + 1))


@twin("pac_bayes.monte_carlo_kl")
def _monte_carlo_kl(value: "arb", risk: "arb", draws: "arb", delta: "arb") -> "arb":
    return _kl_inverse(value, risk, -delta.log() / draws)


@twin("pac_bayes.monte_carlo_betting")
def _monte_carlo_betting(value: "arb", values: list[tuple["arb", int]], delta: "arb") -> "arb":
    # The bets are 1, 1/2, 1/4, ..., the last one the first that is at most 1 / sqrt(m).
    m = sum(times for _, times in values)
    bets = [value * 0 + 1]
    while 4 ** (len(bets) - 1) < m:
        bets.append(bets[-1] / 2)
    odds = [((value - x) / (1 - value), times) for x, times in values]
    wealth = sum((prod((1 + bet * odd) ** times for odd, times in odds) for bet in bets), value * 0) / len(bets)
    return wealth - 1 / delta
