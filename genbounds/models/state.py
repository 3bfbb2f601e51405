"""State dictionaries: fingerprint them, save them, and fit them to a model without letting anything slip."""

import hashlib
import json
import os
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

__all__ = ["CheckpointError", "apply_state", "require_finite", "save_state", "state_sha256"]

#: How many names one error lists before it only counts.
_LISTED = 8


class CheckpointError(ValueError):
    """A checkpoint cannot be used as asked; the message says what is wrong, where, and what to do."""


def state_sha256(state: Mapping[str, Tensor]) -> str:
    """Fingerprint the tensors of a state dictionary.

    Parameters
    ----------
    state : mapping of str to Tensor
        Dense tensors on any device.

    Returns
    -------
    str
        SHA-256 in hexadecimal over names, dtypes, shapes and bytes in order of name: independent of the
        dictionary's order, the device, the memory layout and the file the tensors came from.
    """
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().resolve_conj().resolve_neg().contiguous()
        # JSON ends where it ends, and says how many bytes follow: no name can borrow from its neighbour.
        digest.update(json.dumps([name, str(tensor.dtype).removeprefix("torch."), list(tensor.shape)]).encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def save_state(state: Mapping[str, Tensor], path: str | Path) -> None:
    """Write a state dictionary as safetensors, all or nothing.

    The file appears under its name only once it is complete, so that a kill leaves the old file or none.

    Parameters
    ----------
    state : mapping of str to Tensor
        Dense tensors on any device; tensors that share memory are written in full.
    path : str or Path
        Where to write; missing folders are made, an existing file is replaced.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors: dict[str, Tensor] = {}
    storages: set[int] = set()
    for name, tensor in state.items():
        dense = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous()
        storage = dense.untyped_storage().data_ptr()
        tensors[name] = dense.clone() if storage in storages else dense  # the format refuses shared memory
        storages.add(storage)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        save_file(tensors, partial, metadata={"format": "pt"})
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def require_finite(state: Mapping[str, Tensor]) -> None:
    """Refuse NaN and infinite values.

    Minus infinity is let through only beside zeros and nothing else: an attention mask kept as a buffer.

    Parameters
    ----------
    state : mapping of str to Tensor
        Tensors on any device.

    Raises
    ------
    CheckpointError
        Naming the first tensor that is not finite.
    """
    for name in sorted(state):
        tensor = state[name]
        if not (tensor.is_floating_point() or tensor.is_complex()):
            continue
        values = tensor.float() if tensor.dtype.itemsize == 1 else tensor  # eight-bit floats have no isfinite
        bad = ~torch.isfinite(values)
        if not bad.any():
            continue
        if (values == 0).any() and not tensor.is_complex() and bool(((values == 0) | torch.isneginf(values)).all()):
            continue
        first = bad.nonzero()[0].tolist()
        raise CheckpointError(
            f"tensor {name!r} must be finite, got {int(bad.sum())} of {bad.numel()} values NaN or infinite, the first "
            f"at index {first}. The training diverged before this checkpoint: take an earlier one."
        )


def apply_state(model: nn.Module, state: Mapping[str, Tensor], *, dtype: torch.dtype | None = None) -> None:
    """Copy a state into a model, strictly: every name on both sides, every shape, or an error and no change.

    Names that the model ties to one tensor may be given once; if given more than once they must agree.

    Parameters
    ----------
    model : torch.nn.Module
        Module to fill in place, on any device.
    state : mapping of str to Tensor
        Values for every parameter and persistent buffer.
    dtype : torch.dtype, optional
        Floating dtype to convert the model to first; by default the model keeps its own.

    Raises
    ------
    CheckpointError
        Listing all missing, unexpected, mis-shaped and otherwise unfit names, with their nearest matches.
    """
    wanted = model.state_dict(keep_vars=True)
    names_of: dict[int, list[str]] = {}
    for name, target in wanted.items():
        names_of.setdefault(id(target), []).append(name)
    complete = dict(state)
    for names in names_of.values():
        given = [name for name in names if name in state]
        if given:
            complete |= {name: state[given[0]] for name in names if name not in state}
    missing = [name for name in wanted if name not in complete]
    unexpected = [name for name in complete if name not in wanted]
    problems = [
        *_listing("missing", missing, [name for name in state if name not in wanted]),
        *_listing("unexpected", unexpected, missing or list(wanted)),
        *_listing("unfit", _unfit(wanted, complete, names_of, dtype)),
    ]
    if problems:
        problems.append(_remedy(set(wanted), set(state)))
        raise CheckpointError(
            f"state must fit the model {type(model).__name__}, got {len(state)} tensors for {len(wanted)} names:\n  "
            + "\n  ".join(problems)
        )
    if dtype is not None:
        model.to(dtype)
    model.load_state_dict(complete, strict=True)


def _unfit(
    wanted: Mapping[str, Tensor],
    state: Mapping[str, Tensor],
    names_of: Mapping[int, list[str]],
    dtype: torch.dtype | None,
) -> list[str]:
    found = []
    for name, target in wanted.items():
        tensor = state.get(name)
        if tensor is None or not isinstance(target, Tensor) or is_lazy(target):
            continue
        kept = dtype if dtype is not None and target.is_floating_point() else target.dtype
        twin = names_of[id(target)][0]
        if target.is_meta:
            found.append(f"{name} is on the meta device in the model, where values are lost")
        elif tensor.shape != target.shape:
            found.append(f"{name} has shape {tuple(tensor.shape)}, the model wants {tuple(target.shape)}")
        elif (tensor.is_floating_point(), tensor.is_complex()) != (target.is_floating_point(), target.is_complex()):
            found.append(f"{name} is {tensor.dtype}, the model wants {target.dtype}")
        elif twin != name and tensor is not state[twin] and not torch.equal(tensor, state[twin]):
            found.append(f"{name} differs from {twin}, the model ties them")
        elif tensor.is_floating_point() and bool((torch.isinf(tensor.to(kept)) & ~torch.isinf(tensor)).any()):
            found.append(f"{name} has values beyond the range of {kept}")
    return found


def _listing(what: str, names: list[str], candidates: list[str] | None = None) -> list[str]:
    if not names:
        return []
    shown = []
    for name in names[:_LISTED]:
        near = get_close_matches(name, candidates or [], n=1)
        shown.append(f"{name} (nearest: {near[0]})" if near else name)
    if len(names) > _LISTED:
        shown.append(f"and {len(names) - _LISTED} more")
    return [f"{what} ({len(names)}): " + "; ".join(shown)]


def _remedy(wanted: set[str], found: set[str]) -> str:
    if prefix := _prefix(wanted, found):
        return f"Load the checkpoint with prefix={prefix!r}: below it every name of the model is found."
    if prefix := _prefix(found, wanted):
        return f"The model's own names begin with {prefix!r}: pass the module inside that wrapper."
    return "Build the architecture that was trained: check the factory and its arguments."


def _prefix(names: set[str], longer: set[str]) -> str | None:
    """Find the prefix, ending in a dot, that turns all of `names` into some of `longer`.

    Returns
    -------
    str or None
        The shortest such prefix; None if there is none.
    """
    probe = max(names, key=len, default="")
    prefixes = sorted((name.removesuffix(probe) for name in longer if probe and name.endswith(probe)), key=len)
    return next((p for p in prefixes if p.endswith(".") and all(p + name in longer for name in names)), None)
