"""The mean of a loss over a data set as a function of the parameters: its gradient, Hessian and Gauss-Newton matrix."""

from collections.abc import Collection, Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from genbounds.models.blocks import Block, Blocks
from genbounds.models.guards import ModelError
from genbounds.models.per_example.evaluation import Loss, check_fixed_function, chosen_parameters, forward, number_of
from genbounds.models.progress import track
from genbounds.models.sums import CompensatedSum

__all__ = ["MeanLoss"]


class MeanLoss:
    """The mean loss over all examples of a data set, at a network's present parameters.

    Vectors are flat: parameters one after the other in the order of `names`, P numbers, float64 and on the model's
    device. Data are read block by block, once for each call, and nothing of a block is kept. Sums over blocks are the
    same for any number of processes of ``torch.distributed``; every process must make the same calls.

    Parameters
    ----------
    model : torch.nn.Module
        A function of one example, whose output is a tensor.
    loss : callable
        ``loss(outputs, targets)``: the average over the examples of a batch, or one value per example.
    blocks : Blocks
        The examples, on the model's device.
    parameters : collection of str, optional
        Names of the parameters; by default those that require a gradient.
    progress : bool
        Show a bar on a terminal for each pass.

    Attributes
    ----------
    names : tuple of str
        The parameters in order of definition; a tied one once, under its first name.
    shapes : dict of str to torch.Size
        Their shapes.
    size : int
        P.
    number : int
        Examples.

    Raises
    ------
    ModelError
        If batch normalisation uses the statistics of the batch, dropout acts, or no parameter requires a gradient.

    Notes
    -----
    With outputs z_i of example i, Jacobians J_i = dz_i / dw and H_i the Hessian of the example's loss in z_i, the
    Gauss-Newton matrix is the mean of J_i^T H_i J_i [Martens2020]_. It is the Hessian of the mean loss of the
    linearised network; for losses that are a negative log-likelihood of an exponential family in z (cross-entropy,
    squares) it is the Fisher matrix. It is positive semi-definite if the loss is convex in the outputs. Products are
    exact in the model's dtype, to which vectors are rounded: J v by differentiating J^T u, which is linear in u;
    attention runs as plain matrix products, whose derivatives exist.

    Examples
    --------
    >>> model = nn.Linear(1, 1, bias=False)
    >>> mean = MeanLoss(model, nn.functional.mse_loss, Blocks((torch.tensor([[1.0], [2.0]]), torch.zeros(2, 1)), 1))
    >>> mean.gauss_newton(torch.ones(1, 1)).tolist()
    [[5.0]]
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Loss,
        blocks: Blocks,
        *,
        parameters: Collection[str] | None = None,
        progress: bool = False,
    ) -> None:
        self.model: nn.Module = getattr(model, "_orig_mod", model)
        check_fixed_function(self.model)
        self._loss, self._blocks, self._progress = loss, blocks, progress
        self._values = chosen_parameters(self.model, parameters)
        self.names = tuple(self._values)
        self.shapes = {name: value.shape for name, value in self._values.items()}
        self.size = sum(value.numel() for value in self._values.values())
        self.number = blocks.number

    def split(self, vector: Tensor) -> dict[str, Tensor]:
        """Cut a flat vector into its parts.

        Parameters
        ----------
        vector : Tensor, shape (P,)
            A vector.

        Returns
        -------
        dict of str to Tensor
            By name, in the parameters' shapes: views.
        """
        parts = vector.split([shape.numel() for shape in self.shapes.values()])
        return {name: part.reshape(shape) for (name, shape), part in zip(self.shapes.items(), parts, strict=True)}

    def value_and_gradient(self) -> tuple[float, Tensor]:
        """Return the mean loss and its gradient, in one pass.

        Returns
        -------
        value : float
            Mean loss.
        gradient : Tensor, shape (P,)
            Its gradient.

        Raises
        ------
        ModelError
            If the loss has no gradient in the outputs.
        """
        total = CompensatedSum({"loss": self._zeros(1)[0, 0], "gradient": self._zeros(1)[0]})
        with torch.enable_grad():
            for block in self._tracked():
                leaves, outputs = self._run(block)
                loss = self._summed(outputs, block)
                _check_differentiable(loss)
                gradients = torch.autograd.grad(loss, leaves, materialize_grads=True)
                total.add({"loss": loss, "gradient": _flat(gradients)})
        sums = total.value()
        return float(sums["loss"]) / self.number, sums["gradient"] / self.number

    def gauss_newton(self, vectors: Tensor) -> Tensor:
        """Multiply the Gauss-Newton matrix with vectors, in one pass for all of them.

        Parameters
        ----------
        vectors : Tensor, shape (K, P)
            The vectors.

        Returns
        -------
        Tensor, shape (K, P)
            The products.
        """
        total = CompensatedSum({"product": self._zeros(len(vectors))})
        with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
            for block in self._tracked():
                leaves, outputs = self._run(block)
                dual = torch.zeros_like(outputs, requires_grad=True)
                pulled = torch.autograd.grad(outputs, leaves, dual, create_graph=True, materialize_grads=True)
                used = [number for number, part in enumerate(pulled) if part.requires_grad]
                at = outputs.detach().requires_grad_()
                (slope,) = torch.autograd.grad(self._summed(at, block), at, create_graph=True)
                products = []
                for vector in vectors:
                    parts = [part.to(leaf) for part, leaf in zip(self.split(vector).values(), leaves, strict=True)]
                    chosen = [pulled[n] for n in used], dual, [parts[n] for n in used]
                    (pushed,) = torch.autograd.grad(*chosen, retain_graph=True)
                    curved = _directional(slope, at, pushed)
                    products.append(_flat(torch.autograd.grad(outputs, leaves, curved, True, materialize_grads=True)))
                total.add({"product": torch.stack(products)})
        return total.value()["product"] / self.number

    def hessian(self, vectors: Tensor) -> Tensor:
        """Multiply the Hessian of the mean loss with vectors, in one pass for all of them.

        Parameters
        ----------
        vectors : Tensor, shape (K, P)
            The vectors.

        Returns
        -------
        Tensor, shape (K, P)
            The products. Where the loss has kinks, as with ReLU, second derivatives are those of the smooth piece.
        """
        total = CompensatedSum({"product": self._zeros(len(vectors))})
        with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
            for block in self._tracked():
                leaves, outputs = self._run(block)
                loss = self._summed(outputs, block)
                _check_differentiable(loss)
                slopes = torch.autograd.grad(loss, leaves, create_graph=True, materialize_grads=True)
                used = [number for number, part in enumerate(slopes) if part.requires_grad]
                products = []
                for vector in vectors:
                    parts = [part.to(leaf) for part, leaf in zip(self.split(vector).values(), leaves, strict=True)]
                    # An empty list stands for a loss that is linear in the parameters.
                    chosen = [slopes[n] for n in used], leaves, [parts[n] for n in used]
                    curved = (
                        torch.autograd.grad(*chosen, retain_graph=True, materialize_grads=True)
                        if used
                        else [torch.zeros_like(leaf) for leaf in leaves]
                    )
                    products.append(_flat(curved))
                total.add({"product": torch.stack(products)})
        return total.value()["product"] / self.number

    def mean_eigenvalue(self, generator: torch.Generator, probes: int = 10) -> float:
        """Estimate the mean eigenvalue of the Gauss-Newton matrix, its trace over P.

        Parameters
        ----------
        generator : torch.Generator
            On the CPU; source of the random signs.
        probes : int
            Random vectors, a pass each [Hutchinson1990]_: unbiased, with relative standard deviation at most
            sqrt(2 / probes) |G|_F / tr G.

        Returns
        -------
        float
            The estimate.
        """
        total = 0.0
        for _ in range(probes):
            signs = torch.randint(0, 2, (1, self.size), generator=generator, dtype=torch.int8)
            vector = (2 * signs - 1).to(self._zeros(1))
            total += float((vector * self.gauss_newton(vector)).sum())
        return total / (probes * self.size)

    def _zeros(self, rows: int) -> Tensor:
        device = next(iter(self._values.values())).device
        return torch.zeros(rows, self.size, dtype=torch.float64, device=device)

    def _tracked(self) -> Iterator[Block]:
        return track(self._blocks, "passing over the data", total=len(self._blocks), progress=self._progress)

    def _run(self, block: Block) -> tuple[list[Tensor], Tensor]:
        """Run a block on copies of the parameters that need a gradient, whether the model's own do or not."""
        leaves = {name: value.detach().requires_grad_() for name, value in self._values.items()}
        outputs = forward(self.model, block.inputs, leaves)
        if not isinstance(outputs, Tensor) or not outputs.requires_grad:
            got = "one that depends on none" if isinstance(outputs, Tensor) else f"a {type(outputs).__name__}"
            raise ModelError(
                f"model must return a tensor that depends on its parameters, got {got}. Wrap it to return the logits "
                "alone."
            )
        return list(leaves.values()), outputs

    def _summed(self, outputs: Tensor, block: Block) -> Tensor:
        loss = self._loss(outputs, block.targets)
        return loss.sum() if loss.ndim else loss * number_of(block.inputs)


def _check_differentiable(loss: Tensor) -> None:
    if not loss.requires_grad:
        raise ModelError(
            "loss must be differentiable in the model's outputs, got one without a gradient, such as a count of "
            "errors. Take a smooth surrogate."
        )


def _flat(parts: Sequence[Tensor]) -> Tensor:
    return torch.cat([part.detach().double().flatten() for part in parts])


def _directional(slope: Tensor, at: Tensor, direction: Tensor) -> Tensor:
    """Differentiate the gradient of the loss along a direction of the outputs: nothing where it is constant."""
    if not slope.requires_grad:
        return torch.zeros_like(direction)
    (curved,) = torch.autograd.grad(slope, at, direction, retain_graph=True, materialize_grads=True)
    return curved
