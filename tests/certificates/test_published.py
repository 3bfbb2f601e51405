"""The certificates that the documentation quotes hold, and say what it says."""

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
