"""Tiny models of real architectures, written to a folder and read again."""

import sys

import pytest
import torch
from torch import nn
from torch.func import functional_call

from genbounds.models.data import load_data
from genbounds.models.examples import DataError
from genbounds.models.guards import check_deterministic, check_examples_do_not_mix
from genbounds.models.passes import count_errors


def test_the_extra_is_named(monkeypatch, tmp_path):
    from genbounds.models.hugging_face import text_classifier

    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ImportError, match=r"pip install 'genbounds\[transformers\]'"):
        text_classifier(tmp_path)


transformers = pytest.importorskip("transformers")

from genbounds.compression import LoRA, linear_weights  # noqa: E402
from genbounds.models.hugging_face import (  # noqa: E402
    attention_mask,
    causal_language_model,
    folder_sha256,
    load_folder,
    text_classifier,
    tokenise,
    vocabulary_sha256,
)

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
WORDS = [*SPECIAL, "the", "a", "cat", "dog", "sat", "ran", "on", "under", "mat", "rug", "quickly", "slowly"]
TEXTS = ["the cat sat on the mat", "a dog ran", "the zebra sat under a rug slowly and quickly", "", "cat"]
SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}


def tokenizer(**special):
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    inner = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    if "cls_token" in special:
        pairs = [("[CLS]", 2), ("[SEP]", 3)]
        inner.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=pairs)
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=inner, unk_token="[UNK]", model_max_length=32, **special
    )


def save(folder, model, **special):
    with torch.random.fork_rng():
        torch.manual_seed(1)
        built = model()
        for value in built.parameters():
            nn.init.normal_(value, std=0.3)
    built.save_pretrained(folder)
    tokenizer(**special).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    configuration = transformers.BertConfig(vocab_size=len(WORDS), max_position_embeddings=32, num_labels=3, **SIZES)
    return save(
        tmp_path_factory.mktemp("bert"),
        lambda: transformers.BertForSequenceClassification(configuration),
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
    )


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory):
    configuration = transformers.GPT2Config(
        vocab_size=len(WORDS), n_positions=32, n_embd=16, n_layer=2, n_head=2, bos_token_id=3, eos_token_id=3
    )
    return save(tmp_path_factory.mktemp("gpt2"), lambda: transformers.GPT2LMHeadModel(configuration), eos_token="[SEP]")


@pytest.fixture(scope="module")
def data(bert):
    return tokenise(bert, TEXTS, [0, 1, 2, 0, 1], longest=8, name="sentences")


def test_texts_become_tokens(data):
    assert data.inputs.dtype == torch.int64
    assert data.inputs.tolist() == [
        [2, 4, 6, 8, 10, 4, 12, 3],
        [2, 5, 7, 9, 3, 0, 0, 0],
        [2, 4, 1, 8, 11, 5, 13, 3],
        [2, 3, 0, 0, 0, 0, 0, 0],
        [2, 6, 3, 0, 0, 0, 0, 0],
    ]
    assert data.targets.tolist() == [0, 1, 2, 0, 1]
    (note,) = data.notes
    assert "cut off at 8 tokens, which 2 of 5 reach" in note
    assert data.name == "sentences"
    assert load_data(data) is data


def test_the_note_names_the_vocabulary(data, bert):
    own, _ = load_folder("AutoModel", bert)
    fingerprint = vocabulary_sha256(own)
    assert fingerprint in data.notes[0]
    own.add_tokens(["zebra"])
    assert vocabulary_sha256(own) != fingerprint


def test_attention_ends_at_the_last_token_that_is_no_padding():
    tokens = torch.tensor([[5, 6, 0, 0], [5, 0, 6, 0], [0, 0, 0, 0], [1, 2, 3, 4]])
    assert attention_mask(tokens, 0).tolist() == [[1, 1, 0, 0], [1, 1, 1, 0], [1, 0, 0, 0], [1, 1, 1, 1]]


@pytest.mark.parametrize("classes", [None, 3])
def test_padding_changes_nothing(bert, data, classes):
    model = text_classifier(bert, classes)
    if classes:
        nn.init.normal_(model.head.weight, generator=torch.Generator().manual_seed(0))
    logits = model(data.inputs)
    assert logits.shape == (5, 3)
    for row, tokens in zip(logits, data.inputs, strict=True):
        alone = tokens[tokens != 0][None]
        torch.testing.assert_close(model(alone)[0], row, rtol=1e-5, atol=1e-5)
    check_deterministic(model, data.inputs)
    check_examples_do_not_mix(model, data.inputs)


def test_a_classifier_is_the_folders_own(bert, data):
    expected = transformers.AutoModelForSequenceClassification.from_pretrained(bert).eval()
    model = text_classifier(bert, dtype=torch.float64)
    mask = (data.inputs != 0).long()
    torch.testing.assert_close(
        model(data.inputs).float(), expected(input_ids=data.inputs, attention_mask=mask).logits, rtol=1e-4, atol=1e-5
    )
    assert not model.training
    assert next(model.parameters()).dtype == torch.float64


def test_a_new_head_is_the_mean_over_the_text(bert, data):
    model = text_classifier(bert, 4)
    assert torch.equal(model(data.inputs), torch.zeros(5, 4))  # it starts at zero
    nn.init.normal_(model.head.weight, generator=torch.Generator().manual_seed(0))
    hidden = transformers.AutoModel.from_pretrained(bert).eval()(input_ids=data.inputs[:1]).last_hidden_state[0]
    torch.testing.assert_close(model(data.inputs)[0], model.head.weight @ hidden.mean(0), rtol=1e-5, atol=1e-5)
    assert not any("pooler" in name for name, _ in model.named_parameters())


def test_a_new_head_leaves_the_random_generator_alone(bert):
    before = torch.random.get_rng_state()
    text_classifier(bert, 4)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_it_fits_where_a_classifier_of_images_does(bert, data):
    model = text_classifier(bert)
    wrong = int((model(data.inputs).argmax(1) != data.targets).sum())
    assert count_errors(model, data, torch.arange(5).numpy()) == wrong


def test_adapters_move_it(bert, data):
    model = text_classifier(bert, 3)
    start = linear_weights(model, "encoder.encoder.layer.1.attention.self.*", "head")
    assert list(start)[-1] == "head.weight"
    adapter = LoRA(start, 2)
    assert torch.equal(functional_call(model, adapter.weights(adapter.initial), (data.inputs,)), model(data.inputs))
    z = torch.full((adapter.dimension,), 0.3, requires_grad=True)
    functional_call(model, adapter.weights(z), (data.inputs,)).square().sum().backward()
    assert (z.grad != 0).float().mean() > 0.9


def test_a_causal_language_model(gpt2):
    """Logits of each next token; the linear layers of GPT-2 are found, the tied embedding is refused."""
    model = causal_language_model(gpt2)
    tokens = torch.tensor([[4, 6, 8, 10], [4, 6, 3, 3]])
    logits = model(tokens)
    assert logits.shape == (2, 4, len(WORDS))
    torch.testing.assert_close(logits[0, :2], logits[1, :2])  # what comes later does not matter
    start = linear_weights(model, "*.h.1.mlp.*")
    assert [value.shape for value in start.values()] == [(16, 64), (64, 16)]
    adapter = LoRA(start, 2)
    moved = functional_call(model, adapter.weights(torch.ones(adapter.dimension)), (tokens,))
    assert not torch.allclose(moved, logits)
    with pytest.raises(ValueError, match=r"lm_head.*wte.weight"):
        linear_weights(model, "*lm_head")


def test_gpt2_pads_with_its_end_token(gpt2):
    data = tokenise(gpt2, ["the cat sat", "a"], [0, 1], longest=8)
    assert data.inputs.tolist() == [[4, 6, 8], [5, 3, 3]]


def test_a_folder_without_the_head_is_refused(gpt2, bert):
    with pytest.raises(ValueError, match=r"must hold all weights of GPT2ForSequenceClassification, got none for score"):
        text_classifier(gpt2)
    with pytest.raises(ValueError, match=r"must hold all weights of Bert"):
        load_folder("AutoModelForMaskedLM", bert)


@pytest.mark.parametrize("call", [text_classifier, causal_language_model, folder_sha256])
def test_no_folder_no_network(call, tmp_path):
    with pytest.raises(
        ValueError, match=r"got 'bert-base-uncased' without config.json. Models are read from this machine"
    ):
        call("bert-base-uncased")
    with pytest.raises(ValueError, match=r"without config.json"):
        call(tmp_path)


def test_a_folder_has_a_fingerprint(bert, tmp_path):
    first = folder_sha256(bert)
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in bert.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    assert folder_sha256(copy) == first
    (copy / "config.json").write_text((bert / "config.json").read_text() + " ")
    assert folder_sha256(copy) != first


@pytest.mark.parametrize(
    ("texts", "labels", "longest", "message"),
    [
        ([], [], 8, "texts must be as many as labels, got 0 and 0"),
        (["a"], [0, 1], 8, "texts must be as many as labels, got 1 and 2"),
        (["a"], [0], 2, "longest must be above the 2 tokens that the tokenizer adds"),
        (["a"], [0], 33, "at most the model's 32, got 33"),
        (["a"], [-1], 8, "targets of texts must be class indices"),
    ],
)
def test_bad_texts_are_refused(bert, texts, labels, longest, message):
    with pytest.raises(DataError, match=message):
        tokenise(bert, texts, labels, longest=longest)


def test_one_class_is_refused(bert):
    with pytest.raises(ValueError, match="classes must be at least 2, got 1"):
        text_classifier(bert, 1)


def test_a_tokenizer_that_cannot_pad_is_refused(bert, tmp_path):
    (tmp_path / "config.json").write_bytes((bert / "config.json").read_bytes())
    tokenizer().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="must have a padding or an end token, got neither"):
        tokenise(tmp_path, ["a"], [0], longest=8)
