"""How many directions the gradients of single examples take up: eigenvalues of their Gram matrix."""

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genbounds.coherence.pairs.gram import Gram
from genbounds.numerics.restoring import number_or_none

__all__ = ["GramSpectrum", "Spectrum", "gram_spectrum"]


@dataclass(frozen=True)
class Spectrum:
    """Eigenvalues of a second moment matrix of gradients, with what they add up to.

    Parameters
    ----------
    eigenvalues : tuple of float
        All that the examples show, from the largest; what rounding left below 0 is there as it came out.
    total : float
        Their sum, the trace.
    top_share : float
        Largest eigenvalue over the trace. It overstates the population's for few examples.
    effective_rank : float
        exp of the entropy of the eigenvalues over the trace [RoyVetterli2007]; at most the number of examples.
    participation_ratio : float
        ``(tr C)^2 / tr C^2`` of the examples' own matrix C; at most their number.
    population_participation_ratio : float
        The same for the population, numerator and denominator each estimated without bias. NaN where the estimate of
        the denominator is not positive or there are too few examples.
    """

    eigenvalues: tuple[float, ...] = field(repr=False)
    total: float
    top_share: float
    effective_rank: float
    participation_ratio: float
    population_participation_ratio: float


@dataclass(frozen=True)
class GramSpectrum:
    """Spectra of the gradients of a subsample.

    Parameters
    ----------
    examples : int
        k.
    coherence : float
        Plug-in coherence of the subsample, ``1'K1 / (k tr K)`` for its Gram matrix K: the share of the trace that lies
        along the direction of all examples together, so at most `raw.top_share`.
    raw : Spectrum
        Of ``(1/k) sum g_i g_i'``.
    centred : Spectrum
        Of the covariance ``1/(k-1) sum (g_i - gbar)(g_i - gbar)'``.
    """

    examples: int
    coherence: float
    raw: Spectrum
    centred: Spectrum

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON carries them.

        Returns
        -------
        dict
            Nested dictionaries; what is not defined is None.
        """
        spectra = {
            name: {
                key: list(value) if isinstance(value, tuple) else number_or_none(value)
                for key, value in asdict(spectrum).items()
            }
            for name, spectrum in (("raw", self.raw), ("centred", self.centred))
        }
        return {"examples": self.examples, "coherence": number_or_none(self.coherence), **spectra}

    def __str__(self) -> str:
        lines = [f"spectrum of the gradients of {self.examples} examples, coherence among them {self.coherence:.4g}"]
        for name, of in (("gradients", self.raw), ("about their average", self.centred)):
            lines.append(
                f"{name}: top eigenvalue {of.top_share:.1%} of the trace, effective rank {of.effective_rank:.1f}, "
                f"participation ratio {of.participation_ratio:.1f} (population {of.population_participation_ratio:.1f})"
            )
        return "\n".join(lines)


def gram_spectrum(gram: Gram) -> GramSpectrum:
    """Return the eigenvalues that the gradients of a subsample show, about zero and about their average.

    Parameters
    ----------
    gram : Gram
        Inner products, k examples.

    Returns
    -------
    GramSpectrum
        NaN throughout where no example has a gradient (centred: where all have the same).

    Raises
    ------
    ValueError
        If the matrix has eigenvalues below zero by more than rounding: then it is no matrix of inner products.

    Examples
    --------
    >>> import numpy as np
    >>> spectrum = gram_spectrum(Gram(np.diag([2.0, 2.0, 0.0, 0.0]), None, np.arange(4), 4))
    >>> spectrum.coherence, round(spectrum.raw.effective_rank, 9), spectrum.raw.eigenvalues[:2]
    (0.25, 2.0, (0.5, 0.5))
    """
    k = len(gram)
    scale = float(gram.products.trace()) / k or 1.0  # squares of squares must neither overflow nor vanish
    products = gram.products / scale
    trace = float(products.trace())
    means = products.mean(axis=0)
    centred = products - means[:, None] - means[None, :] + means.mean()
    centred = (centred + centred.T) / 2
    with np.errstate(invalid="ignore"):
        coherence = float(np.float64(products.sum()) / (k * trace))
    # Rounding of the inner products is relative to the gradients, also where those nearly cancel.
    allowed = 16 * k * max(gram.rounding, float(np.finfo(np.float64).eps)) * max(trace, 0.0)
    return GramSpectrum(
        k,
        coherence,
        _spectrum(products / k, allowed / k, scale, *_raw_moments(products)),
        # The moments are those of differences: of the centred products they keep their digits beside a large average.
        _spectrum(centred / (k - 1), allowed / (k - 1), scale, *_centred_moments(centred)),
    )


def _spectrum(
    matrix: NDArray[np.float64], allowed: float, scale: float, squared_trace: float, trace_of_square: float
) -> Spectrum:
    """Return what a matrix in units of `scale` shows; eigenvalues and trace within `allowed` of 0 are rounding."""
    eigenvalues = np.linalg.eigvalsh(matrix)[::-1]
    if eigenvalues[-1] < -allowed:
        raise ValueError(
            f"gram must have no eigenvalue below 0, got {scale * eigenvalues[-1]:.3g} (the largest is "
            f"{scale * eigenvalues[0]:.3g}). "
            "Products must be of gradients at the same weights; compute them in float64 if rounding is in doubt."
        )
    total = float(matrix.trace())
    varies = total > allowed
    shares = eigenvalues[eigenvalues > 0] / total if varies else np.array([np.nan])
    squares = float(np.square(matrix).sum())
    return Spectrum(
        eigenvalues=tuple((scale * eigenvalues).tolist()),
        total=scale * total,
        top_share=float(shares[0]),
        effective_rank=float(np.exp(-(shares * np.log(shares)).sum())),
        participation_ratio=total**2 / squares if varies else np.nan,
        population_participation_ratio=squared_trace / trace_of_square if varies and trace_of_square > 0 else np.nan,
    )


def _raw_moments(products: NDArray[np.float64]) -> tuple[float, float]:
    """Estimate ``(tr F)^2`` and ``tr F^2`` for F = E g g', from pairs of different examples."""
    k, squared = len(products), np.diagonal(products)
    pairs = k * (k - 1)
    return (
        float(squared.sum() ** 2 - np.square(squared).sum()) / pairs,
        float(np.square(products).sum() - np.square(squared).sum()) / pairs,
    )


def _centred_moments(products: NDArray[np.float64]) -> tuple[float, float]:
    """Estimate ``(tr C)^2`` and ``tr C^2`` for the covariance C, from four different examples at a time."""
    k = len(products)
    if k < 4:
        return np.nan, np.nan
    # Half the squared distance of two examples is an unbiased tr C, and two disjoint pairs are independent; with the
    # differences of two disjoint pairs, ((g_1 - g_2) . (g_3 - g_4))^2 / 4 is an unbiased tr C^2.
    squared = np.diagonal(products)
    halves = (squared[:, None] + squared[None, :]) / 2 - products
    rows = halves.sum(axis=1)
    fours = k * (k - 1) * (k - 2) * (k - 3)
    squared_trace = (rows.sum() ** 2 - 4 * np.square(rows).sum() + 2 * np.square(halves).sum()) / fours
    # Inner products of different examples alone; sums over different indices by inclusion and exclusion.
    off = products - np.diag(squared)
    ones, twos = off.sum(axis=1), np.square(off).sum()
    paths = np.square(ones).sum() - twos
    disjoint = ones.sum() ** 2 - 4 * np.square(ones).sum() + 2 * twos
    trace_of_square = twos / (k * (k - 1)) - 2 * paths / (k * (k - 1) * (k - 2)) + disjoint / fours
    return float(squared_trace), float(trace_of_square)
