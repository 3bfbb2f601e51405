"""Bounds for one language model, chosen on the sample and paid for by its code length: documents, or single tokens.

Losses are smoothed bits per token, rescaled to [0, 1] (`genbounds.pac_bayes.smoothing`). Two readings of a corpus:

* **Documents are the sample.** They are independent; a bound speaks of the mean loss of a new document. To evaluate all
  of them would take days, so that a random part estimates the empirical risk, and pays for it.
* **Tokens are the sample.** They depend on one another in any way; a bound speaks of the mean, along this very
  sequence, of what each next token was expected to lose given those before it. It says nothing about new documents.
"""

import numpy as np
from numpy.typing import ArrayLike

from genbounds.numerics import Float64, confidence, count, kl_upper, round_up, unit_interval
from genbounds.numerics.double_double import two_product
from genbounds.pac_bayes.complexity import code_cost
from genbounds.theorems import Assumption, theorem

__all__ = ["subsampled_occam", "subsampled_occam_hoeffding", "token_level", "token_level_kl"]

_CODED = (
    Assumption.LOSS_IN_UNIT_INTERVAL,
    Assumption.PREFIX_FREE_CODE,
    Assumption.STATE_INDEPENDENT_OF_SAMPLE,
    Assumption.DETERMINISTIC_EVALUATION,
)
_SUBSAMPLED = (Assumption.IID, *_CODED, Assumption.SUBSAMPLE_AFTER_PREDICTOR, Assumption.IDEAL_RANDOMNESS)
_ADAPTED = (Assumption.TOKENS_IN_ORDER, *_CODED)

_EVENT = "Chernoff's bound for every coded predictor on all documents, and for the chosen one on the subsample"
_CONDITIONAL = "average expected loss of the next token, given those before it, along the sequence"


def _shares(
    code_length: ArrayLike, documents: ArrayLike, subsample: ArrayLike, delta: ArrayLike
) -> tuple[Float64, Float64]:
    """Return nats a document of the sample, at delta k / (k + m), and of the subsample, at delta m / (k + m)."""
    m, k = count("documents", documents), count("subsample", subsample)
    of_sample = round_up(code_cost(code_length, delta) + np.log1p(m / k), 6)
    of_subsample = round_up(np.log1p(k / m) - np.log(confidence("delta", delta)), 6)
    return round_up(of_sample / m, 1), round_up(of_subsample / k, 1)


@theorem(
    statement=r"R(h) \le \mathrm{kl}^{+}\!\left(\mathrm{kl}^{+}\!\left(\hat r(h),\ \frac{\ln\frac{1}{(1-s)\delta}}{k}"
    r"\right),\ \frac{\ln(1/P(h))+\ln\frac{1}{s\delta}}{m}\right),\quad s=\frac{k}{k+m}",
    formula="R(h) <= kl+( kl+( r^(h), ln(1 / ((1-s) delta)) / k ), [code_length(h) + ln(1 / (s delta))] / m ), "
    "s = k / (k + m)",
    predictor="deterministic",
    assumes=_SUBSAMPLED,
    reference="Lotfi2024",
    locator="Theorem 3.1 and Section 3.2, in relative-entropy form",
    event=_EVENT,
)
def subsampled_occam(
    subsample_risk: ArrayLike, code_length: ArrayLike, documents: ArrayLike, subsample: ArrayLike, delta: ArrayLike
) -> Float64:
    """Bound the risk of a predictor chosen on m documents, of which a random k estimate its empirical risk.

    For every distribution of the documents, every code fixed before the sample and every rule that picks a coded
    predictor h from the sample: with probability at least 1 - delta over m independent documents and k draws from
    them, made after h was fixed, R(h) <= kl+(q, (code_length(h) + ln(1 / (s delta))) / m) with
    q = kl+(r^(h), ln(1 / ((1 - s) delta)) / k) and s = k / (k + m).

    Parameters
    ----------
    subsample_risk : array_like
        r^(h), average loss of the decoded predictor on the k documents, in [0, 1], rounded up.
    code_length : array_like
        ln(1 / P(h)) in nats (bits times ln 2), in [0, inf], where P adds up to at most 1 over all predictors.
    documents : array_like of int
        m, documents in the sample, at least 1.
    subsample : array_like of int
        k, documents drawn, at least 1; more than m only with replacement.
    delta : array_like
        Probability with which the bound may fail, in (0, 1).

    Returns
    -------
    float64 or ndarray
        Upper bound on R(h), rounded up, in [subsample_risk, 1].

    Raises
    ------
    ValueError
        If an argument is NaN or outside its range.

    Notes
    -----
    Proof. (i) `occam_kl` at s delta: except with that probability, R(h) <= kl+(r(h), c) for every h, r(h) its average
    loss on all m documents and c = (code_length(h) + ln(1 / (s delta))) / m. (ii) Given sample and h, draws with
    replacement are independent losses of mean r(h), so that `test_set_kl` at (1 - s) delta gives r(h) <= q. Drawn
    without replacement, no convex function of their sum has a larger mean (Hoeffding 1963, Theorem 4), and Chernoff's
    bound rests on one, exp. Step (ii) holds for the one h that was fixed before the draws, and needs no union.
    (iii) kl+ grows with its first argument.

    Difference from the paper: there both steps are Hoeffding's, `subsampled_occam_hoeffding`, which is never below by
    Pinsker's inequality. s is theirs; the share of delta weighs with its logarithm only.

    Not covered: choosing between predictors by this subsample (each candidate costs its share of delta, as for any
    second look), a subsample that training already measured on, documents cut out of one text. If every document is
    evaluated, `occam_kl` is due.

    Examples
    --------
    Loss 0.6 on 10,000 of 8,013,769 documents, for a model of two million bits; the published form gives 0.9063:

    >>> import math
    >>> f"{subsampled_occam(0.6, 2e6 * math.log(2), 8_013_769, 10_000, 0.05):.4f}"
    '0.8528'
    """
    whole, part = _shares(code_length, documents, subsample, delta)
    return kl_upper(kl_upper(unit_interval("subsample_risk", subsample_risk), part), whole)


@theorem(
    statement=r"R(h) \le \hat r(h)+\sqrt{\frac{\ln\frac{1}{(1-s)\delta}}{2k}}"
    r"+\sqrt{\frac{\ln(1/P(h))+\ln\frac{1}{s\delta}}{2m}},\quad s=\frac{k}{k+m}",
    formula="R(h) <= r^(h) + sqrt( ln(1 / ((1-s) delta)) / (2k) ) "
    "+ sqrt( [code_length(h) + ln(1 / (s delta))] / (2m) ), s = k / (k + m)",
    predictor="deterministic",
    assumes=_SUBSAMPLED,
    reference="Lotfi2024",
    locator="Theorem 3.1 and Section 3.2",
    event=_EVENT,
)
def subsampled_occam_hoeffding(
    subsample_risk: ArrayLike, code_length: ArrayLike, documents: ArrayLike, subsample: ArrayLike, delta: ArrayLike
) -> Float64:
    """Bound the risk of a predictor chosen on m documents by two square roots, as published for language models.

    For every distribution of the documents, every code fixed before the sample and every rule that picks a coded
    predictor h from the sample: with probability at least 1 - delta over m independent documents and k draws from
    them, made after h was fixed, R(h) <= r^(h) + sqrt(ln(1 / ((1 - s) delta)) / (2k)) +
    sqrt((code_length(h) + ln(1 / (s delta))) / (2m)) with s = k / (k + m).

    Parameters
    ----------
    subsample_risk : array_like
        r^(h), average loss of the decoded predictor on the k documents, in [0, 1], rounded up.
    code_length : array_like
        ln(1 / P(h)) in nats (bits times ln 2), in [0, inf], where P adds up to at most 1 over all predictors.
    documents : array_like of int
        m, documents in the sample, at least 1.
    subsample : array_like of int
        k, documents drawn, at least 1; more than m only with replacement.
    delta : array_like
        Probability with which the bound may fail, in (0, 1).

    Returns
    -------
    float64 or ndarray
        Upper bound on R(h), rounded up; 1 where the formula exceeds 1, as no risk does.

    Raises
    ------
    ValueError
        If an argument is NaN or outside its range.

    Notes
    -----
    Pinsker's inequality kl(q || p) >= 2 (p - q)^2, applied to both steps of `subsampled_occam`, which is never above
    and holds on the same event: this one is for comparison with published numbers. In bits per token, multiply by
    Delta = log2(1 + (1 - alpha) V / alpha): `genbounds.pac_bayes.smoothing`. Not covered: what is not covered there.

    Examples
    --------
    >>> import math
    >>> f"{subsampled_occam_hoeffding(0.6, 2e6 * math.log(2), 8_013_769, 10_000, 0.05):.4f}"
    '0.9063'
    """
    whole, part = (np.sqrt(c / 2) for c in _shares(code_length, documents, subsample, delta))
    return np.minimum(round_up(unit_interval("subsample_risk", subsample_risk) + part + whole, 6), 1.0)


@theorem(
    statement=r"\frac1m\sum_{i=1}^m \mathbb{E}[\ell_i(h)\mid x_{<i}] \le "
    r"r(h)+\sqrt{\frac{\ln(1/P(h))+\ln(1/\delta)}{2m}}",
    formula="average of E[loss_i(h) | tokens before i] <= r(h) + sqrt( [code_length(h) + ln(1 / delta)] / (2m) )",
    predictor="deterministic",
    quantity=_CONDITIONAL,
    uniform_over="predictors with a code",
    assumes=_ADAPTED,
    reference="Lotfi2024b",
    locator="Theorem 2.1, after Azuma1967",
)
def token_level(risk: ArrayLike, code_length: ArrayLike, tokens: ArrayLike, delta: ArrayLike) -> Float64:
    """Bound what the next token was expected to lose, on average along the sequence (Azuma's inequality).

    For every process that generates tokens, however they depend on one another, and every code fixed before: with
    probability at least 1 - delta over its first m tokens, simultaneously for every predictor h that has a code, the
    average of E[loss_i(h) | x_1, ..., x_(i-1)] is at most r(h) + sqrt((code_length(h) + ln(1 / delta)) / (2m)).

    Parameters
    ----------
    risk : array_like
        r(h), average loss of the decoded predictor over the m tokens, in [0, 1], rounded up.
    code_length : array_like
        ln(1 / P(h)) in nats (bits times ln 2), in [0, inf], where P adds up to at most 1 over all predictors.
    tokens : array_like of int
        m, tokens in the sequence, at least 1.
    delta : array_like
        Probability with which the bound may fail, in (0, 1).

    Returns
    -------
    float64 or ndarray
        Upper bound on the average conditional loss, rounded up; 1 where the formula exceeds 1.

    Raises
    ------
    ValueError
        If an argument is NaN or outside its range.

    Notes
    -----
    Proof. Fix h and let p_i = E[loss_i | past]. Given the past, p_i - loss_i lies in an interval of length 1, so that
    E[exp(t (p_i - loss_i)) | past] <= exp(t^2 / 8) by Hoeffding's lemma; multiplied over i, at the best t, the average
    exceeds r by e with probability at most exp(-2 m e^2). Then a union over the codes.

    The interval's length must be known before the token comes. A smoothing weight alpha that follows the token, or is
    learnt for each position without being fixed by the tokens before it, makes it random, and the theorem void. m must
    be fixed as well: a corpus of a fixed number of documents has a random number of tokens; cut it at a length chosen
    beforehand.

    `token_level_kl` is below it for all but short codes. Not covered: the loss on other documents, or further along
    this one; a loss that uses later tokens, such as that of a masked language model.

    Examples
    --------
    sqrt(2 / 200) = 0.1 above the empirical risk:

    >>> f"{token_level(0.3, 1.0, 100, np.exp(-1)):.12f}"
    '0.400000000000'
    """
    c = round_up(code_cost(code_length, delta) / count("tokens", tokens), 1)
    return np.minimum(round_up(unit_interval("risk", risk) + np.sqrt(c / 2), 6), 1.0)


def _next_multiple(risk: Float64, m: Float64) -> Float64:
    """Return ceil(risk * m), decided without rounding."""
    product, rest = two_product(risk, m)
    whole = np.ceil(product)
    return np.where((whole == product) & (rest > 0), whole + 1, whole)


@theorem(
    statement=r"\frac1m\sum_{i=1}^m \mathbb{E}[\ell_i(h)\mid x_{<i}] \le \mathrm{kl}^{+}\!\left("
    r"\frac{\lceil m\,r(h)\rceil}{m},\ \frac{\ln(1/P(h))+\ln(m/\delta)}{m}\right)",
    formula="average of E[loss_i(h) | tokens before i] "
    "<= kl+( ceil(m r(h)) / m, [code_length(h) + ln(m / delta)] / m )",
    predictor="deterministic",
    quantity=_CONDITIONAL,
    uniform_over="predictors with a code",
    assumes=_ADAPTED,
    reference="Hoeffding1963",
    locator="Theorem 1, Equation (2.1), for predictable means; derived in the docstring",
)
def token_level_kl(risk: ArrayLike, code_length: ArrayLike, tokens: ArrayLike, delta: ArrayLike) -> Float64:
    """Bound what the next token was expected to lose, on average along the sequence, by a relative entropy.

    For every process that generates tokens, however they depend on one another, and every code fixed before: with
    probability at least 1 - delta over its first m tokens, simultaneously for every predictor h that has a code, the
    average of E[loss_i(h) | x_1, ..., x_(i-1)] is at most kl+(ceil(m r(h)) / m, (code_length(h) + ln(m / delta)) / m).

    Parameters
    ----------
    risk : array_like
        r(h), average loss of the decoded predictor over the m tokens, in [0, 1], rounded up.
    code_length : array_like
        ln(1 / P(h)) in nats (bits times ln 2), in [0, inf], where P adds up to at most 1 over all predictors.
    tokens : array_like of int
        m, tokens in the sequence, at least 1.
    delta : array_like
        Probability with which the bound may fail, in (0, 1).

    Returns
    -------
    float64 or ndarray
        Upper bound on the average conditional loss, rounded up, in [risk, 1].

    Raises
    ------
    ValueError
        If an argument is NaN or outside its range.

    Notes
    -----
    Proof. Fix h, let p_i = E[loss_i | past] and p their average, which is random. For fixed t > 0, exp being convex,
    E[exp(-t loss_i) | past] <= 1 - p_i (1 - exp(-t)), so that exp(-t m r) / prod_i (1 - p_i (1 - exp(-t))) has a mean
    of at most 1; ln(1 - p (1 - exp(-t))) is concave in p, hence E exp(m D) <= 1 for
    D(r, p) = -t r - ln(1 - p (1 - exp(-t))). Fix u < 1 and v = kl+(u, c) too, and the t at which D(u, v) is largest,
    where it is kl(u || v) = c. D falls with r and grows with p: if r <= u and p > v, then D(r, p) >= c, which has
    probability at most exp(-m c). A union over the m values u = 0, 1/m, ..., 1 - 1/m and over the codes ends it.

    The union over u is not an artefact: t may not depend on p, which the process decides on its way. `occam_kl`, with m
    for n, fails on an adapted process of ten tokens with probability 1.07 delta at delta = 0.05, and on one of forty
    with 1.35 delta. For independent tokens p is fixed, and `occam_kl` holds.

    ln(m) against code lengths of thousands of nats is nothing: it is below `token_level` for all but short codes and
    risks near 1/2. Not covered: what is not covered there.

    Examples
    --------
    Without errors the bound is 1 - (delta P(h) / m)^(1/m):

    >>> f"{token_level_kl(0.0, 0.0, 2, 0.02):.12f}"
    '0.900000000000'
    """
    m = count("tokens", tokens)
    c = round_up(round_up(code_cost(code_length, delta) + np.log(m), 5) / m, 1)
    u = _next_multiple(unit_interval("risk", risk), m) / m
    return kl_upper(np.where(u > 0, np.minimum(round_up(u, 1), 1.0), 0.0), c)
