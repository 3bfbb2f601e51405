"""The bowl: closed form against small steps, and the law of logarithmic distance that it follows."""

import numpy as np
import pytest

from genbounds.worlds import QuadraticBowl


def explained(x, y):
    """Return the share of the variance of y that a line in x explains."""
    design = np.column_stack([x, np.ones_like(x)])
    left = y - design @ np.linalg.lstsq(design, y, rcond=None)[0]
    return 1 - np.sum(left**2) / np.sum((y - y.mean()) ** 2)


def test_the_distance_is_that_of_small_steps():
    bowl = QuadraticBowl(2.0, 0.05, 7)
    w, step = bowl.start.copy(), 1e-3
    for _ in range(3000):
        w -= step * bowl.curvatures * w
    assert bowl.distance(3.0) == pytest.approx(np.linalg.norm(w - bowl.start), rel=1e-3)
    assert np.mean(bowl.start**2) == pytest.approx(1)
    assert bowl.distance(1e9) == pytest.approx(np.linalg.norm(bowl.start))
    assert bowl.distance(0.0) == pytest.approx(0)


def test_the_distance_is_linear_in_the_logarithm_of_time_and_no_power_law():
    bowl, times = QuadraticBowl(1.0, 1e-8, 400), np.geomspace(3, 3e6, 60)
    distance = bowl.distance(times)
    assert explained(np.log(times), distance) > 0.9999
    assert explained(np.log(times), np.log(distance)) < 0.95


@pytest.mark.parametrize("wrong", [(1.0, 2.0, 5), (1.0, 0.0, 5), (1.0, 0.1, 1)])
def test_bad_bowls_are_refused(wrong):
    with pytest.raises(ValueError, match="must"):
        QuadraticBowl(*wrong)
