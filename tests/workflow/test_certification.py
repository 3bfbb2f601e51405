"""From a checkpoint and data to a certificate, on problems small enough to do it often."""

import dataclasses
import signal
import subprocess
import sys
import textwrap

import pytest
import torch
from torch import nn
from torch.utils.data import Dataset

from genbounds.certificates import verify
from genbounds.models.guards import ModelError, StochasticData
from genbounds.pac_bayes.posteriors import DiagonalGaussian
from genbounds.workflow import NetworkTraining, PosteriorTraining, certify, load_predictor, remeasure

QUICK = {
    "network": NetworkTraining(epochs=6, batch_size=32, learning_rate=1e-2),
    "posterior": PosteriorTraining(epochs=3, batch_size=64),
    "passes": 3,
}


def blobs(n=600, seed=0):
    """Three classes on a line of well-separated Gaussian blobs in four dimensions."""
    generator = torch.Generator().manual_seed(seed)
    targets = torch.randint(3, (n,), generator=generator)
    inputs = torch.randn(n, 4, generator=generator) + 4 * torch.nn.functional.one_hot(targets, 4)
    return inputs, targets


def network():
    return nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 3))


def with_batch_norm():
    return nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 3))


def trained(make=network, data=None, steps=150):
    torch.manual_seed(0)
    model, (inputs, targets) = make(), data or blobs()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(inputs), targets).backward()
        optimizer.step()
    return model.eval()


@pytest.fixture(scope="module")
def learnt(tmp_path_factory):
    out = tmp_path_factory.mktemp("learnt")
    return certify(network, blobs(), out=out, **QUICK), out


def test_learnt_prior(learnt):
    certificate, out = learnt
    assert verify(out / "certificate.json").ok
    assert 0 < certificate.posterior["kl"] < 50
    assert certificate.value < 0.2
    assert certificate.prior["saw"] == ["prior"]
    assert certificate.prior["scale"]["chosen"] == "prior data"
    assert certificate.sample.roles["bound"].count == 300
    assert certificate.draws["count"] == 900
    assert {path.name for path in out.iterdir()} >= {"certificate.json", "posterior.safetensors", "prior.safetensors"}


def test_comparisons_stand_beside_it(learnt):
    certificate, _ = learnt
    values = {comparison.id: comparison.value for comparison in certificate.comparisons}
    assert set(values) == {"holdout", "posterior = prior"}
    assert 0 < values["holdout"] < 1


def test_measuring_again_finds_the_same(learnt):
    _, out = learnt
    verification = remeasure(out / "certificate.json", network, blobs())
    assert verification.ok, str(verification)
    assert {"data: bound", "data: prior", "file: posterior", "KL divergence", "error count"} <= {
        finding.where for finding in verification.findings
    }


def test_same_seed_same_certificate_and_another_seed_another(learnt):
    certificate, _ = learnt
    assert certify(network, blobs(), **QUICK).digest == certificate.digest
    assert certify(network, blobs(), seed=1, **QUICK).digest != certificate.digest


def test_shared_draws_use_the_betting_limit():
    certificate = certify(network, blobs(), scheme="shared", **QUICK | {"passes": 12})
    assert certificate.claims[0].theorem == "pac_bayes.monte_carlo_betting"
    assert len(certificate.claims[0].inputs["values"]) == certificate.draws["count"] == 12
    assert verify(certificate).ok


def test_checkpoint_as_prior_on_a_paid_grid(tmp_path):
    # The checkpoint was trained elsewhere, on other data; everything here carries the bound.
    torch.save(trained(data=blobs(seed=5)).state_dict(), tmp_path / "weights.pt")
    certificate = certify(network, blobs(), checkpoint=tmp_path / "weights.pt", prior="checkpoint", **QUICK)
    assert verify(certificate).ok
    assert certificate.value < 0.2
    (bound,) = [claim for claim in certificate.claims if claim.id == "risk"]
    assert bound.assumptions["PRIOR_INDEPENDENT_OF_SAMPLE"] == "declared"
    assert certificate.prior["scale"]["chosen"] == "grid"
    (entry,) = certificate.ledger.entries_of("risk")
    assert entry.candidates == certificate.prior["scale"]["candidates"] > 1
    assert bound.inputs["delta"] <= entry.budget / entry.candidates


@pytest.mark.parametrize("prior", ["zero", "initialisation"])
def test_data_free_prior(prior):
    data = blobs(1500)
    certificate = certify(network, data, checkpoint=trained(data=data).state_dict(), prior=prior, **QUICK)
    assert verify(certificate).ok
    assert certificate.value < 0.9
    assert certificate.sample.roles["bound"].count == 1500
    assert certificate.prior["saw"] == []
    assert certificate.ledger.entries_of("risk")[0].candidates == certificate.prior["scale"]["candidates"] > 10
    assert certificate.holdout is not None


def test_fixed_prior_scale_costs_no_union():
    certificate = certify(network, blobs(), prior_scale=0.02, **QUICK)
    assert certificate.prior["scale"] == {"value": pytest.approx(0.02), "chosen": "fixed", "candidates": 1}
    assert certificate.ledger.entries_of("risk")[0].unions == ()


def test_posterior_starts_at_a_checkpoint_if_that_is_better():
    # A prior trained for no time at all is useless; the checkpoint is far from it and good.
    data = blobs(3000)
    settings = QUICK | {"network": NetworkTraining(epochs=1, learning_rate=1e-9)}
    model = trained(data=data)
    certificate = certify(network, data, checkpoint=model.state_dict(), prior_scale=0.3, **settings)
    assert certificate.posterior["start"] == "checkpoint"


def test_buffers_that_saw_the_sample_are_refused_and_those_of_the_prior_are_not():
    data = blobs()
    model = trained(with_batch_norm, data)
    with pytest.raises(ModelError, match=r"running_mean.*fold normalisation"):
        certify(with_batch_norm, data, checkpoint=model.state_dict(), prior="zero", **QUICK)
    certificate = certify(with_batch_norm, data, **QUICK)
    assert verify(certificate).ok
    assert certificate.model["buffers_sha256"]


class Jittered(Dataset):
    """Inputs change every time they are read."""

    def __len__(self):
        return 60

    def __getitem__(self, index):
        return torch.randn(4), index % 3


def test_random_augmentation_of_the_bound_sample_is_refused():
    with pytest.raises(StochasticData, match="same example"):
        certify(network, Jittered(), **QUICK)


class BatchCentred(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x):
        return self.layer(x - x.mean(0))


def test_examples_that_mix_are_refused():
    with pytest.raises(ModelError, match="batch"):
        certify(BatchCentred, blobs(), **QUICK)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"prior": "oracle"}, "prior must be one of"),
        ({"scheme": "none"}, "scheme must be one of"),
        ({"passes": 0}, "passes must be at least 1"),
        ({"delta": 1.5}, "delta"),
        ({"theorem": "pac_bayes.clopper_pearson"}, "theorem must take"),
        ({"prior": "zero"}, "checkpoint must be given"),
        ({"roles": {"prior": [0, 1], "bound": [1, 2]}}, "must not overlap"),
        ({"roles": {"prior": [0, 1]}}, "give examples to 'bound'"),
        ({"roles": {"bound": [0, 1]}}, "give examples to 'prior'"),
    ],
)
def test_impossible_arguments_are_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        certify(network, blobs(), **QUICK | changes)


def test_a_built_model_needs_its_initial_weights_for_a_learnt_prior():
    with pytest.raises(ValueError, match="initial must be given"):
        certify(network(), blobs(), **QUICK)


def test_predictor_is_loaded_again(learnt):
    certificate, out = learnt
    inputs, targets = blobs(2000, seed=9)
    predictor = load_predictor(out, network)
    assert predictor.posterior.sha256() == certificate.posterior["sha256"]
    gibbs = predictor.gibbs(inputs, seed=1)
    assert torch.equal(gibbs, predictor.gibbs(inputs, seed=1))
    assert (gibbs != targets).float().mean() <= certificate.value
    vote = predictor.majority(inputs, draws=5, seed=1)
    assert (vote != targets).float().mean() <= 2 * certificate.value
    with pytest.raises(ValueError, match="draws must be at least 1"):
        predictor.majority(inputs, draws=0, seed=1)
    with pytest.raises(ValueError, match="parameters of the certificate"):
        load_predictor(out, with_batch_norm)


def test_forged_statistics_are_found_by_measuring(learnt, tmp_path):
    certificate, out = learnt
    from genbounds.certificates import Certificate
    from genbounds.theorems import Assumption
    from genbounds.workflow.composition import gibbs_argument

    for name in ("posterior", "prior"):
        (tmp_path / f"{name}.safetensors").write_bytes((out / f"{name}.safetensors").read_bytes())

    def forged(errors, kl):
        limit = certificate.claims[0].inputs
        claims, ledger = gibbs_argument(
            "pac_bayes.seeger_xi",
            [errors, 0, 0] if errors is not None else [limit["errors"], 0, 0],
            300,
            kl,
            scheme="one per example",
            delta=0.05,
            monte_carlo_share=0.2,
            candidates=1,
            statuses={assumption: "checked" for assumption in Assumption},
        )
        parts = vars(certificate) | {
            "claims": claims,
            "ledger": ledger,
            "posterior": dict(certificate.posterior) | {"kl": kl},
            "digest": "",
        }
        Certificate(**parts).save(tmp_path / "certificate.json")
        return remeasure(tmp_path / "certificate.json", network, blobs())

    kl, errors = certificate.posterior["kl"], certificate.claims[0].inputs["errors"]
    assert forged(errors, kl).ok
    assert [f.where for f in forged(errors, kl / 2).refusals] == ["KL divergence"]
    assert [f.where for f in forged(errors - 1, kl).refusals] == ["error count"]
    forged(errors, kl)
    assert not remeasure(tmp_path / "certificate.json", network, blobs(seed=3)).ok
    DiagonalGaussian.load(out / "prior.safetensors").save(tmp_path / "posterior.safetensors")
    assert "file: posterior" in [f.where for f in remeasure(tmp_path / "certificate.json", network, blobs()).refusals]


@pytest.mark.parametrize("stage", ["network.pt", "posterior.pt", "run.json"])
def test_a_kill_and_a_resume_give_the_identical_certificate(stage, learnt, tmp_path, monkeypatch):
    # Die by SIGKILL right after the n-th write of a stage's file, then start again.
    _, out = learnt
    body = f"""
    import importlib.util, os, pathlib, signal, sys
    spec = importlib.util.spec_from_file_location("problem", {__file__!r})
    problem = importlib.util.module_from_spec(spec); spec.loader.exec_module(problem)
    from genbounds.workflow import certify
    replace, seen = pathlib.Path.replace, []
    def counted(self, target):
        done = replace(self, target)
        if pathlib.Path(target).name == {stage!r}:
            seen.append(target)
            if len(seen) == 3:
                os.kill(os.getpid(), signal.SIGKILL)
        return done
    pathlib.Path.replace = counted
    certify(problem.network, problem.blobs(), out=sys.argv[1], **problem.QUICK)
    """
    killed = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(body), str(tmp_path)], check=False, capture_output=True
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert not (tmp_path / "certificate.json").exists()
    certify(network, blobs(), out=tmp_path, **QUICK)
    for name in ("certificate.json", "posterior.safetensors", "prior.safetensors"):
        assert (tmp_path / name).read_bytes() == (out / name).read_bytes(), name


def test_another_run_in_the_same_folder_is_refused(learnt):
    _, out = learnt
    with pytest.raises(ValueError, match="delta differ"):
        certify(network, blobs(), out=out, delta=0.1, **QUICK)


def test_settings_are_part_of_the_certificate(learnt):
    certificate, _ = learnt
    assert certificate.prior["training"]["epochs"] == QUICK["network"].epochs
    assert certificate.posterior["training"] == dataclasses.asdict(QUICK["posterior"])


PRETRAINED = trained().state_dict()


def pretrained():
    model = network()
    model.load_state_dict(PRETRAINED)
    return model


@pytest.mark.parametrize(("make", "status"), [(network, "checked"), (pretrained, "declared")])
def test_a_factory_that_loads_weights_is_not_taken_for_one_that_draws_them(make, status):
    certificate = certify(make, blobs(), **QUICK)
    assert certificate.claims[1].assumptions["PRIOR_INDEPENDENT_OF_SAMPLE"] == status
    assert certificate.holdout.claims[0].assumptions["PREDICTOR_INDEPENDENT_OF_SAMPLE"] == status


def test_a_network_that_takes_files_and_exported_programs(tmp_path):
    from safetensors.torch import save_file

    model = trained(data=blobs(seed=5))
    torch.save({"state_dict": {f"model.{k}": v for k, v in model.state_dict().items()}}, tmp_path / "weights.ckpt")
    save_file(model.state_dict(), tmp_path / "weights.safetensors")
    batch = torch.export.Dim("batch", min=1, max=4096)
    program = torch.export.export(model, (blobs()[0][:7],), dynamic_shapes=({0: batch},))
    torch.export.save(program, tmp_path / "program.pt2")
    how = QUICK | {"prior": "checkpoint", "prior_scale": 0.05}
    one = certify(network, blobs(), checkpoint=tmp_path / "weights.safetensors", **how)
    two = certify(network, blobs(), checkpoint=tmp_path / "weights.ckpt", prefix="model.", **how)
    assert one.digest == two.digest
    three = certify(tmp_path / "program.pt2", blobs(), **how)
    assert verify(three).ok
    assert three.holdout.value == one.holdout.value
