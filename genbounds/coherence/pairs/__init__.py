"""Pairs of examples: inner products of their gradients, and what is read from them."""
