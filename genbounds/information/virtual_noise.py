"""Bounds for training without noise, by noise that is added in the proof alone.

Setting: W_t = W_{t-1} - eta_t g_t, step sizes fixed in advance, batches chosen without looking at the examples; g_t
may be any function of the sample, the batches and the past, momentum included. The proof looks at W_t + xi_t, where
xi_t = s_1 N_1 + ... + s_t N_t is independent of everything, and any scales s_t > 0 fixed in advance may be taken.

1. The perturbed weights move by -eta_t g_t + s_t N_t. So `genbounds.information.paths` applies to them: the proof of
   its lemma only needs N_t to be independent of the past, the sample and g_t. But the centres c_t have to be functions
   of the *perturbed* weights W_0, W_1 + xi_1, ..., W_{t-1} + xi_{t-1}, and the spread of g_t, a gradient at unperturbed
   weights, about them is what counts.
2. Write D(w, z) = E l(w + xi_T, z) - l(w, z) for what the noise does to the evaluation loss on example z. The gap of
   W_T is the gap of W_T + xi_T, plus E[D(W_T, S) - D(W_T, S')] with a fresh sample S': the gap in sharpness. Its
   absolute value enters, so flatness that is the same on new data costs nothing.

sigma belongs to the evaluation loss at the perturbed weights; 1/2 for a loss in [0, 1]. All expectations are over
samples, batches and virtual noise, inside the square root.
"""

import numpy as np
from numpy.typing import ArrayLike

from genbounds.information.paths import path_information, root_of_sum, signal_to_noise
from genbounds.numerics import Float64, count, nonnegative, round_up
from genbounds.theorems import Assumption, theorem
from genbounds.theorems.quantities import GAP

__all__ = ["neu", "wang_mao_descent"]

_ASSUMES = (
    Assumption.INDEPENDENT_SAMPLE,
    Assumption.LOSS_SUB_GAUSSIAN,
    Assumption.NOISELESS_STEPS,
    Assumption.BATCHES_INDEPENDENT_OF_SAMPLE,
    Assumption.INFORMATION_NOT_ESTIMATED,
)
_AVERAGES = "samples, the start of the weights and batches"


def _perturbed_gap(information: Float64, sharpness_gap: ArrayLike, n: ArrayLike, sigma: ArrayLike) -> Float64:
    factor = nonnegative("sigma", sigma) * np.sqrt(2 / count("n", n))
    return round_up(
        root_of_sum(np.expand_dims(information, -1), factor) + nonnegative("sharpness_gap", sharpness_gap), 1
    )


@theorem(
    statement=r"|\mathrm{gen}| \le \sqrt{\frac{2\sigma^2}{n}\sum_t \frac d2\ln\!\left(1+\frac{\eta_t^2\,"
    r"\mathbb{E}\|g_t(W_{t-1})-c_t(\tilde W)\|^2}{d\,s_t^2}\right)} + \big|\mathbb{E}[D(W_T,S)-D(W_T,S')]\big|",
    formula="|gen| <= sqrt( (2 sigma^2 / n) sum_t (d/2) ln(1 + eta_t^2 E|g_t - c_t|^2 / (d s_t^2)) ) "
    "+ |E[D(W_T, S) - D(W_T, S')]|",
    predictor="algorithm average",
    kind="expectation",
    averages_over=_AVERAGES,
    quantity=GAP,
    assumes=_ASSUMES,
    reference="WangMao2022",
    locator="stochastic gradient descent with auxiliary noise, logarithmic form; the Notes say what differs",
)
def wang_mao_descent(
    virtual_spreads: ArrayLike,
    sharpness_gap: ArrayLike,
    step_sizes: ArrayLike,
    virtual_scales: ArrayLike,
    dimension: ArrayLike,
    n: ArrayLike,
    sigma: ArrayLike,
) -> Float64:
    """Bound the expected gap of training without noise by virtual noise, in the logarithmic form (after Wang and Mao).

    Parameters
    ----------
    virtual_spreads : array_like, shape (..., T)
        E |g_t - c_t|^2, where g_t is the gradient at W_{t-1} that moves the weights and the centre c_t is a function
        of the perturbed weights up to W_{t-1} + xi_{t-1} and the batches: the expected gradient at W_{t-1} +
        xi_{t-1}, say. Or upper limits.
    sharpness_gap : array_like
        |E[D(W_T, S) - D(W_T, S')]|, or an upper limit; non-negative.
    step_sizes, virtual_scales : array_like, shape (..., T)
        eta_t, and the standard deviation s_t of the virtual noise in each coordinate.
    dimension : array_like of int
        Number d of weights, at least 1.
    n : array_like of int
        Examples in the sample, at least 1.
    sigma : array_like
        Sub-Gaussian parameter of the evaluation loss; 0.5 for a loss in [0, 1].

    Returns
    -------
    float64 or ndarray
        Upper bound on |E[L_mu(W_T) - L_S(W_T)]|, rounded up; infinite if a step tells something without virtual noise.

    Raises
    ------
    ValueError
        If an argument is NaN or outside its range.

    Notes
    -----
    Proof: 1. and 2. at the head of this module.

    Difference from the paper: it has the dispersion of gradients at the unperturbed weights in the logarithm, an
    average over weights outside it, and no term for how the gradient changes with the noise. Given the perturbed
    weights alone the unperturbed ones are not known, and conditioning on them too would add what they tell about the
    sample. So the centre here may look at the perturbed weights only; that is what `neu` separates. At most `neu` on
    the same numbers.

    Examples
    --------
    One step of signal-to-noise ratio 1 on one example, and a sharpness gap of 0.1:

    >>> f"{wang_mao_descent([1.0], 0.1, [0.1], [0.1], 1, 1, 0.5):.12f}", f"{np.sqrt(np.log(2) / 4) + 0.1:.12f}"
    ('0.516277305579', '0.516277305579')
    """
    information = path_information(virtual_spreads, step_sizes, virtual_scales, dimension)
    return _perturbed_gap(information, sharpness_gap, n, sigma)


@theorem(
    statement=r"|\mathrm{gen}| \le \sqrt{\frac{\sigma^2}{n}\sum_t \frac{\eta_t^2}{s_t^2}"
    r"\big(\sqrt{V_t}+\sqrt{\Gamma_t}\big)^2} + \big|\mathbb{E}[D(W_T,S)-D(W_T,S')]\big|",
    formula="|gen| <= sqrt( (sigma^2 / n) sum_t (eta_t / s_t)^2 (sqrt(V_t) + sqrt(Gamma_t))^2 ) "
    "+ |E[D(W_T, S) - D(W_T, S')]|",
    predictor="algorithm average",
    kind="expectation",
    averages_over=_AVERAGES,
    quantity=GAP,
    assumes=_ASSUMES,
    reference="Neu2021",
    locator="stochastic gradient descent by perturbed iterates; the constant is derived in the Notes",
)
def neu(
    gradient_deviations: ArrayLike,
    gradient_sensitivities: ArrayLike,
    sharpness_gap: ArrayLike,
    step_sizes: ArrayLike,
    virtual_scales: ArrayLike,
    n: ArrayLike,
    sigma: ArrayLike,
) -> Float64:
    """Bound the expected gap of training without noise by variance, sensitivity and sharpness (Neu and others).

    Parameters
    ----------
    gradient_deviations : array_like, shape (..., T)
        V_t = E |g_t - G_t(W_{t-1})|^2, where G_t is a vector field that does not depend on the sample; with the
        expected gradient it is the variance of the gradient at weights that depend on the sample. Or upper limits.
    gradient_sensitivities : array_like, shape (..., T)
        Gamma_t = E |G_t(W_{t-1}) - G_t(W_{t-1} + xi_{t-1})|^2, where xi_{t-1} has variance s_1^2 + ... + s_{t-1}^2 in
        each coordinate. Or upper limits.
    sharpness_gap : array_like
        |E[D(W_T, S) - D(W_T, S')]|, or an upper limit; non-negative.
    step_sizes, virtual_scales : array_like, shape (..., T)
        eta_t, and the standard deviation s_t of the virtual noise in each coordinate.
    n : array_like of int
        Examples in the sample, at least 1.
    sigma : array_like
        Sub-Gaussian parameter of the evaluation loss; 0.5 for a loss in [0, 1].

    Returns
    -------
    float64 or ndarray
        Upper bound on |E[L_mu(W_T) - L_S(W_T)]|, rounded up; infinite if a step tells something without virtual noise.

    Raises
    ------
    ValueError
        If an argument is NaN or outside its range.

    Notes
    -----
    Proof: `wang_mao_descent` with c_t = G_t(W_{t-1} + xi_{t-1}) and ln(1 + x) <= x. By the triangle
    inequality the root of E|g_t - c_t|^2 is at most sqrt(V_t) + sqrt(Gamma_t).

    Difference from the paper: (sqrt(V) + sqrt(Gamma))^2 <= 2 V + 2 Gamma, so this is at most
    sqrt( (2 sigma^2 / n) sum_t (eta_t / s_t)^2 (V_t + Gamma_t) ), where the paper has 4 sigma^2.

    No scale is right: small s_t make the first term infinite, large ones the second.

    Examples
    --------
    Small steps: 0.5 * 0.1 * (1 + 0.5) and the sharpness gap.

    >>> f"{neu([1.0], [0.25], 0.1, [0.01], [0.1], 1, 0.5):.12f}"
    '0.175000000000'
    """
    deviations = nonnegative("gradient_deviations", gradient_deviations)
    sensitivities = nonnegative("gradient_sensitivities", gradient_sensitivities)
    spreads = np.square(np.sqrt(deviations) + np.sqrt(sensitivities))
    terms = np.atleast_1d(signal_to_noise(spreads, step_sizes, virtual_scales)) / 2
    return _perturbed_gap(round_up(terms.sum(axis=-1), terms.shape[-1] + 8), sharpness_gap, n, sigma)
