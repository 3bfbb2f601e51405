"""Bounds against test errors over many networks: how far from the truth, and from what holding data out would give."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from genbounds.numerics.checks import count, positive, unit_interval
from genbounds.pac_bayes import clopper_pearson

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw_bounds"]


def draw_bounds(
    test_errors: Sequence[float], bounds: Mapping[str, Sequence[float]], test_examples: int, *, delta: float = 0.05
) -> "Figure":
    """Draw bounds of many networks over their test errors, both on logarithmic axes.

    Parameters
    ----------
    test_errors : sequence of float
        Share of the test examples that each network errs on, in [0, 1].
    bounds : mapping of str to sequence of float
        By name, what claims to bound the risk of each network: positive numbers, those above 1 too.
    test_examples : int
        Examples behind each test error.
    delta : float
        Probability with which the bound by the test examples may fail, for each network by itself.

    Returns
    -------
    matplotlib.figure.Figure
        A point for each network and bound, the exact binomial bound by the test examples, the line above which a bound
        says nothing, and the diagonal below which it lies under the test error. A network without test errors is drawn
        at half an error.

    Raises
    ------
    ValueError
        If a number is outside its range, a test error is no whole number of errors, or lengths differ.

    Examples
    --------
    >>> figure = draw_bounds([0.1, 0.2], {"mine": [0.5, 30.0]}, 100)
    >>> figure.axes[0].get_yscale()
    'log'
    """
    from matplotlib.figure import Figure

    n = int(count("test_examples", test_examples))
    errors = unit_interval("test_errors", test_errors)
    counts = np.rint(errors * n)
    if not np.allclose(counts, errors * n, rtol=0, atol=1e-3):
        raise ValueError(f"test_errors must be whole numbers of {n} examples, got {errors.tolist()}. Do not average.")
    named = {name: positive(f"bounds of {name}", values) for name, values in bounds.items()}
    wrong = [name for name, values in named.items() if values.shape != errors.shape]
    if wrong:
        raise ValueError(f"bounds of {wrong[0]} must be one for each of {len(errors)} networks. Pass a column.")
    figure = Figure(figsize=(7, 5), layout="constrained")
    plot = figure.subplots()
    at = np.maximum(counts, 0.5) / n
    for name, values in named.items():
        plot.plot(at, values, "o", markersize=4, alpha=0.7, label=name)
    plot.plot(at, clopper_pearson(counts, n, delta), "k_", markersize=8, label=f"the {n:,} test examples")
    ends = np.array([at.min() / 1.5, min(1.0, at.max() * 1.5)])
    plot.plot(ends, ends, color="0.5", linewidth=1, label="bound = test error")
    plot.axhline(1, color="tab:red", linewidth=1, linestyle="--", label="says nothing above")
    plot.set_xscale("log")
    plot.set_yscale("log")
    plot.set_xlabel("test error")
    plot.set_ylabel(f"bound (δ = {delta:g} for the test examples)")
    plot.set_title(f"Bounds against test errors of {len(errors)} networks", fontsize=10)
    figure.legend(loc="outside lower center", ncols=3, fontsize=8)
    return figure
