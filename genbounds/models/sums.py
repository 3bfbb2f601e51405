"""Sums of large tensors that do not depend on who adds what."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch import distributed as dist

__all__ = ["CompensatedSum"]


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


def _added(high: Tensor, low: Tensor, term: Tensor) -> tuple[Tensor, Tensor]:
    """Add without loss (Knuth's two-sum, then a renormalisation by Dekker's)."""
    total = high + term
    moved = total - high
    rest = (high - (total - moved)) + (term - moved) + low
    whole = total + rest
    return whole, rest - (whole - total)
