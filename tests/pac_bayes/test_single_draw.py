import math

import mpmath
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from mpmath import mpf

from genbounds.certificates import CertificateError
from genbounds.certificates.balls import is_above
from genbounds.pac_bayes import blanchard_fleuret, catoni_single_draw, rivasplata, seeger_xi, viallard
from genbounds.theorems import Grid
from genbounds.worlds import FiniteWorld, shattered_points
from genbounds.worlds.single_draws import renyi_attack, single_draw_attack
from genbounds.worlds.strategies import finite_worlds, gibbs_inputs

BY_RATIO = {
    "rivasplata": rivasplata,
    "blanchard_fleuret": lambda risk, log_ratio, n, delta: blanchard_fleuret(risk, log_ratio, n, delta, 3.0),
    "catoni_single_draw": lambda risk, log_ratio, n, delta: catoni_single_draw(risk, log_ratio, n, delta, 1.5),
}
by_ratio = pytest.mark.parametrize("bound", BY_RATIO.values(), ids=BY_RATIO)


@st.composite
def draws(draw):
    """Arguments with a log ratio of either sign that no theorem refuses."""
    x = draw(gibbs_inputs())
    assume(x["n"] <= 10**6)
    lowest = math.log(x["delta"]) * (1 - 1e-9)
    ratio = draw(st.one_of(st.just(0.0), st.floats(max(lowest, -50.0), 0), st.floats(0, 1e6)))
    return {"risk": x["risk"], "log_ratio": ratio, "n": x["n"], "delta": x["delta"]}


@settings(max_examples=50)
@given(draws())
def test_rivasplata_encloses_the_formula(oracle, x):
    with oracle.precision():
        c = oracle.complexity(x["log_ratio"], x["n"], x["delta"], oracle.xi(x["n"]))
        assume(c > mpf("1e-9"))  # next to a right-hand side of 0 its digits cancel
        assert oracle.kl_upper_encloses(rivasplata(**x), x["risk"], c)


@settings(max_examples=50)
@given(gibbs_inputs())
def test_viallard_encloses_the_formula(oracle, x):
    assume(x["n"] <= 10**6)
    x["renyi"] = x.pop("kl")
    with oracle.precision():
        c = (mpf(x["renyi"]) + mpmath.log(oracle.xi(x["n"])) - 2 * mpmath.log(mpf(x["delta"]))) / x["n"]
        assert oracle.kl_upper_encloses(viallard(**x), x["risk"], c)


@given(draws(), st.floats(1e-3, 1e6))
def test_blanchard_fleuret_encloses_the_formula(oracle, x, b):
    with oracle.precision():
        ratio = max(mpf(x["log_ratio"]), mpf(0))
        c = ((1 + 1 / mpf(b)) * ratio + mpmath.log((mpf(b) + 1) / mpf(x["delta"]))) / x["n"]
        assert oracle.kl_upper_encloses(blanchard_fleuret(**x, b=b), x["risk"], c)


@given(draws(), st.floats(1e-2, 1e2))
def test_catoni_encloses_the_formula(oracle, x, C):
    with oracle.precision():
        exponent = mpf(C) * mpf(x["risk"]) + (mpf(x["log_ratio"]) - mpmath.log(mpf(x["delta"]))) / x["n"]
        assume(exponent > mpf("1e-9") * (abs(x["log_ratio"]) + 1))
        truth = mpmath.expm1(-exponent) / mpmath.expm1(-mpf(C))
        value = mpf(float(catoni_single_draw(**x, C=C)))
        assert min(truth, 1) <= value <= truth * (1 + mpf("1e-6")) + mpf("1e-15")


@pytest.mark.parametrize("bound", [blanchard_fleuret, catoni_single_draw])
def test_grids_pay_for_the_choice(bound):
    """The best of three values costs ln 3 nats; uneven shares cost their own."""
    numbers, values = (0.05, 4.0, 1000, 0.03), [0.5, 2.0, 8.0]
    alone = [bound(*numbers[:3], 0.01, value) for value in values]
    np.testing.assert_allclose(bound(*numbers, Grid(values)), min(alone), rtol=1e-12)
    shared = [
        bound(*numbers[:3], 0.03 * share, value) for share, value in zip((1 / 6, 1 / 2, 1 / 3), values, strict=True)
    ]
    np.testing.assert_allclose(bound(*numbers, Grid(values, [1, 3, 2])), min(shared), rtol=1e-12)


def test_by_hand():
    """xi(2) = 5/2: two examples without errors give 1 - sqrt(delta / (5/2) / ratio)."""
    assert rivasplata(0.0, 0.0, 2, 0.1) == pytest.approx(0.8, abs=1e-12)
    assert rivasplata(0.0, math.log(4), 2, 0.1) == pytest.approx(0.9, abs=1e-12)
    assert viallard(0.0, 0.0, 2, 0.5) == pytest.approx(1 - math.sqrt(0.1), abs=1e-12)
    assert blanchard_fleuret(0.0, -5.0, 2, 0.32, 1.0) == pytest.approx(0.6, abs=1e-12)  # 0.32 / 2 = 0.4^2
    assert blanchard_fleuret(0.0, math.log(2), 2, 0.32, 1.0) == pytest.approx(0.8, abs=1e-12)  # 0.16 / 2^2 = 0.2^2


def test_a_ratio_of_one_is_the_gibbs_bound_without_divergence():
    """Where Q = P the one draw costs what the average costs."""
    for n in (1, 17, 5000):
        assert rivasplata(0.1, 0.0, n, 0.05) == pytest.approx(seeger_xi(0.1, 0.0, n, 0.05), rel=1e-13)


def test_one_markov_inequality_is_cheaper_than_two():
    """The published form of the bound by D_2 pays ln(8 / delta) nats more."""
    n, delta, renyi = 1000, 0.05, 12.0
    published = (renyi + math.log(16 * math.sqrt(n) / delta**3)) / n
    ours = -math.log1p(-float(viallard(0.0, renyi, n, delta)))  # kl+(0, c) = 1 - exp(-c)
    assert published - ours > math.log(8 / delta) / n


@pytest.mark.parametrize(
    ("bound", "edge"),
    [(rivasplata, -math.log(2.5 / 0.1)), (BY_RATIO["catoni_single_draw"], math.log(0.1))],
    ids=["rivasplata", "catoni_single_draw"],
)
def test_a_draw_in_the_excluded_event_is_refused_and_not_clipped(bound, edge):
    assert bound(0.0, edge + 1e-9, 2, 0.1) < 1e-8
    for ratio in (edge - 1e-9, -1e300):
        with pytest.raises(ValueError, match=r"log_ratio must be large enough .* no certificate can be issued"):
            bound(0.0, ratio, 2, 0.1)
    with pytest.raises(ValueError, match="log_ratio must be large enough"):
        bound(0.0, np.array([1.0, edge - 1]), 2, 0.1)


def test_twins_refuse_what_the_theorems_refuse():
    for theorem, more in (("rivasplata", {}), ("catoni_single_draw", {"C": 1.0})):
        numbers = {"risk": 0.0, "log_ratio": -3.0, "n": 10, "delta": 0.9} | more
        with pytest.raises(CertificateError, match="event that the theorem excludes"):
            is_above(f"pac_bayes.{theorem}", numbers, 0.5)
    numbers = {"risk": 0.1, "log_ratio": -2.0, "n": 100, "delta": 0.05}
    value = float(rivasplata(**numbers))
    assert is_above("pac_bayes.rivasplata", numbers, value)
    assert not is_above("pac_bayes.rivasplata", numbers, value * (1 - 1e-12))


@by_ratio
@settings(max_examples=40)
@given(x=draws(), more=st.floats(0, 10))
def test_monotone(bound, x, more):
    value = float(bound(**x))
    assert 0 <= value <= 1
    above = value * (1 - 1e-12) - 1e-15
    assert bound(**(x | {"log_ratio": x["log_ratio"] + more})) >= above
    assert bound(**(x | {"risk": min(x["risk"] + more, 1.0)})) >= above
    assert bound(**(x | {"delta": x["delta"] / (1 + more)})) >= above


@by_ratio
def test_shapes_and_ends(bound):
    table = bound(np.array([[0.0], [0.3]]), 2.0, np.array([10, 100, 1000]), 0.05)
    assert table.shape == (2, 3)
    assert table[1, 2] == bound(0.3, 2.0, 1000, 0.05)
    assert bound(0.0, np.inf, 100, 0.05) == 1.0
    assert bound(0.0, 1e308, 1, 0.05) == 1.0
    assert viallard(0.0, np.inf, 100, 0.05) == viallard(0.0, 1e308, 1, 0.05) == 1.0


@by_ratio
@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ({"risk": 1.1}, r"risk must be in \[0, 1\]"),
        ({"log_ratio": math.nan}, "log_ratio must be a real number"),
        ({"log_ratio": -math.inf}, "log_ratio must be a real number above -infinity"),
        ({"log_ratio": "1"}, "log_ratio must be a real number"),
        ({"n": 0}, "n must be a whole number"),
        ({"delta": 1.0}, "delta must be strictly between"),
    ],
)
def test_bad_numbers_are_refused(bound, bad, words):
    with pytest.raises(ValueError, match=words):
        bound(**({"risk": 0.1, "log_ratio": 1.0, "n": 100, "delta": 0.05} | bad))


def test_bad_parameters_are_refused():
    with pytest.raises(ValueError, match="renyi must be non-negative"):
        viallard(0.1, -1.0, 100, 0.05)
    with pytest.raises(ValueError, match="b must be strictly between 0 and inf"):
        blanchard_fleuret(0.1, 1.0, 100, 0.05, 0.0)
    with pytest.raises(ValueError, match="C must be strictly between 0 and inf"):
        catoni_single_draw(0.1, 1.0, 100, 0.05, math.inf)


# Exact worlds: over sample and draw, for the most harmful posterior.

BAD = FiniteWorld([0.1, 0.9], [[0.0, 1.0], [0.0, 0.0]], [1 - 1e-9, 1e-9], "a bad predictor and a perfect one")


@by_ratio
@settings(max_examples=30)
@given(
    world=finite_worlds(max_points=3, max_hypotheses=4), n=st.integers(1, 4), delta=st.sampled_from([0.02, 0.3, 0.9])
)
def test_no_world_is_a_counterexample(bound, world, n, delta):
    assert single_draw_attack(bound, world, n, delta).survived


@settings(max_examples=30)
@given(
    world=finite_worlds(max_points=3, max_hypotheses=4), n=st.integers(1, 4), delta=st.sampled_from([0.02, 0.3, 0.9])
)
def test_no_world_is_a_counterexample_to_viallard(world, n, delta):
    assert renyi_attack(viallard, world, n, delta).survived


@pytest.mark.parametrize("bound", [rivasplata, BY_RATIO["catoni_single_draw"]], ids=["rivasplata", "catoni"])
def test_the_best_of_twenty_draws_is_not_covered(bound):
    """One draw keeps its word; drawing again until the number looks good fails many times as often."""
    delta = 0.02
    once = single_draw_attack(bound, BAD, 5, delta)
    often = single_draw_attack(bound, BAD, 5, delta, draws=20)
    assert once.survived
    assert often.failure > 5 * once.failure
    assert often.failure > 1.5 * delta


@pytest.mark.parametrize(
    "broken",
    [
        lambda risk, ratio, n, delta: rivasplata(risk, ratio, 2 * n, delta),
        lambda risk, ratio, n, delta: rivasplata(risk, 0 * ratio, n, delta),
        lambda risk, ratio, n, delta: rivasplata(risk, ratio, n, 10 * delta),
        lambda risk, ratio, n, delta: catoni_single_draw(risk, ratio, 2 * n, delta, 4.0),
        lambda risk, ratio, n, delta: np.min(
            [catoni_single_draw(risk, ratio, n, delta, C) for C in (2, 8, 32)], axis=0
        ),
        lambda risk, ratio, n, delta: blanchard_fleuret(risk, ratio, 2 * n, delta, 1.0),
        lambda risk, ratio, n, delta: blanchard_fleuret(risk, 0 * ratio, n, delta, 1.0),
    ],
    ids=["n", "ratio", "delta", "catoni n", "C after the fact", "hammer n", "hammer ratio"],
)
def test_broken_variants_are_caught(broken):
    worlds = [(BAD, 5, 0.02), (BAD, 40, 0.02), (shattered_points(4), 5, 0.02), (shattered_points(6), 6, 0.2)]
    assert not all(single_draw_attack(broken, *world).survived for world in worlds)


def test_a_dropped_divergence_is_caught():
    """Without D_2 all mass may go where the sample hides the risk."""
    world, n, delta = shattered_points(6), 6, 0.7
    assert not renyi_attack(lambda risk, renyi, n, delta: viallard(risk, 0 * renyi, n, delta), world, n, delta).survived
    assert renyi_attack(viallard, world, n, delta).survived


def test_the_adversary_is_as_harmful_as_the_proof_allows():
    """Few errors on a large sample: nearly all that Markov's inequality gives away is taken."""
    found = single_draw_attack(rivasplata, BAD, 5, 1e-6)
    assert 0.7e-6 < found.failure <= 1e-6


def test_drawing_from_the_prior_of_a_lone_predictor_is_a_test_set():
    """With one predictor there is nothing to choose: the failure is that of its errors alone."""
    world = FiniteWorld([0.6, 0.4], [[0.0, 1.0]])
    counts, weights = world.samples(30)
    fails = rivasplata(world.empirical_risks(counts)[:, 0], 0.0, 30, 0.05) < 0.4
    assert single_draw_attack(rivasplata, world, 30, 0.05).failure == pytest.approx(weights[fails].sum(), abs=1e-15)
