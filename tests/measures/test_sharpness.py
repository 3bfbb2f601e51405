"""Sharpness: linear classifiers and quadratic losses, whose answers are known, and what scaling of weights does."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.stats import norm
from torch import nn

from genbounds.measures import (
    ascent_radius,
    average_sharpness,
    flatness_forms,
    noise_radius,
    sharpness_forms,
    worst_sharpness,
)
from genbounds.models.data import load_data
from genbounds.models.guards import ModelError


def linear(weight):
    rows = torch.as_tensor(weight, dtype=torch.float64)
    model = nn.Linear(rows.shape[1], rows.shape[0], bias=False).double()
    with torch.no_grad():
        model.weight.copy_(rows)
    return model.eval()


def two_classes(n=400, width=5, seed=0):
    """Return inputs, labels of the rows' difference, and the rows."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, width, generator=generator, dtype=torch.float64)
    rows = torch.randn(2, width, generator=generator, dtype=torch.float64)
    return x, (x @ rows.T).argmax(1), rows


@pytest.mark.parametrize("scaled", [False, True])
def test_the_noise_radius_of_a_linear_classifier_is_the_root_of_its_exact_error(scaled):
    x, y, rows = two_classes()
    margin = ((x @ rows.T)[:, 1] - (x @ rows.T)[:, 0]).abs().numpy()

    def error(sigma):
        variance = sigma**2 * rows.square() + 1e-6 if scaled else torch.full_like(rows, sigma**2)
        deviation = (x.square() @ variance.sum(0)).sqrt().numpy()
        return float(norm.cdf(-margin / deviation).mean())

    truth = brentq(lambda s: error(s) - 0.1, 1e-3, 2)
    found = noise_radius(linear(rows), load_data((x, y)), scaled=scaled, draws=100, dtype=torch.float64, seed=3)
    assert found.interval[0] <= truth <= found.interval[1]
    assert found.interval[0] <= found.value <= found.interval[1]
    assert found.value == pytest.approx(truth, rel=0.1)


def test_the_noise_radius_covers_the_truth_as_often_as_two_standard_errors_do():
    x, y, rows = two_classes(100)
    margin = ((x @ rows.T)[:, 1] - (x @ rows.T)[:, 0]).abs() / x.norm(dim=1)
    truth = brentq(lambda s: float(norm.cdf(-margin.numpy() / (s * 2**0.5)).mean()) - 0.1, 1e-3, 2)
    model, data = linear(rows), load_data((x, y))
    covered = 0
    for seed in range(60):
        low, high = noise_radius(model, data, draws=10, dtype=torch.float64, seed=seed).interval
        covered += low <= truth <= high
    # About .93 by Student's law of ten draws; 60 tries of .93 fall below 46 with probability 1e-4.
    assert covered >= 46


def test_the_ascent_radius_of_a_linear_classifier_is_exact():
    # A move of at most a of every weight changes the difference of two scores by at most 2 a |x|_1.
    x, y, rows = two_classes(200)
    margin = ((x @ rows.T)[:, 1] - (x @ rows.T)[:, 0]).abs() / (2 * x.abs().sum(1))
    found = ascent_radius(linear(rows), load_data((x, y)), steps=8, dtype=torch.float64)
    # No move can err on a tenth before the tenth smallest margin is used up, and ascent needs not much more.
    floor = float(margin.sort().values[20])
    assert found.value >= floor * 0.99
    one = x[:1]
    alone = ascent_radius(linear(rows), load_data((one, y[:1])), steps=8, dtype=torch.float64)
    assert alone.value == pytest.approx(float(margin[0]), rel=0.01)


def test_a_scaled_move_is_measured_in_units_of_the_weights():
    x, y, rows = two_classes(200)
    data = load_data((x, y))
    for radius in (noise_radius, ascent_radius):
        one = radius(linear(1e3 * rows), data, scaled=True, dtype=torch.float64).value
        two = radius(linear(4e3 * rows), data, scaled=True, dtype=torch.float64).value
        assert one == pytest.approx(two, rel=0.02)


def test_a_network_that_no_noise_harms_is_refused():
    x = torch.ones(10, 2, dtype=torch.float64)
    model = linear([[1e6, 1e6], [0.0, 0.0]])
    data = load_data((x, torch.zeros(10, dtype=torch.int64)))
    for radius in (noise_radius, ascent_radius):
        with pytest.raises(ModelError, match=r"at 2\.0"):
            radius(model, data, dtype=torch.float64)


class Quadratic(nn.Module):
    """Return w^T A w / 2 whatever the input is."""

    def __init__(self, matrix, at):
        super().__init__()
        self.weight = nn.Parameter(torch.as_tensor(at, dtype=torch.float64))
        self.register_buffer("matrix", torch.as_tensor(matrix, dtype=torch.float64))
        self.register_buffer("centre", self.weight.detach().clone())

    def forward(self, x):
        moved = self.weight - self.centre
        return (moved @ self.matrix @ moved / 2).expand(len(x), 1)


def mean_output(outputs, _):
    return outputs.mean()


@pytest.mark.parametrize("adaptive", [False, True])
def test_sharpness_at_the_minimum_of_a_quadratic(adaptive):
    rng = np.random.default_rng(0)
    root = rng.standard_normal((6, 6))
    hessian, at, rho = root @ root.T, rng.standard_normal(6), 0.3
    scale = np.diag(np.abs(at)) if adaptive else np.eye(6)
    seen = scale @ hessian @ scale
    model, data = Quadratic(hessian, at).eval(), load_data((torch.zeros(3, 1), torch.zeros(3, dtype=torch.int64)))
    options = {"radius": rho, "adaptive": adaptive, "loss": mean_output, "dtype": torch.float64}
    worst = worst_sharpness(model, data, steps=200, **options)
    assert worst == pytest.approx(rho**2 / 2 * np.linalg.eigvalsh(seen)[-1], rel=1e-6)
    assert worst_sharpness(model, data, steps=2, **options) <= worst * (1 + 1e-12)
    average = average_sharpness(model, data, draws=400, **options)
    truth = rho**2 / 2 * np.trace(seen)
    assert abs(average.value - truth) < 4 * average.standard_error
    # Var(e^T B e) = 2 |B|_F^2 for normal e: the standard error is the right one, too.
    expected = rho**2 / 2 * math.sqrt(2 * np.sum(seen**2) / 400)
    assert average.standard_error == pytest.approx(expected, rel=0.25)


def small_network(seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(4, 7, bias=False), nn.ReLU(), nn.Linear(7, 3, bias=False)).double().eval()


def class_data(n=60):
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(n, 4, generator=generator, dtype=torch.float64)
    return load_data((x, torch.randint(0, 3, (n,), generator=generator)))


def test_adaptive_sharpness_does_not_see_a_scaling_that_keeps_the_function_and_the_plain_one_does():
    model, other, data = small_network(), small_network(), class_data()
    with torch.no_grad():
        factors = torch.tensor([2.0**k for k in (-3, 4, 0, 2, -1, 5, -2)], dtype=torch.float64)
        other[0].weight.mul_(factors[:, None])
        other[2].weight.div_(factors)
    for steps in (1, 3):
        options = {"radius": 0.1, "steps": steps, "dtype": torch.float64}
        plain = [worst_sharpness(net, data, **options) for net in (model, other)]
        adaptive = [worst_sharpness(net, data, adaptive=True, **options) for net in (model, other)]
        assert adaptive[0] == pytest.approx(adaptive[1], rel=1e-9)
        assert plain[0] != pytest.approx(plain[1], rel=0.1)
    averages = [average_sharpness(net, data, adaptive=True, dtype=torch.float64).value for net in (model, other)]
    assert averages[0] == pytest.approx(averages[1], rel=1e-9)


def test_smaller_groups_are_sharper_and_one_group_is_the_whole():
    model, data = small_network(), class_data()
    options = {"radius": 0.02, "dtype": torch.float64}
    whole = worst_sharpness(model, data, **options)
    assert worst_sharpness(model, data, group=60, **options) == pytest.approx(whole, rel=1e-12)
    values = [worst_sharpness(model, data, group=group, **options) for group in (1, 10, 60)]
    assert values[0] > values[1] > values[2] > 0


def test_to_first_order_the_sharpness_is_the_gradient_norm():
    model, data = small_network(), class_data()
    x, y = data.inputs, data.targets
    gradients = torch.autograd.grad(nn.functional.cross_entropy(model(x), y), list(model.parameters()))
    norm_of_gradient = float(torch.cat([part.flatten() for part in gradients]).norm())
    rise = worst_sharpness(model, data, radius=1e-5, dtype=torch.float64)
    assert rise / 1e-5 == pytest.approx(norm_of_gradient, rel=1e-3)


def test_the_network_itself_is_left_as_it_was():
    model, data = small_network(), class_data()
    before = [value.detach().clone() for value in model.parameters()]
    worst_sharpness(model, data, dtype=torch.float64)
    average_sharpness(model, data, draws=2, dtype=torch.float64)
    noise_radius(model, data, draws=2, dtype=torch.float64, target=0.02)
    for value, old in zip(model.parameters(), before, strict=True):
        assert torch.equal(value, old)


numbers = st.floats(0.01, 10)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-3, 3), min_size=1, max_size=6), st.integers(2, 1000), numbers, numbers)
def test_forms_follow_from_gaussian_kl_and_fall_with_the_radius(weights, n, sigma, prime):
    w = np.array(weights)
    found = {each.name: each.value for each in flatness_forms(w, n, sigma, prime, initial=0 * w)}
    # |w|^2 / (4 sigma^2) is half of KL(N(w, sigma^2) | N(0, sigma^2)).
    half = sum((norm_kl(x, sigma, 0.0, sigma)) for x in weights) / 2
    assert found["pac_bayes_orig"] == pytest.approx(half + math.log(n / sigma) + 10, rel=1e-9)
    assert found["pac_bayes_init"] == pytest.approx(found["pac_bayes_orig"], rel=1e-12)
    assert found["pac_bayes_mag_init"] == pytest.approx(found["pac_bayes_mag_orig"], rel=1e-12)
    flatter = {each.name: each.value for each in flatness_forms(w, n, 2 * sigma, 2 * prime, initial=0 * w)}
    for name in ("pac_bayes_orig", "pac_bayes_flatness", "pac_bayes_mag_flatness"):
        assert flatter[name] < found[name]
    sharp = {each.name: each.value for each in sharpness_forms(w, n, sigma, prime, initial=0 * w)}
    assert sharp["sharpness_orig"] - math.log(n / sigma) - 10 == pytest.approx(
        2 * half * math.log(2 * len(w)) / 2, rel=1e-9, abs=1e-9
    )
    assert sharp["sharpness_mag_orig"] >= 10 + math.log(n / prime)  # every term of the sum is positive


def norm_kl(mean, deviation, other_mean, other):
    return math.log(other / deviation) + (deviation**2 + (mean - other_mean) ** 2) / (2 * other**2) - 0.5


def test_the_magnitude_form_minimises_a_gaussian_kl_over_the_prior():
    # With posterior variances e^2 + s^2 d_i^2 and one prior variance v for all, half the minimum over v of the KL's
    # part that depends on it is (1/4) sum ln(v / (e^2 + s^2 d_i^2)) at v = e^2 + (s^2 + 1) |d|^2 / P.
    d, s, e = np.array([0.3, -1.2, 2.0]), 0.4, 1e-3
    variance = e**2 + s**2 * d**2

    def kl(v):
        return float(np.sum(np.log(v / variance) + (variance + d**2) / v - 1) / 2)

    best = min(kl(v) for v in np.geomspace(0.1, 10, 20001))
    found = {each.name: each.value for each in flatness_forms(d, 50, 1.0, s, initial=np.zeros(3))}
    assert found["pac_bayes_mag_init"] - math.log(50 / s) - 10 == pytest.approx(best / 2, rel=1e-6)


def test_forms_refuse_radii_that_are_none():
    for wrong in (0.0, -1.0, math.nan):
        with pytest.raises(ValueError, match="sigma"):
            flatness_forms([1.0], 10, wrong, 1.0)
        with pytest.raises(ValueError, match="alpha"):
            sharpness_forms([1.0], 10, 1.0, wrong)
    with pytest.raises(ValueError, match="initial"):
        flatness_forms([1.0, 2.0], 10, 1.0, 1.0, initial=[1.0])


def test_examples_that_are_too_sure_for_a_gradient_still_have_a_radius():
    x = 1000 * torch.eye(2)
    model = linear(torch.eye(2)).float()
    found = ascent_radius(model, load_data((x, x.argmax(1))))
    assert found.interval[0] <= 0.5 * 1.01
    assert found.value == pytest.approx(0.5, rel=0.02)
    tiny = load_data((500 * torch.eye(2, dtype=torch.float64), torch.arange(2)))
    rise = worst_sharpness(linear(torch.eye(2)), tiny, radius=0.1, dtype=torch.float64)
    assert math.isfinite(rise)


def test_narrow_types_are_moved_in_float32():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 300), nn.ReLU(), nn.Linear(300, 3)).eval()
    narrow = nn.Sequential(nn.Linear(4, 300), nn.ReLU(), nn.Linear(300, 3)).eval()
    narrow.load_state_dict(model.state_dict())
    data = class_data()
    wide = average_sharpness(narrow.bfloat16().float(), data, radius=0.001)
    same = average_sharpness(narrow.bfloat16(), data, radius=0.001, dtype=torch.bfloat16)
    assert same.value == pytest.approx(wide.value, rel=1e-5)
    assert same.standard_error > 0


def test_a_network_that_overflows_at_large_moves_has_a_radius():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = []
        for _ in range(24):
            layers += [nn.Linear(64, 64, bias=False), nn.ReLU()]
            nn.init.kaiming_normal_(layers[-2].weight)
        model = nn.Sequential(*layers, nn.Linear(64, 3)).eval()
    x = torch.randn(40, 64, generator=torch.Generator().manual_seed(0))
    data = load_data((x, model(x).argmax(1)))
    assert 0 < noise_radius(model, data, draws=3).value < 2


def test_forms_refuse_weights_that_are_none():
    for wrong in ([math.nan], []):
        with pytest.raises(ValueError, match="weights"):
            flatness_forms(wrong, 10, 1.0, 1.0)
