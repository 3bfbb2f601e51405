"""Coherence of real networks: against gradients of single examples written out in float64, and every refusal."""

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F

from genbounds.coherence import (
    Coherence,
    confusion,
    coordinate_moments,
    fit_preconditioner,
    gram_matrix,
    gram_spectrum,
    measure,
    preconditioned_coherence,
    stiffness,
)
from genbounds.coherence.alignment import alignment_from_dots
from genbounds.coherence.null import gaussian_tail, pair_square
from genbounds.coherence.uncertainty import standard_error
from genbounds.models import DataError, ModelError


@pytest.fixture(scope="module")
def digits():
    found = load_digits()
    return torch.tensor(found.data / 16), torch.tensor(found.target)


def mlp(seed=0, width=12):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10)).double().eval()


def convolutional():
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return (
            nn
            .Sequential(
                nn.Unflatten(1, (1, 8, 8)),
                nn.Conv2d(1, 3, 3, padding=1),
                nn.GroupNorm(1, 3),
                nn.ReLU(),
                nn.Flatten(),
                nn.Linear(192, 10),
            )
            .double()
            .eval()
        )


def written_out(model, loss, inputs, targets):
    """Gradients of single examples by parameter, one example after the other."""
    parameters = dict(model.named_parameters())
    rows = []
    for x, y in zip(inputs, targets, strict=True):
        gradients = torch.autograd.grad(loss(model(x[None]), y[None]), list(parameters.values()))
        rows.append([g.flatten() for g in gradients])
    return {name: torch.stack([row[i] for row in rows]).numpy() for i, name in enumerate(parameters)}


def alpha_m(g):
    return (g.mean(0) ** 2).sum() / (g**2).sum(1).mean()


def expected(g):
    m = len(g)
    dots, norms = g @ g.mean(0), (g**2).sum(1)
    return {
        "plug_in_alpha": alpha_m(g),
        "alpha": (m * alpha_m(g) - 1) / (m - 1),
        "m_coherence": m * alpha_m(g),
        "diversity": 1 / (m * alpha_m(g)),
        "second_moment": norms.mean(),
        "signal": (m * dots.mean() - norms.mean()) / (m - 1),
        "noise": g.var(axis=0, ddof=1).sum(),
        "standard_error": standard_error(dots, norms),
    }


@pytest.mark.parametrize("build", [mlp, convolutional])
def test_against_gradients_written_out(digits, build):
    model, (inputs, targets) = build(), (digits[0][:90], digits[1][:90])
    found = measure(model, F.cross_entropy, (inputs, targets), batch_size=32)
    gradients = written_out(model, F.cross_entropy, inputs, targets)
    whole = np.concatenate(list(gradients.values()), axis=1)
    for name, value in expected(whole).items():
        assert getattr(found, name) == pytest.approx(value, rel=1e-9), name
    names = list(dict.fromkeys(name.rpartition(".")[0] for name in gradients))
    assert [layer.name for layer in found.layers] == names
    for layer in found.layers:
        block = np.concatenate([g for name, g in gradients.items() if name.rpartition(".")[0] == layer.name], axis=1)
        assert layer.parameters == block.shape[1]
        assert layer.fraction == pytest.approx((block**2).sum() / (whole**2).sum(), rel=1e-9)
        for name, value in expected(block).items():
            assert getattr(layer, name) == pytest.approx(value, rel=1e-9), (layer.name, name)
    assert sum(layer.fraction * layer.plug_in_alpha for layer in found.layers) == pytest.approx(found.plug_in_alpha)
    assert sum(layer.fraction * layer.alpha for layer in found.layers) == pytest.approx(found.alpha)
    assert found.loss == pytest.approx(F.cross_entropy(model(inputs), targets).item(), rel=1e-12)
    assert found.parameters == whole.shape[1]
    norms = np.sqrt((whole**2).sum(1))
    np.testing.assert_allclose(
        found.norm_quantiles, np.quantile(norms, (0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1))
    )
    low, high = found.interval
    assert low < found.alpha < high
    assert set(found.routes) == set(gradients)
    assert found.m == 90
    assert found.p_value is found.pair_square is None


@settings(max_examples=6)
@given(st.integers(1, 50))
def test_batch_size_changes_rounding_only(size):
    data = load_digits()
    inputs, targets = torch.tensor(data.data[:40] / 16), torch.tensor(data.target[:40])
    one = measure(mlp(), F.cross_entropy, (inputs, targets), batch_size=size)
    other = measure(mlp(), F.cross_entropy, (inputs, targets), batch_size=40)
    assert one.alpha == pytest.approx(other.alpha, rel=1e-10)
    assert one.standard_error == pytest.approx(other.standard_error, rel=1e-10)


def test_float32_agrees_to_its_rounding(digits):
    data = digits[0][:200], digits[1][:200]
    narrow, wide = (measure(mlp().to(dtype), F.cross_entropy, data) for dtype in (torch.float32, torch.float64))
    assert narrow.plug_in_alpha == pytest.approx(wide.plug_in_alpha, rel=1e-5)
    assert narrow.provenance["dtype"] == "float32"
    model = mlp().float()
    again = measure(model, F.cross_entropy, data, dtype=torch.float64)  # of a copy
    assert again.plug_in_alpha == pytest.approx(wide.plug_in_alpha, rel=1e-5)
    assert next(model.parameters()).dtype == torch.float32
    assert again.provenance["dtype"] == "float64"


@pytest.mark.parametrize("factor", [0.1, 7.0])
def test_rescaled_relu_layers(digits, factor):
    """The same function: coherence of each layer stays, that of all together does not."""
    model, moved = mlp(), mlp()
    with torch.no_grad():
        moved[0].weight *= factor
        moved[0].bias *= factor
        moved[2].weight /= factor
    data = digits[0][:120], digits[1][:120]
    torch.testing.assert_close(model(data[0]), moved(data[0]))
    before, after = (
        measure(net, F.cross_entropy, data, parameters=["0.weight", "0.bias", "2.weight"]) for net in (model, moved)
    )
    for one, other in zip(before.layers, after.layers, strict=True):
        assert one.plug_in_alpha == pytest.approx(other.plug_in_alpha, rel=1e-12)
        assert one.standard_error == pytest.approx(other.standard_error, rel=1e-9)
    assert abs(before.plug_in_alpha / after.plug_in_alpha - 1) > 0.1


def test_real_and_random_rows_of_a_linear_model():
    """At weight zero gradients are -2 y x: 0.625 where four rows share a feature, 0.25 where they share none."""
    rows = {
        0.625: torch.cat([torch.eye(4), torch.zeros(4, 1), torch.ones(4, 1)], dim=1),
        0.25: torch.tensor([[1, 0, 0, 0, 1, 0], [0, 1, 0, 0, 0, 1], [0, 0, 1, -1, 0, 0], [0, 0, 1, 1, 0, 0]]),
    }
    for value, inputs in rows.items():
        model = nn.Linear(6, 1, bias=False).double().eval()
        nn.init.zeros_(model.weight)
        found = measure(model, F.mse_loss, (inputs.double(), torch.tensor([[1.0], [-1], [1], [1]]).double().abs()))
        assert found.plug_in_alpha == pytest.approx(value, abs=1e-15)
        assert found.standard_error is None  # four examples
        assert all(math.isnan(end) for end in found.interval)


def test_weight_decay_in_the_loss_is_no_agreement(digits):
    """What the docstring warns of: a common vector raises coherence."""
    data, model = (digits[0][:100], digits[1][:100]), mlp()

    def decayed(outputs, targets):
        return F.cross_entropy(outputs, targets) + 0.5 * sum((p**2).sum() for p in model.parameters())

    gradients = written_out(model, F.cross_entropy, *data)
    whole = np.concatenate(list(gradients.values()), axis=1)
    common = torch.cat([p.detach().flatten() for p in model.parameters()]).numpy()
    assert alpha_m(whole + common) > 2 * measure(model, F.cross_entropy, data).plug_in_alpha


def test_sign_flips(digits):
    """Totals as the passes have them, signs as they are drawn: p-value and the corrected error, recomputed."""
    from genbounds.models.randomness import stream

    data, model = (digits[0][:60], digits[1][:60]), mlp()
    found = measure(model, F.cross_entropy, data, batch_size=25, null_draws=19, seed=5)
    whole = np.concatenate(list(written_out(model, F.cross_entropy, *data).values()), axis=1)
    signs = [
        torch.randint(0, 2, (19, size), generator=stream(5, "sign flips 0", block)) * 2 - 1
        for block, size in enumerate((25, 25, 10))
    ]
    flipped = ((torch.cat(signs, dim=1).double().numpy() @ whole) ** 2).sum(1)
    norms, dots = (whole**2).sum(1), whole @ whole.mean(0)
    assert found.p_value == (1 + (flipped >= (whole.sum(0) ** 2).sum()).sum()) / 20
    square = pair_square(flipped, norms.sum(), 60)
    assert found.pair_square == pytest.approx(square, rel=1e-9)
    assert found.standard_error == pytest.approx(float(standard_error(dots, norms, square)), rel=1e-9)
    assert found.null_draws == 19
    dimension = norms.mean() ** 2 / square
    assert found.approximate_p_value == pytest.approx(float(gaussian_tail(alpha_m(whole), 60, dimension)), rel=1e-9)


def test_sign_flips_in_rounds(digits, monkeypatch):
    """Vectors that do not fit at once are drawn in rounds, each with signs of its own."""
    import genbounds.coherence.passes as passes

    data, model = (digits[0][:30], digits[1][:30]), mlp(width=4)
    monkeypatch.setattr(passes, "_ENTRIES", 3 * sum(p.numel() for p in model.parameters()))
    found = measure(model, F.cross_entropy, data, null_draws=7)
    assert found.p_value in {k / 8 for k in range(1, 9)}
    one = measure(model, F.cross_entropy, data, null_draws=3)
    monkeypatch.setattr(passes, "_ENTRIES", 2**26)
    assert measure(model, F.cross_entropy, data, null_draws=3) == one
    assert measure(model, F.cross_entropy, data, null_draws=3, seed=1) != one


def test_no_signal_is_found_where_there_is_none():
    """Labels independent of the inputs, signs symmetric: p-values of a linear model are not small, alpha covers 0."""
    small, hits = 0, 0
    for seed in range(40):
        generator = torch.Generator().manual_seed(seed)
        inputs = torch.randn(50, 8, generator=generator, dtype=torch.float64)
        targets = torch.randn(50, 1, generator=generator, dtype=torch.float64)
        model = nn.Linear(8, 1, bias=False).double().eval()
        nn.init.zeros_(model.weight)
        found = measure(model, F.mse_loss, (inputs, targets), null_draws=19, seed=seed)
        small += found.p_value <= 0.1
        hits += found.interval[0] <= 0 <= found.interval[1]
    assert small <= 10  # P(binomial(40, 0.1) > 10) < 0.002
    assert hits >= 32
    targets = inputs[:, :1] + 0.1 * targets
    found = measure(model, F.mse_loss, (inputs, targets), null_draws=19)
    assert found.p_value == 0.05  # the least there can be
    assert found.approximate_p_value < 0.05
    assert found.interval[0] > 0


def test_a_layer_without_gradient(digits):
    """Dead units: coherence is not defined there, and does not count."""
    model = mlp()
    with torch.no_grad():
        model[0].bias.fill_(-100.0)
    found = measure(model, F.cross_entropy, (digits[0][:30], digits[1][:30]), null_draws=4)
    dead, alive = found.layers
    assert (dead.squared_mean, dead.second_moment, dead.fraction, dead.standard_error) == (0.0, 0.0, 0.0, None)
    assert math.isnan(dead.alpha)
    assert math.isnan(dead.noise_scale)
    assert math.isnan(dead.one_step_ratio(5))
    assert dead.p_value == 1.0
    assert alive.alpha == pytest.approx(found.alpha)
    assert Coherence.from_json(json.loads(json.dumps(found.to_json(), allow_nan=False))) == found
    assert "0/alpha" not in found.flat()
    assert "alpha nan" in str(found)


def test_no_gradient_at_all():
    model = nn.Linear(3, 2).eval()
    nn.init.zeros_(model.weight)
    found = measure(model, lambda out, y: (out.clamp(5, 6) * 0).mean(), (torch.randn(8, 3), torch.zeros(8, 2)))
    assert math.isnan(found.alpha)
    assert found.zero_gradients == 8
    assert found.layers[0].fraction is None
    assert Coherence.from_json(json.loads(json.dumps(found.to_json(), allow_nan=False))) == found
    assert "nan" in str(found)


def test_the_model_is_left_as_it_was(digits):
    model = mlp()
    model[0].weight.requires_grad_(False)
    model[2].bias.grad = torch.ones(10).double()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    before = torch.random.get_rng_state()
    found = measure(model, F.cross_entropy, (digits[0][:20], digits[1][:20]), null_draws=2)
    assert list(found.routes) == ["0.bias", "2.weight", "2.bias"]
    assert torch.equal(before, torch.random.get_rng_state())
    for name, value in model.state_dict().items():
        assert torch.equal(value, state[name])
    assert not model[0].weight.requires_grad
    assert torch.equal(model[2].bias.grad, torch.ones(10).double())
    assert model[2].weight.grad is None
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_subset_and_first_pass_alone(digits):
    data, chosen = (digits[0][:50], digits[1][:50]), np.arange(10, 40)
    found = measure(mlp(), F.cross_entropy, data, indices=chosen, interval=False)
    other = measure(mlp(), F.cross_entropy, (digits[0][10:40], digits[1][10:40]))
    assert found.alpha == pytest.approx(other.alpha, rel=1e-12)
    assert found.standard_error is None


def test_second_set(digits):
    """Training and test gradients: every number from gradients written out."""
    model, one, two = mlp(), (digits[0][:150], digits[1][:150]), (digits[0][150:350], digits[1][150:350])
    found = measure(model, F.cross_entropy, one, second=two, batch_size=16, level=0.9)
    plain = measure(model, F.cross_entropy, one, batch_size=16, level=0.9)
    assert found.alpha == plain.alpha
    assert found.standard_error == plain.standard_error
    sides = []
    sets = [written_out(model, F.cross_entropy, *data) for data in (one, two)]
    layers = ["0", "2"]
    blocks = [
        [np.concatenate([g for name, g in grads.items() if name[0] == layer], axis=1) for layer in layers]
        for grads in sets
    ]
    for own, other in (blocks, blocks[::-1]):
        columns = [((g**2).sum(1), g @ g.mean(0), g @ h.mean(0)) for g, h in zip(own, other, strict=True)]
        sides.append(tuple(np.stack(part, axis=1) for part in zip(*columns, strict=True)))
    expected = alignment_from_dots(layers, *sides, 0.9)
    for one_layer, other_layer in zip(
        (found.second.total, *found.second.layers), (expected.total, *expected.layers), strict=True
    ):
        assert one_layer.name == other_layer.name
        assert one_layer.cosine.value == pytest.approx(other_layer.cosine.value, rel=1e-9)
        assert one_layer.cosine_error == pytest.approx(other_layer.cosine_error, rel=1e-7)
        assert one_layer.transfer.value == pytest.approx(other_layer.transfer.value, rel=1e-9)
    assert Coherence.from_json(json.loads(json.dumps(found.to_json(), allow_nan=False))) == found
    assert found.flat()["second/cosine"] == found.second.total.cosine.value
    assert "cosine" in str(found)
    assert found.second.total.m == (150, 200)


def test_losses_of_single_examples_and_keywords(digits):
    class Keyed(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = mlp()

        def forward(self, pixels):
            return self.inner(pixels)

    data = digits[0][:24], digits[1][:24]
    plain = measure(mlp(), F.cross_entropy, data)
    single = measure(mlp(), lambda out, y: F.cross_entropy(out, y, reduction="none"), data)
    keyed = measure(Keyed().eval(), F.cross_entropy, ({"pixels": data[0]}, data[1]))
    assert single.alpha == pytest.approx(plain.alpha, rel=1e-12)
    assert keyed.alpha == pytest.approx(plain.alpha, rel=1e-12)
    assert [layer.name for layer in keyed.layers] == ["inner.0", "inner.2"]


def test_refusals(digits):
    data = digits[0][:20], digits[1][:20]
    with pytest.raises(ModelError, match="evaluation mode"):
        measure(mlp().train(), F.cross_entropy, data)
    with pytest.raises(ModelError, match="parameters"):
        measure(mlp().requires_grad_(False), F.cross_entropy, data)
    with pytest.raises(DataError, match="at least two examples, got 1"):
        measure(mlp(), F.cross_entropy, data, indices=[3])
    with pytest.raises(ValueError, match="level must be strictly between 0 and 1"):
        measure(mlp(), F.cross_entropy, data, level=95)
    with pytest.raises(ValueError, match="null_draws must be a whole number"):
        measure(mlp(), F.cross_entropy, data, null_draws=-1)
    with pytest.raises(ValueError, match="size must be a whole number"):
        measure(mlp(), F.cross_entropy, data, batch_size=0)
    broken = mlp()
    with torch.no_grad():
        broken[2].bias[0] = math.inf
    with pytest.raises(ModelError, match="finite"):
        measure(broken, F.cross_entropy, data)


def test_one_record_of_everything(digits):
    model, (inputs, targets) = mlp(), (part[:300] for part in digits)
    chosen = np.arange(0, len(targets), 2)
    others = (inputs[1::2], targets[1::2])
    loss = nn.functional.cross_entropy
    p = fit_preconditioner(model, loss, others)
    options = {"second": others, "pairs": 20, "coordinates": True, "preconditioner": p, "seed": 3}
    record = measure(model, loss, (inputs, targets), indices=chosen, **options)

    gram = gram_matrix(model, loss, (inputs[chosen], targets[chosen]), examples=20, seed=3)
    assert record.stiffness.to_json() == stiffness(gram).to_json()
    assert record.confusion == confusion(gram)
    assert record.spectrum.to_json() == gram_spectrum(gram).to_json()
    whole = coordinate_moments(model, loss, (inputs, targets), indices=chosen).summary()
    assert record.coordinates.to_json() == whole.to_json()
    assert record.coordinates.total.coherence == pytest.approx(record.alpha, abs=1e-9)
    assert record.preconditioned == preconditioned_coherence(model, loss, (inputs[chosen], targets[chosen]), p)

    written = json.dumps(record.to_json(), allow_nan=False)
    again = Coherence.from_json(json.loads(written))
    assert json.dumps(again.to_json(), allow_nan=False) == written
    assert str(again) == str(record)
    assert (again.second, again.confusion, again.preconditioned) == (
        record.second,
        record.confusion,
        record.preconditioned,
    )
    np.testing.assert_array_equal(again.stiffness.cosine.matrix, record.stiffness.cosine.matrix)
    for words in ("stiffness over all pairs of 20 examples", "signal-to-noise ratio", "preconditioned", "spectrum"):
        assert words in str(record)


def test_effective_number_of_examples():
    x = torch.tensor([[3.0], [1.0], [1.0], [1.0], [0.0]]).double() * 1e-150
    found = measure(nn.Linear(1, 1, bias=False).double().eval(), lambda out, _: out.mean(), (x, torch.zeros(5, 1)))
    assert found.effective_examples == pytest.approx(12**2 / (9**2 + 3))
    assert found.zero_gradients == 1


def test_a_single_example_has_no_pairs(digits):
    with pytest.raises(ValueError, match="pairs must be 0 or at least 2, got 1"):
        measure(mlp(), nn.functional.cross_entropy, digits, pairs=1)


def test_copies_of_an_example_do_not_agree_by_choice(digits):
    with pytest.raises(DataError, match="indices must be different"):
        measure(mlp(), nn.functional.cross_entropy, digits, indices=[0, 0])
    with pytest.raises(ValueError, match="batch_size must be"):
        measure(mlp(), nn.functional.cross_entropy, digits, batch_size=0)
