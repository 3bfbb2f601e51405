"""Random weights side by side: against plain counting, on any executor, and with the flag that is seen."""

import io
import json
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from multiprocessing import get_context

import numpy as np
import pytest
import torch
from rich.console import Console

from genbounds.inductive_bias import Architecture, RandomComparison, compare_random
from genbounds.inductive_bias.architectures import random_weights
from genbounds.inductive_bias.architectures.draws import Draws
from genbounds.models.data import load_data
from genbounds.rare_events.agreement import conditional_agreement
from genbounds.rare_events.counting import counted_conditional_tail
from genbounds.rare_events.curves import ConditionalTail
from genbounds.report.inductive_bias import comparison_text
from genbounds.sweeps import Store, TaskError

TRIED = {
    "narrow": Architecture("genbounds.models.networks:mlp", {"inputs": 2, "classes": 2, "hidden": 3}),
    "deep": Architecture("genbounds.models.networks:mlp", {"inputs": 2, "classes": 2, "hidden": 3, "layers": 2}),
}
QUICK = {"annealing": {"chains": 32, "runs": 8, "overlap": 0.95, "leapfrog": 6}, "subset": {"chains": 60, "runs": 8}}
LINEAR = Architecture("torch.nn:Linear", {"in_features": 2, "out_features": 1})  # would be broadcast
#: Enough to be the same or not.
TINY = {
    "annealing": {"chains": 4, "runs": 2, "overlap": 0.7, "leapfrog": 2},
    "subset": {"chains": 20, "runs": 2, "moves": 2},
}


def examples(n=40, seed=0):
    inputs = torch.randn(n, 2, generator=torch.Generator().manual_seed(seed))
    return inputs, (inputs.sum(1) > 0).long()


def compared(data=None, tried=TRIED, **changes):
    settings = {"train": 4, "test": 10, "fit": 0.6, "levels": [0.7, 0.9], **QUICK} | changes
    return compare_random(data or examples(), tried, **settings)


@pytest.fixture(scope="module")
def wanted():
    return compared(draws=2)


def test_plain_counting_says_the_same(wanted):
    """A million networks, evaluated by matrix products; neither sampler, nor the prior's code."""
    draws = Draws(load_data(examples()), 4, 10, 2, 0)
    assert not wanted.flag
    for draw, (inputs, targets) in enumerate(draws):
        source = torch.Generator().manual_seed(draw)
        ones, losses = torch.ones(len(inputs), 1), []
        wants = torch.nn.functional.one_hot(targets, 2) - 0.5
        for _ in range(10):
            first = torch.randn(100_000, 3, 3, generator=source) * 2**-0.5  # variance 1 / 2, bias in the last column
            last = torch.randn(100_000, 4, 2, generator=source) * 3**-0.5
            hidden = (torch.cat([inputs, ones], 1) @ first.mT).relu()
            outputs = hidden @ last[:, :3] + last[:, 3:]
            losses.append((outputs - wants).square().mean(-1))
        loss = torch.cat(losses).double().numpy()
        counted = counted_conditional_tail(
            loss[:, :4].mean(1), loss[:, 4:].mean(1), 0.6 / 4, [0.7 / 4, 0.9 / 4], confidence=0.999
        )
        found = wanted.agreements["narrow"][draw]
        for part in ("condition", "tail", "joint"):
            truth, ours = getattr(counted, part), getattr(found, part).combined
            assert (truth.counts >= 100).all()
            apart = np.abs(ours.nats - truth.nats)
            assert (apart < 4 * np.hypot(ours.standard_error, truth.standard_error)).all(), part
            assert (apart < 1).all()


def test_the_three_parts_are_comparisons(wanted):
    assert wanted.train.levels.tolist() == [0.15]  # 0.6 of the constant's loss, 1/4
    for draw in range(2):
        found = wanted.agreements["deep"][draw]
        assert wanted.total.curves["deep"][draw] is found.joint.combined
        assert wanted.generalisation.curves["deep"][draw] is found.tail.combined
    assert wanted.generalisation.task == "tensors, 4 training and 10 test examples, drawn 2 times"
    assert np.isfinite(wanted.total.difference("deep", "narrow").nats).all()
    again = RandomComparison.from_json(json.loads(json.dumps(wanted.to_json())))
    assert again.to_json() == wanted.to_json()


def apart(found, by):
    """The same record with annealing's curves moved up."""

    def moved(curve):
        return replace(curve, nats=curve.nats + by, low=curve.low + by, high=curve.high + by)

    both = {name: [getattr(found, part) for part in ("condition", "tail", "joint")] for name in ("first", "second")}
    first = ConditionalTail(both["first"][0].first, both["first"][1].first, moved(both["first"][2].first))
    return conditional_agreement(first, ConditionalTail(*(part.second for part in both["second"])))


def test_the_flag_is_shown(wanted):
    """Where samplers disagree in one draw of two, no value is given, and who reads the table is told."""
    first, second = wanted.agreements["narrow"]
    broken = replace(wanted, agreements={**wanted.agreements, "narrow": (first, apart(second, 20.0))})
    assert broken.flag
    assert not wanted.flag
    average = broken.total.averages["narrow"]
    assert np.isnan(average.nats).all()
    assert np.isinf(average.high).all()
    assert average.warnings[0].startswith("THE SAMPLERS DISAGREE at the levels 0.175, 0.225")
    assert np.isnan(broken.total.difference("deep", "narrow").nats).all()
    assert np.isfinite(broken.train.difference("deep", "narrow").nats).all()

    console = Console(width=200, file=io.StringIO())
    console.print(comparison_text(broken.total))
    assert "Warning: narrow: THE SAMPLERS DISAGREE" in console.file.getvalue()


def test_samplers_that_are_given_too_little_disagree_or_say_so():
    """Random labels with chains that can hardly move: no narrow interval comes out of it unflagged."""
    inputs, _ = examples(60, 1)
    labels = torch.randint(0, 2, (60,), generator=torch.Generator().manual_seed(2))
    starved = {
        "annealing": {"chains": 2, "runs": 2, "overlap": 0.2, "leapfrog": 1},
        "subset": {"chains": 10, "runs": 2, "moves": 1},
    }
    found = compared((inputs, labels), tried={"narrow": TRIED["narrow"]}, train=30, fit=0.5, **starved)
    curve = found.total.averages["narrow"]
    assert found.flag or (curve.high - curve.low > 5).all()
    assert curve.warnings


def test_every_executor_gives_the_same_numbers():
    wanted = compared(**TINY).to_json()
    torch.manual_seed(99)
    before = torch.get_rng_state()
    with ThreadPoolExecutor(2) as executor:
        assert compared(**TINY, executor=executor).to_json() == wanted
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as executor:
        assert compared(**TINY, executor=executor).to_json() == wanted
    assert torch.get_rng_state().equal(before)


def test_a_break_changes_nothing(tmp_path, monkeypatch):
    wanted = compared(draws=2, **TINY).to_json()
    store, function, calls = Store(tmp_path), random_weights.random_information, []

    def breaks(**arguments):
        calls.append(arguments["seed"])
        if len(calls) == 3:
            raise KeyboardInterrupt
        return function(**arguments)

    monkeypatch.setattr(random_weights, "random_information", breaks)
    with pytest.raises(KeyboardInterrupt):
        compared(store=store, draws=2, **TINY)
    assert compared(store=store, draws=2, **TINY).to_json() == wanted
    assert len(calls) == 3 + 2
    assert len(set(calls)) == 4  # each network and draw has streams of its own


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"fit": 0.0}, ValueError, "fit must be"),
        ({"fit": float("nan")}, ValueError, "fit must be"),
        ({"levels": [0.8, 0.6]}, ValueError, "levels must be a list that increases"),
        ({"dtype": "float16"}, ValueError, "dtype must be float32 or float64"),
        ({"train": 35}, ValueError, "train and test must be at most 40 together"),
        ({"annealing": {"chains": 1}}, TaskError, "chains must be"),
        (
            {"tried": {"one": Architecture("torch.nn:Linear", {"in_features": 2, "out_features": 3})}},
            TaskError,
            "shape",
        ),
    ],
)
def test_refusals(changes, kind, message):
    with pytest.raises(kind, match=message):
        compared(**changes)
