"""Measures ranked over a table of runs: a table for a terminal, and a figure of psi by axis."""

from typing import TYPE_CHECKING

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from genbounds.measures.predictiveness.ranking import Ranking

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw_ranking", "ranking_text", "ranking_verdict"]


def ranking_text(ranking: Ranking) -> RenderableType:
    """Return a ranking as a table with what a reader must know.

    Parameters
    ----------
    ranking : Ranking
        What was ranked.

    Returns
    -------
    rich renderable
        A row for each measure and control, and notes.
    """
    averaged = f", averaged in {ranking.configurations:,} configurations" * (ranking.configurations < ranking.runs)
    title = f"What follows {ranking.gap} over {ranking.runs:,} runs{averaged}"
    without = [f"Ψ without {ranking.size}"] if ranking.size else []
    table = _table(title, f"τ [{ranking.level:.0%}]", "Ψ", *without, "p", "K", "K shuffled")
    for row in ranking.rows:
        low, high = row.tau_interval
        table.add_row(
            Text(row.name, style="italic" if row.control else ""),
            f"{row.tau:.3f} [{low:.2f}, {high:.2f}]",
            f"{row.psi_mean:.3f}",
            *([f"{row.psi_without_size:.3f}"] if ranking.size else []),
            f"{row.psi_p:.2g}",
            f"{row.information:.4f}",
            f"{row.information_null:.4f}",
        )
    signs = ["worst sign error", "mean"] if ranking.environments else []
    spread = _table(
        "How sure, and for single runs", f"{(without or ['Ψ'])[0]} [{ranking.level:.0%}]", *signs, "worst RMSE"
    )
    for row in ranking.rows:
        low, high = row.psi_interval
        errors = (row.sign_error_worst, row.sign_error_mean)
        spread.add_row(
            Text(row.name, style="italic" if row.control else ""),
            f"{row.psi_without_size:.3f} [{low:.2f}, {high:.2f}]",
            *(f"{error:.3f}" for error in errors if error is not None),
            f"{row.robust_error:.4g}",
        )
    pairs = (
        f"Sign errors are of {ranking.environments:,} pairs of configurations that differ in one axis; 1/2 is a coin; "
        f"{ranking.environments_left_out:,} pairs have too few comparisons of runs that are worth counting."
        if ranking.environments
        else "No sign errors: no two configurations that differ in one axis have 12 pairs of runs in an order beyond "
        "noise. Repeat each 4 times or more, and name the seed."
    )
    notes = [
        ranking_verdict(ranking),
        "Controls are in italics. A negative coefficient means that larger values go with smaller gaps.",
        f"p is of Ψ{' without ' + ranking.size if ranking.size else ''}, the measure shuffled"
        f"{' within equal sizes' if ranking.size else ''}; it is not corrected for the number of measures. K is "
        "positive for a random measure: compare it with the 95 % quantile of the shuffled one. Nothing is a bound.",
        f"{pairs} Worst RMSE is of the best affine function of the measure, never falling, over the runs with one "
        f"value of one axis; a constant has {ranking.robust_baseline:.4g}.",
    ]
    return Group(table, spread, *(Text(note) for note in notes))


def ranking_verdict(ranking: Ranking) -> str:
    """Say whether any measure is ahead of the hyper-parameters.

    Parameters
    ----------
    ranking : Ranking
        What was ranked.

    Returns
    -------
    str
        One sentence, or two.
    """
    beating = ranking.beating()
    if not beating:
        return "No measure is ahead of the cross-validated hyper-parameters in τ, Ψ and K at once."
    return (
        f"Ahead of the cross-validated hyper-parameters in τ, Ψ and K at once: {', '.join(beating)}. It may be chance."
    )


def _table(title: str, *heads: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("measure", no_wrap=True)
    for head in heads:
        table.add_column(head, justify="right", no_wrap=True)
    return table


def draw_ranking(ranking: Ranking) -> "Figure":
    """Draw psi of each measure and control along each axis.

    Parameters
    ----------
    ranking : Ranking
        What was ranked.

    Returns
    -------
    matplotlib.figure.Figure
        A cell for each, with its number; blue follows the gap, red goes against it. Controls stand below a line.
    """
    from matplotlib.figure import Figure

    rows = sorted(ranking.rows, key=lambda row: row.control)
    axes = list(rows[0].psi)
    heads = [*axes, "Ψ", *([f"Ψ without\n{ranking.size}"] if ranking.size else [])]
    values = [
        [*(row.psi[axis] for axis in axes), row.psi_mean, *([row.psi_without_size] if ranking.size else [])]
        for row in rows
    ]
    figure = Figure(figsize=(3.2 + 0.9 * len(heads), 1.4 + 0.32 * len(rows)), layout="constrained")
    plot = figure.subplots()
    shown = plot.imshow(values, cmap="RdBu", vmin=-1, vmax=1, aspect="auto")
    for y, line in enumerate(values):
        for x, value in enumerate(line):
            plot.text(
                x, y, f"{value:.2f}", ha="center", va="center", fontsize=8, color="w" if abs(value) > 0.6 else "k"
            )
    plot.set_xticks(range(len(heads)), heads)
    plot.set_yticks(range(len(rows)), [row.name for row in rows])
    for label, row in zip(plot.get_yticklabels(), rows, strict=True):
        label.set_fontstyle("italic" if row.control else "normal")
    plot.axhline(sum(not row.control for row in rows) - 0.5, color="k", linewidth=1.5)
    plot.axvline(len(axes) - 0.5, color="k", linewidth=1.5)
    plot.set_title(f"ψ by axis: does it follow {ranking.gap}? ({ranking.runs:,} runs)", fontsize=10)
    figure.colorbar(shown, ax=plot, label="mean τ-a along the axis")
    return figure
