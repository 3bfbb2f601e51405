"""Laplace approximations as posteriors: names, covariances, refusals; laplace-torch itself where it is installed."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn.utils import parameters_to_vector

from genbounds.pac_bayes.laplace import from_laplace
from genbounds.pac_bayes.low_rank import LowRankGaussian
from genbounds.pac_bayes.posteriors import DiagonalGaussian
from genbounds.workflow import certify_head


class FeatureExtractor(nn.Module):
    """What laplace-torch wraps a model in for its last layer."""

    def __init__(self, model, name):
        super().__init__()
        self.model = model
        object.__setattr__(self, "last_layer", model.get_submodule(name))


class Factored:
    """A precision that is a Kronecker product, with the method that makes it dense."""

    def __init__(self, left, right):
        self._dense = torch.kron(left, right)

    def to_matrix(self):
        return self._dense


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 2))


def positive(d, seed=0):
    root = torch.randn(d, d, generator=torch.Generator().manual_seed(seed))
    return root @ root.T + torch.eye(d)


def fitted(precision, model=None, layer=None):
    model = model or network()
    part = model.get_submodule(layer) if layer else model
    mean = parameters_to_vector(part.parameters()).detach()
    return SimpleNamespace(
        model=FeatureExtractor(model, layer) if layer else model, mean=mean, posterior_precision=precision, H=1
    )


def covariance(q):
    scale = torch.cat([q.scale[name].expand_as(value).reshape(-1) for name, value in q.mean.items()]).double()
    dense = torch.diag(scale.square())
    if isinstance(q, LowRankGaussian):
        columns = torch.cat([q.factor[name].reshape(q.rank, -1) for name in q.mean], dim=1).double()
        dense = dense + columns.T @ columns
    return dense


def low_rank_precision(d):
    vectors = torch.linalg.qr(torch.randn(d, 3, generator=torch.Generator().manual_seed(1)))[0]
    return (vectors, torch.tensor([9.0, 4.0, 1.0])), torch.linspace(1.0, 2.0, d)


@pytest.mark.parametrize("layer", [None, "2"])
@pytest.mark.parametrize("kind", ["diagonal", "full", "kron", "low rank"])
def test_mean_names_and_covariance(kind, layer):
    d = 8 if layer else 17
    precision = {
        "diagonal": torch.linspace(1.0, 5.0, d),
        "full": positive(d),
        "kron": Factored(positive(2), positive(4, 1)) if layer else Factored(positive(17), torch.ones(1, 1)),
        "low rank": low_rank_precision(d),
    }[kind]
    la = fitted(precision, layer=layer)
    q = from_laplace(la)
    names = ["2.weight", "2.bias"] if layer else ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert list(q.mean) == names
    own = dict(network().named_parameters())
    assert all(torch.equal(q.mean[name], own[name]) for name in names)
    if kind == "diagonal":
        assert isinstance(q, DiagonalGaussian)
        dense = torch.diag(precision)
    elif kind == "low rank":
        (vectors, values), diagonal = precision
        dense = vectors @ torch.diag(values) @ vectors.T + torch.diag(diagonal)
    else:
        dense = precision if kind == "full" else precision.to_matrix()
    torch.testing.assert_close(covariance(q), torch.linalg.inv(dense.double()), rtol=1e-4, atol=1e-6)


def test_its_divergence_is_that_of_the_full_gaussian():
    dense = positive(17).double()
    q = from_laplace(fitted(positive(17)))
    p = DiagonalGaussian.isotropic({name: torch.zeros_like(value) for name, value in q.mean.items()}, 0.5)
    mean = torch.cat([value.reshape(-1) for value in q.mean.values()]).double()
    sigma = torch.linalg.inv(dense)
    exact = 0.5 * (
        sigma.trace() / 0.25 + mean.square().sum() / 0.25 - 17 + 17 * torch.tensor(0.25).log() - sigma.logdet()
    )
    assert q.kl(p) == pytest.approx(float(exact), rel=1e-5)


def test_a_model_with_a_layer_of_that_name_is_not_taken_for_wrapped():
    model = nn.Sequential()
    model.last_layer = nn.Linear(2, 2)
    assert list(from_laplace(fitted(torch.ones(6), model=model)).mean) == ["last_layer.weight", "last_layer.bias"]


def test_what_cannot_be_a_posterior_is_refused(monkeypatch):
    with pytest.raises(ValueError, match="must be a fitted parametric Laplace"):
        from_laplace(SimpleNamespace(model=network()))
    la = fitted(torch.ones(17))
    la.H = None
    with pytest.raises(ValueError, match="Call its fit first"):
        from_laplace(la)
    part = fitted(torch.ones(5))
    part.mean = part.mean[:5]
    with pytest.raises(ValueError, match="17 of them, got 5: a subnetwork"):
        from_laplace(part)
    with pytest.raises(ValueError, match="must be positive, got -1"):
        from_laplace(fitted(torch.linspace(-1, 1, 17)))
    with pytest.raises(ValueError, match="positive definite"):
        from_laplace(fitted(-positive(17)))
    monkeypatch.setattr("genbounds.pac_bayes.laplace.MOST_DENSE", 10)
    with pytest.raises(ValueError, match="must be diagonal for 17 parameters"):
        from_laplace(fitted(positive(17)))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("structure", ["diag", "full", "kron"])
@pytest.mark.parametrize("part", ["all", "last_layer"])
def test_laplace_torch_itself(structure, part):
    laplace = pytest.importorskip("laplace", exc_type=ImportError)
    generator = torch.Generator().manual_seed(0)
    targets = torch.randint(2, (300,), generator=generator)
    inputs = torch.randn(300, 2, generator=generator) + 3 * nn.functional.one_hot(targets, 2)
    model = network()
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(inputs, targets), batch_size=100)
    la = laplace.Laplace(model, "classification", subset_of_weights=part, hessian_structure=structure)
    la.fit(loader)
    q = from_laplace(la)
    drawn = la.sample(20_000).double()
    exact = covariance(q)
    torch.testing.assert_close(torch.cov(drawn.T), exact, rtol=0.2, atol=0.05 * float(exact.abs().max()))
    if part == "last_layer":
        certificate = certify_head(model.eval(), (inputs, targets), prior="checkpoint", posterior=q)
        assert certificate.posterior["sha256"] == q.sha256()
