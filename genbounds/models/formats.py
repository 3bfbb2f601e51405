"""Checkpoint files: tell what a file is by its bytes, and read it without running what it holds."""

import hashlib
import json
import pickle
import re
import zipfile
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from genbounds.models.state import CheckpointError

__all__ = ["files_sha256", "read_index", "read_pickled", "read_safetensors", "recognise"]

_SAVE_AGAIN = "Save the weights alone: torch.save(model.state_dict(), path), or safetensors."
_COPY_AGAIN = "Copy or download the file again."

#: First bytes of files that are no checkpoint this package reads: what they are, and what to do.
_STRANGERS = (
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself", "Fetch it: git lfs pull."),
    (b"GGUF", "a GGUF file of quantised weights", "Convert it to safetensors first."),
    (b"\x89HDF", "an HDF5 file", "Convert it to safetensors first."),
    (b"\x93NUMPY", "a NumPy array", "Give the checkpoint, not the data."),
    (b"\x1f\x8b", "a gzip archive", "Unpack it first."),
)


def recognise(path: Path) -> str:
    """Tell what kind of checkpoint a file is, by its content and not by its name.

    Parameters
    ----------
    path : Path
        An existing file.

    Returns
    -------
    str
        ``torch`` (an archive by ``torch.save``), ``legacy torch`` (its older form, a bare pickle),
        ``safetensors``, ``index`` (the JSON index of a sharded checkpoint) or ``exported program``.

    Raises
    ------
    CheckpointError
        If it is none of these: empty, truncated, TorchScript, a web page or something else.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(512)
    if size == 0:
        raise CheckpointError(_unusable(path, "an empty file (0 bytes)", _COPY_AGAIN))
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        raise CheckpointError(
            _unusable(path, "a web page, not weights", "Download it again: a login or error page was saved.")
        )
    for magic, what, remedy in _STRANGERS:
        if head.startswith(magic):
            raise CheckpointError(_unusable(path, what, remedy))
    kind = None
    if head.startswith(b"PK\x03\x04"):
        kind = _recognise_archive(path)
    elif head.startswith(b"\x80"):
        kind = "legacy torch"
    elif head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 2**32:
        kind = "safetensors"
    elif head.lstrip().startswith(b"{"):
        kind = "index"
    if kind is None:
        raise CheckpointError(_unusable(path, f"a file of unknown kind (first bytes {head[:8]!r})", _SAVE_AGAIN))
    if path.suffix == ".safetensors" and kind != "safetensors":
        raise CheckpointError(
            _unusable(path, f"a {kind} file under a name that promises safetensors", "Rename it to what it is.")
        )
    return kind


def read_pickled(path: Path, *, trust_pickle: bool) -> Any:
    """Read a ``torch.save`` file onto the CPU, unpickling weights and plain containers only.

    Parameters
    ----------
    path : Path
        File that `recognise` calls ``torch`` or ``legacy torch``.
    trust_pickle : bool
        Unpickle whatever else the file holds, which runs code that the file names. Not needed, and without
        effect, for files that hold weights only.

    Returns
    -------
    object
        What was saved.

    Raises
    ------
    CheckpointError
        If the file is damaged, or holds more than weights and `trust_pickle` is false.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "truncated" in str(error):
            raise CheckpointError(_unusable(path, f"a truncated file ({error})", _COPY_AGAIN)) from error
        if not trust_pickle:
            culprits = _culprits(path, str(error))
            raise CheckpointError(
                f"checkpoint {path.name} must hold weights only, got pickled objects of other kinds: "
                f"{', '.join(culprits) or 'not named by torch'}. Unpickling them runs code, so nothing was unpickled. "
                f"{_SAVE_AGAIN} Or, if you trust whoever made the file, ask for it: trust_pickle=True."
            ) from None
    except Exception as error:  # a damaged file fails anywhere inside the reader, with any type
        raise CheckpointError(_unusable(path, f"damaged ({_first_line(error)})", _COPY_AGAIN)) from error
    try:
        return torch.load(path, map_location="cpu", weights_only=False)
    except Exception as error:  # trusted code may raise anything
        raise CheckpointError(
            _unusable(path, f"a pickle that cannot be loaded ({_first_line(error)})", _SAVE_AGAIN)
        ) from error


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read one safetensors file onto the CPU.

    Parameters
    ----------
    path : Path
        File that `recognise` calls ``safetensors``.

    Returns
    -------
    tensors : dict of str to Tensor
        All tensors.
    metadata : dict of str to str
        The file's own notes.

    Raises
    ------
    CheckpointError
        If the file is damaged.
    """
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise CheckpointError(
            _unusable(path, f"a damaged safetensors file ({_first_line(error)})", _COPY_AGAIN)
        ) from error


def read_index(path: Path) -> tuple[dict[str, str], dict[str, Any]]:
    """Read the index of a sharded checkpoint.

    Parameters
    ----------
    path : Path
        JSON file with ``weight_map``, beside its shards.

    Returns
    -------
    weight_map : dict of str to str
        File name of the shard that holds each tensor.
    metadata : dict
        The index's own notes.

    Raises
    ------
    CheckpointError
        If the JSON is damaged, is no index, or names a shard outside its folder.
    """
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(_unusable(path, f"damaged JSON ({_first_line(error)})", _COPY_AGAIN)) from error
    shards = index.get("weight_map")
    if not isinstance(shards, dict) or not shards or not all(isinstance(shard, str) for shard in shards.values()):
        raise CheckpointError(
            _unusable(path, "JSON without a weight_map", "Give the weights, or the index that names their shards.")
        )
    strays = sorted({shard for shard in shards.values() if shard in {"", ".", ".."} or re.search(r"[/\\:]", shard)})
    if strays:
        raise CheckpointError(
            _unusable(path, f"an index that names a file outside its folder ({strays[0]!r})", "Do not trust it.")
        )
    return shards, dict(index.get("metadata") or {})


def files_sha256(paths: list[Path]) -> str:
    """Fingerprint the file, or the several files, of a checkpoint.

    Parameters
    ----------
    paths : list of Path
        Files read.

    Returns
    -------
    str
        SHA-256 in hexadecimal of the one file; of several, SHA-256 of the listing ``<sha256>  <name>`` of each
        in order of name, one a line.
    """
    digests = {}
    for path in paths:
        with path.open("rb") as file:
            digests[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
    if len(digests) == 1:
        return next(iter(digests.values()))
    return hashlib.sha256("".join(f"{digests[name]}  {name}\n" for name in sorted(digests)).encode()).hexdigest()


def _recognise_archive(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = {name.partition("/")[2] or name for name in archive.namelist()}
            start = min((info.header_offset for info in archive.infolist()), default=0)
            damaged = archive.testzip()
    except Exception as error:  # damaged names and headers raise many types
        raise CheckpointError(
            _unusable(path, f"a truncated or damaged archive ({_first_line(error)})", _COPY_AGAIN)
        ) from error
    if start != 0:  # the directory found is that of an archive inside this one
        raise CheckpointError(_unusable(path, "a truncated archive", _COPY_AGAIN))
    if damaged is not None:
        raise CheckpointError(
            _unusable(path, f"a damaged archive (the record {damaged} fails its checksum)", _COPY_AGAIN)
        )
    if names & {"archive_format", "serialized_exported_program.json"}:
        return "exported program"
    if names & {"constants.pkl", "bytecode.pkl"}:
        remedy = "It is deprecated and hides what runs: export the Python module by torch.export, or save its weights."
        raise CheckpointError(_unusable(path, "a TorchScript archive", remedy))
    if "data.pkl" in names:
        return "torch"
    if names and all(name.endswith(".npy") for name in names):
        raise CheckpointError(_unusable(path, "a NumPy archive", "Give the checkpoint, not the data."))
    raise CheckpointError(_unusable(path, "a zip archive without weights", "Unpack it and give the checkpoint inside."))


def _culprits(path: Path, message: str) -> list[str]:
    try:
        return sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path))
    except Exception:  # it reads whole archives only; the message of a bare pickle names its first culprit
        return re.findall(r"GLOBAL (\S+) was not an allowed", message)[:1]


def _unusable(path: Path, got: str, remedy: str) -> str:
    return f"checkpoint {path.name} must hold the weights of a model, got {got}. {remedy}"


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
