r"""The kernel of a mixture whose gates are fixed, from the kernels of its experts.

A mixture F(x) = sum_j g_j(x) f_j(x) with independent experts, of kernels K_j, and fixed gates has the kernel
Theta(x, x') = sum_j g_j(x) g_j(x') K_j(x, x') [LiFanZhou2025]_: on n inputs the sum of the products, entry by entry, of
g_j g_j^T and K_j, which is positive semidefinite if every K_j is (Schur's product theorem). In particular

* equal kernels K give (G G^T) o K, equal gates of K experts Theta = K / (number of experts);
* gates of 0 and 1 that choose one expert leave the entries between inputs of the same expert: blocks.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genbounds.numerics.checks import finite
from genbounds.pathways.routing import RoutedLayer

__all__ = ["routing_kernel"]


def routing_kernel(gates: RoutedLayer | ArrayLike, kernels: ArrayLike) -> NDArray[np.float64]:
    """Return the kernel of a mixture with fixed gates.

    Parameters
    ----------
    gates : RoutedLayer or array_like, shape (n, K)
        Gate of each expert for each input; of a layer, the mean gates of each sample.
    kernels : array_like, shape (n, n) or (K, n, n)
        Kernel of all experts, or of each, on the inputs: such as `genbounds.inductive_bias.tangent_kernel` for wide
        networks.

    Returns
    -------
    ndarray, shape (n, n)
        Theta, in the units of the kernels.

    Raises
    ------
    ValueError
        If shapes do not fit or a number is not finite.

    Examples
    --------
    >>> routing_kernel([[1, 0], [1, 0], [0, 1]], np.full((3, 3), 2.0)).tolist()
    [[2.0, 2.0, 0.0], [2.0, 2.0, 0.0], [0.0, 0.0, 2.0]]
    """
    shares = finite("gates", gates.mean_gates if isinstance(gates, RoutedLayer) else gates)
    parts = finite("kernels", kernels)
    n, experts = shares.shape if shares.ndim == 2 else (0, 0)
    if not n or parts.shape not in ((n, n), (experts, n, n)):
        raise ValueError(
            f"kernels must be of shape (n, n) or (K, n, n) for gates of shape (n, K), got {parts.shape} for "
            f"{shares.shape}. Evaluate them on the same inputs."
        )
    if parts.ndim == 2:
        return shares @ shares.T * parts
    total = np.zeros((n, n))
    for share, part in zip(shares.T, parts, strict=True):
        total += np.outer(share, share) * part
    return total
