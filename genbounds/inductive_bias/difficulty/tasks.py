"""Difficulty of three kinds of tasks: which ingredients of the formula they stand for [Boopathy2023]."""

import math

import numpy as np

from genbounds.inductive_bias.difficulty.formula import TaskDifficulty, scientific, sphere_functions
from genbounds.numerics import count, positive

__all__ = ["classification_difficulty", "control_difficulty", "few_shot_difficulty"]


def classification_difficulty(
    *,
    dimension: float,
    separation: float,
    radius: float,
    examples: float,
    classes: int,
    eps: float,
    outputs: float | None = None,
    output_bound: float = 1.0,
    loss_lipschitz: float = 1.0,
    lipschitz: float | None = None,
) -> TaskDifficulty:
    """Return the difficulty of telling classes apart.

    Inputs are on a sphere, with the class as a discrete feature beside: d = classes. One output is left out, as the
    others say it: D = classes - 1.

    Parameters
    ----------
    dimension : float
        Intrinsic dimension m of the inputs.
    separation : float
        Smallest distance delta between inputs of different classes.
    radius : float
        Largest norm R of an input.
    examples : float
        n.
    classes : int
        At least 2.
    eps : float
        Error rate that is aimed at.
    outputs : float, optional
        D; the authors also print the formula with D = classes.
    output_bound, loss_lipschitz, lipschitz : float
        As in `TaskDifficulty`.

    Returns
    -------
    TaskDifficulty
        The record.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Examples
    --------
    CIFAR-10 with the numbers of the authors' script:

    >>> task = classification_difficulty(
    ...     dimension=27, separation=2.7506, radius=54.9157, examples=50_000, classes=10, eps=0.01
    ... )
    >>> f"{task.bits:.2e} bits"
    '3.44e+32 bits'
    """
    number = float(count("classes", classes, 2, "One class leaves nothing to tell apart."))
    return TaskDifficulty(
        manifold="sphere",
        dimension=dimension,
        separation=separation,
        radius=radius,
        examples=examples,
        outputs=number - 1 if outputs is None else outputs,
        combinations=number,
        eps=eps,
        output_bound=output_bound,
        loss_lipschitz=loss_lipschitz,
        lipschitz=lipschitz,
    )


def few_shot_difficulty(
    *,
    dimension_within: float,
    dimension_across: float,
    separation: float,
    radius: float,
    episodes: float,
    ways: int = 20,
    eps: float,
) -> TaskDifficulty:
    """Return the difficulty of learning to learn: a map from one labelled image of each class to a classifier.

    The input is a set of `ways` images, on a sphere of radius ``R sqrt(ways)`` and of dimension ``m_across + (ways - 1)
    m_within``: the first image can be any, the others belong to the same family. The output is the classifier that they
    define, by its D = 2 ways (ways - 1) E(m_within) coefficients, and at most ``sqrt(ways (ways - 1))`` in size.

    Parameters
    ----------
    dimension_within : float
        Intrinsic dimension of the images of one family (an alphabet).
    dimension_across : float
        That of all images.
    separation : float
        Smallest distance delta between images of different classes.
    radius : float
        Largest norm R of an image.
    episodes : float
        Sets of images that are there to learn from.
    ways : int
        Classes to tell apart, at least 2; the authors have 20.
    eps : float
        Error rate that is aimed at.

    Returns
    -------
    TaskDifficulty
        The record.

    Raises
    ------
    ValueError
        If an argument is out of range.
    OverflowError
        If a classifier has more coefficients than float64 can say.

    Examples
    --------
    Omniglot with the numbers of the authors' script:

    >>> task = few_shot_difficulty(
    ...     dimension_within=22, dimension_across=29, separation=5.4772, radius=49.4065, episodes=1e40, eps=0.01
    ... )
    >>> 1e140 < task.bits < 1e160
    True
    """
    number = float(count("ways", ways, 2, "One class leaves nothing to tell apart."))
    within = float(positive("dimension_within", dimension_within))
    cutoff = 2 * math.pi * float(positive("radius", radius)) / float(positive("separation", separation))
    ln_classifier = math.log(2 * number * (number - 1)) + sphere_functions(within, cutoff)[1]
    if ln_classifier >= math.log(np.finfo(np.float64).max):
        raise OverflowError(
            f"the coefficients of a classifier must be fewer than 1.8e308, got {scientific(ln_classifier)}. Take a "
            "lower dimension_within or a larger separation."
        )
    return TaskDifficulty(
        manifold="sphere",
        dimension=float(positive("dimension_across", dimension_across)) + (number - 1) * within,
        separation=separation,
        radius=radius * math.sqrt(number),
        examples=episodes,
        outputs=math.exp(ln_classifier),
        combinations=1,
        eps=eps,
        output_bound=math.sqrt(number * (number - 1)),
    )


def control_difficulty(
    *, observations: float, actions: float, examples: float = 1e6, resolution: float = 1e-3, eps: float = 1e-3
) -> TaskDifficulty:
    """Return the difficulty of learning a policy: a map from observations to actions.

    Each observed number is an angle, on a circle of radius 1: observations are on a torus. The last T observations of
    a system of two coordinates (a pole's angle and its speed) are 2 T of them.

    Parameters
    ----------
    observations : float
        Numbers that the policy sees, m.
    actions : float
        Numbers that it chooses, D, each at most 1 in size.
    examples : float
        Time steps that are there to learn from.
    resolution : float
        Difference delta of observations that may ask for another action, in radians.
    eps : float
        Distance from the best action that is aimed at.

    Returns
    -------
    TaskDifficulty
        The record.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Examples
    --------
    A pole that is balanced from one observation, 10,000 of them being known:

    >>> f"{control_difficulty(observations=2, actions=1, examples=1e4).bits:.3e} bits"
    '4.415e+09 bits'
    """
    return TaskDifficulty(
        manifold="torus",
        dimension=observations,
        separation=resolution,
        radius=1.0,
        examples=examples,
        outputs=actions,
        combinations=1,
        eps=eps,
    )
