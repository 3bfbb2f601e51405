import json
import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.stats import chi2, norm
from torch import nn

from genbounds.inductive_bias.networks import NetworkPrior
from genbounds.inductive_bias.volume.curvature import cost_curvature
from genbounds.inductive_bias.volume.directions import Curvature, DirectionLaw, Spectral, posterior_directions
from genbounds.inductive_bias.volume.local_volume import LocalVolume, local_volume
from genbounds.inductive_bias.volume.radial import reach
from genbounds.inductive_bias.volume.rays import GROWTH
from genbounds.rare_events.quadratic.forms import QuadraticForm
from genbounds.rare_events.quadratic.tails import quadratic_tail


def bowl(curvatures, anchor):
    """Cost ``sum h_i (z_i - a_i)^2 / 2``."""
    return lambda z: ((z - anchor).square() @ curvatures) / 2


def exact(curvatures, anchor, levels):
    return quadratic_tail(QuadraticForm(curvatures.numpy() / 2, -anchor.numpy(), 0.0), levels).nats


def spectrum(size, condition):
    return torch.logspace(0, -math.log10(condition), size, dtype=torch.float64)


def centred(function, curvatures):
    """Directions of a linear preconditioner ``function(h)``, without an offset."""
    return [DirectionLaw(Spectral(function(curvatures)), torch.zeros_like(curvatures))]


@pytest.mark.parametrize(("size", "condition"), [(20, 1e2), (50, 1e2), (50, 1e4), (200, 1e4)])
def test_quadratics_by_four_kinds_of_directions(size, condition):
    """Truth near 25, 82, 40 and 250 nats: isotropic directions are wrong by up to 140, and the alarm is raised."""
    h, level = spectrum(size, condition), 0.041
    anchor = torch.zeros(size, dtype=torch.float64)
    cost, truth = bowl(h, anchor), float(exact(h, anchor, [level])[0])
    # What an ellipsoid of the level suggests, in every direction, with the precision of the prior added.
    published = centred(lambda h: (h * (size + 2) / (2 * level) + 1).rsqrt(), h)
    ways = {
        "isotropic": centred(torch.ones_like, h),
        "curvature": centred(torch.rsqrt, h),
        "published": published,
        "default": None,
    }
    found = {name: local_volume(cost, anchor, [level], directions=laws, rays=500) for name, laws in ways.items()}
    error = {name: float(volume.curve.nats[0]) - truth for name, volume in found.items()}
    alarm = {name: bool(volume.curve.warnings) for name, volume in found.items()}
    assert abs(error["default"]) < 0.1
    assert abs(error["published"]) < 0.4
    assert not alarm["default"]
    assert alarm["isotropic"]
    if size > 20:
        assert error["isotropic"] > {50: 2.0, 200: 100.0}[size]
    assert alarm["curvature"] == (condition == 1e4)
    assert error["curvature"] > 0.3 or condition == 1e2
    for volume in found.values():
        assert volume.curve.low[0] <= truth <= volume.curve.high[0]


def test_a_long_anchor_with_flat_directions_needs_the_offset():
    """Here the published preconditioner misses e^20 and more at a spread that looks fine."""
    rng = np.random.default_rng(0)
    h = torch.cat([torch.logspace(1, -1, 20, dtype=torch.float64), torch.full((480,), 1e-6, dtype=torch.float64)])
    level = 0.1
    for anchor in (torch.zeros(500, dtype=torch.float64), torch.as_tensor(rng.standard_normal(500))):
        cost, truth = bowl(h, anchor), float(exact(h, anchor, [level])[0])
        ours = local_volume(cost, anchor, [level], rays=500)
        assert float(ours.curve.nats[0]) == pytest.approx(truth, abs=0.5)
        assert not ours.curve.warnings
        published = centred(lambda h: (h * 502 / (2 * level) + 1).rsqrt(), h)
        peer = local_volume(cost, anchor, [level], directions=published, rays=500)
        assert float(peer.curve.nats[0]) > truth + 20
        assert peer.curve.warnings
        if not anchor.any():
            assert peer.spread[0] < 4 < ours.spread[0]  # the spread has it the wrong way round


def test_many_levels_share_their_rays():
    h, levels = spectrum(30, 1e3) * 10, np.array([0.01, 0.1, 1.0, 10.0, 100.0])
    anchor = torch.as_tensor(np.random.default_rng(1).standard_normal(30))
    found = local_volume(bowl(h, anchor), anchor, levels, rays=1500)
    truth = exact(h, anchor, levels)
    assert np.abs(found.curve.nats - truth).max() < 0.3
    assert (np.diff(found.curve.nats) < 0).all()
    assert found.returned == found.stepped_over == 0
    again = local_volume(bowl(h, anchor), anchor, levels, rays=1500)
    assert again.to_json() == found.to_json()


def test_an_anchor_that_is_no_minimum():
    h = spectrum(20, 1e2) * 10
    rng = np.random.default_rng(2)
    bottom = torch.as_tensor(rng.standard_normal(20))
    anchor = bottom + 0.2 * torch.as_tensor(rng.standard_normal(20))
    cost = bowl(h, bottom)
    level = 1.5 * float(cost(anchor[None]))
    found = local_volume(cost, anchor, [level], rays=2000)
    assert float(found.curve.nats[0]) == pytest.approx(float(exact(h, bottom, [level])[0]), abs=0.2)


@pytest.mark.parametrize("structure", ["full", "low rank", "diagonal"])
def test_any_curvature_gives_the_same_mass(structure):
    """A bad model of the curvature costs precision, and is no bias."""
    h = torch.cat([torch.tensor([300.0, 100.0, 30.0]), torch.full((27,), 0.3)]).double()
    turn = torch.linalg.qr(torch.randn(30, 30, dtype=torch.float64, generator=torch.Generator().manual_seed(3)))[0]
    anchor = torch.as_tensor(np.random.default_rng(3).standard_normal(30))
    cost = lambda z: ((z - anchor) @ turn).square() @ h / 2  # noqa: E731
    truth = float(exact(h, anchor @ turn, [0.5])[0])
    curvature = cost_curvature(cost, anchor, structure, rank=3, probes=200)
    found = local_volume(cost, anchor, [0.5], curvature=curvature, rays=4000)
    assert found.curve.low[0] <= truth <= found.curve.high[0]
    if structure != "diagonal":
        assert float(found.curve.nats[0]) == pytest.approx(truth, abs=0.1)


@pytest.mark.parametrize("case", ["fine", "hard"])
def test_intervals_cover(case):
    """A hundred seeds at 95 %: quadratics with good directions, and with some that are barely good enough."""
    h, level = spectrum(20, 1e2), 0.3
    anchor = torch.as_tensor(np.random.default_rng(4).standard_normal(20))
    truth = float(exact(h, anchor, [level])[0])
    laws = None
    if case == "hard":
        laws = centred(lambda h: (h * 22 / (2 * level) + 1).rsqrt(), h)
    runs = [
        local_volume(bowl(h, anchor), anchor, [level], directions=laws, rays=300, seed=seed).curve
        for seed in range(100)
    ]
    assert np.mean([run.low[0] <= truth <= run.high[0] for run in runs]) >= 0.89
    limits = [float(np.ravel(run.upper_limit(0.05).value)[0]) for run in runs]
    assert np.mean(np.array(limits) >= truth) >= 0.95


def test_a_star_that_is_not_convex_against_quadrature():
    """``w1^2 w2^2 <= c`` is star-shaped around the origin, with arms along both axes."""
    levels = np.array([1e-6, 1e-3, 0.1])
    found = local_volume(
        lambda z: z.square().prod(dim=1),
        torch.zeros(2, dtype=torch.float64),
        levels,
        directions=centred(torch.ones_like, torch.ones(2, dtype=torch.float64)),
        rays=20_000,
    )
    for row, level in enumerate(levels):
        edge = math.sqrt(level)
        mass = (
            2 * quad(lambda x, e=edge: norm.pdf(x) * (2 * norm.cdf(e / x) - 1), 0, 40, points=[edge, 1], limit=500)[0]
        )
        assert float(found.curve.nats[row]) == pytest.approx(-math.log(mass), abs=0.05)
    assert found.returned == 0


def test_a_neighbourhood_that_is_not_star_shaped_is_a_lower_limit():
    """Two equal valleys: from one only half of the mass is seen, and the rays that come back are counted."""
    cost = lambda z: torch.minimum((z[:, 0] - 1).abs(), (z[:, 0] + 1).abs())  # noqa: E731
    anchor = torch.tensor([1.0, 0.0], dtype=torch.float64)
    laws = centred(torch.ones_like, torch.ones(2, dtype=torch.float64))
    found = local_volume(cost, anchor, [0.2, 5.0], directions=laws, rays=4000)
    here = -math.log(norm.cdf(1.2) - norm.cdf(0.8))
    assert float(found.curve.nats[0]) == pytest.approx(here, abs=0.05)
    assert found.returned > 0
    assert "not star-shaped" in "".join(found.curve.warnings)
    assert float(found.curve.nats[0]) > here - math.log(2) + 0.5  # the truth is half of that


def test_hills_that_the_search_steps_over_do_not_count():
    """Low only where the search looks: all of the prior would seem low, of which it is one part in a hundred."""
    size, half = 4, 0.003
    anchor = torch.zeros(size, dtype=torch.float64)
    first = math.log(float(reach(size, 0.0)) / 64)

    def cost(z):
        steps = (z.norm(dim=1).log() - first) / math.log(GROWTH)
        return 2.0 * ((steps - steps.round()).abs() * math.log(GROWTH) > half) * (z != 0).any(dim=1)

    laws = centred(torch.ones_like, torch.ones(size, dtype=torch.float64))
    found = local_volume(cost, anchor, [1.0], directions=laws, rays=20_000)
    ends = np.exp(first + math.log(GROWTH) * np.arange(-80, 60)[:, None] + [-half, half])
    low = np.diff(chi2.cdf(ends**2, size), axis=1).sum()
    assert 3 < -math.log(low) < 4
    assert abs(float(found.curve.nats[0]) + math.log(low)) < 4 * found.curve.standard_error[0] < 0.3
    assert found.stepped_over > 19_000
    assert "stepped over a hill" in "".join(found.curve.warnings)


def test_an_anchor_ten_times_as_long_as_the_prior_expects():
    """Along rays to the origin the mass grows with a higher power of the radius than the dimension."""
    one = torch.ones(10, dtype=torch.float64)
    anchor, level = 30 / math.sqrt(10) * one, 15.0**2 / 2
    law = posterior_directions(Curvature(Spectral(one), 0 * one), anchor, level)
    edge = lambda z: 2.0 * (bowl(one, anchor)(z) > level)  # noqa: E731 - found by halving alone
    coarse, fine = (
        local_volume(edge, anchor, [1.0], directions=[law], rays=500, tolerance=t).curve.nats[0] for t in (0.3, 1e-6)
    )
    assert fine == pytest.approx(float(exact(one, anchor, [level])[0]), abs=0.01)
    assert 0.005 < coarse - fine < 0.3


def test_a_network():
    """A linear layer, whose mean square is a quadratic form of its weights: the exact tail is known."""
    rng = np.random.default_rng(5)
    x, y = rng.standard_normal((40, 6)), rng.standard_normal((40, 1))
    model = nn.Linear(6, 1, bias=False).double().eval()
    solution = np.linalg.lstsq(x, y, rcond=None)[0]
    with torch.no_grad():
        model.weight.copy_(torch.as_tensor(solution.T))
    prior = NetworkPrior(model, 0.7, dtype=torch.float64)
    cost = prior.loss(nn.functional.mse_loss, (torch.as_tensor(x), torch.as_tensor(y)))
    floor = float(((x @ solution - y) ** 2).mean())
    levels = floor + np.array([0.01, 0.1])
    found = local_volume(cost, prior.latent().double(), levels, rays=1000)
    form = QuadraticForm.from_factor(-y[:, 0], 0.7 * x)
    assert found.curve.nats == pytest.approx(quadratic_tail(form, levels).nats, abs=0.15)
    assert found.anchor_cost == pytest.approx(floor)


def test_on_a_network_the_upper_end_stands():
    """A small network, at levels that plain draws from the prior reach."""
    generator = torch.Generator().manual_seed(6)
    x = torch.randn(40, 2, dtype=torch.float64, generator=generator)
    model = nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 1)).double().eval()
    prior = NetworkPrior(model, 1.0, dtype=torch.float64)
    teacher = torch.randn(1, prior.dimension, dtype=torch.float64, generator=generator)
    cost = prior.loss(nn.functional.mse_loss, (x, prior.outputs(teacher, x)[0].detach()))
    levels = np.array([0.05, 0.2])
    found = local_volume(cost, teacher[0], levels, rays=1000)
    losses = cost(torch.randn(50_000, prior.dimension, dtype=torch.float64, generator=generator)).numpy()
    share = (losses[:, None] <= levels).mean(0)
    assert (share * 50_000 > 25).all()
    assert (found.curve.high > -np.log(share)).all()
    assert (found.curve.nats > -np.log(share) - 0.5).all()  # the neighbourhood is a part of what is counted


def test_the_record():
    anchor = torch.zeros(3, dtype=torch.float64)
    bad = centred(lambda h: torch.logspace(0, -6, 3, dtype=torch.float64), torch.ones(3, dtype=torch.float64))
    found = local_volume(lambda z: z.square().sum(1), anchor, [0.5, 1.0], directions=bad, rays=200)
    text = json.dumps(found.to_json(), allow_nan=False)
    back = LocalVolume.from_json(json.loads(text))
    assert back.to_json() == found.to_json()
    assert str(back) == str(found)
    assert "the terms of few rays decide" in str(found)
    assert found.curve.low.tolist() == [0.0, 0.0]


def test_refusals():
    anchor = torch.zeros(2, dtype=torch.float64)
    with pytest.raises(ValueError, match="levels must be above the cost of the anchor"):
        local_volume(lambda z: 1 + z.square().sum(1), anchor, [1.0])
    with pytest.raises(ValueError, match="rays must be"):
        local_volume(lambda z: z.square().sum(1), anchor, [1.0], rays=0)
    for levels in ([], [2.0, 1.0], [1.0, 1.0], [[1.0, 2.0]]):
        with pytest.raises(ValueError, match="levels must be a list"):
            local_volume(lambda z: z.square().sum(1), anchor, levels)
    with pytest.raises(ValueError, match="anchor must be a vector"):
        local_volume(lambda z: z.square().sum(1), torch.zeros(1, 2), [1.0])
    with pytest.raises(ValueError, match="cost must return one value for each"):
        local_volume(lambda z: z.square().sum(), anchor, [1.0])
    with pytest.raises(ValueError, match="cost must be differentiable"):
        local_volume(lambda z: (z.abs().detach() > 1).double().sum(1), anchor, [1.0])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_same_on_a_gpu():
    h = spectrum(50, 1e2)
    curves = []
    for device, dtype in (("cpu", torch.float64), ("cuda", torch.float64), ("cuda", torch.float32)):
        anchor = torch.zeros(50, dtype=dtype, device=device)
        curves.append(local_volume(bowl(h.to(anchor), anchor), anchor, [0.1, 1.0], rays=1000).curve.nats)
    truth = exact(h, torch.zeros(50), [0.1, 1.0])
    assert np.abs(np.array(curves) - truth).max() < 0.3
