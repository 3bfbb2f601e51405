"""What training runs showed about the arguments of bounds along a path: estimates, and no bounds."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from genbounds.information.trajectories import haghifam_langevin, li_luo_qiao, negrea, pensia, wang_gao_calmon
from genbounds.numerics.estimates import Estimate
from genbounds.theorems import get

__all__ = ["TrajectoryRecord", "trajectory_estimates", "trajectory_table"]


@dataclass(frozen=True)
class TrajectoryRecord:
    """One run, step by step: numbers of which the arguments of the theorems are the expectations.

    Parameters
    ----------
    n, dimension : int
        Examples in the sample, trained weights.
    step_sizes, noise_scales, batch_sizes : ndarray, shape (T,)
        What the steps were made with.
    batch_indices : ndarray of int, shape (T,), or None
        Which of the disjoint batches each step used; None if batches overlap.
    squared_batch_gradients : ndarray, shape (T,)
        |g_t|^2 of the batch's average gradient.
    squared_gradient_norms : ndarray, shape (T,)
        Average over the batch of |g_{t,i}|^2.
    centred_gradient_norms : ndarray, shape (T,)
        Average over the batch of |g_{t,i} - c_{t,i}|^2, where the centre is the average gradient of the other
        examples (of a subsample of them, if one is used).
    gradient_variances : ndarray, shape (T,)
        Unbiased variance of the examples' gradients, over the sample or a subsample drawn from it.
    batch_spreads : ndarray, shape (T,)
        |g_t - c_t|^2 with the average gradient of examples outside the batch as the centre, or 0 if there are none.
    weighted_differences : ndarray, shape (T,), or None
        Average over the batch of |zeta|^2 theta^2; None without ghosts.
    uniform_batches : bool
        Whether each batch was drawn uniformly whatever came before, or is the whole sample.
    """

    n: int
    dimension: int
    step_sizes: NDArray[np.float64]
    noise_scales: NDArray[np.float64]
    batch_sizes: NDArray[np.int64]
    batch_indices: NDArray[np.int64] | None
    squared_batch_gradients: NDArray[np.float64]
    squared_gradient_norms: NDArray[np.float64]
    centred_gradient_norms: NDArray[np.float64]
    gradient_variances: NDArray[np.float64]
    batch_spreads: NDArray[np.float64]
    weighted_differences: NDArray[np.float64] | None
    uniform_batches: bool


_STEPS = ("step_sizes", "noise_scales")


def _design(record: TrajectoryRecord) -> tuple[Any, ...]:
    """Return what has to be the same in all runs."""
    arrays = (record.step_sizes, record.noise_scales, record.batch_sizes)
    return record.n, record.dimension, record.uniform_batches, *(tuple(array.tolist()) for array in arrays)


#: For each theorem, and for one with another centre: the function, the moment that runs show, its other arguments.
_FORMULAS: dict[str, tuple[Callable[..., Any], str, tuple[str, ...]]] = {
    "pensia": (pensia, "squared_batch_gradients", (*_STEPS, "dimension", "n", "sigma")),
    "li_luo_qiao": (li_luo_qiao, "squared_gradient_norms", (*_STEPS, "batch_sizes", "n", "sigma")),
    "li_luo_qiao, centred": (li_luo_qiao, "centred_gradient_norms", (*_STEPS, "batch_sizes", "n", "sigma")),
    "negrea": (negrea, "gradient_variances", (*_STEPS, "batch_sizes", "n", "sigma")),
    "wang_gao_calmon": (wang_gao_calmon, "batch_spreads", (*_STEPS, "batch_sizes", "batch_indices", "n", "sigma")),
    "haghifam_langevin": (haghifam_langevin, "weighted_differences", (*_STEPS, "batch_sizes", "n")),
}


def _applicable(records: Sequence[TrajectoryRecord]) -> Iterator[str]:
    """Yield the formulas whose conditions the runs meet."""
    first = records[0]
    yield from ("pensia", "li_luo_qiao")
    if first.n > 1:
        yield "li_luo_qiao, centred"
        if first.uniform_batches:
            yield "negrea"
    labels = [record.batch_indices for record in records]
    if labels[0] is not None and all(label is not None and np.array_equal(label, labels[0]) for label in labels):
        yield "wang_gao_calmon"
    if all(record.weighted_differences is not None for record in records):
        yield "haghifam_langevin"


def trajectory_estimates(records: Sequence[TrajectoryRecord], sigma: float, level: float = 0.95) -> dict[str, Estimate]:
    """Estimate the bounds along a path from runs on independent samples.

    The theorems hold for expectations over samples, batches and noise. Averages over runs take their place here, so
    what comes out are estimates and no bounds, whatever the number of runs. A run shows one sample of the
    expectations.

    Parameters
    ----------
    records : sequence of TrajectoryRecord
        Runs with the same steps, on samples drawn independently, each with noise and batches of its own.
    sigma : float
        Sub-Gaussian parameter of the evaluation loss; 0.5 for a loss in [0, 1].
    level : float
        Nominal confidence of the intervals.

    Returns
    -------
    dict of str to Estimate
        By theorem. "li_luo_qiao, centred" is `li_luo_qiao` with the average of the other examples' gradients as the
        centre: `negrea` without its condition on batches. "haghifam_langevin" speaks about the evaluation loss in
        [0, 1] and the supersample that the ghosts make up, if the masks were fair coins; averaged over supersamples,
        about the gap. "pensia" has no centre. Standard errors are by the jackknife over runs, infinite for one run.

    Raises
    ------
    ValueError
        If there is no run, or they differ in their steps.
    """
    if not records or len({_design(record) for record in records}) > 1:
        raise ValueError(
            f"records must be runs made with the same steps, got {len(records)} that differ or none. Fix step sizes, "
            "noise and batch sizes in advance."
        )
    runs = np.arange(len(records))
    estimates = {}
    for label in _applicable(records):
        function, moment, names = _FORMULAS[label]
        fixed = {name: sigma if name == "sigma" else getattr(records[0], name) for name in names}
        shown = np.array([getattr(record, moment) for record in records])
        value, error = np.float64(function(shown.mean(axis=0), **fixed)), np.float64(np.inf)
        if len(runs) > 1:
            left_out = np.array([function(shown[runs != i].mean(axis=0), **fixed) for i in runs])
            error = np.sqrt((len(runs) - 1) * np.mean(np.square(left_out - left_out.mean())))
        reach = ndtri((1 + level) / 2) * error
        method = f"information.{function.__name__} at averages over {len(runs)} runs, standard error by the jackknife"
        interval = (np.maximum(value - reach, 0.0), value + reach)
        estimates[label] = Estimate(value, error, interval, level, len(runs), method)
    return estimates


def trajectory_table(estimates: dict[str, Estimate]) -> str:
    """Return estimates as lines of text that say what they are.

    Parameters
    ----------
    estimates : dict of str to Estimate
        What `trajectory_estimates` returned.

    Returns
    -------
    str
        One line for each theorem, the smallest value first.
    """
    runs = next(iter(estimates.values())).n
    lines = [
        f"estimates from {runs} run{'s' if runs != 1 else ''} of bounds on the expected gap; no bounds for one run"
    ]
    for label, estimate in sorted(estimates.items(), key=lambda item: float(item[1].value)):
        spread = f" +- {float(estimate.standard_error):.2g}" if runs != 1 else ""
        average = get(estimate.method.split()[0]).averages_over
        lines.append(f"  {label:22} {float(estimate.value):.4g}{spread}   on average over {average}")
    return "\n".join(lines)
