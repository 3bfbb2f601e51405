import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch._subclasses.fake_tensor import FakeTensorMode

from genbounds.models.per_example.layouts import Layout, layout_of, touched

ARRANGEMENTS = [Layout(0), Layout(1), Layout(2), *(Layout(a, True, inner) for a in range(3) for inner in (False, True))]


def leading_of(layout, number, positions):
    """Sizes of three leading axes of which one holds the examples, and 5 or 7 positions beside them if merged."""
    sizes = list(positions)
    sizes[layout.axis] = number * sizes[layout.axis] if layout.merged else number
    return tuple(sizes)


def brute_force(layout, tensor, number):
    """Collect each example's rows one by one, in the order in which they are stored."""
    owners = layout.owners(tensor.shape[:3], number)
    return torch.stack([tensor[owners == example] for example in range(number)])


@given(st.sampled_from(ARRANGEMENTS), st.integers(2, 5), st.tuples(*[st.integers(1, 4)] * 3))
@settings(deadline=None, max_examples=60)
def test_split_brings_together_what_belongs_to_an_example(layout, number, positions):
    leading = leading_of(layout, number, positions)
    tensor = torch.arange(torch.Size(leading).numel() * 2).reshape(*leading, 2)
    found = layout.split(tensor, 3, number)
    assert layout.fits(leading, number)
    assert found.shape == (number, torch.Size(leading).numel() // number, 2)
    expected = brute_force(layout, tensor, number)
    assert torch.equal(found.sort(dim=1).values, expected.sort(dim=1).values)


def test_owners_are_written_out():
    assert Layout(0).owners((2, 3), 2).tolist() == [[0, 0, 0], [1, 1, 1]]
    assert Layout(1).owners((2, 3), 3).tolist() == [[0, 1, 2], [0, 1, 2]]
    assert Layout(0, merged=True).owners((6,), 2).tolist() == [0, 0, 0, 1, 1, 1]
    assert Layout(0, merged=True, inner=True).owners((6,), 2).tolist() == [0, 1, 0, 1, 0, 1]


def supports_of(layout, leading, number):
    owners = layout.owners(leading, number)
    return torch.stack([owners == example for example in range(number)])


@given(st.sampled_from(ARRANGEMENTS), st.integers(2, 4), st.tuples(*[st.integers(2, 4)] * 3))
@settings(deadline=None, max_examples=100)
def test_the_arrangement_is_found_from_what_examples_touch(layout, number, positions):
    """Also where other axes have the size of the batch."""
    leading = leading_of(layout, number, positions)
    assert layout_of(supports_of(layout, leading, number)) == layout


def test_part_of_the_positions_is_enough_if_it_tells():
    supports = supports_of(Layout(1), (3, 3), 3)
    supports[:, 1:] = False  # the loss looks at the first position alone
    assert layout_of(supports) == Layout(1)


def test_what_cannot_be_told_is_not_guessed():
    # Positions 0, 4 and 8 belong to examples 0, 1 and 2 both in blocks of four and in turn.
    supports = torch.zeros(3, 12, dtype=torch.bool)
    for example in range(3):
        supports[example, 4 * example] = True
    assert layout_of(supports) is None
    diagonal = torch.eye(3, dtype=torch.bool)[:, :, None] & torch.eye(3, dtype=torch.bool)[:, None]
    assert layout_of(diagonal) is None


def test_examples_that_share_positions_or_touch_none_have_no_arrangement():
    assert layout_of(torch.ones(3, 1, 3, dtype=torch.bool)) is None  # one embedding of positions for all
    supports = supports_of(Layout(0), (3, 5), 3)
    supports[1] = False
    assert layout_of(supports) is None
    assert layout_of(torch.zeros(3, 0, dtype=torch.bool)) is None  # an expert without tokens


def test_rows_dispatched_by_index_have_no_arrangement():
    owners = torch.tensor([0, 0, 1, 2, 2, 2])
    assert layout_of(torch.stack([owners == example for example in range(3)])) is None


def test_sizes_of_another_batch_are_checked():
    assert Layout(0).fits((8, 5), 8)
    assert not Layout(0).fits((8, 5), 4)
    assert not Layout(2).fits((8, 8), 8)
    assert Layout(0, merged=True).fits((40,), 8)
    assert not Layout(0, merged=True).fits((41,), 8)


def test_touched_looks_over_all_own_axes():
    tensor = torch.zeros(2, 3, 2, 2)
    tensor[1, 2, 0, 1] = torch.nan
    assert touched(tensor, 2).tolist() == [[False] * 3, [False, False, True]]
    assert touched(tensor[..., 0, 1], 2).tolist() == [[False] * 3, [False, False, True]]
    assert touched(torch.zeros(0, 4), 1).shape == (0,)


@pytest.mark.parametrize("layout", ARRANGEMENTS)
def test_split_stays_on_its_device(layout):
    with FakeTensorMode():
        tensor = torch.empty(*leading_of(layout, 4, (2, 3, 5)), 6, device="cuda")
        found = layout.split(tensor, 3, 4)
        assert found.device.type == "cuda"
        assert found.shape[0] == 4
        assert found.shape[2:] == (6,)
