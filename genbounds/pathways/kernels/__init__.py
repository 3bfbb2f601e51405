"""Kernels of mixtures whose gates are fixed: how many directions they have, and what ridge regression risks by them."""
