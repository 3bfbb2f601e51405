"""``genbounds verify``."""

from pathlib import Path

__all__ = ["verify"]


def verify(file: Path, /, *, json: bool = False) -> int:
    """Check a certificate, without the model that it is about.

    Every value is derived again from its inputs in ball arithmetic; the budgets of delta must add up, each union must
    be paid, no example may have two roles. Exit code 3 and a sentence if anything fails.

    Parameters
    ----------
    file : Path
        The certificate.
    json : bool
        Print JSON on standard output, and nothing else.

    Returns
    -------
    int
        Exit code.
    """
    from genbounds.certificates import verify as verify_certificate
    from genbounds.cli.app import OK, REFUSED
    from genbounds.cli.console import show, show_json
    from genbounds.report.text import verification_text

    verification = verify_certificate(file)
    if json:
        show_json(verification.to_json())
    else:
        show(verification_text(verification))
    return OK if verification.ok else REFUSED
