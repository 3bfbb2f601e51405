"""Some of the classes of a data set, held in memory or read one by one."""

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset

from genbounds.models import load_data
from genbounds.models.classes import of_classes

X = torch.arange(12, dtype=torch.float32).reshape(6, 2)
Y = torch.tensor([2, 0, 5, 2, 0, 1])


class OneByOne(Dataset):
    def __len__(self):
        return len(X)

    def __getitem__(self, index):
        return X[index], int(Y[index])


@pytest.mark.parametrize("source", [(X, Y), OneByOne()])
def test_examples_keep_their_order_and_classes_count_from_zero(source):
    kept = of_classes(load_data(source), [5, 2])
    ((_, inputs, targets),) = kept.batches(np.arange(len(kept)), 10)
    assert targets.tolist() == [1, 0, 1]
    torch.testing.assert_close(inputs, X[[0, 2, 3]])
    assert kept.classes == 2
    assert kept.name.endswith("classes 5 and 2")


def test_bytes_become_intensities_as_everywhere():
    kept = of_classes(load_data((torch.full((2, 3), 255, dtype=torch.uint8), torch.tensor([0, 1]))), [0, 1])
    assert kept.inputs.max() == 1


@pytest.mark.parametrize("classes", [[0], [0, 0], [0, 3], []])
def test_classes_that_are_not_there_are_refused(classes):
    with pytest.raises(ValueError, match=r"classes must be two or more of \[0, 1, 2, 5\], each once"):
        of_classes(load_data((X, Y)), classes)
