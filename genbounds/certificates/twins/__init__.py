"""The twin of every theorem: the same inequality a second time, in ball arithmetic.

Nothing here is shared with `genbounds.numerics`. A twin takes the printed value and the theorem's inputs as balls and
returns a ball around the *excess*: a real number that is at least 0 if and only if the value is at least the
theorem's bound. Where the bound is the inverse of a function, the function is evaluated at the value and nothing
is inverted. Values of 1 and more (or the highest of a loss's levels) never get here: no average of losses is larger.
"""

from genbounds.certificates.twins import (
    deterministic,
    gibbs,
    information,
    language_models,
    majority_vote,
    margins,
    monte_carlo,
    realisable,
    recursive,
    single_draw,
    split_kl,
    time_uniform,
    variance,
)
from genbounds.certificates.twins.registry import TWINS, twin

__all__ = [
    "TWINS",
    "deterministic",
    "gibbs",
    "information",
    "language_models",
    "majority_vote",
    "margins",
    "monte_carlo",
    "realisable",
    "recursive",
    "single_draw",
    "split_kl",
    "time_uniform",
    "twin",
    "variance",
]
