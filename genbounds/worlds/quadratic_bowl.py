"""Distance from the start in a plain bowl, whose curvatures are spread over many scales."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genbounds.numerics.checks import count, nonnegative, positive

__all__ = ["QuadraticBowl"]


@dataclass(frozen=True)
class QuadraticBowl:
    """Gradient flow on sum_i h_i w_i^2 / 2, with curvatures h_i evenly spaced in their logarithm.

    The start is a_i in proportion to sqrt(1 + ln(h_1 / h_i)): farther from the minimum where the bowl is flatter. Each
    coordinate moves by a_i (1 - exp(-h_i t)): when t has passed 1 / h_i, and not before. At time t those with h_i above
    1 / t have moved; their number grows like ln t and so do their squares, so that the distance is linear in ln t: the
    law that was taken for the mark of a rugged landscape [HofferEtAl2017]_, with nothing rugged in it.

    Parameters
    ----------
    largest, smallest : float
        Ends of the curvatures, positive.
    coordinates : int
        How many, at least 2.

    Examples
    --------
    >>> bowl = QuadraticBowl(1.0, 1e-6, 200)
    >>> far = bowl.distance([10.0, 1e5])
    >>> bool(far[1] > far[0])
    True
    """

    largest: float
    smallest: float
    coordinates: int

    def __post_init__(self) -> None:
        if not positive("largest", self.largest) > positive("smallest", self.smallest):
            raise ValueError(f"largest must exceed smallest, got {self.largest} and {self.smallest}. Swap them.")
        count("coordinates", self.coordinates, minimum=2)

    @property
    def curvatures(self) -> NDArray[np.float64]:
        """Return the curvatures, the largest first.

        Returns
        -------
        ndarray, shape (coordinates,)
            Evenly spaced in their logarithm.
        """
        return np.geomspace(self.largest, self.smallest, self.coordinates)

    @property
    def start(self) -> NDArray[np.float64]:
        """Return the start, of mean square 1.

        Returns
        -------
        ndarray, shape (coordinates,)
            Proportional to sqrt(1 + ln(h_1 / h_i)).
        """
        amplitudes = np.sqrt(1 + np.log(self.largest / self.curvatures))
        return np.asarray(amplitudes / np.sqrt(np.mean(amplitudes**2)))

    def distance(self, time: ArrayLike) -> NDArray[np.float64]:
        """Return the distance from the start.

        Parameters
        ----------
        time : array_like
            Times of the flow, at least 0.

        Returns
        -------
        ndarray
            sqrt(sum_i a_i^2 (1 - exp(-h_i t))^2).
        """
        t = nonnegative("time", time)[..., None]
        return np.asarray(np.linalg.norm(self.start * -np.expm1(-self.curvatures * t), axis=-1))
