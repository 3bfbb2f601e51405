"""Settings for the whole suite: hypothesis is deterministic, so that a red run can be repeated. One shared fixture."""

from hashlib import sha256

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "genbounds", deadline=None, derandomize=True, max_examples=60, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("genbounds")


@pytest.fixture(scope="session")
def random_problems():
    """500 random learners at work in finite worlds, on all samples and on all supersamples, always the same ones."""
    import numpy as np

    from genbounds.worlds import Learning, SupersampleLearning
    from genbounds.worlds.random_problems import LEARNERS, WORLD_KINDS, random_learner, random_world

    found = []
    for seed in range(500):
        generator = np.random.default_rng([seed, 20])
        n, kind = 1 + seed % 3, LEARNERS[seed % len(LEARNERS)]
        points = int(generator.integers(2, 6)) if n < 3 or seed % 50 == 2 else int(generator.integers(2, 5))
        world = random_world(generator, WORLD_KINDS[seed // len(LEARNERS) % len(WORLD_KINDS)], points)
        learner = random_learner(generator, kind, world, n)
        name = f"no. {seed}: {kind} on {world.name}, n={n}"
        found.append((Learning(world, learner, n, name), SupersampleLearning(world, learner, n, name=name)))
    return found


@pytest.fixture(scope="session")
def issue_certificate():
    """A function that issues certificates that verify, from numbers alone: for tests of what shows or reads them."""
    from genbounds.certificates import (
        Certificate,
        Comparison,
        Estimate,
        Ledger,
        LedgerEntry,
        Sample,
        Union,
        share,
        split,
        state,
    )
    from genbounds.theorems import Assumption, get

    def stated(theorem, name, inputs):
        declared = {Assumption.IID, Assumption.INDEPENDENT_SAMPLE, Assumption.IDEAL_RANDOMNESS}
        states = {item: "declared" if item in declared else "checked" for item in get(theorem).assumes}
        return state(theorem, name, inputs, assumptions=states)

    def gibbs(errors, draws, kl, n, delta):
        for_bound, for_draws = split(delta, [5, 2])
        limit = stated(
            "pac_bayes.monte_carlo_binomial",
            "gibbs-sample-risk",
            {"errors": errors, "draws": draws, "delta": for_draws},
        )
        inputs = {"risk": limit, "kl": kl, "n": n, "delta": share(for_bound, 41)}
        headline = stated("pac_bayes.seeger_xi", "risk", inputs)
        entries = (LedgerEntry("risk", for_bound, (Union("prior scale", 41),)), LedgerEntry(limit.id, for_draws))
        return {"claims": (limit, headline), "headline": "risk", "ledger": Ledger(delta, entries)}

    def issue(n=3000, errors=310, kl=21.5, held_out=33, test=(14, 1000), delta=0.035, epochs=10, notes=()):
        members = {"prior": range(n), "bound": range(n, 2 * n), "test": range(2 * n, 2 * n + test[1])}
        holdout = stated("pac_bayes.clopper_pearson", "holdout-risk", {"errors": held_out, "n": n, "delta": delta})
        spent = Ledger(delta, (LedgerEntry("holdout-risk", delta),))
        error, half = test[0] / test[1], 2 * (test[0] + 1) ** 0.5 / test[1]
        return Certificate(
            **gibbs(errors, 10 * n, kl, n, delta),
            sample=Sample.of(
                2 * n + test[1],
                {role: list(indices) for role, indices in members.items()},
                {role: sha256(role.encode()).hexdigest() for role in members},
            ),
            model={"name": "tests:network", "parameters": 4810, "classes": 10},
            prior={"kind": "learnt", "saw": ["prior"], "scale": {"value": 0.03, "chosen": "grid", "candidates": 41}},
            posterior={
                "family": "diagonal gaussian",
                "saw": ["prior", "bound"],
                "kl": kl,
                "training": {"epochs": epochs},
            },
            draws={"scheme": "one per example", "count": 10 * n, "epochs": 10, "seed": 7},
            comparisons=(
                Comparison("holdout", "The prior's network on the bound's sample.", (holdout,), holdout.id, spent),
                Comparison(
                    "posterior = prior",
                    "The same bound for Q = P.",
                    **gibbs(min(2 * errors, 10 * n), 10 * n, 0.0, n, delta),
                ),
            ),
            estimates=(
                Estimate(
                    "test error",
                    "Gibbs error on test data.",
                    error,
                    (max(0.0, error - half), error + half),
                    0.95,
                    test[1],
                ),
            ),
            notes=tuple(notes),
            versions={"genbounds": "0.1.0"},
        )

    return issue


#: Words of the tiny models that are made for tests of prompts.
WORDS = ("sun", "fire", "red", "snow", "ice", "blue", "with", "and")


@pytest.fixture(scope="session")
def save_tiny_model(tmp_path_factory):
    """A function that saves a tiny random Hugging Face model with a word tokenizer, and returns its folder."""
    transformers = pytest.importorskip("transformers")
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers

    def save(kind, words=WORDS, seed=0, positions=12):
        names = ("[UNK]", "[PAD]", "[START]", *words)
        inner = Tokenizer(models.WordLevel({name: number for number, name in enumerate(names)}, unk_token="[UNK]"))
        inner.pre_tokenizer = pre_tokenizers.Whitespace()
        tokenizer = transformers.PreTrainedTokenizerFast(
            tokenizer_object=inner, unk_token="[UNK]", pad_token="[PAD]", bos_token="[START]"
        )
        sizes = {"vocab_size": len(names), "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
        options = sizes | {"max_position_embeddings": positions, "initializer_range": 0.5}
        ids = {"bos_token_id": 2, "eos_token_id": None, "pad_token_id": 1}
        config, model = {
            "gpt2": (transformers.GPT2Config, transformers.GPT2LMHeadModel),
            "llama": (transformers.LlamaConfig, transformers.LlamaForCausalLM),
            "bert": (transformers.BertConfig, transformers.BertModel),
        }[kind]
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            made = model(config(**options, intermediate_size=32, **(ids if kind != "bert" else {})))
        folder = tmp_path_factory.mktemp(kind)
        tokenizer.save_pretrained(folder)
        made.save_pretrained(folder)
        return folder

    return save
