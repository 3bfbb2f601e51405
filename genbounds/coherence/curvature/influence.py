"""Influence of single training examples on a loss elsewhere: to first order, through the damped Gauss-Newton matrix."""

from collections.abc import Collection
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from genbounds.coherence.curvature.damped_solve import conjugate_gradients
from genbounds.coherence.curvature.influence_records import Influence
from genbounds.coherence.curvature.kronecker_solve import kronecker_solution
from genbounds.models.blocks import Blocks
from genbounds.models.guards import ModelError, infer_device_and_dtype
from genbounds.models.mean_loss import MeanLoss
from genbounds.models.per_example.engine import PerExampleGradients
from genbounds.models.per_example.evaluation import Loss
from genbounds.models.per_example.factored.gradients import ExampleGradients
from genbounds.models.progress import track
from genbounds.models.randomness import stream
from genbounds.numerics.checks import count, positive

__all__ = ["influence"]

#: The default damping, in units of the mean eigenvalue of the Gauss-Newton matrix.
_SHARE = 0.1


def influence(
    model: nn.Module,
    loss: Loss,
    data: Any,
    query: Any,
    *,
    query_loss: Loss | None = None,
    gap: bool = False,
    groups: int = 1,
    damping: float | None = None,
    curvature: str = "gauss_newton",
    parameters: Collection[str] | None = None,
    tolerance: float = 1e-4,
    max_steps: int = 1000,
    batch_size: int = 256,
    seed: int = 0,
    progress: bool = False,
) -> Influence:
    r"""Estimate which training examples move a loss on other examples, or the generalization gap.

    Parameters
    ----------
    model : nn.Module
        The trained network, a fixed function of one example that returns a tensor, on the device where it is to run.
    loss : callable
        ``loss(outputs, targets)`` that was minimised: the average over the examples of a batch, or one value per
        example; convex in the outputs, and without a penalty on the weights, whose place is `damping`.
    data : object
        The training examples, what `genbounds.models.blocks.Blocks` takes.
    query : object
        The query's examples: a test set, a single example, or the training examples themselves.
    query_loss : callable, optional
        Loss of the query, by default `loss`. With the training examples as `query` and the surrogate that a bound takes
        its empirical risk from, the influence is that on the bound's empirical risk.
    gap : bool
        Take the query less the mean of the query loss over the training examples. Influence goes through the weights of
        the network alone: the mean over the training examples is over all of them, equally.
    groups : int
        Groups that the query's examples are split into at random, with a solution for each. More than one gives
        standard errors; as many as there are examples, the influence on each.
    damping : float, optional
        Added to the diagonal of the curvature. If the network was trained with the penalty c |w|^2 / 2, this is c. By
        default a tenth of the mean eigenvalue of the Gauss-Newton matrix [Grosse2023]_, estimated from ten probes.
    curvature : str
        ``"gauss_newton"``, or ``"ekfac"``, the eigenvalue-corrected Kronecker-factored approximation [George2018]_ of
        the package curvlinops: one pass over the data instead of one for each step, for networks of ``nn.Linear`` and
        ``nn.Conv2d``.
    parameters : collection of str, optional
        Names of the parameters that may move; by default those that require a gradient.
    tolerance : float
        Relative residual at which conjugate gradients stop. Products of a float32 network are good for about 1e-6
        times the condition number of the damped matrix.
    max_steps : int
        Products after which they stop in any case.
    batch_size : int
        Examples at a time.
    seed : int
        Seed of the probes and of the groups.
    progress : bool
        Show a bar on a terminal for each pass.

    Returns
    -------
    Influence
        The influences with what they rest on. If the solution did not meet the tolerance, `converged` is false and the
        text says so.

    Raises
    ------
    ModelError
        If the model is no fixed function of one example, or the damped matrix is not positive definite.
    ImportError
        If curvlinops is asked for and not installed.
    ValueError
        If a number is out of range.

    Notes
    -----
    -g_query^T (G + damping)^{-1} g_i with G the Gauss-Newton matrix of the mean training loss: the derivative of the
    query along the path of minima of mean loss + weight * loss_i [KohLiang2017]_ if the weights are a minimum of the
    mean loss plus damping |w|^2 / 2 and the network is linear in them, where G is the Hessian. For another network it
    is the answer to another question, with the network linearised and held near its weights [Bae2022]_; retraining may
    differ. Leaving an example out differs from `Influence.left_out` by O(1/m^2).

    One solution takes memory of a few vectors of P float64 numbers; gradients of single examples are never written out
    where the engine has a rule for the layer.

    Examples
    --------
    >>> x = torch.tensor([[1.0], [2.0], [-1.0]], dtype=torch.float64)
    >>> y = 2 * x + torch.tensor([[0.0], [0.0], [1.0]], dtype=torch.float64)
    >>> model = nn.Linear(1, 1, bias=False, dtype=torch.float64)
    >>> _ = model.weight.data.fill_(11 / 6)  # least squares
    >>> found = influence(model, nn.functional.mse_loss, (x, y), (x[:1], 2 * x[:1]), damping=1e-9)
    >>> found.influences.round(6), found.most_harmful(1), found.converged
    (array([-0.027778, -0.111111,  0.138889]), array([2]), True)
    """
    if curvature not in {"gauss_newton", "ekfac"}:
        raise ValueError(f"curvature must be 'gauss_newton' or 'ekfac', got {curvature!r}. Pass one of these.")
    goal, most = float(positive("tolerance", tolerance)), int(count("max_steps", max_steps))
    device, dtype = infer_device_and_dtype(model)

    def blocks_of(source: Any, indices: NDArray[np.int64] | None = None) -> Blocks:
        return Blocks(source, batch_size, device=device, dtype=dtype, indices=indices)

    def mean_of(which: Loss, blocks: Blocks) -> MeanLoss:
        return MeanLoss(model, which, blocks, parameters=parameters, progress=progress)

    blocks, asked = blocks_of(data), loss if query_loss is None else query_loss
    training = mean_of(loss, blocks)
    training_loss, gradient = training.value_and_gradient()
    if not bool(torch.isfinite(gradient).all()):
        raise ModelError("loss must have a finite gradient, got NaN or infinity. Look at weights and examples.")
    members = _grouped(blocks_of(query).number, int(count("groups", groups)), seed)
    found = [mean_of(asked, blocks_of(query, indices)).value_and_gradient() for indices in members]
    shares = np.array([len(indices) for indices in members]) / sum(map(len, members))
    value, sides = float(shares @ [one for one, _ in found]), torch.stack([side for _, side in found])
    if gap:
        whole, slope = (training_loss, gradient) if asked is loss else mean_of(asked, blocks).value_and_gradient()
        value, sides = value - whole, sides - slope
    if not bool(torch.isfinite(sides).all()):
        raise ModelError("query loss must have a finite gradient, got NaN or infinity. Look at the examples' losses.")
    rule = "as given"
    if damping is None:
        mean_eigenvalue = training.mean_eigenvalue(stream(seed, "damping"))
        if not mean_eigenvalue > 0:
            raise ModelError(
                "loss must be convex in the outputs and not flat, for a default damping, got a mean eigenvalue of "
                f"{mean_eigenvalue:.3g} of the Gauss-Newton matrix. Take such a loss, or give damping."
            )
        damping = _SHARE * mean_eigenvalue
        rule = "a tenth of the mean eigenvalue, by ten random probes"
    ridge = float(positive("damping", damping, "Leave it out for a tenth of the mean eigenvalue."))
    if curvature == "ekfac":
        solution = kronecker_solution(training, blocks, loss, sides, damping=ridge)
    else:
        solution = conjugate_gradients(training.gauss_newton, sides, damping=ridge, tolerance=goal, max_steps=most)
    by_group = -_dots(training, loss, blocks, solution.vectors, parameters, progress)
    influences = shares @ by_group
    errors = None
    if len(members) > 1:
        errors = np.sqrt(shares @ np.square(by_group - influences) / (len(members) - 1))
    return Influence(
        influences=influences,
        standard_errors=errors,
        by_group=by_group,
        query="gap" if gap else "loss",
        query_value=value,
        training_loss=training_loss,
        gradient_norm=float(gradient.norm()),
        curvature=curvature,
        damping=ridge,
        damping_rule=rule,
        residuals=solution.residuals,
        steps=solution.steps,
        # Twice, as the iteration looks at a residual that is carried along and this one is measured.
        converged=max(solution.residuals) <= 2 * goal,
        parameters=training.size,
    )


def _grouped(number: int, groups: int, seed: int) -> list[NDArray[np.int64]]:
    """Split examples into groups at random, of sizes that differ by at most one."""
    if groups > number:
        raise ValueError(f"groups must be at most the {number} query examples, got {groups}. Take fewer.")
    if groups in (1, number):
        return np.array_split(np.arange(number), groups)
    order = torch.randperm(number, generator=stream(seed, "query groups")).numpy()
    return [np.sort(part) for part in np.array_split(order, groups)]


def _dots(
    training: MeanLoss, loss: Loss, blocks: Blocks, vectors: Tensor, parameters: Collection[str] | None, progress: bool
) -> NDArray[np.float64]:
    """Return the inner products of vectors with the gradients of all training examples, shape (K, m)."""
    engine = PerExampleGradients(training.model, loss, parameters=parameters)
    parts = [training.split(vector) for vector in vectors]
    index: list[NDArray[np.int64]] = []
    found = [torch.zeros(0, len(vectors), dtype=torch.float64, device=vectors.device)]
    for block in track(blocks, "influence of the examples", total=len(blocks), progress=progress):
        dots = found[0].new_zeros(len(block.index), len(vectors))

        def take_in(name: str, rows: slice, gradients: ExampleGradients, dots: Tensor = dots) -> None:
            dots[rows] += torch.stack([gradients.dots(part[name]) for part in parts], dim=1)

        engine.visit(block.inputs, block.targets, take_in)
        index.append(block.index)
        found.append(dots)
    every = np.concatenate([np.zeros(0, dtype=np.int64), *index])
    return blocks.gather(every, torch.cat(found)).T.contiguous().numpy()
