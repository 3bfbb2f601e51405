"""Addition of remainders: all pairs, and a split of them that commutativity cannot see through."""

from dataclasses import dataclass

import torch
from torch import Tensor

from genbounds.models.randomness import stream
from genbounds.numerics.checks import confidence, count

__all__ = ["ModularAddition", "modular_addition"]


@dataclass(frozen=True, eq=False)
class ModularAddition:
    """All pairs (a, b) of remainders mod p, the pair (a, b) in row ``p a + b``, and which are trained on.

    A function of all rows, such as logits of shape (p^2, p), is then a table over a and b by a plain reshape.

    Attributes
    ----------
    modulus : int
        p, odd.
    pairs : Tensor of int64, shape (p^2, 2)
        The inputs.
    sums : Tensor of int64, shape (p^2,)
        The answers, (a + b) mod p.
    trained : Tensor of bool, shape (p^2,)
        Which pairs are for training. (a, b) and (b, a) are always on the same side.
    """

    modulus: int
    pairs: Tensor
    sums: Tensor
    trained: Tensor

    def __len__(self) -> int:
        """Return the number of pairs, p^2."""
        return len(self.sums)


def modular_addition(
    modulus: int = 59, fraction: float = 0.85, seed: int = 0, *, device: torch.device | str = "cpu"
) -> ModularAddition:
    """Return the task a + b mod p with a random split into training and test pairs.

    Unordered pairs are split. Were ordered pairs split, as is often done, a network that only knows a + b = b + a would
    have the answer to most test pairs, and a test accuracy far above chance would hide that it has memorised.

    Parameters
    ----------
    modulus : int
        p, odd and at least 3: then sines and cosines of (p - 1) / 2 frequencies and a constant are a basis.
    fraction : float
        Share of the p (p + 1) / 2 unordered pairs that is trained on, in (0, 1); rounded to the nearest number of them.
    seed : int
        Of the split.
    device : torch.device or str
        Where the tensors are put. The split does not depend on it.

    Returns
    -------
    ModularAddition
        Pairs, answers and split.

    Raises
    ------
    ValueError
        If the modulus is even or too small, or a side of the split would be empty.

    Examples
    --------
    >>> task = modular_addition(5, 0.6)
    >>> len(task), task.pairs[7].tolist(), task.sums[7].item()
    (25, [1, 2], 3)
    >>> table = task.trained.reshape(5, 5)
    >>> bool((table == table.T).all())
    True
    """
    p = int(count("modulus", modulus, minimum=3))
    if p % 2 == 0:
        raise ValueError(f"modulus must be odd, got {p}. Take a prime such as 59.")
    rows, columns = torch.triu_indices(p, p)
    trained = round(float(confidence("fraction", fraction, "Take 0.85.")) * len(rows))
    if trained in (0, len(rows)):
        raise ValueError(f"fraction must leave pairs on both sides, got {fraction} of {len(rows)} pairs. Take 0.85.")
    chosen = torch.randperm(len(rows), generator=stream(seed, "split of pairs"))[:trained]
    table = torch.zeros(p, p, dtype=torch.bool)
    table[rows[chosen], columns[chosen]] = True
    pairs = torch.cartesian_prod(torch.arange(p), torch.arange(p))
    return ModularAddition(p, pairs.to(device), (pairs.sum(1) % p).to(device), (table | table.T).flatten().to(device))
