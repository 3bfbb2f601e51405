"""Measures of what a classifier returns on its training examples: losses, entropy and the Fisher-Rao norm."""

import numpy as np
import torch
from torch import nn
from torch.func import functional_call
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from genbounds.measures.margins import margins_of
from genbounds.measures.records import Measure
from genbounds.models.examples import Data
from genbounds.models.guards import ModelError, check_evaluation_mode, check_finite_outputs, check_logits
from genbounds.models.passes import block_size
from genbounds.models.per_example.evaluation import check_fixed_function
from genbounds.models.progress import track

__all__ = ["output_measures"]


@torch.no_grad()
def output_measures(
    model: nn.Module,
    data: Data,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    progress: bool = False,
) -> tuple[Measure, ...]:
    r"""Compute the measures of the softmax outputs of a classifier, all in one pass over the examples.

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
    tuple of Measure
        ``margin``, the 10th percentile of the score of the right class minus the largest other;
        ``output_entropy`` (eq. 23), mean entropy of the softmax p in nats; ``cross_entropy`` (24), mean loss l in nats;
        ``training_error``, the share of examples in error; ``fisher_rao`` (45), the mean of <w, grad l>^2, and
        ``fisher_rao_true``, the same with labels drawn from p: the mean variance of <w, grad f_k> for k from p.

    Raises
    ------
    ModelError
        If the model is not in evaluation mode, or returns no finite logits.

    Notes
    -----
    The Fisher-Rao norm [Liang2019]_ is w^T I(w) w. Derivatives along w, all parameters that there are, take one pass
    for all examples, so that the number is the definition's for every architecture. For a network of d weight layers
    with ReLU and without biases or normalisation <w, grad f_k> = d f_k (Euler), and the first is d^2 times the mean of
    <dl/df, f>^2, the form that is usually printed: elsewhere that form is another number.

    Examples
    --------
    >>> from genbounds.models.data import load_data
    >>> flat = nn.Linear(2, 4, bias=False).requires_grad_(False).eval()
    >>> _ = nn.init.zeros_(flat.weight)
    >>> found = output_measures(flat, load_data((torch.ones(3, 2), torch.tensor([0, 1, 3]))))
    >>> {each.name: round(each.value, 4) for each in found}["output_entropy"]  # ln 4
    1.3863
    """
    check_evaluation_mode(model)
    check_fixed_function(model)
    indices = np.arange(len(data))
    size = block_size(data, indices)
    sums, margins = torch.zeros(5, dtype=torch.float64), []
    batches = data.batches(indices, size, device=device, dtype=dtype)
    for index, inputs, targets in track(batches, "outputs", total=-(-len(data) // size), progress=progress):
        with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
            leaves = {name: value.detach().requires_grad_() for name, value in model.named_parameters()}
            scores = functional_call(model, leaves, (inputs,))
            # J w by differentiating J^T u, which is linear in u.
            dual = torch.zeros_like(scores, requires_grad=True)
            pulled = torch.autograd.grad(scores, list(leaves.values()), dual, create_graph=True, materialize_grads=True)
            pairs = zip(pulled, leaves.values(), strict=True)
            inner = torch.stack([(part * leaf.detach()).sum() for part, leaf in pairs]).sum()
            (moved,) = torch.autograd.grad(inner, dual)
        check_logits(scores, targets)
        check_finite_outputs(scores, index)
        if not bool(moved.isfinite().all()):
            raise ModelError("derivatives along the weights must be finite, got NaN or infinity. Evaluate in float32.")
        scores, moved, y = scores.detach().double(), moved.double(), targets.long()
        logs, p = scores.log_softmax(1), scores.softmax(1)
        mean = (p * moved).sum(1)
        along = mean - moved.gather(1, y[:, None]).squeeze(1)  # <dl/df, moved> with dl/df = p - onehot
        spread = (p * (moved - mean[:, None]).square()).sum(1)
        margins.append(margins_of(scores, y).cpu())
        parts = (
            -torch.where(p > 0, p * logs, 0.0).sum(1),
            F.nll_loss(logs, y, reduction="none"),
            (scores.argmax(1) != y).double(),
            along.square(),
            spread,
        )
        sums += torch.stack([part.sum() for part in parts]).cpu()
    names = {
        "output_entropy": "23",
        "cross_entropy": "24",
        "training_error": "errors / m",
        "fisher_rao": "45",
        "fisher_rao_true": "45, labels from the softmax",
    }
    margin = float(np.quantile(torch.cat(margins).numpy(), 0.1))
    means = [float(total) / len(data) for total in sums]
    found = (Measure(name, value, where) for (name, where), value in zip(names.items(), means, strict=True))
    return Measure("margin", margin, "10th percentile"), *found
