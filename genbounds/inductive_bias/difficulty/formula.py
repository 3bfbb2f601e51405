r"""The formula for the difficulty of a task [Boopathy2023], evaluated in logarithms: numbers in, number out.

The task is: learn a function of a point of a manifold from n examples, to an error eps. Hypotheses are the functions on
the manifold whose frequency stays below a cut-off, and the formula is minus the logarithm of a ratio of volumes: of the
hypotheses that fit the examples, the share that lies within a radius of the true one that makes an error of at most eps
certain. Each ingredient, with R the radius of the manifold, m its dimension and delta the resolution that is needed:

* ``M = 2 pi R / delta``: highest frequency, that of a wave of length delta.
* ``E``: how many eigenfunctions of the manifold's Laplacian have a frequency up to M (`sphere_functions`,
  `torus_functions`).
* ``2 D d E``: dimension of the hypothesis space, for D outputs and d combinations of discrete features: coefficients as
  complex numbers, of two real ones each. (Real functions need half of it; the authors' count is kept.)
* ``n D``: equations that the examples put on them, so that ``2 D d E - n D`` dimensions stay free.
* ``B sqrt(D d)``: length of the coefficients if every output is at most B in size, in every combination.
* ``L_f = K sqrt(D) / R``: Lipschitz constant of such functions per unit of length. A polynomial of degree K that stays
  within 1 on the unit sphere (a wave of frequency K on the torus) has a gradient of at most K, by Bernstein's
  inequality, and D outputs have together at most sqrt(D) times as much.
* ``W = sqrt(m / 6) (d V / n)^{1/m}``: distance of the examples from the population, V the volume of the manifold. Each
  of n equal cubes of volume d V / n holds one example; two uniform points of a cube of side s are at a mean square
  distance of ``m s^2 / 6``.
* ``eps / (L_f W)``: radius within which the error is at most eps, eps being that in the loss by the Lipschitz constant
  of the loss.

Together ``I = (2 D d E - n D) ln(B sqrt(D d) L_f W / eps)``, in nats. Lengths cancel but in M.
"""

import math
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, Literal

import numpy as np
from scipy.special import betaln, gammaln

from genbounds.numerics import positive

__all__ = ["TaskDifficulty", "sphere_functions", "torus_functions"]

#: What a reader must know, whatever the number is.
READING = (
    "AN UPPER BOUND OF AN UPPER BOUND, under a radius argument: hypotheses outside of the radius are counted as if "
    "none of them generalised, and the hypothesis space is every function on the manifold up to a frequency. It "
    "measures the size of that space far more than the task: one unit of intrinsic dimension more makes it 2 to 11 "
    "times larger for the authors' image sets, and thousands of times for their control tasks. Where its ingredients "
    "are estimates the number is an estimate, and nothing here is certified."
)

#: Where the formula says nothing but that no information is missing.
DETERMINED = "the examples determine the hypothesis: n is at least 2 d E, and no dimension stays free"
WITHIN = "every hypothesis that fits is within the radius: B sqrt(D d) L_f W is at most eps"
CONSTANT = "the degree K is below 1: only constant functions stay below the cut-off, and E interpolates"


def sphere_functions(dimension: float, cutoff: float) -> tuple[float, float]:
    r"""Count the eigenfunctions of the unit sphere S^m up to a frequency.

    Spherical harmonics of degree l have frequency ``sqrt(l (l + m - 1))``, so that the degree at the cut-off solves
    ``K (K + m - 1) = M^2``; those of degree at most K are ``C(m + K, m) + C(m + K - 1, m)`` many, exactly if K is
    whole. For other K the binomial coefficients are read as gamma functions, without rounding K down.

    Parameters
    ----------
    dimension : float
        m > 0.
    cutoff : float
        Highest frequency M > 0.

    Returns
    -------
    degree : float
        K.
    ln_functions : float
        Natural logarithm of the number E.

    Raises
    ------
    ValueError
        If an argument is not positive.

    Examples
    --------
    >>> degree, ln_functions = sphere_functions(2, 12**0.5)  # degrees 0 to 3 on S^2: 1 + 3 + 5 + 7
    >>> round(degree, 12), round(math.exp(ln_functions), 9)
    (3.0, 16.0)
    """
    m, frequency = float(positive("dimension", dimension)), float(positive("cutoff", cutoff))
    root = math.hypot(m - 1, 2 * frequency)
    degree = 2 * frequency * (frequency / (root + m - 1)) if m > 1 else (root + 1 - m) / 2
    # C(m + K - 1, m) = C(m + K, m) K / (m + K), and C(a + b, a) = 1 / ((a + b + 1) Beta(a + 1, b + 1)).
    largest = -float(betaln(m + 1, degree + 1)) - math.log(m + degree + 1)
    return degree, largest + math.log1p(degree / (m + degree))


def torus_functions(dimension: float, cutoff: float) -> tuple[float, float]:
    """Count the waves on the flat torus of m circles of length 2 pi up to a frequency, by their leading term.

    Waves are the points of the lattice of whole numbers, and their number in a ball of radius M is the ball's volume,
    up to a boundary that is small for M far above sqrt(m) (Weyl's law).

    Parameters
    ----------
    dimension : float
        m > 0.
    cutoff : float
        Highest frequency M > 0.

    Returns
    -------
    degree : float
        K = M: the slope of a wave is its frequency.
    ln_functions : float
        Natural logarithm of ``pi^{m/2} M^m / Gamma(m/2 + 1)``.

    Raises
    ------
    ValueError
        If an argument is not positive.

    Examples
    --------
    >>> math.exp(torus_functions(2, 10.0)[1]) / math.pi  # 317 points of the lattice, and 100 pi = 314.2
    100.0...
    """
    m, frequency = float(positive("dimension", dimension)), float(positive("cutoff", cutoff))
    return frequency, m * math.log(frequency) + m / 2 * math.log(math.pi) - float(gammaln(m / 2 + 1))


@dataclass(frozen=True)
class TaskDifficulty:
    """Difficulty of a task: the formula's ingredients, and the information that it says generalising needs.

    Parameters
    ----------
    manifold : {"sphere", "torus"}
        Sphere of radius R, or product of m circles of radius R.
    dimension : float
        Intrinsic dimension m > 0, not rounded.
    separation : float
        Length delta > 0 that a hypothesis must resolve.
    radius : float
        R > 0, in the unit of `separation`.
    examples : float
        n >= 1.
    outputs : float
        D > 0.
    combinations : float
        d >= 1, combinations of discrete features.
    eps : float
        Error that is aimed at, > 0, in units of the loss.
    output_bound : float
        B > 0.
    loss_lipschitz : float
        Lipschitz constant of the loss in the outputs, > 0: the formula knows ``eps / loss_lipschitz`` only.
    lipschitz : float, optional
        Lipschitz constant of hypotheses; by default ``K sqrt(D) / R``.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Examples
    --------
    MNIST with the numbers of the authors' script:

    >>> task = TaskDifficulty("sphere", 14, 2.3987084824335305, 17.179045827183984, 60_000, 9, 10, 0.001)
    >>> f"K = {task.degree:.2f}, E = {math.exp(task.ln_functions):.4g}, I = {task.bits:.4g} bits"
    'K = 38.97, E = 4.13e+12, I = 1.485e+16 bits'
    """

    manifold: Literal["sphere", "torus"]
    dimension: float
    separation: float
    radius: float
    examples: float
    outputs: float
    combinations: float
    eps: float
    output_bound: float = 1.0
    loss_lipschitz: float = 1.0
    lipschitz: float | None = None

    def __post_init__(self) -> None:
        if self.manifold not in {"sphere", "torus"}:
            raise ValueError(f"manifold must be 'sphere' or 'torus', got {self.manifold!r}.")
        for field in fields(self)[1:]:
            value = getattr(self, field.name)
            if field.name != "lipschitz" or value is not None:
                object.__setattr__(self, field.name, float(positive(field.name, value)))
        for name in ("examples", "combinations"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}. It is a count.")
        try:
            sized = all(0 < x < math.inf for x in (self.cutoff, self.degree, self.lipschitz_constant, self.distance))
        except OverflowError:
            sized = False
        if not sized:
            raise ValueError(
                "dimension, radius and separation must give a cut-off, a degree and a distance that are float64, got "
                f"{self.dimension}, {self.radius} and {self.separation}. Change the one that is out of all measure."
            )

    @cached_property
    def cutoff(self) -> float:
        """Highest frequency M."""
        return 2 * math.pi * self.radius / self.separation

    @cached_property
    def _functions(self) -> tuple[float, float]:
        count = sphere_functions if self.manifold == "sphere" else torus_functions
        return count(self.dimension, self.cutoff)

    @property
    def degree(self) -> float:
        """Degree K at the cut-off."""
        return self._functions[0]

    @property
    def ln_functions(self) -> float:
        """Natural logarithm of E."""
        return self._functions[1]

    @cached_property
    def lipschitz_constant(self) -> float:
        """Lipschitz constant L_f, per unit of length."""
        return self.degree * math.sqrt(self.outputs) / self.radius if self.lipschitz is None else self.lipschitz

    @cached_property
    def distance(self) -> float:
        """Distance W of the examples from the population."""
        m = self.dimension
        if self.manifold == "sphere":
            ln_volume = math.log(2) + (m + 1) / 2 * math.log(math.pi) - float(gammaln((m + 1) / 2))
        else:
            ln_volume = m * math.log(2 * math.pi)
        share = ln_volume + math.log(self.combinations) - math.log(self.examples)
        return math.sqrt(m / 6) * math.exp(share / m) * self.radius

    @cached_property
    def nats_per_dimension(self) -> float:
        """Logarithm of the hypothesis space's radius over that within which the error is at most eps."""
        terms = (self.output_bound, self.lipschitz_constant, self.distance, self.loss_lipschitz)
        return (
            math.fsum(map(math.log, terms))
            + 0.5 * (math.log(self.outputs) + math.log(self.combinations))
            - math.log(self.eps)
        )

    @cached_property
    def ln_free_dimensions(self) -> float:
        """Natural logarithm of ``2 D d E - n D``; minus infinity where nothing is left."""
        ln_space = math.log(2) + math.log(self.combinations) + self.ln_functions  # for one output
        taken = math.log(self.examples) - ln_space
        return math.log(self.outputs) + ln_space + math.log(-math.expm1(taken)) if taken < 0 else -math.inf

    @property
    def warnings(self) -> tuple[str, ...]:
        """Where the formula has left the regime that it was made for, in words."""
        outside = (
            (self.ln_free_dimensions == -math.inf, DETERMINED),
            (self.nats_per_dimension <= 0, WITHIN),
            (self.degree < 1, CONSTANT),
        )
        return tuple(words for applies, words in outside if applies)

    @cached_property
    def ln_nats(self) -> float:
        """Natural logarithm of the information in nats; minus infinity where the formula finds that none is missing.

        It finds that where the examples determine the hypothesis, or all hypotheses that fit are within the radius
        (`warnings`): the share that generalises is 1 there, and a product below zero would be no information.
        """
        per_dimension = self.nats_per_dimension
        return self.ln_free_dimensions + math.log(per_dimension) if per_dimension > 0 else -math.inf

    @property
    def nats(self) -> float:
        """Information in nats.

        Raises
        ------
        OverflowError
            If it is no float64: `ln_nats` is.
        """
        if self.ln_nats >= math.log(np.finfo(np.float64).max):
            raise OverflowError(f"the information must be below 1.8e308, got {scientific(self.ln_nats)}. Use ln_nats.")
        return math.exp(self.ln_nats)

    @property
    def bits(self) -> float:
        """Information in bits: `nats` / ln 2."""
        return self.nats / math.log(2)

    def to_json(self) -> dict[str, Any]:
        """Return the ingredients, what follows from them, and how to read it, as JSON carries it.

        Returns
        -------
        dict
            Logarithms are natural; that of no information is None.
        """
        names = ("cutoff", "degree", "ln_functions", "lipschitz_constant", "distance", "nats_per_dimension")
        logs = {name: getattr(self, name) for name in ("ln_free_dimensions", "ln_nats")}
        return (
            {field.name: getattr(self, field.name) for field in fields(self)}
            | {name: getattr(self, name) for name in names}
            | {name: value if math.isfinite(value) else None for name, value in logs.items()}
            | {"warnings": list(self.warnings), "reading": READING}
        )

    def __str__(self) -> str:
        bits = self.ln_nats - math.log(math.log(2))
        return "\n".join([
            f"Task difficulty: {scientific(self.ln_nats)} nats = {scientific(bits)} bits",
            f"  {self.manifold} of dimension m = {self.dimension:.4g}, R = {self.radius:.4g}, "
            f"delta = {self.separation:.4g}: M = {self.cutoff:.4g}, K = {self.degree:.4g}, "
            f"E = {scientific(self.ln_functions)}",
            f"  n = {self.examples:.4g}, D = {self.outputs:.4g}, d = {self.combinations:.4g}, "
            f"B = {self.output_bound:.4g}, L_f = {self.lipschitz_constant:.4g}, W = {self.distance:.4g}, "
            f"eps = {self.eps:.4g}: {scientific(self.ln_free_dimensions)} free dimensions of "
            f"{self.nats_per_dimension:.4g} nats",
            *(f"  Outside of its regime: {words}." for words in self.warnings),
            f"  {READING}",
        ])


def scientific(ln_value: float) -> str:
    """Write a number that may be beyond float64, given its natural logarithm.

    Parameters
    ----------
    ln_value : float
        Natural logarithm, or minus infinity.

    Returns
    -------
    str
        Four digits.

    Examples
    --------
    >>> scientific(1000 * math.log(10) + math.log(2)), scientific(-math.inf)
    ('2.000e+1000', '0')
    """
    if ln_value == -math.inf:
        return "0"
    exponent, rest = divmod(ln_value / math.log(10), 1)
    mantissa = f"{10**rest:.3f}"
    return f"1.000e{int(exponent) + 1:+03d}" if mantissa == "10.000" else f"{mantissa}e{int(exponent):+03d}"
