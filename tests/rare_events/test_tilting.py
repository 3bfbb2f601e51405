"""Tilted sampling: unbiased, its interval covers as often as it says, at any depth and on both sides of the mean."""

import math

import numpy as np
import pytest

from genbounds.numerics import log_binomial_cdf
from genbounds.rare_events import QuadraticForm, quadratic_tail, tilted_tail
from genbounds.rare_events.quadratic import tilting

FORM = QuadraticForm([1.0, 0.3, 0.3, 0.02], [0.5, 0.0, -2.0, 3.0], 0.2)
LEVELS = 0.2 + (FORM.mean - 0.2) * np.array([1e-6, 0.01, 0.3, 0.9, 1.0, 1.5, 4.0])


def test_intervals_cover():
    """Over 400 repetitions, at each level by itself, a nominal 90 % covers 90 % by an exact binomial test."""
    truth, runs = quadratic_tail(FORM, LEVELS).nats, 400
    curves = [tilted_tail(FORM, LEVELS, samples=2000, confidence=0.9, seed=seed) for seed in range(runs)]
    covered = np.array([(c.low <= truth) & (truth <= c.high) for c in curves]).sum(axis=0)
    for count in covered:
        assert min(log_binomial_cdf(count, runs, 0.9), log_binomial_cdf(runs - count, runs, 0.1)) > math.log(1e-3)
    # Standard errors are those of the repetitions, and the probability is estimated without bias.
    nats, errors = np.array([c.nats for c in curves]), np.array([c.standard_error for c in curves])
    np.testing.assert_allclose(np.sqrt((errors**2).mean(axis=0)), nats.std(axis=0), rtol=0.12)
    ratio = np.exp(truth - nats)
    assert (np.abs(ratio.mean(axis=0) - 1) < 4 * ratio.std(axis=0) / math.sqrt(runs)).all()
    assert covered.min() > 0.85 * runs
    # Half the standard error would be caught.
    narrow = [np.abs(c.nats - truth) <= (c.high - c.low) / 4 for c in curves]
    assert (np.mean(narrow, axis=0) < 0.7).all()


def test_deep():
    """Hundreds and thousands of nats cost the same draws."""
    form = QuadraticForm(np.linspace(0.1, 1, 1000), np.full(1000, 0.5))
    levels = form.mean * np.array([1e-3, 0.1, 0.5])
    curve, truth = tilted_tail(form, levels, samples=5000), quadratic_tail(form, levels).nats
    assert truth[0] > 2500
    assert (np.abs(curve.nats - truth) < 4 * curve.standard_error).all()
    assert (curve.standard_error < 0.15).all()


def test_record():
    curve = tilted_tail(FORM, [0.1, 0.2, 1.0], samples=100)
    assert np.isinf(curve.nats[:2]).all()
    assert (curve.kind, curve.unbiased, curve.samples, curve.confidence) == ("estimate", True, 100, 0.95)
    np.testing.assert_array_equal(curve.nats, tilted_tail(FORM, [0.1, 0.2, 1.0], samples=100).nats)
    other = tilted_tail(FORM, [0.1, 0.2, 1.0], samples=100, seed=1)
    assert other.nats[2] != curve.nats[2]
    assert curve.upper_limit(0.05).value[2] > curve.nats[2]


def test_blocks_do_not_matter(monkeypatch):
    whole = tilted_tail(FORM, LEVELS, samples=1000)
    monkeypatch.setattr(tilting, "_BLOCK", 400)
    np.testing.assert_allclose(tilted_tail(FORM, LEVELS, samples=1000).nats, whole.nats, rtol=1e-12)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"form": QuadraticForm([], [])}, "must have a weight"),
        ({"samples": 99}, "samples must be"),
        ({"confidence": 1.0}, "confidence must be"),
        ({"levels": [math.nan]}, "levels must be"),
    ],
)
def test_refusals(arguments, match):
    with pytest.raises(ValueError, match=match):
        tilted_tail(**{"form": FORM, "levels": [1.0]} | arguments)
