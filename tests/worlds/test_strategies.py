import subprocess
import sys

import numpy as np
from hypothesis import find, given, settings

from genbounds.pac_bayes import maurer
from genbounds.worlds import gibbs_attack
from genbounds.worlds.strategies import bernoulli_means, distributions, finite_worlds, gibbs_inputs


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
