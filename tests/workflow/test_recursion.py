"""Recursive certificates: what they state, what measuring again finds, and which forgeries are refused."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from genbounds.certificates import Certificate, state, verify
from genbounds.pac_bayes import recursive_step, seeger_xi
from genbounds.pac_bayes.posteriors import DiagonalGaussian
from genbounds.theorems import Assumption
from genbounds.workflow import NetworkTraining, PosteriorTraining, certify_recursive, remeasure
from genbounds.workflow.recursion import _in_chunks, chunk_sizes

QUICK = {
    "network": NetworkTraining(epochs=2, batch_size=64, learning_rate=1e-2),
    "posterior": PosteriorTraining(epochs=4, batch_size=32, learning_rate=5e-2, annealing=0.5),
    "prior_scale": 0.1,
    "passes": 2,
}


def blobs(n=600):
    generator = torch.Generator().manual_seed(0)
    targets = torch.randint(3, (n,), generator=generator)
    return torch.randn(n, 4, generator=generator) + 4 * nn.functional.one_hot(targets, 4), targets


def network():
    return nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 3))


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    out = tmp_path_factory.mktemp("three")
    return certify_recursive(network, blobs(), steps=3, out=out, **QUICK), out


def claim(certificate, id):
    return next(claim for claim in certificate.claims if claim.id == id)


def test_the_steps_share_out_the_sample(three):
    certificate, out = three
    assert verify(out / "certificate.json").ok
    assert [row["chunk"] for row in certificate.posterior["steps"]] == [150, 150, 300]
    assert [row["n"] for row in certificate.posterior["steps"]] == [600, 450, 300]
    assert [row["claim"] for row in certificate.posterior["steps"]] == ["step-1", "step-2", "risk"]
    assert [found.id for found in certificate.basis if found.theorem.endswith("seeger_xi")] == ["step-1"]
    assert certificate.draws["counts"]["step-2-frequency-2"] == 2 * 450
    assert len(certificate.draws["counts"]) == 7
    assert certificate.value < 0.3


def test_the_values_are_the_theorems(three):
    certificate, _ = three
    first, second = claim(certificate, "step-1"), claim(certificate, "step-2")
    assert first.value == seeger_xi(
        claim(certificate, "step-1-errors").value, first.inputs["kl"], 600, first.inputs["delta"]
    )
    frequencies = [claim(certificate, f"step-2-frequency-{j}").value for j in (1, 2, 3)]
    values = [
        recursive_step(first.value, gamma, *frequencies, second.inputs["kl"], 450, second.inputs["delta"])
        for gamma in (0.0, 1.0)
    ]
    assert second.value == min(values)
    assert second.inputs["gamma"] == float(np.argmin(values))
    deltas = [found.inputs["delta"] for found in certificate.claims]
    assert sum(deltas) == pytest.approx(0.05)
    assert first.inputs["delta"] == second.inputs["delta"] == pytest.approx(0.04 / 3)


def test_the_published_weight_stands_beside_the_best(three):
    certificate, _ = three
    values = {comparison.id: comparison.value for comparison in certificate.comparisons}
    assert set(values) == {"holdout", "gamma = 1/2"}
    assert values["gamma = 1/2"] > certificate.value
    half = certify_recursive(network, blobs(), steps=3, gamma=0.5, **QUICK)
    assert half.value == values["gamma = 1/2"]
    assert verify(half).ok
    assert {comparison.id for comparison in half.comparisons} == {"holdout"}


def test_chunks_are_what_the_steps_were_trained_on(three):
    """Each example once, in an order of the seed alone; each step's file is the prior of the next."""
    certificate, out = three
    order = _in_chunks(certificate.sample.indices("bound"), 0)
    assert sorted(order) == list(range(600))
    assert not np.array_equal(order, np.sort(order))
    before = DiagonalGaussian.load(out / "prior.safetensors")
    for name, row in zip(("posterior-1", "posterior-2", "posterior"), certificate.posterior["steps"], strict=True):
        own = DiagonalGaussian.load(out / f"{name}.safetensors")
        assert own.kl(before) == row["kl"]
        before = own


def test_one_step_is_the_plain_bound():
    certificate = certify_recursive(network, blobs(), steps=1, **QUICK)
    assert verify(certificate).ok
    assert [found.id for found in certificate.claims] == ["step-1-errors", "risk"]
    assert certificate.claims[-1].theorem == "pac_bayes.seeger_xi"
    assert {comparison.id for comparison in certificate.comparisons} == {"holdout"}


def test_same_seed_same_certificate_resumed_or_not(three):
    certificate, out = three
    assert certify_recursive(network, blobs(), steps=3, **QUICK).digest == certificate.digest
    assert certify_recursive(network, blobs(), steps=3, out=out, **QUICK).digest == certificate.digest
    assert certify_recursive(network, blobs(), steps=3, seed=1, **QUICK).digest != certificate.digest
    with pytest.raises(ValueError, match="gamma differ"):
        certify_recursive(network, blobs(), steps=3, gamma=0.5, out=out, **QUICK)


def test_measuring_again_finds_the_same_and_what_was_forged(three):
    certificate, out = three
    again = remeasure(out / "certificate.json", network, blobs())
    assert again.ok, str(again)
    assert {"step-3-frequency-1", "risk: KL divergence", "file: posterior-2"} <= {one.where for one in again.findings}
    # One error less at the last step, all numbers worked out anew: only counting again finds it.
    fewer = dict(claim(certificate, "step-3-frequency-2").inputs)
    fewer["errors"] -= 1
    changed = rebuilt(certificate, {"step-3-frequency-2": fewer})
    assert verify(changed).ok
    changed.save(out / "forged.json")
    found = remeasure(out / "forged.json", network, blobs())
    assert [one.where for one in found.findings if not one.ok] == ["step-3-frequency-2"]


def rebuilt(certificate, inputs, **changes):
    """State all claims anew with other inputs, and give the certificate a fresh digest."""
    statuses, claims = dict.fromkeys(Assumption, "declared"), {}
    for old in certificate.claims:
        own = dict(inputs.get(old.id, old.inputs))
        own |= {name: claims[target] for name, target in old.references.items() if own.get(name) == old.inputs[name]}
        claims[old.id] = state(old.theorem, old.id, own, assumptions=statuses, loss=old.loss)
    return dataclasses.replace(certificate, claims=tuple(claims.values()), digest="", **changes)


def refused(certificate):
    verification = verify(certificate)
    assert not verification.ok
    return " ".join(finding.sentence for finding in verification.findings if not finding.ok)


def with_steps(certificate, rows):
    return {"posterior": dict(certificate.posterior) | {"steps": rows}}


def test_a_step_that_counts_the_chunk_of_its_prior(three):
    certificate, _ = three
    inputs = dict(claim(certificate, "step-2").inputs) | {"n": 600}
    assert "n is 600, but the step has 450 examples" in refused(rebuilt(certificate, {"step-2": inputs}))
    rows = [row | {"n": 600} for row in certificate.posterior["steps"]]
    inputs |= {f"frequency_{j}": {"claim": f"step-2-frequency-{j}"} for j in (1, 2, 3)}
    forged = rebuilt(certificate, {"step-2": inputs}, **with_steps(certificate, rows))
    assert "its chunk and the later ones are 450 examples" in refused(forged)


def test_a_missing_step(three):
    certificate, _ = three
    rows = [certificate.posterior["steps"][0], certificate.posterior["steps"][2]]
    sentences = refused(rebuilt(certificate, {}, **with_steps(certificate, rows)))
    assert "'step-2' is a step of a recursive bound, but in no row" in sentences
    assert "leave 150 of the bound's examples over" in sentences


@pytest.mark.parametrize("listed", [False, True])
def test_a_prior_that_saw_a_chunk_and_stands_in_no_row(three, listed):
    """The first step on all examples and the last one too: its prior has seen some of those that it counts."""
    certificate, _ = three
    kept = [old for old in certificate.claims if old.id.startswith(("step-1", "step-3")) or old.id == "risk"]
    inputs = {old.id: dict(old.inputs) | ({"draws": 1200} if "draws" in old.inputs else {}) for old in kept}
    inputs["risk"] |= {"n": 600, "previous": {"claim": "step-1"}}
    inputs["step-1"]["kl"] = kl = inputs["risk"]["kl"]
    statuses, claims = dict.fromkeys(Assumption, "declared"), {}
    for old in kept:
        own = {
            name: claims[value["claim"]] if isinstance(value, dict) else value for name, value in inputs[old.id].items()
        }
        claims[old.id] = state(old.theorem, old.id, own, assumptions=statuses, loss=old.loss)
    entries = tuple(entry for entry in certificate.ledger.entries if entry.claim in claims)
    posterior = dict(certificate.posterior)
    del posterior["steps"]
    if listed:
        posterior["steps"] = [{"claim": "risk", "chunk": 600, "n": 600, "kl": kl}]
    forged = dataclasses.replace(
        certificate,
        claims=tuple(claims.values()),
        ledger=dataclasses.replace(certificate.ledger, entries=entries),
        posterior=posterior,
        draws=dict(certificate.draws) | {"counts": {id: 1200 for id, own in inputs.items() if "draws" in own}},
        comparisons=(),
        digest="",
    )
    wanted = (
        "must rest on no step: it is the first" if listed else "'risk' is a step of a recursive bound, but in no row"
    )
    assert wanted in refused(forged)


def test_a_step_that_stands_twice(three):
    certificate, _ = three
    rows = certificate.posterior["steps"]
    assert "must be new, but 'risk' is a step before" in refused(
        dataclasses.replace(certificate, **with_steps(certificate, [*rows, rows[-1]]), digest="")
    )


def test_another_divergence_in_the_posterior(three):
    certificate, _ = three
    posterior = dict(certificate.posterior) | {"kl": 0.5}
    assert "is 0.5, but that of its last step is" in refused(
        dataclasses.replace(certificate, posterior=posterior, digest="")
    )


def test_a_frequency_that_was_counted_for_another_step(three):
    certificate, _ = three
    inputs = dict(claim(certificate, "risk").inputs) | {"frequency_2": claim(certificate, "step-2-frequency-2")}
    forged = rebuilt(certificate, {"risk": inputs})
    forged = dataclasses.replace(
        forged,
        claims=tuple(old for old in forged.claims if old.id != "step-3-frequency-2"),
        ledger=dataclasses.replace(
            certificate.ledger,
            entries=tuple(entry for entry in certificate.ledger.entries if entry.claim != "step-3-frequency-2"),
        ),
        digest="",
    )
    assert "2 epochs over 300 examples of the bound are 600 draws, not 900" in refused(forged)


def test_the_held_out_network_has_the_statistics_of_its_own_training():
    """Inputs far from zero: with the buffers of the untrained network the held-out one would err on most examples."""
    inputs, targets = blobs()

    def normalised():
        return nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3))

    options = QUICK | {"network": NetworkTraining(epochs=15, batch_size=32, learning_rate=1e-2)}
    certificate = certify_recursive(normalised, (inputs + 30, targets), steps=2, **options)
    assert certificate.holdout.value < 0.2


def test_another_gamma_with_the_value_of_the_best(three):
    certificate, _ = three
    claims = tuple(
        dataclasses.replace(old, inputs=dict(old.inputs) | {"gamma": 0.5}) if old.id == "risk" else old
        for old in certificate.claims
    )
    assert "is below what pac_bayes.recursive_step gives" in refused(
        dataclasses.replace(certificate, claims=claims, digest="")
    )


def test_another_count_and_another_divergence(three):
    certificate, _ = three
    fewer = dict(claim(certificate, "step-2-frequency-3").inputs) | {"draws": 901}
    assert "900 were made" in refused(rebuilt(certificate, {"step-2-frequency-3": fewer}))
    counts = dict(certificate.draws["counts"]) | {"step-2-frequency-3": 901}
    forged = rebuilt(certificate, {"step-2-frequency-3": fewer}, draws=dict(certificate.draws) | {"counts": counts})
    assert "2 epochs over 450 examples of the bound are 900 draws, not 901" in refused(forged)
    smaller = dict(claim(certificate, "risk").inputs)
    smaller["kl"] /= 2
    assert "its KL divergence is" in refused(rebuilt(certificate, {"risk": smaller}))


def test_frequencies_in_each_others_place(three):
    certificate, _ = three
    inputs = dict(claim(certificate, "risk").inputs)
    inputs |= {"frequency_2": inputs["frequency_3"], "frequency_3": inputs["frequency_2"]}
    claims = tuple(dataclasses.replace(old, inputs=inputs) if old.id == "risk" else old for old in certificate.claims)
    assert "its frequency_2 must be about the loss '0-1'" in refused(
        dataclasses.replace(certificate, claims=claims, digest="")
    )


def test_an_unpaid_step(three):
    certificate, _ = three
    inputs = dict(claim(certificate, "risk").inputs) | {"delta": 0.04}
    assert "spends 0.04, more than its budget" in refused(rebuilt(certificate, {"risk": inputs}))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"steps": 0}, "steps must be at least 1"),
        ({"steps": 12}, "steps must be at least 1 and leave examples to each, got 12 for 600"),
        ({"gamma": 1.5}, "gamma must be in"),
        ({"prior_scale": 0.0}, "prior_scale must be positive"),
        ({"prior_scale": "per layer"}, "prior_scale must be positive and finite, got 'per layer'"),
        ({"steps": 2.5}, "steps must be at least 1"),
        ({"passes": 1.5}, "passes must be a whole number of at least 1, got 1.5"),
        ({"monte_carlo_share": 1.0}, "monte_carlo_share must be strictly between"),
    ],
)
def test_impossible_settings_are_refused_at_once(tmp_path, changes, words):
    with pytest.raises(ValueError, match=words):
        certify_recursive(network, blobs(), out=tmp_path / "out", **QUICK | changes)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("n", "steps"), [(60_000, 1), (60_000, 8), (601, 3), (8, 4)])
def test_chunk_sizes_add_up_and_grow(n, steps):
    sizes = chunk_sizes(n, steps)
    assert sum(sizes) == n
    assert len(sizes) == steps
    assert abs(sizes[-1] - n / (2 if steps > 1 else 1)) <= 1
    assert list(sizes[1:]) == sorted(sizes[1:])


def test_the_certificate_says_it(three):
    _, out = three
    text = str(Certificate.load(out / "certificate.json"))
    assert "pac_bayes.recursive_step (Wu2024" in text
    assert "draw a predictor from the posterior Q afresh" in text
