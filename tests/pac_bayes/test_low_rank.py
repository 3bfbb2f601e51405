"""Diagonal plus low-rank Gaussians: KL against ball arithmetic, the interface of the diagonal ones, files, refusals."""

import math

import numpy as np
import pytest
import torch
from flint import arb, arb_mat
from torch import nn

from genbounds.models.data import load_data
from genbounds.models.passes import count_errors_fresh_draws, count_errors_shared_draw
from genbounds.pac_bayes.low_rank import LowRankGaussian, load_gaussian
from genbounds.pac_bayes.posteriors import DiagonalGaussian


def low_rank(seed=0, rank=2, dtype=torch.float32, size=0.2):
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(shape, generator=generator).to(dtype)

    mean = {"b": normal(3), "a.weight": normal(3, 2)}
    scale = {"b": torch.tensor(0.1, dtype=dtype), "a.weight": 0.1 + normal(3, 2).abs()}
    return LowRankGaussian(mean, scale, {name: size * normal(rank, *value.shape) for name, value in mean.items()})


def oracle(q, p):
    """KL from the dense covariance, in ball arithmetic."""
    names = list(q.mean)

    def flat(weights):
        return [arb(x.item()) for name in names for x in weights[name].expand_as(q.mean[name]).flatten()]

    columns = [[arb(x.item()) for name in names for x in q.factor[name][r].flatten()] for r in range(q.rank)]
    mean, scale, prior_mean, prior_scale = flat(q.mean), flat(q.scale), flat(p.mean), flat(p.scale)
    d = len(mean)
    covariance = arb_mat(d, d)
    for i in range(d):
        for j in range(d):
            covariance[i, j] = sum((c[i] * c[j] for c in columns), arb(0)) + (scale[i] ** 2 if i == j else 0)
    total = -covariance.det().log() - d
    for i in range(d):
        total += (covariance[i, i] + (mean[i] - prior_mean[i]) ** 2) / prior_scale[i] ** 2 + 2 * prior_scale[i].log()
    return total / 2


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("seed", [0, 1])
def test_kl_is_that_of_the_dense_covariance_rounded_up(seed, dtype):
    q = low_rank(seed, dtype=dtype)
    isotropic = DiagonalGaussian.isotropic({name: 0 * value for name, value in q.mean.items()}, 0.3)
    for p in (isotropic, low_rank(seed + 10, dtype=dtype).diagonal):
        value, truth = q.kl(p), oracle(q, p)
        assert arb(value) >= truth
        assert value == pytest.approx(float(truth), rel=1e-9)


def test_without_factor_it_is_the_diagonal_one():
    q = low_rank(size=0.0)
    p = low_rank(3).diagonal
    assert q.kl(p) == pytest.approx(q.diagonal.kl(p), rel=1e-14)
    assert q.parameters == q.diagonal.parameters == 9
    assert q.spread(p.mean) == q.diagonal.spread(p.mean)


def test_spread_finds_the_nearest_isotropic_prior():
    q = low_rank(1)
    centre = {name: torch.zeros_like(value, dtype=torch.float64) for name, value in q.mean.items()}
    best = math.sqrt(sum(q.spread(centre).values()) / q.parameters)
    kls = {factor: q.kl(DiagonalGaussian.isotropic(centre, factor * best)) for factor in (0.99, 1.0, 1.01)}
    assert min(kls, key=kls.get) == 1.0


def test_one_interface_for_both_in_the_passes():
    inputs, targets = torch.randn(40, 2), torch.randint(3, (40,))
    data, model = load_data((inputs, targets), part="all"), nn.Linear(2, 3).eval()
    named = {"weight": "a.weight", "bias": "b"}
    q = low_rank()
    parts = [{own: part[name] for own, name in named.items()} for part in (q.mean, q.scale, q.factor)]
    for posterior in (LowRankGaussian(*parts), DiagonalGaussian(*parts[:2])):
        law = posterior.law("cpu", torch.float32)
        for count in (count_errors_fresh_draws, count_errors_shared_draw):
            how = {"data": data, "indices": np.arange(40), "seed": 0, **law}
            errors = [count(model, number=number, **how) for number in range(3)]
            assert errors == [count(model, number=number, **how) for number in range(3)]
            assert all(0 < error < 40 for error in errors)
    wide = LowRankGaussian(*parts[:2], {name: 100 * value for name, value in parts[2].items()})
    fresh = [
        count_errors_fresh_draws(
            model, data=data, indices=np.arange(40), seed=0, number=0, **g.law("cpu", torch.float32)
        )
        for g in (LowRankGaussian(*parts), wide)
    ]
    assert fresh[0] != fresh[1]  # the factor is drawn


def test_law_is_on_the_device_asked_for():
    law = low_rank().law("meta", torch.float16)
    assert list(law) == ["mean", "scale", "factor"]
    for part in law.values():
        assert list(part) == ["a.weight", "b"]
        assert all(value.device.type == "meta" and value.dtype == torch.float16 for value in part.values())


def test_files_come_back_to_the_bit_and_say_what_they_are(tmp_path):
    q = low_rank()
    q.save(tmp_path / "q.safetensors")
    q.diagonal.save(tmp_path / "d.safetensors")
    again = load_gaussian(tmp_path / "q.safetensors")
    assert isinstance(again, LowRankGaussian)
    assert again.sha256() == q.sha256()
    assert isinstance(load_gaussian(tmp_path / "d.safetensors"), DiagonalGaussian)
    assert again.kl(low_rank(3).diagonal) == q.kl(low_rank(3).diagonal)
    with pytest.raises(ValueError, match="mean: and scale:"):
        DiagonalGaussian.load(tmp_path / "q.safetensors")
    (tmp_path / "x").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="saved by genbounds"):
        load_gaussian(tmp_path / "x")


def test_fingerprint_sees_every_bit_and_no_order():
    q = low_rank()
    backwards = LowRankGaussian(*(dict(reversed(part.items())) for part in (q.mean, q.scale, q.factor)))
    assert backwards.sha256() == q.sha256() == low_rank().sha256()
    assert len({q.sha256(), q.diagonal.sha256(), low_rank(1).sha256()}) == 3


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"b": None}, "must name the same parameters"),
        ({"b": torch.zeros(2, 4)}, "must have the shape"),
        ({"b": torch.zeros(3, 3)}, "must have the shape"),
        ({"b": torch.full((2, 3), torch.nan)}, "finite"),
    ],
)
def test_impossible_factors_are_refused(change, words):
    q = low_rank()
    factor = {name: value for name, value in (dict(q.factor) | change).items() if value is not None}
    with pytest.raises(ValueError, match=words):
        LowRankGaussian(q.mean, q.scale, factor)


def test_other_parameters_are_refused():
    with pytest.raises(ValueError, match="by name and shape"):
        low_rank().kl(DiagonalGaussian.isotropic({"b": torch.zeros(3)}, 1.0))
