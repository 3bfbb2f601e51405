r"""Bounds on the gap of a learning algorithm by what its output tells about single examples.

Notation as in `genbounds.information.mutual_information`. The gap is an average over examples,

    E[L_mu(W) - L_S(W)] = (1/n) sum_i (E l(W', Z_i') - E l(W, Z_i)),    W' ~ P_W and Z_i' ~ mu independent,

so only the laws of the pairs (W, Z_i) matter, and any distance between such a law and the product of its marginals that
controls the mean of the loss gives a bound. For independent examples I(W;Z_1) + ... + I(W;Z_n) <= I(S;W): these bounds
are never above those by the whole sample, and are finite for most deterministic algorithms. Mind the condition:
I(W;Z_i) is not I(W;Z_i | the other examples), which is at least as large and sums to at least I(S;W).
"""

import numpy as np
from numpy.typing import ArrayLike

from genbounds.information.mutual_information import AVERAGES, legendre
from genbounds.numerics import Float64, nonnegative, round_up, unit_interval
from genbounds.numerics.checks import positive
from genbounds.numerics.rounding import mean_up
from genbounds.theorems import Assumption, theorem
from genbounds.theorems.quantities import GAP

__all__ = [
    "bu_zou_veeravalli",
    "bu_zou_veeravalli_cgf",
    "rodriguez_galvez_total_variation",
    "rodriguez_galvez_wasserstein",
]


@theorem(
    statement=r"\left|\mathbb{E}[L_\mu(W)-L_S(W)]\right| \le \frac1n\sum_{i=1}^{n}\sqrt{2\sigma^2\, I(W;Z_i)}",
    formula="|E[L_mu(W) - L_S(W)]| <= (1/n) sum_i sqrt( 2 sigma^2 I(W;Z_i) )",
    predictor="algorithm average",
    kind="expectation",
    quantity=GAP,
    averages_over=AVERAGES,
    assumes=(Assumption.IID, Assumption.LOSS_SUB_GAUSSIAN, Assumption.INFORMATION_NOT_ESTIMATED),
    reference="BuZouVeeravalli2020",
    locator="main theorem for sub-Gaussian losses (individual-sample mutual information)",
)
def bu_zou_veeravalli(individual_information: ArrayLike, sigma: ArrayLike) -> Float64:
    """Bound the expected gap by the information that the output has about each example by itself.

    For every distribution of the data and every algorithm, on average over n independent examples and the algorithm's
    randomness: |E[L_mu(W) - L_S(W)]| <= (1/n) sum_i sqrt(2 sigma^2 I(W;Z_i)).

    Parameters
    ----------
    individual_information : array_like, shape (..., n)
        I(W;Z_i) in nats for each example, or an upper bound of it, in [0, inf].
    sigma : array_like, shape (...)
        Sub-Gaussian parameter of the loss, positive: 0.5 for a loss in [0, 1]. Of l(w, Z) for every w, or of
        l(W', Z') with W' and Z' independent.

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
    Proof: Donsker and Varadhan for the law of (W, Z_i) against the product of its marginals, with f = -t l and with
    f = t l; the average over i at the end. If the loss is sub-Gaussian below its mean only, the number bounds
    E[L_mu(W) - L_S(W)].

    Never above `xu_raginsky`, by the chain rule for independent examples and because the root is concave. For the mean
    of n Gaussians it is too large by a factor that grows like sqrt(n): `rodriguez_galvez_wasserstein` is not.

    Examples
    --------
    Two fair bits of which the first is put out:

    >>> f"{bu_zou_veeravalli([np.log(2), 0.0], 0.5):.10f}"  # sqrt(ln(2) / 2) / 2
    '0.2943525056'
    """
    information = nonnegative("individual_information", individual_information, "Pass I(W;Z_i) in nats.")
    with np.errstate(over="ignore"):  # to infinity, an upper bound
        return round_up(positive("sigma", sigma) * mean_up(np.sqrt(2 * information), 5), 1)


@theorem(
    statement=r"\left|\mathbb{E}[L_\mu(W)-L_S(W)]\right| \le "
    r"\frac1n\sum_{i=1}^{n}\min_k \frac{I(W;Z_i)+\psi(\lambda_k)}{\lambda_k}",
    formula="|E[L_mu(W) - L_S(W)]| <= (1/n) sum_i min_k [I(W;Z_i) + cgf_k] / rate_k",
    predictor="algorithm average",
    kind="expectation",
    quantity=GAP,
    averages_over=AVERAGES,
    assumes=(Assumption.IID, Assumption.LOSS_CUMULANTS, Assumption.INFORMATION_NOT_ESTIMATED),
    reference="BuZouVeeravalli2020",
    locator="main theorem (individual-sample mutual information, inverse of a Legendre transform)",
)
def bu_zou_veeravalli_cgf(individual_information: ArrayLike, rates: ArrayLike, cgf: ArrayLike) -> Float64:
    """Bound the expected gap by the information about each example, for a loss with any exponential moments.

    For every distribution of the data and every algorithm, on average over n independent examples and the algorithm's
    randomness: |E[L_mu(W) - L_S(W)]| <= (1/n) sum_i (I(W;Z_i) + psi(t_i)) / t_i for all t_i > 0, where psi(t) is at
    least ln E exp(t (m - l)) and ln E exp(-t (m - l)), l being the loss on a fresh example and m its mean.

    Parameters
    ----------
    individual_information : array_like, shape (..., n)
        I(W;Z_i) in nats for each example, or an upper bound of it, in [0, inf].
    rates : array_like, shape (K,)
        Values of t, positive. Any finite list gives a bound: each example takes its best.
    cgf : array_like, shape (K,)
        psi at those rates, in [0, inf]: for every w by itself, or for (W', Z') drawn independently.

    Returns
    -------
    float64 or ndarray, shape (...)
        Upper bound on |E[L_mu(W) - L_S(W)]|, rounded up.

    Raises
    ------
    ValueError
        If an argument is NaN or outside its range, or the two lists are empty or of different lengths.

    Notes
    -----
    Proof: Donsker and Varadhan for the law of (W, Z_i) against the product of its marginals, with f = t_i (m - l);
    m = L_mu(w) if psi is one for every w, E l(W', Z') else. If psi is at least ln E exp(t (m - l)) alone, which only
    needs the lower tail of the loss, the number bounds E[L_mu(W) - L_S(W)] from above.

    Never above `xu_raginsky_cgf` with the same lists. psi(t) = t^2 sigma^2 / 2 gives `bu_zou_veeravalli` at the best
    rates. Choosing among rates is free: nothing here depends on the sample.

    Examples
    --------
    The squared loss of the mean of 10 standard normal examples: (W - Z)^2 = 1.1 N^2 for a fresh one, with
    psi(t) = 1.1 t - ln(1 + 2.2 t) / 2, and I(W;Z_i) = ln(10 / 9) / 2. The gap is 0.2.

    >>> rates = np.geomspace(0.01, 10, 2000)
    >>> cgf = 1.1 * rates - np.log1p(2.2 * rates) / 2
    >>> f"{bu_zou_veeravalli_cgf(np.full(10, np.log(10 / 9) / 2), rates, cgf):.5f}"
    '0.43082'
    """
    information = nonnegative("individual_information", individual_information, "Pass I(W;Z_i) in nats.")
    return mean_up(legendre(information, rates, cgf), 0)


@theorem(
    statement=r"\left|\mathbb{E}[L_\mu(W)-L_S(W)]\right| \le \frac1n\sum_{i=1}^{n}\mathrm{TV}(P_{W,Z_i},P_W\otimes\mu)",
    formula="|E[L_mu(W) - L_S(W)]| <= (1/n) sum_i TV(P_{W,Z_i}, P_W x mu)",
    predictor="algorithm average",
    kind="expectation",
    quantity=GAP,
    averages_over=AVERAGES,
    assumes=(Assumption.IID, Assumption.LOSS_IN_UNIT_INTERVAL, Assumption.INFORMATION_NOT_ESTIMATED),
    reference="RodriguezGalvez2021",
    locator="Theorem 1 with the discrete metric",
)
def rodriguez_galvez_total_variation(total_variations: ArrayLike) -> Float64:
    """Bound the expected gap by total variations between output and single examples, for losses in [0, 1].

    For every distribution of the data and every algorithm, on average over n independent examples and the algorithm's
    randomness: |E[L_mu(W) - L_S(W)]| <= (1/n) sum_i TV(P_{W,Z_i}, P_W x mu).

    Parameters
    ----------
    total_variations : array_like, shape (..., n)
        Total variation for each example, or an upper bound of it, in [0, 1]: the largest difference of probabilities,
        which is *half* the sum of absolute differences.

    Returns
    -------
    float64 or ndarray, shape (...)
        Upper bound on |E[L_mu(W) - L_S(W)]|, rounded up, at most 1.

    Raises
    ------
    ValueError
        If an argument is NaN or outside its range, or has no last axis.

    Notes
    -----
    Proof: the means of a function with values in [0, 1] under two laws differ by at most their total variation. It is
    also the mean over Z_i of TV(P_{W|Z_i}, P_W).

    By Pinsker's inequality never above `bu_zou_veeravalli` with sigma = 1/2. Traps: the total variation for the whole
    sample is never below that for an example and does not shrink with n; a plug-in estimate on a finer and finer
    histogram tends to 1; and for an algorithm with continuous weights that remembers each example it is 1 whatever the
    loss, where `rodriguez_galvez_wasserstein` still sees how far the output moved.

    Examples
    --------
    One fair bit learnt by heart: the total variation and the gap are 1/2.

    >>> f"{rodriguez_galvez_total_variation([0.5]):.12f}"
    '0.500000000000'
    """
    return np.minimum(
        mean_up(unit_interval("total_variations", total_variations, "Halve the sum of differences."), 0), 1.0
    )


@theorem(
    statement=r"\left|\mathbb{E}[L_\mu(W)-L_S(W)]\right| \le \frac{\rho}{n}\sum_{i=1}^{n}"
    r"\mathbb{E}\left[\mathbb{W}_1(P_{W|Z_i},P_W)\right]",
    formula="|E[L_mu(W) - L_S(W)]| <= (lipschitz / n) sum_i E W1(P_{W|Z_i}, P_W)",
    predictor="algorithm average",
    kind="expectation",
    quantity=GAP,
    averages_over=AVERAGES,
    assumes=(Assumption.IID, Assumption.LOSS_LIPSCHITZ, Assumption.INFORMATION_NOT_ESTIMATED),
    reference="RodriguezGalvez2021",
    locator="Theorem 1",
)
def rodriguez_galvez_wasserstein(wasserstein_distances: ArrayLike, lipschitz: ArrayLike) -> Float64:
    """Bound the expected gap by how far the law of the output moves when one example is known.

    For every distribution of the data, every algorithm and every loss that is Lipschitz in w for each example, on
    average over n independent examples and the algorithm's randomness:
    |E[L_mu(W) - L_S(W)]| <= (lipschitz / n) sum_i E W1(P_{W|Z_i}, P_W), the expectation being over Z_i.

    Parameters
    ----------
    wasserstein_distances : array_like, shape (..., n)
        E W1(P_{W|Z_i}, P_W) for each example, or an upper bound of it, in [0, inf], in the metric of `lipschitz`.
    lipschitz : array_like, shape (...)
        Lipschitz constant of w -> l(w, z) for every z, in [0, inf].

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
    Proof: given Z_i = z, E l(W', z) - E l(W, z) is at most lipschitz times W1(P_{W|Z_i=z}, P_W) (Kantorovich and
    Rubinstein); average over z and i. The loss need be Lipschitz in w only, not in z.

    Asymptotically exact for the mean of Gaussian examples under the absolute loss. Traps: the distance between sets of
    finitely many draws overestimates W1 by about m^(-1/d), which is a floor and not information; sliced and max-sliced
    distances are never above W1 and so no bound; the distance of the *expected* law, without the expectation over Z_i
    outside, is 0. With the discrete metric it is `rodriguez_galvez_total_variation`.

    Examples
    --------
    The mean of two standard normal numbers under the absolute loss: knowing one moves the law by 0.5898 on average, and
    the gap is sqrt(2 / pi) (sqrt(3/2) - sqrt(1/2)) = 0.4130.

    >>> move = np.sqrt(2 / np.pi) * np.sqrt(0.25 + (np.sqrt(0.5) - 0.5) ** 2)
    >>> f"{rodriguez_galvez_wasserstein([move, move], 1.0):.4f}"
    '0.4318'
    """
    distances = nonnegative(
        "wasserstein_distances", wasserstein_distances, "Pass distances in the metric of lipschitz."
    )
    lipschitz, mean = nonnegative("lipschitz", lipschitz), mean_up(distances, 0)
    with np.errstate(over="ignore", invalid="ignore"):  # to infinity, an upper bound; 0 times infinity is 0 here
        return round_up(np.where(lipschitz > 0, lipschitz * mean, 0.0)[()], 1)
