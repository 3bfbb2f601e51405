"""Bounds for training with Gaussian noise, from the path that the weights took.

The setting, and the lemma that all of these rest on, are those of `genbounds.information.paths`, here with

    g_t = average over i in B_t of g_{t,i},

where g_{t,i} depends on example i, on W_0, ..., W_{t-1} and on the batches, and on no other example. So clipping one
example at a time and preconditioners that are functions of the weights are allowed. Momentum is not, where single
examples or batches are told apart: an example's influence then goes on after its batch. (`pensia` allows it.)

What is bounded is the gap of W_T, or of anything else that is computed from the path and the batches alone, such as an
average of the weights.

Two losses. The gradients may be those of any training loss, a surrogate such as cross-entropy. The gap is that of the
evaluation loss, the one that sigma belongs to: sigma = 1/2 for a loss in [0, 1]. No proof here connects the two.

From information to gaps. With Z_i' a fresh example, |E l(W, Z_i') - E l(W, Z_i)| <= sqrt(2 sigma^2 I(W; Z_i)), and
the gap is the average over i. sigma is the sub-Gaussian parameter of l(w, Z) for each w, or of l(W', Z') for
independent W' and Z' with the laws of W and Z. If only the lower tail of the loss is sub-Gaussian, what is bounded is
E[L_mu - L_S].

Which expectation. All arguments are expectations over samples, batches and noise together, *inside* the square root.
The average of square roots over runs is smaller, and no bound: with the root taken for each sample, `li_luo_qiao` can
be below the gap by a factor of 2 sqrt(2 / pi) = 1.6, for a rare example with a large gradient. Where the expectations
are known for each value of the context C, a theorem may be applied to each and the results be averaged.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genbounds.information.paths import path_information, root_of_sum, signal_to_noise
from genbounds.numerics import Float64, count, nonnegative, round_up
from genbounds.theorems import Assumption, theorem
from genbounds.theorems.quantities import GAP, SUPERSAMPLE_GAP

__all__ = ["haghifam_langevin", "li_luo_qiao", "negrea", "pensia", "wang_gao_calmon"]

_STEPS = (
    Assumption.GAUSSIAN_STEPS,
    Assumption.BATCHES_INDEPENDENT_OF_SAMPLE,
    Assumption.INFORMATION_NOT_ESTIMATED,
)
_ASSUMES = (Assumption.INDEPENDENT_SAMPLE, Assumption.LOSS_SUB_GAUSSIAN, *_STEPS)
_AVERAGES = "samples, the start of the weights, batches and the injected noise"


def _batches(batch_sizes: ArrayLike, n: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return batch sizes and n, checked against each other."""
    b, n = np.atleast_1d(count("batch_sizes", batch_sizes)), count("n", n)
    if np.any(b > n[..., None]):
        raise ValueError(
            f"batch_sizes must be at most n, got {b.max():g} for n = {n.min():g}. A batch holds no example twice."
        )
    return b, n


@theorem(
    statement=r"|\mathrm{gen}| \le \sqrt{\frac{2\sigma^2}{n}\sum_t \frac d2"
    r"\ln\!\left(1+\frac{\eta_t^2\,\mathbb{E}\|g_t-c_t\|^2}{d\,s_t^2}\right)}",
    formula="|gen| <= sqrt( (2 sigma^2 / n) sum_t (d/2) ln(1 + eta_t^2 E|g_t - c_t|^2 / (d s_t^2)) )",
    predictor="algorithm average",
    kind="expectation",
    averages_over=_AVERAGES,
    quantity=GAP,
    assumes=_ASSUMES,
    reference="Pensia2018",
    locator="bound on I(S; W) by the chain rule over iterations, in its logarithmic form, as in XuRaginsky2017",
)
def pensia(
    gradient_spreads: ArrayLike,
    step_sizes: ArrayLike,
    noise_scales: ArrayLike,
    dimension: ArrayLike,
    n: ArrayLike,
    sigma: ArrayLike,
) -> Float64:
    """Bound the expected gap of noisy training by the information between the sample and the path (Pensia, Jog, Loh).

    Parameters
    ----------
    gradient_spreads : array_like, shape (..., T)
        E |g_t - c_t|^2 over samples, batches and noise, with centres c_t that are functions of W_0, ..., W_{t-1} and
        the batches alone; or upper limits. With c_t = 0: E |g_t|^2, at most the squared gradient bound of the paper.
    step_sizes, noise_scales : array_like, shape (..., T)
        eta_t, and the standard deviation s_t of the noise that was added to each coordinate.
    dimension : array_like of int
        Number d of weights, at least 1.
    n : array_like of int
        Examples in the sample, at least 1.
    sigma : array_like
        Sub-Gaussian parameter of the evaluation loss; 0.5 for a loss in [0, 1].

    Returns
    -------
    float64 or ndarray
        Upper bound on |E[L_mu(W) - L_S(W)]|, rounded up; infinite if a step tells something without noise.

    Raises
    ------
    ValueError
        If an argument is NaN or outside its range.

    Notes
    -----
    Proof: I(S; W) <= `path_information`. The examples are independent, so sum_i I(W; Z_i) <= I(W; S), and
    the average over i of sqrt(2 sigma^2 I(W; Z_i)) is at most sqrt(2 sigma^2 I(W; S) / n).

    Difference from the paper: second moments about any centre in place of a bound on the gradient; a sub-Gaussian
    parameter under independent W' and Z' is enough. g_t may be any function of the sample and the past: with momentum
    it is what the weights are moved along.

    With c_t = 0 it grows like sqrt(T) for constant steps and gradients; with the best centres, which learn the sample
    from the path, like the root of a logarithm on a quadratic loss. I(S; W_T) may stay bounded all the while.

    Examples
    --------
    One step of signal-to-noise ratio 1 on one example, loss in [0, 1]: sqrt(ln(2) / 4).

    >>> f"{pensia([1.0], [0.1], [0.1], 1, 1, 0.5):.12f}", f"{np.sqrt(np.log(2) / 4):.12f}"
    ('0.416277305579', '0.416277305579')
    """
    information = path_information(gradient_spreads, step_sizes, noise_scales, dimension)
    factor = nonnegative("sigma", sigma) * np.sqrt(2 / count("n", n))
    return root_of_sum(np.expand_dims(information, -1), factor)


@theorem(
    statement=r"|\mathrm{gen}| \le \sigma\sqrt{\sum_t \frac{\eta_t^2}{s_t^2}\,\frac{1}{n\,b_t}\,"
    r"\mathbb{E}\Big[\frac1{b_t}\sum_{i\in B_t}\|g_{t,i}\|^2\Big]}",
    formula="|gen| <= sigma sqrt( sum_t (eta_t / s_t)^2 E[ average over the batch of |g_{t,i}|^2 ] / (n b_t) )",
    predictor="algorithm average",
    kind="expectation",
    averages_over=_AVERAGES,
    quantity=GAP,
    assumes=(*_ASSUMES, Assumption.EXAMPLES_ACT_IN_THEIR_BATCH),
    reference="Li2020",
    locator="Langevin dynamics, gradients along the path; the proof and the constant are those of the Notes",
)
def li_luo_qiao(
    squared_gradient_norms: ArrayLike,
    step_sizes: ArrayLike,
    noise_scales: ArrayLike,
    batch_sizes: ArrayLike,
    n: ArrayLike,
    sigma: ArrayLike,
) -> Float64:
    """Bound the expected gap of noisy training by the squared gradients of single examples along the path.

    Parameters
    ----------
    squared_gradient_norms : array_like, shape (..., T)
        E of the average over the examples i in the batch of step t of |g_{t,i}|^2 at W_{t-1}; or upper limits. More
        generally of |g_{t,i} - c_{t,i}|^2, with centres that are functions of W_0, ..., W_{t-1}, of the batches and of
        the examples other than i.
    step_sizes, noise_scales : array_like, shape (..., T)
        eta_t, and the standard deviation s_t of the noise that was added to each coordinate.
    batch_sizes : array_like of int, shape (..., T)
        Examples b_t in the batch; n for the full gradient.
    n : array_like of int
        Examples in the sample.
    sigma : array_like
        Sub-Gaussian parameter of the evaluation loss; 0.5 for a loss in [0, 1].

    Returns
    -------
    float64 or ndarray
        Upper bound on |E[L_mu(W) - L_S(W)]|, rounded up; infinite if a step tells something without noise.

    Raises
    ------
    ValueError
        If an argument is NaN or outside its range.

    Notes
    -----
    Proof: I(W; Z_i) <= I(W; Z_i | all other examples). Given those, example i enters step t through
    g_{t,i} / b_t alone, and only if it is in the batch: by the lemma the information is at most the sum over t of
    eta_t^2 / (2 s_t^2) E[1{i in B_t} |g_{t,i} - c_{t,i}|^2] / b_t^2. The average over i of sqrt(2 sigma^2 I(W; Z_i))
    is at most the root of the average, and the indicator sums to b_t.

    Difference from the paper: for the full gradient, a loss in [0, 1] and s_t^2 = 2 eta_t / beta_t this reads (1 / (2
    sqrt(2) n)) sqrt(sum_t eta_t beta_t E |g_{t,i}|^2), a quarter of sqrt(2) / n in front of the same root, because
    the information needs one comparison and not one for each of two samples. Mini-batches are new.

    The centres are what `negrea` improves: the average of the other examples' gradients in place of 0. With batches
    of one in random order the bound is looser than the truth by about sqrt(n), for the average over i is then inside
    the root; `wang_gao_calmon` keeps it outside.

    Examples
    --------
    One example, one step: a gradient as large as the noise over the step size gives sigma.

    >>> f"{li_luo_qiao([4.0], [0.1], [0.2], [1], 1, 0.5):.12f}"
    '0.500000000000'
    """
    moments = nonnegative("squared_gradient_norms", squared_gradient_norms)
    b, n = _batches(batch_sizes, n)
    terms = signal_to_noise(moments, step_sizes, noise_scales) / (n[..., None] * b)
    return root_of_sum(terms, nonnegative("sigma", sigma))


@theorem(
    statement=r"|\mathrm{gen}| \le \sigma\sqrt{\sum_t \frac{\eta_t^2}{s_t^2}\,"
    r"\frac{\mathbb{E}\,V_t}{b_t\,(n-1)}},\quad V_t=\frac1{n-1}\sum_i\|g_{t,i}-\bar g_t\|^2",
    formula="|gen| <= sigma sqrt( sum_t (eta_t / s_t)^2 E V_t / (b_t (n - 1)) ), V_t the sample variance of gradients",
    predictor="algorithm average",
    kind="expectation",
    averages_over=_AVERAGES,
    quantity=GAP,
    assumes=(*_ASSUMES, Assumption.EXAMPLES_ACT_IN_THEIR_BATCH, Assumption.UNIFORM_BATCHES),
    reference="Negrea2019",
    locator="Langevin dynamics, full batch and mini-batch, one example held out; the constant is derived in the Notes",
)
def negrea(
    gradient_variances: ArrayLike,
    step_sizes: ArrayLike,
    noise_scales: ArrayLike,
    batch_sizes: ArrayLike,
    n: ArrayLike,
    sigma: ArrayLike,
) -> Float64:
    """Bound the expected gap of noisy training by the variance of gradients within the sample (Negrea and others).

    Parameters
    ----------
    gradient_variances : array_like, shape (..., T)
        E of V_t = sum_i |g_{t,i} - mean_j g_{t,j}|^2 / (n - 1) at W_{t-1}, over all n examples of the sample, whether
        or not they are in the batch; or upper limits.
    step_sizes, noise_scales : array_like, shape (..., T)
        eta_t, and the standard deviation s_t of the noise that was added to each coordinate.
    batch_sizes : array_like of int, shape (..., T)
        Examples b_t in the batch; n for the full gradient.
    n : array_like of int
        Examples in the sample, at least 2.
    sigma : array_like
        Sub-Gaussian parameter of the evaluation loss; 0.5 for a loss in [0, 1].

    Returns
    -------
    float64 or ndarray
        Upper bound on |E[L_mu(W) - L_S(W)]|, rounded up; infinite if a step tells something without noise.

    Raises
    ------
    ValueError
        If an argument is NaN or outside its range.

    Notes
    -----
    Proof, and where the constant comes from. Take `li_luo_qiao` with the average of the other gradients
    as the centre: xi_i = g_i - mean_{j != i} g_j = (n / (n - 1)) (g_i - mean_j g_j). The average over i of |xi_i|^2
    is (n / (n - 1))^2 (n - 1) V_t / n = n V_t / (n - 1). A batch drawn uniformly, whatever the weights are, has this
    average too; divided by n b_t it is V_t / (b_t (n - 1)).

    For a loss in [0, 1] and s_t^2 = 2 eta_t / beta_t: sqrt( sum_t eta_t beta_t E V_t / (8 b_t (n - 1)) ), which with
    the variance that divides by n is sqrt( n / (8 b (n - 1)^2) sum_t eta_t beta_t E Var_t ). The 8 is right: 16, the
    number in code that has been published, would be a bound smaller by sqrt(2), and it is not one.

    Batches from a shuffled epoch are not covered: the weights then depend on which examples were used before. Take
    `li_luo_qiao` with the centred gradients of the batch itself. The bound grows like sqrt(T), though I(W_T; Z_i) may
    stay bounded.

    Examples
    --------
    Full gradient of two examples:

    >>> f"{negrea([1.0], [0.1], [0.2], [2], 2, 0.5):.12f}", f"{0.5 * np.sqrt(0.25 * 1 / (2 * 1)):.12f}"
    ('0.176776695297', '0.176776695297')
    """
    moments = nonnegative("gradient_variances", gradient_variances)
    b, n = _batches(batch_sizes, count("n", n, minimum=2, remedy="The bound holds one example out."))
    terms = signal_to_noise(moments, step_sizes, noise_scales) / ((n[..., None] - 1) * b)
    return root_of_sum(terms, nonnegative("sigma", sigma))


@theorem(
    statement=r"|\mathrm{gen}| \le \frac{\sigma}{n}\sum_j\sqrt{\sum_{t\in T_j}"
    r"\frac{\eta_t^2\,b_t\,\mathbb{E}\|g_t-c_t\|^2}{s_t^2}}",
    formula="|gen| <= (sigma / n) sum_j sqrt( sum_{t uses batch j} (eta_t / s_t)^2 b_t E|g_t - c_t|^2 )",
    predictor="algorithm average",
    kind="expectation",
    averages_over="samples, the start of the weights and the injected noise, for one given partition into batches",
    quantity=GAP,
    assumes=(*_ASSUMES, Assumption.EXAMPLES_ACT_IN_THEIR_BATCH, Assumption.DISJOINT_BATCHES),
    reference="WangGaoCalmon2023",
    locator="noisy mini-batch stochastic gradient descent with disjoint batches",
)
def wang_gao_calmon(
    batch_spreads: ArrayLike,
    step_sizes: ArrayLike,
    noise_scales: ArrayLike,
    batch_sizes: ArrayLike,
    batch_indices: ArrayLike,
    n: ArrayLike,
    sigma: ArrayLike,
) -> Float64:
    """Bound the expected gap of noisy mini-batch training, one batch after the other (Wang, Gao, Calmon).

    Parameters
    ----------
    batch_spreads : array_like, shape (..., T)
        E |g_t - c_t|^2, with centres c_t that are functions of W_0, ..., W_{t-1} and of the *other* batches'
        examples; or upper limits. The expected gradient at W_{t-1} is such a centre: in the first pass over the data
        this gives the variance of one gradient over b_t.
    step_sizes, noise_scales : array_like, shape (..., T)
        eta_t, and the standard deviation s_t of the noise that was added to each coordinate.
    batch_sizes : array_like of int, shape (..., T)
        Examples b_t in the batch.
    batch_indices : array_like of int, shape (T,)
        Which of the disjoint batches step t uses, from 0.
    n : array_like of int
        Examples in the sample.
    sigma : array_like
        Sub-Gaussian parameter of the evaluation loss; 0.5 for a loss in [0, 1].

    Returns
    -------
    float64 or ndarray
        Upper bound on |E[L_mu(W) - L_S(W)]|, rounded up; infinite if a step tells something without noise.

    Raises
    ------
    ValueError
        If an argument is NaN or outside its range, a batch changes its size, or the batches have more than n examples.

    Notes
    -----
    Proof: let S_j be the examples of batch j, b of them. By the lemma with all other batches as the
    context, I(W; S_j) <= sum over the steps of batch j of eta_t^2 E|g_t - c_t|^2 / (2 s_t^2): other steps do not look
    at S_j. The average over the batch of sqrt(2 sigma^2 I(W; Z_i)) is at most sqrt(2 sigma^2 I(W; S_j) / b). Batch j
    has weight b / n.

    For s_t^2 = 2 eta_t / beta_t it reads (sqrt(2 b) sigma / (2 n)) sum_j sqrt( sum_{t in T_j} eta_t beta_t E|g_t -
    c_t|^2 ).

    Difference from the paper: in later passes over the data the spread is about a centre that does not know the
    batch, at weights that do; the variance at weights independent of the batch is not what the proof needs. What
    later noise hides of earlier steps (their factors of decay, which take a bounded set of weights) is not counted.

    Examples
    --------
    Two batches of one example each, used once, signal as large as the noise: (0.5 / 2) (1 + 1).

    >>> f"{wang_gao_calmon([1.0, 1.0], [0.1, 0.1], [0.1, 0.1], [1, 1], [0, 1], 2, 0.5):.12f}"
    '0.500000000000'
    """
    moments = nonnegative("batch_spreads", batch_spreads)
    b, n = _batches(batch_sizes, n)
    terms = b * signal_to_noise(moments, step_sizes, noise_scales)
    labels = count("batch_indices", batch_indices, minimum=0)
    if labels.shape != terms.shape[-1:]:
        raise ValueError(
            f"batch_indices must have one entry a step, got shape {labels.shape} for {terms.shape[-1]} steps. "
            "Number the disjoint batches from 0."
        )
    used = np.zeros(np.broadcast_shapes(b.shape[:-1], n.shape))
    total: Float64 = np.zeros(terms.shape[:-1])
    distinct = np.unique(labels)
    for label in distinct:
        own = np.broadcast_to(b, terms.shape)[..., labels == label]
        if np.any(own != own[..., :1]):
            raise ValueError(
                f"batch_sizes must be the same whenever a batch is used, got {np.unique(own).tolist()} for batch "
                f"{label:g}. Give batches that differ different indices."
            )
        used = used + own[..., 0]
        total = total + root_of_sum(terms[..., labels == label], np.float64(1.0))
    if np.any(used > n):
        raise ValueError(
            f"batch_sizes must add up to at most n over the disjoint batches, got {used.max():g}. Check that "
            "no example is in two of them."
        )
    return round_up(nonnegative("sigma", sigma) * total / n, len(distinct) + 4)


@theorem(
    statement=r"|\mathbb{E}[L_{\mathrm{ghost}}-L_{\mathrm{train}}\mid\tilde z]| \le "
    r"\sqrt{\sum_t \frac{\eta_t^2}{s_t^2}\,\frac{1}{n\,b_t}\,\mathbb{E}\Big[\frac1{b_t}\sum_{i\in B_t}"
    r"\|\zeta_{t,i}\|^2\theta_{t,i}^2\,\Big|\,\tilde z\Big]}",
    formula="|E[L_ghost - L_train | z~]| <= "
    "sqrt( sum_t (eta_t / s_t)^2 E[ average over the batch of |zeta|^2 theta^2 | z~ ] / (n b_t) )",
    predictor="algorithm average",
    kind="expectation",
    averages_over="masks, the start of the weights, batches and the injected noise, for any one supersample",
    quantity=SUPERSAMPLE_GAP,
    assumes=(
        Assumption.INDEPENDENT_SAMPLE,
        Assumption.LOSS_IN_UNIT_INTERVAL,
        *_STEPS,
        Assumption.EXAMPLES_ACT_IN_THEIR_BATCH,
    ),
    reference="Haghifam2020",
    locator="Langevin dynamics, conditional mutual information with a predictor of the mask",
)
def haghifam_langevin(
    weighted_differences: ArrayLike,
    step_sizes: ArrayLike,
    noise_scales: ArrayLike,
    batch_sizes: ArrayLike,
    n: ArrayLike,
) -> Float64:
    """Bound the gap of noisy training by what the path gives away about which of two examples was used.

    For every given supersample z~ of n pairs: one of each pair is trained on, by fair independent masks U, the other is
    its ghost.

    Parameters
    ----------
    weighted_differences : array_like, shape (..., T)
        E, given z~, of the average over the examples i in the batch of step t of |zeta_{t,i}|^2 theta_{t,i}^2 at
        W_{t-1}. zeta is the difference of the two gradients that pair i could give. theta in [0, 1] is the
        probability that a predictor of U_i gives to the wrong one; the predictor may use W_0, ..., W_{t-1}, the
        batches, the supersample and the other masks. Or upper limits.
    step_sizes, noise_scales : array_like, shape (..., T)
        eta_t, and the standard deviation s_t of the noise that was added to each coordinate.
    batch_sizes : array_like of int, shape (..., T)
        Examples b_t in the batch; n for the full gradient.
    n : array_like of int
        Pairs in the supersample, examples trained on.

    Returns
    -------
    float64 or ndarray
        Upper bound on |E[L_ghost - L_train]| for that supersample, rounded up, 1 where the formula exceeds 1.

    Raises
    ------
    ValueError
        If an argument is NaN or outside its range.

    Notes
    -----
    Proof: given z~ and the other masks, W knows U_i through g_{t,i} / b_t alone. With the centre p g^1 +
    (1 - p) g^0, where p is the predicted probability of U_i = 1, the distance to the centre is theta |zeta|. By the
    lemma I(W; U_i | z~, other masks) <= sum_t eta_t^2 / (2 s_t^2) E[1{i in B_t} |zeta_{t,i}|^2 theta_{t,i}^2] /
    b_t^2. The gap of pair i is at most sqrt(2 I(W; U_i | z~)): (-1)^{U_i} times a difference of losses lies in [-1,
    1] and has mean 0 if U_i is independent. Average over i inside the root.

    For the full gradient and s_t^2 = 2 eta_t / beta_t: (1 / (sqrt(2) n)) sqrt( sum_t eta_t beta_t E|zeta_t|^2
    theta_t^2 ). Once the path has given U_i away, a good predictor makes theta small and the sum stops growing: with
    posterior probabilities and small steps, at 2 ln 2 for each example. theta = 1/2 throughout is the bound without a
    predictor.

    Averaged over supersamples it bounds |E[L_mu - L_S]|. By Jensen the expectations over supersamples may also be taken
    first, inside the root.

    Examples
    --------
    One pair with gradients -1 and 1, nothing known in advance (theta = 1/2), noise four times the step:

    >>> f"{haghifam_langevin([2.0**2 / 4], [0.1], [0.4], [1], 1):.12f}"
    '0.250000000000'
    """
    moments = nonnegative("weighted_differences", weighted_differences)
    b, n = _batches(batch_sizes, n)
    terms = signal_to_noise(moments, step_sizes, noise_scales) / (n[..., None] * b)
    return np.minimum(root_of_sum(terms, np.float64(1.0)), 1.0)
