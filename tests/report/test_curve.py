"""The curve: what is read from certificates, what is drawn, and that drawing leaves nothing behind."""

import numpy as np
import pytest

from genbounds.report.curve import Estimate, draw_curve, fit_points, points, save_figure


def certificate(n, bound, *, test=None, holdout=None, unchanged=None, delta=0.035, **more):
    """The parts of a certificate that a curve reads."""

    def beside(name, value):
        return {"id": name, "headline": "h", "claims": [{"id": "other", "value": 0.0}, {"id": "h", "value": value}]}

    comparisons = [("holdout", holdout), ("posterior = prior", unchanged)]
    estimates = [] if test is None else [{"id": "test error", "value": test[0], "interval": test[1:], "level": 0.95}]
    return {
        "headline": "risk",
        "claims": [{"id": "gibbs-sample-risk", "value": bound / 2}, {"id": "risk", "value": bound}],
        "ledger": {"delta": delta},
        "sample": {"examples": 2 * n, "roles": {"bound": {"count": n}}},
        "comparisons": [beside(name, value) for name, value in comparisons if value is not None],
        "estimates": estimates,
        **more,
    }


def family():
    sizes = [300, 1000, 3000, 10000, 30000]
    return [
        certificate(n, 0.02 + 12 / n**0.6, test=(0.9 * n**-0.5, 0.8 * n**-0.5, n**-0.5), holdout=0.03, unchanged=0.5)
        for n in reversed(sizes)
    ]


def labelled(axes):
    return {line.get_label(): line for line in axes.get_lines() if not line.get_label().startswith("_")}


def test_points_are_read_and_sorted():
    drawn = points(family())
    assert [point.x for point in drawn] == [300, 1000, 3000, 10000, 30000]
    first = drawn[0]
    assert first.bound == 0.02 + 12 / 300**0.6
    assert first.test == Estimate(0.9 * 300**-0.5, 0.8 * 300**-0.5, 300**-0.5, 0.95)
    assert (first.holdout, first.unchanged, first.delta) == (0.03, 0.5, 0.035)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("n", 100.0),
        ("examples", 200.0),
        ("epochs", 7.0),
        ("training.epochs", 7.0),
        ("estimates.test error.value", 0.02),
        ("claims.gibbs-sample-risk.value", 0.05),
    ],
)
def test_any_number_can_be_the_axis(key, value):
    document = certificate(100, 0.1, test=(0.02, 0.01, 0.03), training={"epochs": 7, "resumed": True})
    assert points([document], key)[0].x == value


@pytest.mark.parametrize("key", ["prior.scale", "training.resumed", "estimates.nothing.value", "headline", ""])
def test_a_key_that_is_no_number_is_refused(key):
    document = certificate(100, 0.1, test=(0.02, 0.01, 0.03), training={"epochs": 7, "resumed": True})
    with pytest.raises(ValueError, match="key must be a number in every certificate"):
        points([document], key)


def test_a_mistyped_key_names_its_neighbours():
    with pytest.raises(ValueError, match=r"training\.epochs"):
        points([certificate(100, 0.1, training={"epochs": 7})], "training.epoch")


def test_no_certificate_is_refused():
    with pytest.raises(ValueError, match="at least one"):
        points([])


def test_what_is_drawn():
    drawn = points(family())
    axes = draw_curve(drawn, chance=0.9, show_prior=True, fit=fit_points(drawn))
    lines = labelled(axes)
    bound = lines["certified bound (each with prob. ≥ 0.965)"]
    np.testing.assert_array_equal(bound.get_ydata(), [point.bound for point in drawn])
    np.testing.assert_array_equal(bound.get_xdata(), [point.x for point in drawn])
    assert "measured test error (95% interval)" in lines
    assert "bound from held-out data, equal prob." in lines
    assert "bound of the prior itself (Q = P)" in lines
    assert any(label.startswith("fit a n^(−b) + c") and label.endswith("no bound") for label in lines)
    heights = {line.get_ydata()[0] for line in axes.get_lines() if line.get_linestyle() != "None"}
    assert {1.0, 0.9} <= heights
    notes = {text.get_text() for text in axes.texts}
    assert notes == {"vacuous: says nothing from here on up", "guessing: 0.9"}
    assert axes.get_xscale() == axes.get_yscale() == "log"
    assert axes.get_ylim()[0] > 0
    assert axes.get_xlabel()
    assert axes.get_ylabel() == "error rate"


def test_intervals_are_drawn_as_they_are():
    drawn = points(family())
    axes = draw_curve(drawn)
    segments = axes.collections[0].get_segments()
    ends = [(segment[0][1], segment[1][1]) for segment in segments]
    np.testing.assert_allclose(ends, [(point.test.low, point.test.high) for point in drawn])


def test_no_error_seen_is_drawn_on_the_floor_of_a_logarithmic_axis():
    drawn = points([certificate(n, 5 / n, test=(0.0, 0.0, 3.7 / n)) for n in (100, 1000)])
    axes = draw_curve(drawn)
    floor = axes.get_ylim()[0]
    assert axes.get_yscale() == "log"
    assert floor < 3.7 / 1000
    np.testing.assert_allclose(labelled(axes)["measured test error (95% interval)"].get_ydata(), floor)


def test_large_values_stay_linear_and_a_bound_above_one_stays_in_sight():
    drawn = points([certificate(n, value) for n, value in ((100, 1.3), (120, 0.6))])
    axes = draw_curve(drawn)
    assert axes.get_xscale() == axes.get_yscale() == "linear"
    assert axes.get_ylim()[0] == 0.0
    assert axes.get_ylim()[1] > 1.3


def test_seeds_share_a_mean_line():
    drawn = points([certificate(n, value) for n, value in ((100, 0.3), (100, 0.5), (200, 0.2))])
    axes = draw_curve(drawn)
    mean = labelled(axes)["certified bound (each with prob. ≥ 0.965)"]
    np.testing.assert_allclose(mean.get_ydata(), [0.4, 0.2])
    every = [line for line in axes.get_lines() if len(line.get_xdata()) == 3]
    np.testing.assert_allclose(sorted(every[0].get_ydata()), [0.2, 0.3, 0.5])


def test_the_largest_delta_of_the_set_is_the_one_stated():
    drawn = points([certificate(100, 0.3, delta=0.05), certificate(200, 0.2, delta=0.01)])
    assert "certified bound (each with prob. ≥ 0.95)" in labelled(draw_curve(drawn))


def test_drawing_on_given_axes_opens_nothing_and_changes_no_setting():
    import matplotlib as mpl
    from matplotlib import _pylab_helpers
    from matplotlib.figure import Figure

    before = dict(mpl.rcParams)
    axes = Figure().add_subplot()
    assert draw_curve(points(family()), axes) is axes
    assert dict(mpl.rcParams) == before
    assert not _pylab_helpers.Gcf.get_all_fig_managers()


def test_files_are_the_same_each_time(tmp_path):
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    contents = []
    for name in ("first", "second"):
        png, svg = save_figure(draw_curve(points(family())), tmp_path / "figures" / name)
        assert png.read_bytes().startswith(b"\x89PNG")
        contents.append((png.read_bytes(), svg.read_bytes()))
    assert contents[0] == contents[1]
    assert b"<svg" in contents[0][1]
    assert dict(mpl.rcParams) == before


def test_the_fit_is_weighted_by_the_intervals():
    fit = fit_points(points(family()))
    assert fit.b.value == pytest.approx(0.5, abs=1e-3)
    np.testing.assert_allclose(fit.standard_errors, 0.2 * fit.sizes**-0.5 / (2 * 1.959964), rtol=1e-6)


def test_the_fit_needs_four_measured_sizes():
    with pytest.raises(ValueError, match="at least four different"):
        fit_points(points(family())[:3])
