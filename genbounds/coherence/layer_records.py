"""A few numbers for a group of parameters, from which its coherence and all that goes with it follow."""

import math
from dataclasses import dataclass
from typing import Any

from genbounds.coherence import alpha as forms
from genbounds.coherence import null, relations, uncertainty
from genbounds.numerics.restoring import number_or_none

__all__ = ["CoherenceNumbers", "LayerCoherence"]


@dataclass(frozen=True)
class CoherenceNumbers:
    """What is kept of a group of parameters, and what follows from it; fields are described in `LayerCoherence`."""

    m: int
    parameters: int
    squared_mean: float
    second_moment: float
    standard_error: float | None
    level: float
    p_value: float | None
    pair_square: float | None

    @property
    def plug_in_signal(self) -> float:
        """``||gbar||^2``, of the examples themselves."""
        return float(forms.plug_in(self.squared_mean, self.second_moment)[0])

    @property
    def plug_in_noise(self) -> float:
        """Average ``||g_i - gbar||^2``, of the examples themselves."""
        return float(forms.plug_in(self.squared_mean, self.second_moment)[1])

    @property
    def plug_in_alpha(self) -> float:
        """``alpha_m``, of the examples themselves; NaN where all gradients are 0."""
        return float(forms.coherence(self.plug_in_signal, self.plug_in_noise))

    @property
    def signal(self) -> float:
        """Estimate of ``S = ||G||^2`` without bias; may be negative."""
        return float(forms.unbiased(self.squared_mean, self.second_moment, self.m)[0])

    @property
    def noise(self) -> float:
        """Estimate of ``V = tr Cov(g)`` without bias."""
        return float(forms.unbiased(self.squared_mean, self.second_moment, self.m)[1])

    @property
    def alpha(self) -> float:
        """Estimate of the population's coherence, the ratio of unbiased estimates; NaN where all gradients are 0."""
        return float(forms.coherence(self.signal, self.noise))

    @property
    def interval(self) -> tuple[float, float]:
        """Interval of `alpha` of nominal confidence `level`; NaN where there is no standard error."""
        error = math.nan if self.standard_error is None else self.standard_error
        low, high = uncertainty.interval(self.alpha, error, self.level)
        return float(low), float(high)

    @property
    def m_coherence(self) -> float:
        """``m alpha_m``, how many examples a step on one of them helps; NaN where all gradients are 0."""
        return self.m * self.plug_in_alpha

    @property
    def diversity(self) -> float:
        """``sum ||g_i||^2 / ||sum g_i||^2``; NaN where all gradients are 0."""
        return self._of(relations.gradient_diversity, self.plug_in_alpha, self.m)

    @property
    def noise_scale(self) -> float:
        """``V / S`` from `alpha`: infinite where the signal is estimated at 0 or below, NaN without gradients."""
        return self._of(relations.noise_scale, self.alpha)

    @property
    def approximate_p_value(self) -> float:
        """P-value of Gaussian gradients with the effective dimension that sign flips show; NaN without sign flips.

        An approximation (see `genbounds.coherence.null`), but not limited to 1 / (K + 1) from below. Signal counts as
        one more direction of the noise.
        """
        if not self.pair_square:
            return math.nan
        dimension = null.effective_dimension(self.second_moment, self.pair_square)
        return float(null.gaussian_tail(self.plug_in_alpha, self.m, dimension))

    def one_step_ratio(self, n: int) -> float:
        """Return R(n), how much of the gain of a step on n fresh examples is gained on the population as well.

        Parameters
        ----------
        n : int
            Examples that the step is computed from.

        Returns
        -------
        float
            From `alpha`; NaN where all gradients are 0.

        Raises
        ------
        ValueError
            If n is below 1, or the estimate is too negative for it, which it can be only above m.
        """
        return self._of(relations.one_step_ratio, self.alpha, n)

    def norm_test(self, size: int) -> float:
        """Return the relative error of the gradient of a batch, ``sqrt(V / (b S))``.

        Parameters
        ----------
        size : int
            Examples in the batch, b.

        Returns
        -------
        float
            From `alpha`: infinite where the signal is estimated at 0 or below, NaN where all gradients are 0.
        """
        return self._of(relations.norm_test, self.alpha, size)

    def scalars(self) -> dict[str, float]:
        """Return what is derived from the numbers kept.

        Returns
        -------
        dict of str to float
            By name; NaN where not defined, infinite where it is.
        """
        low, high = self.interval
        return {
            "alpha": self.alpha,
            "alpha_low": low,
            "alpha_high": high,
            "plug_in_alpha": self.plug_in_alpha,
            "m_coherence": self.m_coherence,
            "signal": self.signal,
            "noise": self.noise,
            "noise_scale": self.noise_scale,
            "diversity": self.diversity,
        }

    def derived(self) -> dict[str, float | None]:
        """Return `scalars` as JSON carries them, for its readers.

        Returns
        -------
        dict of str to float or None
            By name; None where not defined or infinite.
        """
        return {name: number_or_none(value) for name, value in self.scalars().items()}

    def _of(self, relation: Any, coherence: float, *others: Any) -> float:
        return math.nan if math.isnan(coherence) else float(relation(coherence, *others))


@dataclass(frozen=True)
class LayerCoherence(CoherenceNumbers):
    """Coherence of the gradients with respect to one layer's own parameters.

    Attributes
    ----------
    m : int
        Examples measured.
    parameters : int
        Number of parameters, as single numbers.
    squared_mean : float
        ``||gbar_l||^2``.
    second_moment : float
        ``D_l``, average of ``||g_{i,l}||^2``.
    standard_error : float or None
        Of `alpha`; None where it was not asked for, with fewer than five examples, or where all gradients are 0.
    level : float
        Nominal confidence of the interval.
    p_value : float or None
        Of the sign-flip test, by itself; None if no signs were drawn.
    pair_square : float or None
        Estimate of ``E (g . g')^2`` from sign flips; None if no signs were drawn.
    name : str
        Of the module that owns the parameters.
    fraction : float or None
        ``f_l``, the layer's share of the average squared norm; None where all gradients are 0.
    """

    name: str
    fraction: float | None
