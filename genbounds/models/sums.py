"""Sums of large tensors that do not depend on who adds what."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor
from torch import distributed as dist

__all__ = ["CompensatedSum", "FixedPointSum"]


class CompensatedSum:
    """A sum of many tensors, carried as a float64 and what its rounding left over.

    Each addition is exact up to the rounding of the remainder, about 1e-32 relative, so the sum, rounded to float64,
    is the same for any order of the terms and any number of processes, but for ties that do not happen in practice
    (terms that cancel to 16 digits and more).

    Parameters
    ----------
    like : mapping of str to Tensor
        A tensor for each name whose shape and device the sum has: the parameters of a model, say. A process without
        examples takes part with zeros.

    Examples
    --------
    >>> total = CompensatedSum({"w": torch.zeros(())})
    >>> for term in (1e16, 1.0, -1e16):
    ...     total.add({"w": torch.tensor(term, dtype=torch.float64)})
    >>> float(total.value()["w"])
    1.0
    """

    def __init__(self, like: Mapping[str, Tensor]) -> None:
        self._sums = {
            name: (torch.zeros_like(one, dtype=torch.float64), torch.zeros_like(one, dtype=torch.float64))
            for name, one in like.items()
        }

    def add(self, terms: Mapping[str, Tensor]) -> None:
        """Add one tensor to the sum of each name.

        Parameters
        ----------
        terms : mapping of str to Tensor
            What to add, of any floating dtype.
        """
        for name, term in terms.items():
            self._sums[name] = _added(*self._sums[name], term.detach().double())

    def value(self) -> dict[str, Tensor]:
        """Return the sums over all processes of ``torch.distributed``, if there are any.

        Every process must call it, equally often.

        Returns
        -------
        dict of str to Tensor
            Float64, on the device of the terms.
        """
        if not (dist.is_available() and dist.is_initialized()):
            return {name: high + low for name, (high, low) in self._sums.items()}
        sums = {}
        for name, (high, low) in self._sums.items():
            whole = torch.zeros_like(high), torch.zeros_like(low)
            for rank in range(dist.get_world_size()):
                for part in (high, low):
                    received = part.clone()
                    dist.broadcast(received, rank)
                    whole = _added(*whole, received)
            sums[name] = whole[0] + whole[1]
        return sums


class FixedPointSum:
    """A sum of many tensors whose size is known beforehand, carried in whole numbers of a quantum.

    Addition of whole numbers is exact, so the sum is the same for any order of the terms and any number of processes.
    Each term is rounded to the quantum, at most 2^-59 of the bound: less exact than `CompensatedSum` where the sum is
    far below its bound, at a third of the time and half of the memory.

    Parameters
    ----------
    like : mapping of str to Tensor
        A tensor for each name whose shape and device the sum has. A process without examples takes part with zeros.
    bounds : mapping of str to float
        For each name, a limit of the absolute value of every entry of every partial sum, over all processes. There is
        room for an excess by rounding.

    Examples
    --------
    >>> total = FixedPointSum({"w": torch.zeros(())}, {"w": 3.0})
    >>> for term in (0.5, 1.5, -0.75):
    ...     total.add({"w": torch.tensor(term)})
    >>> float(total.value()["w"])
    1.25
    """

    def __init__(self, like: Mapping[str, Tensor], bounds: Mapping[str, float]) -> None:
        self._sums = {name: torch.zeros_like(one, dtype=torch.int64) for name, one in like.items()}
        # A power of two, so that scaling is exact; from 2^-1000 on scales would leave the range of a float.
        self._exponents = {name: 60 - max(math.frexp(bounds[name])[1], -900) for name in like}

    def add(self, terms: Mapping[str, Tensor]) -> None:
        """Add one tensor to the sum of each name.

        Parameters
        ----------
        terms : mapping of str to Tensor
            What to add, of any floating dtype.
        """
        for name, term in terms.items():
            wide = term.detach().double() * 2.0 ** self._exponents[name]
            self._sums[name] += wide.round_().long()

    def value(self) -> dict[str, Tensor]:
        """Return the sums over all processes of ``torch.distributed``, if there are any.

        Every process must call it, equally often.

        Returns
        -------
        dict of str to Tensor
            Float64, on the device of the terms.
        """
        sums = {}
        for name, whole in self._sums.items():
            total = whole.clone()
            if dist.is_available() and dist.is_initialized():
                dist.all_reduce(total)
            sums[name] = total.double() * 2.0 ** -self._exponents[name]
        return sums


def _added(high: Tensor, low: Tensor, term: Tensor) -> tuple[Tensor, Tensor]:
    """Add without loss (Knuth's two-sum, then a renormalisation by Dekker's)."""
    total = high + term
    moved = total - high
    rest = (high - (total - moved)) + (term - moved) + low
    whole = total + rest
    return whole, rest - (whole - total)
