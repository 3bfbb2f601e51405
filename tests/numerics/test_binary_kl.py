"""binary_kl and its inverses against ball arithmetic, and the identities of the field."""

import math

import flint
import numpy as np
import pytest
from flint import arb
from hypothesis import example, given
from hypothesis import strategies as st

from genbounds.numerics import binary_kl, kl_lower, kl_upper

PROBABILITY = st.one_of(
    st.floats(0.0, 1.0),
    st.floats(-745.0, 0.0).map(math.exp),
    st.floats(-36.0, 0.0).map(lambda x: -math.expm1(x)),
    st.sampled_from([0.0, 5e-324, 2.0**-1022, 1e-300, 2.0**-500, 2.0**-53, 0.5, 1 - 2.0**-53, 1.0]),
)
BUDGET = st.one_of(
    st.floats(0.0, 50.0),
    st.floats(-745.0, 7.0).map(math.exp),
    st.sampled_from([5e-324, 1e-300, 2.0**-500, 1e-16, 1e9, 1e300]),
)


def ball(q: float, p: float) -> arb:
    """kl(q, p) to at least forty digits."""
    precision = 200
    while True:
        flint.ctx.prec = precision
        value = arb(0)
        if q > 0:
            value += arb(q) * (arb(q) / arb(p)).log()
        if q < 1:
            value += (1 - arb(q)) * ((1 - arb(q)) / (1 - arb(p))).log()
        if q == p or value.rel_accuracy_bits() > 140:
            return value
        precision *= 2


def outside(q: float, c: float, p: float, upper: bool) -> bool:
    """Whether p is at or beyond the inverse, proven."""
    if p == (1.0 if upper else 0.0):
        return True
    return (p >= q if upper else p <= q) and bool(ball(q, p) >= arb(c))


def check_inverse(q: float, c: float, p: float, upper: bool) -> None:
    assert outside(q, c, p, upper), (q, c, p)
    inward = -math.inf if upper else math.inf
    second = math.nextafter(math.nextafter(p, inward), inward)
    beyond_q = second < q if upper else second > q
    assert beyond_q or not outside(q, c, second, upper), f"not tight at {(q, c, p)}"


@given(PROBABILITY, PROBABILITY)
def test_matches_ball_arithmetic(q: float, p: float) -> None:
    value = float(binary_kl(q, p))
    if (p == 0 < q) or (q < 1 == p):
        assert value == math.inf
        return
    truth = ball(q, p)
    if q == p or truth < arb(1e-300):
        assert value < 1.1e-300
    else:
        assert abs(arb(value) / truth - 1) < arb(1e-14)


@given(PROBABILITY, st.integers(-40, 40).filter(bool))
@example(0.25, 1)
@example(1.0, -1)
@example(1e-290, 3)
def test_matches_ball_arithmetic_next_to_q(q: float, floats_away: int) -> None:
    p = q
    for _ in range(abs(floats_away)):
        p = math.nextafter(p, math.inf if floats_away > 0 else 0.0)
    if not 0 < p < 1:
        return
    truth = ball(q, p)
    if truth >= arb(1e-300):
        assert abs(arb(float(binary_kl(q, p))) / truth - 1) < arb(1e-14)


@given(PROBABILITY, st.floats(-37.0, 0.0), st.sampled_from([-1, 1]))
def test_matches_ball_arithmetic_near_q(q: float, log_distance: float, sign: int) -> None:
    p = q + sign * q * math.exp(log_distance)
    if not 0 < p < 1:
        return
    truth = ball(q, p)
    if truth >= arb(1e-300):
        assert abs(arb(float(binary_kl(q, p))) / truth - 1) < arb(1e-14)


def test_end_points_of_kl() -> None:
    assert binary_kl(0, 0) == binary_kl(1, 1) == binary_kl(0.3, 0.3) == 0
    assert binary_kl(0.5, 0) == binary_kl(0.5, 1) == binary_kl(1, 0) == binary_kl(0, 1) == math.inf
    assert binary_kl(0.0, 0.5) == binary_kl(1.0, 0.5) == math.log(2)
    assert binary_kl(0.9, 1e-320) == pytest.approx(0.9 * (math.log(0.9) - math.log(1e-320)) + 0.1 * math.log(0.1))


@given(PROBABILITY, BUDGET)
@example(0.7465535486660925, 555.6420814025975)  # the inverse below is a subnormal number
@example(3.722818658936545e-206, 8.258326581843872e-240)  # c next to nothing beside q
@example(1 - 2.0**-53, 1e-30)
@example(5e-324, 1e-310)
@example(0.0, 1e-17)
@example(-0.0, 1.0)
def test_inverses_are_proven_and_tight(q: float, c: float) -> None:
    for upper, inverse in ((True, kl_upper), (False, kl_lower)):
        if c > 0 and q != (1.0 if upper else 0.0):
            check_inverse(q, c, float(inverse(q, c)), upper)


def test_no_inverse_is_on_the_wrong_side_in_thousands() -> None:
    rng = np.random.default_rng(0)
    size = 500
    uniform, tiny = rng.random(size), 10.0 ** rng.uniform(-323, 0, size)
    pairs = [
        (uniform, 10.0 ** rng.uniform(-8, 1.5, size)),
        (uniform, 10.0 ** rng.uniform(-323, -8, size)),
        (tiny, tiny * 10.0 ** rng.uniform(-3, 3, size)),
        (tiny, tiny * 10.0 ** rng.uniform(-40, -25, size)),
        (1.0 - 2.0 ** -rng.uniform(1, 53, size), 10.0 ** rng.uniform(-20, 2, size)),
        (uniform, rng.uniform(0, 750, size)),
        (uniform, binary_kl(uniform, rng.random(size))),
        (5e-324 * rng.integers(1, 5000, size), 5e-324 * rng.integers(1, 5000, size)),
        (2.0 ** -rng.uniform(490, 510, size), 2.0 ** -rng.uniform(490, 510, size)),
    ]
    for q, c in pairs:
        for upper, inverse in ((True, kl_upper), (False, kl_lower)):
            for arguments in zip(q.tolist(), c.tolist(), inverse(q, c).tolist(), strict=True):
                if arguments[1] > 0:
                    check_inverse(*arguments, upper)


@given(PROBABILITY)
def test_budget_zero_and_infinite_are_exact(q: float) -> None:
    assert kl_upper(q, 0.0) == kl_lower(q, 0.0) == q
    assert kl_upper(q, math.inf) == 1.0
    assert kl_lower(q, math.inf) == 0.0


@given(BUDGET)
def test_risk_zero_and_one_have_closed_forms(c: float) -> None:
    assert kl_upper(1.0, c) == 1.0
    assert kl_lower(0.0, c) == 0.0
    up, down = float(kl_upper(0.0, c)), float(kl_lower(1.0, c))
    flint.ctx.prec = 2400
    assert up == 1.0 or 1 - (-arb(c)).exp() <= arb(up)
    assert down == 0.0 or arb(down) <= (-arb(c)).exp()
    assert up == pytest.approx(-math.expm1(-c), rel=1e-15)
    assert down == pytest.approx(math.exp(-c), rel=1e-15)


@given(st.floats(0.0, 1.0), st.floats(1e-12, 30.0), st.floats(1.0, 1.5))
def test_monotone_in_budget_and_risk(q: float, c: float, factor: float) -> None:
    assert kl_upper(q, c * factor) >= kl_upper(q, c)
    assert kl_lower(q, c * factor) <= kl_lower(q, c)
    assert kl_upper(min(q * factor, 1.0), c) >= kl_upper(q, c)
    assert kl_lower(q, c) <= q <= kl_upper(q, c)


@given(st.floats(0.0, 0.99), st.floats(1e-9, 1.0), st.floats(1e-9, 1.0))
def test_concave_in_budget(q: float, c: float, other: float) -> None:
    middle = float(kl_upper(q, (c + other) / 2))
    assert middle >= (float(kl_upper(q, c)) + float(kl_upper(q, other))) / 2 - 1e-15


@given(st.integers(0, 2**20), st.floats(1e-9, 5.0))
def test_lower_mirrors_upper(numerator: int, c: float) -> None:
    q = numerator / 2**20  # 1 - q is exact
    assert kl_lower(q, c) == pytest.approx(1.0 - kl_upper(1.0 - q, c), abs=3e-16)


@given(st.floats(0.01, 0.9), st.floats(1e-3, 1.0))
def test_derivatives(q: float, c: float) -> None:
    p, h = float(kl_upper(q, c)), 1e-6
    if p > 0.999:
        return
    by_c = (float(kl_upper(q, c + h * c)) - float(kl_upper(q, c - h * c))) / (2 * h * c)
    by_q = (float(kl_upper(q + h * q, c)) - float(kl_upper(q - h * q, c))) / (2 * h * q)
    assert by_c == pytest.approx(p * (1 - p) / (p - q), rel=1e-5)
    assert by_q == pytest.approx(math.log(p * (1 - q) / (q * (1 - p))) * p * (1 - p) / (p - q), rel=1e-5)


@given(st.floats(0.0, 1.0), st.floats(0.0, 2.0))
def test_relaxations_are_never_below(q: float, c: float) -> None:
    p = float(kl_upper(q, c)) - 4e-16
    quadratic = (math.sqrt(q + c / 2) + math.sqrt(c / 2)) ** 2
    mcallester = q + math.sqrt(c / 2)
    assert p <= quadratic
    assert p <= mcallester
    assert quadratic <= q + math.sqrt(2 * q * c) + 2 * c + 4e-16
    if c > 1e-9 and abs(mcallester - 0.25) > 1e-9:
        assert (quadratic <= mcallester) == (mcallester <= 0.25)


@given(st.floats(0.001, 0.95), st.floats(1e-4, 2.0), st.floats(0.01, 50.0))
def test_envelope_of_catoni(q: float, c: float, other: float) -> None:
    def catoni(big_c: float) -> float:
        return -math.expm1(-big_c * q - c) / -math.expm1(-big_c)

    p = float(kl_upper(q, c))
    if p > 1 - 1e-9:
        return
    best = math.log(p * (1 - q) / (q * (1 - p)))
    assert catoni(best) == pytest.approx(p, abs=1e-12)
    assert catoni(other) >= p - 1e-12


def test_scalars_arrays_and_blocks_agree_bit_for_bit() -> None:
    rng = np.random.default_rng(1)
    q, c = rng.random(20_000), 10.0 ** rng.uniform(-12, 2, 20_000)
    for inverse in (kl_upper, kl_lower):
        whole = inverse(q, c)
        assert isinstance(inverse(q[0], c[0]), np.float64)
        assert [float(inverse(a, b)) for a, b in zip(q[:50], c[:50], strict=True)] == whole[:50].tolist()
        assert (inverse(q[::-1], c[::-1])[::-1] == whole).all()


def test_broadcasting_and_empty() -> None:
    q, c = np.array([[0.1], [0.2]]), np.array([0.0, 0.1, np.inf])
    assert kl_upper(q, c).shape == kl_lower(q, c).shape == (2, 3)
    assert binary_kl(q, [0.5, 0.6, 0.7]).shape == (2, 3)
    assert kl_upper([], 0.1).shape == kl_lower(np.empty((0, 2)), 0.1)[:, 0].shape == (0,)
    assert binary_kl([], 0.5).shape == (0,)


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        (binary_kl, (1.5, 0.5), r"q must be in \[0, 1\], got 1.5. It is a probability."),
        (binary_kl, (0.5, -0.1), r"p must be in \[0, 1\], got -0.1. It is a probability."),
        (kl_upper, (math.nan, 0.1), "q must be a number, got nan. NaN proves nothing"),
        (kl_upper, (2.0, 0.1), r"q must be in \[0, 1\], got 2.0. Rescale a loss"),
        (kl_lower, (0.5, -1e-9), "c must be non-negative, got -1e-09. It is a budget in nats."),
        (kl_lower, (0.5, math.nan), "c must be a number, got nan."),
        (kl_upper, ("a", 0.1), "q must be a real number, got 'a'"),
    ],
)
def test_errors(function, arguments, message) -> None:
    with pytest.raises(ValueError, match=message):
        function(*arguments)
