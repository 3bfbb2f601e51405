"""``genbounds demo``."""

from pathlib import Path

from genbounds.cli.console import Flag, program, progress_wanted, show, show_json
from genbounds.cli.files import write_figures

__all__ = ["demo"]


def demo(*, out: Path = Path("demo-output"), seed: int = 0, json: Flag = False) -> int:
    """Train, certify, verify and draw a small real example: scikit-learn's handwritten digits.

    Takes about a minute on two cores. The folder gets certificate.json, posterior.safetensors, prior.safetensors,
    curve.png, curve.svg and report.html, and a certificate for each part of the data on the curve.

    Parameters
    ----------
    out : Path
        Folder to write to.
    seed : int
        Seed of everything.
    json : bool
        Print the certificate as JSON on standard output, and nothing else.

    Returns
    -------
    int
        Exit code.
    """
    from genbounds.certificates import verify
    from genbounds.cli.app import OK, REFUSED
    from genbounds.report.curve import points
    from genbounds.report.text import certificate_text, curve_table, verdict_text
    from genbounds.workflow.demo import NETWORK, demonstrate

    certificates = demonstrate(out, seed=seed, progress=progress_wanted())
    certificate, verification = certificates[-1], verify(out / "certificate.json")
    written = write_figures(out, certificates, verification)
    if json:
        show_json(certificate.to_json())
    else:
        show(certificate_text(certificate), verdict_text(verification), curve_table(points(certificates), "n"))
        show(
            f"Written to {out}: certificate.json, posterior.safetensors, prior.safetensors, {', '.join(written)}",
            "\nNow try:",
            f"  {program()} verify {out / 'certificate.json'}",
            f"  {program()} verify {out / 'certificate.json'} --model {NETWORK} --data digits",
            f"  {program()} theorems seeger_xi",
        )
    return OK if verification.ok else REFUSED
