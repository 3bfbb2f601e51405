"""The chain rule, and what every curve of information obeys: in finite worlds by enumeration, and in a Gaussian one."""

import json
import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2, norm

from genbounds.inductive_bias.chain_rule import InductiveBias, chained
from genbounds.rare_events import ConditionalTail, QuadraticForm, TailCurve, counted_conditional_tail, quadratic_tail
from genbounds.rare_events.counting import counted_tail

POINTS, TRAIN = 6, 3


def certain(levels, nats, method="enumeration"):
    nats = np.asarray(nats, dtype=np.float64)
    return TailCurve(levels, nats, np.zeros(len(nats)), nats, nats, 1.0, "exact", method)


def information(weights, losses, levels, given=True):
    """-ln P(loss <= level | given), summed in exact rational-like float arithmetic."""
    given = np.broadcast_to(given, losses.shape)
    with np.errstate(divide="ignore"):
        inside = [math.fsum(weights[given & (losses <= level)]) for level in levels]
        return np.abs(np.log(inside) - np.log(math.fsum(weights[given])))


def enumerated(weights, train, test, level, levels):
    """The three curves of a finite space of hypotheses."""
    fits = train <= level
    tail = ConditionalTail(
        certain([level], information(weights, train, [level])),
        certain(levels, information(weights, test, levels, fits)),
        certain(levels, information(weights, np.where(fits, test, np.inf), levels)),
    )
    return InductiveBias.of(tail, hypotheses="a finite space", train_loss="0-1 loss", test_loss="0-1 loss")


FUNCTIONS = np.array(list(product((0, 1), repeat=POINTS)))


def losses(target, functions=FUNCTIONS):
    wrong = functions != target
    return wrong[:, :TRAIN].mean(axis=1), wrong[:, TRAIN:].mean(axis=1)


@st.composite
def worlds(draw):
    """A prior over all Boolean functions of six points, a target, and a train level that something meets."""
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    weights = generator.dirichlet(np.full(len(FUNCTIONS), draw(st.sampled_from([0.05, 1.0, 50.0]))))
    return weights, FUNCTIONS[generator.integers(len(FUNCTIONS))], draw(st.sampled_from([0.0, 0.34, 1.0]))


LEVELS = np.array([0.0, 0.34, 0.67, 1.0])


@given(worlds())
@settings(deadline=None, max_examples=60)
def test_the_chain_rule_is_exact_where_hypotheses_are_enumerated(world):
    weights, target, level = world
    bias = enumerated(weights, *losses(target), level, LEVELS)
    assert bias.gap == pytest.approx(0.0, abs=1e-10)
    assert bias.consistent.all()
    assert bias.warnings == ()
    # Monotone, and nothing is needed for a level that all reach.
    for curve in (bias.generalisation, bias.total):
        assert (np.diff(curve.nats) <= 1e-12).all()
    assert bias.generalisation.nats[-1] == pytest.approx(0.0, abs=1e-12)
    assert bias.total.nats[-1] == pytest.approx(bias.train.nats[0], abs=1e-12)
    if level == 1.0:
        assert bias.train.nats[0] == pytest.approx(0.0, abs=1e-12)


def test_uniform_functions_learn_nothing_from_the_data():
    """All 2^k functions alike: k_train ln 2 for the data, k_test ln 2 beyond, whatever the target."""
    weights = np.full(len(FUNCTIONS), 1 / len(FUNCTIONS))
    bias = enumerated(weights, *losses(FUNCTIONS[11]), 0.0, [0.0])
    assert bias.train.bits == pytest.approx([TRAIN])
    assert bias.generalisation.bits == pytest.approx([POINTS - TRAIN])
    assert bias.total.bits == pytest.approx([POINTS])


def test_the_right_bias_moves_information_into_the_space():
    """Nine tenths of the prior on constant functions: little is left to be known of a constant, much of another."""
    constant = np.ptp(FUNCTIONS, axis=1) == 0
    weights = np.where(constant, 0.45, 0.1 / (len(FUNCTIONS) - 2))
    simple = enumerated(weights, *losses(np.zeros(POINTS)), 0.0, [0.0])
    other = enumerated(weights, *losses(np.array([0, 0, 0, 1, 1, 1])), 0.0, [0.0])
    assert simple.train.nats == pytest.approx(other.train.nats)
    # Seven of the 62 other functions are 0 on the three points of training.
    rest = 0.7 / 62
    assert simple.generalisation.nats == pytest.approx([-math.log(0.45 / (0.45 + rest))])
    assert other.generalisation.nats == pytest.approx([-math.log(0.1 / 62 / (0.45 + rest))])


@given(worlds())
@settings(deadline=None, max_examples=30)
def test_relabelling_outputs_changes_nothing(world):
    """Swapping the two classes everywhere, for a prior that does not tell them apart; one that does is caught."""
    weights, target, level = world
    flipped = {tuple(1 - function): place for place, function in enumerate(FUNCTIONS)}
    partner = np.array([flipped[tuple(function)] for function in FUNCTIONS])
    fair = (weights + weights[partner]) / 2
    one, other = (enumerated(fair, *losses(labels), level, LEVELS) for labels in (target, 1 - target))
    for name in ("train", "generalisation", "total"):
        assert getattr(one, name).nats == pytest.approx(getattr(other, name).nats, rel=1e-9, abs=1e-10)
    # Relabelling hypotheses with the labels needs no symmetry.
    moved = enumerated(weights[partner], *losses(1 - target), level, LEVELS)
    assert moved.total.nats == pytest.approx(enumerated(weights, *losses(target), level, LEVELS).total.nats)


def test_a_prior_that_tells_classes_apart_is_not_invariant():
    weights = np.random.default_rng(0).dirichlet(np.ones(len(FUNCTIONS)))
    target = FUNCTIONS[5]
    one, other = (enumerated(weights, *losses(labels), 0.34, LEVELS) for labels in (target, 1 - target))
    assert not np.allclose(one.total.nats, other.total.nats, atol=0.01)


@given(worlds(), worlds())
@settings(deadline=None, max_examples=20)
def test_independent_blocks_add_up_where_both_must_pass(first, second):
    weights = np.outer(first[0], second[0]).ravel()
    parts = [losses(first[1]), losses(second[1])]
    train, test = (np.maximum.outer(*(part[which] for part in parts)).ravel() for which in (0, 1))
    both = enumerated(weights, train, test, 0.34, LEVELS)
    alone = [enumerated(world[0], *part, 0.34, LEVELS) for world, part in zip((first, second), parts, strict=True)]
    for name in ("train", "generalisation", "total"):
        wanted = sum(getattr(bias, name).nats for bias in alone)
        assert getattr(both, name).nats == pytest.approx(wanted, rel=1e-8, abs=1e-9)


def test_counts_agree_with_the_enumeration():
    generator = np.random.default_rng(3)
    weights = generator.dirichlet(np.ones(len(FUNCTIONS)))
    train, test = losses(FUNCTIONS[20])
    truth = enumerated(weights, train, test, 0.34, LEVELS)
    drawn = generator.choice(len(FUNCTIONS), 20_000, p=weights)
    tail = counted_conditional_tail(train[drawn], test[drawn], 0.34, LEVELS, confidence=0.999)
    bias = InductiveBias.of(tail, hypotheses="a sample", train_loss="0-1 loss", test_loss="0-1 loss")
    assert bias.gap == pytest.approx(0.0, abs=1e-13)
    for name in ("train", "generalisation", "total"):
        estimate, exact = getattr(bias, name), getattr(truth, name).nats
        assert ((estimate.low <= exact) & (exact <= estimate.high)).all()


def test_a_gaussian_space_by_exact_curves():
    """Train loss z_1^2, test loss z_2^2 + z_3^2: independent, so that all three curves are closed forms."""
    levels = np.array([1e-8, 0.1, 1.0])
    train = quadratic_tail(QuadraticForm([1.0], [0.0]), [0.01])
    beyond = quadratic_tail(QuadraticForm([1.0, 1.0], [0.0, 0.0]), levels)
    bias = InductiveBias(train, beyond, chained(train, beyond), "N(0, I)", "squared error", "squared error")
    wanted = -math.log(2 * norm.cdf(0.1) - 1) - chi2.logcdf(levels, 2)
    assert bias.total.nats == pytest.approx(wanted, rel=1e-6)
    assert bias.total.kind == "exact"
    assert ((bias.total.low <= wanted + 1e-6) & (wanted - 1e-6 <= bias.total.high)).all()
    assert bias.consistent.all()


def test_interpolation_needs_infinitely_many_nats():
    train, beyond = certain([0.0], [math.inf]), certain([0.5, 1.0], [2.0, 1.0])
    total = chained(train, beyond)
    assert (total.nats == math.inf).all()
    bias = InductiveBias(train, beyond, total, "interpolating functions", "squared error", "squared error")
    assert bias.consistent.all()
    assert np.isnan(bias.gap).all()
    assert InductiveBias.from_json(json.loads(json.dumps(bias.to_json()))).total.nats.tolist() == [math.inf] * 2


def test_certain_curves_that_do_not_add_up_are_refused():
    parts = certain([0.0], [1.0]), certain([0.5, 1.0], [2.0, 1.0])
    with pytest.raises(ValueError, match=r"difference of 0\.001 nats at level 1"):
        InductiveBias(*parts, certain([0.5, 1.0], [3.0, 2.001]), "a law", "loss", "loss")
    InductiveBias(*parts, certain([0.5, 1.0], [3.0, 2.0 + 1e-12]), "a law", "loss", "loss")


def test_estimates_that_exclude_each_other_say_so():
    draws = np.random.default_rng(0).random((3, 500))
    train, beyond = counted_tail(draws[0], [0.5]), counted_tail(draws[1], [0.2, 0.9])
    right = counted_tail(draws[2] / 0.5, [0.2, 0.9])
    wrong = counted_tail(draws[2], [0.2, 0.9])  # the condition left out
    assert InductiveBias(train, beyond, right, "a law", "loss", "loss").warnings == ()
    bias = InductiveBias(train, beyond, wrong, "a law", "loss", "loss")
    assert not bias.consistent.any()
    assert "exclude each other at 0.2, 0.9" in bias.warnings[-1]


def test_sums_of_estimates_take_the_root_of_squares():
    draws = np.random.default_rng(1).random((2, 800))
    train, beyond = counted_tail(draws[0], [0.3]), counted_tail(draws[1], [1e-9, 0.1, 1.0])
    total = chained(train, beyond)
    assert np.isnan(total.nats).tolist() == [True, False, False]
    assert total.low[0] == train.low[0] + beyond.low[0]
    assert total.high[0] == math.inf
    assert total.nats[1] == train.nats[0] + beyond.nats[1]
    below = (train.nats[0] - train.low[0]) ** 2 + (beyond.nats[1] - beyond.low[1]) ** 2
    assert total.nats[1] - total.low[1] == pytest.approx(math.sqrt(below))
    assert total.standard_error[1] == pytest.approx(math.hypot(train.standard_error[0], beyond.standard_error[1]))
    assert (total.confidence, total.kind, total.samples) == (0.95, "estimate", 1600)
    assert total.warnings == beyond.warnings
    with pytest.raises(ValueError, match="one level, got 3"):
        chained(beyond, train)


def test_enclosures_add_up_and_an_estimate_beside_keeps_its_own_interval():
    """Certain ends are added; beside an exact value an estimate's interval is moved, at its own confidence."""
    train = TailCurve([0.0], [2.0], [0.0], [1.9], [2.2], 1.0, "exact", "an enclosure")
    beyond = TailCurve([0.5, 1.0], [3.0, 1.0], [0.0, 0.0], [2.5, 0.9], [3.5, 1.0], 1.0, "exact", "an enclosure")
    total = chained(train, beyond)
    assert total.low == pytest.approx([4.4, 2.8], rel=1e-15)
    assert total.high == pytest.approx([5.7, 3.2], rel=1e-15)
    assert (total.confidence, total.kind) == (1.0, "exact")
    exact, counted = certain([0.0], [2.0]), counted_tail(np.arange(50) / 50, [0.1, 0.5], confidence=0.9)
    for moved in (chained(exact, counted), chained(counted_tail([0.0, 1.0], [0.5], confidence=0.9), beyond)):
        assert (moved.confidence, moved.kind) == (0.9, "estimate")
    np.testing.assert_allclose(chained(exact, counted).low, counted.low + 2, rtol=1e-12)
    np.testing.assert_allclose(chained(exact, counted).high, counted.high + 2, rtol=1e-12)


def test_sums_cover():
    """P = 0.3 * 0.2 from 60 and 40 draws: at a nominal 95 %, never less than 93 % in 2,000 repetitions."""
    generator, inside = np.random.default_rng(2), 0
    table = {}
    for one, other in zip(generator.binomial(60, 0.3, 2000), generator.binomial(40, 0.2, 2000), strict=True):
        if (one, other) not in table:
            curves = [counted_tail(np.arange(n) >= k, [0.5]) for k, n in ((one, 60), (other, 40))]
            table[one, other] = chained(*curves)
        total = table[one, other]
        inside += total.low[0] <= -math.log(0.06) <= total.high[0]
    assert 0.93 <= inside / 2000 < 1.0


def test_levels_must_belong_together():
    train, beyond = certain([0.0], [1.0]), certain([0.5, 1.0], [2.0, 1.0])
    with pytest.raises(ValueError, match="condition must have one level"):
        InductiveBias(beyond, beyond, beyond, "a law", "loss", "loss")
    with pytest.raises(ValueError, match="same levels"):
        InductiveBias(train, beyond, certain([0.5, 1.1], [3.0, 2.0]), "a law", "loss", "loss")


def test_records_come_back_and_become_tables():
    draws = np.random.default_rng(0).random((2, 50))
    tail = counted_conditional_tail(*draws, 0.5, [1e-6, 0.5])
    bias = InductiveBias.of(tail, hypotheses="a law", train_loss="cross-entropy", test_loss="0-1 loss")
    back = InductiveBias.from_json(json.loads(json.dumps(bias.to_json())))
    assert back.to_json() == bias.to_json()
    assert back.test_loss == "0-1 loss"
    assert [warning.partition(":")[0] for warning in back.warnings] == ["generalisation", "total"]
    frame = bias.to_frame()
    assert frame["part"].tolist() == ["train", *["generalisation"] * 2, *["total"] * 2]
    assert frame["nats"].tolist()[0] == bias.train.nats[0]
    assert "bits" in frame
