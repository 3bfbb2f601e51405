"""What comparing training and test representations found, layer by layer, and the verdict on a funnel."""

import math
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["LayerAnalysis", "LayerTransport"]

#: From which rank among its random relabellings on an observation is called an effect.
_LEVEL = 0.05


@dataclass(frozen=True)
class LayerTransport:
    """Training and test representations at one layer.

    Parameters
    ----------
    name : str
        The layer; ``"input"`` for what goes into the first.
    dimension : int
        Numbers in one representation.
    distance : float
        W1 between m training and m test examples at cost |t - t'| + label cost [y != y'].
    floor : float
        The mean of W1 between m and m other training examples: what sampling alone amounts to. An estimate.
    p_value : float
        Share of random relabellings of the 2m examples, the observed one counted, at which W1 is at least as large.
    remaining_lipschitz : float
        Upper bound of the Lipschitz constant of all layers after this one together.
    limit : float
        W1 at cost rho Lambda |t - t'| + kappa [y != y']: never below the difference of the losses.
    """

    name: str
    dimension: int
    distance: float
    floor: float
    p_value: float
    remaining_lipschitz: float
    limit: float


@dataclass(frozen=True)
class LayerAnalysis:
    """What `analyse_layers` found.

    Parameters
    ----------
    layers : tuple of LayerTransport
        From the input to the output.
    loss : str
        ``"ramp"`` or ``"cross-entropy"``.
    train_loss, test_loss : float
        Averages over the m training and the m test examples compared.
    output_lipschitz : float
        rho.
    label_change : float
        kappa.
    size : int
        m.
    replicates : int
        Random relabellings, and random halves of the training examples.
    seed : int
        Of all draws.
    funnel : str
        Name of the layer with the smallest distance.
    funnel_p_value : float
        Share of relabellings, the observed one counted, at which the output lies above the smallest distance of the
        other layers by at least as much.
    """

    layers: tuple[LayerTransport, ...]
    loss: str
    train_loss: float
    test_loss: float
    output_lipschitz: float
    label_change: float
    size: int
    replicates: int
    seed: int
    funnel: str
    funnel_p_value: float

    @property
    def gap(self) -> float:
        """Test loss less training loss, on the examples compared."""
        return self.test_loss - self.train_loss

    @property
    def holds(self) -> bool:
        """Whether no limit is below the gap. A declared constant that is too small shows here."""
        return all(layer.limit >= abs(self.gap) * (1 - 1e-6) - 1e-12 for layer in self.layers)

    @property
    def verdict(self) -> str:
        """Whether there is a funnel: ``"none"``, ``"sampling"`` or ``"scale"``."""
        if self.funnel == self.layers[-1].name:
            return "none"
        return "scale" if self.funnel_p_value <= _LEVEL else "sampling"

    @property
    def sentence(self) -> str:
        """The verdict in words."""
        if self.verdict == "none":
            return "The distance is smallest at the output, as the limits always are: there is no funnel."
        if self.verdict == "sampling":
            return (
                f"The distance is smallest at {self.funnel}, but examples relabelled at random show the like "
                f"(p = {self.funnel_p_value:.2g}): it is the floor of transport between finite samples, not a funnel."
            )
        return (
            f"The distance is smallest at {self.funnel} beyond what sampling explains (p = {self.funnel_p_value:.2g}), "
            "but in each layer's own units: with the constants of the layers that remain the limit is smallest at the "
            "output."
        )

    def to_json(self) -> dict[str, Any]:
        """Return the fields and what follows from them, for a JSON file; infinite numbers as None.

        Returns
        -------
        dict
            Plain strings, numbers, lists and dictionaries.
        """
        fields = asdict(self) | {"gap": self.gap, "holds": self.holds, "verdict": self.verdict}
        fields["layers"] = [
            {key: None if value == math.inf else value for key, value in layer.items()} for layer in fields["layers"]
        ]
        return fields
