"""The formula against published constants, arbitrary precision, enumeration of eigenfunctions, and its own trends."""

import itertools
import json
import math

import mpmath
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from genbounds.inductive_bias.difficulty import (
    TaskDifficulty,
    classification_difficulty,
    control_difficulty,
    few_shot_difficulty,
    sphere_functions,
    torus_functions,
)
from genbounds.inductive_bias.difficulty.formula import CONSTANT, DETERMINED, WITHIN, scientific

#: n, m, delta, R, classes and eps of the authors' script; K, E and bits to the digits that are known.
PUBLISHED = {
    "MNIST": (60_000, 14, 2.3987084824335305, 17.179045827183984, 10, 1e-3, 38.97, 4.130e12, 1.485e16),
    "SVHN": (73_257, 19, 1.5766998174969105, 53.86932485133339, 10, 1e-2, 205.9, 3.498e27, 1.213e31),
    "CIFAR-10": (50_000, 27, 2.7506414616587023, 54.9156786783691, 10, 1e-2, 113.1, 1.026e29, 3.438e32),
    "ImageNet": (1_280_901, 48, 65.0, 943.5923, 1000, 0.1, 70.69, 7.184e33, 3.583e41),
}

TASKS = {
    "dimension": st.floats(1.5, 60),
    "separation": st.floats(0.01, 3),
    "radius": st.floats(1, 1000),
    "examples": st.floats(1, 1e7),
    "classes": st.integers(2, 1000),
    "eps": st.floats(1e-6, 1),
}


def published(name, **changes):
    n, m, delta, radius, classes, eps, *_ = PUBLISHED[name]
    given_ = {"dimension": m, "separation": delta, "radius": radius, "examples": n, "classes": classes, "eps": eps}
    return classification_difficulty(**given_ | changes)


def by_hand(n, m, M, D, d, eps, B=1, torus=False):
    """Bits by the formula with unit radius, in 60 digits, from its definitions."""
    mpmath.mp.dps = 60
    n, m, M, D, d, eps = map(mpmath.mpf, (n, m, M, D, d, eps))
    if torus:
        K, E, volume = M, mpmath.pi ** (m / 2) * M**m / mpmath.gamma(m / 2 + 1), (2 * mpmath.pi) ** m
    else:
        K = mpmath.findroot(lambda K: K * (K + m - 1) - M**2, M)
        E = mpmath.binomial(m + K, m) + mpmath.binomial(m + K - 1, m)
        volume = 2 * mpmath.pi ** ((m + 1) / 2) / mpmath.gamma((m + 1) / 2)
    W = mpmath.sqrt(m / 6) * (volume * d / n) ** (1 / m)
    return (2 * D * d * E - n * D) * mpmath.log(B * mpmath.sqrt(D * d) * K * mpmath.sqrt(D) * W / eps, 2)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_constants(name):
    n, m, delta, radius, classes, eps, degree, functions, bits = PUBLISHED[name]
    task = published(name)
    assert task.degree == pytest.approx(degree, rel=5e-4)
    assert math.exp(task.ln_functions) == pytest.approx(functions, rel=2e-4)
    assert task.bits == pytest.approx(bits, rel=5e-4)
    exact = by_hand(n, m, 2 * mpmath.pi * mpmath.mpf(radius) / mpmath.mpf(delta), classes - 1, classes, eps)
    assert task.bits == pytest.approx(float(exact), rel=1e-11)
    assert task.nats == pytest.approx(float(exact * mpmath.log(2)), rel=1e-11)
    assert task.warnings == ()


def test_published_orderings():
    pictures = [published(name).bits for name in PUBLISHED]
    assert pictures == sorted(pictures)
    control = [control_difficulty(observations=m, actions=D) for m, D in ((6, 2), (15, 4), (17, 6))]
    for task, other in itertools.pairwise(control):
        assert 1e5 * task.bits < other.bits
    for (m, D), task in zip(((6, 2), (15, 4), (17, 6)), control, strict=True):
        exact = by_hand(10**6, m, 2 * mpmath.pi / mpmath.mpf("0.001"), D, 1, mpmath.mpf("0.001"), torus=True)
        assert task.bits == pytest.approx(float(exact), rel=1e-11)
    # Numbers of Omniglot, in any plausible number of episodes.
    for episodes in (1e36, 1e40):
        task = few_shot_difficulty(
            dimension_within=22,
            dimension_across=29,
            separation=5.477225575051661,
            radius=49.4064773081425,
            episodes=episodes,
            eps=0.01,
        )
        assert task.bits > 1e70 * control[-1].bits
        assert math.log10(task.bits) == pytest.approx(145.3, abs=0.1)


@pytest.mark.parametrize(
    ("observed", "bits"), [(1, 4.415e9), (2, 3.326e17), (3, 1.464e25), (4, 4.689e32), (5, 1.187e40)]
)
def test_a_pole_that_is_balanced_from_memory(observed, bits):
    task = control_difficulty(observations=2 * observed, actions=1, examples=1e4)
    assert task.bits == pytest.approx(bits, rel=5e-4)


def test_the_formula_with_as_many_outputs_as_classes():
    """The form that the authors print elsewhere: D = d, with everything that does not depend on d, K and n in c."""
    n, m, _, _, d, eps = PUBLISHED["MNIST"][:6]
    task = published("MNIST", outputs=d)
    c = math.sqrt(m / 6) * (2 * math.pi ** ((m + 1) / 2) * d / math.gamma((m + 1) / 2)) ** (1 / m)
    per_dimension = 1.5 * math.log(d) + math.log(task.degree) - math.log(n) / m - math.log(eps) + math.log(c)
    assert task.nats == pytest.approx((2 * d**2 * math.exp(task.ln_functions) - n * d) * per_dimension, rel=1e-12)


@given(**TASKS)
@example(dimension=60.0, separation=3.0, radius=1.0, examples=1e6, classes=2, eps=1e-3)  # constant and determined
def test_against_arbitrary_precision(dimension, separation, radius, examples, classes, eps):
    task = classification_difficulty(
        dimension=dimension, separation=separation, radius=radius, examples=examples, classes=classes, eps=eps
    )
    cutoff = 2 * mpmath.pi * mpmath.mpf(radius) / mpmath.mpf(separation)
    exact = by_hand(examples, dimension, cutoff, classes - 1, classes, eps)
    if {DETERMINED, WITHIN} & set(task.warnings):
        assert task.nats == 0
        assert exact <= 0 or {DETERMINED, WITHIN} <= set(task.warnings)
    else:
        assert task.bits == pytest.approx(float(exact), rel=1e-7)


@pytest.mark.parametrize("m", [1e-6, 0.5, 1, 1.5, 14, 1000.0, 1e6])
@pytest.mark.parametrize("cutoff", [1e-9, 1e-3, 1.0, 40.0, 1e5, 1e15])
def test_degree_and_number_of_functions_at_any_size(m, cutoff):
    mpmath.mp.dps = 60
    big, frequency = mpmath.mpf(m), mpmath.mpf(cutoff)
    K = (mpmath.sqrt((big - 1) ** 2 + 4 * frequency**2) - (big - 1)) / 2
    ln_first = mpmath.loggamma(big + K + 1) - mpmath.loggamma(K + 1) - mpmath.loggamma(big + 1)
    degree, ln_functions = sphere_functions(m, cutoff)
    assert degree == pytest.approx(float(K), rel=1e-14)
    assert ln_functions == pytest.approx(float(ln_first + mpmath.log(1 + K / (big + K))), rel=1e-9, abs=1e-8)


@pytest.mark.parametrize("m", [1, 2, 3, 7])
def test_spherical_harmonics_counted_one_degree_at_a_time(m):
    """Harmonic polynomials of degree l in m + 1 variables: all of that degree less those that are r^2 times another."""
    total = 0
    for degree in range(9):
        total += math.comb(degree + m, m) - (math.comb(degree - 2 + m, m) if degree >= 2 else 0)
        if degree:
            found, ln_functions = sphere_functions(m, math.sqrt(degree * (degree + m - 1)))
            assert found == pytest.approx(degree, rel=1e-13)
            assert math.exp(ln_functions) == pytest.approx(total, rel=1e-12)


@pytest.mark.parametrize(
    ("m", "frequency", "off"), [(1, 50.5, 0.02), (2, 40.0, 0.01), (3, 25.0, 0.01), (4, 12.0, 0.02)]
)
def test_waves_counted_on_the_lattice(m, frequency, off):
    axis = np.arange(-math.floor(frequency), math.floor(frequency) + 1) ** 2
    squares = axis
    for _ in range(m - 1):
        squares = (squares[:, None] + axis).ravel()
    degree, ln_functions = torus_functions(m, frequency)
    assert degree == frequency
    assert math.exp(ln_functions) == pytest.approx((squares <= frequency**2).sum(), rel=off)


def test_lipschitz_constant_and_distance():
    """Bernstein's inequality is met by a wave of the highest frequency alone; the distance is that of cubes."""
    grid = np.linspace(0, 2 * np.pi, 4001)
    generator = np.random.default_rng(0)
    steepest = []
    for degree in (1, 5, 20):
        frequencies = np.arange(degree + 1)
        for _ in range(20):
            waves, phases = generator.standard_normal((2, degree + 1))
            function = np.cos(grid[:, None] * frequencies + phases) @ waves
            slope = -np.sin(grid[:, None] * frequencies + phases) @ (waves * frequencies)
            steepest.append(np.abs(slope).max() / np.abs(function).max() / degree)
    assert max(steepest) < 1
    assert np.abs(-7 * np.sin(7 * grid)).max() / np.abs(np.cos(7 * grid)).max() == pytest.approx(7, rel=1e-4)

    cubes = generator.random((2, 200_000, 5))
    assert np.square(cubes[0] - cubes[1]).sum(axis=1).mean() == pytest.approx(5 / 6, abs=0.005)
    task = TaskDifficulty("sphere", 2, 0.1, 3.0, 1000, 4, 7, 0.01)
    assert task.distance == pytest.approx(math.sqrt(2 / 6) * math.sqrt(7 * 4 * math.pi * 9 / 1000), rel=1e-13)
    assert TaskDifficulty("torus", 3, 0.1, 2.0, 1000, 4, 7, 0.01).distance == pytest.approx(
        math.sqrt(3 / 6) * 4 * math.pi * (7 / 1000) ** (1 / 3), rel=1e-13
    )
    assert task.lipschitz_constant == pytest.approx(task.degree * 2 / 3, rel=1e-13)


@given(**TASKS, scale=st.floats(0.01, 100))
def test_lengths_cancel(scale, **task):
    """Only R / delta counts: R cancels in L_f W."""
    scaled = task | {"separation": scale * task["separation"], "radius": scale * task["radius"]}
    one, other = classification_difficulty(**task), classification_difficulty(**scaled)
    assert one.ln_nats == other.ln_nats or math.isclose(one.ln_nats, other.ln_nats, rel_tol=1e-9, abs_tol=1e-9)


@pytest.mark.parametrize("name", PUBLISHED)
def test_trends(name):
    task = published(name)
    n, m = task.examples, task.dimension
    # Exponential in m, at a rate that is that of the cut-off: no common factor.
    factor = {"MNIST": 3.11, "SVHN": 10.8, "CIFAR-10": 4.55, "ImageNet": 2.00}[name]
    assert published(name, dimension=m + 1).bits / task.bits == pytest.approx(factor, rel=2e-3)
    # Linear in n, with a slope that is tiny beside the whole, but for a logarithm of order 1 / m.
    twice = published(name, examples=2 * n)
    assert twice.nats_per_dimension == pytest.approx(task.nats_per_dimension - math.log(2) / m, rel=1e-12)
    assert 0.9 < twice.bits / task.bits < 1
    # About M^m, times a logarithm.
    finer = published(name, separation=task.separation / 1.01)
    assert (finer.ln_functions - task.ln_functions) / math.log(1.01) == pytest.approx(m, rel=0.2)
    # Logarithmic in eps.
    tenth = published(name, eps=task.eps / 10)
    assert tenth.nats_per_dimension - task.nats_per_dimension == pytest.approx(math.log(10), rel=1e-12)
    assert 1 < tenth.bits / task.bits < 1.3
    # A loss that is steeper by a factor is an error that is smaller by it, as are larger outputs.
    assert published(name, loss_lipschitz=10).ln_nats == pytest.approx(tenth.ln_nats, rel=1e-13)
    assert published(name, output_bound=10).ln_nats == pytest.approx(tenth.ln_nats, rel=1e-13)
    assert published(name, lipschitz=10 * task.lipschitz_constant).ln_nats == pytest.approx(tenth.ln_nats, rel=1e-13)


@given(examples=st.floats(1, 1e6))
def test_the_examples_take_their_own_number_of_dimensions(examples):
    task = TaskDifficulty("sphere", 2, 0.1, 1.0, examples, 3, 4, 1e-4)
    free = 2 * 3 * 4 * math.exp(task.ln_functions) - 3 * examples
    if free > 1:
        assert math.exp(task.ln_free_dimensions) == pytest.approx(free, rel=1e-9)
    elif free < -1:
        assert task.warnings == (DETERMINED,)


def test_outside_of_the_regime_no_information_is_missing_and_it_says_so():
    easy = published("MNIST", eps=1e5)
    assert easy.nats_per_dimension < 0
    assert easy.warnings == (WITHIN,)
    assert (easy.nats, easy.bits, easy.ln_nats) == (0, 0, -math.inf)
    assert "0 nats = 0 bits" in str(easy)
    assert f"Outside of its regime: {WITHIN}" in str(easy)
    known = TaskDifficulty("sphere", 2, 1.0, 1.0, 1e6, 1, 2, 1e-6)
    assert known.warnings == (DETERMINED,)
    assert known.nats == 0
    both = TaskDifficulty("sphere", 2, 1.0, 1.0, 1e6, 1, 2, 1e6)  # minus times minus would be plus
    assert both.warnings == (DETERMINED, WITHIN)
    assert both.nats == 0
    assert by_hand(1e6, 2, 2 * math.pi, 1, 2, 1e6) > 0
    constant = TaskDifficulty("sphere", 50, 3.0, 1.0, 2, 1, 2, 1e-6)
    assert constant.warnings == (CONSTANT,)


@given(**TASKS)
def test_never_negative(**task):
    found = classification_difficulty(**task | {"eps": 1e4 * task["eps"]})
    assert found.nats >= 0
    assert (found.nats == 0) == bool({DETERMINED, WITHIN} & set(found.warnings))


def test_numbers_beyond_float64_keep_their_logarithm():
    task = published("ImageNet", dimension=900, separation=0.01)
    assert task.ln_nats > 1000
    for name in ("nats", "bits"):
        with pytest.raises(OverflowError, match="ln_nats"):
            getattr(task, name)
    text = str(task)
    assert f"{scientific(task.ln_nats)} nats" in text
    json.loads(json.dumps(task.to_json(), allow_nan=False))
    assert scientific(math.log(9.9999e5)) == "1.000e+06"
    assert scientific(math.log(1.5e-3)) == "1.500e-03"


def test_the_record_speaks():
    task = published("MNIST")
    text = str(task)
    assert "1.029e+16 nats = 1.485e+16 bits" in text
    assert "AN UPPER BOUND OF AN UPPER BOUND" in text
    content = json.loads(json.dumps(task.to_json(), allow_nan=False))
    assert content["degree"] == task.degree
    assert content["ln_nats"] == task.ln_nats
    assert "UPPER BOUND" in content["reading"]
    nothing = published("MNIST", eps=1e5).to_json()
    assert nothing["ln_nats"] is None
    json.dumps(nothing, allow_nan=False)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dimension": 0.0}, "dimension must be positive"),
        ({"separation": -1.0}, "separation must be positive"),
        ({"separation": math.nan}, "separation must be a number"),
        ({"radius": math.inf}, "radius must be positive and finite"),
        ({"examples": 0.5}, "examples must be at least 1"),
        ({"classes": 1}, "classes must be a whole number of at least 2"),
        ({"eps": 0.0}, "eps must be positive"),
        ({"outputs": 0}, "outputs must be positive"),
        ({"lipschitz": -1.0}, "lipschitz must be positive"),
        ({"dimension": 1e-8}, "dimension, radius and separation must give"),
        ({"separation": 1e300}, "dimension, radius and separation must give"),
        ({"dimension": 1e-3, "examples": 1}, "dimension, radius and separation must give"),
    ],
)
def test_what_is_out_of_range_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        published("MNIST", **changes)


def test_other_refusals():
    with pytest.raises(ValueError, match="manifold must be"):
        TaskDifficulty("plane", 2, 1.0, 1.0, 10, 1, 2, 0.1)
    with pytest.raises(ValueError, match="combinations must be at least 1"):
        TaskDifficulty("sphere", 2, 1.0, 1.0, 10, 1, 0.5, 0.1)
    with pytest.raises(ValueError, match="ways must be"):
        few_shot_difficulty(
            dimension_within=2, dimension_across=3, separation=1.0, radius=1.0, episodes=10, ways=1, eps=0.1
        )
    with pytest.raises(ValueError, match="dimension must be positive"):
        control_difficulty(observations=0, actions=1)
    with pytest.raises(OverflowError, match="coefficients of a classifier must be fewer than"):
        few_shot_difficulty(dimension_within=500, dimension_across=9, separation=0.01, radius=9.0, episodes=10, eps=0.1)


def test_numbers_near_the_largest_float():
    """ln(2 d) would overflow where ln 2 + ln d does not."""
    changes = {"manifold": "torus", "dimension": 14, "separation": 2.0, "radius": 17.0, "outputs": 9, "eps": 1e-3}
    task = TaskDifficulty(**changes, examples=1, combinations=1e308)
    assert task.ln_free_dimensions == pytest.approx(math.log(18) + 308 * math.log(10) + task.ln_functions, rel=1e-12)
