"""The record of a measurement of coherence: a few numbers for the network and for each layer, and what they say."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

from genbounds.coherence.alignment import Alignment
from genbounds.coherence.layer_records import CoherenceNumbers, LayerCoherence
from genbounds.coherence.pairs.confusion import Confusion
from genbounds.coherence.pairs.spectrum import GramSpectrum
from genbounds.coherence.pairs.stiffness import Stiffness
from genbounds.coherence.preconditioned_records import PreconditionedCoherence
from genbounds.coherence.signal_to_noise import SignalToNoise
from genbounds.numerics.restoring import restored

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["Coherence"]

_FORMAT = "genbounds coherence 1"

#: Ranks at which the lengths of the examples' gradients are kept.
QUANTILES = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)

#: What a record holds only where it was asked for.
_PARTS = ("second", "coordinates", "stiffness", "confusion", "spectrum", "preconditioned")

#: What a reader must know, whatever the numbers are.
READING = (
    "Coherence of a final checkpoint does not order networks by generalization: where the training loss is near its "
    "minimum the average gradient vanishes, and coherence with it. Compare early; even at equal training loss, random "
    "labels that are being memorised can show more of it than real ones.",
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


#: What a reader must know where few examples carry most of the squared norm.
FEW_CARRY = (
    "Few examples carry most of the average squared norm, as if there were fewer than 30: intervals are too short, by "
    "far where lengths have heavy tails."
)
#: Below it, normal intervals were measured to cover too little.
_ENOUGH = 30


@dataclass(frozen=True)
class Coherence(CoherenceNumbers):
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
    effective_examples : float or None
        ``(sum q_i)^2 / sum q_i^2`` of ``q_i = ||g_i||^2``: how many examples of equal length would weigh as much on the
        average square; None where all gradients are 0.
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
    coordinates : SignalToNoise, optional
        Signal-to-noise ratios of the gradient's coordinates.
    stiffness, confusion, spectrum : Stiffness, Confusion, GramSpectrum, optional
        Of pairs of examples of a subsample.
    preconditioned : PreconditionedCoherence, optional
        Coherence in the geometry of a preconditioner.

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
    effective_examples: float | None
    norm_quantiles: tuple[float, ...]
    null_draws: int
    routes: Mapping[str, str] = field(hash=False)
    second: Alignment | None
    provenance: Mapping[str, Any] = field(hash=False)
    coordinates: SignalToNoise | None = None
    stiffness: Stiffness | None = None
    confusion: Confusion | None = None
    spectrum: GramSpectrum | None = None
    preconditioned: PreconditionedCoherence | None = None

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
        few = self.effective_examples is not None and self.effective_examples < _ENOUGH
        more = ((self.m_coherence < 1, NEAR_STATIONARY), (few and self.standard_error is not None, FEW_CARRY))
        return (*READING, *(note for applies, note in more if applies))

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
            "layers": [asdict(layer) | {"derived": layer.derived()} for layer in self.layers],
            "norm_quantiles": list(self.norm_quantiles),
            "routes": dict(self.routes),
            "provenance": dict(self.provenance),
            "derived": self.derived(),
        }
        values |= {name: part.to_json() for name, part in self._parts()}
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
        return restored(cls, values)

    def _parts(self) -> Iterator[tuple[str, Any]]:
        for name in _PARTS:
            if (part := getattr(self, name)) is not None:
                yield name, part

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
        return "\n".join([*lines, *(str(part) for _, part in self._parts()), *self.notes()])
