"""Stiffness: how a small step on one example changes the loss of another, by sign and cosine, and by class.

The coherence of a sample is an average over pairs, ``alpha_m = mean of g_i . g_j over mean of ||g_i||^2``, in which
lengths count. Stiffness looks at the sign and the cosine of each pair alone.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genbounds.coherence.jackknife import Jackknifed, jackknife
from genbounds.coherence.pairs.gram import Gram
from genbounds.numerics.restoring import number_or_none

__all__ = ["PairMeans", "Stiffness", "mask_mean", "stiffness"]


@dataclass(frozen=True, eq=False)  # arrays have no equality of their own that is one answer
class PairMeans:
    """Averages of a number over pairs of different examples.

    Parameters
    ----------
    overall : Jackknifed
        Over all pairs, for examples drawn from the population.
    within, between : Jackknifed or None
        Averages of the diagonal and of the rest of the class matrix, so that every class counts the same; for
        examples drawn within classes whose numbers are fixed. None without classes.
    classes : tuple of int
        Labels of rows and columns of the class matrix.
    counts : tuple of int
        Examples of each.
    matrix, standard_errors : ndarray, shape (classes, classes), or None
        Average over pairs with one example of class a and another of class b, with standard error. NaN on the
        diagonal where a class has a single example.
    """

    overall: Jackknifed
    within: Jackknifed | None
    between: Jackknifed | None
    classes: tuple[int, ...]
    counts: tuple[int, ...]
    matrix: NDArray[np.float64] | None
    standard_errors: NDArray[np.float64] | None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PairMeans) and self.to_json() == other.to_json()

    def __hash__(self) -> int:
        return hash((self.overall, self.classes, self.counts))

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON carries them.

        Returns
        -------
        dict
            What is not defined is None.
        """
        means = {"overall": self.overall, "within": self.within, "between": self.between}
        matrices = {"matrix": self.matrix, "standard_errors": self.standard_errors}
        return {
            **{name: None if mean is None else mean.to_json() for name, mean in means.items()},
            "classes": list(self.classes),
            "counts": list(self.counts),
            **{
                name: None if rows is None else [[number_or_none(value) for value in row] for row in rows]
                for name, rows in matrices.items()
            },
        }


@dataclass(frozen=True)
class Stiffness:
    """How a small step on one example changes the loss of another [Fort2019].

    Parameters
    ----------
    sign : PairMeans
        ``E sign(g . g')``: share of pairs that help each other less that of pairs that harm each other.
        Where no pair differs, as for a few examples with nearly parallel gradients, its standard error is 0 and says
        nothing.
    cosine : PairMeans
        ``E cos(g, g')``. Both intervals are nominal, and too short where most gradients point one way: in such worlds
        in two dimensions a nominal 95 % covered 63 to 79 % for ten examples (signs 37 to 61 %), 84 to 89 % for fifty
        (signs 74 to 83 %).
    examples : int
        Examples with a gradient; all of their pairs were taken.
    zero : int
        Examples left out because their gradient is zero: they have no direction.
    """

    sign: PairMeans
    cosine: PairMeans
    examples: int
    zero: int

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON carries them.

        Returns
        -------
        dict
            Nested dictionaries.
        """
        return {
            "sign": self.sign.to_json(),
            "cosine": self.cosine.to_json(),
            "examples": self.examples,
            "zero": self.zero,
        }

    def __str__(self) -> str:
        lines = [f"stiffness over all pairs of {self.examples} examples ({self.zero} more without a gradient)"]
        for name, means in (("sign", self.sign), ("cosine", self.cosine)):
            parts = [f"{name}: {means.overall}"]
            if means.within is not None:
                parts += [f"within classes {means.within}", f"between {means.between}"]
            lines.append(", ".join(parts))
        return "\n".join(lines)


def stiffness(gram: Gram, *, level: float = 0.95) -> Stiffness:
    """Average signs and cosines of the gradients of all pairs of different examples, overall and by class.

    Parameters
    ----------
    gram : Gram
        Inner products; the labels, where it has them, make the classes.
    level : float
        Nominal confidence of the intervals, in (0, 1).

    Returns
    -------
    Stiffness
        Exact for the subsample; standard errors, by the jackknife over examples, are for what it was drawn from.

    Raises
    ------
    ValueError
        If fewer than two examples have a gradient.

    Examples
    --------
    >>> products = np.array([[1.0, 2.0, 0.0], [2.0, 4.0, 0.0], [0.0, 0.0, 0.0]])
    >>> found = stiffness(Gram(products, None, np.arange(3), 3))
    >>> found.cosine.overall.value, found.zero
    (1.0, 1)
    """
    cosines, kept = gram.directions()
    labels = None if gram.labels is None else gram.labels[kept]
    means = [_pair_means(values, labels, level) for values in (np.sign(cosines), cosines)]
    return Stiffness(means[0], means[1], int(kept.sum()), int((~kept).sum()))


def mask_mean(values: NDArray[np.float64], mask: NDArray[np.float64], level: float) -> Jackknifed:
    """Average over some of the pairs, with its standard error.

    Parameters
    ----------
    values : ndarray, shape (k, k)
        One number a pair, symmetric.
    mask : ndarray, shape (k, k)
        1 for the pairs that count, 0 for others and on the diagonal; symmetric.
    level : float
        Nominal confidence of the interval.

    Returns
    -------
    Jackknifed
        The average, by the jackknife over examples.
    """
    rows, counts = (values * mask).sum(axis=1), mask.sum(axis=1)
    left_out = _ratio(rows.sum() - 2 * rows, counts.sum() - 2 * counts)
    return jackknife(float(rows.sum() / counts.sum()), left_out, level=level)


def _ratio(totals: NDArray[np.float64], pairs: NDArray[Any]) -> NDArray[np.float64]:
    """Average; NaN where there is no pair, whatever rounding left of its total."""
    return np.divide(totals, pairs, out=np.full(totals.shape, np.nan), where=pairs > 0)


def _pair_means(values: NDArray[np.float64], labels: NDArray[np.int64] | None, level: float) -> PairMeans:
    overall = mask_mean(values, 1.0 - np.eye(len(values)), level)
    if labels is None:
        return PairMeans(overall, None, None, (), (), None, None)
    classes, own, counts = np.unique(labels, return_inverse=True, return_counts=True)
    member = np.eye(len(classes))[own]
    rows = (values - np.diag(np.diagonal(values))) @ member  # sums over the other examples of each class
    totals, pairs = member.T @ rows, np.outer(counts, counts) - np.diag(counts)
    matrix = _ratio(totals, pairs)
    # Without example i of class a the row a of the matrix changes: twice on the diagonal, where i is in both roles.
    left = (counts[own, None] - 1 - member) * (counts[None, :] - member)
    left_out = _ratio(totals[own] - rows * (1 + member), left)
    return PairMeans(
        overall,
        *_class_means(matrix, left_out, own, level),
        tuple(classes.tolist()),
        tuple(counts.tolist()),
        matrix,
        _class_errors(matrix, left_out, own, level),
    )


def _class_means(
    matrix: NDArray[np.float64], left_out: NDArray[np.float64], own: NDArray[np.int64], level: float
) -> tuple[Jackknifed | None, Jackknifed | None]:
    """Return the averages of the diagonal, where it is defined, and of the rest."""
    number, every = len(matrix), np.arange(len(own))
    diagonal, changed = np.diagonal(matrix), left_out[every, own]
    defined = ~np.isnan(diagonal)
    off = ~np.eye(number, dtype=bool)
    moved = (left_out - matrix[own]).sum(axis=1, where=off[own])
    within = between = None
    if defined.any():
        value = float(diagonal[defined].mean())
        steps = value + (changed - diagonal[own]) / defined.sum()
        within = jackknife(value, *(steps[own == label] for label in np.flatnonzero(defined)), level=level)
    if number > 1:
        value = float(matrix[off].mean())
        steps = value + 2 * moved / (number * (number - 1))
        between = jackknife(value, *(steps[own == label] for label in range(number)), level=level)
    return within, between


def _class_errors(
    matrix: NDArray[np.float64], left_out: NDArray[np.float64], own: NDArray[np.int64], level: float
) -> NDArray[np.float64]:
    """Return the standard error of each average of the class matrix."""
    errors = np.empty_like(matrix)
    samples = [left_out[own == label] for label in range(len(matrix))]
    for a, b in np.ndindex(matrix.shape):
        parts = [samples[a][:, a]] if a == b else [samples[a][:, b], samples[b][:, a]]
        errors[a, b] = jackknife(float(matrix[a, b]), *parts, level=level).standard_error
    return errors
