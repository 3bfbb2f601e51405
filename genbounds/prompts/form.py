"""What is fixed about the texts of the classes before any prompt is searched."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["PromptForm"]


@dataclass(frozen=True)
class PromptForm:
    """How prompts become one text for each class; fixed before the sample is seen, so that nothing is paid for it.

    Parameters
    ----------
    names : tuple of str
        What each class is called, such as the words of its label.
    template : str
        Text of a class, with ``{prompt}`` where the prompt goes and ``{name}`` where the name of the class does, if
        it does. What stands before the prompt is what the prior takes as its context.
    shared : bool
        One prompt for all classes, which then differ by their names, or one for each class.

    Raises
    ------
    ValueError
        If there are fewer than two names, two are the same, or the template cannot tell the classes apart.

    Examples
    --------
    >>> form = PromptForm(("cat", "dog"), "{prompt} {name}.", shared=True)
    >>> form.texts(["A photo of a"])
    ['A photo of a cat.', 'A photo of a dog.']
    >>> form = PromptForm(("cat", "dog"), "{name},{prompt}")
    >>> form.texts([" which meows", " which barks"]), form.contexts
    (['cat, which meows', 'dog, which barks'], ['cat,', 'dog,'])
    """

    names: tuple[str, ...]
    template: str = "{name}{prompt}"
    shared: bool = False

    def __post_init__(self) -> None:
        if len(self.names) < 2 or len(set(self.names)) < len(self.names):
            raise ValueError(f"names must be at least two, all different, got {self.names}. Name every class.")
        before = self.template.partition("{prompt}")[0]
        if self.template.count("{prompt}") != 1:
            raise ValueError(f"template must contain {{prompt}} once, got {self.template!r}. Try '{{name}}{{prompt}}'.")
        if self.shared and ("{name}" in before or "{name}" not in self.template):
            raise ValueError(
                f"template must have {{name}} after {{prompt}} for a shared prompt, got {self.template!r}. The prompt "
                "does not know which class it will stand before: try '{prompt} {name}'."
            )

    @property
    def contexts(self) -> list[str]:
        """For each prompt, the text before it, on which the prior conditions."""
        before = self.template.partition("{prompt}")[0]
        return [before] if self.shared else [before.replace("{name}", name) for name in self.names]

    @property
    def classes(self) -> list[list[int]]:
        """For each prompt, the classes whose text it is part of."""
        every = range(len(self.names))
        return [list(every)] if self.shared else [[number] for number in every]

    def text(self, prompt: str, number: int) -> str:
        """Return the text of a class.

        Parameters
        ----------
        prompt : str
            Its prompt.
        number : int
            Which class, counted from 0.

        Returns
        -------
        str
            The template, filled in.
        """
        values = {"{prompt}": prompt, "{name}": self.names[number]}
        return re.sub(r"\{(?:prompt|name)\}", lambda found: values[found.group()], self.template)

    def texts(self, prompts: Sequence[str]) -> list[str]:
        """Return the texts of all classes.

        Parameters
        ----------
        prompts : sequence of str
            One prompt if it is shared, else one for each class.

        Returns
        -------
        list of str
            One text for each class.
        """
        pairs = [(number, prompt) for prompt, members in zip(prompts, self.classes, strict=True) for number in members]
        return [self.text(prompt, number) for number, prompt in sorted(pairs)]
