"""Kernels of mixtures, their effective dimension and ridge risk; the published bound, of which no number is made."""

import math

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genbounds.inductive_bias import tangent_kernel
from genbounds.pathways import effective_dimension, fixed_design_risk, published_bound, routing_kernel

RIDGES = np.array([0.01, 0.1, 1.0, 10.0, 100.0])
SEEDS = st.integers(0, 10**6)


def random_problem(seed, n=9, experts=3):
    """Gates, and a kernel of each expert of any rank."""
    rng = np.random.default_rng(seed)
    gates = rng.dirichlet(np.ones(experts), n)
    features = rng.standard_normal((experts, n, int(rng.integers(1, n + 3))))
    return rng, gates, features @ features.transpose(0, 2, 1)


def hard(labels):
    return np.eye(labels.max() + 1)[labels]


@settings(deadline=None, max_examples=50)
@given(SEEDS)
def test_the_kernel_entry_by_entry_and_semidefinite(seed):
    _, gates, kernels = random_problem(seed)
    theta = routing_kernel(gates, kernels)
    for i in range(9):
        for j in range(9):
            expected = sum(gates[i, k] * gates[j, k] * kernels[k, i, j] for k in range(3))
            assert theta[i, j] == pytest.approx(expected, abs=1e-12)
    assert np.linalg.eigvalsh(theta)[0] > -1e-12
    same = routing_kernel(gates, kernels[0])
    assert same == pytest.approx(routing_kernel(gates, np.stack([kernels[0]] * 3)), abs=1e-12)


def test_the_kernel_is_that_of_the_mixture_of_its_features():
    rng, gates, _ = random_problem(1)
    features = rng.standard_normal((3, 9, 4))
    mixed = np.concatenate([gates[:, [k]] * features[k] for k in range(3)], axis=1)
    assert routing_kernel(gates, features @ features.transpose(0, 2, 1)) == pytest.approx(mixed @ mixed.T, abs=1e-12)


def test_a_layer_gives_its_mean_gates(routing_of_gates):
    _, gates, kernels = random_problem(2)
    layer = routing_of_gates(gates).layers[0]
    assert routing_kernel(layer, kernels) == pytest.approx(routing_kernel(gates, kernels), abs=1e-5)


@settings(deadline=None, max_examples=30)
@given(SEEDS, st.integers(1, 8))
def test_equal_gates_divide_the_kernel(seed, experts):
    _, _, (kernel, *_) = random_problem(seed)
    theta = routing_kernel(np.full((9, experts), 1 / experts), kernel)
    assert theta == pytest.approx(kernel / experts, abs=1e-12)
    assert effective_dimension(theta, RIDGES) == pytest.approx(effective_dimension(kernel, RIDGES * experts), abs=1e-9)


@settings(deadline=None, max_examples=50)
@given(SEEDS)
def test_hard_routing_adds_up_and_finer_partitions_have_more_dimensions(seed):
    rng, _, (kernel, *_) = random_problem(seed)
    coarse = rng.integers(3, size=9)
    fine = np.unique(3 * coarse + rng.integers(3, size=9), return_inverse=True)[1]
    values = [effective_dimension(routing_kernel(hard(labels), kernel), RIDGES) for labels in (coarse, fine)]
    parts = [kernel[np.ix_(coarse == part, coarse == part)] for part in np.unique(coarse)]
    assert values[0] == pytest.approx(sum(effective_dimension(part, RIDGES) for part in parts), abs=1e-9)
    assert (values[1] >= values[0] - 1e-9).all()
    assert (values[0] >= effective_dimension(kernel, RIDGES) - 1e-9).all()


def test_a_partition_that_is_no_refinement_may_have_fewer_dimensions():
    """More parts do not suffice: the theorem is about refinements."""
    kernel = np.kron(np.eye(2), np.ones((3, 3)))
    two, three = np.array([0, 0, 1, 1, 0, 1]), np.array([0, 0, 0, 1, 1, 2])
    dimensions = [effective_dimension(routing_kernel(hard(labels), kernel), 1.0) for labels in (two, three)]
    assert dimensions[1] < dimensions[0]


@settings(deadline=None, max_examples=50)
@given(SEEDS)
def test_the_effective_dimension_as_a_function_of_the_ridge(seed):
    _, gates, kernels = random_problem(seed)
    kernel = routing_kernel(gates, kernels)
    ridges = np.linspace(0.05, 5, 60)
    values = effective_dimension(kernel, ridges)
    assert (np.diff(values) <= 1e-12).all()
    assert (np.diff(values, 2) >= -1e-12).all()
    assert (values <= np.linalg.matrix_rank(kernel) + 1e-9).all()
    level = np.trace(kernel) / 9
    assert (values <= 9 * level / (level + ridges) + 1e-9).all()
    assert effective_dimension(level * np.eye(9), ridges) == pytest.approx(9 * level / (level + ridges), abs=1e-12)
    inverse = np.linalg.inv(kernel + 0.3 * np.eye(9))
    assert float(effective_dimension(kernel, 0.3)) == pytest.approx(np.trace(kernel @ inverse), abs=1e-8)


def test_wide_networks_as_experts():
    rng = np.random.default_rng(4)
    inputs = rng.standard_normal((12, 5))
    kernel = tangent_kernel(inputs, depth=1)
    labels = rng.integers(4, size=12)
    whole, routed = (
        effective_dimension(routing_kernel(gates, kernel), 0.1) for gates in (np.ones((12, 1)), hard(labels))
    )
    assert whole < routed < 12


@settings(deadline=None, max_examples=20)
@given(SEEDS)
def test_the_risk_in_arbitrary_precision(seed):
    rng, gates, kernels = random_problem(seed, n=5)
    kernel, target, noise, ridge = routing_kernel(gates, kernels), rng.standard_normal(5), 0.7, 0.2
    risk = fixed_design_risk(kernel, target, noise, ridge)
    with mpmath.workdps(40):
        matrix, column = mpmath.matrix(kernel.tolist()), mpmath.matrix(target.tolist())
        inverse = (matrix + ridge * mpmath.eye(5)) ** -1
        smoother = matrix * inverse
        bias = mpmath.mpf(ridge) ** 2 / 5 * (column.T * inverse * inverse * column)[0]
        squares = smoother * smoother
        variance = mpmath.mpf(noise) ** 2 / 5 * sum(squares[i, i] for i in range(5))
        trace = sum(smoother[i, i] for i in range(5))
        upper = bias + mpmath.mpf(noise) ** 2 / 5 * trace
    assert float(risk.bias) == pytest.approx(float(bias), rel=1e-9, abs=1e-14)
    assert float(risk.variance) == pytest.approx(float(variance), rel=1e-9)
    assert float(risk.total) == pytest.approx(float(bias + variance), rel=1e-9)
    assert float(risk.upper) == pytest.approx(float(upper), rel=1e-9)
    assert float(risk.effective_dimension) == pytest.approx(float(trace), rel=1e-9)
    assert risk.total <= risk.upper


def test_the_risk_is_what_fits_of_noisy_labels_show():
    rng, gates, kernels = random_problem(7, n=12)
    kernel, target = routing_kernel(gates, kernels), rng.standard_normal(12)
    risk = fixed_design_risk(kernel, target, noise=0.5, ridge=0.3)
    labels = target + 0.5 * rng.standard_normal((40_000, 12))
    fits = np.linalg.solve(kernel + 0.3 * np.eye(12), kernel @ labels.T).T
    losses = np.square(fits - target).mean(axis=1)
    error = losses.std() / math.sqrt(len(losses))
    assert losses.mean() == pytest.approx(float(risk.total), abs=4 * error)
    # With Tr S in place of Tr S^2, which the published proof has, it is not the risk but above it.
    assert risk.upper > losses.mean() + 4 * error


def test_limits_of_the_ridge_and_several_at_once():
    _, gates, kernels = random_problem(3, n=6)
    kernel, target = routing_kernel(gates, kernels) + np.eye(6), np.arange(6.0)
    risk = fixed_design_risk(kernel, target, 2.0, [1e-12, 1e12])
    assert risk.total.tolist() == pytest.approx([4.0, np.square(target).mean()])
    assert risk.variance[1] == pytest.approx(0, abs=1e-20)
    one = fixed_design_risk(kernel, target, 2.0, 0.5)
    several = fixed_design_risk(kernel, target, 2.0, [0.5, 1.0])
    assert several.total[0] == one.total
    assert np.ndim(one.total) == 0
    assert several.ridge.tolist() == [0.5, 1.0]


def test_the_terms_of_the_published_bound():
    rng, gates, kernels = random_problem(5, n=7)
    kernel, labels = routing_kernel(gates, kernels), rng.standard_normal(7)
    form = published_bound(kernel, labels, noise=0.6, ridge=0.2, delta=0.1)
    inverse = np.linalg.inv(kernel + 0.2 * np.eye(7))
    assert form.bias_term == pytest.approx(0.04 / 7 * labels @ inverse @ inverse @ labels)
    assert form.variance_term == pytest.approx(0.36 / 7 * np.trace(kernel @ inverse))
    assert form.noise_term == pytest.approx(0.36 * math.log(10) / 7)


@pytest.mark.parametrize(
    "use",
    [
        float,
        int,
        complex,
        round,
        np.asarray,
        np.sqrt,
        lambda form: form.total,
        lambda form: form + 1,
        lambda form: 2 * form,
        lambda form: form / 2,
        lambda form: form < 1,
        lambda form: form >= 1,
        lambda form: max(form, 0.5),
        lambda form: np.float64(2) * form,
    ],
)
def test_no_number_is_made_of_the_published_bound(use):
    form = published_bound(np.eye(2), [1.0, 0.0], 1.0, 1.0, 0.05)
    with pytest.raises(ValueError, match="unspecified constants C_1 and C_2"):
        use(form)


def test_no_constants_make_the_published_bound_true():
    """Each input has an expert of its own: the terms vanish with the ridge, the risk at new inputs does not."""
    rng, experts, n = np.random.default_rng(0), 50, 20
    drawn = rng.integers(experts, size=n)
    gates, kernel = np.eye(experts), np.ones((experts, experts))
    theta = routing_kernel(gates, kernel)
    form = published_bound(theta[np.ix_(drawn, drawn)], np.ones(n), noise=0.0, ridge=1e-6, delta=0.05)
    assert form.bias_term < 1e-11
    assert form.variance_term == form.noise_term == 0
    fit = theta[:, drawn] @ np.linalg.solve(theta[np.ix_(drawn, drawn)] + 1e-6 * np.eye(n), np.ones(n))
    assert np.square(fit - 1).mean() >= 1 - n / experts


def test_what_is_refused():
    with pytest.raises(ValueError, match="kernels must be of shape"):
        routing_kernel(np.ones((3, 2)), np.ones((3, 3, 3)))
    with pytest.raises(ValueError, match="kernels must be of shape"):
        routing_kernel(np.ones(3), np.ones((3, 3)))
    with pytest.raises(ValueError, match="gates must be a number"):
        routing_kernel(np.full((3, 2), math.nan), np.ones((3, 3)))
    with pytest.raises(ValueError, match="kernel must be symmetric"):
        effective_dimension([[1.0, 0.5], [0.4, 1.0]], 1.0)
    with pytest.raises(ValueError, match="kernel must be positive semidefinite, got the eigenvalue -1"):
        effective_dimension([[0.0, 1.0], [1.0, 0.0]], 1.0)
    with pytest.raises(ValueError, match="kernel must be a square matrix"):
        effective_dimension(np.ones((2, 3)), 1.0)
    with pytest.raises(ValueError, match="ridge must be positive"):
        effective_dimension(np.eye(2), [1.0, 0.0])
    with pytest.raises(ValueError, match="target must be one number for each of the 2 inputs"):
        fixed_design_risk(np.eye(2), [1.0], 1.0, 1.0)
    with pytest.raises(ValueError, match="noise must be non-negative"):
        fixed_design_risk(np.eye(2), [1.0, 1.0], -1.0, 1.0)
    with pytest.raises(ValueError, match="delta must be strictly between"):
        published_bound(np.eye(2), [1.0, 1.0], 1.0, 1.0, 1.0)
    assert effective_dimension(np.ones((4, 4)), 1.0) == pytest.approx(0.8)  # zeros of rounding either side of 0
    assert effective_dimension(np.zeros((2, 2)), 1.0) == 0


@pytest.mark.parametrize("ridge", [1e-16, 1e-13, 1e-9])
def test_rounding_of_a_singular_kernel_is_no_direction(ridge):
    features = np.random.default_rng(0).standard_normal((30, 4))
    found = effective_dimension(features @ features.T, ridge)
    assert found == pytest.approx(4, abs=1e-8)
    assert fixed_design_risk(features @ features.T, np.zeros(30), 1.0, ridge).variance == pytest.approx(4 / 30)
