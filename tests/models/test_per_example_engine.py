import pytest
import torch
from torch import nn

from genbounds.models.per_example.engine import PerExampleGradients


def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)).double()


def examples(n=11):
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(n, 4, generator=generator, dtype=torch.float64)
    return inputs, torch.randint(3, (n,), generator=generator)


def one_by_one(model, loss, inputs, targets):
    """Return the gradients of the examples by parameter, from a batch of one at a time."""
    rows = []
    for x, y in zip(inputs, targets, strict=True):
        named = {name: value for name, value in model.named_parameters() if value.requires_grad}
        values = torch.autograd.grad(loss(model(x[None]), y[None]).sum(), list(named.values()))
        rows.append(dict(zip(named, values, strict=True)))
    return {name: torch.stack([row[name] for row in rows]) for name in rows[0]}


@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_norms_and_sums_are_those_of_the_gradients_one_by_one(reduction):
    model, (inputs, targets) = network(), examples()
    loss = nn.CrossEntropyLoss(reduction=reduction)
    engine = PerExampleGradients(model, loss, chunk_size=4)
    truth = one_by_one(model, loss, inputs, targets)
    found = engine.squared_norms(inputs, targets)
    assert engine.names == tuple(truth)
    assert found.squared.dtype == found.losses.dtype == torch.float64
    for column, name in enumerate(engine.names):
        norms = truth[name].flatten(1).square().sum(dim=1)
        torch.testing.assert_close(found.squared[:, column], norms, rtol=1e-9, atol=0)
        torch.testing.assert_close(found.total[name], truth[name].sum(dim=0), rtol=1e-9, atol=1e-15)
    losses = nn.functional.cross_entropy(model(inputs), targets, reduction="none").detach()
    torch.testing.assert_close(found.losses, losses)
