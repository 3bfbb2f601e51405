"""Infinitely wide networks side by side: scale by evidence, exact tails, draws, executors and refusals."""

from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest
import torch
from mpmath import mp
from scipy.stats import multivariate_normal

from genbounds.inductive_bias import Architecture, Comparison, compare_kernels, known_kernels
from genbounds.inductive_bias.architectures import kernels
from genbounds.inductive_bias.architectures.draws import Draws
from genbounds.inductive_bias.architectures.kernels import kernel_information
from genbounds.models.data import load_data
from genbounds.sweeps import Store, TaskError

RBF = "genbounds.inductive_bias.gaussian.kernels:rbf_kernel"
LINEAR = "genbounds.inductive_bias.gaussian.kernels:linear_kernel"
LEVELS = [0.2, 0.5, 0.8, 1.2]


def examples(n=60, seed=0, classes=3, side=4):
    source = torch.Generator().manual_seed(seed)
    inputs = torch.rand(n, 1, side, side, generator=source)
    return inputs, inputs.flatten(1)[:, :classes].argmax(1)


DATA = examples()
TRIED = {name: known_kernels()[name] for name in ("mlp", "cnn")}


def compared(data=DATA, tried=TRIED, **changes):
    settings = {"train": 12, "test": 8, "levels": LEVELS, "draws": 3} | changes
    return compare_kernels(data, tried, **settings)


def told(inputs, targets, train, levels, length_scale=1.0):
    return kernel_information(RBF, {"length_scale": length_scale}, inputs, targets, train, levels)


def centred(classes, number):
    return np.eye(number)[classes] - 1 / number


@pytest.mark.parametrize("seed", range(4))
def test_the_scale_makes_the_training_targets_most_likely(seed):
    """d/ds sum_j ln N(T_j; 0, s^2 K) = -n k / s + tr(T' K^-1 T) / s^3 = 0; against the log density on a grid."""
    rng = np.random.default_rng(seed)
    inputs = rng.standard_normal((9, 2))
    targets = centred(rng.integers(0, 3, 9), 3)
    scale = told(inputs, targets, 6, [0.5])["scale"]
    covariance = np.exp(-((inputs[:6, None] - inputs[None, :6]) ** 2).sum(-1) / 2)

    def evidence(s):
        return sum(multivariate_normal(cov=s**2 * covariance).logpdf(column) for column in targets[:6].T)

    grid = scale * np.exp(np.linspace(-3, 3, 241))  # the scale is at its centre
    assert np.argmax([evidence(s) for s in grid]) == 120
    step = 1e-4 * scale
    assert (evidence(scale + step) - evidence(scale - step)) / 2e-4 == pytest.approx(0, abs=1e-5)


def test_one_test_example_in_closed_form():
    """|f - t|^2 / k of independent normal outputs of one variance: a noncentral chi-squared law, where scipy's is 0."""
    rng = np.random.default_rng(1)
    inputs, targets = rng.standard_normal((6, 2)), centred(np.array([0, 1, 2, 0, 1, 2]), 3)
    levels = np.array([1e-6, 1e-3, 0.05, 0.3])
    found = told(inputs, targets, 5, levels.tolist())
    covariance = found["scale"] ** 2 * np.exp(-((inputs[:, None] - inputs[None]) ** 2).sum(-1) / 2)
    weights = np.linalg.solve(covariance[:5, :5], covariance[:5, 5])
    variance = covariance[5, 5] - weights @ covariance[:5, 5]
    off = targets[:5].T @ weights - targets[5]
    with mp.workdps(60):  # P(|z + a|^2 <= x^2) for z of three independent standard normals
        length = mp.sqrt(mp.mpf(float(off @ off / variance)))
        radii = [mp.sqrt(mp.mpf(float(3 * level / variance))) for level in levels]
        wanted = [
            -mp.log(mp.ncdf(x - length) - mp.ncdf(-x - length) - (mp.npdf(x - length) - mp.npdf(x + length)) / length)
            for x in radii
        ]
        wanted = np.array([float(value) for value in wanted])
    assert wanted[0] > 180
    assert found["curve"]["kind"] == "exact"
    np.testing.assert_allclose(found["curve"]["nats"], wanted, rtol=1e-6)


def test_rejection_sampling_from_the_prior():
    """Functions of the prior, kept where they come close to the training targets; no conditioning formula."""
    rng = np.random.default_rng(2)
    inputs = np.array([[0.0], [1.0], [-0.7]])
    targets = centred(np.array([0, 1, 0]), 2)
    levels = [0.05, 0.15, 0.3]
    found = told(inputs, targets, 1, levels)
    covariance = found["scale"] ** 2 * np.exp(-((inputs - inputs.T) ** 2) / 2)
    drawn = rng.standard_normal((3_000_000, 2, 3)) @ np.linalg.cholesky(covariance).T
    near = np.abs(drawn[:, :, 0] - targets[0]).max(axis=1) < 0.04
    loss = np.square(drawn[near][:, :, 1:] - targets[1:].T).mean(axis=(1, 2))
    share = np.array([(loss <= level).mean() for level in levels])
    error = np.sqrt(share * (1 - share) / near.sum())
    assert near.sum() > 4000
    assert (np.abs(np.exp(-np.array(found["curve"]["nats"])) - share) < 4 * error).all()
    assert (error < 0.012).all()


def test_conditioning_matters():
    """The test of the test: what was not conditioned, or on the wrong examples, is another curve."""
    inputs, targets = examples(20)
    arrays = inputs.double().numpy(), centred(targets.numpy(), 3)
    right = told(*arrays, 12, [0.1])["curve"]["nats"][0]
    turned = told(*(part[::-1] for part in arrays), 8, [0.1])["curve"]["nats"][0]
    assert abs(right - turned) > 0.1


def test_the_size_of_a_kernel_does_not_matter():
    """Its scale is chosen by evidence: 9 K is the same space as K."""
    plain, larger = (
        Architecture("genbounds.inductive_bias.gaussian.network_kernels:network_kernel", {"depth": 1} | more)
        for more in ({"weight_variance": 2.0}, {"weight_variance": 6.0})
    )
    found = compared(tried={"plain": plain, "larger": larger})
    for one, other in zip(found.curves["plain"], found.curves["larger"], strict=True):
        np.testing.assert_allclose(one.nats, other.nats, rtol=1e-8)


def test_a_fully_connected_network_does_not_see_the_order_of_pixels_and_a_convolutional_one_does():
    order = torch.randperm(16, generator=torch.Generator().manual_seed(5))
    shuffled = DATA[0].flatten(1)[:, order].reshape(DATA[0].shape), DATA[1]
    plain, mixed = compared(), compared(shuffled)
    for one, other in zip(plain.curves["mlp"], mixed.curves["mlp"], strict=True):
        np.testing.assert_allclose(one.nats, other.nats, rtol=1e-8)
    assert abs(plain.averages["cnn"].nats[0] - mixed.averages["cnn"].nats[0]) > 0.1


def test_names_of_classes_do_not_matter():
    other = DATA[0], (DATA[1] + 1) % 3
    for one, renamed in zip(compared().curves["mlp"], compared(other).curves["mlp"], strict=True):
        np.testing.assert_allclose(one.nats, renamed.nats, rtol=1e-9)


def test_levels_are_shares_of_the_constant_s_loss():
    found = compared()
    np.testing.assert_allclose(found.levels, np.array(LEVELS) * np.square(centred(np.arange(3), 3)).mean())
    assert (np.diff(found.averages["mlp"].nats) <= 0).all()


def test_inputs_of_any_type_are_the_same_examples():
    """Bytes are read as the model would read them, and a class that is not drawn has its column all the same."""
    levels = (DATA[0] * 255).to(torch.uint8)
    bytes_, floats = compared((levels, DATA[1])), compared((levels.float() / 255, DATA[1]))
    for one, other in zip(bytes_.curves["mlp"], floats.curves["mlp"], strict=True):
        assert one.to_json() == other.to_json()
    rare = DATA[1].clone()
    rare[0] = 9  # of sixty; ten classes
    found = compared((DATA[0], rare), draws=1, train=3, test=2)
    assert found.levels[-1] == pytest.approx(1.2 * 0.09)


def test_draws_are_disjoint_and_their_own():
    draws = Draws(load_data((torch.arange(40.0)[:, None], torch.arange(40) % 2)), 25, 15, 4, 0)
    seen = [inputs[:, 0].tolist() for inputs, _ in draws]
    assert all(sorted(each) == list(range(40)) for each in seen)
    assert len({tuple(each) for each in seen}) == 4
    assert [inputs[:, 0].tolist() for inputs, _ in draws] == seen  # as often as one likes
    assert all((targets == inputs[:, 0].long() % 2).all() for inputs, targets in draws)
    assert len({draws.seed_of(draw) for draw in range(4)}) == 4
    assert str(draws) == "tensors, 25 training and 15 test examples, drawn 4 times"
    others = Draws(load_data((torch.arange(40.0)[:, None], torch.arange(40) % 2)), 25, 15, 4, 1)
    assert [inputs[:, 0].tolist() for inputs, _ in others] != seen


def test_every_executor_gives_the_same_numbers():
    wanted = compared().to_json()
    torch.manual_seed(99)
    before = torch.get_rng_state()
    with ThreadPoolExecutor(2) as executor:
        assert compared(executor=executor).to_json() == wanted
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as executor:
        assert compared(executor=executor).to_json() == wanted
    assert torch.get_rng_state().equal(before)
    again = Comparison.from_json(wanted)
    assert again.to_json() == wanted


def test_a_break_changes_nothing(tmp_path, monkeypatch):
    store, function, calls = Store(tmp_path), kernels.kernel_information, []

    def breaks(**arguments):
        calls.append(arguments["kernel"].rpartition(":")[2])
        if len(calls) == 3:
            raise KeyboardInterrupt
        return function(**arguments)

    monkeypatch.setattr(kernels, "kernel_information", breaks)
    with pytest.raises(KeyboardInterrupt):
        compared(store=store)
    assert compared(store=store).to_json() == compared().to_json()
    assert len(calls) == 3 + 4 + 6
    calls.clear()
    compared(store=store, draws=4)
    assert sorted(calls) == ["convolutional_kernel", "network_kernel"]  # the fourth draw alone


def test_repeated_training_inputs_are_refused():
    inputs = DATA[0][:20].clone()
    inputs[1:] = inputs[0]
    with pytest.raises(TaskError, match="kernel of the training examples must be regular"):
        compared((inputs, DATA[1][:20]), draws=1)


def test_repeated_test_inputs_have_a_floor():
    """An input of which the training set has the other label: no function that fits comes below its loss."""
    inputs = np.array([[0.0], [1.0], [1.0]])
    targets = centred(np.array([0, 1, 0]), 2)
    curve = told(inputs, targets, 2, [0.9, 0.99999, 1.00001])["curve"]
    assert curve["nats"] == ["inf", "inf", 0.0]


def test_more_examples_than_features_are_refused():
    with pytest.raises(TaskError, match="kernel of the training examples must be regular"):
        compared(tried={"linear": Architecture(LINEAR, {})}, train=40)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train": 50, "test": 11}, "train and test must be at most 60 together"),
        ({"train": 0}, "train must be"),
        ({"draws": 0}, "draws must be"),
        ({"levels": [0.5, 0.5]}, "levels must be a list that increases"),
        ({"levels": [np.nan]}, "levels must be a number"),
        ({"levels": []}, "levels must be a list"),
        ({"data": (DATA[0], torch.zeros(60, dtype=torch.long))}, "data must have at least 2 classes"),
        ({"tried": {}}, "curves must belong"),
    ],
)
def test_refusals(changes, message):
    with pytest.raises(ValueError, match=message):
        compared(**changes)
