"""Costs of tokens and lengths against arbitrary precision, and the sum of all probabilities."""

import itertools
import math

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from genbounds.prompts import uniform_code_length
from genbounds.prompts.code_lengths import length_cost, token_costs, total_cost

LOGITS = st.floats(-1e4, 1e4, width=32)


@given(arrays(np.float32, st.integers(1, 40), elements=LOGITS), st.integers(0, 2**40 - 1))
def test_costs_are_never_below_the_softmax_and_hardly_above(logits, mask):
    allowed = np.array([mask >> place & 1 == 0 for place in range(len(logits))])
    allowed[0] = True
    costs = token_costs(logits, allowed)
    with mpmath.workdps(60):
        exact = [mpmath.mpf(float(value)) for value in logits]
        total = mpmath.log(mpmath.fsum(mpmath.exp(value) for value, keep in zip(exact, allowed, strict=True) if keep))
        for value, keep, cost in zip(exact, allowed, costs, strict=True):
            if keep:
                excess = mpmath.mpf(float(cost)) - (total - value)
                assert 0 < excess <= 3e-14 * (1 + total - value)
            else:
                assert cost == math.inf
        assert mpmath.fsum(mpmath.exp(-mpmath.mpf(float(cost))) for cost in costs) <= 1


def test_the_size_of_a_real_vocabulary_does_not_eat_the_margin():
    logits = np.random.default_rng(0).normal(0, 3, 50_000).astype(np.float16)
    costs = token_costs(logits, np.ones(50_000, dtype=bool))
    with mpmath.workdps(40):
        total = mpmath.fsum(mpmath.exp(-mpmath.mpf(float(cost))) for cost in costs)
        assert 1 - mpmath.mpf(10) ** -12 <= total <= 1


def test_a_model_may_exclude_tokens_itself():
    costs = token_costs([-math.inf, 0.0, 0.0], np.ones(3, dtype=bool))
    assert costs[0] == math.inf
    assert costs[1] == pytest.approx(math.log(2))


@pytest.mark.parametrize("logits", [[math.nan, 0.0], [math.inf, 0.0], [-math.inf, -math.inf]])
def test_logits_without_a_softmax_are_refused(logits):
    with pytest.raises(ValueError, match="logits must be numbers below infinity"):
        token_costs(logits, np.ones(2, dtype=bool))


def test_what_a_token_that_is_not_allowed_has_for_a_logit_does_not_matter():
    assert token_costs([0.0, math.nan], np.array([True, False])).tolist()[0] < 1e-12
    with pytest.raises(ValueError, match="one allowed token among them"):
        token_costs([0.0, 1.0], np.array([False, False]))


@given(st.lists(st.floats(0, 1e6), max_size=30))
def test_totals_are_rounded_up(costs):
    total = mpmath.fsum(map(mpmath.mpf, costs))
    assert total <= total_cost(costs) <= total * (1 + 2**-51)


@pytest.mark.parametrize(("vocabulary", "longest"), [(1, 1), (2, 4), (11, 3)])
def test_uniform_probabilities_of_all_prompts_add_up_to_one(vocabulary, longest):
    lengths = [
        len(prompt) for size in range(longest + 1) for prompt in itertools.product(range(vocabulary), repeat=size)
    ]
    total = math.fsum(np.exp(-uniform_code_length(lengths, vocabulary, longest)))
    assert 1 - 1e-13 <= total <= 1


def test_uniform_code_length_by_hand():
    assert length_cost(8) <= uniform_code_length(0, 49408, 8) <= length_cost(8) + 1e-14
    assert uniform_code_length(3, 10, 9) == pytest.approx(math.log(10) * 4, rel=1e-15)
    assert mpmath.mpf(float(uniform_code_length(3, 10, 9))) > 4 * mpmath.log(10)


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ((9, 10, 8), "tokens must be at most longest = 8, got 9"),
        ((-1, 10, 8), "tokens must be a whole number of at least 0"),
        ((1, 0, 8), "vocabulary must be a whole number of at least 1"),
        ((0, 10, 0), "longest must be a whole number of at least 1"),
    ],
)
def test_bad_numbers_are_refused(numbers, message):
    with pytest.raises(ValueError, match=message):
        uniform_code_length(*numbers)
