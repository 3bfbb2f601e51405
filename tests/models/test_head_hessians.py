"""Head Hessians in closed form: against autograd, torch.func, enumeration and what rotations must leave."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional as F

from genbounds.models import head_hessians as module
from genbounds.models.blocks import Blocks
from genbounds.models.guards import ModelError
from genbounds.models.head_hessians import LOSSES, HeadFeatures, HeadHessian, frobenius_products

HEADS = [
    ("cross_entropy", 2),
    ("cross_entropy", 4),
    ("mse_loss", 1),
    ("mse_loss", 3),
    ("binary_cross_entropy_with_logits", 1),
    ("binary_cross_entropy_with_logits", 3),
]


def problem(seed, loss, outputs, bias, number=17, features=4, scale=1.0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(number, features, generator=generator, dtype=torch.float64)
    weight = scale * torch.randn(outputs, features, generator=generator, dtype=torch.float64)
    offset = torch.randn(outputs, generator=generator, dtype=torch.float64) if bias else None
    y = torch.randint(0, max(2, outputs), (number,), generator=generator)
    return x, y, weight, offset


def mean_loss(loss, x, y, shape, bias):
    """The mean loss as torch has it, of the weights with the bias as last column."""
    x = torch.cat([x, x.new_ones(len(x), 1)], dim=1) if bias else x
    if loss != "cross_entropy":
        y = F.one_hot(y, shape[0]).to(x) if shape[0] > 1 else y[:, None].to(x)
    return lambda flat: getattr(F, loss)(x @ flat.reshape(shape).T, y)


def build(seed, loss, outputs, bias, **sizes):
    x, y, weight, offset = problem(seed, loss, outputs, bias, **sizes)
    hessian = HeadHessian(list(zip(x.split(7), y.split(7), strict=True)), weight, offset, loss=loss)
    point = weight if offset is None else torch.cat([weight, offset[:, None]], dim=1)
    return hessian, mean_loss(loss, x, y, hessian.shape, bias), point.flatten()


@pytest.mark.filterwarnings("ignore:.torch.jit.script:DeprecationWarning")  # torch's own, when it loads forward mode
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(("loss", "outputs"), HEADS)
def test_against_torch(loss, outputs, bias):
    hessian, function, point = build(1, loss, outputs, bias)
    for truth in (torch.autograd.functional.hessian(function, point), torch.func.hessian(function)(point)):
        torch.testing.assert_close(hessian.dense(), truth, rtol=0, atol=1e-13)
        torch.testing.assert_close(hessian.diagonal.flatten(), truth.diagonal(), rtol=0, atol=1e-13)
        assert float(hessian.trace) == pytest.approx(float(truth.trace()), rel=1e-12)
        vector = torch.arange(1.0, len(point) + 1, dtype=torch.float64)
        product = hessian.product(vector.reshape(hessian.shape)).flatten()
        torch.testing.assert_close(product, truth @ vector, rtol=1e-12, atol=1e-13)
        assert float(hessian.pairwise(hessian)) == pytest.approx(float(truth.square().sum()), rel=1e-12)
    torch.testing.assert_close(hessian.gradient.flatten(), torch.func.grad(function)(point), rtol=0, atol=1e-14)


@pytest.mark.parametrize(("loss", "outputs"), HEADS)
def test_the_hessian_times_the_gradient_is_the_gradient_of_half_its_square(loss, outputs):
    hessian, function, point = build(2, loss, outputs, True)
    truth = torch.func.grad(lambda flat: torch.func.grad(function)(flat).square().sum() / 2)(point)
    torch.testing.assert_close(hessian.product(hessian.gradient).flatten(), truth, rtol=1e-12, atol=1e-14)


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.sampled_from(HEADS), st.booleans())
def test_products_by_either_route_and_what_holds_of_any(seed, head, bias):
    loss, outputs = head
    one, *_ = build(seed, loss, outputs, bias, number=5)
    other, *_ = build(seed + 1, loss, outputs, bias, number=9)
    a, b = one.dense(), other.dense()
    expected = [float((p * q).sum()) for p, q in ((a, a), (a, b), (b, b))]
    assert [float(one.pairwise(one)), float(one.pairwise(other)), float(other.pairwise(other))] == pytest.approx(
        expected, rel=1e-10, abs=1e-14
    )
    assert frobenius_products(one, other) == pytest.approx(expected, rel=1e-10, abs=1e-14)
    values = torch.linalg.eigvalsh(a)
    assert float(values[0]) >= -1e-13 * float(values[-1])
    if loss == "cross_entropy":  # the same vector added to all rows changes no probability
        shift = torch.ones(one.shape[0], 1, dtype=torch.float64) * torch.randn(one.shape[1], dtype=torch.float64)
        assert float(one.product(shift).norm()) <= 1e-13 * float(shift.norm()) * float(values[-1] + 1)


def test_both_routes_are_taken(monkeypatch):
    def refuse(*_):
        raise AssertionError

    wide, *_ = build(0, "cross_entropy", 4, True, number=3, features=30)
    long, *_ = build(0, "cross_entropy", 2, False, number=400, features=2)
    with monkeypatch.context() as patch:
        patch.setattr(HeadHessian, "slabs", refuse)
        frobenius_products(wide, wide)
    monkeypatch.setattr(HeadHessian, "pairwise", refuse)
    frobenius_products(long, long)


def test_rotations_of_features_and_permutations_of_classes_leave_the_spectrum():
    x, y, weight, _ = problem(3, "cross_entropy", 3, False, number=30)
    q, _ = torch.linalg.qr(torch.randn(4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))
    order = torch.tensor([2, 0, 1])
    plain = HeadHessian([(x, y)], weight)
    rotated = HeadHessian([(x @ q.T, y)], weight @ q.T)
    permuted = HeadHessian([(x, y)], weight[order])
    spectrum = torch.linalg.eigvalsh(plain.dense())
    for other in (rotated, permuted):
        torch.testing.assert_close(torch.linalg.eigvalsh(other.dense()), spectrum, rtol=0, atol=1e-13)
    torch.testing.assert_close(rotated.gradient, plain.gradient @ q.T, rtol=0, atol=1e-13)
    torch.testing.assert_close(permuted.diagonal, plain.diagonal[order], rtol=0, atol=1e-13)


def test_a_world_with_two_points():
    """Features +-mu with probability 1/2 each, no weights: H = (I - 11^T/C)/C (x) mu mu^T, whatever the sample."""
    mu, classes = torch.tensor([1.0, 2.0]), 4
    hessian = HeadHessian([(torch.stack([mu, -mu]), torch.tensor([0, 1]))], torch.zeros(classes, 2))
    outputs = (torch.eye(classes) - 1 / classes) / classes
    torch.testing.assert_close(hessian.dense(), torch.kron(outputs, torch.outer(mu, mu)).double())
    assert float(hessian.trace) == pytest.approx((classes - 1) / classes * 5)


def test_one_logit_and_two_are_the_same_classifier():
    """Cross-entropy of logits (-z/2, z/2) is logistic loss of z; weights move by a factor."""
    x, y, weight, _ = problem(4, "binary_cross_entropy_with_logits", 1, False)
    one = HeadHessian([(x, y)], weight, loss="binary_cross_entropy_with_logits")
    two = HeadHessian([(x, y)], torch.cat([-weight / 2, weight / 2]))
    torch.testing.assert_close(two.dense(), torch.kron(torch.tensor([[1.0, -1], [-1, 1]]).double(), one.dense()))


@pytest.mark.parametrize(("loss", "outputs"), HEADS)
def test_third_derivatives_stay_below_their_limit(loss, outputs):
    hessian, function, point = build(5, loss, outputs, True)
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        direction = torch.randn(len(point), dtype=torch.float64, generator=generator)
        direction /= direction.norm()
        start = point + 3 * torch.randn(len(point), dtype=torch.float64, generator=generator)

        def along(t, start=start, direction=direction):
            return function(start + t * direction)

        third = torch.func.grad(torch.func.grad(torch.func.grad(along)))(torch.zeros((), dtype=torch.float64))
        assert abs(float(third)) <= float(hessian.third_derivative) + 1e-12


@pytest.mark.parametrize(("loss", "outputs"), [("cross_entropy", 2), ("binary_cross_entropy_with_logits", 1)])
def test_the_limit_of_third_derivatives_is_reached(loss, outputs):
    """At p = 1/2 + 1/sqrt 12, along the difference of the two classes."""
    odds = math.log((0.5 + 12**-0.5) / (0.5 - 12**-0.5))
    weight = torch.tensor([[odds]] if outputs == 1 else [[odds / 2], [-odds / 2]], dtype=torch.float64)
    direction = torch.ones(1) if outputs == 1 else torch.tensor([0.5, -0.5]).sqrt().nan_to_num(-(0.5**0.5))
    x, y = torch.ones(1, 1, dtype=torch.float64), torch.zeros(1, dtype=torch.int64)
    hessian = HeadHessian([(x, y)], weight, loss=loss)
    function = mean_loss(loss, x, y, hessian.shape, False)

    def along(t):
        return function(weight.flatten() + t * direction.double())

    third = torch.func.grad(torch.func.grad(torch.func.grad(along)))(torch.zeros((), dtype=torch.float64))
    assert abs(float(third)) == pytest.approx(float(hessian.third_derivative), rel=1e-6)


def test_confident_outputs_in_single_precision():
    """Features of float32 are taken as they are, and everything after them is float64."""
    x, y, weight, _ = problem(6, "cross_entropy", 3, False, scale=20.0)
    low = HeadHessian([(x.float(), y)], weight.float())
    high = HeadHessian([(x.float().double(), y)], weight.float().double())
    assert low.dense().dtype == torch.float64
    assert torch.equal(low.dense(), high.dense())


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(6, 5), nn.Tanh())
        self.fc = nn.Linear(5, 3)
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        return self.fc(self.body(x))


@pytest.mark.parametrize("keep", [True, False])
def test_features_of_a_model(keep):
    torch.manual_seed(0)
    model = Net().eval()
    x, y = torch.randn(10, 2, 3), torch.arange(10) % 3
    features = HeadFeatures(model, "fc", Blocks((x, y), 4), keep=keep)
    for _ in range(3):
        read = list(features)
        assert torch.equal(torch.cat([f for f, _ in read]), torch.cat([model.body(part) for part in x.split(4)]))
        assert torch.equal(torch.cat([t for _, t in read]), y)
    assert model.calls == (3 if keep else 9)
    assert not model.fc._forward_pre_hooks
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())


def test_a_model_called_by_keyword():
    class Worded(Net):
        def forward(self, *, words, mask):
            return {"logits": super().forward(words * mask)}

    model = Worded().eval()
    words, mask = torch.randn(5, 2, 3), torch.ones(5, 2, 3)
    features = HeadFeatures(model, "fc", Blocks(({"words": words, "mask": mask}, torch.arange(5) % 3), 5))
    ((found, _),) = features
    assert torch.equal(found, model.body(words))


def test_refusals():
    x, y, weight, offset = problem(7, "cross_entropy", 3, True)
    with pytest.raises(ModelError, match="loss must be one of"):
        HeadHessian([(x, y)], weight, loss="hinge")
    with pytest.raises(ModelError, match="at least one, got none"):
        HeadHessian([], weight)
    with pytest.raises(ModelError, match=r"features must have shape \(examples, 4\), got \(17, 3\)"):
        HeadHessian([(x[:, :3], y)], weight, offset)
    with pytest.raises(ModelError, match="evaluation mode"):
        HeadFeatures(Net(), "fc", Blocks((x, y), 4))
    assert set(LOSSES) == {loss for loss, _ in HEADS}


@pytest.mark.parametrize(("loss", "outputs"), HEADS)
def test_everything_stays_on_one_device(loss, outputs, monkeypatch):
    monkeypatch.setattr(module, "_check_targets", lambda *_: None)  # it looks at values
    with FakeTensorMode(), torch.no_grad():
        weight, bias = torch.empty(outputs, 4, device="cuda"), torch.empty(outputs, device="cuda")
        kept_on_the_cpu = [(torch.empty(6, 4), torch.zeros(6, dtype=torch.int64))] * 2
        hessian = HeadHessian(kept_on_the_cpu, weight, bias, loss=loss)
        made = [hessian.gradient, hessian.diagonal, hessian.trace, hessian.product(weight.new_empty(outputs, 5))]
        made += [hessian.dense(), hessian.pairwise(hessian), hessian.third_derivative]
        assert {(value.device.type, value.dtype) for value in made} == {("cuda", torch.float64)}


def test_targets_of_another_head_are_refused():
    x, weight = torch.ones(2, 3), torch.zeros(2, 3)
    for loss in LOSSES:
        for targets in ([0, 2], [0, -100]):
            with pytest.raises(ModelError, match="targets must be classes from 0 to 1, got"):
                HeadHessian([(x, torch.tensor(targets))], weight, loss=loss)
    with pytest.raises(ModelError, match=r"one whole number for each example, got torch\.float32 of shape \(2, 2\)"):
        HeadHessian([(x, torch.full((2, 2), 0.5))], weight)
    for loss in ("mse_loss", "binary_cross_entropy_with_logits"):
        with pytest.raises(ModelError, match=r"or numbers of shape \(2, 2\), got torch\.float32 of shape \(2,\)"):
            HeadHessian([(x, torch.full((2,), 0.5))], weight, loss=loss)
    whole = HeadHessian([(x, torch.tensor([0, 1]))], weight).gradient
    assert HeadHessian([(x, torch.tensor([0, 1], dtype=torch.int32))], weight).gradient.equal(whole)
