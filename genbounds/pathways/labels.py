"""Labels of samples, checked and numbered."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["label_codes"]


def label_codes(name: str, labels: ArrayLike, n: int) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return the different labels in sorted order, and which of them each sample has.

    Parameters
    ----------
    name : str
        Of the argument, for messages.
    labels : array_like, shape (n,)
        Text or numbers.
    n : int
        Number of samples.

    Returns
    -------
    names : ndarray, shape (labels,)
        The different ones.
    codes : ndarray of int64, shape (n,)
        Their places among `names`.

    Raises
    ------
    ValueError
        If there is not one label for each sample, one is missing (None, NaN), or they cannot be put in order.

    Examples
    --------
    >>> names, codes = label_codes("groups", ["maths", "code", "maths"], 3)
    >>> names.tolist(), codes.tolist()
    (['code', 'maths'], [1, 0, 1])
    """
    array = np.asarray(labels)
    if array.shape != (n,):
        raise ValueError(f"{name} must be one label for each of {n} samples, got shape {array.shape}. Align them.")
    # Looked at one by one as they were given: an array of text would hold the text "nan" for NaN.
    if any(label is None or label != label for label in np.asarray(labels, dtype=object)):
        raise ValueError(f"{name} must be labels, got None or NaN. Leave out samples without a label.")
    try:
        names, codes = np.unique(array, return_inverse=True)
    except TypeError as error:
        raise ValueError(f"{name} must be text or numbers, not both, got {error}. Write all as text.") from error
    return names, codes.astype(np.int64)
