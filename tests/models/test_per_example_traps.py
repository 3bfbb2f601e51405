"""Where tools for gradients of single examples err in silence, or refuse: each against a loop of plain autograd.

Everything is float64 and agrees to 1e-9. `routes` has to show that nothing was left to the slow way, unless a case says
which parameters are.
"""

import copy
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import prune
from torch.utils.checkpoint import checkpoint

from genbounds.models.guards import ModelError
from genbounds.models.per_example.engine import PerExampleGradients
from genbounds.models.per_example.rules import embedding

B = 5


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed + sum(shape)))


def numbers(high: int, *shape: int) -> Tensor:
    return torch.randint(high, shape, generator=torch.Generator().manual_seed(high + sum(shape)))


def rows(batch: Any, i: int) -> Any:
    if isinstance(batch, Mapping):
        return {name: part[i : i + 1] for name, part in batch.items()}
    return batch[i : i + 1]


def mixed(outputs: Tensor, _: Tensor) -> Tensor:
    """Return one value per example in which every output counts differently; the examples are the first axis."""
    flat = outputs.reshape(len(outputs), -1)
    return (flat.sin() * torch.arange(1.0, flat.shape[1] + 1).sqrt()).sum(dim=1)


def loop(model: nn.Module, loss: Callable[..., Tensor], inputs: Any, targets: Any) -> dict[str, Tensor]:
    """Return each parameter's gradients, shape (B, ...), one example after the other."""
    parameters = {name: value for name, value in model.named_parameters() if value.requires_grad}
    gradients = []
    for i in range(len(targets)):
        x = rows(inputs, i)
        value = loss(model(**x) if isinstance(x, Mapping) else model(x), rows(targets, i)).sum()
        gradients.append(
            torch.autograd.grad(value, list(parameters.values()), allow_unused=True, materialize_grads=True)
        )
    return {name: torch.stack([g[k] for g in gradients]) for k, name in enumerate(parameters)}


def initialised(model: nn.Module) -> nn.Module:
    """Give every parameter and buffer a value of its own, such as no initialisation at 0 or 1 hides anything."""
    model = model.double().eval()
    for k, value in enumerate(model.parameters()):
        value.data.copy_(draw(*value.shape, seed=k) / max(1, value.shape[-1] if value.ndim > 1 else 1) ** 0.5)
    for name, buffer in model.named_buffers():
        if name.endswith("running_mean"):
            buffer.copy_(draw(*buffer.shape))
        if name.endswith("running_var"):
            buffer.copy_(draw(*buffer.shape).square() + 0.5)
    return model


def compare(
    model: nn.Module,
    inputs: Any,
    targets: Tensor | None = None,
    loss: Callable[..., Tensor] = mixed,
    slow: tuple[str, ...] = (),
) -> PerExampleGradients:
    """Compare norms, sums and inner products with the loop's, and hold `routes` to what is expected."""
    targets = torch.zeros(B) if targets is None else targets
    truth = loop(model, loss, inputs, targets)
    mode, flags = [m.training for m in model.modules()], [p.requires_grad for p in model.parameters()]
    engine = PerExampleGradients(model, loss, chunk_size=2)
    vectors = {name: draw(*values.shape[1:], seed=11) for name, values in truth.items()}
    for number in (B, B - 2):  # a last batch is often smaller
        part = {name: x[:number] for name, x in inputs.items()} if isinstance(inputs, Mapping) else inputs[:number]
        found = engine.squared_norms(part, targets[:number])
        dots: dict[str, list[Tensor]] = {name: [torch.zeros(number)] * number for name in engine.names}

        def visitor(name: str, rows: slice, gradients: Any, dots: Any = dots) -> None:
            dots[name][rows] = gradients.dots(vectors[name]).unbind()

        engine.visit(part, targets[:number], visitor)
        for k, name in enumerate(engine.names):
            values = truth[name][:number]
            norms = values.reshape(number, -1).square().sum(1)
            torch.testing.assert_close(found.squared[:, k], norms, rtol=1e-9, atol=1e-12)
            torch.testing.assert_close(found.total[name], values.sum(0), rtol=1e-9, atol=1e-9)
            expected = (values * vectors[name]).reshape(number, -1).sum(1)
            torch.testing.assert_close(torch.stack(dots[name]), expected, rtol=1e-9, atol=1e-9)
    assert set(engine.names) == set(truth)
    fallen = {name for name, route in engine.routes.items() if route.startswith(("vmap", "loop"))}
    assert fallen == set(slow), engine.routes
    assert mode == [m.training for m in model.modules()]
    assert flags == [p.requires_grad for p in model.parameters()]
    assert all(p.grad is None for p in model.parameters())
    return engine


class Sequential(nn.Module):
    """Modules given by name, put together by a function of them all and the input."""

    def __init__(self, forward: Callable[..., Tensor], **parts: nn.Module | nn.Parameter | Tensor) -> None:
        super().__init__()
        self._forward = forward
        for name, part in parts.items():
            if isinstance(part, Tensor) and not isinstance(part, nn.Parameter):
                self.register_buffer(name, part)
            else:
                setattr(self, name, part)

    def forward(self, x: Tensor) -> Tensor:
        return self._forward(self, x)


def parameter(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.zeros(shape))


def build(forward: Callable[..., Tensor], **parts: Any) -> nn.Module:
    return initialised(Sequential(forward, **parts))


# What the peers get wrong without a word.


@pytest.mark.parametrize("padding", [0, 3, -1])
def test_embedding_with_padding(padding: int) -> None:
    model = build(lambda m, x: m.head(m.table(x)), table=nn.Embedding(7, 4, padding_idx=padding), head=nn.Linear(4, 3))
    ids = numbers(7, B, 6)
    ids[:, -2:] = padding % 7
    compare(model, ids)


def test_a_rule_that_errs_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The very error of a peer, made on purpose: rows of padding counted in."""
    rule = embedding._rows
    monkeypatch.setattr(embedding, "_rows", lambda call, table, ids, padding=None: rule(call, table, ids))
    model = build(lambda m, x: m.head(m.table(x)), table=nn.Embedding(7, 4, padding_idx=3), head=nn.Linear(4, 3))
    ids = numbers(7, B, 6)
    ids[:, -2:] = 3
    engine = compare(model, ids, slow=("table.weight",))
    assert "self-check" in engine.routes["table.weight"]


@pytest.mark.parametrize("groups", [2, 4])
def test_grouped_convolution(groups: int) -> None:
    model = build(
        lambda m, x: m.second(m.first(x).relu()),
        first=nn.Conv2d(4, 8, 3, groups=groups),
        second=nn.Conv2d(8, 4, 2, groups=groups, stride=2),
    )
    compare(model, draw(B, 4, 7, 8))


@pytest.mark.parametrize("mode", ["zeros", "reflect", "circular", "replicate"])
@pytest.mark.parametrize("padding", [(1, 2), "same"])
def test_padding_modes(mode: str, padding: Any) -> None:
    compare(
        build(lambda m, x: m.conv(x), conv=nn.Conv2d(2, 3, 3, padding=padding, padding_mode=mode)), draw(B, 2, 6, 5)
    )


def tied(m: Any, ids: Tensor) -> Tensor:
    return m.head(m.hidden(m.table(ids)).tanh())


def test_tied_embedding_and_head() -> None:
    model = build(tied, table=nn.Embedding(7, 4), hidden=nn.Linear(4, 4), head=nn.Linear(4, 7, bias=False))
    model.head.weight = model.table.weight
    compare(
        model,
        numbers(7, B, 6),
        numbers(7, B, 6),
        lambda o, y: functional.cross_entropy(o.mT, y, reduction="none").sum(1),
    )
    assert "head.weight" not in dict(model.named_parameters())


def test_tied_embedding_with_padding() -> None:
    model = build(tied, table=nn.Embedding(7, 4, padding_idx=2), hidden=nn.Linear(4, 4), head=nn.Linear(4, 7))
    model.head.weight = model.table.weight
    compare(model, numbers(7, B, 6))


def test_autoencoder_with_transposed_weight() -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        return functional.linear(functional.linear(x, m.weight, m.bias).tanh(), m.weight.t())

    compare(build(forward, weight=parameter(3, 6), bias=parameter(3)), draw(B, 6))
    compare(build(forward, weight=parameter(3, 6), bias=parameter(3)), draw(B, 4, 6))


def test_autoencoder_with_transposed_kernel() -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        return functional.conv_transpose2d(functional.conv2d(x, m.weight, stride=2).tanh(), m.weight, stride=2)

    compare(build(forward, weight=parameter(3, 2, 3, 3)), draw(B, 2, 7, 7))


@pytest.mark.parametrize("shape", [(B, 4), (B, 6, 4)])
def test_module_used_twice(shape: tuple[int, ...]) -> None:
    compare(
        build(lambda m, x: m.layer(m.norm(m.layer(x).tanh())), layer=nn.Linear(4, 4), norm=nn.LayerNorm(4)),
        draw(*shape),
    )


def test_recurrence_of_one_layer() -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        state = torch.zeros(len(x), 4, dtype=x.dtype)
        for step in x.unbind(1):
            state = (m.recur(state) + m.take(step)).tanh()
        return state

    compare(build(forward, recur=nn.Linear(4, 4), take=nn.Linear(3, 4)), draw(B, 6, 3))


def test_convolution_used_at_two_scales() -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        return torch.cat([m.conv(x).flatten(1), m.conv(functional.avg_pool2d(x, 2)).flatten(1)], 1)

    compare(build(forward, conv=nn.Conv2d(2, 3, 3)), draw(B, 2, 8, 8))


def test_shared_bias() -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        return functional.linear(functional.linear(x, m.one.weight, m.bias).tanh(), m.two.weight, m.bias) + m.bias

    compare(build(forward, one=nn.Linear(4, 4), two=nn.Linear(4, 4), bias=parameter(4)).requires_grad_(), draw(B, 6, 4))


# What the peers refuse.


def test_batch_norm_in_evaluation() -> None:
    parts = {"conv": nn.Conv2d(2, 4, 3), "norm": nn.BatchNorm2d(4), "head": nn.Linear(4, 3), "last": nn.BatchNorm1d(3)}
    compare(build(lambda m, x: m.last(m.head(m.norm(m.conv(x)).relu().mean((2, 3)))), **parts), draw(B, 2, 6, 6))


def test_batch_norm_in_training_is_refused() -> None:
    model = build(lambda m, x: m.norm(x), norm=nn.BatchNorm1d(4)).train()
    with pytest.raises(ModelError, match="statistics of the batch"):
        PerExampleGradients(model, mixed).squared_norms(draw(B, 4), torch.zeros(B))


def test_functional_batch_norm_in_training_is_refused() -> None:
    model = build(lambda m, x: functional.batch_norm(x, None, None, m.weight, training=True), weight=parameter(4))
    with pytest.raises(ModelError):
        PerExampleGradients(model, mixed).squared_norms(draw(B, 4, 6), torch.zeros(B))


@pytest.mark.parametrize(
    "norm",
    [nn.LayerNorm(4), nn.LayerNorm((6, 4)), nn.RMSNorm(4), nn.GroupNorm(3, 6), nn.InstanceNorm1d(6, affine=True)],
)
def test_normalisation(norm: nn.Module) -> None:
    compare(build(lambda m, x: m.head(m.norm(x)), norm=norm, head=nn.Linear(4, 3)), draw(B, 6, 4))


@pytest.mark.parametrize("kind", ["self", "cross", "other widths", "extra key and value"])
@pytest.mark.parametrize("batch_first", [True, False])
def test_fused_attention(kind: str, batch_first: bool) -> None:
    wide = {"kdim": 3, "vdim": 5} if kind == "other widths" else {}
    attention = nn.MultiheadAttention(
        4, 2, add_bias_kv=kind == "extra key and value", add_zero_attn=True, batch_first=batch_first, **wide
    )

    def forward(m: Any, x: Tensor) -> Tensor:
        keys = values = x[:, :4].cos() if kind == "cross" else x
        if wide:
            keys, values = x[..., :3], torch.cat([x, x[..., :1]], -1)
        triple = [t if batch_first else t.transpose(0, 1) for t in (x, keys, values)]
        if kind == "self":
            triple = triple[:1] * 3
        out = m.attention(*triple)[0]
        return out if batch_first else out.transpose(0, 1)

    compare(build(forward, attention=attention), draw(B, 6, 4))


def test_attention_with_masks() -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        causal = nn.Transformer.generate_square_subsequent_mask(6, dtype=x.dtype)
        padding = torch.zeros(len(x), 6, dtype=x.dtype).masked_fill(torch.arange(6) > 3, -torch.inf)
        return m.attention(x, x, x, attn_mask=causal, key_padding_mask=padding, need_weights=False)[0]

    compare(build(forward, attention=nn.MultiheadAttention(4, 2, batch_first=True)), draw(B, 6, 4))


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("length", [3, B])
@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
def test_transformer_encoder_and_decoder(batch_first: bool, length: int) -> None:
    model = nn.Transformer(4, 2, 1, 1, 6, batch_first=batch_first)

    def forward(m: Any, x: Tensor) -> Tensor:
        source, target = (x, x[:, :2].cos()) if batch_first else (x.transpose(0, 1), x[:, :2].cos().transpose(0, 1))
        out = m.transformer(source, target)
        return out if batch_first else out.transpose(0, 1)

    compare(build(forward, transformer=model), draw(B, length, 4))


def test_encoder_with_padded_positions() -> None:
    layer = nn.TransformerEncoderLayer(4, 2, 6, batch_first=True)

    def forward(m: Any, x: Tensor) -> Tensor:
        padding = (torch.arange(6) > 3).expand(len(x), -1)
        return m.encoder(x, src_key_padding_mask=padding)[:, :4]

    compare(build(forward, encoder=nn.TransformerEncoder(layer, 2)), draw(B, 6, 4))


def test_expanded_indices() -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        places = torch.arange(6)
        everywhere = m.where(places.unsqueeze(0).expand(len(x), -1))
        return m.head(m.table(x) + everywhere + m.kind(torch.zeros_like(x)))

    parts = {"table": nn.Embedding(7, 4), "where": nn.Embedding(6, 4), "kind": nn.Embedding(2, 4)}
    compare(build(forward, head=nn.Linear(4, 3), **parts), numbers(7, B, 6))


@pytest.mark.parametrize("length", [6, B])
@pytest.mark.parametrize("axes", [1, 2])
def test_positions_without_examples(length: int, axes: int) -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        places = torch.arange(length)
        return m.head(m.norm(m.table(x) + m.where(places if axes == 1 else places[None])))

    parts = {"table": nn.Embedding(7, 4), "where": nn.Embedding(9, 4), "norm": nn.LayerNorm(4)}
    compare(build(forward, head=nn.Linear(4, 3), **parts), numbers(7, B, length))


def test_relative_positions() -> None:
    """A bias for each distance: an embedding without examples, moved and spread over heads and examples."""

    def forward(m: Any, x: Tensor) -> Tensor:
        q, k, v = (t.unflatten(-1, (2, 2)).transpose(1, 2) for t in m.qkv(x).chunk(3, -1))
        places = torch.arange(6)
        distance = (places[:, None] - places[None]).clamp(-2, 2) + 2
        bias = m.bias(distance).permute(2, 0, 1).unsqueeze(0)
        return ((q @ k.mT + bias).softmax(-1) @ v).transpose(1, 2).flatten(2)

    compare(build(forward, qkv=nn.Linear(4, 12), bias=nn.Embedding(5, 2)), draw(B, 6, 4))


def test_relative_positions_masked_before_they_meet_the_examples() -> None:
    """A measured tensor meets others that hold no examples either, but for which nothing vouches."""

    def forward(m: Any, x: Tensor) -> Tensor:
        places = torch.arange(6)
        bias = m.bias((places[:, None] - places).clamp(-2, 2) + 2).permute(2, 0, 1)[None]
        bias = torch.where(places[:, None] >= places, bias, -1e9) * functional.linear(places.double()[:, None], m.slope)
        return ((x[:, None] @ x[:, None].mT + bias).softmax(-1) @ x[:, None]).flatten(1)

    compare(build(forward, bias=nn.Embedding(5, 2), slope=parameter(6, 1)), draw(B, 6, 4))


# Parameters that belong to no layer.

BARE = {
    "added": lambda m, x: (x + m.p).tanh(),
    "added in place": lambda m, x: x.clone().add_(m.p).tanh(),
    "multiplied, examples second": lambda m, x: (x.transpose(0, 1) * m.p).transpose(0, 1).tanh(),
    "in an exponential": lambda m, x: (x * m.p.exp()).tanh(),
    "one plus": lambda m, x: x * (1.0 + m.p),
    "softplus, twice": lambda m, x: (x * functional.softplus(m.p)).tanh() + m.p.square(),
    "cast": lambda m, x: (x.float() * m.p.float()).double().tanh(),
    "where": lambda m, x: torch.where(x > 0, m.p, x).tanh(),
    "a slice": lambda m, x: (x[..., :2] + m.p[:2]).tanh() * m.p[2:],
    "overlapping slices": lambda m, x: (x[..., :3] + m.p[:3]).tanh() * m.p[1:],
    "unbound": lambda m, x: sum(x[..., k] * p for k, p in enumerate(m.p.unbind())).tanh(),
    "with itself": lambda m, x: ((m.p @ m.p) * x).tanh(),
    "x @ p": lambda m, x: (x @ m.p).tanh(),
    "einsum": lambda m, x: torch.einsum("btd,d->btd", x, m.p).tanh(),
    "times a buffer": lambda m, x: (x * (m.p * m.held)).tanh(),
}


@pytest.mark.parametrize("name", BARE)
def test_bare_vector(name: str) -> None:
    model = build(lambda m, x: BARE[name](m, m.before(x)), p=parameter(4), before=nn.Linear(4, 4), held=draw(4))
    if name == "cast":
        targets, x = torch.zeros(B), draw(B, 6, 4)
        truth = loop(model, mixed, x, targets)["p"].square().sum(1)
        engine = PerExampleGradients(model, mixed)
        torch.testing.assert_close(engine.squared_norms(x, targets).squared[:, 0], truth, rtol=1e-5, atol=0)
    else:
        compare(model, draw(B, 6, 4))


@pytest.mark.parametrize("cast", [torch.Tensor.to, torch.Tensor.type_as])
def test_dtype_of_another_tensor(cast: Callable[..., Tensor]) -> None:
    model = build(
        lambda m, x: functional.linear(m.before(x), cast(m.weight, x), x.to(m.bias).mean() * 0 + cast(m.bias, x)),
        before=nn.Linear(4, 4),
        weight=parameter(3, 4),
        bias=parameter(3),
    )
    compare(model, draw(B, 6, 4))


def test_as_many_positions_as_examples() -> None:
    compare(
        build(lambda m, x: m.head((x + m.p) * m.q), p=parameter(B, 4), q=parameter(B, 1), head=nn.Linear(4, 3)),
        draw(B, B, 4),
    )


def test_one_parameter_for_each_example_is_refused() -> None:
    model = build(lambda m, x: m.head(x + m.p), p=parameter(B, 4), head=nn.Linear(4, 3))
    with pytest.raises((ModelError, RuntimeError)):
        PerExampleGradients(model, lambda o, y: o.square().mean()).squared_norms(draw(B, 4), torch.zeros(B))


SPREAD = {
    "stack": lambda p, n: torch.stack([p] * n),
    "cat": lambda p, n: torch.cat([p[None]] * n),
    "repeat_interleave": lambda p, n: p[None].repeat_interleave(n, 0),
    "ones times": lambda p, n: torch.ones(n, 1, dtype=p.dtype) * p,
    "ones @": lambda p, n: torch.ones(n, 1, dtype=p.dtype) @ p[None],
    "rows of a table": lambda p, n: p[None][torch.zeros(n, dtype=torch.long)],
    "contiguous": lambda p, n: p.expand(n, 4).contiguous(),
}


@pytest.mark.parametrize("name", SPREAD)
def test_as_many_copies_as_examples(name: str) -> None:
    """Some ways to spread a parameter leave no trace of the examples; the gradients must be right all the same."""
    model = build(lambda m, x: m.head((x + SPREAD[name](m.p, len(x))).tanh()), p=parameter(4), head=nn.Linear(4, 3))
    every = ("p", "head.weight", "head.bias")
    compare(model, draw(B, 4), slow=every if name in {"stack", "cat"} else ())


def test_weights_made_anew_in_each_pass() -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        kernel = m.kernel - m.kernel.mean((1, 2, 3), keepdim=True)
        hidden = functional.conv2d(x, kernel / kernel.std((1, 2, 3), keepdim=True)).relu().mean((2, 3))
        return 5 * functional.linear(functional.normalize(hidden), functional.normalize(m.classes, dim=1))

    compare(build(forward, kernel=parameter(4, 2, 3, 3), classes=parameter(3, 4)), draw(B, 2, 6, 6))


def test_weight_drawn_from_a_small_network() -> None:
    """Parameters through a layer without examples: a table of coordinates, then its outputs as a weight."""

    def forward(m: Any, x: Tensor) -> Tensor:
        return functional.linear(x, m.net(m.grid).T) + m.net[0].bias.sum()

    compare(
        build(forward, net=nn.Sequential(nn.Linear(2, 5), nn.Tanh(), nn.Linear(5, 3)), grid=draw(4, 2)), draw(B, 6, 4)
    )


def test_halves_of_a_row_repeated() -> None:
    compare(build(lambda m, x: x * m.p.repeat_interleave(3, -2), p=parameter(2, 4)), draw(B, 6, 4))


def test_entries_repeated_without_an_axis_or_a_number_of_times_each() -> None:
    compare(build(lambda m, x: x * m.p.repeat_interleave(2), p=parameter(3)), draw(B, 6))
    times = torch.tensor([1, 3, 2])
    compare(build(lambda m, x: x * m.p.repeat_interleave(times, 0), p=parameter(3)), draw(B, 6))
    compare(build(lambda m, x: x * m.p.repeat_interleave(times), p=parameter(3)), draw(B, 6))


def test_changed_in_place_after_a_copy() -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        weight = m.weight.clone()
        weight[0] = 0
        weight.mul_(2)
        return m.head(x @ weight)

    compare(build(forward, weight=parameter(4, 4), head=nn.Linear(4, 3)), draw(B, 6, 4), slow=("weight",))


def test_distances_to_centres() -> None:
    compare(
        build(
            lambda m, x: m.head(torch.cdist(m.one(x), m.centres).cos()),
            one=nn.Linear(4, 4),
            centres=parameter(3, 4),
            head=nn.Linear(3, 2),
        ),
        draw(B, 6, 4),
        slow=("centres",),
    )
    compare(
        build(lambda m, x: (x[:, None] - m.centres).square().sum(-1).neg().exp(), centres=parameter(3, 4)), draw(B, 4)
    )


def test_bag_of_words() -> None:
    compare(
        build(lambda m, x: m.head(m.bag(x)), bag=nn.EmbeddingBag(7, 4, padding_idx=0), head=nn.Linear(4, 3)),
        numbers(7, B, 6),
    )


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_compiled_model_is_measured_as_it_was_written() -> None:
    model = initialised(nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 3)))
    truth = loop(model, mixed, draw(B, 4), torch.zeros(B))
    engine = PerExampleGradients(torch.compile(model), mixed)
    found = engine.squared_norms(draw(B, 4), torch.zeros(B))
    for k, name in enumerate(engine.names):
        torch.testing.assert_close(found.squared[:, k], truth[name].flatten(1).square().sum(1), rtol=1e-9, atol=0)


def test_autocast() -> None:
    model = build(
        lambda m, x: m.head(m.norm(m.conv(x).flatten(2).mT + m.p).relu()),
        conv=nn.Conv2d(2, 4, 3),
        norm=nn.LayerNorm(4),
        head=nn.Linear(4, 3),
        p=parameter(4),
    ).float()
    x = draw(B, 2, 6, 6).float()
    with torch.autocast("cpu", torch.bfloat16):
        truth = loop(model, mixed, x, torch.zeros(B))
        engine = PerExampleGradients(model, mixed)
        found = engine.squared_norms(x, torch.zeros(B))
    assert not any(route.startswith(("vmap", "loop")) for route in engine.routes.values())
    for k, name in enumerate(engine.names):
        exact = truth[name].double().flatten(1).square().sum(1)
        torch.testing.assert_close(found.squared[:, k], exact, rtol=0.05, atol=0.01 * float(exact.max()))


def test_temperature() -> None:
    model = build(lambda m, x: m.head(x) * m.scale.exp(), scale=parameter(), head=nn.Linear(4, 3))
    compare(model, draw(B, 4), numbers(3, B), functional.cross_entropy)


def test_class_token_and_positions() -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        tokens = torch.cat([m.token.expand(len(x), -1, -1), x], 1) + m.where
        return m.layer(tokens)[:, 0]

    layer = nn.TransformerEncoderLayer(4, 2, 6, batch_first=True)
    compare(build(forward, token=parameter(1, 1, 4), where=parameter(1, 7, 4), layer=layer), draw(B, 6, 4))


def test_learned_queries() -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        return m.attention(
            m.queries.weight.unsqueeze(1).repeat(1, len(x), 1), x.mT.permute(2, 0, 1), x.transpose(0, 1)
        )[0].transpose(0, 1)

    compare(build(forward, queries=nn.Embedding(3, 4), attention=nn.MultiheadAttention(4, 2)), draw(B, 6, 4))


def test_prompt_before_the_tokens() -> None:
    def forward(m: Any, ids: Tensor) -> Tensor:
        return m.head(torch.cat([m.prompt.unsqueeze(0).expand(len(ids), -1, -1), m.table(ids)], 1).cumsum(1).tanh())

    compare(build(forward, prompt=parameter(2, 4), table=nn.Embedding(7, 4), head=nn.Linear(4, 3)), numbers(7, B, 6))


def test_low_rank_adapter() -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        return m.base(x) + 2.0 * (x @ m.down.T @ m.up.T)

    model = build(forward, base=nn.Linear(4, 3), down=parameter(2, 4), up=parameter(3, 2))
    model.base.requires_grad_(False)
    compare(model, draw(B, 6, 4))


def test_adapter_merged_into_the_weight() -> None:
    model = build(
        lambda m, x: functional.linear(x, m.base + m.up @ m.down),
        base=parameter(3, 4),
        down=parameter(2, 4),
        up=parameter(3, 2),
    )
    compare(model, draw(B, 6, 4))


def test_pruned_weight() -> None:
    layer = prune.random_unstructured(nn.Linear(4, 3), "weight", 0.5)
    compare(build(lambda m, x: m.layer(x), layer=layer), draw(B, 6, 4))


@pytest.mark.parametrize(
    "wrap",
    [
        nn.utils.parametrizations.weight_norm,
        nn.utils.parametrizations.spectral_norm,
        nn.utils.parametrizations.orthogonal,
    ],
)
def test_parametrised_weight(wrap: Callable[..., nn.Module]) -> None:
    model = initialised(nn.Sequential(wrap(nn.Linear(4, 4)), nn.Tanh(), nn.Linear(4, 3)))
    model(draw(2, 4))
    compare(model, draw(B, 6, 4))


def test_weights_in_a_list_and_a_dictionary() -> None:
    class Lists(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weights = nn.ParameterList([parameter(4, 4) for _ in range(3)])
            self.biases = nn.ParameterDict({"a": parameter(4), "b": parameter(4)})

        def forward(self, x: Tensor) -> Tensor:
            for weight in self.weights:
                x = functional.linear(x, weight, self.biases["a"]).tanh()
            return x - self.biases["b"]

    compare(initialised(Lists()), draw(B, 6, 4))


def test_experts_in_one_parameter() -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        gates = m.gate(x).softmax(-1)
        return torch.einsum("bte,betk->btk", gates, torch.einsum("btd,edk->betk", x, m.experts).tanh())

    compare(build(forward, gate=nn.Linear(4, 3), experts=parameter(3, 4, 5)), draw(B, 6, 4))


def test_experts_as_slices() -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        gates = m.gate(x).softmax(-1)
        return sum(gates[..., e : e + 1] * (x @ m.experts[e]).tanh() for e in range(3))

    compare(build(forward, gate=nn.Linear(4, 3), experts=parameter(3, 4, 5)), draw(B, 6, 4))


def test_experts_that_pick_their_tokens() -> None:
    """Rows are taken by index: who owns them cannot be told, and the parameters behind go the slow way."""

    def forward(m: Any, x: Tensor) -> Tensor:
        flat = x.flatten(0, 1)
        weights = m.gate(flat).softmax(-1)
        choice = weights.argmax(-1)
        out = torch.zeros_like(flat)
        for e, expert in enumerate((m.one, m.two)):
            place = (choice == e).nonzero().squeeze(-1)
            out = out.index_add(0, place, weights[place, e : e + 1] * expert(flat[place]).tanh())
        return out.view_as(x) * m.scale

    model = build(forward, gate=nn.Linear(4, 2), one=nn.Linear(4, 4), two=nn.Linear(4, 4), scale=parameter(4))
    compare(model, draw(B, 6, 4), slow=("one.weight", "one.bias", "two.weight", "two.bias"))


# How a network is put together.


def test_frames_of_a_video() -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        frames = m.norm(m.conv(x.flatten(0, 1))).relu().mean((2, 3))
        return m.head(frames).unflatten(0, (len(x), -1)).sum(1)

    compare(build(forward, conv=nn.Conv2d(2, 4, 3), norm=nn.GroupNorm(2, 4), head=nn.Linear(4, 3)), draw(B, 3, 2, 5, 5))


def test_flattened_positions() -> None:
    compare(
        build(
            lambda m, x: m.two(m.one(x.reshape(-1, 4)).relu()).view(len(x), -1),
            one=nn.Linear(4, 6),
            two=nn.Linear(6, 3),
        ),
        draw(B, 3, 4),
    )


@pytest.mark.parametrize("length", [3, B, 2 * B])
def test_examples_second(length: int) -> None:
    compare(
        build(
            lambda m, x: m.two(m.norm(m.one(x.transpose(0, 1)).relu())).transpose(0, 1),
            one=nn.Linear(4, 6),
            norm=nn.LayerNorm(6),
            two=nn.Linear(6, 3),
        ),
        draw(B, length, 4),
    )


def test_as_many_channels_and_classes_as_examples() -> None:
    compare(
        build(lambda m, x: m.head(m.conv(x).mean(-1)), conv=nn.Conv1d(B, B, 3), head=nn.Linear(B, B)), draw(B, B, B)
    )


def test_in_place_activation() -> None:
    model = initialised(
        nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(inplace=True), nn.Conv2d(3, 2, 3), nn.ReLU(inplace=True))
    )
    compare(model, draw(B, 2, 7, 7))


def test_residual_written_in_place() -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        hidden = m.one(x)
        hidden += x
        hidden = hidden.sin().clone()
        hidden[:, 0] += m.p
        return m.two(hidden)

    compare(build(forward, one=nn.Linear(4, 4), two=nn.Linear(4, 3), p=parameter(4)), draw(B, 6, 4))


@pytest.mark.parametrize("reentrant", [False])
def test_recomputed_layers(reentrant: bool) -> None:
    compare(
        build(
            lambda m, x: m.head(checkpoint(m.body, x, use_reentrant=reentrant)),
            body=nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 4)),
            head=nn.Linear(4, 3),
        ),
        draw(B, 6, 4),
    )


class Doubled(torch.autograd.Function):
    """x W, in a function of its own that no rule can see into."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return x @ weight

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        return gradient @ weight.T, x.flatten(0, -2).T @ gradient.flatten(0, -2)


def test_custom_function() -> None:
    model = build(
        lambda m, x: m.head(Doubled.apply(m.before(x), m.weight)),
        before=nn.Linear(4, 4),
        weight=parameter(4, 5),
        head=nn.Linear(5, 3),
    )
    compare(model, draw(B, 6, 4), slow=("weight",))


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
@pytest.mark.parametrize("how", [{}, {"batch_first": True, "bidirectional": True}, {"num_layers": 2, "bias": False}])
def test_recurrent_layers(kind: type[nn.Module], how: dict[str, Any]) -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        out, last = m.layer(x if "batch_first" in how else x.transpose(0, 1))
        last = last if isinstance(last, Tensor) else torch.cat(last)
        return m.head(out if "batch_first" in how else out.transpose(0, 1)) + last.sum((0, 2))[:, None, None]

    width = 6 if "bidirectional" in how else 3
    compare(build(forward, layer=kind(4, 3, **how), head=nn.Linear(width, 2)), draw(B, 6, 4))


def test_recurrent_layer_from_a_learned_state() -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        start = m.start.expand(-1, len(x), -1).contiguous()
        return m.layer(x, (start, start.sin()))[0]

    compare(build(forward, layer=nn.LSTM(4, 3, batch_first=True), start=parameter(1, 1, 3)), draw(B, 6, 4))


@pytest.mark.parametrize("kind", [nn.LSTMCell, nn.GRUCell, nn.RNNCell])
def test_recurrent_cells(kind: type[nn.Module]) -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        state = None
        for step in x.unbind(1):
            state = m.cell(step, state)
        return torch.cat(state, -1) if isinstance(state, tuple) else state

    compare(build(forward, cell=kind(4, 3)), draw(B, 6, 4))


def test_recurrent_layer_that_no_rule_covers() -> None:
    layer = nn.LSTM(4, 3, proj_size=2, batch_first=True)
    model = build(lambda m, x: m.head(m.layer(x)[0]), layer=layer, head=nn.Linear(2, 2))
    compare(model, draw(B, 6, 4), slow=tuple(f"layer.{name}" for name, _ in layer.named_parameters()))


def test_frozen_parts() -> None:
    model = initialised(nn.Sequential(nn.Embedding(7, 4), nn.Linear(4, 4), nn.LayerNorm(4), nn.Linear(4, 3)))
    model[0].requires_grad_(False)
    model[1].bias.requires_grad_(False)
    model[2].weight.requires_grad_(False)
    engine = compare(model, numbers(7, B, 6))
    assert engine.names == ("1.weight", "2.bias", "3.weight", "3.bias")


def test_some_parameters_by_name() -> None:
    model = initialised(nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 3)))
    engine = PerExampleGradients(model, mixed, parameters=["0.bias", "2.weight"])
    truth = loop(model, mixed, draw(B, 4), torch.zeros(B))
    found = engine.squared_norms(draw(B, 4), torch.zeros(B))
    assert engine.names == ("0.bias", "2.weight")
    for k, name in enumerate(engine.names):
        torch.testing.assert_close(found.squared[:, k], truth[name].flatten(1).square().sum(1), rtol=1e-9, atol=0)


def test_unused_parameters() -> None:
    parts = {"head": nn.Linear(4, 3), "spare": nn.Linear(4, 3), "also": parameter(2)}
    compare(build(lambda m, x: m.head(x), **parts), draw(B, 6, 4))


def test_used_and_thrown_away() -> None:
    parts = {"head": nn.Linear(4, 3), "spare": nn.Linear(4, 3)}
    compare(build(lambda m, x: m.head(x) + 0 * m.spare(x.detach()).detach(), **parts), draw(B, 6, 4))


def test_without_gradient() -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        with torch.no_grad():
            weight = m.head.weight.norm(dim=1)
        return m.head(x) / weight

    compare(build(forward, head=nn.Linear(4, 3)), draw(B, 6, 4))


def test_layers_that_some_examples_skip() -> None:
    compare(
        build(lambda m, x: torch.where(x[:, :1] > 0, m.one(x), m.two(x)), one=nn.Linear(4, 3), two=nn.Linear(4, 3)),
        draw(B, 4),
    )


def test_bilinear_prelu_and_transposed() -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        return m.both(m.slope(m.up(x)).mean(-1), x.mean(-1))

    compare(
        build(
            forward, up=nn.ConvTranspose1d(2, 4, 3, stride=2, groups=2), slope=nn.PReLU(4), both=nn.Bilinear(4, 2, 3)
        ),
        draw(B, 2, 5),
    )


def test_inspected_parameters() -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        weight = m.head.weight
        assert weight.shape == (3, 4)
        assert weight.dim() == 2
        assert torch.is_tensor(weight)
        assert weight.is_floating_point()
        assert not weight.is_cuda
        assert len(weight) == weight.size(0) == 3
        assert weight.numel() == 12
        assert isinstance(weight, nn.Parameter)
        x = x.to(dtype=weight.dtype, device=weight.device)
        return m.head(x).to(weight) * (weight.detach().norm() > 0)

    compare(build(forward, head=nn.Linear(4, 3)), draw(B, 6, 4))


def test_inputs_by_name_and_outputs_in_a_dictionary() -> None:
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table, self.head = nn.Embedding(7, 4), nn.Linear(4, 3)

        def forward(self, ids: Tensor, mask: Tensor) -> dict[str, Tensor]:
            hidden = self.table(ids) * mask[..., None]
            return {"logits": self.head(hidden.sum(1) / mask.sum(1, keepdim=True))}

    inputs = {"ids": numbers(7, B, 6), "mask": (numbers(3, B, 6) > 0).double()}
    compare(initialised(Named()), inputs, numbers(3, B), lambda o, y: functional.cross_entropy(o["logits"], y))


def test_deep_copy_in_the_forward_pass_is_no_use() -> None:
    model = build(
        lambda m, x: m.head(x) + copy.deepcopy(m.spare).detach().sum(), head=nn.Linear(4, 3), spare=parameter(2)
    )
    compare(model, draw(B, 4))


# What a loss may be.


def test_losses_that_are_means_or_one_value_per_example() -> None:
    model = initialised(nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 3)))
    x, y = draw(B, 4), numbers(3, B)
    compare(model, x, y, functional.cross_entropy)
    compare(model, x, y, lambda o, y: functional.cross_entropy(o, y, reduction="none"))
    compare(model, x, y, lambda o, y: functional.cross_entropy(o, y, label_smoothing=0.1))
    compare(model, x, draw(B, 3), functional.mse_loss)
    compare(model, x, draw(B, 3), lambda o, y: (o - y).square().mean(1))


def test_average_over_positions_too() -> None:
    model = initialised(nn.Sequential(nn.Embedding(7, 4), nn.Linear(4, 7)))
    compare(
        model, numbers(7, B, 6), numbers(7, B, 6), lambda o, y: functional.cross_entropy(o.flatten(0, 1), y.flatten())
    )


MIXING = {
    "weights of classes": lambda o, y: functional.cross_entropy(o, y, weight=torch.tensor([1.0, 5.0, 2.0]).double()),
    "ignored targets": lambda o, y: functional.cross_entropy(
        o, y.where(torch.arange(len(y)) != 1, -100), ignore_index=-100
    ),
    "sum": lambda o, y: functional.cross_entropy(o, y, reduction="sum"),
    "contrast": lambda o, y: -(o @ o.T).log_softmax(1).diagonal().mean(),
    "root of the mean": lambda o, y: functional.cross_entropy(o, y).sqrt(),
}


@pytest.mark.parametrize("name", MIXING)
def test_losses_that_mix_examples_are_refused(name: str) -> None:
    model = initialised(nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 3)))
    with pytest.raises(ModelError):
        PerExampleGradients(model, MIXING[name]).squared_norms(draw(B, 4), torch.arange(B) % 3)


def test_mean_over_unmasked_tokens_is_refused_and_one_value_per_sequence_is_not() -> None:
    """Sequences with more tokens weigh more in a mean over all tokens: it is no average over the sequences."""
    model = initialised(nn.Sequential(nn.Embedding(7, 4), nn.Linear(4, 7)))
    ids = numbers(7, B, 6)
    targets = ids.where(torch.arange(6) <= torch.arange(B)[:, None], -100)
    with pytest.raises(ModelError, match="one value per"):
        PerExampleGradients(model, lambda o, y: functional.cross_entropy(o.mT, y)).squared_norms(ids, targets)

    def per_sequence(o: Tensor, y: Tensor) -> Tensor:
        tokens = functional.cross_entropy(o.mT, y, reduction="none")
        return tokens.sum(1) / (y != -100).sum(1)

    compare(model, ids, targets, per_sequence)


def test_model_that_mixes_examples_is_refused() -> None:
    model = build(lambda m, x: m.head(x - x.mean(0, keepdim=True)), head=nn.Linear(4, 3))
    with pytest.raises(ModelError):
        PerExampleGradients(model, functional.cross_entropy).squared_norms(draw(B, 4), numbers(3, B))


def test_acting_dropout_is_refused() -> None:
    model = build(lambda m, x: m.drop(m.head(x)), head=nn.Linear(4, 3), drop=nn.Dropout(0.5)).train()
    with pytest.raises(ModelError, match="training mode"):
        PerExampleGradients(model, functional.cross_entropy).squared_norms(draw(B, 4), numbers(3, B))


def test_inactive_dropout_in_training_mode() -> None:
    compare(build(lambda m, x: m.drop(m.head(x)), head=nn.Linear(4, 3), drop=nn.Dropout(0.0)).train(), draw(B, 4))
