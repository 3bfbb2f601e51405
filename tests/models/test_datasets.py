"""Map-style datasets: read by index, one example at a time where content is hashed."""

import pytest
import torch
from torch.utils.data import Dataset

from genbounds.models.datasets import DatasetData
from genbounds.models.examples import DataError, TensorData


class Squares(Dataset):
    def __init__(self, n=20, item=None):
        self.n, self.item = n, item

    def __len__(self):
        return self.n

    def __getitem__(self, index):
        return (torch.full((2,), float(index)) ** 2, index % 3) if self.item is None else self.item(index)


def padded(items):
    """Pad to the longest of the batch, as collate functions for sequences do."""
    width = max(len(x) for x, _ in items)
    inputs = torch.stack([torch.nn.functional.pad(x, (0, width - len(x))) for x, _ in items])
    return inputs, torch.tensor([y for _, y in items])


@pytest.mark.parametrize("workers", [0, 1])
def test_reads_like_tensors(workers):
    data = DatasetData(Squares(), "squares", workers=workers)
    twin = TensorData(torch.stack([x for x, _ in (Squares()[i] for i in range(20))]), torch.arange(20) % 3, "twin")
    order = [7, 3, 3, 19, 0]
    for (a, x, y), (b, u, v) in zip(data.batches(order, 2), twin.batches(order, 2), strict=True):
        assert torch.equal(a, b)
        assert torch.equal(x, u)
        assert torch.equal(y, v)
    assert data.content_sha256(order) == twin.content_sha256(order)
    assert data.classes == twin.classes == 3
    assert (data.inputs, data.targets, len(data)) == (None, None, 20)


def test_declared_classes_are_believed():
    dataset = Squares()
    dataset.classes = ["a", "b", "c", "d"]
    assert DatasetData(dataset, "squares").classes == 4


def test_reading_leaves_the_global_generator_alone():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    data = DatasetData(Squares(), "squares")
    list(data.batches(range(20), 7))
    data.example_hashes(range(20))
    assert torch.equal(torch.get_rng_state(), before)


def test_hashes_do_not_see_the_padding_of_neighbours():
    data = DatasetData(Squares(item=lambda i: (torch.ones(1 + i), 0)), "sequences", collate=padded)
    assert data.example_hashes([0, 5])[0] == data.example_hashes([0])[0]


def test_bytes_become_fractions():
    data = DatasetData(Squares(item=lambda i: (torch.tensor([255, i], dtype=torch.uint8), 0)), "bytes")
    _, inputs, _ = next(data.batches([5], 1))
    assert torch.equal(inputs, torch.tensor([[1.0, 5 / 255]]))


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (lambda i: torch.ones(2), r"must yield pairs \(tensor, class index\), got"),
        (lambda i: {"x": torch.ones(2), "y": 0}, "got a dict. Wrap it"),
        (lambda i: (torch.ones(2), 0, 1), "got 3 entries"),
        (lambda i: (torch.ones(2), "cat"), "must yield pairs"),
        (lambda i: (object(), 0), "items that do not batch"),
        (lambda i: (torch.ones(1 + i), 0), "items that do not batch.*one size"),
        (lambda i: (torch.ones(0), 0), "one input per example"),
        (lambda i: (torch.ones(2), 0.5), "got dtype torch.float64"),
        (lambda i: (torch.ones(2), torch.tensor([0, 1, 0])), "one-hot"),
        (lambda i: (torch.ones(2), -1), "got -1"),
        (lambda i: (torch.tensor([float("nan")]), 0), "must be finite"),
    ],
)
def test_items_that_are_no_examples(item, message):
    data = DatasetData(Squares(item=item), "odd")
    with pytest.raises(DataError, match=message):
        list(data.batches(range(3), 3))


def test_a_collate_that_loses_examples():
    data = DatasetData(Squares(), "short", collate=lambda items: (torch.ones(1, 2), torch.zeros(1).long()))
    with pytest.raises(DataError, match=r"one input per example, got inputs of shape \(1, 2\) for 3"):
        list(data.batches(range(3), 3))


def test_errors_inside_the_dataset_pass_through():
    def fail(index):
        raise KeyError("missing file")

    with pytest.raises(KeyError, match="missing file"):
        list(DatasetData(Squares(item=fail), "failing").batches([0], 1))


def test_an_empty_dataset():
    with pytest.raises(DataError, match="got an empty dataset"):
        DatasetData(Squares(0), "empty")
