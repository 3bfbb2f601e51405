"""Recording of routing during any calls of a model: evaluation, training, generation."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from genbounds.models.guards import ModelError, infer_device_and_dtype
from genbounds.pathways.capture.cache_guard import CacheGuard
from genbounds.pathways.capture.forward_inputs import ForwardInputs, read_inputs, scope_of
from genbounds.pathways.capture.heard import HeardRouter, warnings_of
from genbounds.pathways.capture.reduction import Reduced, largest_first, reduce_call
from genbounds.pathways.capture.routers import Read, Router, RouterCall, find_routers, layer_numbers
from genbounds.pathways.routing import Routing
from genbounds.version import __version__

__all__ = ["Keep", "RoutingRecorder", "record_routing"]

#: What is kept: numbers of each sample; executed experts and weights of each token too; full vectors of gates as well.
Keep = Literal["samples", "routes", "gates"]

_IN_TRAINING = "Recorded in training mode: dropout and noise in routers make routes random."
_DECODED_TOGETHER = (
    "Several samples were decoded together: what one was given after its own end, until the last one ended, counts "
    "as its tokens."
)


@dataclass(eq=False)
class _Pass:
    """One forward pass under way: its inputs, and what each router said in it."""

    inputs: ForwardInputs
    reduced: dict[str, Reduced] = field(default_factory=dict)
    positions: dict[str, int] = field(default_factory=dict)
    #: By number of positions, which of them count.
    counted: dict[int, Tensor | None] = field(default_factory=dict)
    tokens: dict[str, tuple[Tensor, ...]] = field(default_factory=dict)


class RoutingRecorder:
    """What the routers of a model said, pass by pass; made by `record_routing`.

    A forward pass with keys of earlier positions in ``past_key_values`` goes on with the samples of the pass before,
    as decoding steps do; any other begins new samples.

    Parameters
    ----------
    model : torch.nn.Module
        The model, as it will be called.
    routers : sequence of Router
        Its routers.
    keep : {"samples", "routes", "gates"}
        What is kept.
    positions : {"all", "last"} or array_like of int
        Which tokens of a sample count, by their place among those that are no padding; negative from the end.

    Attributes
    ----------
    number : int
        Samples so far.
    """

    def __init__(self, model: nn.Module, routers: Sequence[Router], keep: Keep, positions: str | ArrayLike) -> None:
        if keep not in ("samples", "routes", "gates"):
            raise ValueError(
                f"keep must be 'samples', 'routes' or 'gates', got {keep!r}. Take 'samples' for the least."
            )
        self.model, self.keep = model, keep
        self.routers = {router.name: router for router in routers}
        self.scope = scope_of(model, self.routers)
        self.positions = _places(positions)
        self.number = 0
        self._layers: dict[str, HeardRouter] = {}
        self._now: _Pass | None = None
        self._ids_before: Tensor | None = None
        self._inside = self._trained = self._together = False
        self._columns = 0  # seen of the samples that the last pass belongs to
        self._tables: list[Tensor] = []
        self._lengths: list[Tensor] = []
        self._owners: list[Tensor] = []
        self._ids: list[Tensor] = []
        self._guard = CacheGuard()

    @contextmanager
    def recording(self) -> Iterator["RoutingRecorder"]:
        """Record until the end of the block; hooks are then removed.

        Yields
        ------
        RoutingRecorder
            Itself.
        """
        handles = [
            self.scope.register_forward_pre_hook(self._begin, with_kwargs=True),
            self.scope.register_forward_hook(self._end),
        ]
        try:
            handles += [
                router.module.register_forward_hook(self._heard(router), with_kwargs=True)
                for router in self.routers.values()
            ]
            yield self
        finally:
            for handle in handles:
                handle.remove()
            self._guard.release()
            self._inside, self._now = False, None

    @property
    def last_inputs(self) -> ForwardInputs:
        """What the last pass was given.

        Raises
        ------
        ModelError
            If there was no pass.
        """
        if self._now is None:
            raise ModelError(self._silent(self.routers))
        return self._now.inputs

    def _silent(self, names: Mapping[str, Any]) -> str:
        return (
            f"routers must be called while they are recorded, got no call of {', '.join(list(names)[:5])}. Call the "
            f"{type(self.model).__name__} itself with data (a part of it that was called alone is not seen), or name "
            "other modules by routers."
        )

    def _begin(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if module is not self.scope:
            raise ModelError(
                f"a model must be recorded as one, got a replica of {type(module).__name__} with a part of the batch, "
                "as DataParallel makes them. Record the module inside of it."
            )
        inputs = read_inputs(module, args, kwargs)
        if inputs.past:
            self._check_continues(inputs)
        elif self._ids_before is not None and _longer_by_one(inputs.ids, self._ids_before):
            raise ModelError(
                "generation must keep earlier keys while routing is recorded, got the sequences of the pass before "
                "with a token more: their tokens would count again. Pass use_cache=True, or record a plain pass over "
                "the finished sequences."
            )
        self._ids_before = inputs.ids
        self._guard.watch(inputs.cache)
        self._now, self._inside = _Pass(inputs), True
        self._trained |= module.training

    def _check_continues(self, inputs: ForwardInputs) -> None:
        if self.positions is not None:
            raise ModelError(
                "positions must be 'all' where samples come in several passes, as in generation. Record all, and "
                "choose afterwards."
            )
        before = self._tables[-1].shape[0] if self._tables else 0
        if inputs.rows != before or inputs.past != self._columns:
            raise ModelError(
                f"a pass with cached keys must go on with the {before} samples and {self._columns} positions of the "
                f"pass before, got {inputs.rows} samples after {inputs.past} positions. Record from the first pass, "
                "and decode greedily or by sampling, without beams."
            )

    def _heard(self, router: Router) -> Any:
        def hook(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
            # Outside of the model's forward pass, gradient checkpointing calls again what was heard already.
            if self._inside and self._now is not None:
                with torch.no_grad():
                    self._take_in(self._now, router, router.read((*args, *kwargs.values()), output))

        return hook

    def _take_in(self, now: _Pass, router: Router, call: RouterCall) -> None:
        if router.name in now.reduced:
            raise ModelError(
                f"a router must be called once in a forward pass, got a second call of {router.name}. Layers that "
                "share their weights have no routes of their own: name other modules by routers."
            )
        rows = now.inputs.rows
        positions = self._positions_of(router, call, now.inputs)
        if positions not in now.counted:
            now.counted[positions] = self._counted(now.inputs, positions, call.logits.device)
        counted = now.counted[positions]
        logits, weights, selected = (part.flatten(0, -2) for part in (call.logits, call.weights, call.selected))
        call = RouterCall(logits, weights, selected, call.gate, call.seen)
        experts = call.logits.shape[1]
        layer = self._layers.get(router.name)
        if layer is None:
            gate, explained = (call.gate, True) if call.gate else router.gate_of(call, counted)
            layer = self._layers[router.name] = HeardRouter(
                router, experts, gate, explained, call.seen, call.logits.dtype
            )
        if layer.experts != experts:
            raise ModelError(
                f"a router must have the same experts in every call, got {experts} after {layer.experts} of "
                f"{router.name}. Record each kind of input by itself."
            )
        now.reduced[router.name], gates = reduce_call(call, layer.gate, counted, rows)
        now.positions[router.name] = positions
        if self.keep != "samples":
            kept = largest_first(call)
            now.tokens[router.name] = (*kept, gates.float()) if self.keep == "gates" else kept

    def _positions_of(self, router: Router, call: RouterCall, inputs: ForwardInputs) -> int:
        """Return how many positions of each sample a router saw."""
        shape, rows, columns = tuple(call.logits.shape[:-1]), inputs.rows, inputs.columns
        if len(shape) > 1:
            fits = shape[0] == rows
            found = call.logits.shape[1:-1].numel()
        else:
            fits = shape[0] % rows == 0 and (columns is None or shape[0] in (rows, rows * columns))
            found = shape[0] // rows
        if not fits or (inputs.kept is not None and found not in (1, columns)):
            wanted = "(B, R)" if columns is None else f"({rows * columns},), ({rows},) or ({rows}, R)"
            raise ModelError(
                f"the router {router.name} must be called with tokens in the order of the {rows} samples"
                f"{'' if columns is None else f' of {columns} positions'}, so with rows of shape {wanted}, got "
                f"{shape}. Record each kind of input by itself, or return logits of shape (B, R, K) from read."
            )
        return found

    def _counted(self, inputs: ForwardInputs, found: int, device: torch.device) -> Tensor | None:
        """Return which of the positions that a router saw count; None for all."""
        single = found == 1 and inputs.columns not in (None, 1)
        kept = None if single or inputs.kept is None else inputs.kept.to(device)
        if self.positions is None or (single and self.positions == [-1]):
            return kept
        if single:
            raise ModelError(
                f"positions must be 'last' or 'all' where a router sees one position of {inputs.columns}, got "
                f"{self.positions}. It is taken for the last."
            )
        if kept is None:
            kept = torch.ones(inputs.rows, found, dtype=torch.bool, device=device)
        place = kept.cumsum(dim=1) - 1
        length = kept.sum(dim=1, keepdim=True)
        wanted = torch.tensor(self.positions, device=device)
        absolute = torch.where(wanted >= 0, wanted, length + wanted)
        return kept & (place.unsqueeze(2) == absolute.unsqueeze(1)).any(dim=2)

    def _end(self, *_: Any) -> None:
        self._inside = False
        if self._now is not None:
            with torch.no_grad():
                self._commit(self._now)

    def _commit(self, now: _Pass) -> None:
        missing = {name: None for name in self.routers if name not in now.reduced}
        if missing:
            raise ModelError(self._silent(missing))
        now.reduced = {name: now.reduced[name] for name in self._layers}  # columns keep the order of the first pass
        if len(set(now.positions.values())) > 1:
            shown = ", ".join(f"{found} in {name}" for name, found in now.positions.items())
            if self.positions != [-1]:
                raise ModelError(
                    f"routers must see the same positions, got {shown}. Pass positions='last', or name routers that do."
                )
        first = next(iter(now.reduced))
        counted, found = now.counted[now.positions[first]], now.positions[first]
        rows, any_table = now.inputs.rows, now.reduced[first].table
        lengths = any_table.new_full((rows,), found) if counted is None else counted.sum(dim=1).double()
        flags = torch.stack([reduced.probabilities for reduced in now.reduced.values()]).double()
        # One transfer, and so one wait for the device, in each pass.
        whole = torch.cat([
            *(reduced.table.flatten() for reduced in now.reduced.values()),
            *(reduced.pairs.flatten() for reduced in now.reduced.values()),
            lengths,
            flags,
        ]).cpu()
        self._put(now, whole)

    def _put(self, now: _Pass, whole: Tensor) -> None:
        rows = now.inputs.rows
        layers = [self._layers[name] for name in now.reduced]
        sizes = [rows * layer.width for layer in layers]
        parts = whole.split([*sizes, *(layer.experts**2 for layer in layers), rows, len(layers)])
        tables = [part.reshape(rows, -1) for part in parts[: len(layers)]]
        lengths, flags = parts[-2], parts[-1]
        goes_on = now.inputs.past > 0
        start = self.number - rows if goes_on else self.number
        self._check(now, tables, lengths, start)
        table = torch.cat(tables, dim=1)
        if goes_on:
            # Not in place: the sums before may be tensors of inference mode.
            self._tables[-1] = self._tables[-1] + table
            self._lengths[-1] = self._lengths[-1] + lengths
            self._together |= rows > 1
        else:
            self._tables.append(table)
            self._lengths.append(lengths)
            self.number += rows
            self._columns = 0
        self._columns += now.inputs.columns or 0
        for layer, pairs, flag in zip(layers, parts[len(layers) : -2], flags.tolist(), strict=True):
            layer.pairs = layer.pairs + pairs.reshape(layer.experts, layer.experts)
            layer.probable, layer.calls = layer.probable + int(flag), layer.calls + 1
        if self.keep != "samples":
            self._keep_tokens(now, start)

    def _check(self, now: _Pass, tables: list[Tensor], lengths: Tensor, start: int) -> None:
        wrong = lengths < 1 if self.positions is None else lengths != len(self.positions)
        if now.inputs.past == 0 and wrong.any():
            row = int(wrong.nonzero()[0])
            wanted = "at least one token" if self.positions is None else f"different tokens at {self.positions}"
            raise ValueError(
                f"samples must have {wanted}, got {int(lengths[row])} of sample {start + row}. Leave it out, or choose "
                "other positions."
            )
        for name, table in zip(now.reduced, tables, strict=True):
            for column, what in ((-2, "finite logits and weights"), (-1, "each executed expert once")):
                bad = table[:, column] > 0
                if bad.any():
                    raise ModelError(
                        f"the router {name} must give {what}, got another answer for {int(bad.sum())} of {len(table)} "
                        f"samples, the first being sample {start + int(bad.nonzero()[0])}. Use a wider dtype, or look "
                        "at that sample."
                    )

    def _keep_tokens(self, now: _Pass, start: int) -> None:
        rows = now.inputs.rows
        for place, (name, kept) in enumerate(now.tokens.items()):
            layer, found = self._layers[name], now.positions[name]
            counted = now.counted[found]
            which = slice(None) if counted is None else counted.reshape(-1)
            for store, values in zip((layer.selected, layer.weights, layer.gates), kept, strict=False):
                store.append(values[which].cpu())
            if place == 0:
                owners = torch.arange(start, start + rows).repeat_interleave(found)
                self._owners.append(owners[which if isinstance(which, slice) else which.cpu()])
                if now.inputs.ids is not None and found == now.inputs.columns:
                    self._ids.append(now.inputs.ids.reshape(-1)[which].cpu())

    def routing(
        self,
        *,
        name: str = "",
        epoch: int | None = None,
        step: int | None = None,
        values: Mapping[str, NDArray[np.float64]] | None = None,
        provenance: Mapping[str, str] | None = None,
    ) -> Routing:
        """Return the record of all samples so far.

        Parameters
        ----------
        name : str
            Of the checkpoint or the moment.
        epoch, step : int, optional
            How many had been taken.
        values : mapping of str to ndarray of float64, shape (n,), optional
            What else was measured of the samples.
        provenance : mapping of str to str, optional
            What else the reader should know.

        Returns
        -------
        Routing
            With the weights of the routers as they are now.

        Raises
        ------
        ModelError
            If no router was called: no data are no record.
        """
        if not self._tables:
            raise ModelError(self._silent(self.routers))
        table = torch.cat(self._tables).numpy()
        lengths = torch.cat(self._lengths).numpy()
        order = torch.cat(self._owners).sort(stable=True).indices if self._owners else None
        numbers = layer_numbers(list(self._layers))
        layers, column = [], 0
        for layer, number in zip(self._layers.values(), numbers, strict=True):
            width = layer.width
            layers.append(layer.routed(number, table[:, column : column + width], lengths, order))
            column += width
        device, dtype = infer_device_and_dtype(self.model)
        versions = {"genbounds": __version__, "torch": torch.__version__}
        if "transformers" in sys.modules:
            versions["transformers"] = sys.modules["transformers"].__version__
        whole_ids = self._ids and sum(map(len, self._ids)) == int(lengths.sum())
        return Routing(
            tuple(layers),
            lengths.astype(np.int64),
            token_ids=torch.cat(self._ids)[order].int().numpy() if whole_ids else None,
            values=dict(values or {}),
            name=name,
            epoch=epoch,
            step=step,
            provenance={
                "model": type(self.model).__name__,
                "device": device.type,
                "dtype": str(dtype).removeprefix("torch."),
                "router dtype": ", ".join(sorted({str(each.kind)[6:] for each in self._layers.values()})),
                "positions": "all" if self.positions is None else str(self.positions),
                **versions,
                **(provenance or {}),
            },
            warnings=warnings_of(self._layers.values())
            + (_IN_TRAINING,) * self._trained
            + (_DECODED_TOGETHER,) * self._together,
        )


def _longer_by_one(ids: Tensor | None, before: Tensor) -> bool:
    """Whether sequences begin with those of before and have one token more."""
    if ids is None or ids.shape != (len(before), before.shape[1] + 1):
        return False
    return torch.equal(ids.narrow(1, 0, before.shape[1]), before)


def _places(positions: str | ArrayLike) -> list[int] | None:
    if isinstance(positions, str):
        if positions not in ("all", "last"):
            raise ValueError(f"positions must be 'all', 'last' or integers, got {positions!r}. Take 'all'.")
        return None if positions == "all" else [-1]
    places = np.atleast_1d(np.asarray(positions))
    if places.dtype.kind not in "iu" or places.ndim != 1 or not len(places) or len(set(places.tolist())) < len(places):
        raise ValueError(f"positions must be different integers, got {positions!r}. Negative ones count from the end.")
    return [int(place) for place in places]


@contextmanager
def record_routing(
    model: nn.Module,
    *,
    routers: str | Sequence[str] | None = None,
    top_k: int | None = None,
    read: Read | None = None,
    keep: Keep = "samples",
    positions: str | ArrayLike = "all",
) -> Iterator[RoutingRecorder]:
    """Record routing during all calls of a model in the block, ``model.generate`` included.

    Rows of a batch are samples. Padding does not count, on whichever side, if the model is given its
    ``attention_mask``. In generation, the tokens of decoding steps are appended to their sample, also what
    a sample is given after its own end while others go on; what changes the order or the number of rows in between, as
    beam search does, is refused. Recomputation by gradient checkpointing is not
    counted twice. Neither outputs nor gradients nor settings of the model change.

    Parameters
    ----------
    model : torch.nn.Module
        Any model, in any mode, under gradients or not.
    routers : str or sequence of str, optional
        Names of router modules, or patterns; by default they are found (`genbounds.pathways.capture.routers`).
    top_k : int, optional
        Executed experts of a token, for routers that return logits alone.
    read : callable, optional
        ``read(module, inputs, output)``, which returns a `RouterCall`.
    keep : {"samples", "routes", "gates"}
        Numbers of each sample alone; also executed experts and weights of each token; also all gates of each token.
    positions : {"all", "last"} or array_like of int
        Which tokens of a sample count, by their place among those that are no padding; negative from the end.

    Yields
    ------
    RoutingRecorder
        Its `routing` returns the record, in the block or after it.

    Raises
    ------
    ModelError
        If no router is found, or what is seen cannot be assigned to samples.

    Examples
    --------
    >>> class Block(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.gate = nn.Linear(3, 2, bias=False)
    ...         self.experts = nn.ModuleList(nn.Linear(3, 3) for _ in range(2))
    ...
    ...     def forward(self, x):
    ...         weight, chosen = self.gate(x).softmax(-1).max(-1)
    ...         every = torch.stack([expert(x) for expert in self.experts], dim=1)
    ...         return weight[:, None] * every[torch.arange(len(x)), chosen]
    >>> model = Block()
    >>> _ = nn.init.eye_(model.gate.weight)
    >>> with record_routing(model, top_k=1) as recorder:
    ...     _ = model(torch.tensor([[4.0, 0.0, 0.0], [0.0, 4.0, 0.0], [0.0, 1.0, 0.0]]))
    >>> recorder.routing().layers[0].counts.tolist()
    [[1, 0], [0, 1], [0, 1]]
    """
    recorder = RoutingRecorder(model, find_routers(model, routers, top_k=top_k, read=read), keep, positions)
    with recorder.recording():
        yield recorder
