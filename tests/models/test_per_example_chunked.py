import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from genbounds.models.guards import ModelError
from genbounds.models.per_example.chunked import ChunkedGradients


def network(*extra):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(4, 6), *extra, nn.Tanh(), nn.Linear(6, 3)).double()


def examples(n=11):
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(n, 4, generator=generator, dtype=torch.float64)
    return inputs, torch.randint(3, (n,), generator=generator)


def one_by_one(model, loss, inputs, targets):
    rows = []
    for x, y in zip(inputs, targets, strict=True):
        model.zero_grad()
        loss(model(x[None]), y[None]).backward()
        rows.append(torch.cat([value.grad.reshape(-1) for value in model.parameters() if value.requires_grad]))
    return torch.stack(rows)


@pytest.mark.parametrize("chunk_size", [1, 3, 64])
def test_moments_are_those_of_the_gradients_one_by_one(chunk_size):
    model, (inputs, targets) = network(nn.LayerNorm(6).double()), examples()
    rows = one_by_one(model, nn.functional.cross_entropy, inputs, targets)
    gradients = ChunkedGradients(model, nn.functional.cross_entropy, chunk_size)
    found = gradients.moments(gradients.parameters(), inputs, targets)
    torch.testing.assert_close(found.mean, rows.mean(dim=0))
    torch.testing.assert_close(found.variance, rows.var(dim=0).sum())  # divides by n - 1
    torch.testing.assert_close(torch.cat(list(gradients.chunks(gradients.parameters(), inputs, targets))), rows)
    gradients.check(inputs, targets)


def test_chunks_merge_without_cancellation():
    """A mean that is 10^8 times the spread: sums of squares would have lost it."""
    model = nn.Linear(1, 1, bias=False).double()
    gradients = ChunkedGradients(model, lambda outputs, targets: (outputs[:, 0] * targets).mean(), 2)
    targets = 1e8 + torch.arange(10, dtype=torch.float64)
    found = gradients.moments(gradients.parameters(), torch.ones(10, 1, dtype=torch.float64), targets)
    assert found.variance.item() == pytest.approx(targets.var().item(), rel=1e-9)


def test_frozen_parameters_are_left_out_and_one_example_has_no_variance():
    model, (inputs, targets) = network(), examples(1)
    model[0].requires_grad_(False)
    gradients = ChunkedGradients(model, nn.functional.cross_entropy)
    found = gradients.moments(gradients.parameters(), inputs, targets)
    assert len(found.mean) == 6 * 3 + 3
    assert found.variance.isnan()
    with pytest.raises(ValueError, match="at least one example"):
        gradients.moments(gradients.parameters(), inputs[:0], targets[:0])
    model.requires_grad_(False)
    with pytest.raises(ModelError, match="require a gradient"):
        ChunkedGradients(model, nn.functional.cross_entropy)


def test_batch_statistics_and_dropout_are_refused():
    with pytest.raises(ModelError, match=r"1 \(BatchNorm1d\) with the statistics of the batch"):
        ChunkedGradients(network(nn.BatchNorm1d(6).double()), nn.functional.cross_entropy)
    with pytest.raises(ModelError, match="statistics of the batch"):
        ChunkedGradients(network(nn.BatchNorm1d(6, track_running_stats=False)).eval(), nn.functional.cross_entropy)
    with pytest.raises(ModelError, match=r"1 \(Dropout\) in training mode"):
        ChunkedGradients(network(nn.Dropout(0.5)), nn.functional.cross_entropy)
    inputs, targets = examples()
    for layer in (nn.BatchNorm1d(6).double().eval(), nn.Dropout(0.5).eval(), nn.Dropout(0.0)):
        ChunkedGradients(network(layer), nn.functional.cross_entropy).check(inputs, targets)


class Restless(nn.Module):
    def forward(self, x):
        return nn.functional.dropout(x, 0.5, training=True)


def test_randomness_that_no_layer_shows_is_refused():
    with pytest.raises(ModelError, match="same outputs twice"):
        ChunkedGradients(network(Restless()), nn.functional.cross_entropy).check(*examples())


class Stiff(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.sin()

    @staticmethod
    def backward(ctx, gradient):
        return gradient * ctx.saved_tensors[0].cos()


class Sine(nn.Module):
    def forward(self, x):
        return Stiff.apply(x)


def test_what_vmap_cannot_do_is_done_one_by_one():
    model, (inputs, targets) = network(Sine()), examples()
    gradients = ChunkedGradients(model, nn.functional.cross_entropy, 4)
    found = torch.cat(list(gradients.chunks(gradients.parameters(), inputs, targets)))
    torch.testing.assert_close(found, one_by_one(model, nn.functional.cross_entropy, inputs, targets))
    assert "setup_context" in gradients.why_loop


def test_batches_by_keyword_and_losses_per_example_give_the_same():
    model, (inputs, targets) = network(), examples()
    rows = one_by_one(model, nn.functional.cross_entropy, inputs, targets)
    gradients = ChunkedGradients(model, nn.CrossEntropyLoss(reduction="none"), 4, ["2.weight"])
    blocks = list(gradients.blocks(gradients.parameters(), {"input": inputs}, targets))
    assert [rows for rows, _, _ in blocks] == [slice(0, 4), slice(4, 8), slice(8, 11)]
    found = torch.cat([part["2.weight"] for _, _, part in blocks])
    torch.testing.assert_close(found.flatten(1), rows[:, 30:48])
    losses = torch.cat([part for _, part, _ in blocks])
    torch.testing.assert_close(losses, nn.functional.cross_entropy(model(inputs), targets, reduction="none").detach())


@pytest.mark.parametrize(
    "loss",
    [
        nn.CrossEntropyLoss(reduction="sum"),
        nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 5.0], dtype=torch.float64)),
    ],
    ids=["sum", "weighted"],
)
def test_a_loss_that_is_no_average_is_refused(loss):
    with pytest.raises(ModelError, match="loss must be the average over the examples"):
        ChunkedGradients(network(), loss).check(*examples())


def test_everything_stays_on_one_device():
    # Fake CUDA tensors raise as soon as two devices meet. They have no backward pass: its result is put in by hand.
    model = network().float()
    with FakeTensorMode(), torch.no_grad():
        for module in (model[0], model[2]):
            for name, value in list(module.named_parameters()):
                setattr(module, name, nn.Parameter(torch.empty(value.shape, device="cuda")))
        gradients = ChunkedGradients(model, nn.functional.cross_entropy, 2)
        parameters = gradients.parameters()
        inputs, targets = torch.empty(5, 4, device="cuda"), torch.zeros(5, device="cuda", dtype=torch.long)
        assert gradients._loss(parameters, inputs, targets).device.type == "cuda"
        gradients._by_vmap = lambda parameters, rest, x, y: (
            torch.empty(len(x), device="cuda"),
            {name: torch.empty((len(x), *value.shape), device="cuda") for name, value in parameters.items()},
        )
        found = gradients.moments(parameters, inputs, targets)
        assert found.mean.device.type == found.variance.device.type == "cuda"
        assert found.mean.dtype == torch.float64
