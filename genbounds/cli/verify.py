"""``genbounds verify``."""

from pathlib import Path

from genbounds.cli.console import Flag, progress_wanted, show, show_json
from genbounds.cli.files import Part, check_device, read_data

__all__ = ["verify"]


def verify(
    file: Path,
    /,
    *,
    model: str | None = None,
    data: str | None = None,
    part: Part = "all",
    device: str = "cpu",
    json: Flag = False,
) -> int:
    """Check a certificate, without the model that it is about.

    Every value is derived again from its inputs in ball arithmetic; the budgets of delta must add up, each union must
    be paid, no example may have two roles. Exit code 3 and a sentence if anything fails.

    With --model and --data the numbers that the claims start from are measured again: fingerprints of the data and of
    the posterior and prior beside the certificate, the KL divergence, the count of errors.

    Parameters
    ----------
    file : Path
        The certificate.
    model : str
        What builds the network, as for genbounds certify. Its code is run.
    data : str
        The data, as for genbounds certify.
    part : str
        Part of a folder of IDX files, as for genbounds certify.
    device : str
        Where the network runs.
    json : bool
        Print JSON on standard output, and nothing else.

    Returns
    -------
    int
        Exit code.

    Raises
    ------
    ValueError
        If only one of model and data is given.
    """
    from genbounds.certificates import verify as verify_certificate
    from genbounds.cli.app import OK, REFUSED
    from genbounds.report.text import verification_text

    if (model is None) != (data is None):
        raise ValueError("--model and --data must be given together, or neither: the model is run on the data.")
    if model is None or data is None:
        verification = verify_certificate(file)
    else:
        from genbounds.workflow import remeasure

        examples = read_data(data, part)
        verification = remeasure(file, model, examples, device=check_device(device), progress=progress_wanted())
    if json:
        show_json(verification.to_json())
    else:
        show(verification_text(verification))
    return OK if verification.ok else REFUSED
