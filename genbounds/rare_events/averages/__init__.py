"""Averages of few and heavy terms: their logarithm with an interval, and lower limits that hold for any law."""
