"""The whole family of bounds from one record of masks, predictions and losses: estimates, certified limits, floors.

Every theorem of the catalogue whose arguments the record supplies gives a row. Three numbers of a row must not be
confused:

* The **estimate** is the theorem at plug-in values. It proves nothing, and may be below the truth.
* The **limit** is the theorem at upper limits (`genbounds.information.estimation.limits`), which is why it holds with
  probability at least 1 - delta over masks and trainings, for the supersamples given, all rows at once.
* The **floor** is the estimate with masks permuted among trainings: what the estimator says where there is nothing.

The supersamples together are taken for one, of supersamples * n pairs, put to an algorithm that works on each of them
by itself. That is a supersample too, so a bound for any one supersample holds for it, and bounds the averages over
the supersamples given.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genbounds.information.estimation.estimators import normal_interval
from genbounds.information.estimation.families import Family, Growth, Row
from genbounds.information.estimation.limits import Design, mean_limit, population_gap_limit, population_risk_limit
from genbounds.information.estimation.observations import INFORMATIONS, Observations, observe
from genbounds.numerics.checks import confidence, count
from genbounds.numerics.estimates import Estimate, UpperLimit
from genbounds.numerics.rounding import mean_up
from genbounds.theorems import Free, Theorem, catalogue
from genbounds.theorems.quantities import GAP, RISK, SUPERSAMPLE_GAP, SUPERSAMPLE_RISK

__all__ = ["applicable", "family"]

#: Informations of one random pair of the supersamples; those of each pair are `INFORMATIONS`.
_RANDOM_PAIR = ("e_mi", "ld_mi", "single_loss_mi")
#: Informations of which processing can only take away.
_CHAIN = ("f_cmi", "e_cmi", "ld_cmi")
_BOUNDS = {SUPERSAMPLE_GAP: "gap", GAP: "gap", SUPERSAMPLE_RISK: "risk", RISK: "risk"}
_RESAMPLED = "plug-in, supersamples and trainings resampled"
#: Where free parameters are tried, as shares of their interval: dense at both ends.
_TRIED = 1 / (1 + np.exp(-np.linspace(-7.0, 7.0, 71)))


def applicable(names: Iterable[str]) -> dict[str, tuple[Theorem, str]]:
    """Return the theorems that quantities of a record suffice for.

    Only those of this package: they grow with their arguments and depend on single pairs through averages of concave
    functions, which is tested one by one. A theorem of another package may not, and then limits do not make it a bound.

    Parameters
    ----------
    names : iterable of str
        Names of informations at hand, such as ``e_cmi``.

    Returns
    -------
    dict of str to tuple
        By name: the theorem and the one argument of it that is an information.
    """
    at_hand = set(names).intersection([*INFORMATIONS, *_RANDOM_PAIR])
    found = {}
    for name, theorem in catalogue().items():
        free = {parameter.name for parameter in theorem.parameters if isinstance(parameter, Free)}
        informations = at_hand.intersection(theorem.arguments)
        others = set(theorem.arguments) - informations - free
        own = theorem.function.__module__.startswith("genbounds.") and theorem.quantity in _BOUNDS
        if own and len(informations) == 1 and others <= {"train_risk", "squared_differences"}:
            found[name] = (theorem, informations.pop())
    return dict(sorted(found.items(), key=lambda item: (_BOUNDS[item[1][0].quantity], item[0])))


def _value(theorem: Theorem, quantities: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return the theorem at given quantities, at the best of its free parameters."""
    given = {name: quantities[name] for name in theorem.arguments if name in quantities}
    if not theorem.parameters:
        return np.asarray(theorem.function(**given))
    (parameter,) = theorem.parameters
    tried = parameter.low + (parameter.high - parameter.low) * _TRIED
    return np.min([theorem.function(**given, **{parameter.name: value}) for value in tried], axis=0)


def _limit(theorem: Theorem, information: str, limits: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return the theorem at upper limits, which bound averages over pairs."""
    if "squared_differences" in theorem.arguments:
        # sqrt(E dL_i^2) times the root of a concave function of the information is jointly concave in both.
        limits = {**limits, information: np.asarray(mean_up(limits[information], 0))[..., None]}
    return _value(theorem, limits)


def _estimate(value: np.float64, spread: NDArray[np.float64], level: float, n: int, method: str) -> Estimate:
    error = np.float64(np.std(spread, ddof=1))
    low, high = normal_interval(value, error, level)
    return Estimate(float(value), float(error), (float(low), float(high)), level, n, method)


def _resampled(seen: Observations, replicates: int, generator: np.random.Generator) -> dict[str, NDArray[np.float64]]:
    """Return plug-in values with supersamples, and pairs of trainings within each, drawn anew with replacement."""
    supersamples, trainings, _ = seen.masks.shape
    units = trainings // seen.unit
    chosen = generator.integers(0, supersamples, (replicates, supersamples))
    weights = generator.multinomial(units, np.full(units, 1 / units), (replicates, supersamples))
    return seen.replicates(chosen, weights.astype(np.float64))


def _permuted(seen: Observations, generator: np.random.Generator) -> dict[str, NDArray[np.float64]]:
    """Return plug-in values with masks permuted among trainings, and the train risk as it is."""
    order = generator.permuted(np.tile(np.arange(seen.masks.shape[1]), (len(seen.masks), 1)), axis=1)
    masks = np.take_along_axis(seen.masks, order[:, :, None], axis=1)
    return seen.plug_in(masks) | {"train_risk": np.minimum(seen.risks[0].mean(), 1.0)}


def _stacked(told: Sequence[Mapping[str, NDArray[np.float64]]]) -> dict[str, NDArray[np.float64]]:
    """Return several sets of quantities as one, with a first axis for them."""
    return {name: np.stack([values[name] for values in told]) for name in told[0]}


def _checked(told: Mapping[str, NDArray[np.float64]]) -> Mapping[str, NDArray[np.float64]]:
    """Return plug-in values, of which processing data can only lower the information."""
    chain = [name for name in _CHAIN if name in told]
    for above, below in pairwise(chain):
        if np.any(told[above] < told[below] - 1e-12):
            raise ArithmeticError(
                f"{above} must be at least {below} for every pair, got {np.max(told[below] - told[above]):.3g} less. "
                "This is a fault of genbounds: please report it with the record."
            )
    return told


def family(
    masks: ArrayLike,
    predictions: ArrayLike | None,
    losses: ArrayLike,
    delta: float = 0.05,
    *,
    classes: int | None = None,
    levels: Sequence[float] = (0.0, 1.0),
    design: Design = "pairs",
    seed: int = 0,
    replicates: int = 200,
    permutations: int = 20,
    points: int = 8,
    level: float = 0.95,
) -> Family:
    """Evaluate every bound that a record of trainings on supersamples supports.

    Parameters
    ----------
    masks : array_like of int, shape (supersamples, trainings, n)
        Which column of each pair each training was given.
    predictions : array_like of int, shape (supersamples, trainings, n, 2), or None
        Predicted classes on both columns; without them there are no rows by predictions.
    losses : array_like, shape (supersamples, trainings, n, 2)
        Losses in [0, 1] on both columns, all among `levels`.
    delta : float
        Probability with which any limit of a row may fail, in (0, 1).
    classes : int, optional
        Classes that can be predicted; needed with predictions.
    levels : sequence of float
        Values that the loss can take, fixed before looking.
    design : str
        How masks were drawn: ``"pairs"`` (U, 1 - U, U', 1 - U', ...; checked) or ``"independent"``.
    seed : int
        Seed of the resampling and the permutations; neither touches a limit.
    replicates : int
        Times that the record is resampled for the intervals, supersamples and the trainings within.
    permutations : int
        Permutations of the masks for the floor, at least 2.
    points : int
        Numbers of trainings at which the growth is evaluated.
    level : float
        Confidence of the intervals.

    Returns
    -------
    Family
        Rows, measured errors, growth.

    Raises
    ------
    ValueError
        If an argument does not fit, naming it.

    Notes
    -----
    A theorem enters by its arguments: one information among those a record supplies, and nothing else but the train
    risk, the squared differences of losses and free parameters; see `applicable`.

    The number of trainings is fixed before any is looked at, and they stand in the order in which they were drawn: the
    first third of the pairs decides how the others are used. Who adds trainings until a limit pleases, or reorders
    them, has looked more than once, and delta is for once.

    Examples
    --------
    A network that errs on the second ghost of three and is right wherever it was trained:

    >>> masks = np.random.default_rng(0).integers(0, 2, (2, 100, 3))
    >>> masks = np.stack([masks, 1 - masks], axis=2).reshape(2, 200, 3)
    >>> ghost = masks[..., None] != np.arange(2)
    >>> wrong = ghost & (np.arange(3) == 1)[:, None]
    >>> told = family(masks, wrong.astype(int), wrong.astype(float), classes=2, points=1)
    >>> row = told["sharp_ld_cmi"]
    >>> f"{row.estimate.value:.4f} is the measured {told.ghost_risk.value:.4f}; certified: {float(row.limit):.4f}"
    '0.3333 is the measured 0.3333; certified: 0.4961'
    """
    seen = observe(masks, predictions, losses, classes=classes, levels=levels, design=design)
    delta, level = (float(confidence(name, value)) for name, value in (("delta", delta), ("level", level)))
    replicates, permutations, points = (
        int(count(name, value, minimum=least))
        for name, value, least in (
            ("replicates", replicates, 2),
            ("permutations", permutations, 2),
            ("points", points, 1),
        )
    )
    supersamples, trainings, n = seen.masks.shape
    generator = np.random.default_rng(int(count("seed", seed, minimum=0)))
    spread = _resampled(seen, replicates, generator)

    units = trainings // seen.unit
    sizes = np.unique(np.geomspace(units, min(2, units), points).round().astype(int)) * seen.unit
    parts = [seen.first(size) for size in sizes.tolist()]
    observed = [_checked(part.plug_in()) for part in parts]
    nulls = [_permuted(part, generator) for part in parts for _ in range(permutations)]
    plugged, permuted = _stacked(observed), _stacked(nulls)
    limits = _stacked([part.limits(delta) for part in parts])

    rows, estimates, floors, certified = [], {}, {}, {}
    for name, (theorem, information) in applicable(plugged).items():
        bounds, sense = _BOUNDS[theorem.quantity], INFORMATIONS.get(information, ("", "mutual"))[1]
        values, bound = _value(theorem, plugged), _limit(theorem, information, limits)
        null = _value(theorem, permuted).reshape(len(sizes), permutations)
        estimates[name], floors[name], certified[name] = (
            tuple(series.tolist()) for series in (values, null.mean(axis=1), bound)
        )
        limit = UpperLimit(float(bound[-1]), delta, f"{name} at upper limits of its arguments")
        used = float(plugged[information][-1].mean())
        carry = population_gap_limit if bounds == "gap" else population_risk_limit
        rows.append(
            Row(
                theorem=name,
                bounds=bounds,
                information=information,
                estimate=_estimate(values[-1], _value(theorem, spread), level, supersamples * trainings, _RESAMPLED),
                floor=_estimate(
                    null[-1].mean(), null[-1] / np.sqrt(permutations), level, permutations, "permuted masks"
                ),
                limit=limit,
                population=carry(limit, supersamples, delta / 2),
                share=min(float(plugged["single_loss_mi"][-1, 0]) / used, 1.0) if used and sense == "mutual" else None,
                averages_over=theorem.averages_over,
                restates=theorem.restates,
                ghost_losses=theorem.ghost_losses,
            )
        )

    for told in (plugged, spread):
        told["gap"] = told["ghost_risk"] - told["train_risk"]
    train, ghost = seen.risks
    middle = np.minimum((1 + ghost - train) / 2 + seen.error, 1.0)
    half = mean_limit(np.maximum(middle, 0.0), delta, design)
    return Family(
        rows=tuple(rows),
        **{
            name: _estimate(plugged[name][-1], spread[name], level, supersamples * trainings, _RESAMPLED)
            for name in ("train_risk", "ghost_risk", "gap")
        },
        ghost_risk_limit=mean_limit(np.minimum(ghost + seen.error, 1.0), delta, design),
        gap_limit=UpperLimit(float(np.nextafter(2 * np.float64(half) - 1, 1.0)), delta, half.method),
        growth=Growth(tuple(sizes.tolist()), tuple(plugged["gap"].tolist()), estimates, certified, floors),
        supersamples=supersamples,
        trainings=trainings,
        n=n,
        delta=delta,
        design=design,
        seed=seed,
    )
