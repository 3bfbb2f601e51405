"""Where the cost first exceeds given levels along rays from a point: many rays and levels at once."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genbounds.inductive_bias.volume.curvature import NUMBERS

__all__ = ["costs_at", "exit_radii"]

#: A ray is followed outward in steps of this factor: narrower excursions above a level may be stepped over.
GROWTH = 2.0**0.25
_HALVINGS, _REFINEMENTS = 100, 200


def costs_at(
    cost: Callable[[Tensor], Tensor],
    anchor: Tensor,
    directions: Tensor,
    rays: NDArray[np.int64],
    radii: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Evaluate a cost at points on rays.

    Parameters
    ----------
    cost : callable
        Maps (m, D) to (m,).
    anchor : Tensor, shape (D,)
        Where rays begin; the cost is evaluated on its device and in its dtype.
    directions : Tensor, shape (n, D)
        Unit vectors, float64.
    rays, radii : ndarray, shape (m,)
        Ray of each point, by number, and its radius.

    Returns
    -------
    ndarray, shape (m,)
        Costs.

    Raises
    ------
    ValueError
        If a cost is NaN, or there is not one for each point.
    """
    found = [np.zeros(0)]
    rows = max(1, NUMBERS // len(anchor))
    for begin in range(0, len(rays), rows):
        some = torch.as_tensor(rays[begin : begin + rows], device=directions.device)
        steps = torch.as_tensor(radii[begin : begin + rows], device=directions.device)
        with torch.no_grad():
            points = anchor.double() + steps[:, None] * directions[some]
            costs = cost(points.to(anchor.dtype))
        if costs.shape != some.shape:
            raise ValueError(
                f"cost must return one value for each of {len(some)} points, got shape {tuple(costs.shape)}. Average "
                "over examples, not over points."
            )
        found.append(costs.double().cpu().numpy())
    values = np.concatenate(found)
    if np.isnan(values).any():
        raise ValueError("cost must be a number along every ray, got NaN. Return infinity where it overflows.")
    return values


def exit_radii(
    cost: Callable[[Tensor], Tensor],
    anchor: Tensor,
    directions: Tensor,
    levels: NDArray[np.float64],
    start: NDArray[np.float64],
    limit: NDArray[np.float64],
    tolerance: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.bool_], int]:
    """Return the radius at which the cost leaves each level on each ray, from inside.

    A first radius inside the lowest level is found by halving `start`: what is nearer counts as inside. From there the
    ray is followed outward by factors of 2^(1/4) until it has left the highest level. In between, false position with
    every third step a halving.

    Parameters
    ----------
    cost : callable
        Maps (m, D) to (m,).
    anchor : Tensor, shape (D,)
        Where rays begin, at a cost below all levels.
    directions : Tensor, shape (n, D)
        Unit vectors, float64.
    levels : ndarray, shape (k,)
        Strictly increasing.
    start : ndarray, shape (n,)
        Radii to look at first, > 0; halved where they are outside.
    limit : ndarray, shape (n,)
        Radii up to which a ray is followed.
    tolerance : ndarray, shape (n,)
        Relative accuracy of the radii of each ray.

    Returns
    -------
    radii : ndarray, shape (n, k)
        The largest radius found inside before the first found outside; infinite if none is, up to `limit`; 0 if none is
        found inside.
    returned : ndarray of bool, shape (n,)
        Whether the ray was seen below a level after it had been above it.
    evaluations : int
        Points at which the cost was computed.

    Raises
    ------
    ValueError
        If a cost is NaN.
    """
    shape = (len(directions), len(levels))
    inner, outer = np.zeros(shape), np.full(shape, np.inf)
    excess_in, excess_out = np.full(shape, np.nan), np.full(shape, np.inf)
    returned = np.zeros(shape[0], dtype=bool)
    evaluations = 0

    def evaluate(rays: NDArray[np.int64], radii: NDArray[np.float64]) -> NDArray[np.float64]:
        nonlocal evaluations
        evaluations += len(rays)
        return costs_at(cost, anchor, directions, rays, radii)

    radius, seeking = np.minimum(start, limit), np.arange(shape[0])
    for _ in range(_HALVINGS):
        values = evaluate(seeking, radius[seeking])
        inside = values <= levels[0]
        inner[seeking[inside]], excess_in[seeking[inside]] = (
            radius[seeking[inside], None],
            values[inside, None] - levels,
        )
        seeking = seeking[~inside]
        if not len(seeking):
            break
        radius[seeking] /= 2
    going = np.flatnonzero((inner[:, 0] > 0) & (radius < limit))
    while len(going):
        radius[going] = np.minimum(radius[going] * GROWTH, limit[going])
        r, excess = radius[going, None], evaluate(going, radius[going])[:, None] - levels
        left = np.isfinite(outer[going])
        returned[going] |= (left & (excess <= 0)).any(axis=1)
        leaving, staying = ~left & (excess > 0), ~left & (excess <= 0)
        outer[going], excess_out[going] = (
            np.where(leaving, r, outer[going]),
            np.where(leaving, excess, excess_out[going]),
        )
        inner[going], excess_in[going] = np.where(staying, r, inner[going]), np.where(staying, excess, excess_in[going])
        going = going[np.isinf(outer[going, -1]) & (radius[going] < limit[going])]

    ray, level = np.nonzero(np.isfinite(outer) & (inner > 0))
    last = np.zeros(len(ray))
    a, b, f_a, f_b = (array[ray, level] for array in (inner, outer, excess_in, excess_out))
    for step in range(_REFINEMENTS):
        open_ = np.flatnonzero(b - a > tolerance[ray] * a)
        if not len(open_):
            break
        with np.errstate(invalid="ignore"):
            middle = (a * f_b - b * f_a)[open_] / (f_b - f_a)[open_]
        halved = (step % 3 == 2) | ~np.isfinite(f_b[open_]) | ~((middle > a[open_]) & (middle < b[open_]))
        middle = np.where(halved, (a + b)[open_] / 2, middle)
        excess = evaluate(ray[open_], middle) - levels[level[open_]]
        inside = excess <= 0
        side = np.where(inside, -1.0, 1.0)
        # The end that stays put twice counts half (Illinois).
        repeated = side == last[open_]
        f_b[open_] = np.where(inside, np.where(repeated, f_b[open_] / 2, f_b[open_]), excess)
        f_a[open_] = np.where(inside, excess, np.where(repeated, f_a[open_] / 2, f_a[open_]))
        a[open_], b[open_] = np.where(inside, middle, a[open_]), np.where(inside, b[open_], middle)
        last[open_] = side
    inner[ray, level] = a
    return np.where(np.isinf(outer) & (inner > 0), np.inf, inner), returned, evaluations
