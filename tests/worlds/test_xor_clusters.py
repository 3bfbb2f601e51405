"""Exclusive or in clusters: the law of the training, what it predicts, and settings that take a prediction away."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.integrate import quad

from genbounds.worlds import XorClusters
from genbounds.worlds.xor_clusters import _descent, _odd_share, _triangular

ROW = {"width": 300, "step_size": 1e-2, "initial_scale": 1e-8, "balanced": True}


def train(seed, n=400, *, dimension=20_000, signal=20.0, steps=(1, 3, 10, 100), **changes):
    world = XorClusters(dimension, signal, 0.05)
    return world.train(np.random.default_rng(seed), n, steps=list(steps), **ROW | changes)


@pytest.mark.parametrize("seed", range(4))
def test_a_network_overfits_in_one_step_and_generalises_at_the_third(seed):
    seen = train(seed)
    assert (seen.train_error == 0).all()
    assert (seen.noisy_fitted == 1).all()
    low, high = seen.test_interval(0.99)
    assert seen.odd_share[0] > 0.9
    assert 0.4 < seen.test_error[0] < 0.6
    assert low[0] > 0.39
    assert seen.test_error[1] < 0.05
    assert high[2] < 0.02
    assert (np.diff(seen.odd_share) < 0).all()
    assert seen.odd_share[-1] < 0.03
    assert (np.diff(seen.train_loss) < 0).all()


@pytest.mark.parametrize("seed", range(2))
def test_large_initial_weights_fit_nothing_in_one_step(seed):
    seen = train(seed, initial_scale=1e-2, steps=(1, 60))
    assert seen.train_error[0] > 0.3
    assert seen.test_error[1] > 0.4  # a random feature model that never learns the features


@pytest.mark.parametrize("seed", range(2))
def test_a_weak_signal_is_not_found(seed):
    seen = train(seed, signal=8.0)
    assert (seen.train_error == 0).all()
    assert seen.test_error[-1] > 0.3
    assert seen.odd_share[-1] > 0.5


@pytest.mark.parametrize("seed", range(2))
def test_with_few_directions_of_noise_noisy_labels_are_not_fitted(seed):
    seen = train(seed, dimension=2000)
    assert seen.noisy_fitted[2] == 0
    assert seen.test_error[2] < 0.02


@pytest.mark.parametrize("dimension", [40, 9, 3])  # beyond all triangles, within the first, and next to nothing
def test_coefficients_follow_descent_in_the_weights(dimension):
    rng, n, width, rate = np.random.default_rng(dimension), 12, 7, 0.05
    sample, weights = XorClusters(dimension, 2.0, 0.2)._coordinates(rng, n, width, balanced=True)
    assert sample.inputs.shape == (n, min(dimension, 2 + n + width))
    assert weights.shape == (width, sample.inputs.shape[1])
    signs = rng.choice([-1.0, 1.0], width) / math.sqrt(width)
    weights = 0.1 * weights
    steps = _descent(sample.inputs @ sample.inputs.T, sample.labels, signs, weights @ sample.inputs.T, rate, 20)
    initial = weights.copy()
    for coefficients, outputs in steps:
        assert np.allclose(initial + coefficients @ sample.inputs, weights, atol=1e-12)
        expected = [sum(a * max(w @ x, 0.0) for a, w in zip(signs, weights, strict=True)) for x in sample.inputs]
        assert np.allclose(outputs, expected, atol=1e-12)
        gradient = np.zeros_like(weights)
        for x, y, output in zip(sample.inputs, sample.labels, expected, strict=True):
            slope = -y / (1 + math.exp(y * output)) / n
            for j in range(width):
                gradient[j] += slope * signs[j] * (weights[j] @ x > 0) * x
        weights = weights - rate * gradient


def test_few_coordinates_have_the_law_of_all():
    """Products of examples, of initial weights and of fresh points with both, against draws in all dimensions."""
    rng, repetitions, n, p = np.random.default_rng(3), 4000, 4, 7

    def products(rows, columns, draw):
        found = []
        for _ in range(repetitions):
            matrix = draw(rows, columns)
            gram = matrix @ matrix.T
            fresh = matrix @ rng.standard_normal(matrix.shape[1])
            found.append([
                gram[0, 0],
                gram[-1, -1],
                gram[0, -1],
                np.linalg.slogdet(gram)[1],
                fresh[-1],
                fresh[0] * fresh[-1],
            ])
        return np.array(found).T

    few = products(n, p, lambda rows, columns: _triangular(rng, rows, columns))
    full = products(n, p, lambda rows, columns: rng.standard_normal((rows, columns)))
    for one, two in zip(few, full, strict=True):
        assert stats.ks_2samp(one, two).pvalue > 1e-3
    # One degree of freedom too many on the diagonal is caught.
    wrong = products(n, p + 1, lambda rows, columns: _triangular(rng, rows, columns))
    assert min(stats.ks_2samp(one, two).pvalue for one, two in zip(wrong, full, strict=True)) < 1e-9


def test_the_training_has_the_law_of_one_in_all_dimensions():
    """Outputs at fresh points after five steps, from the world and from descent in p dimensions on its sample."""
    world, n, width, runs = XorClusters(60, 3.0, 0.1), 16, 8, 300
    errors, odd = [], []
    for run in range(runs):
        seen = world.train(
            np.random.default_rng(run), n, width=width, steps=[5], step_size=0.05, initial_scale=0.02, test_points=50
        )
        errors.append(seen.test_error[0])
        odd.append(seen.odd_share[0])
    full_errors, full_odd = [], []
    for run in range(runs):
        rng = np.random.default_rng(10_000 + run)
        sample, fresh = world.sample(rng, n), world.sample(rng, 50)
        weights = 0.02 * rng.standard_normal((width, 60))
        signs = rng.choice([-1.0, 1.0], width) / math.sqrt(width)
        for _ in range(5):
            active = sample.inputs @ weights.T
            slope = -sample.labels / (1 + np.exp(sample.labels * (np.maximum(active, 0) @ signs))) / n
            weights = weights - 0.05 * ((slope[:, None] * (active > 0) * signs).T @ sample.inputs)
        there, mirrored = (np.maximum(side * fresh.inputs @ weights.T, 0) @ signs for side in (1, -1))
        full_errors.append((there * fresh.clean <= 0).mean())
        full_odd.append(_odd_share(there, mirrored)[0])
    assert stats.ks_2samp(errors, full_errors).pvalue > 1e-3
    assert stats.ks_2samp(odd, full_odd).pvalue > 1e-3


@pytest.mark.parametrize("signal", [0.0, 0.7, 2.0, 4.0])
def test_the_best_error_is_what_the_best_rule_makes(signal):
    world = XorClusters(2, signal, 0.0)
    integral, _ = quad(
        lambda u: stats.norm.pdf(u - signal) * 2 * stats.norm.sf(abs(u)), -math.inf, math.inf, points=None
    )
    assert world.bayes_error == pytest.approx(integral, abs=1e-8)
    sample = world.sample(np.random.default_rng(0), 40_000)
    wrong = (np.abs(sample.inputs[:, 0]) > np.abs(sample.inputs[:, 1])) != (sample.clean > 0)
    assert wrong.mean() == pytest.approx(world.bayes_error, abs=4 * math.sqrt(0.25 / 40_000))


def test_an_odd_function_errs_like_a_coin():
    sample = XorClusters(5, 3.0, 0.0).sample(np.random.default_rng(1), 20_000)
    for scores in (sample.inputs @ [1.0, 0.3, 0, 0, 0], np.sinh(sample.inputs[:, 0] / 3) - sample.inputs[:, 1] ** 3):
        assert (scores * sample.clean < 0).mean() == pytest.approx(0.5, abs=4 * math.sqrt(0.25 / 20_000))


def test_the_odd_share_of_random_weights():
    rng, signs = np.random.default_rng(2), np.array([1.0, 1.0, -1.0, 1.0, 1.0]) / math.sqrt(5)
    active = rng.standard_normal((5, 200_000))  # of one input: E o^2 / E f^2 is the same for all
    share, error = _odd_share(signs @ np.maximum(active, 0), signs @ np.maximum(-active, 0))
    assert share == pytest.approx(1 / (2 + 2 * (signs.sum() ** 2 - 1) / math.pi), abs=4 * error)
    assert error < 0.002
    single = XorClusters(30, 1.0, 0.1).train(
        np.random.default_rng(0), 8, width=1, steps=[0], step_size=0.1, initial_scale=1.0
    )
    assert single.odd_share[0] == pytest.approx(0.5, abs=1e-12)  # relu is half linear, half an absolute value


def test_the_standard_error_of_the_odd_share_is_its_spread():
    rng = np.random.default_rng(5)
    odd, even = rng.standard_normal((2, 1000, 200)) * np.array([1.0, 0.5])[:, None, None]
    found = np.array([_odd_share(o + e, e - o) for o, e in zip(odd, even, strict=True)])
    assert found[:, 1].mean() == pytest.approx(found[:, 0].std(), rel=0.1)


def test_the_interval_is_that_of_clopper_and_pearson():
    seen = train(0, 40, width=20, steps=(0, 1, 9), test_points=77)
    low, high = seen.test_interval(0.9)
    for errors, one, two in zip(seen.test_errors, low, high, strict=True):
        expected = stats.binomtest(int(errors), 77).proportion_ci(0.9, "exact")
        assert (one, two) == pytest.approx((expected.low, expected.high), abs=1e-10)


def test_samples_are_what_the_world_says():
    sample = XorClusters(6, 5.0, 0.2).sample(np.random.default_rng(0), 4000, balanced=True)
    assert sample.inputs.shape == (4000, 6)
    assert (sample.labels != sample.clean).mean() == pytest.approx(0.2, abs=4 * 0.4 / math.sqrt(4000))
    for place, (axis, side) in enumerate([(0, 5.0), (0, -5.0), (1, 5.0), (1, -5.0)]):
        mine = np.arange(4000) % 4 == place
        assert (sample.clean[mine] == (1.0 if axis == 0 else -1.0)).all()
        centre = np.zeros(6)
        centre[axis] = side
        assert np.abs(sample.inputs[mine].mean(axis=0) - centre).max() < 4.5 / math.sqrt(1000)
        assert np.cov(sample.inputs[mine].T) == pytest.approx(np.eye(6), abs=0.25)


@settings(deadline=None, max_examples=25)
@given(
    st.integers(0, 99), st.integers(2, 30), st.integers(1, 9), st.integers(1, 6), st.floats(0, 5), st.floats(0, 0.49)
)
def test_what_is_seen_does_not_depend_on_when_one_looks(seed, dimension, n, width, signal, flip):
    world = XorClusters(dimension, signal, flip)
    setting = {"width": width, "step_size": 0.1, "initial_scale": 0.1, "test_points": 20}
    often = world.train(np.random.default_rng(seed), n, steps=[0, 1, 2, 5], **setting)
    once = world.train(np.random.default_rng(seed), n, steps=[5], **setting)
    for name in ("train_loss", "train_error", "noisy_fitted", "test_error", "odd_share", "odd_share_error"):
        assert getattr(often, name)[3:].tolist() == pytest.approx(getattr(once, name).tolist(), nan_ok=True, abs=0)
    assert ((often.odd_share >= 0) & (often.odd_share <= 1)).all()
    assert ((often.train_error >= 0) & (often.train_error <= 1)).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((1, 1.0, 0.1), "dimension must be a whole number of at least 2"),
        ((2, math.inf, 0.1), "signal must be finite"),
        ((2, -1.0, 0.1), "signal must be non-negative"),
        ((2, 1.0, 0.5), "flip must be below 1/2"),
        ((2, 1.0, math.nan), "flip must be a number"),
    ],
)
def test_worlds_that_are_none_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        XorClusters(*arguments)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n": 0}, "n must be"),
        ({"width": 0}, "width must be"),
        ({"test_points": 0}, "test_points must be"),
        ({"steps": []}, "steps must be at least one"),
        ({"steps": [2, 1]}, "steps must be at least one and increase"),
        ({"steps": [-1]}, "steps must be a whole number"),
        ({"step_size": 0.0}, "step_size must be positive"),
        ({"initial_scale": 0.0}, "initial_scale must be positive"),
    ],
)
def test_trainings_that_are_none_are_refused(change, message):
    arguments = {"n": 4, "width": 2, "steps": [1], "step_size": 0.1, "initial_scale": 0.1} | change
    with pytest.raises(ValueError, match=message):
        XorClusters(4, 1.0, 0.1).train(np.random.default_rng(0), arguments.pop("n"), **arguments)


@pytest.mark.filterwarnings("ignore:(overflow|invalid value):RuntimeWarning")
def test_a_training_that_diverges_has_no_test_error():
    with pytest.raises(ValueError, match="step_size must leave outputs finite"):
        train(0, 10, dimension=20, step_size=1e308, steps=[5])
