"""Factories: a name such as ``package.module:callable`` becomes a callable, and a callable becomes a model."""

import importlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

__all__ = ["FactoryError", "build_model", "call_factory", "code_sha256", "load_factory"]


class FactoryError(ValueError):
    """A factory cannot be found or called; the message says why and what to do."""


def load_factory(reference: str) -> Callable[..., Any]:
    """Return the callable that a reference names.

    The module is imported, which runs its code: name only modules that you trust. The current folder is
    searched first, as ``python -m`` does.

    Parameters
    ----------
    reference : str
        ``package.module:callable`` or ``path/to/file.py:callable``; the part after the colon may be dotted
        (``nets:Classifier.small``).

    Returns
    -------
    callable
        The object found.

    Raises
    ------
    FactoryError
        If the reference is malformed, its module or attribute is missing, or the attribute is not callable.

    Examples
    --------
    >>> load_factory("math:gcd")(12, 18)
    6
    """
    module_name, colon, attribute = reference.rpartition(":")
    if not colon or not module_name or not attribute:
        raise FactoryError(
            f"factory must be 'package.module:callable' or 'path/to/file.py:callable', got {reference!r}. "
            "Write the module, a colon and the name of the function or class that builds the object."
        )
    module = _load_file(Path(module_name)) if module_name.endswith(".py") else _import(module_name)
    found: Any = module
    for part in attribute.split("."):
        if not hasattr(found, part):
            near = get_close_matches(part, [name for name in dir(found) if not name.startswith("_")], n=3)
            hint = f"Did you mean {' or '.join(near)}?" if near else "Define it at the module's top level."
            raise FactoryError(f"factory must name something that exists, got {reference!r}: no {part!r} there. {hint}")
        found = getattr(found, part)
    if not callable(found):
        raise FactoryError(
            f"factory must be callable, got {reference!r}, a {type(found).__name__}. "
            "Name a function or a class that returns the object."
        )
    return found


def call_factory(factory: Callable[..., Any], arguments: Mapping[str, Any] | None = None, name: str = "") -> Any:
    """Call a factory with keyword arguments, telling a wrong argument from an error inside the factory.

    Parameters
    ----------
    factory : callable
        Function or class to call.
    arguments : mapping, optional
        Keyword arguments.
    name : str
        How the user called the factory, for the error.

    Returns
    -------
    object
        What the factory returned. An exception raised inside it passes through unchanged.

    Raises
    ------
    FactoryError
        If the arguments do not fit the factory's signature.
    """
    arguments = dict(arguments or {})
    try:
        signature = inspect.signature(factory)
    except (TypeError, ValueError):  # some built-in callables have no signature to check
        return factory(**arguments)
    try:
        signature.bind(**arguments)
    except TypeError as error:
        raise FactoryError(
            f"arguments must fit {name or getattr(factory, '__qualname__', 'the factory')}{signature}, "
            f"got {arguments!r}: {error}. Pass the missing ones and drop the others."
        ) from None
    return factory(**arguments)


def build_model(
    model: "nn.Module | Callable[..., Any] | str", arguments: Mapping[str, Any] | None = None
) -> "nn.Module":
    """Return a module, building it where a factory or its name is given.

    The module's weights are whatever the factory drew: seed torch before the call where that matters.

    Parameters
    ----------
    model : torch.nn.Module, callable or str
        A module (returned as it is), a callable that returns one, or a reference as in `load_factory`.
    arguments : mapping, optional
        Keyword arguments of the factory.

    Returns
    -------
    torch.nn.Module
        The module, in whatever mode the factory left it.

    Raises
    ------
    FactoryError
        If the factory cannot be found or called, or does not return an eager module.
    """
    from torch import jit, nn

    name = model if isinstance(model, str) else getattr(model, "__qualname__", type(model).__name__)
    if isinstance(model, nn.Module):
        if arguments:
            raise FactoryError(
                f"arguments must be empty when the model is already built, got {dict(arguments)!r}. "
                "Pass the class or a factory instead of the object."
            )
        built: Any = model
    else:
        factory = load_factory(model) if isinstance(model, str) else model
        if not callable(factory):
            raise FactoryError(
                f"model must be a torch.nn.Module, a callable or 'package.module:callable', got a "
                f"{type(factory).__name__}. A checkpoint alone has no architecture: name the factory that builds it."
            )
        built = call_factory(factory, arguments, name)
    if isinstance(built, jit.ScriptModule):
        raise FactoryError(
            f"model must be an eager module, got the TorchScript module of {name}. "
            "Return the Python module, or export it by torch.export and load the .pt2 file."
        )
    if not isinstance(built, nn.Module):
        raise FactoryError(
            f"model factory must return a torch.nn.Module, got a {type(built).__name__} from {name}. "
            "Return the module itself, not its output or its state dict."
        )
    return built


def code_sha256(function: Callable[..., Any]) -> str | None:
    """Fingerprint the file that defines a function: results of its former versions are not taken for its own.

    Parameters
    ----------
    function : callable
        A function or a class.

    Returns
    -------
    str or None
        SHA-256 in hexadecimal; None where there is no such file.
    """
    try:
        path = inspect.getsourcefile(inspect.unwrap(function))
    except TypeError:
        return None
    return None if path is None else sha256(Path(path).read_bytes()).hexdigest()


def _import(name: str) -> ModuleType:
    if name.startswith("."):
        raise FactoryError(f"factory module must be an absolute name, got {name!r}. Write 'package.module:callable'.")
    here = os.getcwd()
    sys.path.insert(0, here)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise FactoryError(
                f"factory module must be importable, got {name!r}, which itself needs the missing module "
                f"{error.name!r}. Install it."
            ) from error
        raise FactoryError(
            f"factory module must be importable, got {name!r}: there is no module {error.name!r}. "
            "Install its package, run from the folder that holds it, or write 'path/to/file.py:callable'."
        ) from error
    finally:
        sys.path.remove(here)


def _load_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise FactoryError(f"factory file must exist, got {str(path)!r}. Check the path against the current folder.")
    # The module stays importable under this name, which pickling and dataclasses need.
    name = f"{path.stem}_{sha256(str(path.resolve()).encode()).hexdigest()[:12]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise FactoryError(f"factory file must be Python source, got {str(path)!r}. Give a .py file.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
