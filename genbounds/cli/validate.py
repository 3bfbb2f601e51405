"""``genbounds validate``."""

from genbounds.cli.console import Flag, progress_wanted, show, show_json

__all__ = ["validate"]


def validate(*names: str, delta: float = 0.05, json: Flag = False) -> int:
    """Attack every theorem in every world that applies to it, and show how each fares.

    In each world the truth is exact, by enumeration or in closed form, and everything that a theorem leaves open is
    chosen by an adversary. Exit code 3 if a theorem is refuted. Theorems of other packages that announce theirs under
    the entry-point group genbounds.theorems are attacked too.

    Parameters
    ----------
    names : str
        Theorems, such as pac_bayes.maurer, or rooms, such as information. All of them if left out.
    delta : float
        Failure probability that the theorems are asked for.
    json : bool
        Print JSON on standard output, and nothing else.

    Returns
    -------
    int
        Exit code.
    """
    from rich.console import Console
    from rich.progress import track

    from genbounds.cli.app import OK, REFUSED
    from genbounds.numerics import confidence
    from genbounds.report.validation import validation_data, validation_text
    from genbounds.theorems import catalogue, get
    from genbounds.worlds.validation import validate as attacked

    confidence("delta", delta)
    everything = catalogue()
    rooms = {name.partition(".")[0] for name in everything}
    wanted = {
        theorem.name: theorem
        for name in names or sorted(rooms)
        for theorem in (
            [theorem for theorem in everything.values() if theorem.name.startswith(f"{name}.")]
            if name in rooms
            else [get(name)]
        )
    }
    console = Console(stderr=True)
    theorems = track(
        wanted.values(), "Attacking", total=len(wanted), console=console, transient=True, disable=not progress_wanted()
    )
    findings = [attacked(theorem, delta) for theorem in theorems]
    if json:
        show_json(validation_data(findings, delta))
    else:
        show(validation_text(findings, delta))
    return REFUSED if any(finding.broken for finding in findings) else OK
