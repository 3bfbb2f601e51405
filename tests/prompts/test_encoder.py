"""The sentence encoder: mean pooling, unit vectors, and batches that change next to nothing."""

import pytest
import torch

pytest.importorskip("transformers")

from genbounds.prompts import TextEncoder

TEXTS = ["sun", "snow and ice", "fire with red", "blue", "red and blue with snow and ice"]


@pytest.fixture(scope="module")
def encoder(save_tiny_model):
    return TextEncoder(save_tiny_model("bert"))


def test_the_mean_over_the_tokens_as_a_unit_vector(encoder):
    vectors = encoder.embed(TEXTS, batch=1)
    assert vectors.shape == (5, 16)
    for text, vector in zip(TEXTS, vectors, strict=True):
        with torch.no_grad():
            hidden = encoder._model(**encoder._tokenizer(text, return_tensors="pt")).last_hidden_state[0]
        mean = hidden.mean(0)
        torch.testing.assert_close(vector, mean / mean.norm())


@pytest.mark.parametrize("batch", [2, 3, 64])
def test_batches_change_roundings_only(encoder, batch):
    """Padding is masked, and every vector comes back to its own text."""
    torch.testing.assert_close(encoder.embed(TEXTS, batch=batch), encoder.embed(TEXTS, batch=1), rtol=0, atol=1e-6)
    backwards = encoder.embed(TEXTS[::-1], batch=batch).flip(0)
    torch.testing.assert_close(backwards, encoder.embed(TEXTS, batch=1), rtol=0, atol=1e-6)


def test_what_goes_beyond_its_positions_is_cut_off(encoder):
    long = " ".join(["sun", "ice"] * 20)
    torch.testing.assert_close(encoder.embed([long]), encoder.embed([" ".join(["sun", "ice"] * 6)]))


def test_provenance(encoder):
    described = encoder.describe()
    assert described["name"] == "BertModel"
    assert described["parameters"] == sum(weights.numel() for weights in encoder._model.parameters())
    assert (described["dtype"], described["device"]) == ("float32", "cpu")
    assert len(described["weights_sha256"]) == 64
