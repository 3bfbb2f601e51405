"""Attacks on bounds for a language model that was chosen by its code length."""

from collections.abc import Iterator

from genbounds.worlds.attacks.registry import WORLDS, Bound, attacks
from genbounds.worlds.attacks.targets import graded_losses, lone_predictors
from genbounds.worlds.failures import Attack
from genbounds.worlds.finite import coins, shattered_points
from genbounds.worlds.processes import process_attack
from genbounds.worlds.subsamples import subsample_attack


@attacks("subsample_risk", "code_length", "documents", "subsample", "delta")
def _attack_subsampled(bound: Bound, delta: float) -> Iterator[Attack]:
    for documents, part in ((1, 1), (1, 20), (20, 1), (20, 20), (300, 5), (300, 60)):

        def of_errors(errors: int, part: int, delta: float, documents: int = documents) -> float:
            return float(bound(errors / part, 0.0, documents, part, delta))

        for world in lone_predictors(of_errors, part, delta):
            yield subsample_attack(bound, world, documents, part, delta)
    for world in (shattered_points(4), coins([0.2, 0.3, 0.4]), graded_losses()):
        for part in (2, 6):
            for replacement in (True, False):
                yield subsample_attack(bound, world, 6, part, delta, replacement=replacement)
    yield subsample_attack(bound, shattered_points(6), 6, 100, delta)


@attacks("risk", "code_length", "tokens", "delta")
def _attack_tokens(bound: Bound, delta: float) -> Iterator[Attack]:
    yield from WORLDS["risk", "code_length", "n", "delta"](bound, delta)  # independent tokens are a process, too
    for tokens, steps in ((1, 100), (3, 60), (10, 30), (30, 20)):
        for predictors in (1, 5):
            yield process_attack(bound, tokens, steps, delta, predictors=predictors)
