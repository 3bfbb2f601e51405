"""How Sphinx builds the site from the pages that `docs/build.py` gathers."""

import re
from pathlib import Path
from typing import Any

from genbounds.version import __version__

project = "genbounds"
author = "The genbounds developers"
release = version = __version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.mathjax", "sphinxcontrib.bibtex"]

exclude_patterns = ["conf.py", "_static"]
# Types in docstrings are words, some of which are also the names of several attributes.
suppress_warnings = ["ref.python"]

# Pages: Markdown, and notebooks as percent scripts, run when the site is built. A notebook that fails, fails the build.
nb_custom_formats = {".py": ["jupytext.reads", {"fmt": "py:percent"}]}
nb_execution_mode = "force"
nb_execution_timeout = 300
nb_execution_raise_on_error = True
nb_execution_show_tb = True
nb_merge_streams = True
myst_enable_extensions = ["dollarmath", "deflist"]
myst_heading_anchors = 3

bibtex_bibfiles = ["references.bib"]
bibtex_default_style = "plain"
bibtex_reference_style = "author_year"

autodoc_typehints = "none"
autodoc_member_order = "bysource"
autodoc_inherit_docstrings = False
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True

html_theme = "pydata_sphinx_theme"
html_title = "genbounds"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_theme_options = {
    "logo": {"text": "genbounds"},
    "header_links_before_dropdown": 5,
    "show_prev_next": False,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "tango",
    "pygments_dark_style": "monokai",
}
html_context = {"default_mode": "auto"}
copyright = "The genbounds developers, Apache License 2.0"
if (Path(__file__).parent / "_static" / "mathjax" / "tex-svg.js").exists():
    # One file, bundled by the build: formulas are drawn without a network.
    mathjax_path = "mathjax/tex-svg.js"


def cited(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:  # noqa: ARG001
    """Read docstrings as they are written: [Key]_ cites the bibliography, |x| and x_ are formulas and no markup."""
    code = False
    for number, line in enumerate(lines):
        code = line.lstrip().startswith(">>>") or (code and bool(line.strip()))
        if code or ":math:" in line:
            continue
        parts = line.split("``")
        for place in range(0, len(parts), 2):
            words = parts[place].replace("|", "\\|")
            words = re.sub(r"(?<=[\w)])_(?=[^\w\]]|$)", r"\\_", words)
            parts[place] = re.sub(r"\[([A-Z]\w+?\d{4}\w*)\]_", r":cite:t:`\1`", words)
        lines[number] = "``".join(parts)


def setup(app: Any) -> None:
    """Connect what reads docstrings."""
    app.connect("autodoc-process-docstring", cited, priority=100)
