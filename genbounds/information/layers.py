r"""Bounds on the gap of a network by what its layers still tell about the training sample.

Notation: the network with weights W turns an input X into representations T_0 = X, T_1, ..., T_L, each from the one
before it and, if the layer is noisy, from fresh noise; the loss l(T_L, Y) sees the output and the label Y alone. (X, Y)
is a new example, independent of W, and T_l its representation; T_{l,i} is that of the training example (X_i, Y_i).
Given the weights, the gap is a difference of means of one function under two laws,

    E[L_mu(W) - L_S(W) | W] = (1/n) sum_i ( E[l(T_L, Y) | W] - E[l(T_{L,i}, Y_i) | W] ),

so that any distance of the laws of (T_{l,i}, Y_i) and (T_l, Y) given W bounds it that controls means, at any layer l.
Both laws go through the same layers, which brings them together: relative entropy never grows from layer to layer, and
noise makes it shrink by a known factor (`genbounds.information.contraction`). The label does not go through the layers,
so no noise shrinks what it tells.

The noise has to be on when the risks are measured. All information is in nats.
"""

import numpy as np
from numpy.typing import ArrayLike

from genbounds.numerics import Float64, count, nonnegative, round_up, unit_interval
from genbounds.numerics.checks import positive
from genbounds.numerics.rounding import mean_up
from genbounds.theorems import Assumption, theorem
from genbounds.theorems.quantities import GAP

__all__ = [
    "contracted_gibbs",
    "contracted_gibbs_labels",
    "contracted_information",
    "hierarchical_information",
    "hierarchical_wasserstein",
]

_AVERAGES = "samples, the algorithm's randomness and the network's noise"
_NETWORK = (Assumption.IID, Assumption.LOSS_OF_OUTPUT, Assumption.FRESH_NOISE)


@theorem(
    statement=r"\left|\mathbb{E}[L_\mu(W)-L_S(W)]\right| \le \frac{\sigma\sqrt2}{n}\sum_{i=1}^{n}"
    r"\sqrt{\mathrm{KL}\!\left(P_{T_{l,i},Y_i|W}\,\middle\|\,P_{T_l,Y|W}\,\middle|\,P_W\right)}",
    formula="|E[L_mu(W) - L_S(W)]| <= (sigma sqrt(2) / n) sum_i sqrt( KL(P_{T_li,Y_i|W} || P_{T_l,Y|W} | P_W) )",
    predictor="algorithm average",
    kind="expectation",
    quantity=GAP,
    averages_over=_AVERAGES,
    assumes=(*_NETWORK, Assumption.LOSS_SUB_GAUSSIAN, Assumption.INFORMATION_NOT_ESTIMATED),
    reference="HeGoldfeld2025",
    locator="hierarchical bound by relative entropy; derived in the notes",
)
def hierarchical_information(layer_divergences: ArrayLike, sigma: ArrayLike) -> Float64:
    """Bound the expected gap by how far training and test representations differ at one layer, given the weights.

    For every distribution of the data, every algorithm and every layer l, on average over n independent examples, the
    algorithm's randomness and the network's noise:
    |E[L_mu(W) - L_S(W)]| <= (sigma sqrt(2) / n) sum_i sqrt(KL(P_{T_li,Y_i|W} || P_{T_l,Y|W} | P_W)).

    Parameters
    ----------
    layer_divergences : array_like, shape (..., n)
        Relative entropy of the law of (T_{l,i}, Y_i) given W to that of (T_l, Y) given W, averaged over W, for each
        example; nats, or an upper bound of it, in [0, inf]. Leading axes may stand for layers.
    sigma : array_like, shape (...)
        Sub-Gaussian parameter of l(T_L, Y) under the law of a test example, for every W, positive: 0.5 for a loss in
        [0, 1].

    Returns
    -------
    float64 or ndarray, shape (...)
        Upper bound on |E[L_mu(W) - L_S(W)]|, rounded up; not capped, as the loss may be unbounded.

    Raises
    ------
    ValueError
        If an argument is NaN or outside its range, or has no last axis.

    Notes
    -----
    Proof: given W = w, Donsker and Varadhan for the two laws of (T_L, Y) with f = t l and f = -t l bound the difference
    of the means of l by sqrt(2 sigma^2 KL_w). Average over w (the root is concave) and over i. The output and the label
    are made of (T_l, Y) by the same layers for training and test examples, so that data processing puts the relative
    entropy at any earlier layer in the place of that at the last.

    The bound never grows with l. At l = 0 the relative entropy is I(X_i, Y_i; W), and the bound is
    `bu_zou_veeravalli`; at l = L it is smallest. The gain comes from what the layers forget: layers that can be
    inverted forget nothing, in a linear network only a lower rank does. It holds for each value of the weights by
    itself too; averaging those bounds instead of the relative entropies gives a smaller number.

    A network without noise, of which continuous weights remember an example, may have an infinite relative entropy at
    every layer: `hierarchical_wasserstein` is finite there.

    Examples
    --------
    Input, hidden layer and output of a network trained on two examples:

    >>> hierarchical_information([[0.08, 0.08], [0.02, 0.02], [0.005, 0.005]], 0.5).round(12).tolist()
    [0.2, 0.1, 0.05]
    """
    divergences = nonnegative("layer_divergences", layer_divergences, "Pass relative entropies in nats.")
    with np.errstate(over="ignore"):  # to infinity, an upper bound
        return round_up(positive("sigma", sigma) * mean_up(np.sqrt(2 * divergences), 5), 1)


@theorem(
    statement=r"\left|\mathbb{E}[L_\mu(W)-L_S(W)]\right| \le \frac{\rho\,(1\vee\Lambda_l)}{n}\sum_{i=1}^{n}"
    r"\mathbb{E}\left[\mathbb{W}_1(P_{T_{l,i},Y_i|W},P_{T_l,Y|W})\right]",
    formula="|E[L_mu(W) - L_S(W)]| <= (output_lipschitz max(1, remaining_lipschitz) / n) sum_i E W1(P_{T_li,Y_i|W}, "
    "P_{T_l,Y|W})",
    predictor="algorithm average",
    kind="expectation",
    quantity=GAP,
    averages_over=_AVERAGES,
    assumes=(*_NETWORK, Assumption.NETWORK_LIPSCHITZ, Assumption.INFORMATION_NOT_ESTIMATED),
    reference="HeGoldfeld2025",
    locator="hierarchical bound by the 1-Wasserstein distance; derived in the notes",
)
def hierarchical_wasserstein(
    layer_distances: ArrayLike, output_lipschitz: ArrayLike, remaining_lipschitz: ArrayLike
) -> Float64:
    """Bound the expected gap by the transport distance of training and test representations at one layer.

    For every distribution of the data, every algorithm and every layer l, on average over n independent examples, the
    algorithm's randomness and the network's noise: |E[L_mu(W) - L_S(W)]| <= (rho max(1, Lambda_l) / n) sum_i
    E W1(P_{T_li,Y_i|W}, P_{T_l,Y|W}), the expectation being over W.

    Parameters
    ----------
    layer_distances : array_like, shape (..., n)
        E W1 between the laws of (T_{l,i}, Y_i) and (T_l, Y) given W, for each example, or an upper bound of it, in
        [0, inf]. The distance of two points is d(t, t') + d(y, y'), or the root of the sum of their squares, or the
        larger of the two. Leading axes may stand for layers.
    output_lipschitz : array_like, shape (...)
        rho, the Lipschitz constant of the loss in (output, label), in that metric, in [0, inf].
    remaining_lipschitz : array_like, shape (...)
        Lambda_l, that of all layers after the l-th together, for all weights that the algorithm can put out and every
        value of the noise, in [0, inf]: the product of the norms of their matrices and the constants of their
        activations; 1 at the output. Where it depends on the weights, pass 1 here and the average of
        max(1, Lambda_l) W1 as `layer_distances`.

    Returns
    -------
    float64 or ndarray, shape (...)
        Upper bound on |E[L_mu(W) - L_S(W)]|, rounded up; not capped, as the loss may be unbounded.

    Raises
    ------
    ValueError
        If an argument is NaN or outside its range, or has no last axis.

    Notes
    -----
    Proof: given the weights and the noise of the later layers, (t_l, y) -> l(t_L, y) has the Lipschitz constant
    rho max(1, Lambda_l): max(1, Lambda_l) is that of (t_l, y) -> (t_L, y), which leaves the label alone. So has its
    mean over the noise. Kantorovich and Rubinstein; average over W and i.

    Where the minimum is. In the metric Lambda_l d(t, t') + d(y, y'), for which remaining_lipschitz=1 is right, the
    bound is never larger, and it never grows from one layer to the next: a coupling at layer l, pushed through the
    layer, costs no more. So in the population the smallest bound is *always* that of the output layer. A minimum at an
    inner layer, a "funnel", comes from leaving out the constants, or from distances between finite samples, which are
    too large by about m^(-1/d), the more so the wider the layer (`genbounds.information.representations.funnels` tells
    which).

    Examples
    --------
    A loss with rho = 1/2, two layers of norm 3 and 2 to go, one to go, and none:

    >>> hierarchical_wasserstein([[0.1, 0.3], [0.3, 0.5], [0.4, 0.6]], 0.5, [6.0, 2.0, 1.0]).round(12).tolist()
    [0.6, 0.4, 0.25]
    """
    distances = nonnegative("layer_distances", layer_distances, "Pass distances in the metric of output_lipschitz.")
    constant = nonnegative("output_lipschitz", output_lipschitz)
    rest = np.maximum(nonnegative("remaining_lipschitz", remaining_lipschitz), 1.0)
    mean = mean_up(distances, 0)
    with np.errstate(over="ignore", invalid="ignore"):  # to infinity, an upper bound; 0 times infinity is 0 here
        return round_up(np.where((constant > 0) & (distances.max(axis=-1) > 0), constant * rest * mean, 0.0)[()], 2)


@theorem(
    statement=r"\left|\mathbb{E}[L_\mu(W)-L_S(W)]\right| \le \frac{\sigma\sqrt2}{n}\sum_{i=1}^{n}"
    r"\sqrt{I(Y_i;W)+\eta\, I(X_i;W|Y_i)}",
    formula="|E[L_mu(W) - L_S(W)]| <= (sigma sqrt(2) / n) sum_i sqrt( I(Y_i;W) + contraction I(X_i;W|Y_i) )",
    predictor="algorithm average",
    kind="expectation",
    quantity=GAP,
    averages_over=_AVERAGES,
    assumes=(
        *_NETWORK,
        Assumption.LOSS_SUB_GAUSSIAN,
        Assumption.CONTRACTION_FOR_ALL_WEIGHTS,
        Assumption.INFORMATION_NOT_ESTIMATED,
    ),
    reference="HeGoldfeld2025",
    locator="contraction by noisy layers; with the label split off, derived in the notes",
)
def contracted_information(
    label_information: ArrayLike, feature_information: ArrayLike, contraction: ArrayLike, sigma: ArrayLike
) -> Float64:
    """Bound the expected gap of a network with noisy layers by information of which the noise lets only a part through.

    For every distribution of the data and every algorithm, on average over n independent examples, the algorithm's
    randomness and the network's noise:
    |E[L_mu(W) - L_S(W)]| <= (sigma sqrt(2) / n) sum_i sqrt(I(Y_i;W) + eta I(X_i;W|Y_i)).

    Parameters
    ----------
    label_information : array_like, shape (..., n)
        I(Y_i;W) in nats for each example, or an upper bound of it, in [0, inf].
    feature_information : array_like, shape (..., n)
        I(X_i;W|Y_i) in nats for each example, or an upper bound of it, in [0, inf].
    contraction : array_like, shape (...)
        KL contraction coefficient eta of the network from its input to its output, in [0, 1], for all weights: the
        product over the noisy layers (`genbounds.information.contraction`).
    sigma : array_like, shape (...)
        Sub-Gaussian parameter of l(T_L, Y) under the law of a test example, for every W, positive: 0.5 for a loss in
        [0, 1].

    Returns
    -------
    float64 or ndarray, shape (...)
        Upper bound on |E[L_mu(W) - L_S(W)]|, rounded up; not capped, as the loss may be unbounded.

    Raises
    ------
    ValueError
        If an argument is NaN or outside its range, or has no last axis.

    Notes
    -----
    Proof: `hierarchical_information` at the output. By the chain rule its relative entropy is that of the label,
    I(Y_i;W), plus KL(P_{T_Li|Y_i,W} || P_{T_L|Y,W} | P_{Y_i,W}). Given label and weights, the two laws in it are those
    of X_i and of X, which is independent of W, behind the same channel: contraction leaves eta I(X_i;W|Y_i).

    Difference from what is often written: eta times the whole I(X_i,Y_i;W) is *not* a bound, as the loss sees the label
    without noise. Let the noise erase the features (eta = 0), and let the algorithm output the label that it saw most:
    that form says 0, and the gap with fair labels is 1/2 for n = 1, 1/4 for n = 2 and 3
    (`genbounds.worlds.label_memoriser`).

    The noise must be on when the risks are measured. A network that is noisy in training alone has eta = 1.

    Examples
    --------
    The memoriser of one fair label behind features that are erased:

    >>> f"{contracted_information([np.log(2)], [0.0], 0.0, 0.5):.4f}"  # sqrt(ln(2) / 2)
    '0.5887'

    A bit of the features behind a binary symmetric channel that flips with probability 1/4:

    >>> f"{contracted_information([0.0], [np.log(2)], 0.25, 0.5):.4f}"
    '0.2944'
    """
    label = nonnegative("label_information", label_information, "Pass I(Y_i;W) in nats.")
    feature = nonnegative("feature_information", feature_information, "Pass I(X_i;W|Y_i) in nats.")
    eta = unit_interval("contraction", contraction, "Pass a contraction coefficient.")[..., None]
    with np.errstate(over="ignore", invalid="ignore"):  # to infinity, an upper bound; what is erased is 0
        kept = np.where(eta > 0, eta * feature, 0.0)
        return round_up(positive("sigma", sigma) * mean_up(np.sqrt(2 * (label + kept)), 7), 1)


@theorem(
    statement=r"0 \le \mathbb{E}[L_\mu(W)-L_S(W)] \le \tanh\frac{\eta\gamma}{4n}",
    formula="0 <= E[L_mu(W) - L_S(W)] <= tanh( example_contraction gamma / (4n) )",
    predictor="algorithm average",
    kind="expectation",
    quantity=GAP,
    averages_over=_AVERAGES,
    assumes=(
        *_NETWORK,
        Assumption.LOSS_IN_UNIT_INTERVAL,
        Assumption.GIBBS_ALGORITHM,
        Assumption.CONTRACTION_FOR_ALL_WEIGHTS,
    ),
    reference="HeGoldfeld2025",
    locator="the Gibbs algorithm with noisy layers; derived anew in the notes",
)
def contracted_gibbs(example_contraction: ArrayLike, inverse_temperature: ArrayLike, n: ArrayLike) -> Float64:
    """Bound the expected gap of the Gibbs algorithm over the weights of a network all of whose view is noisy.

    For every distribution of the data, every loss in [0, 1] and every prior, on average over n independent examples,
    the algorithm's draw and the network's noise: E[L_mu(W) - L_S(W)] <= tanh(eta gamma / (4n)).

    Parameters
    ----------
    example_contraction : array_like
        KL contraction coefficient eta, in [0, 1] and for all weights, of the channel from the *whole example* to all
        that the loss sees of it. It is the network's own only where the loss sees nothing beside the output, as in
        learning without labels; a label that goes round the noise makes it 1.
    inverse_temperature : array_like
        gamma, positive and finite; it multiplies the average over the examples of the loss, which is itself an average
        over the noise.
    n : array_like of int
        Examples in a sample, at least 1.

    Returns
    -------
    float64 or ndarray
        Upper bound on the gap, rounded up, at most 1.

    Raises
    ------
    ValueError
        If an argument is NaN or outside its range.

    Notes
    -----
    Proof: as for `gibbs_gap`, give all examples but Z_i; J is the law of (W, Z_i), M the product of its marginals,
    g = E_M l - E_J l, and (gamma / n) g = KL(J || M) + KL(M || J). Let J', M' be the laws of W and what the loss sees
    of Z_i, and v' their total variation, which is at least g. Given W, which has the same law under J and M, the
    channel contracts relative entropy in both directions: KL(J' || M') + KL(M' || J') <= eta (gamma / n) g. The left
    side is at least 2 v' ln((1 + v') / (1 - v')), so that 4 artanh(v') <= eta gamma / n, as g <= v'. Average over the
    other examples and over i.

    With eta = 1 it is `gibbs_gap`. From I(S;W) <= gamma gap alone one gets eta gamma / (2n), twice as much. With a
    label beside the output: `contracted_gibbs_labels`.

    Examples
    --------
    A fair bit behind a channel that flips with probability 1/4, predicted with gamma = 1/2: the gap is 0.0311.

    >>> f"{contracted_gibbs(0.25, 0.5, 1):.4f}", f"{np.tanh(0.5 * 0.5 / 2) / 4:.4f}"
    ('0.0312', '0.0311')
    """
    eta = unit_interval("example_contraction", example_contraction, "Pass a contraction coefficient.")
    exponent = eta * positive("inverse_temperature", inverse_temperature) / (4 * count("n", n))
    return np.minimum(round_up(np.tanh(exponent), 7), 1.0)


@theorem(
    statement=r"0 \le \mathbb{E}[L_\mu(W)-L_S(W)] \le b+\sqrt{b^2+\frac{2\sigma^2(1-\eta)}{n}\sum_{i=1}^{n}I(Y_i;W)},"
    r"\quad b=\frac{\sigma^2\eta\gamma}{n}",
    formula="0 <= E[L_mu(W) - L_S(W)] <= b + sqrt( b^2 + 2 sigma^2 (1 - contraction) mean_i I(Y_i;W) ), "
    "b = sigma^2 contraction gamma / n",
    predictor="algorithm average",
    kind="expectation",
    quantity=GAP,
    averages_over=_AVERAGES,
    assumes=(
        *_NETWORK,
        Assumption.LOSS_SUB_GAUSSIAN,
        Assumption.GIBBS_ALGORITHM,
        Assumption.CONTRACTION_FOR_ALL_WEIGHTS,
        Assumption.INFORMATION_NOT_ESTIMATED,
    ),
    reference="HeGoldfeld2025",
    locator="the Gibbs algorithm with noisy layers; with the label split off, derived in the notes",
)
def contracted_gibbs_labels(
    label_information: ArrayLike, contraction: ArrayLike, inverse_temperature: ArrayLike, sigma: ArrayLike
) -> Float64:
    """Bound the expected gap of the Gibbs algorithm over the weights of a noisy network that is judged by a label.

    For every distribution of the data and every prior, on average over n independent examples, the algorithm's draw and
    the network's noise: E[L_mu(W) - L_S(W)] <= b + sqrt(b^2 + 2 sigma^2 (1 - eta) mean_i I(Y_i;W)) with
    b = sigma^2 eta gamma / n.

    Parameters
    ----------
    label_information : array_like, shape (..., n)
        I(Y_i;W) in nats for each example, or an upper bound of it, in [0, inf]. It is at most ln(number of labels), and
        their sum at most ln(number of different weights).
    contraction : array_like, shape (...)
        KL contraction coefficient eta of the network from its input to its output, in [0, 1], for all weights.
    inverse_temperature : array_like, shape (...)
        gamma, positive and finite; it multiplies the average over the examples of the loss, which is itself an average
        over the noise.
    sigma : array_like, shape (...)
        Sub-Gaussian parameter of l(T_L, Y) under the law of a test example, for every W, positive: 0.5 for a loss in
        [0, 1].

    Returns
    -------
    float64 or ndarray, shape (...)
        Upper bound on the gap, rounded up; not capped, as the loss may be unbounded.

    Raises
    ------
    ValueError
        If an argument is NaN or outside its range, or has no last axis.

    Notes
    -----
    Proof: with a = mean_i I(Y_i;W) and a + f = mean_i I(X_i,Y_i;W), `contracted_information` and the concavity of the
    root give g^2 <= 2 sigma^2 (a + eta f) = 2 sigma^2 ((1 - eta) a + eta (a + f)) for the gap g. For independent
    examples n (a + f) <= I(S;W), and I(S;W) <= gamma g for the Gibbs algorithm (`aminian`). So
    g^2 <= 2 b g + 2 sigma^2 (1 - eta) a.

    Without noise, eta = 1, the labels drop out and 2 sigma^2 gamma / n remains. The form 2 sigma^2 eta gamma / n, with
    no term for the labels, holds only where they tell nothing of the weights (a = 0).

    Examples
    --------
    Labels that tell nothing, and labels that tell all behind features that are erased:

    >>> f"{contracted_gibbs_labels([0.0, 0.0], 0.5, 0.8, 0.5):.12f}"  # 2 * 0.25 * 0.5 * 0.8 / 2
    '0.100000000000'
    >>> f"{contracted_gibbs_labels([np.log(2)], 0.0, 0.8, 0.5):.4f}"  # sqrt(ln(2) / 2)
    '0.5887'
    """
    label = nonnegative("label_information", label_information, "Pass I(Y_i;W) in nats.")
    eta, scale = unit_interval("contraction", contraction, "Pass a contraction coefficient."), positive("sigma", sigma)
    gamma, kept, mean = positive("inverse_temperature", inverse_temperature), 1 - eta, mean_up(label, 0)
    with np.errstate(over="ignore", invalid="ignore"):  # to infinity, an upper bound; 0 times infinity is 0 here
        half = scale * scale * eta * gamma / label.shape[-1]
        half = np.where(eta > 0, np.maximum(half, np.finfo(np.float64).tiny), 0.0)  # what underflows is not nothing
        rest = np.where(kept > 0, scale * np.sqrt(2 * kept) * np.sqrt(mean), 0.0)
        return round_up(half + np.hypot(half, rest), 20)
