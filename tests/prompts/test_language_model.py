"""A language model as a prior: tiny random models, all of whose prompts can be listed."""

import itertools
import math
import sys

import numpy as np
import pytest
import torch

from genbounds.models.guards import ModelError
from genbounds.pac_bayes import occam_binomial
from genbounds.worlds import FiniteWorld, hypothesis_attack

pytest.importorskip("transformers")

from genbounds.prompts import LanguageModelPrior

UNKNOWN, PADDING, START = 0, 1, 2


def every_prompt(prior, longest):
    return [p for size in range(longest + 1) for p in itertools.product(prior.vocabulary.tolist(), repeat=size)]


@pytest.fixture(scope="module")
def priors(save_tiny_model):
    return {kind: LanguageModelPrior(save_tiny_model(kind), longest=3) for kind in ("gpt2", "llama")}


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
@pytest.mark.parametrize("context", [(), (4, 7)])
def test_all_probabilities_add_up_to_one(priors, kind, context):
    prior = priors[kind]
    following = {prefix: prior.costs(prefix, context) for prefix in every_prompt(prior, 2)}
    lengths = [
        math.log(4) + sum(following[prompt[:place]][token] for place, token in enumerate(prompt))
        for prompt in every_prompt(prior, 3)
    ]
    assert len(lengths) == 1 + 8 + 64 + 512
    assert 1 - 1e-12 <= math.fsum(np.exp(-np.array(lengths))) <= 1 + 1e-14
    for number in (0, 5, 40, 300, 584):  # and the code length is that sum, rounded up
        prompt = every_prompt(prior, 3)[number]
        assert lengths[number] <= prior.code_length(prompt, context) * (1 + 1e-15)
        assert prior.code_length(prompt, context) == pytest.approx(lengths[number], rel=1e-14)
    if context:
        assert prior.code_length((4,), context) != prior.code_length((4,))


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_probabilities_are_those_of_the_network(priors, kind):
    """Against a plain softmax over the network's own logits in one pass, special tokens taken out."""
    prior = priors[kind]
    prompt = [4, 9, 3]
    with torch.no_grad():
        logits = prior._model(torch.tensor([[START, *prompt]])).logits[0].double()
    logits[:, [UNKNOWN, PADDING, START]] = -torch.inf
    expected = -sum(logits.log_softmax(1)[place, token] for place, token in enumerate(prompt)) + math.log(4)
    assert prior.code_length(prompt) == pytest.approx(float(expected), rel=1e-5)


def test_a_longer_prompt_is_never_more_probable(priors):
    for prior in priors.values():
        for prompt in every_prompt(prior, 2)[:12]:
            assert math.log(4) <= prior.code_length(prompt)
            assert all(prior.code_length(prompt) <= prior.code_length((*prompt, token)) for token in (3, 10))


def test_special_tokens_are_no_prompts(priors):
    prior = priors["gpt2"]
    assert prior.vocabulary.tolist() == list(range(3, 11))
    for token in (UNKNOWN, PADDING, START):
        assert prior.code_length((token,)) == math.inf
        assert prior.code_length((4, token, 5)) == math.inf


def test_each_prefix_is_evaluated_by_itself(priors):
    """No batch, no padding, no cache: what the prior is must not depend on what else was asked."""
    prior, shapes = priors["llama"], []
    handle = prior._model.register_forward_pre_hook(
        lambda _, rows, named: shapes.append((tuple(rows[0].shape), named["use_cache"])), with_kwargs=True
    )
    try:
        first = prior.code_length((4, 5, 6), (7,))
    finally:
        handle.remove()
    assert shapes == [((1, 2), False), ((1, 3), False), ((1, 4), False)]
    prior.costs((9, 9), (3,))
    assert prior.code_length((4, 5, 6), (7,)) == first


def test_text_and_tokens(priors):
    prior = priors["gpt2"]
    assert prior.encode("red fire") == [5, 4]
    assert prior.decode((5, 4)) == "red fire"
    assert prior.decode(()) == ""


def test_provenance(priors, save_tiny_model):
    described = priors["gpt2"].describe()
    assert described["saw"] == []
    assert described["start"] == "[START]"
    assert (described["vocabulary"], described["longest"], described["dtype"]) == (8, 3, "float32")
    same = LanguageModelPrior(save_tiny_model("gpt2"), longest=3).describe()
    other = LanguageModelPrior(save_tiny_model("gpt2", seed=1), longest=3).describe()
    assert same["weights_sha256"] == described["weights_sha256"] != other["weights_sha256"]
    assert same["vocabulary_sha256"] == described["vocabulary_sha256"] == other["vocabulary_sha256"]
    assert other["folder_sha256"] != described["folder_sha256"]


def test_the_start_token_is_named(save_tiny_model):
    folder = save_tiny_model("gpt2")
    assert LanguageModelPrior(folder, longest=1, start="[PAD]").describe()["start"] == "[PAD]"
    with pytest.raises(ValueError, match="start must be a token of the model, got 'nothing'"):
        LanguageModelPrior(folder, longest=1, start="nothing")


def test_float64_evaluates_another_prior(save_tiny_model):
    folder = save_tiny_model("llama")
    single, double = (LanguageModelPrior(folder, longest=2, dtype=dtype) for dtype in (torch.float32, torch.float64))
    assert double.describe()["dtype"] == "float64"
    assert 0 < abs(single.code_length((4, 5)) - double.code_length((4, 5))) < 1e-4


def test_prompts_that_cannot_be(priors, save_tiny_model):
    prior = priors["gpt2"]
    with pytest.raises(ValueError, match="tokens must be at most longest = 3, got 4"):
        prior.code_length((3, 3, 3, 3))
    with pytest.raises(ValueError, match="tokens must be below 11, got 11"):
        prior.code_length((11,))
    with pytest.raises(ValueError, match="longest must be a whole number of at least 1"):
        LanguageModelPrior(save_tiny_model("gpt2"), longest=0)
    with pytest.raises(ValueError, match="must fit into the model's 12 positions, got 13 tokens"):
        prior.costs((3,), [3] * 11)


def test_a_model_that_answers_differently_is_refused(save_tiny_model, monkeypatch):
    import transformers

    monkeypatch.setattr(transformers.GPT2LMHeadModel, "eval", lambda model: model.train())
    with pytest.raises(ModelError, match="must give the same probabilities twice"):
        LanguageModelPrior(save_tiny_model("gpt2"), longest=1)


def test_a_folder_without_a_model(tmp_path):
    with pytest.raises(ValueError, match="folder must hold a Hugging Face model"):
        LanguageModelPrior(tmp_path, longest=1)


def test_without_transformers(save_tiny_model, monkeypatch):
    folder = save_tiny_model("gpt2")
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ImportError, match=r"pip install 'genbounds\[transformers\]'"):
        LanguageModelPrior(folder, longest=1)


def test_occam_over_all_prompts_in_an_exact_world(save_tiny_model):
    """Each prompt is a coin whose risk is just above its bound without errors: the bound has nothing to give away."""
    prior = LanguageModelPrior(save_tiny_model("llama", words=("hot", "cold", "wet")), longest=1)
    prompts = every_prompt(prior, 1)
    lengths = np.array([prior.code_length(prompt) for prompt in prompts])
    assert len(prompts) == 4
    n, delta = 6, 0.3
    patterns = np.array(list(itertools.product((0, 1), repeat=4)))

    def attacked(paid):
        risks = occam_binomial(0, paid, n, delta) + 1e-9
        probabilities = np.where(patterns, risks, 1 - risks).prod(axis=1)
        world = FiniteWorld(probabilities, patterns.T, name="a coin for each prompt")
        return hypothesis_attack(
            lambda risk, _, n, delta: occam_binomial(np.rint(risk * n), paid, n, delta), world, n, delta
        )

    found = attacked(lengths)
    assert found.survived
    assert found.failure == pytest.approx(1 - np.prod(1 - delta * np.exp(-lengths)), rel=1e-6)
    length_unpaid = lengths - math.log(2)
    likeliest = prior.costs(())[prior.vocabulary].min()
    first_token_free = lengths - [0.0, *prior.costs(())[prior.vocabulary]]
    renormalised_after_looking = lengths - [0.0, *[likeliest] * 3]  # over the candidate that was kept
    for unpaid in (length_unpaid, first_token_free, renormalised_after_looking, lengths / 2):
        assert not attacked(unpaid).survived
