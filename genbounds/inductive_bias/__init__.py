"""How much information generalising takes beyond the data: exact where it can be known, and estimated where not."""

from genbounds.lazy import lazy

_HOME: dict[str, str] = {
    "GaussianHypotheses": "gaussian",
    "MeasuredDifficulty": "difficulty.data",
    "NetworkPrior": "networks",
    "TaskDifficulty": "difficulty.formula",
    "class_separation": "difficulty.separation",
    "classification_difficulty": "difficulty.tasks",
    "control_difficulty": "difficulty.tasks",
    "convolutional_kernel": "network_kernels",
    "extrapolated_separation": "difficulty.separation",
    "few_shot_difficulty": "difficulty.tasks",
    "kernel_hypotheses": "gaussian_spaces",
    "lempel_ziv_bits": "simplicity.lempel_ziv",
    "lempel_ziv_words": "simplicity.lempel_ziv",
    "linear_hypotheses": "gaussian_spaces",
    "linear_kernel": "kernels",
    "maximum_likelihood_dimension": "difficulty.dimension",
    "mean_local_dimension": "difficulty.dimension",
    "nearest_neighbours": "difficulty.neighbours",
    "network_kernel": "network_kernels",
    "polynomial_kernel": "kernels",
    "population_hypotheses": "gaussian_spaces",
    "rbf_kernel": "kernels",
    "tangent_kernel": "network_kernels",
    "task_difficulty": "difficulty.data",
    "two_nearest_neighbours": "difficulty.dimension",
}

__all__ = sorted(_HOME)
__getattr__, __dir__ = lazy(__name__, _HOME)
