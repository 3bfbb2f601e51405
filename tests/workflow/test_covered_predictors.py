"""Certificates for one drawn network and for the majority vote: claims, draws, measuring again, refusals."""

import dataclasses
import shutil

import numpy as np
import pytest
import torch
from torch import nn

from genbounds.certificates import Certificate, Finding, state, verify
from genbounds.models.checkpoint import load_checkpoint
from genbounds.models.state import save_state, state_sha256
from genbounds.pac_bayes.draws import draw_network, log_ratio
from genbounds.pac_bayes.low_rank import LowRankGaussian
from genbounds.pac_bayes.posteriors import DiagonalGaussian
from genbounds.theorems import Assumption
from genbounds.workflow import NetworkTraining, PosteriorTraining, certify, certify_parts, load_predictor, remeasure
from genbounds.workflow.majority_vote import VOTERS
from genbounds.workflow.single_draw import SINGLE_DRAW

QUICK = {
    "network": NetworkTraining(epochs=4, batch_size=32, learning_rate=1e-2),
    "posterior": PosteriorTraining(epochs=3, batch_size=64),
    "passes": 2,
}


def blobs(n=500, seed=0):
    """Three overlapping classes in four dimensions."""
    generator = torch.Generator().manual_seed(seed)
    targets = torch.randint(3, (n,), generator=generator)
    return torch.randn(n, 4, generator=generator) + 3 * nn.functional.one_hot(targets, 4), targets


ROLES = {"prior": np.arange(150), "bound": np.arange(150, 400), "test": np.arange(400, 500)}


def network():
    return nn.Sequential(nn.Linear(4, 12), nn.ReLU(), nn.Linear(12, 3))


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    out = tmp_path_factory.mktemp("drawn")
    return certify(network, blobs(), predictor="single draw", roles=ROLES, out=out, **QUICK), out


def test_one_network_is_drawn_and_its_errors_are_counted_exactly(drawn):
    certificate, out = drawn
    assert verify(out / "certificate.json").ok
    (claim,) = certificate.claims
    assert (claim.theorem, claim.predictor) == ("pac_bayes.rivasplata", "single draw")
    assert claim.inputs["delta"] == certificate.ledger.delta == 0.05  # no Monte Carlo step to pay
    assert (certificate.draws["scheme"], certificate.draws["count"]) == ("single", 1)
    inputs, targets = blobs()
    model = load_predictor(out, network)
    with torch.no_grad():
        wrong = model(inputs).argmax(1) != targets
    assert claim.inputs["risk"] == pytest.approx(float(wrong[150:400].sum()) / 250, abs=1e-12)
    estimates = {estimate.id: estimate.value for estimate in certificate.estimates}
    assert estimates["test error"] == float(wrong[400:].sum()) / 100
    assert set(estimates) == {"test error", "Gibbs test error", "mean network's test error"}


def test_the_log_ratio_is_that_of_the_stored_weights(drawn):
    certificate, out = drawn
    q, p = (DiagonalGaussian.load(out / f"{name}.safetensors") for name in ("posterior", "prior"))
    kept = load_checkpoint(out / "drawn.safetensors").state
    exact = sum(
        float(
            torch.distributions.Normal(q.mean[name].double(), q.scale[name].double()).log_prob(value.double()).sum()
            - torch.distributions.Normal(p.mean[name].double(), p.scale[name].double()).log_prob(value.double()).sum()
        )
        for name, value in kept.items()
    )
    stated = certificate.claims[0].inputs["log_ratio"]
    assert exact <= stated < exact + 1e-3  # what rounding to float32 costs
    assert stated == certificate.draws["log_ratio"] == log_ratio(q, p, kept)
    assert certificate.draws["sha256"] == state_sha256(kept)


def test_the_gibbs_bound_stands_beside_it_with_draws_of_its_own(drawn):
    certificate, _ = drawn
    others = {comparison.id: comparison for comparison in certificate.comparisons}
    assert set(others) == {"holdout", "posterior = prior", "gibbs"}
    assert others["gibbs"].claims[0].inputs["draws"] == certificate.draws["comparisons"]["count"] == 500
    assert others["gibbs"].claims[-1].predictor == "gibbs"
    # Q = P: the ratio is 1 but for the rounding.
    assert abs(others["posterior = prior"].claims[0].inputs["log_ratio"]) < 1e-6
    assert "of the one network" in str(certificate)
    assert "ln(dQ/dP)(h) = " in str(certificate)


def test_a_resumed_run_draws_the_identical_network(drawn, tmp_path):
    certificate, out = drawn
    again = certify(network, blobs(), predictor="single draw", roles=ROLES, out=out, **QUICK)
    assert again.digest == certificate.digest
    shutil.copytree(out / "run", tmp_path / "run")
    resumed = certify(network, blobs(), predictor="single draw", roles=ROLES, out=tmp_path, **QUICK)
    assert resumed.digest == certificate.digest
    assert (tmp_path / "drawn.safetensors").read_bytes() == (out / "drawn.safetensors").read_bytes()
    with pytest.raises(ValueError, match="seed differ"):
        certify(network, blobs(), predictor="single draw", roles=ROLES, out=out, seed=1, **QUICK)


def test_measuring_again_draws_again(drawn):
    _, out = drawn
    verification = remeasure(out / "certificate.json", network, blobs())
    assert verification.ok, str(verification)
    assert {"draw", "file: drawn", "log ratio", "error count"} <= {finding.where for finding in verification.findings}


def reissued(certificate, out, folder, **parts):
    shutil.copytree(out, folder, dirs_exist_ok=True)
    Certificate(**vars(certificate) | parts | {"digest": ""}).save(folder / "certificate.json")


def refused(verification):
    return [finding.where for finding in verification.refusals]


def test_a_network_that_the_seed_does_not_draw_is_found(drawn, tmp_path):
    certificate, out = drawn
    q = DiagonalGaussian.load(out / "posterior.safetensors")
    other = draw_network(q, torch.float32, seed=1, stage=SINGLE_DRAW)  # the one that looked better
    reissued(certificate, out, tmp_path, draws=dict(certificate.draws) | {"sha256": state_sha256(other)})
    save_state(other, tmp_path / "drawn.safetensors")
    assert refused(remeasure(tmp_path / "certificate.json", network, blobs())) == ["draw", "file: drawn"]


def test_forged_ratios_and_counts_are_found(drawn, tmp_path):
    certificate, out = drawn
    (claim,) = certificate.claims

    def forged(inputs, **draws):
        inputs = dict(claim.inputs) | inputs
        again = state(claim.theorem, claim.id, inputs, assumptions=dict.fromkeys(Assumption, "checked"))
        reissued(certificate, out, tmp_path, claims=(again,), draws=dict(certificate.draws) | draws)
        return remeasure(tmp_path / "certificate.json", network, blobs())

    lower = claim.inputs["log_ratio"] - 0.5
    assert refused(forged({"log_ratio": lower}, log_ratio=lower)) == ["log ratio"]
    assert refused(forged({"log_ratio": lower})) == ["draws"]  # the file contradicts itself
    assert refused(forged({"risk": claim.inputs["risk"] * 0.9})) == ["error count"]
    assert refused(forged({}, count=20)) == ["draws"]
    assert "risk" in refused(forged({}, scheme="shared"))


def test_the_ratio_of_a_prior_chosen_on_a_grid_pays_its_union(tmp_path):
    inputs, targets = blobs(800)
    torch.manual_seed(0)
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(100):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(inputs), targets).backward()
        optimizer.step()
    certificate = certify(
        network, (inputs, targets), checkpoint=model.state_dict(), prior="zero", predictor="single draw", **QUICK
    )
    assert verify(certificate).ok
    (entry,) = certificate.ledger.entries
    assert entry.candidates == certificate.prior["scale"]["candidates"] > 10
    assert certificate.claims[0].inputs["delta"] <= 0.05 / entry.candidates
    assert certificate.value < 1


def test_other_dtypes_draw_in_double_and_round_once():
    mean = {"w": torch.linspace(-0.2, 0.2, 400)}
    q = DiagonalGaussian.isotropic(mean, 0.03)
    p = DiagonalGaussian.isotropic({"w": torch.zeros(400)}, 0.05)
    draws = {
        dtype: draw_network(q, dtype, seed=4, stage=SINGLE_DRAW)
        for dtype in (torch.float64, torch.float32, torch.bfloat16)
    }
    ratios = {dtype: log_ratio(q, p, weights) for dtype, weights in draws.items()}
    torch.testing.assert_close(draws[torch.float64]["w"].float(), draws[torch.float32]["w"], rtol=0, atol=0)
    torch.testing.assert_close(draws[torch.float64]["w"].bfloat16(), draws[torch.bfloat16]["w"], rtol=0, atol=0)
    assert 0 < ratios[torch.float32] - ratios[torch.float64] < 1e-3
    assert ratios[torch.bfloat16] > ratios[torch.float64]  # coarse boxes cost nats, and are still covered
    with pytest.raises(ValueError, match="must have the parameters of the posterior"):
        log_ratio(q, p, {"v": mean["w"]})


def test_votes_by_first_order_rest_on_the_gibbs_risk(tmp_path):
    certificate = certify(network, blobs(), predictor="majority vote", roles=ROLES, out=tmp_path, **QUICK)
    limit, gibbs, vote = certificate.claims
    assert (limit.theorem, gibbs.theorem) == ("pac_bayes.monte_carlo_binomial", "pac_bayes.seeger_xi")
    assert vote.value == 2 * gibbs.value == certificate.value
    assert vote.predictor == "majority vote"
    assert {entry.claim for entry in certificate.ledger.entries} == {"gibbs-risk", "gibbs-sample-risk"}
    verification = remeasure(tmp_path / "certificate.json", network, blobs())
    assert verification.ok, str(verification)
    alone = certify(network, blobs(), roles=ROLES, **QUICK)
    assert gibbs.value == alone.value
    estimates = {estimate.id: estimate for estimate in certificate.estimates}
    assert f"vote of {VOTERS} draws" in estimates["test error"].what
    assert estimates["test error"].value <= estimates["Gibbs test error"].value + 0.05


def test_votes_by_tandem_count_pairs_and_pay_the_divergence_twice(tmp_path):
    options = {"predictor": "majority vote", "theorem": "pac_bayes.tandem", "roles": ROLES}
    certificate = certify(network, blobs(), out=tmp_path, **options, **QUICK)
    limit, vote = certificate.claims
    assert limit.loss == "0-1 (both of two draws err)"
    assert vote.references == {"tandem_risk": limit.id}
    verification = remeasure(tmp_path / "certificate.json", network, blobs())
    assert verification.ok, str(verification)

    # Errors of single draws, which are more, or fewer pairs than there are, are not what is claimed.
    fewer = dict(limit.inputs) | {"errors": limit.inputs["errors"] - 1}
    statuses = dict.fromkeys(Assumption, "checked")
    again = state(limit.theorem, limit.id, fewer, assumptions=statuses, loss=limit.loss)
    inputs = dict(vote.inputs) | {"tandem_risk": again}
    head = state(vote.theorem, vote.id, inputs, assumptions=statuses)
    reissued(certificate, tmp_path, tmp_path / "forged", claims=(again, head))
    assert refused(remeasure(tmp_path / "forged" / "certificate.json", network, blobs())) == ["error count"]
    plain = state(limit.theorem, limit.id, limit.inputs, assumptions=statuses)
    head = state(vote.theorem, vote.id, dict(vote.inputs) | {"tandem_risk": plain}, assumptions=statuses)
    verification = verify(dataclasses.replace(certificate, claims=(plain, head), digest=""))
    assert any("both of two draws err" in finding.sentence for finding in verification.refusals)


def test_the_smaller_of_both_votes_pays_for_both():
    options = {"predictor": "majority vote", "roles": ROLES} | QUICK
    both = certify(network, blobs(), theorem="both", **options)
    assert verify(both).ok
    single = {
        name: certify(network, blobs(), theorem=f"pac_bayes.{name}", **options).value
        for name in ("first_order", "tandem")
    }
    other = {comparison.id: comparison.value for comparison in both.comparisons}
    assert both.value > min(single.values())
    assert both.value <= max(value for name, value in other.items() if name.startswith("pac_bayes."))
    for claim in both.claims:
        if "delta" in claim.inputs:
            (entry,) = both.ledger.entries_of(claim.id)
            assert [union.over for union in entry.unions] == ["theorem"]
            assert claim.inputs["delta"] <= entry.budget / 2


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"predictor": "mean"}, "predictor must be one of gibbs, single draw, majority vote"),
        ({"predictor": "single draw", "theorem": "pac_bayes.maurer"}, "theorem must be about one drawn network"),
        ({"predictor": "single draw", "theorem": "pac_bayes.viallard"}, "Choose pac_bayes.rivasplata"),
        ({"predictor": "gibbs", "theorem": "pac_bayes.tandem"}, "theorem must be about the gibbs predictor"),
        ({"predictor": "gibbs", "theorem": "pac_bayes.rivasplata"}, "theorem must take risk, kl, n and delta"),
        ({"predictor": "majority vote", "theorem": "pac_bayes.c_bound"}, "theorem must be pac_bayes.first_order"),
        (
            {"predictor": "majority vote", "theorem": "pac_bayes.tandem", "scheme": "shared"},
            "where two draws meet each example",
        ),
        ({"predictor": "single draw", "delta": 1.5}, "delta"),
        ({"predictor": "single draw", "monte_carlo_share": 1.0}, "monte_carlo_share"),
    ],
)
def test_impossible_arguments_are_refused_before_any_training(changes, words, monkeypatch):
    monkeypatch.setattr("genbounds.workflow.certification.make_prior", None)
    with pytest.raises(ValueError, match=words):
        certify(network, blobs(), **QUICK | changes)


@pytest.mark.parametrize("options", [{"predictor": "single draw"}, {"predictor": "majority vote", "theorem": "both"}])
def test_low_rank_posteriors_are_refused_where_a_product_is_needed(options, monkeypatch):
    monkeypatch.setattr("genbounds.workflow.certification.make_prior", None)
    mean = {name: value.detach() for name, value in network().named_parameters()}
    scale = {name: torch.tensor(0.1) for name in mean}
    low_rank = LowRankGaussian(mean, scale, {name: torch.zeros(2, *value.shape) for name, value in mean.items()})
    with pytest.raises(ValueError, match="posterior must be a DiagonalGaussian"):
        certify(network, blobs(), **QUICK | options | {"posterior": low_rank})


def test_parts_draw_a_network_each(tmp_path):
    options = {"predictor": "single draw", "roles": ROLES, "out": tmp_path} | QUICK
    part, whole = certify_parts(network, blobs(), [0.5], **options)
    assert part.claims[0].inputs["n"] == 125
    assert (tmp_path / "part-0.5" / "drawn.safetensors").exists()
    assert whole.draws["sha256"] != part.draws["sha256"]


def test_a_finding_is_a_sentence(drawn):
    _, out = drawn
    (out / "drawn.safetensors").rename(out / "elsewhere.safetensors")
    verification = remeasure(out / "certificate.json", network, blobs())
    assert Finding("file: drawn", False, "another network.") in verification.findings
    (out / "elsewhere.safetensors").rename(out / "drawn.safetensors")
