"""What is printed and drawn of a curve of information: nothing unresolved is passed off as a number."""

import math

import numpy as np
from rich.console import Console

from genbounds.inductive_bias.architectures.comparison import Comparison
from genbounds.rare_events import TailCurve
from genbounds.report.inductive_bias import comparison_text, curves_text, draw_curves


def curve(nats=(math.inf, math.nan, 30.0, 2.0), **changes):
    nats = np.array(nats)
    fields = {
        "levels": 10.0 ** np.arange(-len(nats), 0),
        "nats": nats,
        "standard_error": np.where(np.isfinite(nats), 0.25, np.nan),
        "low": np.where(np.isnan(nats), 7.5, nats - 0.5),
        "high": np.where(np.isnan(nats), np.inf, nats + 0.5),
        "confidence": 0.95,
        "kind": "estimate",
        "method": "a test",
        "warnings": ("chains froze",),
    }
    return TailCurve(**fields | changes)


def printed(renderable):
    console = Console(width=140, file=None, record=True)
    with console.capture() as capture:
        console.print(renderable)
    return capture.get()


def test_table_says_what_is_known_and_what_not():
    text = printed(curves_text({"mlp": curve()}, title="A title", loss="error"))
    lines = text.splitlines()
    assert any("0.0001" in line and "infinite" in line for line in lines)
    assert any("0.001" in line and "> 7.500" in line and "[7.500, inf]" in line for line in lines)
    assert any("30.000" in line and "[29.500, 30.500]" in line and "43.281" in line for line in lines)
    assert "Warning: mlp: chains froze" in text
    assert "95%" in text
    assert "estimate, a test" in text


def test_certain_curves_are_called_certain():
    exact = curve((2.0, 1.0), confidence=1.0, kind="exact", warnings=())
    assert "certain" in printed(curves_text({"gp": exact}, title="", loss="loss"))


def test_comparison_shows_differences_from_the_first():
    comparison = Comparison(
        "digits", "error", {"mlp": "a", "cnn": "b"}, {"mlp": (curve(),), "cnn": (curve((9.0, 8.0, 7.0, 1.5)),)}
    )
    text = printed(comparison_text(comparison))
    assert "cnn - mlp" in text
    assert "not resolved" in text
    assert "-23.000" in text
    assert "-0.500" in text


def test_figure_has_points_arrows_and_the_floor():
    axes = draw_curves({"mlp": curve(), "cnn": curve((9.0, 8.0, 7.0, 1.5))}, loss="error")
    points = axes.lines[0]
    np.testing.assert_array_equal(points.get_ydata(), [30.0, 2.0])
    assert axes.get_xscale() == "log"
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["mlp", "cnn"]
    assert any(np.allclose(line.get_xdata(), 1e-4) for line in axes.lines), "the level below which none lies"
    assert len(axes.containers) == 2, "arrows for what is not resolved"
    assert axes.get_ylim()[0] == 0


def test_levels_at_zero_are_drawn_on_a_plain_axis():
    assert draw_curves({"a": curve((3.0, 1.0), levels=[0.0, 1.0])}).get_xscale() == "linear"
