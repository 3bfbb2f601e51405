import mpmath
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from mpmath import mpf

from genbounds.numerics import (
    coin_bias_upper,
    jensen_shannon_upper,
    kl_upper,
    leave_one_out_upper,
    risk_pair_upper,
)

RISKS = st.floats(0, 1) | st.sampled_from([0.0, 1e-9, 0.5, 1 - 1e-9, 1.0])
INFORMATION = st.floats(1e-9, 3) | st.sampled_from([1e-250, 1e-199, 1e-12, 0.5, float(np.log(2))])


def xlog(x, y):
    """x ln(x / y), 0 at x = 0."""
    return x * mpmath.log(x / y) if x > 0 else mpf(0)


def kl(q, p):
    return xlog(q, p) + xlog(1 - q, 1 - p)


def matched(a, b):
    return xlog(a, (a + b) / 2) + xlog(b, (a + b) / 2) if a + b > 0 else mpf(0)


def pair(a, b):
    return max(matched(a, b), matched(1 - a, 1 - b))


def jensen_shannon(a, b):
    m = (a + b) / 2
    return (kl(a, m) + kl(b, m)) / 2 if 0 < m < 1 else mpf(0)


def left_out(n):
    def expression(a, b):
        m = (b + n * a) / (n + 1)
        if not 0 < m < 1:
            return mpf(0)
        errors = xlog(b, m) + n * xlog(a, m)
        return max(kl(b, m), errors, xlog(1 - b, 1 - m) + n * xlog(1 - a, 1 - m))

    return expression


def encloses(value, expression, a, information):
    """Whether the value is at or above the largest root, and no further than 1e-12 of the way and 1e-14."""
    value, a = float(value), float(a)
    assert a <= value <= 1
    below = mpf(a) + (mpf(value) - mpf(a)) * (1 - mpf("1e-12")) - mpf("1e-14")
    with mpmath.workdps(300 if information < 1e-100 else 50):
        above = value == 1 or expression(mpf(a), mpf(value)) >= mpf(information)
        return above and (below <= a or expression(mpf(a), below) <= mpf(information))


@settings(max_examples=80)
@given(RISKS, INFORMATION)
def test_risk_pair_encloses_the_root(a, information):
    assert encloses(risk_pair_upper(a, information), pair, a, information)


@settings(max_examples=80)
@given(RISKS, INFORMATION)
def test_jensen_shannon_encloses_the_root(a, information):
    assert encloses(jensen_shannon_upper(a, information), jensen_shannon, a, information)


@settings(max_examples=80)
@given(RISKS, INFORMATION, st.integers(1, 40) | st.sampled_from([10**4, 10**9]))
def test_leave_one_out_encloses_the_root(a, information, n):
    assert encloses(leave_one_out_upper(a, information, n), left_out(n), a, information)


@given(INFORMATION)
def test_coin_bias_encloses_the_root(information):
    value = coin_bias_upper(information)
    assert encloses(value, lambda _, r: kl((1 + r) / 2, mpf(1) / 2), 0.0, information)
    assert value <= np.sqrt(2 * information) * (1 + 1e-14)


def test_the_root_found_is_the_largest_by_brute_force():
    """No point of a fine grid above it satisfies the inequality, and those below it down to a do."""
    grid = np.linspace(0, 1, 4001)[1:-1]
    for a in (0.01, 0.3, 0.7):
        with np.errstate(divide="ignore", invalid="ignore"):
            m = (a + grid) / 2
            errors = a * np.log(a / m) + grid * np.log(grid / m)
            rights = (1 - a) * np.log((1 - a) / (1 - m)) + (1 - grid) * np.log((1 - grid) / (1 - m))
        for information in (0.003, 0.05, 0.2):
            for found, told in (
                (risk_pair_upper(a, information), np.maximum(errors, rights)),
                (jensen_shannon_upper(a, information), (errors + rights) / 2),
            ):
                assert (told[grid > found] > information).all()
                assert (told[(grid >= a) & (grid < found - 1e-9)] <= information).all()


def test_the_pair_with_two_examples_is_leaving_one_out():
    a, information = np.meshgrid([0.0, 0.01, 0.2, 0.6], [0.001, 0.1, 0.4])
    np.testing.assert_allclose(leave_one_out_upper(a, information, 1), risk_pair_upper(a, information), rtol=1e-12)


@given(RISKS, INFORMATION)
def test_the_order_of_the_inverses(a, information):
    """The pair allows least, the relative entropy more, and Pinsker's inequality most; a single loss tells less."""
    pair_root, js = float(risk_pair_upper(a, information)), float(jensen_shannon_upper(a, information))
    relative_entropy = min(1.0, 2 * float(kl_upper(a, information)) - a)
    assert pair_root <= relative_entropy * (1 + 1e-12)
    assert relative_entropy <= (a + np.sqrt(2 * information)) * (1 + 1e-12)
    assert pair_root <= js * (1 + 1e-12)
    assert js <= float(risk_pair_upper(a, 2 * information)) * (1 + 1e-12)


@given(RISKS, RISKS, INFORMATION, st.floats(1, 3))
def test_the_inverses_increase(a, other, information, factor):
    low, high = sorted((a, other))
    for inverse in (risk_pair_upper, jensen_shannon_upper, lambda a, i: leave_one_out_upper(a, i, 7)):
        value, more, riskier = inverse([low, low, high], [information, factor * information, information])
        assert min(more, riskier) >= value - 1e-12


@settings(max_examples=40)
@given(RISKS, INFORMATION, st.integers(1, 1000))
def test_leaving_one_out_increases_with_n_at_no_information_to_spare(a, information, n):
    """The same information about more places is worth less."""
    assume(information < 0.5)
    zero = float(leave_one_out_upper(0.0, information, n))
    assert zero == pytest.approx(min(1.0, information / np.log(n + 1)), rel=1e-11)


def test_ends():
    for inverse in (risk_pair_upper, jensen_shannon_upper, lambda a, i: leave_one_out_upper(a, i, 5)):
        np.testing.assert_allclose(inverse([0.0, 0.3, 1.0], 0.0), [0.0, 0.3, 1.0], rtol=1e-15, atol=1e-299)
        assert inverse(0.0, np.inf) == inverse(1.0, 0.3) == 1.0
        assert isinstance(inverse(0.2, 0.1), float)
        assert inverse([[0.1], [0.2]], [0.1, 0.2, 0.3]).shape == (2, 3)
    assert coin_bias_upper(0.0) < 1e-149
    assert coin_bias_upper([np.log(2) + 1e-9, np.inf]).tolist() == [1.0, 1.0]


@pytest.mark.parametrize("inverse", [risk_pair_upper, jensen_shannon_upper, lambda a, i: leave_one_out_upper(a, i, 5)])
@pytest.mark.parametrize(
    ("a", "information", "words"),
    [(-0.1, 0.1, "train_risk must be in"), (0.1, -1e-9, "information must be non-negative"), (0.1, np.nan, "a number")],
)
def test_bad_numbers_are_refused(inverse, a, information, words):
    with pytest.raises(ValueError, match=words):
        inverse(a, information)
    with pytest.raises(ValueError, match="n must be a whole number"):
        leave_one_out_upper(0.1, 0.1, 0)
