"""Kernels of infinitely wide networks: numerical integration, closed forms, and wide random networks."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm
from torch import nn
from torch.nn import functional

from genbounds.inductive_bias.gaussian.kernels import linear_kernel
from genbounds.inductive_bias.gaussian.network_kernels import convolutional_kernel, network_kernel, tangent_kernel


def normal(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape)


def integrated(covariance):
    """E relu(u) relu(v) and P(u > 0, v > 0) for (u, v) ~ N(0, covariance), by integrating over u."""
    (a, c), (_, b) = covariance
    slope, spread = c / a, math.sqrt(b - c**2 / a)

    def product(u):  # u E[relu(v) | u]
        mean = slope * u
        return u * (mean * norm.cdf(mean / spread) + spread * norm.pdf(mean / spread)) * norm.pdf(u, 0, math.sqrt(a))

    def both(u):
        return norm.cdf(slope * u / spread) * norm.pdf(u, 0, math.sqrt(a))

    return quad(product, 0, 40 * math.sqrt(a), epsabs=1e-13)[0], quad(both, 0, 40 * math.sqrt(a), epsabs=1e-13)[0]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("weight", "bias"), [(2.0, 0.0), (1.3, 0.4)])
def test_each_layer_is_an_integral(seed, weight, bias):
    x = normal(seed, 2, 3)
    settings_ = {"weight_variance": weight, "bias_variance": bias}
    kernel = tangent = linear_kernel(x, weight_variance=weight / 3, bias_variance=bias)
    for depth in range(1, 4):
        product, both = integrated(kernel)
        last = kernel
        kernel = bias + weight * np.array([[last[0, 0] / 2, product], [product, last[1, 1] / 2]])
        tangent = kernel + weight * tangent * np.array([[0.5, both], [both, 0.5]])
        np.testing.assert_allclose(network_kernel(x, depth=depth, **settings_), kernel, rtol=1e-9)
        np.testing.assert_allclose(tangent_kernel(x, depth=depth, **settings_), tangent, rtol=1e-9)


@pytest.mark.parametrize("cosine", [-1.0, -0.5, 0.0, 0.5, 1.0])
def test_one_hidden_layer_in_closed_form(cosine):
    """The arc-cosine kernel of order 1, and the tangent kernel (sin t + 2 (pi - t) cos t) / pi of unit vectors."""
    angle = math.acos(cosine)
    x = np.array([[1.0, 0.0], [cosine, math.sin(angle)]])
    # weight_variance / fan_in = 1: the inputs' covariance is the cosine.
    half = {"depth": 1, "weight_variance": 2.0}
    arc = (math.sin(angle) + (math.pi - angle) * cosine) / math.pi
    assert network_kernel(x, **half)[0, 1] == pytest.approx(arc, abs=1e-12)
    step = (math.pi - angle) / math.pi
    assert tangent_kernel(x, **half)[0, 1] == pytest.approx(arc + cosine * step, abs=1e-7 if cosine == 1 else 1e-12)


def test_with_weight_variance_2_the_scale_is_kept_at_any_depth():
    x = normal(0, 5, 4)
    expected = 2 * np.square(x).mean(axis=1)
    for depth in (0, 1, 7):
        np.testing.assert_allclose(network_kernel(x, depth=depth).diagonal(), expected, rtol=1e-12)
        np.testing.assert_allclose(tangent_kernel(x, depth=depth).diagonal(), (depth + 1) * expected, rtol=1e-12)


def test_depth_forgets_the_angle():
    """The cosine of two inputs rises to 1 with depth (the ordered phase of this network)."""
    x = np.eye(2)
    cosines = [network_kernel(x, depth=depth)[0, 1] / network_kernel(x, depth=depth)[0, 0] for depth in range(20)]
    assert (np.diff(cosines) > 0).all()
    assert 0.9 < cosines[-1] < 1


@given(st.integers(0, 10**6), st.integers(1, 4), st.sampled_from([0.0, 0.5]))
@settings(deadline=None, max_examples=20)
def test_covariances_and_their_invariances(seed, depth, bias):
    x = normal(seed, 6, 4)
    rotation = np.linalg.qr(normal(seed + 1, 4, 4))[0]
    for kernel in (network_kernel, tangent_kernel):
        k = kernel(x, depth=depth, bias_variance=bias)
        assert (k == k.T).all()
        assert np.linalg.eigvalsh(k)[0] > -1e-12 * k.max()
        np.testing.assert_allclose(kernel(x @ rotation, depth=depth, bias_variance=bias), k, rtol=1e-9, atol=1e-12)
        if not bias:  # homogeneous of degree 1 in each input
            np.testing.assert_allclose(kernel(3 * x, depth=depth), 9 * k, rtol=1e-12)


def test_equal_inputs_are_equal_functions():
    x = normal(3, 4, 9)
    x = np.concatenate([x, x[:2]])
    for kernel in (network_kernel, tangent_kernel):
        k = kernel(x, depth=3, bias_variance=0.1)
        np.testing.assert_allclose(k[4:], k[:2], rtol=1e-14)


@pytest.mark.parametrize("depth", [1, 3])
def test_parallel_inputs_are_scaled_functions(depth):
    """Rounding of a cosine of 1 is no angle: the tangent kernel has a kink there, of 1e-8 for the last digit."""
    x = normal(12, 30, 7)
    scale = np.random.default_rng(0).uniform(0.1, 10, 30)
    k = tangent_kernel(np.concatenate([x, scale[:, None] * x]), depth=depth)
    np.testing.assert_allclose(np.diag(k[:30, 30:]), scale * np.diag(k[:30, :30]), rtol=1e-13)


def test_an_input_of_zeros_without_biases_gives_zero():
    x = np.array([[0.0, 0.0], [1.0, 2.0]])
    for kernel in (network_kernel, tangent_kernel):
        k = kernel(x, depth=2)
        assert k[0].tolist() == [0.0, 0.0]
        assert k[1, 1] > 0


@pytest.mark.parametrize(("width", "networks"), [(512, 1500)])
def test_wide_random_networks_have_this_covariance(width, networks):
    x = torch.as_tensor(normal(4, 3, 5), dtype=torch.float32)
    generator = torch.Generator().manual_seed(0)
    outputs = torch.zeros(networks, 3)
    for number in range(networks):
        hidden = x
        for _ in range(2):
            weights = torch.randn(hidden.shape[1], width, generator=generator) * math.sqrt(1.5 / hidden.shape[1])
            hidden = torch.relu(hidden @ weights + math.sqrt(0.2) * torch.randn(width, generator=generator))
        last = torch.randn(width, generator=generator) * math.sqrt(1.5 / width)
        outputs[number] = hidden @ last + math.sqrt(0.2) * torch.randn(1, generator=generator)
    values = outputs.double().numpy()
    products = values[:, :, None] * values[:, None]
    error = products.std(axis=0) / math.sqrt(networks)
    kernel = network_kernel(x.numpy(), depth=2, weight_variance=1.5, bias_variance=0.2)
    assert (np.abs(products.mean(axis=0) - kernel) < 4 * error).all()


def test_the_tangent_kernel_of_a_wide_network():
    width, weight, bias = 6000, 1.7, 0.3
    generator = torch.Generator().manual_seed(1)
    x = torch.as_tensor(normal(5, 3, 4), dtype=torch.float64)
    parts = [
        torch.randn(*shape, generator=generator, dtype=torch.float64) for shape in [(4, width), (width,), (width,)]
    ]
    parts.append(torch.randn((), generator=generator, dtype=torch.float64))
    leaves = [part.requires_grad_() for part in parts]
    hidden = torch.relu(x @ leaves[0] * math.sqrt(weight / 4) + math.sqrt(bias) * leaves[1])
    outputs = hidden @ leaves[2] * math.sqrt(weight / width) + math.sqrt(bias) * leaves[3]
    rows = torch.stack([
        torch.cat([g.flatten() for g in torch.autograd.grad(output, leaves, retain_graph=True)]) for output in outputs
    ])
    kernel = tangent_kernel(x.numpy(), depth=1, weight_variance=weight, bias_variance=bias)
    # Both parts are means over `width` independent units: a relative error of a few over its root.
    np.testing.assert_allclose((rows @ rows.T).numpy(), kernel, rtol=6 / math.sqrt(width), atol=0.05)


class TestConvolutions:
    @staticmethod
    def random_network(images, strides, pooling, weight, bias, channels, generator):
        hidden = images
        for stride in strides:
            fan_in = hidden.shape[1] * 9
            filters = torch.randn(channels, hidden.shape[1], 3, 3, generator=generator) * math.sqrt(weight / fan_in)
            offsets = math.sqrt(bias) * torch.randn(channels, generator=generator)
            hidden = torch.relu(functional.conv2d(hidden, filters, offsets, stride=stride, padding=1))
        hidden = hidden.mean(dim=(2, 3)) if pooling else hidden.flatten(1)
        last = torch.randn(hidden.shape[1], generator=generator) * math.sqrt(weight / hidden.shape[1])
        return hidden @ last + math.sqrt(bias) * torch.randn(1, generator=generator)

    @pytest.mark.parametrize("pooling", [False, True])
    def test_random_networks_of_many_channels(self, pooling):
        images = torch.as_tensor(normal(6, 3, 2, 6, 5), dtype=torch.float32)
        generator = torch.Generator().manual_seed(2)
        setting = {"strides": [2, 1], "pooling": pooling}
        values = torch.stack([
            self.random_network(images, [2, 1], pooling, 1.6, 0.1, 192, generator) for _ in range(1500)
        ])
        values = values.double().numpy()
        products = values[:, :, None] * values[:, None]
        error = products.std(axis=0) / math.sqrt(len(values))
        kernel = convolutional_kernel(images.numpy(), **setting, weight_variance=1.6, bias_variance=0.1)
        assert (np.abs(products.mean(axis=0) - kernel) < 4 * error).all()

    @staticmethod
    def slow(images, strides, side, pooling, weight, bias):
        """The recursion pixel pair by pixel pair, as it is written."""
        n, channels = images.shape[:2]
        half = side // 2
        size = images.shape[2:]
        kernel = {
            (a, b, p, q): sum(images[a, c][p] * images[b, c][q] for c in range(channels)) / channels
            for a in range(n)
            for b in range(n)
            for p in np.ndindex(*size)
            for q in np.ndindex(*size)
        }
        for stride in strides:
            new = tuple((length - 1) // stride + 1 for length in size)
            offsets = [(i - half, j - half) for i in range(side) for j in range(side)]
            before = {}
            for a, b in np.ndindex(n, n):
                for p in np.ndindex(*new):
                    for q in np.ndindex(*new):
                        total = sum(
                            kernel.get(
                                (a, b, (p[0] * stride + i, p[1] * stride + j), (q[0] * stride + i, q[1] * stride + j)),
                                0.0,
                            )
                            for i, j in offsets
                        )
                        before[a, b, p, q] = bias + weight * total / side**2
            kernel, size = {}, new
            for (a, b, p, q), value in before.items():
                root = math.sqrt(before[a, a, p, p] * before[b, b, q, q])
                angle = math.acos(min(1.0, max(-1.0, value / root)))
                kernel[a, b, p, q] = root * (math.sin(angle) + (math.pi - angle) * math.cos(angle)) / (2 * math.pi)
        pixels = list(np.ndindex(*size))
        pairs = [(p, q) for p in pixels for q in pixels] if pooling else [(p, p) for p in pixels]
        return np.array([
            [bias + weight * np.mean([kernel[a, b, p, q] for p, q in pairs]) for b in range(n)] for a in range(n)
        ])

    @pytest.mark.parametrize("pooling", [False, True])
    @pytest.mark.parametrize(("strides", "side"), [([1], 3), ([1, 1], 3), ([2, 1], 3), ([1, 2], 3), ([2, 2], 5)])
    def test_against_the_recursion_as_it_is_written(self, pooling, strides, side):
        images = normal(7, 2, 2, 4, 3)
        found = convolutional_kernel(
            images, strides=strides, width=side, pooling=pooling, weight_variance=1.4, bias_variance=0.2
        )
        np.testing.assert_allclose(found, self.slow(images, strides, side, pooling, 1.4, 0.2), rtol=1e-7)

    @pytest.mark.parametrize("pooling", [False, True])
    def test_filters_of_one_pixel_on_one_pixel_are_a_fully_connected_network(self, pooling):
        x = normal(8, 5, 3)
        found = convolutional_kernel(x[:, :, None, None], strides=[1, 1], width=1, pooling=pooling, bias_variance=0.3)
        np.testing.assert_allclose(found, network_kernel(x, depth=2, bias_variance=0.3), rtol=1e-12)

    @pytest.mark.parametrize("pooling", [False, True])
    def test_chunks_do_not_matter(self, pooling, monkeypatch):
        images = normal(9, 5, 1, 4, 4)
        whole = convolutional_kernel(images, strides=[1, 1], pooling=pooling)
        monkeypatch.setattr("genbounds.inductive_bias.gaussian.network_kernels._NUMBERS", 600)
        np.testing.assert_allclose(convolutional_kernel(images, strides=[1, 1], pooling=pooling), whole, rtol=1e-14)

    def test_pooling_makes_shifted_images_alike(self):
        image = np.zeros((2, 1, 9, 9))
        image[0, 0, 3:5, 3:5] = 1
        image[1, 0, 5:7, 5:7] = 1

        def cosine(pooling):
            k = convolutional_kernel(image, strides=[1], pooling=pooling)
            return k[0, 1] / math.sqrt(k[0, 0] * k[1, 1])

        assert cosine(False) < 0.1
        assert cosine(True) > 0.999

    def test_pixels_that_are_shuffled_change_the_convolutional_kernel_alone(self):
        images = normal(10, 4, 1, 5, 5)
        shuffle = np.random.default_rng(0).permutation(25)
        shuffled = images.reshape(4, 25)[:, shuffle].reshape(images.shape)
        np.testing.assert_allclose(network_kernel(shuffled, depth=2), network_kernel(images, depth=2), rtol=1e-10)
        gap = convolutional_kernel(shuffled, strides=[1]) - convolutional_kernel(images, strides=[1])
        assert np.abs(gap).max() > 1e-3

    def test_black_images_without_biases_give_zero(self):
        images = np.zeros((2, 1, 4, 4))
        images[1, 0, 0, 0] = 1.0
        for pooling in (False, True):
            k = convolutional_kernel(images, strides=[1, 1], pooling=pooling)
            assert k[0].tolist() == [0.0, 0.0]
            assert k[1, 1] > 0

    @pytest.mark.parametrize("pooling", [False, True])
    def test_positive_semi_definite(self, pooling):
        k = convolutional_kernel(normal(11, 20, 1, 5, 5), strides=[2, 1], pooling=pooling)
        assert (k == k.T).all()
        assert np.linalg.eigvalsh(k)[0] > 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: network_kernel([[1.0]], depth=-1), "depth must be a whole number"),
        (lambda: network_kernel([[1.0]], depth=1, weight_variance=-1), "weight_variance must be non-negative"),
        (lambda: tangent_kernel([1.0], depth=1), "inputs must be of shape"),
        (lambda: network_kernel([], depth=1), "inputs must be of shape"),
        (lambda: network_kernel(np.zeros((0, 2)), depth=1), "inputs must be of shape"),
        (lambda: convolutional_kernel(np.ones((2, 5, 5)), strides=[1]), "images must be of shape"),
        (lambda: convolutional_kernel(np.ones((2, 1, 5, 5)), strides=[]), "strides must name at least one layer"),
        (lambda: convolutional_kernel(np.ones((2, 1, 5, 5)), strides=[0]), "strides must be a whole number"),
        (lambda: convolutional_kernel(np.ones((2, 1, 5, 5)), strides=[1], width=2), "width must be odd, got 2"),
        (lambda: convolutional_kernel(np.full((2, 1, 5, 5), np.nan), strides=[1]), "images must be a number"),
    ],
)
def test_settings_out_of_range_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_reference_network_of_the_module_is_the_one_described():
    """Zeros around the image on both sides, as torch pads: the sizes of the layers agree."""
    layer = nn.Conv2d(1, 1, 3, stride=2, padding=1)
    assert layer(torch.zeros(1, 1, 7, 6)).shape[2:] == (4, 3)
    k = convolutional_kernel(np.ones((1, 1, 7, 6)), strides=[2])
    assert np.isfinite(k).all()
