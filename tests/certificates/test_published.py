"""The certificates that the documentation quotes hold, and say what it says."""

import hashlib
from pathlib import Path

import pytest

from genbounds.certificates import Certificate, verify

FOLDER = Path(__file__).parents[2] / "docs" / "certificates"


@pytest.mark.parametrize(
    ("name", "value", "holdout"),
    [("mnist-fully-connected", 0.01103, 0.00889), ("mnist-convolutional", 0.00804, 0.00652)],
)
def test_published_certificate(name, value, holdout):
    path = FOLDER / f"{name}.json"
    verification = verify(path)
    assert verification.ok, str(verification)
    certificate = Certificate.load(path)
    assert value - 1e-5 < certificate.value <= value
    assert holdout - 1e-5 < certificate.holdout.value <= holdout
    assert certificate.ledger.delta == 0.035
    assert certificate.sample.roles["bound"].count == 30_000
    assert certificate.posterior["kl"] > 0.5


def test_the_published_certificate_for_prompts():
    path = FOLDER / "debian-sections-prompts.json"
    assert verify(path).ok, str(verify(path))
    certificate = Certificate.load(path)
    row = certificate.summary()
    figures = {"value": 0.3156, "uniform prior": 0.3295, "holdout": 0.2786, "test error": 0.2679, "risk": 0.2635}
    for name, figure in figures.items():
        assert figure - 1e-4 < row[name] <= figure
    assert row["value"] <= row["test error"] + 0.1
    assert row["n"] == 13_234
    assert 86.39 < certificate.code["nats"] < 86.4


@pytest.mark.parametrize(
    ("name", "value", "bits", "test_error"), [("mnist", 0.0609, 1323, 0.0214), ("fashion-mnist", 0.2255, 1853, 0.1515)]
)
def test_the_published_networks_in_bits(name, value, bits, test_error):
    folder = FOLDER / f"{name}-coded"
    assert verify(folder / "certificate.json").ok
    certificate = Certificate.load(folder / "certificate.json")
    assert value - 1e-4 < certificate.value <= value
    assert certificate.ledger.delta == 0.05
    assert certificate.sample.roles["bound"].count == 60_000
    assert certificate.code["bits"] == bits
    assert certificate.estimates[0].value == test_error
    message = (folder / "message.bin").read_bytes()
    assert len(message) == -(-bits // 8)
    assert hashlib.sha256(message).hexdigest() == certificate.code["sha256"]
