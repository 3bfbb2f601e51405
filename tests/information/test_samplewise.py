"""Square-root bounds by what is seen of each pair, for one supersample and averaged: one formula, many times."""

import math

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mpf

from genbounds.information import (
    haghifam_individual,
    harutyunyan,
    hellstrom_durisi,
    hellstrom_durisi_averaged,
    steinke_zakynthinou,
    wang_mao_differences,
    wang_mao_differences_averaged,
    wang_mao_single_loss,
)
from genbounds.theorems import get

BOUNDS = (
    haghifam_individual,
    harutyunyan,
    hellstrom_durisi,
    hellstrom_durisi_averaged,
    wang_mao_differences,
    wang_mao_differences_averaged,
    wang_mao_single_loss,
)
every_bound = pytest.mark.parametrize("bound", BOUNDS, ids=[bound.__name__ for bound in BOUNDS])
TERMS = st.lists(st.floats(0, 0.7) | st.sampled_from([0.0, 1e-12, math.log(2)]), min_size=1, max_size=12)


@every_bound
@given(terms=TERMS)
def test_encloses_the_formula(bound, terms):
    with mpmath.workdps(40):
        truth = min(mpmath.fsum(mpmath.sqrt(2 * mpf(term)) for term in terms) / len(terms), mpf(1))
        assert truth <= mpf(float(bound(terms))) <= truth * (1 + mpf("1e-13")) + mpf("1e-300")


@every_bound
def test_limits_and_shapes(bound):
    assert bound([0.0, 0.0]) < 1e-300
    assert bound([math.log(2)] * 3) == 1.0  # sqrt(2 ln 2) = 1.177 says nothing
    assert bound(np.full((3, 4, 5), 0.02)).shape == (3, 4)
    assert bound([np.inf, 0.0]) == bound([1e308]) == 1.0
    assert bound(np.full(10**5, 0.02)) == pytest.approx(0.2, rel=1e-10)


@every_bound
@pytest.mark.parametrize(
    ("terms", "words"),
    [
        ([0.1, -0.1], "must be non-negative"),
        ([math.nan], "must be a number"),
        (0.1, "last axis"),
        ([], "last axis"),
    ],
)
def test_bad_numbers_are_refused(bound, terms, words):
    with pytest.raises(ValueError, match=words):
        bound(terms)


@given(TERMS)
def test_the_sum_over_coins_is_never_above_the_joint_form(terms):
    """Where the coins' information adds up to that about the mask, the concave root does the rest."""
    assert haghifam_individual(terms) <= steinke_zakynthinou(sum(terms), len(terms)) * (1 + 1e-12) + 1e-300


def test_the_published_single_loss_bound_is_twice_this_one():
    """Uncentred, (-1)^U 2 L^+ lies in [-2, 2], so that its bound is (2/n) sum sqrt(2 I)."""
    terms = [0.01, 0.03, 0.002]
    assert wang_mao_single_loss(terms) == pytest.approx(np.mean(2 * np.sqrt(2 * np.array(terms))) / 2, rel=1e-13)


def test_what_the_records_say():
    assert not get("harutyunyan").ghost_losses
    assert not get("haghifam_individual").ghost_losses
    assert get("hellstrom_durisi").ghost_losses
    for bound in BOUNDS:
        theorem = get(f"information.{bound.__name__}")
        averaged = theorem.quantity == "generalization gap"
        assert ("GHOSTS_UNSEEN" in {item.name for item in theorem.assumes}) == averaged
        assert ("any one supersample" in theorem.averages_over) != averaged
