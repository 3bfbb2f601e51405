"""Examples held as tensors: batches cover exactly what is asked for, and hashes are of content."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch._subclasses.fake_tensor import FakeTensorMode

from genbounds.models.examples import DataError, TensorData

GENERATOR = torch.Generator().manual_seed(0)
IMAGES = torch.randint(0, 256, (50, 1, 4, 4), generator=GENERATOR, dtype=torch.uint8)
FLOATS = torch.randn(50, 6, generator=GENERATOR)
TARGETS = torch.randint(0, 7, (50,), generator=GENERATOR)

orders = st.lists(st.integers(0, 49), max_size=80)


@given(orders, st.integers(1, 60))
def test_batches_cover_exactly_the_indices(order, size):
    data = TensorData(FLOATS, TARGETS, "floats")
    batches = list(data.batches(order, size))
    assert [len(index) for index, _, _ in batches[:-1]] == [size] * max(0, len(batches) - 1)
    index = torch.cat([index for index, _, _ in batches]) if batches else torch.empty(0, dtype=torch.int64)
    assert index.dtype == torch.int64
    assert index.tolist() == order
    for part, inputs, targets in batches:
        assert torch.equal(inputs, FLOATS[part])
        assert torch.equal(targets, TARGETS[part])


@given(orders, st.integers(1, 60))
def test_fingerprints_do_not_depend_on_how_they_are_read(order, chunk):
    data = TensorData(IMAGES, TARGETS, "images")
    whole = data.content_sha256(order)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("genbounds.models.examples.CHUNK", chunk)
        assert data.content_sha256(order) == whole
    hashes = data.example_hashes(order)
    assert hashes.dtype == np.uint64
    assert np.array_equal(hashes, data.example_hashes(range(50))[np.asarray(order, dtype=int)])


def test_hashes_are_equal_for_equal_content_only():
    inputs = torch.tensor([[1.0, 2.0], [1.0, 2.0], [1.0, 2.0], [2.0, 1.0], [1.0, 2.0000002]])
    data = TensorData(inputs, torch.tensor([0, 0, 1, 0, 0]), "five")
    assert len(set(data.example_hashes(range(5)).tolist())) == 4
    assert data.example_hashes([0]) == data.example_hashes([1])
    prints = {
        data.content_sha256([0, 1, 2, 3]),
        data.content_sha256([3, 1, 2, 0]),
        TensorData(inputs.double(), data.targets, "five").content_sha256([0, 1, 2, 3]),
        TensorData(inputs[:, :, None], data.targets, "five").content_sha256([0, 1, 2, 3]),
        TensorData(inputs, data.targets + 1, "five").content_sha256([0, 1, 2, 3]),
    }
    assert len(prints) == 5
    assert data.content_sha256([0, 2]) == data.content_sha256([1, 2])


def test_bytes_reach_the_model_as_fractions():
    data = TensorData(IMAGES, TARGETS, "images")
    _, inputs, _ = next(data.batches(range(50), 50))
    assert inputs.dtype == torch.float32
    assert torch.equal(inputs, IMAGES.float() / 255)
    _, inputs, _ = next(data.batches(range(50), 50, dtype=torch.float64))
    assert torch.equal(inputs, IMAGES.double() / 255)
    _, inputs, _ = next(data.batches(range(50), 50, dtype=torch.bfloat16))
    assert torch.equal(inputs, (IMAGES.float() / 255).bfloat16())
    assert data.inputs.dtype == torch.uint8


@pytest.mark.parametrize(("held", "asked", "got"), [("float32", "float64", "float64"), ("int64", "float32", "int64")])
def test_floats_are_converted_and_tokens_are_not(held, asked, got):
    data = TensorData(torch.ones(3, 2, dtype=getattr(torch, held)), torch.arange(3), "ones")
    _, inputs, targets = next(data.batches([0, 1], 2, dtype=getattr(torch, asked)))
    assert inputs.dtype == getattr(torch, got)
    assert targets.dtype == torch.int64


def test_batches_go_where_they_are_sent():
    """A GPU whose tensors have no data: devices and dtypes are followed, values are not."""
    place = torch.device("cuda", 0)
    data = TensorData(IMAGES, TARGETS, "images")
    with FakeTensorMode(allow_non_fake_inputs=True):
        for index, inputs, targets in data.batches(range(10), 4, device=place, dtype=torch.float16):
            assert (index.device.type, inputs.device, targets.device) == ("cpu", place, place)
            assert inputs.dtype == torch.float16
            assert inputs.shape[1:] == (1, 4, 4)


def test_what_it_says_of_itself():
    data = TensorData(IMAGES, TARGETS, "images", parts={"train": range(40)}, notes=("a note",))
    assert (len(data), data.classes, data.name, data.parts, data.notes) == (
        50,
        7,
        "images",
        {"train": range(40)},
        ("a note",),
    )
    assert repr(data) == "<TensorData 'images': 50 examples>"


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (torch.zeros(3), r"got dtype torch.float32. Convert classes by .long\(\)"),
        (torch.eye(3), r"one-hot rows of shape \(3, 3\). Use targets.argmax\(1\)"),
        (torch.eye(3).long(), "one-hot"),
        (torch.zeros(3, 1).long(), r"shape \(3, 1\) for 3 examples. Use targets.squeeze\(1\)"),
        (torch.zeros(2).long(), r"shape \(2,\) for 3 examples"),
        (torch.tensor([0, -1, 1]), "got -1. Drop unlabelled examples"),
    ],
)
def test_targets_must_be_classes(targets, message):
    with pytest.raises(DataError, match=message):
        TensorData(torch.ones(3, 2), targets, "three")


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.bool])
def test_any_integer_dtype_is_a_class(dtype):
    data = TensorData(torch.ones(3, 2), torch.tensor([0, 1, 1]).to(dtype), "three")
    assert data.targets.tolist() == [0, 1, 1]
    assert data.targets.dtype == torch.int64


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_inputs_must_be_finite(value):
    inputs = torch.ones(4, 2)
    inputs[2, 1] = value
    with pytest.raises(DataError, match="inputs of four must be finite, got 1 NaN or infinite"):
        TensorData(inputs, torch.zeros(4).long(), "four")


@pytest.mark.parametrize("shape", [(0, 2), (3, 0), ()])
def test_there_must_be_examples(shape):
    with pytest.raises(DataError, match=r"none must hold examples, got inputs of shape"):
        TensorData(torch.ones(shape), torch.zeros(shape[:1]).long(), "none")


@pytest.mark.parametrize(
    ("indices", "message"),
    [
        ([0, 50], r"must be in \[0, 50\), got 50"),
        ([-1], "got -1"),
        ([0.5], "dtype float64"),
        (np.ones(50, bool), "numpy.flatnonzero"),
        ([[0], [1]], r"shape \(2, 1\)"),
    ],
)
def test_indices_are_checked_before_anything_is_read(indices, message):
    data = TensorData(FLOATS, TARGETS, "floats")
    for read in (lambda: data.batches(indices, 4), lambda: data.content_sha256(indices)):
        with pytest.raises(DataError, match=message):
            read()


@pytest.mark.parametrize("size", [0, -3, 2.0, True])
def test_batch_size_is_checked(size):
    with pytest.raises(DataError, match="batch_size must be a whole number of at least 1"):
        TensorData(FLOATS, TARGETS, "floats").batches([0], size)
