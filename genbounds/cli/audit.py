"""``genbounds audit``."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from genbounds.cli.console import Flag
from genbounds.cli.files import Part, read_data

__all__ = ["audit"]


def audit(
    checkpoint: Path,
    /,
    *,
    model: str,
    data: str,
    part: Part = "train",
    measure: str | None = None,
    examples: int = 256,
    prefix: str = "",
    entry: str = "",
    trust_pickle: Annotated[bool, Parameter(negative="")] = False,
    out: Path = Path("audit.json"),
    device: str = "cpu",
    seed: int = 0,
    json: Flag = False,
) -> int:
    """Change a checkpoint in ways that keep its function, and see which measures move.

    Layers and neurons rescaled, units permuted, batch normalisation folded, dead units added, another dtype, order of
    the examples, seed and batch size.

    Parameters
    ----------
    checkpoint : Path
        File of weights.
    model : str
        What builds the network, as package.module:callable or path/to/file.py:callable. Its code is run.
    data : str
        Examples: digits, a folder of IDX files, an .npz file with x and y, or package.module:callable.
    part : str
        Part of a folder of IDX files.
    measure : str
        A measure of your own, named like the network: a function of model, inputs and targets that returns a number or
        numbers by name, with seed or batch_size as further arguments if it has them. By default the package's own.
    examples : int
        How many of the data it is given at most.
    prefix : str
        Prefix of the names of the weights in the file.
    entry : str
        Entry of the file that holds the weights, where it is not "state_dict".
    trust_pickle : bool
        Read a file that executes code when it is read. Only for files that you made.
    out : Path
        File to write to.
    device : str
        Where the network is evaluated, such as cpu or cuda.
    seed : int
        Seed of the changes.
    json : bool
        Print the audit as JSON on standard output, and nothing else.

    Returns
    -------
    int
        Exit code.
    """
    from json import dumps

    from genbounds.cli.app import OK
    from genbounds.cli.console import progress_wanted, show, show_json
    from genbounds.cli.files import check_device
    from genbounds.measures.functions import own_measures
    from genbounds.measures.invariance.audit import audit as audited
    from genbounds.models.checkpoint import load_checkpoint
    from genbounds.models.factory import build_model, load_factory
    from genbounds.models.state import apply_state
    from genbounds.report.audit import audit_text

    network = build_model(model)
    apply_state(network, load_checkpoint(checkpoint, prefix=prefix, entry=entry, trust_pickle=trust_pickle).state)
    found = audited(
        network.eval(),
        read_data(data, part),
        own_measures if measure is None else load_factory(measure),
        examples=examples,
        device=check_device(device),
        seed=seed,
        progress=progress_wanted(),
    )
    content = found.to_json()
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
    if json:
        show_json(content)
    else:
        show(audit_text(found), f"\nWritten to {out}")
    return OK
