import io
import json
import math
from dataclasses import replace

from rich.console import Console

from genbounds.information.representations.layer_analysis import LayerAnalysis, LayerTransport
from genbounds.report.layers import draw_layers, layers_text

LAYERS = (
    LayerTransport("input", 64, 2.0, 1.75, 0.025, 12.0, 17.5),
    LayerTransport("hidden [1]", 32, 1.5, 1.25, 0.05, 3.0, 4.5),
    LayerTransport("output", 10, 3.0, 1.0, 0.025, 1.0, 3.25),
)
ANALYSIS = LayerAnalysis(LAYERS, "ramp", 0.125, 0.25, 1.0, 1.0, 200, 39, 0, "hidden [1]", 0.025)


def printed(analysis):
    console = Console(file=io.StringIO(), width=120, color_system=None)
    console.print(layers_text(analysis))
    return " ".join(console.file.getvalue().split())


def test_table_has_a_line_for_each_layer():
    text = printed(ANALYSIS)
    assert "input 64 2 1.75 0.025 12 17.5" in text
    assert "hidden [1] 32 1.5 1.25 0.05 3 4.5" in text
    assert "difference 0.125 lies within every limit" in text
    assert "smallest at hidden [1] beyond what sampling explains (p = 0.025)" in text
    assert "certifies nothing" in text


def test_verdicts_and_sentences():
    assert ANALYSIS.verdict == "scale"
    sampling = replace(ANALYSIS, funnel_p_value=0.3)
    assert sampling.verdict == "sampling"
    assert "not a funnel" in printed(sampling)
    none = replace(ANALYSIS, funnel="output")
    assert none.verdict == "none"
    assert "there is no funnel" in printed(none)


def test_a_constant_that_is_too_small_is_named():
    wrong = replace(ANALYSIS, layers=(replace(LAYERS[0], limit=0.1), *LAYERS[1:]))
    assert ANALYSIS.holds
    assert not wrong.holds
    assert "a declared constant is too small" in printed(wrong)


def test_json_has_no_infinite_numbers():
    endless = replace(ANALYSIS, layers=(replace(LAYERS[0], limit=math.inf, remaining_lipschitz=math.inf), *LAYERS[1:]))
    data = endless.to_json()
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    assert (data["layers"][0]["limit"], data["layers"][1]["limit"]) == (None, 4.5)
    assert (data["gap"], data["holds"], data["verdict"]) == (0.125, True, "scale")


def test_plot_shows_distances_floors_limits_and_the_gap():
    axes = draw_layers(ANALYSIS)
    lines = {line.get_label(): list(line.get_ydata()) for line in axes.get_lines()}
    assert lines["W1 of training and test"] == [2.0, 1.5, 3.0]
    assert lines["limit on the gap"] == [17.5, 4.5, 3.25]
    assert lines["W1 of training and training: the floor"] == [1.75, 1.25, 1.0]
    assert lines["gap on these examples"] == [0.125, 0.125]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["input", "hidden [1]", "output"]
    assert draw_layers(replace(ANALYSIS, test_loss=0.125), axes) is axes
