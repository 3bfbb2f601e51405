"""Spaces of Gaussian functions: linear, kernels, infinitely wide networks, linearised checkpoints; all exact."""
