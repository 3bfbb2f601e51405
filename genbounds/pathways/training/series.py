"""Pathways along the checkpoints of a training."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from numpy.typing import ArrayLike

from genbounds.models.training.series import Moment
from genbounds.pathways.capture.measurement import Evaluate
from genbounds.pathways.training.series_records import PathwaySeries, series_of
from genbounds.pathways.training.snapshots import Snapshots

__all__ = ["pathway_series"]


def pathway_series(
    moments: Iterable[Moment],
    data: Any,
    *,
    groups: ArrayLike | None = None,
    evaluate: Evaluate | Literal["next_token"] | None = None,
    snapshots: str | Path | None = None,
    capture: Mapping[str, Any] | None = None,
    epsilon: ArrayLike | None = None,
    **options: Any,
) -> PathwaySeries:
    """Capture the routing at each checkpoint of a training, then measure all of it.

    Metrics come last, as saturation needs the last checkpoint: until then routing is kept in memory, by default with
    the executed experts of all kept tokens (``capture={"positions": "last"}`` keeps one token of each sample).

    Parameters
    ----------
    moments : iterable of Moment
        `genbounds.models.training.series.moments_of_training` for files of weights,
        `genbounds.pathways.capture.folders.moments_of_folders` for models of Hugging Face.
    data : object
        As for `genbounds.pathways.capture_routing`.
    groups : array_like, shape (n,), optional
        A label for each sample: its answer, its domain.
    evaluate : callable or "next_token", optional
        What else to measure in the same pass, as for `capture_routing`: ``loss`` and ``correct``, by preference.
    snapshots : str or Path, optional
        Folder that keeps what was captured, a file for each checkpoint: a run that was killed goes on behind the last
        one, and `genbounds.pathways.read_routing` reads them for other metrics.
    capture : mapping, optional
        Other options of `capture_routing`: ``routers``, ``positions``, ``keep``, ``batch_size``, ``device``, ...
    epsilon : array_like, optional
        Threshold of memorised samples, as for `series_of`.
    **options : object
        As for `genbounds.pathways.pathway_metrics`: ``paths``, ``tau``, ``metric``, ``pairs``, ``shuffles``, ...

    Returns
    -------
    PathwaySeries
        One point for each checkpoint, in their order.

    Raises
    ------
    ValueError
        If there is no checkpoint, or an option is out of range.
    ModelError
        If a network is not one whose routing can be captured.

    Examples
    --------
    >>> import tempfile, torch
    >>> from genbounds.models import save_state
    >>> from genbounds.models.training.series import moments_of_training
    >>> from genbounds.pathways.grokking.mixture import Mixture
    >>> pairs = torch.cartesian_prod(torch.arange(5), torch.arange(5))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for seed in range(3):
    ...         save_state(Mixture(5, width=8, seed=seed).state_dict(), f"{folder}/step={seed}.safetensors")
    ...     moments = moments_of_training(Mixture(5, width=8), [folder])
    ...     series = pathway_series(moments, pairs, groups=pairs.sum(1) % 5, metric="hamming", paths="top")
    >>> series.axis, series.points[-1].record.saturation.saturation
    (('step', (0, 1, 2)), 1.0)
    """
    captured = Snapshots(data, snapshots, evaluate=evaluate, **(capture or {}))
    routings = [captured.at(moment.network, moment.name, epoch=moment.epoch, step=moment.step) for moment in moments]
    return series_of(routings, groups=groups, epsilon=epsilon, **options)
