"""Classification by the nearest class text, and what is counted as an error."""

import pytest
import torch

from genbounds.models.guards import ModelError
from genbounds.prompts import PromptClassifier, PromptForm
from genbounds.prompts.classifier import TIE, check_encoder


class Compass:
    """An encoder for words that are angles in degrees; batches may turn the needle."""

    def __init__(self, noise=0.0, restless=0.0):
        self.noise, self.restless, self.calls = noise, restless, 0

    def embed(self, texts, *, batch=64, progress=False):
        self.calls += 1
        degrees = torch.tensor([float(text) for text in texts], dtype=torch.float64).deg2rad()
        radians = degrees + (self.noise if batch > 1 else 0.0) + self.restless * self.calls
        return torch.stack([radians.cos(), radians.sin()], dim=1)


FORM = PromptForm(("1", "9"), "{name}{prompt}")  # north and east, once the prompts have added a digit


@pytest.fixture
def classifier():
    return PromptClassifier(Compass(), FORM, ["0", "0"])  # 10 and 90 degrees


def test_the_nearest_text_wins(classifier):
    assert classifier.texts == ["10", "90"]
    assert classifier.predict(["0", "49", "51", "180"]).tolist() == [0, 0, 1, 1]


def test_errors_are_counted(classifier):
    angles = ["0", "49", "51", "180"]
    assert classifier.errors(Compass().embed(angles), torch.tensor([0, 0, 1, 1])) == 0
    assert classifier.errors(Compass().embed(angles), torch.tensor([0, 1, 0, 1])) == 2


@pytest.mark.parametrize(("off", "errors"), [(0.0, 2), (0.1 * TIE, 2), (-0.1 * TIE, 2), (2 * TIE, 1), (-2 * TIE, 1)])
def test_a_lead_that_rounding_could_turn_is_an_error(classifier, off, errors):
    """At 50 degrees both are equally near; the lead is about 1.29 times the angle from there, in radians."""
    angle = torch.tensor([50.0], dtype=torch.float64).deg2rad() + off
    features = torch.cat([angle.cos(), angle.sin()])[None].expand(2, -1)
    assert classifier.errors(features, torch.tensor([0, 1])) == errors


def test_encoders_that_change_their_mind():
    texts = ["10", "20", "30"]
    check_encoder(Compass(), texts, Compass().embed(texts))
    check_encoder(Compass(noise=TIE / 10), texts, Compass(noise=TIE / 10).embed(texts))
    with pytest.raises(ModelError, match="the same vector in a batch as by itself"):
        check_encoder(Compass(noise=TIE), texts, Compass(noise=TIE).embed(texts))
    with pytest.raises(ModelError, match="must give the same vector twice"):
        check_encoder(Compass(restless=1e-9), texts, Compass().embed(texts))
    with pytest.raises(ModelError, match="got nan"):
        check_encoder(Compass(), texts, torch.full((3, 2), torch.nan))
