"""The differentiable twins: equal to the certified functions, with the derivatives of the implicit function theorem."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from genbounds import numerics
from genbounds.pac_bayes.objectives import OBJECTIVES, bounded_cross_entropy, kl_upper, quadratic

risks = st.floats(1e-6, 0.95)
budgets = st.floats(1e-6, 1.0)


@given(risks, budgets)
def test_value_is_that_of_the_certified_inverse(q, c):
    ours = kl_upper(torch.tensor(q, dtype=torch.float64), torch.tensor(c, dtype=torch.float64))
    assert ours.item() == float(numerics.kl_upper(q, c))


@given(risks, budgets)
def test_gradient_is_the_slope_of_the_inverse(q, c):
    arguments = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in (q, c)]
    kl_upper(*arguments).backward()
    for place, argument in enumerate(arguments):
        step = 1e-5 * argument.item()
        ends = [
            float(numerics.kl_upper(*[x + sign * step * (i == place) for i, x in enumerate((q, c))]))
            for sign in (-1, 1)
        ]
        slope = (ends[1] - ends[0]) / (2 * step)
        # The inverse is exact to a few 1e-16, so the difference quotient is to about 1e-11 / q.
        assert argument.grad.item() == pytest.approx(slope, rel=1e-4, abs=1e-9)


@pytest.mark.parametrize(("q", "c"), [(0.0, 50.0), (0.3, 50.0), (0.3, 1e6), (1.0, 0.1), (1.0, 50.0)])
def test_gradient_vanishes_where_the_bound_is_vacuous(q, c):
    arguments = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in (q, c)]
    value = kl_upper(*arguments)
    value.backward()
    assert value == 1
    assert [argument.grad.item() for argument in arguments] == [0, 0]


def test_broadcasts_and_keeps_dtype_and_shape():
    q = torch.tensor([[0.1], [0.2]], requires_grad=True)
    c = torch.tensor([0.01, 0.02, 0.03], requires_grad=True)
    out = kl_upper(q, c)
    assert out.shape == (2, 3)
    assert out.dtype == torch.float32
    out.sum().backward()
    assert q.grad.shape == q.shape
    assert c.grad.shape == c.shape
    assert torch.isfinite(q.grad).all()


@pytest.mark.parametrize("name", OBJECTIVES)
def test_objectives_rise_with_risk_and_complexity(name):
    r = torch.tensor(0.03, dtype=torch.float64, requires_grad=True)
    c = torch.tensor(0.002, dtype=torch.float64, requires_grad=True)
    OBJECTIVES[name](r, c).backward()
    assert r.grad > 0
    assert c.grad > 0


@given(risks, budgets)
def test_quadratic_is_never_below_maurer(q, c):
    value = quadratic(torch.tensor(q, dtype=torch.float64), torch.tensor(c, dtype=torch.float64)).item()
    assert value >= float(numerics.kl_upper(q, c)) * (1 - 1e-12)


def test_bounded_cross_entropy_is_cross_entropy_rescaled_and_capped():
    logits = torch.tensor([[2.0, 0.0, -1.0], [0.0, 0.0, 0.0], [-40.0, 40.0, 0.0]], dtype=torch.float64)
    targets = torch.tensor([0, 1, 0])
    loss = bounded_cross_entropy(logits, targets, 1e-3)
    plain = F.cross_entropy(logits, targets, reduction="none") / math.log(1e3)
    np.testing.assert_allclose(loss[:2], plain[:2], rtol=1e-12)
    assert plain[2] > 1
    assert loss[2] == 1
