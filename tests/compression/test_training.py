"""Training of coordinates and with a codebook: seeded, on the codebook's values, priced, and pruned as asked."""

import numpy as np
import pytest
import torch
from torch import nn

from genbounds.compression.parametrisations import FullSpace, RandomSubspace
from genbounds.compression.training import CODEBOOKS, CompressionTraining, quantise, train_coordinates
from genbounds.models.data import load_data
from genbounds.models.passes import count_errors


@pytest.fixture(scope="module")
def problem():
    """Three blobs in the plane, and a small network."""
    generator = torch.Generator().manual_seed(0)
    targets = torch.randint(3, (300,), generator=generator)
    centres = torch.tensor([[0.0, 3.0], [3.0, -2.0], [-3.0, -2.0]])
    data = load_data((torch.randn(300, 2, generator=generator) + centres[targets], targets))
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 3)).eval()
    return model, data, np.arange(300)


def trained(problem, mapped, seed=0, **settings):
    model, data, indices = problem
    how = CompressionTraining(**{"epochs": 6, "quantised_epochs": 12, "batch_size": 32} | settings)
    coordinates = train_coordinates(model, mapped, data, indices, how, seed=seed)
    return coordinates, *quantise(model, mapped, coordinates, data, indices, how, seed=seed)


def errors(problem, mapped, coordinates):
    model, data, indices = problem
    return count_errors(model, data, indices, weights=mapped.weights(torch.as_tensor(coordinates, dtype=torch.float32)))


@pytest.mark.parametrize("codebook", CODEBOOKS)
def test_the_quantised_network_still_classifies(problem, codebook):
    mapped = FullSpace(dict(problem[0].named_parameters()))
    coordinates, book, symbols = trained(problem, mapped, codebook=codebook, levels=5)
    assert errors(problem, mapped, coordinates) < 30
    assert book.levels.size <= 5
    assert symbols.shape == (mapped.dimension,)
    assert symbols.min() >= 0
    assert errors(problem, mapped, book.levels[symbols]) < 45


def test_a_subspace_learns(problem):
    mapped = RandomSubspace(dict(problem[0].named_parameters()), 20)
    coordinates, book, symbols = trained(problem, mapped, levels=5, epochs=20, penalty=0.0)
    assert errors(problem, mapped, mapped.initial) > 100
    assert errors(problem, mapped, coordinates) < 30
    assert errors(problem, mapped, book.levels[symbols]) < 60


def test_the_same_seed_gives_the_same_network_and_the_global_generator_is_left_alone(problem):
    mapped = FullSpace(dict(problem[0].named_parameters()))
    before = torch.random.get_rng_state()
    (first, book, symbols), (again, book_again, symbols_again) = (trained(problem, mapped) for _ in range(2))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(first, again)
    assert np.array_equal(book.levels, book_again.levels)
    assert np.array_equal(symbols, symbols_again)
    other, _, _ = trained(problem, mapped, seed=1)
    assert not torch.equal(first, other)


def test_the_model_is_left_as_it_is(problem):
    before = {name: value.clone() for name, value in problem[0].state_dict().items()}
    trained(problem, FullSpace(dict(problem[0].named_parameters())))
    assert all(torch.equal(value, before[name]) for name, value in problem[0].state_dict().items())


def test_a_higher_price_leaves_more_zeros(problem):
    mapped = FullSpace(dict(problem[0].named_parameters()))

    def zeros(penalty):
        _, book, symbols = trained(problem, mapped, penalty=penalty, quantised_epochs=30)
        return int((book.levels[symbols] == 0).sum())

    assert zeros(0.0) < zeros(1e-2) < mapped.dimension
    assert zeros(1.0) == mapped.dimension


@pytest.mark.parametrize("codebook", CODEBOOKS)
def test_pruned_coordinates_stay_zero(problem, codebook):
    mapped = FullSpace(dict(problem[0].named_parameters()))
    _, book, symbols = trained(problem, mapped, codebook=codebook, kept=0.4, levels=3, penalty=0.0)
    assert int((book.levels[symbols] != 0).sum()) <= int(np.ceil(0.4 * mapped.dimension))
    assert 0 in book.levels


def test_a_learned_codebook_moves(problem):
    mapped = FullSpace(dict(problem[0].named_parameters()))
    _, clusters, _ = trained(problem, mapped, codebook="k-means")
    _, learned, _ = trained(problem, mapped, codebook="learned")
    assert not np.array_equal(clusters.levels, learned.levels)


@pytest.mark.parametrize(
    "settings",
    [
        {"levels": 1},
        {"levels": 4},
        {"kept": 0.0},
        {"penalty": -1.0},
        {"codebook": "magic"},
        {"epochs": -1},
        {"batch_size": 0},
        {"learning_rate": float("nan")},
    ],
)
def test_what_cannot_be(settings):
    with pytest.raises(ValueError, match=" must be "):
        CompressionTraining(**settings)


def test_a_loss_that_diverges_is_told(problem):
    with pytest.raises(ValueError, match="loss must stay finite"):
        trained(problem, FullSpace(dict(problem[0].named_parameters())), learning_rate=1e38)
