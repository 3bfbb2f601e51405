"""Shared by the tests of the command line."""

import pytest

from genbounds.cli import main


@pytest.fixture
def run(capsys):
    """Run one command in this process; return its exit code, standard output and standard error."""

    def command(*tokens):
        code = main([str(token) for token in tokens])
        output = capsys.readouterr()
        return code, output.out, output.err

    return command


@pytest.fixture
def certificate_file(issue_certificate, tmp_path):
    """A certificate on disk that verifies."""
    path = tmp_path / "certificate.json"
    issue_certificate().save(path)
    return path
