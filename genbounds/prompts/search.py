"""Greedy search for prompts, scored by the bound itself: it may look at the bound's sample as much as it likes."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from genbounds.prompts.classifier import right
from genbounds.prompts.encoder import TextEncoder
from genbounds.prompts.form import PromptForm
from genbounds.prompts.language_model import LanguageModelPrior

__all__ = ["Found", "greedy_search", "telling_tokens"]

#: Numbers in the largest temporary tensor.
_BLOCK = 2**24


@dataclass(frozen=True)
class Found:
    """Prompts that a search found.

    Attributes
    ----------
    prompts : tuple of tuple of int
        Tokens of each prompt.
    errors : int
        Errors on the sample, as the search saw them.
    code_length : float
        Nats of all prompts together, as the search saw them.
    value : float
        The bound for these.
    """

    prompts: tuple[tuple[int, ...], ...]
    errors: int
    code_length: float
    value: float


@dataclass(frozen=True)
class _Growing:
    """A prefix of a prompt, and what it would be with one token more."""

    tokens: tuple[int, ...]
    cost: float
    choices: NDArray[np.int64]
    costs: NDArray[np.float64]
    embeddings: Tensor  # (choices, classes of this prompt, d)


def greedy_search(
    prior: LanguageModelPrior,
    encoder: TextEncoder,
    form: PromptForm,
    features: Tensor,
    targets: Tensor,
    bound: Callable[[ArrayLike, ArrayLike], Any],
    *,
    candidates: int = 256,
    telling: Sequence[Sequence[int]] | None = None,
    patience: int = 2,
    watch: Callable[[Found], None] | None = None,
) -> Found:
    """Grow prompts token by token: at each step the one token more, after any prefix, that makes the bound smallest.

    An Occam bound holds for every prompt at once. Neither the number of prompts tried nor what they were tried on
    has to be paid for: only the code length of those that are kept.

    Parameters
    ----------
    prior : LanguageModelPrior
        What tokens cost.
    encoder : TextEncoder
        Embeds the texts of the classes.
    form : PromptForm
        One prompt, or one for each class.
    features : Tensor, shape (n, d)
        Unit vectors of the bound's sample.
    targets : Tensor of int64, shape (n,)
        Its classes.
    bound : callable
        ``bound(errors, code_length)`` over arrays.
    candidates : int
        Tokens to try after each prompt, those that the prior finds likeliest; at least 1.
    telling : sequence of sequence of int, optional
        For each prompt further tokens to try, such as `telling_tokens` of the sample.
    patience : int
        Steps in a row that may fail to lower the bound, in the hope that a later token makes up for them.
    watch : callable, optional
        Called with each new best.

    Returns
    -------
    Found
        The best prompts on the way.

    Raises
    ------
    ValueError
        If there are no candidates.
    """
    if candidates < 1:
        raise ValueError(f"candidates must be at least 1, got {candidates}. Try 256.")
    contexts = [prior.encode(text) for text in form.contexts]

    def grow(number: int, tokens: tuple[int, ...], cost: float) -> _Growing:
        """Embed what a prompt would be with one token more; one of the greatest length has no choices."""
        if len(tokens) == prior.longest:
            return _Growing(tokens, cost, np.empty(0, np.int64), np.empty(0), torch.empty(0))
        costs = prior.costs(tokens, contexts[number])
        likely = np.argsort(costs, kind="stable")[:candidates]
        choices = np.union1d(likely, np.array(telling[number] if telling else [], dtype=np.int64))
        choices = choices[np.isfinite(costs[choices])]
        prompts = [prior.decode([*tokens, int(token)]) for token in choices]
        texts = [form.text(prompt, member) for prompt in prompts for member in form.classes[number]]
        embeddings = encoder.embed(texts).reshape(len(choices), len(form.classes[number]), -1)
        return _Growing(tokens, cost, choices, costs[choices], embeddings)

    # For each prompt what could follow each of its prefixes, the empty one first: a step may also cut it back.
    grown = [[grow(number, (), prior.code_length(()))] for number in range(len(contexts))]
    current = encoder.embed(form.texts([prior.decode(())] * len(grown)))
    errors = int(_errors(features, targets, current, list(range(len(current))), current[None])[0])
    best, waited = None, 0
    while True:
        length = sum(prefixes[-1].cost for prefixes in grown)
        found = Found(tuple(prefixes[-1].tokens for prefixes in grown), errors, length, float(bound(errors, length)))
        if best is None or found.value < best.value:
            best, waited = found, 0
            if watch is not None:
                watch(best)
        elif waited == patience:
            return best
        else:
            waited += 1
        steps = []
        for number, prefixes in enumerate(grown):
            for kept, prefix in enumerate(prefixes):
                if not len(prefix.choices):
                    continue
                counts = _errors(features, targets, current, form.classes[number], prefix.embeddings)
                values = np.asarray(bound(counts, length - prefixes[-1].cost + prefix.cost + prefix.costs))
                # Where all bounds are vacuous they are alike: fewer errors first, then the shorter code.
                place = np.lexsort((prefix.costs, counts, values))[0]
                # What is no improvement must at least be new: going back and forth would only use up the patience.
                if prefix is prefixes[-1] or values[place] < best.value:
                    steps.append((float(values[place]), int(counts[place]), number, kept, int(place)))
        if not steps:
            return best
        _, errors, number, kept, place = min(steps)
        prefix = grown[number][kept]
        current[form.classes[number]] = prefix.embeddings[place]
        tokens = (*prefix.tokens, int(prefix.choices[place]))
        grown[number][kept + 1 :] = [grow(number, tokens, prefix.cost + float(prefix.costs[place]))]


def _errors(
    features: Tensor, targets: Tensor, current: Tensor, members: list[int], embeddings: Tensor
) -> NDArray[np.int64]:
    """Count the errors after each of many replacements, (replacements, members, d), of the vectors of some classes."""
    scores = features @ current.T
    scores[:, members] = -torch.inf
    own = scores.gather(1, targets[:, None])
    rivals = scores.scatter(1, targets[:, None], -torch.inf).amax(1, keepdim=True)
    is_own = (targets[:, None] == torch.tensor(members))[:, None]
    wrong = []
    block = max(1, _BLOCK // (len(features) * len(members)))
    for part in embeddings.split(block):
        new = (features @ part.flatten(0, 1).T).unflatten(1, part.shape[:2])
        new_own = torch.maximum(own, new.masked_fill(~is_own, -torch.inf).amax(2))
        new_rivals = torch.maximum(rivals, new.masked_fill(is_own, -torch.inf).amax(2))
        wrong.append((~right(new_rivals, new_own)).sum(0))
    return torch.cat(wrong).numpy()


def telling_tokens(texts: Sequence[Sequence[int]], targets: Sequence[int], classes: int, most: int) -> list[list[int]]:
    """Find the tokens that tell each class from the others in a sample.

    Parameters
    ----------
    texts : sequence of sequence of int
        Tokens of each text.
    targets : sequence of int
        Its class.
    classes : int
        How many there are.
    most : int
        Tokens to return for each class, at most.

    Returns
    -------
    list of list of int
        For each class tokens that are more frequent in its texts, the most telling first: by the number of its texts
        that have them times the logarithm of how much more frequent they are.

    Examples
    --------
    >>> telling_tokens([[7, 1], [7, 2], [8, 1], [8, 2]], [0, 0, 1, 1], 2, 2)
    [[7], [8]]
    """
    sizes = np.bincount(targets, minlength=classes)
    having = [Counter[int]() for _ in range(classes)]
    for tokens, target in zip(texts, targets, strict=True):
        having[target].update(set(tokens))
    everywhere = sum(having, Counter[int]())
    found = []
    for number, counts in enumerate(having):
        others = len(targets) - sizes[number]

        def weight(token: int, counts: Counter[int] = counts, number: int = number, others: int = others) -> float:
            elsewhere = (everywhere[token] - counts[token] + 1) / (others + 1)
            return float(counts[token] * np.log(counts[token] / sizes[number] / elsewhere))

        telling = {token: gain for token in counts if (gain := weight(token)) > 0}
        found.append(sorted(telling, key=lambda token: (-telling[token], token))[:most])
    return found
