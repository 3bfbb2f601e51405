"""Theorem pages: complete, and the citations in words are those of the bibliography."""

import importlib.util
import io
import re
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from genbounds.report.theorem_pages import theorem_data, theorem_markdown, theorem_page, theorem_table
from genbounds.theorems import catalogue, get

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def render():
    spec = importlib.util.spec_from_file_location("render_theorems", DOCS / "render_theorems.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def printed(renderable, width=120):
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(renderable)
    return console.file.getvalue()


def test_square_brackets_are_no_markup():
    formula = get("maurer").formula
    assert "[KL" in formula
    assert formula in " ".join(printed(theorem_page(get("maurer"))).split())


def test_prose_is_wrapped_anew_and_code_is_not():
    narrow = printed(theorem_page(get("maurer")), width=70)
    assert max(map(len, narrow.splitlines())) <= 70
    assert re.search(r"^>>> ", narrow, re.MULTILINE)
    assert re.search(r"^Parameters\n-+$", narrow, re.MULTILINE)


def test_a_table_of_some():
    text = printed(theorem_table([get("catoni"), get("maurer")]))
    assert text.index("pac_bayes.catoni") < text.index("pac_bayes.maurer")
    assert "seeger" not in text


def test_markdown_has_the_statement_and_every_condition():
    theorem = get("catoni")
    section = theorem_markdown(theorem, "Somebody (2007), *A Title*")
    assert section.startswith("## pac_bayes.catoni\n")
    assert f"$$\n{theorem.statement}\n$$" in section
    assert all(f"- `{item.name}`: {item.value}" in section for item in theorem.assumes)
    assert "- `C` (fixed): " in section
    assert f"Reference: Somebody (2007), *A Title*, {theorem.locator}." in section


def test_a_bound_on_average_says_so_on_every_page():
    theorem = replace(
        get("catoni"), kind="expectation", averages_over="the samples", ghost_losses=True, restates="Always, it does."
    )
    section = theorem_markdown(theorem, "Somebody")
    sentence = "holds on average over the samples, at once for all posteriors. Losses on examples that were not trained"
    assert sentence in section
    assert "Not a certificate: Always, it does." in section
    text = " ".join(printed(theorem_page(theorem)).split())
    assert "on average over the samples" in text
    assert "uses losses on examples that were not trained on" in text
    assert "restates Always, it does." in text


def test_plain_data_names_every_field():
    data = theorem_data(get("thiemann"))
    assert data["predictor"] == "gibbs"
    assert data["uniform_over"]
    assert data["parameters"] == [{"name": "lam", "chosen": "free", "low": 0.0, "high": 2.0}]


def test_citations_are_read_from_bibtex(render):
    works = render.citations(
        "@article{Key2001,\n  author = {Doe, Jane and {van} Roe, Rick},\n  title = {{PAC}-{Bayes},\n again},\n"
        '  year = "2001",\n}\n\n@book{Other1999,\n  author={Poe, Ann},\n  title={Title},\n  year={1999}\n}\n'
    )
    assert works == {
        "Key2001": "Jane Doe, Rick van Roe (2001), *PAC-Bayes, again*",
        "Other1999": "Ann Poe (1999), *Title*",
    }


def test_every_theorem_gets_a_section(render):
    page = render.page()
    assert re.findall(r"^## (\S+)$", page, re.MULTILINE) == list(catalogue())
    for theorem in catalogue().values():
        assert f"](#{theorem.name.replace('.', '')})" in page
