"""Pages of the site that are written by the package itself: theorems and the interface of each room."""

import importlib
import inspect
from collections.abc import Iterable
from math import isfinite
from pathlib import Path

from render_theorems import citations

from genbounds.report.theorem_pages import theorem_markdown
from genbounds.theorems import Theorem, catalogue
from genbounds.worlds.validation import Finding, validate

DOCS = Path(__file__).parent
ROOMS = (
    "pac_bayes",
    "information",
    "coherence",
    "inductive_bias",
    "pathways",
    "measures",
    "worlds",
    "certificates",
    "workflow",
    "compression",
    "prompts",
    "rare_events",
    "models",
    "sweeps",
    "theorems",
    "numerics",
    "report",
)
#: Worlds shown on a theorem's page: those where it came closest to failing.
SHOWN = 8


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table in Markdown.

    Parameters
    ----------
    head : iterable of str
        Titles.
    rows : iterable of iterable of str
        Cells.

    Returns
    -------
    str
        Markdown.
    """
    titles = list(head)
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def toctree(names: Iterable[str]) -> str:
    """Return a hidden table of contents.

    Parameters
    ----------
    names : iterable of str
        Pages.

    Returns
    -------
    str
        Markdown.
    """
    return "```{toctree}\n:hidden:\n\n" + "\n".join(names) + "\n```\n"


def attacks(finding: Finding) -> str:
    """Return what the worlds found that attacked a theorem.

    Parameters
    ----------
    finding : Finding
        What `genbounds.worlds.validation.validate` found.

    Returns
    -------
    str
        Markdown.
    """
    average = finding.theorem.kind == "expectation"
    order = sorted(finding.attacks, key=lambda found: found.ratio if average else (-found.failure, found.slack))
    worst = {found.world: found for found in reversed(order)}
    closest = sorted(worst.values(), key=order.index)[:SHOWN]
    rows = [
        (
            found.world,
            (f"{found.ratio:.4g}" if isfinite(found.ratio) else "truth 0") if average else f"{found.failure:.3g}",
            f"{found.slack:.3g}",
        )
        for found in closest
    ]
    least, mean = finding.slack
    refuted = f"**Refuted in {len(finding.broken)}.**" if finding.broken else "None refuted it."
    more = f" The {SHOWN} worlds where it came closest:" if finding.worlds > SHOWN else ""
    asked = "" if average else " The bound was asked to fail with probability at most 0.05; what is listed is exact."
    return (
        f"## Attacks\n\n{len(finding.attacks)} attacks in {finding.worlds} worlds whose truth is exact, everything "
        f"that the theorem leaves open chosen by an adversary. {refuted} Slack, the distance of bound and truth "
        f"averaged over what is random in a world, is {least:.3g} at least and {mean:.3g} in the mean.{asked}{more}\n\n"
        + table(("world", "bound / truth" if average else "P(bound < truth)", "slack"), rows)
    )


def theorem_page(theorem: Theorem, citation: str, finding: Finding) -> str:
    """Return a theorem's page.

    Parameters
    ----------
    theorem : Theorem
        The theorem.
    citation : str
        The work it is from, in words.
    finding : Finding
        What attacked it.

    Returns
    -------
    str
        Markdown.
    """
    heading, _, body = theorem_markdown(theorem, citation).removeprefix("#").partition("\n")
    package = theorem.module.rpartition(".")[0]
    call = f"{package}.{theorem.function.__name__}"
    return (
        f"{heading}\n{body}\n{attacks(finding)}\n\n## The function\n\n```{{eval-rst}}\n.. autofunction:: {call}\n```\n"
    )


def theorem_pages() -> dict[str, str]:
    """Attack every theorem, and return its page and the list of all.

    Returns
    -------
    dict of str to str
        Markdown by place on the site.
    """
    works = citations((DOCS / "references.bib").read_text(encoding="utf-8"))
    theorems = catalogue()
    pages = {
        f"theorems/{name}.md": theorem_page(theorem, works[theorem.reference], validate(theorem))
        for name, theorem in theorems.items()
    }
    listed = "\n\n".join(
        f"## {title}\n\n"
        + table(
            ("theorem", "what it says", "covers"),
            (
                (f"[{theorem.name.partition('.')[2]}](theorems/{name}.md)", theorem.summary, theorem.predictor)
                for name, theorem in theorems.items()
                if name.startswith(room)
            ),
        )
        for room, title in (("pac_bayes", "For one predictor and one sample"), ("information", "For a training method"))
    )
    pages["theorems.md"] = (
        f"# Theorems\n\n{len(theorems)} theorems, each with its statement, conditions, reference, the worlds that "
        "attacked it, and its function. Losses lie in [0, 1], KL and code lengths are in nats, kl⁺ is the upper "
        f"inverse of the binary relative entropy.\n\n{listed}\n\n" + toctree(f"theorems/{name}" for name in theorems)
    )
    return pages


def interface_pages() -> dict[str, str]:
    """Return a page for each room with the documentation of its public names.

    Returns
    -------
    dict of str to str
        Markdown by place on the site.
    """
    pages, lines = {}, []
    of_theorems = {f"{t.module.rpartition('.')[0]}.{t.function.__name__}": n for n, t in catalogue().items()}
    for room in ROOMS:
        module = importlib.import_module(f"genbounds.{room}")
        first, _, about = (inspect.getdoc(module) or "").partition("\n")
        own, proved = [], []
        for name in sorted(module.__all__, key=str.lower):
            full, found = f"genbounds.{room}.{name}", getattr(module, name)
            if full in of_theorems:
                proved.append(f"[`{name}`](../theorems/{of_theorems[full]}.md)")
            elif not str(found.__module__ if hasattr(found, "__module__") else "").startswith(f"genbounds.{room}."):
                continue  # a constant, or documented in the room that it is from
            elif inspect.isclass(found):
                own.append(f".. autoclass:: {full}\n   :members:\n")
            elif inspect.isfunction(found):
                own.append(f".. autofunction:: {full}\n")
        theorems = f"Theorems, each on a page of its own: {', '.join(proved)}.\n\n" if proved else ""
        written = "\n".join(own)
        pages[f"api/{room}.md"] = (
            f"# genbounds.{room}\n\n{first}\n{about}\n\n{theorems}```{{eval-rst}}\n{written}\n```\n"
        )
        lines.append(f"[`genbounds.{room}`](api/{room}.md)\n: {first}")
    pages["api.md"] = (
        "# Interface\n\nWhat each room exports. `genbounds` itself exports the rooms, and `certify`, `verify` and "
        "`load_predictor`.\n\n" + "\n\n".join(lines) + "\n\n" + toctree(f"api/{room}" for room in ROOMS)
    )
    return pages
