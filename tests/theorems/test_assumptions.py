import re

from genbounds.theorems import Assumption


def test_every_assumption_is_a_sentence_of_its_own():
    sentences = [assumption.value for assumption in Assumption]
    assert len(Assumption.__members__) == len(Assumption) == len(set(sentences))
    for assumption in Assumption:
        assert re.fullmatch(r"[A-Z][A-Z_]+", assumption.name)
        assert assumption.value[0].isupper()
        assert assumption.value.endswith(".")
