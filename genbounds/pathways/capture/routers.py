"""Routers of a mixture of experts: where they are in a model, and what one call of a router says.

transformers has some eighty classes of routers; they are recognised by what they are, not by a list. A router lies
beside experts in its block, and returns one of these:

- (logits, weights, executed experts): OLMoE, Mixtral, Qwen, DeepSeek, GPT-OSS, Phimoe, GraniteMoe and most others. The
  executed experts are read, not computed again: in DeepSeek-V3 they are not those of the largest logits.
- permutation, sizes of groups and logits, where tokens are sorted by expert inside the router: JetMoe.
- (one-hot dispatch, weight, logits), where experts have a capacity: Switch. A row of zeros is a dropped token.
- two of these without logits, as transformers 4.56 and 4.57 did for DeepSeek and GPT-OSS: logits are then computed from
  the router's input and weights.
- logits alone, as plain linear gates do: the k largest are taken to be executed, as the block does.
"""

import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genbounds.models.guards import ModelError

__all__ = ["Gate", "Router", "RouterCall", "find_routers", "layer_numbers", "linear_part"]

#: How gates come from what a router returns.
Gate = Literal["softmax", "sigmoid", "probabilities"]

_ROUTER_CLASS = re.compile(r"(Router|Gating|Gate)$")
_ROUTER_NAMES = ("gate", "router", "gating", "wg")
_INTEGERS = (torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8)
#: Families whose weights are no multiple of their gates by design: Phimoe's masked softmaxes, one for each choice.
_OWN_WEIGHTS = ("Phimoe",)


@dataclass(frozen=True, eq=False)
class RouterCall:
    """What a router said of N tokens, in the order of the flattened batch. K experts, k of them executed for a token.

    Attributes
    ----------
    logits : Tensor, shape (..., K)
        All scores, before any normalisation; or probabilities, if `gate` says so.
    weights : Tensor, shape (..., k)
        With which outputs of executed experts are summed.
    selected : Tensor of integers, shape (..., k)
        Executed experts, each at most once; -1 where there is none.
    gate : {"softmax", "sigmoid", "probabilities"}, optional
        How gates come from the logits; by default it is found out from the weights.
    seen : bool
        Whether weights and executed experts are what the model used, not what its block is expected to use.
    """

    logits: Tensor
    weights: Tensor
    selected: Tensor
    gate: Gate | None = None
    seen: bool = True


#: From a router's module, its inputs and its output, what it said.
Read = Callable[[nn.Module, tuple[Any, ...], Any], RouterCall]


@dataclass(frozen=True, eq=False)
class Router:
    """A router of a model and how its calls are read.

    Attributes
    ----------
    name : str
        Of its module in the model.
    module : torch.nn.Module
        The module.
    top_k : int or None
        Experts of a token, where the router returns logits alone.
    normalise : bool
        Whether weights are then divided by their sum over the executed experts.
    reader : callable or None
        The user's own ``read(module, inputs, output)``.
    """

    name: str
    module: nn.Module
    top_k: int | None
    normalise: bool
    reader: Read | None

    def read(self, inputs: tuple[Any, ...], output: Any) -> RouterCall:
        """Return what a call said.

        Parameters
        ----------
        inputs : tuple
            What the module was called with.
        output : object
            What it returned.

        Returns
        -------
        RouterCall
            With the leading dimensions of the logits: (N,), or (B, R) if the router saw B samples of R positions.

        Raises
        ------
        ModelError
            If the output is of no known form.
        """
        call = self.reader(self.module, inputs, output) if self.reader else self._recognise(inputs, output)
        if not isinstance(call, RouterCall):
            raise ModelError(f"read must return a RouterCall, got a {type(call).__name__} for the router {self.name}.")
        if call.gate not in (None, *get_args(Gate)):
            raise ModelError(f"gate must be one of {get_args(Gate)}, got {call.gate!r} for the router {self.name}.")
        experts = call.logits.shape[-1]
        tokens = call.logits.shape[:-1]
        fits = (
            call.weights.shape == call.selected.shape
            and call.weights.shape[:-1].numel() == tokens.numel()
            and call.selected.dtype in _INTEGERS
            and 1 <= call.weights.shape[-1] <= experts
        )
        if not fits:
            raise self._unknown(output)
        logits, weights, selected = (
            part.detach().reshape(*tokens, -1) for part in (call.logits, call.weights, call.selected)
        )
        return RouterCall(logits, weights, selected, call.gate, call.seen)

    def _recognise(self, inputs: tuple[Any, ...], output: Any) -> RouterCall:
        match output:
            case Tensor() if output.is_floating_point() and output.ndim >= 2:
                return self._largest(output)
            case (Tensor() as order, Tensor(), Tensor() as weights, list() as sizes, Tensor() as logits):
                return _sorted_by_expert(order, weights, sizes, logits)
            case (Tensor() as dispatch, Tensor() as weights, Tensor() as logits) if (
                not dispatch.is_floating_point() and dispatch.shape == logits.shape and weights.shape[-1] == 1
            ):
                taken, expert = dispatch.max(dim=-1, keepdim=True)
                return RouterCall(logits, weights * (taken > 0), torch.where(taken > 0, expert, -1))
            case (Tensor() as logits, Tensor() as weights, Tensor() as selected, *_) if (
                logits.is_floating_point() and weights.is_floating_point()
            ):
                return RouterCall(logits, weights, selected)
            case (Tensor() as one, Tensor() as two) if one.is_floating_point() != two.is_floating_point():
                weights, selected = (one, two) if one.is_floating_point() else (two, one)
                logits = self._logits(inputs, output)
                if weights.shape[-1] == logits.shape[-1] != selected.shape[-1]:  # scattered over all experts
                    weights = weights.gather(-1, selected)
                return RouterCall(logits, weights, selected)
        raise self._unknown(output)

    def _largest(self, logits: Tensor) -> RouterCall:
        """Return the routing of a block that takes the k largest probabilities."""
        if self.top_k is None:
            raise ModelError(
                f"the number of executed experts must be known, got logits alone from the router {self.name}. Pass "
                "top_k."
            )
        if not 1 <= self.top_k <= logits.shape[-1]:
            raise ModelError(f"top_k must be in [1, {logits.shape[-1]}] for the router {self.name}, got {self.top_k}.")
        weights, selected = F.softmax(logits, dim=-1, dtype=torch.promote_types(logits.dtype, torch.float32)).topk(
            self.top_k
        )
        if self.normalise:
            weights /= weights.sum(-1, keepdim=True)
        return RouterCall(logits, weights, selected, seen=False)

    def _logits(self, inputs: tuple[Any, ...], output: Any) -> Tensor:
        """Compute logits from the input of a linear router, in float32 or better."""
        weight, hidden = getattr(self.module, "weight", None), inputs[0]
        if not isinstance(weight, Tensor) or weight.ndim != 2 or hidden.shape[-1] != weight.shape[1]:
            raise self._unknown(output)
        kind = torch.promote_types(weight.dtype, torch.float32)
        bias = getattr(self.module, "bias", None)
        with torch.autocast(weight.device.type, enabled=False):
            return F.linear(
                hidden.detach().reshape(-1, weight.shape[1]).to(kind),
                weight.detach().to(kind),
                bias.detach().to(kind) if isinstance(bias, Tensor) else None,
            )

    def _unknown(self, output: Any) -> ModelError:
        parts = output if isinstance(output, tuple | list) else [output]
        shown = ", ".join(
            f"{str(part.dtype).removeprefix('torch.')} of shape {tuple(part.shape)}"
            if isinstance(part, Tensor)
            else type(part).__name__
            for part in parts
        )
        return ModelError(
            f"the router {self.name} ({type(self.module).__name__}) must return logits (N, K), weights (N, k) and "
            f"executed experts (N, k), or logits alone, got {shown}. Name the right modules by routers, or say how to "
            "read them by read."
        )

    def gate_of(self, call: RouterCall, counted: Tensor | None = None) -> tuple[Gate, bool]:
        """Find out how gates come from logits: the weights of a token are proportional to its gates.

        Parameters
        ----------
        call : RouterCall
            Of N tokens.
        counted : Tensor of bool of N elements, optional
            Which of them count; all by default.

        Returns
        -------
        gate : {"softmax", "sigmoid"}
            Which of the two explains the weights. Where both do or neither, what the module looks like: a sigmoid if
            it holds a correction of the choice, as DeepSeek-V3 does.
        explained : bool
            Whether the weights are known to be proportional to the gates, or could not tell.
        """
        which = slice(None) if counted is None else counted.flatten()
        logits, weights, selected = call.logits[which].double(), call.weights[which].double(), call.selected[which]
        k = weights.shape[1]
        tolerance = 8 * max(torch.finfo(part.dtype).eps for part in (call.weights, call.logits))
        executed = (selected >= 0).all(dim=1)
        fits = {}
        for gate, scores in {"softmax": logits.softmax(dim=1), "sigmoid": logits.sigmoid()}.items():
            chosen = scores.gather(1, selected.clamp(min=0).long())
            if k > 1:
                chosen, wanted = (part / part.sum(dim=1, keepdim=True) for part in (chosen, weights))
            else:
                wanted = weights
            fits[gate] = bool(((chosen - wanted).abs() <= tolerance * wanted.abs())[executed].all())
        if fits["softmax"] != fits["sigmoid"]:
            return ("softmax" if fits["softmax"] else "sigmoid"), True
        held = dict(self.module.named_buffers(recurse=False)) | dict(self.module.named_parameters(recurse=False))
        corrected = any("correction" in name for name in held)
        own = type(self.module).__name__.startswith(_OWN_WEIGHTS)
        return ("sigmoid" if corrected else "softmax"), fits["softmax"] or k == 1 or own


def _sorted_by_expert(order: Tensor, weights: Tensor, sizes: list[int], logits: Tensor) -> RouterCall:
    """Undo the sorting of (token, choice) pairs by expert."""
    experts = torch.arange(len(sizes), device=order.device)
    by_expert = experts.repeat_interleave(torch.tensor(sizes, device=order.device), output_size=len(order))
    back = torch.empty_like(order).scatter_(0, order, torch.arange(len(order), device=order.device))
    shape = (logits.shape[:-1].numel(), -1)
    return RouterCall(logits, weights[back].reshape(shape), by_expert[back].reshape(shape))


def find_routers(
    model: nn.Module,
    routers: str | Collection[str] | None = None,
    *,
    top_k: int | None = None,
    read: Read | None = None,
) -> list[Router]:
    """Find the routers of a model.

    Parameters
    ----------
    model : torch.nn.Module
        Any model.
    routers : str or collection of str, optional
        Names of router modules, or patterns such as ``"blocks.*.gate"``. By default every module that is called a
        router or a gate, by its class or its name, and lies beside experts; routers of attention (JetMoe) are left
        out.
    top_k : int, optional
        Executed experts of a token, for routers that return logits alone; by default what their block or the model's
        configuration says.
    read : callable, optional
        ``read(module, inputs, output)``, which returns a `RouterCall`: for routers that return something else.

    Returns
    -------
    list of Router
        In order of definition.

    Raises
    ------
    ModelError
        If there is none, or a name fits no module (the message lists modules that look like routers), or is that of a
        block around a router without `read`; or for Phimoe
        before transformers 5, whose weights no router returns.
    """
    modules = dict(model.named_modules())
    if routers is None:
        names = [name for name in _beside_experts(modules) if not _of_attention(name, modules)]
        wanted = "a module called a router or gate beside its experts"
    else:
        patterns = [routers] if isinstance(routers, str) else list(routers)
        unmatched = [pattern for pattern in patterns if not any(fnmatchcase(name, pattern) for name in modules)]
        names = [name for name in modules if name and any(fnmatchcase(name, pattern) for pattern in patterns)]
        names = [] if unmatched else names
        wanted = f"modules called {', '.join(unmatched or patterns)}"
    if not names:
        alike = [name for name, module in modules.items() if name and _looks_like_a_router(name, module)]
        shown = f"these may be routers: {', '.join(alike[:12])}" if alike else "nothing in it looks like a router"
        raise ModelError(
            f"model must have {wanted}, got none in {type(model).__name__}; {shown}. Name the router modules by "
            "routers."
        )
    held = [(name, inside) for name in names for inside in _beside_experts(modules) if inside.startswith(f"{name}.")]
    if held and read is None:  # what a block returns is no logits, but may look like them
        raise ModelError(
            f"routers must be modules that route, got {held[0][0]}, which holds the router {held[0][1]}. Name that one."
        )
    config = getattr(model, "config", None)
    return [_router(name, modules, config, top_k, read) for name in names]


def _router(name: str, modules: dict[str, nn.Module], config: Any, top_k: int | None, read: Read | None) -> Router:
    block = modules[name.rpartition(".")[0]]
    if type(modules[name]) is nn.Linear and type(block).__name__.startswith(_OWN_WEIGHTS) and read is None:
        raise ModelError(
            f"a router must return the weights of its family, got a linear layer at {name}, whose block "
            f"{type(block).__name__} computes others. Update transformers to 5 or later, or pass read."
        )
    holders = (modules[name], block, config)
    if top_k is None:
        settings = ("top_k", "num_experts_per_tok", "k")
        found = (getattr(holder, setting, None) for holder in holders for setting in settings)
        top_k = next((value for value in found if isinstance(value, int)), None)
    normalise = next((bool(holder.norm_topk_prob) for holder in holders if hasattr(holder, "norm_topk_prob")), True)
    return Router(name, modules[name], top_k, normalise, read)


def _looks_like_a_router(name: str, module: nn.Module) -> bool:
    called = name.rpartition(".")[2].lower() in _ROUTER_NAMES
    return bool(_ROUTER_CLASS.search(type(module).__name__)) or called


def _beside_experts(modules: dict[str, nn.Module]) -> Iterator[str]:
    for name, module in modules.items():
        if not name or not _looks_like_a_router(name, module):
            continue
        block = modules[name.rpartition(".")[0]]
        beside = {other: type(child).__name__ for other, child in block.named_children() if child is not module}
        beside |= {other: "" for other, _ in block.named_parameters(recurse=False)}
        if any("expert" in f"{other} {kind}".lower() and "shared" not in other for other, kind in beside.items()):
            yield name


def _of_attention(name: str, modules: dict[str, nn.Module]) -> bool:
    parts = name.split(".")
    return any("Attention" in type(modules[".".join(parts[:end])]).__name__ for end in range(1, len(parts)))


def layer_numbers(names: list[str]) -> list[int]:
    """Read the numbers of layers from the names of modules.

    Parameters
    ----------
    names : list of str
        In the order of execution.

    Returns
    -------
    list of int
        The one number that differs between the names, or the first if none does. The place in the list where names have
        no number, or several that differ.

    Examples
    --------
    >>> layer_numbers(["encoder.block.1.layer.1.mlp.router", "encoder.block.3.layer.1.mlp.router"])
    [1, 3]
    >>> layer_numbers(["stages.0.blocks.0.gate", "stages.0.blocks.1.gate", "stages.1.blocks.0.gate"])
    [0, 1, 2]
    """
    numbers = [[int(part) for part in name.split(".") if part.isdecimal()] for name in names]
    if not all(numbers) or len({len(row) for row in numbers}) > 1:
        return list(range(len(names)))
    differing = [column for column, values in enumerate(zip(*numbers, strict=True)) if len(set(values)) > 1]
    if len(differing) > 1:
        return list(range(len(names)))
    return [row[differing[0] if differing else 0] for row in numbers]


def linear_part(module: nn.Module, experts: int) -> tuple[Tensor | None, Tensor | None]:
    """Return the weights and the bias of a router, if it is linear.

    Parameters
    ----------
    module : torch.nn.Module
        A router, or one that holds a linear layer (Switch, JetMoe).
    experts : int
        Number of experts, K.

    Returns
    -------
    weight : Tensor of shape (K, d), or None
        The module's only matrix. None if it has none, or several, or of another size.
    bias : Tensor of shape (K,), or None
        What is called a bias, the linear layer's or that which corrects the choice.
    """
    matrices = [value for value in module.parameters() if value.ndim > 1]
    if len(matrices) != 1 or matrices[0].ndim != 2 or len(matrices[0]) != experts:
        return None, None
    held = [*module.named_parameters(), *module.named_buffers()]
    biases = [value for name, value in held if name.endswith("bias") and value.shape == (experts,)]
    return matrices[0].detach(), biases[0].detach() if biases else None
