"""Sums of large tensors that do not depend on who adds what."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch import distributed as dist

__all__ = ["CompensatedSum"]

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
