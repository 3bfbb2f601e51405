"""Every kind of gradients answers every question as the written-out gradients do, to 1e-12 in float64."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from genbounds.models.per_example.factored import gradients as module
from genbounds.models.per_example.factored import outer_products
from genbounds.models.per_example.factored.convolutions import ConvolutionGradients
from genbounds.models.per_example.factored.gradients import DenseGradients
from genbounds.models.per_example.factored.outer_products import OuterGradients
from genbounds.models.per_example.factored.rows import RowGradients
from genbounds.models.per_example.factored.sums import SumOfGradients

SIZE = st.integers(1, 4)
SEED = st.integers(0, 2**32)


def draw(generator, *shape):
    return torch.randn(shape, dtype=torch.float64, generator=generator)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def agree(value, truth, size):
    """Compare to 1e-12 of the size of what was added up, and the dtypes and shapes as well."""
    assert value.dtype == torch.float64
    assert value.shape == truth.shape
    assert (value - truth).abs().max() <= 1e-12 * size


def check(gradients, truth, generator, partner=None, partner_truth=None):
    """Compare all answers with those of the written-out gradients `truth`, shape (B, *S)."""
    number, rows = len(truth), truth.reshape(len(truth), -1)
    norms = rows.norm(dim=1)
    largest = float(norms.max()) + 1e-300
    assert len(gradients) == number
    assert gradients.shape == truth.shape[1:]
    assert gradients.device == truth.device
    assert isinstance(gradients.route, str)

    for part in (slice(0, number), slice(number // 2, number)):
        agree(gradients.dense(part), truth[part], largest)
    agree(gradients.squared_norms(), norms.square(), largest**2)
    squared, total = gradients.norms_and_total()
    agree(squared, norms.square(), largest**2)
    agree(total, truth.sum(dim=0), number * largest)

    vector = draw(generator, *truth.shape[1:])
    agree(gradients.dots(vector), rows @ vector.flatten(), largest * float(vector.norm()))
    weights = draw(generator, 2, number)
    agree(gradients.weighted_total(weights), torch.einsum("kb,b...->k...", weights, truth), 10 * number * largest)
    agree(gradients.weighted_total(weights[0]), torch.einsum("b,b...->...", weights[0], truth), 10 * number * largest)
    agree(gradients.squares_total(), truth.square().sum(dim=0), number * largest**2)

    others = [(gradients, truth), (DenseGradients(truth), truth)]
    others += [] if partner is None else [(partner, partner_truth)]
    for other, other_truth in others:
        other_rows = other_truth.reshape(number, -1)
        products = rows @ other_rows.T
        size = largest * float(other_rows.norm(dim=1).max() + 1e-300)
        agree(gradients.inner(other), products, size)
        agree(other.inner(gradients), products.T, size)
        agree(gradients.cross(other), products.diagonal(), size)
        agree(other.cross(gradients), products.diagonal(), size)


def outer_truth(inputs, outputs, shape):
    return torch.einsum("bgto,bgti->bgoi", outputs, inputs).reshape(len(inputs), *shape)


def rows_truth(ids, outputs, shape, padding_idx=None):
    truth = torch.zeros(len(ids), *shape, dtype=torch.float64)
    for i, t in itertools.product(*map(range, ids.shape)):
        if ids[i, t] != padding_idx:
            truth[i, ids[i, t]] += outputs[i, t]
    return truth


@settings(deadline=None, max_examples=30)
@given(SIZE, st.lists(SIZE, max_size=2), SEED)
def test_dense(number, shape, seed):
    generator = seeded(seed)
    truth, other = draw(generator, number, *shape), draw(generator, number, *shape)
    check(DenseGradients(truth), truth, generator, DenseGradients(other), other)


@settings(deadline=None, max_examples=40)
@given(SIZE, SIZE, st.sampled_from([1, 2, 3, 30]), SIZE, SIZE, SEED)
def test_outer_products(number, groups, positions, d_in, d_out, seed):
    generator, shape = seeded(seed), (groups * d_out, d_in)
    blocks = []
    for own in (positions, 2):  # a partner with other positions
        factors = draw(generator, number, groups, own, d_in), draw(generator, number, groups, own, d_out)
        blocks.append((OuterGradients(*factors, shape), outer_truth(*factors, shape)))
    (gradients, truth), partner = blocks
    expected = {1: "product", 30: "materialise"}.get(positions, gradients.route)
    assert gradients.route == expected
    check(gradients, truth, generator, *partner)


@settings(deadline=None, max_examples=40)
@given(SIZE, st.integers(1, 6), SIZE, SIZE, st.booleans(), SEED)
def test_rows(number, positions, vocabulary, width, padded, seed):
    generator, shape = seeded(seed), (vocabulary, width)
    padding_idx = vocabulary - 1 if padded else None
    blocks = []
    for own in (positions, positions + 1):
        ids = torch.randint(vocabulary, (number, own), generator=generator)
        outputs = draw(generator, number, own, width)
        truth = rows_truth(ids, outputs, shape, padding_idx)
        blocks.append((RowGradients(ids, outputs, shape, padding_idx), truth))
    check(*blocks[0], generator, *blocks[1])


@settings(deadline=None, max_examples=60)
@given(SIZE, SIZE, SIZE, st.lists(st.sampled_from("gorvd"), min_size=1, max_size=5), SEED)
def test_sums_of_uses(number, vocabulary, width, kinds, seed):
    """Outer products of one and two groups, rows, written out, and written out once more, in any order."""
    generator, shape = seeded(seed), (2 * vocabulary, width)

    def use(kind):
        if kind == "r":
            ids = torch.randint(shape[0], (number, 3), generator=generator)
            outputs = draw(generator, number, 3, width)
            return RowGradients(ids, outputs, shape, 0), rows_truth(ids, outputs, shape, 0)
        if kind in "go":
            groups, d_out = (2, vocabulary) if kind == "g" else (1, shape[0])
            factors = draw(generator, number, groups, 2, width), draw(generator, number, groups, 2, d_out)
            return OuterGradients(*factors, shape), outer_truth(*factors, shape)
        values = draw(generator, number, *shape)
        return DenseGradients(values), values

    parts, truths = zip(*map(use, kinds), strict=True)
    others, other_truths = zip(*map(use, "ro"), strict=True)
    check(SumOfGradients(parts), sum(truths), generator, SumOfGradients(others), sum(other_truths))


def test_uses_of_one_kind_are_joined():
    """What cancels between two uses cancels before it is squared: exactly nothing is left."""
    generator = seeded(0)
    a, b = draw(generator, 3, 1, 2, 4), draw(generator, 3, 1, 2, 5)
    ids, rows = torch.randint(5, (3, 6), generator=generator), draw(generator, 3, 6, 4)
    assert SumOfGradients([OuterGradients(a, b, (5, 4)), OuterGradients(a, -b, (5, 4))]).squared_norms().max() < 1e-28
    both = [RowGradients(ids, rows, (5, 4)), RowGradients(ids, -rows, (5, 4))]
    assert SumOfGradients(both).squared_norms().max() < 1e-28
    assert SumOfGradients([DenseGradients(rows), DenseGradients(-rows)]).squared_norms().max() == 0


def test_disjoint_uses_are_not_written_out():
    class Half(DenseGradients):
        def is_disjoint_from(self, other):
            return True

    generator = seeded(1)
    values = draw(generator, 3, 4, 2)
    mask = torch.tensor([1.0, 1.0, 0.0, 0.0], dtype=torch.float64)[:, None]
    half = OuterGradients(*(part[:, None, None] for part in (values[:, 0] * 0, values[:, :, 0] * 0)), (4, 2))
    upper = Half(values * mask)
    gradients = SumOfGradients([upper, half])
    assert gradients.route == "dense + product"
    check(gradients, values * mask, generator)


CONVOLUTIONS = {
    False: (functional.conv1d, functional.conv2d, functional.conv3d),
    True: (functional.conv_transpose1d, functional.conv_transpose2d, functional.conv_transpose3d),
}


def convolution(seed, transposed, groups, repeats, stride, padding, dilation, kernel, extra=0):
    """Return gradients and the truth, by autograd one example at a time; None if there is no such convolution."""
    generator, axes, number = seeded(seed), len(kernel), 3
    space, few = (4, 3, 2)[:axes] if transposed else (7, 6, 5)[:axes], (4, 10)[seed % 2]
    shape = (few, 6 // groups, *kernel) if transposed else (6, few // groups, *kernel)
    inputs = draw(generator, number * repeats, few, *space)
    weight = draw(generator, *shape).requires_grad_()
    convolve = CONVOLUTIONS[transposed][axes - 1]
    geometry = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    how = geometry | ({"output_padding": extra} if transposed else {})
    try:
        results = [convolve(x, weight, **how) for x in inputs.split(repeats)]
    except RuntimeError:
        return None
    outputs = [draw(generator, *result.shape) for result in results]
    pairs = zip(results, outputs, strict=True)
    truth = torch.stack([torch.autograd.grad(result, weight, output)[0] for result, output in pairs])
    arguments = {"transposed": transposed, "repeats": repeats} | geometry
    return ConvolutionGradients(inputs, torch.cat(outputs), weight.shape, **arguments), truth


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("transposed", [False, True])
def test_convolutions_of_every_geometry(axes, transposed):
    """All of stride, padding, dilation, kernel and groups; both ways; what is padded to an output is in its shape."""
    seen, generator = 0, seeded(axes)
    choices = itertools.product((1, 2), (1, 2, 3), (0, 1), (1, 2), (1, 3), (0, 1) if transposed else (0,))
    for number, (groups, stride, padding, dilation, taps, extra) in enumerate(choices):
        geometry = [(value,) * axes for value in (stride, padding, dilation, taps)]
        made = convolution(number, transposed, groups, 1 + number // 2 % 2, *geometry, extra)
        if made is None:
            continue
        gradients, truth = made
        norms = truth.flatten(1).square().sum(dim=1)
        for gram in (False, True):
            gradients.route, gradients._gram_alone = ("gram" if gram else "materialise"), gram
            squared, total = gradients.norms_and_total()
            agree(squared, norms, norms.max())
            agree(gradients.squared_norms(), norms, norms.max())
            agree(total, truth.sum(dim=0), 3 * norms.max().sqrt())
        agree(gradients.dense(slice(1, 3)), truth[1:3], norms.max().sqrt())
        agree(gradients.unfolded(slice(1, 3)).dense(slice(0, 2)), truth[1:3], norms.max().sqrt())
        vector = draw(generator, *truth.shape[1:])
        agree(gradients.dots(vector), (truth * vector).flatten(1).sum(dim=1), norms.max().sqrt() * vector.norm())
        seen += 1
    assert seen >= 24


@settings(deadline=None, max_examples=25)
@given(st.data())
def test_convolutions_answer_every_question(data):
    axes, transposed = data.draw(st.integers(1, 2)), data.draw(st.booleans())
    sizes = [
        tuple(data.draw(st.integers(low, high)) for _ in range(axes)) for low, high in ((1, 3), (0, 2), (1, 3), (1, 3))
    ]
    arguments = transposed, data.draw(st.sampled_from([1, 2])), data.draw(st.integers(1, 2))
    extra = data.draw(st.integers(0, 2)) if transposed else 0
    seed = data.draw(SEED)
    made = [convolution(seed + apart, *arguments, *sizes, extra) for apart in (0, 2)]
    if made[0] is not None:
        check(*made[0], seeded(2), *made[1])


def test_padding_to_the_output_beyond_the_stride():
    """Where dilation exceeds the stride the output may be padded by a whole stride: positions that nothing reaches."""
    made = convolution(0, True, 1, 1, (1,), (0,), (3,), (2,), 2)
    check(*made, seeded(3))


def test_routes_follow_the_cost():
    """T^2 (d_in + d_out) against d_in d_out passes, and T d_in d_out more if nobody needs the sum."""
    cpu = torch.device("cpu")
    passes = outer_products._PASSES["cpu"]
    for with_total in (True, False):
        for positions, width in itertools.product((2, 8, 64, 512), (16, 128, 1024)):
            gram = positions**2 * 2 * width
            written = (passes + (0 if with_total else positions)) * width**2
            cheaper = outer_products.gram_is_cheaper(positions, width, width, cpu, with_total=with_total)
            assert cheaper == (gram < written)


@pytest.mark.parametrize("entries", [1, 5, 10**6])
def test_pieces_of_any_size_give_the_same(monkeypatch, entries):
    monkeypatch.setattr(module, "_ENTRIES", {"cpu": entries})
    monkeypatch.setattr(module, "_ENTRIES_OF_BLOCK", entries)
    generator = seeded(4)
    factors = draw(generator, 3, 2, 40, 3), draw(generator, 3, 2, 40, 4)
    gradients, truth = OuterGradients(*factors, (8, 3)), outer_truth(*factors, (8, 3))
    check(gradients, truth, generator)
    assert all(values.numel() <= max(entries, 3) for _, _, values in gradients.pieces())
    factors = draw(generator, 3, 2, 3, 3), draw(generator, 3, 2, 3, 4)
    check(OuterGradients(*factors, (8, 3)), outer_truth(*factors, (8, 3)), generator)
    check(*convolution(1, False, 2, 2, (2, 1), (1, 0), (1, 2), (3, 2)), generator)


@pytest.mark.gpu
def test_on_a_device_as_on_the_cpu():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    generator = seeded(6)
    ids, rows = torch.randint(5, (3, 6), generator=generator), draw(generator, 3, 6, 4)
    space = draw(generator, 3, 4, 9, 9), draw(generator, 3, 6, 9, 9)
    geometry = {"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1), "groups": 2}

    def kinds(device):
        for positions in (1, 3, 400):
            factors = draw(seeded(7), 3, 1, positions, 4), draw(seeded(8), 3, 1, positions, 5)
            yield OuterGradients(*(part.to(device) for part in factors), (5, 4))
        table = RowGradients(ids.to(device), rows.to(device), (5, 4))
        yield table
        yield SumOfGradients([table, OuterGradients(*(part.to(device) for part in factors), (5, 4))])
        yield ConvolutionGradients(*(part.to(device) for part in space), (6, 2, 3, 3), **geometry)

    def answers(gradients, vector, weights):
        yield from gradients.norms_and_total()
        yield from (gradients.squared_norms(), gradients.squares_total())
        yield from (gradients.inner(gradients), gradients.cross(gradients))
        yield from (gradients.dots(vector), gradients.weighted_total(weights))

    for there, here in zip(kinds("cuda"), kinds("cpu"), strict=True):
        vector, weights = draw(generator, *here.shape), draw(generator, 2, 3)
        found = answers(there, vector.cuda(), weights.cuda())
        for value, truth in zip(found, answers(here, vector, weights), strict=True):
            torch.testing.assert_close(value.cpu(), truth, rtol=1e-10, atol=1e-10)
