"""The record of a measurement of preconditioned coherence."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from genbounds.coherence.layer_records import LayerCoherence

__all__ = ["PreconditionedCoherence"]


@dataclass(frozen=True)
class PreconditionedCoherence:
    """Coherence of preconditioned gradients ``P^(1/2) g``; squared norms are ``g'Pg``.

    Parameters
    ----------
    total : LayerCoherence
        All parameters together.
    layers : tuple of LayerCoherence
        In order of definition.
    damping : float
        Fraction of each parameter's mean eigenvalue that was added before inversion.
    fitted_on : int
        Examples that P was fitted on: others than those measured, or the unbiased form is not without bias.
    forms : dict of str to str
        By parameter, what its block of P is.
    """

    total: LayerCoherence
    layers: tuple[LayerCoherence, ...]
    damping: float
    fitted_on: int
    forms: Mapping[str, str] = field(hash=False)

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON carries them, with what is derived from them.

        Returns
        -------
        dict
            What is not defined is None.
        """
        groups = [asdict(group) | {"derived": group.derived()} for group in (self.total, *self.layers)]
        return {
            "total": groups[0],
            "layers": groups[1:],
            "damping": self.damping,
            "fitted_on": self.fitted_on,
            "forms": dict(self.forms),
        }

    def __str__(self) -> str:
        lines = [
            f"coherence of the preconditioned gradients of {self.total.m:,} examples; P from {self.fitted_on:,} "
            f"examples, damping {self.damping:g} of the mean eigenvalue ({self.total.level:.0%} intervals, nominal)"
        ]
        for label, group in (("all", self.total), *((layer.name or "(root)", layer) for layer in self.layers)):
            low, high = group.interval
            lines.append(
                f"  {label}   alpha {group.alpha:.4g} [{low:.4g}, {high:.4g}]   m-coherence {group.m_coherence:.4g}"
            )
        return "\n".join(lines)
