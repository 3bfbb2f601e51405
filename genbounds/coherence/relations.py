"""What follows from a coherence and a number of examples: m-coherence, diversity, noise scale, batches, norm test.

Every function is an exact identity in float64 and broadcasts; notation as in `genbounds.coherence.alpha`.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genbounds.coherence.alpha import PLUG_IN, coherence_value
from genbounds.numerics.checks import Float64, count, positive, unit_interval

__all__ = [
    "batch_coherence",
    "example_coherence",
    "gradient_diversity",
    "m_coherence",
    "noise_scale",
    "norm_test",
    "norm_test_batch",
    "one_step_ratio",
]


def m_coherence(alpha_m: ArrayLike, m: ArrayLike) -> Float64:
    """Return ``m alpha_m``: how many examples a small step on one of them helps, itself included.

    1 for orthogonal gradients, m for equal ones, k for k copies of orthogonal ones [ChatterjeeZielinski2020]. Below 1
    the gradients cancel, as they must near a stationary point of the average loss: no conflict follows from it.

    Parameters
    ----------
    alpha_m : array_like
        Coherence of the m examples themselves, in [0, 1].
    m : array_like of int
        Examples, >= 1.

    Returns
    -------
    float or ndarray
        In [0, m].

    Raises
    ------
    ValueError
        If an argument is out of range.
    """
    return count("m", m) * unit_interval("alpha_m", alpha_m, PLUG_IN)


def gradient_diversity(alpha_m: ArrayLike, m: ArrayLike) -> Float64:
    """Return ``sum ||g_i||^2 / ||sum g_i||^2 = 1 / (m alpha_m)`` [Yin2018].

    Parameters
    ----------
    alpha_m : array_like
        Coherence of the m examples themselves, in [0, 1].
    m : array_like of int
        Examples, >= 1.

    Returns
    -------
    float or ndarray
        At least 1 / m; infinite for coherence 0.

    Raises
    ------
    ValueError
        If an argument is out of range.
    """
    with np.errstate(divide="ignore", over="ignore"):
        return 1 / m_coherence(alpha_m, m)


def noise_scale(alpha: ArrayLike) -> Float64:
    """Return ``V / S = 1 / alpha - 1``, the batch size at which noise and signal balance [McCandlish2018].

    Parameters
    ----------
    alpha : array_like
        Coherence, at most 1.

    Returns
    -------
    float or ndarray
        In [0, inf]. Infinite at 0 and below: an estimate that shows no signal asks for no finite batch.

    Raises
    ------
    ValueError
        If the coherence is out of range.
    """
    whole = coherence_value("alpha", alpha)
    with np.errstate(divide="ignore", over="ignore"):
        return (1 - whole) / np.maximum(whole, 0.0)  # unlike 1 / alpha - 1 it keeps its digits near alpha = 1


def batch_coherence(alpha: ArrayLike, size: ArrayLike, population: ArrayLike | None = None) -> Float64:
    """Return the coherence of the average gradients of batches.

    Averaging divides the noise scale by `size` for independent draws. Batches drawn without repetition from a finite
    population of m divide it by ``size (m - 1) / (m - size)``, exactly over all subsets.

    Parameters
    ----------
    alpha : array_like
        Coherence of single examples, at most 1; of a finite population, its plug-in coherence.
    size : array_like of int
        Examples in a batch, >= 1.
    population : array_like of int, optional
        Examples to draw from without repetition, >= `size`; independent draws if left out.

    Returns
    -------
    float or ndarray
        ``alpha / (alpha + (1 - alpha) c)``, where c is that divisor's inverse. NaN where a batch is the whole
        population and alpha is 0: its only average is 0.

    Raises
    ------
    ValueError
        If an argument is out of range, or a negative estimate lies beyond the pole of the formula.

    Examples
    --------
    >>> float(batch_coherence(0.25, 3)), float(batch_coherence(0.25, 3, population=4))
    (0.5, 0.75)
    """
    whole, shrink = coherence_value("alpha", alpha), _shrink(size, population)
    below = whole + (1 - whole) * shrink
    if (below < 0).any() or ((below == 0) & (whole < 0)).any():
        raise ValueError(
            f"alpha must be above the pole of the formula for batches of this size, got {whole}. An estimate this far "
            "below 0 shows no signal: measure more examples, or ask for smaller batches."
        )
    with np.errstate(invalid="ignore"):
        return whole / below


def example_coherence(alpha: ArrayLike, size: ArrayLike, population: ArrayLike | None = None) -> Float64:
    """Return the coherence of single examples from that of batches: the inverse of `batch_coherence`.

    The batches' gradients must all be taken at the same weights. The plug-in coherence of B batches has its own bias
    (1 - alpha) / B: take it off with `unbiased_coherence` first.

    Parameters
    ----------
    alpha : array_like
        Coherence of average gradients of batches, at most 1.
    size : array_like of int
        Examples in a batch (not the number of batches), >= 1.
    population : array_like of int, optional
        Examples they were drawn from without repetition, > `size`; independent draws if left out.

    Returns
    -------
    float or ndarray
        Coherence of single examples.

    Raises
    ------
    ValueError
        If an argument is out of range, or a batch is the whole population, which shows nothing about examples.
    """
    batch, shrink = coherence_value("alpha", alpha), _shrink(size, population)
    if (shrink == 0).any():
        raise ValueError(
            f"size must be below the population, got {np.asarray(size)} of {np.asarray(population)}. Take fewer."
        )
    return batch * shrink / (batch * shrink + 1 - batch)


def one_step_ratio(alpha: ArrayLike, n: ArrayLike) -> Float64:
    """Return ``R(n) = n alpha / (1 + (n - 1) alpha)``, how much of a step's gain on its own sample is real.

    Expected decrease of the population loss over the expected decrease of the sample's own loss, to first order, after
    one small gradient step on n fresh examples: ``S / (S + V / n)`` [Liu2020], the coherence of a batch of n.

    Parameters
    ----------
    alpha : array_like
        Coherence, at most 1.
    n : array_like of int
        Examples that the step is computed from, >= 1.

    Returns
    -------
    float or ndarray
        At most 1.

    Raises
    ------
    ValueError
        If an argument is out of range, or a negative estimate lies beyond the pole of the formula.

    Examples
    --------
    >>> float(one_step_ratio(0.25, 3))
    0.5
    """
    return batch_coherence(alpha, n)


def norm_test(alpha: ArrayLike, size: ArrayLike) -> Float64:
    """Return ``sqrt(V / (b S))``, the relative error of a batch's gradient: the theta of the norm test [Byrd2012].

    Parameters
    ----------
    alpha : array_like
        Coherence, at most 1.
    size : array_like of int
        Examples in a batch, >= 1.

    Returns
    -------
    float or ndarray
        In [0, inf]; a batch passes the test for every theta from here on.

    Raises
    ------
    ValueError
        If an argument is out of range.
    """
    return np.sqrt(noise_scale(alpha) / count("size", size))


def norm_test_batch(alpha: ArrayLike, theta: ArrayLike) -> Float64:
    """Return the smallest batch size, as a real number, that passes the norm test: ``(1 / alpha - 1) / theta^2``.

    Parameters
    ----------
    alpha : array_like
        Coherence, at most 1.
    theta : array_like
        Relative error allowed, > 0.

    Returns
    -------
    float or ndarray
        In [0, inf].

    Raises
    ------
    ValueError
        If an argument is out of range.
    """
    return noise_scale(alpha) / positive("theta", theta) ** 2


def _shrink(size: ArrayLike, population: ArrayLike | None) -> NDArray[np.float64]:
    """Return the factor by which averaging shrinks the noise."""
    batch = count("size", size)
    if population is None:
        return 1 / batch
    whole = count("population", population, 2)
    if (batch > whole).any():
        raise ValueError(f"size must be at most the population, got {batch} of {whole}. Take smaller batches.")
    return (whole - batch) / (batch * (whole - 1))
