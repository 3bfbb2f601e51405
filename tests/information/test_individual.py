import math

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mpf

from genbounds.information import (
    bu_zou_veeravalli,
    bu_zou_veeravalli_cgf,
    rodriguez_galvez_total_variation,
    rodriguez_galvez_wasserstein,
    xu_raginsky,
    xu_raginsky_cgf,
)
from genbounds.theorems import get
from genbounds.worlds import (
    GaussianMean,
    LabelCopier,
    Learning,
    NoisyGaussianMean,
    attack,
    coins,
    gap_seeking,
    validate,
)

LISTS = st.lists(st.floats(0.0, 30.0), min_size=1, max_size=12)
NAMES = (
    "bu_zou_veeravalli",
    "bu_zou_veeravalli_cgf",
    "rodriguez_galvez_total_variation",
    "rodriguez_galvez_wasserstein",
)


@given(LISTS, st.floats(1e-3, 1e3))
def test_each_encloses_its_formula(values, scale):
    rates, cgf = [0.5, 3.0], [0.1, 2.0]
    with mpmath.workdps(40):
        n = len(values)
        roots = sum(mpmath.sqrt(2 * mpf(v)) for v in values) * mpf(scale) / n
        least = sum(min((mpf(v) + mpf(c)) / mpf(r) for r, c in zip(rates, cgf, strict=True)) for v in values) / n
        shares = sum(mpf(v / 30) for v in values) / n
        for value, exact in (
            (bu_zou_veeravalli(values, scale), roots),
            (bu_zou_veeravalli_cgf(values, rates, cgf), least),
            (rodriguez_galvez_total_variation(np.array(values) / 30), shares),
            (rodriguez_galvez_wasserstein(values, scale), mpf(scale) * sum(map(mpf, values)) / n),
        ):
            assert exact <= mpf(float(value)) <= exact * (1 + mpf("1e-13")) + mpf("1e-300") or value == 1.0


@given(LISTS, st.floats(1e-2, 1e2))
def test_examples_are_never_worse_than_the_sample(values, sigma):
    """I(W;Z_1) + ... + I(W;Z_n) <= I(S;W), and a root and a least over rates are concave."""
    n, total = len(values), math.fsum(values)
    assert bu_zou_veeravalli(values, sigma) <= xu_raginsky(total, n, sigma) * (1 + 1e-12) + 1e-300
    rates = np.geomspace(0.01, 10, 7)
    cgf = rates**2 / 2
    assert bu_zou_veeravalli_cgf(values, rates, cgf) <= xu_raginsky_cgf(total, n, rates, cgf) * (1 + 1e-12)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_pinsker_orders_them_in_enumerated_worlds(n):
    for strength in (0.2, 3.0):
        learning = Learning(coins([0.3, 0.6]), gap_seeking(strength), n)
        by_distance = rodriguez_galvez_total_variation(learning.total_variations)
        by_example = bu_zou_veeravalli(learning.individual_information, 0.5)
        by_sample = xu_raginsky(learning.mutual_information, n, 0.5)
        assert abs(learning.gap) <= by_distance * (1 + 1e-12)
        assert by_distance <= by_example <= by_sample * (1 + 1e-12)


def test_the_mean_of_gaussian_examples():
    """Published-style values: 0.50495 with the sub-Gaussian parameter, 0.43082 with the cumulants, gap 0.2."""
    world = GaussianMean(1, 10, 1.0)
    assert bu_zou_veeravalli(world.individual_information, world.sigma) == pytest.approx(0.50495, abs=1e-5)
    rates = np.geomspace(0.05, 5, 4000)
    exact = bu_zou_veeravalli_cgf(world.individual_information, rates, world.loss_cgf(rates))
    assert exact == pytest.approx(0.43082, abs=1e-5)
    assert exact >= world.individual_cgf_bound
    large = GaussianMean(1, 100, 1.0)
    ratio = bu_zou_veeravalli(large.individual_information, large.sigma) / large.gap
    assert ratio == pytest.approx(7.16, abs=0.01)


@pytest.mark.parametrize(("n", "ratio"), [(2, 1.0455), (10, 1.0118), (100, 1.00124), (1000, 1.000125)])
def test_wasserstein_distances_are_asymptotically_exact(n, ratio):
    world = GaussianMean(1, n, 1.0)
    assert rodriguez_galvez_wasserstein(world.wasserstein_distances, 1.0) / world.absolute_gap == pytest.approx(
        ratio, abs=5e-5
    )


def test_noise_on_the_mean():
    world = NoisyGaussianMean(3, 50, 1.0, noise=0.1)
    by_example = bu_zou_veeravalli(world.individual_information, world.sigma)
    assert world.gap < by_example < xu_raginsky(world.mutual_information, 50, world.sigma)
    assert by_example == pytest.approx(world.sigma * math.sqrt(2 * 0.020135), rel=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_worlds_come_close_and_none_refutes(name):
    finding = validate(get(name))
    assert not finding.broken
    assert finding.worlds > 40
    assert 1 - 1e-12 < finding.ratio < 1.01


@pytest.mark.parametrize("part", [0.5, 1 / math.sqrt(2), 0.95])
@pytest.mark.parametrize("name", NAMES)
def test_wrong_constants_are_caught(name, part, broken):
    assert not all(found.survived for found in attack(broken(name, part), 0.05))


def test_a_mean_of_the_cumulants_of_one_is_not_that_of_all():
    """Dividing the information about one example by n once more misses the gap of copied labels."""
    world = LabelCopier(50, 0.3)
    rates = np.array([2 * math.atanh(0.3)])
    information = np.full(50, world.one_label)
    assert bu_zou_veeravalli_cgf(information / 50, rates, world.loss_cgf(rates)) < world.gap * (1 - 1e-3)


def test_shapes_and_ends():
    assert bu_zou_veeravalli(np.zeros((4, 3, 2)), 0.5).shape == (4, 3)
    assert bu_zou_veeravalli([0.1, np.inf], 0.5) == np.inf
    assert rodriguez_galvez_total_variation(np.ones(7)) == 1.0
    assert rodriguez_galvez_wasserstein([np.inf], 1.0) == np.inf
    assert rodriguez_galvez_wasserstein([np.inf, 1.0], 0.0) < 1e-300  # the loss does not depend on w
    assert rodriguez_galvez_wasserstein(np.ones((2, 3)), np.array([1.0, 2.0])).tolist() == pytest.approx([1.0, 2.0])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: bu_zou_veeravalli([-0.1], 0.5), "individual_information must be non-negative"),
        (lambda: bu_zou_veeravalli(0.1, 0.5), "values must have entries along a last axis"),
        (lambda: bu_zou_veeravalli([0.1], -1.0), "sigma must be positive and finite"),
        (lambda: rodriguez_galvez_total_variation([1.1]), r"total_variations must be in \[0, 1\], got 1.1. Halve"),
        (lambda: rodriguez_galvez_wasserstein([-1.0], 1.0), "wasserstein_distances must be non-negative"),
        (lambda: rodriguez_galvez_wasserstein([1.0], math.nan), "lipschitz must be a number"),
    ],
)
def test_what_cannot_be_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
