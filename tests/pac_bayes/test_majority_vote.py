import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from mpmath import findroot, mpf

from genbounds.certificates import CertificateError
from genbounds.certificates.balls import is_above
from genbounds.numerics import kl_upper
from genbounds.pac_bayes import c_bound, first_order, seeger_xi, tandem, thiemann
from genbounds.theorems import get
from genbounds.worlds import lone_predictor, shattered_points
from genbounds.worlds.attacks.majority_vote import _attack_c_bound, _attack_first_order, _attack_tandem
from genbounds.worlds.strategies import finite_worlds, gibbs_inputs
from genbounds.worlds.votes import memorised_coins_attack, vote_attack, vote_moments


def inverse(oracle, q, c):
    """kl+(q, c) in many digits, from the other side than the package: by bisection."""
    q, low, high = mpf(q), mpf(q), mpf(1)
    for _ in range(180):
        middle = (low + high) / 2
        low, high = (low, middle) if oracle.relative_entropy(q, middle) > c else (middle, high)
    return high


@given(st.floats(0, 1))
def test_first_order_doubles(risk):
    assert first_order(risk) == min(2 * risk, 1)


@settings(max_examples=40)
@given(gibbs_inputs())
def test_tandem_encloses_the_formula(oracle, x):
    assume(x["n"] <= 10**6)
    with oracle.precision():
        c = oracle.complexity(2 * mpf(x["kl"]), x["n"], x["delta"], oracle.xi(x["n"]))
        truth = 4 * inverse(oracle, x["risk"], c)
        assert oracle.encloses(tandem(x["risk"], x["kl"], x["n"], x["delta"]), truth)


@settings(max_examples=40)
@given(gibbs_inputs(), st.floats(0, 0.9))
def test_c_bound_encloses_the_formula(oracle, x, share):
    assume(x["n"] <= 10**6)
    r = x["risk"]
    agreement = 1 - 2 * r * (1 - r) * share
    value = mpf(float(c_bound(r, agreement, x["kl"], x["n"], x["delta"])))
    with oracle.precision():
        constant = 2 * oracle.xi(x["n"])
        risk = inverse(oracle, r, oracle.complexity(x["kl"], x["n"], x["delta"], constant))
        agree = inverse(oracle, agreement, oracle.complexity(2 * mpf(x["kl"]), x["n"], x["delta"], constant))
        truth = 1 - (1 - 2 * risk) ** 2 / (2 * agree - 1) if risk < mpf(1) / 2 else mpf(1)
        assert truth <= value <= truth + mpf("1e-11") or value == 1


def test_by_hand():
    """A sample so large that only the moments count: W = 1/4 on all points has variance 0, W in {0, 1/2} has not."""
    n, delta = 2**52, 0.5
    assert tandem(1 / 16, 0.0, n, delta) == pytest.approx(1 / 4, abs=1e-6)
    assert c_bound(1 / 4, 1 - 2 * 3 / 16, 0.0, n, delta) == pytest.approx(0.0, abs=1e-6)
    # W = 1/2 on half of the points: R = 1/4, E W^2 = 1/8, both err or none on 3/4; Var = 1/16, (1/2 - R)^2 = 1/16.
    assert first_order(1 / 4) == 0.5
    assert tandem(1 / 8, 0.0, n, delta) == pytest.approx(1 / 2, abs=1e-6)
    assert c_bound(1 / 4, 3 / 4, 0.0, n, delta) == pytest.approx(1 / 2, abs=1e-6)


@given(st.floats(0.01, 0.4), st.floats(0, 1))
def test_the_c_bound_is_cantellis_inequality(risk, share):
    """With mean and variance of W in place of the two probabilities."""
    spread = share * risk * (1 - risk)  # E W (1 - W), at most this
    variance = risk - spread - risk**2
    value = c_bound(risk, 1 - 2 * spread, 0.0, 2**52, 0.5)
    assert value == pytest.approx(variance / (variance + (0.5 - risk) ** 2), abs=1e-5)


@settings(max_examples=40)
@given(gibbs_inputs(), st.floats(0.05, 1.95))
def test_tandem_is_below_the_published_relaxation(x, lam):
    x = x | {"kl": 2 * x["kl"]}
    published = 4 * float(thiemann(**x, lam=lam))
    assert float(tandem(x["risk"], x["kl"] / 2, x["n"], x["delta"])) <= max(published, 0) * (1 + 1e-12)


def test_equal_voters_gain_nothing_and_independent_ones_do():
    risk, kl, n, delta = 0.2, 3.0, 10_000, 0.05
    first = first_order(seeger_xi(risk, kl, n, delta))
    assert tandem(risk, kl, n, delta) > 1.9 * first
    assert tandem(risk**2, kl, n, delta) < 0.6 * first
    assert c_bound(risk, 1 - 2 * risk * (1 - risk), kl, n, delta) < 0.6 * first


def test_limits_say_which_claims_may_stand_for_arguments():
    assert get("first_order").limits["gibbs_risk"].quantity == "risk"
    assert get("tandem").limits["tandem_risk"].loss == "0-1 (both of two draws err)"
    assert get("c_bound").limits["agreement"].loss == "0-1 (two draws both err or are both right)"
    assert {get(name).predictor for name in ("first_order", "tandem", "c_bound")} == {"majority vote"}


@pytest.mark.parametrize("bound", [tandem, lambda risk, *rest: c_bound(risk, 1.0, *rest)], ids=["tandem", "c_bound"])
def test_ends_and_shapes(bound):
    assert bound(0.0, np.inf, 10**6, 0.05) == bound(0.0, 1e308, 1, 0.05) == bound(1.0, 0.0, 10**6, 0.05) == 1.0
    table = bound(np.array([[0.0], [0.01]]), 2.0, np.array([10**3, 10**4, 10**5]), 0.05)
    assert table.shape == (2, 3)
    assert table[1, 1] == bound(0.01, 2.0, 10**4, 0.05)
    assert isinstance(bound(0.01, 2.0, 10**4, 0.05), float)
    assert np.all(np.diff(table, axis=1) < 0)


def test_a_divergence_in_whole_numbers_is_doubled_all_the_same():
    """Twice 200 is 144 for eight bits."""
    assert tandem(0.01, np.uint8(200), 10**5, 0.05) == tandem(0.01, 200.0, 10**5, 0.05)
    assert c_bound(0.1, 0.9, np.uint8(200), 10**5, 0.05) == c_bound(0.1, 0.9, 200.0, 10**5, 0.05)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: first_order(-0.1), "gibbs_risk must be in"),
        (lambda: tandem(1.1, 1.0, 10, 0.05), "tandem_risk must be in"),
        (lambda: tandem(0.1, -1.0, 10, 0.05), "kl must be non-negative"),
        (lambda: tandem(0.1, math.nan, 10, 0.05), "kl must be a number"),
        (lambda: c_bound(0.1, 1.1, 1.0, 10, 0.05), "agreement must be in"),
        (lambda: c_bound(0.1, 0.9, 1.0, 0, 0.05), "n must be a whole number"),
        (lambda: c_bound(0.1, 0.9, 1.0, 10, 1.0), "delta must be strictly between"),
        (lambda: c_bound(0.1, 0.5, 0.0, 10**9, 0.05), "agreement must be at least 1 - 2 r"),
        (lambda: c_bound(0.4999, 0.3, 0.0, 10**9, 0.05), "agreement must be at least 1 - 2 r"),
    ],
)
def test_bad_numbers_are_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_the_twin_refuses_moments_of_no_posterior():
    numbers = {"risk": 0.1, "agreement": 0.5, "kl": 0.0, "n": 10**9, "delta": 0.05}
    with pytest.raises(CertificateError, match="are those of no posterior"):
        is_above("pac_bayes.c_bound", numbers, 0.5)
    assert is_above("pac_bayes.c_bound", numbers | {"risk": 0.5, "agreement": 0.6}, 0.99) is False


def test_the_inverse_of_the_oracle_is_one(oracle):
    with oracle.precision():
        found = inverse(oracle, 0.1, mpf("0.2"))
        root = findroot(lambda p: oracle.relative_entropy(mpf(0.1), p) - mpf("0.2"), mpf("0.4"))
        assert abs(found - root) < mpf("1e-40")


# Exact worlds.


def test_where_the_vote_errs_half_of_the_voters_err():
    """Plurality among ten classes, all votes of 7 voters enumerated at random: errors need half of them."""
    generator = np.random.default_rng(0)
    votes = generator.integers(10, size=(20_000, 7))
    counts = (votes[:, :, None] == np.arange(10)).sum(axis=1)
    ties_lost = counts[:, 1:].max(axis=1) >= counts[:, 0]  # the label is class 0
    assert np.all((counts[:, 0] <= 3.5)[ties_lost])
    assert np.any(~ties_lost & (counts[:, 0] <= 3.5))  # the converse fails: plurality needs no majority


@settings(max_examples=40)
@given(
    finite_worlds(max_points=3, max_hypotheses=4, zero_one=True), st.integers(1, 4), st.sampled_from([0.05, 0.5, 0.9])
)
def test_no_world_is_a_counterexample(world, n, delta):
    assert vote_attack(
        lambda _risk, tandem_risk, _agreement, *rest: tandem(tandem_risk, *rest),
        lambda _risk, tandem_risk, _agreement: 4 * tandem_risk,
        world,
        n,
        delta,
    ).survived
    assert vote_attack(
        lambda risk, _tandem_risk, agreement, *rest: c_bound(risk, agreement, *rest),
        lambda risk, _tandem_risk, _agreement: 0 * risk,
        world,
        n,
        delta,
    ).survived


@pytest.mark.parametrize(
    ("worlds", "broken"),
    [
        (_attack_first_order, lambda gibbs_risk: gibbs_risk),
        (_attack_first_order, lambda gibbs_risk: 1.99 * gibbs_risk),
        (_attack_tandem, lambda t, kl, n, delta: tandem(t, kl / 2, n, delta)),
        (_attack_tandem, lambda t, kl, n, delta: tandem(t, kl, 2 * n, delta)),
        (_attack_tandem, lambda t, kl, n, delta: tandem(t, kl, n, delta) / 2),
        (_attack_tandem, lambda t, kl, n, delta: 4 * kl_upper(t, 0 * kl + 1e-9 / n)),
        (_attack_c_bound, lambda r, a, kl, n, delta: c_bound(r, a, kl / 2, n, delta)),
        (_attack_c_bound, lambda r, a, kl, n, delta: c_bound(r, a, kl, 2 * n, delta)),
        (_attack_c_bound, lambda r, a, kl, n, delta: c_bound(r, a, 0 * kl, n, delta)),
    ],
    ids=[
        "factor 1",
        "factor 1.99",
        "KL once",
        "tandem n doubled",
        "factor 2",
        "no cost",
        "half KL",
        "C n doubled",
        "no KL",
    ],
)
def test_broken_variants_are_caught(worlds, broken):
    assert not all(found.survived for found in worlds(broken, 0.05))


def test_memorised_coins_are_what_they_are_said_to_be():
    """The same vote among few points, by enumeration: W is p on the sample and 1/2 off it."""
    world = shattered_points(3)
    p, seen = 0.2, np.array([True, True, False])
    errs = world.losses.astype(bool)
    posterior = np.prod(np.where(seen, np.where(errs, p, 1 - p), 0.5), axis=1)
    risk, tandem_risk, agreement, vote = vote_moments(posterior @ world.losses, world.probabilities)
    assert risk == pytest.approx((2 * p + 0.5) / 3)
    assert tandem_risk == pytest.approx((2 * p**2 + 0.25) / 3)
    assert agreement == pytest.approx((2 * (p**2 + (1 - p) ** 2) + 0.5) / 3)
    assert vote == pytest.approx(1 / 3)
    kl = float((posterior * np.log(posterior / world.prior)).sum())
    assert kl == pytest.approx(2 * (p * math.log(2 * p) + (1 - p) * math.log(2 * (1 - p))))


def test_memorised_coins_hurt_only_what_is_wrong():
    right = memorised_coins_attack(lambda _r, t, _a, *rest: tandem(t, *rest), 10_000, 0.05)
    wrong = memorised_coins_attack(lambda _r, t, _a, kl, n, delta: tandem(t, kl / 2, n, delta), 10_000, 0.05)
    assert right.failure == 0
    assert wrong.failure > 0.999


def test_first_order_is_attained():
    assert min(found.slack for found in _attack_first_order(first_order, 0.05)) == 0


def test_a_lone_voter_votes_as_it_errs():
    found = vote_attack(
        lambda _r, t, _a, *rest: tandem(t, *rest), lambda _r, t, _a: 4 * t, lone_predictor(0.1), 200, 0.05
    )
    assert found.survived
