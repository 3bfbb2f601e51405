"""Follows the measured parameters through a network: every torch function that one reaches, or what was made of one."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map_only

from genbounds.models.per_example.calls import ROOT, Call, Pull, Unsupported, Use, changes_in_place, name_of
from genbounds.models.per_example.factored.gradients import ExampleGradients
from genbounds.models.per_example.factored.views import MadeGradients, view_pull
from genbounds.models.per_example.layouts import Layout
from genbounds.models.per_example.rules import SPREADING, rule_of

__all__ = ["Key", "Measured", "Observer", "Plan", "Recorder", "Unforeseen"]


class Key(NamedTuple):
    """What uses have in common whose examples are arranged alike: the tensor, the function, the number of positions."""

    label: str
    function: str
    leading: int


class Unforeseen(Exception):
    """A batch takes another way through the network than those before it.

    Parameters
    ----------
    names : sequence of str
        Parameters whose gradients cannot be told apart.
    why : str
        What is in the way.
    """

    def __init__(self, names: Sequence[str], why: str) -> None:
        super().__init__(f"{', '.join(names)}: {why}")
        self.names, self.why = names, why


@dataclass
class Plan:
    """What is known about a network's calls.

    Parameters
    ----------
    layouts : dict of Key to Layout
        How uses arrange the examples.
    makings : set of Key
        Uses that hold no examples: what they give is made of parameters alone.
    harmless : set of tuple
        Functions without a rule, with the labels of what they got, that pass no gradient on.
    uncovered : dict of str to str
        Parameters that the recorder does not follow, and why.
    """

    layouts: dict[Key, Layout] = field(default_factory=dict)
    makings: set[Key] = field(default_factory=set)
    harmless: set[tuple[str, ...]] = field(default_factory=set)
    uncovered: dict[str, str] = field(default_factory=dict)


class Measured:
    """A parameter, or a tensor made of parameters alone, such as the normalised weight of a parametrised layer.

    Parameters
    ----------
    tensor : Tensor
        Its values, outside any graph.
    label : str
        The parameter's name, or what was done to which parameters.
    parents : dict of Measured to callable
        What it was made of, and how its gradients are pulled back there.
    """

    def __init__(self, tensor: Tensor, label: str, parents: "Mapping[Measured, Pull] | None" = None) -> None:
        self.tensor, self.label, self.parents = tensor, label, parents or {}
        self.awaited, self.done = 0, False
        self.parts: list[ExampleGradients] = []

    @property
    def names(self) -> list[str]:
        """Names of the parameters it comes from."""
        return [name for parent in self.parents for name in parent.names] or [self.label]


_SEQUENCES = (list, tuple)

#: Functions that take the dtype of another tensor, and none of its values.
_LIKE = ("to", "type_as")

#: Told of every use of a measured tensor.
Observer: TypeAlias = Callable[[Measured, Key, Use], None]


class Recorder(TorchFunctionMode):
    """Meets the calls of a forward pass, and those of recomputation in a backward pass, which it lets through.

    Parameters
    ----------
    parameters : mapping of str to Tensor
        The parameters to follow. They must not require a gradient during the pass.
    constants : sequence of Tensor
        All parameters and buffers of the model: what is made of them alone holds no examples.
    plan : Plan
        What is known; what is found out about functions without a rule is added.
    observer : callable
        ``observer(measured, key, use)``.
    """

    def __init__(
        self, parameters: Mapping[str, Tensor], constants: Sequence[Tensor], plan: Plan, observer: Observer
    ) -> None:
        super().__init__()
        self.plan, self.observer = plan, observer
        self.measured = [Measured(value, name) for name, value in parameters.items()]
        self.recording = True
        self._by_id = {id(one.tensor): one for one in self.measured}
        self._constants = {id(value): value for value in constants}

    def backward(self, loss: Tensor, retain_graph: bool = False) -> None:
        """Run a backward pass in which what is recomputed goes the same way, unrecorded.

        Parameters
        ----------
        loss : Tensor, scalar
            Where it starts.
        retain_graph : bool
            Whether another one follows.
        """
        self.recording = False
        # torch.autograd.backward would take the recorder off: it is a torch function itself.
        engine = torch.autograd.Variable._execution_engine
        with self, torch.autocast(loss.device.type, enabled=False):
            engine.run_backward((loss,), (torch.ones_like(loss),), retain_graph, False, (ROOT,), True, True)

    def give_up(self, outputs: object) -> None:
        """Give up the parameters behind outputs that are measured tensors: no gradient would arrive there.

        Parameters
        ----------
        outputs : object
            Of the model.
        """
        for value in tree_leaves(outputs):
            if id(value) in self._by_id:
                self.plan.uncovered |= dict.fromkeys(self._by_id[id(value)].names, "it is an output of the model")

    def __torch_function__(
        self, func: Callable[..., Any], _: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run a call, and find out about the measured tensors in it."""
        kwargs = kwargs or {}
        if not (self._meets(args) or (kwargs and self._meets(kwargs.values()))) or not torch.is_grad_enabled():
            return func(*args, **kwargs)
        call = Call(func, args, kwargs, self._is_measured, self._inside)
        if changes_in_place(func) and args and call.measured(args[0]):
            return self._uncovered(call, f"torch function {name_of(func)}")
        constant = all(id(value) in self._by_id or id(value) in self._constants for value in call.tensors())
        cast = name_of(func) in _LIKE and call.measured(args[0])
        if cast or (constant and name_of(func) not in SPREADING):
            return self._make(call)
        rule = rule_of(func)
        if rule is None:
            return self._uncovered(call, f"torch function {name_of(func)}")
        try:
            found = rule(call)
        except Unsupported as error:
            return self._uncovered(call, f"{name_of(func)} with {error}")
        if found is not None:
            return self._take(call, *found)
        if any(value.requires_grad for value in call.tensors()):
            return self._uncovered(call, f"torch function {name_of(func)}")
        return self._make(call)

    def _inside(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        with self:
            return function(*args, **kwargs)

    def _is_measured(self, value: object) -> bool:
        return id(value) in self._by_id

    def _meets(self, values: Iterable[Any]) -> bool:
        found = False
        for value in values:  # every call comes by here, and a loop is three times as fast as any()
            found = found or id(value) in self._by_id or (isinstance(value, _SEQUENCES) and self._meets(value))
        return found

    def _parents(self, call: Call) -> list[Measured]:
        found = {id(value): self._by_id[id(value)] for value in call.tensors() if id(value) in self._by_id}
        return list(found.values())

    def _take(self, call: Call, result: Any, uses: list[Use]) -> Any:
        free = not changes_in_place(call.func) and not any(value.requires_grad for value in call.tensors())
        for use in uses:
            measured = self._by_id[id(use.parameter)]
            key = Key(measured.label, name_of(call.func), use.leading)
            if key in self.plan.makings and use.pull is not None:
                result = result.detach()
                self._add(Measured(result, f"{key.function}({key.label})", {measured: use.pull}))
            elif key in self.plan.makings:
                return self._make(call)
            elif self.recording:
                self.observer(measured, key, replace(use, free=free))
        return result

    def _add(self, made: Measured) -> None:
        self.measured.append(made)
        self._by_id[id(made.tensor)] = made

    def _make(self, call: Call) -> Any:
        """Run a call that the examples do not enter; what it gives is measured as well."""
        parents = {id(parent.tensor): parent for parent in self._parents(call)}
        leaves = {number: parent.tensor.detach().requires_grad_() for number, parent in parents.items()}
        result = call.run(lambda value: leaves[id(value)])
        places = iter(range(len(tree_leaves(result))))

        def taken_in(value: Tensor) -> Tensor:
            place = next(places)
            if not value.requires_grad:
                return value
            of_first = len(parents) == 1 and call.args and call.measured(call.args[0])
            view = view_pull(call, None if value is result else place) if of_first else None
            pulls: dict[Measured, Pull] = {
                parent: view or partial(MadeGradients, made=value, leaf=leaves[key]) for key, parent in parents.items()
            }
            label = f"{name_of(call.func)}({', '.join(parent.label for parent in pulls)})"
            self._add(Measured(value.detach(), label, pulls))
            return self.measured[-1].tensor

        return tree_map_only(Tensor, taken_in, result)

    def _uncovered(self, call: Call, why: str) -> Any:
        """Run a call that no rule covers; its parameters are given up, if it passes a gradient on to them."""
        parents = self._parents(call)
        key = (name_of(call.func), *(parent.label for parent in parents))
        if key not in self.plan.harmless:
            if _passes_no_gradient(call):
                self.plan.harmless.add(key)
            else:
                names = [name for parent in parents for name in parent.names]
                self.plan.uncovered |= dict.fromkeys(names, why)
        return call.run()


def _passes_no_gradient(call: Call) -> bool:
    """Run a call once more, outside the graph, and see whether it passes a gradient on to what is measured."""
    if changes_in_place(call.func):
        return False  # it would write twice
    others = tree_map_only(
        Tensor, lambda value: value if call.measured(value) else value.detach(), (call.args, call.kwargs)
    )
    again = replace(call, args=others[0], kwargs=others[1]).run(lambda value: value.detach().requires_grad_())
    return not any(isinstance(value, Tensor) and value.requires_grad for value in tree_leaves(again))
