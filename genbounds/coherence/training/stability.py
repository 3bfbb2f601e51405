r"""The stability bound of Chatterjee and Zielinski along a trajectory: a diagnostic, and why it is no more than that.

Stochastic gradient descent on m examples, ``w_t = w_(t-1) - eta_t g_B(w_(t-1))`` with batches drawn uniformly at each
step. If every example's loss is L-Lipschitz and beta-smooth in w, the published form [ChatterjeeZielinski2022] is

    ``|gap| <= (L^2 / m) sum_t [prod_(k>t) (1 + eta_k beta)] eta_t sqrt(2 (1 - alpha(w_(t-1))))``.

With ``(1 - alpha) E ||g||^2 = V``, the noise, the step ``E ||g - g'|| <= sqrt(2 V)`` on the way there can be kept:

    ``|gap| <= (L / m) sum_t [prod_(k>t) (1 + eta_k beta)] eta_t sqrt(2 V(w_(t-1)))``,

which is never larger, as ``E ||g||^2 <= L^2``. For convex losses and ``eta_t <= 2 / beta``, steps on one and the same
example do not expand, and the product is left out [HardtRechtSinger2016]. At alpha = 0 that is their bound but for
sqrt 2 in place of 2.

**What is proved, and what is not.** Follow three runs with the same batches, on samples that differ in one example: z,
z' or z''. On average the weights of any two are d_t apart. In a step that uses the example, ``g(w, z) - g(w', z')`` is
``g(w'', z) - g(w'', z')`` up to ``2 beta d_t``. Only the third run knows neither z nor z', so that only there the
spread of two fresh gradients, at most ``sqrt(2 V(w''))``, may be put in. A batch of any size uses the example, relative
to its size, 1/m of the time, hence

    ``d_t <= (1 + eta_t beta (1 + 1/m)) d_(t-1) + (eta_t / m) E sqrt(2 V(w_(t-1)))``:

the second formula holds with ``beta (1 + 1/m)`` in place of beta, and in the convex case with ``1 + 2 eta_k beta / m``
in place of 1, for the V of the population, averaged over samples and runs. Without the terms in 1/m the weights
``w_(t-1)``, which depend on the sample, are treated as if they did not.

A number computed from one trajectory is none of this. It takes the noise of one run, estimated from examples, most
often those that were trained on; a network's loss has no finite L and beta over all weights, and what is given as such
is not checked; the batches of an epoch are not independent. So there is no theorem here, only a `StabilityDiagnostic`,
which says so wherever it is printed. Its worth is in comparisons, and they are coarse: with a realistic smoothness the
product is astronomical after a few epochs.
"""

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logsumexp

from genbounds.coherence.alpha import coherence_value
from genbounds.numerics.checks import count, finite, nonnegative, positive

__all__ = ["StabilityDiagnostic", "hold", "stability_by_coherence", "stability_by_noise"]


@dataclass(frozen=True, eq=False)  # arrays have no equality of their own that is one answer
class StabilityDiagnostic:
    """What the stability bound comes to along one trajectory: a diagnostic, no bound on this or any network's gap.

    Attributes
    ----------
    log_value : float
        Natural logarithm of the sum; -inf if every step's spread is 0.
    log_terms : ndarray, shape (T,)
        Logarithm of each step's part in it.
    form : {"coherence", "noise"}
        Which of the two formulas.
    n : int
        Training examples, m of the formulas.
    convex : bool
        Whether the product was left out, on the word of the caller.
    """

    log_value: float
    log_terms: NDArray[np.float64]
    form: Literal["coherence", "noise"]
    n: int
    convex: bool

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, StabilityDiagnostic):
            return False
        return self.to_json() == other.to_json() and np.array_equal(self.log_terms, other.log_terms)

    #: What it is, to be printed with every value.
    label = "diagnostic, no bound"

    @property
    def value(self) -> float:
        """The sum, in units of the loss; infinite where a float64 cannot hold it."""
        with np.errstate(over="ignore"):
            return float(np.exp(self.log_value))

    @property
    def shares(self) -> NDArray[np.float64]:
        """Share of each step in the sum, shape (T,); NaN if the sum is 0."""
        return np.exp(self.log_terms - self.log_value) if self.log_value > -math.inf else np.full(self.steps, math.nan)

    @property
    def steps(self) -> int:
        """Number T of steps."""
        return len(self.log_terms)

    def __str__(self) -> str:
        shown = f"{self.value:.4g}" if self.value < math.inf else f"10^{self.log_value / math.log(10):,.0f}"
        case = "convex" if self.convex else "general"
        return f"{shown} ({self.label}: stability by {self.form}, {case} case, {self.steps:,} steps, n = {self.n:,})"

    def to_json(self) -> dict[str, Any]:
        """Return value, logarithm and label for a JSON file.

        Returns
        -------
        dict
            Numbers and text; None in place of what JSON cannot hold, so that the logarithm of an overflowed value
            stays.
        """
        return {
            "label": self.label,
            "form": self.form,
            "convex": self.convex,
            "steps": self.steps,
            "n": self.n,
            "value": self.value if self.value < math.inf else None,
            "log_value": self.log_value if self.log_value > -math.inf else None,
        }


def stability_by_coherence(
    alphas: ArrayLike, step_sizes: ArrayLike, *, n: int, lipschitz: float, smoothness: float, convex: bool = False
) -> StabilityDiagnostic:
    """Evaluate the published form of the stability bound along a trajectory; see the module for what it is not.

    Parameters
    ----------
    alphas : array_like, shape (T,)
        Coherence at the weights before each step, at most 1; an estimate may be negative.
    step_sizes : array_like, shape (T,) or a number
        eta_t of each step, positive.
    n : int
        Training examples.
    lipschitz : float
        L, as claimed for every example's loss: no gradient of one is longer.
    smoothness : float
        beta, as claimed: no Hessian of an example's loss has a larger norm. At least 0.
    convex : bool
        Whether every example's loss is claimed to be convex; the product is left out then.

    Returns
    -------
    StabilityDiagnostic
        Labelled as such.

    Raises
    ------
    ValueError
        If an argument is out of range, or the steps are too long for the convex case.

    Examples
    --------
    >>> print(stability_by_coherence([0.5] * 3, 0.1, n=100, lipschitz=1.0, smoothness=1.0))
    0.00331 (diagnostic, no bound: stability by coherence, general case, 3 steps, n = 100)
    """
    spread = 2 * (1 - coherence_value("alphas", alphas))
    scale = 2 * math.log(positive("lipschitz", lipschitz))
    return _along(spread, "alphas", scale, step_sizes, n, smoothness, "coherence", convex)


def stability_by_noise(
    noises: ArrayLike, step_sizes: ArrayLike, *, n: int, lipschitz: float, smoothness: float, convex: bool = False
) -> StabilityDiagnostic:
    """Evaluate the sharper form, by the noise of the gradients, along a trajectory; see the module for what it is not.

    Parameters
    ----------
    noises : array_like, shape (T,)
        V = tr Cov(g) at the weights before each step, at least 0.
    step_sizes : array_like, shape (T,) or a number
        eta_t of each step, positive.
    n : int
        Training examples.
    lipschitz : float
        L, as claimed for the loss whose gap is meant.
    smoothness : float
        beta, as claimed for every example's training loss, at least 0.
    convex : bool
        Whether every example's training loss is claimed to be convex; the product is left out then.

    Returns
    -------
    StabilityDiagnostic
        Labelled as such. At most that of `stability_by_coherence` if no gradient is longer than L.

    Raises
    ------
    ValueError
        If an argument is out of range, or the steps are too long for the convex case.

    Examples
    --------
    >>> print(stability_by_noise([0.5, 0.5], [0.1, 0.1], n=10, lipschitz=1.0, smoothness=0.0))
    0.02 (diagnostic, no bound: stability by noise, general case, 2 steps, n = 10)
    """
    spread = 2 * nonnegative("noises", finite("noises", noises))
    scale = math.log(positive("lipschitz", lipschitz))
    return _along(spread, "noises", scale, step_sizes, n, smoothness, "noise", convex)


def hold(values: ArrayLike, steps: ArrayLike, total: int) -> NDArray[np.float64]:
    """Spread what was measured now and then over all steps: each step takes the last value measured before it.

    Parameters
    ----------
    values : array_like, shape (k,)
        Measured values.
    steps : array_like of int, shape (k,)
        How many steps had been taken at each measurement, increasing from 0.
    total : int
        Number T of steps of the whole trajectory, at least 1.

    Returns
    -------
    ndarray, shape (T,)
        Value at the weights before each step, as far as it was measured.

    Raises
    ------
    ValueError
        If the steps do not increase from 0, or there is not one value for each.

    Examples
    --------
    >>> hold([0.5, 0.2], [0, 3], total=5).tolist()
    [0.5, 0.5, 0.5, 0.2, 0.2]
    """
    taken, number = count("steps", steps, minimum=0), int(count("total", total))
    held = finite("values", values)
    if held.shape != taken.shape or held.ndim != 1 or not len(taken) or taken[0] != 0 or (np.diff(taken) <= 0).any():
        raise ValueError(
            f"steps must increase from 0, one for each value, got shape {taken.shape} for {held.shape}: {steps!r}. "
            "Measure the initial weights too."
        )
    return held[np.searchsorted(taken, np.arange(number), side="right") - 1]


def _along(
    spread: NDArray[np.float64],
    name: str,
    scale: float,
    step_sizes: ArrayLike,
    n: int,
    smoothness: float,
    form: Literal["coherence", "noise"],
    convex: bool,
) -> StabilityDiagnostic:
    """Add up the steps, from the squared spread of two examples' gradients at each."""
    if spread.ndim != 1 or not len(spread):
        raise ValueError(f"{name} must be one number for each step, got shape {spread.shape}. Use hold to fill gaps.")
    sizes, beta = positive("step_sizes", step_sizes), float(nonnegative("smoothness", finite("smoothness", smoothness)))
    if sizes.shape not in ((), spread.shape):
        raise ValueError(f"step_sizes must be one number or {len(spread)}, got shape {sizes.shape}. Give each step's.")
    sizes = np.broadcast_to(sizes, spread.shape)
    if convex and (sizes * beta > 2).any():
        raise ValueError(
            f"step_sizes must be at most 2 / smoothness for the convex case, got {sizes.max():.6g} > {2 / beta:.6g}. "
            "Longer steps expand: use the general case."
        )
    growth = np.zeros(len(spread)) if convex else np.log1p(sizes * beta)
    later = growth.sum() - np.cumsum(growth)
    with np.errstate(divide="ignore"):
        log_terms = scale - math.log(count("n", n)) + later + np.log(sizes) + np.log(spread) / 2
    return StabilityDiagnostic(float(logsumexp(log_terms)), log_terms, form, int(n), convex)
