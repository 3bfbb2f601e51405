import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genbounds.numerics.channels import channel_contraction, dobrushin_coefficient

EDGE = st.sampled_from([0.0, 1e-12, 0.01, 0.3, 1.0, 7.0])


def channels(inputs=(2, 4), outputs=(2, 4)):
    """Tables of all kinds: with zeros, with nearly equal rows, with tiny probabilities."""

    def normalised(values):
        table = np.array(values) + 1e-300
        return table / table.sum(axis=1, keepdims=True)

    def tables(shape):
        row = st.lists(EDGE, min_size=shape[1], max_size=shape[1])
        return st.lists(row, min_size=shape[0], max_size=shape[0])

    return st.tuples(st.integers(*inputs), st.integers(*outputs)).flatmap(tables).map(normalised)


def largest_correlation(p, q):
    """The largest squared correlation of two inputs with the output: bisection of the slope in ln(b / c), 40 digits."""
    pairs = [(mpmath.mpf(float(a)), mpmath.mpf(float(b))) for a, b in zip(p, q, strict=True) if a + b > 0]

    def weights(logit):
        return 1 / (1 + mpmath.exp(-logit)), 1 / (1 + mpmath.exp(logit))

    def slope(b, c):
        return sum(((x - y) / (b * x + c * y)) ** 2 * (c**2 * y - b**2 * x) for x, y in pairs)

    low, high = mpmath.mpf(-800), mpmath.mpf(800)
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(*weights(middle)) > 0 else (low, middle)
    b, c = weights(low)
    return sum(b * c * (x - y) ** 2 / (b * x + c * y) for x, y in pairs)


def relative_entropy(p, q):
    return np.sum(np.where(p > 0, p * np.log(np.where(p > 0, p, 1) / np.where(q > 0, q, 1)), 0.0))


@given(channels())
@settings(max_examples=25)
def test_is_the_supremum_over_pairs_and_weights(channel):
    """Against an evaluation with 40 digits: never below it, and above it by rounding only."""
    with mpmath.workdps(40):
        pairs = [(i, j) for i in range(len(channel)) for j in range(i)]
        exact = max(largest_correlation(channel[i], channel[j]) for i, j in pairs)
        value = channel_contraction(channel)
        assert exact <= mpmath.mpf(float(value))
        assert value <= float(exact) * (1 + 5e-14) + 1e-40


@pytest.mark.parametrize("tiny", [1e-3, 1e-10, 1e-40, 1e-200])
def test_maximum_far_from_equal_weights(tiny):
    """A Z-channel's coefficient is approached as one weight goes to 0; other rare outputs pull it nearly there."""
    assert channel_contraction([[1 - tiny, tiny], [1, 0]]) == pytest.approx(tiny, rel=1e-13)
    assert channel_contraction([[0.5, 0.5], [1 - tiny, tiny]]) == pytest.approx(0.5, abs=0.04)


@given(st.floats(0, 1), st.integers(2, 5))
def test_closed_forms(rate, size):
    """Symmetric and erasing channels of any size, channels without noise, and one that forgets its input."""
    flip = np.array([[1 - rate, rate], [rate, 1 - rate]])
    assert channel_contraction(flip) == pytest.approx((1 - 2 * rate) ** 2, abs=5e-14)
    assert dobrushin_coefficient(flip) == pytest.approx(abs(1 - 2 * rate), abs=5e-14)
    erase = np.hstack([(1 - rate) * np.eye(size), np.full((size, 1), rate)])
    assert channel_contraction(erase) == pytest.approx(1 - rate, abs=5e-14)
    assert channel_contraction(np.eye(size)) == dobrushin_coefficient(np.eye(size)) == 1.0
    assert channel_contraction(np.full((size, 2), 0.5)) == dobrushin_coefficient(np.full((size, 2), 0.5)) == 0.0
    assert channel_contraction([[0.25, 0.75]]) == dobrushin_coefficient([[1.0]]) == 0.0


@given(channels(), channels((2, 4), (2, 3)))
def test_orderings(channel, other):
    """eta_TV^2 <= eta_KL <= eta_TV <= 1, and layers in a row contract by the product at most."""
    kl, tv = channel_contraction(channel), dobrushin_coefficient(channel)
    assert tv**2 * (1 - 1e-13) <= kl <= tv * (1 + 1e-13)
    assert tv <= 1
    if other.shape[0] == channel.shape[1]:
        both = channel @ other
        both /= both.sum(axis=1, keepdims=True)
        assert channel_contraction(both) <= kl * channel_contraction(other) * (1 + 1e-9) + 1e-14


@given(channels((2, 4), (2, 4)), st.integers(0, 2**32 - 1))
def test_no_pair_of_input_laws_beats_it(channel, seed):
    """Brute force over laws with all inputs in their support, far apart and next to each other."""
    generator = np.random.default_rng(seed)
    eta, tau = channel_contraction(channel), dobrushin_coefficient(channel)
    for spread in (0.1, 1.0, 10.0):
        p, q = generator.dirichlet(np.full(len(channel), spread), size=2)
        for share in (1.0, 0.1):
            mixed = share * p + (1 - share) * q
            before, after = relative_entropy(mixed, q), relative_entropy(mixed @ channel, q @ channel)
            assert after <= eta * before + 1e-12
            assert np.abs((mixed - q) @ channel).sum() <= tau * np.abs(mixed - q).sum() + 1e-12


def test_a_pair_of_input_laws_attains_it():
    """Nearly: at the weights of the maximum, two laws next to each other contract by the coefficient."""
    channel = np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6], [0.3, 0.4, 0.3]])
    eta = channel_contraction(channel)
    betas = np.linspace(0.01, 0.99, 981)
    step = 1e-4
    best = 0.0
    for beta in betas:
        p, q = np.array([beta + step, 1 - beta - step, 0]), np.array([beta, 1 - beta, 0])
        best = max(best, relative_entropy(p @ channel, q @ channel) / relative_entropy(p, q))
    assert best == pytest.approx(eta, rel=1e-3)
    assert best <= eta * (1 + 1e-6)


def test_a_smaller_coefficient_is_refuted():
    channel = np.array([[0.9, 0.1], [0.2, 0.8]])
    p, q = np.array([0.52, 0.48]), np.array([0.5, 0.5])
    assert relative_entropy(p @ channel, q @ channel) > channel_contraction(channel) / np.sqrt(2) * relative_entropy(
        p, q
    )


@pytest.mark.parametrize("function", [channel_contraction, dobrushin_coefficient])
@pytest.mark.parametrize(
    "channel", [[0.5, 0.5], [[0.5, 0.6]], [[1.5, -0.5]], [[np.nan, 1.0]], np.zeros((0, 2)), np.ones((2, 2, 1))]
)
def test_tables_that_are_no_channels_are_refused(function, channel):
    with pytest.raises(ValueError, match="channel must be"):
        function(channel)
