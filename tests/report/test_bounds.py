"""The picture of bounds against test errors: what is drawn, and what is refused."""

import numpy as np
import pytest

from genbounds.cli.app import main
from genbounds.pac_bayes import clopper_pearson
from genbounds.report.bounds import draw_bounds


def lines(figure):
    return {line.get_label(): line for line in figure.axes[0].get_lines()}


def test_points_lines_and_the_bound_by_the_test_examples():
    drawn = lines(draw_bounds([0.0, 0.1, 0.25], {"mine": [0.3, 5.0, 0.4]}, 40, delta=0.1))
    np.testing.assert_allclose(drawn["mine"].get_xdata(), [0.5 / 40, 0.1, 0.25])
    np.testing.assert_allclose(drawn["mine"].get_ydata(), [0.3, 5.0, 0.4])
    np.testing.assert_allclose(
        drawn["the 40 test examples"].get_ydata(), [clopper_pearson(k, 40, 0.1) for k in (0, 4, 10)]
    )
    assert set(drawn["says nothing above"].get_ydata()) == {1}


@pytest.mark.parametrize(
    ("errors", "bounds", "words"),
    [
        ([0.123], {"a": [1.0]}, "whole numbers"),
        ([1.5], {"a": [1.0]}, "test_errors"),
        ([0.1], {"a": [0.0]}, "bounds of a"),
        ([0.1], {"a": [1.0, 2.0]}, "one for each"),
    ],
)
def test_what_is_refused(errors, bounds, words):
    with pytest.raises(ValueError, match=words):
        draw_bounds(errors, bounds, 100)


def test_the_command_draws_it(tmp_path, capsys):
    rows = ["size,rate,gap,norm,test_error,mine"]
    rows += [
        f"{size},{rate},{10 / size},{rate * size},{10 / size},{3.0 / rate}" for size in (100, 200) for rate in (1, 2)
    ]
    (tmp_path / "runs.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    common = ["rank", str(tmp_path / "runs.csv"), "--measures", "norm", "--axes", "size", "rate", "--bounds", "mine"]
    common += ["--out", str(tmp_path / "out"), "--permutations", "9", "--draws", "9"]
    assert main([*common, "--test-error", "test_error", "--test-examples", "100"]) == 0
    assert (tmp_path / "out" / "bounds.png").stat().st_size > 10_000
    assert "bounds.png" in capsys.readouterr().out
    assert main(common) != 0
    assert "--test-error" in capsys.readouterr().err
