"""Roles: which examples shaped the prior, which carry the bound, which chose, and which test."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["ROLES", "Roles", "in_halves", "repeated_examples"]

#: What an example may be used for; each example has one of these roles or none.
ROLES = ("prior", "bound", "selection", "test")


@dataclass(frozen=True, eq=False)
class Roles:
    """One role for every example of a data set.

    A bound's n is the number of *distinct* examples with the role "bound": that is `count("bound")`, and no
    other number.

    Parameters
    ----------
    codes : ndarray of int8, shape (n,)
        0 for an unused example, else one plus the role's position in `ROLES`. Build by `random` or
        `from_indices` rather than by hand.
    """

    codes: NDArray[np.int8]

    @classmethod
    def random(
        cls, n: int, fractions: Mapping[str, float], seed: int, *, fixed: Mapping[str, ArrayLike] | None = None
    ) -> "Roles":
        """Split examples at random.

        The split is drawn from the seed alone, never from the data, so that conditionally on it the bound's
        examples are an i.i.d. sample, independent of those that shape the prior. It is not stratified: class
        counts forced to agree make the bound's examples depend on the prior's labels, and on each other. It is
        not a prefix: files are often sorted by class or by writer, and then their halves have different
        distributions.

        Parameters
        ----------
        n : int
            Number of examples, >= 1.
        fractions : mapping of str to float
            Share of each role among the examples that `fixed` leaves, each in (0, 1], together at most 1. What
            is left over stays unused. Sizes depend on n and the fractions alone: the running sums of the
            fractions, times the number of examples, are rounded to the nearest whole number.
        seed : int
            Seed of the split, >= 0.
        fixed : mapping of str to array_like of int, optional
            Indices whose role is given, such as a published test set; checked as in `from_indices`.

        Returns
        -------
        Roles
            The roles of all n examples.

        Raises
        ------
        ValueError
            If a name, fraction, seed or index is out of range, or a role would be empty.

        Examples
        --------
        >>> roles = Roles.random(10, {"prior": 0.5, "bound": 0.5}, seed=0, fixed={"test": [8, 9]})
        >>> roles.count("prior"), roles.count("bound"), roles.indices("test").tolist()
        (4, 4, [8, 9])
        """
        roles = cls.from_indices(n, fixed or {})
        _whole("seed", seed, 0, "A split must be repeatable: choose any whole number and keep it.")
        for role, fraction in fractions.items():
            _code(role)
            if not 0 < fraction <= 1:
                raise ValueError(f"fractions[{role!r}] must be in (0, 1], got {fraction!r}. Leave out unused roles.")
        edges = np.cumsum(list(fractions.values()))
        if fractions and edges[-1] > 1 + 1e-9:
            raise ValueError(f"fractions must sum to at most 1, got {edges[-1]}. Each example has one role: lower one.")
        free = np.random.default_rng(seed).permutation(np.flatnonzero(roles.codes == 0))
        stops = np.floor(edges * len(free) + 0.5).astype(int)
        codes, start = roles.codes.copy(), 0
        for role, stop in zip(fractions, stops, strict=True):
            if stop <= start:
                raise ValueError(
                    f"fractions[{role!r}] must leave at least one example, got {fractions[role]} of {len(free)}. "
                    "Raise the fraction or bring more data."
                )
            if (codes == _code(role)).any():
                raise ValueError(f"roles must be given once, got {role!r} in both fractions and fixed. Drop one.")
            codes[free[start:stop]] = _code(role)
            start = stop
        return cls(codes)

    @classmethod
    def from_indices(cls, n: int, indices: Mapping[str, ArrayLike]) -> "Roles":
        """Record roles that were decided elsewhere.

        Parameters
        ----------
        n : int
            Number of examples, >= 1.
        indices : mapping of str to array_like of int
            Distinct indices in [0, n) of each role; no index may have two roles.

        Returns
        -------
        Roles
            The roles of all n examples; those not named are unused.

        Raises
        ------
        ValueError
            If a name is unknown, an index is not whole, out of range or repeated, or two roles overlap.
        """
        _whole("n", n, 1, "Roles belong to examples: load the data first.")
        codes = np.zeros(n, dtype=np.int8)
        for role, members in indices.items():
            code = _code(role)
            chosen = np.asarray(members)
            if chosen.size == 0:
                raise ValueError(f"indices[{role!r}] must not be empty, got 0 indices. Leave the role out instead.")
            if chosen.dtype.kind not in "iu" or chosen.ndim != 1:
                raise ValueError(
                    f"indices[{role!r}] must be a one-dimensional array of integers, got dtype {chosen.dtype} and "
                    f"shape {chosen.shape}. Turn a mask into indices by numpy.flatnonzero."
                )
            outside = (chosen < 0) | (chosen >= n)
            if outside.any():
                raise ValueError(
                    f"indices[{role!r}] must be in [0, {n}), got {chosen[outside][0]} ({outside.sum()} outside). "
                    "Count from 0, and within this data set."
                )
            distinct, times = np.unique(chosen, return_counts=True)
            if len(distinct) < len(chosen):
                raise ValueError(
                    f"indices[{role!r}] must be distinct, got {len(chosen) - len(distinct)} repeats, the first of "
                    f"index {distinct[times > 1][0]}. n counts distinct examples: use numpy.unique."
                )
            taken = distinct[codes[distinct] != 0]
            if len(taken):
                other = ROLES[codes[taken[0]] - 1]
                raise ValueError(
                    f"roles must not overlap, got {len(taken)} examples of {role!r} with another role, the first "
                    f"being index {taken[0]} ({other!r}). Give each example one role."
                )
            codes[distinct] = code
        return cls(codes)

    def __len__(self) -> int:
        return len(self.codes)

    def indices(self, role: str) -> NDArray[np.int64]:
        """Return the examples of a role.

        Parameters
        ----------
        role : str
            One of `ROLES`.

        Returns
        -------
        ndarray of int64
            Their indices, increasing; empty where the role is unused.
        """
        return np.flatnonzero(self.codes == _code(role)).astype(np.int64)

    def count(self, role: str) -> int:
        """Count the examples of a role.

        Parameters
        ----------
        role : str
            One of `ROLES`.

        Returns
        -------
        int
            Number of distinct examples.
        """
        return int(np.count_nonzero(self.codes == _code(role)))


def in_halves(indices: NDArray[np.int64], seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split examples at random into two halves: one to learn from, one to test on.

    Parameters
    ----------
    indices : ndarray of int64
        The examples, at least two.
    seed : int
        Seed of the split.

    Returns
    -------
    kept, tested : ndarray of int64
        The halves, each in the order of `indices`.
    """
    halves = Roles.random(len(indices), {"prior": 0.5, "bound": 0.5}, seed)
    return indices[halves.indices("prior")], indices[halves.indices("bound")]


def repeated_examples(hashes: ArrayLike, roles: Roles) -> dict[tuple[str, str], int]:
    """Count examples whose content occurs more than once, within a role or across two.

    A copy under another index is a different example to a count and the same one to the i.i.d. assumption, so
    that a certificate should say how many there are.

    Parameters
    ----------
    hashes : array_like, shape (n,)
        One content hash per example, as `Data.example_hashes` gives.
    roles : Roles
        Roles of the same n examples.

    Returns
    -------
    dict of (str, str) to int
        For each pair of roles (earlier in `ROLES` first) the number of the second's examples whose content
        occurs in the first; for a role with itself the number of examples beyond the first of their content.
        Pairs without any are left out.

    Raises
    ------
    ValueError
        If the numbers of hashes and roles differ.

    Examples
    --------
    >>> roles = Roles.from_indices(4, {"prior": [0, 1], "bound": [2, 3]})
    >>> repeated_examples([7, 8, 8, 8], roles)
    {('prior', 'bound'): 2, ('bound', 'bound'): 1}
    """
    content = np.asarray(hashes)
    if content.shape != (len(roles),):
        raise ValueError(f"hashes must have shape ({len(roles)},), got {content.shape}. Hash all examples in order.")
    held = {role: content[roles.indices(role)] for role in ROLES}
    counts: dict[tuple[str, str], int] = {}
    for position, first in enumerate(ROLES):
        for second in ROLES[position:]:
            if first == second:
                number = len(held[first]) - len(np.unique(held[first]))
            else:
                number = int(np.isin(held[second], held[first]).sum())
            if number:
                counts[first, second] = number
    return counts


def _code(role: str) -> int:
    if role not in ROLES:
        raise ValueError(f"role must be one of {', '.join(ROLES)}, got {role!r}. Pick one of these four.")
    return ROLES.index(role) + 1


def _whole(name: str, value: object, minimum: int, remedy: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < minimum:
        raise ValueError(f"{name} must be a whole number of at least {minimum}, got {value!r}. {remedy}")
