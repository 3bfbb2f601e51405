import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genbounds.certificates.ledger import share
from genbounds.theorems import Grid, catalogue, get, tournament
from genbounds.worlds.strategies import gibbs_inputs

ONE_EVENT = ["maurer", "seeger_xi", "mcallester", "quadratic", "tolstikhin", "thiemann"]


def numbers(x):
    return {name: value for name, value in x.items() if name != "delta"} | {"lam": 0.7, "C": 1.3}


@given(gibbs_inputs())
def test_theorems_on_one_event_cost_nothing(x):
    found = tournament(ONE_EVENT, numbers(x), x["delta"])
    assert (found.candidates, found.delta) == (1, x["delta"])
    own = numbers(x) | {"delta": x["delta"]}
    for name in ONE_EVENT:
        theorem = get(name)
        expected = theorem.function(**{argument: own[argument] for argument in theorem.arguments})
        assert found.values[theorem.name] == expected
    assert found.value == min(found.values.values())
    assert found.values[found.winner] == found.value


@given(gibbs_inputs().filter(lambda x: x["delta"] > 1e-290), st.integers(1, 3))
def test_other_events_cost_ln_k(x, others):
    names = [*ONE_EVENT, *["catoni", "coin_betting_kl", "unexpected_bernstein"][:others]]
    inputs = numbers(x) | {"second_moment": x["risk"], "gamma": 0.5}
    found = tournament(names, inputs, x["delta"])
    assert found.candidates == others + 1
    assert found.delta == share(x["delta"], others + 1)
    theorem = get(found.winner)
    expected = theorem.function(**{name: (inputs | {"delta": found.delta})[name] for name in theorem.arguments})
    assert found.value == expected
    # delta / K is KL + ln K.
    dearer = inputs | {"kl": x["kl"] + math.log(others + 1)}
    again = theorem.function(**{name: (dearer | {"delta": x["delta"]})[name] for name in theorem.arguments})
    np.testing.assert_allclose(found.value, again, rtol=1e-9)


def test_a_choice_among_losers_never_helps():
    """Adding a theorem that does not win makes the result larger, if it has an event of its own."""
    inputs = {"risk": 0.02, "kl": 500.0, "n": 60_000, "weight_sum": 60.0, "weight_squares": 0.06}
    alone = tournament(["seeger_xi"], inputs, 0.05)
    with_loser = tournament(["seeger_xi", "time_uniform_hoeffding"], inputs, 0.05)
    assert with_loser.winner == alone.winner == "pac_bayes.seeger_xi"
    assert with_loser.value > alone.value
    assert tournament(["seeger_xi", "mcallester"], inputs, 0.05).value == alone.value


def test_a_grid_is_paid_on_top():
    inputs = {"risk": 0.1, "kl": 30.0, "n": 1000, "C": Grid([0.5, 1.0])}
    found = tournament(["catoni", "maurer"], inputs, 0.1)
    catoni = get("catoni").function
    assert found.values["pac_bayes.catoni"] == catoni(0.1, 30.0, 1000, 0.05, Grid([0.5, 1.0]))


def test_the_members_of_each_event():
    """Who claims to share an event is looked at here: a wrong claim would make a union free that is not."""
    shared = {}
    for name, theorem in catalogue().items():
        if theorem.event:
            shared.setdefault(theorem.event, set()).add(name)
    assert {f"pac_bayes.{name}" for name in ONE_EVENT} in shared.values()
    for event, members in shared.items():
        about = {(catalogue()[name].predictor, catalogue()[name].quantity) for name in members}
        assert len(about) == 1, event


@pytest.mark.parametrize(
    ("names", "inputs", "message"),
    [
        ([], {}, "names must be different theorems, at least one"),
        (["maurer", "pac_bayes.maurer"], {}, "names must be different theorems"),
        (["maurer", "occam_kl"], {}, "names must bound one quantity of one predictor"),
        (["maurer", "monte_carlo_kl"], {}, "names must bound one quantity of one predictor"),
        (["maurer", "catoni"], {"risk": 0.1, "kl": 1.0, "n": 10}, "inputs must hold C for pac_bayes.catoni"),
        (["maurer"], {}, "inputs must hold risk, kl, n for pac_bayes.maurer, got nothing"),
        (["maurer"], {"risk": [0.1, 0.2], "kl": 1.0, "n": 10}, "inputs must give pac_bayes.maurer one number"),
        (["maurer"], {"risk": 1.1, "kl": 1.0, "n": 10}, r"risk must be in \[0, 1\]"),
        (["nothing"], {}, "name must be one theorem of the catalogue"),
    ],
)
def test_what_cannot_be_compared_is_refused(names, inputs, message):
    with pytest.raises(ValueError, match=message):
        tournament(names, inputs, 0.05)


@pytest.mark.parametrize("delta", [0.0, 1.0, -0.1, math.nan])
def test_delta_out_of_range_is_refused(delta):
    with pytest.raises(ValueError, match="delta must be"):
        tournament(["maurer"], {"risk": 0.1, "kl": 1.0, "n": 10}, delta)
