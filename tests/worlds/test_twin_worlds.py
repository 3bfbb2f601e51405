"""Worlds that nothing can tell apart: their laws by enumeration, closed forms by simulation, and a bound in them."""

from collections import Counter
from fractions import Fraction
from itertools import product

import numpy as np
import pytest

from genbounds.pac_bayes import occam_kl
from genbounds.worlds import LinearMapTwins, MirroredNoise, ShatteredTwins


def exact_laws(d, n):
    """Return the laws of (S, h) in both worlds, and that of the risk in B given (S, h)."""
    a, b, risks = Counter(), Counter(), {}
    labellings = list(product([0, 1], repeat=d))
    for indices in product(range(d), repeat=n):
        for truth in labellings:
            chance = Fraction(1, d**n * 2**d)
            sample = tuple((i, truth[i]) for i in indices)
            a[sample, truth] += chance  # in world A the hypothesis is the truth
            consistent = [h for h in labellings if all(h[i] == truth[i] for i in indices)]
            for h in consistent:
                b[sample, h] += chance / len(consistent)
                risks.setdefault((sample, h), []).append(
                    Fraction(sum(x != y for x, y in zip(h, truth, strict=True)), d)
                )
    return a, b, risks


@pytest.mark.parametrize(("d", "n"), [(2, 1), (3, 2), (3, 3), (4, 2)])
def test_both_worlds_give_the_same_law_and_the_closed_forms(d, n):
    a, b, risks = exact_laws(d, n)
    assert a == b
    twins = ShatteredTwins(d, n)
    mean = sum(chance * sum(risks[pair]) / len(risks[pair]) for pair, chance in b.items())
    assert twins.mean_risk == pytest.approx(float(mean), rel=1e-12)
    floor = Fraction(0)
    for pair, chance in b.items():
        first = sum(risks[pair]) / len(risks[pair]) / 2  # either world with probability 1/2, the risk in A is 0
        second = sum(r * r for r in risks[pair]) / len(risks[pair]) / 2
        floor += chance * (second - first**2)
    assert twins.estimability_floor == pytest.approx(float(floor), rel=1e-12)


@pytest.mark.parametrize(("d", "n", "epsilon"), [(1000, 500, 0.152), (1000, 100, 0.226), (10_000, 100, 0.2475)])
def test_reference_values_and_draws(d, n, epsilon):
    twins = ShatteredTwins(d, n)
    assert twins.tightness == pytest.approx(epsilon, abs=6e-4)
    rng = np.random.default_rng(0)
    risks = [twins.draw(rng).risk_other for _ in range(300)]
    assert np.mean(risks) == pytest.approx(twins.mean_risk, abs=4 * np.std(risks) / 300**0.5)


def test_a_draw_agrees_with_its_sample():
    drawn = ShatteredTwins(20, 30).draw(np.random.default_rng(1))
    assert (drawn.hypothesis[drawn.indices] == drawn.labels).all()
    assert drawn.risk_own == 0


def test_a_valid_bound_survives_by_being_loose_where_the_truth_is_nought():
    """Occam's bound over all 2^d labellings is valid in both worlds, and so it is far from 0 in the first."""
    d, n, delta = 40, 60, 0.05
    twins, rng = ShatteredTwins(d, n), np.random.default_rng(2)
    bound = float(occam_kl(0.0, d * np.log(2), n, delta))
    risks = np.array([twins.draw(rng).risk_other for _ in range(500)])
    assert np.mean(risks > bound) <= delta
    assert bound >= np.quantile(risks, 1 - delta)
    assert bound > twins.mean_risk > 0.1  # and in the world where the hypothesis is the truth the risk is 0


def test_an_estimator_that_is_right_in_one_world_is_wrong_in_the_other():
    twins, rng = ShatteredTwins(200, 100), np.random.default_rng(3)
    draws = [twins.draw(rng) for _ in range(200)]
    others = [one.risk_other for one in draws]
    for guess in (0.0, twins.mean_risk, twins.tightness):
        errors = [np.mean(np.abs(guess - np.array(risks))) for risks in ([0.0], others)]
        assert max(errors) >= twins.tightness - 0.01


def invertible(matrix, q):
    """Eliminate over the field."""
    rows = [list(row) for row in matrix]
    for column in range(len(rows)):
        pivot = next((r for r in range(column, len(rows)) if rows[r][column] % q), None)
        if pivot is None:
            return False
        rows[column], rows[pivot] = rows[pivot], rows[column]
        inverse = pow(rows[column][column], -1, q)
        for r in range(column + 1, len(rows)):
            factor = rows[r][column] * inverse
            rows[r] = [(x - factor * y) % q for x, y in zip(rows[r], rows[column], strict=True)]
    return True


@pytest.mark.parametrize(("q", "k"), [(2, 1), (2, 2), (2, 3), (3, 2), (5, 2)])
def test_the_share_of_invertible_designs_by_enumeration(q, k):
    matrices = [np.reshape(entries, (k, k)) for entries in product(range(q), repeat=k * k)]
    share = sum(invertible(matrix.tolist(), q) for matrix in matrices) / len(matrices)
    assert LinearMapTwins(q, k).solvable == pytest.approx(share, rel=1e-12)


@pytest.mark.parametrize("q", [2, 3, 5])
def test_the_risk_of_a_map_that_misses_a_coordinate(q):
    """The error is a linear map that is not zero, here (1, 2, 0): it vanishes on 1/q of the inputs."""
    wrong = [(x + 2 * y) % q != 0 for x, y, _ in product(range(q), repeat=3)]
    assert LinearMapTwins(q, 2).risk == pytest.approx(np.mean(wrong), rel=1e-12)


@pytest.mark.parametrize(("q", "solvable"), [(2, 0.2889), (11, 0.9008), (101, 0.9900)])
def test_reference_values_of_linear_maps(q, solvable):
    twins = LinearMapTwins(q, 60)
    assert twins.solvable == pytest.approx(solvable, abs=2e-4)
    assert twins.failure == twins.solvable / 2


@pytest.mark.parametrize(
    "make", [lambda: LinearMapTwins(4, 2), lambda: LinearMapTwins(2, 0), lambda: ShatteredTwins(1, 2)]
)
def test_bad_worlds_are_refused(make):
    with pytest.raises(ValueError, match="must be"):
        make()


def test_the_mirrored_sample_is_all_wrong_though_the_risk_is_small():
    world = MirroredNoise(50, 50_000)
    assert world.typical_risk == pytest.approx(3.9e-5, rel=0.02)
    drawn = [world.draw(np.random.default_rng(seed)) for seed in range(3)]
    assert [(one.training_error, one.mirrored_error) for one in drawn] == [(0.0, 1.0)] * 3
    assert all(one.risk == pytest.approx(world.typical_risk, rel=0.5) for one in drawn)


def test_the_risk_given_the_weights_is_that_of_new_inputs():
    world, rng = MirroredNoise(20, 300), np.random.default_rng(4)
    signs = rng.choice([-1.0, 1.0], 20)
    noise = rng.standard_normal((20, 300)) * (32 / 300) ** 0.5
    weights = signs @ noise
    new = rng.standard_normal((20_000, 300)) * (32 / 300) ** 0.5
    share = np.mean(4 + new @ weights <= 0)  # the label's sign changes nothing: the noise is symmetric
    drawn = world.draw(np.random.default_rng(4))
    assert drawn.risk == pytest.approx(share, abs=4 * (share * (1 - share) / 20_000) ** 0.5)
