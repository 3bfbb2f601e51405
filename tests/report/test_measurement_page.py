"""The page about a measurement: stands alone, escapes what it is given, and leaves out nothing of the record."""

import io
from html.parser import HTMLParser

import pytest
from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from genbounds.measures.predictiveness.ranking import rank_measures
from genbounds.measures.records import LayerSpectrum, Measure, Measures, Refusal
from genbounds.report import draw_coherence_series, measurement_html
from genbounds.report.coherence_series import coherence_series_text
from genbounds.report.measures import measures_text
from genbounds.report.page import html_shown
from genbounds.report.ranking import draw_ranking, ranking_text, ranking_verdict

VOID = {"meta", "br"}
ATTACKS = ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "a & b < c $title ${x} [bold]d[/bold]"]


class Page(HTMLParser):
    """Checks that elements nest, and collects tags, addresses and text."""

    def __init__(self, html):
        super().__init__()
        self.open, self.tags, self.addresses, self.words = [], set(), [], []
        self.feed(html.replace("<wbr>", ""))  # a line may break there, and no word ends
        self.close()
        assert self.open == []
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.add(tag)
        self.addresses += [value for name, value in attrs if name in {"src", "href", "xlink:href"}]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] != ["style"]:
            self.words.append(data)


def measures(name="path_norm", reason="it needs the network"):
    layer = LayerSpectrum(name, "Linear", 10, 12, 2.5, 3.25, None, None, None, None, (f"No power law: {reason}.",))
    measured = (Measure(name, 12.5, "43"), Measure("trace", 3.0, "Hutchinson", error=0.25), Measure("zero", -0.5, "1"))
    return Measures(measured, (Refusal("sharpness", reason), Refusal("margin", reason)), (layer,))


def svg_of(figure):
    file = io.StringIO()
    figure.savefig(file, format="svg")
    return file.getvalue()


def stands_alone(page):
    assert page.tags.isdisjoint({"script", "link", "img", "iframe", "object", "base"})
    assert all(address.startswith(("#", "data:image/png;base64,")) for address in page.addresses)
    assert "prove nothing about it" in page.text


def test_every_measure_and_every_refusal_is_there():
    record = measures()
    page = Page(measurement_html("Measures of net.pt", measures_text(record), facts={"seed": 3}))
    stands_alone(page)
    for each in record.measured:
        assert f"{each.name} {each.value:.6g}" in page.text
    assert "Not measured measures why sharpness, margin it needs the network." in page.text
    assert "path_norm Linear 10 × 12 2.5 3.25" in page.text
    assert "path_norm: No power law" in page.text
    assert "seed 3" in page.text


def test_estimates_are_called_so_and_have_intervals():
    page = Page(measurement_html("Measures", measures_text(measures())))
    assert "estimate: ± 2 standard errors" in page.text
    assert "trace 3 [2.5, 3.5]" in page.text
    exact = Measures((Measure("path_norm", 12.5, "43"),))
    assert "estimate:" not in Page(measurement_html("Measures", measures_text(exact))).text


@pytest.mark.parametrize("attack", ATTACKS)
def test_every_text_is_escaped(attack):
    html = measurement_html(attack, measures_text(measures(attack, attack)), facts={attack: attack}, finding=attack)
    page = Page(html)
    stands_alone(page)
    assert page.text.count(" ".join(attack.split())) >= 9


def ranking():
    table = {"gap": [0.1, 0.2, 0.3, 0.5] * 3, "a <norm>": [1, 2, 4, 3] * 3, "width": [1, 2, 3, 4] * 3}
    table["rate"] = [0.1] * 4 + [0.2] * 4 + [0.3] * 4
    return rank_measures(table, "gap", ["a <norm>"], ["width", "rate"], permutations=9, draws=19)


def test_a_ranking_with_its_figure():
    found = ranking()
    figures = {"by axis": svg_of(draw_ranking(found)), "again": svg_of(draw_ranking(found))}
    page = Page(measurement_html("Ranking", ranking_text(found), figures=figures, finding=ranking_verdict(found)))
    stands_alone(page)
    assert "svg" in page.tags
    for row in found.rows:
        low, high = row.tau_interval
        assert f"{row.name} {row.tau:.3f} [{low:.2f}, {high:.2f}] {row.psi_mean:.3f}" in page.text
    assert "<em>1/n" not in page.text
    assert page.text.index(ranking_verdict(found)) < page.text.index("by axis")


def test_a_series_of_coherence():
    torch = pytest.importorskip("torch")
    from genbounds.coherence import CoherenceMonitor

    x, y = torch.eye(4), torch.tensor([0, 0, 1, 1])
    model = torch.nn.Linear(4, 2)
    monitor = CoherenceMonitor(model, torch.nn.functional.cross_entropy, (x, y))
    for step in range(3):
        monitor.step(step)
        with torch.no_grad():
            model.weight.mul_(0.5)
    series = monitor.series
    svg = svg_of(draw_coherence_series(series))
    page = Page(measurement_html("Coherence", coherence_series_text(series), figures={"along": svg}))
    stands_alone(page)
    assert f"{series.points[-1].record.alpha:.3g}"[:4] in page.text
    assert "intervals of one row are not independent" in page.text


def test_what_a_terminal_shows_a_page_shows():
    table = Table("name", "value", title="Numbers")
    table.columns[1].justify = "right"
    table.add_row(Text("[a]"), "[red]1[/red]", style="bold")
    table.add_row(Text("b", style="italic"), "2")
    bare = Table("x")
    bare.add_row("y")
    shown = Group("before", table, Text(), Text("note"), Text("Title", style="bold"), Text("below"), bare)
    sections = html_shown(shown, "Notes")
    assert [part.partition("<h2>")[2].partition("</h2>")[0] for part in sections] == [
        "Notes",
        "Numbers",
        "Notes",
        "Title",
    ]
    html = "".join(sections)
    assert '<td><strong>[a]</strong></td><td class="number"><strong>1</strong></td>' in html
    assert "<td><em>b</em></td>" in html
    text = Page(html).text
    console = Console(file=io.StringIO(), width=80)
    console.print(shown)
    for word in console.file.getvalue().split():
        assert word.strip("━┏┓┡┩│┃└┘─┳╇┴├┤┼") in text


def test_what_it_cannot_show_is_refused():
    with pytest.raises(TypeError, match="shown must be tables and texts, got a Panel"):
        measurement_html("Panel", Panel("x"))
