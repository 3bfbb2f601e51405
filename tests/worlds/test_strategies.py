import subprocess
import sys

import numpy as np
from hypothesis import find, given, settings

from genbounds.pac_bayes import maurer
from genbounds.worlds import gibbs_attack
from genbounds.worlds.strategies import (
    bernoulli_means,
    distributions,
    finite_worlds,
    gaussian_learners,
    gibbs_inputs,
    linear_networks,
    universal_coins,
)


@given(distributions(4), bernoulli_means(), gibbs_inputs())
def test_strategies_give_what_they_say(weights, means, inputs):
    assert weights.shape == (4,)
    assert np.all(weights > 0)
    assert abs(weights.sum() - 1) < 1e-12
    assert 1 <= means.size <= 12
    assert np.all((means >= 0) & (means <= 1))
    assert 0 <= maurer(**inputs) <= 1


@given(finite_worlds(max_points=3, max_hypotheses=2, zero_one=True))
def test_worlds_keep_to_their_sizes(world):
    assert len(world.probabilities) in (2, 3)
    assert len(world.prior) in (1, 2)
    assert set(np.unique(world.losses)) <= {0.0, 1.0}


def test_a_false_bound_is_refuted_by_search():
    """What the strategies are for: halving the complexity term is no theorem, and a small world says so."""

    def halved(risk, kl, n, delta):
        return maurer(risk, kl / 2, n, np.sqrt(delta))

    world = find(
        finite_worlds(zero_one=True),
        lambda world: not gibbs_attack(halved, world, 2, 0.05).survived,
        settings=settings(database=None, max_examples=2000),
    )
    assert gibbs_attack(maurer, world, 2, 0.05).survived


def test_a_missing_hypothesis_is_named():
    code = "import sys; sys.modules['hypothesis'] = None; import genbounds.worlds; import genbounds.worlds.strategies"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "genbounds.worlds.strategies needs hypothesis" in done.stderr
    assert "pip install 'genbounds[test]'" in done.stderr


def test_worlds_load_neither_torch_nor_hypothesis():
    code = "import sys, genbounds.worlds; print(*{'torch', 'hypothesis'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


@given(gaussian_learners(max_dimension=2, max_n=9))
def test_gaussian_learners_are_bounded_by_information(world):
    assert 1 <= world.dimension <= 2
    assert 1 <= world.n <= 9
    assert 0 < world.gap <= world.individual_cgf_bound * (1 + 1e-12)
    assert world.individual_cgf_bound <= np.sqrt(2 * world.sigma**2 * world.individual_information).mean() * (1 + 1e-9)


@given(linear_networks(max_dimension=3, max_n=9))
def test_linear_networks_keep_to_their_sizes(network):
    assert 1 <= network.dimension <= 3
    assert 2 <= network.n <= 9
    assert 2 <= len(network.ranks) <= 4
    assert np.all(np.diff(network.ranks) <= 0)


@given(universal_coins(max_n=20))
def test_universal_coins_lose_no_more_than_their_number_of_outcomes(coin):
    assert coin.n <= 20
    assert -1e-12 <= coin.redundancy <= np.log(coin.n + 1)


def test_every_kind_of_gaussian_learner_is_found():
    for kind in ("GaussianMean", "NoisyGaussianMean", "LangevinQuadratic", "GibbsGaussian"):
        found = find(
            gaussian_learners(), lambda world, kind=kind: type(world).__name__ == kind, settings=settings(database=None)
        )
        assert found.n == found.dimension == 1
