import math
from dataclasses import replace
from functools import wraps

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mpf
from scipy.special import ndtr

from genbounds.information import haghifam_langevin, li_luo_qiao, negrea, pensia, wang_gao_calmon
from genbounds.theorems import get
from genbounds.worlds import LangevinQuadratic, NoisyBits, attack
from genbounds.worlds.noisy_bits import bit_recovery_error

THEOREMS = ("pensia", "li_luo_qiao", "negrea", "wang_gao_calmon", "haghifam_langevin")
numbers = st.floats(1e-3, 1e3)


@st.composite
def runs(draw):
    """Moments, step sizes, noise scales, batch sizes, n, sigma."""
    steps, n = draw(st.integers(1, 6)), draw(st.integers(2, 50))
    moments, eta, s = (np.array([draw(numbers) for _ in range(steps)]) for _ in range(3))
    batch_sizes = np.array([draw(st.integers(1, n)) for _ in range(steps)])
    return moments, eta, s, batch_sizes, n, draw(st.floats(0.01, 10))


def exact(*arrays):
    return zip(*([mpf(value) for value in np.asarray(array).tolist()] for array in arrays), strict=True)


def encloses(value, root):
    return root <= mpf(float(value)) <= root * (1 + mpf("1e-12"))


@given(runs(), st.integers(1, 10**6))
def test_pensia_encloses_the_formula(run, d):
    moments, eta, s, _, n, sigma = run
    with mpmath.workdps(50):
        information = sum(mpf(d) / 2 * mpmath.log1p(e**2 * m / (d * v**2)) for m, e, v in exact(moments, eta, s))
        assert encloses(pensia(moments, eta, s, d, n, sigma), mpmath.sqrt(2 * mpf(sigma) ** 2 * information / n))


@given(runs())
def test_li_negrea_and_haghifam_enclose_their_formulas(run):
    """In the papers' terms, at beta_t = 2 eta_t / s_t^2; for Negrea's with the variance that divides by n."""
    moments, eta, s, b, n, sigma = run
    with mpmath.workdps(50):
        rows = [(m, e, 2 * e / v**2, size) for m, e, v, size in exact(moments, eta, s, b)]
        li = sum(e * beta * m / size for m, e, beta, size in rows) / (8 * n)
        assert encloses(li_luo_qiao(moments, eta, s, b, n, sigma), 2 * mpf(sigma) * mpmath.sqrt(li))
        biased = sum(e * beta * m * (n - 1) / n * n / (8 * size * mpf(n - 1) ** 2) for m, e, beta, size in rows)
        assert encloses(negrea(moments, eta, s, b, n, sigma), 2 * mpf(sigma) * mpmath.sqrt(biased))
        pairs = sum(e * beta * m / size for m, e, beta, size in rows) / (2 * n)
        assert encloses(haghifam_langevin(moments, eta, s, b, n), min(mpmath.sqrt(pairs), mpf(1)))


@given(st.integers(1, 5), st.integers(1, 4), st.integers(0, 2**31))
def test_wang_gao_calmon_encloses_its_formula(batches, size, seed):
    generator = np.random.default_rng(seed)
    steps, n, sigma = 2 * batches, batches * size, 0.7
    moments, eta, s = generator.uniform(0.01, 3, (3, steps))
    labels = generator.permutation(np.arange(steps) % batches)
    with mpmath.workdps(50):
        beta = [2 * e / v**2 for e, v in exact(eta, s)]
        roots = [
            mpmath.sqrt(sum(mpf(eta[t]) * beta[t] * mpf(moments[t]) for t in range(steps) if labels[t] == j))
            for j in range(batches)
        ]
        expected = mpmath.sqrt(2 * size) * mpf(sigma) / (2 * n) * mpmath.fsum(roots)
        assert encloses(wang_gao_calmon(moments, eta, s, np.full(steps, size), labels, n, sigma), expected)


@pytest.mark.parametrize("name", THEOREMS)
def test_no_world_breaks_it_and_one_is_nearly_tight(name):
    attacks = attack(get(name), 0.05)
    assert all(found.survived for found in attacks)
    assert 1 < min(found.ratio for found in attacks) < math.sqrt(2)


def caught(name, change):
    """Whether some world refutes the theorem once its arguments went through `change`."""
    theorem = get(name)

    @wraps(theorem.function)
    def broken(**given):
        return change(theorem.function, given)

    return not all(found.survived for found in attack(replace(theorem, function=broken), 0.05))


@pytest.mark.parametrize("factor", [0.5, 1 / math.sqrt(2)])
@pytest.mark.parametrize("name", THEOREMS)
def test_a_wrong_constant_is_caught(name, factor):
    """1 / sqrt(2) is Negrea's bound with 16 in place of 8."""
    assert caught(name, lambda bound, given: factor * bound(**given))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        # Noise by its variance; an example's share in the batch counted twice.
        ("pensia", lambda bound, given: bound(**{**given, "noise_scales": np.sqrt(given["noise_scales"])})),
        ("li_luo_qiao", lambda bound, given: bound(**given) / np.sqrt(given["n"])),
        ("negrea", lambda bound, given: bound(**given) / np.sqrt(given["n"])),
        ("wang_gao_calmon", lambda bound, given: bound(**given) / np.sqrt(given["batch_sizes"][0])),
        ("haghifam_langevin", lambda bound, given: bound(**given) / np.sqrt(given["n"])),
    ],
)
def test_a_wrong_formula_is_caught(name, change):
    assert caught(name, change)


def test_theta_after_the_step_is_caught():
    """A predictor must not look at the step that it weighs: the first one would tell nothing."""
    world = NoisyBits.full_batch(1, (3.0,), (1.0,))
    after = bit_recovery_error(9.0) * (world.supersamples[:, 0, 0] != world.supersamples[:, 0, 1])[:, None]
    problem = world.problem("one large step")
    numbers = [problem.quantities[name] for name in get("haghifam_langevin").arguments]
    assert np.all(haghifam_langevin(*numbers) >= np.abs(world.supersample_gaps))
    assert np.any(haghifam_langevin(after, *numbers[1:]) < np.abs(world.supersample_gaps))


@pytest.mark.parametrize("signal", [0.01, 0.3])
def test_the_root_inside_the_expectation_is_no_bound(signal):
    """One bit that is rarely 1, gradient -Z: averaging roots over samples gives less than the gap."""
    p, eta, s = 0.01, signal, 1.0
    right = ndtr(eta / (2 * s))  # W > eta / 2 is taken for Z = 1
    guessed = p * right + (1 - p) * (1 - right)
    gap = p * (1 - guessed) + (1 - p) * guessed - (1 - right)
    assert gap == pytest.approx(2 * p * (1 - p) * (2 * right - 1), rel=1e-9)
    roots = p * li_luo_qiao([1.0], [eta], [s], [1], 1, 0.5)
    assert gap > 1.5 * roots
    assert gap <= li_luo_qiao([p], [eta], [s], [1], 1, 0.5)


@pytest.mark.parametrize("steps", [1, 20, 100, 1000])
@pytest.mark.parametrize("batch", [None, 4, 1])
def test_langevin_on_a_quadratic_loss(steps, batch):
    """Unbounded loss, judged by the lower tail; the bounds hold, and blow up with the number of steps."""
    world = LangevinQuadratic(2, 20, 1.0, step=0.05, inverse_temperature=200.0, steps=steps, batch=batch)
    n, sigma, b = world.n, world.sigma, batch or world.n
    taken = (world.step_sizes, world.noise_scales)
    by_path = pensia(world.gradient_spreads, *taken, world.dimension, n, sigma)
    assert by_path == pytest.approx(sigma * math.sqrt(2 * world.trajectory_information / n), rel=1e-12)
    held_out = negrea(world.gradient_variances, *taken, world.batch_sizes, n, sigma)
    assert held_out == pytest.approx(sigma * math.sqrt(2 * world.held_out_divergence), rel=1e-12)
    by_batch = wang_gao_calmon(world.gradient_spreads, *taken, world.batch_sizes, world.batch_indices, n, sigma)
    assert world.gap <= min(by_path, held_out, by_batch)
    # With the variance of fresh examples for that of examples which the path has shown already.
    fresh = world.visits * world.step * world.inverse_temperature * world.dimension * world.scale**2 / b
    assert by_batch <= sigma * b / n * np.sqrt(2 / b * fresh).sum() * (1 + 1e-12)


def test_blow_up_and_plateau():
    """The gap of Langevin dynamics stays; bounds without a predictor grow with T, the one with a predictor does not."""
    steps = 400
    world = NoisyBits.full_batch(1, (0.25,) * steps, (1.0,) * steps)
    given = world.problem("one bit, seen again and again").quantities
    cut = {name: given[name] for name in ("step_sizes", "noise_scales", "batch_sizes", "n")}
    seen = given["weighted_differences"][1]  # a pair that differs
    plain = np.full(steps, 1.0)  # |zeta|^2 / 4
    assert haghifam_langevin(seen, **cut) == haghifam_langevin(plain, **cut) == 1
    # Information without the cap of the bound: half the squared root.
    bounded = [np.cumsum(0.25**2 * moments / 2)[[99, 199, 399]] for moments in (seen, plain)]
    assert bounded[0][2] == pytest.approx(bounded[0][1], rel=1e-3)
    assert math.log(2) <= bounded[0][2] <= 1.1 * math.log(2)  # small steps: the sum becomes the integral of I-MMSE
    np.testing.assert_allclose(bounded[1], 0.25**2 / 2 * np.array([100, 200, 400]))


def test_the_supersample_form_averages_to_the_gap():
    world = NoisyBits.full_batch(3, (0.4, 0.3), (0.5, 0.5), 1.0)
    assert world.supersample_gaps.mean() == pytest.approx(world.gap, rel=1e-12)
    given = world.problem("3 bits").quantities
    numbers = [given[name] for name in get("haghifam_langevin").arguments]
    pointwise = haghifam_langevin(*numbers).mean()
    averaged = haghifam_langevin(numbers[0].mean(axis=0), *numbers[1:])
    assert world.gap <= pointwise <= averaged


@given(runs())
def test_orderings(run):
    """One batch of all examples: the three linear forms differ in their moments alone."""
    moments, eta, s, _, n, sigma = run
    full = np.full(len(moments), n)
    li = li_luo_qiao(moments, eta, s, full, n, sigma)
    assert negrea(moments, eta, s, full, n, sigma) == pytest.approx(li * math.sqrt(n / (n - 1)), rel=1e-12)
    # The batch's average gradient has squared length at most the average of the squares.
    whole = wang_gao_calmon(moments, eta, s, full, np.zeros(len(moments), dtype=int), n, sigma)
    assert whole == pytest.approx(li * math.sqrt(n), rel=1e-12)
    assert pensia(moments, eta, s, 7, n, sigma) <= sigma * np.sqrt(np.sum(moments * (eta / s) ** 2) / n) * (1 + 1e-12)
    assert li <= li_luo_qiao(moments, eta, s, 1, n, sigma)


@pytest.mark.parametrize("name", THEOREMS)
def test_nothing_told_is_nothing(name):
    arguments = {
        "step_sizes": np.full(3, 0.1),
        "noise_scales": np.full(3, 0.1),
        "batch_sizes": np.full(3, 2),
        "batch_indices": [0, 1, 0],
        "dimension": 5,
        "n": 4,
        "sigma": 0.5,
    }
    theorem = get(name)
    given = {argument: arguments.get(argument, np.zeros(3)) for argument in theorem.arguments}
    assert theorem.function(**given) < 1e-100
    without_noise = {**given, "noise_scales": np.zeros(3)}
    moment = theorem.arguments[0]
    assert theorem.function(**{**without_noise, moment: np.ones(3)}) == (1 if name == "haghifam_langevin" else math.inf)
    assert theorem.function(**{**given, moment: np.ones((5, 1, 3))}).shape == (5, 1)
    assert isinstance(theorem.function(**{**given, moment: np.ones(3)}), float)
    with pytest.raises(ValueError, match=f"{moment} must be non-negative"):
        theorem.function(**{**given, moment: [-1.0, 0, 0]})


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        (negrea, ([1.0], [0.1], [0.1], [1], 1, 0.5), "n must be a whole number of at least 2"),
        (li_luo_qiao, ([1.0], [0.1], [0.1], [5], 4, 0.5), "batch_sizes must be at most n"),
        (haghifam_langevin, ([1.0], [0.1], [0.1], [0], 4), "batch_sizes must be a whole number of at least 1"),
        (pensia, ([1.0], [0.1], [0.1], 1, 1, -0.5), "sigma must be non-negative"),
        (wang_gao_calmon, ([1.0, 1], 0.1, 0.1, [1, 2], [0, 0], 4, 0.5), "batch_sizes must be the same whenever"),
        (wang_gao_calmon, ([1.0, 1], 0.1, 0.1, [2, 2], [0, 1], 3, 0.5), "batch_sizes must add up to at most n"),
        (wang_gao_calmon, ([1.0, 1], 0.1, 0.1, [2, 2], [0], 4, 0.5), "batch_indices must have one entry a step"),
        (wang_gao_calmon, ([1.0], 0.1, 0.1, [2], [-1], 4, 0.5), "batch_indices must be a whole number of at least 0"),
    ],
)
def test_refuses(function, arguments, message):
    with pytest.raises(ValueError, match=message):
        function(*arguments)
