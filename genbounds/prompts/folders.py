"""Folders of Hugging Face models: reading them, and their fingerprint."""

import hashlib
import json
from pathlib import Path
from typing import Any

import torch

__all__ = ["folder_sha256", "load_folder", "vocabulary_sha256"]


def load_folder(kind: str, folder: str | Path, device: torch.device | str, dtype: torch.dtype) -> tuple[Any, Any]:
    """Read a tokenizer and a model from a folder on this machine.

    Parameters
    ----------
    kind : str
        Class of transformers that reads the model, such as ``AutoModel``.
    folder : str or Path
        What ``save_pretrained`` wrote.
    device : torch.device or str
        Where the model goes.
    dtype : torch.dtype
        Type of its weights.

    Returns
    -------
    tokenizer : PreTrainedTokenizerBase
        The tokenizer.
    model : PreTrainedModel
        The model, in evaluation mode.

    Raises
    ------
    ImportError
        If transformers is not installed, with the extra that brings it.
    """
    try:
        import transformers
    except ImportError as error:
        raise ImportError(
            "models in Hugging Face folders need transformers. Install it by pip install 'genbounds[transformers]'."
        ) from error
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    logging = transformers.utils.logging
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        model = getattr(transformers, kind).from_pretrained(
            folder, local_files_only=True, use_safetensors=True, dtype=dtype
        )
    finally:
        if shown:
            logging.enable_progress_bar()
    return tokenizer, model.to(device).eval()


def folder_sha256(folder: str | Path) -> str:
    """Fingerprint a model's folder: names and contents of the files in it.

    Parameters
    ----------
    folder : str or Path
        A folder on this machine.

    Returns
    -------
    str
        SHA-256 in hexadecimal; subfolders and hidden files do not count.

    Raises
    ------
    ValueError
        If there is no such folder, or it holds no ``config.json``.
    """
    folder = Path(folder)
    if not (folder / "config.json").is_file():
        raise ValueError(
            f"folder must hold a Hugging Face model, got {folder.name!r} without config.json. Models are read from "
            "this machine only: pass the folder that save_pretrained wrote."
        )
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")):
        with path.open("rb") as file:
            digest.update(json.dumps([path.name, hashlib.file_digest(file, "sha256").hexdigest()]).encode())
    return digest.hexdigest()


def vocabulary_sha256(tokenizer: Any) -> str:
    """Fingerprint the tokens of a tokenizer, with their numbers.

    Parameters
    ----------
    tokenizer : PreTrainedTokenizerBase
        Any tokenizer.

    Returns
    -------
    str
        SHA-256 in hexadecimal.
    """
    return hashlib.sha256(json.dumps(sorted(tokenizer.get_vocab().items())).encode()).hexdigest()
