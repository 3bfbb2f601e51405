"""Bounds by layers: against high precision, against one another, in their limits, and broken ones in exact worlds."""

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genbounds.information import (
    bu_zou_veeravalli,
    contracted_gibbs,
    contracted_gibbs_labels,
    contracted_information,
    gibbs_gap,
    gibbs_gap_sub_gaussian,
    hierarchical_information,
    hierarchical_wasserstein,
)
from genbounds.theorems import get
from genbounds.worlds import BinaryGaussianLinearNetwork, validate
from genbounds.worlds.problems import PROBLEMS, problem_attack

NATS = st.one_of(st.just(0.0), st.floats(1e-12, 1e-3), st.floats(0, 50))
LISTS = st.lists(NATS, min_size=1, max_size=6)
SHARE = st.one_of(st.sampled_from([0.0, 1.0]), st.floats(0, 1))
SIGMA = st.floats(1e-3, 1e3)
GAMMA = st.floats(1e-6, 1e4)
M = mpmath.mpf
LAYERS = (
    "contracted_gibbs",
    "contracted_gibbs_labels",
    "contracted_information",
    "hierarchical_information",
    "hierarchical_wasserstein",
)


def close_above(value, exact, rel=1e-13):
    """At or above the exact number, by rounding only."""
    return exact <= M(float(value)) <= exact * (1 + M(rel)) + M("1e-150")


def mean(values):
    return mpmath.fsum(values) / len(values)


@given(LISTS, SIGMA)
def test_hierarchical_information(divergences, sigma):
    with mpmath.workdps(40):
        exact = M(sigma) * mean([mpmath.sqrt(2 * M(kl)) for kl in divergences])
        assert close_above(hierarchical_information(divergences, sigma), exact)
    # At the input layer the relative entropies are individual informations.
    assert hierarchical_information(divergences, sigma) == bu_zou_veeravalli(divergences, sigma)


@given(LISTS, st.floats(0, 100), st.floats(0, 100))
def test_hierarchical_wasserstein(distances, rho, rest):
    with mpmath.workdps(40):
        exact = M(rho) * max(M(1), M(rest)) * mean([M(d) for d in distances])
        assert close_above(hierarchical_wasserstein(distances, rho, rest), exact)


@given(st.lists(st.tuples(NATS, NATS), min_size=1, max_size=6), SHARE, SIGMA)
def test_contracted_information(pairs, eta, sigma):
    label, feature = (list(part) for part in zip(*pairs, strict=True))
    value = contracted_information(label, feature, eta, sigma)
    with mpmath.workdps(40):
        roots = [mpmath.sqrt(2 * (M(a) + M(eta) * M(b))) for a, b in pairs]
        assert close_above(value, M(sigma) * mean(roots))
    # Between the label's part alone and no contraction at all.
    assert contracted_information(label, feature, 0.0, sigma) <= value * (1 + 1e-14)
    assert value <= hierarchical_information(np.add(label, feature), sigma) * (1 + 1e-14)


@given(SHARE, GAMMA, st.integers(1, 1000))
def test_contracted_gibbs(eta, gamma, n):
    value = contracted_gibbs(eta, gamma, n)
    with mpmath.workdps(40):
        exact = mpmath.tanh(M(eta) * M(gamma) / (4 * n))
        assert exact <= value or value == 1.0
        assert value <= float(exact) * (1 + 1e-13) + 1e-300
    assert value <= gibbs_gap(gamma, n) * (1 + 1e-14)


@given(LISTS, SHARE, GAMMA, SIGMA)
def test_contracted_gibbs_labels(label, eta, gamma, sigma):
    value, n = contracted_gibbs_labels(label, eta, gamma, sigma), len(label)
    with mpmath.workdps(40):
        a, b = mean([M(each) for each in label]), M(sigma) ** 2 * M(eta) * M(gamma) / n
        root = b + mpmath.sqrt(b**2 + 2 * M(sigma) ** 2 * (1 - M(eta)) * a)
        assert close_above(value, root)
        # It solves the quadratic inequality that it was derived from.
        assert abs(root**2 - 2 * b * root - 2 * M(sigma) ** 2 * (1 - M(eta)) * a) <= root**2 * M("1e-30")
    without = contracted_gibbs_labels(np.zeros(n), eta, gamma, sigma)
    assert without == pytest.approx(eta * gibbs_gap_sub_gaussian(gamma, n, sigma), rel=1e-13, abs=1e-150)
    assert without <= value * (1 + 1e-14)


def test_leading_axes_are_layers_and_problems():
    divergences = np.array([[0.08, 0.18], [0.02, 0.02]])
    assert hierarchical_information(divergences, 0.5).round(12).tolist() == [0.25, 0.1]
    assert hierarchical_information(divergences, [0.5, 1.0]).round(12).tolist() == [0.25, 0.2]
    assert hierarchical_wasserstein(divergences, [1.0, 2.0], [0.5, 3.0]).round(12).tolist() == [0.13, 0.12]
    assert contracted_information(divergences, divergences, [0.0, 3 / 4], 0.5).shape == (2,)
    assert contracted_gibbs_labels(divergences, [0.0, 1.0], 1.0, 0.5).round(6).tolist() == [0.254951, 0.25]


def test_infinity_and_nothing():
    inf = np.inf
    assert hierarchical_information([inf, 0.0], 0.5) == inf
    assert hierarchical_wasserstein([0.0], inf, inf) == hierarchical_wasserstein([inf], 0.0, inf) < 1e-300
    assert hierarchical_wasserstein([1.0], 1.0, inf) == inf
    assert contracted_information([0.0], [inf], 0.0, 0.5) < 1e-150  # erased features may be known in full
    assert contracted_information([0.0], [inf], 1e-9, 0.5) == inf
    assert contracted_gibbs_labels([inf], 1.0, 2.0, 0.5) == pytest.approx(1.0)  # without noise labels play no part
    assert contracted_gibbs_labels([inf], 0.5, 2.0, 0.5) == inf
    assert contracted_gibbs(1.0, 1e300, 1) == 1.0


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (hierarchical_information, ([-0.1], 0.5)),
        (hierarchical_information, (0.1, 0.5)),
        (hierarchical_information, ([], 0.5)),
        (hierarchical_information, ([0.1], 0.0)),
        (hierarchical_information, ([np.nan], 0.5)),
        (hierarchical_wasserstein, ([-1.0], 1.0, 1.0)),
        (hierarchical_wasserstein, ([1.0], -1.0, 1.0)),
        (hierarchical_wasserstein, ([1.0], 1.0, np.nan)),
        (hierarchical_wasserstein, (1.0, 1.0, 1.0)),
        (contracted_information, ([0.1], [0.1], 1.1, 0.5)),
        (contracted_information, ([0.1], [-0.1], 0.5, 0.5)),
        (contracted_information, ([0.1], [0.1], 0.5, np.inf)),
        (contracted_gibbs, (1.5, 1.0, 1)),
        (contracted_gibbs, (0.5, 0.0, 1)),
        (contracted_gibbs, (0.5, 1.0, 0)),
        (contracted_gibbs_labels, ([0.1], 0.5, -1.0, 0.5)),
        (contracted_gibbs_labels, (0.1, 0.5, 1.0, 0.5)),
    ],
)
def test_ranges(function, arguments):
    with pytest.raises(ValueError, match="must"):
        function(*arguments)


@pytest.mark.parametrize("widths", [(6,), (6, 4), (6, 4, 2), (6, 1)])
def test_linear_network_against_simulation(widths):
    """Two Gaussian clouds at abs(mu)^2 = 3.26 s^2, 10 examples: closed forms at each layer, the gap by simulation too.

    What the hidden layers leave is (r/2) ln(n / (n-1)): depth helps through the rank alone.
    """
    network = BinaryGaussianLinearNetwork(6, 10, 1.0, signal=np.sqrt(3.26), widths=widths)
    bounds = hierarchical_information(network.layer_divergences, 0.5)
    expected = [np.sqrt(rank * np.log(10 / 9)) / 2 for rank in (6, *widths)]
    assert bounds[:-1] == pytest.approx(expected, rel=1e-12)
    assert np.all(np.diff(bounds) <= 1e-15)
    gaps = network.simulate(np.random.default_rng(0), 20_000)
    error = gaps.std() / np.sqrt(gaps.size)
    assert abs(gaps.mean() - network.gap) <= 4 * error
    assert bounds[-1] >= gaps.mean() + 4 * error
    output = hierarchical_wasserstein([network.output_distance], 1.0, 1.0)
    assert network.hinge_gap <= output <= hierarchical_wasserstein([network.input_distance], 1.0, 1.0)
    if widths == (6,):
        assert bounds == pytest.approx([0.3975, 0.3975, 0.2019], abs=2e-4)
        assert network.gap == pytest.approx(0.0218, abs=2e-4)


@pytest.mark.parametrize("name", LAYERS)
def test_worlds_attack_in_vain_and_come_close(name):
    finding = validate(get(f"information.{name}"))
    assert finding.broken == ()
    assert finding.worlds >= 15
    assert finding.ratio < 1.001


BROKEN = {
    "the contraction applied to the label too": (
        "contracted_information",
        lambda q: contracted_information(
            np.zeros_like(q["label_information"]),
            q["label_information"] + q["feature_information"],
            q["contraction"],
            q["sigma"],
        ),
    ),
    "contracted twice": (
        "contracted_information",
        lambda q: contracted_information(
            q["label_information"], q["feature_information"], q["contraction"] ** 2, q["sigma"]
        ),
    ),
    "the network's contraction where a label goes round the noise": (
        "contracted_gibbs",
        lambda q: contracted_gibbs(q["contraction"], q["inverse_temperature"], q["n"]),
    ),
    "Gibbs, contracted twice": (
        "contracted_gibbs",
        lambda q: contracted_gibbs(q["example_contraction"] ** 2, q["inverse_temperature"], q["n"]),
    ),
    "Gibbs, without the label's term": (
        "contracted_gibbs_labels",
        lambda q: contracted_gibbs_labels(
            np.zeros_like(q["label_information"]), q["contraction"], q["inverse_temperature"], q["sigma"]
        ),
    ),
}
for _name in LAYERS:
    for _factor in (1 / 2, 1 / np.sqrt(2)):

        def _scaled(q, name=_name, factor=_factor):
            theorem = get(f"information.{name}")
            return factor * theorem.function(*(q[argument] for argument in theorem.arguments))

        BROKEN[f"{_name} times {_factor:.3f}"] = (_name, _scaled)


@pytest.mark.parametrize("variant", BROKEN)
def test_broken_variants_are_caught(variant):
    name, broken = BROKEN[variant]
    theorem = get(f"information.{name}")
    needed = {*theorem.arguments, "contraction"}
    problems = [problem for entered in PROBLEMS for problem in entered() if needed <= set(problem.quantities)]
    failures = [
        problem_attack(lambda *_, q=problem.quantities: broken(q), theorem.quantity, (), problem)
        for problem in problems
    ]
    assert not all(attack.survived for attack in failures)
