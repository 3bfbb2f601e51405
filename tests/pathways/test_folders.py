"""Tiny mixtures of experts of real classes: in folders, in a training's folder, in a cache made by hand."""

import gc
import sys
import weakref

import pytest
import torch

transformers = pytest.importorskip("transformers")

from genbounds.models.hugging_face import load_folder  # noqa: E402
from genbounds.pathways import capture_routing  # noqa: E402
from genbounds.pathways.capture.folders import (  # noqa: E402
    model_folders,
    moments_of_folders,
    read_texts,
    text_data,
)

WORDS = ["[PAD]", "[UNK]", "[END]", "the", "a", "cat", "dog", "sat", "ran", "on", "mat"]
SIZES = {
    "vocab_size": len(WORDS),
    "hidden_size": 16,
    "intermediate_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "num_experts_per_tok": 2,
    "pad_token_id": 0,
    "eos_token_id": 2,
}
REPOSITORY = "someone/tiny-moe"
STEPS = ("step10000-tokens41B", "step5000-tokens20B", "step100000-tokens419B")


def tokenizer(words=WORDS, **special):
    from tokenizers import Tokenizer, models, pre_tokenizers

    inner = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    special = special or {"pad_token": "[PAD]"}
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=inner, unk_token="[UNK]", eos_token="[END]", model_max_length=32, **special
    )


def save(folder, seed=0, family="Olmoe", **special):
    experts = {"num_local_experts" if family == "Mixtral" else "num_experts": 4}
    configuration = getattr(transformers, f"{family}Config")(**SIZES, **experts)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        getattr(transformers, f"{family}ForCausalLM")(configuration).save_pretrained(folder)
    tokenizer(**special).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def training(tmp_path_factory):
    """What a Trainer leaves: checkpoints, of which the last is called something else, and its logs."""
    folder = tmp_path_factory.mktemp("training")
    for seed, name in enumerate(("checkpoint-1000", "checkpoint-500")):
        save(folder / name, seed)
    (folder / "runs").mkdir()
    return folder


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A cache of Hugging Face, as its documentation lays it out."""
    folder = tmp_path_factory.mktemp("cache")
    home = folder / f"models--{REPOSITORY.replace('/', '--')}"
    (home / "refs").mkdir(parents=True)
    for seed, revision in enumerate((*STEPS, "main")):
        commit = f"{seed + 1:040x}"
        save(home / "snapshots" / commit, seed, "Mixtral")
        (home / "refs" / revision).write_text(commit, encoding="utf-8")
    return folder


def test_checkpoints_of_a_training_in_order_of_their_steps(training):
    found = model_folders([training])
    assert found == [(name, training / name) for name in ("checkpoint-500", "checkpoint-1000")]
    moments = [(moment.name, moment.epoch, moment.step) for moment in moments_of_folders(found)]
    assert moments == [("checkpoint-500", None, 500), ("checkpoint-1000", None, 1000)]


def test_folders_are_taken_in_the_order_given(training):
    names = ["checkpoint-1000", "checkpoint-500"]
    assert [name for name, _ in model_folders([training / name for name in names])] == names


def test_revisions_come_from_the_cache_of_this_machine(cache, monkeypatch):
    import socket

    def refuse(*_, **__):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    found = model_folders([f"{REPOSITORY}@{step}" for step in STEPS] + [REPOSITORY], cache=cache)
    assert [name for name, _ in found] == [*STEPS, "tiny-moe"]
    assert [int(folder.name, 16) for _, folder in found] == [1, 2, 3, 4]
    moments = [(moment.step, moment.network) for moment in moments_of_folders(found[:3])]
    assert [step for step, _ in moments] == [10_000, 5_000, 100_000]
    assert {type(network).__name__ for _, network in moments} == {"MixtralForCausalLM"}


def test_what_was_not_downloaded_is_told_how(cache):
    with pytest.raises(FileNotFoundError, match=f"hf download {REPOSITORY} --revision step1-tokens0B"):
        model_folders([f"{REPOSITORY}@step1-tokens0B"], cache=cache)
    with pytest.raises(FileNotFoundError, match=r"hf download someone/else$"):
        model_folders(["someone/else"], cache=cache)
    with pytest.raises(FileNotFoundError, match="not the name of a repository"):
        model_folders(["no/such/folder"], cache=cache)


def test_weights_are_those_of_each_folder_and_one_is_in_memory_at_a_time(training):
    folders = model_folders([training])
    weights, before = [], None
    for moment in moments_of_folders(folders):
        assert before is None or before() is None
        assert all(not value.is_meta for value in moment.network.parameters())
        weights.append(moment.network.lm_head.weight.detach().clone())
        before = weakref.ref(moment.network.lm_head.weight.untyped_storage())
        held = moment  # as a caller's loop does  # noqa: F841
        gc.collect()
    for weight, (_, folder) in zip(weights, folders, strict=True):
        _, own = load_folder("AutoModelForCausalLM", folder)
        assert torch.equal(weight, own.lm_head.weight)
    assert not torch.equal(*weights)


def test_dtype(training):
    (moment,) = moments_of_folders(model_folders([training])[:1], dtype=torch.bfloat16)
    assert {value.dtype for value in moment.network.parameters()} == {torch.bfloat16}


def test_the_trainer_knows_the_step(tmp_path):
    save(tmp_path / "best")
    (tmp_path / "best" / "trainer_state.json").write_text('{"global_step": 70, "epoch": 1.4}', encoding="utf-8")
    (moment,) = moments_of_folders(model_folders([tmp_path / "best"]))
    assert (moment.name, moment.epoch, moment.step) == ("best", None, 70)


def test_another_vocabulary_is_refused(training, tmp_path):
    save(tmp_path / "other", words=[*WORDS[:-2], "mat", "on"])
    folders = model_folders([training / "checkpoint-500", tmp_path / "other"])
    with pytest.raises(ValueError, match="one vocabulary, got another one in 'other' than in 'checkpoint-500'"):
        list(moments_of_folders(folders))


def test_folders_without_models(tmp_path):
    with pytest.raises(ValueError, match=r"hold such, got .* without config\.json"):
        model_folders([tmp_path])
    with pytest.raises(ValueError, match="at least one, got none"):
        model_folders([])


def test_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ImportError, match=r"pip install 'genbounds\[transformers\]'"):
        model_folders([REPOSITORY])


def test_texts_and_their_columns(tmp_path):
    plain, table, tabbed, lines = (tmp_path / f"texts.{ending}" for ending in ("txt", "csv", "tsv", "jsonl"))
    plain.write_text("the cat sat\n\n  a dog ran \n", encoding="utf-8")
    table.write_text('domain,text\npets,"the cat, sat"\nmaths,"a\nb"\n', encoding="utf-8")
    tabbed.write_text("text\tdomain\nthe cat\tpets\n", encoding="utf-8")
    lines.write_text('{"text": "a", "label": 3}\n\n{"text": "b", "label": 4, "more": 1}\n', encoding="utf-8")
    assert (read_texts(plain).texts, read_texts(plain).columns) == (("the cat sat", "a dog ran"), {})
    assert read_texts(table).texts == ("the cat, sat", "a\nb")
    assert read_texts(table).columns == {"domain": ("pets", "maths")}
    assert read_texts(table, "domain").texts == ("pets", "maths")
    assert read_texts(tabbed).columns == {"domain": ("pets",)}
    assert (read_texts(lines).texts, read_texts(lines).columns) == (("a", "b"), {"label": ("3", "4")})


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("a.txt", "\n \n", "at least one, got none in a.txt"),
        ("a.csv", "words\nx\n", "under 'text' in every entry of a.csv, got None in entry 1, which has words"),
        ("a.csv", "text,domain\nx,1\n ,2\n", "got ' ' in entry 2"),
        ("a.jsonl", '{"text": "x"}\n{"text": 3}\n', "got 3 in entry 2"),
        ("a.jsonl", '{"text": "x"}\nword\n', "must be JSON objects, got 'word' as line 2"),
        ("a.jsonl", "[1]\n", "must be JSON objects"),
    ],
)
def test_files_that_are_no_texts(tmp_path, name, content, complaint):
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=complaint.replace(".", r"\.")):
        read_texts(tmp_path / name)


def test_texts_become_inputs(training):
    inputs = text_data(training / "checkpoint-500", ["the cat sat on the mat", "a zebra"], longest=5)
    assert inputs["input_ids"].tolist() == [[3, 5, 7, 9, 3], [4, 1, 0, 0, 0]]
    assert inputs["attention_mask"].tolist() == [[1, 1, 1, 1, 1], [1, 1, 0, 0, 0]]


def test_an_end_token_that_also_fills_up_counts_where_it_is_written(tmp_path):
    save(tmp_path / "end", pad_token="[END]")
    inputs = text_data(tmp_path / "end", ["a cat [END]", "a cat sat on"], longest=8)
    assert inputs["input_ids"].tolist() == [[4, 5, 2, 2], [4, 5, 7, 9]]
    assert inputs["attention_mask"].tolist() == [[1, 1, 1, 0], [1, 1, 1, 1]]


@pytest.mark.parametrize(
    ("texts", "longest", "complaint"),
    [([], 8, "at least one"), (["a"], 0, "longest must be"), (["a"], 33, "longest must be"), (["a", " "], 8, "' '")],
)
def test_texts_that_are_none(training, texts, longest, complaint):
    with pytest.raises(ValueError, match=complaint):
        text_data(training / "checkpoint-500", texts, longest=longest)


@pytest.mark.parametrize("family", ["Olmoe", "Mixtral"])
def test_padding_changes_nothing_in_what_is_captured(tmp_path, family):
    """A text alone is routed as the same text in a batch with longer ones."""
    folder = save(tmp_path / family, family=family)
    texts = ["the cat sat on the mat", "a dog", "a cat ran on"]
    moment = next(moments_of_folders([("one", folder)]))
    together = capture_routing(moment.network, text_data(folder, texts, longest=16), evaluate="next_token")
    assert together.lengths.tolist() == [6, 2, 4]
    for row, text in enumerate(texts):
        alone = capture_routing(moment.network, text_data(folder, [text], longest=16), evaluate="next_token")
        for one, two in zip(alone.layers, together.layers, strict=True):
            assert one.counts[0].tolist() == two.counts[row].tolist()
            torch.testing.assert_close(torch.tensor(one.mean_gates[0]), torch.tensor(two.mean_gates[row]))
        assert alone.values["loss"][0] == pytest.approx(together.values["loss"][row], rel=1e-5)
