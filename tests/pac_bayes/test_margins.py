"""The spectral margin bounds: against arbitrary precision, and every lemma of their proofs by itself."""

import math
from dataclasses import replace
from itertools import combinations_with_replacement, pairwise, product

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mpf
from scipy import integrate, stats

from genbounds.certificates.balls import is_above
from genbounds.certificates.errors import CertificateError
from genbounds.pac_bayes import (
    bartlett_spectral,
    golowich_frobenius,
    neyshabur_spectral,
    seeger_xi,
    spectral_complexity,
)
from genbounds.theorems import catalogue
from genbounds.worlds import attack

THEOREM = catalogue()["pac_bayes.neyshabur_spectral"]


@st.composite
def small_networks(draw):
    """Norms and margins at which the bound is often below 1."""
    layers = draw(st.integers(1, 4))
    norm = st.floats(0.3, 3)
    spectral = draw(st.lists(norm, min_size=layers, max_size=layers))
    reach = draw(st.floats(1e-2, 1e2))
    return {
        "margin_risk": draw(st.floats(0, 1)),
        "spectral_norms": spectral,
        "frobenius_norms": [s * draw(st.floats(1, 2)) for s in spectral],
        "margin": math.prod(spectral) * reach * draw(st.floats(0.05, 2)),
        "input_norm": reach,
        "width": draw(st.integers(2, 50)),
        "n": draw(st.sampled_from([100, 10_000, 10**6, 10**9])),
        "delta": draw(st.floats(1e-9, 0.9)),
    }


def budget(oracle, spectral_norms, frobenius_norms, margin, input_norm, width, n, delta):
    """The complexity of the docstring's formula, term by term; margin_risk left out."""
    d = len(spectral_norms)
    reach = mpmath.sqrt(2) * mpf(input_norm) * mpmath.fprod(map(mpf, spectral_norms)) / mpf(margin)
    j = max(1, mpmath.ceil(64 * mpmath.log(reach)))
    ranks = sum((mpf(f) / mpf(s)) ** 2 for f, s in zip(frobenius_norms, spectral_norms, strict=True))
    noise = 2 * mpmath.sqrt(width) + mpmath.sqrt(2 * mpmath.log(2))
    radius = (1 + mpmath.exp(-mpf(j) / 64) / 2) ** (mpf(1) / d) - 1
    divergence = ranks * noise**2 / (2 * radius**2)
    return (divergence + d * mpmath.log(2) + mpmath.log(j * (j + 1)) + mpmath.log(oracle.xi(n) / mpf(delta))) / n


@given(small_networks())
def test_encloses_the_formula(oracle, inputs):
    given_inputs = dict(inputs)
    n = given_inputs["n"] = min(given_inputs["n"], 10**4)  # where xi is summed soon
    with oracle.precision():
        c = budget(oracle, **{name: value for name, value in given_inputs.items() if name != "margin_risk"})
        value = neyshabur_spectral(**given_inputs)
        assert oracle.kl_upper_encloses(value, given_inputs["margin_risk"], c), n


@given(small_networks())
def test_the_twin_agrees(inputs):
    value = float(neyshabur_spectral(**inputs))
    assert is_above(THEOREM.name, inputs, value)
    assert is_above(THEOREM.name, inputs, value * (1 - 1e-9)) is False


def test_the_twin_refuses_layers_without_a_partner():
    inputs = dict.fromkeys(THEOREM.arguments, 0.5) | {
        "n": 9,
        "width": 2,
        "spectral_norms": [1],
        "frobenius_norms": [1, 1],
    }
    with pytest.raises(CertificateError, match="one entry a layer"):
        is_above(THEOREM.name, inputs, 0.5)


# The lemmas.


@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.floats(0.01, 1.4))
def test_perturbed_layers_move_margins_by_half_of_the_margin_at_most(seed, depth, m):
    """Step 1: layers of norm 1, perturbations of norm tau along the layers, against them, and at random."""
    rng = np.random.default_rng(seed)
    sizes = [3, *rng.integers(2, 6, depth - 1), 3]
    layers = [rng.standard_normal((b, a)) for a, b in pairwise(sizes)]
    layers = [layer / np.linalg.norm(layer, 2) for layer in layers]
    tau = (1 + m / (2 * math.sqrt(2))) ** (1 / depth) - 1
    x = rng.standard_normal(3)
    x /= np.linalg.norm(x)

    def scores(weights):
        hidden = x
        for weight in weights[:-1]:
            hidden = np.maximum(weight @ hidden, 0)
        return weights[-1] @ hidden

    clean = scores(layers)
    for noise in (lambda layer: layer, lambda layer: -layer, lambda layer: rng.standard_normal(layer.shape)):
        moves = [noise(layer) for layer in layers]
        moved = scores([layer + tau * u / np.linalg.norm(u, 2) for layer, u in zip(layers, moves, strict=True)])
        change = (moved - clean)[:, None] - (moved - clean)[None]
        assert np.abs(change).max() <= m / 2 * (1 + 1e-12)


@pytest.mark.parametrize("h", [1, 2, 10, 1000, 10**6])
def test_a_gaussian_vector_is_short_enough_half_of_the_time(h):
    """Step 2, where the norm of a matrix has a known law: one column."""
    assert stats.chi.cdf(2 * math.sqrt(h) + math.sqrt(2 * math.log(2)), h) >= 0.5


@pytest.mark.parametrize(("mean", "sigma", "tau"), [(1.0, 0.3, 0.2), (0.5, 2.0, 1.0), (3.0, 0.5, 5.0)])
def test_the_divergence_of_the_conditioned_posterior(mean, sigma, tau):
    """Step 2: a Gaussian cut to a symmetric interval about its mean, against the uncut one at zero."""
    inside = 2 * stats.norm.cdf(tau / sigma) - 1

    def density(w):
        return stats.norm.pdf(w, mean, sigma) / inside

    def integrand(w):
        return density(w) * (stats.norm.logpdf(w, mean, sigma) - math.log(inside) - stats.norm.logpdf(w, 0, sigma))

    found, _ = integrate.quad(integrand, mean - tau, mean + tau)
    assert found == pytest.approx(mean**2 / (2 * sigma**2) - math.log(inside), rel=1e-9)


def test_margins_go_as_far_as_the_root_of_two():
    """Scores (x, -x) of norm sqrt(2) have a margin of 2: the largest there is."""
    base = {
        "spectral_norms": [1.0],
        "frobenius_norms": [1.0],
        "input_norm": 1.0,
        "width": 2,
        "n": 10_000,
        "delta": 0.05,
    }
    at_reach = neyshabur_spectral(0.0, margin=math.sqrt(2), **base)
    assert at_reach == neyshabur_spectral(0.0, margin=100.0, **base)  # no example can have it: then all count
    assert neyshabur_spectral(1.0, margin=100.0, **base) == 1.0


# Invariance, order, limits.


@given(small_networks(), st.floats(0.1, 10))
def test_what_no_prediction_notices_changes_nothing(inputs, factor):
    value = float(neyshabur_spectral(**inputs))
    scaled = dict(inputs)
    scaled["spectral_norms"] = [inputs["spectral_norms"][0] * factor, *inputs["spectral_norms"][1:]]
    scaled["frobenius_norms"] = [inputs["frobenius_norms"][0] * factor, *inputs["frobenius_norms"][1:]]
    scaled["margin"] = inputs["margin"] * factor
    assert float(neyshabur_spectral(**scaled)) == pytest.approx(value, rel=0.05)  # at most one step of the grid
    arguments = {name: inputs[name] for name in ("spectral_norms", "frobenius_norms", "margin", "input_norm", "width")}
    there = {name: scaled[name] for name in arguments}
    assert spectral_complexity(**there) == pytest.approx(spectral_complexity(**arguments), rel=1e-9)


@given(small_networks())
def test_order(inputs):
    value = neyshabur_spectral(**inputs)
    assert inputs["margin_risk"] <= value <= 1
    for worse in ({"margin": inputs["margin"] / 2}, {"width": 60}, {"input_norm": 2 * inputs["input_norm"]}):
        assert neyshabur_spectral(**inputs | worse) >= value
    complexity = spectral_complexity(
        *(inputs[name] for name in ("spectral_norms", "frobenius_norms", "margin", "input_norm", "width"))
    )
    reach = math.sqrt(2) * inputs["input_norm"] * math.prod(inputs["spectral_norms"])
    if inputs["margin"] <= reach:  # what the bound pays is at least what the measure says
        assert value >= seeger_xi(inputs["margin_risk"], complexity, inputs["n"], inputs["delta"]) * (1 - 1e-12)


@given(small_networks())
def test_smaller_than_the_papers_own_form(inputs):
    d, h, n = len(inputs["spectral_norms"]), inputs["width"], inputs["n"]
    reach = inputs["input_norm"] * math.prod(inputs["spectral_norms"]) / inputs["margin"]
    if reach < 1 / math.sqrt(2):
        return
    ranks = sum((f / s) ** 2 for f, s in zip(inputs["frobenius_norms"], inputs["spectral_norms"], strict=True))
    divergence = 42**2 * d**2 * h * math.log(4 * d * h) * reach**2 * ranks / 2  # the cover left out, for its benefit
    theirs = inputs["margin_risk"] + 4 * math.sqrt((divergence + math.log(6 * n / inputs["delta"])) / (n - 1))
    assert neyshabur_spectral(**inputs) <= theirs


def test_a_deep_network_does_not_overflow():
    layers = 400
    value = neyshabur_spectral(0.0, np.full(layers, 1e3), np.full(layers, 2e3), 1.0, 1.0, 2, 10**6, 0.05)
    assert value == 1.0
    assert spectral_complexity(np.full(layers, 1e3), np.full(layers, 2e3), 1.0, 1.0, 2) == math.inf
    small = neyshabur_spectral(0.0, np.full(layers, 1e-3), np.full(layers, 1e-3), 1e-300, 1.0, 2, 10**6, 0.05)
    assert 0 < small <= 1
    assert bartlett_spectral(0.0, [1e200, 1.0], [1e200, 1e300], 1e-200, 1.0, 2, 10**6, 0.05) == 1.0


def test_shapes():
    norms = np.full((3, 1, 2), 0.5)
    many = neyshabur_spectral(np.zeros(5), norms, norms, 0.5, 1.0, 4, 10**6, [0.01] * 5)
    assert many.shape == (3, 5)
    assert isinstance(neyshabur_spectral(0.0, [1.0], [1.0], 1.0, 1.0, 2, 10**4, 0.05), float)
    assert isinstance(spectral_complexity([1.0], [1.0], 1.0, 1.0, 2), float)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"spectral_norms": [0.0, 1.0]}, "spectral_norms must be positive and finite, got 0.0. A layer of zeros"),
        ({"frobenius_norms": [1.0, math.inf]}, "frobenius_norms must be positive and finite, got inf"),
        ({"frobenius_norms": [1.0]}, "frobenius_norms must have one entry a layer"),
        ({"margin": 0.0}, "margin must be positive"),
        ({"input_norm": -1.0}, "input_norm must be non-negative"),
        ({"width": 0}, "width must be a whole number of at least 1"),
        ({"margin_risk": 1.1}, r"margin_risk must be in \[0, 1\]"),
        ({"margin": math.nan}, "margin must be a number"),
        ({"delta": 0.0}, "delta must be strictly between"),
    ],
)
def test_bad_numbers_are_refused(change, words):
    inputs = {"margin_risk": 0.1, "spectral_norms": [1.0, 1.0], "frobenius_norms": [1.0, 1.0], "margin": 0.1}
    with pytest.raises(ValueError, match=words):
        neyshabur_spectral(**inputs | {"input_norm": 1.0, "width": 3, "n": 100, "delta": 0.05} | change)


# Covering numbers.

COVERS = catalogue()["pac_bayes.bartlett_spectral"]


def by_rows(inputs, factor):
    """The same networks with the sums of their row norms; n large enough for a uniform bound."""
    sums = [norm * factor for norm in inputs["spectral_norms"]]
    rest = {name: value for name, value in inputs.items() if name not in ("frobenius_norms", "n", "margin_risk")}
    return rest | {"row_norm_sums": sums, "n": inputs["n"] * 10**5, "margin_risk": inputs["margin_risk"] / 4}


@given(small_networks(), st.floats(0.8, 3))
def test_covering_numbers_enclose_the_formula(oracle, inputs, factor):
    given_inputs = by_rows(inputs, factor)
    value = bartlett_spectral(**given_inputs)
    with oracle.precision():
        s, b, h = given_inputs["spectral_norms"], given_inputs["row_norm_sums"], mpf(given_inputs["width"])
        reach = (
            mpmath.sqrt(2) * mpf(given_inputs["input_norm"]) * mpmath.fprod(map(mpf, s)) / mpf(given_inputs["margin"])
        )
        j = max(1, mpmath.ceil(64 * mpmath.log(reach)))
        steps = [max(1, mpmath.ceil(64 * mpmath.log(mpf(over) / mpf(under)))) for over, under in zip(b, s, strict=True)]
        spread = sum(mpmath.exp(mpf(k) / 64) ** (mpf(2) / 3) for k in steps) ** mpf("1.5")
        m, n = mpmath.sqrt(2) * mpmath.exp(-mpf(j) / 64), mpf(given_inputs["n"])
        chain = min(
            15 * level * spread * mpmath.sqrt(mpmath.log(2 * h * h)) / (m * mpmath.sqrt(n)) + mpf(2) ** -level
            for level in range(1, 60)
        )
        paid = sum(mpmath.log(k * (k + 1)) for k in [j, *steps]) - mpmath.log(mpf(given_inputs["delta"]))
        assert oracle.encloses(value, mpf(given_inputs["margin_risk"]) + chain + mpmath.sqrt(paid / (2 * n)))
    assert is_above(COVERS.name, given_inputs, float(value))
    assert is_above(COVERS.name, given_inputs, float(value) * (1 - 1e-9)) is False


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_means_of_few_unit_matrices_come_close(k):
    """Maurey's lemma, over all means there are: A X within (row norm sum) |X| / sqrt(k)."""
    rng = np.random.default_rng(k)
    for _ in range(5):
        a, x = rng.standard_normal((2, 2)), rng.standard_normal((2, 3))
        size = np.linalg.norm(a, axis=1).sum() * np.linalg.norm(x)
        units = [sign * np.outer(e, row / np.linalg.norm(row)) for sign in (1, -1) for e in np.eye(2) for row in x]
        means = (size * sum(chosen) / k for chosen in combinations_with_replacement(units, k))
        assert min(np.linalg.norm(a @ x - mean) for mean in means) <= size / math.sqrt(k)


def test_wide_layers_cost_covers_a_logarithm():
    base = {"spectral_norms": [1.0], "margin": 1.0, "input_norm": 1.0, "delta": 0.05}
    narrow, wide = (bartlett_spectral(0.0, row_norm_sums=[1.5], width=h, n=10**8, **base) for h in (10, 10**6))
    assert wide < 3 * narrow
    narrow, wide = (neyshabur_spectral(0.0, frobenius_norms=[1.0], width=h, n=10**8, **base) for h in (10, 10**6))
    assert wide > 1000 * narrow


@given(small_networks())
def test_below_the_margin_risk_is_no_bound(inputs):
    given_inputs = by_rows(inputs, 1.2)
    value = bartlett_spectral(**given_inputs)
    assert given_inputs["margin_risk"] < value <= 1
    assert bartlett_spectral(**given_inputs | {"n": given_inputs["n"] // 2}) >= value
    assert bartlett_spectral(**given_inputs | {"margin": given_inputs["margin"] / 2}) >= value


def test_row_norm_sums_are_checked():
    with pytest.raises(ValueError, match="row_norm_sums must have one entry a layer"):
        bartlett_spectral(0.0, [1.0, 1.0], [1.0], 1.0, 1.0, 2, 100, 0.05)
    assert bartlett_spectral(0.5, [1.0], [1.0], 1.0, 1.0, 2, 100, 0.05) == 1.0


# Frobenius norms.

PEELS = catalogue()["pac_bayes.golowich_frobenius"]


@st.composite
def peeled(draw):
    norms = draw(st.lists(st.floats(0.3, 3), min_size=1, max_size=5))
    reach = draw(st.floats(1e-2, 1e2))
    return {
        "margin_risk": draw(st.floats(0, 0.5)),
        "layer_norms": norms,
        "margin": math.prod(norms) * reach * draw(st.floats(0.05, 2)),
        "input_norm": reach,
        "classes": draw(st.integers(2, 1000)),
        "n": draw(st.sampled_from([10_000, 10**6, 10**9])),
        "delta": draw(st.floats(1e-9, 0.9)),
    }


@given(peeled())
def test_frobenius_norms_enclose_the_formula(oracle, inputs):
    value = golowich_frobenius(**inputs)
    with oracle.precision():
        n, d = mpf(inputs["n"]), len(inputs["layer_norms"])
        reach = mpf(inputs["input_norm"]) * mpmath.fprod(map(mpf, inputs["layer_norms"])) / mpf(inputs["margin"])
        j = max(1, mpmath.ceil(64 * mpmath.log(reach)))
        exponent = (d - 1) * mpmath.log(2) + mpmath.log(inputs["classes"])
        average = 4 * mpmath.exp(mpf(j) / 64) * (1 + mpmath.sqrt(2 * exponent)) / mpmath.sqrt(n)
        paid = mpmath.log(j * (j + 1)) - mpmath.log(mpf(inputs["delta"]))
        truth = min(mpf(1), mpf(inputs["margin_risk"]) + average + mpmath.sqrt(paid / (2 * n)))
        assert oracle.encloses(value, truth)
    if value < 1:
        assert is_above(PEELS.name, inputs, float(value))
        assert is_above(PEELS.name, inputs, float(value) * (1 - 1e-9)) is False


@given(peeled(), st.floats(0.1, 10))
def test_frobenius_norms_order_and_scale(inputs, factor):
    value = golowich_frobenius(**inputs)
    assert inputs["margin_risk"] < value <= 1
    for worse in ({"margin": inputs["margin"] / 2}, {"classes": 2000}, {"input_norm": 2 * inputs["input_norm"]}):
        assert golowich_frobenius(**inputs | worse) >= value
    scaled = [inputs["layer_norms"][0] * factor, *inputs["layer_norms"][1:]]
    same = golowich_frobenius(**inputs | {"layer_norms": scaled, "margin": inputs["margin"] * factor})
    assert same == pytest.approx(value, rel=0.05)  # at most one step of the grid


@pytest.mark.parametrize("classes", [1, 2])
def test_the_peeled_average_is_above_that_of_all_signs(classes):
    """Steps 2 and 3 for one hidden layer: the supremum over unit vectors of the plane is found on a fine grid."""
    rng = np.random.default_rng(classes)
    x = rng.standard_normal((4, 2))
    x /= np.linalg.norm(x, axis=1).max()
    angles = np.linspace(0, 2 * np.pi, 721)
    outputs = np.maximum(np.stack([np.cos(angles), np.sin(angles)], axis=1) @ x.T, 0)  # (angles, examples)
    alone = np.array([np.abs(outputs @ np.array(signs)).max() for signs in product((-1, 1), repeat=4)])
    found = alone.mean() if classes == 1 else np.maximum(alone[:, None], alone[None]).mean()
    # One row attains the supremum over matrices of Frobenius norm 1.
    limit = math.sqrt(4) * (1 + math.sqrt(2 * (math.log(2) + math.log(classes))))
    assert 0.2 * limit < found <= limit
    for t in (0.1, 0.5, 1.0, 3.0):  # Lemma 1
        sums = np.array([np.linalg.norm(np.array(signs) @ x) for signs in product((-1, 1), repeat=4)])
        assert np.exp(t * alone).mean() <= 2 * np.exp(t * sums).mean()
        assert np.exp(t * sums).mean() <= np.exp(t * 2 + t * t * 4 / 2)


@pytest.mark.parametrize("seed", range(20))
def test_scores_contract_to_their_signs(seed):
    """Step 1 over finite classes: a Lipschitz function of two scores against independent signs for both."""
    rng = np.random.default_rng(seed)
    scores = rng.standard_normal((5, 3, 2)) * rng.choice([0.2, 1, 5])  # (functions, examples, scores)
    margins = scores[..., 0] - scores[..., 1]
    ramps = np.clip(1 - margins, 0, 1)  # sqrt(2)-Lipschitz
    left = np.mean([(ramps @ np.array(signs)).max() for signs in product((-1, 1), repeat=3)])
    right = [
        np.einsum("fik,ik->f", scores, np.array(signs).reshape(3, 2)).max() for signs in product((-1, 1), repeat=6)
    ]
    assert left <= math.sqrt(2) * math.sqrt(2) * np.mean(right) + 1e-12


def test_no_margin_exceeds_the_norms():
    rng = np.random.default_rng(0)
    for _ in range(50):
        first, last = rng.standard_normal((6, 4)), rng.standard_normal((3, 6))
        x = rng.standard_normal((4, 20))
        scores = last @ np.maximum(first @ x, 0)
        best = np.sort(scores, axis=0)
        reach = np.linalg.norm(first) * np.linalg.norm(last, axis=1).sum() * np.linalg.norm(x, axis=0)
        assert (best[-1] - best[0] <= reach).all()


def test_frobenius_norms_know_no_width_and_refuse_what_is_no_norm():
    base = {"margin": 1.0, "input_norm": 1.0, "classes": 10, "n": 10**8, "delta": 0.05}
    assert golowich_frobenius(0.0, [1.0, 2.0], **base) < 0.01
    assert golowich_frobenius(0.0, np.full(400, 1e3), **base) == 1.0
    assert golowich_frobenius(np.zeros(5), np.full((3, 1, 2), 0.5), **base).shape == (3, 5)
    for change, words in (
        ({"layer_norms": [0.0]}, "layer_norms must be positive"),
        ({"classes": 1}, "classes must be"),
        ({"margin": 0.0}, "margin must be positive"),
    ):
        with pytest.raises(ValueError, match=words):
            golowich_frobenius(**{"margin_risk": 0.0, "layer_norms": [1.0]} | base | change)


# The test of the test: what the worlds must catch.


def without_complexity(margin_risk, spectral_norms, frobenius_norms, margin, input_norm, width, n, delta):
    return seeger_xi(margin_risk, 0.0, n, delta)


def counting_half(margin_risk, spectral_norms, frobenius_norms, margin, input_norm, width, n, delta):
    return THEOREM.function(margin_risk / 2, spectral_norms, frobenius_norms, margin, input_norm, width, n, delta)


@pytest.mark.parametrize("broken", [without_complexity, counting_half])
def test_broken_variants_are_caught(broken):
    """Overfitting of orthogonal points without its price; half of the examples below the margin."""
    attacks = attack(replace(THEOREM, function=broken), 0.05)
    assert max(found.failure for found in attacks) > 0.07
    assert all(found.survived for found in attack(THEOREM, 0.05))


def covers_left_out(margin_risk, spectral_norms, row_norm_sums, margin, input_norm, width, n, delta):
    return margin_risk + math.sqrt(-math.log(delta) / (2 * n))


def test_covering_numbers_left_out_are_caught():
    attacks = attack(replace(COVERS, function=covers_left_out), 0.05)
    assert max(found.failure for found in attacks) > 0.07
    assert all(found.survived for found in attack(COVERS, 0.05))


def average_left_out(margin_risk, layer_norms, margin, input_norm, classes, n, delta):
    """Everything but the Rademacher average: Hoeffding's term and the price of the union are there."""
    reach = input_norm * np.prod(layer_norms) / margin
    step = max(1.0, math.ceil(64 * math.log(reach)))
    paid = math.log(step * (step + 1)) - math.log(delta)
    return np.minimum(margin_risk + math.sqrt(paid / (2 * n)), 1.0)


def test_the_rademacher_average_left_out_is_caught():
    attacks = attack(replace(PEELS, function=average_left_out), 0.05)
    assert max(found.failure for found in attacks) > 0.07
    assert all(found.survived for found in attack(PEELS, 0.05))
