import pickle

import pytest

from genbounds import pac_bayes
from genbounds.theorems import Assumption, Free, catalogue, theorem
from genbounds.theorems.theorem import REGISTERED

RECORD = {
    "statement": r"R \le 1",
    "formula": "R <= 1",
    "predictor": "deterministic",
    "assumes": (Assumption.LOSS_IN_UNIT_INTERVAL,),
    "reference": "Hoeffding1963",
    "locator": "trivially",
}


def one(risk):
    """Bound every risk by 1."""
    return 1.0 + 0.0 * risk


@pytest.fixture
def registry():
    """Leave the catalogue as it was found."""
    before = dict(REGISTERED)
    yield REGISTERED
    REGISTERED.clear()
    REGISTERED.update(before)


def test_the_decorator_returns_the_plain_function_and_records_it(registry):
    assert theorem(**RECORD)(one) is one
    record = registry[f"{one.__module__.split('.')[0]}.one"]
    assert record.function is one
    assert record.arguments == ("risk",)
    assert record.summary == "Bound every risk by 1."
    assert record.module == one.__module__
    assert (record.kind, record.quantity, record.uniform_over) == ("high probability", "risk", "")


def test_a_room_of_this_package_is_its_folder():
    record = catalogue()["pac_bayes.maurer"]
    assert record.module == "genbounds.pac_bayes.gibbs"
    assert record.function is pac_bayes.maurer


def test_a_second_theorem_of_the_same_name_is_refused(registry):
    theorem(**RECORD)(one)
    theorem(**RECORD)(one)  # the same function again: a module that was executed twice

    def other(risk):
        """Bound every risk by 1 in another place."""
        return 1.0

    other.__name__ = "one"
    with pytest.raises(ValueError, match=r"name of theorem .* must be new"):
        theorem(**RECORD)(other)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("statement", " ", "statement of theorem .*one must be non-empty text"),
        ("formula", "", "formula of theorem .*one must be non-empty text"),
        ("reference", "", "reference of theorem .*one must be non-empty text"),
        ("locator", None, "locator of theorem .*one must be non-empty text"),
        ("predictor", "posterior mean", "predictor of theorem .*one must be one of .*'gibbs'"),
        ("kind", "surely", "kind of theorem .*one must be one of"),
        ("kind", "expectation", "averages_over of theorem .*one must be text for a theorem that holds on average"),
        ("averages_over", "samples", "averages_over of theorem .*one must be text .* and for no other, got 'samples'"),
        ("assumes", (), "assumes of theorem .*one must be members of Assumption"),
        ("assumes", ("IID",), "assumes of theorem .*one must be members of Assumption"),
        ("parameters", (Free("lam", 0.0, 2.0, "?"),), "parameters of theorem .*one must be among .*'risk'"),
    ],
)
def test_a_theorem_that_cannot_be_stated_in_full_is_refused(registry, field, value, message):
    with pytest.raises(ValueError, match=message):
        theorem(**(RECORD | {field: value}))(one)
    assert not any(record.function is one for record in registry.values())


def test_a_theorem_without_docstring_is_refused(registry):
    def silent(risk):
        return 1.0

    with pytest.raises(ValueError, match=r"docstring of theorem .* must be present"):
        theorem(**RECORD)(silent)


def test_theorems_and_their_records_survive_pickling():
    for record in catalogue().values():
        copy = pickle.loads(pickle.dumps(record))
        assert copy == record
        assert copy.function is record.function
