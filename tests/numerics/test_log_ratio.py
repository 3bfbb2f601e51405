import math

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from mpmath import mpf

from genbounds.numerics import kl_diagonal
from genbounds.numerics.log_ratio import log_ratio_diagonal

MEANS = arrays(np.float64, 5, elements=st.floats(-3, 3))
SCALES = arrays(np.float64, 5, elements=st.floats(1e-3, 10))


def exact(x, mq, sq, mp, sp):
    """ln q(x) / p(x), coordinate by coordinate."""
    return mpmath.fsum(
        mpmath.log(mpf(c) / mpf(b)) - ((mpf(v) - mpf(a)) / mpf(b)) ** 2 / 2 + ((mpf(v) - mpf(m)) / mpf(c)) ** 2 / 2
        for v, a, b, m, c in zip(x, mq, sq, mp, sp, strict=True)
    )


@settings(max_examples=60)
@given(MEANS, MEANS, SCALES, MEANS, SCALES)
def test_at_a_point_it_is_the_log_ratio_rounded_up(x, mq, sq, mp, sp):
    value = log_ratio_diagonal(x, 0.0, mq, sq, mp, sp)
    with mpmath.workdps(60):
        truth = exact(x, mq, sq, mp, sp)
        size = sum(abs(((x - mq) / sq) ** 2) + ((x - mp) / sp) ** 2 + np.abs(np.log(sp / sq)) + 1)
        assert truth <= mpf(float(value)) <= truth + mpf(float(size)) * mpf("1e-13")


def box_probability(low, high, mean, scale):
    def below(x):
        return mpmath.erfc(-(mpf(x) - mpf(mean)) / (mpf(scale) * mpmath.sqrt(2))) / 2

    return below(high) - below(low)


@settings(max_examples=40)
@given(
    x=st.floats(-1, 1),
    rho=st.floats(1e-6, 0.2),
    mq=st.floats(-1, 1),
    sq=st.floats(0.05, 2),
    mp=st.floats(-1, 1),
    sp=st.floats(0.05, 2),
)
def test_it_bounds_the_ratio_of_the_probabilities_of_a_box(x, rho, mq, sq, mp, sp):
    """Against both probabilities in many digits: what was rounded to x is a draw of the box."""
    value = log_ratio_diagonal([x], rho, mq, sq, mp, sp)
    with mpmath.workdps(120):
        q, p = (box_probability(mpf(x) - rho, mpf(x) + rho, *law) for law in ((mq, sq), (mp, sp)))
        assert mpf(float(value)) >= mpmath.log(q / p)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_the_rounding_of_a_draw_costs_little_and_is_covered(dtype):
    """A wide network in float32: rounding costs less than a hundredth of a nat among 100,000 weights."""
    generator = np.random.default_rng(0)
    mean_p = generator.normal(0, 0.05, 100_000).astype(np.float32)
    mean_q = (mean_p + generator.normal(0, 1e-3, 100_000)).astype(np.float32)
    exact_draw = mean_q + 0.03 * generator.normal(size=100_000)
    rounded = exact_draw.astype(dtype).astype(np.float64)
    radius = np.finfo(dtype).eps / 2 * np.abs(rounded) + float(np.finfo(dtype).tiny)
    assert np.all(np.abs(exact_draw - rounded) <= radius)
    at_rest = log_ratio_diagonal(exact_draw, 0.0, mean_q, 0.03, mean_p, 0.03)
    covered = log_ratio_diagonal(rounded, radius, mean_q, 0.03, mean_p, 0.03)
    assert at_rest <= covered
    if dtype is np.float32:
        assert covered - at_rest < 0.01


def test_its_mean_over_draws_is_the_divergence():
    generator = np.random.default_rng(1)
    mq, sq, mp, sp = np.array([0.3, -0.2]), np.array([0.5, 0.7]), np.zeros(2), np.ones(2)
    values = [log_ratio_diagonal(mq + sq * generator.normal(size=2), 0.0, mq, sq, mp, sp) for _ in range(20_000)]
    assert np.mean(values) == pytest.approx(kl_diagonal(mq, sq, mp, sp), abs=4 * np.std(values) / math.sqrt(20_000))


def test_blocks_and_extremes():
    generator = np.random.default_rng(2)
    x, mean = generator.normal(size=70_000), generator.normal(size=70_000)
    whole = log_ratio_diagonal(x, 1e-9, mean, 0.5, 0.0, 1.0)
    parts = [
        log_ratio_diagonal(x[part], 1e-9, mean[part], 0.5, 0.0, 1.0) for part in (slice(40_000), slice(40_000, None))
    ]
    assert whole == pytest.approx(sum(parts), rel=1e-12)
    assert log_ratio_diagonal([1e200], 0.0, 0.0, 1.0, 0.0, 1e-200) == np.inf
    assert log_ratio_diagonal(np.zeros((3, 0)), 0.0, 0.0, 1.0, 0.0, 1.0) <= 1e-300


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"point": [math.nan, 0.0]}, "point must be finite"),
        ({"mean_q": [0.0]}, "mean_q must have the shape of point"),
        ({"scale_p": 0.0}, "scale_p must be finite, and a scale positive"),
        ({"radius": -1.0}, "radius must be at least 0"),
        ({"mean_p": math.inf}, "mean_p must be finite"),
    ],
)
def test_bad_numbers_are_refused(change, words):
    good = {"point": [0.0, 1.0], "radius": 0.0, "mean_q": 0.0, "scale_q": 1.0, "mean_p": 0.0, "scale_p": 1.0}
    with pytest.raises(ValueError, match=words):
        log_ratio_diagonal(**(good | change))
