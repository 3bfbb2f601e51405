"""Generalization bounds from information: mutual information, supersamples, noisy training, layers.

Theorem modules and estimators import no torch. Three modules run networks: `supersamples`, `langevin` and
`representations`; they are imported by their own names.
"""

from genbounds.information.individual import (
    bu_zou_veeravalli,
    bu_zou_veeravalli_cgf,
    rodriguez_galvez_total_variation,
    rodriguez_galvez_wasserstein,
)
from genbounds.information.lautum import lautum_gap
from genbounds.information.leakage import esposito, issa, issa_average
from genbounds.information.mutual_information import xu_raginsky, xu_raginsky_cgf, xu_raginsky_square, xu_raginsky_tail
from genbounds.information.paths import path_information
from genbounds.information.privacy import private_information, private_leakage
from genbounds.information.trajectories import haghifam, li_luo_qiao, negrea, pensia, wang_gao_calmon
from genbounds.information.virtual_noise import neu, wang_mao

__all__ = [
    "bu_zou_veeravalli",
    "bu_zou_veeravalli_cgf",
    "esposito",
    "haghifam",
    "issa",
    "issa_average",
    "lautum_gap",
    "li_luo_qiao",
    "negrea",
    "neu",
    "path_information",
    "pensia",
    "private_information",
    "private_leakage",
    "rodriguez_galvez_total_variation",
    "rodriguez_galvez_wasserstein",
    "wang_gao_calmon",
    "wang_mao",
    "xu_raginsky",
    "xu_raginsky_cgf",
    "xu_raginsky_square",
    "xu_raginsky_tail",
]
