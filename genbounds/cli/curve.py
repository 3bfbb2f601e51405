"""``genbounds curve``."""

from dataclasses import asdict
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from genbounds.cli.console import Flag

if TYPE_CHECKING:
    from genbounds.report.learning_curve import Interval

__all__ = ["certificate_files", "curve"]


def certificate_files(paths: tuple[Path, ...]) -> list[Path]:
    """Return the certificate files that the arguments name; a folder stands for every certificate.json below it.

    Parameters
    ----------
    paths : tuple of Path
        Files and folders.

    Returns
    -------
    list of Path
        Files, folders searched in sorted order.

    Raises
    ------
    ValueError
        If a folder holds no certificate.
    """
    files = []
    for path in paths:
        found = sorted(path.rglob("certificate.json")) if path.is_dir() else [path]
        if not found:
            raise ValueError(f"paths must hold a certificate.json, got {path}. Run `genbounds certify --out {path}`.")
        files += found
    return files


def curve(
    *paths: Path,
    x: Annotated[str, Parameter(name=["--x"])] = "n",
    at: Annotated[tuple[float, ...] | None, Parameter(consume_multiple=True, negative="")] = None,
    out: Path = Path("curve"),
    fit: Flag = False,
    prior: Flag = False,
    chance: float | None = None,
    log_x: bool | None = None,
    log_y: bool | None = None,
    json: Flag = False,
) -> int:
    """Draw certified bounds and measured errors of several certificates, as PNG and SVG.

    Each certificate is verified first; a refused one is not drawn.

    Parameters
    ----------
    paths : Path
        Certificate files; a folder stands for every certificate.json below it.
    x : str
        What to draw over: n, kl, or the key of any number in the certificates, such as posterior.training.epochs. With
        --at it only names the axis.
    at : tuple of float
        Positions on the x axis, one for each certificate in their order: for what certificates do not hold, as in
        --x "label noise" --at 0 0.1 0.2.
    out : Path
        Where to write, without the ending.
    fit : bool
        Fit a n^(-b) + c to the measured errors and draw it: an extrapolation, no bound.
    prior : bool
        Draw the bound of the prior itself (Q = P) too.
    chance : float
        Error of guessing, drawn as a line; known from the number of classes if left out.
    log_x : bool
        Logarithmic x axis; chosen by the range if left out.
    log_y : bool
        Logarithmic y axis; chosen by the range if left out.
    json : bool
        Print JSON on standard output, and nothing else.

    Returns
    -------
    int
        Exit code.
    """
    from genbounds.certificates import Certificate, verify
    from genbounds.certificates.statement import chance as guessing
    from genbounds.cli.app import OK, REFUSED
    from genbounds.cli.console import show, show_json, status
    from genbounds.report.curve import draw_curve, fit_points, points, save_figure
    from genbounds.report.text import curve_table

    files = certificate_files(paths)
    for file in files:
        verification = verify(file)
        if not verification.ok:
            status(f"{file}: {verification}")
            return REFUSED
    certificates = [Certificate.load(file) for file in files]
    drawn = points(certificates, x, at)
    fitted = fit_points(drawn) if fit else None
    guesses = {guessing(certificate) for certificate in certificates}
    if chance is None and len(guesses) == 1:
        (chance,) = guesses
    axes = draw_curve(drawn, key=x, log_x=log_x, log_y=log_y, chance=chance, show_prior=prior, fit=fitted)
    written = [str(path) for path in save_figure(axes, out)]
    if json:
        # An end that the data leave open is null: JSON has no infinity.
        fit_data = None if fitted is None else {name: _open_ended(getattr(fitted, name)) for name in "abc"}
        show_json({"x": x, "points": [asdict(point) for point in drawn], "fit": fit_data, "files": written})
    else:
        show(curve_table(drawn, x))
        if fitted is not None:
            show(str(fitted))
        show(f"Written: {', '.join(written)}")
    return OK


def _open_ended(interval: "Interval") -> dict[str, float | None]:
    return {name: value if isfinite(value) else None for name, value in asdict(interval).items()}
