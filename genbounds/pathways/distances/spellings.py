"""Paths as strings of one character for each symbol, which is what an edit distance reads fastest."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from genbounds.pathways.paths import Paths, literal_strings

__all__ = ["SPELLINGS", "concatenated_spellings", "layer_spellings"]

#: Code points that are no characters, and how many they are.
_SURROGATES, _SURROGATE_COUNT = 0xD800, 0x800
_CHARACTERS = 0x110000 - _SURROGATE_COUNT


def layer_spellings(paths: Paths) -> list[list[str]]:
    """Return each layer's lists of experts as strings.

    Parameters
    ----------
    paths : Paths
        Of n samples through L layers.

    Returns
    -------
    list of list of str
        For each layer a string for each sample, as long as its list. The same character stands for the same expert of
        that layer, and for others in other layers.
    """
    return [
        _strings(paths.symbols[:, layer].astype(np.int64), paths.lengths[:, layer]) for layer in range(paths.layers)
    ]


def concatenated_spellings(paths: Paths) -> list[list[str]]:
    """Return whole paths as strings, in which experts of different layers are different characters.

    Parameters
    ----------
    paths : Paths
        Of n samples.

    Returns
    -------
    list of list of str
        One list: for each sample its layers' lists, one after the other.

    Raises
    ------
    ValueError
        If all layers together have more experts than there are characters.
    """
    first = np.cumsum((0, *paths.experts))
    if first[-1] > _CHARACTERS:
        raise ValueError(
            f"metric 'concatenated' must have at most {_CHARACTERS} experts in all layers together, got {first[-1]}. "
            "Take metric='layers'."
        )
    tagged = np.where(paths.symbols < 0, -1, paths.symbols + first[:-1, None])
    return [_strings(tagged.reshape(len(paths), -1), paths.total_lengths)]


def _strings(symbols: NDArray[np.int64], lengths: NDArray[np.int64]) -> list[str]:
    """Return the symbols of each row that are not -1 as a string."""
    codes = symbols[symbols >= 0]
    codes = np.where(codes < _SURROGATES, codes, codes + _SURROGATE_COUNT)
    text, ends = codes.astype("<u4").tobytes().decode("utf-32-le"), np.cumsum(lengths)
    return [text[start:end] for start, end in zip((ends - lengths).tolist(), ends.tolist(), strict=True)]


#: How the paths of each edit distance are spelt: distances of the parts are added.
SPELLINGS: dict[str, Callable[[Paths], list[list[str]]]] = {
    "layers": layer_spellings,
    "concatenated": concatenated_spellings,
    "literal": lambda paths: [literal_strings(paths)],
}
