"""Margins of a classifier: how far the score of the right class is ahead of the largest other."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from genbounds.models.examples import Data
from genbounds.models.guards import check_evaluation_mode, check_finite_outputs, check_logits
from genbounds.models.passes import block_size
from genbounds.models.per_example.evaluation import check_fixed_function
from genbounds.models.progress import track

__all__ = ["margins_of", "score_margins"]


def margins_of(scores: Tensor, targets: Tensor) -> Tensor:
    """Return the score of the right class minus the largest other, for every row.

    Parameters
    ----------
    scores : Tensor, shape (b, C)
        Scores.
    targets : Tensor, shape (b,)
        Classes.

    Returns
    -------
    Tensor, shape (b,)
        Differences in float64.

    Examples
    --------
    >>> margins_of(torch.tensor([[1.0, 3.0], [1.0, 3.0]]), torch.tensor([0, 1])).tolist()
    [-2.0, 2.0]
    """
    values, classes = scores.double(), targets.long().unsqueeze(1)
    right = values.gather(1, classes).squeeze(1)
    return right - values.scatter(1, classes, -torch.inf).amax(1)


@torch.no_grad()
def score_margins(
    model: nn.Module,
    data: Data,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    progress: bool = False,
) -> NDArray[np.float64]:
    """Return f(x)[y] minus the largest other score, for every example.

    Parameters
    ----------
    model : nn.Module
        Classifier in evaluation mode, on the device and in the dtype.
    data : Data
        The examples, in the paper of [Jiang2020]_ those of the training set.
    device, dtype : torch.device or str, torch.dtype
        Where and in what type the model is evaluated.
    progress : bool
        Show a bar on a terminal.

    Returns
    -------
    ndarray, shape (n,)
        One number for each example in the data's order; negative where the classifier errs. Differences are taken in
        float64 of scores in `dtype`.

    Raises
    ------
    ModelError
        If the model is not in evaluation mode, or returns no finite logits.
    """
    check_evaluation_mode(model)
    check_fixed_function(model)
    indices = np.arange(len(data))
    size = block_size(data, indices)
    found = []
    batches = data.batches(indices, size, device=device, dtype=dtype)
    for index, inputs, targets in track(batches, "margins", total=-(-len(data) // size), progress=progress):
        scores = model(inputs)
        check_logits(scores, targets)
        check_finite_outputs(scores, index)
        found.append(margins_of(scores, targets).cpu())
    return np.asarray(torch.cat(found).numpy(), dtype=np.float64)
