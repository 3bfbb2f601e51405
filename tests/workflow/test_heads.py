"""Certificates of random heads: exact risks, nothing paid for draws, and everything a sceptic measures again."""

import dataclasses

import pytest
import torch
from torch import nn

from genbounds.certificates import verify
from genbounds.models.guards import ModelError
from genbounds.models.state import save_state
from genbounds.pac_bayes.low_rank import LowRankGaussian
from genbounds.pac_bayes.posteriors import DiagonalGaussian
from genbounds.workflow import NetworkTraining, PosteriorTraining, certify, certify_head, load_predictor, remeasure

QUICK = {
    "network": NetworkTraining(epochs=6, batch_size=32, learning_rate=1e-2),
    "posterior": PosteriorTraining(epochs=3, batch_size=64),
}


def blobs(n=600, seed=0, classes=3):
    generator = torch.Generator().manual_seed(seed)
    targets = torch.randint(classes, (n,), generator=generator)
    return torch.randn(n, 4, generator=generator) + 4 * nn.functional.one_hot(targets, 4), targets


def network(classes=3):
    return nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, classes))


@pytest.fixture(scope="module")
def learnt(tmp_path_factory):
    out = tmp_path_factory.mktemp("head")
    return certify_head(network, blobs(), out=out, **QUICK), out


def test_exact_and_nothing_paid_for_draws(learnt):
    certificate, out = learnt
    assert verify(out / "certificate.json").ok
    assert certificate.draws == {"scheme": "exact"}
    (claim,) = certificate.basis
    assert claim.inputs["delta"] == certificate.ledger.delta == 0.05
    assert certificate.posterior["kl"] > 0
    assert certificate.value < 0.15
    assert certificate.model["random"] == "3"
    assert certificate.model["parameters"] == 16 * 3 + 3
    assert "no Monte-Carlo step" in str(certificate)
    assert {c.id for c in certificate.comparisons} == {"holdout", "posterior = prior"}


def test_its_risk_is_that_of_drawn_heads(learnt):
    certificate, out = learnt
    predictor = load_predictor(out, network)
    inputs, targets = blobs()
    bound = torch.from_numpy(certificate.sample.indices("bound"))
    wrong = [float((predictor.gibbs(inputs[bound], seed=k) != targets[bound]).double().mean()) for k in range(100)]
    drawn, risk = sum(wrong) / 100, certificate.basis[0].inputs["risk"]
    assert abs(drawn - risk) < 4 * (max(risk, 1e-4) / (100 * len(bound))) ** 0.5


def test_measuring_again_finds_the_same_and_notices_other_features(learnt, tmp_path):
    _, out = learnt
    verification = remeasure(out / "certificate.json", network, blobs())
    assert verification.ok, str(verification)
    assert {"Gibbs risk", "KL divergence", "file: features", "data: bound"} <= {f.where for f in verification.findings}
    for path in out.glob("*.*"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    from genbounds.models.checkpoint import load_checkpoint

    features = load_checkpoint(out / "features.safetensors").state
    save_state(
        {name: value + 0.3 * (name == "0.bias") for name, value in features.items()}, tmp_path / "features.safetensors"
    )
    broken = remeasure(tmp_path / "certificate.json", network, blobs())
    assert not broken.ok
    assert "other features" in str(broken)


def test_a_lower_risk_is_noticed(learnt, tmp_path):
    certificate, out = learnt
    for path in out.glob("*.*"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (claim,) = certificate.claims
    lower = dataclasses.replace(claim, inputs=claim.inputs | {"risk": 0.0})
    from genbounds.certificates.claim import evaluate

    lower = dataclasses.replace(lower, value=evaluate(lower.theorem, lower.inputs, {}))
    dataclasses.replace(certificate, claims=(lower,), digest="").save(tmp_path / "certificate.json")
    assert verify(tmp_path / "certificate.json").ok  # arithmetic alone cannot know
    assert not remeasure(tmp_path / "certificate.json", network, blobs()).ok


def test_same_arguments_same_certificate(learnt):
    certificate, out = learnt
    assert certify_head(network, blobs(), **QUICK).digest == certificate.digest
    assert certify_head(network, blobs(), out=out, **QUICK).digest == certificate.digest  # from what is kept
    assert certify_head(network, blobs(), seed=1, **QUICK).digest != certificate.digest


def test_random_features_need_no_data():
    certificate = certify_head(network, blobs(1500), prior="initialisation", **QUICK)
    assert verify(certificate).ok
    assert certificate.prior["saw"] == []
    assert certificate.prior["scale"]["chosen"] == "grid"
    assert certificate.sample.roles["bound"].count == 1500
    assert certificate.ledger.entries_of("risk")[0].candidates == certificate.prior["scale"]["candidates"] > 10
    assert certificate.value < 0.5


def trained():
    torch.manual_seed(0)
    model, (inputs, targets) = network(), blobs(seed=5)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(100):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(inputs), targets).backward()
        optimizer.step()
    return model.eval()


@pytest.mark.parametrize("rank", [0, 2])
def test_a_posterior_that_is_there_already(rank, tmp_path):
    model = trained()
    mean = {f"3.{name}": value.detach().clone() for name, value in model[3].named_parameters()}
    scale = {name: torch.full_like(value, 0.02) for name, value in mean.items()}
    q = DiagonalGaussian(mean, scale)
    if rank:
        q = LowRankGaussian(mean, scale, {name: 0.01 * torch.ones(rank, *value.shape) for name, value in mean.items()})
    certificate = certify_head(model, blobs(), prior="checkpoint", out=tmp_path, **QUICK | {"posterior": q})
    assert verify(certificate).ok
    assert certificate.posterior["sha256"] == q.sha256()
    assert certificate.prior["scale"]["chosen"] == "grid"
    assert certificate.value < 0.15
    verification = remeasure(tmp_path / "certificate.json", model, blobs())
    assert verification.ok, str(verification)
    predictor = load_predictor(tmp_path, model)
    inputs, targets = blobs()
    assert float((predictor.gibbs(inputs, seed=0) != targets).double().mean()) < 0.1
    assert float((predictor.majority(inputs, draws=3, seed=0) != targets).double().mean()) < 0.1


def test_a_model_that_is_its_head_and_two_classes():
    torch.manual_seed(0)
    model = nn.Linear(4, 2).eval()
    certificate = certify_head(model, blobs(classes=2), prior="checkpoint", prior_scale=0.1, **QUICK)
    assert verify(certificate).ok
    assert certificate.model["random"] == ""
    assert certificate.prior["scale"]["chosen"] == "fixed"


def test_wrong_uses_are_refused():
    with pytest.raises(ValueError, match="prior must be one of learnt, checkpoint, initialisation"):
        certify_head(network, blobs(), prior="zero")
    for impossible, words in (
        ({"theorem": "pac_bayes.clopper_pearson"}, "must be errors, n, delta for pac_bayes.clopper_pearson"),
        ({"delta": 1.5}, "delta must be strictly between 0 and 1"),
        ({"prior_scale": -1.0}, "prior_scale must be positive"),
    ):  # before an hour of training, not after
        with pytest.raises(ValueError, match=words):
            certify_head(network, blobs(), augment=pytest.fail, **impossible)
    with pytest.raises(ModelError, match="must end in one"):
        certify_head(nn.Sequential(nn.Linear(4, 3), nn.Softmax(1)).eval(), blobs(), prior="checkpoint")
    other = DiagonalGaussian.isotropic({"0.weight": torch.zeros(16, 4)}, 0.1)
    with pytest.raises(ValueError, match=r"posterior must be over 3\.weight \(3, 16\)"):
        certify_head(trained(), blobs(), prior="checkpoint", posterior=other)
    with pytest.raises(ValueError, match="certify_head for one over the last layer"):
        certify(trained(), blobs(), prior="checkpoint", posterior=other)
