"""The page on which bound to take: what it names exists, and its figures are what the theorems give."""

import importlib
import math
import re
from pathlib import Path

import pytest

from genbounds.cli.app import app
from genbounds.pac_bayes import (
    clopper_pearson,
    coin_betting_kl,
    first_order,
    maurer,
    monte_carlo_binomial,
    occam_binomial,
    rivasplata,
    seeger_xi,
    tandem,
    tolstikhin_seldin,
    unexpected_bernstein,
)
from genbounds.theorems import catalogue

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "which_bound.md").read_text(encoding="utf-8")
N, DELTA, KL = 30_000, 0.035, 40.0


def test_every_theorem_named_is_in_the_catalogue():
    named = set(re.findall(r"`(pac_bayes\.\w+)", PAGE))
    assert len(named) > 25
    assert named - set(catalogue()) == set()


def test_every_theorem_about_a_risk_is_named():
    """A reader finds every bound from a situation; those that only others use, and published forms, may be left out.

    Those about a training method have a page of their own (tests/test_information_page.py).
    """
    published_forms = {"pac_bayes.catoni", "pac_bayes.subsampled_occam_hoeffding", "pac_bayes.token_level"}
    known = catalogue().items()
    risks = {name for name, theorem in known if theorem.quantity == "risk" and theorem.kind == "high probability"}
    assert risks - published_forms - set(re.findall(r"pac_bayes\.\w+", PAGE)) == set()


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(genbounds\.[\w.]+)`", PAGE))))
def test_every_function_named_exists(name):
    room, _, last = name.rpartition(".")
    try:
        assert getattr(importlib.import_module(room), last) is not None
    except AttributeError:
        importlib.import_module(name)


def test_every_command_named_exists():
    commands = set(re.findall(r"`genbounds (\w+)", PAGE))
    assert commands
    assert commands <= set(app)


def limited_seeger():
    limit = monte_carlo_binomial(6000, 300_000, 0.2 * DELTA)
    return seeger_xi(limit, KL, N, 0.8 * DELTA)


FIGURES = {
    "one network that did not see the sample": lambda: clopper_pearson(600, N, DELTA),
    "Gibbs, its empirical risk known exactly": lambda: seeger_xi(0.02, KL, N, DELTA),
    "Gibbs, 300,000 draws, a fifth of δ for them": limited_seeger,
    "Gibbs, at all n at once": lambda: coin_betting_kl(0.02, KL, N, DELTA),
    "one draw": lambda: rivasplata(0.02, KL, N, DELTA),
    "the majority vote": lambda: first_order(seeger_xi(0.02, KL, N, DELTA)),
    "the majority vote, two draws err together on 0.5 %": lambda: tandem(0.005, KL, N, DELTA),
    "one network of 1,000 bits, chosen on the sample": lambda: occam_binomial(600, 1000 * math.log(2), N, DELTA),
    "the same with 2,000 bits": lambda: occam_binomial(600, 2000 * math.log(2), N, DELTA),
    "`pac_bayes.maurer`": lambda: maurer(0.1, KL, N, DELTA),
    "`pac_bayes.tolstikhin_seldin`": lambda: tolstikhin_seldin(0.1, 0.0025, KL, N, DELTA),
    "`pac_bayes.unexpected_bernstein`, γ = 1/2 fixed before": lambda: unexpected_bernstein(
        0.1, 0.0125, KL, N, DELTA, 0.5
    ),
}


def test_every_figure_is_computed():
    assert set(re.findall(r"\| ([^|\n]+) \| 0\.\d{5} \|$", PAGE, re.MULTILINE)) == set(FIGURES)


@pytest.mark.parametrize("about", FIGURES)
def test_figures_are_rounded_up(about):
    printed = float(re.search(rf"\| {re.escape(about)} \| (0\.\d{{5}}) \|", PAGE)[1])
    value = float(FIGURES[about]())
    assert value <= printed < value + 1e-5


def test_the_price_of_a_bound_for_all_times():
    now, always = (float(bound(0.02, KL, N, DELTA)) for bound in (seeger_xi, coin_betting_kl))
    assert f"{always:.5f} in place of {now:.5f}" in PAGE


def test_links_lead_somewhere():
    links = re.findall(r"\]\((?!https?:)([^)#]+)", PAGE)
    assert [link for link in links if not (ROOT / "docs" / link).exists()] == []
