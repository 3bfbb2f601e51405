"""What the attacks on theorems found, as a table for a terminal and as plain data."""

from collections.abc import Sequence
from itertools import groupby
from math import isfinite
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from genbounds.worlds.validation import Finding, ranks

__all__ = ["validation_data", "validation_text"]


def _subject(finding: Finding) -> tuple[str, str, str]:
    return finding.theorem.quantity, finding.theorem.predictor, finding.theorem.kind


def _closest(finding: Finding) -> str:
    """Say how close the worst world brought the theorem to a failure."""
    if finding.theorem.kind == "expectation":
        return f"× {finding.ratio:.4f}" if isfinite(finding.ratio) else "truth 0"
    if "delta" not in finding.theorem.arguments:
        return "attained" if finding.slack[0] < 1e-9 else "never fails"
    return f"{finding.failure:.2g}"


def validation_text(findings: Sequence[Finding], delta: float) -> RenderableType:
    """Return the findings as tables, one for each quantity that is bounded, and a sentence.

    Parameters
    ----------
    findings : sequence of Finding
        What the attacks on each theorem found.
    delta : float
        Failure probability that the theorems were asked for.

    Returns
    -------
    rich renderable
        For each theorem: worlds, attacks, failures, how close it came to one, slack, and its place among those that
        bound the same quantity in the same worlds.
    """
    places = ranks(findings)
    parts: list[RenderableType] = []
    for (quantity, predictor, kind), group in groupby(sorted(findings, key=_subject), _subject):
        average = kind == "expectation"
        table = Table(
            title=f"{quantity} · {predictor}" + (" · on average" if average else ""),
            title_justify="left",
            title_style="bold",
            box=box.SIMPLE_HEAD,
            pad_edge=False,
        )
        table.add_column("theorem", no_wrap=True)
        for name in (
            "worlds",
            "attacks",
            "refuted",
            "bound / truth" if average else "P(fails)",
            "slack",
            "mean",
            "place",
        ):
            table.add_column(name, justify="right", no_wrap=True)
        order = sorted(
            group, key=lambda finding: (places.get(finding.theorem.name, (99.0, 0))[0], finding.theorem.name)
        )
        for finding in order:
            place = "{:.1f} of {}".format(*places[finding.theorem.name]) if finding.theorem.name in places else ""
            refuted = Text(str(len(finding.broken)), style="bold red" if finding.broken else "green")
            least, mean = finding.slack
            table.add_row(
                Text(finding.theorem.name.partition(".")[2], style="bold"),
                str(finding.worlds),
                str(len(finding.attacks)),
                refuted,
                _closest(finding),
                f"{least:.2g}",
                f"{mean:.2g}",
                place,
            )
        parts.append(table)
    return Group(*parts, _verdict(findings, delta))


def _verdict(findings: Sequence[Finding], delta: float) -> Text:
    broken = [finding for finding in findings if finding.broken]
    attacks = sum(len(finding.attacks) for finding in findings)
    text = Text(f"{len(findings)} theorems, {attacks:,} attacks at δ = {delta:g}: ")
    if not broken:
        text.append("none is refuted.\n", style="bold green")
    for finding in broken:
        worst = max(finding.broken, key=lambda found: (found.failure, -found.slack))
        text.append(f"\n{finding.theorem.name} is refuted in {worst.world!r}: ", style="bold red")
        text.append(f"it fails with probability {worst.failure:.3g}, slack {worst.slack:.3g}.")
    return text.append(
        "P(fails): failure probability in the worst world, at most δ; bound / truth: smallest quotient, the factor by "
        "which a theorem as a whole could be too small unnoticed; slack: bound minus truth, smallest and mean over the "
        "worlds; place: mean place among theorems of the table in the worlds they share (for the same inputs, if with "
        "a δ).",
        style="dim",
    )


def validation_data(findings: Sequence[Finding], delta: float) -> dict[str, Any]:
    """Return the findings as plain data.

    Parameters
    ----------
    findings : sequence of Finding
        What the attacks on each theorem found.
    delta : float
        Failure probability that the theorems were asked for.

    Returns
    -------
    dict
        What JSON can carry; infinite numbers are null.
    """
    places = ranks(findings)

    def finite(number: float) -> float | None:
        return number if isfinite(number) else None

    def entry(finding: Finding) -> dict[str, Any]:
        place, met = places.get(finding.theorem.name, (None, 1))
        return {
            "theorem": finding.theorem.name,
            "quantity": finding.theorem.quantity,
            "predictor": finding.theorem.predictor,
            "kind": finding.theorem.kind,
            "worlds": finding.worlds,
            "attacks": len(finding.attacks),
            "refuted_in": sorted({found.world for found in finding.broken}),
            "failure": finding.failure,
            "ratio": finite(finding.ratio),
            "slack": {"smallest": finite(finding.slack[0]), "mean": finite(finding.slack[1])},
            "place": {"mean": place, "among": met},
        }

    return {"delta": delta, "theorems": [entry(finding) for finding in findings]}
