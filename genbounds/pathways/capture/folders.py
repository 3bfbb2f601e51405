"""Mixture-of-experts language models in folders on this machine, one checkpoint of their training after the other."""

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genbounds.models.hugging_face import load_folder, load_tokenizer, vocabulary_sha256
from genbounds.models.progress import track
from genbounds.models.training.checkpoint_files import natural_order, position_in_name
from genbounds.models.training.series import Moment

__all__ = ["Texts", "model_folders", "moments_of_folders", "read_texts", "text_data"]

_SEPARATORS = {".csv": ",", ".tsv": "\t"}


def model_folders(sources: Sequence[str | Path], *, cache: str | Path | None = None) -> list[tuple[str, Path]]:
    """Find the folders of models; nothing is downloaded.

    Parameters
    ----------
    sources : sequence of str or Path
        Each a folder that ``save_pretrained`` wrote; a folder with several of them, such as a training's with
        ``checkpoint-500``, ``checkpoint-1000``, which are taken in natural order of their names; or
        ``repository@revision`` (``allenai/OLMoE-1B-7B-0924@step10000-tokens41B``; without a revision the main one) in
        the cache of Hugging Face on this machine. What exists as a folder is never looked for in the cache.
    cache : str or Path, optional
        The cache, if not the one that huggingface_hub uses by itself.

    Returns
    -------
    list of (str, Path)
        Name and folder of each, at least one. The name is the revision, or what the folder is called.

    Raises
    ------
    ImportError
        If something is to be looked for in the cache and huggingface_hub is not installed.
    FileNotFoundError
        If it is not in the cache; the message tells how to download it.
    ValueError
        If a folder holds no model, or there is no source.
    """
    found: list[tuple[str, Path]] = []
    for source in sources:
        path = Path(source)
        if not path.is_dir():
            found.append(_cached(str(source), cache))
        elif (path / "config.json").is_file():
            found.append((path.resolve().name, path))
        else:
            inside = [folder for folder in path.iterdir() if (folder / "config.json").is_file()]
            if not inside:
                raise ValueError(
                    f"models must be folders that save_pretrained wrote, or hold such, got {str(source)!r} without "
                    "config.json. Name the folder that the training wrote to."
                )
            found += [(folder.name, folder) for folder in sorted(inside, key=lambda folder: natural_order(folder.name))]
    if not found:
        raise ValueError("models must be at least one, got none. Name folders.")
    return found


def _cached(source: str, cache: str | Path | None) -> tuple[str, Path]:
    """Find a snapshot in the cache."""
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError
    except ImportError as error:
        raise ImportError(
            "revisions in the cache of Hugging Face need huggingface_hub. Install it by pip install "
            "'genbounds[transformers]'."
        ) from error
    repository, _, revision = source.partition("@")
    try:
        folder = snapshot_download(
            repository, revision=revision or None, cache_dir=cache, local_files_only=True, allow_patterns="config.json"
        )
    except HFValidationError:
        raise FileNotFoundError(2, "No such folder, and not the name of a repository either", source) from None
    except LocalEntryNotFoundError:
        at = f" --revision {revision}" if revision else ""
        raise FileNotFoundError(
            f"models must be folders or revisions on this machine, got {source!r}, which is neither a folder nor in "
            f"the cache of Hugging Face. Download it first: hf download {repository}{at}"
        ) from None
    return revision or repository.rpartition("/")[2], Path(folder)


def moments_of_folders(
    folders: Sequence[tuple[str, Path]],
    *,
    kind: str = "AutoModelForCausalLM",
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    progress: str = "",
) -> Iterator[Moment]:
    """Load one model after the other; each is emptied before the next one is read, so that one is in memory at a time.

    Parameters
    ----------
    folders : sequence of (str, Path)
        From `model_folders`. How many epochs and steps had been taken is read from the names, as in ``checkpoint-500``
        or ``step10000-tokens41B``, or else from ``trainer_state.json`` in the folder, which Hugging Face's Trainer
        writes.
    kind : str
        Class of transformers that reads them.
    device : torch.device or str
        Where they go.
    dtype : torch.dtype
        Type of their weights.
    progress : str
        What a bar on a terminal says; without it there is none.

    Yields
    ------
    Moment
        In their order. Its network is usable until the next one is asked for.

    Raises
    ------
    ImportError
        If transformers is not installed.
    ValueError
        If a folder lacks weights or tokenizer, or its vocabulary is not that of the first: the same token ids would
        then be other words.
    """
    vocabulary = ""
    for name, folder in track(folders, progress, total=len(folders), progress=bool(progress)):
        tokenizer, network = load_folder(kind, folder, device, dtype)
        found = vocabulary_sha256(tokenizer)
        if found != (vocabulary or found):
            raise ValueError(
                f"models must share one vocabulary, got another one in {name!r} than in {folders[0][0]!r}. Measure "
                "them one by one."
            )
        vocabulary = found
        yield Moment(name, *_position(name, folder), network)
        network.to("meta")  # whoever still holds the moment holds no weights


def _position(name: str, folder: Path) -> tuple[int | None, int | None]:
    """Return epochs and steps, from the name or from what the Trainer wrote."""
    epoch, step = position_in_name(name)
    state = folder / "trainer_state.json"  # its epochs are fractions, so that only steps tell checkpoints apart
    if step is None and state.is_file():
        step = json.loads(state.read_text(encoding="utf-8")).get("global_step")
    return epoch, step


@dataclass(frozen=True)
class Texts:
    """Texts and what a file says about them.

    Attributes
    ----------
    texts : tuple of str
        None of them blank.
    columns : dict of str to tuple of str
        Other columns, such as a domain, a value for each text.
    """

    texts: tuple[str, ...]
    columns: dict[str, tuple[str, ...]]


def read_texts(path: str | Path, column: str = "text") -> Texts:
    """Read texts from a file.

    Parameters
    ----------
    path : str or Path
        ``.csv`` or ``.tsv`` with a header, ``.jsonl`` with an object on each line; anything else is plain text with a
        text on each line, blank lines left out.
    column : str
        Column or key of the texts. Every other one that all lines have is kept as it is written.

    Returns
    -------
    Texts
        In the order of the file.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it holds no text, or a line of it lacks one; the message says which.
    """
    path = Path(path)
    with path.open(encoding="utf-8", newline="") as file:
        if path.suffix in _SEPARATORS:
            rows: list[Any] = list(csv.DictReader(file, delimiter=_SEPARATORS[path.suffix], strict=True))
        elif path.suffix == ".jsonl":
            rows = [_json_row(line, number, path) for number, line in enumerate(file, 1) if line.strip()]
        else:
            rows = [{column: line.strip()} for line in file if line.strip()]
    for number, row in enumerate(rows, 1):
        text = row.get(column)
        if not isinstance(text, str) or not text.strip():
            raise ValueError(
                f"texts must be under {column!r} in every entry of {path.name}, got {text!r} in entry {number}, which "
                f"has {', '.join(map(str, row)) or 'nothing'}. Name the column, and leave out entries without text."
            )
    if not rows:
        raise ValueError(f"texts must be at least one, got none in {path.name}. Write one on each line.")
    shared = [name for name in rows[0] if name != column and all(row.get(name) is not None for row in rows)]
    return Texts(
        tuple(row[column] for row in rows), {str(name): tuple(str(row[name]) for row in rows) for name in shared}
    )


def _json_row(line: str, number: int, path: Path) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except json.JSONDecodeError:
        row = None
    if not isinstance(row, dict):
        raise ValueError(
            f"lines of {path.name} must be JSON objects, got {line.strip()!r:.60} as line {number}. Write one on each."
        )
    return row


def text_data(folder: str | Path, texts: Sequence[str], *, longest: int = 512) -> dict[str, Tensor]:
    """Turn texts into inputs of a causal language model, for `genbounds.pathways.capture_routing`.

    Parameters
    ----------
    folder : str or Path
        What ``save_pretrained`` wrote; its tokenizer is used.
    texts : sequence of str, length n
        Texts.
    longest : int
        Most tokens of a text, those that the tokenizer adds included; what goes beyond is cut off.

    Returns
    -------
    dict of str to Tensor
        ``input_ids`` and ``attention_mask``, each of int64 and shape (n, length), padded on the right.

    Raises
    ------
    ImportError
        If transformers is not installed.
    ValueError
        If there are no texts, the length is out of range, or a text becomes no token.
    """
    tokenizer = load_tokenizer(folder)
    if not texts:
        raise ValueError("texts must be at least one, got none. Write one on each line.")
    if not tokenizer.num_special_tokens_to_add() < longest <= tokenizer.model_max_length:
        raise ValueError(
            f"longest must be above the {tokenizer.num_special_tokens_to_add()} tokens that the tokenizer adds and at "
            f"most the model's {tokenizer.model_max_length}, got {longest}. Take 64."
        )
    # The tokenizer's own mask: where the end token fills rows up, tokens alone do not tell which end is a text's.
    rows = tokenizer(list(texts), truncation=True, max_length=longest, padding=True, return_tensors="pt")
    if not rows["attention_mask"].any(dim=1).all():
        empty = int(rows["attention_mask"].any(dim=1).logical_not().nonzero()[0])
        raise ValueError(f"texts must become at least one token each, got none for {texts[empty]!r}. Leave it out.")
    return {name: rows[name] for name in ("input_ids", "attention_mask")}
