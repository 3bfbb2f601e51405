"""Gradients through views: every answer against the gradients written out and put in their places by autograd."""

import pytest
import torch
from torch import Tensor

from genbounds.models.per_example.calls import Call
from genbounds.models.per_example.factored.gradients import DenseGradients, ExampleGradients
from genbounds.models.per_example.factored.outer_products import OuterGradients
from genbounds.models.per_example.factored.sums import SumOfGradients
from genbounds.models.per_example.factored.views import MadeGradients, ViewGradients, view_pull

SHAPE = torch.Size((6, 4))


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed + sum(shape)))


def through(function, values: Tensor, shape: torch.Size = SHAPE) -> Tensor:
    """Pull rows of gradients back by autograd."""
    whole = draw(*shape).requires_grad_()
    seen = function(whole)
    rows = [torch.autograd.grad(seen, whole, value, retain_graph=True)[0] for value in values]
    return torch.stack(rows)


def call_of(function) -> Call:
    """Return the call that a function makes of a tensor."""
    seen = []

    class Seen(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            seen.append(Call(func, args, kwargs or {}, lambda value: False, lambda f, *a, **k: f(*a, **k)))
            return func(*args, **(kwargs or {}))

    whole = draw(*SHAPE)
    with Seen():
        function(whole)
    return seen[0]


VIEWS = {
    "t": lambda w: w.t(),
    "T": lambda w: w.T,
    "mT": lambda w: w.mT,
    "transpose": lambda w: torch.transpose(w, 0, 1),
    "permute": lambda w: w.permute(1, 0),
    "view": lambda w: w.view(4, 6),
    "reshape": lambda w: w.reshape(2, 3, 4),
    "flatten": lambda w: w.flatten(),
    "unflatten": lambda w: w.unflatten(0, (2, 3)),
    "unsqueeze": lambda w: w.unsqueeze(1),
    "a row": lambda w: w[2],
    "rows": lambda w: w[1:3],
    "columns": lambda w: w[:, 1:3],
    "every other": lambda w: w[::2, ..., None],
    "an entry": lambda w: w[1, 2],
    "narrow": lambda w: w.narrow(1, 1, 2),
    "select": lambda w: w.select(0, 1),
    "contiguous": lambda w: w.contiguous(),
    "clone": lambda w: w.clone(),
    "copied on the way": lambda w: w.t().reshape(-1),
}


def agree(found: ExampleGradients, rows: Tensor) -> None:
    """Compare all answers with those of the gradients written out."""
    number = len(rows)
    flat, vector, weights = rows.flatten(1), draw(*rows.shape[1:], seed=3), draw(2, number, seed=4)
    other = DenseGradients(draw(*rows.shape, seed=5))
    assert len(found) == number
    assert found.shape == rows.shape[1:]
    torch.testing.assert_close(found.dense(slice(1, number)), rows[1:])
    torch.testing.assert_close(found.squared_norms(), flat.square().sum(1))
    squared, total = found.norms_and_total()
    torch.testing.assert_close(squared, flat.square().sum(1))
    torch.testing.assert_close(total, rows.sum(0))
    torch.testing.assert_close(found.dots(vector), flat @ vector.flatten())
    torch.testing.assert_close(found.weighted_total(weights), (weights @ flat).reshape(2, *rows.shape[1:]))
    torch.testing.assert_close(found.weighted_total(weights[0]), (weights[0] @ flat).reshape(rows.shape[1:]))
    torch.testing.assert_close(found.squares_total(), rows.square().sum(0))
    torch.testing.assert_close(found.inner(found), flat @ flat.T)
    torch.testing.assert_close(found.inner(other), flat @ other.values.flatten(1).T)
    torch.testing.assert_close(found.cross(other), (flat * other.values.flatten(1)).sum(1))
    torch.testing.assert_close(found.cross(found), flat.square().sum(1))


@pytest.mark.parametrize("name", VIEWS)
def test_a_view_of_a_parameter(name: str) -> None:
    view = VIEWS[name]
    values = draw(5, *view(draw(*SHAPE)).shape)
    truth = through(view, values)
    if name != "copied on the way":
        agree(view_pull(call_of(view))(DenseGradients(values)), truth)
    agree(ViewGradients(DenseGradients(values), view, SHAPE), truth)


@pytest.mark.parametrize("split", [lambda w: w.chunk(3), lambda w: w.split([2, 1, 3]), lambda w: w.unbind()])
def test_pieces_of_a_parameter_have_nothing_in_common(split) -> None:
    call, pieces = call_of(split), split(draw(*SHAPE))
    parts = [draw(5, *piece.shape, seed=k) for k, piece in enumerate(pieces)]
    found = [view_pull(call, k)(DenseGradients(part)) for k, part in enumerate(parts)]
    assert all(one.is_disjoint_from(other) for one in found for other in found if one is not other)
    assert not found[0].is_disjoint_from(found[0])
    together = SumOfGradients(found)
    assert together.route != "materialise"
    agree(together, sum(through(lambda w, k=k: split(w)[k], part) for k, part in enumerate(parts)))


def test_overlapping_slices_are_written_out() -> None:
    parts = [DenseGradients(draw(5, 4, 4, seed=k)) for k in range(2)]
    views = [lambda w: w[:4], lambda w: w[2:]]
    one, other = (ViewGradients(part, view, SHAPE) for part, view in zip(parts, views, strict=True))
    assert not one.is_disjoint_from(other)
    together = SumOfGradients([one, other])
    agree(together, sum(through(view, part.values) for part, view in zip(parts, views, strict=True)))


def test_interleaved_slices_have_nothing_in_common() -> None:
    parts = [
        ViewGradients(DenseGradients(draw(5, 3, 4)), view, SHAPE) for view in (lambda w: w[::2], lambda w: w[1::2])
    ]
    assert parts[0].is_disjoint_from(parts[1])


def test_simplest_form() -> None:
    outer = OuterGradients(draw(5, 1, 3, 6), draw(5, 1, 3, 4), torch.Size((4, 6)))
    swapped = view_pull(call_of(lambda w: w.t()))(outer)
    assert isinstance(swapped, OuterGradients)
    agree(swapped, outer.dense(slice(0, 5)).mT)
    dense = DenseGradients(draw(5, *SHAPE))
    for same in (
        torch.clone,
        lambda w: w.view(6, 4),
        lambda w: w[:],
        Tensor.float,
        lambda w: w.to(w),
        lambda w: w.type_as(w),
    ):
        assert view_pull(call_of(same))(dense) is dense


@pytest.mark.parametrize(
    "function",
    [
        lambda w: w.exp(),
        lambda w: w[torch.tensor([0, 0])],
        lambda w: w[w > 0],
        lambda w: w.to("cpu"),
        lambda w: torch.cat([w, w]),
    ],
)
def test_what_is_no_view(function) -> None:
    assert view_pull(call_of(function)) is None


def test_made_of_a_parameter() -> None:
    leaf = draw(*SHAPE).requires_grad_()
    made = leaf.softmax(dim=0) @ leaf.T
    values = draw(5, 6, 6)
    agree(MadeGradients(DenseGradients(values), made, leaf), through(lambda w: w.softmax(dim=0) @ w.T, values))
