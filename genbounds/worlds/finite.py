"""Learning problems with finitely many examples and hypotheses: every sample can be listed, so truth is computed."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genbounds.numerics.checks import count, unit_interval
from genbounds.worlds.enumeration import count_vectors, multinomial_law

__all__ = ["FiniteWorld", "classification", "coins", "lone_predictor", "shattered_points"]


def _distribution(name: str, values: ArrayLike) -> NDArray[np.float64]:
    weights = unit_interval(name, values, "Pass probabilities.")
    if weights.ndim != 1 or abs(weights.sum() - 1) > 1e-12 or not np.all(weights > 0):
        raise ValueError(
            f"{name} must be positive numbers that add up to 1, got {weights.tolist()}. "
            "Divide by their sum and leave out what has probability 0."
        )
    return weights


def _predictions(values: ArrayLike, losses: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return a table of predictions, checked: on one point, equal predictions must have equal losses."""
    predictions = np.asarray(values)
    if predictions.shape != losses.shape or predictions.dtype.kind not in "biu":
        raise ValueError(
            f"predictions must be whole numbers in a table of shape {losses.shape}, got shape {predictions.shape} "
            f"(dtype {predictions.dtype}). Give what each hypothesis outputs on each point's input."
        )
    for column, (outputs, loss) in enumerate(zip(predictions.T, losses.T, strict=True)):
        if len(np.unique(np.stack([outputs, loss]), axis=1).T) > len(np.unique(outputs)):
            raise ValueError(
                f"predictions must decide the losses, got two losses for one prediction on point {column}. "
                "A loss compares a prediction with the point: tell predictions with different losses apart."
            )
    return predictions.astype(np.int64)


class FiniteWorld:
    """A distribution on k points, h hypotheses with known losses on each point, and a prior over the hypotheses.

    Parameters
    ----------
    probabilities : array_like, shape (k,)
        Positive probabilities of the points.
    losses : array_like, shape (h, k)
        Loss of each hypothesis on each point, in [0, 1].
    prior : array_like, shape (h,), optional
        Positive prior probabilities; uniform by default.
    name : str
        For reports.
    predictions : array_like of int, shape (h, k), optional
        What each hypothesis outputs on each point's input. By default the loss stands for the prediction: on one point,
        hypotheses with the same loss are taken to predict the same.

    Raises
    ------
    ValueError
        If shapes do not match, a loss is outside [0, 1], probabilities do not add up to 1, or two hypotheses predict
        the same on a point and have different losses there.

    Examples
    --------
    Two points, one hypothesis that errs on the second:

    >>> world = FiniteWorld(probabilities=[0.75, 0.25], losses=[[0, 1]])
    >>> world.risks.tolist()
    [0.25]
    >>> counts, weights = world.samples(2)
    >>> world.empirical_risks(counts).ravel().tolist(), weights.round(12).tolist()
    ([1.0, 0.5, 0.0], [0.0625, 0.375, 0.5625])
    """

    def __init__(
        self,
        probabilities: ArrayLike,
        losses: ArrayLike,
        prior: ArrayLike | None = None,
        name: str = "finite world",
        predictions: ArrayLike | None = None,
    ) -> None:
        self.name = name
        self.probabilities = _distribution("probabilities", probabilities)
        self.losses = unit_interval("losses", losses)
        if self.losses.ndim != 2 or self.losses.shape[1] != len(self.probabilities):
            raise ValueError(
                f"losses must be a table of hypotheses by {len(self.probabilities)} points, got shape "
                f"{self.losses.shape}. Give one row a hypothesis."
            )
        hypotheses = len(self.losses)
        self.prior = _distribution("prior", np.full(hypotheses, 1 / hypotheses) if prior is None else prior)
        if len(self.prior) != hypotheses:
            raise ValueError(f"prior must have {hypotheses} entries, got {len(self.prior)}. Give one a hypothesis.")
        if predictions is None:
            predictions = np.unique(self.losses, return_inverse=True)[1].reshape(self.losses.shape)
        self.predictions = _predictions(predictions, self.losses)

    def __repr__(self) -> str:
        tables = (self.probabilities, self.losses, self.prior)
        return f"FiniteWorld({', '.join(str(t.tolist()) for t in tables)}, predictions={self.predictions.tolist()})"

    @property
    def risks(self) -> NDArray[np.float64]:
        """True risk of each hypothesis, shape (h,)."""
        return np.minimum(self.losses @ self.probabilities, 1.0)  # the weights may add up to 1 + 2^-53

    def samples(self, n: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return every sample of n examples, as counts of the points, with its exact probability.

        Parameters
        ----------
        n : int
            Examples in a sample, at least 1.

        Returns
        -------
        counts : ndarray of int64, shape (samples, k)
            How often each point occurs.
        weights : ndarray, shape (samples,)
            Probability of each row.

        Raises
        ------
        ArithmeticError
            If rounding made the probabilities add up to something other than 1, by more than 1e-11.
        """
        counts = count_vectors(n, len(self.probabilities))
        weights = multinomial_law(counts, self.probabilities)
        if abs(weights.sum() - 1) > 1e-11:
            raise ArithmeticError(f"the probabilities of all samples add up to {weights.sum()!r}: n={n} is too large")
        return counts, weights

    def empirical_risks(self, counts: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the empirical risk of each hypothesis on each sample.

        Parameters
        ----------
        counts : ndarray of int64, shape (..., k)
            How often each point occurs.

        Returns
        -------
        ndarray, shape (..., h)
            Average losses, at most 1.
        """
        return np.minimum(counts @ self.losses.T / counts.sum(axis=-1, keepdims=True), 1.0)


def classification(
    probabilities: ArrayLike,
    inputs: ArrayLike,
    labels: ArrayLike,
    classifiers: ArrayLike | None = None,
    prior: ArrayLike | None = None,
    name: str = "classification",
) -> FiniteWorld:
    """Return the world of a labelled classification problem with the 0-1 loss.

    Parameters
    ----------
    probabilities : array_like, shape (k,)
        Positive probabilities of the points, each of which is an input with a label. One input may have several
        labels: label noise.
    inputs : array_like of int, shape (k,)
        Number of each point's input, counted from 0.
    labels : array_like of int, shape (k,)
        Each point's label, counted from 0.
    classifiers : array_like of int, shape (h, m), optional
        What each hypothesis answers on each of the m inputs; by default all functions from inputs to labels.
    prior : array_like, shape (h,), optional
        Positive prior probabilities; uniform by default.
    name : str
        For reports.

    Returns
    -------
    FiniteWorld
        It knows the predictions.

    Examples
    --------
    One input whose label is a coin, and the two constant answers:

    >>> world = classification([0.75, 0.25], inputs=[0, 0], labels=[0, 1])
    >>> world.predictions.tolist(), world.risks.tolist()
    ([[0, 0], [1, 1]], [0.25, 0.75])
    """
    inputs = count("inputs", inputs, minimum=0).astype(np.int64)
    labels = count("labels", labels, minimum=0).astype(np.int64)
    if classifiers is None:
        answers = np.indices((labels.max() + 1,) * (inputs.max() + 1))
        classifiers = answers.reshape(len(answers), -1).T
    predictions = np.asarray(classifiers)[:, inputs]
    losses = (predictions != labels).astype(np.float64)
    return FiniteWorld(probabilities, losses, prior, name, predictions)


def lone_predictor(risk: float, name: str = "lone predictor") -> FiniteWorld:
    """Return the world of one hypothesis with a 0-1 loss: where tail bounds are sharp.

    Parameters
    ----------
    risk : float
        Its risk, strictly between 0 and 1.
    name : str
        For reports.

    Returns
    -------
    FiniteWorld
        Two points, one hypothesis.
    """
    return FiniteWorld(probabilities=[1 - risk, risk], losses=[[0.0, 1.0]], name=name)


def shattered_points(points: int) -> FiniteWorld:
    """Return k equally likely points with all 2^k ways to err on them: the richest class, where overfitting is worst.

    Parameters
    ----------
    points : int
        Number of points, from 1 to 12.

    Returns
    -------
    FiniteWorld
        Uniform on points and hypotheses; on every sample some hypothesis errs exactly on the points not seen.
    """
    errors = np.arange(2**points)[:, None] >> np.arange(points) & 1
    return FiniteWorld(
        probabilities=np.full(points, 1 / points),
        losses=errors.astype(np.float64),
        name=f"{points} shattered points",
    )


def coins(risks: ArrayLike) -> FiniteWorld:
    """Return hypotheses whose losses are independent coins: where a union bound is nearly exact.

    Parameters
    ----------
    risks : array_like, shape (h,)
        Their risks, strictly between 0 and 1.

    Returns
    -------
    FiniteWorld
        2^h points, one for each combination of errors; uniform prior.
    """
    risks = np.asarray(risks, dtype=np.float64)
    losses = (np.arange(2 ** len(risks)) >> np.arange(len(risks))[:, None] & 1).astype(np.float64)
    probabilities = np.prod(np.where(losses == 1, risks[:, None], 1 - risks[:, None]), axis=0)
    return FiniteWorld(probabilities=probabilities, losses=losses, name=f"{len(risks)} independent coins")
