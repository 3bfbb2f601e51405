"""A series as tables and as a figure: every number, and the words that keep a reader from misreading it."""

import dataclasses
import io

import numpy as np
import pytest
import torch
from rich.console import Console
from torch import nn

from genbounds.coherence import CoherenceSeries, Measured, measure
from genbounds.coherence.records import NEAR_STATIONARY, READING
from genbounds.report import coherence_series_text, draw_coherence_series
from genbounds.report.curve import save_figure

LOSS = nn.functional.cross_entropy


def build(layers, second=True, null_draws=5):
    torch.manual_seed(0)
    x = torch.randn(60, 6)
    y = (x[:, 0] > 0).long()
    data, other = (x[:40], y[:40]), (x[40:], y[40:])
    model = nn.Sequential(*(nn.Linear(6, 6) for _ in range(layers - 1)), nn.Linear(6, 2)).eval()
    optimizer, points = torch.optim.SGD(model.parameters(), lr=0.3), []
    for epoch in (0, 1, 5, 40):
        while epoch > (points[-1].epoch if points else 0):
            optimizer.zero_grad()
            LOSS(model(data[0]), data[1]).backward()
            optimizer.step()
            points[-1] = dataclasses.replace(points[-1], epoch=points[-1].epoch + 1)
        record = measure(model, LOSS, data, second=other if second else None, null_draws=null_draws)
        points.append(Measured(f"epoch={epoch}", epoch, 10 * epoch, record))
    epochs = (0, 1, 5, 40)
    return CoherenceSeries(tuple(dataclasses.replace(p, epoch=e) for p, e in zip(points, epochs, strict=True)))


@pytest.fixture(scope="module")
def series():
    return build(3)


@pytest.fixture(scope="module")
def plain():
    return build(1, second=False, null_draws=0)


def shown(*arguments):
    console = Console(width=160, file=io.StringIO())
    console.print(coherence_series_text(*arguments))
    return console.file.getvalue()


def test_every_checkpoint_and_layer_is_shown(series):
    text = shown(series)
    lines = text.splitlines()
    for point in series.points:
        record = point.record
        low, high = record.interval
        (line,) = [line for line in lines if f"[{low:.3g}, {high:.3g}]" in line]
        for number in (f"{record.loss:.4g}", f"{record.alpha:.4g}", f"{record.m_coherence:.3g}"):
            assert number in line.split()
        assert str(record.second.total.plug_in) in line
    for name in ("0", "1", "2"):
        (line,) = [line for line in lines if line.split()[:1] == [name] and "%" in line and "[" not in line]
        layers = [{layer.name: layer for layer in point.record.layers}[name] for point in series.points]
        assert line.split()[1::2] == [f"{layer.m_coherence:.3g}" for layer in layers]
        assert line.split()[2::2] == [f"{layer.fraction:.0%}" for layer in layers]


def test_the_words_against_misreading_are_there(series):
    text = " ".join(shown(series).split())
    for note in READING:
        assert note in text
    assert (NEAR_STATIONARY in text) == any(point.record.m_coherence < 1 for point in series.points)
    assert "5 patterns, so at least 0.167" in text
    assert "intervals of one row are not independent of the next" in text
    assert "bound" not in text


def test_nothing_is_shown_that_was_not_measured(plain):
    text = shown(plain)
    assert "cosine" not in text
    assert " p " not in text
    assert "of layers" not in text


def test_stability_is_printed_with_its_label(series):
    text = shown(series, series.stability(0.1, smoothness=2.0, lipschitz=100.0))
    assert text.count("diagnostic, no bound") == 2


def test_many_layers_are_cut_and_said_to_be():
    many = build(15, second=False, null_draws=0)
    text = shown(many)
    assert "the 12 with the largest share at the end; coherence.json has all 15." in text
    assert sum(line.count("%") == 4 for line in text.splitlines()) == 12
    figure = draw_coherence_series(many)
    lines = figure.axes[0].get_lines()
    assert len(lines) == 15 + 2
    labels = {line.get_label() for line in lines if not line.get_label().startswith("_")}
    assert {"layer 0", "layer 14"} <= labels
    assert "layer 7" not in labels


def test_what_is_drawn(series):
    figure = draw_coherence_series(series)
    top, loss, cosine = figure.axes
    lines = {line.get_label(): line for line in top.get_lines()}
    total = lines["all parameters, 95% interval (nominal)"]
    np.testing.assert_array_equal(total.get_xdata(), [0, 1, 5, 40])
    np.testing.assert_array_equal(total.get_ydata(), [point.record.m_coherence for point in series.points])
    for name in ("0", "1", "2"):
        values = [{layer.name: layer.m_coherence for layer in p.record.layers}[name] for p in series.points]
        np.testing.assert_array_equal(lines[f"layer {name}"].get_ydata(), values)
    assert lines["orthogonal gradients; random signs on average"].get_ydata() == [1, 1]
    assert np.all(np.array(lines["random signs: 95% quantile (approx.)"].get_ydata()) > 1)
    np.testing.assert_array_equal(loss.get_lines()[0].get_ydata(), [point.record.loss for point in series.points])
    cosines = [point.record.second.total.plug_in.value for point in series.points]
    np.testing.assert_array_equal(cosine.get_lines()[0].get_ydata(), cosines)
    assert top.get_yscale() == "log"
    assert cosine.get_xlabel() == "epoch"
    assert cosine.get_xscale() == "symlog"
    assert "no sign of conflict" in top.texts[0].get_text()
    assert "does not order networks" in figure.get_supxlabel()
    # The band of the total: the interval of alpha, as one of the m-coherence of the examples themselves.
    (band,) = [collection for collection in top.collections if collection.get_facecolor()[0][:3].max() == 0]
    upper = [1 + (p.record.m - 1) * p.record.interval[1] for p in series.points]
    np.testing.assert_allclose(max(band.get_paths()[0].vertices[:, 1]), max(upper), rtol=1e-12)


def test_what_was_not_measured_is_not_drawn(plain):
    figure = draw_coherence_series(plain)
    assert len(figure.axes) == 2
    labels = {line.get_label() for line in figure.axes[0].get_lines()}
    assert not any("quantile" in label or "layer" in label for label in labels)


def test_losses_of_zero_and_gradients_of_zero_can_be_drawn(plain):
    fitted = dataclasses.replace(plain.points[-1].record, loss=0.0, squared_mean=0.0, second_moment=0.0)
    fitted = dataclasses.replace(fitted, standard_error=None)
    series = CoherenceSeries((*plain.points[:-1], dataclasses.replace(plain.points[-1], record=fitted)))
    figure = draw_coherence_series(series)
    assert figure.axes[1].get_yscale() == "linear"
    assert shown(series)


def test_drawing_opens_nothing_and_changes_no_setting(series, tmp_path):
    import matplotlib as mpl
    from matplotlib import _pylab_helpers
    from matplotlib.figure import Figure

    before = dict(mpl.rcParams)
    figure = Figure()
    assert draw_coherence_series(series, figure) is figure
    contents = [
        save_figure(draw_coherence_series(series).axes[0], tmp_path / name)[1].read_bytes() for name in ("one", "two")
    ]
    assert contents[0] == contents[1]
    assert dict(mpl.rcParams) == before
    assert not _pylab_helpers.Gcf.get_all_fig_managers()
