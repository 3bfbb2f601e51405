"""Granulated Kendall coefficients: whether a measure follows the gap when one hyper-parameter alone is changed."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import ArrayLike, NDArray

from genbounds.measures.predictiveness.kendall import tau_a
from genbounds.measures.predictiveness.runs import (
    joint_codes,
    members,
    paired_ranks,
    refuse_equal_runs,
    setting_codes,
)

__all__ = ["Granulated", "granulated_kendall"]


@dataclass(frozen=True)
class Granulated:
    """Rank correlations along each axis of a grid of runs.

    Attributes
    ----------
    psi : dict of str to float
        For each axis, the mean of tau-a over the lines on which only that axis varies, in [-1, 1].
    lines : dict of str to int
        Lines behind each.
    """

    psi: dict[str, float]
    lines: dict[str, int]

    @property
    def value(self) -> float:
        """Return Psi, the mean of psi over all axes.

        Returns
        -------
        float
            In [-1, 1].
        """
        return math.fsum(self.psi.values()) / len(self.psi)

    def without(self, *axes: str) -> float:
        """Return Psi over the other axes: with the number of training examples among them, 1/n alone earns a share.

        Parameters
        ----------
        *axes : str
            Axes to leave out.

        Returns
        -------
        float
            In [-1, 1].

        Raises
        ------
        ValueError
            If an axis is unknown, or none is left.
        """
        unknown = [axis for axis in axes if axis not in self.psi]
        left = [value for axis, value in self.psi.items() if axis not in axes]
        if unknown or not left:
            raise ValueError(
                f"axes must be some, not all, of {', '.join(self.psi)}, got {', '.join(axes)}. Name others."
            )
        return math.fsum(left) / len(left)


def granulated_kendall(
    measure: ArrayLike, gap: ArrayLike, settings: Mapping[str, Sequence[Any] | NDArray[Any]]
) -> Granulated:
    """Compute psi along every hyper-parameter of a grid of runs [Jiang2020]_.

    Parameters
    ----------
    measure, gap : array_like, shape (n,)
        One finite number for each run.
    settings : mapping of str to sequence, length n
        All that was varied, the seed of repeated runs included: two runs with the same settings are refused. Average
        repetitions, or name the seed as an axis (whose psi measures noise, and is better left out of Psi).

    Returns
    -------
    Granulated
        psi of each axis and the lines behind it. The grid may have holes: a line needs two runs.

    Raises
    ------
    ValueError
        If the columns do not fit, two runs have the same settings, or no line shows an axis.

    Examples
    --------
    >>> found = granulated_kendall([1, 2, 3, 4], [0.1, 0.2, 0.4, 0.3], {"width": [1, 1, 2, 2], "lr": [1, 2, 1, 2]})
    >>> found.psi, found.value
    ({'width': 1.0, 'lr': 0.0}, 0.5)
    """
    x, y = paired_ranks(measure, gap)
    codes = setting_codes(settings, len(x))
    refuse_equal_runs(codes)
    psi, lines = {}, {}
    for axis in codes:
        groups = members(joint_codes(codes, [other for other in codes if other != axis]))
        found = [tau_a(x[group], y[group]) for group in groups if len(group) > 1]
        if not found:
            raise ValueError(
                f"settings[{axis!r}] must vary while the others stay, got no two such runs. Leave it out, or add runs."
            )
        psi[axis], lines[axis] = math.fsum(found) / len(found), len(found)
    return Granulated(psi, lines)
