"""Sums of tensors in whole numbers: exact for any order, against rational numbers."""

from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import distributed as dist

from genbounds.models.sums import FixedPointSum

TERMS = st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=30)


def total(terms, bound, dtype=torch.float64):
    held = FixedPointSum({"w": torch.zeros(1)}, {"w": bound})
    for term in terms:
        held.add({"w": torch.tensor([term], dtype=dtype)})
    return float(held.value()["w"])


@given(TERMS, st.sampled_from([2.0**-950, 1e-60, 1.0, 1e200]), st.randoms())
def test_order_does_not_matter_and_the_error_is_within_the_quantum(terms, scale, random):
    terms = [term * scale for term in terms]
    bound = sum(map(abs, terms))
    found = total(terms, bound)
    assert found == total(random.sample(terms, len(terms)), bound)
    exact = sum(map(Fraction, terms))
    limit = Fraction(len(terms), 2**59) * Fraction(max(bound, 2.0**-900)) + Fraction(2.0**-52) * abs(exact)
    assert abs(Fraction(found) - exact) <= limit


def test_an_excess_by_rounding_does_not_overflow():
    assert total([1.0, 1.0], 1.9) == 2.0
    assert total([-1.0, -3.0], 2.0) == -4.0


def test_nothing_but_zeros():
    assert total([0.0, 0.0], 0.0) == 0.0


def test_narrow_terms():
    assert total([0.5, 0.25], 1.0, torch.float16) == 0.75


def test_several_processes(monkeypatch):
    """Each adds its part, and whole numbers are what is exchanged."""
    terms = [0.1, -0.7, 3.3, 1e-9, 2.2]

    def reduce_with_the_other(tensor):
        assert tensor.dtype == torch.int64
        other = FixedPointSum({"w": torch.zeros(1)}, {"w": 7.0})
        for term in terms[1::2]:
            other.add({"w": torch.tensor([term], dtype=torch.float64)})
        tensor += other._sums["w"]

    alone = total(terms, 7.0)
    monkeypatch.setattr(dist, "is_initialized", lambda: True)
    monkeypatch.setattr(dist, "all_reduce", reduce_with_the_other)
    assert total(terms[::2], 7.0) == alone
    assert alone == pytest.approx(sum(terms), rel=1e-15)
