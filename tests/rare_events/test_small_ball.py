"""The small-ball asymptote: its slope is half the number of directions, and its bounds hold at every level."""

import math

import numpy as np
import pytest
from scipy.stats import chi2, ncx2

from genbounds.rare_events import QuadraticForm, quadratic_tail, small_ball


def test_six_directions():
    generator = np.random.default_rng(6)
    form = QuadraticForm(generator.uniform(0.5, 2, 6), generator.normal(size=6), 0.4)
    levels = 0.4 + np.array([1e-12, 1e-9, 1e-6])
    line, low, high = small_ball(form, levels)
    truth = quadratic_tail(form, levels).nats
    np.testing.assert_allclose(line, truth, atol=2e-5)
    assert (low <= truth * (1 + 1e-13)).all()
    assert (truth <= high * (1 + 1e-13)).all()
    # Slope n / 2 in ln(1 / x), where a fit of two moments has the slope of its effective degrees of freedom.
    slope = (truth[0] - truth[2]) / math.log(1e6)
    assert slope == pytest.approx(3, abs=1e-4)
    spiky = QuadraticForm([1.0, 0.01, 0.01, 0.01], np.zeros(4))
    degrees = 2 * spiky.mean**2 / spiky.variance
    assert degrees < 1.1
    deep = quadratic_tail(spiky, [1e-12, 1e-9]).nats
    assert (deep[0] - deep[1]) / math.log(1e3) == pytest.approx(2, abs=1e-4)
    fitted = -chi2.logcdf([1e-12, 1e-9], degrees, scale=spiky.mean / degrees)
    assert fitted[0] < deep[0] / 2.5


@pytest.mark.parametrize(("n", "shift"), [(1, 0.0), (1, 2.0), (5, 0.0), (5, 1.0)])
def test_bounds_hold_far_from_the_floor(n, shift):
    form = QuadraticForm(np.ones(n), np.full(n, shift))
    levels = form.mean * np.geomspace(1e-6, 3, 40)
    _, low, high = small_ball(form, levels)
    truth = -(ncx2.logcdf(levels, n, n * shift**2) if shift else chi2.logcdf(levels, n))
    assert (low <= truth + 1e-9).all()
    assert (truth <= high + 1e-9).all()
    # To first order in the level both are attained: the lower without the variance's part, the upper without shifts.
    x = 1e-4
    line, low, high = (value[0] for value in small_ball(form, [x]))
    exact = quadratic_tail(form, [x]).nats[0]
    assert exact - line == pytest.approx((high - line) + (low - line), abs=1e-2 * (high - low))


def test_edges():
    line, low, high = small_ball(QuadraticForm([1.0], [0.0], 1.0), [0.5, 1.0])
    assert np.isinf([line, low, high]).all()
    with pytest.raises(ValueError, match="must have a weight"):
        small_ball(QuadraticForm([], []), [1.0])
    # Below the range of quadratic_tail.
    assert small_ball(QuadraticForm([1.0, 1.0], [0.0, 0.0]), [1e-300])[0][0] == pytest.approx(
        math.log(2) + 300 * math.log(10), rel=1e-14
    )
