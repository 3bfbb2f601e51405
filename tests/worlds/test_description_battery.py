import math
from collections import Counter
from itertools import product

import pytest

from genbounds.worlds import Gibbs, quantised_problem, sequences_problem


def information(joint):
    first, second = Counter(), Counter()
    for (a, b), chance in joint.items():
        first[a] += chance
        second[b] += chance
    return sum(chance * math.log(chance / (first[a] * second[b])) for (a, b), chance in joint.items())


def test_quantised_problem_written_out():
    """Two examples of two bits, Gibbs at 3, loops."""
    points, gap, distortion = [1 / 8, 3 / 8, 5 / 8, 7 / 8], 0.0, 0.0
    scales, moved = [Counter(), Counter()], {1 / 8: 1 / 4, 3 / 8: 1 / 4, 5 / 8: 3 / 4, 7 / 8: 3 / 4}
    for sample in product(points, repeat=2):
        empirical = [sum(abs(w - z) for z in sample) / 2 for w in points]
        weights = [math.exp(-3 * loss) for loss in empirical]
        for place, w in enumerate(points):
            chance = weights[place] / sum(weights) / 16
            gap += chance * (sum(abs(w - z) for z in points) / 4 - empirical[place])
            distortion += chance * abs(w - moved[w])
            scales[0][place // 2, sample] += chance
            scales[1][place, sample] += chance
    problem = quantised_problem(2, 2, Gibbs(3.0), "?")
    assert problem.truths["generalization gap"] == pytest.approx(gap, rel=1e-12)
    assert problem.quantities["distortion"] == pytest.approx(distortion, rel=1e-12)
    by_scale = [information(joint) for joint in scales]
    assert problem.quantities["scale_information"] == pytest.approx(by_scale, rel=1e-10)
    assert problem.quantities["compressed_information"] == pytest.approx(by_scale[:1], rel=1e-10)
    assert problem.quantities["sliced_information"] == pytest.approx(by_scale[1:], rel=1e-10)


def test_sequences_written_out():
    """Three flips: the mixture gives k ones of 3 the probability k! (3 - k)! / 4!, and the posterior attains it."""
    problem = sequences_problem(3, 1.0)
    truth = [-math.log(math.factorial(k) * math.factorial(3 - k) / math.factorial(4)) for k in range(4)]
    assert problem.truths["log-loss of the Bayes mixture"] == pytest.approx(truth, rel=1e-12)
    assert problem.quantities["log_loss"] + problem.quantities["kl"] == pytest.approx(truth, rel=1e-12)
    half = sequences_problem(3, 0.5)
    assert (half.quantities["log_loss"] + half.quantities["kl"] > truth).all()
