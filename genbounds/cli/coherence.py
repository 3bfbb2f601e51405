"""``genbounds coherence``."""

from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Group, Parameter

from genbounds.cli.console import Flag
from genbounds.cli.files import Part, read_data

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from genbounds.coherence.training.series_records import CoherenceSeries

__all__ = ["coherence"]

_TRAINING = Group("Training", sort_key=1)
_DATA = Group("Data", sort_key=2)
_MEASUREMENT = Group("Measurement", sort_key=3)
_STABILITY = Group("Stability diagnostic", sort_key=4)
_RUN = Group("Run", sort_key=5)
_CHECKPOINTS = Parameter(group=_TRAINING, consume_multiple=True, negative="", show_default=False)


def coherence(
    *,
    model: Annotated[str | None, Parameter(group=_TRAINING)] = None,
    checkpoints: Annotated[tuple[Path, ...], _CHECKPOINTS] = (),
    prefix: Annotated[str, Parameter(group=_TRAINING)] = "",
    entry: Annotated[str, Parameter(group=_TRAINING)] = "",
    trust_pickle: Annotated[Flag, Parameter(group=_TRAINING)] = False,
    record: Annotated[Path | None, Parameter(group=_TRAINING)] = None,
    data: Annotated[str, Parameter(group=_DATA)] = "digits",
    part: Annotated[Part, Parameter(group=_DATA)] = "train",
    second_data: Annotated[str | None, Parameter(group=_DATA)] = None,
    second_part: Annotated[Part, Parameter(group=_DATA)] = "test",
    loss: Annotated[str, Parameter(group=_MEASUREMENT)] = "cross_entropy",
    level: Annotated[float, Parameter(group=_MEASUREMENT)] = 0.95,
    null_draws: Annotated[int | None, Parameter(group=_MEASUREMENT)] = None,
    batch_size: Annotated[int, Parameter(group=_MEASUREMENT)] = 256,
    step_size: Annotated[float | None, Parameter(group=_STABILITY)] = None,
    smoothness: Annotated[float | None, Parameter(group=_STABILITY)] = None,
    lipschitz: Annotated[float | None, Parameter(group=_STABILITY)] = None,
    convex: Annotated[Flag, Parameter(group=_STABILITY)] = False,
    out: Annotated[Path, Parameter(group=_RUN)] = Path("coherence"),
    device: Annotated[str, Parameter(group=_RUN)] = "cpu",
    dtype: Annotated[Literal["float32", "float64"], Parameter(group=_RUN)] = "float32",
    seed: Annotated[int, Parameter(group=_RUN)] = 0,
    json: Annotated[Flag, Parameter(group=_RUN)] = False,
) -> int:
    """Measure how far the gradients of single examples agree, along the checkpoints of a training.

    Exact on the whole data set, by layer, with intervals. Without a model it trains the demonstration's network on
    handwritten digits first (seconds) and measures that. The folder gets coherence.json, coherence.jsonl (one line for
    each checkpoint; what it holds is not measured again), a figure and report.html. Everything here is a
    measurement or an estimate, and nothing a bound.

    Parameters
    ----------
    model : str
        What builds the network, as package.module:callable or path/to/file.py:callable. Its code is run.
    checkpoints : tuple of Path
        Files of weights in the order of training, or a folder with them: there by name, epoch 2 before epoch 10. Epochs
        and steps are read from names such as epoch=2-step=60.pt, or from entries beside the weights, as they are:
        Lightning's first epoch is 0. One file gives table and figure of one network.
    prefix : str
        Prefix of the names of the weights in the files, such as "model." in Lightning's.
    entry : str
        Entry of the files that holds the weights, such as "model", where it is not "state_dict".
    trust_pickle : bool
        Read files that execute code when they are read. Only for files that you made.
    record : Path
        File of JSON lines that a monitor or this command wrote, to show again; nothing is measured then. Of several
        settings in it the last ones are shown.
    data : str
        digits, a folder of IDX files (MNIST, Fashion-MNIST), an .npz file with x and y, or package.module:callable.
    part : str
        Part of a folder of IDX files.
    second_data : str
        Other examples, such as test data: does their average gradient point the same way?
    second_part : str
        Part of a folder of IDX files, for those.
    loss : str
        Name in torch.nn.functional, such as cross_entropy or nll_loss, or package.module:callable: of a batch's outputs
        and targets, without weight decay or any other regulariser.
    level : float
        Nominal confidence of the intervals.
    null_draws : int
        Patterns of random signs for a test against no coherence, 19 for p-values down to 0.05; each costs about a
        backward pass. If left out, none, and 19 for the digits of the demonstration.
    batch_size : int
        Examples at a time.
    step_size : float
        Step size of the training, for the stability diagnostic; it needs smoothness and lipschitz too, and checkpoints
        whose steps are known, from the initial weights on.
    smoothness : float
        Smoothness of every example's loss, as you claim it.
    lipschitz : float
        Lipschitz constant of every example's loss, as you claim it.
    convex : bool
        Claim that every example's loss is convex; with the three numbers above.
    out : Path
        Folder to write to.
    device : str
        Where to measure, such as cpu or cuda.
    dtype : str
        Type of the network's numbers.
    seed : int
        Seed of the random signs, and of the demonstration.
    json : bool
        Print the series as JSON on standard output, and nothing else.

    Returns
    -------
    int
        Exit code.

    Raises
    ------
    ValueError
        If convexity is claimed without the other numbers of the diagnostic.
    """
    from genbounds.cli.app import OK
    from genbounds.cli.console import show, show_json
    from genbounds.coherence.training.series_records import read_series
    from genbounds.report.coherence import coherence_text, draw_coherence
    from genbounds.report.coherence_series import coherence_series_text, draw_coherence_series
    from genbounds.report.curve import save_figure
    from genbounds.report.measurement_page import measurement_html

    claims = _together(step_size=step_size, smoothness=smoothness, lipschitz=lipschitz)
    if convex and not claims:
        raise ValueError("convex must come with step_size, smoothness and lipschitz, got it alone. Give them too.")
    if record is not None:
        series = read_series(record)
    else:
        settings: dict[str, Any] = {"level": level, "batch_size": batch_size, "seed": seed}
        own = {"data": data} if data != "digits" else {}
        own |= {"second_data": second_data} if second_data is not None else {}
        if _together(model=model, checkpoints=checkpoints or None, **own):
            sources: tuple[Any, ...] = (model, checkpoints, _loss(loss), read_data(data, part))
            settings |= {"prefix": prefix, "entry": entry, "trust_pickle": trust_pickle, "null_draws": null_draws or 0}
            settings["second"] = None if second_data is None else read_data(second_data, second_part)
        else:
            from genbounds.workflow.coherence_demo import train_digits
            from genbounds.workflow.demo import NETWORK

            training = train_digits(out / "checkpoints", seed=seed)
            sources = (NETWORK, training.checkpoints, _loss(loss), training.train)
            settings |= {"null_draws": 19 if null_draws is None else null_draws, "second": training.test}
        series = _measured(sources, out, device, dtype, settings)
    stability = series.stability(**claims, convex=convex) if claims else ()
    content = series.to_json() | {"stability": [each.to_json() for each in stability]}
    out.mkdir(parents=True, exist_ok=True)
    text = dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    (out / "coherence.json").write_text(text + "\n", encoding="utf-8")
    written = ["coherence.json"] if record is not None else ["coherence.json", "coherence.jsonl"]
    if len(series.points) > 1:
        shown, axes = coherence_series_text(series, stability), draw_coherence_series(series).axes[0]
    else:
        shown, axes = coherence_text(series.points[0].record), draw_coherence(series.points[0].record)
    png, svg = save_figure(axes, out / "coherence")
    drawn = {"Coherence": svg.read_text(encoding="utf-8")}
    (out / "report.html").write_text(measurement_html("Coherence of gradients", shown, figures=drawn), encoding="utf-8")
    written += [png.name, svg.name, "report.html"]
    if json:
        show_json(content)
    else:
        show(shown, f"\nWritten to {out}: {', '.join(written)}")
    return OK


def _measured(
    sources: tuple[Any, ...], out: Path, device: str, dtype: str, settings: dict[str, Any]
) -> "CoherenceSeries":
    """Measure, or read what was measured before."""
    import torch

    from genbounds.cli.console import progress_wanted
    from genbounds.cli.files import check_device
    from genbounds.coherence.training.series import coherence_series

    out.mkdir(parents=True, exist_ok=True)  # before anything is measured
    return coherence_series(
        *sources,
        path=out / "coherence.jsonl",
        progress=progress_wanted(),
        device=check_device(device),
        dtype=getattr(torch, dtype),
        **settings,
    )


def _together(**options: Any) -> dict[str, Any]:
    """Return options that make sense together only: all of them, or none."""
    given = {name: value for name, value in options.items() if value is not None}
    if given and len(given) < len(options):
        raise ValueError(f"{', '.join(options)} must come together, got {', '.join(given)} alone. Give all, or none.")
    return given


def _loss(name: str) -> "Callable[..., Tensor]":
    """Find a loss by its name."""
    from inspect import signature

    from torch.nn import functional

    from genbounds.models.factory import load_factory

    if ":" in name:
        return load_factory(name)
    found: Any = getattr(functional, name, None)
    # Losses take input and target; what else is in there does not.
    if getattr(found, "__module__", "") != functional.__name__ or list(signature(found).parameters)[1:2] != ["target"]:
        raise ValueError(
            f"loss must be a loss of torch.nn.functional or package.module:callable, got {name!r}. Try cross_entropy."
        )
    return found
