"""Examples known by their index: batches in any order, and a fingerprint of what they contain."""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

__all__ = ["CHUNK", "Data", "DataError", "TensorData", "class_indices", "require_finite"]

#: Examples hashed, or scanned for their class, at a time; no result depends on it.
CHUNK = 512


class DataError(ValueError):
    """Data cannot be used as asked; the message says what is wrong and what to do."""


class Data(ABC):
    """A finite set of examples (input, class index), each known by its index.

    Inputs that are unsigned bytes are taken as intensities and reach the model as ``value / 255``; floating
    inputs reach it in the dtype asked for; other integers (tokens) as they are.

    Parameters
    ----------
    name : str
        What a reader would call the data; never a path.
    parts : mapping of str to range, optional
        Index ranges of the source's own parts (``train``, ``test``).
    notes : tuple of str
        Sentences that a reader of a certificate must know.
    """

    #: All inputs and targets, where they are held as tensors.
    inputs: Tensor | None = None
    targets: Tensor | None = None

    def __init__(self, name: str, parts: Mapping[str, range] | None = None, notes: tuple[str, ...] = ()) -> None:
        self.name = name
        self.parts = dict(parts or {})
        self.notes = notes

    @abstractmethod
    def __len__(self) -> int: ...

    @property
    @abstractmethod
    def classes(self) -> int:
        """Number of classes: one more than the largest target, or what the dataset declares."""

    @abstractmethod
    def _read(self, chunks: list[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """Read inputs and targets, as the source has them, for each chunk of indices."""

    @abstractmethod
    def _contents(self, chunks: list[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """Read the same, grouped so that no example's input depends on its neighbours in the group."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}: {len(self)} examples>"

    def batches(
        self,
        indices: ArrayLike | Tensor,
        batch_size: int,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Read examples in batches.

        Parameters
        ----------
        indices : array_like of int, shape (m,)
            Examples to read, in this order; repeats are allowed.
        batch_size : int
            Examples per batch, >= 1; the last batch has what remains.
        device : torch.device or str, optional
            Where inputs and targets go; by default they stay on the CPU.
        dtype : torch.dtype, optional
            Floating dtype of the inputs. By default bytes become float32 and floating inputs keep theirs.

        Returns
        -------
        iterator of (Tensor, Tensor, Tensor)
            Indices (int64, on the CPU), inputs and targets (int64) of each batch.

        Raises
        ------
        DataError
            If an index or the batch size is out of range; while iterating, if an example is no (finite input,
            class index).
        """
        order = self._checked(indices)
        if isinstance(batch_size, bool) or not isinstance(batch_size, int | np.integer) or batch_size < 1:
            raise DataError(f"batch_size must be a whole number of at least 1, got {batch_size!r}. Try 256.")
        chunks = list(order.split(int(batch_size))) if len(order) else []
        place = torch.device(device) if device is not None else torch.device("cpu")
        return (
            (chunk, _to_model(inputs, place, dtype), targets.to(place))
            for chunk, (inputs, targets) in zip(chunks, self._read(chunks), strict=True)
        )

    def content_sha256(self, indices: ArrayLike | Tensor) -> str:
        """Fingerprint the content of examples, as the source has them.

        Parameters
        ----------
        indices : array_like of int, shape (m,)
            Examples; their order counts.

        Returns
        -------
        str
            SHA-256 in hexadecimal over the SHA-256 of each example (dtype, shape and bytes of its input, and
            its target). Neither batch size nor the model's dtype and device enter.
        """
        whole = hashlib.sha256()
        for digest in self._digests(indices):
            whole.update(digest)
        return whole.hexdigest()

    def example_hashes(self, indices: ArrayLike | Tensor) -> NDArray[np.uint64]:
        """Hash the content of each example, so that copies under other indices can be found.

        Parameters
        ----------
        indices : array_like of int, shape (m,)
            Examples.

        Returns
        -------
        ndarray of uint64, shape (m,)
            First eight bytes of each example's SHA-256: equal for equal content, and for different content with
            probability 2^-64 a pair.
        """
        joined = b"".join(digest[:8] for digest in self._digests(indices))
        return np.frombuffer(joined, ">u8").astype(np.uint64)

    def _digests(self, indices: ArrayLike | Tensor) -> Iterator[bytes]:
        order = self._checked(indices)
        for inputs, targets in self._contents(list(order.split(CHUNK)) if len(order) else []):
            head = hashlib.sha256(json.dumps([str(inputs.dtype), list(inputs.shape[1:])]).encode())
            rows = inputs.cpu().contiguous().reshape(len(inputs), -1).view(torch.uint8).numpy()
            for row, target in zip(rows, targets.tolist(), strict=True):
                digest = head.copy()
                digest.update(row)
                digest.update(target.to_bytes(8, "little"))
                yield digest.digest()

    def _checked(self, indices: ArrayLike | Tensor) -> Tensor:
        array = indices.detach().cpu().numpy() if isinstance(indices, Tensor) else np.asarray(indices)
        if array.size == 0:
            return torch.empty(0, dtype=torch.int64)
        if array.ndim != 1 or array.dtype.kind not in "iu":
            raise DataError(
                f"indices must be a one-dimensional array of integers, got dtype {array.dtype} and shape "
                f"{array.shape}. Turn a mask into indices by numpy.flatnonzero."
            )
        outside = (array < 0) | (array >= len(self))
        if outside.any():
            raise DataError(f"indices must be in [0, {len(self)}), got {array[outside][0]}. Count from 0.")
        return torch.from_numpy(array.astype(np.int64))


class TensorData(Data):
    """Examples held in memory as two tensors.

    Parameters
    ----------
    inputs : Tensor, shape (n, ...)
        Finite inputs, floating, unsigned bytes or integers.
    targets : Tensor, shape (n,)
        Class indices, >= 0, of any integer dtype.
    name, parts, notes
        As in `Data`.

    Raises
    ------
    DataError
        If there are no examples, the numbers differ, an input is not finite or a target is no class index.
    """

    inputs: Tensor
    targets: Tensor

    def __init__(
        self,
        inputs: Tensor,
        targets: Tensor,
        name: str,
        parts: Mapping[str, range] | None = None,
        notes: tuple[str, ...] = (),
    ) -> None:
        super().__init__(name, parts, notes)
        if inputs.ndim == 0 or len(inputs) == 0 or inputs[0].numel() == 0:
            raise DataError(f"{name} must hold examples, got inputs of shape {tuple(inputs.shape)}. Check the source.")
        for chunk in inputs.split(max(1, 2**24 // inputs[0].numel())):  # bounds the memory of the check
            require_finite(chunk, name)
        self.inputs = inputs.detach()
        self.targets = class_indices(targets.detach().cpu(), len(inputs), name)

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def classes(self) -> int:
        """Number of classes: one more than the largest target.

        Returns
        -------
        int
            At least 1.
        """
        return int(self.targets.max()) + 1

    def _read(self, chunks: list[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        for chunk in chunks:
            yield self.inputs[chunk.to(self.inputs.device)], self.targets[chunk]

    def _contents(self, chunks: list[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        return self._read(chunks)


def _to_model(inputs: Tensor, device: torch.device, dtype: torch.dtype | None) -> Tensor:
    if inputs.dtype == torch.uint8:
        exact = torch.float64 if dtype == torch.float64 else torch.float32
        return (inputs.to(device).to(exact) / 255).to(dtype or exact)
    if inputs.is_floating_point():
        return inputs.to(device, dtype or inputs.dtype)
    return inputs.to(device)


def require_finite(inputs: Tensor, name: str) -> None:
    """Refuse NaN and infinite inputs.

    Parameters
    ----------
    inputs : Tensor
        Inputs of any number of examples.
    name : str
        Name of the data, for the error.

    Raises
    ------
    DataError
        Saying how many values are not finite.
    """
    if inputs.is_floating_point() or inputs.is_complex():
        bad = ~torch.isfinite(inputs)
        if bad.any():
            raise DataError(
                f"inputs of {name} must be finite, got {int(bad.sum())} NaN or infinite values. "
                "Clean or drop these examples before any split."
            )


def class_indices(targets: Tensor, count: int, name: str) -> Tensor:
    """Return targets as int64 class indices.

    Parameters
    ----------
    targets : Tensor
        Targets of `count` examples.
    count : int
        How many there should be.
    name : str
        Name of the data, for the error.

    Returns
    -------
    Tensor of int64, shape (count,)
        The same classes.

    Raises
    ------
    DataError
        If they are floating, one-hot, negative or of another shape.
    """
    remedy = "Give one class index per example."
    if targets.ndim == 2 and targets.shape[1] > 1 and bool(((targets == 0) | (targets == 1)).all()):
        got, remedy = f"what looks like one-hot rows of shape {tuple(targets.shape)}", "Use targets.argmax(1)."
    elif targets.shape != (count,):
        got = f"shape {tuple(targets.shape)} for {count} examples"
        remedy = "Use targets.squeeze(1)." if targets.shape == (count, 1) else remedy
    elif targets.is_floating_point() or targets.is_complex():
        got, remedy = f"dtype {targets.dtype}", "Convert classes by .long(); regression targets are not covered."
    elif bool((targets < 0).any()):
        got, remedy = f"{int(targets.min())}", "Drop unlabelled examples and count classes from 0."
    else:
        return targets.to(torch.int64)
    raise DataError(f"targets of {name} must be class indices, integers of shape ({count},), got {got}. {remedy}")
