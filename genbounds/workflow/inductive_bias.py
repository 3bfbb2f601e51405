"""What inductive bias can be measured at one checkpoint: exact where it can be, and each number called what it is."""

import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from genbounds.inductive_bias.gaussian.checkpoints import last_layer_hypotheses, ntk_hypotheses
from genbounds.inductive_bias.gaussian.evaluations import evaluated, in_float64
from genbounds.inductive_bias.networks import NetworkPrior
from genbounds.inductive_bias.volume.laplace_evidence import laplace_evidence
from genbounds.inductive_bias.volume.laplace_records import LaplaceEvidence
from genbounds.inductive_bias.volume.learning_coefficient import LearningCoefficient, learning_coefficient
from genbounds.inductive_bias.volume.local_volume import LocalVolume, local_volume
from genbounds.models.blocks import Blocks
from genbounds.models.checkpoint import apply_state, load_checkpoint
from genbounds.models.ensembles import DTYPES
from genbounds.models.examples import Data
from genbounds.models.factory import build_model, code_sha256, load_factory
from genbounds.models.guards import ModelError, check_logits
from genbounds.models.linear_heads import find_head
from genbounds.models.progress import track
from genbounds.models.randomness import stream
from genbounds.numerics.checks import count, finite
from genbounds.rare_events.curves import TailCurve
from genbounds.sweeps import Store, Task, run
from genbounds.version import __version__

__all__ = ["LEVELS", "PARTS", "CheckpointBias", "checkpoint_bias", "drawn_examples", "measured_part"]

#: Levels of a loss, as shares of what the constant guess has.
LEVELS = (0.05, 0.1, 0.2, 0.3, 0.5)
#: Weights, and rows of the covariance of all outputs, up to which a part is measured without being asked for.
_WEIGHTS, _ROWS = 50_000, 4096


@dataclass(frozen=True, eq=False)
class CheckpointBias:
    """What was measured at a checkpoint.

    Parameters
    ----------
    model : str
        What built the network.
    checkpoint, sha256 : str
        Name of the file, and its fingerprint.
    prior : str
        The prior over the weights, in a sentence.
    weights, outputs : int
        Weights of the network that the prior is over, and its outputs, k.
    train, test : int
        Training examples, and test examples.
    train_loss, train_error, test_error : float
        Mean cross-entropy of the checkpoint on the training examples, and its shares of errors.
    tangent, head : TailCurve or None
        -ln P(mean square error of the test examples <= level | the training examples are fit), for the network
        linearised at the checkpoint and for its last layer on fixed features.
    volume : LocalVolume or None
        Prior mass around the checkpoint, over levels of the cross-entropy of the training examples.
    coefficient : LearningCoefficient or None
        Local learning coefficient of the same loss.
    evidence : LaplaceEvidence or None
        Of the training examples.
    skipped : mapping of str to str
        Why a part was not measured.
    """

    model: str
    checkpoint: str
    sha256: str
    prior: str
    weights: int
    outputs: int
    train: int
    test: int
    train_loss: float
    train_error: float
    test_error: float
    tangent: TailCurve | None
    head: TailCurve | None
    volume: LocalVolume | None
    coefficient: LearningCoefficient | None
    evidence: LaplaceEvidence | None
    skipped: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        """Return the record as JSON carries it.

        Returns
        -------
        dict
            Its fields; a part that was not measured is None.
        """
        content = {field.name: getattr(self, field.name) for field in fields(self)}
        parts = {part: content[part] and content[part].to_json() for part in PARTS}
        return content | parts | {"skipped": dict(self.skipped)}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "CheckpointBias":
        """Read a record back.

        Parameters
        ----------
        content : mapping
            What `to_json` returned.

        Returns
        -------
        CheckpointBias
            The record, bit for bit.
        """
        parts = {part: content[part] and read(content[part]) for part, (_, read) in PARTS.items()}
        return cls(**{**content, **parts})


def checkpoint_bias(
    model: str,
    checkpoint: str | Path,
    train: Any,
    test: Any,
    *,
    prefix: str = "",
    entry: str = "",
    trust_pickle: bool = False,
    parts: Sequence[str] = (),
    levels: ArrayLike = LEVELS,
    scale: float | None = None,
    noise: float = 0.0,
    confidence: float = 0.95,
    seed: int = 0,
    device: str = "cpu",
    dtype: Literal["float32", "float64"] = "float32",
    store: Store | None = None,
    executor: Executor | None = None,
    progress: bool = False,
) -> CheckpointBias:
    """Measure the inductive bias of a classifier at a checkpoint.

    Parameters
    ----------
    model : str
        What builds the network, as ``package.module:callable``. Its outputs are logits, and it is put in evaluation
        mode.
    checkpoint : str or Path
        Its weights.
    train, test : object
        What `genbounds.models.blocks.Blocks` takes, with one tensor of inputs and classes for targets. Test examples
        are only such if the network was not trained on them.
    prefix, entry, trust_pickle
        As for `genbounds.models.load_checkpoint`.
    parts : sequence of str
        Some of `PARTS`; by default all for which the network is not too large.
    levels : array_like, shape (k,)
        Levels of the losses, increasing, as shares of what the constant guess has: (1 - 1 / k) / k for the mean square
        of the k outputs, ln k for the cross-entropy.
    scale : float, optional
        Prior standard deviation of all weights; by default that of `NetworkPrior`.
    noise : float
        Standard deviation of Gaussian noise on the training targets that the exact curves are given. 0: they are fit
        exactly.
    confidence : float
        Nominal confidence of intervals, in (0, 1).
    seed : int
        Seed of everything.
    device : str
        Where to measure; it must know float64.
    dtype : {"float32", "float64"}
        Type of the network's numbers where weights are sampled. The exact curves take float64.
    store : Store, optional
        Where parts are kept, so that an interrupted measurement goes on.
    executor : concurrent.futures.Executor, optional
        Where parts are measured; by default in this process.
    progress : bool
        Show a bar on a terminal.

    Returns
    -------
    CheckpointBias
        With the reason for each part that does not apply.

    Raises
    ------
    CheckpointError
        If the checkpoint is damaged or does not fit the network.
    ModelError
        If the network does not give a logit for each of two or more classes.
    ValueError
        If a part is unknown, an argument out of range, or none of the parts could be measured.
    """
    unknown = [part for part in parts if part not in PARTS]
    if unknown:
        raise ValueError(f"parts must be some of {', '.join(PARTS)}, got {unknown[0]!r}. Leave out the option for all.")
    shares = np.atleast_1d(finite("levels", levels))
    loaded = load_checkpoint(checkpoint, prefix=prefix, entry=entry, trust_pickle=trust_pickle)
    network = _network(model, loaded.state)
    train_loss, train_error, outputs = _measured(network, train, device)
    _, test_error, _ = _measured(network, test, device)
    prior = NetworkPrior(network, scale)
    known, fresh = Blocks(train, 1).number, Blocks(test, 1).number
    skipped = {} if parts else _too_large(prior.dimension, (known + fresh) * outputs)
    settings = {
        "model": model,
        "outputs": outputs,
        "levels": shares.tolist(),
        "scale": scale,
        "noise": float(noise),
        "confidence": confidence,
        "device": device,
        "dtype": dtype,
        "repetition": seed,
        "code": [__version__, code_sha256(load_factory(model))],
    }
    arrays = {f"weight {name}": _array(value) for name, value in loaded.state.items()}
    for name, data in (("train", train), ("test", test)):
        block = Blocks(data, 2**40).read(0)
        arrays |= {f"{name}_inputs": _array(block.inputs), f"{name}_targets": _array(block.targets)}
    tasks = {
        part: Task("genbounds.workflow.inductive_bias:measured_part", {"part": part, **settings}, arrays)
        for part in parts or PARTS
        if part not in skipped
    }
    every = run(tasks.values(), store=store, executor=executor)
    outcomes = track(every, "Measuring at the checkpoint", total=len(tasks), progress=progress)
    results = {outcome.task.id: outcome.result for outcome in outcomes}
    found = {part: results[task.id] for part, task in tasks.items()}
    skipped |= {part: result["refused"] for part, result in found.items() if "refused" in result}
    measured = {part: PARTS[part][1](result["record"]) for part, result in found.items() if "record" in result}
    if not measured:
        raise ValueError(
            "parts must apply to this checkpoint, got none that does. "
            + " ".join(f"{part}: {reason}" for part, reason in skipped.items())
        )
    return CheckpointBias(
        model=model,
        checkpoint=Path(checkpoint).name,
        sha256=loaded.sha256,
        prior=str(prior),
        weights=prior.dimension,
        outputs=outputs,
        train=known,
        test=fresh,
        train_loss=train_loss,
        train_error=train_error,
        test_error=test_error,
        skipped=skipped,
        **{part: measured.get(part) for part in PARTS},
    )


def drawn_examples(
    data: Data, test_data: Data | None, train: int, test: int, *, seed: int = 0
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor], str]:
    """Draw the examples that a checkpoint is measured on.

    Parameters
    ----------
    data : Data
        What the network was trained on.
    test_data : Data or None
        What it was not; without, test examples are drawn from the rest of the data.
    train, test : int
        How many of each, at least 1.
    seed : int
        Seed of the draw.

    Returns
    -------
    train, test : tuple of Tensor
        Inputs and classes.
    split : str
        What was drawn from where, in a sentence.

    Raises
    ------
    ValueError
        If there are too few.
    """
    known, asked = int(count("train", train)), int(count("test", test))
    other = data if test_data is None else test_data
    if known + (asked if other is data else 0) > len(data) or asked > len(other):
        raise ValueError(
            f"train and test must be at most what there is, {len(data):,} and {len(other):,} "
            f"{'together' if other is data else 'examples'}, got {known:,} and {asked:,}. Take fewer."
        )
    order = torch.randperm(len(data), generator=stream(seed, "training examples"))
    rest = order[known:] if other is data else torch.randperm(len(other), generator=stream(seed, "test examples"))
    pairs = []
    for source, index in ((data, order[:known]), (other, rest[:asked])):
        ((_, inputs, targets),) = source.batches(index, len(index))
        pairs.append((inputs, targets))
    where = "the rest of it: fresh only if the network was not trained on them" if other is data else f"{other.name}"
    split = f"{known:,} training examples, drawn from {data.name}; {asked:,} test examples, drawn from {where}"
    return pairs[0], pairs[1], split


def measured_part(
    part: str,
    model: str,
    outputs: int,
    levels: Sequence[float],
    scale: float | None,
    noise: float,
    confidence: float,
    device: str,
    dtype: str,
    repetition: int,  # noqa: ARG001  part of the task's identity, and so of its seed
    code: list[str | None],  # noqa: ARG001  part of the task's identity
    train_inputs: NDArray[Any],
    train_targets: NDArray[Any],
    test_inputs: NDArray[Any],
    test_targets: NDArray[Any],
    seed: int,
    **weights: NDArray[Any],
) -> dict[str, Any]:
    """Measure one part at a checkpoint: what a task does.

    Parameters
    ----------
    part : str
        Its name in `PARTS`.
    outputs : int
        Outputs of the network.
    model, levels, scale, noise, confidence, device, dtype
        As for `checkpoint_bias`.
    repetition : int
        The user's seed.
    code : list
        Version of this package, and fingerprint of the model's code.
    train_inputs, train_targets, test_inputs, test_targets : ndarray
        Examples.
    seed : int
        Seed of the part.
    **weights : ndarray
        State of the network, each name after ``weight ``.

    Returns
    -------
    dict
        ``record``: what its ``to_json`` gives; or ``refused``: why the part does not apply.
    """
    state = {name.removeprefix("weight "): torch.from_numpy(value) for name, value in weights.items()}
    train, test = (
        (torch.from_numpy(inputs), torch.from_numpy(targets))
        for inputs, targets in ((train_inputs, train_targets), (test_inputs, test_targets))
    )
    network = _network(model, state).to(device, DTYPES[dtype])
    prior = NetworkPrior(network, scale, device=device, dtype=DTYPES[dtype])
    setting = _Setting(network, prior, train, test, outputs, np.array(levels), scale, noise, confidence, seed)
    try:
        return {"record": PARTS[part][0](setting).to_json()}
    except ValueError as error:
        return {"refused": str(error)}


@dataclass(frozen=True, eq=False)
class _Setting:
    """What a part is measured with."""

    network: nn.Module
    prior: NetworkPrior
    train: tuple[Tensor, Tensor]
    test: tuple[Tensor, Tensor]
    outputs: int
    shares: NDArray[np.float64]
    scale: float | None
    noise: float
    confidence: float
    seed: int

    @property
    def square_levels(self) -> NDArray[np.float64]:
        return self.shares * (1 - 1 / self.outputs) / self.outputs


def _tangent(setting: _Setting) -> TailCurve:
    space = ntk_hypotheses(
        setting.network, setting.test, scale=setting.prior.scales, train=setting.train, noise=setting.noise
    )
    return space.information(setting.square_levels)


def _head(setting: _Setting) -> TailCurve:
    prior, (inputs, _) = setting.prior, setting.train
    example = inputs[:1].to(prior.device, prior.dtype if inputs.is_floating_point() else None)
    layer = setting.network.get_submodule(find_head(setting.network, example))
    space = last_layer_hypotheses(
        setting.network,
        setting.test,
        scale=float(layer.get_parameter("weight").shape[1]) ** -0.5 if setting.scale is None else setting.scale,
        train=setting.train,
        noise=setting.noise,
    )
    return space.information(setting.square_levels)


def _volume(setting: _Setting) -> LocalVolume:
    prior = setting.prior
    cost, anchor = prior.loss(F.cross_entropy, setting.train), prior.latent().to(prior.dtype)
    own = float(cost(anchor[None])[0])
    levels = setting.shares * math.log(setting.outputs)
    if not (levels > own).any():
        raise ValueError(
            f"levels must be above the checkpoint's own cross-entropy, {own:.4g}, got {levels.max():.4g} at most. Give "
            "larger levels, or train further."
        )
    return local_volume(cost, anchor, levels[levels > own], confidence=setting.confidence, seed=setting.seed)


def _coefficient(setting: _Setting) -> LearningCoefficient:
    flat = NetworkPrior(setting.network, 1.0, device=setting.prior.device, dtype=setting.prior.dtype)
    return learning_coefficient(
        flat.loss(F.cross_entropy, setting.train),
        flat.latent().to(flat.dtype),
        len(setting.train[1]),
        confidence=setting.confidence,
        seed=setting.seed,
    )


def _evidence(setting: _Setting) -> LaplaceEvidence:
    return laplace_evidence(setting.network, setting.train, setting.prior)


#: Parts of a measurement at a checkpoint: how each is measured, and how its record is read back.
PARTS: dict[str, tuple[Callable[[_Setting], Any], Callable[[dict[str, Any]], Any]]] = {
    "tangent": (_tangent, TailCurve.from_json),
    "head": (_head, TailCurve.from_json),
    "volume": (_volume, LocalVolume.from_json),
    "coefficient": (_coefficient, LearningCoefficient.from_json),
    "evidence": (_evidence, LaplaceEvidence.from_json),
}


def _too_large(weights: int, rows: int) -> dict[str, str]:
    """Say which parts take too long unless they are asked for."""
    skipped = {}
    if rows > _ROWS:
        skipped["tangent"] = (
            f"its covariance has {rows:,} rows, one for each output of each example, more than {_ROWS:,}. Take fewer "
            "examples, or ask for this part."
        )
    if weights > _WEIGHTS:
        reason = f"the network has {weights:,} weights, more than {_WEIGHTS:,}. Ask for this part if you can wait."
        skipped |= {"volume": reason, "coefficient": reason}
    return skipped


def _network(model: str, state: Mapping[str, Tensor]) -> nn.Module:
    network = build_model(model)
    apply_state(network, state)
    return network.eval()


def _measured(network: nn.Module, data: Any, device: str) -> tuple[float, float, int]:
    """Return mean cross-entropy, share of errors, and number of outputs."""
    measured, place = in_float64(network, device)
    blocks = Blocks(data, 256, device=place, dtype=torch.float64)
    outputs, targets = map(torch.cat, zip(*(evaluated(measured, block) for block in blocks), strict=True))
    check_logits(outputs, targets)
    wrong = (outputs.argmax(1) != targets).double().mean()
    return float(F.cross_entropy(outputs, targets)), float(wrong), outputs.shape[1]


def _array(values: Any) -> NDArray[Any]:
    if not isinstance(values, Tensor):
        raise ModelError("data must have one tensor of inputs, got a mapping. Stack its tensors into one.")
    known = values.detach().cpu()  # NumPy has no bfloat16
    array: NDArray[Any] = (known.float() if known.dtype in {torch.bfloat16, torch.float16} else known).numpy()
    return array
