import numpy as np
import pytest
import torch
from torch import nn

from genbounds.inductive_bias.networks import NetworkPrior
from genbounds.inductive_bias.volume.curvature import cost_curvature


def quadratic(size, rank=None, seed=0):
    rng = np.random.default_rng(seed)
    root = torch.as_tensor(rng.standard_normal((size, rank or size)))
    hessian, slope = root @ root.T, torch.as_tensor(rng.standard_normal(size))
    anchor = torch.as_tensor(rng.standard_normal(size))
    return (lambda z: ((z - anchor) @ slope) + (((z - anchor) @ root) ** 2).sum(1) / 2), anchor, hessian, slope


def dense(spectral):
    return spectral.apply(torch.eye(spectral.size, dtype=torch.float64)).numpy()


def test_all_second_derivatives_of_a_quadratic():
    cost, anchor, hessian, slope = quadratic(12)
    found = cost_curvature(cost, anchor)
    assert dense(found.hessian) == pytest.approx(hessian.numpy(), rel=1e-9, abs=1e-9)
    assert found.gradient.numpy() == pytest.approx(slope.numpy())


def test_low_rank_finds_the_largest_eigenvalues_and_the_mean_of_the_others():
    values = torch.cat([torch.tensor([900.0, 400.0, 100.0]), torch.full((57,), 0.5)]).double()
    rotation = torch.linalg.qr(torch.randn(60, 60, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))[0]
    found = cost_curvature(
        lambda z: ((z @ rotation).square() @ values) / 2, torch.zeros(60, dtype=torch.float64), "low rank", rank=3
    )
    assert found.hessian.values.numpy() == pytest.approx([100, 400, 900], rel=1e-6)
    assert found.hessian.rest == pytest.approx(0.5, rel=1e-6)
    assert dense(found.hessian) == pytest.approx((rotation * values @ rotation.T).numpy(), abs=1e-5)


def test_random_signs_average_to_the_diagonal():
    cost, anchor, hessian, _ = quadratic(30, rank=4)
    found = cost_curvature(cost, anchor, "diagonal", probes=4000)
    spread = np.sqrt((hessian.square().sum(1) - hessian.diag().square()).numpy() / 4000)
    assert np.abs(found.hessian.values.numpy() - hessian.diag().numpy()).max() < 5 * spread.max()


def test_a_network_in_single_precision_against_second_derivatives():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1)).eval()
    x, y = torch.randn(30, 2), torch.randn(30, 1)
    prior = NetworkPrior(model)
    found = cost_curvature(prior.loss(nn.functional.mse_loss, (x, y)), prior.latent())
    exact = NetworkPrior(model, dtype=torch.float64)

    def cost(z):
        return ((exact.outputs(z[None], x.double())[0] - y.double()) ** 2).mean()

    anchor = exact.latent().double()
    wanted = torch.autograd.functional.hessian(cost, anchor)
    scale = float(wanted.abs().max())
    assert dense(found.hessian) == pytest.approx(wanted.numpy(), abs=2e-3 * scale)
    assert found.gradient.numpy() == pytest.approx(torch.autograd.functional.jacobian(cost, anchor).numpy(), abs=1e-5)


def test_refusals():
    with pytest.raises(ValueError, match="cost must be differentiable"):
        cost_curvature(lambda z: (z.detach() > 0).double().sum(1), torch.zeros(3))
    with pytest.raises(ValueError, match="anchor must be a vector"):
        cost_curvature(lambda z: z.sum(1), torch.zeros(3, 3))
    with pytest.raises(ValueError, match="structure must be"):
        cost_curvature(lambda z: z.square().sum(1), torch.zeros(3), "kronecker")
    with pytest.raises(ValueError, match="gradients of the cost must be finite"):
        cost_curvature(lambda z: z.sqrt().sum(1), torch.zeros(3))
