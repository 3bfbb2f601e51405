"""PAC-Bayes, holdout and Occam theorems, and what trains a posterior on them.

The theorems are numpy functions and imported at once; importing this package loads no torch.
"""

from genbounds.pac_bayes.gibbs import maurer, mcallester, quadratic, seeger_xi, thiemann, tolstikhin
from genbounds.pac_bayes.holdout import clopper_pearson, test_set_kl
from genbounds.pac_bayes.language_models import (
    subsampled_occam,
    subsampled_occam_hoeffding,
    token_level,
    token_level_kl,
)
from genbounds.pac_bayes.margins import neyshabur_spectral, spectral_complexity
from genbounds.pac_bayes.monte_carlo import monte_carlo_betting, monte_carlo_binomial, monte_carlo_kl
from genbounds.pac_bayes.occam import occam_binomial, occam_kl
from genbounds.pac_bayes.recursive import forward_backward, informed_excess, recursive_step
from genbounds.pac_bayes.tempered import catoni

__all__ = [
    "catoni",
    "clopper_pearson",
    "forward_backward",
    "informed_excess",
    "maurer",
    "mcallester",
    "monte_carlo_betting",
    "monte_carlo_binomial",
    "monte_carlo_kl",
    "neyshabur_spectral",
    "occam_binomial",
    "occam_kl",
    "quadratic",
    "recursive_step",
    "seeger_xi",
    "spectral_complexity",
    "subsampled_occam",
    "subsampled_occam_hoeffding",
    "test_set_kl",
    "thiemann",
    "token_level",
    "token_level_kl",
    "tolstikhin",
]
