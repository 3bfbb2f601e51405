"""Masking as augmentation on the cube: the kernel that it makes, its eigenvalues and its complexity, exactly."""

from dataclasses import dataclass
from itertools import product
from math import comb

import numpy as np
from numpy.typing import NDArray

from genbounds.numerics.checks import count, unit_interval

__all__ = ["MaskedCube"]


@dataclass(frozen=True)
class MaskedCube:
    """Uniform inputs in {-1, 1}^d of which an augmentation a hides some coordinates [ZhaiEtAl2024]_.

    K(x, y) = sum_a p(a | x) p(a | y) / p(a) is the kernel of self-supervised learning with that augmentation; its
    eigenfunctions are the parities of sets S of coordinates, its eigenvalues the probabilities that a set is seen, and
    sup_x K(x, x) is the augmentation's complexity: what generalisation is paid in.

    Parameters
    ----------
    dimension : int
        d.
    hidden : float
        Share of hidden coordinates, in [0, 1].
    block : bool
        Hide a whole block of hidden * d neighbours, at a place drawn uniformly on the circle, instead of every
        coordinate by itself with probability `hidden`.

    Examples
    --------
    >>> round(MaskedCube(10, 0.5, block=False).complexity, 2), MaskedCube(10, 0.5, block=True).complexity
    (57.67, 32.0)
    """

    dimension: int
    hidden: float
    block: bool = False

    def __post_init__(self) -> None:
        count("dimension", self.dimension)
        unit_interval("hidden", self.hidden)
        whole = self.hidden * self.dimension
        if self.block and abs(whole - round(whole)) > 1e-9:
            raise ValueError(f"hidden must be a whole number of {self.dimension} coordinates, got {whole}. Round it.")

    @property
    def visible(self) -> int:
        """Return the number of coordinates that a block leaves.

        Returns
        -------
        int
            (1 - hidden) d, rounded.
        """
        return self.dimension - round(self.hidden * self.dimension)

    @property
    def complexity(self) -> float:
        """Return sup_x K(x, x), the sum of the eigenvalues.

        Returns
        -------
        float
            (2 - hidden)^d, or 2^((1 - hidden) d) for a block: hiding the same share in one piece is simpler.
        """
        return 2.0**self.visible if self.block else (2 - self.hidden) ** self.dimension

    def eigenvalue(self, *coordinates: int) -> float:
        """Return the eigenvalue of the parity of some coordinates.

        Parameters
        ----------
        *coordinates : int
            The set S, from 0 to d - 1; none for the constant function.

        Returns
        -------
        float
            P(S is seen): (1 - hidden)^|S|, or the share of places at which the block misses S.
        """
        chosen = set(coordinates)
        if not self.block:
            return float((1 - self.hidden) ** len(chosen))
        d, size = self.dimension, self.dimension - self.visible
        missed = sum(not chosen & {(place + k) % d for k in range(size)} for place in range(d))
        return missed / d

    def spectrum(self) -> NDArray[np.float64]:
        """Return all 2^d eigenvalues, the largest first; at most 2^16 of them are written out.

        Returns
        -------
        ndarray, shape (2^d,)
            With their multiplicities.

        Raises
        ------
        ValueError
            If d is above 16.
        """
        if self.dimension > 16:
            raise ValueError(f"dimension must be at most 16 for a whole spectrum, got {self.dimension}. Ask for sets.")
        if not self.block:
            sizes = np.arange(self.dimension + 1)
            times = [comb(self.dimension, int(size)) for size in sizes]
            return np.repeat((1 - self.hidden) ** sizes, times)
        sets = product((False, True), repeat=self.dimension)
        values = [self.eigenvalue(*(k for k, held in enumerate(chosen) if held)) for chosen in sets]
        return np.sort(values)[::-1]
