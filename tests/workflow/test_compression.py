"""Certificates by code length: the decoded network is evaluated, every bit is paid, and all is measured again."""

import dataclasses
import shutil

import numpy as np
import pytest
import torch
from torch import nn

from genbounds.certificates import Certificate, state, verify
from genbounds.compression import Codebook, QuantisedNetwork, decode, encode
from genbounds.compression.message import read_header
from genbounds.models.data import load_data
from genbounds.models.guards import ModelError
from genbounds.models.passes import count_errors
from genbounds.models.state import save_state
from genbounds.theorems import Assumption
from genbounds.workflow import CompressionTraining, certify_compressed, load_compressed, load_predictor, remeasure
from genbounds.workflow import compression as workflow
from genbounds.workflow.inputs import gather_networks

QUICK = CompressionTraining(epochs=4, quantised_epochs=12, batch_size=32, levels=3, penalty=1e-3)


def network():
    return nn.Sequential(
        *(nn.Flatten(), nn.LayerNorm(64, elementwise_affine=False), nn.Linear(64, 10, bias=False)),
    )


def convolutional():
    layers = (nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10))
    return nn.Sequential(*layers)


def start_of(seed):
    return dict(gather_networks(network, None, None, prior="learnt", seed=seed).module.named_parameters())


@pytest.fixture(scope="module")
def digits():
    data = load_data("digits")
    order = np.random.default_rng(0).permutation(len(data))
    return data, {"bound": order[:1500], "test": order[1500:]}


@pytest.fixture(scope="module")
def compressed(digits, tmp_path_factory):
    out = tmp_path_factory.mktemp("compressed")
    data, roles = digits
    return certify_compressed(network, data, roles=roles, training=QUICK, variant=3, seed=5, out=out), out


def test_it_holds_and_says_where_the_bits_went(compressed):
    certificate, out = compressed
    assert verify(certificate).ok, str(verify(certificate))
    assert verify(out / "certificate.json").ok
    risk = certificate.claims[0].inputs
    assert certificate.code["bits"] == sum(certificate.code["parts"].values())
    assert risk["code_length"] >= certificate.code["bits"] * np.log(2)
    assert risk["n"] == 1500
    assert certificate.code["parts"]["variant"] == 4
    assert certificate.code["parts"]["seed"] == 5
    said = str(certificate)
    assert f"its code of {certificate.code['bits']:,} bits decodes to: variant 4, seed 5" in said
    assert "of the deterministic predictor" in said
    assert certificate.value < 0.9
    assert certificate.value > certificate.estimates[0].value


def test_the_decoded_network_is_what_was_evaluated(compressed, digits):
    certificate, out = compressed
    data, roles = digits
    module = load_compressed(out, network)
    assert count_errors(module, data, roles["bound"]) == certificate.claims[0].inputs["errors"]
    assert count_errors(module, data, roles["test"]) / 297 == certificate.estimates[0].value
    content = (out / "message.bin").read_bytes()
    assert read_header(content).variant == 3
    start = start_of(5)
    weights = decode(content, start).weights(start)
    assert torch.equal(weights["2.weight"], module[2].weight)
    levels = torch.unique(weights["2.weight"])
    assert len(levels) <= 3  # quantised indeed


def test_the_same_seed_gives_the_same_certificate(compressed, digits, tmp_path):
    data, roles = digits
    certify_compressed(network, data, roles=roles, training=QUICK, variant=3, seed=5, out=tmp_path)
    for name in ("certificate.json", "message.bin"):
        assert (tmp_path / name).read_bytes() == (compressed[1] / name).read_bytes()


def test_it_is_measured_again(compressed, digits):
    verification = remeasure(compressed[1] / "certificate.json", network, digits[0])
    assert verification.ok, str(verification)
    assert {"message", "error count", "data: bound"} <= {finding.where for finding in verification.findings}


def refused(folder, data):
    return [finding.where for finding in remeasure(folder / "certificate.json", network, data).refusals]


def forged(compressed, folder, **changes):
    """Issue the certificate again with a forger's numbers, all of its arithmetic done anew."""
    shutil.copytree(compressed[1], folder, dirs_exist_ok=True)
    certificate = dataclasses.replace(compressed[0], digest="", **changes)
    certificate.save(folder / "certificate.json")
    return certificate


def restated(certificate, **numbers):
    (claim,) = certificate.claims
    statuses = {Assumption[name]: status for name, status in claim.assumptions.items()}
    return (state(claim.theorem, "risk", dict(claim.inputs) | numbers, assumptions=statuses),)


def test_errors_of_the_network_before_it_was_decoded(compressed, digits, tmp_path):
    """A practice that proves nothing: to count errors of the network that was quantised, and pay for the quantised."""
    certificate = compressed[0]
    better = certificate.claims[0].inputs["errors"] - 1
    issued = forged(compressed, tmp_path, claims=restated(certificate, errors=better))
    assert verify(issued).ok  # nothing in the file gives it away
    assert refused(tmp_path, digits[0]) == ["error count"]


def test_a_table_that_is_not_paid_for(compressed, digits, tmp_path):
    code = dict(compressed[0].code)
    parts = {part: bits for part, bits in code["parts"].items() if part != "codebook"}
    left = forged(compressed, tmp_path, code=code | {"parts": parts})
    assert [finding.where for finding in verify(left).refusals] == ["code"]
    bits = sum(parts.values())
    length = bits * np.log(2) * (1 + 1e-15)
    claims = restated(compressed[0], code_length=length)
    issued = forged(compressed, tmp_path, code=code | {"parts": parts, "bits": bits}, claims=claims)
    assert verify(issued).ok
    assert refused(tmp_path, digits[0]) == ["message"]


def test_a_better_network_than_the_message(compressed, digits, tmp_path):
    """A message of another network, of the same length at most, is not the certificate's."""
    forged(compressed, tmp_path)
    start = start_of(5)
    network_read = decode((tmp_path / "message.bin").read_bytes(), start)
    other = QuantisedNetwork(network_read.header, Codebook(2 * network_read.codebook.levels), network_read.symbols)
    (tmp_path / "message.bin").write_bytes(encode(other).content)
    assert refused(tmp_path, digits[0]) == ["message"]


def test_the_network_that_is_counted_is_read_from_the_bytes(digits, monkeypatch):
    """Were anything but the message evaluated, emptying what is decoded would change nothing."""
    data, roles = digits

    def emptied(content, start):
        read = decode(content, start)
        return dataclasses.replace(read, symbols=np.full_like(read.symbols, int(read.codebook.nearest(0.0))))

    monkeypatch.setattr(workflow, "decode", emptied)
    certificate = certify_compressed(network, data, roles=roles, training=QUICK, holdout=False)
    assert certificate.claims[0].inputs["errors"] > 1200
    assert certificate.estimates[0].value > 0.8
    assert certificate.estimates[1].value < 0.3


@pytest.mark.parametrize(
    "parametrisation",
    [
        {"kind": "random subspace", "dimension": 60, "seed": 0},
        {"kind": "lora", "rank": 1, "seed": 0},
        {"kind": "sublora", "rank": 2, "dimension": 30, "seed": 1},
    ],
)
def test_other_parametrisations(digits, tmp_path, parametrisation):
    data, roles = digits
    certificate = certify_compressed(
        network,
        data,
        roles=roles,
        parametrisation=parametrisation,
        training=CompressionTraining(epochs=2, quantised_epochs=2, batch_size=64),
        holdout=False,
        out=tmp_path,
    )
    assert certificate.code["parametrisation"] == parametrisation
    assert certificate.code["parts"]["parametrisation"] > 3
    assert remeasure(tmp_path / "certificate.json", network, data).ok


def test_a_pretrained_start_of_which_a_part_is_adapted(digits, tmp_path):
    data, roles = digits
    pretrained = convolutional().state_dict()
    pretrained["1.running_mean"] += 0.1  # of other data: the user says so by passing it here
    certificate = certify_compressed(
        convolutional,
        data,
        roles=roles,
        pretrained=pretrained,
        adapt=("4.*",),
        training=CompressionTraining(epochs=1, quantised_epochs=2, batch_size=64),
        holdout=False,
        out=tmp_path,
    )
    assert certificate.code["coordinates"] == 1450
    module = load_compressed(tmp_path, convolutional)
    assert torch.equal(module[0].weight, pretrained["0.weight"])
    assert torch.equal(module[1].running_mean, pretrained["1.running_mean"])
    assert remeasure(tmp_path / "certificate.json", convolutional, data).ok
    # What is not adapted is in no message; yet another network is not the certified one.
    for name in ("0.weight", "1.running_mean"):
        save_state(pretrained | {name: pretrained[name] + 1}, tmp_path / "start.safetensors")
        with pytest.raises(ValueError, match="the start must have the fingerprint"):
            load_compressed(tmp_path, convolutional)
        assert not remeasure(tmp_path / "certificate.json", convolutional, data).ok


def test_buffers_that_saw_data_are_refused(digits):
    data, roles = digits
    trained = convolutional()
    trained.train()(torch.rand(32, 1, 8, 8))
    with pytest.raises(ModelError, match=r"buffers must not have seen the bound's sample, got 1.running_mean"):
        certify_compressed(trained.eval(), data, roles=roles, training=QUICK)


def test_another_start_is_not_the_certified_network(compressed, tmp_path):
    shutil.copytree(compressed[1], tmp_path, dirs_exist_ok=True)
    content = read_header((tmp_path / "message.bin").read_bytes())
    assert content.description == {"kind": "full"}
    larger = nn.Sequential(nn.Flatten(), nn.LayerNorm(64), nn.Linear(64, 10))
    with pytest.raises(ValueError, match="must"):
        load_compressed(tmp_path, larger)
    shutil.copy(tmp_path / "message.bin", tmp_path / "other.bin")
    with pytest.raises(ValueError, match="start must have the fingerprint"):
        load_compressed(tmp_path, lambda: nn.Sequential(*network()[:2], nn.Linear(64, 10, bias=False).double()))
    described = dict(compressed[0].model) | {"weights_sha256": "0" * 64}
    dataclasses.replace(compressed[0], model=described, digest="").save(tmp_path / "certificate.json")
    with pytest.raises(ValueError, match="decode to weights with the fingerprint"):
        load_compressed(tmp_path, network)


def test_the_other_loader_says_which_one_to_take(compressed):
    with pytest.raises(ValueError, match=r"must hold posterior.safetensors, got compressed.*Take load_compressed"):
        load_predictor(compressed[1], network)


def test_a_certificate_without_a_message(issue_certificate, tmp_path):
    issue_certificate().save(tmp_path / "certificate.json")
    with pytest.raises(ValueError, match="must hold a certificate by code length"):
        load_compressed(tmp_path, network)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"adapt": ("head.*",)}, "adapt must name parameters of the model, got 'head"),
        ({"delta": 0.0}, "delta must be strictly between 0 and 1"),
        ({"adapt": ()}, "adapt must be a list of at least one name"),
        ({"adapt": "*"}, "adapt must be a list of at least one name or pattern, got '[*]'"),
        ({"variant": 0}, "variant must be a whole number of at least 1"),
        ({"seed": -1}, "seed must be a whole number of at least 0, got -1"),
        ({"parametrisation": {"kind": "full", "dimension": 3}}, "kind 'full' cannot be built: .*'dimension'"),
        ({"parametrisation": {"kind": "lora"}}, "kind 'lora' cannot be built: missing .*'rank'"),
        ({"parametrisation": "full"}, "parametrisation must be a mapping"),
        ({"parametrisation": {"kind": "magic"}}, "kind must be one of"),
        ({"roles": {"test": [0, 1]}}, "roles must give examples to 'bound'"),
    ],
)
def test_what_cannot_be(digits, options, complaint):
    data, roles = digits
    quick = CompressionTraining(epochs=0, quantised_epochs=0)
    with pytest.raises(ValueError, match=complaint):
        certify_compressed(network, data, **{"roles": roles, "training": quick} | options)


def test_the_holdout_network_did_not_see_what_it_is_tested_on(compressed):
    certificate = compressed[0]
    (claim,) = certificate.holdout.claims
    assert claim.inputs["n"] == 750
    assert claim.theorem == "pac_bayes.clopper_pearson"
    assert "trained on 750 examples of the bound, tested on 750" in certificate.holdout.what
    assert Certificate.load(compressed[1] / "certificate.json").holdout.value == certificate.holdout.value
