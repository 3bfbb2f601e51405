"""Pooled laws of train and ghost loss: identities with the error rates, exact coverage of their limits."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genbounds.information.averaged_rates import dong, wang_mao_interpolation
from genbounds.information.estimation.coin_divergences import COIN_DIVERGENCES
from genbounds.information.estimation.membership import membership_information, membership_limits, pooled_laws
from genbounds.numerics import binary_kl

UNIT = np.array([0.0, 1.0])
LAWS = st.lists(st.floats(1e-4, 1), min_size=4, max_size=4).map(lambda w: (np.array(w) / sum(w)).reshape(2, 2))


def test_pooling_counts_pairs_of_losses():
    codes = np.array([[[[0, 1], [1, 1]], [[0, 0], [1, 0]]]])
    masks = np.array([[[0, 1], [1, 0]]], dtype=np.int8)
    laws = pooled_laws(codes, masks, 2)
    # Training 0: train losses 0 and 1, ghost losses 1 and 1. Training 1: train 0 and 1, ghost 0 and 0.
    assert laws[0, 0].tolist() == [[0.0, 0.5], [0.0, 0.5]]
    assert laws[0, 1].tolist() == [[0.5, 0.0], [0.5, 0.0]]


@given(LAWS)
def test_one_loss_restates_the_two_error_rates(law):
    told = membership_information(law, UNIT)
    train, ghost = law[1].sum(), law[:, 1].sum()
    middle = (train + ghost) / 2
    divergence = (binary_kl(train, middle) + binary_kl(ghost, middle)) / 2
    assert told["single_loss_mi"][0] == pytest.approx(divergence, abs=1e-14)
    assert told["squared_differences"][0] == pytest.approx(law[0, 1] + law[1, 0])
    assert told["e_mi"][0] >= told["ld_mi"][0] - 1e-15
    assert told["e_mi"][0] >= told["single_loss_mi"][0] - 1e-15
    if ghost > train:
        assert dong(train, told["single_loss_mi"]) == pytest.approx(ghost, abs=1e-7)


def test_differences_restate_the_risk_without_train_errors():
    told = membership_information(np.array([[0.8, 0.2], [0.0, 0.0]]), UNIT)
    assert wang_mao_interpolation(0.0, told["ld_mi"]) == pytest.approx(0.2, abs=1e-12)


@given(st.integers(2, 4), st.integers(0, 10**6))
def test_more_levels_obey_the_chain(levels, seed):
    rng = np.random.default_rng(seed)
    law = rng.dirichlet(np.full(levels**2, 0.3)).reshape(levels, levels)
    told = membership_information(law, np.linspace(0, 1, levels))
    assert told["e_mi"][0] >= max(told["ld_mi"][0], told["single_loss_mi"][0]) - 1e-14
    between = COIN_DIVERGENCES["mutual"].between
    assert told["e_mi"][0] == pytest.approx(between(law.ravel(), law.T.ravel()), abs=1e-14)


def failure(law, pairs, delta):
    """Probability that any limit is below the truth, over pairs of independent trainings on one pair of examples."""
    truth = membership_information(law, UNIT)
    cells = list(itertools.product((0, 1), repeat=2))
    outcomes = {}
    for a, b in itertools.product(cells, repeat=2):
        key = tuple(sorted((a, b)))
        outcomes[key] = outcomes.get(key, 0.0) + law[a] * law[b]
    failed = 0.0
    for chosen in itertools.combinations_with_replacement(outcomes, pairs):
        ways = math.factorial(pairs) // math.prod(math.factorial(chosen.count(key)) for key in set(chosen))
        seen = np.zeros((1, 2 * pairs, 2, 2))
        for place, cell in enumerate(itertools.chain.from_iterable(chosen)):
            seen[0, place][cell] = 1.0
        limits = membership_limits(seen, UNIT, delta, "pairs")
        below = any(limits[name].value[0] < truth[name][0] - 1e-12 for name in truth)
        failed += ways * math.prod(outcomes[key] for key in chosen) * below
    return failed


@pytest.mark.parametrize("delta", [0.3, 0.9])
@pytest.mark.parametrize("law", [[[0.7, 0.3], [0, 0]], [[0.4, 0.3], [0.2, 0.1]], [[0.05, 0.9], [0.05, 0]]])
def test_exact_coverage(law, delta):
    assert failure(np.array(law), 3, delta) <= delta


def test_the_limits_close_in_on_the_truth():
    rng = np.random.default_rng(0)
    law = np.array([[0.8, 0.15], [0.02, 0.03]])
    truth = membership_information(law, UNIT)
    excess = []
    for trainings in (20, 200, 2000):
        seen = rng.multinomial(50, law.ravel(), (2, trainings)).reshape(2, trainings, 2, 2) / 50
        limits = membership_limits(seen, UNIT, 0.05, "pairs")
        excess.append([float(limits[name].value[0] - truth[name][0]) for name in truth])
        assert all(limit.value.shape == (1,) for limit in limits.values())
    assert np.all(np.diff(excess, axis=0) < 0)
    assert np.all(np.array(excess) > 0)


def test_nothing_seen_limits_nothing():
    limits = membership_limits(np.eye(4)[:1].reshape(1, 1, 2, 2), UNIT, 0.05, "independent")
    assert float(limits["e_mi"].value[0]) == pytest.approx(math.log(2), abs=0.05)
    assert float(limits["squared_differences"].value[0]) <= 1.0
