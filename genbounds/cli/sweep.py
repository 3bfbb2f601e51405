"""``genbounds sweep``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from genbounds.cli.console import Flag
from genbounds.cli.files import read_data

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["sweep"]

_MANY = {"consume_multiple": True, "negative": ""}


def sweep(
    *,
    data: str = "digits",
    test: int = 797,
    width: Annotated[tuple[int, ...], Parameter(**_MANY)] = (32, 128),
    depth: Annotated[tuple[int, ...], Parameter(**_MANY)] = (1, 2, 3),
    rate: Annotated[tuple[float, ...], Parameter(**_MANY)] = (0.02, 0.1),
    batch_size: Annotated[tuple[int, ...], Parameter(**_MANY)] = (16, 64),
    examples: Annotated[tuple[int, ...], Parameter(**_MANY)] = (250, 500, 1000),
    label_noise: Annotated[tuple[float, ...], Parameter(**_MANY)] = (0.0,),
    repetitions: int = 3,
    epochs: int = 60,
    sharpness: Annotated[bool, Parameter(negative="")] = False,
    out: Path = Path("sweep"),
    workers: int = 1,
    cluster: str | None = None,
    seed: int = 0,
    json: Flag = False,
) -> int:
    """Train small networks over a grid of hyper-parameters and measure each: the runs behind a ranking.

    ReLU networks, SGD with momentum until the training loss is 0.05. The folder gets runs.csv, a line for each network
    that fitted, configurations.csv, the means over repetitions for `genbounds rank`, and store, from which a killed
    sweep, started again, goes on.

    Parameters
    ----------
    data : str
        Examples: digits, a folder of IDX files, an .npz file with x and y, or package.module:callable.
    test : int
        Examples set aside, on which the test error is computed.
    width : tuple of int
        Units of each hidden layer.
    depth : tuple of int
        Hidden layers.
    rate : tuple of float
        Learning rates.
    batch_size : tuple of int
        Examples in a batch.
    examples : tuple of int
        Training examples.
    label_noise : tuple of float
        Shares of training examples that get another class than their own.
    repetitions : int
        Networks for each configuration, with other weights, batches and training examples.
    epochs : int
        Most passes of each training.
    sharpness : bool
        Measure sharpness too: several hundred passes for each network.
    out : Path
        Folder to write to.
    workers : int
        Processes on this machine.
    cluster : str
        Address of a dask scheduler, whose workers are used instead.
    seed : int
        Seed of the choice of test examples.
    json : bool
        Print counts and files as JSON on standard output, and nothing else.

    Returns
    -------
    int
        Exit code.

    Raises
    ------
    ValueError
        If fewer than 2 examples are left for training, or no configuration fitted in all repetitions.
    """
    import csv

    import numpy as np

    from genbounds.cli.app import OK
    from genbounds.cli.console import show, show_json
    from genbounds.measures.experiments import average_repetitions, run_grid
    from genbounds.sweeps import Store, open_executor

    source = read_data(data, "all")
    if not 1 <= test <= len(source) - 2:
        raise ValueError(f"test must leave 2 of the {len(source)} examples for training, got {test}. Take fewer.")
    order = np.random.default_rng(seed).permutation(len(source))
    parts = {"": order[test:], "test_": order[:test]}
    arrays: dict[str, NDArray[Any]] = {}
    for prefix, indices in parts.items():
        ((_, inputs, targets),) = source.batches(indices, len(indices))
        arrays |= {f"{prefix}inputs": inputs.float().flatten(1).numpy(), f"{prefix}targets": targets.numpy()}
    axes = {
        "width": width,
        "depth": depth,
        "rate": rate,
        "batch_size": batch_size,
        "examples": examples,
        "label_noise": label_noise,
        "repetition": tuple(range(repetitions)),
    }
    out.mkdir(parents=True, exist_ok=True)
    with open_executor(workers, cluster) as executor:
        table, missed = run_grid(
            axes, arrays, epochs=epochs, sharpness=sharpness, store=Store(out / "store"), executor=executor
        )
    grid = [name for name in axes if name != "repetition"]
    means = average_repetitions(table, grid, repetitions)
    if not means["width"]:
        raise ValueError("epochs must allow some configuration to fit in all repetitions, got none. Allow more.")
    for name, columns in (("runs", table), ("configurations", means)):
        with (out / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(columns)
            writer.writerows(zip(*columns.values(), strict=True))
    networks = missed + len(table["width"])
    varied = [name for name in grid if len(set(means[name])) > 1]
    counts = {"networks": networks, "missed": missed, "configurations": len(means["width"]), "axes": varied}
    if json:
        show_json(counts | {"folder": str(out)})
    else:
        some = ("path_norm", "log_prod_of_spec", "fisher_rao", "margin", "adaptive_worst_sharpness", "noise_radius")
        options = ["--axes", *varied, *(["--size", "examples"] if "examples" in varied else [])]
        options += ["--training-loss", "training_loss", "--measures", *(name for name in some if name in means)]
        hint = f"\nRank measures, such as these, by:\ngenbounds rank {out / 'configurations.csv'} {' '.join(options)}"
        show(
            f"{networks} networks, {missed} did not fit and are no row; {len(means['width'])} configurations fitted in "
            f"all of {repetitions} repetitions.\nWritten to {out}: runs.csv, configurations.csv, store."
            f"{hint if varied else ''}"
        )
    return OK
