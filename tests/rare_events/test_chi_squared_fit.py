"""The published fit: what it gets right, and by how much it is wrong where the exact value is known."""

import math

import mpmath
import numpy as np
import pytest
from scipy.special import ndtr
from scipy.stats import chi2, ncx2

from genbounds.rare_events import QuadraticForm, published_chi_squared_fit, quadratic_tail
from genbounds.rare_events.quadratic.chi_squared_fit import sankaran_nats


@pytest.mark.parametrize(("df", "nc", "scale"), [(6.0, 0.0, 1.0), (4.0, 9.0, 1e-5)])
def test_right_where_its_model_is(df, nc, scale):
    """Losses that are one scaled non-central chi-squared variable: the likelihood is at its top, at any scale."""
    generator = np.random.default_rng(1)
    losses = scale * (generator.noncentral_chisquare(df, nc, 2000) if nc else generator.chisquare(df, 2000))
    truth = ncx2(df, nc, scale=scale) if nc else chi2(df, scale=scale)
    levels = truth.ppf([1e-4, 0.1, 0.9])
    curve = published_chi_squared_fit(losses, levels)
    np.testing.assert_allclose(curve.nats, -truth.logcdf(levels), rtol=0.12, atol=0.02)


def test_the_likelihood_is_at_its_top():
    generator = np.random.default_rng(2)
    losses = generator.noncentral_chisquare(4.0, 9.0, 1000)
    words = published_chi_squared_fit(losses, [1.0]).method.replace(",", "").split()
    scale, df, nc = float(words[3]), float(words[7]), float(words[-1])
    best = ncx2.logpdf(losses, df, nc, scale=scale).sum()
    for by in (0.97, 1.03):
        assert ncx2.logpdf(losses, df * by, nc, scale=scale).sum() < best
        assert ncx2.logpdf(losses, df, nc * by, scale=scale).sum() < best
        assert ncx2.logpdf(losses, df, nc, scale=scale * by).sum() < best
    assert best >= ncx2.logpdf(losses, 4.0, 9.0).sum()


def test_too_low_in_deep_tails_and_surer_with_more_losses():
    """A decaying spectrum: the truth is twice the fit and more, and the spread over refits shrinks around the fit."""
    form = QuadraticForm(0.8 ** np.arange(30), np.zeros(30))
    levels = form.mean * np.array([0.001, 0.01, 0.1])
    truth = quadratic_tail(form, levels).nats
    few, many = (
        np.array([
            published_chi_squared_fit(form.draw(size, np.random.default_rng((size, seed))), levels).nats
            for seed in range(6)
        ])
        for size in (100, 1600)
    )
    assert truth[0] > 2 * many.mean(axis=0)[0]
    assert (many.std(axis=0) < few.std(axis=0)).all()
    assert (truth[:2] - many.mean(axis=0)[:2] > 10 * many.std(axis=0)[:2]).all()


@pytest.mark.parametrize(("ratio", "truth", "fallback"), [(0.01, 18081, 13849), (0.001, 29549, 18224)])
def test_the_fallback_drops_and_caps(ratio, truth, fallback):
    """10,000 degrees of freedom: the exact value, its leading term, the fallback, and its cap at 9 df / 4."""
    df = 10_000
    exact = quadratic_tail(QuadraticForm(np.ones(df), np.zeros(df)), [ratio * df]).nats[0]
    assert exact == pytest.approx(truth, abs=0.5)
    assert exact == pytest.approx(df / 2 * (ratio - 1 - math.log(ratio)), rel=1e-3)
    value = sankaran_nats(ratio * df, df, 0.0)
    assert value == pytest.approx(fallback, abs=0.5)
    assert value == pytest.approx(9 * df / 4 * (1 - ratio ** (1 / 3)) ** 2, rel=1e-3)
    assert chi2.logcdf(ratio * df, df) == -math.inf or ncx2.logcdf(ratio * df, df, 0.0) == -math.inf
    assert sankaran_nats(0.0, df, 0.0) == pytest.approx(9 * df / 4, rel=1e-3)


@pytest.mark.parametrize(("df", "nc"), [(10.0, 20.0), (100.0, 50.0), (1000.0, 1.0)])
def test_sankaran_is_a_normal_approximation(df, nc):
    """z is normal to a percent or two in probability within two deviations: the formula is the right one."""
    for chance in (0.03, 0.2, 0.4):
        z = -math.sqrt(2 * sankaran_nats(ncx2.ppf(chance, df, nc), df, nc))
        assert ndtr(z) == pytest.approx(chance, rel=0.02)


def test_sankaran_as_on_paper():
    """The formula in the usual notation, for 5 degrees of freedom, a noncentrality of 40 and x = 4."""
    with mpmath.workdps(30):
        k, lam, x = mpmath.mpf(5), mpmath.mpf(40), mpmath.mpf(4)
        h = 1 - mpmath.mpf(2) / 3 * (k + lam) * (k + 3 * lam) / (k + 2 * lam) ** 2
        p = (k + 2 * lam) / (k + lam) ** 2
        m = (h - 1) * (1 - 3 * h)
        mean = 1 + h * p * (h - 1) - h * p * p * m * (2 - h) / 2
        deviation = h * mpmath.sqrt(2 * p) + h * mpmath.sqrt(2 * p) * m * p / 2
        z = ((x / (k + lam)) ** h - mean) / deviation
        assert sankaran_nats(4.0, 5.0, 40.0) == pytest.approx(float(z**2 / 2), rel=1e-14)


def test_record():
    losses = np.random.default_rng(3).chisquare(4000, 200)
    levels = np.array([1.0, 0.5 * losses.min(), losses.mean()])
    curve = published_chi_squared_fit(losses, levels)
    assert (curve.kind, curve.samples, curve.unbiased) == ("estimate", 200, False)
    assert np.isnan(curve.standard_error).all()
    assert (curve.low.tolist(), curve.high.tolist()) == ([0.0] * 3, [math.inf] * 3)
    assert any("extrapolated" in note and "2 levels" in note for note in curve.warnings)
    assert any("underflows" in note for note in curve.warnings)
    assert np.isfinite(curve.nats).all()
    assert np.isinf(curve.upper_limit(0.05).value).all()
    assert not any("extrapolated" in n for n in published_chi_squared_fit(losses, [losses.mean()]).warnings)


@pytest.mark.parametrize(
    ("losses", "levels", "match"),
    [
        (np.ones(20), [1.0], "losses must be"),
        (np.arange(1.0, 5.0), [1.0], "losses must be"),
        (np.arange(20.0), [1.0], "losses must be"),
        (np.arange(1.0, 21.0), [0.0], "levels must be"),
        (np.full(20, np.nan), [1.0], "losses must be"),
    ],
)
def test_refusals(losses, levels, match):
    with pytest.raises(ValueError, match=match):
        published_chi_squared_fit(losses, levels)
