import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.special import gammaln

from genbounds.inductive_bias.volume.directions import Curvature, DirectionLaw, Spectral, posterior_directions


def orthonormal(size, number, seed=0):
    rng = np.random.default_rng(seed)
    return torch.as_tensor(np.linalg.qr(rng.standard_normal((size, number)))[0])


def dense(matrix):
    return matrix.apply(torch.eye(matrix.size, dtype=torch.float64))


def test_a_spectral_matrix_does_what_the_dense_one_does():
    vectors, values = orthonormal(7, 3), torch.tensor([4.0, 2.0, 1.0], dtype=torch.float64)
    matrix = Spectral(values, vectors, 0.5)
    whole = dense(matrix)
    assert whole.numpy() == pytest.approx(0.5 * np.eye(7) + (vectors * (values - 0.5)).numpy() @ vectors.T.numpy())
    assert dense(matrix.map(torch.sqrt)).matrix_power(2).numpy() == pytest.approx(whole.numpy(), abs=1e-12)
    eigenvalues, times = matrix.multiplicities()
    assert (times @ np.log(eigenvalues)) == pytest.approx(float(torch.logdet(whole)))
    one, other = torch.randn(2, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert matrix.split(one, other).sum() == pytest.approx(float(one @ other))
    assert (matrix.split(one, other) * eigenvalues).sum() == pytest.approx(float(one @ whole @ other))


def test_the_density_on_the_circle_integrates_to_one_and_is_that_of_the_draws():
    law = DirectionLaw(
        Spectral(torch.tensor([2.0, 0.3], dtype=torch.float64), orthonormal(2, 2)),
        torch.tensor([0.7, -1.2], dtype=torch.float64),
    )

    def density(angle):
        point = torch.tensor([[math.cos(angle), math.sin(angle)]], dtype=torch.float64)
        return float(np.exp(law.log_density(point))[0])

    assert quad(density, -math.pi, math.pi, limit=200)[0] == pytest.approx(1.0, abs=1e-7)
    drawn = law.draw(40_000, torch.Generator().manual_seed(1))
    assert drawn.norm(dim=1).numpy() == pytest.approx(1.0)
    angles = np.arctan2(drawn[:, 1].numpy(), drawn[:, 0].numpy())
    ends = np.linspace(-math.pi, math.pi, 13)
    seen = np.histogram(angles, ends)[0]
    expected = 40_000 * np.array([quad(density, *pair)[0] for pair in pairwise(ends)])
    assert (((seen - expected) ** 2 / expected).sum()) < 31.3  # 0.999 quantile of chi^2 with 11 degrees of freedom


@pytest.mark.parametrize("size", [1, 2, 30, 1000])
def test_without_an_offset_it_is_the_angular_central_gaussian_law(size):
    scales = torch.linspace(0.5, 3.0, size, dtype=torch.float64)
    law = DirectionLaw(Spectral(scales), torch.zeros(size, dtype=torch.float64))
    points = law.draw(5, torch.Generator().manual_seed(0))
    surface = math.log(2) + size / 2 * math.log(math.pi) - gammaln(size / 2)
    expected = -surface - scales.log().sum() - size / 2 * (points / scales).square().sum(1).log()
    assert law.log_density(points) == pytest.approx(expected.numpy(), rel=1e-11)


def test_the_tilted_law_has_the_level_for_its_mean_cost():
    rng = np.random.default_rng(3)
    values = torch.tensor([50.0, 3.0, 0.2], dtype=torch.float64)
    curvature = Curvature(Spectral(values, orthonormal(6, 3), 0.01), torch.as_tensor(0.1 * rng.standard_normal(6)))
    anchor = torch.as_tensor(rng.standard_normal(6))
    height = 0.4
    law = posterior_directions(curvature, anchor, height)
    normal = torch.randn(200_000, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    x = law.root.apply(law.offset + normal)
    cost = x @ curvature.gradient + (x * curvature.hessian.apply(x)).sum(1) / 2
    assert float(cost.mean()) == pytest.approx(height, abs=5 * float(cost.std()) / math.sqrt(200_000))
    # It is an exponential tilt of the prior: x's log density is linear in the cost and the prior's.
    precision = dense(law.root.map(lambda values: values.pow(-2)))
    theta = float((precision[0, 1]) / dense(curvature.hessian)[0, 1])
    assert precision.numpy() == pytest.approx(np.eye(6) + theta * dense(curvature.hessian).numpy(), abs=1e-9)
    centre = torch.linalg.solve(precision, anchor + theta * curvature.gradient)
    assert law.root.apply(law.offset).numpy() == pytest.approx(-centre.numpy(), abs=1e-9)


def test_where_all_directions_are_stiff_it_is_the_ellipsoid_of_the_level():
    values = torch.linspace(1e8, 1e10, 40, dtype=torch.float64)
    zero = torch.zeros(40, dtype=torch.float64)
    law = posterior_directions(Curvature(Spectral(values), zero), zero, 0.5)
    assert law.root.values.numpy() == pytest.approx((40 * values).rsqrt().numpy(), rel=1e-6)  # D / (2 c) = 40


def test_a_level_above_the_prior_mean_leaves_the_prior():
    values, zero = torch.ones(5, dtype=torch.float64), torch.zeros(5, dtype=torch.float64)
    law = posterior_directions(Curvature(Spectral(values), zero), zero, 2.6)
    assert law.root.values.tolist() == [1.0] * 5


def test_radii_of_the_model():
    values = torch.tensor([4.0, 0.0], dtype=torch.float64)
    curvature = Curvature(Spectral(values), torch.tensor([1.0, 0.0], dtype=torch.float64))
    ahead, back, across = curvature.rise(torch.tensor([[1.0, 0], [-1, 0], [0, 1]], dtype=torch.float64), 1.0).tolist()
    assert ahead + 2 * ahead**2 == pytest.approx(1.0)
    assert -back + 2 * back**2 == pytest.approx(1.0)
    assert across == math.inf
