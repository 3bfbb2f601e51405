"""Coherence along training: a monitor for any loop, series of checkpoints, the stability diagnostic."""
