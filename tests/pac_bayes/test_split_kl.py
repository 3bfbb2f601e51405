import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mpf

from genbounds.pac_bayes import maurer, seeger_xi, split_kl, split_kl_discrete
from genbounds.worlds.strategies import gibbs_inputs


@st.composite
def levelled(draw, low=-40, high=40):
    """Return a strategy for frequencies that do not increase, and levels."""
    levels = sorted(draw(st.sets(st.integers(low, high), min_size=2, max_size=5)))
    count = len(levels) - 1
    shares = draw(st.lists(st.floats(0, 1) | st.sampled_from([0.0, 1.0]), min_size=count, max_size=count))
    x = {name: value for name, value in draw(gibbs_inputs()).items() if name != "risk"}
    return x | {"frequencies": sorted(shares, reverse=True), "levels": levels, "n": min(x["n"], 10**6)}


def inverse(oracle, q, c):
    """kl+(q, c) to 2^-70, bisected in 60 digits."""
    low, high = mpf(q), mpf(1)
    for _ in range(70):
        middle = (low + high) / 2
        if oracle.relative_entropy(mpf(q), middle) <= c:
            low = middle
        else:
            high = middle
    return high


def encloses(value, truth, span):
    return truth - mpf("1e-20") * span <= mpf(float(value)) <= truth + mpf("1e-12") * span


@given(levelled())
def test_split_kl_discrete_encloses_the_formula(oracle, x):
    with oracle.precision():
        levels, parts = [mpf(level) for level in x["levels"]], len(x["frequencies"])
        c = oracle.complexity(x["kl"], x["n"], x["delta"], parts * oracle.xi(x["n"]))
        truth = levels[0]
        for low, high, frequency in zip(levels[:-1], levels[1:], x["frequencies"], strict=True):
            truth += (high - low) * inverse(oracle, frequency, c)
        assert encloses(split_kl_discrete(**x), min(truth, levels[-1]), levels[-1] - levels[0] + abs(levels[0]))


@given(gibbs_inputs(), st.floats(0.001, 0.999), st.floats(0, 1), st.floats(0, 1))
def test_split_kl_encloses_the_formula(oracle, x, mu, above, below):
    n = min(x["n"], 10**6)
    above, below = min(above * (1 - mu), 1 - mu), below * mu
    with oracle.precision():
        c = oracle.complexity(x["kl"], n, x["delta"], 2 * oracle.xi(n))
        cut = mpf(mu)
        upper = inverse(oracle, min(mpf(above) / (1 - cut), mpf(1)), c)
        lower = 1 - inverse(oracle, 1 - mpf(below) / cut, c)
        truth = cut + (1 - cut) * upper - cut * lower
        assert encloses(split_kl(above, below, x["kl"], n, x["delta"], mu), min(truth, mpf(1)), 1)


@given(gibbs_inputs())
def test_two_levels_are_the_kl_bound(x):
    ours = split_kl_discrete([x["risk"]], [0, 1], x["kl"], x["n"], x["delta"])
    np.testing.assert_allclose(ours, seeger_xi(**x), rtol=1e-14)
    assert ours <= maurer(**x) * (1 + 1e-14)


@given(levelled(), st.floats(-5, 5), st.floats(0.1, 10))
def test_affine_equivariance(x, shift, scale):
    moved = x | {"levels": [shift + scale * level for level in x["levels"]]}
    expected = shift + scale * split_kl_discrete(**x)
    np.testing.assert_allclose(split_kl_discrete(**moved), expected, atol=1e-12 * (abs(shift) + 80 * scale), rtol=0)


@given(levelled())
def test_a_level_that_never_occurs_costs_only_the_union(x):
    """Half a step more, at which no loss is: the frequency of the level above it."""
    levels, frequencies, count = x["levels"], x["frequencies"], len(x["frequencies"])
    finer = x | {
        "levels": [levels[0], levels[0] + 0.5, *levels[1:]],
        "frequencies": [frequencies[0], *frequencies],
    }
    paid = x | {"kl": x["kl"] + math.log((count + 1) / count)}
    np.testing.assert_allclose(split_kl_discrete(**finer), split_kl_discrete(**paid), rtol=1e-11, atol=1e-11)


@given(gibbs_inputs(), st.floats(0.01, 0.99))
def test_a_zero_one_loss_cut_anywhere_pays_ln_2_for_nothing(x, mu):
    """Both parts say the same: the risk, and how often there is none."""
    above, below = min(x["risk"] * (1 - mu), 1 - mu), min((1 - x["risk"]) * mu, mu)
    ours = split_kl(above, below, x["kl"], x["n"], x["delta"], mu)
    np.testing.assert_allclose(ours, seeger_xi(**x | {"kl": x["kl"] + math.log(2)}), rtol=1e-9, atol=1e-12)


def test_differences_of_losses_gain_a_lot():
    """Two predictors that differ on 2 in 100 examples, evenly: a kl bound takes the difference for a fair coin."""
    n, kl, delta = 10_000, 50.0, 0.05
    difference = split_kl_discrete([0.99, 0.01], [-1, 0, 1], kl, n, delta)
    taken_for_a_coin = -1 + 2 * seeger_xi(0.5, kl, n, delta)
    assert 0 < difference < 0.3 * taken_for_a_coin


BOUNDS = {
    "split_kl": (
        split_kl,
        {"excess_above": 0.1, "shortfall_below": 0.2, "mu": 0.5, "kl": 3.0, "n": 100, "delta": 0.05},
    ),
    "split_kl_discrete": (
        split_kl_discrete,
        {"frequencies": [0.5, 0.1], "levels": [0, 0.5, 1], "kl": 3.0, "n": 100, "delta": 0.05},
    ),
}
every_bound = pytest.mark.parametrize(("bound", "good"), BOUNDS.values(), ids=BOUNDS)


@every_bound
def test_limits_and_monotonicity(bound, good):
    assert bound(**good | {"kl": np.inf}) == 1.0
    assert bound(**good | {"kl": np.finfo(float).max, "n": 1}) == 1.0
    values = [bound(**good | {"n": n}) for n in (10, 1000, 10**5)]
    assert values == sorted(values, reverse=True)
    values = [bound(**good | {"kl": kl}) for kl in (0.0, 1.0, 30.0)]
    assert values == sorted(values)
    values = [bound(**good | {"delta": delta}) for delta in (1e-9, 0.01, 0.9)]
    assert values == sorted(values, reverse=True)


def test_monotone_in_the_statistics():
    rest = (3.0, 100, 0.05)
    values = [split_kl(above, 0.2, *rest, 0.5) for above in (0.0, 0.1, 0.5)]
    assert values == sorted(values)
    values = [split_kl(0.1, below, *rest, 0.5) for below in (0.0, 0.1, 0.5)]
    assert values == sorted(values, reverse=True)
    values = [split_kl_discrete([0.7, low], [0, 0.5, 1], *rest) for low in (0.0, 0.3, 0.7)]
    assert values == sorted(values)


@every_bound
def test_scalars_give_scalars_and_arrays_broadcast(bound, good):
    assert isinstance(bound(**good), float)
    table = bound(**good | {"n": np.array([[10], [100]]), "kl": np.array([0.0, 1.0, 5.0])})
    assert table.shape == (2, 3)
    for i, j in np.ndindex(2, 3):
        assert table[i, j] == bound(**good | {"n": [10, 100][i], "kl": [0.0, 1.0, 5.0][j]})


def test_many_posteriors_at_once():
    frequencies = np.array([[0.5, 0.1], [0.9, 0.9], [0.0, 0.0]])
    table = split_kl_discrete(frequencies, [0, 0.5, 1], 1.0, 100, 0.05)
    assert table.shape == (3,)
    assert [split_kl_discrete(row, [0, 0.5, 1], 1.0, 100, 0.05) for row in frequencies] == table.tolist()


@pytest.mark.parametrize(
    ("bound", "change", "message"),
    [
        ("split_kl", {"excess_above": 0.6}, "excess_above must be at most the room on its side of mu"),
        ("split_kl", {"shortfall_below": 0.6}, "shortfall_below must be at most the room on its side of mu"),
        ("split_kl", {"excess_above": -0.1}, "excess_above must be non-negative"),
        ("split_kl", {"shortfall_below": math.nan}, "shortfall_below must be a number"),
        ("split_kl", {"mu": 0.0}, "mu must be strictly between 0 and 1"),
        ("split_kl", {"mu": math.nan}, "mu must be strictly between 0 and 1"),
        ("split_kl_discrete", {"frequencies": [0.5]}, "frequencies must have 2 entries along the last axis"),
        ("split_kl_discrete", {"frequencies": 0.5}, "frequencies must have 2 entries"),
        ("split_kl_discrete", {"frequencies": [0.5, 1.1]}, r"frequencies must be in \[0, 1\]"),
        ("split_kl_discrete", {"levels": [0, 1, 1]}, "levels must be at least two finite numbers in increasing order"),
        ("split_kl_discrete", {"levels": [0, 1, math.inf]}, "levels must be at least two finite numbers"),
        ("split_kl_discrete", {"levels": [1]}, "levels must be at least two"),
        ("split_kl_discrete", {"levels": ["0", "1"]}, "levels must be at least two"),
        ("split_kl", {"n": 0}, "n must be a whole number"),
        ("split_kl_discrete", {"kl": -1}, "kl must be non-negative"),
        ("split_kl_discrete", {"delta": 0}, "delta must be strictly between 0 and 1"),
    ],
)
def test_bad_numbers_are_refused(bound, change, message):
    function, good = BOUNDS[bound]
    with pytest.raises(ValueError, match=message):
        function(**good | change)
