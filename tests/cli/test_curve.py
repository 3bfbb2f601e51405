"""``genbounds curve``: several certificates become a table, a PNG and an SVG; a refused one is not drawn."""

import json

import pytest

from genbounds.cli.app import OK, REFUSED, USAGE_ERROR


@pytest.fixture
def family(issue_certificate, tmp_path):
    """A folder with five certificates over n."""
    for n in (300, 1000, 3000, 10000, 30000):
        folder = tmp_path / "runs" / f"n-{n}"
        folder.mkdir(parents=True)
        test = (round(9000 * n**-0.5), 10_000)
        issue_certificate(n, errors=n // 5, kl=n**0.5, held_out=n // 50, test=test).save(folder / "certificate.json")
    return tmp_path / "runs"


def test_a_folder_is_searched(run, family, tmp_path):
    code, out, err = run(
        "curve", family, "--out", tmp_path / "figures" / "curve", "--fit", "--prior", "--chance", "0.9"
    )
    assert (code, err) == (OK, "")
    assert (tmp_path / "figures" / "curve.png").stat().st_size > 10_000
    assert (tmp_path / "figures" / "curve.svg").read_text(encoding="utf-8").startswith("<?xml")
    for n in ("300", "1,000", "3,000", "10,000", "30,000"):
        assert f" {n} " in out
    assert "Extrapolation, not a bound: err(n) = a n^(-b) + c with" in out


def test_for_machines(run, family, tmp_path):
    code, out, err = run("curve", family, "--out", tmp_path / "c", "--json", "--fit")
    content = json.loads(out)
    assert (code, err, content["x"]) == (OK, "", "n")
    assert [point["x"] for point in content["points"]] == [300, 1000, 3000, 10000, 30000]
    assert all(0 < point["bound"] < 1 and point["test"]["level"] == 0.95 for point in content["points"])
    assert set(content["fit"]) == {"a", "b", "c"}
    assert content["files"] == [str(tmp_path / "c.png"), str(tmp_path / "c.svg")]


def test_an_interval_without_end_is_null(run, issue_certificate, tmp_path):
    files = []
    for n in (300, 1000, 3000, 10000):
        files.append(tmp_path / f"{n}.json")
        issue_certificate(n, test=(300, 1000)).save(files[-1])
    code, out, _ = run("curve", *files, "--out", tmp_path / "c", "--json", "--fit")
    assert code == OK
    assert json.loads(out)["fit"]["b"]["high"] is None


def test_positions_may_be_given(run, issue_certificate, tmp_path):
    files = []
    for errors in (300, 600, 900):
        files.append(tmp_path / f"{errors}.json")
        issue_certificate(errors=errors).save(files[-1])
    arguments = ("--x", "label noise", "--at", "0", "0.1", "0.2", "--out", tmp_path / "c", "--json")
    code, out, _ = run("curve", *files, *arguments)
    assert code == OK
    assert [point["x"] for point in json.loads(out)["points"]] == [0.0, 0.1, 0.2]


def test_a_refused_certificate_is_not_drawn(run, family, tmp_path):
    bad = family / "n-300" / "certificate.json"
    bad.write_text(bad.read_text(encoding="utf-8").replace('"seed": 7', '"seed": 8'), encoding="utf-8")
    code, out, err = run("curve", family, "--out", tmp_path / "c")
    assert (code, out) == (REFUSED, "")
    assert "n-300" in err
    assert not (tmp_path / "c.png").exists()


def test_what_cannot_be_drawn(run, family, tmp_path):
    (tmp_path / "empty").mkdir()
    for arguments, sentence in [
        ((tmp_path / "empty",), "must hold a certificate.json"),
        ((family, "--x", "posterior.kll"), "posterior.kl"),
        ((family / "n-300", "--fit"), "at least four different"),
        ((), "at least one"),
    ]:
        code, out, err = run("curve", *arguments, "--out", tmp_path / "c")
        assert (code, out) == (USAGE_ERROR, "")
        assert sentence in err
