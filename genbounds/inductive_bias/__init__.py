"""How much information generalising takes beyond the data: exact where it can be known, and estimated where not."""

from genbounds.lazy import lazy

_HOME: dict[str, str] = {
    "Curvature": "volume.directions",
    "DirectionLaw": "volume.directions",
    "GaussianHypotheses": "gaussian",
    "InductiveBias": "chain_rule",
    "LocalVolume": "volume.local_volume",
    "MeasuredDifficulty": "difficulty.data",
    "NetworkPrior": "networks",
    "TaskDifficulty": "difficulty.formula",
    "chained": "chain_rule",
    "class_separation": "difficulty.separation",
    "classification_difficulty": "difficulty.tasks",
    "classification_information": "simplicity.evidence",
    "classification_limit": "simplicity.evidence",
    "control_difficulty": "difficulty.tasks",
    "convolutional_kernel": "network_kernels",
    "cost_curvature": "volume.curvature",
    "extrapolated_separation": "difficulty.separation",
    "few_shot_difficulty": "difficulty.tasks",
    "kernel_hypotheses": "gaussian_spaces",
    "lempel_ziv_bits": "simplicity.lempel_ziv",
    "lempel_ziv_words": "simplicity.lempel_ziv",
    "linear_hypotheses": "gaussian_spaces",
    "linear_kernel": "kernels",
    "local_volume": "volume.local_volume",
    "maximum_likelihood_dimension": "difficulty.dimension",
    "mean_local_dimension": "difficulty.dimension",
    "nearest_neighbours": "difficulty.neighbours",
    "network_kernel": "network_kernels",
    "polynomial_kernel": "kernels",
    "population_hypotheses": "gaussian_spaces",
    "posterior_directions": "volume.directions",
    "rbf_kernel": "kernels",
    "regression_log_evidence": "simplicity.evidence",
    "tangent_kernel": "network_kernels",
    "task_difficulty": "difficulty.data",
    "two_nearest_neighbours": "difficulty.dimension",
}

__all__ = sorted(_HOME)
__getattr__, __dir__ = lazy(__name__, _HOME)
