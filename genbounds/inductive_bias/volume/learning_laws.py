r"""Learning coefficients where they are known, and what an estimate at finite n is an estimate of.

The learning coefficient lambda of a loss L around a minimum w* says how volume grows with the loss,
``V(eps) ~ eps^lambda (-ln eps)^(m - 1)`` with multiplicity m [Watanabe2009]_. Of the law proportional to
``exp(-t (L - L(w*)) - g / 2 |w - w*|^2)`` the mean ``t E[L - L(w*)]`` tends to the least lambda of all minima as t
tends to infinity, for any g > 0. At a finite t it is another number: for a quadratic exactly `quadratic_coefficient`;
for ``L = w_1^2 w_2^2``

    ``1/2 - x (K_1(x) / K_0(x) - 1)``,   ``x = g^2 / (8 t)``

with the modified Bessel functions: below its limit 1/2 by about ``1 / ln(16 t / g^2)``, as the multiplicity is 2; for
t = 10^6 and g = 1 by 0.06.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genbounds.numerics.checks import count, finite, nonnegative, positive
from genbounds.rare_events.curves import TailCurve

__all__ = ["quadratic_coefficient", "reduced_rank_coefficient", "scaling_exponents"]


def quadratic_coefficient(
    curvatures: ArrayLike, sharpness: float, localisation: float, step: float | None = None
) -> np.float64:
    r"""Return ``t E[L - L(w*)]`` for ``L = L(w*) + sum h_i (w_i - w*_i)^2 / 2``, exactly.

    Under ``exp(-t (L - L(w*)) - g |w - w*|^2 / 2)`` the coordinates are independent with variances ``1 / a_i``,
    ``a_i = t h_i + g``, so that it is ``sum t h_i / (2 a_i)``: half the number of directions that the data decide.

    Langevin steps ``w' = w - (e / 2) a w + sqrt(e) xi`` without a correction have the variance
    ``e / (1 - (1 - e a / 2)^2) = (1 / a) / (1 - e a / 4)`` in their stationary law instead.

    Parameters
    ----------
    curvatures : array_like, shape (d,)
        h_i >= 0.
    sharpness : float
        t, that is n beta.
    localisation : float
        g > 0.
    step : float, optional
        e, of Langevin steps on full gradients without Metropolis' correction.

    Returns
    -------
    float
        The mean that an estimator settles at: d / 2 in the limit of large t, with no step.

    Raises
    ------
    ValueError
        If an argument is out of range, or the step so large that the chain diverges, e a >= 4.

    Examples
    --------
    >>> h, t = np.logspace(-3, 0, 10), 1000 / np.log(1000)
    >>> [round(float(quadratic_coefficient(h, t, 1.0, e)), 3) for e in (None, 1e-4, 1e-3, 5e-3)]
    [3.434, 3.437, 3.469, 3.628]
    """
    h = nonnegative("curvatures", curvatures)
    stiff = float(positive("sharpness", sharpness)) * h
    total = stiff + float(positive("localisation", localisation))
    excess = 0.0 if step is None else float(positive("step", step)) * total / 4
    if np.max(excess) >= 1:
        raise ValueError(f"step must be below 4 / {total.max():.6g}, got {step}. Longer steps diverge.")
    return np.float64((stiff / total / (1 - excess)).sum() / 2)


def reduced_rank_coefficient(inputs: int, outputs: int, hidden: int, rank: int = 0) -> tuple[float, int]:
    r"""Return learning coefficient and multiplicity of a linear network with one hidden layer.

    The loss is ``|B A - T|^2`` for A of shape (hidden, inputs), B of shape (outputs, hidden) and a true map T of the
    rank given, at its most singular minima, those near which volume is largest.

    Parameters
    ----------
    inputs, outputs, hidden : int
        Widths N, M, H >= 1.
    rank : int
        Rank r of the true map, at most the smallest width.

    Returns
    -------
    coefficient : float
        lambda.
    multiplicity : int
        m.

    Raises
    ------
    ValueError
        If a width is out of range.

    Notes
    -----
    The values are those of [AoyagiWatanabe2005]_, in a form that can be derived in a few lines. An invertible block of
    the size of the rank, and what is eliminated with it, are regular: ``r (N + M - r) / 2``. What is left is
    ``|B A|^2`` of widths less r. Integrating ``exp(-t |B A|^2)`` over a Gaussian B leaves
    ``E prod_j (1 + 2 t l_j)^(-M / 2)`` over the p = min(N, H) eigenvalues of a Wishart matrix, of density proportional
    to ``prod l_j^((q - 1) / 2) prod |l_i - l_j|`` near 0, q = |N - H|. For ``l_j = t^(-s_j)``, s_1 >= s_2 >= ... in
    [0, 1], the power of 1 / t is ``sum_j [M (1 - s_j) + (q + 2 j - 1) s_j] / 2``, least at
    ``sum_j min(M, q + 2 j - 1) / 2``. Where both are equal s_j is free, which gives a factor ln t.

    Examples
    --------
    >>> reduced_rank_coefficient(1, 1, 1)  # w_1^2 w_2^2
    (0.5, 2)
    """
    n, m, h = (int(count(name, v)) for name, v in (("inputs", inputs), ("outputs", outputs), ("hidden", hidden)))
    r = int(count("rank", rank, 0))
    if r > min(n, m, h):
        raise ValueError(f"rank must be at most the smallest width, {min(n, m, h)}, got {r}. The network has no more.")
    n, m, h = n - r, m - r, h - r
    powers = abs(n - h) + 2 * np.arange(1, min(n, h) + 1) - 1
    regular = r * (n + m + r)
    return float(regular + np.minimum(m, powers).sum()) / 2, 1 + int((powers == m).sum())


def scaling_exponents(curve: TailCurve, bottom: float) -> NDArray[np.float64]:
    """Return how fast probability falls with the excess loss, ``-d nats / d ln(level - bottom)``, between levels.

    As levels fall to the smallest loss, it tends to the learning coefficient under a prior that is positive there.

    Parameters
    ----------
    curve : TailCurve
        Of two levels at least: exact, or a local volume, whose levels share their rays.
    bottom : float
        Smallest loss, below all levels.

    Returns
    -------
    ndarray, shape (k - 1,)
        Exponents between neighbouring levels.

    Raises
    ------
    ValueError
        If a level is not above the bottom.
    """
    excess = curve.levels - float(finite("bottom", bottom))
    if not (excess > 0).all():
        raise ValueError(f"levels must be above the smallest loss, {bottom}, got {curve.levels[0]}. Raise them.")
    return np.asarray(-np.diff(curve.nats) / np.diff(np.log(excess)))
