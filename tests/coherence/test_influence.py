"""Influence: against written-out matrices, closed forms, and retraining without the example."""

import dataclasses
import json
import pickle

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call
from torch.nn import functional as F

from genbounds.coherence.curvature.influence import influence
from genbounds.coherence.curvature.influence_records import Influence
from genbounds.models.guards import ModelError


def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3)).double().eval()


def examples(number, seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(number, 3, generator=generator, dtype=torch.float64)
    return x, torch.randint(0, 3, (number,), generator=generator)


def written_out(model, data, query, damping, loss=F.cross_entropy, query_loss=F.cross_entropy):
    """-g_j^T (G + damping)^{-1} g_i for every query example j and training example i."""
    names, values = zip(*model.named_parameters(), strict=True)

    def outputs(flat, x):
        parts = flat.split([value.numel() for value in values])
        shaped = {n: part.reshape(v.shape) for n, v, part in zip(names, values, parts, strict=True)}
        return functional_call(model, shaped, (x,))

    flat = torch.cat([value.detach().flatten() for value in values])

    def gradients(which, inputs, targets):
        rows = [
            torch.func.grad(lambda w, x=x, y=y: which(outputs(w, x), y))(flat)
            for x, y in zip(inputs.split(1), targets.split(1), strict=True)
        ]
        return torch.stack(rows)

    jacobian = torch.autograd.functional.jacobian(lambda w: outputs(w, data[0]), flat)
    curvature = torch.stack([
        torch.autograd.functional.hessian(lambda z, y=y: loss(z.unsqueeze(0), y), z)
        for z, y in zip(outputs(flat, data[0]), data[1].split(1), strict=True)
    ])
    matrix = torch.einsum("icp,icd,idq->pq", jacobian, curvature, jacobian) / len(data[0])
    matrix += damping * torch.eye(len(flat), dtype=torch.float64)
    asked, trained = gradients(query_loss, *query), gradients(loss, *data)
    return (-asked @ torch.linalg.solve(matrix, trained.T)).numpy(), float(matrix.trace()) / len(flat) - damping


def brier(outputs, targets):
    return (outputs.softmax(1) - F.one_hot(targets, outputs.shape[1])).square().sum(1).mean()


def test_against_written_out_matrices():
    model, data, query = network(), examples(13, 1), examples(7, 2)
    truth, _ = written_out(model, data, query, 0.05)
    found = influence(model, F.cross_entropy, data, query, damping=0.05, tolerance=1e-12, batch_size=4)
    np.testing.assert_allclose(found.influences, truth.mean(0), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found.by_group, truth.mean(0)[None], rtol=1e-9, atol=1e-12)
    assert found.standard_errors is None
    assert found.converged
    assert found.query_value == pytest.approx(float(F.cross_entropy(model(query[0]), query[1]).detach()))
    assert found.training_loss == pytest.approx(float(F.cross_entropy(model(data[0]), data[1]).detach()))
    assert (found.parameters, found.damping, found.damping_rule) == (31, 0.05, "as given")


def test_each_query_example_and_groups_with_their_standard_errors():
    model, data, query = network(), examples(13, 1), examples(7, 2)
    truth, _ = written_out(model, data, query, 0.05)
    settings = {"damping": 0.05, "tolerance": 1e-12, "batch_size": 4}
    each = influence(model, F.cross_entropy, data, query, groups=7, **settings)
    np.testing.assert_allclose(each.by_group, truth, rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(each.influences, truth.mean(0), rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(each.standard_errors, truth.std(0, ddof=1) / np.sqrt(7), rtol=1e-8)
    three = influence(model, F.cross_entropy, data, query, groups=3, seed=5, **settings)
    np.testing.assert_allclose(three.influences, truth.mean(0), rtol=1e-8, atol=1e-12)  # groups of 3, 2 and 2
    assert three.by_group.shape == (3, 13)
    assert not np.allclose(
        three.by_group, influence(model, F.cross_entropy, data, query, groups=3, **settings).by_group
    )


def test_standard_errors_cover():
    """Queries drawn again and again: the influence of the population of queries is within two of them."""
    model, data, population = network(), examples(6, 1), examples(2000, 2)
    settings = {"damping": 0.1, "tolerance": 1e-10}
    truth = influence(model, F.cross_entropy, data, population, **settings).influences
    inside = []
    for start in range(0, 2000, 100):
        part = tuple(column[start : start + 100] for column in population)
        found = influence(model, F.cross_entropy, data, part, groups=20, **settings)
        inside.append(np.abs(found.influences - truth) <= 2.09 * found.standard_errors)
    assert 0.87 <= np.mean(inside) <= 1.0


def test_the_gap_is_the_query_less_the_training_examples():
    model, data, query = network(), examples(13, 1), examples(7, 2)
    settings = {"damping": 0.02, "tolerance": 1e-12, "query_loss": brier}
    gap = influence(model, F.cross_entropy, data, query, gap=True, **settings)
    test = influence(model, F.cross_entropy, data, query, **settings)
    train = influence(model, F.cross_entropy, data, data, **settings)
    np.testing.assert_allclose(gap.influences, test.influences - train.influences, rtol=1e-8, atol=1e-12)
    assert gap.query_value == pytest.approx(test.query_value - train.query_value)
    truth, _ = written_out(model, data, data, 0.02, query_loss=brier)
    np.testing.assert_allclose(train.influences, truth.mean(0), rtol=1e-8, atol=1e-12)
    plain = influence(model, F.cross_entropy, data, query, gap=True, damping=0.02, tolerance=1e-12)
    first, _ = written_out(model, data, query, 0.02)
    second, _ = written_out(model, data, data, 0.02)
    np.testing.assert_allclose(plain.influences, first.mean(0) - second.mean(0), rtol=1e-8, atol=1e-12)


def ridge(x, y, weights, penalty):
    """Minimum of sum_i weights_i (x_i w - y_i)^2 + penalty |w|^2 / 2."""
    matrix = 2 * (x * weights[:, None]).T @ x + penalty * torch.eye(x.shape[1], dtype=torch.float64)
    return torch.linalg.solve(matrix, 2 * (x * weights[:, None]).T @ y)


def logistic(x, y, weights, penalty):
    """Minimum of sum_i weights_i log(1 + exp(-s_i x_i w)) + penalty |w|^2 / 2, by Newton's method."""
    w = torch.zeros(x.shape[1], dtype=torch.float64)
    for _ in range(60):
        p = torch.sigmoid(x @ w)
        gradient = x.T @ (weights * (p - y)) + penalty * w
        matrix = (x * (weights * p * (1 - p))[:, None]).T @ x + penalty * torch.eye(len(w), dtype=torch.float64)
        w = w - torch.linalg.solve(matrix, gradient)
    assert gradient.norm() < 1e-13
    return w


LINEAR = {
    "ridge": (ridge, F.mse_loss, lambda s: s + 0.5 * torch.sin(3 * s)),
    "logistic": (logistic, F.binary_cross_entropy_with_logits, lambda s: (torch.sin(7 * s) + s > 0).double()),
}


def regression(kind, number, copies=1, penalty=0.1):
    """A problem with several copies of each of `number` examples, solved; its influences and how to solve it again."""
    fit, loss, label = LINEAR[kind]
    generator = torch.Generator().manual_seed(3)
    x, query = (torch.randn(n, 4, generator=generator, dtype=torch.float64) for n in (number, 30))
    x = x.repeat(copies, 1)
    y, z = label(x.sum(1)), label(query.sum(1))
    model = nn.Linear(4, 1, bias=False).double().eval()
    weights = torch.full((len(x),), 1 / len(x), dtype=torch.float64)

    def query_value(w):
        return float(loss(query @ w, z))

    def at(weights):
        return fit(x, y, weights, penalty)

    model.weight.data = at(weights)[None]
    found = influence(
        model,
        lambda outputs, targets: loss(outputs.squeeze(1), targets),
        (x, y),
        (query, z),
        damping=penalty,
        tolerance=1e-13,
    )
    return found, weights, at, query_value


@pytest.mark.parametrize("kind", LINEAR)
def test_it_is_the_derivative_of_retraining(kind):
    """The objective with a little more of one example, minimised exactly on both sides."""
    found, weights, at, query_value = regression(kind, 20)
    step = 1e-5
    for i in range(20):
        more, less = weights.clone(), weights.clone()
        more[i] += step
        less[i] -= step
        slope = (query_value(at(more)) - query_value(at(less))) / (2 * step)
        assert found.influences[i] == pytest.approx(slope, rel=1e-5, abs=1e-8)


@pytest.mark.parametrize("kind", LINEAR)
def test_leaving_one_out_is_met_to_second_order(kind):
    """Twice the copies of every example: half the effect, a quarter of the error."""
    errors, effects = [], []
    for copies in (4, 8, 16):
        found, weights, at, query_value = regression(kind, 20, copies)
        whole = query_value(at(weights))
        truth = []
        for i in range(20):
            without = weights.clone()
            without[i] = 0
            truth.append(query_value(at(without)) - whole)
        left_out = found.left_out()[:20]
        errors.append(np.linalg.norm(left_out - truth))
        effects.append(np.linalg.norm(truth))
    np.testing.assert_allclose(-np.diff(np.log2(errors)), 2, atol=0.1)
    np.testing.assert_allclose(-np.diff(np.log2(effects)), 1, atol=0.05)
    assert errors[-1] < 0.03 * effects[-1]


def test_wrong_labels_are_the_most_harmful():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(200, 5, generator=generator, dtype=torch.float64)
    y = (x[:, 0] + x[:, 1] > 0).double()
    clean, clean_labels = x[100:], y[100:]
    x, y = x[:100], y[:100].clone()
    flipped = torch.randperm(100, generator=generator)[:8]
    y[flipped] = 1 - y[flipped]
    model = nn.Linear(5, 1, bias=False).double().eval()
    model.weight.data = logistic(x, y, torch.full((100,), 0.01, dtype=torch.float64), 0.01)[None]

    def loss(outputs, targets):
        return F.binary_cross_entropy_with_logits(outputs.squeeze(1), targets)

    found = influence(model, loss, (x, y), (clean, clean_labels), damping=0.01)
    assert len(set(found.most_harmful(8)) & set(flipped.tolist())) >= 6
    assert not set(found.most_helpful(30)) & set(flipped.tolist())


def test_the_default_damping_is_a_tenth_of_the_mean_eigenvalue():
    model, data, query = network(), examples(40, 1), examples(7, 2)
    _, mean = written_out(model, data, query, 0.0)
    found = influence(model, F.cross_entropy, data, query)
    assert found.damping == pytest.approx(0.1 * mean, rel=0.5)
    assert found.damping_rule == "a tenth of the mean eigenvalue, by ten random probes"
    assert found.damping == influence(model, F.cross_entropy, data, query).damping
    assert found.damping != influence(model, F.cross_entropy, data, query, seed=1).damping


def test_a_solution_that_was_cut_short_says_so():
    model, data, query = network(), examples(40, 1), examples(7, 2)
    short = influence(model, F.cross_entropy, data, query, damping=1e-5, max_steps=2)
    assert not short.converged
    assert short.steps == 2
    assert short.residuals[0] > 1e-2
    assert "NOT CONVERGED" in str(short)
    assert "NOT CONVERGED" not in str(influence(model, F.cross_entropy, data, query, damping=1e-5))


def test_single_precision_and_a_choice_of_parameters():
    model, data, query = network(), examples(40, 1), examples(7, 2)
    exact = influence(model, F.cross_entropy, data, query, damping=0.01, tolerance=1e-10)
    single = influence(model.float(), F.cross_entropy, data, query, damping=0.01, tolerance=1e-5)
    assert single.converged
    np.testing.assert_allclose(single.influences, exact.influences, rtol=1e-3, atol=1e-3 * exact.influences.std())
    model = network()
    head = influence(
        model, F.cross_entropy, data, query, damping=0.01, parameters=["2.weight", "2.bias"], tolerance=1e-12
    )
    features = tuple((model[:2](x).detach(), y) for x, y in (data, query))
    alone = influence(model[2], F.cross_entropy, *features, damping=0.01, tolerance=1e-12)
    np.testing.assert_allclose(head.influences, alone.influences, rtol=1e-9, atol=1e-13)


def test_nothing_of_the_models_is_touched():
    model, data, query = network(), examples(10, 1), examples(7, 2)
    state = torch.get_rng_state()
    with torch.no_grad():
        influence(model, F.cross_entropy, data, query, groups=2)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(value.grad is None and value.requires_grad for value in model.parameters())


def record(influences):
    values = np.asarray(influences, dtype=float)
    return Influence(
        influences=values,
        standard_errors=None,
        by_group=values[None],
        query="gap",
        query_value=0.25,
        training_loss=0.5,
        gradient_norm=1e-3,
        curvature="ekfac",
        damping=0.1,
        damping_rule="as given",
        residuals=(0.2,),
        steps=0,
        converged=False,
        parameters=7,
    )


def test_the_record():
    found = record([3.0, -1.0, 0.0, -4.0, 2.0])
    assert found.most_harmful(3).tolist() == [0, 4]
    assert found.most_helpful(1).tolist() == [3]
    assert found.share_of_top(2) == 0.7
    assert found.share_of_top(9) == 1.0
    assert record([0.0, 0.0]).share_of_top(1) == 0.0
    assert found.left_out().tolist() == [-0.6, 0.2, 0.0, 0.8, -0.4]
    assert json.loads(json.dumps(found.to_json()))["influences"] == [3.0, -1.0, 0.0, -4.0, 2.0]
    assert found == pickle.loads(pickle.dumps(found))
    assert found != dataclasses.replace(found, influences=found.influences + 1)
    assert "raise it  0 (+3), 4 (+2)" in str(found)
    assert "EK-FAC, an approximation" in str(found)
    assert "lower it  none" in str(record([1.0]))
    with pytest.raises(ValueError, match="k must be"):
        found.most_harmful(0)


def test_refusals():
    model, data, query = network(), examples(10, 1), examples(3, 2)
    with pytest.raises(ValueError, match="groups must be at most the 3 query examples, got 4"):
        influence(model, F.cross_entropy, data, query, groups=4)
    with pytest.raises(ValueError, match="curvature must be"):
        influence(model, F.cross_entropy, data, query, curvature="hessian")
    with pytest.raises(ValueError, match=r"damping must be positive and finite, got 0\.0"):
        influence(model, F.cross_entropy, data, query, damping=0.0)
    with pytest.raises(ModelError, match="not flat, for a default damping, got a mean eigenvalue of 0"):
        influence(model, lambda z, y: z.mean(1), data, query)
    with pytest.raises(ModelError, match="convex in the outputs and not flat"):
        influence(model, lambda z, y: -z.square().mean(1), data, query)
    with pytest.raises(ModelError, match="loss must be differentiable"):
        influence(model, F.cross_entropy, data, query, query_loss=lambda z, y: (z.argmax(1) != y).double())
    with pytest.raises(ModelError, match=r"^loss must have a finite gradient"):
        influence(model, lambda z, y: (z - z).sqrt().mean(1), data, query, query_loss=F.cross_entropy, damping=0.1)
    with pytest.raises(ModelError, match="must be convex"):
        influence(model, lambda z, y: -z.square().mean(1), data, query, damping=1e-6)
    with pytest.raises(ModelError, match="finite gradient"):
        influence(model, F.cross_entropy, data, query, query_loss=lambda z, y: (z - z).sqrt().mean(1), damping=0.1)
