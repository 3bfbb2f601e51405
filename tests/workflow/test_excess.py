"""Certificates by the excess over a reference: what they state, and which forgeries are refused."""

import dataclasses

import pytest
import torch
from torch import nn

from genbounds.certificates import diagnose, verify
from genbounds.pac_bayes import clopper_pearson, informed_excess
from genbounds.workflow import NetworkTraining, PosteriorTraining, certify_excess, remeasure

QUICK = {
    "network": NetworkTraining(epochs=6, batch_size=32, learning_rate=1e-2),
    "posterior": PosteriorTraining(epochs=3, batch_size=64),
    "passes": 3,
}


def blobs(n=600):
    generator = torch.Generator().manual_seed(0)
    targets = torch.randint(3, (n,), generator=generator)
    return torch.randn(n, 4, generator=generator) + 3 * nn.functional.one_hot(targets, 4), targets


def network():
    return nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 3))


@pytest.fixture(scope="module")
def excess(tmp_path_factory):
    out = tmp_path_factory.mktemp("excess")
    return certify_excess(network, blobs(), out=out, **QUICK), out


def test_the_values_are_the_theorems(excess):
    certificate, out = excess
    assert verify(out / "certificate.json").ok
    reference, f_0, f_1, risk = certificate.claims
    assert reference.value == clopper_pearson(reference.inputs["errors"], 300, reference.inputs["delta"])
    assert reference.predictor == "deterministic"
    assert risk.value == informed_excess(
        reference.value, f_0.value, f_1.value, risk.inputs["kl"], 300, risk.inputs["delta"]
    )
    assert sum(claim.inputs["delta"] for claim in certificate.claims) == pytest.approx(0.05)
    assert certificate.posterior["reference"]["saw"] == ["prior"]
    assert {comparison.id for comparison in certificate.comparisons} == {"holdout", "posterior = prior"}


def test_the_parts_start_at_what_was_observed(excess):
    """The limit on the reference at a delta next to 1 would lie below its errors: no cost can be negative."""
    certificate, _ = excess
    reference, f_0, f_1, _ = (claim.inputs for claim in certificate.claims)
    steps = diagnose(certificate).steps
    assert list(steps) == ["observed risk and log terms", "Monte Carlo", "confidence", "KL divergence"]
    assert sum(steps.values()) == pytest.approx(certificate.value)
    observed = reference["errors"] / 300 + (f_0["errors"] + f_1["errors"]) / f_0["draws"] - 1
    assert observed > 0
    assert steps["observed risk and log terms"] >= observed


def test_same_seed_same_certificate(excess):
    certificate, out = excess
    assert certify_excess(network, blobs(), **QUICK).digest == certificate.digest
    assert certify_excess(network, blobs(), out=out, **QUICK).digest == certificate.digest


def test_measuring_again_finds_the_same(excess):
    _, out = excess
    again = remeasure(out / "certificate.json", network, blobs())
    assert again.ok, str(again)
    assert {"reference", "reference-risk", "frequency-0", "frequency-1"} <= {one.where for one in again.findings}


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        (None, "which needs a predictor that did not"),
        (None, "there is no reference, but the claim 'risk' rests on one that did not see the sample"),
        ({"saw": ["prior", "bound"]}, "saw examples of the role 'bound'; it may only see prior"),
    ],
)
def test_a_reference_that_saw_the_sample_is_refused(excess, reference, words):
    certificate, _ = excess
    forged = dataclasses.replace(
        certificate, posterior=dict(certificate.posterior) | {"reference": reference}, digest=""
    )
    verification = verify(forged)
    assert not verification.ok
    assert words in str(verification)


def test_a_reference_without_a_bound_of_its_own_is_refused(excess):
    certificate, _ = excess
    claims = tuple(
        dataclasses.replace(old, inputs=dict(old.inputs) | {"reference": 0.0}) if old.id == "risk" else old
        for old in certificate.claims
    )
    verification = verify(dataclasses.replace(certificate, claims=claims, digest=""))
    assert "its reference is a plain number, but must be the value of a claim that bounds a risk" in str(verification)


def test_impossible_settings_are_refused_at_once(tmp_path):
    for changes in ({"passes": 0}, {"monte_carlo_share": 0.0}, {"prior_scale": -1.0}):
        with pytest.raises(ValueError, match=next(iter(changes))):
            certify_excess(network, blobs(), out=tmp_path / "out", **QUICK | changes)
    assert not (tmp_path / "out").exists()
