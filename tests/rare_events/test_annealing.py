"""Annealed importance sampling: unbiased on exact cases, with intervals that cover, and what happens off the path."""

import math

import numpy as np
import pytest
import torch
from scipy.special import betainc
from scipy.stats import chi2, multivariate_normal, norm
from torch import nn
from torch.nn import functional as F

from genbounds.inductive_bias.networks import NetworkPrior
from genbounds.rare_events import QuadraticForm, TailCurve, annealed_importance, quadratic_tail
from genbounds.rare_events.markov_chains.hamiltonian import transition
from genbounds.rare_events.tempering import populations

#: So little work that weights spread and chains hardly move: an estimate that leaned on mixing would show.
CRUDE = {"chains": 4, "runs": 2, "leapfrog": 2, "overlap": 0.6}


def half_space(z):
    return -z[:, 0]


def mean_square(z):
    return (z**2).mean(1)


def ratios(seeds, loss, dimension, levels, truth, **settings):
    """Return estimates of the probabilities over the truth, for many seeds."""
    found = []
    for seed in range(seeds):
        nats = annealed_importance(loss, dimension, levels, seed=seed, **CRUDE | settings).nats
        found.append(np.exp(np.asarray(truth) - np.where(np.isnan(nats), np.inf, nats)))
    return np.array(found)


def off(found):
    """Return by how many standard errors the average is off 1."""
    return (found.mean(0) - 1) / (found.std(0, ddof=1) / math.sqrt(len(found)))


def near(curve, truth):
    """Return whether all values are within twice the arms of the intervals, about five standard errors."""
    return bool((abs(curve.nats - truth) < curve.high - curve.low).all())


LEVELS = [-3.0, -2.0]
TRUTH = -norm.logcdf(LEVELS)


def test_the_estimate_is_unbiased_however_crude():
    found = ratios(300, half_space, 2, LEVELS, TRUTH)
    assert found.std(0).min() > 0.3  # crude indeed
    assert abs(off(found)).max() < 3.5
    assert (found.mean(0) > 0.7).all()  # and the test has power


def test_it_is_unbiased_for_a_quadratic_energy():
    levels = [0.1, 0.4]
    found = ratios(200, mean_square, 4, levels, -chi2.logcdf(4 * np.array(levels), 4))
    assert abs(off(found)).max() < 3.5


def not_invariant(points, energies, coldness, step, leapfrog, generator):
    return transition(points, energies, coldness / 2, step, leapfrog, generator)


def unmoved(points, energies, coldness, step, leapfrog, generator):
    return points, torch.ones(len(points.z), dtype=torch.float64)


def regardless(logs, generator):
    return torch.randint(0, logs.shape[1], logs.shape, generator=generator)


def test_moves_that_are_not_invariant_are_seen(monkeypatch):
    monkeypatch.setattr(populations, "transition", not_invariant)
    assert abs(off(ratios(200, half_space, 2, LEVELS, TRUTH))).max() > 5


def test_chains_that_never_move_are_enough_and_resampling_without_regard_to_weights_is_seen(monkeypatch):
    levels = [-1.5, -0.5]
    settings = {"chains": 16, "runs": 4, "overlap": 0.8, "temperatures": 12}
    monkeypatch.setattr(populations, "transition", unmoved)
    assert abs(off(ratios(100, half_space, 1, levels, -norm.logcdf(levels), **settings))).max() < 3.5
    monkeypatch.setattr(populations, "_offspring", regardless)
    assert abs(off(ratios(100, half_space, 1, levels, -norm.logcdf(levels), **settings))).max() > 5


def test_a_limit_by_markovs_inequality_fails_rarely_however_crude():
    failures = 0
    for seed in range(100):
        curve = annealed_importance(half_space, 2, LEVELS, seed=seed, **CRUDE)
        failures += bool((np.asarray(curve.upper_limit(0.2)) < TRUTH).any())
    assert failures <= 20 + 2.3 * math.sqrt(16)
    assert curve.unbiased


def coverage(loss, dimension, levels, truth, seeds, **settings):
    covered, errors, values = [], [], []
    for seed in range(seeds):
        curve = annealed_importance(loss, dimension, levels, seed=seed, **settings)
        covered.append((curve.low <= truth) & (truth <= curve.high))
        errors.append(curve.standard_error)
        values.append(curve.nats - truth)
    return np.mean(covered, 0), np.mean(errors, 0), np.array(values)


def test_a_half_space_from_five_nats_to_three_hundred():
    levels = [-24.0, -14.0, -6.0, -2.5]
    truth = -norm.logcdf(levels)
    assert truth[0] > 290
    covered, error, off_truth = coverage(half_space, 4, levels, truth, 16, overlap=0.9, leapfrog=8)
    assert (covered >= 0.75).all()
    assert covered.mean() >= 0.87
    assert (error < 1).all()
    assert (abs(off_truth.mean(0)) < 3 * error / 4 + error / 3).all()
    # Standard errors are those that values have over repetitions.
    assert (abs(np.log(error / off_truth.std(0))) < math.log(2)).all()


def shapes():
    weights = np.arange(1, 31) ** -1.0 / 30
    shifts = np.full(30, 0.7)
    form = QuadraticForm(weights, shifts, 0.1)
    scale, shift = torch.tensor(weights), torch.tensor(shifts)
    levels = 0.1 + (float(form.mean) - 0.1) * np.array([1e-3, 1e-2, 0.1, 0.5])
    quadratic = (lambda z: 0.1 + (z + shift) ** 2 @ scale, 30, levels, quadratic_tail(form, levels).nats)

    def angle(z):
        return torch.arccos((z[:, 0] / z.norm(dim=1)).clamp(-1 + 1e-12, 1 - 1e-12)) / math.pi

    cap = np.array([0.05, 0.1, 0.3])
    return {
        "shifted quadratic": quadratic,
        "angle to a teacher": (angle, 12, cap, -np.log(betainc(5.5, 0.5, np.sin(math.pi * cap) ** 2) / 2)),
    }


@pytest.mark.parametrize("name", shapes())
def test_exact_tails_are_met(name):
    loss, dimension, levels, truth = shapes()[name]
    curve = annealed_importance(loss, dimension, levels, leapfrog=12)
    assert near(curve, truth)
    assert (curve.standard_error < 0.8).all()
    assert curve.kind == "estimate"
    assert TailCurve.from_json(curve.to_json()).nats.tolist() == curve.nats.tolist()


@pytest.mark.slow
def test_intervals_cover_at_any_depth():
    for loss, dimension, levels, truth in shapes().values():
        covered, error, off_truth = coverage(loss, dimension, levels, truth, 16, leapfrog=16)
        assert covered.mean() > 0.9
        assert (covered >= 0.8).all()
        assert (abs(off_truth.mean(0)) < error).all()


def test_a_linear_network_against_its_exact_tail():
    inputs, targets = torch.randn(12, 5, generator=torch.Generator().manual_seed(0)), torch.arange(12.0)[:, None] / 4
    prior = NetworkPrior(nn.Linear(5, 1), dtype=torch.float64)
    features = torch.cat([inputs, torch.ones(12, 1)], 1).double().numpy() / math.sqrt(5)
    form = QuadraticForm.from_factor(-targets.double().numpy()[:, 0], features)
    levels = form.offset + (float(form.mean) - form.offset) * np.array([1e-7, 1e-3, 0.1])
    exact = quadratic_tail(form, levels)
    assert exact.nats[0] > 40
    loss = prior.loss(F.mse_loss, (inputs, targets))
    curve = annealed_importance(loss, prior.dimension, levels, leapfrog=8)
    assert near(curve, exact.nats)
    assert (curve.standard_error < 0.6).all()
    below = annealed_importance(loss, 6, [form.offset * 0.9, levels[-1]], temperatures=40, overlap=0.7, leapfrog=8)
    assert math.isnan(below.nats[0])  # there is nothing below the floor, which no sampler can tell
    assert below.high[0] == math.inf
    assert below.low[0] == below.low[1]
    assert any("the pilot did not bring its chains" in warning for warning in below.warnings)
    assert any("at 1 of 2 levels" in warning for warning in below.warnings)
    assert np.asarray(below.upper_limit(0.05))[0] == math.inf


def test_errors_are_driven_by_a_smooth_energy():
    teacher = torch.tensor([1.0, -1.0, 0.5])

    def errors(z):
        return (torch.round(8 * torch.arccos((z @ teacher.double() / 1.5 / z.norm(dim=1)).clamp(-1, 1)) / math.pi)) / 8

    def energy(z):
        return nn.functional.softplus(-3 * z @ teacher.double())

    levels = [0.0, 0.25]
    # Rounded to eighths: angles up to pi / 16 and 5 pi / 16 of a cap on the sphere.
    truth = -np.log((1 - np.cos(np.array([1, 5]) * math.pi / 16)) / 2)
    curve = annealed_importance(errors, 3, levels, energy=energy)
    assert near(curve, truth)
    assert (curve.standard_error < 0.5).all()
    with pytest.raises(ValueError, match="energy must be differentiable"):
        annealed_importance(lambda z: (z[:, 0] > 0).double(), 3, [0.5])


def test_beyond_a_condition():
    def first(z):
        return (z[:, :4] ** 2).mean(1)

    found = annealed_importance(mean_square, 8, [0.02, 0.1], condition=(first, 0.05), seed=1)
    # Independent oracle: P(A <= a, A + B <= b), A and B chi-squared with 4 degrees of freedom, by quadrature.
    grid = np.linspace(0, 0.2, 20001)
    density = chi2(4).pdf(grid)
    joint = [np.trapezoid(density * chi2(4).cdf(np.maximum(8 * level - grid, 0)), grid) for level in (0.02, 0.1)]
    condition = chi2(4).cdf(0.2)
    for curve, truth in (
        (found.condition, -np.log([condition])),
        (found.joint, -np.log(joint)),
        (found.tail, math.log(condition) - np.log(joint)),
    ):
        assert near(curve, truth)
        assert (curve.standard_error < 0.6).all()
    assert found.tail.nats + found.condition.nats == pytest.approx(found.joint.nats)  # the chain rule
    assert found.joint.unbiased
    assert not found.tail.unbiased
    with pytest.raises(ValueError, match="must be certain, counted or unbiased"):
        found.tail.upper_limit(0.05)


def test_condition_and_joint_are_unbiased_however_crude():
    def other(z):
        return -z[:, 1] - 0.5 * z[:, 0]

    correlation = 0.5 / math.sqrt(1.25)
    both = multivariate_normal([0, 0], [[1, correlation], [correlation, 1]]).cdf([-2.0, -2.0 / math.sqrt(1.25)])
    condition, joint, settings = [], [], {"chains": 16, "runs": 2, "leapfrog": 4, "overlap": 0.8}
    for seed in range(200):
        found = annealed_importance(half_space, 2, [-2.0], condition=(other, -2.0), seed=seed, **settings)
        condition.append(np.exp(-np.nan_to_num(found.condition.nats[0], nan=np.inf)) / norm.cdf(-2 / math.sqrt(1.25)))
        joint.append(np.exp(-np.nan_to_num(found.joint.nats[0], nan=np.inf)) / both)
    found = np.array([condition, joint]).T
    assert abs(off(found)).max() < 3.5
    assert (abs(found.mean(0) - 1) < 0.2).all()


def test_a_run_that_missed_the_condition_counts_as_nothing(monkeypatch):
    logs = np.log(np.array([[0.1, 0.01], [0.3, 0.03], [1e-300, 0.05]]))
    logs[2, 0] = -math.inf  # condition and level are looked for at different temperatures
    monkeypatch.setattr(populations.Populations, "anneal", lambda *_: logs)
    found = annealed_importance(mean_square, 2, [0.1], condition=(half_space, 0.0), runs=3, overlap=0.5)
    assert found.condition.nats[0] == pytest.approx(-math.log(0.4 / 3))
    assert found.joint.nats[0] == pytest.approx(-math.log(0.04 / 3))
    assert found.tail.nats[0] == pytest.approx(math.log(10))


def test_an_energy_of_the_condition_and_an_infinite_loss():
    def wrong(z):
        return torch.where(z[:, 0] > 0, math.inf, -z[:, 1])

    found = annealed_importance(
        wrong,
        2,
        [-2.0],
        energy=lambda z: -z[:, 1],
        condition=(lambda z: (z[:, 0] > -1).double(), 0.5),
        condition_energy=lambda z: z[:, 0],
    )
    truth = -math.log(norm.cdf(-1)) - math.log(norm.cdf(-2))
    assert found.condition.nats[0] == pytest.approx(-math.log(norm.cdf(-1)), abs=4 * found.condition.standard_error[0])
    assert found.joint.low[0] < truth < found.joint.high[0]


def test_an_energy_beyond_the_condition_may_be_infinite():
    def beyond(z):
        return torch.where(z[:, 0] > 0, math.inf, z[:, 0])

    found = annealed_importance(
        beyond, 2, [-1.0], condition=(lambda z: -z[:, 1], -1.0), chains=64, overlap=0.9, leapfrog=8
    )
    alone = -math.log(norm.cdf(-1))
    for curve, truth in ((found.condition, alone), (found.tail, alone), (found.joint, 2 * alone)):
        assert abs(curve.nats[0] - truth) < 4 * curve.standard_error[0] < 0.8


def test_where_the_probability_is_one():
    curve = annealed_importance(mean_square, 5, [1e6, 2e6])
    assert curve.nats.tolist() == [0, 0]
    assert 0 < curve.high[0] < 0.1
    assert curve.low.tolist() == [0, 0]


def test_the_seed_is_all():
    state = torch.get_rng_state()
    settings = {"chains": 8, "overlap": 0.9, "leapfrog": 4}
    one, same, other = (annealed_importance(mean_square, 3, [0.1], seed=seed, **settings) for seed in (1, 1, 2))
    assert one.nats.tolist() == same.nats.tolist()
    assert one.samples == same.samples
    assert one.nats.tolist() != other.nats.tolist()
    assert torch.equal(torch.get_rng_state(), state)
    narrow = annealed_importance(mean_square, 3, [0.1], seed=1, dtype=torch.float32, **settings)
    assert abs(narrow.nats - one.nats) < 5 * one.standard_error


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"levels": [0.2, 0.1]}, "levels must be a list that increases"),
        ({"levels": [math.nan]}, "levels must be"),
        ({"dimension": 0}, "dimension must be"),
        ({"chains": 1}, "chains must be"),
        ({"runs": 1}, "runs must be"),
        ({"leapfrog": 0}, "leapfrog must be"),
        ({"temperatures": 0}, "temperatures must be"),
        ({"overlap": 1.0}, "overlap must be"),
        ({"confidence": 0.0}, "confidence must be"),
        ({"condition": (mean_square, math.nan)}, "condition must be"),
        ({"loss": lambda z: z.sum(1) * math.nan}, "energy must be a number"),
        ({"loss": lambda z: z, "energy": mean_square}, "loss must be a number or infinity for each"),
        ({"loss": lambda z: z[:, 0] * math.nan, "energy": mean_square}, "loss must be a number or infinity for each"),
        (
            {"energy": lambda z: torch.where(z[:, 0] > 2, math.inf, mean_square(z)), "loss": lambda z: -z[:, 0]},
            "energy must be finite where the loss",
        ),
    ],
)
def test_what_is_out_of_range_is_named(settings, message):
    with pytest.raises(ValueError, match=message):
        annealed_importance(**{"loss": mean_square, "dimension": 3, "levels": [0.1, 5.0]} | settings)
