"""``genbounds inductive-bias``."""

from dataclasses import dataclass
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Group, Parameter

from genbounds.cli.console import Flag
from genbounds.cli.files import Part, read_data

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.axes import Axes
    from rich.console import RenderableType

    from genbounds.inductive_bias.architectures.named import Architecture
    from genbounds.models.examples import Data

__all__ = ["inductive_bias"]

_DATA = Group("Data", sort_key=1)
_SPACES = Group("Hypothesis spaces, side by side", sort_key=2)
_CHECKPOINT = Group("One checkpoint instead", sort_key=3)
_DIFFICULTY = Group("The published difficulty instead", sort_key=4)
_RUN = Group("Run", sort_key=5)
_MANY = {"consume_multiple": True, "negative": "", "show_default": False}


@dataclass(frozen=True)
class _Found:
    """What there is to write and to show."""

    content: dict[str, Any]
    shown: tuple["RenderableType", ...]
    axes: "Axes | None"


def inductive_bias(
    *,
    data: Annotated[str, Parameter(group=_DATA)] = "digits",
    part: Annotated[Part, Parameter(group=_DATA)] = "train",
    classes: Annotated[tuple[int, ...], Parameter(group=_DATA, **_MANY)] = (),
    train: Annotated[int | None, Parameter(group=_DATA)] = None,
    test: Annotated[int, Parameter(group=_DATA)] = 100,
    levels: Annotated[tuple[float, ...], Parameter(group=_DATA, **_MANY)] = (),
    space: Annotated[Literal["kernels", "trained", "random"] | None, Parameter(group=_SPACES)] = None,
    architectures: Annotated[tuple[str, ...], Parameter(group=_SPACES, **_MANY)] = (),
    draws: Annotated[int | None, Parameter(group=_SPACES)] = None,
    networks: Annotated[int | None, Parameter(group=_SPACES)] = None,
    fit: Annotated[float | None, Parameter(group=_SPACES)] = None,
    model: Annotated[str | None, Parameter(group=_CHECKPOINT)] = None,
    checkpoint: Annotated[Path | None, Parameter(group=_CHECKPOINT)] = None,
    test_data: Annotated[str | None, Parameter(group=_CHECKPOINT)] = None,
    parts: Annotated[
        tuple[Literal["tangent", "head", "volume", "coefficient", "evidence"], ...],
        Parameter(group=_CHECKPOINT, **_MANY),
    ] = (),
    scale: Annotated[float | None, Parameter(group=_CHECKPOINT)] = None,
    noise: Annotated[float | None, Parameter(group=_CHECKPOINT)] = None,
    prefix: Annotated[str, Parameter(group=_CHECKPOINT)] = "",
    entry: Annotated[str, Parameter(group=_CHECKPOINT)] = "",
    trust_pickle: Annotated[Flag, Parameter(group=_CHECKPOINT)] = False,
    difficulty: Annotated[Flag, Parameter(group=_DIFFICULTY)] = False,
    eps: Annotated[float, Parameter(group=_DIFFICULTY)] = 0.01,
    level: Annotated[float, Parameter(group=_RUN)] = 0.95,
    seed: Annotated[int, Parameter(group=_RUN)] = 0,
    out: Annotated[Path, Parameter(group=_RUN)] = Path("inductive_bias"),
    workers: Annotated[int, Parameter(group=_RUN)] = 1,
    dask: Annotated[str | None, Parameter(group=_RUN)] = None,
    device: Annotated[str, Parameter(group=_RUN)] = "cpu",
    dtype: Annotated[Literal["float32", "float64"], Parameter(group=_RUN)] = "float32",
    json: Annotated[Flag, Parameter(group=_RUN)] = False,
) -> int:
    """Measure how many nats of information generalising takes beyond the training data.

    Of all functions of a space that fit the training examples, how few also do well on others? Minus the logarithm of
    their share, over levels of the test loss. Without a checkpoint it puts architectures side by side: by default
    infinitely wide networks on handwritten digits, exactly (seconds). The folder gets inductive_bias.json and a figure;
    interrupted, the same command goes on where it stopped. Values are exact or estimates, as they say, and none is a
    bound on an error.

    Parameters
    ----------
    data : str
        digits, a folder of IDX files (MNIST, Fashion-MNIST), an .npz file with x and y, or package.module:callable.
    part : str
        Part of a folder of IDX files.
    classes : tuple of int
        Classes to keep; they become 0, 1, ... All if left out.
    train : int
        Training examples, drawn at random; 100 if left out, 20 for random weights.
    test : int
        Test examples, drawn from the rest.
    levels : tuple of float
        Levels of the loss, as shares of the constant guess's; for trained networks shares of test errors. If left out,
        0.05 0.1 0.2 0.3 0.5, and 0.5 0.6 0.7 0.8 0.9 for random weights.
    space : str
        kernels: infinitely wide networks that meet the training targets, exactly (the default). trained: networks of
        finite width, trained from random weights until they fit, and counted. random: random weights given a small
        training loss, by two samplers that have to agree; small networks on few examples of few classes take minutes.
    architectures : tuple of str
        Some of mlp, cnn, ntk for kernels and mlp, cnn, transformer for networks, or package.module:callable: from
        inputs to covariances, or of a network with random weights. The first is what the others are compared with. If
        left out, all that take these inputs, but for a transformer with random weights, which takes long.
    draws : int
        How often training and test examples are drawn anew, for intervals over tasks; 5 for kernels, otherwise 1, if
        left out.
    networks : int
        For trained: networks of each architecture, 100 if left out; the curve ends at about the logarithm of it.
    fit : float
        For random: training loss that counts as fitting, as a share of the constant guess's; 0.5 if left out.
    model : str
        What builds the network, as package.module:callable or path/to/file.py:callable. Its code is run.
    checkpoint : Path
        Its weights; the data are what it was trained on.
    test_data : str
        Other examples to test on. If left out, the test part of a folder of IDX files, and otherwise the rest of the
        data: for a network that was not trained on it.
    parts : tuple of str
        What to measure. Exactly: tangent, the network linearised at the checkpoint, and head, its last layer drawn
        anew, each given the training examples. Estimated: volume, the prior mass around the checkpoint; coefficient,
        the local learning coefficient; evidence, by Laplace's approximation. If left out, all for which the network is
        not too large.
    scale : float
        Prior standard deviation of every weight; 1 / sqrt(fan-in) if left out.
    noise : float
        Standard deviation of noise on the training targets of tangent and head, which are met exactly if it is left
        out.
    prefix : str
        Prefix of the names of the weights in the file, such as "model." in Lightning's.
    entry : str
        Entry of the file that holds the weights, such as "model", where it is not "state_dict".
    trust_pickle : bool
        Read a file that executes code when it is read. Only for files that you made.
    difficulty : bool
        Print the task difficulty of Boopathy et al. (2023) for all of the data, and nothing else.
    eps : float
        Error rate that it aims at.
    level : float
        Nominal confidence of intervals.
    seed : int
        Seed of everything.
    out : Path
        Folder to write to.
    workers : int
        Processes to measure in.
    dask : str
        Address of a dask scheduler to measure on instead.
    device : str
        Where networks are evaluated, such as cpu or cuda.
    dtype : str
        Type of their numbers; what is exact takes float64.
    json : bool
        Print the result as JSON on standard output, and nothing else.

    Returns
    -------
    int
        Exit code.

    Raises
    ------
    ValueError
        If options do not belong together.
    """
    from genbounds.cli.app import OK
    from genbounds.cli.console import progress_wanted, show, show_json
    from genbounds.cli.files import check_device
    from genbounds.numerics import confidence
    from genbounds.report.curve import save_figure
    from genbounds.sweeps import Store, open_executor
    from genbounds.version import __version__

    confidence("level", level)  # before anything takes long
    of_spaces: dict[str, Any] = {"space": space, "architectures": architectures or None, "draws": draws}
    of_spaces |= {"networks": networks, "fit": fit}
    of_checkpoint: dict[str, Any] = {"test_data": test_data, "parts": parts or None, "scale": scale, "noise": noise}
    if (model is None) != (checkpoint is None):
        raise ValueError("model and checkpoint must come together, got one of them. Give both, or none.")
    if difficulty:
        _refuse("difficulty", model=model, **of_spaces, **of_checkpoint)
    elif model is None:
        _refuse("a comparison of architectures", **of_checkpoint)
    else:
        _refuse("a checkpoint", classes=classes or None, **of_spaces)
    random = space == "random"
    wanted = sorted(set(levels)) or ([0.5, 0.6, 0.7, 0.8, 0.9] if random else [0.05, 0.1, 0.2, 0.3, 0.5])
    known = (20 if random else 100) if train is None else train
    source = read_data(data, part)
    if classes:
        from genbounds.models.classes import of_classes

        source = of_classes(source, classes)
    out.mkdir(parents=True, exist_ok=True)  # before anything is measured
    with open_executor(workers, dask) as executor:
        run = {"seed": seed, "store": Store(out / "store"), "executor": executor, "progress": progress_wanted()}
        where = {"device": check_device(device), "dtype": dtype}
        if difficulty:
            found = _difficulty(source, eps, level, seed)
        elif model is None or checkpoint is None:
            how = {"train": known, "test": test, "levels": wanted, "draws": draws, "level": level, **run}
            found = _compared(source, space or "kernels", architectures, networks, fit, how, where)
        else:
            how = {"parts": parts, "levels": wanted, "scale": scale, "noise": noise or 0.0}
            how |= {"prefix": prefix, "entry": entry, "trust_pickle": trust_pickle, "confidence": level}
            if test_data is None and part == "train" and Path(data).is_dir():
                test_data = data
            other = None if test_data is None else read_data(test_data, "test")
            found = _at_checkpoint(model, checkpoint, source, other, (known, test), how | run | where)
    content = {"format": "genbounds inductive bias 1", "genbounds": __version__, "seed": seed, **found.content}
    text = dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    (out / "inductive_bias.json").write_text(text + "\n", encoding="utf-8")
    written = ["inductive_bias.json"]
    if found.axes is not None:
        written += [path.name for path in save_figure(found.axes, out / "inductive_bias")]
    if json:
        show_json(content)
    else:
        show(*found.shown, f"\nWritten to {out}: {', '.join(written)}")
    return OK


def _refuse(kind: str, **options: Any) -> None:
    """Refuse options that would be ignored."""
    given = [name for name, value in options.items() if value is not None]
    if given:
        raise ValueError(f"{given[0]} must be left out for {kind}, got {options[given[0]]}. It plays no part there.")


def _compared(
    source: "Data",
    space: str,
    chosen: tuple[str, ...],
    networks: int | None,
    fit: float | None,
    how: dict[str, Any],
    where: dict[str, Any],
) -> _Found:
    """Put architectures side by side."""
    from genbounds.inductive_bias import (
        compare_kernels,
        compare_random,
        compare_trained,
        known_kernels,
        known_networks,
    )
    from genbounds.report.inductive_bias import comparison_text, draw_curves, random_text

    if space != "trained":
        _refuse(f"space {space}", networks=networks)
    if space != "random":
        _refuse(f"space {space}", fit=fit)
    ((_, inputs, _),) = source.batches([0], 1)
    shape = tuple(inputs.shape[1:])
    content: dict[str, Any] = {"kind": "comparison", "space": space}
    if how["draws"] is None:
        how["draws"] = 5 if space == "kernels" else 1
    if space == "kernels":
        known = {name: kernel for name, kernel in known_kernels().items() if name != "cnn" or len(shape) == 3}
        comparison = compare_kernels(source, _architectures(chosen, known), **how)
        text = comparison_text(comparison)
    elif space == "trained":
        wanted = _architectures(chosen, known_networks(shape, source.classes))
        comparison = compare_trained(source, wanted, number=100 if networks is None else networks, **how, **where)
        text = comparison_text(comparison)
    else:
        small = known_networks(shape, source.classes, small=True)
        wanted = _architectures(chosen or tuple(name for name in small if name != "transformer"), small)
        sampled = compare_random(source, wanted, fit=0.5 if fit is None else fit, **how, **where)
        comparison, text = sampled.generalisation, random_text(sampled)
        content |= {"samplers": sampled.to_json(), "flag": sampled.flag}
    first, *others = comparison.averages
    content |= {
        "comparison": comparison.to_json(),
        "averages": {name: curve.to_json() for name, curve in comparison.averages.items()},
        "differences": [comparison.difference(name, first).to_json() for name in others],
    }
    constant = (1 - 1 / source.classes) / source.classes
    scale = f"--levels are shares of {constant:.4g}, the loss of the constant 1 / {source.classes}. "
    closing = f"{'' if space == 'trained' else scale}Nothing here is a bound on an error."
    return _Found(content, (text, f"\n{closing}"), draw_curves(comparison.averages, loss=comparison.loss))


def _architectures(chosen: tuple[str, ...], known: "Mapping[str, Architecture]") -> dict[str, "Architecture"]:
    """Find architectures by their names."""
    from genbounds.inductive_bias import Architecture

    wrong = [name for name in chosen if name not in known and ":" not in name]
    if wrong:
        raise ValueError(
            f"architectures must be {', '.join(known)} for these inputs, or package.module:callable, got {wrong[0]!r}."
        )
    found = {name.rpartition(":")[2]: known.get(name, Architecture(name)) for name in chosen or known}
    if chosen and len(found) < len(chosen):
        raise ValueError(f"architectures must have names of their own, got {', '.join(chosen)}. Rename a function.")
    return found


def _at_checkpoint(
    model: str,
    checkpoint: Path,
    source: "Data",
    other: "Data | None",
    numbers: tuple[int, int],
    how: dict[str, Any],
) -> _Found:
    """Measure at one checkpoint."""
    from genbounds.report.inductive_bias import checkpoint_text, draw_checkpoint
    from genbounds.workflow.inductive_bias import checkpoint_bias, drawn_examples

    known, fresh, split = drawn_examples(source, other, *numbers, seed=how["seed"])
    bias = checkpoint_bias(model, checkpoint, known, fresh, **how)
    content = {"kind": "checkpoint", "split": split, "measured": bias.to_json()}
    curves = bias.tangent is not None or bias.head is not None or bias.volume is not None
    text = (f"{split}.", checkpoint_text(bias), "\nNothing here is a bound on an error.")
    return _Found(content, text, draw_checkpoint(bias) if curves else None)


def _difficulty(source: "Data", eps: float, level: float, seed: int) -> _Found:
    """Evaluate the published formula on all of the data."""
    from genbounds.inductive_bias import task_difficulty

    ((_, inputs, targets),) = source.batches(range(len(source)), len(source))
    found = task_difficulty(inputs.numpy(), targets.numpy(), eps=eps, level=level, seed=seed)
    return _Found({"kind": "difficulty", "data": source.name, "difficulty": found.to_json()}, (str(found),), None)
