"""How much information generalising takes beyond the data: exact where it can be known, and estimated where not."""

from genbounds.lazy import lazy

_HOME: dict[str, str] = {
    "GaussianHypotheses": "gaussian",
    "NetworkPrior": "networks",
    "convolutional_kernel": "network_kernels",
    "kernel_hypotheses": "gaussian_spaces",
    "lempel_ziv_bits": "simplicity.lempel_ziv",
    "lempel_ziv_words": "simplicity.lempel_ziv",
    "linear_hypotheses": "gaussian_spaces",
    "linear_kernel": "kernels",
    "network_kernel": "network_kernels",
    "polynomial_kernel": "kernels",
    "population_hypotheses": "gaussian_spaces",
    "rbf_kernel": "kernels",
    "tangent_kernel": "network_kernels",
}

__all__ = sorted(_HOME)
__getattr__, __dir__ = lazy(__name__, _HOME)
