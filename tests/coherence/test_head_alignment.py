"""Two data sets through one head: numbers against autograd, Lanczos against all eigenvalues, transfer attacked."""

import json
import math
import re
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from genbounds.coherence.curvature import head_alignment as module
from genbounds.coherence.curvature.head_alignment import compare_head_hessians, hessian_alignment
from genbounds.models.guards import ModelError
from genbounds.models.head_hessians import HeadHessian

LOSSES = ["cross_entropy", "mse_loss", "binary_cross_entropy_with_logits"]


def sample(seed, number=20, features=5, classes=3, shift=0.0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(number, features, generator=generator, dtype=torch.float64) + shift
    return x, torch.randint(0, classes, (number,), generator=generator)


def mean_loss(loss, head, data):
    """The mean loss of the flat weights and bias, by torch."""
    x, y = data
    x = torch.cat([x, x.new_ones(len(x), 1)], dim=1)
    y = y if loss == "cross_entropy" else F.one_hot(y, head.out_features).to(x)
    return lambda flat: getattr(F, loss)(x @ flat.reshape(head.out_features, -1).T, y)


def point(head):
    return torch.cat([head.weight, head.bias.unsqueeze(1)], dim=1).detach().flatten()


def linear(seed=0, classes=3, features=5):
    torch.manual_seed(seed)
    return nn.Linear(features, classes).double().eval()


@pytest.mark.parametrize("way", ["eigenvalues", "Lanczos"])
@pytest.mark.parametrize("loss", LOSSES)
def test_every_number_against_autograd(loss, way, monkeypatch):
    if way == "Lanczos":
        monkeypatch.setattr(module, "_DENSE", 0)
    head, a, b = linear(), sample(1), sample(2, number=31, shift=0.5)
    found = hessian_alignment(head, a, b, loss=loss, batch_size=7, tolerance=1e-10)
    functions = [mean_loss(loss, head, data) for data in (a, b)]
    h, k = (torch.autograd.functional.hessian(function, point(head)) for function in functions)
    g, q = (torch.func.grad(function)(point(head)) for function in functions)
    norm = float(torch.linalg.matrix_norm(h - k, 2))
    assert found.spectral_norm == pytest.approx(norm, rel=1e-9)
    assert norm * (1 - 1e-12) <= found.spectral_limit <= norm * (1 + 1e-6)
    assert found.frobenius_distance == pytest.approx(float((h - k).norm()), rel=1e-7)
    assert found.frobenius_cosine == pytest.approx(float((h * k).sum() / (h.norm() * k.norm())), rel=1e-12)
    assert found.frobenius_norms == pytest.approx((float(h.norm()), float(k.norm())), rel=1e-12)
    assert found.traces == pytest.approx((float(h.trace()), float(k.trace())), rel=1e-12)
    assert found.gradient_cosine == pytest.approx(float(F.cosine_similarity(g, q, dim=0)), rel=1e-10)
    assert found.gradient_distance == pytest.approx(float((g - q).norm()), rel=1e-12)
    assert found.gradient_norms == pytest.approx((float(g.norm()), float(q.norm())), rel=1e-12)
    assert (found.numbers, found.shape, found.converged) == ((20, 31), (3, 6), True)
    assert (found.delta == 0) == (way == "eigenvalues")


def test_lanczos_on_a_head_that_is_not_small(monkeypatch):
    a, b = sample(1, 60, 59, 8), sample(2, 60, 59, 8, shift=0.1)
    head = linear(0, 8, 59)
    exact = hessian_alignment(head, a, b)
    monkeypatch.setattr(module, "_DENSE", 100)
    found = hessian_alignment(head, a, b, tolerance=1e-7)
    assert found.spectral_norm == pytest.approx(exact.spectral_norm, rel=1e-9)
    assert exact.spectral_norm <= found.spectral_limit <= 1.03 * exact.spectral_norm
    assert found.residual <= 2e-7 * exact.spectral_norm
    assert found.converged
    assert "but for probability 1e-06" in str(found)
    short = hessian_alignment(head, a, b, max_steps=3)
    assert not short.converged
    assert short.spectral_norm <= exact.spectral_norm <= short.spectral_limit
    assert "NOT CONVERGED" in str(short)


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.sampled_from(LOSSES), st.floats(0.01, 30))
def test_no_move_of_the_head_goes_beyond_the_limit(seed, loss, radius):
    head, a, b = linear(seed), sample(seed + 1), sample(seed + 2, shift=0.3)
    found = hessian_alignment(head, a, b, loss=loss)
    first, second = (mean_loss(loss, head, data) for data in (a, b))
    here = point(head)
    moves = torch.randn(8, len(here), dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    g, q = (torch.func.grad(function)(here) for function in (first, second))
    for move in (*moves, g - q, q - g):
        move = move * radius / move.norm()
        change = (first(here + move) - first(here)) - (second(here + move) - second(here))
        assert abs(float(change)) <= found.transfer(radius) * (1 + 1e-12)


def test_the_limit_is_reached_for_squares_and_by_small_moves():
    """Along the gradients' difference at first order; for squares with equal gradients along the top eigenvector."""
    head, a, b = linear(), sample(1), sample(2, shift=0.3)
    found = hessian_alignment(head, a, b)
    first, second = (mean_loss("cross_entropy", head, data) for data in (a, b))
    here = point(head)
    apart = torch.func.grad(first)(here) - torch.func.grad(second)(here)
    move = 1e-6 * apart / apart.norm()
    change = (first(here + move) - first(here)) - (second(here + move) - second(here))
    assert float(change) == pytest.approx(found.transfer(1e-6), rel=1e-4)

    x, zero = sample(3)[0], nn.Linear(5, 1, bias=False).double().eval()
    zero.weight.data.zero_()
    targets = torch.zeros(len(x), 1, dtype=torch.float64)
    squares = hessian_alignment(zero, (x, targets), (0.5 * x, targets), loss="mse_loss")
    top = torch.linalg.eigh(2 * 0.75 * x.T @ x / len(x)).eigenvectors[:, -1]
    assert squares.gradient_distance == 0
    moved = float((x @ top).square().mean() - (0.5 * x @ top).square().mean())
    assert squares.transfer(1.0) == pytest.approx(moved, rel=1e-9)


def test_a_limit_without_its_third_term_is_broken():
    """The test above would catch it: far moves leave a limit of second order behind."""
    x, y = torch.tensor([[1.0]], dtype=torch.float64), torch.zeros(1, dtype=torch.int64)
    head = nn.Linear(1, 2, bias=False).double().eval()
    head.weight.data = torch.tensor([[-2.0], [2.0]], dtype=torch.float64)
    found = hessian_alignment(head, (x, y), (0 * x, y))
    first, here = lambda w: float(F.cross_entropy(x @ w.T, y)), head.weight.detach()
    move = torch.tensor([[1.0], [-1.0]], dtype=torch.float64)
    radius = float(move.norm())
    slope = torch.func.grad(lambda w: F.cross_entropy(x @ w.T, y))(here)
    remainder = first(here + move) - first(here) - float((slope * move).sum())
    assert abs(remainder) > radius**2 * found.spectral_limit / 2
    assert abs(first(here + move) - first(here)) <= found.transfer(radius)


def test_the_same_data_twice_and_undefined_cosines():
    head, a = linear(), sample(1)
    same = hessian_alignment(head, a, a)
    assert (same.spectral_norm, same.frobenius_distance, same.gradient_distance) == (0, 0, 0)
    assert same.frobenius_cosine == pytest.approx(1)
    assert same.gradient_cosine == pytest.approx(1)
    bare = nn.Linear(5, 3, bias=False).double().eval()
    nothing = hessian_alignment(bare, a, (0 * a[0], a[1]))
    assert nothing.frobenius_cosine is None
    assert nothing.gradient_cosine is None
    assert "cosine undefined" in str(nothing)
    assert json.loads(json.dumps(nothing.to_json()))["frobenius_cosine"] is None


def test_rotations_of_features_and_permutations_of_classes_change_nothing():
    head, a, b = linear(), sample(1), sample(2, shift=0.4)
    plain = hessian_alignment(head, a, b)
    q, _ = torch.linalg.qr(torch.randn(5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))
    order = torch.tensor([1, 2, 0])
    rotated, permuted = linear(), linear()
    rotated.weight.data @= q.T
    permuted.weight.data, permuted.bias.data = permuted.weight.data[order], permuted.bias.data[order]
    new = order.argsort()
    for other in (
        hessian_alignment(rotated, *((x @ q.T, y) for x, y in (a, b))),
        hessian_alignment(permuted, *((x, new[y]) for x, y in (a, b))),
    ):
        for name in ("spectral_norm", "frobenius_cosine", "gradient_cosine", "gradient_distance"):
            assert getattr(other, name) == pytest.approx(getattr(plain, name), rel=1e-10)


class Wrapped(nn.Module):
    """A network of images that returns its logits in a dictionary, if asked to."""

    def __init__(self, wrap):
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 6), nn.Tanh())
        self.classifier, self.wrap = nn.Linear(6, 3), wrap

    def forward(self, images):
        logits = self.classifier(self.body(images))
        return {"logits": logits} if self.wrap else logits


@pytest.mark.parametrize("keep", [True, False])
def test_a_network_its_head_found_or_named(keep, monkeypatch):
    monkeypatch.setattr(module, "_DENSE", 0)
    generator = torch.Generator().manual_seed(0)
    a, b = ((torch.randn(n, 1, 4, 4, generator=generator), torch.arange(n) % 3) for n in (9, 14))
    model = Wrapped(False).eval()
    found = hessian_alignment(model, a, b, batch_size=4, keep_features=keep)
    direct = compare_head_hessians(
        *(HeadHessian([(model.body(x).detach(), y)], model.classifier.weight, model.classifier.bias) for x, y in (a, b))
    )
    assert found.spectral_norm == pytest.approx(direct.spectral_norm, rel=1e-6)
    assert found.frobenius_cosine == pytest.approx(direct.frobenius_cosine, rel=1e-6)
    named = hessian_alignment(Wrapped(True).eval(), a, b, head="classifier", batch_size=4, keep_features=keep)
    assert named == found
    worded = hessian_alignment(
        Wrapped(True).eval(), *(({"images": x}, y) for x, y in (a, b)), head="classifier", batch_size=4
    )
    assert worded.spectral_norm == pytest.approx(found.spectral_norm, rel=1e-12)
    assert all(value.grad is None for value in model.parameters())


@pytest.mark.parametrize("scale", [34.0, 36.0, 37.0, 38.0, 60.0])
@pytest.mark.parametrize("way", ["eigenvalues", "Lanczos"])
def test_the_limit_holds_where_probabilities_round_to_one(scale, way, monkeypatch):
    """p (1 - p) is then rounding, and so is the difference of the Hessians; two classes, whose Hessian is known."""
    if way == "Lanczos":
        monkeypatch.setattr(module, "_DENSE", 0)
    weight = torch.tensor([[scale, 0.0], [0.0, 0.0]], dtype=torch.float64)
    features = [torch.tensor([[1.0, 0.5]], dtype=torch.float64), torch.tensor([[0.99, 0.5]], dtype=torch.float64)]
    found = compare_head_hessians(*(HeadHessian([(x, torch.tensor([0]))], weight) for x in features))
    curvatures = [1 / (2 + 2 * math.cosh(scale * float(x[0, 0]))) for x in features]
    # The eigenvalues of [[w, -w], [-w, w]] are 0 and 2 w.
    difference = sum(sign * 2 * w * x.T @ x for sign, w, x in zip((1, -1), curvatures, features, strict=True))
    assert float(torch.linalg.matrix_norm(difference, 2)) <= found.spectral_limit < 1e-13


@pytest.mark.parametrize("limit", [0.123441, 0.12344000001, 9.9991e-7, 99999.5, 1.0])
def test_a_printed_limit_is_never_below_the_limit(limit):
    head, a, b = linear(), sample(1), sample(2)
    found = replace(hessian_alignment(head, a, b), spectral_limit=limit)
    shown = float(re.search(r"at most ([0-9.e+-]+), by all 18 eigenvalues", str(found))[1])
    assert limit <= shown <= limit * 1.001
    found = replace(found, delta=1e-6)
    shown = float(re.search(r"at most ([0-9.e+-]+) but for probability 1e-06", str(found))[1])
    assert limit <= shown <= limit * 1.001
    assert "at most inf" in str(replace(found, spectral_limit=math.inf))


@pytest.mark.parametrize("size", [0.5, 1.0, 2.0])
def test_the_transfer_limit_is_reached(size):
    """Gradients agree, Hessians nearly, and third derivatives are the largest there are, of opposite signs."""
    steepest = math.log(2 + math.sqrt(3))  # where the third derivative of log(1 + exp z) is largest
    c, z = 1e-4, torch.tensor([steepest, -steepest], dtype=torch.float64)
    x = size * torch.tensor([[1.0, 0.0], [1.0, c]], dtype=torch.float64)
    weight = torch.tensor([[steepest / size, -2 * steepest / (size * c)]], dtype=torch.float64)
    targets = z.sigmoid().reshape(2, 1, 1)
    sets = [(row.unsqueeze(0), target) for row, target in zip(x, targets, strict=True)]
    loss = "binary_cross_entropy_with_logits"
    found = compare_head_hessians(*(HeadHessian([data], weight, loss=loss) for data in sets))
    radius = 0.2 / size

    def change(data):
        moved = weight + radius * torch.tensor([[1.0, 0.0]], dtype=torch.float64)
        return float(getattr(F, loss)(data[0] @ moved.T, data[1]) - getattr(F, loss)(data[0] @ weight.T, data[1]))

    true = abs(change(sets[0]) - change(sets[1]))
    assert true <= found.transfer(radius) <= 1.05 * true


def test_tiny_hessians_have_a_cosine():
    x, y = torch.ones(1, 2, dtype=torch.float64), torch.tensor([0])
    tiny = HeadHessian([(1e-50 * x, y)], torch.zeros(2, 2, dtype=torch.float64))
    assert compare_head_hessians(tiny, tiny).frobenius_cosine == pytest.approx(1.0)


def test_refusals():
    head, a, b = linear(), sample(1), sample(2)
    with pytest.raises(ModelError, match="evaluation mode"):
        hessian_alignment(Wrapped(False), (torch.randn(4, 1, 4, 4), torch.arange(4) % 3), a)
    with pytest.raises(ModelError, match=r"must end in one nn\.Linear"):
        hessian_alignment(nn.Sequential(head, nn.Softmax(1)).eval(), a, b)
    with pytest.raises(ModelError, match="head must be named"):
        hessian_alignment(head, ({"input": a[0]}, a[1]), b)
    with pytest.raises(ModelError, match=r"name of an nn\.Linear, got '1': a Tanh"):
        hessian_alignment(nn.Sequential(head, nn.Tanh()).eval(), a, b, head="1")
    with pytest.raises(ModelError, match="got 'classifier': none of that name"):
        hessian_alignment(head, a, b, head="classifier")
    broken = linear()
    broken.weight.data[0, 0] = math.nan
    with pytest.raises(ModelError, match="must be finite, got NaN"):
        hessian_alignment(broken, a, b)
    one, other = HeadHessian([a], head.weight), HeadHessian([b], head.weight, loss="mse_loss")
    with pytest.raises(ModelError, match="of one head and loss"):
        compare_head_hessians(one, other)
    with pytest.raises(ValueError, match="radius must be non-negative"):
        hessian_alignment(head, a, b).transfer(-1.0)
    assert math.isfinite(hessian_alignment(head, a, b).transfer(1e3))
