"""Columns of a table of runs, as the rank statistics read them: order alone matters, so numbers become ranks."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genbounds.numerics.checks import finite

__all__ = ["dense_ranks", "joint_codes", "members", "paired_ranks", "refuse_equal_runs", "setting_codes"]

Codes = NDArray[np.int64]


def dense_ranks(name: str, values: ArrayLike) -> Codes:
    """Replace numbers by their ranks among the distinct ones: differences of ranks have the sign, and never overflow.

    Parameters
    ----------
    name : str
        What the numbers are, for errors.
    values : array_like, shape (n,)
        Finite numbers.

    Returns
    -------
    ndarray of int64, shape (n,)
        From 0; equal numbers share a rank.

    Raises
    ------
    ValueError
        If there are fewer than two numbers, or one is not finite.
    """
    numbers = finite(name, values, "Leave the run out yourself, and say so: a run that failed is a result.")
    if numbers.ndim != 1 or len(numbers) < 2:
        raise ValueError(
            f"{name} must be one number for each of at least 2 runs, got shape {numbers.shape}. Pass a column."
        )
    return np.unique(numbers, return_inverse=True)[1].astype(np.int64)


def paired_ranks(measure: ArrayLike, gap: ArrayLike) -> tuple[Codes, Codes]:
    """Return the ranks of a measure and of the gap over the same runs.

    Parameters
    ----------
    measure, gap : array_like, shape (n,)
        One finite number for each run.

    Returns
    -------
    tuple of ndarray
        Dense ranks of both.

    Raises
    ------
    ValueError
        If the columns differ in length, are shorter than 2, or hold a number that is not finite.
    """
    x, y = dense_ranks("measure", measure), dense_ranks("gap", gap)
    if len(x) != len(y):
        raise ValueError(f"measure and gap must be of the same runs, got {len(x)} and {len(y)}. Align the columns.")
    return x, y


def setting_codes(settings: Mapping[str, Sequence[Any] | NDArray[Any]], runs: int) -> dict[str, Codes]:
    """Return numbers for the values of each hyper-parameter, in the order in which they appear.

    Parameters
    ----------
    settings : mapping of str to sequence, length n
        The hyper-parameters of the runs: numbers, names or truth values.
    runs : int
        n.

    Returns
    -------
    dict of str to ndarray of int64
        The numbers of the values.

    Raises
    ------
    ValueError
        If there is no hyper-parameter, one has another length, or is not a number.
    """
    if not settings:
        raise ValueError("settings must hold at least one hyper-parameter, got none. Name columns that were varied.")
    found = {}
    for name, column in settings.items():
        values = list(column.tolist()) if isinstance(column, np.ndarray) else list(column)
        if len(values) != runs:
            raise ValueError(f"settings[{name!r}] must have {runs} values, one for each run, got {len(values)}.")
        if any(value is None or value != value for value in values):
            raise ValueError(f"settings[{name!r}] must be known for every run, got a missing value. Name it.")
        numbers: dict[Any, int] = {}
        found[name] = np.array([numbers.setdefault(value, len(numbers)) for value in values], dtype=np.int64)
    return found


def joint_codes(codes: Mapping[str, Codes], axes: Collection[str]) -> Codes:
    """Return numbers for the joint values of some hyper-parameters.

    Parameters
    ----------
    codes : mapping of str to ndarray, shape (n,)
        What `setting_codes` returns.
    axes : collection of str
        Some of its keys, or none: then all runs have the same number.

    Returns
    -------
    ndarray of int64, shape (n,)
        From 0.
    """
    if not axes:
        return np.zeros(len(next(iter(codes.values()))), dtype=np.int64)
    return np.unique(np.stack([codes[axis] for axis in axes]), axis=1, return_inverse=True)[1].ravel().astype(np.int64)


def members(code: Codes) -> list[NDArray[np.intp]]:
    """Return the runs of each number.

    Parameters
    ----------
    code : ndarray of int64, shape (n,)
        Numbers of values.

    Returns
    -------
    list of ndarray
        Places of the runs, ascending, for each number that occurs.
    """
    order = np.argsort(code, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(code[order])) + 1)


def refuse_equal_runs(codes: Mapping[str, Codes]) -> None:
    """Raise if two runs have the same settings.

    Parameters
    ----------
    codes : mapping of str to ndarray, shape (n,)
        What `setting_codes` returns.

    Raises
    ------
    ValueError
        If two runs have.
    """
    joint = joint_codes(codes, codes)
    if len(np.unique(joint)) < len(joint):
        raise ValueError(
            "settings must tell the runs apart, got two with the same. Average repetitions, or name their seed as an "
            "axis."
        )
