"""Generalization bounds from information: mutual information, supersamples, noisy training, layers.

The modules of this folder hold theorems, but for `bayes_mixture`, which runs a network, and `weights`, which samples.
Four folders measure:

* `estimation`: estimates, exact upper limits, and the family of bounds of a supersample experiment;
* `supersamples`: that experiment;
* `langevin`: an optimiser with noise and a meter for it;
* `representations`: a checkpoint layer by layer.

Nothing that this module imports needs torch. `bayes_mixture`, `weights`, `supersamples.experiment`,
`langevin.optimiser`, `langevin.meter` and `representations.funnels` do: import them by their names.
"""

from genbounds.information.almost_exchangeable import almost_exchangeable
from genbounds.information.averaged import (
    hellstrom_durisi_averaged,
    wang_mao_differences_averaged,
    wang_mao_single_loss,
)
from genbounds.information.averaged_rates import (
    dong,
    hellstrom_durisi_kl_averaged,
    sharp_ld_mi,
    wang_mao_closed,
    wang_mao_fast,
    wang_mao_interpolation,
)
from genbounds.information.chaining import asadi
from genbounds.information.conditional import (
    steinke_zakynthinou,
    steinke_zakynthinou_interpolation,
    steinke_zakynthinou_linear,
    steinke_zakynthinou_squared,
    steinke_zakynthinou_unbounded,
)
from genbounds.information.contraction import (
    channel_contraction,
    composed_contraction,
    dobrushin_coefficient,
    dropout_contraction,
    gaussian_input_contraction,
    gaussian_noise_contraction,
)
from genbounds.information.estimation.boxes import box_limits
from genbounds.information.estimation.estimators import gaussian, miller_madow, plug_in
from genbounds.information.estimation.families import Family, Growth, Row
from genbounds.information.estimation.family import applicable, family
from genbounds.information.estimation.limits import (
    information_limits,
    mean_limit,
    population_gap_limit,
    population_risk_limit,
)
from genbounds.information.estimation.nearest_neighbours import nearest_neighbours
from genbounds.information.f_information import (
    wang_mao_chi_squared,
    wang_mao_hellinger,
    wang_mao_jensen_shannon,
    wang_mao_variance,
)
from genbounds.information.fast_rates import hellstrom_durisi_kl, hellstrom_durisi_linear, sharp_ld_cmi
from genbounds.information.gibbs_algorithm import aminian, gibbs_gap, gibbs_gap_sub_gaussian
from genbounds.information.individual import (
    bu_zou_veeravalli,
    bu_zou_veeravalli_cgf,
    rodriguez_galvez_total_variation,
    rodriguez_galvez_wasserstein,
)
from genbounds.information.langevin.trajectory_records import TrajectoryRecord, trajectory_estimates, trajectory_table
from genbounds.information.lautum import lautum_gap
from genbounds.information.layers import (
    contracted_gibbs,
    contracted_gibbs_labels,
    contracted_information,
    hierarchical_information,
    hierarchical_wasserstein,
)
from genbounds.information.leakage import esposito, issa, issa_average
from genbounds.information.leave_one_out import haghifam_leave_one_out, sharp_leave_one_out
from genbounds.information.mutual_information import xu_raginsky, xu_raginsky_cgf, xu_raginsky_square, xu_raginsky_tail
from genbounds.information.paths import path_information
from genbounds.information.privacy import private_information, private_leakage
from genbounds.information.samplewise import haghifam_individual, harutyunyan, hellstrom_durisi, wang_mao_differences
from genbounds.information.slicing import nadjahi, nadjahi_distortion, quantised_information
from genbounds.information.supersamples.masks import draw_masks
from genbounds.information.supersamples.records import Supersamples
from genbounds.information.trajectories import haghifam_langevin, li_luo_qiao, negrea, pensia, wang_gao_calmon
from genbounds.information.universality import feder_ball, feder_cells, mixture_log_loss, mixture_regret
from genbounds.information.virtual_noise import neu, wang_mao_descent
from genbounds.numerics.estimates import Estimate, UpperLimit

__all__ = [
    "Estimate",
    "Family",
    "Growth",
    "Row",
    "Supersamples",
    "TrajectoryRecord",
    "UpperLimit",
    "almost_exchangeable",
    "aminian",
    "applicable",
    "asadi",
    "box_limits",
    "bu_zou_veeravalli",
    "bu_zou_veeravalli_cgf",
    "channel_contraction",
    "composed_contraction",
    "contracted_gibbs",
    "contracted_gibbs_labels",
    "contracted_information",
    "dobrushin_coefficient",
    "dong",
    "draw_masks",
    "dropout_contraction",
    "esposito",
    "family",
    "feder_ball",
    "feder_cells",
    "gaussian",
    "gaussian_input_contraction",
    "gaussian_noise_contraction",
    "gibbs_gap",
    "gibbs_gap_sub_gaussian",
    "haghifam_individual",
    "haghifam_langevin",
    "haghifam_leave_one_out",
    "harutyunyan",
    "hellstrom_durisi",
    "hellstrom_durisi_averaged",
    "hellstrom_durisi_kl",
    "hellstrom_durisi_kl_averaged",
    "hellstrom_durisi_linear",
    "hierarchical_information",
    "hierarchical_wasserstein",
    "information_limits",
    "issa",
    "issa_average",
    "lautum_gap",
    "li_luo_qiao",
    "mean_limit",
    "miller_madow",
    "mixture_log_loss",
    "mixture_regret",
    "nadjahi",
    "nadjahi_distortion",
    "nearest_neighbours",
    "negrea",
    "neu",
    "path_information",
    "pensia",
    "plug_in",
    "population_gap_limit",
    "population_risk_limit",
    "private_information",
    "private_leakage",
    "quantised_information",
    "rodriguez_galvez_total_variation",
    "rodriguez_galvez_wasserstein",
    "sharp_ld_cmi",
    "sharp_ld_mi",
    "sharp_leave_one_out",
    "steinke_zakynthinou",
    "steinke_zakynthinou_interpolation",
    "steinke_zakynthinou_linear",
    "steinke_zakynthinou_squared",
    "steinke_zakynthinou_unbounded",
    "trajectory_estimates",
    "trajectory_table",
    "wang_gao_calmon",
    "wang_mao_chi_squared",
    "wang_mao_closed",
    "wang_mao_descent",
    "wang_mao_differences",
    "wang_mao_differences_averaged",
    "wang_mao_fast",
    "wang_mao_hellinger",
    "wang_mao_interpolation",
    "wang_mao_jensen_shannon",
    "wang_mao_single_loss",
    "wang_mao_variance",
    "xu_raginsky",
    "xu_raginsky_cgf",
    "xu_raginsky_square",
    "xu_raginsky_tail",
]
