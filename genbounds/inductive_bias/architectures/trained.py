"""Networks of finite width side by side: trained from random weights until they fit, and counted."""

from collections.abc import Mapping
from concurrent.futures import Executor
from typing import Any

from numpy.typing import ArrayLike

from genbounds.inductive_bias.architectures.comparison import Comparison
from genbounds.inductive_bias.architectures.draws import Draws, increasing
from genbounds.inductive_bias.architectures.named import Architecture
from genbounds.inductive_bias.samples.trained import trained_networks
from genbounds.models.data import load_data
from genbounds.models.ensembles import EnsembleTraining
from genbounds.rare_events.curves import TailCurve
from genbounds.sweeps import Store

__all__ = ["compare_trained"]


def compare_trained(
    data: Any,
    networks: Mapping[str, Architecture],
    *,
    train: int,
    test: int,
    levels: ArrayLike,
    draws: int = 1,
    number: int = 200,
    trainings: Mapping[str, EnsembleTraining] | None = None,
    seed: int = 0,
    level: float = 0.95,
    device: str = "cpu",
    dtype: str = "float32",
    store: Store | None = None,
    executor: Executor | None = None,
    progress: bool = False,
) -> Comparison:
    """Compare networks that training finds: -ln P(test error <= level | no training error), by counting.

    Parameters
    ----------
    data : object
        What `genbounds.models.load_data` takes; targets are classes.
    networks : mapping of str to Architecture
        Networks with random weights, by name.
    train, test : int
        Examples of each draw.
    levels : array_like, shape (k,)
        Shares of test errors, strictly increasing, chosen without looking at the networks.
    draws : int
        How often training and test examples are drawn, disjoint within a draw.
    number : int
        Networks trained for each architecture and draw: the curve ends at about the logarithm of it.
    trainings : mapping of str to EnsembleTraining, optional
        For each architecture how it is trained, where not by the default's settings in up to 1,000 epochs.
    seed : int
        Seed of the draws and of the networks.
    level : float
        Confidence of intervals, in (0, 1).
    device : str
        Where networks are trained.
    dtype : {"float32", "float64"}
        Type of their numbers.
    store : Store, optional
        Where results are kept, so that an interrupted comparison goes on.
    executor : concurrent.futures.Executor, optional
        Where tasks run; by default in this process.
    progress : bool
        Show a bar on a terminal.

    Returns
    -------
    Comparison
        A curve for each architecture and draw.

    Raises
    ------
    ValueError
        If there are too few examples or classes, levels do not increase, a task fails, or no network of an
        architecture fits.
    """
    shares, tried = increasing(levels), Draws(load_data(data), train, test, draws, seed)
    curves: dict[str, list[TailCurve]] = {name: [] for name in networks}
    for draw, (inputs, targets) in enumerate(tried):
        for name, network in networks.items():
            found = trained_networks(
                (inputs[:train], targets[:train]),
                (inputs[train:], targets[train:]),
                network=network.factory,
                arguments=network.arguments,
                networks=number,
                training=(trainings or {}).get(name, EnsembleTraining(epochs=1000)),
                seed=tried.seed_of(draw),
                device=device,
                dtype=dtype,
                store=store,
                executor=executor,
                progress=progress,
            )
            curves[name].append(found.information(shares, "error", confidence=level))
    return Comparison(
        task=str(tried),
        loss="share of test errors",
        spaces={
            name: f"{network}, {number} trained from random weights until they fit"
            for name, network in networks.items()
        },
        curves={name: tuple(each) for name, each in curves.items()},
        level=level,
    )
