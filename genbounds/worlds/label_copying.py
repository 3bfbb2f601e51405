"""Learners that copy random labels of inputs which never repeat: with them many bounds are nearly attained.

Labels are fair, independent of the inputs, and no two inputs are equal: the limit of many inputs. A hypothesis names a
label for every input; labels it did not copy are fair, so that its risk is 1 - 1/classes whatever happened. What S and
W tell about one another is all in the n labels and W's names for the n inputs, a finite table.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import xlogy

from genbounds.numerics.checks import count, unit_interval

__all__ = ["LabelCopier", "LabelMemoriser"]


@dataclass(frozen=True)
class LabelCopier:
    """Two labels; each of the n labels is copied, rightly with probability (1 + reliability) / 2, wrongly else.

    Examples are treated independently, so that nothing is lost between the whole sample and its examples: the gap is
    reliability / 2 at any n, and I(S;W) = n I(W;Z_1). Bounds by mutual information are tight for a small reliability,
    those by cumulants for any.

    Parameters
    ----------
    n : int
        Examples in a sample, at least 1.
    reliability : float
        In (0, 1).

    Raises
    ------
    ValueError
        If a parameter is out of range.

    Examples
    --------
    >>> world = LabelCopier(n=10, reliability=0.2)
    >>> world.gap, round(world.mutual_information, 6)  # sqrt(I / (2n)) = 0.1003
    (0.1, 0.201355)
    """

    n: int
    reliability: float

    def __post_init__(self) -> None:
        _checked(self.n, "reliability", self.reliability)

    @property
    def gap(self) -> float:
        """E[L_mu(W) - L_S(W)] of the 0-1 loss."""
        return self.reliability / 2

    @property
    def squared_gap(self) -> float:
        """E[(L_mu(W) - L_S(W))^2] of the 0-1 loss."""
        return self.gap**2 + (1 - self.reliability**2) / (4 * self.n)

    @property
    def one_label(self) -> float:
        """I(W;Z_i), nats."""
        right, wrong = 1 + self.reliability, 1 - self.reliability
        return float(xlogy(right, right) + xlogy(wrong, wrong)) / 2

    @property
    def mutual_information(self) -> float:
        """I(S;W), nats."""
        return self.n * self.one_label

    @property
    def lautum(self) -> float:
        """Lautum information KL(P_S P_W || P_SW), nats."""
        return -self.n * math.log1p(-(self.reliability**2)) / 2

    @property
    def leakage(self) -> float:
        """Maximal leakage from S to W, nats."""
        return self.n * math.log1p(self.reliability)

    def loss_cgf(self, rates: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return ln E exp(rate (l - 1/2)) for the loss of a hypothesis on a fresh example, ln cosh(rate / 2).

        Parameters
        ----------
        rates : ndarray
            Any real numbers.

        Returns
        -------
        ndarray
            Nats. At 2 artanh(reliability) a bound by cumulants is attained.
        """
        return np.log1p(2 * np.sinh(np.asarray(rates) / 4) ** 2)


@dataclass(frozen=True)
class LabelMemoriser:
    """With probability `share` all n labels are copied, else none is: one event decides about the whole sample.

    The gap is share * (1 - 1/classes) at any n, but KL(P_S P_W || P_SW) is at most -ln(1 - share): independent S and W
    look like the case that nothing was copied. It refutes bounds by the lautum information that divide by n.

    Parameters
    ----------
    classes : int
        Labels, at least 2.
    n : int
        Examples in a sample, at least 1; classes^n below 1e300.
    share : float
        Probability that the labels are copied, in (0, 1).

    Raises
    ------
    ValueError
        If a parameter is out of range.

    Examples
    --------
    >>> world = LabelMemoriser(classes=2, n=20, share=0.5)
    >>> world.gap, round(world.lautum, 6)  # sqrt(lautum / (2n)) = 0.1316 is no bound
    (0.25, 0.693134)
    """

    classes: int
    n: int
    share: float

    def __post_init__(self) -> None:
        _checked(self.n, "share", self.share)
        count("classes", self.classes, minimum=2)
        if self.n * math.log10(self.classes) > 300:
            raise ValueError(f"n must be small enough for classes^n below 1e300, got {self.n}. Take fewer examples.")

    @property
    def gap(self) -> float:
        """E[L_mu(W) - L_S(W)] of the 0-1 loss."""
        return self.share * self.risk

    @property
    def risk(self) -> float:
        """L_mu(W) of the 0-1 loss, the same for all W."""
        return 1 - 1 / self.classes

    @property
    def squared_gap(self) -> float:
        """E[(L_mu(W) - L_S(W))^2] of the 0-1 loss."""
        return self.share * self.risk**2 + (1 - self.share) * self.risk * (1 - self.risk) / self.n

    @property
    def chance(self) -> float:
        """Probability that independent S and W agree on all labels."""
        return float(self.classes) ** -self.n

    @property
    def leakage(self) -> float:
        """Maximal leakage from S to W, nats: the log ratio of joint law to product where S and W agree."""
        return math.log1p(self.share * (1 / self.chance - 1))

    @property
    def mutual_information(self) -> float:
        """I(S;W), nats."""
        agree = self.share + (1 - self.share) * self.chance
        return agree * self.leakage + (1 - agree) * math.log1p(-self.share)

    @property
    def lautum(self) -> float:
        """Lautum information KL(P_S P_W || P_SW), nats."""
        return -self.chance * self.leakage - (1 - self.chance) * math.log1p(-self.share)

    @property
    def one_label(self) -> float:
        """I(W;Z_i), nats."""
        agree = self.share + (1 - self.share) / self.classes
        return float(xlogy(agree, agree * self.classes) + xlogy(1 - agree, (1 - agree) / self.risk))


def _checked(n: int, name: str, value: float) -> None:
    count("n", n)
    if not 0 < float(unit_interval(name, value)) < 1:
        raise ValueError(f"{name} must be strictly between 0 and 1, got {value!r}. Take a value next to the end.")
