"""All pathway metrics of one moment, from what was captured alone: no model, no torch."""

import math
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genbounds.pathways.complexity import erraticness
from genbounds.pathways.distance_records import PathwayDistance
from genbounds.pathways.distances.measures import Metric
from genbounds.pathways.distances.normalisation import Normalisation
from genbounds.pathways.mean_distance import pathway_distance
from genbounds.pathways.metrics_records import PathComplexity, PathwayMetrics, SampleMean
from genbounds.pathways.paths import Paths, cumulative_paths, top_paths
from genbounds.pathways.routing import Routing
from genbounds.pathways.usage.load import expert_load
from genbounds.pathways.usage.saturation import saturation

__all__ = ["pathway_metrics"]


def pathway_metrics(
    routing: Routing,
    *,
    groups: ArrayLike | None = None,
    last: Routing | None = None,
    paths: Literal["cumulative", "top"] = "cumulative",
    tau: float = 0.7,
    k: int = 1,
    metric: Metric = "layers",
    normalise: Normalisation | None = None,
    pairs: int | None = None,
    shuffles: int = 99,
    permutations: int = 999,
    level: float = 0.95,
    seed: int = 0,
) -> PathwayMetrics:
    """Measure everything that a record of routing tells about pathways.

    Parameters
    ----------
    routing : Routing
        Of at least two samples.
    groups : array_like, shape (n,), optional
        A label for each sample: its answer, its domain.
    last : Routing, optional
        The last checkpoint on the same tokens, for saturation; both captured with ``keep="routes"``.
    paths : {"cumulative", "top"}
        Experts whose mean gates sum to more than `tau`, or those with the `k` largest.
    tau : float
        Threshold of cumulative paths, in (0, 1).
    k : int
        Experts of top paths.
    metric, normalise, pairs, shuffles, permutations, level, seed
        As for `genbounds.pathways.mean_distance.pathway_distance`. Top-1 paths, which stand beside, are always compared
        by Hamming's distance without division, with the same pairs, draws and level.

    Returns
    -------
    PathwayMetrics
        The same for the same arguments. What needs more than was captured is None, and `PathwayMetrics.notes` says why.

    Raises
    ------
    ValueError
        If an argument is out of range, labels do not fit, or `last` is not of the same tokens and layers.
    ImportError
        If the metric needs rapidfuzz: the extra ``pathways``.
    """
    if paths not in {"cumulative", "top"}:
        raise ValueError(f"paths must be 'cumulative' or 'top', got {paths!r}. Take 'cumulative'.")

    def distance(of: Paths, by: Metric, divided: Normalisation | None) -> PathwayDistance:
        return pathway_distance(
            of,
            groups,
            metric=by,
            normalise=divided,
            pairs=pairs,
            shuffles=shuffles,
            permutations=permutations,
            level=level,
            seed=seed,
        )

    chosen = cumulative_paths(routing, tau) if paths == "cumulative" else top_paths(routing, k)
    raw, centred, why = _complexity(routing, level)
    return PathwayMetrics(
        samples=len(routing),
        tokens=routing.tokens,
        routers=tuple(layer.name for layer in routing.layers),
        distance=distance(chosen, metric, normalise),
        top=distance(top_paths(routing), "hamming", None),
        raw=raw,
        centred=centred,
        load=expert_load(routing),
        saturation=None if last is None else saturation(routing, last),
        values=tuple(_mean(name, values) for name, values in sorted(routing.values.items())),
        notes=(*routing.warnings, *why),
    )


def _complexity(routing: Routing, level: float) -> tuple[PathComplexity | None, PathComplexity | None, tuple[str, ...]]:
    """Return erraticness as published and centred, or why there is none."""
    reason = ""
    if len(routing.layers) < 3:
        reason = f"it needs at least three layers, and there are {len(routing.layers)}"
    elif any(layer.router is None for layer in routing.layers):
        reason = "a router has no matrix, or none was captured"
    elif len({layer.router.shape[1] for layer in routing.layers if layer.router is not None}) > 1:
        reason = "routers read vectors of different widths"
    if reason:
        return None, None, (f"No erraticness: {reason}.",)
    raw, centred = (PathComplexity.of(erraticness(routing, centred=each, level=level)) for each in (False, True))
    return raw, centred, ()


def _mean(name: str, values: NDArray[np.float64]) -> SampleMean:
    n = len(values)
    return SampleMean(name, float(values.mean()), float(values.std(ddof=1) / math.sqrt(n)) if n > 1 else math.nan, n)
