"""Subset simulation: independent runs of multilevel splitting with moves that keep the prior."""
