"""Which files are the checkpoints of a training, in which order, and after how many epochs and steps."""

import re
from collections.abc import Sequence
from pathlib import Path

__all__ = ["checkpoint_paths", "natural_order", "position_in_name"]

#: Endings of files that may hold weights.
_ENDINGS = {".pt", ".pth", ".bin", ".ckpt", ".safetensors"}
_EPOCH = re.compile(r"epochs?[=_\-. ]*(\d+)", re.IGNORECASE)
# Hugging Face's checkpoint-500 counts steps; what others count by checkpoint_5 is not known.
_STEP = re.compile(r"(?:(?:steps?|iter(?:ations?)?)[=_\-. ]*|^checkpoint-)(\d+)", re.IGNORECASE)


def natural_order(name: str) -> tuple[tuple[int, int, str], ...]:
    """Return a key to sort names by, in which numbers count by their value: epoch 2 comes before epoch 10.

    Parameters
    ----------
    name : str
        Name of a file.

    Returns
    -------
    tuple
        The key; numbers come before letters, and a name before its continuations.

    Examples
    --------
    >>> sorted(["epoch10.pt", "epoch9.pt", "epoch09-step2.pt", "last.pt"], key=natural_order)
    ['epoch9.pt', 'epoch09-step2.pt', 'epoch10.pt', 'last.pt']
    """
    parts = [part for part in re.split(r"(\d+)", Path(name).stem) if part]
    return *((0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts), (-1, 0, name)


def position_in_name(name: str) -> tuple[int | None, int | None]:
    """Read from a name after how many epochs and steps a checkpoint was saved.

    Parameters
    ----------
    name : str
        Such as ``epoch=2-step=60.ckpt``, ``step_400.pt`` or ``checkpoint-500``.

    Returns
    -------
    epoch, step : int or None
        As the name says; None for what it does not say.

    Examples
    --------
    >>> [position_in_name(name) for name in ("epoch=2-step=60.ckpt", "checkpoint-500", "checkpoint_5.pt")]
    [(2, 60), (None, 500), (None, None)]
    """
    epoch, step = _EPOCH.search(name), _STEP.search(name)
    return (int(epoch[1]) if epoch else None), (int(step[1]) if step else None)


def checkpoint_paths(paths: Sequence[str | Path]) -> list[Path]:
    """Return the checkpoints that files and folders hold.

    Parameters
    ----------
    paths : sequence of str or Path
        Files are kept in the order given, whatever their names. A folder gives its checkpoints in natural order of
        their names (see `natural_order`), whenever they were written: files that may hold weights, and folders of
        Hugging Face. One with ``model.safetensors`` or an index of shards in it is itself a checkpoint.

    Returns
    -------
    list of Path
        At least one.

    Raises
    ------
    FileNotFoundError
        If a path does not exist.
    ValueError
        If there is no checkpoint in a folder, or no path.
    """
    found: list[Path] = []
    for path in map(Path, paths):
        if not path.exists():
            raise FileNotFoundError(2, "No such file or folder", str(path))
        itself = path.is_file() or _is_checkpoint(path)
        inside = [path] if itself else sorted(filter(_is_checkpoint, path.iterdir()), key=_by_name)
        if not inside:
            raise ValueError(
                f"checkpoints must be files of weights or folders that hold some, got {path.name} without any that "
                f"ends in {', '.join(sorted(_ENDINGS))}. Name the files."
            )
        found += inside
    if not found:
        raise ValueError("checkpoints must be at least one file or folder, got none. Name them.")
    return found


def _by_name(path: Path) -> tuple[tuple[int, int, str], ...]:
    return natural_order(path.name)


def _is_checkpoint(path: Path) -> bool:
    if path.is_dir():
        return (path / "model.safetensors").is_file() or any(path.glob("*.safetensors.index.json"))
    return path.suffix in _ENDINGS or path.name.endswith(".safetensors.index.json")
