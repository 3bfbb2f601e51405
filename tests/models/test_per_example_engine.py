"""The engine on whole batches: what it promises, what it leaves behind, and how it finds out that it is wrong."""

import gc
import weakref
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from genbounds.models.guards import ModelError
from genbounds.models.per_example import collector
from genbounds.models.per_example.engine import PerExampleGradients
from genbounds.models.per_example.factored.gradients import DenseGradients


def seeded(build):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build().double()


def network():
    return seeded(lambda: nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)))


def examples(n=11, *shape, seed=1):
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(n, *(shape or (4,)), generator=generator, dtype=torch.float64)
    return inputs, torch.randint(3, (n,), generator=generator)


def one_by_one(model, loss, inputs, targets, names=None):
    """Return the gradients of the examples by parameter, from a batch of one at a time."""
    named = {n: p for n, p in model.named_parameters() if (p.requires_grad if names is None else n in names)}
    rows = []
    for row in range(len(targets)):
        one = slice(row, row + 1)
        if isinstance(inputs, dict):
            outputs = model(**{k: v[one] if isinstance(v, torch.Tensor) else v for k, v in inputs.items()})
        else:
            outputs = model(inputs[one])
        values = list(named.values())
        found = torch.autograd.grad(
            loss(outputs, targets[one]).sum(), values, allow_unused=True, materialize_grads=True
        )
        rows.append(dict(zip(named, found, strict=True)))
    return {name: torch.stack([row[name] for row in rows]) for name in named}


def compare(measured, loss, inputs, targets, model=None, tolerance=1e-9, names=None):
    """Compare norms, sums and losses with plain autograd."""
    model = measured.model if model is None else model
    found, truth = measured.squared_norms(inputs, targets), one_by_one(model, loss, inputs, targets, names)
    assert measured.names == tuple(truth)
    assert found.squared.dtype == found.losses.dtype == torch.float64
    largest = max(float(values.flatten(1).square().sum(dim=1).max()) for values in truth.values())
    for column, name in enumerate(measured.names):
        norms = truth[name].double().flatten(1).square().sum(dim=1)
        scale = max(float(norms.max()), 1e-15 * largest)
        assert float((found.squared[:, column] - norms).abs().max()) <= tolerance * scale
        gap = float((found.total[name] - truth[name].sum(dim=0)).norm())
        assert gap <= tolerance * max(float(truth[name].sum(dim=0).norm()), scale**0.5)
    return found


def slow(measured):
    return {name for name, route in measured.routes.items() if route.startswith(("vmap", "loop"))}


@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_norms_and_sums_are_those_of_the_gradients_one_by_one(reduction):
    model, (inputs, targets) = network(), examples()
    loss = nn.CrossEntropyLoss(reduction=reduction)
    measured = PerExampleGradients(model, loss)
    for _ in range(3):
        found = compare(measured, loss, inputs, targets)
    losses = functional.cross_entropy(model(inputs), targets, reduction="none").detach()
    torch.testing.assert_close(found.losses, losses)
    assert measured.routes == {"0.weight": "product", "0.bias": "dense", "2.weight": "product", "2.bias": "dense"}


class Sequence(nn.Module):
    """A little transformer over (B, T, 8), batch first or not inside; the loss sees the mean or the first position."""

    def __init__(self, first, pooled="mean"):
        super().__init__()
        self.first, self.pooled = first, pooled
        self.layer = nn.TransformerEncoderLayer(8, 2, 12, dropout=0.0, batch_first=first)
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        hidden = self.layer(x) if self.first else self.layer(x.transpose(0, 1)).transpose(0, 1)
        return self.head(hidden.mean(dim=1) if self.pooled == "mean" else hidden[:, 0])


@pytest.mark.parametrize("pooled", ["mean", "first"])
@pytest.mark.parametrize("positions", [1, 4, 7])
@pytest.mark.parametrize("first", [True, False])
def test_sequences_whichever_axis_comes_first(first, positions, pooled):
    """With as many positions as examples, too; 4 positions of which the first counts look alike merged either way."""
    measured = PerExampleGradients(seeded(lambda: Sequence(first, pooled)), functional.cross_entropy)
    compare(measured, functional.cross_entropy, *examples(7, positions, 8))
    assert not slow(measured)


def test_batches_may_differ_in_length_and_number():
    """One position at first: whether positions come before or after the examples shows later only."""
    measured = PerExampleGradients(seeded(lambda: Sequence(False)), functional.cross_entropy)
    for number, positions in ((1, 1), (5, 1), (1, 3), (5, 3), (3, 5), (4, 4), (2, 6)):
        compare(measured, functional.cross_entropy, *examples(number, positions, 8))
        assert not slow(measured)


class Flattened(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner, self.one, self.head = inner, nn.Linear(4, 5), nn.Linear(5, 3)

    def forward(self, x):
        rows = (x.transpose(0, 1) if self.inner else x).reshape(-1, 4)
        hidden = self.one(rows).tanh()
        hidden = hidden.view(x.shape[1], len(x), 5).transpose(0, 1) if self.inner else hidden.view(*x.shape[:2], 5)
        return self.head(hidden).mean(dim=1)


@pytest.mark.parametrize("inner", [False, True])
def test_positions_merged_with_examples(inner):
    measured = PerExampleGradients(seeded(lambda: Flattened(inner)), functional.cross_entropy)
    for number, positions in ((6, 4), (3, 3), (5, 2)):
        compare(measured, functional.cross_entropy, *examples(number, positions, 4))
    assert not slow(measured)


def test_depth_may_depend_on_the_batch():
    class Unrolled(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell, self.head = nn.RNNCell(4, 5), nn.Linear(5, 3)

        def forward(self, x):
            state = x.new_zeros(len(x), 5)
            for step in range(x.shape[1]):
                state = self.cell(x[:, step], state)
            return self.head(state)

    measured = PerExampleGradients(seeded(Unrolled), functional.cross_entropy)
    for positions in (2, 5, 1):
        compare(measured, functional.cross_entropy, *examples(4, positions, 4))


class Branching(nn.Module):
    def __init__(self, long):
        super().__init__()
        self.often, self.seldom, self.head, self.long = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 3), long

    def forward(self, x):
        hidden = self.often(x)
        if self.long(x):
            hidden = self.seldom(hidden.flatten(0, 1)).view_as(hidden)
        return self.head(hidden.mean(dim=1).tanh())


def test_a_branch_that_the_first_batch_did_not_take():
    measured = PerExampleGradients(seeded(lambda: Branching(lambda x: x.shape[1] > 2)), functional.cross_entropy)
    assert not compare(measured, functional.cross_entropy, *examples(5, 2, 4)).squared[:, 2:4].any()
    for number, positions in ((6, 3), (5, 2), (3, 4)):
        compare(measured, functional.cross_entropy, *examples(number, positions, 4))
    assert not slow(measured)


def test_a_branch_by_the_number_of_examples_is_refused():
    """Of such a model there is no gradient at a single example; the few that are checked first do not show it."""
    measured = PerExampleGradients(seeded(lambda: Branching(lambda x: len(x) > 5)), functional.cross_entropy)
    with pytest.raises(ModelError, match=r"off by .* for one example of batch 1"):
        measured.squared_norms(*examples(9, 2, 4))


layers = st.sampled_from(["linear", "conv", "group norm", "layer norm", "bare scale", "attention", "again"])


class Random(nn.Module):
    """Layers over (B, 4, 6): a convolution takes axis 1 as channels, the others work along the last axis."""

    def __init__(self, kinds):
        super().__init__()
        self.kinds, self.parts = kinds, nn.ModuleList()
        for kind in kinds:
            self.parts.append(
                {
                    "linear": lambda: nn.Linear(6, 6),
                    "conv": lambda: nn.Conv1d(4, 4, 3, padding=1, groups=2, padding_mode="circular"),
                    "group norm": lambda: nn.GroupNorm(2, 4),
                    "layer norm": lambda: nn.LayerNorm(6),
                    "bare scale": lambda: nn.ParameterList([torch.randn(4, 1)]),
                    "attention": lambda: nn.MultiheadAttention(6, 2, batch_first=True),
                    "again": lambda: self.parts[0] if self.parts else nn.Linear(6, 6),
                }[kind]()
            )
        self.head = nn.Linear(24, 3)

    def forward(self, x):
        for part in self.parts:
            if isinstance(part, nn.ParameterList):
                x = x * part[0]
            elif isinstance(part, nn.MultiheadAttention):
                x = x + part(x, x, x, need_weights=False)[0]
            else:
                x = x + functional.gelu(part(x))
        return self.head(x.flatten(1))


@given(st.lists(layers, min_size=1, max_size=4), st.integers(2, 6))
@settings(deadline=None, max_examples=25)
def test_random_architectures(kinds, number):
    measured = PerExampleGradients(seeded(lambda: Random(kinds)), functional.cross_entropy)
    compare(measured, functional.cross_entropy, *examples(number, 4, 6))
    assert not slow(measured)


def test_names_shapes_and_layers():
    model = network()
    model.add_module("3", nn.Linear(3, 3).double())
    model.add_module("4", model[3])
    model[0].requires_grad_(False)
    measured = PerExampleGradients(model, functional.cross_entropy)
    assert measured.names == ("2.weight", "2.bias", "3.weight", "3.bias")
    assert measured.shapes == {name: model.get_parameter(name).shape for name in measured.names}
    assert measured.layers == {"2.weight": "2", "2.bias": "2", "3.weight": "3", "3.bias": "3"}
    compare(measured, functional.cross_entropy, *examples())


def test_chosen_parameters_alone_are_measured_frozen_ones_too():
    model = network()
    model[0].requires_grad_(False)
    measured = PerExampleGradients(model, functional.cross_entropy, parameters=["2.bias", "0.weight"])
    assert measured.names == ("0.weight", "2.bias")
    found = measured.squared_norms(*examples())
    assert [value.requires_grad for value in model.parameters()] == [False, False, True, True]
    model.requires_grad_(True)
    truth = one_by_one(model, functional.cross_entropy, *examples(), names=("0.weight", "2.bias"))
    for column, name in enumerate(measured.names):
        norms = truth[name].flatten(1).square().sum(dim=1)
        torch.testing.assert_close(found.squared[:, column], norms, rtol=1e-9, atol=0)
    with pytest.raises(ValueError, match="must be names of the model's, got 'nothing'"):
        PerExampleGradients(model, functional.cross_entropy, parameters=["nothing"])


def test_inputs_by_keyword_and_outputs_of_any_form():
    class Answer(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.head = nn.Linear(4, 5), nn.Linear(5, 3)

        def forward(self, x, mask, shout=False):
            assert shout
            return {"logits": self.head(self.one(x).tanh() * mask), "note": "text", "swapped": (x.T, None)}

    inputs, targets = examples()
    batch = {"x": inputs, "mask": (inputs[:, :1] > 0).double(), "shout": True}

    def loss(outputs, targets):
        return functional.cross_entropy(outputs["logits"], targets) + outputs["swapped"][0].square().mean()

    measured = PerExampleGradients(seeded(Answer), loss)
    compare(measured, loss, batch, targets)
    assert not slow(measured)


class Saved(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight):
        ctx.save_for_backward(x, weight)
        return x @ weight

    @staticmethod
    def backward(ctx, gradient):
        x, weight = ctx.saved_tensors
        return gradient @ weight.T, x.T @ gradient


class Custom(nn.Module):
    def __init__(self, product):
        super().__init__()
        self.product, self.weight, self.head = product, nn.Parameter(torch.randn(4, 5)), nn.Linear(5, 3)

    def forward(self, x):
        return self.head(self.product(x, self.weight).tanh())


def test_what_no_rule_covers_is_written_out_and_says_why():
    model = seeded(lambda: Custom(lambda x, weight: torch.cdist(x, weight.T)))
    measured = PerExampleGradients(model, functional.cross_entropy, chunk_size=3)
    compare(measured, functional.cross_entropy, *examples())
    assert slow(measured) == {"weight"}
    assert measured.routes["weight"].startswith("vmap: torch function cdist")
    rows = []
    measured.visit(*examples(), lambda name, part, gradients: rows.append((name, part, len(gradients))))
    chunks = [(slice(0, 3), 3), (slice(3, 6), 3), (slice(6, 9), 3), (slice(9, 11), 2)]
    assert [row[1:] for row in rows if row[0] == "weight"] == chunks
    assert all(part == slice(0, 11) for name, part, _ in rows if name != "weight")


def test_uses_that_nothing_shows_are_found_by_the_self_check():
    """Inside an autograd function the parameter is seen by nobody, and seems to have no gradient."""
    measured = PerExampleGradients(seeded(lambda: Custom(Saved.apply)), functional.cross_entropy)
    compare(measured, functional.cross_entropy, *examples())
    assert slow(measured) == {"weight"}
    assert measured.routes["weight"].startswith("loop: self-check is off by 1 (vmap: ")


def test_a_wrong_rule_is_found_by_the_self_check(monkeypatch):
    def halved(layout, gradient, number):
        return DenseGradients(layout.split(gradient, 1, number).sum(dim=1) / 2)

    class Wrong(collector.Collector):
        def __call__(self, measured, key, use):
            super().__call__(measured, key, replace(use, form=halved) if measured.label == "0.bias" else use)

    monkeypatch.setattr(collector, "Collector", Wrong)
    measured = PerExampleGradients(network(), functional.cross_entropy)
    compare(measured, functional.cross_entropy, *examples())
    assert measured.routes["0.bias"] == "vmap: self-check is off by 0.5"
    assert slow(measured) == {"0.bias"}


def test_what_goes_wrong_later_is_found_by_comparing_one_example_again():
    class Turning(nn.Module):
        """From the second batch on, an autograd function hides the weight."""

        def __init__(self):
            super().__init__()
            self.weight, self.hidden = nn.Parameter(torch.randn(4, 3)), False

        def forward(self, x):
            return Saved.apply(x, self.weight) if self.hidden else x @ self.weight

    model = seeded(Turning)
    measured = PerExampleGradients(model, functional.cross_entropy)
    measured.squared_norms(*examples())
    model.hidden = True
    with pytest.raises(ModelError, match=r"a gradient in weight that is off by 1 for one example of batch 2"):
        measured.squared_norms(*examples())


def test_sparse_gradients_of_embeddings_are_none_here():
    model = seeded(lambda: nn.Sequential(nn.Embedding(7, 4, sparse=True), nn.Flatten(), nn.Linear(12, 3)))
    generator = torch.Generator().manual_seed(2)
    tokens, targets = (torch.randint(size, shape, generator=generator) for size, shape in ((7, (5, 3)), (3, (5,))))
    measured = PerExampleGradients(model, functional.cross_entropy)
    found = measured.squared_norms(tokens, targets)
    model[0].sparse = False
    truth = one_by_one(model, functional.cross_entropy, tokens, targets)
    for column, name in enumerate(measured.names):
        norms = truth[name].flatten(1).square().sum(dim=1)
        torch.testing.assert_close(found.squared[:, column], norms, rtol=1e-9, atol=0)
    assert measured.routes["0.weight"] == "rows"


class Reaching(nn.Module):
    def __init__(self, reach):
        super().__init__()
        self.one, self.head, self.reach = nn.Linear(4, 5), nn.Linear(5, 3), reach

    def forward(self, x):
        return self.head(self.reach(self, self.one(x)))


def writes_to_weights(model, x):
    with torch.no_grad():
        model.head.weight.clamp_(-1, 1)
    return x


def counts(model, x):
    if not hasattr(model, "seen"):
        model.register_buffer("seen", torch.zeros(()))
    model.seen += len(x)
    return x


@pytest.mark.parametrize(
    ("reach", "message"),
    [
        (lambda _, x: x - x.mean(dim=0), "made of|add up to"),
        (lambda _, x: functional.dropout(x, 0.5, training=True), "same outputs twice"),
        (writes_to_weights, "parameters that a pass writes to"),
        (counts, "new value of the buffer 'seen'"),
        (lambda _, x: x.detach() * torch.nan, "loss must be finite"),
    ],
    ids=["mixes", "random", "weights", "buffers", "nan"],
)
def test_models_without_gradients_of_single_examples_are_refused(reach, message):
    model = seeded(lambda: Reaching(reach))
    counts(model, torch.zeros(0))
    before = torch.random.get_rng_state()
    with pytest.raises(ModelError, match=message):
        PerExampleGradients(model, functional.cross_entropy).squared_norms(*examples())
    assert all(value.requires_grad for value in model.parameters())
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (nn.CrossEntropyLoss(reduction="sum"), "average over the examples"),
        (nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 5.0], dtype=torch.float64)), "without weights of classes"),
        (lambda outputs, _: (outputs @ outputs.T).logsumexp(dim=1).mean(), "average over the examples"),
        (lambda outputs, _: (outputs @ outputs.T).logsumexp(dim=1), "one value per example"),
        (lambda outputs, _: outputs, r"one value per example, \(3,\), got shape \(3, 3\)"),
        (lambda outputs, _: 0.5, r"got 0\.5"),
        (lambda outputs, _: outputs.detach().mean(), "one that has no gradient"),
    ],
    ids=["sum", "weighted", "contrastive", "contrastive vector", "matrix", "number", "constant"],
)
def test_losses_that_are_no_averages_are_refused(loss, message):
    with pytest.raises(ModelError, match=message):
        PerExampleGradients(network(), loss).squared_norms(*examples())


def test_weights_of_classes_are_found_when_they_first_differ():
    """In the first batch all labels are alike, and a weighted mean is a mean."""
    loss = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 5.0], dtype=torch.float64))
    measured = PerExampleGradients(network(), loss)
    inputs, targets = examples()
    measured.squared_norms(inputs, torch.zeros_like(targets))
    with pytest.raises(ModelError, match="without weights of classes"):
        measured.squared_norms(inputs, targets)


def test_regularisers_are_refused():
    model = network()

    def loss(outputs, targets):
        return functional.cross_entropy(outputs, targets) + 1e-3 * model[0].weight.square().sum()

    with pytest.raises(ModelError, match=r"one that uses 0\.weight\. Leave regularisers out"):
        PerExampleGradients(model, loss).squared_norms(*examples())


def test_a_loss_inside_the_model_is_measured_slowly():
    class Judging(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(4, 3)

        def forward(self, x, labels):
            return functional.cross_entropy(self.head(x), labels)

    inputs, targets = examples()
    measured = PerExampleGradients(seeded(Judging), lambda outputs, _: outputs)
    compare(measured, lambda outputs, _: outputs, {"x": inputs, "labels": targets}, targets)
    assert slow(measured) == {"head.weight", "head.bias"}


def test_batches_that_do_not_match_are_refused():
    inputs, targets = examples()
    measured = PerExampleGradients(network(), functional.cross_entropy)
    with pytest.raises(ValueError, match="as many examples as inputs"):
        measured.squared_norms(inputs, targets[:3])
    with pytest.raises(ValueError, match="as many examples as inputs, at least one"):
        measured.squared_norms(inputs[:0], targets[:0])
    with pytest.raises(ValueError, match="same number of examples in every tensor"):
        measured.squared_norms({"x": inputs, "mask": inputs[:3]}, targets)


class Recomputed(nn.Module):
    def __init__(self, reentrant):
        super().__init__()
        self.reentrant, self.first, self.one, self.head = reentrant, nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, x):
        def body(x):
            return self.one(torch.tanh(x)).tanh()

        return self.head(torch.utils.checkpoint.checkpoint(body, self.first(x), use_reentrant=self.reentrant))


def test_recomputed_activations_are_measured_or_refused():
    measured = PerExampleGradients(seeded(lambda: Recomputed(False)), functional.cross_entropy)
    compare(measured, functional.cross_entropy, *examples())
    assert not slow(measured)
    with pytest.raises(ModelError, match="use_reentrant=False"):
        PerExampleGradients(seeded(lambda: Recomputed(True)), functional.cross_entropy).squared_norms(*examples())


@pytest.mark.parametrize("way", ["whole", "part", "in place", "parallel"])
def test_compiled_models_are_measured_as_they_are_written(way):
    model = network()
    truth = one_by_one(model, functional.cross_entropy, *examples())

    def fails(*_):
        pytest.fail("compiled code ran")

    if way == "parallel":
        compiled = nn.DataParallel(torch.compile(model, backend=fails))
    elif way == "whole":
        compiled = torch.compile(model, backend=fails)
    elif way == "part":
        compiled = nn.Sequential(torch.compile(model[0], backend=fails), *model[1:])
    else:
        compiled = model
        compiled.compile(backend=fails)
    measured = PerExampleGradients(compiled, functional.cross_entropy)
    found = measured.squared_norms(*examples())
    for column, values in enumerate(truth.values()):
        torch.testing.assert_close(found.squared[:, column], values.flatten(1).square().sum(dim=1), rtol=1e-9, atol=0)


def test_modes_of_ones_own_and_no_grad_outside_do_not_matter():
    class Placed(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.head = nn.Linear(4, 5), nn.Linear(5, 3)

        def forward(self, x):
            with torch.device("cpu"):
                return self.head(self.one(x) + torch.ones(5))

    measured = PerExampleGradients(seeded(Placed), functional.cross_entropy)
    with torch.device("cpu"):
        compare(measured, functional.cross_entropy, *examples())
    with torch.no_grad():
        found = measured.squared_norms(*examples())
    assert float(found.squared.min()) > 0


def test_autocast_of_the_caller_is_honoured():
    model, (inputs, targets) = network().float(), examples(64)
    inputs = inputs.float()
    exact = one_by_one(model, functional.cross_entropy, inputs, targets)
    measured = PerExampleGradients(model, functional.cross_entropy)
    with torch.autocast("cpu", torch.bfloat16):
        truth = one_by_one(model, functional.cross_entropy, inputs, targets)
        found = measured.squared_norms(inputs, targets)
    assert not slow(measured)
    for column, name in enumerate(measured.names):
        norms, others = (values[name].double().flatten(1).square().sum(dim=1) for values in (truth, exact))
        gap = float((found.squared[:, column] - norms).norm() / norms.norm())
        assert gap < 0.02
        assert not torch.allclose(found.squared[:, column], others, rtol=1e-4)


def test_nothing_of_the_users_is_touched():
    model, (inputs, targets) = network(), examples()
    calls = []
    model[0].register_forward_hook(lambda *_: calls.append(1))
    model[2].bias.requires_grad_(False)
    model(inputs).square().mean().backward()
    model[0].weight.register_post_accumulate_grad_hook(lambda _: pytest.fail("a gradient was accumulated"))
    scale = torch.ones((), dtype=torch.float64, requires_grad=True)  # a parameter of the loss
    inputs.requires_grad_()
    before = {n: value.grad if value.grad is None else value.grad.clone() for n, value in model.named_parameters()}
    random, fast = torch.random.get_rng_state(), torch.backends.mha.get_fastpath_enabled()
    measured = PerExampleGradients(model, lambda outputs, targets: scale * functional.cross_entropy(outputs, targets))
    measured.squared_norms(inputs, targets)
    for name, value in model.named_parameters():
        assert value.requires_grad == (name != "2.bias")
        assert (value.grad is None) == (before[name] is None)
        assert value.grad is None or torch.equal(value.grad, before[name])
    assert scale.grad is None
    assert inputs.grad is None
    assert torch.equal(random, torch.random.get_rng_state())
    assert torch.backends.mha.get_fastpath_enabled() == fast

    def fails(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measured.visit(inputs, targets, fails)
    assert [value.requires_grad for value in model.parameters()] == [True, True, True, False]
    assert torch.backends.mha.get_fastpath_enabled() == fast
    measured.squared_norms(inputs, targets)  # and goes on


class Peak(TorchDispatchMode):
    """Counts the bytes of the storages that calls return while they are alive."""

    def __init__(self):
        super().__init__()
        self.alive, self.now, self.peak = {}, 0, 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for value in torch.utils._pytree.tree_leaves(result):
            if isinstance(value, torch.Tensor):
                storage = value.untyped_storage()
                if storage._cdata not in self.alive:
                    self.alive[storage._cdata] = storage.nbytes()
                    self.now += storage.nbytes()
                    weakref.finalize(storage, self.gone, storage._cdata)
                    self.peak = max(self.peak, self.now)
        return result

    def gone(self, key):
        self.now -= self.alive.pop(key)


def bytes_alive():
    gc.collect()
    return sum(
        {
            thing.untyped_storage()._cdata: thing.untyped_storage().nbytes()
            for thing in gc.get_objects()
            if type(thing) in {torch.Tensor, nn.Parameter} and thing.layout == torch.strided
        }.values()
    )


def test_gradients_are_freed_and_memory_does_not_grow_with_the_number_of_batches():
    model, (inputs, targets) = network(), examples()
    measured = PerExampleGradients(model, functional.cross_entropy)
    seen = []

    def visitor(name, rows, gradients):
        assert all(other() is None for other in seen[:-1])  # that of a layer before is gone when the next one comes
        seen.append(weakref.ref(gradients))

    for _ in range(3):
        measured.visit(inputs, targets, visitor)
        assert all(other() is None for other in seen)
        seen.clear()
    before = bytes_alive()
    for _ in range(40):
        measured.squared_norms(inputs, targets)
    assert bytes_alive() == before


@pytest.mark.parametrize("number", [50, 200])
def test_memory_is_that_of_a_plain_pass(number):
    """Gradients of all examples in full would be the parameters times their number."""
    model = seeded(
        lambda: nn.Sequential(nn.Linear(4, 200), nn.ReLU(), nn.Linear(200, 200), nn.ReLU(), nn.Linear(200, 3))
    )
    inputs, targets = examples(number)
    measured = PerExampleGradients(model, functional.cross_entropy)
    measured.squared_norms(inputs, targets)
    measured.squared_norms(inputs, targets)
    with Peak() as plain:
        gradients = torch.autograd.grad(functional.cross_entropy(model(inputs), targets), list(model.parameters()))
    del gradients
    with Peak() as ours:
        measured.squared_norms(inputs, targets)
    parameters = sum(value.nbytes for value in model.parameters())
    assert plain.peak > parameters
    layer = number * 200 * 8  # what is computed from the gradient at one layer
    assert ours.peak < plain.peak + parameters + 2 * layer


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_on_a_real_device(dtype):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    for model, shape in ((network(), (4,)), (seeded(lambda: Sequence(False)), (5, 8))):
        inputs, targets = (part.cuda() for part in examples(7, *shape))
        model, inputs = model.to("cuda", dtype), inputs.to(dtype)
        measured = PerExampleGradients(model, functional.cross_entropy)
        found = measured.squared_norms(inputs, targets)
        assert found.squared.device.type == found.losses.device.type == "cpu"
        assert all(value.is_cuda and value.dtype == dtype for value in found.total.values())
        truth = one_by_one(model, functional.cross_entropy, inputs, targets)
        tolerance = 1e-9 if dtype == torch.float64 else 1e-2
        for column, name in enumerate(measured.names):
            norms = truth[name].double().flatten(1).square().sum(dim=1).cpu()
            largest = float(norms.max())
            torch.testing.assert_close(found.squared[:, column], norms, rtol=tolerance, atol=tolerance * largest)
        assert not slow(measured)
        with torch.autocast("cuda", torch.bfloat16):
            PerExampleGradients(model.float(), functional.cross_entropy).squared_norms(inputs.float(), targets)
