"""Sign errors between configurations that differ in one hyper-parameter, and the worst of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genbounds.measures.predictiveness.runs import dense_ranks, joint_codes, members, setting_codes
from genbounds.numerics.checks import count, finite, positive, unit_interval

__all__ = ["CoupledEnvironments", "SignErrors", "coupled_environments", "pair_weights", "sign_errors"]

Float64 = NDArray[np.float64]


@dataclass(frozen=True)
class SignErrors:
    """Share of pairs that a measure orders wrongly, for every environment.

    Attributes
    ----------
    by_axis : dict of str to tuple of float
        Sign errors, in [0, 1], of the environments in which that axis was changed; 1/2 is a coin.
    left_out : int
        Environments that were left out because too few pairs of theirs are worth counting.
    """

    by_axis: dict[str, tuple[float, ...]]
    left_out: int

    @property
    def kept(self) -> int:
        """Return the number of environments that count.

        Returns
        -------
        int
            At least 1.
        """
        return sum(map(len, self.by_axis.values()))

    @property
    def worst(self) -> float:
        """Return the robust sign error, the largest over the environments.

        Returns
        -------
        float
            In [0, 1]. It grows with the number of environments, also for a good measure: compare measures on the same
            environments only.
        """
        return max(max(errors) for errors in self.by_axis.values() if errors)

    @property
    def mean(self) -> float:
        """Return the mean over the environments.

        Returns
        -------
        float
            In [0, 1].
        """
        return self._all().mean().item()

    def quantile(self, share: float) -> float:
        """Return what a share of the environments is not above.

        Parameters
        ----------
        share : float
            In [0, 1].

        Returns
        -------
        float
            Quantile of the sign errors, interpolated.
        """
        return float(np.quantile(self._all(), float(unit_interval("share", share, "It is a share."))))

    def _all(self) -> Float64:
        return np.concatenate([np.array(errors) for errors in self.by_axis.values()])


@dataclass(frozen=True)
class CoupledEnvironments:
    """Pairs of configurations whose runs are compared.

    Attributes
    ----------
    kept : tuple
        For each environment the axis that was changed, the runs of both configurations, and two matrices over their
        pairs: weights that sum to 1, and signs of the difference in gap.
    axes : tuple of str
        All hyper-parameters.
    runs : int
        Number of runs.
    left_out : int
        Environments of too small an effective number.
    """

    kept: tuple[tuple[str, NDArray[np.intp], NDArray[np.intp], Float64, NDArray[np.int64]], ...]
    axes: tuple[str, ...]
    runs: int
    left_out: int

    def sign_errors(self, measure: ArrayLike) -> SignErrors:
        """Compute the sign errors of a measure.

        Parameters
        ----------
        measure : array_like, shape (n,)
            One finite number for each run.

        Returns
        -------
        SignErrors
            One for each environment.

        Raises
        ------
        ValueError
            If the column does not fit, or no environment was kept.
        """
        x = dense_ranks("measure", measure)
        if len(x) != self.runs:
            raise ValueError(
                f"measure must have {self.runs} values, one for each run, got {len(x)}. Align the columns."
            )
        if not self.kept:
            raise ValueError(
                "settings must have two configurations that differ in one hyper-parameter, with repeats enough, got "
                f"none among {self.left_out} pairs. Repeat with other seeds, or lower `effective`."
            )
        errors: dict[str, list[float]] = {axis: [] for axis in self.axes}
        for axis, first, second, weights, order in self.kept:
            agreement = np.sign(x[first, None] - x[second]) * order
            errors[axis].append(float((weights * (1 - agreement)).sum() / 2))
        return SignErrors({axis: tuple(found) for axis, found in errors.items()}, self.left_out)


def pair_weights(difference: ArrayLike, test_examples: int) -> Float64:
    """Return how far a difference of two gaps is to be trusted, less one half [Dziugaite2020]_.

    Parameters
    ----------
    difference : array_like
        Differences of gaps that are differences of error rates, in [-2, 2].
    test_examples : int
        Number n of test examples behind each test error.

    Returns
    -------
    ndarray
        max(0, w - 1/2) with w = max(0, 1 - 2 exp(-2 n (d/2)^2))^2, in [0, 1/2].

    Notes
    -----
    The training errors are known, and each test error is a mean of n losses in [0, 1]. By Hoeffding's inequality one is
    off by d/2 or more with probability at most f = 2 exp(-2 n (d/2)^2); if neither is, the two are in the right order,
    which for independent test samples has probability at least (1 - f)^2. The usual test sample is one for both. Then
    the mean of n differences in [-1, 1] has to be off by d, which has probability at most exp(-n d^2 / 2) = f/2, and
    (1 - f)^2 <= 1 - f/2 for f <= 1: the weight is on the safe side there too. What is not proved is that the observed
    difference stands for the true one. A pair that is right with probability 1/2 or less tells nothing: hence 1/2 is
    taken off.

    Examples
    --------
    >>> pair_weights([0.0, 0.01, 0.03, 0.1], 10_000)
    array([0.        , 0.        , 0.45605765, 0.5       ])
    """
    size = float(count("test_examples", test_examples))
    d = finite("difference", difference)
    right = np.square(np.maximum(0, 1 - 2 * np.exp(-2 * size * np.square(d / 2))))
    return np.maximum(0, right - 0.5)


def coupled_environments(
    gap: ArrayLike,
    settings: Mapping[str, Sequence[Any] | NDArray[Any]],
    *,
    test_examples: int | None = None,
    effective: float = 12.0,
) -> CoupledEnvironments:
    """Find all pairs of configurations that differ in exactly one hyper-parameter.

    Parameters
    ----------
    gap : array_like, shape (n,)
        One finite number for each run; with `test_examples` a difference of error rates.
    settings : mapping of str to sequence, length n
        What was varied, without the seed: runs of equal settings are repeats of one configuration.
    test_examples : int, optional
        Examples behind each test error, from which pairs get their `pair_weights`. All pairs weigh the same if left
        out, also those whose order is noise.
    effective : float
        Least effective number of pairs, (sum w)^2 / sum w^2, of an environment that counts; positive.

    Returns
    -------
    CoupledEnvironments
        The pairs, and how many were left out.

    Raises
    ------
    ValueError
        If the columns do not fit, or the gap is no difference of error rates.
    """
    wanted, y = finite("gap", gap), dense_ranks("gap", gap)
    if test_examples is not None and np.abs(wanted).max() > 1:
        raise ValueError(
            "gap must be a difference of error rates in [-1, 1] where test examples are counted, got "
            f"{wanted[np.abs(wanted).argmax()]}. Divide percentages by 100, or leave test_examples out."
        )
    codes = setting_codes(settings, len(y))
    # Twelve pairs far beyond noise have weights that differ in late digits: their number is 12.
    least = float(positive("effective", effective)) * (1 - 1e-5)
    kept, left_out = [], 0
    for axis, code in codes.items():
        for line in members(joint_codes(codes, [other for other in codes if other != axis])):
            for one, other in combinations(members(code[line]), 2):
                first, second = line[one], line[other]
                difference = wanted[first, None] - wanted[second]
                weights = (
                    np.ones(difference.shape) if test_examples is None else pair_weights(difference, test_examples)
                )
                squares = float(np.square(weights).sum())
                if squares == 0 or weights.sum() ** 2 / squares < least:
                    left_out += 1
                else:
                    kept.append((axis, first, second, weights / weights.sum(), np.sign(y[first, None] - y[second])))
    return CoupledEnvironments(tuple(kept), tuple(codes), len(y), left_out)


def sign_errors(
    measure: ArrayLike,
    gap: ArrayLike,
    settings: Mapping[str, Sequence[Any] | NDArray[Any]],
    *,
    test_examples: int | None = None,
    effective: float = 12.0,
) -> SignErrors:
    """Compute SE = E[1 - sgn(difference in measure) sgn(difference in gap)] / 2 for every environment [Dziugaite2020]_.

    An environment is all pairs of a run of one configuration and a run of another that differs in exactly one
    hyper-parameter. A mean over many is small also where a measure fails on one: the robust score is the worst.

    Parameters
    ----------
    measure, gap : array_like, shape (n,)
        One finite number for each run; with `test_examples` the gap is a difference of error rates.
    settings : mapping of str to sequence, length n
        What was varied, without the seed: runs of equal settings are repeats of one configuration.
    test_examples : int, optional
        Examples behind each test error, from which pairs get their `pair_weights`. All pairs weigh the same if left
        out, also those whose order is noise.
    effective : float
        Least effective number of pairs, (sum w)^2 / sum w^2, of an environment that counts; positive. A single pair
        has a sign error of 0 or 1, and the worst of many such is 1 for every measure.

    Returns
    -------
    SignErrors
        One for each environment, the worst, the mean and quantiles. A tie in either column counts 1/2. Of one
        environment with equal weights and no ties it is (1 - tau) / 2, tau taken over those pairs.

    Raises
    ------
    ValueError
        If the columns do not fit, the gap is no difference of error rates, or no environment has enough pairs.

    Examples
    --------
    >>> found = sign_errors([1, 2, 3, 4], [0.1, 0.3, 0.2, 0.4], {"width": [1, 1, 2, 2]}, effective=4)
    >>> found.worst, found.mean, found.kept
    (0.25, 0.25, 1)
    """
    environments = coupled_environments(gap, settings, test_examples=test_examples, effective=effective)
    return environments.sign_errors(measure)
