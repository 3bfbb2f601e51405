r"""Importance sampling of a quadratic form under an exponential tilt: independent of the inversion, with its own error.

Under the law tilted by ``exp(-t X) / L(t)``, with X = Q - offset, the coordinates stay independent and Gaussian:
``z_i + d_i`` has mean ``b_i d_i`` and variance ``b_i = 1 / (1 + 2 w_i t)``. Hence, with x = level - offset,

    ``P(X <= x) = exp(t x) L(t) E_t[exp(-t (x - X)) 1{X <= x}]``  for t > 0,

    ``P(X > x)  = exp(t x) L(t) E_t[exp(-|t| (X - x)) 1{X > x}]``  for t < 0,

averages of numbers in [0, 1], unbiased at any t. The tilt taken minimises ``exp(t x) L(t) / |t|``, which puts the mean
of X at ``x - 1 / t``: a little beyond the tilt with mean x, of somewhat smaller variance, and defined at the mean too.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

from genbounds.numerics.checks import confidence as inside_unit_interval
from genbounds.numerics.checks import count
from genbounds.rare_events.curves import TailCurve
from genbounds.rare_events.quadratic.forms import QuadraticForm
from genbounds.rare_events.quadratic.saddles import saddle

__all__ = ["tilted_tail"]

_BLOCK = 2**20


def tilted_tail(
    form: QuadraticForm, levels: ArrayLike, *, samples: int = 100_000, confidence: float = 0.95, seed: int = 0
) -> TailCurve:
    """Estimate -ln P(Q <= level) by sampling under the tilt of each level.

    Parameters
    ----------
    form : QuadraticForm
        The law of Q, with at least one weight.
    levels : array_like, shape (k,)
        Thresholds of Q, strictly increasing.
    samples : int
        Draws, at least 100; all levels share them, so that the curve is smooth and its errors are alike.
    confidence : float
        Nominal confidence of each level's interval, in (0, 1).
    seed : int
        The same number gives the same curve.

    Returns
    -------
    TailCurve
        Of kind "estimate" and unbiased. Its interval is the average's, normal, in nats.

    Raises
    ------
    ValueError
        If the form is constant, or an argument is out of range.

    Examples
    --------
    >>> curve = tilted_tail(QuadraticForm([1.0, 1.0], [0.0, 0.0]), [1e-3, 2.0], samples=10_000)
    >>> curve.nats.round(1).tolist(), (-np.log(-np.expm1([-5e-4, -1.0]))).round(1).tolist()
    ([7.6, 0.5], [7.6, 0.5])
    """
    if not form.weights.size:
        raise ValueError("form must have a weight, got a constant. Its distribution function is a step.")
    draws, (points, above) = int(count("samples", samples, 100)), form.above(levels)
    reach = float(ndtri((1 + inside_unit_interval("confidence", confidence, "Such as 0.95.")) / 2))
    scale, d2 = form.weights.max(), form.shifts**2
    w, x = form.weights / scale, above / scale
    upper, reached = x >= (w * (1 + d2)).sum(), x > 0
    nats, error = np.full(len(x), np.inf), np.zeros(len(x))
    low, high = np.full(len(x), np.inf), np.full(len(x), np.inf)
    for side in (reached & ~upper, upper):
        if side.any():
            nats[side], error[side], low[side], high[side] = _sampled(
                w, form.shifts, x[side], bool(upper[side][0]), draws, reach, np.random.default_rng(seed)
            )
    return TailCurve(
        levels=points,
        nats=nats,
        standard_error=error,
        low=low,
        high=high,
        confidence=confidence,
        kind="estimate",
        method="importance sampling under exponential tilts",
        samples=draws,
        unbiased=True,
    )


def _sampled(
    w: NDArray[np.float64],
    d: NDArray[np.float64],
    x: NDArray[np.float64],
    upper: bool,
    draws: int,
    reach: float,
    generator: np.random.Generator,
) -> tuple[NDArray[np.float64], ...]:
    """Return nats, standard errors and both ends for levels on one side of the mean."""
    point = saddle(w, d**2, x, upper=upper, pole=1)
    # X = sum w (b d + sqrt(b) g)^2 for all levels from one draw of g: two matrix products.
    middle = point.b * d
    square, line, constant = w * point.b, 2 * w * middle * np.sqrt(point.b), (w * middle**2).sum(-1)
    first, second = np.zeros(len(x)), np.zeros(len(x))
    block = max(1, _BLOCK // len(w))
    for start in range(0, draws, block):
        g = generator.standard_normal((min(block, draws - start), len(w)))
        beyond = (g**2 @ square.T + g @ line.T + constant) / x - 1
        weight = np.where((beyond > 0) == upper, np.exp(-np.abs(point.tx * beyond)), 0.0)
        first, second = first + weight.sum(0), second + (weight**2).sum(0)
    average = first / draws
    spread = np.sqrt(np.maximum(second / draws - average**2, 0.0) / (draws - 1))
    base = point.tx + (np.log(point.b) / 2 - d**2 * point.p / 2).sum(-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        ends = [base + np.log(np.maximum(average + s * reach * spread, 0.0)) for s in (1, 0, -1)]
        if upper:
            tails = np.exp(ends)
            low, nats, high = -np.log1p(-np.minimum(tails[::-1], 1.0))
            error = spread / average * tails[1] / (1 - tails[1])
        else:
            low, nats, high = np.maximum(-np.array(ends), 0.0)
            error = spread / average
    return np.where(average > 0, nats, np.nan), error, low, high
