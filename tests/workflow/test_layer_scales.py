"""Prior scales by layer: what is paid is the product of the grids, and what is bought is a smaller KL."""

import dataclasses
import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import nn

from genbounds.certificates import Ledger, LedgerEntry, verify
from genbounds.pac_bayes.low_rank import LowRankGaussian
from genbounds.pac_bayes.posteriors import DiagonalGaussian
from genbounds.pac_bayes.priors import scale_grid
from genbounds.theorems import Assumption
from genbounds.workflow import PosteriorTraining, certify, remeasure
from genbounds.workflow.gaussians import PER_LAYER, Prior, layer_of, nearest_prior

QUICK = {"posterior": PosteriorTraining(epochs=3, batch_size=64), "passes": 2, "prior": "zero"}


def data(n=800):
    generator = torch.Generator().manual_seed(0)
    targets = torch.randint(3, (n,), generator=generator)
    return torch.randn(n, 4, generator=generator) + 4 * nn.functional.one_hot(targets, 4), targets


def unequal():
    """A network whose layers have weights of very different size, and the same output as a balanced one."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 12), nn.ReLU(), nn.Linear(12, 3))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    inputs, targets = data()
    for _ in range(150):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(inputs), targets).backward()
        optimizer.step()
    with torch.no_grad():
        for value in model[0].parameters():
            value.mul_(0.02)
        model[2].weight.mul_(50)
    return model.eval()


@pytest.fixture(scope="module")
def by_layer(tmp_path_factory):
    out = tmp_path_factory.mktemp("layers")
    return certify(unequal(), data(), prior_scale=PER_LAYER, out=out, **QUICK), out


def test_the_union_over_all_combinations_is_paid(by_layer):
    certificate, _ = by_layer
    sizes = {"0": 4 * 12 + 12, "2": 12 * 3 + 3}
    counts = {layer: len(scale_grid(d)) for layer, d in sizes.items()}
    assert certificate.prior["scale"]["candidates"] == counts
    assert set(certificate.prior["scale"]["value"]) == {"0", "2"}
    (entry,) = certificate.ledger.entries_of("risk")
    assert {union.over: union.candidates for union in entry.unions} == {
        f"prior scale of {layer}": count for layer, count in counts.items()
    }
    claim = certificate.basis[-1]
    assert Fraction(claim.inputs["delta"]) * math.prod(counts.values()) <= Fraction(entry.budget)
    assert claim.inputs["delta"] == pytest.approx(entry.budget / math.prod(counts.values()))


def test_it_verifies_and_measures_again(by_layer):
    certificate, out = by_layer
    assert verify(certificate).ok
    verification = remeasure(out / "certificate.json", unequal(), data())
    assert verification.ok, str(verification)


def test_an_unpaid_layer_is_noticed(by_layer):
    certificate, _ = by_layer
    (entry,) = certificate.ledger.entries_of("risk")
    others = tuple(own for own in certificate.ledger.entries if own.claim != "risk")
    unpaid = Ledger(certificate.ledger.delta, (LedgerEntry("risk", entry.budget, entry.unions[:1]), *others))
    assert not verify(dataclasses.replace(certificate, ledger=unpaid, digest="")).ok
    scale = certificate.prior["scale"]
    for forged in (
        scale | {"candidates": {"0": scale["candidates"]["0"]}},
        scale | {"candidates": 1},
        scale | {"candidates": {}, "value": {}},
        scale | {"candidates": {layer: 2 * count for layer, count in scale["candidates"].items()}},
    ):
        prior = certificate.prior | {"scale": forged}
        assert not verify(dataclasses.replace(certificate, prior=prior, digest="")).ok


def test_it_helps_where_layers_differ():
    # Free of the Monte Carlo step and of training: the KL, plus what the unions cost, of one posterior.
    model = unequal()
    mean = dict(model.named_parameters())
    scale = {name: torch.full_like(v, 0.1 * float(v.detach().square().mean().sqrt())) for name, v in mean.items()}
    q = DiagonalGaussian({name: value.detach().clone() for name, value in mean.items()}, scale)
    zero = {name: torch.zeros_like(value) for name, value in q.mean.items()}
    common = Prior("zero", zero, tuple(scale_grid(q.parameters, 1e-4, 1e3)), "grid")
    layers = Prior("zero", zero, {layer: tuple(scale_grid(40, 1e-4, 1e3)) for layer in ("0", "2")}, "grid")
    cost = {
        kind: nearest_prior(kind_prior, q)[1] + kind_prior.log_candidates
        for kind, kind_prior in (("common", common), ("layers", layers))
    }
    assert cost["layers"] < 0.75 * cost["common"]
    # And it costs where they do not differ: one more logarithm and nothing bought.
    same = DiagonalGaussian.isotropic(zero, 0.1)
    assert (
        nearest_prior(layers, same)[1] + layers.log_candidates > nearest_prior(common, same)[1] + common.log_candidates
    )


@pytest.mark.parametrize("rank", [0, 2])
def test_the_nearest_prior_is_the_best_of_all_combinations(rank):
    generator = torch.Generator().manual_seed(1)
    mean = {
        name: torch.randn(s, generator=generator) * k
        for name, s, k in (("a.weight", (3, 2), 1), ("a.bias", (3,), 1), ("b.weight", (2, 3), 9))
    }
    scale = {name: torch.full_like(value, 0.1) for name, value in mean.items()}
    q = DiagonalGaussian(mean, scale)
    if rank:
        q = LowRankGaussian(mean, scale, {n: torch.randn(rank, *v.shape, generator=generator) for n, v in mean.items()})
    zero = {name: torch.zeros_like(value) for name, value in mean.items()}
    prior = Prior("zero", zero, {"a": (0.3, 1.0, 3.0, 10.0), "b": (0.5, 2.0, 8.0, 32.0)}, "grid")
    nearest, kl = nearest_prior(prior, q)
    every = [q.kl(prior.at({"a": a, "b": b})) for a in prior.scales["a"] for b in prior.scales["b"]]
    assert kl == min(every)
    assert kl == q.kl(nearest)
    assert prior.described(nearest)["value"].keys() == {"a", "b"}


def test_layers_are_the_modules_that_hold_the_parameters():
    assert [layer_of(name) for name in ("0.weight", "body.conv.bias", "gain")] == ["0", "body.conv", ""]


def test_wrong_uses_are_refused():
    model = unequal()
    with pytest.raises(ValueError, match="data-free priors zero and initialisation"):
        certify(model, data(), prior_scale=PER_LAYER, **QUICK | {"prior": "checkpoint"})
    with pytest.raises(ValueError, match="prior_scale must be positive and finite"):
        certify(model, data(), prior_scale="by layer", **QUICK)
    deep = nn.Sequential(*(nn.Linear(4, 4) for _ in range(200)), nn.Linear(4, 3)).eval()
    with pytest.raises(ValueError, match="over all combinations of their scales costs"):
        certify(deep, data(), prior_scale=PER_LAYER, **QUICK)


def test_a_posterior_that_is_there_already_is_certified(tmp_path):
    model, examples = unequal(), data()
    mean = {name: value.detach().clone() for name, value in model.named_parameters()}
    scale = {name: torch.full_like(value, 1e-3) for name, value in mean.items()}
    factor = {name: 0.05 * value[None] for name, value in mean.items()}  # one direction: the length of all weights
    q = LowRankGaussian(mean, scale, factor)
    certificate = certify(model, examples, out=tmp_path, **QUICK | {"posterior": q})
    assert verify(certificate).ok
    assert certificate.posterior["family"] == "gaussian, diagonal + rank 1"
    assert certificate.posterior["start"] == "given"
    assert certificate.assumptions[Assumption.DRAWS_INDEPENDENT] == "declared"  # who made it may have known the seed
    assert certificate.posterior["training"] is None
    assert certificate.posterior["sha256"] == q.sha256()
    verification = remeasure(tmp_path / "certificate.json", model, examples)
    assert verification.ok, str(verification)
    from genbounds.workflow import load_predictor

    predictor = load_predictor(tmp_path, model)
    inputs, targets = examples
    wrong = float((predictor.gibbs(inputs, seed=1) != targets).double().mean())
    assert wrong <= certificate.value
    assert (predictor.majority(inputs, draws=3, seed=1) != targets).double().mean() < 0.5
    assert np.isfinite(certificate.value)


def test_a_posterior_over_other_parameters_is_refused():
    with pytest.raises(ValueError, match="by name and shape"):
        certify(unequal(), data(), **QUICK | {"posterior": DiagonalGaussian.isotropic({"w": torch.zeros(2)}, 0.1)})
