"""What is left of a Gaussian linear function after it is known to fit some examples."""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genbounds.inductive_bias.gaussian.hypotheses import GaussianHypotheses
from genbounds.numerics.checks import finite, nonnegative

__all__ = ["condition"]

#: Squares of numbers below this leave the range of float64, and so do those of numbers above one over it.
_SMALLEST = 1e-100
#: Training targets are reached if what is left of them is below this, relative to their norm.
_REACHED = 1e-6
#: What is left of them, relative to their norm, is rounding below this, and a warning is due beyond.
_MISSED = 1e-12
#: Relative rounding of the weakest training equation from which on a warning is due.
_ROUGH = 1e-6


def condition(
    features: NDArray[np.float64],
    targets: ArrayLike,
    given: ArrayLike | None,
    noise: float,
    cut: float,
    *,
    squared: bool = False,
) -> GaussianHypotheses:
    """Return the law of the residuals of F w, w ~ N(0, I), outside of the given examples.

    Parameters
    ----------
    features : ndarray, shape (n, p)
        F, a row for each example.
    targets : array_like, shape (n,) or (n, k)
        Targets; each output has weights of its own.
    given : array_like of int or None
        Examples that are fit.
    noise : float
        Standard deviation of Gaussian noise on their targets; 0: they are fit exactly.
    cut : float
        Singular values up to this are rounding, and count as 0.
    squared : bool
        Whether F is the root of a matrix, so that the rounding is that of squares of singular values.

    Returns
    -------
    GaussianHypotheses
        The law of the remaining examples, in their order; with a warning where the fit solves equations of which
        rounding leaves few digits.

    Raises
    ------
    ValueError
        If shapes do not fit, a number is not finite or out of range, or no function fits the given examples exactly.

    Examples
    --------
    >>> law = condition(np.eye(2), [1.0, 2.0], [0], 0.0, 1e-12)
    >>> law.mean.tolist(), law.mean_loss  # the second weight is free
    ([[-2.0]], 5.0)
    """
    y = finite("targets", targets, "Leave out targets that are not numbers.")
    y = y[:, None] if y.ndim == 1 else y
    if y.ndim != 2 or len(y) != len(features) or not y.size:
        raise ValueError(
            f"targets must be of shape (n,) or (n, k) for n = {len(features)} examples, got {np.shape(targets)}. "
            "Write classes as one-hot vectors, and give each example one row."
        )
    for name, size in (("inputs", np.abs(features).max()), ("targets", np.abs(y).max())):
        if size and not _SMALLEST < size < 1 / _SMALLEST:
            raise ValueError(f"{name} must be between 1e-100 and 1e100 in size, got {size:.3g}. Change their units.")
    sigma = float(nonnegative("noise", noise))
    if features.shape[1] > len(features):  # a rotation of the weights leaves as many features as examples
        features = np.asarray(np.linalg.qr(features.T, mode="r")).T
    known = _indices(given, len(features))
    rest = np.setdiff1d(np.arange(len(features)), known)
    if not len(rest):
        raise ValueError(f"given must leave at least one example, got all {len(features)}. Leave out some.")
    if not len(known):
        return GaussianHypotheses(-y[rest], features[rest], cut, squared)

    left, singular, right = np.linalg.svd(features[known], full_matrices=True)
    spread = np.zeros(len(right))  # singular values of the given examples along all directions of the weights
    spread[: len(singular)] = singular
    seen = spread > cut
    along = (left.T @ y[known])[: seen.sum()]
    missed = float(np.linalg.norm(y[known] - left[:, : seen.sum()] @ along))
    share = missed / max(float(np.linalg.norm(y[known])), np.finfo(np.float64).tiny)
    if sigma == 0 and share > _REACHED:
        raise ValueError(
            f"targets of the given examples must be reached by some function, got a distance of {missed:.3g} from "
            f"all that {len(known)} examples with {seen.sum()} independent equations allow. Give noise > 0, or "
            "fewer examples."
        )
    inverse = spread[seen] / (np.square(spread[seen]) + sigma**2)
    weights = right[seen].T @ (along * inverse[:, None])
    shrunk = np.where(seen, sigma / np.hypot(sigma, np.where(seen, spread, 1.0)), 1.0)
    varying = shrunk > 0
    how = f"with noise of standard deviation {sigma:g}" if sigma else "exactly"

    # First order in the rounding of features (or of their products): it moves the equations by as much as the weights
    # (their multipliers) are long, and the gain carries that on to mean and factor of the other examples.
    other = features[rest]
    gain = 1 + float(np.linalg.norm(other @ (right[seen].T * inverse), 2)) if seen.any() else 1.0
    multipliers = float(np.linalg.norm(along * (inverse / spread[seen])[:, None]))
    multipliers = math.hypot(multipliers, missed / sigma**2 if sigma else 0.0)
    if squared:
        error = cut**2 * multipliers * gain
    else:
        error = cut * (float(np.linalg.norm(weights)) * gain + float(np.linalg.norm(other, 2)) * multipliers)
    rounding = cut / float(np.hypot(spread[seen].min(initial=np.inf), sigma))
    rounding = rounding**2 if squared else rounding
    warnings = []
    if rounding > _ROUGH:
        warnings.append(
            f"The weakest of the equations that a fit solves is known to a relative {rounding:.0e} only, and the mean "
            "residuals may be as uncertain. Give noise, or fewer or more distinct examples."
        )
    if sigma == 0 and share > _MISSED:
        warnings.append(
            f"Targets of the given examples are reached up to a relative {share:.0e} only: equal or nearly equal "
            "examples contradict each other, and the functions fit their average. Give noise, or leave some out."
        )
    return GaussianHypotheses(
        other @ weights - y[rest],
        other @ (right[varying].T * shrunk[varying]),
        cut * gain,
        squared,
        mean_error=error,
        condition=f"{len(known)} examples are fit {how}",
        warnings=tuple(warnings),
    )


def _indices(given: ArrayLike | None, number: int) -> NDArray[np.int64]:
    index = np.asarray([] if given is None else given)
    if not index.size:
        return np.zeros(0, dtype=np.int64)
    if index.ndim != 1 or index.dtype.kind not in "iu" or len(np.unique(index)) < len(index):
        raise ValueError(
            f"given must list different integers, got {index.dtype} of shape {index.shape}. Turn a mask into indices "
            "by numpy.flatnonzero."
        )
    outside = (index < 0) | (index >= number)
    if outside.any():
        raise ValueError(f"given must be indices in [0, {number}), got {index[outside][0]}. Count from 0.")
    return index.astype(np.int64)
