"""The record of a comparison of random weights: what both samplers say, and whether they agree."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from genbounds.inductive_bias.architectures.comparison import Comparison
from genbounds.rare_events.agreement import ConditionalAgreement

__all__ = ["RandomComparison"]


@dataclass(frozen=True, eq=False)
class RandomComparison:
    """I_train, I_gen and their sum of several architectures, each by two samplers on the same draws of the data.

    A value is given only where the samplers agree in every draw; the curves' warnings say where they do not.

    Parameters
    ----------
    task : str
        The data: what they are, how many train, how many test.
    loss : str
        The loss whose levels these are.
    spaces : mapping of str to str
        For each architecture its hypothesis space, in a sentence.
    agreements : mapping of str to tuple of ConditionalAgreement
        For each architecture what the samplers say in each draw of the data, in the same order.
    level : float
        Nominal confidence of intervals over draws of the data, in (0, 1).
    """

    task: str
    loss: str
    spaces: Mapping[str, str]
    agreements: Mapping[str, tuple[ConditionalAgreement, ...]]
    level: float = 0.95

    @property
    def flag(self) -> bool:
        """Whether the samplers disagree anywhere.

        Returns
        -------
        bool
            True is the alarm.
        """
        return any(each.flag for own in self.agreements.values() for each in own)

    @property
    def train(self) -> Comparison:
        """I_train, what fitting the data takes.

        Returns
        -------
        Comparison
            Curves of one level, that of the train loss.
        """
        return self._compared("condition")

    @property
    def generalisation(self) -> Comparison:
        """I_gen, what generalising takes beyond the data.

        Returns
        -------
        Comparison
            Curves over levels of the test loss.
        """
        return self._compared("tail")

    @property
    def total(self) -> Comparison:
        """Both together, what it takes to find weights that fit and generalise.

        Returns
        -------
        Comparison
            Curves over levels of the test loss.
        """
        return self._compared("joint")

    def to_json(self) -> dict[str, Any]:
        """Return the comparison as JSON carries it.

        Returns
        -------
        dict
            Task, loss, spaces, and what the samplers say of each architecture.
        """
        agreements = {name: [each.to_json() for each in own] for name, own in self.agreements.items()}
        spaces = dict(self.spaces)
        return {
            "task": self.task,
            "loss": self.loss,
            "spaces": spaces,
            "agreements": agreements,
            "level": self.level,
        }

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "RandomComparison":
        """Read a comparison back.

        Parameters
        ----------
        content : dict
            What `to_json` returned.

        Returns
        -------
        RandomComparison
            The comparison; whether the samplers agree is found anew.
        """
        agreements = {
            name: tuple(map(ConditionalAgreement.from_json, own)) for name, own in content["agreements"].items()
        }
        return cls(**content | {"agreements": agreements})

    def _compared(self, part: Literal["condition", "tail", "joint"]) -> Comparison:
        curves = {name: tuple(getattr(each, part).combined for each in own) for name, own in self.agreements.items()}
        return Comparison(self.task, self.loss, self.spaces, curves, self.level)
