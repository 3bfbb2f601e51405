"""What losses tell about membership when it is not known which example they belong to: all pairs pooled.

A pair of examples drawn at random from given supersamples has a loss on the example trained on and one on the ghost.
With the columns in random order, the law of these two losses decides the unconditional informations of the pair: of
both losses, of their difference, of one of them, about which column was trained on. For 0-1 loss the last is the
Jensen-Shannon divergence of the two error rates, and every bound made from these restates them: see `restates` of the
theorems. What is limited here belongs to the supersamples given, taken as a problem with one random pair.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from genbounds.information.estimation.boxes import corners, log_level
from genbounds.information.estimation.coin_divergences import COIN_DIVERGENCES
from genbounds.information.estimation.limits import Design, units
from genbounds.numerics.betting import betting_upper
from genbounds.numerics.discrete_information import mutual_information
from genbounds.numerics.estimates import UpperLimit
from genbounds.numerics.rounding import round_up

__all__ = ["membership_information", "membership_limits", "pooled_laws"]

#: What the rounding of a vertex and of its information can amount to, as for `COIN_DIVERGENCES`.
_MARGIN = 1e-10


def pooled_laws(codes: NDArray[np.int64], masks: NDArray[np.int8], levels: int) -> NDArray[np.float64]:
    """Return how often each pair of losses, on the example trained on and on the ghost, was seen in each training.

    Parameters
    ----------
    codes : ndarray of int, shape (supersamples, trainings, n, 2)
        Losses as numbers of levels.
    masks : ndarray of int8, shape (supersamples, trainings, n)
        Which column was trained on.
    levels : int
        Number of levels.

    Returns
    -------
    ndarray, shape (supersamples, trainings, levels, levels)
        Frequencies over the n pairs.
    """
    supersamples, trainings, n, _ = codes.shape
    train = np.where(masks == 1, codes[..., 1], codes[..., 0])
    ghost = np.where(masks == 1, codes[..., 0], codes[..., 1])
    place = np.arange(supersamples * trainings).reshape(supersamples, trainings, 1)
    seen = np.bincount(((place * levels + train) * levels + ghost).ravel(), minlength=place.size * levels**2)
    return seen.reshape(supersamples, trainings, levels, levels) / n


def membership_information(laws: NDArray[np.float64], levels: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Return what a law of (train loss, ghost loss) makes of the unconditional informations.

    Parameters
    ----------
    laws : ndarray, shape (..., levels, levels)
        Laws of the loss on the example trained on and on its ghost.
    levels : ndarray, shape (levels,)
        The losses.

    Returns
    -------
    dict of str to ndarray, shape (..., 1)
        ``e_mi``, ``ld_mi``, ``single_loss_mi`` in nats, and ``squared_differences``.

    Examples
    --------
    No loss on what was trained on, 10 % error on ghosts: the loss difference tells 0.1 ln 2, the error rate itself.

    >>> told = membership_information(np.array([[0.9, 0.1], [0.0, 0.0]]), np.array([0.0, 1.0]))
    >>> {name: float(value[0].round(4)) for name, value in told.items()}
    {'e_mi': 0.0693, 'ld_mi': 0.0693, 'single_loss_mi': 0.036, 'squared_differences': 0.1}
    """
    swapped = np.swapaxes(laws, -1, -2)
    both = np.stack([laws, swapped], axis=-3).reshape(*laws.shape[:-2], 2, -1) / 2
    differences = levels[None, :] - levels[:, None]
    _, place = np.unique(differences.ravel(), return_inverse=True)
    merge = np.eye(place.max() + 1)[place]
    single = np.stack([laws.sum(axis=-1), laws.sum(axis=-2)], axis=-2) / 2
    squares = (laws * differences**2).sum(axis=(-2, -1))
    told = {
        "e_mi": mutual_information(both),
        "ld_mi": mutual_information(np.minimum(both @ merge, 1.0)),
        "single_loss_mi": mutual_information(np.minimum(single, 1.0)),
        "squared_differences": squares,
    }
    return {name: np.asarray(value)[..., None] for name, value in told.items()}


def membership_limits(
    laws: NDArray[np.float64], levels: NDArray[np.float64], delta: float, design: Design
) -> Mapping[str, UpperLimit]:
    """Limit all of `membership_information` at once.

    Parameters
    ----------
    laws : ndarray, shape (supersamples, trainings, levels, levels)
        What `pooled_laws` returned.
    levels : ndarray, shape (levels,)
        The losses that can occur, fixed before looking.
    delta : float
        Probability with which any limit may fail.
    design : str
        How the masks were drawn.

    Returns
    -------
    mapping of str to UpperLimit
        Each of shape (1,), for the law averaged over masks and trainings, of a random pair of these supersamples.

    Notes
    -----
    The expected frequency of each pair of losses has a lower limit by betting on the independent trainings or pairs of
    them. What these leave open may sit on any one pair of losses; informations about a fair bit are convex in the law,
    so that one of these extreme laws has the largest.
    """
    kinds = len(levels)
    rest = 1.0 - units(laws, design).reshape(-1, kinds**2).T
    level = log_level(delta / kinds**2)
    low = np.maximum(np.nextafter(1.0 - betting_upper(np.minimum(round_up(rest, 2), 1.0), level), -1.0), 0.0)
    told = membership_information(np.minimum(corners(low), 1.0).reshape(-1, kinds, kinds), levels)
    most = {name: 1.0 if name == "squared_differences" else COIN_DIVERGENCES["mutual"].largest for name in told}
    method = "betting limits for every pair of losses, the worst law that they allow"
    return {
        name: UpperLimit(np.minimum(values.max(axis=0) + _MARGIN, most[name]), delta, method)
        for name, values in told.items()
    }
