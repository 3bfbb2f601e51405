"""Data sources: a name, a file, tensors, a dataset or a factory becomes examples known by their index."""

import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    Subset,
    TensorDataset,
    default_collate,
)

from genbounds.models.datasets import DatasetData
from genbounds.models.examples import Data, DataError, TensorData
from genbounds.models.factory import call_factory, load_factory
from genbounds.models.idx import read_part

__all__ = ["Data", "DataError", "load_data"]

#: Names under which an .npz file may keep its inputs and targets.
_NPZ_KEYS = (("x", "y"), ("X", "y"), ("inputs", "targets"), ("images", "labels"))

_LOADER_NOTE = (
    "Examples are read by index from the DataLoader's dataset, each once; its shuffling and drop_last play no part."
)


def load_data(source: Any, *, arguments: Mapping[str, Any] | None = None, part: str | None = None) -> Data:
    """Turn a source of examples into data known by index.

    Parameters
    ----------
    source : str, Path, tuple, Dataset, DataLoader, callable or Data
        ``"digits"`` (scikit-learn's 1797 handwritten digits, 1x8x8 in [0, 1]); a folder of IDX files (MNIST,
        Fashion-MNIST; bytes 1xHxW, in [0, 1] at the model); an ``.npz`` file with ``x`` and ``y``, ``inputs`` and
        ``targets`` or ``images`` and ``labels`` (its arrays as they are, never unpickled); a pair of tensors or
        arrays; a map-style dataset; a DataLoader, of which the dataset and the collate function are used; a
        callable that returns any of these, or its name ``package.module:callable``.
    arguments : mapping, optional
        Keyword arguments of a callable source.
    part : str, optional
        For an IDX folder ``"train"`` (the default), ``"test"`` or ``"all"``: both, one after the other, with
        their index ranges in ``parts``, so that one set of roles covers them. Other sources have no parts, and
        ``"all"`` is what they give anyway.

    Returns
    -------
    Data
        The examples.

    Raises
    ------
    DataError
        If the source is of no known kind, damaged, empty, cannot be read by index, or is no classification data.
    """
    if isinstance(source, type) or (callable(source) and not hasattr(source, "__getitem__")):
        name = getattr(source, "__qualname__", type(source).__name__)
        return load_data(call_factory(source, arguments, name), part=part)
    if isinstance(source, str) and ":" in source and not Path(source).exists():
        return load_data(call_factory(load_factory(source), arguments, source), part=part)
    if arguments:
        raise DataError(
            f"arguments must be left out for data that is not built by a callable, got {dict(arguments)!r}. Drop them."
        )
    is_folder = isinstance(source, str | Path) and source != "digits" and Path(source).is_dir()
    if is_folder:
        return _idx(Path(source), part or "train")
    if part not in (None, "all"):
        raise DataError(f"part must be 'all' or left out, as only IDX folders have parts, got {part!r}. Drop it.")
    if isinstance(source, Data):
        return source
    if isinstance(source, str) and source == "digits":
        return _digits()
    if isinstance(source, str | Path):
        return _npz(Path(source))
    if isinstance(source, tuple) and len(source) == 2 and all(isinstance(x, Tensor | np.ndarray) for x in source):
        return _pair(source[0], source[1], "tensors")
    if isinstance(source, DataLoader):
        return _loader(source)
    return _dataset(source, ())


def _digits() -> Data:
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise DataError(
            "data 'digits' must come from scikit-learn, got no such package. "
            "Install it: pip install 'genbounds[digits]'."
        ) from error
    digits = load_digits()
    return _pair((digits.images[:, None] / 16).astype(np.float32), digits.target, "digits")


def _idx(folder: Path, part: str) -> Data:
    if part not in {"train", "test", "all"}:
        raise DataError(f"part must be 'train', 'test' or 'all', got {part!r}. Pick one of these.")
    names = ["train", "test"] if part == "all" else [part]
    read = [read_part(folder, name) for name in names]
    if len({images.shape[1:] for images, _ in read}) > 1:
        shapes = " and ".join(str(images.shape[1:]) for images, _ in read)
        raise DataError(f"IDX parts must have images of one size, got {shapes}. Take both from the same place.")
    stops = np.cumsum([len(labels) for _, labels in read]).tolist()
    parts = {name: range(stop - len(labels), stop) for name, stop, (_, labels) in zip(names, stops, read, strict=True)}
    inputs = torch.from_numpy(np.concatenate([images for images, _ in read])[:, None])
    targets = torch.from_numpy(np.concatenate([labels for _, labels in read]))
    return TensorData(inputs, targets, folder.resolve().name, parts)


def _npz(path: Path) -> Data:
    if not path.exists():
        raise DataError(
            f"data must be 'digits', an IDX folder, an .npz file or 'package.module:callable', got {str(path)!r}, "
            "which does not exist. Check the path against the current folder."
        )
    pairs = ", ".join(f"{x} and {y}" for x, y in _NPZ_KEYS)
    try:
        with path.open("rb") as file:
            archive = np.load(file, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise DataError(f"data {path.name} must be an .npz file, got a single array. Save it by numpy.savez.")
            found = [pair for pair in _NPZ_KEYS if set(pair) <= set(archive.files)]
            if len(found) != 1:
                raise DataError(
                    f"data {path.name} must hold one of the pairs {pairs}, got {archive.files}. "
                    "Save it by numpy.savez(path, x=inputs, y=targets)."
                )
            inputs, targets = (archive[key] for key in found[0])
    except DataError:
        raise
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(
            f"data {path.name} must be an .npz file of plain arrays, got: {error}. "
            "Save it again by numpy.savez; arrays of objects are never unpickled."
        ) from error
    return _pair(inputs, targets, path.stem)


def _pair(inputs: Tensor | NDArray[Any], targets: Tensor | NDArray[Any], name: str) -> Data:
    return TensorData(_tensor(inputs, name), _tensor(targets, name), name)


def _tensor(array: Tensor | NDArray[Any], name: str) -> Tensor:
    if isinstance(array, Tensor):
        return array
    kind = array.dtype.kind
    if kind not in "biuf" or array.dtype.itemsize > 8:
        raise DataError(f"arrays of {name} must hold numbers, got dtype {array.dtype}. Convert them first.")
    if kind in "iu" and array.dtype != np.uint8:
        return torch.from_numpy(array.astype(np.int64))
    native = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))
    return torch.from_numpy(native if native.flags.writeable else native.copy())


def _loader(loader: DataLoader[Any]) -> Data:
    """Take the dataset out of a DataLoader that goes through all of it.

    Returns
    -------
    Data
        The dataset's examples, batched by the loader's collate function.

    Raises
    ------
    DataError
        If the loader's sampler leaves out, repeats or chooses examples.
    """
    sampler: Any = loader.sampler
    whole = type(sampler) is SequentialSampler or (
        type(sampler) is RandomSampler and not sampler.replacement and sampler.num_samples == len(sampler.data_source)
    )
    if not isinstance(loader.dataset, IterableDataset) and (
        not whole or type(loader.batch_sampler) not in {BatchSampler, type(None)}
    ):
        raise DataError(
            f"DataLoader must go through its whole dataset, got one that chooses by {type(sampler).__name__} and "
            f"{type(loader.batch_sampler).__name__}. Which examples count must be known: pass "
            "torch.utils.data.Subset(dataset, indices) instead."
        )
    if loader.batch_sampler is None:
        raise DataError("DataLoader must batch examples, got batch_size=None. Pass its dataset instead.")
    return _dataset(loader.dataset, (_LOADER_NOTE,), loader.collate_fn, loader.num_workers)


def _dataset(
    dataset: Any,
    notes: tuple[str, ...],
    collate: Callable[[list[Any]], Any] = default_collate,
    workers: int = 0,
) -> Data:
    name = type(dataset).__name__
    if isinstance(dataset, IterableDataset):
        raise DataError(
            f"data must be readable by index, got the iterable dataset {name}. A certificate records which examples "
            "shaped the prior and which carry the bound, so each needs an index: make it a map-style Dataset."
        )
    if isinstance(dataset, Tensor | np.ndarray | Mapping | tuple) or not (
        hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__")
    ):
        raise DataError(
            f"data must be a known source or a dataset with __len__ and __getitem__, got a {name}. "
            "Pass a pair (inputs, targets) of tensors or arrays, or a Dataset."
        )
    held = _held(dataset) if collate is default_collate else None
    if held is not None:
        return TensorData(*held, name, notes=notes)
    return DatasetData(dataset, name, collate, workers, notes)


def _held(dataset: Any) -> tuple[Tensor, Tensor] | None:
    """Find the tensors behind a plain TensorDataset, or a Subset of one.

    Returns
    -------
    (Tensor, Tensor) or None
        Inputs and targets; None if the dataset computes its items.
    """
    if type(dataset) is TensorDataset and len(dataset.tensors) == 2:
        return dataset.tensors[0], dataset.tensors[1]
    if type(dataset) is Subset and (behind := _held(dataset.dataset)) is not None:
        chosen = torch.as_tensor(dataset.indices, dtype=torch.int64)
        return behind[0][chosen], behind[1][chosen]
    return None
