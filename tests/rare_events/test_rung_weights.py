"""Where on a path a probability is estimated best: against second moments in closed form."""

import numpy as np
import pytest
from scipy.stats import norm

from genbounds.rare_events.tempering.rung_weights import rung_weights


def path(rungs, chains, seed, slope=0.0):
    """Return a path for U = -z_1 + slope z_2, whose laws are N(b (1, -slope), I) of mass exp(b^2 (1 + slope^2) / 2)."""
    generator = np.random.default_rng(seed)
    z = generator.standard_normal((len(rungs), 2, chains))
    z += rungs[:, None, None] * np.array([1.0, -slope])[:, None]
    energies = -z[:, 0] + slope * z[:, 1]
    return z, rungs[:, None], energies[:, None], rungs**2 * (1 + slope**2) / 2


def test_the_best_rung_is_that_of_the_smallest_second_moment():
    rungs = np.linspace(0, 5, 51)
    z, coldness, energies, masses = path(rungs, 4000, 0)
    weights = rung_weights(coldness, energies, (z[:, 0] >= 3)[:, None], masses)
    # Z_b E[exp(-b z) | z >= 3] is exp(b^2) Phi(-(3 + b)), the mass exp(b^2 / 2) once from Z and once from the moment.
    moments = rungs**2 + norm.logcdf(-(3 + rungs))
    assert abs(rungs[weights[0].argmax()] - rungs[moments.argmin()]) < 0.5
    kept = weights[0] > 0
    assert np.exp(moments - moments.min())[kept].max() < 2.6
    assert np.exp(moments - moments.min())[~kept].min() > 1.6
    assert weights.sum() == pytest.approx(1)


def test_a_rung_that_is_too_cold_to_see_what_counts_is_not_believed():
    # The energy pulls in a direction that the event does not ask for: chains at cold rungs all lie within it, and would
    # give it away that they leave most of it out by nothing.
    rungs = np.linspace(0, 8, 41)
    z, coldness, energies, masses = path(rungs, 256, 1, slope=4.0)
    weights = rung_weights(coldness, energies, (z[:, 0] >= 1.0)[:, None], masses)
    assert weights[0] @ rungs < 0.5


def test_what_no_chain_met_is_looked_for_last():
    _, coldness, energies, masses = path(np.linspace(0, 2, 5), 20, 0)
    met = np.zeros((5, 2, 20), dtype=bool)
    met[2, 1, 3] = True
    weights = rung_weights(coldness, energies, met, masses)
    assert weights[0].tolist() == [0, 0, 0, 0, 1]
    assert weights.sum(axis=1) == pytest.approx([1, 1])


def test_an_infinite_energy_keeps_to_the_first_rung():
    rungs = np.linspace(0, 1, 4)
    _, coldness, energies, masses = path(rungs, 50, 0)
    energies[0, 0, :3] = np.inf
    weights = rung_weights(coldness, energies, np.ones((4, 1, 50), dtype=bool), masses)
    assert weights[0].tolist() == [1, 0, 0, 0]
