"""What comparing a spectrum with that of permuted entries gives."""

from dataclasses import dataclass

__all__ = ["ShuffledSpectrum"]


@dataclass(frozen=True)
class ShuffledSpectrum:
    """Eigenvalues of W^T W after permuting the entries of W, over several permutations.

    Attributes
    ----------
    largest, largest_spread : float
        Mean and standard deviation of the largest eigenvalue. One far above the Marchenko-Pastur edge says that few
        entries are huge, not that they stand in an order.
    distance, distance_spread : float
        Mean and standard deviation of Wasserstein's distance between the eigenvalues of W and the permuted ones, over
        their mean, which permuting keeps: 0 for no order at all, no bins, no units.
    """

    largest: float
    largest_spread: float
    distance: float
    distance_spread: float
