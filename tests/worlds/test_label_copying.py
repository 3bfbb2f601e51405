import math
from itertools import product

import numpy as np
import pytest

from genbounds.numerics.discrete_information import lautum_information, mutual_information, sibson_information
from genbounds.worlds import FiniteWorld, LabelCopier, LabelMemoriser, Learning, copying_problem, tabulated


def table(world, copy):
    """Joint law of the sample's labels and of W's names for its inputs: `copy` is what W knows of them."""
    classes = getattr(world, "classes", 2)
    words = np.array(list(product(range(classes), repeat=world.n)))
    return words, np.array([[copy(y, w) for w in words] for y in words]) / len(words)


@pytest.mark.parametrize("n", [1, 2, 4])
@pytest.mark.parametrize("reliability", [0.05, 0.7])
def test_copier_against_its_table(n, reliability):
    world = LabelCopier(n, reliability)
    words, joint = table(world, lambda y, w: np.prod((1 + reliability * np.where(y == w, 1, -1)) / 2))
    losses = (words[:, None] != words[None]).mean(axis=2)
    assert world.gap == pytest.approx(0.5 - (joint * losses).sum(), rel=1e-12)
    assert world.squared_gap == pytest.approx((joint * (0.5 - losses) ** 2).sum(), rel=1e-12)
    assert world.mutual_information == pytest.approx(float(mutual_information(joint)), rel=1e-12)
    assert world.lautum == pytest.approx(float(lautum_information(joint)), rel=1e-12)
    law = np.full(len(words), 1 / len(words))
    assert world.leakage == pytest.approx(float(sibson_information(law, joint * len(words), math.inf)), rel=1e-12)
    assert world.loss_cgf(np.array([0.7])) == pytest.approx(math.log(math.cosh(0.35)), rel=1e-12)


@pytest.mark.parametrize("inputs", [2, 8])
def test_the_limit_of_many_inputs(inputs):
    """Two examples and few inputs: what is left of the difference is about the chance to meet an input twice."""
    share = 0.4
    labels = np.array(list(product((0, 1), repeat=inputs)))
    points = list(product(range(inputs), (0, 1)))
    losses = np.array([[name[x] != y for x, y in points] for name in labels], dtype=np.float64)
    rows = []
    for first, second in product(range(len(points)), repeat=2):
        agrees = (losses[:, first] + losses[:, second] == 0) * 1.0
        copied = agrees if agrees.any() else np.ones_like(agrees)  # one input with both labels cannot be copied
        rows.append((1 - share) / len(labels) + share * copied / copied.sum())
    learning = Learning(FiniteWorld(np.full(len(points), 1 / len(points)), losses), tabulated(rows), 2)
    limit = LabelMemoriser(2, 2, share)
    assert learning.gap == pytest.approx(limit.gap, abs=0.5 / inputs)
    assert learning.mutual_information == pytest.approx(limit.mutual_information, abs=0.5 / inputs)


def test_problems_know_what_they_say():
    problem = copying_problem(LabelMemoriser(3, 5, 0.2))
    assert problem.quantities["total_variations"].shape == (5,)
    assert problem.truths["risk"] == pytest.approx(2 / 3)
    assert problem.truths["risk"] - problem.quantities["train_risk"] == pytest.approx(
        problem.truths["generalization gap"], rel=1e-12
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LabelCopier(0, 0.5), "n must be a whole number of at least 1"),
        (lambda: LabelCopier(3, 1.0), "reliability must be strictly between 0 and 1, got 1.0"),
        (lambda: LabelMemoriser(1, 3, 0.5), "classes must be a whole number of at least 2"),
        (lambda: LabelMemoriser(2, 3, 0.0), "share must be strictly between 0 and 1"),
        (lambda: LabelMemoriser(10, 301, 0.5), "n must be small enough for classes\\^n below 1e300, got 301"),
    ],
)
def test_what_cannot_be_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
