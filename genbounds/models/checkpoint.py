"""Checkpoints: from a file to named tensors on the CPU, with a fingerprint, and without unpickling anything else."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from genbounds.models.formats import files_sha256, read_index, read_pickled, read_safetensors, recognise
from genbounds.models.state import CheckpointError, apply_state, require_finite, save_state, state_sha256

__all__ = [
    "Checkpoint",
    "CheckpointError",
    "apply_state",
    "load_checkpoint",
    "save_state",
    "state_sha256",
]

_SAVE_AGAIN = "Save the weights alone: torch.save(model.state_dict(), path), or safetensors."


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint file holds.

    Parameters
    ----------
    state : dict of str to Tensor
        Dense, finite tensors on the CPU, named as the model names them (a declared prefix is gone).
    format : str
        ``state dict``, ``lightning``, ``safetensors`` or ``sharded safetensors``.
    sha256 : str
        Fingerprint of the file, or of a sharded checkpoint's index and shards.
    metadata : dict
        Plain notes found in the file (epoch, versions), and ``outside_prefix``: names that a declared prefix
        left out.
    """

    state: dict[str, Tensor]
    format: str
    sha256: str
    metadata: dict[str, Any]


def load_checkpoint(path: str | Path, *, prefix: str = "", entry: str = "", trust_pickle: bool = False) -> Checkpoint:
    """Load the weights of a checkpoint.

    The file's bytes, not its name, decide how it is read: a ``torch.save`` file (``.pt``, ``.pth``, ``.bin``), a
    Lightning ``.ckpt``, or ``.safetensors`` (one file, an index with its shards, or a folder with either). Weights
    and plain containers are read and nothing else is unpickled; a surrounding
    ``torch.serialization.safe_globals([...])`` admits single classes.

    Parameters
    ----------
    path : str or Path
        File or folder.
    prefix : str
        Leading part of the names to keep, and to strip, such as ``model.`` in a Lightning checkpoint.
    entry : str
        Key under which a dictionary with several entries keeps the weights; Lightning's ``state_dict`` is
        taken without being named.
    trust_pickle : bool
        Unpickle, which runs code that the file names. Only for a file whose maker you trust.

    Returns
    -------
    Checkpoint
        Tensors and where they came from.

    Raises
    ------
    CheckpointError
        If the file is missing, damaged, of another kind, unsafe, or holds anything but finite dense tensors.
    """
    source = _resolve(Path(path))
    kind = recognise(source)
    files = [source]
    metadata: Mapping[str, Any] = {}
    state: Mapping[Any, Any]
    if kind == "safetensors":
        state, metadata = read_safetensors(source)
        name = "safetensors"
    elif kind == "index":
        state, metadata, shards = _read_shards(source)
        files, name = [source, *shards], "sharded safetensors"
    elif kind == "exported program":
        raise CheckpointError(
            f"checkpoint {source.name} must hold weights alone, got a torch.export program, which is a whole model and "
            "runs code. If you trust its maker, load it by load_exported, with no factory."
        )
    else:
        state, name, metadata = _weights_in(source, read_pickled(source, trust_pickle=trust_pickle), entry)
    if prefix:
        state, outside = _below(prefix, state, source)
        metadata = {**metadata, "outside_prefix": outside}
    tensors = _dense(state, source)
    try:
        require_finite(tensors)
    except CheckpointError as error:
        raise CheckpointError(f"checkpoint {source.name}: {error}") from error
    return Checkpoint(state=tensors, format=name, sha256=files_sha256(files), metadata=dict(metadata))


def _resolve(path: Path) -> Path:
    if not path.exists():
        raise CheckpointError(f"checkpoint must exist, got {str(path)!r}. Check the path against the current folder.")
    if not path.is_dir():
        return path
    found = sorted(path.glob("*.safetensors.index.json")) or sorted(path.glob("*.safetensors"))
    if len(found) != 1:
        listed = ", ".join(file.name for file in found) or "none"
        raise CheckpointError(
            f"checkpoint folder {path.name} must hold one .safetensors file or one index of shards, got {listed}. "
            "Name the file itself."
        )
    return found[0]


def _read_shards(index: Path) -> tuple[dict[str, Tensor], dict[str, Any], list[Path]]:
    weight_map, metadata = read_index(index)
    state: dict[str, Tensor] = {}
    shards = [index.with_name(shard) for shard in sorted(set(weight_map.values()))]
    for shard in shards:
        if not shard.is_file():
            raise CheckpointError(
                f"checkpoint shard must exist, got {shard.name}, which {index.name} names. Copy all shards beside it."
            )
        if (kind := recognise(shard)) != "safetensors":
            raise CheckpointError(
                f"checkpoint shard {shard.name} must be safetensors, got a {kind} file. Convert the checkpoint first."
            )
        tensors, _ = read_safetensors(shard)
        promised = {name for name, file in weight_map.items() if file == shard.name}
        if promised != set(tensors):
            odd = sorted(promised ^ set(tensors))
            raise CheckpointError(
                f"checkpoint shard {shard.name} must hold what {index.name} says, got {len(odd)} names in only one of "
                f"them, the first being {odd[0]!r}. Copy index and shards from the same place."
            )
        state |= tensors
    return state, metadata, shards


def _weights_in(path: Path, saved: Any, entry: str) -> tuple[Mapping[Any, Any], str, dict[str, Any]]:
    """Find the state dictionary in what a file holds.

    Returns
    -------
    state : mapping
        The dictionary, its values unchecked.
    name : str
        Format.
    metadata : dict
        Plain entries beside the weights.

    Raises
    ------
    CheckpointError
        If there is none where it should be.
    """
    if isinstance(saved, nn.Module):
        raise CheckpointError(_wrong(path, f"a whole {type(saved).__name__} object", _SAVE_AGAIN))
    if not isinstance(saved, Mapping):
        raise CheckpointError(_wrong(path, f"a {type(saved).__name__}", _SAVE_AGAIN))
    if not saved:
        raise CheckpointError(_wrong(path, "an empty dictionary", "Save the model's state dict."))
    lightning = "pytorch-lightning_version" in saved
    key = entry or ("state_dict" if isinstance(saved.get("state_dict"), Mapping) else "")
    if not key:
        nested = [str(name) for name, value in saved.items() if _holds_tensors(value)]
        if nested and not any(isinstance(value, Tensor) for value in saved.values()):
            remedy = f"Say which: entry={nested[0]!r}."
            raise CheckpointError(_wrong(path, f"a dictionary whose entries {', '.join(nested)} hold tensors", remedy))
        return saved, "state dict", {}
    if not isinstance(saved.get(key), Mapping):
        remedy = f"Name one of its entries: {', '.join(map(str, saved))}."
        raise CheckpointError(_wrong(path, f"no dictionary under the entry {key!r}", remedy))
    plain = {str(name): value for name, value in saved.items() if name != key and isinstance(value, str | int | float)}
    return saved[key], "lightning" if lightning else "state dict", plain


def _holds_tensors(value: Any) -> bool:
    return isinstance(value, Mapping) and any(isinstance(item, Tensor) for item in value.values())


def _below(prefix: str, state: Mapping[Any, Any], path: Path) -> tuple[dict[str, Any], list[str]]:
    inside = {str(name).removeprefix(prefix): value for name, value in state.items() if str(name).startswith(prefix)}
    if not inside:
        heads = sorted({str(name).partition(".")[0] + "." for name in state if "." in str(name)})
        raise CheckpointError(
            _wrong(path, f"no name that begins with {prefix!r}", f"Names begin with {', '.join(heads) or 'no prefix'}.")
        )
    return inside, sorted(str(name) for name in state if not str(name).startswith(prefix))


def _dense(state: Mapping[Any, Any], path: Path) -> dict[str, Tensor]:
    tensors = {}
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            remedy = "Save the state dict alone, or name its entry by entry=."
            raise CheckpointError(
                _wrong(path, f"a {type(value).__name__} under {name!r}, where a tensor belongs", remedy)
            )
        if value.is_quantized or value.layout != torch.strided or value.is_meta:
            got = "without data (meta)" if value.is_meta else f"quantised or sparse ({value.dtype}, {value.layout})"
            raise CheckpointError(
                _wrong(path, f"tensor {name!r} {got}", "Save dense tensors: dequantize() or to_dense() first.")
            )
        tensors[name] = value.detach().to("cpu").contiguous()
    return tensors


def _wrong(path: Path, got: str, remedy: str) -> str:
    return f"checkpoint {path.name} must hold a state dict of tensors by name, got {got}. {remedy}"
