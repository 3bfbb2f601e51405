"""``genbounds measure``."""

from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from genbounds.cli.console import Flag
from genbounds.cli.files import Part, read_data

__all__ = ["measure"]


def measure(
    checkpoint: Path,
    /,
    *,
    model: str | None = None,
    initial: Path | None = None,
    data: str | None = None,
    part: Part = "train",
    sharpness: Annotated[bool, Parameter(negative="")] = False,
    shuffles: int = 0,
    prefix: str = "",
    entry: str = "",
    trust_pickle: Annotated[bool, Parameter(negative="")] = False,
    out: Path = Path("measures.json"),
    device: str = "cpu",
    dtype: Literal["float32", "float64", "bfloat16", "float16"] = "float32",
    seed: int = 0,
    json: Flag = False,
) -> int:
    """Measure a checkpoint: norms and spectra of weights, and with a network and data outputs and sharpness.

    A measure may predict the error of a network and proves nothing. What does not apply is refused with its reason.

    Parameters
    ----------
    checkpoint : Path
        File of weights; alone it is enough for norms and spectra.
    model : str
        What builds the network, as package.module:callable or path/to/file.py:callable. Its code is run. With it layers
        are known for what they are: gates and projections apart, transposed convolutions the right way round.
    initial : Path
        Checkpoint from before training, for distances.
    data : str
        Training examples, for margin, outputs and sharpness: digits, a folder of IDX files, an .npz file with x and y,
        or package.module:callable. Needs --model.
    part : str
        Part of a folder of IDX files.
    sharpness : bool
        Measure sharpness too: several hundred passes over the data.
    shuffles : int
        Permutations of each matrix's entries to compare its spectrum with, none or at least 2.
    prefix : str
        Prefix of the names of the weights in the files, such as "model." in Lightning's.
    entry : str
        Entry of the files that holds the weights, such as "model", where it is not "state_dict".
    trust_pickle : bool
        Read files that execute code when they are read. Only for files that you made.
    out : Path
        JSON file to write to; the page about it is written beside it, under the same name ending in .html.
    device : str
        Where the network is evaluated, such as cpu or cuda.
    dtype : str
        Type of the network's numbers.
    seed : int
        Seed of everything drawn.
    json : bool
        Print the record as JSON on standard output, and nothing else.

    Returns
    -------
    int
        Exit code.

    Raises
    ------
    ValueError
        If data come without a model, or the file would have the name of the page.
    """
    import torch

    from genbounds.cli.app import OK
    from genbounds.cli.console import progress_wanted, show, show_json
    from genbounds.cli.files import check_device
    from genbounds.measures.measurement import measure_network
    from genbounds.models.checkpoint import load_checkpoint
    from genbounds.models.factory import build_model
    from genbounds.models.state import apply_state
    from genbounds.report.measurement_page import measurement_html
    from genbounds.report.measures import measures_text

    if data is not None and model is None:
        raise ValueError("data must come with a model, got none. Name what builds the network by --model.")

    page = out.with_suffix(".html")
    if page == out:
        raise ValueError(
            f"out must be a JSON file, got {str(out)!r}, the name of the page beside it. Try measures.json."
        )

    def read(path: Path) -> Any:
        state = load_checkpoint(path, prefix=prefix, entry=entry, trust_pickle=trust_pickle).state
        if model is None:
            return state
        network = build_model(model)
        apply_state(network, state)
        return network.eval()

    found = measure_network(
        read(checkpoint),
        initial=None if initial is None else read(initial),
        data=None if data is None else read_data(data, part),
        sharpness=sharpness,
        shuffles=shuffles,
        device=check_device(device),
        dtype=getattr(torch, dtype),
        seed=seed,
        progress=progress_wanted(),
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    found.save(out)
    given = {"checkpoint": checkpoint.name, "model": model, "data": data, "dtype": dtype, "seed": seed}
    facts = {name: value for name, value in given.items() if value is not None}
    shown = measures_text(found)
    page.write_text(measurement_html(f"Measures of {checkpoint.name}", shown, facts=facts), encoding="utf-8")
    if json:
        show_json(found.to_json())
    else:
        show(shown, f"\nWritten to {out} and {page.name}")
    return OK
