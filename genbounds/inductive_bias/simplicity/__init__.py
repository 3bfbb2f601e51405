"""Simplicity: how complex a function is, how likely random networks compute it or Gaussian processes fit the data."""
