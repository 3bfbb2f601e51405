r"""The published estimator of inductive-bias complexity: one chi-squared law fitted to sampled losses [Boopathy2024].

The mean squared error of a Gaussian hypothesis space is a weighted sum of non-central chi-squared variables. The
published method takes it for *one* scaled non-central chi-squared variable with location zero, fits that to sampled
losses by maximum likelihood, and reads the information off its distribution function. Where that underflows, near
745 nats, it takes Sankaran's normal approximation [Sankaran1963] and z^2 / 2 for its tail.

Kept as it is, to stand beside the exact value, but for the start of the search: from scipy's own, losses around 1e-5
ended at a lower likelihood; here they are divided by their mean, and moments give the start. What the estimator drops:

* the floor: below it the information is infinite, and a fitted law with location zero never says so;
* the number of directions: its slope in ln(1 / level) is df / 2 of the fit, not n / 2 (`small_ball`);
* in z^2 / 2, the term ``ln(z sqrt(2 pi))`` of the normal tail; and since z stays finite at level zero, at about
  ``(9 df / 4)`` nats it stops growing, where the truth grows like ``(df / 2) (r - 1 - ln r)``, r = level / mean.

More losses make it surer of a wrong value: the error is the model's, and shrinks with no number of samples.
"""

import warnings

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import ncx2

from genbounds.numerics.checks import finite, nonnegative
from genbounds.rare_events.curves import TailCurve

__all__ = ["published_chi_squared_fit", "sankaran_nats"]


def published_chi_squared_fit(losses: ArrayLike, levels: ArrayLike) -> TailCurve:
    """Extrapolate -ln P(loss <= level) from sampled losses as published: an estimate without an error bar.

    Parameters
    ----------
    losses : array_like, shape (S,)
        Independent positive losses, at least ten and not all equal.
    levels : array_like, shape (k,)
        Thresholds of the loss, positive and strictly increasing.

    Returns
    -------
    TailCurve
        Of kind "estimate", with standard errors NaN and intervals from zero to infinity: its error is that of the
        model, which no refit shows. Warnings say which levels are extrapolated, and where the normal approximation
        was used.

    Raises
    ------
    ValueError
        If losses are too few, not positive or all equal, or levels are not positive and increasing.

    Examples
    --------
    >>> losses = np.random.default_rng(0).chisquare(5, 300)
    >>> curve = published_chi_squared_fit(losses, [1e-3])
    >>> curve.kind, curve.low.tolist(), curve.high.tolist()
    ('estimate', [0.0], [inf])
    """
    sample = finite("losses", losses)
    points = np.atleast_1d(finite("levels", levels))
    if sample.ndim != 1 or len(sample) < 10 or (sample <= 0).any() or np.ptp(sample) == 0:
        raise ValueError(
            "losses must be a list of ten or more positive numbers, not all equal. What is fitted has a density there."
        )
    if (points <= 0).any():
        raise ValueError(f"levels must be positive, got {points.min()}. The fitted law starts at zero.")
    mean = sample.mean()
    start = 1.5 * mean**2 / sample.var()  # degrees of freedom by moments, for a non-centrality as large
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # scipy's, while its search passes through points without a density
        df, nc, _, scale = ncx2.fit(sample / mean, start, start, floc=0, scale=1 / (2 * start))
        nats = -np.log(ncx2.cdf(points / mean, df, nc, scale=scale))
    fallen = ~np.isfinite(nats)
    nats[fallen] = sankaran_nats(points[fallen] / (mean * scale), df, nc)
    notes = ["the model's error is not measured and dominates: more losses do not reduce it"]
    if (points < sample.min()).any():
        notes.append(
            f"extrapolated below the smallest loss, {sample.min():.6g}: {(points < sample.min()).sum()} levels"
        )
    if fallen.any():
        notes.append(
            f"the distribution function underflows at {fallen.sum()} levels: z^2 / 2 of a normal approximation"
        )
    return TailCurve(
        levels=points,
        nats=np.maximum(nats, 0.0),
        standard_error=np.full(len(points), np.nan),
        low=np.zeros(len(points)),
        high=np.full(len(points), np.inf),
        confidence=1.0,
        kind="estimate",
        method=f"published fit of {scale * mean:.6g} times a chi-squared, {df:.6g} degrees, non-centrality {nc:.6g}",
        samples=len(sample),
        warnings=tuple(notes),
    )


def sankaran_nats(x: ArrayLike, df: float, noncentrality: float) -> NDArray[np.float64]:
    """Return z^2 / 2 for Sankaran's normal approximation of a non-central chi-squared law, as the published fallback.

    Parameters
    ----------
    x : array_like
        Levels in units of the scale, >= 0.
    df : float
        Degrees of freedom.
    noncentrality : float
        Sum of the squared shifts.

    Returns
    -------
    ndarray
        Nats, too small in the far tail: the factor before the exponential is dropped, and at x = 0 z is finite.

    Raises
    ------
    ValueError
        If x is negative.

    Examples
    --------
    At a hundredth of the mean with 10,000 degrees of freedom the truth is 18081 nats:

    >>> float(sankaran_nats(100.0, 1e4, 0.0).round())
    13849.0
    """
    total, twice = df + noncentrality, df + 2 * noncentrality
    h = 1 - 2 / 3 * total * (df + 3 * noncentrality) / twice**2
    p = twice / total**2
    m = (h - 1) * (1 - 3 * h)
    middle = 1 + h * p * (h - 1 - (2 - h) * m * p / 2)
    z = ((nonnegative("x", x) / total) ** h - middle) / (h * np.sqrt(2 * p) * (1 + m * p / 2))
    return z**2 / 2
