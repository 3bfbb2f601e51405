"""The frame: greeting, help, exit codes, one sentence where something is wrong."""

import inspect
import json
import subprocess
import sys
from pathlib import Path

import pytest

import genbounds
from genbounds.cli.app import EXIT_CODES, INTERNAL_ERROR, INTERRUPTED, OK, REFUSED, USAGE_ERROR, app

COMMANDS = ("demo", "certify", "verify", "curve", "theorems")


def test_no_argument_greets_and_shows_three_commands(run):
    code, out, err = run()
    assert (code, err) == (OK, "")
    assert genbounds.__version__ in out
    assert [command for command in COMMANDS if f"  genbounds {command}" in out] == ["demo", "verify", "theorems"]


def test_help_lists_the_commands_and_the_exit_codes(run):
    code, out, _ = run("--help")
    assert code == OK
    for command in COMMANDS:
        assert f" {command} " in out
    for number in (OK, INTERNAL_ERROR, USAGE_ERROR, REFUSED, INTERRUPTED):
        assert f"{number}: " in out
        assert f"- {number}: " in EXIT_CODES


@pytest.mark.parametrize("command", [name for name in app if not name.startswith("-")])
def test_every_command_has_help(run, command):
    """It begins with all that the docstring says before the parameters; its first sentence is in the list."""
    code, out, _ = run(command, "--help")
    assert code == OK
    assert f"Usage: genbounds {command}" in out
    assert "--debug" in out
    said = inspect.getdoc(app[command].default_command).partition("\n\nParameters\n")[0].replace("`", "")
    assert " ".join(said.split()) in " ".join(out.split())
    _, listed, _ = run("--help")
    assert " ".join(said.partition("\n\n")[0].split()) in " ".join(listed.replace("│", "").split())


def test_version(run):
    assert run("--version") == (OK, f"{genbounds.__version__}\n", "")


@pytest.mark.parametrize(
    ("tokens", "sentence"),
    [
        (("verfy",), 'Did you mean "verify"?'),
        (("verify",), "requires an argument"),
        (("theorems", "--nothing"), "Unknown option"),
        (("certify", "model", "data", "--prior", "best"), "Choose from"),
        (("certify", "model", "data", "--delta", "much"), "float"),
    ],
)
def test_a_wrong_option_is_a_usage_error(run, tokens, sentence):
    code, out, err = run(*tokens)
    assert (code, out) == (USAGE_ERROR, "")
    assert sentence in err


def test_a_wrong_value_is_one_sentence_without_a_traceback(run):
    code, out, err = run("theorems", "pac_bayes.mauer")
    assert (code, out) == (USAGE_ERROR, "")
    assert err == (
        "genbounds: name must be one theorem of the catalogue, got 'pac_bayes.mauer'. Did you mean pac_bayes.maurer?\n"
    ) or err.startswith(
        "genbounds: name must be one theorem of the catalogue, got 'pac_bayes.mauer'. Did you mean pac_"
    )


def test_debug_shows_the_traceback(run):
    code, _, err = run("--debug", "theorems", "pac_bayes.mauer")
    assert code == USAGE_ERROR
    assert "Traceback" in err
    assert "ValueError" in err


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (
            FileNotFoundError(2, "No such file or directory", "net.pt"),
            USAGE_ERROR,
            "net.pt: No such file or directory.",
        ),
        (
            ImportError("This needs scikit-learn: pip install 'genbounds[digits]'."),
            USAGE_ERROR,
            "This needs scikit-learn",
        ),
        (ZeroDivisionError("division by zero"), INTERNAL_ERROR, "ZeroDivisionError: division by zero"),
        (KeyboardInterrupt(), INTERRUPTED, "Interrupted."),
    ],
)
def test_errors_become_exit_codes(run, monkeypatch, error, code, sentence):
    def fail(name):
        raise error

    monkeypatch.setattr("genbounds.theorems.get", fail)
    got, out, err = run("theorems", "maurer")
    assert (got, out) == (code, "")
    assert sentence in err
    assert "Traceback" not in err
    assert ("please report" in err) == (code == INTERNAL_ERROR)


def started(*tokens, **options):
    return subprocess.run(
        [sys.executable, "-m", "genbounds", *tokens],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
        **options,
    )


def test_as_a_process(certificate_file):
    done = started("verify", str(certificate_file), "--json")
    assert done.returncode == OK, done.stderr
    assert json.loads(done.stdout)["ok"] is True
    assert done.stderr == ""


def test_a_reader_that_leaves_early_is_no_error():
    code = (
        "import subprocess, sys; p = subprocess.Popen([sys.executable, '-m', 'genbounds', 'theorems'], "
        "stdout=subprocess.PIPE, stderr=subprocess.PIPE); p.stdout.close(); error = p.stderr.read(); "
        "sys.exit(p.wait() or len(error))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, cwd=Path(__file__).parents[2])
    assert done.returncode == OK
