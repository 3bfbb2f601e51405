"""Map-style datasets: examples computed one by one when they are asked for."""

from collections.abc import Callable, Iterator
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, default_collate

from genbounds.models.examples import CHUNK, Data, DataError, class_indices, require_finite

__all__ = ["DatasetData"]


class DatasetData(Data):
    """Examples read one by one from a map-style dataset.

    Parameters
    ----------
    dataset : object with ``__len__`` and ``__getitem__``
        Its items are pairs (input, class index).
    collate : callable
        Turns a list of items into a batch of inputs and targets; each example's share of the result must not
        depend on the others.
    workers : int
        Reading processes, as in a DataLoader.
    name, notes
        As in `Data`.

    Raises
    ------
    DataError
        If the dataset is empty.
    """

    def __init__(
        self,
        dataset: Any,
        name: str,
        collate: Callable[[list[Any]], Any] = default_collate,
        workers: int = 0,
        notes: tuple[str, ...] = (),
    ) -> None:
        super().__init__(name, notes=notes)
        if len(dataset) == 0:
            raise DataError(f"{name} must hold examples, got an empty dataset. Check the source.")
        self.dataset = dataset
        self.collate = collate
        self.workers = workers

    def __len__(self) -> int:
        return len(self.dataset)

    @cached_property
    def classes(self) -> int:
        """Number of classes: as many as the dataset lists in ``classes``, else found by reading all targets.

        Returns
        -------
        int
            At least 1.
        """
        listed = getattr(self.dataset, "classes", None)
        if isinstance(listed, list | tuple) and listed:
            return len(listed)
        chunks = list(torch.arange(len(self)).split(CHUNK))
        return 1 + max(int(targets.max()) for _, targets in self._read(chunks))

    def _read(self, chunks: list[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        for chunk, batch in zip(chunks, self._load(chunks, partial(_collate, self.collate, self.name)), strict=True):
            yield self._pair(batch, len(chunk))

    def _contents(self, chunks: list[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        for batches in self._load(chunks, partial(_collate_singly, self.collate, self.name)):
            for batch in batches:
                yield self._pair(batch, 1)

    def _load(self, chunks: list[Tensor], collate: Callable[[list[Any]], Any]) -> Iterator[Any]:
        order = [chunk.tolist() for chunk in chunks]
        if self.workers:  # their seeds come from torch's global generator, as in any DataLoader
            return iter(DataLoader(self.dataset, batch_sampler=order, collate_fn=collate, num_workers=self.workers))
        return (collate([self.dataset[index] for index in chunk]) for chunk in order)

    def _pair(self, batch: Any, count: int) -> tuple[Tensor, Tensor]:
        if not isinstance(batch, list | tuple) or len(batch) != 2 or not all(isinstance(x, Tensor) for x in batch):
            got = f"{len(batch)} entries" if isinstance(batch, list | tuple) else f"a {type(batch).__name__}"
            raise DataError(
                f"{self.name} must yield pairs (tensor, class index), got {got}. Wrap it in a Dataset that returns "
                "(input, target) with one input tensor."
            )
        inputs, targets = batch
        if inputs.ndim == 0 or len(inputs) != count or inputs.numel() == 0:
            raise DataError(
                f"{self.name} must yield one input per example, got inputs of shape {tuple(inputs.shape)} for {count}. "
                "Check its collate function."
            )
        require_finite(inputs, self.name)
        return inputs.detach(), class_indices(targets, count, self.name)


def _collate(collate: Callable[[list[Any]], Any], name: str, items: list[Any]) -> Any:
    try:
        return collate(items)
    except (TypeError, RuntimeError) as error:
        raise DataError(
            f"{name} must yield pairs (tensor, class index) of one shape, got items that do not batch: {error}. "
            "Add a transform that returns tensors of one size."
        ) from error


def _collate_singly(collate: Callable[[list[Any]], Any], name: str, items: list[Any]) -> list[Any]:
    return [_collate(collate, name, [item]) for item in items]
