"""Preconditioned coherence: what it is invariant under, what it is at the ends, and when it is blind."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from genbounds.coherence.kronecker_factors import fit_preconditioner
from genbounds.coherence.measurement import measure
from genbounds.coherence.preconditioning import preconditioned_coherence
from genbounds.models.examples import DataError

CROSS_ENTROPY = nn.functional.cross_entropy


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 3)).to(torch.float64).eval()


def data(number=60, seed=1):
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(number, 5, generator=generator, dtype=torch.float64)
    return inputs, (inputs[:, 0] > 0).long() + (inputs[:, 1] > 0.5).long()


def preconditioned(model, examples, fitted=None, damping=0.1, loss=CROSS_ENTROPY, **options):
    p = fit_preconditioner(model, loss, fitted or examples, damping=damping, **options)
    return preconditioned_coherence(model, loss, examples, p, **options)


def numbers(record):
    return np.array([[part.alpha, part.plug_in_alpha, part.standard_error] for part in (record.total, *record.layers)])


def test_the_record_is_that_of_whitened_gradients_written_out():
    model, (x, y), fitted = network(), data(), data(40, seed=2)
    p = fit_preconditioner(model, CROSS_ENTROPY, fitted, damping=0.2)
    found = preconditioned_coherence(model, CROSS_ENTROPY, (x, y), p, batch_size=17)
    chosen = dict(model.named_parameters())
    rows = [
        torch.autograd.grad(CROSS_ENTROPY(model(a[None]), b[None]), list(chosen.values()))
        for a, b in zip(x, y, strict=True)
    ]
    gradients = {name: torch.stack(column) for name, column in zip(chosen, zip(*rows, strict=True), strict=True)}
    images = [p.apply({name: part[i] for name, part in gradients.items()}) for i in range(60)]
    layers = {"0": ["0.weight", "0.bias"], "2": ["2.weight", "2.bias"]}
    for part, names in ((found.total, list(chosen)), *zip(found.layers, layers.values(), strict=True)):
        gram = sum(
            gradients[name].flatten(1) @ torch.stack([image[name] for image in images]).flatten(1).T for name in names
        )
        squared_mean, moment = float(gram.mean()), float(gram.diagonal().mean())
        assert part.squared_mean == pytest.approx(squared_mean, rel=1e-9)
        assert part.second_moment == pytest.approx(moment, rel=1e-9)
        assert part.alpha == pytest.approx((60 * squared_mean - moment) / 59 / moment, rel=1e-8)
        p_i = (60 * gram.mean(1) - gram.diagonal()) / 59
        psi = (2 * (p_i - p_i.mean()) - part.alpha * (gram.diagonal() - moment)) / moment
        assert part.standard_error == pytest.approx(float(psi.std()) / 60**0.5, rel=1e-6)
    assert sum(layer.fraction * layer.alpha for layer in found.layers) == pytest.approx(found.total.alpha)
    assert found.fitted_on == 40


def test_with_much_damping_layers_have_their_plain_coherence():
    model, examples = network(), data()
    p = fit_preconditioner(model, CROSS_ENTROPY, examples, damping=1e9, parameters=["0.weight"])
    found = preconditioned_coherence(model, CROSS_ENTROPY, examples, p)
    plain = measure(model, CROSS_ENTROPY, examples, parameters=["0.weight"])
    assert found.total.alpha == pytest.approx(plain.alpha, rel=1e-6)
    assert found.total.standard_error == pytest.approx(plain.standard_error, rel=1e-6)


@pytest.mark.parametrize("factor", [0.1, 10.0])
def test_rescaling_relu_layers_changes_the_plain_total_and_nothing_here(factor):
    model, examples = network(), data()
    before, plain = preconditioned(model, examples), measure(model, CROSS_ENTROPY, examples).alpha
    with torch.no_grad():
        model[0].weight *= factor
        model[0].bias *= factor
        model[2].weight /= factor
    np.testing.assert_allclose(numbers(preconditioned(model, examples)), numbers(before), rtol=1e-9)
    # The last bias has a gradient of its own, so fractions of plain coherence change.
    assert abs(measure(model, CROSS_ENTROPY, examples).alpha / plain - 1) > 0.05


@pytest.mark.parametrize("damping", [1e-9, 0.5])
def test_linear_maps_of_a_layers_inputs_change_nothing_without_damping(damping):
    """W M^-1 (M x) is the same function: A becomes M A M', and every gradient g M'."""
    model, (x, y) = network(), data()
    names = ["0.weight"]
    p = fit_preconditioner(model, CROSS_ENTROPY, (x, y), damping=damping, parameters=names)
    before = preconditioned_coherence(model, CROSS_ENTROPY, (x, y), p)
    plain = measure(model, CROSS_ENTROPY, (x, y), parameters=names)
    skew = torch.randn(5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(3)) + torch.eye(5)
    with torch.no_grad():
        model[0].weight.copy_(model[0].weight @ torch.linalg.inv(skew))
    moved = (x @ skew.T, y)
    p = fit_preconditioner(model, CROSS_ENTROPY, moved, damping=damping, parameters=names)
    after = preconditioned_coherence(model, CROSS_ENTROPY, moved, p)
    plainly = measure(model, CROSS_ENTROPY, moved, parameters=names)
    assert plainly.loss == pytest.approx(plain.loss)
    assert abs(plainly.alpha / plain.alpha - 1) > 0.05
    change = np.abs(numbers(after) / numbers(before) - 1).max()
    assert change < 1e-5 if damping < 0.01 else change > 1e-3


def test_a_preconditioner_of_the_same_few_examples_is_blind():
    """With |b| = 1 the Kronecker factor is the exact second moment: m-coherence 1, however much gradients agree."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(5, 8, generator=generator, dtype=torch.float64) + 3
    model = nn.Linear(8, 1, bias=False, dtype=torch.float64).eval()
    average = lambda outputs, _: outputs.mean()  # noqa: E731
    examples = x, torch.zeros(5, 1)
    assert measure(model, average, examples).m_coherence > 3
    found = preconditioned(model, examples, damping=1e-10, loss=average)
    assert found.total.m_coherence == pytest.approx(1, abs=1e-6)
    assert found.total.alpha == pytest.approx(0, abs=1e-6)


def test_a_preconditioner_of_other_examples_sees_the_population():
    """Gradients N(3, I): G'PG = 72/73 for P the inverse of I + 9 11', and E g'Pg = 8."""
    generator = torch.Generator().manual_seed(0)
    model = nn.Linear(8, 1, bias=False, dtype=torch.float64).eval()
    average = lambda outputs, _: outputs.mean()  # noqa: E731
    sets = [(torch.randn(m, 8, generator=generator, dtype=torch.float64) + 3, torch.zeros(m, 1)) for m in (20, 4000)]
    found, truth = preconditioned(model, *sets, damping=1e-6, loss=average).total, 72 / 73 / 8
    assert abs(found.alpha - truth) < 4 * found.standard_error
    assert found.standard_error < 0.04
    # From the same examples g'Pg averages 8 and gbar'Pgbar is at most 1, whatever the gradients are.
    same = preconditioned(model, sets[0], damping=1e-9, loss=average).total
    assert same.second_moment == pytest.approx(8, abs=1e-6)
    assert same.alpha <= (20 / 8 - 1) / 19 + 1e-6


def test_float32_agrees_to_its_rounding():
    model, examples = network(), data()
    exact = numbers(preconditioned(model, examples))
    np.testing.assert_allclose(numbers(preconditioned(model, examples, dtype=torch.float32)), exact, rtol=1e-4)


def test_json_text_and_refusals():
    model, (x, y) = network(), data()
    p = fit_preconditioner(model, CROSS_ENTROPY, (x, y))
    found = preconditioned_coherence(model, CROSS_ENTROPY, (x, y), p)
    values = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert values["total"]["derived"]["alpha"] == found.total.alpha
    assert values["forms"]["0.weight"] == "kronecker 6 x 5"
    assert str(found).startswith("coherence of the preconditioned gradients of 60 examples; P from 60 examples, damp")
    with pytest.raises(DataError, match="at least two examples, got 1"):
        preconditioned_coherence(model, CROSS_ENTROPY, (x, y), p, indices=[0])
    with pytest.raises(ValueError, match="level must be"):
        preconditioned_coherence(model, CROSS_ENTROPY, (x, y), p, level=2.0)
