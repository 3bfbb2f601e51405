"""Some of the classes of a data set."""

from collections.abc import Sequence

import numpy as np
import torch

from genbounds.models.examples import CHUNK, Data, TensorData

__all__ = ["of_classes"]


def of_classes(data: Data, classes: Sequence[int]) -> Data:
    """Return the examples of some classes, held in memory.

    Parameters
    ----------
    data : Data
        All examples.
    classes : sequence of int
        Two or more of its classes, each once; they become 0, 1, ... in this order.

    Returns
    -------
    Data
        Their examples, in the order of the data.

    Raises
    ------
    ValueError
        If a class is missing or named twice, or there are fewer than two.

    Examples
    --------
    >>> from genbounds.models import load_data
    >>> kept = of_classes(load_data((torch.eye(4), torch.tensor([3, 0, 1, 3]))), [3, 1])
    >>> kept.targets.tolist(), kept.name
    ([0, 1, 0], 'tensors, classes 3 and 1')
    """
    chunks = (targets for _, _, targets in data.batches(np.arange(len(data)), CHUNK))
    labels = torch.cat(list(chunks)) if data.targets is None else data.targets
    present, kept = labels.unique().tolist(), list(classes)
    if not set(kept) <= set(present) or len(set(kept)) < max(2, len(kept)):
        raise ValueError(f"classes must be two or more of {present}, each once, got {kept}. Name those of {data.name}.")
    index = torch.isin(labels, torch.tensor(kept)).nonzero()[:, 0]
    ((_, inputs, targets),) = data.batches(index, len(index))
    named = ", ".join(map(str, kept[:-1]))
    places = torch.tensor([kept.index(label) for label in targets.tolist()])
    return TensorData(inputs, places, f"{data.name}, classes {named} and {kept[-1]}")
