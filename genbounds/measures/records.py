"""What measuring gives: numbers by name, and refusals with their reasons."""

import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from genbounds.measures.spectra.bulk import NoiseBulk
from genbounds.measures.spectra.power_law import PowerLaw
from genbounds.measures.spectra.shuffled_record import ShuffledSpectrum
from genbounds.numerics.restoring import number_or_none, restored

__all__ = ["LayerSpectrum", "Measure", "Measures", "Refusal", "read_measures"]


@dataclass(frozen=True)
class Measure:
    """One number of one network; it proves nothing.

    Attributes
    ----------
    name : str
        What it is.
    value : float
        Its value; -inf is the logarithm of 0.
    equation : str
        Where it is defined, or its formula.
    error : float or None
        Standard error of an estimate over what was drawn; none where nothing was.
    """

    name: str
    value: float
    equation: str
    error: float | None = None


@dataclass(frozen=True)
class Refusal:
    """A measure that this network, or what came with it, does not allow.

    Attributes
    ----------
    name : str
        Which.
    reason : str
        Why, and what would allow it.
    """

    name: str
    reason: str


@dataclass(frozen=True)
class LayerSpectrum:
    """The eigenvalues of W^T W of one weight matrix, in a few numbers.

    Attributes
    ----------
    name, kind : str
        Of the weight and its layer.
    rows, columns : int
        Shape of W.
    largest : float
        Largest eigenvalue, the squared operator norm of the matrix.
    stable_rank : float
        Sum over largest, in [1, rank]; NaN for zeros.
    power_law : PowerLaw or None
        Fit of the tail.
    log_alpha_norm : float or None
        log10 of the sum of the eigenvalues to the power alpha, where there is a fit.
    bulk : NoiseBulk or None
        Fit of what looks like noise, and what exceeds it.
    shuffled : ShuffledSpectrum or None
        How the spectrum changes when the entries are permuted, if that was asked for.
    reasons : tuple of str
        Why a fit is missing.
    """

    name: str
    kind: str
    rows: int
    columns: int
    largest: float
    stable_rank: float
    power_law: PowerLaw | None
    log_alpha_norm: float | None
    bulk: NoiseBulk | None
    shuffled: ShuffledSpectrum | None
    reasons: tuple[str, ...]

    @property
    def alpha_weighted(self) -> float | None:
        """Return alpha times log10 of the largest eigenvalue, where there is a fit.

        Returns
        -------
        float or None
            The weighted exponent.
        """
        return None if self.power_law is None else self.power_law.alpha * math.log10(self.largest)


@dataclass(frozen=True)
class Measures:
    """All that was measured on one network.

    Attributes
    ----------
    measured : tuple of Measure
        Numbers.
    refused : tuple of Refusal
        What does not apply, with the reason: nothing is left out silently.
    layers : tuple of LayerSpectrum
        Spectra of the weight matrices, if they were asked for.

    Examples
    --------
    >>> found = Measures((Measure("weights", 12.0, "eq. 20"),), (Refusal("path norm", "attention"),))
    >>> found["weights"], [refusal.name for refusal in found.refused]
    (12.0, ['path norm'])
    """

    measured: tuple[Measure, ...]
    refused: tuple[Refusal, ...] = ()
    layers: tuple[LayerSpectrum, ...] = ()

    def __post_init__(self) -> None:
        names = [each.name for each in self.measured] + [each.name for each in self.refused]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise ValueError(f"names of measures must differ, got {min(twice)!r} twice. Rename one.")

    def __iter__(self) -> Iterator[Measure]:
        return iter(self.measured)

    def __getitem__(self, name: str) -> float:
        for measure in self.measured:
            if measure.name == name:
                return measure.value
        for refusal in self.refused:
            if refusal.name == name:
                raise KeyError(f"{name} was refused: {refusal.reason}")
        raise KeyError(f"{name} was not measured, only {', '.join(each.name for each in self.measured)}")

    def to_json(self) -> dict[str, Any]:
        """Return the record as JSON carries it.

        Returns
        -------
        dict
            ``measured``, ``refused`` and ``layers``; a logarithm of 0 becomes None and is read back as NaN.
        """
        measured = [asdict(each) | {"value": number_or_none(each.value)} for each in self.measured]
        layers = [asdict(each) | {"stable_rank": number_or_none(each.stable_rank)} for each in self.layers]
        return {"measured": measured, "refused": [asdict(each) for each in self.refused], "layers": layers}

    def to_frame(self) -> Any:
        """Return the numbers as a table; needs the extra frame.

        Returns
        -------
        pandas.DataFrame
            A row for each measure and refusal: name, value (NaN where refused), its standard error, equation, reason.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise ImportError("a table needs pandas: pip install 'genbounds[frame]'") from error
        rows = [asdict(each) for each in self.measured] + [asdict(each) for each in self.refused]
        return pandas.DataFrame(rows, columns=["name", "value", "error", "equation", "reason"])

    def save(self, path: str | Path) -> None:
        """Write the record as JSON.

        Parameters
        ----------
        path : str or Path
            The file.
        """
        text = json.dumps(self.to_json(), indent=1, ensure_ascii=False, allow_nan=False)
        Path(path).write_text(text + "\n", encoding="utf-8")


def read_measures(path: str | Path) -> Measures:
    """Read a record that `Measures.save` wrote.

    Parameters
    ----------
    path : str or Path
        The file.

    Returns
    -------
    Measures
        The record.

    Raises
    ------
    ValueError
        If the file holds something else.
    """
    try:
        return restored(Measures, json.loads(Path(path).read_text(encoding="utf-8")))
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"path must hold a record of measures, got {path}: {error}. Save one anew.") from error
