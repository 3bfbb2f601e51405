import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_ndtr, ndtr

from genbounds.models.randomness import stream
from genbounds.rare_events import QuadraticForm, quadratic_tail
from genbounds.rare_events.splitting.moves import Shape
from genbounds.rare_events.splitting.stages import Rung, Splitting, next_threshold


def engine(seed, *, dimension=2, chains=2, moves=2, shaped=False, share=0.1):
    generator = stream(seed, "splitting")
    return Splitting(
        dimension, chains=chains, moves=moves, share=share, generator=generator, dtype=torch.float64, shaped=shaped
    )


def half_space(z):
    return -z[:, 0]


@settings(deadline=None)
@given(st.lists(st.integers(0, 5), min_size=2, max_size=60), st.floats(0.01, 0.5))
def test_thresholds_with_ties(values, share):
    """Attained, above the least value, so that what lies below is not empty; and never far when nothing is tied."""
    threshold = next_threshold(torch.tensor(values, dtype=torch.float64), share)
    if len(set(values)) == 1:
        assert threshold == -math.inf
    else:
        assert threshold in values
        assert 0 < sum(v < threshold for v in values) < len(values)
    alone = torch.arange(len(values), dtype=torch.float64)
    assert int((alone < next_threshold(alone, share)).sum()) == min(max(1, round(share * len(values))), len(values) - 1)


def test_thresholds_take_the_nearer_share():
    assert next_threshold(torch.tensor([0.0] + [1.0] * 20 + [2.0] * 79), 0.1) == 2.0  # 0.21 is nearer to 0.1 than 0.01
    assert next_threshold(torch.tensor([0.0] * 9 + [1.0] * 80 + [2.0] * 11), 0.1) == 1.0
    assert next_threshold(torch.tensor([0.0] + [1.0] * 99), 0.1) == 1.0


LADDER = [Rung(-0.5, 0.9, Shape(torch.ones(2, dtype=torch.float64))), Rung(-1.5, 0.3, Shape(torch.ones(2)))]
LEVELS = np.array([-2.5, -1.0, -0.2])


def estimates(number, change=None, ladder=LADDER):
    found = []
    for seed in range(number):
        run = engine(seed)
        if change:
            change(run)
        found.append(np.exp(run.descend(half_space, run.draw(half_space), LEVELS, 50.0, ladder)[0]))
    return np.array(found)


def z_scores(found):
    return (found.mean(axis=0) - ndtr(LEVELS)) / (found.std(axis=0) / math.sqrt(len(found)))


def test_fixed_thresholds_are_unbiased_with_two_chains_of_two_moves():
    """Thousands of runs so small that most of them die out."""
    found = estimates(6000)
    assert (found[:, 0] == 0).mean() > 0.5
    assert np.abs(z_scores(found)).max() < 3.5


def test_favourites_among_the_survivors_are_seen():
    """Ancestors may be chosen in any way that is blind to what they are, and in no other."""

    def favourite(run):
        plain = run.enter

        def enter(loss, pool, inside, threshold, rung=None):
            return plain(loss, pool, inside & (pool.values == pool.values.min()), threshold, rung)

        run.enter = enter

    def latest(run):
        run._ancestors = lambda inside: inside.flatten().nonzero()[-1].repeat(2)

    assert np.abs(z_scores(estimates(1500, favourite))).max() > 5
    assert np.abs(z_scores(estimates(1500, latest))).max() < 3.5


def test_survivors_are_independent_draws_given_their_threshold():
    """Uniform values: survivors over threshold have mean 1/2. The K-th value as the threshold would count itself."""
    values = torch.rand(4000, 10, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for share in (0.1, 0.3):
        ratios = []
        for row in values:
            threshold = next_threshold(row, share)
            ratios.append(float((row[row < threshold] / threshold).mean()))
        assert abs(np.mean(ratios) - 0.5) < 4 * np.std(ratios) / math.sqrt(len(ratios))


def test_moves_shaped_after_their_own_states_overstate_the_share():
    """Why only a pilot may be shaped: nats too few, by more than the spread of runs shows."""
    scales, levels = np.geomspace(1, 1e-3, 20), np.array([1e-4])
    weights, exact = torch.tensor(scales), quadratic_tail(QuadraticForm(scales, 0.0), levels).nats[0]

    def loss(z):
        return (z.square() * weights).sum(1)

    runs = [engine(seed, dimension=20, chains=20, moves=20, shaped=True) for seed in range(6)]
    nats = -np.array([run.descend(loss, run.draw(loss), levels, 200.0)[0][0] for run in runs])
    assert exact - nats.mean() > 4 * nats.std() / math.sqrt(len(runs))


def test_ancestors_are_shared_out_evenly():
    run = engine(0, chains=10, moves=3)
    inside = torch.zeros(3, 10, dtype=torch.bool)
    inside[0, :4] = True
    counts = torch.stack([torch.bincount(run._ancestors(inside), minlength=30) for _ in range(400)])
    assert counts[:, :4].min() == 2
    assert counts[:, :4].max() == 3
    assert counts[:, 4:].sum() == 0
    assert torch.allclose(counts[:, :4].double().mean(0), torch.tensor(2.5, dtype=torch.float64), atol=0.12)


def test_chains_stay_in_the_set_and_values_belong_to_states():
    run = engine(1, chains=40, moves=7)
    pool = run.draw(half_space)
    for threshold in (-0.5, -1.5):
        pool, rung = run.enter(half_space, pool, pool.values < threshold, threshold)
        assert bool((pool.values < threshold).all())
        assert torch.equal(pool.values, -pool.states[..., 0])
        assert rung.threshold == threshold
    assert run.evaluations == 3 * 40 * 7
    assert [0 < stage.acceptance < 1 for stage in run.stages] == [True, True]
    assert all(stage.survivors for stage in run.stages)


def test_levels_are_read_off_where_the_thresholds_bracket_them():
    """One level more changes nothing for the others, and information grows towards lower levels."""
    levels = np.array([-4.0, -3.0, -2.0, -1.0, 0.5])
    run = engine(3, chains=50, moves=10)
    logs, variances, *_ = run.descend(half_space, run.draw(half_space), levels, 50.0)
    again = engine(3, chains=50, moves=10)
    fewer, *_ = again.descend(half_space, again.draw(half_space), levels[::2], 50.0)
    assert np.array_equal(fewer, logs[::2])
    assert (np.diff(logs) > 0).all()
    assert (np.diff(variances) < 0).all()
    assert np.abs(logs - log_ndtr(levels)).max() < 1.0


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (lambda z: z, r"loss must return a tensor with one value for each latent point, got shape \(2, 2\)"),
        (lambda z: 1.0, "got a float for 2 points"),
        (lambda z: z[:, 0] * math.nan, "loss must be a number, got NaN at 2 of 2 latent points"),
    ],
)
def test_losses_that_are_none(loss, message):
    with pytest.raises(ValueError, match=message):
        engine(0).draw(loss)
