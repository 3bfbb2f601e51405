"""Whole batches against plain autograd: what the examples of the first batch cannot show is found when it matters."""

import gc
import weakref

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from genbounds.models.guards import ModelError
from genbounds.models.per_example import engine
from genbounds.models.per_example.batch_check import WeightedSum, compared, random_weights
from genbounds.models.per_example.engine import PerExampleGradients
from genbounds.models.per_example.factored.gradients import DenseGradients
from genbounds.models.per_example.losses import SingleLosses
from genbounds.models.per_example.witness import Witness


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def agrees(measured: PerExampleGradients, inputs: Tensor, targets: Tensor) -> bool:
    """Compare norms with plain autograd, one example at a time."""
    found = measured.squared_norms(inputs, targets)
    parameters = [dict(measured.model.named_parameters())[name] for name in measured.names]
    rows = []
    for x, y in zip(inputs.split(1), targets.split(1), strict=True):
        loss = measured.loss(measured.model(x), y).sum()
        values = (
            torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
            if loss.requires_grad
            else [torch.zeros_like(parameter) for parameter in parameters]
        )
        rows.append(torch.stack([value.square().sum() for value in values]))
    truth = torch.stack(rows)
    return bool((found.squared - truth).abs().max() <= 1e-9 * truth.max())


class Reordered(nn.Module):
    """Puts the examples with a large first feature behind the others, and back again."""

    def __init__(self, way: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.way = way
        self.body, self.head = nn.Linear(4, 5).double(), nn.Linear(5, 3).double()

    def order(self, x: Tensor) -> Tensor:
        large = x[:, 0] > 1
        match self.way:
            case "argsort":
                return large.double().argsort(stable=True)
            case "topk":
                return torch.topk(torch.arange(len(x)) - 100 * large, len(x), 0).indices.flip(0)
            case "sorted":
                values = large.tolist()
                return torch.tensor(sorted(range(len(x)), key=lambda row: values[row]))
            case "branch":
                return torch.arange(len(x)).flip(0) if large.any() else torch.arange(len(x))
            case _:  # counted: no function puts anything in order
                place = torch.where(large, (~large).sum() + large.cumsum(0), (~large).cumsum(0)) - 1
                return (place == torch.arange(len(x))[:, None]).int().argmax(1)

    def forward(self, x: Tensor) -> Tensor:
        order = self.order(x)
        back = torch.empty_like(order).scatter(0, order, torch.arange(len(x)))
        return self.head(self.body(x[order]).tanh()[back])


@pytest.mark.parametrize("way", ["argsort", "topk", "sorted", "branch", "counted"])
def test_examples_put_in_another_order_by_their_values(way: str) -> None:
    """The first two batches keep their order. Later ones do not, at batches that are not looked at anyway."""
    measured = PerExampleGradients(Reordered(way), functional.cross_entropy)
    targets = torch.arange(8) % 3
    for batch in range(2):
        assert agrees(measured, drawn(8, 4, seed=batch).clamp(max=0.9), targets)
    inputs = drawn(8, 4, seed=2).clamp(max=0.9)
    inputs[1, 0] = inputs[4, 0] = 2
    if way in {"argsort", "topk"}:
        assert agrees(measured, inputs, targets)
        assert all("depend on values" in route for route in measured.routes.values())
    else:
        with pytest.raises(ModelError, match=r"arrange the examples of all batches alike, .* in batch 3"):
            measured.squared_norms(inputs, targets)


class Packed(nn.Module):
    """A linear map over the tokens of all sequences, packed without their padding."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Linear(4, 3).double()

    def forward(self, x: Tensor) -> Tensor:
        lengths = (x[..., 0] != 0).sum(1).clamp(min=1)
        packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        mapped = nn.utils.rnn.PackedSequence(
            self.body(packed.data).tanh(), packed.batch_sizes, packed.sorted_indices, packed.unsorted_indices
        )
        return nn.utils.rnn.pad_packed_sequence(mapped, batch_first=True, total_length=x.shape[1])[0].sum(1)


@pytest.mark.filterwarnings("ignore:There is a performance drop")
def test_packed_sequences() -> None:
    """As many tokens as two for each sequence, though their lengths differ: sizes show nothing."""
    measured = PerExampleGradients(Packed(), functional.cross_entropy)
    targets = torch.arange(4) % 3
    for batch in range(2):
        assert agrees(measured, drawn(4, 3, 4, seed=batch), targets)
    inputs = drawn(4, 3, 4, seed=2)
    inputs[0, 1:] = inputs[1, 2:] = inputs[2, 2:] = 0
    assert agrees(measured, inputs, targets)


def test_a_first_batch_of_padding() -> None:
    """Nothing that is computed from it depends on the examples, so that all of it looks like parameters alone."""

    class Pooled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table, self.body = nn.Embedding(9, 4, padding_idx=0), nn.Linear(4, 4)
            self.head = nn.Linear(4, 3)

        def forward(self, ids: Tensor) -> Tensor:
            kept = (ids > 0).to(self.head.weight)[..., None]
            return self.head((self.body(self.table(ids)).tanh() * kept).sum(1))

    torch.manual_seed(0)
    measured = PerExampleGradients(Pooled().double(), functional.cross_entropy)
    targets = torch.arange(5) % 3
    assert agrees(measured, torch.zeros(5, 6, dtype=torch.int64), targets)
    for _ in range(3):
        assert agrees(measured, torch.randint(9, (5, 6)), targets)


def test_a_parameter_among_the_outputs() -> None:
    """The gradient that comes to it from the loss is seen by no call, and is 0 for the first examples."""

    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.scale = nn.Linear(4, 3), nn.Parameter(torch.ones(3))

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return self.body(x), self.scale.exp()

    def loss(outputs: tuple[Tensor, Tensor], targets: Tensor) -> Tensor:
        logits, scale = outputs
        return functional.cross_entropy(logits, targets, reduction="none") + ((logits - 9).relu() * scale).sum(1)

    torch.manual_seed(0)
    measured = PerExampleGradients(Scaled().double(), loss)
    targets = torch.arange(6) % 3
    for batch, factor in enumerate((1, 1, 100)):
        assert agrees(measured, factor * drawn(6, 4, seed=batch), targets)
    assert measured.routes["scale"].startswith("vmap: it is an output")


def test_weights_of_classes_while_all_losses_are_alike() -> None:
    """At zero weights a weighted average of losses is their average, whatever the classes; its gradient is not."""
    model = nn.Linear(4, 3).double()
    nn.init.zeros_(model.weight)
    nn.init.zeros_(model.bias)
    measured = PerExampleGradients(model, nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 5.0]).double()))
    for batch in range(2):
        measured.squared_norms(drawn(6, 4, seed=batch), torch.zeros(6, dtype=torch.int64))
    with pytest.raises(ModelError, match=r"gradient at the outputs .* without weights of classes"):
        measured.squared_norms(drawn(6, 4), torch.arange(6) % 3)


def test_an_example_on_whose_way_there_is_no_parameter() -> None:
    class Skipping(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Linear(3, 3)

        def forward(self, x: Tensor) -> Tensor:
            return torch.cat([self.body(row) if row[0, 0] > 0 else row for row in x.split(1)])

    torch.manual_seed(0)
    measured = PerExampleGradients(Skipping().double(), functional.cross_entropy)
    for batch in range(3):
        assert agrees(measured, drawn(6, 3, seed=batch), torch.arange(6) % 3)


def test_parameters_without_entries() -> None:
    class Empty(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.none = nn.Linear(4, 3), nn.Parameter(torch.ones(0, 3))

        def forward(self, x: Tensor) -> Tensor:
            return self.body(x) + (x[:, :0] @ self.none)

    measured = PerExampleGradients(Empty().double(), functional.cross_entropy)
    inputs, targets = drawn(5, 4), torch.arange(5) % 3
    assert agrees(measured, inputs, targets)
    blocks = {}
    measured.visit(inputs, targets, lambda name, _, gradients: blocks.setdefault(name, gradients))
    assert torch.equal(blocks["none"].inner(blocks["none"]), torch.zeros(5, 5, dtype=torch.float64))
    assert blocks["none"].dense(slice(0, 2)).shape == (2, 0, 3)


def test_when_whole_batches_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """At batches 1, 2, 4, 8, and at the first in which a parameter has a gradient."""
    seen: list[tuple[int, set[str]]] = []
    monkeypatch.setattr(engine, "compared", lambda *args: seen.append((batch, set(args[2]))) or compared(*args))
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3)).double()
    nn.init.constant_(model[0].bias, -100)
    measured = PerExampleGradients(model, functional.cross_entropy)
    for batch in range(1, 10):
        assert agrees(measured, drawn(6, 4, seed=batch) * (1000 if batch == 6 else 1), torch.arange(6) % 3)
    every = {"0.weight", "0.bias", "2.weight", "2.bias"}
    assert [number for number, _ in seen] == [1, 2, 4, 6, 8]
    assert dict(seen) == dict.fromkeys((1, 2, 4, 8), every) | {6: every - {"2.bias"}}


def test_what_was_decided_before_is_not_compared_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """As masks of which Python code asks whether anything is masked at all."""

    class Asking(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.body(x * (x > -9)) if (x < -9).any() else self.body(x)

    seen: list[int] = []
    monkeypatch.setattr(engine, "compared", lambda *args: seen.append(batch) or compared(*args))
    torch.manual_seed(0)
    measured = PerExampleGradients(Asking().double(), functional.cross_entropy)
    for batch in range(1, 14):
        inputs = drawn(6 if batch < 13 else 5, 4, seed=batch)
        if batch in {6, 7}:
            inputs[2, 1] = -99
        assert agrees(measured, inputs, torch.arange(len(inputs)) % 3)
    assert seen == [1, 2, 4, 6, 8, 13]


@pytest.mark.parametrize("name", ["mlp", "convolution", "attention", "recurrent", "made"])
def test_activations_are_freed_at_once(name: str) -> None:
    """Not only when Python next looks for cycles: until then they would take as much memory as a second pass."""
    torch.manual_seed(0)
    shape, layer = {
        "mlp": ((4,), nn.Linear(4, 4)),
        "convolution": ((4, 6), nn.Conv1d(4, 4, 3, padding=1, padding_mode="circular")),
        "attention": ((5, 4), nn.TransformerEncoderLayer(4, 2, 8, dropout=0, batch_first=True)),
        "recurrent": ((5, 4), nn.LSTMCell(4, 4)),
        "made": ((4,), nn.utils.parametrizations.weight_norm(nn.Linear(4, 4))),
    }[name]

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.head = layer, nn.Linear(shape[-1], 3)

        def forward(self, x: Tensor) -> Tensor:
            hidden = self.layer(x[:, 0])[0] if name == "recurrent" else self.layer(x).tanh()
            return self.head(hidden.reshape(len(x), -1, shape[-1]).mean(1))

    model = Model().double()
    activations: list[weakref.ref[Tensor]] = []
    model.head.register_forward_pre_hook(lambda _, args: activations.append(weakref.ref(args[0])))
    model.head.register_forward_hook(lambda *args: activations.append(weakref.ref(args[2])))
    measured = PerExampleGradients(model, functional.cross_entropy)
    inputs, targets = drawn(7, *shape), torch.arange(7) % 3
    gc.collect()
    gc.disable()
    try:
        for _ in range(3):
            measured.squared_norms(inputs, targets)
    finally:
        gc.enable()
    assert len(activations) > 6
    assert all(other() is None for other in activations)


def test_gradients_given_to_the_wrong_examples_are_found() -> None:
    torch.manual_seed(0)
    model = nn.Linear(4, 3).double()
    inputs, targets = drawn(7, 4), torch.arange(7) % 3
    losses = SingleLosses(functional.cross_entropy, model(inputs), model(inputs[:1]), averages=True)
    rows = [
        torch.autograd.grad(functional.cross_entropy(model(x), y), model.weight)[0]
        for x, y in zip(inputs.split(1), targets.split(1), strict=True)
    ]
    weights, values = random_weights(7, seed=3), torch.stack(rows)
    model.requires_grad_(False)

    def error(values: Tensor) -> float:
        found = {"weight": WeightedSum.of(DenseGradients(values), weights)}
        return compared(model, losses, found, inputs, targets, weights, Witness())["weight"]

    assert error(values) == 0
    assert error(values[[0, 1, 2, 3, 4, 6, 5]]) > 1e-3
    assert error(values * (1 + 1e-6)) == pytest.approx(1e-6, rel=1)
    assert error(torch.zeros_like(values)) > 0.5


@pytest.mark.parametrize("number", [1, 2, 254, 1000])
def test_weights_are_exact_in_every_dtype_and_differ(number: int) -> None:
    weights = random_weights(number, seed=1)
    assert len(weights) == number
    assert weights.abs().min() >= 1
    assert weights.abs().max() <= 127
    assert torch.equal(weights, weights.bfloat16().float())
    assert len(weights.unique()) == min(number, 254)
    assert not torch.equal(weights, random_weights(number, seed=2)) or number == 1
