"""Recurrent layers: torch runs all their steps in one function, here they are run one by one."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.nn.functional import linear

from genbounds.models.per_example.calls import Call, Outcome, Rule, Unsupported, Use, traced
from genbounds.models.per_example.factored.gradients import ExampleGradients
from genbounds.models.per_example.factored.outer_products import OuterGradients
from genbounds.models.per_example.layouts import Layout
from genbounds.models.per_example.rules.broadcasting import summed

__all__ = ["RULES"]

_State: TypeAlias = tuple[Tensor, ...]

#: From what the input and the last state send to the gates to the next state, of which the output comes first.
_Cell: TypeAlias = Callable[[Tensor, Tensor, _State], _State]


def _plain(activation: Callable[[Tensor], Tensor], x: Tensor, past: Tensor, _: _State) -> _State:
    return (activation(x + past),)


def _lstm(x: Tensor, past: Tensor, state: _State) -> _State:
    enter, forget, new, leave = (x + past).chunk(4, dim=-1)
    cell = forget.sigmoid() * state[1] + enter.sigmoid() * new.tanh()
    return leave.sigmoid() * cell.tanh(), cell


def _gru(x: Tensor, past: Tensor, state: _State) -> _State:
    (x_reset, x_keep, x_new), (reset, keep, new) = x.chunk(3, dim=-1), past.chunk(3, dim=-1)
    kept = (x_keep + keep).sigmoid()
    return ((1 - kept) * (x_new + (x_reset + reset).sigmoid() * new).tanh() + kept * state[0],)


def _layers(cell: _Cell, call: Call) -> Outcome:
    """Run all layers, forwards and, if they have them, backwards through the sequence."""
    x, states, weights, has_biases, layers, dropout, training, both_ways, batch_first = (*call.args, None)[:9]
    if not isinstance(weights, list | tuple) or x.ndim != 3:
        raise Unsupported("packed sequences, or one sequence without an axis of examples")
    states = states if isinstance(states, list | tuple) else [states]
    directions = 1 + bool(both_ways)
    each = 4 if has_biases else 2
    if len(weights) != each * layers * directions or (dropout and training) or any(map(call.measured, (x, *states))):
        raise Unsupported("projections, dropout, or a state that is a parameter")
    x = x.transpose(0, 1) if batch_first else x
    last: list[_State] = []
    uses: list[Use] = []
    for layer in range(layers):
        outputs = []
        for backwards in range(directions):
            place = layer * directions + backwards
            own = [*weights[each * place : each * (place + 1)], None, None][:4]
            state = tuple(part[place] for part in states)
            out, state, found = _steps(cell, call, x.flip(0) if backwards else x, state, own)
            outputs.append(out.flip(0) if backwards else out)
            last.append(state)
            uses += found
        x = torch.cat(outputs, dim=-1)
    ends = [torch.stack(parts) for parts in zip(*last, strict=True)]
    return (x.transpose(0, 1) if batch_first else x, *ends), uses


def _steps(
    cell: _Cell, call: Call, x: Tensor, state: _State, weights: Sequence[Any]
) -> tuple[Tensor, _State, list[Use]]:
    """Run one layer along (T, B, d), and name the uses of what multiplies its states; the rest is seen from inside."""
    of_x, of_state, bias_of_x, bias = weights
    entered = call.inside(linear, x, of_x, bias_of_x)
    matrix, constant = (value.detach() if call.measured(value) else value for value in (of_state, bias))
    # Nothing is added at any step: the gradient that arrives there is that of all steps, in one tensor.
    nothing = traced(torch.zeros_like(entered))
    before, outputs = [], []
    for step, shift in zip(entered, nothing, strict=True):
        before.append(state[0].detach())
        state = cell(step, linear(state[0], matrix, constant) + shift, state)
        outputs.append(state[0])
    inputs = torch.stack(before)

    def form(layout: Layout, gradient: Tensor, number: int) -> ExampleGradients:
        states, gates = (layout.split(values, 2, number).unsqueeze(1) for values in (inputs, gradient))
        return OuterGradients(states, gates, of_state.shape)

    uses = [Use(of_state, nothing, 2, form)] if call.measured(of_state) else []
    if call.measured(bias):
        uses.append(Use(bias, nothing, 2, summed(bias, 2)))
    return torch.stack(outputs), state, uses


def _step(cell: _Cell, call: Call) -> Outcome:
    """Run one step, whose products are seen from inside."""
    x, states, of_x, of_state, bias_of_x, bias = (*call.args, None, None)[:6]
    state = tuple(states) if isinstance(states, list | tuple) else (states,)
    after = cell(call.inside(linear, x, of_x, bias_of_x), call.inside(linear, state[0], of_state, bias), state)
    return (after if len(after) > 1 else after[0]), []


_CELLS: dict[str, _Cell] = {
    "rnn_tanh": partial(_plain, torch.tanh),
    "rnn_relu": partial(_plain, torch.relu),
    "lstm": _lstm,
    "gru": _gru,
}

RULES: dict[str, Rule] = {
    **{name: partial(_layers, cell) for name, cell in _CELLS.items()},
    **{f"{name}_cell": partial(_step, cell) for name, cell in _CELLS.items()},
}
