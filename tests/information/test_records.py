"""The record of an experiment: what it refuses, and that a file of it is the record or nothing."""

import subprocess
import sys

import numpy as np
import pytest

from genbounds.information.supersamples.records import Supersamples
from genbounds.sweeps import ArchiveError, write_archive


def record(**changes):
    source = np.random.default_rng(0)
    content = {
        "masks": source.integers(0, 2, (2, 4, 5)),
        "predictions": source.integers(0, 3, (2, 4, 5, 2)),
        "losses": source.random((2, 4, 5, 2)),
        "provenance": {"data": "digits", "seed": 3},
    }
    return Supersamples(**content | changes)


def test_a_saved_record_comes_back(tmp_path):
    kept = record()
    kept.save(tmp_path / "a.npz")
    again = Supersamples.load(tmp_path / "a.npz")
    for name, dtype in (("masks", np.int8), ("predictions", np.int32), ("losses", np.float64)):
        assert getattr(again, name).dtype == dtype
        np.testing.assert_array_equal(getattr(again, name), getattr(kept, name))
    assert again.provenance == kept.provenance
    again.save(tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_reading_needs_no_torch(tmp_path):
    record().save(tmp_path / "a.npz")
    code = (
        "import sys; from genbounds.information.supersamples.records import Supersamples; "
        f"Supersamples.load({str(tmp_path / 'a.npz')!r}); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_changed_loss_is_noticed(tmp_path):
    record().save(tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as archive:
        entries = {name: archive[name] for name in archive.files}
    entries["losses"][0, 0, 0, 0] = 0.0
    np.savez(tmp_path / "a.npz", **entries)
    with pytest.raises(ArchiveError, match="fingerprint"):
        Supersamples.load(tmp_path / "a.npz")


def test_another_archive_is_refused(tmp_path):
    write_archive(tmp_path / "a.npz", {"task": {}}, {"predictions": np.ones(3)})
    with pytest.raises(ArchiveError, match="must be a record of supersamples, got an archive of predictions"):
        Supersamples.load(tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"masks": np.zeros((2, 4))}, "shapes must be"),
        ({"masks": np.zeros((2, 0, 5))}, "shapes must be"),
        ({"losses": np.zeros((2, 4, 5))}, "shapes must be"),
        ({"predictions": np.zeros((2, 4, 6, 2), int)}, "shapes must be"),
        ({"masks": np.full((2, 4, 5), 2)}, "masks must be 0 or 1"),
        ({"masks": np.full((2, 4, 5), 0.5)}, "masks must be 0 or 1"),
        ({"predictions": np.zeros((2, 4, 5, 2))}, "predictions must be class indices"),
        ({"losses": np.full((2, 4, 5, 2), 1.5)}, r"losses must be in \[0, 1\]"),
        ({"losses": np.full((2, 4, 5, 2), np.nan)}, r"losses must be in \[0, 1\]"),
    ],
)
def test_refusals(changes, complaint):
    with pytest.raises(ValueError, match=complaint):
        record(**changes)
