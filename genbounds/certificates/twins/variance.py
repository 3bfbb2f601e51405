"""Twins of the bounds that use a variance or a second moment."""

from itertools import count
from typing import TYPE_CHECKING, Any

from genbounds.certificates.errors import CertificateError
from genbounds.certificates.twins.registry import on_grid, twin

if TYPE_CHECKING:
    from flint import arb


@twin("pac_bayes.tolstikhin_seldin")
def _tolstikhin_seldin(value: "arb", risk: "arb", variance: "arb", kl: "arb", n: "arb", delta: "arb") -> "arb":
    if n < 2:
        raise CertificateError("inputs.n", "must be at least 2: a variance needs two examples.")
    one = value * 0 + 1
    step, log_inverse = one * 1.15, (2 / delta).log()

    def first_power(least: "arb") -> int:
        return next(k for k in count() if step**k >= least)

    size = 1 + first_power(((one.exp() - 2) * n / (4 * log_inverse)).sqrt())
    size_of_variances = first_power((1 + (1 + (n - 1) / log_inverse).sqrt()) / 2)
    bounded = one / 4
    for k in range(size_of_variances):
        u = step**-k
        exponent = (
            2 * u * variance.min(one / 2) + (kl + log_inverse + (one * size_of_variances).log()) / (n / 2).floor()
        )
        bounded = bounded.min((-exponent).expm1() / (2 * (-u).expm1()))
    cost = (kl + log_inverse + (one * size).log()) / n
    bound = one
    for k in range(size):
        u = step**-k
        bound = bound.min(risk + bounded * (u.expm1() - u) / u + cost / u)
    return value - bound


@twin("pac_bayes.unexpected_bernstein")
def _unexpected_bernstein(
    value: "arb", risk: "arb", second_moment: "arb", kl: "arb", n: "arb", delta: "arb", gamma: Any
) -> "arb":
    def excess(g: "arb", share: "arb") -> "arb":
        weight = -(-g).log1p() - g
        return value + (-g * risk - weight * second_moment - (kl - (delta * share).log()) / n).expm1() / g

    return on_grid(gamma, excess)
