"""Hugging Face models in folders on this machine, as modules that take token ids and return logits.

Nothing is downloaded or unpickled, and no code that lies in a folder is run. A model's attention mask is derived from
the padding of its tokens, so that one tensor is all its input and it fits wherever a classifier of images does.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from genbounds.models.examples import DataError, TensorData

__all__ = [
    "EncoderClassifier",
    "TextModel",
    "attention_mask",
    "causal_language_model",
    "folder_sha256",
    "load_folder",
    "load_tokenizer",
    "text_classifier",
    "tokenise",
    "vocabulary_sha256",
]


def _transformers() -> Any:
    try:
        import transformers
    except ImportError as error:
        raise ImportError(
            "models in Hugging Face folders need transformers. Install it by pip install 'genbounds[transformers]'."
        ) from error
    return transformers


def _require_folder(folder: str | Path) -> Path:
    folder = Path(folder)
    if not (folder / "config.json").is_file():
        raise ValueError(
            f"folder must hold a Hugging Face model, got {folder.name!r} without config.json. Models are read from "
            "this machine only: pass the folder that save_pretrained wrote."
        )
    return folder


def load_folder(
    kind: str, folder: str | Path, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> tuple[Any, Any]:
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
        The tokenizer, padding on the right.
    model : PreTrainedModel
        The model, in evaluation mode.

    Raises
    ------
    ImportError
        If transformers is not installed, with the extra that brings it.
    ValueError
        If there is no model in the folder, or it lacks weights, which would be drawn at random.
    """
    transformers, folder = _transformers(), _require_folder(folder)
    tokenizer = load_tokenizer(folder)
    logging = transformers.utils.logging
    shown, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()  # what is missing is an error below, what is left over is none
    try:
        model, found = getattr(transformers, kind).from_pretrained(
            folder, local_files_only=True, use_safetensors=True, dtype=dtype, output_loading_info=True
        )
    finally:
        logging.set_verbosity(verbosity)
        if shown:
            logging.enable_progress_bar()
    # An encoder is used for its hidden states, which do not pass through the pooler.
    missing = sorted(name for name in found["missing_keys"] if kind != "AutoModel" or not name.startswith("pooler."))
    if missing:
        raise ValueError(
            f"folder must hold all weights of {type(model).__name__}, got none for {', '.join(missing[:3])}. Random "
            "numbers would stand in for them: load another kind of model, or give the number of classes of a new head."
        )
    return tokenizer, model.to(device).eval()


def load_tokenizer(folder: str | Path) -> Any:
    """Read a tokenizer from a folder on this machine.

    Parameters
    ----------
    folder : str or Path
        What ``save_pretrained`` wrote, with the tokenizer.

    Returns
    -------
    PreTrainedTokenizerBase
        Padding on the right; by its end token if it has none for padding.

    Raises
    ------
    ImportError
        If transformers is not installed.
    ValueError
        If there is no model in the folder, or the tokenizer has neither a padding nor an end token.
    """
    folder = _require_folder(folder)
    tokenizer = _transformers().AutoTokenizer.from_pretrained(folder, local_files_only=True, padding_side="right")
    if tokenizer.pad_token_id is None:
        if tokenizer.eos_token_id is None:
            raise ValueError(
                f"tokenizer must have a padding or an end token, got neither in {folder.name!r}. Set "
                "tokenizer.pad_token and save it again."
            )
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


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
    digest = hashlib.sha256()
    files = (path for path in _require_folder(folder).iterdir() if path.is_file() and not path.name.startswith("."))
    for path in sorted(files):
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


def attention_mask(tokens: Tensor, pad: int) -> Tensor:
    """Return 1 up to the last token that is no padding, and for the first in any case; 0 after it.

    Parameters
    ----------
    tokens : Tensor of int64, shape (batch, length)
        Token ids.
    pad : int
        Token that fills rows up on the right.

    Returns
    -------
    Tensor of int64, shape (batch, length)
        The mask.
    """
    real = tokens != pad
    real[:, 0] = True
    return real.flip(1).cummax(1).values.flip(1).long()


class TextModel(nn.Module):
    """A Hugging Face model of token ids alone, which returns its logits.

    Parameters
    ----------
    network : PreTrainedModel
        A sequence classifier or a causal language model.
    pad : int
        Token that fills rows up on the right.
    """

    def __init__(self, network: nn.Module, pad: int) -> None:
        super().__init__()
        self.network, self.pad = network, pad

    def forward(self, tokens: Tensor) -> Tensor:
        """Return logits.

        Parameters
        ----------
        tokens : Tensor of int64, shape (batch, length)
            Token ids, padded on the right.

        Returns
        -------
        Tensor, shape (batch, classes) or (batch, length, vocabulary)
            Scores of the classes, or of the token after each.
        """
        logits: Tensor = self.network(input_ids=tokens, attention_mask=attention_mask(tokens, self.pad)).logits
        return logits


class EncoderClassifier(nn.Module):
    """A Hugging Face encoder, the mean of its last hidden states over a text, and a linear head that starts at zero.

    Parameters
    ----------
    encoder : PreTrainedModel
        It returns ``last_hidden_state``.
    pad : int
        Token that fills rows up on the right.
    classes : int
        Number of classes, at least 2.
    """

    def __init__(self, encoder: nn.Module, pad: int, classes: int) -> None:
        super().__init__()
        self.encoder, self.pad = encoder, pad
        if hasattr(encoder, "pooler"):
            encoder.register_module("pooler", None)  # its outputs, and often its weights, are nobody's
        configuration: Any = encoder.config
        like = next(encoder.parameters())
        self.head: nn.Module = nn.utils.skip_init(nn.Linear, configuration.hidden_size, classes)
        for value in self.head.parameters():
            nn.init.zeros_(value)
        self.head.to(like)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return logits.

        Parameters
        ----------
        tokens : Tensor of int64, shape (batch, length)
            Token ids, padded on the right.

        Returns
        -------
        Tensor, shape (batch, classes)
            Scores.
        """
        attended = attention_mask(tokens, self.pad)
        hidden = self.encoder(input_ids=tokens, attention_mask=attended).last_hidden_state
        weights = attended.unsqueeze(-1).to(hidden.dtype)
        logits: Tensor = self.head((hidden * weights).sum(1) / weights.sum(1))
        return logits


def text_classifier(
    folder: str | Path, classes: int | None = None, *, dtype: torch.dtype = torch.float32
) -> TextModel | EncoderClassifier:
    """Read a text classifier from a folder, or an encoder and put a new head on it.

    Parameters
    ----------
    folder : str or Path
        What ``save_pretrained`` wrote, with the tokenizer.
    classes : int, optional
        Number of classes of a new linear head, which starts at zero; by default the folder's own head is used.
    dtype : torch.dtype
        Type of the weights.

    Returns
    -------
    TextModel or EncoderClassifier
        A module of token ids, in evaluation mode.

    Raises
    ------
    ImportError
        If transformers is not installed.
    ValueError
        If the folder holds no such model, or lacks its weights, or there are fewer than two classes.
    """
    if classes is not None and classes < 2:
        raise ValueError(f"classes must be at least 2, got {classes}. Give a binary classifier two columns.")
    kind = "AutoModelForSequenceClassification" if classes is None else "AutoModel"
    tokenizer, network = load_folder(kind, folder, dtype=dtype)
    if classes is not None:
        return EncoderClassifier(network, tokenizer.pad_token_id, classes).eval()
    network.config.pad_token_id = tokenizer.pad_token_id  # GPT-2 and its like look for the last token by it
    return TextModel(network, tokenizer.pad_token_id).eval()


def causal_language_model(folder: str | Path, *, dtype: torch.dtype = torch.float32) -> TextModel:
    """Read a causal language model from a folder.

    Parameters
    ----------
    folder : str or Path
        What ``save_pretrained`` wrote, with the tokenizer.
    dtype : torch.dtype
        Type of the weights.

    Returns
    -------
    TextModel
        A module of token ids, in evaluation mode.

    Raises
    ------
    ImportError
        If transformers is not installed.
    ValueError
        If the folder holds no such model, or lacks its weights.
    """
    tokenizer, network = load_folder("AutoModelForCausalLM", folder, dtype=dtype)
    return TextModel(network, tokenizer.pad_token_id).eval()


def tokenise(
    folder: str | Path, texts: Sequence[str], labels: Sequence[int], *, longest: int, name: str = "texts"
) -> TensorData:
    """Turn labelled texts into data for a model from the same folder.

    Parameters
    ----------
    folder : str or Path
        What ``save_pretrained`` wrote; its tokenizer is used.
    texts : sequence of str, length n
        Texts.
    labels : sequence of int, length n
        Class indices.
    longest : int
        Most tokens of a text, those that the tokenizer adds included; what goes beyond is cut off.
    name : str
        What a reader would call the data.

    Returns
    -------
    TensorData
        Token ids of shape (n, length), padded on the right, and the labels. Its notes say which tokenizer it was and
        what was cut.

    Raises
    ------
    ImportError
        If transformers is not installed.
    ValueError
        If there is no model in the folder.
    DataError
        If there are no texts, the numbers differ, or the length is out of range.
    """
    tokenizer = load_tokenizer(folder)
    if not texts or len(texts) != len(labels):
        raise DataError(f"texts must be as many as labels, got {len(texts)} and {len(labels)}. Check the source.")
    added = tokenizer.num_special_tokens_to_add()
    if not added < longest <= tokenizer.model_max_length:
        raise DataError(
            f"longest must be above the {added} tokens that the tokenizer adds and at most the model's "
            f"{tokenizer.model_max_length}, got {longest}. Take 64."
        )
    rows = tokenizer(list(texts), truncation=True, max_length=longest)["input_ids"]
    padded = torch.full((len(rows), max(map(len, rows))), tokenizer.pad_token_id)
    for row, ids in zip(padded, rows, strict=True):
        row[: len(ids)] = torch.tensor(ids)
    note = (
        f"Texts became tokens of the vocabulary with SHA-256 {vocabulary_sha256(tokenizer)}; they were cut off at "
        f"{longest} tokens, which {sum(len(ids) == longest for ids in rows)} of {len(rows)} reach."
    )
    return TensorData(padded, torch.tensor(list(labels)), name, notes=(note,))
