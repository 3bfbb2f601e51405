"""Volume around a trained network: local volume, local learning coefficient, Laplace evidence."""
