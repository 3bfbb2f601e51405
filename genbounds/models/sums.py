"""Sums of large tensors that do not depend on who adds what."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor
from torch import distributed as dist

__all__ = ["CompensatedSum", "FixedPointSum"]

#: Entries added at a time: what is in between stays in a processor's cache; elsewhere launches are what costs.
_PIECE, _PIECE_ELSEWHERE = 2**18, 2**24


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
        self._shapes = {name: one.shape for name, one in like.items()}
        self._sums = {name: _nothing(one) for name, one in like.items()}

    def add(self, terms: Mapping[str, Tensor]) -> None:
        """Add one tensor to the sum of each name.

        Parameters
        ----------
        terms : mapping of str to Tensor
            What to add, of any floating dtype.
        """
        for name, term in terms.items():
            _add(*self._sums[name], term.detach().reshape(-1))

    def value(self) -> dict[str, Tensor]:
        """Return the sums over all processes of ``torch.distributed``, if there are any.

        Every process must call it, equally often.

        Returns
        -------
        dict of str to Tensor
            Float64, on the device of the terms.
        """
        if not (dist.is_available() and dist.is_initialized()):
            return {name: (high + low).reshape(self._shapes[name]) for name, (high, low) in self._sums.items()}
        sums = {}
        for name, own in self._sums.items():
            whole = _nothing(own[0])
            for rank in range(dist.get_world_size()):
                for part in own:
                    received = part.clone()
                    dist.broadcast(received, rank)
                    _add(*whole, received)
            sums[name] = (whole[0] + whole[1]).reshape(self._shapes[name])
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


def _nothing(like: Tensor) -> tuple[Tensor, Tensor]:
    """Return an empty sum, flat: a float64 and what its rounding left over."""
    high = torch.zeros(like.numel(), dtype=torch.float64, device=like.device)
    return high, torch.zeros_like(high)


def _add(high: Tensor, low: Tensor, term: Tensor) -> None:
    """Add to a sum without loss, in place (Knuth's two-sum, then a renormalisation by Dekker's)."""
    size = _PIECE if high.device.type == "cpu" else _PIECE_ELSEWHERE
    room = torch.empty(3, min(size, len(high)), dtype=torch.float64, device=high.device)
    for one, left, new in zip(high.split(size), low.split(size), term.split(size), strict=True):
        total, moved, rest = room[:, : len(one)]
        torch.add(one, new, out=total)
        torch.sub(total, one, out=moved)
        torch.sub(total, moved, out=rest)
        torch.sub(one, rest, out=rest)
        torch.sub(new, moved, out=moved)
        rest += moved
        rest += left
        torch.add(total, rest, out=one)
        torch.sub(one, total, out=moved)
        torch.sub(rest, moved, out=left)
