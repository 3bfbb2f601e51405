"""The curve: what is read from certificates, what is drawn, and that drawing leaves nothing behind."""

import dataclasses

import numpy as np
import pytest

from genbounds.report.curve import draw_curve, fit_points, numbers, points, save_figure

SIZES = (300, 1000, 3000, 10000, 30000)
BOUND = "certified bound (each with prob. ≥ 0.965)"
TEST = "measured test error (95% interval)"


@pytest.fixture(scope="module")
def family(issue_certificate):
    """Certificates over n whose test errors follow 0.9 n^(-1/2), out of order."""
    found = []
    for n in reversed(SIZES):
        test = round(10_000 * 0.9 * n**-0.5)
        found.append(issue_certificate(n, errors=round(0.2 * n), kl=n**0.5, held_out=n // 50, test=(test, 10_000)))
    return found


@pytest.fixture(scope="module")
def drawn(family):
    return points(family)


def labelled(axes):
    return {line.get_label(): line for line in axes.get_lines() if not line.get_label().startswith("_")}


def test_points_are_read_and_sorted(family, drawn):
    assert [point.x for point in drawn] == list(SIZES)
    first, certificate = drawn[0], family[-1]
    assert first.bound == certificate.value
    assert first.test == certificate.estimates[0]
    assert first.holdout == certificate.comparisons[0].value
    assert first.unchanged == certificate.comparisons[1].value
    assert first.delta == 0.035


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("n", 1000.0),
        ("kl", 5.0),
        ("sample.examples", 3000.0),
        ("parameters", 4810.0),
        ("training.epochs", 12.0),
        ("posterior.training.epochs", 12.0),
        ("estimates.test error.value", 0.014),
        ("test error", 0.014),
        ("claims.gibbs-sample-risk.inputs.draws", 10000.0),
    ],
)
def test_any_number_can_be_the_axis(issue_certificate, key, value):
    assert points([issue_certificate(1000, kl=5.0, epochs=12)], key)[0].x == value


def test_truth_values_and_texts_are_no_numbers(issue_certificate):
    known = numbers(issue_certificate())
    assert "vacuous" not in known
    assert not any(key.startswith(("headline", "versions", "digest")) for key in known)
    assert all(isinstance(value, float) for value in known.values())


@pytest.mark.parametrize("key", ["prior.scale", "vacuous", "estimates.nothing.value", "headline", ""])
def test_a_key_that_is_no_number_is_refused(issue_certificate, key):
    with pytest.raises(ValueError, match="key must be one number in every certificate"):
        points([issue_certificate()], key)


def test_an_ambiguous_key_names_what_it_could_be(issue_certificate):
    with pytest.raises(ValueError, match=r"several in one.*posterior\.training\.epochs or draws\.epochs"):
        points([issue_certificate()], "epochs")


def test_a_mistyped_key_names_its_neighbours(issue_certificate):
    with pytest.raises(ValueError, match=r"posterior\.training\.epochs"):
        points([issue_certificate()], "posterior.training.epoch")


def test_positions_may_be_given(family):
    placed = points(family[:3], at=[0.0, 0.2, 0.1])
    assert [(point.x, point.bound) for point in placed] == [
        (0.0, family[0].value),
        (0.1, family[2].value),
        (0.2, family[1].value),
    ]
    with pytest.raises(ValueError, match="one position for each of the 3 certificates, got 2"):
        points(family[:3], at=[0.0, 0.2])


def test_no_certificate_is_refused():
    with pytest.raises(ValueError, match="at least one"):
        points([])


def test_what_is_drawn(drawn):
    axes = draw_curve(drawn, chance=0.9, show_prior=True, fit=fit_points(drawn))
    lines = labelled(axes)
    np.testing.assert_array_equal(lines[BOUND].get_ydata(), [point.bound for point in drawn])
    np.testing.assert_array_equal(lines[BOUND].get_xdata(), SIZES)
    np.testing.assert_array_equal(lines[TEST].get_ydata(), [point.test.value for point in drawn])
    held_out = lines["bound from held-out data, equal prob."]
    np.testing.assert_array_equal(held_out.get_ydata(), [point.holdout for point in drawn])
    prior = lines["bound of the prior itself (Q = P)"]
    np.testing.assert_array_equal(prior.get_ydata(), [point.unchanged for point in drawn])
    assert any(label.startswith("fit a n^(−b) + c") and label.endswith("no bound") for label in lines)
    heights = {line.get_ydata()[0] for line in axes.get_lines()}
    assert {1.0, 0.9} <= heights
    assert {text.get_text() for text in axes.texts} == {"vacuous: says nothing from here on up", "guessing: 0.9"}
    assert axes.get_xscale() == axes.get_yscale() == "log"
    assert axes.get_ylim()[0] > 0
    assert axes.get_xlabel() == "examples the bound rests on, n"
    assert axes.get_ylabel() == "error rate"


def test_the_prior_and_guessing_are_drawn_only_when_asked(drawn):
    axes = draw_curve(drawn)
    assert not any("prior" in label or "fit" in label for label in labelled(axes))
    assert len(axes.texts) == 1


def test_intervals_are_drawn_as_they_are(drawn):
    segments = draw_curve(drawn).collections[0].get_segments()
    ends = [(segment[0][1], segment[1][1]) for segment in segments]
    np.testing.assert_allclose(ends, [point.test.interval for point in drawn])


def test_no_error_seen_is_drawn_on_the_floor_of_a_logarithmic_axis(issue_certificate):
    drawn = points([issue_certificate(n, errors=n // 50, kl=1.0, test=(0, 1000)) for n in (1000, 9000)])
    axes = draw_curve(drawn)
    floor = axes.get_ylim()[0]
    assert axes.get_yscale() == "log"
    assert 0 < floor < min(point.bound for point in drawn)
    np.testing.assert_allclose(labelled(axes)[TEST].get_ydata(), floor)


def test_large_values_stay_linear(issue_certificate):
    drawn = points([
        issue_certificate(n, errors=3 * n, kl=5.0, held_out=n // 2, test=(300, 1000)) for n in (1000, 1200)
    ])
    axes = draw_curve(drawn)
    assert axes.get_xscale() == axes.get_yscale() == "linear"
    assert axes.get_ylim()[0] == 0.0
    assert axes.get_ylim()[1] > 1.0


def test_the_scales_can_be_chosen(drawn):
    axes = draw_curve(drawn, log_x=False, log_y=False)
    assert axes.get_xscale() == axes.get_yscale() == "linear"


def test_seeds_share_a_mean_line(family):
    drawn = points(family[:3], at=[1.0, 1.0, 2.0])
    axes = draw_curve(drawn)
    first, second, third = (point.bound for point in drawn)
    np.testing.assert_allclose(labelled(axes)[BOUND].get_ydata(), [(first + second) / 2, third])
    every = [line.get_ydata() for line in axes.get_lines() if len(line.get_xdata()) == 3]
    np.testing.assert_allclose(every[0], [first, second, third])


def test_the_largest_delta_of_the_set_is_the_one_stated(issue_certificate):
    drawn = points([issue_certificate(1000, delta=0.05), issue_certificate(2000, delta=0.01)])
    assert "certified bound (each with prob. ≥ 0.95)" in labelled(draw_curve(drawn))
    assert "certified bound (prob. ≥ 0.99)" in labelled(draw_curve(drawn[1:]))


def test_drawing_opens_nothing_and_changes_no_setting(drawn):
    import matplotlib as mpl
    from matplotlib import _pylab_helpers
    from matplotlib.figure import Figure

    before = dict(mpl.rcParams)
    axes = Figure().add_subplot()
    assert draw_curve(drawn, axes) is axes
    assert dict(mpl.rcParams) == before
    assert not _pylab_helpers.Gcf.get_all_fig_managers()


def test_files_are_the_same_each_time(drawn, tmp_path):
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    contents = []
    for name in ("first", "second"):
        png, svg = save_figure(draw_curve(drawn), tmp_path / "figures" / name)
        assert png.read_bytes().startswith(b"\x89PNG")
        contents.append((png.read_bytes(), svg.read_bytes()))
    assert contents[0] == contents[1]
    assert b"<svg" in contents[0][1]
    assert dict(mpl.rcParams) == before


def test_the_fit_is_weighted_by_the_intervals(drawn):
    fit = fit_points(drawn)
    assert fit.b.low < 0.5 < fit.b.high
    widths = [high - low for low, high in (point.test.interval for point in drawn)]
    np.testing.assert_allclose(fit.standard_errors, np.array(widths) / (2 * 1.959964), rtol=1e-6)


def test_the_fit_needs_four_measured_sizes(drawn):
    unmeasured = [dataclasses.replace(point, test=None) for point in drawn[3:]]
    with pytest.raises(ValueError, match="at least four different"):
        fit_points([*drawn[:3], *unmeasured])
