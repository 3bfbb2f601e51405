"""``genbounds pathways``."""

from json import dumps, loads
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Group, Parameter

from genbounds.cli.console import Flag
from genbounds.cli.files import Part, read_data

if TYPE_CHECKING:
    from collections.abc import Sequence

    from genbounds.pathways.routing import Routing

__all__ = ["pathways"]

_CHECKPOINTS = Group("Checkpoints of your own network", sort_key=1)
_FOLDERS = Group("Hugging Face models instead", sort_key=2)
_SNAPSHOTS = Group("What was captured before instead", sort_key=3)
_CAPTURE = Group("Capture", sort_key=4)
_MEASUREMENT = Group("Measurement", sort_key=5)
_RUN = Group("Run", sort_key=6)
_MANY = {"consume_multiple": True, "negative": "", "show_default": False}


def pathways(
    *,
    model: Annotated[str | None, Parameter(group=_CHECKPOINTS)] = None,
    checkpoints: Annotated[tuple[Path, ...], Parameter(group=_CHECKPOINTS, **_MANY)] = (),
    prefix: Annotated[str, Parameter(group=_CHECKPOINTS)] = "",
    entry: Annotated[str, Parameter(group=_CHECKPOINTS)] = "",
    trust_pickle: Annotated[Flag, Parameter(group=_CHECKPOINTS)] = False,
    data: Annotated[str | None, Parameter(group=_CHECKPOINTS)] = None,
    part: Annotated[Part, Parameter(group=_CHECKPOINTS)] = "test",
    models: Annotated[tuple[str, ...], Parameter(group=_FOLDERS, **_MANY)] = (),
    texts: Annotated[Path | None, Parameter(group=_FOLDERS)] = None,
    column: Annotated[str, Parameter(group=_FOLDERS)] = "text",
    longest: Annotated[int, Parameter(group=_FOLDERS)] = 512,
    snapshots: Annotated[tuple[Path, ...], Parameter(group=_SNAPSHOTS, **_MANY)] = (),
    routers: Annotated[tuple[str, ...], Parameter(group=_CAPTURE, **_MANY)] = (),
    top_k: Annotated[int | None, Parameter(group=_CAPTURE)] = None,
    positions: Annotated[Literal["all", "last"], Parameter(group=_CAPTURE)] = "all",
    batch_size: Annotated[int, Parameter(group=_CAPTURE)] = 32,
    groups: Annotated[str | None, Parameter(group=_MEASUREMENT)] = None,
    rule: Annotated[Literal["cumulative", "top"], Parameter(group=_MEASUREMENT)] = "cumulative",
    tau: Annotated[float, Parameter(group=_MEASUREMENT)] = 0.7,
    k: Annotated[int, Parameter(group=_MEASUREMENT)] = 1,
    metric: Annotated[
        Literal["layers", "concatenated", "literal", "hamming", "jaccard"], Parameter(group=_MEASUREMENT)
    ] = "layers",
    normalise: Annotated[Literal["yujian_bo", "max"] | None, Parameter(group=_MEASUREMENT)] = None,
    pairs: Annotated[int | None, Parameter(group=_MEASUREMENT)] = None,
    shuffles: Annotated[int, Parameter(group=_MEASUREMENT)] = 99,
    permutations: Annotated[int, Parameter(group=_MEASUREMENT)] = 999,
    level: Annotated[float, Parameter(group=_MEASUREMENT)] = 0.95,
    out: Annotated[Path, Parameter(group=_RUN)] = Path("pathways"),
    device: Annotated[str, Parameter(group=_RUN)] = "cpu",
    dtype: Annotated[Literal["float32", "float64", "bfloat16", "float16"], Parameter(group=_RUN)] = "float32",
    seed: Annotated[int, Parameter(group=_RUN)] = 0,
    json: Annotated[Flag, Parameter(group=_RUN)] = False,
) -> int:
    """Measure the routes that inputs take through a mixture of experts, along the checkpoints of its training.

    Distances between the paths of samples with their nulls, what groups of samples share, how erratically single
    samples are routed, entropy, load and saturation of the routers. Without arguments it first trains a small mixture
    of experts that memorises sums and later learns to add (a minute and a half), and measures that. The
    folder gets pathways.json, a figure, report.html, and snapshots of the routing, from which everything can be
    measured again without the model. Everything here is a measurement or an estimate, and nothing a bound or a
    prediction.

    Parameters
    ----------
    model : str
        What builds the network, as package.module:callable or path/to/file.py:callable. Its code is run.
    checkpoints : tuple of Path
        Files of weights in the order of training, or a folder with them: there by name, step 2 before step 10. Epochs
        and steps are read from names such as step=200.pt, or from entries beside the weights. One file gives a table of
        its layers.
    prefix : str
        Prefix of the names of the weights in the files, such as "model." in Lightning's.
    entry : str
        Entry of the files that holds the weights, such as "model", where it is not "state_dict".
    trust_pickle : bool
        Read files that execute code when they are read. Only for files that you made.
    data : str
        What to route: digits, a folder of IDX files (MNIST, Fashion-MNIST), an .npz file with x and y, or
        package.module:callable.
    part : str
        Part of a folder of IDX files.
    models : tuple of str
        Folders that save_pretrained wrote, in the order of training; or one with checkpoint-500, checkpoint-1000, ...
        in it; or repository@revision of models that were downloaded before. Nothing is downloaded, and no code in them
        is run.
    texts : Path
        Texts to route: a file with one on each line, or .csv, .tsv or .jsonl with other columns besides.
    column : str
        Column or key of the texts.
    longest : int
        Most tokens of a text; what goes beyond is cut off.
    snapshots : tuple of Path
        Snapshots (.npz) in the order of training, or a folder of them, from this command, a monitor or Routing.save.
        Neither the model nor torch is needed.
    routers : tuple of str
        Names or patterns of the modules that route, such as "blocks.*.gate". By default they are found.
    top_k : int
        Executed experts of a token, for routers that return logits alone.
    positions : str
        Which tokens of a sample count: all that are no padding, or the last.
    batch_size : int
        Samples at a time.
    groups : str
        Which samples belong together: a column of the texts, or targets, the classes of the data (their default); none
        for no groups. Snapshots come with those that they were captured with.
    rule : str
        How paths are made: cumulative takes the largest mean gates until their sum exceeds tau, top the k largest.
    tau : float
        Threshold of cumulative paths.
    k : int
        Experts of top paths.
    metric : str
        Distance between paths: summed over layers (edits of lists of experts), edits of the layers' lists one after the
        other, edits of the literal string of the published definition, Hamming's, Jaccard's of sets.
    normalise : str
        Division by length; the one by the larger length is no metric.
    pairs : int
        Pairs of samples to draw; all if left out.
    shuffles : int
        Shuffles of the layers, for the nulls.
    permutations : int
        Permutations of the groups, for p-values.
    level : float
        Nominal confidence of the intervals.
    out : Path
        Folder to write to.
    device : str
        Where the network is evaluated, such as cpu or cuda.
    dtype : str
        Type of the network's numbers.
    seed : int
        Seed of everything drawn; the demonstration has its own.
    json : bool
        Print the series as JSON on standard output, and nothing else.

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
    from genbounds.cli.console import show, show_json
    from genbounds.numerics import confidence
    from genbounds.numerics.checks import count
    from genbounds.pathways.training.series_records import series_of
    from genbounds.pathways.usage.coactivation import coactivation
    from genbounds.report.measurement_page import measurement_html
    from genbounds.report.pathway_series import draw_pathway_series, pathway_series_text
    from genbounds.report.pathways import pathways_text

    confidence("level", level)  # before anything takes long
    confidence("tau", tau)
    count("k", k)
    count("shuffles", shuffles, minimum=0)
    count("permutations", permutations, minimum=0)
    count("pairs", 1 if pairs is None else pairs)
    own = _together(model=model, checkpoints=checkpoints or None, data=data)
    folders = _together(models=models or None, texts=texts)
    sources = [name for name, given in {"model": own, "models": folders, "snapshots": snapshots}.items() if given]
    if len(sources) > 1:
        raise ValueError(f"{' and '.join(sources)} must not come together, got both. Give one of them.")
    if snapshots:
        routings, labels = _read(snapshots, groups)
    else:
        how = {"routers": list(routers) or None, "top_k": top_k, "positions": positions, "batch_size": batch_size}
        if folders and texts is not None:
            moments, inputs, labels = _texts(models, texts, column, longest, groups, device, dtype)
            evaluate: Any = "next_token"
        else:
            network = model, checkpoints, data, part
            moments, inputs, labels = _network(own, network, (prefix, entry, trust_pickle), groups, out)
            from genbounds.workflow.pathways_demo import classification as evaluate

            how |= _place(device, dtype)
        routings = _captured(moments, inputs, labels, out, {"evaluate": evaluate, **how})
    series = series_of(
        routings,
        groups=labels,
        paths=rule,
        tau=tau,
        k=k,
        metric=metric,
        normalise=normalise,
        pairs=pairs,
        shuffles=shuffles,
        permutations=permutations,
        level=level,
        seed=seed,
    )
    accurate = all("correct" in routing.values for routing in routings)
    correlations = series.correlations() if accurate and len(routings) > 2 else {}
    content = series.to_json() | {"correlations": {name: each.to_json() for name, each in correlations.items()}}
    out.mkdir(parents=True, exist_ok=True)
    text = dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    (out / "pathways.json").write_text(text + "\n", encoding="utf-8")
    written, drawn = ["pathways.json"], {}
    if len(routings) > 1:
        figure = draw_pathway_series(series)
        for ending in ("png", "svg"):
            figure.savefig(out / f"pathways.{ending}", dpi=160)
            written.append(f"pathways.{ending}")
        drawn["Pathways along the training"] = (out / "pathways.svg").read_text(encoding="utf-8")
        shown = pathway_series_text(series, correlations)
    else:
        paired = all(layer.pair_counts is not None for layer in routings[0].layers)
        shown = pathways_text(series.points[0].record, coactivation(routings[0]) if paired else None)
    (out / "report.html").write_text(measurement_html("Routes of inputs", shown, figures=drawn), encoding="utf-8")
    written.append("report.html")
    if json:
        show_json(content)
    else:
        show(shown, f"\nWritten to {out}: {', '.join(written + ['snapshots'] * (not snapshots))}")
    return OK


def _read(sources: "Sequence[Path]", groups: str | None) -> tuple[list["Routing"], list[Any] | None]:
    """Read snapshots, and the groups beside them."""
    from dataclasses import replace

    from genbounds.models.training.checkpoint_files import natural_order
    from genbounds.models.training.measured import in_order
    from genbounds.pathways.routing import read_routing

    if groups not in {None, "none"}:
        raise ValueError(f"groups must be left out or none for snapshots, got {groups!r}. They come with their own.")
    routings: list[Routing] = []
    for source in sources:
        files = source.glob("*.npz") if source.is_dir() else [source]
        read = [(file, read_routing(file)) for file in files]
        if not read:
            raise ValueError(f"snapshots must be .npz files or hold some, got {str(source)!r} without any.")
        named = [routing if routing.name else replace(routing, name=file.stem) for file, routing in read]
        found = in_order(sorted(named, key=lambda routing: natural_order(routing.name)))
        if len(found) < len(named):
            raise ValueError(
                f"snapshots must be of one capture, got several of the same moment in {source.name}. Name the files "
                "that belong together, in their order."
            )
        routings += found
    if len({(len(routing), tuple(layer.name for layer in routing.layers)) for routing in routings}) > 1:
        raise ValueError(
            "snapshots must be of one network on the same samples, got others beside them. Name the files that belong "
            "together."
        )
    beside = (sources[0] if sources[0].is_dir() else sources[0].parent) / "groups.json"
    if groups is not None or not beside.is_file():
        return routings, None
    try:
        return routings, loads(beside.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(
            f"groups.json beside the snapshots must be a JSON list of labels, got {error}. Capture again, or pass "
            "--groups none."
        ) from error


def _texts(
    models: "Sequence[str]",
    texts: Path,
    column: str,
    longest: int,
    groups: str | None,
    device: str,
    dtype: str,
) -> tuple[Any, Any, list[Any] | None]:
    """Find models of Hugging Face, and turn texts into their inputs."""
    import torch

    from genbounds.cli.console import progress_wanted
    from genbounds.cli.files import check_device
    from genbounds.pathways.capture.folders import model_folders, moments_of_folders, read_texts, text_data

    read = read_texts(texts, column)
    if groups not in {None, "none", *read.columns}:
        known = ", ".join(read.columns) or "no other column"
        raise ValueError(f"groups must be a column of {texts.name}, got {groups!r} where there is {known}. Name one.")
    labels = None if groups in {None, "none"} else list(read.columns[str(groups)])
    folders = model_folders(models)
    bar = "models" if progress_wanted() else ""
    moments = moments_of_folders(folders, device=check_device(device), dtype=getattr(torch, dtype), progress=bar)
    return moments, text_data(folders[0][1], read.texts, longest=longest), labels


def _network(
    own: dict[str, Any],
    sources: tuple[str | None, tuple[Path, ...], str | None, Part],
    files: tuple[str, str, bool],
    groups: str | None,
    out: Path,
) -> tuple[Any, Any, list[Any] | None]:
    """Find checkpoints and data, or train the demonstration's."""
    from genbounds.cli.console import progress_wanted, status
    from genbounds.models.blocks import Blocks
    from genbounds.models.training.series import moments_of_training

    model, checkpoints, data, part = sources
    prefix, entry, trust_pickle = files
    build: Any = model
    inputs: Any
    if groups not in {None, "none", "targets"}:
        raise ValueError(f"groups must be targets or none for data, got {groups!r}. Columns are for texts.")
    if own and data is not None:
        inputs = read_data(data, part)
    else:
        from genbounds.pathways.grokking.mixture import Mixture
        from genbounds.workflow.pathways_demo import train_addition

        status("Training a small mixture of experts on sums mod 59: a minute and a half.")
        training = train_addition(out / "checkpoints", progress=progress_wanted())
        build, checkpoints, inputs = Mixture, training.checkpoints, training.test
    labels: list[Any] | None = None
    if groups != "none":
        targets = [target for block in Blocks(inputs, 1024) for target in block.targets.tolist()]
        if all(type(target) is int for target in targets):
            labels = targets
        elif groups == "targets":
            raise ValueError("groups must be none where targets are no classes, got targets. Leave the option out.")
    bar = "checkpoints" if progress_wanted() else ""
    moments = moments_of_training(
        build, checkpoints, prefix=prefix, entry=entry, trust_pickle=trust_pickle, progress=bar
    )
    return moments, inputs, labels


def _place(device: str, dtype: str) -> dict[str, Any]:
    """Return where to evaluate a network and in which numbers."""
    import torch

    from genbounds.cli.files import check_device

    return {"device": check_device(device), "dtype": getattr(torch, dtype)}


def _captured(
    moments: Any, inputs: Any, labels: list[Any] | None, out: Path, options: dict[str, Any]
) -> list["Routing"]:
    """Capture, or read what was captured before; keep the groups beside it."""
    from genbounds.pathways.training.snapshots import Snapshots

    folder = out / "snapshots"
    folder.mkdir(parents=True, exist_ok=True)  # before anything is captured
    (folder / "groups.json").unlink(missing_ok=True)
    if labels is not None:
        (folder / "groups.json").write_text(dumps(labels, ensure_ascii=False), encoding="utf-8")
    kept = Snapshots(inputs, folder, **options)
    return [kept.at(moment.network, moment.name, epoch=moment.epoch, step=moment.step) for moment in moments]


def _together(**options: Any) -> dict[str, Any]:
    """Return options that make sense together only: all of them, or none."""
    given = {name: value for name, value in options.items() if value is not None}
    if given and len(given) < len(options):
        raise ValueError(f"{', '.join(options)} must come together, got {', '.join(given)} alone. Give all, or none.")
    return given
