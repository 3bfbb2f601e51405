"""What a theorem is here, what it assumes, and the catalogue of all of them."""

from genbounds.theorems.assumptions import Assumption
from genbounds.theorems.catalogue import catalogue, get
from genbounds.theorems.parameters import Fixed, Free, Grid, Parameter
from genbounds.theorems.theorem import KINDS, PREDICTORS, Limit, Theorem, theorem
from genbounds.theorems.tournament import Tournament, tournament

__all__ = [
    "KINDS",
    "PREDICTORS",
    "Assumption",
    "Fixed",
    "Free",
    "Grid",
    "Limit",
    "Parameter",
    "Theorem",
    "Tournament",
    "catalogue",
    "get",
    "theorem",
    "tournament",
]
