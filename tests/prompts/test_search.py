"""Greedy search: what it counts, what it pays, and that it finds the best next token."""

import math
from functools import partial

import numpy as np
import pytest
import torch

from genbounds.pac_bayes import occam_binomial
from genbounds.prompts import PromptClassifier, PromptForm, greedy_search
from genbounds.prompts.code_lengths import length_cost, token_costs, total_cost
from genbounds.prompts.search import _errors, telling_tokens

WORDS = ("[START]", "sun", "fire", "red", "snow", "ice", "blue", "with", "and")


class Bigrams:
    """A language model for which the next word depends on the last one; it has what a LanguageModelPrior has."""

    longest = 3

    def __init__(self, seed=0):
        self.logits = np.random.default_rng(seed).normal(0, 1, (len(WORDS), len(WORDS)))
        self.allowed = np.arange(len(WORDS)) > 0

    def encode(self, text):
        return [WORDS.index(word) for word in text.split()]

    def decode(self, tokens):
        return " ".join(WORDS[token] for token in tokens)

    def costs(self, prefix, context=()):
        return token_costs(self.logits[[0, *context, *prefix][-1]], self.allowed)

    def code_length(self, tokens, context=()):
        costs = [self.costs(tokens[:place], context)[token] for place, token in enumerate(tokens)]
        return total_cost([length_cost(self.longest), *map(float, costs)])


class BagOfWords:
    """An encoder that adds up a direction for each word: warm words lie near one another, and so do cold ones."""

    def __init__(self, seed=0):
        self.vectors = np.random.default_rng(seed).normal(0, 0.4, (len(WORDS), 5))
        self.vectors[1:4, 0] += 1
        self.vectors[4:7, 1] += 1

    def embed(self, texts, *, batch=64, progress=False):
        rows = [self.vectors[[WORDS.index(word) for word in text.split()]].sum(0) for text in texts]
        return torch.nn.functional.normalize(torch.tensor(np.array(rows)))


def sentences(n, seed=0):
    """Two words of one kind and one of any, in any order."""
    random = np.random.default_rng(seed)
    targets = random.integers(2, size=n)
    texts = [
        " ".join(random.permutation([*random.choice((WORDS[1:4], WORDS[4:7])[kind], 2), random.choice(WORDS[1:])]))
        for kind in targets
    ]
    return texts, torch.tensor(targets)


@pytest.fixture
def prior():
    return Bigrams()


@pytest.fixture
def encoder():
    return BagOfWords()


@pytest.fixture
def sample(encoder):
    texts, targets = sentences(400)
    return encoder.embed(texts), targets


PER_CLASS = PromptForm(("with", "and"), "{name} {prompt}")
SHARED = PromptForm(("sun", "snow"), "with {prompt} {name}", shared=True)


def bound(n, delta=0.05):
    return partial(occam_binomial, n=n, delta=delta)


@pytest.mark.parametrize("form", [PER_CLASS, SHARED], ids=["per class", "shared"])
def test_counts_of_replaced_texts_are_those_of_their_classifiers(encoder, sample, form):
    features, targets = sample
    prompts = [["fire", "ice", "red blue"][place % 3] for place in range(len(form.classes))]
    current = PromptClassifier(encoder, form, prompts).embeddings
    for number, members in enumerate(form.classes):
        tried = ["sun", "snow", "blue ice", "red fire", "and"]
        new = [[encoder.embed([form.text(prompt, member)], batch=1)[0] for member in members] for prompt in tried]
        counted = _errors(features, targets, current.clone(), members, torch.stack([torch.stack(v) for v in new]))
        for prompt, errors in zip(tried, counted, strict=True):
            replaced = [*prompts[:number], prompt, *prompts[number + 1 :]]
            assert errors == PromptClassifier(encoder, form, replaced).errors(features, targets)


@pytest.mark.parametrize("form", [PER_CLASS, SHARED], ids=["per class", "shared"])
def test_what_it_reports_is_what_the_prompts_give(prior, encoder, sample, form):
    features, targets = sample
    watched = []
    found = greedy_search(prior, encoder, form, features, targets, bound(len(targets)), watch=watched.append)
    classifier = PromptClassifier(encoder, form, [prior.decode(tokens) for tokens in found.prompts])
    assert found.errors == classifier.errors(features, targets)
    contexts = [prior.encode(text) for text in form.contexts]
    lengths = [prior.code_length(*pair) for pair in zip(found.prompts, contexts, strict=True)]
    assert found.code_length == pytest.approx(math.fsum(lengths), rel=1e-12)
    assert found.value == occam_binomial(found.errors, found.code_length, len(targets), 0.05)
    assert watched[-1] == found
    assert watched[0].prompts == ((),) * len(form.classes)
    assert [each.value for each in watched] == sorted((each.value for each in watched), reverse=True)
    assert found.value < watched[0].value
    assert found == greedy_search(prior, encoder, form, features, targets, bound(len(targets)))


def test_the_first_token_is_the_best_of_all(prior, encoder, sample):
    features, targets = sample
    watched = []
    greedy_search(prior, encoder, PER_CLASS, features, targets, bound(400), watch=watched.append)
    contexts = [prior.encode(text) for text in PER_CLASS.contexts]
    values = []
    for number in (0, 1):
        for token in range(1, len(WORDS)):
            prompts = [(), ()]
            prompts[number] = (token,)
            classifier = PromptClassifier(encoder, PER_CLASS, [prior.decode(tokens) for tokens in prompts])
            length = sum(prior.code_length(*pair) for pair in zip(prompts, contexts, strict=True))
            values.append(float(occam_binomial(classifier.errors(features, targets), length, 400, 0.05)))
    assert watched[1].value == pytest.approx(min(values), abs=1e-9)


def test_a_dearer_code_gives_shorter_prompts(prior, encoder, sample):
    """Where a nat costs as much as fifty errors, and where the Occam bound sets the price."""
    features, targets = sample
    dear = greedy_search(
        prior, encoder, PER_CLASS, features, targets, lambda errors, length: errors + 50 * np.asarray(length)
    )
    cheap = greedy_search(prior, encoder, PER_CLASS, features, targets, bound(400))
    assert sum(map(len, dear.prompts)) < sum(map(len, cheap.prompts))
    assert dear.code_length < cheap.code_length
    assert cheap.errors < dear.errors


@pytest.mark.parametrize("seed", range(4))
def test_no_single_step_is_left_that_helps(seed):
    """One token more after any prefix of any prompt, the rest of it cut off: the search knows them all."""
    prior, encoder = Bigrams(seed), BagOfWords(seed)
    texts, targets = sentences(300, seed)
    features = encoder.embed(texts)
    found = greedy_search(prior, encoder, PER_CLASS, features, targets, bound(300))
    contexts = [prior.encode(text) for text in PER_CLASS.contexts]
    for number, tokens in enumerate(found.prompts):
        for kept in range(min(len(tokens) + 1, prior.longest)):
            for token in range(1, len(WORDS)):
                prompts = list(found.prompts)
                prompts[number] = (*tokens[:kept], token)
                errors = PromptClassifier(encoder, PER_CLASS, list(map(prior.decode, prompts))).errors(
                    features, targets
                )
                length = sum(prior.code_length(*pair) for pair in zip(prompts, contexts, strict=True))
                assert bound(300)(errors, length) >= found.value - 1e-9


def test_prompts_stop_at_the_greatest_length(prior, encoder, sample):
    """A bound that rewards every token still ends."""
    features, targets = sample
    found = greedy_search(
        prior, encoder, SHARED, features, targets, lambda errors, length: -np.asarray(length) - 0.0 * np.asarray(errors)
    )
    assert len(found.prompts[0]) == prior.longest


def test_tokens_from_the_sample_are_tried_too(prior, encoder, sample):
    features, targets = sample
    telling = [[1, 2, 3], [4, 5, 6]]
    alone = greedy_search(prior, encoder, PER_CLASS, features, targets, bound(400), candidates=1)
    told = greedy_search(prior, encoder, PER_CLASS, features, targets, bound(400), candidates=1, telling=telling)
    assert told.value < alone.value
    assert set(told.prompts[0]) & {1, 2, 3}


def test_special_tokens_are_never_taken(prior, encoder, sample):
    """Even if somebody proposes them: their cost is infinite, and no bound of an infinite code is computed."""
    found = greedy_search(prior, encoder, PER_CLASS, *sample, bound(400), candidates=1, telling=[[0], [0]])
    assert 0 not in {token for tokens in found.prompts for token in tokens}


def test_no_candidates(prior, encoder, sample):
    with pytest.raises(ValueError, match="candidates must be at least 1, got 0"):
        greedy_search(prior, encoder, PER_CLASS, *sample, bound(400), candidates=0)


def test_telling_tokens_are_more_frequent_in_their_class():
    texts = [[1, 2, 2], [1, 3], [1, 4], [4, 5]]
    assert telling_tokens(texts, [0, 0, 1, 1], 2, 9) == [[1, 2, 3], [4, 5]]
    assert telling_tokens(texts, [0, 0, 1, 1], 3, 1) == [[1], [4], []]
