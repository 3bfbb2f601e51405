"""What tests of information bounds share: theorems with a mistake in them."""

from dataclasses import replace
from functools import wraps

import pytest

from genbounds.theorems import get


def _broken(name, part=1.0, **changed):
    theorem = get(name)

    @wraps(theorem.function)
    def function(**given):
        return part * theorem.function(**given | {argument: change(given) for argument, change in changed.items()})

    return replace(theorem, function=function)


@pytest.fixture
def broken():
    """``broken(name, part, argument=change)``: a theorem times a constant, and with arguments made from all of them."""
    return _broken
