"""The record of all pathway metrics of one moment: what its parts measured, and what a reader must know."""

import math
from dataclasses import dataclass
from typing import Any

from genbounds.numerics.restoring import number_or_none
from genbounds.pathways.complexity import Erraticness
from genbounds.pathways.distance_records import PathwayDistance
from genbounds.pathways.usage.load import ExpertLoad
from genbounds.pathways.usage.records import UsageRecord
from genbounds.pathways.usage.saturation import Saturation

__all__ = ["HEADLINES", "PathComplexity", "PathwayMetrics", "SampleMean"]

#: The numbers, of those that `PathwayMetrics.flat` names, that stand for the whole; what correlations are made of.
HEADLINES = (
    "distance/mean",
    "distance/ratio",
    "distance/within",
    "distance/r_squared",
    "distance/path_length",
    "top/load_balance",
    "top/within",
    "top/r_squared",
    "erraticness_median",
    "mean_cosine",
    "centred_erraticness_median",
    "centred_mean_cosine",
    "router_entropy",
    "saturation",
)


@dataclass(frozen=True)
class PathComplexity:
    """How erratically single samples are routed, without the numbers of each sample.

    Attributes
    ----------
    centred : bool
        Whether the routers' rows were centred, which removes what a softmax does not fix.
    median, median_low, median_high : float
        Median of the published C over valid samples, and its interval; NaN where there are too few.
    mean : float
        Mean over valid samples, which few of them may rule.
    invalid_share : float
        Share of samples without a valid C.
    mean_cosine, mean_cosine_error : float
        Mean over samples of the mean cosine of consecutive layers, and its standard error.
    level : float
        Nominal confidence of the interval.
    notes : tuple of str
        What a reader must know.
    """

    centred: bool
    median: float
    median_low: float
    median_high: float
    mean: float
    invalid_share: float
    mean_cosine: float
    mean_cosine_error: float
    level: float
    notes: tuple[str, ...]

    @classmethod
    def of(cls, found: Erraticness) -> "PathComplexity":
        """Sum up what was measured of each sample.

        Parameters
        ----------
        found : Erraticness
            From `genbounds.pathways.complexity.erraticness`.

        Returns
        -------
        PathComplexity
            Its summary.
        """
        low, high = (end if math.isfinite(end) else math.nan for end in found.interval)
        return cls(
            found.centred,
            found.median,
            low,
            high,
            found.mean,
            found.invalid_share,
            found.average_cosine,
            found.average_cosine_error,
            found.level,
            found.notes(),
        )

    @property
    def consistency(self) -> float:
        """``1 - median``."""
        return 1 - self.median

    def flat(self) -> dict[str, float]:
        """Return all scalars under one level of names, as loggers take them.

        Returns
        -------
        dict of str to float
            Of the centred version, names start with ``centred_``. Without what is not defined.
        """
        found = {
            "erraticness_median": self.median,
            "erraticness_median_low": self.median_low,
            "erraticness_median_high": self.median_high,
            "erraticness_mean": self.mean,
            "erraticness_invalid_share": self.invalid_share,
            "consistency_median": self.consistency,
            "mean_cosine": self.mean_cosine,
            "mean_cosine_error": self.mean_cosine_error,
        }
        prefix = "centred_" if self.centred else ""
        return {prefix + name: value for name, value in found.items() if math.isfinite(value)}


@dataclass(frozen=True)
class SampleMean:
    """Mean over samples of what was measured beside the routing.

    Attributes
    ----------
    name : str
        Such as ``loss`` or ``correct``.
    mean, standard_error : float
        Mean, and its standard error for samples that are independent draws; NaN for one sample.
    n : int
        Samples.
    """

    name: str
    mean: float
    standard_error: float
    n: int


@dataclass(frozen=True)
class PathwayMetrics(UsageRecord):
    """All pathway metrics of one moment. Measurements and estimates, no bounds.

    Attributes
    ----------
    samples, tokens : int
        What was seen.
    routers : tuple of str
        Names of the layers' routers.
    distance : PathwayDistance
        Of the paths that were asked for.
    top : PathwayDistance
        Hamming distance of top-1 paths, whose level over all pairs is how evenly experts are used.
    raw, centred : PathComplexity or None
        Erraticness as published, and with the routers' rows centred; `notes` says why where there is none.
    load : ExpertLoad
        Router entropy and use of the experts.
    saturation : Saturation or None
        Agreement with the last checkpoint, where it was given.
    values : tuple of SampleMean
        Loss, accuracy and what else was captured.
    notes : tuple of str
        Why something is None, and the capture's own warnings.
    """

    samples: int
    tokens: int
    routers: tuple[str, ...]
    distance: PathwayDistance
    top: PathwayDistance
    raw: PathComplexity | None
    centred: PathComplexity | None
    load: ExpertLoad
    saturation: Saturation | None
    values: tuple[SampleMean, ...]
    notes: tuple[str, ...]

    def flat(self) -> dict[str, float]:
        """Return all scalars under one level of names, as loggers take them.

        Returns
        -------
        dict of str to float
            Those of `values` by their names (and ``loss_error``), of the two distances as ``distance/...`` and
            ``top/...``, of single paths as in `PathComplexity.flat`, of layers as ``layer/...``; without what is not
            defined.

        Raises
        ------
        ValueError
            If one of `values` bears the name of a metric.
        """
        given = {value.name: value.mean for value in self.values}
        given |= {f"{value.name}_error": value.standard_error for value in self.values}
        found: dict[str, float] = {}
        for prefix, distance in (("distance", self.distance), ("top", self.top)):
            found |= {f"{prefix}/{name}": number for name, number in distance.flat().items()}
        for part in (self.raw, self.centred, self.load, self.saturation):
            found |= part.flat() if part is not None else {}
        if taken := given.keys() & found.keys():
            raise ValueError(
                f"values must have names of their own, got {', '.join(sorted(taken))}, which metrics bear. Let "
                "evaluate return another name."
            )
        return {
            name: float(value)
            for name, value in (given | found).items()
            if math.isfinite(value) and not name.endswith("/number")
        }

    def headline(self) -> dict[str, float]:
        """Return the numbers that stand for the whole.

        Returns
        -------
        dict of str to float
            Means of `values`, then `HEADLINES`, as far as they are defined.
        """
        known = self.flat()
        names = (*(value.name for value in self.values), *HEADLINES)
        return {name: known[name] for name in names if name in known}

    def to_json(self) -> dict[str, Any]:
        """Return the record as JSON carries it.

        Returns
        -------
        dict
            Its fields, and ``derived``: the numbers of `flat`, for readers. Through `from_json` the same record again;
            None for what is not defined.
        """
        return super().to_json() | {"derived": {name: number_or_none(value) for name, value in self.flat().items()}}

    def __str__(self) -> str:
        known = self.headline()
        said = [f"{name} {known[name]:.4g}" for name in known if name in {value.name for value in self.values}]
        said.append(f"distance {self.distance.mean:.4g} ({self.distance.ratio:.3g} of random lists)")
        if self.distance.groups is not None:
            said.append(f"R2 of groups {self.distance.groups.r_squared:.3g} (p {self.distance.groups.p_value:.2g})")
        if self.centred is not None:
            said.append(f"centred erraticness {self.centred.median:.3g}")
        said.append(f"router entropy {self.load.router_entropy:.3g} nats")
        if self.saturation is not None:
            said.append(f"saturation {self.saturation.saturation:.3g}")
        return f"{self.samples:,} samples through {len(self.routers)} routers: " + ", ".join(said)
