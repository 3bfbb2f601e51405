"""Sources of data: each becomes the same examples, or an error that says why not."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import (
    DataLoader,
    IterableDataset,
    RandomSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)

from genbounds.models.data import load_data
from genbounds.models.datasets import DatasetData
from genbounds.models.examples import DataError, TensorData
from genbounds.models.factory import FactoryError

INPUTS = torch.randn(12, 3, generator=torch.Generator().manual_seed(0))
TARGETS = torch.arange(12) % 4
MNIST = Path(__file__).resolve().parents[3] / "shared" / "data" / "mnist"


def build(scale=1):
    return INPUTS * scale, TARGETS


class Pairs(torch.utils.data.Dataset):
    def __len__(self):
        return 12

    def __getitem__(self, index):
        return INPUTS[index], int(TARGETS[index])


class Stream(IterableDataset):
    def __iter__(self):
        return iter([(INPUTS[0], 0)])


def save_npz(folder, **arrays):
    np.savez(folder / "points.npz", **arrays)
    return folder / "points.npz"


def same(data, source=(INPUTS, TARGETS)):
    return data.content_sha256(range(12)) == TensorData(*source, "twin").content_sha256(range(12))


@pytest.mark.parametrize("keys", [("x", "y"), ("X", "y"), ("inputs", "targets"), ("images", "labels")])
def test_npz(tmp_path, keys):
    data = load_data(str(save_npz(tmp_path, **dict(zip(keys, (INPUTS.numpy(), TARGETS.numpy()), strict=True)))))
    assert same(data)
    assert data.name == "points"


SOURCES = {
    "tensors": (INPUTS, TARGETS),
    "arrays": (INPUTS.numpy(), TARGETS.numpy()),
    "big-endian arrays": (INPUTS.numpy().astype(">f4"), TARGETS.numpy().astype(">i2")),
    "read-only arrays": (np.frombuffer(INPUTS.numpy().tobytes(), np.float32).reshape(12, 3), TARGETS.numpy()),
    "tensor dataset": TensorDataset(INPUTS, TARGETS),
    "subset": Subset(TensorDataset(INPUTS, TARGETS), list(range(12))),
    "dataset": Pairs(),
    "list of pairs": [(INPUTS[i], int(TARGETS[i])) for i in range(12)],
    "loader": DataLoader(Pairs(), batch_size=5),
    "shuffling loader": DataLoader(TensorDataset(INPUTS, TARGETS), batch_size=5, shuffle=True, drop_last=True),
    "callable": build,
    "class": Pairs,
    "data": TensorData(INPUTS, TARGETS, "data"),
}


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_every_source_gives_the_same_examples(source):
    assert same(load_data(source))


@pytest.mark.parametrize(("source", "kind"), [("subset", TensorData), ("loader", DatasetData), ("data", TensorData)])
def test_tensors_stay_tensors(source, kind):
    assert type(load_data(SOURCES[source])) is kind


def test_a_subset_keeps_its_order():
    data = load_data(Subset(TensorDataset(INPUTS, TARGETS), [5, 2]))
    assert torch.equal(data.inputs, INPUTS[[5, 2]])


def test_a_callable_by_name(tmp_path, monkeypatch):
    (tmp_path / "points_for_this_test.py").write_text(
        "import numpy as np\ndef points(n): return np.ones((n, 2)), np.arange(n)\nfile = 'no'\n"
    )
    monkeypatch.chdir(tmp_path)
    assert len(load_data("points_for_this_test:points", arguments={"n": 7})) == 7
    assert len(load_data("points_for_this_test.py:points", arguments={"n": 7})) == 7
    with pytest.raises(FactoryError, match="must fit points_for_this_test:points"):
        load_data("points_for_this_test:points")
    assert torch.equal(load_data(build, arguments={"scale": 2}).inputs, INPUTS * 2)
    with pytest.raises(DataError, match=r"arguments must be left out.*'n': 7"):
        load_data((INPUTS, TARGETS), arguments={"n": 7})


def test_a_loader_says_what_is_not_used():
    (note,) = load_data(DataLoader(Pairs(), shuffle=True)).notes
    assert "shuffling and drop_last play no part" in note


def test_a_loaders_collate_is_used():
    def doubled(items):
        return torch.stack([x for x, _ in items]) * 2, torch.tensor([y for _, y in items])

    data = load_data(DataLoader(TensorDataset(INPUTS, TARGETS), collate_fn=doubled))
    assert same(data, (INPUTS * 2, TARGETS))


@pytest.mark.parametrize(
    "options",
    [
        {"sampler": SubsetRandomSampler([1, 2, 3])},
        {"sampler": WeightedRandomSampler([1.0] * 12, 12)},
        {"sampler": RandomSampler(range(12), replacement=True)},
        {"sampler": RandomSampler(range(12), num_samples=5)},
        {"batch_sampler": [[0, 1], [2, 3]]},
    ],
)
def test_a_loader_that_chooses_is_refused(options):
    with pytest.raises(DataError, match=r"must go through its whole dataset.*Subset\(dataset, indices\)"):
        load_data(DataLoader(Pairs(), **options))


def test_streams_are_refused():
    for source in (Stream(), DataLoader(Stream())):
        with pytest.raises(DataError, match="must be readable by index, got the iterable dataset Stream"):
            load_data(source)
    with pytest.raises(DataError, match="got batch_size=None"):
        load_data(DataLoader(Pairs(), batch_size=None))


@pytest.mark.parametrize("source", [3, INPUTS, {"x": 1}, ([1, 2], [0, 1]), (INPUTS, TARGETS, TARGETS), None])
def test_no_source(source):
    with pytest.raises(DataError, match="must be a known source"):
        load_data(source)


def test_arrays_that_hold_no_numbers():
    with pytest.raises(DataError, match="must hold numbers, got dtype <U1"):
        load_data((np.array(["a", "b"]), np.arange(2)))


def test_npz_is_never_unpickled(tmp_path):
    trap = tmp_path / "created"

    class Evil:
        def __reduce__(self):
            return open, (str(trap), "w")

    path = save_npz(tmp_path, x=np.array([Evil(), Evil()], dtype=object), y=np.arange(2))
    with pytest.raises(DataError, match=r"plain arrays, got: Object arrays cannot be loaded.*never unpickled"):
        load_data(path)
    assert not trap.exists()


def test_npz_errors(tmp_path):
    path = save_npz(tmp_path, a=np.ones(2), b=np.ones(2))
    with pytest.raises(DataError, match=r"one of the pairs x and y.*got \['a', 'b'\]"):
        load_data(path)
    with pytest.raises(DataError, match="one of the pairs"):
        load_data(save_npz(tmp_path, x=np.ones(2), y=np.ones(2), images=np.ones(2), labels=np.ones(2)))
    path = save_npz(tmp_path, x=np.ones((200, 20)), y=np.arange(200))
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(DataError, match=r"points\.npz must be an \.npz file of plain arrays, got"):
        load_data(path)
    path.write_bytes(b"")
    with pytest.raises(DataError, match=r"must be an .npz file"):
        load_data(path)
    path.write_text("<html>")
    with pytest.raises(DataError, match=r"must be an .npz file"):
        load_data(path)
    np.save(tmp_path / "single.npy", np.ones(3))
    with pytest.raises(DataError, match="got a single array"):
        load_data(tmp_path / "single.npy")
    with pytest.raises(DataError, match="'nowhere', which does not exist"):
        load_data("nowhere")


def test_digits():
    pytest.importorskip("sklearn", reason="needs scikit-learn (the digits extra)")
    data = load_data("digits")
    assert (len(data), data.classes, data.name) == (1797, 10, "digits")
    assert data.inputs.shape == (1797, 1, 8, 8)
    assert data.inputs.dtype == torch.float32
    assert (float(data.inputs.min()), float(data.inputs.max())) == (0.0, 1.0)


def test_digits_without_scikit_learn(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "sklearn.datasets", None)
    with pytest.raises(DataError, match=r"pip install 'genbounds\[digits\]'"):
        load_data("digits")


def write_idx(folder, stem, images, labels):
    for array, kind in ((images, "images-idx3"), (labels, "labels-idx1")):
        head = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
        (folder / f"{stem}-{kind}-ubyte.gz").write_bytes(gzip.compress(head + array.tobytes()))


def test_idx_parts(tmp_path):
    folder = tmp_path / "letters"
    folder.mkdir()
    images = np.arange(7 * 6, dtype=np.uint8).reshape(7, 2, 3)
    labels = np.arange(7, dtype=np.uint8)
    write_idx(folder, "train", images[:5], labels[:5])
    write_idx(folder, "t10k", images[5:], labels[5:])
    train, test, both = load_data(folder), load_data(folder, part="test"), load_data(str(folder), part="all")
    assert (train.name, len(train), train.parts) == ("letters", 5, {"train": range(5)})
    assert (len(test), test.parts) == (2, {"test": range(2)})
    assert both.parts == {"train": range(5), "test": range(5, 7)}
    assert torch.equal(both.inputs, torch.from_numpy(images)[:, None])
    for part, data in (("train", train), ("test", test)):
        assert data.content_sha256(range(len(data))) == both.content_sha256(both.parts[part])
    with pytest.raises(DataError, match="part must be 'train', 'test' or 'all', got 'validation'"):
        load_data(folder, part="validation")
    with pytest.raises(DataError, match="only IDX folders have parts"):
        load_data((INPUTS, TARGETS), part="test")
    assert same(load_data((INPUTS, TARGETS), part="all"))


def test_idx_parts_of_different_sizes(tmp_path):
    write_idx(tmp_path, "train", np.zeros((3, 2, 2), np.uint8), np.zeros(3, np.uint8))
    write_idx(tmp_path, "t10k", np.zeros((3, 2, 3), np.uint8), np.zeros(3, np.uint8))
    with pytest.raises(DataError, match=r"images of one size, got \(2, 2\) and \(2, 3\)"):
        load_data(tmp_path, part="all")


def test_a_folder_without_idx_files(tmp_path):
    with pytest.raises(DataError, match=r"must hold train-images-idx3-ubyte.*got nothing"):
        load_data(tmp_path)


@pytest.mark.skipif(not MNIST.is_dir(), reason="the real MNIST files are not beside this checkout")
def test_real_mnist():
    data = load_data(MNIST, part="all")
    assert (len(data), data.classes, data.name) == (70000, 10, "mnist")
    assert data.inputs.dtype == torch.uint8
    assert torch.bincount(data.targets[:60000]).tolist()[:3] == [5923, 6742, 5958]
    _, inputs, _ = next(data.batches([0], 1))
    assert inputs.shape == (1, 1, 28, 28)
    assert (float(inputs.min()), float(inputs.max())) == (0.0, 1.0)
    hashes = data.example_hashes(range(70000))
    assert len(np.unique(hashes)) == 70000
