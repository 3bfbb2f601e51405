"""The page: stands alone, is well-formed, escapes what it is given."""

import dataclasses
from html.parser import HTMLParser

import pytest

from genbounds.certificates import verify
from genbounds.report.curve import draw_curve, points, save_figure
from genbounds.report.html import certificate_html

VOID = {"meta", "br"}


class Page(HTMLParser):
    """Checks that elements nest, and collects attributes and text."""

    def __init__(self):
        super().__init__()
        self.open, self.attributes, self.tags, self.words = [], [], set(), []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] != ["style"]:
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def parsed(html):
    page = Page()
    page.feed(html)
    page.close()
    assert page.open == []
    return page


def test_a_page_says_everything(issue_certificate):
    certificate = issue_certificate()
    page = parsed(certificate_html(certificate, verification=verify(certificate)))
    text = page.text
    assert "Risk of the gibbs predictor ≤ 0.0356 with probability at least 0.965" in text
    assert "Verified: every value was derived again" in text
    for line in str(certificate).splitlines():
        assert " ".join(line.split()) in text
    for word in ("holdout", "posterior = prior", "41 × prior scale", "declared", certificate.digest, "genbounds 0.1.0"):
        assert word in text
    assert "Vacuous" not in text
    assert {"header", "main", "table", "blockquote"} <= page.tags


def test_nothing_is_loaded_from_elsewhere(issue_certificate, tmp_path):
    certificate = issue_certificate()
    _, svg = save_figure(draw_curve(points([certificate])), tmp_path / "curve")
    html = certificate_html(certificate, figure_svg=svg.read_text(encoding="utf-8"))
    page = parsed(html)
    assert "svg" in page.tags
    assert page.tags.isdisjoint({"script", "link", "img", "iframe", "object", "base"})
    for _, name, value in page.attributes:
        assert name != "src"
        if name in ("href", "xlink:href"):
            assert value.startswith("#")
    assert "@import" not in html
    assert html.count("<?xml") == html.count("<!DOCTYPE svg") == 0


@pytest.mark.parametrize(
    "attack", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "a & b < c $title ${x}"]
)
def test_every_text_is_escaped(issue_certificate, attack):
    certificate = issue_certificate(notes=[attack])
    comparison = dataclasses.replace(certificate.comparisons[0], what=attack, id=attack)
    estimate = dataclasses.replace(certificate.estimates[0], what=attack, id=attack)
    certificate = dataclasses.replace(
        certificate,
        model={"name": attack, attack: attack, "classes": 10},
        comparisons=(comparison,),
        estimates=(estimate,),
        versions={attack: attack},
        digest="",
    )
    page = parsed(certificate_html(certificate, verification=verify(certificate)))
    assert page.tags.isdisjoint({"script", "img"})
    assert page.text.count(" ".join(attack.split())) >= 6


def test_a_page_of_a_refused_certificate(issue_certificate):
    certificate = issue_certificate()
    limit, headline = certificate.claims
    forged = dataclasses.replace(certificate, claims=(limit, dataclasses.replace(headline, value=0.001)), digest="")
    text = parsed(certificate_html(forged, verification=verify(forged))).text
    assert "Refused by verification. What fails: risk." in text
    assert "Verified:" not in text


def test_a_page_of_an_unverified_certificate_does_not_claim_more(issue_certificate):
    text = parsed(certificate_html(issue_certificate())).text
    assert "does not say whether the certificate holds" in text
    assert "Verified:" not in text


def test_a_vacuous_page_says_so(issue_certificate):
    certificate = issue_certificate(200, errors=1900, kl=300.0, held_out=150)
    text = parsed(certificate_html(certificate, verification=verify(certificate))).text
    assert text.index("Vacuous: this proves nothing.") < text.index("What it says")
