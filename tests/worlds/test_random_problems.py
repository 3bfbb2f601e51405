"""500 random learners in finite worlds: the order of the quantities of information, and the identities between them."""

import math

import numpy as np
import pytest

from genbounds.worlds import Gibbs, erm, first_erm
from genbounds.worlds.random_problems import LEARNERS, WORLD_KINDS, random_learner, random_world

LN2 = math.log(2)


def zero_one(learning):
    return np.isin(learning.world.losses, (0.0, 1.0)).all()


def jensen_shannon(p, q):
    """JS of two coins: the information of a toss about which of them was tossed."""

    def entropy(x):
        return -sum(y * math.log(y) for y in (x, 1 - x) if y > 0)

    return entropy((p + q) / 2) - (entropy(p) + entropy(q)) / 2


def test_the_problems_are_of_every_kind(random_problems):
    assert len(random_problems) == 500
    assert {len(learning.world.probabilities) for learning, _ in random_problems} == {2, 3, 4, 5}
    assert {learning.n for learning, _ in random_problems} == {1, 2, 3}
    kinds = {learning.name.partition(": ")[2].partition(", n=")[0] for learning, _ in random_problems}
    assert kinds == {f"{learner} on {world}" for learner in LEARNERS for world in WORLD_KINDS}
    assert sum(learning.train_risk == 0 for learning, _ in random_problems) > 20
    assert sum(learning.gap > 0.05 for learning, _ in random_problems) > 100
    assert sum(learning.gap < -0.01 for learning, _ in random_problems) > 20


def test_each_quantity_tells_no_more_than_the_one_before(random_problems):
    """I(S;W) >= CMI >= the sum over examples of individual, f-, e- and ld-CMI, for each supersample; and on average
    e-CMI >= the unconditional e-MI >= ld-MI and single-loss MI."""
    slack = 1e-12
    for learning, told in random_problems:
        name = learning.name
        assert told.weights @ told.cmi <= learning.mutual_information + slack, name
        assert learning.individual_information.sum() <= learning.mutual_information + slack, name
        assert np.all(told.individual_cmi.sum(axis=1) <= told.cmi + slack), name
        assert np.all(told.f_cmi <= told.individual_cmi + slack), name
        assert np.all(told.e_cmi <= told.f_cmi + slack), name
        assert np.all(told.ld_cmi <= told.e_cmi + slack), name
        assert np.all(learning.e_mi <= told.weights @ told.e_cmi + slack), name
        assert np.all(learning.ld_mi <= learning.e_mi + slack), name
        assert np.all(learning.single_loss_mi <= learning.e_mi + slack), name
        assert learning.mutual_information <= learning.leakage + slack, name


def test_averages_over_supersamples_are_those_over_samples(random_problems):
    for learning, told in random_problems:
        assert told.weights.sum() == pytest.approx(1, abs=1e-12)
        assert told.weights @ told.gaps == pytest.approx(learning.gap, abs=1e-12)
        assert told.weights @ told.train_risk == pytest.approx(learning.train_risk, abs=1e-12)
        assert told.weights @ told.risk == pytest.approx(learning.risk, abs=1e-12)


def test_a_single_loss_restates_the_risk(random_problems):
    """With the 0-1 loss I(L_i+;U_i) = JS(E l(W,Z_i), E L_mu(W)); symmetric ones share the first."""
    symmetric = 0
    for learning, _ in random_problems:
        if zero_one(learning):
            first = np.einsum("nkh,hk->n", learning.individual_joints, learning.world.losses)
            expected = [jensen_shannon(float(train), float(learning.risk)) for train in first]
            np.testing.assert_allclose(learning.single_loss_mi, expected, atol=1e-12, err_msg=learning.name)
            if learning.learner in (erm, first_erm) or isinstance(learning.learner, Gibbs):
                whole = jensen_shannon(float(learning.train_risk), float(learning.risk))
                assert learning.single_loss_mi.mean() == pytest.approx(whole, abs=1e-12)
                symmetric += 1
    assert symmetric > 100


def test_interpolation_restates_the_risk(random_problems):
    """With the 0-1 loss and no error in training, mean I(dL_i;U_i) / ln 2 is the risk; for one supersample at least."""
    tried = 0
    for learning, told in random_problems:
        if zero_one(learning) and learning.train_risk == 0:
            assert learning.ld_mi.mean() / LN2 == pytest.approx(learning.risk, abs=1e-12)
            assert np.all(told.ld_cmi.mean(axis=1) / LN2 >= told.risk - 1e-12)
            tried += 1
    assert tried > 10


def test_chi_square_restates_the_gap(random_problems):
    """With the 0-1 loss the chi^2 divergence of (dL_i, U_i) from independence, times E dL_i^2, is the squared gap."""
    tried = 0
    for learning, _ in random_problems:
        if zero_one(learning):
            laws = learning.loss_difference_laws
            product = laws.sum(axis=1, keepdims=True) * laws.sum(axis=2, keepdims=True)
            ratio = np.divide((laws - product) ** 2, product, out=np.zeros_like(laws), where=product > 0)
            first = np.einsum("nkh,hk->n", learning.individual_joints, learning.world.losses)
            squared = ratio.sum(axis=(1, 2)) * learning.squared_differences
            np.testing.assert_allclose(squared, (learning.risk - first) ** 2, atol=1e-12, err_msg=learning.name)
            tried += 1
    assert tried > 300


def test_a_gibbs_algorithm_overfits_by_its_information(random_problems):
    """gap = I_SKL(S;W) / gamma."""
    tried = 0
    for learning, _ in random_problems:
        if isinstance(learning.learner, Gibbs):
            gamma = learning.learner.inverse_temperature
            assert gamma * learning.gap == pytest.approx(learning.symmetrised_information, abs=1e-12)
            tried += 1
    assert tried > 50


def test_kinds_that_are_none_are_refused():
    generator = np.random.default_rng(0)
    with pytest.raises(ValueError, match=r"kind must be one of \('noisy labels', .*, got 'strange'"):
        random_world(generator, "strange", 3)
    world = random_world(generator, "0-1 losses", 3)
    with pytest.raises(ValueError, match=r"kind must be one of \('erm', .*, got 'strange'"):
        random_learner(generator, "strange", world, 1)
