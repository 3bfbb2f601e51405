"""Limits for the information about masks: exact coverage in enumerated experiments, and what would break it."""

import itertools
import math
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from genbounds.information import (
    UpperLimit,
    draw_masks,
    information_limits,
    mean_limit,
    population_gap_limit,
    population_risk_limit,
    steinke_zakynthinou,
)
from genbounds.information.estimation.coin_divergences import COIN_DIVERGENCES
from genbounds.information.estimation.limits import check_masks, coupling_limit, units
from genbounds.numerics import betting_upper, kl_upper
from genbounds.worlds import SupersampleLearning, blurred, classification, erm, memoriser
from genbounds.worlds.pairs import loss_pairs, prediction_pairs

LN2 = math.log(2)


def experiment(learning, number, tables):
    """Law of what one pair of trainings on a mask and its complement shows, for one supersample of a world.

    Keys are (mask of the first, symbols of both), each for all pairs of examples.
    """
    world, n = learning.world, learning.n
    points = learning.points[number]
    law = defaultdict(float)
    for mask in itertools.product((0, 1), repeat=n):
        rows = [world_row(learning, points, m) for m in (mask, tuple(1 - u for u in mask))]
        for first, second in itertools.product(range(len(world.prior)), repeat=2):
            weight = rows[0][first] * rows[1][second] / 2**n
            seen = tuple(tuple(int(tables[a, b, w]) for a, b in points) for w in (first, second))
            if weight > 0:
                law[mask, seen] += weight
    return law


def world_row(learning, points, mask):
    trained_on = points[np.arange(len(mask)), list(mask)]
    return learning.learner(learning.world, trained_on[None])[0]


def record(outcomes):
    """Masks and symbols of one supersample, from outcomes of pairs of trainings in order."""
    masks = [row for mask, _ in outcomes for row in (mask, [1 - u for u in mask])]
    return np.array([masks]), np.array([[row for _, seen in outcomes for row in seen]])


def sequences(law, pairs, pilot):
    """Everything that pairs of trainings can show, up to the order within the pilot and within the rest."""
    # Which of two complementary masks comes first is the same experiment.
    merged = defaultdict(float)
    for (mask, seen), weight in law.items():
        twin = (tuple(1 - u for u in mask), seen[::-1])
        merged[min((mask, seen), twin)] += weight
    parts = []
    for size in (pilot, pairs - pilot):
        found = []
        for chosen in itertools.combinations_with_replacement(merged, size):
            ways = math.factorial(size)
            for outcome in set(chosen):
                ways //= math.factorial(chosen.count(outcome))
            found.append((chosen, ways * math.prod(merged[outcome] for outcome in chosen)))
        parts.append(found)
    return [(first + second, p * q) for (first, p), (second, q) in itertools.product(*parts)]


def failure(law, pairs, truth, limit):
    """Probability that the mean of the limits, or of their roots, is below that of the true informations."""
    powers = np.array([[0.5], [1.0]])
    wanted = np.mean(np.power(truth, powers), axis=1)
    weights, failed = 0.0, 0.0
    for outcomes, weight in sequences(law, pairs, pairs // 3):
        weights += weight
        failed += weight * np.any(np.mean(np.power(limit(*record(outcomes)), powers), axis=1) < wanted - 1e-12)
    assert weights == pytest.approx(1)
    return failed


COIN = classification([0.5, 0.5], inputs=[0, 0], labels=[0, 1])
WORLDS = {
    "rare flips": (COIN, blurred(erm, 0.7), 1),
    "memoriser": (COIN, memoriser, 1),
    "two pairs": (COIN, blurred(erm, 0.5), 2),
}


def supersample(name):
    world, learner, n = WORLDS[name]
    learning = SupersampleLearning(world, learner, n)
    told = np.asarray(learning.f_cmi).sum(axis=1)
    return learning, int(np.argmax(told))


@pytest.mark.parametrize(("name", "pairs"), [("rare flips", 5), ("memoriser", 6), ("two pairs", 3)])
@pytest.mark.parametrize("delta", [0.3, 0.95])
def test_exact_coverage_in_a_world(name, pairs, delta):
    learning, number = supersample(name)
    law = experiment(learning, number, prediction_pairs(learning.world))
    kinds = int(prediction_pairs(learning.world).max()) + 1

    def limit(masks, symbols):
        return np.asarray(information_limits(symbols, masks, delta, kinds)).ravel()

    assert failure(law, pairs, np.asarray(learning.f_cmi)[number], limit) <= delta


@pytest.mark.parametrize("divergence", COIN_DIVERGENCES)
def test_how_often_it_fails_at_worst(divergence):
    """A symbol that flips in both trainings at once, each to another one: the coupling is as tight as it can be.

    Two pairs, none for the pilot; the flip rate just above what no flip excludes. Three quarters of delta are for
    couplings, and all of them are lost. A variant that spends twice as much fails more often than it says.
    """
    delta = 0.4

    def failed(spent):
        q = (1 - math.sqrt(0.75 * spent)) * (1 + 1e-9)
        law = {((0,), ((0,), (0,))): 1 - q, ((0,), ((1,), (2,))): q}
        truth = [COIN_DIVERGENCES[divergence].between(np.array([1 - q, q, 0]), np.array([1 - q, 0, q]))]

        def limit(masks, symbols):
            return np.asarray(information_limits(symbols, masks, spent, 3, divergence=divergence)).ravel()

        return failure(law, 2, truth, limit)

    assert failed(delta) == pytest.approx(0.75 * delta, rel=1e-6)
    assert failed(2 * delta) > delta


def flips(rate, pairs, examples):
    """Masks and symbols of one supersample where each example by itself differs with a rate."""
    law = {((0,), ((0,), (0,))): 1 - rate, ((0,), ((0,), (1,))): rate}
    for rows in itertools.product(itertools.product(law, repeat=pairs), repeat=examples):
        parts = [record(row) for row in rows]
        masks, symbols = (np.concatenate([part[side] for part in parts], axis=2) for side in (0, 1))
        yield masks, symbols, math.prod(law[outcome] for row in rows for outcome in row)


def test_the_coupling_fails_as_often_as_it_may_and_no_more():
    """No difference seen in m pairs excludes q > 1 - delta^(1/m): there the failure probability is delta itself."""
    delta, pairs = 0.3, 3

    def failed(spent):
        """Failure probability, at the worst rate, of a limit that spends some delta."""
        rate = (1 - spent ** (1 / pairs)) * (1 + 1e-9)
        return sum(
            weight * (coupling_limit(symbols, masks, np.ones((1, 1), bool), spent, "pairs", rare=True) < rate)
            for masks, symbols, weight in flips(rate, pairs, 1)
        )

    assert failed(delta) == pytest.approx(delta, rel=1e-6)
    assert failed(2 * delta) > delta  # the variant that spends one delta on two sets of examples


@pytest.mark.parametrize("rare", [True, False])
@pytest.mark.parametrize("rate", [0.05, 0.2, 0.4, 0.7])
def test_sorting_by_the_same_trainings_is_caught(rare, rate):
    """Examples chosen for never having differed do not differ: the pilot must be of its own."""
    delta, fair, broken = 0.3, 0.0, 0.0
    for masks, symbols, weight in flips(rate, 3, 2):
        differ = symbols[:, ::2] != symbols[:, 1::2]
        for pilot, same in ((1, False), (3, True)):
            where = ~differ[:, :pilot].any(axis=1)
            if where.any():
                rest = slice(0 if same else 2 * pilot, None)
                limit = coupling_limit(symbols[:, rest], masks[:, rest], where, delta, "pairs", rare)
                fair += weight * (limit < rate) * (not same)
                broken += weight * (limit < rate) * same
    assert fair <= delta
    if rate == 0.4 and rare:
        assert broken > delta


def test_ties_between_examples_cost_nothing():
    """A hundred examples that differ all at once: what is independent are the pairs of trainings, whatever they tie."""
    delta, pairs, n = 0.3, 5, 100
    for rate in np.linspace(0.02, 0.9, 23):
        failed = np.zeros(2)
        for count in range(pairs + 1):
            differ = np.arange(pairs) < count
            symbols = np.stack([np.zeros(pairs), differ], axis=1).reshape(1, -1, 1).repeat(n, axis=2).astype(int)
            masks = np.tile([0, 1], pairs).reshape(1, -1, 1).repeat(n, axis=2)
            limits = [
                coupling_limit(symbols, masks, np.ones((1, n), bool), delta, "pairs", rare) for rare in (True, False)
            ]
            failed += binom.pmf(count, pairs, rate) * (np.array(limits) < rate)
        assert np.all(failed <= delta)


def test_independent_masks_couple_where_they_differ():
    """All masks of four independent trainings on one pair of examples, and all flips."""
    delta, p = 0.6, (0.1, 0.7)  # probability of symbol 1 given each mask
    variation, failed = abs(p[0] - p[1]), 0.0
    for masks in itertools.product((0, 1), repeat=4):
        for symbols in itertools.product((0, 1), repeat=4):
            weight = math.prod((p[u] if v else 1 - p[u]) / 2 for u, v in zip(masks, symbols, strict=True))
            arrays = [np.array(row).reshape(1, 4, 1) for row in (symbols, masks)]
            limit = coupling_limit(*arrays, np.ones((1, 1), bool), delta, "independent", rare=True)
            failed += weight * (limit < variation)
    assert 0 < failed <= delta


def test_independent_masks_have_limits_too():
    rng = np.random.default_rng(0)
    masks = rng.integers(0, 2, (3, 400, 20))
    symbols = np.where(np.arange(20) == 0, masks, 0)
    limits = np.asarray(information_limits(symbols, masks, 0.05, 2, design="independent"))
    assert limits.shape == (3, 20)
    assert np.all(limits[:, 0] == pytest.approx(LN2))
    assert np.all(limits[:, 1:] < 0.05)


def test_examples_that_are_told_apart_are_sorted_out():
    """One example in ten is told apart for certain: it must not spoil the limit of the others."""
    rng = np.random.default_rng(1)
    half = rng.integers(0, 2, (5, 150, 40))
    masks = np.stack([half, 1 - half], axis=2).reshape(5, 300, 40)
    symbols = np.where(np.arange(40) < 4, masks, 0)
    limits = np.asarray(information_limits(symbols, masks, 0.05, 4))
    assert np.all(limits[:, :4] == pytest.approx(LN2))
    assert np.all(limits[:, 4:] < 0.01)


def test_flips_at_random_need_boxes():
    """Symbols that flip at random tell nothing: couplings cannot see that, boxes can with enough trainings."""
    rng = np.random.default_rng(2)
    half = rng.integers(0, 2, (1, 4000, 3))
    masks = np.stack([half, 1 - half], axis=2).reshape(1, 8000, 3)
    limits = np.asarray(information_limits(rng.integers(0, 2, masks.shape), masks, 0.05, 2))
    assert np.all(limits < 0.005)


@given(st.integers(1, 3), st.integers(2, 12), st.integers(0, 10**6))
def test_smaller_delta_and_fewer_trainings_limit_less(supersamples, pairs, seed):
    rng = np.random.default_rng(seed)
    half = rng.integers(0, 2, (supersamples, pairs, 4))
    masks = np.stack([half, 1 - half], axis=2).reshape(supersamples, 2 * pairs, 4)
    silent = np.zeros_like(masks)
    wide, narrow = (np.asarray(information_limits(silent, masks, delta, 4)) for delta in (0.01, 0.2))
    assert np.all(narrow <= wide)
    assert np.all(
        np.asarray(information_limits(np.tile(silent, (1, 2, 1)), np.tile(masks, (1, 2, 1)), 0.2, 4)) <= narrow
    )


def test_a_limit_stands_in_a_theorem():
    limit = UpperLimit(np.array([0.3]), 0.05, "")
    assert steinke_zakynthinou(limit, 10) == steinke_zakynthinou([0.3], 10)


def test_the_mean_limit_is_betting_on_pairs():
    values = np.random.default_rng(0).random((3, 8))
    pairs = (values[:, ::2] + values[:, 1::2]) / 2
    assert float(mean_limit(values, 0.1)) == pytest.approx(
        float(betting_upper(pairs.ravel(), math.log(0.1))), rel=1e-10
    )
    single = float(mean_limit(values, 0.1, design="independent"))
    assert single == pytest.approx(float(betting_upper(values.ravel(), math.log(0.1))), rel=1e-10)
    assert units(values, "independent") is values


def test_to_the_population():
    """The risk: kl+ over supersamples. The gap: both signs, on the scale of (1 + gap) / 2."""
    limit = UpperLimit(0.1, 0.05, "a limit")
    risk, gap = population_risk_limit(limit, 50, 0.02), population_gap_limit(limit, 50, 0.02)
    assert float(risk) == pytest.approx(float(kl_upper(0.1, math.log(50) / 50)), rel=1e-12)
    assert float(gap) == pytest.approx(2 * float(kl_upper(0.55, math.log(100) / 50)) - 1, rel=1e-10)
    assert risk.delta == gap.delta == pytest.approx(0.07)
    assert float(population_gap_limit(UpperLimit(1.0, 0.05, ""), 5, 0.05)) == 1.0


@pytest.mark.parametrize("failing", [0.0, 0.02])
def test_the_population_step_covers(failing):
    """Supersamples whose gap is 1 with probability g and else 0: exact coverage over their number."""
    k, delta = 12, 0.1
    for g in np.linspace(0.02, 0.98, 25):
        counts = np.arange(k + 1)
        risk = [float(population_risk_limit(UpperLimit(m / k, failing, ""), k, delta)) for m in counts]
        gap = [float(population_gap_limit(UpperLimit(m / k, failing, ""), k, delta)) for m in counts]
        weights = binom.pmf(counts, k, g)
        assert weights @ (np.array(risk) < g) <= delta
        assert weights @ (np.array(gap) < g) <= delta


@pytest.mark.parametrize(
    ("masks", "design", "message"),
    [
        (np.zeros((2, 3)), "pairs", "shape"),
        (np.full((1, 2, 1), 2), "pairs", "zeros and ones"),
        (np.full((1, 2, 1), np.nan), "pairs", "zeros and ones"),
        (np.zeros((1, 0, 1)), "pairs", "zeros and ones"),
        (np.zeros((1, 2, 1)), "pairs", "must be pairs U, 1 - U"),
        (np.zeros((1, 3, 1)), "pairs", "must be pairs U, 1 - U"),
        (np.zeros((1, 2, 1)), "balanced", "design must be"),
    ],
)
def test_masks_of_another_design_are_refused(masks, design, message):
    with pytest.raises(ValueError, match=message):
        check_masks(masks, design)


def test_trainings_that_repeat_are_not_taken_for_new_ones():
    """The same record twice, its pairs the other way round, or one set of masks for all supersamples."""
    masks = draw_masks(10, 60, seed=0)[None]
    other = draw_masks(10, 60, seed=1)[None]
    for design in ("pairs", "independent"):
        assert check_masks(np.concatenate([masks, other], axis=1)[:, :: 1 + (design == "independent")], design).any()
        for table in (np.concatenate([masks, masks], axis=1), np.concatenate([masks, 1 - masks]), masks.repeat(2, 0)):
            with pytest.raises(ValueError, match=r"masks must be drawn anew .* got one twice"):
                check_masks(table, design)
    check_masks(np.tile(draw_masks(10, 3, seed=0)[None], (2, 1, 1)))  # of so few pairs, chance repeats them


def test_balance_without_pairs_is_no_design():
    """Each column balanced, but by permutations: given one entry, trainings depend on one another."""
    rng = np.random.default_rng(0)
    masks = rng.permuted(np.tile([[0], [1]], (1, 4, 6)).reshape(1, 8, 6), axis=1)
    assert np.all(masks.sum(axis=1) == 4)
    with pytest.raises(ValueError, match="must be pairs"):
        information_limits(np.zeros_like(masks), masks, 0.05, 2)


@pytest.mark.parametrize(
    "symbols", [np.zeros((1, 2, 2), int), np.full((1, 2, 1), 4), np.full((1, 2, 1), -1), np.zeros((1, 2, 1))]
)
def test_symbols_that_cannot_occur_are_refused(symbols):
    with pytest.raises(ValueError, match="symbols must be whole numbers from 0 to 3"):
        information_limits(symbols, np.array([[[0], [1]]]), 0.05, 4)


def test_losses_pairs_can_be_the_symbols():
    """The limit for losses covers their information in the same experiment as that for predictions."""
    learning, number = supersample("rare flips")
    law = experiment(learning, number, loss_pairs(learning.world))

    def limit(masks, symbols):
        return np.asarray(information_limits(symbols, masks, 0.5, 4)).ravel()

    assert failure(law, 4, np.asarray(learning.e_cmi)[number], limit) <= 0.5


def test_the_enumerated_experiment_is_the_worlds():
    """Its law of symbol and mask is the one that the world computes."""
    learning, number = supersample("two pairs")
    first = defaultdict(float)
    for (mask, seen), weight in experiment(learning, number, prediction_pairs(learning.world)).items():
        first[mask[0], seen[0][0]] += weight
    law = np.asarray(learning.prediction_pair_laws)[number, 0]
    assert sorted(first.values()) == pytest.approx(sorted(law[law > 0]))
