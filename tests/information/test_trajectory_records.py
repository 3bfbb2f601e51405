import math
from dataclasses import replace

import numpy as np
import pytest

from genbounds.information import negrea
from genbounds.information.langevin.trajectory_records import TrajectoryRecord, trajectory_estimates, trajectory_table


def record(generator, steps=3, n=10, **changes):
    moments = generator.uniform(0.5, 2, (5, steps))
    made = TrajectoryRecord(
        n=n,
        dimension=4,
        step_sizes=np.full(steps, 0.1),
        noise_scales=np.full(steps, 0.2),
        batch_sizes=np.full(steps, 5),
        batch_indices=np.arange(steps) % 2,
        squared_batch_gradients=moments[0],
        squared_gradient_norms=moments[1],
        centred_gradient_norms=moments[2],
        gradient_variances=moments[3],
        batch_spreads=moments[4],
        weighted_differences=None,
        uniform_batches=True,
    )
    return replace(made, **changes)


def test_expectations_are_averaged_inside_the_root():
    generator = np.random.default_rng(0)
    records = [record(generator) for _ in range(7)]
    given = (np.full(3, 0.1), np.full(3, 0.2), np.full(3, 5), 10, 0.5)
    inside = negrea(np.mean([one.gradient_variances for one in records], axis=0), *given)
    roots = np.mean([negrea(one.gradient_variances, *given) for one in records])
    estimate = trajectory_estimates(records, 0.5)["negrea"]
    assert estimate.value == inside > roots
    assert estimate.n == 7
    assert estimate.interval[0] < inside < estimate.interval[1]


def test_the_jackknife_finds_the_spread_of_the_estimate():
    """120 repetitions of 15 runs: the standard errors agree with the spread that the estimates have."""
    generator = np.random.default_rng(1)
    found = [trajectory_estimates([record(generator) for _ in range(15)], 0.5)["pensia"] for _ in range(120)]
    spread = np.std([estimate.value for estimate in found])
    assert np.mean([estimate.standard_error for estimate in found]) == pytest.approx(spread, rel=0.25)


def test_what_differs_between_runs_drops_out_or_is_refused():
    generator = np.random.default_rng(2)
    one = record(generator)
    assert "wang_gao_calmon" in trajectory_estimates([one, record(generator)], 0.5)
    others = [record(generator, batch_indices=np.array([1, 1, 0])), record(generator, batch_indices=None)]
    for other in others:
        assert "wang_gao_calmon" not in trajectory_estimates([one, other], 0.5)
        assert "wang_gao_calmon" not in trajectory_estimates([other, one], 0.5)
    assert "haghifam_langevin" in trajectory_estimates([record(generator, weighted_differences=np.ones(3))], 0.5)
    assert sorted(trajectory_estimates([record(generator, n=1, batch_sizes=np.ones(3), batch_indices=None)], 0.5)) == [
        "li_luo_qiao",
        "pensia",
    ]
    for change in ({"n": 11}, {"step_sizes": np.full(3, 0.2)}, {"noise_scales": np.full(3, 0.1)}):
        with pytest.raises(ValueError, match="records must be runs made with the same steps"):
            trajectory_estimates([one, record(generator, **change)], 0.5)
    with pytest.raises(ValueError, match="records must be runs"):
        trajectory_estimates([], 0.5)


def test_the_table_says_what_it_holds():
    generator = np.random.default_rng(3)
    one = trajectory_table(trajectory_estimates([record(generator)], 0.5))
    assert one.startswith("estimates from 1 run of bounds")
    assert "+-" not in one
    several = trajectory_table(trajectory_estimates([record(generator) for _ in range(3)], 0.5))
    assert several.startswith("estimates from 3 runs of bounds")
    assert several.count("+-") == several.count("on average over") == 5
    values = [float(line.split("+-")[0].split()[-1]) for line in several.splitlines()[1:]]
    assert values == sorted(values)
    assert not math.isnan(values[0])
