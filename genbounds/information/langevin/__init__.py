"""Training with noise: an optimiser that injects it, a meter that follows a training and checks the noise."""
