"""Gradients of the loss at every single example, exact, at about the price of one backward pass."""
