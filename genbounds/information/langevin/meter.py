"""A meter for noisy training: what bounds along the path take, step by step, and whether the noise is right."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from genbounds.information.langevin.noise_check import NoiseCheck, NoiseError
from genbounds.information.langevin.trajectory_records import TrajectoryRecord, trajectory_estimates, trajectory_table
from genbounds.models.guards import infer_device_and_dtype
from genbounds.models.per_example.chunked import ChunkedGradients, GradientMoments
from genbounds.models.per_example.evaluation import Loss
from genbounds.models.randomness import stream
from genbounds.numerics.checks import count, nonnegative, positive
from genbounds.numerics.estimates import Estimate

__all__ = ["TrajectoryMeter"]


class TrajectoryMeter:
    """Measures one run of noisy training: put each step of your loop into ``with meter.step(...)``.

    The optimiser is yours: `genbounds.information.langevin.optimiser.Langevin`, or any that moves the weights by -eta
    (gradient of the batch + lambda w) and adds Gaussian noise. At each step the meter takes the gradients of single
    examples at the weights before the step, in chunks; from the weights before and after it computes the noise that was
    added, and `estimates` refuses if that is not the noise that was stated (`NoiseCheck`).

    What it shows are *estimates*. The theorems take expectations over samples, batches and noise, and one run shows one
    sample, one order of batches and one path. `trajectory_estimates` averages several runs on independent samples.

    Parameters
    ----------
    model : torch.nn.Module
        The network, in the mode in which it is trained. Batch normalisation with the statistics of the batch and active
        dropout are refused.
    loss : callable
        ``loss(outputs, targets)``, the training loss: an average over the batch.
    inputs, targets : Tensor
        The whole sample of n examples.
    sigma : float
        Sub-Gaussian parameter of the evaluation loss, which need not be the training loss; 0.5 for a loss in [0, 1].
    uniform_batches : bool
        Whether each batch is drawn uniformly from the sample, without replacement, whatever batches came before.
        Batches from shuffled epochs are not; the whole sample as the batch is, and is recognised.
    subsample : int, optional
        Number of examples, drawn once, over which averages and variances of gradients are taken at every step; all n by
        default. Centres from a subsample are valid ones, and variances are unbiased (they divide by one less).
    ghosts : tuple of Tensor, optional
        Inputs and targets of n examples of which fair coins decided, one for each pair, that they were not trained on.
    chunk_size : int
        Examples whose gradients are in memory at once.
    seed : int
        Seed of the subsample.
    level : float
        Probability with which steps that were made as stated are refused.

    Raises
    ------
    ValueError
        If the examples and the ghosts do not match in number, or a number is out of range.
    ModelError
        If the model is no fixed function of one example.

    Notes
    -----
    Gradients are computed in the model's dtype and summed in float64. In float32 they carry relative
    errors of about 1e-6, and weights of size one are rounded by 6e-8 in each step: no matter, as long as that is
    small against the noise scale. With TF32 products (1e-3) long runs can be refused: turn them off while measuring.

    A step costs the gradients of the batch and of the sample (or subsample) once more, and of the ghosts of the batch.

    Examples
    --------
    >>> from genbounds.information.langevin.optimiser import Langevin
    >>> x = torch.linspace(-1, 1, 8, dtype=torch.float64)[:, None]
    >>> model = nn.Linear(1, 1, dtype=torch.float64)
    >>> optimizer = Langevin(model.parameters(), lr=0.01, inverse_temperature=100.0, seed=0)
    >>> meter = TrajectoryMeter(model, nn.functional.mse_loss, x, 2 * x, sigma=0.5)
    >>> for _ in range(3):
    ...     with meter.step(range(8), **optimizer.next_step()):
    ...         optimizer.zero_grad()
    ...         nn.functional.mse_loss(model(x), 2 * x).backward()
    ...         optimizer.step(batch_size=8)
    >>> sorted(meter.estimates())
    ['li_luo_qiao', 'li_luo_qiao, centred', 'negrea', 'pensia', 'wang_gao_calmon']
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Loss,
        inputs: Tensor,
        targets: Tensor,
        *,
        sigma: float,
        uniform_batches: bool = False,
        subsample: int | None = None,
        ghosts: tuple[Tensor, Tensor] | None = None,
        chunk_size: int = 64,
        seed: int = 0,
        level: float = 1e-3,
    ) -> None:
        self.gradients = ChunkedGradients(model, loss, chunk_size)
        self.inputs, self.targets, self.n = inputs, targets, len(inputs)
        for name, part in (("targets", targets), *(zip(("ghosts", "ghosts"), ghosts, strict=True) if ghosts else ())):
            if len(part) != self.n:
                raise ValueError(f"{name} must hold {self.n} examples, as inputs do, got {len(part)}. Pass pairs.")
        self.sigma = float(nonnegative("sigma", sigma))
        self.ghosts, self.noise = ghosts, NoiseCheck(level, tuple(self.gradients.parameters()))
        size = self.n if subsample is None else int(count("subsample", subsample, minimum=2))
        order = torch.randperm(self.n, generator=stream(seed, "trajectory subsample"))
        self._reference = order[: min(size, self.n)].sort().values
        self._in_reference = torch.zeros(self.n, dtype=torch.bool)
        self._in_reference[self._reference] = True
        self._uniform = uniform_batches
        self._steps: list[dict[str, float]] = []
        self._batches: dict[tuple[int, ...], int] = {}
        self._labels: list[int] = []
        self._log_odds = torch.zeros(self.n, dtype=torch.float64)
        self._after: Tensor | None = None
        self._previous: Tensor | None = None
        self._running = False

    @contextmanager
    def step(
        self, indices: ArrayLike | Tensor, *, step_size: float, noise_scale: float, weight_decay: float = 0.0
    ) -> Iterator[None]:
        """Measure the one step of the optimiser that is taken inside the ``with`` block.

        Parameters
        ----------
        indices : array_like of int
            Examples in the batch.
        step_size, noise_scale : float
            eta, and the standard deviation s of the noise that the step adds to every weight.
        weight_decay : float
            lambda, where the step moves along the gradient plus lambda w.

        Yields
        ------
        None
            Nothing; take the step.

        Raises
        ------
        ValueError
            If an index or number is out of range.
        NoiseError
            If no step was taken, or the weights changed since the last one.
        """
        index = self._checked(indices)
        eta, s = float(positive("step_size", step_size)), float(positive("noise_scale", noise_scale))
        decay = float(nonnegative("weight_decay", weight_decay))
        if not self._steps and len(self._reference) > 1:
            self.gradients.check(*self._examples(self._reference[:8]))
        before = {name: value.clone() for name, value in self.gradients.parameters().items()}
        if self._running or (self._after is not None and not torch.equal(self._after, _flat(before))):
            raise NoiseError(
                f"weights must change in measured steps alone, got others than step {len(self._steps)} left. Put "
                "every step of the optimiser, and nothing else that moves weights, into a block of its own."
            )
        self._running = True
        try:
            yield
        finally:
            self._running = False
        self._take_in(index, before, eta, s, decay)

    def _checked(self, indices: ArrayLike | Tensor) -> Tensor:
        index = torch.as_tensor(np.asarray(indices.cpu() if isinstance(indices, Tensor) else indices)).long()
        if index.ndim != 1 or not len(index) or int(index.min()) < 0 or int(index.max()) >= self.n:
            raise ValueError(
                f"indices must be those of a batch, from 0 to {self.n - 1}, got {index.tolist()[:5]}. Count from 0 in "
                "the sample that the meter was given."
            )
        if len(index.unique()) < len(index):
            raise ValueError(f"indices must be different, got {len(index)} with repetitions. Draw without replacement.")
        return index

    def _examples(self, index: Tensor, ghosts: bool = False) -> tuple[Tensor, Tensor]:
        """Return examples as the model takes them."""
        device, dtype = infer_device_and_dtype(self.gradients.model)
        source = self.ghosts if ghosts and self.ghosts is not None else (self.inputs, self.targets)
        parts = (part[index.to(part.device)].to(device) for part in source)
        inputs, targets = (part.to(dtype) if part.is_floating_point() else part for part in parts)
        return inputs, targets

    def _take_in(self, index: Tensor, before: dict[str, Tensor], eta: float, s: float, decay: float) -> None:
        start, after = _flat(before), _flat(self.gradients.parameters())
        moved = after.double() - start.double()
        if not moved.any():
            raise NoiseError(
                "step must move the weights, got the same weights before and after it. It was skipped, or made outside "
                "the block: a skipped step is none, leave its block out as well."
            )
        reference = self.gradients.moments(before, *self._examples(self._reference))
        mean, shown = self._batch_moments(index, before, reference)
        residual = (moved + eta * (mean + decay * start.double())) / s
        sizes = [value.numel() for value in before.values()]
        squares = [float(part.square().sum()) for part in residual.split(sizes)]
        self.noise.add(squares, sizes, _along(residual, mean), _along(residual, self._previous))
        if self.ghosts is not None:
            shown["weighted_differences"] = self._weighted_differences(index, before, residual, eta / (len(index) * s))
        self._after, self._previous = after, mean
        self._steps.append({"step_sizes": eta, "noise_scales": s, "batch_sizes": len(index), **shown})
        self._labels.append(self._batches.setdefault(tuple(index.sort().values.tolist()), len(self._batches)))

    def _batch_moments(
        self, index: Tensor, before: dict[str, Tensor], reference: GradientMoments
    ) -> tuple[Tensor, dict[str, float]]:
        """Return the average gradient of the batch, and the moments that are recorded."""
        inside = self._in_reference[index].to(reference.mean.device)
        # Leaving an example out of an average moves that average away from it.
        stretch = reference.number / max(reference.number - 1, 1)
        total, within = torch.zeros_like(reference.mean), torch.zeros_like(reference.mean)
        norms, centred, first = 0.0, 0.0, 0
        for rows in self.gradients.chunks(before, *self._examples(index)):
            wide, known = rows.double(), inside[first : first + len(rows)]
            distances = (wide - reference.mean).square().sum(dim=1)
            distances[known] *= stretch**2
            total, within = total + wide.sum(dim=0), within + wide[known].sum(dim=0)
            norms, centred = norms + float(wide.square().sum()), centred + float(distances.sum())
            first += len(rows)
        mean, others = total / len(index), reference.number - int(inside.sum())
        centre = (reference.number * reference.mean - within) / others if others else torch.zeros_like(mean)
        return mean, {
            "squared_batch_gradients": float(mean.square().sum()),
            "squared_gradient_norms": norms / len(index),
            "centred_gradient_norms": centred / len(index),
            "gradient_variances": float(reference.variance),
            "batch_spreads": float((mean - centre).square().sum()),
        }

    def _weighted_differences(self, index: Tensor, before: dict[str, Tensor], residual: Tensor, signal: float) -> float:
        """Return the average of |zeta|^2 theta^2 over the batch; take in what the step gives away about each pair."""
        # Had the ghost been trained on, the residual would have been r + signal * zeta: the log likelihood ratio of the
        # truth is half the difference of the squares. Theta is the ghost's posterior probability before the step.
        wrong = torch.special.expit(-self._log_odds[index])
        pairs = zip(
            self.gradients.chunks(before, *self._examples(index)),
            self.gradients.chunks(before, *self._examples(index, ghosts=True)),
            strict=True,
        )
        squares, products = [], []
        for rows, ghost_rows in pairs:
            zeta = ghost_rows.double() - rows.double()
            squares.append(zeta.square().sum(dim=1).cpu())
            products.append((zeta @ residual).cpu())
        square, product = torch.cat(squares), torch.cat(products)
        self._log_odds[index] += signal * product + signal**2 * square / 2
        return float((square * wrong.square()).mean())

    @property
    def record(self) -> TrajectoryRecord:
        """What the steps so far showed: collect those of several runs for `trajectory_estimates`."""
        names = self._steps[0] if self._steps else {}
        arrays: dict[str, Any] = {name: np.array([step[name] for step in self._steps]) for name in names}
        arrays.setdefault("weighted_differences", None)
        disjoint = sum(map(len, self._batches)) == len(set().union(*self._batches))
        full = all(len(batch) == self.n for batch in self._batches)
        return TrajectoryRecord(
            n=self.n,
            dimension=sum(value.numel() for value in self.gradients.parameters().values()),
            batch_indices=np.array(self._labels) if disjoint else None,
            uniform_batches=self._uniform or full,
            **arrays,
        )

    def estimates(self) -> dict[str, Estimate]:
        """Estimate the bounds from this run, if its noise is what was stated.

        Returns
        -------
        dict of str to Estimate
            As `trajectory_estimates` of one run.

        Raises
        ------
        NoiseError
            If the steps were not made as stated, at the meter's level over all calls.
        ValueError
            If no step was measured.
        """
        if not self._steps:
            raise ValueError("steps must be measured first, got none. Put them into `with meter.step(...)`.")
        self.noise.raise_if_refused()
        return trajectory_estimates([self.record], self.sigma)

    def report(self) -> str:
        """Return the estimates as text, to print while training.

        Returns
        -------
        str
            A line about the noise found and one for each theorem; raises as `estimates` does.
        """
        table = trajectory_table(self.estimates())
        return f"noise: {self.noise.scale:.6g} times what was stated, over {self.noise.steps} steps\n{table}"


def _flat(parameters: dict[str, Tensor]) -> Tensor:
    return torch.cat([value.reshape(-1) for value in parameters.values()])


def _along(residual: Tensor, direction: Tensor | None) -> float:
    """Return the component of the residual along a direction; NaN if there is none."""
    size = 0.0 if direction is None else float(direction.norm())
    return float(residual @ direction) / size if direction is not None and size > 0 else float("nan")
