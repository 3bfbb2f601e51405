import math

import numpy as np
import pytest
import torch
from torch import nn

from genbounds.information import haghifam_langevin, li_luo_qiao, negrea, pensia, wang_gao_calmon
from genbounds.information.langevin.meter import TrajectoryMeter
from genbounds.information.langevin.noise_check import NoiseError
from genbounds.information.langevin.optimiser import Langevin, langevin_noise_scale
from genbounds.information.langevin.trajectory_records import trajectory_estimates
from genbounds.models.guards import ModelError
from genbounds.worlds import LangevinQuadratic, NoisyBits

cross_entropy = nn.functional.cross_entropy


def network(dtype=torch.float64, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)).to(dtype)


def examples(n=12, seed=1):
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(n, 4, generator=generator, dtype=torch.float64)
    return inputs, torch.randint(3, (n,), generator=generator)


def train(model, meter, batches, optimizer, loss=cross_entropy, **stated):
    """Train on the meter's sample; what is stated of a step may differ from what it does."""
    for batch in batches:
        index = torch.as_tensor(batch)
        with meter.step(index, **(optimizer.next_step() | stated)):
            optimizer.zero_grad()
            loss(model(meter.inputs[index]), meter.targets[index]).backward()
            optimizer.step(batch_size=len(index))


def batches_of(n, size, steps, seed=0):
    generator = np.random.default_rng(seed)
    return [generator.choice(n, size, replace=False) for _ in range(steps)]


class Point(nn.Module):
    """Answers with its weights, whatever the input."""

    def __init__(self, dimension):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(dimension, dtype=torch.float64))

    def forward(self, x):
        return self.weight.expand(len(x), -1)


def squared(outputs, targets):
    return (outputs - targets).square().sum(dim=1).mean()


def measured(world, seed, steps):
    """One run of Langevin dynamics on a fresh sample of the world, measured."""
    generator = torch.Generator().manual_seed(seed)
    sample = world.scale * torch.randn(world.n, world.dimension, generator=generator, dtype=torch.float64)
    model = Point(world.dimension)
    meter = TrajectoryMeter(model, squared, sample, sample, sigma=world.sigma, chunk_size=world.n)
    optimizer = Langevin(
        model.parameters(), lr=world.step, inverse_temperature=world.inverse_temperature, seed=1000 + seed
    )
    train(model, meter, [range(world.n)] * steps, optimizer, squared)
    weight = model.weight.detach()
    gap = weight.square().sum() + world.dimension * world.scale**2 - (weight - sample).square().sum(dim=1).mean()
    meter.noise.raise_if_refused()
    return meter.record, float(gap)


def within(values, expected, errors=4):
    values = np.asarray(values)
    return abs(values.mean() - expected) <= errors * values.std(ddof=1) / math.sqrt(len(values))


def test_estimates_agree_with_the_closed_forms():
    """Langevin dynamics on a quadratic loss: variances, norms, the held-out divergence, the gap; 4 standard errors."""
    world = LangevinQuadratic(3, 5, 1.2, step=0.08, inverse_temperature=40.0, steps=6)
    runs = [measured(world, seed, world.steps) for seed in range(40)]
    records = [record for record, _ in runs]
    for t in range(world.steps):
        assert within([record.gradient_variances[t] for record in records], world.gradient_variances[t])
        assert within([record.squared_gradient_norms[t] for record in records], world.squared_gradient_norms[t])
    eta, s = world.step_sizes, world.noise_scales
    divergences = [
        np.sum(eta**2 * record.gradient_variances / (2 * s**2)) / (world.n * (world.n - 1)) for record in records
    ]
    closed = world.steps * world.step * world.inverse_temperature * world.dimension * world.scale**2
    assert world.held_out_divergence == pytest.approx(closed / (world.n * (world.n - 1)))
    assert within(divergences, world.held_out_divergence)
    assert within([gap for _, gap in runs], world.gap)
    estimates = trajectory_estimates(records, world.sigma)
    exact = negrea(world.gradient_variances, eta, s, world.batch_sizes, world.n, world.sigma)
    assert abs(estimates["negrea"].value - exact) <= 4 * estimates["negrea"].standard_error
    for name, moment in (("li_luo_qiao", world.squared_gradient_norms), ("li_luo_qiao, centred", 5 / 4 * 4 * 3 * 1.44)):
        exact = li_luo_qiao(np.broadcast_to(moment, 6), eta, s, world.batch_sizes, world.n, world.sigma)
        assert abs(estimates[name].value - exact) <= 4 * estimates[name].standard_error
    assert estimates["negrea"].value == pytest.approx(estimates["li_luo_qiao, centred"].value, rel=1e-9)


def one_by_one(model, index, inputs, targets):
    rows = []
    for i in index:
        model.zero_grad()
        cross_entropy(model(inputs[i : i + 1]), targets[i : i + 1]).backward()
        rows.append(torch.cat([value.grad.reshape(-1) for value in model.parameters()]).clone())
    return torch.stack(rows)


@pytest.mark.parametrize("subsample", [None, 7])
def test_every_moment_by_hand(subsample):
    inputs, targets = examples()
    model, batch = network(), [3, 8, 1, 10]
    meter = TrajectoryMeter(model, cross_entropy, inputs, targets, sigma=0.5, subsample=subsample, chunk_size=3, seed=5)
    rows = one_by_one(model, range(12), inputs, targets)
    model.zero_grad()
    train(model, meter, [batch], Langevin(model.parameters(), lr=0.1, noise_scale=0.1, seed=0))
    reference, record = meter._reference.tolist(), meter.record
    assert len(reference) == len(set(reference)) == (subsample or 12)
    mean = rows[batch].mean(dim=0)
    assert record.squared_batch_gradients[0] == pytest.approx(float(mean.square().sum()))
    assert record.squared_gradient_norms[0] == pytest.approx(float(rows[batch].square().sum(dim=1).mean()))
    assert record.gradient_variances[0] == pytest.approx(float(rows[reference].var(dim=0).sum()))
    centred = [float((rows[i] - rows[[j for j in reference if j != i]].mean(dim=0)).square().sum()) for i in batch]
    assert record.centred_gradient_norms[0] == pytest.approx(np.mean(centred), rel=1e-12)
    others = rows[[j for j in reference if j not in batch]].mean(dim=0)
    assert record.batch_spreads[0] == pytest.approx(float((mean - others).square().sum()))
    assert (record.n, record.dimension, record.batch_sizes.tolist()) == (12, 6 * 4 + 6 + 3 * 6 + 3, [4])


def test_subsampled_variances_are_unbiased():
    """On average over subsamples of size 3 the variance of all 12 comes out; dividing by k would miss it by a third."""
    inputs, targets = examples()
    model = network()
    rows = one_by_one(model, range(12), inputs, targets)
    found = []
    for seed in range(150):
        meter = TrajectoryMeter(model, cross_entropy, inputs, targets, sigma=0.5, subsample=3, seed=seed)
        parameters = meter.gradients.parameters()
        moments = meter.gradients.moments(parameters, inputs[meter._reference], targets[meter._reference])
        found.append(float(moments.variance))
    assert within(found, float(rows.var(dim=0).sum()))
    assert not within(np.array(found) * 2 / 3, float(rows.var(dim=0).sum()))


def test_estimates_are_the_theorems_at_what_was_recorded():
    inputs, targets = examples()
    model = network()
    meter = TrajectoryMeter(
        model, cross_entropy, inputs, targets, sigma=0.5, uniform_batches=True, ghosts=examples(seed=2)
    )
    batches = [range(4), range(4, 8), range(8, 12)] * 2
    train(model, meter, batches, Langevin(model.parameters(), lr=0.05, noise_scale=0.05, seed=0))
    record, estimates = meter.record, meter.estimates()
    taken = (record.step_sizes, record.noise_scales)
    assert record.batch_indices.tolist() == [0, 1, 2, 0, 1, 2]
    assert {name: estimate.value for name, estimate in estimates.items()} == {
        "pensia": pensia(record.squared_batch_gradients, *taken, 51, 12, 0.5),
        "li_luo_qiao": li_luo_qiao(record.squared_gradient_norms, *taken, record.batch_sizes, 12, 0.5),
        "li_luo_qiao, centred": li_luo_qiao(record.centred_gradient_norms, *taken, record.batch_sizes, 12, 0.5),
        "negrea": negrea(record.gradient_variances, *taken, record.batch_sizes, 12, 0.5),
        "wang_gao_calmon": wang_gao_calmon(
            record.batch_spreads, *taken, record.batch_sizes, record.batch_indices, 12, 0.5
        ),
        "haghifam_langevin": haghifam_langevin(record.weighted_differences, *taken, record.batch_sizes, 12),
    }
    # An estimate refuses to be taken for a number that a theorem may have.
    assert all(estimate.standard_error == math.inf for estimate in estimates.values())
    with pytest.raises(ValueError, match="an estimate may not stand inside a bound"):
        np.sqrt(estimates["negrea"])
    text = meter.report()
    assert "estimates from 1 run of bounds on the expected gap; no bounds" in text
    assert text.startswith("noise: ")


def test_conditions_decide_which_bounds_appear():
    """Overlapping batches are no partition; batches that are not drawn uniformly are not Negrea's."""
    model = network()
    meter = TrajectoryMeter(model, cross_entropy, *examples(), sigma=0.5)
    train(model, meter, batches_of(12, 5, 3), Langevin(model.parameters(), lr=0.05, noise_scale=0.05, seed=0))
    assert sorted(meter.estimates()) == ["li_luo_qiao", "li_luo_qiao, centred", "pensia"]


def test_the_predictor_of_the_mask_is_bayes():
    """One bit or its opposite, linear loss: the average of |zeta|^2 theta^2 is the error of recovering the bit."""
    steps, eta, s = 4, 0.5, 0.8
    world = NoisyBits.full_batch(1, (eta,) * steps, (s,) * steps)
    expected = world.weighted_differences[1]  # the pair -1, 1

    def linear(outputs, targets):
        return -(outputs * targets).sum(dim=1).mean()

    shown = []
    for seed in range(150):
        bit = torch.tensor([[1.0 if seed % 2 else -1.0]], dtype=torch.float64)
        model = Point(1)
        meter = TrajectoryMeter(model, linear, bit, bit, sigma=0.5, ghosts=(-bit, -bit))
        optimizer = Langevin(model.parameters(), lr=eta, noise_scale=s, seed=seed)
        train(model, meter, [[0]] * steps, optimizer, linear)
        shown.append(meter.record.weighted_differences)
    assert np.all(np.array(shown)[:, 0] == 1)  # nothing is known before the first step: 2^2 / 4
    for t in range(1, steps):
        assert within(np.array(shown)[:, t], expected[t])


def test_the_predictor_of_the_mask_step_by_step():
    """Two batches in turn, and likelihoods written out: the mean of a step if the ghost had been trained on instead."""
    generator, eta, s = torch.Generator().manual_seed(0), 0.1, 0.1
    own, ghosts = torch.randn((2, 6, 1), generator=generator, dtype=torch.float64)
    model = Point(1)
    meter = TrajectoryMeter(model, squared, own, own, sigma=0.5, ghosts=(ghosts, ghosts))
    optimizer = Langevin(model.parameters(), lr=eta, noise_scale=s, seed=1)
    odds, expected = np.zeros(6), []  # log odds of what was trained on
    for step in range(10):
        batch, before = [3 * (step % 2) + i for i in range(3)], model.weight.item()
        train(model, meter, [batch], optimizer, squared)
        gradients, others = (2 * (before - values.numpy()[:, 0]) for values in (own, ghosts))
        expected.append(np.mean([(others[i] - gradients[i]) ** 2 / (1 + np.exp(odds[i])) ** 2 for i in batch]))
        mean = before - eta * gradients[batch].mean()
        for i in batch:
            else_mean = mean - eta * (others[i] - gradients[i]) / 3
            odds[i] += ((model.weight.item() - else_mean) ** 2 - (model.weight.item() - mean) ** 2) / (2 * s**2)
    assert meter.record.weighted_differences == pytest.approx(np.array(expected), rel=1e-9)
    assert np.abs(odds).max() > 1


def test_float32_weights_pass_and_everything_is_repeatable():
    found = []
    for _ in range(2):
        model = network(torch.float32)
        meter = TrajectoryMeter(model, cross_entropy, *examples(), sigma=0.5, subsample=6, seed=3)
        optimizer = Langevin(model.parameters(), lr=0.1, inverse_temperature=1e4, seed=2)
        for batch in batches_of(12, 4, 30):
            with meter.step(batch, **optimizer.next_step()):
                optimizer.zero_grad()
                cross_entropy(model(meter.inputs[batch].float()), meter.targets[batch]).backward()
                optimizer.step(batch_size=4)
        meter.estimates()
        found.append(meter.record)
        assert meter.noise.scale == pytest.approx(1, abs=5 / math.sqrt(2 * 51 * 30))
    for name in ("squared_gradient_norms", "gradient_variances", "batch_spreads"):
        assert np.array_equal(getattr(found[0], name), getattr(found[1], name))


def test_weight_decay_is_accounted_for():
    model = network()
    meter = TrajectoryMeter(model, cross_entropy, *examples(), sigma=0.5)
    optimizer = Langevin(model.parameters(), lr=0.1, noise_scale=0.001, seed=0, weight_decay=0.5)
    train(model, meter, [range(12)] * 5, optimizer)
    meter.estimates()
    model = network()
    meter = TrajectoryMeter(model, cross_entropy, *examples(), sigma=0.5)
    optimizer = Langevin(model.parameters(), lr=0.1, noise_scale=0.001, seed=0, weight_decay=0.5)
    train(model, meter, [range(12)] * 5, optimizer, weight_decay=0.0)
    with pytest.raises(NoiseError):
        meter.estimates()


class Faulty(torch.optim.SGD):
    """Plain steps with noise of a given scale added: whatever else is wrong is passed to SGD or done outside."""

    def __init__(self, params, lr, noise, **wrong):
        super().__init__(params, lr=lr, **wrong)
        self.noise, self.generator = noise, torch.Generator().manual_seed(0)

    def step(self):
        super().step()
        with torch.no_grad():
            for parameter in self.param_groups[0]["params"]:
                parameter += self.noise * torch.randn(parameter.shape, generator=self.generator, dtype=parameter.dtype)


def faulty_run(lr, noise, stated, clip=None, steps=40, times=1, **wrong):
    model = network()
    meter = TrajectoryMeter(model, cross_entropy, *examples(), sigma=0.5)
    optimizer = Faulty(model.parameters(), lr, noise, **wrong)
    for _ in range(steps):
        with meter.step(range(12), step_size=lr, noise_scale=stated):
            for _ in range(times):
                optimizer.zero_grad()
                cross_entropy(model(meter.inputs), meter.targets).backward()
                if clip:
                    nn.utils.clip_grad_norm_(model.parameters(), clip)
                optimizer.step()
    return meter


def test_a_parameter_without_noise_is_refused():
    """The noise of 3 of 51 weights is missing: over the whole it is lost in chance, and the bound is infinite."""
    model = network()
    meter = TrajectoryMeter(model, cross_entropy, *examples(), sigma=0.5)
    noisy = Faulty(list(model.parameters())[:-1], 0.1, 0.02)
    quiet = torch.optim.SGD([model[2].bias], lr=0.1)
    for _ in range(12):
        with meter.step(range(12), step_size=0.1, noise_scale=0.02):
            model.zero_grad()
            cross_entropy(model(meter.inputs), meter.targets).backward()
            noisy.step()
            quiet.step()
    with pytest.raises(NoiseError, match=r"times as much in 2\.bias"):
        meter.estimates()


def test_an_optimiser_of_ones_own_passes():
    faulty_run(0.1, langevin_noise_scale(0.1, 500.0), langevin_noise_scale(0.1, 500.0)).estimates()


@pytest.mark.parametrize("beta", [0.5, 2.0, 500.0])
def test_noise_divided_by_beta_once_more_is_refused(beta):
    """A slip that has been published: noise of standard deviation (1 / beta) sqrt(2 eta / beta)."""
    scale = langevin_noise_scale(0.1, beta)
    with pytest.raises(NoiseError, match="noise must have the standard deviation that was stated"):
        faulty_run(0.1, scale / beta, scale, steps=20).estimates()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"momentum": 0.9}, "momentum|standard deviation"),
        ({"momentum": 0.3}, "momentum|clipped|standard deviation"),
        ({"clip": 0.05}, "clipped|standard deviation"),
        ({"weight_decay": 0.2}, "clipped|momentum|standard deviation"),
        ({"times": 2}, "standard deviation"),
    ],
)
def test_steps_that_are_no_plain_steps_are_refused(wrong, message):
    meter = faulty_run(0.2, 0.02, 0.02, **wrong)
    with pytest.raises(NoiseError, match=message):
        meter.estimates()
    with pytest.raises(NoiseError):
        meter.report()


def test_skipped_steps_are_refused():
    model = network()
    meter = TrajectoryMeter(model, cross_entropy, *examples(), sigma=0.5)
    with (
        pytest.raises(NoiseError, match="It was skipped"),
        meter.step([0, 1], step_size=0.1, noise_scale=0.1),
    ):
        pass
    with pytest.raises(ValueError, match="steps must be measured first"):
        meter.estimates()


def test_steps_outside_the_blocks_are_refused():
    model = network()
    meter = TrajectoryMeter(model, cross_entropy, *examples(), sigma=0.5)
    optimizer = Langevin(model.parameters(), lr=0.1, noise_scale=0.1, seed=0)
    train(model, meter, [range(12)], optimizer)
    optimizer.step(batch_size=12)
    with pytest.raises(NoiseError, match="weights must change in measured steps alone"):
        train(model, meter, [range(12)], optimizer)


def test_an_error_inside_a_block_is_passed_on_and_not_recorded():
    model = network()
    meter = TrajectoryMeter(model, cross_entropy, *examples(), sigma=0.5)
    with pytest.raises(KeyboardInterrupt), meter.step([0], step_size=0.1, noise_scale=0.1):
        raise KeyboardInterrupt
    train(model, meter, [range(12)], Langevin(model.parameters(), lr=0.1, noise_scale=0.1, seed=0))
    assert len(meter.record.step_sizes) == 1


def test_models_that_mix_examples_are_refused():
    model = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 3)).double()
    with pytest.raises(ModelError, match="statistics of the batch"):
        TrajectoryMeter(model, cross_entropy, *examples(), sigma=0.5)
    meter = TrajectoryMeter(network(), nn.CrossEntropyLoss(reduction="sum"), *examples(), sigma=0.5)
    with pytest.raises(ModelError, match="average over the examples"), meter.step([0], step_size=0.1, noise_scale=0.1):
        pass


@pytest.mark.parametrize(
    ("indices", "message"),
    [([], "indices must be those of a batch"), ([12], "from 0 to 11"), ([-1], "from 0 to 11"), ([1, 1], "different")],
)
def test_bad_batches_are_refused(indices, message):
    meter = TrajectoryMeter(network(), cross_entropy, *examples(), sigma=0.5)
    with pytest.raises(ValueError, match=message), meter.step(indices, step_size=0.1, noise_scale=0.1):
        pass


def test_bad_arguments_are_refused():
    inputs, targets = examples()
    with pytest.raises(ValueError, match="targets must hold 12 examples"):
        TrajectoryMeter(network(), cross_entropy, inputs, targets[:3], sigma=0.5)
    with pytest.raises(ValueError, match="ghosts must hold 12 examples"):
        TrajectoryMeter(network(), cross_entropy, inputs, targets, sigma=0.5, ghosts=(inputs[:2], targets[:2]))
    with pytest.raises(ValueError, match="subsample must be a whole number of at least 2"):
        TrajectoryMeter(network(), cross_entropy, inputs, targets, sigma=0.5, subsample=1)
    meter = TrajectoryMeter(network(), cross_entropy, inputs, targets, sigma=0.5)
    with pytest.raises(ValueError, match="noise_scale must be positive"), meter.step([0], step_size=0.1, noise_scale=0):
        pass
