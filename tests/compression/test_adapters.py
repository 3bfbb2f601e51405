import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call

from genbounds.compression import LoRA, SubLoRA, linear_weights
from genbounds.compression.parametrisations import rebuild, unit
from genbounds.compression.training import CompressionTraining, quantise, train_coordinates
from genbounds.models.examples import TensorData
from genbounds.models.passes import count_errors


class Conv1D(nn.Module):
    """The linear layer of GPT-2: a transposed weight, of its own class."""

    def __init__(self, nf, nx):
        super().__init__()
        self.nf = nf
        self.weight = nn.Parameter(torch.randn(nx, nf))
        self.bias = nn.Parameter(torch.zeros(nf))

    def forward(self, x):
        return x @ self.weight + self.bias


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(20, 12)
        self.blocks = nn.ModuleList([nn.Sequential(nn.Linear(12, 16), nn.GELU(), Conv1D(12, 16)) for _ in range(2)])
        self.norm = nn.LayerNorm(12)
        self.head = nn.Linear(12, 20, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, tokens):
        x = self.embedding(tokens)
        for block in self.blocks:
            x = x + block(x)
        return self.head(self.norm(x.mean(1)))


@pytest.fixture
def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Network().eval()


@pytest.fixture
def start(network):
    return linear_weights(network, "blocks.*") | {"norm.weight": network.norm.weight.detach()}


def test_linear_layers_are_found_by_name(network):
    names = ["blocks.0.0.weight", "blocks.0.2.weight", "blocks.1.0.weight", "blocks.1.2.weight"]
    assert list(linear_weights(network, "blocks.*")) == names
    assert list(linear_weights(network, "blocks.1.2", "blocks.?.0")) == [names[0], *names[2:]]
    assert list(linear_weights(nn.Linear(3, 4), "*")) == ["weight"]
    assert not any(value.requires_grad for value in linear_weights(network, "blocks.*").values())


def test_a_pattern_without_a_layer_is_refused(network):
    with pytest.raises(ValueError, match=r"got 'blocks.0.1'. Did you mean blocks"):
        linear_weights(network, "blocks.1.*", "blocks.0.1")
    with pytest.raises(ValueError, match="has no linear layers"):
        linear_weights(nn.LayerNorm(3), "*")


def test_a_tied_weight_is_refused(network):
    with pytest.raises(ValueError, match=r"'head', whose weight is embedding.weight, head.weight. Adapting it would"):
        linear_weights(network, "*")


def test_a_computed_weight_is_refused():
    layer = nn.utils.parametrizations.weight_norm(nn.Linear(3, 4))
    with pytest.raises(ValueError, match=r"whose weight is a computed tensor"):
        linear_weights(nn.Sequential(layer), "0")


@pytest.mark.parametrize("make", [lambda start: LoRA(start, 2), lambda start: SubLoRA(start, 2, 30)])
def test_the_start_is_where_coordinates_are_zero(network, start, make):
    adapter = make(start)
    assert adapter.initial.shape == (adapter.dimension,)
    weights = adapter.weights(adapter.initial)
    assert list(weights) == list(start)
    for name, value in weights.items():
        assert torch.equal(value, start[name])
    tokens = torch.arange(15).view(3, 5)
    assert torch.equal(functional_call(network, weights, (tokens,)), network(tokens))


def test_a_change_has_the_rank_and_the_size_asked_for(start):
    adapter = LoRA(start, 2, seed=7)
    generator = torch.Generator().manual_seed(1)
    weights = adapter.weights(torch.randn(adapter.dimension, generator=generator, dtype=torch.float64))
    for name, value in start.items():
        change = weights[name] - value.double()
        if value.ndim > 1:
            assert torch.linalg.matrix_rank(change) == 2
        assert 0.4 < float(change.square().mean().sqrt()) / unit(value) < 2.5


def test_lora_by_hand():
    """Rank 1 on a 4x3 matrix of ones: B = (1, 0, 2, 0), A = (0.5, 0, 0), A_0 read off from a change."""
    start = {"w": torch.ones(4, 3), "b": torch.zeros(2), "small": torch.zeros(1, 4)}
    adapter = LoRA(start, 1)
    assert adapter.dimension == (4 + 3) + 2 + 4
    frozen = adapter.weights(torch.eye(adapter.dimension)[0])["w"][0] - 1  # B = e_1, A = 0
    assert set(frozen.tolist()) <= {1.0, -1.0}
    weights = adapter.weights(torch.tensor([1.0, 0, 2, 0, 0.5, 0, 0, 3, 4, 1, 0, 0, 8]))
    expected = torch.ones(4, 3) + torch.tensor([1.0, 0, 2, 0])[:, None] * (frozen + torch.tensor([0.5, 0, 0]))
    assert torch.equal(weights["w"], expected)
    assert weights["b"].tolist() == [3.0, 4.0]
    assert weights["small"].tolist() == [[0.5, 0.0, 0.0, 4.0]]  # unit 1 / sqrt(4)


def test_a_subspace_of_lora_is_lora_at_projected_coordinates(start):
    adapter, lora = SubLoRA(start, 2, 25, seed=3), LoRA(start, 2, seed=3)
    z = torch.randn(25, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    # The projection is read off column by column; the weights are those of LoRA at P z.
    columns = [adapter._subspace.weights(e)["factors"] for e in torch.eye(25, dtype=torch.float64)]
    factors = torch.stack(columns, 1) @ z
    assert len(factors) == lora.dimension
    for name, value in lora.weights(factors).items():
        torch.testing.assert_close(adapter.weights(z)[name], value, rtol=1e-12, atol=1e-12)
    assert float(factors.square().mean().sqrt()) == pytest.approx(float(z.square().mean().sqrt()), rel=0.5)


@pytest.mark.parametrize("make", [lambda start: LoRA(start, 3, seed=5), lambda start: SubLoRA(start, 3, 40, seed=5)])
def test_it_is_rebuilt_from_whole_numbers(start, make):
    adapter = make(start)
    description = adapter.describe()
    assert all(isinstance(value, int) for name, value in description.items() if name != "kind")
    again = rebuild(description, start)
    z = torch.linspace(-1, 1, adapter.dimension)
    for name, value in adapter.weights(z).items():
        assert torch.equal(again.weights(z)[name], value)
    other = rebuild(description | {"seed": 6}, start)
    assert not torch.equal(other.weights(z)["blocks.0.0.weight"], adapter.weights(z)["blocks.0.0.weight"])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_any_type(network, start, dtype):
    adapter = LoRA(start, 2)
    z = torch.full((adapter.dimension,), 0.5, dtype=dtype)
    weights = adapter.weights(z)
    assert {value.dtype for value in weights.values()} == {dtype}
    outputs = functional_call(network.to(dtype), weights, (torch.arange(6).view(2, 3),))
    assert outputs.dtype == dtype
    assert outputs.isfinite().all()
    assert adapter.weights(adapter.initial)["norm.weight"].dtype == torch.float32  # and back


@pytest.mark.parametrize("make", [lambda start: LoRA(start, 2), lambda start: SubLoRA(start, 2, 60)])
def test_it_can_be_trained(network, start, make):
    """Gradients are exact, and thirty steps on four examples learn them."""
    adapter = make(start)
    tokens, targets = torch.arange(16).view(4, 4), torch.tensor([3, 1, 4, 1])
    z = adapter.initial.clone().requires_grad_()
    optimiser = torch.optim.Adam([z], lr=0.1)
    for _ in range(60):
        loss = nn.functional.cross_entropy(functional_call(network, adapter.weights(z), (tokens,)), targets)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss < 0.5
    assert torch.equal(network.blocks[0][0].weight, start["blocks.0.0.weight"])


def test_tokens_are_trained_on(network, start):
    """Inputs of whole numbers do not make whole numbers of the weights."""
    tokens = torch.arange(64).view(16, 4) % 20
    data = TensorData(tokens, tokens[:, 0] % 3, "tokens")
    adapter, indices = SubLoRA(start, 2, 40), np.arange(16)
    settings = CompressionTraining(epochs=30, quantised_epochs=20, batch_size=4, learning_rate=0.1)
    z = train_coordinates(network, adapter, data, indices, settings, seed=0)
    weights = adapter.weights(z)
    assert count_errors(network, data, indices, weights=weights) < count_errors(network, data, indices)
    codebook, symbols = quantise(network, adapter, z, data, indices, settings, seed=0)
    assert codebook.levels[symbols].any()


def test_gradients_are_exact(start):
    adapter = SubLoRA({"w": start["blocks.0.0.weight"]}, 2, 9)
    z = torch.linspace(-0.5, 0.5, 9, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda z: adapter.weights(z)["w"], (z,))


def test_a_kernel_is_a_matrix_with_a_row_for_each_output():
    adapter = LoRA({"kernel": torch.randn(8, 3, 5, 5)}, 2)
    assert adapter.dimension == 2 * (8 + 75)
    change = adapter.weights(torch.ones(adapter.dimension))["kernel"] - adapter.weights(adapter.initial)["kernel"]
    assert torch.linalg.matrix_rank(change.reshape(8, 75)) <= 2


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda start: LoRA({}, 2), "start must hold the parameters to adapt, got none"),
        (lambda start: LoRA(start, 0), "rank must be a whole number of at least 1"),
        (lambda start: LoRA(start, 2, -1), "seed must be a whole number of at least 0"),
        (lambda start: SubLoRA(start, 2, 10**6), "dimension must be at most the number of parameters"),
    ],
)
def test_bad_numbers_are_refused(start, make, message):
    with pytest.raises(ValueError, match=message):
        make(start)


def test_the_scale_does_not_depend_on_the_rank():
    start = {"w": torch.randn(200, 200, generator=torch.Generator().manual_seed(0))}
    sizes = []
    for rank in (1, 4, 16):
        adapter = LoRA(start, rank)
        z = torch.randn(adapter.dimension, generator=torch.Generator().manual_seed(1))
        z[200 * rank :] = 0  # A = 0
        sizes.append(float((adapter.weights(z)["w"] - start["w"]).square().mean().sqrt()))
    assert max(sizes) < 1.3 * min(sizes)
    assert all(math.isclose(size, 1.0, rel_tol=0.2) for size in sizes)
