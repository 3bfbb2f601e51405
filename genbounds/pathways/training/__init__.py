"""Pathways along a training: correlations with accuracy, the series of checkpoints, a monitor for any loop."""
