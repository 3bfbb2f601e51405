import math
from itertools import product

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mpf

from genbounds.pac_bayes import (
    catoni,
    maurer,
    seeger_xi,
    tolstikhin_seldin,
    unexpected_bernstein,
    unexpected_bernstein_grid,
)
from genbounds.theorems import Grid
from genbounds.worlds.strategies import finite_worlds, gibbs_inputs

GAMMAS = st.floats(1e-6, 1 - 1e-6) | st.sampled_from([1e-300, 0.4, 0.5, 1 - 2.0**-53])


def pairs(x):
    """Inputs for a variance: two examples at least."""
    return x | {"n": x["n"] + 1}


VARIANCE_INPUTS = st.builds(lambda x, v: pairs(x) | {"variance": v}, gibbs_inputs(), st.floats(0, 0.5) | st.just(0.0))
MOMENT_INPUTS = st.builds(lambda x, v: x | {"second_moment": v}, gibbs_inputs(), st.floats(0, 1) | st.just(0.0))
BOUNDS = {
    "tolstikhin_seldin": (tolstikhin_seldin, {"risk": 0.1, "variance": 0.02, "kl": 3.0, "n": 100, "delta": 0.05}),
    "unexpected_bernstein": (
        lambda **x: unexpected_bernstein(**x, gamma=0.3),
        {"risk": 0.1, "second_moment": 0.02, "kl": 3.0, "n": 100, "delta": 0.05},
    ),
}
every_bound = pytest.mark.parametrize(("bound", "good"), BOUNDS.values(), ids=BOUNDS)


def first_power(step, least):
    k = 0
    while step**k < least:
        k += 1
    return k


def sizes(n, delta):
    """Return the sizes of the grids for the risk and for the variance."""
    step, log = mpf(1.15), mpmath.log(2 / mpf(delta))
    for_risk = 1 + first_power(step, mpmath.sqrt((mpmath.e - 2) * n / (4 * log)))
    return step, for_risk, first_power(step, (mpmath.sqrt((n - 1) / log + 1) + 1) / 2)


def empirical_bernstein(risk, variance, kl, n, delta):
    """The statement, term by term."""
    step, for_risk, for_variance = sizes(n, delta)
    kl, log = mpf(kl), mpmath.log(2 / mpf(delta))
    bounded = mpf(1) / 4
    for k in range(for_variance):
        u = step**-k
        exponent = 2 * u * mpf(variance) + (kl + log + mpmath.log(for_variance)) / (n // 2)
        bounded = min(bounded, mpmath.expm1(-exponent) / (2 * mpmath.expm1(-u)))
    cost = (kl + log + mpmath.log(for_risk)) / n
    rates = [step**-k for k in range(for_risk)]
    return min(mpf(risk) + bounded * (mpmath.exp(u) - 1 - u) / u + cost / u for u in rates)


def as_published(risk, variance, kl, n, delta):
    """Theorem 4 of Tolstikhin and Seldin with c1 = c2 = 1.15 and half of delta each, its two cases included."""
    c, log = 1.15, math.log(2 / delta)
    sizes_2 = math.ceil(math.log(0.5 * math.sqrt((n - 1) / log + 1) + 0.5) / math.log(c))
    sizes_1 = max(0, math.ceil(math.log(math.sqrt((math.e - 2) * n / (4 * log))) / math.log(c))) + 1
    cost_2, cost_1 = kl + log + math.log(sizes_2), kl + log + math.log(sizes_1)
    bounded = variance + (1 + c) * math.sqrt(variance * cost_2 / (2 * (n - 1))) + 2 * c * cost_2 / (n - 1)
    bounded = min(bounded, 0.25)
    if cost_1 <= (math.e - 2) * bounded * n:
        return risk + (1 + c) * math.sqrt((math.e - 2) * bounded * cost_1 / n)
    return risk + 2 * cost_1 / n


@given(VARIANCE_INPUTS)
def test_tolstikhin_seldin_encloses_the_formula(oracle, x):
    with oracle.precision():
        assert oracle.encloses(tolstikhin_seldin(**x), empirical_bernstein(**x))


@given(VARIANCE_INPUTS)
def test_never_above_the_published_form(x):
    assert tolstikhin_seldin(**x) <= min(1.0, as_published(**x)) * (1 + 1e-12)


def test_the_published_form_is_clearly_above():
    """A loss of little spread and a divergence of 1,000 nats on 60,000 examples: a fifth of the excess is saved."""
    x = {"risk": 0.2, "variance": 0.01, "kl": 1000.0, "n": 60_000, "delta": 0.05}
    ours, published = tolstikhin_seldin(**x) - 0.2, as_published(**x) - 0.2
    assert ours < 0.8 * published
    assert 0.2 + published < maurer(0.2, 1000.0, 60_000, 0.05)


def test_one_candidate_each_by_hand():
    """Seven examples, delta = 1/2: the grid for the risk is {1}, the variance is at its most, 1/4."""
    expected = 0.1 + (math.e - 2) / 4 + math.log(4) / 7
    assert f"{tolstikhin_seldin(0.1, 0.5, 0.0, 7, 0.5):.12f}" == f"{expected:.12f}"


def moments(world, n, u, pairing):
    """E exp(-2 u m V) over all sequences of n points, for each hypothesis; m = floor(n/2)."""
    total, m = np.zeros(len(world.prior)), n // 2
    for sample in product(range(len(world.probabilities)), repeat=n):
        losses = world.losses[:, list(sample)]
        if pairing:
            variance = ((losses[:, : 2 * m : 2] - losses[:, 1 : 2 * m : 2]) ** 2).mean(axis=1) / 2
        else:
            variance = losses.var(axis=1, ddof=1)
        total += np.prod(world.probabilities[list(sample)]) * np.exp(-2 * u * m * variance)
    return total


@pytest.mark.parametrize("pairing", [False, True], ids=["all pairs", "fixed pairs"])
@given(world=finite_worlds(max_points=3), n=st.integers(2, 5), u=st.sampled_from([0.01, 0.3, 1.0, 4.0]))
def test_the_moment_of_the_empirical_variance(pairing, world, n, u):
    """E exp(-2 u m V_n) <= (1 - 2 V (1 - e^-u))^m, enumerated: the U-statistic is no worse than independent pairs."""
    variance = (world.losses**2) @ world.probabilities - world.risks**2
    limit = (1 - 2 * variance * -np.expm1(-u)) ** (n // 2)
    assert np.all(moments(world, n, u, pairing) <= limit * (1 + 1e-12))


def test_the_moment_with_n_in_place_of_its_half_is_false():
    """Two fair coins: E exp(-4 u V_n) = 1 - (1 - e^-2u) / 2 > (1 - (1 - e^-u) / 2)^2."""
    for u in (0.5, 3.0):
        assert 1 - (1 - math.exp(-2 * u)) / 2 > (1 - (1 - math.exp(-u)) / 2) ** 2


def test_a_zero_one_loss_gains_nothing():
    for risk in (0.01, 0.1, 0.3):
        n = 10_000
        variance = risk * (1 - risk) * n / (n - 1)
        assert tolstikhin_seldin(risk, variance, 50.0, n, 0.05) > seeger_xi(risk, 50.0, n, 0.05)


def test_without_variance_the_rate_is_fast():
    excess = [tolstikhin_seldin(0.3, 0.0, 10.0, n, 0.05) - 0.3 for n in (10**3, 10**4, 10**5)]
    assert excess[0] > 9 * excess[1] > 80 * excess[2]


# The unexpected Bernstein inequality.


@given(MOMENT_INPUTS, GAMMAS)
def test_unexpected_bernstein_encloses_the_formula(oracle, x, gamma):
    with oracle.precision():
        g = mpf(gamma)
        weight = -mpmath.log1p(-g) - g
        exponent = g * mpf(x["risk"]) + weight * mpf(x["second_moment"])
        exponent += oracle.complexity(x["kl"], x["n"], x["delta"])
        assert oracle.encloses(unexpected_bernstein(**x, gamma=gamma), -mpmath.expm1(-exponent) / g)


@given(st.floats(0, 1), st.floats(1e-9, 1 - 1e-9))
def test_the_inequality_behind_it(loss, gamma):
    """exp(-gamma l - s l^2) <= 1 - gamma l."""
    weight = -math.log1p(-gamma) - gamma
    assert math.exp(-gamma * loss - weight * loss**2) <= (1 - gamma * loss) * (1 + 1e-12) + 1e-300


@given(gibbs_inputs(), st.floats(1e-3, 0.999))
def test_a_zero_one_loss_gives_catoni(x, gamma):
    ours = unexpected_bernstein(**x, second_moment=x["risk"], gamma=gamma)
    np.testing.assert_allclose(ours, catoni(**x, C=-math.log1p(-gamma)), rtol=1e-12)


@given(MOMENT_INPUTS, st.floats(1e-3, 0.999))
def test_never_above_the_published_inequality(x, gamma):
    weight = -math.log1p(-gamma) - gamma
    published = x["risk"] + weight / gamma * x["second_moment"] + (x["kl"] - math.log(x["delta"])) / (gamma * x["n"])
    assert unexpected_bernstein(**x, gamma=gamma) <= min(1.0, published) * (1 + 1e-12)


@given(MOMENT_INPUTS)
def test_a_grid_is_paid(x):
    grid = Grid([0.5, 0.25], [3, 1])
    alone = [unexpected_bernstein(**x | {"kl": x["kl"] + math.log(4 / w)}, gamma=g) for w, g in ((3, 0.5), (1, 0.25))]
    np.testing.assert_allclose(unexpected_bernstein(**x, gamma=grid), min(alone), rtol=1e-12)


def test_the_published_grid():
    assert unexpected_bernstein_grid(10, 0.05).values == (0.5,)
    for n, delta in ((1000, 0.05), (60_000, 0.025), (10**6, 1e-3)):
        k = math.ceil(math.log2(math.sqrt(n / math.log(1 / delta)) / 2))
        grid = unexpected_bernstein_grid(n, delta)
        assert grid.values == tuple(0.5**j for j in range(1, k + 1))
        np.testing.assert_allclose(grid.costs, math.log(k))
        best = unexpected_bernstein(0.1, 0.012, 100.0, n, delta, grid)
        paid = zip(grid.values, grid.costs, strict=True)
        alone = [unexpected_bernstein(0.1, 0.012, 100.0 + cost, n, delta, gamma) for gamma, cost in paid]
        np.testing.assert_allclose(best, min(alone), rtol=1e-14)


# Both.


@every_bound
@given(st.data())
def test_monotone_in_each_statistic_and_the_divergence(bound, good, data):
    x = data.draw(VARIANCE_INPUTS if "variance" in good else MOMENT_INPUTS)
    value = bound(**x)
    assert value <= 1
    for name in set(x) - {"n", "delta"}:
        most = 1e9 if name == "kl" else 1.0
        assert value <= bound(**x | {name: min(most, x[name] + data.draw(st.floats(0, 1)))}) * (1 + 1e-12)


@every_bound
def test_limits(bound, good):
    assert bound(**good | {"kl": np.inf}) == 1.0
    assert bound(**good | {"kl": np.finfo(float).max, "n": 2}) == 1.0
    assert bound(**good | {"risk": 1.0}) == 1.0
    values = [bound(**good | {"n": n}) for n in (10**2, 10**4, 10**6)]
    assert values == sorted(values, reverse=True)


def test_a_bet_next_to_nothing_proves_nothing():
    assert unexpected_bernstein(0.1, 0.1, 1.0, 10, 0.05, 5e-324) == 1.0


@every_bound
def test_scalars_give_scalars_and_arrays_broadcast(bound, good):
    assert isinstance(bound(**good), float)
    n, risk = np.array([[10], [1000], [10**5]]), np.array([0.0, 0.1])
    table = bound(**good | {"n": n, "risk": risk, "delta": np.array([0.01, 0.3])})
    assert table.shape == (3, 2)
    for i, j in np.ndindex(3, 2):
        assert table[i, j] == bound(**good | {"n": n[i, 0], "risk": risk[j], "delta": [0.01, 0.3][j]})


@every_bound
@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"risk": 1.1}, r"risk must be in \[0, 1\]"),
        ({"risk": math.nan}, "risk must be a number"),
        ({"kl": -1e-9}, "kl must be non-negative"),
        ({"n": 0}, "n must be a whole number of at least"),
        ({"n": 10.5}, "n must be a whole number"),
        ({"delta": 1.0}, "delta must be strictly between 0 and 1"),
    ],
)
def test_bad_numbers_are_refused(bound, good, bad, message):
    with pytest.raises(ValueError, match=message):
        bound(**good | bad)


def test_what_only_one_of_them_refuses():
    with pytest.raises(ValueError, match=r"n must be a whole number of at least 2, got 1.0. A variance needs two"):
        tolstikhin_seldin(0.1, 0.1, 1.0, 1, 0.05)
    with pytest.raises(ValueError, match=r"variance must be in \[0, 1\]"):
        tolstikhin_seldin(0.1, -0.1, 1.0, 10, 0.05)
    with pytest.raises(ValueError, match=r"second_moment must be in \[0, 1\]"):
        unexpected_bernstein(0.1, 1.1, 1.0, 10, 0.05, 0.5)
    for gamma in (0.0, 1.0, math.nan, Grid([0.5, 1.0])):
        with pytest.raises(ValueError, match="gamma must be strictly between 0 and 1"):
            unexpected_bernstein(0.1, 0.1, 1.0, 10, 0.05, gamma)
