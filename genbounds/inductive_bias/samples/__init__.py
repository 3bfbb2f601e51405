"""Hypothesis spaces that are known by samples: networks trained from random weights, and draws from a posterior."""
