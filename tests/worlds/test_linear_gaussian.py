"""Closed forms of Gaussian averages against covariance matrices, integrals, and trainings."""

import math

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.optimize import minimize_scalar

from genbounds.worlds import GaussianMean, LangevinQuadratic, NoisyGaussianMean

WORLDS = [
    GaussianMean(2, 4, 1.3),
    NoisyGaussianMean(3, 5, 0.7, noise=0.4),
    LangevinQuadratic(2, 6, 1.1, step=0.1, inverse_temperature=3.0, steps=7),
    LangevinQuadratic(1, 6, 1.1, step=0.3, inverse_temperature=5.0, steps=8, batch=2),
    LangevinQuadratic(2, 3, 0.8, step=0.7, inverse_temperature=2.0, steps=3, batch=1),
]
every_world = pytest.mark.parametrize("world", WORLDS, ids=str)
noisy_world = pytest.mark.parametrize("world", WORLDS[1:], ids=str)


def covariance(world):
    """Covariance of one coordinate of (Z_1, ..., Z_n, W)."""
    mixing = np.vstack([np.eye(world.n), world.weights]) * world.scale
    joint = mixing @ mixing.T
    joint[-1, -1] += world.noise_variance
    return joint


def information(joint, left, right):
    """I(left; right) of jointly Gaussian coordinates by determinants."""
    determinant = [np.linalg.slogdet(joint[np.ix_(part, part)])[1] for part in (left, right, left + right)]
    return (determinant[0] + determinant[1] - determinant[2]) / 2


def divergence(first, second):
    """KL between centred Gaussians."""
    solved = np.linalg.solve(second, first)
    return (np.trace(solved) - len(first) - np.linalg.slogdet(solved)[1]) / 2


@noisy_world
def test_information_is_that_of_the_covariance(world):
    joint, everything, d = covariance(world), list(range(world.n)), world.dimension
    independent = joint.copy()
    independent[-1, :-1] = independent[:-1, -1] = 0
    assert world.mutual_information == pytest.approx(d * divergence(joint, independent), rel=1e-11)
    assert world.lautum == pytest.approx(d * divergence(independent, joint), rel=1e-11)
    assert world.symmetrised_information == pytest.approx(world.mutual_information + world.lautum, rel=1e-13)
    for i, (single, given_others) in enumerate(
        zip(world.individual_information, world.conditional_information, strict=True)
    ):
        assert single == pytest.approx(d * information(joint, [i], [world.n]), rel=1e-11)
        others = [k for k in everything if k != i]
        left = information(joint, everything, [world.n]) - information(joint, others, [world.n])
        assert given_others == pytest.approx(d * left, rel=1e-9)


@noisy_world
def test_the_chain_of_informations(world):
    """Single examples <= the sample <= single examples given the others."""
    assert np.all(world.individual_information <= world.conditional_information)
    assert world.individual_information.sum() <= world.mutual_information * (1 + 1e-12)
    assert world.mutual_information <= world.conditional_information.sum() * (1 + 1e-12)


@every_world
def test_trainings_have_the_gap(world):
    gaps = world.simulate(np.random.default_rng(1), 20_000)
    assert abs(gaps.mean() - world.gap) < 4 * gaps.std() / math.sqrt(len(gaps))
    generator = np.random.default_rng(2)
    samples = world.sample(generator, 20_000)
    outputs = world.learn(samples, generator)
    losses = np.square(outputs[:, None] - samples).sum(axis=2).mean(axis=1)
    assert abs(losses.mean() - world.train_risk) < 4 * losses.std() / math.sqrt(len(losses))
    fresh = np.square(outputs - world.sample(generator, 20_000)[:, 0]).sum(axis=1)
    assert abs(fresh.mean() - world.risk) < 4 * fresh.std() / math.sqrt(len(fresh))
    moments = np.einsum("rnd,rd->rn", samples, outputs) / world.dimension
    error = 4.5 * moments.std(axis=0) / math.sqrt(len(moments))
    assert np.all(np.abs(moments.mean(axis=0) - world.weights * world.scale**2) < error)
    spread = np.square(outputs).mean(axis=1)
    assert abs(spread.mean() - covariance(world)[-1, -1]) < 4 * spread.std() / math.sqrt(len(spread))


@every_world
def test_cumulants_are_those_of_the_loss(world):
    """Against the chi-squared density; sigma is the curvature at 0 and nowhere too small."""
    d, c = world.dimension, world.loss_variance

    def integrand(x, rate):
        return math.exp(
            -rate * c * (x - d) + (d / 2 - 1) * math.log(x) - x / 2 - d / 2 * math.log(2) - math.lgamma(d / 2)
        )

    for rate in (0.0, 0.1, 1.0, 3.0):
        mean = sum(quad(integrand, *ends, args=(rate,))[0] for ends in ((0, 1), (1, np.inf)))
        assert float(world.loss_cgf(rate)) == pytest.approx(math.log(mean), rel=1e-7, abs=1e-9)
    rates = np.geomspace(1e-4, 1e3, 200)
    assert np.all(world.loss_cgf(rates) <= np.square(rates * world.sigma) / 2)
    assert float(world.loss_cgf(1e-4 / c)) == pytest.approx((1e-4 / c * world.sigma) ** 2 / 2, rel=1e-3)


@every_world
def test_bounds_by_single_examples_hold_and_are_ordered(world):
    """gap <= exact cumulants <= sub-Gaussian <= the whole sample; each minimised by search once more."""
    d = world.dimension
    by_search = [
        minimize_scalar(lambda t, i=i: (i + float(world.loss_cgf(math.exp(t)))) / math.exp(t), bounds=(-20, 20)).fun
        for i in world.individual_information
    ]
    assert world.individual_cgf_bound == pytest.approx(np.mean(by_search), rel=1e-9)
    sub_gaussian = np.sqrt(2 * world.sigma**2 * world.individual_information).mean()
    whole = math.sqrt(2 * world.sigma**2 * world.mutual_information / world.n)
    assert 0 < world.gap <= world.individual_cgf_bound <= sub_gaussian <= whole * (1 + 1e-12)
    assert world.individual_cgf_bound <= d * world.loss_variance


def one_dimensional(world):
    return type(world)(**(vars(world) | {"dimension": 1}))


@every_world
def test_absolute_loss_and_distances(world):
    world = one_dimensional(world)
    joint, s = covariance(world), world.scale
    fresh = math.sqrt(2 / math.pi * (joint[-1, -1] + s**2))
    seen = np.sqrt(2 / math.pi * (joint[-1, -1] + s**2 - 2 * joint[-1, :-1]))
    assert world.absolute_gap == pytest.approx(np.mean(fresh - seen), rel=1e-10)
    for g, distance in zip(world.weights, world.wasserstein_distances, strict=True):
        a, b = math.sqrt(joint[-1, -1]), math.sqrt(joint[-1, -1] - (g * s) ** 2)

        def expected_distance(z, g=g, a=a, b=b):
            shift, difference = abs(g * s * z), a - b
            quantiles = difference * math.sqrt(2 / math.pi) * math.exp(-((shift / difference) ** 2) / 2)
            quantiles += shift * math.erf(shift / difference / math.sqrt(2))
            return 2 * quantiles * math.exp(-z * z / 2) / math.sqrt(2 * math.pi)

        assert distance == pytest.approx(quad(expected_distance, 0, 12, epsabs=1e-13)[0], rel=1e-8)
    assert world.absolute_gap <= world.wasserstein_distances.mean()
    by_information = np.sqrt(2 * world.absolute_sigma**2 * world.individual_information).mean()
    assert world.absolute_gap <= by_information


def test_the_absolute_loss_is_sub_gaussian_below_its_mean():
    """ln E exp(-t (abs(N) - mean)) = t^2/2 + ln(2 Phi(-t)) + t sqrt(2/pi) <= (1 - 2/pi) t^2 / 2, equal as t -> 0."""
    c = 1 - 2 / mpmath.pi
    for t in (1e-3, 0.1, 1, 5, 30):
        cgf = mpmath.mpf(t) ** 2 / 2 + mpmath.log(mpmath.erfc(t / mpmath.sqrt(2))) + t * mpmath.sqrt(2 / mpmath.pi)
        assert cgf <= c * t**2 / 2
    assert float(2 * cgf / (c * t**2)) < 0.2
    assert GaussianMean(1, 4, 2.0).absolute_sigma ** 2 == pytest.approx(5 * float(c), rel=1e-14)


def test_figures_of_the_gaussian_mean():
    """Worked out by hand, or published."""
    world = GaussianMean(1, 10, 1.0)
    assert world.gap == pytest.approx(0.2, rel=1e-15)
    assert GaussianMean(5, 10, 1.3).gap == pytest.approx(1.69, rel=1e-14)
    assert world.individual_information == pytest.approx(np.full(10, math.log(10 / 9) / 2), rel=1e-13)
    assert world.mutual_information == world.lautum == world.symmetrised_information == math.inf
    assert np.all(np.isinf(world.conditional_information))
    assert np.sqrt(2 * world.sigma**2 * world.individual_information).mean() == pytest.approx(0.50495, abs=5e-6)
    assert world.individual_cgf_bound == pytest.approx(0.43082, abs=5e-6)
    for n, ratio in ((10, 2.52), (100, 7.16)):
        world = GaussianMean(1, n, 1.0)
        bound = np.sqrt(2 * world.sigma**2 * world.individual_information).mean()
        assert bound / world.gap == pytest.approx(ratio, abs=5e-3)
    for n, ratio, digits in ((2, 1.0455, 4), (10, 1.0118, 4), (100, 1.00124, 5), (1000, 1.000125, 6)):
        world = GaussianMean(1, n, 2.5)
        assert world.absolute_gap == pytest.approx(
            math.sqrt(2 / math.pi) * 2.5 * (math.sqrt(1 + 1 / n) - math.sqrt(1 - 1 / n)), rel=1e-12
        )
        assert world.wasserstein_distances.mean() / world.absolute_gap == pytest.approx(ratio, abs=0.6 * 10**-digits)
    for n, whole, single in ((50, 1.647918, 0.020135), (200, 0.608198, 0.002502)):
        world = NoisyGaussianMean(3, n, 1.0, noise=0.1)
        assert world.mutual_information == pytest.approx(whole, abs=5e-7)
        assert world.individual_information == pytest.approx(np.full(n, single), abs=5e-7)
        assert world.gap == pytest.approx(GaussianMean(3, n, 1.0).gap, rel=1e-15)


def test_one_example_is_remembered_whole():
    world = GaussianMean(1, 1, 1.0)
    assert world.individual_information.tolist() == [math.inf]
    assert world.absolute_gap == pytest.approx(math.sqrt(2 / math.pi) * math.sqrt(2), rel=1e-14)  # train risk 0
    assert world.train_risk == 0
    assert world.individual_cgf_bound == world.risk == 2.0


@given(st.integers(1, 4), st.integers(2, 30), st.floats(1e-3, 1e3), st.floats(1e-2, 1e2))
def test_scaling_the_data_and_the_noise(d, n, scale, noise):
    """Information does not change, squared losses change by the square."""
    world, unit = NoisyGaussianMean(d, n, scale, noise * scale), NoisyGaussianMean(d, n, 1.0, noise)
    assert world.mutual_information == pytest.approx(unit.mutual_information, rel=1e-9)
    assert world.individual_information == pytest.approx(unit.individual_information, rel=1e-9)
    for name in ("gap", "risk", "sigma", "individual_cgf_bound"):
        assert getattr(world, name) == pytest.approx(scale**2 * getattr(unit, name), rel=1e-9)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GaussianMean(0, 3, 1.0), "dimension must be a whole number of at least 1, got 0"),
        (lambda: GaussianMean(1, 2.5, 1.0), "n must be a whole number"),
        (lambda: GaussianMean(1, 3, 0.0), "scale must be positive and finite, got 0.0"),
        (lambda: GaussianMean(1, 3, math.inf), "scale must be positive and finite, got inf"),
        (lambda: NoisyGaussianMean(1, 3, 1.0, noise=math.nan), "noise must be a number"),
        (lambda: LangevinQuadratic(1, 4, 1.0, 1.0, 1.0, 3), "step must be strictly between 0 and 1, got 1.0"),
        (
            lambda: LangevinQuadratic(1, 4, 1.0, 0.1, -1.0, 3),
            "inverse_temperature must be positive and finite, got -1.0",
        ),
        (lambda: LangevinQuadratic(1, 4, 1.0, 0.1, 1.0, 0), "steps must be a whole number of at least 1"),
        (lambda: LangevinQuadratic(1, 4, 1.0, 0.1, 1.0, 3, batch=3), "batch must divide n=4, got 3"),
        (lambda: GaussianMean(2, 3, 1.0).absolute_gap, "dimension must be 1 for the absolute loss, got 2"),
        (lambda: GaussianMean(1, 3, 1.0).loss_cgf(-1.0), "rate must be non-negative, got -1.0"),
    ],
)
def test_parameters_out_of_range(make, message):
    with pytest.raises(ValueError, match=message):
        make()
