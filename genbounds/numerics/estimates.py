"""Two kinds of numbers inferred from runs: an estimate may not stand inside a bound, an upper limit may.

A theorem takes numbers. `UpperLimit` turns into an array where one is asked for, so that a theorem takes it as it is;
`Estimate` refuses to, so that no estimate slips into a bound unnoticed. Who wants the plug-in value of a bound
passes ``estimate.value`` and calls the result an estimate.
"""

from dataclasses import asdict, dataclass
from typing import Any, NoReturn

import numpy as np
from numpy.typing import DTypeLike, NDArray

from genbounds.numerics.checks import Float64

__all__ = ["Estimate", "UpperLimit"]


def _plain(value: Any) -> Any:
    """Return numbers as JSON carries them."""
    return np.asarray(value).tolist() if isinstance(value, np.ndarray | np.generic) else value


@dataclass(frozen=True)
class Estimate:
    """A quantity inferred from a finite number of runs, with the spread it had: no bound on either side.

    Not to be taken for `genbounds.certificates.Estimate`, which is what a certificate says beside its claims.

    Attributes
    ----------
    value : float or ndarray
        The estimate; information is in nats.
    standard_error : float or ndarray
        Its standard error, by the method named.
    interval : tuple
        Low and high end of a confidence interval for what the estimator estimates on average. Its bias is not covered.
    level : float
        Nominal confidence of the interval.
    n : int or ndarray of int
        Independent observations behind it.
    method : str
        How value and standard error came about.

    Examples
    --------
    >>> from genbounds.information import plug_in
    >>> float(plug_in([[5, 0], [0, 5]]).value.round(6))
    0.693147
    >>> np.sqrt(plug_in([[5, 0], [0, 5]]))
    Traceback (most recent call last):
    ...
    ValueError: an estimate may not stand inside a bound, got ...
    """

    value: float | Float64
    standard_error: float | Float64
    interval: tuple[float | Float64, float | Float64]
    level: float
    n: int | NDArray[np.int64]
    method: str

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NoReturn:
        """Refuse: see the module's first lines."""
        raise ValueError(
            f"an estimate may not stand inside a bound, got {np.array2string(np.asarray(self.value), threshold=8)} by "
            f"{self.method}. Pass an UpperLimit from genbounds.information.information_limits; or pass .value and call "
            "what comes out an estimate."
        )

    def __float__(self) -> float:
        self.__array__()

    def to_json(self) -> dict[str, Any]:
        """Return the estimate as JSON carries it.

        Returns
        -------
        dict
            Its fields.
        """
        return {name: _plain(value) for name, value in asdict(self).items()} | {
            "interval": [_plain(end) for end in self.interval]
        }


@dataclass(frozen=True)
class UpperLimit:
    """An upper limit that holds with probability at least 1 - delta over the runs: what a theorem may be given.

    Attributes
    ----------
    value : float or ndarray
        The limit, rounded up; information is in nats. For several entries the probability is that of all at once.
    delta : float
        Probability with which it may fail.
    method : str
        The argument behind it, and in which sense an array of limits lies above the truth.

    Examples
    --------
    >>> from genbounds.pac_bayes import maurer
    >>> limit = UpperLimit(0.25, 0.05, "an exact binomial limit")
    >>> bool(maurer(limit, 0.0, 100, 0.05) == maurer(0.25, 0.0, 100, 0.05))
    True
    """

    value: float | Float64
    delta: float
    method: str

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        """Return the limit, as a theorem takes it."""
        return np.array(self.value, dtype=dtype)

    def __float__(self) -> float:
        return float(self.value)

    def to_json(self) -> dict[str, Any]:
        """Return the limit as JSON carries it.

        Returns
        -------
        dict
            Its fields.
        """
        return {name: _plain(value) for name, value in asdict(self).items()}
