"""Conjugate gradients for several right-hand sides: against a direct solution."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from genbounds.coherence.curvature.damped_solve import conjugate_gradients, relative_residuals
from genbounds.models.guards import ModelError


def semidefinite(seed, size, rank):
    root = torch.randn(size, rank, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return root @ root.T


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.integers(1, 25), st.integers(1, 25), st.integers(1, 4), st.floats(-3, 2))
def test_against_a_direct_solution(seed, size, rank, sides, log_damping):
    matrix, damping = semidefinite(seed, size, rank), 10**log_damping
    b = torch.randn(sides, size, dtype=torch.float64, generator=torch.Generator().manual_seed(seed + 1))
    found = conjugate_gradients(lambda v: v @ matrix, b, damping=damping, tolerance=1e-10, max_steps=500)
    exact = torch.linalg.solve(matrix + damping * torch.eye(size, dtype=torch.float64), b.T).T
    assert max(found.residuals) < 1e-8
    torch.testing.assert_close(found.vectors, exact, rtol=1e-6, atol=1e-7 / damping)
    off = (found.vectors - exact).norm(dim=1) / b.norm(dim=1)  # what the docstring says of the residual
    assert bool((off <= torch.tensor(found.residuals) / damping + 1e-12 / damping).all())


def test_as_many_steps_as_different_eigenvalues():
    values = torch.tensor([0.0, 0, 0, 1, 1, 5, 5, 5], dtype=torch.float64)
    found = conjugate_gradients(
        lambda v: v * values, torch.ones(1, 8, dtype=torch.float64), damping=0.5, tolerance=1e-12, max_steps=50
    )
    assert found.steps == 3


def test_finished_sides_are_left_alone_and_zero_ones_are_solved():
    values = torch.linspace(0, 10, 40, dtype=torch.float64)
    calls = []

    def product(v):
        calls.append(len(v))
        return v * values

    b = torch.zeros(3, 40, dtype=torch.float64)
    b[0, 5], b[1] = 2.0, 1.0
    found = conjugate_gradients(product, b, damping=0.1, tolerance=1e-9, max_steps=200)
    assert calls[0] == 2
    assert calls[1] == 1
    assert calls[-1] == 3  # the residuals of all
    assert torch.equal(found.vectors[2], torch.zeros(40, dtype=torch.float64))
    assert found.residuals[2] == 0
    torch.testing.assert_close(found.vectors, b / (values + 0.1), rtol=1e-6, atol=1e-8)


def test_a_run_that_is_cut_short_says_so():
    values = torch.logspace(-3, 3, 200, dtype=torch.float64)
    b = torch.ones(1, 200, dtype=torch.float64)
    found = conjugate_gradients(lambda v: v * values, b, damping=1e-3, tolerance=1e-10, max_steps=5)
    assert found.steps == 5
    left = (b - found.vectors * (values + 1e-3)).norm() / b.norm()
    assert found.residuals[0] == pytest.approx(float(left), rel=1e-12)
    assert found.residuals[0] > 1e-3
    assert relative_residuals(lambda v: v * values, b, b / (values + 1e-3), 1e-3)[0] < 1e-14


@pytest.mark.parametrize("value", [-1.0, float("nan")])
def test_no_negative_curvature(value):
    values = torch.tensor([1.0, value], dtype=torch.float64)
    with pytest.raises(ModelError, match="must be convex in the outputs"):
        conjugate_gradients(
            lambda v: v * values, torch.eye(2, dtype=torch.float64), damping=0.1, tolerance=1e-6, max_steps=9
        )
