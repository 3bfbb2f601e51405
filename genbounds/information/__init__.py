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
from genbounds.information.mutual_information import xu_raginsky, xu_raginsky_cgf, xu_raginsky_square, xu_raginsky_tail

__all__ = [
    "bu_zou_veeravalli",
    "bu_zou_veeravalli_cgf",
    "lautum_gap",
    "rodriguez_galvez_total_variation",
    "rodriguez_galvez_wasserstein",
    "xu_raginsky",
    "xu_raginsky_cgf",
    "xu_raginsky_square",
    "xu_raginsky_tail",
]
