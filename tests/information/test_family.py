"""The family of bounds of one record: what enters, exact coverage of all rows at once, identities, and refusals."""

import dataclasses
import itertools
import json
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genbounds.information import Supersamples, applicable, draw_masks, family
from genbounds.information.estimation.observations import INFORMATIONS, observe
from genbounds.numerics.discrete_information import mutual_information
from genbounds.theorems import get
from genbounds.worlds import SupersampleLearning, blurred, classification, erm

NAMES = [*INFORMATIONS, "e_mi", "ld_mi", "single_loss_mi"]
THEOREMS = applicable(NAMES)
QUICK = {"replicates": 2, "permutations": 2, "points": 1}


def pairs_of_masks(supersamples, trainings, n, seed=0):
    return np.stack([draw_masks(trainings, n, seed=seed, supersample=s) for s in range(supersamples)])


def experiment(rate, supersamples=3, trainings=20, n=10, seed=0, hard=0.3, train_rate=0.0):
    """A network that errs on hard ghosts with some rate, and on anything it was trained on with another."""
    rng = np.random.default_rng(seed)
    masks = pairs_of_masks(supersamples, trainings, n, seed)
    ghost = masks[..., None] != np.arange(2)
    difficult = rng.random((supersamples, 1, n, 2)) < hard
    wrong = np.where(ghost, difficult & (rng.random(ghost.shape) < rate), rng.random(ghost.shape) < train_rate)
    return masks, wrong.astype(int), wrong.astype(float)


@pytest.fixture(scope="module")
def told():
    return family(*experiment(0.8, train_rate=0.02), classes=2, points=3)


def test_every_theorem_of_the_conditional_family_enters():
    names = {name.rpartition(".")[2] for name in THEOREMS}
    assert {
        "harutyunyan",
        "hellstrom_durisi",
        "wang_mao_differences",
        "wang_mao_variance",
        "wang_mao_hellinger",
        "wang_mao_jensen_shannon",
        "wang_mao_chi_squared",
        "hellstrom_durisi_kl",
        "hellstrom_durisi_linear",
        "sharp_ld_cmi",
        "hellstrom_durisi_averaged",
        "wang_mao_differences_averaged",
        "wang_mao_single_loss",
        "sharp_ld_mi",
        "wang_mao_fast",
        "wang_mao_closed",
        "dong",
        "wang_mao_interpolation",
    } <= names
    assert not names & {"steinke_zakynthinou", "haghifam_individual", "xu_raginsky", "haghifam_leave_one_out"}


def test_theorems_of_other_packages_do_not_enter(monkeypatch):
    """The largest information of all pairs bounds the gap, but a limit of averages is none for it."""
    own = get("information.wang_mao_differences")

    def largest(ld_cmi):
        return np.sqrt(2 * np.max(ld_cmi, axis=-1))

    largest.__module__ = "elsewhere.bounds"
    foreign = dataclasses.replace(own, name="elsewhere.largest", function=largest)
    monkeypatch.setitem(applicable.__globals__, "catalogue", lambda: {own.name: own, "f": foreign})
    assert list(applicable(NAMES)) == [own.name]


def test_rounding_of_graded_losses_stays_on_the_safe_side():
    """Mean losses in floating point may be below those of the rational losses: Observations.error covers that."""
    levels = np.arange(11) / 11
    masks = pairs_of_masks(1, 40, 49)
    losses = np.random.default_rng(0).choice(levels, (*masks.shape, 2))
    seen = observe(masks, None, losses, levels=levels)
    train = np.where(masks == 1, losses[..., 1], losses[..., 0])
    exact = [sum(map(Fraction, row.tolist())) / 49 for row in train[0]]
    errors = [value - Fraction(float(found)) for value, found in zip(exact, seen.risks[0][0], strict=True)]
    assert 0 < max(errors) <= Fraction(seen.error)


@pytest.mark.parametrize("name", THEOREMS)
@settings(max_examples=25)
@given(st.integers(0, 10**6))
def test_rows_depend_on_pairs_through_concave_averages(name, seed):
    """What limits are used for: averaging arguments over any set of pairs, or raising them, never lowers a theorem."""
    theorem, information = THEOREMS[name]
    rng = np.random.default_rng(seed)
    n = 6
    values = {
        information: rng.random(n) ** 3 * 0.6,
        "squared_differences": rng.random(n) ** 2,
        "train_risk": rng.random() ** 3,
    }
    chosen = rng.random(n) < 0.5
    averaged, raised = dict(values), dict(values)
    per_pair = [information, "squared_differences"] if "squared_differences" in theorem.arguments else [information]
    for argument in per_pair:
        averaged[argument] = values[argument].copy()
        if chosen.any():
            averaged[argument][chosen] = values[argument][chosen].mean()
        raised[argument] = values[argument] + rng.random(n) * 0.1
    raised["train_risk"] = values["train_risk"] + (1 - values["train_risk"]) * rng.random() * 0.2
    parameters = {
        parameter.name: parameter.low + (parameter.high - parameter.low) * rng.uniform(0.05, 0.95)
        for parameter in theorem.parameters
    }

    def at(quantities):
        given_to = {argument: quantities[argument] for argument in theorem.arguments if argument in quantities}
        return float(theorem.function(**given_to, **parameters))

    assert at(averaged) >= at(values) - 1e-9
    assert at(raised) >= at(values) - 1e-9


COIN = classification([0.5, 0.5], inputs=[0, 0], labels=[0, 1])


@pytest.mark.parametrize("delta", [0.3, 0.9])
def test_all_limits_hold_at_once(delta):
    """Every record of four trainings on one pair of opposite faces of a coin, weighed exactly."""
    learning = SupersampleLearning(COIN, blurred(erm, 0.4), 1)
    (number,) = [row for row, pair in enumerate(learning.points[:, 0].tolist()) if pair == [0, 1]]
    truth = {"gap": abs(float(learning.gaps[number])), "risk": float(learning.risk[number])}
    kernels = [learning.learner(COIN, np.array([[face]]))[0] for face in (0, 1)]
    masks = np.array([0, 1, 0, 1]).reshape(1, 4, 1)
    failed, estimates_below, total = 0.0, 0.0, 0.0
    for outputs in itertools.product(range(len(COIN.prior)), repeat=4):
        weight = math.prod(kernels[u][w] for u, w in zip(masks.ravel(), outputs, strict=True))
        losses = COIN.losses[list(outputs)].reshape(1, 4, 1, 2)
        rows = family(
            masks, COIN.predictions[list(outputs)].reshape(losses.shape), losses, delta, classes=2, **QUICK
        ).rows
        total += weight
        failed += weight * any(float(row.limit) < truth[row.bounds] - 1e-12 for row in rows)
        estimates_below += weight * any(row.estimate.value < truth[row.bounds] - 1e-12 for row in rows)
    assert total == pytest.approx(1)
    assert failed <= delta
    assert estimates_below > 0.3  # an estimate in the place of a limit is caught


def test_plug_in_values_are_those_of_the_tables():
    masks, predictions, losses = experiment(0.6, supersamples=2, trainings=12, n=4)
    values = observe(masks, predictions, losses, classes=2).plug_in()
    for s, i in np.ndindex(2, 4):
        seen = {
            "f_cmi": predictions[s, :, i, 0] * 2 + predictions[s, :, i, 1],
            "e_cmi": losses[s, :, i, 0] * 2 + losses[s, :, i, 1],
            "ld_cmi": losses[s, :, i, 1] - losses[s, :, i, 0],
        }
        for name, symbols in seen.items():
            table = np.array([
                [np.mean((masks[s, :, i] == u) & (symbols == v)) for v in np.unique(symbols)] for u in (0, 1)
            ])
            assert values[name][s * 4 + i] == pytest.approx(float(mutual_information(table)), abs=1e-12)
        assert values["squared_differences"][s * 4 + i] == pytest.approx(np.mean(seen["ld_cmi"] ** 2))
    trained = np.take_along_axis(losses, masks[..., None], axis=3)
    assert values["train_risk"] == pytest.approx(trained.mean())
    assert values["ghost_risk"] == pytest.approx((losses.sum() - trained.sum()) / trained.size)


def test_rows_are_the_theorems_at_those_values(told):
    values = observe(*experiment(0.8, train_rate=0.02), classes=2).plug_in()
    for row in told.rows:
        theorem = get(row.theorem)
        if not theorem.parameters:
            wanted = theorem.function(**{name: values[name] for name in theorem.arguments})
            assert row.estimate.value == pytest.approx(float(wanted), abs=1e-14)
    best = min(
        float(get("hellstrom_durisi_linear").function(values["train_risk"], values["e_cmi"], g))
        for g in np.linspace(0.001, 0.69, 2000)
    )
    assert told["hellstrom_durisi_linear"].estimate.value == pytest.approx(best, rel=0.01)


def test_what_restates_the_test_error_says_so(told):
    assert told["dong"].estimate.value == pytest.approx(told.ghost_risk.value, abs=1e-7)
    assert told["dong"].share == 1.0
    assert told["dong"].restates
    assert 0 < told["harutyunyan"].share < 1
    assert told["wang_mao_chi_squared"].share is None
    assert not told["harutyunyan"].ghost_losses
    assert told["sharp_ld_mi"].ghost_losses


def test_limits_are_above_estimates_and_estimates_above_the_gap(told):
    for row in told.rows:
        assert row.estimate.value <= float(row.limit) <= float(row.population) <= 1.0
        assert row.limit.delta == told.delta == 0.05
        assert row.population.delta == pytest.approx(0.075)
        measured = told.gap if row.bounds == "gap" else told.ghost_risk
        assert row.estimate.value >= measured.value - 1e-7
    assert told.gap.value <= float(told.gap_limit) <= 1
    assert told.ghost_risk.value <= float(told.ghost_risk_limit) <= 1
    for bounds in ("gap", "risk"):
        assert float(told.tightest(bounds).limit) == min(float(row.limit) for row in told.rows if row.bounds == bounds)


def test_masks_that_say_nothing_lie_on_the_floor():
    rng = np.random.default_rng(0)
    masks = pairs_of_masks(4, 30, 20)
    wrong = rng.random((4, 30, 20, 2)) < 0.3
    told = family(masks, wrong.astype(int), wrong.astype(float), classes=2, points=1)
    row = told["harutyunyan"]
    assert row.estimate.value == pytest.approx(row.floor.value, rel=0.1)
    signal = family(*experiment(1.0), classes=2, points=1)["harutyunyan"]
    assert signal.estimate.value > 2 * signal.floor.value


def test_naming_the_columns_the_other_way_round_changes_nothing():
    masks, predictions, losses = experiment(0.7)
    told = family(masks, predictions, losses, classes=2, **QUICK)
    swapped = family(1 - masks, predictions[..., ::-1], losses[..., ::-1], classes=2, **QUICK)
    for row, other in zip(told.rows, swapped.rows, strict=True):
        assert row.estimate.value == pytest.approx(other.estimate.value, abs=1e-12)
        assert float(row.limit) == pytest.approx(float(other.limit), abs=1e-9)


def test_the_seed_moves_no_limit(told):
    again = family(*experiment(0.8, train_rate=0.02), classes=2, points=3)
    other = family(*experiment(0.8, train_rate=0.02), classes=2, points=3, seed=1)
    assert again == told
    for row, moved in zip(told.rows, other.rows, strict=True):
        assert row.limit == moved.limit
        assert row.estimate.value == moved.estimate.value
    assert told["dong"].estimate.standard_error != other["dong"].estimate.standard_error


def test_the_interval_covers_what_supersamples_and_trainings_do():
    """The resampled standard error of the gap against the spread over fresh experiments."""
    settings = QUICK | {"replicates": 40}
    fresh = [family(*experiment(0.7, 8, 10, 6, seed=seed), classes=2, **settings).gap for seed in range(16)]
    spread = np.std([gap.value for gap in fresh], ddof=1)
    assert np.mean([gap.standard_error for gap in fresh]) == pytest.approx(spread, rel=0.45)


def test_the_growth_ends_in_the_rows(told):
    assert told.growth.trainings == (4, 8, 20)
    for row in told.rows:
        assert told.growth.estimates[row.theorem][-1] == row.estimate.value
        assert told.growth.limits[row.theorem][-1] == float(row.limit)
        assert told.growth.floors[row.theorem][-1] == pytest.approx(row.floor.value)
    first = family(*(part[:, :8] for part in experiment(0.8, train_rate=0.02)), classes=2, **QUICK)
    for row in first.rows:
        assert told.growth.limits[row.theorem][1] == pytest.approx(float(row.limit), abs=1e-12)
        assert told.growth.estimates[row.theorem][1] == pytest.approx(row.estimate.value, abs=1e-12)


def test_from_the_saved_record_alone(told, tmp_path):
    record = Supersamples(*experiment(0.8, train_rate=0.02), provenance={})
    record.save(tmp_path / "record.npz")
    read = Supersamples.load(tmp_path / "record.npz")
    assert family(read.masks, read.predictions, read.losses, classes=2, points=3) == told


def test_json(told):
    content = json.loads(json.dumps(told.to_json(), allow_nan=False))
    assert content["rows"][0]["theorem"] == told.rows[0].theorem
    assert content["rows"][0]["limit"]["value"] == float(told.rows[0].limit)
    assert content["growth"]["trainings"] == list(told.growth.trainings)
    assert content["gap"]["interval"] == list(told.gap.interval)


def test_without_predictions_and_with_more_levels():
    masks, _, losses = experiment(0.8)
    told = family(masks, None, losses / 2, levels=(0, 0.25, 0.5), **QUICK)
    names = {row.information for row in told.rows}
    assert "f_cmi" not in names
    assert {"e_cmi", "ld_cmi", "single_loss_mi"} <= names
    assert told.gap.value == pytest.approx(family(masks, None, losses, **QUICK).gap.value / 2)


def test_independent_masks():
    rng = np.random.default_rng(0)
    masks = rng.integers(0, 2, (3, 31, 5))
    wrong = (masks[..., None] != np.arange(2)) & (rng.random((3, 31, 5, 2)) < 0.5)
    told = family(masks, wrong.astype(int), wrong.astype(float), classes=2, design="independent", points=2)
    assert told.design == "independent"
    assert told.growth.trainings == (2, 31)
    assert all(row.estimate.value <= float(row.limit) for row in told.rows)
    with pytest.raises(ValueError, match="must be pairs U, 1 - U"):
        family(masks, wrong.astype(int), wrong.astype(float), classes=2)


def test_a_row_is_found_by_either_name(told):
    assert told["information.dong"] is told["dong"]
    with pytest.raises(KeyError, match=r"must be one of the family, got 'maurer'.*dong"):
        told["maurer"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"masks": np.zeros((2, 3))}, "masks must be zeros and ones"),
        ({"predictions": np.zeros((1, 2, 3))}, r"predictions must have shape \(3, 20, 10, 2\)"),
        ({"losses": np.zeros((3, 20, 10))}, r"losses must have shape \(3, 20, 10, 2\)"),
        ({"predictions": np.full((3, 20, 10, 2), 2)}, "predictions must be classes from 0 to 1"),
        ({"predictions": np.zeros((3, 20, 10, 2))}, "predictions must be classes from 0 to 1, got dtype float64"),
        ({"losses": np.full((3, 20, 10, 2), 0.5)}, r"losses must be among the levels \[0.0, 1.0\], got 0.5"),
        ({"losses": np.full((3, 20, 10, 2), np.nan)}, "losses must be a number"),
        ({"losses": np.full((3, 20, 10, 2), 1.5)}, r"losses must be in \[0, 1\]"),
        ({"classes": None}, "classes must be given with predictions"),
        ({"classes": 1}, "classes must be a whole number of at least 2"),
        ({"levels": (0.0, 2.0)}, r"levels must be in \[0, 1\]"),
        ({"delta": 0.0}, "delta must be"),
        ({"delta": math.nan}, "delta must be"),
        ({"permutations": 1}, "permutations must be a whole number of at least 2"),
        ({"points": 0}, "points must be a whole number"),
        ({"seed": -1}, "seed must be a whole number of at least 0"),
    ],
)
def test_what_does_not_fit_is_refused(change, message):
    arguments = dict(zip(("masks", "predictions", "losses"), experiment(0.5), strict=True)) | {"classes": 2} | QUICK
    with pytest.raises(ValueError, match=message):
        family(**(arguments | change))


def test_one_prediction_has_one_loss():
    masks, predictions, losses = experiment(0.5)
    with pytest.raises(ValueError, match="losses must be decided by the predictions"):
        family(masks, np.zeros_like(predictions), losses, classes=2)
