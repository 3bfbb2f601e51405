"""What may stand inside a bound and what may not, by type."""

import json

import numpy as np
import pytest

from genbounds.information import Estimate, UpperLimit, applicable, plug_in, xu_raginsky
from genbounds.information.estimation.observations import INFORMATIONS
from genbounds.pac_bayes import maurer

ESTIMATE = plug_in([[9, 1], [2, 8]])


@pytest.mark.parametrize(
    "use",
    [
        np.asarray,
        np.sqrt,
        float,
        lambda estimate: estimate + np.zeros(2),
        lambda estimate: np.array([estimate, estimate]),
        lambda estimate: maurer(0.1, estimate, 100, 0.05),
        lambda estimate: xu_raginsky(estimate, 10, 0.5),
    ],
)
def test_an_estimate_is_no_number(use):
    with pytest.raises(
        ValueError, match=r"may not stand inside a bound.*UpperLimit from .*information_limits.*\.value"
    ):
        use(ESTIMATE)


def test_no_theorem_of_a_family_takes_an_estimate():
    """Each of them, with the estimate in the place of each argument in turn."""
    theorems = [theorem for theorem, _ in applicable([*INFORMATIONS, "e_mi", "ld_mi", "single_loss_mi"]).values()]
    assert len(theorems) >= 15
    for theorem in theorems:
        for place in theorem.arguments:
            numbers = {name: ESTIMATE if name == place else np.array([0.3]) for name in theorem.arguments}
            with pytest.raises(ValueError, match="may not stand inside a bound"):
                theorem.function(**numbers)


def test_an_upper_limit_is_a_number():
    limit = UpperLimit(np.array([0.02, 0.08]), 0.05, "a limit")
    assert np.array_equal(np.sqrt(limit), np.sqrt([0.02, 0.08]))
    assert float(UpperLimit(0.25, 0.05, "a limit")) == 0.25
    assert xu_raginsky(UpperLimit(0.3, 0.05, ""), 10, 0.5) == xu_raginsky(0.3, 10, 0.5)


def test_the_array_of_a_limit_is_a_copy():
    limit = UpperLimit(np.array([0.02, 0.08]), 0.05, "a limit")
    np.asarray(limit)[0] = 0.0
    assert limit.value[0] == 0.02


def test_both_are_json():
    batch = plug_in([[[9, 1], [2, 8]], [[5, 5], [5, 5]]])
    content = json.loads(json.dumps(batch.to_json()))
    assert content["value"] == batch.value.tolist()
    assert content["interval"] == [end.tolist() for end in batch.interval]
    assert json.loads(json.dumps(UpperLimit(np.float64(0.1), 0.05, "a limit").to_json()))["value"] == 0.1
    assert isinstance(batch, Estimate)
