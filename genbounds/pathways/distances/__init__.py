"""Distances between paths: edit distances by layers, of concatenated symbols and of published strings, and of sets."""
