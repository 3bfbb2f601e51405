import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from genbounds.models.blocks import Blocks
from genbounds.models.examples import DataError
from genbounds.models.sums import CompensatedSum


@pytest.fixture
def processes(monkeypatch):
    """Pretend that this process is one of several."""

    def become(rank, number):
        monkeypatch.setattr("genbounds.models.blocks._distributed", lambda: True)
        monkeypatch.setattr("genbounds.models.blocks.dist.get_rank", lambda: rank)
        monkeypatch.setattr("genbounds.models.blocks.dist.get_world_size", lambda: number)

    return become


def rows(blocks):
    return [block.index.tolist() for block in blocks]


def test_blocks_are_the_same_whoever_takes_them(processes):
    data = (torch.arange(11.0)[:, None], torch.arange(11.0))
    alone = rows(Blocks(data, 3))
    assert alone == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10]]
    for number in (2, 3, 6):
        shared = []
        for rank in range(number):
            processes(rank, number)
            blocks = Blocks(data, 3)
            assert len(rows(blocks)) == len(blocks)
            shared += rows(blocks)
        assert sorted(shared) == alone


def test_sources_of_all_kinds():
    pixels = torch.randint(0, 256, (6, 1, 2, 2), dtype=torch.uint8)
    (block,) = Blocks((pixels, torch.arange(6)), 8, dtype=torch.float64)
    assert torch.equal(block.inputs, pixels.double() / 255)
    (block,) = Blocks((np.ones((4, 2)), np.ones((4, 3))), 8, dtype=torch.float32)
    assert block.inputs.dtype == block.targets.dtype == torch.float32
    tokens = torch.arange(12).reshape(4, 3)
    (block,) = Blocks(({"input_ids": tokens, "mask": torch.ones(4, 3)}, tokens), 8, dtype=torch.float64)
    assert torch.equal(block.inputs["input_ids"], tokens)
    assert block.inputs["mask"].dtype == torch.float64
    assert block.targets.dtype == torch.int64
    items = [{"input_ids": [1, 2], "labels": 3}, {"input_ids": [4, 5], "labels": 6}]
    items = [{name: torch.tensor(value) for name, value in item.items()} for item in items]
    (block,) = Blocks(items, 8)
    assert block.inputs["input_ids"].tolist() == [[1, 2], [4, 5]]
    assert block.targets.tolist() == [3, 6]
    assert Blocks("digits", 500).number == 1797


def test_indices_choose_and_order():
    data = (torch.arange(5.0)[:, None], torch.arange(5.0))
    first, second = Blocks(data, 2, indices=[4, 0, 2])
    assert first.targets.tolist() == [4, 0]
    assert first.index.tolist() == [0, 1]
    assert second.targets.tolist() == [2]


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        ((torch.ones(3, 1), torch.ones(4)), {}, "3 inputs, 4 targets"),
        ((torch.ones(3, 1), torch.ones(3)), {"indices": [3]}, r"in \[0, 3\), got 3"),
        ((torch.ones(3, 1), torch.ones(3)), {"indices": [True]}, "dtype bool"),
        ((torch.ones(0, 1), torch.ones(0)), {}, "at least one example"),
        ([{"input_ids": torch.ones(1)}], {}, "key 'labels'"),
    ],
)
def test_refusals(data, options, message):
    with pytest.raises(DataError, match=message):
        Blocks(data, 2, **options)


def test_numbers_that_are_not_finite_are_refused():
    with pytest.raises(DataError, match="finite"):
        list(Blocks((torch.tensor([[1.0], [torch.nan]]), torch.ones(2)), 1))
    with pytest.raises(DataError, match="finite"):
        list(Blocks((torch.ones(2, 1), torch.tensor([1.0, torch.inf])), 1))


def test_gather_puts_numbers_in_order():
    blocks = Blocks((torch.ones(4, 1), torch.ones(4)), 3)
    found = blocks.gather([2, 0, 3, 1], torch.tensor([2.5, -0.0, 3.5, 1.5], dtype=torch.float64))
    assert found.tolist() == [0, 1.5, 2.5, 3.5]
    assert not torch.signbit(found).any()


@settings(deadline=None, max_examples=60)
@given(st.lists(st.floats(-1e12, 1e12, allow_subnormal=False), min_size=1, max_size=30), st.randoms())
def test_sums_do_not_depend_on_the_order(terms, random):
    from fractions import Fraction

    def total(terms):
        held = CompensatedSum({"w": torch.zeros(1)})
        for term in terms:
            held.add({"w": torch.tensor([term], dtype=torch.float64)})
        return float(held.value()["w"])

    shuffled = random.sample(terms, len(terms))
    exact = float(sum(map(Fraction, terms)))
    scale = max(map(abs, terms))
    assert abs(total(terms) - exact) <= 1e-28 * scale + np.spacing(abs(exact))
    if abs(exact) > 1e-10 * scale:
        assert total(terms) == total(shuffled)
