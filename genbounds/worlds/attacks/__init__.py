"""Attacks on theorems, one module for each family of bounds."""

from genbounds.worlds.attacks import draws, gibbs, language_models, margins, recursive, single_predictor
from genbounds.worlds.attacks.registry import WORLDS, attacks

__all__ = ["WORLDS", "attacks", "draws", "gibbs", "language_models", "margins", "recursive", "single_predictor"]
