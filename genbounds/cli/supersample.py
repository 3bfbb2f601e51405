"""``genbounds supersample``."""

from json import dumps
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Group, Parameter

from genbounds.cli.console import Flag
from genbounds.cli.files import Part, read_data

__all__ = ["supersample"]

_DATA = Group("Data", sort_key=1)
_TRAINING = Group("Training", sort_key=2)
_EXPERIMENT = Group("Experiment", sort_key=3)
_RUN = Group("Run", sort_key=4)

#: The bound by predictions, whose growth is drawn.
_DRAWN = "information.harutyunyan"


def supersample(
    *,
    data: Annotated[str, Parameter(group=_DATA)] = "digits",
    part: Annotated[Part, Parameter(group=_DATA)] = "train",
    classes: Annotated[tuple[int, ...] | None, Parameter(group=_DATA, consume_multiple=True, negative="")] = None,
    label_noise: Annotated[float, Parameter(group=_DATA)] = 0.0,
    model: Annotated[str | None, Parameter(group=_TRAINING)] = None,
    train: Annotated[str | None, Parameter(group=_TRAINING)] = None,
    epochs: Annotated[int | None, Parameter(group=_TRAINING)] = None,
    batch_size: Annotated[int | None, Parameter(group=_TRAINING)] = None,
    optimiser: Annotated[Literal["adam", "sgd"] | None, Parameter(group=_TRAINING)] = None,
    learning_rate: Annotated[float | None, Parameter(group=_TRAINING)] = None,
    n: Annotated[int, Parameter(group=_EXPERIMENT)] = 75,
    supersamples: Annotated[int, Parameter(group=_EXPERIMENT)] = 5,
    masks: Annotated[int, Parameter(group=_EXPERIMENT)] = 30,
    delta: Annotated[float, Parameter(group=_EXPERIMENT)] = 0.05,
    together: Annotated[int, Parameter(group=_EXPERIMENT)] = 30,
    seed: Annotated[int, Parameter(group=_EXPERIMENT)] = 0,
    out: Annotated[Path, Parameter(group=_RUN)] = Path("supersamples"),
    record: Annotated[Path | None, Parameter(group=_RUN)] = None,
    workers: Annotated[int, Parameter(group=_RUN)] = 1,
    dask: Annotated[str | None, Parameter(group=_RUN)] = None,
    device: Annotated[str, Parameter(group=_RUN)] = "cpu",
    dtype: Annotated[Literal["float32", "float64"], Parameter(group=_RUN)] = "float32",
    json: Annotated[Flag, Parameter(group=_RUN)] = False,
) -> int:
    """Bound a training's generalization gap by what its predictions tell about the data it saw.

    Trains many networks, each on a random half of the same examples, and prints every bound of the family. The folder
    gets supersamples.npz (masks, predictions and losses, from which anyone computes the bounds again), family.json and
    a figure. Interrupted, the same command goes on where it stopped; with more masks it trains what is new. The
    certified limits hold for a number of masks that was settled beforehand, not for one at which they came out well.

    Parameters
    ----------
    data : str
        digits, a folder of IDX files (MNIST, Fashion-MNIST), an .npz file with x and y, or package.module:callable.
    part : str
        Part of a folder of IDX files.
    classes : tuple of int
        Classes to keep; if left out, 4 and 9 of digits, and all of other data.
    label_noise : float
        Probability with which a label is replaced by another class.
    model : str
        What builds the network, as package.module:callable or path/to/file.py:callable; by default one hidden layer of
        64 units. Its code is run.
    train : str
        Instead of a network, a function that trains one model at a time: inputs, targets, seed, device and dtype in, a
        function from inputs to class indices or scores out.
    epochs : int
        Passes over the examples.
    batch_size : int
        Examples a step.
    optimiser : str
        Which one.
    learning_rate : float
        Its rate.
    n : int
        Examples that each training sees; a supersample holds 2n.
    supersamples : int
        Supersamples.
    masks : int
        Trainings on each supersample; even, as masks come in pairs.
    delta : float
        Probability with which the certified limits may fail.
    together : int
        Trainings in a task; networks of one task are trained at once.
    seed : int
        Seed of everything.
    out : Path
        Folder to write to.
    record : Path
        A supersamples.npz to compute the bounds from; nothing is trained then, and of the other options only delta,
        seed, out and json count.
    workers : int
        Processes to train in.
    dask : str
        Address of a dask scheduler to train on instead.
    device : str
        Where networks are trained, such as cpu or cuda.
    dtype : str
        Type of their numbers.
    json : bool
        Print the family as JSON on standard output, and nothing else.

    Returns
    -------
    int
        Exit code.
    """
    from genbounds.cli.app import OK
    from genbounds.cli.console import progress_wanted, show, show_json
    from genbounds.cli.files import check_device
    from genbounds.information.estimation.family import family
    from genbounds.information.supersamples.records import Supersamples
    from genbounds.numerics import confidence
    from genbounds.report.curve import save_figure
    from genbounds.report.family import draw_growth, family_text

    confidence("delta", delta)  # before hours of training
    out.mkdir(parents=True, exist_ok=True)
    if record is not None:
        found = Supersamples.load(record)
    else:
        from genbounds.information.supersamples.experiment import supersample_experiment
        from genbounds.models.ensembles import EnsembleTraining
        from genbounds.sweeps import Store, open_executor

        settings: dict[str, Any] = {
            "epochs": epochs,
            "batch_size": batch_size,
            "optimiser": optimiser,
            "learning_rate": learning_rate,
        }
        given = {name: value for name, value in settings.items() if value is not None}
        with open_executor(workers, dask) as executor:
            found = supersample_experiment(
                read_data(data, part),
                n,
                supersamples=supersamples,
                masks=masks,
                classes=(4, 9) if classes is None and data == "digits" else classes,
                label_noise=label_noise,
                network=model,
                function=train,
                training=EnsembleTraining(**given) if given else None,
                together=together,
                seed=seed,
                device=check_device(device),
                dtype=dtype,
                store=Store(out / "store"),
                executor=executor,
                progress=progress_wanted(),
            )
        found.save(out / "supersamples.npz")
    told = family(
        found.masks,
        found.predictions,
        found.losses,
        delta,
        classes=found.provenance.get("classes"),
        design=found.provenance.get("design", "pairs"),
        seed=seed,
    )
    content = told.to_json() | {"provenance": dict(found.provenance)}
    text = dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    (out / "family.json").write_text(text + "\n", encoding="utf-8")
    figures = save_figure(draw_growth(told, _DRAWN), out / "growth")
    if json:
        show_json(content)
    else:
        written = ["family.json", *(path.name for path in figures)]
        show(
            family_text(told), f"\nWritten to {out}: {', '.join(written if record else ['supersamples.npz', *written])}"
        )
    return OK
