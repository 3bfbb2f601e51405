"""A certificate as one page of HTML: readable on a phone, printable, nothing loaded from anywhere else."""

from collections.abc import Iterable
from html import escape
from string import Template

from genbounds.certificates import Certificate, Verification, diagnose
from genbounds.certificates.statement import about, printed, probability
from genbounds.theorems import get

__all__ = ["certificate_html"]

_PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
:root { color-scheme: light dark; --line: #8884; --soft: #8882; --good: #006c4f; --bad: #b3261e; --accent: #0072b2; }
@media (prefers-color-scheme: dark) { :root { --good: #5fd3ae; --bad: #ff8a80; --accent: #6cb8ea; } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.1rem; font-weight: 600; margin: 0; }
h2 { font-size: 1.05rem; margin: 2rem 0 .4rem; }
.value { font-size: 2.6rem; font-weight: 700; margin: .2rem 0; font-variant-numeric: tabular-nums; }
.good { color: var(--good); } .bad { color: var(--bad); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .93rem; }
th, td { text-align: left; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
td.number, th.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
.bar { display: flex; height: .8rem; min-width: 8rem; margin-top: .35rem; background: var(--soft); }
.bar span { background: var(--accent); }
blockquote { margin: 0; padding: .2rem 1rem; border-left: 4px solid var(--accent); }
blockquote p { margin: .5rem 0; }
code { font-size: .9em; overflow-wrap: anywhere; }
figure { margin: 1rem 0; background: #fff; }
figure svg { width: 100%; height: auto; display: block; }
@media print {
  body { max-width: none; font-size: 11pt; }
  h2 { break-after: avoid; }
  tr, figure { break-inside: avoid; }
}
</style>
</head>
<body>
<header>
<h1>$quantity of the $predictor predictor</h1>
<p class="value $mood">≤ $value</p>
<p>with probability at least <strong>$probability</strong>. $verdict</p>
</header>
<main>
$sections
</main>
</body>
</html>
""")


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table whose cells are HTML already; the second column holds numbers where there are three."""
    titles = list(head)
    places = range(len(titles))
    number = [' class="number"' if place == 1 and len(titles) == 3 else "" for place in places]
    heading = "".join(f"<th{number[place]}>{titles[place]}</th>" for place in places)
    body = "\n".join(
        f"<tr>{''.join(f'<td{mark}>{cell}</td>' for mark, cell in zip(number, row, strict=True))}</tr>" for row in rows
    )
    return f'<div class="scroll"><table>\n<thead><tr>{heading}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>'


def _section(title: str, body: str) -> str:
    return f"<section>\n<h2>{escape(title)}</h2>\n{body}\n</section>"


def _steps(certificate: Certificate) -> str:
    diagnosis = diagnose(certificate)
    scale = max(diagnosis.value, *diagnosis.steps.values())
    rows, start = [], 0.0
    for name, amount in diagnosis.steps.items():
        left, width = 100 * start / scale, 100 * max(amount, 0.0) / scale
        bar = f'<div class="bar"><span style="margin-left:{left:.2f}%;width:{width:.2f}%"></span></div>'
        rows.append((escape(name), f"{amount:+.5f}", bar))
        start += amount
    rows.append(("<strong>bound</strong>", printed(diagnosis.value, 4), ""))
    return _table(("part", "adds", ""), rows) + f"\n<p>{escape(diagnosis.advice)}</p>"


def _beside(certificate: Certificate) -> str:
    rows = [
        (f"<strong>{escape(item.id)}</strong>: {escape(item.what)}", printed(item.value), "a bound")
        for item in certificate.comparisons
    ]
    for estimate in certificate.estimates:
        low, high = estimate.interval
        nature = (
            f"an estimate, {estimate.level:.0%} interval [{low:.3g}, {high:.3g}], n = {estimate.n:,}: proves nothing"
        )
        rows.append((
            f"<strong>{escape(estimate.id)}</strong>: {escape(estimate.what)}",
            f"{estimate.value:.3g}",
            nature,
        ))
    return _table(("what", "value", "which is"), rows)


def _ledger(certificate: Certificate) -> str:
    rows = [
        (
            f"<code>{escape(entry.claim)}</code>",
            f"{entry.budget!r}",
            escape(", ".join(f"{union.candidates:,} × {union.over}" for union in entry.unions)) or "itself alone",
        )
        for entry in certificate.ledger.entries
    ]
    return _table(("claim", "part of δ", "shared by"), rows)


def _claims(certificate: Certificate) -> str:
    return "\n".join(
        f"<p><code>{escape(claim.id)}</code> ({escape(about(claim))}) ≤ {printed(claim.value, 5)} by "
        f"<code>{escape(claim.theorem)}</code>, {escape(get(claim.theorem).reference)}, "
        f"{escape(get(claim.theorem).locator)}:<br><code>{escape(get(claim.theorem).formula)}</code></p>"
        for claim in certificate.claims
    )


def _assumptions(certificate: Certificate) -> str:
    moods = {"checked": "good", "declared": ""}
    return _table(
        ("state", "assumption"),
        (
            (f'<span class="{moods.get(state, "bad")}">{state}</span>', escape(assumption.value))
            for assumption, state in certificate.assumptions.items()
        ),
    )


def _provenance(certificate: Certificate) -> str:
    roles = ", ".join(f"{role.count:,} {escape(name)}" for name, role in certificate.sample.roles.items())
    versions = ", ".join(f"{escape(name)} {escape(version)}" for name, version in certificate.versions.items())
    model = ", ".join(
        f"{escape(str(name))}: <code>{escape(str(value))}</code>"
        for name, value in certificate.model.items()
        if isinstance(value, str | int | float)
    )
    return (
        f"<p>Examples: {certificate.sample.examples:,} in all; {roles}.</p>\n<p>Model: {model}.</p>\n"
        f"<p>Made with {versions}.</p>\n<p>Digest: <code>{escape(certificate.digest)}</code></p>"
    )


def certificate_html(
    certificate: Certificate, *, verification: Verification | None = None, figure_svg: str | None = None
) -> str:
    """Return one page about a certificate that stands alone.

    Parameters
    ----------
    certificate : Certificate
        The certificate.
    verification : Verification, optional
        What `verify` found; the page says whether it was done.
    figure_svg : str, optional
        A figure as SVG, such as the curve, put into the page.

    Returns
    -------
    str
        HTML that loads nothing from anywhere else; every text of the certificate is escaped.
    """
    headline = certificate.basis[-1]
    vacuous = certificate.summary()["vacuous"]
    if verification is None:
        verdict = "This page does not say whether the certificate holds: <code>genbounds verify</code> does."
    elif verification.ok:
        verdict = "<span class='good'>Verified:</span> every value was derived again from its inputs."
    else:
        failing = ", ".join(dict.fromkeys(finding.where for finding in verification.refusals))
        verdict = f"<span class='bad'>Refused by verification.</span> What fails: {escape(failing)}."
    if vacuous:
        verdict = f"<span class='bad'>Vacuous: this proves nothing.</span> {verdict}"
    quoted = "\n".join(f"<p>{escape(line)}</p>" for line in str(certificate).splitlines())
    sections = [
        _section("What it says", f"<blockquote>{quoted}</blockquote>"),
        _section("Where the number comes from", _steps(certificate)),
    ]
    if certificate.comparisons or certificate.estimates:
        sections.append(_section("Beside it", _beside(certificate)))
    if figure_svg is not None:
        # An XML declaration and a document type may stand before the element in a file, not inside a page.
        sections.append(_section("Curve", f"<figure>{figure_svg[figure_svg.index('<svg') :]}</figure>"))
    sections += [
        _section("Claims", _claims(certificate)),
        _section(f"Where δ = {certificate.ledger.delta!r} went", _ledger(certificate)),
        _section("Assumptions", _assumptions(certificate)),
        _section("Provenance", _provenance(certificate)),
        _section(
            "Check it yourself",
            "<p><code>genbounds verify certificate.json</code> needs neither the model nor the data. "
            "It derives every value again in ball arithmetic and checks the ledger and the roles of the examples.</p>",
        ),
    ]
    return _PAGE.substitute(
        title=f"{escape(headline.quantity)} at most {printed(headline.value)}",
        quantity=escape(headline.quantity.capitalize()),
        predictor=escape(headline.predictor),
        mood="bad" if vacuous else "good",
        value=printed(headline.value),
        probability=probability(certificate.ledger.delta),
        verdict=verdict,
        sections="\n".join(sections),
    )
