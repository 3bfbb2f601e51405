"""Each rule against autograd at one example after the other, in float64."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from genbounds.models.guards import ModelError
from genbounds.models.per_example.calls import ROOT, Call, Unsupported, Use
from genbounds.models.per_example.layouts import Layout
from genbounds.models.per_example.rules import rule_of

NUMBER = 3


class Followed(TorchFunctionMode):
    """Asks the rules, and nothing else, about the calls of a pass."""

    def __init__(self, parameters: list[Tensor]) -> None:
        super().__init__()
        self.parameters, self.uses = parameters, []

    def _measured(self, value: object) -> bool:
        return any(value is parameter for parameter in self.parameters)

    def _inside(self, function, *args, **kwargs):
        with self:
            return function(*args, **kwargs)

    def __torch_function__(self, func, types, args=(), kwargs=None):
        call = Call(func, args, kwargs or {}, self._measured, self._inside)
        if not any(self._measured(tensor) for tensor in call.tensors()):
            return func(*args, **(kwargs or {}))
        found = rule_of(func)(call)
        if found is None:
            pytest.fail(f"{func} is taken for a making")
        result, uses = found
        self.uses += uses
        return result


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed + sum(shape)))


def check(
    function, x: Tensor, shapes: list[tuple[int, ...]], layout: Layout, frozen: tuple[int, ...] = ()
) -> list[Use]:
    """Compare the gradients of every use, added up by parameter, with those of a loop over the examples."""
    parameters = [draw(*shape, seed=7 * k).requires_grad_() for k, shape in enumerate(shapes)]

    def losses(x: Tensor) -> Tensor:
        outputs = function(x, *parameters).reshape(len(x), -1)
        return (outputs.sin() * torch.arange(1, outputs.shape[1] + 1).sqrt()).sum(dim=1)

    wanted = [k for k in range(len(shapes)) if k not in frozen]
    loop = [torch.autograd.grad(losses(x[i : i + 1]).sum(), [parameters[k] for k in wanted]) for i in range(NUMBER)]
    with Followed([parameters[k] for k in wanted]) as followed:
        total = losses(x).sum()
    arrived = torch.autograd.grad(total, [use.watched for use in followed.uses], retain_graph=True)
    measured = [parameters[k] for k in wanted]
    assert torch.autograd.grad(total, [ROOT, *measured], allow_unused=True) == (None,) * (1 + len(measured))
    for place, k in enumerate(wanted):
        found = [
            use.form(layout, gradient, NUMBER)
            for use, gradient in zip(followed.uses, arrived, strict=True)
            if use.parameter is parameters[k]
        ]
        assert found, f"no use of parameter {k}"
        truth = torch.stack([gradients[place] for gradients in loop])
        values = sum(part.dense(slice(0, NUMBER)) for part in found)
        torch.testing.assert_close(values, truth, rtol=1e-11, atol=1e-11)
    return followed.uses


FIRST, SECOND = Layout(0), Layout(1)
BATCH_MAJOR, TIME_MAJOR = Layout(0, merged=True), Layout(0, merged=True, inner=True)


def merged(function):
    """Run a function of (B k, ...) on (B, k, ...)."""
    return lambda x, *p: function(x.flatten(0, 1), *p)


def second(function):
    """Run a function of (T, B, ...) on (B, T, ...)."""
    return lambda x, *p: function(x.transpose(0, 1), *p).transpose(0, 1)


LINEAR = {
    "two axes": (functional.linear, (3, 4), [(5, 4), (5,)], FIRST),
    "no bias": (functional.linear, (3, 4), [(5, 4)], FIRST),
    "three axes": (functional.linear, (3, 6, 4), [(5, 4), (5,)], FIRST),
    "five axes": (functional.linear, (3, 2, 2, 2, 4), [(5, 4), (5,)], FIRST),
    "as many positions as examples": (second(functional.linear), (3, 3, 4), [(5, 4), (5,)], SECOND),
    "merged": (merged(functional.linear), (3, 6, 4), [(5, 4), (5,)], BATCH_MAJOR),
    "time-major": (
        lambda x, w, b: functional.linear(x.transpose(0, 1).flatten(0, 1), w, b).unflatten(0, (6, -1)).transpose(0, 1),
        (3, 6, 4),
        [(5, 4), (5,)],
        TIME_MAJOR,
    ),
    "one feature": (functional.linear, (3, 6, 1), [(1, 1), (1,)], FIRST),
    "weight without outputs": (functional.linear, (3, 6, 4), [(4,)], FIRST),
    "addmm": (lambda x, b, w: torch.addmm(b, x.flatten(0, 1), w), (3, 6, 4), [(5,), (4, 5)], BATCH_MAJOR),
    "scaled addmm": (lambda x, b, w: torch.addmm(b, x, w, beta=2, alpha=-3), (3, 4), [(1, 5), (4, 5)], FIRST),
    "method addmm": (lambda x, b, w: b.addmm(x, w), (3, 4), [(5,), (4, 5)], FIRST),
    "x @ W": (lambda x, w: x @ w, (3, 6, 4), [(4, 5)], FIRST),
    "x @ w": (lambda x, w: x @ w, (3, 6, 4), [(4,)], FIRST),
    "W @ x": (lambda x, w: w @ x, (3, 4, 6), [(5, 4)], FIRST),
    "w @ x": (lambda x, w: w @ x, (3, 4, 6), [(4,)], FIRST),
    "a stack of matrices": (lambda x, w: x @ w, (3, 2, 6, 4), [(2, 4, 5)], FIRST),
    "a stack, one for all": (lambda x, w: x @ w, (3, 2, 6, 4), [(1, 4, 5)], FIRST),
    "a stack for one matrix": (lambda x, w: x[:, None] @ w, (3, 6, 4), [(2, 4, 5)], FIRST),
    "experts by bmm": (lambda x, w: torch.bmm(x.transpose(0, 1), w).transpose(0, 1), (3, 2, 4), [(2, 4, 5)], FIRST),
    "mm": (torch.mm, (3, 4), [(4, 5)], FIRST),
    "mv": (torch.mv, (3, 4), [(4,)], FIRST),
    "einsum, heads": (lambda x, w: torch.einsum("btd,hdk->bthk", x, w), (3, 6, 4), [(2, 4, 5)], FIRST),
    "einsum, groups": (lambda x, w: torch.einsum("bthd,hdk->bhtk", x, w), (3, 6, 2, 4), [(2, 4, 5)], FIRST),
    "einsum, groups last": (lambda x, w: torch.einsum("bthd,dkh->bkth", x, w), (3, 6, 2, 4), [(4, 5, 2)], FIRST),
    "einsum, two inner": (lambda x, w: torch.einsum("bthd,hdk->btk", x, w), (3, 6, 2, 4), [(2, 4, 5)], FIRST),
    "einsum, summed positions": (lambda x, w: torch.einsum("btd,dk->bk", x, w), (3, 6, 4), [(4, 5)], FIRST),
    "einsum, weight first": (lambda x, w: torch.einsum(" kd, btd -> btk", w, x), (3, 6, 4), [(5, 4)], FIRST),
    "einsum, no arrow": (lambda x, w: torch.einsum("bd,dk", x, w), (3, 4), [(4, 5)], FIRST),
    "einsum, diagonal": (lambda x, w: torch.einsum("btd,d->btd", x, w), (3, 6, 4), [(4,)], FIRST),
    "einsum, dots": (lambda x, w: torch.einsum("...d,dk->k...", x, w).movedim(0, -1), (3, 6, 4), [(4, 5)], FIRST),
    "einsum, dots and no arrow": (lambda x, w: torch.einsum("...d,dk", x, w), (3, 6, 4), [(4, 5)], FIRST),
    "einsum, dots in both": (lambda x, w: torch.einsum("...d,...d->...", x, w), (3, 6, 4), [(6, 4)], FIRST),
    "einsum of three": (lambda x, w: torch.einsum("bi,oij,bj->bo", x, w, x.cos()), (3, 4), [(5, 4, 4)], FIRST),
    "bilinear": (lambda x, w, b: functional.bilinear(x, x[..., :2].cos(), w, b), (3, 6, 4), [(5, 4, 2), (5,)], FIRST),
}


@pytest.mark.parametrize("name", LINEAR)
def test_linear(name: str) -> None:
    function, shape, shapes, layout = LINEAR[name]
    check(function, draw(*shape), shapes, layout)


@pytest.mark.parametrize("frozen", [(0,), (1,)])
def test_weight_or_bias_alone(frozen: tuple[int, ...]) -> None:
    check(functional.linear, draw(3, 6, 4), [(5, 4), (5,)], FIRST, frozen)
    check(functional.conv1d, draw(3, 4, 6), [(5, 4, 2), (5,)], FIRST, frozen)
    check(lambda x, w, b: functional.layer_norm(x, (4,), w, b), draw(3, 6, 4), [(4,), (4,)], FIRST, frozen)


CONVOLUTION = {
    "1d": (functional.conv1d, (3, 4, 9), [(5, 4, 3), (5,)]),
    "2d": (functional.conv2d, (3, 4, 7, 6), [(5, 4, 3, 2), (5,)]),
    "3d": (functional.conv3d, (3, 2, 5, 4, 6), [(3, 2, 3, 2, 2), (3,)]),
    "groups": (lambda x, w, b: functional.conv2d(x, w, b, groups=2), (3, 4, 7, 6), [(6, 2, 3, 3), (6,)]),
    "depthwise": (lambda x, w, b: functional.conv1d(x, w, b, groups=4), (3, 4, 9), [(8, 1, 3), (8,)]),
    "stride": (lambda x, w, b: functional.conv2d(x, w, b, (2, 3), (1, 2)), (3, 4, 7, 8), [(6, 4, 3, 3), (6,)]),
    "dilation": (lambda x, w, b: functional.conv2d(x, w, b, 2, 3, dilation=(2, 3)), (3, 2, 9, 9), [(4, 2, 3, 3), (4,)]),
    "same": (lambda x, w, b: functional.conv2d(x, w, b, padding="same"), (3, 2, 7, 6), [(4, 2, 3, 4), (4,)]),
    "same, dilated": (
        lambda x, w: functional.conv2d(x, w, padding="same", dilation=(3, 1)),
        (3, 2, 7, 6),
        [(4, 2, 2, 5)],
    ),
    "valid": (lambda x, w, b: functional.conv1d(x, w, b, padding="valid"), (3, 2, 7), [(4, 2, 3), (4,)]),
    "one number for all": (lambda x, w: functional.conv2d(x, w, stride=[2], padding=[1]), (3, 2, 7, 6), [(4, 2, 3, 3)]),
    "transposed 1d": (functional.conv_transpose1d, (3, 4, 9), [(4, 5, 3), (5,)]),
    "transposed 2d": (
        lambda x, w, b: functional.conv_transpose2d(x, w, b, (2, 3), 1, (1, 2), 2, (1, 2)),
        (3, 4, 5, 4),
        [(4, 3, 3, 2), (6,)],
    ),
    "transposed 3d": (
        lambda x, w, b: functional.conv_transpose3d(x, w, b, stride=2),
        (3, 2, 3, 4, 3),
        [(2, 3, 2, 3, 2), (3,)],
    ),
    "transposed, more added than a step": (
        lambda x, w: functional.conv_transpose1d(x, w, stride=2, output_padding=2, dilation=3),
        (3, 2, 5),
        [(2, 3, 3)],
    ),
}


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize("name", CONVOLUTION)
def test_convolution(name: str) -> None:
    function, shape, shapes = CONVOLUTION[name]
    check(function, draw(*shape), shapes, FIRST)


@pytest.mark.parametrize("layout", [BATCH_MAJOR, TIME_MAJOR])
def test_convolution_over_frames(layout: Layout) -> None:
    def frames(x: Tensor, *p: Tensor) -> Tensor:
        if not layout.inner:
            return functional.conv2d(x.flatten(0, 1), *p).unflatten(0, (-1, 4))
        return functional.conv2d(x.transpose(0, 1).flatten(0, 1), *p).unflatten(0, (4, -1)).transpose(0, 1)

    check(frames, draw(3, 4, 2, 5, 5), [(3, 2, 2, 2), (3,)], layout)


def running(channels: int) -> tuple[Tensor, Tensor]:
    return draw(channels), draw(channels).square() + 0.5


NORMALISATION = {
    "layer_norm": (lambda x, w, b: functional.layer_norm(x, (4,), w, b), (3, 6, 4), [(4,), (4,)]),
    "layer_norm over two": (lambda x, w, b: torch.layer_norm(x, (6, 4), w, b, 0.1), (3, 6, 4), [(6, 4), (6, 4)]),
    "rms_norm": (lambda x, w: functional.rms_norm(x, (4,), w, 0.1), (3, 6, 4), [(4,)]),
    "group_norm": (lambda x, w, b: functional.group_norm(x, 2, w, b), (3, 4, 5, 5), [(4,), (4,)]),
    "group_norm, no space": (lambda x, w, b: functional.group_norm(x, 2, w, b), (3, 4), [(4,), (4,)]),
    "batch_norm": (lambda x, w, b: functional.batch_norm(x, *running(4), w, b), (3, 4, 5), [(4,), (4,)]),
    "batch_norm, no space": (lambda x, w, b: functional.batch_norm(x, *running(4), w, b), (3, 4), [(4,), (4,)]),
    "instance_norm": (lambda x, w, b: functional.instance_norm(x, None, None, w, b), (3, 4, 5), [(4,), (4,)]),
    "instance_norm, running": (
        lambda x, w, b: functional.instance_norm(x, *running(4), w, b, use_input_stats=False),
        (3, 4, 5),
        [(4,), (4,)],
    ),
    "prelu": (functional.prelu, (3, 4, 5), [(4,)]),
    "prelu of one": (functional.prelu, (3, 4, 5), [(1,)]),
}


@pytest.mark.parametrize("name", NORMALISATION)
def test_normalisation(name: str) -> None:
    function, shape, shapes = NORMALISATION[name]
    check(function, draw(*shape), shapes, FIRST)


def test_instance_norm_leaves_running_statistics_alone_afterwards() -> None:
    mean, variance = running(4)

    def function(x: Tensor, w: Tensor) -> Tensor:
        return functional.instance_norm(x, mean, variance, w, None, use_input_stats=True, momentum=0.5)

    with Followed([weight := draw(4)]) as followed:
        out = function(draw(3, 4, 5), weight)
    before = mean.clone()
    followed.uses[0].form(FIRST, torch.ones_like(out), NUMBER)
    assert torch.equal(mean, before)


BROADCASTING = {
    "x + p": (lambda x, p: x + p, (3, 6, 4), [(4,)]),
    "p + x": (lambda x, p: p + x, (3, 6, 4), [(6, 4)]),
    "1 x T x d": (lambda x, p: x + p, (3, 6, 4), [(1, 6, 4)]),
    "C x 1": (lambda x, p: x * p, (3, 6, 4), [(6, 1)]),
    "a scalar": (lambda x, p: x * p, (3, 6, 4), [()]),
    "one entry": (lambda x, p: p * x, (3, 6, 4), [(1,)]),
    "both ways": (lambda x, p: x[:, :, :1] * p, (3, 6, 4), [(1, 1, 7)]),
    "x - p, alpha": (lambda x, p: torch.sub(x, p, alpha=3), (3, 4), [(4,)]),
    "p - x": (lambda x, p: p - x, (3, 4), [(4,)]),
    "x / p": (lambda x, p: x / (p), (3, 4), [(4,)]),
    "p / x": (lambda x, p: p / (2 + x.square()), (3, 4), [(4,)]),
    "power": (lambda x, p: (1 + x.square()) ** p, (3, 4), [(4,)]),
    "where": (lambda x, p: torch.where(x > 0, p, x), (3, 6, 4), [(4,)]),
    "maximum": (torch.maximum, (3, 6, 4), [(4,)]),
    "clamp": (lambda x, p: x.clamp(min=p), (3, 6, 4), [(4,)]),
    "addcmul": (lambda x, p, q: torch.addcmul(p, x, q, value=2), (3, 6, 4), [(4,), (6, 1)]),
    "lerp": (lambda x, p, q: torch.lerp(x, p, q), (3, 6, 4), [(4,), ()]),
    "in place": (lambda x, p: x.clone().add_(p), (3, 6, 4), [(4,)]),
    "in place, times": (lambda x, p: x.clone().mul_(p).mul_(2), (3, 6, 4), [(4,)]),
    "twice the same": (lambda x, p: torch.addcmul(x, p, p), (3, 6, 4), [(4,)]),
    "into a slice": (lambda x, p: torch.cat([x, x], 1) * written(x, p), (3, 6, 4), [(4,)]),
    "expand": (lambda x, p: torch.cat([p.expand(len(x), -1, -1), x], 1), (3, 6, 4), [(1, 2, 4)]),
    "expand_as": (lambda x, p: x.sin() * p.expand_as(x), (3, 6, 4), [(6, 1)]),
    "broadcast_to": (lambda x, p: torch.cat([torch.broadcast_to(p, (len(x), 1, 4)), x], 1), (3, 6, 4), [(4,)]),
    "repeat": (lambda x, p: torch.cat([p.repeat(len(x), 2, 1), x], 1), (3, 6, 4), [(1, 3, 4)]),
    "repeat, more axes": (lambda x, p: torch.cat([p.repeat(len(x), 1, 1), x], 1), (3, 6, 4), [(2, 4)]),
    "tile": (lambda x, p: x + p.tile((len(x), 2, 1)), (3, 6, 4), [(1, 3, 4)]),
}


def written(x: Tensor, p: Tensor) -> Tensor:
    whole = torch.zeros(len(x), 12, 4, dtype=x.dtype)
    whole[:, 1:3] = p
    return whole


@pytest.mark.parametrize("name", BROADCASTING)
def test_broadcasting(name: str) -> None:
    function, shape, shapes = BROADCASTING[name]
    check(function, draw(*shape), shapes, FIRST)


def test_repeated_along_merged_examples() -> None:
    check(merged(lambda x, p: x * p.repeat(len(x) // 6, 1)), draw(3, 6, 4), [(6, 4)], BATCH_MAJOR)


def test_entries_repeated_for_each_example() -> None:
    def function(x: Tensor, p: Tensor) -> Tensor:
        return torch.cat([p.repeat_interleave(len(x), 0), x], 1)

    check(function, draw(3, 6, 4), [(1, 3, 4)], SECOND)


def test_examples_second() -> None:
    check(second(lambda x, p: x * p), draw(3, 6, 4), [(6, 1, 4)], FIRST)


def test_a_scalar_does_not_widen_the_dtype() -> None:
    scale, x = draw(), draw(3, 4).half()
    with Followed([scale]):
        assert (x * scale).dtype == torch.float16


IDS = torch.tensor([[0, 2, 2, 4], [4, 4, 4, 4], [1, 3, 0, 2]])


def ids(x: Tensor) -> Tensor:
    """Hide indices in x, which the loop over the examples slices."""
    return x.round().long()


@pytest.mark.parametrize("padding", [None, 4, -1])
def test_embedding(padding: int | None) -> None:
    check(lambda x, w: functional.embedding(ids(x), w, padding), IDS.double(), [(5, 4)], FIRST)


def test_embedding_of_expanded_indices() -> None:
    check(
        lambda x, w: functional.embedding(ids(x[:, :1]).expand(-1, 6), w) * torch.arange(6.0)[:, None],
        IDS.double(),
        [(5, 4)],
        FIRST,
    )


@pytest.mark.parametrize("mode", ["sum", "mean"])
@pytest.mark.parametrize("padding", [None, 4, -1])
def test_embedding_bag(mode: str, padding: int | None) -> None:
    def bag(x: Tensor, w: Tensor) -> Tensor:
        return functional.embedding_bag(ids(x), w, mode=mode, padding_idx=padding)

    check(bag, IDS.double(), [(5, 4)], FIRST)
    check(lambda x, w: bag(x.flatten(0, 1), w), torch.stack([IDS, IDS.flip(0)], 1).double(), [(5, 4)], BATCH_MAJOR)


@pytest.mark.parametrize("shape", [(5, 4), (5,), (5, 2, 3)])
def test_parameter_indexed_by_numbers(shape: tuple[int, ...]) -> None:
    check(lambda x, w: w[ids(x)], IDS.double(), [shape], FIRST)
    check(lambda x, w: w[ids(x) - 5,], IDS.double(), [shape], FIRST)
    check(lambda x, w: w.index_select(0, ids(x).flatten()), IDS.double(), [shape], BATCH_MAJOR)


@pytest.mark.parametrize(
    "function",
    [
        lambda w: functional.embedding(IDS, w, max_norm=1.0),
        lambda w: functional.embedding(IDS, w, scale_grad_by_freq=True),
        lambda w: w[IDS, IDS],
        lambda w: functional.embedding_bag(IDS, w, mode="max"),
        lambda w: functional.embedding_bag(IDS.flatten(), w, torch.tensor([0, 4, 8])),
        lambda w: torch.einsum("bd,dd->bd", draw(3, 5), w),
        lambda w: torch.einsum("bd,kl->bdk", draw(3, 5), w),
        lambda w: w[draw(5, 5) > 0],
    ],
)
def test_what_a_rule_does_not_cover(function) -> None:
    with pytest.raises(Unsupported), Followed([draw(5, 5)]) as followed:
        function(followed.parameters[0])


def test_batch_norm_with_statistics_of_the_batch_is_refused() -> None:
    weight = draw(4)
    with pytest.raises(ModelError, match="statistics of the batch"), Followed([weight]):
        functional.batch_norm(draw(3, 4), *running(4), weight, training=True)
