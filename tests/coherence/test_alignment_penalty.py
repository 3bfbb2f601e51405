"""The penalty for domains whose heads differ: its value and its gradients against the published form, by autograd."""

import pytest
import torch
from torch.nn import functional as F

from genbounds.coherence.curvature.alignment_penalty import hessian_gradient_penalty
from genbounds.models.guards import ModelError


def domains(number=3, features=4, classes=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [
        (
            torch.randn(5 + e, features, generator=generator, dtype=torch.float64),
            torch.randint(0, classes, (5 + e,), generator=generator),
        )
        for e in range(number)
    ]


def head(seed=1, classes=3, features=4):
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.randn(classes, features, generator=generator, dtype=torch.float64, requires_grad=True),
        torch.randn(classes, generator=generator, dtype=torch.float64, requires_grad=True),
    )


def published(sets, weight, bias, a, b, match):
    """By double differentiation, as the authors compute it, with their stops."""

    def loss(w, c, x, y):
        return F.cross_entropy(F.linear(x, w, c), y)

    def mean(w, c):
        return torch.stack([loss(w, c, x, y) for x, y in sets]).mean()

    def derivatives(function):
        g = torch.autograd.grad(function(weight, bias), (weight, bias), create_graph=True)
        flat = torch.cat([g[0], g[1].unsqueeze(1)], dim=1)
        if match == "product":
            p = torch.autograd.grad(sum(part.square().sum() / 2 for part in g), (weight, bias), create_graph=True)
            return flat, torch.cat([p[0], p[1].unsqueeze(1)], dim=1)
        rows = [torch.autograd.grad(one, (weight, bias), create_graph=True) for one in flat.flatten()]
        grid = torch.stack([torch.cat([r[0], r[1].unsqueeze(1)], dim=1).flatten() for r in rows])
        return flat, grid.diagonal().reshape(flat.shape)

    g, s = derivatives(mean)
    terms = []
    for x, y in sets:
        own, compared = derivatives(lambda w, c, x=x, y=y: loss(w, c, x, y))
        terms.append(a * (compared - s.detach()).square().sum() + b * (own - g.detach()).square().sum())
    return torch.stack(terms).mean()


@pytest.mark.parametrize("match", ["product", "diagonal"])
@pytest.mark.parametrize(("a", "b"), [(1.0, 0.0), (0.0, 1.0), (2.0, 0.3)])
def test_value_and_gradients_are_those_of_the_published_form(match, a, b):
    sets, (weight, bias) = domains(), head()
    sets = [(x.requires_grad_(), y) for x, y in sets]
    ours = hessian_gradient_penalty(sets, weight, bias, hessian=a, gradient=b, match=match)
    theirs = published(sets, weight, bias, a, b, match)
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-13)
    leaves = [weight, bias, *(x for x, _ in sets)]
    for one, other in zip(torch.autograd.grad(ours, leaves), torch.autograd.grad(theirs, leaves), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("match", ["product", "diagonal"])
def test_equal_domains_cost_nothing_and_training_brings_domains_together(match):
    sets, (weight, _) = domains(), head()
    assert float(hessian_gradient_penalty([sets[0]] * 3, weight, match=match).detach()) < 1e-25
    optimizer = torch.optim.Adam([weight], lr=0.05)
    values = []
    for _ in range(150):
        optimizer.zero_grad()
        penalty = hessian_gradient_penalty(sets, weight, match=match)
        penalty.backward()
        optimizer.step()
        values.append(float(penalty.detach()))
    assert values[-1] < 0.5 * values[0]


def test_refusals():
    (weight, bias), sets = head(), domains()
    with pytest.raises(ModelError, match="at least two, got 1"):
        hessian_gradient_penalty(sets[:1], weight, bias)
    with pytest.raises(ModelError, match="match must be"):
        hessian_gradient_penalty(sets, weight, bias, match="hutchinson")
    with pytest.raises(ValueError, match="hessian must be non-negative"):
        hessian_gradient_penalty(sets, weight, bias, hessian=-1.0)
