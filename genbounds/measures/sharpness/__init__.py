"""Sharpness: how the loss of a network changes when its weights are moved."""
