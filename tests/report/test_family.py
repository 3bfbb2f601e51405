"""The family as tables and as a figure: every number that it holds, and no estimate under a bound's name."""

import dataclasses
import io

import numpy as np
import pytest
from rich.console import Console

from genbounds.information import draw_masks, family
from genbounds.report.curve import save_figure
from genbounds.report.family import draw_growth, family_text


@pytest.fixture(scope="module")
def told():
    rng = np.random.default_rng(0)
    masks = np.stack([draw_masks(40, 20, seed=0, supersample=s) for s in range(3)])
    wrong = (masks[..., None] != np.arange(2)) & (rng.random((3, 1, 20, 2)) < 0.2)
    return family(masks, wrong.astype(int), wrong.astype(float), classes=2, points=3)


def shown(told):
    console = Console(width=200, file=io.StringIO())
    console.print(family_text(told))
    return console.file.getvalue()


def labelled(axes):
    return {line.get_label(): line for line in axes.get_lines() if not line.get_label().startswith("_")}


def test_every_row_is_shown(told):
    text = shown(told)
    for row in told.rows:
        (line,) = [line for line in text.splitlines() if row.theorem.rpartition(".")[2] in line.split()]
        assert f"{row.estimate.value:.4f}" in line
        assert f"{row.floor.value:.4f}" in line
        assert (" * " in line) == bool(row.restates)
        assert ("ghost losses" in line) == row.ghost_losses
        assert ("%" in line) == (row.share is not None)
        certified = float(line.replace(" * ", " ").split()[1])
        assert float(row.limit) <= certified < float(row.limit) * 1.001  # rounded up
    assert "3 supersamples of 20 pairs, 40 trainings on each, masks in pairs." in text
    assert f"{told.gap.value:.4f}" in text


def test_estimates_are_not_called_bounds(told):
    text = " ".join(shown(told).split())
    assert text.count("estimate, no bound") == 3  # the head of two tables, and the explanation
    assert "with probability at least 0.95 over masks and trainings" in text
    assert "their number settled beforehand, all of these hold at once, for the 3 supersamples given" in text
    assert "each with probability at least 0.925" in text


def test_a_declared_design_is_shown_as_such(told):
    assert shown(dataclasses.replace(told, supersamples=1)).startswith("1 supersample of 20 pairs")
    assert "masks independent, as declared" in shown(dataclasses.replace(told, design="independent"))


@pytest.mark.parametrize(("theorem", "what"), [("harutyunyan", "gap"), ("information.sharp_ld_cmi", "error on ghosts")])
def test_what_is_drawn(told, theorem, what):
    axes = draw_growth(told, theorem)
    name = told[theorem].theorem
    lines = labelled(axes)
    drawn = {
        "certified (each with prob. ≥ 0.95)": told.growth.limits[name],
        "plug-in estimate, no bound": told.growth.estimates[name],
        "floor: masks permuted": told.growth.floors[name],
    }
    for label, values in drawn.items():
        np.testing.assert_array_equal(lines[label].get_ydata(), values)
        np.testing.assert_array_equal(lines[label].get_xdata(), told.growth.trainings)
    measured = told.gap if what == "gap" else told.ghost_risk
    np.testing.assert_array_equal(lines[f"measured {what} (95% interval)"].get_ydata(), [measured.value] * 2)
    assert axes.get_ylabel() == f"{name.rpartition('.')[2]}: {what}"
    assert axes.get_xscale() == "log"
    assert [text.get_text() for text in axes.texts] == ["vacuous: says nothing from here on up"]


def test_drawing_opens_nothing_and_changes_no_setting(told, tmp_path):
    import matplotlib as mpl
    from matplotlib import _pylab_helpers
    from matplotlib.figure import Figure

    before = dict(mpl.rcParams)
    axes = Figure().add_subplot()
    assert draw_growth(told, "dong", axes) is axes
    contents = [save_figure(draw_growth(told, "dong"), tmp_path / name)[1].read_bytes() for name in ("one", "two")]
    assert contents[0] == contents[1]
    assert dict(mpl.rcParams) == before
    assert not _pylab_helpers.Gcf.get_all_fig_managers()


def test_a_theorem_outside_the_family_is_refused(told):
    with pytest.raises(KeyError, match="must be one of the family"):
        draw_growth(told, "maurer")
