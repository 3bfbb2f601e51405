"""Build the documentation site; any warning is an error.

python docs/build.py [FOLDER]     writes the site to FOLDER, build/site if left out

Pages are gathered next to it before Sphinx reads them: the guides of this folder, the notebooks, a page for each
theorem with what attacked it, a page for each measure with what moves it, and the interface of each room. MathJax is
fetched once with npm and becomes part of the site, which then loads nothing from elsewhere.
"""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from generated_pages import interface_pages, theorem_pages
from measure_pages import measure_pages
from sphinx.cmd.build import main as sphinx_build

ROOT = Path(__file__).resolve().parents[1]
MATHJAX = "mathjax@3.2.2"
#: Pages from outside of this folder, by their place on the site.
ELSEWHERE = {
    "benchmarks.md": "benchmarks/README.md",
    "changelog.md": "CHANGELOG.md",
    "contributing.md": "CONTRIBUTING.md",
}


def write(path: Path, text: str) -> None:
    """Write a page if it changed, so that Sphinx reads again only what is new.

    Parameters
    ----------
    path : Path
        File.
    text : str
        Its content.
    """
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def relinked(text: str, folder: Path, places: dict[Path, str]) -> str:
    """Point a page's links to where its targets are on the site; what is not there keeps its words without a link.

    Parameters
    ----------
    text : str
        Markdown.
    folder : Path
        Where the page lies in the repository; it will lie at the top of the site's pages.
    places : dict of Path to str
        Places on the site by files of the repository.

    Returns
    -------
    str
        Markdown.
    """

    def target(match: re.Match[str]) -> str:
        bang, label, link, anchor = match.groups(default="")
        place = places.get((folder / link).resolve())
        return f"{bang}[{label}]({place}{anchor})" if place else label

    return re.sub(r"(!?)\[([^\]]*)\]\((?!https?:|#)([^)#\s]+)(#[^)]*)?\)", target, text)


def gather(source: Path) -> None:
    """Write everything that Sphinx reads.

    Parameters
    ----------
    source : Path
        Folder to write to.
    """
    docs = ROOT / "docs"
    guides = {page.name: page for page in docs.glob("*.md")} | {place: ROOT / file for place, file in ELSEWHERE.items()}
    pictures = list((docs / "images").iterdir())
    places = {page: place for place, page in guides.items()} | {p: f"images/{p.name}" for p in pictures}
    pages = {place: relinked(page.read_text(encoding="utf-8"), page.parent, places) for place, page in guides.items()}
    # On the site each theorem has a page of its own, and theorems.md is the list of them.
    pages |= theorem_pages() | measure_pages() | interface_pages()
    for notebook in (ROOT / "theory_notebooks").glob("*.py"):
        pages[f"notebooks/{notebook.name}"] = notebook.read_text(encoding="utf-8")
    pages["notebooks/index.md"] = notebook_list()
    for name in ("conf.py", "references.bib", "_static/site.css"):
        pages[name] = (docs / name).read_text(encoding="utf-8")
    for name, text in pages.items():
        write(source / name, text)
    for old in {*source.rglob("*.md"), *(source / "notebooks").glob("*.py")} - {source / name for name in pages}:
        old.unlink()
    shutil.copytree(docs / "images", source / "images", dirs_exist_ok=True)


def notebook_list() -> str:
    """Return the page that leads to the notebooks: the title and claim of each.

    Returns
    -------
    str
        Markdown.

    Raises
    ------
    SystemExit
        If a notebook states no claim.
    """
    entries, names = [], sorted(path.stem for path in (ROOT / "theory_notebooks").glob("*.py"))
    for name in names:
        words = re.sub(
            r"^# ?", "", (ROOT / "theory_notebooks" / f"{name}.py").read_text(encoding="utf-8"), flags=re.MULTILINE
        )
        title = re.search(r"^# (.+)$", words, re.MULTILINE)
        claim = re.search(r"\*\*Claims?\.?\*\*,? ?(.+?)\n\n", words, re.DOTALL)
        if title is None or claim is None:
            raise SystemExit(f"theory_notebooks/{name}.py needs a title and a **Claim** in its first cell.")
        entries.append(f"[{title[1]}]({name}.py)\n: {' '.join(claim[1].split())}")
    listed = "\n".join(names)
    return (
        "# Theory notebooks\n\n"
        "Each states a claim, computes it in a world whose truth is exact, draws theory and simulation on one axis, "
        "and says what would have falsified it. They are scripts in `theory_notebooks/`, run anew for this site.\n\n"
        + "\n\n".join(entries)
        + f"\n\n```{{toctree}}\n:hidden:\n\n{listed}\n```\n"
    )


def bundle_mathjax(static: Path) -> None:
    """Fetch MathJax once and put its one file among the site's own; without npm, say that formulas need a network.

    Parameters
    ----------
    static : Path
        Folder of the site's own files.
    """
    file, npm = static / "mathjax" / "tex-svg.js", shutil.which("npm")
    if file.exists():
        return
    with tempfile.TemporaryDirectory() as folder:
        if npm is None or subprocess.run([npm, "pack", MATHJAX], cwd=folder, capture_output=True).returncode:
            print(
                f"npm is missing or could not fetch {MATHJAX}: this build's formulas need a network.", file=sys.stderr
            )
            return
        (package,) = Path(folder).glob("*.tgz")
        with tarfile.open(package) as archive:
            archive.extract("package/es5/tex-svg.js", folder, filter="data")
        file.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(Path(folder) / "package" / "es5" / "tex-svg.js", file)


def main(folder: Path) -> int:
    """Build the site.

    Parameters
    ----------
    folder : Path
        Where to.

    Returns
    -------
    int
        Exit status of Sphinx: 0 if nothing was wrong.
    """
    source = folder.parent / f"{folder.name}-pages"
    gather(source)
    bundle_mathjax(source / "_static")
    os.environ.pop("MPLBACKEND", None)  # a notebook's figures are part of its page
    return sphinx_build(["-W", "--keep-going", "-q", "-d", str(source / ".doctrees"), str(source), str(folder)])


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "build" / "site").resolve()))
