"""``genbounds theorems``."""

from genbounds.cli.console import Flag, show, show_json

__all__ = ["theorems"]


def theorems(name: str | None = None, /, *, json: Flag = False) -> None:
    """List the theorems, or show one: statement, conditions, reference.

    Parameters
    ----------
    name : str
        Theorem to show, such as pac_bayes.maurer, or maurer alone. Leave it out to list all.
    json : bool
        Print JSON on standard output, and nothing else.
    """
    from genbounds.report.theorem_pages import theorem_data, theorem_page, theorem_table
    from genbounds.theorems import catalogue, get

    if name is not None:
        theorem = get(name)
        if json:
            show_json(theorem_data(theorem))
        else:
            show(theorem_page(theorem))
        return
    known = list(catalogue().values())
    if json:
        show_json([theorem_data(theorem) for theorem in known])
    else:
        show(theorem_table(known), f"{len(known)} theorems. `genbounds theorems NAME` shows one in full.")
