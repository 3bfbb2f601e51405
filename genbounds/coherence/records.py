"""The record of a measurement of coherence: a few numbers for the network and for each layer, and what they say."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

from genbounds.coherence import alpha as forms
from genbounds.coherence import null, relations, uncertainty
from genbounds.coherence.alignment import Alignment

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["Coherence", "LayerCoherence"]

_FORMAT = "genbounds coherence 1"

#: Ranks at which the lengths of the examples' gradients are kept.
QUANTILES = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)

#: What a reader must know, whatever the numbers are.
READING = (
    "Coherence of a final checkpoint does not order networks by generalization: where the training loss is near its "
    "minimum the average gradient vanishes, and coherence with it. Compare early, or at equal training loss.",
    "The coherence of all layers together changes when layers are rescaled without changing the function; that of a "
    "single layer does not.",
    "The interval is nominal and takes the examples for independent draws at weights that do not depend on them. For "
    "examples that were trained on it says nothing about fresh ones.",
)
#: What a reader must know where the m-coherence is below 1.
NEAR_STATIONARY = (
    "m-coherence below 1: the gradients cancel, as they do near a stationary point of the average loss. This is "
    "normal, and no sign of conflict between examples."
)


@dataclass(frozen=True)
class _Numbers:
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

        An approximation (see `genbounds.coherence.null`), but not limited to 1 / (K + 1) from below. Signal makes the
        dimension too small and this too large.
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

    def _of(self, relation: Any, coherence: float, *others: Any) -> float:
        return math.nan if math.isnan(coherence) else float(relation(coherence, *others))


@dataclass(frozen=True)
class LayerCoherence(_Numbers):
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


@dataclass(frozen=True)
class Coherence(_Numbers):
    """Coherence of the gradients of a network's examples, with its layers.

    Attributes
    ----------
    m, parameters, squared_mean, second_moment, standard_error, level, p_value, pair_square
        As for `LayerCoherence`, of all measured parameters together.
    layers : tuple of LayerCoherence
        In order of definition. ``alpha = sum f_l alpha_l`` over them.
    loss : float
        Average loss of the examples.
    zero_gradients : int
        Examples whose gradient is exactly 0.
    norm_quantiles : tuple of float
        Quantiles of ``||g_i||`` at 0, 1, 5, 25, 50, 75, 95, 99 and 100 %.
    null_draws : int
        Patterns of signs behind the p-values.
    routes : dict of str to str
        By parameter, how its gradients were found.
    second : Alignment or None
        Agreement with the average gradient of a second set of examples.
    provenance : dict
        JSON: data, model, device, dtype, batch size, seed, versions.

    Examples
    --------
    >>> import torch
    >>> from genbounds.coherence import measure
    >>> x = torch.tensor([[1.0, 0, 1], [0, 1, 1]])
    >>> model = torch.nn.Linear(3, 1, bias=False).eval()
    >>> _ = torch.nn.init.zeros_(model.weight)
    >>> record = measure(model, lambda out, y: ((out - y) ** 2).mean(), (x, torch.ones(2, 1)))
    >>> round(record.plug_in_alpha, 6), round(record.m_coherence, 6), round(record.alpha, 6)
    (0.75, 1.5, 0.5)
    """

    layers: tuple[LayerCoherence, ...]
    loss: float
    zero_gradients: int
    norm_quantiles: tuple[float, ...]
    null_draws: int
    routes: Mapping[str, str] = field(hash=False)
    second: Alignment | None
    provenance: Mapping[str, Any] = field(hash=False)

    @property
    def fraction(self) -> float:
        """Share of the average squared norm: all of it."""
        return 1.0

    def groups(self) -> Iterator[tuple[str, "Coherence | LayerCoherence"]]:
        """Name the network and its layers.

        Yields
        ------
        tuple
            Name and numbers: first "all", then each layer, the root module's own parameters as "(root)".
        """
        yield "all", self
        for layer in self.layers:
            yield layer.name or "(root)", layer

    def notes(self) -> tuple[str, ...]:
        """Return what a reader must know not to misread the numbers.

        Returns
        -------
        tuple of str
            Sentences.
        """
        return (*READING, NEAR_STATIONARY) if self.m_coherence < 1 else READING

    def flat(self) -> dict[str, float]:
        """Return all scalars under one level of names, as loggers take them.

        Returns
        -------
        dict of str to float
            Those of the whole by their names, those of a layer as ``layer/name``, those of a second set as
            ``second/name``; without what is not defined or infinite.
        """
        found = {"loss": self.loss, "examples": float(self.m), "zero_gradients": float(self.zero_gradients)}
        for label, numbers in self.groups():
            prefix = "" if numbers is self else f"{label}/"
            scalars = numbers.scalars() | {"p_value": math.nan if numbers.p_value is None else numbers.p_value}
            found |= {prefix + name: value for name, value in scalars.items()}
        if self.second is not None:
            total = self.second.total
            found |= {"second/cosine": total.cosine.value, "second/transfer": total.transfer.value}
        return {name: value for name, value in found.items() if math.isfinite(value)}

    def to_frame(self) -> "DataFrame":
        """Return the numbers as a table, one row for all and one for each layer.

        Returns
        -------
        pandas.DataFrame
            Indexed by layer; NaN where not defined.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        try:
            from pandas import DataFrame
        except ImportError as error:
            raise ImportError("Coherence.to_frame needs pandas. Run: pip install 'genbounds[frame]'") from error
        rows = {
            label: {
                "parameters": numbers.parameters,
                "fraction": numbers.fraction,
                **numbers.scalars(),
                "standard_error": numbers.standard_error,
                "p_value": numbers.p_value,
            }
            for label, numbers in self.groups()
        }
        table = DataFrame.from_dict(rows, orient="index").rename_axis("layer")
        return table.astype({name: float for name in table.columns if name != "parameters"})

    def to_json(self) -> dict[str, Any]:
        """Return the record as JSON carries it.

        Returns
        -------
        dict
            The fields, and for each group what is derived from them (for readers; `from_json` derives it again).
        """
        values = {part.name: getattr(self, part.name) for part in fields(self)}
        values |= {
            "format": _FORMAT,
            "layers": [asdict(layer) | {"derived": _finite(layer.scalars())} for layer in self.layers],
            "norm_quantiles": list(self.norm_quantiles),
            "routes": dict(self.routes),
            "second": None if self.second is None else self.second.to_json(),
            "provenance": dict(self.provenance),
            "derived": _finite(self.scalars()),
        }
        return values

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Coherence":
        """Read a record that `to_json` wrote.

        Parameters
        ----------
        values : mapping
            What `to_json` returned, through a file or not.

        Returns
        -------
        Coherence
            Equal to the one written.

        Raises
        ------
        ValueError
            If it is something else.
        """
        if values.get("format") != _FORMAT:
            raise ValueError(
                f"values must be a record of coherence ({_FORMAT!r}), got format {values.get('format')!r}. "
                "Pass what Coherence.to_json returned."
            )
        known = {part.name: values[part.name] for part in fields(cls)}
        own = {part.name for part in fields(LayerCoherence)}
        known["layers"] = tuple(
            LayerCoherence(**{name: value for name, value in layer.items() if name in own})
            for layer in values["layers"]
        )
        known["norm_quantiles"] = tuple(values["norm_quantiles"])
        known["second"] = None if values["second"] is None else Alignment.from_json(values["second"])
        return cls(**known)

    def __str__(self) -> str:
        lines = [f"coherence of the gradients of {self.m:,} examples ({self.level:.0%} intervals, nominal)"]
        width = max(len(label) for label, _ in self.groups())
        for label, numbers in self.groups():
            low, high = numbers.interval
            share = "" if numbers is self or numbers.fraction is None else f"   share {numbers.fraction:.1%}"
            p_value = "" if numbers.p_value is None else f"   p {numbers.p_value:.3g}"
            lines.append(
                f"  {label:{width}}   alpha {numbers.alpha:.4g} [{low:.4g}, {high:.4g}]   "
                f"m-coherence {numbers.m_coherence:.4g}{share}{p_value}"
            )
        if self.second is not None:
            lines.append(str(self.second))
        return "\n".join([*lines, *self.notes()])


def _finite(scalars: Mapping[str, float]) -> dict[str, float | None]:
    """Return numbers as JSON carries them: what is not finite as None."""
    return {name: value if math.isfinite(value) else None for name, value in scalars.items()}
