"""A call of a torch function with a measured tensor, and how the gradients of single examples come out of it."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch import Tensor

from genbounds.models.per_example.factored.gradients import ExampleGradients

if TYPE_CHECKING:
    from genbounds.models.per_example.layouts import Layout

__all__ = [
    "ROOT",
    "Call",
    "Form",
    "Outcome",
    "Pull",
    "Rule",
    "Unsupported",
    "Use",
    "changes_in_place",
    "name_of",
    "traced",
]

#: ``form(layout, gradient, number)``: the gradients of `number` examples from the one that arrives at `Use.watched`.
Form: TypeAlias = Callable[["Layout", Tensor, int], ExampleGradients]

#: From the gradients of what was made of a tensor to the gradients of that tensor.
Pull: TypeAlias = Callable[[ExampleGradients], ExampleGradients]


#: Every graph hangs on this leaf: a backward pass towards it meets all calls, and leaves no gradient anywhere.
ROOT = torch.zeros((), requires_grad=True)


class Unsupported(Exception):
    """A rule knows the function, but not with such arguments; the message names them."""


@dataclass(frozen=True)
class Call:
    """A call in which at least one argument is a measured tensor: a parameter, or what was made of parameters alone.

    Parameters
    ----------
    func : callable
        The torch function.
    args : tuple
        Its positional arguments.
    kwargs : dict
        Its keyword arguments.
    measured : callable
        ``measured(value)``: whether a value is a measured tensor.
    inside : callable
        ``inside(function, *args, **kwargs)`` runs a function whose own calls are to be seen, too.
    """

    func: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    measured: Callable[[object], bool]
    inside: Callable[..., Any]

    def arguments(self, *names: str, **defaults: object) -> list[Any]:
        """Return the arguments in the order of their names.

        Parameters
        ----------
        *names : str
            Those of the leading arguments, in order.
        **defaults : object
            Names and defaults of the arguments that follow. A leading one that is missing is None.

        Returns
        -------
        list
            Their values.
        """
        values = dict.fromkeys(names) | defaults
        values |= dict(zip(values, self.args, strict=False))
        return list((values | {name: value for name, value in self.kwargs.items() if name in values}).values())

    def tensors(self) -> list[Tensor]:
        """Return the tensors among the arguments.

        Returns
        -------
        list of Tensor
            In order, those in lists and tuples too.
        """
        return list(_tensors((*self.args, *self.kwargs.values())))

    def run(self, replace: Callable[[Tensor], Tensor] = Tensor.detach) -> Any:
        """Call the function with something else in the place of the measured tensors.

        Parameters
        ----------
        replace : callable
            What; by default the same values detached, so that autograd forms no gradient of them.

        Returns
        -------
        object
            What the function returns.
        """
        args = [self._exchanged(value, replace) for value in self.args]
        return self.func(*args, **{name: self._exchanged(value, replace) for name, value in self.kwargs.items()})

    def _exchanged(self, value: Any, replace: Callable[[Tensor], Tensor]) -> Any:
        # A function inside `run` that calls itself would keep the call, and so its tensors, until Python next looks for
        # cycles.
        if isinstance(value, Tensor):
            return replace(value) if self.measured(value) else value
        if type(value) in {list, tuple}:
            return type(value)(self._exchanged(one, replace) for one in value)
        return value


def _tensors(values: Iterable[Any]) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif type(value) in {list, tuple}:
            yield from _tensors(value)


@dataclass(frozen=True)
class Use:
    """One use of a measured tensor, and where its gradient is to be caught.

    Parameters
    ----------
    parameter : Tensor
        The measured tensor.
    watched : Tensor
        A tensor in the graph. The gradient that arrives there and the inputs of the call give those of the examples.
    leading : int
        How many of the first axes of `watched` are positions, the axis of the examples among them. At least 1.
    form : callable
        How to read the gradients of the examples off that gradient.
    pull : callable, optional
        For what may be no use but a making, as the embedding of positions before it is added to every example: from
        the gradients of `watched` to those of `parameter`.
    saved : tuple of Tensor
        What `form` reads later, and nothing may change in place until then.
    shown : Tensor, optional
        What shows where the examples are, with the positions of `watched`; by default `watched` itself.
    free : bool
        Whether the call may hold no examples at all, though not all of it is known to be made of parameters.
    """

    parameter: Tensor
    watched: Tensor
    leading: int
    form: Form
    pull: Pull | None = None
    saved: tuple[Tensor, ...] = ()
    shown: Tensor | None = None
    free: bool = False


#: What a call returned, and the uses of measured tensors in it. None: the examples cannot have met them there.
Outcome: TypeAlias = tuple[Any, list[Use]] | None

#: Runs a call.
Rule: TypeAlias = Callable[[Call], Outcome]


class _Rooted(torch.autograd.Function):
    """The identity, in the graph: a fresh tensor over the same memory, no view, so that it may be changed in place."""

    @staticmethod
    def forward(_: Any, __: Tensor, value: Tensor) -> Tensor:
        alias = value.new_empty(0)
        return alias.set_(value.untyped_storage(), value.storage_offset(), value.size(), value.stride())

    @staticmethod
    def backward(_: Any, __: Tensor) -> tuple[None, None]:
        return None, None


def traced(value: Tensor) -> Tensor:
    """Return a tensor at which a gradient arrives, though nothing before it needs one.

    Parameters
    ----------
    value : Tensor
        Any floating tensor; it must not be used otherwise.

    Returns
    -------
    Tensor
        The same, where it is in the graph already; else its values as a tensor that depends on `ROOT`.
    """
    return value if value.requires_grad else _Rooted.apply(ROOT, value)


def name_of(func: Callable[..., Any]) -> str:
    """Name a torch function.

    Parameters
    ----------
    func : callable
        As a `TorchFunctionMode` receives it; a property comes as its getter.

    Returns
    -------
    str
        Its name, the same for a function and a method.
    """
    return func.__self__.__name__ if func.__name__ == "__get__" else func.__name__  # type: ignore[attr-defined]


def changes_in_place(func: Callable[..., Any]) -> bool:
    """Say whether a torch function writes into its first argument.

    Parameters
    ----------
    func : callable
        As a `TorchFunctionMode` receives it.

    Returns
    -------
    bool
        Judged by its name.
    """
    name = name_of(func)
    return name == "__setitem__" or (name.endswith("_") and not name.endswith("__"))
