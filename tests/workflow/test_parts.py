"""Certificates on parts of the data: nested, on the same test data, each valid for itself."""

import pytest
import torch
from torch import nn

from genbounds.certificates import verify
from genbounds.workflow import NetworkTraining, PosteriorTraining
from genbounds.workflow.parts import certify_parts

QUICK = {
    "network": NetworkTraining(epochs=2, batch_size=32, noise=0.03),
    "posterior": PosteriorTraining(epochs=1, batch_size=64),
    "passes": 2,
}


def blobs():
    generator = torch.Generator().manual_seed(0)
    targets = torch.randint(2, (300,), generator=generator)
    return torch.randn(300, 3, generator=generator) + 4 * nn.functional.one_hot(targets, 3), targets


def network():
    return nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 2))


def members(certificate, role):
    return set(certificate.sample.indices(role).tolist())


def test_parts_are_nested_and_tested_alike(tmp_path):
    roles = {"prior": range(100), "bound": range(100, 260), "test": range(260, 300)}
    roles = {role: list(indices) for role, indices in roles.items()}
    small, large, whole = certify_parts(network, blobs(), [0.5, 0.1], roles=roles, out=tmp_path, **QUICK)
    for role, counts in {"prior": (10, 50, 100), "bound": (16, 80, 160), "test": (40, 40, 40)}.items():
        assert tuple(certificate.sample.roles[role].count for certificate in (small, large, whole)) == counts
        assert members(small, role) <= members(large, role) <= members(whole, role)
    assert all(verify(certificate).ok for certificate in (small, large, whole))
    assert {path.parent.name for path in tmp_path.rglob("certificate.json")} == {tmp_path.name, "part-0.1", "part-0.5"}


def test_a_checkpoint_keeps_the_data_that_trained_it():
    torch.manual_seed(0)
    roles = {"prior": list(range(100)), "bound": list(range(100, 300))}
    part, whole = certify_parts(network().eval(), blobs(), [0.5], prior="checkpoint", roles=roles, **QUICK)
    assert members(part, "prior") == members(whole, "prior")
    assert [certificate.sample.roles["bound"].count for certificate in (part, whole)] == [100, 200]


def test_the_whole_does_not_depend_on_the_parts():
    (alone,) = certify_parts(network, blobs(), [], **QUICK)
    *_, beside = certify_parts(network, blobs(), [0.3], **QUICK)
    assert alone == beside


@pytest.mark.parametrize("part", [0.0, 1.0, -0.1, float("nan")])
def test_parts_are_checked(part):
    with pytest.raises(ValueError, match="parts must be strictly between 0 and 1"):
        certify_parts(network, blobs(), [0.5, part], **QUICK)
