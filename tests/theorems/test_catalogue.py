import ast
import inspect
import re
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from genbounds import theorems
from genbounds.theorems import Assumption, catalogue, get, theorem
from genbounds.theorems.theorem import REGISTERED

NAMES = [
    "catoni",
    "clopper_pearson",
    "maurer",
    "mcallester",
    "monte_carlo_betting",
    "monte_carlo_binomial",
    "monte_carlo_kl",
    "occam_binomial",
    "occam_kl",
    "quadratic",
    "seeger_xi",
    "test_set_kl",
    "thiemann",
    "tolstikhin",
]
ROOT = Path(__file__).parents[2]


def test_the_catalogue_is_sorted_and_complete():
    names = list(catalogue())
    assert names == sorted(names)
    assert {f"pac_bayes.{name}" for name in NAMES} <= set(names)
    for name, record in catalogue().items():
        assert record.name == name


def test_a_copy_is_handed_out():
    catalogue().clear()
    assert catalogue()


def test_get_by_full_and_by_short_name():
    assert get("pac_bayes.maurer") is get("maurer")


@pytest.mark.parametrize(("name", "hint"), [("mauer", "maurer"), ("qqqq", "lists them all")])
def test_an_unknown_name_gets_a_hint(name, hint):
    with pytest.raises(ValueError, match=f"name must be one theorem of the catalogue, got '{name}'.*{hint}"):
        get(name)


def test_other_packages_announce_theorems_by_entry_point(monkeypatch):
    module = sys.modules["genbounds.theorems.catalogue"]
    announced = EntryPoint("announced", "json:dumps", module.ENTRY_POINTS)
    monkeypatch.setattr(module, "entry_points", lambda group: [announced] if group == module.ENTRY_POINTS else [])
    loaded = []
    monkeypatch.setattr(EntryPoint, "load", lambda self: loaded.append(self.value))
    module._load_rooms.cache_clear()
    catalogue()
    assert loaded == ["json:dumps"]
    module._load_rooms.cache_clear()


def test_two_theorems_of_one_short_name_need_the_full_one():
    def maurer(risk):
        """Bound nothing."""
        return risk

    maurer.__module__ = "elsewhere"
    try:
        theorem(
            statement="R",
            formula="R",
            predictor="gibbs",
            assumes=(Assumption.IID,),
            reference="Maurer2004",
            locator="nowhere",
        )(maurer)
        with pytest.raises(ValueError, match=r"elsewhere\.maurer or pac_bayes\.maurer"):
            get("maurer")
    finally:
        del REGISTERED["elsewhere.maurer"]


@pytest.mark.parametrize("record", catalogue().values(), ids=lambda record: record.name)
def test_every_theorem_is_documented_to_the_standard(record):
    text = inspect.getdoc(record.function)
    sections = ["Parameters", "Returns", "Raises", "Notes", "Examples"]
    places = [re.search(rf"^{section}\n-+$", text, re.MULTILINE).start() for section in sections]
    assert places == sorted(places)
    for argument in record.arguments:
        assert re.search(rf"^(\w+, )*{argument}(, \w+)* : ", text, re.MULTILINE), argument
    assert ">>>" in text
    prose = " ".join(text.split())
    if record.kind == "high probability":
        assert "with probability at least 1 - delta" in prose
        assert "ot covered" in text or "ifference" in text
    else:
        assert re.search(r"Proof|Not proved|see the module|The proof", prose), "say why it holds"


@pytest.mark.parametrize("record", catalogue().values(), ids=lambda record: record.name)
def test_every_theorem_is_a_short_function(record):
    definition = ast.parse(inspect.getsource(inspect.unwrap(record.function))).body[0]
    assert definition.end_lineno - definition.body[1].lineno < 40


def test_assumptions_follow_from_what_a_theorem_takes():
    for record in catalogue().values():
        if "errors" in record.arguments:
            assert Assumption.ZERO_ONE_LOSS in record.assumes, record.name
        if "kl" in record.arguments:
            assert Assumption.PRIOR_INDEPENDENT_OF_SAMPLE in record.assumes, record.name
        if "code_length" in record.arguments:
            assert Assumption.PREFIX_FREE_CODE in record.assumes, record.name
        if "draws" in record.arguments or "values" in record.arguments:
            assert Assumption.DRAWS_FIXED_BEFORE_LOOKING in record.assumes, record.name
        fixed = (
            any(isinstance(parameter, theorems.Fixed) for parameter in record.parameters) or "mu" in record.arguments
        )
        assert (Assumption.PARAMETER_FIXED_BEFORE_SAMPLE in record.assumes) == fixed, record.name


def cited_works(text):
    """Yield bibliography keys of works named in prose: "A 2001", "A and B (2001)" (both names), "A et al. (2001)"."""
    for first, second, year in re.findall(r"([A-Z][\w-]+)(?: et al\.| and ([A-Z][\w-]+))? \(?((?:19|20)\d\d)\b", text):
        yield f"{first}{second}{year}".replace("-", "")


def test_every_work_that_is_named_exists():
    text = (ROOT / "docs" / "references.bib").read_text(encoding="utf-8")
    keys = re.findall(r"^@\w+\{(\w+),", text, re.MULTILINE)
    assert keys == sorted(keys)
    for record in catalogue().values():
        in_prose = cited_works(" ".join(inspect.getdoc(record.function).split()))
        cited = {record.reference, *in_prose, *re.findall(r"[A-Z][A-Za-z]+(?:19|20)\d\d", record.locator)}
        assert cited <= set(keys), record.name


def test_what_a_theorem_is_can_be_imported_without_scipy_or_torch():
    code = "import sys, genbounds.theorems; print(*{'scipy', 'torch', 'matplotlib', 'sklearn'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == ""


def test_the_catalogue_loads_no_torch():
    code = "import sys; from genbounds.theorems import catalogue; catalogue(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "False"
