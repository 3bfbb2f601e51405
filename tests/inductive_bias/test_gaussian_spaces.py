"""Gaussian hypothesis spaces: conditioning against other routes, laws in closed form, floors, orderings."""

import math
from dataclasses import replace

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2, ncx2

from genbounds.inductive_bias.gaussian.hypotheses import GaussianHypotheses
from genbounds.inductive_bias.gaussian.kernels import linear_kernel, rbf_kernel
from genbounds.inductive_bias.gaussian.spaces import kernel_hypotheses, linear_hypotheses, population_hypotheses
from genbounds.rare_events.quadratic.chi_squared_fit import published_chi_squared_fit
from genbounds.rare_events.quadratic.forms import QuadraticForm
from genbounds.rare_events.quadratic.tails import quadratic_tail


def normal(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape)


def covariance(space):
    return space.factor @ space.factor.T


class TestClosedForms:
    """B-2: weights N(0, s^2 I), a teacher, isotropic inputs, noise of variance sigma^2 on fresh targets."""

    @pytest.mark.parametrize(("dimension", "scale", "noise"), [(1, 1.0, 0.0), (5, 0.7, 0.3), (20, 2.0, 1.0)])
    def test_the_population_loss_is_a_non_central_chi_squared_variable(self, dimension, scale, noise):
        teacher = normal(dimension, dimension)
        space = population_hypotheses(teacher, scale=scale, floor=noise**2)
        levels = noise**2 + scale**2 * np.array([0.2, 0.5, 1.0, 3.0]) * dimension
        law = ncx2(dimension, teacher @ teacher / scale**2)
        curve = space.information(levels)
        np.testing.assert_allclose(curve.nats, -law.logcdf((levels - noise**2) / scale**2), rtol=1e-9)
        assert space.floor == noise**2
        assert space.mean_loss == pytest.approx(noise**2 + teacher @ teacher + scale**2 * dimension)
        assert curve.kind == "exact"
        assert curve.confidence == 1

    def test_after_exact_training_equations(self):
        """Dimension d - m, and the part of the teacher that the equations do not determine."""
        d, m = 8, 3
        teacher, x = normal(0, d), normal(1, m, d)
        q = np.linalg.qr(x.T)[0]
        offset = teacher - q @ (q.T @ teacher)
        space = population_hypotheses(teacher, inputs=x, targets=x @ teacher, floor=0.1)
        levels = np.array([1.0, 3.0, 9.0])
        np.testing.assert_allclose(
            space.information(levels).nats, -ncx2(d - m, offset @ offset).logcdf(levels - 0.1), rtol=1e-9
        )
        assert space.condition == "3 examples are fit exactly"

    def test_simulated(self):
        """Monte Carlo over weights, with the loss taken over fresh inputs and not by the formula."""
        generator = np.random.default_rng(0)
        teacher, draws = normal(3, 4), 100_000
        space = population_hypotheses(teacher, scale=1.2, floor=0.09)
        weights = 1.2 * generator.standard_normal((draws, 4))
        # Inputs of the cube: E x x^T = I exactly.
        cube = np.array(np.meshgrid(*[[-1.0, 1.0]] * 4)).reshape(4, -1)
        losses = np.square((weights - teacher) @ cube).mean(axis=1) + 0.09
        for level in (2.0, 5.0):
            p = math.exp(-space.information([level]).nats[0])
            assert abs((losses <= level).mean() - p) < 4 * math.sqrt(p * (1 - p) / draws)

    def test_prior_of_a_process_on_one_point(self):
        nats = kernel_hypotheses([[2.0]], [1.0]).information([0.5]).nats[0]
        interval = [(1 + side * math.sqrt(0.5)) / math.sqrt(2) for side in (-1, 1)]
        p = (math.erf(interval[1] / math.sqrt(2)) - math.erf(interval[0] / math.sqrt(2))) / 2
        assert nats == pytest.approx(-math.log(p), rel=1e-10)


class TestConditioning:
    @pytest.mark.parametrize("noise", [0.0, 0.3])
    def test_the_block_formula_in_high_precision(self, noise):
        """Of a kernel with condition number 1e8 on the training examples: no digit that matters is lost."""
        x = np.linspace(0, 1, 9)[:, None]
        k = rbf_kernel(x, length_scale=0.35)
        y = np.sin(5 * x[:, 0])
        train, test = [0, 2, 4, 6, 8], [1, 3, 5, 7]
        space = kernel_hypotheses(k, y, given=train, noise=noise)
        with mpmath.workdps(60):
            full = mpmath.matrix(k.tolist())

            def block(rows, columns):
                return mpmath.matrix([[full[i, j] for j in columns] for i in rows])

            known = block(train, train) + noise**2 * mpmath.eye(len(train))
            gain = block(test, train) * mpmath.inverse(known)
            mean = gain * mpmath.matrix(y[train].tolist()) - mpmath.matrix(y[test].tolist())
            left = block(test, test) - gain * block(train, test)
            exact_mean = np.array([[float(value)] for value in mean])
            exact = np.array([[float(left[i, j]) for j in range(4)] for i in range(4)])
        np.testing.assert_allclose(space.mean, exact_mean, atol=1e-9)
        np.testing.assert_allclose(covariance(space), exact, rtol=1e-5, atol=1e-13)

    @pytest.mark.parametrize("noise", [0.0, 1e-7])
    @pytest.mark.parametrize("condition", [1e2, 1e6, 1e9])
    def test_nearly_parallel_equations_of_a_linear_model(self, condition, noise):
        """The mean is within its stated error of that in high precision, and the error is no idle one."""
        x, y = normal(0, 8, 9), normal(1, 8)
        x[1] = x[0] + (x[1] - x[0]) / condition
        space = linear_hypotheses(x, y, given=np.arange(5), noise=noise)
        with mpmath.workdps(60):
            known, other = mpmath.matrix(x[:5].tolist()), mpmath.matrix(x[5:].tolist())
            gram = known * known.T + mpmath.mpf(noise) ** 2 * mpmath.eye(5)
            mean = other * (known.T * mpmath.lu_solve(gram, mpmath.matrix(y[:5].tolist()))) - mpmath.matrix(
                y[5:].tolist()
            )
            exact = np.array([float(value) for value in mean])
        off = np.linalg.norm(space.mean[:, 0] - exact)
        assert off <= space.mean_error < 1e-12 * condition**2 * np.linalg.norm(exact)
        if condition == 1e2:  # of a kernel the square is lost before the root is taken
            products = linear_kernel(x) + np.eye(8) / condition**2
            by_kernel = kernel_hypotheses(products, y, given=np.arange(5), noise=noise)
            with mpmath.workdps(60):
                full = mpmath.matrix(products.tolist())
                known = full[:5, :5] + mpmath.mpf(noise) ** 2 * mpmath.eye(5)
                mean = full[5:, :5] * mpmath.lu_solve(known, mpmath.matrix(y[:5].tolist()))
                exact = np.array([float(value) for value in mean]) - y[5:]
            off = np.linalg.norm(by_kernel.mean[:, 0] - exact)
            assert 1e-15 < off <= by_kernel.mean_error < 1e-3
        curve = space.information(space.mean_loss * np.array([0.1, 1.0]))
        assert (curve.low < curve.high).all()

    @pytest.mark.parametrize("noise", [0.0, 1e-8, 1e-3])
    @pytest.mark.parametrize("condition", [1e3, 1e6, 1e9])
    @pytest.mark.parametrize("kernel", [False, True])
    def test_nearly_parallel_equations_leave_the_truth_inside(self, condition, noise, kernel):
        """What they leave free is known as badly as what they determine: a certain interval has to say both."""
        x, y = normal(2, 6, 5), normal(3, 6)
        x[1], y[1] = x[0] + (x[1] - x[0]) / condition, y[0] + (y[1] - y[0]) / condition
        products = linear_kernel(x)
        space = (
            kernel_hypotheses(products + np.eye(6) / condition, y, given=[0, 1, 2], noise=noise)
            if kernel
            else linear_hypotheses(x, y, given=[0, 1, 2], noise=noise)
        )
        with mpmath.workdps(60):
            rows = mpmath.matrix(x.tolist())
            full = mpmath.matrix((products + np.eye(6) / condition).tolist()) if kernel else rows * rows.T
            known = full[:3, :3] + mpmath.mpf(noise) ** 2 * mpmath.eye(3)
            gain = full[3:, :3] * mpmath.inverse(known)
            mean = gain * mpmath.matrix(y[:3].tolist()) - mpmath.matrix(y[3:].tolist())
            left = full[3:, 3:] - gain * full[:3, 3:]
            values, vectors = mpmath.eigsy((left + left.T) / 2)
            weighty = [i for i in range(3) if values[i] > mpmath.mpf(10) ** -40]
            along = vectors.T * mean
            offset = mpmath.fsum(along[i] ** 2 for i in range(3) if i not in weighty) / 3
            form = QuadraticForm(
                [float(values[i] / 3) for i in weighty],
                [float(along[i] / mpmath.sqrt(values[i])) for i in weighty],
                float(offset),
            )
        levels = float(form.offset) + float(form.mean - form.offset) * np.array([1e-6, 0.01, 0.5, 1.0, 2.0])
        exact, found = quadratic_tail(form, levels), space.information(levels)
        assert ((found.low <= exact.high) & (exact.low <= found.high)).all()
        if condition <= 1e6 and not kernel:
            assert (found.high - found.low < 1e-2 * (1 + found.nats)).all()

    @pytest.mark.parametrize("condition", [1e4, 1e6])
    @pytest.mark.parametrize("kernel", [False, True])
    def test_what_nearly_parallel_equations_leave_of_one_variance(self, condition, kernel):
        """Targets of 0, so that only the factor is uncertain: P(s^2 z^2 <= level) with s in high precision."""
        x = normal(7, 4, 5)
        x[1] = x[0] + (x[1] - x[0]) / condition
        x[3] = x[3] * 1e-3 + condition * (x[1] - x[0])  # the direction that the weakest equation determines
        products = linear_kernel(x) + kernel * np.eye(4) / condition**2
        y = np.zeros(4)
        law = kernel_hypotheses(products, y, given=[0, 1, 2]) if kernel else linear_hypotheses(x, y, given=[0, 1, 2])
        with mpmath.workdps(60):
            rows = mpmath.matrix(x.tolist())
            full = mpmath.matrix(products.tolist()) if kernel else rows * rows.T
            across = full[3, :3]
            variance = full[3, 3] - (across * mpmath.lu_solve(full[:3, :3], across.T))[0]
            levels = float(variance) * np.array([1e-3, 0.5, 1.0, 4.0])
            exact = [float(-mpmath.log(mpmath.erf(mpmath.sqrt(level / variance / 2)))) for level in levels]
        found = law.information(levels)
        assert ((found.low <= exact) & (exact <= found.high)).all()
        assert (found.high - found.low < 0.1).all()
        assert law.mean_error == 0
        # With the rounding of the features alone, and not what the equations make of it, the truth is outside.
        blind = replace(law, resolution=law.resolution * 1e-6).information(levels)
        assert ((exact < blind.low) | (blind.high < exact)).any()

    @pytest.mark.parametrize("squared", [False, True])
    def test_an_error_of_the_mean_is_in_the_interval(self, squared):
        mean, factor = normal(8, 3, 2), np.diag([1.0, 0.3, 0.1])
        law = GaussianHypotheses(mean, factor, 1e-15, squared, mean_error=1e-6)
        levels = law.mean_loss * np.array([0.01, 0.3, 1.0])
        curve = law.information(levels)
        exact = [
            GaussianHypotheses(mean + 1e-6 * side * mean / np.linalg.norm(mean), factor, 1e-15).information(levels)
            for side in (-1, 1)
        ]
        assert (curve.low <= exact[0].nats).all()
        assert (exact[1].nats <= curve.high).all()
        assert (curve.high - curve.low < 5 * (exact[1].nats - exact[0].nats)).all()

    def test_rounding_of_a_covariance_is_not_that_of_a_factor(self):
        """Of norm 1e-14 and not 1e-7: ten digits are left of 80 nats of a process in five dimensions."""
        x = normal(9, 150, 5)
        law = kernel_hypotheses(rbf_kernel(x, length_scale=1.0), np.sin(x.sum(axis=1)), given=np.arange(100))
        curve = law.information(law.mean_loss * np.array([0.01, 0.1]))
        assert curve.nats[0] > 50
        assert (curve.high - curve.low < 1e-6).all()

    def test_targets_that_contradict_each_other_are_refused(self):
        x, y = normal(4, 6, 4), normal(5, 6)
        x[1], y[1] = x[0], y[0] * (1 + 1e-5)
        with pytest.raises(ValueError, match="must be reached by some function"):
            linear_hypotheses(x, y, given=[0, 1])

    def test_targets_that_nearly_contradict_each_other_say_so(self):
        x, y = normal(4, 6, 4), normal(5, 6)
        x[1], y[1] = x[0], y[0] * (1 + 1e-8)
        assert any("contradict" in warning for warning in linear_hypotheses(x, y, given=[0, 1]).warnings)
        y[1] = y[0]
        assert linear_hypotheses(x, y, given=[0, 1]).warnings == ()

    def test_equations_that_noise_drowns(self):
        """A given example outside of the span of all others but for rounding: its target pulls by 1 / noise^2."""
        x, y = np.array([[1.0, 0.0], [1.0, 1e-17], [1.0, 1.0]]), np.array([1.0, 2.0, 1.0])
        space = linear_hypotheses(x, y, given=[0, 1], noise=1e-9)
        with mpmath.workdps(60):
            rows, square = mpmath.matrix(x.tolist()), mpmath.mpf(1e-9) ** 2
            gram = rows[:2, :] * rows[:2, :].T + square * mpmath.eye(2)
            mean = (rows[2, :] * rows[:2, :].T * mpmath.lu_solve(gram, mpmath.matrix([1, 2])))[0] - 1
        assert abs(space.mean[0, 0] - float(mean)) <= space.mean_error

    def test_rejection_sampling_in_two_dimensions(self):
        """Weights whose training output is close to its target, and what is left of the test loss."""
        generator = np.random.default_rng(1)
        x, y = np.array([[1.0, 0.5], [0.3, -1.0]]), np.array([0.8, 0.2])
        space = linear_hypotheses(x, y, given=[0])
        outputs = generator.standard_normal((4_000_000, 2)) @ x.T
        losses = np.square(outputs[np.abs(outputs[:, 0] - y[0]) < 0.01, 1] - y[1])
        for level in (0.05, 0.5, 2.0):
            p = math.exp(-space.information([level]).nats[0])
            assert abs((losses <= level).mean() - p) < 4 * math.sqrt(p * (1 - p) / len(losses))

    @given(st.integers(0, 10**6), st.integers(1, 6), st.integers(1, 9), st.sampled_from([0.0, 0.5]))
    @settings(deadline=None, max_examples=40)
    def test_a_linear_model_is_the_process_of_the_linear_kernel(self, seed, m, d, noise):
        x, w = normal(seed, m + 4, d), normal(seed + 1, d, 2)
        y = x @ w
        by_weights = linear_hypotheses(x, y, scale=1.3, given=np.arange(m), noise=noise)
        by_kernel = kernel_hypotheses(linear_kernel(x, weight_variance=1.69), y, given=np.arange(m), noise=noise)
        np.testing.assert_allclose(by_weights.mean, by_kernel.mean, atol=1e-5)
        np.testing.assert_allclose(covariance(by_weights), covariance(by_kernel), atol=1e-5)

    @given(st.integers(0, 10**6), st.integers(1, 5), st.integers(6, 12))
    @settings(deadline=None, max_examples=25)
    def test_little_noise_tends_to_none(self, seed, m, d):
        x, y = normal(seed, m + 3, d), normal(seed + 1, m + 3)
        exact = linear_hypotheses(x, y, given=np.arange(m))
        nearly = linear_hypotheses(x, y, given=np.arange(m), noise=1e-6)
        np.testing.assert_allclose(nearly.mean, exact.mean, atol=1e-6)
        np.testing.assert_allclose(covariance(nearly), covariance(exact), atol=1e-6)

    def test_much_noise_tends_to_the_prior(self):
        x, y = normal(0, 9, 5), normal(1, 9)
        vague = linear_hypotheses(x, y, given=[0, 3, 5], noise=1e9)
        prior = linear_hypotheses(x[[1, 2, 4, 6, 7, 8]], y[[1, 2, 4, 6, 7, 8]])
        np.testing.assert_allclose(vague.mean, prior.mean, atol=1e-12)
        np.testing.assert_allclose(covariance(vague), covariance(prior), rtol=1e-12)

    def test_the_posterior_mean_is_ridge_regression(self):
        x, y = normal(2, 30, 6), normal(3, 30)
        space = linear_hypotheses(x, y, scale=0.8, given=np.arange(25), noise=0.4)
        weights = np.linalg.solve(x[:25].T @ x[:25] + (0.4 / 0.8) ** 2 * np.eye(6), x[:25].T @ y[:25])
        np.testing.assert_allclose(space.mean[:, 0], x[25:] @ weights - y[25:], rtol=1e-10)

    def test_wide_features_are_reduced_without_a_change(self):
        """More features than examples: the law stands on inner products only."""
        x, y = normal(4, 6, 500), normal(5, 6)
        space = linear_hypotheses(x, y, given=[0, 1], scale=0.1)
        assert space.factor.shape[1] <= 6
        k = 0.01 * x @ x.T
        gain = k[2:, :2] @ np.linalg.inv(k[:2, :2])
        np.testing.assert_allclose(covariance(space), k[2:, 2:] - gain @ k[:2, 2:], atol=1e-12)
        np.testing.assert_allclose(space.mean[:, 0], gain @ y[:2] - y[2:], atol=1e-12)

    def test_what_is_given_twice_is_given_once(self):
        x, y = normal(6, 6, 4), normal(7, 6)
        x[1], y[1] = x[0], y[0]
        twice, once = (
            linear_hypotheses(x, y, given=[0, 1]),
            linear_hypotheses(np.delete(x, 1, 0), np.delete(y, 1), given=[0]),
        )
        np.testing.assert_allclose(twice.mean, once.mean, atol=1e-12)
        np.testing.assert_allclose(covariance(twice), covariance(once), atol=1e-12)

    def test_a_test_example_that_was_given_has_no_loss(self):
        x, y = normal(8, 6, 4), normal(9, 6)
        x[1], y[1] = x[0], y[0]
        space = kernel_hypotheses(rbf_kernel(x, length_scale=2.0), y, given=[0])
        assert abs(space.mean[0, 0]) < 1e-7
        assert np.abs(space.factor[0]).max() < 1e-6


class TestFloor:
    def test_with_as_many_equations_as_weights_nothing_varies(self):
        """m >= d: a teacher of the class is found, another one leaves its floor."""
        x, w = normal(0, 12, 4), normal(1, 4)
        found = linear_hypotheses(x, x @ w, given=np.arange(8))
        assert found.form.weights.size == 0
        assert found.floor < 1e-25
        assert found.information([1e-9]).nats.tolist() == [0.0]

        curved = np.r_[x[:8] @ w, x[8:] @ w + np.square(x[8:, 0])]  # known on the class, unlike it elsewhere
        outside = linear_hypotheses(x, curved, given=np.arange(8))
        floor = np.mean(x[8:, 0] ** 4)
        assert outside.floor == pytest.approx(floor)
        assert outside.information([0.99 * floor, 1.01 * floor]).nats.tolist() == [math.inf, 0.0]

    def test_a_teacher_outside_of_the_class_is_out_of_reach_below_the_floor(self):
        """Two weights, five test examples: three directions cannot be fit."""
        x, y = normal(2, 5, 2), normal(3, 5)
        space = linear_hypotheses(x, y)
        q = np.linalg.qr(x)[0]
        floor = np.square(y - q @ (q.T @ y)).mean()
        assert space.floor == pytest.approx(floor, rel=1e-12)
        nats = space.information(floor * np.array([0.9, 0.999, 1.001, 1.1])).nats
        assert np.isinf(nats[:2]).all()
        assert (np.diff(nats[2:]) < 0).all()
        assert np.isfinite(nats[2:]).all()

    def test_scaling_everything_scales_the_floor(self):
        x, y = normal(4, 6, 3), normal(5, 6)
        assert linear_hypotheses(1e-9 * x, 1e-9 * y).floor == pytest.approx(1e-18 * linear_hypotheses(x, y).floor)

    def test_a_floor_of_rounding_is_not_decided(self):
        """The targets are on the line but for their last digit, whose square is the floor."""
        x = normal(6, 3, 1)
        y = x * np.pi
        space = linear_hypotheses(x, y)
        level = np.square(1e-17 * np.abs(y)).mean()
        curve = space.information([level / 1e3, 1e4 * level, 1e-20])
        assert np.isnan(curve.nats[:2]).all()
        assert (curve.low[:2].tolist(), curve.high[:2].tolist()) == ([0, 0], [math.inf] * 2)
        assert np.isfinite(curve.nats[2])

    def test_where_nothing_varies_rounding_may(self):
        x, w = normal(0, 12, 4), normal(1, 4)
        found = linear_hypotheses(x, x @ w, given=np.arange(8))
        curve = found.information([1e-40, 1e-31, 1e-9])
        assert np.isnan(curve.nats[:2]).all()
        assert np.isinf(curve.high[:2]).all()
        assert curve.high[2] == 5e-324

    def test_an_unresolved_covariance_says_so(self):
        x = np.linspace(0, 1, 40)[:, None]
        space = kernel_hypotheses(rbf_kernel(x, length_scale=1.0), np.sin(x[:, 0]))
        assert any("rank" in warning for warning in space.warnings)
        assert space.information([0.1]).warnings[-len(space.warnings) :] == space.warnings
        fine = kernel_hypotheses(rbf_kernel(x, length_scale=0.01), np.sin(x[:, 0]))
        assert fine.warnings == ()
        assert fine.floor == 0

    def test_training_equations_at_the_edge_of_rounding_say_so(self):
        x = np.linspace(0, 1, 9)[:, None]
        space = kernel_hypotheses(rbf_kernel(x, length_scale=0.6), np.sin(x[:, 0]), given=[0, 1, 2, 3, 4, 5, 6])
        assert any("weakest" in warning for warning in space.warnings)


class TestOrderingsAndInvariances:
    @given(st.integers(0, 10**6), st.integers(1, 3))
    @settings(deadline=None, max_examples=20)
    def test_rotations_of_inputs_and_names_of_outputs_do_not_matter(self, seed, k):
        x, y = normal(seed, 8, 5), normal(seed + 1, 8, k)
        rotation = np.linalg.qr(normal(seed + 2, 5, 5))[0]
        order = np.random.default_rng(seed).permutation(k)
        base = linear_hypotheses(x, y, given=[0, 1])
        levels = base.floor + (base.mean_loss - base.floor) * np.array([0.1, 0.5, 1.0])
        nats = base.information(levels).nats
        assert (np.diff(nats) < 0).all()
        for other in (
            linear_hypotheses(x @ rotation, y, given=[0, 1]),
            linear_hypotheses(x, y[:, order], given=[1, 0]),
            linear_hypotheses(np.r_[x[:2], x[2:][::-1]], np.r_[y[:2], y[2:][::-1]], given=[0, 1]),
        ):
            np.testing.assert_allclose(other.information(levels).nats, nats, rtol=1e-7)

    def test_several_outputs_are_one_long_output_with_a_block_covariance(self):
        x, y = normal(0, 7, 4), normal(1, 7, 3)
        k = rbf_kernel(x, length_scale=1.5)
        blocks = kernel_hypotheses(k, y, given=[0, 1])
        whole = kernel_hypotheses(np.kron(np.eye(3), k), y.T.ravel(), given=[0, 1, 7, 8, 14, 15])
        levels = blocks.mean_loss * np.array([0.01, 0.1, 0.5, 1.0, 2.0])
        np.testing.assert_allclose(whole.information(levels).nats, blocks.information(levels).nats, rtol=1e-8)
        assert blocks.factor.shape[0] == 5
        assert blocks.mean.shape == (5, 3)

    def test_linear_tasks_need_more_information_in_higher_dimension(self):
        """The paper's ordering: a teacher of unit length, the same level, d = 2, 5, 10, 20, 50."""
        nats = [
            population_hypotheses(np.eye(d)[0], scale=1 / math.sqrt(d)).information([0.1]).nats[0]
            for d in (2, 5, 10, 20, 50)
        ]
        assert (np.diff(nats) > 0).all()
        # The exact law beside it: no wrong ordering of wrong numbers.
        exact = [-ncx2(d, d).logcdf(0.1 * d) for d in (2, 5, 10, 20)]
        np.testing.assert_allclose(nats[:4], exact, rtol=1e-8)

    def test_linear_tasks_need_less_information_with_more_training_equations(self):
        d = 12
        teacher, x = normal(2, d) / math.sqrt(d), normal(3, d, d)
        nats = [
            population_hypotheses(teacher, scale=1.0, inputs=x[:m], targets=x[:m] @ teacher).information([0.05]).nats[0]
            for m in (1, 4, 8, 11)
        ]
        assert (np.diff(nats) < 0).all()

    def test_where_the_chain_rule_is_exact(self):
        """Train and test outputs that are independent: the information of both is the sum."""
        k = np.diag([1.0, 2.0, 0.5])
        y = np.array([0.3, -0.2, 1.0])
        train = kernel_hypotheses(k[:1, :1], y[:1]).information([0.2]).nats[0]
        given_fit = kernel_hypotheses(k, y, given=[0]).information([0.4]).nats[0]
        z = np.random.default_rng(0).standard_normal((1_000_000, 3)) * np.sqrt(k.diagonal()) - y
        joint = ((z[:, 0] ** 2 <= 0.2) & (np.square(z[:, 1:]).mean(axis=1) <= 0.4)).mean()
        error = math.sqrt((1 - joint) / joint / len(z))
        assert abs(train + given_fit + math.log(joint)) < 4 * error

    def test_deep_tails_have_the_slope_of_a_small_ball(self):
        """B-4: half the number of directions, in ln(1 / level)."""
        x, y = normal(4, 10, 30), normal(5, 10)
        space = linear_hypotheses(x, y, given=[0, 1, 2])
        nats = space.information([1e-12, 1e-10]).nats
        assert (nats[0] - nats[1]) / math.log(100) == pytest.approx(3.5, rel=1e-6)

    def test_central_case_of_equal_variances(self):
        space = kernel_hypotheses(np.eye(5), np.zeros(5))
        levels = np.array([1e-3, 0.1, 1.0])
        np.testing.assert_allclose(space.information(levels).nats, -chi2(5).logcdf(5 * levels), rtol=1e-9)


class TestGaussianProcesses:
    """B5 (1): an RBF process in 2, 5 and 10 dimensions, conditioned exactly; levels as fractions of the mean loss."""

    @staticmethod
    def task(dimension, train, test, length_scale):
        x = normal(0, train + test, dimension)
        y = np.sin(2 * x.sum(axis=1) / math.sqrt(dimension))
        return x, y, kernel_hypotheses(rbf_kernel(x, length_scale=length_scale), y, given=np.arange(train))

    @pytest.mark.parametrize(
        ("dimension", "train", "test", "length_scale", "effective", "reference"),
        [
            (2, 20, 50, 1.0, 4.1, (40.18, 19.99, 6.75, 1.76)),
            (5, 100, 50, 1.0, 29, (137.45, 80.60, 28.85, 4.82)),
            (10, 100, 100, 2.0, 71, (306.3, 190.9, 76.3, 12.07)),
        ],
    )
    def test_spaces_like_those_of_the_reference(self, dimension, train, test, length_scale, effective, reference):
        """Its inputs are not known; spaces of as many effective degrees of freedom have nearly its information."""
        _, _, space = self.task(dimension, train, test, length_scale)
        weights = space.form.weights
        assert weights.sum() ** 2 / (weights**2).sum() == pytest.approx(effective, rel=0.05)
        nats = space.information(space.mean_loss * np.array([0.001, 0.01, 0.1, 0.5])).nats
        np.testing.assert_allclose(nats, reference, rtol=0.13)
        assert space.warnings == ()

    def test_a_fitted_chi_squared_law_knows_little_of_the_tail(self):
        """Right near the mean, and at a thousandth of it half of the information is missing, whatever the draws."""
        _, _, space = self.task(2, 20, 50, 1.0)
        levels = space.mean_loss * np.array([0.001, 0.01, 0.5])
        exact = space.information(levels).nats
        for draws in (1000, 4000):
            fit = published_chi_squared_fit(space.form.draw(draws, np.random.default_rng(0)), levels).nats
            assert (fit[:2] < 0.65 * exact[:2]).all()
            assert fit[2] == pytest.approx(exact[2], abs=0.1)

    @pytest.mark.parametrize(("length_scale", "warnings"), [(1.0, 0), (1.5, 1), (2.0, 2), (3.0, 2)])
    def test_against_sixty_digits(self, length_scale, warnings):
        """The process of the exact kernel, not of its rounded entries: within the interval, or a warning says why."""
        m, n = 20, 20
        x, y, space = self.task(2, m, n, length_scale)
        levels = space.mean_loss * np.array([0.001, 0.01, 0.1, 0.5])
        with mpmath.workdps(60):
            points = [[mpmath.mpf(float(value)) for value in row] for row in x]
            kernel = mpmath.matrix(m + n, m + n)
            for i, a in enumerate(points):
                for j, b in enumerate(points):
                    square = mpmath.fsum((u - v) ** 2 for u, v in zip(a, b, strict=True))
                    kernel[i, j] = mpmath.exp(-square / (2 * mpmath.mpf(length_scale) ** 2))
            root = mpmath.cholesky(kernel)
            known = mpmath.lu_solve(root[:m, :m], mpmath.matrix([float(value) for value in y[:m]]))
            mean = root[m:, :m] * known - mpmath.matrix([float(value) for value in y[m:]])
            values, vectors = mpmath.eigsy(root[m:, m:] * root[m:, m:].T)
            shifts = [float((vectors[:, i].T * mean)[0] / mpmath.sqrt(values[i])) for i in range(n)]
            form = QuadraticForm([float(value / n) for value in values], shifts)
        exact, found = quadratic_tail(form, levels), space.information(levels)
        assert ((found.low <= exact.nats) & (exact.nats <= found.high)).all()
        assert len(space.warnings) == warnings
        if not warnings:
            np.testing.assert_allclose(found.nats, exact.nats, rtol=1e-4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: linear_hypotheses([1.0], [1.0]), r"inputs must be of shape \(n, ...\), got \(1,\)"),
        (lambda: linear_hypotheses([[1.0]], [1.0, 2.0]), "targets must be of shape"),
        (lambda: linear_hypotheses([[1e200]], [1.0]), r"inputs must be between 1e-100 and 1e100 in size, got 1e\+200"),
        (lambda: linear_hypotheses([[1.0]], [1e-200]), "targets must be between 1e-100 and 1e100"),
        (
            lambda: population_hypotheses([1.0, 2.0], inputs=[[1.0, 2.0, 3.0]], targets=[1.0]),
            r"of shapes \(m, 2\) and \('m',\) beside this teacher, got \(1, 3\) and \(1,\)",
        ),
        (lambda: population_hypotheses([1.0], inputs=[[1.0]], targets=[[1.0]]), "inputs and targets must be of shapes"),
        (lambda: population_hypotheses([1.0], inputs=[1.0], targets=[1.0]), "inputs and targets must be of shapes"),
        (lambda: linear_hypotheses([[np.inf]], [1.0]), "inputs must be finite"),
        (lambda: linear_hypotheses([[1.0]], [np.nan]), "targets must be a number"),
        (lambda: linear_hypotheses([[1.0]], [1.0], scale=0.0), "scale must be positive"),
        (lambda: linear_hypotheses([[1.0], [1.0]], [1.0, 2.0], given=[0], noise=-1.0), "noise must be non-negative"),
        (lambda: linear_hypotheses([[1.0]], [1.0], given=[0]), "given must leave at least one example, got all 1"),
        (lambda: linear_hypotheses([[1.0], [2.0]], [1.0, 2.0], given=[2]), r"given must be indices in \[0, 2\), got 2"),
        (lambda: linear_hypotheses([[1.0], [2.0]], [1.0, 2.0], given=[True, False]), "given must list different int"),
        (lambda: linear_hypotheses([[1.0], [2.0], [3.0]], [1.0, 2.0, 3.0], given=[1, 1]), "given must list different"),
        (
            lambda: linear_hypotheses([[1.0], [1.0], [1.0]], [1.0, 2.0, 3.0], given=[0, 1]),
            "must be reached by some fun",
        ),
        (lambda: kernel_hypotheses([[1.0, 0.0]], [1.0]), r"covariance must be of shape \(n, n\), got \(1, 2\)"),
        (lambda: kernel_hypotheses([[1.0, 0.5], [0.4, 1.0]], [1.0, 1.0]), "covariance must be symmetric"),
        (lambda: kernel_hypotheses([[1.0, 2.0], [2.0, 1.0]], [1.0, 1.0]), "covariance must be positive semi-definite"),
        (lambda: kernel_hypotheses(np.zeros((2, 2)), [1.0, 1.0]), "covariance must be positive semi-definite"),
        (lambda: kernel_hypotheses(np.diag([1.0, -1e-12]), [1.0, 1.0]), "covariance must be positive semi-definite"),
        (lambda: kernel_hypotheses(np.ones((3, 3)), [1.0, 2.0, 3.0], given=[0, 1]), "must be reached by some function"),
        (lambda: population_hypotheses([1.0], inputs=[[1.0]]), "inputs and targets must be given together"),
        (lambda: population_hypotheses([1.0], floor=-1.0), "floor must be non-negative"),
        (lambda: population_hypotheses(1.0), r"teacher must be of shape \(d,\)"),
    ],
)
def test_what_has_no_law_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_law_by_hand():
    """Residuals 1 + z and 3: the mean square is (1 + z)^2 / 2 + 4.5, and the offset."""
    space = GaussianHypotheses(np.array([[1.0], [3.0]]), np.array([[1.0], [0.0]]), 1e-12, offset=0.25)
    assert space.floor == pytest.approx(4.75)
    assert space.mean_loss == pytest.approx(5.75)
    nats = space.information([4.0, 5.25]).nats
    assert nats[0] == math.inf
    assert nats[1] == pytest.approx(-math.log(math.erf(2 / math.sqrt(2)) / 2), rel=1e-9)  # z in (-2, 0)
