"""One sample, one network, several truths: what a function of both cannot know."""

import math
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import nn

from genbounds.measures.functions import MeasureFunction, evaluate_measure, own_measures
from genbounds.models.examples import Data, DataError
from genbounds.models.guards import check_deterministic, check_evaluation_mode
from genbounds.models.passes import block_size, predict
from genbounds.models.per_example.evaluation import check_fixed_function
from genbounds.models.progress import track
from genbounds.numerics.checks import nonnegative

__all__ = ["Falsification", "Truth", "falsify"]


@dataclass(frozen=True)
class Truth:
    """One population that holds the sample with its labels.

    Attributes
    ----------
    name : str
        How the examples outside of the sample are labelled.
    risk : float
        The network's error in that population, exactly.
    """

    name: str
    risk: float


@dataclass(frozen=True)
class Falsification:
    """Values of one function of sample and network, and the risks that are consistent with its very input.

    Attributes
    ----------
    values : dict of str to float
        What the function returned: the same in every population, as it sees the sample and the network alone.
    truths : tuple of Truth
        Populations, by rising risk.
    n : int
        Examples of the sample.
    population : int
        Examples of each population; labels outside of the sample may be set one by one, so that every risk between the
        first and the last of `truths`, in steps of 1 / population, is the risk in some population.
    """

    values: dict[str, float]
    truths: tuple[Truth, ...]
    n: int
    population: int

    @property
    def interval(self) -> tuple[float, float]:
        """Return the least and the largest risk consistent with the input.

        Returns
        -------
        tuple of float
            In [0, 1].
        """
        return self.truths[0].risk, self.truths[-1].risk

    def floor(self, weights: ArrayLike | None = None) -> float:
        """Return the least mean square error of any function of sample and network, for a prior over the truths.

        Parameters
        ----------
        weights : array_like, shape (truths,), optional
            Prior of each of `truths`, at least 0; divided by their sum. By default all are as likely.

        Returns
        -------
        float
            Variance of the risk under the prior: the input tells nothing about which it is [GastparEtAl2024]_.

        Raises
        ------
        ValueError
            If the weights are not of that shape, negative, or all 0.
        """
        risks = np.array([truth.risk for truth in self.truths])
        prior = nonnegative("weights", np.ones(len(risks)) if weights is None else weights)
        if prior.shape != risks.shape or not prior.sum() > 0:
            raise ValueError(f"weights must be one for each of {len(risks)} truths, not all 0, got {prior}.")
        prior = prior / prior.sum()
        return float(prior @ np.square(risks - prior @ risks))

    def below(self, name: str) -> tuple[str, ...]:
        """Return the truths whose risk a value is below: where it is no upper bound.

        Parameters
        ----------
        name : str
            Which of `values`.

        Returns
        -------
        tuple of str
            Names of truths.
        """
        return tuple(truth.name for truth in self.truths if self.values[name] < truth.risk)

    def to_json(self) -> dict[str, Any]:
        """Return the record as JSON carries it.

        Returns
        -------
        dict
            Fields; a value that is not finite is written as text.
        """
        values = {name: value if math.isfinite(value) else str(value) for name, value in self.values.items()}
        return asdict(self) | {"values": values, "interval": list(self.interval), "floor": self.floor()}


def falsify(
    model: nn.Module,
    data: Data,
    sample: ArrayLike,
    measure: MeasureFunction = own_measures,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
    progress: bool = False,
) -> Falsification:
    r"""Show the interval of risks consistent with what a bound or a measure of a trained network is given.

    Parameters
    ----------
    model : nn.Module
        Classifier in evaluation mode, on the device and in the dtype.
    data : Data
        The sample that it was trained on, and other examples.
    sample : array_like of int, shape (n,)
        Which examples are the sample.
    measure : callable
        ``measure(model, inputs, targets)`` of the network and the sample returns a number, or numbers by name; by
        default what the package measures. The sample's inputs are held in memory for it.
    device, dtype : torch.device or str, torch.dtype
        Where and in what type the model is evaluated.
    seed : int
        Seed of random labels, and of the measure if it takes one.
    progress : bool
        Show a bar on a terminal.

    Returns
    -------
    Falsification
        The values, and the risk in four populations: uniform on all examples, the sample labelled as it is, the others
        labelled by the network itself, as in the data, at random, or always with another class than the network's.
        Copies of an input of the sample keep their labels.

    Raises
    ------
    ModelError
        If the model is not in evaluation mode or draws while it runs, or the measure returns no numbers.
    DataError
        If the sample is empty, repeats an example, or is all there is.

    Notes
    -----
    The function is evaluated once: there is nothing in its input that differs. So no function of sample and network is
    near the risk in every population [GastparEtAl2024]_. The populations are made after training, and a number below
    the risk in one of them does not refute a theorem: a bound of confidence 1 - delta may fail for a share of the
    samples of each population. `genbounds.worlds.ShatteredTwins` holds that share against it.

    Examples
    --------
    >>> from genbounds.models.data import load_data
    >>> data = load_data((torch.arange(10.0)[:, None], torch.arange(10) % 2))
    >>> found = falsify(nn.Linear(1, 2).eval(), data, range(4), lambda *_: 0.5)
    >>> found.population, round(found.interval[1] - found.interval[0], 6)
    (10, 0.6)
    """
    check_evaluation_mode(model)
    check_fixed_function(model)
    chosen = _checked_sample(data, sample)
    ((_, inputs, targets),) = data.batches(chosen, len(chosen), device=device, dtype=dtype)
    check_deterministic(model, inputs[:3])
    values = evaluate_measure(measure, model, inputs, targets, {"seed": seed})
    guesses, labels, codes = _read(model, data, device, dtype, progress)
    inside = np.isin(codes, codes[chosen])
    own = np.where(inside, labels, guesses)
    classes = max(data.classes, int(guesses.max()) + 1)
    # Another class than the network's: the next one, and the first after the last.
    other = np.where(inside, labels, (guesses + 1) % max(2, classes))
    drawn = np.where(inside, labels, np.random.default_rng(seed).integers(0, max(2, classes), len(labels)))
    truths = {
        "the network's own labels": own,
        "labels of the data": labels,
        "random labels": drawn,
        "always another class": other,
    }
    risks = sorted(
        (Truth(name, float((truth != guesses).mean())) for name, truth in truths.items()), key=lambda truth: truth.risk
    )
    return Falsification(values, tuple(risks), len(chosen), len(data))


def _checked_sample(data: Data, sample: ArrayLike) -> NDArray[np.int64]:
    given = np.asarray(sample)
    if given.size and given.dtype.kind not in "iu":
        raise DataError(f"sample must hold whole numbers, got {given.dtype}. Pass indices.")
    chosen = given.astype(np.int64)
    if chosen.ndim != 1 or not 0 < len(chosen) < len(data) or len(np.unique(chosen)) < len(chosen):
        raise DataError(
            f"sample must hold some of the {len(data)} examples, each once, and leave some, got {chosen.size} indices, "
            f"{len(np.unique(chosen))} different. Pass the training examples."
        )
    return chosen


@torch.no_grad()
def _read(
    model: nn.Module, data: Data, device: torch.device | str, dtype: torch.dtype, progress: bool
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return predictions and labels of all examples, and a number for each input that equal inputs share."""
    indices = np.arange(len(data))
    size = block_size(data, indices)
    guesses, labels, codes = [], [], []
    numbers: dict[bytes, int] = {}
    batches = data.batches(indices, size, device=device, dtype=dtype)
    for index, inputs, targets in track(batches, "population", total=-(-len(data) // size), progress=progress):
        guesses.append(predict(model(inputs), index).cpu().numpy())
        labels.append(targets.cpu().numpy())
        rows = inputs.reshape(len(inputs), -1).contiguous().view(torch.uint8).cpu().numpy()
        codes += [numbers.setdefault(sha256(row).digest(), len(numbers)) for row in rows]
    return np.concatenate(guesses), np.concatenate(labels), np.array(codes)
