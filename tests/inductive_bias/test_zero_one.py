"""Information of few errors in closed form: against arbitrary precision, simulation and enumeration."""

import itertools
import math

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from genbounds.inductive_bias.zero_one import (
    cap_information,
    count_dichotomies,
    equicorrelated_information,
    orthant_information,
    positives_information,
    separable_information,
)


def simulated(hits, draws):
    """-ln of a frequency, and its standard error."""
    share = hits / draws
    return -math.log(share), math.sqrt((1 - share) / hits)


class TestCaps:
    """B-6: a random linear classifier, and a linear teacher."""

    @staticmethod
    def exact(error, dimension):
        """The integral of sin^(d - 2) over the angles of the cap, over that of all angles."""
        with mpmath.workdps(30):
            angle, power = mpmath.pi * mpmath.mpf(error), dimension - 2
            width = min(angle, angle * 40 / dimension)  # in a deep cap only its rim counts
            cuts = [0, angle - width, angle - width / 2, angle] if width < angle else [0, angle / 2, angle]
            share = mpmath.quad(lambda t: (mpmath.sin(t) / mpmath.sin(angle)) ** power, cuts)
            whole = (
                mpmath.sqrt(mpmath.pi)
                * mpmath.gamma((power + 1) / mpmath.mpf(2))
                / mpmath.gamma(power / mpmath.mpf(2) + 1)
            )
            return float(-mpmath.log(share / whole) - power * mpmath.log(mpmath.sin(angle)))

    @pytest.mark.parametrize("dimension", [2, 3, 4, 10, 101, 1000, 20_000])
    @pytest.mark.parametrize("error", [1e-6, 0.01, 0.1, 0.25, 0.4, 0.49])
    def test_the_integral_over_the_cap(self, error, dimension):
        assert cap_information(error, dimension) == pytest.approx(self.exact(error, dimension), rel=1e-10, abs=1e-12)

    @pytest.mark.parametrize(("dimension", "error"), [(20_000, 0.4), (20_001, 0.3), (10_000, 0.35)])
    def test_the_last_digits_of_deep_caps(self, dimension, error):
        """Beyond a thousand nats: Gauss's series of the incomplete beta function, to 1e-10 nats."""
        with mpmath.workdps(40):
            a, x = mpmath.mpf(dimension - 1) / 2, mpmath.sin(mpmath.pi * mpmath.mpf(error)) ** 2
            series = mpmath.hyp2f1(a, 0.5, a + 1, x)
            whole = mpmath.loggamma(a) + mpmath.loggamma(0.5) - mpmath.loggamma(a + 0.5)
            expected = float(mpmath.log(2) - a * mpmath.log(x) + mpmath.log(a) + whole - mpmath.log(series))
        assert expected > 900
        assert cap_information(error, dimension) == pytest.approx(expected, abs=1e-10)

    @pytest.mark.parametrize("dimension", [5, 1000, 10**6])
    @pytest.mark.parametrize("gap", [-1e-3, -1e-9, -1e-13, 1e-6, 1e-3])
    def test_near_one_half(self, dimension, gap):
        """P = 1/2 and the density of the angle times what is missing: all digits of a small gap count."""
        with mpmath.workdps(40):
            e = mpmath.mpf(0.5 + gap)
            power = dimension - 2
            whole = mpmath.sqrt(mpmath.pi) * mpmath.gamma((power + 1) / mpmath.mpf(2)) / mpmath.gamma(dimension / 2)
            width = mpmath.mpf(40) / mpmath.sqrt(dimension)
            missing = mpmath.quad(lambda t: mpmath.cos(t) ** power, [0, min(abs(0.5 - e) * mpmath.pi, width)])
            share = 0.5 + mpmath.sign(e - 0.5) * missing / whole
            expected = float(-mpmath.log(share))
        assert cap_information(0.5 + gap, dimension) == pytest.approx(expected, rel=1e-13)

    def test_two_and_three_dimensions_by_hand(self):
        e = np.array([1e-300, 1e-9, 0.2, 0.5, 0.7, 1.0])
        np.testing.assert_allclose(cap_information(e, 2), -np.log(e), rtol=1e-12, atol=1e-15)
        np.testing.assert_allclose(cap_information(e[1:], 3), -2 * np.log(np.sin(np.pi * e[1:] / 2)), rtol=1e-12)

    @pytest.mark.parametrize(("dimension", "error"), [(3, 0.2), (5, 0.25), (8, 0.2), (8, 0.6)])
    def test_simulated_students(self, dimension, error):
        draws = 200_000
        students = np.random.default_rng(0).standard_normal((draws, dimension))
        angles = np.arccos(students[:, 0] / np.linalg.norm(students, axis=1))  # the teacher is the first axis
        nats, se = simulated((angles <= np.pi * error).sum(), draws)
        assert abs(nats - cap_information(error, dimension)) < 4 * se

    def test_the_disagreement_is_the_angle(self):
        """Of the definition, not of the formula: errors on inputs, in two dimensions."""
        generator = np.random.default_rng(1)
        inputs = generator.standard_normal((2000, 2))
        students = generator.standard_normal((4000, 2))
        errors = ((students @ inputs.T > 0) != (inputs[:, 0] > 0)).mean(axis=1)
        nats, se = simulated((errors <= 0.2).sum(), 4000)
        assert abs(nats - cap_information(0.2, 2)) < 4 * se + 0.05

    def test_ends_and_symmetry(self):
        assert cap_information([0.0, 1.0], 7).tolist() == [math.inf, 0.0]
        assert cap_information(0.5, [2, 9, 10**6]) == pytest.approx(math.log(2), rel=1e-12)
        e = np.array([1e-4, 0.1, 0.3])
        total = np.exp(-cap_information(e, 6)) + np.exp(-cap_information(1 - e, 6))
        np.testing.assert_allclose(total, 1, rtol=1e-12)

    def test_no_step_where_the_logarithm_takes_over(self):
        """About 575 nats: the second differences of a smooth curve stay small."""
        e = np.exp(np.linspace(-1.96, -1.91, 2001))
        nats = cap_information(e, 700)
        assert nats[0] > 580 > 570 > nats[-1]
        assert np.abs(np.diff(nats, 2)).max() < 1e-6

    def test_deep_in_any_dimension(self):
        nats = cap_information(0.3, 10**7)
        # P = sin^(d - 1) / (2 sqrt(pi a) cos) to leading order, a = (d - 1) / 2
        a, angle = (10**7 - 1) / 2, 0.3 * math.pi
        leading = -(2 * a * math.log(math.sin(angle)) - math.log(2 * math.cos(angle) * math.sqrt(math.pi * a)))
        assert nats == pytest.approx(leading, abs=1e-5)

    @given(st.floats(1e-6, 0.999), st.integers(2, 10**4))
    @settings(deadline=None, max_examples=50)
    def test_orderings(self, error, dimension):
        here = cap_information(error, dimension)
        assert here >= cap_information(min(1.0, error * 1.001), dimension)
        more = cap_information(error, dimension + 1)
        assert more >= here - 1e-12 if error <= 0.5 else more <= here + 1e-12


class TestOrthants:
    """B-8."""

    def test_correlations_are_taken_up_to_rounding(self):
        one = 1 + 2.0**-52
        assert orthant_information([[one, one], [one, one]]) == pytest.approx(math.log(2), abs=1e-7)
        assert orthant_information([[one, -one], [-one, one]]) == math.inf
        with pytest.raises(ValueError, match="ones on the diagonal"):
            orthant_information([[1 + 1e-14, 0.0], [0.0, 1.0]])

    @pytest.mark.parametrize("gap", [1e-6, 1e-10, 1e-12])
    def test_three_outputs_that_almost_cannot_agree(self, gap):
        """Correlations of -1/2 and a little: the solid angle is 3 gap / (4 pi cos 30) and a share of `gap` of that."""
        rho = -0.5 + gap
        matrix = np.full((3, 3), rho) + (1 - rho) * np.eye(3)
        expected = -math.log(3 * (rho + 0.5) / (2 * math.sqrt(3) * math.pi))
        assert orthant_information(matrix) == pytest.approx(expected, abs=1e-3)

    @pytest.mark.parametrize("rho", [-1.0, -0.99, -0.5, 0.0, 0.3, 0.99, 1.0])
    def test_two_outputs(self, rho):
        share = 0.25 + math.asin(rho) / (2 * math.pi)
        expected = -math.log(share) if share > 1e-15 else math.inf
        assert orthant_information([[1, rho], [rho, 1]]) == pytest.approx(expected, rel=1e-12)
        assert equicorrelated_information(2, 2, max(rho, 0.0)) == pytest.approx(
            -math.log(0.25 + math.asin(max(rho, 0.0)) / (2 * math.pi)), rel=1e-12
        )

    @pytest.mark.parametrize("signs", list(itertools.product([1, -1], repeat=3)))
    def test_three_outputs_simulated(self, signs):
        factor = np.array([[1.0, 0.0, 0.0], [0.6, 0.8, 0.0], [-0.3, 0.5, math.sqrt(1 - 0.34)]])
        correlation = factor @ factor.T
        correlation = (correlation + correlation.T) / 2
        np.fill_diagonal(correlation, 1.0)
        z = np.random.default_rng(0).standard_normal((400_000, 3)) @ factor.T
        nats, se = simulated(((z * signs) > 0).all(axis=1).sum(), len(z))
        assert abs(nats - orthant_information(correlation, signs)) < 4 * se

    def test_all_patterns_together_are_certain(self):
        correlation = np.array([[1.0, 0.2, -0.4], [0.2, 1.0, 0.7], [-0.4, 0.7, 1.0]])
        total = sum(math.exp(-orthant_information(correlation, s)) for s in itertools.product([1, -1], repeat=3))
        assert total == pytest.approx(1, rel=1e-14)

    def test_outputs_that_cannot_agree(self):
        """Three unit vectors at 120 degrees: no vector is within 90 degrees of all."""
        half = np.full((3, 3), -0.5) + 1.5 * np.eye(3)
        assert orthant_information(half) == math.inf
        assert orthant_information([[1.0]]) == pytest.approx(math.log(2))
        assert orthant_information(np.ones((3, 3))) == pytest.approx(math.log(2))
        assert orthant_information(np.ones((3, 3)), [1, 1, -1]) == math.inf

    @pytest.mark.parametrize(("positives", "published"), [(0, 0.16667), (1, 0.03333), (2, 0.01667)])
    def test_five_outputs_of_correlation_one_half(self, positives, published):
        p = math.exp(-equicorrelated_information(positives, 5, 0.5))
        assert p == pytest.approx(published, abs=1e-5)
        factor = np.sqrt(0.5)
        z = np.random.default_rng(0).standard_normal((400_000, 6)) * factor
        outputs = z[:, :1] + z[:, 1:]
        wanted = np.array([1] * positives + [-1] * (5 - positives))
        nats, se = simulated(((outputs * wanted) > 0).all(axis=1).sum(), len(z))
        assert abs(nats + math.log(p)) < 4 * se

    @given(st.integers(1, 20_000), st.data())
    @settings(deadline=None, max_examples=60)
    def test_correlation_one_half_in_closed_form(self, outputs, data):
        """k! (n - k)! / (n + 1)!: thousands of nats."""
        positives = data.draw(st.integers(0, outputs))
        exact = math.lgamma(outputs + 2) - math.lgamma(positives + 1) - math.lgamma(outputs - positives + 1)
        assert equicorrelated_information(positives, outputs, 0.5) == pytest.approx(exact, rel=1e-11, abs=1e-11)

    @pytest.mark.parametrize("rho", [0.0, 1e-9, 0.1, 0.8, 0.999, 1 - 1e-9])
    @pytest.mark.parametrize(("positives", "outputs"), [(0, 1), (1, 3), (3, 3), (4, 9)])
    def test_other_correlations_in_high_precision(self, rho, positives, outputs):
        with mpmath.workdps(30):
            a = mpmath.sqrt(mpmath.mpf(rho) / (1 - mpmath.mpf(rho)))
            scale = 1 / (1 + a)
            cuts = sorted({side * w * s for side in (-1, 1) for w in (0, 1, 5, 12) for s in (scale, 1)})
            p = mpmath.quad(
                lambda z: (
                    mpmath.npdf(z) * mpmath.ncdf(a * z) ** positives * mpmath.ncdf(-a * z) ** (outputs - positives)
                ),
                cuts,
            )
        found = equicorrelated_information(positives, outputs, rho)
        assert found == pytest.approx(float(-mpmath.log(p)), rel=1e-9)

    def test_patterns_add_up_and_three_outputs_agree(self):
        for rho in (0.0, 0.37, 0.9):
            total = sum(math.comb(6, k) * math.exp(-equicorrelated_information(k, 6, rho)) for k in range(7))
            assert total == pytest.approx(1, rel=1e-12)
            correlation = np.full((3, 3), rho) + (1 - rho) * np.eye(3)
            np.fill_diagonal(correlation, 1.0)
            for k in range(4):
                signs = [1] * k + [-1] * (3 - k)
                assert equicorrelated_information(k, 3, rho) == pytest.approx(
                    orthant_information(correlation, signs), rel=1e-11
                )

    def test_full_correlation(self):
        assert equicorrelated_information(4, 4, 1.0) == pytest.approx(math.log(2))
        assert equicorrelated_information(3, 4, 1.0) == math.inf


class TestPerceptronsOnTheCube:
    """B-7: the number of positives is uniform."""

    @pytest.mark.parametrize("law", ["normal", "uniform"])
    def test_simulated(self, law):
        n, draws = 4, 400_000
        generator = np.random.default_rng(0)
        weights = generator.standard_normal((draws, n)) if law == "normal" else generator.uniform(-1, 1, (draws, n))
        cube = np.array(list(itertools.product([0, 1], repeat=n)))
        counts = np.bincount((weights @ cube.T > 0).sum(axis=1), minlength=2**n + 1)
        expected = draws * np.exp(-positives_information(np.arange(2**n + 1), n))
        assert counts[2**n] == expected[2**n] == 0
        chi = (np.square(counts[:-1] - expected[:-1]) / expected[:-1]).sum()
        assert chi < 15 + 5 * math.sqrt(2 * 15)

    def test_enumerated_exactly(self):
        """Every assignment of signs to three fixed magnitudes gives another number of positives."""
        cube = np.array(list(itertools.product([0, 1], repeat=3)))
        for magnitudes in ([1.0, 2.0, 4.0], [0.3, 0.5, 0.9], [1.0, 1.1, 5.0]):
            found = [(cube @ (np.array(s) * magnitudes) > 0).sum() for s in itertools.product([1, -1], repeat=3)]
            assert sorted(found) == list(range(8))

    def test_many_inputs(self):
        assert positives_information(0, 5000) == 5000 * math.log(2)
        assert positives_information([2**40 - 1, 2**40], 40).tolist() == [40 * math.log(2), math.inf]


class TestDichotomies:
    @staticmethod
    def separable(points, labels):
        """Whether some w has labels (points w) >= 1, by linear programming."""
        result = linprog(
            np.zeros(points.shape[1]), A_ub=-labels[:, None] * points, b_ub=-np.ones(len(points)), bounds=(None, None)
        )
        return result.status == 0

    @pytest.mark.parametrize(("points", "dimension"), [(3, 2), (5, 2), (6, 3), (7, 4), (4, 4)])
    def test_enumerated(self, points, dimension):
        x = np.random.default_rng(points).standard_normal((points, dimension))
        labels = np.array(list(itertools.product([1.0, -1.0], repeat=points)))
        found = sum(self.separable(x, row) for row in labels)
        assert found == count_dichotomies(points, dimension)
        assert separable_information(points, dimension) == pytest.approx(-math.log(found / 2**points), abs=1e-12)

    def test_threshold_functions_of_the_cube_are_no_more(self):
        """Its vertices are not in general position: 4, 14 and 104 functions of one, two and three inputs."""
        for n, known in ((1, 4), (2, 14), (3, 104)):
            cube = np.array([(*row, 1.0) for row in itertools.product([0.0, 1.0], repeat=n)])
            found = sum(self.separable(cube, np.array(s)) for s in itertools.product([1.0, -1.0], repeat=2**n))
            assert found == known <= count_dichotomies(2**n, n + 1)

    @given(st.integers(1, 3000), st.integers(1, 400))
    @settings(deadline=None, max_examples=60)
    def test_the_information_is_the_count(self, points, dimension):
        with mpmath.workdps(40):
            share = mpmath.mpf(count_dichotomies(points, dimension)) / mpmath.mpf(2) ** points
            exact = float(-mpmath.log(share))
        assert separable_information(points, dimension) == pytest.approx(exact, rel=1e-10, abs=1e-13)

    def test_cover_s_capacity(self):
        d = np.array([1, 10, 1000])
        np.testing.assert_allclose(separable_information(2 * d, d), math.log(2), rtol=1e-10)
        assert separable_information(d, d).tolist() == [0.0, 0.0, 0.0]
        assert separable_information([1], [1]).tolist() == [0.0]
        far = separable_information(100_001, 10) - separable_information(100_000, 10)
        assert far == pytest.approx(math.log(2), abs=1e-3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: cap_information(1.1, 3), r"error must be in \[0, 1\]"),
        (lambda: cap_information(0.1, 1), "dimension must be a whole number of at least 2"),
        (lambda: orthant_information(np.eye(4)), r"n from 1 to 3, got \(4, 4\)"),
        (lambda: orthant_information([[1.0, 0.5], [0.4, 1.0]]), "correlation must be symmetric"),
        (lambda: orthant_information([[2.0]]), "ones on the diagonal"),
        (lambda: orthant_information([[1.0, 1.5], [1.5, 1.0]]), "positive semi-definite"),
        (lambda: orthant_information(np.eye(2), [1, 0]), "signs must be 2 of 1 and -1"),
        (lambda: equicorrelated_information(3, 2, 0.5), "positives must be at most outputs, got 3 of 2"),
        (lambda: equicorrelated_information(1, 2, -0.1), r"correlation must be in \[0, 1\]"),
        (lambda: positives_information(-1, 3), "positives must be a whole number"),
        (lambda: count_dichotomies(0, 1), "points must be a whole number"),
        (lambda: separable_information(3, 0), "dimension must be a whole number"),
    ],
)
def test_what_is_out_of_range_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
