"""A record of coherence as a table and as a figure: every number it holds, with its reading."""

import dataclasses
import io
import math

import pytest
import torch
from rich.console import Console
from torch import nn

from genbounds.coherence import measure
from genbounds.report import coherence_text, draw_coherence, save_figure


@pytest.fixture(scope="module")
def record():
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(40, 5, generator=generator).double()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 1)).double().eval()
    return measure(model, nn.functional.mse_loss, (inputs, inputs[:, :1] + 2), null_draws=3)


def shown(record):
    console = Console(width=200, file=io.StringIO())
    console.print(coherence_text(record))
    return console.file.getvalue()


def test_every_number_is_shown(record):
    text = shown(record)
    for label, numbers in record.groups():
        (line,) = [line for line in text.splitlines() if line.split()[:1] == [label] and "%" in line]
        low, high = numbers.interval
        for value in (numbers.alpha, numbers.m_coherence, numbers.noise_scale):
            assert f"{value:.4g}" in line
        assert f"[{low:.4g}, {high:.4g}]" in line
        assert f"{numbers.fraction:.1%}" in line
        assert f"{numbers.parameters:,}" in line
        assert line.split()[-1] == f"{numbers.p_value:.3g}"
    assert f"average loss {record.loss:.6g}; 0 examples without gradient." in text
    assert "from 3 patterns of random signs, so at least 0.25" in text


def test_its_reading_is_shown(record):
    text = " ".join(shown(record).split())
    for note in record.notes():
        assert note in text


def test_what_was_not_measured_is_left_out(record):
    bare = dataclasses.replace(record, null_draws=0, standard_error=None)
    text = shown(bare)
    assert "random signs" not in text
    (line,) = [line for line in text.splitlines() if line.split()[:1] == ["all"]]
    assert "[" not in line


def test_what_is_drawn(record, tmp_path):
    axes = draw_coherence(record)
    lines = {line.get_label(): line for line in axes.get_lines()}
    groups = [numbers for _, numbers in record.groups()]
    assert lines["estimate, 95% interval (nominal)"].get_xdata() == pytest.approx([g.alpha for g in groups])
    assert lines["plug-in, of the examples themselves"].get_xdata() == pytest.approx([g.plug_in_alpha for g in groups])
    assert lines["plug-in of orthogonal gradients: 1/m"].get_xdata()[0] == 1 / 40
    intervals = [tuple(line.get_xdata()) for line in axes.get_lines() if line.get_label().startswith("_")][
        : len(groups)
    ]
    assert intervals == [g.interval for g in groups]
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == [f"{name}  {g.fraction:.0%}" for name, g in record.groups()]
    save_figure(axes, tmp_path / "coherence")
    assert (tmp_path / "coherence.png").stat().st_size > 1000


def test_a_layer_without_gradient_has_a_name_and_no_point(record):
    dead = dataclasses.replace(record.layers[0], squared_mean=0.0, second_moment=0.0, standard_error=None, fraction=0.0)
    odd = dataclasses.replace(record, layers=(dead, record.layers[1]))
    axes = draw_coherence(odd)
    lines = {line.get_label(): line for line in axes.get_lines()}
    assert math.isnan(lines["estimate, 95% interval (nominal)"].get_xdata()[1])
    assert len(axes.get_yticklabels()) == 3
    assert "nan" not in shown(odd)
