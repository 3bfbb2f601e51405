"""The frame of all pages of HTML: readable on a phone, printable, light and dark, nothing loaded from anywhere else."""

from collections.abc import Iterable, Iterator, Sequence
from html import escape
from string import Template

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

__all__ = ["html_figure", "html_page", "html_section", "html_shown", "html_table"]

_PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
:root { color-scheme: light dark; --line: #8884; --soft: #8882; --good: #006c4f; --bad: #b3261e; --accent: #0072b2; }
@media (prefers-color-scheme: dark) { :root { --good: #5fd3ae; --bad: #ff8a80; --accent: #6cb8ea; } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.1rem; font-weight: 600; margin: 0; }
h2 { font-size: 1.05rem; margin: 2rem 0 .4rem; }
.value { font-size: 2.6rem; font-weight: 700; margin: .2rem 0; font-variant-numeric: tabular-nums; }
.good { color: var(--good); } .bad { color: var(--bad); }
.scroll { overflow-x: auto; }
table { border-collapse: separate; border-spacing: 0; width: 100%; font-size: .93rem; }
th, td { text-align: left; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th { vertical-align: bottom; }
td:first-child:has(wbr) { min-width: 9rem; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
td.number { white-space: nowrap; }
.wide :is(th, td):first-child { position: sticky; left: 0; background: Canvas; background-clip: padding-box; }
.bar { display: flex; height: .8rem; min-width: 8rem; margin-top: .35rem; background: var(--soft); }
.bar span { background: var(--accent); }
blockquote { margin: 0; padding: .2rem 1rem; border-left: 4px solid var(--accent); }
blockquote p { margin: .5rem 0; }
code { font-size: .9em; overflow-wrap: anywhere; }
figure { margin: 1rem 0; background: #fff; overflow-x: auto; }
figure svg { width: 100%; height: auto; display: block; }
@media screen { figure svg { min-width: 28rem; } }
@media print {
  body { max-width: none; font-size: 11pt; }
  h2 { break-after: avoid; }
  tr, figure { break-inside: avoid; }
  .wide table { font-size: 7.5pt; }
}
</style>
</head>
<body>
<header>
$header
</header>
<main>
$sections
</main>
</body>
</html>
""")

#: Columns from which on a table may be wider than the page: the first one then stays in sight.
_WIDE = 5


def html_page(title: str, header: str, sections: Iterable[str]) -> str:
    """Return a page that stands alone.

    Parameters
    ----------
    title : str
        Plain text, for the window.
    header : str
        HTML of the head of the page.
    sections : iterable of str
        HTML, see `html_section`.

    Returns
    -------
    str
        The page.
    """
    return _PAGE.substitute(title=escape(title), header=header, sections="\n".join(sections))


def html_section(title: str, body: str) -> str:
    """Return a section under a title.

    Parameters
    ----------
    title : str
        Plain text.
    body : str
        HTML.

    Returns
    -------
    str
        HTML.
    """
    return f"<section>\n<h2>{escape(title)}</h2>\n{body}\n</section>"


def html_table(head: Sequence[str], rows: Iterable[Sequence[str]], numbers: Iterable[int] = ()) -> str:
    """Return a table.

    Parameters
    ----------
    head : sequence of str
        HTML of the columns' titles; no line is drawn for them if all are empty.
    rows : iterable of sequence of str
        HTML of the cells.
    numbers : iterable of int
        Places of the columns that hold numbers, from 0.

    Returns
    -------
    str
        HTML that scrolls by itself where it is wider than the page.
    """
    places = set(numbers)
    marks = [' class="number"' if place in places else "" for place in range(len(head))]

    def line(tag: str, cells: Sequence[str]) -> str:
        inside = "".join(f"<{tag}{mark}>{cell}</{tag}>" for mark, cell in zip(marks, cells, strict=True))
        return f"<tr>{inside}</tr>"

    top = f"<thead>{line('th', head)}</thead>\n" if any(head) else ""
    body = "\n".join(line("td", row) for row in rows)
    wide = " wide" if len(head) >= _WIDE else ""
    return f'<div class="scroll{wide}"><table>\n{top}<tbody>\n{body}\n</tbody></table></div>'


def html_figure(svg: str) -> str:
    """Return a figure inside the page.

    Parameters
    ----------
    svg : str
        A file of SVG.

    Returns
    -------
    str
        HTML.
    """
    # An XML declaration and a document type may stand before the element in a file, not inside a page.
    return f"<figure>{svg[svg.index('<svg') :]}</figure>"


def html_shown(shown: RenderableType, notes: str) -> list[str]:
    """Return what a terminal is shown as sections of a page: the same numbers, in cells that a narrow screen can hold.

    Parameters
    ----------
    shown : rich renderable
        Tables, texts, and groups of them.
    notes : str
        Title for texts that have none above them.

    Returns
    -------
    list of str
        A section for each table with a title, and for the texts between and below them.

    Raises
    ------
    TypeError
        If something else is shown.
    """
    sections: list[tuple[str, list[str]]] = []
    after_table = True
    for part in _parts(shown):
        if isinstance(part, Table):
            if part.title is not None:
                sections.append((_plain(part.title), []))
            elif not sections:
                sections.append((notes, []))
            sections[-1][1].append(_table(part))
        elif part.plain.strip():
            if part.style == "bold":  # a title above what follows
                sections.append((part.plain.strip(), []))
            else:
                if after_table and not (sections and not sections[-1][1]):
                    sections.append((notes, []))
                sections[-1][1].append(f"<p>{_inline(part)}</p>")
        else:
            continue
        after_table = isinstance(part, Table)
    return [html_section(title, "\n".join(body)) for title, body in sections]


def _parts(shown: RenderableType) -> Iterator[Table | Text]:
    if isinstance(shown, Group):
        for part in shown.renderables:
            yield from _parts(part)
    elif isinstance(shown, str):
        yield Text.from_markup(shown)  # as rich prints it
    elif isinstance(shown, Table | Text):
        yield shown
    else:
        raise TypeError(f"shown must be tables and texts, got a {type(shown).__name__}. Put them into a Group.")


def _table(table: Table) -> str:
    rows = [list(cells) for cells in zip(*(column.cells for column in table.columns), strict=True)]
    numbers = [place for place, column in enumerate(table.columns) if column.justify == "right"]
    lines = [
        [_inline(cell, str(row.style or "")) for cell in cells] for cells, row in zip(rows, table.rows, strict=True)
    ]
    return html_table([_inline(column.header) for column in table.columns], lines, numbers)


def _plain(cell: RenderableType) -> str:
    return cell.plain if isinstance(cell, Text) else Text.from_markup(str(cell)).plain


def _inline(cell: RenderableType, style: str = "") -> str:
    """Return a cell or a text as HTML, in bold and italics as on the terminal; colours there say no more than these."""
    style = f"{style} {cell.style}" if isinstance(cell, Text) else style
    found = escape(_plain(cell)).replace("_", "_<wbr>")  # where a long name may go on in the next line
    for word, tag in (("bold", "strong"), ("italic", "em")):
        if word in style.split() and found:
            found = f"<{tag}>{found}</{tag}>"
    return found
