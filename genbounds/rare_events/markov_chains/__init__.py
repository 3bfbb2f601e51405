"""Chains that keep a law: Hamiltonian and Langevin moves, and what correlated draws are worth."""
