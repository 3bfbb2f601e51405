"""Finds out how a network's calls arrange the examples, by watching a few of them go through."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from genbounds.models.per_example.calls import Use
from genbounds.models.per_example.layouts import Layout, layout_of, touched
from genbounds.models.per_example.recorder import Key, Measured, Observer, Plan, Recorder
from genbounds.models.per_example.witness import Witness

__all__ = ["find_plan"]

_Run: TypeAlias = Callable[[Sequence[int], Recorder], Tensor]


@dataclass
class _Sight:
    """What was seen of one use: its values, and at which positions each example changes them or sends a gradient.

    `picked`, `ordered`: whether rows were picked by their values, or put in order, before it. `settled`: whether it is
    the same with other examples.
    """

    key: Key
    names: list[str]
    may_be_making: bool
    values: Tensor
    changed: Tensor
    reached: Tensor
    picked: bool
    ordered: bool
    settled: bool = True

    @property
    def seen(self) -> bool:
        return len(self.changed) == 1 or bool((self.changed | self.reached).any())

    def layout(self) -> Layout | None:
        if len(self.changed) == 1:
            return Layout(0, merged=True)  # a single example owns all positions
        found = layout_of(self.changed | self.reached) if self.settled else None
        # Rows that were picked by their values may look arranged by chance, unless there is one for each example.
        self.settled &= found is None or not (self.ordered or (found.merged and self.picked))
        return found if self.settled else None


def find_plan(run: _Run, number: int, parameters: Mapping[str, Tensor], constants: Sequence[Tensor]) -> Plan:
    """Watch a few examples go through a network.

    Parameters
    ----------
    run : callable
        ``run(order, recorder)``: the losses of the examples with these numbers, as one batch in this order; the
        forward pass runs inside the recorder.
    number : int
        How many there are; they must differ, or nothing tells them apart.
    parameters : mapping of str to Tensor
        Parameters to follow.
    constants : sequence of Tensor
        All parameters and buffers of the model: what is made of them alone holds no examples.

    Returns
    -------
    Plan
        How every use of a parameter arranges the examples, or which parameters cannot be followed, and why.
    """
    plan = Plan()
    while True:
        followed = {name: value for name, value in parameters.items() if name not in plan.uncovered}
        known = len(plan.makings), len(plan.uncovered)
        sights = _watch(run, number, lambda note: Recorder(followed, constants, plan, note))  # noqa: B023
        _draw_conclusions(plan, sights)
        if known == (len(plan.makings), len(plan.uncovered)):
            return plan


def _watch(run: _Run, number: int, recorder_for: Callable[[Observer], Recorder]) -> list[_Sight]:
    sights: list[_Sight] = []
    example = 0

    def note(measured: Measured, key: Key, use: Use) -> None:
        nowhere = torch.zeros(number, *use.watched.shape[: use.leading], dtype=torch.bool)
        values = _shown(use).clone()
        free = use.free or use.pull is not None
        rows = witness.picks_rows, witness.orders_rows
        sight = _Sight(key, measured.names, free, values, nowhere, nowhere.clone(), *rows)
        sights.append(sight)

        def arrived(gradient: Tensor) -> None:
            sight.reached[example] |= touched(gradient, key.leading)

        use.watched.register_hook(arrived)

    recorder = recorder_for(note)
    with Witness() as witness:
        losses = run(range(number), recorder)
    for example in range(number if losses.requires_grad else 0):
        recorder.backward(losses[example], retain_graph=True)
    for example in range(number if number > 1 else 0):
        order = list(range(number))
        order[example] = (example + 1) % number
        _compare(run, order, recorder_for, sights, example)
    return sights


def _shown(use: Use) -> Tensor:
    return (use.watched if use.shown is None else use.shown).detach()


def _compare(
    run: _Run,
    order: Sequence[int],
    recorder_for: Callable[[Observer], Recorder],
    sights: list[_Sight],
    example: int,
) -> None:
    """Run the examples with one exchanged for another, and note what changes."""
    met = 0

    def note(_: Measured, key: Key, use: Use) -> None:
        nonlocal met
        if met < len(sights) and sights[met].key == key:
            sight, values = sights[met], _shown(use)
            if sight.values.shape == values.shape:
                sight.changed[example] |= touched(values - sight.values, key.leading)
            else:
                sight.settled = False
            met += 1

    run(order, recorder_for(note))
    for sight in sights[met:]:  # from here on the pass took another way
        sight.settled = False


def _draw_conclusions(plan: Plan, sights: list[_Sight]) -> None:
    """Add the layouts that were seen, and give up the parameters that do not fit one.

    What is made of parameters is to be known before anything is given up: it may have hidden that more is.
    """
    seen: dict[Key, list[_Sight]] = {}
    lost: dict[str, str] = {}
    known = len(plan.makings)
    for sight in sights:
        seen.setdefault(sight.key, []).append(sight)
    for key, group in seen.items():
        if key.label in plan.uncovered:
            continue
        layouts = {sight.layout() for sight in group if sight.seen}
        only = layouts.pop() if len(layouts) == 1 else None
        if only is not None:
            plan.layouts[key] = only
        elif group[0].may_be_making and not any(sight.changed.any() for sight in group):
            plan.makings.add(key)
        else:
            picks = "" if all(sight.settled for sight in group) else ", whose rows depend on values"
            lost |= dict.fromkeys(group[0].names, f"examples cannot be told apart in {key.function}{picks}")
    if len(plan.makings) == known:
        plan.uncovered |= lost
