import math

import numpy as np
import pytest

from genbounds.theorems import get
from genbounds.theorems.quantities import GAP, SUPERSAMPLE_GAP
from genbounds.worlds import Learning, SupersampleLearning, attack, blurred, classification, erm
from genbounds.worlds.batteries.loss_dependence import loss_dependence_problem, torn_memoriser

BIT = classification([0.5, 0.5], inputs=[0, 0], labels=[0, 1])


@pytest.mark.parametrize("reliability", [0.3, 1.0])
def test_a_bit_by_hand(reliability):
    """Given both faces of a coin, r(dL) is plus or minus the reliability, and each difference is 1."""
    r = reliability
    learning = SupersampleLearning(BIT, blurred(erm, 1 - r), 1, points=[[[0, 1]]])
    problem = loss_dependence_problem(learning)

    def phi(r):
        return sum((1 + s * r) * math.log(1 + s * r) for s in (1, -1) if 1 + s * r > 0) / 2

    expected = {
        "squared_differences": 1.0,
        "squared_range": 1.0,
        "cmi": phi(r),
        "ld_cmi": phi(r),
        "ld_chi_squared": r**2,
        "ld_hellinger": 2 - math.sqrt(1 + r) - math.sqrt(1 - r),
        "ld_jensen_shannon": phi(r) / 2 - phi(r / 2),
    }
    for name, value in expected.items():
        assert np.ravel(problem.quantities[name]) == pytest.approx([value], abs=1e-14), name
    assert np.ravel(problem.truths[SUPERSAMPLE_GAP]) == pytest.approx([r], abs=1e-14)


def test_the_same_point_twice_tells_nothing():
    problem = loss_dependence_problem(SupersampleLearning(BIT, erm, 1, points=[[[1, 1]]]))
    for name in ("cmi", "ld_cmi", "ld_chi_squared", "ld_hellinger", "ld_jensen_shannon", "squared_range"):
        assert not np.any(problem.quantities[name]), name


@pytest.mark.parametrize("bias", [0.1, 0.7])
def test_a_torn_memoriser_by_hand(bias):
    """Wrong on a share (1 - bias) / 2 of what it has seen; on another point just the other way round."""
    points = 5
    world, learner = torn_memoriser(points, bias)
    learning = Learning(world, learner, 1)
    assert learning.train_risk == pytest.approx((1 - bias) / 2, abs=1e-14)
    assert learning.gap == pytest.approx(bias * (1 - 1 / points), abs=1e-14)
    told = sum((1 + s * bias) * math.log(1 + s * bias) for s in (1, -1)) / 2
    assert learning.ld_mi == pytest.approx([told * (1 - 1 / points)], abs=1e-14)


@pytest.mark.parametrize(
    "name",
    [
        "steinke_zakynthinou_unbounded",
        "wang_mao_chi_squared",
        "wang_mao_hellinger",
        "wang_mao_jensen_shannon",
        "wang_mao_variance",
        "wang_mao_differences_averaged",
        "hellstrom_durisi_averaged",
    ],
)
def test_constants_are_pinned_down(name):
    """No bound fails, and one that is smaller by 6 % somewhere does."""
    theorem = get(f"information.{name}")
    found = attack(theorem, 0.05)
    assert all(each.survived for each in found)
    assert theorem.quantity in (GAP, SUPERSAMPLE_GAP)
    assert 1 <= min(each.ratio for each in found) + 1e-9 < 1.06
