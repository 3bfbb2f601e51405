"""A sentence encoder that never saw the task: texts in, unit vectors out."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from genbounds.models.hugging_face import folder_sha256, load_folder, vocabulary_sha256
from genbounds.models.progress import track
from genbounds.models.state import state_sha256

__all__ = ["TextEncoder"]


class TextEncoder:
    """The mean of a model's last hidden states over the tokens of a text, as a unit vector.

    Parameters
    ----------
    folder : str or Path
        An encoder such as MiniLM and its tokenizer in a Hugging Face folder on this machine.
    device : torch.device or str
        Where it runs.
    dtype : torch.dtype
        In what type.

    Raises
    ------
    ImportError
        If transformers is not installed.
    ValueError
        If the folder holds no model.
    """

    def __init__(
        self, folder: str | Path, *, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
    ) -> None:
        self._folder_sha256 = folder_sha256(folder)
        self._tokenizer, self._model = load_folder("AutoModel", folder, device, dtype)
        self._longest = min(self._tokenizer.model_max_length, self._model.config.max_position_embeddings)

    @torch.no_grad()
    def embed(self, texts: Sequence[str], *, batch: int = 64, progress: bool = False) -> Tensor:
        """Return one unit vector for each text.

        Parameters
        ----------
        texts : sequence of str
            Texts; what goes beyond the model's positions is cut off.
        batch : int
            Texts in one pass, of similar length each time. With 1 a vector is a function of its text alone; with more,
            padding changes its last digits.
        progress : bool
            Show a bar on a terminal.

        Returns
        -------
        Tensor of float32, shape (len(texts), d)
            On the CPU.
        """
        ids = [self._tokenizer.encode(text, truncation=True, max_length=self._longest) for text in texts]
        order = sorted(range(len(ids)), key=lambda number: len(ids[number]))
        vectors: list[Tensor] = [torch.empty(0)] * len(ids)
        blocks = range(0, len(order), batch)
        for start in track(blocks, "embed texts", total=len(blocks), progress=progress):
            chosen = order[start : start + batch]
            rows = self._tokenizer.pad({"input_ids": [ids[number] for number in chosen]}, return_tensors="pt")
            rows = rows.to(self._model.device)
            hidden = self._model(**rows).last_hidden_state
            mask = rows["attention_mask"][..., None].to(hidden.dtype)
            means = (hidden * mask).sum(1) / mask.sum(1)
            for number, vector in zip(chosen, normalize(means.float()).cpu(), strict=True):
                vectors[number] = vector
        return torch.stack(vectors)

    def describe(self) -> dict[str, Any]:
        """Return what the encoder is, as JSON values.

        Returns
        -------
        dict
            Fingerprints of folder, weights and vocabulary, architecture, type and device.
        """
        return {
            "name": type(self._model).__name__,
            "folder_sha256": self._folder_sha256,
            "weights_sha256": state_sha256(self._model.state_dict()),
            "vocabulary_sha256": vocabulary_sha256(self._tokenizer),
            "parameters": sum(weights.numel() for weights in self._model.parameters()),
            "dtype": str(self._model.dtype).removeprefix("torch."),
            "device": self._model.device.type,
        }
