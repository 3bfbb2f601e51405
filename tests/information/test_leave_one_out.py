import math
from itertools import product

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import mpf

from genbounds.information import (
    haghifam_leave_one_out,
    sharp_ld_cmi,
    sharp_leave_one_out,
    steinke_zakynthinou,
)

INFORMATION = st.floats(1e-9, 3) | st.sampled_from([0.0, 5e-324, 1.5e-310, math.log(2)])


@given(INFORMATION, st.integers(1, 10**6))
def test_root_encloses_the_formula(information, n):
    with mpmath.workdps(40):
        truth = min((mpf(n) + 1) / n * mpmath.sqrt(mpf(information) / 2), mpf(1))
        assert truth <= mpf(float(haghifam_leave_one_out(information, n))) <= truth * (1 + mpf("1e-13")) + mpf("1e-300")


def plain_enumeration(kernel, losses):
    """Gap, train risk, risk and information by loops: kernel[u][w] given u left out, losses[w][j] on place j."""
    places, outputs = range(len(kernel)), range(len(kernel[0]))
    n = len(kernel) - 1
    risk = train = information = 0.0
    for u, w in product(places, outputs):
        chance = kernel[u][w] / (n + 1)
        risk += chance * losses[w][u]
        train += chance * sum(losses[w][j] for j in places if j != u) / n
        if chance > 0:
            average = sum(kernel[v][w] for v in places) / (n + 1)
            information += chance * math.log(kernel[u][w] / average)
    return min(train, 1.0), risk, max(information, 0.0)


@st.composite
def worlds(draw):
    n, outputs = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    weights = st.lists(st.floats(0, 1) | st.sampled_from([0.0, 1.0]), min_size=outputs, max_size=outputs)
    kernel = [np.array(draw(weights)) + 1e-9 for _ in range(n + 1)]
    losses = draw(
        st.lists(
            st.lists(st.sampled_from([0.0, 1.0]) | st.floats(0, 1), min_size=n + 1, max_size=n + 1),
            min_size=outputs,
            max_size=outputs,
        )
    )
    return [(row / row.sum()).tolist() for row in kernel], losses


@settings(max_examples=80)
@given(worlds())
def test_no_kernel_is_a_counterexample(world):
    n, (train, risk, information) = len(world[0]) - 1, plain_enumeration(*world)
    assert haghifam_leave_one_out(information, n) >= abs(risk - train) - 1e-9
    assert sharp_leave_one_out(train, information, n) >= risk - 1e-9


@pytest.mark.parametrize("q", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("n", [1, 3, 8])
def test_errors_on_the_place_left_out_alone_are_exact(n, q):
    """With probability q the output errs where nothing was seen, else nowhere: information q ln(n + 1)."""
    kernel = [[1 - q, *(q * (u == place) for place in range(n + 1))] for u in range(n + 1)]
    losses = [[0.0] * (n + 1), *np.eye(n + 1).tolist()]
    train, risk, information = plain_enumeration(kernel, losses)
    assert (train, information) == pytest.approx((0.0, q * math.log(n + 1)), abs=1e-12)
    assert sharp_leave_one_out(train, information, n) == pytest.approx(risk, rel=1e-11)
    assert sharp_leave_one_out(train, information * 0.99, n) < risk


@pytest.mark.parametrize("bias", [0.02, 0.5])
@pytest.mark.parametrize("n", [1, 3, 7])
def test_errors_on_half_of_the_places(n, bias):
    """Two outputs, each wrong on one half; the one wrong on the place left out is likelier. Both are nearly tight."""
    half = np.arange(n + 1) % 2
    kernel = [[(1 + bias) / 2, (1 - bias) / 2] if half[u] else [(1 - bias) / 2, (1 + bias) / 2] for u in range(n + 1)]
    train, risk, information = plain_enumeration(kernel, [half.tolist(), (1 - half).tolist()])
    gap = risk - train
    assert gap <= haghifam_leave_one_out(information, n) <= gap * (1 + bias**2)
    assert sharp_leave_one_out(train, information, n) == pytest.approx(risk, rel=1e-10)
    assert haghifam_leave_one_out(information, n) / math.sqrt(2) < gap  # a constant smaller by that is caught
    assert sharp_leave_one_out(train, information / 2, n) < risk


@settings(max_examples=25)
@given(st.floats(0, 1), INFORMATION, st.integers(1, 1000))
def test_orders_that_are_proved(risk, information, n):
    sharp = float(sharp_leave_one_out(risk, information, n))
    assert sharp <= (risk + haghifam_leave_one_out(information, n)) * (1 + 1e-12) + 1e-299
    if risk == 0:
        assert sharp <= min(1, information / math.log(n + 1)) * (1 + 1e-11) + 1e-299


def test_one_example_is_a_pair():
    for information in (0.01, 0.2, 0.6):
        assert haghifam_leave_one_out(information, 1) == pytest.approx(steinke_zakynthinou(information, 1), rel=1e-13)
        assert sharp_leave_one_out(0.1, information, 1) == pytest.approx(sharp_ld_cmi(0.1, [information]), rel=1e-11)


def test_ends_and_shapes():
    assert haghifam_leave_one_out(0.0, 4) < 1e-300
    assert haghifam_leave_one_out(np.inf, 4) == sharp_leave_one_out(0.0, np.inf, 4) == 1.0
    assert sharp_leave_one_out(0.3, 0.0, 4) == pytest.approx(0.3, rel=1e-15)
    assert sharp_leave_one_out([[0.1], [0.2]], 0.1, [3, 4, 5]).shape == (2, 3)


@pytest.mark.parametrize(
    ("bound", "numbers", "words"),
    [
        (haghifam_leave_one_out, (-0.1, 4), "loo_cmi must be non-negative"),
        (haghifam_leave_one_out, (0.1, 0.5), "n must be a whole number"),
        (sharp_leave_one_out, (1.1, 0.1, 4), "train_risk must be in"),
        (sharp_leave_one_out, (0.1, math.nan, 4), "loo_cmi must be a number"),
    ],
)
def test_bad_numbers_are_refused(bound, numbers, words):
    with pytest.raises(ValueError, match=words):
        bound(*numbers)
