"""``genbounds curve``."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

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
    out: Path = Path("curve"),
    fit: bool = False,
    prior: bool = False,
    chance: float | None = None,
    log_x: bool | None = None,
    log_y: bool | None = None,
    json: bool = False,
) -> int:
    """Draw certified bounds and measured errors of several certificates, as PNG and SVG.

    Each certificate is verified first; a refused one is not drawn.

    Parameters
    ----------
    paths : Path
        Certificate files; a folder stands for every certificate.json below it.
    x : str
        What to draw over: n, examples, epochs, label_noise, prior_scale, kl, or the dotted key of any number in the
        certificates, such as posterior.kl.
    out : Path
        Where to write, without the ending.
    fit : bool
        Fit a n^(-b) + c to the measured errors and draw it: an extrapolation, no bound.
    prior : bool
        Draw the bound of the prior itself (Q = P) too.
    chance : float
        Error of guessing, drawn as a line.
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
    from genbounds.certificates import verify
    from genbounds.certificates.content import read
    from genbounds.cli.app import OK, REFUSED
    from genbounds.cli.console import show, show_json, status
    from genbounds.report.curve import draw_curve, fit_points, points, save_figure
    from genbounds.report.text import curve_table

    files = certificate_files(paths)
    for file in files:
        verification = verify(file)
        if not verification.accepted:
            status(f"{file}: {verification}")
            return REFUSED
    drawn = points([read(file) for file in files], x)
    fitted = fit_points(drawn) if fit else None
    axes = draw_curve(drawn, key=x, log_x=log_x, log_y=log_y, chance=chance, show_prior=prior, fit=fitted)
    written = [str(path) for path in save_figure(axes, out)]
    if json:
        fit_data = None if fitted is None else {name: asdict(getattr(fitted, name)) for name in "abc"}
        show_json({"x": x, "points": [asdict(point) for point in drawn], "fit": fit_data, "files": written})
    else:
        show(curve_table(drawn, x))
        if fitted is not None:
            show(str(fitted))
        show(f"Written: {', '.join(written)}")
    return OK
