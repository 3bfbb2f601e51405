"""Spectra of weight matrices: laws of pure noise, and power laws of tails."""
