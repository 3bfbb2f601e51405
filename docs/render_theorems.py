"""Write docs/theorems.md: every theorem of the catalogue with its statement, conditions and reference.

python docs/render_theorems.py            writes the page
python docs/render_theorems.py --check    exits 1 if the page is not what the catalogue says
"""

import re
import sys
from pathlib import Path

from genbounds.report.theorem_pages import theorem_markdown
from genbounds.theorems import catalogue

DOCS = Path(__file__).parent
PAGE = DOCS / "theorems.md"


def citations(bibliography: str) -> dict[str, str]:
    """Return the works of a BibTeX file in words, by key: authors, year, title.

    Parameters
    ----------
    bibliography : str
        Content of a BibTeX file whose entries start with @ at the beginning of a line.

    Returns
    -------
    dict of str to str
        One line for each entry.
    """
    works = {}
    for entry in re.split(r"^@", bibliography, flags=re.MULTILINE)[1:]:
        key = entry[entry.index("{") + 1 : entry.index(",")].strip()
        found = dict(
            re.findall(
                r"^\s*(\w+)\s*=\s*[{\"](.*?)[}\"]\s*,?\n(?=\s*\w+\s*=|\})", entry, flags=re.MULTILINE | re.DOTALL
            )
        )
        plain = {
            name.lower(): re.sub(r"[{}]|\s+", lambda m: " " * (m[0] not in "{}"), text) for name, text in found.items()
        }
        names = [" ".join(reversed(author.split(", "))) for author in plain["author"].split(" and ")]
        works[key] = f"{', '.join(names)} ({plain['year']}), *{plain['title']}*"
    return works


def page() -> str:
    """Return the page's content.

    Returns
    -------
    str
        Markdown.
    """
    works = citations((DOCS / "references.bib").read_text(encoding="utf-8"))
    theorems = catalogue().values()
    contents = "\n".join(f"- [{item.name}](#{item.name.replace('.', '').lower()}): {item.summary}" for item in theorems)
    sections = "\n".join(theorem_markdown(item, works[item.reference]) for item in theorems)
    return (
        "# Theorems\n\n"
        "Written by `make theorems` from the catalogue: change the theorem's own decorator, not this page. "
        "Losses lie in [0, 1], KL and code lengths are in nats, kl⁺ is the upper inverse of the binary relative "
        f"entropy.\n\n{contents}\n\n{sections}"
    )


if __name__ == "__main__":
    if "--check" in sys.argv[1:]:
        sys.exit(not PAGE.exists() or PAGE.read_text(encoding="utf-8") != page())
    PAGE.write_text(page(), encoding="utf-8")
    print(f"{PAGE.relative_to(Path.cwd()) if PAGE.is_relative_to(Path.cwd()) else PAGE}: {len(catalogue())} theorems")
