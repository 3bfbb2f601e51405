"""The stability diagnostic: formula, orderings, limits, and what it is worth where the true gap is known."""

import itertools
import json
import math

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genbounds.coherence.training.stability import hold, stability_by_coherence, stability_by_noise
from genbounds.worlds import GaussianMean, GaussianRegression, LangevinQuadratic

trajectories = st.lists(st.tuples(st.floats(-1, 1), st.floats(1e-4, 1.0)), min_size=1, max_size=12)
QUICK = settings(deadline=None, max_examples=60)


def transcribed(spreads, sizes, scale, n, beta):
    """scale / n sum_t prod_(k>t) (1 + eta_k beta) eta_t sqrt(spread_t), in fifty digits."""
    with mpmath.workdps(50):
        total = mpmath.mpf(0)
        for t, (spread, size) in enumerate(zip(spreads, sizes, strict=True)):
            later = mpmath.fprod(1 + mpmath.mpf(k) * beta for k in sizes[t + 1 :])
            total += later * size * mpmath.sqrt(mpmath.mpf(spread))
        return float(scale * total / n)


@QUICK
@given(trajectories, st.integers(1, 10**6), st.floats(0.01, 100), st.floats(0, 50))
def test_both_forms_are_their_formulas(steps, n, lipschitz, beta):
    alphas, sizes = map(list, zip(*steps, strict=True))
    setting = {"n": n, "lipschitz": lipschitz, "smoothness": beta}
    found = stability_by_coherence(alphas, sizes, **setting)
    expected = transcribed([2 * (1 - mpmath.mpf(a)) for a in alphas], sizes, mpmath.mpf(lipschitz) ** 2, n, beta)
    assert found.value == pytest.approx(expected, rel=1e-12)
    noises = [0.3 * lipschitz**2 * (1 - a) for a in alphas]
    noise = stability_by_noise(noises, sizes, **setting)
    assert noise.value == pytest.approx(
        transcribed([2 * mpmath.mpf(v) for v in noises], sizes, lipschitz, n, beta), rel=1e-12
    )
    # Second moments at most L^2: the form by noise is the sharper one.
    assert noise.value <= found.value * (1 + 1e-12)
    if found.value > 0:
        assert found.shares.sum() == pytest.approx(1, rel=1e-12)


@QUICK
@given(trajectories, st.data())
def test_it_falls_in_every_coherence(steps, data):
    alphas, sizes = map(np.array, zip(*steps, strict=True))
    setting = {"n": 50, "lipschitz": 2.0, "smoothness": 3.0}
    t = data.draw(st.integers(0, len(alphas) - 1))
    more = alphas.copy()
    more[t] = data.draw(st.floats(float(alphas[t]), 1.0))
    before, after = (stability_by_coherence(a, sizes, **setting).value for a in (alphas, more))
    assert after <= before * (1 + 1e-12)
    if more[t] > alphas[t] + 1e-6:
        assert after < before


def test_equal_gradients_have_no_gap():
    found = stability_by_coherence(np.ones(5), 0.1, n=10, lipschitz=1.0, smoothness=1.0)
    assert (found.value, found.log_value) == (0.0, -math.inf)
    assert np.isnan(found.shares).all()
    assert found.to_json()["log_value"] is None


def test_without_coherence_it_is_the_bound_that_knows_no_data():
    """Hardt, Recht and Singer, convex: 2 L^2 / n sum eta. Gradients of length L: orthogonal here, opposite there."""
    sizes = np.array([0.1, 0.05, 0.02])
    found = stability_by_coherence(np.zeros(3), sizes, n=40, lipschitz=3.0, smoothness=2.0, convex=True)
    assert found.value == pytest.approx(2 * 9 * sizes.sum() / 40 / math.sqrt(2), rel=1e-12)
    opposite = stability_by_coherence(-np.ones(3), sizes, n=40, lipschitz=3.0, smoothness=2.0, convex=True)
    assert opposite.value == pytest.approx(2 * 9 * sizes.sum() / 40, rel=1e-12)


def test_early_steps_count_most():
    setting = {"n": 100, "lipschitz": 1.0, "smoothness": 2.0}
    found = stability_by_coherence(np.zeros(20), 0.3, **setting)
    assert np.all(np.diff(found.shares) < 0)
    assert found.shares[0] / found.shares[1] == pytest.approx(1.6, rel=1e-12)
    early, late = np.zeros(20), np.zeros(20)
    early[:5], late[-5:] = 0.9, 0.9
    assert stability_by_coherence(early, 0.3, **setting).value < stability_by_coherence(late, 0.3, **setting).value
    flat = stability_by_coherence(np.zeros(20), 0.3, **setting, convex=True)
    assert flat.shares == pytest.approx(np.full(20, 0.05))


def test_constant_and_decaying_steps():
    """The closed factors of the paper, exp((T - t) eta beta) and T^(eta beta), are above the products."""
    alphas, n, lipschitz, beta = np.linspace(0.5, 0.0, 30), 100, 2.0, 1.5
    t = np.arange(1, 31)
    spread = np.sqrt(2 * (1 - alphas))
    constant = stability_by_coherence(alphas, 0.1, n=n, lipschitz=lipschitz, smoothness=beta).value
    above = lipschitz**2 / n * (np.exp((30 - t) * 0.1 * beta) * 0.1 * spread).sum()
    assert 0.5 * above < constant < above
    assert constant == stability_by_coherence(alphas, np.full(30, 0.1), n=n, lipschitz=lipschitz, smoothness=beta).value
    decaying = stability_by_coherence(alphas, 0.8 / t, n=n, lipschitz=lipschitz, smoothness=beta).value
    assert decaying < lipschitz**2 * 0.8 * 30 ** (0.8 * beta) / n * spread.sum()


def test_overflow_is_said_and_the_logarithm_kept():
    found = stability_by_noise(np.ones(10_000), 0.5, n=10, lipschitz=1.0, smoothness=100.0)
    assert found.value == math.inf
    assert found.log_value == pytest.approx(
        9999 * math.log(51) + math.log(0.05 * math.sqrt(2) / (1 - 1 / 51)), rel=1e-12
    )
    assert "10^17,07" in str(found)
    assert "diagnostic, no bound" in str(found)
    told = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert told["value"] is None
    assert told["log_value"] == found.log_value
    assert told["label"] == "diagnostic, no bound"


@QUICK
@given(st.lists(st.floats(-2, 2), min_size=1, max_size=4), st.floats(0.1, 2.0))
def test_one_minus_coherence_times_the_second_moment_is_the_noise(weights, s):
    world = GaussianRegression(weights, np.zeros(len(weights)), s)
    assert (1 - world.coherence) * world.second_moment == pytest.approx(world.noise, rel=1e-12)
    # With L^2 = E abs(g)^2, the least L there could be, both forms are one.
    setting = {"n": 20, "lipschitz": math.sqrt(world.second_moment), "smoothness": 1.0}
    both = stability_by_coherence([world.coherence], 0.1, **setting), stability_by_noise([world.noise], 0.1, **setting)
    assert both[0].value == pytest.approx(both[1].value, rel=1e-9)


# Training on the squared loss abs(w - z)^2, whose gradients differ by 2 abs(z - z') at any weights: beta = 2 and
# V = 4 s^2. The absolute loss is 1-Lipschitz, and its gap exact.


@pytest.mark.parametrize("steps", [1, 10, 100, 1000])
@pytest.mark.parametrize("n", [5, 100])
def test_in_the_exactly_solvable_world_it_is_above_the_gap(steps, n):
    world = LangevinQuadratic(1, n, 1.3, step=0.05, inverse_temperature=50.0, steps=steps)
    setting = {"n": n, "lipschitz": 1.0, "smoothness": 2.0}
    convex = stability_by_noise(world.gradient_variances, world.step_sizes, **setting, convex=True)
    general = stability_by_noise(world.gradient_variances, world.step_sizes, **setting)
    assert world.absolute_gap < convex.value <= general.value
    # One step: sqrt(2 V) / (sqrt(2/pi) 2 s) = sqrt(pi) too large, but for the change of the loss's own scale.
    assert (steps > 1) or convex.value / world.absolute_gap == pytest.approx(math.sqrt(math.pi), rel=0.06)


def test_but_what_it_does_not_know_grows_without_end():
    """Steps on a strongly convex loss forget: the gap stays, the sum grows with T, the product exponentially."""
    ratios, exponents = [], []
    for steps in (10, 100, 1000):
        world = LangevinQuadratic(1, 50, 1.0, step=0.05, inverse_temperature=50.0, steps=steps)
        setting = {"n": 50, "lipschitz": 1.0, "smoothness": 2.0}
        diagnostic = stability_by_noise(world.gradient_variances, world.step_sizes, **setting, convex=True)
        ratios.append(diagnostic.value / world.absolute_gap)
        exponents.append(stability_by_noise(world.gradient_variances, world.step_sizes, **setting).log_value)
    assert ratios == pytest.approx([2.71, 17.72, 177.2], rel=0.01)
    assert exponents[2] / math.log(10) == pytest.approx(39.9, abs=0.1)
    assert world.absolute_gap < GaussianMean(1, 50, 1.0).absolute_gap


POINTS = np.array([[x, y, label] for x, y in itertools.product((-1.0, 1.0), repeat=2) for label in (-1.0, 2.0)])


def gradients(weights, points):
    """Gradients of (w . x - y)^2 / 2, smooth with beta = abs(x)^2 = 2: shape (..., 2)."""
    residual = np.einsum("...i,...i->...", weights, points[..., :2]) - points[..., 2]
    return residual[..., None] * points[..., :2]


@pytest.mark.parametrize("batch", [1, 2, 4])
def test_stability_of_weights_is_what_the_module_says_it_is(batch):
    """Pairs of runs on samples that differ in one example: the distance with beta (1 + 1/m) is proved.

    Losses are convex: the product with 1 + 2 eta beta / m holds too, and it is smaller.
    """
    generator, runs, m, steps, size = np.random.default_rng(0), 20_000, 4, 12, 0.15
    sample = POINTS[generator.integers(len(POINTS), size=(runs, m))]
    other = sample.copy()
    other[:, 0] = POINTS[generator.integers(len(POINTS), size=runs)]
    w, v, spreads = np.zeros((runs, 2)), np.zeros((runs, 2)), []
    for _ in range(steps):
        everywhere = gradients(w[:, None], POINTS)
        noise = np.square(everywhere - everywhere.mean(axis=1, keepdims=True)).sum(axis=2).mean(axis=1)
        spreads.append(np.sqrt(2 * noise).mean())
        chosen = generator.permuted(np.tile(np.arange(m), (runs, 1)), axis=1)[:, :batch, None]
        w = w - size * gradients(w[:, None], np.take_along_axis(sample, chosen, axis=1)).mean(axis=1)
        v = v - size * gradients(v[:, None], np.take_along_axis(other, chosen, axis=1)).mean(axis=1)
    distance = np.linalg.norm(w - v, axis=1).mean()
    setting = {"n": m, "lipschitz": 1.0}
    noises = np.square(spreads) / 2
    proved = stability_by_noise(noises, size, **setting, smoothness=2.0 * (1 + 1 / m)).value
    convex = stability_by_noise(noises, size, **setting, smoothness=2 * 2.0 / m).value
    assert distance < convex < proved
    assert convex < 8 * distance


def test_hold():
    assert hold([1.0, 2.0, 3.0], [0, 2, 3], 6).tolist() == [1, 1, 2, 3, 3, 3]
    assert hold([1.0, 2.0, 3.0], [0, 2, 30], 3).tolist() == [1, 1, 2]
    for values, steps in (([1.0], [1]), ([1.0, 2.0], [0, 0]), ([1.0, 2.0], [0]), ([], [])):
        with pytest.raises(ValueError, match="steps must increase from 0"):
            hold(values, steps, 3)


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"alphas": [1.1]}, "alphas must be at most 1"),
        ({"alphas": []}, "alphas must be one number for each step"),
        ({"alphas": [math.nan]}, "alphas must be"),
        ({"step_sizes": [0.1, 0.1]}, "step_sizes must be one number or 1"),
        ({"step_sizes": 0.0}, "step_sizes must be positive"),
        ({"lipschitz": math.inf}, "lipschitz must be positive and finite"),
        ({"smoothness": -1.0}, "smoothness must be non-negative"),
        ({"smoothness": math.inf}, "smoothness must be"),
        ({"n": 0}, "n must be a whole number of at least 1"),
        ({"convex": True, "smoothness": 30.0}, "step_sizes must be at most 2 / smoothness"),
    ],
)
def test_what_cannot_be(changed, complaint):
    given = {"alphas": [0.5], "step_sizes": 0.1, "n": 10, "lipschitz": 1.0, "smoothness": 1.0} | changed
    with pytest.raises(ValueError, match=complaint):
        stability_by_coherence(**given)


def test_noise_is_not_negative():
    with pytest.raises(ValueError, match="noises must be non-negative"):
        stability_by_noise([-0.1], 0.1, n=10, lipschitz=1.0, smoothness=1.0)


def test_steps_of_two_over_beta_are_the_longest_of_the_convex_case():
    setting = {"n": 10, "lipschitz": 1.0, "smoothness": 4.0, "convex": True}
    assert stability_by_noise([0.5], 0.5, **setting).value == pytest.approx(0.05)
    with pytest.raises(ValueError, match="step_sizes must be at most 2 / smoothness"):
        stability_by_noise([0.5], 0.5001, **setting)


def test_equal_where_every_step_is():
    setting = {"n": 10, "lipschitz": 1.0, "smoothness": 0.0}
    one, other = stability_by_noise([0.5, 0.2], 0.1, **setting), stability_by_noise([0.2, 0.5], 0.1, **setting)
    assert one == stability_by_noise([0.5, 0.2], 0.1, **setting)
    assert one.value == pytest.approx(other.value)
    assert one != other
