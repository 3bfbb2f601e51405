"""Attacks on theorems, one module for each family of bounds."""

from genbounds.worlds.attacks import (
    algorithms,
    draws,
    gibbs,
    language_models,
    majority_vote,
    margins,
    realisable,
    recursive,
    single_draw,
    single_predictor,
    split_kl,
    supersamples,
    time_uniform,
    variance,
)
from genbounds.worlds.attacks.registry import WORLDS, attacks

__all__ = [
    "WORLDS",
    "algorithms",
    "attacks",
    "draws",
    "gibbs",
    "language_models",
    "majority_vote",
    "margins",
    "realisable",
    "recursive",
    "single_draw",
    "single_predictor",
    "split_kl",
    "supersamples",
    "time_uniform",
    "variance",
]
