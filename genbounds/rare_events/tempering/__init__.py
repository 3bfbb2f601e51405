"""Annealed importance sampling: populations moved along a path of temperatures."""
