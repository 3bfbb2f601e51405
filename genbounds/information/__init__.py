"""Generalization bounds from information: mutual information, supersamples, noisy training, layers.

Theorem modules, estimators and the record of a supersample experiment import no torch. Modules that run networks are
imported by their own names: `supersamples`, `ensembles`, `langevin` and `representations`.
"""

from genbounds.information.boxes import box_limits
from genbounds.information.chaining import asadi
from genbounds.information.contraction import (
    channel_contraction,
    composed_contraction,
    dobrushin_coefficient,
    dropout_contraction,
    gaussian_input_contraction,
    gaussian_noise_contraction,
)
from genbounds.information.estimates import Estimate, UpperLimit
from genbounds.information.estimators import gaussian, miller_madow, plug_in
from genbounds.information.gibbs_algorithm import aminian, gibbs_gap, gibbs_gap_sub_gaussian
from genbounds.information.individual import (
    bu_zou_veeravalli,
    bu_zou_veeravalli_cgf,
    rodriguez_galvez_total_variation,
    rodriguez_galvez_wasserstein,
)
from genbounds.information.lautum import lautum_gap
from genbounds.information.layers import (
    contracted_gibbs,
    contracted_gibbs_labels,
    contracted_information,
    hierarchical_information,
    hierarchical_wasserstein,
)
from genbounds.information.leakage import esposito, issa, issa_average
from genbounds.information.limits import information_limits, mean_limit, population_gap_limit, population_risk_limit
from genbounds.information.masks import draw_masks
from genbounds.information.mutual_information import xu_raginsky, xu_raginsky_cgf, xu_raginsky_square, xu_raginsky_tail
from genbounds.information.nearest_neighbours import nearest_neighbours
from genbounds.information.paths import path_information
from genbounds.information.privacy import private_information, private_leakage
from genbounds.information.records import Supersamples
from genbounds.information.slicing import nadjahi, nadjahi_distortion, quantised_information
from genbounds.information.trajectories import haghifam, li_luo_qiao, negrea, pensia, wang_gao_calmon
from genbounds.information.virtual_noise import neu, wang_mao

__all__ = [
    "Estimate",
    "Supersamples",
    "UpperLimit",
    "aminian",
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
    "draw_masks",
    "dropout_contraction",
    "esposito",
    "gaussian",
    "gaussian_input_contraction",
    "gaussian_noise_contraction",
    "gibbs_gap",
    "gibbs_gap_sub_gaussian",
    "haghifam",
    "hierarchical_information",
    "hierarchical_wasserstein",
    "information_limits",
    "issa",
    "issa_average",
    "lautum_gap",
    "li_luo_qiao",
    "mean_limit",
    "miller_madow",
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
    "wang_gao_calmon",
    "wang_mao",
    "xu_raginsky",
    "xu_raginsky_cgf",
    "xu_raginsky_square",
    "xu_raginsky_tail",
]
