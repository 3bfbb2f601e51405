"""Gradients of one parameter at many examples, in the form they are made of, never written out at once."""
