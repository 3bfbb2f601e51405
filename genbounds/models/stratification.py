"""Recognising a stratified split: one that shares out every class as evenly as chance hardly ever would."""

from math import exp, lgamma

import numpy as np
from numpy.typing import ArrayLike

from genbounds.models.splits import Roles

__all__ = ["chance_of_proportions"]


def _log_comb(n: int, k: int) -> float:
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)


def chance_of_proportions(classes: ArrayLike, roles: Roles, *, first: str = "prior", second: str = "bound") -> float:
    """Return how likely a random split would share out every class as evenly between two roles as this one does.

    A stratified split makes the class counts of one part agree with those of the other. Then the examples of the
    bound are neither independent of those that shaped the prior nor of one another, and a predictor can profit:
    a class that is frequent by chance in one part is frequent in the other.

    Parameters
    ----------
    classes : array_like of int, shape (n,)
        Class of every example.
    roles : Roles
        Roles of the same n examples.
    first, second : str
        The two roles; examples of others are left out.

    Returns
    -------
    float
        1 unless every class is shared out in proportion to the sizes of the roles, up to rounding; then the
        probability of that under a random split into parts of these sizes.

    Raises
    ------
    ValueError
        If the numbers of classes and roles differ.

    Examples
    --------
    Two classes of two examples each, split in halves: of six splits four give each half one of each.

    >>> roles = Roles.from_indices(4, {"prior": [0, 2], "bound": [1, 3]})
    >>> round(chance_of_proportions([0, 0, 1, 1], roles), 12)
    0.666666666667
    >>> round(chance_of_proportions([0, 1, 0, 1], roles), 12)
    1.0
    """
    held = np.asarray(classes)
    if held.shape != (len(roles),):
        raise ValueError(f"classes must have shape ({len(roles)},), got {held.shape}. Pass the class of every example.")
    parts = [held[roles.indices(role)] for role in (first, second)]
    names, together = np.unique(np.concatenate(parts), return_counts=True)
    size, taken = int(together.sum()), len(parts[1])
    # Whole numbers on both sides of the proportional share of each class, in exact arithmetic.
    below = [taken * int(count) // size for count in together] if size else []
    exact = [taken * int(count) % size == 0 for count in together]
    for name, low, whole in zip(names, below, exact, strict=True):
        if int((parts[1] == name).sum()) not in ((low,) if whole else (low, low + 1)):
            return 1.0
    # weights[e]: splits with e classes above their share's whole part, over the largest term so far, logarithms apart.
    weights, scale = np.ones(1), 0.0
    for count, low, whole in zip(together.tolist(), below, exact, strict=True):
        ratio = 0.0 if whole else (count - low) / (low + 1)  # C(count, low + 1) / C(count, low)
        weights = np.append(weights, 0.0) + ratio * np.append(0.0, weights)
        scale += _log_comb(count, low) + float(np.log(weights.max()))
        weights /= weights.max()
    above = taken - sum(below)
    return float(min(1.0, weights[above] * exp(scale - _log_comb(size, taken)))) if size else 1.0
