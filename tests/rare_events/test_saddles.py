"""Saddles: the equation itself, in 50 digits, at all depths and with extreme spectra."""

import mpmath
import numpy as np
import pytest

from genbounds.rare_events.quadratic.saddles import saddle


@pytest.mark.parametrize("pole", [0, 1])
@pytest.mark.parametrize("upper", [False, True])
@pytest.mark.parametrize("seed", range(8))
def test_the_equation(seed, upper, pole):
    generator = np.random.default_rng(seed)
    n = 1 if seed == 0 else int(generator.integers(1, 8))
    w = 10.0 ** -generator.uniform(0, [0.0, 1.0, 12.0][seed % 3], n)
    w, d2 = w / w.max(), (generator.normal(size=n) * [0.0, 1.0, 1e3][seed % 3]) ** 2
    mean, spread = (w * (1 + d2)).sum(), np.sqrt((2 * w**2 * (1 + 2 * d2)).sum())
    far = np.array([1e-4, 0.1, 3.0, 100.0])
    x = mean + spread * far if upper else mean / (1 + far / np.sqrt(n) * spread / mean) * np.array([1, 1, 1, 1e-30])
    x = np.append(x, mean) if pole and upper else x
    point = saddle(w, d2, x, upper=upper, pole=pole)
    assert (np.sign(point.tx) == (-1 if upper else 1)).all()
    with mpmath.workdps(50):
        for level, tx, p, b in zip(x, point.tx, point.p, point.b, strict=True):
            t = mpmath.mpf(float(tx)) / mpmath.mpf(float(level))
            exact = [2 * mpmath.mpf(float(v)) * t / (1 + 2 * mpmath.mpf(float(v)) * t) for v in w]
            np.testing.assert_allclose(p, [float(v) for v in exact], rtol=1e-9)
            np.testing.assert_allclose(b, [float(1 - v) for v in exact], rtol=1e-9)
            both = mpmath.fsum(q * (1 + mpmath.mpf(float(e)) * (1 - q)) for q, e in zip(exact, d2, strict=True)) / 2
            # Relative to the larger side; near the mean the two sides are all that there is.
            assert abs(t * level - pole - both) <= 1e-9 * max(abs(t * level), abs(both), pole)
