"""What commands read and write: data, texts, roles, the curve and the page about a certificate."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

    from genbounds.certificates import Certificate, Verification
    from genbounds.models.examples import Data

__all__ = ["Part", "check_device", "read_data", "read_roles", "read_texts", "write_figures"]

#: Parts of a folder of IDX files.
Part: TypeAlias = Literal["train", "test", "all"]


def read_data(source: str, part: Part) -> "Data":
    """Read data as `genbounds.models.load_data` does; only a folder of IDX files has parts.

    Parameters
    ----------
    source : str
        Name, file, folder or factory.
    part : {"train", "test", "all"}
        Part of a folder of IDX files.

    Returns
    -------
    Data
        The examples.
    """
    from genbounds.models.data import load_data

    return load_data(source, part=part if Path(source).is_dir() else None)


def check_device(name: str) -> str:
    """Return the name of a device if torch can use it here.

    Parameters
    ----------
    name : str
        Such as ``cpu`` or ``cuda:1``.

    Returns
    -------
    str
        The same.

    Raises
    ------
    ValueError
        If there is no such device, or none that works.
    """
    import torch

    try:
        torch.empty(1, device=name).cpu()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"device must be one that torch can use here, got {name!r}: {reason} Try cpu.") from error
    return name


def read_roles(path: Path) -> dict[str, list[int]]:
    """Read which example has which role.

    Parameters
    ----------
    path : Path
        JSON file: a table from prior, bound, selection and test to lists of indices.

    Returns
    -------
    dict of str to list of int
        Its content; whether the roles are sound is for `certify` to say.

    Raises
    ------
    ValueError
        If the file is not a table of lists of whole numbers.
    """
    content = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict) or not all(
        isinstance(indices, list) and all(type(index) is int for index in indices) for indices in content.values()
    ):
        raise ValueError(
            f'roles must be a table of lists of indices, such as {{"prior": [0, 1], "bound": [2, 3]}}, got {path.name}.'
            " Write one list for each role."
        )
    return content


def read_texts(path: Path) -> tuple[list[str], list[str]]:
    """Read labelled texts.

    Parameters
    ----------
    path : Path
        File of JSON lines, each a table with ``text`` and ``label``; other keys do not matter.

    Returns
    -------
    texts : list of str
        The texts.
    labels : list of str
        Their labels.

    Raises
    ------
    ValueError
        If a line is something else, with its number.
    """
    texts, labels = [], []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            example = json.loads(line)
            text, label = example["text"], example["label"]
        except (json.JSONDecodeError, KeyError, TypeError):
            text = label = None
        if not isinstance(text, str) or not isinstance(label, str):
            raise ValueError(
                f'texts must be lines such as {{"text": "a game of chess", "label": "games"}}, got {line!r:.60} as '
                f"line {number} of {path.name}. Write one JSON object on each line."
            )
        texts.append(text)
        labels.append(label)
    return texts, labels


def write_figures(folder: Path, certificates: "Sequence[Certificate]", verification: "Verification") -> list[str]:
    """Write the curve as ``curve.png`` and ``curve.svg``, and the page with it as ``report.html``.

    Parameters
    ----------
    folder : Path
        Folder that holds the certificate.
    certificates : sequence of Certificate
        For parts of the data, and last the one that the page is about.
    verification : Verification
        What verifying the last one's file found.

    Returns
    -------
    list of str
        Names of the files written.
    """
    from genbounds.certificates.statement import chance
    from genbounds.report.curve import draw_curve, points, save_figure
    from genbounds.report.html import certificate_html

    certificate = certificates[-1]
    axes = draw_curve(points(certificates), chance=chance(certificate), show_prior=len(certificates) == 1)
    png, svg = save_figure(axes, folder / "curve")
    page = folder / "report.html"
    figure = svg.read_text(encoding="utf-8")
    page.write_text(certificate_html(certificate, verification=verification, figure_svg=figure), encoding="utf-8")
    return [png.name, svg.name, page.name]
