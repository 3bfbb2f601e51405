"""From labelled texts to a certificate for prompts, with tiny random models, and the ways to forge it."""

import dataclasses
import json
import math

import numpy as np
import pytest

from genbounds.certificates import Certificate, state, verify
from genbounds.theorems import Assumption

pytest.importorskip("transformers")

from genbounds.prompts import LanguageModelPrior, TextEncoder
from genbounds.workflow import certify_prompt, load_prompts, remeasure, remeasure_prompt

WARM, COLD = ("sun", "fire", "red"), ("snow", "ice", "blue")
DECLARED = dict.fromkeys(Assumption, "declared")
NAMES = {"cold": "snow", "warm": "fire"}


@pytest.fixture(scope="module")
def examples():
    """One or two words of a kind, in any order; so short that many texts occur again."""
    random = np.random.default_rng(0)
    labels = [str(label) for label in random.choice(["cold", "warm"], 250)]
    return [" ".join(random.choice(WARM if label == "warm" else COLD, 3)) for label in labels], labels


@pytest.fixture(scope="module")
def models(save_tiny_model):
    return TextEncoder(save_tiny_model("bert")), LanguageModelPrior(save_tiny_model("gpt2"), longest=3)


OPTIONS = {"names": NAMES, "template": "{name} {prompt}", "candidates": 8, "delta": 0.1}


@pytest.fixture(scope="module")
def certified(examples, models, tmp_path_factory):
    folder = tmp_path_factory.mktemp("certificate")
    return certify_prompt(*examples, *models, **OPTIONS, out=folder), folder / "certificate.json"


def test_a_certificate_that_holds(certified):
    certificate, path = certified
    assert verify(path).ok, str(verify(path))
    assert Certificate.load(path) == certificate
    (headline,) = certificate.basis
    assert (headline.theorem, headline.predictor) == ("pac_bayes.occam_binomial", "deterministic")
    assert headline.inputs["n"] == certificate.sample.roles["bound"].count == 200
    assert certificate.value < 0.5
    assert "its code of" in str(certificate)
    assert certificate.model["labels"] == ["cold", "warm"]
    assert certificate.model["texts"][0].startswith("snow")
    assert certificate.notes


def test_code_length_and_comparisons(certified, models):
    certificate, _ = certified
    _, prior = models
    code = certificate.code
    contexts = [prior.encode("snow "), prior.encode("fire ")]
    lengths = [prior.code_length(*pair) for pair in zip(code["tokens"], contexts, strict=True)]
    assert list(code["parts"].values()) == lengths
    assert math.fsum(lengths) <= code["nats"] <= math.fsum(lengths) * (1 + 1e-15)
    assert code["nats"] == certificate.basis[-1].inputs["code_length"]
    uniform = next(each for each in certificate.comparisons if each.id == "uniform prior")
    tokens = sum(map(len, code["tokens"]))
    assert uniform.claims[0].inputs["code_length"] == pytest.approx(2 * math.log(4) + tokens * math.log(8))
    assert uniform.claims[0].inputs["errors"] == certificate.basis[-1].inputs["errors"]
    assert certificate.holdout.claims[0].inputs["n"] == 100
    assert {estimate.id for estimate in certificate.estimates} == {"test error"}


def test_the_classifier_is_loaded_again(certified, examples, models):
    certificate, path = certified
    classifier = load_prompts(path, models[0])
    bound = certificate.sample.indices("bound")
    predicted = [certificate.model["labels"][number] for number in classifier.predict([examples[0][i] for i in bound])]
    errors = sum(label != examples[1][number] for label, number in zip(predicted, bound, strict=True))
    assert errors <= certificate.basis[-1].inputs["errors"] <= errors + 2


def test_the_same_seed_gives_the_same_certificate(certified, examples, models):
    certificate, _ = certified
    assert certify_prompt(*examples, *models, **OPTIONS) == certificate
    assert certify_prompt(*examples, *models, **OPTIONS, seed=1).sample != certificate.sample


def test_one_prompt_for_all(examples, models):
    certificate = certify_prompt(*examples, *models, names=NAMES, shared=True, candidates=8)
    assert verify(certificate).ok
    assert list(certificate.code["parts"]) == ["prompt"]
    (prompt,) = certificate.model["prompts"]
    assert certificate.model["texts"] == [f"{prompt} snow", f"{prompt} fire"]


def test_classes_are_those_with_a_name(examples, models):
    """Also one that does not occur: what may be predicted is not for the sample to say."""
    certificate = certify_prompt(*examples, *models, **OPTIONS | {"names": NAMES | {"dull": "red"}})
    assert verify(certificate).ok
    assert certificate.model["labels"] == ["cold", "dull", "warm"]
    assert certificate.model["classes"] == len(certificate.code["parts"]) == 3


def test_nobody_saw_the_encoder_being_trained(certified):
    (claim,) = certified[0].holdout.claims
    assert claim.assumptions["PREDICTOR_INDEPENDENT_OF_SAMPLE"] == "declared"


def test_given_roles(examples, models):
    certificate = certify_prompt(*examples, *models, **OPTIONS, roles={"bound": np.arange(10, 110)})
    assert certificate.sample.indices("bound").tolist() == list(range(10, 110))
    assert certificate.estimates == ()
    assert verify(certificate).ok


def forged(certificate, **inputs):
    claim = certificate.claims[0]
    return state(claim.theorem, claim.id, {**claim.inputs, **inputs}, assumptions=DECLARED)


def test_a_forged_code_length_is_refused(certified):
    """Cheaper prompts in the claim, in the total, or in the parts: each contradicts the next."""
    certificate, _ = certified
    cheaper = certificate.code["nats"] - 1
    claims = (forged(certificate, code_length=cheaper),)
    one = dataclasses.replace(certificate, claims=claims, digest="")
    assert [finding.where for finding in verify(one).refusals] == ["code"]
    code = certificate.code | {"nats": cheaper}
    two = dataclasses.replace(certificate, claims=claims, code=code, digest="")
    assert "its parts add up to" in verify(two).refusals[0].sentence


def test_measuring_again(certified, examples, models, save_tiny_model, tmp_path):
    certificate, path = certified
    assert remeasure_prompt(path, *examples, *models).ok

    def refused(texts=examples[0], labels=examples[1], encoder=models[0], prior=models[1], **changes):
        other = tmp_path / "certificate.json"
        dataclasses.replace(certificate, **changes, digest="").save(other)
        found = remeasure_prompt(other, texts, labels, encoder, prior)
        return [finding.where for finding in found.refusals]

    assert refused() == []
    assert refused(texts=["ice", *examples[0][1:]], labels=["warm", *examples[1][1:]]) != []
    assert refused(texts=examples[0][1:], labels=examples[1][1:]) == ["data"]
    assert "encoder" in refused(encoder=TextEncoder(save_tiny_model("bert", seed=1)))
    assert "language model" in refused(prior=LanguageModelPrior(save_tiny_model("gpt2"), longest=2, start="[PAD]"))
    fewer = forged(certificate, errors=certificate.claims[0].inputs["errors"] - 1)
    assert refused(claims=(fewer,)) == ["error count"]
    # Everything recomputed from a cheaper code: nothing in the file contradicts it, only the language model does.
    parts = {name: nats / 2 for name, nats in certificate.code["parts"].items()}
    code = certificate.code | {"parts": parts, "nats": math.fsum(parts.values())}
    assert refused(claims=(forged(certificate, code_length=code["nats"]),), code=code) == ["code length"]
    assert "prompts" in refused(code=certificate.code | {"tokens": [[3], [4]]})


def test_it_is_about_prompts(issue_certificate, examples, models, tmp_path):
    issue_certificate().save(tmp_path / "certificate.json")
    (refusal,) = remeasure_prompt(tmp_path / "certificate.json", *examples, *models).refusals
    assert refusal.sentence == "the certificate is not about prompts."


def test_measuring_networks_again_names_the_other_way(certified):
    (refusal,) = remeasure(certified[1], None, None).refusals
    assert refusal.sentence == "it is about prompts: they are measured again by remeasure_prompt."


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"names": {"warm": "sun"}}, "names must have a name for every label, got none for 'cold'"),
        ({"delta": 1.0}, "delta must be strictly between 0 and 1"),
        ({"roles": {"test": [1, 2]}}, "some of them with the role bound"),
        ({"template": "{name}"}, "template must contain"),
    ],
)
def test_impossible_arguments(examples, models, changes, message):
    with pytest.raises(ValueError, match=message):
        certify_prompt(*examples, *models, **OPTIONS | changes)


def test_labels_for_all_texts(examples, models):
    with pytest.raises(ValueError, match="labels must be as many as the texts, 250, got 249"):
        certify_prompt(examples[0], examples[1][1:], *models)


def test_the_command(examples, save_tiny_model, tmp_path, capsys):
    from genbounds.cli import main

    lines = [json.dumps({"text": text, "label": label}) for text, label in zip(*examples, strict=True)]
    (tmp_path / "texts.jsonl").write_text("\n".join(lines[:120]))
    (tmp_path / "names.json").write_text(json.dumps(NAMES))
    options = {"encoder": save_tiny_model("bert"), "language-model": save_tiny_model("gpt2"), "longest": 2}
    options |= {"names": tmp_path / "names.json", "template": "{name} {prompt}", "out": tmp_path / "out"}
    words = [str(part) for name, value in options.items() for part in (f"--{name}", value)]
    assert main(["prompt", str(tmp_path / "texts.jsonl"), *words]) == 0
    printed = capsys.readouterr()
    assert "Class texts:\n  'snow " in printed.out
    assert "bound 0." in printed.err
    assert main(["verify", str(tmp_path / "out" / "certificate.json")]) == 0


@pytest.mark.parametrize("line", ["no JSON", "[1, 2]", '{"text": "sun"}', '{"text": "sun", "label": 3}'])
def test_lines_that_are_no_examples(line, tmp_path, capsys):
    from genbounds.cli import main

    (tmp_path / "texts.jsonl").write_text('{"text": "sun", "label": "warm"}\n' + line)
    folders = ["--encoder", "nowhere", "--language-model", "nowhere"]
    assert main(["prompt", str(tmp_path / "texts.jsonl"), *folders]) == 2
    assert "as line 2 of texts.jsonl" in capsys.readouterr().err.replace("\n", " ")
