"""A certificate, its verification and a curve as tables for a terminal."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from genbounds.certificates import Certificate, Verification, diagnose
from genbounds.certificates.statement import about, chance, printed, probability
from genbounds.theorems import PREDICTORS

if TYPE_CHECKING:
    from genbounds.report.curve import Point

__all__ = ["certificate_text", "curve_table", "verdict_text", "verification_text"]

_BAR = 30
_STATE_STYLES = {"checked": "green", "declared": "yellow", "violated": "bold red", "unknown": "red"}


def _table(title: str, *columns: tuple[str, str]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for name, justify in columns:
        table.add_column(name, justify=justify, no_wrap=justify == "right", overflow="fold")  # type: ignore[arg-type]
    return table


def _headline(certificate: Certificate) -> Panel:
    headline = certificate.basis[-1]
    vacuous = certificate.summary()["vacuous"]
    text = Text()
    text.append(f"{headline.quantity} ≤ {printed(headline.value)}", style="bold red" if vacuous else "bold green")
    text.append(f"   with probability at least {probability(certificate.ledger.delta)} ({headline.loss} loss)\n")
    if vacuous:
        guess = chance(certificate)
        what = "1" if guess is None or headline.value >= 1 else f"{guess:.3g}, the risk of guessing"
        text.append(f"Vacuous: not below {what}. It proves nothing.\n", style="red")
    text.append(f"Predictor covered, {headline.predictor}: {PREDICTORS[headline.predictor]}.")
    return Panel(text, title="certificate", title_align="left", expand=False)


def _steps(certificate: Certificate) -> Group:
    diagnosis = diagnose(certificate)
    table = _table("Where the number comes from", ("part", "left"), ("adds", "right"), ("", "left"))
    scale = max(diagnosis.value, *diagnosis.steps.values())
    start = 0.0
    for name, amount in diagnosis.steps.items():
        left, right = (round(_BAR * at / scale) for at in (start, start + amount))
        table.add_row(name, f"{amount:.5f}", " " * left + "█" * max(right - left, 0))
        start += amount
    table.add_row(Text("bound", style="bold"), Text(printed(diagnosis.value, 4), style="bold"))
    return Group(table, Text(diagnosis.advice))


def _beside(certificate: Certificate) -> Table:
    table = _table("Beside it", ("what", "left"), ("value", "right"), ("proves?", "left"), ("", "left"))
    for comparison in certificate.comparisons:
        ratio = f"certificate / this = {certificate.value / comparison.value:.3f}" if comparison.value else ""
        table.add_row(Text(f"{comparison.id}: {comparison.what}"), printed(comparison.value), "bound", ratio)
    for estimate in certificate.estimates:
        low, high = estimate.interval
        interval = f"{estimate.level:.0%} interval [{low:.3g}, {high:.3g}], n = {estimate.n:,}"
        table.add_row(Text(f"{estimate.id}: {estimate.what}"), f"{estimate.value:.3g}", "estimate", Text(interval))
    return table


def _ledger(certificate: Certificate) -> Table:
    delta = certificate.ledger.delta
    table = _table(f"Where δ = {delta!r} went", ("claim", "left"), ("budget", "right"), ("shared by", "left"))
    for entry in certificate.ledger.entries:
        unions = ", ".join(f"{union.candidates:,} × {union.over}" for union in entry.unions) or "itself alone"
        table.add_row(Text(entry.claim), f"{entry.budget!r}", Text(unions))
    return table


def _assumptions(certificate: Certificate) -> Table:
    table = _table("Assumptions", ("state", "left"), ("assumption", "left"))
    for assumption, state in certificate.assumptions.items():
        table.add_row(Text(state, style=_STATE_STYLES[state]), Text(assumption.value))
    return table


def _claims(certificate: Certificate) -> Table:
    table = _table("Claims", ("claim", "left"), ("value", "right"), ("theorem", "left"), ("about", "left"))
    for claim in certificate.claims:
        table.add_row(Text(claim.id), printed(claim.value, 5), Text(claim.theorem), Text(about(claim)))
    return table


def _code(code: Mapping[str, Any]) -> Table:
    unit = "nats" if "nats" in code else "bits"
    table = _table(f"Where {code[unit]:,} {unit} went", ("part", "left"), (unit, "right"))
    for part, length in code["parts"].items():
        table.add_row(Text(part), f"{length:,}")
    return table


def certificate_text(certificate: Certificate) -> RenderableType:
    """Return a certificate as tables.

    Parameters
    ----------
    certificate : Certificate
        The certificate; whether it holds is for `verify` to say.

    Returns
    -------
    rich renderable
        Headline, parts of the number, comparisons and estimates, claims, ledger, assumptions, notes.
    """
    parts: list[RenderableType] = [_headline(certificate), _steps(certificate)]
    if certificate.comparisons or certificate.estimates:
        parts.append(_beside(certificate))
    if certificate.code is not None:
        parts.append(_code(certificate.code))
    parts += [_claims(certificate), _ledger(certificate), _assumptions(certificate)]
    parts += [Text(f"Note: {note}") for note in certificate.notes]
    return Group(*(Group(part, Text()) for part in parts))


def verdict_text(verification: Verification) -> Text:
    """Return the verdict in one line.

    Parameters
    ----------
    verification : Verification
        What `verify` returned.

    Returns
    -------
    rich Text
        That all holds, or what does not.
    """
    if verification.ok:
        return Text(
            f"The certificate holds: {len(verification.findings)} of its parts were checked.", style="bold green"
        )
    failing = ", ".join(dict.fromkeys(finding.where for finding in verification.refusals))
    return Text(f"Refused. What fails: {failing}.", style="bold red")


def verification_text(verification: Verification) -> RenderableType:
    """Return what was checked, line by line, and the verdict.

    Parameters
    ----------
    verification : Verification
        What `verify` returned.

    Returns
    -------
    rich renderable
        One line for each finding, what is refused after what holds; the verdict last.
    """
    table = Table.grid(padding=(0, 2, 0, 0))
    for finding in sorted(verification.findings, key=lambda finding: not finding.ok):
        mark = Text("ok", style="green") if finding.ok else Text("REFUSED", style="bold red")
        table.add_row(mark, Text(finding.where, style="bold"), Text(finding.sentence))
    return Group(table, Text(), verdict_text(verification))


def curve_table(drawn: "Sequence[Point]", key: str) -> Table:
    """Return the points of a curve as a table.

    Parameters
    ----------
    drawn : sequence of Point
        What `genbounds.report.curve.points` returned.
    key : str
        Key they were made with.

    Returns
    -------
    rich Table
        Bounds, rounded up, and measured errors with their intervals.
    """
    table = _table(
        "", (key, "right"), ("bound", "right"), ("held out", "right"), ("Q = P", "right"), ("test error", "left")
    )
    for point in drawn:
        others = ["" if value is None else printed(value) for value in (point.holdout, point.unchanged)]
        low, high = point.test.interval if point.test is not None else (0.0, 0.0)
        test = "" if point.test is None else f"{point.test.value:.3g}  [{low:.3g}, {high:.3g}]"
        table.add_row(f"{point.x:,.6g}", printed(point.bound), *others, Text(test))
    return table
