"""Difficulty of a classification task in one call, from its examples."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from genbounds.inductive_bias.difficulty.dimension import maximum_likelihood_dimension
from genbounds.inductive_bias.difficulty.formula import TaskDifficulty, scientific
from genbounds.inductive_bias.difficulty.neighbours import nearest_neighbours
from genbounds.inductive_bias.difficulty.separation import class_separation, largest_norm
from genbounds.inductive_bias.difficulty.tasks import classification_difficulty
from genbounds.numerics import positive
from genbounds.numerics.estimates import Estimate

__all__ = ["MeasuredDifficulty", "task_difficulty"]

#: Dimensions between the ends of its interval at which the formula is evaluated: in m it need not be monotone.
_STEPS = 65


@dataclass(frozen=True)
class MeasuredDifficulty:
    """Difficulty of a task whose dimension and separation come from examples: an estimate.

    Parameters
    ----------
    task : TaskDifficulty
        The formula at the estimates.
    dimension : Estimate
        m.
    separation : Estimate
        delta, in the unit of the inputs.
    ln_nats : tuple of float
        Smallest and largest logarithm of the information in nats over the two intervals together; infinite if the
        separation's begins at 0.
    """

    task: TaskDifficulty
    dimension: Estimate
    separation: Estimate
    ln_nats: tuple[float, float]

    @property
    def level(self) -> float:
        """Confidence that both ingredients are within their intervals, nominal."""
        return max(0.0, self.dimension.level + self.separation.level - 1)

    def to_json(self) -> dict[str, Any]:
        """Return the record as JSON carries it.

        Returns
        -------
        dict
            An end that is not finite is written as text, which ``float`` reads.
        """
        return self.task.to_json() | {
            "estimates": {"dimension": self.dimension.to_json(), "separation": self.separation.to_json()},
            "interval": [end if math.isfinite(end) else str(end) for end in self.ln_nats],
            "level": self.level,
        }

    def __str__(self) -> str:
        named = ((name, getattr(self, name)) for name in ("dimension", "separation"))
        bits = [scientific(end - math.log(math.log(2))) if end < math.inf else "infinity" for end in self.ln_nats]
        return "\n".join([
            str(self.task),
            *(
                f"  {name}: {one.value:.6g}, {one.interval[0]:.6g} to {one.interval[1]:.6g} ({one.method})"
                for name, one in named
            ),
            f"  With these: {bits[0]} to {bits[1]} bits at a nominal {100 * self.level:.3g} %. What the estimators of "
            "dimension do not agree on is not in it.",
        ])


def task_difficulty(
    inputs: ArrayLike,
    targets: ArrayLike,
    *,
    eps: float,
    dimension: Estimate | float | None = None,
    separation: Estimate | float | None = None,
    queries: int = 10_000,
    seed: int = 0,
    level: float = 0.95,
    output_bound: float = 1.0,
    loss_lipschitz: float = 1.0,
    lipschitz: float | None = None,
) -> MeasuredDifficulty:
    """Estimate the difficulty of telling the classes of a data set apart.

    Examples count as they are: n of them, with R the largest norm. Nothing is rounded, where the authors of the formula
    round the dimension, which moves the result by up to a factor of three.

    Parameters
    ----------
    inputs : array_like, shape (n, ...)
        Training examples, without copies; scale does not matter.
    targets : array_like, shape (n,)
        Classes.
    eps : float
        Error rate that is aimed at.
    dimension : Estimate or float, optional
        m; by default that of maximum likelihood over five neighbours, pooled.
    separation : Estimate or float, optional
        delta; by default the smallest distance over all pairs of the examples, which takes as exact what is one for
        these examples alone; for others see `extrapolated_separation`.
    queries : int
        For how many examples neighbours are sought, among all.
    seed : int
        Of their draw.
    level : float
        Confidence of the dimension's interval.
    output_bound, loss_lipschitz, lipschitz : float
        As in `TaskDifficulty`.

    Returns
    -------
    MeasuredDifficulty
        The record.

    Raises
    ------
    ValueError
        If examples coincide, there are too few of them, or an argument is out of range.

    Examples
    --------
    >>> angle = np.random.default_rng(0).uniform(0, 2 * np.pi, 500)
    >>> circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    >>> found = task_difficulty(circle, np.floor(angle / np.pi - 0.1), eps=0.01, separation=0.1)
    >>> found.dimension.interval[0] < 1 < found.dimension.interval[1]
    True
    """
    array = np.asarray(inputs)
    if dimension is None:
        found = nearest_neighbours(array, 5, queries=queries, seed=seed)
        dimension = maximum_likelihood_dimension(found, 5, level=level)
    if separation is None:
        distance, pair = class_separation(array, targets)
        if distance == 0:
            raise ValueError(
                f"inputs of different classes must differ, got equal ones, numbers {pair[0]} and {pair[1]}. No cut-off "
                "is high enough for contradictory labels: remove them, or pass a separation."
            )
        separation = _exact(distance, len(array), "smallest distance over all pairs of these examples")
    m, delta = (
        one if isinstance(one, Estimate) else _exact(float(positive(name, one)), len(array), "given")
        for name, one in (("dimension", dimension), ("separation", separation))
    )
    radius, classes = largest_norm(array), len(np.unique(np.asarray(targets)))

    def at(dimension: Any, separation: Any) -> TaskDifficulty:
        return classification_difficulty(
            dimension=float(dimension),
            separation=float(separation),
            radius=radius,
            examples=len(array),
            classes=classes,
            eps=eps,
            output_bound=output_bound,
            loss_lipschitz=loss_lipschitz,
            lipschitz=lipschitz,
        )

    near, far = map(float, delta.interval)
    grid = np.linspace(*m.interval, _STEPS)
    # The information falls as the separation grows: with it fall the cut-off, the degree and the number of functions.
    low = min(at(one, far).ln_nats for one in grid)
    high = max(at(one, near).ln_nats for one in grid) if near > 0 else math.inf
    return MeasuredDifficulty(at(m.value, delta.value), m, delta, (low, high))


def _exact(value: float, n: int, method: str) -> Estimate:
    return Estimate(value, 0.0, (value, value), 1.0, n, method)
