r"""PAC-Bayes bounds on the Gibbs predictor from several chunks of data: recursive, by excess loss, both ways.

The three theorems let an earlier chunk shape the prior and still count. Notation as in `genbounds.pac_bayes.gibbs`.
U_j is short for kl+(F_j, c), the upper limit of the probability of an event that occurred with frequency F_j.

The frequencies are averages over the bound's own n examples *and* over independent draws: h from Q and, in
`recursive_step`, h' from the earlier posterior, each example with its own pair if they are counted. A Monte Carlo
limit takes the place of each (`genbounds.pac_bayes.monte_carlo_binomial`), with a delta of its own.
"""

import numpy as np
from numpy.typing import ArrayLike

from genbounds.numerics import Float64, confidence, count, kl_upper, log_xi, nonnegative, round_up, unit_interval
from genbounds.pac_bayes.complexity import EMPIRICAL_GIBBS_RISK, GIBBS, RISK, complexity, log_xi_times
from genbounds.theorems import Assumption, Free, Limit, theorem

__all__ = ["EXCESS_LOSSES", "REFERENCE_LOSSES", "forward_backward", "informed_excess", "recursive_step"]

#: What is counted for a step: of its draw and a draw of the step before, on one example.
EXCESS_LOSSES = (
    "0-1 (errs, or the earlier draw is right)",
    "0-1",
    "0-1 (errs, and the earlier draw is right)",
)
#: What is counted against a reference: of a draw and the reference predictor, on one example.
REFERENCE_LOSSES = ("0-1 (errs, or the reference is right)", "0-1 (errs, and the reference is right)")


def _excess(reference: Float64, at_least_0: Float64, at_least_1: Float64) -> Float64:
    """Return reference + U_1 - (1 - U_0), with the reference's share of that in [0, 1]; up to three roundings."""
    # The subtraction is exact or rounded once: of 1 - reference and 1 - U_0 the one that is exact is formed.
    shared = np.where(at_least_0 < 0.5, (reference - 1) + at_least_0, reference - (1 - at_least_0))
    return np.maximum(shared, 0.0) + at_least_1


@theorem(
    statement=r"R(\pi_t) \le (1-\gamma)\,U_2+\gamma\Big(U_3+\big[B_{t-1}-(1-U_1)\big]_+\Big),\quad"
    r"U_j=\mathrm{kl}^{+}\!\left(F_j,\ \frac{\mathrm{KL}(\pi_t\|\pi_{t-1})+\ln(3\,\xi(n)/\delta)}{n}\right)",
    formula="R(Q) <= (1 - g) U2 + g (U3 + max(0, B - (1 - U1))), Uj = kl+( Fj, [KL(Q||P) + ln(3 xi(n) / delta)] / n ), "
    "P the step before, B its bound",
    predictor="gibbs",
    uniform_over="posteriors",
    assumes=(*GIBBS, Assumption.ZERO_ONE_LOSS),
    reference="Wu2024",
    locator="Theorem 5 with Theorem 4, with a free gamma and xi(n)",
    parameters=(Free("gamma", 0.0, 1.0, "Weighs the bound by way of the step before against the direct bound."),),
    limits={
        "previous": Limit("risk", "gibbs"),
        **{f"frequency_{j}": Limit(EMPIRICAL_GIBBS_RISK, "gibbs", loss) for j, loss in enumerate(EXCESS_LOSSES, 1)},
    },
)
def recursive_step(
    previous: ArrayLike,
    gamma: ArrayLike,
    frequency_1: ArrayLike,
    frequency_2: ArrayLike,
    frequency_3: ArrayLike,
    kl: ArrayLike,
    n: ArrayLike,
    delta: ArrayLike,
) -> Float64:
    r"""Bound the risk of a posterior by that of the posterior before it, which was its prior (Recursive PAC-Bayes).

    The data come in chunks S_1, ..., S_T. For every distribution of the data and every pi_(t-1) that was fixed
    without looking at S_t, ..., S_T: with probability at least 1 - delta over their n independent examples,
    simultaneously for every pi_t (which may depend on all data in any way), every gamma in [0, 1], and every bound B
    on R(pi_(t-1)) that holds,

        R(pi_t) <= (1 - gamma) U_2 + gamma (U_3 + max(0, B - (1 - U_1))).

    Parameters
    ----------
    previous : array_like
        B_(t-1), a bound on the risk of pi_(t-1), in [0, 1]. It has its own delta, whatever data it rests on.
    gamma : array_like
        Free, in [0, 1]. The published recursion takes 1/2.
    frequency_1 : array_like
        How often h errs or h' does not, for independent h from pi_t and h' from pi_(t-1), on S_t, ..., S_T, or an
        upper limit of it, in [0, 1].
    frequency_2 : array_like
        How often h errs there: the empirical Gibbs risk of pi_t, or an upper limit of it, in [0, 1].
    frequency_3 : array_like
        How often h errs and h' does not, or an upper limit of it, in [0, 1].
    kl : array_like
        KL(pi_t || pi_(t-1)) in nats or an upper bound of it, in [0, inf].
    n : array_like of int
        Examples of S_t, ..., S_T together, at least 1: all that pi_(t-1) has not seen, and no others.
    delta : array_like
        This step's share: the probability with which it may fail, in (0, 1). For T steps at delta / T each, all
        bounds hold at once with probability at least 1 - delta.

    Returns
    -------
    float64 or ndarray
        Upper bound on R(pi_t), rounded up, at most 1.

    Raises
    ------
    ValueError
        If an argument is NaN or outside its range.

    Notes
    -----
    Let f = l(h, z) - gamma l(h', z) with a 0-1 loss l. It takes the values -gamma < 0 < 1 - gamma < 1, so it is
    -gamma + gamma [f >= 0] + (1 - gamma) [f >= 1 - gamma] + gamma [f >= 1], where [f >= 0] is "h errs or h' does
    not", [f >= 1 - gamma] is "h errs", and [f >= 1] is "h errs and h' does not": 0-1 losses of the pair (h, h').

    Prior pi_(t-1) x pi_(t-1) and posterior pi_t x pi_(t-1) over pairs differ by KL(pi_t || pi_(t-1)), for h and h' are
    independent in both. Given S_1, ..., S_(t-1), the prior is fixed and the n examples are independent of it: that is
    why they are those of S_t, ..., S_T. So `seeger_xi` holds for each of the three losses at delta / 3, for all pi_t at
    once (pi_t has seen S_t, the last one all data). A frequency is at most its U_j in expectation: E f <= -gamma +
    gamma U_1 + (1 - gamma) U_2 + gamma U_3, and R(pi_t) = E f + gamma R(pi_(t-1)) with R(pi_(t-1)) <= B.

    Differences from the paper. (1) xi(n) for 2 sqrt(n), as in `seeger_xi`. (2) The three events do not depend on
    gamma. So all gamma hold at once, where the paper fixes them before the step's data; the bound is
    linear in gamma and least at 0 or 1. At gamma = 0 it is `seeger_xi` at delta / 3, a direct bound that the earlier
    steps only gave the prior; at gamma = 1 it is B plus the excess over pi_(t-1). (3) The positive part: on these
    events P[h right, h' errs] >= 1 - U_1, so that a B below this has failed itself, and no bound gets negative.

    With gamma fixed, unrolled, B_T = sum_t gamma^(T-t) E_t: what the first steps pay for a prior without data
    fades away. With one chunk there is no earlier step: the first bound is `seeger_xi` itself.

    Not covered: a pi_(t-1) that saw S_t (then it is no prior), an n that counts examples of earlier chunks, draws
    h' that depend on h, the Monte Carlo error of the frequencies (pass limits, and spend their deltas too).

    Examples
    --------
    With pi_t = pi_(t-1) and no error anywhere, F = (1, 0, 0) and U_j = 1 - (delta / (3 xi(n)))^(1/n) for j = 2, 3.
    At delta = 0.5, n = 1 and xi(1) = 2 that is 1 - 1/12; the direct bound does not use the step before:

    >>> f"{recursive_step(0.05, 0.0, 1.0, 0.0, 0.0, 0.0, 1, 0.5):.12f}", f"{11 / 12:.12f}"
    ('0.916666666667', '0.916666666667')
    >>> f"{recursive_step(0.05, 0.5, 1.0, 0.0, 0.0, 0.0, 1, 0.5):.12f}", f"{11 / 24 + (0.05 + 11 / 12) / 2:.12f}"
    ('0.941666666667', '0.941666666667')
    """
    gamma = unit_interval("gamma", gamma, "It weighs two bounds.")
    c = complexity(kl, n, delta, lambda n: log_xi_times(3, n))
    names = ("frequency_1", "frequency_2", "frequency_3")
    frequencies = [unit_interval(*pair) for pair in zip(names, (frequency_1, frequency_2, frequency_3), strict=True)]
    u_1, u_2, u_3 = np.asarray(kl_upper(np.stack(np.broadcast_arrays(*frequencies, c)[:3]), c))
    through = _excess(unit_interval("previous", previous), u_1, u_3)
    return np.minimum(round_up((1 - gamma) * u_2 + gamma * through, 5), 1.0)


@theorem(
    statement=r"R(Q) \le U_1+\big[B-(1-U_0)\big]_+,\quad"
    r"U_j=\mathrm{kl}^{+}\!\left(F_j,\ \frac{\mathrm{KL}(Q\|P)+\ln(2\,\xi(n)/\delta)}{n}\right),\quad R(h^*)\le B",
    formula="R(Q) <= U1 + max(0, B - (1 - U0)), Uj = kl+( Fj, [KL(Q||P) + ln(2 xi(n) / delta)] / n ), B a bound on "
    "the risk of the reference",
    predictor="gibbs",
    uniform_over="posteriors",
    assumes=(*GIBBS, Assumption.ZERO_ONE_LOSS, Assumption.REFERENCE_INDEPENDENT_OF_SAMPLE),
    reference="WuSeldin2022",
    locator="Theorem 9 with the split-kl inequality for the values -1, 0, 1; after Mhammedi2019",
    limits={
        "reference": Limit("risk", "deterministic"),
        **{f"frequency_{j}": Limit(EMPIRICAL_GIBBS_RISK, "gibbs", loss) for j, loss in enumerate(REFERENCE_LOSSES)},
    },
)
def informed_excess(
    reference: ArrayLike,
    frequency_0: ArrayLike,
    frequency_1: ArrayLike,
    kl: ArrayLike,
    n: ArrayLike,
    delta: ArrayLike,
) -> Float64:
    """Bound the Gibbs risk by that of a reference predictor and the excess over it.

    For every distribution of the data, and every prior P and predictor h* fixed before the sample: with probability
    at least 1 - delta over n independent examples, simultaneously for every posterior Q and every bound B on R(h*)
    that holds, R(Q) <= U_1 + max(0, B - (1 - U_0)).

    Parameters
    ----------
    reference : array_like
        B, a bound on R(h*), in [0, 1], with a delta of its own. It may rest on the same n examples
        (`clopper_pearson`), which h* has not seen.
    frequency_0 : array_like
        How often h from Q errs or h* does not, on the n examples, or an upper limit of it, in [0, 1].
    frequency_1 : array_like
        How often h errs and h* does not, or an upper limit of it, in [0, 1].
    kl : array_like
        KL(Q || P) in nats or an upper bound of it, in [0, inf].
    n : array_like of int
        Examples in the bound's own sample, at least 1; never those that shaped P or h*.
    delta : array_like
        Probability with which this step may fail, in (0, 1).

    Returns
    -------
    float64 or ndarray
        Upper bound on R(Q), rounded up, at most 1.

    Raises
    ------
    ValueError
        If an argument is NaN or outside its range.

    Notes
    -----
    The excess l(h, z) - l(h*, z) of a 0-1 loss is -1 + [h errs or h* does not] + [h errs and h* does not]; both
    are 0-1 losses of h once h* is fixed, and `seeger_xi` holds for each at delta / 2, for all Q at once. Hence
    R(Q) - R(h*) <= -1 + U_0 + U_1. It pays where h rarely differs from h*: the cost of the excess is that of a small
    frequency, and that of R(h*) has no divergence in it.

    Differences from the paper: xi(n) for 2 sqrt(n) as in `seeger_xi`; both limits are upper limits, of which
    the paper writes the first as a lower limit of P[h right, h* errs] (the same number). The positive part: on
    these events P[h right, h* errs] >= 1 - U_0, so a B below this has failed itself.

    `recursive_step` at gamma = 1, with a point mass for the step before and a union over two events instead of three.
    Not covered: an h* that saw the n examples, the Monte Carlo error of the frequencies.

    Examples
    --------
    With Q = P and h that never differs from h*, U_1 is 1 - (delta / (2 xi(n)))^(1/n); here 1 - 40^(-1):

    >>> f"{informed_excess(0.01, 1.0, 0.0, 0.0, 1, 0.1):.12f}", f"{0.01 + 1 - 1 / 40:.12f}"
    ('0.985000000000', '0.985000000000')
    """
    c = complexity(kl, n, delta, lambda n: log_xi_times(2, n))
    u_0 = kl_upper(unit_interval("frequency_0", frequency_0), c)
    u_1 = kl_upper(unit_interval("frequency_1", frequency_1), c)
    return np.minimum(round_up(_excess(unit_interval("reference", reference), u_0, u_1), 2), 1.0)


@theorem(
    statement=r"R(Q) \le \mathrm{kl}^{+}\!\left(r(Q),\ \frac{\mathrm{KL}(Q\|P_1)+\mathrm{KL}(Q\|P_2)"
    r"+\ln\xi(n_1)+\ln\xi(n_2)+2\ln(1/\delta)}{n}\right),\quad n_1+n_2=n",
    formula="R(Q) <= kl+( r(Q), [KL(Q||P1) + KL(Q||P2) + ln xi(n1) + ln xi(n2) + 2 ln(1 / delta)] / n ), n1, n2 = the "
    "halves of n, each prior learnt on one half",
    predictor="gibbs",
    uniform_over="posteriors",
    assumes=(
        Assumption.IID,
        Assumption.LOSS_IN_UNIT_INTERVAL,
        Assumption.PRIORS_OF_OTHER_HALVES,
        Assumption.STATE_INDEPENDENT_OF_SAMPLE,
    ),
    reference="Mhammedi2019",
    locator="the two informed priors of Section 3, in a kl form on one event",
    limits=RISK,
)
def forward_backward(
    risk: ArrayLike, kl_forward: ArrayLike, kl_backward: ArrayLike, n: ArrayLike, delta: ArrayLike
) -> Float64:
    """Bound the Gibbs risk with two priors, each learnt on one half of the sample and judged by the other.

    The sample is cut in two halves of n1 = floor(n / 2) and n2 = n - n1 examples; P_1 is any prior that may depend on
    the second half alone, P_2 on the first half alone. For every distribution of the data: with probability at least
    1 - delta over n independent examples, simultaneously for every posterior Q,
    n kl(r(Q) || R(Q)) <= KL(Q || P_1) + KL(Q || P_2) + ln xi(n1) + ln xi(n2) + 2 ln(1 / delta).

    Parameters
    ----------
    risk : array_like
        Empirical Gibbs risk r(Q) on all n examples or an upper limit of it, in [0, 1].
    kl_forward : array_like
        Divergence of Q from the prior learnt on the first half, in nats or an upper bound of it, in [0, inf].
    kl_backward : array_like
        Divergence of Q from the prior learnt on the second half, likewise.
    n : array_like of int
        Examples in both halves together, at least 2.
    delta : array_like
        Probability with which the bound may fail, in (0, 1).

    Returns
    -------
    float64 or ndarray
        Upper bound on R(Q), rounded up, in [risk, 1].

    Raises
    ------
    ValueError
        If an argument is NaN or outside its range.

    Notes
    -----
    Let r_i be the empirical risk on half i and M_i = E_(P_i) exp(n_i kl(r_i(h) || R(h))). Given the other half, P_i is
    fixed, so E M_i <= xi(n_i) (`seeger_xi`), and Y = (M_1 / xi(n1) + M_2 / xi(n2)) / 2 has mean at most 1: Y <= 1 /
    delta with probability at least 1 - delta. The two M_i depend on each other, which the average does not mind; by
    concavity ln(M_1 / xi(n1)) + ln(M_2 / xi(n2)) <= 2 ln Y. The change of measure in each half gives
    n_i E_Q kl(r_i || R) <= KL(Q || P_i) + ln M_i; kl is jointly convex, so n kl(r(Q) || R(Q)) is at most the sum.

    Differences from the paper, which has an empirical Bernstein inequality for each half and a union over both: kl
    form, xi(n), and one event instead of two, which saves ln 2 nats. For n1 = n2 the budget for an example is
    ((KL_1 + KL_2) / 2 + ln(xi(n/2) / delta)) / (n / 2): every example counts once, at the price of averaging two
    divergences and halving n. Against a prior learnt on one half and judged by the other (`seeger_xi` with n / 2), the
    gain is that r(Q) is averaged over all examples and Q need not favour one half.

    Not covered: a prior that saw the half which judges it; what is not covered by `maurer`.

    Examples
    --------
    Two examples, no error, Q equal to both priors: xi(1) = 2 twice, so 1 - (delta / 2)^(2 / 2):

    >>> f"{forward_backward(0.0, 0.0, 0.0, 2, 0.1):.12f}"
    '0.950000000000'
    """
    forward, backward = nonnegative("kl_forward", kl_forward), nonnegative("kl_backward", kl_backward)
    n = count("n", n, minimum=2)
    half = np.floor(n / 2)
    with np.errstate(over="ignore"):  # to infinity, an upper bound
        budget = forward + backward + log_xi(half) + log_xi(n - half) - 2 * np.log(confidence("delta", delta))
    return kl_upper(unit_interval("risk", risk), round_up(budget / n, 9))
