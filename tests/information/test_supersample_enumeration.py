"""One tiny world written out in plain loops, apart from the worlds of the package: each family against its truth."""

import math
import random
from collections import defaultdict
from itertools import pairwise, product

import pytest

from genbounds.information import (
    dong,
    haghifam_individual,
    harutyunyan,
    hellstrom_durisi,
    hellstrom_durisi_averaged,
    hellstrom_durisi_kl,
    hellstrom_durisi_kl_averaged,
    hellstrom_durisi_linear,
    sharp_ld_cmi,
    sharp_ld_mi,
    steinke_zakynthinou,
    steinke_zakynthinou_linear,
    steinke_zakynthinou_squared,
    steinke_zakynthinou_unbounded,
    wang_mao_chi_squared,
    wang_mao_closed,
    wang_mao_differences,
    wang_mao_differences_averaged,
    wang_mao_fast,
    wang_mao_hellinger,
    wang_mao_interpolation,
    wang_mao_jensen_shannon,
    wang_mao_single_loss,
    wang_mao_variance,
)

N = 2
CLOSE = 1e-12


def information(joint):
    """I(X;U) of a dictionary from (x, u) to probabilities."""
    xs, us = defaultdict(float), defaultdict(float)
    for (x, u), chance in joint.items():
        xs[x] += chance
        us[u] += chance
    total = sum(p * math.log(p / (xs[x] * us[u])) for (x, u), p in joint.items() if p > 0)
    return max(total, 0.0)


def divergences(joint):
    """Squared Hellinger, Jensen-Shannon and chi-squared of (x, u) from independence, and E x^2."""
    xs = defaultdict(float)
    for (x, _), chance in joint.items():
        xs[x] += chance
    hellinger = shannon = chi = 0.0
    for x, u in product(xs, (0, 1)):
        p, q = joint.get((x, u), 0.0), xs[x] / 2
        if q > 0:
            hellinger += (math.sqrt(p) - math.sqrt(q)) ** 2
            chi += (p - q) ** 2 / q
            shannon += sum(r * math.log(2 * r / (p + q)) for r in (p, q) if r > 0) / 2
    return hellinger, max(shannon, 0.0), chi, sum(x**2 * chance for x, chance in xs.items())


class World:
    """Points with labels in {0, 1, 2}, hypotheses that predict, a learner given as a table of chances."""

    def __init__(self, seed, points=3, symmetric=False, realisable=False):
        rng = random.Random(seed)
        weights = [rng.random() + 0.1 for _ in range(points)]
        self.law = [weight / sum(weights) for weight in weights]
        self.labels = [rng.randrange(3) for _ in range(points)]
        self.predictions = list(product((0, 1, 2), repeat=points))
        rng.shuffle(self.predictions)
        self.predictions = self.predictions[:4]
        if realisable:
            self.predictions = [
                [label if good else (label + 1) % 3 for label, good in zip(self.labels, right, strict=True)]
                for right in product((True, False), repeat=points)
            ]
        self.kernel = {}
        for sample in product(range(points), repeat=N):
            key = tuple(sorted(sample)) if symmetric else sample
            if key not in self.kernel:
                row = [rng.random() ** 4 for _ in self.predictions]
                if realisable:  # no error on what was seen
                    row = [r * all(self.loss(w, z) == 0 for z in key) for w, r in enumerate(row)]
                self.kernel[key] = [r / sum(row) for r in row]
            self.kernel[sample] = self.kernel[key]

    def loss(self, w, z):
        return float(self.predictions[w][z] != self.labels[z])

    def supersamples(self):
        """Yield (probability, pairs, [(chance of mask and output, mask, output)])."""
        for points in product(range(len(self.law)), repeat=2 * N):
            pairs = [points[2 * i : 2 * i + 2] for i in range(N)]
            outcomes = []
            for mask in product((0, 1), repeat=N):
                law = self.kernel[tuple(pair[u] for pair, u in zip(pairs, mask, strict=True))]
                outcomes += [(chance / 2**N, mask, w) for w, chance in enumerate(law)]
            yield math.prod(self.law[z] for z in points), pairs, outcomes


def joint(outcomes, what, i=None):
    """Joint law of something seen of an output and of U_i, or of the whole mask."""
    table = defaultdict(float)
    for chance, mask, w in outcomes:
        table[what(w), mask if i is None else mask[i]] += chance
    return table


def check_supersample(world, pairs, outcomes):
    """Each bound for one supersample against the truth, and the orders among them."""

    def losses(w):
        return [[world.loss(w, z) for z in pair] for pair in pairs]

    train = sum(c * sum(losses(w)[i][u] for i, u in enumerate(mask)) / N for c, mask, w in outcomes)
    gaps = [(c, sum(losses(w)[i][1 - u] - losses(w)[i][u] for i, u in enumerate(mask)) / N) for c, mask, w in outcomes]
    gap, square = sum(c * g for c, g in gaps), sum(c * g**2 for c, g in gaps)
    risk, train = train + gap, min(train, 1.0)

    cmi = information(joint(outcomes, lambda w: w))
    individual = [information(joint(outcomes, lambda w: w, i)) for i in range(N)]
    f_cmi = [
        information(joint(outcomes, lambda w, i=i: tuple(world.predictions[w][z] for z in pairs[i]), i))
        for i in range(N)
    ]
    e_cmi = [information(joint(outcomes, lambda w, i=i: tuple(losses(w)[i]), i)) for i in range(N)]
    tables = [joint(outcomes, lambda w, i=i: losses(w)[i][1] - losses(w)[i][0], i) for i in range(N)]
    ld_cmi = [information(table) for table in tables]
    hellinger, shannon, chi, squares = (list(each) for each in zip(*map(divergences, tables), strict=True))

    # The chain of information, and the chain of bounds.
    assert cmi >= sum(individual) - CLOSE
    for larger, smaller in ((individual, f_cmi), (f_cmi, e_cmi), (e_cmi, ld_cmi)):
        assert all(a >= b - CLOSE for a, b in zip(larger, smaller, strict=True))
    chain = [
        steinke_zakynthinou(cmi, N),
        haghifam_individual(individual),
        harutyunyan(f_cmi),
        hellstrom_durisi(e_cmi),
        wang_mao_differences(ld_cmi),
        wang_mao_variance(squares, ld_cmi),
        wang_mao_chi_squared(squares, chi),
        abs(gap),
    ]
    assert all(a >= b - 1e-7 for a, b in pairwise(chain))  # a root of 1e-16 is 1e-8
    assert min(chain[:-1]) >= abs(gap) - CLOSE
    assert wang_mao_hellinger(squares, hellinger) >= abs(gap) - CLOSE
    assert wang_mao_jensen_shannon(squares, shannon) >= abs(gap) - CLOSE
    ranges = [max(abs(losses(w)[i][1] - losses(w)[i][0]) for w in range(len(world.predictions))) for i in range(N)]
    assert steinke_zakynthinou_unbounded(cmi, N, sum(r**2 for r in ranges) / N) >= abs(gap) - CLOSE
    assert steinke_zakynthinou_squared(cmi, N) >= square - CLOSE

    risks = [
        steinke_zakynthinou_linear(train, cmi, N),
        min(hellstrom_durisi_linear(train, e_cmi, gamma1) for gamma1 in (0.1, 0.3, 0.6)),
        hellstrom_durisi_kl(train, e_cmi),
        sharp_ld_cmi(train, ld_cmi),
    ]
    assert min(risks) >= risk - CLOSE
    assert min(risks) >= sharp_ld_cmi(train, ld_cmi) - 1e-7


@pytest.mark.parametrize("seed", range(3))
def test_each_supersample(seed):
    world = World(seed)
    for _, pairs, outcomes in world.supersamples():
        check_supersample(world, pairs, outcomes)


def averages(world):
    """Return averaged laws of loss pairs, differences and first losses with U_i, and both risks."""
    tables = [[defaultdict(float) for _ in range(N)] for _ in range(3)]
    train = risk = 0.0
    for weight, pairs, outcomes in world.supersamples():
        for chance, mask, w in outcomes:
            for i, (pair, u) in enumerate(zip(pairs, mask, strict=True)):
                first, second = world.loss(w, pair[0]), world.loss(w, pair[1])
                for table, seen in zip(tables, ((first, second), second - first, first), strict=True):
                    table[i][seen, u] += weight * chance
                train += weight * chance * (second if u else first) / N
                risk += weight * chance * (first if u else second) / N
    return tables, min(train, 1.0), risk


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("symmetric", [False, True])
def test_averages_over_supersamples(seed, symmetric):
    (pairs, differences, firsts), train, risk = averages(World(seed, symmetric=symmetric))
    e_mi, ld_mi, single = ([information(table) for table in each] for each in (pairs, differences, firsts))
    gap = abs(risk - train)
    assert all(a >= max(b, c) - CLOSE for a, b, c in zip(e_mi, ld_mi, single, strict=True))
    for bound, terms in (
        (hellstrom_durisi_averaged, e_mi),
        (wang_mao_differences_averaged, ld_mi),
        (wang_mao_single_loss, single),
    ):
        assert bound(terms) >= gap - CLOSE
    for value in (
        hellstrom_durisi_kl_averaged(train, e_mi),
        sharp_ld_mi(train, ld_mi),
        dong(train, single),
        wang_mao_closed(train, single),
        min(wang_mao_fast(train, single, C2) for C2 in (0.05, 0.15, 0.3)),
    ):
        assert value >= risk - CLOSE
    # chi^2 says the gap itself, the more so as each difference is -1, 0 or 1 and pairs are independent.
    squares, chi = ([divergences(table)[place] for table in differences] for place in (3, 2))
    if symmetric:
        assert wang_mao_chi_squared(squares, chi) == pytest.approx(gap, abs=CLOSE)
        m = (train + risk) / 2
        half = [
            (q * math.log(q / m) if q > 0 else 0) + ((1 - q) * math.log((1 - q) / (1 - m)) if q < 1 else 0)
            for q in (train, risk)
        ]
        assert sum(single) / N == pytest.approx(sum(half) / 2, abs=CLOSE)
        if risk > train:
            assert dong(train, single) == pytest.approx(risk, abs=1e-8)


@pytest.mark.parametrize("seed", range(4))
def test_without_training_errors_bits_are_errors(seed):
    (_, differences, firsts), train, risk = averages(World(seed, realisable=True))
    ld_mi = [information(table) for table in differences]
    assert train == 0
    assert risk > 0.01
    assert sum(ld_mi) / N == pytest.approx(risk * math.log(2), abs=CLOSE)
    assert wang_mao_interpolation(train, ld_mi) == pytest.approx(risk, abs=CLOSE)
    assert sharp_ld_mi(train, ld_mi) == pytest.approx(risk, abs=CLOSE)
    assert dong(train, [information(table) for table in firsts]) >= risk - CLOSE
