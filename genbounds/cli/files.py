"""What commands read and write: data, roles, the page about a certificate."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from genbounds.certificates import Certificate, Verification
    from genbounds.models.examples import Data

__all__ = ["Part", "check_device", "read_data", "read_roles", "write_page"]

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


def write_page(
    folder: Path, certificate: "Certificate", verification: "Verification", figure: Path | None = None
) -> Path:
    """Write ``report.html`` into a folder.

    Parameters
    ----------
    folder : Path
        Folder that holds the certificate.
    certificate : Certificate
        The certificate.
    verification : Verification
        What verifying its file found.
    figure : Path, optional
        SVG file to put into the page.

    Returns
    -------
    Path
        The file written.
    """
    from genbounds.report.html import certificate_html

    svg = None if figure is None else figure.read_text(encoding="utf-8")
    page = folder / "report.html"
    page.write_text(certificate_html(certificate, verification=verification, figure_svg=svg), encoding="utf-8")
    return page
