"""Ground floor: float64 formulas that everything else stands on, rounded outward where they enter a proof."""

from genbounds.numerics.betting import betting_grid, betting_upper
from genbounds.numerics.binary_kl import binary_kl, kl_lower, kl_upper
from genbounds.numerics.binomial import binomial_lower, binomial_upper, log_binomial_cdf
from genbounds.numerics.checks import (
    Float64,
    confidence,
    count,
    log_probability,
    nonnegative,
    positive,
    unit_interval,
)
from genbounds.numerics.gaussian_argmax import argmax_error, pairwise_error
from genbounds.numerics.gaussians import (
    kl_diagonal,
    kl_full,
    kl_isotropic,
    renyi_diagonal,
    renyi_full,
    wasserstein2_diagonal,
    wasserstein2_full,
)
from genbounds.numerics.log_ratio import log_ratio_diagonal
from genbounds.numerics.log_terms import log_kt, log_two_sqrt, log_xi, xi
from genbounds.numerics.low_rank import kl_low_rank
from genbounds.numerics.risk_pairs import (
    coin_bias_upper,
    jensen_shannon_upper,
    leave_one_out_upper,
    risk_pair_upper,
)
from genbounds.numerics.rounding import mean_up, round_down, round_up
from genbounds.numerics.transport import wasserstein1_normal

__all__ = [
    "Float64",
    "argmax_error",
    "betting_grid",
    "betting_upper",
    "binary_kl",
    "binomial_lower",
    "binomial_upper",
    "coin_bias_upper",
    "confidence",
    "count",
    "jensen_shannon_upper",
    "kl_diagonal",
    "kl_full",
    "kl_isotropic",
    "kl_low_rank",
    "kl_lower",
    "kl_upper",
    "leave_one_out_upper",
    "log_binomial_cdf",
    "log_kt",
    "log_probability",
    "log_ratio_diagonal",
    "log_two_sqrt",
    "log_xi",
    "mean_up",
    "nonnegative",
    "pairwise_error",
    "positive",
    "renyi_diagonal",
    "renyi_full",
    "risk_pair_upper",
    "round_down",
    "round_up",
    "unit_interval",
    "wasserstein1_normal",
    "wasserstein2_diagonal",
    "wasserstein2_full",
    "xi",
]
