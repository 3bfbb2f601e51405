"""How much a path of weights with Gaussian noise tells about the sample: the lemma of all trajectory bounds.

Setting. W_0 is drawn without looking at the sample. Step t = 1, ..., T draws a batch B_t and sets

    W_t = W_{t-1} - eta_t g_t + s_t N_t,

where g_t is a function of the batch's examples, of W_0, ..., W_{t-1} and of the batches drawn so far, the N_t are
independent N(0, I_d), and which examples make up which batch does not depend on what is in them. The step sizes eta_t
and noise scales s_t are fixed in advance, up to their dependence on the batches' sizes. The noise is given by its
actual standard deviation: for Langevin dynamics at inverse temperature beta, s_t = sqrt(2 eta_t / beta_t).

Lemma. Let X be any part of the sample and C any other part, or nothing. Then, given the batches,

    I(X; W_0, ..., W_T | C) <= sum_t (d/2) ln(1 + eta_t^2 m_t / (d s_t^2)) <= sum_t eta_t^2 m_t / (2 s_t^2)

for m_t = E |g_t - c_t|^2 with any centres c_t that are functions of W_0, ..., W_{t-1}, the batches and C.

Proof. Chain rule over t; W_0 tells nothing. Given the past and C, step t is known up to -eta_t (g_t - c_t) + s_t N_t,
whose second moment is eta_t^2 E[|g_t - c_t|^2 | past, C] + d s_t^2: its entropy is at most that of an isotropic
Gaussian of this second moment. Given X too it is at least that of the noise. The logarithm is concave, so the average
over the past and C may be taken inside it.

The smallest m_t belongs to c_t = E[g_t | past, C]. Anything larger is valid too, so an upper limit may be passed for
m_t.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genbounds.numerics import Float64, count, nonnegative, round_up

__all__ = ["path_information", "root_of_sum", "signal_to_noise"]


def _finite(name: str, value: ArrayLike) -> NDArray[np.float64]:
    array = nonnegative(name, value)
    if np.isinf(array).any():
        raise ValueError(f"{name} must be finite, got inf. Pass what the steps were made with.")
    return array


def signal_to_noise(moments: Float64, step_sizes: ArrayLike, noise_scales: ArrayLike) -> NDArray[np.float64]:
    """Return eta_t^2 m_t / s_t^2 for every step: twice the nats that it can tell.

    Parameters
    ----------
    moments : ndarray, shape (..., T)
        Second moments m_t of gradients about a centre, non-negative.
    step_sizes : array_like, shape (..., T)
        Step sizes eta_t, finite and non-negative.
    noise_scales : array_like, shape (..., T)
        Standard deviations s_t of the noise in each coordinate, finite and non-negative.

    Returns
    -------
    ndarray, shape (..., T)
        Rounded up; infinite where a step tells something without noise, 0 where it tells nothing.

    Raises
    ------
    ValueError
        If a step size or noise scale is negative, infinite or NaN.
    """
    eta, s = np.broadcast_arrays(_finite("step_sizes", step_sizes), _finite("noise_scales", noise_scales))
    ratio = np.divide(eta, s, out=np.where(eta > 0, np.inf, 0.0), where=s > 0)
    ratio, moments = np.broadcast_arrays(ratio, moments)
    told = np.multiply(ratio, np.sqrt(moments), out=np.zeros(ratio.shape), where=(ratio > 0) & (moments > 0))
    # What underflows is not nothing.
    return np.where(told > 0, round_up(np.maximum(np.square(told), np.finfo(np.float64).tiny), 12), 0.0)


def root_of_sum(terms: Float64, factor: Float64) -> Float64:
    """Return factor * sqrt(sum of the terms over the last axis), rounded up.

    Parameters
    ----------
    terms : ndarray, shape (..., T)
        Non-negative, with a relative error below 8 units of 2^-52.
    factor : float64 or ndarray
        Non-negative, with a relative error below 8 units.

    Returns
    -------
    float64 or ndarray, shape (...)
        0 where the factor or all terms are 0, even if the other is infinite.
    """
    total = np.sum(terms, axis=-1)
    value = np.multiply(
        factor,
        np.sqrt(total),
        where=(total > 0) & (factor > 0),
        out=np.zeros(np.broadcast_shapes(np.shape(total), np.shape(factor))),
    )
    return np.where(value > 0, round_up(value, np.shape(terms)[-1] + 24), 0.0)[()]


def path_information(
    gradient_spreads: ArrayLike, step_sizes: ArrayLike, noise_scales: ArrayLike, dimension: ArrayLike
) -> Float64:
    """Bound the mutual information between the sample and the whole path of the weights, in nats.

    Parameters
    ----------
    gradient_spreads : array_like, shape (..., T)
        m_t = E |g_t - c_t|^2 over samples, batches and noise, with centres c_t that are functions of the weights up to
        W_{t-1} and the batches alone; or upper limits. With c_t = 0 it is the second moment of the gradient, at most
        its squared Lipschitz constant.
    step_sizes, noise_scales : array_like, shape (..., T)
        eta_t, and the standard deviation s_t of the noise that was added to each coordinate.
    dimension : array_like of int
        Number d of weights, at least 1.

    Returns
    -------
    float64 or ndarray
        Upper bound on I(S; W_0, ..., W_T), rounded up, and so on I(S; W_T).

    Raises
    ------
    ValueError
        If an argument is NaN or outside its range.

    Notes
    -----
    The lemma of this module with X the whole sample and C nothing. It is an equality where the gradients are Gaussian
    and isotropic given the past: for the quadratic loss on Gaussian examples, with the posterior variance as m_t, the
    sum telescopes to the exact information in the path.

    Examples
    --------
    One step of signal-to-noise ratio e - 1 in one dimension tells half a nat at most:

    >>> f"{path_information([np.e - 1], [0.1], [0.1], 1):.10f}"
    '0.5000000000'
    """
    d = count("dimension", dimension)
    ratio = signal_to_noise(nonnegative("gradient_spreads", gradient_spreads), step_sizes, noise_scales)
    terms = d[..., None] / 2 * np.log1p(ratio / d[..., None])
    return round_up(terms.sum(axis=-1), terms.shape[-1] + 8)
