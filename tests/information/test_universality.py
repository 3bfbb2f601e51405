import math
from itertools import product

import mpmath
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from mpmath import mpf

from genbounds.information import feder_ball, feder_cells, mixture_log_loss, mixture_regret
from genbounds.numerics import binary_kl
from genbounds.theorems import get
from genbounds.worlds import BernoulliUniversality, attack, coin_problem, validate

NAMES = ("feder_ball", "feder_cells", "mixture_regret", "mixture_log_loss")
SETS = st.lists(st.tuples(st.floats(0.0, 5.0), st.floats(0.0, 40.0)), min_size=1, max_size=8)


@given(SETS, st.integers(1, 10**5))
def test_each_encloses_its_formula(sets, n):
    divergences, costs = (np.array(part) for part in zip(*sets, strict=True))
    costs = costs + math.log(len(costs))  # disjoint cells
    with mpmath.workdps(60):
        nats = [mpf(float(d)) * n + mpf(float(c)) for d, c in zip(divergences, costs, strict=True)]
        cells = -mpmath.log(mpmath.fsum(mpmath.exp(-x) for x in nats))
        for value, exact in (
            (feder_ball(divergences, costs, n), min(nats)),
            (feder_cells(divergences, costs, n), max(cells, mpf(0))),
            (mixture_regret(divergences[0], costs[0], n), nats[0]),
            (mixture_log_loss(divergences[0], costs[0]), mpf(divergences[0]) + mpf(costs[0])),
        ):
            assert exact <= mpf(float(value)) <= exact * (1 + mpf("1e-12")) + mpf("1e-13")


def test_cells_that_make_up_nearly_all_of_the_prior():
    """The costs cancel: rounding must stay on the safe side of what is left."""
    generator = np.random.default_rng(0)
    with mpmath.workdps(400):
        for cost in generator.uniform(25, 700, 200):
            divergence, least = generator.uniform(0, 0.1), math.exp(-cost) * generator.uniform(1, 2)
            exact = -mpmath.log(mpmath.exp(-mpf(least)) + mpmath.exp(-3 * mpf(divergence) - mpf(cost)))
            assert exact <= mpf(float(feder_cells([0.0, divergence], [least, cost], 3)))


@pytest.mark.parametrize(
    ("n", "redundancy", "cells", "ball"),
    [(10, 0.7760, 1.2005, 1.8926), (100, 1.8118, 2.3055, 3.0276), (1000, 2.9524, 3.4518, 4.1772)],
)
def test_coins_under_the_uniform_prior(n, redundancy, cells, ball):
    """theta = 0.2: redundancy <= -ln E exp(-n D) <= least over radii; Donsker and Varadhan at the best law of coins."""
    known = coin_problem(BernoulliUniversality(0.2, n), cells=40_000)
    x, (truth,) = known.quantities, known.truths.values()
    assert truth == pytest.approx(redundancy, abs=5e-5)
    assert feder_cells(x["cell_divergences"], x["cell_costs"], n) == pytest.approx(cells, abs=2e-3)
    assert feder_ball(x["ball_radii"], x["ball_costs"], n) == pytest.approx(ball, abs=5e-5)
    assert mixture_regret(x["mean_divergence"], x["kl"], n) == pytest.approx(cells, abs=5e-5)


def regret(truth, models, prior, n):
    """KL(P^n || mixture) over all sequences of n letters."""
    total = 0.0
    for word in product(range(len(truth)), repeat=n):
        chance = math.prod(truth[z] for z in word)
        if chance:
            mixed = sum(weight * math.prod(model[z] for z in word) for weight, model in zip(prior, models, strict=True))
            total += chance * math.log(chance / mixed)
    return total


@pytest.mark.parametrize("n", [1, 2, 5])
@pytest.mark.parametrize("seed", range(8))
def test_finite_mixtures_against_every_sequence(n, seed):
    """Models, prior and truth at random, the truth outside of the class; and the log-loss of each sequence."""
    generator = np.random.default_rng(seed)
    truth, prior = generator.dirichlet(np.ones(3)), generator.dirichlet(np.ones(4))
    models, q = generator.dirichlet(np.ones(3), 4), generator.dirichlet(np.ones(4))
    exact = regret(truth, models, prior, n)
    divergences = (truth * np.log(truth / models)).sum(axis=1)
    costs, kl = -np.log(prior), float((q * np.log(q / prior)).sum())
    cells = feder_cells(divergences, costs, n)
    assert exact <= cells <= feder_ball(divergences, costs, n)
    assert cells <= mixture_regret(q @ divergences, kl, n) * (1 + 1e-12)
    best = prior * np.exp(-n * divergences)
    best /= best.sum()
    least = mixture_regret(best @ divergences, float((best * np.log(best / prior)).sum()), n)
    assert least == pytest.approx(float(cells), rel=1e-9)
    for word in product(range(3), repeat=n):
        losses = -np.log(models[:, word]).sum(axis=1)
        paid = -math.log(prior @ np.exp(-losses))
        assert paid <= mixture_log_loss(q @ losses, kl)
        posterior = prior * np.exp(-losses)
        posterior /= posterior.sum()
        attained = mixture_log_loss(posterior @ losses, float((posterior * np.log(posterior / prior)).sum()))
        assert attained == pytest.approx(paid, rel=1e-9)


@given(SETS, st.integers(1, 1000), st.integers(1, 7))
def test_fewer_cells_are_a_larger_bound(sets, n, kept):
    divergences, costs = (np.array(part) for part in zip(*sets, strict=True))
    costs = costs + math.log(len(costs))
    assume(kept <= len(costs))
    whole = feder_cells(divergences, costs, n)
    assert whole <= feder_cells(divergences[:kept], costs[:kept], n) * (1 + 1e-12) + 1e-13
    assert whole <= feder_ball(divergences, costs, n) * (1 + 1e-12) + 1e-13
    assert feder_cells(divergences[:1], costs[:1], n) == pytest.approx(feder_ball(divergences[:1], costs[:1], n))


def test_flat_directions_cost_nothing():
    """A second parameter that does not move the law leaves the weight of the truth, and the regret, as they were."""
    n, radius = 1000, 1 / 2000
    line = np.linspace(0, 1, 2001)
    plane = np.stack(np.meshgrid(line, line[::40]), axis=-1).reshape(-1, 2)
    costs = [-math.log((binary_kl(0.3, part) <= radius).mean()) for part in (line, plane[:, 0])]
    assert costs[0] == pytest.approx(costs[1], rel=1e-9)
    assert feder_ball([radius], [costs[0]], n) == pytest.approx(float(feder_ball([radius], [costs[1]], n)))


@pytest.mark.parametrize("name", NAMES)
def test_worlds_come_close_and_none_refutes(name):
    finding = validate(get(name))
    assert not finding.broken
    assert 1 - 1e-12 < finding.ratio < 1.001


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("feder_ball", {"ball_costs": lambda given: np.multiply(given["ball_costs"], 0.9)}),
        ("feder_ball", {"n": lambda given: max(given["n"] // 2, 1)}),
        ("feder_cells", {"cell_divergences": lambda given: np.multiply(given["cell_divergences"], 0.5)}),
        ("mixture_regret", {"kl": lambda given: 0.0}),
        ("mixture_regret", {"mean_divergence": lambda given: given["mean_divergence"] / 2}),
        ("mixture_log_loss", {"kl": lambda given: given["kl"] * 0.9}),
    ],
    ids=["cost", "half of n", "half the divergence", "no prior", "half the mean", "part of the prior"],
)
def test_broken_variants_are_caught(name, changed, broken):
    assert not all(found.survived for found in attack(broken(name, **changed), 0.05))


def test_shapes_and_ends():
    table = feder_ball(np.zeros((3, 2)), np.ones(2), 10)
    assert table.shape == (3,)
    assert feder_ball([0.0, 1.0], [1.0, 0.0], np.array([1, 100])).tolist() == pytest.approx([1.0, 1.0])
    assert feder_cells([np.inf, 0.0], [0.7, 0.7], 5) == pytest.approx(0.7)
    assert feder_cells([np.inf], [0.7], 5) == feder_cells([1.0], [np.inf], 5) == np.inf
    assert feder_cells([0.0] * 4, [math.log(4)] * 4, 5) < 1e-13  # all of the prior is the truth
    assert mixture_regret(np.inf, 0.0, 5) == np.inf


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: feder_cells([0.0, 0.0], [0.1, 0.1], 5), "cell_costs must be .* masses that add up to 1.8"),
        (lambda: feder_ball([0.0, 1.0], [0.1], 5), r"ball_radii must be a list .* got shapes \(2,\) and \(1,\)"),
        (lambda: feder_ball([], [], 5), "ball_radii must be a list"),
        (lambda: feder_ball([-1.0], [0.1], 5), "ball_radii must be non-negative"),
        (lambda: feder_cells([1.0], [-0.1], 5), "cell_costs must be non-negative"),
        (lambda: mixture_regret(0.1, -1.0, 5), "kl must be non-negative"),
        (lambda: mixture_log_loss(-0.1, 1.0), "log_loss must be non-negative"),
        (lambda: mixture_regret(0.1, 1.0, 0), "n must be a whole number"),
    ],
)
def test_what_cannot_be_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
