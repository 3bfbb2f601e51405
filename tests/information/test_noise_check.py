import math

import numpy as np
import pytest
from scipy.stats import chi2

from genbounds.information.langevin.noise_check import NoiseCheck, NoiseError


def checked(residuals, level=1e-3, shift=(0.0, 0.0)):
    check = NoiseCheck(level)
    for residual in residuals:
        check.add(float(residual @ residual), len(residual), residual[0] + shift[0], residual[1] + shift[1])
    return check


def refused(check):
    try:
        check.raise_if_refused()
    except NoiseError:
        return True
    return False


def test_the_level_is_kept_and_not_wasted():
    """3000 runs of noise as it should be, at level 0.2 once: a tenth of them is refused, for one check spends half."""
    generator = np.random.default_rng(0)
    alarms = sum(refused(checked(generator.standard_normal((3, 10)), level=0.2)) for _ in range(3000))
    assert 0.07 <= alarms / 3000 <= 0.1 + 4 * math.sqrt(0.09 / 3000)


def test_checking_again_and_again_keeps_the_level():
    """20 looks at one run while it grows: at most the level of the runs is refused at any of them."""
    generator = np.random.default_rng(1)
    alarms = 0
    for _ in range(1000):
        check, alarm = NoiseCheck(0.2), False
        for _ in range(20):
            residual = generator.standard_normal(10)
            check.add(float(residual @ residual), 10, residual[0], residual[1])
            alarm = alarm or refused(check)
        alarms += alarm
    assert alarms / 1000 <= 0.2


@pytest.mark.parametrize("scale", [0.5, 0.9, 1.1, 2.0, 1 / 50.0])
def test_a_wrong_scale_is_refused(scale):
    residuals = scale * np.random.default_rng(2).standard_normal((40, 100))
    with pytest.raises(NoiseError, match=rf"got {scale:.1g}.* times as much") as raised:
        checked(residuals).raise_if_refused()
    assert "at level 0.001" in str(raised.value)


@pytest.mark.parametrize(("shift", "cause"), [((0.5, 0.0), "clipped"), ((0.0, -0.5), "momentum")])
def test_a_shift_along_a_gradient_is_refused(shift, cause):
    residuals = np.random.default_rng(3).standard_normal((200, 1000))
    with pytest.raises(NoiseError, match=cause):
        checked(residuals, shift=shift).raise_if_refused()
    assert not refused(checked(residuals))


def test_a_parameter_without_noise_is_refused_however_small():
    """One coordinate of 100,000: the whole has 0.999995 times the noise, which nobody can tell."""
    check = NoiseCheck(names=("weight", "bias"))
    for seed in range(60):
        residual = np.random.default_rng(seed).standard_normal(10**5 - 1)
        check.add([float(residual @ residual), 0.0], [10**5 - 1, 1], math.nan, math.nan)
    with pytest.raises(NoiseError, match=r"got 0 times as much in bias \(accepted: .*, over 60 coordinates"):
        check.raise_if_refused()
    assert check.scale == pytest.approx(1, rel=2e-3)


@pytest.mark.parametrize("checks", [1, 2])
@pytest.mark.parametrize(("names", "share"), [(("w",), 1.0), (("w", "b", "c"), 1 / 6)])
def test_the_range_accepted_is_that_of_chi_squared(checks, names, share):
    """A third of what the k-th check spends, two sides; one of three parameters has a sixth of it, the whole a half."""
    tail, freedom = 0.2 / (checks * (checks + 1)) / 6 * share, 4 * 50
    for end in (chi2.ppf(tail, freedom), chi2.isf(tail, freedom)):
        for factor, wanted in ((0.999, end < freedom), (1.001, end > freedom)):
            # Where there are several, the others make up for what this one has too much or too little.
            squares = [end * factor, *[freedom + (freedom - end) / 2] * (len(names) - 1)]
            check = NoiseCheck(0.2, names)
            for _ in range(50):
                check.add(np.array(squares) / 50, [4] * len(names), math.nan, math.nan)
            check.checks = checks - 1
            assert refused(check) == wanted


def test_the_level_is_kept_with_many_parameters():
    generator = np.random.default_rng(6)
    alarms = 0
    for _ in range(2000):
        check = NoiseCheck(0.2, names=tuple("abcd"))
        for _ in range(3):
            check.add(np.square(generator.standard_normal((4, 5))).sum(axis=1), [5] * 4, *generator.standard_normal(2))
        alarms += refused(check)
    assert 0.07 <= alarms / 2000 <= 0.1 + 4 * math.sqrt(0.09 / 2000)


def test_rounding_is_tolerated_where_chance_would_not_be():
    """10^12 coordinates see a relative error of 1e-5; it is rounding, and no other noise."""
    check = NoiseCheck()
    check.add(1e12 * (1 + 2e-5), 10**12, 0.0, math.nan)
    check.raise_if_refused()
    check = NoiseCheck()
    check.add(1e12 * (1 + 1e-3), 10**12, 0.0, math.nan)
    assert refused(check)


def test_nothing_measured_is_nothing_refused():
    NoiseCheck().raise_if_refused()
    assert math.isnan(NoiseCheck().scale)


def test_what_is_not_finite_is_refused():
    with pytest.raises(NoiseError, match="weights must stay finite"):
        NoiseCheck().add(math.nan, 3, 0.0, 0.0)
    with pytest.raises(ValueError, match="level must be strictly between 0 and 1"):
        NoiseCheck(0.0)
