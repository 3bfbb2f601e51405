import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import iti0k0

from genbounds.inductive_bias.volume.directions import DirectionLaw, Spectral
from genbounds.inductive_bias.volume.learning_laws import (
    quadratic_coefficient,
    reduced_rank_coefficient,
    scaling_exponents,
)
from genbounds.inductive_bias.volume.local_volume import local_volume
from genbounds.rare_events.quadratic.forms import QuadraticForm
from genbounds.rare_events.quadratic.tails import quadratic_tail


def aoyagi_watanabe(n, m, h, r):
    """The theorem as published, case by case."""
    if n + r <= m + h and m + r <= n + h and h + r <= m + n:
        square = -((h + r) ** 2) - m**2 - n**2 + 2 * (h + r) * m + 2 * (h + r) * n + 2 * m * n
        even = (m + h + n + r) % 2 == 0
        return (square / 8, 1) if even else ((square + 1) / 8, 2)
    if m + h < n + r:
        return (h * m - h * r + n * r) / 2, 1
    if n + h < m + r:
        return (h * n - h * r + m * r) / 2, 1
    assert m + n < h + r
    return m * n / 2, 1


def test_reduced_rank_regression_is_the_published_theorem():
    for n in range(1, 7):
        for m in range(1, 7):
            for h in range(1, 9):
                for r in range(min(n, m, h) + 1):
                    assert reduced_rank_coefficient(n, m, h, r) == aoyagi_watanabe(n, m, h, r), (n, m, h, r)


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 30), st.integers(1, 30), st.integers(1, 30), st.data())
def test_reduced_rank_regression_is_between_its_limits(n, m, h, data):
    r = data.draw(st.integers(0, min(n, m, h)))
    value, _ = reduced_rank_coefficient(n, m, h, r)
    assert reduced_rank_coefficient(m, n, h, r) == reduced_rank_coefficient(n, m, h, r)
    regular = (h * (n + m) - h * h) / 2 if h <= min(n, m) else n * m / 2
    assert value <= min(regular, h * (n + m) / 2)  # at most half of the identifiable dimensions
    assert value >= r * (n + m - r) / 2


def test_the_step_multiplies_the_variance():
    """The recursion of the variance, run to its end."""
    h, t, gamma, step = np.array([0.01, 0.3, 2.0]), 100.0, 2.0, 0.004
    variance = np.zeros(3)
    for _ in range(20_000):
        variance = (1 - step * (t * h + gamma) / 2) ** 2 * variance + step
    assert quadratic_coefficient(h, t, gamma, step) == pytest.approx(t * (h * variance).sum() / 2, rel=1e-12)
    assert quadratic_coefficient(h, t, gamma, 1e-12) == pytest.approx(quadratic_coefficient(h, t, gamma), rel=1e-9)


def test_half_the_dimension_in_the_limit_and_less_before():
    h = np.linspace(0.1, 2, 8)
    values = [quadratic_coefficient(h, t, 1.0) for t in (1, 10, 1e3, 1e9)]
    assert (np.diff(values) > 0).all()
    assert values[-1] == pytest.approx(4.0, abs=1e-7)


def test_the_volume_of_a_quadratic_scales_with_half_its_dimension():
    curve = quadratic_tail(QuadraticForm(np.linspace(0.5, 2, 7), np.zeros(7), 0.25), 0.25 + np.array([1e-9, 1e-8, 1.0]))
    exponents = scaling_exponents(curve, 0.25)
    assert exponents[0] == pytest.approx(3.5, abs=1e-6)
    assert exponents[1] < 3.5


def test_the_volume_of_a_crossing_scales_with_its_coefficient():
    """``w_1^2 w_2^2`` has 1/2, reached like one over the logarithm, as its multiplicity is 2."""
    law = [DirectionLaw(Spectral(torch.ones(2, dtype=torch.float64)), torch.zeros(2, dtype=torch.float64))]
    anchor = torch.zeros(2, dtype=torch.float64)

    def exact(levels):  # the density of w_1 w_2 is K_0(|x|) / pi
        return np.diff(np.log(iti0k0(np.sqrt(levels))[1])) / np.diff(np.log(levels))

    def sampled(levels):
        return local_volume(lambda z: z.square().prod(1), anchor, levels, directions=law, rays=20_000).curve

    levels = np.geomspace(1e-5, 1e-1, 5)
    curve = sampled(levels)
    assert scaling_exponents(curve, 0.0) == pytest.approx(exact(levels), abs=0.03)
    assert not curve.warnings
    assert exact(np.array([1e-5, 1e-4])) < 0.47
    assert exact(np.array([1e-301, 1e-300])) == pytest.approx(0.5, abs=2e-3)
    # The arms become too narrow for any number of isotropic rays, and it is noticed.
    assert sampled(np.array([1e-14])).warnings


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: quadratic_coefficient([1.0], 100.0, 1.0, 0.05), "step must be below"),
        (lambda: quadratic_coefficient([-1.0], 100.0, 1.0), "curvatures must be"),
        (lambda: quadratic_coefficient([1.0], 100.0, 0.0), "localisation must be"),
        (lambda: reduced_rank_coefficient(2, 2, 1, 2), "rank must be"),
        (
            lambda: scaling_exponents(quadratic_tail(QuadraticForm([1.0], [0.0], 0.0), [1.0, 2.0]), 1.5),
            "levels must be above",
        ),
    ],
)
def test_refusals(call, said):
    with pytest.raises(ValueError, match=said):
        call()
