"""Programs saved by ``torch.export``: a graph of operators with its weights, ready to run on any batch."""

import io
import json
import re
import zipfile
from pathlib import Path
from types import MethodType

import torch
from torch import nn

from genbounds.models.formats import recognise
from genbounds.models.state import CheckpointError

__all__ = ["load_exported"]

#: Archive records that hold raw bytes, text or a description; every other record is compiled code or a pickle.
_PLAIN_RECORDS = re.compile(
    r"data/weights/(weight_\d+|\w+_weights_config\.json)|data/constants/(tensor_\d+|\w+_constants_config\.json)"
    r"|models/\w+\.json|data/sample_inputs/\w+\.pt|archive_format|archive_version|byteorder|\.data/.*|extra/.*"
)


def load_exported(path: str | Path, *, trust_pickle: bool = False) -> nn.Module:
    """Load a ``torch.export`` program as a module.

    Its state is visible (``named_parameters``, ``named_buffers``, ``state_dict``) and its graph is fixed: it is
    marked as evaluating, ``eval()`` returns it as it is, and ``train()`` does not exist on it.

    A program is code, and torch evaluates source that the file holds: load one only from whom you would also
    take a Python file. Pickled objects and compiled libraries inside it are refused all the same.

    Parameters
    ----------
    path : str or Path
        ``.pt2`` file by ``torch.export.save``, exported in evaluation mode with a dynamic batch dimension.
    trust_pickle : bool
        Load pickled objects and compiled libraries too.

    Returns
    -------
    torch.nn.Module
        The program, on the device it was exported for.

    Raises
    ------
    CheckpointError
        If the file is damaged, unsafe, exported in training mode or for batches of one size only.
    """
    source = Path(path)
    if not source.is_file():
        raise CheckpointError(f"program must be a file, got {str(path)!r}. Check the path against the current folder.")
    if (kind := recognise(source)) != "exported program":
        raise CheckpointError(
            _unusable(source, f"a {kind} file", "Load it by load_checkpoint, with a factory for the model.")
        )
    content = source.read_bytes()
    if not trust_pickle:
        _require_plain(source, content)
    try:
        program = torch.export.load(io.BytesIO(content))
        module = program.module()
    except Exception as error:  # the reader fails with any type, and its version check with several
        first = next(iter(str(error).strip().splitlines()), type(error).__name__)
        remedy = f"Export it again with torch {torch.__version__}."
        raise CheckpointError(_unusable(source, f"one that torch cannot read ({first})", remedy)) from error
    _require_evaluation(source, program)
    for part in module.modules():
        part.training = False
    module.eval = MethodType(_evaluating, module)  # type: ignore[method-assign]
    return module


def _evaluating(module: nn.Module) -> nn.Module:
    return module


def _require_plain(path: Path, content: bytes) -> None:
    """Refuse an archive whose loading would unpickle objects or run compiled code.

    Raises
    ------
    CheckpointError
        Naming the record.
    """
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for info in archive.infolist():  # every record, so that a second one of the same name cannot hide
            name = info.filename.partition("/")[2]
            if not _PLAIN_RECORDS.fullmatch(name) or not _is_plain(name, archive.read(info)):
                got = f"pickled objects or compiled code in the record {info.filename}"
                remedy = "Export a plain module again, or, if you trust whoever made the file, pass trust_pickle=True."
                raise CheckpointError(_unusable(path, got, remedy))


def _is_plain(name: str, record: bytes) -> bool:
    try:
        if name.endswith(".pt"):  # any failure here would make torch unpickle it in full
            torch.load(io.BytesIO(record), weights_only=True)
        elif name.endswith("_config.json"):
            return not any(payload["use_pickle"] for payload in json.loads(record)["config"].values())
    except Exception:  # whatever a hostile record raises, it is not plain
        return False
    return True


def _require_evaluation(path: Path, program: torch.export.ExportedProgram) -> None:
    """Refuse a program traced in training mode, or for one batch size.

    Raises
    ------
    CheckpointError
        Naming the operator or the size.
    """
    inputs = set(program.graph_signature.user_inputs)
    for node in program.graph.nodes:
        if node.op == "placeholder" and node.name in inputs:
            value = node.meta.get("val")
            if isinstance(value, torch.Tensor) and value.ndim and isinstance(value.shape[0], int):
                remedy = "Export with a dynamic batch: dynamic_shapes=({0: torch.export.Dim.DYNAMIC},)."
                raise CheckpointError(_unusable(path, f"one for batches of exactly {value.shape[0]}", remedy))
        schema = getattr(node.target, "_schema", None)
        for position, argument in enumerate(schema.arguments if schema else ()):
            given = node.args[position] if position < len(node.args) else node.kwargs.get(argument.name)
            if argument.name in {"train", "training"} and given is True:
                raise CheckpointError(
                    _unusable(path, f"{node.target} in training mode", "Call model.eval() before torch.export.export.")
                )


def _unusable(path: Path, got: str, remedy: str) -> str:
    return f"program {path.name} must be a plain torch.export program, got {got}. {remedy}"
