"""Problems with closed forms: what they say of themselves, and that they are not given to theorems they break."""

import numpy as np
import pytest

from genbounds.theorems import Assumption, catalogue
from genbounds.theorems.quantities import GAP
from genbounds.worlds import (
    BinaryGaussianLinearNetwork,
    GaussianMean,
    GibbsGaussian,
    GibbsPoints,
    LangevinQuadratic,
    absolute_problem,
    attack,
    hinge_problem,
    network_problem,
    path_problem,
    points_problem,
    squared_problem,
)
from genbounds.worlds.batteries.closed_forms import _battery


def test_bounds_worked_out_on_the_problems():
    """The formulas by hand: what a theorem gets is what it has to get."""
    known = squared_problem(GaussianMean(1, 10, 1.0)).quantities
    bound = np.sqrt(2 * known["sigma"] ** 2 * known["individual_information"]).mean()
    assert bound == pytest.approx(0.50495, abs=5e-6)
    cumulants = ((known["individual_information"][0] + known["cgf"]) / known["rates"]).min()
    assert cumulants == pytest.approx(0.43082, rel=1e-3)
    problem = absolute_problem(GaussianMean(1, 100, 1.0))
    bound = problem.quantities["lipschitz"] * problem.quantities["wasserstein_distances"].mean()
    assert bound / problem.truths[GAP] == pytest.approx(1.00124, abs=5e-6)
    problem = points_problem(GibbsPoints(10, 2 * np.log(9)))
    bound = np.sqrt(2 * problem.quantities["sigma"] ** 2 * problem.quantities["mutual_information"])
    assert bound == pytest.approx(problem.truths[GAP], rel=1e-12)  # attained


def test_a_network_is_bounded_at_every_layer():
    network = BinaryGaussianLinearNetwork(6, 10, 1.5, signal=2.7, widths=(6, 2))
    problem = network_problem(network)
    bounds = 0.5 * np.sqrt(2 * problem.quantities["layer_divergences"]).mean(axis=1)
    assert bounds.shape == (4,)
    assert np.all(np.diff(bounds) <= 0)
    assert problem.truths[GAP] < bounds[-1]
    problem = hinge_problem(network)
    distances = problem.quantities["layer_distances"].mean(axis=1)
    assert problem.truths[GAP] < distances[1] < distances[0]


def test_paths_of_full_batches_know_the_variance_within_the_sample():
    full = path_problem(LangevinQuadratic(1, 4, 1.0, 0.1, 2.0, 3))
    assert "gradient_variances" in full.quantities
    assert "gradient_variances" not in path_problem(LangevinQuadratic(1, 4, 1.0, 0.1, 2.0, 3, batch=2)).quantities
    assert "gradient_variances" not in path_problem(LangevinQuadratic(1, 1, 1.0, 0.1, 2.0, 3)).quantities


def test_unbounded_losses_are_kept_from_theorems_for_bounded_ones():
    for problem in (squared_problem(GibbsGaussian(1, 2, 1.0, 1.0, 1.0)), absolute_problem(GaussianMean(1, 2, 1.0))):
        assert Assumption.LOSS_IN_UNIT_INTERVAL in problem.breaks
    names = {found.world for found in attack(catalogue()["information.gibbs_gap"], 0.05)}
    assert any(name.startswith("GibbsPoints") for name in names)
    assert not any(name.startswith("GibbsGaussian") for name in names)


def test_names_differ():
    names = [problem.name for problem in _battery()]
    assert len(names) == len(set(names))
