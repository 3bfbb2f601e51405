"""Solutions with the eigenvalue-corrected Kronecker-factored approximation (EK-FAC) of the Gauss-Newton matrix."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn import functional as F

from genbounds.coherence.curvature.damped_solve import DampedSolution, relative_residuals
from genbounds.models.blocks import Blocks
from genbounds.models.guards import ModelError
from genbounds.models.mean_loss import MeanLoss
from genbounds.models.per_example.evaluation import Loss

__all__ = ["kronecker_solution"]


def kronecker_solution(mean: MeanLoss, blocks: Blocks, loss: Loss, sides: Tensor, *, damping: float) -> DampedSolution:
    """Solve with the eigenvalue-corrected Kronecker-factored approximation (EK-FAC) of G, by the package curvlinops.

    Parameters
    ----------
    mean : MeanLoss
        The training loss, all of whose parameters belong to ``nn.Linear`` or ``nn.Conv2d`` layers, none of them tied.
    blocks : Blocks
        Its examples.
    loss : callable
        ``nn.functional.cross_entropy``, ``mse_loss`` or ``binary_cross_entropy_with_logits``, or the module of the same
        loss with its default arguments.
    sides : Tensor of float64, shape (K, P)
        The right-hand sides.
    damping : float
        Positive.

    Returns
    -------
    DampedSolution
        Approximate solutions, after one pass over the data; their residuals are those of the exact matrix, so that they
        show the quality of the approximation.

    Raises
    ------
    ImportError
        If curvlinops is not installed.
    ModelError
        If the approximation does not know a layer or the loss, weights are tied, or the run is distributed.
    """
    try:
        from curvlinops import EKFACLinearOperator, KFACInverseLinearOperator
    except ImportError as error:
        raise ImportError("curvature='ekfac' needs curvlinops. Run: pip install 'genbounds[curvature]'") from error
    _check_layers(mean)
    parameters = dict(mean.model.named_parameters())
    chosen = [parameters[name] for name in mean.names]
    operator = EKFACLinearOperator(
        mean.model,
        _as_module(loss),
        chosen,
        _Batches(blocks),
        fisher_type="type-2",  # every output's own curvature: nothing is drawn
        check_deterministic=False,
        separate_weight_and_bias=False,
        num_data=blocks.number,
        num_per_example_loss_terms=1,
    )
    inverse = KFACInverseLinearOperator(operator, damping=damping, use_exact_damping=True)
    rows = [list(mean.split(side).values()) for side in sides]
    columns = [torch.stack(parts, dim=-1).to(like) for *parts, like in zip(*rows, chosen, strict=True)]
    solved = [part.detach().double().flatten(0, -2) for part in inverse @ columns]
    x = torch.cat(solved).T.contiguous()
    return DampedSolution(x, relative_residuals(mean.gauss_newton, sides, x, damping), 0)


class _Batches:
    """Inputs and targets of blocks, as often as they are asked for."""

    def __init__(self, blocks: Blocks) -> None:
        self._blocks = blocks

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for block in self._blocks:
            if not isinstance(block.inputs, Tensor):
                raise ModelError("curvature='ekfac' needs a model of one tensor, got keyword inputs. Wrap the model.")
            yield block.inputs, block.targets


#: Losses that the library knows; other settings of the modules than the default ones it would pass over.
_MODULES: dict[Loss, type[nn.Module]] = {
    F.cross_entropy: nn.CrossEntropyLoss,
    F.mse_loss: nn.MSELoss,
    F.binary_cross_entropy_with_logits: nn.BCEWithLogitsLoss,
}


def _as_module(loss: Loss) -> nn.Module:
    if loss in _MODULES:
        return _MODULES[loss]()
    for kind in _MODULES.values():
        if isinstance(loss, kind) and repr(vars(loss)) == repr(vars(kind())):
            return loss
    raise ModelError(
        f"loss must be cross_entropy, mse_loss or binary_cross_entropy_with_logits without further settings for "
        f"curvature='ekfac', got {loss!r}. Take curvature='gauss_newton'."
    )


def _check_layers(mean: MeanLoss) -> None:
    """Refuse what the library would take for something else (tied weights, padding), or does not know."""
    if dist.is_available() and dist.is_initialized():
        raise ModelError("curvature='ekfac' runs in one process, got a distributed run. Take curvature='gauss_newton'.")
    owners: dict[int, list[nn.Module]] = {}
    for module in mean.model.modules():
        for value in module.parameters(recurse=False):
            owners.setdefault(id(value), []).append(module)
    parameters = dict(mean.model.named_parameters())
    for name in mean.names:
        found = owners[id(parameters[name])]
        layer = found[0]
        plain = type(layer) is nn.Linear or (
            type(layer) is nn.Conv2d and layer.padding_mode == "zeros" and layer.groups == 1
        )
        if len(found) > 1 or not plain:
            raise ModelError(
                f"parameters must belong to one nn.Linear or plain nn.Conv2d each for curvature='ekfac', got {name} of "
                f"{' and '.join(type(owner).__name__ for owner in found)}. Take curvature='gauss_newton'."
            )
