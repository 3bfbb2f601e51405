"""The scale of a data-free prior: a grid fixed before the sample, its union paid, spaced so that it costs least."""

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["scale_grid", "snap"]


def scale_grid(parameters: int, smallest: float = 1e-3, largest: float = 1.0) -> NDArray[np.float64]:
    r"""Return the grid of prior standard deviations whose total cost in nats is least.

    For a posterior with d parameters the best isotropic prior variance is v* = (tr Sigma_Q + |mu_Q - mu_P|^2) / d. A
    prior with ln v = ln v* + t costs (d/2)(e^-t - 1 + t) = d t^2 / 4 + O(t^3) nats more. On a grid with step h
    in ln v the nearest point is at most h/2 away: at worst d h^2 / 16 nats, while K = R/h + 1 points over a range R of
    ln v cost ln K nats. The sum d h^2 / 16 + ln(R / h) is least at h = sqrt(8 / d), where snapping costs at
    most half a nat.

    Parameters
    ----------
    parameters : int
        d, at least 1.
    smallest, largest : float
        Range of standard deviations, 0 < smallest < largest.

    Returns
    -------
    ndarray, shape (K,)
        Standard deviations, increasing, geometric, including both ends.

    Raises
    ------
    ValueError
        If the range or the number of parameters is impossible.
    """
    if parameters < 1:
        raise ValueError(f"parameters must be at least 1, got {parameters}. Count the random weights.")
    if not 0 < smallest < largest < math.inf:
        raise ValueError(f"smallest and largest must satisfy 0 < smallest < largest, got {smallest} and {largest}.")
    span = 2 * math.log(largest / smallest)
    count = max(2, math.ceil(span / math.sqrt(8 / parameters)) + 1)
    return np.geomspace(smallest, largest, count)


def snap(variance: float, grid: NDArray[np.float64]) -> tuple[float, float]:
    """Return the neighbours in `grid` of the standard deviation whose square is `variance`.

    Parameters
    ----------
    variance : float
        Wanted prior variance.
    grid : ndarray
        Standard deviations, increasing.

    Returns
    -------
    tuple of float
        The grid points below and above (the same one twice beyond the ends); the better is decided by the
        KL itself.
    """
    above = int(np.searchsorted(grid, math.sqrt(variance)))
    return float(grid[max(above - 1, 0)]), float(grid[min(above, len(grid) - 1)])
