import copy
import math

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from genbounds.coherence.robust_descent import RollingMedian, median_gradients, median_of_three
from genbounds.models.guards import ModelError
from genbounds.models.randomness import stream

VALUES = st.floats(-1e30, 1e30) | st.sampled_from([math.inf, -math.inf, 0.0, -0.0])


def network(dtype=torch.float64):
    layers = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 3)).to(dtype)
    generator = stream(0, "test network")
    for value in layers.parameters():
        value.data.copy_(torch.randn(value.shape, generator=generator, dtype=dtype) / 2)
    return layers


def batch(number=14, seed=0, dtype=torch.float64):
    generator = stream(seed, "test batch")
    return torch.randn(number, 5, generator=generator, dtype=dtype), torch.randint(3, (number,), generator=generator)


def thirds(number):
    """The first, middle and last third of a batch."""
    return [slice(number * j // 3, number * (j + 1) // 3) for j in range(3)]


def gradients(model):
    return [value.grad.clone() for value in model.parameters()]


class TestMedianOfThree:
    @settings(deadline=None, max_examples=60)
    @given(arrays(np.float64, (3, 11), elements=VALUES))
    def test_numpy_sorts_it_into_the_middle(self, three):
        assert np.array_equal(median_of_three(*map(torch.from_numpy, three)).numpy(), np.sort(three, axis=0)[1])

    @pytest.mark.parametrize("place", range(3))
    def test_nan_stays(self, place):
        three = [torch.tensor([1.0, 2.0]) for _ in range(3)]
        three[place] = torch.tensor([torch.nan, 2.0])
        assert median_of_three(*three).isnan().tolist() == [True, False]

    def test_variance_for_gaussians(self):
        density = lambda x: mpmath.npdf(x) * mpmath.ncdf(x) * (1 - mpmath.ncdf(x)) * 6 * x**2  # noqa: E731
        exact = mpmath.quad(density, [-mpmath.inf, 0, mpmath.inf])
        assert abs(exact - (1 - mpmath.sqrt(3) / mpmath.pi)) < 1e-12
        three = torch.randn(3, 400_000, generator=stream(1, "variance"), dtype=torch.float64)
        drawn = median_of_three(*three)
        # The fourth moment is at most that of a normal, 3 s^4, so that two standard errors are below 0.45 sqrt(8 / n).
        assert abs(float(drawn.var()) - float(exact)) < 0.45 * math.sqrt(8 / 400_000)
        assert abs(float(torch.stack(list(three)).mean(0).var()) - 1 / 3) < 0.003


class TestM3:
    def test_every_part_by_itself(self):
        model, (x, y) = network(), batch(14)
        told = median_gradients(model, F.cross_entropy, x, y)
        parts = [
            torch.autograd.grad(F.cross_entropy(model(x[part]), y[part]), list(model.parameters()))
            for part in thirds(14)
        ]
        for own, three in zip(gradients(model), zip(*parts, strict=True), strict=True):
            assert torch.equal(own, torch.stack(three).median(dim=0).values)
        assert float(told) == pytest.approx(F.cross_entropy(model(x), y).item(), rel=1e-12)
        assert not told.requires_grad

    def test_equal_parts_give_the_plain_gradient(self):
        model, (x, y) = network(), batch(4)
        median_gradients(model, F.cross_entropy, x.repeat(3, 1), y.repeat(3))
        ours = gradients(model)
        model.zero_grad()
        F.cross_entropy(model(x), y).backward()
        for own, plain in zip(ours, gradients(model), strict=True):
            torch.testing.assert_close(own, plain, rtol=1e-12, atol=1e-14)

    def test_order_within_parts_and_of_parts_does_not_matter(self):
        model, (x, y) = network(), batch(12)
        median_gradients(model, F.cross_entropy, x, y)
        ours = gradients(model)
        rows = torch.arange(12).reshape(3, 4)[torch.tensor([1, 2, 0])][:, torch.tensor([2, 0, 3, 1])].flatten()
        model.zero_grad()
        median_gradients(model, F.cross_entropy, x[rows], y[rows])
        for own, other in zip(ours, gradients(model), strict=True):
            torch.testing.assert_close(own, other, rtol=1e-12, atol=1e-14)

    @pytest.mark.parametrize("size", [1e3, 1e6, 1e9])
    def test_one_corrupted_example_moves_it_boundedly_and_the_mean_without_bound(self, size):
        model, (x, y) = nn.Linear(5, 1).double(), batch(9)
        targets = y.double().unsqueeze(1)
        targets[4] = size
        median_gradients(model, F.mse_loss, x, targets)
        moved = gradients(model)
        honest = [
            torch.autograd.grad(F.mse_loss(model(x[part]), targets[part]), list(model.parameters()))
            for part in thirds(9)[::2]
        ]
        for own, one, other in zip(moved, *honest, strict=True):
            assert torch.all(own >= torch.minimum(one, other))
            assert torch.all(own <= torch.maximum(one, other))
        model.zero_grad()
        F.mse_loss(model(x), targets).backward()
        assert float(model.weight.grad.norm()) > size / 20

    def test_it_adds_as_backward_does(self):
        model, (x, y) = network(), batch()
        median_gradients(model, F.cross_entropy, x, y)
        once = gradients(model)
        median_gradients(model, F.cross_entropy, x, y)
        for own, twice in zip(once, gradients(model), strict=True):
            assert torch.equal(own + own, twice)

    def test_mappings_and_what_a_part_does_not_use(self):
        class Gated(nn.Module):
            def __init__(self):
                super().__init__()
                self.plain, self.rare, self.never = nn.Linear(5, 3), nn.Linear(5, 3), nn.Linear(5, 3)

            def forward(self, x, gate):
                return self.plain(x) + (self.rare(x) if bool(gate.any()) else 0.0)

        model, (x, y) = Gated().double(), batch(9)
        gate = torch.zeros(9, dtype=torch.bool)
        gate[1] = True
        median_gradients(model, F.cross_entropy, {"x": x, "gate": gate}, y)
        assert model.never.weight.grad is None
        # Two of the three parts do not use it: their gradients are 0, and so is the median.
        assert torch.equal(model.rare.weight.grad, torch.zeros_like(model.rare.weight))
        assert model.plain.weight.grad.abs().sum() > 0

    def test_a_scaled_loss_scales_the_median(self):
        model, (x, y) = network(), batch()
        median_gradients(model, F.cross_entropy, x, y)
        plain = gradients(model)
        model.zero_grad()
        median_gradients(model, lambda outputs, targets: 1024.0 * F.cross_entropy(outputs, targets), x, y)
        assert all(torch.equal(1024.0 * own, scaled) for own, scaled in zip(plain, gradients(model), strict=True))

    def test_after_an_error_gradients_are_as_they_were(self):
        model, (x, y) = network(), batch()
        F.cross_entropy(model(x), y).backward()
        before = gradients(model)

        def fails(outputs, targets):
            if not torch.equal(targets, y[thirds(14)[0]]):
                raise RuntimeError("second part")
            return F.cross_entropy(outputs, targets)

        with pytest.raises(RuntimeError, match="second part"):
            median_gradients(model, fails, x, y)
        assert all(torch.equal(one, other) for one, other in zip(before, gradients(model), strict=True))

    def test_refusals(self):
        model, (x, y) = network(), batch(2)
        with pytest.raises(ValueError, match="at least 3 examples, got 2"):
            median_gradients(model, F.cross_entropy, x, y)
        sparse = nn.Sequential(nn.Embedding(4, 3, sparse=True))
        with pytest.raises(ModelError, match=r"sparse one of '0\.weight'"):
            median_gradients(sparse, F.cross_entropy, torch.tensor([0, 1, 2]), torch.tensor([0, 1, 2]))

    @pytest.mark.parametrize("view", [True, False])
    def test_buffers_of_distributed_training_are_written_again(self, view):
        torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
        try:
            (x, y), alone, model = batch(), network(), network()
            wrapped = DistributedDataParallel(model, gradient_as_bucket_view=view)
            for each, called in ((alone, alone), (model, wrapped)):
                optimizer = torch.optim.SGD(each.parameters(), lr=0.1)
                RollingMedian(optimizer)
                for step in range(6):
                    optimizer.zero_grad()
                    if step % 2:
                        F.cross_entropy(called(x * step), y).backward()
                    else:
                        median_gradients(called, F.cross_entropy, x * step, y)
                    optimizer.step()
        finally:
            torch.distributed.destroy_process_group()
        assert all(torch.equal(a, b) for a, b in zip(alone.parameters(), model.parameters(), strict=True))

    def test_everything_stays_on_the_device(self):
        # Tensors on "meta" have a device and no values: what looks at a value, or mixes devices, fails.
        model = nn.Linear(5, 3, device="meta", dtype=torch.bfloat16)
        x, y = torch.ones(6, 5, device="meta", dtype=torch.bfloat16), torch.zeros(6, device="meta", dtype=torch.int64)
        assert median_gradients(model, F.cross_entropy, x, y).device.type == "meta"
        assert (model.weight.grad.device.type, model.weight.grad.dtype) == ("meta", torch.bfloat16)


OPTIMIZERS = {
    "sgd": lambda model: torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True),
    "adamw": lambda model: torch.optim.AdamW(model.parameters(), lr=0.01),
    "fused": lambda model: torch.optim.Adam(model.parameters(), lr=0.01, fused=True),
    "adagrad": lambda model: torch.optim.Adagrad(
        [{"params": model[0].parameters(), "lr": 0.2}, {"params": model[2].parameters()}], lr=0.1
    ),
}


def train(model, optimizer, steps, scheduler=None):
    for step in steps:
        x, y = batch(6, seed=step)
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
        if scheduler is not None:
            scheduler.step()


class TestRM3:
    @pytest.mark.parametrize("build", OPTIMIZERS.values(), ids=OPTIMIZERS)
    def test_it_is_the_optimizer_fed_with_medians(self, build):
        ours, theirs = network(), network()
        optimizer, plain = build(ours), build(theirs)
        RollingMedian(optimizer)
        taken = []
        for step in range(8):
            train(ours, optimizer, [step])
            x, y = batch(6, seed=step)
            taken.append(torch.autograd.grad(F.cross_entropy(theirs(x), y), list(theirs.parameters())))
            window = [taken[max(0, step - back)] for back in range(3)] if step > 1 else [taken[0], taken[0], taken[-1]]
            for place, value in enumerate(theirs.parameters()):
                value.grad = torch.stack([each[place] for each in window]).median(dim=0).values
            plain.step()
            assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))

    def test_equal_gradients_change_nothing(self):
        ours, theirs = network(), network()
        weights = [torch.randn(value.shape, generator=stream(0, "constant")).double() for value in ours.parameters()]
        optimizers = [torch.optim.Adam(each.parameters(), lr=0.1) for each in (ours, theirs)]
        RollingMedian(optimizers[0])
        for _ in range(5):
            for model, optimizer in zip((ours, theirs), optimizers, strict=True):
                for value, gradient in zip(model.parameters(), weights, strict=True):
                    value.grad = gradient.clone()
                optimizer.step()
        assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))

    @pytest.mark.parametrize("build", OPTIMIZERS.values(), ids=OPTIMIZERS)
    @pytest.mark.parametrize("stop", [1, 2, 5])
    def test_a_resumed_run_goes_on_with_the_identical_weights(self, build, stop, tmp_path):
        whole = network()
        optimizer = build(whole)
        RollingMedian(optimizer)
        train(whole, optimizer, range(stop))
        torch.save({"model": whole.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "run.pt")
        train(whole, optimizer, range(stop, 9))

        saved = torch.load(tmp_path / "run.pt", weights_only=True)
        resumed = network()
        resumed.load_state_dict(saved["model"])
        again = build(resumed)
        RollingMedian(again)
        again.load_state_dict(saved["optimizer"])
        train(resumed, again, range(stop, 9))
        assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), resumed.parameters(), strict=True))

        forgetful = network()
        forgetful.load_state_dict(saved["model"])
        plain = build(forgetful)
        plain.load_state_dict(saved["optimizer"])  # a plain optimizer passes the two gradients over
        RollingMedian(plain)
        train(forgetful, plain, range(stop, 9))
        if stop > 1:
            assert not all(torch.equal(a, b) for a, b in zip(whole.parameters(), forgetful.parameters(), strict=True))

    def test_what_was_saved_does_not_change_later(self):
        model = network()
        optimizer = OPTIMIZERS["sgd"](model)
        RollingMedian(optimizer)
        train(model, optimizer, range(4))
        kept = optimizer.state_dict()["rolling_median"]
        copied = copy.deepcopy(kept)
        train(model, optimizer, range(4, 8))
        assert all(torch.equal(a, b) for place in kept for a, b in zip(kept[place], copied[place], strict=True))

    def test_schedules_reach_the_step(self):
        model = network()
        optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
        RollingMedian(optimizer)
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)
        train(model, optimizer, range(3), scheduler)
        before = [value.detach().clone() for value in model.parameters()]
        train(model, optimizer, [3])
        for value, old in zip(model.parameters(), before, strict=True):
            torch.testing.assert_close(old - value, 0.125 * value.grad, rtol=1e-9, atol=1e-12)

    @pytest.mark.parametrize("keyword", [True, False])
    def test_a_closure_is_evaluated_once(self, keyword):
        ours, theirs = network(), network()
        optimizer, plain = (torch.optim.SGD(each.parameters(), lr=0.1) for each in (ours, theirs))
        RollingMedian(optimizer)
        RollingMedian(plain)
        for step in range(5):
            x, y = batch(6, seed=step)
            called = []

            def closure(x=x, y=y, called=called):
                called.append(1)
                optimizer.zero_grad()
                loss = F.cross_entropy(ours(x), y)
                loss.backward()
                return loss

            loss = optimizer.step(closure=closure) if keyword else optimizer.step(closure)
            assert len(called) == 1
            assert torch.equal(loss, F.cross_entropy(theirs(x), y))
            train(theirs, plain, [step])
        assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))

    def test_line_searches_are_refused(self):
        model, (x, y) = network(), batch()
        optimizer = torch.optim.LBFGS(model.parameters())
        RollingMedian(optimizer)

        def closure():
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            return loss

        with pytest.raises(ValueError, match="evaluate its closure once"):
            optimizer.step(closure)

    def test_gradient_scaling(self):
        ours, theirs = network(torch.float32), network(torch.float32)
        optimizer, plain = (torch.optim.SGD(each.parameters(), lr=0.1) for each in (ours, theirs))
        RollingMedian(optimizer)
        RollingMedian(plain)
        scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, growth_interval=2)
        for step in range(6):
            x, y = batch(6, seed=step, dtype=torch.float32)
            optimizer.zero_grad()
            scaler.scale(F.cross_entropy(ours(x), y)).backward()
            if step == 2:
                next(ours.parameters()).grad[0] = torch.inf
            scaler.step(optimizer)
            scaler.update()
            if step != 2:  # a step that is left out is in no window either
                plain.zero_grad()
                F.cross_entropy(theirs(x), y).backward()
                plain.step()
        assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))

    def test_scales_that_the_optimizer_takes_away_are_refused(self):
        model, (x, y) = network(torch.float32), batch(dtype=torch.float32)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, fused=True)
        RollingMedian(optimizer)
        scaler = torch.amp.GradScaler("cpu")
        scaler.scale(F.cross_entropy(model(x), y)).backward()
        with pytest.raises(ValueError, match="fused=False"):
            scaler.step(optimizer)

    def test_parameters_without_a_gradient_keep_their_window(self):
        first, second = (torch.zeros(1, requires_grad=True) for _ in range(2))
        optimizer = torch.optim.SGD([first], lr=1.0)
        RollingMedian(optimizer)
        optimizer.add_param_group({"params": [second], "lr": 2.0})
        for one, other in ((1.0, 5.0), (2.0, None), (3.0, 7.0), (4.0, 6.0)):
            first.grad = torch.tensor([one])
            second.grad = None if other is None else torch.tensor([other])
            optimizer.step()
        assert (first.item(), second.item()) == (-(1.0 + 1.0 + 2.0 + 3.0), -2.0 * (5.0 + 5.0 + 6.0))

    def test_one_corrupted_step_is_bounded(self):
        weight = torch.zeros(2, requires_grad=True)
        optimizer = torch.optim.SGD([weight], lr=1.0)
        RollingMedian(optimizer)
        for value in (1.0, 1.5, 1e30, 1.2, 1.1):
            weight.grad = torch.full((2,), value)
            optimizer.step()
            assert torch.all(weight.grad <= 1.5)

    def test_removed_it_leaves_the_optimizer_as_it_was(self):
        ours, theirs = network(), network()
        optimizer, plain = (torch.optim.SGD(each.parameters(), lr=0.1) for each in (ours, theirs))
        RollingMedian(optimizer).remove()
        train(ours, optimizer, range(4))
        train(theirs, plain, range(4))
        assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))
        assert optimizer.state_dict().keys() == plain.state_dict().keys()
        RollingMedian(optimizer)

    def test_refusals(self):
        model = network()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        saved = optimizer.state_dict()
        RollingMedian(optimizer)
        with pytest.raises(ValueError, match="must not step along a rolling median yet"):
            RollingMedian(optimizer)
        with pytest.raises(ValueError, match="'rolling_median', got"):
            optimizer.load_state_dict(saved)
        train(model, optimizer, range(2))
        other = torch.optim.SGD(list(model.parameters())[1:], lr=0.1)
        RollingMedian(other)
        with pytest.raises(ValueError, match="must be of these parameters"):
            other.load_state_dict(optimizer.state_dict())
        table = nn.Embedding(4, 3, sparse=True)
        optimizer = torch.optim.SGD(table.parameters(), lr=0.1)
        RollingMedian(optimizer)
        table(torch.tensor([1])).sum().backward()
        with pytest.raises(ValueError, match="dense gradients"):
            optimizer.step()

    def test_everything_stays_on_the_device(self):
        weight = torch.zeros(4, device="meta", dtype=torch.bfloat16, requires_grad=True)
        optimizer = torch.optim.SGD([weight], lr=0.1, foreach=False)
        RollingMedian(optimizer)
        for _ in range(4):
            weight.grad = torch.ones(4, device="meta", dtype=torch.bfloat16)
            optimizer.step()
        # A state that was moved to the CPU comes back to the parameter's device and dtype.
        saved = optimizer.state_dict()
        saved["rolling_median"] = {0: [torch.ones(4), torch.ones(4)]}
        optimizer.load_state_dict(saved)
        for each in optimizer.state_dict()["rolling_median"][0]:
            assert (each.device.type, each.dtype) == ("meta", torch.bfloat16)
