"""The house rules that a machine can check: light imports, small modules, references that exist, documented names."""

import ast
import importlib
import importlib.util
import inspect
import pkgutil
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import genbounds
from genbounds.theorems import catalogue

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "genbounds"
HEAVY = ("torch", "matplotlib", "sklearn", "scipy.stats", "sympy")


def run_python(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)


@pytest.mark.parametrize(
    "code",
    [
        "import genbounds",
        "from genbounds.cli import main; main([])",
        "from genbounds.cli import main; main(['--help'])",
        "from genbounds.cli import main; main(['verify', '--help'])",
        "from genbounds.cli import main; main(['certify', '--help'])",
        "from genbounds.cli import main; main(['theorems'])",
        "from genbounds.cli import main; main(['theorems', 'pac_bayes.maurer'])",
        "from genbounds.cli import main; main(['verify', 'no-such-file.json'])",
        "import genbounds; genbounds.verify; genbounds.pac_bayes.maurer(0.1, 3.0, 1000, 0.05)",
    ],
)
def test_starts_without_anything_heavy(code):
    report = "\nimport sys; print(); print('LOADED', *sorted(set(sys.modules)))"
    done = run_python(code + report)
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.rpartition("LOADED")[2].split())
    assert "genbounds" in loaded
    assert not loaded.intersection(HEAVY), f"{code} loads {sorted(loaded.intersection(HEAVY))}"


def test_the_public_face_is_complete():
    assert set(genbounds.__all__) == set(dir(genbounds))
    for name in genbounds.__all__:
        assert getattr(genbounds, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = genbounds.nothing


def test_the_version_is_kept_in_one_place():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project.get("version", genbounds.__version__) == genbounds.__version__


def modules():
    return sorted(PACKAGE.rglob("*.py"))


def test_modules_are_small():
    lengths = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in modules()}
    assert {name: length for name, length in lengths.items() if length > 500} == {}


def test_tests_mirror_the_package():
    """A test file stands for a module, or for a subject of its room that needs several modules."""
    rooms = {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    tested = {path.parent.name for path in (ROOT / "tests").glob("*/test_*.py")}
    assert tested <= rooms
    assert rooms <= tested


def test_every_reference_exists():
    keys = re.findall(r"^@\w+\{\s*([^,\s]+)\s*,", (ROOT / "docs" / "references.bib").read_text(encoding="utf-8"), re.M)
    assert len(keys) == len(set(keys))
    assert {theorem.reference for theorem in catalogue().values()} <= set(keys)


def test_the_page_of_theorems_says_what_the_catalogue_says():
    spec = importlib.util.spec_from_file_location("render_theorems", ROOT / "docs" / "render_theorems.py")
    render = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(render)
    assert render.PAGE.read_text(encoding="utf-8") == render.page(), "run `make docs`"


def public_objects():
    for info in pkgutil.walk_packages([str(PACKAGE)], "genbounds."):
        if info.name.endswith("__main__"):
            continue
        module = importlib.import_module(info.name)
        for name in getattr(module, "__all__", ()):
            thing = getattr(module, name)
            if getattr(thing, "__module__", None) == info.name and callable(thing):
                yield f"{info.name}.{name}", thing


def sections_missing(thing):
    """Return numpydoc sections that a function should have and has not."""
    text = inspect.getdoc(thing) or ""
    missing = [] if text else ["any docstring"]
    signature = inspect.signature(thing)
    if signature.parameters and "Parameters\n---" not in text:
        missing.append("Parameters")
    returns = signature.return_annotation
    if returns not in (None, "None", inspect.Signature.empty) and not re.search(r"(Returns|Yields)\n---", text):
        missing.append("Returns")
    return missing


def test_everything_public_is_documented_in_full():
    faults = {}
    for name, thing in public_objects():
        if inspect.isfunction(thing):
            missing = sections_missing(thing)
            if missing:
                faults[name] = missing
        elif inspect.isclass(thing) and not (inspect.getdoc(thing) or "").strip():
            faults[name] = ["any docstring"]
    assert faults == {}


def test_no_name_of_a_machine_in_any_file():
    """Absolute paths of the machine a file was written on help nobody."""
    tracked = [*modules(), *(ROOT / "tests").rglob("*.py"), *ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
    pattern = re.compile(r"(?<![\w.])/(home|root|tmp|work|opt|usr|Users)/\w")
    found = {str(path.relative_to(ROOT)) for path in tracked if pattern.search(path.read_text(encoding="utf-8"))}
    assert found == set()


def test_nothing_is_left_to_do():
    """Unfinished work is an issue, not a comment."""
    words = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
    assert [path.name for path in modules() if words.search(path.read_text(encoding="utf-8"))] == []


def test_no_assert_in_the_package():
    """Python -O drops assertions: what must hold raises instead."""
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in modules()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Assert)
    ]
    assert found == []
