"""Pages of the site for measures: what each is, its value on one network, and what moves it."""

import copy
import tomllib
from collections.abc import Sequence
from pathlib import Path

import torch
from generated_pages import table, toctree
from sklearn.datasets import load_digits
from torch import Tensor, nn

from genbounds.measures import Change, Measure, audit, measure_network
from genbounds.models.data import load_data

WORDS = Path(__file__).parent / "measures.toml"
EXAMPLES = 256


def networks(inputs: Tensor, targets: Tensor) -> tuple[nn.Module, nn.Module]:
    """Train the network that the pages show numbers of.

    Parameters
    ----------
    inputs, targets : Tensor
        Training examples.

    Returns
    -------
    tuple of nn.Module
        Before and after training, in evaluation mode.
    """
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 10)
        model = nn.Sequential(*layers).to(inputs.dtype)
        before = copy.deepcopy(model)
        optimiser = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        for _ in range(40):
            for batch in torch.randperm(len(targets)).split(32):
                optimiser.zero_grad()
                nn.functional.cross_entropy(model(inputs[batch]), targets[batch]).backward()
                optimiser.step()
    return before.eval(), model.eval()


def without_initial(model: nn.Module, inputs: Tensor, targets: Tensor, seed: int = 0) -> dict[str, float]:
    """Measure everything that needs no weights from before training.

    Parameters
    ----------
    model : nn.Module
        Network.
    inputs, targets : Tensor
        Examples.
    seed : int
        Seed of everything drawn.

    Returns
    -------
    dict of str to float
        Values by name.
    """
    found = measure_network(model, data=load_data((inputs, targets)), sharpness=True, seed=seed)
    return {each.name: each.value for each in found}


def measure_page(measure: Measure, about: dict[str, str], changes: Sequence[Change]) -> str:
    """Return a measure's page.

    Parameters
    ----------
    measure : Measure
        Measured on the trained network.
    about : dict of str to str
        Its formula and words.
    changes : sequence of Change
        What changes of the network did to it; none if it compares with weights from before training.

    Returns
    -------
    str
        Markdown.
    """
    number = measure.equation.isdigit()
    source = f"Equation {measure.equation} of {{cite:t}}`Jiang2020`" if number else measure.equation.capitalize()
    error = "" if measure.error is None else f", an estimate with standard error {measure.error:.2g}"
    if changes:
        moved = sum(change.moved for change in changes)
        audited = (
            f"{moved} of {len(changes)} changes move it"
            + (": it is no property of the function alone.\n\n" if moved else " beyond rounding.\n\n")
            + table(
                ("change of the network", "value", ""),
                ((each.trial, f"{each.after:.5g}", "**moves**" if each.moved else "same") for each in changes),
            )
        )
    else:
        audited = "Not audited: it compares with the weights before training, which the changes leave as they were."
    return (
        f"# {measure.name}\n\n{about['words']}\n\n$$\n{about['formula']}\n$$\n\n{source}. A measure may predict the "
        f"error and proves nothing.\n\n## On one network\n\n{measure.value:.5g}{error}, for two hidden layers of 32 "
        f"units trained on {EXAMPLES} of scikit-learn's digits, in float64.\n\n"
        f"## What moves it although the function stays\n\n{audited}\n"
    )


def measure_pages() -> dict[str, str]:
    """Train and audit a network, and return the page of each measure and the list of all.

    Returns
    -------
    dict of str to str
        Markdown by place on the site.

    Raises
    ------
    SystemExit
        If a measure has no words, or words have no measure.
    """
    words = tomllib.loads(WORDS.read_text(encoding="utf-8"))
    digits = load_digits()
    inputs = torch.tensor(digits.data[:EXAMPLES] / 16)
    targets = torch.tensor(digits.target[:EXAMPLES])
    before, after = networks(inputs, targets)
    found = measure_network(after, initial=before, data=load_data((inputs, targets)), sharpness=True)
    if other := {each.name for each in found} ^ set(words):
        raise SystemExit(
            f"docs/measures.toml and the measures of a network must agree, they differ in {sorted(other)}."
        )
    audited = audit(after, load_data((inputs, targets)), without_initial)
    pages = {
        f"measures/{each.name}.md": measure_page(
            each, words[each.name], [change for change in audited.changes if change.measure == each.name]
        )
        for each in found
    }
    pages["each_measure.md"] = (
        f"# Each measure\n\nWhat `genbounds measure --sharpness` prints of a network with its initial weights and "
        f"training examples: {len(words)} numbers that may predict and prove nothing. "
        "Each has a page with what moves it although the function stays. Spectra are by layer; "
        "[measures](measures.md) is the guide.\n\n"
        "W_i is the weight matrix of layer i of d, as it multiplies, W_i⁰ the same before training; w are all weights, "
        "P of them; γ is the margin, n the number of training examples, p the softmax outputs, l and L the "
        "cross-entropy of an example and its mean.\n\n"
        + table(("measure", "what it is"), ((f"[{name}](measures/{name}.md)", words[name]["words"]) for name in words))
        + "\n\n"
        + toctree(f"measures/{name}" for name in words)
    )
    return pages
