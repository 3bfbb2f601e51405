"""How two examples' gradients agree in linear regression: the mean of their cosine, and of its sign."""

import math

import numpy as np
from scipy.special import betainc, gammaln, hyp2f1

from genbounds.numerics.checks import count, nonnegative

__all__ = ["cosine_stiffness", "sign_stiffness"]


def cosine_stiffness(dimension: int, noise_ratio: float = 0.0) -> float:
    r"""Mean cosine of the gradients of two independent examples of linear regression.

    The world is `GaussianRegression` with covariance I and Gaussian label noise, the quantity that of [Fort2019].

    The gradient is r x with the residual r = u . x - e, so that the cosine is sign(r) sign(r') cos(x, x'), and its mean
    abs(E sign(r) x / abs(x))^2, where only t, the coordinate of x / abs(x) along u, has a mean that is not 0. With
    tau = s / abs(u) and rho^2 = 1 / (1 + tau^2), the sign of r is that of t - tau q. Here q is a normal variable over
    abs(x), independent of t, with a density in proportion to (1 + q^2)^(-(d+1)/2); that of t is c (1 - t^2)^((d-3)/2).
    Over t, E t sign(t - tau q) = 2c / (d-1) E (1 - tau^2 q^2)_+^((d-1)/2). Put q = tan(psi), then sin(psi) = rho
    sin(chi): what remains is the integral of cos(chi)^d (1 - rho^2 sin(chi)^2)^(-1/2) over (0, pi/2), and

        E sign(r) t = Gamma((d+1)/2) / (sqrt(pi) Gamma(d/2+1)) rho 2F1(1/2, 1/2; d/2+1; rho^2).

    Without noise this is E abs(t) = Gamma(d/2) / (sqrt(pi) Gamma((d+1)/2)), whose square is about 2 / (pi d); in one
    dimension it is (2/pi) arcsin(rho).

    Parameters
    ----------
    dimension : int
        d, at least 1.
    noise_ratio : float
        tau, standard deviation of the label noise over abs(u), at least 0; infinite at the true weights.

    Returns
    -------
    float
        In [0, 1].

    Examples
    --------
    >>> round(cosine_stiffness(2), 6), round(cosine_stiffness(50), 6)   # 4 / pi^2 in the plane
    (0.405285, 0.01286)
    """
    d, rho = float(count("dimension", dimension)), _correlation(noise_ratio)
    scale = math.exp(gammaln((d + 1) / 2) - gammaln(d / 2 + 1)) / math.sqrt(math.pi)
    if d < 100:
        series = hyp2f1(0.5, 0.5, d / 2 + 1, rho**2)
    else:  # where scipy's function overflows; here the terms fall so fast that 400 are all
        k = np.arange(400)
        series = 1 + np.cumprod(np.square(k + 0.5) / ((k + 1) * (d / 2 + 1 + k)) * rho**2).sum()
    return float((scale * rho * series) ** 2)


def sign_stiffness(dimension: int, noise_ratio: float = 0.0) -> float:
    r"""Mean sign of the inner product of the gradients of two independent examples of linear regression.

    The world is `GaussianRegression` with covariance I and Gaussian label noise, the quantity that of [Fort2019].

    Given the first example, the second one's residual r' = u . x' - e' and x . x' are Gaussian with the correlation
    rho t, where t = cos(x, u) and rho = 1 / sqrt(1 + tau^2), so that E[sign(r') sign(x . x')] = (2/pi) arcsin(rho t) by
    the angle between two half spaces. It remains E sign(r) arcsin(rho t). Given t, abs(x) is chi_d, so that the
    probability of abs(e) < abs(u . x) is that of abs(Student_d) < abs(t) sqrt(d) / tau:

        stiffness = (2/pi) E arcsin(rho abs(t)) I_z(1/2, d/2),   z = t^2 / (tau^2 + t^2).

    Without noise this is 1 - (2/pi) times the mean angle between u and a direction of its half space. With
    e_n = int psi cos(psi)^n / int cos(psi)^n over (0, pi/2) it is (2/pi) e_(d-2), and integration by parts gives
    e_n = e_(n-2) - 1 / (n^2 int cos^n) from e_0 = pi/4 and e_1 = pi/2 - 1: 1/2 for d = 2, 1 - 2/pi for d = 3, and about
    (2/pi)^(3/2) / sqrt(d) in high dimension. With and without noise it is computed by Gauss-Legendre quadrature over
    the angle psi = arcsin(abs(t)), of density cos(psi)^(d-2), to seven digits or more.

    Parameters
    ----------
    dimension : int
        d, at least 1.
    noise_ratio : float
        tau, standard deviation of the label noise over abs(u), at least 0; infinite at the true weights.

    Returns
    -------
    float
        In [0, 1].

    Examples
    --------
    >>> sign_stiffness(1), round(sign_stiffness(2), 12), round(sign_stiffness(3), 12)
    (1.0, 0.5, 0.363380227632)
    """
    d, rho = float(count("dimension", dimension)), _correlation(noise_ratio)
    # Where the angle's density is more than exp(-40) of its maximum; in one dimension it is pi / 2.
    reach = min(math.pi / 2, math.sqrt(80 / max(d - 2, 1e-3)))
    nodes, weights = np.polynomial.legendre.leggauss(200)
    psi = reach * (nodes + 1) / 2 if d > 1 else np.array([math.pi / 2])
    density = weights * np.cos(psi) ** (d - 2) if d > 1 else np.ones(1)
    t = np.sin(psi)
    certain = betainc(0.5, d / 2, (rho * t) ** 2 / (1 - rho**2 + (rho * t) ** 2))
    return float(2 / math.pi * (density @ (np.arcsin(rho * t) * certain)) / density.sum())


def _correlation(noise_ratio: float) -> float:
    """Return the correlation of u . x with the residual, rho = 1 / sqrt(1 + tau^2)."""
    return float(1 / np.hypot(1.0, nonnegative("noise_ratio", noise_ratio)))
