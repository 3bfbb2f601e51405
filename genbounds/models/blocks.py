"""Fixed blocks of a data set, shared out among the processes of one pass."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torch import distributed as dist
from torch.utils.data import default_collate

from genbounds.models.data import load_data
from genbounds.models.examples import DataError, require_finite
from genbounds.numerics.checks import count

__all__ = ["Block", "Blocks", "Inputs"]

#: What a model is called with: one tensor, or keyword arguments.
Inputs = Tensor | Mapping[str, Tensor]


@dataclass(frozen=True)
class Block:
    """Examples that are evaluated together, whoever evaluates them.

    Parameters
    ----------
    number : int
        Which block of the data set.
    index : ndarray of int64, shape (b,)
        Positions of its examples among those that are evaluated.
    inputs : Tensor or mapping of str to Tensor
        Inputs on the device, examples along the first axis.
    targets : Tensor
        Targets on the device, examples along the first axis.
    """

    number: int
    index: NDArray[np.int64]
    inputs: Inputs
    targets: Tensor


class Blocks:
    """The blocks of a data set that this process evaluates.

    A data set is cut into blocks of `batch_size` examples whatever the number of processes, and process r of W takes
    the blocks r, r + W, r + 2W, ...: no example is repeated to fill up, and a number that belongs to one example comes
    from the same block, so with the same bits, in one process and in many. Outside of ``torch.distributed`` there is
    one process.

    Parameters
    ----------
    data : object
        What `genbounds.models.load_data` takes; a pair of inputs and targets that are tensors or arrays of any kind
        (regression, sequences of tokens); a pair of a mapping, whose tensors become keyword arguments of the model,
        and targets; a map-style dataset of mappings with the key ``labels``, which are the targets.
    batch_size : int
        Examples in a block; the last one has what remains.
    device : torch.device or str
        Where inputs and targets go.
    dtype : torch.dtype, optional
        Floating dtype of inputs and targets; by default they keep theirs, and bytes of images become float32.
    indices : array_like of int, shape (m,), optional
        Examples to evaluate, in this order; all by default.

    Attributes
    ----------
    name : str
        Name of the data.
    number : int
        Examples in all blocks of all processes, m.

    Raises
    ------
    DataError
        If the data is of no known kind or empty, or, while iterating, holds NaN or infinite numbers.

    Examples
    --------
    >>> blocks = Blocks((torch.arange(5.0)[:, None], torch.arange(5.0)), 2)
    >>> [block.index.tolist() for block in blocks]
    [[0, 1], [2, 3], [4]]
    """

    def __init__(
        self,
        data: Any,
        batch_size: int,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype | None = None,
        indices: ArrayLike | None = None,
    ) -> None:
        self._source = _source(data)
        self._size = int(count("batch_size", batch_size))
        self._device, self._dtype = torch.device(device), dtype
        self.name = self._source.name
        held = len(self._source)
        self._indices = np.arange(held) if indices is None else np.asarray(indices)
        if self._indices.ndim != 1 or self._indices.dtype.kind not in "iu":
            raise DataError(
                f"indices must be a one-dimensional array of integers, got dtype {self._indices.dtype} and shape "
                f"{self._indices.shape}. Turn a mask into indices by numpy.flatnonzero."
            )
        outside = (self._indices < 0) | (self._indices >= held)
        if outside.any():
            raise DataError(f"indices must be in [0, {held}), got {self._indices[outside][0]}. Count from 0.")
        if not len(self._indices):
            raise DataError(f"data {self.name} must hold at least one example, got none. Pass more examples.")
        self.number = len(self._indices)

    def __len__(self) -> int:
        """Return the number of blocks of this process."""
        return len(self._numbers())

    def _numbers(self) -> range:
        rank, processes = (dist.get_rank(), dist.get_world_size()) if _distributed() else (0, 1)
        return range(rank, -(-self.number // self._size), processes)

    def __iter__(self) -> Iterator[Block]:
        """Read the blocks of this process, in order.

        Yields
        ------
        Block
            One after the other.
        """
        yield from map(self.read, self._numbers())

    def read(self, number: int) -> Block:
        """Read one block, whichever process it belongs to.

        Parameters
        ----------
        number : int
            Which block of the data set, from 0.

        Returns
        -------
        Block
            The examples.
        """
        index = np.arange(number * self._size, min((number + 1) * self._size, self.number))
        inputs, targets = self._source.read(self._indices[index], self._device, self._dtype)
        return Block(number, index, inputs, targets)

    def gather(self, index: ArrayLike, values: Tensor) -> Tensor:
        """Put numbers of single examples into the order of the examples, from all processes.

        Every process must call it, equally often.

        Parameters
        ----------
        index : array_like of int, shape (k,)
            Positions of this process' examples, from the blocks.
        values : Tensor, shape (k, ...)
            Their numbers; all processes have the same trailing shape and dtype.

        Returns
        -------
        Tensor, shape (m, ...)
            Numbers of all examples, on the CPU, the same bits on every process and for any number of processes (a
            negative zero becomes a positive one).
        """
        whole = torch.zeros(self.number, *values.shape[1:], dtype=values.dtype, device=self._device)
        whole[torch.as_tensor(np.asarray(index, dtype=np.int64), device=self._device)] += values.to(self._device)
        if _distributed():
            dist.all_reduce(whole)  # each example is zero everywhere but in one process: the sum is exact
        return whole.cpu()


class _Loaded:
    """Examples that `load_data` knows: classification."""

    def __init__(self, data: Any) -> None:
        self.data = load_data(data)
        self.name = self.data.name

    def __len__(self) -> int:
        return len(self.data)

    def read(
        self, indices: NDArray[np.int64], device: torch.device, dtype: torch.dtype | None
    ) -> tuple[Inputs, Tensor]:
        ((_, inputs, targets),) = self.data.batches(indices, len(indices), device=device, dtype=dtype)
        return inputs, targets


class _Columns:
    """Tensors with examples along the first axis, the last of which is the targets."""

    name = "tensors"

    def __init__(self, inputs: Any, targets: Any) -> None:
        self.mapping = isinstance(inputs, Mapping)
        columns = {**inputs} if self.mapping else {"inputs": inputs}
        self.columns = {name: torch.as_tensor(column) for name, column in columns.items()}
        self.targets = torch.as_tensor(targets)
        sizes = {name: len(column) if column.ndim else 0 for name, column in self.columns.items()}
        sizes["targets"] = len(self.targets) if self.targets.ndim else 0
        if len(set(sizes.values())) > 1:
            shown = ", ".join(f"{number} {name}" for name, number in sizes.items())
            raise DataError(f"data must have the examples along each first axis, got {shown}. Align them.")

    def __len__(self) -> int:
        return len(self.targets) if self.targets.ndim else 0

    def read(
        self, indices: NDArray[np.int64], device: torch.device, dtype: torch.dtype | None
    ) -> tuple[Inputs, Tensor]:
        rows = torch.from_numpy(indices)
        columns = {name: _moved(column[rows.to(column.device)], device, dtype) for name, column in self.columns.items()}
        return columns if self.mapping else columns["inputs"], _moved(self.targets[rows], device, dtype)


class _Mappings:
    """A map-style dataset whose items are mappings with the key ``labels``."""

    def __init__(self, dataset: Any) -> None:
        self.dataset, self.name = dataset, type(dataset).__name__

    def __len__(self) -> int:
        return len(self.dataset)

    def read(
        self, indices: NDArray[np.int64], device: torch.device, dtype: torch.dtype | None
    ) -> tuple[Inputs, Tensor]:
        read = {
            name: _moved(torch.as_tensor(column), device, dtype)
            for name, column in default_collate([self.dataset[int(index)] for index in indices]).items()
        }
        return {name: column for name, column in read.items() if name != "labels"}, read["labels"]


def _source(data: Any) -> _Loaded | _Columns | _Mappings:
    if isinstance(data, tuple) and len(data) == 2:
        inputs, targets = data
        if isinstance(inputs, Mapping):
            return _Columns(inputs, targets)
        if all(isinstance(part, Tensor | np.ndarray) for part in data):
            classes = torch.as_tensor(targets)
            if classes.ndim != 1 or classes.is_floating_point() or classes.is_complex():
                return _Columns(inputs, targets)
    if not isinstance(data, str) and hasattr(data, "__getitem__") and hasattr(data, "__len__") and len(data):
        first = data[0]
        if isinstance(first, Mapping):
            if "labels" not in first:
                raise DataError(
                    f"examples must have the key 'labels', got {sorted(map(str, first))}. Rename the targets' column."
                )
            return _Mappings(data)
    return _Loaded(data)


def _moved(values: Tensor, device: torch.device, dtype: torch.dtype | None) -> Tensor:
    require_finite(values, "the data")
    return values.to(device, dtype) if dtype is not None and values.is_floating_point() else values.to(device)


def _distributed() -> bool:
    return dist.is_available() and dist.is_initialized()
