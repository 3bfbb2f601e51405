"""Modular addition learnt by a small mixture of experts: a task, a network and a training that groks, and its measures.

Power et al. (2022) saw networks fit the training pairs of an operation on remainders at once and the others much later.
`training` does it within a minute on one core for most seeds, `progress` and `fourier` hold the measures
of Nanda et al. (2023).
"""
