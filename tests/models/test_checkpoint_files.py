"""Files of a training, in order: names as they are written, not as they are spelt."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genbounds.models.training.checkpoint_files import checkpoint_paths, natural_order, position_in_name


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


@given(
    st.lists(st.integers(0, 10**6), unique=True, min_size=1), st.sampled_from(["epoch=", "model-v2-step", "", "a.b_"])
)
def test_numbers_count_by_their_value(numbers, before):
    names = [f"{before}{number}.pt" for number in numbers]
    assert sorted(names, key=natural_order) == [f"{before}{number}.pt" for number in sorted(numbers)]


@given(st.lists(st.text("ab01.-", min_size=1, max_size=6), unique=True))
def test_the_order_is_total(names):
    keys = [natural_order(name) for name in names]
    assert len(set(keys)) == len(names)
    sorted(keys)  # all comparable


@pytest.mark.parametrize(
    ("name", "position"),
    [
        ("epoch=2-step=60.ckpt", (2, 60)),
        ("Epoch_03.pth", (3, None)),
        ("checkpoint-500", (None, 500)),
        ("global_step1000.pt", (None, 1000)),
        ("iteration 7.pt", (None, 7)),
        ("resnet18.pt", (None, None)),
        ("last.ckpt", (None, None)),
    ],
)
def test_positions_are_read_from_names(name, position):
    assert position_in_name(name) == position


def test_a_folder_gives_its_checkpoints_by_name(tmp_path):
    touch(tmp_path, "epoch=10.pt", "epoch=9.pt", "epoch=0.safetensors", "notes.txt", "args.json", "sub/epoch=1.pt")
    found = [path.name for path in checkpoint_paths([tmp_path])]
    assert found == ["epoch=0.safetensors", "epoch=9.pt", "epoch=10.pt"]


def test_folders_of_hugging_face_are_checkpoints(tmp_path):
    for step in (500, 1000, 50):
        touch(tmp_path, f"checkpoint-{step}/model.safetensors", f"checkpoint-{step}/optimizer.pt")
    touch(tmp_path, "sharded/model.safetensors.index.json", "sharded/model-00001-of-00001.safetensors")
    assert [path.name for path in checkpoint_paths([tmp_path])] == [
        *("checkpoint-50", "checkpoint-500", "checkpoint-1000", "sharded")
    ]
    one = tmp_path / "checkpoint-50"
    assert checkpoint_paths([one]) == [one]


def test_files_keep_the_order_given(tmp_path):
    touch(tmp_path, "b.pt", "a.pt", "more/2.pt", "more/1.pt")
    found = checkpoint_paths([tmp_path / "b.pt", str(tmp_path / "more"), tmp_path / "a.pt"])
    assert [path.name for path in found] == ["b.pt", "1.pt", "2.pt", "a.pt"]


def test_what_cannot_be(tmp_path):
    with pytest.raises(FileNotFoundError, match="none"):
        checkpoint_paths([tmp_path / "none"])
    touch(tmp_path, "notes.txt")
    with pytest.raises(ValueError, match=r"without any that ends in \.bin, \.ckpt, \.pt"):
        checkpoint_paths([tmp_path])
    with pytest.raises(ValueError, match="checkpoints must be at least one"):
        checkpoint_paths([])


def test_a_file_is_taken_whatever_its_name(tmp_path):
    touch(tmp_path, "weights.v2", "final")
    found = checkpoint_paths([tmp_path / "weights.v2", tmp_path / "final"])
    assert [path.name for path in found] == ["weights.v2", "final"]


@pytest.mark.parametrize("name", ["checkpoint_5.pt", "checkpoint5.pt", "my-checkpoint-5.pt"])
def test_what_others_call_checkpoint_5_is_not_taken_for_steps(name):
    assert position_in_name(name) == (None, None)
