import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import dblquad
from scipy.stats import multivariate_normal
from torch import nn

from genbounds.inductive_bias.networks import NetworkPrior
from genbounds.inductive_bias.volume.laplace_evidence import laplace_evidence
from genbounds.inductive_bias.volume.laplace_records import LaplaceEvidence
from genbounds.models.guards import ModelError


def linear_regression(n, features, outputs, noise, scale, seed, *, at_mode):
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal((n, features)), rng.standard_normal((n, outputs))
    model = nn.Linear(features, outputs, bias=False).double().eval()
    mode = np.linalg.solve(x.T @ x / noise**2 + np.eye(features) / scale**2, x.T @ y / noise**2)
    weight = mode if at_mode else rng.standard_normal(mode.shape)
    with torch.no_grad():
        model.weight.copy_(torch.as_tensor(weight.T))
    covariance = noise**2 * np.eye(n) + scale**2 * x @ x.T
    truth = sum(multivariate_normal.logpdf(column, np.zeros(n), covariance) for column in y.T)
    return model, (torch.as_tensor(x), torch.as_tensor(y)), NetworkPrior(model, scale, dtype=torch.float64), truth


@settings(deadline=None, max_examples=15)
@given(
    st.integers(1, 30), st.integers(1, 12), st.integers(1, 3), st.floats(0.1, 3), st.floats(0.1, 3), st.integers(0, 99)
)
def test_linear_regression_is_exact(n, features, outputs, noise, scale, seed):
    model, data, prior, truth = linear_regression(n, features, outputs, noise, scale, seed, at_mode=True)
    for structure in ("gauss-newton", "hessian"):
        found = laplace_evidence(model, data, prior, noise=noise, structure=structure, batch_size=7)
        assert found.value == pytest.approx(truth, rel=1e-10, abs=1e-9)
        assert found.decrement < 1e-12 * max(1, abs(truth))
    diagonal = laplace_evidence(model, data, prior, noise=noise, structure="diagonal")
    assert diagonal.value <= truth + 1e-9 * abs(truth)  # Hadamard: a diagonal has the larger determinant


def test_away_from_the_mode_the_slope_makes_up_for_it():
    model, data, prior, truth = linear_regression(20, 5, 2, 0.5, 1.3, 0, at_mode=False)
    for structure in ("gauss-newton", "hessian"):
        found = laplace_evidence(model, data, prior, noise=0.5, structure=structure)
        assert found.expanded == pytest.approx(truth, rel=1e-10)
        assert found.value < truth - 1
        assert "not the mode" in str(found)


def test_more_weights_than_data_take_the_small_matrix():
    """The same number by either matrix: 40 weights, and 6 or 60 examples."""
    for n in (6, 60):
        model, data, prior, truth = linear_regression(n, 40, 1, 0.7, 0.4, 1, at_mode=True)
        assert laplace_evidence(model, data, prior, noise=0.7, batch_size=9).value == pytest.approx(truth, rel=1e-10)


def logistic(seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((60, 2))
    y = (rng.random(60) < 1 / (1 + np.exp(-2 * x[:, 0]))).astype(int)

    class Logistic(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Linear(2, 1, bias=False)

        def forward(self, inputs):
            score = self.w(inputs)
            return torch.cat([torch.zeros_like(score), score], dim=1)

    model = Logistic().double().eval()
    data = torch.as_tensor(x), torch.as_tensor(y)
    optimiser = torch.optim.LBFGS(model.parameters(), max_iter=200, tolerance_grad=1e-12, tolerance_change=1e-16)

    def closure():
        optimiser.zero_grad()
        loss = nn.functional.cross_entropy(model(data[0]), data[1], reduction="sum")
        loss = loss + model.w.weight.square().sum() / 2 / 1.5**2
        loss.backward()
        return loss

    optimiser.step(closure)
    return model, data, NetworkPrior(model, 1.5, dtype=torch.float64)


def test_logistic_regression_is_near_quadrature_and_needs_no_choice_of_matrix():
    model, (x, y), prior = logistic()
    points, labels = x.numpy(), 2 * y.numpy() - 1
    mode = model.w.weight.detach().numpy()[0]

    def joint(b, a):
        scores = labels * (points @ np.array([a, b]))
        return math.exp(-np.logaddexp(0, -scores).sum() - (a * a + b * b) / 2 / 1.5**2 + 40) / (2 * math.pi * 1.5**2)

    whole = dblquad(joint, mode[0] - 4, mode[0] + 4, mode[1] - 4, mode[1] + 4, epsabs=1e-10, epsrel=1e-7)[0]
    truth = math.log(whole) - 40
    gauss_newton, hessian = (laplace_evidence(model, (x, y), prior, structure=s) for s in ("gauss-newton", "hessian"))
    assert hessian.value == pytest.approx(truth, abs=0.05)
    # The loss is convex in outputs that are linear in the weights: both matrices are one.
    assert gauss_newton.value == pytest.approx(hessian.value, rel=1e-12)
    assert hessian.decrement < 1e-10


def network(seed=0):
    generator = torch.Generator().manual_seed(seed)
    model = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 3)).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64) / 2)
    x = torch.randn(25, 3, generator=generator, dtype=torch.float64)
    y = torch.randint(0, 3, (25,), generator=generator)
    return model, (x, y), NetworkPrior(model, {"0.weight": 0.8, "2.bias": 0.3}, dtype=torch.float64)


def test_matrices_of_a_network_against_autograd():
    model, (x, y), prior = network()
    anchor = prior.latent().double()

    def outputs(z):
        return prior.outputs(z[None], x)[0]

    def loss(z):
        return nn.functional.cross_entropy(outputs(z), y, reduction="sum")

    jacobian = torch.autograd.functional.jacobian(outputs, anchor)
    p = outputs(anchor).softmax(1)
    inner = torch.diag_embed(p) - p[:, :, None] * p[:, None, :]
    gauss_newton = torch.einsum("nap,nab,nbq->pq", jacobian, inner, jacobian)
    hessian = torch.autograd.functional.hessian(loss, anchor)
    eye = torch.eye(len(anchor), dtype=torch.float64)
    found = {s: laplace_evidence(model, (x, y), prior, structure=s, batch_size=8) for s in ("gauss-newton", "diagonal")}
    assert found["gauss-newton"].log_determinant == pytest.approx(float(torch.logdet(eye + gauss_newton)), rel=1e-9)
    assert found["diagonal"].log_determinant == pytest.approx(float(gauss_newton.diag().log1p().sum()), rel=1e-9)
    slope = torch.autograd.functional.jacobian(loss, anchor) + anchor
    solved = float(slope @ torch.linalg.solve(eye + gauss_newton, slope)) / 2
    assert found["gauss-newton"].decrement == pytest.approx(solved, rel=1e-8)
    assert found["gauss-newton"].squared_norm == pytest.approx(float(anchor @ anchor))
    assert found["gauss-newton"].log_likelihood == pytest.approx(-float(loss(anchor)))
    if float(torch.linalg.eigvalsh(eye + hessian)[0]) > 0:
        exact = laplace_evidence(model, (x, y), prior, structure="hessian", batch_size=8)
        assert exact.log_determinant == pytest.approx(float(torch.logdet(eye + hessian)), rel=1e-9)
    else:
        with pytest.raises(ValueError, match="positive definite"):
            laplace_evidence(model, (x, y), prior, structure="hessian")


def test_a_saddle_is_refused_with_the_remedy():
    """A network at the origin: its Hessian has directions of both signs, as strong as data can make them."""
    model = nn.Sequential(nn.Linear(1, 2, bias=False), nn.Linear(2, 1, bias=False)).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    x = torch.linspace(-2, 2, 20, dtype=torch.float64)[:, None]
    prior = NetworkPrior(model, 1.0, dtype=torch.float64)
    with pytest.raises(ValueError, match="use the Gauss-Newton matrix"):
        laplace_evidence(model, (x, 3 * x), prior, noise=0.1, structure="hessian")
    assert laplace_evidence(model, (x, 3 * x), prior, noise=0.1).log_determinant == 0.0


def test_the_model_is_left_as_it_was():
    model, data, prior = network()
    before = {name: value.clone() for name, value in model.named_parameters()}
    laplace_evidence(model, data, prior, structure="gauss-newton")
    assert all(torch.equal(before[name], value) for name, value in model.named_parameters())
    assert all(value.grad is None and value.requires_grad for value in model.parameters())


def test_the_record():
    model, data, prior = network()
    found = laplace_evidence(model, data, prior)
    assert LaplaceEvidence.from_json(json.loads(json.dumps(found.to_json()))) == found
    assert found.value == found.log_likelihood - found.occam_factor
    assert str(found).startswith("Laplace estimate of ln p(D)")


def test_refusals():
    model, (x, y), prior = network()
    with pytest.raises(ValueError, match="structure must be"):
        laplace_evidence(model, (x, y), prior, structure="kronecker")
    with pytest.raises(ValueError, match="noise must be"):
        laplace_evidence(model, (x, y), prior, noise=0.0)
    with pytest.raises(ModelError, match="prior must be over the parameters"):
        laplace_evidence(nn.Linear(3, 3).double().eval(), (x, y), prior)
    with pytest.raises(ModelError, match="targets must have the outputs' shape"):
        laplace_evidence(model, (x, x[:, :2]), prior, noise=1.0)


@pytest.mark.parametrize(("ours", "theirs"), [("gauss-newton", "full"), ("diagonal", "diag")])
def test_against_laplace_torch(ours, theirs):
    laplace = pytest.importorskip("laplace")
    model, (x, y), _ = network()
    prior = NetworkPrior(model, 0.6, dtype=torch.float64)
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=25)
    fitted = laplace.Laplace(
        model, "classification", subset_of_weights="all", hessian_structure=theirs, prior_precision=0.6**-2
    )
    fitted.fit(loader)
    found = laplace_evidence(model, (x, y), prior, structure=ours)
    assert found.value == pytest.approx(float(fitted.log_marginal_likelihood()), rel=1e-6)
