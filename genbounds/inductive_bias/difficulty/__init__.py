"""Difficulty of a task by formula: how much information generalising takes, from a few numbers of the data set."""

from genbounds.lazy import lazy

_HOME: dict[str, str] = {
    "MeasuredDifficulty": "data",
    "Neighbours": "neighbours",
    "TaskDifficulty": "formula",
    "UpperTail": "extremes",
    "class_separation": "separation",
    "classification_difficulty": "tasks",
    "control_difficulty": "tasks",
    "extrapolated_separation": "separation",
    "few_shot_difficulty": "tasks",
    "largest_norm": "separation",
    "maximum_likelihood_dimension": "dimension",
    "mean_local_dimension": "dimension",
    "moment_tail": "extremes",
    "nearest_neighbours": "neighbours",
    "sphere_functions": "formula",
    "task_difficulty": "data",
    "torus_functions": "formula",
    "two_nearest_neighbours": "dimension",
}

__all__ = sorted(_HOME)
__getattr__, __dir__ = lazy(__name__, _HOME)
