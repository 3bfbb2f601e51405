"""Masks of a supersample: which example of each pair is trained on."""

import hashlib

import numpy as np
from numpy.typing import NDArray

from genbounds.information.estimation.limits import Design

__all__ = ["draw_masks", "generator"]


def generator(seed: int, stage: str, number: int) -> np.random.Generator:
    """Return a generator whose stream is a function of the arguments alone.

    Parameters
    ----------
    seed : int
        Seed of the whole experiment.
    stage : str
        What is drawn.
    number : int
        Number of the supersample.

    Returns
    -------
    numpy.random.Generator
        A fresh generator.
    """
    return np.random.default_rng(int.from_bytes(hashlib.sha256(f"{seed} {stage} {number}".encode()).digest()))


def draw_masks(count: int, n: int, *, seed: int, supersample: int = 0, design: Design = "pairs") -> NDArray[np.int8]:
    """Draw the masks of one supersample: uniform bits, each training's own.

    In pairs, masks are U, 1 - U, U', 1 - U', ..., so that each example is trained on in exactly half of the trainings.
    Every mask by itself is uniform on {0, 1}^n; those of different pairs are independent. Hence, for each example i and
    each u, the count / 2 trainings with U_i = u, one of each pair, are independent draws from the law of the output
    given U_i = u.

    Parameters
    ----------
    count : int
        Number of masks (of trainings), >= 2.
    n : int
        Pairs of examples, >= 1.
    seed : int
        Seed of the experiment. The first masks of a larger count are those of a smaller one.
    supersample : int
        Number of the supersample, from 0; each has masks of its own.
    design : {"pairs", "independent"}
        Whether they come in pairs, or each is drawn by itself.

    Returns
    -------
    ndarray of int8, shape (count, n)
        U: the column, 0 or 1, of the example of each pair that is trained on.

    Raises
    ------
    ValueError
        If a number is too small, or odd where masks come in pairs, or the design is another.

    Examples
    --------
    >>> masks = draw_masks(4, 6, seed=0)
    >>> masks[0] + masks[1], masks.mean(0)
    (array([1, 1, 1, 1, 1, 1], dtype=int8), array([0.5, 0.5, 0.5, 0.5, 0.5, 0.5]))
    """
    if design not in {"pairs", "independent"}:
        raise ValueError(f"design must be 'pairs' or 'independent', got {design!r}. Take pairs.")
    if count < 2 or (design == "pairs" and count % 2):
        wanted = "even and at least 2, as they come in pairs" if design == "pairs" else "at least 2"
        raise ValueError(f"masks must be {wanted}, got {count}. Take {max(2, count + 1)}.")
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}. It is the number of examples that each training sees.")
    source = generator(seed, "masks", supersample)
    if design == "independent":
        return source.integers(0, 2, (count, n), dtype=np.int8)
    first = source.integers(0, 2, (count // 2, n), dtype=np.int8)
    return np.stack([first, 1 - first], axis=1).reshape(count, n)
