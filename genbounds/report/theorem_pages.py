"""Theorems as a reader meets them: a table of all, a page of one, Markdown for the documentation, plain data."""

import re
from collections.abc import Iterable
from inspect import getdoc
from math import isfinite
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from genbounds.theorems import KINDS, PREDICTORS, Theorem

__all__ = ["theorem_data", "theorem_markdown", "theorem_page", "theorem_table"]


def theorem_table(theorems: Iterable[Theorem]) -> Table:
    """Return a table with one line for each theorem.

    Parameters
    ----------
    theorems : iterable of Theorem
        Theorems to list.

    Returns
    -------
    rich Table
        Name, what is bounded for which predictor, and the reference.
    """
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("theorem", style="bold", no_wrap=True)
    table.add_column("what it says")
    table.add_column("covers", no_wrap=True)
    table.add_column("reference", no_wrap=True)
    for theorem in theorems:
        table.add_row(*map(Text, (theorem.name, theorem.summary, theorem.predictor, theorem.reference)))
    return table


def _conditions(theorem: Theorem) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    for assumption in theorem.assumes:
        table.add_row(Text(assumption.name, style="bold"), Text(assumption.value))
    for parameter in theorem.parameters:
        meaning = f"{parameter.meaning} In ({parameter.low:g}, {parameter.high:g}); {parameter.rule}."
        table.add_row(Text(parameter.name, style="bold"), Text(meaning))
    return table


def _holds(theorem: Theorem) -> str:
    average = f" over {theorem.averages_over}" if theorem.averages_over else ""
    return f"{KINDS[theorem.kind]}{average}"


def _facts(theorem: Theorem) -> dict[str, str]:
    facts = {
        "bounds": theorem.quantity,
        "covers": f"{theorem.predictor}: {PREDICTORS[theorem.predictor]}",
        "holds": _holds(theorem),
    }
    if theorem.ghost_losses:
        facts["uses"] = "losses on examples that were not trained on"
    if theorem.restates:
        facts["restates"] = theorem.restates
    if theorem.uniform_over:
        facts["holds at once for all"] = theorem.uniform_over
    return facts | {"reference": f"{theorem.reference}, {theorem.locator}"}


def theorem_page(theorem: Theorem) -> RenderableType:
    """Return one theorem's page: statement, what it covers, conditions, reference, how to call it.

    Parameters
    ----------
    theorem : Theorem
        The theorem.

    Returns
    -------
    rich renderable
        The page.
    """
    facts = Table.grid(padding=(0, 2, 0, 0))
    for name, value in _facts(theorem).items():
        facts.add_row(Text(name, style="bold"), Text(value))
    package = theorem.module.rpartition(".")[0] or theorem.module
    call = f"{package}.{theorem.function.__name__}({', '.join(theorem.arguments)})"
    return Group(
        Text(theorem.name, style="bold underline"),
        Text(theorem.summary),
        Text(),
        Padding(Text(theorem.formula, style="bold cyan"), (0, 4)),
        Text(),
        facts,
        Text("\nConditions", style="bold underline"),
        _conditions(theorem),
        Text("\nIn Python", style="bold underline"),
        Text(call),
        Text(f"\n{_docstring_body(theorem)}"),
    )


def _docstring_body(theorem: Theorem) -> str:
    """Return the docstring after its first line, prose as one line a paragraph, so that any terminal can wrap it."""
    _, _, body = (getdoc(theorem.function) or "").partition("\n")
    blocks = body.strip("\n").split("\n\n")
    return "\n\n".join(
        block if re.search(r"^( |-|>)", block, re.MULTILINE) else block.replace("\n", " ") for block in blocks
    )


def _finite(end: float) -> float | None:
    return end if isfinite(end) else None


def theorem_data(theorem: Theorem) -> dict[str, Any]:
    """Return one theorem as plain data.

    Parameters
    ----------
    theorem : Theorem
        The theorem.

    Returns
    -------
    dict
        What JSON can carry.
    """
    return {
        "name": theorem.name,
        "summary": theorem.summary,
        "formula": theorem.formula,
        "statement": theorem.statement,
        "quantity": theorem.quantity,
        "predictor": theorem.predictor,
        "kind": theorem.kind,
        "averages_over": theorem.averages_over,
        "ghost_losses": theorem.ghost_losses,
        "restates": theorem.restates,
        "uniform_over": theorem.uniform_over,
        "arguments": list(theorem.arguments),
        "assumes": {assumption.name: assumption.value for assumption in theorem.assumes},
        "parameters": [
            # JSON has no infinity: an end that is open is null
            {"name": item.name, "chosen": item.kind} | {"low": _finite(item.low), "high": _finite(item.high)}
            for item in theorem.parameters
        ],
        "reference": theorem.reference,
        "locator": theorem.locator,
    }


def theorem_markdown(theorem: Theorem, citation: str) -> str:
    """Return one theorem's section of the documentation.

    Parameters
    ----------
    theorem : Theorem
        The theorem.
    citation : str
        The work that its reference key stands for, in words.

    Returns
    -------
    str
        Markdown with the statement in LaTeX.
    """
    conditions = "\n".join(f"- `{assumption.name}`: {assumption.value}" for assumption in theorem.assumes)
    own = "".join(f"\n- `{item.name}` ({item.kind}): {item.meaning}" for item in theorem.parameters)
    uniform = f", at once for all {theorem.uniform_over}" if theorem.uniform_over else ""
    ghost = " Losses on examples that were not trained on enter." if theorem.ghost_losses else ""
    restates = f" Not a certificate: {theorem.restates}" if theorem.restates else ""
    return (
        f"## {theorem.name}\n\n{theorem.summary}\n\n$$\n{theorem.statement}\n$$\n\n"
        f"Bounds the {theorem.quantity}; covers *{theorem.predictor}* ({PREDICTORS[theorem.predictor]}); holds "
        f"{_holds(theorem)}{uniform}.{ghost}{restates}\n\n{conditions}{own}\n\n"
        f"Reference: {citation}, {theorem.locator}.\n"
    )
