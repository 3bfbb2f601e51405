from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genbounds.certificates import CertificateError, Ledger, LedgerEntry, Union, share, split

DELTAS = st.floats(1e-300, 1, exclude_max=True)


@given(DELTAS, st.integers(1, 10**9))
def test_shares_never_add_up_to_more(budget, candidates):
    part = share(budget, candidates)
    assert Fraction(part) * candidates <= Fraction(budget)
    assert part >= budget / candidates * (1 - 2**-52)


@given(DELTAS, st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=9))
def test_parts_never_add_up_to_more(delta, weights):
    parts = split(delta, weights)
    assert sum(map(Fraction, parts)) <= Fraction(delta)
    assert sum(parts) == pytest.approx(delta, rel=1e-12)


@pytest.mark.parametrize("weights", [[], [1, 0], [1, -1], [float("nan")]])
def test_weights_are_positive(weights):
    with pytest.raises(CertificateError, match="weights"):
        split(0.1, weights)


@pytest.mark.parametrize("delta", [0, 1, -0.1, float("nan"), "0.1"])
def test_delta_is_a_probability(delta):
    for refused in (
        lambda: split(delta, [1]),
        lambda: share(delta, 1),
        lambda: Ledger(delta, ()),
        lambda: LedgerEntry("x", delta),
    ):
        with pytest.raises(CertificateError, match=r"(delta|budget) must be"):
            refused()


def test_round_trip_and_sums():
    ledger = Ledger(
        0.05, (LedgerEntry("a", 0.03, (Union("prior scale", 41), Union("seed", 3))), LedgerEntry("b", 0.01))
    )
    assert Ledger.from_json(ledger.to_json()) == ledger
    assert ledger.spent == Fraction(0.03) + Fraction(0.01)
    assert [entry.candidates for entry in ledger.entries] == [123, 1]
    assert ledger.entries_of("b") == ledger.entries[1:]


@pytest.mark.parametrize(
    ("content", "path"),
    [
        ({"delta": 0.1}, "entries is missing"),
        ({"delta": 0.1, "entries": {}}, "entries must be a list"),
        ({"delta": 0.1, "entries": [{"claim": "a"}]}, r"entries\[0\].budget is missing"),
        (
            {"delta": 0.1, "entries": [{"claim": "a", "budget": "0.1"}]},
            r"entries\[0\].budget must be a finite number, got '0.1'",
        ),
        (
            {"delta": 0.1, "entries": [{"claim": "a", "budget": 0.1, "unions": [{"over": "x", "candidates": 0}]}]},
            r"entries\[0\].unions\[0\].candidates must be a whole number of at least 1, got 0",
        ),
    ],
)
def test_errors_name_the_place(content, path):
    with pytest.raises(CertificateError, match=f"^{path}"):
        Ledger.from_json(content)
