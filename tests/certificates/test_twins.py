"""Every theorem of the catalogue and its ball twin: one never below the other, and never far above."""

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genbounds.certificates import CertificateError
from genbounds.certificates.balls import is_above, slack
from genbounds.certificates.claim import evaluate
from genbounds.certificates.twins import TWINS
from genbounds.theorems import catalogue

RISKS = st.floats(0, 1) | st.sampled_from([0.0, 1.0, 1e-12, 1 - 1e-12])
DELTAS = st.floats(1e-9, 0.999)
ARGUMENTS = {
    "risk": RISKS,
    "subsample_risk": RISKS,
    "previous": RISKS,
    "reference": RISKS,
    "gamma": RISKS,
    "frequency_0": RISKS,
    "frequency_1": RISKS,
    "frequency_2": RISKS,
    "frequency_3": RISKS,
    "kl": st.floats(0, 1e5) | st.sampled_from([0.0, 1e-9]),
    "kl_forward": st.floats(0, 1e5) | st.just(0.0),
    "kl_backward": st.floats(0, 1e5) | st.just(0.0),
    "code_length": st.floats(0, 1e5) | st.just(0.0),
    "delta": DELTAS,
    "n": st.integers(1, 10**6),
    "draws": st.integers(1, 10**6),
    "documents": st.integers(1, 10**7),
    "subsample": st.integers(1, 10**5),
    "tokens": st.integers(1, 10**9),
    "lam": st.floats(1e-3, 1.999),
    "values": st.lists(st.floats(0, 1), min_size=1, max_size=40),
    "gibbs_risk": st.floats(1e-9, 0.49),
    "tandem_risk": RISKS,
    "log_ratio": st.floats(0, 1e5) | st.just(0.0),
    "renyi": st.floats(0, 1e5) | st.just(0.0),
    "variance": RISKS,
    "second_moment": RISKS,
    "mu": st.floats(0.01, 0.99),
    "weight_sum": st.floats(1e-3, 1e6),
    "margin_risk": RISKS,
    "layer_norms": st.lists(st.floats(0.1, 10), min_size=1, max_size=4),
    "classes": st.integers(2, 1000),
    "spectral_norms": st.lists(st.floats(0.1, 10), min_size=3, max_size=3),
    "frobenius_norms": st.lists(st.floats(0.1, 30), min_size=3, max_size=3),
    "row_norm_sums": st.lists(st.floats(0.1, 30), min_size=3, max_size=3),
    "margin": st.floats(1e-3, 1e3),
    "input_norm": st.floats(1e-2, 1e2),
    "width": st.integers(2, 10**4),
    "mutual_information": st.floats(0, 1e4) | st.sampled_from([0.0, 1e-9]),
    "leakage": st.floats(0, 1e5) | st.just(0.0),
    "information": st.floats(0, 1e5) | st.just(0.0),
    "train_risk": RISKS,
    "supersample_kl": st.floats(0, 1e5) | st.sampled_from([0.0, 1e-9]),
    "sibson": st.floats(0, 1e5) | st.just(0.0),
    "alpha": st.floats(1.001, 100),
}
GRIDS = st.lists(st.tuples(st.floats(1e-3, 30), st.floats(0.1, 10)), min_size=1, max_size=5).map(
    lambda pairs: {"grid": [c for c, _ in pairs], "weights": [weight for _, weight in pairs]}
)


@st.composite
def inputs(draw, theorem):
    arguments = catalogue()[theorem].arguments
    drawn = {name: draw(ARGUMENTS[name]) for name in arguments if name in ARGUMENTS}
    if "errors" in arguments:
        trials = drawn["n" if "n" in arguments else "draws"]
        drawn["errors"] = draw(st.integers(0, trials) | st.integers(0, min(trials, 50)))
    if "kl_forward" in arguments:
        drawn["n"] += 1  # two halves
    if "variance" in arguments:
        drawn["n"] += 1  # a pair
    if "second_moment" in arguments:
        drawn["gamma"] = draw(st.floats(1e-3, 0.999) | st.just({"grid": [0.5, 0.25, 0.125], "weights": [1, 2, 1]}))
    if "mu" in arguments:
        drawn["excess_above"] = draw(RISKS) * (1 - drawn["mu"])
        drawn["shortfall_below"] = draw(RISKS) * drawn["mu"]
    if "levels" in arguments:
        drawn["levels"] = sorted(draw(st.sets(st.integers(0, 40), min_size=2, max_size=6)))
        steps = len(drawn["levels"]) - 1
        drawn["frequencies"] = draw(st.lists(RISKS, min_size=steps, max_size=steps))
    if "weight_sum" in arguments:
        drawn["weight_squares"] = drawn["weight_sum"] ** 2 / drawn["n"] * draw(st.floats(1, 5))
    if "C" in arguments:
        drawn["C"] = draw(st.floats(1e-3, 30) | GRIDS)
    if "b" in arguments:
        drawn["b"] = draw(st.floats(1e-3, 30) | GRIDS)
    if "agreement" in arguments:  # two draws cannot disagree more often than this
        drawn["agreement"] = draw(st.floats(1 - 1.96 * drawn["risk"] * (1 - drawn["risk"]), 1))
    return {name: drawn[name] for name in arguments}


def test_every_theorem_that_a_certificate_may_state_has_a_twin():
    stated = {name for name, theorem in catalogue().items() if theorem.kind == "high probability"}
    assert set(TWINS) == stated


@pytest.mark.parametrize("theorem", sorted(TWINS))
@settings(max_examples=40)
@given(data=st.data())
def test_twin_agrees(theorem, data):
    given_inputs = data.draw(inputs(theorem))
    value = evaluate(theorem, given_inputs, {})
    assert is_above(theorem, given_inputs, value) is True
    assert is_above(theorem, given_inputs, value * (1 - 1e-11)) is False


@pytest.mark.parametrize("theorem", ["pac_bayes.maurer", "pac_bayes.seeger_xi"])
@pytest.mark.parametrize("n", [10**6 + 1, 10**8, 10**12, 2**53 - 1])
def test_beyond_the_exact_constant(theorem, n):
    given_inputs = {"risk": 0.01, "kl": 500.0, "n": n, "delta": 0.025}
    value = evaluate(theorem, given_inputs, {})
    assert is_above(theorem, given_inputs, value)
    assert slack(theorem, given_inputs, value) <= 1e-9


def test_twins_against_known_values():
    """Closed forms by hand, so that a twin and its theorem cannot share a misprint."""
    known = [
        ("pac_bayes.maurer", {"risk": 0.0, "kl": 0.0, "n": 100, "delta": 0.05}, 1 - 400 ** (-1 / 100)),
        ("pac_bayes.seeger_xi", {"risk": 0.0, "kl": 0.0, "n": 2, "delta": 0.1}, 0.8),
        ("pac_bayes.clopper_pearson", {"errors": 0, "n": 10, "delta": 0.05}, 1 - 0.05**0.1),
        ("pac_bayes.clopper_pearson", {"errors": 1, "n": 2, "delta": 0.19}, 0.9),
        (
            "pac_bayes.occam_binomial",
            {"errors": 0, "code_length": 6000.0, "n": 6000, "delta": 0.5},
            1 - np.exp(-1) * 0.5 ** (1 / 6000),
        ),
        ("pac_bayes.monte_carlo_binomial", {"errors": 1, "draws": 4, "delta": 0.9}, 0.5),
        ("pac_bayes.monte_carlo_betting", {"values": [0.2], "delta": 0.05}, 0.96),
        (
            "pac_bayes.catoni",
            {"risk": 0.0, "kl": 0.0, "n": 1, "delta": 0.8, "C": {"grid": [np.log(2), np.log(4)], "weights": [1, 1]}},
            0.8,
        ),
    ]
    for theorem, given_inputs, exact in known:
        assert is_above(theorem, given_inputs, exact * (1 + 1e-13)), theorem
        assert is_above(theorem, given_inputs, exact * (1 - 1e-13)) is False, theorem


@pytest.mark.parametrize("value", [1.0, 1.5])
def test_one_is_always_above(value):
    assert is_above("pac_bayes.maurer", {"risk": 1.0, "kl": 1e9, "n": 1, "delta": 0.1}, value)


@pytest.mark.parametrize("value", [0.0, -1.0, 0.0999])
def test_below_the_empirical_risk(value):
    for theorem in ("maurer", "mcallester", "quadratic", "tolstikhin"):
        assert is_above(f"pac_bayes.{theorem}", {"risk": 0.1, "kl": 0.0, "n": 10**6, "delta": 0.1}, value) is False
    assert is_above("pac_bayes.clopper_pearson", {"errors": 10, "n": 100, "delta": 0.1}, value) is False
    assert is_above("pac_bayes.monte_carlo_betting", {"values": [0.1, 0.1], "delta": 0.1}, value) is False


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"risk": 1.2}, r"inputs.risk must be in \[0, 1\], got 1.2"),
        ({"kl": -1e-9}, "inputs.kl must be at least 0"),
        ({"n": 0}, "inputs.n must be a whole number of at least 1"),
        ({"n": 10.5}, "inputs.n must be a whole number"),
        ({"n": 1e300}, "inputs.n must be a whole number of at least 1 and below"),
        ({"delta": 1.0}, "inputs.delta must be strictly between 0 and 1"),
        ({"delta": {"claim": "x"}}, "inputs.delta must be strictly between 0 and 1, got {'claim'"),
    ],
)
def test_inputs_out_of_range(change, sentence):
    with pytest.raises(CertificateError, match=sentence):
        is_above("pac_bayes.maurer", {"risk": 0.1, "kl": 1.0, "n": 10, "delta": 0.1} | change, 0.5)


def test_errors_among_trials():
    with pytest.raises(CertificateError, match=r"inputs.errors must be at most the number of trials"):
        is_above("pac_bayes.clopper_pearson", {"errors": 11, "n": 10, "delta": 0.1}, 0.5)


def test_slack_is_measured():
    given_inputs = {"errors": 0, "n": 10, "delta": 0.05}
    exact = 1 - 0.05**0.1
    found = [
        slack("pac_bayes.clopper_pearson", given_inputs, exact * (1 + loose)) for loose in (1e-13, 1e-7, 5e-2, 2.0)
    ]
    assert found == [1e-12, 1e-6, 1e-1, 1.0]


def test_the_limit_of_the_binomial_step_may_be_met_exactly():
    given_inputs = {"errors": 1, "draws": 4, "delta": 0.9}
    assert is_above("pac_bayes.monte_carlo_binomial", given_inputs, 0.5) is True
    assert is_above("pac_bayes.monte_carlo_binomial", given_inputs, np.nextafter(0.5, 0)) is False


def test_inverses_that_halving_would_meet_exactly():
    """Inner inverses of 7/8 and 1/2, which no precision tells from themselves, and one of next to no error."""
    cut = {"excess_above": 0.0, "shortfall_below": 0.0, "kl": 0.0, "n": 1, "delta": 0.5, "mu": 0.5}
    assert is_above("pac_bayes.split_kl", cut, evaluate("pac_bayes.split_kl", cut, {})) is True
    for risk in (0.0, 5e-324):
        part = {"subsample_risk": risk, "code_length": 5.0, "documents": 2, "subsample": 2, "delta": 0.5}
        value = evaluate("pac_bayes.subsampled_occam", part, {})
        assert is_above("pac_bayes.subsampled_occam", part, value) is True
        assert is_above("pac_bayes.subsampled_occam", part, value * (1 - 1e-12)) is False


@pytest.mark.parametrize("delta", [1.5e-323, 2e-323, 2.5e-310])
def test_a_delta_that_cannot_be_halved_exactly(delta):
    for name, more in (("tolstikhin_seldin", {"variance": 0.01}), ("c_bound", {"agreement": 0.9})):
        numbers = {"risk": 0.1, **more, "kl": 1.0, "n": 10**5, "delta": delta}
        assert is_above(f"pac_bayes.{name}", numbers, evaluate(f"pac_bayes.{name}", numbers, {})) is True


def test_a_theorem_without_a_twin_is_named(monkeypatch):
    monkeypatch.delitem(TWINS, "pac_bayes.maurer")
    with pytest.raises(CertificateError, match=r"pac_bayes.maurer has no twin in ball arithmetic"):
        is_above("pac_bayes.maurer", {"risk": 0.1, "kl": 1.0, "n": 10, "delta": 0.1}, 0.5)


def test_missing_flint_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "flint", None)
    with pytest.raises(ImportError, match="pip install python-flint"):
        is_above("pac_bayes.maurer", {"risk": 0.1, "kl": 1.0, "n": 10, "delta": 0.1}, 0.5)
