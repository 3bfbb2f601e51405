"""Masks of a supersample: which example of each pair is trained on."""

import hashlib

import numpy as np
from numpy.typing import NDArray

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


def draw_masks(count: int, n: int, *, seed: int, supersample: int = 0, balanced: bool = True) -> NDArray[np.int8]:
    """Draw the masks of one supersample: uniform bits, each training's own.

    Balanced masks come in pairs U and 1 - U, so that each example is trained on in exactly half of the trainings.
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
    balanced : bool
        Whether to pair them. Otherwise all are independent.

    Returns
    -------
    ndarray of int8, shape (count, n)
        U: the column, 0 or 1, of the example of each pair that is trained on.

    Raises
    ------
    ValueError
        If a number is too small, or odd where masks come in pairs.

    Examples
    --------
    >>> masks = draw_masks(4, 6, seed=0)
    >>> masks[0] + masks[1], masks.mean(0)
    (array([1, 1, 1, 1, 1, 1], dtype=int8), array([0.5, 0.5, 0.5, 0.5, 0.5, 0.5]))
    """
    if count < 2 or (balanced and count % 2):
        wanted = "even and at least 2, as balanced masks come in pairs" if balanced else "at least 2"
        raise ValueError(f"masks must be {wanted}, got {count}. Take {max(2, count + 1)}.")
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}. It is the number of examples that each training sees.")
    source = generator(seed, "masks", supersample)
    if not balanced:
        return source.integers(0, 2, (count, n), dtype=np.int8)
    first = source.integers(0, 2, (count // 2, n), dtype=np.int8)
    return np.stack([first, 1 - first], axis=1).reshape(count, n)
