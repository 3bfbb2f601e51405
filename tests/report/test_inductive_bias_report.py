"""What is printed and drawn of a curve of information: nothing unresolved is passed off as a number."""

import math

import numpy as np
import pytest
from rich.console import Console

from genbounds.inductive_bias import LocalVolume
from genbounds.inductive_bias.architectures.comparison import Comparison
from genbounds.rare_events import TailCurve
from genbounds.report.inductive_bias import (
    checkpoint_text,
    comparison_text,
    curves_text,
    draw_checkpoint,
    draw_curves,
)
from genbounds.workflow.inductive_bias import CheckpointBias


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


def test_what_holds_for_several_curves_is_said_once():
    text = printed(curves_text({"mlp": curve(), "cnn": curve()}, title="", loss="error"))
    assert text.count("estimate, a test") == text.count("chains froze") == 1
    assert "mlp, cnn: estimate, a test" in text
    assert "Warning: mlp, cnn: chains froze" in text


def test_tables_fit_into_eighty_columns():
    long = curve((14_021.25, 9_300.5, 512.0, 2.0))
    console = Console(width=80, file=None)
    with console.capture() as capture:
        console.print(curves_text({"linearised network": long}, title="A title", loss="error"))
    text = capture.get()
    assert "[14,020.8, 14,021.8]" in text
    assert "linearised network" in text
    assert "…" not in text


def bias(**changes):
    fields = {
        **{"model": "nets:net", "checkpoint": "net.pt", "sha256": "0a", "prior": "A prior.", "weights": 21},
        **{"outputs": 2, "train": 12, "test": 15, "train_loss": 0.1, "train_error": 0.0, "test_error": 0.2},
        **{"tangent": None, "head": None, "volume": None, "coefficient": None, "evidence": None, "skipped": {}},
    }
    return CheckpointBias(**fields | changes)


def volume(tail):
    known = curve((math.inf, 40.0, 30.0, 2.0), warnings=("few rays decide",))
    return LocalVolume(known, np.array(tail), np.full(4, 9.0), np.full(4, 3.0), 100, 0, 0, 21, 0.01)


def test_of_a_volume_whose_alarm_rings_only_the_upper_end_is_shown():
    text = printed(checkpoint_text(bias(volume=volume([0.9, math.nan, 0.6, 0.2]))))
    rows = [line for line in text.splitlines() if line.split() and line.split()[0] in {"0.001", "0.01", "0.1"}]
    assert ["not resolved" in row for row in rows] == [True, True, False]
    assert "40.500" in rows[0]
    assert "30.500" in rows[1]
    assert "[1.500, 2.500]" in rows[2]
    assert "few rays decide" in text


def test_a_part_that_was_left_out_is_named_with_its_reason():
    text = printed(checkpoint_text(bias(skipped={"tangent": "it is large. Ask for it."})))
    assert "tangent: not measured. It is large. Ask for it." in text
    assert "error 0.2" in text
    assert "Prior: A prior." in text


def test_a_checkpoint_has_a_panel_for_each_loss():
    drawn = draw_checkpoint(bias(tangent=curve(), volume=volume([0.1] * 4)))
    labels = [axes.get_xlabel() for axes in drawn.figure.axes]
    assert labels == ["mean square error on test examples at most", "cross-entropy of training examples at most"]
    with pytest.raises(ValueError, match="there is nothing to draw"):
        draw_checkpoint(bias())


def test_levels_are_written_along_the_axis():
    axes = draw_curves({"mlp": curve()})
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0.0001", "0.001", "0.01", "0.1"]
