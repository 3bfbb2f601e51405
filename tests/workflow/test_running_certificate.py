"""The bounds along a training hold together: in exact worlds, in the ledger, and for a network that trains."""

import itertools
import json
import math
import random
import sys
import types
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from genbounds.models.guards import ModelError
from genbounds.pac_bayes import clopper_pearson
from genbounds.workflow import RunningCertificate
from genbounds.workflow.running_certificate import measurement_budget

DELTAS = st.floats(1e-12, 0.999)


@given(DELTAS, st.integers(1, 300))
def test_what_is_spent_never_exceeds_delta(delta, number):
    without_end = sum(Fraction(measurement_budget(delta, place)) for place in range(1, number + 1))
    assert without_end <= Fraction(delta) * (1 - Fraction(1, number + 1))
    fixed = sum(Fraction(measurement_budget(delta, place, number)) for place in range(1, number + 1))
    assert fixed <= Fraction(delta)
    assert float(without_end) > 0.999 * delta * (1 - 1 / (number + 1))
    assert float(fixed) > 0.999 * delta


def test_a_budget_beyond_what_was_fixed_is_refused():
    with pytest.raises(ValueError, match="number must be at most 3, as was fixed beforehand, got 4"):
        measurement_budget(0.05, 4, 3)
    for wrong in ({"number": 0}, {"delta": 0.0}, {"delta": 1.0}, {"delta": math.nan}, {"measurements": 0}):
        with pytest.raises(ValueError, match="must be"):
            measurement_budget(**{"delta": 0.05, "number": 1, **wrong})


# An exact world: some points with probabilities, networks as the sets of points that they err on, and every sample.


def samples(masses, n):
    """Each way to see n examples by their counts, with its probability."""
    for counts in itertools.product(range(n + 1), repeat=len(masses)):
        if sum(counts) == n:
            ways = math.factorial(n) / math.prod(map(math.factorial, counts))
            yield np.array(counts), ways * math.prod(p**k for p, k in zip(masses, counts, strict=True))


def failure(masses, networks, n, bounds):
    """Probability that any network's risk is above its bound; `bounds` sees the errors of each on the sample."""
    errs = np.array(networks)
    risks = errs @ np.array(masses)
    return sum(p for counts, p in samples(masses, n) if (risks > bounds(errs @ counts)).any())


def union(errors, n, delta, fixed=None):
    spent = [measurement_budget(delta, place, fixed) for place in range(1, len(errors) + 1)]
    return clopper_pearson(errors, n, spent)


@settings(max_examples=40)
@given(
    st.lists(st.integers(1, 20), min_size=3, max_size=4),
    st.lists(st.lists(st.booleans(), min_size=4, max_size=4), min_size=1, max_size=8),
    st.sampled_from([0.05, 0.3, 0.7]),
    st.integers(2, 6),
    st.booleans(),
)
def test_all_bounds_hold_at_once_in_every_world(weights, networks, delta, n, ending):
    masses = [weight / sum(weights) for weight in weights]
    errs = [network[: len(masses)] for network in networks]
    fixed = len(errs) if ending else None
    assert failure(masses, errs, n, lambda errors: union(errors, n, delta, fixed)) <= delta


MASSES, ERRS = [0.2] * 5, [[place == point for place in range(5)] for point in range(5)]


def test_without_the_union_they_would_not():
    """The test of the test: the bound for one network, taken at each of five that err on different points."""
    n, delta = 8, 0.2
    assert failure(MASSES, ERRS, n, lambda errors: clopper_pearson(errors, n, delta)) > 2 * delta
    assert failure(MASSES, ERRS, n, lambda errors: union(errors, n, delta)) <= delta
    assert failure(MASSES, ERRS, n, lambda errors: union(errors, n, delta, 5)) <= delta


def test_a_training_that_follows_the_bounds_is_not_covered():
    """What the docstring warns of: the second network errs where the first results say that no example is."""
    n, delta, failed = 9, 0.2, 0.0
    for counts, p in samples([0.25] * 4, n):
        errors = np.array([counts[0], counts.min()])  # the second could have been any of four: the union counts one
        failed += p * bool((union(errors, n, delta, 2) < 0.25).any())
    assert failed > delta


# A network that trains.


@pytest.fixture
def data():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(90, 6, generator=generator)
    return x, (x[:, 0] > 0).long() + (x[:, 1] > 0.5).long()


def network():
    torch.manual_seed(7)
    return nn.Sequential(nn.Linear(6, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Dropout(0.3), nn.Linear(12, 3))


ROLES = {"prior": range(40), "bound": range(40, 90)}


def train(model, data, steps, after=lambda step: None):
    torch.manual_seed(1)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for step in range(steps + 1):
        model.train()
        after(step)
        batch = torch.randperm(40)[:10]
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(data[0][batch]), data[1][batch]).backward()
        optimizer.step()
    return model


def test_the_numbers_are_those_of_the_theorem(data):
    model = network()
    certificate, errors = RunningCertificate(model, data, ROLES, every=5, delta=0.1), []

    def after(step):
        record = certificate.step(step)
        assert model.training
        if record is not None:
            model.eval()
            errors.append(int((model(data[0][40:]).argmax(1) != data[1][40:]).sum()))
            model.train()

    train(model, data, 20, after)
    records = certificate.records
    assert [record.name for record in records] == ["step 0", "step 5", "step 10", "step 15", "step 20"]
    assert [record.errors for record in records] == errors
    for place, record in enumerate(records, 1):
        assert record.n == 50
        assert record.bound == clopper_pearson(record.errors, 50, measurement_budget(0.1, place))
        assert record.best_bound == min(earlier.bound for earlier in records[:place])
        assert certificate.scalars(record) == {
            "certificate/bound": record.bound,
            "certificate/best_bound": record.best_bound,
            "certificate/error": record.errors / 50,
            "certificate/delta": record.delta,
            "certificate/measurement": float(place),
        }
        assert all(type(value) is float for value in record.flat().values())
    assert certificate.best.bound == records[-1].best_bound
    ledger = certificate.ledger
    assert ledger.spent == sum(Fraction(record.delta) for record in records) <= Fraction(0.1)
    assert [entry.claim for entry in ledger.entries] == [f"measurement {place}" for place in range(1, 6)]


class Dataset(torch.utils.data.Dataset):
    """Items that draw from the global generators while they are read."""

    def __init__(self, data):
        self.data = data

    def __len__(self):
        return len(self.data[0])

    def __getitem__(self, index):
        torch.rand(1), np.random.rand(), random.random()  # noqa: NPY002
        return self.data[0][index], self.data[1][index]


@pytest.mark.parametrize("kind", [tuple, Dataset])
def test_a_training_with_it_ends_with_the_same_bits(data, kind):
    plain = train(network(), data, 12)
    state = torch.get_rng_state()
    watched = network()
    certificate = RunningCertificate(watched, kind(data), ROLES, batch_size=7)

    def after(step):
        before = [parameter.grad for parameter in watched.parameters()]
        certificate.step(step)
        assert all(parameter.grad is grad for parameter, grad in zip(watched.parameters(), before, strict=True))

    train(watched, data, 12, after)
    assert all(
        torch.equal(a, b) for a, b in zip(plain.state_dict().values(), watched.state_dict().values(), strict=True)
    )
    assert torch.equal(state, torch.get_rng_state())
    assert len(certificate.records) == 13


def test_a_number_fixed_beforehand(data):
    certificate = RunningCertificate(network(), data, ROLES, delta=0.1, measurements=2)
    made = [certificate.step(step) for step in range(4)]
    assert [record is None for record in made] == [False, False, True, True]
    assert [record.delta for record in certificate.records] == [0.05, 0.05]


def test_it_goes_on_in_its_count(data, tmp_path):
    path, model = tmp_path / "certificate.jsonl", network()
    first = RunningCertificate(model, data, ROLES, path=path)
    first.epoch(0)
    first.epoch(1)
    second = RunningCertificate(model, data, ROLES, path=path)
    assert second.records == first.records
    assert second.epoch(1).number == 3
    assert [json.loads(line)["record"]["number"] for line in path.read_text(encoding="utf-8").splitlines()] == [1, 2, 3]
    for other in ({"delta": 0.01}, {"measurements": 9}, {"roles": {"bound": range(41, 90)}}):
        with pytest.raises(ValueError, match="path must be a file of the same held-out examples"):
            RunningCertificate(model, data, **{"roles": ROLES, **other}, path=path)


def test_what_cannot_carry_a_bound_is_refused(data):
    with pytest.raises(ValueError, match="roles must not overlap"):
        RunningCertificate(network(), data, {"prior": range(50), "bound": range(40, 90)})
    with pytest.raises(ValueError, match="roles must give examples the role bound, got prior"):
        RunningCertificate(network(), data, {"prior": range(50)})
    with pytest.raises(ValueError, match="delta"):
        RunningCertificate(network(), data, delta=1.5)
    with pytest.raises(ValueError, match="records must hold a measurement"):
        _ = RunningCertificate(network(), data).best

    class Augmented(Dataset):
        def __getitem__(self, index):
            return self.data[0][index] + torch.rand(6), self.data[1][index]

    with pytest.raises(ValueError, match="must return the same example under the same index"):
        RunningCertificate(network(), Augmented(data))

    class Sampling(nn.Module):
        def forward(self, x):
            return torch.rand(len(x), 3)

    class Mixing(nn.Module):
        def forward(self, x):
            return (x - x.mean(0))[:, :3]

    for wrong, why in ((Sampling(), "the same outputs twice"), (Mixing(), "treat each example by itself")):
        with pytest.raises(ModelError, match=why):
            RunningCertificate(wrong, data).step(0)
    with pytest.raises(ModelError, match="a column for every class"):
        RunningCertificate(nn.Linear(6, 2), data).step(0)


def test_a_model_that_returns_more_than_logits(data):
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.network = network()

        def forward(self, x, labels=None):
            return {"logits": self.network(x)}

    model = Model()
    plain = RunningCertificate(model.network, data, ROLES).step(0)
    record = RunningCertificate(model, data, ROLES, forward=lambda model, x: model(x)["logits"]).step(0)
    assert record == plain
    double = RunningCertificate(model.network.double(), data, ROLES).step(0)
    assert (double.errors, double.n) == (plain.errors, plain.n)


def stub(monkeypatch, package, name):
    """Stand in for a package that need not be installed."""
    monkeypatch.setitem(sys.modules, package.partition(".")[0], types.ModuleType(package))
    module = types.ModuleType(package)
    setattr(module, name, type(name, (), {}))
    monkeypatch.setitem(sys.modules, package, module)


def test_trainers_log_flat_numbers(data, monkeypatch):
    stub(monkeypatch, "lightning.pytorch", "Callback")
    logged = []
    logger = types.SimpleNamespace(log_metrics=lambda metrics, step: logged.append((step, metrics)))
    certificate = RunningCertificate(network(), data, ROLES)
    trainer = types.SimpleNamespace(current_epoch=0, global_step=0, loggers=[logger])
    callback = certificate.lightning()
    callback.on_train_start(trainer, None)
    trainer.global_step = 4
    callback.on_train_epoch_end(trainer, None)
    assert logged == [
        (step, certificate.scalars(record)) for step, record in zip((0, 4), certificate.records, strict=True)
    ]

    stub(monkeypatch, "transformers", "TrainerCallback")
    certificate = RunningCertificate(network(), data, ROLES)
    state = types.SimpleNamespace(epoch=0.0, global_step=0, log_history=[])
    certificate.hugging_face("step").on_train_begin(None, state, types.SimpleNamespace(should_log=False))
    assert state.log_history == [certificate.scalars(certificate.best) | {"epoch": 0.0, "step": 0}]
