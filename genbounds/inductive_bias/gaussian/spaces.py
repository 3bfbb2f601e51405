"""Linear models with Gaussian weights, and Gaussian processes, before and after they fit training examples.

They stay Gaussian when they are conditioned, and the mean square of their residuals on other examples is a quadratic
form of standard normal variables, whose tail is known exactly; [Boopathy2024]_ draws from it and fits one chi-squared
law. Losses are means of squares over examples and outputs, as `torch.nn.functional.mse_loss`.

**Where the chain rule is exact.** The law of the prior on the training examples gives I_train at any level; the
conditional law gives I_gen given an exact fit, or given noisy targets. These are conditions of their own:
-ln P(train loss <= a, test loss <= b) is their sum only if the two losses are independent under the prior. For the
condition "train loss <= a" there are samplers (`genbounds.rare_events`).
"""

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from genbounds.inductive_bias.gaussian.conditioning import condition
from genbounds.inductive_bias.gaussian.hypotheses import GaussianHypotheses
from genbounds.numerics.checks import finite, nonnegative, positive

__all__ = ["kernel_hypotheses", "linear_hypotheses", "population_hypotheses"]

_UNIT = 2.0**-52


def linear_hypotheses(
    inputs: ArrayLike,
    targets: ArrayLike,
    *,
    scale: float = 1.0,
    given: ArrayLike | None = None,
    noise: float = 0.0,
) -> GaussianHypotheses:
    """Return the law of the residuals of linear functions w . x with w ~ N(0, scale^2 I).

    Parameters
    ----------
    inputs : array_like, shape (n, ...)
        Inputs or features of all examples, flattened to vectors. For a bias append a column of ones.
    targets : array_like, shape (n,) or (n, k)
        Their targets; outputs have independent weights.
    scale : float
        Prior standard deviation of a weight, positive.
    given : array_like of int, optional
        Examples that the functions are known to fit; the law is that of the others. By default nothing is known, and
        the law is the prior's, of all examples.
    noise : float
        Standard deviation of Gaussian noise on the targets of the given examples. 0: they are fit exactly.

    Returns
    -------
    GaussianHypotheses
        The law of the residuals of the remaining examples, in their order.

    Raises
    ------
    ValueError
        If shapes do not fit, a number is not finite or out of range, or no function fits the given examples exactly.

    Notes
    -----
    Exact conditioning leaves w = w_0 + scale P z, with w_0 the shortest weights that fit and P the projection onto the
    weights that do not change the given outputs; with noise sigma the directions v_i of the given inputs keep the
    standard deviation scale sigma / sqrt(sigma^2 + scale^2 s_i^2), s_i being their singular values. Singular values up
    to max(n, d) 2^-52 of the largest count as 0. With as many independent examples as weights nothing varies any more,
    and the loss is its floor.

    Examples
    --------
    >>> x, y = [[1.0, 0.0], [1.0, 1.0]], [1.0, 0.0]
    >>> linear_hypotheses(x, y, given=[0]).information([1.0]).nats.round(4).tolist()  # 1 + z, z ~ N(0, 1)
    [0.7397]
    """
    x = finite("inputs", inputs, "Leave out inputs that are not numbers.")
    if x.ndim < 2 or not x.size:
        raise ValueError(f"inputs must be of shape (n, ...), got {x.shape}. Give each example a row: x[:, None].")
    features = float(positive("scale", scale)) * x.reshape(len(x), -1)
    cut = max(features.shape) * _UNIT * float(np.linalg.norm(features, 2))
    return condition(features, targets, given, noise, cut)


def population_hypotheses(
    teacher: ArrayLike,
    *,
    scale: float = 1.0,
    inputs: ArrayLike | None = None,
    targets: ArrayLike | None = None,
    noise: float = 0.0,
    floor: float = 0.0,
) -> GaussianHypotheses:
    """Return the law of a linear function's expected loss over fresh inputs with E x x^T = I.

    The loss is |w - teacher|^2 + floor (the mean over outputs, if there are several): a scaled non-central chi-squared
    variable under the prior.

    Parameters
    ----------
    teacher : array_like, shape (d,) or (d, k)
        Weights of the best linear function.
    scale : float
        Prior standard deviation of a weight, positive.
    inputs, targets : array_like, shapes (m, d) and (m,) or (m, k), optional
        Examples that the functions are known to fit, as `given` in `linear_hypotheses`.
    noise : float
        Standard deviation of Gaussian noise on their targets. 0: they are fit exactly.
    floor : float
        Expected loss of the teacher, such as the variance of the noise on fresh targets.

    Returns
    -------
    GaussianHypotheses
        Its residuals are sqrt(d) (w - teacher).

    Raises
    ------
    ValueError
        If shapes do not fit, a number is not finite or out of range, or no function fits the given examples exactly.

    Notes
    -----
    For inputs with E x x^T = M take sqrt(d) M^(1/2) for inputs and sqrt(d) M^(1/2) teacher for targets of
    `linear_hypotheses`.

    Examples
    --------
    >>> space = population_hypotheses([1.0, 0.0], floor=0.5)
    >>> round(space.mean_loss, 12), space.floor
    (3.5, 0.5)
    """
    weights = finite("teacher", teacher)
    if weights.ndim not in {1, 2} or not weights.size:
        raise ValueError(f"teacher must be of shape (d,) or (d, k), got {weights.shape}.")
    if (inputs is None) != (targets is None):
        raise ValueError("inputs and targets must be given together, got one without the other.")
    dimension = len(weights)
    x, y = np.sqrt(dimension) * np.eye(dimension), np.sqrt(dimension) * weights
    known = 0
    if inputs is not None and targets is not None:
        seen, labels = finite("inputs", inputs), finite("targets", targets)
        known = len(seen) if seen.ndim else 0
        if seen.shape != (known, dimension) or labels.shape != (known, *weights.shape[1:]):
            raise ValueError(
                f"inputs and targets must be of shapes (m, {dimension}) and {('m', *weights.shape[1:])} beside this "
                f"teacher, got {seen.shape} and {labels.shape}. Flatten inputs to vectors."
            )
        x, y = np.concatenate([seen, x]), np.concatenate([labels, y])
    law = linear_hypotheses(x, y, scale=scale, given=np.arange(known), noise=noise)
    return replace(law, offset=float(nonnegative("floor", floor)))


def kernel_hypotheses(
    covariance: ArrayLike, targets: ArrayLike, *, given: ArrayLike | None = None, noise: float = 0.0
) -> GaussianHypotheses:
    """Return the law of the residuals of a Gaussian process with this covariance and mean 0.

    Parameters
    ----------
    covariance : array_like, shape (n, n)
        Prior covariance of the outputs on all examples, as from `genbounds.inductive_bias.gaussian.kernels` or
        `genbounds.inductive_bias.gaussian.network_kernels`.
    targets : array_like, shape (n,) or (n, k)
        Their targets, less the prior mean; outputs are independent with the same covariance.
    given : array_like of int, optional
        Examples that the functions are known to fit; the law is that of the others. By default nothing is known, and
        the law is the prior's, of all examples.
    noise : float
        Standard deviation of Gaussian noise on the targets of the given examples. 0: they are fit exactly.

    Returns
    -------
    GaussianHypotheses
        The law of the residuals of the remaining examples, in their order.

    Raises
    ------
    ValueError
        If shapes do not fit, a number is not finite, the matrix is no covariance, or no function fits the given
        examples exactly.

    Notes
    -----
    The covariance is written as F F^T by its eigenvectors, so that the process is a linear function of its features F,
    and conditioned as in `linear_hypotheses`. No multiple of the identity is added: eigenvalues up to n 2^-52 of the
    largest cannot be told from rounding of the entries, and count as 0. Where there are such, the space is that of the
    other directions, and a warning says so: smooth kernels on close inputs have tiny variances there, not none, and
    information that is infinite here is then finite but out of reach.

    Examples
    --------
    >>> k = np.array([[1.0, 0.5], [0.5, 1.0]])
    >>> space = kernel_hypotheses(k, [1.0, 0.0], given=[0])  # mean 1/2 and variance 3/4
    >>> space.mean.round(12).tolist(), round(float(space.mean_loss), 12)
    ([[0.5]], 1.0)
    """
    matrix = finite("covariance", covariance)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not matrix.size:
        raise ValueError(f"covariance must be of shape (n, n), got {matrix.shape}. Pass the matrix of all examples.")
    asymmetry = np.abs(matrix - matrix.T).max()
    if asymmetry > 1e-10 * np.abs(matrix).max():
        raise ValueError(
            f"covariance must be symmetric, got entries that differ by {asymmetry}. Average it with its T."
        )
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    cut = len(matrix) * _UNIT * float(values[-1])
    if values[0] < -100 * cut or values[-1] <= 0:
        raise ValueError(
            f"covariance must be positive semi-definite, got eigenvalues from {values[0]} to {values[-1]}. Compute the "
            "kernel in float64, and for all examples at once."
        )
    kept = values > cut
    law = condition(vectors[:, kept] * np.sqrt(values[kept]), targets, given, noise, float(np.sqrt(cut)), squared=True)
    if kept.all():
        return law
    lost = (
        f"The covariance of {len(kept)} examples has rank {kept.sum()} up to rounding: directions of variance below "
        f"{cut:.1e} count as absent. Floor, and information that is infinite, are those of the space without them."
    )
    return replace(law, warnings=(*law.warnings, lost))
