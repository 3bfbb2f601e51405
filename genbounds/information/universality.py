r"""Learning as universal prediction: what a Bayes mixture loses to the true law, or to any model, under log-loss.

Models p_t are laws of one example; pi is a prior over them, fixed without the sample; the mixture gives a sequence the
probability Q_n = E_pi p_t^n. Predicting one example after the other by Bayes' rule has cumulative log-loss -ln Q_n. For
examples drawn from the law P, its expected excess over the log-loss of P itself is the regret

    R_n = E[-ln Q_n(Z_1, ..., Z_n)] - E[-ln P^n(Z_1, ..., Z_n)] = KL(P^n || Q_n),

and R_n / n is the excess averaged over the n predictions, the i-th from i - 1 examples. D(t) = KL(P || p_t) below; P
need not be one of the models. For labels given inputs, read p_t(y | x), with an expectation over x in D.

What makes R_n small is not few models but much prior mass on models near P: the *weight* of the truth, pi(D <= e).
-ln weight is a basin's volume in nats.

All of it follows from one inequality (Donsker and Varadhan): -ln E_pi exp(-X) <= E_q X + KL(q || pi) for every law q
over models, with equality for q proportional to pi exp(-X).
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genbounds.numerics import Float64, count, nonnegative, round_up
from genbounds.numerics.rounding import round_down
from genbounds.theorems import Assumption, theorem
from genbounds.theorems.quantities import LOG_LOSS, REGRET

__all__ = ["feder_ball", "feder_cells", "mixture_log_loss", "mixture_regret"]

_ASSUMES = (Assumption.IID, Assumption.PRIOR_INDEPENDENT_OF_SAMPLE)


def _nats(
    name: str, divergences: ArrayLike, costs_name: str, costs: ArrayLike, n: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return costs and n * divergence + cost for each set of models, after checking the two lists."""
    divergences = nonnegative(name, divergences, "A divergence below zero is round-off or a bug.")
    costs = nonnegative(costs_name, costs, "It is ln(1 / prior mass), and no mass is above 1.")
    if not divergences.ndim or divergences.shape[-1:] != costs.shape[-1:] or divergences.shape[-1] == 0:
        raise ValueError(
            f"{name} must be a list with one entry of {costs_name} each, got shapes {divergences.shape} and "
            f"{costs.shape}. Give both for every set of models."
        )
    with np.errstate(over="ignore"):  # to infinity, an upper bound
        return costs, count("n", n)[..., None] * divergences + costs


@theorem(
    statement=r"\mathrm{KL}(P^n\|Q_n) \le \min_k\left[n\,\varepsilon_k+\ln\frac{1}{\pi(\{t: \mathrm{KL}(P\|p_t)\le"
    r"\varepsilon_k\})}\right]",
    formula="R_n <= min_k [ n radius_k + ln(1 / pi(KL(P || p_t) <= radius_k)) ]",
    predictor="algorithm average",
    kind="expectation",
    quantity=REGRET,
    averages_over="samples; the predictor is the Bayes mixture",
    assumes=_ASSUMES,
    reference="FederUrbankeFogel2025",
    locator="regret by the weight of the true hypothesis",
)
def feder_ball(ball_radii: ArrayLike, ball_costs: ArrayLike, n: ArrayLike) -> Float64:
    """Bound the regret of a Bayes mixture by the prior mass of the models near the true law (weight of a hypothesis).

    For every law P of the examples and every prior over models, on average over n independent examples: the regret is
    at most n e + ln(1 / pi(D <= e)) for every radius e.

    Parameters
    ----------
    ball_radii : array_like, shape (..., K)
        Radii e in nats, in [0, inf]. Any list gives a bound: the smallest result is taken.
    ball_costs : array_like, shape (..., K)
        ln(1 / pi(D <= e)) in nats for each radius, or upper bounds of it, in [0, inf].
    n : array_like of int, shape (...)
        Examples, at least 1.

    Returns
    -------
    float64 or ndarray, shape (...)
        Upper bound on the regret in nats, rounded up.

    Raises
    ------
    ValueError
        If an argument is NaN or outside its range, or the two lists are empty or of different lengths.

    Notes
    -----
    Proof: -ln E_pi exp(-X) is concave in X, so the expectation over samples may be taken inside:
    R_n <= -ln E_pi exp(-n D) <= -ln(pi(D <= e) exp(-n e)). Choosing the radius is free.

    With d parameters that matter the weight is about e^(d/2), the best radius d / (2n), and the regret (d/2) ln n and a
    constant; directions that do not move the law cost nothing. Never below `feder_cells` with the ball as its one cell,
    and the same then.

    Examples
    --------
    One of 16 equally likely models is the truth, and a second one is 0.01 nats from it:

    >>> f"{feder_ball([0.0, 0.01], [np.log(16), np.log(8)], 10):.6f}", f"{np.log(8) + 0.1:.6f}"
    ('2.179442', '2.179442')
    """
    _, nats = _nats("ball_radii", ball_radii, "ball_costs", ball_costs, n)
    return round_up(nats.min(axis=-1), 2)


@theorem(
    statement=r"\mathrm{KL}(P^n\|Q_n) \le -\ln\sum_k \pi(A_k)\,e^{-n\,d_k},\quad \mathrm{KL}(P\|p_t)\le d_k"
    r"\ \text{for}\ t\in A_k,\ A_k\ \text{disjoint}",
    formula="R_n <= -ln sum_k exp(-cell_costs_k - n cell_divergences_k)",
    predictor="algorithm average",
    kind="expectation",
    quantity=REGRET,
    averages_over="samples; the predictor is the Bayes mixture",
    assumes=_ASSUMES,
    reference="FederUrbankeFogel2025",
    locator="regret by the exponential mean of the divergence, over cells",
)
def feder_cells(cell_divergences: ArrayLike, cell_costs: ArrayLike, n: ArrayLike) -> Float64:
    """Bound the regret of a Bayes mixture by the divergence of all models, cell by cell.

    For every law P of the examples and every prior over models, on average over n independent examples: the regret is
    at most -ln E_pi exp(-n D), hence at most -ln sum_k pi(A_k) exp(-n d_k) for disjoint sets A_k of models on which D
    is at most d_k.

    Parameters
    ----------
    cell_divergences : array_like, shape (..., K)
        d_k in nats, in [0, inf]: the largest divergence in the cell, the divergence itself for a single model.
    cell_costs : array_like, shape (..., K)
        ln(1 / pi(A_k)) in nats, or upper bounds of it, in [0, inf]. Cells that are left out do no harm.
    n : array_like of int, shape (...)
        Examples, at least 1.

    Returns
    -------
    float64 or ndarray, shape (...)
        Upper bound on the regret in nats, rounded up.

    Raises
    ------
    ValueError
        If an argument is NaN or outside its range, the two lists are empty or of different lengths, or the masses
        exp(-cell_costs) add up to more than 1: the cells are not disjoint then.

    Notes
    -----
    Proof: as for `feder_ball`, with the mean of exp(-n D) bounded cell by cell from below. As cells shrink it tends to
    -ln E_pi exp(-n D), which is also the smallest value of `mixture_regret`.

    Never above `feder_ball` with the union of the nearest cells as balls. Both lose to R_n what Jensen's inequality
    loses: half a nat for each parameter, for many examples of a smooth model.

    Examples
    --------
    A fair coin, and the prior that puts half on each of the coins 1/2 and 3/4:

    >>> d = np.log(4 / 3) / 2  # KL(1/2 || 3/4)
    >>> f"{feder_cells([0.0, d], [np.log(2)] * 2, 10):.6f}", f"{-np.log((1 + np.exp(-10 * d)) / 2):.6f}"
    ('0.480212', '0.480212')
    """
    costs, nats = _nats("cell_divergences", cell_divergences, "cell_costs", cell_costs, n)
    if np.any(np.exp(-costs).sum(axis=-1) > 1 + 1e-9):
        raise ValueError(
            f"cell_costs must be ln(1 / prior mass) of disjoint cells, got masses that add up to "
            f"{np.exp(-costs).sum(axis=-1).max().item()!r}. Use feder_ball for sets that overlap."
        )
    # Costs from above and shares from below. The share of the least cost is 1, and what is missing there is rounding.
    upper = np.asarray(round_up(nats, 2))
    least = upper.min(axis=-1)
    with np.errstate(invalid="ignore"):
        shares = np.exp(np.nextafter(least[..., None] - upper, -np.inf)).sum(axis=-1)
        gain = round_down(np.log(np.maximum(round_down(shares, 4 + upper.shape[-1]), 1.0)), 4)
        value = np.where(np.isinf(least), np.inf, least - gain)
    return round_up(np.maximum(value, 0.0)[()], 1)


@theorem(
    statement=r"\mathrm{KL}(P^n\|Q_n) \le n\,\mathbb{E}_{t\sim q}\,\mathrm{KL}(P\|p_t)+\mathrm{KL}(q\|\pi)",
    formula="R_n <= n E_q KL(P || p_t) + KL(q || pi)",
    predictor="algorithm average",
    kind="expectation",
    quantity=REGRET,
    averages_over="samples; the predictor is the Bayes mixture",
    uniform_over="laws q",
    assumes=_ASSUMES,
    reference="DonskerVaradhan1975",
    locator="variational formula, for the exponential mean of FederUrbankeFogel2025",
)
def mixture_regret(mean_divergence: ArrayLike, kl: ArrayLike, n: ArrayLike) -> Float64:
    """Bound the regret of a Bayes mixture by any law q over models: its distance from the truth and from the prior.

    For every law P of the examples and every prior pi over models, on average over n independent examples, for every
    law q over models: the regret is at most n E_q KL(P || p_t) + KL(q || pi).

    Parameters
    ----------
    mean_divergence : array_like
        E_q KL(P || p_t) in nats for one example, or an upper bound of it, in [0, inf].
    kl : array_like
        KL(q || pi) in nats, or an upper bound of it, in [0, inf].
    n : array_like of int
        Examples, at least 1.

    Returns
    -------
    float64 or ndarray
        Upper bound on the regret in nats, rounded up.

    Raises
    ------
    ValueError
        If an argument is NaN or outside its range.

    Notes
    -----
    Proof: R_n = E[-ln E_pi exp(-X)] with X = ln P^n - ln p_t^n on the sample, whose mean is n D(t); Donsker and
    Varadhan for each sample with one q for all of them, then the mean over samples.

    KL(P || p_t) is the excess log-loss of a model, and P's own is not known for real data. Against a fixed model p_0 in
    its place: the expected log-loss of the mixture is at most that of p_0, and n E_q (E ln p_0 - E ln p_t) + KL(q ||
    pi). What can be measured on one checkpoint is `mixture_log_loss`.

    The smallest value over q is -ln E_pi exp(-n D), at q proportional to pi exp(-n D): never below it. A Gaussian
    around a model with Hessian H has about E_q D = tr(H width^2) / 2: flat directions can be wide, and cost little KL.

    Examples
    --------
    q sits on one of 16 equally likely models, 0.01 nats from the truth:

    >>> f"{mixture_regret(0.01, np.log(16), 10):.6f}"
    '2.872589'
    """
    divergence = nonnegative("mean_divergence", mean_divergence, "A divergence below zero is round-off or a bug.")
    with np.errstate(over="ignore"):  # to infinity, an upper bound
        return round_up(count("n", n) * divergence + nonnegative("kl", kl), 2)


@theorem(
    statement=r"-\ln Q_n(z_1,\dots,z_n) \le \mathbb{E}_{t\sim q}\left[\sum_{i=1}^{n}-\ln p_t(z_i)\right]"
    r"+\mathrm{KL}(q\|\pi)",
    formula="-ln Q_n(z) <= E_q[ sum_i -ln p_t(z_i) ] + KL(q || pi), for every sequence z",
    predictor="algorithm average",
    kind="expectation",
    quantity=LOG_LOSS,
    averages_over="nothing: it holds for every sequence of examples; the predictor is the Bayes mixture",
    uniform_over="laws q, and sequences of examples",
    assumes=(Assumption.PRIOR_INDEPENDENT_OF_SAMPLE,),
    reference="DonskerVaradhan1975",
    locator="variational formula",
)
def mixture_log_loss(log_loss: ArrayLike, kl: ArrayLike) -> Float64:
    """Bound the cumulative log-loss of a Bayes mixture on the very examples at hand by any law q over models.

    For every prior pi over models, every sequence of examples, whatever they came from, and every law q over models,
    which may depend on the examples: -ln Q_n is at most E_q[sum_i -ln p_t(z_i)] + KL(q || pi).

    Parameters
    ----------
    log_loss : array_like
        E_q of the summed log-loss of the examples in nats, or an upper bound of it, in [0, inf] (for densities shift it
        first).
    kl : array_like
        KL(q || pi) in nats, or an upper bound of it, in [0, inf].

    Returns
    -------
    float64 or ndarray
        Upper bound on the cumulative log-loss in nats, rounded up. Divided by n: the average log-loss of predictions
        each of which knew only the examples before it.

    Raises
    ------
    ValueError
        If an argument is NaN or outside its range.

    Notes
    -----
    Proof: Donsker and Varadhan with X = the summed log-loss. No probability enters, so nothing has to be independent,
    and choosing q, its centre and its width with the examples in view is free.

    What has to be fixed without the examples is the prior: the inequality would hold for a prior around the trained
    weights too, but its mixture has seen the answers. The mixture predicts every example before it sees it, so its
    log-loss is an honest price for the sequence: -ln Q_n nats are the length of a code for the labels given the inputs.

    The smallest value over q is -ln Q_n itself, at the posterior. For a network with a Gaussian q around a checkpoint
    see `genbounds.information.bayes_mixture`; E_q has to be estimated there, and the log-loss is not bounded.

    Examples
    --------
    Two coins, 1/4 and 3/4, half of the prior each; the sequence is 8 ones. The second coin's log-loss is 8 ln(4/3), and
    choosing it costs ln 2:

    >>> f"{mixture_log_loss(8 * np.log(4 / 3), np.log(2)):.6f}", f"{-np.log((0.25**8 + 0.75**8) / 2):.6f}"
    ('2.994604', '2.994451')
    """
    return round_up(nonnegative("log_loss", log_loss) + nonnegative("kl", kl), 1)
