"""``genbounds compress``."""

from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Group, Parameter

from genbounds.cli.console import Flag
from genbounds.cli.files import Part, read_roles

__all__ = ["compress"]

_WEIGHTS = Group("Weights", sort_key=1)
_CODE = Group("Code", sort_key=2)
_TRAINING = Group("Training", sort_key=3)
_BOUND = Group("Bound and data", sort_key=4)
_RUN = Group("Run", sort_key=5)


def compress(
    model: str,
    data: str,
    /,
    *,
    out: Annotated[Path, Parameter(group=_RUN)] = Path("compressed"),
    pretrained: Annotated[Path | None, Parameter(group=_WEIGHTS)] = None,
    prefix: Annotated[str, Parameter(group=_WEIGHTS)] = "",
    trust_pickle: Annotated[Flag, Parameter(group=_WEIGHTS)] = False,
    adapt: Annotated[tuple[str, ...], Parameter(group=_WEIGHTS, consume_multiple=True, negative="")] = ("*",),
    kind: Annotated[Literal["full", "random subspace", "lora", "sublora"], Parameter(group=_CODE)] = "full",
    dimension: Annotated[int | None, Parameter(group=_CODE)] = None,
    rank: Annotated[int | None, Parameter(group=_CODE)] = None,
    levels: Annotated[int | None, Parameter(group=_CODE)] = None,
    codebook: Annotated[Literal["uniform", "k-means", "learned"] | None, Parameter(group=_CODE)] = None,
    kept: Annotated[float | None, Parameter(group=_CODE)] = None,
    variant: Annotated[int, Parameter(group=_CODE)] = 1,
    epochs: Annotated[int | None, Parameter(group=_TRAINING)] = None,
    quantised_epochs: Annotated[int | None, Parameter(group=_TRAINING)] = None,
    batch_size: Annotated[int | None, Parameter(group=_TRAINING)] = None,
    learning_rate: Annotated[float | None, Parameter(group=_TRAINING)] = None,
    penalty: Annotated[float | None, Parameter(group=_TRAINING)] = None,
    delta: Annotated[float, Parameter(group=_BOUND)] = 0.05,
    roles: Annotated[Path | None, Parameter(group=_BOUND)] = None,
    part: Annotated[Part, Parameter(group=_BOUND)] = "all",
    holdout: Annotated[bool, Parameter(group=_BOUND)] = True,
    seed: Annotated[int, Parameter(group=_RUN)] = 0,
    device: Annotated[str, Parameter(group=_RUN)] = "cpu",
    dtype: Annotated[Literal["float32", "float64", "bfloat16"], Parameter(group=_RUN)] = "float32",
    json: Annotated[Flag, Parameter(group=_RUN)] = False,
) -> int:
    """Train a network on all of the data, write it in few bits, and certify the error of what the bits decode to.

    No example is held out and no prior is learnt: the network pays for the length of its code. The folder gets
    certificate.json, message.bin (the network), report.html and a figure.

    Parameters
    ----------
    model : str
        What builds the network: package.module:callable, path/to/file.py:callable, or a .pt2 file of torch.export.
        Its code is run.
    data : str
        digits, a folder of IDX files (MNIST, Fashion-MNIST), an .npz file with x and y, or a callable as for the model.
    out : Path
        Folder to write to.
    pretrained : Path
        Weights to start from, which you declare not to have seen the bound's sample.
    prefix : str
        Prefix of the names of the weights in that file, such as "model." in Lightning's.
    trust_pickle : bool
        Read files that execute code when they are read. Only for files that you made.
    adapt : tuple of str
        Names of the parameters that may change, with * and ?; the others keep their start.
    kind : str
        What is coded: all of these parameters, a random subspace, low-rank changes (lora), or a subspace of those.
    dimension : int
        Coordinates of the subspace.
    rank : int
        Rank of the changes.
    levels : int
        Values that a coordinate may take.
    codebook : str
        How these are found: equal steps, clusters of the trained coordinates, or clusters that are trained on.
    kept : float
        Part of the coordinates that is not pruned, in (0, 1].
    variant : int
        Number of this model in a list of models that was fixed before the data was seen; paid for.
    epochs : int
        Epochs before quantisation.
    quantised_epochs : int
        Epochs with quantised coordinates.
    batch_size : int
        Examples per step of training.
    learning_rate : float
        Peak rate of Adam.
    penalty : float
        Price of a coordinate's magnitude in the loss: higher for a shorter code.
    delta : float
        Probability with which the certificate may fail.
    roles : Path
        JSON file with the indices of the examples for bound and test.
    part : str
        Part of a folder of IDX files to use; with all, the test part gets the role test.
    holdout : bool
        Train the network on one half of the data, too, and test it on the other, to compare.
    seed : int
        Seed of everything; paid for.
    device : str
        Where the network runs, such as cpu or cuda.
    dtype : str
        Type of its numbers.
    json : bool
        Print the certificate as JSON on standard output, and nothing else.

    Returns
    -------
    int
        Exit code.

    Raises
    ------
    ValueError
        If a number that the kind needs is missing, or one is given that it does not have.
    """
    import torch

    from genbounds.certificates import verify
    from genbounds.cli.app import OK, REFUSED
    from genbounds.cli.console import progress_wanted, show, show_json
    from genbounds.cli.files import check_device, read_data, write_figures
    from genbounds.report.text import certificate_text, verdict_text
    from genbounds.workflow import CompressionTraining, certify_compressed

    def given(**options: Any) -> dict[str, Any]:
        return {name: value for name, value in options.items() if value is not None}

    numbers = given(rank=rank, dimension=dimension)
    wanted = {"full": (), "random subspace": ("dimension",), "lora": ("rank",), "sublora": ("rank", "dimension")}[kind]
    if set(numbers) != set(wanted):
        names = " and ".join(f"--{name}" for name in wanted) or "neither --rank nor --dimension"
        raise ValueError(f"--kind {kind!r} takes {names}, got {', '.join(numbers) or 'none of them'}.")
    certificate = certify_compressed(
        model,
        read_data(data, part),
        pretrained=pretrained,
        prefix=prefix,
        trust_pickle=trust_pickle,
        adapt=adapt,
        parametrisation={"kind": kind} | numbers | ({} if kind == "full" else {"seed": 0}),
        training=CompressionTraining(
            **given(
                levels=levels,
                codebook=codebook,
                kept=kept,
                epochs=epochs,
                quantised_epochs=quantised_epochs,
                batch_size=batch_size,
                learning_rate=learning_rate,
                penalty=penalty,
            )
        ),
        variant=variant,
        roles=None if roles is None else read_roles(roles),
        delta=delta,
        holdout=holdout,
        seed=seed,
        device=check_device(device),
        dtype=getattr(torch, dtype),
        out=out,
        progress=progress_wanted(),
    )
    verification = verify(out / "certificate.json")
    written = write_figures(out, [certificate], verification)
    if json:
        show_json(certificate.to_json())
    else:
        show(certificate_text(certificate), verdict_text(verification))
        show(f"\nWritten to {out}: certificate.json, message.bin, {', '.join(written)}")
    return OK if verification.ok else REFUSED
