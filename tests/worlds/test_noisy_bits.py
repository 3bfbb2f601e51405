import math
from itertools import product

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtr

from genbounds.theorems import get
from genbounds.theorems.quantities import GAP
from genbounds.worlds import NoisyBits, attack, random_batches_problem
from genbounds.worlds.batteries.noisy_bits import _entered
from genbounds.worlds.noisy_bits import bit_recovery_error


@st.composite
def worlds(draw):
    n, steps = draw(st.integers(1, 4)), draw(st.integers(1, 5))
    batches = tuple(
        tuple(draw(st.lists(st.integers(0, n - 1), min_size=1, max_size=n, unique=True))) for _ in range(steps)
    )
    sizes, scales = (tuple(draw(st.floats(0.05, 0.8)) for _ in range(steps)) for _ in range(2))
    return NoisyBits(n, batches, sizes, scales, draw(st.sampled_from([0.0, 0.5, 1.0])))


def simulate(world, runs, seed=0):
    """Run the recursion itself; nothing is shared with the world's linear forms."""
    generator = np.random.default_rng(seed)
    bits = generator.choice([-1.0, 1.0], (runs, world.n))
    path = [np.zeros(runs)]
    for batch, eta, s in zip(world.batches, world.step_sizes, world.noise_scales, strict=True):
        gradient = world.curvature * path[-1] - bits[:, list(batch)].mean(axis=1)
        path.append(path[-1] - eta * gradient + s * generator.standard_normal(runs))
    return bits, np.array(path)


def within(values, expected, errors=4.5):
    return abs(values.mean() - expected) <= errors * values.std() / math.sqrt(len(values))


@pytest.mark.parametrize(
    "world",
    [
        NoisyBits.full_batch(1, (0.3,), (0.5,)),
        NoisyBits.full_batch(3, (0.3, 0.2, 0.4), (0.5, 0.3, 0.2), 1.0),
        NoisyBits(4, ((0, 1), (2, 3), (0, 1)), (0.5, 0.2, 0.3), (0.4, 0.5, 0.3), 0.5),
    ],
)
def test_against_simulation(world):
    """Gap and second moments, within 4.5 standard errors."""
    runs = 40000
    bits, path = simulate(world, runs)
    wrong = np.sign(path[-1])[:, None] != bits
    assert within(0.5 - wrong.mean(axis=1), world.gap)
    for t, batch in enumerate(world.batches):
        gradients = world.curvature * path[t][:, None] - bits
        assert within(np.square(gradients[:, list(batch)]).mean(axis=1), world.squared_gradient_norms[t])
        if world.n > 1:
            assert within(gradients.var(axis=1, ddof=1), world.gradient_variances[t])
        # Residuals of a least squares fit on the path, and on the path and the bits outside the batch.
        moved = gradients[:, list(batch)].mean(axis=1)
        for extra, expected in (
            (bits[:, :0], world.gradient_spreads),
            (np.delete(bits, list(batch), axis=1), world.batch_spreads),
        ):
            known = np.column_stack([*path[1 : t + 1], extra])
            residual = moved - known @ np.linalg.lstsq(known, moved, rcond=None)[0] if known.shape[1] else moved
            assert np.square(residual).mean() == pytest.approx(expected[t], rel=0.03)


def test_full_batch_by_a_binomial_mixture():
    """W_T given k ones among n bits, written as a sum over k."""
    n, eta, s, steps = 8, 0.2, 0.3, 5
    world = NoisyBits.full_batch(n, (eta,) * steps, (s,) * steps)
    mean, deviation = eta * steps, s * math.sqrt(steps)
    train = sum(
        math.comb(n, k)
        / 2**n
        * (k / n * ndtr(-mean * (2 * k - n) / n / deviation) + (n - k) / n * ndtr(mean * (2 * k - n) / n / deviation))
        for k in range(n + 1)
    )
    assert world.gap == pytest.approx(0.5 - train, rel=1e-12)


def test_information_in_arbitrary_precision():
    world = NoisyBits(2, ((0,), (0, 1)), (0.5, 0.3), (0.4, 0.6), 1.0)
    means = [float(world._forms[0][-1, :2] @ np.array(signs)) for signs in product((-1, 1), repeat=2)]
    deviation = math.sqrt(np.square(world._forms[0][-1, 2:]).sum())

    def entropy(chosen):
        def density(w):
            return mpmath.fsum(mpmath.npdf(w, mean, deviation) for mean in chosen) / len(chosen)

        points = mpmath.linspace(-8, 8, 33)
        return mpmath.quad(lambda w: -density(w) * mpmath.log(density(w)), points)

    with mpmath.workdps(25):
        noise = mpmath.log(2 * mpmath.pi * mpmath.e) / 2 + mpmath.log(deviation)
        whole = entropy(means)
        assert world.mutual_information == pytest.approx(float(whole - noise), abs=1e-12)
        assert world.individual_information[0] == pytest.approx(float(whole - entropy(means[2:])), abs=1e-12)
        assert world.individual_information[1] == pytest.approx(float(whole - entropy(means[1::2])), abs=1e-12)


@given(worlds())
def test_what_every_world_obeys(world):
    assert 0 <= world.gap <= 0.5
    assert world.gap <= math.sqrt(max(world.mutual_information, 0) / (2 * world.n)) + 1e-9
    assert np.all(world.individual_information <= world.mutual_information + 1e-9)
    assert world.mutual_information <= world.n * math.log(2) + 1e-9
    # More is known, less is left.
    assert np.all(world.batch_spreads <= world.gradient_spreads + 1e-12)
    assert np.all(world.gradient_spreads <= 1 / world.batch_sizes + 1e-12)
    if world.n <= 3:
        assert world.supersample_gaps.mean() == pytest.approx(world.gap, abs=1e-12)
        same = np.all(world.supersamples[..., 0] == world.supersamples[..., 1], axis=1)
        assert np.all(np.abs(world.supersample_gaps[same]) < 1e-15)
        assert np.all(world.weighted_differences[same] == 0)
        assert np.all(world.weighted_differences <= 1 + 1e-12)


@pytest.mark.parametrize("ratio", [0.0, 0.01, 0.5, 1.0, 4.0, 20.0, 60.0])
def test_bit_recovery_error_in_arbitrary_precision(ratio):
    with mpmath.workdps(25):
        root = mpmath.sqrt(ratio)
        exact = mpmath.quad(lambda x: mpmath.sech(ratio + root * x) ** 2 * mpmath.npdf(x), mpmath.linspace(-20, 20, 81))
    assert bit_recovery_error(ratio) == pytest.approx(float(exact), rel=1e-9, abs=1e-14)


def test_bit_recovery_error_is_four_times_the_variance_of_the_posterior():
    generator = np.random.default_rng(5)
    bits = generator.choice([-1.0, 1.0], 200000)
    seen = 1.2 * bits + generator.standard_normal(len(bits))
    wrong = 1 / (1 + np.exp(2 * 1.2 * seen * bits))
    assert within(4 * np.square(wrong), bit_recovery_error(1.2**2))


def test_random_batches_average_over_sequences():
    problem = random_batches_problem(2, 1, 0.3, 0.5, 2)
    gaps = [NoisyBits(2, ((i,), (j,)), (0.3, 0.3), (0.5, 0.5)).gap for i, j in product(range(2), repeat=2)]
    assert problem.truths[GAP] == pytest.approx(np.mean(gaps), rel=1e-12)
    assert np.all(problem.quantities["gradient_variances"] == 1)


def test_virtual_noise_in_closed_form():
    """Squared loss: the field k (w + xi) differs from k w by k xi, and the perturbed path hides a part of the rest."""
    world = NoisyBits.full_batch(3, (0.5,) * 3, (0.0,) * 3, 1.0)
    given = world.virtual_problem("3 bits", (0.2, 0.3, 0.4)).quantities
    np.testing.assert_allclose(given["gradient_sensitivities"], [0, 0.04, 0.13])
    np.testing.assert_allclose(given["gradient_deviations"], 1 / 3)
    assert np.all(given["virtual_spreads"] <= given["gradient_sensitivities"] + given["gradient_deviations"] + 1e-12)
    assert given["virtual_spreads"][0] == pytest.approx(1 / 3)
    with pytest.raises(ValueError, match="noise_scales must be 0"):
        NoisyBits.full_batch(1, (0.1,), (0.1,)).virtual_problem("one bit", (0.1,))


def test_problems_are_what_their_worlds_say():
    names = [problem.name for problem in _entered()]
    assert len(names) == len(set(names))
    for problem in _entered():
        assert 0 < problem.truths[GAP] <= (1.0 if problem.breaks else 0.5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, ((0,),), (0.1,), (0.1,)), "n must be from 1 to 12"),
        ((13, ((0,),), (0.1,), (0.1,)), "n must be from 1 to 12"),
        ((2, ((0,),), (0.1, 0.1), (0.1,)), "one entry a step"),
        ((2, (), (), ()), "one entry a step"),
    ],
)
def test_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        NoisyBits(*arguments)


def test_the_linear_loss_against_simulation():
    world = NoisyBits(3, ((0, 1), (1, 2), (0,)), (0.4, 0.3, 0.5), (0.5, 0.2, 0.4), 0.7)
    generator = np.random.default_rng(8)
    bits, weight = generator.choice([-1.0, 1.0], (400_000, 3)), np.zeros(400_000)
    for batch, eta, s in zip(world.batches, world.step_sizes, world.noise_scales, strict=True):
        weight -= eta * (0.7 * weight - bits[:, list(batch)].mean(axis=1)) - s * generator.standard_normal(len(weight))
    seen = weight * bits.mean(axis=1)
    assert seen.mean() == pytest.approx(world.linear_gap, abs=5 * seen.std() / 632)
    assert weight.var() == pytest.approx(world.output_variance, rel=0.02)
    for rate in (0.3, 1.0, 2.0):
        assert np.exp(rate * weight).mean() <= np.exp(rate**2 * world.output_variance / 2) * 1.02


def test_with_the_linear_loss_bounds_along_a_path_are_nearly_attained():
    for name in ("pensia", "li_luo_qiao", "wang_gao_calmon", "wang_mao_descent", "neu"):
        assert 1 < min(found.ratio for found in attack(get(f"information.{name}"), 0.05)) < 1.01
    assert 1 < min(found.ratio for found in attack(get("information.negrea"), 0.05)) < 1.05
