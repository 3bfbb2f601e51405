"""A measurement as one page of HTML: the tables of the terminal, figures, and that none of it proves anything."""

from collections.abc import Mapping
from html import escape

from rich.console import RenderableType

from genbounds.report.page import html_figure, html_page, html_section, html_shown, html_table
from genbounds.version import __version__

__all__ = ["measurement_html"]

_PROVES_NOTHING = (
    "These numbers were measured. They may go with the error of a network, or predict it, and <strong>prove nothing "
    "about it</strong>. An interval says how far an estimate may be off, in the sense its table gives, and is no bound "
    "on an error."
)


def measurement_html(
    title: str,
    shown: RenderableType,
    *,
    figures: Mapping[str, str] | None = None,
    facts: Mapping[str, object] | None = None,
    finding: str = "",
) -> str:
    """Return one page about a measurement that stands alone.

    Parameters
    ----------
    title : str
        What was measured.
    shown : rich renderable
        What a terminal is shown: `genbounds.report.measures.measures_text`, `genbounds.report.ranking.ranking_text`,
        `genbounds.report.coherence_series.coherence_series_text` and their like.
    figures : mapping of str to str, optional
        Figures as SVG, by their titles.
    facts : mapping of str to object, optional
        What it was measured on and how, by name.
    finding : str
        One sentence that says what came out, where there is one.

    Returns
    -------
    str
        HTML that loads nothing from anywhere else; every text is escaped.

    Examples
    --------
    >>> from rich.text import Text
    >>> page = measurement_html("Norms of net.pt", Text("path norm: 3"), facts={"seed": 0})
    >>> "prove nothing" in page, "path norm: 3" in page
    (True, True)
    """
    said = f"<p><strong>{escape(finding)}</strong></p>\n" * bool(finding)
    header = f"<h1>{escape(title)}</h1>\n{said}<blockquote><p>{_PROVES_NOTHING}</p></blockquote>"
    drawn = [html_section(name, html_figure(svg)) for name, svg in (figures or {}).items()]
    rows = [(escape(name), f"<code>{escape(str(value))}</code>") for name, value in (facts or {}).items()]
    rows.append(("made with", f"<code>genbounds {__version__}</code>"))
    provenance = html_section("What was measured, and how", html_table(("", ""), rows))
    return html_page(title, header, [*drawn, *html_shown(shown, "How to read it"), provenance])
