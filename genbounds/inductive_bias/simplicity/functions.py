"""Functions on finitely many inputs, counted: how often each one came out of independent draws of a network."""

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linprog
from scipy.special import ndtri

from genbounds.inductive_bias.simplicity.lempel_ziv import lempel_ziv_bits
from genbounds.numerics import binomial_lower, binomial_upper
from genbounds.numerics.checks import confidence as inside
from genbounds.numerics.checks import count, finite, positive
from genbounds.numerics.estimates import Estimate

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["FunctionCounts", "count_functions", "simplicity_line"]

#: Classes that a function may have.
_CLASSES = 256
_SUCH = "It is that of the interval, such as 0.95."


@dataclass(frozen=True, eq=False)
class FunctionCounts:
    """Different functions, and how many of the independent draws gave each of them.

    Attributes
    ----------
    functions : ndarray of uint8, shape (k, n)
        The class that each function gives each of the n inputs; the most frequent function first.
    counts : ndarray of int64, shape (k,)
        How often each one was drawn, at least once.
    source : str
        What was drawn.
    """

    functions: NDArray[np.uint8]
    counts: NDArray[np.int64]
    source: str

    @property
    def samples(self) -> int:
        """Number of draws S.

        Returns
        -------
        int
            Sum of the counts.
        """
        return int(self.counts.sum())

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """Estimated probability of each function, its share of the draws.

        Returns
        -------
        ndarray, shape (k,)
            Unbiased for a function that was fixed before; those that were rarely drawn are here because they were, so
            that their shares are too high on average.
        """
        return self.counts / self.samples

    def bits(self, most: int | None = None) -> NDArray[np.float64]:
        """Return the Lempel-Ziv complexity K_LZ of functions, their outputs read in the order of the inputs.

        Parameters
        ----------
        most : int, optional
            Of how many of the most frequent functions; by default of all.

        Returns
        -------
        ndarray, shape (most,)
            In bits: see `lempel_ziv_bits`.
        """
        return np.array([lempel_ziv_bits(function) for function in self.functions[:most]])

    def intervals(self, confidence: float = 0.95) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return Clopper and Pearson's interval for each probability by itself.

        Parameters
        ----------
        confidence : float
            In (0, 1): covers at least as often, for a function that was fixed before the draws.

        Returns
        -------
        low, high : ndarray, shape (k,)
            Ends, in [0, 1].
        """
        level = math.log((1 - float(inside("confidence", confidence, _SUCH))) / 2)
        ends = (limit(self.counts, self.samples, level) for limit in (binomial_lower, binomial_upper))
        low, high = map(np.asarray, ends)
        return low, high

    def missing_mass(self, confidence: float = 0.95) -> Estimate:
        """Estimate the probability that the next draw gives a function that was never drawn.

        Parameters
        ----------
        confidence : float
            Nominal, of the interval, in (0, 1).

        Returns
        -------
        Estimate
            Good and Turing's share of draws whose function was drawn once; its standard error is Esty's (1983),
            sqrt(f_1 (1 - f_1 / S) + 2 f_2) / S, with f_j the number of functions drawn j times. The interval is the
            wider, at each end, of the normal one and Clopper and Pearson's for f_1 of S, so that few rare functions,
            or none, are not taken for none at all.
        """
        total = self.samples
        once, twice = (int((self.counts == times).sum()) for times in (1, 2))
        tail = (1 - float(inside("confidence", confidence, _SUCH))) / 2
        share, error = once / total, math.sqrt(once * (1 - once / total) + 2 * twice) / total
        reach = -float(ndtri(tail)) * error
        low = min(share - reach, float(binomial_lower(once, total, math.log(tail))))
        high = max(share + reach, float(binomial_upper(once, total, math.log(tail))))
        interval = max(low, 0.0), min(high, 1.0)
        return Estimate(share, error, interval, confidence, total, "Good and Turing's estimate with Esty's error")

    def given(self, inputs: ArrayLike, classes: ArrayLike) -> "FunctionCounts":
        """Return the draws that fit a training set S: by counting, P_B(f | S) = P(f) / P(S) for each f that fits.

        Parameters
        ----------
        inputs : array_like of int
            Numbers of the training inputs, counted from 0.
        classes : array_like of int
            Their classes.

        Returns
        -------
        FunctionCounts
            Functions that fit, with their counts; `samples` of them over those here estimates P(S).

        Raises
        ------
        ValueError
            If there are not as many classes as inputs, an input is out of range, or none fits: the posterior cannot be
            had by counting.
        """
        places, wanted = count("inputs", inputs, 0).astype(np.int64), np.asarray(classes)
        if places.ndim != 1 or places.shape != wanted.shape or (places >= self.functions.shape[1]).any():
            raise ValueError(
                f"inputs must be numbers below {self.functions.shape[1]}, one for each class, got {places} for "
                f"{wanted}. Count inputs from 0."
            )
        fits = (self.functions[:, places] == wanted).all(axis=1)
        if not fits.any():
            raise ValueError(
                f"classes must be those of some function that was drawn, got {wanted}. Draw more networks."
            )
        return FunctionCounts(self.functions[fits], self.counts[fits], f"{self.source} that fit {wanted.size} inputs")

    def of(self, functions: ArrayLike) -> NDArray[np.int64]:
        """Look up how often given functions were drawn.

        Parameters
        ----------
        functions : array_like of int, shape (m, n)
            Functions, such as those of another `FunctionCounts`.

        Returns
        -------
        ndarray of int64, shape (m,)
            Their counts; 0 for those that were not.

        Raises
        ------
        ValueError
            If they are not of the same inputs, or a class is no whole number from 0 to 255.
        """
        known = {function.tobytes(): number for function, number in zip(self.functions, self.counts, strict=True)}
        rows = _classes("functions", functions)
        if rows.shape[1] != self.functions.shape[1]:
            raise ValueError(f"functions must be of {self.functions.shape[1]} inputs, got {rows.shape[1]}.")
        return np.array([known.get(row.tobytes(), 0) for row in rows], dtype=np.int64)

    def to_frame(self, most: int | None = None, confidence: float = 0.95) -> "DataFrame":
        """Return one row for each function: what a plot of probability against complexity shows.

        Parameters
        ----------
        most : int, optional
            How many of the most frequent functions; by default all.
        confidence : float
            Of the intervals.

        Returns
        -------
        DataFrame
            Outputs as text, count, probability with its interval, K_LZ in bits.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        try:
            from pandas import DataFrame
        except ImportError as error:
            raise ImportError("FunctionCounts.to_frame needs pandas. Run: pip install 'genbounds[frame]'") from error
        low, high = self.intervals(confidence)
        between = "" if self.functions.max() < 10 else " "
        return DataFrame({
            "function": [between.join(map(str, function)) for function in self.functions[:most]],
            "count": self.counts[:most],
            "probability": self.probabilities[:most],
            "low": low[:most],
            "high": high[:most],
            "bits": self.bits(most),
        })


def count_functions(batches: Iterable[ArrayLike], source: str) -> FunctionCounts:
    """Count how often each function occurs among draws.

    Parameters
    ----------
    batches : iterable of array_like of int, shape (draws, n)
        Classes, counted from 0, that each draw gives the n inputs; one batch after the other.
    source : str
        What was drawn.

    Returns
    -------
    FunctionCounts
        The functions by falling count; among equals those with smaller outputs first.

    Raises
    ------
    ValueError
        If there is no draw, batches have different inputs, or a class is no whole number from 0 to 255.

    Examples
    --------
    >>> found = count_functions([[[0, 1], [1, 1], [0, 1]]], "three draws")
    >>> found.functions.tolist(), found.counts.tolist(), found.probabilities.round(3).tolist()
    ([[0, 1], [1, 1]], [2, 1], [0.667, 0.333])
    """
    seen, inputs = Counter[bytes](), set()
    for batch in batches:
        classes = _classes("batches", batch)
        inputs.add(classes.shape[1])
        rows, times = np.unique(classes, axis=0, return_counts=True)
        seen.update({row.tobytes(): int(number) for row, number in zip(rows, times, strict=True)})
    if len(inputs) != 1:
        raise ValueError(f"batches must be at least one and of the same inputs, got {sorted(inputs)} inputs.")
    order = sorted(seen.items(), key=lambda item: (-item[1], item[0]))
    functions = np.frombuffer(b"".join(function for function, _ in order), np.uint8).reshape(len(order), -1)
    return FunctionCounts(functions, np.array([number for _, number in order], np.int64), source)


def _classes(name: str, table: ArrayLike) -> NDArray[np.uint8]:
    classes = count(name, table, 0)
    if classes.ndim != 2 or not classes.size or classes.max() >= _CLASSES:
        raise ValueError(
            f"{name} must hold tables of classes from 0 to 255, got shape {classes.shape}, largest "
            f"{classes.max(initial=0):g}. Put one function in a row."
        )
    return classes.astype(np.uint8)


def simplicity_line(bits: ArrayLike, probabilities: ArrayLike) -> tuple[float, float]:
    """Return a and b of the lowest line 2^(-a K - b) above given points of probability against complexity.

    Dingle, Camargo and Louis (2018) argue that P(f) <= 2^(-a K(f) - b) up to a factor of order one, with a and b that
    depend on the map alone. That is a heuristic, for K_LZ stands for the Kolmogorov complexity: the line is drawn
    above what was seen, and bounds nothing else.

    Parameters
    ----------
    bits : array_like, shape (k,)
        Complexities, of at least two values.
    probabilities : array_like, shape (k,)
        Probabilities, positive. Leave out functions that were drawn once or twice: shares of 1 / S say little but S.

    Returns
    -------
    a, b : float
        Slope, at least 0, and intercept of the line above the largest probability of each complexity, with the least
        sum of distances in log2.

    Raises
    ------
    ValueError
        If lists differ in length, there is one complexity only, or a number is out of its range.

    Examples
    --------
    >>> a, b = simplicity_line([1.0, 2.0, 3.0, 3.0], [0.25, 0.01, 0.0625, 0.001])
    >>> round(a, 9), round(b, 9)
    (1.0, 1.0)
    """
    bits, logs = finite("bits", bits), np.log2(positive("probabilities", probabilities))
    if bits.ndim != 1 or bits.shape != logs.shape:
        raise ValueError(f"bits and probabilities must be lists of one length, got {bits.shape} and {logs.shape}.")
    values, place = np.unique(bits, return_inverse=True)
    if len(values) < 2:
        raise ValueError(f"bits must have at least two values, got {values}. Take more functions.")
    top = np.full(len(values), -np.inf)
    np.maximum.at(top, place, logs)
    columns = np.stack([values, np.ones_like(values)], axis=1)
    found = linprog(-columns.sum(axis=0), A_ub=columns, b_ub=-top, bounds=[(0, None), (None, None)])
    return float(found.x[0]), float(found.x[1])
