"""Whether a measure predicts generalization: rank statistics over many trained networks, their controls and nulls."""
