import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genbounds.numerics import binary_kl
from genbounds.worlds import adversarial_posteriors, gibbs_posteriors, kl_divergence
from genbounds.worlds.strategies import distributions, finite_worlds


@st.composite
def priors_posteriors_and_energies(draw):
    size = draw(st.integers(1, 6))
    energies = draw(st.lists(st.floats(-30, 30), min_size=size, max_size=size))
    return draw(distributions(size)), draw(distributions(size)), np.array(energies)


@given(priors_posteriors_and_energies())
def test_donsker_varadhan(drawn):
    """E_Q f - KL(Q || P) <= ln E_P e^f, with equality at Q proportional to P e^f."""
    prior, posterior, f = drawn
    free_energy = math.log(math.fsum(prior * np.exp(f)))
    assert posterior @ f - kl_divergence(posterior, prior) <= free_energy + 1e-12
    best = gibbs_posteriors(prior, -f, [1.0])[0]
    assert math.isclose(best @ f - kl_divergence(best, prior), free_energy, rel_tol=1e-12, abs_tol=1e-12)


@given(finite_worlds(), st.floats(0.1, 50))
def test_the_gibbs_posterior_minimises_risk_plus_kl(world, lam):
    """The minimum of r(Q) + KL(Q || P) / lam is -ln(E_P exp(-lam r)) / lam."""
    counts, _ = world.samples(3)
    risks = world.empirical_risks(counts)
    best = gibbs_posteriors(world.prior, risks, [lam])[:, 0]
    value = (best * risks).sum(axis=1) + kl_divergence(best, world.prior) / lam
    np.testing.assert_allclose(value, -np.log(np.exp(-lam * risks) @ world.prior) / lam, rtol=1e-10, atol=1e-12)
    for other in (world.prior, best[::-1]):
        worse = (other * risks).sum(axis=1) + kl_divergence(other, world.prior) / lam
        assert np.all(value <= worse + 1e-12)


@given(finite_worlds())
def test_colder_posteriors_have_less_risk_and_more_kl(world):
    counts, _ = world.samples(4)
    risks = world.empirical_risks(counts)
    path = gibbs_posteriors(world.prior, risks, [0.0, 0.5, 1.0, 5.0, 50.0, np.inf])
    assert np.all(np.diff((path * risks[:, None]).sum(axis=2), axis=1) <= 1e-12)
    assert np.all(np.diff(kl_divergence(path, world.prior), axis=1) >= -1e-12)
    np.testing.assert_allclose(path[:, 0], np.broadcast_to(world.prior, path[:, 0].shape), rtol=1e-14)
    np.testing.assert_allclose((path[:, -1] * risks).sum(axis=1), risks.min(axis=1), atol=1e-14)


def test_kl_divergence_of_point_masses_and_of_what_the_prior_excludes():
    assert kl_divergence([0.0, 1.0], [0.75, 0.25]) == pytest.approx(math.log(4))
    assert kl_divergence([0.5, 0.5], [1.0, 0.0]) == np.inf
    assert kl_divergence([0.3, 0.7], [0.3, 0.7]) == 0.0


@given(finite_worlds())
def test_adversarial_posteriors_are_posteriors(world):
    counts, _ = world.samples(3)
    family = adversarial_posteriors(world.prior, world.risks, world.empirical_risks(counts), 3)
    assert family.shape[0] == len(counts)
    np.testing.assert_allclose(family.sum(axis=2), 1, rtol=1e-12)
    assert np.all(family >= 0)
    if len(world.prior) > 1:
        for hypothesis in range(len(world.prior)):
            assert np.all((family[:, :, hypothesis] == 1).any(axis=1))


@given(finite_worlds(zero_one=True))
def test_the_adversary_finds_what_makes_the_change_of_measure_tight(world):
    """Some members of the family attain sup_Q E_Q f - KL(Q || P) = ln E_P e^f, for f = n kl_+(r || R) and n (R - r)."""
    n = 4
    counts, _ = world.samples(n)
    empirical = world.empirical_risks(counts)
    surprise = n * np.where(empirical < world.risks, binary_kl(empirical, world.risks), 0.0)
    family = adversarial_posteriors(world.prior, world.risks, empirical, n)
    for f in (surprise, n * (world.risks - empirical)):
        attained = np.einsum("sfh,sh->sf", family, f) - kl_divergence(family, world.prior)
        np.testing.assert_allclose(attained.max(axis=1), np.log(np.exp(f) @ world.prior), rtol=1e-10, atol=1e-12)
