"""A family of bounds by information as tables for a terminal, and its growth with trainings as a figure."""

from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from genbounds.certificates.statement import printed, probability
from genbounds.information.estimation.families import Family, Row
from genbounds.numerics.estimates import Estimate

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_growth", "family_text"]

_WHAT = {"gap": "gap between ghost and train risk", "risk": "risk on ghosts"}
# Okabe and Ito's palette: told apart with any colour vision; markers and dashes tell them apart in grey.
_BLUE, _VERMILLION, _GREEN, _GREY = "#0072B2", "#D55E00", "#009E73", "#595959"


def _table(title: str, *columns: tuple[str, str]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for name, justify in columns:
        table.add_column(name, justify=justify, no_wrap=justify == "right", overflow="fold")  # type: ignore[arg-type]
    return table


def _interval(estimate: Estimate) -> str:
    low, high = estimate.interval
    return f"{float(estimate.value):.4f}  [{float(low):.4f}, {float(high):.4f}]"


def _share(row: Row) -> str:
    return "" if row.share is None else f"{row.share:.0%}"


def _bounds(family: Family, bounds: str) -> Table:
    least = family.tightest(bounds)
    table = _table(
        f"Bounds on the {_WHAT[bounds]}",
        ("theorem", "left"),
        ("certified", "right"),
        ("estimate, no bound", "right"),
        ("floor", "right"),
        ("population", "right"),
        ("test error", "right"),
        ("sees", "left"),
    )
    for row in family.rows:
        if row.bounds == bounds:
            limit = float(row.limit)
            style = "red" if limit >= 1 else "bold green" if row is least else ""
            table.add_row(
                Text(row.theorem.rpartition(".")[2] + (" *" if row.restates else "")),
                Text(printed(limit, 4), style=style),
                _interval(row.estimate),
                f"{float(row.floor.value):.4f}",
                printed(float(row.population), 3),
                _share(row),
                "ghost losses" if row.ghost_losses else "predictions",
            )
    return table


def _measured(family: Family) -> Table:
    level = f"{family.gap.level:.0%} interval"
    table = _table("Measured", ("", "left"), (f"estimate, {level}", "right"), ("limit from losses alone", "right"))
    table.add_row("loss on what was trained on", _interval(family.train_risk), "")
    table.add_row("loss on ghosts", _interval(family.ghost_risk), printed(float(family.ghost_risk_limit), 4))
    table.add_row("gap", _interval(family.gap), printed(float(family.gap_limit), 4))
    return table


def family_text(family: Family) -> RenderableType:
    """Return a family of bounds as tables.

    Parameters
    ----------
    family : Family
        What `genbounds.information.estimation.family` returned.

    Returns
    -------
    rich renderable
        What was measured, one table of bounds for the gap and one for the risk, and how to read them.
    """
    chance = probability(family.delta)
    given = f"{family.supersamples} supersample{'s' if family.supersamples > 1 else ''}"
    lines = [
        f"certified: with probability at least {chance} over masks and trainings, their number settled beforehand, "
        f"all of these hold at once, for the {given} given; the smallest of them is a bound.",
        "estimate, no bound: the theorem at plug-in values; it may be below the truth. floor: the same with masks "
        "permuted among trainings, what the estimator says where there is nothing.",
        f"population: certified for the distribution of supersamples, if they were drawn independently, each with "
        f"probability at least {1 - family.rows[0].population.delta:.6g}; vacuous unless there are many.",
        "test error: part of the information used that train and ghost error rate alone amount to. "
        "* At times no more than the test error said again: see the theorem.",
        f"limit from losses alone: what the ghosts' losses say without any theorem, each with probability at least "
        f"{chance}.",
    ]
    head = Text(
        f"{given} of {family.n:,} pairs, {family.trainings:,} trainings on each, masks "
        f"{'in pairs' if family.design == 'pairs' else 'independent, as declared'}.",
        style="bold",
    )
    kinds = [kind for kind in _WHAT if any(row.bounds == kind for row in family.rows)]
    parts: list[RenderableType] = [head, Text(), _measured(family)]
    parts += [_bounds(family, kind) for kind in kinds]
    return Group(*parts, *(Text(line, style="dim") for line in lines))


def draw_growth(family: Family, theorem: str, axes: "Axes | None" = None) -> "Axes":
    """Draw how a bound of the family grows or falls with the number of trainings.

    Parameters
    ----------
    family : Family
        What `genbounds.information.estimation.family` returned.
    theorem : str
        Which bound: its name in the catalogue, or the part after the dot.
    axes : matplotlib Axes, optional
        Where to draw; a new figure if left out. No window is opened and no global setting is changed.

    Returns
    -------
    matplotlib Axes
        The axes drawn on.

    Raises
    ------
    KeyError
        If the theorem is not one of the family.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, NullFormatter

    row, growth = family[theorem], family.growth
    if axes is None:
        axes = Figure(figsize=(6.8, 4.4), layout="constrained").add_subplot()
    sizes = growth.trainings
    measured = family.gap if row.bounds == "gap" else family.ghost_risk
    each = "each " if len(sizes) > 1 else ""
    series: list[tuple[str, tuple[float, ...], dict[str, Any]]] = [
        (
            f"certified ({each}with prob. ≥ {probability(family.delta)})",
            growth.limits[row.theorem],
            {"color": _BLUE, "marker": "o", "linewidth": 2.0, "markersize": 6},
        ),
        (
            "plug-in estimate, no bound",
            growth.estimates[row.theorem],
            {"color": _GREEN, "marker": "s", "linestyle": "--", "linewidth": 1.4, "markersize": 5},
        ),
        (
            "floor: masks permuted",
            growth.floors[row.theorem],
            {"color": _GREY, "marker": "^", "linestyle": ":", "linewidth": 1.4, "markersize": 5},
        ),
    ]
    for label, values, style in series:
        axes.plot(sizes, values, label=label, **style)
    low, high = (float(end) for end in measured.interval)
    what = "gap" if row.bounds == "gap" else "error on ghosts"
    axes.axhline(
        float(measured.value),
        color=_VERMILLION,
        linewidth=1.2,
        label=f"measured {what} ({measured.level:.0%} interval)",
    )
    axes.axhspan(low, high, color=_VERMILLION, alpha=0.15, linewidth=0)
    axes.axhline(1.0, color=_GREY, linewidth=1.1)
    axes.annotate(
        "vacuous: says nothing from here on up",
        (0.99, 1.0),
        xycoords=("axes fraction", "data"),
        xytext=(0, 3),
        textcoords="offset points",
        horizontalalignment="right",
        color=_GREY,
        fontsize=8,
    )
    axes.set_xscale("log")
    axes.set_xticks(sizes)
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
    axes.set_ylim(0.0, 1.08)
    axes.set_xlabel("trainings on each supersample")
    axes.set_ylabel(f"{row.theorem.rpartition('.')[2]}: {what}")
    axes.grid(visible=True, which="major", color="#D9D9D9", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(
        fontsize=8,
        frameon=False,
        ncols=2,
        columnspacing=1.2,
        loc="lower left",
        bbox_to_anchor=(0.0, 1.01),
        borderaxespad=0.0,
    )
    return axes
