"""A certificate as one page of HTML: readable on a phone, printable, nothing loaded from anywhere else."""

from html import escape

from genbounds.certificates import Certificate, Verification, diagnose
from genbounds.certificates.statement import about, printed, probability
from genbounds.report.page import html_figure, html_page, html_section, html_table
from genbounds.theorems import get

__all__ = ["certificate_html"]


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
    return html_table(("part", "adds", ""), rows, numbers=[1]) + f"\n<p>{escape(diagnosis.advice)}</p>"


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
    return html_table(("what", "value", "which is"), rows, numbers=[1])


def _ledger(certificate: Certificate) -> str:
    rows = [
        (
            f"<code>{escape(entry.claim)}</code>",
            f"{entry.budget!r}",
            escape(", ".join(f"{union.candidates:,} × {union.over}" for union in entry.unions)) or "itself alone",
        )
        for entry in certificate.ledger.entries
    ]
    return html_table(("claim", "part of δ", "shared by"), rows, numbers=[1])


def _claims(certificate: Certificate) -> str:
    return "\n".join(
        f"<p><code>{escape(claim.id)}</code> ({escape(about(claim))}) ≤ {printed(claim.value, 5)} by "
        f"<code>{escape(claim.theorem)}</code>, {escape(get(claim.theorem).reference)}, "
        f"{escape(get(claim.theorem).locator)}:<br><code>{escape(get(claim.theorem).formula)}</code></p>"
        for claim in certificate.claims
    )


def _assumptions(certificate: Certificate) -> str:
    moods = {"checked": "good", "declared": ""}
    return html_table(
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
        html_section("What it says", f"<blockquote>{quoted}</blockquote>"),
        html_section("Where the number comes from", _steps(certificate)),
    ]
    if certificate.comparisons or certificate.estimates:
        sections.append(html_section("Beside it", _beside(certificate)))
    if figure_svg is not None:
        sections.append(html_section("Curve", html_figure(figure_svg)))
    sections += [
        html_section("Claims", _claims(certificate)),
        html_section(f"Where δ = {certificate.ledger.delta!r} went", _ledger(certificate)),
        html_section("Assumptions", _assumptions(certificate)),
        html_section("Provenance", _provenance(certificate)),
        html_section(
            "Check it yourself",
            "<p><code>genbounds verify certificate.json</code> needs neither the model nor the data. "
            "It derives every value again in ball arithmetic and checks the ledger and the roles of the examples.</p>",
        ),
    ]
    value, mood = printed(headline.value), "bad" if vacuous else "good"
    header = (
        f"<h1>{escape(headline.quantity.capitalize())} of the {escape(headline.predictor)} predictor</h1>\n"
        f'<p class="value {mood}">≤ {value}</p>\n'
        f"<p>with probability at least <strong>{probability(certificate.ledger.delta)}</strong>. {verdict}</p>"
    )
    return html_page(f"{headline.quantity} at most {value}", header, sections)
