"""``genbounds falsify``."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from genbounds.cli.console import Flag
from genbounds.cli.files import read_data

__all__ = ["falsify"]


def falsify(
    checkpoint: Path,
    /,
    *,
    model: str,
    data: str,
    sample: Path | None = None,
    measure: str | None = None,
    bound: Annotated[bool, Parameter(negative="")] = False,
    prefix: str = "",
    entry: str = "",
    trust_pickle: Annotated[bool, Parameter(negative="")] = False,
    out: Path = Path("falsify"),
    device: str = "cpu",
    dtype: Literal["float32", "float64", "bfloat16", "float16"] = "float32",
    seed: int = 0,
    json: Flag = False,
) -> int:
    """Show which true errors are consistent with the very input of a bound or a measure.

    The function sees the sample and the network. Outside of the sample labels may be anything: the same value then
    stands for every error in an interval. The folder gets falsification.json and a figure.

    Parameters
    ----------
    checkpoint : Path
        File of weights.
    model : str
        What builds the network, as package.module:callable or path/to/file.py:callable. Its code is run.
    data : str
        The sample and other examples: digits, a folder of IDX files, an .npz file with x and y, or
        package.module:callable.
    sample : Path
        JSON file with the list of the indices that were trained on; by default the part of the data named train.
    measure : str
        A bound or measure of your own, named like the network: a function of model, inputs and targets that returns a
        number or numbers by name. By default the package's measures.
    bound : bool
        Your function claims to be an upper bound on the error: say where it is below.
    prefix : str
        Prefix of the names of the weights in the file.
    entry : str
        Entry of the file that holds the weights, where it is not "state_dict".
    trust_pickle : bool
        Read a file that executes code when it is read. Only for files that you made.
    out : Path
        Folder to write to.
    device : str
        Where the network is evaluated, such as cpu or cuda.
    dtype : str
        Type of the network's numbers.
    seed : int
        Seed of random labels.
    json : bool
        Print the record as JSON on standard output, and nothing else.

    Returns
    -------
    int
        Exit code.

    Raises
    ------
    ValueError
        If the data have no part named train and no sample is given, or it is no list of whole numbers.
    """
    from json import dumps, loads

    import torch

    from genbounds.cli.app import OK
    from genbounds.cli.console import progress_wanted, show, show_json
    from genbounds.cli.files import check_device
    from genbounds.measures.falsification import falsify as falsified
    from genbounds.measures.functions import own_measures
    from genbounds.models.checkpoint import load_checkpoint
    from genbounds.models.factory import build_model, load_factory
    from genbounds.models.state import apply_state
    from genbounds.report.falsification import draw_falsification, falsification_text

    examples = read_data(data, "all")
    if sample is not None:
        indices = loads(sample.read_text(encoding="utf-8"))
        if not isinstance(indices, list) or not all(type(index) is int for index in indices):
            raise ValueError(f"sample must hold a list of indices, such as [0, 1, 2], got {sample.name}. Write one.")
    elif "train" in examples.parts:
        indices = list(examples.parts["train"])
    else:
        raise ValueError(f"{examples.name} must come with the indices that were trained on. Name a file by --sample.")
    network = build_model(model)
    apply_state(network, load_checkpoint(checkpoint, prefix=prefix, entry=entry, trust_pickle=trust_pickle).state)
    kind = getattr(torch, dtype)
    found = falsified(
        network.eval().to(check_device(device), kind),
        examples,
        indices,
        own_measures if measure is None else load_factory(measure),
        device=device,
        dtype=kind,
        seed=seed,
        progress=progress_wanted(),
    )
    content = found.to_json()
    out.mkdir(parents=True, exist_ok=True)
    text = dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    (out / "falsification.json").write_text(text + "\n", encoding="utf-8")
    figure = draw_falsification(found, bound=bound)
    for ending in ("png", "svg"):
        figure.savefig(out / f"falsification.{ending}", dpi=160)
    if json:
        show_json(content)
    else:
        show(
            falsification_text(found, bound=bound),
            f"\nWritten to {out}: falsification.json, falsification.png, falsification.svg",
        )
    return OK
