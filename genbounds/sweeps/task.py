"""Tasks: a function's name, its version and its arguments, and the identity and seed that follow from them."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pkgutil import resolve_name
from typing import Any

from numpy.typing import NDArray

from genbounds.sweeps.fingerprints import array_sha256, is_json, json_sha256

__all__ = ["Task"]


@dataclass(frozen=True, eq=False)
class Task:
    """One run of a function, identified by what it depends on and by nothing else.

    The function is called as ``function(**arguments, **arrays, seed=seed)`` and returns a table: a mapping from names
    to arrays and JSON values. Two tasks that agree in everything are the same task, with the same seed; a repetition
    needs an argument that numbers it.

    Parameters
    ----------
    function : str
        ``package.module:callable``, importable wherever the task may run.
    arguments : mapping of str to object
        JSON values: what comes back from JSON must be equal.
    arrays : mapping of str to ndarray
        Arguments that are arrays of numbers; they enter the identity by their content.
    version : int
        To be raised when the function changes what it returns, so that older results are not taken for its own.

    Raises
    ------
    ValueError
        If the function's name is malformed, an argument is no JSON value, an array holds something else than numbers,
        or a name is used twice.

    Examples
    --------
    >>> task = Task("math:comb", {"n": 5, "k": 2})
    >>> task.id[:12], task.seed == Task("math:comb", {"k": 2, "n": 5}).seed
    ('...', True)
    """

    function: str
    arguments: Mapping[str, Any]
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    version: int = 1

    def __post_init__(self) -> None:
        module, colon, name = self.function.partition(":")
        if not (module and colon and name) or module.endswith(".py"):
            raise ValueError(
                f"function must be 'package.module:callable', got {self.function!r}. Write the module, a colon and the "
                "name of a function at its top level."
            )
        for name, value in self.arguments.items():
            if not is_json(value):
                raise ValueError(
                    f"argument {name!r} must be a JSON value (finite numbers, text, lists, tables with text keys), "
                    f"got {value!r:.80}. Convert it, or pass arrays as arrays."
                )
        twice = set(self.arguments).intersection(self.arrays) | {"seed"}.intersection([*self.arguments, *self.arrays])
        if twice:
            raise ValueError(f"names of arguments must differ, and none is 'seed', got {min(twice)!r}. Rename it.")
        _ = self.id  # refuses arrays that hold no numbers, here and not in some worker

    @cached_property
    def content(self) -> dict[str, Any]:
        """All that identifies the task, as JSON; arrays by their fingerprints."""
        return {
            "function": self.function,
            "version": self.version,
            "arguments": dict(self.arguments),
            "arrays": {name: array_sha256(array) for name, array in self.arrays.items()},
        }

    @cached_property
    def id(self) -> str:
        """SHA-256 of the content's canonical JSON, in hexadecimal."""
        return json_sha256(self.content)

    @property
    def seed(self) -> int:
        """Seed of the task's randomness, in [0, 2^63): the head of the id."""
        return int(self.id[:16], 16) >> 1

    def resolve(self) -> Callable[..., Any]:
        """Find the function.

        Returns
        -------
        callable
            The function.

        Raises
        ------
        ValueError
            If there is none of that name.
        """
        try:
            found = resolve_name(self.function)
        except (ImportError, AttributeError, ValueError) as error:
            raise ValueError(
                f"function must exist, got {self.function!r}: {error}. Check its name, and that it can be imported "
                "where the work runs."
            ) from error
        if not callable(found):
            raise ValueError(
                f"function must be callable, got {self.function!r}, a {type(found).__name__}. Name another."
            )
        return found

    def __str__(self) -> str:
        return f"{self.id[:12]} ({self.function}, {json.dumps(dict(self.arguments), sort_keys=True)})"
