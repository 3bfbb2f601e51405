"""A language model as a prior over prompts: a proper distribution, fixed before any sample of the task is seen."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from genbounds.models.guards import ModelError
from genbounds.models.hugging_face import folder_sha256, load_folder, vocabulary_sha256
from genbounds.models.state import state_sha256
from genbounds.prompts.code_lengths import length_cost, token_costs, total_cost

__all__ = ["LanguageModelPrior"]


class LanguageModelPrior:
    """P(prompt) = 1 / (longest + 1) times the product of the model's probabilities of each token after those before it.

    A prompt is a sequence of at most `longest` tokens, none of them special. The probabilities follow a start token
    and, if there is one, a context: tokens fixed without the sample. Over all prompts they add up to 1.

    The model defines the prior **as it is evaluated here**: in the given type, on this device, one prefix at a time
    and by itself, never in a batch and never from a cache of earlier prefixes, whose roundings would be another
    function. That is one fixed function of the prefix, so that rounding in the network is part of the prior and no
    error of it; what follows the network (softmax and sums) is computed in float64, and code lengths are rounded up.
    Another machine or version evaluates a prior that differs in the last digits.

    Parameters
    ----------
    folder : str or Path
        A causal language model and its tokenizer in a Hugging Face folder on this machine.
    longest : int
        Most tokens a prompt may have, at least 1; fixed before the sample is seen.
    start : str, optional
        Token before the prompt, such as ``<|endoftext|>``; by default the tokenizer's own.
    device : torch.device or str
        Where the model is evaluated.
    dtype : torch.dtype
        In what type. In float64 two machines agree to about ten digits.

    Attributes
    ----------
    vocabulary : ndarray of int64
        Numbers of the tokens that a prompt may contain.

    Raises
    ------
    ImportError
        If transformers is not installed.
    ValueError
        If the folder holds no model, the start token is none of the tokenizer's, or the model is too short.
    ModelError
        If the model does not answer the same twice.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        longest: int,
        start: str | None = None,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self._folder_sha256 = folder_sha256(folder)
        self._tokenizer, self._model = load_folder("AutoModelForCausalLM", folder, device, dtype)
        self.longest, self._length_cost = longest, length_cost(longest)
        self._start = self._number_of(start)
        self._positions = getattr(self._model.config, "max_position_embeddings", None)
        first = self._logits([])
        if not torch.equal(first, self._logits([])):
            raise ModelError(
                "model must give the same probabilities twice, got a difference. On a GPU, call "
                "torch.use_deterministic_algorithms(True)."
            )
        self._allowed = self._without_special(len(first))
        self.vocabulary = np.flatnonzero(self._allowed)

    def _number_of(self, start: str | None) -> int:
        tokenizer = self._tokenizer
        token = start or tokenizer.bos_token or tokenizer.eos_token
        number = tokenizer.get_vocab().get(token)
        if number is None:
            raise ValueError(
                f"start must be a token of the model, got {token!r}. Probabilities need something to follow: name the "
                "token that the model saw between documents."
            )
        return int(number)

    def _without_special(self, size: int) -> NDArray[np.bool_]:
        """Mark tokens that stand for text; logits beyond the tokenizer's tokens stand for nothing."""
        tokenizer, allowed = self._tokenizer, np.zeros(size, dtype=np.bool_)
        allowed[[number for number in tokenizer.get_vocab().values() if number < size]] = True
        special = {number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
        allowed[[number for number in special | set(tokenizer.all_special_ids) if number < size]] = False
        return allowed

    @torch.no_grad()
    def _logits(self, prefix: Sequence[int]) -> torch.Tensor:
        row = torch.tensor([[self._start, *prefix]], device=self._model.device)
        if self._positions is not None and row.shape[1] > self._positions:
            raise ValueError(
                f"prompts must fit into the model's {self._positions} positions, got {row.shape[1]} tokens with start "
                "and context. Lower longest."
            )
        logits: torch.Tensor = self._model(row, use_cache=False).logits[0, -1]
        return logits.cpu()

    def costs(self, prefix: Sequence[int], context: Sequence[int] = ()) -> NDArray[np.float64]:
        """Return what each token costs after a prefix.

        Parameters
        ----------
        prefix : sequence of int
            Tokens of the prompt so far.
        context : sequence of int
            Tokens before the prompt, fixed without the sample.

        Returns
        -------
        ndarray of float64, shape (size of the model's vocabulary,)
            -ln of the probability of each token in nats, rounded up; infinite for special tokens.
        """
        return token_costs(self._logits([*context, *prefix]).double().numpy(), self._allowed)

    def code_length(self, tokens: Sequence[int], context: Sequence[int] = ()) -> float:
        """Return -ln P(prompt), its length included.

        Parameters
        ----------
        tokens : sequence of int
            The prompt, possibly empty.
        context : sequence of int
            Tokens before the prompt, fixed without the sample.

        Returns
        -------
        float
            Nats, rounded up; infinite for a prompt with a special token.

        Raises
        ------
        ValueError
            If the prompt is longer than the longest, or contains no token of the model.
        """
        if len(tokens) > self.longest:
            raise ValueError(f"tokens must be at most longest = {self.longest}, got {len(tokens)}. Shorten the prompt.")
        outside = [token for token in tokens if not 0 <= token < len(self._allowed)]
        if outside:
            raise ValueError(
                f"tokens must be below {len(self._allowed)}, got {outside[0]}. Use the model's own numbers."
            )
        costs = (self.costs(tokens[:place], context)[token] for place, token in enumerate(tokens))
        return total_cost([self._length_cost, *map(float, costs)])

    def encode(self, text: str) -> list[int]:
        """Return the tokens of a text.

        Parameters
        ----------
        text : str
            Any text.

        Returns
        -------
        list of int
            Numbers of its tokens, without start and end.
        """
        return list(self._tokenizer.encode(text, add_special_tokens=False))

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of some tokens: a fixed function, which need not invert `encode`.

        Parameters
        ----------
        tokens : sequence of int
            Numbers of tokens.

        Returns
        -------
        str
            Their text.
        """
        return str(self._tokenizer.decode(list(tokens), clean_up_tokenization_spaces=False))

    def describe(self) -> dict[str, Any]:
        """Return where the prior comes from, as JSON values.

        Returns
        -------
        dict
            Fingerprints of folder, weights and vocabulary, architecture, type, device, start token, lengths, and how
            it is evaluated.
        """
        return {
            "kind": "language model",
            "saw": [],
            "architecture": type(self._model).__name__,
            "folder_sha256": self._folder_sha256,
            "weights_sha256": state_sha256(self._model.state_dict()),
            "vocabulary_sha256": vocabulary_sha256(self._tokenizer),
            "vocabulary": len(self.vocabulary),
            "start": self._tokenizer.convert_ids_to_tokens(self._start),
            "longest": self.longest,
            "dtype": str(self._model.dtype).removeprefix("torch."),
            "device": self._model.device.type,
            "evaluated": "one prefix at a time, unbatched, unpadded, without cache; softmax in float64",
        }
