"""A data set's difficulty in one call: its ingredients, its interval, and MNIST's constants from its examples."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from genbounds.inductive_bias import (
    class_separation,
    classification_difficulty,
    maximum_likelihood_dimension,
    nearest_neighbours,
    task_difficulty,
)
from genbounds.numerics.estimates import Estimate

DATA = Path(__file__).parents[3] / "shared" / "data"


@pytest.fixture(scope="module")
def ring():
    """Three classes on a circle in twenty dimensions, with gaps between them."""
    rng = np.random.default_rng(0)
    labels = rng.integers(3, size=900)
    angle = (labels + 0.999 * rng.random(900)) * 2 * np.pi / 3
    frame = np.linalg.qr(rng.standard_normal((20, 20)))[0][:2]
    return np.stack([np.cos(angle), np.sin(angle)], axis=1) @ frame, labels


def test_its_ingredients_are_those_of_the_parts(ring):
    points, labels = ring
    found = task_difficulty(points, labels, eps=0.01)
    m = maximum_likelihood_dimension(nearest_neighbours(points, 5), 5)
    delta = class_separation(points, labels)[0]
    assert found.dimension == m
    assert (found.separation.value, found.separation.standard_error, found.separation.level) == (delta, 0, 1)
    expected = classification_difficulty(
        dimension=m.value, separation=delta, radius=found.task.radius, examples=900, classes=3, eps=0.01
    )
    assert found.task == expected
    assert found.task.radius == pytest.approx(1, rel=1e-12)
    assert m.value == pytest.approx(1, abs=0.1)
    assert found.level == pytest.approx(0.95)
    assert found.ln_nats[0] < found.task.ln_nats < found.ln_nats[1]


def test_the_interval_is_the_range_over_both_intervals(ring):
    points, labels = ring
    m = Estimate(3.0, 0.3, (2.5, 3.5), 0.9, 900, "made up")
    delta = Estimate(0.1, 0.02, (0.05, 0.2), 0.97, 900, "made up")
    found = task_difficulty(points, labels, eps=0.01, dimension=m, separation=delta)
    assert found.level == pytest.approx(0.87)
    values = [
        classification_difficulty(
            dimension=one, separation=other, radius=found.task.radius, examples=900, classes=3, eps=0.01
        ).ln_nats
        for one in np.linspace(2.5, 3.5, 33)
        for other in np.linspace(0.05, 0.2, 33)
    ]
    assert found.ln_nats == pytest.approx((min(values), max(values)), rel=1e-12)


def test_where_the_information_is_not_monotone_in_the_dimension(ring):
    """Below a cut-off of a few waves more dimensions leave less room: the ends of the interval are not its extremes."""
    points, labels = ring
    m = Estimate(10.0, 1.0, (1.0, 60.0), 0.95, 900, "made up")
    found = task_difficulty(points, labels, eps=1e-6, dimension=m, separation=1.0)
    ends = [task_difficulty(points, labels, eps=1e-6, dimension=end, separation=1.0).task.ln_nats for end in m.interval]
    assert found.ln_nats[1] > max(ends) + 1


def test_a_separation_that_may_be_nothing_leaves_no_upper_end(ring):
    points, labels = ring
    delta = Estimate(0.1, 0.1, (0.0, 0.2), 0.95, 900, "made up")
    found = task_difficulty(points, labels, eps=0.01, dimension=2, separation=delta)
    assert found.ln_nats[1] == math.inf
    assert "to infinity bits" in str(found)
    content = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert float(content["interval"][1]) == math.inf
    assert content["estimates"]["separation"]["interval"] == [0.0, 0.2]


def test_scale_order_and_dtype_do_not_matter(ring):
    points, labels = ring
    one = task_difficulty(points, labels, eps=0.01)
    order = np.random.default_rng(1).permutation(900)
    other = task_difficulty(255 * points[order].reshape(900, 4, 5), labels[order] + 5, eps=0.01)
    assert other.task.ln_nats == pytest.approx(one.task.ln_nats, rel=1e-9)
    assert other.ln_nats == pytest.approx(one.ln_nats, rel=1e-9)


def test_the_record_speaks(ring):
    text = str(task_difficulty(*ring, eps=0.01))
    assert "UPPER BOUND OF AN UPPER BOUND" in text
    assert "pooled" in text
    assert "bits at a nominal 95 %" in text
    assert "Outside of its regime" in str(task_difficulty(*ring, eps=1e6))


def test_what_is_no_data_set_is_refused(ring):
    points, labels = ring
    twins = np.concatenate([points, points[:1]])
    with pytest.raises(ValueError, match="equal ones, numbers 0 and 900"):
        task_difficulty(twins, np.append(labels, labels[0] + 1), eps=0.01, dimension=2)
    with pytest.raises(ValueError, match="points must be distinct"):
        task_difficulty(twins, np.append(labels, labels[0]), eps=0.01)
    with pytest.raises(ValueError, match="labels must be of shape"):
        task_difficulty(points, labels[:-1], eps=0.01)
    with pytest.raises(ValueError, match="separation must be positive"):
        task_difficulty(points, labels, eps=0.01, separation=0)
    with pytest.raises(ValueError, match="eps must be positive"):
        task_difficulty(points, labels, eps=0, separation=0.1, dimension=1)


@pytest.mark.slow
@pytest.mark.skipif(not (DATA / "mnist").is_dir(), reason="needs MNIST beside the repository")
def test_the_published_constants_of_mnist_are_those_of_its_examples():
    """Radius, dimension once rounded, separation (a 1 and a 7 are the nearest of all, as a longer search found)."""
    from genbounds.models import load_data

    data = load_data(DATA / "mnist")
    images, labels = data.inputs.numpy(), data.targets.numpy()
    near = np.isin(labels, [1, 7])
    delta, _ = class_separation(images[near], labels[near])
    found = task_difficulty(images, labels, eps=0.001, queries=1500, separation=delta)
    assert found.task.radius / 255 == pytest.approx(17.179045827183984, rel=1e-13)
    assert delta / 255 == pytest.approx(2.3987084824335305, rel=1e-13)
    assert round(found.dimension.value) == 14
    rounded = task_difficulty(images, labels, eps=0.001, dimension=14, separation=delta)
    assert rounded.task.bits == pytest.approx(1.4848e16, rel=1e-4)
