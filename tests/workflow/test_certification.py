"""From a checkpoint and data to a certificate, on problems small enough to do it often."""

import dataclasses
import functools
import shutil
import signal
import subprocess
import sys
import textwrap

import pytest
import torch
from torch import nn
from torch.nn.utils import prune
from torch.utils.data import Dataset

from genbounds.certificates import Certificate, Ledger, LedgerEntry, state, verify
from genbounds.models.checkpoint import load_checkpoint
from genbounds.models.guards import ModelError, StochasticData
from genbounds.models.state import save_state
from genbounds.pac_bayes.posteriors import DiagonalGaussian
from genbounds.theorems import Assumption
from genbounds.workflow import NetworkTraining, PosteriorTraining, certify, load_predictor, remeasure
from genbounds.workflow.composition import gibbs_argument

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


def test_shared_draws_use_the_betting_limit(tmp_path):
    certificate = certify(network, blobs(), scheme="shared", out=tmp_path, **QUICK | {"passes": 12})
    assert certificate.claims[0].theorem == "pac_bayes.monte_carlo_betting"
    assert len(certificate.claims[0].inputs["values"]) == certificate.draws["count"] == 12
    verification = remeasure(tmp_path / "certificate.json", network, blobs())
    assert verification.ok, str(verification)


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


class Twofold(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x):
        return self.layer(x), x


def one_column():
    return nn.Linear(4, 1)


@pytest.mark.parametrize(
    ("model", "words"), [(BatchCentred, "batch"), (Twofold, "got a tuple"), (one_column, "two columns")]
)
def test_models_that_give_no_scores_of_one_example_are_refused_before_any_training(model, words, monkeypatch):
    monkeypatch.setattr("genbounds.workflow.certification.make_prior", None)
    with pytest.raises(ModelError, match=words):
        certify(model, blobs(), **QUICK)


def test_examples_that_mix_once_trained_are_refused():
    # With weights of zero nothing mixes: the model has to be looked at again once it has been trained.
    def still():
        model = BatchCentred()
        for value in model.parameters():
            nn.init.zeros_(value)
        return model

    with pytest.raises(ModelError, match="batch"):
        certify(still, blobs(), **QUICK)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"prior": "oracle"}, "prior must be one of"),
        ({"scheme": "none"}, "scheme must be one of"),
        ({"passes": 0}, "passes must be a whole number of at least 1"),
        ({"prior_scale": -0.1}, "prior_scale must be positive"),
        ({"delta": 1.5}, "delta"),
        ({"monte_carlo_share": 1.0}, "monte_carlo_share must be strictly between 0 and 1"),
        ({"theorem": "pac_bayes.clopper_pearson"}, "theorem must take"),
        ({"prior": "zero"}, "checkpoint must be given"),
        ({"roles": {"prior": [0, 1], "bound": [1, 2]}}, "must not overlap"),
        ({"roles": {"prior": [0, 1]}}, "give examples to 'bound'"),
        ({"roles": {"bound": [0, 1]}}, "give examples to 'prior'"),
    ],
)
def test_impossible_arguments_are_refused_before_any_training(changes, words, monkeypatch):
    monkeypatch.setattr("genbounds.workflow.certification.make_prior", None)
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


def issued_anew(certificate, folder, **parts):
    """Sign a forgery as its author would, and measure it."""
    forged = Certificate(**vars(certificate) | parts | {"digest": ""})
    forged.save(folder / "certificate.json")
    assert verify(folder / "certificate.json").ok
    return forged


def test_draws_levelled_to_look_alike_are_found_by_measuring(tmp_path):
    # The betting limit falls with the spread of its values: the same errors, spread evenly, would prove more.
    noisy = QUICK | {"passes": 12, "posterior": PosteriorTraining(epochs=0)}
    certificate = certify(network, blobs(), scheme="shared", prior_scale=0.5, out=tmp_path, **noisy)
    counts = [round(value * 300) for value in certificate.claims[0].inputs["values"]]
    level = [sum(counts) // 12 + (number < sum(counts) % 12) for number in range(12)]
    claims, ledger = gibbs_argument(
        "pac_bayes.seeger_xi",
        level,
        300,
        certificate.posterior["kl"],
        scheme="shared",
        delta=0.05,
        monte_carlo_share=0.2,
        candidates=1,
        statuses=dict.fromkeys(Assumption, "checked"),
    )
    forged = issued_anew(certificate, tmp_path, claims=claims, ledger=ledger)
    assert forged.value < certificate.value
    verification = remeasure(tmp_path / "certificate.json", network, blobs())
    assert [finding.where for finding in verification.refusals] == ["error count"]


@pytest.mark.parametrize(
    ("changes", "scale"), [({"kind": "zero", "saw": []}, {"chosen": "fixed"}), ({}, {"value": 0.01})]
)
def test_a_prior_that_is_not_what_is_said_is_found_by_measuring(changes, scale, learnt, tmp_path):
    certificate, out = learnt
    shutil.copytree(out, tmp_path, dirs_exist_ok=True)
    prior = dict(certificate.prior)
    issued_anew(certificate, tmp_path, prior=prior | changes | {"scale": dict(prior["scale"]) | scale})
    verification = remeasure(tmp_path / "certificate.json", network, blobs())
    assert [finding.where for finding in verification.refusals] == ["prior"]


def test_other_buffers_are_found_by_measuring(tmp_path):
    certify(with_batch_norm, blobs(), out=tmp_path, **QUICK)
    buffers = load_checkpoint(tmp_path / "buffers.safetensors").state
    save_state(buffers | {"1.running_mean": buffers["1.running_mean"] * 1.0001}, tmp_path / "buffers.safetensors")
    verification = remeasure(tmp_path / "certificate.json", with_batch_norm, blobs())
    assert "file: buffers" in [finding.where for finding in verification.refusals]


def test_what_does_not_rest_on_counted_errors_cannot_be_measured(learnt, tmp_path):
    certificate, out = learnt
    shutil.copytree(out, tmp_path, dirs_exist_ok=True)
    (risk,) = [claim for claim in certificate.claims if claim.id == "risk"]
    claim = state(
        risk.theorem,
        "risk",
        dict(risk.inputs) | {"risk": 0.0},
        assumptions=dict.fromkeys(Assumption, "checked"),
    )
    ledger = Ledger(0.05, (LedgerEntry("risk", 0.05),))
    issued_anew(certificate, tmp_path, claims=(claim,), ledger=ledger, draws={"scheme": "exact"}, comparisons=())
    verification = remeasure(tmp_path / "certificate.json", network, blobs())
    assert [finding.where for finding in verification.refusals] == ["statistics"]


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


def with_a_new_row():
    model, fresh = pretrained(), network()
    with torch.no_grad():
        model[0].weight[0], model[0].bias[0] = fresh[0].weight[0], fresh[0].bias[0]
        model[3].weight[0], model[3].bias[0] = fresh[3].weight[0], fresh[3].bias[0]
    return model


KEPT = pretrained()


def the_same_again():
    return KEPT


@pytest.mark.parametrize(
    ("make", "status"),
    [(network, "checked"), (pretrained, "declared"), (with_a_new_row, "declared"), (the_same_again, "declared")],
)
def test_a_factory_that_loads_weights_is_not_taken_for_one_that_draws_them(make, status):
    checkpoint = trained(data=blobs(seed=5)).state_dict()
    certificate = certify(make, blobs(), checkpoint=checkpoint, **QUICK)
    assert certificate.claims[1].assumptions["PRIOR_INDEPENDENT_OF_SAMPLE"] == status
    assert certificate.holdout.claims[0].assumptions["PREDICTOR_INDEPENDENT_OF_SAMPLE"] == status


def test_what_only_the_user_knows_is_declared():
    # A scale that was given may have been tried out on the sample, and so may the weights that training started from.
    certificate = certify(network, blobs(), prior_scale=0.02, **QUICK)
    assert certificate.claims[1].assumptions["PRIOR_INDEPENDENT_OF_SAMPLE"] == "declared"
    assert certificate.claims[1].assumptions["STATE_INDEPENDENT_OF_SAMPLE"] == "declared"
    assert certificate.holdout.claims[0].assumptions["PREDICTOR_INDEPENDENT_OF_SAMPLE"] == "checked"
    certificate = certify(network, blobs(), checkpoint=PRETRAINED, initial=PRETRAINED, prior="zero", **QUICK)
    assert certificate.claims[1].assumptions["PRIOR_INDEPENDENT_OF_SAMPLE"] == "checked"
    assert certificate.holdout.claims[0].assumptions["PREDICTOR_INDEPENDENT_OF_SAMPLE"] == "declared"


def pruned():
    model = network()
    prune.l1_unstructured(model[0], "weight", amount=0.3)
    return model.eval()


@pytest.mark.parametrize("make", [network, pruned])
def test_the_callers_module_is_left_alone(make):
    model = make()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    certify(model, blobs(), initial=make().state_dict(), dtype=torch.float64, **QUICK)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name
        assert value.dtype == before[name].dtype


class Centred(nn.Module):
    """Normalises by statistics that are no round numbers in float32."""

    def __init__(self):
        super().__init__()
        self.norm, self.layer = nn.BatchNorm1d(4), nn.Linear(4, 3)

    def forward(self, x):
        return self.layer(self.norm(x))


class Tokens(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.layer = nn.Embedding(8, 6), nn.Linear(6, 3)

    def forward(self, x):
        return self.layer(self.embedding(x).mean(1))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_predictor_and_remeasurement_compute_as_was_certified(dtype, tmp_path):
    certify(Centred, blobs(), dtype=dtype, out=tmp_path, **QUICK)
    verification = remeasure(tmp_path / "certificate.json", Centred, blobs())
    assert verification.ok, str(verification)
    predictor = load_predictor(tmp_path, Centred)
    kept = load_checkpoint(tmp_path / "buffers.safetensors").state
    assert torch.equal(predictor.model.norm.running_mean, kept["norm.running_mean"])
    assert predictor.gibbs(blobs()[0], seed=1).shape == (600,)


def test_tokens(tmp_path):
    generator = torch.Generator().manual_seed(0)
    targets = torch.randint(3, (400,), generator=generator)
    inputs = torch.cat([targets[:, None], torch.randint(8, (400, 2), generator=generator)], 1)
    certify(Tokens, (inputs, targets), out=tmp_path, **QUICK)
    verification = remeasure(tmp_path / "certificate.json", Tokens, (inputs, targets))
    assert verification.ok, str(verification)
    predictor = load_predictor(tmp_path, Tokens)
    assert predictor.gibbs(inputs, seed=1).shape == predictor.majority(inputs, draws=3, seed=1).shape == (400,)


def shifted(inputs, generator, by):
    return inputs + by * torch.randn(inputs.shape, generator=generator)


def with_activation(activation):
    return nn.Sequential(nn.Linear(4, 16), activation(), nn.Dropout(0.1), nn.Linear(16, 3))


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        (
            {"augment": functools.partial(shifted, by=0.1)},
            {"augment": functools.partial(shifted, by=0.2)},
            "augment differ",
        ),
        (
            {"model": functools.partial(with_activation, nn.ReLU)},
            {"model": functools.partial(with_activation, nn.GELU)},
            "outputs of the model differ",
        ),
    ],
)
def test_code_that_changed_between_two_runs_is_noticed(first, second, words, tmp_path):
    settings = {"model": network, "data": blobs(), "out": tmp_path} | QUICK
    certificate = certify(**settings | first)
    assert certify(**settings | first).digest == certificate.digest
    assert "0x" not in certificate.model["name"]
    with pytest.raises(ValueError, match=words):
        certify(**settings | second)


def test_no_folder_of_the_user_enters_the_certificate(tmp_path):
    (tmp_path / "nets.py").write_text("from torch import nn\ndef small():\n    return nn.Linear(4, 3)\n")
    certificate = certify(f"{tmp_path / 'nets.py'}:small", blobs(), out=tmp_path / "out", **QUICK)
    assert certificate.model["name"] == "nets.py:small"
    assert str(tmp_path) not in (tmp_path / "out" / "certificate.json").read_text()


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


def test_an_untrained_posterior_is_the_prior_judged_by_the_same_draws():
    certificate = certify(network, blobs(), **QUICK | {"posterior": PosteriorTraining(epochs=0)})
    (same,) = [comparison for comparison in certificate.comparisons if comparison.id == "posterior = prior"]
    assert certificate.posterior["kl"] == 0
    assert same.claims[0].inputs == certificate.claims[0].inputs
    assert same.value == certificate.value
