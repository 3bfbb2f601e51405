"""Coding coin flips without knowing the coin: the regret of a Bayes mixture, and the weight of the truth."""

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import betaln, digamma, entr, gammaln, xlog1py, xlogy

from genbounds.numerics.binary_kl import kl_lower, kl_upper
from genbounds.numerics.checks import count, nonnegative

__all__ = ["BernoulliUniversality"]


@dataclass(frozen=True)
class BernoulliUniversality:
    r"""n flips of a coin with P(1) = theta, predicted one by one by the mixture of all coins under the uniform prior.

    The mixture gives a sequence with k ones the probability 1 / ((n + 1) C(n, k)), so that its expected log-loss beyond
    that of the true coin, KL(P_theta^n || mixture), is ln(n + 1) less the entropy of the number of ones. Above it lie,
    with D(theta || t) the relative entropy of one flip,

    * by Jensen, -ln E exp(-n D(theta || t)) over the prior: with h the entropy of one flip the integral is
      exp(n h) B(n theta + 1, n (1 - theta) + 1), a Beta function;
    * for each Beta law q on coins, n E_q D(theta || t) + KL(q || prior) (Donsker and Varadhan), equal to the line
      before at q = Beta(n theta + 1, n (1 - theta) + 1);
    * for each radius e, n e + ln(1 / w(e)), where the weight w(e) is the prior mass of the coins with
      D(theta || t) <= e.

    Parameters
    ----------
    theta : float
        Probability of a one, in (0, 1).
    n : int
        Flips, at least 1.

    Raises
    ------
    ValueError
        If theta is not in (0, 1), or n is not a whole number of at least 1.

    Examples
    --------
    >>> world = BernoulliUniversality(theta=0.2, n=10)
    >>> round(world.redundancy, 4), round(world.mixture_bound, 4), round(world.ball_bound, 4)
    (0.776, 1.2005, 1.8926)
    """

    theta: float
    n: int

    def __post_init__(self) -> None:
        if not 0 < self.theta < 1:
            raise ValueError(f"theta must be strictly between 0 and 1, got {self.theta!r}. A sure coin needs no code.")
        count("n", self.n)

    @property
    def entropy(self) -> float:
        """Entropy h of one flip, nats."""
        return float(entr(self.theta) + entr(1 - self.theta))

    @property
    def redundancy(self) -> float:
        """Regret of the mixture, KL(P_theta^n || mixture), nats, summed over all numbers of ones."""
        ones = np.arange(self.n + 1.0)
        choose = gammaln(self.n + 1) - gammaln(ones + 1) - gammaln(self.n - ones + 1)
        logs = choose + xlogy(ones, self.theta) + xlog1py(self.n - ones, -self.theta)
        weights = np.exp(logs)
        return math.fsum(weights * (math.log(self.n + 1) + logs)) / math.fsum(weights)

    @property
    def mixture_bound(self) -> float:
        """-ln E exp(-n D(theta || t)) over coins t from the prior, nats."""
        return float(-self.n * self.entropy - betaln(self.n * self.theta + 1, self.n * (1 - self.theta) + 1))

    def weight(self, radius: float) -> float:
        """Return the prior mass of the coins t with D(theta || t) <= radius.

        Parameters
        ----------
        radius : float
            Nats, non-negative.

        Returns
        -------
        float
            Length of an interval around theta.
        """
        radius = float(nonnegative("radius", radius))
        return float(kl_upper(self.theta, radius) - kl_lower(self.theta, radius))

    @property
    def radius(self) -> float:
        """Radius e that minimises n e + ln(1 / w(e)); near 1 / (2 n), as w(e) grows like its root."""
        found = minimize_scalar(
            lambda log: self.n * math.exp(log) - math.log(self.weight(math.exp(log))),
            bounds=(-math.log(self.n) - 5, -math.log(self.n) + 3),
            method="bounded",
            options={"xatol": 1e-9},
        )
        return math.exp(found.x)

    @property
    def ball_bound(self) -> float:
        """The least n e + ln(1 / w(e)) over radii e, nats."""
        return self.n * self.radius - math.log(self.weight(self.radius))

    def divergences(self, ones: float, zeros: float) -> tuple[float, float]:
        """Return what Donsker and Varadhan's bound is made of, for coins drawn from q = Beta(ones, zeros).

        Parameters
        ----------
        ones, zeros : float
            Parameters of the Beta law, positive.

        Returns
        -------
        divergence : float
            E_q D(theta || t), nats.
        kl : float
            KL(q || uniform), nats.
        """
        one, zero = digamma(ones) - digamma(ones + zeros), digamma(zeros) - digamma(ones + zeros)
        divergence = -self.entropy - self.theta * one - (1 - self.theta) * zero
        return float(divergence), float((ones - 1) * one + (zeros - 1) * zero - betaln(ones, zeros))

    @property
    def asymptote(self) -> float:
        """What the redundancy approaches as n grows: half ln(n / (2 pi e)) less half ln(theta (1 - theta)), nats."""
        return math.log(self.n / (2 * math.pi * math.e * self.theta * (1 - self.theta))) / 2
