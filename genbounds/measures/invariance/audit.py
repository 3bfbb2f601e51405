"""Measures before and after changes that keep the function: a measure that moves is no property of the function."""

import copy
import inspect
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from genbounds.measures.functions import MeasureFunction, evaluate_measure, own_measures
from genbounds.measures.invariance.chains import find_chains
from genbounds.measures.invariance.transformations import TRANSFORMATIONS
from genbounds.models.examples import Data
from genbounds.models.guards import ModelError, check_deterministic, check_evaluation_mode
from genbounds.models.progress import track
from genbounds.numerics.checks import count
from genbounds.numerics.restoring import number_or_none

__all__ = ["Audit", "Change", "Trial", "audit"]

#: Largest relative change that rounding explains: of the function and of a measure in float64, and with float32.
_SAME_FUNCTION, _SAME, _SAME_FLOAT32 = 1e-9, 1e-6, 1e-3


@dataclass(frozen=True)
class Trial:
    """One change, and whether it was made.

    Attributes
    ----------
    name : str
        What was changed.
    difference : float
        Largest change of an output over the largest output: what rounding, or float32, did to the function.
    reason : str
        Why it was not made, or "".
    """

    name: str
    difference: float
    reason: str


@dataclass(frozen=True)
class Change:
    """One measure under one change.

    Attributes
    ----------
    measure, trial : str
        Which.
    before, after : float
        Its value; NaN where it was refused.
    change : float
        |after - before| / max(|after|, |before|), in [0, 2]; NaN where a value is missing.
    moved : bool
        Whether that is more than rounding explains: more than 1e-6 and the values more than 1e-9 apart; in float32 1e-3
        and 1e-6.
    """

    measure: str
    trial: str
    before: float
    after: float
    change: float
    moved: bool


@dataclass(frozen=True)
class Audit:
    """What every change did to every measure.

    Attributes
    ----------
    trials : tuple of Trial
        Changes, made or not.
    changes : tuple of Change
        For each that was made, all measures.
    """

    trials: tuple[Trial, ...]
    changes: tuple[Change, ...]

    def moved(self, measure: str) -> tuple[str, ...]:
        """Return what moves a measure.

        Parameters
        ----------
        measure : str
            Its name.

        Returns
        -------
        tuple of str
            Names of changes.
        """
        return tuple(each.trial for each in self.changes if each.measure == measure and each.moved)

    def to_json(self) -> dict[str, Any]:
        """Return the audit as JSON carries it.

        Returns
        -------
        dict
            ``trials`` and ``changes``; a missing number is None.
        """

        def plain(record: Any) -> dict[str, Any]:
            return {
                name: number_or_none(value) if isinstance(value, float) else value
                for name, value in asdict(record).items()
            }

        return {"trials": [plain(each) for each in self.trials], "changes": [plain(each) for each in self.changes]}


def audit(
    model: nn.Module,
    data: Data,
    measure: MeasureFunction = own_measures,
    *,
    examples: int = 256,
    device: torch.device | str = "cpu",
    seed: int = 0,
    progress: bool = False,
) -> Audit:
    """Change a network in ways that keep its function, and see which measures move.

    Parameters
    ----------
    model : nn.Module
        Network in evaluation mode; it is copied, and the copy evaluated in float64.
    data : Data
        Examples (`genbounds.models.load_data`).
    measure : callable
        ``measure(model, inputs, targets)`` returns a number, or numbers by name; by default what the package measures.
        If it takes ``seed`` or ``batch_size``, these are varied too.
    examples : int
        How many of the data are given to it at most, the first ones: they are held in memory.
    device : torch.device or str
        Where the copy is evaluated.
    seed : int
        Seed of the changes, and of the measure if it takes one.
    progress : bool
        Show a bar on a terminal.

    Returns
    -------
    Audit
        Layers and neurons rescaled, units permuted, batch normalisation folded, dead units added, float32 in place of
        float64, another order of the examples, another seed and batch size. What does not apply is named with its
        reason.

    Raises
    ------
    ModelError
        If the model is not in evaluation mode or draws while it runs, or the measure returns no numbers.

    Notes
    -----
    Chains of layers are found in the network's graph, and every change is checked on the examples: one that moves an
    output by more than rounding is not made, so that a measure that moves is a fact about the measure. That a measure
    moves does not make it useless as a predictor, and that it does not move does not make it a good one.

    Examples
    --------
    >>> from genbounds.models.data import load_data
    >>> _ = torch.manual_seed(0)
    >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)).eval()
    >>> data = load_data((torch.randn(20, 4), torch.arange(20) % 2))
    >>> found = audit(model, data)
    >>> found.moved("parameter_norm")
    ('layers rescaled', 'neurons rescaled', 'dead units added')
    >>> found.moved("path_norm")
    ()
    """
    check_evaluation_mode(model)
    network = copy.deepcopy(model).to(device=device, dtype=torch.float64)
    indices = np.arange(min(len(data), int(count("examples", examples, minimum=2))))
    ((_, inputs, targets),) = data.batches(indices, len(indices), device=device, dtype=torch.float64)
    takes = inspect.signature(measure).parameters
    try:
        outputs = _outputs(network, inputs)
    except RuntimeError as error:  # constants of another type or device in the network's own code
        raise ModelError(
            f"the network must run in float64, got: {str(error).splitlines()[0]}. Make its constants buffers."
        ) from error
    check_deterministic(network, inputs[:3])
    if not bool(outputs.isfinite().all()):
        raise ModelError("outputs must be finite, got NaN or infinity. Leave classes out in place of masking them.")

    def values(changed: nn.Module, x: Tensor, y: Tensor, **more: int) -> dict[str, float]:
        return evaluate_measure(measure, changed, x, y, {"seed": seed, **more})

    before = values(network, inputs, targets)
    trials: list[Trial] = []
    changes: list[Change] = []

    def compare(trial: Trial, after: dict[str, float], tolerance: float = _SAME) -> None:
        trials.append(trial)
        changes.extend(_change(name, trial.name, before, after, tolerance) for name in before)

    for name, transform in track(TRANSFORMATIONS.items(), "audit", total=len(TRANSFORMATIONS), progress=progress):
        changed = copy.deepcopy(network)
        try:
            transform(changed, find_chains(changed), np.random.default_rng(seed))
            difference = _difference(outputs, _outputs(changed, inputs))
            if not difference <= _SAME_FUNCTION:
                raise ModelError(f"it would change an output by {difference:.2g}: the graph was not understood")
        except (ModelError, RuntimeError) as error:  # torch's own where shapes are written into the network's code
            trials.append(Trial(name, math.nan, str(error).splitlines()[0]))
            continue
        compare(Trial(name, difference, ""), values(changed, inputs, targets))
    narrow = copy.deepcopy(network).float()
    rounded = inputs.float() if inputs.is_floating_point() else inputs
    difference = _difference(outputs, _outputs(narrow, rounded).double())
    compare(Trial("float32", difference, ""), values(narrow, rounded, targets), _SAME_FLOAT32)
    order = torch.from_numpy(np.random.default_rng(seed).permutation(len(targets))).to(targets.device)
    compare(Trial("examples in another order", 0.0, ""), values(network, inputs[order], targets[order]))
    for name, more in {"another seed": {"seed": seed + 1}, "another batch size": {"batch_size": 7}}.items():
        if set(more) <= set(takes):
            compare(Trial(name, 0.0, ""), values(network, inputs, targets, **more))
        else:
            trials.append(Trial(name, math.nan, f"the measure takes no {min(more)}"))
    return Audit(tuple(trials), tuple(changes))


@torch.no_grad()
def _outputs(model: nn.Module, inputs: Tensor) -> Tensor:
    outputs: Tensor = model(inputs)
    return outputs


def _difference(one: Tensor, other: Tensor) -> float:
    return float((one - other).abs().max() / one.abs().max().clamp_min(1e-300))


def _change(name: str, trial: str, before: Mapping[str, float], after: Mapping[str, float], tolerance: float) -> Change:
    one, other = before[name], after.get(name, math.nan)
    if math.isnan(other):
        return Change(name, trial, one, other, math.nan, True)
    size = max(abs(one), abs(other))
    change = 0.0 if one == other else abs(one - other) / size
    apart = one != other and not abs(one - other) <= tolerance / 1000
    return Change(name, trial, one, other, change, apart and not change <= tolerance)
