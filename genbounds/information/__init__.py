"""Generalization bounds from information: mutual information, supersamples, noisy training, layers.

Theorem modules and estimators import no torch. Three modules run networks: `supersamples`, `langevin` and
`representations`; they are imported by their own names.
"""

__all__: list[str] = []
