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
from genbounds.pac_bayes.majority_vote import c_bound, first_order, tandem
from genbounds.pac_bayes.margins import bartlett_spectral, golowich_frobenius, neyshabur_spectral, spectral_complexity
from genbounds.pac_bayes.monte_carlo import monte_carlo_betting, monte_carlo_binomial, monte_carlo_kl
from genbounds.pac_bayes.occam import occam_binomial, occam_kl
from genbounds.pac_bayes.realisable import realisable, realisable_draw, realisable_from_curve
from genbounds.pac_bayes.recursive import forward_backward, informed_excess, recursive_step
from genbounds.pac_bayes.single_draw import blanchard_fleuret, catoni_single_draw, rivasplata, viallard
from genbounds.pac_bayes.split_kl import split_kl, split_kl_discrete
from genbounds.pac_bayes.tempered import catoni
from genbounds.pac_bayes.time_uniform import coin_betting, coin_betting_kl, time_uniform_hoeffding
from genbounds.pac_bayes.variance import tolstikhin_seldin, unexpected_bernstein, unexpected_bernstein_grid

__all__ = [
    "bartlett_spectral",
    "blanchard_fleuret",
    "c_bound",
    "catoni",
    "catoni_single_draw",
    "clopper_pearson",
    "coin_betting",
    "coin_betting_kl",
    "first_order",
    "forward_backward",
    "golowich_frobenius",
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
    "realisable",
    "realisable_draw",
    "realisable_from_curve",
    "recursive_step",
    "rivasplata",
    "seeger_xi",
    "spectral_complexity",
    "split_kl",
    "split_kl_discrete",
    "subsampled_occam",
    "subsampled_occam_hoeffding",
    "tandem",
    "test_set_kl",
    "thiemann",
    "time_uniform_hoeffding",
    "token_level",
    "token_level_kl",
    "tolstikhin",
    "tolstikhin_seldin",
    "unexpected_bernstein",
    "unexpected_bernstein_grid",
    "viallard",
]
